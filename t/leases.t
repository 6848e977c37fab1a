#!/usr/bin/perl

# Slots belong to runs: taken by a start, bound by its answer, freed by the
# run's end, by a refusal, or by time.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;

use Mojo::Util qw(gzip);
use Time::HiRes qw(sleep time);

my $up = stand_in();

my $policy = policy(
    agents => {
        (map { ("one$_" => {maxConcurrentRuns => 1}) } 1 .. 120),
        two    => {maxConcurrentRuns => 2},
        three  => {maxConcurrentRuns => 3},
        five   => {maxConcurrentRuns => 5},
        other  => {},
    },
    keys => {alice => {}, bob => {agents => ['other']}},
);

my $ports = {map { ("p_$_" => free_port()) }
    qw(dead brief off custom short slow)};

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
        listen 127.0.0.1:{{p_off}};
        proxy_ignore_client_abort off;
        location / { phrony on; proxy_pass http://{{upstream_name}}; }
    }

    server {
        listen 127.0.0.1:{{p_custom}};
        phrony_terminal_status Done "Gave Up";
        location / { phrony on; proxy_pass http://{{upstream_name}}; }
    }

    server {
        listen 127.0.0.1:{{p_short}};
        phrony_run_ttl 2s;
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


# Whether a slot is free: a start that the upstream refuses gives it back.

sub is_free {
    my ($agent) = @_;

    my $r = start_run($agent, key => 'alice', stand_in => {status => 400});

    die "neither free nor taken: " . $r->raw if $r->status !~ /^(?:400|429)$/;

    return $r->status == 400;
}


# A known run is not for bob; the upstream does not mind.

sub is_known { poll($_[0], key => 'bob')->status == 403 }


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


subtest 'what a poll says' => sub {
    my $padded = sub { '{"output":{"status":"Running","x":"' . 'y' x 5_000
        . "\"}," . $_[0] . '}' };

    # what the upstream answers, %s is the run's id; whether it is the end

    my @answers = (
        (map { [$_, {set => {status => $_}}, 1] } qw(Completed Failed
            Cancelled Terminated TimedOut completed CANCELLED)),
        (map { [$_, {set => {status => $_}}, 0] } qw(Running WaitingForHITL
            WaitingForAITL WaitingForResponse WaitingForTimer Completed2
            Complete), '', ' Completed'),
        ['first', {body => '{"status":"Failed","runId":"%s","output":{}}'}, 1],
        ['last', {body => '{"runId":"%s","output":[{}],"status":"Failed"}'}, 1],
        ['after an object', {body => $padded->('"status":"Failed"')}, 1],
        ['after 5 MB', {size => 5_000_000, padding => 'first',
            set => {status => 'Failed'}}, 1],
        ['before 5 MB, byte by byte', {size => 20_000, pieces => 7,
            chunked => 1, set => {status => 'Failed'}}, 1],
        ['without a length', {'until-close' => 1,
            set => {status => 'Failed'}}, 1],
        ['escaped', {body => '{"\u0073tat\u0075s" : "\u0046ailed"}'}, 1],
        ['repeated, the last is it',
            {body => '{"status":"Running","status":"Failed"}'}, 1],
        ['repeated, the last is not',
            {body => '{"status":"Failed","status":"Running"}'}, 0],
        ['repeated, the last is no string',
            {body => '{"status":"Failed","status":null}'}, 0],
        ['runId in capitals', {body => '{"status":"Failed","runId":"%S"}'}, 1],
        ["another's runId", {body => '{"status":"Failed","runId":"'
            . $policy->agent('x') . '"}'}, 0],
        ['a runId that is none',
            {body => '{"status":"Failed","runId":17}'}, 0],
        ['nested', {body => '{"run":{"status":"Failed"}}'}, 0],
        ['nested in an array', {body => '[{"status":"Failed"}]'}, 0],
        ['in a string', {body => '{"a":"\",\"status\":\"Failed\""}'}, 0],
        ['cut', {body => '{"status":"Failed"'}, 0],
        ['two objects', {body => '{"status":"Failed"}{}'}, 0],
        ['a broken end', {break => 'in-body', set => {status => 'Failed'}}, 0],
        ['not 200', {status => 404, body => '{"status":"Failed"}'}, 0],
        ['201', {status => 201, set => {status => 'Failed'}}, 0],
        ['gzip', {gzip => 1, set => {status => 'Failed'}}, 0],
        ['another encoding', {header => 'Content-Encoding: x',
            set => {status => 'Failed'}}, 0],
    );

    for (@answers) {
        my ($name, $asked, $end) = @$_;
        my $agent = agent();
        my $run = start_run($agent, key => 'alice')->json->{runId};

        $asked->{body} =~ s/%s/$run/, $asked->{body} =~ s/%S/uc $run/e
            if $asked->{body};

        eval { poll($run, key => 'alice', stand_in => $asked) };
        is !!is_free($agent), !!$end, "'$name' " . ($end ? 'frees' : 'keeps');
        ok is_known($run), 'it stays known' if $end;
    }

    for ([HEAD => ''], [POST => ''], [GET => '/conversation'], [GET => '/x']) {
        my ($method, $below) = @$_;
        my $agent = agent();
        my $run = start_run($agent, key => 'alice')->json->{runId};

        req($method => "/v1/runs/$run$below", key => $policy->key('alice'),
            stand_in => {status => 200, body => '{"status":"Failed"}'});
        ok !is_free($agent), "$method $below keeps";
    }
};


subtest 'an upstream that starts nothing' => sub {
    for my $status (301, 400, 401, 404, 409, 429, 499, 500, 501, 503) {
        my $agent = agent();
        is start_run($agent, key => 'alice', stand_in => {status => $status})
            ->status, $status, $status;
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
         ['breaks in the body', 'slow', {break => 'in-body'}, 202, 1],
         ['does not answer in time', 'brief', {hang => 1}, 504],
         ['stops in the body', 'brief', {'body-delay' => 5}, 202, 1],
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
        7, 'and logged';

    for my $name (sort keys %agent) {
        wait_for { is_free($agent{$name}) } 15, "the slot of '$name'";
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


# Sends a start and goes away; the upstream answers all the same.

sub abandon {
    my ($port, $agent, %asked) = @_;

    my $client = $port ? client($ports->{"p_$port"}) : $nginx->client;
    my $connection = $client->open_connection;
    my $seen = $up->state->{requests};

    $connection->send($client->request_bytes(POST => path($agent), json => {},
        key => $policy->key('alice'), stand_in => \%asked));
    wait_for { $up->state->{requests} > $seen } 10, 'the request';
    $connection->end;
}


subtest 'a client that goes away' => sub {
    my ($agent, $other, $run, $lost) = (agent(), agent(), uuid(), uuid());

    abandon('', $agent, run => $run, delay => 0.4);
    wait_for { is_known($run) } 10, 'the run to be bound';
    pass 'proxy_ignore_client_abort on: bound';

    my $started = time;
    abandon('off', $other, run => $lost, delay => 0.4);
    ok !is_free($other), 'off: the slot is kept';
    wait_for { is_free($other) } 15, 'the slot';
    cmp_ok time - $started, '>=', 1.9, 'for its time';
    ok !is_known($lost), 'and the run is not known';
    ok !is_free($agent), 'while a bound one lasts';

    ($agent, $run) = (agent(), uuid());
    eval { h2(POST => path($agent), key => $policy->key('alice'), json => {},
        timeout => 0.3, stand_in => {delay => 1, run => $run}) };
    like $@, qr/no HTTP\/2 answer/, 'HTTP/2: reset';
    wait_for { is_known($run) } 10, 'the run to be bound';
};


subtest 'a run that nobody asks for' => sub {
    my ($agent, $polled, $idle) = (agent(), agent(), agent());
    my $run = start_at('short', $agent)->json->{runId};
    my $kept = start_at('short', $polled)->json->{runId};
    my $began = time;

    ok is_known($run), 'is known';

    while (time < $began + 5) {
        client($ports->{p_short})->req(GET => "/v1/runs/$kept",
            key => $policy->key('alice'));
        sleep 0.1;
    }

    ok is_free($agent), 'loses its slot after phrony_run_ttl';
    ok !is_known($run), 'and is forgotten';
    ok !is_free($polled), 'one that is polled does not';
    ok is_known($kept), 'nor is it forgotten';
};


subtest 'phrony_terminal_status' => sub {
    for (['Done', 1], ['gave up', 1], ['Completed', 0], ['Failed', 0]) {
        my ($status, $end) = @$_;
        my $agent = agent();
        my $run = start_at('custom', $agent)->json->{runId};

        client($ports->{p_custom})->req(GET => "/v1/runs/$run",
            key => $policy->key('alice'),
            stand_in => {set => {status => $status}});
        is !!is_free($agent), !!$end, $status;
    }
};


subtest 'who may see a run' => sub {
    my $run = start_run('other', key => 'bob')->json->{runId};
    my $own = start_run(agent(), key => 'alice')->json->{runId};

    is poll($run, key => 'bob')->status, 200, "one's own";
    problem_is(poll($own, key => 'bob'), 403, 'run_out_of_scope', 'another');
    is $up->requests(qr/$own/), 0, 'the upstream is not asked';
    is poll(uuid(), key => 'bob')->status, 404, 'one that nobody knows';
    is $up->last_request->{status}, 404, 'is for the upstream to say';
};


done_testing();
