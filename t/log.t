#!/usr/bin/perl

# What is written into logs: one line for a refusal, at the level asked for,
# and never a key.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;

my $up = stand_in();

my $policy = policy(
    agents => {
        alpha => {rpmLimit => 1},
        runs  => {maxConcurrentRuns => 1},
        free  => {},
        none  => {rpmLimit => 0},
        beta  => {},
    },
    keys => {
        alice => {clear => 'phk_sesame_alice', agents =>
            [qw(alpha runs free none)]},
        bob   => {clear => 'phk_sesame_bob', agents => ['beta'],
            status => 'revoked'},
    },
);

my @levels = qw(info notice warn error);
my $ports = {map { ("p_$_" => free_port()) } @levels, 'debug', 'any'};

my $nginx = nginx(%$ports,
    log_level  => 'info',
    access_log => '{{dir}}/access.log main',
    http       => q(log_format main '$remote_addr $request $status '
        '$http_user_agent $phrony_key_id $phrony_reason';)
        . join('', map { "
        server {
            listen 127.0.0.1:{{p_$_}};
            phrony_log_level $_;
            location / { phrony on; proxy_pass http://{{upstream_name}}; }
        }" } @levels, 'debug') . '
        server {
            listen 127.0.0.1:{{p_any}};
            satisfy any;
            allow all;
            location / { phrony on; proxy_pass http://{{upstream_name}}; }
        }');

my $alice = $policy->key('alice');
my $secret = qr/sesame/i;

sub path { '/v1/agents/' . $policy->agent($_[0]) . ($_[1] // '/runs') }


# The lines that "code" leaves in the error log; it waits for nothing, as the
# line is written before the answer.

sub lines (&) {
    my ($code) = @_;

    my $mark = $nginx->log_size;
    $code->();

    return grep { /phrony|runId/ } split /\n/, $nginx->log_since($mark);
}


my $id = qr/[0-9a-f]{8}-[-0-9a-f]{27}/;
my ($key_id, $alpha) = ($policy->key_id('alice'), $policy->trigger('alpha'));
my $bob_id = $policy->key_id('bob');

start_run('alpha', key => 'alice');
start_run('runs', key => 'alice');


# reason, request, trigger, key, retry

for (['path_not_canonical', [GET => '/v1//', key => $alice]],
     ['route_unknown', [GET => '/v1/x', key => $alice]],
     ['method_not_allowed', [PUT => path('alpha'), key => $alice]],
     ['key_missing', [GET => path('alpha', '')]],
     ['key_malformed', [GET => path('alpha', ''), key => 'sesame']],
     ['key_malformed', [GET => path('alpha', ''), key => 'phk_se same']],
     ['key_repeated', [GET => path('alpha', ''), key => $alice,
        headers => ['X-API-Key' => $alice]]],
     ['key_invalid', [GET => path('alpha', ''), key => 'phk_sesame_none']],
     ['key_invalid', [GET => path('beta', ''), key => 'phk_sesame_bob'],
        '-', $bob_id],
     ['agent_out_of_scope', [POST => path('beta'), key => $alice, json => {}],
        '-', $key_id],
     ['body_invalid', [POST => path('alpha'), key => $alice,
        body => '{"sesame":'], $alpha, $key_id],
     ['content_type', [POST => path('alpha'), key => $alice, body => '{}',
        type => 'text/plain'], $alpha, $key_id],
     ['rate_limited', [POST => path('alpha'), key => $alice, json => {}],
        $alpha, $key_id, qr/, retry after [1-6]?\ds/],
     ['rate_limited', [POST => path('none'), key => $alice, json => {}],
        $policy->trigger('none'), $key_id],
     ['concurrency_limited', [POST => path('runs'), key => $alice,
        json => {}], $policy->trigger('runs'), $key_id,
        qr/, retry after \ds/])
{
    my ($reason, $request, $trigger, $key, $retry) = @$_;
    my $status;

    $_ //= '-' for $trigger, $key;
    $retry //= '';

    my @lines = lines { $status = req(@$request)->status };

    is @lines, 1, "$reason, $status: one line" or diag join "\n", @lines;
    like $lines[0], qr/ \[warn\] [^"]*phrony refused: $reason, trigger: $trigger, key: $key$retry, client: 127\.0\.0\.1, /,
        'which says why, whom and until when';
}


subtest 'levels' => sub {
    my ($get, @key) = (path('alpha', ''), key => 'phk_sesame_none');

    for my $level (@levels) {
        my @lines = lines { client($ports->{"p_$level"})->req(GET => $get,
            @key) };

        is @lines, 1, "phrony_log_level $level: one line";
        like $lines[0], qr/ \[$level\] .*phrony refused: key_invalid/,
            'of that level';
    }

    is scalar(lines { client($ports->{p_debug})->req(GET => $get, @key) }), 0,
        'debug is below the level of the log';
    is scalar(lines { client($ports->{p_any})->req(GET => $get, @key) }), 1,
        'with satisfy any, one line too';
};


subtest 'what is no refusal' => sub {
    my $run;

    is_deeply [lines { $run = start_run('free', key => 'alice')
        ->json->{runId} }], [], 'a start';
    is_deeply [lines { poll($run, key => 'alice') }], [], 'a poll';
    is_deeply [lines { start_run('free', key => 'alice',
        stand_in => {status => 500}) }], [], 'an upstream error';

    my @lines = lines { start_run('free', key => 'alice',
        stand_in => {omit => 'runId'}) };
    is @lines, 1, 'a start that names no run';
    like $lines[0], qr/\[warn\].*without a usable "runId"/, 'is a warning';

    @lines = lines { h2(GET => path('alpha', ''), key => $alice);
        h2(GET => '/v1/x', key => $alice) };
    is @lines, 1, 'HTTP/2: the one that is refused';
};


subtest 'a reload that fails' => sub {
    allow_log(qr/\[emerg\]/);

    my $mark = $nginx->log_size;
    my $data = $policy->data;

    (my $text = encode_json($data)) =~ s/"sha256":"/"sha256":"$alice/;
    $policy->write($text);
    ok !$nginx->reload, 'a key where its digest should be';
    like $nginx->log_since($mark), qr/\[emerg\].*sha256/, 'is told';
    $policy->write;
    ok $nginx->reload, 'mended';
};


# Everything that was written, by everyone.

subtest 'no key in any log, answer or place of the upstream' => sub {
    my @answers = map { req(@$_)->raw } [GET => path('beta', ''),
        key => $alice], [GET => '/v1/x', key => $alice],
        [POST => path('none'), key => $alice, json => {}],
        [GET => path('free', ''), key => "$alice,"];

    is_deeply [grep { $_ =~ $secret } @answers], [], 'no answer';

    req(GET => path('free', ''), key => $alice);
    my @fields = grep { $_->[1] =~ $secret }
        @{$up->last_request->{headers}};
    is_deeply [map { lc $_->[0] } @fields], ['x-api-key'],
        'the upstream has it in one field';

    is $nginx->quit, 0, 'the end';
    like $nginx->log, qr/phrony refused/, 'the error log was written';
    unlike $nginx->log, $secret, 'no key in it';

    my $access = do { local (@ARGV, $/) = $nginx->dir . '/access.log'; <> };

    like $access, qr/$key_id rate_limited/, 'the access log has the id';
    unlike $access, $secret, 'but no key';
    unlike $nginx->output, $secret, 'nor has the standard output';
};


done_testing();
