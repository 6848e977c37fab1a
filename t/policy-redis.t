#!/usr/bin/perl

# Policy in Redis: what is changed there acts on all gateways at once, and
# what was read is good while Redis is away.  The cache's time is an hour but
# where it is said: what acts here within seconds was told.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;
use Phrony::Fleet;

use Time::HiRes qw(time);

my $up = stand_in();

my %agents = (
    warm  => {rpdLimit => 1_000_000},
    open  => {rpmLimit => 1000},
    other => {rpmLimit => 50},
);

my $policy = policy(
    agents     => {%agents, far => {workspace => 'second', rpmLimit => 20}},
    workspaces => {second => {}},
    keys       => {
        alice => {},
        bob   => {agents => ['open', 'other']},
        carol => {workspace => 'second'},
        map { ("key$_" => {agents => ['open']}) } 1 .. 20,
    },
);

my $redis = redis(users => ['quiet on >q ~* &* +@all -subscribe -psubscribe']);
my $status = 'location = /status { phrony_status; }';

$policy->store(sub { $redis->call(@_) });

my @nginx = map { gateway() } 1 .. 3;

await_store($_) for @nginx;
await_told(6);


# Options: url, cache, stale; more are of nginx().

sub gateway {
    my (%opt) = @_;

    my $url = delete $opt{url} // $redis->url;
    my $cache = delete $opt{cache} // '1h';
    my $stale = delete $opt{stale} // '10m';

    return nginx(http => $SHOW, location => $status, phrony =>
        "phrony_zone phrony:1m; phrony_policy redis; phrony_redis $url;
        phrony_policy_cache $cache; phrony_policy_stale $stale;", %opt);
}


# Until so many workers are told of changes.

sub await_told {
    my ($n) = @_;

    wait_for { $n == grep { $_->{sub} } $redis->clients } 10,
        "$n connections that are told of changes";
}


sub agent {
    my ($nginx, $key, $agent) = @_;

    return $nginx->client->req(GET => '/v1/agents/' . $policy->agent($agent),
        key => $policy->key($key));
}


# Writes a record anew: put(key => 'alice', status => 'revoked').

sub put {
    my ($kind, $name, %members) = @_;

    $policy->change($kind, $name, %members);

    my ($id, $list) = $kind eq 'key' ? ($policy->key_id($name), 'keys')
        : $kind eq 'agent' ? ($policy->trigger($name), 'triggers')
        : ($policy->workspace($name), 'workspaces');

    my ($record) = grep { $_->{id} eq $id } @{$policy->data->{$list}};

    $redis->call(SET => record($kind, $name), encode_json($record));
}


# Where a record is.

sub record {
    my ($kind, $name) = @_;

    return $kind eq 'key' ? 'phrony:key:' . $policy->digest($name)
        : $kind eq 'agent' ? 'phrony:trigger:' . $policy->trigger($name)
        : 'phrony:workspace:' . $policy->workspace($name);
}


# The quota of a minute, as an answer tells it.

sub quota {
    my ($r) = @_;

    return ($r->header('RateLimit-Policy') // '') =~ /"rpm";q=(\d+)/ ? $1
        : undef;
}


subtest 'what there is' => sub {
    for my $nginx (@nginx) {
        my $r = start_run('open', key => 'bob', at => $nginx);
        is_deeply [$r->status, quota($r)], [202, 1000], 'a start';
        is agent($nginx, 'alice', 'other')->status, 200, 'another agent';
        problem_is(agent($nginx, 'carol', 'open'), 403, 'agent_out_of_scope',
            'not of this key');
        problem_is(agent($nginx, 'nobody', 'open'), 401, 'key_invalid',
            'no such key');
    }

    my $seen = $nginx[0]->client->req(GET => '/status')->json->{policy};

    is_deeply [@$seen{qw(workspaces triggers keys)}], [2, 4, 3],
        'is cached as far as it was asked for';
};


subtest 'nobody is asked twice' => sub {
    $redis->reset_calls;

    agent($_, 'bob', 'open'), agent($_, 'nobody', 'open') for (@nginx) x 10;

    is $redis->calls('getrange'), 0, 'of what is known';

    my @r = $nginx[0]->client->parallel(map { [GET => '/v1/agents/'
        . $policy->agent('open'), key => $policy->key('key1')] } 1 .. 100);

    is scalar(grep { $_->status == 200 } @r), 100, 'a hundred at once';
    cmp_ok $redis->calls('getrange'), '<=', 2, 'ask once for each worker';
};


# From the moment at which Redis has it to the first refusal by each.

subtest 'a key is revoked' => sub {
    my @took;

    for my $round (1 .. 60) {
        put(key => 'bob', status => 'active') if $round % 2;
        $policy->store(sub { $redis->call(@_) }) if $round % 2 == 0;

        for my $nginx (@nginx) {
            wait_for { agent($nginx, 'bob', 'open')->status == 200 } 10,
                'the key to be good';
        }

        $round % 2 ? put(key => 'bob', status => 'revoked')
            : $redis->call(DEL => record(key => 'bob'));

        my $began = time;
        my %open = map { $_ => $nginx[$_] } 0 .. $#nginx;

        while (%open && time < $began + 10) {
            for my $n (keys %open) {
                next if agent($open{$n}, 'bob', 'open')->status != 401;
                delete $open{$n};
                push @took, 1000 * (time - $began);
            }
        }

        $policy->change(key => 'bob', status => 'active');
        last if @took < 3 * $round;
    }

    is scalar @took, 180, 'by each gateway, each time';

    @took = sort { $a <=> $b } @took;
    diag sprintf 'revoked at 3 gateways: p50 %.1f ms, p99 %.1f ms, max %.1f ms'
        . ', a request\'s time included', @took[90, 178, 179];

    $policy->store(sub { $redis->call(@_) });
    becomes { agent($_, 'bob', 'open')->status == 200 } 'good again'
        for @nginx;
};


subtest 'a limit is changed' => sub {
    put(agent => 'open', rpmLimit => 7);

    becomes { quota(start_run('open', key => 'bob', at => $_)) == 7 }
        'at each gateway' for @nginx;

    start_run('open', key => 'bob', at => $_) for (@nginx) x 2;
    problem_is(start_run('open', key => 'bob', at => $_), 429, 'rate_limited',
        'with what was counted before') for @nginx;

    put(agent => 'open', rpmLimit => 100_000);
    becomes { start_run('open', key => 'bob', at => $_)->status == 202 }
        'and back' for @nginx;
};


subtest 'a workspace is suspended' => sub {
    put(workspace => 'second', status => 'suspended');

    becomes { agent($_, 'carol', 'far')->status == 403 } 'at each gateway'
        for @nginx;
    problem_is(agent($nginx[0], 'carol', 'far'), 403, 'workspace_suspended',
        'which says so');
    is agent($nginx[0], 'bob', 'open')->status, 200, 'another is not';

    put(workspace => 'second', status => 'active');
    becomes { agent($_, 'carol', 'far')->status == 200 } 'and back'
        for @nginx;
};


subtest 'a trigger is deleted' => sub {
    $redis->call(DEL => record(agent => 'other'));

    becomes { agent($_, 'bob', 'other')->status == 403 } 'at each gateway'
        for @nginx;
    is agent($nginx[0], 'bob', 'open')->status, 200,
        'the key has other agents';

    put(agent => 'other');
    becomes { agent($_, 'bob', 'other')->status == 200 } 'and made again'
        for @nginx;
};


subtest 'a key is made' => sub {
    my $digest = $policy->digest('late');

    problem_is(agent($_, 'late', 'open'), 401, 'key_invalid', 'not yet')
        for (@nginx) x 2;

    $redis->call(SET => "phrony:key:$digest", encode_json({
        id => $policy->key_id('late'), sha256 => $digest,
        workspaceId => $policy->workspace('main'),
        scopes => [{triggerId => $policy->trigger('open')}]}));

    becomes { agent($_, 'late', 'open')->status == 200 } 'at each gateway'
        for @nginx;
};


subtest 'a record is broken' => sub {
    my $trigger = $policy->trigger('other');
    my $size = $nginx[0]->log_size;

    put(agent => 'other', rpmLimit => 'many');

    becomes { agent($_, 'bob', 'open')->status == 503 } 'at each gateway'
        for @nginx;
    problem_is(agent($nginx[0], 'bob', 'open'), 503, 'policy_invalid',
        'a key with this scope');
    like $nginx[0]->log_since($size), qr/\Q"phrony:trigger:$trigger" is not \E
        \Qvalid: trigger ("$trigger"): member "rpmLimit" is not a non-neg\E/x,
        'the log has the record and the member';

    is agent($nginx[0], 'carol', 'far')->status, 200, 'another key is good';
    is agent($nginx[0], 'late', 'open')->status, 200,
        'as is one without this scope';

    $redis->call(DEL => record(agent => 'other'));
    $redis->call(RPUSH => record(agent => 'other'), 'a list');
    becomes { $nginx[0]->log_since($size) =~ /it is not a string/
        || agent($nginx[0], 'bob', 'open')->status == 0 } 'nor is a list good';
    problem_is(agent($nginx[0], 'bob', 'open'), 503, 'policy_invalid',
        'one more time');

    $redis->call(SET => record(agent => 'other'), ' ' x 4_000_000);
    becomes { $nginx[0]->log_since($size) =~ /it is too large/
        || agent($nginx[0], 'bob', 'open')->status == 0 }
        'nor one of megabytes';
    is agent($nginx[0], 'carol', 'far')->status, 200,
        'which disturbs nobody else';

    put(agent => 'other', rpmLimit => 50);
    becomes { agent($_, 'bob', 'other')->status == 200 } 'until it is good'
        for @nginx;

    unlike $nginx[0]->log, qr/${\$policy->digest('bob')}/,
        'no digest is in the log';
};


subtest 'all is deleted' => sub {
    $redis->call('FLUSHALL');

    becomes { agent($_, 'bob', 'open')->status == 401 } 'at each gateway'
        for @nginx;

    $policy->store(sub { $redis->call(@_) });
    becomes { agent($_, 'bob', 'open')->status == 200 } 'and made again'
        for @nginx;
};


subtest 'the channel is lost' => sub {
    $redis->call(qw(CLIENT KILL TYPE pubsub));
    await_told(6);

    put(key => 'bob', status => 'revoked');
    becomes { agent($_, 'bob', 'open')->status == 401 } 'and is back'
        for @nginx;

    put(key => 'bob', status => 'active');
    becomes { agent($_, 'bob', 'open')->status == 200 } 'at each gateway'
        for @nginx;
};


# A user that may not be told.

subtest 'no channel' => sub {
    my $nginx = gateway(cache => '1s',
        url => $redis->url(user => 'quiet', password => 'q'));

    is agent($nginx, 'bob', 'open')->status, 200, 'a key';

    put(key => 'bob', status => 'revoked');
    is agent($nginx, 'bob', 'open')->status, 200, 'is good for its time';
    becomes { agent($nginx, 'bob', 'open')->status == 401 } 'and no longer';

    put(key => 'bob', status => 'active');
    becomes { agent($nginx, 'bob', 'open')->status == 200 } 'or shorter';
};


subtest 'Redis is away' => sub {
    my $brief = gateway(cache => '1s', stale => '3s');

    await_told(8);

    for my $nginx (@nginx, $brief) {
        await_store($nginx);
        is start_run('open', key => 'bob', at => $nginx)->status, 202,
            'a key that is known';
        is agent($nginx, 'nobody', 'open')->status, 401, 'and one that is not';
    }

    $redis->kill;
    await_store($_, 'local') for @nginx;

    for my $nginx (@nginx) {
        is start_run('open', key => 'bob', at => $nginx)->status, 202,
            'is good';
        problem_is(agent($nginx, 'key9', 'open'), 503, 'policy_unavailable',
            'another one is not');
        problem_is(agent($nginx, 'nobody', 'open'), 401, 'key_invalid',
            'what was not there is not');
    }

    $nginx[0]->reload;
    is start_run('open', key => 'bob', at => $nginx[0])->status, 202,
        'good for new workers, too';

    becomes { agent($brief, 'bob', 'open')->status == 503 } 'for its time';
    problem_is(agent($brief, 'bob', 'open'), 503, 'policy_unavailable',
        'and no longer');

    $redis->start;

    becomes { agent($_, 'key9', 'open')->status == 200 } 'until it is back'
        for @nginx, $brief;
    await_told(8);

    put(key => 'bob', status => 'revoked');
    becomes { agent($_, 'bob', 'open')->status == 401 } 'and tells'
        for @nginx, $brief;
};


allow_log(qr/phrony policy record/);
done_testing();
