#!/usr/bin/perl

# A small zone that is full: what is idle makes room; then the configured
# answer, until leases end.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;

my $up = stand_in();

my $policy = policy(
    agents => {
        runs  => {maxConcurrentRuns => 100_000, rpdLimit => 100_000},
        (map { ("busy$_" => {rpdLimit => 100_000}) } 1 .. 8),
        loose => {},
        reads => {readRpmLimit => 10},
        fresh => {rpmLimit => 10},
        (map { ("idle$_" => {rpmLimit => 0}) } 1 .. 300),
    },
    keys => {alice => {}, bob => {agents => ['loose']}},
);

my $ports = {map { ("p_$_" => free_port()) } qw(allow deny dry)};

my %gateway = (
    %$ports,
    zone     => '128k',
    location => 'location = /status { phrony_status; }',
    http     => join '', map { "
        server {
            listen 127.0.0.1:{{p_$_->[0]}};
            $_->[1];
            location / { phrony on; proxy_pass http://{{upstream_name}}; }
        }"
    } ['allow', 'phrony_store_failure allow'],
      ['deny', 'phrony_store_failure deny'],
      ['dry', 'phrony_dry_run on'],
);

my $nginx = nginx(%gateway);
my @key = (key => $policy->key('alice'));

sub path { '/v1/agents/' . $policy->agent($_[0]) . '/runs' }
sub store { req(GET => '/status')->json->{store} }
sub start { start_run(shift, key => 'alice', @_) }


sub start_at {
    my ($port, $agent) = @_;

    return client($ports->{"p_$port"})->req(POST => path($agent), json => {},
        @key);
}


# Many starts of one agent; how often which status, and the runs.

sub starts {
    my ($agent, $n, %asked) = @_;

    my (%status, @runs);

    while ($n > 0) {
        for my $r (parallel(map { [POST => path($agent), json => {}, @key,
            stand_in => {delay => 0, %asked}] } 1 .. 50))
        {
            $status{$r->status}++;
            push @runs, $r->json->{runId} if $r->status == 202;
        }

        $n -= 50;
    }

    return (\%status, @runs);
}


subtest 'runs that have ended make room' => sub {
    my ($status, @runs) = starts('runs', 1500, finish => 'now');
    my $store = store();

    is_deeply $status, {202 => 1500}, '1500 starts, each ended at once';
    cmp_ok $store->{evicted}, '>', 300, 'many were evicted';
    cmp_ok $store->{ended}, '>', 300, 'many are known';
    is_deeply [@$store{qw(exhausted leases)}], [0, 0], 'nobody lacked room';
    is $store->{size}, 131072, 'the size';

    is poll($runs[0], key => 'bob')->status, 200,
        'the first is unknown, and the upstream decides';
    is poll($runs[-1], key => 'bob')->status, 403, 'the last is known';
    is start('fresh')->header('RateLimit') =~ /"rpm";r=9/, 1,
        'they make room for a trigger';
};


# All of the zone in leases.

my ($status, @runs) = starts('runs', 1500);
my $counted = 1500 + 1500 - $status->{503};
my @full = (qr/\[warn\].*phrony refused: store_unavailable, trigger: [-0-9a-f]{36}, key: [-0-9a-f]{36}, retry after 1s/);

subtest 'a full zone' => sub {
    my $store = store();

    is_deeply [sort keys %$status], [202, 503], 'some were admitted';
    cmp_ok $status->{202}, '>', 300, 'many';
    is $store->{leases}, $status->{202} + 1, 'each has its lease';
    is $store->{exhausted}, $status->{503}, 'each refusal is counted';
    is $store->{ended}, 0, 'nothing that has ended is left';

    my $mark = $nginx->log_size;
    my $seen = $up->requests;
    my $r = start('runs');

    problem_is($r, 503, 'store_unavailable', 'the default');
    is $r->header('Retry-After'), 1, 'Retry-After';
    is $r->header($_), undef, "no $_" for qw(RateLimit RateLimit-Policy);
    like $nginx->log_since($mark), $full[0], 'logged';
    is $up->requests, $seen, 'the upstream is not asked';
    problem_is(start_at('deny', 'runs'), 503, 'store_unavailable', 'deny');
};


subtest 'phrony_store_failure allow' => sub {
    my $r = start_at('allow', 'runs');

    is $r->status, 202, 'admitted';
    is $r->header($_), undef, "no $_"
        for qw(RateLimit RateLimit-Policy Retry-After);
    like $nginx->log, qr/\[warn\].*phrony zone "phrony" is full/,
        'that the zone is full is logged';

    my $mark = $nginx->log_size;
    is start_at('dry', 'runs')->status, 202, 'phrony_dry_run admits as well';
    like $nginx->log_since($mark), qr/\[warn\].*phrony would refuse: store_unavailable/,
        'and says what would be';
};


subtest 'what needs no room' => sub {
    my $r = start('fresh');

    is $r->status, 202, 'a start without maxConcurrentRuns';
    is $r->header('RateLimit') =~ /"rpm";r=8/, 1, 'is counted';
    is poll($r->json->{runId}, key => 'bob')->status, 200,
        'but its run is not remembered';
    is poll($runs[0], key => 'bob')->status, 403, 'others are';
    is poll($runs[0], key => 'alice')->status, 200, 'and are served';
};


subtest 'a trigger for which there is no room' => sub {
    my @busy = map { start("busy$_")->status } 1 .. 8;

    like "@busy", qr/\A(?:202 )*503(?: 503)*\z/, 'the last page fills up';

    problem_is(start('loose'), 503, 'store_unavailable', 'a start');
    is start_at('allow', 'loose')->status, 202, 'a start, allow';

    my @read = (GET => '/v1/agents/' . $policy->agent('reads'), @key);

    is req(@read)->status, 200, 'a read is left to the upstream';
    is client($ports->{p_allow})->req(@read)->status, 200, 'also with allow';
    problem_is(client($ports->{p_deny})->req(@read), 503,
        'store_unavailable', 'but not with deny');

    is req(GET => '/v1/agents/' . $policy->agent('loose'), @key)->status, 200,
        'what is not counted passes';
};


subtest 'room again' => sub {
    poll($_, key => 'alice', stand_in => {set => {status => 'Completed'}})
        for @runs[0 .. 199];

    my $store = store();
    is $store->{leases}, $status->{202} + 1 - 200, 'runs end';
    is $store->{ended}, 200, 'and are known';

    my ($again) = starts('runs', 200);
    is $again->{202}, 200, 'as many start';

    my $r = start('runs');
    is $r->status, 503, 'and it is full again';

    poll($_, key => 'alice', stand_in => {set => {status => 'Completed'}})
        for @runs[200 .. 299];
    $r = start('runs');
    my ($left) = ($r->header('RateLimit') // '') =~ /"rpd";r=(\d+)/;
    is $left, 100_000 - $counted - 201, 'what was refused was not counted';


    poll($_, key => 'alice', stand_in => {set => {status => 'Completed'}})
        for @runs[300 .. $#runs];
    ok scalar(grep { start('loose')->status == 202 } 1 .. 5),
        'another trigger has room';
};


# Another zone, for what is idle.

$nginx = nginx(%gateway, map { $_ => free_port() } keys %$ports);

subtest 'triggers on which nothing is counted make room' => sub {
    my $before = store();
    my %status;

    start('fresh');
    $status{start("idle$_")->status}++ for 1 .. 300;

    my $after = store();

    is_deeply \%status, {429 => 300}, 'each limit is 0';
    is $after->{exhausted}, 0, 'nobody lacked room';
    cmp_ok $after->{triggers}, '<', 200, 'not all are there';
    cmp_ok $after->{evicted}, '>', $before->{evicted} + 100, 'others went';
    is start('fresh')->header('RateLimit') =~ /"rpm";r=8/, 1,
        'one on which something is counted stays';
};


subtest 'and for a run' => sub {
    my %status;

    # until the pages of runs are full, so that one more needs a page

    start('runs') while store()->{leases} % 32;

    for (1 .. 300) {
        start("idle$_");
        $status{start('runs', stand_in => {status => 400})->status}++;
    }

    is_deeply \%status, {400 => 300},
        'a zone full of idle triggers is no reason to refuse a start';
};


done_testing();
