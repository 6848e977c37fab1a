#!/usr/bin/perl

# The forms of the status page: which of them is chosen, that each is well
# formed, and that all of them say the same.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;
use Phrony::Metrics;

my %TYPE = (
    json        => 'application/json',
    html        => 'text/html; charset=utf-8',
    openmetrics => 'application/openmetrics-text; version=1.0.0;'
        . ' charset=utf-8',
    prometheus  => 'text/plain; version=0.0.4; charset=utf-8',
    problem     => 'application/problem+json',
);

my %FORM = reverse %TYPE;

my $up = stand_in();
my $redis = redis();

my $policy = policy(
    agents => {alpha => {rpmLimit => 8, rpdLimit => 100}, free => {},
        runs => {maxConcurrentRuns => 2, readRpmLimit => 3},
        map({ ("many$_" => {rpmLimit => 100}) } 1 .. 70),
        map({ ("each$_" => {maxConcurrentRuns => 1}) } 1 .. 1020)},
    keys   => {alice => {}},
);

my $nginx = nginx(locations => <<'END', workers => 1);
    location / { phrony on; proxy_pass http://{{upstream_name}}; }
    location = /status { phrony_status; }
    location = /packed { phrony_status; gzip on;
        gzip_types application/json application/openmetrics-text text/plain; }
    location = /charset { phrony_status; charset utf-8; charset_types *; }
END

sub status { req(GET => "/status?format=$_[0]") }

sub form {
    my (@accept) = @_;

    my $r = req(GET => '/status', headers => [map { (Accept => $_) } @accept]);

    return join ' ', $r->status, $FORM{$r->header('Content-Type')} // '?';
}


subtest 'what is asked for' => sub {
    my $browser = 'text/html,application/xhtml+xml,application/xml;q=0.9,'
        . 'image/avif,image/webp,*/*;q=0.8';
    my $scraper = 'application/openmetrics-text;version=1.0.0,'
        . 'application/openmetrics-text;version=0.0.1;q=0.75,'
        . 'text/plain;version=0.0.4;q=0.5,*/*;q=0.1';

    is form(@{$_->[0]}), $_->[1], $_->[2] for
        [[], '200 json', 'nothing'],
        [['*/*'], '200 json', 'anything'],
        [[$browser], '200 html', 'as a browser'],
        [[$scraper], '200 openmetrics', 'as Prometheus'],
        [['text/plain'], '200 prometheus', 'text'],
        [['text/plain;q=0.2, application/json;q=0.1'], '200 prometheus', 'q'],
        [['text/html;q=0.1', 'text/plain;q=0.2'], '200 prometheus',
            'two fields'],
        [['image/png'], '406 problem', 'a picture'],
        [['*/*;q=0'], '406 problem', 'nothing at all'];

    for my $name (qw(json html openmetrics prometheus)) {
        my $r = req(GET => "/status?x=1&format=$name",
            headers => [Accept => 'image/png']);

        is $r->status, 200, "?format=$name wins over Accept";
        is $r->header('Content-Type'), $TYPE{$name}, 'its type';
        is $r->header('Content-Length'), length $r->body, 'its length';
        is $r->header('Vary'), 'Accept', 'Vary';
        is $r->header('Cache-Control'), 'no-store', 'Cache-Control';

        my $head = req(HEAD => "/status?format=$name");

        is_deeply [$head->status, $head->body, $head->header('Content-Type')],
            [200, '', $TYPE{$name}], 'HEAD';
        cmp_ok $head->header('Content-Length'), '>', 1000, 'tells a length';
        is h2(GET => "/status?format=$name")->status, 200, 'HTTP/2';
    }

    for my $name ('xml', '', 'JSON', 'jsonx', 'jso') {
        my $r = status($name);

        is $r->status, 400, "?format=$name";
        is $r->header('Content-Type'), $TYPE{problem}, 'its type';
        is $r->json->{status}, 400, 'the status within';
        like $r->json->{detail}, qr/openmetrics/, 'tells what to do';
    }

    for my $method (qw(POST PUT DELETE OPTIONS)) {
        my $r = req($method => '/status?format=html');

        is $r->status, 405, $method;
        is $r->header('Allow'), 'GET, HEAD', 'what is allowed';
    }

    my $r = req(GET => '/status', headers => [Accept => 'image/png']);

    is $r->json->{status}, 406, 'the status within';
    like $r->json->{detail}, qr{text/html}, 'tells what to do';
};


subtest 'what nginx makes of them' => sub {
    for my $name (qw(json html openmetrics prometheus)) {
        my $r = req(GET => "/packed?format=$name",
            headers => ['Accept-Encoding' => 'gzip']);

        is $r->header('Content-Encoding'), 'gzip', "$name is compressed";
        is $r->header('Content-Type'), $TYPE{$name}, 'its type stays';
        is req(GET => "/charset?format=$name")->header('Content-Type'),
            $name eq 'json' ? 'application/json; charset=utf-8' : $TYPE{$name},
            'the charset is named once';
    }
};


# figures other than 0

my $run = start_run('runs', key => 'alice')->json->{runId};

start_run('alpha', key => 'alice', headers => ['Idempotency-Key' => 'one'])
    for 1 .. 3;
start_run('alpha', key => 'alice') for 1 .. 10;
start_run('free', key => 'alice', stand_in => {status => 400}) for 1 .. 4;
poll($run, key => 'alice') for 1 .. 2;
req(GET => '/nowhere');
req(POST => '/v1/agents/x/runs');


subtest 'metrics' => sub {
    for my $name (qw(openmetrics prometheus)) {
        my $metrics = Phrony::Metrics->parse(status($name)->body);

        is_deeply [$metrics->faults($name eq 'openmetrics')], [],
            "$name is well formed";
        same_figures($metrics, status('json')->json);
    }

    my ($om, $text) = map { status($_)->body } qw(openmetrics prometheus);

    s/^#.*\n//gm for $om, $text;
    is $om, $text, 'both have the same samples';
    unlike $om, qr/phrony_trigger_/, 'and none for each trigger';
};


# Each of these members of the JSON is that sample.

sub same_figures {
    my ($metrics, $json) = @_;

    my %want = map { ("phrony_refusals_total{reason=\"$_\"}"
        => $json->{requests}{refused}{$_}) } keys %{$json->{requests}{refused}};

    for my $route (keys %{$json->{routes}}) {
        my $of = $json->{routes}{$route};

        for my $outcome (keys %$of) {
            my $name = "phrony_requests_total{route=\"$route\","
                . "outcome=\"$outcome\"}";

            $want{$name} = $of->{$outcome}
                if $of->{$outcome} || defined $metrics->value($name);
        }
    }

    for my $first (keys %{$json->{duplicates}}) {
        $want{"phrony_duplicates_total{first=\"$first\"}"}
            = $json->{duplicates}{$first};
    }

    for my $outcome (qw(started declined unreached unknown)) {
        $want{"phrony_starts_total{outcome=\"$outcome\"}"}
            = $json->{outcomes}{$outcome};
    }

    $want{"phrony_$_->[0]"} = $json->{store}{$_->[1]} for [triggers =>
        'triggers'], [leases => 'leases'], [ended_runs => 'ended'],
        [deliveries => 'deliveries'], [slots => 'held'], [zone_size_bytes => 'size'],
        [zone_free_bytes => 'free'], [zone_exhaustions_total => 'exhausted'];
    $want{"phrony_policy_records{kind=\"key\"}"} = $json->{policy}{keys};

    is_deeply {map { $_ => $metrics->value($_) } keys %want}, \%want,
        'it says what the JSON says';

    my $histogram = $json->{latencies}{decisions}{memory};
    my $n = 0;

    for my $i (0 .. $#{$histogram->{counts}}) {
        my $bound = $json->{latencies}{bounds}[$i];

        $n += $histogram->{counts}[$i];
        $bound = defined $bound ? $bound / 1e6 : '+Inf';
        $bound .= '.0' if $bound =~ /\A\d+\z/;

        is $metrics->value("phrony_decision_seconds_bucket{store=\"memory\","
            . "le=\"$bound\"}"), $n, "decided within $bound s";
    }

    cmp_ok $n, '>', 10, 'and there are some';
}


subtest 'the closest to a limit' => sub {
    my @top = @{status('json')->json->{top}};

    is_deeply $top[0], {trigger => $policy->trigger('alpha'),
        agent => $policy->agent('alpha'), rpm => {used => 8, limit => 8},
        rpd => {used => 8, limit => 100}}, 'one that is used up';
    is_deeply $top[1], {trigger => $policy->trigger('runs'),
        agent => $policy->agent('runs'), runs => {used => 1, limit => 2},
        reads => {used => 2, limit => 3}}, 'then the next';
    is scalar @top, 2, 'without a limit there is none to be close to';

    my $metrics = Phrony::Metrics->parse(
        req(GET => '/status?format=openmetrics&top=1')->body);
    my $id = $policy->trigger('runs');

    is_deeply [$metrics->faults(1)], [], 'for scrapers that want it';
    is $metrics->value("phrony_trigger_used{trigger=\"$id\",limit=\"reads\"}"),
        2, 'used';
    is $metrics->value("phrony_trigger_limit{trigger=\"$id\",limit=\"reads\"}"),
        3, 'the limit';

    # more than one step of the walk, and the closest was used first of all

    start_run("many$_", key => 'alice', stand_in => {status => 400})
        for 1 .. 70, 7, 7;

    @top = @{status('json')->json->{top}};

    is scalar @top, 20, 'at most 20';
    is_deeply [map { $_->{trigger} } @top[0 .. 2]],
        [map { $policy->trigger($_) } qw(alpha runs many7)], 'in order';

    my %seen;

    is_deeply [grep { $seen{$_->{trigger}}++ } @top], [], 'each of them once';
};


subtest 'unfinished runs' => sub {
    my $many = nginx(locations => <<'END', workers => 1);
    location / { phrony on; proxy_pass http://{{upstream_name}}; }
    location = /status { phrony_status; }
END

    # more than are looked at for the top

    start_run("each$_", key => 'alice', at => $many) for 1 .. 1020;

    my $json = $many->client->req(GET => '/status')->json;

    is $json->{store}{triggers}, 1020, 'of many triggers';
    is $json->{store}{held}, 1020, 'all of them';

    my $metrics = Phrony::Metrics->parse($many->client->req(GET =>
        '/status?format=prometheus')->body);

    is $metrics->value('phrony_slots'), 1020, 'as a metric';
};


subtest 'with Redis' => sub {
    my $shared = nginx(locations => <<'END', workers => 1, redis => $redis);
    location / { phrony on; proxy_pass http://{{upstream_name}}; }
    location = /status { phrony_status; }
END
    my $figures = sub { $shared->client->req(GET => '/status')->json };

    wait_for { $figures->()->{redis}{ready} } 10, 'the connection';

    start_run('alpha', key => 'alice', at => $shared) for 1 .. 3;

    my $json = $figures->();

    is $json->{latencies}{decisions}{redis}{counts}[-1], 0, 'not that slow';

    my $n = 0;

    $n += $_ for @{$json->{latencies}{decisions}{redis}{counts}};
    is $n, 3, 'decided by Redis';
    cmp_ok $json->{latencies}{decisions}{redis}{sum}, '>', 0, 'in some time';

    my $trips = 0;

    $trips += $_ for @{$json->{latencies}{redis}{counts}};
    cmp_ok $trips, '>=', 3, 'round trips';
    cmp_ok $json->{latencies}{redis}{sum}, '>', 0, 'took some time';
    is_deeply $json->{top}[0]{rpm}, {used => 3, limit => 8}, 'the top';
    is_deeply [@{$json->{store}}{qw(held leases)}], [3, 0], 'Redis has slots';

    my $metrics = Phrony::Metrics->parse($shared->client->req(
        GET => '/status?format=openmetrics')->body);

    is_deeply [$metrics->faults(1)], [], 'metrics are well formed';
    is $metrics->value('phrony_redis_up'), 1, 'it is up';
    is $metrics->value('phrony_redis_trip_seconds_count'), $trips, 'trips';
    is $metrics->value('phrony_policy_cache_hits_total'), undef,
        'the policy is a file';

    $redis->stop;
    wait_for { !$figures->()->{redis}{ready} } 10, 'its end';
    start_run('alpha', key => 'alice', at => $shared) for 1 .. 2;

    $json = $figures->();
    is $json->{latencies}{decisions}{local}{counts}[0], 2, 'decided locally';
    is $json->{top}[0]{rpm}{used}, 5, 'the top goes on';
    allow_log(qr/redis/);
};


done_testing();
