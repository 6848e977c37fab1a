#!/usr/bin/perl

# The quick start: it comes up, every line that it prints does what it says,
# and it stops cleanly.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;

use POSIX ();

use Phrony::Nginx;

my $root = "$FindBin::Bin/..";
my $module = Phrony::Nginx::module();

plan(skip_all => 'the quick start loads a module')
    if $module eq '';


# Starts it in a process group of its own, as a shell does.

sub quickstart {
    my ($output, @more) = @_;

    my $pid = fork // die "fork: $!\n";

    if (!$pid) {
        setpgrp;
        $SIG{$_} = 'DEFAULT' for qw(INT TERM ALRM);
        alarm 60;
        open STDOUT, '>', $output;
        open STDERR, '>&', \*STDOUT;
        $ENV{TMPDIR} = test_dir();
        Phrony::Nginx::sanitizer_options(test_dir() . '/sanitizer');
        exec $^X, "$root/tools/quickstart", '--module', $module,
            '--nginx', Phrony::Nginx::binary(), @more or POSIX::_exit(127);
    }

    return $pid;
}


sub slurp {
    my ($path) = @_;

    return -e $path ? do { local (@ARGV, $/) = $path; <> // '' } : '';
}


sub children {
    my ($text) = @_;

    return grep { slurp("/proc/$_/cmdline") =~ /\Q$text\E/ }
        map { m{/(\d+)/} } glob '/proc/[0-9]*/cmdline';
}


# As a shell does it.

sub run_line {
    my ($line) = @_;

    return scalar `$line 2>/dev/null`;
}


mkdir test_dir() . '/sanitizer';
chmod 01777, test_dir() . '/sanitizer';

my @ports = map { free_port() } 1 .. 2;
my @options = ('--port', $ports[0], '--upstream-port', $ports[1]);
my $output = test_dir() . '/output';
my $pid = quickstart($output, @options);

END {
    local $?;

    if ($pid && $pid > 0 && kill 0, $pid) {
        kill TERM => $pid;
        waitpid $pid, 0;
    }
}

my $text = wait_for {
    waitpid($pid, POSIX::WNOHANG()) and die 'it ended: ' . slurp($output);
    my $text = slurp($output);
    $text =~ /Ctrl-C/ && $text;
} 20, 'the quick start';

my @lines = $text =~ /^  ((?:curl|for) .*)$/mg;


subtest 'the lines it prints' => sub {
    is scalar @lines, 6, 'six of them';

    my $start = run_line($lines[0]);
    like $start, qr{\AHTTP/1\.1 202 }, 'a start';
    like $start, qr/^RateLimit: "rpm";r=4/m, 'with what is left';

    my ($run) = $start =~ /"runId":"([^"]+)"/;
    my $poll = $lines[1] =~ s/RUN_ID/$run/r;
    like run_line($poll), qr{\AHTTP/1\.1 200 .*"status":"Running"}s, 'a poll';

    like run_line($lines[2]), qr{\AHTTP/1\.1 403 .*agent_out_of_scope}s,
        'another agent';
    is_deeply [split ' ', run_line($lines[3])], [(202) x 4, (429) x 2],
        'the rate limit';
    is_deeply [split ' ', run_line($lines[4])], [202, 202, 429],
        'the limit of unfinished runs';
    is decode_json(run_line($lines[5]))->{requests}{admitted}, 7,
        'what was done';
};


subtest "nginx's own refusals" => sub {
    my $client = client($ports[0]);
    my $key = (split /'/, $lines[0])[1];

    my @refused = (
        ['no Host', "GET / HTTP/1.1\r\n\r\n", 400, 'bad_request'],
        ['no request', "\x01\r\n\r\n", 400, 'bad_request'],
        ['a bad escape', "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400,
            'bad_request'],
        ['a large field', "GET / HTTP/1.1\r\nHost: a\r\nX: " . 'x' x 40000
            . "\r\n\r\n", 400, 'bad_request'],
        ['TRACE', "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405,
            'method_not_allowed'],
        ['a large body', "POST / HTTP/1.1\r\nHost: a\r\n"
            . "Content-Length: 9999999\r\n\r\n", 413, 'body_too_large'],
        ['a long target', 'GET /' . 'x' x 40000 . " HTTP/1.1\r\n\r\n", 414,
            'target_too_long'],
        ['its own page', "GET /problem HTTP/1.1\r\nHost: a\r\n\r\n", 404,
            'route_unknown'],
    );

    for (@refused) {
        my ($name, $bytes, $status, $reason) = @$_;
        problem_is($client->raw($bytes), $status, $reason, $name);
    }

    my $r = $client->raw("GET /v1/agents/x HTTP/1.1\r\nHost: a\r\n$key\r\n\r\n");
    problem_is($r, 400, 'path_not_canonical', "the module's own stay");
    like $r->json->{detail}, qr/UUID/, 'as they are';

    my $up = $client->req(GET => '/v1/runs/0b1c2d3e-0000-4000-8000-00000000000b',
        headers => [split /: /, $key]);
    is $up->json->{error}, 'Run not found', "and so do the upstream's";
};


subtest 'a port that is taken' => sub {
    my $other = quickstart("$output.2", @options);

    waitpid $other, 0;
    isnt $?, 0, 'it does not start';
    like slurp("$output.2"), qr/port $ports[0] of 127\.0\.0\.1 is taken/,
        'and says so';
};


subtest 'the end' => sub {
    my ($dir) = $text =~ /Logs are in (\S+)\./;

    ok -d $dir, 'a directory';
    unlike slurp("$dir/error.log"), qr/\[(?:alert|emerg|crit)\]|phk_/,
        'a quiet log';

    kill INT => -$pid;
    waitpid $pid, 0;
    is $?, 0, 'Ctrl-C ends it with 0';
    ok !-e $dir, 'the directory is gone';
    is_deeply [children($dir)], [], 'nginx is gone';
    is_deeply [children("127.0.0.1:$ports[1]")], [], 'the stand-in is gone';

    $pid = quickstart("$output.3", @options);
    wait_for { slurp("$output.3") =~ /Ctrl-C/ } 20, 'another start';
    kill TERM => $pid;
    waitpid $pid, 0;
    is $?, 0, 'TERM too';
    is_deeply [children("127.0.0.1:$ports[1]")], [], 'the stand-in is gone';

    is_deeply [map { slurp($_) } glob test_dir() . '/sanitizer/*'], [],
        'no report of a sanitizer';
};


subtest 'without a module' => sub {
    my $other = quickstart("$output.4", '--module', test_dir() . '/none.so',
        @options);

    waitpid $other, 0;
    isnt $?, 0, 'it does not start';
    like slurp("$output.4"), qr/there is no .*none\.so/, 'and says why';
};


done_testing();
