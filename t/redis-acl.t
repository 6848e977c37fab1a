#!/usr/bin/perl

# The users of conf-examples/redis-users.acl: a gateway has all that it needs,
# with policy in Redis, and Redis denies it nothing; and no more than that.

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

my %user = users("$FindBin::Bin/../conf-examples/redis-users.acl");
my $old = Phrony::Redis::version() < 7;

plan(skip_all => 'Redis 6 knows no permission to read alone') if $old;

is_deeply [sort keys %user], [qw(default gateway policy)], 'the users';
is $user{default}, 'off', 'nobody else';

my $redis = redis(users => [map { "$_ $user{$_}" } qw(gateway policy)]);
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

for my $command (['SET', 'phrony:key:' . '0' x 64, '{}'], ['DEL', 'phrony:{a}'],
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

done_testing();


sub users {
    my ($path) = @_;

    open my $file, '<', $path or die "$path: $!\n";

    return map { /\Auser (\S+) (.*)/ ? ($1 => $2) : die "$path: $_" } <$file>;
}


# What the log of denials has, as lists of names and values.

sub denied {
    return @{$redis->call(ACL => 'LOG')};
}
