package Phrony::Metrics;

# What a scraper gets: the text of Prometheus or OpenMetrics, read strictly.

use strict;
use warnings;


my $NAME = qr/[a-zA-Z_:][a-zA-Z0-9_:]*/;
my $LABELS = qr/\{$NAME="[^"\\\n]*"(?:,$NAME="[^"\\\n]*")*\}/;

# What a sample of a family may be called.

my %SUFFIX = (counter => qr/_total/, histogram => qr/_(?:bucket|sum|count)/,
    info => qr/_info/, gauge => qr//);


sub parse {
    my ($class, $text) = @_;

    my $self = bless {lines => [split /\n/, $text], value => {}, order => [],
        ends => $text =~ /\n\z/ ? 1 : 0}, $class;

    for (@{$self->{lines}}) {
        next if !/\A($NAME$LABELS?) (\S+)\z/;
        push @{$self->{order}}, $1;
        $self->{value}{$1} = $2;
    }

    return $self;
}


# The value of 'name{label="value"}', undef if it is not there.

sub value { $_[0]{value}{$_[1]} }


# The names of all samples, once each, without labels.

sub names {
    my ($self) = @_;

    my %seen;

    return grep { !$seen{$_}++ } map { /\A($NAME)/ } @{$self->{order}};
}


# What is wrong with it: a list of complaints.

sub faults {
    my ($self, $openmetrics) = @_;

    my (@faults, %family, $family, %seen);
    my @lines = @{$self->{lines}};

    push @faults, 'no line feed at the end' if !$self->{ends};

    if ($openmetrics) {
        push @faults, 'no end' if pop @lines ne '# EOF';
    }

    for (@lines) {
        if (/\A# HELP ($NAME) \S.*\z/) {
            push @faults, "$1 is there twice" if $family{$1};
            $family = $1;
            $family{$family} = {};

        } elsif (/\A# TYPE ($NAME) (\w+)\z/) {
            push @faults, "type of $1, not $family" if $1 ne $family;
            push @faults, "$1 has type $2" if !$SUFFIX{$2};
            $family{$1}{type} = $2;

        } elsif ($openmetrics && /\A# UNIT ($NAME) (\w+)\z/) {
            push @faults, "$1 has unit $2" if $1 !~ /_\Q$2\E\z/;

        } elsif (/\A($NAME)($LABELS)? (\d+(?:\.\d+)?)\z/) {
            my ($name, $labels) = ($1, $2 // '');

            push @faults, "$name$labels is there twice"
                if $seen{$name . $labels}++;

            my $type = $family{$family}{type};
            my $suffix = $openmetrics || $type eq 'histogram'
                ? $SUFFIX{$type} : qr//;

            push @faults, "$name in $family"
                if $name !~ /\A\Q$family\E$suffix\z/;
            push @faults, "$name is no counter's name"
                if $type eq 'counter' && $name !~ /_total\z/;

        } else {
            push @faults, "not understood: $_";
        }
    }

    return @faults, $self->_histogram_faults;
}


# Buckets never fall, and the last of them is the count.

sub _histogram_faults {
    my ($self) = @_;

    my (@faults, %last);

    for my $name (@{$self->{order}}) {
        my ($of, $labels) = $name =~ /\A($NAME)_bucket\{(.*)\}\z/ or next;
        my $value = $self->{value}{$name};

        $labels =~ s/,?le="([^"]*)"//;

        my $le = $1;
        my $key = $of . '_count' . ($labels ne '' ? "{$labels}" : '');

        push @faults, "$name falls" if $value < ($last{$key} // 0);
        push @faults, "$name is not $key"
            if $le eq '+Inf' && $value != ($self->{value}{$key} // -1);
        $last{$key} = $value;
    }

    return @faults;
}


1;
