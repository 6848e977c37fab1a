#!/usr/bin/perl

# phrony_verify and what can go wrong while the upstream is asked: it is slow,
# hangs, is not there; clients go away; workers end.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;
use Phrony::Verify;

use Socket qw(SOL_SOCKET SO_LINGER);

my $up = stand_in();

my $hang = {hang => 1};
my $done = {set => {status => 'Completed'}};

my @asked = (
    ['late', 1, {%$done, delay => 0.3}],
    ['too late', 0, {%$done, delay => 20}],
    ['in pieces', 1, {%$done, pieces => 20, gap => 0.02}],
    ['in pieces, too slowly', 0, {%$done, pieces => 1, gap => 1}],
    ['its body is missing', 0, {%$done, 'body-delay' => 20}],
    ['nothing', 0, $hang],
    ['5 MB, the status last', 1, {%$done, size => 5_000_000,
        padding => 'first'}],
    ['5 MB, the status first', 1, {%$done, size => 5_000_000}],
    ['5 MB of a run that goes on', 0, {size => 5_000_000}],
);

# location, what it says, whether that frees the slot

my @places = (
    [down => 'proxy_pass http://127.0.0.1:{{p_down}};', 0],
    [says => q(return 200 '{"status":"Completed"}';), 1],
    [refuses => 'return 403;', 0],
    [empty => 'return 204;', 0],
    [moves => 'return 302 /phrony_verify;', 0],
    [denies => 'deny all;', 0],
    [rewrites => 'rewrite ^ /phrony_verify last;', 1],
    [tries => 'try_files /nothing /phrony_verify;', 1],

    [recovers => 'error_page 404 = /phrony_verify; return 404;', 1],

    [guarded => 'phrony on; proxy_pass http://{{upstream_name}}'
        . '$phrony_verify_path;', 1],
    [verifies => 'phrony on; phrony_verify /v_verifies; proxy_pass '
        . 'http://{{upstream_name}}$phrony_verify_path;', 1],
    [mirrors => 'phrony off; mirror /copy; proxy_pass '
        . 'http://{{upstream_name}}$phrony_verify_path;', 1],
    [unbuffered => 'phrony off; proxy_buffering off; proxy_pass '
        . 'http://{{upstream_name}}$phrony_verify_path;', 1],
    [compresses => 'phrony off; gzip on; gzip_min_length 1; gzip_types *; '
        . 'proxy_pass http://{{upstream_name}}$phrony_verify_path;', 1],
);

my @single = (qw(canary both-c pages any abort reset keep pipe h2 h2-abort
    large file last reload killed free), map { ("at-$_->[0]") } @places);

my $policy = policy(
    agents => {
        (map { ("ask$_" => {maxConcurrentRuns => 1}) } 0 .. $#asked),
        (map { ($_ => {maxConcurrentRuns => 1}) } @single, 'nowhere'),
        both => {maxConcurrentRuns => 2},
    },
    keys => {alice => {}, bob => {agents => ['free']}},
);

my %ports = map { ("p_$_" => free_port()) } qw(down nowhere pages any),
    map { $_->[0] } @places;

my $servers = join '', map { "
    server {
        listen 127.0.0.1:{{p_$_->[0]}};
        phrony_verify /v_$_->[0];
        location / { phrony on; proxy_pass http://{{upstream_name}}; }
        location = /v_$_->[0] {
            internal;
            proxy_set_header Connection '';
            proxy_set_header X-Stand-In '';
            $_->[1]
        }
        location = /copy { internal; phrony off;
            proxy_pass http://{{upstream_name}}; }
        @{[verify_location()]}
    }
" } grep { $_->[0] ne 'down' } @places;

my $nginx = nginx(%ports, p_closed => free_port(),
    http => verify_http('dead' => $hang) . "
    phrony_verify /phrony_verify;
    phrony_reservation_ttl 60s;
    proxy_next_upstream off;
    $servers
    server {
        listen 127.0.0.1:{{p_down}};
        location / { phrony on; proxy_pass http://{{upstream_name}}; }
        location = /phrony_verify { internal;
            proxy_pass http://127.0.0.1:{{p_closed}}; }
    }

    server {
        listen 127.0.0.1:{{p_nowhere}};
        phrony_verify /nowhere;
        location / { phrony on; proxy_pass http://{{upstream_name}}; }
    }

    server {
        listen 127.0.0.1:{{p_pages}};
        location / {
            phrony on;
            error_page 429 = /elsewhere;
            proxy_pass http://{{upstream_name}};
        }
        location = /elsewhere { internal; return 418 elsewhere; }
        @{[verify_location()]}
    }

    server {
        listen 127.0.0.1:{{p_any}};
        location / {
            phrony on;
            satisfy any;
            allow 127.0.0.1;
            deny all;
            proxy_pass http://{{upstream_name}};
        }
        @{[verify_location()]}
    }",
    server => verify_location(), location => 'client_max_body_size 8m;');

sub at { client($ports{"p_$_[0]"}) }
sub path { '/v1/agents/' . $policy->agent($_[0]) . '/runs' }


# The bytes of a start that the upstream refuses.

sub bytes_of {
    my ($agent, $verify, @more) = @_;

    return $nginx->client->request_bytes(POST => path($agent), json => {},
        key => $policy->key('alice'), stand_in => {status => 400},
        headers => ['X-Verify' => Phrony::Client::stand_in($verify)], @more);
}


sub asked_by {
    my ($connection, $agent, $run, $verify, @more) = @_;

    my $before = asked($up, $run);

    $connection->send(bytes_of($agent, $verify, @more));
    wait_for { asked($up, $run) > $before } 10, 'the question';
}


my @runs = map { hold($up, "ask$_") } 0 .. $#asked;
my %run = map { $_ => hold($up, $_) } grep { $_ ne 'canary' } @single,
    'nowhere';
my @both = (hold($up, 'both', begin => 'deadbeef'),
    hold($up, 'both', state => 'Completed'));

$up->set_run($run{$_}, status => 'Completed')
    for qw(pages any large file nowhere), map { "at-$_->[0]" } @places;

go_stale($up);


# None of them waits for the upstream, which never answers some of them.

subtest 'how the upstream answers' => sub {
    my @r = parallel(map {
        my ($method, $target, %opt) = start_request("ask$_",
            key => 'alice', stand_in => {status => 400}, headers =>
            ['X-Verify' => Phrony::Client::stand_in($asked[$_][2])]);
        [$method, $target, %opt];
    } 0 .. $#asked);

    for (0 .. $#asked) {
        my ($name, $frees) = @{$asked[$_]};

        is $r[$_]->status, $frees ? 400 : 429, $name;
        cmp_ok scalar(asked($up, $runs[$_])), '>=', 1, "$name: asked";
    }

    for my $n (grep { $asked[$_][2]{hang}
        || ($asked[$_][2]{delay} // 0) > 1 }
        0 .. $#asked)
    {
        becomes { (asked($up, $runs[$n]))[0]{aborted} }
            "$asked[$n][0]: nobody waits for it any more";
    }
};


subtest 'one of two never answers' => sub {
    is try_start('both')->status, 400, 'the other one has ended';
    is scalar(asked($up, $_)), 1, 'both were asked for' for @both;
};


subtest 'places to ask at' => sub {
    for (@places) {
        my ($name, $text, $frees) = @$_;

        is try_start("at-$name", at => at($name))->status,
            $frees ? 400 : 429, $name;
        is try_start("at-$name", at => at($name))->status,
            $frees ? 400 : 429, "$name, again";
    }

    is try_start('nowhere', at => at('nowhere'))->status, 429,
        'a location that is not there';
};


subtest 'other directives' => sub {
    is try_start('pages', at => at('pages'))->status, 400,
        'an error_page for 429';
    is try_start('any', at => at('any'))->status, 400, 'satisfy any';
    hold($up, 'pages');
    problem_is(try_start('pages', at => at('pages')), 429,
        'concurrency_limited', 'a refusal stays what it is');
};


subtest 'large bodies' => sub {
    my $body = encode_json({input => {text => 'x' x 700_000}});

    for my $agent (qw(large file)) {
        my $r = start_run($agent, key => 'alice', body => $body,
            $agent eq 'file' ? (chunked => [unpack '(a50000)*', $body],
                body => undef) : ());
        my $id = $policy->agent($agent);

        is $r->status, 202, "$agent: granted";
        is $up->last_request(qr{\APOST /v1/agents/$id/})->{length},
            length $body, "$agent: the body is whole";
    }
};


# What comes behind a start on its connection waits for it.

subtest 'keep-alive and pipelining' => sub {
    my $connection = $nginx->client->open_connection;
    my $status = $nginx->client->request_bytes(GET => '/nothing');

    asked_by($connection, 'keep', $run{keep}, $hang);
    is $connection->response->status, 429, 'a start';
    $connection->send(bytes_of('free', $hang));
    is $connection->response->status, 429, 'another one';
    $connection->send($status);
    is $connection->response->status, 404, 'something else';

    asked_by($connection, 'pipe', $run{pipe}, $hang);
    $connection->send($status . bytes_of('keep', $hang) . $status);
    is_deeply [map { $connection->response->status } 1 .. 4],
        [429, 404, 429, 404], 'in order';
};


subtest 'HTTP/2' => sub {
    my $verify = Phrony::Client::stand_in($hang);
    my @start = (POST => path('h2'), key => $policy->key('alice'),
        json => {}, stand_in => {status => 400});

    is h2(@start, headers => ['X-Verify' => $verify])->status, 429,
        'not answered';
    is scalar(asked($up, $run{h2})), 1, 'though asked';
    $up->set_run($run{h2}, status => 'Failed');
    becomes { h2(@start)->status == 400 } 'an end';

    @start[1] = (path('h2-abort'));
    eval { h2(@start, headers => ['X-Verify' => $verify],
        timeout => '300ms') };
    like $@, qr/no HTTP\/2 answer/, 'a client that goes away';
    becomes { ((asked($up, $run{'h2-abort'}))[0] // {})->{aborted} }
        'nobody asks any more';
};


subtest 'clients that go away' => sub {
    for my $agent (qw(abort reset)) {
        my $connection = $nginx->client->open_connection;

        asked_by($connection, $agent, $run{$agent}, $hang);
        setsockopt $connection->{socket}, SOL_SOCKET, SO_LINGER,
            pack 'ii', 1, 0 if $agent eq 'reset';
        $connection->end;
        becomes { (asked($up, $run{$agent}))[0]{aborted} }
            "$agent: nobody asks any more";

        my $id = $policy->agent($agent);
        is scalar($up->requests(qr{\APOST /v1/agents/$id/})), 1,
            "$agent: the start does not reach the upstream";
        is try_start($agent, verify => $hang)->status, 429,
            "$agent: the run keeps its slot";
        $up->set_run($run{$agent}, status => 'Completed');
        becomes { try_start($agent)->status == 400 } "$agent: until its end";
    }

    # gone just before the answer: the slot is free or somebody's, not lost

    my $connection = $nginx->client->open_connection;

    asked_by($connection, 'last', $run{last}, {%$done, delay => 0.2});
    $connection->end;
    becomes { try_start('last', verify => $done)->status == 400 }
        'nobody has the slot';
};


subtest 'a reload' => sub {
    my $connection = $nginx->client->open_connection;

    asked_by($connection, 'reload', $run{reload}, {%$done, delay => 0.7});
    ok $nginx->reload, 'meanwhile';
    is $connection->response->status, 400, 'the start is answered';
};


subtest 'a worker that is killed' => sub {
    my $connection = $nginx->client->open_connection;

    asked_by($connection, 'killed', $run{killed}, $hang);
    $nginx->kill_worker($_) for $nginx->workers;
    ok $connection->ended, 'nobody answers';
    is try_start('killed', verify => $hang)->status, 429,
        'the run keeps its slot';
    becomes { try_start('killed', verify => $done)->status == 400 }
        'others ask';
};


done_testing();
