#!/usr/bin/perl

# Policy in a real cluster: records are on all of its masters, and what is
# changed on any of them acts at once, whoever is its master now.  The cache's
# time is an hour: what acts here within seconds was told.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;
use Phrony::Fleet;
use Phrony::RedisCluster;

my $up = stand_in();

my @names = map { "key$_" } 1 .. 12;

my $policy = policy(
    agents => {warm => {rpdLimit => 1_000_000}, open => {rpmLimit => 1000}},
    keys   => {alice => {}, map { ($_ => {agents => ['open']}) } @names},
);

my $cluster = Phrony::RedisCluster->form(
    node => sub { redis(cluster => 1, @_) });

$policy->store(\&at_master);

my @nginx = map { nginx(http => $SHOW, phrony => 'phrony_zone phrony:1m;'
    . " phrony_policy redis; phrony_redis ${\$cluster->url};"
    . ' phrony_policy_cache 1h;') } 1, 2;

await_store($_) for @nginx;


# A command to the master of its key.

sub at_master {
    my (@words) = @_;

    my $slot = Phrony::RedisCluster::slot_of($words[1]);

    return $cluster->await_master($slot)->call(@words);
}


# Those that have slots, as the first one that runs knows them.

sub masters {
    my ($node) = grep { $_->running } $cluster->nodes;
    my %ports = map { ($_->[2][1] => 1) } @{$node->call(CLUSTER => 'SLOTS')};

    return map { $cluster->at($_) } keys %ports;
}


# Until each worker is told of changes by each of them.

sub await_told {
    my $workers = map { $_->workers } @nginx;

    wait_for {
        !grep { !$_->running || $workers != grep { $_->{sub} } $_->clients }
            masters();
    } 20, 'workers to be told';
}


sub agent {
    my ($nginx, $key) = @_;

    return $nginx->client->req(GET => '/v1/agents/' . $policy->agent('open'),
        key => $policy->key($key))->status;
}


sub statuses {
    my ($keys) = @_;

    return {map { my $nginx = $_; map { (agent($nginx, $_) => 1) } @$keys }
        @nginx};
}


sub set_status {
    my ($key, $status) = @_;

    $policy->change(key => $key, status => $status);

    my ($record) = grep { $_->{id} eq $policy->key_id($key) }
        @{$policy->data->{keys}};

    at_master(SET => 'phrony:key:' . $policy->digest($key),
        encode_json($record));
}


# All of these keys are revoked and given back, each at its master.

sub acts {
    my ($name) = @_;

    is_deeply statuses(\@names), {200 => 1}, "$name: keys";

    for my $change ([revoked => 401], [active => 200]) {
        my ($status, $code) = @$change;

        set_status($_, $status) for @names;

        my $done = eval {
            wait_for { (keys %{statuses(\@names)})[0] == $code
                && keys %{statuses(\@names)} == 1 } 5, $status;
        };
        ok $done, "$name: $status at every gateway" or diag explain
            statuses(\@names);
    }
}


subtest 'all masters' => sub {
    my %masters = map { ($cluster->master(Phrony::RedisCluster::slot_of(
        'phrony:key:' . $policy->digest($_)))->port => 1) } @names;

    is keys %masters, 3, 'have keys';
    await_told();
    acts('as it is');
};


# Records go to another master, and back, with nobody who asks for them.

subtest 'a slot that moves' => sub {
    my $slot = Phrony::RedisCluster::slot_of('phrony:key:'
        . $policy->digest('key1'));
    my $old = $cluster->master($slot);
    my ($new) = grep { $_ != $old } masters();

    is_deeply statuses(\@names), {200 => 1}, 'keys before';
    $cluster->move($slot, $new);
    acts('moved');
    $cluster->move($slot, $old);
    acts('moved back');
};


subtest 'a new master' => sub {
    my $slot = Phrony::RedisCluster::slot_of('phrony:key:'
        . $policy->digest('key2'));
    my $node = $cluster->add;

    $cluster->meet($node);
    $cluster->await;
    is_deeply statuses(\@names), {200 => 1}, 'keys before';

    $cluster->move($slot, $node);
    is_deeply statuses(['key2']), {200 => 1}, 'a key there';
    await_told();
    acts('with it');
};


subtest 'a master is killed' => sub {
    $cluster->await;

    my $slot = Phrony::RedisCluster::slot_of('phrony:key:'
        . $policy->digest('key3'));
    my $old = $cluster->master($slot);

    is_deeply statuses(\@names), {200 => 1}, 'keys before';

    # whatever it is told, its replica has it

    is $old->call(WAIT => 1, 5000), 1, 'its replica has them';
    $old->kill;
    is_deeply statuses(\@names), {200 => 1}, 'keys without it';

    $cluster->await_master($slot, $old);
    await_told();
    acts('with its replica');
};


done_testing();
