package Answers;

# Large answers to who asks for a run: its status in front of 5 MB of output,
# or behind it.  They name no run: one file does for all.

use strict;
use warnings;

use Gateway;

my $LARGE = 5_000_000;          # bytes

my @WORDS = qw(the ticket customer invoice was asked late refund and of to
    shipment confirmed by account page error again with support their
    reported in two after summary);


# Writes them into $dir, by the names "front" and "end".

sub write_files {
    my ($dir) = @_;

    my $output = output();
    my $status = '"status":"Running"';

    mkdir $dir, 0755 or die "$dir: $!\n";

    Gateway::write_file("$dir/front", "{$status,$output}");
    Gateway::write_file("$dir/end", "{$output,$status}");
}


# What agents write: objects with a few short members and one of prose, which
# has its quotes, line breaks and letters that are no ASCII.  The same each
# time.

sub output {
    my $items = '';
    my $drawn = 1;

    for (my $n = 1; length $items < $LARGE; $n++) {
        my @words = map {
            $drawn = ($drawn * 75 + 74) % 65537;
            $WORDS[$drawn % @WORDS];
        } 1 .. 60;

        $words[20] .= '.\\n';
        $words[40] = "\\\"$words[40]\\\"";
        $words[50] = "caf\xc3\xa9";

        $items .= ',' if $n > 1;
        $items .= qq({"id":$n,"title":"Ticket $n","status":"Completed",)
            . qq("tags":["billing","late"],"score":0.$drawn,)
            . qq("text":"@words","parent":null});
    }

    return qq("output":{"kind":"report","items":[$items]});
}


1;
