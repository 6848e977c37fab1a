#!/usr/bin/perl

# Refusals that are known to hold are repeated from memory: Redis is not asked,
# and nobody is refused a moment longer than it would refuse.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;
use Phrony::Fleet;

my $up = stand_in();

my $policy = policy(
    agents => {
        minute => {rpmLimit => 4, rpdLimit => 1000},
        day    => {rpdLimit => 3},
        reads  => {readRpmLimit => 3},
        none   => {rpmLimit => 0},
        slots  => {maxConcurrentRuns => 2},
        edited => {rpmLimit => 3, rpdLimit => 1000},
        apart  => {rpmLimit => 2},
        away   => {rpmLimit => 2},
        other  => {rpmLimit => 1000},
        warm   => {rpdLimit => 1_000_000},
    },
    keys => {alice => {}},
);

my $redis = redis();
my @nginx = map { nginx(redis => $redis, http =>
    "$SHOW phrony_redis_timeout 5s;") } 1, 2;

await_store($_) for @nginx;

sub start { start_run(shift, key => 'alice', @_) }
sub read_of { $_[1]->client->req(GET => '/v1/agents/' . $policy->agent($_[0]),
    key => $policy->key('alice')) }


# What Redis is asked while nothing is asked: nothing, in the end.

sub quiet {
    my $before = -1;

    wait_for {
        my $now = $redis->calls('evalsha') + $redis->calls('get');
        my $same = $now == $before;
        $before = $now;
        select undef, undef, undef, 0.1;
        $same;
    } 10, 'silence';

    $redis->reset_calls;
}


sub asked {
    my $calls = $redis->calls;

    return join ' ', map { "$_: $calls->{$_}" }
        grep { /\A(?:eval|get|set|h|z|incr)/ } sort keys %$calls;
}


for my $agent (qw(minute day reads)) {
    subtest "a flood: $agent" => sub {
        my $ask = $agent eq 'reads' ? sub { read_of($agent, $_[0]) }
            : sub { start($agent, at => $_[0]) };

        $ask->($nginx[0]) for 1 .. 4;

        # each gateway is refused once and remembers it

        my @first = map { $ask->($_) } @nginx;
        is_deeply [map { $_->status } @first], [429, 429], 'refused';
        quiet();

        my @r = map { $ask->($nginx[$_ % 2]) } 1 .. 200;
        push @r, crowd(\@nginx, 200, $agent) if $agent ne 'reads';

        is_deeply [grep { $_->status != 429 } @r], [], 'all are refused';
        is asked(), '', 'and Redis is not asked';
        problem_is($r[-1], 429, 'rate_limited', 'the refusal');

        my $field = sub { $_[0]->header($_[1]) =~ s/;t=\d+//gr };
        is $field->($r[-1], $_), $field->($first[0], $_), "$_ as before"
            for qw(RateLimit RateLimit-Policy);
        cmp_ok $r[-1]->header('Retry-After'), '<=',
            $first[0]->header('Retry-After'), 'the time goes on';
        cmp_ok $r[-1]->header('Retry-After'), '>=', 1, 'and has not run out';
        is $r[0]->header('X-Store'), 'redis', 'the store is the same';

        my $warm = start('other', at => $nginx[0]);
        is $warm->header('X-Store'), 'redis', 'others are asked for';
        isnt asked(), '', 'in Redis';
    };
}


subtest 'nothing at all' => sub {
    start('none', at => $_) for @nginx;
    quiet();

    my @r = crowd(\@nginx, 100, 'none');

    is_deeply [grep { $_->status != 429 } @r], [], 'is ever admitted';
    is_deeply [grep { defined $_->header('Retry-After') } @r], [],
        'and nobody is told to come again';
};


# A slot may come free at any moment, so these are not remembered.

subtest 'slots' => sub {
    my @runs = map { start('slots', at => $nginx[0])->json->{runId} } 1, 2;

    problem_is(start('slots', at => $_), 429, 'concurrency_limited', 'taken')
        for @nginx;
    poll($runs[0], key => 'alice', at => $nginx[1],
        stand_in => {set => {status => 'Failed'}});
    wait_for { taken($redis, $policy, 'slots') == 1 } 10, 'the end';
    is start('slots', at => $nginx[0])->status, 202, 'free: at once';
};


sub edit {
    my ($agent, %members) = @_;

    $policy->change(agent => $agent, %members);
    $_->reload or die "not reloaded\n" for @nginx;
    await_store($_) for @nginx;
}


subtest 'a limit that is changed' => sub {
    my $both = sub { join ' ', map { start('edited', at => $_)->status }
        @nginx };

    start('edited', at => $nginx[0]) for 1 .. 3;
    is $both->(), '429 429', 'refused';

    edit('edited', rpmLimit => 5);
    is $both->(), '202 202', 'raised: at once';
    is $both->(), '429 429', 'up to the new limit';

    edit('edited', rpmLimit => undef);
    is $both->(), '202 202', 'removed';

    edit('edited', rpmLimit => 6);
    is $both->(), '429 429', 'set again, below the count';

    edit('edited', rpmLimit => 1000, rpdLimit => 7);
    is $both->(), '429 429', 'another window refuses';

    edit('edited', rpdLimit => 9);
    is $both->(), '202 202', 'and no more';

    edit('edited', rpdLimit => 1);
    my $r = start('edited', at => $nginx[0]);
    problem_is($r, 429, 'rate_limited', 'lowered');
    is remaining($r, 'rpd'), 0, 'nothing remains';
};


# Fewer are admitted, so one must wait longer: until the second of two starts
# has left, not the first.  The other gateway has nothing to remember.

subtest 'a limit that is lowered' => sub {
    start('apart', at => $nginx[0]);
    select undef, undef, undef, 4;
    start('apart', at => $nginx[0]) for 1 .. 3;

    edit('apart', rpmLimit => 1);

    my @wait = map { start('apart', at => $_)->header('Retry-After') } @nginx;
    cmp_ok abs($wait[0] - $wait[1]), '<=', 2, 'the time is that of now'
        or diag "@wait";
};


subtest 'a Redis that is away' => sub {
    start('away', at => $nginx[0]) for 1 .. 3;
    start('away', at => $nginx[1]);
    $redis->pause;

    my @r = crowd(\@nginx, 100, 'away');

    is_deeply [grep { $_->status != 429 } @r], [], 'refusals are repeated';
    is scalar(grep { $_->header('X-Store-Time') >= 0.95 } @r), 0,
        'and nobody waits';
    $redis->resume;
    await_store($_) for @nginx;
};


done_testing();
