#!/usr/bin/perl

# A claim that Redis has granted to somebody who does not hear of it is given
# back: the next delivery is a start, long before the claim runs out.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;
use Phrony::Deliveries;
use Phrony::Fleet;

use Socket qw(SOL_SOCKET SO_LINGER);

my $up = stand_in();

my $policy = policy(
    agents => {alpha => {}, one => {maxConcurrentRuns => 1},
        warm => {rpdLimit => 1_000_000}},
    keys => {alice => {}},
);

my $redis = redis();
my $proxy = redis_proxy($redis);
my $ports = {map { ("p_$_" => free_port()) } qw(deny quick)};

# The first reaches Redis through what does the damage; a worker must not give
# up before the test does.

my $nginx = nginx(
    %$ports,
    workers    => 1,
    redis      => 'redis://' . $proxy->address,
    access_log => '{{dir}}/access.log',
    location   => 'location = /status { phrony_status; }',
    http       => "$SHOW $TELL
    phrony_redis_timeout 5s;
    phrony_reservation_ttl 1h;

    server {
        listen 127.0.0.1:{{p_deny}};
        phrony_store_failure deny;
        location / { phrony on; proxy_pass http://{{upstream_name}}; }
    }

    server {
        listen 127.0.0.1:{{p_quick}};
        phrony_reservation_ttl 2s;
        location / { phrony on; proxy_pass http://{{upstream_name}}; }
    }
");

my $other = nginx(redis => $redis, http =>
    "$SHOW $TELL phrony_redis_timeout 5s; phrony_reservation_ttl 1h;");

await_store($_) for $nginx, $other;

my %at = (local => $nginx->client,
    map { /p_(.*)/ => client($ports->{$_}) } keys %$ports);


sub untold { $nginx->client->req(GET => '/status')->json->{store}{untold} }


sub gone {
    my $log = do { local (@ARGV, $/) = $nginx->dir . '/access.log'; <> };

    return scalar(() = $log =~ /" 499 /g);
}


# A delivery that Redis has claimed; nginx does not hear of it.

sub claimed_unheard {
    my ($mode, $agent, $id) = @_;

    $proxy->damage(hold => 'replies', on => 'EVALSHA');

    my $connection = $at{$mode}->open_connection;

    $connection->send($at{$mode}->request_bytes(delivery($agent, $id)));
    $proxy->await_damage;

    is told(deliver($agent, $id, at => $other)), '409 refused in-progress',
        "$mode: Redis has claimed it";

    return $connection;
}


# Nobody is in its way any more; the upstream hears of this start alone.

sub comes_back {
    my ($agent, $id, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    is heard($up, sub {
        my $r = wait_for {
            my $r = deliver($agent, $id, at => $other);
            $r->status !~ /409|429/ && $r;
        } 20, 'the claim to come back';
        is told($r), '202 admitted -', $name;
    }), 'none', 'and the upstream hears of a new one';
}


subtest 'a client that goes before the reply' => sub {
    for my $agent (qw(alpha one)) {
        my ($id, $before) = (fresh(), gone());

        is heard($up, sub {
            claimed_unheard('local', $agent, $id)->end;
            wait_for { gone() > $before } 10, 'it to be noticed';
            $proxy->heal;
        }), '', 'the upstream is not asked';
        comes_back($agent, $id, "$agent: it is given back");
    }
};


sub stopped {
    my ($pid) = @_;

    return do { local (@ARGV, $/) = "/proc/$pid/stat"; <> } =~ /\) T /;
}


# nginx sees both in one turn of its event loop.

subtest 'a client that goes as the reply comes' => sub {
    my $id = fresh();
    my ($worker) = $nginx->workers;

    is heard($up, sub {
        my $connection = claimed_unheard('local', 'alpha', $id);

        kill STOP => $worker;
        wait_for { stopped($worker) } 5, 'the worker to stop';
        $proxy->heal;
        setsockopt $connection->{socket}, SOL_SOCKET, SO_LINGER,
            pack 'ii', 1, 0;
        $connection->end;
        kill CONT => $worker;
    }), '', 'the upstream is not asked';
    comes_back('alpha', $id, 'it is given back');
};


subtest 'a worker that ends before the reply' => sub {
    my $id = fresh();

    claimed_unheard('local', 'alpha', $id);
    $nginx->kill_worker(undef, 'TERM');
    $proxy->heal;
    comes_back('alpha', $id, 'it is given back');
    await_store($nginx);

    # nobody is left to do it for one that was killed, or knows what it did

    $id = fresh();
    claimed_unheard('quick', 'alpha', $id);
    $nginx->kill_worker;
    $proxy->heal;
    is told(wait_for {
        my $r = deliver('alpha', $id, at => $other);
        $r->status != 409 && $r;
    } 20, 'its time to run out'), '202 admitted unknown',
        'killed: unknown after its time';
    await_store($nginx);
};


for my $end (qw(before after within)) {
    subtest "a connection lost, $end" => sub {
        my $id = fresh();

        $proxy->damage(end => $end, on => 'EVALSHA');
        problem_is(deliver('alpha', $id, at => $at{deny}), 503,
            'store_unavailable', 'deny: refused');
        $proxy->await_damage;
        await_store($nginx);
        comes_back('alpha', $id, 'it is given back');

        # who goes on without Redis does not know whether others have seen it

        $id = fresh();
        $proxy->damage(end => $end, on => 'EVALSHA');

        my $r;
        is heard($up, sub { $r = deliver('alpha', $id, at => $at{local}) }),
            'unknown', 'local: the upstream is told';
        is told($r), '202 admitted unknown', 'and decides';
        replay_is(deliver('alpha', $id, at => $at{local}), $r,
            'known to this gateway');
        await_store($nginx);
        wait_for { untold() == 0 } 20, 'nothing to be left to tell';

        my $next;
        is heard($up, sub { becomes {
            $next = deliver('alpha', $id, at => $other);
            $next->status != 409 } 'then to all' }), '', 'nothing is started';
        replay_is($next, $r, 'the same answer');
    };
}


# What became of it does not arrive, or its reply does not.

for my $end (qw(before after)) {
    subtest "a settlement lost, $end" => sub {
        my %asked = (done => {}, refused => {status => 400},
            unknown => {status => 502});
        my %told = (done => '202 replayed done replayed marked',
            refused => '202 admitted -', unknown => '202 admitted unknown');

        for my $case (sort keys %asked) {
            my $id = fresh();
            my $connection = hold($up, $at{local}, 'alpha', $id,
                stand_in => $asked{$case});

            $proxy->damage(end => $end, on => 'EVALSHA');
            $up->release;
            $connection->response;
            $proxy->await_damage;
            $proxy->heal;

            is told(wait_for {
                my $r = deliver('alpha', $id, at => $other);
                $r->status != 409 && $r;
            } 20, 'the news'), $told{$case}, "$case: told again";
            await_store($nginx);
        }
    };
}


done_testing();
