package Phrony::StandIn;

# A stand-in upstream in a process of its own, and the reins of it.  Arguments
# are those of Phrony::Upstream.

use strict;
use warnings;

use Mojo::JSON qw(encode_json);
use Mojo::Util qw(b64_decode);
use POSIX ();

use Phrony::Client;


sub start {
    my ($class, %opt) = @_;

    pipe my $reader, my $writer or die "pipe: $!\n";

    my $parent = $$;
    my $pid = fork // die "fork: $!\n";

    _serve($parent, $writer, %opt) if !$pid;

    close $writer;

    my $address = readline $reader // '';
    chomp $address;
    die "the stand-in upstream did not start\n" if $address eq '';

    return bless {
        address => $address,
        pid     => $pid,
        client  => Phrony::Client->new(address => $address),
    }, $class;
}


sub _serve {
    my ($parent, $writer, %opt) = @_;

    $SIG{$_} = 'DEFAULT' for qw(INT TERM ALRM);
    alarm 0;

    eval {
        require Phrony::Upstream;

        my $upstream = Phrony::Upstream->new(%opt);
        my $address = $upstream->bind_socket;

        syswrite $writer, "$address\n";
        close $writer;
        $upstream->run($parent);
    };

    print STDERR "stand-in upstream: $@" if $@;
    POSIX::_exit($@ ? 1 : 0);
}


# What nginx's "server" directive and the clients want.

sub address { $_[0]{address} }
sub client  { $_[0]{client} }
sub pid     { $_[0]{pid} }


sub _call {
    my ($self, $method, $path, $data) = @_;

    my $answer = $self->{client}->req($method, "/_control/$path",
        ref $data ? (body => encode_json($data))
        : defined $data ? (body => $data) : ());

    die "stand-in upstream: $path: " . $answer->body . "\n"
        if $answer->status != 200;

    return $answer->json;
}


# What was received since the last reset, in order: hashes of number,
# connection, time, method, target, version, headers ([[name, value], …]),
# body, length, sha256, complete, answered, aborted, status.  With a pattern: those
# whose "METHOD target" matches it.

sub requests {
    my ($self, $pattern) = @_;

    return $self->_requests('requests') if !$pattern;

    return grep { "$_->{method} $_->{target}" =~ $pattern }
        $self->_requests('requests');
}


sub _requests {
    my ($self, $path) = @_;

    my @requests = @{$self->_call(GET => $path)};

    $_->{body} = defined $_->{body} ? b64_decode($_->{body})
        : $self->{client}->req(GET => "/_control/bodies/$_->{number}")->body
        for @requests;

    return @requests;
}


# The last of them.

sub last_request {
    my ($self, $pattern) = @_;

    return ($pattern ? $self->requests($pattern)
                     : $self->_requests('requests?last=1'))[-1];
}


# Those after the first so many.

sub requests_after {
    my ($self, $count) = @_;

    my $more = $self->count - $count;

    return $more > 0 ? $self->_requests("requests?last=$more") : ();
}


# How many there were, whatever their size.

sub count { $_[0]->state->{requests} }


# A field of a recorded request: all its values; the first in scalar context.

sub field {
    my ($self, $request, $name) = @_;

    my @values = map { $_->[1] }
        grep { lc $_->[0] eq lc $name } @{$request->{headers}};

    return wantarray ? @values : $values[0];
}


# Counters: requests, answers, inFlight, maxInFlight, connections, accepted,
# runs.

sub state { $_[0]->_call(GET => 'state') }
sub runs  { $_[0]->_call(GET => 'runs') }
sub reset { $_[0]->_call(POST => 'reset') }


# Lets those requests be answered that asked for "hold"; that start alone which
# asked for this run.

sub release { $_[0]->_call(POST => 'release' . ($_[1] ? "/$_[1]" : '')) }


# Sets a run's status and other members; sends an event to its streams.

sub set_run {
    my ($self, $run, %members) = @_;

    return $self->_call(POST => "runs/$run", \%members);
}


sub send_event {
    my ($self, $run, $event) = @_;

    return $self->_call(POST => "events/$run", $event);
}


# Sends bytes to them as they are; returns how many streams there are.  And
# ends them.

sub send_bytes {
    my ($self, $run, $bytes) = @_;

    return $self->_call(POST => "stream/$run", $bytes // '')->{streams};
}


sub close_streams { $_[0]->_call(POST => "close/$_[1]")->{streams} }


# Lays down what the next requests ask for.

sub plan {
    my ($self, @asked) = @_;

    return $self->_call(POST => 'plan',
        [map { Phrony::Client::stand_in($_) } @asked]);
}


sub stop {
    my ($self) = @_;

    my $pid = delete $self->{pid} // return;

    kill TERM => $pid;

    for (1 .. 200) {
        return $? if waitpid($pid, POSIX::WNOHANG()) == $pid;
        select undef, undef, undef, 0.01;
    }

    kill KILL => $pid;
    waitpid $pid, 0;

    return $?;
}


1;
