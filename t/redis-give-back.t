#!/usr/bin/perl

# What Redis has granted to somebody who is not there any more is given back,
# long before the lease runs out.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;
use Phrony::Fleet;

my $up = stand_in();

my $policy = policy(
    agents => {
        (map { ("one$_" => {maxConcurrentRuns => 1}) } 1 .. 60),
        crowd => {maxConcurrentRuns => 1000},
        warm => {rpdLimit => 1_000_000},
    },
    keys => {alice => {}},
);

my $redis = redis();
my $proxy = redis_proxy($redis);
my $ports = {map { ("p_$_" => free_port()) } qw(deny allow quick)};

my $status = 'location = /status { phrony_status; }';
my $pair = nginx(redis => 'redis://' . $proxy->address, http => $SHOW,
    location => $status);

# A worker must not give up before the test does.

my $nginx = nginx(
    %$ports,
    workers    => 1,
    redis      => 'redis://' . $proxy->address,
    access_log => '{{dir}}/access.log',
    location   => $status,
    http       => "$SHOW
    phrony_redis_timeout 5s;
    phrony_reservation_ttl 1h;
    phrony_run_ttl 1h;

    server {
        listen 127.0.0.1:{{p_deny}};
        phrony_store_failure deny;
        location / { phrony on; proxy_pass http://{{upstream_name}}; }
    }

    server {
        listen 127.0.0.1:{{p_allow}};
        phrony_store_failure allow;
        location / { phrony on; proxy_pass http://{{upstream_name}}; }
    }

    server {
        listen 127.0.0.1:{{p_quick}};
        phrony_reservation_ttl 3s;
        location / { phrony on; proxy_pass http://{{upstream_name}}; }
    }
");

await_store($_) for $nginx, $pair;

my %at = (local => $nginx->client,
    map { /p_(.*)/ => client($ports->{$_}) } keys %$ports);
my $count = 0;

sub untold { ($_[0] // $nginx)->client->req(GET => '/status')->json
    ->{store}{untold} }
sub agent { 'one' . ++$count }
sub slots { taken($redis, $policy, $_[0]) }


# A start whose answer is not waited for.

sub send_start {
    my ($mode, $agent, %asked) = @_;

    my $connection = $at{$mode}->open_connection;
    my ($method, $target, %opt) = start_request($agent, key => 'alice',
        %asked ? (stand_in => \%asked) : ());

    $connection->send($at{$mode}->request_bytes($method, $target, %opt));

    return $connection;
}


sub access_log {
    my ($pattern) = @_;

    my $log = do { local (@ARGV, $/) = $nginx->dir . '/access.log'; <> };

    return scalar(() = $log =~ /$pattern/g);
}


# Decided, as far as Redis is concerned; nginx does not hear of it.

sub granted_unheard {
    my ($mode, $agent, %asked) = @_;

    $proxy->damage(hold => 'replies', on => 'EVALSHA');

    my $connection = send_start($mode, $agent, %asked);

    $proxy->await_damage;
    is slots($agent), 1, "$mode: Redis has granted a slot";

    return $connection;
}


subtest 'a client that goes before the reply' => sub {
    for my $mode (qw(local deny allow)) {
        my $agent = agent();
        my $gone = access_log(qr/" 499 /);
        my $seen = $up->state->{requests};

        granted_unheard($mode, $agent)->end;
        wait_for { access_log(qr/" 499 /) > $gone } 10, 'it to be noticed';
        is slots($agent), 1, 'nothing yet';
        $proxy->heal;
        becomes { slots($agent) == 0 } 'it is given back';
        is $up->state->{requests}, $seen, 'the upstream was not asked';
        is start_run($agent, key => 'alice')->status, 202, 'another takes it';
    }
};


subtest 'many clients, some of which go' => sub {
    my @agents = map { agent() } 1 .. 12;
    my $gone = access_log(qr/" 499 /);

    $proxy->damage(hold => 'replies', on => 'EVALSHA');

    my @open = map { send_start('local', $_) } @agents;
    $proxy->await_damage(12);
    $_->end for @open[map { 2 * $_ } 0 .. 5];
    wait_for { access_log(qr/" 499 /) == $gone + 6 } 10, 'them to be noticed';
    $proxy->heal;

    is_deeply [map { $_->response->status } @open[map { 2 * $_ + 1 } 0 .. 5]],
        [(202) x 6], 'the others have their answers';
    becomes { join('', map { slots($_) } @agents) eq '01' x 6 }
        'and their slots';
};


subtest 'a worker that quits before the reply' => sub {
    my $agent = agent();
    my $connection = granted_unheard('local', $agent);
    my ($old) = $nginx->workers;

    ok $nginx->reload, 'a reload';
    ok -d "/proc/$old", 'the old worker waits';
    $proxy->heal;
    is $connection->response->status, 202, 'until its client has the answer';
    wait_for { !-d "/proc/$old" } 20, 'its end';
    await_store($nginx);
    becomes { slots($agent) == 1 } 'its slot is that of a run';
    problem_is(start_run($agent, key => 'alice'), 429, 'concurrency_limited',
        'for all to see');

    # the same, and the client goes

    $agent = agent();
    my $gone = access_log(qr/" 499 /);
    $connection = granted_unheard('local', $agent);
    ($old) = $nginx->workers;
    ok $nginx->reload, 'another reload';
    $connection->end;
    wait_for { access_log(qr/" 499 /) > $gone } 10, 'it to be noticed';
    $proxy->heal;
    becomes { slots($agent) == 0 } 'given back';
    becomes { !-d "/proc/$old" } 'and the worker ends';
    await_store($nginx);
};


subtest 'a worker that is told to end before the reply' => sub {
    my ($agent, $brief) = (agent(), agent());
    my @open = (granted_unheard('local', $agent),
        send_start('quick', $brief));

    wait_for { slots($brief) == 1 } 10, 'both';
    $nginx->kill_worker(undef, 'TERM');
    $proxy->heal;
    becomes { slots($agent) == 0 } 'given back';
    becomes { slots($brief) == 0 } 'likewise';
    await_store($nginx);

    # nobody is left to do it for one that was killed: its time runs out

    $brief = agent();
    granted_unheard('quick', $brief);
    $nginx->kill_worker;
    $proxy->heal;
    is slots($brief), 1, 'killed: the lease stands';
    becomes { slots($brief) == 0 } 'until its time has run out';
    await_store($nginx);
};


# Redis never got it, or its reply is lost: who asked is not told a lie, and
# nothing stays taken that nobody holds.

for my $end (qw(before after within)) {
    subtest "a connection lost, $end" => sub {
        my %expected = (local => 202, deny => 503, allow => 202);

        for my $mode (sort keys %expected) {
            my $agent = agent();

            $proxy->damage(end => $end, on => 'EVALSHA');
            my $r = start_run($agent, key => 'alice', at => $at{$mode},
                stand_in => {status => 400});
            $proxy->await_damage;
            is $r->status, $mode eq 'deny' ? 503 : 400, "$mode: the answer";
            await_store($nginx);
            becomes { slots($agent) == 0 } 'no slot is left';
            is start_run($agent, key => 'alice')->status, 202,
                'another takes it';
        }

        my $agent = agent();

        $proxy->damage(end => $end, on => 'EVALSHA');
        my $r = start_run($agent, key => 'alice');
        is_deeply [$r->status, $r->header('X-Store')], [202, 'local'],
            'a run that was started meanwhile';
        await_store($nginx);
        becomes { slots($agent) == 1 } 'holds one';
        problem_is(start_run($agent, key => 'alice'), 429,
            'concurrency_limited', 'which is the limit');
        poll($r->json->{runId}, key => 'alice',
            stand_in => {set => {status => 'Failed'}});
        becomes { slots($agent) == 0 } 'and gives it back at its end';
    };
}


# A slot that was taken while Redis was away, and what became of it, are told
# one after the other, and both again if nobody knows whether they arrived.

subtest 'news that are told twice' => sub {
    my %left = (run => 1, refused => 0, ended => 0);
    my %asked = (run => {}, refused => {status => 400},
        ended => {finish => 'now'});

    for my $case (sort keys %left) {
        my @agents = map { agent() } 1 .. 4;
        my $all = sub { my $n = $_[0]; !grep { slots($_) != $n } @agents };
        my $seen = $up->state->{requests};

        $proxy->damage(refuse => 1);
        await_store($nginx, 'local');

        my @open = map { send_start('local', $_, delay => 2,
            %{$asked{$case}}) } @agents;
        wait_for { $up->state->{requests} >= $seen + 4 } 10, 'the starts';

        $proxy->damage(drop => 'replies', on => 'EVALSHA');
        becomes { $all->(1) } "$case: the slots are told";
        $_->response for @open;
        becomes { $all->($left{$case}) } 'and what became of them';

        $proxy->heal;
        $proxy->cut;
        await_store($nginx);
        wait_for { untold() == 0 } 10, 'nothing to be left to tell';
        ok $all->($left{$case}), 'told again: the same';
    }
};


# The same with many at a time, in whatever order it happens; one worker tells
# what the other has left untold.

subtest 'a crowd whose replies are lost' => sub {
    my $expected = 0;

    for my $round (1 .. 3) {
        $proxy->damage(drop => 'replies', on => 'EVALSHA');

        my @r = crowd([$pair], 200, 'crowd');
        is_deeply stores_of(@r), {local => 200},
            "$round: decided without Redis";
        $expected += grep { $_->status == 202 } @r;

        $proxy->heal;
        $proxy->cut;
        await_store($pair);
        wait_for { untold($pair) == 0 } 10, 'nothing to be left to tell';
        is slots('crowd'), $expected, 'each has one slot in the end';
    }
};


# What is told does not need an answer, but must arrive.

subtest 'a binding and a release that are lost' => sub {
    for my $end (qw(before after)) {
        await_store($nginx);

        my ($agent, $other) = (agent(), agent());
        my $run = start_run($agent, key => 'alice')->json->{runId};
        my $held = $up->state->{requests};
        my $connection = send_start('local', $other, delay => 0.5,
            status => 400);

        wait_for { $up->state->{requests} > $held } 10, 'a start';
        becomes { slots($_) == 1 } 'a slot is taken' for $agent, $other;

        $proxy->damage(end => $end, on => $policy->trigger($agent));
        poll($run, key => 'alice', stand_in => {set => {status => 'Failed'}});
        $proxy->await_damage;
        $connection->response;

        await_store($nginx);
        becomes { slots($_) == 0 } "$end: free in the end" for $agent, $other;
    }
};


done_testing();
