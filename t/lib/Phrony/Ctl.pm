package Phrony::Ctl;

# Runs phronyctl: that of TEST_PHRONYCTL, or build/phronyctl.
#
#     my $ctl = Phrony::Ctl->new(dir => test_dir(), redis => $redis->url);
#     my $r = $ctl->run('key', 'list', '--json');     # code, out, err, json

use strict;
use warnings;

use Cwd ();
use File::Basename qw(dirname);
use Mojo::JSON ();
use POSIX ();


sub binary {
    return $ENV{TEST_PHRONYCTL}
        || Cwd::abs_path(dirname(__FILE__) . '/../../..') . '/build/phronyctl';
}


# dir     a directory for what the program says
# redis   its URL, which goes by the environment; undef: none
# with    words that stand at the end of each command

sub new {
    my ($class, %opt) = @_;

    my $self = bless {with => [], %opt}, $class;

    -x binary() or die binary() . ": run \"make phronyctl\"\n";

    return $self;
}


# The words of a command; a reference to text is its standard input.

sub run {
    my ($self, @words) = @_;

    return $self->end($self->start(@words));
}


# Both halves of it: what begins has a {pid}; one at a time.

sub start {
    my ($self, @words) = @_;

    my $input = ref $words[-1] ? ${pop @words} : '';
    my %file = map { $_ => "$self->{dir}/ctl-$$.$_" } qw(in out err);

    _write($file{in}, $input);

    my $pid = fork // die "fork: $!\n";

    $self->_exec(\%file, @words) if !$pid;

    return {pid => $pid, file => \%file};
}


sub end {
    my ($self, $run) = @_;

    waitpid $run->{pid}, 0;

    my $code = $? & 127 ? "signal " . ($? & 127) : $? >> 8;
    my ($out, $err) = map { _read($run->{file}{$_}) } qw(out err);

    die "$err\n" if $err =~ /Sanitizer|runtime error/;

    return {code => $code, out => $out, err => $err, json => scalar
        eval { Mojo::JSON::decode_json($out) }};
}


sub _exec {
    my ($self, $file, @words) = @_;

    delete @ENV{qw(PHRONYCTL_REDIS NO_COLOR)};
    $ENV{PHRONYCTL_CONFIG} = '/dev/null';
    $ENV{PHRONYCTL_REDIS} = $self->{redis} if defined $self->{redis};
    $SIG{$_} = 'DEFAULT' for qw(INT TERM ALRM HUP);

    open STDIN, '<', $file->{in} or POSIX::_exit(126);
    open STDOUT, '>', $file->{out} or POSIX::_exit(126);
    open STDERR, '>', $file->{err} or POSIX::_exit(126);

    exec {binary()} 'phronyctl', @words, @{$self->{with}}
        or POSIX::_exit(127);
}


sub _write {
    my ($path, $text) = @_;

    open my $file, '>:raw', $path or die "$path: $!\n";
    print $file $text;
    close $file or die "$path: $!\n";
}


sub _read {
    my ($path) = @_;

    open my $file, '<:raw', $path or die "$path: $!\n";
    local $/;

    return readline($file) // '';
}


1;
