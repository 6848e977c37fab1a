#!/usr/bin/perl

# Gateways with a Redis: every way to reach it, and what is kept there.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;
use Phrony::Fleet;

my $up = stand_in();

my $policy = policy(
    agents => {
        shared => {rpdLimit => 1000},
        rate   => {rpmLimit => 3, rpdLimit => 4},
        runs   => {maxConcurrentRuns => 2},
        both   => {rpmLimit => 5, rpdLimit => 1000, maxConcurrentRuns => 3},
        free   => {},
        reads  => {readRpmLimit => 3},
        many   => {rpdLimit => 100_000, maxConcurrentRuns => 1000},
        other  => {},
        warm   => {rpdLimit => 1_000_000},
    },
    keys => {alice => {}, bob => {agents => ['other']}},
);

my $redis = redis(unix => 1, conf => 'bind 127.0.0.1 -::1');
my $status = 'location = /status { phrony_status; }';

# Nothing here is about a slow Redis, so a slow machine must not look like one.

my $http = "$SHOW phrony_redis_timeout 5s;";
my @common = (http => $http, location => $status);

my @nginx = map { nginx(@common, redis => $redis) } 1, 2;

await_store($_) for @nginx;

sub start { start_run(shift, key => 'alice', @_) }
sub path { '/v1/agents/' . $policy->agent($_[0]) . ($_[1] // '/runs') }
sub slots { taken($redis, $policy, $_[0]) }
sub end_of { poll($_[0], key => 'alice', stand_in =>
    {set => {status => 'Completed'}}, @_[1 .. $#_]) }


subtest 'one set of limits' => sub {
    my @r = map { start('rate', at => $nginx[$_ % 2]) } 0 .. 3;

    is_deeply [map { $_->status } @r], [202, 202, 202, 429], 'of the rate';
    is_deeply [map { remaining($_, 'rpd') } @r], [3, 2, 1, 1],
        'a refusal counts nothing';
    problem_is($r[3], 429, 'rate_limited', 'the refusal');
    is_deeply stores_of(@r), {redis => 4}, 'told by the variable';
    like $_->header('X-Store-Time'), qr/\A\d+\.\d{3}\z/, 'and its time' for @r;

    @r = map { start('runs', at => $nginx[$_ % 2]) } 0 .. 2;
    is_deeply [map { $_->status } @r], [202, 202, 429], 'of the slots';

    @r = map { $nginx[$_ % 2]->client->req(GET => path('reads', ''),
        key => $policy->key('alice')) } 0 .. 3;
    is_deeply [map { $_->status } @r], [200, 200, 200, 429], 'of the reads';
};


subtest 'runs' => sub {
    is slots('both'), 0, 'no slot';

    my $run = start('both', at => $nginx[0])->json->{runId};
    is slots('both'), 1, 'a start takes one';
    is poll($run, key => 'bob', at => $nginx[0])->status, 403,
        'this gateway knows whose it is';
    becomes { poll($run, key => 'bob', at => $nginx[1])->status == 403 }
        'the other asks';
    is poll($run, key => 'alice', at => $nginx[1])->status, 200,
        'and lets the right one see it';
    is slots('both'), 1, 'it is bound';

    end_of($run, at => $nginx[1]);
    becomes { slots('both') == 0 } 'its end is seen by the other';
    is poll($run, key => 'bob', at => $nginx[0])->status, 403,
        'it stays known';

    is start('both', at => $nginx[$_], stand_in => {status => 400})->status,
        400, 'a start that starts nothing' for 0, 1;
    becomes { slots('both') == 0 } 'gives its slot back';

    is start('both', at => $nginx[0], stand_in => {finish => 'now'})->status,
        202, 'one that has ended already';
    becomes { slots('both') == 0 } 'holds none';

    $run = start('free', at => $nginx[1])->json->{runId};
    becomes { poll($run, key => 'bob', at => $nginx[0])->status == 403 }
        'runs without limits are known, too';
    is poll('0b1c2d3e-0000-4000-8000-0000000000ff', key => 'bob')->status, 404,
        'of others the upstream knows';
};


# The buckets of Redis and of a zone begin at other moments, so times may differ
# by the width of one: a second or a quarter of an hour.

sub fields {
    my ($r) = @_;

    my $field = sub { $r->header($_[0]) // 'none' };
    my ($limits, $retry) = map { $field->($_) } qw(RateLimit Retry-After);
    my @times = ($limits =~ /;t=(\d+)/g, $retry =~ /(\d+)/g);

    s/\d+\z// for $retry;
    $limits =~ s/;t=\d+/;t=N/g;

    return ([$r->status, $field->('RateLimit-Policy'), $limits, $retry],
        \@times);
}


sub near {
    my ($got, $expected) = @_;

    return abs($got - $expected) <= ($expected > 3600 ? 902 : 3);
}


subtest 'the same answers as from memory' => sub {
    my $memory = nginx(@common, http => $SHOW);
    my @same = map { nginx(@common, redis => $redis,
        http => "$http phrony_redis_prefix same;") } 0, 1;

    await_store($_) for @same;

    for my $agent (qw(rate runs both free reads)) {
        my @what = $agent eq 'reads' ? (GET => path($agent, ''))
            : start_request($agent);

        for my $n (1 .. 7) {
            my @r = map { $_->client->req(@what, key => $policy->key('alice')) }
                $memory, $same[$n % 2];
            my ($expected, $got) = map { [fields($_)] } @r;

            is_deeply $got->[0], $expected->[0], "$agent, $n";
            is_deeply [grep { !near($got->[1][$_], $expected->[1][$_]) }
                0 .. $#{$expected->[1]}], [], 'and its times';
        }
    }
};


# Waits until nothing is said any more.

sub quiet {
    my ($proxy) = @_;

    my $before = -1;

    wait_for {
        my $now = $proxy->state->{bytes};
        my $same = $now == $before;
        $before = $now;
        select undef, undef, undef, 0.1;
        $same;
    } 10, 'silence';
}


subtest 'what a start costs' => sub {
    my $proxy = redis_proxy($redis);
    my $nginx = nginx(@common, redis => 'redis://' . $proxy->address);

    await_store($nginx);
    quiet($proxy);

    my $before = $proxy->state->{scripts};

    start('many', at => $nginx) for 1 .. 50;
    becomes { slots('many') == 50 } 'fifty starts';

    my $after = $proxy->state->{scripts};
    my %count = map { $_ => $after->{$_} - ($before->{$_} // 0) } keys %$after;
    my @count = sort { $b <=> $a } grep { $_ } values %count;

    is $count[0], 50, 'one script each' or diag explain \%count;
    cmp_ok $count[1] // 0, '<=', 50, 'and another at most tells of its run';
    cmp_ok @count, '<=', 2, 'and nothing else';

    # 300 by one gateway at the same time: what is told goes along

    is_deeply stores_of(crowd([$nginx], 300, 'many')), {redis => 300},
        'many at the same time';
    becomes { slots('many') == 350 } 'all are bound';
};


subtest 'what is kept' => sub {
    my @keys = $redis->keys;

    cmp_ok @keys, '>', 5, 'there are keys';
    is_deeply [$redis->eternal], [], 'each has its time';
    is_deeply [grep { !/\A(?:phrony|same):/ } @keys], [],
        'and begins with the prefix';
    is_deeply [grep { !/\A\w+:(?:\{[^{}]+\}:\w+|run):/ } @keys], [],
        'those of a workspace belong together';
    unlike join("\n", @keys, map { $redis->call(DUMP => $_) } @keys),
        qr/phk_/, 'nothing is said of a key';

    my $nginx = nginx(@common, redis => $redis,
        phrony => "phrony_zone phrony:4m; phrony_policy file={{policy_path}};"
            . ' phrony_redis_prefix of:its:own;');

    await_store($nginx);
    is remaining(start('shared', at => $nginx), 'rpd'), 999, 'another prefix';
    cmp_ok scalar $redis->keys('of:its:own:*'), '>=', 1, 'has its own keys';
    is remaining(start('shared', at => $nginx[0]), 'rpd'), 999,
        'and counts by itself';
};


# Each way leads to the same counts, so each start sees one less.

subtest 'ways to it' => sub {
    my $closed = redis(tls => 1, unix => 1, password => 'se/sa@me',
        conf => 'bind 127.0.0.1 -::1',
        users => ['gateway on >sesame-two ~phrony:* &* +@all -@dangerous'
            . ' +info']);
    my $ca = certificates()->ca;
    my $trust = "phrony_redis_ssl_trusted_certificate $ca;";
    my $secret = write_file('secret', "sesame-two\n");
    my $crlf = write_file('secret.crlf', "sesame-two\r\n");
    my $bare = write_file('secret.bare', 'sesame-two');
    my ($port, $tls) = map { /(\d+)\z/ } $closed->url,
        $closed->url(via => 'tls');
    my $by_file = 'phrony_redis_user gateway; phrony_redis_password_file';

    chmod 0600, $secret;

    my @ways = (
        ['a password', $closed->url],
        ['a user', $closed->url(user => 'gateway',
            password => 'sesame-two')],
        ['a password in a file', "redis://127.0.0.1:$port",
            "$by_file $secret;"],
        ['a line of Windows', "redis://127.0.0.1:$port", "$by_file $crlf;"],
        ['no end of the line', "redis://127.0.0.1:$port", "$by_file $bare;"],
        ['a name', $closed->url(host => 'localhost')],
        ['a database', $closed->url(db => 0)],
        ['a socket', "unix:${\$closed->dir}/socket", "$by_file $secret;"],
        ['a socket and a database', "unix:${\$closed->dir}/socket:0",
            "$by_file $secret;"],
        ['TLS to an address', $closed->url(via => 'tls'), $trust],
        ['TLS to a name', $closed->url(via => 'tls', host => 'localhost'),
            $trust],
        ['TLS that is not verified', $closed->url(via => 'tls'),
            'phrony_redis_ssl_verify off;'],
        ['TLS with another name', $closed->url(via => 'tls'),
            "$trust phrony_redis_ssl_name localhost;"],
    );

    push @ways, ['an address of IPv6', $closed->url(host => '[::1]')]
        if IO::Socket::IP->new(PeerAddr => "[::1]:$port");

    my $left = 1000;

    for (@ways) {
        my ($name, $url, $lines) = @$_;
        my $nginx = nginx(@common, workers => 1, redis => $url,
            http => $http . ($lines // ''));

        ok eval { await_store($nginx) }, $name
            or diag $@, $nginx->log;
        is remaining(start('shared', at => $nginx), 'rpd'), --$left,
            'the same counts';
        $nginx->quit;
        unlike $nginx->log, qr/se\/sa\@me|se%2Fsa%40me|sesame/,
            'no password in the log';
    }

    my $nginx = nginx(@common, workers => 1, redis => $closed->url(db => 3));
    await_store($nginx);
    is remaining(start('shared', at => $nginx), 'rpd'), 999,
        'another database has other counts';
    my %seen = map { $_->{db} => 1 } $closed->clients;
    is_deeply [keys %seen], [3], 'and is where it says';

    $nginx = nginx(@common, workers => 1, log_level => 'debug',
        redis => $closed->url(via => 'tls'), http => $http . $trust);
    await_store($nginx);
    start('shared', at => $nginx);
    $nginx->quit;
    cmp_ok length $nginx->log, '>', 10_000, 'a log of everything';
    unlike $nginx->log, qr/se\/sa\@me|se%2Fsa%40me/, 'without the password';
};


# Who does not prove who he is, is not talked to: counts are those of memory.

subtest 'ways that are closed' => sub {
    my $strict = redis(tls => 1, tls_clients => 'yes',
        names => 'DNS:redis.test');
    my $plain = redis(password => 'sesame');
    my $trust = "phrony_redis_ssl_trusted_certificate ${\certificates()->ca};";
    my $name = 'phrony_redis_ssl_name redis.test;';
    my ($cert, $key) = certificates()->issue('gateway');
    my $client = "phrony_redis_ssl_certificate $cert;"
        . " phrony_redis_ssl_certificate_key $key;";
    my $url = $strict->url(via => 'tls');

    mkdir test_dir() . '/others';
    my $stranger = Phrony::Certificates->new(test_dir() . '/others')->ca;

    my $open = nginx(@common, workers => 1, redis => $url,
        http => "$http $trust $client $name");
    await_store($open);
    ok 1, 'a certificate of a client';

    for (['without one', $url, "$trust $name",
             qr/SSL|alert|handshake|certificate/],
         ['another name', $url, "$trust $client",
             qr/\[error\].*certificate.*127\.0\.0\.1/],
         ['another authority', $url,
             "phrony_redis_ssl_trusted_certificate $stranger; $client $name",
             qr/\[error\].*certificate verify/],
         ['no TLS there', $plain->url =~ s/redis:/rediss:/r, $trust,
             qr/\[(?:error|crit|info)\]/],
         ['no TLS here', 'redis://127.0.0.1:' . ($url =~ /(\d+)\z/)[0], '',
             qr/\[error\]/],
         ['another password', $plain->url(password => 'other'), '',
             qr/\[error\].*WRONGPASS/],
         ['another user', $plain->url(user => 'x', password => 'other'), '',
             qr/\[error\].*WRONGPASS/],
         ['no password', 'redis://127.0.0.1:' . $plain->port, '',
             qr/\[error\].*NOAUTH/],
         ['a database that is not there', $plain->url(db => 99), '',
             qr/\[error\].*DB index/])
    {
        my ($name, $url, $lines, $said) = @$_;
        my $nginx = nginx(@common, workers => 1, redis => $url,
            http => "$http $lines");

        allow_log(qr/\[crit\].*SSL_(?:do_handshake|read)\(\) failed/);
        ok eval { wait_for { $nginx->log =~ $said } 10, 'it' },
            "$name: the log says so" or diag $nginx->log;

        my $r = start('rate', at => $nginx);
        is $r->status, 202, 'starts are decided';
        is $r->header('X-Store'), 'local', 'from memory';
        $nginx->quit;
        unlike $nginx->log, qr/sesame|:other@/, 'no password in the log';
    }

    is_deeply [$strict->keys('*' . $policy->trigger('rate'))], [],
        'nothing was told';
};


# Clients that never stop, while workers come and go.

sub busy {
    my ($client, $count) = @_;

    my $r = $client->req(start_request('many', key => 'alice',
        stand_in => {finish => 'now'}), timeout => 20);

    $count->{$r->status}++;
    $count->{'store ' . ($r->header('X-Store') // 'none')}++;
}


subtest 'reload and end' => sub {
    my $own = redis();
    my $nginx = nginx(@common, redis => $own);

    await_store($nginx);

    my $fd = sub { scalar grep { $_->{addr} } $own->clients };
    my $standing = $fd->();

    my $count = under_load([$nginx], 6, \&busy, sub {
        for (1 .. 3) {
            my %old = map { $_ => 1 } $nginx->workers;
            ok $nginx->reload, 'reloaded';
            wait_for { !grep { -d "/proc/$_" } keys %old } 20,
                'the end of the old workers';
        }
    });

    is $count->{broken}, undef, 'every client was answered';
    is_deeply [grep { /^\d/ && $_ ne '202' } keys %$count], [],
        'and admitted' or diag explain $count;
    becomes { $fd->() == $standing } 'as many connections as before';

    is taken($own, $policy, 'many'), 0, 'no slot is left';
    is $nginx->quit, 0, 'the end';
    becomes { $fd->() == 0 } 'leaves no connection';
};


subtest 'the page of figures' => sub {
    my $json = $nginx[0]->client->req(GET => '/status')->json;

    is $json->{store}{name}, 'redis', 'the store';
    cmp_ok $json->{redis}{commands}, '>', 0, 'what Redis was asked';
    is $json->{redis}{lost}, 0, 'nothing was lost';
};


done_testing();
