#!/usr/bin/perl

# Several gateways and one limit: exactly so many are admitted, whatever the
# clock of one of them says and whatever happens to Redis meanwhile.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;
use Phrony::Fleet;

my $up = stand_in();

my $policy = policy(
    agents => {
        (map { ("rate$_" => {rpdLimit => 50}, "runs$_" =>
            {maxConcurrentRuns => 17}) } 1 .. 3),
        minute => {rpmLimit => 6, rpdLimit => 1000},
        slots  => {maxConcurrentRuns => 2, rpmLimit => 1000},
        reads  => {readRpmLimit => 5, rpdLimit => 100},
        flush  => {rpdLimit => 400},
        cut    => {rpdLimit => 400, maxConcurrentRuns => 1000},
        again  => {rpdLimit => 400, maxConcurrentRuns => 1000},
        warm   => {rpdLimit => 1_000_000},
    },
    keys => {alice => {}},
);

my $redis = redis();
my $http = "$SHOW phrony_redis_timeout 5s;";

# The third lives an hour later, and does without when Redis is away.

my @nginx = map { nginx(redis => $redis, http => $http, clock => $_,
    location => 'location = /status { phrony_status; }') }
    undef, undef, '+1h';
my @strict = map { nginx(redis => $redis, http => "$http
    phrony_store_failure deny;") } 1, 2;

await_store($_) for @nginx, @strict;


sub status_of {
    my %count;

    $count{$_->status}++ for @_;

    return \%count;
}


for my $n (1 .. 3) {
    my @fleet = @nginx[3 - $n .. 2];

    subtest 'gateways: ' . @fleet => sub {
        $up->reset;

        my @r = map { crowd(\@fleet, 50, "rate$n", delay => 0.02) } 1 .. 3;

        is_deeply status_of(@r), {202 => 50, 429 => 100}, 'starts';
        is_deeply stores_of(@r), {redis => 150}, 'all decided by Redis';
        is scalar $up->requests, 50, 'so many reach the upstream';

        my %worker = map { $_->header('X-Worker') => 1 } @r;
        cmp_ok keys %worker, '>', @fleet - 1, 'all gateways took part';

        @r = map { crowd(\@fleet, 50, "runs$n", delay => 0.02) } 1 .. 2;
        is_deeply status_of(@r), {202 => 17, 429 => 83}, 'runs';
        is taken($redis, $policy, "runs$n"), 17, 'and their slots';

        poll($_->json->{runId}, key => 'alice', at => $fleet[-1],
            stand_in => {set => {status => 'Failed'}})
            for (grep { $_->status == 202 } @r)[0 .. 4];
        becomes { taken($redis, $policy, "runs$n") == 12 } 'five end';
        is_deeply status_of(crowd(\@fleet, 40, "runs$n")),
            {202 => 5, 429 => 35}, 'as many may follow';
    };
}


# Whose clock is wrong sees the same windows.

subtest 'an hour later' => sub {
    my @r = map { start_run('minute', key => 'alice', at => $nginx[$_ % 3]) }
        0 .. 5;

    is_deeply [map { remaining($_, 'rpm') } @r], [5, 4, 3, 2, 1, 0], 'counts';
    is_deeply [map { remaining($_, 'rpd') } @r], [map { 1000 - $_ } 1 .. 6],
        'of the day, too';

    @r = map { start_run('minute', key => 'alice', at => $_) } @nginx;
    is_deeply status_of(@r), {429 => 3}, 'the limit';

    my @wait = map { $_->header('Retry-After') } @r;
    cmp_ok $_, '<=', 62, 'a minute at most' for @wait;
    cmp_ok abs($wait[0] - $_), '<=', 3, 'as the others say' for @wait;
};


subtest 'refusals burn no other window' => sub {
    my @before = counted($redis, $policy, 'minute');

    is_deeply \@before, [6, 6], 'what was admitted';
    crowd(\@nginx, 30, 'minute') for 1 .. 2;
    my $r = start_run('minute', key => 'alice', at => $nginx[1]);
    is remaining($r, 'rpd'), 994, 'the day after refusals by the minute';

    is_deeply [counted($redis, $policy, 'minute')], \@before, 'is as it was';

    my @r = crowd(\@nginx, 30, 'slots');
    is_deeply status_of(@r), {202 => 2, 429 => 28}, 'refusals for slots';
    $r = start_run('slots', key => 'alice', at => $nginx[0]);
    problem_is($r, 429, 'concurrency_limited', 'one more');
    is remaining($r, 'rpm'), 998, 'burn no minute';

    @r = map { $nginx[$_ % 3]->client->req(GET => '/v1/agents/'
        . $policy->agent('reads'), key => $policy->key('alice')) } 1 .. 12;
    is_deeply status_of(@r), {200 => 5, 429 => 7}, 'reads';
    is remaining(start_run('reads', key => 'alice'), 'rpd'), 99,
        'burn no start, and starts no read';
};


# Each of the clients of under_load() asks until the limit has been reached.

sub asking {
    my ($agent, %asked) = @_;

    return sub {
        my ($client, $count) = @_;

        my $r = $client->req(start_request($agent, key => 'alice',
            stand_in => {%asked}), timeout => 20);

        $count->{$r->status}++;
        $count->{'store ' . ($r->header('X-Store') // 'none')}++;
    };
}


subtest 'scripts that are forgotten' => sub {
    $up->reset;

    my $flushes = 0;
    my $count = under_load(\@nginx, 6, asking('flush'), sub {
        wait_for {
            $redis->call(SCRIPT => 'FLUSH');
            $flushes++;
            select undef, undef, undef, 0.03;
            start_run('flush', key => 'alice')->status == 429
                && $flushes > 20;
        } 30, 'the limit';
    });

    my $agent = $policy->agent('flush');
    is $up->requests(qr/$agent/), 400, "$flushes times: exactly the limit";
    is $count->{broken}, undef, 'every client was answered';
    is $count->{'store local'}, undef, 'nobody else has decided';
    cmp_ok $count->{429}, '>', 0, 'others were refused';
};


# Who asks when the connection is lost is refused by "deny".  What Redis may
# have counted for him stays counted, so a few less may be admitted, but no
# more.

subtest 'connections that are cut' => sub {
    my ($cuts, $unknown) = (0, 0);
    my $cut = sub { $redis->call(qw(CLIENT KILL TYPE normal SKIPME yes)) };

    $up->reset;

    my $count = under_load(\@strict, 6, asking('cut', delay => 0.01), sub {
        wait_for {
            $cut->();
            $cuts++;
            select undef, undef, undef, 0.1;
            my $r = start_run('cut', key => 'alice', at => $strict[0]);
            $unknown++ if $r->status == 503;
            $r->status == 429;
        } 40, 'the limit';
    });

    my $agent = $policy->agent('cut');
    my $admitted = $up->requests(qr/$agent/);

    $unknown += $count->{503} // 0;
    cmp_ok $cuts, '>', 1, "$cuts times";
    cmp_ok $admitted, '<=', 400, 'no more than the limit';
    cmp_ok $admitted, '>=', 400 - $unknown, 'and hardly less';
    is $count->{broken}, undef, 'every client was answered';

    await_store($_) for @strict;
    becomes { taken($redis, $policy, 'cut') == $admitted }
        'slots have those who were admitted';
};


subtest 'a Redis that starts again' => sub {
    my $unknown = 0;

    $up->reset;

    my $count = under_load(\@strict, 6, asking('again', delay => 0.01), sub {
        for my $signal ('TERM', 'KILL') {
            my $seen = $up->state->{requests};
            wait_for { $up->state->{requests} > $seen + 20 } 20, 'starts';
            $redis->restart($signal);
            wait_for { $up->state->{requests} > $seen + 40 } 20, 'others';
        }

        wait_for {
            my $r = start_run('again', key => 'alice', at => $strict[0]);
            $unknown++ if $r->status == 503;
            $r->status == 429;
        } 40, 'the limit';
    });

    my $agent = $policy->agent('again');
    my $admitted = $up->requests(qr/$agent/);

    cmp_ok $admitted, '<=', 400, 'no more than the limit';
    cmp_ok $admitted, '>=', 400 - $unknown - ($count->{503} // 0),
        'and hardly less';
    is $count->{broken}, undef, 'every client was answered';

    await_store($_) for @strict, @nginx;
    becomes { taken($redis, $policy, 'again') == $admitted }
        'slots have those who were admitted';
    is_deeply [$redis->eternal], [], 'each key has its time';
};


done_testing();
