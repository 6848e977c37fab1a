#!/usr/bin/perl

# phrony_dry_run: step 8 decides, counts and logs, but refuses nothing; steps
# 1 to 7 refuse as ever.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;

my $up = stand_in();

my $policy = policy(
    agents => {
        rate   => {rpmLimit => 2},
        runs   => {maxConcurrentRuns => 1},
        none   => {rpmLimit => 0, rpdLimit => 5},
        reads  => {readRpmLimit => 1},
        tokens => {maxInputTokens => 10},
        off    => {active => Mojo::JSON::false},
        beta   => {},
    },
    keys => {alice => {}, bob => {agents => ['beta']}},
);

my $ports = {p_wet => free_port()};

my $nginx = nginx(%$ports,
    access_log => '{{dir}}/access.log outcome',
    location   => 'phrony_dry_run on;
        location = /status { phrony_status; access_log off; }',
    http       => <<'END');
    log_format outcome '$status $phrony_outcome $phrony_reason';

    server {
        listen 127.0.0.1:{{p_wet}};
        access_log off;
        location / { phrony on; proxy_pass http://{{upstream_name}}; }
    }
END

my @key = (key => $policy->key('alice'));

sub path { '/v1/agents/' . $policy->agent($_[0]) . ($_[1] // '/runs') }
sub start { start_run(shift, key => 'alice', @_) }
sub status { req(GET => '/status')->json }
sub wet { client($ports->{p_wet})->req(POST => path(shift), json => {}, @key) }


# The last line of the access log.

sub logged {
    my ($count) = @_;

    my $path = $nginx->dir . '/access.log';
    my @lines;

    wait_for {
        @lines = do { local @ARGV = ($path); <> };
        @lines >= $count;
    } 5, 'the access log';
    chomp @lines;

    return $lines[$count - 1];
}


my $lines = 0;

for (['rate', 2, 'rate_limited', ['rpm', 0]],
     ['runs', 1, 'concurrency_limited', ['runs', 0]],
     ['none', 0, 'rate_limited', ['rpd', 5]])
{
    my ($agent, $within, $reason, $remain) = @$_;

    subtest $agent => sub {
        for (1 .. $within) {
            is start($agent)->status, 202, 'within the limit';
            is logged(++$lines), '202 admitted -', 'is admitted';
        }

        my $trigger = $policy->trigger($agent);

        for (1 .. 3) {
            my $before = status()->{requests};
            my $mark = $nginx->log_size;

            my $r = start($agent);
            my $after = status()->{requests};

            is $r->status, 202, 'beyond it passes';
            ok $r->json->{runId}, 'with the upstream\'s answer';
            is logged(++$lines), "202 dry_run $reason", 'as dry_run';
            is $r->header('Retry-After'), undef, 'no Retry-After';
            like $r->header('RateLimit'), qr/"$remain->[0]";r=$remain->[1]\b/,
                'RateLimit says what would be';
            like $nginx->log_since($mark), qr/\[warn\].*phrony would refuse: $reason, trigger: $trigger, key: @{[$policy->key_id('alice')]}/,
                'the log too';
            is scalar(() = $nginx->log_since($mark) =~ /phrony/g), 1, 'once';
            is $after->{dry_run}, $before->{dry_run} + 1, 'counted as such';
            is_deeply $after->{refused}, $before->{refused},
                'not as a refusal';
        }

        problem_is(wet($agent), 429, $reason, 'elsewhere it is refused');
    };
}


subtest 'reads' => sub {
    my @r = map { req(GET => path('reads', ''), @key) } 1 .. 3;

    is_deeply [map { $_->status } @r], [(200) x 3], 'pass';
    is logged($lines += 3), '200 dry_run rate_limited', 'as dry_run';
    is $r[2]->header('RateLimit') =~ /"reads";r=0/, 1, 'RateLimit';
};


subtest 'runs beyond the limit' => sub {
    my $run = start('runs')->json->{runId};

    problem_is(poll($run, key => 'bob'), 403, 'run_out_of_scope',
        'are known');

    my $ended = start('runs', stand_in => {finish => 'now'})->json->{runId};

    problem_is(poll($ended, key => 'bob'), 403, 'run_out_of_scope',
        'even if their start was their end');

    is status()->{store}{leases}, 3, 'they hold no slot: rate and runs do';
};


subtest 'steps 1 to 7' => sub {
    my $seen = $up->requests;

    problem_is(req(@{$_->[0]}), @$_[1, 2], $_->[2]) for
        [[GET => '/v1/agents/'], 400, 'path_not_canonical'],
        [[GET => '/v1/nothing'], 404, 'route_unknown'],
        [[PUT => path('rate')], 405, 'method_not_allowed'],
        [[POST => path('rate'), json => {}], 401, 'key_missing'],
        [[POST => path('rate'), json => {}, key => $policy->key('bob')],
            403, 'agent_out_of_scope'],
        [[POST => path('off'), json => {}, @key], 403, 'trigger_inactive'],
        [[POST => path('rate'), body => '{', @key], 400, 'body_invalid'],
        [[POST => path('rate'), body => '{}', type => 'a/b', @key],
            415, 'content_type'],
        [[POST => path('tokens'), json => {input => {a => 'x' x 99}}, @key],
            413, 'input_too_large'];

    is $up->requests, $seen, 'refuse as ever';
};


done_testing();
