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

my @fleet = map { nginx(redis => $set->url, http => $SHOW) } 1, 2;

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


# Half of a limit is used up before the master is replaced, and has reached its
# replicas; under load "change" makes another master and returns it.

sub failover {
    my ($name, $change) = @_;

    my $old = $set->master;
    my ($new, $named, $back);

    is_deeply status_of(crowd(\@fleet, 20, "limit $name")), {202 => 20},
        'starts before';
    is $old->call(WAIT => 2, 5000), 2, 'replicas know of them';

    $up->reset;

    my $count = under_load(\@fleet, 6, busy($name), sub {
        wait_for_starts(50);
        $new = $change->($old);
        $named = time;
        await_store($_) for @fleet;
        $back = time - $named;
        wait_for_starts(50);
    });

    note sprintf '%s: all workers have the new master after %.2f s; '
        . 'decided by Redis %d, locally %d', $name, $back,
        map { $count->{"store $_"} // 0 } qw(redis local);

    isnt $new, $old, 'another master';
    is $count->{broken}, undef, 'every client was answered';
    is_deeply [grep { /^\d/ && $_ ne '202' } keys %$count], [],
        'and admitted';

    # what the old master had not passed on is lost with it

    my $agent = $policy->agent("busy $name");
    my $admitted = $up->requests(qr/$agent/);

    becomes { (counted($new, $policy, "busy $name"))[1] > $admitted / 2 }
        'starts are counted by the new one';

    my @r = crowd(\@fleet, 60, "limit $name");
    is_deeply status_of(@r), {202 => 20, 429 => 40},
        'the rest of the limit';
    is_deeply stores_of(@r), {redis => 60}, 'which Redis knows';
    is((counted($new, $policy, "limit $name"))[1], 40, 'it has counted');

    return $new;
}


subtest 'the master that sentinels name' => sub {
    my $master = $set->master;

    is $master, ($set->data)[0], 'the first one';
    crowd(\@fleet, 10, 'warm');

    my @stray = grep { $_ != $master && grep { ($_->{cmd} // '') =~ /eval/i }
        $_->clients } $set->data;
    is @stray, 0, 'replicas are not asked';
};


subtest 'another master is asked for' => sub {
    failover(asked => sub { $set->failover });
};


subtest 'the master is killed' => sub {
    $set->await;

    my $old = $set->master;

    my $new = failover(killed => sub {
        $old->kill;
        $set->await_master($old);
    });

    # it comes back, takes itself for the master at first, and is made a replica

    $old->start;
    $set->await;

    is $set->master, $new, 'the old one is a replica now';
    is_deeply stores_of(crowd(\@fleet, 10, 'warm')), {redis => 10},
        'and nobody minds';
};


# It is still there, as after a partition, and knows nothing of it all.

subtest 'the master hangs' => sub {
    $set->await;

    my $old = $set->master;

    my $new = failover(hung => sub {
        $old->pause;
        $set->await_master($old);
    });

    my @before = counted($new, $policy, 'warm');

    $old->resume;
    is_deeply stores_of(crowd(\@fleet, 20, 'warm')), {redis => 20},
        'it goes on';
    is((counted($new, $policy, 'warm'))[1], $before[1] + 20,
        'but is not asked');
    $set->await;
    is $set->master, $new, 'until it is a replica';
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


done_testing();
