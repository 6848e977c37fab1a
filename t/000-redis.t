#!/usr/bin/perl

# The tests' library: a real Redis, what stands before it, and clocks that are
# wrong.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;

use Phrony::RedisClient;
use Phrony::Resp;


my $redis = redis(unix => 1);


subtest 'the protocol' => sub {
    my $full = "*4\r\n:1\r\n\$4\r\na\r\nb\r\n*2\r\n-ERR x\r\n\$-1\r\n*0\r\n";
    my $early = 0;

    for (0 .. length($full) - 1) {
        my $part = substr $full, 0, $_;
        $early += my @got = Phrony::Resp::take(\$part);
    }

    is $early, 0, 'nothing before it is whole';

    my $bytes = "$full+next";
    is_deeply [Phrony::Resp::take(\$bytes)],
        [[1, "a\r\nb", [\'ERR x', undef], []]], 'a reply';
    is $bytes, '+next', 'and no more';
    $bytes = Phrony::Resp::command(SET => "a b", '');
    is_deeply [Phrony::Resp::take(\$bytes)], [['SET', 'a b', '']], 'a command';
    eval { Phrony::Resp::take(\"HTTP/1.1 400\r\n") };
    is $@, "no RESP\n", 'something else';
    eval { Phrony::Resp::take(\"*1\r\n\$x\r\n") };
    is $@, "no RESP\n", 'a bad length';
};


subtest 'a Redis' => sub {
    is $redis->call(SET => 'phrony:a', 1), 'OK', 'a command';
    is $redis->call(GET => 'b'), undef, 'nil';
    is $redis->cli(GET => 'phrony:a'), "1\n", 'redis-cli';
    eval { $redis->call(HGET => 'phrony:a', 'x') };
    like $@, qr/\AWRONGTYPE .*\n\z/, 'an error';

    $redis->call(SET => "phrony:k$_", 1, EX => 100) for 1 .. 1200;
    is scalar $redis->keys('phrony:k*'), 1200, 'keys';
    is_deeply [$redis->eternal('phrony:*')], ['phrony:a'], 'without an end';

    $redis->reset_calls;
    $redis->call('GET', 'a') for 1 .. 3;
    is $redis->calls('get'), 3, 'calls are counted';
    is $redis->calls('hget'), 0, 'others are not';
    cmp_ok $redis->cpu, '>', 0, 'time of the processor';

    my $client = $redis->client(db => 2);
    is_deeply [map { $_->{db} } $redis->clients], [2], 'the clients';
    is $redis->client(address => "unix:${\$redis->dir}/socket")->call('PING'),
        'PONG', 'a unix socket';
};


subtest 'its life' => sub {
    for my $end (qw(stop kill)) {
        $redis->call(INCR => 'phrony:a');
        my $before = $redis->call(GET => 'phrony:a');

        $redis->$end;
        ok !eval { $redis->call('PING') }, "$end: gone";
        $redis->start;
        is $redis->call(GET => 'phrony:a'), $before, 'and back with its data';
    }

    my $client = $redis->client(timeout => 0.3);
    $redis->pause;
    ok !eval { $client->call('PING') }, 'a pause';
    like $@, qr/no reply in time/, 'without replies';
    $redis->resume;
    is $client->receive(5), 'PONG', 'goes by';
    is $redis->call('PING'), 'PONG', 'for all';

    my $forgetful = redis(persist => 0);
    $forgetful->call(SET => 'a', 1);
    $forgetful->restart;
    is $forgetful->call('DBSIZE'), 0, 'one that forgets';
};


subtest 'who may what' => sub {
    my $closed = redis(tls => 1, password => 'se/same@', tls_clients => 'yes',
        users => ['gateway on >other ~phrony:* +get']);

    is $closed->call('PING'), 'PONG', 'with the password';
    ok !eval { Phrony::RedisClient->new(address => $closed->address)
        ->call('PING') }, 'not without it';
    like $@, qr/\ANOAUTH/, 'as Redis says';
    ok !eval { $closed->client(user => 'gateway', password => 'other')
        ->call(SET => 'phrony:a', 1) }, 'a user who may less';
    like $@, qr/\ANOPERM/, 'as Redis says';

    my $tls = $closed->url(via => 'tls');
    my ($port) = $tls =~ /(\d+)\z/;
    my ($cert, $key) = certificates()->issue('a client');
    my $talk = sub {
        my (@more) = @_;
        open my $output, '-|', 'sh', '-c', 'exec redis-cli "$@" 2>/dev/null',
            'sh', '--no-auth-warning', '--tls',
            '-p', $port, '--cacert', certificates()->ca, '-a', 'se/same@',
            @more, 'PING' or die "redis-cli: $!\n";
        return scalar readline $output;
    };

    is $talk->('--cert', $cert, '--key', $key, '-h', 'localhost'), "PONG\n",
        'TLS';
    isnt $talk->('-h', '127.0.0.1'), "PONG\n", 'needs a certificate';

    is $redis->url, 'redis://127.0.0.1:' . $redis->port, 'a URL';
    is $redis->url(via => 'unix', db => 3),
        "unix:${\$redis->dir}/socket:3", 'of a socket';
    is $closed->url(user => 'gateway', password => 'x:/y', host => 'localhost'),
        'redis://gateway:x%3A%2Fy@localhost:' . $closed->port, 'with a name';
};


sub proxied {
    my ($proxy) = @_;

    return Phrony::RedisClient->new(address => $proxy->address, timeout => 1);
}


subtest 'damage on the way' => sub {
    my $proxy = redis_proxy($redis);
    my $client = proxied($proxy);

    $redis->call(DEL => 'n');
    is $client->call(INCR => 'n'), 1, 'none';
    is_deeply [@{$proxy->state}{qw(connections accepted commands)}],
        [1, 1, {INCR => 1}], 'the figures';

    for my $way (qw(commands replies)) {
        my $count = $redis->call(GET => 'n');

        $proxy->damage(hold => $way, on => 'INCR');
        is $client->call('PING'), 'PONG', "hold $way: but others pass";
        $client->send(INCR => 'n');
        $proxy->await_damage;
        wait_for { $redis->call(GET => 'n') == $count + 1 } 5, 'it'
            if $way eq 'replies';
        ok !eval { $client->receive(0.2) }, 'no reply';
        is $redis->call(GET => 'n'), $count + ($way eq 'replies'),
            'what Redis has';
        is $proxy->state->{held}, 1, 'one is held';
        $proxy->heal;
        is $client->receive, $count + 1, 'and comes after all';

        $proxy->damage(drop => $way);
        $client->send(INCR => 'n');
        $proxy->await_damage;
        $proxy->heal;
        ok !eval { $client->receive(0.2) }, "drop $way: it never comes";
        $client = proxied($proxy);
    }

    my %count = (before => 0, after => 1, within => 1);

    for my $end (sort keys %count) {
        for my $reset (0, 1) {
            my $count = $redis->call(GET => 'n');

            $proxy->damage(end => $end, on => 'INCR', reset => $reset);
            $client->send('PING');
            $client->send(INCR => 'n');
            $proxy->await_damage;
            eval { $client->receive; $client->receive };
            like $@, qr/the connection ended/, "end $end";
            is $redis->call(GET => 'n'), $count + $count{$end},
                'what Redis has';
            like $client->{buffer}, qr/\A:\d*\z/, 'half a reply'
                if $end eq 'within' && !$reset;
            $client = proxied($proxy);
            is $client->call(INCR => 'n'), $count + $count{$end} + 1,
                'only once';
        }
    }

    $proxy->damage(reply => "*x\r\n", times => 2);
    $client->send('PING') for 1 .. 3;

    my $got = '';
    wait_for { $client->{socket}->sysread($got, 100, length $got);
        $got =~ /PONG/ } 5, 'replies';
    is $got, "*x\r\n*x\r\n+PONG\r\n", 'garbage, as often as told';

    $client = proxied($proxy);
    $proxy->damage(late => 0.2);
    $client->send(ECHO => $_) for 1 .. 50;
    ok !eval { $client->receive(0.05) }, 'late';
    is_deeply [map { $client->receive(5) } 1 .. 50], [1 .. 50], 'in order';
    $proxy->heal;

    $proxy->say(":7\r\n");
    is $client->receive, 7, 'unasked';

    $proxy->damage(refuse => 1);
    ok !eval { $client->call('PING') }, 'those that stand are ended';
    ok !eval { proxied($proxy)->call('PING') }, 'and new ones';
    $proxy->heal;
    $client = proxied($proxy);
    is $client->call('PING'), 'PONG', 'no more';

    $proxy->cut(reset => 1);
    ok !eval { $client->call('PING') }, 'cut';
    wait_for { $proxy->state->{connections} == 0 } 5, 'the end of it';

    my $other = redis();
    $proxy->lead_to($other->address);
    proxied($proxy)->call(SET => 'here', 1);
    is $other->call(GET => 'here'), 1, 'another Redis';
    $other->stop;
    ok !eval { proxied($proxy)->call('PING') }, 'one that is not there';

    my $opaque = redis_proxy(stand_in()->address);
    is client($opaque->address =~ /(\d+)\z/)->req(GET => '/_control/state')
        ->status, 200, 'what is not RESP passes';
};


subtest 'clocks and gateways' => sub {
    my $show = 'return 200 "$time_iso8601";';
    my @nginx = map { nginx(module => 0, upstream => undef, clock => $_,
        location => $show) } undef, '+1h', '-2d';

    isnt $nginx[0]->port, $nginx[1]->port, 'each has a port';
    isnt $nginx[0]->dir, $nginx[1]->dir, 'and a directory';

    my @time = map { my $iso = $_->client->req(GET => '/')->body;
        require Mojo::Date; Mojo::Date->new($iso)->epoch } @nginx;

    cmp_ok abs($time[1] - $time[0] - 3600), '<', 60, 'an hour ahead';
    cmp_ok abs($time[0] - $time[2] - 2 * 86400), '<', 60, 'two days behind';
};


subtest 'a cluster and a sentinel' => sub {
    my $member = redis(cluster => 1);
    is $member->call(CLUSTER => 'INFO') =~ /cluster_state:(\w+)/ && $1, 'fail',
        'a member without slots';

    my $sentinel = redis(sentinel => 1, conf => 'sentinel monitor phrony '
        . '127.0.0.1 ' . $redis->port . ' 1');
    is_deeply $sentinel->call(qw(SENTINEL GET-MASTER-ADDR-BY-NAME phrony)),
        ['127.0.0.1', $redis->port], 'a sentinel';
};


done_testing();
