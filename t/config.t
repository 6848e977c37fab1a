#!/usr/bin/perl

# Errors of the configuration and of policy files: what is said, and where;
# and that an nginx that runs keeps what it has.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;

use Mojo::JSON qw(false true);

my $up = stand_in();
my $good = policy();
my $zone = 'phrony_zone phrony:1m;';
my $file = 'phrony_policy file={{policy_path}};';


# Tests a configuration in which "http" and "location" stand; "phrony" is
# what comes instead of the zone and the policy.

sub configuration {
    my (%opt) = @_;

    return nginx_t(phrony => "$zone $file", %opt);
}


# Where the text stands: "in …/nginx.conf:12" in the message.

sub line_of {
    my ($text, $output) = @_;

    my ($conf) = $output =~ m{(/\S+/nginx\.conf)} or return 0;
    my $n = 0;

    for (split /^/, do { local (@ARGV, $/) = $conf; <> }) {
        $n++;
        return $n if /\Q$text\E/;
    }

    return 0;
}


sub refused {
    my ($name, $conf, $message, $at) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $t = configuration(%$conf);
    my ($emerg) = $t->{output} =~ /\[emerg\] (.*)/;

    subtest $name => sub {
        isnt $t->{code}, 0, 'is refused';
        is $t->{signal}, 0, 'without a crash';
        like $emerg // '', $message, 'says why';

        my $line = $at && line_of($at, $t->{output});
        like $emerg // '', qr/\Qnginx.conf:$line\E\b/, 'and where' if $at;
    };
}


subtest 'accepted' => sub {
    my %accepted = (
        'the defaults' => {},
        'nothing guarded' => {locations => '', phrony => ''},
        'a zone and a policy that nobody uses' => {locations => ''},
        'everything, in http' => {http => all()},
        'everything, in a server' => {server => all()},
        'everything, in a location' => {location => all()},
        'on in a server, off below' => {locations => '', server =>
            'phrony on; location /open { phrony off; }'},
        'a status page' => {server => 'location = /status { phrony_status; }'},
        'the smallest times' => {http =>
            'phrony_run_ttl 1s; phrony_reservation_ttl 1000ms;'},
        'days' => {http => 'phrony_run_ttl 30d;'},
        'verify off' => {http => 'phrony_verify off;'},
        'verify, here and there' => {http => 'phrony_verify /a;',
            server => 'phrony_verify /b;', location => 'phrony_verify off;'},
        'an empty policy' => {policy => write_file('empty.json',
            '{"workspaces":[],"triggers":[],"keys":[]}')},
        'a policy beside the configuration' => {phrony =>
            "$zone phrony_policy file=../policy.json;"},
    );

    for my $name (sort keys %accepted) {
        my $t = configuration(%{$accepted{$name}});
        is $t->{code}, 0, $name or diag $t->{output};
    }
};


sub all {
    return join ' ', 'phrony_store_failure deny;',
        'phrony_reservation_ttl 10m;', 'phrony_run_ttl 12h;',
        'phrony_duplicates annotate;', 'phrony_delivery_ttl 2h;',
        'phrony_delivery_id $http_webhook_id $arg_id;',
        'phrony_terminal_status Completed Dead;', 'phrony_max_body 64k;',
        'phrony_bytes_per_token 3;', 'phrony_dry_run on;',
        'phrony_log_level notice;', 'phrony_headers off;',
        'phrony_realm "the agents";';
}


# name, options, message, the text on whose line it is

refused('no zone', {phrony => $file},
    qr/"phrony on" in .* requires "phrony_zone"/, 'phrony on;');
refused('no policy', {phrony => $zone},
    qr/"phrony on" in .* requires "phrony_policy"/, 'phrony on;');
refused('neither, for a status page', {phrony => '', locations => '',
    server => 'location /s { phrony_status; }'},
    qr/"phrony_status" in .* requires "phrony_zone"/, 'phrony_status;');

refused('a zone without a size', {phrony => "phrony_zone phrony; $file"},
    qr/"phrony".*name:size/, 'phrony_zone');
refused('a zone without a name', {phrony => "phrony_zone :1m; $file"},
    qr/":1m"/, 'phrony_zone');
refused('a zone of a bad size', {phrony => "phrony_zone phrony:1x; $file"},
    qr/size "phrony:1x"/, 'phrony_zone');
refused('a zone of nothing', {phrony => "phrony_zone phrony:; $file"},
    qr/"phrony:"/, 'phrony_zone');
refused('a zone that is too small', {phrony => "phrony_zone phrony:8k; $file"},
    qr/"phrony:8k" is too small/, 'phrony_zone');
refused('two zones', {phrony => "$zone\nphrony_zone other:1m; $file"},
    qr/"phrony_zone" directive is duplicate/, 'phrony_zone other');
refused("another module's zone", {http =>
    'limit_req_zone $uri zone=phrony:1m rate=1r/s;'},
    qr/"phrony" is already/, 'limit_req_zone');
refused('a zone in a server', {server => $zone},
    qr/"phrony_zone" directive is not allowed here/);

refused('verify at a relative uri', {http => 'phrony_verify verify;'},
    qr/"verify"/, 'phrony_verify verify');
refused('verify at a URL', {http => 'phrony_verify http://a/b;'},
    qr{"http://a/b"}, 'phrony_verify http');
refused('verify at a named location', {http => 'phrony_verify @verify;'},
    qr/"\@verify"/, 'phrony_verify @verify');
refused('verify at nothing', {http => 'phrony_verify "";'},
    qr/phrony_verify/, 'phrony_verify ""');
refused('verify twice', {http => "phrony_verify /a;\nphrony_verify /b;"},
    qr/"phrony_verify" directive is duplicate/, 'phrony_verify /b');
refused('verify, off and on', {http => "phrony_verify off;\nphrony_verify /b;"},
    qr/"phrony_verify" directive is duplicate/, 'phrony_verify /b');
refused('verify with two uris', {http => 'phrony_verify /a /b;'},
    qr/invalid number of arguments in "phrony_verify"/, 'phrony_verify /a');
refused('verify in an upstream', {http => 'upstream u { server 127.0.0.1:9;
    phrony_verify /a; }'}, qr/"phrony_verify" directive is not allowed here/,
    'phrony_verify /a');
refused('verify beside http', {main => 'phrony_verify /a;'},
    qr/"phrony_verify" directive is not allowed here/, 'phrony_verify /a');
refused('a hint that is no time', {http => 'phrony_runs_retry soon;'},
    qr/"phrony_runs_retry".* invalid value/, 'phrony_runs_retry soon');

refused('two policies', {phrony => "$zone $file\nphrony_policy file=x;"},
    qr/"phrony_policy" directive is duplicate/, 'phrony_policy file=x');
refused('a policy from elsewhere', {phrony => "$zone phrony_policy db=x;"},
    qr/invalid parameter "db=x"/, 'phrony_policy');
refused('a policy without a path', {phrony => "$zone phrony_policy file=;"},
    qr/invalid parameter "file="/, 'phrony_policy');
refused('a policy that is not there',
    {phrony => "$zone phrony_policy file=nowhere.json;"},
    qr/policy file ".*nowhere\.json".*\(2: /, 'phrony_policy');
refused('a policy that is a directory',
    {phrony => "$zone phrony_policy file=/tmp;"},
    qr{policy file "/tmp"}, 'phrony_policy');
refused('a policy in a server', {server => $file},
    qr/"phrony_policy" directive is not allowed here/);

refused('neither on nor off', {location => 'phrony yes;', locations =>
    "location / {\nphrony yes;\n}"},
    qr/invalid value "yes" in "phrony" directive/, 'phrony yes;');
refused('on twice', {location => "\nphrony off;"},
    qr/"phrony" directive is duplicate/, 'phrony off;');
refused('a guarded status page', {location => "\nphrony_status;"},
    qr/"phrony_status" directive conflicts with "phrony on"/,
    'phrony_status;');
refused('a status page that is guarded', {locations =>
    "location /s {\nphrony_status;\nphrony on;\n}"},
    qr/"phrony" directive conflicts with "phrony_status"/, 'phrony on;');
refused('a status page in a server', {server => 'phrony_status;'},
    qr/"phrony_status" directive is not allowed here/);
refused('a status page with a parameter',
    {server => 'location /s { phrony_status x; }'},
    qr/invalid number of arguments in "phrony_status"/);

for (
    ['phrony_run_ttl 999ms;',          qr/at least 1s/],
    ['phrony_run_ttl 0;',              qr/at least 1s/],
    ['phrony_run_ttl soon;',           qr/"phrony_run_ttl" directive/],
    ['phrony_reservation_ttl 999ms;',  qr/at least 1s/],
    ['phrony_reservation_ttl -1s;',    qr/"phrony_reservation_ttl" directive/],
    ['phrony_terminal_status;',        qr/number of arguments/],
    ['phrony_terminal_status "";',     qr/invalid status ""/],
    ['phrony_terminal_status ' . 'x' x 65 . ';', qr/invalid status "x+"/],
    ['phrony_max_body lots;',          qr/"phrony_max_body" directive/],
    ['phrony_bytes_per_token 0;',      qr/at least 1/],
    ['phrony_bytes_per_token -4;',     qr/"phrony_bytes_per_token"|invalid number/],
    ['phrony_bytes_per_token x;',      qr/invalid number/],
    ['phrony_dry_run maybe;',          qr/invalid value "maybe"/],
    ['phrony_headers maybe;',          qr/invalid value "maybe"/],
    ['phrony_log_level loud;',         qr/invalid value "loud"/],
    ['phrony_duplicates maybe;',       qr/invalid value "maybe"/],
    ['phrony_delivery_id;',            qr/number of arguments/],
    ['phrony_delivery_id plain;',      qr/invalid variable name "plain"/],
    ['phrony_delivery_id $;',          qr/invalid variable name "\$"/],
    ['phrony_delivery_id $http_a x;',  qr/invalid variable name "x"/],
    ['phrony_delivery_ttl 999ms;',     qr/at least 1s/],
    ['phrony_store_failure panic;',    qr/invalid value "panic"/],
    ["phrony_realm 'a\"b';",           qr/"phrony_realm" directive .*quotes/],
    ["phrony_realm 'a\\\\b';",         qr/"phrony_realm" directive .*quotes/],
    ["phrony_realm \"\xc3\xa9\";",     qr/"phrony_realm" directive .*ASCII/],
    ["phrony_headers on; phrony_headers on;", qr/is duplicate/],
    ["phrony_realm a; phrony_realm b;", qr/is duplicate/],
    ['phrony_delivery_id $arg_a; phrony_delivery_id $arg_b;',
        qr/"phrony_delivery_id" directive is duplicate/],
    ["phrony_terminal_status a; phrony_terminal_status b;",
        qr/is duplicate/],
) {
    my ($directive, $message) = @$_;
    my $name = $directive =~ s/[^ -~]/?/gr =~ s/x{20,}/xxx/r;

    refused("$name in $_", {$_ => "\n$directive"}, $message, $directive)
        for qw(http server location);
}


# Policies.

sub broken_policy {
    my ($name, $break, @says) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $policy = policy(
        file       => 'broken.json',
        workspaces => {main => {}, other => {}},
        agents     => {a => {}, b => {}, c => {workspace => 'other'}},
        keys       => {k => {agents => [qw(a b)]}, l => {agents => ['b']}},
    );
    my $data = $policy->data;
    my $text = $break->($data);

    $policy->write($text);

    my $t = configuration(policy => $policy);
    my ($emerg) = $t->{output} =~ /\[emerg\] (.*)/;

    subtest $name => sub {
        isnt $t->{code}, 0, 'is refused';
        like $emerg // '', qr/policy file ".*broken\.json"/, 'names the file';
        like $emerg // '', $_, 'says why' for @says;
        my $line = line_of('phrony_policy', $t->{output});
        like $emerg // '', qr/\Qnginx.conf:$line\E\b/, 'and where';
    };
}


my $key_k = qr/key 1 \("@{[$good->key_id('k')]}"\)/;
my $key_l = qr/key 2 \("@{[$good->key_id('l')]}"\)/;
my $trigger_a = qr/trigger 1 \("@{[$good->trigger('a')]}"\)/;
my $trigger_b = qr/trigger 2 \("@{[$good->trigger('b')]}"\)/;
my $workspace = qr/workspace [12] \(/;

sub text { my $text = shift; return sub { $text } }

# sets a member of a record; undef removes it

sub with {
    my ($list, $n, $member, $value) = @_;

    return sub {
        my ($data) = @_;
        my $record = $data->{$list}[$n];

        defined $value ? $record->{$member} = ref $value eq 'CODE'
            ? $value->($data) : $value : delete $record->{$member};
        return;
    };
}

broken_policy('an empty file', text(''), qr/object is expected/);
broken_policy('no JSON', text("{\n\"workspaces\": [ {]"), qr/line 2/);
broken_policy('a list', text('[]'), qr/object is expected/);
broken_policy('a list is missing', text('{"workspaces":[],"keys":[]}'),
    qr/member "triggers" is missing/);
broken_policy('a list that is none',
    text('{"workspaces":{},"triggers":[],"keys":[]}'),
    qr/member "workspaces" is not an array/);
broken_policy('a list twice',
    text('{"workspaces":[],"triggers":[],"keys":[],"keys":[]}'),
    qr/member "keys" is repeated/);
broken_policy('a record that is none',
    text('{"workspaces":["x"],"triggers":[],"keys":[]}'),
    qr/workspace 1 is not an object/);
broken_policy('something after it',
    text('{"workspaces":[],"triggers":[],"keys":[]} x'),
    qr/nothing may follow/);

for (
    [workspaces => 'id',       'x',      qr/workspace 1\b.*member "id" is not a UUID/],
    [workspaces => 'id',       undef,    qr/workspace 1\b.*member "id" is missing/],
    [workspaces => 'status',   'open',   qr/$workspace.*member "status"/],
    [workspaces => 'status',   true,     qr/$workspace.*member "status"/],

    [triggers => 'id',         'x',      qr/trigger 1\b.*member "id" is not a UUID/],
    [triggers => 'id',         7,        qr/trigger 1\b.*member "id"/],
    [triggers => 'agentId',    'x',      qr/$trigger_a.*member "agentId" is not a UUID/],
    [triggers => 'agentId',    undef,    qr/$trigger_a.*member "agentId" is missing/],
    [triggers => 'workspaceId', $good->agent('a'),
                                         qr/$trigger_a.*member "workspaceId" names no workspace/],
    [triggers => 'active',     'yes',    qr/$trigger_a.*member "active"/],
    [triggers => 'active',     1,        qr/$trigger_a.*member "active"/],
    (map { ([triggers => $_,   -1,       qr/$trigger_a.*member "$_"/],
            [triggers => $_, 1_000_000_000_000_000, qr/$trigger_a.*member "$_" is larger/],
            [triggers => $_,   1.5,      qr/$trigger_a.*member "$_"/],
            [triggers => $_,   '5',      qr/$trigger_a.*member "$_"/],
            [triggers => $_,   true,     qr/$trigger_a.*member "$_"/]) }
        qw(rpmLimit rpdLimit maxConcurrentRuns maxInputTokens readRpmLimit)),
    [triggers => 'ipWhitelist', '10.0.0.0/8',
                                         qr/$trigger_a.*member "ipWhitelist" is not an array/],
    (map { [triggers => 'ipWhitelist', ['10.0.0.1', $_],
                                         qr/$trigger_a.*member "ipWhitelist".*\b2\b/] }
        '10.0.0.1/8', '10.0.0.0/33', '10.0.0', '10.0.0.256', '010.0.0.1', 'x',
        '', ' 10.0.0.1', '::/129', 'fe80::1%eth0', '2001:db8::1/32', 5),

    [keys => 'id',             'x',      qr/key 1\b.*member "id" is not a UUID/],
    [keys => 'sha256',         'x' x 64, qr/$key_k.*member "sha256" is not 64 hex/],
    [keys => 'sha256',         'a' x 63, qr/$key_k.*member "sha256" is not 64 hex/],
    [keys => 'sha256',         undef,    qr/$key_k.*member "sha256" is missing/],
    [keys => 'status',         'dead',   qr/$key_k.*member "status"/],
    [keys => 'allowFileUploads', 'no',   qr/$key_k.*member "allowFileUploads"/],
    (map { [keys => 'expiresAt', $_,     qr/$key_k.*member "expiresAt"/] }
        'tomorrow', '2027-01-01', '2027-02-29T00:00:00Z',
        '2027-01-01T00:00:00', '2027-01-01T24:00:00Z', 5, ''),
    [keys => 'workspaceId',    $good->agent('a'),
                                         qr/$key_k.*member "workspaceId" names no workspace/],
    [keys => 'workspaceId',    undef,    qr/$key_k.*member "workspaceId" is missing/],
    [keys => 'scopes',         {},       qr/$key_k.*member "scopes" is not an array/],
    [keys => 'scopes',         ['x'],    qr/$key_k.*scope 1\b.*not an object/],
) {
    my ($list, $member, $value, $says) = @$_;
    my $shown = !defined $value ? 'missing' : encode_json([$value]);

    broken_policy("$list, $member: $shown", with($list, 0, $member, $value),
        $says);
}

broken_policy('a duplicate id of a workspace', with('workspaces', 1, 'id',
    $good->workspace('main')), qr/workspace 2\b.*member "id".*workspace 1/);
broken_policy('a duplicate id of a trigger', with('triggers', 1, 'id',
    uc $good->trigger('a')), qr/trigger 2\b.*member "id".*trigger 1/);
broken_policy('two triggers of one agent', with('triggers', 1, 'agentId',
    $good->agent('a')), qr/$trigger_b.*member "agentId".*trigger 1/);
broken_policy('a duplicate id of a key', with('keys', 1, 'id',
    $good->key_id('k')), qr/key 2\b.*member "id".*key 1/);
broken_policy('a duplicate hash', with('keys', 1, 'sha256',
    uc $good->digest('k')), qr/$key_l.*member "sha256".*key 1/);
broken_policy('a scope without a trigger', sub {
    $_[0]{keys}[0]{scopes}[1]{triggerId} = $good->agent('a'); return;
}, qr/$key_k.*scope 2\b.*member "triggerId" names no trigger/);
broken_policy("a scope with another's agent", sub {
    $_[0]{keys}[0]{scopes}[1]{agentId} = $good->agent('a'); return;
}, qr/$key_k.*scope 2\b.*member "agentId"/);
broken_policy("a scope of another workspace", sub {
    $_[0]{keys}[0]{scopes}[1] = {agentId => $good->agent('c'),
        triggerId => $good->trigger('c')};
    return;
}, qr/$key_k.*scope 2\b.*workspace/);


subtest 'policies that are read' => sub {
    my $policy = policy(
        file   => 'read.json',
        agents => {a => {rpmLimit => 0, later => {x => 1}, ipWhitelist => [],
            rpdLimit => 999_999_999_999_999}},
        keys   => {k => {extra => [1], expiresAt => '2027-01-01T00:00:00Z'}},
    );

    is configuration(policy => $policy)->{code}, 0, 'unknown members';

    my $data = $policy->data;
    $data->{more} = {};
    $data->{keys}[0]{expiresAt} = undef;
    $data->{keys}[0]{sha256} = uc $data->{keys}[0]{sha256};
    $data->{triggers}[0]{$_} = undef for qw(rpmLimit rpdLimit ipWhitelist);
    $policy->write;
    is configuration(policy => $policy)->{code}, 0, 'nulls, capitals'
        or diag configuration(policy => $policy)->{output};
};


subtest 'reload' => sub {
    my $policy = policy(agents => {a => {}}, keys => {k => {}});
    my $nginx = nginx();

    is start_run('a', key => 'k')->status, 202, 'it works';

    allow_log(qr/policy file ".*policy\.json"/);
    $policy->write("{\n\n oops");
    ok !$nginx->reload, 'a broken policy is not taken';
    like $nginx->log, qr/\[emerg\].*policy file ".*policy\.json" line 3/,
        'and named';
    is start_run('a', key => 'k')->status, 202, 'the old one works on';

    unlink $policy->path;
    ok !$nginx->reload, 'nor is one that is gone';
    is start_run('a', key => 'k')->status, 202, 'the old one works on';

    $policy->write;
    $policy->change(key => 'k', status => 'revoked');
    ok $nginx->reload, 'a good one is taken';
    problem_is(start_run('a', key => 'k'), 401, 'key_invalid', 'and acts');

    allow_log(qr/"phrony on" in .* requires/);
    $nginx->configure(phrony => $zone);
    ok !$nginx->reload, 'a configuration that cannot be is not taken';
    problem_is(start_run('a', key => 'k'), 401, 'key_invalid',
        'the old one works on');
};


done_testing();
