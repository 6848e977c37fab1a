package Phrony::Redis;

# A real Redis with a directory of its own: its configuration, its process, its
# log, and what tests ask of it.

use strict;
use warnings;

use File::Path qw(make_path);
use Mojo::Util qw(url_escape);
use POSIX ();
use Time::HiRes qw(sleep time);

use Phrony::RedisClient;


# The server under test; a Valkey will do.

sub binary { $ENV{TEST_REDIS_SERVER} || 'redis-server' }


# 6 or more

sub version {
    my $text = join ' ', `${\binary()} --version`;

    return $text =~ /\bv=(\d+)\./ ? $1 : die binary() . ": which version?\n";
}


# dir, port    an empty directory, a free port
# unix         1: a socket in "dir" as well
# tls_port     TLS as well, with cert => [certificate, key], ca => file, and
# tls_clients  "yes" if clients need a certificate; default "no"
# password     of the user "default"
# users        ["gateway on >secret ~* +@all", …], as in an ACL file
# persist      0: a start finds nothing of what was before the last end
# bus_port     a member of a cluster
# sentinel     1: a sentinel
# env          {NAME => value} for the process
# conf         more lines

sub new {
    my ($class, %opt) = @_;

    my $self = bless {opt => {persist => 1, %opt}, dir => $opt{dir}}, $class;

    make_path($self->{dir});
    chmod 0755, $self->{dir};
    $self->_write('redis.conf', $self->conf);
    $self->_write('users.acl', join '', map { "user $_\n" }
        $self->_default_user, @{$opt{users}}) if $opt{users};

    return $self;
}


sub dir  { $_[0]{dir} }
sub pid  { $_[0]{pid} }
sub port { $_[0]{opt}{port} }


sub conf {
    my ($self) = @_;

    my $opt = $self->{opt};
    my $persist = $opt->{persist} ? 'yes' : 'no';

    my @lines = (
        'bind 127.0.0.1', 'protected-mode no', 'daemonize no',
        "dir $self->{dir}", "logfile $self->{dir}/redis.log",
        "port $opt->{port}",
    );

    push @lines, "unixsocket $self->{dir}/socket", 'unixsocketperm 777'
        if $opt->{unix};
    push @lines, $self->_tls_conf if $opt->{tls_port};
    push @lines, 'save ""', "appendonly $persist", 'appendfsync no',
        'maxmemory-policy noeviction' if !$opt->{sentinel};
    push @lines, 'enable-debug-command yes', 'shutdown-timeout 1'
        if !$opt->{sentinel} && version() >= 7;
    push @lines, 'cluster-enabled yes', "cluster-config-file nodes.conf",
        $self->_bus_conf if $opt->{bus_port};
    push @lines, $opt->{users} ? "aclfile $self->{dir}/users.acl"
        : "requirepass $opt->{password}"
        if $opt->{users} || defined $opt->{password};

    return join "\n", @lines, $opt->{conf} // '', '';
}


# With a file of users the password of "default" stands there.

sub _default_user {
    my ($self) = @_;

    my $password = $self->{opt}{password};

    return 'default on ' . (defined $password ? ">$password" : 'nopass')
        . ' ~* &* +@all';
}


sub _tls_conf {
    my ($self) = @_;

    my $opt = $self->{opt};

    return ("tls-port $opt->{tls_port}", "tls-cert-file $opt->{cert}[0]",
        "tls-key-file $opt->{cert}[1]", "tls-ca-cert-file $opt->{ca}",
        'tls-auth-clients ' . ($opt->{tls_clients} // 'no'));
}


# Before 7 the port of the cluster's bus cannot be chosen.

sub _bus_conf {
    my ($self) = @_;

    return version() >= 7 ? "cluster-port $self->{opt}{bus_port}" : ();
}


sub _write {
    my ($self, $name, $text) = @_;

    open my $file, '>', "$self->{dir}/$name" or die "$name: $!\n";
    print $file $text;
    close $file or die "$name: $!\n";
}


# Starts it and waits until it serves, with wait => 0 not; args are more words
# of the command.

sub start {
    my ($self, %opt) = @_;

    my $pid = fork // die "fork: $!\n";

    $self->_exec(@{$opt{args} || []}) if !$pid;

    delete @$self{qw(code client)};
    $self->{pid} = $pid;
    $self->await if $opt{wait} // 1;

    return $self;
}


sub _exec {
    my ($self, @words) = @_;

    my $opt = $self->{opt};
    my %prctl = (x86_64 => 157, aarch64 => 167);
    my $prctl = $prctl{(POSIX::uname())[4]};

    syscall $prctl, 1, POSIX::SIGKILL(), 0, 0, 0    # PR_SET_PDEATHSIG
        if $prctl;

    $SIG{$_} = 'DEFAULT' for qw(INT TERM ALRM PIPE HUP);
    alarm 0;

    %ENV = (%ENV, %{$opt->{env} || {}});

    open STDIN, '<', '/dev/null';
    open STDOUT, '>>', "$self->{dir}/output";
    open STDERR, '>&', \*STDOUT;

    exec {binary()} binary(), "$self->{dir}/redis.conf",
        $opt->{sentinel} ? '--sentinel' : (), @words or POSIX::_exit(127);
}


# Waits until it answers and has read its data.

sub await {
    my ($self) = @_;

    my $deadline = time + 20;

    until (eval { $self->client->call('PING') eq 'PONG' }) {
        die "redis ended: " . $self->log if $self->_reap;
        die "redis did not start: $@" . $self->log if time > $deadline;
        sleep 0.02;
    }
}


# What nginx's "phrony_redis" wants.  via => "tcp" (default), "unix", "tls", or
# an address such as a proxy's; user, password, db.

sub url {
    my ($self, %opt) = @_;

    my $opt = $self->{opt};
    my $via = $opt{via} // 'tcp';
    my $db = $opt{db};

    return "unix:$self->{dir}/socket" . (defined $db ? ":$db" : '')
        if $via eq 'unix';

    my $password = $opt{password} // ($opt{user} ? undef : $opt->{password});
    my $who = ($opt{user} // '')
        . (defined $password ? ':' . url_escape($password) : '');

    return ($via eq 'tls' ? 'rediss://' : 'redis://')
        . ($who ne '' ? "$who\@" : '')
        . ($via eq 'tls' ? ($opt{host} // '127.0.0.1') . ":$opt->{tls_port}"
            : $via eq 'tcp' ? ($opt{host} // '127.0.0.1') . ":$opt->{port}"
            : $via)
        . (defined $db ? "/$db" : '');
}


sub address { '127.0.0.1:' . $_[0]->port }


# A connection of its own, see Phrony::RedisClient.

sub client {
    my ($self, %opt) = @_;

    return Phrony::RedisClient->new(address => $self->address,
        password => $self->{opt}{password}, %opt);
}


# A command on a connection that is kept for that.

sub call {
    my ($self, @words) = @_;

    my $reply = eval { ($self->{client} //= $self->client)->call(@words) };

    if (my $error = $@) {
        delete $self->{client};
        die $error;
    }

    return $reply;
}


# What redis-cli prints.

sub cli {
    my ($self, @words) = @_;

    local $ENV{REDISCLI_AUTH} = $self->{opt}{password} // '';
    delete local $ENV{REDISCLI_AUTH} if !defined $self->{opt}{password};

    open my $output, '-|', 'redis-cli', '-h', '127.0.0.1', '-p', $self->port,
        @words or die "redis-cli: $!\n";
    local $/;
    my $text = readline $output;
    close $output;

    return $text;
}


# INFO as a hash.

sub info {
    my ($self, $section) = @_;

    return {map { /\A([^#:]+):(.*)\z/ ? ($1 => $2) : () }
        split /\r\n/, $self->call(INFO => $section // 'default')};
}


# How often a command was called since the last reset of these numbers;
# without a name a hash of all.

sub calls {
    my ($self, $name) = @_;

    my $stat = $self->info('commandstats');
    my %calls;

    for (CORE::keys %$stat) {
        my ($command) = /\Acmdstat_(.+)/ or next;
        ($calls{$command}) = $stat->{$_} =~ /calls=(\d+)/;
    }

    return defined $name ? $calls{$name} // 0 : \%calls;
}


sub reset_calls { $_[0]->call(CONFIG => 'RESETSTAT') }


# Seconds of the processor that it has used.

sub cpu {
    my ($self) = @_;

    my $info = $self->info('cpu');

    return $info->{used_cpu_user} + $info->{used_cpu_sys};
}


# The clients but for the one that asks: hashes of CLIENT LIST's fields.

sub clients {
    my ($self) = @_;

    my $me = $self->call(CLIENT => 'ID');

    return grep { $_->{id} != $me } map { {/(\S+?)=(\S*)/g} }
        split /\n/, $self->call(CLIENT => 'LIST');
}


# The keys that match a pattern, sorted; all without one.

sub keys {
    my ($self, $pattern) = @_;

    my ($cursor, %seen) = (0);

    do {
        ($cursor, my $keys) = @{$self->call(SCAN => $cursor, MATCH =>
            $pattern // '*', COUNT => 1000)};
        $seen{$_} = 1 for @$keys;
    } while ($cursor);

    my @keys = sort { $a cmp $b } CORE::keys %seen;

    return @keys;
}


# Those among them that will stay for ever.

sub eternal {
    my ($self, $pattern) = @_;

    return grep { $self->call(PTTL => $_) == -1 } $self->keys($pattern);
}


sub log { _slurp("$_[0]{dir}/redis.log") . _slurp("$_[0]{dir}/output") }


sub _slurp {
    my ($path) = @_;

    open my $file, '<:raw', $path or return '';
    local $/;

    return scalar(readline $file) // '';
}


# Still there, but says nothing; and on again.

sub pause {
    my ($self) = @_;

    CORE::kill STOP => $self->{pid};

    my $deadline = time + 5;

    until (_slurp("/proc/$self->{pid}/stat") =~ /\) T /) {
        die "redis did not stop\n" if time > $deadline;
        sleep 0.005;
    }
}


sub resume { CORE::kill CONT => $_[0]{pid} }


# Ends it: in order, or at once.  start() starts it again with its data.

sub stop { $_[0]->_end('TERM') }
sub kill { $_[0]->_end('KILL') }


sub restart {
    my ($self, $signal) = @_;

    $self->_end($signal // 'TERM');

    return $self->start;
}


sub _end {
    my ($self, $signal) = @_;

    return if !$self->running;

    delete $self->{client};
    CORE::kill $signal => $self->{pid};
    CORE::kill CONT => $self->{pid};

    my $deadline = time + 10;

    until ($self->_reap) {
        CORE::kill KILL => $self->{pid} if time > $deadline;
        sleep 0.005;
    }

    $self->{code} = 0 if $signal eq 'KILL';
}


sub running { $_[0]{pid} && !defined $_[0]{code} }


sub _reap {
    my ($self) = @_;

    return 1 if !$self->running;
    return 0 if waitpid($self->{pid}, POSIX::WNOHANG()) != $self->{pid};

    $self->{code} = $?;

    return 1;
}


# What must not be there after the end.

sub complaints {
    my ($self) = @_;

    my @complaints;

    push @complaints, "redis ended with $self->{code}" if $self->{code};
    push @complaints, grep { /BUG REPORT|Out Of Memory/ }
        split /\n/, $self->log;

    return @complaints;
}


1;
