#!/usr/bin/perl

# A real cluster of three masters with a replica each, whose slots move and
# whose masters change while a fleet is at work.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;
use Phrony::Fleet;
use Phrony::RedisCluster;

use Time::HiRes qw(time);

my $up = stand_in();


# Workspaces whose keys have slots of the first, the second and the third
# master.

my %spread;

for my $i (1 .. 100) {
    my $slot = Phrony::RedisCluster::slot_of(
        Phrony::Policy->workspace("ws$i"));

    $spread{int $slot * 3 / Phrony::RedisCluster::SLOTS} //= "ws$i";
}

my @spread = @spread{0, 1, 2};

my $policy = policy(
    agents => {
        (map { ("busy $_" => {workspace => $spread[$_], rpdLimit => 1_000_000,
            maxConcurrentRuns => 1000}, "limit $_" => {workspace =>
            $spread[$_], rpdLimit => 40, maxConcurrentRuns => 1000}) } 0 .. 2),
        (map { ($_ => {workspace => $spread[0], rpdLimit => 300,
            maxConcurrentRuns => 1000}) } qw(moving new asked killed)),
        warm => {workspace => $spread[0], rpdLimit => 1_000_000},
    },
    keys => {alice => {workspace => $spread[0]},
        map { ("user$_" => {workspace => $spread[$_]}) } 0 .. 2},
);

my $cluster = Phrony::RedisCluster->form(
    node => sub { redis(cluster => 1, @_) });

# One of them does without when Redis is away, one does not.

my $nginx = nginx(redis => $cluster->url, http => $SHOW);
my $strict = nginx(redis => $cluster->url, http => "$SHOW
    phrony_store_failure deny;");

await_store($_) for $nginx, $strict;


sub status_of {
    my %count;

    $count{$_->status}++ for @_;

    return \%count;
}


sub slot_of {
    my ($agent) = @_;

    my ($i) = $agent =~ / (\d)\z/;

    return Phrony::RedisCluster::slot_of(
        $policy->workspace($spread[$i // 0]));
}


# Starts of an agent in the day, as its master knows them.

sub day {
    my ($agent, $server) = @_;

    my ($i) = $agent =~ / (\d)\z/;

    return (counted($server // $cluster->master(slot_of($agent)), $policy,
        $agent, workspace => $spread[$i // 0]))[1];
}


# Each of the clients of under_load() asks for starts of one agent.

sub asking {
    my ($agent, %asked) = @_;

    my $key = $agent =~ / (\d)\z/ ? "user$1" : 'alice';

    return sub {
        my ($client, $count) = @_;

        my $r = $client->req(start_request($agent, key => $key,
            stand_in => {finish => 'now', %asked}), timeout => 20);

        $count->{$r->status}++;
        $count->{'store ' . ($r->header('X-Store') // 'none')}++;
    };
}


sub wait_for_starts {
    my ($n) = @_;

    my $seen = $up->state->{requests};

    wait_for { $up->state->{requests} >= $seen + $n } 20, 'starts';
}


subtest 'each key where its slot is' => sub {
    for my $i (0 .. 2) {
        my @r = map { start_run("limit $i", key => "user$i",
            at => $_ & 1 ? $nginx : $strict) } 1 .. 5;

        is_deeply stores_of(@r), {redis => 5}, "workspace $i";
        is day("limit $i", ($cluster->nodes)[$i]), 5, "is at node $i";
    }

    my @errors = map { $_->info('errorstats') } ($cluster->nodes)[0 .. 2];

    is_deeply [grep { /MOVED|ASK|CROSSSLOT/ } map { keys %$_ } @errors], [],
        'and nowhere else';
};


# A slot goes from master to master and takes its keys along, now and then key
# by key, while starts are counted in it: none is refused, lost or counted twice.

subtest 'a slot that moves' => sub {
    my $slot = slot_of('moving');
    my @masters = ($cluster->nodes)[1, 2, 0];
    my $moves = 0;

    $up->reset;

    my $count = under_load([$strict], 4, asking('moving'), sub {
        wait_for {
            my $to = $masters[$moves++ % 3];
            my $from = $cluster->begin_move($slot, $to);

            1 while $cluster->move_keys($slot, $from, $to, $moves % 2 || 100);

            # for a while all keys are there, and the slot is not

            select undef, undef, undef, 0.05 if $moves % 3 == 0;

            $cluster->end_move($slot, $to);
            select undef, undef, undef, 0.02;
            start_run('moving', key => 'alice', at => $nginx)->status == 429;
        } 40, 'the limit';
    });

    my $agent = $policy->agent('moving');

    note "moved $moves times";
    cmp_ok $moves, '>', 3, 'it has moved often';
    is $up->requests(qr/$agent/), 300, 'exactly the limit';
    is_deeply [grep { !/^(?:202|429|store redis)$/ } keys %$count], [],
        'which Redis has decided each time' or diag explain $count;
    is day('moving'), 300, 'and has counted';

    my @asked = map { $_->info('errorstats') } ($cluster->nodes)[0 .. 2];
    my %errors = map { %$_ } @asked;

    ok exists $errors{"errorstat_$_"}, "$_ was answered" for qw(MOVED ASK);

    $cluster->move($slot, $masters[2]) if $moves % 3;
};


subtest 'a new master' => sub {
    my $slot = slot_of('new');
    my $old = $cluster->master($slot);
    my $node = $cluster->add;

    $cluster->meet($node);
    $cluster->await;
    $up->reset;

    my $agent = $policy->agent('new');
    my $count = under_load([$strict], 4, asking('new', delay => 0.01), sub {
        wait_for_starts(20);
        $cluster->move($slot, $node);
        wait_for_starts(20);
        $cluster->move($slot, $old);
        wait_for {
            start_run('new', key => 'alice', at => $nginx)->status == 429;
        } 40, 'the limit';
    });

    is $up->requests(qr/$agent/), 300, 'exactly the limit';
    is_deeply [grep { !/^(?:202|429|store redis)$/ } keys %$count], [],
        'which Redis has decided each time' or diag explain $count;
};


# Half of a limit is used up before a master is replaced, and has reached its
# replica.  What the old one has counted and not passed on is lost with it.

sub failover {
    my ($agent, $change) = @_;

    my $slot = slot_of($agent);
    my $old = $cluster->master($slot);
    my ($new, $back);

    my @r = crowd([$nginx, $strict], 100, $agent);
    is_deeply status_of(@r), {202 => 100}, 'starts before';
    is $old->call(WAIT => 1, 5000), 1, 'a replica knows of them';

    my $count = under_load([$nginx], 6, sub {
        my ($client, $count) = @_;

        my $i = $count->{turn}++ % 3;
        my %one;

        asking("busy $i")->($client, \%one);
        $count->{"$i $_"} += $one{$_} for keys %one;
    }, sub {
        wait_for_starts(50);
        $new = $change->($old);
        my $named = time;
        my $before = day('busy 0', $new);
        wait_for { day('busy 0', $new) > $before } 20, 'the first start';
        await_store($_) for $nginx, $strict;
        $back = time - $named;
        wait_for_starts(50);
    });

    note sprintf '%s: %.2f s from the new master to the last worker;'
        . ' %d starts decided by Redis, %d locally', $agent, $back,
        map { $count->{"0 store $_"} // 0 } qw(redis local);

    isnt $new, $old, 'another master';
    is $count->{broken}, undef, 'every client was answered';
    is_deeply [grep { /^\d \d/ && !/ 202$/ } keys %$count], [],
        'and admitted';

    @r = crowd([$nginx, $strict], 300, $agent);
    is_deeply status_of(@r), {202 => 200, 429 => 100},
        'the rest of the limit';
    is_deeply stores_of(@r), {redis => 300}, 'which Redis knows';
    is day($agent), 300, 'it has counted';

    return $new;
}


subtest 'a replica takes over' => sub {
    $cluster->await;

    failover(asked => sub {
        my ($old) = @_;

        my ($replica) = $cluster->replicas($old);

        $replica->call(CLUSTER => 'FAILOVER');

        return $cluster->await_master(slot_of('asked'), $old);
    });
};


subtest 'a master is killed' => sub {
    $cluster->await;

    my $old;

    failover(killed => sub {
        ($old) = @_;
        $old->kill;

        return $cluster->await_master(slot_of('killed'), $old);
    });

    $old->start;
    $cluster->await;

    is_deeply stores_of(crowd([$nginx, $strict], 20, 'warm')), {redis => 20},
        'it comes back as a replica, and nobody minds';
};


subtest 'TLS' => sub {
    my $redis = redis(cluster => 1, tls => 1, password => 'sesame',
        conf => 'tls-cluster yes');

    $redis->call(CLUSTER => 'ADDSLOTS', 0 .. 8191);
    $redis->call(CLUSTER => 'ADDSLOTS', 8192 .. 16383);

    my $tls = nginx(redis => 'rediss+cluster://:sesame@127.0.0.1:'
        . $redis->{opt}{tls_port}, http => $SHOW
        . "phrony_redis_ssl_trusted_certificate ${\certificates()->ca};");

    await_store($tls);
    cmp_ok day('warm', $redis), '>', 0, 'it counts';
};


done_testing();
