#!/usr/bin/perl

# Crash drills, counts in memory: a worker, or the whole gateway, is killed
# while starts and runs stand at each point of the lease's way.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;
use Phrony::Crash;
use Phrony::Runs;

my @POINTS = qw(waits cut-202 cut-400 bound unknown refused ended
    end-unread streamed polled);
my @SCENES = qw(worker gateway);

my $up = stand_in();
my $policy = policy(agents => crash_agents(\@SCENES, @POINTS),
    keys => {alice => {}});

my %scene = map {
    my $nginx = nginx(crash_servers());
    $_ => Phrony::Crash->new(scene => $_, up => $up, policy => $policy,
        at => $nginx, nginx => [$nginx]);
} @SCENES;


# An answer to a start that stands still within its body: the client has the
# head, what it means is not known yet.

sub half_answered {
    my ($scene, $point, %asked) = @_;

    $scene->begin($point, 'body-delay' => 60, %asked);
    $scene->{open}{"$point $_"}->read_until(qr/\r\n\r\n/) for qw(long short);
}


# Likewise to a poll that would say the end.

sub half_polled {
    my ($scene, $point) = @_;

    for my $ttl (qw(long short)) {
        my $client = $scene->client_of($ttl);
        my $run = $scene->run_at($point, $ttl);
        my $connection = $scene->{poll}{$ttl} = $client->open_connection;

        $scene->over($run);
        $connection->send($client->request_bytes(GET => "/v1/runs/$run",
            key => $policy->key('alice'), stand_in => {'body-delay' => 60}));
        $connection->read_until(qr/\r\n\r\n/);
    }
}


# All points are reached, in the one worker that there is.

sub set_up {
    my ($scene) = @_;

    $scene->bystanders(@POINTS);

    $scene->begin('waits', hold => 1);
    $scene->arrived('waits');
    half_answered($scene, 'cut-202');
    half_answered($scene, 'cut-400', status => 400);

    $scene->begin($_) for qw(bound ended end-unread streamed polled);
    $scene->begin('unknown', status => 502);
    $scene->begin('refused', status => 400);
    is_deeply $scene->answers(qw(bound ended end-unread streamed polled
        unknown refused)), [(202) x 10, 502, 502, 400, 400], 'the answers';

    $scene->over($scene->run_at('ended', $_)) for qw(long short);
    $_->status for $scene->polled('ended');
    half_polled($scene, 'end-unread');

    $scene->watch('streamed');

    for my $ttl (qw(long short)) {
        my $run = $scene->run_at('streamed', $ttl);

        ok events_pass($up, $run, $scene->{stream}{"streamed $ttl"},
            ends($run)), 'an end passes';
        $scene->over($run);
    }

    is $_->json->{status}, 'Running', 'polled' for $scene->polled('polled');
}


subtest 'a worker is killed' => sub {
    my $scene = $scene{worker};

    # what the killed worker did not see to its end holds its slot

    my %free = (waits => 0, 'cut-202' => 0, 'cut-400' => 0, bound => 0,
        unknown => 0, refused => 1, ended => 1, 'end-unread' => 0,
        streamed => 1, polled => 0);

    set_up($scene);
    $scene->{at}->kill_worker;

    is_deeply $scene->answers('waits'), ['cut', 'cut'], 'starts are cut off';
    $scene->free_is("$_ long", $free{$_}) for @POINTS;

    # an end that the killed worker did not see is seen by the next one

    $_->status for $scene->polled('end-unread');
    $scene->free_is('end-unread long', 1);
};


# The zone is gone: what the upstream still does is not known, and holds no
# slot.

subtest 'the whole gateway is killed' => sub {
    my $scene = $scene{gateway};

    set_up($scene);
    kill_gateway($scene->{at});

    is_deeply $scene->answers('waits'), ['cut', 'cut'], 'starts are cut off';
    $scene->free_is("$_ long", $Phrony::Crash::LIMIT) for @POINTS;

    # nor does a run that is seen again

    $_->status for $scene->polled('bound');
    $scene->free_is('bound long', $Phrony::Crash::LIMIT);
};


subtest 'all slots come back in time' => sub {
    $_->all_free for values %scene;
    $scene{worker}->never_more;
};


done_testing();
