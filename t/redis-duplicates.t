#!/usr/bin/perl

# Gateways that share a Redis recognise each other's deliveries: one start for
# each, whatever happens to Redis and to them meanwhile.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;
use Phrony::Deliveries;
use Phrony::Fleet;

my $up = stand_in();

my $policy = policy(
    agents => {
        alpha => {},
        count => {rpdLimit => 1000, maxConcurrentRuns => 500},
        slots => {maxConcurrentRuns => 1},
        moment => {rpdLimit => 100},
        warm  => {rpdLimit => 1_000_000},
    },
    keys => {alice => {}, carol => {}},
);

my $redis = redis();
my @MODES = qw(annotate deny allow quick);


# Gateways, each with a port for each mode.

sub gateway {
    my (%opt) = @_;

    my $ports = {map { ("p_$_" => free_port()) } @MODES};
    my $proxy = 'location / { phrony on; proxy_pass http://{{upstream_name}}; }';

    my $nginx = nginx(redis => $redis, %$ports, %opt,
        location => 'location = /status { phrony_status; }',
        http     => "$SHOW $TELL
        phrony_redis_timeout 5s;
        phrony_reservation_ttl 60s;

        server {
            listen 127.0.0.1:{{p_annotate}};
            phrony_duplicates annotate;
            $proxy
        }

        server {
            listen 127.0.0.1:{{p_deny}};
            phrony_store_failure deny;
            $proxy
        }

        server {
            listen 127.0.0.1:{{p_allow}};
            phrony_store_failure allow;
            $proxy
        }

        server {
            listen 127.0.0.1:{{p_quick}};
            phrony_reservation_ttl 2s;
            $proxy
        }
    ");

    await_store($nginx);

    return {nginx => $nginx, plain => $nginx->client,
        map { $_ => client($ports->{"p_$_"}) } @MODES};
}


my @fleet = map { gateway() } 1, 2;
my ($one, $two) = @fleet;
my @both = map { $_->{plain} } @fleet;


# A duplicate of what the other has settled: news of it may be on their way.

sub settled {
    my ($agent, $id, %opt) = @_;

    return wait_for {
        my $r = deliver($agent, $id, %opt);
        $r->status != 409 && $r;
    } 20, 'what became of it';
}


sub both_replay {
    my ($id, $first, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    is heard($up, sub {
        replay_is(settled('alpha', $id, at => $both[$_]), $first,
            "$name: gateway $_") for 0, 1;
    }), '', 'the upstream is not asked';
}


sub untold { $_[0]{plain}->req(GET => '/status')->json->{store}{untold} }


sub all_there {
    await_store($_->{nginx}) for @fleet;
    wait_for { !grep { untold($_) } @fleet } 20, 'nothing left to tell';
}


sub delivery_keys {
    return $redis->keys('phrony:{' . $policy->workspace('main')
        . '}:delivery:*');
}


table(mode => 'replay', up => $up, first => $both[0], again => $both[1],
    shared => 1);
table(mode => 'annotate', up => $up, first => $one->{annotate},
    again => $two->{annotate}, shared => 1);


subtest 'fifty at the same time' => sub {
    for my $round (1 .. 4) {
        my ($id, @r) = (fresh());

        is heard($up, sub { @r = crowd_of(\@both, 50, 'count', $id,
            stand_in => {delay => 0.05}) }), 'none', 'one starts';

        my (%told, %run);
        $told{told($_)}++ for @r;
        $run{$_->json->{runId}}++ for grep { $_->status == 202 } @r;
        is delete $told{'202 admitted -'}, 1, 'one is the first';
        delete @told{'409 refused in-progress',
            '202 replayed done replayed marked'};
        is_deeply \%told, {}, 'all others are duplicates';
        is keys %run, 1, 'of one run';
        is_deeply stores_of(@r), {redis => 50}, 'Redis has decided';
    }

    is((counted($redis, $policy, 'count'))[1], 4, 'four are counted');
    becomes { taken($redis, $policy, 'count') == 4 } 'four hold a slot';

    my @id = map { fresh() } 1 .. 10;
    my @r = map { crowd_of(\@both, 6, 'count', $_) } @id;
    is scalar(grep { told($_) eq '202 admitted -' } @r), 10,
        'one of each, if they differ';
};


subtest 'keys' => sub {
    my $before = delivery_keys();
    my ($done, $busy, $lost, $refused) = map { fresh() } 1 .. 4;

    deliver('alpha', $done, stand_in => {body => '{"runId":"'
        . '0b1c2d3e-0000-4000-8000-000000000001","secret":"sesame"}'});
    my $connection = hold($up, $both[0], 'alpha', $busy);
    deliver('alpha', $lost, stand_in => {status => 502});
    deliver('alpha', $refused, stand_in => {status => 400});

    becomes { delivery_keys() == $before + 3 } 'one for each that is known';

    my $trigger = $policy->trigger('alpha');
    my @keys = delivery_keys();

    is_deeply [grep { !/:delivery:\Q$trigger\E:[0-9a-f]{64}\z/ && /\Q$trigger/ }
        @keys], [], 'named by digests';
    is_deeply [grep { !($redis->call(PTTL => $_) > 0 && $redis->call(PTTL =>
        $_) <= 86_400_000) } @keys], [], 'each has its time';
    is_deeply [$redis->eternal], [], 'as all keys have';

    my $all = join '', map { $redis->call(GET => $_) } @keys;
    unlike "@keys $all", qr/phk_|delivery-\d/, 'with neither key nor id';

    $up->release;
    $connection->response;
};


# Waits until nothing is asked or told any more.

sub quiet {
    my $before = -1;

    all_there();

    wait_for {
        my $now = $redis->calls('evalsha');
        my $same = $now == $before;
        $before = $now;
        select undef, undef, undef, 0.1;
        $same;
    } 10, 'silence';

    $redis->reset_calls;
}


subtest 'one round trip' => sub {
    my $id = fresh();

    quiet();
    my $connection = hold($up, $both[0], 'count', $id);
    is $redis->calls('evalsha'), 1, 'a start: asked once';
    $up->release;
    $connection->response;

    quiet();
    deliver('count', $id, at => $both[1]) for 1 .. 5;
    cmp_ok $redis->calls('evalsha'), '<=', 5, 'a replay: likewise';
    deliver('count', $id, at => $both[1], json => {}) for 1 .. 5;
    cmp_ok $redis->calls('evalsha'), '<=', 10, 'a refusal: likewise';
};


subtest 'a duplicate spends nothing' => sub {
    my ($id, $other) = (fresh(), fresh());
    my $first = deliver('slots', $id, at => $both[0]);

    is deliver('slots', $other, at => $both[1])->status, 429, 'no slot';
    replay_is(settled('slots', $id, at => $both[1]), $first, 'none is needed');
    poll($first->json->{runId}, key => 'alice', at => $both[1],
        stand_in => {set => {status => 'Failed'}});
    becomes { taken($redis, $policy, 'slots') == 0 } 'its run ends';
    replay_is(settled('slots', $id, at => $both[1]), $first, 'still');
    is taken($redis, $policy, 'slots'), 0, 'none is taken';
    is told(deliver('slots', $other, json => {}, at => $both[0])),
        '202 admitted -', 'who was refused has claimed nothing';
};


subtest 'an owner that is late' => sub {
    for my $status (202, 400) {
        my $id = fresh();
        my $connection = hold($up, $one->{quick}, 'alpha', $id,
            stand_in => {$status == 202 ? () : (status => $status)});
        my $r = settled('alpha', $id, at => $both[1]);

        is told($r), '202 admitted unknown', 'its time has run out';
        $up->release;
        is $connection->response->status, $status, "then it gets $status";
        all_there();
        both_replay($id, $r, 'the other one counts');
    }
};


subtest 'limits of the moment' => sub {
    my $id = fresh();

    deliver('moment', $id, at => $both[0]);
    start_run('moment', key => 'alice', at => $both[1]) for 1 .. 3;
    is remaining(settled('moment', $id, at => $both[1]), 'rpd'), 96,
        'counts of all gateways';
};


subtest "another key's" => sub {
    my $id = fresh();

    is told(deliver('alpha', $id, key => $_, at => $both[0])),
        '202 admitted -', $_ for qw(alice carol);
    is told(settled('alpha', $id, key => $_, at => $both[1])),
        '202 replayed done replayed marked', $_ for qw(alice carol);
};


subtest 'scripts that are forgotten' => sub {
    my ($done, $busy) = (fresh(), fresh());
    my $first = deliver('alpha', $done);
    my $connection = hold($up, $both[0], 'alpha', $busy);
    my $flush = sub { $redis->call(SCRIPT => 'FLUSH') };

    $flush->();
    is told(deliver('alpha', $busy, at => $both[1])),
        '409 refused in-progress', 'a claim stands';
    $flush->();
    $up->release;
    my $r = $connection->response;
    $flush->();
    both_replay($busy, $r, 'settled meanwhile');
    $flush->();
    both_replay($done, $first, 'done before');

    for (1 .. 5) {
        my $id = fresh();

        $flush->();
        is heard($up, sub { crowd_of(\@both, 20, 'alpha', $id) }), 'none',
            'one starts';
    }
};


subtest 'a gateway that is killed' => sub {
    my $id = fresh();
    my $connection = hold($up, $one->{quick}, 'alpha', $id);

    $one->{nginx}->kill_worker($_) for $one->{nginx}->workers;
    $up->release;
    my $r = settled('alpha', $id, at => $both[1]);
    is told($r), '202 admitted unknown', 'after its time nobody knows';
    await_store($one->{nginx});
    both_replay($id, $r, 'then it is known');
};


# Redis is lost while a start is on its way: it is told when it is back.  It
# answers nobody for longer than a worker waits for it, or is killed.

my %lost = (
    stopped => [sub { $redis->pause }, sub { $redis->resume }],
    killed  => [sub { $redis->kill }, sub { $redis->start }],
);

for my $name (sort keys %lost) {
    subtest "between claim and settlement: $name" => sub {
        my ($break, $mend) = @{$lost{$name}};
        my %asked = (done => {}, refused => {status => 400},
            unknown => {status => 502});
        my %id = map { $_ => fresh() } keys %asked;

        my %connection = map { $_ => hold($up, $both[0], 'alpha', $id{$_},
            stand_in => $asked{$_}) } sort keys %asked;

        $break->();
        $up->release;
        my %r = map { $_ => $connection{$_}->response } keys %connection;
        is $r{done}->status, 202, 'the client is answered';
        await_store($one->{nginx}, 'local');
        replay_is(deliver('alpha', $id{done}, at => $both[0]), $r{done},
            'this gateway knows');
        $mend->();
        all_there();

        both_replay($id{done}, $r{done}, 'then all do');
        is told(settled('alpha', $id{unknown}, at => $both[1])),
            '202 admitted unknown', 'that nobody knows, too';
        is told(settled('alpha', $id{refused}, at => $both[1])),
            '202 admitted -', 'or that it was refused';
    };
}


subtest 'Redis is away' => sub {
    my ($seen, $busy, $there) = map { fresh() } 1 .. 3;
    my $first = deliver('alpha', $seen, at => $both[0]);
    my $others = deliver('alpha', $there, at => $both[1]);
    my $connection = hold($up, $both[0], 'alpha', $busy);

    $redis->stop;
    await_store($_->{nginx}, 'local') for @fleet;

    replay_is(deliver('alpha', $seen, at => $both[0]), $first, 'seen here');
    is told(deliver('alpha', $seen, json => {}, at => $both[0])),
        '422 refused mismatch', 'with another body';
    is told(deliver('alpha', $busy, at => $both[0])),
        '409 refused in-progress', 'in progress here';
    replay_is(deliver('alpha', $there, at => $both[1]), $others,
        'seen by the other');

    my ($new, $again) = (fresh());
    is heard($up, sub { $again = deliver('alpha', $new, at => $both[0]) }),
        'unknown', 'not seen: the upstream is told';
    is told($again), '202 admitted unknown', 'and decides';
    is heard($up, sub { deliver('alpha', $there, at => $both[0]) }),
        'unknown', 'likewise if the other has seen it';
    replay_is(deliver('alpha', $new, at => $both[0]), $again,
        'what was sent meanwhile is known here');

    is told(deliver('alpha', fresh(), at => $one->{annotate})),
        '202 admitted unknown', 'annotate: likewise';
    is told(deliver('alpha', $seen, at => $one->{annotate})),
        '202 admitted done marked', 'annotate: seen here';
    is told(deliver('alpha', fresh(), at => $one->{allow})),
        '202 admitted unknown', 'allow: likewise';
    is told(start_run('alpha', key => 'alice', at => $both[0])),
        '202 admitted -', 'a start without an id';

    is heard($up, sub {
        problem_is(deliver('alpha', fresh(), at => $one->{deny}), 503,
            'store_unavailable', 'deny: not seen');
        replay_is(deliver('alpha', $seen, at => $one->{deny}), $first,
            'deny: seen here');
    }), '', 'the upstream is not asked';

    $up->release;
    my $late = $connection->response;

    $redis->start;
    all_there();
    both_replay($seen, $first, 'back: what was done before');
    both_replay($busy, $late, 'what was in progress');
    both_replay($new, $again, 'what was done meanwhile');
};


# Last, for the gateways are other ones after it.

subtest 'all gateways start again' => sub {
    my ($done, $lost) = (fresh(), fresh());
    my $first = deliver('alpha', $done, at => $both[0]);

    deliver('alpha', $lost, at => $both[1], stand_in => {status => 502});
    all_there();
    $_->{nginx}->quit for @fleet;
    @fleet = map { gateway() } 1, 2;
    @both = map { $_->{plain} } @fleet;

    both_replay($done, $first, 'done before');
    is told(settled('alpha', $done, json => {}, at => $both[1])),
        '422 refused mismatch', 'another body';
    is told(settled('alpha', $lost, at => $both[0])),
        '202 admitted unknown', 'what nobody knew';

    $redis->restart;
    all_there();
    both_replay($done, $first, 'Redis, too');
    is_deeply [$redis->eternal], [], 'each key has its time';
};


done_testing();
