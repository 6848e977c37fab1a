#!/usr/bin/perl

# A lease is renewed by what shows the run alive, and by nothing else; when it
# has run out, or the run has ended, nothing takes its slot again.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;
use Phrony::Runs;
use Phrony::Slots;

use Time::HiRes qw(sleep time);

my $up = stand_in();

my $policy = policy(
    agents => {
        (map { ("one$_" => {maxConcurrentRuns => 1}) } 1 .. 60),
        other => {},
    },
    keys => {alice => {}, bob => {agents => ['other']}},
);

my $nginx = nginx(http => 'phrony_run_ttl 2s;');

my $another = '0b1c2d3e-0000-4000-8000-0000000000aa';
my $count = 0;


sub run_of_one {
    my $agent = 'one' . ++$count;

    return ($agent, start_run($agent, key => 'alice')->json->{runId});
}


sub ask {
    my ($method, $path, %asked) = @_;

    my $run = $path =~ m{/v1/runs/([^/]+)} ? $1 : die $path;

    return req($method => $path, key => $policy->key('alice'),
        $method eq 'POST' ? (json => {runId => $run}) : (),
        stand_in => \%asked);
}


# What is done to a run again and again, longer than its ttl, whether that
# keeps it, and what the answer is.

my @touches = (
    ['nothing', 0, sub { }],
    ['a poll', 1, sub { ask(GET => $_[0]) }, 200],
    ['a poll while it waits', 1, sub { ask(GET => $_[0],
        set => {status => 'WaitingForHITL'}) }, 200],
    ['a poll without a status', 0, sub { ask(GET => $_[0],
        omit => 'status') }, 200],
    ["a poll with another's id", 0, sub { ask(GET => $_[0],
        set => {runId => $another}) }, 200],
    ['a poll, 404', 0, sub { ask(GET => $_[0], status => 404) }, 404],
    ['HEAD', 0, sub { ask(HEAD => $_[0]) }, 200],
    ['its conversation', 0, sub { ask(GET => "$_[0]/conversation") }, 200],
    (map {
        my $below = $_;
        ["POST $below", 1, sub { ask(POST => "$_[0]/$below",
            status => 202) }, 202],
        ["POST $below, 409", 0, sub { ask(POST => "$_[0]/$below",
            status => 409) }, 409],
    } qw(messages input skip-agent-wait)),
    ['POST messages, 200', 1, sub { ask(POST => "$_[0]/messages",
        status => 200) }, 200],
    ['POST messages, 204', 1, sub { ask(POST => "$_[0]/messages",
        status => 204) }, 204],
    ['POST messages, 302', 0, sub { ask(POST => "$_[0]/messages",
        status => 302) }, 302],
    ['POST messages, 500', 0, sub { ask(POST => "$_[0]/messages",
        status => 500) }, 500],
    ['POST messages, in gzip', 1, sub { ask(POST => "$_[0]/messages",
        status => 202, gzip => 1) }, 202],
    ['GET messages', 0, sub { ask(GET => "$_[0]/messages",
        status => 200) }, 200],
    ['POST elsewhere', 0, sub { ask(POST => "$_[0]/else",
        status => 202) }, 202],
    ['POST below messages', 0, sub { ask(POST => "$_[0]/messages/1",
        status => 202) }, 202],
);

# The same with a stream that is open all the time: what is sent on it.

my @streams = (
    ['an event', 1, sub { event(step => 'a', {runId => $_[0]}) }],
    ['an event with id', 1, sub { event(aitl => 'a', {id => $_[0]}) }],
    ["another run's event", 0, sub { event(step => 'a',
        {runId => $another}) }],
    ["another run's end", 0, sub { ends($another) }],
    ["a session's event", 0, sub { event(session => 'a', {}) }],
    ['a comment', 0, sub { ":\n\n" }],
    ['half an event', 0, sub { 'data: {"kind":"step","subject":"a","data":{'
        . "\"runId\":\"$_[0]\"\n\n" }],
    ['nothing', 0, sub { '' }],
);


subtest 'what renews a lease' => sub {
    for my $touch (@touches) {
        my ($name, $keeps, $code) = @$touch;
        my ($agent, $run) = run_of_one();

        push @$touch, '' if @$touch < 4;
        push @$touch, $agent, $run;
    }

    for my $stream (@streams) {
        my ($agent, $run) = run_of_one();

        push @$stream, $agent, $run,
            open_stream($run, at => $nginx->client);
    }

    ok !is_free($_->[4]), "before: $_->[0]" for @touches;
    ok !is_free($_->[3]), "before: stream, $_->[0]" for @streams;

    my $began = time;

    while (time < $began + 5) {
        for (@touches) {
            my ($name, $keeps, $code, $status, $agent, $run) = @$_;
            my $r = $code->("/v1/runs/$run");
            push @$_, $r->status if $r && $r->status ne $status;
        }

        for (@streams) {
            my ($name, $keeps, $text, $agent, $run, $connection) = @$_;
            events_pass($up, $run, $connection, $text->($run));
        }

        sleep 0.1;
    }

    for (@touches) {
        my ($name, $keeps, $code, $status, $agent, $run, @wrong) = @$_;

        is "@wrong", '', "$name: the answer is $status";
        is !!is_free($agent), !$keeps,
            $keeps ? "$name: keeps" : "$name: runs out";
        is !!is_known($run), !!$keeps, "$name: what is known of the run";
    }

    for (@streams) {
        my ($name, $keeps, $text, $agent, $run, $connection) = @$_;

        is !!is_free($agent), !$keeps,
            "stream, $name: " . ($keeps ? 'keeps' : 'runs out');
        $up->close_streams($run);
        ok $connection->ended, "stream, $name: passed as it is";
    }
};


# The leases that were kept go the way of the others.

subtest 'when nobody touches them any more' => sub {
    for my $kept (grep { $_->[1] } @touches) {
        becomes { is_free($kept->[4]) } $kept->[0];
    }

    for my $kept (grep { $_->[1] } @streams) {
        becomes { is_free($kept->[3]) } "stream, $kept->[0]";
    }
};


subtest 'resumed after its end' => sub {
    my %end = (
        'by a poll' => sub { ask(GET => "/v1/runs/$_[0]") },
        'by its stream' => sub {
            open_stream($_[0], at => $nginx->client)
                ->read_until(qr/session\.failed[^\n]*\n\n/);
        },
    );

    for my $how (sort keys %end) {
        for my $what (qw(messages input skip-agent-wait)) {
            my ($agent, $run) = run_of_one();

            $up->set_run($run, status => 'Failed');
            $end{$how}->($run);
            becomes { is_free($agent) } "$how, $what: ended";

            $up->set_run($run, status => 'WaitingForTimer')
                if $what eq 'skip-agent-wait';
            is ask(POST => "/v1/runs/$run/$what")->status, 202, 'resumed';
            is ask(GET => "/v1/runs/$run")->json->{status}, 'Running',
                'it runs';

            my $connection = open_stream($run, at => $nginx->client,
                until => 'run.resumed');

            events_pass($up, $run, $connection,
                event(run => 'engine.run.resumed', {runId => $run}));
            ok is_free($agent), 'and has no slot';
            ok is_known($run), 'but is known';

            my $next = start_run($agent, key => 'alice')->json->{runId};

            ok events_pass($up, $run, $connection, ends($run)),
                'its second end';
            ok !is_free($agent), "does not free another run's slot";
            $up->close_streams($run);
        }
    }
};


done_testing();
