package Report;

# The tables of what was measured.
#
# A contest is one case, one kind of gateway and one number of keys; "rounds"
# is what was found in each round, "calls" the system calls per request.

use strict;
use warnings;

my $NOISE = 0.1;        # us that are spent on nothing in particular

our %TITLE = (plain => 'plain', limits => 'limit_*', phrony => 'phrony',
    redis => 'phrony, Redis', probe => 'probe');


# All contests of a case; $counter is what counted system calls, or ''.

sub table {
    my ($contests, $connections, $counter) = @_;

    my $case = $contests->[0]{case};
    my %found = map { ("$_->{kind} $_->{keys}" => $_) } @$contests;
    my ($few, $many) = sort { $a <=> $b } keys %{{
        map { ($_->{keys} => 1) } @$contests }};

    printf "\n%s, %d connections%s\n", $case->{title}, $connections,
        target($case);
    printf "%-26s %-21s %-21s %-7s %7s %7s %7s\n", '', 'CPU us per request',
        'as ratio to plain', 'least', 'req/s', 'p50 ms', 'p99 ms';

    for my $kind (qw(plain limits phrony redis probe)) {
        line($_, $found{"plain $_->{keys}"})
            for grep { $_ } map { $found{"$kind $_"} } $few, $many // ();
    }

    if ($many) {
        many_to_few($_, \%found, $many, $few) for qw(plain phrony);
    }

    redis(\%found, $few, $counter) if $found{"redis $few"};
}


sub line {
    my ($contest, $plain) = @_;

    my ($kind, $keys) = @$contest{qw(kind keys)};
    my @rounds = @{$contest->{rounds}};
    my $is_plain = $kind eq 'plain';
    my @ratios = ratios(\@rounds, $plain->{rounds});

    printf "  %-24s %-21s %-21s %-7s %7.0f %7.2f %7.2f%s\n",
        "$TITLE{$kind}, " . thousands($keys) . ' keys',
        summary('%.2f', map { $_->{cpu} } @rounds),
        $is_plain ? 1 : summary('%.3f', @ratios),
        $is_plain ? 1 : sprintf('%.3f', least(\@rounds, $plain->{rounds})),
        (map { middle($_, @rounds) } qw(rate p50 p99)),
        verdict($contest->{case}{target}{$kind}, median(@ratios));
}


# For plain the keys' number means nothing: what its line shows is how far
# two measurements of the same may lie apart, while the machine is what it is.

sub many_to_few {
    my ($kind, $found, $many, $few) = @_;

    my @both = map { $found->{"$kind $_"}{rounds} } $many, $few;
    my @ratios = ratios(@both);

    printf "  %-46s %-21s %-7.3f%s\n",
        sprintf('%s, %s keys to %d%s', $TITLE{$kind}, thousands($many), $few,
            $kind eq 'plain' ? ': noise' : '; target 1.05'),
        summary('%.3f', @ratios), least(@both),
        $kind eq 'plain' ? '' : verdict([1.05, 1.05], median(@ratios));
}


# What a request costs with Redis that is not the worker's CPU time.

sub redis {
    my ($found, $keys, $counter) = @_;

    my ($plain, $phrony, $redis, $probe) = map { $found->{"$_ $keys"} }
        qw(plain phrony redis probe);
    my $case = $redis->{case};

    p99($redis, $phrony);
    to_probe($redis, $probe) if $probe;
    system_calls($case, $counter, $plain, $phrony, $redis, $probe // ())
        if $redis->{calls};
    server($case, map { $_->{redis} } @{$redis->{rounds}});
}


sub p99 {
    my ($redis, $phrony) = @_;

    my @ratios = map { $redis->{rounds}[$_]{p99} / $phrony->{rounds}[$_]{p99} }
        0 .. $#{$redis->{rounds}};

    printf "  %-46s %s\n", 'p99 with Redis, as ratio to that without',
        summary('%.2f', @ratios);
}


# The least that asking Redis costs is not the module's.

sub to_probe {
    my ($redis, $probe) = @_;

    my @both = map { $_->{rounds} } $redis, $probe;

    printf "  %-46s %-21s %-7.3f\n", "$TITLE{redis} to probe",
        summary('%.3f', ratios(@both)), least(@both);
}


sub system_calls {
    my ($case, $counter, $plain, @gateways) = @_;

    for my $contest (@gateways) {
        my $extra = median(@{$contest->{calls}}) - median(@{$plain->{calls}});
        my $goal = $contest->{kind} eq 'redis' && $case->{calls};

        printf "  %-46s %.2f - %.2f = %+.2f%s%s\n",
            "system calls, $TITLE{$contest->{kind}} - plain (by $counter)",
            median(@{$contest->{calls}}), median(@{$plain->{calls}}), $extra,
            $goal ? sprintf('; target %.2f', $goal) : '',
            $goal ? verdict([$goal, $goal], $extra) : '';
    }
}


# Of Redis itself; the figures are already per request.

sub server {
    my ($case, @rounds) = @_;

    my $cpu = middle('cpu', @rounds);
    my $goal = $case->{redis};

    printf "  %-46s %s%s%s\n", 'CPU us of Redis per request',
        summary('%.2f', map { $_->{cpu} } @rounds),
        $case->{asks} ? sprintf('; %s a second and core',
            thousands(int(1e6 / $cpu))) : '',
        !defined $goal ? ''
            : sprintf('; target %.2f', $goal)
                . verdict([($goal || $NOISE) x 2], $cpu);

    printf "  %-46s %s\n", 'commands per request (us within each)',
        commands(@rounds) || 'none';
}


# Those that are not next to nothing.

sub commands {
    my (@rounds) = @_;

    my %name = map { ($_ => 1) } map { keys %{$_->{calls}} } @rounds;
    my @said;

    for my $name (sort keys %name) {
        my $calls = median(map { $_->{calls}{$name} // 0 } @rounds);
        my $us = median(map { $_->{us}{$name} // 0 } @rounds);

        push @said, sprintf '%s %.3f (%.2f)', $name, $calls, $us / $calls
            if $calls >= 0.001;
    }

    return join ', ', @said;
}


# What the figures are worth.

sub machine {
    my (@others) = @_;

    my ($worst) = sort { $b <=> $a } @others;

    printf "\nOther processes had %.0f %% of the processors in the median"
        . " round, %.0f %% in the worst.\n", 100 * median(@others),
        100 * $worst;
}


sub target {
    my ($case) = @_;

    my @said;

    for my $kind (qw(phrony redis)) {
        my ($goal, $limit) = @{$case->{target}{$kind} || next};

        push @said, sprintf '%s %.2f%s', $TITLE{$kind}, $goal,
            $limit > $goal ? sprintf(' (limit %.2f)', $limit) : '';
    }

    return @said ? '; targets of plain: ' . join('; ', @said) : '';
}


sub verdict {
    my ($target, $value) = @_;

    return '' if !$target;

    my ($goal, $limit) = @$target;

    return ' MISSED' if $value > $limit;

    return $value > $goal ? ' over goal' : ' met';
}


# Of the CPU time, round by round.

sub ratios {
    my ($these, $those) = @_;

    return map { $these->[$_]{cpu} / $those->[$_]{cpu} } 0 .. $#$these;
}


# Of the rounds that were disturbed least.

sub least {
    my ($these, $those) = @_;

    my @least = map { (sort { $a <=> $b } map { $_->{cpu} } @$_)[0] }
        $these, $those;

    return $least[0] / $least[1];
}


sub middle {
    my ($what, @rounds) = @_;

    return median(map { $_->{$what} } @rounds);
}


sub summary {
    my ($format, @values) = @_;

    @values = sort { $a <=> $b } @values;

    return sprintf "$format ($format-$format)", median(@values),
        $values[0], $values[-1];
}


sub median {
    my @values = sort { $a <=> $b } @_;

    return ($values[$#values / 2] + $values[@values / 2]) / 2;
}


sub thousands {
    my ($n) = @_;

    1 while $n =~ s/^(\d+)(\d{3})/$1,$2/;

    return $n;
}


1;
