#!/usr/bin/perl

# The status page: what it says, and that each figure moves with its cause.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;

my $up = stand_in();

my $policy = policy(
    workspaces => {main => {}, other => {}},
    agents     => {alpha => {rpmLimit => 3}, runs => {maxConcurrentRuns => 1},
        beta => {workspace => 'other'}, dry => {rpmLimit => 0}},
    keys       => {alice => {}, bob => {workspace => 'other'}},
);

my $nginx = nginx(server => 'phrony on;', dry => $policy->agent('dry'),
    locations => <<'END');
    location / { proxy_pass http://{{upstream_name}}; }
    location /v1/agents/{{dry}}/ { phrony_dry_run on;
        proxy_pass http://{{upstream_name}}; }
    location = /status { phrony_status; }
    location = /private { phrony_status; allow 127.0.0.9; deny all; }
    location /v1/agents/ { phrony_reservation_ttl 1s;
        proxy_pass http://{{upstream_name}}; }
END

my @key = (key => $policy->key('alice'));

sub status { req(GET => '/status')->json }
sub path { '/v1/agents/' . $policy->agent($_[0]) . '/runs' }


# All numbers of the page by their way to them: "requests.refused.key_missing".

sub flat {
    my ($data, $way) = @_;

    $data = {map { $_ => $data->[$_] } 0 .. $#$data} if ref $data eq 'ARRAY';

    return ref $data
        ? map { flat($data->{$_}, defined $way ? "$way.$_" : $_) } keys %$data
        : ($way => $data);
}


# What changed: a hash of differences.

sub moved (&) {
    my ($code) = @_;

    my ($before, $after) = (status());
    $code->();
    $after = status();

    delete @$before{qw(version nginx now top)};
    delete @{$before->{store}}{qw(name held)};

    $_->{decided} = $_->{latencies}{decisions}{memory}{counts}[0]
        for $before, $after;
    delete $before->{latencies};

    my %before = flat($before);
    my %after = flat($after);

    return {map { $_ => $after{$_} - $before{$_} }
        grep { $after{$_} != $before{$_} && $_ ne 'store.free' } keys %before};
}


subtest 'the page' => sub {
    my $r = req(GET => '/status');
    my $json = $r->json;

    is $r->status, 200, 'needs no key though the server is guarded';
    is $r->header('Content-Type'), 'application/json', 'the type';
    is $r->header('Content-Length'), length $r->body, 'the length';
    like $r->body, qr/\}\n\z/, 'ends its line';
    like $json->{version}, qr/\A\d+\.\d+\.\d+\z/, 'version';
    is_deeply [sort keys %$json],
        [qw(duplicates ingress latencies nginx now outcomes policy requests routes
        since store top verify version)], 'parts';
    is_deeply [sort keys %{$json->{store}}], [qw(deliveries ended evicted
        exhausted free held leases name repaired size triggers untold)], 'store';
    is $json->{store}{name}, 'memory', 'which store';
    is $json->{store}{size}, 4 * 1024 * 1024, 'its size';
    cmp_ok $json->{store}{free}, '>', 3 * 1024 * 1024, 'most of it is free';
    is_deeply [@{$json->{policy}}{qw(workspaces triggers keys)}], [2, 4, 2],
        'the policy';
    cmp_ok $json->{policy}{bytes}, '>', 100, 'its size';
    is_deeply [sort keys %{$json->{requests}}],
        [qw(admitted dry_run passed refused replayed)], 'requests';
    is_deeply $json->{duplicates}, {mismatch => 0, 'in-progress' => 0,
        done => 0, unknown => 0}, 'duplicates';
    cmp_ok scalar keys %{$json->{requests}{refused}}, '>=', 22,
        'every reason';
    is_deeply $json->{ingress}, {logged => 0, dropped => 0}, 'ingress';
    is_deeply $json->{outcomes}, {map { $_ => 0 } qw(declined started unbound
        unknown unreached)}, 'outcomes';
    is_deeply $json->{routes}, {map { $_ => {map { $_ => 0 } qw(admitted
        dry_run passed refused replayed)}} qw(agent files preflight run
        sessions start unknown)}, 'routes';
    is_deeply [map { scalar @{$_->{counts}} } values
        %{$json->{latencies}{decisions}}],
        [(1 + @{$json->{latencies}{bounds}}) x 4], 'histograms';
    is_deeply $json->{top}, [], 'nothing is used of a limit';
    cmp_ok $json->{since}, '<=', $json->{now}, 'times';
    cmp_ok abs($json->{now} - time), '<', 60, 'it is now';

    my $head = req(HEAD => '/status');
    is_deeply [$head->status, $head->body], [200, ''], 'HEAD';
    is req(POST => '/status', body => 'x')->status, 405, 'POST';
    is req(GET => '/private')->status, 403, 'allow and deny apply';
    is req(GET => '/private', from => '127.0.0.9')->status, 200, 'both';
    is h2(GET => '/status')->json->{store}{name}, 'memory', 'HTTP/2';
    is scalar $up->requests, 0, 'the upstream is never asked';
    is_deeply moved { req(GET => '/status') for 1 .. 3 }, {},
        'it does not count itself';
};


# what is asked, how the figures move

my $run;

for (['a start', sub { $run = start_run('runs', key => 'alice')
            ->json->{runId} },
        {decided => 1, 'outcomes.started' => 1, 'routes.start.admitted' => 1,
        'requests.admitted' => 1, 'store.leases' => 1,
        'store.triggers' => 1}],
     ['a start that is refused', sub { start_run('runs', key => 'alice') },
        {decided => 1, 'routes.start.refused' => 1,
        'requests.refused.concurrency_limited' => 1}],
     ['a poll', sub { poll($run, key => 'alice') }, {'routes.run.passed' => 1,
        'requests.passed' => 1}],
     ['the end of a run', sub { poll($run, key => 'alice',
            stand_in => {set => {status => 'Failed'}}) },
        {'routes.run.passed' => 1,
        'requests.passed' => 1, 'store.leases' => -1, 'store.ended' => 1}],
     ['a start that ends at once', sub { start_run('runs', key => 'alice',
            stand_in => {finish => 'now'}) },
        {decided => 1, 'outcomes.started' => 1, 'routes.start.admitted' => 1,
        'requests.admitted' => 1, 'store.ended' => 1}],
     ['a start that the upstream refuses', sub { start_run('runs',
            key => 'alice', stand_in => {status => 400}) },
        {decided => 1, 'outcomes.declined' => 1, 'routes.start.admitted' => 1,
        'requests.admitted' => 1}],
     ['a delivery', sub { start_run('alpha', key => 'alice',
            headers => ['Idempotency-Key' => 'one']) },
        {decided => 1, 'outcomes.started' => 1, 'routes.start.admitted' => 1,
        'requests.admitted' => 1, 'store.leases' => 1, 'store.triggers' => 1,
        'store.deliveries' => 1}],
     ['a duplicate', sub { start_run('alpha', key => 'alice',
            headers => ['Idempotency-Key' => 'one']) },
        {decided => 1, 'routes.start.replayed' => 1,
        'requests.replayed' => 1, 'duplicates.done' => 1}],
     ['a method', sub { req(GET => path('alpha')) },
        {'routes.start.refused' => 1,
        'requests.refused.method_not_allowed' => 1}],
     ['no key', sub { req(POST => path('alpha')) },
        {'routes.start.refused' => 1,
        'requests.refused.key_missing' => 1}],
     ['a path', sub { req(GET => '/v1//') },
        {'routes.unknown.refused' => 1,
        'requests.refused.path_not_canonical' => 1}],
     ["another's agent", sub { start_run('beta', key => 'alice') },
        {'routes.start.refused' => 1,
        'requests.refused.agent_out_of_scope' => 1}],
     ['a body', sub { start_run('alpha', key => 'alice', body => '[') },
        {'routes.start.refused' => 1,
        'requests.refused.body_invalid' => 1}],
     ['a type', sub { start_run('alpha', key => 'alice', body => '{}',
            type => 'a/b') }, {'routes.start.refused' => 1,
        'requests.refused.content_type' => 1}],
     ['a rate', sub { start_run('alpha', key => 'alice',
            stand_in => {status => 400}) for 1 .. 5 },
        {decided => 5, 'outcomes.declined' => 2,
        'routes.start.admitted' => 2, 'routes.start.refused' => 3,
        'requests.admitted' => 2, 'requests.refused.rate_limited' => 3}],
     ['a dry run', sub { start_run('dry', key => 'alice',
            stand_in => {status => 400}) },
        {decided => 1, 'outcomes.declined' => 1, 'requests.dry_run' => 1,
        'routes.start.dry_run' => 1, 'store.triggers' => 1}],
     ['an outcome that is not known', sub { start_run('beta', key => 'bob',
            stand_in => {status => 502}) },
        {decided => 1, 'routes.start.admitted' => 1,
        'requests.admitted' => 1, 'outcomes.unknown' => 1,
        'store.leases' => 1, 'store.triggers' => 1}],
     ['a run that is not named', sub { start_run('runs', key => 'alice',
            stand_in => {omit => 'runId'}) },
        {decided => 1, 'routes.start.admitted' => 1,
        'requests.admitted' => 1, 'outcomes.unknown' => 1,
        'outcomes.unbound' => 1, 'store.leases' => 1}])
{
    my ($name, $code, $expected) = @$_;

    my $moved = moved { $code->() };

    is_deeply $moved, $expected, $name or diag explain $moved;
}


wait_for { status()->{store}{leases} <= 1 } 10, 'leases to run out';
is status()->{store}{leases}, 1, 'though nothing starts; one run has not';
is start_run('runs', key => 'alice', stand_in => {status => 400})->status,
    400, 'the slot of the unnamed run is free';

my $before = status();

ok $nginx->reload, 'reload';

my $after = status();

is $after->{requests}{refused}{rate_limited}, 3, 'the counters stand';
is_deeply [@$after{qw(routes latencies outcomes since)}],
    [@$before{qw(routes latencies outcomes since)}], 'all of them';

$nginx->kill_worker for 1 .. 2;
$after = status();

is_deeply [@$after{qw(requests routes latencies outcomes since)}],
    [@$before{qw(requests routes latencies outcomes since)}],
    'and after each worker was killed';


done_testing();
