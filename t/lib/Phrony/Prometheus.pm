package Phrony::Prometheus;

# A real Prometheus that scrapes one gateway, and what it is asked for.

use strict;
use warnings;

use File::Path qw(make_path);
use POSIX ();
use Time::HiRes qw(sleep time);

use Phrony::Client;


# dir, port     an empty directory, a free port
# config        the text of its configuration
# rules         {NAME => text}, files beside it

sub start {
    my ($class, %opt) = @_;

    make_path($opt{dir});

    my $self = bless {dir => $opt{dir}, owner => $$, client =>
        Phrony::Client->new(address => "127.0.0.1:$opt{port}")}, $class;

    my %files = ('prometheus.yml' => $opt{config}, %{$opt{rules} || {}});

    for my $name (keys %files) {
        open my $file, '>', "$opt{dir}/$name" or die "$name: $!\n";
        print $file $files{$name};
        close $file or die "$name: $!\n";
    }

    $self->{pid} = fork // die "fork: $!\n";

    if (!$self->{pid}) {
        $SIG{$_} = 'DEFAULT' for qw(INT TERM ALRM PIPE HUP);
        alarm 0;

        open STDIN, '<', '/dev/null';
        open STDOUT, '>', "$opt{dir}/output";
        open STDERR, '>&', \*STDOUT;

        exec 'prometheus', "--config.file=$opt{dir}/prometheus.yml",
            "--storage.tsdb.path=$opt{dir}/data",
            "--web.listen-address=127.0.0.1:$opt{port}"
            or POSIX::_exit(127);
    }

    my $deadline = time + 30;

    until (eval { $self->{client}->req(GET => '/-/ready')->status == 200 }) {
        die 'prometheus does not start: ' . $self->output
            if time > $deadline || waitpid($self->{pid}, POSIX::WNOHANG());
        sleep 0.05;
    }

    return $self;
}


sub output {
    my ($self) = @_;

    open my $file, '<', "$self->{dir}/output" or return '';
    local $/;

    return readline $file;
}


# "data" of an answer of its API; dies of an error.

sub api {
    my ($self, $path) = @_;

    my $answer = $self->{client}->req(GET => "/api/v1/$path")->json;

    die "prometheus: $path: $answer->{error}\n"
        if $answer->{status} ne 'success';

    return $answer->{data};
}


# The series that an expression has now.

sub query {
    my ($self, $expression) = @_;

    $expression =~ s/([^A-Za-z0-9])/sprintf '%%%02X', ord $1/ge;

    return $self->api("query?query=$expression")->{result};
}


sub stop {
    my ($self) = @_;

    my $pid = delete $self->{pid} or return;

    kill TERM => $pid;

    for (1 .. 1000) {
        return if waitpid($pid, POSIX::WNOHANG()) == $pid;
        sleep 0.01;
    }

    kill KILL => $pid;
    waitpid $pid, 0;
}


sub DESTROY {
    my ($self) = @_;

    local $?;
    $self->stop if $self->{owner} == $$;
}


1;
