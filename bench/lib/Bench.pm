package Bench;

# What the comparisons have in common: a private directory, the upstream,
# the gateways, the policies, and the proof that each answers as it should.

use strict;
use warnings;

use File::Path qw(remove_tree);
use File::Temp qw(tempdir);
use POSIX ();

use Cases;
use Client;
use Gateway;

my $MANY = 10_000_000;          # a limit that nothing reaches


sub new {
    my ($class) = @_;

    my $dir = tempdir('bench-phrony-XXXXXXXX', TMPDIR => 1);
    chmod 0755, $dir;

    my $self = bless { dir => $dir, running => [], policy => {},
        owner => $$ }, $class;

    my $upstream = $self->start('upstream', kind => 'upstream');
    $self->{upstream_port} = $upstream->port;

    return $self;
}


# Starts an nginx in the directory $name.

sub start {
    my ($self, $name, %opt) = @_;

    my $gateway = Gateway->new(dir => "$self->{dir}/$name",
        upstream_port => $self->{upstream_port}, %opt);

    push @{$self->{running}}, $gateway;

    return $gateway->start;
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


# Uses up what a gateway that is shut admits, then looks at its answers.

sub sample {
    my ($self, $gateway, $case, $keys) = @_;

    my $expect = $case->{expect}{$gateway->{kind}};
    my $parts = $self->parts($gateway, $case);
    my $client = Client->new($gateway->port($case->{port}));

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

    remove_tree($self->{dir});

    return $said;
}


sub DESTROY {
    my ($self) = @_;

    local ($?, $@);

    $self->stop if $self->{owner} == $$ && -d $self->{dir};
}


1;
