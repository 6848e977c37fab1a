package Phrony::Test;

# The tests' own library.  A test file says
#
#     use FindBin;
#     use lib "$FindBin::Bin/lib";
#     use Phrony::Test;
#
# and gets Test::More, what is exported below, strictures, a directory of its
# own, and an end of everything it started.  done_testing() stops what runs and
# adds the closing assertions, for every nginx of the file: no alert, crit or
# emerg in its log, no sanitizer's report, no process that died of a signal it
# was not sent, and the exit code 0.  allow_log(qr/…/) exempts log lines that a
# test provokes.
#
# Environment: TEST_NGINX_BINARY, TEST_NGINX_MODULE (empty: linked statically),
# TEST_NGINX_SANITIZED, TEST_NGINX_LOG (level), TEST_TIMEOUT (seconds for one
# file), KEEP (leaves the directory).

use strict;
use warnings;

use Cwd ();
use Fcntl qw(:flock);
use File::Path qw(make_path remove_tree);
use File::Spec;
use File::Temp ();
use IO::Socket::IP;
use Mojo::JSON qw(encode_json decode_json);
use Test::More import => [qw(diag ok)];
use Time::HiRes qw(sleep time);

use Phrony::Certificates;
use Phrony::Client;
use Phrony::Nginx;
use Phrony::Policy;
use Phrony::Redis;
use Phrony::RedisProxy;
use Phrony::StandIn;


my $MAIN = $$;
my $TIMEOUT = $ENV{TEST_TIMEOUT} || 180;

my ($DIR, $FINISHED, @NGINX, @STAND_INS, @REDIS, @PROXIES);
my (@ALLOWED, @PORT_LOCKS, %COUNT, $CERTIFICATES);
my ($LAST_NGINX, $LAST_STAND_IN, $LAST_POLICY);

our @EXPORT = qw(
    allow_log certificates client done_testing free_port h2 nginx nginx_t
    parallel poll policy problem_is raw redis redis_proxy req start_request
    start_run stand_in test_dir wait_for write_file decode_json encode_json
);


sub import {
    my ($class) = @_;

    my $caller = caller;

    strict->import;
    warnings->import;

    no strict 'refs';

    for my $name (@Test::More::EXPORT) {
        next if $name =~ /\A[\$\@%]/ || $name eq 'done_testing';
        *{"${caller}::$name"} = \&{"Test::More::$name"};
    }

    *{"${caller}::$_"} = \&$_ for @EXPORT;
    *{"${caller}::TODO"} = \${"${caller}::TODO"};

    _watch();
}


# One file never takes longer than this, and an interrupted one cleans up.

sub _watch {
    $SIG{ALRM} = sub { die "the test took more than $TIMEOUT s\n" };
    $SIG{$_} = sub { die "interrupted\n" } for qw(INT TERM HUP);
    alarm $TIMEOUT;
}


# The directory of this file; removed at the end if all went well.

sub test_dir {
    return $DIR //= do {
        my $dir = File::Temp::tempdir('phrony-XXXXXXXX', TMPDIR => 1);
        chmod 0755, $dir;
        Cwd::abs_path($dir);
    };
}


sub write_file {
    my ($name, $bytes) = @_;

    my $path = File::Spec->rel2abs($name, test_dir());

    open my $file, '>:raw', $path or die "$path: $!\n";
    print $file $bytes;
    close $file or die "$path: $!\n";

    return $path;
}


# A port of the loopback addresses that is nobody's, below those that the
# kernel gives to clients, and ours until the process ends: other test files
# that run at the same time respect the lock.

sub free_port {
    my $locks = File::Spec->tmpdir . "/phrony-ports-$>";

    make_path($locks);

    for (1 .. 1000) {
        my $port = 20000 + int rand 10000;

        open my $lock, '>', "$locks/$port" or next;
        flock $lock, LOCK_EX | LOCK_NB or next;

        IO::Socket::IP->new(LocalAddr => '127.0.0.1', LocalPort => $port,
            Listen => 1, ReuseAddr => 1) or next;

        push @PORT_LOCKS, $lock;

        return $port;
    }

    die "no free port\n";
}


# Runs the block until it returns something true, and returns that; dies
# after so many seconds.  wait_for { … } 5, 'the run to end';

sub wait_for (&$$) {
    my ($condition, $seconds, $name) = @_;

    my $deadline = time + $seconds;

    while (1) {
        my $value = $condition->();

        return $value if $value;
        die "waited ${seconds}s in vain for $name\n" if time > $deadline;
        sleep 0.02;
    }
}


# Starts a stand-in upstream; arguments of Phrony::Upstream.

sub stand_in {
    my (%opt) = @_;

    push @STAND_INS, $LAST_STAND_IN = Phrony::StandIn->start(%opt);

    return $LAST_STAND_IN;
}


# Starts a real Redis; arguments of Phrony::Redis, and
#
#   tls       1: a port for TLS, with a certificate of certificates() for
#   names     these, default "DNS:localhost,IP:127.0.0.1"
#   cluster   1: a member of one
#   start     0: not yet

sub redis {
    my (%opt) = @_;

    my $name = 'redis' . ++$COUNT{redis};
    my $tls = delete $opt{tls};
    my $names = delete $opt{names} // 'DNS:localhost,IP:127.0.0.1';
    my $start = delete $opt{start} // 1;

    %opt = (
        port => free_port(),
        $tls ? (tls_port => free_port(), ca => certificates()->ca,
            cert => [certificates()->issue($name, $names)]) : (),
        delete $opt{cluster} ? (bus_port => free_port()) : (),
        %opt,
        dir => test_dir() . "/$name",
    );

    push @REDIS, my $redis = Phrony::Redis->new(%opt);

    return $start ? $redis->start : $redis;
}


# Starts what can come between nginx and a Redis, or an address; see
# Phrony::RedisProxy.

sub redis_proxy {
    my ($redis) = @_;

    push @PROXIES, my $proxy = Phrony::RedisProxy->start(
        listen => '127.0.0.1:' . free_port(),
        to     => ref $redis ? $redis->address : $redis);

    return $proxy;
}


# The authority of this test file.

sub certificates {
    return $CERTIFICATES //= do {
        my $dir = test_dir() . '/certificates';
        make_path($dir);
        Phrony::Certificates->new($dir);
    };
}


# Writes a policy file; arguments of Phrony::Policy.  "file" is its name.

sub policy {
    my (%opt) = @_;

    my $file = delete $opt{file} // 'policy.json';

    $LAST_POLICY = Phrony::Policy->new(%opt, path => test_dir() . "/$file");
    chmod 0644, $LAST_POLICY->path;

    return $LAST_POLICY;
}


# Starts an nginx; arguments of Phrony::Nginx.  Without "upstream" and "policy"
# it gets the last of each that was made.

sub nginx {
    my (%opt) = @_;

    my $nginx = _new_nginx(%opt);

    push @NGINX, $LAST_NGINX = $nginx;

    return $nginx->start;
}


sub _new_nginx {
    my (%opt) = @_;

    my $upstream = exists $opt{upstream} ? $opt{upstream} : $LAST_STAND_IN;
    my $dir = test_dir() . '/nginx' . ++$COUNT{nginx};

    make_path($dir);

    return Phrony::Nginx->new(
        port    => free_port(),
        port_h2 => free_port(),
        policy  => $LAST_POLICY,
        %opt,
        dir      => $dir,
        upstream => ref $upstream ? $upstream->address : $upstream,
    );
}


# Tests a configuration: a hash of code and output.

sub nginx_t {
    my (%opt) = @_;

    return _new_nginx(upstream => '127.0.0.1:9', %opt)->test_conf;
}


# Requests to the nginx started last, see Phrony::Client.

sub req      { $LAST_NGINX->client->req(@_) }
sub raw      { $LAST_NGINX->client->raw(@_) }
sub h2       { $LAST_NGINX->client->h2(@_) }
sub parallel { $LAST_NGINX->client->parallel(@_) }


# A client of another port of this machine.

sub client {
    my ($port) = @_;

    return Phrony::Client->new(address => "127.0.0.1:$port",
        h2 => "127.0.0.1:$port");
}


# start_run('alpha', key => 'alice', …): by the names in the last policy.
# at => another nginx than the last, or a client.

sub start_run {
    my ($agent, %opt) = @_;

    return _client_of(delete $opt{at})->req(start_request($agent, %opt));
}


# The arguments of req() for that, for those who send it in another way.

sub start_request {
    my ($agent, %opt) = @_;

    $opt{key} = $LAST_POLICY->key($opt{key}) if defined $opt{key};
    $opt{json} //= {input => {text => 'hello'}} if !exists $opt{body};
    delete $opt{json} if exists $opt{body};

    return (POST => '/v1/agents/' . $LAST_POLICY->agent($agent) . '/runs',
        %opt);
}


# Asks for a run's status; "at" likewise.

sub poll {
    my ($run, %opt) = @_;

    my $client = _client_of(delete $opt{at});

    $opt{key} = $LAST_POLICY->key($opt{key}) if defined $opt{key};

    return $client->req(GET => "/v1/runs/$run", %opt);
}


sub _client_of {
    my ($at) = @_;

    $at //= $LAST_NGINX;

    return $at->can('client') ? $at->client : $at;
}


# One assertion about a refusal: the status, the reason, and the form that
# every refusal has.

sub problem_is {
    my ($response, $status, $reason, $name) = @_;

    my @wrong = _problem_faults($response, $status, $reason);

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    return ok(!@wrong, $name) || diag(join "\n", @wrong, $response->raw);
}


sub _problem_faults {
    my ($response, $status, $reason) = @_;

    my $json = $response->json;
    my @wrong;

    push @wrong, 'status ' . $response->status . ", not $status"
        if $response->status != $status;
    return @wrong, 'the body is not a JSON object' if ref $json ne 'HASH';

    push @wrong, 'type ' . ($response->header('Content-Type') // 'none')
        if ($response->header('Content-Type') // '')
            ne 'application/problem+json';
    push @wrong, 'reason ' . ($json->{reason} // 'none') . ", not $reason"
        if ($json->{reason} // '') ne $reason;
    push @wrong, 'member "status" is not the status'
        if ($json->{status} // 0) ne $status;
    push @wrong, map { "no member \"$_\"" }
        grep { !defined $json->{$_} || $json->{$_} eq '' }
        qw(type title detail instance);
    push @wrong, 'WWW-Authenticate ' . ($status == 401 ? 'is missing' : 'is there')
        if ($status == 401) != defined $response->header('WWW-Authenticate');

    return @wrong;
}


# A pattern of lines in the error log which may be there.

sub allow_log {
    push @ALLOWED, @_;
}


# Ends everything, asserts what must hold for every test file, and says how
# many tests there were.

sub done_testing {
    return if $FINISHED++;

    closing_assertions();
    Test::More::done_testing();
}


sub closing_assertions {
    for my $nginx (@NGINX) {
        $nginx->quit;

        my @complaints = $nginx->complaints(@ALLOWED);
        my $name = $nginx->dir =~ s{.*/}{}r;

        ok(!@complaints, "$name ended well: no alert, no report, no death")
            or diag(join "\n", @complaints);
    }

    for my $redis (@REDIS) {
        $redis->stop;

        my @complaints = $redis->complaints;
        my $name = $redis->dir =~ s{.*/}{}r;

        ok(!@complaints, "$name ended well")
            or diag(join "\n", @complaints);
    }
}


END {
    if ($$ == $MAIN) {
        my $code = $?;

        alarm 0;
        $SIG{$_} = 'IGNORE' for qw(INT TERM HUP);
        _clean_up($code);
        $? = $code;
    }
}


sub _clean_up {
    my ($code) = @_;

    $_->destroy for @NGINX;
    $_->stop for @STAND_INS, @PROXIES, @REDIS;

    return if !defined $DIR;

    my $good = !$code && $FINISHED && Test::More->builder->is_passing;

    return remove_tree($DIR) if $good && !$ENV{KEEP};

    diag("kept: $DIR");
    _show_log($_) for $good ? () : @NGINX;
}


sub _show_log {
    my ($nginx) = @_;

    my @lines = split /\n/, $nginx->log;

    splice @lines, 0, -20 if @lines > 20;
    diag(join "\n", $nginx->dir . '/error.log ends with', @lines);
}


1;
