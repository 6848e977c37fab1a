#!/usr/bin/perl

# Beside nginx's own access control: what each says, both hold, and nothing is
# charged before all have spoken.
#
# With "satisfy any" a good key is enough, as any other's consent is for them;
# but nobody else's consent is enough for us.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;

use Mojo::Util qw(b64_encode);

my $up = stand_in();

my $policy = policy(
    agents => {
        alpha => {rpmLimit => 500, maxConcurrentRuns => 400},
        beta  => {},
        none  => {rpmLimit => 0},
    },
    keys => {alice => {agents => [qw(alpha none)]},
        bob => {agents => ['beta']}},
);

my $pass = 'proxy_pass http://{{upstream_name}};';
my $basic = 'auth_basic staff; auth_basic_user_file {{passwords}};';

my %servers = (
    plain      => "location / { phrony on; $pass }",
    off        => "phrony on; location / { $pass
                       location ~ /public\$ { phrony off; $pass } }",
    all_deny   => "location / { phrony on; deny all; $pass }",
    all_allow  => "location / { phrony on; allow 127.0.0.1; deny all; $pass }",
    all_basic  => "location / { phrony on; $basic $pass }",
    all_auth   => "location / { phrony on; auth_request /auth; $pass }",
    any_alone  => "location / { satisfy any; phrony on; $pass }",
    any_deny   => "location / { satisfy any; phrony on; deny all; $pass }",
    any_allow  => "location / { satisfy any; phrony on; allow all; $pass }",
    any_basic  => "location / { satisfy any; phrony on; $basic $pass }",
    any_auth   => "location / { satisfy any; phrony on; auth_request /auth;
                       $pass }",
    except     => "location / { phrony on; $pass
                       limit_except GET { deny all; } }",
    page       => "phrony on; error_page 403 /v1/agents/{{beta}}/sessions;
                       location / { deny 127.0.0.9; $pass }
                       location /v1/agents/{{beta}} { $pass }",
);

my $auth = 'location = /auth { internal; if ($http_x_auth) { return 204; }
    return 403; }';

my $ports = {map { ("p_$_" => free_port()) } keys %servers};

nginx(%$ports,
    beta      => $policy->agent('beta'),
    passwords => write_file('passwords', "user:{PLAIN}secret\n"),
    http      => join '', map {
        "server { listen 127.0.0.1:{{p_$_}}; $servers{$_} $auth }\n"
    } sort keys %servers);

sub at { client($ports->{"p_$_[0]"}) }
sub path { '/v1/agents/' . $policy->agent($_[0]) . '/runs' }

my $good = [Authorization => 'Basic ' . b64_encode('user:secret', '')];
my $bad = [Authorization => 'Basic ' . b64_encode('user:wrong', '')];
my $yes = ['X-Auth' => 1];


# A start of alpha in a server: alice's key, bob's (who may not), or none.

sub start {
    my ($server, $key, $headers, %opt) = @_;

    return at($server)->req(POST => path('alpha'), json => {},
        $key ? (key => $policy->key($key)) : (), headers => $headers, %opt);
}


sub remaining {
    my $r = start('plain', 'alice', undef, stand_in => {status => 400});

    return ($r->header('RateLimit') =~ /"rpm";r=(\d+)/)[0];
}


# server, key, more fields; status, and the reason if the refusal is ours

my @cases = (
    ['plain',     'alice', undef, 202],
    ['all_deny',  'alice', undef, 403],
    ['all_deny',  'bob',   undef, 403, 'agent_out_of_scope'],
    ['all_deny',  undef,   undef, 401, 'key_missing'],
    ['all_allow', 'alice', undef, 202],
    ['all_allow', undef,   undef, 401, 'key_missing'],
    ['all_basic', 'alice', $good, 202],
    ['all_basic', 'alice', $bad,  401],
    ['all_basic', 'alice', undef, 401],
    ['all_basic', 'bob',   $good, 403, 'agent_out_of_scope'],
    ['all_basic', undef,   $good, 401, 'key_missing'],
    ['all_auth',  'alice', $yes,  202],
    ['all_auth',  'alice', undef, 403],
    ['all_auth',  'bob',   $yes,  403, 'agent_out_of_scope'],
    ['all_auth',  undef,   $yes,  401, 'key_missing'],

    ['any_alone', 'alice', undef, 202],
    ['any_alone', 'bob',   undef, 403, 'agent_out_of_scope'],
    ['any_alone', undef,   undef, 401, 'key_missing'],
    ['any_deny',  'alice', undef, 202],
    ['any_deny',  'bob',   undef, 403],
    ['any_deny',  undef,   undef, 403],
    ['any_allow', 'alice', undef, 202],
    ['any_allow', 'bob',   undef, 403, 'agent_out_of_scope'],
    ['any_allow', undef,   undef, 401, 'key_missing'],
    ['any_basic', 'alice', undef, 202],
    ['any_basic', 'alice', $bad,  202],
    ['any_basic', 'bob',   $good, 403, 'agent_out_of_scope'],
    ['any_basic', 'bob',   $bad,  401],
    ['any_basic', undef,   $good, 401, 'key_missing'],
    ['any_auth',  'alice', undef, 202],
    ['any_auth',  'bob',   $yes,  403, 'agent_out_of_scope'],
    ['any_auth',  undef,   $yes,  401, 'key_missing'],
    ['any_auth',  undef,   undef, 403],
    ['except',    'alice', undef, 403],
    ['except',    'bob',   undef, 403, 'agent_out_of_scope'],
);

for (@cases) {
    my ($server, $key, $headers, $status, $reason) = @$_;
    my $before = remaining();
    my $seen = $up->requests(qr/^POST/);

    my $r = start($server, $key, $headers);
    my $ours = ($r->header('Content-Type') // '')
        eq 'application/problem+json';

    my $let_in = $status == 202 ? 1 : 0;
    my $name = join ' ', $server, $key // 'no key', @{$headers || []};

    is_deeply [$r->status, $ours ? $r->json->{reason} : undef,
        $before - remaining() - 1, $up->requests(qr/^POST/) - $seen - 1],
        [$status, $reason, $let_in, $let_in],
        "$name: status, reason, counted, passed" or diag $r->raw;
}


subtest 'the limit holds whoever consents' => sub {
    my $seen = $up->requests;

    for my $server (grep { !/deny|except|off|page/ } sort keys %servers) {
        my $r = at($server)->req(POST => path('none'), json => {},
            key => $policy->key('alice'), headers => [@$good, @$yes]);

        problem_is($r, 429, 'rate_limited', $server);
    }

    is $up->requests, $seen, 'the upstream has seen none';
};


subtest 'phrony off in a nested location' => sub {
    is at('off')->req(GET => '/v1/any/public')->status, 404,
        'is not guarded: the upstream answers';
    is $up->last_request->{target}, '/v1/any/public', 'it was asked';
    is at('off')->req(POST => path('alpha') . '/public', json => {})->status,
        404, 'whatever the method';
    problem_is(at('off')->req(GET => '/v1/any/public2'), 404, 'route_unknown',
        'its neighbour is guarded');
    problem_is(start('off'), 401, 'key_missing', 'and so is a start');
};


subtest 'a preflight' => sub {
    my @preflight = (headers => [Origin => 'https://a.example',
        'Access-Control-Request-Method' => 'POST']);

    for (['plain', 204], ['all_allow', 204], ['any_alone', 204],
         ['any_allow', 204], ['all_deny', 403], ['any_deny', 403],
         ['any_basic', 401])
    {
        my ($server, $status) = @$_;

        is at($server)->req(OPTIONS => path('alpha'), @preflight)->status,
            $status, "$server: opens no other module's door";
    }
};


subtest 'an error page on another route' => sub {
    my $page = at('page');
    my $seen = $up->requests;

    is start('page', 'alice')->status, 202, 'allowed';
    $seen++;

    my $r = start('page', 'alice', undef, from => '127.0.0.9');
    isnt $r->status, 200, "denied, and not shown another agent's sessions";
    is $up->requests, $seen, 'the upstream was not asked for them'
        or diag join ' ', @{$up->last_request}{qw(method target)};
};


done_testing();
