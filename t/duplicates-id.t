#!/usr/bin/perl

# Delivery ids: where they are looked for, which are one, which are none, and
# whose they are.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;
use Phrony::Deliveries;

my $up = stand_in();

my $policy = policy(
    agents => {
        alpha => {},
        beta  => {},
        none  => {rpmLimit => 0},
        count => {rpdLimit => 100},
        reads => {readRpmLimit => 50},
    },
    keys => {
        alice => {allowFileUploads => Mojo::JSON::true},
        carol => {},
        bob   => {agents => ['beta']},
    },
);

my $ports = {map { ("p_$_" => free_port()) } qw(vars inherit)};

my $nginx = nginx(%$ports, http => $TELL . <<'END');
    server {
        listen 127.0.0.1:{{p_vars}};
        phrony_delivery_id $arg_delivery $http_x_hook_delivery $cookie_d;
        location / { phrony on; proxy_pass http://{{upstream_name}}; }
        location /v1/agents/ { phrony on; phrony_delivery_id $http_x_only;
            proxy_pass http://{{upstream_name}}; }
    }

    server {
        listen 127.0.0.1:{{p_inherit}};
        phrony_delivery_id $arg_delivery $http_x_hook_delivery $cookie_d;
        location / { phrony on; proxy_pass http://{{upstream_name}}; }
    }
END

my %at = map { /p_(.*)/ => client($ports->{$_}) } keys %$ports;
my $client = $nginx->client;

sub path { '/v1/agents/' . $policy->agent($_[0]) . ($_[1] // '/runs') }


# A start with these fields, as they are.

sub start {
    my ($fields, %opt) = @_;

    return start_run($opt{agent} // 'alpha', key => $opt{key} // 'alice',
        at => $opt{at} // $client, headers => $fields,
        exists $opt{body} ? (body => $opt{body}) : ());
}


sub key_of { ['Idempotency-Key' => $_[0]] }
sub replayed { told($_[0]) eq '202 replayed done replayed marked' }
sub new_one { told($_[0]) eq '202 admitted -' }


# One assertion: two starts are of one delivery, or are not.

sub same {
    my ($one, $two, $name, %opt) = @_;

    my $first = start($one, %opt);
    my $second = start($two, %opt);

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    return ok(new_one($first) && replayed($second), $name)
        || diag(told($first), ', then ', told($second));
}


sub other {
    my ($one, $two, $name, %opt) = @_;

    my $first = start($one, %opt);
    my $second = start($two, %opt, %{$opt{then} || {}});

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    return ok(new_one($first) && new_one($second), $name)
        || diag(told($first), ', then ', told($second));
}


subtest 'one id' => sub {
    same(key_of('a'), key_of('a'), 'bare');
    same(key_of('"b"'), key_of('b'), 'quoted, then bare');
    same(key_of('c'), key_of('"c"'), 'bare, then quoted');
    same(key_of('"d"'), key_of('"d"'), 'quoted');
    same(key_of("   e  "), key_of('e'), 'blanks around it');
    same(key_of('f\\g'), key_of('"f\\\\g"'), 'an escaped backslash');
    same(key_of('"h\\"i"'), key_of('"h\\"i"'), 'an escaped quote');
    same(key_of('j,k;l=m'), key_of('"j,k;l=m"'), 'punctuation');
    same(key_of('!#$%&\'()*+-./:<=>?@[]^_`{|}~'),
        key_of('"!#$%&\'()*+-./:<=>?@[]^_`{|}~"'), 'every other sign');
    same(['webhook-id' => 'msg_1'], ['Webhook-Id' => 'msg_1'], 'webhook-id');
    same(['idempotency-key' => 'n'], ['IDEMPOTENCY-KEY' => 'n'],
        "a field's name has no case");
    same(key_of('o'), ['Webhook-Id' => 'o'], 'whichever field it comes in');

    my $uuid = '8e03978e-40d5-43e8-bc93-6894a57f9324';
    same(key_of(qq("$uuid")), key_of($uuid), 'a UUID');

    ok new_one(start(key_of('p'))), 'HTTP/1.1';
    ok replayed(h2(delivery('alpha', '"p"'))), 'HTTP/2';
};


subtest 'another' => sub {
    other(key_of('A1'), key_of('a1'), 'case');
    other(key_of('a2'), key_of('a2.'), 'longer');
    other(key_of('a3\\'), key_of('a3'), 'a backslash');
    other([], [], 'none');
    other([], key_of('a4'), 'none, then one');
    other(key_of(''), key_of(''), 'empty');
    other(['Idempotency-Key' => '', 'Webhook-Id' => ''], [], 'both empty');
};


subtest 'the first that is not empty' => sub {
    my @both = ('Idempotency-Key' => 'first', 'Webhook-Id' => 'second');

    same(\@both, key_of('first'), 'of two');
    ok new_one(start(['Webhook-Id' => 'second'])), 'the other is not used';
    same(['Idempotency-Key' => '', 'Webhook-Id' => 'third'],
        ['Webhook-Id' => 'third'], 'the first is empty');
    same(['Webhook-Id' => 'a', 'Idempotency-Key' => 'fourth'],
        ['Webhook-Id' => 'b', 'Idempotency-Key' => 'fourth'],
        "not the fields' order counts");
};


subtest 'length' => sub {
    my ($bare, $signs) = ('x' x 255, '\\' x 255);

    same(key_of('y'), key_of('"y"'), '1 byte');
    same(key_of($bare), key_of(qq("$bare")), '255 bytes');
    same(key_of($signs), key_of('"' . '\\\\' x 255 . '"'),
        '255 bytes, all escaped');
    other(key_of('x' x 254), key_of('x' x 253), 'each its own');
};


# Those that are none.  Nobody has counted anything, and the upstream is not
# asked.

for (['256 bytes', 'x' x 256],
     ['256 bytes, quoted', '"' . 'x' x 256 . '"'],
     ['256 bytes, escaped', '"' . '\\\\' x 256 . '"'],
     ['long', 'x' x 4000],
     ['empty, quoted', '""'],
     ['a quote', '"'],
     ['three quotes', '"""'],
     ['a quote that is not closed', '"abc'],
     ['a quote that was not opened', 'abc"'],
     ['a quote within', 'a"b'],
     ['a quote within quotes', '"a"b"'],
     ['an escaped end', '"abc\\"'],
     ['an escape of something else', '"a\\bc"'],
     ['a parameter', '"abc";a=1'],
     ['a parameter after a blank', '"abc"; a'],
     ['a parameter without a name', '"abc";'],
     ['a list', '"abc", "def"'],
     ['a bare list', 'abc, def'],
     ['a blank', 'a b'],
     ['a blank, quoted', '"a b"'],
     ['a tab', "a\tb"],
     ['DEL', "a\x7f"],
     ['not ASCII', "\xc3\xbc"],
     ['not ASCII, quoted', "\"\xff\""],
     ['only blanks, quoted', '" "'])
{
    my ($name, $id) = @$_;

    subtest "no id: $name" => sub {
        is heard($up, sub {
            for my $field ('Idempotency-Key', 'Webhook-Id') {
                my $r = start([$field => $id]);
                problem_is($r, 400, 'delivery_id_invalid', $field);
                is $r->header('RateLimit'), undef, 'nothing of limits';
            }
        }), '', 'the upstream is not asked';
    };
}


subtest 'two fields' => sub {
    for (['Idempotency-Key' => 'a', 'Idempotency-Key' => 'b'],
         ['Idempotency-Key' => 'a', 'Idempotency-Key' => 'a'],
         ['Idempotency-Key' => '"a"', 'idempotency-key' => '"b"'],
         ['Webhook-Id' => 'a', 'X-Other' => 1, 'Webhook-Id' => 'b'],
         [map { ('Idempotency-Key' => $_) } 1 .. 20])
    {
        problem_is(start($_), 400, 'delivery_id_invalid', "@$_");
    }

    problem_is(h2(start_request('alpha', key => 'alice', headers =>
        ['Idempotency-Key' => 'a', 'Idempotency-Key' => 'b'])), 400,
        'delivery_id_invalid', 'HTTP/2');
};


subtest 'when it is looked at' => sub {
    my $bad = key_of('""');

    problem_is(req(POST => path('alpha'), json => {}, headers => $bad), 401,
        'key_missing', 'not before the key');
    problem_is(start($bad, key => 'bob'), 403, 'agent_out_of_scope',
        'nor the scope');
    problem_is(start($bad, agent => 'none'), 400, 'delivery_id_invalid',
        'but before limits');

    start($bad, agent => 'count') for 1 .. 3;
    like start(key_of('counted'), agent => 'count')->header('RateLimit'),
        qr/"rpd";r=99\b/, 'nothing was counted';

    my @key = (key => $policy->key('alice'));

    is req(@$_, @key, headers => [@$bad, @$bad])->status, 200,
        "not for $_->[0] $_->[1]"
        for [GET => path('alpha', '')], [GET => path('reads', '')],
        [GET => path('alpha', '/sessions')],
        [POST => '/v1/file-library/presign', json => {}];
};


subtest 'whose it is' => sub {
    other(key_of('s1'), key_of('s1'), "another key's",
        then => {key => 'carol'});
    other(key_of('s2'), key_of('s2'), "another agent's",
        then => {agent => 'beta'});
    other(key_of('s3'), key_of('s3'), "another's, who sends something else",
        then => {key => 'carol', body => '{}'});

    ok replayed(start(key_of($_->[0]), %{$_->[1]})), "each has its own: $_->[0]"
        for ['s1', {}], ['s1', {key => 'carol'}], ['s2', {agent => 'beta'}];
};


subtest 'other variables' => sub {
    my $start = sub {
        my ($query, @fields) = @_;
        return $at{inherit}->req(POST => path('alpha') . $query,
            key => $policy->key('alice'), json => {},
            headers => \@fields);
    };
    my $twice = sub {
        my ($name, $one, $two) = @_;
        my @r = map { $start->(@$_) } $one, $two;
        ok new_one($r[0]) && replayed($r[1]), $name
            or diag join ', ', map { told($_) } @r;
    };

    $twice->('an argument', ['?delivery=v1'], ['?a=1&delivery=v1']);
    $twice->('a field', ['', 'X-Hook-Delivery' => 'v2'],
        ['', 'X-Hook-Delivery' => '"v2"']);
    $twice->('a cookie', ['', Cookie => 'd=v3'], ['', Cookie => 'e=1; d=v3']);
    $twice->('the first of them', ['?delivery=v4', Cookie => 'd=x'],
        ['?delivery=v4', Cookie => 'd=y']);
    $twice->('an empty one', ['?delivery=', 'X-Hook-Delivery' => 'v5'],
        ['', 'X-Hook-Delivery' => 'v5']);

    problem_is($start->('?delivery=%22'  . 'x' x 256), 400,
        'delivery_id_invalid', 'the same rules');
    problem_is($start->('', 'X-Hook-Delivery' => 1, 'X-Hook-Delivery' => 2),
        400, 'delivery_id_invalid', 'two fields');

    other(key_of('v6'), key_of('v6'), 'and no other', at => $at{inherit});
    other(['X-Hook-Delivery' => 'v7'], ['X-Hook-Delivery' => 'v7'],
        'a location has its own', at => $at{vars});
    same(['X-Only' => 'v8'], ['X-Only' => 'v8'], 'which it uses',
        at => $at{vars});
};


done_testing();
