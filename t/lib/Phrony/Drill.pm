package Phrony::Drill;

# What every failure of Redis has in common: what is asserted before, while and
# after it, for each of "local", "allow" and "deny".  The policy has agents for
# each drill, see agents(); "bob" is a key that may start nothing but "warm".

use Phrony::Fleet;
use Phrony::Slots qw(becomes);
use Phrony::Test;

use Exporter 'import';

our @EXPORT = qw(agents drill gateway waits_of);

my @MODES = qw(local allow deny);


# The agents of these drills, for policy().

sub agents {
    my (@drills) = @_;

    my %limits = (maxConcurrentRuns => 3, rpdLimit => 100);

    return {
        warm => {rpdLimit => 1_000_000},
        map { my $drill = $_;
            map { ("$drill $_" => {%limits}) } @MODES, 'ends' } @drills,
    };
}


# An nginx with a port for each mode: a hash of their clients, and "nginx".
# timeout is that of Redis.

sub gateway {
    my (%opt) = @_;

    my %ports = map { ("p_$_" => free_port()) } @MODES;

    my $servers = join '', map { "
        server {
            listen 127.0.0.1:{{p_$_}};
            phrony_store_failure $_;
            location / { phrony on; proxy_pass http://{{upstream_name}}; }
        }
    " } @MODES;

    my $nginx = nginx(%opt, %ports, http => $SHOW
        . 'phrony_redis_timeout ' . ($opt{timeout} // '1s') . ';' . $servers,
        location => 'location = /status { phrony_status; }');

    return {nginx => $nginx, map { $_ => client($ports{"p_$_"}) } @MODES};
}


# drill('killed', gateway => $gateway, redis => $redis, policy => $policy,
# break => sub { … }, mend => sub { … }).  With down => 1 it is broken already;
# reads => 1 says that only decisions fail, while Redis can be asked whose a run
# is, and reads => 'maybe' that this depends; told is called at the end.  With
# waits => 1 each new connection may have somebody wait for it.

sub drill {
    my ($name, %drill) = @_;

    subtest $name => sub {
        my $self = bless {name => $name, %drill};

        $self->_before;
        $drill{break}->();
        $self->_broken;
        $drill{mend}->();
        $self->_mended;
    };
}


sub _agent { "$_[0]{name} $_[1]" }


sub _start {
    my ($self, $mode, %opt) = @_;

    return start_run($self->_agent($mode), key => 'alice',
        at => $self->{gateway}{$mode} // $self->{gateway}{local}, %opt);
}


sub _taken {
    my ($self, $mode) = @_;

    return taken($self->{redis}, $self->{policy}, $self->_agent($mode));
}


# Two of three slots are taken, if Redis is there, and a run goes on.

sub _before {
    my ($self) = @_;

    my @runs = map { $self->_start($_)->json->{runId} } @MODES, 'ends';

    $self->{run} = $runs[-1];
    $self->_start($_) for @MODES;

    return if $self->{down};

    becomes { $self->_taken($_) == 2 } "$_: two before" for @MODES;
}


sub _broken {
    my ($self) = @_;

    await_store($self->{gateway}{nginx}, 'local', $self->{gateway}{local});

    my $r = $self->_start('local');
    is_deeply [$r->status, $r->header('X-Store'), remaining($r, 'runs'),
        remaining($r, 'rpd')], [202, 'local', 0, 97],
        'local: what was seen still counts' or diag $r->raw;
    problem_is($self->_start('local'), 429, 'concurrency_limited',
        'local: the same limit');

    my @r = map { $self->_start('allow') } 1 .. 4;
    is_deeply [map { $_->status } @r], [(202) x 4], 'allow: admitted';
    is_deeply [map { $_->header('RateLimit') // () } @r], [],
        'allow: nothing is said of limits';

    $r = $self->_start('deny');
    problem_is($r, 503, 'store_unavailable', 'deny: refused');
    like $r->header('Retry-After'), qr/\A[1-9]\d*\z/, 'deny: for now';

    $self->_runs;
    $self->_cost;
}


# Runs that passed through this gateway are known to it.

sub _runs {
    my ($self) = @_;

    my ($gateway, $run) = @$self{qw(gateway run)};
    my $unknown = '0b1c2d3e-0000-4000-8000-0000000000ff';
    my $ask = sub { poll($_[1], key => $_[2] // 'alice',
        at => $gateway->{$_[0]}) };

    is $ask->('local', $run, 'bob')->status, 403, 'local: a run that it knows';
    is $ask->('local', $unknown)->status, 404, 'local: others are let through';
    is $ask->('allow', $unknown)->status, 404, 'allow: likewise';
    my $r = $ask->('deny', $unknown);
    my $reads = $self->{reads} // '';

    problem_is($r, 503, 'store_unavailable', 'deny: nobody can tell')
        if $reads eq '' || $reads eq 'maybe' && $r->status != 404;
    is $r->status, 404, 'deny: Redis can be asked' if $reads eq '1';

    is poll($run, key => 'alice', at => $gateway->{local},
        stand_in => {set => {status => 'Completed'}})->status, 200,
        'an end is seen';
}


# How many of these have waited for Redis in vain: no machine is so slow that
# others take as long as the timeout of gateway().

sub waits_of { scalar grep { $_->header('X-Store-Time') >= 0.95 } @_ }


sub _cost {
    my ($self) = @_;

    my @r = map { start_run('warm', key => 'alice', at =>
        $self->{gateway}{local}) } 1 .. 40;

    is_deeply stores_of(@r), {local => 40}, 'memory goes on to decide';

    return if $self->{waits};

    is waits_of(@r), 0, 'and nobody waits'
        or diag join ' ', map { $_->header('X-Store-Time') } @r;
}


# Back again: others learn what was done without them.

sub _mended {
    my ($self) = @_;

    my $gateway = $self->{gateway};

    note sprintf '%s: back after %.2f s', $self->{name},
        await_store($gateway->{nginx}, 'redis', $gateway->{local});

    becomes { $self->_taken('local') == 3 } 'slots of meanwhile are told'
        or diag 'slots: ' . $self->_taken('local');
    becomes { $self->_taken('ends') == 0 } 'ends, too';
    is $self->_start('local')->status, 429, 'the limit';

    for my $mode ('ends', 'deny') {
        my $r = $self->_start($mode);
        is_deeply [$r->status, $r->header('X-Store')], [202, 'redis'],
            "$mode: as before";
    }

    becomes { $gateway->{local}->req(GET => '/')->status == 404
        && $gateway->{nginx}->client->req(GET => '/status')->json
            ->{store}{untold} == 0 } 'nothing is left to tell';

    $self->{told} and $self->{told}->();
}


1;
