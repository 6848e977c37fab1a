package SystemCalls;

# Counts the system calls of a process while a command runs: by perf, which
# costs them next to nothing; or, where the kernel does not let it, by strace,
# which makes each of them so slow that more goes into one than otherwise.

use strict;
use warnings;

use POSIX qw(WNOHANG);
use Time::HiRes qw(sleep time);

use Gateway;

my $PATIENCE = 10;      # seconds, to attach


# perf, strace, or '' if neither may count calls here.

sub tool {
    my ($dir) = @_;

    for my $tool (qw(perf strace)) {
        my $calls = eval {
            my $self = SystemCalls->new($tool, $$, "$dir/system-calls");
            system { $self->{words}[0] } @{$self->{words}}, 'true'
                if @{$self->{words}};
            $self->count;
        };

        return $tool if defined $calls;
    }

    return '';
}


# Begins to count.  "words" are to stand before the command.

sub new {
    my ($class, $tool, $pid, $file) = @_;

    my $self = bless { tool => $tool, file => $file, words => [] }, $class;

    unlink $file;

    if ($tool eq 'perf') {
        $self->{words} = ['perf', 'stat', '-x', ',', '-o', $file,
            '-e', 'raw_syscalls:sys_enter', '-p', $pid, '--'];

    } else {
        $self->strace($pid);
    }

    return $self;
}


sub strace {
    my ($self, $pid) = @_;

    my $file = $self->{file};

    Gateway::write_file($file, '');

    $self->{pid} = fork // die "fork: $!\n";

    if ($self->{pid} == 0) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>', $file;
        open STDERR, '>&', \*STDOUT;
        exec 'strace', '-f', '-c', '-p', $pid or POSIX::_exit(127);
    }

    my $deadline = time + $PATIENCE;

    until (Gateway::read_file($file) =~ /attached/) {
        die "strace does not attach\n"
            if time > $deadline || waitpid($self->{pid}, WNOHANG);
        sleep 0.02;
    }
}


# The number, once the command has ended.

sub count {
    my ($self) = @_;

    if ($self->{pid}) {
        kill INT => $self->{pid};
        waitpid $self->{pid}, 0;
    }

    my $text = Gateway::read_file($self->{file});

    # strace's columns: % time, seconds, usecs/call, calls, and maybe errors

    $text =~ s/^<not counted>/0/m;

    my ($count) = $self->{tool} eq 'perf'
        ? $text =~ /^(\d+),[^,]*,raw_syscalls/m
        : $text =~ /^100\.00\s+\S+\s+\S+\s+(\d+)(?:\s+\d+)?\s+total$/m;

    return $count // die "$self->{tool} did not count\n";
}


1;
