#!/usr/bin/perl

# Who may do what: the keys, their scopes, the clients' addresses.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;

my $up = stand_in();

my $policy = policy(
    workspaces => {main => {}, closed => {status => 'suspended'}},
    agents => {
        alpha  => {},
        beta   => {},
        local  => {ipWhitelist => ['127.0.0.5', '127.1.0.0/16']},
        six    => {ipWhitelist => ['2001:db8::/32']},
        off    => {active => Mojo::JSON::false},
        away   => {active => Mojo::JSON::false, ipWhitelist => ['10.0.0.0/8']},
        shut   => {workspace => 'closed'},
        orphan => {},
    },
    keys => {
        alice   => {agents => [qw(alpha off)]},
        bob     => {agents => [qw(beta)]},
        carol   => {agents => [qw(local away six)],
            allowFileUploads => Mojo::JSON::true},
        dave    => {agents => [qw(alpha local)],
            allowFileUploads => Mojo::JSON::true},
        none    => {agents => []},
        revoked => {agents => [qw(alpha)], status => 'revoked'},
        expired => {agents => [qw(alpha)],
            expiresAt => '2020-02-29T23:59:60Z'},
        later   => {agents => [qw(alpha)],
            expiresAt => '2999-01-01T00:00:00.5+02:00'},
        shut    => {agents => [qw(shut)], workspace => 'closed',
            allowFileUploads => Mojo::JSON::true},
        longest => {agents => [qw(alpha)], clear => 'phk_' . 'x' x 252},
        symbols => {agents => [qw(alpha)],
            clear => 'phk_' . join '', grep { $_ ne ',' } map { chr }
                0x21 .. 0x7e},
    },
);

my $ports = {map { $_ => free_port() } qw(any realm basic)};

my $nginx = nginx(
    %$ports,
    passwords => write_file('passwords', "user:{PLAIN}secret\n"),
    access_log => '{{dir}}/access.log outcome',
    http => <<'END',
    log_format outcome '$request_method $uri $status $phrony_outcome '
                       '[$phrony_reason] $phrony_route $phrony_key_id';

    server {
        listen 127.0.0.1:{{any}};
        satisfy any;
        allow all;
        phrony on;
        location / { proxy_pass http://{{upstream_name}}; }
    }

    server {
        listen 127.0.0.1:{{realm}};
        phrony on;
        phrony_realm "agents of acme";
        location / { proxy_pass http://{{upstream_name}}; }
    }

    server {
        listen 127.0.0.1:{{basic}};
        phrony on;
        location / {
            deny 127.0.0.7;
            auth_basic "staff";
            auth_basic_user_file {{passwords}};
            proxy_pass http://{{upstream_name}};
        }
    }
END
);

my %agent = map { $_ => '/v1/agents/' . $policy->agent($_) }
    qw(alpha beta local six off away shut orphan);
my $stranger = '/v1/agents/0b1c2d3e-0000-4000-8000-00000000000a';
my $unknown_run = '/v1/runs/0b1c2d3e-0000-4000-8000-00000000000b';
my $presign = '/v1/file-library/presign';

sub key { $policy->key($_[0]) }


# name, request, status, reason; in the order of the checks

my @refused = (
    ['a path that is not canonical, without a key',
        [GET => "$agent{alpha}/"], 400, 'path_not_canonical'],
    ['an override of the method, without a key',
        [POST => "$agent{alpha}/runs",
            headers => ['X-HTTP-Method-Override' => 'GET']],
        400, 'method_override'],
    ['an unknown route, without a key', [GET => '/v1/nothing'],
        404, 'route_unknown'],
    ['another method, without a key', [DELETE => $agent{alpha}],
        405, 'method_not_allowed'],

    ['no key', [POST => "$agent{alpha}/runs"], 401, 'key_missing'],
    ['no key, run', [GET => $unknown_run], 401, 'key_missing'],
    ['no key, files', [POST => $presign], 401, 'key_missing'],
    ['an empty key', [GET => $agent{alpha}, key => ''],
        401, 'key_malformed'],
    ['a key without the prefix', [GET => $agent{alpha}, key => 'abc'],
        401, 'key_malformed'],
    ['a prefix without a key', [GET => $agent{alpha}, key => 'phk_'],
        401, 'key_malformed'],
    ['a prefix in capitals', [GET => $agent{alpha}, key => 'PHK_test_alice'],
        401, 'key_malformed'],
    ['a key with a comma', [GET => $agent{alpha}, key => 'phk_a,phk_b'],
        401, 'key_malformed'],
    ['a key with a space', [GET => $agent{alpha}, key => 'phk_a b'],
        401, 'key_malformed'],
    ['a key with a tab', [GET => $agent{alpha}, key => "phk_a\tb"],
        401, 'key_malformed'],
    ['a key beyond ASCII', [GET => $agent{alpha}, key => "phk_\xc3\xa9"],
        401, 'key_malformed'],
    ['a key with DEL', [GET => $agent{alpha}, key => "phk_a\x7f"],
        401, 'key_malformed'],
    ['a key of 257 bytes', [GET => $agent{alpha}, key => 'phk_' . 'x' x 253],
        401, 'key_malformed'],
    ['two keys', [GET => $agent{alpha}, key => key('alice'),
        headers => ['X-API-Key' => key('alice')]], 400, 'key_repeated'],
    ['two keys, one of them empty', [GET => $agent{alpha}, key => key('alice'),
        headers => ['x-api-key' => '']], 400, 'key_repeated'],

    ['an unknown key', [GET => $agent{alpha}, key => 'phk_unknown'],
        401, 'key_invalid'],
    ['a key of 256 bytes that is unknown',
        [GET => $agent{alpha}, key => 'phk_' . 'y' x 252], 401, 'key_invalid'],
    ['a revoked key', [GET => $agent{alpha}, key => key('revoked')],
        401, 'key_invalid'],
    ['an expired key', [GET => $agent{alpha}, key => key('expired')],
        401, 'key_invalid'],
    ['an unknown key, files', [POST => $presign, key => 'phk_unknown'],
        401, 'key_invalid'],
    ['an unknown key, run', [GET => $unknown_run, key => 'phk_unknown'],
        401, 'key_invalid'],

    ['a suspended workspace', [GET => $agent{shut}, key => key('shut')],
        403, 'workspace_suspended'],
    ["a suspended workspace, another's agent",
        [GET => $agent{alpha}, key => key('shut')],
        403, 'workspace_suspended'],
    ['a suspended workspace, files', [POST => $presign, key => key('shut')],
        403, 'workspace_suspended'],
    ['a suspended workspace, run', [GET => $unknown_run, key => key('shut')],
        403, 'workspace_suspended'],

    ['another agent', [GET => $agent{beta}, key => key('alice')],
        403, 'agent_out_of_scope'],
    ['another agent, start', [POST => "$agent{beta}/runs",
        key => key('alice'), json => {}], 403, 'agent_out_of_scope'],
    ['another agent, sessions', [GET => "$agent{beta}/sessions",
        key => key('alice')], 403, 'agent_out_of_scope'],
    ['another agent, below it', [GET => "$agent{beta}/x/y",
        key => key('alice')], 403, 'agent_out_of_scope'],
    ['an agent that nobody knows', [GET => $stranger, key => key('alice')],
        403, 'agent_out_of_scope'],
    ["another workspace's agent", [GET => $agent{shut}, key => key('alice')],
        403, 'agent_out_of_scope'],
    ["nobody's agent", [GET => $agent{orphan}, key => key('alice')],
        403, 'agent_out_of_scope'],
    ['a key without scopes', [GET => $agent{alpha}, key => key('none')],
        403, 'agent_out_of_scope'],
    ['uploads', [POST => $presign, key => key('alice')],
        403, 'uploads_not_allowed'],
    ['uploads, the other half', [POST => '/v1/file-library/finalize',
        key => key('alice')], 403, 'uploads_not_allowed'],
    ['out of scope before an inactive trigger', [POST => "$agent{off}/runs",
        key => key('bob'), json => {}], 403, 'agent_out_of_scope'],

    ['an address', [GET => $agent{local}, key => key('carol')],
        403, 'address_not_allowed'],
    ['an address, start', [POST => "$agent{local}/runs", key => key('carol'),
        json => {}], 403, 'address_not_allowed'],
    ['an address next to those', [GET => $agent{local}, key => key('carol'),
        from => '127.0.0.6'], 403, 'address_not_allowed'],
    ['an address, files', [POST => $presign, key => key('carol'), json => {}],
        403, 'address_not_allowed'],
    ['an address, an unknown run', [GET => $unknown_run, key => key('carol')],
        403, 'address_not_allowed'],
    ['an IPv4 address, IPv6 blocks', [GET => $agent{six}, key => key('carol'),
        from => '127.0.0.5'], 403, 'address_not_allowed'],
    ['an address before an inactive trigger', [POST => "$agent{away}/runs",
        key => key('carol'), json => {}], 403, 'address_not_allowed'],
    ['an inactive trigger', [POST => "$agent{off}/runs", key => key('alice'),
        json => {}], 403, 'trigger_inactive'],
    ['an inactive trigger before the body', [POST => "$agent{off}/runs",
        key => key('alice'), body => '[', type => 'text/plain'],
        403, 'trigger_inactive'],
);


subtest 'refused' => sub {
    for (@refused) {
        my ($name, $request, $status, $reason) = @$_;
        my $r = req(@$request);

        problem_is($r, $status, $reason, $name);
    }

    is $up->count, 0, 'the upstream has seen none of them';
};


subtest 'the form of a refusal' => sub {
    my $r = req(GET => $agent{alpha});
    my $json = $r->json;

    is_deeply [$r->all('WWW-Authenticate')], ['ApiKey realm="phrony"'],
        'WWW-Authenticate';
    is $r->header('Content-Length'), length $r->body, 'Content-Length';
    is_deeply [sort keys %$json],
        [qw(detail instance reason status title type)], 'members';
    isnt req(GET => $agent{alpha})->json->{instance}, $json->{instance},
        'each has its own instance';
    is $r->header($_), undef, "no $_"
        for qw(RateLimit RateLimit-Policy Retry-After Allow);

    is client($ports->{realm})->req(GET => $agent{alpha})
        ->header('WWW-Authenticate'), 'ApiKey realm="agents of acme"',
        'phrony_realm';

    my @same = map { my $json = req(GET => $agent{alpha}, key => $_)->json;
            delete $json->{instance}; $json }
        'phk_unknown', key('revoked'), key('expired');
    is_deeply $same[1], $same[0], 'revoked is told as unknown is';
    is_deeply $same[2], $same[0], 'and so is expired';

    for my $opt ([], [key => 'phk_unknown'], [key => key('bob')]) {
        my $get = req(GET => $agent{alpha}, @$opt);
        my $head = req(HEAD => $agent{alpha}, @$opt);

        is $head->status, $get->status, 'HEAD has the status of GET';
        is $head->header('Content-Type'), 'application/problem+json',
            'and the type';
        is $head->header('WWW-Authenticate'), $get->header('WWW-Authenticate'),
            'and the challenge';
    }

    my $head = "HEAD $agent{alpha} HTTP/1.1\r\nHost: a\r\n\r\n";
    my @r = raw($head . $head, responses => 2, method => 'HEAD');
    is_deeply [map { $_->status } @r], [401, 401], 'HEAD has no body';

    is h2(GET => $agent{alpha})->json->{reason}, 'key_missing', 'HTTP/2';
    is h2(HEAD => $agent{alpha})->body, '', 'HTTP/2, HEAD';
};


subtest 'Allow' => sub {
    my %allow = (
        "$agent{alpha}/runs"         => 'POST',
        "$agent{alpha}/sessions"     => 'GET, HEAD',
        $agent{alpha}                => 'GET, HEAD',
        "$agent{alpha}/other"        => 'GET, HEAD',
        "$agent{alpha}/runs/other"   => 'GET, HEAD',
        $presign                     => 'POST',
        '/v1/file-library/finalize'  => 'POST',
    );

    for my $path (sort keys %allow) {
        for my $method (qw(GET HEAD POST PUT PATCH DELETE OPTIONS PROPFIND
            BREW))
        {
            next if grep { $_ eq $method } split /, /, $allow{$path};

            my $r = req($method => $path, key => key('alice'));

            ok $r->status == 405 && $r->header('Allow') eq $allow{$path},
                "$method $path" or diag $r->raw;
        }
    }

    is $up->count, 0, 'the upstream has seen none of them';
};


subtest 'passed' => sub {
    my @passed = (
        ['a start', [POST => "$agent{alpha}/runs", key => key('alice'),
            json => {}], 202],
        ['a key that expires later', [GET => $agent{alpha},
            key => key('later')], 200],
        ['the longest key', [GET => $agent{alpha}, key => key('longest')], 200],
        ['a key of all characters', [GET => $agent{alpha},
            key => key('symbols')], 200],
        ['a field in other case', [GET => $agent{alpha},
            headers => ['x-aPi-kEy' => key('alice')]], 200],
        ['an agent', [GET => $agent{alpha}, key => key('alice')], 200],
        ['HEAD', [HEAD => $agent{alpha}, key => key('alice')], 200],
        ['sessions', [GET => "$agent{alpha}/sessions?take=3",
            key => key('alice')], 200],
        ['below an agent', [GET => "$agent{alpha}/some/thing",
            key => key('alice')], 404],
        ['an inactive trigger, to read', [GET => "$agent{off}/sessions",
            key => key('alice')], 200],
        ['an unknown run', [GET => $unknown_run, key => key('alice')], 404],
        ['an unknown run, a key without scopes', [GET => $unknown_run,
            key => key('none')], 404],
        ['an address', [GET => $agent{local}, key => key('carol'),
            from => '127.0.0.5'], 200],
        ['an address of a block', [GET => $agent{local}, key => key('carol'),
            from => '127.1.255.255'], 200],
        ['uploads from it', [POST => $presign, key => key('carol'),
            json => {}, from => '127.0.0.5'], 200],
        ['uploads, one of the triggers allows any', [POST => $presign,
            key => key('dave'), json => {}], 200],
        ['an unknown run, likewise', [GET => $unknown_run,
            key => key('dave')], 404],
    );

    for (@passed) {
        my ($name, $request, $status) = @$_;
        is req(@$request)->status, $status, $name;
    }

    is $up->count, scalar @passed, 'the upstream has seen all';

    req(GET => $agent{alpha}, key => key('alice'));
    is_deeply [$up->field($up->last_request, 'X-API-Key')], [key('alice')],
        'with the key';
};


subtest 'runs' => sub {
    my $run = start_run('alpha', key => 'alice')->json->{runId};
    my $off_limits = start_run('local', key => 'carol', from => '127.0.0.5')
        ->json->{runId};
    my $seen = $up->count;

    problem_is(poll($run, key => 'bob'), 403, 'run_out_of_scope',
        "another's run");
    problem_is(poll($run, key => 'none'), 403, 'run_out_of_scope',
        'a key without scopes');
    problem_is(req($_->[0] => "/v1/runs/$run$_->[1]", key => key('bob')),
        403, 'run_out_of_scope', "another's run: $_->[0] $_->[1]")
        for [GET => '/conversation'], [GET => '/stream'], [POST => '/messages'],
            [POST => '/input'], [POST => '/skip-agent-wait'], [DELETE => ''];
    is req(HEAD => "/v1/runs/$run", key => key('bob'))->status, 403,
        "another's run: HEAD";
    problem_is(req(GET => '/v1/runs/' . uc $run, key => key('bob')),
        403, 'run_out_of_scope', "another's run in capitals");
    problem_is(poll($off_limits, key => 'carol'), 403, 'address_not_allowed',
        'a run, from elsewhere');
    problem_is(poll($off_limits, key => 'dave'), 403, 'address_not_allowed',
        'though another trigger of the key allows any');
    is $up->count, $seen, 'the upstream has seen none of them';

    is poll($run, key => 'alice')->status, 200, 'its own run';
    is poll($run, key => 'dave')->status, 200, 'another key of that trigger';
    is poll($off_limits, key => 'carol', from => '127.0.0.5')->status, 200,
        'from the right address';
    is req(GET => "/v1/runs/$run/conversation", key => key('alice'))->status,
        200, 'its conversation';
    is req(POST => "/v1/runs/$run/messages", key => key('alice'),
        json => {runId => $run})->status, 202, 'a message';
};


subtest 'preflight' => sub {
    my @preflight = (headers => [Origin => 'https://a.example',
        'Access-Control-Request-Method' => 'POST']);
    my $before = $up->count;

    for my $path ("$agent{alpha}/runs", "$agent{alpha}/sessions", $agent{alpha},
        $stranger, $unknown_run, $presign)
    {
        my $r = req(OPTIONS => $path, @preflight);

        is $r->status, 204, "OPTIONS $path";
        is $r->header('RateLimit'), undef, 'is not counted';
    }

    is $up->count, $before + 6, 'the upstream answers';

    problem_is(req(OPTIONS => '/v1/other', @preflight), 404, 'route_unknown',
        'an unknown route');
    problem_is(req(OPTIONS => "$agent{alpha}/", @preflight),
        400, 'path_not_canonical', 'a path that is not canonical');
    problem_is(req(OPTIONS => $unknown_run,
        headers => [Origin => 'https://a.example']),
        401, 'key_missing', 'without a method asked for');
    problem_is(req(OPTIONS => $unknown_run,
        headers => ['Access-Control-Request-Method' => 'GET']),
        401, 'key_missing', 'without an origin');
    problem_is(req(OPTIONS => "$agent{alpha}/runs", key => key('alice')),
        405, 'method_not_allowed', 'an OPTIONS that is none');
};


subtest 'beside other modules' => sub {
    my $any = client($ports->{any});
    my $before = $up->count;

    problem_is($any->req(GET => $agent{alpha}), 401, 'key_missing',
        '"satisfy any" opens no door');
    problem_is($any->req(POST => "$agent{beta}/runs", key => key('alice'),
        json => {}), 403, 'agent_out_of_scope', 'of another agent either');
    problem_is($any->req(GET => "$agent{alpha}/%2e"),
        400, 'path_not_canonical', 'nor with such a path');
    is $up->count, $before, 'the upstream has seen none of them';
    is $any->req(POST => "$agent{alpha}/runs", key => key('alice'),
        json => {})->status, 202, 'who may, may';

    my $basic = client($ports->{basic});
    my @staff = (headers => [Authorization => 'Basic dXNlcjpzZWNyZXQ=']);

    is $basic->req(GET => $agent{alpha}, key => key('alice'))->status, 401,
        'auth_basic refuses too';
    is $basic->req(GET => $agent{alpha}, key => key('alice'), @staff)
        ->status, 200, 'both agree';
    problem_is($basic->req(GET => $agent{alpha}, @staff),
        401, 'key_missing', 'auth_basic alone is not enough');
    is $basic->req(GET => $agent{alpha}, key => key('alice'), @staff,
        from => '127.0.0.7')->status, 403, 'deny refuses too';
};


subtest 'logs' => sub {
    my $mark = $nginx->log_size;

    req(GET => $agent{beta}, key => key('alice'));

    my @lines = grep { /\[warn\]/ } split /\n/, $nginx->log_since($mark);

    is scalar @lines, 1, 'one line for a refusal';
    like $lines[0], qr/agent_out_of_scope/, 'with the reason';
    like $lines[0], qr/@{[$policy->key_id('alice')]}/, 'and the id of the key';

    my $access = do { local (@ARGV, $/) = $nginx->dir . '/access.log'; <> };

    like $access, qr{^GET \Q$agent{beta}\E 403 refused \[agent_out_of_scope\] agent @{[$policy->key_id('alice')]}$}m,
        'the variables of a refusal';
    like $access, qr{^POST \Q$agent{alpha}/runs\E 202 admitted \[.?\] start @{[$policy->key_id('alice')]}$}m,
        'of a start';
    like $access, qr{^GET \Q$agent{alpha}\E 200 passed \[.?\] agent @{[$policy->key_id('alice')]}$}m,
        'of another request';

    SKIP: {
        skip 'nginx itself logs fields at the level debug', 1
            if ($ENV{TEST_NGINX_LOG} || '') eq 'debug';
        unlike $nginx->log . $access, qr/phk_/, 'no key';
    }
};


done_testing();
