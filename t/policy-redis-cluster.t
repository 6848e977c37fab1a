#!/usr/bin/perl

# Policy in a Redis Cluster: the records of one key are on all masters, each of
# which tells of changes to its own.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;
use Phrony::Fleet;
use Phrony::RedisCluster;

my $up = stand_in();

my @keys = map { "key$_" } 1 .. 12;

my $policy = policy(
    agents => {warm => {rpdLimit => 1_000_000},
        map { ("agent$_" => {rpmLimit => 100}) } 1 .. 6},
    keys   => {alice => {}, map { $_ => {} } @keys},
);

my $cluster = Phrony::RedisCluster->form(
    node => sub { redis(cluster => 1, @_) });

$policy->store(\&call);

# One uses for an hour what it was not told to have changed, one for a moment.

my @nginx = map { nginx(http => $SHOW, phrony => "phrony_zone phrony:1m;
    phrony_policy redis; phrony_policy_cache $_;
    phrony_redis ${\$cluster->url};") } qw(1h 1s);

await_store($_) for @nginx;
await_told();


# A command for the node that has its key, which comes first.

sub call {
    my ($command, $key, @words) = @_;

    return master_of($key)->call($command, $key, @words);
}


sub master_of {
    return $cluster->master(Phrony::RedisCluster::slot_of($_[0]));
}


sub masters {
    my %masters = map { $_->port => $_ } map { master_of($_) }
        map { record($_) } @keys, map { "agent$_" } 1 .. 6;

    return values %masters;
}


# Until each worker is told of changes by each master.

sub await_told {
    wait_for {
        !grep { @nginx * 2 != grep { $_->{sub} } $_->clients } masters()
    } 20, 'workers that are told by each master';
}


# Where a key or a trigger is.

sub record {
    my ($name) = @_;

    return $name =~ /\Aagent/ ? 'phrony:trigger:' . $policy->trigger($name)
        : 'phrony:key:' . $policy->digest($name);
}


sub put {
    my ($name, %members) = @_;

    my $kind = $name =~ /\Aagent/ ? 'agent' : 'key';

    $policy->change($kind, $name, %members);

    my ($record) = grep { ($_->{sha256} // '') eq $policy->digest($name)
        || $_->{id} eq $policy->trigger($name) }
        @{$policy->data->{keys}}, @{$policy->data->{triggers}};

    call(SET => record($name), encode_json($record));
}


sub status {
    my ($nginx, $key, $agent) = @_;

    return $nginx->client->req(GET => '/v1/agents/' . $policy->agent($agent),
        key => $policy->key($key))->status;
}


subtest 'records are everywhere' => sub {
    is scalar(masters()), 3, 'on all masters';

    for my $nginx (@nginx) {
        is_deeply [map { status($nginx, $_, 'agent1') } @keys],
            [(200) x @keys], 'and each key is good';
        is status($nginx, 'nobody', 'agent1'), 401, 'but for those there are not';
    }
};


subtest 'each master tells' => sub {
    for my $key (@keys) {
        put($key, status => 'revoked');
        becomes { status($_, $key, 'agent1') == 401 } "$key is revoked"
            for @nginx;
    }

    put($_, status => 'active') for @keys;

    for my $key (@keys) {
        becomes { status($_, $key, 'agent1') == 200 } "$key is good"
            for @nginx;
    }

    for my $agent (map { "agent$_" } 1 .. 6) {
        call(DEL => record($agent));
        becomes { status($_, 'key1', $agent) == 403 } "$agent is gone"
            for @nginx;
        put($agent);
        becomes { status($_, 'key1', $agent) == 200 } "$agent is back"
            for @nginx;
    }
};


subtest 'a master is lost' => sub {
    my $slot = Phrony::RedisCluster::slot_of(record('key1'));
    my $lost = $cluster->master($slot);
    my @there = grep { master_of(record($_)) == $lost } @keys;

    cmp_ok scalar @there, '>', 0, 'it has ' . @there . ' keys';

    $lost->kill;

    is_deeply [map { status($nginx[0], $_, 'agent1') } @keys],
        [(200) x @keys], 'what was known is good';
    is_deeply [map { status($nginx[1], $_, 'agent1') } @keys],
        [(200) x @keys], 'for those that ask, too';

    $cluster->await_master($slot, $lost);
    await_told();

    for my $key (@there) {
        put($key, status => 'revoked');
        becomes { status($_, $key, 'agent1') == 401 } "$key is revoked"
            for @nginx;
    }
};


done_testing();
