#!/usr/bin/perl

# What surrounds phronyctl: the manual page, completion in bash, and a live view
# on a terminal.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;
use Phrony::Ctl;

use File::Basename qw(dirname);

my $root = "$FindBin::Bin/..";
my $ctl = Phrony::Ctl->new(dir => test_dir());
my @commands = map { /^  ([a-z][a-z-]*(?: [a-z]+)?) / ? $1 : () }
    split /\n/, $ctl->run('--help')->{out};

mkdir test_dir() . '/bin';
symlink Phrony::Ctl::binary(), test_dir() . '/bin/phronyctl';

cmp_ok scalar @commands, '>=', 20, 'commands are listed';

for my $command (@commands) {
    my $r = $ctl->run(split(/ /, $command), '--help');

    is $r->{code}, 0, "$command --help";
    like $r->{out}, qr/^usage: phronyctl \Q$command\E\b/, 'its usage';
}


# The command is the first word: who begins with an option is told so.

like $ctl->run('--json', 'key', 'list')->{err},
    qr/^phronyctl: the command comes before its options/, 'an option first';
like $ctl->run('kee', 'list')->{err}, qr/^phronyctl: no such command/,
    'no command';


# The words that bash would offer behind these.

sub completed {
    my (@words) = @_;

    my $line = join ' ', map { "'$_'" } 'phronyctl', @words;
    my $n = @words;
    my $script = ". $root/phronyctl/phronyctl.bash; COMP_WORDS=($line);"
        . " COMP_CWORD=$n; _phronyctl phronyctl '$words[-1]'"
        . " '" . ($n > 1 ? $words[-2] : 'phronyctl') . "';"
        . ' printf "%s\n" "${COMPREPLY[@]}"';

    local $ENV{PATH} = test_dir() . "/bin:$ENV{PATH}";
    local $ENV{ASAN_OPTIONS} = 'detect_leaks=0';

    open my $bash, '-|', 'bash', '-c', $script or die "bash: $!\n";

    my @found = map { s/\n//r } readline $bash;

    return \@found;
}


is_deeply completed('wo'), ['workspace'], 'a command is completed';
is_deeply [sort @{completed('key', '')}],
    [qw(create list revoke rotate show)], 'its second word';
is_deeply completed('key', 'create', '--key-'), ['--key-file', '--key-out'],
    'an option of it';
is_deeply completed('usage', '--ti'), ['--timeout'], 'or of all commands';
is_deeply completed('usage', '--color', 'n'), ['never'], 'its value';


SKIP: {
    skip 'man is not installed', 2 if system('man --version >/dev/null 2>&1');

    my $said = `MANWIDTH=80 man --warnings -l $root/phronyctl/phronyctl.1 \\
                2>&1 >/dev/null`;

    is $said, '', 'the manual page is well formed';

    my $page = `MANWIDTH=80 man -P cat -l $root/phronyctl/phronyctl.1 \\
                2>/dev/null`;
    $page =~ s/.\x08//g;

    is_deeply [grep { my ($last) = /(\S+)\z/; $page !~ /\b\Q$last\E\b/ }
        @commands], [], 'it has all commands';
}


# A terminal of its own, by script(1); ^C ends it.

subtest 'a live view' => sub {
    my $redis = redis();
    my $policy = policy();

    $policy->store(sub { $redis->call(@_) });

    my $out = test_dir() . '/typescript';
    my $command = Phrony::Ctl::binary() . ' top --interval 10ms --count 3'
        . ' --redis ' . $redis->url;

    is system('script', '-q', '-e', '-c', $command, $out) >> 8, 0, 'it ends'
        if !system('script --version >/dev/null 2>&1');

    open my $in, '<', $out or die "$out: $!\n";
    local $/;
    my $seen = readline $in;

    is scalar(() = $seen =~ /\e\[H\e\[2J/g), 3, 'each look begins at the top';
    like $seen, qr/\e\[1mTRIGGER/, 'with colours';
    like $seen, qr/\Q${\$policy->trigger('alpha')}\E/, 'what there is';

    local $ENV{NO_COLOR} = 1;
    system('script', '-q', '-e', '-c', $command, $out);
    open $in, '<', $out or die "$out: $!\n";
    unlike readline $in, qr/\e\[1m/, 'without them';
};

done_testing();
