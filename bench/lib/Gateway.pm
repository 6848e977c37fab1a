package Gateway;

# One nginx of the comparison: its configuration, its processes, its ports.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use IO::Socket::INET;
use POSIX qw(WNOHANG);
use Time::HiRes qw(sleep time);


our $BENCH = abs_path(dirname(__FILE__) . '/..');
our $NGINX = $ENV{TEST_NGINX_BINARY} || '/usr/sbin/nginx';
our $MODULE = $ENV{TEST_NGINX_MODULE}
    || "$BENCH/../build/ngx_http_phrony_module.so";

my $PROBE = "$BENCH/../build/ngx_http_probe_module.so";

my $PATIENCE = 120;     # seconds to start, under valgrind too

# The limits are so high that nothing is refused where it says "open".

my $LIMITS = <<'END';
limit_req_zone   $http_x_api_key zone=open:64m rate=1000000r/s;
    limit_req_zone   $http_x_api_key zone=shut:64m rate=1r/m;
    limit_conn_zone  $http_x_api_key zone=connections:64m;

    limit_req_status     429;
    limit_conn_status    429;
    limit_req_log_level  info;
END

my $LIMITS_OPEN = 'limit_req  zone=open burst=1000000 nodelay;'
    . ' limit_conn  connections 10000;';

my $LIMITS_SHUT = 'limit_req  zone=shut;'
    . ' limit_conn  connections 10000;';

# A run is known for two seconds where very many are started, so that what
# the zone holds does not grow; where runs are read, as long as by default.

my $PHRONY_OPEN = 'phrony  on; phrony_run_ttl  2s; phrony_delivery_ttl  2s;';
my $PHRONY = 'phrony  on;';

my $PHRONY_HTTP = 'phrony_zone  bench:64m; phrony_policy  file={{policy}};';

# Its windows and leases are its own, though it is one server for all.

my $REDIS_HTTP = "$PHRONY_HTTP\n    phrony_redis  {{redis}};"
    . ' phrony_redis_prefix  {{name}};';

my %KIND = (
    plain  => {},
    limits => {
        http  => $LIMITS,
        open  => $LIMITS_OPEN,
        known => $LIMITS_OPEN,
        shut  => $LIMITS_SHUT,
    },
    phrony => {
        main  => 'load_module  {{module}};',
        http  => $PHRONY_HTTP,
        open  => $PHRONY_OPEN,
        known => $PHRONY,
        shut  => $PHRONY,
    },
    redis  => {
        main  => 'load_module  {{module}};',
        http  => $REDIS_HTTP,
        open  => $PHRONY_OPEN,
        known => $PHRONY,
        shut  => $PHRONY,
    },
    probe  => {
        main  => 'load_module  {{probe}};',
        http  => 'probe_redis  {{redis}};',
        open  => 'probe  on;',
    },
);


# kind           upstream, or one of those above
# name           among all
# dir            a directory of its own, which is made
# upstream_port  but for the upstream
# policy         of phrony and redis, a file
# redis          of redis, a URL; of probe, an address
# wrapper        words before the command, such as valgrind's: then there is
#                one process, no master

sub new {
    my ($class, %opt) = @_;

    my $self = bless { %opt, pid => 0 }, $class;

    mkdir $opt{dir}, 0755 or die "$opt{dir}: $!\n";

    my $template = $opt{kind} eq 'upstream' ? 'upstream' : 'gateway';
    my $conf = read_file("$BENCH/$template.conf");

    my %value = (main => '', http => '', open => '', known => '', shut => '',
        %{$KIND{$opt{kind}} || {}});

    $conf =~ s/\{\{(main|http|open|known|shut)\}\}/$value{$1}/g;

    my %word = (%opt, module => abs_path($MODULE) // $MODULE,
        probe => abs_path($PROBE) // $PROBE);
    my @listen = $conf =~ /\{\{(port\w*)\}\}/g;
    my @free = free_ports(scalar @listen);

    for my $name (@listen) {
        $self->{ports}{$name} = $word{$name} = shift @free;
    }

    $conf =~ s/\{\{(\w+)\}\}/$word{$1}/g;

    write_file("$opt{dir}/nginx.conf", $conf);

    return $self;
}


sub port {
    my ($self, $name) = @_;

    return $self->{ports}{defined $name ? "port_$name" : 'port'};
}


sub start {
    my ($self) = @_;

    my $dir = $self->{dir};
    my @wrapper = @{$self->{wrapper} || []};

    my @command = (@wrapper, $NGINX, '-p', "$dir/", '-c', "$dir/nginx.conf",
        '-e', "$dir/error.log");

    push @command, '-g', 'master_process off;' if @wrapper;

    $self->{pid} = fork // die "fork: $!\n";

    if ($self->{pid} == 0) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>', "$dir/output";
        open STDERR, '>&', \*STDOUT;
        exec { $command[0] } @command or POSIX::_exit(127);
    }

    for my $port (values %{$self->{ports}}) {
        $self->await($port);
    }

    return $self;
}


# A process that does not exist any more is not waited for.

sub await {
    my ($self, $port) = @_;

    my $deadline = time + $PATIENCE;

    while (time < $deadline) {
        return if IO::Socket::INET->new(PeerAddr => '127.0.0.1',
            PeerPort => $port);

        if (waitpid($self->{pid}, WNOHANG) == $self->{pid}) {
            $self->{pid} = 0;
            die "$self->{kind} did not start:\n", $self->log();
        }

        sleep 0.05;
    }

    die "$self->{kind} did not start in $PATIENCE s\n";
}


# The only worker's process id.

sub worker {
    my ($self) = @_;

    my @children = $self->children;

    die "$self->{kind} has ", scalar @children, " workers, not one\n"
        if @children != 1;

    return $children[0];
}


sub children {
    my ($self) = @_;

    my $pid = $self->{pid};

    return split ' ', read_file("/proc/$pid/task/$pid/children");
}


# Nanoseconds that the worker has been running for, in user mode and kernel.

sub cpu {
    my ($self) = @_;

    my ($ns) = split ' ', read_file('/proc/' . $self->worker . '/schedstat');

    return $ns;
}


# Makes nginx open its logs anew, and leaves it the time for that.

sub reopen {
    my ($self) = @_;

    kill USR1 => $self->{pid};
    sleep 0.5;
}


# What nginx complained of; empty if all is well.

sub log {
    my ($self) = @_;

    my @files = grep { -e } "$self->{dir}/error.log", "$self->{dir}/output";

    return join '', map { read_file($_) } @files;
}


sub stop {
    my ($self) = @_;

    my $pid = $self->{pid} or return;
    my $deadline = time + 20;

    kill TERM => $pid;

    until (waitpid($pid, WNOHANG)) {
        kill KILL => $self->children, $pid if time > $deadline;
        sleep 0.02;

        # one that came just before it began to wait for events has not woken
        # it; a slow process is there for long

        kill TERM => $pid if $self->{wrapper};
    }

    $self->{pid} = 0;
}


# Ports that are free now; all are held until the last is found.

sub free_ports {
    my ($n) = @_;

    my @sockets = map {
        IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1)
            or die "no free port: $!\n"
    } 1 .. $n;

    return map { $_->sockport } @sockets;
}


sub read_file {
    my ($file) = @_;

    open my $in, '<', $file or die "$file: $!\n";
    local $/;

    return scalar(<$in>) // '';
}


sub write_file {
    my ($file, $text) = @_;

    open my $out, '>', $file or die "$file: $!\n";
    print $out $text;
    close $out or die "$file: $!\n";
}


1;
