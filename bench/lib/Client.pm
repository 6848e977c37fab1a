package Client;

# A client for a few requests: one connection, no request before the last
# one's answer.

use strict;
use warnings;

use IO::Socket::INET;

my $PATIENCE = 20;      # seconds for one answer


sub new {
    my ($class, $port) = @_;

    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
        PeerPort => $port) or die "cannot connect to port $port: $!\n";

    return bless { socket => $socket, port => $port }, $class;
}


# Sends the bytes, returns status and body of the answer.

sub ask {
    my ($self, $request) = @_;

    $self->say($request);

    return $self->hear;
}


sub say {
    my ($self, $request) = @_;

    local $SIG{PIPE} = 'IGNORE';
    syswrite $self->{socket}, $request
        or die "cannot write to port $self->{port}: $!\n";
}


sub hear {
    my ($self) = @_;

    local $SIG{ALRM} = sub { die "no answer from port $self->{port}\n" };
    alarm $PATIENCE;

    my $in = '';
    $self->more(\$in) until $in =~ /\r\n\r\n/;

    my ($head, $body) = split /\r\n\r\n/, $in, 2;
    my ($status) = $head =~ m!^HTTP/1\.1 (\d+)!;
    my ($length) = $head =~ /^Content-Length: (\d+)/im;

    die "an answer that cannot be read: $head\n"
        if !defined $status || !defined $length;

    $self->more(\$body) until length $body >= $length;
    alarm 0;

    return ($status, $body);
}


sub more {
    my ($self, $in) = @_;

    sysread($self->{socket}, $$in, 65536, length $$in)
        or die "port $self->{port} closed the connection\n";
}


1;
