#!/usr/bin/perl

# Workers that are killed while they serve: their slots come back in time,
# counts stay right, others go on, and no limit is exceeded at any moment.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;
use Phrony::Slots;

use POSIX ();

my $KILLS = 25;
my $CLIENTS = 8;

my $up = stand_in();
my $counted = stand_in();

my $policy = policy(
    agents => {
        requests => {maxConcurrentRuns => 4, rpdLimit => 1_000_000},
        runs     => {maxConcurrentRuns => 5},
        rate     => {rpdLimit => 120},
        held     => {maxConcurrentRuns => 3},
        calm     => {},
        crowd    => {},
    },
    keys => {alice => {}},
);

my $nginx = nginx(
    upstream  => $up,
    counted   => $counted->address,
    agent     => $policy->agent('requests'),
    locations => <<'END',
        phrony_reservation_ttl 1s;
        phrony_run_ttl 4s;

        location / { phrony on; proxy_pass http://{{upstream_name}}; }
        location /v1/agents/{{agent}}/ { phrony on;
            proxy_pass http://{{counted}}; }
        location = /status { phrony_status; }
END
);

sub path { '/v1/agents/' . $policy->agent($_[0]) . '/runs' }
sub status { req(GET => '/status')->json }


# nginx's own allocator cannot be mended when its user dies within it: then the
# module says so and starts anew, and what was counted is not there.

allow_log(qr/all counts and leases are lost/);
allow_log(qr/shared memory zone "phrony" was locked by/);

sub lost { $nginx->log =~ /all counts and leases are lost/ }


# One of the clients: starts of every kind, until it is told to end by the
# pipe that it reads.  Writes how often it got which answer.

sub client_loop {
    my ($stop, $result) = @_;

    my $client = $nginx->client;
    my @key = (key => $policy->key('alice'));
    my %got;

    my $ask = sub {
        my ($what, @request) = @_;
        my $r = eval { $client->req(@request, @key, timeout => 20) };

        $got{sent}{$what}++;
        $got{$r ? $r->status : 'broken'}{$what}++;

        return $r;
    };

    while (!IO::Select->new($stop)->can_read(0)) {
        $ask->('requests', POST => path('requests'), json => {},
            stand_in => {delay => 0.03, finish => 'now'});
        $ask->('rate', POST => path('rate'), json => {});
        $ask->('crowd', POST => path('crowd'), json => {});

        my $r = $ask->('runs', POST => path('runs'), json => {},
            stand_in => {finish => 'polls:2'});

        next if !$r || $r->status != 202;
        $ask->('poll', GET => '/v1/runs/' . $r->json->{runId}) for 1 .. 2;
    }

    syswrite $result, encode_json(\%got) . "\n";
}


# Starts the clients, calls back, ends them, and returns what they got.

sub under_load {
    my ($code) = @_;

    pipe my $stop, my $stopper or die "pipe: $!\n";
    pipe my $reader, my $result or die "pipe: $!\n";

    my @pids = map {
        my $pid = fork // die "fork: $!\n";
        if (!$pid) {
            $SIG{$_} = 'DEFAULT' for qw(INT TERM ALRM);
            close $stopper;
            eval { client_loop($stop, $result) };
            POSIX::_exit(0);
        }
        $pid;
    } 1 .. $CLIENTS;

    close $_ for $stop, $result;
    my $ok = eval { $code->(); 1 };
    my $error = $@;
    close $stopper;

    my %total;

    for my $got (map { decode_json($_) } readline $reader) {
        for my $status (keys %$got) {
            $total{$status}{$_} += $got->{$status}{$_}
                for keys %{$got->{$status}};
        }
    }

    waitpid $_, 0 for @pids;
    die $error if !$ok;

    return \%total;
}


# Slots that nobody gives back but time: their requests die with the workers.

my $hanging = $nginx->client;
my @hanging = map { $hanging->open_connection } 1 .. 3;

$_->send($hanging->request_bytes(POST => path('held'), json => {},
    key => $policy->key('alice'), stand_in => 'hang')) for @hanging;
wait_for { $up->requests == 3 } 10, 'three requests';
is start_run('held', key => 'alice')->status, 429, 'three slots are taken';

my $total = under_load(sub {
    for (1 .. $KILLS) {
        my @workers = $nginx->workers;
        my $seen = $up->state->{requests};

        $nginx->kill_worker($workers[rand @workers]);
        wait_for { $up->state->{requests} >= $seen + 40 } 20, 'others';
    }
});

cmp_ok keys %{$nginx->killed}, '>=', $KILLS, "$KILLS workers were killed";
cmp_ok $total->{broken}{$_} // 0, '>', 0, "requests were cut: $_"
    for qw(requests runs);
cmp_ok $total->{202}{$_} // 0, '>', 0, "others went on: $_"
    for qw(requests runs rate crowd);


# Nothing beyond a limit.  The stand-in counts what it has at the same time.

cmp_ok $counted->state->{maxInFlight}, '<=', 4,
    'never more unfinished starts than slots';
is $counted->state->{maxInFlight}, 4, 'and no less';

my $rate = $policy->agent('rate');
my $reached = $up->requests(qr/$rate/);

SKIP: {
    skip 'a worker died in the allocator', 1 if lost();
    cmp_ok $reached, '<=', 120, 'no more starts than the limit of the rate';
}

cmp_ok $reached, '>=', 120 - $KILLS * $CLIENTS, 'nor many less';
cmp_ok $total->{429}{rate}, '>', 0, 'the limit was reached';
is start_run('rate', key => 'alice')->status, 429, 'and stands';


# Counts: every start that the upstream saw, none that was not sent.

my $r = start_run('requests', key => 'alice', stand_in => {status => 400});
my ($remaining) = ($r->header('RateLimit') // '') =~ /"rpd";r=(\d+)/;
my $count = 1_000_000 - $remaining - ($r->status == 429 ? 0 : 1);

SKIP: {
    skip 'a worker died in the allocator', 1 if lost();
    cmp_ok $count, '>=', $counted->requests - ($r->status == 429 ? 0 : 1),
        'every start is counted';
}

cmp_ok $count, '<=', $total->{sent}{requests}, 'and none twice';


# Slots: all come back, and not one more.

for (['requests', 4, $counted], ['runs', 5, $up], ['held', 3, $up]) {
    my ($agent, $limit) = @$_;
    my %status;

    becomes {
        %status = ();
        $status{$_->status}++ for parallel(map { [POST => path($agent),
            key => $policy->key('alice'), json => {},
            stand_in => {delay => 0.5, finish => 'now'}] } 1 .. 2 * $limit);
        ($status{202} // 0) >= $limit;
    } "$agent: all slots come back";

    is_deeply \%status, {202 => $limit, 429 => $limit}, 'and no more';
}


is start_run('calm', key => 'alice')->status, 202, 'another agent';
is $nginx->workers, 2, 'two workers';

my $status = status();

diag "indices were made anew $status->{store}{repaired} times"
    if $status->{store}{repaired};


done_testing();
