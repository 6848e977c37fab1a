#!/usr/bin/perl

# The status page: what it says, and that each figure moves with its cause.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;

my $up = stand_in();

my $policy = policy(
    workspaces => {main => {}, other => {}},
    agents     => {alpha => {rpmLimit => 3}, runs => {maxConcurrentRuns => 1},
        beta => {workspace => 'other'}},
    keys       => {alice => {}, bob => {workspace => 'other'}},
);

my $nginx = nginx(server => 'phrony on;', locations => <<'END');
    location / { proxy_pass http://{{upstream_name}}; }
    location = /dry { phrony_dry_run on; proxy_pass http://{{upstream_name}}; }
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

    return ref $data
        ? map { flat($data->{$_}, defined $way ? "$way.$_" : $_) } keys %$data
        : ($way => $data);
}


# What changed: a hash of differences.

sub moved (&) {
    my ($code) = @_;

    my %before = flat(status());
    $code->();
    my %after = flat(status());

    delete @before{qw(version store.name)};

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
        [qw(duplicates outcomes policy requests store verify version)], 'parts';
    is_deeply [sort keys %{$json->{store}}], [qw(deliveries ended evicted
        exhausted free leases name repaired size triggers untold)], 'store';
    is $json->{store}{name}, 'memory', 'which store';
    is $json->{store}{size}, 4 * 1024 * 1024, 'its size';
    cmp_ok $json->{store}{free}, '>', 3 * 1024 * 1024, 'most of it is free';
    is_deeply [@{$json->{policy}}{qw(workspaces triggers keys)}], [2, 3, 2],
        'the policy';
    cmp_ok $json->{policy}{bytes}, '>', 100, 'its size';
    is_deeply [sort keys %{$json->{requests}}],
        [qw(admitted dry_run passed refused replayed)], 'requests';
    is_deeply $json->{duplicates}, {mismatch => 0, 'in-progress' => 0,
        done => 0, unknown => 0}, 'duplicates';
    cmp_ok scalar keys %{$json->{requests}{refused}}, '>=', 22,
        'every reason';
    is_deeply $json->{outcomes}, {unknown => 0, unbound => 0}, 'outcomes';

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
        {'requests.admitted' => 1, 'store.leases' => 1,
        'store.triggers' => 1}],
     ['a start that is refused', sub { start_run('runs', key => 'alice') },
        {'requests.refused.concurrency_limited' => 1}],
     ['a poll', sub { poll($run, key => 'alice') }, {'requests.passed' => 1}],
     ['the end of a run', sub { poll($run, key => 'alice',
            stand_in => {set => {status => 'Failed'}}) },
        {'requests.passed' => 1, 'store.leases' => -1, 'store.ended' => 1}],
     ['a start that ends at once', sub { start_run('runs', key => 'alice',
            stand_in => {finish => 'now'}) },
        {'requests.admitted' => 1, 'store.ended' => 1}],
     ['a start that the upstream refuses', sub { start_run('runs',
            key => 'alice', stand_in => {status => 400}) },
        {'requests.admitted' => 1}],
     ['a delivery', sub { start_run('alpha', key => 'alice',
            headers => ['Idempotency-Key' => 'one']) },
        {'requests.admitted' => 1, 'store.leases' => 1, 'store.triggers' => 1,
        'store.deliveries' => 1}],
     ['a duplicate', sub { start_run('alpha', key => 'alice',
            headers => ['Idempotency-Key' => 'one']) },
        {'requests.replayed' => 1, 'duplicates.done' => 1}],
     ['a method', sub { req(GET => path('alpha')) },
        {'requests.refused.method_not_allowed' => 1}],
     ['no key', sub { req(POST => path('alpha')) },
        {'requests.refused.key_missing' => 1}],
     ['a path', sub { req(GET => '/v1//') },
        {'requests.refused.path_not_canonical' => 1}],
     ["another's agent", sub { start_run('beta', key => 'alice') },
        {'requests.refused.agent_out_of_scope' => 1}],
     ['a body', sub { start_run('alpha', key => 'alice', body => '[') },
        {'requests.refused.body_invalid' => 1}],
     ['a type', sub { start_run('alpha', key => 'alice', body => '{}',
            type => 'a/b') }, {'requests.refused.content_type' => 1}],
     ['a rate', sub { start_run('alpha', key => 'alice',
            stand_in => {status => 400}) for 1 .. 5 },
        {'requests.admitted' => 2, 'requests.refused.rate_limited' => 3}],
     ['an outcome that is not known', sub { start_run('beta', key => 'bob',
            stand_in => {status => 502}) },
        {'requests.admitted' => 1, 'outcomes.unknown' => 1,
        'store.leases' => 1, 'store.triggers' => 1}],
     ['a run that is not named', sub { start_run('runs', key => 'alice',
            stand_in => {omit => 'runId'}) },
        {'requests.admitted' => 1, 'outcomes.unknown' => 1,
        'outcomes.unbound' => 1, 'store.leases' => 1}])
{
    my ($name, $code, $expected) = @$_;

    my $moved = moved { $code->() };

    is_deeply $moved, $expected, $name or diag explain $moved;
}


wait_for { start_run('runs', key => 'alice', stand_in => {status => 400})
    ->status == 400 } 10, 'the lease of the unnamed run to expire';
is status()->{store}{leases} <= 1, 1, 'leases that expired are not counted';

ok $nginx->reload, 'reload';
is status()->{requests}{refused}{rate_limited}, 3, 'the counters stand';


done_testing();
