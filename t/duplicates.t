#!/usr/bin/perl

# Duplicate deliveries are replayed: the upstream is asked once, and whoever
# sends the same again gets the same answer.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;
use Phrony::Deliveries;

my $up = stand_in(name => 'one');
my $other = stand_in(name => 'two');

my $policy = policy(
    agents => {
        alpha  => {},
        limits => {rpmLimit => 500, rpdLimit => 1000,
            maxConcurrentRuns => 100},
        slots  => {maxConcurrentRuns => 2, rpdLimit => 50},
    },
    keys => {alice => {}},
);

my $ports = {map { ("p_$_" => free_port()) } qw(brief page local log)};

my $nginx = nginx(%$ports,
    upstream   => $up,
    other      => $other->address,
    workers    => 3,
    location   => 'location = /status { phrony_status; }',
    http       => $TELL . <<'END');
    log_format duplicates '$status $phrony_outcome $phrony_reason $phrony_duplicate';

    server {
        listen 127.0.0.1:{{p_brief}};
        phrony_delivery_ttl 2s;
        location / { phrony on; proxy_pass http://{{upstream_name}}; }
    }

    server {
        listen 127.0.0.1:{{p_page}};
        location / { phrony on; proxy_pass http://{{upstream_name}};
            proxy_intercept_errors on; error_page 500 = @other; }
        location @other { proxy_pass http://{{other}}; }
    }

    server {
        listen 127.0.0.1:{{p_local}};
        default_type text/plain;
        location / { phrony on; try_files /nothing @local; }
        location @local { return 202 "not JSON\n"; }
    }

    server {
        listen 127.0.0.1:{{p_log}};
        access_log {{dir}}/access.log duplicates;
        location / { phrony on; proxy_pass http://{{upstream_name}}; }
    }
END

my %at = map { /p_(.*)/ => client($ports->{$_}) } keys %$ports;
my @key = (key => $policy->key('alice'));

sub status { req(GET => '/status')->json }
sub path { '/v1/agents/' . $policy->agent($_[0]) . '/runs' }


# RateLimit without the times, which pass.

sub limits { ($_[0]->header('RateLimit') // 'none') =~ s/;t=\d+//gr }


table(mode => 'replay', up => $up, first => $nginx, again => $nginx);


subtest 'whoever asks' => sub {
    my $id = fresh();
    my $first = deliver('alpha', $id);

    is heard($up, sub {
        my %worker;

        replay_is($_, $first, 'at the same time')
            for parallel(map { [delivery('alpha', $id)] } 1 .. 12);
        replay_is(h2(delivery('alpha', $id)), $first, 'HTTP/2');
        replay_is(req(POST => path('alpha'), @key, chunked =>
            ['{"input":', '{"text":"hello"}}'],
            headers => ['Idempotency-Key' => $id]), $first, 'in chunks');
        replay_is(deliver('alpha', $id, headers => ['X-Other' => 1,
            'Accept-Encoding' => 'gzip']), $first, 'other fields');
    }), '', 'the upstream is asked once';

    my $connection = $nginx->client->open_connection;
    my $bytes = $nginx->client->request_bytes(delivery('alpha', $id));
    $connection->send($bytes x 4);
    replay_is($connection->response, $first, "pipelined $_") for 1 .. 4;
    $connection->end;

    my $large = encode_json({input => {text => 'y' x 200_000}});

    $id = fresh();
    $first = deliver('alpha', $id, body => $large);
    replay_is(deliver('alpha', $id, body => $large), $first,
        'a body that does not fit in memory');
    substr($large, -5, 1) = 'z';
    problem_is(deliver('alpha', $id, body => $large), 422,
        'delivery_mismatch', 'one byte is another');

    $id = fresh();
    deliver('alpha', $id, body => '{"input":{}}');
    problem_is(deliver('alpha', $id, body => '{"input": {}}'), 422,
        'delivery_mismatch', 'a blank more');
};


subtest 'at the same time' => sub {
    for my $round (1 .. 3) {
        my $id = fresh();
        my @r;

        is heard($up, sub { @r = parallel(map { [delivery('alpha', $id,
            stand_in => {delay => 0.05})] } 1 .. 50) }), 'none',
            'one of fifty reaches the upstream';

        my %told;
        $told{told($_)}++ for @r;
        is delete $told{'202 admitted -'}, 1, 'one is the first';
        delete @told{'409 refused in-progress',
            '202 replayed done replayed marked'};
        is_deeply \%told, {}, 'all others are duplicates';
    }
};


# What was answered is answered again, whatever it is.

my $run = '0b1c2d3e-0000-4000-8000-000000000001';

for (['status 200', {status => 200}],
     ['status 201', {status => 201}],
     ['a type', {type => 'application/vnd.phrony+json; charset=utf-8'}],
     ['in chunks', {chunked => 1, pieces => 7}],
     ['until the end', {'until-close' => 1}],
     ['64 KiB', {size => 65536}],
     ['more members', {set => {a => {b => [1, 'ü', undef]}, c => 1.5}}],
     ['an ended run', {finish => 'now'}],
     ['its order, digits, escapes, blanks', {body => qq( {"z":1E+02 ,\n"runId")
        . qq( : "$run","a":123456789012345678901234567890.1230,)
        . '"e":"\u00fc\/\"","duplicatedelivery":0,"status":"Running" } ' . "\n"}],
     ['a nested namesake', {body => qq({"runId":"$run","status":"Running",)
        . '"output":{"duplicateDelivery":false},"t":"\"duplicateDelivery\":0"}'}],
     ['false', {body => qq({"duplicateDelivery":false,"runId":"$run"}),},
        qq({"duplicateDelivery":true,"runId":"$run"})],
     ['true', {body => qq({"runId":"$run","duplicateDelivery" : true}),},
        qq({"runId":"$run","duplicateDelivery" : true})],
     ['another value', {body => qq({"runId":"$run","duplicateDelivery": {"a":)
        . '["}",1]} }'}, qq({"runId":"$run","duplicateDelivery": true })])
{
    my ($name, $asked, $expected) = @$_;

    subtest "replayed: $name" => sub {
        my $id = fresh();
        my $first = deliver('alpha', $id, stand_in => $asked);

        ok !$first->header('Idempotent-Replayed'), 'a start';
        is $first->body, $asked->{body}, 'is passed on as it is'
            if defined $asked->{body};

        for my $r (deliver('alpha', $id, stand_in => {status => 500}),
                   h2(delivery('alpha', $id)))
        {
            is told($r), $first->status . ' replayed done replayed marked',
                'a replay';
            is $r->header('Content-Type'), $first->header('Content-Type'),
                'the type';
            is $r->header('Content-Length'), length $r->body, 'the length';
            edited_is($r->body, $first->body, 'the body', $expected);
        }
    };
}


subtest 'what is no object' => sub {
    my $id = fresh();
    my $first = deliver('alpha', $id, at => $at{local});
    my $r = deliver('alpha', $id, at => $at{local});

    is_deeply [$first->status, $first->body], [202, "not JSON\n"], 'a start';
    is told($r), '202 replayed done replayed', 'is replayed';
    is $r->body, $first->body, 'as it is';
    is $r->header('Content-Type'), $first->header('Content-Type'),
        'with its type';
};


subtest 'a redirected start' => sub {
    my $id = fresh();
    my $first = deliver('alpha', $id, at => $at{page},
        stand_in => {status => 500, at => 'one'});

    is told($first), '202 admitted -', 'another upstream has accepted it';
    replay_is(deliver('alpha', $id, at => $at{page}), $first, 'replayed');
};


subtest 'limits' => sub {
    my ($id, $busy) = (fresh(), fresh());
    my $first = deliver('limits', $id);

    is limits($first), '"rpm";r=499, "rpd";r=999, "runs";r=99', 'a start';

    my $second = deliver('limits', fresh());
    my $connection = hold($up, $nginx, 'limits', $busy);
    my $now = '"rpm";r=497, "rpd";r=997, "runs";r=97';

    for (['replayed', 202, deliver('limits', $id)],
         ['another body', 422, deliver('limits', $id, json => {})],
         ['in progress', 409, deliver('limits', $busy)],
         ['replayed again', 202, deliver('limits', $id)])
    {
        my ($name, $status, $r) = @$_;
        is $r->status, $status, $name;
        is limits($r), $now, 'the limits of the moment';
        is $r->header('RateLimit-Policy'), $first->header('RateLimit-Policy'),
            'and their policy';
    }

    $up->release;
    $connection->response;

    poll($second->json->{runId}, key => 'alice',
        stand_in => {set => {status => 'Failed'}});
    is limits(deliver('limits', $id)), '"rpm";r=497, "rpd";r=997, "runs";r=98',
        'a slot more';
};


subtest 'limits that are reached' => sub {
    my @id = map { fresh() } 1 .. 2;
    my $first = deliver('slots', $id[0]);
    my $connection = hold($up, $nginx, 'slots', $id[1]);

    is start_run('slots', key => 'alice')->status, 429, 'no slot is left';
    replay_is(deliver('slots', $id[0]), $first, 'a replay needs none');
    is told(deliver('slots', $id[0], json => {})), '422 refused mismatch',
        'nor is another body refused for that';
    is told(deliver('slots', $id[1])), '409 refused in-progress',
        'or what is in progress';
    $up->release;
    $connection->response;
};


subtest 'its time' => sub {
    my $id = fresh();
    my $first = deliver('alpha', $id, at => $at{brief});

    replay_is(deliver('alpha', $id, at => $at{brief}), $first, 'a replay');
    becomes { told(deliver('alpha', $id, at => $at{brief}))
        eq '202 admitted -' } 'is forgotten in time';
};


subtest 'the status page' => sub {
    my ($done, $busy, $unknown) = (fresh(), fresh(), fresh());
    my $before = status();

    ok exists $before->{requests}{replayed}, 'counts replays';
    is_deeply [sort keys %{$before->{duplicates}}],
        [qw(done in-progress mismatch unknown)], 'and each state';

    deliver('alpha', $done) for 1 .. 4;
    deliver('alpha', $done, json => {}) for 1 .. 2;
    my $connection = hold($up, $nginx, 'alpha', $busy);
    deliver('alpha', $busy);
    $up->release;
    $connection->response;
    deliver('alpha', $unknown, stand_in => {status => 502});
    deliver('alpha', $unknown);

    my $after = status();

    is_deeply +{map { $_ => $after->{duplicates}{$_}
        - $before->{duplicates}{$_} } keys %{$after->{duplicates}}},
        {done => 3, mismatch => 2, 'in-progress' => 1, unknown => 1},
        'which they are';
    is $after->{requests}{replayed} - $before->{requests}{replayed}, 3,
        'replays';
    is $after->{requests}{admitted} - $before->{requests}{admitted}, 4,
        'are not admitted';
    is $after->{requests}{refused}{$_} - ($before->{requests}{refused}{$_}
        // 0), {delivery_mismatch => 2, delivery_in_progress => 1}->{$_},
        $_ for qw(delivery_mismatch delivery_in_progress);
};


# What a client says of what it has is of other requests than starts.

subtest 'conditions and ranges' => sub {
    my $id = fresh();
    my $first = deliver('alpha', $id, stand_in => {status => 200},
        headers => [Range => 'bytes=0-3']);

    for (['If-None-Match', '*'], ['If-None-Match', '"x"'],
         ['If-Match', '"x"'], ['Range', 'bytes=0-3'],
         ['If-Unmodified-Since', 'Mon, 01 Jan 2024 00:00:00 GMT'])
    {
        replay_is(deliver('alpha', $id, headers => $_), $first, "@$_");
    }
};


subtest 'logs' => sub {
    my ($id, $busy) = (fresh(), fresh());
    my $mark = $nginx->log_size;
    my @to = (at => $at{log});

    deliver('alpha', $id, @to) for 1 .. 2;
    deliver('alpha', $id, @to, json => {});
    deliver('alpha', $busy, @to, stand_in => {status => 502});
    deliver('alpha', $busy, @to);
    start_run('alpha', key => 'alice', @to);

    my $lines = '';
    wait_for {
        $lines = do { local (@ARGV, $/) = $nginx->dir . '/access.log'; <> };
        6 == (() = $lines =~ /\n/g);
    } 5, 'the access log';

    is $lines, <<'END', 'the access log';
202 admitted - -
202 replayed - done
422 refused delivery_mismatch mismatch
502 admitted - -
202 admitted - unknown
202 admitted - -
END

    my ($trigger, $key) = ($policy->trigger('alpha'),
        $policy->key_id('alice'));
    my $log = $nginx->log_since($mark);

    like $log, qr/\[warn\].*phrony refused: delivery_mismatch, trigger: $trigger, key: $key,/,
        'a refusal';
    unlike $log, qr/phrony refused(?!: delivery_mismatch)/, 'is the only one';
    unlike $nginx->log, qr/phk_/, 'no key is logged';
};


done_testing();
