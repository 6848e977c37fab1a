package Phrony::RedisCluster;

# A real cluster of masters with a replica each:
#
#     my $cluster = Phrony::RedisCluster->form(
#         node => sub { redis(cluster => 1, @_) });

use strict;
use warnings;

use Time::HiRes qw(sleep time);

use constant SLOTS => 16384;


# node          makes a server of options of Phrony::Redis
# masters       how many, default 3
# replicas      of each, default 1
# node_timeout  milliseconds, default 1000
# conf          more lines for each server

sub form {
    my ($class, %opt) = @_;

    my $masters = $opt{masters} // 3;
    my $self = bless {opt => \%opt, nodes => []}, $class;

    $self->add for 1 .. $masters * (1 + ($opt{replicas} // 1));
    $self->_slots($masters);
    $self->_meet;

    my @nodes = $self->nodes;

    for my $i ($masters .. $#nodes) {
        my $master = $self->id($nodes[$i % $masters]);

        _until('a node to know its master', sub {
            eval { $nodes[$i]->call(CLUSTER => 'REPLICATE', $master) };
        });
    }

    $self->await;

    return $self;
}


sub nodes { @{$_[0]{nodes}} }


# One more node, which knows nobody yet.

sub add {
    my ($self) = @_;

    my $opt = $self->{opt};

    push @{$self->{nodes}}, my $node = $opt->{node}->(conf => join "\n",
        'cluster-node-timeout ' . ($opt->{node_timeout} // 1000),
        'cluster-replica-validity-factor 0', 'repl-diskless-sync-delay 0',
        'cluster-allow-replica-migration no', $opt->{conf} // ());

    return $node;
}


sub _slots {
    my ($self, $masters) = @_;

    for my $i (0 .. $masters - 1) {
        my $node = $self->{nodes}[$i];

        # the command for ranges is of 7.0

        $node->call(CLUSTER => 'ADDSLOTS', int(SLOTS * $i / $masters)
            .. int(SLOTS * ($i + 1) / $masters) - 1);
        $node->call(CLUSTER => 'SET-CONFIG-EPOCH', $i + 1);
    }
}


sub _meet {
    my ($self) = @_;

    $self->meet($_) for @{$self->{nodes}}[1 .. $#{$self->{nodes}}];
}


# Makes a node known to the first one; the others hear of it, see await().

sub meet {
    my ($self, $node) = @_;

    my $id = $self->id($node);

    $self->{nodes}[0]->call(CLUSTER => 'MEET', '127.0.0.1', $node->port,
        $node->{opt}{bus_port} && Phrony::Redis::version() >= 7
            ? $node->{opt}{bus_port} : ());

    _until('nodes to meet', sub {
        !grep { $_->running && $_->call(CLUSTER => 'NODES') !~ /^\Q$id\E /m }
            $self->{nodes}[0], $node;
    });
}


sub id {
    my ($self, $node) = @_;

    return $node->{cluster_id} //= $node->call(CLUSTER => 'MYID');
}


# Waits until all running nodes agree that each slot is served, and replicas
# follow their masters.

sub await {
    my ($self) = @_;

    my @nodes = grep { $_->running } $self->nodes;

    _until('the cluster to be well', sub {
        my %maps;

        for my $node (@nodes) {
            my $info = eval { $node->call(CLUSTER => 'INFO') } // '';

            return 0 if $info !~ /^cluster_state:ok\r$/m
                || $info !~ /^cluster_slots_ok:16384\r$/m;

            my $replication = $node->cli(INFO => 'replication');

            return 0 if $replication =~ /^role:slave/m
                && $replication !~ /^master_link_status:up/m;

            $maps{join ' ', map { "$_->[0]-$_->[1]:$_->[2][1]" }
                sort { $a->[0] <=> $b->[0] }
                @{$node->call(CLUSTER => 'SLOTS')}} = 1;
        }

        return keys %maps == 1;
    });
}


# The server behind a port.

sub at {
    my ($self, $port) = @_;

    return (grep { $_->port == $port } $self->nodes)[0];
}


# The master of a slot, as a running node says that takes it for well.

sub master {
    my ($self, $slot) = @_;

    for my $node (grep { $_->running } $self->nodes) {
        my $ranges = eval { $node->call(CLUSTER => 'SLOTS') } or next;

        for my $range (@$ranges) {
            next if $range->[0] > $slot || $range->[1] < $slot;

            my $master = $self->at($range->[2][1]);

            return $master if $master && $master->running;
        }
    }

    return;
}


# The slot of a key's hash tag: CRC16.

sub slot_of {
    my ($tag) = @_;

    my $crc = 0;

    for my $byte (unpack 'C*', $tag) {
        $crc ^= $byte << 8;
        $crc = ($crc << 1 ^ ($crc & 0x8000 ? 0x1021 : 0)) & 0xffff for 1 .. 8;
    }

    return $crc % SLOTS;
}


# The running replicas of a master.

sub replicas {
    my ($self, $master) = @_;

    my $id = $self->id($master);
    my ($node) = grep { $_->running } $self->nodes;

    my @ports = map { /^\S+ [^ :]*:(\d+)\S* (?:myself,)?slave \Q$id\E / ? $1 : () }
        split /\n/, $node->call(CLUSTER => 'NODES');

    return grep { $_->running } map { $self->at($_) } @ports;
}


# Waits until a slot has another master than this, one that takes writes, and
# returns it.

sub await_master {
    my ($self, $slot, $not) = @_;

    my $master;

    _until('another master', sub {
        $master = $self->master($slot);

        $master && $master != ($not // 0)
            && ($master->call(CLUSTER => 'INFO') =~ /cluster_state:ok/);
    });

    return $master;
}


# A slot begins to move to another master: both are told.  move_keys() moves
# some of its keys, and returns how many there were; end_move() makes the
# other the slot's master.

sub begin_move {
    my ($self, $slot, $to) = @_;

    my $from = $self->master($slot);

    $to->call(CLUSTER => 'SETSLOT', $slot, 'IMPORTING', $self->id($from));
    $from->call(CLUSTER => 'SETSLOT', $slot, 'MIGRATING', $self->id($to));

    return $from;
}


sub move_keys {
    my ($self, $slot, $from, $to, $count) = @_;

    my $keys = $from->call(CLUSTER => 'GETKEYSINSLOT', $slot, $count // 1000);

    $from->call(MIGRATE => '127.0.0.1', $to->port, '', 0, 5000, 'KEYS', @$keys)
        if @$keys;

    return scalar @$keys;
}


sub end_move {
    my ($self, $slot, $to) = @_;

    # the importing node first: a slot is never without a master

    my @nodes = ($to, grep { $_->running && $_ != $to } $self->nodes);

    for my $node (@nodes) {
        next if $node->call('ROLE')->[0] ne 'master';

        $node->call(CLUSTER => 'SETSLOT', $slot, 'NODE', $self->id($to));
    }
}


sub move {
    my ($self, $slot, $to) = @_;

    my $from = $self->begin_move($slot, $to);

    1 while $self->move_keys($slot, $from, $to);

    $self->end_move($slot, $to);
}


# What "phrony_redis" wants.  who => "user:password"; nodes => those that it
# names, by default the first two masters.

sub url {
    my ($self, %opt) = @_;

    my @nodes = $opt{nodes} ? @{$opt{nodes}} : @{$self->{nodes}}[0, 1];

    return 'redis+cluster://' . ($opt{who} ? "$opt{who}\@" : '')
        . join ',', map { $_->address } @nodes;
}


sub _until {
    my ($name, $condition) = @_;

    my $deadline = time + 30;

    until ($condition->()) {
        die "waited in vain for $name\n" if time > $deadline;
        sleep 0.02;
    }
}


1;
