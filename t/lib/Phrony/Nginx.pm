package Phrony::Nginx;

# One nginx with a directory of its own: its configuration, its processes,
# its log.

use strict;
use warnings;

use Cwd ();
use File::Path qw(make_path);
use POSIX ();
use Time::HiRes qw(sleep time);

use Phrony::Client;


# The binary and the module under test.

sub binary { $ENV{TEST_NGINX_BINARY} || '/usr/sbin/nginx' }


sub module {
    my $module = $ENV{TEST_NGINX_MODULE} // 'build/ngx_http_phrony_module.so';

    return $module eq '' ? '' : Cwd::abs_path($module) // $module;
}


my $TEMPLATE = <<'END';
{{load_module}}
{{main}}
{{user}}
{{env}}
worker_processes {{workers}};
daemon off;
pid {{dir}}/nginx.pid;
error_log {{dir}}/error.log {{log_level}};

events {
    worker_connections {{connections}};
}

http {
    client_body_temp_path {{dir}}/temp/body;
    proxy_temp_path {{dir}}/temp/proxy;
    fastcgi_temp_path {{dir}}/temp/fastcgi;
    uwsgi_temp_path {{dir}}/temp/uwsgi;
    scgi_temp_path {{dir}}/temp/scgi;

    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_ignore_client_abort on;

    {{phrony}}
    {{redis}}
    {{http}}
    access_log {{access_log}};

    {{upstream}}

    server {
        listen 127.0.0.1:{{port}};
        listen 127.0.0.1:{{port_h2}} http2;
        server_name localhost;

        {{server}}

        {{locations}}
    }
}
END


# dir          an empty directory
# port, port_h2
# upstream     the address that {{upstream_name}} leads to
# policy       a Phrony::Policy or the path of a file
# module       0: nothing of ours is loaded
# zone         size of the zone, default 4m
# redis        the URL of "phrony_redis", or a Phrony::Redis
# clock        "+1h": its clock is an hour off, by libfaketime
# env          {NAME => value} for its processes
# main, http, server      lines of the configuration there
# location     lines in "location /"
# locations    instead of "location /"
# conf         instead of the whole template
# workers, connections, log_level, access_log
# patience     seconds to wait for starts, reloads and ends
# usr2         the binary may be replaced while it runs
#
# {{name}} in any of these is replaced by the option "name"; of those above,
# and by dir, port, port_h2, upstream_name, policy_path.

sub new {
    my ($class, %opt) = @_;

    my $self = bless {
        opt => {
            module      => 1,
            workers     => 2,
            connections => 1024,
            zone        => '4m',
            access_log  => 'off',
            log_level   => $ENV{TEST_NGINX_LOG} || 'info',
            patience    => 20,
            %opt,
        },
        dir    => $opt{dir},
        killed => {},
        forced => 0,
    }, $class;

    make_path("$self->{dir}/temp", "$self->{dir}/sanitizer");
    chmod 0755, $self->{dir}, "$self->{dir}/temp";
    chmod 01777, "$self->{dir}/sanitizer";

    $self->{client} = Phrony::Client->new(
        address => "127.0.0.1:$opt{port}",
        h2      => "127.0.0.1:$opt{port_h2}",
    ) if $opt{port};

    return $self;
}


sub dir     { $_[0]{dir} }
sub pid     { $_[0]{pid} }
sub client  { $_[0]{client} }
sub address { $_[0]{client}{address} }
sub port    { $_[0]{opt}{port} }
sub killed  { $_[0]{killed} }


# The configuration as text.

sub conf {
    my ($self) = @_;

    my $opt = $self->{opt};
    my $policy = $opt->{policy};
    my $prefix = $opt->{module} ? 'phrony on;' : '';

    my %value = (
        (map { $_ => '' } qw(main http server location port_h2)),
        upstream_name => 'phrony_upstream',
        policy_path   => ref $policy ? $policy->path : $policy // '',
        %$opt,
        load_module => _load_module($opt),
        user        => _user(),
        env         => _env(),
        dir         => $self->{dir},
    );

    $value{phrony} = $opt->{module} ? $opt->{phrony}
        // "phrony_zone phrony:{{zone}};\n"
           . "    phrony_policy file={{policy_path}};" : '';
    $value{redis} = !$opt->{redis} ? ''
        : 'phrony_redis "' . (ref $opt->{redis} ? $opt->{redis}->url
            : $opt->{redis}) . '";';
    $value{upstream} = $opt->{upstream} ? "upstream {{upstream_name}} {\n"
        . "        server $opt->{upstream};\n"
        . "        keepalive 16;\n    }" : '';
    $value{locations} //= "location / {\n"
        . "            $prefix\n"
        . ($opt->{upstream} ? "            proxy_pass http://{{upstream_name}};\n" : '')
        . "            {{location}}\n        }";

    my $text = $opt->{conf} // $TEMPLATE;

    1 while $text =~ s/\{\{(\w+)\}\}/$value{$1} \/\/ die "no {{$1}}\n"/ge;

    return $text;
}


sub _load_module {
    my ($opt) = @_;

    my $module = module();

    return $opt->{module} && $module ne '' ? "load_module $module;" : '';
}


# Workers of root's nginx are nobody's, as everywhere; without root there is
# nothing to say.

sub _user {
    return '' if $> != 0;

    my $group = getgrgid((getpwnam 'nobody')[3]);

    return "user nobody $group;";
}


# A new binary must report where the old one did.

sub _env {
    return $ENV{TEST_NGINX_SANITIZED}
        ? join ' ', map { "env $_;" } qw(ASAN_OPTIONS UBSAN_OPTIONS LSAN_OPTIONS)
        : '';
}


sub write_conf {
    my ($self) = @_;

    open my $file, '>', "$self->{dir}/nginx.conf" or die "nginx.conf: $!\n";
    print $file $self->conf;
    close $file or die "nginx.conf: $!\n";
}


# Changes options for the next reload or start, and writes the file.

sub configure {
    my ($self, %opt) = @_;

    $self->{opt} = {%{$self->{opt}}, %opt};
    $self->write_conf;
}


sub _command {
    my ($self, @more) = @_;

    my $dir = $self->{dir};

    return (binary(), '-p', "$dir/", '-c', "$dir/nginx.conf",
        '-e', "$dir/error.log", @more);
}


# "nginx -t": a hash of code (0 is good), signal and output.  It ends without
# freeing anything, so leaks cannot be looked for; other reports are a die.

sub test_conf {
    my ($self) = @_;

    $self->write_conf;
    $self->{leaks} = 0;

    my $pid = $self->_spawn($self->_command('-t'));

    waitpid $pid, 0;

    my @reports = $self->_reports;
    die join "\n", "nginx -t:", @reports, '' if @reports;

    return {code => $? >> 8, signal => $? & 127, output => $self->output};
}


sub _spawn {
    my ($self, @command) = @_;

    my $pid = fork // die "fork: $!\n";

    $self->_exec(@command) if !$pid;

    return $pid;
}


# For programs that this process starts: reports go to files in "dir".  Leaks
# are looked for when a process ends by itself.  nginx makes its log its
# standard error, so UBSan's reports may be found there too.

sub sanitizer_options {
    my ($dir, $leaks) = @_;

    $ENV{ASAN_OPTIONS} = "log_path=$dir/asan:detect_leaks=" . ($leaks // 1)
        . ':detect_odr_violation=0:strict_string_checks=1';
    $ENV{UBSAN_OPTIONS} = "log_path=$dir/ubsan:print_stacktrace=1";
}


sub _exec {
    my ($self, @command) = @_;

    sanitizer_options("$self->{dir}/sanitizer", $self->{leaks});

    %ENV = (%ENV, _clock($self->{opt}{clock}), %{$self->{opt}{env} || {}});

    $SIG{$_} = 'DEFAULT' for qw(INT TERM ALRM PIPE);
    alarm 0;
    umask 022;

    open STDIN, '<', '/dev/null';
    open STDOUT, '>>', "$self->{dir}/output";
    open STDERR, '>&', \*STDOUT;

    exec { $command[0] } @command or POSIX::_exit(127);
}


# What makes a process live at another time.  Workers have no environment in
# which the offset could be looked up again, so it must be kept.  ASan wants
# its own library first.

sub _clock {
    my ($offset) = @_;

    return if !defined $offset;

    my ($faketime) = glob '/usr/lib/*/faketime/libfaketime.so.1';
    my @asan = $ENV{TEST_NGINX_SANITIZED}
        ? `gcc -print-file-name=libasan.so` =~ /(.+)/ : ();

    return (LD_PRELOAD => join(' ', @asan, $faketime // die "no libfaketime\n"),
        FAKETIME => $offset, FAKETIME_CACHE_DURATION => 86400,
        FAKETIME_DONT_FAKE_MONOTONIC => 1, FAKETIME_DISABLE_SHM => 1);
}


# What nginx wrote to its standard streams.

sub output { _slurp("$_[0]{dir}/output") }
sub log    { _slurp("$_[0]{dir}/error.log") }


# The log from a position on, which log_size() told.

sub log_size  { -s "$_[0]{dir}/error.log" || 0 }
sub log_since { substr $_[0]->log, $_[1] }


sub _slurp {
    my ($path) = @_;

    open my $file, '<:raw', $path or return '';
    local $/;

    return scalar(readline $file) // '';
}


# Starts nginx and waits until its workers serve.

sub start {
    my ($self) = @_;

    $self->write_conf;
    $self->{pid} = $self->{opt}{usr2} ? $self->_spawn_orphan : $self->_spawn(
        $self->_command);

    $self->_await('nginx did not start', sub {
        $self->_reap and die 'nginx ended: ' . $self->output . $self->log;
        $self->_serving($self->{pid}, {});
    });

    return $self;
}


# nginx takes USR2 only after its parent has changed, as it does when it runs
# as a daemon.  Here a middle process is the parent and ends; we adopt nginx as
# a "child subreaper", so its end can be waited for all the same.

sub _spawn_orphan {
    my ($self) = @_;

    my %prctl = (x86_64 => 157, aarch64 => 167);
    my $prctl = $prctl{(POSIX::uname())[4]} or die "prctl() of this machine?\n";

    syscall $prctl, 36, 1, 0, 0, 0;         # PR_SET_CHILD_SUBREAPER

    pipe my $reader, my $writer or die "pipe: $!\n";

    my $middle = fork // die "fork: $!\n";

    if (!$middle) {
        my $pid = fork // POSIX::_exit(1);

        if (!$pid) {
            $self->_exec($self->_command);
        }

        syswrite $writer, "$pid\n";

        # nginx notes its parent when it starts: go when it has

        for (1 .. 1000) {
            last if -s "$self->{dir}/nginx.pid";
            sleep 0.01;
        }

        POSIX::_exit(0);
    }

    waitpid $middle, 0;
    my $pid = readline $reader;
    chomp $pid;

    return $pid;
}


# The worker processes of a master that take connections.

sub workers {
    my ($self, $master) = @_;

    return $self->_children($master, qr/\Anginx: worker process\s*\z/);
}


sub _children {
    my ($self, $master, $title) = @_;

    $master //= $self->{pid};

    return grep {
        my ($parent) = _slurp("/proc/$_/stat") =~ /\) \S (\d+)/;
        defined $parent && $parent == $master
            && _slurp("/proc/$_/cmdline") =~ s/\0/ /gr =~ $title
    } map { m{/(\d+)/} } glob '/proc/[0-9]*/stat';
}


# True when the configured number of workers serve, none of them among "old",
# and the port answers.

sub _serving {
    my ($self, $master, $old) = @_;

    my @workers = $self->workers($master);

    return 0 if grep { $old->{$_} } @workers;
    return 0 if @workers < $self->{opt}{workers};
    return 1 if !$self->{opt}{port};

    return !!eval { $self->{client}->open_connection };
}


sub _await {
    my ($self, $name, $condition) = @_;

    my $deadline = time + $self->{opt}{patience};

    while (!$condition->()) {
        die "$name\n" . $self->log if time > $deadline;
        sleep 0.02;
    }
}


# Reads the configuration anew.  True when new workers serve and the old ones
# have stopped listening; false when nginx kept the old configuration.

sub reload {
    my ($self) = @_;

    my %old = map { $_ => 1 } $self->workers;
    my $mark = $self->log_size;
    my $kept;

    $self->write_conf;
    kill HUP => $self->{pid};

    $self->_await('nginx did not reload', sub {
        $kept = $self->log_since($mark) =~ /\[emerg\]/;
        $kept || $self->_serving($self->{pid}, \%old);
    });

    return !$kept;
}


# Kills a worker, by default the first, and waits until there is another.

sub kill_worker {
    my ($self, $pid, $signal) = @_;

    my %old = ($pid // ($self->workers)[0] => 1);

    $self->{killed}{(keys %old)[0]} = $signal // 'KILL';
    kill $signal // 'KILL', keys %old;

    $self->_await('no new worker', sub { $self->_serving($self->{pid}, \%old) });
}


sub signal {
    my ($self, $signal) = @_;

    kill $signal => $self->{pid};
}


# Replaces the running binary: USR2, wait for the new master's workers, QUIT
# to the old master, wait for its end.  Needs the option "usr2".

sub upgrade {
    my ($self) = @_;

    my $old = $self->{pid};
    my $new;

    $self->signal('USR2');

    $self->_await('no new master', sub {
        ($new) = _slurp("$self->{dir}/nginx.pid") =~ /(\d+)/;
        $new && $new != $old && $self->_serving($new, {});
    });

    my $code = $self->quit;

    @$self{qw(pid code)} = ($new, undef);

    return $code;
}


# Asks nginx to finish what it does and end; then, if it does not, forces it,
# which the closing assertions take for a failure.  Returns the exit code,
# "signal N", or undef if nginx was not running.

sub quit {
    my ($self) = @_;

    return $self->{code} if !$self->{pid} || defined $self->{code};

    for my $signal (qw(QUIT TERM KILL)) {
        kill $signal => $self->{pid};
        $self->{forced} = $signal if $signal ne 'QUIT';

        my $deadline = time + $self->{opt}{patience};

        while (time < $deadline) {
            return $self->{code} if $self->_reap;
            sleep 0.01;
        }
    }

    return;
}


sub _reap {
    my ($self) = @_;

    return 0 if waitpid($self->{pid}, POSIX::WNOHANG()) != $self->{pid};

    $self->{code} = $? & 127 ? 'signal ' . ($? & 127) : $? >> 8;

    return 1;
}


sub running { $_[0]{pid} && !defined $_[0]{code} }


# The end without ceremony, for a test that fails halfway.

sub destroy {
    my ($self) = @_;

    return if !$self->running;

    my @children = $self->_children(undef, qr/\Anginx:/);

    kill TERM => $self->{pid};

    for (1 .. 300) {
        return if $self->_reap;
        sleep 0.01;
    }

    kill KILL => @children, $self->{pid};
    waitpid $self->{pid}, 0;
}


# Reports of sanitizers.

sub _reports {
    my ($self) = @_;

    my @lines = grep { /Sanitizer:|: runtime error: / } split /\n/,
        $self->output . $self->log;

    return map { "sanitizer: $_" } @lines,
        map { "$_: " . _slurp($_) } grep { -s } glob "$self->{dir}/sanitizer/*";
}


# What must not be there after the end: a list of complaints.  "allowed" are
# patterns of log lines that the test expects.

sub complaints {
    my ($self, @allowed) = @_;

    my $killed = join '|', keys %{$self->{killed}};
    my @complaints;

    push @allowed, qr/process (?:$killed) exited on signal/ if $killed;

    for my $line (split /\n/, $self->log) {
        next if $line !~ /\[(?:alert|emerg|crit)\]|exited on signal/
            && $line !~ /exited with (?:fatal )?code [1-9]/;
        push @complaints, "log: $line" if !grep { $line =~ $_ } @allowed;
    }

    push @complaints, $self->_reports;
    push @complaints, "nginx did not end by itself, $self->{forced} was needed"
        if $self->{forced};
    push @complaints, "nginx ended with $self->{code}"
        if ($self->{code} // 0) ne '0';

    return @complaints;
}


1;
