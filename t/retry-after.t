#!/usr/bin/perl

# The hint of a refusal for concurrency: what is configured, or how long the
# trigger's runs last, and not the same for everyone.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;

use List::Util qw(max min uniq);
use Time::HiRes qw(sleep);

my $up = stand_in();

my $policy = policy(
    agents => {
        (map { ($_ => {maxConcurrentRuns => 1}) } qw(default short long seen
            brief other)),
        (map { ($_ => {maxConcurrentRuns => 4}) } qw(four)),
        none => {maxConcurrentRuns => 0},
    },
    keys => {alice => {}},
);

my %ports = map { ("p_$_" => free_port()) } qw(short long);

my $nginx = nginx(%ports, http => join '', map { "
    server {
        listen 127.0.0.1:{{p_$_->[0]}};
        phrony_runs_retry $_->[1];
        location / { phrony on; proxy_pass http://{{upstream_name}}; }
    }
" } [short => '1s'], [long => '2h']);


sub hints {
    my ($agent, $n, %opt) = @_;

    my @r = map { start_run($agent, key => 'alice', %opt) } 1 .. $n;

    die "$agent: " . $_->raw for grep { $_->status != 429 } @r;

    return map { $_->header('Retry-After') // 'none' } @r;
}


# Each run of an agent lasts so long; the ends are seen by a poll.

sub lasting {
    my ($agent, $seconds, $n) = @_;

    my @runs = map { start_run($agent, key => 'alice')->json->{runId} }
        1 .. $n;

    sleep $seconds;
    poll($_, key => 'alice', stand_in => {set => {status => 'Completed'}})
        for @runs;
}


sub within {
    my ($name, $from, $to, @hints) = @_;

    my @wrong = grep { !/\A[1-9]\d*\z/ || $_ < $from || $_ > $to } @hints;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    ok !@wrong, "$name: from $from to $to" or diag "@wrong";
}


subtest 'the default' => sub {
    start_run('default', key => 'alice');
    my @hints = hints('default', 60);

    within('5 s, and half as much', 5, 8, @hints);
    cmp_ok scalar(uniq @hints), '>', 1, 'not the same for everyone';
};


subtest 'what is configured' => sub {
    for (['short', 1, 2], ['long', 2400, 3600]) {
        my ($name, $from, $to) = @$_;
        my $at = client($ports{"p_$name"});

        start_run($name, key => 'alice', at => $at);
        within($name, $from, $to, hints($name, 20, at => $at));
    }
};


subtest 'how long runs last' => sub {
    lasting('seen', 3.1, 1);
    start_run('seen', key => 'alice');
    within('three seconds', 3, 5, hints('seen', 40));

    lasting('four', 3.1, 4);
    start_run('four', key => 'alice') for 1 .. 4;
    within('one of four slots', 1, 2, hints('four', 40));

    lasting('brief', 0, 1);
    start_run('brief', key => 'alice');
    within('at least a second', 1, 2, hints('brief', 20));

    start_run('other', key => 'alice');
    within("another trigger's runs", 5, 8, hints('other', 20));
};


my @none = hints('none', 3);

is_deeply [uniq @none], ['none'], 'no hint where nothing will be admitted';

done_testing();
