#!/usr/bin/perl

# Starts of which nobody knows the outcome, and phrony_verify: what the list of
# the agent's sessions says becomes of them.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;
use Phrony::Slots qw(is_known);
use Phrony::Verify;

use Time::HiRes qw(time);

my $another = '0b1c2d3e-0000-4000-8000-0000000000aa';

# how a start is lost, on which port, what the run is then, what the list of
# sessions is made of, and what becomes of the slot: "bound", "free", "kept"

my @lost = (
    ['a reset', 'slow', {accept => 1, break => 'before', reset => 1},
        'bound'],
    ['half an answer', 'slow', {break => 'in-body'}, 'bound'],
    ['no answer', 'brief', {'body-delay' => 30}, 'bound'],
    ['504 by itself', 'slow', {answered => 504}, 'bound'],
    ['502 by itself', 'slow', {answered => 502}, 'bound'],
    ['no runId', 'slow', {omit => 'runId'}, 'bound'],
    ['a run that waits', 'slow', {break => 'in-body'}, 'bound',
        {status => 'WaitingForHITL'}],
    (map { ["ended: $_", 'slow', {break => 'in-body'}, 'free',
        {status => $_}] } qw(Completed Failed TimedOut)),
    ['never there', 'slow', {break => 'before'}, 'kept', {absent => 1}],
    ['a list in gzip', 'slow', {break => 'in-body'}, 'kept',
        {status => 'Completed'}, {gzip => 1}],
    ['a list that is cut', 'slow', {break => 'in-body'}, 'kept',
        {status => 'Completed'}, {break => 'in-body'}],
    ['no list', 'slow', {break => 'in-body'}, 'kept',
        {status => 'Completed'}, {status => 404}],
    ['a list that hangs', 'slow', {break => 'in-body'}, 'kept',
        {status => 'Completed'}, {hang => 1}],
    ['a list that is none', 'slow', {break => 'in-body'}, 'kept',
        {status => 'Completed'}, {set => {items => {}}}],
    ['an empty list that is not all', 'slow', {break => 'in-body'}, 'kept',
        {status => 'Completed'}, {set => {items => [], total => 3}}],
    ['an empty list', 'slow', {break => 'in-body'}, 'kept',
        {status => 'Completed'}, {set => {items => [], total => 0}}],
    ['another trigger', 'slow', {break => 'in-body', trigger => $another},
        'kept', {status => 'Completed'}],
    ['from before', 'slow', {break => 'in-body'}, 'kept',
        {status => 'Completed', startedAt => '2020-01-01T00:00:00.000Z'}],
    ['from the future', 'slow', {break => 'in-body'}, 'kept',
        {status => 'Completed', startedAt => '2099-01-01T00:00:00.000Z'}],
    ['no date', 'slow', {break => 'in-body'}, 'kept',
        {status => 'Completed', startedAt => 'soon'}],
);

my $policy = policy(
    agents => {
        (map { ("lost$_" => {maxConcurrentRuns => 1}) } 0 .. $#lost),
        (map { ($_ => {maxConcurrentRuns => 1}) } qw(canary off open
            unordered)),
        two   => {maxConcurrentRuns => 2},
        older => {maxConcurrentRuns => 2},
        three => {maxConcurrentRuns => 3},
        other => {},
    },
    keys => {alice => {}, bob => {agents => ['other']}},
);

my $up = stand_in(triggers => {map { $policy->agent($_) =>
    $policy->trigger($_) } (map { "lost$_" } 0 .. $#lost), qw(canary off open
    unordered two older three other)});

my %ports = map { ("p_$_" => free_port()) } qw(brief off);

my $nginx = nginx(%ports, http => verify_http() . "
    phrony_verify /phrony_verify;
    phrony_reservation_ttl 25s;
    phrony_run_ttl 1h;

    server {
        listen 127.0.0.1:{{p_brief}};
        proxy_read_timeout 300ms;
        location / { phrony on; proxy_pass http://{{upstream_name}}; }
        @{[verify_location()]}
    }

    server {
        listen 127.0.0.1:{{p_off}};
        phrony_verify off;
        location / { phrony on; proxy_pass http://{{upstream_name}}; }
    }",
    server => verify_location()
        . 'location = /status { phrony_status; }');

sub path { '/v1/agents/' . $policy->agent($_[0]) . '/runs' }


# Starts and does not learn what became of it.  The stand-in makes no run when
# it refuses, so that an answer of 502 or 504 gets one by another start, past
# the gateway.

sub lose {
    my ($agent, $port, $lost) = @_;

    my %asked = (run => uuid(), %$lost);
    my $answered = delete $asked{answered};
    my $client = $port eq 'brief' ? client($ports{p_brief}) : $nginx->client;

    $up->client->req(POST => path($agent), json => {}, key => 'phk_any',
        stand_in => {run => $asked{run}}) if $answered;
    $asked{status} = $answered if $answered;

    my $connection = $client->open_connection;

    $connection->send($client->request_bytes(POST => path($agent), json => {},
        key => $policy->key('alice'), stand_in => \%asked));
    $connection->response(partial => 1);
    $connection->end;

    return $asked{run};
}


my $began = time;
my @runs;

for (0 .. $#lost) {
    my ($name, $port, $lost, $becomes, $members) = @{$lost[$_]};

    push @runs, lose("lost$_", $port, $lost);
    $up->set_run($runs[-1], %$members) if $members && !$members->{absent};
}

# one of two is known, the other lost; of three the upstream knows one

my @two = (hold($up, 'two'), lose('two', 'slow', {break => 'in-body'}));
my @three = (lose('three', 'slow', {break => 'before'}),
    lose('three', 'slow', {break => 'in-body'}),
    lose('three', 'slow', {break => 'before'}));
my $older = lose('older', 'slow', {break => 'in-body'});
my $off = lose('off', 'slow', {break => 'in-body'});

$up->set_run($off, status => 'Completed');

# a start that is still open

my $open = $nginx->client->open_connection;
my $open_run = uuid();

$open->send($nginx->client->request_bytes(POST => path('open'), json => {},
    key => $policy->key('alice'), stand_in => {run => $open_run,
        'body-delay' => 12}));
wait_for { $up->runs->{$open_run} } 10, 'the start that stays open';

# a list whose newest do not stand first says nothing of what is behind it

my $unordered = lose('unordered', 'slow', {break => 'in-body'});

$up->set_run($unordered, status => 'Completed');

my $row = sub {
    return {id => uuid(), agentId => $policy->agent('unordered'),
        triggerId => $policy->trigger('unordered'), status => 'Completed',
        entryRunId => uuid(), rootRunId => $another, startedAt => $_[0]};
};

go_stale($up);


# What was asked for comes after what is younger, from now on.

lose('older', 'slow', {break => 'before'});
is try_start('older', verify => {status => 404})->status, 429,
    'an older one and a younger: no list';


subtest 'what the sessions say' => sub {
    my @r = parallel(map {
        my ($method, $target, %opt) = start_request("lost$_",
            key => 'alice', stand_in => {status => 400});
        push @{$opt{headers}}, 'X-Verify',
            Phrony::Client::stand_in($lost[$_][5]) if $lost[$_][5];
        [$method, $target, %opt];
    } 0 .. $#lost);

    for (0 .. $#lost) {
        my ($name, $port, $lost, $becomes) = @{$lost[$_]};

        is $r[$_]->status, $becomes eq 'free' ? 400 : 429, "$name: $becomes";
        is scalar(asked_sessions($up, $policy->agent("lost$_"))), 1,
            "$name: the sessions were asked for";
        is scalar(asked($up, $runs[$_])), 0, "$name: but not the run";
        is !!is_known($runs[$_]), $becomes ne 'kept',
            "$name: " . ($becomes ne 'kept' ? 'known' : 'not known');
    }

    my $asked = (asked_sessions($up, $policy->agent('lost0')))[0];

    like $asked->{target}, qr{/sessions\?take=50\z}, 'what is asked';
    is_deeply [$up->field($asked, 'X-API-Key')], [$policy->key('alice')],
        "with the caller's key";
    is $up->field($asked, 'X-Asked'), 'run', 'for no run';
};


subtest 'several' => sub {
    is try_start('two')->status, 429, 'both go on';
    ok is_known($two[1]), 'the one that was lost is known';
    $up->set_run($two[0], status => 'Completed');
    poll($two[0], key => 'alice');
    becomes { try_start('two')->status == 400 } 'the other ends: one slot';
    is start_run('two', key => 'alice')->status, 202, 'is taken';
    is try_start('two')->status, 429, 'and no more are free';

    is try_start('three')->status, 429, 'three of which one is there';
    ok is_known($three[1]), 'it is known';
    $up->set_run($three[1], status => 'Failed');
    poll($three[1], key => 'alice');
    becomes { try_start('three')->status == 400 } 'its end frees one';
    is start_run('three', key => 'alice')->status, 202, 'which is taken';
    is try_start('three')->status, 429, 'the others are kept';
};


subtest 'a list out of order' => sub {
    my @times = map { sprintf '2026-01-0%dT00:00:00.000Z', $_ } 1, 3, 2;

    is try_start('unordered', verify => {set => {total => 500,
        items => [map { $row->($_) } @times]}})->status, 429,
        'changes nothing';
    ok !is_known($unordered), 'nothing';
};


subtest 'where it is off' => sub {
    my $r = try_start('off', at => client($ports{p_off}));

    is $r->status, 429, 'kept';
    is scalar(asked_sessions($up, $policy->agent('off'))), 0,
        'nobody is asked';
};


# An open start may find its run in the list; its own answer names the same.

subtest 'a start that is still open' => sub {
    is try_start('open')->status, 429, 'has its slot';
    is $open->response(timeout => 20)->json->{runId}, $open_run,
        'is answered';
    ok is_known($open_run), 'its run is known';
    is try_start('open')->status, 429, 'one slot';
    poll($open_run, key => 'alice', stand_in => {set =>
        {status => 'Completed'}});
    becomes { try_start('open')->status == 400 } 'which its end frees';
};


subtest 'an older one, asked for before, and a younger' => sub {
    ok !is_known($older), 'not known at first';
    is try_start('older')->status, 429, 'one goes on, one is kept';
    is scalar(asked_sessions($up, $policy->agent('older'))), 2,
        'the sessions were asked for again';
    ok is_known($older), 'the older one is known';
};


# After the time of a reservation only bound ones are left.

subtest 'when its time has run out' => sub {
    for my $n (grep { $lost[$_][3] eq 'kept' } 0 .. $#lost) {
        becomes { try_start("lost$n", verify => {status => 500})
            ->status == 400 } "$lost[$n][0]: free";
    }

    cmp_ok time - $began, '>=', 24, 'not before';

    for my $n (grep { $lost[$_][3] eq 'bound' } 0 .. $#lost) {
        my $name = $lost[$n][0];

        is try_start("lost$n", verify => {status => 500})->status, 429,
            "$name: still bound";
        poll($runs[$n], key => 'alice', stand_in => {set =>
            {status => 'Cancelled'}});
        becomes { try_start("lost$n", verify => {status => 500})
            ->status == 400 } "$name: until a poll sees its end";
    }
};


done_testing();
