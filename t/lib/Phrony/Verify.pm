package Phrony::Verify;

# What several tests ask of "phrony_verify".  They share the convention of
# Phrony::Slots, and the agent "canary" is one of which a slot is known to be
# asked for: what was started before it was not seen for as long.

use Phrony::Slots qw(becomes);
use Phrony::Test;

use Exporter 'import';
use Time::HiRes qw(sleep);

our @EXPORT = qw(asked asked_sessions becomes go_stale hold try_start uuid
    verify_http verify_location);

my $count = 0;


# The location where the upstream is asked.  What the stand-in is to do there
# is said by the map below: a start's own X-Stand-In is for the start.

sub verify_location {
    my ($name) = @_;

    return "location = @{[$name // '/phrony_verify']} {" . <<'END';

            internal;
            phrony off;
            proxy_set_header Connection "";
            proxy_set_header X-Stand-In $asked_for;
            proxy_set_header X-Asked "run $phrony_verify_run_id";
            proxy_pass http://{{upstream_name}}$phrony_verify_path;
        }
END
}


# By the beginning of the run's id, or else the field X-Verify of the start.
# No subrequest sees what was computed for another one.

sub verify_http {
    my (%asked) = @_;

    return join "\n", 'map $phrony_verify_run_id $asked_for {',
        'default $http_x_verify;',
        (map { qq{"~^$_" "} . Phrony::Client::stand_in($asked{$_}) . '";' }
            sort keys %asked), '}';
}


sub uuid {
    my ($begin) = @_;

    return sprintf '%s-0000-4000-8000-%012x', $begin // '0a0b0c0d', ++$count;
}


# Starts a run, or dies; returns its id.  "at" and other options are those of
# start_run(), "state" is what the stand-in says of it from now on.

sub hold {
    my ($up, $agent, %opt) = @_;

    my $state = delete $opt{state};
    my $run = uuid(delete $opt{begin});
    my $r = start_run($agent, key => 'alice', stand_in => {run => $run},
        %opt);

    die "$agent: " . $r->raw if $r->status != 202;
    $up->set_run($run, status => $state) if $state;

    return $run;
}


# A start that leaves nothing behind: 400 if there was a slot for it, or 429.
# "verify" is what the upstream is to do when it is asked.

sub try_start {
    my ($agent, %opt) = @_;

    my $verify = delete $opt{verify};

    push @{$opt{headers}}, 'X-Verify', Phrony::Client::stand_in($verify)
        if $verify;

    return start_run($agent, key => 'alice', stand_in => {status => 400},
        %opt);
}


# How often, and how, the upstream was asked for a run.

sub asked {
    my ($up, $run) = @_;

    return grep { ($up->field($_, 'X-Asked') // '') eq "run $run" }
        $up->requests(qr{\AGET /v1/runs/\Q$run\E\z});
}


# Or for the sessions of an agent.

sub asked_sessions {
    my ($up, $agent) = @_;

    return grep { defined $up->field($_, 'X-Asked') }
        $up->requests(qr{\AGET /v1/agents/\Q$agent\E/sessions\?});
}


# Waits until what was done up to now is so long ago that the upstream is asked
# about it.

sub go_stale {
    my ($up, %opt) = @_;

    my $agent = delete $opt{agent} // 'canary';

    hold($up, $agent, %opt, state => 'Completed');

    return becomes {
        sleep 0.2;
        try_start($agent, %opt)->status == 400;
    } 'what was not seen for a while is asked for';
}


1;
