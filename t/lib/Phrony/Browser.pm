package Phrony::Browser;

# A real Chromium without a screen, told what to do through its DevTools pipe:
# messages of JSON, each with a NUL behind it.

use strict;
use warnings;

use Fcntl qw(F_DUPFD);
use File::Path qw(make_path);
use IO::Select;
use MIME::Base64 qw(decode_base64);
use Mojo::JSON qw(decode_json encode_json);
use POSIX ();
use Time::HiRes qw(sleep time);


# The program: any of those that Debian has, or undef.

sub program {
    for my $name (qw(chromium-headless-shell chromium)) {
        for my $dir (split(/:/, $ENV{PATH} // ''), '/usr/bin') {
            return "$dir/$name" if -x "$dir/$name";
        }
    }

    return;
}


# "dir" is an empty directory.

sub start {
    my ($class, %opt) = @_;

    my $program = program() // die "no Chromium: tools/install-packages"
        . " browser\n";

    make_path($opt{dir});

    pipe my $commands, my $to or die "pipe: $!\n";
    pipe my $from, my $answers or die "pipe: $!\n";

    my $pid = fork // die "fork: $!\n";

    if (!$pid) {
        $SIG{$_} = 'DEFAULT' for qw(INT TERM ALRM PIPE HUP);
        alarm 0;

        # either may be 3 or 4 already: away from there first

        my $in = fcntl $commands, F_DUPFD, 10;
        my $out = fcntl $answers, F_DUPFD, 10;

        POSIX::dup2($in, 3);
        POSIX::dup2($out, 4);

        open STDIN, '<', '/dev/null';
        open STDOUT, '>', "$opt{dir}/output";
        open STDERR, '>&', \*STDOUT;

        exec $program, '--headless', '--no-sandbox', '--disable-gpu',
            '--disable-dev-shm-usage', '--no-first-run', '--hide-scrollbars',
            '--disable-background-networking', '--disable-sync',
            "--user-data-dir=$opt{dir}/profile", '--remote-debugging-pipe',
            'about:blank'
            or POSIX::_exit(127);
    }

    my $self = bless {dir => $opt{dir}, pid => $pid, to => $to,
        from => $from, buffer => '', id => 0, events => [], owner => $$}, $class;

    $self->_open;

    return $self;
}


sub _open {
    my ($self) = @_;

    my $target = $self->_call('Target.createTarget', url => 'about:blank');

    $self->{session} = $self->_call('Target.attachToTarget',
        targetId => $target->{targetId}, flatten => \1)->{sessionId};

    $self->_call("$_.enable") for qw(Page Runtime Log Network);
}


# One command; dies of an error, or after 20 s.

sub _call {
    my ($self, $method, %params) = @_;

    my $id = ++$self->{id};

    syswrite $self->{to}, encode_json({id => $id, method => $method,
        params => \%params,
        $self->{session} ? (sessionId => $self->{session}) : ()}) . "\0"
        or die "browser: $!\n";

    my $deadline = time + 20;

    while (1) {
        my $message = $self->_message($deadline)
            // die "browser: no answer to $method\n";

        if (($message->{id} // 0) != $id) {
            push @{$self->{events}}, $message;
            next;
        }

        die "browser: $method: $message->{error}{message}\n"
            if $message->{error};

        return $message->{result};
    }
}


sub _message {
    my ($self, $deadline) = @_;

    while (index($self->{buffer}, "\0") < 0) {
        my $left = $deadline - time;

        return if $left <= 0
            || !IO::Select->new($self->{from})->can_read($left);

        sysread $self->{from}, $self->{buffer}, 65536,
            length $self->{buffer}
            or die "browser: it ended: " . $self->_output;
    }

    my $text = substr $self->{buffer}, 0, 1 + index($self->{buffer}, "\0"), '';

    chop $text;

    return decode_json($text);
}


sub _output {
    my ($self) = @_;

    open my $file, '<', "$self->{dir}/output" or return '';
    local $/;

    return readline $file;
}


# scheme => "dark" or "light", width, height

sub look {
    my ($self, %opt) = @_;

    $self->_call('Emulation.setEmulatedMedia', features => [
        {name => 'prefers-color-scheme', value => $opt{scheme} // 'light'}]);
    $self->_call('Emulation.setDeviceMetricsOverride',
        width => $opt{width} // 1280, height => $opt{height} // 1100,
        deviceScaleFactor => 1, mobile => \0);
}


sub go {
    my ($self, $url) = @_;

    my $done = $self->_call('Page.navigate', url => $url);

    die "browser: $url: $done->{errorText}\n" if $done->{errorText};
}


# The value of an expression in the page.

sub value {
    my ($self, $expression) = @_;

    my $done = $self->_call('Runtime.evaluate', expression => $expression,
        returnByValue => \1, awaitPromise => \1);

    die "browser: $expression: $done->{exceptionDetails}{text}\n"
        if $done->{exceptionDetails};

    return $done->{result}{value};
}


# Writes a picture of the whole page.

sub picture {
    my ($self, $path) = @_;

    my $done = $self->_call('Page.captureScreenshot', format => 'png',
        captureBeyondViewport => \1);

    open my $file, '>:raw', $path or die "$path: $!\n";
    print $file decode_base64($done->{data});
    close $file or die "$path: $!\n";
}


# What the browser has complained of since it was last asked: exceptions,
# errors in its log, what it refused to load.  And what it has asked for.

sub complaints {
    my ($self) = @_;

    my @complaints;

    $self->value('1');

    for my $event (@{$self->{events}}) {
        my $of = $event->{params};

        push @complaints, "exception: $of->{exceptionDetails}{text}"
            if $event->{method} eq 'Runtime.exceptionThrown';
        push @complaints, "$of->{entry}{level}: $of->{entry}{text}"
            if $event->{method} eq 'Log.entryAdded'
            && $of->{entry}{level} =~ /\A(?:error|warning)\z/;
        push @{$self->{requests}}, $of->{request}{url}
            if $event->{method} eq 'Network.requestWillBeSent';
    }

    $self->{events} = [];

    return @complaints;
}


sub requests {
    my ($self) = @_;

    return @{$self->{requests} || []};
}


sub stop {
    my ($self) = @_;

    return if !$self->{pid};

    my $pid = delete $self->{pid};

    eval { delete $self->{session}; $self->_call('Browser.close') };
    close $self->{$_} for qw(to from);

    for (1 .. 500) {
        return if waitpid($pid, POSIX::WNOHANG()) == $pid;
        sleep 0.01;
    }

    kill KILL => $pid;
    waitpid $pid, 0;
}


sub DESTROY {
    my ($self) = @_;

    local $?;
    $self->stop if $self->{owner} == $$;
}


1;
