package Phrony::Connection;

# One client's connection: send bytes, read whole responses, see the end.

use strict;
use warnings;

use IO::Select;
use Time::HiRes qw(time);

use Phrony::Message;


sub new {
    my ($class, $socket, $timeout) = @_;

    $socket->blocking(1);

    return bless {socket => $socket, buffer => '', timeout => $timeout}, $class;
}


# Sends all bytes; a peer that has gone shows when the response is read.

sub send {
    my ($self, $bytes) = @_;

    local $SIG{PIPE} = 'IGNORE';
    local $SIG{ALRM} = sub { die "the peer does not read\n" };

    my $left = alarm $self->{timeout};
    my $done = 0;

    eval {
        while ($done < length $bytes) {
            my $n = $self->{socket}->syswrite($bytes, length($bytes) - $done,
                $done);
            last if !$n;
            $done += $n;
        }
    };

    alarm $left;
    die $@ if $@;

    return $done;
}


# Reads one response.  Interim ones (100 Continue) are in its interim().
#
#   method => 'HEAD'    that of the request
#   timeout => SECONDS
#   partial => 1        returns what came when the connection ends early,
#                       instead of a die

sub response {
    my ($self, %opt) = @_;

    my $deadline = time + ($opt{timeout} // $self->{timeout});
    my @interim;

    while (1) {
        my $message = $self->_message($deadline, %opt);

        if ($message && $message->status < 200) {
            push @interim, $message;
            next;
        }

        $message->{interim} = \@interim if $message;

        return $message;
    }
}


sub _message {
    my ($self, $deadline, %opt) = @_;

    my $message;

    while (1) {
        $message //= Phrony::Message->take_head(\$self->{buffer},
            response => 1, method => $opt{method});
        last if $message && $message->take_body(\$self->{buffer}, $self->{eof});

        if ($self->{eof}) {
            last if $opt{partial};
            die 'the connection ended within a response: '
                . substr($message ? $message->raw : $self->{buffer}, 0, 200)
                . "\n";
        }

        $self->_fill($deadline);
    }

    return $message;
}


# Waits for bytes or the end.

sub _fill {
    my ($self, $deadline) = @_;

    my $socket = $self->{socket};
    my $pending = $socket->can('pending') && $socket->pending;

    if (!$pending) {
        my $wait = $deadline - time;

        die "no response in time\n"
            if $wait <= 0 || !IO::Select->new($socket)->can_read($wait);
    }

    my $n = $socket->sysread($self->{buffer}, 65536, length $self->{buffer});

    $self->{eof} = 1 if !$n;
}


# Waits for more bytes or the end; true if the peer has closed and everything
# was read.

sub ended {
    my ($self, $timeout) = @_;

    my $deadline = time + ($timeout // $self->{timeout});

    $self->_fill($deadline) while $self->{buffer} eq '' && !$self->{eof};

    return $self->{buffer} eq '';
}


# Reads bytes until "pattern" matches what came and was not taken yet, takes
# everything up to the match's end and returns it; for event streams.

sub read_until {
    my ($self, $pattern, $timeout) = @_;

    my $deadline = time + ($timeout // $self->{timeout});

    while (1) {
        return substr $self->{buffer}, 0, $+[0], ''
            if $self->{buffer} =~ $pattern;
        die "the connection ended\n" if $self->{eof};
        $self->_fill($deadline);
    }
}


# Nothing more will be sent.

sub shut {
    my ($self) = @_;

    $self->{socket}->shutdown(1);
}


sub end {
    my ($self) = @_;

    $self->{socket}->close;
}


1;
