#!/usr/bin/perl

# The Debian package of tools/make-deb: what is in it, what lintian says, and
# its life in the clean root of tools/clean-root: installed by apt, loaded by
# Debian's nginx without a hand, the quick start of its README.Debian with the
# stand-in upstream outside, removed, purged, upgraded.
#
# Where no clean root can be made the rest is skipped, saying why.

use strict;
use warnings;

BEGIN { $ENV{TEST_TIMEOUT} ||= 600 }

use File::Path qw(remove_tree);
use FindBin;
use lib "$FindBin::Bin/../lib";
use Phrony::Test;
use POSIX ();


my $NAME = 'libnginx-mod-http-phrony';
my $SO = 'ngx_http_phrony_module.so';
my $LINK = '/etc/nginx/modules-enabled/50-mod-http-phrony.conf';
my $RUNS = '/v1/agents/11111111-1111-4111-8111-111111111111/runs';
my $BUILD = $ENV{PHRONY_BUILD} || 'build';
my $ROOT = "$BUILD/deb/root.$$";

my ($port, $default_port) = (free_port(), free_port());
my $master;


# Ours goes whatever happens: processes by their ids, then the root.

END {
    local $?;

    stop_nginx('KILL') if $master;
    remove_tree($ROOT) if -d $ROOT;
}


sub run {
    my (@command) = @_;

    my $text = do {
        open my $pipe, '-|', 'sh', '-c', 'exec "$@" 2>&1 </dev/null', 'sh',
            @command or die "$command[0]: $!\n";
        local $/;
        my $all = readline($pipe) // '';
        close $pipe;
        $all;
    };

    return ($? >> 8, $text);
}


# The command's output; its failure is the test's.

sub must {
    my (@command) = @_;

    my ($code, $text) = run(@command);

    die "@command: exit code $code\n$text" if $code;

    return $text;
}


# The same in the clean root.

sub there {
    my (@command) = @_;

    return run('chroot', $ROOT, 'env', '-i', 'LC_ALL=C', 'HOME=/root',
        'PATH=/usr/sbin:/usr/bin:/sbin:/bin', 'DEBIAN_FRONTEND=noninteractive',
        (map { "$_=$ENV{$_}" } grep { defined $ENV{$_} }
            qw(http_proxy https_proxy no_proxy)), @command);
}


sub apt {
    my ($code, $text) = there('apt-get', '-q', '-y',
        '--no-install-recommends', @_);

    die "apt-get @_: exit code $code\n$text" if $code;

    return $text;
}


sub slurp {
    my ($path) = @_;

    open my $file, '<:raw', $path or return '';
    local $/;

    return readline($file) // '';
}


sub change {
    my ($path, $how) = @_;

    local $_ = slurp($path);
    $how->();

    open my $file, '>', $path or die "$path: $!\n";
    print $file $_;
    close $file or die "$path: $!\n";
}


# Debian's nginx with its own configuration, in the clean root.

sub start_nginx {
    $master = fork // die "fork: $!\n";

    if (!$master) {
        $SIG{$_} = 'DEFAULT' for qw(INT TERM ALRM);
        alarm 0;
        open STDIN, '<', '/dev/null';
        open STDOUT, '>', test_dir() . '/nginx.out';
        open STDERR, '>&', \*STDOUT;
        exec 'chroot', $ROOT, '/usr/sbin/nginx', '-g', 'daemon off;'
            or POSIX::_exit(127);
    }

    wait_for {
        waitpid($master, POSIX::WNOHANG())
            and die 'nginx ended: ' . slurp(test_dir() . '/nginx.out');
        eval { client($default_port)->req(GET => '/')->status };
    } 20, 'nginx to serve its default site';
}


sub stop_nginx {
    my ($signal) = @_;

    my $pid = $master;

    undef $master;
    my @workers = workers($pid);
    kill $signal => $pid, $signal eq 'KILL' ? @workers : ();
    waitpid $pid, 0;

    return $?;
}


sub workers {
    my ($pid) = @_;

    return split ' ', slurp("/proc/$pid/task/$pid/children");
}


# HUP, until the workers of before are gone.

sub reload_nginx {
    my %old = map { $_ => 1 } workers($master);

    kill HUP => $master;

    wait_for {
        my @now = workers($master);
        @now && !grep { $old{$_} } @now;
    } 20, 'nginx to reload';
}


sub maps { slurp('/proc/' . (workers($master))[0] . '/maps') }


sub start {
    return client($port)->req(POST => $RUNS, key => 'phk_demo_one',
        json => {input => {}});
}


# The commands of a part of README.Debian, but for what needs systemd.

sub readme_commands {
    my ($title) = @_;

    my $text = slurp("$ROOT/usr/share/doc/$NAME/README.Debian");
    my ($part) = $text =~ /^\Q$title\E\n-+\n(.*?)(?:\n\n\n|\z)/ms
        or die "README.Debian has no \"$title\"\n";

    return map { s/ && systemctl reload nginx$//r }
        $part =~ /^    (\S.*)$/gm;
}


sub set_ports {
    my ($stand_in) = @_;

    change("$ROOT/etc/nginx/conf.d/phrony.conf", sub {
        s/127\.0\.0\.1:8080/127.0.0.1:$port/g or die "no port 8080\n";
        s/127\.0\.0\.1:8081/$stand_in/g or die "no port 8081\n";
    });
}


# All files of the root but what apt and dpkg keep for themselves.

sub files_there {
    return join '', grep { !m{^\./(?:var/(?:cache|log|lib/(?:apt|dpkg
        /(?!info/)|nginx))|srv|run|root|etc/ld\.so\.cache)\b}x }
        map { "$_\n" } split /\n/,
        must('sh', '-c', 'cd "$1" && find . | LC_ALL=C sort', 'sh', $ROOT);
}


# The same package with a lower version, and with a file that is its own.

sub older {
    my ($deb) = @_;

    my $dir = test_dir() . '/older';

    must('dpkg-deb', '-R', $deb, $dir);
    change("$dir/DEBIAN/control", sub { s/^Version: .*/Version: 0.0.9-1/m });
    change("$dir/usr/share/doc/$NAME/OLDER", sub { $_ = "older\n" });
    must('dpkg-deb', '--root-owner-group', '-b', $dir, "$ROOT/srv/older.deb");
}


my $deb = (split /\n/, must('tools/make-deb'))[-1];
my ($changes) = glob $deb =~ s/\.deb$/.changes/r;


subtest 'the package' => sub {
    my $dir = test_dir() . '/content';

    must('dpkg-deb', '-x', $deb, $dir);

    my $depends = must('dpkg-deb', '-f', $deb, 'Depends');
    my ($abi) = slurp('/usr/share/nginx/src/debian/libnginx-mod'
        . '.abisubstvars') =~ /^nginx:abi=(\S+)/m;

    like $depends, qr/(?:^|, )\Q$abi\E(?:,|$)/, 'depends on the very nginx';
    like $depends, qr/\b$_\d/, "on $_" for qw(libjansson libhiredis libssl);

    my $object = "$dir/usr/lib/nginx/modules/$SO";

    is join(' ', sort map { (split ' ')[-1] } split /\n/,
        must('nm', '-D', '--defined-only', $object)),
        'ngx_module_names ngx_module_order ngx_modules', 'symbols';

    my $elf = must('readelf', '-lWd', $object);

    like $elf, qr/BIND_NOW/, 'bound at once';
    like $elf, qr/GNU_RELRO/, 'relocations are read-only then';
    unlike $elf, qr/TEXTREL|R(?:UN)?PATH/, 'no path, no text relocation';
    like must('nm', '-D', $object), qr/__stack_chk_fail.*_chk\b/s,
        'the stack is protected, functions are fortified';
};


subtest 'lintian' => sub {
    my ($code, $said) = run('lintian', '--allow-root',
        '--fail-on', 'error,warning', $changes);

    is $code, 0, 'no error, no warning';
    is $said, '', 'quiet';
};


my ($code, $why) = run('tools/clean-root', $ROOT);

chomp $why;

if ($code == 77) {
    SKIP: { skip "no clean root: $why", 1 }
    done_testing();
    exit 0;
}

die "tools/clean-root: $why" if $code;

must('cp', $deb, "$ROOT/srv/new.deb");
older($deb);

my $upstream = stand_in(finish => 'polls:2');


subtest 'installed, it is loaded' => sub {
    ok !-e "$ROOT/usr/sbin/nginx", 'nothing was there';
    apt('install', '/srv/new.deb');

    is readlink("$ROOT$LINK"),
        '/usr/share/nginx/modules-available/mod-http-phrony.conf', 'the link';

    # other programs of this machine may have port 80

    change("$ROOT/etc/nginx/sites-available/default", sub {
        s/^\s*listen \[::\].*\n//mg;
        s/^(\s*listen) 80\b/$1 127.0.0.1:$default_port/m or die "no port\n";
    });

    my ($code, $text) = there('nginx', '-t');
    is $code, 0, 'nginx -t' or diag $text;

    start_nginx();
    like maps(), qr{/usr/lib/nginx/modules/\Q$SO\E}, 'workers have it';
    is stop_nginx('QUIT'), 0, 'it ends well';
};


subtest 'the quick start of README.Debian' => sub {
    my @commands = readme_commands('To try it');

    is pop @commands, 'nginx -t', 'the last command';
    must('chroot', $ROOT, 'sh', '-ec', join "\n", @commands);
    set_ports($upstream->address);

    my ($code, $text) = there('nginx', '-t');
    is $code, 0, 'nginx -t' or diag $text;
    start_nginx();

    my @answers = map { start() } 1 .. 6;

    is join(' ', map { $_->status } @answers), '202 202 202 202 202 429',
        'starts up to the limit';
    problem_is($answers[5], 429, 'rate_limited', 'the refusal');
    like $answers[5]->header('Retry-After'), qr/^\d+$/, 'Retry-After';
    is scalar(() = $upstream->requests(qr/^POST/)), 5, 'the upstream had five';

    my $run = '/v1/runs/' . $answers[0]->json->{runId};
    my @polls = map { client($port)->req(GET => $run, key => 'phk_demo_one')
        ->json->{status} } 1 .. 2;

    is_deeply \@polls, ['Running', 'Completed'], 'polls';
    is client($port)->req(GET => $run, key => 'phk_else')->status, 401,
        'another key';
};


subtest 'removed while it is in use' => sub {
    apt('remove', $NAME);

    problem_is(start(), 429, 'rate_limited', 'nginx goes on');

    my ($code, $text) = there('nginx', '-t');
    isnt $code, 0, 'but does not start again';
    like $text, qr/unknown directive "phrony_zone"/, 'and says why';

    apt('install', '/srv/new.deb');
    ok -l "$ROOT$LINK", 'installed again, the link is back';
    is((there('nginx', '-t'))[0], 0, 'nginx -t');
};


subtest 'purged as README.Debian says' => sub {
    my @commands = readme_commands('Removal');

    like pop @commands, qr/^apt purge \Q$NAME\E$/, 'the last command';
    must('chroot', $ROOT, 'sh', '-ec', join "\n", @commands);
    reload_nginx();
    is client($default_port)->req(GET => '/')->status, 200, 'nginx goes on';
    apt('purge', $NAME);

    is_deeply [grep { m/phrony/ && !m{^\./etc/nginx/phrony\b} }
        split /\n/, files_there()], [], 'no file is left';
    is must('find', "$ROOT/etc/nginx/modules-enabled", '-type', 'l'), '',
        'no link';
    unlike must('chroot', $ROOT, 'dpkg-query', '-W'), qr/\Q$NAME\E/,
        'dpkg has forgotten it';

    is stop_nginx('QUIT'), 0, 'nginx ends well';
    start_nginx();
    unlike maps(), qr/phrony/, 'and starts without it';
    is stop_nginx('QUIT'), 0, 'and ends';

    remove_tree("$ROOT/etc/nginx/phrony");
};


subtest 'installed and purged once more' => sub {
    my $before = files_there();

    apt('install', '/srv/new.deb');
    isnt files_there(), $before, 'files come';
    apt('purge', $NAME);
    is files_there(), $before, 'and all of them go';
};


subtest 'upgraded' => sub {
    apt('install', '/srv/older.deb');
    ok -e "$ROOT/usr/share/doc/$NAME/OLDER", 'the older version';

    my @commands = readme_commands('To try it');

    must('chroot', $ROOT, 'sh', '-ec', join "\n", @commands[0 .. 2]);
    set_ports($upstream->address);
    start_nginx();
    is start()->status, 202, 'a start';

    apt('install', '/srv/new.deb');
    ok !-e "$ROOT/usr/share/doc/$NAME/OLDER", 'its files are gone';
    ok -l "$ROOT$LINK", 'the link stays';

    is start()->status, 202, 'nginx goes on';
    reload_nginx();
    like maps(), qr/\Q$SO\E \(deleted\)/, 'after a reload with the old module';
    like start()->header('RateLimit'), qr/"rpm";r=2;/, 'and the counts';

    is stop_nginx('QUIT'), 0, 'it ends well';
    start_nginx();
    unlike maps(), qr/\Q$SO\E \(deleted\)/, 'started anew with the new module';
    like start()->header('RateLimit'), qr/"rpm";r=4;/, 'and new counts';
    is stop_nginx('QUIT'), 0, 'it ends well';

    unlink "$ROOT$LINK", "$ROOT/etc/nginx/conf.d/phrony.conf";
    apt('install', '--allow-downgrades', '/srv/older.deb');
    apt('install', '/srv/new.deb');
    ok !-l "$ROOT$LINK", 'a link that was removed stays so';
    apt('purge', $NAME);
};


subtest 'the package\'s own test' => sub {
    apt('install', '/srv/new.deb', 'curl');
    must('cp', 'debian/tests/quickstart', "$ROOT/srv/");

    my ($code, $text) = there('env', 'PHRONY_TEST_PORT=' . free_port(),
        'PHRONY_TEST_UPSTREAM_PORT=' . free_port(), '/srv/quickstart');

    is $code, 0, 'debian/tests/quickstart' or diag $text;
};


subtest 'phronyctl' => sub {
    must('cp', $deb =~ s/\Q$NAME\E_/phronyctl_/r, "$ROOT/srv/phronyctl.deb");
    apt('install', '/srv/phronyctl.deb');

    ok -e "$ROOT/usr/share/man/man1/phronyctl.1.gz", 'a manual page';
    ok -e "$ROOT/usr/share/bash-completion/completions/phronyctl",
        'completion';

    my ($code, $text) = there('phronyctl', 'check',
        '/usr/share/doc/libnginx-mod-http-phrony/policy.json');

    isnt $code, 0, 'what is no policy file';
    like $text, qr/policy\.json/, 'is named';

    apt('purge', 'phronyctl');
    ok !-e "$ROOT/usr/bin/phronyctl", 'it is gone';
};


subtest 'logs' => sub {
    unlike slurp("$ROOT/var/log/nginx/error.log"),
        qr/\[(?:alert|crit)\]|exited on signal|phk_/, 'nginx was quiet';
};


done_testing();
