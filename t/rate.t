#!/usr/bin/perl

# Rolling windows: what is counted, and the fields that tell a client where it
# stands.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;

my $up = stand_in();

my $policy = policy(
    agents => {
        free     => {},
        fields   => {rpmLimit => 50, rpdLimit => 1000, maxConcurrentRuns => 9},
        minute   => {rpmLimit => 2, rpdLimit => 10, maxConcurrentRuns => 10},
        day      => {rpmLimit => 10, rpdLimit => 2, maxConcurrentRuns => 10},
        runs     => {rpmLimit => 10, rpdLimit => 10, maxConcurrentRuns => 1},
        none     => {rpmLimit => 0, rpdLimit => 10},
        noneday  => {rpmLimit => 10, rpdLimit => 0},
        noruns   => {rpmLimit => 10, maxConcurrentRuns => 0},
        all      => {rpmLimit => 1, rpdLimit => 1, maxConcurrentRuns => 1},
        large    => {rpmLimit => 4294967296, rpdLimit => 999999999999999},
        order    => {rpmLimit => 5, maxInputTokens => 100},
        away     => {rpmLimit => 5, ipWhitelist => ['10.0.0.0/8']},
        inactive => {rpmLimit => 5, active => Mojo::JSON::false},
        bare     => {rpmLimit => 1},
        errors   => {rpmLimit => 50},
        reads    => {readRpmLimit => 6, rpmLimit => 3},
        readsone => {readRpmLimit => 1},
        readsnot => {readRpmLimit => 0},
    },
    keys => {alice => {allowFileUploads => Mojo::JSON::true},
        bob => {agents => ['free']}},
);

my $ports = {map { $_ => free_port() } qw(p_bare p_dead)};

nginx(%$ports, closed => free_port(), http => <<'END');
    server {
        listen 127.0.0.1:{{p_bare}};
        phrony_headers off;
        location / { phrony on; proxy_pass http://{{upstream_name}}; }
    }

    server {
        listen 127.0.0.1:{{p_dead}};
        location / { phrony on; proxy_pass http://127.0.0.1:{{closed}}; }
    }
END

my @key = (key => $policy->key('alice'));
my @fields = qw(RateLimit RateLimit-Policy);

sub path { '/v1/agents/' . $policy->agent($_[0]) . ($_[1] // '') }
sub start { start_run(shift, key => 'alice', @_) }


# What remains of a policy by the answer's RateLimit.

sub remaining {
    my ($r, $name) = @_;

    return ($r->header('RateLimit') // '') =~ /"$name";r=(\d+)/ ? $1 : undef;
}


subtest 'a refused start burns nothing' => sub {
    for (['minute', 2, {rpm => 0, rpd => 8, runs => 8}],
         ['day', 2, {rpm => 8, rpd => 0, runs => 8}],
         ['runs', 1, {rpm => 9, rpd => 9, runs => 0}],
         ['none', 0, {rpm => 0, rpd => 10}],
         ['noneday', 0, {rpm => 10, rpd => 0}],
         ['noruns', 0, {rpm => 10, runs => 0}])
    {
        my ($agent, $admitted, $remain) = @$_;

        is start($agent)->status, 202, "$agent: admitted" for 1 .. $admitted;

        my @r = map { start($agent) } 1 .. 4;
        is_deeply [map { $_->status } @r], [(429) x 4], "$agent: refused";
        is_deeply {map { $_ => remaining($r[3], $_) } keys %$remain}, $remain,
            "$agent: what remains";
    }
};


subtest 'the fields' => sub {
    my $r = start('fields');

    is_deeply [$r->all('RateLimit-Policy')], ['"rpm";q=50;w=60, '
        . '"rpd";q=1000;w=86400, "runs";q=9;qu="concurrent-requests"'],
        'RateLimit-Policy';
    is scalar(my @once = $r->all('RateLimit')), 1, 'one RateLimit';
    my ($rpm, $rpd) = $r->header('RateLimit')
        =~ /\A"rpm";r=49;t=(\d+), "rpd";r=999;t=(\d+), "runs";r=8\z/;
    ok defined $rpm && $rpm >= 59 && $rpm <= 61, 'the minute resets'
        or diag $r->header('RateLimit');
    ok defined $rpd && $rpd >= 86399 && $rpd <= 87301, 'the day resets';
    is $r->header('Retry-After'), undef, 'no Retry-After';

    $r = start('fields');
    is_deeply [map { remaining($r, $_) } qw(rpm rpd runs)], [48, 998, 7],
        'count down';

    like start('noruns')->header('RateLimit'), qr/\A"rpm";r=10, "runs";r=0\z/,
        'no t when nothing is counted';
    is start('none')->header('RateLimit') =~ /"rpm";r=0, "rpd";r=10\z/, 1,
        'nor when nothing ever is';
    is start('large')->header('RateLimit-Policy'),
        '"rpm";q=4294967296;w=60, "rpd";q=999999999999999;w=86400',
        'large limits';
    is h2(POST => path('fields', '/runs'), @key, json => {})
        ->header('RateLimit-Policy'), '"rpm";q=50;w=60, "rpd";q=1000;w=86400, '
        . '"runs";q=9;qu="concurrent-requests"', 'HTTP/2';

    for my $field (@fields) {
        is start('free')->header($field), undef, "$field without limits";
        is req(GET => path('fields', '/sessions'), @key)->header($field),
            undef, "$field on a read that is not counted";
    }
};


subtest 'refusals of steps 1 to 7 carry none and count none' => sub {
    my %opt = (json => {}, @key);

    for (['path_not_canonical', [POST => path('order', '/runs/'), %opt]],
         ['method_not_allowed', [PUT => path('order', '/runs'), %opt]],
         ['key_missing', [POST => path('order', '/runs'), json => {}]],
         ['agent_out_of_scope', [POST => path('order', '/runs'), json => {},
             key => $policy->key('bob')]],
         ['address_not_allowed', [POST => path('away', '/runs'), %opt]],
         ['trigger_inactive', [POST => path('inactive', '/runs'), %opt]],
         ['content_type', [POST => path('order', '/runs'), %opt,
             type => 'text/plain']],
         ['body_invalid', [POST => path('order', '/runs'), @key, body => '[']],
         ['input_too_large', [POST => path('order', '/runs'), @key,
             json => {input => {text => 'x' x 400}}]])
    {
        my ($reason, $request) = @$_;
        my $r = req(@$request);

        is_deeply [$r->json->{reason}, map { $r->header($_) } @fields,
            'Retry-After'], [$reason, (undef) x 3], $reason;
    }

    is remaining(start('order'), 'rpm'), 4, 'and none was counted';
};


subtest 'upstream errors carry them' => sub {
    my $path = path('errors', '/runs');
    my $left = 50;

    for my $asked ({status => 500}, {status => 404}, {break => 'before'},
        {body => '', status => 204}, {status => 301})
    {
        is remaining(start('errors', stand_in => $asked), 'rpm'), --$left,
            join ' ', %$asked;
    }

    my $r = client($ports->{p_dead})->req(POST => $path, @key, json => {});
    is_deeply [$r->status, remaining($r, 'rpm')], [502, --$left],
        'an upstream that is gone';
};


subtest 'Retry-After and violated-policies' => sub {
    my $retry = sub { my ($r) = @_;
        $r->status == 429 ? $r->header('Retry-After') : 'status' };

    my $r = start('minute');
    problem_is($r, 429, 'rate_limited', 'the minute');
    ok $retry->($r) =~ /\A\d+\z/ && $retry->($r) >= 30 && $retry->($r) <= 62,
        'its time' or diag $r->raw;
    is_deeply $r->json->{'violated-policies'}, ['rpm'], 'alone';

    $r = start('day');
    problem_is($r, 429, 'rate_limited', 'the day');
    ok $retry->($r) =~ /\A\d+\z/ && $retry->($r) >= 86000
        && $retry->($r) <= 87301, 'its time' or diag $r->raw;
    is_deeply $r->json->{'violated-policies'}, ['rpd'], 'alone';

    $r = start('runs');
    problem_is($r, 429, 'concurrency_limited', 'runs');
    ok $retry->($r) =~ /\A[1-9]\d*\z/, 'a hint';
    is_deeply $r->json->{'violated-policies'}, ['runs'], 'alone';

    is start('all')->status, 202, 'one';
    $r = start('all');
    problem_is($r, 429, 'rate_limited', 'all');
    ok $retry->($r) =~ /\A\d+\z/ && $retry->($r) >= 86000, 'the latest';
    is_deeply $r->json->{'violated-policies'}, [qw(rpm rpd runs)],
        'each is named';

    for my $agent (qw(none noneday noruns)) {
        is $retry->(start($agent)), undef, "$agent: never";
    }
};


subtest 'phrony_headers off' => sub {
    my $bare = client($ports->{p_bare});
    my @r = map { $bare->req(POST => path('bare', '/runs'), @key, json => {}) }
        1 .. 2;

    is_deeply [map { $_->status } @r], [202, 429], 'counts';
    is_deeply [map { my $r = $_; map { $r->header($_) } @fields } @r],
        [(undef) x 4], 'no fields';
    like $r[1]->header('Retry-After'), qr/\A[1-9]\d*\z/, 'but Retry-After';
};


subtest 'reads' => sub {
    my $run = start('reads')->json->{runId};
    my $left = 6;

    for ([GET => path('reads')], [HEAD => path('reads')],
         [GET => path('reads', '/sessions?take=1')], [GET => "/v1/runs/$run"],
         [POST => "/v1/runs/$run/messages", json => {runId => $run}])
    {
        my $r = req(@$_, @key);

        is_deeply [remaining($r, 'reads'), $r->header('RateLimit-Policy')],
            [--$left, '"reads";q=6;w=60'], join ' ', @$_[0, 1];
    }

    my $r = start('reads');
    is_deeply [$r->status, remaining($r, 'rpm'), remaining($r, 'reads')],
        [202, 1, undef], 'a start is none';
    is req(GET => "/v1/runs/$run/stream/other", @key)->header('RateLimit')
        =~ /"reads";r=0/, 1, 'the last';

    my @before = $up->requests;

    for ([GET => path('reads')], [GET => "/v1/runs/$run"],
         [GET => "/v1/runs/$run/conversation"], [POST => "/v1/runs/$run/input"])
    {
        $r = req(@$_, @key);
        problem_is($r, 429, 'rate_limited', "refused: $_->[0] $_->[1]");
        is_deeply $r->json->{'violated-policies'}, ['reads'], 'by reads';
        like $r->header('Retry-After'), qr/\A(?:[1-5]?\d|6[012])\z/, 'retry';
    }

    $r = req(HEAD => path('reads'), @key);
    is_deeply [$r->status, $r->body], [429, ''], 'HEAD, no body';
    is scalar $up->requests, scalar @before, 'none reaches the upstream';
    is start('reads')->status, 202, 'starts go on';

    is req(GET => '/v1/runs/' . $policy->agent('x'), @key)->status, 404,
        'an unknown run is counted nowhere';
    is req(GET => path('readsone'), @key)->status, 200, 'another trigger';
    is req(POST => '/v1/file-library/presign', @key, json => {})
        ->header('RateLimit'), undef, 'files are not counted';

    $r = req(GET => path('readsnot'), @key);
    is_deeply [$r->status, $r->header('Retry-After'), $r->header('RateLimit')],
        [429, undef, '"reads";r=0'], 'a limit of 0';
};


done_testing();
