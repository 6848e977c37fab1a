#!/usr/bin/perl

# phrony_verify: before a start is refused for concurrency, the upstream is
# asked whether runs that were not seen for a while have ended.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;
use Phrony::Slots qw(is_known);
use Phrony::Verify;

use Time::HiRes qw(sleep);

my $up = stand_in();

# what the upstream says of a run, whether that frees its slot, and the run's
# status

my $done = {status => 'Completed'};
my $another = '0b1c2d3e-0000-4000-8000-0000000000aa';

my @answers = (
    (map { [$_, 1, {}, $_] } qw(Completed Failed Cancelled Terminated
        TimedOut completed)),
    (map { [$_, 0, {}, $_] } qw(WaitingForHITL WaitingForTimer Paused)),
    ['no runId', 1, {omit => 'runId', set => $done}],
    ['its status first', 1, {body => '{"status":"Failed","output":{"status":'
        . '"Running"}}'}],
    ['two, the last is an end', 1,
        {body => '{"status":"Running","status":"Failed"}'}],
    ['two, the first is an end', 0,
        {body => '{"status":"Failed","status":"Running"}'}],
    ['in chunks', 1, {set => $done, chunked => 1, pieces => 3}],
    ['until the end of the connection', 1,
        {set => $done, 'until-close' => 1}],
    ['another run', 0, {set => {%$done, runId => $another}}],
    ['a status below', 0, {body => '{"run":{"status":"Completed"}}'}],
    ['no status', 0, {omit => 'status'}],
    ['a status that is none', 0, {set => {status => ['Completed']}}],
    ['no JSON', 0, {body => '{"status":"Completed"'}],
    ['more than JSON', 0, {body => '{"status":"Completed"} x'}],
    ['a list', 0, {body => '["status","Completed"]'}],
    ['nothing', 0, {body => ''}],
    ['in gzip', 0, {set => $done, gzip => 1}],
    ['half an answer', 0, {set => $done, break => 'in-body'}],
    (map { ["status $_", 0, {set => $done, status => $_}] } 201, 202, 203,
        204),
    (map { ["status $_, an end", 0, {status => $_,
        body => '{"status":"Completed"}'}] } 301, 304, 400, 401, 403, 404, 410,
        429, 500, 502, 503, 504),
    (map { ["breaks: $_", 0, {set => $done, break => $_}] } qw(request before
        in-header)),
    ['a reset', 0, {break => 'before', reset => 1}],
);

my $policy = policy(
    agents => {
        (map { ("answer$_" => {maxConcurrentRuns => 1}) } 0 .. $#answers),
        (map { ($_ => {maxConcurrentRuns => 1}) } qw(canary goes off claim
            claimed other dry body head twin fresh cached)),
        five   => {maxConcurrentRuns => 5},
        order  => {maxConcurrentRuns => 6},
        crowd  => {maxConcurrentRuns => 4},
        count  => {maxConcurrentRuns => 1, rpmLimit => 100, rpdLimit => 100},
        minute => {maxConcurrentRuns => 1, rpmLimit => 1},
        day    => {maxConcurrentRuns => 1, rpdLimit => 1},
        none   => {maxConcurrentRuns => 0},
    },
    keys => {alice => {}, bob => {agents => ['other']}},
);

my %ports = map { ("p_$_" => free_port()) } qw(off dry cached);

my $nginx = nginx(%ports,
    http => verify_http() . <<'END',

    proxy_cache_path cache keys_zone=answers:1m;

    phrony_verify /phrony_verify;
    proxy_next_upstream off;
    add_header X-Outcome $phrony_outcome always;

    server {
        listen 127.0.0.1:{{p_off}};
        phrony_verify off;
        location / { phrony on; proxy_pass http://{{upstream_name}}; }
    }

    server {
        listen 127.0.0.1:{{p_dry}};
        phrony_dry_run on;
        location / { phrony on; proxy_pass http://{{upstream_name}}; }
        {{verify}}
    }

    server {
        listen 127.0.0.1:{{p_cached}};
        proxy_cache_key one;
        proxy_cache_valid 200 1m;
        location / { phrony on; proxy_pass http://{{upstream_name}}; }
        location = /phrony_verify {
            internal;
            proxy_cache answers;
            proxy_set_header X-Stand-In $asked_for;
            proxy_set_header X-Asked "run $phrony_verify_run_id";
            proxy_pass http://{{upstream_name}}$phrony_verify_path;
        }
    }
END
    verify => verify_location(),
    server => verify_location()
        . 'location = /status { phrony_status; }');

my @key = (key => $policy->key('alice'));

sub at { client($ports{"p_$_[0]"}) }


# Everything is prepared first: they become old together.

my %run = map { $_ => hold($up, $_) } qw(goes off claim claimed dry other body
    head twin fresh cached count minute day);

my @answer_runs = map { hold($up, "answer$_", state => $answers[$_][3]) }
    0 .. $#answers;

$up->set_run($run{$_}, status => 'Completed')
    for grep { $_ !~ /^(?:goes|claimed|other)\z/ } keys %run;

my @five = map { hold($up, 'five', state => 'Completed') } 1 .. 5;
my @order = map { hold($up, 'order') } 1 .. 6;
my @crowd = map { hold($up, 'crowd', state => $_) }
    qw(Completed Running Completed Running);

# those that were seen are no longer the least recently seen

poll($_, key => 'alice') for @order[0, 2];

is try_start($_)->status, 429, "$_: at first nobody is asked"
    for qw(goes five order);
is scalar(grep { asked($up, $_) } values %run, @five, @order), 0,
    'really nobody';

go_stale($up);


subtest 'a run that has ended' => sub {
    my $r = start_run('body', key => 'alice', json => {input => {a => 1}},
        headers => ['X-More' => 'yes', 'If-None-Match' => '"x"',
            'If-Modified-Since' => 'Thu, 01 Jan 2026 00:00:00 GMT',
            Range => 'bytes=0-1', 'Accept-Encoding' => 'gzip',
            'Content-MD5' => 'x', 'Content-Language' => 'en',
            TE => 'trailers', Expect => '100-continue',
            'Idempotency-Key' => 'body-1', Cookie => 'a=b']);

    is $r->status, 202, 'its slot is free';
    is $r->header('X-Outcome'), 'admitted', 'the outcome';
    ok $r->json->{runId}, 'the upstream has started a run';
    ok is_known($r->json->{runId}), 'which is known';
    ok is_known($run{body}), 'as is the one that has ended';

    my @asked = asked($up, $run{body});

    is @asked, 1, 'asked once';
    is $asked[0]{body}, '', 'without a body';
    is_deeply [$up->field($asked[0], 'X-API-Key')], [$policy->key('alice')],
        "with the caller's key";
    is $up->field($asked[0], $_->[0]), $_->[1], "and the field $_->[0]"
        for ['X-More', 'yes'], ['Cookie', 'a=b'];
    is $up->field($asked[0], $_), undef, "but not $_"
        for qw(Content-Type Content-Length Content-MD5 Content-Language
            Transfer-Encoding If-None-Match
            If-Modified-Since Range Accept-Encoding TE Expect
            Idempotency-Key X-Phrony-Duplicate-Delivery);

    is decode_json($up->last_request(qr{\APOST .*@{[$policy->agent('body')]}})
        ->{body})->{input}{a}, 1, 'the start has its own body';
    is try_start('body')->status, 429, 'and holds the slot';
};


subtest 'a run that goes on' => sub {
    my $r = try_start('goes');

    problem_is($r, 429, 'concurrency_limited', 'is no reason to admit');
    is $r->header('X-Outcome'), 'refused', 'the outcome';
    like $r->header('Retry-After'), qr/\A[1-9]\d*\z/, 'a hint';
    is asked($up, $run{goes}), 1, 'it was asked for';
    is try_start('goes')->status, 429, 'once more';
    sleep 1.1;
    is try_start('goes')->status, 429, 'and later';
    is asked($up, $run{goes}), 1, 'it was seen, and is left alone';
};


# Many answers at the same time, one for each trigger.

subtest 'what the upstream says' => sub {
    my @r = parallel(map {
        my ($method, $target, %opt) = start_request("answer$_",
            key => 'alice', stand_in => {status => 400});
        push @{$opt{headers}}, 'X-Verify',
            Phrony::Client::stand_in($answers[$_][2]);
        [$method, $target, %opt];
    } 0 .. $#answers);

    for (0 .. $#answers) {
        my ($name, $frees) = @{$answers[$_]};

        is $r[$_]->status, $frees ? 400 : 429,
            "$name: " . ($frees ? 'has ended' : 'nothing is changed');
        cmp_ok scalar(asked($up, $answer_runs[$_])), '>=', 1,
            "$name: asked";
    }
};


subtest 'not asked' => sub {
    problem_is(try_start('off', at => at('off')), 429, 'concurrency_limited',
        'where it is off');
    problem_is(try_start('none'), 429, 'concurrency_limited',
        'a limit of 0');
    problem_is(try_start($_), 429, 'rate_limited', "the $_ is full, too")
        for qw(minute day);
    problem_is(try_start('head', body => '{'), 400, 'body_invalid',
        'a bad body');
    is req(GET => '/v1/agents/' . $policy->agent('head'), @key)->status, 200,
        'another request';

    is scalar(asked($up, $run{$_})), 0, $_ for qw(off minute day head);
};


subtest 'the dry run' => sub {
    my $r = start_run('dry', key => 'alice', at => at('dry'));

    is $r->status, 202, 'refuses nothing';
    is $r->header('X-Outcome'), 'admitted', 'and says what would be';
};


subtest 'an answer from a cache' => sub {
    my @opt = (at => at('cached'), verify => {omit => 'runId', set => $done});

    is try_start('fresh', @opt)->status, 400, 'new, it is believed';
    is try_start('cached', @opt)->status, 429, 'old, it is not';
    is scalar(asked($up, $run{cached})), 0, 'which it was';
};


subtest 'two triggers of one key' => sub {
    is try_start('twin')->status, 400, 'one';
    is scalar(asked($up, $run{other})), 0, 'the other is not asked for';
    is try_start('other')->status, 429, 'and still taken';
    is scalar(asked($up, $run{other})), 1, 'until it is its turn';
};


subtest 'counts' => sub {
    my $r = start_run('count', key => 'alice');

    is $r->status, 202, 'admitted at the second try';
    like $r->header('RateLimit'), qr/"rpm";r=98\b.*"rpd";r=98\b.*"runs";r=0/,
        'counted once';
    $r = try_start('count');
    is $r->status, 429, 'the next one';
    like $r->header('RateLimit'), qr/"rpm";r=98\b.*"rpd";r=98\b.*"runs";r=0/,
        'is not counted';
};


# So many at once, though there are more; the next second the rest.

subtest 'five that have ended' => sub {
    is try_start('five')->status, 400, 'one start';
    is scalar(grep { asked($up, $_) } @five), 4, 'asks for four';
    is start_run('five', key => 'alice')->status, 202, 'there is room'
        for 1 .. 4;
    is scalar(grep { asked($up, $_) } @five), 4, 'for which nobody asks';
    becomes { try_start('five')->status == 400 } 'the fifth';
    is scalar(grep { asked($up, $_) } @five), 5, 'is asked for then';
};


subtest 'least recently seen first' => sub {
    is try_start('order')->status, 429, 'all of them go on';
    is_deeply [map { scalar asked($up, $_) } @order], [0, 1, 0, 1, 1, 1],
        'those that were polled are asked for last';
    becomes { try_start('order')->status == 429
        && 2 == grep { asked($up, $_) } @order[0, 2] } 'but they are';
    is_deeply [map { scalar asked($up, $_) } @order], [(1) x 6],
        'and no other, which was seen just now';
};


subtest 'a crowd' => sub {
    my %status;

    $status{$_->status}++ for parallel(map { [start_request('crowd',
        key => 'alice')] } 1 .. 30);

    is $status{202} + $status{429}, 30, 'all are answered';
    cmp_ok $status{202}, '>=', 1, 'who asks gets a slot';
    cmp_ok $status{202}, '<=', 2, 'and no more do than have ended';
    is_deeply [map { scalar asked($up, $_) } @crowd], [1, 1, 1, 1],
        'one of them asks';
    is start_run('crowd', key => 'alice')->status, 202, 'the other slot'
        if $status{202} == 1;
    is try_start('crowd')->status, 429, 'no more';
};


# A delivery is claimed by the start that is granted, not by that which asks.

subtest 'deliveries' => sub {
    my @id = (headers => ['Idempotency-Key' => 'verify-1']);
    my @other = (headers => ['Idempotency-Key' => 'verify-2']);

    my $first = start_run('claim', key => 'alice', @id);
    is $first->status, 202, 'refused at first, then granted';

    my $again = start_run('claim', key => 'alice', @id);
    is $again->status, 202, 'and again';
    is $again->header('Idempotent-Replayed'), 'true', 'is a replay';
    is $again->json->{runId}, $first->json->{runId}, 'of that run';
    my $agent = $policy->agent('claim');
    is scalar($up->requests(qr{\APOST /v1/agents/$agent/})), 2,
        'one start beside that at the beginning';
    problem_is(start_run('claim', key => 'alice', @id,
        json => {input => {other => 1}}), 422, 'delivery_mismatch',
        'its fingerprint');

    is start_run('claimed', key => 'alice', @other)->status, 429,
        'one that is refused';
    $up->set_run($run{claimed}, status => 'Completed');
    poll($run{claimed}, key => 'alice');
    becomes { start_run('claimed', key => 'alice', @other)
        ->status == 202 } 'has claimed nothing';
};


subtest 'the status page' => sub {
    my $verify = req(GET => '/status')->json->{verify};
    my $count = grep { defined $up->field($_, 'X-Asked') }
        $up->requests(qr{\AGET /v1/runs/});

    is $verify->{asked}, $count + 1, 'how often was asked, once a cache';
    cmp_ok $verify->{ended}, '>=', 20, 'how many runs had ended';
    cmp_ok $verify->{failed}, '>=', 20, 'how many answers were of no use';
};


# What was seen by asking is asked for again when it has grown old again.

subtest 'later' => sub {
    go_stale($up);
    $up->set_run($run{goes}, status => 'Failed');
    is try_start('goes')->status, 400, 'asked again';
    is asked($up, $run{goes}), 2, 'which makes two';
};


done_testing();
