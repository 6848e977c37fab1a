#!/usr/bin/perl

# Slots belong to runs: taken by a start, bound by its answer, given back at once
# if no run was started, and in time if nobody knows.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;
use Phrony::Slots;

use Time::HiRes qw(time);

my $up = stand_in();

my $policy = policy(
    agents => {
        (map { ("one$_" => {maxConcurrentRuns => 1}) } 1 .. 60),
        two    => {maxConcurrentRuns => 2},
        three  => {maxConcurrentRuns => 3},
        five   => {maxConcurrentRuns => 5},
        other  => {},
    },
    keys => {alice => {}, bob => {agents => ['other']}},
);

my $ports = {map { ("p_$_" => free_port()) } qw(dead brief slow)};

my $nginx = nginx(%$ports, closed => free_port(),
    http => <<'END', location => 'location = /status { phrony_status; }',
    phrony_reservation_ttl 2s;
    phrony_run_ttl 60s;

    server {
        listen 127.0.0.1:{{p_dead}};
        location / { phrony on; proxy_pass http://127.0.0.1:{{closed}}; }
    }

    server {
        listen 127.0.0.1:{{p_brief}};
        proxy_read_timeout 300ms;
        location / { phrony on; proxy_pass http://{{upstream_name}}; }
    }

    server {
        listen 127.0.0.1:{{p_slow}};
        proxy_buffering off;
        location / { phrony on; proxy_pass http://{{upstream_name}}; }
    }
END
);

my $count = 0;
my $uuid = 0;

sub agent { 'one' . ++$count }
sub uuid { sprintf '0b1c2d3e-0000-4000-8000-%012x', ++$uuid }
sub path { '/v1/agents/' . $policy->agent($_[0]) . '/runs' }
sub status { req(GET => '/status')->json }


# A start through another port than the first server's.

sub start_at {
    my ($port, $agent, %asked) = @_;

    return client($ports->{"p_$port"})->req(POST => path($agent), json => {},
        key => $policy->key('alice'), stand_in => \%asked);
}


subtest 'as many as the limit' => sub {
    my @r = map { start_run('three', key => 'alice') } 1 .. 4;

    is_deeply [map { $_->status } @r], [202, 202, 202, 429], 'three';
    problem_is($r[3], 429, 'concurrency_limited', 'the fourth is refused');
    poll($r[1]->json->{runId}, key => 'alice',
        stand_in => {set => {status => 'Completed'}});
    is_deeply [map { start_run('three', key => 'alice')->status } 1 .. 2],
        [202, 429], 'an end makes room for one';

    my %status;
    $status{$_->status}++ for parallel(map { [POST => path('five'),
        key => $policy->key('alice'), json => {}] } 1 .. 60);
    is_deeply \%status, {202 => 5, 429 => 55}, 'sixty at the same time';
};


subtest 'an upstream that starts nothing' => sub {
    for my $status (301, 400, 401, 404, 409, 429, 499, 500, 501, 503) {
        my $agent = agent();
        is start_run($agent, key => 'alice', stand_in => {status => $status})
            ->status, $status, "status $status";
        ok is_free($agent), 'gives the slot back';
    }

    my $agent = agent();
    is start_at('dead', $agent)->status, 502, 'no upstream';
    ok is_free($agent), 'gives the slot back';
};


subtest 'an outcome that is not known' => sub {
    my $before = status()->{outcomes};
    my $mark = $nginx->log_size;
    my (%started, %agent);

    # name, port, what the upstream does, the client's status, whether unbound

    for (['breaks when the head is there', 'slow', {break => 'request'}, 502],
         ['breaks before the answer', 'slow', {break => 'before'}, 502],
         ['with a reset', 'slow', {break => 'before', reset => 1}, 502],
         ['breaks in the header', 'slow', {break => 'in-header'}, 502],
         ['breaks in the body', 'slow', {break => 'in-body'}, 202],
         ['does not answer in time', 'brief', {hang => 1}, 504],
         ['stops in the body', 'brief', {'body-delay' => 5}, 202],
         ['says 502', 'slow', {status => 502}, 502],
         ['says 504', 'slow', {status => 504}, 504],
         ['names no run', 'slow', {omit => 'runId'}, 202, 1],
         ['names a bad run', 'slow', {set => {runId => 'x'}}, 202, 1],
         ['compresses', 'slow', {gzip => 1}, 202, 1],
         ['says nothing', 'slow', {status => 204}, 204, 1],
         ['is no JSON', 'slow', {body => '{"runId":"' . uuid() . '"'}, 202, 1])
    {
        my ($name, $port, $asked, $status, $unbound) = @$_;
        my $agent = $agent{$name} = agent();

        $started{$name} = time;
        my $connection = client($ports->{"p_$port"})->open_connection;
        $connection->send(client($ports->{"p_$port"})->request_bytes(
            POST => path($agent), json => {}, stand_in => $asked,
            key => $policy->key('alice')));

        is $connection->response(partial => 1)->status, $status, $name;
        $connection->end;
        ok !is_free($agent), 'keeps the slot' if time < $started{$name} + 1.5;
        $before->{unknown}++;
        $before->{unbound}++ if $unbound;
    }

    is_deeply status()->{outcomes}, $before, 'they are counted';
    is scalar(() = $nginx->log_since($mark) =~ /\[warn\].*without a usable "runId"/g),
        5, 'and logged';

    for my $name (sort keys %agent) {
        becomes { is_free($agent{$name}) } "$name: the slot comes back";
        cmp_ok time - $started{$name}, '>=', 1.9, "$name: free after its time";
    }
};


subtest 'other answers to a start' => sub {
    my ($agent, $run) = (agent(), uuid());

    is start_run($agent, key => 'alice', stand_in => {finish => 'now',
        run => $run})->json->{status}, 'Completed', 'terminal itself';
    ok is_free($agent), 'holds no slot';
    ok is_known($run), 'is known';

    is start_run('two', key => 'alice', stand_in => {run => uuid()})->status,
        202, 'one';
    my $twice = uuid();
    is_deeply [map { start_run('two', key => 'alice', stand_in => {
        run => $twice})->status } 1 .. 2], [202, 429], 'two';

    $agent = 'three';
    poll($_, key => 'alice', stand_in => {set => {status => 'Failed'}})
        for keys %{$up->runs};
    is_deeply [map { start_run($agent, key => 'alice', stand_in => {
        run => $twice})->status } 1 .. 5], [(202) x 5],
        'a run that has ended holds none';

    my $again = uuid();
    is_deeply [map { start_run($agent, key => 'alice', stand_in => {
        run => $again})->status } 1 .. 5], [(202) x 5], 'named five times';
    is_deeply [map { start_run($agent, key => 'alice')->status } 1 .. 3],
        [202, 202, 429], 'it holds one';

    $agent = agent();
    $run = start_run($agent, key => 'alice')->json->{runId};
    poll($run, key => 'alice', stand_in => {set => {status => 'Completed'}});
    my $next = start_run($agent, key => 'alice')->json->{runId};
    is poll($run, key => 'alice')->json->{status}, 'Running', 'resumed';
    poll($next, key => 'alice', stand_in => {set => {status => 'Completed'}});
    ok is_free($agent), 'takes no slot';

    $agent = agent();
    is start_at('slow', $agent, pieces => 5, gap => 0.005)->status, 202,
        'in small pieces, unbuffered';
    ok !is_free($agent), 'takes a slot';
};


done_testing();
