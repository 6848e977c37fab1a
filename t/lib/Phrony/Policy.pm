package Phrony::Policy;

# A policy file out of compact data.  Ids come from the names, so that two
# policies with the same names describe the same agents, triggers and keys.
#
#   Phrony::Policy->new(
#       path       => …,
#       workspaces => { main => { status => 'active' } },
#       agents     => { alpha => { rpmLimit => 2 }, beta => {} },
#       keys       => { alice => { agents => ['alpha'] } },
#   )
#
# An agent's members are those of its API trigger, and "workspace", the name
# of one (default "main").  A key's are those of its record, and "agents", the
# names of the agents it may call (default all of its workspace), "workspace",
# and "clear", its clear text.  A member given as undef is left out.

use strict;
use warnings;

use Digest::MD5 qw(md5_hex);
use Digest::SHA qw(sha256_hex);
use Mojo::JSON qw(decode_json encode_json false true);


sub new {
    my ($class, %data) = @_;

    my $self = bless {path => delete $data{path}}, $class;

    $data{agents} //= {alpha => {}, beta => {}};
    $data{keys} //= {alice => {agents => ['alpha']}};

    my %workspace = map { $_->{workspace} // 'main' => {} }
        values %{$data{agents}}, values %{$data{keys}};

    $data{workspaces} = {%workspace, %{$data{workspaces} || {}}};
    $self->{names} = \%data;
    $self->write;

    return $self;
}


# The ids, clear texts and digests by name.

sub workspace { _uuid('workspace', $_[1]) }
sub agent     { _uuid('agent', $_[1]) }
sub trigger   { _uuid('trigger', $_[1]) }
sub key_id    { _uuid('key', $_[1]) }
sub path      { $_[0]{path} }


sub key {
    my ($self, $name) = @_;

    return $self->{names}{keys}{$name}{clear} // "phk_test_$name";
}


sub digest {
    my ($self, $name) = @_;

    return sha256_hex($self->key($name));
}


sub _uuid {
    my ($kind, $name) = @_;

    my $hex = md5_hex("$kind $name");

    substr($hex, 12, 1) = '4';
    substr($hex, 16, 1) = '8';

    return join '-', unpack 'A8 A4 A4 A4 A12', $hex;
}


# The policy as data; tests may change it and write() it.

sub data {
    my ($self) = @_;

    my $names = $self->{names};

    return $self->{data} //= {
        workspaces => [map { $self->_workspace($_) }
            sort keys %{$names->{workspaces}}],
        triggers => [map { $self->_trigger($_) } sort keys %{$names->{agents}}],
        keys     => [map { $self->_key($_) } sort keys %{$names->{keys}}],
    };
}


sub _workspace {
    my ($self, $name) = @_;

    return _record({
        id     => $self->workspace($name),
        status => 'active',
        %{$self->{names}{workspaces}{$name}},
    });
}


sub _trigger {
    my ($self, $name) = @_;

    my %trigger = %{$self->{names}{agents}{$name}};
    my $workspace = delete $trigger{workspace} // 'main';

    return _record({
        id          => $self->trigger($name),
        agentId     => $self->agent($name),
        workspaceId => $self->workspace($workspace),
        active      => true,
        %trigger,
    });
}


sub _key {
    my ($self, $name) = @_;

    my %key = %{$self->{names}{keys}{$name}};
    my $workspace = delete $key{workspace} // 'main';
    my $agents = delete $key{agents} // [$self->_agents_of($workspace)];

    delete $key{clear};

    return _record({
        id               => $self->key_id($name),
        sha256           => $self->digest($name),
        workspaceId      => $self->workspace($workspace),
        status           => 'active',
        allowFileUploads => false,
        scopes           => [map { {
            agentId   => $self->agent($_),
            triggerId => $self->trigger($_),
        } } @$agents],
        %key,
    });
}


sub _agents_of {
    my ($self, $workspace) = @_;

    my $agents = $self->{names}{agents};

    return grep { ($agents->{$_}{workspace} // 'main') eq $workspace }
        sort keys %$agents;
}


sub _record {
    my ($record) = @_;

    defined $record->{$_} or delete $record->{$_} for keys %$record;

    return $record;
}


# Writes the file anew, so that a reader never sees half of it.  "text"
# replaces what data() says.

sub write {
    my ($self, $text) = @_;

    my $path = $self->{path} // return;

    open my $file, '>:raw', "$path.new" or die "$path.new: $!\n";
    print $file $text // encode_json($self->data);
    close $file or die "$path.new: $!\n";
    rename "$path.new", $path or die "$path: $!\n";

    return $self;
}


# Writes each record to Redis, workspaces first, by a function that is given
# the words of a command.

sub store {
    my ($self, $call, %opt) = @_;

    my $prefix = $opt{prefix} // 'phrony';
    my $data = $self->data;

    $call->(SET => "$prefix:workspace:$_->{id}", encode_json($_))
        for @{$data->{workspaces}};
    $call->(SET => "$prefix:trigger:$_->{id}", encode_json($_))
        for @{$data->{triggers}};
    $call->(SET => "$prefix:key:$_->{sha256}", encode_json($_))
        for @{$data->{keys}};

    return $self;
}


# Changes the members of an agent's trigger or of a key, and writes the file.
# undef removes a member.

sub change {
    my ($self, $kind, $name, %members) = @_;

    my $id = $kind eq 'agent' ? $self->trigger($name)
        : $kind eq 'key' ? $self->key_id($name) : $self->workspace($name);
    my $list = {agent => 'triggers', key => 'keys', workspace => 'workspaces'};

    for my $record (@{$self->data->{$list->{$kind}}}) {
        next if $record->{id} ne $id;
        @$record{keys %members} = values %members;
        _record($record);
    }

    return $self->write;
}


1;
