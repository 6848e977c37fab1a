package RedisServer;

# A redis-server of the bench's own, and what it has done so far.

use strict;
use warnings;

use IO::Socket::INET;
use POSIX qw(WNOHANG);
use Time::HiRes qw(sleep time);

use Gateway;

my $PATIENCE = 20;      # seconds to start, to answer, to end


sub binary { $ENV{TEST_REDIS_SERVER} || 'redis-server' }


# dir   a directory of its own, which is made
# via   tcp or unix: how gateways are to reach it

sub new {
    my ($class, %opt) = @_;

    my $self = bless { kind => 'redis-server', pid => 0, %opt }, $class;

    mkdir $opt{dir}, 0755 or die "$opt{dir}: $!\n";

    ($self->{port}) = Gateway::free_ports(1);

    # nothing is written to a disk while it is measured

    Gateway::write_file("$opt{dir}/redis.conf", <<"END");
bind            127.0.0.1
port            $self->{port}
unixsocket      $opt{dir}/socket
unixsocketperm  777
daemonize       no
dir             $opt{dir}
loglevel        warning
save            ""
appendonly      no
END

    return $self;
}


sub url {
    my ($self) = @_;

    return $self->{via} eq 'unix' ? "unix:$self->{dir}/socket"
                                  : "redis://127.0.0.1:$self->{port}";
}


# The same for the probe.

sub address {
    my ($self) = @_;

    return $self->url =~ s!^redis://!!r;
}


sub start {
    my ($self) = @_;

    my $binary = binary();

    $self->{pid} = fork // die "fork: $!\n";

    if ($self->{pid} == 0) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>', "$self->{dir}/output";
        open STDERR, '>&', \*STDOUT;
        exec { $binary } $binary, "$self->{dir}/redis.conf"
            or POSIX::_exit(127);
    }

    my $deadline = time + $PATIENCE;

    until (eval { $self->info('server') }) {
        $self->{pid} = 0 if waitpid($self->{pid}, WNOHANG) == $self->{pid};

        die "$binary did not start:\n", $self->log
            if !$self->{pid} || time > $deadline;

        sleep 0.05;
    }

    return $self;
}


# A section of INFO, as text.

sub info {
    my ($self, $section) = @_;

    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
        PeerPort => $self->{port}) or die "cannot connect to redis: $!\n";

    local $SIG{ALRM} = sub { die "no answer from redis\n" };
    alarm $PATIENCE;

    print $socket "INFO $section\r\n";

    my $line = <$socket> // '';
    my ($length) = $line =~ /^\$(\d+)\r\n/ or die "redis answers: $line\n";

    read($socket, my $text, $length);
    alarm 0;

    return $text;
}


# What it has done: "cpu", the nanoseconds that its main thread has been
# running for; and of each command that was ever called its "calls" and the
# "us" that they took, without reading and writing.

sub done {
    my ($self) = @_;

    my ($cpu) = split ' ',
        Gateway::read_file("/proc/$self->{pid}/schedstat");

    my %done = (cpu => $cpu);

    my $stats = $self->info('commandstats');

    while ($stats =~ /^cmdstat_(\S+?):calls=(\d+),usec=(\d+)/gm) {
        $done{calls}{$1} = $2;
        $done{us}{$1} = $3;
    }

    return \%done;
}


# The same for the time between two of these, per request.

sub between {
    my ($from, $to, $requests) = @_;

    my %each = (cpu => ($to->{cpu} - $from->{cpu}) / 1000 / $requests);

    for my $what (qw(calls us)) {
        for my $name (keys %{$to->{$what}}) {
            next if $name eq 'info';

            $each{$what}{$name} = ($to->{$what}{$name}
                - ($from->{$what}{$name} // 0)) / $requests;
        }
    }

    return \%each;
}


# It writes this and that there: no complaint as long as it runs.

sub log {
    my ($self) = @_;

    return Gateway::read_file("$self->{dir}/output");
}


sub stop {
    my ($self) = @_;

    my $pid = $self->{pid} or return;
    my $deadline = time + $PATIENCE;

    kill TERM => $pid;

    until (waitpid($pid, WNOHANG)) {
        kill KILL => $pid if time > $deadline;
        sleep 0.02;
    }

    $self->{pid} = 0;
}


1;
