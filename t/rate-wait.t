#!/usr/bin/perl

# Rolling windows in real time: a client that never stops asking gets its
# limit and not more, and Retry-After is the truth.  Takes 76 seconds.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;

use Time::HiRes qw(sleep time);

my $LIMIT = 60;
my $SECONDS = 76;

my $up = stand_in();

my $policy = policy(
    agents => {
        hammer => {rpmLimit => $LIMIT},
        wait   => {rpmLimit => 2},
        zero   => {rpmLimit => 0},
        reads  => {readRpmLimit => 1},
    },
    keys => {alice => {}},
);

my $nginx = nginx();
my $connection = $nginx->client->open_connection;

my %requests = (
    (map { $_ => [POST => '/v1/agents/' . $policy->agent($_) . '/runs',
        json => {}] } qw(hammer wait zero)),
    reads => [GET => '/v1/agents/' . $policy->agent('reads')],
);

my %bytes = map {
    my ($method, $target, @opt) = @{$requests{$_}};
    $_ => $nginx->client->request_bytes($method, $target, @opt,
        key => $policy->key('alice'));
} keys %requests;


# One request on the connection that is kept: what came, and between which
# two instants it was decided.

sub ask {
    my ($what) = @_;

    my $sent = time;

    $connection->send($bytes{$what});
    my $r = $connection->response(timeout => 10);

    if (($r->header('Connection') // '') eq 'close') {
        $connection->end;
        $connection = $nginx->client->open_connection;
    }

    return {sent => $sent, got => time, status => $r->status,
        retry => $r->header('Retry-After')};
}


# Asks until Retry-After steps down: then the time to wait is a whole number
# of seconds, but for what one request takes.

sub step_down {
    my ($what) = @_;

    my $last;

    return wait_for {
        my $r = ask($what);
        my $stepped = defined $last && $r->{retry} < $last;

        $last = $r->{retry};
        $stepped && $r;
    } 5, "Retry-After of $what to step down";
}


my $begin = time;
my %step;

for my $what (qw(wait reads)) {
    ask($what) for 1 .. 2;
    $step{$what} = step_down($what);
    cmp_ok $step{$what}{retry}, '<=', 62, "Retry-After of $what";
    cmp_ok $step{$what}{retry}, '>=', 55, 'is nearly the window';
}


# The schedule of the two that wait: a second early, half a second early, and
# in time.  Between them the third client asks and asks.

my @due = sort { $a->{at} <=> $b->{at} } map {
    my $step = $step{$_};
    my $early = $step->{sent} + $step->{retry};
    my $in_time = $step->{got} + $step->{retry};

    {what => $_, at => $early - 1, early => 1},
    {what => $_, at => $early - 0.5, early => 0.5},
    {what => $_, at => $in_time + 0.01, early => 0};
} qw(wait reads);

my (@admitted, @seen, $asked);

while (time < $begin + $SECONDS) {
    my $answer = ask('hammer');

    push @admitted, $answer if $answer->{status} == 202;
    $asked++;

    while (@due && time >= $due[0]{at}) {
        my $due = shift @due;
        push @seen, {%$due, late => time - $due->{at}, %{ask($due->{what})}};
    }

    sleep 0.025;
}


for (@seen) {
    SKIP: {
        skip "$_->{what}: the machine was too slow to ask in time", 1
            if $_->{early} && $_->{late} + $_->{got} - $_->{sent} > $_->{early} - 0.1;

        is $_->{status}, $_->{early} ? 429 : $_->{what} eq 'wait' ? 202 : 200,
            $_->{early} ? "$_->{what}: $_->{early} s early is refused"
                        : "$_->{what}: after Retry-After it is admitted";
    }
}

is scalar @seen, 6, 'all were asked';
cmp_ok $asked, '>', 8 * $LIMIT, "one client asked without a pause: $asked";


# $LIMIT at once, and as many when they have left the window.

is scalar @admitted, 2 * $LIMIT, 'and got twice its limit';
cmp_ok scalar @admitted, '>=', 0.98 * $LIMIT * $SECONDS / 60,
    'which is 98 % of its limit, and more';

my @gaps = map { {
    least => $admitted[$_ + $LIMIT]{sent} - $admitted[$_]{got},
    most  => $admitted[$_ + $LIMIT]{got} - $admitted[$_]{sent},
} } 0 .. $#admitted - $LIMIT;

is scalar(grep { $_->{most} < 60 } @gaps), 0,
    'no window of 60 s had more than the limit';

my ($first) = sort { $a <=> $b } map { $_->{least} } @gaps;

cmp_ok $first, '<', 61.5, 'nor was the client kept longer than a bucket';

is ask('zero')->{retry}, undef, 'a limit of 0 has no time';


done_testing();
