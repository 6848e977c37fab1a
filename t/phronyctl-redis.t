#!/usr/bin/perl

# phronyctl reaches Redis by every URL that gateways take: TCP, a UNIX socket,
# TLS with each of its options, users, sentinels, a cluster; and says why if it
# does not.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;
use Phrony::Fleet;
use Phrony::Ctl;
use Phrony::RedisCluster;
use Phrony::RedisSentinel;

my $policy = policy(
    agents => {map { ("a$_" => {workspace => "ws$_", rpmLimit => $_}) } 1 .. 20},
    keys   => {map { ("k$_" => {workspace => "ws$_"}) } 1 .. 20},
);

my @ids = sort map { $policy->key_id("k$_") } 1 .. 20;


sub ctl {
    my ($url, @with) = @_;

    return Phrony::Ctl->new(dir => test_dir(), redis => $url,
        with => [@with]);
}


# All keys are listed, each once, and a trigger is changed.

sub works {
    my ($ctl, $name) = @_;

    my $r = $ctl->run(qw(key list --json));

    is_deeply [sort map { $_->{id} } @{$r->{json} || []}], \@ids,
        "$name: keys" or diag $r->{err};

    $r = $ctl->run(qw(trigger set), $policy->trigger('a1'), 'rpdLimit=7',
        '--json');
    is $r->{json}{rpdLimit}, 7, "$name: a change" or diag $r->{err};
}


sub fails {
    my ($ctl, $code, $text, $name, @words) = @_;

    my $r = $ctl->run(@words ? @words : qw(key list));

    is $r->{code}, $code, "$name: the code" or diag $r->{err};
    like $r->{err}, $text, "$name: the text";
    unlike $r->{err}, qr/sesame|hush/, "$name: no password";
}


my $redis = redis(tls => 1, unix => 1, password => 'sesame/@%',
    users => ['ctl on >hush ~* &* +@all', 'blind on >hush ~* -@all +ping']);
my $secret = write_file('secret', "hush\n");

$policy->store(sub { $redis->call(@_) });

subtest 'one server' => sub {
    works(ctl($redis->url), 'TCP');
    works(ctl($redis->url(user => 'ctl', password => 'hush')), 'a user');
    works(ctl('redis://' . $redis->address, qw(--user ctl --password-file),
        $secret), 'a file');

    fails(ctl('redis://' . $redis->address), 3, qr/PING: NOAUTH/, 'nobody');
    fails(ctl($redis->url(user => 'ctl', password => 'hushed')), 3,
        qr/AUTH: WRONGPASS/, 'a wrong password');
    fails(ctl($redis->url(user => 'blind', password => 'hush')), 1,
        qr/NOPERM/, 'a user that may not');
    fails(ctl($redis->url, '--password-file', $secret), 2, qr/conflicts/,
        'two passwords');
    fails(ctl('redis://127.0.0.1:' . free_port()), 3,
        qr/Connection refused/, 'no server');
    fails(ctl('redis://no.such.host.invalid'), 3, qr/was not found/,
        'no host');
    fails(ctl('unix:' . test_dir() . '/none'), 3, qr/No such file/,
        'no socket');
};


subtest 'a UNIX socket and a database' => sub {
    my $open = redis(unix => 1);
    my $client = $open->client;

    $client->call(SELECT => 3);
    $policy->store(sub { $client->call(@_) });

    works(ctl($open->url(via => 'unix', db => 3)), 'a socket');
    works(ctl($open->url(db => 3)), 'TCP');
    is_deeply ctl($open->url)->run(qw(key list --json))->{json}, [],
        'another database';
    fails(ctl($open->url(db => 99)), 3, qr/SELECT/, 'none');

    $client->call('FLUSHDB');
    $policy->store(sub { $client->call(@_) }, prefix => 'mine');
    works(ctl($open->url(db => 3), qw(--prefix mine)), 'a prefix');
    is_deeply ctl($open->url(db => 3))->run(qw(key list --json))->{json}, [],
        'another one';
};


subtest 'TLS' => sub {
    my $url = $redis->url(via => 'tls');
    my $named = $redis->url(via => 'tls', host => 'localhost');
    my @ca = ('--ca', certificates()->ca);

    works(ctl($url, @ca), 'an address in the certificate');
    works(ctl($named, @ca), 'a name');
    works(ctl($url, @ca, qw(--tls-name localhost)), 'a given name');
    works(ctl($url, '--no-verify'), 'unverified');

    fails(ctl($url), 2, qr/requires --ca or --no-verify/, 'no authority');
    fails(ctl($url, @ca, qw(--tls-name other.example)), 3,
        qr/not trusted: hostname mismatch/, 'another name');
    fails(ctl($url, @ca, qw(--tls-name 127.0.0.2)), 3,
        qr/not trusted: IP address mismatch/, 'another address');

    my $strange = Phrony::Certificates->new(
        do { mkdir test_dir() . '/strange'; test_dir() . '/strange' });

    fails(ctl($url, '--ca', $strange->ca), 3, qr/not trusted/,
        'another authority');
    fails(ctl($url, '--ca', $secret), 2, qr/--ca/, 'no certificate');
    fails(ctl('redis://' . $redis->address . '/0', '--timeout', '300ms',
        '--connect-timeout', '300ms'), 3, qr/NOAUTH/, 'times');

    my $strict = redis(tls => 1, tls_clients => 'yes');
    my ($cert, $key) = certificates()->issue('client');

    $policy->store(sub { $strict->call(@_) });

    my $to = $strict->url(via => 'tls');

    works(ctl($to, @ca, '--cert', $cert, '--cert-key', $key), 'a client');
    fails(ctl($to, @ca), 3, qr/./, 'one without a certificate');
    fails(ctl($to, @ca, '--cert', $cert), 2, qr/require each other/,
        'one without a key');
};


subtest 'a server that may not write' => sub {
    my @words = (qw(workspace resume), $policy->workspace('ws1'));

    for my $case (
        ['no replica', qr/NOREPLICAS/, [qw(CONFIG SET min-replicas-to-write)],
            3, 0],
        ['a replica', qr/READONLY/, ['REPLICAOF'], ['127.0.0.1', 1],
            [qw(NO ONE)]],
        ['no memory', qr/OOM/, [qw(CONFIG SET maxmemory)], 1, 0],
    ) {
        my ($name, $text, $command, @values) = @$case;
        my ($bad, $good) = map { ref ? $_ : [$_] } @values;

        $redis->call(@$command, @$bad);
        fails(ctl($redis->url), 3, $text, $name, @words);
        $redis->call(@$command, @$good);
        is ctl($redis->url)->run(@words)->{code}, 0, "$name: until it may";
    }
};


subtest 'a server that says nothing' => sub {
    $redis->pause;
    fails(ctl($redis->url, qw(--timeout 100ms)), 3, qr/timed out/, 'TCP');
    fails(ctl($redis->url(via => 'tls'), '--no-verify', '--connect-timeout',
        '100ms'), 3, qr/timed out/, 'TLS');
    $redis->resume;
    works(ctl($redis->url), 'and on');
};


subtest 'the users of the examples' => sub {
    plan(skip_all => 'Redis 6 knows no permission to read alone')
        if Phrony::Redis::version() < 7;

    open my $in, '<', "$FindBin::Bin/../conf-examples/redis-users.acl"
        or die "redis-users.acl: $!\n";

    my %user = map { /\Auser (\S+) (.*)$/ ? ($1 => $2) : () } readline $in;
    my $server = redis(users =>
        [map { "$_ $user{$_}" } qw(gateway policy operator)]);

    $policy->store(sub { $server->call(@_) });

    works(ctl($server->url(user => 'policy', password => 'CHANGE-ME-TOO')),
        'policy');

    my $operator = ctl($server->url(user => 'operator',
        password => 'CHANGE-ME-AS-WELL'));

    for my $words (['usage'], ['runs'], [qw(top --count 1)],
        [qw(trigger list)])
    {
        my $r = $operator->run(@$words, '--json');
        is $r->{code}, 0, "operator: @$words" or diag $r->{err};
    }

    is scalar @{$operator->run(qw(usage --json))->{json}}, 20,
        'operator: all triggers';
    is $operator->run(qw(key list))->{code}, 1, 'operator: no keys';
    is $operator->run(qw(trigger set), $policy->trigger('a1'),
        'rpmLimit=1')->{code}, 1, 'operator: no change';
};


subtest 'sentinels' => sub {
    my @data = map { redis(password => 'sesame', conf =>
        'masterauth sesame') } 1, 2;
    my $set = Phrony::RedisSentinel->watch(data => \@data,
        sentinels => 3, sentinel => sub { redis(sentinel => 1, @_) });
    my $url = $set->url(who => ':sesame');

    $policy->store(sub { $data[0]->call(@_) });
    works(ctl($url), 'the master');

    my ($first) = $set->sentinels;
    $first->stop;
    works(ctl($url), 'a sentinel less');
    $first->start;
    $set->await;

    my $master = $set->failover;
    isnt $master->port, $data[0]->port, 'another master';
    works(ctl($url), 'which is found');

    fails(ctl($url =~ s{/main\b}{/other}r), 3,
        qr/no sentinel knows a master "other"/, 'one that is not known');
    $_->stop for $set->sentinels;
    fails(ctl($url), 3, qr/Connection refused/, 'no sentinel');
};


subtest 'a cluster' => sub {
    my $cluster = Phrony::RedisCluster->form(replicas => 0,
        node => sub { redis(cluster => 1, @_) });
    my ($some) = $cluster->nodes;
    my $ctl = ctl('redis+cluster://' . $some->address);
    my $file = $policy->path;

    my $r = $ctl->run('import', $file, '--json');

    is_deeply [@{$r->{json}}{qw(created changed unchanged)}], [60, 0, 0],
        'what is written goes to all masters' or diag $r->{err};
    is scalar(grep { $_->call('DBSIZE') > 0 } $cluster->nodes), 3,
        'to each some';
    $policy->change(agent => "a$_", rpdLimit => 99) for 1 .. 9;
    $r = $ctl->run('import', $policy->path, '--json');
    is_deeply [@{$r->{json}}{qw(created changed)}], [0, 9],
        'and what is changed' or diag $r->{err};
    works($ctl, 'any node');

    fails(ctl('redis://' . $_->address), 3, qr/a cluster: redis\+cluster:/,
        'one node as if it were all', qw(trigger show),
        $policy->trigger('a1')) for grep { !defined eval { $_->call(GET =>
        'phrony:trigger:' . $policy->trigger('a1')) } } $cluster->nodes;

    my $usage = $ctl->run(qw(usage --json));
    is scalar @{$usage->{json}}, 20, 'usage' or diag $usage->{err};

    # a slot that has moved, and one that is moving

    my $key = 'phrony:trigger:' . $policy->trigger('a2');
    my $slot = $some->call(CLUSTER => KEYSLOT => $key);
    my ($from) = grep { defined eval { $_->call(GET => $key) } }
        $cluster->nodes;
    my ($to) = grep { $_ != $from } $cluster->nodes;
    my %of = map { $_->port => $cluster->id($_) } $from, $to;

    $to->call(CLUSTER => SETSLOT => $slot, IMPORTING => $of{$from->port});
    $from->call(CLUSTER => SETSLOT => $slot, MIGRATING => $of{$to->port});
    $from->call(MIGRATE => '127.0.0.1', $to->port, $key, 0, 5000);

    works($ctl, 'a slot that is moving');
    is $ctl->run(qw(trigger show --json), $policy->trigger('a2'))
        ->{json}{rpmLimit}, 2, 'a key that has moved';

    $r = $ctl->run(qw(trigger set), $policy->trigger('a2'), 'rpmLimit=5');
    is $r->{code}, 0, 'is written there' or diag $r->{err};
    is decode_json($ctl->run(qw(export))->{out})->{triggers}[0]{id}
        ? 1 : 0, 1, 'all is exported';
};

done_testing();
