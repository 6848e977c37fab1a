package Cases;

# What is asked of the gateways, and what they must answer.

use strict;
use warnings;


our $TRIGGERS = 10;

my $samples = 0;

my $BODY = '{"input":{"text":"Summarise the tickets of today, please"}}';


# name      on the command line
# title     in the table
# request   start, run or sessions
# answer    name of the upstream's answer, see Answers.pm; a small one if none
# id        its delivery id: "each" has its own, or all of a key have "one"
# key       what stands before the number in the key's clear text
# port      the server that is asked: open, known or shut
# expect    status by gateway; a gateway that is not named is not asked
# target    by gateway, median of the ratio to plain: goal, and what must not
#           be exceeded
# few       on few connections, not on as many as is asked for
# most      requests at most that bench/instructions counts
# pause     least and most milliseconds between an answer and the connection's
#           next request, and how many connections then
# asks      1 if Redis is asked about each request, 0 if about hardly any
# calls     goal for the system calls per request that Redis adds to plain's
# redis     goal for the CPU us of Redis per request

our @LIST = (
    {
        name    => 'start',
        title   => 'start, admitted (POST, 202)',
        request => 'start',
        key     => 'phk_bench_',
        port    => 'open',
        expect  => { plain => 202, limits => 202, phrony => 202,
            redis => 202, probe => 202 },
        target  => { phrony => [1.10, 1.15], redis => [1.30, 1.45] },
        asks    => 1,
        calls   => 0.3,
        redis   => 8,
    },
    {
        name    => 'few',
        title   => 'start, admitted (POST, 202)',
        request => 'start',
        key     => 'phk_bench_',
        port    => 'open',
        few     => 1,
        expect  => { plain => 202, phrony => 202, redis => 202,
            probe => 202 },
        target  => { redis => [1.60, 1.60] },
        asks    => 1,
        calls   => 0,
    },
    {
        name    => 'paced',
        title   => 'start, admitted, at one rate (POST, 202)',
        request => 'start',
        key     => 'phk_bench_',
        port    => 'open',
        pause   => [1, 3, 24],
        expect  => { plain => 202, phrony => 202, redis => 202,
            probe => 202 },
        target  => { redis => [1.60, 1.60] },
        asks    => 1,
    },
    {
        name    => 'delivery',
        title   => 'start with a delivery id, admitted (POST, 202)',
        request => 'start',
        id      => 'each',
        key     => 'phk_bench_',
        port    => 'open',
        expect  => { plain => 202, phrony => 202, redis => 202 },
        target  => { phrony => [1.20, 1.25], redis => [1.40, 1.55] },
        asks    => 1,
        calls   => 0.3,
    },
    {
        name    => 'replay',
        title   => 'start, replayed (POST, 202)',
        request => 'start',
        id      => 'one',
        key     => 'phk_bench_',
        port    => 'known',
        expect  => { plain => 202, phrony => 202, redis => 202 },
        target  => { phrony => [1, 1], redis => [1, 1] },
        asks    => 0,
    },
    {
        name    => 'refused',
        title   => 'start, refused by its rate (POST, 429)',
        request => 'start',
        key     => 'phk_bench_',
        port    => 'shut',
        expect  => { plain => 202, limits => 429, phrony => 429,
            redis => 429 },
        target  => { phrony => [0.50, 0.50], redis => [0.50, 0.50] },
        asks    => 0,
        redis   => 0,
    },
    {
        name    => 'unknown',
        title   => 'start, refused by its key (POST, 401)',
        request => 'start',
        key     => 'phk_wrong_',
        port    => 'open',
        expect  => { plain => 202, phrony => 401 },
        target  => { phrony => [0.50, 0.50] },
    },
    {
        name    => 'poll',
        title   => 'status of a known run (GET, 200)',
        request => 'run',
        key     => 'phk_bench_',
        port    => 'known',
        expect  => { plain => 200, limits => 200, phrony => 200,
            redis => 200 },
        target  => { phrony => [1.08, 1.08], redis => [1.08, 1.08] },
        asks    => 0,
    },
    {
        name    => 'front',
        title   => 'status of a known run, in front of 5 MB (GET, 200)',
        request => 'run',
        answer  => 'front',
        few     => 1,
        most    => 100,
        key     => 'phk_bench_',
        port    => 'known',
        expect  => { plain => 200, limits => 200, phrony => 200,
            redis => 200 },
        target  => { phrony => [1.08, 1.08], redis => [1.08, 1.08] },
        asks    => 0,
    },
    {
        name    => 'end',
        title   => 'status of a known run, behind 5 MB (GET, 200)',
        request => 'run',
        answer  => 'end',
        few     => 1,
        most    => 100,
        key     => 'phk_bench_',
        port    => 'known',
        expect  => { plain => 200, limits => 200, phrony => 200,
            redis => 200 },
        target  => { phrony => [1.08, 1.08], redis => [1.08, 1.08] },
        asks    => 0,
    },
    {
        name    => 'sessions',
        title   => 'sessions of an agent (GET, 200)',
        request => 'sessions',
        key     => 'phk_bench_',
        port    => 'known',
        expect  => { plain => 200, limits => 200, phrony => 200 },
    },
);


# A request in parts, around the number of the key: one head for each
# trigger.  @$runs are ids of runs, one of each trigger, where they are read.

sub parts {
    my ($case, $runs) = @_;

    my @head;

    for my $trigger (0 .. $TRIGGERS - 1) {
        my $agent = sprintf '/v1/agents/00000003-0000-4000-8000-%012x',
            $trigger;

        my %line = (
            start    => "POST $agent/runs",
            run      => 'GET /v1/runs/' . ($runs->[$trigger] // '')
                . ($case->{answer} ? "?answer=$case->{answer}" : ''),
            sessions => "GET $agent/sessions?skip=0&take=20",
        );

        push @head, join "\r\n",
            "$line{$case->{request}} HTTP/1.1",
            'Host: api.example.com',
            'User-Agent: bench',
            'Accept: application/json',
            'Accept-Encoding: gzip, deflate',
            "X-API-Key: $case->{key}";
    }

    my $tail = "\r\n\r\n";

    if ($case->{request} eq 'start') {
        $tail = "\r\nContent-Type: application/json\r\n"
            . 'Content-Length: ' . length($BODY) . "\r\n\r\n$BODY";
    }

    return { head => \@head, tail => $tail, id => $case->{id} };
}


# The request with key number $n.

sub request {
    my ($parts, $n) = @_;

    my $id = '';

    if ($parts->{id}) {
        $id = $parts->{id} eq 'one' ? "key-$n" : 'sample-' . ++$samples;
        $id = "\r\nIdempotency-Key: $id";
    }

    return $parts->{head}[$n % $TRIGGERS] . $n . $id . $parts->{tail};
}


# The same parts for requests.lua.

sub write_lua {
    my ($file, $parts) = @_;

    open my $out, '>', $file or die "$file: $!\n";

    print $out "return { head = {\n";
    print $out '    ', lua_string($_), ",\n" for @{$parts->{head}};
    print $out "}, tail = ", lua_string($parts->{tail});
    print $out ", id = ", lua_string($parts->{id}) if $parts->{id};
    print $out " }\n";

    close $out or die "$file: $!\n";
}


sub lua_string {
    my ($text) = @_;

    $text =~ s/([^ !#-\[\]-~])/sprintf '\\%03d', ord $1/ge;

    return qq("$text");
}


1;
