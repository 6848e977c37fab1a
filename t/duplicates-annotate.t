#!/usr/bin/perl

# Duplicate deliveries are annotated: the upstream is told of each, and its
# answer is edited without another byte of it being changed.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;
use Phrony::Deliveries;

use Mojo::Util qw(gunzip);

my $up = stand_in();

my $policy = policy(
    agents => {
        alpha => {},
        count => {rpdLimit => 100, maxConcurrentRuns => 20},
        one   => {maxConcurrentRuns => 1},
        reads => {readRpmLimit => 100},
    },
    keys => {alice => {allowFileUploads => Mojo::JSON::true}},
);

my @MODES = qw(replay off dry dry_annotate);
my $ports = {map { ("p_$_" => free_port()) } @MODES, qw(gzip slow)};
my $proxy = 'location / { phrony on; proxy_pass http://{{upstream_name}}; }';

my $nginx = nginx(%$ports,
    location => 'proxy_force_ranges on;
        location = /status { phrony_status; }',
    http     => "$TELL
    add_header X-Reason \$phrony_reason always;
    phrony_duplicates annotate;

    server {
        listen 127.0.0.1:{{p_replay}};
        phrony_duplicates replay;
        $proxy
    }

    server {
        listen 127.0.0.1:{{p_off}};
        phrony_duplicates off;
        $proxy
    }

    server {
        listen 127.0.0.1:{{p_dry}};
        phrony_duplicates replay;
        phrony_dry_run on;
        $proxy
    }

    server {
        listen 127.0.0.1:{{p_dry_annotate}};
        phrony_dry_run on;
        $proxy
    }

    server {
        listen 127.0.0.1:{{p_gzip}};
        gzip on;
        gzip_types *;
        gzip_min_length 1;
        gzip_proxied any;
        $proxy
    }

    server {
        listen 127.0.0.1:{{p_slow}};
        proxy_buffering off;
        $proxy
    }
");

my %at = (annotate => $nginx->client,
    map { /p_(.*)/ => client($ports->{$_}) } keys %$ports);
my @key = (key => $policy->key('alice'));
my $FIELD = 'X-Phrony-Duplicate-Delivery';

sub path { '/v1/agents/' . $policy->agent($_[0]) . ($_[1] // '/runs') }
sub status { req(GET => '/status')->json }


sub remaining {
    my ($r) = @_;

    return join ' ', ($r->header('RateLimit') // '')
        =~ /"(?:rpd|runs)";(r=\d+)/g;
}


# The id of a delivery that is done.

sub done {
    my ($agent) = @_;

    my $id = fresh();

    is deliver($agent // 'alpha', $id)->status, 202, 'a start';

    return $id;
}


table(mode => 'annotate', up => $up, first => $nginx, again => $nginx);


subtest 'a duplicate is a start' => sub {
    my $id = fresh();
    my $first = deliver('count', $id);

    is remaining($first), 'r=99 r=19', 'the first';
    is remaining(deliver('count', $id)), 'r=98 r=18', 'what is done';
    is remaining(deliver('count', $id, json => {})), 'r=97 r=17',
        'another body';

    my $busy = fresh();
    my $connection = hold($up, $nginx, 'count', $busy);

    is remaining(deliver('count', $busy)), 'r=95 r=15', 'in progress';
    $up->release;
    $connection->response;

    $id = done('one');
    problem_is(deliver('one', $id), 429, 'concurrency_limited',
        'limits refuse it');
};


subtest 'a duplicate claims nothing' => sub {
    for my $body ('{"input":{"text":"hello"}}', '{}') {
        my $id = fresh();
        my $connection = hold($up, $nginx, 'alpha', $id,
            stand_in => {status => 400});

        is deliver('alpha', $id, body => $body)->status, 202, 'a duplicate';
        $up->release;
        is $connection->response->status, 400, 'the first is refused';
        is told(deliver('alpha', $id)), '202 admitted -', 'forgotten';
    }
};


subtest 'others share what is known' => sub {
    my $id = fresh();
    my $first = deliver('alpha', $id);

    replay_is(deliver('alpha', $id, at => $at{replay}), $first,
        'replayed elsewhere');
    is told(deliver('alpha', $id, at => $at{off})), '202 admitted -',
        'not where duplicates are not looked for';

    $id = fresh();
    deliver('alpha', $id, at => $at{off});
    is told(deliver('alpha', $id)), '202 admitted -', 'nor claimed there';
    is told(deliver('alpha', $id)), '202 admitted done marked', 'as here';
};


subtest 'off' => sub {
    my $id = fresh();
    my @to = (at => $at{off});

    is heard($up, sub {
        is told(deliver('alpha', $id, @to)), '202 admitted -', 'a start'
            for 1 .. 3;
        is told(deliver('alpha', $id, @to, json => {})), '202 admitted -',
            'another body';
    }), 'none none none none', 'nothing is said';
};


# What a client says of duplicates never reaches the upstream.

my $run = deliver('alpha', fresh())->json->{runId};
my $lies = [$FIELD => 'done', lc $FIELD => 'mismatch', $FIELD => ''];

for my $mode ('annotate', @MODES) {
    subtest "a client's own field: $mode" => sub {
        my $known = done();
        my $to = $at{$mode};
        my %heard = (replay => '', off => 'none');

        for ([POST => path('alpha'), json => {}],
             [GET => path('alpha', '/sessions')],
             [HEAD => path('alpha', '/sessions')],
             [GET => path('alpha', '')],
             [GET => path('reads', '')],
             [GET => path('alpha', '/more')],
             [GET => "/v1/runs/$run"],
             [GET => "/v1/runs/$run/conversation"],
             [POST => "/v1/runs/$run/messages", json => {runId => $run}],
             [POST => '/v1/file-library/presign', json => {}],
             [OPTIONS => path('alpha')])
        {
            my ($method, $path, @body) = @$_;
            my $before = $up->count;

            $to->req($method, $path, @key, @body, headers => [@$lies,
                Origin => 'a', 'Access-Control-Request-Method' => 'POST']);

            my ($seen) = $up->requests_after($before);
            is $seen->{target}, $path, "$method $path";
            is_deeply [$up->field($seen, $FIELD)], [], 'is removed';
        }

        is heard($up, sub { deliver('alpha', $known, at => $to,
            headers => $lies) }), $heard{$mode} // 'done',
            'of a duplicate it is ours alone';
    };
}


subtest "a client's own field: among others" => sub {
    my $known = done();

    # nginx keeps twenty fields in a piece; these come after four others

    for my $n (0, 1, 14, 15, 16, 17, 34, 36, 60) {
        for my $where ([0], [$n], [0, 1, 2], [14 .. 18], [15 .. 60],
                       [map { 2 * $_ } 0 .. 30])
        {
            my %ours = map { $_ => 1 } @$where;
            my (@fields, @others);

            for my $i (0 .. $n) {
                push @fields, $ours{$i} ? ($FIELD => 'mismatch') : ();
                push @fields, "X-Field-$i" => $i;
                push @others, $i;
            }

            for my $send (
                [GET => path('alpha', ''), @key],
                [start_request('alpha', key => 'alice')],
                [delivery('alpha', $known)])
            {
                my ($method, $path, %opt) = @$send;
                my @id = @{$opt{headers} || []};

                $nginx->client->req($method, $path, %opt,
                    headers => [@fields, @id]);

                my $seen = $up->last_request;
                my @got = map { $_->[0] =~ /X-Field-(\d+)/ ? $1 : () }
                    @{$seen->{headers}};

                is "@got | " . join(',', $up->field($seen, $FIELD)),
                    "@others | " . (@id ? 'done' : ''),
                    "$method, $n others, ours: @{[grep { $_ <= $n } @$where]}";
            }
        }
    }
};


subtest "a client's own field: HTTP/2" => sub {
    my $id = fresh();

    is heard($up, sub {
        h2(delivery('alpha', $id, headers => [$FIELD => 'done']));
        h2(delivery('alpha', $id, headers => [$FIELD => 'mismatch']));
    }), 'none done', 'likewise';
};


# What is edited: name, the answer, what it becomes, if one cannot guess.

my @OBJECTS = (
    ['an answer', '{"runId":"x","status":"Running"}'],
    ['nothing in it', '{}', '{"duplicateDelivery":true}'],
    ['digits', '{"a":12345678901234567890.1234567890,"b":-0.0,"c":1E+400}'],
    ['order', '{"z":1,"a":2,"m":3,"B":4,"10":5,"9":6}'],
    ['escapes', '{"\u0061":"\/\b\u00FC\uD834\uDD1E\\\\","b\"":"\\\\\""}'],
    ['bytes', "{\"\xc3\xbc\":\"\xf0\x9d\x84\x9e\x7f\"}"],
    ['white space', " \t{ \"a\" :\n 1 ,\r\n \"b\" : [ ] } \n"],
    ['depth', '{"a":' . '[' x 300 . '{"}":"{"}' . ']' x 300 . '}'],
    ['a repeated member', '{"a":1,"a":2}'],
    ['namesakes', '{"output":{"duplicateDelivery":false},'
        . '"t":"\"duplicateDelivery\":false","duplicatedelivery":false,'
        . '"duplicateDelivery ":0,"duplicateDeliver":0}'],
    ['true', '{"a":1,"duplicateDelivery":true,"b":2}',
        '{"a":1,"duplicateDelivery":true,"b":2}'],
    (map { ["instead of $_", qq({"a":1, "duplicateDelivery" :$_,"b":2}),
        '{"a":1, "duplicateDelivery" :true,"b":2}'] }
        'false', 'null', '0', '-1.5e3', '""', '"}\","', '[]', '[[{"a":"]"}]]',
        '{}', '{"duplicateDelivery":{"a":1}}'),
    ['the first', '{"duplicateDelivery":false,"b":2}',
        '{"duplicateDelivery":true,"b":2}'],
    ['the last', "{\"a\":1,\"duplicateDelivery\":\tfalse\n}",
        "{\"a\":1,\"duplicateDelivery\":\ttrue\n}"],
    ['alone', '{"duplicateDelivery":false}', '{"duplicateDelivery":true}'],
);

subtest 'answers' => sub {
    my $id = done();

    for (@OBJECTS) {
        my ($name, $body, $expected) = @$_;

        for (['whole', 'annotate', {}],
             ['in chunks', 'annotate', {chunked => 1, pieces => 9}],
             ['byte by byte', 'slow', {pieces => 1}],
             ['until the end', 'slow', {'until-close' => 1}])
        {
            my ($way, $to, $asked) = @$_;
            my $r = deliver('alpha', $id, at => $at{$to},
                stand_in => {%$asked, body => $body});

            is $r->status, 202, "$name, $way";
            edited_is($r->body, $body, 'is edited', $expected);
            is $r->header('Content-Length') // length $r->body,
                length $r->body, 'the length';
        }

        edited_is(h2(delivery('alpha', $id, stand_in => {body => $body}))
            ->body, $body, 'HTTP/2', $expected);
    }

    # the name written in another way: whoever reads it sees one truth

    my $r = deliver('alpha', $id, stand_in => {body =>
        '{"a":1,"duplicate\u0044elivery":false,"b":2}'});
    is $r->json->{duplicateDelivery}, Mojo::JSON::true, 'an escaped name'
        or diag $r->body;
};


# With the member set it is a byte shorter, with the member added 25 longer.

subtest 'large answers' => sub {
    my $id = done();

    for my $padding (qw(first last)) {
        for my $to (qw(annotate slow)) {
            for my $asked ({}, {chunked => 1}, {'until-close' => 1},
                           {pieces => 30_000}, {set => 1})
            {
                my %asked = (%$asked, size => 300_000, padding => $padding);
                my $set = delete $asked{set};
                my $r = deliver('alpha', $id, at => $at{$to}, stand_in =>
                    {%asked, $set ? (set => {duplicateDelivery =>
                        Mojo::JSON::false}) : ()});

                ok marked($r), "$to, padding $padding";
                is length $r->body, $set ? 299_999 : 300_025,
                    'nothing else is edited';
            }
        }
    }
};


subtest 'fields of an edited answer' => sub {
    my $id = fresh();
    my @fields = ('ETag: "abc"', 'Accept-Ranges: bytes', 'X-Other: 1');
    my @asked = (stand_in => {status => 200, header => \@fields});
    my $ask = sub { deliver('alpha', $id, @asked, @_) };
    my $first = $ask->();

    # nginx would serve ranges here, but never of an answer to a start

    is_deeply [map { $first->header($_) } qw(ETag Accept-Ranges X-Other)],
        ['"abc"', undef, 1], 'of the first they stay';

    for ([], [headers => [Range => 'bytes=0-3']],
         [headers => [Range => 'bytes=-4', 'If-Range' => '"abc"']])
    {
        my $r = $ask->(@$_);

        is $r->status, 200, 'an answer' or next;
        ok marked($r), 'it is whole and edited';
        is $r->header('Content-Length') // length $r->body, length $r->body,
            'the length';
        like $r->header('ETag') // 'W/', qr{\AW/}, 'no strong ETag';
        is $r->header('Accept-Ranges'), undef, 'no ranges';
        is $r->header('Content-Range'), undef, 'and no range';
        is $r->header('X-Other'), 1, 'others stay';
    }

    # 1.0 knows no chunks

    my $r = $ask->(version => '1.0');
    ok marked($r), 'HTTP/1.0';

    my $connection = $nginx->client->open_connection;
    my $bytes = $nginx->client->request_bytes(delivery('alpha', $id));
    $connection->send($bytes x 3);
    ok marked($connection->response), 'pipelined' for 1 .. 3;
};


# name, what the upstream is asked for

for (['no content', {status => 204}],
     ['an empty body', {body => '', type => 'application/json'}],
     ['text', {body => 'hello', type => 'text/plain'}],
     ['an array', {body => '[{"a":1}]'}],
     ['a string', {body => '"{}"'}],
     ['null', {body => 'null'}],
     ['half of it', {body => '{"a":1,"b":'}],
     ['something behind it', {body => '{"a":1} x'}],
     ['compressed', {gzip => 1, status => 200, header => ['ETag: "abc"',
        'Accept-Ranges: bytes']}])
{
    my ($name, $asked) = @$_;

    subtest "not edited: $name" => sub {
        my $id = done();
        my $plain = deliver('alpha', $id, at => $at{off}, stand_in =>
            {%$asked, run => $run});
        my $r;

        is heard($up, sub { $r = deliver('alpha', $id,
            stand_in => {%$asked, run => $run}) }), 'done',
            'the upstream is told';
        is $r->status, $plain->status, 'the status';

        my $half = $name =~ /half|behind/;
        my ($got, $expected) = map { $asked->{gzip} ? gunzip($_->body)
            : $_->body } $r, $plain;

        $got =~ s/"duplicateDelivery":true,|,"duplicateDelivery":true//
            if $half;
        is $got, $expected, 'the body';
        is_deeply [map { $r->header($_) } qw(Content-Type Content-Encoding)],
            [map { $plain->header($_) } qw(Content-Type Content-Encoding)],
            'its type';
        is_deeply [map { $r->header($_) } qw(ETag Accept-Ranges)],
            [map { $plain->header($_) } qw(ETag Accept-Ranges)],
            'its fields' if $asked->{gzip};
    };
}


subtest 'compressed by the gateway' => sub {
    my $id = fresh();
    my @gzip = (at => $at{gzip}, headers => ['Accept-Encoding' => 'gzip'],
        stand_in => {status => 200});

    deliver('alpha', $id, @gzip);
    my $r = deliver('alpha', $id, @gzip);
    is $r->header('Content-Encoding'), 'gzip', 'gzip';
    is decode_json(gunzip($r->body))->{duplicateDelivery}, Mojo::JSON::true,
        'and edited before';
    is $up->field($up->last_request, 'Accept-Encoding'), 'identity',
        'the upstream is asked not to';
};


# Dry: everything is proxied, and said to be what it is.

for my $mode (qw(dry dry_annotate)) {
    subtest $mode => sub {
        my $outcome = $mode eq 'dry' ? 'dry_run' : 'admitted';
        my @to = (at => $at{$mode});
        my ($id, $busy, $lost) = map { fresh() } 1 .. 3;
        my $mark = $nginx->log_size;
        my $before = status()->{requests};
        my @r;

        my $heard = heard($up, sub {
            push @r, deliver('alpha', $id, @to) for 1, 2;
            push @r, deliver('alpha', $id, @to, json => {});
            my $connection = hold($up, $at{$mode}, 'alpha', $busy);
            push @r, deliver('alpha', $busy, @to);
            $up->release;
            $connection->response;
            push @r, deliver('alpha', $lost, @to,
                stand_in => {status => 502});
            push @r, deliver('alpha', $lost, @to) for 1, 2;
        });

        is_deeply [map { told($_) } @r], [
            '202 admitted -', "202 $outcome done marked",
            "202 $outcome mismatch marked",
            "202 $outcome in-progress marked", '502 admitted -',
            '202 admitted unknown', "202 $outcome done marked"], 'answers';
        is $heard, 'none done mismatch none in-progress none unknown done',
            'the upstream hears of all';
        is_deeply [map { $_->header('Retry-After') // () } @r], [],
            'nobody is told to wait';

        my $after = status()->{requests};

        is $after->{dry_run} - $before->{dry_run}, $mode eq 'dry' ? 4 : 0,
            'counted';
        is $after->{replayed}, $before->{replayed}, 'nothing is replayed';
        is_deeply $after->{refused}, $before->{refused}, 'or refused';

        return if $mode ne 'dry';

        is $r[2]->header('X-Reason'), 'delivery_mismatch', 'the reason';
        is $r[3]->header('X-Reason'), 'delivery_in_progress', 'likewise';
        my $log = $nginx->log_since($mark);
        is scalar(() = $log =~ /phrony would refuse: $_,/g), 1, "log: $_"
            for qw(delivery_mismatch delivery_in_progress);
    };
}


done_testing();
