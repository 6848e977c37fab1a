#!/usr/bin/perl

# Crash drills with two gateways and a Redis: a worker, a whole gateway, a
# connection or Redis itself dies while what is said about leases is on its way:
# before Redis has it, and after, when the reply is not heard yet.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;
use Phrony::Crash;
use Phrony::Fleet;
use Phrony::Runs;

my @TTLS = qw(long short);
my @POINTS = qw(waits bound unknown asked answered refused polled streamed
    renewed);
my @DEATHS = qw(worker gateway connection always everysec);
my @LOSSY = qw(waits bound polled);
my %HOLD = (before => 'commands', after => 'replies');

my $up = stand_in();

my $policy = policy(
    agents => {
        %{crash_agents([map { ("$_ before", "$_ after") } @DEATHS], @POINTS)},
        %{crash_agents([map { ("away $_ before", "away $_ after") }
            qw(worker gateway always)], 'told')},
        %{crash_agents(['lossy'], @LOSSY)},
        warm => {rpdLimit => 1_000_000},
    },
    keys => {alice => {}},
);

my $redis = redis();
my $proxy = redis_proxy($redis);

# nobody gives up before the test does

my %gateway = map { $_->[0] => nginx(crash_servers(redis => $_->[1],
    http => "$SHOW phrony_redis_timeout 20s;")) }
    ['first', 'redis://' . $proxy->address], ['second', $redis];

my ($first, $second) = @gateway{qw(first second)};

await_store($_) for $first, $second;


my @scenes;

sub scene_of {
    my ($name, @nginx) = @_;

    @nginx = ($first, $second) if !@nginx;
    push @scenes, Phrony::Crash->new(scene => $name, up => $up,
        policy => $policy, at => $nginx[0], nginx => [@nginx]);

    return $scenes[-1];
}


sub slots {
    my ($scene, $name) = @_;

    return taken($redis, $policy, "$scene->{scene} $name");
}


# All has been told that can be.

sub settled {
    my ($scene) = @_;

    await_store($_) for @{$scene->{nginx}};
    wait_for { $scene->untold == 0 } 20, 'nothing to be left to tell';
}


# Starts and runs at the points at which nothing is on its way to Redis, but
# that of which it will be.

sub set_up {
    my ($scene) = @_;

    $scene->bystanders(@POINTS);

    $scene->begin($_, hold => 1) for qw(waits answered);
    $scene->begin('refused', hold => 1, status => 400);
    $scene->arrived(qw(waits answered refused));

    $scene->begin($_) for qw(bound polled streamed renewed);
    $scene->begin('unknown', status => 502);
    is_deeply $scene->answers(qw(bound polled streamed renewed unknown)),
        [(202) x 8, 502, 502], 'the answers';
    $scene->watch('streamed');
    settled($scene);

    is_deeply {map { $_ => slots($scene, "$_ long") } @POINTS},
        {(map { $_ => 2 } @POINTS), asked => 1}, 'the slots';
}


# Does something of which Redis is to be told, by so many commands, until they
# are held on their way.

sub under_way {
    my ($n, $what, $code) = @_;

    my $held = $proxy->state->{held};

    wait_for { $code->(); $proxy->state->{held} >= $held + $n } 10, $what;
}


# All that is on its way when somebody dies.

sub set_off {
    my ($scene, $hold) = @_;

    my %run = map { my $point = $_; map { ("$point $_" =>
        $scene->run_at($point, $_)) } @TTLS } @POINTS;

    $proxy->damage(hold => $hold, on => 'EVALSHA');

    under_way(2, 'asked', sub { $scene->begin('asked')
        if !$scene->{open}{'asked long'} });

    for my $ttl (@TTLS) {
        under_way(2, 'answered', sub { $up->release($run{"answered $ttl"}) });
        under_way(1, 'refused', sub { $up->release($run{"refused $ttl"}) });

        my ($polled, $streamed) = map { $run{"$_ $ttl"} } qw(polled streamed);

        $scene->over($polled);
        under_way(1, 'polled', sub { poll($polled, key => 'alice',
            at => $scene->client_of($ttl)) });
        under_way(1, 'streamed', sub { $scene->over($streamed) });
    }

    # a lease that is brief is soon renewed

    under_way(1, 'renewed', sub { poll($run{'renewed short'}, key => 'alice',
        at => $scene->client_of('short')) });

    is_deeply $scene->answers(qw(answered refused)), [202, 202, 400, 400],
        'the upstream has answered';
}


# Only those die whom nginx or Redis does not see coming.

sub kill_redis {
    my ($scene) = @_;

    $redis->kill;
    $proxy->heal;
    await_store($_, 'local') for $first, $second;

    # the first gateway goes on with what it knew

    $scene->{nginx} = [$first];
    $scene->free_is("$_ long", free_after('redis', '')->{$_} // 0)
        for $scene->points;
    $scene->{nginx} = [$first, $second];

    $up->release($scene->run_at('waits', 'long'))
        if $scene->run_at('waits', 'long');

    $redis->start;
}


my %DIE = (
    worker     => sub { $first->kill_worker; $proxy->heal },
    gateway    => sub { kill_gateway($first); $proxy->heal },
    connection => sub { $proxy->cut; $proxy->heal },
    always     => \&kill_redis,
    everysec   => \&kill_redis,
);


# Which slots are free then: at each point one is taken by a run beside it.  What
# is not told dies with the worker that was to tell it.

sub free_after {
    my ($death, $moment) = @_;

    my $lost = $death =~ /worker|gateway/ && $moment eq 'before';

    return {
        (map { $_ => 0 } @POINTS),
        asked => $lost ? 1 : 0,
        map { $_ => $lost ? 0 : 1 } qw(refused polled streamed),
    };
}


sub drill {
    my ($death, $moment) = @_;

    my $scene = scene_of("$death $moment");
    my $free = free_after($death, $moment);
    my $cut = $death =~ /worker|gateway/;

    $redis->call(CONFIG => SET => appendfsync => $death)
        if $DIE{$death} == \&kill_redis;

    set_up($scene);
    set_off($scene, $HOLD{$moment});

    wait_for { $redis->info('persistence')->{aof_buffer_length} == 0 } 10,
        'what is done to be in the file';

    $DIE{$death}->($scene);
    $up->release($scene->run_at('waits', $_)) for @TTLS;
    is_deeply $scene->answers(qw(asked waits)), [($cut ? 'cut' : 202) x 4],
        'starts ' . ($cut ? 'are cut off' : 'are answered');
    settled($scene);

    is_deeply {map { $_ => slots($scene, "$_ long") } @POINTS},
        {map { $_ => 2 - $free->{$_} } @POINTS}, 'one slot each, not two';
    $scene->free_is("$_ long", $free->{$_}) for @POINTS;

    # an end that was lost is told again when it is seen again

    seen_again($scene, 'polled', 1);
    $scene->free_is('polled long', 1);
}


# A run is polled until Redis has so many slots; what a gateway has told it says
# again in a sixteenth of the lease's time.

sub seen_again {
    my ($scene, $point, $slots) = @_;

    ok eval { wait_for {
        $scene->polled($point);
        slots($scene, "$point long") == $slots;
    } 20, 'it' }, "$scene->{scene} $point: told again";
}


for my $death (@DEATHS) {
    for my $moment (sort keys %HOLD) {
        subtest "$death, $moment" => sub { drill($death, $moment) };
    }
}


# Slots that were taken while Redis was away: it is being told when somebody
# dies.

sub away {
    my ($death, $moment) = @_;

    my $scene = scene_of("away $death $moment");
    my $forgotten = $moment eq 'before' && $death ne 'always';

    $scene->bystanders('told');
    settled($scene);

    $proxy->damage(refuse => 1);
    await_store($first, 'local');
    $scene->begin('told');
    is_deeply $scene->answers('told'), [202, 202], 'taken locally';
    is slots($scene, 'told long'), 1, 'Redis does not know';

    $proxy->damage(hold => $HOLD{$moment}, on => 'EVALSHA');
    $proxy->await_damage;
    wait_for { $moment eq 'before' || slots($scene, 'told long') == 2 } 10,
        'Redis to know';

    $DIE{$death}->($scene);
    settled($scene);
    is slots($scene, 'told long'), $forgotten ? 1 : 2, 'what Redis knows';

    # the gateway knows it still, if its zone is there

    seen_again($scene, 'told', 2) if $forgotten && $death eq 'worker';
    $scene->free_is('told long', 0) if $death ne 'gateway' || !$forgotten;
}


for my $death (qw(worker gateway always)) {
    for my $moment (sort keys %HOLD) {
        subtest "away, $death, $moment" => sub { away($death, $moment) };
    }
}


# A Redis that loses its data: more may run than the limit, until the gateway
# has seen the runs again.

subtest 'without persistence' => sub {
    my $lossy = redis(persist => 0);
    my $nginx = nginx(crash_servers(redis => $lossy, http => $SHOW));
    my $scene = scene_of('lossy', $nginx);
    my $taken = sub { taken($lossy, $policy, "lossy $_[0] long") };

    await_store($nginx);
    $scene->bystanders(@LOSSY);
    $scene->begin('waits', hold => 1);
    $scene->begin($_) for qw(bound polled);
    $scene->answers(qw(bound polled));
    $scene->arrived('waits');
    settled($scene);
    is_deeply [map { $taken->($_) } @LOSSY], [2, 2, 2], 'the slots';

    $lossy->kill;
    await_store($nginx, 'local');
    $scene->over(map { $scene->run_at('polled', $_) } @TTLS);
    $scene->polled('polled');
    $lossy->start;
    settled($scene);
    is_deeply [map { $taken->($_) } @LOSSY], [0, 0, 0], 'they are lost';

    $up->release($scene->run_at('waits', $_)) for @TTLS;
    is_deeply $scene->answers('waits'), [202, 202], 'a start is answered';

    wait_for { settled($scene); $taken->('waits') == 1 } 10, 'its run';
    is $taken->('waits'), 1, 'and holds a slot';

    ok eval { wait_for {
        poll($_, key => 'alice', at => $scene->client_of('long'))->status for
            (map { $scene->bystander_at($_, 'long') } @LOSSY),
            map { $scene->run_at($_, 'long') } qw(bound polled);
        join(' ', map { $taken->($_) } @LOSSY) eq '2 2 1';
    } 20, 'them' }, 'what is seen again holds one again';

    $scene->free_is('waits long', 0);
    $scene->free_is('bound long', 0);
    $scene->free_is('polled long', 1);
};


subtest 'all slots come back in time' => sub {
    $_->all_free for @scenes;

    # but for what was forgotten, see above

    $_->never_more for grep { $_->{scene} !~ /away gateway before/ } @scenes;
};


done_testing();
