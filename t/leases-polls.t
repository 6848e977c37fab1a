#!/usr/bin/perl

# Leases of runs: what a poll's answer frees, and what time does.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;
use Phrony::Slots;

use Time::HiRes qw(sleep time);

my $up = stand_in();

my $policy = policy(
    agents => {
        (map { ("one$_" => {maxConcurrentRuns => 1}) } 1 .. 80),
        other => {},
    },
    keys => {alice => {}, bob => {agents => ['other']}},
);

my $ports = {map { ("p_$_" => free_port()) } qw(custom short)};

my $nginx = nginx(%$ports, closed => free_port(),
    http => <<'END', location => 'location = /status { phrony_status; }',
    phrony_reservation_ttl 2s;
    phrony_run_ttl 60s;

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
END
);

my $count = 0;
my $uuid = 0;

sub agent { 'one' . ++$count }
sub uuid { sprintf '0b1c2d3e-0000-4000-8000-%012x', ++$uuid }
sub path { '/v1/agents/' . $policy->agent($_[0]) . '/runs' }


# A start through another port than the first server's.

sub start_at {
    my ($port, $agent, %asked) = @_;

    return client($ports->{"p_$port"})->req(POST => path($agent), json => {},
        key => $policy->key('alice'), stand_in => \%asked);
}


# Awaits it: the end of a long answer passes the gateway when the client may
# have read all of it.

sub frees {
    my ($agent) = @_;

    return eval { wait_for { is_free($agent) } 10, 'the slot' };
}


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
        ok $end ? frees($agent) : !is_free($agent),
            "'$name' " . ($end ? 'frees' : 'keeps');
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


subtest 'phrony_terminal_status' => sub {
    for (['Done', 1], ['gave up', 1], ['Completed', 0], ['Failed', 0]) {
        my ($status, $end) = @$_;
        my $agent = agent();
        my $run = start_at('custom', $agent)->json->{runId};

        client($ports->{p_custom})->req(GET => "/v1/runs/$run",
            key => $policy->key('alice'),
            stand_in => {set => {status => $status}});
        ok $end ? frees($agent) : !is_free($agent), $status;
    }
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
