package Sources;

# The project's C files, for the scripts in tools/check.d.

use strict;
use warnings;

use Exporter qw(import);
use File::Find ();

our @EXPORT = qw(module_files ctl_files c_files text_files read_file code_of functions_of
    complain finish room_of);

my $complaints = 0;


# Files of the module itself, of phronyctl, and of every folder with C in it.

sub module_files { _find('ngx_http_phrony_module') }
sub ctl_files    { _find('phronyctl') }
sub c_files      { _find('ngx_http_phrony_module', 'phronyctl', 't', 'fuzz',
    'bench') }


sub _find {
    my @found;

    for my $dir (grep { -d } @_) {
        File::Find::find({no_chdir => 1, wanted => sub {
            push @found, $File::Find::name if -f && /\.[ch]$/;
        }}, $dir);
    }

    return sort @found;
}


# Every text file of the project: what git has, or would be given; of a copy
# without git, what is there.

sub text_files {
    my @names = split /\0/,
        `git ls-files -z --cached --others --exclude-standard 2>/dev/null`;

    if (!@names) {
        File::Find::find({no_chdir => 1, wanted => sub {
            return $File::Find::prune = 1 if m!^\./(?:build|\.git)$!;
            push @names, s!^\./!!r if -f;
        }}, '.');
    }

    return grep { -f && !m!^fuzz/corpus/! && read_file($_) !~ /\0/ }
        sort @names;
}


sub read_file {
    my ($path) = @_;

    open my $file, '<:raw', $path or die "$path: $!\n";
    local $/;

    return readline($file) // '';
}


# The text with comments and the insides of strings made blank, so that lines
# and columns stay.  With a true second argument strings stay as they are.

sub code_of {
    my ($text, $strings) = @_;

    $text =~ s{
        ( /\* .*? \*/ | //[^\n]* )                  # a comment
        | ( "(?:[^"\\\n]|\\.)*" | '(?:[^'\\\n]|\\.)*' )
    }{
        defined $1 ? _blank($1) : $strings ? $2 : _blank_inside($2)
    }gsex;

    return $text;
}


sub _blank {
    my ($text) = @_;

    $text =~ s/[^\n]/ /g;

    return $text;
}


sub _blank_inside {
    my ($text) = @_;

    my $quote = substr $text, 0, 1;

    return $quote . _blank(substr $text, 1, -1) . $quote;
}


# The functions that a file defines, in nginx's style: the name at the first
# column of a line, "{" and "}" there as well.  Each is a hash: name, line (of
# the name), length (from the name to the closing brace), parameters, static,
# comment (the text between the end of what stands before and the name), depth
# (of braces in the body) and body.

sub functions_of {
    my ($text) = @_;

    my $code = code_of($text);
    my @functions;

    while ($code =~ /^([A-Za-z_]\w*)\(([^;{}]*)\)\s*\n\{\n(.*?)^\}/msg) {
        my ($name, $parameters, $body) = ($1, $2, $3);
        my ($start, $end) = ($-[0], $+[0]);
        my $before = substr $text, 0, $start;
        my ($type) = $before =~ /\n([^\n]*)\n$/;

        push @functions, {
            name       => $name,
            line       => 1 + ($before =~ tr/\n//),
            length     => 1 + (substr($code, $start, $end - $start)
                               =~ tr/\n//),
            parameters => _count_parameters($parameters),
            static     => ($type // '') =~ /\bstatic\b/ ? 1 : 0,
            comment    => ($before =~ /.*^[}#;]?[^\n]*\n\n\n(.*)/ms)[0] // '',
            depth      => _depth($body),
            body       => substr($text, $start, $end - $start),
        };
    }

    return @functions;
}


sub _count_parameters {
    my ($text) = @_;

    return 0 if $text =~ /^\s*(?:void)?\s*$/;

    # commas inside of a function pointer's own list do not count

    1 while $text =~ s/\([^()]*\)//g;

    return 1 + ($text =~ tr/,//);
}


sub _depth {
    my ($body) = @_;

    my ($depth, $max) = (0, 0);

    for my $brace ($body =~ /[{}]/g) {
        $depth += $brace eq '{' ? 1 : -1;
        $max = $depth if $depth > $max;
    }

    return $max;
}


# The room of a file of the module: core, store, ...; "" is the request side.

sub room_of {
    my ($path) = @_;

    return $path =~ m!^ngx_http_phrony_module/([^/]+)/! ? $1 : '';
}


sub complain {
    my ($where, $what) = @_;

    print "$where: $what\n";
    $complaints++;
}


sub finish { exit($complaints ? 1 : 0) }


1;
