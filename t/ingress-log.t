#!/usr/bin/perl

# conf-examples/ingress-log.conf: a line for each attempt to start a run,
# whoever refuses it, and for nothing else; each is JSON and has all members,
# whatever the client sends; no key and no input is in any.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;

my $up = stand_in();

my $policy = policy(
    workspaces => {main => {}, closed => {status => 'suspended'}},
    agents => {
        alpha  => {},
        rate   => {rpmLimit => 0},
        runs   => {maxConcurrentRuns => 0},
        tokens => {maxInputTokens => 20},
        away   => {ipWhitelist => ['10.0.0.0/8']},
        off    => {active => Mojo::JSON::false},
        beta   => {},
        shut   => {workspace => 'closed'},
    },
    keys => {
        alice => {clear => 'phk_sesame_alice',
            agents => [qw(alpha rate runs tokens away off)]},
        shut  => {clear => 'phk_sesame_shut', workspace => 'closed'},
        gone  => {clear => 'phk_sesame_gone', agents => ['alpha'],
            status => 'revoked'},
    },
);

my @MEMBERS = sort qw(time id source outcome reason trigger key client agent
    duplicate run status latency gateway);

my ($dry, $small, $limit, $closed, $real, $paged) =
    map { free_port() } 1 .. 6;


# What the example says of its log, with another path, and in its server.

sub example {
    my $file = "$FindBin::Bin/../conf-examples/ingress-log.conf";
    my $text = do { local (@ARGV, $/) = $file; <> };

    my ($format, $to) = $text =~ /^(\h+log_format\h.*?)
        ^\h+access_log\h+(\S+\h+ingress\h+if=\S+);/msx
        or die "$file: no log\n";

    my ($set) = $text =~ /^\h+(set\h+\$\w+\h+\$phrony_\w+;)$/m
        or die "$file: no set\n";

    $to =~ s{\S+/}{{{dir}}/};

    return ($format, $to, $set);
}


my ($format, $to, $set) = example();

my $nginx = nginx(access_log => $to, http => "$format
    client_max_body_size 2m;
    limit_req_zone \$server_port zone=one:1m rate=1r/m;
    " . join '', map { "server {
        listen 127.0.0.1:$_->[0];
        $_->[1]
        location / { phrony on; proxy_pass http://{{upstream_name}}; }
        location = /open { return 200; }
    }" } [$dry, 'phrony_dry_run on;'], [$small, 'client_max_body_size 64;'],
        [$limit, 'limit_req zone=one;'], [$closed, 'deny all;'],
        [$real, 'set_real_ip_from 127.0.0.1; real_ip_header X-Real-IP;'],
        [$paged, "phrony on; $set client_max_body_size 64; limit_req zone=one;
            error_page 413 503 /problem;
            location = /problem {
                internal; phrony off; client_max_body_size 0; return 200;
            }"]);

my ($trigger, $key) = ($policy->trigger('alpha'), $policy->key_id('alice'));
my $alice = $policy->key('alice');
my $uuid = qr/\A[0-9a-f]{8}-[-0-9a-f]{27}\z/;
my $read = 0;


# The lines that came since, decoded strictly; it waits for "n" of them.

sub lines {
    my ($n) = @_;

    my @lines;

    wait_for {
        @lines = text() =~ /^.*\n/mg;
        @lines >= $read + $n;
    } 5, "line @{[$read + $n]} of the log";

    splice @lines, 0, $read;
    $read += @lines;

    return map { decode_json($_) } @lines;
}


sub text {
    open my $file, '<:raw', $nginx->dir . '/ingress.json' or return '';
    local $/;

    return scalar(<$file>) // '';
}


# One attempt is one line, with these members.

sub line_is {
    my ($name, $wanted, @request) = @_;

    my $at = ref $request[0] ? shift @request : $nginx->client;
    my $r = $at->req(@request);
    my ($line, @more) = lines(1);

    subtest $name => sub {
        is scalar @more, 0, 'one line';
        is_deeply [sort keys %$line], \@MEMBERS, 'of all members';
        is $line->{status}, $r->status, 'the status that the client got';
        like $line->{time}, qr/\A\d{4}-\d\d-\d\dT[\d:]{8}[-+]\d\d:\d\d\z/,
            'the time';
        like $line->{id}, qr/\A[0-9a-f]{32}\z/, 'the id';
        like $line->{latency}, qr/\A\d+\.?\d*\z/, 'the latency';
        isnt $line->{gateway}, '', 'the gateway';

        my %wanted = (source => 'api', outcome => 'refused', reason => '',
            client => '127.0.0.0/24', agent => '', duplicate => '', run => '',
            trigger => '', key => '', %$wanted);

        is_deeply {map { $_ => $line->{$_} } keys %wanted}, \%wanted, 'says so';
        is $r->json->{instance}, $line->{id}, 'the instance of the answer'
            if ref $r->json eq 'HASH' && $r->json->{instance};
    };

    return ($r, $line);
}


sub start { return start_request(shift, key => 'alice', @_) }
sub with_id { return (headers => ['Idempotency-Key' => $_[0]]) }

my %known = (trigger => $trigger, key => $key);
my %admitted = (%known, outcome => 'admitted');


# outcomes

my ($first) = (req(start('alpha', with_id('one'))))[0]->json->{runId};
my ($line) = lines(1);

like $first, $uuid, 'a run';
is $line->{run}, $first, 'admitted: the run is in the log';
is_deeply [@$line{qw(outcome source trigger key status)}],
    ['admitted', 'api', $trigger, $key, 202], 'and so is whose it is';
is_deeply [sort keys %$line], \@MEMBERS, 'with all members';

line_is('replayed', {%known, outcome => 'replayed', duplicate => 'done',
    source => 'api-retry', run => $first}, start('alpha', with_id('one')));
line_is('an error of the upstream', \%admitted,
    start('alpha', stand_in => {status => 500}));
line_is('an upstream that breaks', \%admitted,
    start('alpha', stand_in => {break => 'before'}));
line_is('a dry run', {outcome => 'dry_run', reason => 'rate_limited',
    trigger => $policy->trigger('rate'), key => $key,
    run => '00000000-0000-4000-8000-0000000000aa'}, client($dry),
    start('rate', stand_in => {set =>
        {runId => '00000000-0000-4000-8000-0000000000aa'}}));


# refusals

my $path = '/v1/agents/' . $policy->agent('alpha') . '/runs';
my @json = (json => {input => {text => 'sesame'}});

sub of { return (trigger => $policy->trigger($_[0]), key => $key) }

for (['method_override', {}, POST => $path, key => $alice, @json,
        headers => ['X-HTTP-Method' => 'PUT']],
     ['method_not_allowed', {}, PUT => $path, key => $alice, @json],
     ['key_missing', {}, POST => $path, @json],
     ['key_malformed', {}, POST => $path, key => 'sesame', @json],
     ['key_repeated', {}, POST => $path, key => $alice, @json,
        headers => ['X-API-Key' => $alice]],
     ['key_invalid', {}, POST => $path, key => 'phk_sesame_none', @json],
     ['key_invalid', {key => $policy->key_id('gone')}, POST => $path,
        key => $policy->key('gone'), @json],
     ['workspace_suspended', {key => $policy->key_id('shut')},
        start('shut', key => 'shut')],
     ['agent_out_of_scope', {key => $key}, start('beta')],
     ['address_not_allowed', {of('away')}, start('away')],
     ['trigger_inactive', {of('off')}, start('off')],
     ['content_type', \%known, start('alpha', body => '{}',
        type => 'text/sesame')],
     ['body_too_large', \%known, start('alpha', body =>
        '{"input":{"a":"' . 'sesame' x 174_800 . '"}}')],
     ['body_invalid', \%known, start('alpha', body => '{"sesame":')],
     ['input_too_large', {of('tokens')}, start('tokens',
        json => {input => {text => 'sesame' x 99}})],
     ['delivery_id_invalid', \%known, start('alpha', with_id('"sesame'))],
     ['delivery_mismatch', {%known, duplicate => 'mismatch'},
        start('alpha', with_id('one'), @json)],
     ['rate_limited', {of('rate')}, start('rate')],
     ['concurrency_limited', {of('runs')}, start('runs')])
{
    my ($reason, $wanted, @request) = @$_;

    line_is($reason, {reason => $reason, %$wanted}, @request);
}


# Two of which one is under way; and a client that goes away.

subtest 'in progress' => sub {
    my $c = $nginx->client->open_connection;
    my $before = $up->count;

    $c->send($nginx->client->request_bytes(start('alpha', with_id('two'),
        stand_in => {hold => 1})));
    wait_for { $up->count > $before } 5, 'the start';

    is req(start('alpha', with_id('two')))->status, 409, 'the other one';
    $up->release;
    is $c->response->status, 202, 'it goes on';

    my @all = lines(2);

    is_deeply [map { @$_{qw(outcome reason duplicate source)} } $all[-2]],
        ['refused', 'delivery_in_progress', 'in-progress', 'api-retry'],
        'has its line';
    is $all[-1]{outcome}, 'admitted', 'and so has the one';
};


# what nginx and other modules refuse

line_is('too large for nginx', {%known, outcome => ''}, client($small),
    start('alpha', json => {input => {text => 'sesame' x 99}}));
line_is('denied', {%known, outcome => '', reason => ''}, client($closed),
    start('alpha'));

client($limit)->req(start('alpha'));
lines(1);
line_is('limit_req', {%known, outcome => ''}, client($limit), start('alpha'));


# The same where an error_page leads to a location that is not guarded: what is
# asked for there starts nothing.

line_is('too large for nginx, with a page', {%known, outcome => ''},
    client($paged), start('alpha', json => {input => {text => 'sesame' x 99}}));
client($paged)->req(start('alpha'));
lines(1);
line_is('limit_req, with a page', {%known, outcome => ''}, client($paged),
    start('alpha'));


# addresses

for (['198.51.100.77', '198.51.100.0/24'],
     ['2001:db8:1:2:3:4:5:6', '2001:db8:1::/48'],
     ['::ffff:198.51.100.77', '198.51.100.0/24'])
{
    my ($from, $hint) = @$_;

    my ($r) = line_is("from $from", {%known, reason => 'body_invalid',
        client => $hint}, client($real), start('alpha', body => 'x',
        headers => ['X-Real-IP' => $from]));
}


# What a client may send.

my %agents = (
    quotes    => ['a "b" \\ \\" {}', 'a "b" \\ \\" {}'],
    bytes     => [join('', map { chr } 0x01 .. 0x08, 0x80 .. 0xff),
        '?' x 128],
    long      => ['x' x 999, 'x' x 128],
    'a key'   => ["cur $alice/1", 'cur phk_***'],
    'no UTF8' => ["\xc3", '?'],
);

for my $name (sort keys %agents) {
    my ($sent, $logged) = @{$agents{$name}};

    my ($method, $target, %opt) = start('alpha', body => "\x01\xff\"");

    line_is("agent: $name", {%known, reason => 'body_invalid',
        agent => $logged}, $method, "$target?$alice=\"\xff\\\"}", %opt,
        headers => ['User-Agent' => $sent, Referer => "\"\xff$alice",
            'Idempotency-Key' => "\"\xff\\"]);
}


subtest 'what starts nothing' => sub {
    poll($first, key => 'alice');
    req(GET => $path =~ s/runs\z/sessions/r, key => $alice);
    req(POST => "$path/", key => $alice, @json);
    req(OPTIONS => $path, headers => [Origin => 'http://a.example',
        'Access-Control-Request-Method' => 'POST']);
    client($dry)->req(GET => '/open');
    h2(start('alpha'));

    is_deeply [map { $_->{outcome} } lines(1)], ['admitted'],
        'has no line; HTTP/2 has';
};


subtest 'all that was written' => sub {
    is $nginx->quit, 0, 'the end';

    my $text = text();

    cmp_ok length $text, '>', 9999, 'much';
    unlike $text, qr/sesame/i, 'no key, no input';
    unlike $text, qr/[^\x20-\x7e\n]/, 'plain ASCII';
};


done_testing();
