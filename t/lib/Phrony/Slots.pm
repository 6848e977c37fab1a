package Phrony::Slots;

# What several tests ask of slots and runs.  They share a convention: the key
# "alice" may start runs of every agent, the key "bob" of none of them.

use Phrony::Test;

use Exporter 'import';

our @EXPORT = qw(becomes is_free is_known);


# Whether a slot is free: a start that the upstream refuses gives it back.

sub is_free {
    my ($agent) = @_;

    my $r = start_run($agent, key => 'alice', stand_in => {status => 400});

    die "neither free nor taken: " . $r->raw if $r->status !~ /^(?:400|429)$/;

    return $r->status == 400;
}


# A known run is not for bob; the upstream does not mind.

sub is_known { poll($_[0], key => 'bob')->status == 403 }


# An assertion about what comes true in time.

sub becomes (&$) {
    my ($condition, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    return ok eval { wait_for { $condition->() } 25, $name }, $name;
}

1;
