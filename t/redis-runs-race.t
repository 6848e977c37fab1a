#!/usr/bin/perl

# The moment between two gateways: a run is asked for at one of them before
# what the other has to say of it has come to Redis.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;
use Phrony::Fleet;
use Phrony::Runs;

my $up = stand_in();

my $policy = policy(
    agents => {
        (map { ("one$_" => {maxConcurrentRuns => 1}) } 1 .. 220),
        other => {},
        warm  => {},
    },
    keys => {alice => {}, bob => {agents => ['other']}},
);

my $redis = redis();
my $proxy = redis_proxy($redis);

my ($first, $second) = map { nginx(redis => $redis, http => $SHOW) } 1, 2;

# what this one says of a run can be held back

my $slow = nginx(redis => 'redis://' . $proxy->address, workers => 1,
    http => "$SHOW phrony_redis_timeout 20s;");

await_store($_) for $first, $second, $slow;

my $count = 0;


sub run_at {
    my ($at, %asked) = @_;

    my $agent = 'one' . ++$count;

    return ($agent, start_run($agent, key => 'alice', at => $at,
        stand_in => \%asked)->json->{runId});
}


# The same, of which Redis has not heard but for its start; until heal().

sub held_run {
    $proxy->damage(hold => 'commands', on => 'phrony:run:');

    my @run = run_at($slow, @_);

    $proxy->await_damage;

    return @run;
}


# Polls a run that the gateway does not know, until it has been looked for again
# in vain: what comes then comes after what came then for any before.

sub poll_in_vain {
    my ($run, $key) = @_;

    $redis->reset_calls;

    my $r = poll($run, key => $key, at => $second);

    wait_for { $redis->calls('get') >= 2 } 10, 'the run to be looked for';

    return $r;
}


sub free { taken($redis, $policy, $_[0]) == 0 }


# Whether Redis knows something of a run other than that it goes on.

sub ended {
    my ($agent, $run) = @_;

    return ($redis->call(ZSCORE => runs_key($policy, $agent), $run) // 0) < 0;
}


subtest 'a poll that comes first' => sub {
    my ($agent, $run) = held_run(finish => 'polls:1');

    is poll_in_vain($run, 'alice')->json->{status}, 'Completed',
        'says the end';
    ok !ended($agent, $run), 'which nobody can be told';
    $proxy->heal;
    becomes { free($agent) } 'frees the slot as soon as it is known whose';
};


subtest 'a stream that comes first' => sub {
    my ($agent, $run) = held_run();
    my $connection = open_stream($run, at => $second->client);

    ok events_pass($up, $run, $connection, ends($run)), 'its end';
    $proxy->heal;
    becomes { free($agent) } 'frees the slot';
    $up->close_streams($run);
};


subtest 'a stream that lasts' => sub {
    my ($agent, $run) = held_run();

    $redis->reset_calls;

    my $connection = open_stream($run, at => $second->client);

    ok events_pass($up, $run, $connection, event(step => 'a', {})),
        'a sign of life';
    becomes { $redis->calls('get') >= 2 } 'the run is looked for';
    $proxy->heal;
    becomes { poll($run, key => 'bob', at => $second)->status == 403 }
        'it becomes known';
    is start_run($agent, key => 'alice', at => $second)->status, 429,
        'the run goes on';
    ok events_pass($up, $run, $connection, ends($run)), 'its end';
    becomes { free($agent) } 'frees the slot';
    $up->close_streams($run);
};


# What bob sees is left to the upstream, and is not his to tell.

subtest 'a key without the scope' => sub {
    my ($agent, $run) = held_run(finish => 'polls:1');

    is poll_in_vain($run, 'bob')->json->{status}, 'Completed',
        'is told the end';
    $proxy->heal;

    # an end that waits behind it

    my ($later, $other) = held_run(finish => 'polls:1');

    poll_in_vain($other, 'alice');
    $proxy->heal;
    becomes { free($later) } 'an end with the scope is told';
    ok !free($agent), 'the other is not';
};


subtest 'a run that nobody knows' => sub {
    my $keys = join ' ', sort @{$redis->call(KEYS => '*')};
    my @known = sort grep { !/:window:/ } split / /, $keys;

    for (1 .. 20) {
        my $run = $up->client->req(POST => '/v1/agents/'
            . $policy->agent('other') . '/runs', key => 'phk_any', json => {},
            stand_in => {finish => 'now'})->json->{runId};

        poll($run, key => 'alice', at => $second) for 1 .. 3;
    }

    # what waits behind them is told later

    my ($agent, $run) = held_run(finish => 'polls:1');

    poll_in_vain($run, 'alice');
    $proxy->heal;
    becomes { free($agent) } 'an end is told';

    my @more = grep { !/:window:|\Q$run\E/ } @{$redis->call(KEYS => '*')};
    my %known = map { $_ => 1 } @known, runs_key($policy, $agent);

    is_deeply [grep { !$known{$_} } @more], [], 'Redis has heard of none';
};


subtest 'a hundred streams, at once' => sub {
    my @agents = map {
        my ($agent, $run) = run_at($first);
        my $connection = open_stream($run, at => $second->client);
        events_pass($up, $run, $connection, ends($run));
        $up->close_streams($run);
        $agent;
    } 1 .. 100;

    becomes { !grep { !free($_) } @agents } 'all slots are free';
};


subtest 'a hundred polls, at once' => sub {
    my @agents = map {
        my ($agent, $run) = run_at($first, finish => 'polls:1');
        poll($run, key => 'alice', at => $second);
        $agent;
    } 1 .. 100;

    becomes { !grep { !free($_) } @agents } 'all slots are free';
};


done_testing();
