#!/usr/bin/perl

# The tests' library against a plain nginx: processes, clients, and closing
# assertions that can fail.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;

use Mojo::Util qw(sha1_sum);
use Phrony::Nginx;


my $agent = '0b1c2d3e-0000-4000-8000-00000000000a';
my $runs = "/v1/agents/$agent/runs";
my @key = (key => 'phk_any');

my $up = stand_in();
my $nginx = nginx(module => 0, http => 'client_body_buffer_size 1k;',
    location => 'client_max_body_size 20m; add_header X-Worker $pid;');


# An nginx outside of the closing assertions, to be maltreated.

my $count;

sub victim {
    my $dir = test_dir() . '/victim' . ++$count;
    mkdir $dir;

    return Phrony::Nginx->new(dir => $dir, port => free_port(),
        port_h2 => free_port(), module => 0, upstream => $up->address,
        patience => 5, @_);
}


sub complains {
    my ($nginx, $pattern, $name, @allowed) = @_;

    my $text = join "\n", $nginx->complaints(@allowed);

    like $text, $pattern, $name;
}


subtest 'requests' => sub {
    my $r = req(POST => $runs, @key, json => {input => {}});

    is $r->status, 202, 'a start';
    is poll($r->json->{runId}, key => undef)->status, 401, 'no key';
    is req(GET => '/v1/runs/' . $r->json->{runId}, @key)->json->{status},
        'Running', 'a poll';
    is req(HEAD => "/v1/agents/$agent", @key)->body, '', 'HEAD';

    my $bytes = join '', map { chr int rand 256 } 1 .. 300_000;

    for my $opt ([body => $bytes], [chunked => [$bytes =~ /(.{1,60000})/sg]]) {
        req(POST => '/bytes', @key, @$opt);
        is sha1_sum($up->last_request->{body}), sha1_sum($bytes),
            "a large body, $opt->[0]";
    }

    my @r = raw("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\n"
        . "Host: a\r\nConnection: close\r\n\r\n", responses => 0);
    is scalar @r, 2, 'pipelined, until the end';

    is raw(['GET /3 HT', \0.05, "TP/1.1\r\nHost: a\r\n", \0.05, "\r\n"])->status,
        404, 'in pieces';
    is $up->last_request->{target}, '/3', 'arrives';

    my @started = parallel(map { [POST => $runs, @key, json => {}] } 1 .. 50);
    my %id = map { $_->json->{runId} => 1 } @started;
    is keys %id, 50, 'fifty at once';

    is req(GET => '/', from => '127.0.0.9')->status, 404, 'from elsewhere';

    my $connection = $nginx->client->open_connection;
    for (1 .. 3) {
        $connection->send("GET /keep HTTP/1.1\r\nHost: a\r\n\r\n");
        is $connection->response->status, 404, "kept alive, $_";
    }
};


subtest 'HTTP/2' => sub {
    my $r = h2(POST => $runs, @key, json => {input => {}});

    is $r->status, 202, 'a start';
    ok $r->json->{runId}, 'its answer';
    is h2(POST => '/h2', @key, body => 'abc', no_length => 1)->status, 404,
        'without a length';
    is $up->last_request->{body}, 'abc', 'arrives';
    is h2(HEAD => "/v1/agents/$agent", @key)->status, 200, 'HEAD';
    is h2(GET => '/a//../b?x=%zz')->status, 404, 'a target as it is';
    is $up->last_request->{target}, '/a//../b?x=%zz', 'arrives';
};


subtest 'policy' => sub {
    my $policy = policy(
        workspaces => {acme => {status => 'suspended'}},
        agents     => {a => {rpmLimit => 3}, b => {workspace => 'acme'}},
        keys       => {k => {}, l => {workspace => 'acme', expiresAt => 'x'}},
    );
    my $data = decode_json(do { local (@ARGV, $/) = $policy->path; <> });

    is_deeply $data, $policy->data, 'the file is the data';
    is $data->{triggers}[0]{rpmLimit}, 3, 'a limit';
    is_deeply [sort map { $_->{id} } @{$data->{workspaces}}],
        [sort map { $policy->workspace($_) } qw(acme main)], 'workspaces';
    is_deeply $data->{keys}[0]{scopes}, [{agentId => $policy->agent('a'),
        triggerId => $policy->trigger('a')}], 'scopes of its workspace';
    ok !grep({ /phk_/ } do { local @ARGV = $policy->path; <> }),
        'no clear text';

    $policy->change(agent => 'a', rpmLimit => undef, rpdLimit => 1);
    is_deeply [@{$policy->data->{triggers}[0]}{qw(rpmLimit rpdLimit)}],
        [undef, 1], 'changed';
};


subtest 'processes' => sub {
    my @workers = $nginx->workers;

    is @workers, 2, 'two workers';
    ok $nginx->reload, 'reload';
    ok !grep({ my $pid = $_; grep { $_ == $pid } @workers } $nginx->workers),
        'new workers';

    $nginx->kill_worker;
    is $nginx->workers, 2, 'a killed worker is replaced';
    is req(GET => '/')->status, 404, 'and serves';

    allow_log(qr/unknown directive "nonsense"/);
    $nginx->configure(http => 'nonsense on;');
    ok !$nginx->reload, 'a reload that fails';
    is req(GET => '/')->status, 404, 'leaves the old configuration';
    $nginx->configure(http => '');
    ok $nginx->reload, 'and can be mended';

    my $t = nginx_t(module => 0, http => 'nonsense on;');
    isnt $t->{code}, 0, 'nginx -t refuses';
    like $t->{output}, qr/\[emerg\].*unknown directive "nonsense" in .*:\d+/,
        'and says why';
    is nginx_t(module => 0)->{code}, 0, 'or accepts';

    my $long = nginx(module => 0, usr2 => 1);
    my $old = $long->pid;
    is $long->upgrade, 0, 'USR2: the old master ends with 0';
    isnt $long->pid, $old, 'another master';
    is req(GET => '/')->status, 404, 'serves';
};


subtest 'an end without complaints' => sub {
    my $victim = victim()->start;

    is $victim->quit, 0, 'the code';
    is_deeply [$victim->complaints], [], 'no complaints';
};


subtest 'complaints' => sub {
    my $victim = victim()->start;
    my ($worker) = $victim->workers;

    kill ABRT => $worker;
    wait_for { $victim->log =~ /exited on signal/ } 5, 'the log line';
    $victim->quit;
    complains($victim, qr/$worker exited on signal 6/, 'a dead worker');
    complains($victim, qr/\A\z/, 'unless allowed', qr/exited on signal 6/);

    $victim = victim()->start;
    $victim->configure(http => 'nonsense on;');
    $victim->reload;
    $victim->quit;
    complains($victim, qr/\[emerg\].*nonsense/, 'a line of the log');

    $victim = victim()->start;
    write_file("victim$count/sanitizer/asan.1", "ERROR: it leaks\n");
    $victim->quit;
    complains($victim, qr/it leaks/, 'a report');

    $victim = victim()->start;
    write_file("victim$count/error.log", "a.c:1:2: runtime error: odd\n");
    $victim->quit;
    complains($victim, qr/a\.c:1:2/, 'a report in the log');

    $victim = victim()->start;
    my @orphans = $victim->workers;
    $victim->signal('KILL');
    is $victim->quit, 'signal 9', 'a dead master';
    kill KILL => @orphans;
    complains($victim, qr/ended with signal 9/, 'is a complaint');

    $victim = victim(patience => 1)->start;
    my $client = $victim->client->open_connection;
    $client->send("GET / HTTP/1.1\r\nHost: a\r\nX-Stand-In: hang\r\n\r\n");
    wait_for { $up->state->{inFlight} } 5, 'the request';
    $victim->quit;
    complains($victim, qr/TERM was needed/, 'an nginx that does not end');
};


subtest 'a test file that fails' => sub {
    my $lib = "$FindBin::Bin/lib";
    my $run = sub {
        my ($code) = @_;
        my $path = write_file('inner.t', "use lib '$lib';\n"
            . "use Phrony::Test;\n$code\ndone_testing();\n");
        my $output = `$^X $path 2>&1`;
        return ($? >> 8, $output);
    };
    my $begin = 'stand_in(); my $n = nginx(module => 0); my ($w) = $n->workers;';

    my ($code, $output) = $run->("$begin ok 1;");
    is $code, 0, 'a good one' or diag $output;
    unlike $output, qr/kept:/, 'leaves nothing';

    ($code, $output) = $run->("$begin kill ABRT => \$w; ok 1;"
        . ' wait_for { $n->log =~ /exited on/ } 5, "log";');
    isnt $code, 0, 'a dead worker fails the file';
    like $output, qr/kept: (\S+)/, 'and leaves the directory';
    remove($output);

    ($code, $output) = $run->("$begin ok 1; die 'halfway';");
    isnt $code, 0, 'a death halfway fails the file';
    my ($dir) = $output =~ /kept: (\S+)/;
    my ($pid) = do { local @ARGV = glob "$dir/*/nginx.pid"; @ARGV ? <> : () };
    ok !$pid, 'and nginx is gone';
    remove($output);

    local $ENV{TEST_TIMEOUT} = 1;
    (undef, $output) = $run->('ok 1; sleep 8;');
    like $output, qr/took more than 1 s/, 'a file that hangs is ended';
};


sub remove {
    my ($output) = @_;

    my ($dir) = $output =~ /kept: (\S+)/ or return;
    require File::Path;
    File::Path::remove_tree($dir);
}


done_testing();
