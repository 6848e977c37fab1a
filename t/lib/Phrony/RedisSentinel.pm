package Phrony::RedisSentinel;

# Sentinels that watch over a master and its replicas, all of them real:
#
#     my $set = Phrony::RedisSentinel->watch(
#         data => [redis(), redis(), redis()],
#         sentinel => sub { redis(sentinel => 1, @_) });
#
# The first of "data" becomes the master.

use strict;
use warnings;

use Time::HiRes qw(sleep time);


# data        the servers
# sentinel    makes a sentinel of options of Phrony::Redis
# sentinels   how many, default 3
# down_after  milliseconds, default 500
# conf        more lines for each sentinel

sub watch {
    my ($class, %opt) = @_;

    my $self = bless {name => 'main', data => $opt{data}}, $class;
    my $first = $self->{data}[0];

    $_->call(REPLICAOF => '127.0.0.1', $first->port)
        for @{$self->{data}}[1 .. $#{$self->{data}}];

    $self->{sentinels} = [map { $opt{sentinel}->(conf => $self->_conf(%opt)) }
        1 .. $opt{sentinels} // 3];
    $self->await;

    return $self;
}


sub _conf {
    my ($self, %opt) = @_;

    my $name = $self->{name};
    my $first = $self->{data}[0];
    my $password = $first->{opt}{password};

    return join "\n",
        "sentinel monitor $name 127.0.0.1 ${\$first->port} "
            . int(($opt{sentinels} // 3) / 2 + 1),
        "sentinel down-after-milliseconds $name " . ($opt{down_after} // 500),
        "sentinel failover-timeout $name 1000",
        "sentinel parallel-syncs $name 2",
        defined $password ? "sentinel auth-pass $name $password" : (),
        $opt{conf} // ();
}


sub sentinels { @{$_[0]{sentinels}} }
sub data      { @{$_[0]{data}} }


# Waits until the sentinels that run know each other and all servers.

sub await {
    my ($self) = @_;

    my @sentinels = grep { $_->running } $self->sentinels;
    my @data = grep { $_->running } $self->data;

    _until('the sentinels to agree', sub {
        for my $sentinel (@sentinels) {
            my $state = $self->state($sentinel) or return 0;

            return 0 if $state->{'num-other-sentinels'} < $#sentinels
                || $state->{'num-slaves'} < $#data
                || $state->{flags} ne 'master';
        }

        # all but one follow, and have caught up

        return $#data == grep { /^role:slave\r?$/m
                && /^master_link_status:up\r?$/m }
            map { $_->cli(INFO => 'replication') } @data;
    });
}


# What a sentinel says of the master, a hash; undef if it says nothing.

sub state {
    my ($self, $sentinel) = @_;

    my $state = eval { $sentinel->call(SENTINEL => 'MASTER', $self->{name}) };

    return $state && {@$state};
}


# The server that all running sentinels take for the master, and that takes
# itself for it; undef while there is none.

sub master {
    my ($self) = @_;

    my %ports;

    for my $sentinel (grep { $_->running } $self->sentinels) {
        my $address = eval { $sentinel->call(SENTINEL =>
            'GET-MASTER-ADDR-BY-NAME', $self->{name}) } or return;

        $ports{$address->[1]} = 1;
    }

    my ($master) = grep { $ports{$_->port} } $self->data;

    return if keys %ports != 1 || !$master || !$master->running;
    return if (eval { $master->call('ROLE')->[0] } // '') ne 'master';
    return $master;
}


sub replicas {
    my ($self) = @_;

    my $master = $self->await_master;

    return grep { $_ != $master } $self->data;
}


# Waits until there is a master, and another one than this, and returns it.

sub await_master {
    my ($self, $not) = @_;

    my $master;

    _until('a master', sub {
        $master = $self->master;
        $master && $master != ($not // 0);
    });

    return $master;
}


# Asks for another master although this one is well.

sub failover {
    my ($self) = @_;

    my $master = $self->await_master;
    my ($sentinel) = grep { $_->running } $self->sentinels;

    _until('a failover to begin', sub {
        eval { $sentinel->call(SENTINEL => 'FAILOVER', $self->{name}) };
    });

    return $self->await_master($master);
}


# What "phrony_redis" wants.  who => "user:password", db

sub url {
    my ($self, %opt) = @_;

    return 'redis+sentinel://' . ($opt{who} ? "$opt{who}\@" : '')
        . join(',', map { $_->address } $self->sentinels)
        . "/$self->{name}" . ($opt{db} ? "/$opt{db}" : '');
}


sub _until {
    my ($name, $condition) = @_;

    my $deadline = time + 30;

    until ($condition->()) {
        die "waited in vain for $name\n" if time > $deadline;
        sleep 0.02;
    }
}


1;
