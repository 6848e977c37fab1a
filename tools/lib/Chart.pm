package Chart;

# A picture of numbers over time as SVG: steps, bars, marks, a limit, a span.
# Text is in the reader's own fonts, colours follow the reader's light or dark
# scheme, and lines differ by their dashes too.  The same numbers give the same
# bytes.

use strict;
use warnings;

my ($WIDTH, $HEIGHT) = (800, 376);
my ($LEFT, $RIGHT, $TOP, $BOTTOM) = (52, 184, 82, 48);

my $STYLE = <<'END';
text { font-family: sans-serif; font-size: 13px; fill: #24292f }
.title { font-size: 16px; font-weight: bold }
.small { font-size: 12px; fill: #57606a }
.paper { fill: #ffffff }
.grid { stroke: #d8dee4; stroke-width: 1 }
.axis { stroke: #57606a; stroke-width: 1 }
.span { fill: #eaeef2 }
.limit { stroke: #57606a; stroke-width: 1.5; stroke-dasharray: 2 3 }
.line { fill: none; stroke-width: 2.25 }
.one { stroke: #0a58ca } .two { stroke: #b34700; stroke-dasharray: 7 3 }
.three { stroke: #1a7f37; stroke-dasharray: 2 2 }
text.one { stroke: none; fill: #0a58ca }
text.two { stroke: none; fill: #b34700 }
text.three { stroke: none; fill: #1a7f37 }
.bar { fill: #0a58ca }
.mark { stroke: #b34700; stroke-width: 1.5 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.small { fill: #9da7b3 }
.paper { fill: #0d1117 }
.grid { stroke: #30363d }
.axis, .limit { stroke: #9da7b3 }
.span { fill: #21262d }
.one { stroke: #79b8ff } .two { stroke: #ffab70 } .three { stroke: #7ee787 }
text.one { fill: #79b8ff }
text.two { fill: #ffab70 }
text.three { fill: #7ee787 }
.bar { fill: #388bfd }
.mark { stroke: #ffab70 }
}
END


# title, about     the lines above; about is what a reader sees in it
# end, every       the last second of the axis, and how many lie between marks
# top, step        the same for the other axis
# side             what that axis counts
# marked           where its marks end, if that is not the top

sub new {
    my ($class, %opt) = @_;

    my $self = bless {%opt, under => [], over => [], labels => []}, $class;

    $self->_axes;

    return $self;
}


sub x {
    my ($self, $second) = @_;

    my $room = $WIDTH - $LEFT - $RIGHT;

    return _number($LEFT + $room * $second / $self->{end});
}


sub y {
    my ($self, $value) = @_;

    my $room = $HEIGHT - $TOP - $BOTTOM;

    return _number($HEIGHT - $BOTTOM - $room * $value / $self->{top});
}


# The same on every machine: one digit, and no "-0".

sub _number {
    my $text = sprintf '%.1f', $_[0];

    $text =~ s/\.0\z//;

    return $text eq '-0' ? 0 : $text;
}


sub _axes {
    my ($self) = @_;

    my ($x, $y) = ($self->x(0), $self->y(0));
    my $end = $self->x($self->{end});
    my $marked = $self->{marked} // $self->{top};

    for (my $value = 0; $value <= $marked; $value += $self->{step}) {
        my $at = $self->y($value);

        push @{$self->{under}}, _line('grid', $x, $at, $end, $at),
            _text('small', $x - 8, $at + 4, $value, 'end');
    }

    for (my $second = 0; $second <= $self->{end};
         $second += $self->{every})
    {
        my $at = $self->x($second);

        push @{$self->{under}}, _line('axis', $at, $y, $at, $y + 5),
            _text('small', $at, $y + 19, $second, 'middle');
    }

    push @{$self->{under}}, _line('axis', $x, $y, $end, $y),
        _text('small', $end, $y + 36, 'seconds', 'end'),
        _text('small', $x - 40, $TOP - 12, $self->{side}, 'start');
}


# A grey span of time with a word above.

sub span {
    my ($self, $from, $to, $text) = @_;

    my ($x, $end, $top) = ($self->x($from), $self->x($to), $TOP);

    unshift @{$self->{under}}, sprintf
        '<rect class="span" x="%s" y="%s" width="%s" height="%s"/>',
        $x, $top, _number($end - $x), _number($self->y(0) - $top);
    push @{$self->{over}}, _text('small', _number(($x + $end) / 2), $top + 14,
        $text, 'middle');
}


sub limit {
    my ($self, $value, $text) = @_;

    my $y = $self->y($value);

    push @{$self->{over}},
        _line('limit', $self->x(0), $y, $self->x($self->{end}), $y),
        _text('small', $self->x($self->{end}) - 4, $y - 6, $text, 'end');
}


# A vertical line at a moment.

sub moment {
    my ($self, $second, $text) = @_;

    my $x = $self->x($second);

    push @{$self->{over}}, _line('limit', $x, $TOP, $x, $self->y(0)),
        _text('small', $x + 4, $TOP + 10, $text, 'start');
}


# Steps through [second, value] pairs, with a label of one or more lines at the
# right.

sub steps {
    my ($self, $class, $label, @points) = @_;

    my ($last, $path) = (0, 'M' . $self->x(0) . ',' . $self->y(0));

    for (@points) {
        my ($second, $value) = @$_;

        last if $second > $self->{end};
        next if $value == $last;

        $path .= 'H' . $self->x($second) . 'V' . $self->y($value);
        $last = $value;
    }

    $path .= 'H' . $self->x($self->{end});
    push @{$self->{over}}, qq{<path class="line $class" d="$path"/>};
    push @{$self->{labels}}, [$self->y($last), $class, split /\n/, $label];
}


# A bar in a lane: from one second to another.

sub bar {
    my ($self, $lane, $from, $to) = @_;

    my ($top, $x) = ($self->y($lane + 0.85), $self->x($from));

    push @{$self->{over}}, sprintf '<rect class="bar" x="%s" y="%s"'
        . ' width="%s" height="%s" rx="3"/>', $x, $top,
        _number($self->x($to) - $x), _number($self->y($lane + 0.15) - $top);
}


sub mark {
    my ($self, $value, $second) = @_;

    my ($x, $y) = ($self->x($second), $self->y($value));

    push @{$self->{over}}, _line('mark', $x, $y - 6, $x, $y + 6);
}


sub note {
    my ($self, $value, $text) = @_;

    push @{$self->{labels}}, [$self->y($value), 'small', split /\n/, $text];
}


# Labels keep their order and a distance.

sub _labels {
    my ($self) = @_;

    my $x = $self->x($self->{end}) + 10;
    my ($free, @made) = $TOP;

    for (sort { $a->[0] <=> $b->[0] } @{$self->{labels}}) {
        my ($y, $class, @lines) = @$_;

        $y = $free if $y < $free;

        for my $line (@lines) {
            push @made, _text($class, $x, $y + 4, $line, 'start');
            $y += 15;
        }

        $free = $y + 5;
    }

    return @made;
}


sub svg {
    my ($self) = @_;

    my ($title, $about) = map { _escape($self->{$_}) } qw(title about);

    return join "\n",
        qq{<svg xmlns="http://www.w3.org/2000/svg" width="$WIDTH"}
            . qq{ height="$HEIGHT" viewBox="0 0 $WIDTH $HEIGHT" role="img"}
            . ' aria-labelledby="title about">',
        qq{<title id="title">$title</title>},
        qq{<desc id="about">$about</desc>},
        "<style>\n$STYLE</style>",
        qq{<rect class="paper" width="$WIDTH" height="$HEIGHT"/>},
        _text('title', 12, 24, $self->{title}, 'start'),
        _text('small', 12, 42, $self->{about}, 'start'),
        @{$self->{under}}, @{$self->{over}}, $self->_labels, '</svg>', '';
}


sub _line {
    my ($class, $x, $y, $to_x, $to_y) = @_;

    return qq{<line class="$class" x1="$x" y1="$y" x2="$to_x" y2="$to_y"/>};
}


sub _text {
    my ($class, $x, $y, $text, $anchor) = @_;

    return sprintf '<text class="%s" x="%s" y="%s" text-anchor="%s">%s</text>',
        $class, _number($x), _number($y), $anchor, _escape($text);
}


sub _escape {
    my ($text) = @_;

    my %name = ('&' => '&amp;', '<' => '&lt;', '>' => '&gt;');

    $text =~ s/([&<>])/$name{$1}/g;

    return $text;
}


1;
