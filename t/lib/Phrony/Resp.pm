package Phrony::Resp;

# The Redis serialization protocol, version 2, for the tests: commands as
# bytes, bytes as values.

use strict;
use warnings;


# The bytes of a command.

sub command {
    my (@words) = @_;

    return join '', '*' . @words . "\r\n",
        map { '$' . length($_) . "\r\n$_\r\n" } @words;
}


# Where the value that begins at "pos" ends; undef if it is not all there.
# Bytes that are no RESP are a die.

sub end_of {
    my ($bytes, $pos) = @_;

    pos($$bytes) = $pos;

    if ($$bytes !~ /\G(?|([-+])([^\r\n]*)|([:\$*])(-?\d+))\r\n/gc) {
        die "no RESP\n" if $$bytes
            !~ /\G(?:[-+][^\r\n]*\r?|[:\$*](?:-?(?:\d+\r?)?)?)?\z/;
        return;
    }

    my ($type, $rest, $end) = ($1, $2, pos $$bytes);

    return $end if $type =~ /[-+:]/ || $rest < 0;

    if ($type eq '$') {
        $end += $rest + 2;
        return $end <= length $$bytes ? $end : undef;
    }

    for (1 .. $rest) {
        $end = end_of($bytes, $end) // return;
    }

    return $end;
}


# Takes the first value out of "buffer": a string, a number, undef for nil, a
# reference to a list; an error is a reference to its text.  Returns (), or a
# list of that one value.

sub take {
    my ($buffer) = @_;

    my $end = end_of($buffer, 0) // return;
    my $pos = 0;
    my $value = _value($buffer, \$pos);

    substr $$buffer, 0, $end, '';

    return ($value);
}


sub _value {
    my ($bytes, $pos) = @_;

    pos($$bytes) = $$pos;
    $$bytes =~ /\G(.)([^\r\n]*)\r\n/gc;
    $$pos = pos $$bytes;

    my ($type, $rest) = ($1, $2);

    return \"$rest" if $type eq '-';
    return $rest if $type =~ /[+:]/;
    return if $rest < 0;
    return [map { scalar _value($bytes, $pos) } 1 .. $rest] if $type eq '*';

    $$pos += $rest + 2;

    return substr $$bytes, $$pos - $rest - 2, $rest;
}


1;
