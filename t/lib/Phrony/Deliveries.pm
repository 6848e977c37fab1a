package Phrony::Deliveries;

# What several tests ask of deliveries.  They share conventions: the key "alice"
# may start runs of every agent, "alpha" is one without limits, and $TELL stands
# in the configuration.

use Phrony::Test;
use Phrony::Slots qw(becomes);

use Exporter 'import';
use IO::Select;

our @EXPORT = qw(
    $TELL becomes crowd_of deliver delivery edited_is fresh heard hold marked
    replay_is table told
);

my $FIELD = 'X-Phrony-Duplicate-Delivery';
my $MEMBER = qr/"duplicateDelivery"\s*:\s*true/;


# For "http": what an answer says of its delivery.

our $TELL = <<'END';
    add_header X-Outcome $phrony_outcome always;
    add_header X-Duplicate $phrony_duplicate always;
END

my $count = 0;

sub fresh { 'delivery-' . ++$count }


# A start with a delivery id; options as for start_run().

sub deliver {
    my ($agent, $id, %opt) = @_;

    return start_run($agent, _with_id($id, %opt));
}


# The arguments of req() for that.

sub delivery {
    my ($agent, $id, %opt) = @_;

    return start_request($agent, _with_id($id, %opt));
}


sub _with_id {
    my ($id, %opt) = @_;

    return (key => 'alice', %opt, headers => ['Idempotency-Key' => $id,
        @{$opt{headers} || []}]);
}


# Its outcome in a few words: "202 replayed done replayed marked" is status,
# $phrony_outcome, $phrony_duplicate; then whether the header says that it is a
# replay, and the JSON that it is a duplicate.

sub told {
    my ($r) = @_;

    my $replayed = $r->header('Idempotent-Replayed');

    return join ' ', $r->status,
        (map { $r->header($_) // '-' } qw(X-Outcome X-Duplicate)),
        !defined $replayed ? () : $replayed eq 'true' ? 'replayed' : $replayed,
        marked($r) ? 'marked' : ();
}


sub marked {
    my ($r) = @_;

    my $json = $r->json;

    return ref $json eq 'HASH' && $json->{duplicateDelivery};
}


# What the upstream was told of each start that reached it while the code was
# run: "" if there was none, "none" for one without annotation.

sub heard {
    my ($up, $code) = @_;

    my $before = $up->count;

    $code->();

    return join ' ', map { join(',', $up->field($_, $FIELD)) || 'none' }
        grep { "$_->{method} $_->{target}" =~ m{^POST .*/runs(?:\?|$)} }
        $up->requests_after($before);
}


# A delivery whose answer the upstream holds until it is told to release it;
# returns its connection.  Where somebody else may not have heard yet what became
# of an earlier one, it is sent again while that is in progress.

sub hold {
    my ($up, $at, @delivery) = @_;

    my $client = $at->can('client') ? $at->client : $at;
    my ($method, $target, %opt) = delivery(@delivery);
    my ($before, $connection) = ($up->count);

    $opt{stand_in} = {%{$opt{stand_in} || {}}, hold => 1};

    wait_for {
        $connection = $client->open_connection;
        $connection->send($client->request_bytes($method, $target, %opt));

        wait_for { $up->count > $before || _readable($connection) } 10,
            'the delivery';

        return 1 if $up->count > $before;

        my $r = $connection->response;
        die $r->raw if $r->status != 409;
    } 10, 'the delivery';

    return $connection;
}


sub _readable { IO::Select->new($_[0]{socket})->can_read(0) }


# The same delivery so often at the same time, by all these gateways (or
# clients) in turn.

sub crowd_of {
    my ($gateways, $n, @delivery) = @_;

    my @clients = map { $_->can('client') ? $_->client : $_ } @$gateways;

    my @open = map {
        my $client = $clients[$_ % @clients];
        my ($method, $target, %opt) = delivery(@delivery);
        push @{$opt{headers}}, Connection => 'close';
        [$client->open_connection, $client->request_bytes($method, $target,
            %opt)];
    } 1 .. $n;

    $_->[0]->send($_->[1]) for @open;

    return map { $_->[0]->response } @open;
}


# One assertion: a JSON object became a duplicate's, and nothing else of it is
# another.  With "expected" it must be just that.

sub edited_is {
    my ($got, $original, $name, $expected) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $good = defined $expected ? $got eq $expected
        : _is_edited($got, $original);

    return ok($good, $name) || diag("got:  $got\nfrom: $original");
}


sub _is_edited {
    my ($got, $original) = @_;

    my $json = eval { decode_json($got) };

    return 0 if ref $json ne 'HASH' || !$json->{duplicateDelivery};
    return 1 if $got eq $original;

    for my $way (qr/,\s*$MEMBER/, qr/$MEMBER\s*,/, $MEMBER) {
        while ($got =~ /$way/g) {
            my $rest = $got;
            substr $rest, $-[0], $+[0] - $-[0], '';
            return 1 if $rest eq $original;
        }
    }

    return 0;
}


# One assertion: this is the answer "first" again.

sub replay_is {
    my ($r, $first, $name) = @_;

    my @wrong;

    push @wrong, 'told: ' . told($r)
        if told($r) !~ /\A\d+ replayed done replayed\b/;
    push @wrong, 'status' if $r->status != $first->status;
    push @wrong, 'type' if ($r->header('Content-Type') // '')
        ne ($first->header('Content-Type') // '');
    push @wrong, 'body' if $first->body ne ''
        && !_is_edited($r->body, $first->body);

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    return ok(!@wrong, $name) || diag(join "\n", @wrong, $r->raw);
}


# The table: what becomes of a duplicate in each state of its id.
#
#   mode     "replay" or "annotate"
#   up       the upstream
#   first    the gateway, or client, that gets the first delivery
#   again    and that gets the duplicates
#   shared   1: the second hears of what became of the first in time

sub table {
    my (%table) = @_;

    my $self = bless {%table};

    $self->_new;
    $self->_in_progress;
    $self->_done;
    $self->_not_stored;
    $self->_unknown;
    $self->_unknown_again;
    $self->_refused;
}


sub _first {
    my ($self, $id, %opt) = @_;

    return deliver('alpha', $id, at => $self->{first}, %opt);
}


sub _once {
    my ($self, $id, %opt) = @_;

    return deliver('alpha', $id, at => $self->{again}, %opt);
}


# A duplicate of what is settled by now.

sub _again {
    my ($self, @delivery) = @_;

    return $self->_once(@delivery) if !$self->{shared};

    return wait_for {
        my $r = $self->_once(@delivery);
        ($r->header('X-Duplicate') // '') ne 'in-progress' && $r;
    } 10, 'what became of it';
}


# An assertion about a duplicate: how it is answered, what the upstream hears.

sub _is {
    my ($self, $send, $told, $heard, $name) = @_;

    my $r;
    my $got = heard($self->{up}, sub { $r = $send->() });

    $got =~ s/(?:in-progress )+// if $self->{shared};

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    is told($r), $told, $name or diag $r->raw;
    is $got, $heard, $heard eq '' ? 'the upstream is not asked'
        : "the upstream hears \"$heard\"";

    return $r;
}


sub _replays { $_[0]{mode} eq 'replay' }


# Another body, whatever the state.

sub _other_body {
    my ($self, $id) = @_;

    my @body = (json => {input => {text => 'another'}});

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    if (!$self->_replays) {
        $self->_is(sub { $self->_again($id, @body) },
            '202 admitted mismatch marked', 'mismatch', 'another body');
        return;
    }

    my $r = $self->_is(sub { $self->_again($id, @body) },
        '422 refused mismatch', '', 'another body');
    problem_is($r, 422, 'delivery_mismatch', 'is refused');
    is $r->header('Retry-After'), undef, 'for good';
}


sub _new {
    my ($self) = @_;

    subtest "$self->{mode}: never seen" => sub {
        $self->_is(sub { $self->_first(fresh()) }, '202 admitted -', 'none',
            'a start');
        $self->_is(sub { start_run('alpha', key => 'alice',
            at => $self->{first}) }, '202 admitted -', 'none', 'without an id')
            for 1, 2;
    };
}


sub _in_progress {
    my ($self) = @_;

    subtest "$self->{mode}: in progress" => sub {
        my $id = fresh();
        my $connection = hold($self->{up}, $self->{first}, 'alpha', $id);

        if ($self->_replays) {
            my $r = $self->_is(sub { $self->_once($id) },
                '409 refused in-progress', '', 'a duplicate');
            problem_is($r, 409, 'delivery_in_progress', 'is refused');
            is $r->header('Retry-After'), 1, 'for now';
        }
        else {
            is heard($self->{up}, sub { is told($self->_once($id)),
                '202 admitted in-progress marked', 'a duplicate' }),
                'in-progress', 'is annotated';
        }

        $self->_other_body($id);
        $self->{up}->release;
        is told($connection->response), '202 admitted -', 'the first';
    };
}


sub _done {
    my ($self) = @_;

    subtest "$self->{mode}: done" => sub {
        my $id = fresh();
        my $first = $self->_first($id);

        for my $n (1 .. 3) {
            my $r = $self->_is(sub { $self->_again($id) }, $self->_replays
                ? ('202 replayed done replayed marked', '')
                : ('202 admitted done marked', 'done'), "duplicate $n");
            replay_is($r, $first, 'is the first answer') if $self->_replays;
        }

        $self->_other_body($id);
    };
}


sub _not_stored {
    my ($self) = @_;

    subtest "$self->{mode}: done, not stored" => sub {
        my $id = fresh();

        $self->_first($id, stand_in => {size => 70_000});
        $self->_is(sub { $self->_again($id) }, '202 admitted done marked',
            'done', "duplicate $_") for 1, 2;
        $self->_other_body($id);
    };
}


sub _unknown {
    my ($self) = @_;

    subtest "$self->{mode}: unknown" => sub {
        my $id = fresh();

        is $self->_first($id, stand_in => {status => 502})->status, 502,
            'a start';
        $self->_other_body($id);

        my $r = $self->_is(sub { $self->_again($id) },
            '202 admitted unknown', 'unknown', 'a duplicate');

        # which took the claim over

        my $next = $self->_again($id);
        replay_is($next, $r, 'its answer is known') if $self->_replays;
        is told($next), '202 admitted done marked', 'its outcome is known'
            if !$self->_replays;
    };
}


sub _unknown_again {
    my ($self) = @_;

    subtest "$self->{mode}: unknown again" => sub {
        my $id = fresh();

        $self->_first($id, stand_in => {status => 504});
        $self->_is(sub { $self->_again($id, stand_in => {status => $_}) },
            "$_ admitted unknown", 'unknown', "a duplicate: $_")
            for 400, 503, 502;

        # an annotating gateway does not make it wait for news of the last one

        return if $self->{shared} && !$self->_replays;

        my $connection = hold($self->{up}, $self->{again}, 'alpha', $id);
        is told($self->_once($id)), $self->_replays
            ? '409 refused in-progress' : '202 admitted in-progress marked',
            'while it is on its way';
        $self->{up}->release;
        is told($connection->response), '202 admitted unknown', 'its answer';
    };
}


sub _refused {
    my ($self) = @_;

    subtest "$self->{mode}: refused" => sub {
        my $id = fresh();

        $self->_first($id, stand_in => {status => 400});
        $self->_is(sub { $self->_again($id,
            json => {input => {text => "body $_"}},
            stand_in => {status => $_}) }, "$_ admitted -", 'none',
            "forgotten: $_") for 429, 500;
        $self->_is(sub { $self->_again($id) }, '202 admitted -', 'none',
            'as new');
    };
}


1;
