#!/usr/bin/perl

# Compression on both sides: the module reads what the upstream says before
# the gateway compresses it, and asks the upstream not to.  nginx compresses
# nothing but 200, 403 and 404, so starts are answered with 200 here.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;

use Mojo::Util qw(gunzip);

my $up = stand_in();

my $policy = policy(
    agents => {map { ("a$_" => {maxConcurrentRuns => 1}) } 1 .. 12},
    keys   => {alice => {}},
);

my $ports = {map { $_ => free_port() } qw(p_forced p_plain)};

nginx(%$ports, http => <<'END');
    gzip on;
    gzip_types *;
    gzip_min_length 1;
    gzip_proxied any;
    gzip_vary on;

    server {
        listen 127.0.0.1:{{p_forced}};
        location / {
            phrony on;
            proxy_pass http://{{upstream_name}};
            proxy_set_header Accept-Encoding gzip;
        }
    }

    server {
        listen 127.0.0.1:{{p_plain}};
        gzip off;
        location / { proxy_pass http://{{upstream_name}}; }
    }
END

my @key = (key => $policy->key('alice'));
my $count = 0;


# A fresh agent with one slot.

sub agent { 'a' . ++$count }


# Whether the slot becomes free: a start that the upstream refuses gives it back.

sub is_free {
    my ($agent, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    return ok eval { wait_for { start_run($agent, key => 'alice',
        stand_in => {status => 400})->status == 400 } 10, $name }, $name;
}


sub is_taken {
    my ($agent, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    return is start_run($agent, key => 'alice')->status, 429, $name;
}


sub plain { my ($r) = @_; ($r->header('Content-Encoding') // '') eq 'gzip'
    ? gunzip($r->body) : die "not compressed\n" . $r->raw }


my %accept = (
    'gzip'                  => ['Accept-Encoding' => 'gzip'],
    'gzip and others'       => ['accept-encoding' => 'br;q=1.0, gzip;q=0.8, *;q=0.1'],
    'two fields'            => ['Accept-Encoding' => 'gzip',
        'Accept-Encoding' => 'br'],
);

for my $name (sort keys %accept) {
    my $agent = agent();
    my @accept = (headers => $accept{$name});

    subtest $name => sub {
        $up->reset;

        my $r = start_run($agent, key => 'alice', @accept,
            stand_in => {status => 200});
        my $run = decode_json(plain($r))->{runId};

        is $r->status, 200, 'a start, and the client gets gzip';
        like $r->header('Vary'), qr/Accept-Encoding/, 'Vary';
        is_taken($agent, 'its run is known');
        is_deeply [map { lc } $up->field($up->last_request(qr/runs$/),
            'Accept-Encoding')], [map { 'identity' } grep { lc eq
            'accept-encoding' } @{$accept{$name}}], 'asked for identity';

        $r = poll($run, key => 'alice', @accept);
        is decode_json(plain($r))->{status}, 'Running', 'a poll, in gzip too';
        is_deeply [map { lc } $up->field($up->last_request,
            'Accept-Encoding')], [map { 'identity' } grep { lc eq
            'accept-encoding' } @{$accept{$name}}], 'asked for identity';
        is_taken($agent, 'it goes on');

        $up->set_run($run, status => 'Completed');
        $r = poll($run, key => 'alice', @accept, stand_in => {size => 300_000,
            padding => 'first', pieces => 50_000});
        is length plain($r), 300_000, 'a large answer, compressed';
        is_free($agent, 'its end is seen');
    };
}


subtest 'HTTP/2' => sub {
    my $agent = agent();
    my $r = h2(POST => '/v1/agents/' . $policy->agent($agent) . '/runs', @key,
        json => {}, headers => ['Accept-Encoding' => 'gzip'],
        stand_in => {status => 200});
    my $run = decode_json(plain($r))->{runId};

    is_taken($agent, 'bound');
    is $up->field($up->last_request(qr/runs$/), 'Accept-Encoding'),
        'identity', 'asked for identity';
    $up->set_run($run, status => 'Failed');
    is decode_json(plain(h2(GET => "/v1/runs/$run", @key,
        headers => ['Accept-Encoding' => 'gzip'])))->{status}, 'Failed', 'poll';
    is_free($agent, 'freed');
};


subtest 'what is not read keeps its Accept-Encoding' => sub {
    my $run = start_run(agent(), key => 'alice')->json->{runId};

    for ("/v1/runs/$run/conversation",
         '/v1/agents/' . $policy->agent('a1') . '/sessions')
    {
        my $r = req(GET => $_, @key, headers => ['Accept-Encoding' => 'gzip, x']);

        ok length plain($r), "$_ is compressed by the gateway";
        is $up->field($up->last_request, 'Accept-Encoding'), 'gzip, x',
            'the upstream is asked as the client asks';
    }

    req(GET => "/v1/runs/$run", @key);
    is $up->field($up->last_request, 'Accept-Encoding'), undef,
        'nothing is added to a client that has not asked';
};


subtest 'an upstream that compresses all the same' => sub {
    my $forced = client($ports->{p_forced});
    my ($agent, $other) = (agent(), agent());
    my $r = start_run($agent, key => 'alice',
        headers => ['Accept-Encoding' => 'gzip'], stand_in => {gzip => 1});

    ok decode_json(plain($r))->{runId}, 'passes, compressed once';
    is_taken($agent, 'the slot is kept');

    my $run = start_run($other, key => 'alice')->json->{runId};
    $r = poll($run, key => 'alice', stand_in => {gzip => 1, set => {status => 'Failed'}});
    is decode_json(plain($r))->{status}, 'Failed', 'a poll passes';
    is_taken($other, 'its end is not seen');

    $r = $forced->req(GET => "/v1/runs/$run", @key);
    is $up->field($up->last_request, 'Accept-Encoding'), 'gzip',
        "the configuration's proxy_set_header has the last word";
};


subtest 'a client without gzip' => sub {
    my $agent = agent();
    my $r = start_run($agent, key => 'alice');

    is $r->header('Content-Encoding'), undef, 'no gzip';
    is poll($r->json->{runId}, key => 'alice', stand_in => {set => {status => 'Failed'}})
        ->header('Content-Encoding'), undef, 'nor in a poll';
    is_free($agent, 'freed');
};


subtest 'refusals' => sub {
    my $r = req(GET => '/v1/nothing', headers => ['Accept-Encoding' => 'gzip']);

    is $r->status, 404, 'a refusal';
    is decode_json(plain($r))->{reason}, 'route_unknown', 'in gzip';
};


done_testing();
