#!/usr/bin/perl

# What is authorised is what the upstream gets: hostile targets are refused,
# canonical ones arrive byte for byte.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;

my $up = stand_in();
my $based = stand_in(prefix => '/base');

my $policy = policy(
    agents => {alpha => {}, beta => {}},
    keys   => {alice => {agents => ['alpha'],
        allowFileUploads => Mojo::JSON::true}},
);

my $ports = {map { $_ => free_port() } qw(uri base)};

my $nginx = nginx(
    upstream => $up->address,
    %$ports,
    based => $based->address,
    http  => <<'END',
    server {
        listen 127.0.0.1:{{uri}};
        location / { phrony on; proxy_pass http://{{upstream_name}}/; }
    }

    server {
        listen 127.0.0.1:{{base}};
        location / { phrony on; proxy_pass http://{{based}}/base/; }
    }
END
);

my $alpha = $policy->agent('alpha');
my $beta = $policy->agent('beta');
my $run = '0b1c2d3e-0000-4000-8000-00000000000b';
my $key = $policy->key('alice');


# Sent as it is, with alice's key.

sub target {
    my ($target, %opt) = @_;

    my $method = $opt{method} // 'GET';
    my $bytes = "$method $target HTTP/1.1\r\nHost: localhost\r\n"
        . "X-API-Key: $key\r\n" . ($opt{fields} // '')
        . "Connection: close\r\n\r\n";

    return $opt{client} ? $opt{client}->raw($bytes, method => $method)
                        : raw($bytes, method => $method);
}


# Refused by the module with path_not_canonical.

my @not_canonical = (
    "/v1/agents/$alpha/",
    "/v1/agents/$alpha/runs/",
    "/v1/agents/$alpha/sessions/",
    "/v1/runs/$run/",
    '/v1/',
    '/v1/agents/',
    "//v1/agents/$alpha",
    "/v1//agents/$alpha",
    "/v1/agents//$alpha",
    "/v1/agents/$alpha//runs",
    "/v1/agents/$alpha//",
    "/./v1/agents/$alpha",
    "/v1/./agents/$alpha",
    "/v1/agents/$alpha/.",
    "/v1/agents/$alpha/..",
    "/v1/agents/$beta/../$alpha",
    "/v1/agents/$alpha/../$beta/sessions",
    "/v1/agents/$alpha/x/../../$beta/sessions",
    "/v1/../v1/agents/$alpha",
    "/x/../v1/agents/$alpha",
    "/v1/agents/$alpha/%2e%2e/$beta",
    "/v1/agents/$alpha/.%2e/$beta",
    "/v1/agents/$alpha/%2E",
    "/v1/agents/$alpha%2fruns",
    "/v1/agents/$alpha%2Fsessions",
    "/v1%2fagents/$alpha",
    "/%76%31/agents/$alpha",
    "/v1/%61gents/$alpha",
    "/v1/agents/$alpha/%72uns",
    "/v1/agents/$alpha/session%73",
    '/v1/agents/' . $alpha =~ s/-/%2d/r,
    "/v1/agents/$alpha/%25",
    "/v1/agents/$alpha/%5c",
    "/v1/agents/$alpha/%20",
    "/v1/agents/$alpha/%0d%0aX:%20y",
    "/v1/agents/$alpha/%c0%af",
    "/v1/agents/$alpha/%ff",
    "/v1/agents/$alpha/%3fx=1",
    "/v1/agents/$alpha/%23",
    "/v1/agents/$alpha\\runs",
    "/v1\\agents\\$alpha",
    "/v1/agents/$alpha/..\\$beta",
    "/v1/agents/$alpha;x=1",
    "/v1/agents/$alpha/sessions;jsessionid=1",
    "/v1/agents/..;/$alpha",
    "/v1/agents/$alpha/#",
    "/v1/agents/$alpha#/../$beta",
    "/v1/agents/$alpha#?x=1",
    "/v1/agents/$alpha/\xc3\xa9",
    "/v1/agents/$alpha/\x80",
    "/v1/agents/$alpha/\xff",
    "/v1/agents/$alpha/\xef\xbc\x8fx",
    (map { "/v1/agents/$alpha/x${_}y" }
        '!', '$', '&', "'", '(', ')', '*', '+', ',', ':', '=', '@', '"', '<',
        '>', '[', ']', '^', '`', '{', '|', '}'),
    "/V1/agents/$alpha",
    "/v1/Agents/$alpha",
    "/v1/AGENTS/$alpha",
    "/v1/agents/$alpha/Runs",
    "/v1/agents/$alpha/RUNS",
    "/v1/agents/$alpha/rUns",
    "/v1/agents/$alpha/Sessions",
    "/v1/agents/$alpha/SESSIONS",
    "/v1/Runs/$run",
    '/v1/File-Library/presign',
    '/v1/file-library/Presign',
    '/v1/agents/x',
    '/v1/agents/x/runs',
    '/v1/agents/' . substr($alpha, 1),
    "/v1/agents/${alpha}0",
    "/v1/agents/{$alpha}",
    '/v1/agents/' . $alpha =~ tr/-//dr,
    '/v1/agents/' . $alpha =~ s/.\z/g/r,
    '/v1/agents/' . $alpha =~ s/-/_/r,
    '/v1/runs/x',
    "/v1/runs/$run-",
    '/v1/runs/' . $run =~ s/\A./x/r,
);

# Refused by nginx itself or by the module, whoever comes first.

my @broken = (
    "/v1/agents/$alpha/%zz",
    "/v1/agents/$alpha/%",
    "/v1/agents/$alpha/%2",
    "/v1/agents/$alpha/%00",
    "/../v1/agents/$alpha",
    '/v1/../../etc/passwd',
    "/v1/agents/$alpha/\x01",
    "/v1/agents/$alpha/\x7f",
    "/v1/agents/$alpha/\x00",
    "/v1/agents/$alpha/a b",
    "/v1/agents/$alpha\t",
    "v1/agents/$alpha",
    "?/v1/agents/$alpha",
    '*',
    'http://',
    "ftp:/v1/agents/$alpha",
);

my @unknown = ('/', '/v1', '/v2/agents', "/agents/$alpha", '/v1/agents',
    '/v1/runs', '/v1/file-library', '/v1/file-library/other',
    "/v1/file-library/presign/$run", "/api/v1/agents/$alpha", '/_control/reset',
    '/v1/agent', '/v1/agentsx', '/v1x', '/favicon.ico', '/?/v1/agents/$alpha');

# method, target, the upstream's status

my @canonical = (
    [GET  => "/v1/agents/$alpha", 200],
    [GET  => '/v1/agents/' . uc $alpha, 200],
    [GET  => '/v1/agents/' . $alpha =~ s/([a-f])/\U$1/r, 200],
    [GET  => "/v1/agents/$alpha/sessions", 200],
    [POST => "/v1/agents/$alpha/runs", 202],
    [POST => '/v1/agents/' . uc($alpha) . '/runs', 202],
    [GET  => "/v1/agents/$alpha/a-b_c.d~e/...x/0/Z", 404],
    [GET  => "/v1/agents/$alpha/runs/sessions", 404],
    [GET  => "/v1/agents/$alpha/sessions/$run", 404],
    [GET  => "/v1/runs/$run", 404],
    [GET  => '/v1/runs/' . uc $run, 404],
    [GET  => "/v1/runs/$run/any/thing", 404],
    [DELETE => "/v1/runs/$run", 405],
    [BREW => "/v1/runs/$run/x", 404],
    [POST => '/v1/file-library/presign', 200],
    [POST => '/v1/file-library/finalize', 200],
    [GET  => "/v1/agents/$alpha?", 200],
    [GET  => "/v1/agents/$alpha??", 200],
    [GET  => "/v1/agents/$alpha?x=%zz&y=%00&%2e%2e/..//\\;#a", 200],
    [GET  => "/v1/agents/$alpha?/../$beta/%2f/./", 200],
    [GET  => "/v1/agents/$alpha?\x80\xff'\"<>{}|^`", 200],
    [GET  => "/v1/agents/$alpha?" . 'x' x 5000, 200],
);


subtest 'refused targets' => sub {
    for my $target (@not_canonical) {
        problem_is(target($target), 400, 'path_not_canonical', $target);
    }

    for my $target (@broken) {
        my $r = eval { target($target) };
        ok $r && $r->status == 400, $target =~ s/[\0-\x1f]/?/gr
            or diag $r ? $r->raw : $@;
    }

    for my $target (@unknown) {
        problem_is(target($target), 404, 'route_unknown', $target);
    }

    is $up->count, 0, 'the upstream has seen none of them';
};


subtest 'refused targets of starts' => sub {
    for my $target (grep { /runs/i } @not_canonical) {
        my $r = target($target, method => 'POST');
        is $r->status, 400, "POST $target";
    }

    is $up->count, 0, 'the upstream has seen none of them';
};


subtest 'canonical targets' => sub {
    my %client = ('proxy_pass without a URI' => undef,
        'proxy_pass with "/"' => client($ports->{uri}));

    for my $name (sort keys %client) {
        for (@canonical) {
            my ($method, $target, $status) = @$_;
            my $sent = $target;

            # what nginx itself makes of a query when it composes the target

            $sent =~ s/\?\z|#.*// if $client{$name} && $target !~ /\?\?\z/;

            my $r = target($target, method => $method,
                client => $client{$name});
            my $seen = $up->last_request;
            my $short = substr($target, 0, 70) =~ s/[\x80-\xff]/?/gr;

            is $r->status, $status, "$name: $method $short";
            is "$seen->{method} $seen->{target}", "$method $sent",
                'byte for byte';
            $up->reset;
        }
    }

    my $r = target("/v1/agents/$alpha/sessions?a=%2f..",
        client => client($ports->{base}));
    is $r->status, 200, 'proxy_pass with "/base/"';
    is $based->last_request->{target},
        "/base/v1/agents/$alpha/sessions?a=%2f..", 'below the base';
};


subtest 'with a URI, refused targets' => sub {
    for my $target (@not_canonical) {
        is target($target, client => client($ports->{uri}))->status, 400,
            $target;
    }

    is $up->count, 0, 'the upstream has seen none of them';
};


subtest 'absolute targets' => sub {
    is target("http://localhost/v1/agents/$alpha?x=1")->status, 200,
        'a canonical one';
    is $up->last_request->{target}, "/v1/agents/$alpha?x=1", 'arrives';
    $up->reset;

    problem_is(target("http://localhost/v1/agents/$beta"), 403,
        'agent_out_of_scope', 'another agent');
    problem_is(target("http://localhost/v1/agents/$alpha/../$beta"), 400,
        'path_not_canonical', 'with dots');

    for my $target ("http://$beta/../v1/agents/$alpha", 'http://localhost',
        'http://localhost?/v1/agents/x', 'http:/v1/agents/x',
        "http://localhost//v1/agents/$alpha",
        "http://localhost/v1/agents/$alpha%2f",
        "http://a\@b/v1/agents/$alpha/")
    {
        my $r = eval { target($target) };
        ok $r && $r->status =~ /\A40[04]\z/, $target
            or diag $r ? $r->raw : $@;
    }

    is $up->count, 0, 'the upstream has seen none of them';
};


subtest 'overrides of the method' => sub {
    for my $field (qw(X-HTTP-Method-Override X-HTTP-Method X-Method-Override
        x-http-method-override X-METHOD-OVERRIDE))
    {
        for my $value ('POST', 'GET', '') {
            problem_is(target("/v1/agents/$alpha/sessions",
                fields => "$field: $value\r\n"),
                400, 'method_override', "$field: $value");
        }
    }

    problem_is(target("/v1/agents/$alpha/runs", method => 'POST',
        fields => "X-HTTP-Method-Override: DELETE\r\n"),
        400, 'method_override', 'on a start');
    problem_is(target("/v1/runs/$run", method => 'POST',
        fields => "X-HTTP-Method: DELETE\r\n"),
        400, 'method_override', 'on a run');

    is $up->count, 0, 'the upstream has seen none of them';
};


subtest 'methods and versions' => sub {
    my $target = "/v1/agents/$alpha/runs";

    problem_is(target($target, method => $_), 405, 'method_not_allowed', $_)
        for qw(GET PUT PATCH DELETE OPTIONS PROPFIND LOCK BREW);
    is target($target, method => 'TRACE')->status, 405, 'TRACE';

    for my $bytes ("post $target HTTP/1.1", "POST  $target HTTP/1.2.3",
        "CONNECT $target HTTP/1.1", "POST $target HTTP/2.0")
    {
        my $r = raw("$bytes\r\nHost: a\r\nX-API-Key: $key\r\n\r\n");
        cmp_ok $r->status, '>=', 400, $bytes;
    }

    is raw("GET /v1/agents/$alpha HTTP/1.0\r\nX-API-Key: $key\r\n\r\n")
        ->status, 200, 'HTTP/1.0 without Host';
    $up->reset;

    my $connection = $nginx->client->open_connection;
    $connection->send("GET /v1/agents/$alpha\r\n");
    ok !eval { $connection->response }, 'HTTP/0.9 gets no 200';
    is $up->count, 0, 'the upstream has seen none of them';
};


subtest 'HTTP/2' => sub {
    problem_is(h2(GET => $_, key => $key), 400, 'path_not_canonical', $_)
        for "/v1/agents/$alpha/", "/v1/agents/$alpha/../$beta",
            "/v1//agents/$alpha", "/v1/agents/$alpha%2fruns";
    is $up->count, 0, 'the upstream has seen none of them';

    is h2(GET => "/v1/agents/$alpha?x=%zz/../", key => $key)->status, 200,
        'a canonical one';
    is $up->last_request->{target}, "/v1/agents/$alpha?x=%zz/../", 'arrives';
};


done_testing();
