package Phrony::RedisProxy;

# What stands between nginx and a real Redis, in a process of its own, and does
# damage when it is told to.  It knows where commands and replies begin and end,
# so that damage is exact; what is not RESP (TLS) passes in pieces as it comes.
#
#   hold => 'commands'   kept, and sent on when the damage is healed
#   hold => 'replies'
#   drop => 'commands'   swallowed
#   drop => 'replies'
#   late => SECONDS      replies come so much later
#   end => 'before'      the connection ends; Redis does not get the command
#   end => 'after'       Redis has answered it; the reply is not delivered
#   end => 'within'      half of the reply is delivered
#   reply => BYTES       these instead of the reply
#   refuse => 1          new connections end at once, those that stand too
#
#   on => TEXT           only for commands with TEXT in them ("EVALSHA"), for
#                        hold, drop, end, reply: from the first such command on
#                        for hold and drop, that command for end and reply
#   times => N           how often for end and reply, default 1; 0 is always
#   reset => 1           an end by a TCP reset

use strict;
use warnings;

use Mojo::JSON qw(decode_json encode_json);
use POSIX ();
use Socket qw(AF_UNIX SOCK_STREAM);
use Time::HiRes qw(sleep time);


# listen   "127.0.0.1:PORT"
# to       "127.0.0.1:PORT" of the Redis

sub start {
    my ($class, %opt) = @_;

    socketpair my $ours, my $theirs, AF_UNIX, SOCK_STREAM, 0
        or die "socketpair: $!\n";

    my $parent = $$;
    my $pid = fork // die "fork: $!\n";

    if (!$pid) {
        close $ours;
        _serve($parent, $theirs, %opt);
    }

    close $theirs;

    my $self = bless {opt => \%opt, pid => $pid, control => $ours}, $class;

    $self->_answer;

    return $self;
}


sub _serve {
    my ($parent, $control, %opt) = @_;

    $SIG{$_} = 'DEFAULT' for qw(INT TERM ALRM HUP);
    alarm 0;

    eval {
        require Phrony::RedisProxy::Process;
        Phrony::RedisProxy::Process->new(%opt)->run($parent, $control);
    };

    print STDERR "proxy of redis: $@" if $@;
    POSIX::_exit($@ ? 1 : 0);
}


sub address { $_[0]{opt}{listen} }
sub pid     { $_[0]{pid} }


# Does damage from now on, in place of what was done before, see above.

sub damage {
    my ($self, %damage) = @_;

    return $self->_ask({damage => \%damage});
}


# No damage any more; what was held goes on its way.

sub heal { $_[0]->_ask({damage => {}}) }


# Ends all connections; with reset => 1 by TCP resets.

sub cut {
    my ($self, %opt) = @_;

    return $self->_ask({cut => 1, %opt});
}


# Says something on all connections that nobody has asked for.

sub say {
    my ($self, $bytes) = @_;

    return $self->_ask({say => $bytes});
}


# Another Redis for new connections.

sub lead_to {
    my ($self, $address) = @_;

    return $self->_ask({to => $address});
}


# What there is and was: connections, accepted, held (pieces), done (how often
# damage was done), commands ({NAME => how many}), scripts ({SHA1 => how many
# times by EVALSHA}), bytes (of commands).

sub state { $_[0]->_ask({}) }


# Waits until damage was done so many times since it was asked for.

sub await_damage {
    my ($self, $times) = @_;

    my $deadline = time + 10;

    while ($self->state->{done} < ($times // 1)) {
        die "no damage was done\n" if time > $deadline;
        sleep 0.01;
    }
}


sub _ask {
    my ($self, $question) = @_;

    syswrite $self->{control}, encode_json($question) . "\n";

    return $self->_answer;
}


sub _answer {
    my ($self) = @_;

    my $line = readline $self->{control} // die "the proxy of redis ended\n";

    return decode_json($line);
}


sub stop {
    my ($self) = @_;

    my $pid = delete $self->{pid} // return;

    kill TERM => $pid;
    waitpid $pid, 0;
}


1;
