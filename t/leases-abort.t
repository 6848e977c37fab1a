#!/usr/bin/perl

# Clients that go away: with "proxy_ignore_client_abort on" the answer is read and
# bound all the same, without it nobody knows what was started.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;
use Phrony::Slots;

use Socket qw(SOL_SOCKET SO_LINGER);
use Time::HiRes qw(time);

my $up = stand_in();

my $policy = policy(
    agents => {
        (map { ("one$_" => {maxConcurrentRuns => 1}) } 1 .. 20),
        other => {},
    },
    keys => {alice => {}, bob => {agents => ['other']}},
);

my $ports = {map { ("p_$_" => free_port()) } qw(off)};

my $nginx = nginx(%$ports, closed => free_port(),
    http => <<'END', location => 'location = /status { phrony_status; }',
    phrony_reservation_ttl 2s;
    phrony_run_ttl 60s;

    server {
        listen 127.0.0.1:{{p_off}};
        proxy_ignore_client_abort off;
        location / { phrony on; proxy_pass http://{{upstream_name}}; }
    }
END
);

my $count = 0;
my $uuid = 0;

sub agent { 'one' . ++$count }
sub uuid { sprintf '0b1c2d3e-0000-4000-8000-%012x', ++$uuid }
sub path { '/v1/agents/' . $policy->agent($_[0]) . '/runs' }


# Sends a start and goes away, with a reset if "reset"; the upstream answers all
# the same.

sub abandon {
    my ($client, $agent, $reset, %asked) = @_;

    my $connection = $client->open_connection;
    my $seen = $up->state->{requests};

    $connection->send($client->request_bytes(POST => path($agent), json => {},
        key => $policy->key('alice'), stand_in => \%asked));
    wait_for { $up->state->{requests} > $seen } 10, 'the request';

    setsockopt $connection->{socket}, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0
        if $reset;
    $connection->end;
}


my %answers = (
    'a late answer'                => {delay => 0.4},
    'an answer in pieces'          => {delay => 0.4, pieces => 50, gap => 0.05},
    'a chunked answer'             => {delay => 0.4, chunked => 1,
        pieces => 50, gap => 0.05},
    'a large answer, slowly'       => {delay => 0.4, size => 300_000,
        pieces => 20_000, gap => 0.03},
    'a large answer, its id last'  => {delay => 0.4, size => 300_000,
        padding => 'first', pieces => 20_000, gap => 0.03},
);

for my $name (sort keys %answers) {
    for my $reset (0, 1) {
        subtest $name . ($reset ? ', reset' : '') => sub {
            my ($agent, $run) = (agent(), uuid());

            abandon($nginx->client, $agent, $reset, %{$answers{$name}},
                run => $run);
            becomes { is_known($run) } 'the run is bound';
            ok !is_free($agent), 'and holds the slot';
        };
    }
}


for my $name ('a late answer', 'a large answer, its id last') {
    subtest "HTTP/2: $name" => sub {
        my ($agent, $run) = (agent(), uuid());
        my $seen = $up->state->{requests};

        eval { h2(POST => path($agent), key => $policy->key('alice'),
            json => {}, timeout => '300ms',
            stand_in => {%{$answers{$name}}, delay => 1, run => $run}) };
        like $@, qr/no HTTP\/2 answer/, 'the client has gone';
        ok $up->state->{requests} > $seen, 'its request has not';
        becomes { is_known($run) } 'the run is bound';
        ok !is_free($agent), 'and holds the slot';
    };
}


subtest 'proxy_ignore_client_abort off' => sub {
    my ($agent, $run) = (agent(), uuid());
    my $started = time;

    abandon(client($ports->{p_off}), $agent, 0, run => $run, delay => 0.4);
    ok !is_free($agent), 'the slot is kept';
    becomes { is_free($agent) } 'until its time has run out';
    cmp_ok time - $started, '>=', 1.9, 'and not before';
    ok !is_known($run), 'the run is not known';
};


subtest 'a refusal that nobody hears' => sub {
    my $agent = agent();

    abandon($nginx->client, $agent, 0, delay => 0.3, status => 400);
    ok !is_free($agent), 'the slot is taken until the answer';
    becomes { is_free($agent) } 'and free after it';
};


done_testing();
