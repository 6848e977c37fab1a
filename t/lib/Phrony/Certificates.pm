package Phrony::Certificates;

# An authority of its own and what it signs, made by openssl in a directory.

use strict;
use warnings;

use POSIX ();


sub new {
    my ($class, $dir) = @_;

    my $self = bless {dir => $dir, serial => 0}, $class;

    _openssl('req', '-x509', '-newkey', 'ec',
        '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', 2,
        '-subj', '/CN=an authority', '-keyout', "$dir/ca.key",
        '-out', "$dir/ca.crt");

    return $self;
}


sub ca { "$_[0]{dir}/ca.crt" }


# Makes a certificate: its file and that of its key.  issue('server',
# 'DNS:localhost,IP:127.0.0.1'); one for a client needs no such names.

sub issue {
    my ($self, $name, $names) = @_;

    my $path = "$self->{dir}/$name";

    _openssl('req', '-newkey', 'ec',
        '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes',
        '-subj', "/CN=$name", '-keyout', "$path.key", '-out', "$path.csr",
        $names ? ('-addext', "subjectAltName=$names") : ());

    _openssl('x509', '-req', '-in', "$path.csr", '-days', 2,
        '-CA', $self->ca, '-CAkey', "$self->{dir}/ca.key",
        '-set_serial', ++$self->{serial}, '-copy_extensions', 'copy',
        '-out', "$path.crt");

    chmod 0644, "$path.key";

    return ("$path.crt", "$path.key");
}


sub _openssl {
    my (@words) = @_;

    my $pid = open(my $output, '-|') // die "fork: $!\n";

    if (!$pid) {
        open STDERR, '>&', \*STDOUT;
        exec 'openssl', @words or POSIX::_exit(127);
    }

    my @lines = readline $output;

    close $output or die join '', "openssl @words\n", @lines;
}


1;
