#!/usr/bin/perl

# Each of conf-examples/*.conf, as it is: an nginx with it starts, lets a start
# through to the stand-in, refuses one without a key, and tells nobody the key.
# Only what belongs to another machine is replaced: addresses, files, names of
# servers; certificates are made here, and TLS is spoken and verified wherever
# the example says so.  The quick start has a test of its own.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;

use Phrony::Fleet;
use Phrony::RedisCluster;
use Phrony::RedisSentinel;

my $examples = "$FindBin::Bin/../conf-examples";

my $up = stand_in();
my $other = stand_in();

my $policy = policy(agents => {alpha => {rpmLimit => 100}},
    keys => {alice => {agents => ['alpha']}});

# the upstream by TLS: it asks for a certificate, and says whose it got and on
# which of its connections; it breaks off where the stand-in does

my ($crt, $key) = certificates()->issue('upstream',
    'DNS:phrony.example.com');
my $tls_port = free_port();

my $front = nginx(module => 0, upstream => $up, server => <<"END");
        listen 127.0.0.1:$tls_port ssl;
        ssl_certificate $crt;
        ssl_certificate_key $key;
        ssl_client_certificate ${\certificates()->ca};
        ssl_verify_client optional;
        add_header X-Connection \$connection always;
        add_header X-Client \$ssl_client_s_dn always;
        add_header X-Name \$ssl_server_name always;
        add_header X-Host \$host always;
        error_page 502 \@broken;
        location \@broken { return 444; }
END

my %tried;


# An example's text for this machine, and its ports by those it names.

sub here {
    my ($file, %opt) = @_;

    my $text = slurp("$examples/$file");
    my %port;

    my $module = Phrony::Nginx::module();
    my $first = $module eq '' ? '' : "load_module $module;";

    $text =~ s/^load_module [^;]*;/$first/m or die "$file: no load_module\n";
    $text =~ s/^(?:user|pid|error_log|worker_processes|worker_rlimit_nofile)
               \s[^;]*;//gmx;
    $text =~ s{^(\s*listen\s+)(?:[\d.]+:)?(\d+)}
              {"${1}127.0.0.1:" . ($port{$2} //= free_port())}gme;

    my $tls = $text =~ m{proxy_pass\s+https:};

    $text =~ s{^(\s*server\s+)192\.0\.2\.(\d+):\d+}
              {$1 . ($tls ? "127.0.0.1:$tls_port"
                     : $2 == 11 ? $other->address : $up->address)}gme;
    $text =~ s/^(\s*phrony_redis\s+)[^;]+;/$1$opt{redis};/m if $opt{redis};
    $text =~ s{/etc/ssl/certs/ca-certificates\.crt}{certificates()->ca}ge;
    $text =~ s{/etc/nginx/tls/([\w-]+)\.(crt|key)}{file_of($1, $2)}ge;
    $text =~ s{/etc/nginx/phrony/([\w.-]+)}{phrony_file($1)}ge;
    $text =~ s{/var/log/nginx/}{{{dir}}/}g;

    my $temp = join '', map { "    ${_}_temp_path {{dir}}/temp/$_;\n" }
        qw(client_body proxy fastcgi uwsgi scgi);

    $text =~ s/^http \{\n/http {\n$temp/m or die "$file: no http\n";

    return ("{{user}}\n{{env}}\ndaemon off;\nworker_processes 1;\n"
        . "pid {{dir}}/nginx.pid;\n"
        . "error_log {{dir}}/error.log {{log_level}};\n$text", %port);
}


sub slurp {
    my ($path) = @_;

    open my $file, '<', $path or die "$path: $!\n";
    local $/;

    return scalar readline $file;
}


# An authority is ours, whatever it is called; other names get a certificate.

my %issued;

sub file_of {
    my ($name, $kind) = @_;

    return certificates()->ca if $name =~ /-ca\z/;

    $issued{$name} //= [certificates()->issue($name,
        "DNS:$name.example.com")];

    return $issued{$name}[$kind eq 'key'];
}


sub phrony_file {
    my ($name) = @_;

    return $policy->path if $name eq 'policy.json';
    return write_file($name, "CHANGE-ME\n") if $name eq 'redis-password';

    return write_file($name, slurp("$examples/$name"));
}


# Starts an example; its client speaks TLS if the example does, and verifies.

sub start_example {
    my ($file, %opt) = @_;

    $tried{$file} = 1;

    my ($conf, %port) = here($file, %opt);
    my $tls = $port{443};
    my $nginx = nginx(conf => $conf, workers => 1,
        port => $tls // $port{8080}, access_log => '');

    $nginx->{client}{tls} = {SSL_ca_file => certificates()->ca,
        SSL_verify_mode => 1, SSL_hostname => 'gateway.example.com',
        SSL_verifycn_name => 'gateway.example.com',
        SSL_verifycn_scheme => 'http'} if $tls;

    return ($nginx, %port);
}


sub start_at {
    my ($nginx, %opt) = @_;

    return start_run('alpha', key => 'alice', at => $nginx->client,
        host => 'gateway.example.com',
        headers => ['X-Forwarded-For' => '203.0.113.9'], %opt);
}


# What holds for each of them.

sub works {
    my ($nginx, %port) = @_;

    my $began = $up->count;
    my $r = start_at($nginx);

    is $r->status, 202, 'a start';
    like $r->header('RateLimit') // '', qr/\A"rpm";r=99;/, 'is counted';
    is $up->count, $began + 1, 'and was with the upstream';
    forwarded($r, $up->last_request);

    problem_is(start_at($nginx, key => undef), 401, 'key_missing', 'no key');

    status_page($port{8090}) if $port{8090};

    my $log = join q(), map { slurp($_) } glob $nginx->dir . "/*.{log,json}";
    my $run = $r->json->{runId};

    like $log, qr/\Q$run/, 'the log names the run';
    unlike $log, qr/phk_/, 'and not the key';

    return $r;
}


# Whom the upstream thinks that it is, and who has asked: a client that says
# who it is, is not believed.  By TLS an nginx is between, which tells the name.

sub forwarded {
    my ($answer, $request) = @_;

    is $answer->header('X-Host') // $up->field($request, 'Host'),
        'phrony.example.com', 'by its name';
    is_deeply [$up->field($request, 'X-Forwarded-For')], ['127.0.0.1'],
        'for this client';
}


# The answer to a start breaks off: no server of the upstream gets it again.

sub sent_once {
    my ($nginx) = @_;

    my $began = $up->count;

    is start_at($nginx, stand_in => {break => 'before'})->status, 502,
        'a start that breaks';
    is $up->count, $began + 1, 'is not sent again';
}


sub status_page {
    my ($port) = @_;

    my $page = client($port)->req(GET => '/phrony_status');

    is $page->json->{requests}{admitted}, 1, 'the status page';
}


subtest 'tls-front.conf' => sub {
    my ($nginx, %port) = start_example('tls-front.conf');
    my $r = works($nginx, %port);

    like $r->header('Strict-Transport-Security'), qr/max-age/, 'by TLS alone';

    my $clear = client($port{80})->open_connection;

    $clear->send("GET / HTTP/1.1\r\nHost: gateway.example.com\r\n\r\n");
    ok $clear->ended(10), 'in clear there is nothing';

    my $stranger = client($port{443});

    $stranger->{tls} = {SSL_verify_mode => 0, SSL_hostname => 'example.org'};
    ok !eval { $stranger->req(GET => '/'); 1 }, 'nor for another name';
    like $@, qr/no TLS/, 'since the handshake is refused';
};


subtest 'upstream-tls.conf' => sub {
    my ($nginx, %port) = start_example('upstream-tls.conf');
    my $r = works($nginx, %port);
    my @more = map { start_at($nginx) } 1 .. 5;
    my %seen = map { $_->header('X-Connection') => 1 } $r, @more;

    is scalar keys %seen, 1, 'one connection serves all';
    sent_once($nginx);
    is $r->header('X-Client'), 'CN=client', 'the gateway shows who it is';
    is $r->header('X-Name'), 'phrony.example.com', 'and whom it wants';

    # the same without the right name, or with another authority

    my ($conf) = here('upstream-tls.conf');

    for (['another name', qr/(proxy_ssl_name\s+)phrony/, 'other'],
        ['another authority', qr/(_trusted_certificate\s+)\S+\.crt/,
            (certificates()->issue('nobody', 'DNS:nobody'))[0]])
    {
        my ($name, $what, $with) = @$_;
        my $wrong = $conf =~ s/$what/$1$with/r;

        $wrong =~ s/^(\s*listen\s+)127\.0\.0\.1:\d+/${1}127.0.0.1:{{port}}/m;

        my $began = $up->count;
        my $strict = nginx(conf => $wrong, workers => 1, access_log => '');

        is start_at($strict)->status, 502, "$name: 502";
        is $up->count, $began, 'and nothing is sent';
    }
};


subtest 'production.conf' => sub {
    my ($nginx, %port) = start_example('production.conf');

    works($nginx, %port);
    sent_once($nginx);
    problem_is($nginx->client->req(POST => '/v1/agents/x/runs',
        body => 'x' x 2_100_000), 413, 'body_too_large',
        "nginx's own refusal");
};


subtest 'agents.conf' => sub {
    my ($nginx) = start_example('agents.conf');
    my %key = map { $_ => "phk_example_$_" } qw(interactive batch partner);

    my $start = sub {
        my ($name, $i, %opt) = @_;
        my $agent = join '-', $i x 8, $i x 4, 4 . $i x 3, 8 . $i x 3, $i x 12;

        return $nginx->client->req(POST => "/v1/agents/$agent/runs",
            key => $key{$name}, json => {input => {}}, %opt);
    };

    my @before = map { $_->count } $up, $other;

    my $first = $start->('interactive', 1,
        headers => ['X-Forwarded-For' => '203.0.113.9']);

    is $first->status, 202, 'the first agent';
    forwarded($first, $up->last_request);
    problem_is($start->('interactive', 2), 403, 'agent_out_of_scope',
        'is all that this key may use');

    my $batch = $start->('batch', 2, headers => ['Idempotency-Key', 'a']);

    is $batch->status, 202, 'the second agent';
    is $start->('partner', 3)->status, 202, 'the third one';
    problem_is($start->('partner', 1), 403, 'agent_out_of_scope',
        'belongs to another workspace');
    is_deeply [map { $_->count } $up, $other],
        [$before[0] + 2, $before[1] + 1], 'each upstream has its own';

    my $again = $start->('batch', 2, headers => ['Idempotency-Key', 'a']);

    ok $again->json->{duplicateDelivery}, 'a duplicate is annotated';
    isnt $again->json->{runId}, $batch->json->{runId}, 'and not replayed';
    problem_is($start->('batch', 2), 429, 'concurrency_limited',
        'it has two slots');

    my $run = $batch->json->{runId};

    is $nginx->client->req(GET => "/v1/runs/$run", key => $key{batch})->status,
        200, 'a run';
    is scalar $other->requests(qr{^GET /v1/runs/\Q$run}), 1,
        'is asked for where it was started';
};


subtest 'fleet.conf' => sub {
    plan(skip_all => 'Redis 6 does not know these users')
        if Phrony::Redis::version() < 7;

    my $redis = redis(tls => 1, users => [users()]);

    store(sub { $redis->call(@_) });
    works(with_redis('fleet.conf', $redis->url(via => 'tls')));

    my $window = window_key($policy, 'alpha');

    is $redis->call(EXISTS => $window), 1, 'Redis has counted it';
    is_deeply [grep { $_ ne 'gateway' } map { $_->{user} } $redis->clients],
        [], 'by the user of the gateway';
};


subtest 'cluster.conf' => sub {
    plan(skip_all => 'Redis 6 does not know these users')
        if Phrony::Redis::version() < 7;

    my $cluster = Phrony::RedisCluster->form(replicas => 0,
        node => sub { redis(cluster => 1, users => [users()], @_) });
    my ($node) = $cluster->nodes;

    store(sub { $node->cli('-c', @_) });
    works(with_redis('cluster.conf', $cluster->url));
};


subtest 'sentinel.conf' => sub {
    plan(skip_all => 'Redis 6 does not know these users')
        if Phrony::Redis::version() < 7;

    my @data = map { redis(users => [users()]) } 1 .. 2;
    my $set = Phrony::RedisSentinel->watch(data => \@data,
        sentinel => sub { redis(sentinel => 1, @_) });

    store(sub { $data[0]->call(@_) });
    works(with_redis('sentinel.conf', $set->url));
};


# Those of redis-users.acl; what a test itself does is by "default".

sub users {
    return map { /\Auser ((?!default).*)\n/ ? $1 : () }
        split /^/, slurp("$examples/redis-users.acl");
}


sub store {
    my ($call) = @_;

    $policy->store($call);
}


# Waits until Redis decides; such a start is another agent's, and not counted.

sub with_redis {
    my ($file, $url) = @_;

    my ($nginx, %port) = start_example($file, redis => $url);

    wait_for {
        client($port{8090})->req(GET => '/phrony_status')
            ->json->{redis}{ready};
    } 20, 'Redis';

    return ($nginx, %port);
}


# What has no subtest of its own does at least what all of them do.

for my $file (map { s{.*/}{}r } sort glob "$examples/*.conf") {
    next if $tried{$file} || $file eq 'quickstart.conf'
        || Phrony::Redis::version() < 7 && slurp("$examples/$file")
            =~ /^\s*phrony_redis\s/m;

    subtest $file => sub { works(start_example($file)) };
}


done_testing();
