package Phrony::RedisClient;

# A connection to a Redis.  Every wait ends: a reply that does not come in time
# is a die.

use strict;
use warnings;

use IO::Select;
use IO::Socket::IP;
use IO::Socket::UNIX;
use Time::HiRes qw(time);

use Phrony::Resp;


# address    "127.0.0.1:PORT" or "unix:PATH"
# user, password, db, timeout

sub new {
    my ($class, %opt) = @_;

    my ($path) = $opt{address} =~ /\Aunix:(.+)/s;

    my $socket = $path ? IO::Socket::UNIX->new(Peer => $path)
        : IO::Socket::IP->new(PeerAddr => $opt{address}, Timeout => 10);

    die "no connection to $opt{address}: $@ $!\n" if !$socket;

    my $self = bless {socket => $socket, buffer => '',
        timeout => $opt{timeout} // 10}, $class;

    $self->call(AUTH => $opt{user} // (), $opt{password})
        if defined $opt{password};
    $self->call(SELECT => $opt{db}) if $opt{db};

    return $self;
}


# Sends a command and returns its reply: a text, a number, undef, or a
# reference to a list.  An error is a die with its text.

sub call {
    my ($self, @words) = @_;

    $self->send(@words);

    my $reply = $self->receive;

    die "$$reply\n" if ref $reply eq 'SCALAR';

    return $reply;
}


# Both halves of it; errors are references to their texts.

sub send {
    my ($self, @words) = @_;

    local $SIG{PIPE} = 'IGNORE';

    $self->{socket}->syswrite(Phrony::Resp::command(@words))
        // die "redis: $!\n";
}


sub receive {
    my ($self, $timeout) = @_;

    my $deadline = time + ($timeout // $self->{timeout});

    while (1) {
        my ($reply) = my @got = Phrony::Resp::take(\$self->{buffer});

        return $reply if @got;

        my $wait = $deadline - time;

        die "redis: no reply in time\n" if $wait <= 0
            || !IO::Select->new($self->{socket})->can_read($wait);

        $self->{socket}->sysread($self->{buffer}, 65536,
            length $self->{buffer}) or die "redis: the connection ended\n";
    }
}


1;
