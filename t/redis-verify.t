#!/usr/bin/perl

# phrony_verify where gateways share a Redis: one of them asks, all of them
# learn of it, and those that are never answered hide no others.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;
use Phrony::Fleet;
use Phrony::Verify;

my $up = stand_in();

my $policy = policy(
    agents => {
        (map { ($_ => {maxConcurrentRuns => 1}) } qw(canary elsewhere ends
            away seen local), map { "goes$_" } 1 .. 3),
        crowd  => {maxConcurrentRuns => 3},
        many   => {maxConcurrentRuns => 12},
        warm   => {},
    },
    keys => {alice => {}, bob => {agents => ['warm']}},
);

my $redis = redis();
my $http = "$SHOW phrony_verify /phrony_verify;"
    . verify_http(dead => {hang => 1}, a0a0 => {status => 404});

my @nginx = map { nginx(redis => $redis, http => $http,
    server => verify_location()) } 1 .. 3;
my ($first, $second, $third) = @nginx;

await_store($_) for @nginx;

my @done = (state => 'Completed');
my %run = map { $_ => hold($up, $_, at => $first) } qw(elsewhere seen away);

$up->set_run($run{elsewhere}, status => 'Completed');

my @goes = map { hold($up, "goes$_", at => $nginx[$_ - 1]) } 1 .. 3;
my @crowd = map { hold($up, 'crowd', at => $nginx[$_]) } 0 .. 2;

# six that are never answered, four that are not there, and two that are

my @many = ((map { hold($up, 'many', at => $first, begin => 'deadbeef') }
    1 .. 6), (map { hold($up, 'many', at => $second, begin => 'a0a0a0a0')
    } 1 .. 4), map { hold($up, 'many', at => $third, @done) }
    1 .. 2);

go_stale($up, at => $third);


subtest 'started at one, refused at another' => sub {
    is try_start('elsewhere', at => $second)->status, 400,
        'the second finds the end';
    is scalar(asked($up, $run{elsewhere})), 1, 'asked once';
    becomes { taken($redis, $policy, 'elsewhere') == 0 } 'nothing is held';
    is start_run('elsewhere', key => 'alice', at => $third)->status, 202,
        'free for the third';
    is try_start('elsewhere', at => $_)->status, 429, 'and taken for all'
        for @nginx;
};


# The same second, all gateways.

subtest 'one asker' => sub {
    my @r = crowd(\@nginx, 45, 'crowd', status => 400);

    is scalar(grep { $_->status == 429 } @r), 45, 'all are refused';
    is_deeply [map { scalar asked($up, $_) } @crowd], [1, 1, 1],
        'each run was asked for once';
    is_deeply stores_of(@r), {redis => 45}, 'Redis decided';

    for my $n (1 .. 3) {
        is try_start("goes$n", at => $nginx[$_])->status, 429, "run $n goes on"
            for 0 .. 2;
        is scalar(asked($up, $goes[$n - 1])), 1, "run $n: asked for once";
    }
};


# What one gateway has seen by asking is known to the others.

subtest 'seen' => sub {
    is try_start('seen', at => $second)->status, 429, 'it goes on';
    select undef, undef, undef, 1.1;
    is try_start('seen', at => $_)->status, 429, 'still' for @nginx;
    is scalar(asked($up, $run{seen})), 1, 'nobody asks again';
};


subtest 'who never answers hides nobody' => sub {
    my $count = 0;

    becomes {
        $count++;
        select undef, undef, undef, 0.2;
        try_start('many', at => $nginx[$count % 3])->status == 400;
    } 'those that have ended are found';
    cmp_ok scalar(grep { asked($up, $_) } @many[10, 11]), '>=', 1, 'asked';
    cmp_ok taken($redis, $policy, 'many'), '>=', 10, 'others keep their slots';

    for my $run (@many[0 .. 9]) {
        cmp_ok scalar(asked($up, $run)), '<=', 6, 'no more than its share';
    }
};


subtest 'Redis is away' => sub {
    $redis->kill;
    await_store($_, 'local') for @nginx;

    $up->set_run($run{away}, status => 'Completed');

    my $r = try_start('away', at => $first);

    problem_is($r, 429, 'concurrency_limited', 'what is known is refused');
    is $r->header('X-Store'), 'local', 'by memory';
    is scalar(asked($up, $run{away})), 0, 'and nobody is asked';

    $redis->start;
    await_store($_) for @nginx;
    becomes { try_start('away', at => $second)->status == 400 }
        'asked when it is back';
};


is_deeply [$redis->eternal], [], 'each key has its time';

done_testing();
