package Phrony::RedisProxy::Process;

# The process of Phrony::RedisProxy.

use Mojo::Base -base, -signatures;

use Mojo::IOLoop;
use Mojo::IOLoop::Stream;
use Mojo::JSON qw(decode_json encode_json);
use Socket qw(SOL_SOCKET SO_LINGER);
use Time::HiRes ();

use Phrony::Resp;


has 'listen';
has 'to';
has damage => sub { {} };
has links  => sub { {} };
has state  => sub { {accepted => 0, done => 0, bytes => 0, commands => {},
    scripts => {}} };


sub run ($self, $parent, $control) {
    local $SIG{PIPE} = 'IGNORE';
    my ($address, $port) = $self->listen =~ /\A(.*):(\d+)\z/;

    Mojo::IOLoop->server({address => $address, port => $port}
        => sub ($loop, $stream, $id) { $self->_accept($stream, $id) });
    Mojo::IOLoop->recurring(1 => sub {
        Mojo::IOLoop->stop if getppid() != $parent;
    });

    my $stream = Mojo::IOLoop::Stream->new($control)->timeout(0);
    my $buffer = '';

    $stream->on(close => sub { Mojo::IOLoop->stop });
    $stream->on(read => sub ($stream, $bytes) {
        $buffer .= $bytes;
        while ($buffer =~ s/\A(.*)\n//) {
            $self->_obey(decode_json($1));
            $stream->write($self->_report . "\n");
        }
    });

    Mojo::IOLoop->stream($stream);
    $stream->write($self->_report . "\n");
    Mojo::IOLoop->start;
}


sub _report ($self) {
    my @links = values %{$self->links};
    my $held = 0;

    $held += @{$_->{held}{commands}} + @{$_->{held}{replies}} for @links;

    return encode_json({%{$self->state}, held => $held,
        connections => scalar grep { $_->{client} } @links});
}


sub _obey ($self, $order) {
    my @links = values %{$self->links};

    $self->to($order->{to}) if $order->{to};

    if ($order->{damage}) {
        $self->damage($order->{damage});
        $self->state->{done} = 0;
        $_->{struck} = undef for @links;
        $self->_release($_) for @links;
    }

    for my $link (defined $order->{say} ? @links : ()) {
        $link->{client}->write($order->{say}) if $link->{client};
    }

    if ($order->{cut} || $self->damage->{refuse}) {
        $self->_end($_, $order->{reset} // $self->damage->{reset}) for @links;
    }
}


# A link: the streams "client" (nginx) and "server" (Redis), what each has sent
# that is not whole yet, what is held, which commands await their replies.

sub _accept ($self, $stream, $id) {
    $self->state->{accepted}++;

    my $link = $self->links->{$id} = {
        id      => $id,
        client  => $stream,
        buffer  => {commands => '', replies => ''},
        held    => {commands => [], replies => []},
        queue   => [],
        late    => [],
    };

    $stream->timeout(0);
    $stream->on(error => sub { });
    $stream->on(close => sub { $self->_end($link, 0) });

    return $self->_end($link, $self->damage->{reset}, ++$self->state->{done})
        if $self->damage->{refuse};

    $stream->on(read => sub ($stream, $bytes) {
        $self->_read($link, 'commands', $bytes);
    });

    my ($address, $port) = $self->to =~ /\A(.*):(\d+)\z/;

    Mojo::IOLoop->client({address => $address, port => $port}
        => sub ($loop, $error, $server) {
            return $self->_end($link, 1) if $error;
            return $server->close if !$link->{client};
            $self->_connected($link, $server);
        });
}


sub _connected ($self, $link, $server) {
    $link->{server} = $server;
    $server->timeout(0);
    $server->on(error => sub { });
    $server->on(close => sub { $self->_end($link, 0) });
    $server->on(read => sub ($stream, $bytes) {
        $self->_read($link, 'replies', $bytes);
    });
    $self->_read($link, 'commands', '');
}


# Ends both sides; what was written to a side before is delivered.

sub _end ($self, $link, $reset, @) {
    delete $self->links->{$link->{id}};

    my ($client, $server) = delete @$link{qw(client server)};

    $server->close_gracefully if $server;
    return if !$client;

    setsockopt $client->handle, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0)
        if $reset && $client->handle;
    $reset ? $client->close : $client->close_gracefully;
}


sub _read ($self, $link, $way, $bytes) {
    my $buffer = \$link->{buffer}{$way};

    $$buffer .= $bytes;

    while ($link->{client} && $link->{server}) {
        my $end = $$buffer eq '' ? undef
            : eval { Phrony::Resp::end_of($buffer, 0) };

        $end = length $$buffer if $@;
        last if !$end;

        my $piece = substr $$buffer, 0, $end, '';

        $way eq 'commands' ? $self->_command($link, $piece)
                           : $self->_reply($link, $piece);
    }
}


sub _command ($self, $link, $bytes) {
    my $damage = $self->damage;
    my $state = $self->state;
    my ($name) = $bytes =~ /\A\*\d+\r\n\$\d+\r\n([^\r\n]*)\r\n/;
    my $meant = !defined $damage->{on} || index($bytes, $damage->{on}) >= 0;

    $state->{commands}{uc($name // '?')}++;
    $state->{scripts}{$1}++ if $bytes =~ /\A\*\d+\r\n\$7\r\nEVALSHA\r\n
        \$40\r\n(\w{40})\r\n/xi;
    $state->{bytes} += length $bytes;

    if ($meant && $damage->{end} && $damage->{end} eq 'before'
        && $self->_once_more)
    {
        return $self->_end($link, $damage->{reset});
    }

    push @{$link->{queue}}, $meant && ($damage->{end}
        || defined $damage->{reply}) ? 1 : 0;
    $link->{struck} ||= $meant && ($damage->{hold} || $damage->{drop});
    $self->_pass($link, 'commands', $bytes);
}


sub _reply ($self, $link, $bytes) {
    my $damage = $self->damage;
    my $meant = shift @{$link->{queue}};

    return $self->_pass($link, 'replies', $bytes)
        if !$meant || !$self->_once_more;

    return $self->_pass($link, 'replies', $damage->{reply})
        if defined $damage->{reply};

    $link->{client}->write(substr $bytes, 0, (length($bytes) + 1) / 2)
        if $damage->{end} eq 'within';
    $self->_end($link, $damage->{reset});
}


# Whether "times" allows one more.

sub _once_more ($self) {
    my $damage = $self->damage;
    my $times = $damage->{times} // 1;

    return 0 if !$damage->{end} && !defined $damage->{reply};
    return 0 if $times && $self->state->{done} >= $times;

    return ++$self->state->{done};
}


# Sends a piece on its way, unless it is held, dropped or late.

sub _pass ($self, $link, $way, $bytes) {
    my $damage = $self->damage;

    my $struck = $link->{struck} || !defined $damage->{on};

    if ($struck && ($damage->{hold} // '') eq $way) {
        $self->state->{done}++;
        push @{$link->{held}{$way}}, $bytes;
        return;
    }

    if ($struck && ($damage->{drop} // '') eq $way) {
        $self->state->{done}++;
        return;
    }

    return $self->_send($link, $way, $bytes)
        if $way eq 'commands' || !$damage->{late} && !@{$link->{late}};

    $self->state->{done}++;
    push @{$link->{late}}, [Time::HiRes::time() + ($damage->{late} // 0),
        $bytes];
    $self->_deliver($link);
}


sub _send ($self, $link, $way, $bytes) {
    my $stream = $link->{$way eq 'commands' ? 'server' : 'client'};

    $stream->write($bytes) if $stream;
}


sub _deliver ($self, $link) {
    my $late = $link->{late};

    $self->_send($link, 'replies', (shift @$late)->[1])
        while @$late && $late->[0][0] <= Time::HiRes::time();

    return if !@$late || $link->{timer};

    $link->{timer} = Mojo::IOLoop->timer(
        $late->[0][0] - Time::HiRes::time() => sub {
            $link->{timer} = undef;
            $self->_deliver($link);
        });
}


sub _release ($self, $link) {
    for my $way (qw(commands replies)) {
        $self->_send($link, $way, $_) for splice @{$link->{held}{$way}};
    }
}


1;
