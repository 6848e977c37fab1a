#!/usr/bin/perl

# Real sentinels and a master that they replace while a fleet is at work:
# because they are asked to, because it is killed, because it hangs.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;
use Phrony::Fleet;
use Phrony::RedisSentinel;

use Time::HiRes qw(time);

my $up = stand_in();

my $policy = policy(
    agents => {
        (map { ("busy $_" => {rpdLimit => 1_000_000, maxConcurrentRuns => 1000},
            "limit $_" => {rpdLimit => 40, maxConcurrentRuns => 1000}) }
            qw(asked killed hung)),
        warm => {rpdLimit => 1_000_000},
    },
    keys => {alice => {}},
);

my $set = Phrony::RedisSentinel->watch(
    data     => [map { redis() } 1 .. 3],
    sentinel => sub { redis(sentinel => 1, @_) });

my @fleet = map { nginx(redis => $set->url, http => $SHOW,
    location => 'location = /status { phrony_status; }') } 1, 2;

await_store($_) for @fleet;


sub status_of {
    my %count;

    $count{$_->status}++ for @_;

    return \%count;
}


sub busy {
    my ($name) = @_;

    return sub {
        my ($client, $count) = @_;

        my $r = $client->req(start_request("busy $name", key => 'alice',
            stand_in => {finish => 'now'}), timeout => 20);

        $count->{$r->status}++;
        $count->{'store ' . ($r->header('X-Store') // 'none')}++;
    };
}


sub wait_for_starts {
    my ($n) = @_;

    my $seen = $up->state->{requests};

    wait_for { $up->state->{requests} >= $seen + $n } 20, 'starts';
}


# Starts of the day, as a server knows them.  One whose role has changed has ended
# the connection that it is asked on.

sub day {
    my ($redis, $agent) = @_;

    my @counted;

    wait_for { @counted = eval { counted($redis, $policy, $agent) } } 5,
        'a server to answer';

    return $counted[1];
}


# Whether gateways send it their scripts.  A master that becomes a replica ends
# its connections.

sub asked {
    my ($redis) = @_;

    return scalar grep { ($_->{cmd} // '') =~ /eval/i }
        eval { $redis->clients };
}


# Half of a limit is used up before the master is replaced, and has reached its
# replicas; under load "change" makes another master and returns it.  What the
# old one has counted and not passed on is lost with it; one that lives on
# counts until it is "left": the worker's sentinel has heard of the new one.

sub failover {
    my ($name, $change, %opt) = @_;

    my $old = $set->await_master;
    my ($new, $back);

    is_deeply status_of(crowd(\@fleet, 20, "limit $name")), {202 => 20},
        'starts before';
    my $replicas = grep { $_->running } $set->data;
    is $old->call(WAIT => --$replicas, 5000), $replicas,
        'replicas know of them';

    my $count = under_load(\@fleet, 6, busy($name), sub {
        wait_for_starts(50);
        $new = $change->($old);
        my $named = time;
        my $before = day($new, "busy $name");
        wait_for { day($new, "busy $name") > $before } 20, 'the first start';
        await_store($_) for @fleet;
        wait_for { !asked($old) } 20, 'the old master to be left'
            if $opt{left};
        $back = time - $named;
        wait_for_starts(50);
    });

    note sprintf '%s: %.2f s from the new master to the last worker;'
        . ' %d starts decided by Redis, %d locally', $name, $back,
        map { $count->{"store $_"} // 0 } qw(redis local);

    isnt $new, $old, 'another master';
    is $count->{broken}, undef, 'every client was answered';
    is_deeply [grep { /^\d/ && $_ ne '202' } keys %$count], [],
        'and admitted';

    my @r = crowd(\@fleet, 60, "limit $name");
    is_deeply status_of(@r), {202 => 20, 429 => 40},
        'the rest of the limit';
    is_deeply stores_of(@r), {redis => 60}, 'which Redis knows';
    is day($new, "limit $name"), 40, 'it has counted';

    return $new;
}


subtest 'the master that sentinels name' => sub {
    my $master = $set->master;

    is $master, ($set->data)[0], 'the first one';
    crowd(\@fleet, 10, 'warm');

    is_deeply [grep { asked($_) } $set->data], [$master],
        'replicas are not asked';
};


# Connections to sentinels are not what the figures of Redis are about.

subtest 'a sentinel hangs' => sub {
    my ($sentinel) = $set->sentinels;
    my $mark = $fleet[0]->log_size;
    my $figures = sub { $fleet[0]->client->req(GET => '/status')->json
        ->{redis} };
    my $before = $figures->();

    $sentinel->pause;
    wait_for { $fleet[0]->log_since($mark) =~ /no(?:t| answer).*? in time/ }
        30, 'a worker to give it up';
    $sentinel->resume;

    is_deeply [@{$figures->()}{qw(timeouts failures)}],
        [@$before{qw(timeouts failures)}], 'Redis has answered';
};


subtest 'another master is asked for' => sub {
    failover(asked => sub { $set->failover }, left => 1);
};


my ($killed, $hung);

subtest 'the master is killed' => sub {
    $set->await;

    failover(killed => sub {
        ($killed) = @_;
        $killed->kill;
        $set->await_master($killed);
    });
};


# It is still there, as after a partition, and knows nothing of it all.

subtest 'the master hangs' => sub {
    $set->await;

    my $new = failover(hung => sub {
        ($hung) = @_;
        $hung->pause;
        $set->await_master($hung);
    });

    my $before = day($new, 'warm');

    $hung->resume;
    is_deeply stores_of(crowd(\@fleet, 20, 'warm')), {redis => 20},
        'it goes on';
    is day($new, 'warm'), $before + 20, 'but is not asked';
};


# Each takes itself for the master at first.

subtest 'old masters come back' => sub {
    my $master = $set->await_master;
    my $before = day($master, 'warm');

    $killed->start;

    my $count = under_load(\@fleet, 2, sub {
        my ($client, $count) = @_;

        my $r = $client->req(start_request('warm', key => 'alice',
            stand_in => {finish => 'now', delay => 0.02}));
        $count->{$r->header('X-Store') // 'none'}++;
    }, sub { $set->await });

    is $set->await_master, $master, 'and are replicas now';
    is_deeply [keys %$count], ['redis'], 'nobody minds';
    is day($master, 'warm'), $before + $count->{redis}, 'nor is misled';
};


subtest 'sentinels go' => sub {
    my @sentinels = $set->sentinels;

    $_->kill for @sentinels[0, 1];
    is_deeply stores_of(crowd(\@fleet, 10, 'warm')), {redis => 10},
        'one of them is enough';

    $sentinels[2]->kill;
    ok $fleet[0]->reload, 'a worker that begins without them';
    is_deeply stores_of(crowd([$fleet[1]], 10, 'warm')), {redis => 10},
        'others need none';
    is_deeply stores_of(crowd([$fleet[0]], 10, 'warm')), {local => 10},
        'does without Redis';

    $_->start for @sentinels;
    cmp_ok await_store($fleet[0]), '>=', 0, 'until they are back';
};


# One server and one sentinel that listen to TLS, and name such ports.

subtest 'TLS' => sub {
    my $redis = redis(tls => 1, password => 'sesame');
    my $sentinel = redis(tls => 1, sentinel => 1, conf => join "\n",
        'tls-replication yes', 'sentinel auth-pass main sesame',
        "sentinel monitor main 127.0.0.1 $redis->{opt}{tls_port} 1");

    my $nginx = nginx(redis => 'rediss+sentinel://:sesame@127.0.0.1:'
        . "$sentinel->{opt}{tls_port}/main", http => $SHOW
        . "phrony_redis_ssl_trusted_certificate ${\certificates()->ca};");

    await_store($nginx);
    is day($redis, 'warm') > 0, 1, 'it is the one that was named';
};


done_testing();
