#!/usr/bin/perl

# Runs that several gateways share: who may see them, what passes, and the end
# that one gateway sees of a run that another has started.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;
use Phrony::Fleet;
use Phrony::Runs;

my $up = stand_in();

my $policy = policy(
    agents => {
        (map { ("one$_" => {maxConcurrentRuns => 1}) } 1 .. 40),
        other => {},
        warm  => {},
    },
    keys => {alice => {}, bob => {agents => ['other']}},
);

my $redis = redis();

my @nginx = map { nginx(redis => $redis, http => $SHOW) } 1, 2;
my ($first, $second) = @nginx;

# where a lease is short

my $short = nginx(redis => $redis, http => "$SHOW phrony_run_ttl 2s;");

await_store($_) for @nginx, $short;

my $count = 0;


# A run that was started at a gateway, once both know it: before that, what
# passes at the other is about a run that nobody knows.

sub run_of_one {
    my ($at) = @_;

    my $agent = 'one' . ++$count;
    my $run = start_run($agent, key => 'alice', at => $at)->json->{runId};

    for my $nginx (@nginx) {
        wait_for { poll($run, key => 'bob', at => $nginx)->status == 403 } 10,
            'the run to be known';
    }

    return ($agent, $run);
}


sub stream_at {
    my ($at, $run, %opt) = @_;

    return open_stream($run, at => $at->client, %opt);
}


# A start that the upstream refuses gives its slot back.

sub status_at {
    my ($at, $agent) = @_;

    return start_run($agent, key => 'alice', at => $at,
        stand_in => {status => 400})->status;
}


subtest 'started at one, its stream watched at another' => sub {
    for ([$first, $second], [$second, $first], [$first, $first]) {
        my ($starts, $watches) = @$_;
        my ($agent, $run) = run_of_one($starts);
        my $connection = stream_at($watches, $run);

        ok events_pass($up, $run, $connection,
            event(step => 'a', {runId => $run})), 'an event passes';
        is_deeply [map { status_at($_, $agent) } @nginx], [429, 429],
            'the run goes on';

        ok events_pass($up, $run, $connection, ends($run)), 'its end';
        becomes { taken($redis, $policy, $agent) == 0 } 'frees the slot';
        is_deeply [map { status_at($_, $agent) } @nginx], [400, 400],
            'for both';
        ok events_pass($up, $run, $connection, event(step => 'b', {})),
            'the stream goes on';

        is poll($run, key => 'bob', at => $_)->status, 403, 'it stays known'
            for @nginx;
        $up->close_streams($run);
    }
};


subtest 'what the stream costs Redis' => sub {
    my ($agent, $run) = run_of_one($first);
    my $connection = stream_at($second, $run);

    events_pass($up, $run, $connection, event(step => 'a', {runId => $run}));
    $redis->reset_calls;

    ok events_pass($up, $run, $connection,
        map { event(step => $_, {runId => $run}) } 1 .. 200), '200 events';
    cmp_ok $redis->calls('evalsha'), '<=', 2,
        'renew the lease no more often than is needed';

    ok events_pass($up, $run, $connection, ends($run)), 'the end';
    becomes { taken($redis, $policy, $agent) == 0 } 'is told at once';
    $redis->reset_calls;
    events_pass($up, $run, $connection, ends($run)) for 1 .. 10;
    is $redis->calls('evalsha'), 0, 'and once';
    $up->close_streams($run);
};


# What renews the lease at one gateway keeps it for all of them.

subtest 'renewed elsewhere' => sub {
    my %run = map { $_ => [run_of_one($short)] }
        qw(idle event messages input);
    my $connection = stream_at($short, $run{event}[1]);
    my $began = time;

    while (time < $began + 5) {
        events_pass($up, $run{event}[1], $connection,
            event(step => 'a', {runId => $run{event}[1]}));

        for my $what (qw(messages input)) {
            my $run = $run{$what}[1];

            $short->client->req(POST => "/v1/runs/$run/$what",
                key => $policy->key('alice'), json => {runId => $run});
        }

        select undef, undef, undef, 0.1;
    }

    is status_at($first, $run{idle}[0]), 400, 'nobody touched it: runs out';
    is status_at($first, $run{$_}[0]), 429, "$_: keeps"
        for qw(event messages input);
    becomes { status_at($first, $run{messages}[0]) == 400 }
        'until they end';
    $up->close_streams($run{event}[1]);
};


my @below = ([GET => ''], [GET => '/conversation'], [GET => '/stream'],
    [POST => '/messages'], [POST => '/input'], [POST => '/skip-agent-wait'],
    [HEAD => ''], [DELETE => ''], [GET => '/else']);


sub refused_at {
    my ($at, $run, $name) = @_;

    my $seen = $up->count;

    for (@below) {
        my ($method, $below) = @$_;
        my $r = $at->client->req($method => "/v1/runs/$run$below",
            key => $policy->key('bob'));

        $method eq 'HEAD' ? is $r->status, 403, "$name: HEAD"
            : problem_is($r, 403, 'run_out_of_scope',
                "$name: $method $below");
    }

    is $up->count, $seen, "$name: the upstream has seen none of them";
}


subtest 'who may see a run' => sub {
    my ($agent, $run) = run_of_one($first);

    refused_at($first, $run, 'where it was started');
    refused_at($second, $run, 'elsewhere');
    refused_at($second, uc $run, 'in capitals');

    is $first->quit, 0, 'the gateway ends';
    refused_at($second, $run, 'without it');
    delete $first->{code};
    $first->start;
    await_store($first);
    refused_at($first, $run, 'started anew');
    is poll($run, key => 'alice', at => $_)->status, 200, 'whose scope it is'
        for @nginx;
};


subtest 'a run that nobody knows' => sub {
    my $run = $up->client->req(POST => '/v1/agents/' . $policy->agent('other')
        . '/runs', key => 'phk_any', json => {},
        stand_in => {state => 'WaitingForTimer'})->json->{runId};

    for my $at (@nginx) {
        for my $key (qw(alice bob)) {
            is poll($run, key => $key, at => $at)->status, 200,
                "$key: the upstream decides";
        }

        my $connection = stream_at($at, $run, key => $policy->key('bob'));

        ok events_pass($up, $run, $connection, ends($run)),
            'its stream passes';
        $up->close_streams($run);
    }

    is poll('0b1c2d3e-0000-4000-8000-0000000000aa', key => 'bob', at => $_)
        ->status, 404, 'one that the upstream does not know' for @nginx;
};


subtest 'everything below a run' => sub {
    for ([$first, $second], [$second, $first]) {
        my ($starts, $asks) = @$_;
        my ($agent, $run) = run_of_one($starts);

        my $ask = sub {
            my ($method, $below, %opt) = @_;
            return $asks->client->req($method => "/v1/runs/$run$below",
                key => $policy->key('alice'), %opt);
        };

        is $ask->(GET => '')->json->{status}, 'Running', 'status';
        is $ask->(HEAD => '')->status, 200, 'HEAD';
        is $ask->(GET => '/conversation?stepContent=slim')
            ->json->{runs}[0]{id}, $run, 'conversation';

        for my $what (qw(messages input)) {
            $up->set_run($run, status => 'WaitingForHITL');
            my $r = $ask->(POST => "/$what", json => {runId => $run,
                text => 'x' x 5000});
            is_deeply [$r->status, $r->json->{status}], [202, 'Running'],
                $what;
            is decode_json($up->last_request->{body})->{text}, 'x' x 5000,
                'its body';
        }

        is $ask->(POST => '/skip-agent-wait')->status, 400,
            'skip-agent-wait, the upstream refuses';
        $up->set_run($run, status => 'WaitingForTimer');
        is $ask->(POST => '/skip-agent-wait')->status, 202,
            'skip-agent-wait';

        is status_at($starts, $agent), 429, 'the run goes on';
        $up->set_run($run, status => 'Cancelled');

        my @events = $ask->(GET => '/stream')->body =~ /"subject":"([^"]+)"/g;

        is $events[-1], 'engine.session.cancelled', 'stream';
        becomes { status_at($starts, $agent) == 400 } 'which says the end';
        is $ask->(GET => '')->json->{status}, 'Cancelled', 'status';
    }
};


# A worker that is asked to end tells what it still sees.

subtest 'a reload' => sub {
    my ($agent, $run) = run_of_one($first);
    my ($idle, $other) = run_of_one($first);
    my $connection = stream_at($second, $run);

    ok $second->reload, 'reloaded';
    await_store($second);
    ok events_pass($up, $run, $connection, event(step => 'a', {})),
        'the old worker passes on';
    is status_at($first, $agent), 429, 'the run goes on';
    ok events_pass($up, $run, $connection, ends($run)), 'its end';
    becomes { status_at($first, $agent) == 400 } 'frees the slot';
    is status_at($first, $idle), 429, 'that of this run alone';
    $up->close_streams($run);
};


done_testing();
