#!/usr/bin/perl

# What becomes of a delivery whose start goes wrong: forgotten if no run was
# started, known to be unknown if nobody can tell, and never started twice
# without a word to the upstream.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;
use Phrony::Deliveries;

use Socket qw(SOL_SOCKET SO_LINGER);
use Time::HiRes qw(time);

my $up = stand_in();

my $policy = policy(
    agents => {
        alpha => {},
        one   => {maxConcurrentRuns => 1, rpdLimit => 1000},
        day   => {rpdLimit => 2},
        none  => {rpmLimit => 0},
    },
    keys => {alice => {}},
);

my $ports = {map { ("p_$_" => free_port()) }
    qw(dead brief slow gone quick next)};
my $proxy = 'location / { phrony on; proxy_pass http://{{upstream_name}}; }';

my $nginx = nginx(%$ports,
    closed   => free_port(),
    location => 'location = /status { phrony_status; }',
    http     => "$TELL
    phrony_reservation_ttl 60s;

    upstream closed_first {
        server 127.0.0.1:{{closed}} max_fails=0;
        server @{[$up->address]} backup;
    }

    server {
        listen 127.0.0.1:{{p_dead}};
        location / { phrony on; proxy_pass http://127.0.0.1:{{closed}}; }
    }

    server {
        listen 127.0.0.1:{{p_brief}};
        proxy_read_timeout 300ms;
        $proxy
    }

    server {
        listen 127.0.0.1:{{p_slow}};
        proxy_buffering off;
        $proxy
    }

    server {
        listen 127.0.0.1:{{p_gone}};
        proxy_ignore_client_abort off;
        $proxy
    }

    server {
        listen 127.0.0.1:{{p_quick}};
        phrony_reservation_ttl 2s;
        $proxy
    }

    server {
        listen 127.0.0.1:{{p_next}};
        location / { phrony on; proxy_pass http://closed_first; }
    }
");

my %at = (plain => $nginx->client,
    map { /p_(.*)/ => client($ports->{$_}) } keys %$ports);

sub status { req(GET => '/status')->json }


# Sends a delivery, whatever comes back, and returns its status.

sub send_to {
    my ($to, $id, %opt) = @_;

    my $connection = $at{$to}->open_connection;

    $connection->send($at{$to}->request_bytes(delivery('alpha', $id, %opt)));
    my $r = $connection->response(partial => 1);
    $connection->end;

    return $r ? $r->status : 0;
}


# Sends one and goes away when the upstream has it.

sub abandon {
    my ($to, $id, $reset, %asked) = @_;

    my $connection = hold($up, $at{$to}, 'alpha', $id, stand_in => \%asked);

    setsockopt $connection->{socket}, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0
        if $reset;
    $connection->end;
}


# A duplicate of what is settled in time: it waits while that is in progress.

sub settled {
    my ($id, %opt) = @_;

    return wait_for {
        my $r = deliver('alpha', $id, %opt);
        $r->status != 409 && $r;
    } 20, 'what became of it';
}


sub forgotten {
    my ($id, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my @r = map { deliver('alpha', $id, json => {input => {text => 'new'}}) }
        1, 2;

    return is_deeply [map { told($_) } @r], ['202 admitted -',
        '202 replayed done replayed marked'], "$name: forgotten";
}


# The next one is not replayed, and the upstream is told; what comes of it, is
# known.

sub unknown {
    my ($id, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    is told(deliver('alpha', $id, json => {})), '422 refused mismatch',
        "$name: not forgotten";

    my $r;
    my $heard = heard($up, sub { $r = settled($id) });

    is told($r), '202 admitted unknown', 'its outcome is unknown';
    is $heard, 'unknown', 'the upstream is told';
    replay_is(deliver('alpha', $id), $r, 'what is known now');
}


subtest 'an upstream that starts nothing' => sub {
    for my $status (301, 400, 401, 404, 409, 422, 429, 499, 500, 501, 503) {
        my $id = fresh();

        is send_to('plain', $id, stand_in => {status => $status}), $status,
            "status $status";
        forgotten($id, $status);
    }

    my $id = fresh();
    is send_to('dead', $id), 502, 'no upstream';
    forgotten($id, 'no upstream');

    $id = fresh();
    my $r = deliver('alpha', $id, at => $at{next});
    is told($r), '202 admitted -', 'the next upstream';
    replay_is(deliver('alpha', $id), $r, 'its answer');
};


# name, where, what the upstream does, what the client sees

for (['breaks when the head is there', 'plain', {break => 'request'}, 502],
     ['breaks before the answer', 'plain', {break => 'before'}, 502],
     ['with a reset', 'plain', {break => 'before', reset => 1}, 502],
     ['breaks in the header', 'plain', {break => 'in-header'}, 502],
     ['breaks in the body', 'slow', {break => 'in-body'}, 202],
     ['breaks in the body, with a reset', 'slow',
        {break => 'in-body', reset => 1}, 202],
     ['breaks in a body of chunks', 'slow',
        {break => 'in-body', chunked => 1}, undef],
     ['breaks in a body, buffered', 'plain', {break => 'in-body'}, 202],
     ['does not answer in time', 'brief', {hang => 1}, 504],
     ['stops in the body', 'brief', {'body-delay' => 5}, 202],
     ['says 502', 'plain', {status => 502}, 502],
     ['says 504', 'plain', {status => 504}, 504])
{
    my ($name, $to, $asked, $status) = @$_;

    subtest "an upstream that $name" => sub {
        my $id = fresh();

        my $got = send_to($to, $id, stand_in => $asked);

        is $got, $status, 'the answer' if defined $status;
        unknown($id, $name);
    };
}


# Accepted, though of what run nobody can tell: that is the lease's matter.

for (['names no run', {omit => 'runId'}],
     ['names a bad run', {set => {runId => 'x'}}],
     ['says nothing', {status => 204}],
     ['is no object', {body => 'hello', type => 'text/plain'}],
     ['is half an object', {body => '{"runId":"'
        . '0b1c2d3e-0000-4000-8000-000000000001"'}])
{
    my ($name, $asked) = @$_;

    subtest "an answer that $name" => sub {
        my $id = fresh();

        my $first = deliver('alpha', $id, stand_in => $asked);
        my $r = deliver('alpha', $id);

        like told($r), qr/\A20[24] replayed done replayed/, 'is replayed';
        is $r->status, $first->status, 'its status';
        is $r->header('Content-Type'), $first->header('Content-Type'),
            'its type' if $r->status != 204;
        is $r->body, $first->body, 'its bytes' if $asked->{body};
    };
}


subtest 'an answer that is compressed' => sub {
    my $id = fresh();

    is send_to('plain', $id, stand_in => {gzip => 1}), 202, 'accepted';

    my $r;
    my $heard = heard($up, sub { $r = deliver('alpha', $id) });

    is told($r), '202 admitted done marked', 'is not kept';
    is $heard, 'done', 'the upstream is told';
    like $nginx->log, qr/answer to a start is not kept .* it is encoded/,
        'and the log says why';
};


# A client that goes away does not change what is known, if the answer is read
# all the same.

my %answers = (
    'a short answer'            => {},
    'an answer in pieces'       => {pieces => 50, gap => 0.01},
    'a chunked answer'          => {chunked => 1, pieces => 50, gap => 0.01},
);

for my $name (sort keys %answers) {
    for my $reset (0, 1) {
        subtest "a client that goes: $name" . ($reset ? ', reset' : '') => sub {
            my $id = fresh();
            my $run = sprintf '0b1c2d3e-0000-4000-8000-%012x',
                1000 + 10 * length($name) + $reset;

            abandon('plain', $id, $reset, %{$answers{$name}}, run => $run);
            is told(deliver('alpha', $id)), '409 refused in-progress',
                'in progress';

            my $heard = heard($up, sub {
                $up->release;
                my $r = settled($id);
                is told($r), '202 replayed done replayed marked', 'replayed';
                is $r->json->{runId}, $run, 'with its run';
            });

            is $heard, '', 'nothing is started again';
        };
    }
}


subtest 'a client that goes, and the answer is not read' => sub {
    my $id = fresh();

    abandon('gone', $id, 0);
    is told(settled($id)), '202 admitted unknown', 'its outcome is unknown';
    $up->release;
    is told(settled($id)), '202 replayed done replayed marked',
        'what was sent again is known';

    $id = fresh();
    abandon('plain', $id, 0, status => 400);
    $up->release;
    becomes { told(deliver('alpha', $id)) eq '202 admitted -' }
        'a refusal that nobody hears';
};


subtest 'a worker that is killed' => sub {
    my ($done, $id) = (fresh(), fresh());
    my $first = deliver('alpha', $done);
    my $began = time;
    my $connection = hold($up, $at{quick}, 'alpha', $id);

    $nginx->kill_worker($_) for $nginx->workers;
    replay_is(deliver('alpha', $done), $first, 'what was done is known');

    my $r = deliver('alpha', $id);
    is told($r), '409 refused in-progress', 'its delivery is in progress'
        if time < $began + 1.5;

    $r = settled($id);
    cmp_ok time - $began, '>=', 1.9, 'until its time has run out';
    is told($r), '202 admitted unknown', 'then nobody knows';
    replay_is(deliver('alpha', $id), $r, 'and what is known now is said');
    $up->release;
    $connection->end;
};


# The answer may come when another has taken over.

subtest 'an owner that is late' => sub {
    for my $status (202, 400, 502) {
        my $id = fresh();
        my $connection = hold($up, $at{quick}, 'alpha', $id,
            stand_in => {$status == 202 ? () : (status => $status)});
        my $r = settled($id);

        is told($r), '202 admitted unknown', 'its time has run out';
        $up->release;
        is $connection->response->status, $status, "then it gets $status";
        my $next = deliver('alpha', $id);
        is told($next), '202 replayed done replayed marked',
            'the other one counts';
        is $next->json->{runId}, $r->json->{runId}, 'with its run';
    }
};


subtest 'a reload' => sub {
    my ($done, $lost, $busy) = map { fresh() } 1 .. 3;
    my $first = deliver('alpha', $done);

    deliver('alpha', $lost, stand_in => {status => 502});
    my $connection = hold($up, $nginx, 'alpha', $busy);

    ok $nginx->reload, 'reloaded';
    replay_is(deliver('alpha', $done), $first, 'an answer stands');
    is told(deliver('alpha', $done, json => {})), '422 refused mismatch',
        'a fingerprint, too';
    is told(deliver('alpha', $busy)), '409 refused in-progress',
        'what is in progress stays so';
    $up->release;
    my $r = $connection->response;
    replay_is(deliver('alpha', $busy), $r, 'an old worker can settle it');
    unknown($lost, 'what is unknown');
};


subtest 'answers that are not kept' => sub {
    for (['64 KiB', 65536, 1], ['a byte more', 65537, 0],
         ['large', 1_000_000, 0])
    {
        my ($name, $size, $kept) = @$_;
        my ($id, $mark) = (fresh(), $nginx->log_size);
        my $first = deliver('alpha', $id, stand_in => {size => $size});
        my $log = $nginx->log_since($mark);

        is length $first->body, $size, $name;

        if ($kept) {
            replay_is(deliver('alpha', $id), $first, 'replayed');
            unlike $log, qr/phrony|answer/, 'nothing to log';
            next;
        }

        my $heard = heard($up, sub {
            my $r = deliver('alpha', $id);
            is told($r), '202 admitted done marked', 'proxied';
            isnt $r->json->{runId}, $first->json->{runId}, 'a run of its own';
        });
        is $heard, 'done', 'the upstream is told';
        like $log, qr/answer.*not kept.*longer than 64k/,
            'and the log says why';
    }
};


# Half of the zone is for deliveries: the oldest go, the newest are there.

subtest 'many answers' => sub {
    my $before = status()->{store};
    my @id = map { fresh() } 1 .. 80;
    my @r = map { deliver('alpha', $_, stand_in => {size => 60_000}) } @id;

    is_deeply [grep { told($_) ne '202 admitted -' } @r], [], 'all start';
    replay_is(deliver('alpha', $id[-1]), $r[-1], 'the last is there');
    is told(deliver('alpha', $id[0])), '202 admitted -',
        'the first was given up';
    is start_run('one', key => 'alice')->status, 202, 'others find room';
    cmp_ok status()->{store}{free}, '>', 1_000_000, 'and much is left';
    is status()->{store}{exhausted}, $before->{exhausted}, 'nobody found none';

    poll($_, key => 'alice', stand_in => {set => {status => 'Failed'}})
        for map { $_->{runId} } grep { $_->{agentId} eq
            $policy->agent('one') } values %{$up->runs};
};


subtest 'limits' => sub {
    my ($id, $refused) = (fresh(), fresh());
    my $first = deliver('one', $id);
    my $now = qr/"rpd";r=998.*"runs";r=0\b/;

    like $first->header('RateLimit'), $now, 'a start, after one other';
    is deliver('one', $refused)->status, 429, 'no slot';
    is deliver('one', $refused, json => {})->status, 429,
        'nor for another body';

    for (1 .. 5) {
        my $r = deliver('one', $id);
        replay_is($r, $first, 'a duplicate needs none');
        like $r->header('RateLimit'), $now, 'and spends nothing';
        $r = deliver('one', $id, json => {});
        is $r->status, 422, 'nor does another body';
        like $r->header('RateLimit'), $now, 'spend anything';
    }

    poll($first->json->{runId}, key => 'alice',
        stand_in => {set => {status => 'Failed'}});
    is told(deliver('one', $refused, json => {input => {text => 'third'}},
        stand_in => {finish => 'now'})), '202 admitted -',
        'a start that was refused has claimed nothing';

    # the same with a rate

    my @id = map { fresh() } 1 .. 3;
    my @r = map { deliver('day', $_) } @id;
    is_deeply [map { $_->status } @r], [202, 202, 429], 'a day is full';
    replay_is(deliver('day', $id[0]), $r[0], 'a duplicate is not of it');
    is deliver('day', $id[2], json => {})->status, 429, 'others are';
    $policy->change(agent => 'day', rpdLimit => 3);
    $nginx->reload;
    is told(deliver('day', $id[2], json => {})), '202 admitted -',
        'until the limit is another';

    is deliver('none', $id[0])->status, 429, 'a limit of nothing' for 1, 2;
};


done_testing();
