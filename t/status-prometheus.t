#!/usr/bin/perl

# The metrics as a real Prometheus sees them, and what conf-examples has for
# it: rules that say what they mean, and a dashboard without an empty panel.

use FindBin;
use lib "$FindBin::Bin/lib";
use File::Copy qw(copy);
use Phrony::Metrics;
use Phrony::Prometheus;
use Phrony::Test;

my $root = "$FindBin::Bin/..";

system("$root/tools/install-packages", 'monitor') == 0
    or die "no Prometheus could be installed\n";

my $up = stand_in();
my $redis = redis();

my $policy = policy(
    agents => {alpha => {rpmLimit => 3}, beta => {maxConcurrentRuns => 9,
        readRpmLimit => 50}},
    keys   => {alice => {}},
);

$policy->store(sub { $redis->call(@_) });

my $nginx = nginx(phrony => 'phrony_zone phrony:4m; phrony_policy redis;'
    . ' phrony_redis ' . $redis->url . ';', locations => <<'END');
    location / { phrony on; proxy_pass http://{{upstream_name}}; }
    location = /phrony_status { phrony_status; }
END

sub slurp {
    my ($name) = @_;

    open my $file, '<', "$root/$name" or die "$name: $!\n";
    local $/;

    return readline $file;
}


# What promtool says of a file, or of a text on its standard input.

sub promtool {
    my ($text, @command) = @_;

    my $in = write_file('promtool.in', $text // '');
    my $out = test_dir() . '/promtool.out';

    my $status = system("promtool @command <'$in' >'$out' 2>&1");

    open my $file, '<', $out or die "$out: $!\n";
    local $/;

    return ($status, readline($file) // '');
}


sub load {
    my $run = start_run('beta', key => 'alice', headers =>
        ['Idempotency-Key' => 'one'])->json->{runId};

    start_run('beta', key => 'alice', headers => ['Idempotency-Key' => 'one']);
    start_run('alpha', key => 'alice', stand_in => {status => 400})
        for 1 .. 5;
    poll($run, key => 'alice');
    req(GET => '/v1/nowhere');
}


wait_for { req(GET => '/phrony_status')->json->{redis}{ready} } 10, 'Redis';
load();

my $rules = slurp('conf-examples/prometheus-alerts.yml');


subtest 'promtool' => sub {
    for my $query ('', '&top=1') {
        my ($status, $said) = promtool(req(GET =>
            "/phrony_status?format=prometheus$query")->body,
            qw(check metrics));

        is_deeply [$status, $said], [0, ''], "is quiet about metrics $query";
    }

    my ($status, $said) = promtool("# TYPE a counter\na 1\n",
        qw(check metrics));

    isnt $said, '', 'it is not always quiet';

    my $dir = test_dir() . '/rules';

    mkdir $dir or die "$dir: $!\n";
    copy("$root/$_", "$dir/") or die "$_: $!\n"
        for 'conf-examples/prometheus-alerts.yml',
        'conf-examples/prometheus.yml', 't/monitor/alerts.yml';

    ($status, $said) = promtool(undef, 'check', 'config',
        "$dir/prometheus.yml");
    is $status, 0, 'the configuration and the rules' or diag $said;
    ($status, $said) = promtool(undef, 'test', 'rules', "$dir/alerts.yml");
    is $status, 0, 'the rules say what they mean' or diag $said;

    my $tests = slurp('t/monitor/alerts.yml');

    for my $alert ($rules =~ /^\s+- alert: (\w+)$/mg) {
        my @raised = $tests =~ /^\s+alertname: $alert$(?:\n\s+(\w+):)?/mg;

        is scalar(grep { ($_ // '') eq 'exp_alerts' } @raised), 1,
            "$alert is tested";
        cmp_ok scalar @raised, '>=', 2, 'and that it is not raised';
    }
};


# The example, with this gateway for its targets, and more often.

my $config = slurp('conf-examples/prometheus.yml');

$config =~ s/^(\s+)- 192\.0\.2\.1:8090\n.*\n/$1 . '- ' . $nginx->address
    . "\n"/me or die "no targets\n";
$config =~ s/15s/1s/g;
$config =~ s/^    # (params:)\n    #(   top.*)\n/    $1\n    $2\n/m
    or die "no parameters\n";

my $prometheus = Phrony::Prometheus->start(dir => test_dir() . '/prometheus',
    port => free_port(), config => $config,
    rules => {'prometheus-alerts.yml' => $rules});

my $scraped = sub {
    my $series = $prometheus->query('count_over_time(phrony_build_info[1m])');

    return @$series ? $series->[0]{value}[1] : 0;
};


subtest 'a scrape' => sub {
    wait_for { $scraped->() >= 1 } 30, 'a scrape';

    my ($target) = @{$prometheus->api('targets')->{activeTargets}};

    is_deeply [@$target{qw(health lastError)}], ['up', ''], 'it is up';

    my $metrics = Phrony::Metrics->parse(
        req(GET => '/phrony_status?format=openmetrics&top=1')->body);
    my %kept = map { $_ => 1 } @{$prometheus->api('label/__name__/values')};

    is_deeply [grep { !$kept{$_} } $metrics->names], [],
        'it has taken each metric';

    my $of = $prometheus->api('metadata');

    is $of->{$_->[0]}[0]{type}, $_->[1], "$_->[0] is a $_->[1]" for
        ['phrony_requests', 'counter'], ['phrony_build', 'info'],
        ['phrony_decision_seconds', 'histogram'], ['phrony_slots', 'gauge'];

    # the format that it asks for has units, the other one has not

    is $of->{phrony_zone_free_bytes}[0]{unit}, 'bytes', 'as OpenMetrics';
};


subtest 'the figures' => sub {
    my $before = $scraped->();

    load();
    wait_for { $scraped->() >= $before + 3 } 30, 'three more scrapes';

    my $json = req(GET => '/phrony_status?format=json')->json;

    for (['phrony_requests_total{route="start",outcome="admitted"}',
            $json->{requests}{admitted}],
         ['phrony_refusals_total{reason="rate_limited"}',
            $json->{requests}{refused}{rate_limited}],
         ['phrony_policy_cache_misses_total', $json->{cache}{misses}],
         ['phrony_decision_seconds_count{store="redis"}',
            eval { my $n = 0; $n += $_ for @{$json->{latencies}{decisions}
                {redis}{counts}}; $n }],
         ['phrony_slots', $json->{store}{held}])
    {
        is $prometheus->query($_->[0])->[0]{value}[1], $_->[1], $_->[0];
    }

    cmp_ok $json->{cache}{hits}, '>', $json->{cache}{misses},
        'the cache is of use';
    cmp_ok $json->{cache}{bytes}, '>', 0, 'it holds something';
    cmp_ok $json->{cache}{max_bytes}, '>', $json->{cache}{bytes},
        'and has room';
};


subtest 'rules' => sub {
    my ($group) = @{$prometheus->api('rules')->{groups}};
    my @alerts = $rules =~ /^\s+- alert: (\w+)$/mg;

    wait_for { ($group) = @{$prometheus->api('rules')->{groups}};
        !grep { $_->{health} eq 'unknown' } @{$group->{rules}} } 30,
        'the rules';
    is_deeply [map { $_->{name} } @{$group->{rules}}], \@alerts, 'all of them';
    is_deeply [grep { $_->{health} ne 'ok' } @{$group->{rules}}], [],
        'can be evaluated';

    my %kept = map { $_ => 1 } @{$prometheus->api('label/__name__/values')};

    is_deeply [grep { !$kept{$_}
        && !/\Aphrony_(?:status|store_failure)\z/ }
        $rules =~ /\b(phrony_\w+)/g], [],
        'are about metrics that there are';
};


subtest 'the dashboard' => sub {
    my $dashboard = decode_json(slurp('conf-examples/grafana-dashboard.json'));
    my %kept = map { $_ => 1 } @{$prometheus->api('label/__name__/values')};
    my (%ids, %shown);

    for my $panel (@{$dashboard->{panels}}) {
        ok !$ids{$panel->{id}}++, "$panel->{title}: an id of its own";
        next if $panel->{type} eq 'row';

        cmp_ok scalar @{$panel->{targets}}, '>', 0, 'it shows something';

        for my $target (@{$panel->{targets}}) {
            my $expression = $target->{expr};

            $expression =~ s/\$__rate_interval/1m/g;
            $expression =~ s/\$job/phrony/g;
            $expression =~ s/\$instance/.*/g;
            unlike $expression, qr/\$/, 'no other variable';

            cmp_ok scalar @{$prometheus->query($expression)}, '>', 0,
                $target->{expr};

            $shown{$_} = 1 for $expression =~ /\b(phrony_\w+)/g;
        }
    }

    is_deeply [grep { !$kept{$_} } keys %shown], [],
        'it shows metrics that there are';
    is_deeply [grep { !$shown{$_} && !/_(?:sum|count)\z/ }
        grep { /\Aphrony_/ } keys %kept], [], 'and each of them';
};


unlike $prometheus->output, qr/level=(?:warn|error)/, 'it has no complaint';
$prometheus->stop;

done_testing();
