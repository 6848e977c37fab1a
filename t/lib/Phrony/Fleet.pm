package Phrony::Fleet;

# What several tests ask of gateways that share a Redis.  They share a
# convention, too: the key "alice" may start runs of every agent, and "warm" is
# an agent whose starts nobody counts in a test.

use Phrony::Slots qw(becomes);
use Phrony::Test;

use Exporter 'import';
use IO::Select;
use POSIX ();
use Time::HiRes qw(time);

our @EXPORT = qw(
    $SHOW await_store becomes counted crowd remaining runs_key stores_of taken
    under_load window_key
);


# For "http": what an answer says of its decision.

our $SHOW = <<'END';
    add_header X-Worker $pid always;
    add_header X-Store $phrony_store always;
    add_header X-Store-Time $phrony_store_time always;
    add_header X-Reason $phrony_reason always;
END


# Where Redis has what is counted for an agent of a Phrony::Policy.

sub window_key { _key('window', @_) }
sub runs_key   { _key('runs', @_) }


sub _key {
    my ($kind, $policy, $agent, %opt) = @_;

    return ($opt{prefix} // 'phrony')
        . ':{' . $policy->workspace($opt{workspace} // 'main') . "}:$kind:"
        . $policy->trigger($agent);
}


# How many slots an agent has taken, as Redis sees it: each has the time at
# which it expires for its score.

sub taken {
    my ($redis, $policy, $agent, %opt) = @_;

    my ($second, $micro) = @{$redis->call('TIME')};

    return $redis->call(ZCOUNT => runs_key($policy, $agent, %opt),
        '(' . ($second * 1000 + int $micro / 1000), '+inf');
}


# The starts that Redis has counted in an agent's minute and day; admit.lua says
# where they stand.

sub counted {
    my ($redis, $policy, $agent, %opt) = @_;

    my $window = $redis->call(GET => window_key($policy, $agent, %opt)) // '';

    return $window eq '' ? (0, 0) : (unpack 'V10', $window)[6, 8];
}


sub remaining {
    my ($r, $name) = @_;

    return ($r->header('RateLimit') // '') =~ /"$name";r=(\d+)/ ? $1 : undef;
}


# Waits until each worker of a gateway says that this store decides, by default
# "redis".  The client's port may be another than that of the gateway.

sub await_store {
    my ($nginx, $store, $client) = @_;

    my $began = time;
    my %seen;

    $client //= $nginx->client;
    $store //= 'redis';

    wait_for {
        %seen = map { $_ => 0 } $nginx->workers if grep { !$_ } values %seen;

        for my $r (warm($client, 4)) {
            my ($worker, $said) = map { $r->header($_) // '' }
                qw(X-Worker X-Store);

            %seen = () if $said ne $store;
            $seen{$worker} = 1 if $said eq $store;
        }

        !grep { !$seen{$_} } $nginx->workers;
    } 20, "workers whose store is \"$store\"";

    return time - $began;
}


# Starts that matter to nobody, at the same time.

sub warm {
    my ($client, $n) = @_;

    return $client->parallel(map { [start('warm', finish => 'now')] } 1 .. $n);
}


sub start {
    my ($agent, %asked) = @_;

    return start_request($agent, key => 'alice',
        %asked ? (stand_in => \%asked) : ());
}


# Starts of one agent by all these gateways (or clients) in turn, so many at the
# same time; returns the answers.

sub crowd {
    my ($gateways, $n, $agent, %asked) = @_;

    my @clients = map { $_->can('client') ? $_->client : $_ } @$gateways;

    my @open = map {
        my $client = $clients[$_ % @clients];
        my ($method, $target, %opt) = start($agent, %asked);
        push @{$opt{headers}}, Connection => 'close';
        [$client->open_connection, $client->request_bytes($method, $target,
            %opt)];
    } 1 .. $n;

    $_->[0]->send($_->[1]) for @open;

    return map { $_->[0]->response } @open;
}


# How often which store decided.

sub stores_of {
    my %count;

    $count{$_->header('X-Store') // 'none'}++ for @_;

    return \%count;
}


# Runs so many processes that call "loop" with a client and a hash for what they
# count, again and again, while "code" is run; returns the sums.

sub under_load {
    my ($gateways, $processes, $loop, $code) = @_;

    pipe my $stop, my $stopper or die "pipe: $!\n";
    pipe my $reader, my $result or die "pipe: $!\n";

    my @pids = map {
        my $nginx = $gateways->[$_ % @$gateways];
        my $pid = fork // die "fork: $!\n";
        if (!$pid) {
            $SIG{$_} = 'DEFAULT' for qw(INT TERM ALRM HUP);
            close $stopper;
            _loop($stop, $result, $nginx->client, $loop);
        }
        $pid;
    } 1 .. $processes;

    close $_ for $stop, $result;

    my $ok = eval { $code->(); 1 };
    my $error = $@;

    close $stopper;

    my %sum;

    for my $count (map { decode_json($_) } readline $reader) {
        $sum{$_} += $count->{$_} for keys %$count;
    }

    waitpid $_, 0 for @pids;
    die $error if !$ok;

    return \%sum;
}


sub _loop {
    my ($stop, $result, $client, $loop) = @_;

    my %count;

    while (!IO::Select->new($stop)->can_read(0)) {
        eval { $loop->($client, \%count); 1 } or $count{broken}++;
    }

    syswrite $result, encode_json(\%count) . "\n";
    POSIX::_exit(0);
}


1;
