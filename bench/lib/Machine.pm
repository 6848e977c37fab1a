package Machine;

# How much of the machine goes to others while something is measured.

use strict;
use warnings;

use POSIX ();
use Time::HiRes qw(time);

use Gateway;

my $TICKS = POSIX::sysconf(POSIX::_SC_CLK_TCK()) || 100;


# What was spent so far, in seconds: by all, and by this process, its children
# that have ended, and the processes with these ids.

sub spent {
    my (@pids) = @_;

    my $stat = Gateway::read_file('/proc/stat');
    my (undef, @all) = split ' ', $stat;
    my %spent = (all => 0, own => 0, at => time,
        processors => scalar(() = $stat =~ /^cpu\d/mg));

    # user, nice, system, and stolen by other guests; interrupts are nobody's

    $spent{all} += ($all[$_] // 0) / $TICKS for 0 .. 2, 7;
    $spent{own} += $_ for times;

    for my $pid (@pids) {
        my ($rest) = Gateway::read_file("/proc/$pid/stat") =~ /.*\) (.*)/s;
        my @field = split ' ', $rest;

        $spent{own} += ($field[11] + $field[12]) / $TICKS;
    }

    return \%spent;
}


# The share of all processors that others have had between two of these.

sub others {
    my ($from, $to) = @_;

    my ($all, $own, $time) = map { $to->{$_} - $from->{$_} } qw(all own at);
    my $others = ($all - $own) / $time / $to->{processors};

    return $others > 0 ? $others : 0;
}


1;
