package Bench;

# What the comparisons have in common: a private directory, the upstream,
# the gateways, the policies, and the proof that each answers as it should.

use strict;
use warnings;

use File::Path qw(remove_tree);
use File::Temp qw(tempdir);
use POSIX ();
use Time::HiRes qw(sleep time);

use Answers;
use Cases;
use Client;
use Gateway;
use RedisServer;

my $MANY = 10_000_000;          # a limit that nothing reaches
my $PATIENCE = 20;              # seconds, until a gateway has found Redis


# via   how gateways reach Redis: tcp, or unix

sub new {
    my ($class, %opt) = @_;

    my $dir = tempdir('bench-phrony-XXXXXXXX', TMPDIR => 1);
    chmod 0755, $dir;

    my $self = bless { dir => $dir, running => [], policy => {},
        via => 'tcp', owner => $$, %opt }, $class;

    my $upstream = $self->start('upstream', kind => 'upstream');
    $self->{upstream_port} = $upstream->port;
    Answers::write_files("$upstream->{dir}/answers");

    return $self;
}


# Starts an nginx in the directory $name, and Redis when the first one needs
# it.

sub start {
    my ($self, $name, %opt) = @_;

    $opt{redis} = $self->redis->url if $opt{kind} eq 'redis';
    $opt{redis} = $self->redis->address if $opt{kind} eq 'probe';

    my $gateway = Gateway->new(name => $name, dir => "$self->{dir}/$name",
        upstream_port => $self->{upstream_port}, %opt);

    push @{$self->{running}}, $gateway;

    return $gateway->start;
}


sub redis {
    my ($self) = @_;

    $self->{redis} ||= RedisServer->new(dir => "$self->{dir}/redis-server",
        via => $self->{via})->start;

    return $self->{redis};
}


# The processes that do the work.

sub pids {
    my ($self) = @_;

    return ($self->{redis} ? $self->{redis}{pid} : (),
        map { $_->worker } @{$self->{running}});
}


# A policy of so many keys.  "shut": one start a minute for each trigger.

sub policy {
    my ($self, $keys, $shut) = @_;

    my $rpm = $shut ? 1 : $MANY;
    my $file = "$self->{dir}/policy-$keys-$rpm.json";

    return $file if -e $file;

    my @command = ($^X, "$Gateway::BENCH/../tools/make-policy",
        '--keys' => $keys, '--triggers' => $Cases::TRIGGERS,
        '--rpm' => $rpm, '--rpd' => $MANY, '--concurrent' => $MANY);

    my $pid = fork // die "fork: $!\n";

    if ($pid == 0) {
        open STDOUT, '>', $file or POSIX::_exit(126);
        exec { $command[0] } @command or POSIX::_exit(127);
    }

    waitpid $pid, 0;
    die "make-policy failed\n" if $?;

    return $file;
}


# Starts one run of each trigger, returns their ids.

sub runs {
    my ($self, $gateway) = @_;

    my $client = Client->new($gateway->port('known'));
    my $parts = Cases::parts($Cases::LIST[0], []);

    return map {
        my ($status, $body) = $client->ask(Cases::request($parts, $_));

        $status == 202 && $body =~ /"runId":"([-0-9a-f]{36})"/
            or die "$gateway->{kind}: a start was answered $status $body\n";
        $1;
    } 0 .. $Cases::TRIGGERS - 1;
}


# The parts of the requests of a case, for this gateway.

sub parts {
    my ($self, $gateway, $case) = @_;

    if ($case->{request} eq 'run') {
        $gateway->{runs} ||= [$self->runs($gateway)];
    }

    return Cases::parts($case, $gateway->{runs} || []);
}


# Until a gateway is connected to Redis, it decides by itself.

sub await_redis {
    my ($self, $client, $request) = @_;

    my $deadline = time + $PATIENCE;
    my $before = $self->redis->done->{calls}{evalsha} // 0;

    do {
        die "a gateway does not find Redis\n" if time > $deadline;
        sleep 0.05;
        $client->ask($request);
    } until ($self->redis->done->{calls}{evalsha} // 0) > $before;
}


# Uses up what a gateway that is shut admits, then looks at its answers.

sub sample {
    my ($self, $gateway, $case, $keys) = @_;

    my $expect = $case->{expect}{$gateway->{kind}};
    my $parts = $self->parts($gateway, $case);
    my $client = Client->new($gateway->port($case->{port}));

    # the runs of these starts are not to be known for longer than others

    $self->await_redis(Client->new($gateway->port('open')),
        Cases::request(Cases::parts($Cases::LIST[0], []), 0))
        if $gateway->{kind} eq 'redis' && !$gateway->{found_redis}++;

    for my $n (0 .. 2 * $Cases::TRIGGERS - 1) {
        my ($status) = $client->ask(Cases::request($parts, $n % $keys));

        next if $status == $expect;
        next if $n < $Cases::TRIGGERS && $case->{port} eq 'shut';

        die "$gateway->{kind} answers $status, not $expect, to:"
            . " $case->{title}\n";
    }
}


# Stops everything; returns what the logs say, which is nothing if all went
# well.

sub stop {
    my ($self) = @_;

    my $said = '';

    while (my $gateway = pop @{$self->{running}}) {
        $gateway->stop;
        $said .= "$gateway->{kind}: $_\n" for split /\n/, $gateway->log;
    }

    $self->{redis}->stop if $self->{redis};

    remove_tree($self->{dir});

    return $said;
}


sub DESTROY {
    my ($self) = @_;

    local ($?, $@);

    $self->stop if $self->{owner} == $$ && -d $self->{dir};
}


1;
