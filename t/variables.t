#!/usr/bin/perl

# The variables: in the log, in fields of the answer and of the request to the
# upstream, for every route and outcome.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;

my $up = stand_in();

my $policy = policy(
    agents => {
        alpha => {rpmLimit => 9, rpdLimit => 99, maxConcurrentRuns => 5},
        free  => {},
        none  => {rpmLimit => 0, rpdLimit => 7},
        one   => {maxConcurrentRuns => 0},
        reads => {readRpmLimit => 1},
    },
    keys => {alice => {allowFileUploads => Mojo::JSON::true},
        bob => {agents => ['free']}},
);

my @NAMES = qw(route agent_id run_id workspace_id trigger_id key_id outcome
    reason duplicate rpm_remaining rpd_remaining runs_remaining store
    store_time);

my $all = join '|', map { "\$phrony_$_" } @NAMES;
my $ports = {map { $_ => free_port() } qw(p_dry p_plain p_page)};

my $nginx = nginx(%$ports,
    access_log => '{{dir}}/access.log variables',
    http       => <<"END", location => <<"END2");
    log_format variables '$all';
    add_header X-All "$all" always;

    server {
        listen 127.0.0.1:{{p_dry}};
        phrony_dry_run on;
        location / { phrony on; proxy_pass http://{{upstream_name}}; }
    }

    server {
        listen 127.0.0.1:{{p_plain}};
        location / { proxy_pass http://{{upstream_name}};
            proxy_set_header X-All "$all"; }
    }

    server {
        listen 127.0.0.1:{{p_page}};
        location / { phrony on; proxy_pass http://{{upstream_name}};
            proxy_intercept_errors on; error_page 500 /page; }
        location = /page { internal; return 200 "$all"; }
    }
END
            proxy_set_header X-All "$all";
            proxy_set_header Connection "";
END2

my %id = (
    alpha     => $policy->agent('alpha'),
    free      => $policy->agent('free'),
    workspace => $policy->workspace('main'),
    alice     => $policy->key_id('alice'),
);

my $lines = 0;


# The variables of the last request, as the log has them: a hash without those
# that are not set.

sub logged {
    my @lines;

    $lines++;

    wait_for {
        @lines = do { local @ARGV = ($nginx->dir . '/access.log'); <> };
        @lines >= $lines;
    } 5, 'the access log';

    return values_of($lines[-1], '-');
}


sub values_of {
    my ($text, $unset) = @_;

    chomp $text;

    my %value;
    @value{@NAMES} = split /\|/, $text, -1;
    delete $value{$_} for grep { $value{$_} eq $unset } @NAMES;

    return \%value;
}


sub path { '/v1/agents/' . $policy->agent($_[0]) . ($_[1] // '') }

my %known = (workspace_id => $id{workspace}, key_id => $id{alice});
my %alpha = (%known, agent_id => $id{alpha},
    trigger_id => $policy->trigger('alpha'));
my %store = (store => 'memory', store_time => '0.000');
my @alice = (key => $policy->key('alice'));


subtest 'a start' => sub {
    my $r = req(POST => path('alpha', '/runs'), @alice, json => {});
    my %remain = (rpm_remaining => 8, rpd_remaining => 98,
        runs_remaining => 4);
    my %common = (%alpha, %store, %remain, route => 'start',
        outcome => 'admitted');

    is_deeply logged(), {%common, run_id => $r->json->{runId}}, 'in the log';
    is_deeply values_of(scalar $r->header('X-All'), ''), \%common,
        'in the answer, when the run is not known yet';
    is_deeply values_of(scalar $up->field($up->last_request, 'X-All'), ''),
        \%common, 'at the upstream';

    $r = req(POST => path('alpha', '/runs'), @alice, json => {},
        stand_in => {status => 500});
    is_deeply logged(), {%common, rpm_remaining => 7, rpd_remaining => 97,
        runs_remaining => 3}, 'an upstream error';

    $r = req(POST => path('free', '/runs'), @alice, json => {});
    is_deeply logged(), {%known, %store, route => 'start',
        outcome => 'admitted', agent_id => $id{free}, run_id =>
        $r->json->{runId}, trigger_id => $policy->trigger('free')},
        'without limits';
};


my $run = start_run('alpha', key => 'alice')->json->{runId};
logged();


# name, request, what the log has

for (['an agent', [GET => path('alpha'), @alice],
        {%alpha, route => 'agent', outcome => 'passed'}],
     ['sessions', [GET => path('alpha', '/sessions'), @alice],
        {%alpha, route => 'sessions', outcome => 'passed'}],
     ['HEAD', [HEAD => path('alpha'), @alice],
        {%alpha, route => 'agent', outcome => 'passed'}],
     ['a known run', [GET => "/v1/runs/$run", @alice],
        {%alpha, route => 'run', outcome => 'passed', run_id => $run}],
     ['a known run, below', [GET => "/v1/runs/$run/conversation", @alice],
        {%alpha, route => 'run', outcome => 'passed', run_id => $run}],
     ['in capitals', [GET => '/v1/runs/' . uc $run, @alice],
        {%alpha, route => 'run', outcome => 'passed', run_id => $run}],
     ['an unknown run', [GET => "/v1/runs/$id{free}", @alice],
        {%known, route => 'run', outcome => 'passed', run_id => $id{free}}],
     ['files', [POST => '/v1/file-library/presign', @alice, json => {}],
        {%known, route => 'files', outcome => 'passed'}],
     ['a preflight', [OPTIONS => path('alpha'), headers => [Origin => 'a',
        'Access-Control-Request-Method' => 'GET']],
        {route => 'preflight', outcome => 'passed', agent_id => $id{alpha}}],
     ['a counted read', [GET => path('reads'), @alice],
        {%known, %store, route => 'agent', outcome => 'passed',
        agent_id => $policy->agent('reads'),
        trigger_id => $policy->trigger('reads')}],

     ['a bad path', [GET => '/v1//x'],
        {outcome => 'refused', reason => 'path_not_canonical'}],
     ['an unknown route', [GET => '/v1/x'],
        {outcome => 'refused', reason => 'route_unknown'}],
     ['no key', [GET => path('alpha')], {outcome => 'refused',
        reason => 'key_missing', route => 'agent', agent_id => $id{alpha}}],
     ['an unknown key', [GET => path('alpha'), key => 'phk_x'],
        {outcome => 'refused', reason => 'key_invalid', route => 'agent',
        agent_id => $id{alpha}}],
     ["another's agent", [GET => path('alpha'), key => $policy->key('bob')],
        {outcome => 'refused', reason => 'agent_out_of_scope',
        route => 'agent', agent_id => $id{alpha},
        workspace_id => $id{workspace}, key_id => $policy->key_id('bob')}],
     ["another's run", [GET => "/v1/runs/$run", key => $policy->key('bob')],
        {outcome => 'refused', reason => 'run_out_of_scope',
        route => 'run', run_id => $run,
        workspace_id => $id{workspace}, key_id => $policy->key_id('bob')}],
     ['a bad body', [POST => path('alpha', '/runs'), @alice, body => '['],
        {%alpha, outcome => 'refused', reason => 'body_invalid',
        route => 'start'}],
     ['the rate', [POST => path('none', '/runs'), @alice, json => {}],
        {%known, %store, outcome => 'refused', reason => 'rate_limited',
        route => 'start', agent_id => $policy->agent('none'),
        trigger_id => $policy->trigger('none'), rpm_remaining => 0,
        rpd_remaining => 7}],
     ['runs', [POST => path('one', '/runs'), @alice, json => {}],
        {%known, %store, outcome => 'refused', reason => 'concurrency_limited',
        route => 'start', agent_id => $policy->agent('one'),
        trigger_id => $policy->trigger('one'), runs_remaining => 0}],
     ['reads', [GET => path('reads'), @alice],
        {%known, %store, outcome => 'refused', reason => 'rate_limited',
        route => 'agent', agent_id => $policy->agent('reads'),
        trigger_id => $policy->trigger('reads')}])
{
    my ($name, $request, $expected) = @$_;
    my $r = req(@$request);
    my $refused = $expected->{outcome} eq 'refused';
    my $logged = logged();

    is_deeply $logged, $expected, $name or diag explain $logged;
    is_deeply values_of(scalar $r->header('X-All'), ''), $expected,
        "$name: in the answer";
    is_deeply values_of(scalar $up->field($up->last_request, 'X-All'), ''),
        $expected, "$name: at the upstream" if !$refused;
}


subtest 'elsewhere' => sub {
    client($ports->{p_dry})->req(POST => path('none', '/runs'), @alice,
        json => {});
    is_deeply [@{logged()}{qw(outcome reason rpm_remaining)}],
        [qw(dry_run rate_limited 0)], 'phrony_dry_run';

    client($ports->{p_plain})->req(GET => path('alpha'), @alice);
    is_deeply logged(), {}, 'where phrony is off nothing is set';

    my $r = client($ports->{p_page})->req(POST => path('alpha', '/runs'),
        @alice, json => {}, stand_in => {status => 500});
    is_deeply values_of($r->body, ''), {%alpha, %store, route => 'start',
        outcome => 'admitted', rpm_remaining => 5, rpd_remaining => 95,
        runs_remaining => 2}, 'after an internal redirect';
    is_deeply logged(), values_of($r->body, ''), 'and in its log';
};


done_testing();
