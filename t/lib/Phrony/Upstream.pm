package Phrony::Upstream;

# A stand-in for Phrony: the public API as a gateway sees it, with a state.
# It serves raw connections itself, so that it can record every request as it
# came (the target, the fields, the body) and break an answer at any byte.
#
# A request is answered as the API would, except where the request's own
# X-Stand-In field, or a plan set through /_control, asks for something else.
# The field holds "name=value" pairs separated by ";", values may be %-encoded:
#
#   at=NAME           only the stand-in of this name obeys
#   status=500        that status, with an error body
#   body=BASE64       these bytes as the body;  type=TEXT  their type
#   header=NAME:VALUE one more field (repeatable)
#   set=BASE64        JSON object, merged into the answer
#   omit=A,B          members left out of the answer
#   size=N            the answer's object is padded to N bytes, before its end;
#   padding=first     right after its beginning
#   gzip=1            Content-Encoding: gzip
#   chunked=1         Transfer-Encoding: chunked
#   until-close=1     neither length nor chunks; the connection ends the body
#   close=1           Connection: close
#   pieces=N          the body in pieces of N bytes, gap=S seconds apart
#   delay=S           seconds before the answer; body-delay=S before its body
#   hang=1            no answer at all
#   hold=1            no answer until POST /_control/release
#   early=1           answers when the request's head is there
#   break=WHERE       ends the connection: request (when the head is there),
#                     before (the answer), in-header, in-body
#   reset=1           and does so with a TCP reset
#
# and for a start:
#
#   accept=1          it is carried out when it is there, whatever becomes of
#                     its answer: with status=504, hang, hold or break=before
#   run=UUID          this runId;  trigger=UUID  this triggerId
#   state=NAME        the run's first status instead of Running
#   finish=polls:N    the N-th poll is the first to report the end
#   finish=seconds:S  it ends so long after the start
#   finish=now        the start's own answer reports the end
#   terminal=NAME     the status at the end instead of Completed
#
# The control API, never meant to be reached through a gateway:
#
#   GET    /_control/requests    what was received, see _public_record();
#                                with ?last=N only the last N
#   GET    /_control/bodies/N    the body of the request of that number
#   GET    /_control/state       counters
#   GET    /_control/runs        every run
#   POST   /_control/runs/ID     {"status": …, "output": …}: changes a run, and
#                                its session's row: startedAt, rootRunId, …
#   POST   /_control/events/ID   an object: sent to the run's open streams
#   POST   /_control/stream/ID   bytes: sent to them as they are, in one piece;
#                                says how many streams there are, so that
#                                none at all may be sent to ask for that
#   POST   /_control/close/ID    these streams end, whatever becomes of the run
#   POST   /_control/plan        ["status=500", "", …]: for the next requests
#   POST   /_control/release     lets the answers go that are held
#   POST   /_control/release/ID  that of the start of this run alone
#   POST   /_control/reset       forgets everything

use Mojo::Base -base, -signatures;

use Digest::SHA qw(sha256_hex);
use Mojo::Date;
use Mojo::IOLoop;
use Mojo::JSON qw(decode_json encode_json false from_json true);
use Mojo::Util qw(b64_decode b64_encode gzip url_unescape);
use POSIX ();
use Socket qw(SOL_SOCKET SO_LINGER);
use Time::HiRes ();

use Phrony::Message;


my $UUID = qr/[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}/;

my $LARGE = 8192;

my $TERMINAL = qr/\A(?:Completed|Failed|Cancelled|Terminated|TimedOut)\z/i;

my %REASON = (
    200 => 'OK', 202 => 'Accepted', 204 => 'No Content', 304 => 'Not Modified',
    400 => 'Bad Request', 401 => 'Unauthorized', 403 => 'Forbidden',
    404 => 'Not Found', 405 => 'Method Not Allowed', 409 => 'Conflict',
    429 => 'Too Many Requests', 500 => 'Internal Server Error',
    502 => 'Bad Gateway', 503 => 'Service Unavailable',
    504 => 'Gateway Timeout',
);

# method, path below the prefix, what answers, what the key must allow

my @ROUTES = (
    [POST => qr{\A/v1/agents/($UUID)/runs\z},           '_start',        'agent'],
    [GET  => qr{\A/v1/agents/($UUID)/sessions\z},       '_sessions',     'agent'],
    [GET  => qr{\A/v1/agents/($UUID)\z},                '_agent',        'agent'],
    [GET  => qr{\A/v1/runs/($UUID)\z},                  '_run',          'run'],
    [GET  => qr{\A/v1/runs/($UUID)/conversation\z},     '_conversation', 'run'],
    [GET  => qr{\A/v1/runs/($UUID)/stream\z},           '_stream',       'run'],
    [POST => qr{\A/v1/runs/($UUID)/(?:messages|input)\z}, '_resume',     'run'],
    [POST => qr{\A/v1/runs/($UUID)/skip-agent-wait\z},  '_skip_wait',    'run'],
    [POST => qr{\A/v1/file-library/presign\z},          '_presign',      'files'],
    [POST => qr{\A/v1/file-library/finalize\z},         '_finalize',     'files'],
);


# listen    "127.0.0.1:PORT", port 0 for any, or "unix:PATH"
# name      answers to "at=NAME"
# prefix    a path before /v1 that is accepted, not demanded
# known     { clear text => { agents => [ids], files => 1 } }; without it any
#           key that begins with phk_ may do everything
# finish    what a start is given if it says nothing, as in "finish=…"
# triggers  { agentId => triggerId }; else triggerId is null
# clock     seconds that its clock is ahead
# verbose   a line on standard output for every request

has listen   => '127.0.0.1:0';
has name     => 'stand-in';
has prefix   => '';
has known    => undef;
has finish   => '';
has triggers => sub { {} };
has clock    => 0;
has verbose  => 0;
has port     => undef;


# Opens the listening socket and returns the address to connect to.

sub bind_socket ($self) {
    my %where = ($self->listen =~ /\Aunix:(.+)\z/s)
        ? (path => $1)
        : do {
            my ($address, $port) = $self->listen =~ /\A(.*):(\d+)\z/
                or die 'not an address: ' . $self->listen . "\n";
            (address => $address, $port ? (port => $port) : ());
        };

    $self->_forget;
    Mojo::IOLoop->singleton->max_connections(20000);

    my $id = Mojo::IOLoop->server({%where, backlog => 511}
        => sub ($loop, $stream, $id) { $self->_accept($stream, $id) });

    return $self->listen if $where{path} && chmod 0777, $where{path};

    $self->port(Mojo::IOLoop->acceptor($id)->port);

    return $where{address} . ':' . $self->port;
}


# Serves until SIGTERM or SIGINT, or until the process "parent" is gone.

sub run ($self, $parent = undef) {
    local $SIG{TERM} = local $SIG{INT} = sub { Mojo::IOLoop->stop };
    local $SIG{PIPE} = 'IGNORE';

    Mojo::IOLoop->recurring(1 => sub {
        Mojo::IOLoop->stop if $parent && getppid() != $parent;
    });

    Mojo::IOLoop->start;
}


sub _forget ($self) {
    $self->{seed} //= [map { int rand $_ } 0xffffffff, 0xffff, 0xfff, 0xfff];
    @$self{qw(records runs sessions plan streams)} = ([], {}, [], [], {});
    $self->{counters} = {requests => 0, answers => 0, maxInFlight => 0};
}


# Connections.  One answer at a time is written; requests that a client sends
# ahead wait in the buffer.

sub _accept ($self, $stream, $id) {
    my $c = {id => $id, stream => $stream, buffer => ''};

    $self->{connections}{$id} = $c;
    $self->{accepted}++;

    $stream->timeout(0);
    $stream->on(read => sub ($stream, $bytes) {
        $c->{buffer} .= $bytes;
        $self->_read($c);
    });
    $stream->on(error => sub { });
    $stream->on(close => sub { $self->_closed($c) });
}


sub _closed ($self, $c) {
    delete $self->{connections}{$c->{id}};
    $c->{record}{aborted} = true if $c->{busy};
    $_->() for splice @{$c->{on_close} || []};
    $c->{stream} = undef;
}


sub _read ($self, $c) {
    while (!$c->{busy} && $c->{stream}) {
        my $ok = eval { $self->_read_request($c) };

        if ($@) {
            $c->{stream}->close;
            return;
        }

        return if !$ok;
    }
}


# Returns false if the buffer holds no whole request.

sub _read_request ($self, $c) {
    my $req = $c->{req};

    if (!$req) {
        $req = Phrony::Message->take_head(\$c->{buffer}) or return 0;
        $self->_head_read($c, $req);
        return 1 if $c->{busy} || !$c->{stream};
    }

    my $whole = $req->take_body(\$c->{buffer});

    $self->_update_record($c);
    return 0 if !$whole;

    $self->_answer($c);

    return 1;
}


sub _head_read ($self, $c, $req) {
    my ($path) = $req->target =~ /\A([^?]*)/;

    $c->{req} = $req;
    $c->{path} = $path;
    $c->{control} = $path =~ m{\A/_control/};
    $c->{asked} = $c->{control} ? {} : $self->_asked($req);
    $self->_add_record($c) if !$c->{control};

    return $self->_break($c) if ($c->{asked}{break} // '') eq 'request';
    return $self->_answer($c) if $c->{asked}{early};

    $c->{stream}->write("HTTP/1.1 100 Continue\r\n\r\n")
        if ($req->header('Expect') // '') =~ /\A100-continue\z/i;
}


sub _answer ($self, $c) {
    my $asked = $c->{asked};

    $c->{busy} = 1;
    $self->{counters}{maxInFlight} = $self->_in_flight
        if $self->_in_flight > $self->{counters}{maxInFlight};

    $c->{accepted} = $self->_route($c)
        if $asked->{accept} && !$c->{control};

    return if $asked->{hang};

    my $answer = sub {
        return if !$c->{stream};
        return $self->_break($c) if ($asked->{break} // '') eq 'before';
        $self->_send($c, $self->_compose($c));
    };

    return push @{$self->{held}}, [lc($asked->{run} // ''), $answer]
        if $asked->{hold};

    $asked->{delay} ? Mojo::IOLoop->timer($asked->{delay} => $answer)
                    : $answer->();
}


sub _in_flight ($self) {
    return scalar grep { $_->{busy} && !$_->{control} }
        values %{$self->{connections}};
}


sub _break ($self, $c) {
    return if !$c->{stream};

    setsockopt($c->{stream}->handle, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0))
        if $c->{asked}{reset};

    $c->{stream}->close;
}


# What a request asks of the stand-in: its own field, and the plan.

sub _asked ($self, $req) {
    my $text = join ';', shift @{$self->{plan}} // (), $req->all('X-Stand-In');
    my %asked;

    for my $pair (split /;/, $text) {
        my ($name, $value) = $pair =~ /\A\s*([^=\s]+)\s*(?:=\s*(.*?)\s*)?\z/s
            or next;

        $value = url_unescape($value // 1);

        if ($name eq 'header') { push @{$asked{header}}, $value }
        else                   { $asked{$name} = $value }
    }

    return {} if defined $asked{at} && $asked{at} ne $self->name;

    return \%asked;
}


# The record of what was received.

sub _add_record ($self, $c) {
    my $req = $c->{req};

    push @{$self->{records}}, $c->{record} = {
        number     => ++$self->{counters}{requests},
        connection => $c->{id},
        time       => Time::HiRes::time(),
        method     => $req->method,
        target     => $req->target,
        version    => $req->version,
        headers    => $req->headers,
        aborted    => false,
    };
}


sub _update_record ($self, $c) {
    my $record = $c->{record} or return;

    return if $c->{control};

    @$record{qw(body complete)}
        = ($c->{req}->body, $c->{req}->whole ? true : false);
}


sub _public_record ($self, $record) {
    my $body = $record->{body} // '';

    return {
        %$record,
        complete => $record->{complete} // false,
        length   => length $body,
        sha256   => sha256_hex($body),

        # JSON in Perl is slow: fetch a large one by itself

        body => length $body > $LARGE ? undef : b64_encode($body, ''),
    };
}


# The answer: a status, fields, and a body or a subroutine that writes it.

sub _compose ($self, $c) {
    my $req = $c->{req};
    my $asked = $c->{asked};

    my $answer = $c->{control} ? $self->_control($c)
        : $asked->{status} && $asked->{status} >= 300
        ? _error($asked->{status}, 'asked for by the test')
        : $c->{accepted} // $self->_route($c);

    $answer->{status} = $asked->{status} if $asked->{status};

    $self->_reshape($answer, $asked);

    say join ' ', $req->method, $req->target, $answer->{status}
        if $self->verbose && !$c->{control};

    return $answer;
}


sub _reshape ($self, $answer, $asked) {
    my $data = $answer->{json};

    if (ref $data eq 'HASH') {
        %$data = (%$data, %{decode_json(b64_decode($asked->{set}))})
            if $asked->{set};
        delete @$data{split /,/, $asked->{omit}} if $asked->{omit};
    }

    if (defined $data) {
        $answer->{body} = encode_json($data);
        $answer->{type} //= 'application/json; charset=utf-8';
        _pad($answer, $asked) if $asked->{size};
    }

    if (defined $asked->{body}) {
        $answer->{body} = b64_decode($asked->{body});
        delete $answer->{stream};
    }

    $answer->{type} = $asked->{type} if defined $asked->{type};

    if ($asked->{gzip} && defined $answer->{body}) {
        $answer->{body} = gzip($answer->{body});
        push @{$answer->{headers}}, ['Content-Encoding', 'gzip'];
    }

    push @{$answer->{headers}}, [split /:\s*/, $_, 2]
        for @{$asked->{header} || []};
}


sub _pad ($answer, $asked) {
    my $missing = $asked->{size} - length $answer->{body};
    my $member = '"padding":""';
    my $length = $missing - length($member) - 1;

    return if $length < 0;

    $member = '"padding":"' . 'x' x $length . '"';

    if (($asked->{padding} // '') eq 'first') {
        $answer->{body} =~ s/\A\{/{$member,/;
    }
    else {
        $answer->{body} =~ s/\}\z/,$member}/;
    }
}


sub _send ($self, $c, $answer) {
    my $asked = $c->{asked};
    my $body = $answer->{body} // '';
    my $head_only = $c->{req}->method eq 'HEAD'
        || $answer->{status} =~ /\A(?:204|304)\z/;
    my $chunked = ($asked->{chunked} || $answer->{stream})
        && $c->{req}->version ne '1.0' && !$head_only;

    $c->{last} = $asked->{close} || $asked->{'until-close'} || $asked->{early}
        || $answer->{stream} && !$chunked
        || ($c->{req}->header('Connection') // '') =~ /close/i
        || $c->{req}->version eq '1.0'
           && ($c->{req}->header('Connection') // '') !~ /keep-alive/i;

    my $head = $self->_head($c, $answer, $chunked, length $body);

    $c->{record}{status} = $answer->{status} + 0 if $c->{record};

    if (($asked->{break} // '') eq 'in-header') {
        my $half = substr $head, 0, length($head) / 2;
        return $self->_write($c, $half => sub { $self->_break($c) });
    }

    if (($asked->{break} // '') eq 'in-body') {
        my $half = substr $body, 0, length($body) / 2;
        return $self->_write($c, $head . $half => sub { $self->_break($c) });
    }

    if ($answer->{stream} && !$head_only) {
        $c->{chunked} = $chunked;
        return $self->_write($c, $head => sub { $answer->{stream}->($c) });
    }

    $body = '' if $head_only;
    $self->_send_body($c, $head, $body, $chunked);
}


sub _head ($self, $c, $answer, $chunked, $length) {
    my $status = $answer->{status};

    my @fields = (
        ['Server', 'Phrony stand-in'],
        (grep { /\ADate:/i } @{$c->{asked}{header} || []})
            ? () : ['Date', $self->_date],
        defined $answer->{type} ? ['Content-Type', $answer->{type}] : (),
        @{$answer->{headers} || []},
        $chunked ? ['Transfer-Encoding', 'chunked']
        : $status == 204 || $answer->{stream} || $c->{asked}{'until-close'} ? ()
        : ['Content-Length', $length],
        ['Connection', $c->{last} ? 'close' : 'keep-alive'],
    );

    return join "\r\n", "HTTP/1.1 $status " . ($REASON{$status} // 'Other'),
        (map { "$_->[0]: $_->[1]" } @fields), '', '';
}


sub _send_body ($self, $c, $head, $body, $chunked) {
    my $asked = $c->{asked};
    my $size = $asked->{pieces} || ($chunked ? 16384 : length($body) || 1);
    my @pieces = map { substr $body, $_ * $size, $size }
        0 .. POSIX::ceil(length($body) / $size) - 1;

    @pieces = map { _chunk($_) } @pieces if $chunked;
    push @pieces, "0\r\n\r\n" if $chunked;

    # one write when nobody asked for gaps

    @pieces = (join '', $head, @pieces), $head = ''
        if !$asked->{pieces} && !$asked->{'body-delay'};

    my $next;
    $next = sub {
        return undef $next if !$c->{stream};
        return undef($next), $self->_answered($c) if !@pieces;

        my $piece = shift @pieces;

        $self->_write($c, $piece => sub {
            @pieces ? Mojo::IOLoop->timer($asked->{gap} // 0, $next) : $next->();
        });
    };

    return $next->() if $head eq '';

    $self->_write($c, $head => sub {
        Mojo::IOLoop->timer($asked->{'body-delay'} // 0, $next);
    });
}


sub _chunk ($bytes) {
    return sprintf "%x\r\n%s\r\n", length $bytes, $bytes;
}


sub _write ($self, $c, $bytes, $done = undef) {
    return if !$c->{stream};
    $c->{stream}->write($bytes, $done ? sub { $done->() if $c->{stream} } : ());
}


sub _answered ($self, $c) {
    $self->{counters}{answers}++ if !$c->{control};
    $c->{record}{answered} = true if $c->{record};

    return $c->{stream}->close if $c->{last};

    delete @$c{qw(req record asked control path busy accepted chunked
        on_close)};
    $self->_read($c);
}


# The API.

sub _error ($status, $message) {
    return {status => $status, json => {error => $message, status => $status + 0}};
}


sub _route ($self, $c) {
    my $req = $c->{req};
    my $path = $c->{path};
    my $method = $req->method eq 'HEAD' ? 'GET' : $req->method;
    my $prefix = $self->prefix;
    my $known;

    $path =~ s/\A\Q$prefix\E//;

    for my $route (@ROUTES) {
        my ($wanted, $pattern, $handler, $checked) = @$route;
        my ($id) = $path =~ $pattern or next;

        return _preflight($req) if $method eq 'OPTIONS';

        $known = 1;
        next if $wanted ne $method;

        $id = lc $id;
        my $refusal = $self->_authenticate($req, $checked, $id);

        return $refusal // $self->$handler($c, $id);
    }

    return _error($known ? (405, 'Method not allowed') : (404, 'Not found'));
}


sub _preflight ($req) {
    return {
        status  => 204,
        headers => [
            ['Access-Control-Allow-Origin', $req->header('Origin') // '*'],
            ['Access-Control-Allow-Methods', 'GET, POST'],
            ['Access-Control-Allow-Headers', 'X-API-Key, Content-Type'],
        ],
    };
}


# Returns an error's answer, or undef if the key may.

sub _authenticate ($self, $req, $checked, $id) {
    my $key = $req->header('X-API-Key') // '';

    return _error(401, 'Missing or invalid API key') if $key !~ /\Aphk_./;
    return if !$self->known;

    my $rights = $self->known->{$key}
        or return _error(401, 'Missing or invalid API key');

    if ($checked eq 'files') {
        return $rights->{files} ? undef : _error(403, 'Uploads not allowed');
    }

    my $agent = $id;

    if ($checked eq 'run') {
        my $run = $self->{runs}{$id} or return;
        $agent = $run->{agentId};
    }

    return if grep { lc $_ eq $agent } @{$rights->{agents} || []};
    return _error(403, 'Agent not allowed');
}


# Unique within this process and, by chance, among all.

sub _uuid ($self) {
    return sprintf '%08x-%04x-4%03x-8%03x-%012x', @{$self->{seed}},
        ++$self->{serial};
}


sub _now ($self) {
    my $now = Time::HiRes::time() + $self->clock;

    return POSIX::strftime('%Y-%m-%dT%H:%M:%S', gmtime $now)
        . sprintf '.%03dZ', ($now - int $now) * 1000;
}


# The same moment as the field Date has it, in whole seconds.

sub _date ($self) {
    return Mojo::Date->new(int(Time::HiRes::time() + $self->clock))->to_string;
}


# POST /v1/agents/{agentId}/runs

sub _start ($self, $c, $agent) {
    my $body = $c->{req}->body;
    my $asked = $c->{asked};
    my $data = $body eq '' ? {} : _decode($body);

    return _error(400, 'The body is not a JSON object')
        if !$asked->{early} && ref $data ne 'HASH';
    return _error(400, 'input is not an object')
        if defined $data->{input} && ref $data->{input} ne 'HASH';

    my $run = $self->_new_run($agent, $asked, $data->{input});

    return {
        status => 202,
        json   => {
            sessionId       => $run->{sessionId},
            runId           => $run->{runId},
            status          => $run->{status},
            totalTokensUsed => $run->{tokens},
            output          => $run->{output},
            agentId         => $agent,
            triggerId       => $run->{triggerId},
        },
    };
}


# As decode_json(), but takes every character of Unicode, at any depth, and
# returns undef for what is not JSON; a very large text is not looked at.

sub _decode ($bytes) {
    local $SIG{__WARN__} = sub ($text) {
        warn $text if $text !~ /\ADeep recursion/;
    };

    return {} if length $bytes > 10 * $LARGE;

    utf8::decode($bytes) or return;

    return scalar eval { from_json($bytes) };
}


sub _new_run ($self, $agent, $asked, $input) {
    my $finish = $asked->{finish} // $self->finish;
    my ($how, $amount) = $finish =~ /\A(\w*):?(.*)\z/;
    my $id = lc($asked->{run} // $self->_uuid);

    my $run = $self->{runs}{$id} //= {
        runId     => $id,
        sessionId => $self->_uuid,
        agentId   => $agent,
        triggerId => $asked->{trigger} // $self->triggers->{$agent},
        status    => $asked->{state} // 'Running',
        terminal  => $asked->{terminal} // 'Completed',
        output    => undef,
        tokens    => 0,
        polls     => 0,
        input     => $input,
        startedAt => $self->_now,
        events    => [],
    };

    $run->{finish_polls} = $amount if $how eq 'polls';
    unshift @{$self->{sessions}}, $run
        if !grep { $_ == $run } @{$self->{sessions}};

    $self->_event($run, session => 'engine.session.started',
        {sessionId => $run->{sessionId}});
    $self->_event($run, run => 'engine.run.started', {runId => $id});

    $self->_set_status($run, $run->{terminal}) if $how eq 'now';
    Mojo::IOLoop->timer($amount => sub {
        $self->_set_status($run, $run->{terminal})
    }) if $how eq 'seconds';

    return $run;
}


sub _set_status ($self, $run, $status) {
    return if $run->{status} eq $status;

    $run->{status} = $status;

    if ($status !~ $TERMINAL) {
        delete $run->{finishedAt};
        $self->_event($run, run => $status eq 'Running' ? 'engine.run.resumed'
            : 'engine.run.waiting', {runId => $run->{runId}, status => $status});
        return;
    }

    $run->{finishedAt} = $self->_now;
    $run->{tokens} ||= 42;
    $run->{output} //= {text => 'done'} if $status eq 'Completed';
    $run->{error} //= 'the run failed' if $status eq 'Failed';

    my $end = lc $status;

    $self->_event($run, run => "engine.run.$end", {runId => $run->{runId}});
    $self->_event($run, session => "engine.session.$end",
        {sessionId => $run->{sessionId}});
    $self->_close_streams($run);
}


# GET /v1/runs/{runId}

sub _run ($self, $c, $id) {
    my $run = $self->{runs}{$id} or return _error(404, 'Run not found');

    $run->{polls}++;
    $self->_set_status($run, $run->{terminal})
        if $run->{finish_polls} && $run->{polls} >= $run->{finish_polls};

    return {
        status => 200,
        json   => {
            runId           => $id,
            status          => $run->{status},
            output          => $run->{output},
            totalTokensUsed => $run->{tokens},
            defined $run->{error} ? (error => $run->{error}) : (),
        },
    };
}


# GET /v1/agents/{agentId}

sub _agent ($self, $c, $agent) {
    return {status => 200, json => {id => $agent, name => 'stand-in agent'}};
}


# GET /v1/agents/{agentId}/sessions

sub _sessions ($self, $c, $agent) {
    my %query = map { my ($n, $v) = split /=/, $_, 2; ($n => url_unescape($v // '')) }
        split /&/, ($c->{req}->target =~ /\?(.*)\z/s)[0] // '';

    for (qw(skip take)) {
        return _error(400, "$_ is not a non-negative integer")
            if defined $query{$_} && $query{$_} !~ /\A\d+\z/;
    }

    return _error(400, 'versionId is not a UUID')
        if defined $query{versionId} && $query{versionId} !~ /\A$UUID\z/;

    my @rows = map { $self->_session_row($_) }
        grep { $_->{agentId} eq $agent } @{$self->{sessions}};

    @rows = grep { $_->{status} eq $query{status} } @rows
        if defined $query{status};
    @rows = grep { $_->{agentVersionId} eq lc $query{versionId} } @rows
        if defined $query{versionId};

    my $total = @rows;
    my $skip = $query{skip} // 0;
    my $take = $query{take} // 20;

    splice @rows, 0, $skip < $total ? $skip : $total;
    splice @rows, $take if @rows > $take;

    return {status => 200, json => {items => \@rows, total => $total}};
}


sub _session_row ($self, $run) {
    return {
        id              => $run->{sessionId},
        tenantId        => '10000000-0000-4000-8000-000000000001',
        agentId         => $run->{agentId},
        agentVersionId  => '10000000-0000-4000-8000-000000000002',
        llmModel        => 'stand-in',
        triggerType     => 'Api',
        triggeredBy     => undef,
        triggerId       => $run->{triggerId},
        triggerName     => 'API',
        status          => $run->{status},
        totalTokensUsed => $run->{tokens},
        output          => $run->{output},
        error           => $run->{error},
        input           => $run->{input},
        startContext    => undef,
        rootRunId       => _first($run, qw(rootRunId runId)),
        startedAt       => $run->{startedAt},
        finishedAt      => $run->{finishedAt},
        runCount        => 1,
        entryRunId      => _first($run, qw(entryRunId runId)),
    };
}


# The first member that is there, though it may be undef.

sub _first ($run, @names) {
    my ($name) = grep { exists $run->{$_} } @names;

    return $run->{$name};
}


# GET /v1/runs/{runId}/conversation

sub _conversation ($self, $c, $id) {
    my $run = $self->{runs}{$id} or return _error(404, 'Run not found');
    my ($content) = $c->{req}->target =~ /[?&]stepContent=([^&]*)/;

    return _error(400, 'stepContent is neither slim nor full')
        if defined $content && $content !~ /\A(?:slim|full)\z/;

    my $ended = $run->{status} =~ $TERMINAL;

    return {
        status => 200,
        json   => {
            session => {id => $run->{sessionId}, status => $run->{status}},
            runs    => [{
                id          => $id,
                status      => $run->{status},
                parentRunId => undef,
                depth       => 0,
            }],
            items => [
                {type => 'Message', role => 'user', runId => $id,
                    ($content // 'full') eq 'full'
                        ? (content => $run->{input}) : ()},
                $ended ? ({type => 'RunCompleted', runId => $id},
                    {type => 'SessionCompleted'}) : (),
            ],
        },
    };
}


# GET /v1/runs/{runId}/stream: what happened so far, then what happens, until
# the run ends.

sub _event ($self, $run, $kind, $subject, $data) {
    my $event = {ts => $self->_now, kind => $kind, subject => $subject, data => $data};

    push @{$run->{events}}, $event;
    $self->_publish($run, $event);
}


sub _publish ($self, $run, $event) {
    $_->($event) for @{$self->{streams}{$run->{runId}}{event} || []};
}


# Ends them; each takes itself off the lists.

sub _close_streams ($self, $run) {
    $_->() for splice @{$self->{streams}{$run->{runId}}{end} || []};
}


sub _stream ($self, $c, $id) {
    my $run = $self->{runs}{$id} or return _error(404, 'Run not found');

    return {
        status  => 200,
        type    => 'text/event-stream',
        headers => [['Cache-Control', 'no-cache']],
        stream  => sub ($c) { $self->_serve_stream($c, $run) },
    };
}


sub _serve_stream ($self, $c, $run) {
    my $open = $self->{streams}{$run->{runId}} //= {event => [], end => []};

    my $send = sub ($event) {
        my $bytes = ref $event ? 'data: ' . encode_json($event) . "\n\n"
                               : $event;

        $self->_write($c, $c->{chunked} ? _chunk($bytes) : $bytes);
    };

    my $end = sub {
        @{$open->{event}} = grep { $_ != $send } @{$open->{event}};
        $self->_write($c, $c->{chunked} ? "0\r\n\r\n" : '',
            sub { $self->_answered($c) });
    };

    $send->($_) for @{$run->{events}};
    return $end->() if $run->{status} =~ $TERMINAL;

    push @{$open->{event}}, $send;
    push @{$open->{end}}, $end;
    push @{$c->{on_close}}, sub {
        @{$open->{event}} = grep { $_ != $send } @{$open->{event}};
        @{$open->{end}} = grep { $_ != $end } @{$open->{end}};
    };
}


# POST /v1/runs/{runId}/messages and …/input

sub _resume ($self, $c, $id) {
    my $run = $self->{runs}{$id} or return _error(404, 'Run not found');
    my $data = _decode($c->{req}->body);

    return _error(400, 'The body is not a JSON object')
        if ref $data ne 'HASH';
    return _error(400, 'runId is not that of the path')
        if lc($data->{runId} // '') ne $id;

    $self->_set_status($run, 'Running');

    return {status => 202, json => {runId => $id, status => $run->{status}}};
}


# POST /v1/runs/{runId}/skip-agent-wait

sub _skip_wait ($self, $c, $id) {
    my $run = $self->{runs}{$id} or return _error(404, 'Run not found');

    return _error(400, 'The run does not wait for a timer')
        if $run->{status} ne 'WaitingForTimer';

    $self->_set_status($run, 'Running');

    return {status => 202, json => {runId => $id, status => $run->{status}}};
}


# POST /v1/file-library/presign and …/finalize

sub _presign ($self, $c, $) {
    my $file = $self->_uuid;

    return {
        status => 200,
        json   => {fileId => $file, uploadUrl => "https://files.invalid/$file"},
    };
}


sub _finalize ($self, $c, $) {
    my $data = _decode($c->{req}->body) || {};

    return {
        status => 200,
        json   => {fileId => $data->{fileId}, status => 'Ready'},
    };
}


# The control API.

sub _control ($self, $c) {
    my $call = $c->{req}->method . ' ' . $c->{path};
    my $data = _decode($c->{req}->body);

    return $self->_control_requests($c) if $call eq 'GET /_control/requests';
    return {status => 200, json => $self->_state}
        if $call eq 'GET /_control/state';
    return {status => 200, json => $self->{runs}}
        if $call eq 'GET /_control/runs';

    if ($call =~ m{\AGET /_control/bodies/(\d+)\z}) {
        my ($record) = grep { $_->{number} == $1 } @{$self->{records}};
        return {status => 200, body => $record->{body} // '',
            type => 'application/octet-stream'};
    }

    if ($call eq 'POST /_control/plan') {
        push @{$self->{plan}}, @{$data || []};
        return {status => 200, json => {planned => scalar @{$self->{plan}}}};
    }

    return $self->_control_release($1)
        if $call =~ m{\APOST /_control/release(?:/($UUID))?\z};

    if ($call eq 'POST /_control/reset') {
        $self->_forget;
        return {status => 200, json => {}};
    }

    if ($call =~ m{\APOST /_control/(runs|events|stream|close)/($UUID)\z}) {
        my ($what, $run) = ($1, $self->{runs}{lc $2});

        return _error(404, 'Run not found') if !$run;
        return $what eq 'runs' ? $self->_control_run($run, $data)
            : $what eq 'events' ? $self->_control_event($run, $data)
            : $self->_control_stream($run, $what, $c->{req}->body);
    }

    return _error(404, 'No such control');
}


sub _control_requests ($self, $c) {
    my ($last) = $c->{req}->target =~ /\?last=(\d+)\z/;
    my @records = @{$self->{records}};

    splice @records, 0, -$last if $last && $last < @records;

    return {status => 200, json => [map { $self->_public_record($_) } @records]};
}


sub _control_release ($self, $run) {
    my @held = splice @{$self->{held} || []};

    push @{$self->{held}}, grep { $_->[0] ne lc $run } @held if $run;
    @held = grep { $_->[0] eq lc $run } @held if $run;
    $_->[1]->() for @held;

    return {status => 200, json => {released => scalar @held}};
}


sub _state ($self) {
    return {
        %{$self->{counters}},
        inFlight    => $self->_in_flight,
        connections => scalar keys %{$self->{connections}},
        accepted    => $self->{accepted},
        runs        => scalar keys %{$self->{runs}},
    };
}


sub _control_run ($self, $run, $data) {
    my $status = delete $data->{status};

    $run->{$_} = $data->{$_} for keys %$data;
    $self->_set_status($run, $status) if defined $status;

    return {status => 200, json => {runId => $run->{runId},
        status => $run->{status}}};
}


sub _control_event ($self, $run, $event) {
    push @{$run->{events}}, $event;
    $self->_publish($run, $event);

    return {status => 200, json => {}};
}


sub _control_stream ($self, $run, $what, $bytes) {
    my $streams = @{$self->{streams}{$run->{runId}}{event} || []};

    $self->_publish($run, $bytes) if $bytes ne '';
    $self->_close_streams($run) if $what eq 'close';

    return {status => 200, json => {streams => $streams}};
}


1;
