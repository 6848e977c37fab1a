#!/usr/bin/perl

# The users of conf-examples/redis-users.acl: a gateway has all that it needs,
# with policy in Redis, and Redis denies it nothing; and no more than that.  What
# it has written is there again after a restart.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;
use Phrony::Fleet;

my $up = stand_in();

my $policy = policy(
    agents => {
        starts => {rpmLimit => 5, rpdLimit => 100, maxConcurrentRuns => 3,
            readRpmLimit => 3},
        warm => {rpdLimit => 1_000_000},
    },
    keys => {alice => {}},
);

my $file = "$FindBin::Bin/../conf-examples/redis-users.acl";
my %user = users($file);
my $old = Phrony::Redis::version() < 7;

plan(skip_all => 'Redis 6 knows no permission to read alone') if $old;

is_deeply [sort keys %user], [qw(default gateway operator policy)], 'the users';
like $user{default}, qr/\Aoff /, 'nobody else';

my $redis = redis(users => [map { "$_ $user{$_}" }
    qw(gateway policy operator)]);
my $writer = $redis->client(user => 'policy', password => 'CHANGE-ME-TOO');
my $gateway = $redis->client(user => 'gateway', password => 'CHANGE-ME');

$policy->store(sub { $writer->call(@_) });

my $nginx = nginx(http => $SHOW, location =>
    'location = /status { phrony_status; }',
    phrony => 'phrony_zone phrony:1m; phrony_policy redis; phrony_redis '
        . $redis->url(user => 'gateway', password => 'CHANGE-ME') . ';');

await_store($nginx);

my @runs = map { start_run('starts', key => 'alice') } 1 .. 4;

is_deeply [map { $_->status } @runs], [202, 202, 202, 429], 'starts';
is_deeply [map { poll($runs[0]->json->{runId}, key => 'alice')->status }
    1 .. 4], [200, 200, 200, 429], 'reads';

becomes { taken($redis, $policy, 'starts') == 3 } 'bound';

poll($runs[1]->json->{runId}, key => 'alice',
    stand_in => {set => {status => 'Completed'}});

# a changed record acts without being asked for: the channel works

$writer->call(SET => 'phrony:workspace:' . $policy->workspace('main'),
    encode_json({id => $policy->workspace('main'), status => 'suspended'}));

becomes { start_run('starts', key => 'alice')->status == 403 }
    'a change is told';

$redis->call(SCRIPT => 'FLUSH');
$policy->store(sub { $writer->call(@_) });

becomes { start_run('warm', key => 'alice')->status == 202 }
    'scripts are loaded again';

is_deeply [map { "$_->[1] $_->[3] $_->[5]" } denied()], [],
    'Redis denied nothing';

my $status = $nginx->client->req(GET => '/status')->json->{redis};

is $status->{errors}, 0, 'no error';
cmp_ok $status->{reloaded}, '>', 0, 'but for scripts that were not there';

# what the gateway must not

for my $command (['SET', 'phrony:key:' . '0' x 64, '{}'],
    ['DEL', 'phrony:key:' . '0' x 64], ['DEL', 'other'],
    ['GET', 'other'], ['FLUSHALL'], ['CONFIG', 'GET', '*'], ['KEYS', '*'],
    ['ACL', 'LIST'], ['CLIENT', 'KILL', 'TYPE', 'normal'], ['SHUTDOWN'],
    ['SUBSCRIBE', 'other'], ['PUBLISH', '__redis__:invalidate', 'a'],
    ['SCRIPT', 'FLUSH'],
    ['EVAL', 'return redis.call("SET", KEYS[1], "")', 1,
        'phrony:key:' . '0' x 64])
{
    ok !eval { $gateway->call(@$command); 1 }, "the gateway may not: @$command"
        and like $@, qr/NOPERM|permission/, 'since it is not allowed';
}

ok !eval { $writer->call(GET => 'phrony:{a}:window:b'); 1 },
    'whoever writes the policy does not see counts';

my $operator = $redis->client(user => 'operator',
    password => 'CHANGE-ME-AS-WELL');

is scalar @{slots($operator)}, 3, 'an operator sees runs';
is $operator->call(DEL => window_key($policy, 'starts')), 1,
    'and gives a trigger its minute and day back';
ok !eval { $operator->call(GET => 'phrony:key:' . '0' x 64); 1 },
    'but sees no keys';


# With the file as it is, and the persistence that docs/redis.md advises.

subtest 'a restart' => sub {
    my $redis = redis(conf => "aclfile $file", start => 0);

    start_of($redis);

    for my $who ([], [password => 'x'], [user => 'other', password => 'x']) {
        ok !eval { $redis->client(@$who)->call('PING'); 1 },
            "@$who: nobody is let in";
        like $@, qr/NOAUTH|WRONGPASS/, 'without a password';
    }

    $policy->store(sub { client_of($redis, 'policy')->call(@_) });

    my $nginx = nginx(http => $SHOW, phrony => 'phrony_zone phrony:1m;'
        . ' phrony_policy redis; phrony_redis '
        . $redis->url(user => 'gateway', password => 'CHANGE-ME') . ';');

    await_store($nginx);

    my %alice = (key => 'alice', at => $nginx->client);
    my @runs = map { start_run('starts', %alice) } 1 .. 3;

    is remaining($runs[2], 'rpd'), 97, 'starts';
    becomes { @{slots(client_of($redis, 'operator'))} == 3 } 'bound';

    $redis->stop;
    start_of($redis);
    await_store($nginx);

    is scalar @{slots(client_of($redis, 'operator'))}, 3, 'runs are there';

    my $r = start_run('starts', %alice);

    is $r->header('X-Store'), 'redis', 'Redis decides';
    is $r->status, 429, 'and knows the runs';
    is remaining($r, 'rpd'), 97, 'and the starts';
};

done_testing();


sub users {
    my ($path) = @_;

    open my $file, '<', $path or die "$path: $!\n";

    return map { /\Auser (\S+) (.*)/ ? ($1 => $2) : die "$path: $_" } <$file>;
}


# Nobody but these users may ask whether it is there.

sub start_of {
    my ($redis) = @_;

    $redis->start(wait => 0);
    wait_for { eval { client_of($redis, 'gateway')->call('PING') } } 20,
        'a Redis';
}


sub client_of {
    my ($redis, $user) = @_;

    my ($password) = $user{$user} =~ />(\S+)/;

    return $redis->client(user => $user, password => $password);
}


sub slots {
    my ($client) = @_;

    return $client->call(ZRANGEBYSCORE => runs_key($policy, 'starts'), 0,
        '+inf');
}


# What the log of denials has, as lists of names and values.

sub denied {
    return @{$redis->call(ACL => 'LOG')};
}
