#!/usr/bin/perl

# A client that does not read, and then goes away: what was to be sent to it
# stands in the way of the rest of the answer, which says which run it is.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;
use Socket qw(SOL_SOCKET SO_LINGER SO_RCVBUF);

my $up = stand_in();
my $policy = policy(
    agents => {map { ("one$_" => {maxConcurrentRuns => 1}) } 1 .. 12},
    keys   => {alice => {}, bob => {agents => ['one12']}});
my %ports = map { $_ => free_port() } qw(buffered unbuffered memory);

my $nginx = nginx(%ports, http => <<'END');
    phrony_reservation_ttl 60s;

    server {
        listen 127.0.0.1:{{buffered}} sndbuf=8k;
        location / { phrony on; proxy_pass http://{{upstream_name}}; }
    }

    server {
        listen 127.0.0.1:{{unbuffered}} sndbuf=8k;
        location / {
            phrony on;
            proxy_buffering off;
            proxy_pass http://{{upstream_name}};
        }
    }

    server {
        listen 127.0.0.1:{{memory}} sndbuf=8k;
        location / {
            phrony on;
            proxy_max_temp_file_size 0;
            proxy_pass http://{{upstream_name}};
        }
    }
END

my ($agents, $runs) = (0, 0);

for my $server (sort keys %ports) {
    for my $asked ({}, {chunked => 1}) {
        my $agent = $policy->agent('one' . ++$agents);
        my $run = sprintf '0b1c2d3e-0000-4000-8000-%012x', ++$runs;
        my $seen = $up->state->{requests};

        my $client = client($ports{$server});
        my $connection = $client->open_connection;
        setsockopt $connection->{socket}, SOL_SOCKET, SO_RCVBUF,
            pack 'i', 4096;

        $connection->send($client->request_bytes(
            POST => "/v1/agents/$agent/runs", json => {},
            key => $policy->key('alice'), stand_in => {%$asked, run => $run,
                size => 600_000, padding => 'first', pieces => 20_000,
                gap => 0.03}));
        wait_for { $up->state->{requests} > $seen } 10, 'the request';

        # the first pieces fill the sockets: there is no sign of it outside

        select undef, undef, undef, 0.3;

        setsockopt $connection->{socket}, SOL_SOCKET, SO_LINGER,
            pack 'ii', 1, 0;
        $connection->end;

        my $bound = eval {
            wait_for { poll($run, key => 'bob')->status == 403 } 20, 'it';
            1;
        };

        ok $bound, "$server" . ($asked->{chunked} ? ', chunked' : '')
            . ': the run is bound';
    }
}

done_testing;
