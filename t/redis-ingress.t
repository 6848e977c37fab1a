#!/usr/bin/perl

# "phrony_ingress_log redis": all gateways write the attempts at a trigger into
# one stream, which is capped and lives for a time; it has neither key nor
# input; and it costs no start anything when Redis says no or is away.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;
use Phrony::Fleet;
use Phrony::RedisCluster;

my $up = stand_in();

my $policy = policy(
    agents => {
        alpha => {rpmLimit => 60}, rate => {rpmLimit => 0},
        map { $_ => {} } qw(warm beta many off away denied shifted paged),
    },
    keys => {
        alice => {clear => 'phk_sesame_alice'},
        bob   => {clear => 'phk_sesame_bob', agents => ['beta']},
    },
);

my @FIELDS = qw(id outcome reason key client agent duplicate run status latency
    gateway);

my $WEEK = 7 * 86_400;


sub stream_key { Phrony::Fleet::_key('ingress', $policy, @_) }


# The entries of a trigger: hashes, with the members in order as "names".

sub entries {
    my ($redis, $agent, %opt) = @_;

    my $list = $redis->call(XRANGE => stream_key($agent, %opt), '-', '+');

    return map {
        my ($time, $pairs) = @$_;
        my @names = @$pairs[grep { $_ % 2 == 0 } 0 .. $#$pairs];
        +{@$pairs, time => $time, names => \@names};
    } @$list;
}


# So many of them, once they are there.

sub await_entries {
    my ($n, @of) = @_;

    my @entries;

    wait_for { (@entries = entries(@of)) >= $n } 5, "$n entries of $of[1]";

    return @entries;
}


sub figures { $_[0]->client->req(GET => '/status')->json }
sub ingress { figures(@_)->{ingress} }


# The figures of the log, when each start that was admitted is one of them.

sub settled {
    my ($nginx) = @_;

    my ($all, $log);

    wait_for {
        $all = figures($nginx);
        $log = $all->{ingress};
        $all->{requests}{admitted} == $log->{logged} + $log->{dropped};
    } 5, 'all to be told';

    return $log;
}


my $redis = redis();
my %gateway = (
    phrony   => "phrony_zone phrony:1m; phrony_policy file={{policy_path}};
        phrony_ingress_log redis;",
    http     => "$SHOW limit_req_zone \$phrony_trigger_id zone=one:1m
        rate=1r/m; limit_req_zone \$server_port zone=all:1m rate=1r/m;",
    location => 'location = /status { phrony_status; }',
    server   => 'location = /v1/agents/' . $policy->agent('many') . '/runs {
            phrony on;
            phrony_ingress_log redis maxlen=100;
            proxy_pass http://{{upstream_name}};
        }
        location = /v1/agents/' . $policy->agent('off') . '/runs {
            phrony on;
            phrony_ingress_log off;
            proxy_pass http://{{upstream_name}};
        }
        location = /v1/agents/' . $policy->agent('beta') . '/runs {
            phrony on;
            limit_req zone=one;
            proxy_pass http://{{upstream_name}};
        }
        location = /v1/agents/' . $policy->agent('paged') . '/runs {
            phrony on;
            set $ingress_route $phrony_route;
            limit_req zone=all;
            error_page 503 /problem;
            proxy_pass http://{{upstream_name}};
        }
        location = /problem { internal; phrony off; return 200; }',
);

my ($one, $two) = map { nginx(%gateway, redis => $redis, workers => 1) } 1, 2;

await_store($_) for $one, $two;

# what came before Redis was there, if anything

my $early = settled($one)->{dropped} + settled($two)->{dropped};


subtest 'two gateways, one stream' => sub {
    my %id = (headers => ['Idempotency-Key' => 'one', 'User-Agent' =>
        'sesame/1 ' . $policy->key('alice') . "\xff" . 'x' x 200]);
    my @sent = (
        start_run('alpha', key => 'alice', at => $one, %id),
        start_run('alpha', key => 'alice', at => $one, %id),
        start_run('alpha', key => 'alice', at => $two, body => '{"phk_sesame":'),
        start_run('alpha', key => 'alice', at => $two,
            stand_in => {status => 500}),
    );
    my @entries = await_entries(4, $redis, 'alpha');

    is scalar @entries, 4, 'an entry each';
    is_deeply $_->{names}, \@FIELDS, 'with all fields, in order' for @entries;
    is_deeply [sort map { $_->{status} } @entries], [202, 202, 400, 500],
        'what the clients got';

    my %by = map { ("$_->{outcome} $_->{status}" => $_) } @entries;
    my ($first, $again, $broken, $failed) = @by{'admitted 202',
        'replayed 202', 'refused 400', 'admitted 500'};
    my $run = $sent[0]->json->{runId};

    is_deeply [map { [@$_{qw(outcome reason duplicate run)}] } $first, $again,
        $broken, $failed], [
            ['admitted', '', '', $run],
            ['replayed', '', 'done', $run],
            ['refused', 'body_invalid', '', ''],
            ['admitted', '', '', ''],
        ], 'what became of them';

    is $broken->{id}, $sent[2]->json->{instance}, 'the id of the request';
    is $first->{agent}, 'sesame/1 phk_***?' . 'x' x 111, 'the agent, cut';
    is $failed->{agent}, '', 'or none';
    is $first->{client}, '127.0.0.0/24', 'the client, redacted';
    is $first->{key}, $policy->key_id('alice'), 'the id of the key';
    like $first->{latency}, qr/\A\d{1,4}\z/, 'the latency';
    like $first->{gateway}, qr/\A\S+\z/, 'the gateway';

    my ($second) = @{$redis->call('TIME')};
    my ($ms) = $first->{time} =~ /\A(\d+)-\d+\z/;

    cmp_ok abs($ms - 1000 * $second), '<', 60_000, 'the time';

    my $ttl = $redis->call(TTL => stream_key('alpha'));

    cmp_ok $ttl, '<=', $WEEK, 'it lives for a week';
    cmp_ok $ttl, '>', $WEEK - 60, 'from the last attempt on';
};


subtest 'other attempts' => sub {
    start_run('rate', key => 'alice', at => $one);
    start_run('alpha', key => 'bob', at => $one);
    start_run('alpha', at => $one);
    start_run('alpha', key => 'alice', at => $one, body => '{}',
        headers => ['X-HTTP-Method' => 'PUT']);
    start_run('beta', key => 'bob', at => $one) for 1, 2;
    start_run('paged', key => 'alice', at => $one) for 1, 2;
    poll($_, key => 'alice', at => $one)
        for map { $_->{run} || () } entries($redis, 'alpha');

    my @beta = await_entries(2, $redis, 'beta');
    my ($rate) = await_entries(1, $redis, 'rate');

    is_deeply [@$rate{qw(outcome reason status)}],
        ['refused', 'rate_limited', 429], 'a limit';
    is_deeply [map { [@$_{qw(outcome status)}] } @beta],
        [['admitted', 202], ['', 503]], 'refused by another module';
    is_deeply [map { [@$_{qw(outcome status)}] }
        await_entries(2, $redis, 'paged')], [['admitted', 202], ['', 503]],
        'the same, with a page elsewhere';
    is scalar entries($redis, 'alpha'), 4,
        'none by who may not use the trigger, and none of reads';

    start_run('off', key => 'alice', at => $one);
    start_run('alpha', key => 'alice', at => $one);
    await_entries(5, $redis, 'alpha');

    is scalar entries($redis, 'off'), 0, 'off';
};


# Redis trims whole nodes of 100 entries.

subtest 'capped' => sub {
    for (1 .. 5) {
        $one->client->parallel(map { [start_request('many', key => 'alice')] }
            1 .. 100);
    }

    wait_for { ingress($one)->{logged} >= 500 } 5, '500 entries';

    my $length = $redis->call(XLEN => stream_key('many'));

    cmp_ok $length, '>=', 100, 'the last hundred are there';
    cmp_ok $length, '<=', 200, 'and not many more';
};


subtest 'what is in Redis' => sub {
    my @eternal = $redis->eternal;

    is_deeply \@eternal, [], 'no key is without a time to live';
    is ingress($one)->{dropped} + ingress($two)->{dropped}, $early,
        'nothing was dropped';

    for my $entry (map { entries($redis, $_) } qw(alpha beta rate many)) {
        my $text = join ' ', map { $entry->{$_} } @FIELDS;

        next if $text =~ /\A[\x20-\x7e]*\z/ && $text !~ /phk_sesame|hello/;

        fail 'no key, no input, printable';
        last;
    }
};


subtest 'Redis is away' => sub {
    my $pid = ($one->workers)[0];

    $redis->kill;

    wait_for { start_run('warm', key => 'alice', at => $one)
        ->header('X-Store') eq 'local' } 10, 'no store';

    my $dropped = ingress($one)->{dropped};

    is_deeply [map { start_run('away', key => 'alice', at => $one)->status }
        1 .. 5], [(202) x 5], 'starts go on';
    wait_for { ingress($one)->{dropped} >= $dropped + 5 } 5, 'the count';
    is ingress($one)->{dropped}, $dropped + 5, 'each entry is counted';

    $redis->start;
    await_store($one);

    start_run('away', key => 'alice', at => $one);

    is scalar await_entries(1, $redis, 'away'), 1,
        'nothing is told afterwards';
    is +($one->workers)[0], $pid, 'the worker is the same';
};


# Refusals that ask nobody are logged all the same: no more of them wait for a
# Redis that hangs than starts can spare.

subtest 'Redis hangs' => sub {
    my $redis = redis();
    my $nginx = nginx(%gateway, redis => $redis, workers => 1,
        http => "$gateway{http} phrony_redis_timeout 30s;");

    await_store($nginx);

    my ($before, $early) = @{settled($nginx)}{qw(logged dropped)};
    my $now;

    $redis->pause;

    for (1 .. 11) {
        my @answers = $nginx->client->parallel(map { [start_request('many',
            key => 'alice', body => 'x')] } 1 .. 100);

        is_deeply [grep { $_->status != 400 } @answers], [], 'refused';
    }

    is ingress($nginx)->{dropped}, $early + 1100 - 1024, 'some are dropped';

    $redis->resume;

    wait_for { $now = ingress($nginx); $now->{logged} >= $before + 1024 } 10,
        'the rest';
    is $now->{dropped}, $early + 1100 - 1024, 'the rest is told';
    is start_run('alpha', key => 'alice', at => $nginx)->header('X-Store'),
        'redis', 'by the same connection';
    wait_for { ingress($nginx)->{logged} == $before + 1025 } 5,
        'room for another one';
};


# A stream that is none: the entry is dropped, the start is not.

subtest 'Redis says no' => sub {
    $redis->call(SET => stream_key('denied'), 'x', EX => 60);

    my $dropped = ingress($one)->{dropped};
    my $r = start_run('denied', key => 'alice', at => $one);

    is $r->status, 202, 'a start';
    wait_for { ingress($one)->{dropped} == $dropped + 1 } 5, 'the count';
    like $one->log, qr/redis answered to an entry of the ingress log: "WRONGT/,
        'it is logged';
    is start_run('denied', key => 'alice', at => $one)->header('X-Store'),
        'redis', 'the connection stands';
};


# The gateway's user of the example may do all this, and its operator may read.

subtest 'users' => sub {
    plan(skip_all => 'Redis 6 knows no permission to read alone')
        if Phrony::Redis::version() < 7;

    my $file = "$FindBin::Bin/../conf-examples/redis-users.acl";
    my %user = do { local @ARGV = $file; map { /\Auser (\S+) (.*)/ } <> };

    my $redis = redis(users => [map { "$_ $user{$_}" } qw(gateway operator)]);
    my $nginx = nginx(%gateway, redis =>
        $redis->url(user => 'gateway', password => 'CHANGE-ME'));

    await_store($nginx);
    start_run('alpha', key => 'alice', at => $nginx);
    await_entries(1, $redis, 'alpha');

    is_deeply $redis->call(ACL => 'LOG'), [], 'Redis denied nothing';
    cmp_ok $redis->call(TTL => stream_key('alpha')), '>', 0, 'it has its time';

    my $operator = $redis->client(user => 'operator',
        password => 'CHANGE-ME-AS-WELL');
    my $key = stream_key('alpha');

    is scalar @{$operator->call(XREVRANGE => $key, '+', '-', COUNT => 5)}, 1,
        'the operator reads it';
    ok !eval { $operator->call(XADD => $key, '*', a => 'b'); 1 },
        'but does not write';
};


subtest 'a cluster' => sub {
    my $cluster = Phrony::RedisCluster->form(
        node => sub { redis(cluster => 1, @_) });
    my $nginx = nginx(%gateway, redis => $cluster->url);

    await_store($nginx);

    my $early = ingress($nginx)->{dropped};

    start_run('alpha', key => 'alice', at => $nginx) for 1 .. 3;

    my $slot = Phrony::RedisCluster::slot_of($policy->workspace('main'));
    my $master = $cluster->master($slot);

    is scalar await_entries(3, $master, 'alpha'), 3, 'on the node of its slot';
    cmp_ok $master->call(TTL => stream_key('alpha')), '>', 0,
        'with a time to live';
    is ingress($nginx)->{dropped}, $early, 'nothing was dropped';
};


done_testing();
