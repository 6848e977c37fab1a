#!/usr/bin/perl

# The bodies of starts: what is refused and where it is wrong; what is valid
# reaches the upstream byte for byte, however it came.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;

use Digest::SHA qw(sha256_hex);

my $up = stand_in();

my $policy = policy(
    agents => {alpha => {}, small => {maxInputTokens => 100},
        nothing => {maxInputTokens => 0}},
    keys => {alice => {}},
);

my $ports = {map { $_ => free_port() } qw(small spill file stream tokens)};

my $nginx = nginx(
    %$ports,
    server => 'client_max_body_size 8m; phrony_max_body 4m;',
    http   => <<'END',
    client_max_body_size 8m;

    server {
        listen 127.0.0.1:{{small}};
        phrony on;
        phrony_max_body 2k;
        location / { proxy_pass http://{{upstream_name}}; }
    }

    server {
        listen 127.0.0.1:{{spill}} http2;
        listen 127.0.0.2:{{spill}};
        phrony on;
        client_body_buffer_size 1k;
        location / { proxy_pass http://{{upstream_name}}; }
    }

    server {
        listen 127.0.0.1:{{file}};
        phrony on;
        client_body_in_file_only clean;
        location / { proxy_pass http://{{upstream_name}}; }
    }

    server {
        listen 127.0.0.1:{{stream}};
        phrony on;
        proxy_request_buffering off;
        location / { proxy_pass http://{{upstream_name}}; }
    }

    server {
        listen 127.0.0.1:{{tokens}};
        phrony on;
        phrony_bytes_per_token 1;
        location / { proxy_pass http://{{upstream_name}}; }
    }
END
);

my @key = (key => $policy->key('alice'));
my $target = '/v1/agents/' . $policy->agent('alpha') . '/runs';
my $small = '/v1/agents/' . $policy->agent('small') . '/runs';
my $nothing = '/v1/agents/' . $policy->agent('nothing') . '/runs';
my %client = (map({ $_ => client($ports->{$_}) } keys %$ports),
    plain => $nginx->client,
    spill => Phrony::Client->new(address => "127.0.0.2:$ports->{spill}",
        h2 => "127.0.0.1:$ports->{spill}"));


# A valid body of so many bytes, of spaces and letters that differ everywhere.

sub body_of {
    my ($size) = @_;

    my $body = "{ \"input\" :\t{\"text\": \"";
    my $end = "\"}\r\n}";
    my $n = 0;

    $body .= ++$n . 'x' while length($body) + length($end) < $size;

    return substr($body, 0, $size - length $end) . $end;
}


sub arrived {
    my ($response, $body, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $seen = $up->last_request;

    ok $response->status == 202 && $seen->{body} eq $body, $name
        or diag $response->raw, length $seen->{body}, ' of ', length $body;
}


subtest 'types' => sub {
    my %accepted = map { $_ => 1 } (
        'application/json',
        'Application/JSON',
        'application/json;charset=utf-8',
        'application/json ; charset="utf-8"',
        'application/vnd.phrony.start+json',
        'application/problem+json',
        'text/x+json',
        'application/ld+JSON; profile="a;b"',
    );

    for my $type (sort keys %accepted) {
        arrived(req(POST => $target, @key, body => '{}', type => $type), '{}',
            $type);
    }

    $up->reset;

    for my $type (undef, '', 'text/plain', 'text/json', 'application/jsonx',
        'application/x-json', 'xapplication/json', 'json', 'application/',
        '/json', 'application/json/x', 'application/json, text/plain',
        'application/x-www-form-urlencoded', 'multipart/form-data; boundary=a',
        'application/json+xml', 'application/+json', '+json', ';', '*/*',
        'application/json x')
    {
        problem_is(req(POST => $target, @key, body => '{}', type => $type),
            415, 'content_type', $type // 'none');
    }

    problem_is(req(POST => $target, @key, body => '{}',
        headers => ['Content-Type' => 'application/json']), 415,
        'content_type', 'two types') if version_at_least(1, 23, 0);

    for my $encoding (qw(gzip deflate br identity), 'gzip, br') {
        problem_is(req(POST => $target, @key, body => '{}',
            headers => ['Content-Encoding' => $encoding]),
            415, 'content_type', "Content-Encoding: $encoding");
    }

    problem_is(req(POST => $target, @key, chunked => ['{}'],
        type => 'text/plain'), 415, 'content_type', 'text/plain in chunks');
    problem_is(req(POST => $target, @key, chunked => ['{}'], type => undef),
        415, 'content_type', 'no type in chunks');
    problem_is(req(POST => $target, @key, chunked => ['{}'],
        headers => ['Content-Encoding' => 'gzip']),
        415, 'content_type', 'gzip in chunks');
    problem_is(h2(POST => $target, @key, body => '{}', no_length => 1,
        type => 'text/plain'), 415, 'content_type', 'HTTP/2, no length');
    problem_is(h2(POST => $target, @key, body => '{}', type => 'text/plain'),
        415, 'content_type', 'HTTP/2');

    problem_is(req(POST => $target, @key, body => '[', type => 'text/plain'),
        415, 'content_type', 'the type before the text');

    is $up->count, 0, 'the upstream has seen none of them';
};


sub version_at_least {
    my @wanted = @_;

    my ($version) = `${\ Phrony::Nginx::binary()} -v 2>&1` =~ m{/([\d.]+)};
    my @is = split /\./, $version;

    for (0 .. 2) {
        return $is[$_] > $wanted[$_] if $is[$_] != $wanted[$_];
    }

    return 1;
}


subtest 'empty bodies' => sub {
    my @empty = (
        ['no body at all', []],
        ['Content-Length: 0', [body => '']],
        ['Content-Length: 0, no type', [body => '', type => undef]],
        ['Content-Length: 0, another type', [body => '', type => 'text/plain']],
        ['no chunks', [chunked => []]],
        ['no chunks, no type', [chunked => [], type => undef]],
    );

    for (@empty) {
        my ($name, $opt) = @$_;
        arrived(req(POST => $target, @key, @$opt), '', $name);
    }

    arrived(h2(POST => $target, @key), '', 'HTTP/2');
    arrived(h2(POST => $target, @key, body => '', no_length => 1), '',
        'HTTP/2, no length');
    arrived(req(POST => $nothing, @key), '', 'no tokens are needed');
};


# what, body, line, column; without these, the error has no place

my $deep = sub { '{"a":' . '[' x $_[0] . ']' x $_[0] . '}' };

my @invalid = (
    ['no object: array',       '[]'],
    ['no object: string',      '"x"'],
    ['no object: number',      '1'],
    ['no object: null',        'null'],
    ['no object: true',        ' true '],
    ['input: array',           '{"input":[]}'],
    ['input: string',          '{"input":"x"}'],
    ['input: number',          '{"input":0}'],
    ['input: null',            '{"input":null}'],
    ['input: false',           '{"a":1,"input":false}'],
    ['input by an escape',     '{"\u0069nput":[]}'],
    ['white space',            " \n "],
    ['a byte order mark',      "\xef\xbb\xbf{}"],
    ['UTF-16',                 "{\0}\0"],
    ['a NUL byte',             "{}\0"],
    ['not closed',             '{"a":1'],
    ['closed twice',           '{}}', 1, 3],
    ['closed otherwise',       '{]', 1, 2],
    ['two objects',            '{}{}', 1, 3],
    ['a word after it',        "{}\n x", 2, 2],
    ['a word',                 "{\n \"a\": tru }", 2, 7],
    ['no quotes',              '{a:1}', 1, 2],
    ['single quotes',          "{'a':1}", 1, 2],
    ['a trailing comma',       '{"a":1,}', 1, 8],
    ['a comma in an array',    '{"a":[1,]}', 1, 9],
    ['no colon',               '{"a" 1}', 1, 6],
    ['no value',               '{"a":}', 1, 6],
    ['a comment',              '{/**/}', 1, 2],
    ['NaN',                    '{"a":NaN}', 1, 6],
    ['Infinity',               '{"a":-Infinity}', 1],
    ['a leading zero',         '{"a":01}', 1],
    ['a plus',                 '{"a":+1}', 1, 6],
    ['no digit after a point', '{"a":1.}', 1],
    ['no digit before it',     '{"a":.5}', 1, 6],
    ['an exponent of nothing', '{"a":1e}', 1],
    ['hexadecimal',            '{"a":0x1}', 1],
    ['a control character',    "{\"a\":\"x\ny\"}", 1],
    ['a tab in a string',      "{\"a\":\"x\ty\"}", 1],
    ['an unknown escape',      '{"a":"\x"}', 1],
    ['half an escape',         '{"a":"\u12"}', 1],
    ['invalid UTF-8',          "{\"a\":\"\xff\"}", 1],
    ['an overlong form',       "{\"a\":\"\xc0\xaf\"}", 1],
    ['a surrogate in UTF-8',   "{\"a\":\"\xed\xa0\x80\"}", 1],
    ['beyond Unicode',         "{\"a\":\"\xf4\x90\x80\x80\"}", 1],
    ['a lone high surrogate',  '{"a":"\ud800"}', 1],
    ['a lone low surrogate',   '{"a":"\udc00"}', 1],
    ['surrogates reversed',    '{"a":"\udc00\ud800"}', 1],
    ['a lone one in a name',   '{"\ud800":1}', 1],
    ['a duplicate',            '{"a":1,"a":1}', 1],
    ['a duplicate of input',   '{"input":{},"input":{}}', 1],
    ['a duplicate by escape',  '{"a":1,"\u0061":1}', 1],
    ['a duplicate below',      '{"input":{"b":[{"c":1,"c":2}]}}', 1],
    ['a duplicate with NUL',   '{"a\u0000":1,"a\u0000":2}', 1],
    ['depth 513',              $deep->(512), 1],
    ['depth 100000',           $deep->(100000), 1],
    ['depth, never closed',    '{"a":' . '[' x 500000, 1],
    ['depth of objects',       '{"a":' x 513 . '1' . '}' x 513, 1],
);


subtest 'invalid bodies' => sub {
    $up->reset;

    for (@invalid) {
        my ($name, $body, $line, $column) = @$_;
        my $r = req(POST => $target, @key, body => $body);

        problem_is($r, 400, 'body_invalid', $name);

        my $json = $r->json // {};

        if (defined $line) {
            is $json->{line}, $line, "$name: line";
            is $json->{column}, $column, "$name: column" if defined $column;
            cmp_ok $json->{column} // 0, '>=', 1, "$name: some column";
        }
    }

    for ('[]', '{"input":[]}') {
        my $json = req(POST => $target, @key, body => $_)->json;
        ok !exists $json->{line} && !exists $json->{column},
            "$_ is not a matter of syntax";
    }

    my $far = "{\n\"a\": \"" . "\xc3\xa9" x 50 . "\", x}";
    is_deeply [@{req(POST => $target, @key, body => $far)->json}
        {qw(line column)}], [2, 60], 'columns are characters';

    problem_is(req(POST => $target, @key, chunked => ['{"a":', 'x}']),
        400, 'body_invalid', 'in chunks');
    problem_is(h2(POST => $target, @key, body => '{"a":', no_length => 1),
        400, 'body_invalid', 'HTTP/2');
    problem_is($client{spill}->req(POST => $target, @key,
        body => '{"a":' . ' ' x 5000 . 'x}'), 400, 'body_invalid', 'on disk');

    is $up->count, 0, 'the upstream has seen none of them';
};


subtest 'valid bodies' => sub {
    my @valid = (
        ['an empty object',         '{}'],
        ['white space around',      " \r\n\t{ } \n"],
        ['input is empty',          '{"input":{}}'],
        ['no input',                '{"other":[1,null,true,"x"]}'],
        ['input is below',          '{"a":{"input":[]}}'],
        ['a long integer',          '{"a":' . '9' x 1000 . '}'],
        ['a long negative integer', '{"a":-' . '9' x 1000 . '}'],
        ['a huge exponent',         '{"a":1e999999,"b":-1E+400}'],
        ['a tiny one',              '{"a":1e-999999}'],
        ['a long fraction',         '{"a":0.' . '1' x 1000 . '}'],
        ['minus zero',              '{"a":-0}'],
        ['an escaped NUL',          '{"a":"x\u0000y"}'],
        ['and in a name',           '{"x\u0000":1,"x":2,"x\u0000y":3}'],
        ['all escapes',             '{"a":"\"\\\/\b\f\n\r\t\u00e9"}'],
        ['a surrogate pair',        '{"a":"\ud83d\ude00"}'],
        ['UTF-8',                   "{\"a\":\"\xf0\x9f\x98\x80\xc3\xa9\"}"],
        ['a noncharacter',          "{\"a\":\"\xef\xbf\xbf\"}"],
        ['DEL',                     "{\"a\":\"\x7f\"}"],
        ['an empty name',           '{"":1}'],
        ['same names, two objects', '{"a":{"a":1},"b":[{"a":1},{"a":1}]}'],
        ['names that differ by case', '{"input":{},"Input":[]}'],
        ['names that normalise alike',
            "{\"\xc3\xa9\":1,\"e\xcc\x81\":2}"],
        ['depth 512',               $deep->(511)],
        ['depth 512 of objects',    '{"a":' x 512 . '1' . '}' x 512],
        ['many members',            '{' . join(',', map { "\"$_\":$_" }
            1 .. 20000) . '}'],
        ['a comma of brackets in a string', '{"a":"[{,}]\\\\"}'],
    );

    for (@valid) {
        my ($name, $body) = @$_;
        arrived(req(POST => $target, @key, body => $body), $body, $name);
    }
};


subtest 'sizes' => sub {
    $up->reset;

    my $limited = $client{small};
    my $ok = body_of(2048);
    my $more = body_of(2049);

    is length $ok, 2048, 'a body of the size';
    arrived($limited->req(POST => $target, @key, body => $ok), $ok,
        'as large as allowed');
    arrived($limited->req(POST => $target, @key, chunked => [$ok =~ /.{1,100}/sg]),
        $ok, 'in chunks');
    $up->reset;

    problem_is($limited->req(POST => $target, @key, body => $more),
        413, 'body_too_large', 'one byte more');
    problem_is($limited->req(POST => $target, @key,
        chunked => [$more =~ /.{1,100}/sg]), 413, 'body_too_large',
        'in chunks');
    problem_is($limited->req(POST => $target, @key, body => body_of(1_000_000)),
        413, 'body_too_large', 'a million bytes');
    problem_is($limited->req(POST => $target, @key, body => '[' x 3000),
        413, 'body_too_large', 'the size before the text');
    problem_is($limited->req(POST => $target, @key, body => 'x' x 3000,
        type => 'text/plain'), 415, 'content_type', 'the type before the size');
    problem_is(req(POST => $target, @key, chunked => [body_of(4194305)]),
        413, 'body_too_large', 'larger, on disk');
    is req(POST => $target, @key, body => body_of(9_000_000))->status, 413,
        'client_max_body_size';

    problem_is(req(POST => $small, @key, body => body_of(401)),
        413, 'input_too_large', '401 bytes are 101 tokens');
    problem_is(req(POST => $small, @key, chunked => [body_of(401)]),
        413, 'input_too_large', 'in chunks');
    problem_is(req(POST => $small, @key, body => '{' . ' ' x 400),
        400, 'body_invalid', 'the text before the tokens');
    problem_is(req(POST => $nothing, @key, body => '{}'),
        413, 'input_too_large', 'no tokens at all');
    problem_is($client{tokens}->req(POST => $small, @key, body => body_of(101)),
        413, 'input_too_large', 'phrony_bytes_per_token');

    is $up->count, 0, 'the upstream has seen none of them';

    arrived(req(POST => $small, @key, body => body_of(400)), body_of(400),
        '400 bytes are 100 tokens');
    arrived($client{tokens}->req(POST => $small, @key, body => body_of(100)),
        body_of(100), 'or 100 bytes');
};


subtest 'forwarded byte for byte' => sub {
    for my $size (60, 1023, 1024, 1025, 5000, 16384, 300_000) {
        my $body = body_of($size);

        for my $name (qw(plain spill file stream)) {
            my $c = $client{$name};

            arrived($c->req(POST => $target, @key, body => $body), $body,
                "$name, $size bytes");
            arrived($c->req(POST => $target, @key,
                chunked => [$body =~ /.{1,4000}/sg]), $body,
                "$name, $size bytes in chunks");
        }

        for my $name (qw(plain spill)) {
            my $c = $client{$name};

            arrived($c->h2(POST => $target, @key, body => $body), $body,
                "$name, $size bytes, HTTP/2");
            arrived($c->h2(POST => $target, @key, body => $body,
                no_length => 1), $body,
                "$name, $size bytes, HTTP/2, no length");
        }
    }

    my $body = body_of(4_000_000);
    arrived(req(POST => $target, @key, body => $body), $body, '4,000,000 bytes');
};


subtest 'a body that comes slowly' => sub {
    my $body = body_of(3000);

    for my $name (qw(plain spill file)) {
        my $bytes = $client{$name}->request_bytes(POST => $target, @key,
            body => $body);
        my $chunked = $client{$name}->request_bytes(POST => $target, @key,
            chunked => [$body =~ /.{1,77}/sg]);

        for my $whole ($bytes, $chunked) {
            my $how = $whole eq $bytes ? 'with a length' : 'in chunks';
            my @pieces = map { ($_, \0.005) } $whole =~ /.{1,150}/sg;

            arrived($client{$name}->raw(\@pieces), $body, "$name, $how");
        }
    }

    my $head = "POST $target HTTP/1.1\r\nHost: a\r\nX-API-Key: $key[1]\r\n"
        . "Content-Type: application/json\r\nContent-Length: 3000\r\n";

    my $r = raw(["${head}Expect: 100-continue\r\n\r\n", \0.05, $body]);
    arrived($r, $body, 'after "100 Continue"');
    is scalar @{$r->interim}, 1, 'which was sent once';

    my $before = $up->count;
    my $connection = $nginx->client->open_connection;
    $connection->send("$head\r\n" . substr $body, 0, 2000);
    $connection->end;
    wait_for { $nginx->log =~ /client prematurely closed connection/ } 5,
        'nginx to see the end';
    is $up->count, $before, 'half a body is never sent';
};


subtest 'refusals and the bytes after them' => sub {
    my $smuggled = "POST $target HTTP/1.1\r\nHost: a\r\n"
        . "X-API-Key: $key[1]\r\n\r\n";
    my $length = length $smuggled;
    my $last = "GET /v1/runs/0b1c2d3e-0000-4000-8000-00000000000b HTTP/1.1\r\n"
        . "Host: a\r\nX-API-Key: $key[1]\r\n\r\n";

    my @refused = (
        ["Content-Type: text/plain\r\nX-API-Key: $key[1]\r\n", 415],
        ["Content-Type: application/json\r\nX-API-Key: $key[1]\r\n", 400],
        ["X-API-Key: phk_unknown\r\n", 401],
        ['', 401],
    );

    for (@refused) {
        my ($fields, $status) = @$_;

        for my $body ("Content-Length: $length\r\n\r\n$smuggled",
            sprintf "Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n",
                $length, $smuggled)
        {
            $up->reset;

            my @r = raw("POST $target HTTP/1.1\r\nHost: a\r\n$fields$body$last",
                responses => 2);

            is_deeply [map { $_->status } @r], [$status, 404],
                "$status, then the next request";
            is $up->count, 1, 'the body is no request';
        }
    }

    my $expect = raw("POST $target HTTP/1.1\r\nHost: a\r\nX-API-Key: phk_no\r\n"
        . "Content-Type: application/json\r\nContent-Length: 100\r\n"
        . "Expect: 100-continue\r\n\r\n");
    is $expect->status, 401, 'who waits for "100 Continue" is refused';
    is scalar @{$expect->interim}, 0, 'and not asked for the body';

    $expect = $client{small}->raw("POST $target HTTP/1.1\r\nHost: a\r\n"
        . "X-API-Key: $key[1]\r\nContent-Type: application/json\r\n"
        . "Content-Length: 5000\r\nExpect: 100-continue\r\n\r\n");
    is $expect->status, 413, 'likewise when it is too large';
    is scalar @{$expect->interim}, 0, 'and not asked for the body';

    my $start = $nginx->client->request_bytes(POST => $target, @key,
        body => '{"n":1}');
    my @r = raw($start x 5, responses => 5);
    is_deeply [map { $_->status } @r], [(202) x 5], 'five starts, pipelined';
};


subtest 'only the bodies of starts' => sub {
    my $run = req(POST => $target, @key, json => {})->json->{runId};
    my $body = "\xff not JSON";

    for my $path ("/v1/runs/$run/messages", "/v1/runs/$run/other",
        '/v1/file-library/presign')
    {
        req(POST => $path, @key, body => $body, type => 'text/plain',
            headers => ['Content-Encoding' => 'x']);
        is $up->last_request->{body}, $body, $path;
    }

    my $large = 'x' x 10000;
    $client{small}->req(POST => "/v1/runs/$run/messages", @key, body => $large,
        type => undef);
    is sha256_hex($up->last_request->{body}), sha256_hex($large),
        'phrony_max_body is for starts';
};


done_testing();
