#!/usr/bin/perl

# One client request is counted once and holds one slot, whatever internal
# redirects, subrequests and retries follow; and none of them is a way in.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;

my $one = stand_in(name => 'one');
my $two = stand_in(name => 'two');

my $policy = policy(
    agents => {
        alpha => {rpmLimit => 500, maxConcurrentRuns => 300},
        beta  => {},
        none  => {rpmLimit => 0},
    },
    keys => {alice => {agents => [qw(alpha none)]},
        bob => {agents => ['beta']}},
);

my $ID = '0b1c2d3e-0000-4000-8000-00000000000c';

# What stands in each server; each listens on a port of this name.

my %servers = (
    plain  => 'location / { phrony on; proxy_pass http://one; }',
    named  => 'location / { phrony on; proxy_pass http://one;
                   proxy_intercept_errors on; error_page 500 503 = @two; }
               location @two { phrony on; proxy_pass http://two; }',
    chain  => 'recursive_error_pages on; proxy_intercept_errors on; phrony on;
               location / { proxy_pass http://one; error_page 500 = @two; }
               location @two { proxy_pass http://two; error_page 500 = @three; }
               location @three { proxy_pass http://one; }',
    uri    => 'location / { phrony on; proxy_pass http://one;
                   proxy_intercept_errors on; error_page 500 /sorry; }
               location = /sorry { internal; phrony on; return 200 "sorry"; }',
    gone   => 'location / { phrony on; proxy_pass http://127.0.0.1:{{closed}};
                   error_page 502 = @two; }
               location @two { proxy_pass http://two; }',
    accel  => 'phrony on;
               location / { proxy_pass http://one; }
               location /inside/ { internal; phrony off;
                   proxy_pass http://two/v1/agents/; }',
    static => 'phrony on; location / { proxy_pass http://one; }
               location /inside/ { internal; phrony off; return 202 \'{"runId":"' . $ID
                   . '","status":"Running"}\'; }',
    try    => 'phrony on; location / { try_files /nothing @one; }
               location @one { proxy_pass http://one; }',
    tryuri => 'location / { phrony on; try_files /nothing /again$uri; }
               location /again/ { internal; phrony off;
                   proxy_pass http://one/; }',
    tryout => 'location / { try_files /nothing @one; }
               location @one { phrony on; proxy_pass http://one; }',
    next   => 'location / { phrony on; proxy_pass http://dead_first;
                   proxy_next_upstream error timeout http_500
                                       non_idempotent; }',
    mirror => 'location / { phrony on; mirror /mirror; proxy_pass http://one; }
               location = /mirror { internal; phrony on;
                   proxy_pass http://two$request_uri; }',
    auth   => 'phrony on; location / { auth_request /auth;
                   proxy_pass http://one; }
               location = /auth { internal; proxy_pass http://two/v1/nothing;
                   proxy_pass_request_body off;
                   proxy_set_header Content-Length "";
                   proxy_intercept_errors on; error_page 404 =204 @empty; }
               location @empty { return 204; }',
    ssi    => 'phrony on; location / { ssi on; ssi_types *;
                   proxy_pass http://one; }
               location /inside/ { phrony on; proxy_pass http://two; }',
    add    => 'phrony on; location / { addition_types *;
                   add_before_body /inside/a; add_after_body /inside/b;
                   proxy_pass http://one; }
               location /inside/ { proxy_pass http://two; }',
    post   => 'phrony on; location / { post_action @two;
                   proxy_pass http://one; }
               location @two { proxy_pass http://two; }',
    if     => 'location / { phrony on; proxy_pass http://one;
                   if ($http_x_two) { proxy_pass http://two; } }',
    limit  => 'location / { phrony on; proxy_pass http://one;
                   limit_except GET { proxy_pass http://two; } }',
    nested => 'location /v1/ { phrony on;
                   location ~ /runs$ { proxy_pass http://one; } }',
    last   => 'phrony on;
               rewrite ^/old/(.*)$ /v1/agents/$1 last;
               location / { proxy_pass http://one; }',
    break  => 'location / { phrony on; rewrite ^/old/(.*)$ /v1/agents/$1 break;
                   proxy_pass http://one; }',
);

my $ports = {map { ("p_$_" => free_port()) } keys %servers};

my $nginx = nginx(%$ports, closed => free_port(), first => free_port(),
    upstream => undef, locations => $servers{named},
    http => 'upstream one { server ' . $one->address . "; }\n"
        . 'upstream two { server ' . $two->address . "; }\n"
        . 'upstream dead_first { server 127.0.0.1:{{first}}
            max_fails=0; server '
        . $one->address . ' max_fails=0; server ' . $two->address
        . " backup max_fails=0; }\n"
        . join '', map { "server { listen 127.0.0.1:{{p_$_}}; $servers{$_} }\n" }
            sort keys %servers);

sub at { client($ports->{"p_$_[0]"}) }
sub path { '/v1/agents/' . $policy->agent($_[0]) . '/runs' }


# What remains to alpha: a start that is refused by the upstream says it.

sub remaining {
    my $r = at('plain')->req(POST => path('alpha'), json => {},
        key => $policy->key('alice'), stand_in => {status => 400});

    return $r->header('RateLimit') =~ /"rpm";r=(\d+).*"runs";r=(\d+)/;
}


# server, what the start asks of the stand-ins, status, slots held at the end,
# requests that one and two see; more of the request

my @starts = (
    ['plain',  {}, 202, 1, 1, 0],
    ['named',  {at => 'one', status => 500}, 202, 1, 1, 1],
    ['named',  {status => 500}, 500, 0, 1, 1],
    ['named',  {status => 404}, 404, 0, 1, 0],
    ['chain',  {at => 'two', status => 500}, 202, 1, 1, 0],
    ['chain',  {status => 500}, 500, 0, 2, 1],
    ['uri',    {status => 500}, 500, 0, 1, 0],
    ['uri',    {}, 202, 1, 1, 0],
    ['gone',   {}, 202, 1, 0, 1],
    ['gone',   {status => 403}, 403, 0, 0, 1],
    ['accel',  {at => 'one', header => 'X-Accel-Redirect: /inside/x'},
        404, 1, 1, 1],
    ['static', {header => 'X-Accel-Redirect: /inside/x'}, 202, 1, 1, 0],
    ['try',    {}, 202, 1, 1, 0],
    ['tryuri', {}, 202, 1, 1, 0],
    ['tryout', {}, 202, 1, 1, 0],
    ['next',   {}, 202, 1, 1, 0],
    ['next',   {at => 'one', status => 500}, 202, 1, 1, 1],
    ['next',   {status => 500}, 500, 0, 1, 1],
    ['next',   {at => 'one', break => 'before'}, 202, 1, 1, 1],
    ['mirror', {}, 202, 1, 1, 1],
    ['mirror', {at => 'two', delay => 1}, 202, 1, 1, 1],
    ['mirror', {at => 'one', status => 400}, 400, 0, 1, 1],
    ['auth',   {}, 202, 1, 1, 1],
    ['ssi',    {body => '{"runId":"0b1c2d3e-0000-4000-8000-00000000000d",'
        . q("output":"<!--# include virtual='/inside/x' -->"})}, 202, 1, 1, 1],
    ['add',    {status => 200}, 200, 1, 1, 2],
    ['post',   {}, 202, 1, 1, 1],
    ['post',   {at => 'one', status => 400}, 400, 0, 1, 1],
    ['post',   {at => 'two', status => 400}, 202, 1, 1, 1],
    ['if',     {}, 202, 1, 1, 0],
    ['if',     {}, 202, 1, 0, 1, headers => ['X-Two' => 1]],
    ['limit',  {}, 202, 1, 0, 1],
    ['nested', {}, 202, 1, 1, 0],
    ['last',   {}, 202, 1, 1, 0, to => '/old/'],
    ['break',  {}, 202, 1, 1, 0, to => '/old/'],
);

for (@starts) {
    my ($server, $asked, $status, $slots, $by_one, $by_two, %opt) = @$_;
    my $to = delete $opt{to} // '/v1/agents/';
    my $target = $to . $policy->agent('alpha') . '/runs';

    my @before = remaining();
    $_->reset for $one, $two;

    my $r = at($server)->req(POST => $target, json => {}, %opt,
        key => $policy->key('alice'), stand_in => $asked);

    my $name = join ' ', $server, map { ref $asked->{$_} ? $_ :
        "$_=$asked->{$_}" } sort keys %$asked;

    # a mirror, a post_action come after the answer

    eval { wait_for { $two->requests >= $by_two } 10, 'two' };

    my @seen = map { scalar $_->requests } $one, $two;
    my @after = remaining();
    my @fields = $r->all('RateLimit');

    is_deeply [$r->status, $before[0] - $after[0] - 1, $before[1] - $after[1],
        @seen, scalar @fields], [$status, 1, $slots, $by_one, $by_two, 1],
        "$name: status, counted, slots, requests of both, RateLimit"
        or diag $r->raw;
}


# Nothing of this lets in who may not, or more than the limit.

for my $server (sort keys %servers) {
    $_->reset for $one, $two;

    my $to = $server =~ /^(?:last|break)$/ ? '/old/' : '/v1/agents/';
    my %ask = (json => {}, headers => ['X-Two' => 1],
        stand_in => {header => 'X-Accel-Redirect: /inside/x'});
    my $alpha = $to . $policy->agent('alpha') . '/runs';
    my $key = $policy->key('alice');

    problem_is(at($server)->req(POST => $to . $policy->agent('none') . '/runs',
        key => $key, %ask), 429, 'rate_limited', "$server: the limit");
    problem_is(at($server)->req(POST => $alpha, key => $policy->key('bob'),
        %ask), 403, 'agent_out_of_scope', "$server: another's key");
    problem_is(at($server)->req(POST => $alpha, %ask), 401, 'key_missing',
        "$server: no key");

    my @paths = ('/inside/x', '/again/x', '/sorry', '/mirror', '/v1/other',
        $server eq 'auth' ? () : '/auth');
    my @let_in = grep { at($server)->req(GET => $_, key => $key)->status
        !~ /^4/ } @paths;
    is_deeply \@let_in, [], "$server: no other way in";
    is_deeply [grep { $_ ne 'GET /v1/nothing' } map {
        "$_->{method} $_->{target}" } $one->requests, $two->requests], [],
        "$server: no upstream was asked";
}


# Subrequests are nginx's own and are not guarded, so "ssi" beside "phrony" is
# for upstreams that are trusted; yet nothing can be started in this way.

subtest 'what an answer includes' => sub {
    my $agent = $policy->agent('beta');

    $_->reset for $one, $two;
    at('ssi')->req(POST => path('alpha'), json => {},
        key => $policy->key('alice'), stand_in => {at => 'one', body =>
            "<!--# include virtual='/v1/agents/$agent/runs' -->"});
    ok scalar $one->requests(qr/$agent/), 'one subrequest was made';
    is_deeply [grep { $_->{method} ne 'GET' && $_->{target} =~ /$agent/ }
        $one->requests, $two->requests], [],
        'what is included is never a start';
};


subtest 'one connection' => sub {
    my @before = remaining();
    my $client = at('named');

    my @r = $client->raw(join('', map { $client->request_bytes(POST =>
        path('alpha'), key => $policy->key('alice'), json => {},
        stand_in => $_) } {}, {at => 'one', status => 503}, {status => 400},
        {}, {}), responses => 5);
    my @after = remaining();

    is_deeply [map { $_->status } @r], [202, 202, 400, 202, 202], 'pipelined';
    is_deeply [$before[0] - $after[0] - 1, $before[1] - $after[1]], [5, 4],
        'counted five times, four slots';
    is_deeply [map { $_->header('RateLimit') =~ /"rpm";r=(\d+)/ } @r],
        [map { $before[0] - $_ } 1 .. 5], 'one after the other';
};


subtest 'HTTP/2' => sub {
    my @before = remaining();
    my @r = map { h2(POST => path('alpha'), key => $policy->key('alice'),
        json => {}, stand_in => $_) } {delay => 0}, {at => 'one', status => 500},
        {status => 500};
    my @after = remaining();

    is_deeply [map { $_->status } @r], [202, 202, 500], 'redirected';
    is_deeply [$before[0] - $after[0] - 1, $before[1] - $after[1]], [3, 2],
        'counted three times, two slots';
    problem_is(h2(POST => path('none'), key => $policy->key('alice'),
        json => {}), 429, 'rate_limited', 'the limit');
};


done_testing();
