#!/usr/bin/perl

# phronyctl check, import, export and manifests: from file to Redis and back
# nothing is lost, what is the same is not written, what is wrong is not begun.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;
use Phrony::Ctl;

my $policy = policy(
    agents => {map { ("agent$_" => {rpmLimit => $_}) } 1 .. 30},
    keys   => {map { ("key$_" => {agents => ["agent" . ($_ % 30 + 1)]}) }
        1 .. 700},
);
my $redis = redis();
my $ctl = Phrony::Ctl->new(dir => test_dir(), redis => $redis->url);
my $file = $policy->path;


sub same_policy {
    my ($text, $name) = @_;

    my ($got, $want) = map { my $all = $_; +{map { my $list = $_;
        ($list => [sort { $a->{id} cmp $b->{id} } @{$all->{$list}}]) }
        keys %$all} } decode_json($text), $policy->data;

    is_deeply $got, $want, $name;
}


sub slurp {
    my ($path) = @_;

    open my $in, '<', $path or die "$path: $!\n";
    local $/;

    return readline $in;
}


subtest 'check' => sub {
    my $r = $ctl->run('check', $file);

    is $r->{code}, 0, 'a file';
    like $r->{out}, qr/1 workspaces, 30 triggers, 700 keys/, 'what is in it';
    is $ctl->run('check', '-', \slurp($file))->{code}, 0,
        'the standard input';

    my $bad = write_file('bad.json', <<'END');
{ "workspaces": [],
  "keys": [],
  "triggers": [
    { "id": "x" } ] }
END

    $r = $ctl->run('check', $bad, '--json');
    is $r->{code}, 1, 'one that is wrong';
    is $r->{err}, "phronyctl: $bad:4: trigger 1 (\"x\"): member \"id\" is not"
        . " a UUID\n", 'where, and why';
    like $r->{json}{error}, qr/is not a UUID/, 'as JSON, too';
    is $ctl->run('check', '/nonexistent')->{code}, 1, 'none';

    $r = $ctl->run('import', $bad);
    is $r->{code}, 1, 'it is not imported';
    is_deeply [$redis->keys], [], 'nothing of it';
};


subtest 'import' => sub {
    my $r = $ctl->run('import', $file, '--dry-run', '--json');

    is_deeply [@{$r->{json}}{qw(created changed unchanged deleted)}],
        [731, 0, 0, 0], 'a dry run';
    is_deeply [$redis->keys], [], 'nothing is written';

    $r = $ctl->run('import', $file, '--progress', 'always');
    is $r->{out}, "731 created, 0 changed, 0 unchanged, 0 deleted\n",
        'all' or diag $r->{err};
    like $r->{err}, qr/\[#{24}\] 731\/731/, 'a bar goes to the end';
    is scalar(my @keys = $redis->keys), 731, 'it is there';

    $r = $ctl->run('import', $file);
    is $r->{err}, '', 'no bar where no terminal is';
    is $r->{out}, "0 created, 0 changed, 731 unchanged, 0 deleted\n",
        'once more';
    $redis->reset_calls;
    $ctl->run('import', $file);
    is $redis->calls($_), 0, "what is the same is not written: $_"
        for qw(set eval);

    $policy->change(agent => 'agent3', rpmLimit => 1000);
    $redis->call(SET => 'phrony:trigger:' . $policy->agent('agent1'), '{}');
    $redis->call(SET => 'phrony:key:' . 'a' x 64, '{"id": "x"}');
    $redis->call(SET => 'phrony:workspace:' . $policy->agent($_), '{}')
        for qw(agent1 agent2 agent3);
    $redis->call(SET => 'phrony:trigger:' . $policy->trigger('agent4'),
        'no JSON');

    $r = $ctl->run('import', $file, qw(--prune --dry-run));
    like $r->{out}, qr/^would change phrony:trigger:\Q${\$policy->trigger(
        'agent3')}\E$/m, 'what would be changed';
    like $r->{out}, qr/^  rpmLimit +3 -> 1000$/m, 'in what';
    like $r->{out}, qr/^would delete phrony:key:a{64}$/m, 'and deleted';
    is $redis->call(EXISTS => 'phrony:key:' . 'a' x 64), 1, 'but was not';

    $r = $ctl->run('import', $file);
    like $r->{out}, qr/2 changed, 729 unchanged, 0 deleted/,
        'others stay by default';
    $r = $ctl->run('import', $file, '--prune');
    like $r->{out}, qr/731 unchanged, 5 deleted/, 'or go';
    is scalar(@keys = $redis->keys), 731, 'so that it is all';
};


# What was closed after the file was written stays so.

subtest 'a key that was revoked' => sub {
    my ($revoked, $rotated) = map { $policy->key_id($_) } qw(key1 key2);
    my ($space, $trigger) = ($policy->workspace('main'),
        $policy->trigger('agent9'));
    my $left = sub { grep { /\A(?:revoked|suspended|\d{4}-.*)\z/ }
        map { my $record = decode_json($redis->call(GET => $_));
            ($record->{status} // '', $record->{expiresAt} // '',
            exists $record->{active} && !$record->{active}
                ? 'suspended' : '') } $redis->keys };

    $ctl->run(@$_) for [qw(key revoke), $revoked],
        [qw(key rotate --grace 1h --key-out), test_dir() . '/k', $rotated],
        [qw(workspace suspend), $space],
        [qw(trigger set), $trigger, 'active=false'];
    is scalar(my @closed = $left->()), 4, 'and others that are closed';

    for my $dry ([], ['--dry-run']) {
        my $r = $ctl->run('import', $file, @$dry);

        is $r->{code}, 1, "is told: @$dry";
        like $r->{out}, qr/ 4 left closed; --reopen/, 'how many there are';
        is scalar(my @lines = $r->{err} =~ /phrony:\S+ is closed in Redis/g),
            3, 'which they are';
        like $r->{err}, qr/phrony:key:\S+ expires sooner/, 'and how';
        is scalar(@closed = $left->()), 4, 'they stay';
    }

    my $json = $ctl->run('import', $file, '--json')->{json};
    is_deeply [@$json{qw(changed kept)}], [0, 4], 'as JSON';

    my $r = $ctl->run('import', $file, qw(--reopen --prune));
    is $r->{code}, 0, 'but if that is asked for' or diag $r->{err};
    like $r->{out}, qr/ 4 changed, 727 unchanged, 1 deleted$/, 'all of it';
    is scalar(@closed = $left->()), 0, 'they are open';
};


subtest 'export' => sub {
    my $to = test_dir() . '/out.json';

    same_policy($ctl->run('export')->{out}, 'what came in goes out');

    is $ctl->run('export', $to)->{code}, 0, 'to a file';
    same_policy(slurp($to), 'likewise');
    is $ctl->run('check', $to)->{code}, 0, 'which is valid';
    is $ctl->run('export', $to)->{code}, 1, 'not over one that is there';
    is $ctl->run('export', $to, '--force')->{code}, 0, 'but by force';
    is_deeply [glob "$to.*"], [], 'nothing is left beside it';
    is +(stat $to)[2] & 0777, 0600, 'it is for its owner';
    chmod 0640, $to;
    is $ctl->run('export', $to, '--force')->{code}, 0, 'once more';
    is +(stat $to)[2] & 0777, 0640, 'or as it was';

    my $id = $policy->trigger('agent5');
    my $key = "phrony:trigger:$id";
    my $text = $redis->call(GET => $key);

    $redis->call(DEL => $key);

    my $r = $ctl->run('export', $to, '--force');

    is $r->{code}, 1, 'records that are no policy together';
    like $r->{err}, qr/"triggerId" names no trigger/, 'are told';
    $redis->call(SET => $key, 'broken');

    for my $words (['export'], ['export', $to, '--force']) {
        $r = $ctl->run(@$words, '--quiet');
        is $r->{code}, 1, 'a record that is none is left out';
        like $r->{err}, qr/no JSON objects, and were left out: 1/, 'and told';
    }

    $redis->call(SET => $key, $text);
};


my $MANIFEST = <<'END';
kind: phrony.manifest
version: 1
agents:
  - &a { manifestKey: one, name: One, executionMode: request,
         llmProviderName: x }
triggers:
  - { agentManifestKey: one, name: t, type: scheduled, cronExpression: "x",
      timezone: UTC }
  - agentManifestKey: one
    name: the door
    type: api
    rpmLimit: 12
    maxConcurrentRuns: 3
    ipWhitelist: [10.0.0.0/8, "2001:db8::/32"]
    exposeStepTimelineToApi: true
END


subtest 'a manifest' => sub {
    my $manifest = write_file('m.yaml', $MANIFEST);
    my ($agent, $trigger) = map { $policy->$_('agent7') } qw(agent trigger);
    my $get = sub { decode_json($redis->call(GET =>
        'phrony:trigger:' . ($_[0] // $trigger))) };

    $ctl->run(qw(trigger set), $trigger, 'rpdLimit=5', 'readRpmLimit=9');

    my $r = $ctl->run('import-manifest', $manifest);
    is $r->{code}, 1, 'names no agent';
    like $r->{err}, qr/line 9: which agent is it\? --agent 'one=/, 'is said';

    my @one = ('import-manifest', $manifest, '--agent', "one=$agent");

    $r = $ctl->run(@one, '--dry-run');
    is $r->{code}, 0, 'a dry run' or diag $r->{err};
    like $r->{out}, qr/^  rpmLimit +7 -> 12$/m, 'a limit';
    like $r->{out}, qr/^  rpdLimit +5 -> none$/m, 'one that is gone';
    is $get->()->{rpmLimit}, 7, 'nothing is written';

    is $ctl->run(@one)->{code}, 0, 'it is taken';

    my $record = $get->();

    is_deeply [@$record{qw(rpmLimit maxConcurrentRuns readRpmLimit)}],
        [12, 3, 9], 'limits, and what a manifest does not know';
    is_deeply $record->{ipWhitelist}, ['10.0.0.0/8', '2001:db8::/32'],
        'addresses';
    ok !exists $record->{rpdLimit}, 'what it does not have is no limit';

    my ($new, $other) = map { "1234567$_-0000-4000-8000-000000000000" } 1, 2;
    my @new = ('import-manifest', $manifest, '--agent');

    is $ctl->run(@new, "one=$other")->{code}, 1, 'a new one needs an id';
    is $ctl->run(@new, "one=$other/$new")->{code}, 1, 'and a workspace';
    is $ctl->run(@new, "one=$other/$new", '--workspace',
        $policy->workspace('main'))->{code}, 0, 'and is made';
    is $get->($new)->{agentId}, $other, 'with them';
    is $ctl->run(@new, "one=$agent/$other")->{code}, 1,
        'an agent has one trigger';

    for my $case (
        ['kind: other', qr/line 1: "kind" is not phrony.manifest/],
        ["kind: phrony.manifest\nversion: 2", qr/line 2: "version" is not 1/],
        ["kind: phrony.manifest.index\nversion: 1", qr/this is an index/],
        ['[', qr/not valid YAML/], ['', qr/there is no document/],
        [$MANIFEST =~ s/12/"12"/r, qr/line 12: "rpmLimit" is not a number/],
        [$MANIFEST =~ s/12/-1/r, qr/"rpmLimit" is not a number/],
        [$MANIFEST =~ s/12/1e3/r, qr/"rpmLimit" is not a number/],
        [$MANIFEST =~ s/10.0.0.0/10.0.0.1/r, qr/entry 1 .* is not an addr/],
        [$MANIFEST =~ s/type: api/type: rest/r, qr/"type" is not api/],
        [$MANIFEST =~ s/name: the door/rpmLimit: 1/r, qr/"rpmLimit" is rep/],
    ) {
        my ($text, $error) = @$case;

        write_file('m.yaml', $text);
        $r = $ctl->run(@new, "one=$agent");
        is $r->{code}, 1, "$error";
        like $r->{err}, $error, 'is said';
    }

    is $get->()->{rpmLimit}, 12, 'nothing of that was written';

    write_file('m.yaml', $MANIFEST . "---\n" . $MANIFEST =~ s/12/null/r);
    is $ctl->run(@new, "one=$agent")->{code}, 0, 'two documents';
    ok !exists $get->()->{rpmLimit}, 'the later one counts';
};


# Without Redis explain knows the policy alone, and says so.

subtest 'a policy file' => sub {
    my $alone = Phrony::Ctl->new(dir => test_dir());
    my $start = '/v1/agents/' . $policy->agent('agent2') . '/runs';
    my @of = (explain => POST => $start, '--policy', $file, '--json');

    my $r = $alone->run(@of, '--key-id', $policy->key_id('key1'));

    is $r->{json}{decision}, 'unknown', 'what is counted is not known'
        or diag $r->{err};
    is_deeply [map { $_->{step} } grep { $_->{verdict} eq 'unknown' }
        @{$r->{json}{steps}}], [2, 8], 'nor the text of the key';
    is $r->{code}, 0, 'it may go through';

    $r = $alone->run(@of, '--key-file', '-', \$policy->key('key2'));
    is $r->{json}{reason}, 'agent_out_of_scope', 'a scope is';
    is $alone->run(@of, '--key-id', $policy->agent('agent1'))->{json}{reason},
        'key_invalid', 'and a key';
};

done_testing();
