#!/usr/bin/perl

# The stand-in upstream is what the API's description says, and does what
# tests ask of it.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;

use Mojo::Date;
use Mojo::Util qw(gunzip);

my $uuid = qr/\A[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\z/;
my $agent = '0b1c2d3e-0000-4000-8000-00000000000a';
my $other = '0b1c2d3e-0000-4000-8000-00000000000b';
my $key = 'phk_any';

my $up = stand_in(name => 'one');
my $c = $up->client;

sub call { $c->req(@_, key => $key) }
sub start { call(POST => "/v1/agents/$agent/runs", json => {}, @_) }


subtest 'start' => sub {
    my $r = start(json => {input => {a => 1}});

    is $r->status, 202, 'is accepted';
    like $r->header('Content-Type'), qr{\Aapplication/json}, 'JSON';

    my $json = $r->json;

    like $json->{$_}, $uuid, $_ for qw(runId sessionId);
    is $json->{status}, 'Running', 'status';
    is $json->{totalTokensUsed}, 0, 'totalTokensUsed';
    is $json->{agentId}, $agent, 'agentId';
    ok exists $json->{output} && !defined $json->{output}, 'output is null';
    ok exists $json->{triggerId}, 'triggerId is there';
    isnt start()->json->{runId}, $json->{runId}, 'each start is another run';
    is call(POST => "/v1/agents/$agent/runs")->status, 202, 'without a body';
    is call(POST => "/v1/agents/$agent/runs", body => '[')->status, 400,
        'not JSON';
    is start(json => {input => [1]})->status, 400, 'input is no object';
};


subtest 'authentication and unknown things' => sub {
    is $c->req(GET => "/v1/agents/$agent")->status, 401, 'no key';
    is $c->req(GET => "/v1/agents/$agent", key => 'x')->status, 401, 'bad key';
    is call(GET => '/v1/runs/0b1c2d3e-0000-4000-8000-00000000000c')->status,
        404, 'unknown run';
    is call(GET => '/v1/nothing')->status, 404, 'unknown path';
    is call(DELETE => "/v1/agents/$agent")->status, 405, 'unknown method';

    my $strict = stand_in(known => {phk_a => {agents => [$agent]}});
    my $s = $strict->client;

    is $s->req(POST => "/v1/agents/$agent/runs", key => 'phk_a')->status, 202,
        'a known key';
    is $s->req(POST => "/v1/agents/$other/runs", key => 'phk_a')->status, 403,
        'not its agent';
    is $s->req(GET => "/v1/agents/$agent", key => 'phk_b')->status, 401,
        'an unknown key';
    is $s->req(POST => '/v1/file-library/presign', key => 'phk_a')->status, 403,
        'no uploads';

    my $r = $c->req(OPTIONS => "/v1/agents/$agent/runs",
        headers => [Origin => 'https://a.example',
            'Access-Control-Request-Method' => 'POST']);

    is $r->status, 204, 'preflight';
    like $r->header('Access-Control-Allow-Headers'), qr/X-API-Key/,
        'allows X-API-Key';
};


subtest 'a run to its end' => sub {
    my $run = start(stand_in => {finish => 'polls:3'})->json->{runId};
    my @seen = map { call(GET => "/v1/runs/$run")->json->{status} } 1 .. 4;

    is "@seen", 'Running Running Completed Completed', 'by polls';

    $run = start(stand_in => {finish => 'seconds:0.1', terminal => 'Failed'})
        ->json->{runId};
    wait_for { call(GET => "/v1/runs/$run")->json->{status} eq 'Failed' } 5,
        'the run to fail';
    ok call(GET => "/v1/runs/$run")->json->{error}, 'by time, with an error';

    is start(stand_in => {finish => 'now', terminal => 'Cancelled'})
        ->json->{status}, 'Cancelled', 'at once';

    $run = start(stand_in => {state => 'WaitingForTimer'})->json->{runId};
    is call(POST => "/v1/runs/$run/skip-agent-wait")->status, 202, 'skips';
    is call(POST => "/v1/runs/$run/skip-agent-wait")->status, 400, 'once';

    $up->set_run($run, status => 'WaitingForHITL');
    is call(GET => "/v1/runs/$run")->json->{status}, 'WaitingForHITL',
        'set by hand';
    is call(POST => "/v1/runs/$run/messages", json => {runId => $other})
        ->status, 400, "another run's message";

    for my $what (qw(messages input)) {
        $up->set_run($run, status => 'WaitingForHITL');
        is call(POST => "/v1/runs/$run/$what", json => {runId => $run})
            ->status, 202, $what;
        is call(GET => "/v1/runs/$run")->json->{status}, 'Running', 'resumed';
    }

    is call(HEAD => "/v1/runs/$run")->body, '', 'HEAD has no body';
};


subtest 'sessions' => sub {
    $up->reset;
    start() for 1 .. 3;
    start(stand_in => {finish => 'now'});

    my $list = call(GET => "/v1/agents/$agent/sessions")->json;

    is $list->{total}, 4, 'total';
    is_deeply [sort keys %{$list->{items}[0]}], [sort qw(id tenantId agentId
        agentVersionId llmModel triggerType triggeredBy triggerId triggerName
        status totalTokensUsed output error input startContext rootRunId
        startedAt finishedAt runCount entryRunId)], 'members of a row';

    $list = call(GET => "/v1/agents/$agent/sessions?skip=1&take=2")->json;
    is_deeply [$list->{total}, scalar @{$list->{items}}], [4, 2], 'skip, take';
    is call(GET => "/v1/agents/$agent/sessions?status=Completed")
        ->json->{total}, 1, 'status';
    is call(GET => "/v1/agents/$agent/sessions?versionId=$other")
        ->json->{total}, 0, 'versionId';
    is call(GET => "/v1/agents/$agent/sessions?skip=-1")->status, 400,
        'a bad skip';
    is call(GET => "/v1/agents/$other/sessions")->json->{total}, 0,
        'another agent has none';
};


sub rows { @{call(GET => "/v1/agents/$agent/sessions@_")->json->{items}} }

sub epoch { Mojo::Date->new($_[0])->epoch }


subtest 'sessions and their runs' => sub {
    my $trigger = '0b1c2d3e-0000-4000-8000-00000000000d';

    $up->reset;

    my @runs = map {
        start(stand_in => {trigger => $trigger, finish => 'polls:1'})->json
    } 1 .. 3;

    is_deeply [map { @$_{qw(id rootRunId entryRunId triggerId)} } rows()],
        [map { @$_{qw(sessionId runId runId triggerId)} } reverse @runs],
        'the newest first, with the ids that the starts were told';
    is $runs[0]{triggerId}, $trigger, 'and the trigger';

    my @started = map { $_->{startedAt} } rows();

    like $_, qr/\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\z/, 'startedAt'
        for @started;
    is_deeply \@started, [reverse sort @started], 'does not rise';
    is_deeply [map { $_->{finishedAt} } rows()], [undef, undef, undef],
        'none has finished';

    is call(GET => "/v1/runs/$runs[1]{runId}")->json->{status}, 'Completed',
        'a run ends';
    $up->set_run($runs[0]{runId}, status => 'WaitingForHITL');

    is_deeply [map { $_->{status} } rows()],
        [qw(Running Completed WaitingForHITL)], 'status goes with the runs';
    is_deeply [map { defined $_->{finishedAt} ? 1 : 0 } rows()], [0, 1, 0],
        'finishedAt too';
    is_deeply [map { $_->{id} } rows('?status=Completed')],
        [$runs[1]{sessionId}], 'the filter too';
    is_deeply [map { $_->{id} } rows('?skip=1&take=1')],
        [$runs[1]{sessionId}], 'a part of the list';

    $up->set_run($runs[2]{runId}, startedAt => undef, entryRunId => undef,
        rootRunId => $other);
    is_deeply [@{(rows())[0]}{qw(startedAt rootRunId entryRunId)}],
        [undef, $other, undef], 'a row set by hand';
};


subtest 'a start whose answer is lost' => sub {
    my @lost = ([hang => 1], [hold => 1], [break => 'before'],
        [break => 'before', reset => 1], [break => 'in-header'],
        [status => 504], [delay => 60]);

    for my $how (@lost) {
        $up->reset;

        my $connection = $c->open_connection;

        $connection->send($c->request_bytes(POST => "/v1/agents/$agent/runs",
            key => $key, json => {}, stand_in => {accept => 1, @$how}));
        wait_for { rows() } 5, "the session (@$how)";

        my ($run) = map { $_->{entryRunId} } rows();

        is scalar rows(), 1, "@$how: one session";
        is call(GET => "/v1/runs/$run")->json->{status}, 'Running',
            'of a run that goes on';

        if ($how->[0] eq 'hold') {
            $up->release;
            is $connection->response->json->{runId}, $run,
                'which the answer names';
        }

        is $connection->response->status, 504, 'though the answer is 504'
            if $how->[0] eq 'status';
    }

    $up->reset;
    start(stand_in => {status => 504});
    is scalar rows(), 0, 'an error alone starts nothing';

    is start(stand_in => {accept => 1})->status, 202, 'accepted once';
    is start(json => {input => 1}, stand_in => {accept => 1})->status, 400,
        'what is no start is not';
    is scalar rows(), 1, 'so there is one session';
};


subtest 'the date' => sub {
    my $r = start();

    cmp_ok abs(epoch($r->header('Date')) - time), '<', 30, 'of an answer';
    is_deeply [start(stand_in => {header => 'Date: never'})->all('Date')],
        ['never'], 'as asked for';

    my $ahead = stand_in(clock => 3600);
    my @asked = (GET => "/v1/agents/$agent/sessions", key => $key);

    $ahead->client->req(POST => "/v1/agents/$agent/runs", key => $key);
    $r = $ahead->client->req(@asked);

    cmp_ok epoch($r->header('Date')), '>', time + 3000, 'a clock ahead';
    cmp_ok abs(epoch($r->header('Date'))
        - epoch($r->json->{items}[0]{startedAt})), '<', 30,
        'is that of sessions too';
};


subtest 'conversation' => sub {
    my $run = start(json => {input => {a => 1}})->json->{runId};
    my $full = call(GET => "/v1/runs/$run/conversation")->json;
    my $slim = call(GET => "/v1/runs/$run/conversation?stepContent=slim")->json;

    is $full->{session}{status}, 'Running', 'session';
    is $full->{runs}[0]{id}, $run, 'runs';
    is_deeply $full->{items}[0]{content}, {a => 1}, 'full';
    ok !exists $slim->{items}[0]{content}, 'slim';

    $up->set_run($run, status => 'Completed');
    is_deeply [map { $_->{type} }
        @{call(GET => "/v1/runs/$run/conversation")->json->{items}}],
        [qw(Message RunCompleted SessionCompleted)], 'the end';
};


subtest 'stream' => sub {
    my $run = start()->json->{runId};
    my $connection = $c->open_connection;

    $connection->send($c->request_bytes(GET => "/v1/runs/$run/stream",
        key => $key));
    like $connection->read_until(qr/engine\.run\.started.*\n\n/),
        qr{\AHTTP/1\.1 200 .*Content-Type: text/event-stream\r\n}s, 'opens';

    $up->send_event($run, {kind => 'step', subject => 'x', data => {}});
    like $connection->read_until(qr/"subject":"x".*\n\n/), qr/data: \{/,
        'an event';

    $up->set_run($run, status => 'Completed');
    my $end = $connection->read_until(qr/\r\n0\r\n\r\n/);
    like $end, qr/"kind":"run","subject":"engine\.run\.completed"/, 'run';
    like $end, qr/"kind":"session","subject":"engine\.session\.completed"/,
        'session';

    my @events = map { decode_json($_) }
        call(GET => "/v1/runs/$run/stream")->body =~ /^data: (.*)$/mg;
    is scalar @events, 5, 'a late reader gets them all';
    is_deeply [sort keys %{$events[0]}], [qw(data kind subject ts)], 'members';
    is $events[3]{data}{runId}, $run, 'the end names the run';
};


subtest 'streams in other forms' => sub {
    my $run = start()->json->{runId};

    is $up->send_bytes($run), 0, 'nobody listens';

    my @connections = map { $c->open_connection } 1 .. 2;
    my $bytes = join '', map { chr } 0 .. 255;

    $_->send($c->request_bytes(GET => "/v1/runs/$run/stream", key => $key,
        version => '1.0')) for @connections;
    $_->read_until(qr/engine\.run\.started.*\n\n/) for @connections;

    is $up->send_bytes($run, $bytes), 2, 'two listen';
    is $_->read_until(qr/\xff/), $bytes, 'to bytes as they are'
        for @connections;
    is $up->close_streams($run), 2, 'and are closed';
    ok $_->ended, 'with nothing more' for @connections;
    is $up->send_bytes($run), 0, 'nobody listens then';
    is call(GET => "/v1/runs/$run")->json->{status}, 'Running',
        'the run goes on';

    my $r = call(GET => "/v1/runs/$run/stream", stand_in => {body => 'x',
        gzip => 1});
    is_deeply [gunzip($r->body), map { $r->header($_) } qw(Content-Type
        Content-Encoding)], ['x', 'text/event-stream', 'gzip'], 'a body';
};


subtest 'files' => sub {
    my $file = call(POST => '/v1/file-library/presign', json => {});

    is $file->status, 200, 'presign';
    is call(POST => '/v1/file-library/finalize',
        json => {fileId => $file->json->{fileId}})->json->{fileId},
        $file->json->{fileId}, 'finalize';
};


subtest 'what was received, byte for byte' => sub {
    $up->reset;

    my $bytes = join '', map { chr } 0 .. 255;
    my $target = "/v1/a%2fb//../c\\d?x=%zz&\xff;'";

    my $r = $c->raw("PATCH $target HTTP/1.1\r\nhOst: a\r\nX-Two: 1\r\n"
        . "X-Two:   2 \r\nContent-Length: 256\r\n\r\n$bytes");
    is $r->status, 404, 'answered';

    my $seen = $up->last_request;
    is $seen->{method}, 'PATCH', 'method';
    is $seen->{target}, $target, 'target';
    is $seen->{headers}[0][0], 'hOst', "a field's name";
    is_deeply [$up->field($seen, 'x-two')], [1, 2], 'a repeated field';
    is $seen->{body}, $bytes, 'body';
    ok $seen->{complete}, 'complete';

    $c->req(POST => '/x', chunked => ['one', 'two']);
    is $up->last_request->{body}, 'onetwo', 'a chunked body';

    my @responses = $c->raw(join('', map { "GET /$_ HTTP/1.1\r\nHost: a\r\n\r\n" }
        1 .. 3), responses => 3);
    is scalar @responses, 3, 'pipelined requests';
    is_deeply [map { $_->{target} } $up->requests(qr{^GET /\d})],
        [qw(/1 /2 /3)], 'in order, on one connection';

    $c->raw(["POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab",
        \0.1, 'cd']);
    is $up->last_request->{body}, 'abcd', 'a body in pieces';

    my $continue = $c->raw("POST /e HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n"
        . "Expect: 100-continue\r\n\r\nx");
    is $continue->interim->[0]->status, 100, 'Expect: 100-continue';
};


subtest 'answers on demand' => sub {
    my $ask = sub { start(stand_in => {@_}) };

    is $ask->(status => 503)->status, 503, 'status';
    is $ask->(at => 'two', status => 503)->status, 202, 'not its name';
    is $ask->(body => "\x00\xffx", type => 'a/b')->body, "\x00\xffx", 'body';
    is $ask->(type => 'a/b; c=d')->header('Content-Type'), 'a/b; c=d', 'type';
    is_deeply [$ask->(header => ['X-A: 1; 2', 'X-A: 3'])->all('X-A')],
        ['1; 2', 3], 'header';
    is $ask->(set => {extra => [1]})->json->{extra}[0], 1, 'set';
    ok !exists $ask->(omit => 'runId')->json->{runId}, 'omit';
    is $ask->(run => $other)->json->{runId}, $other, 'run';
    is $ask->(trigger => $other)->json->{triggerId}, $other, 'trigger';

    for my $where (qw(first last)) {
        my $r = $ask->(size => 50000, padding => $where);
        is length $r->body, 50000, "size, padding $where";
        is $r->json->{status}, 'Running', 'and JSON';
    }

    like gunzip($ask->(gzip => 1)->body), qr/runId/, 'gzip';
    is $ask->(chunked => 1, pieces => 10)->header('Content-Length'), undef,
        'chunked';
    like $ask->(chunked => 1, pieces => 10)->json->{runId}, $uuid, 'in pieces';
    like $ask->('until-close' => 1)->json->{runId}, $uuid, 'until-close';

    my $began = time;
    $ask->(delay => 1.1);
    cmp_ok time - $began, '>=', 1, 'delay';

    my $partial = sub {
        my $connection = $c->open_connection;
        $connection->send($c->request_bytes(POST => "/v1/agents/$agent/runs",
            key => $key, json => {}, stand_in => {@_}));
        return $connection->response(partial => 1);
    };

    for my $where (qw(request before in-header)) {
        is $partial->(break => $where), undef, "break=$where";
    }

    my $half = $partial->(break => 'in-body');
    is $half->status, 202, 'break=in-body: a head';
    ok !$half->whole && length $half->body, 'and half a body';
    is $partial->(break => 'before', reset => 1), undef, 'reset';

    my $early = $c->open_connection;
    $early->send("POST /v1/agents/$agent/runs HTTP/1.1\r\nHost: a\r\n"
        . "X-API-Key: $key\r\nX-Stand-In: early;status=413\r\n"
        . "Content-Length: 1000\r\n\r\nx");
    is $early->response->status, 413, 'early';

    my $held = $c->open_connection;
    my $before = $up->count;
    $held->send($c->request_bytes(POST => "/v1/agents/$agent/runs",
        key => $key, json => {}, stand_in => {hold => 1, status => 409}));
    wait_for { $up->requests_after($before) } 5, 'the request';
    start(headers => ['X-Number' => 2]);
    is_deeply [map { $up->field($_, 'X-Number') // 'none' }
        $up->requests_after($before)], ['none', 2], 'those after others';
    is $up->release('0b1c2d3e-0000-4000-8000-000000000001')->{released}, 0,
        'the answer about another run';
    is $up->release->{released}, 1, 'hold';
    is $held->response->status, 409, 'until it is released';

    $up->plan({status => 500}, '', {status => 502});
    is_deeply [map { start()->status } 1 .. 4], [500, 202, 502, 202], 'a plan';
};


subtest 'sockets and counters' => sub {
    my $unix = stand_in(listen => 'unix:' . test_dir() . '/up.sock');

    is $unix->client->req(GET => "/v1/agents/$agent", key => $key)->status, 200,
        'a unix socket';

    $up->reset;
    $c->parallel(map {
        [POST => "/v1/agents/$agent/runs", key => $key, json => {},
            stand_in => {delay => 0.3}]
    } 1 .. 20);
    is $up->state->{maxInFlight}, 20, 'twenty at once';

    my $prefixed = stand_in(prefix => '/base');
    is $prefixed->client->req(GET => "/base/v1/agents/$agent", key => $key)
        ->status, 200, 'a prefix';

    is $up->stop, 0, 'ends with 0';
    ok !eval { $c->req(GET => '/') }, 'and is gone';
};


done_testing();
