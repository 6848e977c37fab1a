package Phrony::Crash;

# What the crash drills have in common: starts that stand at chosen points of
# the lease's way, the end of who serves them, and the truth, which the
# stand-in upstream knows.
#
# A point has two agents of a limit of two, "SCENE POINT long" and "SCENE POINT
# short": of the one, the leases outlive the test, of the other they are brief.
# Each has a run that goes on, and the start or run that is at this point.

use Phrony::Test;
use Phrony::Runs;
use Phrony::Slots qw(becomes);

use Exporter 'import';
use IO::Select;
use Time::HiRes qw(time);

our @EXPORT = qw(crash_agents crash_servers kill_gateway);

our $LIMIT = 2;
our $KEY = 'alice';

my @TTLS = qw(long short);
my $runs = 0;


# The agents of these scenes, each with these points, for policy().

sub crash_agents {
    my ($scenes, @points) = @_;

    return {map { my $scene = $_;
        map { my $point = $_;
            map { ("$scene $point $_" => {maxConcurrentRuns => $LIMIT}) }
                @TTLS } @points } @$scenes};
}


# Options of nginx(): a port for each kind of lease, "http" goes there as well.

sub crash_servers {
    my (%opt) = @_;

    my %ttl = (long => '64s', short => '3s');

    my $servers = join '', map { "
        server {
            listen 127.0.0.1:{{p_$_}};
            phrony_reservation_ttl $ttl{$_};
            phrony_run_ttl $ttl{$_};
            location / { phrony on; proxy_buffering off;
                proxy_pass http://{{upstream_name}}; }
        }
    " } @TTLS;

    return (
        workers  => 1,
        location => 'location = /status { phrony_status; }',
        %opt,
        http => ($opt{http} // '') . $servers,
        map { ("p_$_" => free_port()) } @TTLS,
    );
}


# The master and all its workers die at once; then nginx is started anew, with
# an empty zone.

sub kill_gateway {
    my ($nginx) = @_;

    my @pids = ($nginx->pid, $nginx->workers);

    kill KILL => @pids;
    waitpid $pids[0], 0;
    wait_for { !grep { _lives($_) } @pids } 10, 'the end of all processes';
    $nginx->start;
}


sub _lives {
    my ($pid) = @_;

    open my $file, '<', "/proc/$pid/stat" or return 0;

    return (readline($file) // '') =~ /\) [^XZ] / ? 1 : 0;
}


# scene    the agents' first word
# up       the stand-in
# policy
# at       the nginx that the starts go through
# nginx    [all that share the limit]

sub new {
    my ($class, %opt) = @_;

    return bless {%opt, over => {}, open => {}}, $class;
}


sub _client {
    my ($nginx, $ttl) = @_;

    return client($nginx->{opt}{"p_$ttl"});
}


# A client of the leases of this kind.

sub client_of { _client($_[0]{at}, $_[1]) }


sub _agent { "$_[0]{scene} $_[1]" }


sub _uuid { sprintf '0b1c2d3e-%04x-4000-8000-%012x', $$ & 0xffff, ++$runs }


# A start at "point" with its own run, for each kind of lease; its answer is
# not waited for.

sub begin {
    my ($self, $point, %asked) = @_;

    for my $ttl (@TTLS) {
        my $client = _client($self->{at}, $ttl);
        my $run = $self->{run}{"$point $ttl"} = _uuid();
        my ($method, $target, %opt) = start_request(
            $self->_agent("$point $ttl"), key => $KEY,
            stand_in => {%asked, run => $run});

        my $connection = $self->{open}{"$point $ttl"}
            = $client->open_connection;

        $connection->send($client->request_bytes($method, $target, %opt));
    }
}


# Waits until the upstream has these starts.

sub arrived {
    my ($self, @points) = @_;

    my %seen;

    wait_for {
        %seen = map { _run_of($_) => 1 } $self->_starts;
        !grep { !$seen{$self->{run}{$_}} } _both(@points);
    } 10, "starts at the upstream";
}


sub _both { map { my $point = $_; map { "$point $_" } @TTLS } @_ }


sub _starts {
    my ($self) = @_;

    return $self->{up}->requests(qr{\APOST /v1/agents/[^/]+/runs\z});
}


# The run that a recorded start has asked for, '' if it has not.

sub _run_of {
    my ($start) = @_;

    for (@{$start->{headers}}) {
        return $1 if $_->[0] eq 'X-Stand-In' && $_->[1] =~ /\brun=([^;]+)/;
    }

    return '';
}


# The statuses of the answers to these, "cut" for those that were cut off.

sub answers {
    my ($self, @points) = @_;

    return [map { my $r = eval { delete($self->{open}{$_})->response };
        $r ? $r->status : 'cut' } _both(@points)];
}


# A run that goes on, at each of these points.

sub bystanders {
    my ($self, @points) = @_;

    for my $point (@points) {
        $self->begin($point);
        my $statuses = $self->answers($point);
        die "no bystander: @$statuses\n" if "@$statuses" ne '202 202';
        $self->{bystander}{$_} = $self->{run}{$_} for _both($point);
    }
}


# A point's run itself, and the one beside it.

sub run_at       { $_[0]{run}{"$_[1] $_[2]"} }
sub bystander_at { $_[0]{bystander}{"$_[1] $_[2]"} }


# The upstream says that these runs have ended; the gateway is not told.

sub over {
    my ($self, @runs) = @_;

    my $known = $self->{up}->runs;

    for my $run (@runs) {
        $self->{over}{$run} //= time;
        $self->{up}->set_run($run, status => 'Completed') if $known->{$run};
    }
}


# The points that were reached.

sub points {
    my ($self) = @_;

    return sort map { /\A(.*) long\z/ } keys %{$self->{run}};
}


# Polls a point's runs; the answers' statuses.

sub polled {
    my ($self, $point, $nginx) = @_;

    return map { poll($self->run_at($point, $_), key => $KEY,
        at => _client($nginx // $self->{at}, $_)) } @TTLS;
}


# Opens the streams of a point's runs.

sub watch {
    my ($self, $point) = @_;

    $self->{stream}{"$point $_"} = open_stream($self->run_at($point, $_),
        at => _client($self->{at}, $_)) for @TTLS;
}


# What has not been told on all gateways.

sub untold {
    my ($self) = @_;

    my $sum = 0;

    $sum += $_->client->req(GET => '/status')->json->{store}{untold}
        for @{$self->{nginx}};

    return $sum;
}


# How many starts are admitted, of twice the limit that are with the gateways
# at the same time; they end before it returns.

sub admitted {
    my ($self, $name) = @_;

    my ($ttl) = $name =~ /(\w+)\z/;
    my @clients = map { _client($_, $ttl) } @{$self->{nginx}};
    my $seen = $self->{up}->count;
    my $n = 2 * $LIMIT * @clients;
    my (@runs, @open);

    for my $i (1 .. $n) {
        my $client = $clients[$i % @clients];
        my ($method, $target, %opt) = start_request($self->_agent($name),
            key => $KEY, headers => [Connection => 'close'], stand_in =>
            {hold => 1, finish => 'now', run => $runs[$i - 1] = _uuid()});

        push @open, $client->open_connection;
        $open[-1]->send($client->request_bytes($method, $target, %opt));
    }

    my $select = IO::Select->new(map { $_->{socket} } @open);

    wait_for {
        my @refused = $select->can_read(0);
        $self->{up}->count - $seen + @refused >= $n;
    } 10, "$name: a decision on each";

    $self->{over}{$_} = time for @runs;
    $self->{up}->release($_) for @runs;

    my @statuses = map { $_->response->status } @open;
    my @others = grep { !/\A(?:202|429)\z/ } @statuses;

    die "$name: @others\n" if @others;

    return scalar grep { $_ == 202 } @statuses;
}


# So many slots are free, whatever was to be told is told; never more.

sub free_is {
    my ($self, $name, $expected) = @_;

    my $agent = $self->_agent($name);
    my @got;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    eval {
        wait_for { push @got, $self->admitted($name); $got[-1] >= $expected }
            20, 'slots';
    };
    diag $@ if $@ && !@got;

    return is $got[-1], $expected, "$agent: $expected free";
}


# The most that were unfinished at any time, by agent: starts that the upstream
# had got and did not refuse, until their run was over.

sub peaks {
    my ($self) = @_;

    my (%change, %peak);

    for my $start ($self->_starts) {
        my $status = $start->{status} // 0;
        my $run = _run_of($start);

        next if $status >= 300 && $status != 502;

        my ($agent) = $start->{target} =~ m{/agents/([^/]+)/};
        push @{$change{$agent}}, [$start->{time}, 1];
        push @{$change{$agent}}, [$self->{over}{$run}, -1]
            if $self->{over}{$run};
    }

    for my $agent (keys %change) {
        my $now = $peak{$agent} = 0;

        for (sort { $a->[0] <=> $b->[0] || $a->[1] <=> $b->[1] }
             @{$change{$agent}})
        {
            $now += $_->[1];
            $peak{$agent} = $now if $now > $peak{$agent};
        }
    }

    return \%peak;
}


# Never more than the limit, at none of the points.

sub never_more {
    my ($self) = @_;

    my $peaks = $self->peaks;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my @more = grep { $peaks->{$self->{policy}->agent($self->_agent($_))}
        > $LIMIT } keys %{$self->{run}};

    return is_deeply [sort @more], [],
        "$self->{scene}: never more unfinished runs than the limit";
}


# Afterwards: whatever is unfinished ends without a word to the gateway, and
# all slots of the brief leases come back, and not one more.

sub all_free {
    my ($self) = @_;

    $self->over(map { _run_of($_) } $self->_mine);
    $self->free_is($_, $LIMIT) for grep { / short\z/ } sort
        keys %{$self->{run}};
}


sub _mine {
    my ($self) = @_;

    my %agent = map { $self->{policy}->agent($self->_agent($_)) => 1 }
        keys %{$self->{run}};

    return grep { $agent{$_->{target} =~ s{.*/agents/([^/]+)/.*}{$1}r} }
        $self->_starts;
}


1;
