#!/usr/bin/perl

# The end of a run is seen in its stream of events, which passes as it is.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;
use Phrony::Runs;
use Phrony::Slots;

use Mojo::Util qw(gunzip);
use POSIX ();

my $up = stand_in();

my $policy = policy(
    agents => {
        (map { ("one$_" => {maxConcurrentRuns => 1}) } 1 .. 150),
        other => {},
    },
    keys => {alice => {}, bob => {agents => ['other']}},
);

my $ports = {map { $_ => free_port() } qw(unbuffered gzipped)};

my $nginx = nginx(%$ports, http => <<'END');
    phrony_run_ttl 60s;

    server {
        listen 127.0.0.1:{{unbuffered}};
        proxy_buffering off;
        location / { phrony on; proxy_pass http://{{upstream_name}}; }
    }

    server {
        listen 127.0.0.1:{{gzipped}};
        gzip on;
        gzip_types *;
        gzip_min_length 1;
        location / { phrony on; proxy_pass http://{{upstream_name}}; }
    }
END

my %at = (
    buffered   => $nginx->client,
    unbuffered => client($ports->{unbuffered}),
    gzipped    => client($ports->{gzipped}),
);

my $another = '0b1c2d3e-0000-4000-8000-0000000000aa';
my $count = 0;
my @runs;

sub agent { 'one' . ++$count }


# A run of an agent that can have one: the agent, and the run's id.

sub run_of_one {
    my $agent = agent();
    my $run = start_run($agent, key => 'alice')->json->{runId};

    push @runs, $run;

    return ($agent, $run);
}


sub stream {
    my ($run, $at, %opt) = @_;

    return open_stream($run, at => $at{$at // 'unbuffered'}, %opt);
}


# An event passes the gateway before the client has it, so what it says of the
# run is known then.

sub event_is {
    my ($text, $end, $name, @pieces) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my ($agent, $run) = run_of_one();
    my $connection = stream($run);
    my $pass = sub { events_pass($up, $run, $connection, $_[0]) };

    $text =~ s/%s/$run/g;
    $text =~ s/%S/uc $run/ge;

    my @whole = @pieces ? unpack join(' ', map { "a$_" } @pieces, '*'), $text
                        : $text;
    my $same = !grep { !$pass->($_) } @whole;

    ok $same && !is_free($agent) == !$end,
        "$name: " . ($end ? 'frees' : 'keeps');
    ok $pass->(": it goes on\n\n"), "$name: the stream goes on";

    $connection->end;
}


subtest 'what ends a run' => sub {
    for my $kind (qw(run session)) {
        for my $end (qw(completed failed cancelled terminated)) {
            event_is(event($kind => "engine.$kind.$end", {runId => '%s'}), 1,
                "$kind, $end");
        }
    }

    my @ends = (
        ['run_id', event(run => 'a.failed', {run_id => '%s', x => [{}]})],
        ['id', event(session => 'a.failed', {id => '%s'})],
        ['runId before id', event(run => 'a.failed',
            {runId => '%s', id => $another})],
        ['run_id before id', event(run => 'a.failed',
            {run_id => '%s', id => $another})],
        ['an id in capitals', event(run => 'a.failed', {runId => '%S'})],
        ['a subject that is an ending alone', event(run => '.completed',
            {runId => '%s'})],
        ['other fields', "id: 7\nevent: x\nretry: 9\n: c\n"
            . ends('%s')],
        ['CRLF', ends('%s') =~ s/\n/\r\n/gr],
        ['CR', ends('%s') =~ s/\n/\r/gr . ':'],
        ['no space after the colon', ends('%s') =~ s/: /:/r],
        ['several lines', "data: {\"kind\":\"run\",\n"
            . "data: \"subject\":\"a.failed\",\ndata:\"data\":\n"
            . "id: 1\ndata: {\"runId\":\"%s\"}}\n\n"],
        ['any order', 'data: {"data":{"runId":"%s"},"subject":"a.failed",'
            . "\"kind\":\"run\"}\n\n"],
        ['escapes', 'data: {"k\u0069nd":"r\u0075n","subject":"a.faile\u0064",'
            . "\"data\":{\"run\\u0049d\":\"%s\"}}\n\n"],
        ['members that nobody knows', 'data: {"a":[1,{"kind":"x"}],"kind":'
            . '"run","subject":"a.failed","data":{"a":{"runId":"x"},"runId":'
            . "\"%s\"},\"z\":null}\n\n"],
        ['repeated members', 'data: {"kind":"step","kind":"run","subject":"a",'
            . "\"subject\":\"a.failed\",\"data\":{\"runId\":\"%s\"}}\n\n"],
        ['after a broken one', "data: {]\n\ndata\n\nx\n\n" . ends('%s')],
        ["after another run's", ends($another) . ends('%s')],
        ['a long one', event(run => 'a.failed', {a => 'x' x 70_000,
            runId => '%s', z => 'y' x 70_000})],
    );

    event_is($_->[1], 1, $_->[0]) for @ends;
};


subtest 'what does not' => sub {
    my @goes_on = (
        ["another run's", ends($another)],
        ["another run's, this one's id beside it", event(run => 'a.failed',
            {runId => $another, run_id => '%s', id => '%s'})],
        ['a session that names no run', event(session => 'a.failed',
            {sessionId => '%s'})],
        ['no data', event(run => 'a.failed', undef)],
        ['an id that is no string', event(run => 'a.failed',
            {runId => [ '%s' ]})],
        ['an id that is none', event(run => 'a.failed', {runId => '%s0'})],
        ['an id of the event', 'data: {"kind":"run","subject":"a.failed",'
            . "\"runId\":\"%s\",\"data\":{}}\n\n"],
        ['an id deeper inside', event(run => 'a.failed',
            {run => {runId => '%s'}})],
        (map { ["kind $_", event($_ => 'a.completed', {runId => '%s'})] }
            qw(step user_task aitl Run runs), ''),
        (map { ["subject $_", event(run => $_, {runId => '%s'})] }
            qw(engine.run.started engine.run.waiting engine.run.completed.x
            completed engine.run.Completed engine.run.uncompleted), ''),
        ['no kind', 'data: {"subject":"a.failed","data":{"runId":"%s"}}'
            . "\n\n"],
        ['a comment', ':' . ends('%s')],
        ['another field', 'x' . ends('%s')],
        ['a field in capitals', ends('%s') =~ s/data/DATA/r],
        ['broken JSON', ends('%s') =~ s/\}$/]/mr],
        ['an array', ends('%s') =~ s/(\{.*\})/[$1]/r],
        ['half of it', ends('%s') =~ s/.{9}\n\n$/\n\n/r],
    );

    event_is($_->[1], 0, $_->[0]) for @goes_on;
};


subtest 'in pieces' => sub {
    my $bytes = ends('%s');

    event_is($bytes, 1, 'of one byte', (1) x 150);
    event_is($bytes =~ s/\n/\r\n/gr, 1, 'of seven, CRLF', (7) x 25);

    # an event is whole when its empty line is there

    my ($agent, $run) = run_of_one();
    my $connection = stream($run);
    my $end = ends($run) =~ s/\n\z//r;

    ok events_pass($up, $run, $connection, $end) && !is_free($agent),
        'the line alone keeps';
    ok events_pass($up, $run, $connection, "\n") && is_free($agent),
        'the empty line frees';
};


subtest 'as the upstream tells it' => sub {
    for my $at (qw(buffered unbuffered)) {
        my ($agent, $run) = run_of_one();
        my $connection = stream($run, $at);

        $up->set_run($run, status => 'WaitingForHITL');
        $connection->read_until(qr/run\.waiting[^\n]*\n\n/);
        ok !is_free($agent), "$at: it waits";

        $up->set_run($run, status => 'Terminated');
        $connection->read_until(qr/run\.terminated[^\n]*\n\n/);
        ok is_free($agent), "$at: it ends";
        ok is_known($run), "$at: and stays known";

        $connection->read_until(qr/session\.terminated[^\n]*\n\n/);
        ok $connection->ended, "$at: and so does the stream";

        ($agent, $run) = run_of_one();
        $up->set_run($run, status => 'Failed');
        stream($run, $at)->read_until(qr/session\.failed[^\n]*\n\n/);
        ok is_free($agent), "$at: one that had ended before";
    }
};


subtest 'any length, byte for byte' => sub {
    my $step = event(step => 'engine.step.completed', {x => 'y' x 1_000_000});

    # nginx, when it buffers, may keep the last bytes of a chunk that fills
    # several of its buffers until the next comes

    my @step = ($step, ":\n\n");

    for my $at (qw(buffered unbuffered)) {
        my ($agent, $run) = run_of_one();
        my $connection = stream($run, $at);
        my $odd = join '', map { chr } 0 .. 255;

        is scalar(grep { events_pass($up, $run, $connection, @step) } 1 .. 20),
            20, "$at: 20 MB pass";
        ok events_pass($up, $run, $connection, "\n\n$odd\n\n"),
            "$at: and bytes of all kinds";
        ok !is_free($agent), "$at: it goes on";
        ok events_pass($up, $run, $connection, ends($run)), "$at: its end";
        ok is_free($agent), "$at: frees";
        ok events_pass($up, $run, $connection, @step),
            "$at: the stream goes on";
        is $up->close_streams($run), 1, "$at: until the upstream";
        ok $connection->ended, "$at: ends it";
    }

    # no event waits for another; events_pass() sends none before it was read

    for my $at (qw(buffered unbuffered)) {
        my ($agent, $run) = run_of_one();
        my $connection = stream($run, $at);
        my @events = map { event(step => "a.$_", {runId => $run}) } 1 .. 300;

        is scalar(grep { events_pass($up, $run, $connection, $_) } @events),
            300, "$at: each event arrives by itself";
    }
};


subtest 'a client that leaves' => sub {
    for my $at (qw(buffered unbuffered)) {
        my ($agent, $run) = run_of_one();
        my $connection = stream($run, $at);

        events_pass($up, $run, $connection, substr ends($run), 0, 30);
        $connection->end;

        becomes { $up->send_bytes($run, ": anybody?\n\n") == 0 }
            "$at: the upstream's connection ends";
        ok !is_free($agent), "$at: the slot stays";

        $connection = stream($run, $at);
        ok events_pass($up, $run, $connection, ends($run)), "$at: again";
        ok is_free($agent), "$at: its end frees";
    }
};


subtest 'answers that are no stream of this run' => sub {
    my $ask = sub {
        my ($name, $end, $request, %asked) = @_;
        my ($agent, $run) = run_of_one();
        my ($method, $below, $at) = @$request;
        my $body = ends($run);

        my $r = $at{$at // 'buffered'}->req($method => "/v1/runs/$run$below",
            key => $policy->key('alice'), headers => ['Accept-Encoding' =>
            'gzip'], stand_in => {type => 'text/event-stream', body => $body,
            %asked});
        my $encoded = ($r->header('Content-Encoding') // '') eq 'gzip';

        is $encoded ? gunzip($r->body) : $r->body,
            $method eq 'HEAD' ? '' : $body, "$name: passes";
        ok !is_free($agent) == !$end, "$name: " . ($end ? 'frees' : 'keeps');
    };

    my $stream = [GET => '/stream'];

    $ask->('as such', 1, $stream);
    $ask->("with the client's gzip", 1, [GET => '/stream', 'gzipped']);
    $ask->("type $_", 1, $stream, type => $_) for 'text/event-stream ;a=b',
        'text/event-stream;charset=utf-8', 'Text/Event-STREAM';
    $ask->("type $_", 0, $stream, type => $_) for 'text/event-streams',
        'text/plain', 'application/json', 'x-text/event-stream';
    $ask->('gzip', 0, $stream, gzip => 1);
    $ask->('another encoding', 0, $stream, header => 'Content-Encoding: x');
    $ask->("status $_", 0, $stream, status => $_) for 201, 404, 500;
    $ask->("$_->[0] $_->[1]", 0, $_, status => 200) for [HEAD => '/stream'],
        [POST => '/stream'], [GET => '/streams'], [GET => '/Stream'],
        [GET => '/stream/x'], [GET => '/conversation'];

    my ($agent, $run) = run_of_one();

    $at{buffered}->req(GET => stream_path($run), key => $policy->key('alice'),
        headers => ['Accept-Encoding' => 'gzip'], stand_in => {body => 'x'});
    is_deeply [$up->field($up->last_request, 'Accept-Encoding')],
        ['identity'], 'the upstream is asked not to encode it';
};


subtest 'a run that the gateway does not know' => sub {
    my $run = $up->client->req(POST => '/v1/agents/' . $policy->agent('other')
        . '/runs', key => 'phk_any', json => {})->json->{runId};
    my $connection = stream($run);

    push @runs, $run;

    ok events_pass($up, $run, $connection, ends($run)), 'its stream passes';
    ok !is_known($run), 'and it stays unknown';
};


# Its answer is read as a whole by another program; meanwhile we see the slot.

subtest 'HTTP/2' => sub {
    my ($agent, $run) = run_of_one();
    my $pid = fork // die "fork: $!\n";

    if (!$pid) {
        my $body = eval { h2(GET => stream_path($run),
            key => $policy->key('alice'))->body } // '';
        my $events = () = $body =~ /^data: \{/mg;
        POSIX::_exit($events);
    }

    wait_for { $up->send_bytes($run) } 10, 'the stream';
    $up->send_bytes($run, event(step => 'a', {runId => $run}));
    ok !is_free($agent), 'it goes on';
    $up->send_bytes($run, ends($run));
    becomes { is_free($agent) } 'its end frees';
    is $up->send_bytes($run, event(step => 'b', {})), 1,
        'while the stream goes on';
    $up->close_streams($run);

    waitpid $pid, 0;
    is $? >> 8, 5, 'the client has got all events';
};


subtest 'a reload' => sub {
    my @open = map {
        my ($agent, $run) = run_of_one();
        [$agent, $run, stream($run, $_)];
    } (qw(buffered unbuffered)) x 2;

    ok $nginx->reload, 'reloaded';

    for (@open) {
        my ($agent, $run, $connection) = @$_;

        ok events_pass($up, $run, $connection, ends($run)), 'the old worker';
        ok is_free($agent), 'still sees the end';
        ok events_pass($up, $run, $connection, ": more\n\n"), 'and passes on';
        $connection->end;
    }
};


# nginx does not end before the streams do

$up->close_streams($_) for @runs;


done_testing();
