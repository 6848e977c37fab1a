#!/usr/bin/perl

# Exact counts, whatever two workers do at the same time.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;

my $up = stand_in();

my $policy = policy(
    agents => {
        rpm   => {rpmLimit => 25},
        rpd   => {rpdLimit => 25},
        both  => {rpmLimit => 40, rpdLimit => 25},
        crowd => {rpdLimit => 9000, maxConcurrentRuns => 500},
    },
    keys => {alice => {}},
);

my $ports = {map { $_ => free_port() } qw(p_many p_crowd)};

nginx(%$ports, http => <<'END');
    server {
        listen 127.0.0.1:{{p_many}} reuseport backlog=511;
        add_header X-Worker $pid always;
        location / { phrony on; proxy_pass http://{{upstream_name}}; }
    }

    server {
        listen 127.0.0.1:{{p_crowd}} reuseport;
        keepalive_requests 10000;
        phrony_log_level debug;
        location / { phrony on; try_files /nothing =204; }
    }
END

my @key = (key => $policy->key('alice'));

sub path { '/v1/agents/' . $policy->agent($_[0]) . ($_[1] // '') }


subtest 'as many as the limit, of many at the same time' => sub {
    for my $agent (qw(rpm rpd both)) {
        my (%status, %worker);

        $up->reset;

        for my $round (1 .. 3) {
            for my $r (client($ports->{p_many})->parallel(map {
                [POST => path($agent, '/runs'), @key, json => {},
                    stand_in => {delay => 0.05}]
            } 1 .. 60))
            {
                $status{$r->status}++;
                $worker{$r->header('X-Worker')}++;
            }
        }

        is_deeply \%status, {202 => 25, 429 => 155}, $agent;
        is scalar $up->requests, 25, 'and so many reach the upstream';
        is keys %worker, 2, 'both workers took part';
    }
};


# Without an upstream the workers do little but decide, so that they meet in the
# zone: whatever is not atomic there shows in the numbers.

subtest 'twelve thousand starts in a crowd' => sub {
    my $client = client($ports->{p_crowd});
    my $bytes = $client->request_bytes(POST => path('crowd', '/runs'), @key,
        body => '{}') x 400;
    my @open = map { $client->open_connection(timeout => 60) } 1 .. 30;
    my %status;

    $_->send($bytes) for @open;

    for my $connection (@open) {
        $status{$connection->response->status}++ for 1 .. 400;
    }

    is_deeply \%status, {204 => 9000, 429 => 3000}, 'exactly the limit';
    like start_run('crowd', key => 'alice')->header('RateLimit'),
        qr/"rpd";r=0;.*"runs";r=500\z/, 'and every slot is back';
};


done_testing();
