#!/usr/bin/perl

# A Redis that is away, hangs, is slow, or says no to everybody.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;
use Phrony::Drill;
use Phrony::Fleet;

my $up = stand_in();

my $policy = policy(
    agents => {
        %{agents('down at start', 'killed', 'stopped', 'hung', 'slow',
            'a wrong password', 'loading')},
        busy => {rpdLimit => 1_000_000, maxConcurrentRuns => 100_000},
    },
    keys => {alice => {}, bob => {agents => ['warm']}},
);

my $redis = redis(password => 'sesame', start => 0);
my $proxy = redis_proxy($redis);
my $gateway = gateway(redis => $redis);
my %all = (gateway => $gateway, redis => $redis, policy => $policy);


drill('down at start', %all, down => 1,
    break => sub { },
    mend  => sub { $redis->start });

is remaining(start_run('down at start ends', key => 'alice'), 'rpd'), 97,
    'starts without Redis count there afterwards';


# Under load: everyone is answered, all that was admitted is counted.

sub busy {
    my ($client, $count) = @_;

    my $r = $client->req(start_request('busy', key => 'alice',
        stand_in => {delay => 0.01, finish => 'now'}), timeout => 20);

    $count->{$r->status}++;
    $count->{'store ' . $r->header('X-Store')}++;
}


sub wait_for_starts {
    my ($n) = @_;

    my $seen = $up->state->{requests};

    wait_for { $up->state->{requests} >= $seen + $n } 20, 'starts';
}


drill('killed', %all, mend => sub { $redis->start }, break => sub {
    my $count = under_load([$gateway->{nginx}], 6, \&busy, sub {
        wait_for_starts(100);
        $redis->kill;
        wait_for_starts(100);
    });

    is $count->{broken}, undef, 'every client was answered';
    is_deeply [grep { /^\d/ && $_ ne '202' } keys %$count], [],
        'and admitted';
    cmp_ok $count->{"store $_"}, '>=', 50, "by $_" for qw(redis local);
}, told => sub {
    my $agent = $policy->agent('busy');
    my $admitted = $up->requests(qr/$agent/);
    my (undef, $sum) = counted($redis, $policy, 'busy');

    # those that were on their way to Redis may count twice

    cmp_ok $sum, '>=', $admitted, 'all are counted';
    cmp_ok $sum, '<=', $admitted + 6, 'and none twice that need not';
    is taken($redis, $policy, 'busy'), 0, 'no slot is left';
});


drill('stopped', %all,
    break => sub { $redis->stop },
    mend  => sub { $redis->start });


# A worker waits for it once.

drill('hung', %all, break => sub {
    $redis->pause;

    my @r = map { start_run('warm', key => 'alice') } 1 .. 30;

    cmp_ok waits_of(@r), '>=', 1, 'somebody has waited';
    cmp_ok waits_of(@r), '<=', 2, 'for each worker once';
}, mend => sub { $redis->resume });


my $behind = gateway(redis => $redis->url(via => $proxy->address));

await_store($behind->{nginx});

drill('slow', %all, gateway => $behind,
    break => sub { $proxy->damage(late => 3) },
    mend  => sub { $proxy->heal });


# A drill may be over before a worker has tried again.

sub wait_for_log {
    my ($what) = @_;

    wait_for { $gateway->{nginx}->log =~ $what } 20, "$what in the log";
}


# The password is changed, and whoever is connected is put out.

sub password {
    my ($password) = @_;

    $redis->call(CONFIG => SET => requirepass => $password);
    $redis->call(qw(CLIENT KILL TYPE normal SKIPME yes));
}


drill('a wrong password', %all, break => sub {
    password('another');
    wait_for_log(qr/WRONGPASS/);
}, mend => sub { password('sesame') });

like $gateway->{nginx}->log, qr/\[error\].*WRONGPASS/, 'it is logged';
unlike $gateway->{nginx}->log, qr/sesame/, 'without the password';


# It has data that takes long to load, until it is told to make haste.  While
# it loads commands, it listens after each thousand of them; how often it does
# while it loads a snapshot can be said since 7.0 only.

drill('loading', %all, break => sub {
    $redis->call(DEBUG => POPULATE => 50_000, 'phrony:nothing', 100);
    $redis->call(CONFIG => SET => 'aof-use-rdb-preamble', 'no');
    $redis->call('BGREWRITEAOF');
    wait_for { $redis->info('persistence')->{aof_rewrite_in_progress} == 0
        && $redis->info('persistence')->{aof_rewrite_scheduled} == 0 } 10,
        'the file';
    $redis->kill;
    $redis->start(wait => 0, args => ['--key-load-delay', 200]);
    wait_for { eval { $redis->call('PING') } || $@ =~ /\ALOADING/ } 10,
        'the loading';
    like $@, qr/\ALOADING/, 'it loads';
    wait_for_log(qr/LOADING/);
}, mend => sub {

    # before 7.0 it cannot be told

    eval { $redis->call(CONFIG => SET => 'key-load-delay', 0) }
        || $redis->restart('KILL');
    $redis->await;
});

like $gateway->{nginx}->log, qr/LOADING/, 'it is logged';


done_testing();
