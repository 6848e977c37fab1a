#!/usr/bin/perl

# Two operators at once: what one writes is held back on its way to Redis until
# the other one has written, and neither takes back what the other has done.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;
use Phrony::Fleet;
use Phrony::Ctl;

use POSIX ();

my $policy = policy(
    agents => {map { ("a$_" => {rpmLimit => 1, rpdLimit => 10,
        maxInputTokens => 9}) } 1 .. 3},
    keys   => {map { ("k$_" => {}) } 1 .. 6},
);
my $redis = redis();
my $proxy = redis_proxy($redis);

$policy->store(sub { $redis->call(@_) });

my $one = Phrony::Ctl->new(dir => test_dir(),
    redis => 'redis://' . $proxy->address);
my $other = Phrony::Ctl->new(dir => test_dir(), redis => $redis->url);


# "words" are held back from the command on that has "text" in it, until
# "change" was called.

sub meanwhile {
    my ($text, $change, @words) = @_;

    $proxy->damage(hold => 'commands', on => $text);

    my $pid = open(my $told, '-|') // die "fork: $!\n";

    if (!$pid) {
        print encode_json($one->run(@words));
        STDOUT->flush;
        POSIX::_exit(0);
    }

    $proxy->await_damage;
    $change->();
    $proxy->heal;

    local $/;
    my $r = decode_json(readline $told);
    close $told;

    return $r;
}


sub record { decode_json($redis->call(GET => join ':', 'phrony', @_) // '{}') }


sub key_record {
    my ($id) = @_;

    my ($found) = grep { $_->{id} eq $id }
        map { decode_json($redis->call(GET => $_)) }
        $redis->keys('phrony:key:*');

    return $found;
}


sub done {
    my ($ctl, @words) = @_;

    return sub {
        my $r = $ctl->run(@words);
        is $r->{code}, 0, "meanwhile: $words[0] $words[1]" or diag $r->{err};
    };
}


subtest 'members of a trigger' => sub {
    my $id = $policy->trigger('a1');
    my $r = meanwhile('"rpmLimit":77', done($other, qw(trigger set), $id,
        'rpdLimit=none', 'active=false', 'rpmLimit=5'), qw(trigger set), $id,
        'rpmLimit=77', 'readRpmLimit=3', 'maxInputTokens=none', '--json');

    is $r->{code}, 0, 'are set' or diag $r->{err};

    my $record = record(trigger => $id);

    is_deeply [@$record{qw(rpmLimit readRpmLimit)}], [77, 3], 'the later';
    ok exists $record->{active} && !$record->{active}, 'the earlier stay';
    ok !exists $record->{$_}, "and $_ is taken away"
        for qw(rpdLimit maxInputTokens);
    is_deeply $r->{json}, $record, 'what was written is told';
};


subtest 'a trigger that is deleted' => sub {
    my $id = $policy->trigger('a2');
    my $text = $redis->call(GET => "phrony:trigger:$id");
    my $r = meanwhile('"rpmLimit":77', sub { $redis->call(DEL =>
        "phrony:trigger:$id") }, qw(trigger set), $id, 'rpmLimit=77');

    is $r->{code}, 1, 'is not made again';
    like $r->{err}, qr/was deleted by somebody else meanwhile/, 'it is told';
    is_deeply record(trigger => $id), {}, 'it is not there';
    $redis->call(SET => "phrony:trigger:$id", $text);
};


subtest 'a trigger that is made' => sub {
    my ($id, $agent) = map { "1234567$_-0000-4000-8000-000000000000" } 1, 2;
    my @set = (qw(trigger set), $id, "agentId=$agent", 'workspaceId='
        . $policy->workspace('main'));
    my $r = meanwhile('"rpmLimit":77', done($other, @set), @set,
        'rpmLimit=77');

    is $r->{code}, 1, 'is not made twice';
    like $r->{err}, qr/is there already/, 'it is told';
};


subtest 'a workspace that is suspended' => sub {
    my $id = $policy->workspace('main');
    my $r = meanwhile('"status":"active"', done($other, qw(workspace suspend),
        $id), qw(workspace resume), $id, '--json');

    is $r->{code}, 0, 'while it is resumed, though it was' or diag $r->{err};
    is record(workspace => $id)->{status}, 'suspended', 'is suspended';
    is $r->{json}{status}, 'suspended', 'which is told';
    is $one->run(qw(workspace resume), $id)->{code}, 0, 'and resumed';
    is record(workspace => $id)->{status}, 'active', 'afterwards';
};


subtest 'a key that is revoked' => sub {
    my $id = $policy->key_id('k1');
    my @before = $redis->keys('phrony:key:*');
    my $out = test_dir() . '/new-key';

    for my $case (['"status":"revoked"'], ['"expiresAt":"2', qw(--grace 1h)]) {
        my ($text, @grace) = @$case;
        my $r = meanwhile($text, done($other, qw(key revoke), $id),
            qw(key rotate --json --key-out), $out, @grace, $id);

        is $r->{code}, 1, 'is not exchanged' or diag $r->{out};
        like $r->{err}, qr/was changed by somebody else meanwhile.*was not ex/s,
            'it is told';
        is ref $r->{json}, 'HASH', 'in one document';
        like $r->{json}{error}, qr/\Q$id\E was not exchanged/, 'too';
        is key_record($id)->{status}, 'revoked', 'it stays revoked';
        is_deeply [sort $redis->keys('phrony:key:*')], [sort @before],
            'and there is no new one';
        ok !-e $out, 'nor its file';
        $id = $policy->key_id('k2');
    }
};


subtest 'a key that expires' => sub {
    my $id = $policy->key_id('k3');
    my $r = meanwhile('"status":"revoked"', done($other, qw(key rotate --grace
        1h), $id), qw(key revoke), $id);

    is $r->{code}, 0, 'is revoked all the same' or diag $r->{err};
    is key_record($id)->{status}, 'revoked', 'at once';
    ok key_record($id)->{expiresAt}, 'and has what was written meanwhile';
};


subtest 'a file that is imported' => sub {
    my $id = $policy->key_id('k3');
    my $text = $redis->call(GET => 'phrony:trigger:'
        . $policy->trigger('a3'));

    $policy->change(agent => 'a3', rpmLimit => 77);

    my $r = meanwhile('"rpmLimit":77', sub { $redis->call(SET =>
        'phrony:trigger:' . $policy->trigger('a3'), $text =~ s/10/11/r) },
        'import', $policy->path);

    is $r->{code}, 1, 'while a record of it is changed';
    like $r->{err}, qr/was changed by somebody else meanwhile: run it again/,
        'is told';
    is record(trigger => $policy->trigger('a3'))->{rpdLimit}, 11,
        'what the other has written stays';

    $redis->call(DEL => 'phrony:trigger:' . $policy->trigger('a3'));
    $r = meanwhile('"rpmLimit":77', sub { $redis->call(SET =>
        'phrony:trigger:' . $policy->trigger('a3'), $text) }, 'import',
        $policy->path);
    is $r->{code}, 1, 'or is made';
    is record(trigger => $policy->trigger('a3'))->{rpmLimit}, 1, 'likewise';
    is key_record($id)->{status}, 'revoked', 'and what was closed';
};


subtest 'an export that is interrupted' => sub {
    my $to = test_dir() . '/out.json';

    for my $signal (qw(INT TERM HUP)) {
        $proxy->damage(hold => 'commands', on => 'MATCH');

        my $run = $one->start('export', $to);

        $proxy->await_damage;
        is scalar(my @files = glob "$to.*"), 1, 'has begun a file';
        kill $signal => $run->{pid};

        my $r = $one->end($run);

        $proxy->heal;
        like $r->{code}, qr/\Asignal/, "$signal ends it";
        is_deeply [glob "$to*"], [], 'nothing is left';
    }
};


# Whether the old key is good is not known; the new one is.

subtest 'a connection that is lost' => sub {
    my $id = $policy->key_id('k4');

    $proxy->damage(end => 'before', on => '"status":"revoked"');

    my $r = $one->run(qw(key rotate --json), $id);

    $proxy->heal;
    is $r->{code}, 3, 'is told';
    like $r->{json}{key}, qr/\Aphk_/, 'and the new key';
    is key_record($r->{json}{id})->{status}, 'active', 'which is good';
    is key_record($id)->{status}, 'active', 'as the old one';
};


subtest 'several keys' => sub {
    my @ids = map { $policy->key_id($_) } qw(k5 k6);
    my $r = $one->run(qw(key revoke), $ids[0], $policy->agent('a1'), 'x',
        $ids[1]);

    is $r->{code}, 2, 'two are none';
    like $r->{err}, qr/there is no key of id.*"x" is not a UUID/s, 'is told';
    is_deeply [map { key_record($_)->{status} } @ids], ['revoked', 'revoked'],
        'the others are revoked';
};

done_testing();
