#!/usr/bin/perl

# phronyctl and a gateway that has its policy from the same Redis: what is done
# by the one acts on the other, and what the one tells the other has counted.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;
use Phrony::Fleet;
use Phrony::Ctl;

use Digest::SHA qw(sha256_hex);

my $up = stand_in();

my $policy = policy(
    agents => {
        alpha => {rpmLimit => 3, rpdLimit => 100, maxConcurrentRuns => 10,
            ipWhitelist => ['127.0.0.0/8'], maxInputTokens => 100},
        beta  => {maxConcurrentRuns => 2, readRpmLimit => 2},
        dup   => {},
        other => {workspace => 'second'},
        warm  => {rpdLimit => 1_000_000},
    },
    keys => {alice => {}, carol => {workspace => 'second'}},
);

my $redis = redis();

$policy->store(sub { $redis->call(@_) });

my $nginx = nginx(http => $SHOW, phrony => 'phrony_zone phrony:1m;'
    . ' phrony_policy redis; phrony_redis ' . $redis->url . ';');
my $ctl = Phrony::Ctl->new(dir => test_dir(), redis => $redis->url);
my %id = map { $_ => $policy->trigger($_) } qw(alpha beta dup other warm);

await_store($nginx);


sub agent_path { '/v1/agents/' . $policy->agent($_[0]) }


sub status_of {
    my ($key, $agent) = @_;

    return $nginx->client->req(GET => agent_path($agent), key => $key)
        ->status;
}


subtest 'a key' => sub {
    my $r = $ctl->run(qw(key create --agent), $policy->agent('warm'),
        '--trigger', $id{dup}, qw(--expires 30d --json));

    is $r->{code}, 0, 'is made' or diag $r->{err};

    my ($key, $id, $sha) = @{$r->{json}}{qw(key id sha256)};

    like $key, qr/\Aphk_[\w-]{43}\z/, 'of 32 random bytes';
    is $sha, sha256_hex($key), 'its hash';
    is $r->{json}{workspaceId}, $policy->workspace('main'),
        'the workspace is that of its triggers';

    my @all = map { $redis->call(GET => $_) } $redis->keys('phrony:key:*');

    is scalar(grep { /\Q$key\E/ } @all), 0, 'its text is not stored';
    is scalar(grep { /\Q$id\E/ } @all), 1, 'but a record';

    is status_of($key, 'warm'), 200, 'it is good at the gateway';
    is status_of($key, 'dup'), 200, 'for each of its scopes';
    is status_of($key, 'beta'), 403, 'and no other';

    my $shown = $ctl->run(qw(key show), $id);

    like $shown->{out}, qr/^status +active$/m, 'it is shown';
    unlike $shown->{out}, qr/\Q$key\E/, 'without its text';

    my $rotated = $ctl->run(qw(key rotate), $id, '--json');

    is $rotated->{code}, 0, 'it is exchanged' or diag $rotated->{err};
    isnt $rotated->{json}{key}, $key, 'for another';
    isnt $rotated->{json}{id}, $id, 'of another id';
    is status_of($rotated->{json}{key}, 'dup'), 200, 'which is good';
    becomes { status_of($key, 'warm') == 401 } 'and the old one is not';

    my $list = $ctl->run(qw(key list --json --status revoked))->{json};

    is_deeply [map { $_->{id} } @$list], [$id], 'it is listed as revoked';
    like $ctl->run(qw(key rotate), $id)->{err}, qr/is revoked/,
        'and not exchanged again';

    my $revoked = $ctl->run(qw(key revoke), $rotated->{json}{id});

    is $revoked->{code}, 0, 'the new one is revoked, too';
    becomes { status_of($rotated->{json}{key}, 'dup') == 401 }
        'and refused';
};


subtest 'a key with a time of grace' => sub {
    my $r = $ctl->run(qw(key create --json --trigger), $id{warm});
    my $new = $ctl->run(qw(key rotate --grace 1h --json), $r->{json}{id});

    is $new->{code}, 0, 'is exchanged' or diag $new->{err};

    my ($old) = grep { $_->{id} eq $r->{json}{id} }
        @{$ctl->run(qw(key list --json))->{json}};

    like $old->{expiresAt}, qr/\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\z/,
        'the old one expires';
    is $old->{status}, 'active', 'and is good until then';
    is status_of($r->{json}{key}, 'warm'), 200, 'at the gateway';

    my $later = $ctl->run(qw(key rotate --grace 2d --json), $r->{json}{id});
    my ($same) = grep { $_->{id} eq $r->{json}{id} }
        @{$ctl->run(qw(key list --json))->{json}};

    is $same->{expiresAt}, $old->{expiresAt}, 'it does not live longer later';
    is $later->{json}{expiresAt}, $old->{expiresAt},
        'nor does what it is exchanged for';
};


subtest 'a key of the upstream' => sub {
    my $file = write_file('key', "phk_from_phrony\n");
    my $r = $ctl->run(qw(key create --trigger), $id{warm}, '--key-file',
        $file);

    is $r->{code}, 0, 'is registered' or diag $r->{err};
    unlike $r->{out} . $r->{err}, qr/phk_from/, 'and not printed';
    is status_of('phk_from_phrony', 'warm'), 200, 'and good';

    is $ctl->run(qw(key create --key-file - --trigger), $id{warm},
        \"phk_from_phrony\n")->{code}, 1, 'but once';
    like $ctl->run(qw(key create --key-file - --trigger), $id{warm},
        \"sk_live_no")->{err}, qr/this is no key/, 'if it is one';

    my $out = test_dir() . '/new-key';
    $r = $ctl->run(qw(key create --trigger), $id{warm}, '--key-out', $out);

    is $r->{code}, 0, 'one is written to a file';
    unlike $r->{out} . $r->{err}, qr/phk_/, 'and not shown';
    is +(stat $out)[2] & 0777, 0600, 'for its owner';

    open my $in, '<', $out or die "$out: $!\n";
    is status_of(readline $in, 'warm'), 200, 'and good';

    my @before = $redis->keys('phrony:key:*');

    is $ctl->run(qw(key create --trigger), $id{warm}, '--key-out', $out)
        ->{code}, 1, 'a file that is there is left alone';
    is_deeply [$redis->keys('phrony:key:*')], \@before,
        'and no key is made';
};


subtest 'what no key may be' => sub {
    my @before = $redis->keys;

    for my $case (
        ['a trigger that is not there', 1, '--trigger',
            '00000000-0000-4000-8000-000000000000', qr/there is no phrony:tri/],
        ['an agent without one', 1, '--agent',
            '00000000-0000-4000-8000-000000000000', qr/no trigger is of/],
        ['a trigger of another workspace', 1, '--trigger', $id{other},
            '--workspace', $policy->workspace('main'),
            qr/member "triggerId" names trigger 1, of another workspace/],
        ['no workspace', 1, qr/member "workspaceId" is missing/],
        ['a workspace that is not there', 1, '--workspace',
            '00000000-0000-4000-8000-000000000000',
            qr/"workspaceId" names no workspace/],
        ['an id that is none', 2, '--id', 'x', qr/is not a UUID/],
        ['an id that another has', 1, '--id', $policy->key_id('alice'),
            '--trigger', $id{warm}, qr/there is a key of id/],
        ['a time that is none', 2, '--expires', 'soon', qr/--expires is nei/],
        ['a date that is over', 2, '--expires', '2020-01-01T00:00:00Z',
            qr/--expires is in the past/],
        ['a word', 2, $id{warm}, qr/key create; --help has the options$/],
    ) {
        my ($name, $code, @words) = @$case;
        my $text = pop @words;
        my $r = $ctl->run(qw(key create), @words);

        is $r->{code}, $code, $name;
        like $r->{err}, $text, 'is said';
    }

    is $ctl->run(qw(key create --dry-run --trigger), $id{warm})->{code}, 0,
        'a dry run';
    is_deeply [$redis->keys], \@before, 'nothing was written';
};


subtest 'a trigger' => sub {
    my $r = $ctl->run(qw(trigger set), $id{warm}, 'rpmLimit=1',
        'ipWhitelist=127.0.0.1,10.0.0.0/8', '--json');

    is $r->{code}, 0, 'is changed' or diag $r->{err};
    is $r->{json}{rpdLimit}, 1_000_000, 'what was not named stays';
    is_deeply $r->{json}{ipWhitelist}, ['127.0.0.1', '10.0.0.0/8'], 'a list';

    becomes { start_run('warm', key => 'alice')->status == 429 }
        'acts at the gateway';

    is $ctl->run(qw(trigger set), $id{warm}, 'rpmLimit=none',
        'ipWhitelist=none')->{code}, 0, 'and back';
    becomes { start_run('warm', key => 'alice')->status == 202 }
        'at the gateway';

    for my $bad (['rpmLimit=many', 2], ['rpmLimit=-1', 1], ['rpm=1', 2],
        ['active=1', 2], ['ipWhitelist=10.0.0.1/8', 1], ['rpmLimit', 2],
        ['workspaceId=' . $policy->agent('warm'), 1],
        ['agentId=' . $policy->agent('beta'), 1])
    {
        is $ctl->run(qw(trigger set), $id{warm}, $bad->[0])->{code},
            $bad->[1], "$bad->[0] is refused";
    }

    my $new = '12345678-0000-4000-8000-00000000000A';

    is $ctl->run(qw(trigger set), $new, 'rpmLimit=1')->{code}, 1,
        'a new one needs an agent';
    is $ctl->run(qw(trigger set), $new, "agentId=$new", 'workspaceId='
        . $policy->workspace('main'))->{code}, 0, 'and is made with it';
    ok $redis->call(EXISTS => 'phrony:trigger:' . lc $new), 'in lower case';
    is scalar @{$ctl->run(qw(trigger list --json))->{json}}, 6, 'a list';
    like $ctl->run(qw(trigger show), $id{alpha})->{out}, qr/^rpmLimit +3$/m,
        'one is shown';
    is $ctl->run(qw(trigger show), $policy->agent('beta'))->{code}, 1,
        'one that is not there is not';
};


subtest 'a workspace' => sub {
    my $second = $policy->workspace('second');
    my $carol = $policy->key('carol');

    is $ctl->run(qw(workspace suspend), $second)->{code}, 0, 'is suspended';
    becomes { status_of($carol, 'other') == 403 } 'at the gateway';
    is_deeply [map { $_->{status} } grep { $_->{id} eq $second }
        @{$ctl->run(qw(workspace list --json))->{json}}], ['suspended'],
        'and listed so';
    is $ctl->run(qw(workspace resume), $second)->{code}, 0, 'and resumed';
    becomes { status_of($carol, 'other') == 200 } 'at the gateway';
    is $ctl->run(qw(workspace suspend), $id{alpha})->{code}, 1,
        'one that is not there is not';
    is $ctl->run(qw(workspace create), $id{alpha})->{code}, 0, 'it is made';
    is $ctl->run(qw(workspace create), $id{alpha})->{code}, 1, 'once';
};


# What explain says and what the gateway does are the same, step by step.

subtest 'what would be decided' => sub {
    my $alice = write_file('alice', $policy->key('alice'));
    my $alpha = agent_path('alpha') . '/runs';

    for my $case (
        [GET => '/v1/other', 'route_unknown'],
        [GET => '/v1/agents/../x', 'path_not_canonical'],
        [DELETE => $alpha, 'method_not_allowed'],
        [POST => $alpha, 'key_missing', key => undef],
        [POST => $alpha, 'key_malformed', key => 'abc'],
        [POST => $alpha, 'key_invalid', key => 'phk_nobody'],
        [POST => agent_path('other') . '/runs', 'agent_out_of_scope'],
        [POST => '/v1/file-library/presign', 'uploads_not_allowed'],
        [POST => $alpha, 'content_type', body => '{}', type => 'text/plain'],
        [POST => $alpha, 'body_invalid', body => '{"input": 1}'],
        [POST => $alpha, 'body_invalid', body => '{'],
        [POST => $alpha, 'input_too_large', body => '{"input": {"a": "'
            . 'x' x 400 . '"}}'],
        [POST => $alpha, 'delivery_id_invalid', body => '{}', id => '"a'],
        [POST => $alpha, undef, body => '{}'],
        [GET => agent_path('alpha'), undef],
        [GET => agent_path('alpha') . '/sessions?take=1', undef],
    ) {
        my ($method, $path, $reason, %opt) = @$case;
        my $key = exists $opt{key} ? $opt{key} : $policy->key('alice');
        my @words = (explain => $method, $path, '--address', '127.0.0.1',
            defined $key ? ('--key-file', write_file('k', $key)) : (),
            defined $opt{body} ? ('--body-file', write_file('b', $opt{body}))
                : (),
            $opt{type} ? ('--content-type', $opt{type}) : (),
            $opt{id} ? ('--header', "Idempotency-Key: $opt{id}") : ());
        my $r = $ctl->run(@words, '--json');
        my $name = "$method " . ($reason // 'goes through');

        is $r->{json}{reason}, $reason, $name or diag $r->{out}, $r->{err};
        is $r->{code}, $reason ? 1 : 0, 'so says the exit code';

        my $answer = $nginx->client->req($method => $path,
            defined $key ? (key => $key) : (),
            defined $opt{body} ? (body => $opt{body}) : (),
            $opt{type} ? (type => $opt{type}) : (),
            $opt{id} ? (headers => ['Idempotency-Key' => $opt{id}]) : ());

        is $answer->header('X-Reason') || undef, $reason, 'and the gateway';
        is $answer->status, $r->{json}{status}, 'with this status'
            if $reason;
    }

    # one start of alpha was counted above, by the gateway

    my $usage = $ctl->run('usage', $id{alpha}, '--json')->{json}[0];

    is $usage->{rpm}{used}, 1, 'explain counts nothing';
    start_run('alpha', key => 'alice') for 1 .. 2;

    my $refused = start_run('alpha', key => 'alice');
    my $r = $ctl->run(explain => POST => $alpha, '--key-file', $alice,
        qw(--address 127.0.0.1 --json));

    is $refused->status, 429, 'the fourth start is refused';
    is $r->{json}{reason}, 'rate_limited', 'which is known';
    cmp_ok abs($r->{json}{retryAfter} - $refused->header('Retry-After')),
        '<=', 1, 'and for how long';

    $r = $ctl->run(explain => POST => $alpha, '--key-file', $alice,
        qw(--address 192.0.2.1 --json));
    is $r->{json}{reason}, 'address_not_allowed', 'an address';

    $r = $ctl->run(explain => POST => $alpha, '--key-file', $alice, '--json');
    is $r->{json}{reason}, 'rate_limited', 'none that is known';
    is scalar(grep { $_->{verdict} eq 'unknown' } @{$r->{json}{steps}}), 1,
        'is said';

    $r = $ctl->run(explain => POST => $alpha, '--key-id',
        $policy->key_id('alice'), qw(--address 127.0.0.1));
    like $r->{out}, qr/^refused: 429 rate_limited/m, 'by the id of a key';
};


subtest 'a delivery' => sub {
    my $path = agent_path('dup') . '/runs';
    my @of = (explain => POST => $path, '--key-id', $policy->key_id('alice'),
        qw(--delivery-id d1 --json));
    my $body = '{"input":{"text":"hello"}}';
    my @same = ('--body-file', write_file('b', $body));

    is $ctl->run(@of, @same)->{json}{decision}, 'admitted', 'is new';

    my $start = sub { $nginx->client->req(POST => $path, key =>
        $policy->key('alice'), body => $body, headers =>
        ['Idempotency-Key', 'd1'], @_) };

    is $start->()->status, 202, 'it is made';
    becomes { $ctl->run(@of, @same)->{json}{decision} eq 'replayed' }
        'its answer would be sent again';
    is $start->()->header('Idempotent-Replayed'), 'true', 'as it is';
    is $ctl->run(@of)->{json}{reason}, 'delivery_mismatch', 'another body';
    is $ctl->run(@of, qw(--duplicates annotate))->{json}{decision},
        'admitted', 'another mode';
    is $ctl->run(@of, qw(--duplicates some))->{code}, 2, 'or none';

    my @none = grep { !/^(?:--delivery-id|d1)$/ } @of;

    is $ctl->run(@none, @same, $_, '0')->{code}, 2, "$_ 0"
        for qw(--max-body --bytes-per-token --duplicates);
    is_deeply $ctl->run(@none, @same, qw(--max-body x))->{json},
        {error => '--max-body is not a number of 1 to 9223372036854775807'},
        'one document says so';
    is $ctl->run(@none, '--header', 'X-API-Key: phk_x')->{code}, 2,
        'a key is no argument';

    # as a location with "phrony_duplicates off" does it

    my $off = nginx(http => $SHOW, phrony => 'phrony_zone phrony:1m;'
        . ' phrony_policy redis; phrony_duplicates off; phrony_redis '
        . $redis->url . ';');
    my @broken = (headers => ['Idempotency-Key', '"d']);

    is $off->client->req(POST => $path, key => $policy->key('alice'),
        body => $body, @broken)->status, 202, 'nobody looks at an id';
    is $ctl->run(@none, @same, qw(--duplicates off --header),
        'Idempotency-Key: "d')->{json}{decision}, 'admitted', 'if that is off';
};


# What is in a record is not what a terminal obeys.

subtest 'control characters' => sub {
    my $id = $id{warm};
    my $evil = "\x1b]0;x\x07\x{9b}31m\x7f";
    my $kid = '99999999-0000-4000-8000-000000000001';
    my $key = 'phrony:key:' . 'e' x 64;
    my $trigger = "phrony:trigger:$kid";

    $redis->call(SET => $key, encode_json({id => $kid, sha256 => $evil,
        status => $evil, expiresAt => $evil, workspaceId => $evil, scopes =>
        [{agentId => $evil, triggerId => $evil}]}));
    $redis->call(SET => $trigger, encode_json({id => $evil, agentId => $evil,
        ipWhitelist => [$evil]}));

    for my $words ([qw(key show), $kid], [qw(key show --json), $kid],
        [qw(key list)], [qw(key list --json)], [qw(trigger show), $kid],
        [qw(trigger list --json)], [qw(trigger set), $kid, 'rpmLimit=1'],
        [qw(key rotate), $kid])
    {
        my $r = $ctl->run(@$words);

        unlike $r->{out} . $r->{err}, qr/[\x00-\x09\x0b-\x1f]|[\x80-\xff]/,
            "@$words[0, 1]";
        like $r->{out} . $r->{err}, qr/x1b|u001B|\?|is not/i, 'it is told';
    }

    is $ctl->run(qw(key revoke), $kid)->{code}, 0, 'a broken key';
    is decode_json($redis->call(GET => $key))->{status}, 'revoked',
        'can be revoked';

    $redis->call(DEL => $key, $trigger);
};


subtest 'runs and slots' => sub {
    my @runs = map { start_run('beta', key => 'alice')->json->{runId} } 1, 2;

    becomes { 2 == grep { $_->{state} eq 'run' }
        @{$ctl->run('runs', $id{beta}, '--json')->{json}} } 'are there';

    my $list = $ctl->run('runs', $id{beta}, '--json')->{json};

    is_deeply [sort map { $_->{id} } @$list], [sort @runs], 'by their ids';
    is $list->[0]{agent}, $policy->agent('beta'), 'whose they are';
    cmp_ok $list->[0]{seenMsAgo}, '<', 60_000, 'when they were seen';

    my $usage = $ctl->run('usage', '--json')->{json};
    my %of = map { $_->{trigger} => $_ } @$usage;

    is $of{$id{beta}}{runs}{used}, 2, 'slots that are held';
    ok $of{$id{beta}}{runs}{refuses}, 'no more would be given';
    is $of{$id{beta}}{rpm}{used}, 2, 'starts are told without a limit';
    is $usage->[0]{fill}, 1, 'the fullest comes first';
    is $ctl->run(explain => POST => agent_path('beta') . '/runs', '--key-id',
        $policy->key_id('alice'), '--json')->{json}{reason},
        'concurrency_limited', 'and explained';

    my @poll = (explain => GET => "/v1/runs/$runs[0]", '--json', '--key-id');

    is $ctl->run(@poll, $policy->key_id('alice'))->{json}{decision},
        'passed', 'whose run it is';
    is $ctl->run(@poll, $policy->key_id('carol'))->{json}{reason},
        'run_out_of_scope', 'and is not';

    is poll($runs[0], key => 'alice',
        stand_in => {set => {status => 'Completed'}})->status, 200, 'a read';
    becomes { $ctl->run('usage', $id{beta}, '--json')->{json}[0]{runs}{used}
        == 1 } 'a run that has ended holds no slot';
    is_deeply [map { $_->{id} } @{$ctl->run('runs', $id{beta}, '--json')
        ->{json}}], [$runs[1]], 'and is not listed';
    is poll($runs[1], key => 'alice')->status, 200, 'and one more';
    is $ctl->run(@poll, $policy->key_id('alice'))->{json}{reason},
        'rate_limited', 'are counted';
    is poll($runs[1], key => 'alice')->status, 429, 'by the gateway, too';

    my $top = $ctl->run(qw(top --count 2 --interval 10ms --limit 1 --json));

    is scalar(() = $top->{out} =~ /^\[\{.*\}\]$/gm), 2, 'top looks twice';
    like $ctl->run(qw(top --count 1))->{out}, qr/\Q$id{beta}\E +2 /,
        'or prints a table';
};


subtest 'the command line' => sub {
    for my $case ([], ['nothing'], ['key'], [qw(key list more)],
        [qw(key show)], [qw(key list --nothing)], [qw(key list --workspace)],
        [qw(key list --json=1)], [qw(key list --color red)],
        [qw(usage --timeout 5x)], [qw(key list --prefix a*)],
        [qw(key list --redis http://localhost)],
        [qw(key list --redis rediss://localhost)],
        [qw(key list --config /nonexistent)])
    {
        is $ctl->run(@$case)->{code}, 2, "phronyctl @$case";
    }

    is $ctl->run('--help')->{code}, 0, 'help';
    like $ctl->run(qw(key create --help))->{out}, qr/--key-file FILE/,
        'of a command';
    like $ctl->run(qw(key list --color always))->{out}, qr/\e\[32mactive *\e/,
        'colours';
    unlike $ctl->run(qw(key list))->{out}, qr/\e/, 'none in a file';
    is $ctl->run(qw(key show --json), $id{alpha})->{json}{error},
        "there is no key of id $id{alpha}", 'an error as JSON';

    like $ctl->run(@$_, '--json')->{json}{error}, qr/./, "@$_ --json"
        for ['nothing'], [qw(key show)], [qw(key list --nothing)];

    my ($full, $said) = (Phrony::Ctl::binary() . ' key list --redis '
        . $redis->url . ' 2>&1 >/dev/full');

    $said = `$full`;
    is $? >> 8, 1, 'a disk that is full';
    like $said, qr/the output could not be written/, 'is told';

    my $config = write_file('ctl.conf', "# where\nredis "
        . $redis->url . "\njson\n");

    local $ctl->{redis};
    is $ctl->run(qw(key list))->{code}, 2, 'no Redis';
    is ref $ctl->run(qw(key list --config), $config)->{json}, 'ARRAY',
        'a file says where';
};

done_testing();
