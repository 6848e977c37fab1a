#!/usr/bin/perl

# A Redis that answers, but not with a decision: by errors, half a reply, or
# what is no reply at all.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;
use Phrony::Drill;
use Phrony::Fleet;

my $up = stand_in();

my %garbage = (
    'no RESP'        => "HTTP/1.1 400 Bad Request\r\n\r\n",
    'a bad length'   => "*-7\r\n",
    'a long list'    => "*100000000\r\n",
    'zeros'          => "\0" x 64,
);

my %shape = (
    'a status'       => "+OK\r\n",
    'nil'            => "\$-1\r\n",
    'too short'      => "*2\r\n:1\r\n:1\r\n",
    'texts'          => '*9' . "\r\n" . "\$1\r\n1\r\n" x 9,
    'other version'  => '*9' . "\r\n" . ":99\r\n" . ":1\r\n" x 8,
    'negative'       => '*9' . "\r\n" . ":1\r\n" . ":-5\r\n" x 8,
);

my %errors = (
    'no memory'      => ['OOM', [CONFIG => SET => maxmemory => 1],
        [CONFIG => SET => maxmemory => 0]],
    'a replica'      => ['READONLY', [REPLICAOF => '127.0.0.1', 9],
        [REPLICAOF => NO => 'ONE']],
    'no replicas'    => ['NOREPLICAS',
        [CONFIG => SET => 'min-replicas-to-write' => 1],
        [CONFIG => SET => 'min-replicas-to-write' => 0]],
    'not allowed'    => ['NOPERM', [ACL => SETUSER => gateway => '-evalsha'],
        [ACL => SETUSER => gateway => '+evalsha']],
);

my @drills = ('mid-reply', 'within', 'a long text', 'the disk',
    sort(keys %garbage, keys %shape, keys %errors));

my $policy = policy(
    agents => {
        %{agents(@drills)},
        wrong => {rpdLimit => 10},
        right => {rpdLimit => 10},
        full  => {rpdLimit => 1},
    },
    keys => {alice => {}, bob => {agents => ['warm']}},
);

my $redis = redis(users => ['gateway on >sesame ~* &* +@all']);
my $proxy = redis_proxy($redis);
my $brief = gateway(timeout => '200ms', redis => $redis->url(
    via => $proxy->address, user => 'gateway', password => 'sesame'));
my $gateway = gateway(redis => $redis->url(via => $proxy->address,
    user => 'gateway', password => 'sesame'));
my $nginx = $gateway->{nginx};
my %all = (gateway => $gateway, redis => $redis, policy => $policy,
    mend => sub { $proxy->heal });

await_store($_->{nginx}) for $gateway, $brief;


drill('within', %all, break => sub {
    $proxy->damage(end => 'within', times => 0, reset => 1);
});

drill('mid-reply', %all, reads => 'maybe', break => sub {
    $proxy->damage(end => 'within', times => 0, on => 'EVALSHA');
});


for my $name (sort keys %garbage) {
    my $mark = $nginx->log_size;

    drill($name, %all, break => sub {
        $proxy->damage(reply => $garbage{$name}, times => 0, on => 'EVALSHA');
    }, reads => 'maybe');

    like $nginx->log_since($mark), qr/\[error\].*redis/i, 'it is logged';
}


# It might go on, so it is waited for.

drill('a long text', %all, gateway => $brief, reads => 'maybe', waits => 1,
    break => sub {
        $proxy->damage(reply => "\$4294967296\r\n", times => 0,
            on => 'EVALSHA');
    });


# Each worker says so at most once a second: it is asked until it does.

sub is_logged {
    my ($mark, $pattern) = @_;

    becomes { start_run('warm', key => 'alice');
        $nginx->log_since($mark) =~ $pattern } 'it is logged';
}


# Whole replies that say nothing.

for my $name (sort keys %shape) {
    drill($name, %all, break => sub {
        my $mark = $nginx->log_size;

        $proxy->damage(reply => $shape{$name}, times => 0, on => 'EVALSHA');
        is_logged($mark, qr/\[error\].*redis answered/);
    }, reads => 1);
}


# Errors: the connection stands, unless another server is needed.

sub of_nginx {
    return join ' ', sort map { $_->{id} } grep { $_->{user} eq 'gateway' }
        $redis->clients;
}


for my $name (sort keys %errors) {
    my ($said, $break, $mend) = @{$errors{$name}};
    my $before = of_nginx();

    drill($name, %all, reads => $said eq 'READONLY' ? 'maybe' : 1,
        break => sub {
            my $mark = $nginx->log_size;
            $redis->call(@$break);
            is_logged($mark, qr/\[error\].*$said/);
        },
        mend => sub { $redis->call(@$mend) });

    is of_nginx(), $before, 'on the same connections'
        if $said !~ /READONLY/;
}


# As root one can write anywhere, but not over a directory.

drill('the disk', %all, reads => 1, break => sub {
    mkdir $redis->dir . '/dump.rdb' or die "mkdir: $!\n";
    $redis->call(CONFIG => SET => save => '3600 1');
    $redis->call('BGSAVE');
    wait_for { $redis->info('persistence')->{rdb_last_bgsave_status} eq 'err' }
        10, 'it';
}, mend => sub {
    $redis->call(CONFIG => SET => save => '');
    rmdir $redis->dir . '/dump.rdb';
});


subtest 'an error for one' => sub {
    my $before = of_nginx();
    my $mark = $nginx->log_size;

    $redis->call(LPUSH => window_key($policy, 'wrong'), 'x');

    my $r = start_run('wrong', key => 'alice');
    is_deeply [$r->status, $r->header('X-Store'), remaining($r, 'rpd')],
        [202, 'local', 9], 'local';
    problem_is(start_run('wrong', key => 'alice', at => $gateway->{deny}), 503,
        'store_unavailable', 'deny');
    becomes { start_run('wrong', key => 'alice');
        $nginx->log_since($mark) =~ /\[error\].*WRONGTYPE/ } 'it is logged';
    unlike $nginx->log_since($mark), qr/\Q${\join '|', map {
        substr $policy->key($_), 4 } qw(alice)}\E/, 'without the key';

    is start_run('right', key => 'alice', at => $gateway->{$_})
        ->header('X-Store'), 'redis', "$_: others are as before"
        for qw(local deny);
    is of_nginx(), $before, 'on the same connections';

    $redis->call(DEL => window_key($policy, 'wrong'));
    becomes { start_run('wrong', key => 'alice')->header('X-Store') eq 'redis' }
        'until it is mended';
};


subtest 'a reply that nobody has asked for' => sub {
    my $before = of_nginx();

    for my $reply ("*9\r\n" . ":1\r\n" x 9, "+OK\r\n", "-ERR x\r\n") {
        my $mark = $nginx->log_size;

        $proxy->say($reply);
        ok eval { wait_for { $nginx->log_since($mark) =~ /\[error\].*redis/i }
            10, 'it'; }, 'is logged';
        await_store($nginx, 'redis');
        isnt of_nginx(), $before, 'and ends the connection';
        $before = of_nginx();
    }

    is start_run('full', key => 'alice')->status, 202, 'decisions';
    problem_is(start_run('full', key => 'alice'), 429, 'rate_limited',
        'are those of Redis');
};


done_testing();
