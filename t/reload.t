#!/usr/bin/perl

# Counts and leases outlive configurations and workers; limits are those of
# the newest policy; a broken one changes nothing.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;

my $up = stand_in();

my $policy = policy(
    agents => {
        rate   => {rpmLimit => 5},
        runs   => {maxConcurrentRuns => 2},
        edited => {rpmLimit => 4, maxConcurrentRuns => 10},
        added  => {},
        reads  => {readRpmLimit => 3},
        beta   => {},
    },
    keys => {alice => {}, bob => {agents => ['beta']}},
);

my %gateway = (
    location => 'location = /status { phrony_status; }',
    http     => 'phrony_reservation_ttl 30s;',
    usr2     => 1,
);

my $nginx = nginx(%gateway);

sub start { start_run(shift, key => 'alice', @_) }


# What nginx counts, without the time at which it was asked.

sub status {
    my $figures = req(GET => '/status')->json;

    delete $figures->{now} or die 'no time';

    return $figures;
}


sub path { '/v1/agents/' . $policy->agent($_[0]) . ($_[1] // '/runs') }


sub remaining {
    my ($r, $name) = @_;

    return ($r->header('RateLimit') // '') =~ /"$name";r=(\d+)/ ? $1 : undef;
}


# A start whose answer comes later; returns its connection.

sub start_slowly {
    my ($agent, %asked) = @_;

    my $seen = $up->state->{requests};
    my $connection = $nginx->client->open_connection;

    $connection->send($nginx->client->request_bytes(POST => path($agent),
        key => $policy->key('alice'), json => {}, stand_in => \%asked));
    wait_for { $up->state->{requests} > $seen } 10, 'the request';

    return $connection;
}


subtest 'a reload' => sub {
    my @runs = map { start('runs')->json->{runId} } 1 .. 2;

    start('rate') for 1 .. 2;
    req(GET => path('reads', ''), key => $policy->key('alice'));

    my $before = status();
    ok $nginx->reload, 'reloaded';

    is_deeply status(), $before, 'the figures are as before';
    is remaining(start('rate'), 'rpm'), 2, 'counts stand';
    is remaining(req(GET => path('reads', ''), key => $policy->key('alice')),
        'reads'), 1, 'of reads too';
    is start('runs')->status, 429, 'leases stand';
    is poll($runs[0], key => 'bob')->status, 403, 'runs are known';

    poll($runs[0], key => 'alice', stand_in => {set => {status => 'Failed'}});
    is_deeply [map { start('runs')->status } 1 .. 2], [202, 429],
        'and their ends are seen';
};


subtest 'workers that are replaced' => sub {
    for my $signal (qw(KILL TERM)) {
        $nginx->kill_worker($_, $signal) for $nginx->workers;
    }

    is remaining(start('rate'), 'rpm'), 1, 'counts stand';
    is start('runs')->status, 429, 'leases stand';
};


subtest 'limits that are edited' => sub {
    my $edit = sub {
        my ($agent, %members) = @_;
        $policy->change(agent => $agent, %members);
        $nginx->reload or die "not reloaded\n";
    };

    start('edited') for 1 .. 3;
    start('added') for 1 .. 3;

    $edit->('edited', rpmLimit => 6);
    is remaining(start('edited'), 'rpm'), 2, 'raised: four are counted';

    $edit->('edited', rpmLimit => 2);
    my $r = start('edited');
    problem_is($r, 429, 'rate_limited', 'lowered below the count');
    is remaining($r, 'rpm'), 0, 'nothing remains';
    cmp_ok $r->header('Retry-After'), '<=', 62, 'for a minute at most';

    $edit->('edited', rpmLimit => 0);
    $r = start('edited');
    is_deeply [$r->status, $r->header('Retry-After')], [429, undef], 'to 0';

    $edit->('edited', rpmLimit => undef, maxConcurrentRuns => 5);
    $r = start('edited');
    is_deeply [$r->status, remaining($r, 'rpm'), remaining($r, 'runs')],
        [202, undef, 0], 'removed; five runs are unfinished';
    is start('edited')->status, 429, 'which is the new limit';

    $edit->('edited', rpmLimit => 10, maxConcurrentRuns => 50);
    is remaining(start('edited'), 'rpm'), 4, 'added: all six are counted';

    $edit->('added', rpmLimit => 4, rpdLimit => 100, maxConcurrentRuns => 4);
    $r = start('added');
    is_deeply [map { remaining($r, $_) } qw(rpm rpd runs)], [0, 96, 0],
        'added to a trigger that had none';

    $edit->('added', active => Mojo::JSON::false);
    problem_is(start('added'), 403, 'trigger_inactive', 'inactive');
    $policy->change(key => 'bob', status => 'revoked');
    $nginx->reload;
    problem_is(start_run('beta', key => 'bob'), 401, 'key_invalid', 'revoked');
    $policy->change(key => 'bob', status => 'active');
};


subtest 'a broken policy' => sub {
    allow_log(qr/\[emerg\].*policy file/);

    my $good = encode_json($policy->data);
    my $trigger = $policy->trigger('rate');

    (my $bad = $good) =~ s/("rpmLimit":)5/$1"5"/ or die 'no rpmLimit';

    for (['a wrong type', $bad, qr/rpmLimit/], ['half of it',
        substr($good, 0, 400), qr/policy file/], ['nothing', '', qr/policy/])
    {
        my ($name, $text, $pattern) = @$_;
        my $mark = $nginx->log_size;
        my $before = status();

        $policy->write($text);
        ok !$nginx->reload, "$name is not taken";
        like $nginx->log_since($mark), qr/\[emerg\].*\Q${\$policy->path}\E/,
            'the file is named';
        like $nginx->log_since($mark), $pattern, 'and what is wrong';
        is_deeply status(), $before, 'the old configuration serves';
    }

    $policy->write($bad);
    my $mark = $nginx->log_size;
    $nginx->reload;
    like $nginx->log_since($mark), qr/trigger.*\Q$trigger\E.*rpmLimit|rpmLimit.*trigger.*\Q$trigger\E/i,
        'the record and the member';

    unlink $policy->path;
    ok !$nginx->reload, 'no file';
    is start('rate')->status, 202, 'the last that the old limit admits';
    is start('rate')->status, 429, 'and its counts';

    $policy->write;
    ok $nginx->reload, 'mended';
    is start('rate')->status, 429, 'the counts stand';
};


subtest 'requests in flight' => sub {
    my $id = '0b1c2d3e-0000-4000-8000-00000000000c';
    my $connection = start_slowly('beta', run => $id, delay => 1.5);
    my $held = start_slowly('edited', delay => 1.5, status => 400);
    my $leases = status()->{store}{leases};

    ok $nginx->reload, 'reloaded meanwhile';
    is $connection->response->json->{runId}, $id, 'the old worker answers';
    is $held->response->status, 400, 'and another';
    is status()->{store}{leases}, $leases - 1,
        'the one is bound, the other is given back';
    is_deeply [map { poll($id, key => $_)->status } qw(alice bob)],
        [200, 200], 'known to the new workers';
};


subtest 'another size of the zone' => sub {
    my $mark = $nginx->log_size;

    $nginx->configure(zone => '8m');
    ok $nginx->reload, 'reloaded';
    like $nginx->log_since($mark),
        qr/\[notice\].*zone "phrony" changes its size from 4194304 to 8388608/,
        'is told at notice';
    is remaining(start('rate'), 'rpm'), 4, 'counts start anew';
    is start('runs')->status, 202, 'and leases';
    is status()->{store}{size}, 8388608, 'the size';

    $mark = $nginx->log_size;
    ok $nginx->reload, 'the same size again';
    unlike $nginx->log_since($mark), qr/changes its size/, 'is not told';
    is remaining(start('rate'), 'rpm'), 3, 'and counts stand';
};


subtest 'another binary' => sub {
    is $nginx->upgrade, 0, 'the old master ends with 0';
    is remaining(start('rate'), 'rpm'), 4, 'zones are fresh';
    ok $nginx->reload, 'a reload of the new one';
    is remaining(start('rate'), 'rpm'), 3, 'counts stand';
};


subtest 'a graceful end' => sub {
    my @slow = map { start_slowly('beta', delay => 1) } 1 .. 5;

    is $nginx->quit, 0, 'the exit code';
    is_deeply [map { $_->response->status } @slow], [(202) x 5],
        'every request was answered';
};


done_testing();
