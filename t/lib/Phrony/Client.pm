package Phrony::Client;

# A client of one address that sends exactly the bytes it is told to, and
# reads whole responses.  Every wait ends: a response that does not come in
# time is a die, so that a test fails instead of hanging.

use strict;
use warnings;

use File::Temp ();
use IO::Select;
use IO::Socket::IP;
use IO::Socket::UNIX;
use Mojo::JSON qw(encode_json);
use Mojo::Util qw(b64_encode url_escape);
use POSIX ();

use Phrony::Connection;
use Phrony::Message;


our $TIMEOUT = 10;


# address   "127.0.0.1:PORT" or "unix:PATH"
# h2        "127.0.0.1:PORT" where HTTP/2 without TLS is spoken
# tls       options of IO::Socket::SSL

sub new {
    my ($class, %opt) = @_;

    return bless {%opt}, $class;
}


# Sends one request on a connection of its own, returns a Phrony::Message.
#
#   key => TEXT           X-API-Key
#   body => BYTES         with Content-Length
#   json => DATA          the same, encoded
#   type => TEXT          Content-Type; default application/json with a body,
#                         undef for none
#   chunked => [BYTES…]   a body in chunks
#   headers => [N => V…]  more fields, in this order
#   stand_in => {…}       what the stand-in upstream should do, see there
#   host, version         default the address and 1.1
#   from => ADDRESS       the client's own address
#   timeout => SECONDS

sub req {
    my ($self, $method, $target, %opt) = @_;

    my $connection = $self->open_connection(%opt);

    $opt{headers} = [@{$opt{headers} || []}, Connection => 'close']
        if !grep { lc eq 'connection' } @{$opt{headers} || []};

    $connection->send($self->request_bytes($method, $target, %opt));

    return $connection->response(method => $method, timeout => $opt{timeout});
}


# The bytes that req() sends; for tests that send them in their own way.

sub request_bytes {
    my ($self, $method, $target, %opt) = @_;

    my @fields = ([Host => $opt{host} // $self->_host]);
    my $body = exists $opt{json} ? encode_json($opt{json}) : $opt{body};

    push @fields, ['X-API-Key', $opt{key}] if defined $opt{key};

    if (defined $body || $opt{chunked}) {
        my $type = exists $opt{type} ? $opt{type} : 'application/json';

        push @fields, ['Content-Type', $type] if defined $type;
        push @fields, $opt{chunked} ? ['Transfer-Encoding', 'chunked']
                                    : ['Content-Length', length $body];
    }

    $body = join '', map { _chunk($_) } @{$opt{chunked}}, '' if $opt{chunked};

    push @fields, ['X-Stand-In', stand_in($opt{stand_in})] if $opt{stand_in};

    my @more = @{$opt{headers} || []};
    while (my ($name, $value) = splice @more, 0, 2) {
        push @fields, [$name, $value];
    }

    return join "\r\n",
        "$method $target HTTP/" . ($opt{version} // '1.1'),
        (map { "$_->[0]: $_->[1]" } @fields), '', $body // '';
}


sub _host {
    my ($self) = @_;

    return $self->{address} =~ /\Aunix:/ ? 'localhost' : $self->{address};
}


sub _chunk {
    my ($bytes) = @_;

    return sprintf "%x\r\n%s\r\n", length $bytes, $bytes;
}


# The value of X-Stand-In for a hash such as { status => 500, delay => 2,
# body => BYTES, set => { … }, header => ['A: b', …] }.

sub stand_in {
    my ($asked) = @_;

    return $asked if !ref $asked;

    my @pairs;

    for my $name (sort keys %$asked) {
        for my $value (ref $asked->{$name} eq 'ARRAY' ? @{$asked->{$name}}
                                                      : $asked->{$name})
        {
            my $text = $name eq 'body' ? b64_encode($value, '')
                : ref $value ? b64_encode(encode_json($value), '') : $value;

            push @pairs, "$name=" . url_escape($text, "\x00-\x20\x7f-\xff%;");
        }
    }

    return join ';', @pairs;
}


# Sends bytes as they are, and returns the responses.  "what" is a string, or
# a list of strings with numbers of seconds between them given as references:
# ["GET / HTT", \0.1, "P/1.1\r\n…"].
#
#   responses => N        how many to read, default 1; 0 for all until the end
#   method => 'HEAD'      the method of the requests, when it is HEAD
#   shut => 1             shuts the sending side down after the last byte

sub raw {
    my ($self, $what, %opt) = @_;

    my $connection = $self->open_connection(%opt);
    my $wanted = $opt{responses} // 1;
    my @responses;

    for my $piece (ref $what ? @$what : $what) {
        ref $piece ? select(undef, undef, undef, $$piece)
                   : $connection->send($piece);
    }

    $connection->shut if $opt{shut};

    while (!$wanted || @responses < $wanted) {
        last if !$wanted && $connection->ended($opt{timeout});
        push @responses, $connection->response(%opt);
    }

    return wantarray ? @responses : $responses[0];
}


# A connection for tests that converse, see Phrony::Connection.

sub open_connection {
    my ($self, %opt) = @_;

    my ($path) = $self->{address} =~ /\Aunix:(.+)/s;

    my $socket = $path
        ? IO::Socket::UNIX->new(Peer => $path)
        : IO::Socket::IP->new(
            PeerAddr => $self->{address},
            $opt{from} ? (LocalAddr => $opt{from}) : (),
            Timeout => $opt{timeout} // $TIMEOUT,
        );

    die "no connection to $self->{address}: $@ $!\n" if !$socket;

    if ($self->{tls}) {
        require IO::Socket::SSL;
        no warnings "once";
        IO::Socket::SSL->start_SSL($socket, %{$self->{tls}})
            or die "no TLS to $self->{address}: $IO::Socket::SSL::SSL_ERROR\n";
    }

    return Phrony::Connection->new($socket, $opt{timeout} // $TIMEOUT);
}


# Sends many requests at the same time, each on a connection of its own, and
# returns their responses in the same order.  A request is a list as for
# req(); nothing is read before the last is sent.

sub parallel {
    my ($self, @requests) = @_;

    my @open = map {
        my ($method, $target, %opt) = @$_;
        push @{$opt{headers}}, Connection => 'close';
        [$self->open_connection(%opt), $method,
            $self->request_bytes($method, $target, %opt)];
    } @requests;

    $_->[0]->send($_->[2]) for @open;

    return map { $_->[0]->response(method => $_->[1]) } @open;
}


# One request over HTTP/2, options as for req(), and
#
#   no_length => 1        the body without a content-length

sub h2 {
    my ($self, $method, $target, %opt) = @_;

    my $dir = File::Temp->newdir;
    my $body = exists $opt{json} ? encode_json($opt{json}) : $opt{body};
    my $type = exists $opt{type} ? $opt{type} : 'application/json';
    my @fields = (':method', $method, ':path', $target);

    push @fields, 'x-api-key', $opt{key} if defined $opt{key};
    push @fields, 'x-stand-in', stand_in($opt{stand_in}) if $opt{stand_in};
    push @fields, 'content-type', $type if defined $body && defined $type;
    push @fields, @{$opt{headers} || []};

    my @command = ('nghttp', '--verbose', '--no-dep',
        '--timeout', $opt{timeout} // $TIMEOUT);

    while (my ($name, $value) = splice @fields, 0, 2) {
        push @command, '--header', lc($name) . ": $value";
    }

    if (defined $body) {
        _write_file("$dir/body", $body);
        push @command, '--data', "$dir/body";
        push @command, '--no-content-length' if $opt{no_length};
    }

    return _nghttp_message(_run("$dir/output", @command,
        "http://$self->{h2}/"));
}


sub _run {
    my ($output, @command) = @_;

    my $pid = fork // die "fork: $!\n";

    if (!$pid) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>', $output;
        open STDERR, '>&', \*STDOUT;
        exec @command or POSIX::_exit(127);
    }

    waitpid $pid, 0;

    return _read_file($output);
}


# What nghttp tells: "[  0.017] recv (stream_id=13) :status: 202" for a field,
# "[  0.017] recv DATA frame <…>" after a piece of the body, and lines with
# more about the frames, which are indented.

sub _nghttp_message {
    my ($output) = @_;

    my ($head, $body) = ('', '');

    for my $part (split /(?=\[ *\d+\.\d{3}\] )/, $output) {
        my ($event, $rest) = $part =~ /\A\[[ \d.]+\] (.*)\n?((?s:.*))\z/
            or next;

        if ($event =~ /\Arecv \(stream_id=\d+\) :status: (\d+)/) {
            $head = "HTTP/2 $1\r\n";
        }
        elsif ($event =~ /\Arecv \(stream_id=\d+\) (.*)/) {
            $head .= "$1\r\n";
        }

        $rest =~ s/\A(?: {10}.*\n)+//;
        $body .= $rest;
    }

    die "no HTTP/2 answer: $output\n" if $head eq '';

    return Phrony::Message->response_of("$head\r\n", $body);
}


sub _read_file {
    my ($path) = @_;

    open my $file, '<:raw', $path or return '';
    local $/;

    return scalar readline $file;
}


sub _write_file {
    my ($path, $bytes) = @_;

    open my $file, '>:raw', $path or die "$path: $!\n";
    print $file $bytes;
    close $file or die "$path: $!\n";
}


1;
