package Phrony::Message;

# One HTTP/1.1 message, read from bytes as they arrive.  Nothing is
# normalised: a target, a field's name and a body are what was sent, so that
# tests can compare them byte for byte.
#
# Reading is done in two steps, take_head() and take_body(), each of which
# takes its bytes off the front of a buffer and returns false while they are
# not all there.

use strict;
use warnings;

use Mojo::JSON ();


my %NO_BODY = map { $_ => 1 } 204, 304;


# Takes the start line and the fields.  "method" is that of the request when
# a response is read: the response to HEAD has no body.

sub take_head {
    my ($class, $buffer, %how) = @_;

    $$buffer =~ s/\A(?:\r?\n)+// unless $how{response};
    return if $$buffer !~ /\r?\n\r?\n/;

    my $end = $+[0];
    my $raw = substr($$buffer, 0, $end, '');
    my ($start, @lines) = split /\r?\n/, $raw;

    my $self = bless {
        raw     => $raw,
        start   => $start,
        headers => [map { _field($_) } @lines],
        body    => '',
        whole   => 0,
    }, $class;

    return $how{response} ? $self->_response_head($how{method})
                          : $self->_request_head;
}


sub _field {
    my ($line) = @_;

    my ($name, $value) = $line =~ /\A([^:]*):[ \t]*(.*?)[ \t]*\z/s;

    return defined $name ? [$name, $value] : [$line, ''];
}


sub _request_head {
    my ($self) = @_;

    @$self{qw(method target version)}
        = $self->{start} =~ m{\A(\S+) (.*) HTTP/(\d\.\d)\z}s;
    die "not a request line: $self->{start}\n" unless defined $self->{method};

    $self->_framing('length', 0);

    return $self;
}


sub _response_head {
    my ($self, $method) = @_;

    @$self{qw(version status reason)}
        = $self->{start} =~ m{\AHTTP/(\d(?:\.\d)?) (\d{3}) ?(.*)\z}s;
    die "not a status line: $self->{start}\n" unless defined $self->{status};

    if ($self->{status} < 200 || $NO_BODY{$self->{status}}
        || ($method // '') eq 'HEAD')
    {
        @$self{qw(framing left)} = ('length', 0);
        return $self;
    }

    $self->_framing('close');

    return $self;
}


# How the body is delimited: "length" with "left" bytes to come, "chunked",
# or "close".

sub _framing {
    my ($self, @default) = @_;

    if (($self->header('Transfer-Encoding') // '') =~ /chunked\s*\z/i) {
        $self->{framing} = 'chunked';
        return;
    }

    my $length = $self->header('Content-Length');

    @$self{qw(framing left)} = defined $length && $length =~ /\A\d+\z/
        ? ('length', $length) : @default;
}


# Takes what there is of the body; true when the message is whole.

sub take_body {
    my ($self, $buffer, $eof) = @_;

    return 1 if $self->{whole};

    my $framing = $self->{framing};

    if ($framing eq 'length') {
        my $piece = substr($$buffer, 0, $self->{left}, '');

        $self->{raw} .= $piece;
        $self->{body} .= $piece;
        $self->{left} -= length $piece;

        return $self->{whole} = $self->{left} == 0;
    }

    if ($framing eq 'close') {
        $self->{raw} .= $$buffer;
        $self->{body} .= $$buffer;
        $$buffer = '';

        return $self->{whole} = !!$eof;
    }

    return $self->_take_chunks($buffer);
}


sub _take_chunks {
    my ($self, $buffer) = @_;

    while (!$self->{last_chunk}) {
        $$buffer =~ /\A([0-9a-fA-F]+)[^\n]*\n/
            or return _maybe_chunk($buffer);

        my ($head, $size) = ($+[0], hex $1);

        if ($size == 0) {
            $self->{raw} .= substr($$buffer, 0, $head, '');
            $self->{last_chunk} = 1;
            last;
        }

        return 0 if length $$buffer < $head + $size + 2;

        my $piece = substr($$buffer, 0, $head + $size + 2, '');

        $self->{raw} .= $piece;
        $self->{body} .= substr($piece, $head, $size);
        $self->{chunks}++;
    }

    # trailers, up to an empty line

    while ($$buffer =~ /\A([^\n]*)\n/) {
        my $line = $1;

        $self->{raw} .= substr($$buffer, 0, $+[0], '');
        $line =~ s/\r\z//;

        return $self->{whole} = 1 if $line eq '';

        push @{$self->{trailers}}, _field($line);
    }

    return 0;
}


sub _maybe_chunk {
    my ($buffer) = @_;

    die "not a chunk: " . substr($$buffer, 0, 20) . "\n"
        if $$buffer =~ /\n/ || length $$buffer > 1000;

    return 0;
}


# A response whose head and body another program has told apart.

sub response_of {
    my ($class, $head, $body) = @_;

    my $self = $class->take_head(\$head, response => 1);

    @$self{qw(body whole)} = ($body, 1);
    $self->{raw} .= $body;

    return $self;
}


sub method   { $_[0]{method} }
sub target   { $_[0]{target} }
sub version  { $_[0]{version} }
sub status   { $_[0]{status} }
sub reason   { $_[0]{reason} }
sub headers  { $_[0]{headers} }
sub trailers { $_[0]{trailers} || [] }
sub body     { $_[0]{body} }
sub raw      { $_[0]{raw} }
sub whole    { $_[0]{whole} }
sub interim  { $_[0]{interim} || [] }


# All values of a field, in order; in scalar context their number.

sub all {
    my ($self, $name) = @_;

    return map { $_->[1] } grep { lc $_->[0] eq lc $name } @{$self->{headers}};
}


# The value of a field, repeated ones joined by a comma; undef if absent.

sub header {
    my ($self, $name) = @_;

    my @values = $self->all($name);

    return @values ? join(', ', @values) : undef;
}


# The body as JSON; undef if it is none.

sub json {
    my ($self) = @_;

    return scalar eval { Mojo::JSON::decode_json($self->{body}) };
}


1;
