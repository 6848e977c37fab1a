#!/usr/bin/perl

# The status page for people, in a real browser: what it shows is what the
# JSON says, it goes on by itself, asks for nothing but its figures, and runs
# nothing but its own script.

use FindBin;
use lib "$FindBin::Bin/lib";
use Digest::SHA qw(sha256_base64);
use Phrony::Browser;
use Phrony::Test;

system("$FindBin::Bin/../tools/install-packages", 'browser') == 0
    or die "no browser could be installed\n";

my $up = stand_in();
my $redis = redis();

my $policy = policy(
    agents => {alpha => {rpmLimit => 10, rpdLimit => 400},
        beta => {rpmLimit => 60, maxConcurrentRuns => 6, readRpmLimit => 20},
        gamma => {rpdLimit => 1000, maxConcurrentRuns => 40}},
    keys   => {alice => {}},
);

my %locations = (locations => <<'END');
    location / { phrony on; phrony_ingress_log redis;
        proxy_pass http://{{upstream_name}}; }
    location = /status { phrony_status; }
END

my $nginx = nginx(%locations, redis => $redis);
my $browser = Phrony::Browser->start(dir => test_dir() . '/browser');

my $pictures = $ENV{TEST_PICTURES} // test_dir();


sub figures { req(GET => '/status?format=json')->json }
sub page { 'http://' . $nginx->address . '/status' }
sub text { $browser->value("document.getElementById('$_[0]').innerText") }

# How often the page was filled; 0 while there is none to ask.

sub shown { eval { $browser->value('Number(document.documentElement.dataset'
    . '.shown || 0)') } || 0 }


# A number as the page writes it.

sub number {
    my ($n) = @_;

    1 while $n =~ s/(\d)(\d{3})(?!\d)/$1,$2/;

    return $n;
}


wait_for { figures()->{redis}{ready} } 10, 'Redis';

start_run('alpha', key => 'alice', stand_in => {status => 400})
    for 1 .. 13;
my $run = start_run('beta', key => 'alice', headers => ['Idempotency-Key' =>
    'one'])->json->{runId};
start_run('beta', key => 'alice', headers => ['Idempotency-Key' => 'one']);
start_run('beta', key => 'alice') for 1 .. 4;
start_run('gamma', key => 'alice') for 1 .. 9;
poll($run, key => 'alice') for 1 .. 17;
req(GET => "/v1/$_") for 1 .. 6;
req(POST => '/v1/agents/' . $policy->agent('alpha') . '/runs') for 1 .. 3;


subtest 'the policy for browsers' => sub {
    my $r = req(GET => '/status?format=html');
    my $csp = $r->header('Content-Security-Policy');

    like $csp, qr/\Adefault-src 'none'; /, 'nothing is allowed';
    unlike $csp, qr/unsafe|\*|http/, 'and nothing made easy';
    is $r->header('X-Content-Type-Options'), 'nosniff', 'no guesses';
    is $r->header('Referrer-Policy'), 'no-referrer', 'no referrer';
    is req(GET => '/status?format=json')->header('Content-Security-Policy'),
        undef, 'it is of the page';

    for my $name (qw(script style)) {
        my ($text) = $r->body =~ m{<$name>(.*?)</$name>}s;
        my $hash = sha256_base64($text);

        $hash .= '=' while length($hash) % 4;
        like $csp, qr/\b$name-src 'sha256-\Q$hash\E'/, "the $name is told";
    }
};


for my $scheme (qw(light dark)) {
    subtest $scheme => sub {
        $browser->look(scheme => $scheme, width => 1320, height => 1200);
        $browser->go(page());
        wait_for { shown() } 20, 'the figures';

        my $json = figures();

        like text('about'), qr/\Amodule\ \Q$json->{version}\E,\ nginx\x20
            \Q$json->{nginx}\E,\ store\ redis,/x, 'versions';
        like text('state'), qr/\Aas of /, 'up to date';

        my $tiles = text('tiles');

        like $tiles, qr/Unfinished runs\s+14\b/, 'runs';
        like $tiles, qr/Redis\s+connected/, 'Redis is there';

        my $routes = text('routes');

        for my $route (keys %{$json->{routes}}) {
            my $want = join '\s+', $route, map { number($json->{routes}{$route}
                {$_}) } qw(admitted passed replayed refused dry_run);

            like $routes, qr/^$want\b/m, "$route: all outcomes";
        }

        my $refusals = text('refusals');
        my %refused = %{$json->{requests}{refused}};

        for my $reason (keys %refused) {
            $refused{$reason}
                ? like $refusals, qr/^$reason\s+$refused{$reason}\b/m, $reason
                : unlike $refusals, qr/\b$reason\b/, "no $reason";
        }

        my @rows = split /\n(?=[0-9a-f]{8}-)/, text('top');

        is scalar @rows, 4, 'three triggers, and a head';
        like $rows[1], qr{\A\Q$json->{top}[0]{trigger}\E\s+10\ /\ 10\s
            +10\ /\ 400\b}x, 'the closest to its limit';

        my $width = $browser->value('[...document.querySelectorAll("#top'
            . ' .fill")].map(e => e.getBoundingClientRect().width'
            . ' / e.parentElement.getBoundingClientRect().width)');

        is sprintf('%.2f', $width->[0]), '1.00', 'its bar is full';
        is sprintf('%.3f', $width->[1]), '0.025', 'that of the day is not';

        is $browser->value('document.querySelectorAll("#decisions .chart")'
            . '.length'), 1, 'a histogram of decisions';
        is $browser->value('document.querySelectorAll("#redis .chart > div")'
            . '.length'), 14, 'and of round trips';
        like text('store'), qr/slots held here\s+\d/, 'the store';
        like text('redis'), qr/ingress\ log,\ entries\s+$json->{ingress}{logged}
            \s+ingress\ log,\ missing\s+0\b/x, 'the ingress log';
        like text('policy'), qr/triggers\s+3\b/, 'the policy';
        is $browser->value('document.documentElement.scrollWidth'
            . ' <= innerWidth'), 1, 'it is not wider than the window';

        my $light = $browser->value('getComputedStyle(document.body)'
            . '.backgroundColor.match(/\d+/g).every(n => n > 200)');

        is !!$light, $scheme eq 'light', 'its colours';

        $browser->picture("$pictures/status-$scheme.png");
        cmp_ok -s "$pictures/status-$scheme.png", '>', 20_000, 'a picture';
        is_deeply [$browser->complaints], [], 'the browser complains of nothing';
    };
}


subtest 'it goes on' => sub {
    my $before = figures()->{requests}{admitted};

    start_run('gamma', key => 'alice') for 1 .. 3;

    my $want = number($before + 3);

    wait_for { text('tiles') =~ /Starts admitted\s+\S+\s+$want in all/ } 20,
        'the new figures';
    pass 'new figures';
    like text('tiles'), qr{Requests\s+\d[\d.,]*/s}, 'a rate';

    # a name in the figures is never read as HTML

    $browser->value('document.getElementById("pause").click()');
    is text('pause'), 'Go on', 'paused';

    $browser->value('show({...before.figures, store: {...before.figures.store,'
        . ' name: "<b id=x>x</b>"}})');
    is $browser->value('document.getElementById("x") === null'), 1,
        'text stays text';
    like text('about'), qr/<b id=x>/, 'and is shown';
    $browser->value('document.getElementById("pause").click()');
    wait_for { text('about') !~ /<b/ } 20, 'to go on';
    is_deeply [$browser->complaints], [], 'the browser complains of nothing';
};


subtest 'nothing but its figures' => sub {
    my %asked = map { s/\A\Qhttp:\/\/@{[$nginx->address]}\E//r => 1 }
        grep { !/\Adata:/ } $browser->requests;

    is_deeply [sort keys %asked], ['/status', '/status?format=json'],
        'what it asked for';

    is $browser->value('const s = document.createElement("script");'
        . ' s.textContent = "window.ran = 1"; document.body.append(s);'
        . ' window.ran'), undef, 'no other script';
    $browser->value('document.body.insertAdjacentHTML("beforeend",'
        . ' "<p id=styled style=\"color: red\">x</p>")');
    isnt $browser->value('getComputedStyle(document.getElementById("styled"))'
        . '.color'), 'rgb(255, 0, 0)', 'no other style';
    is $browser->value('fetch("http://127.0.0.1:1/").then(() => 1, e => 2)'),
        2, 'no other place';

    my @refused = $browser->complaints;

    cmp_ok scalar(grep { /Content Security Policy/ } @refused), '>=', 3,
        'it was the policy that refused';
};


subtest 'on a small screen' => sub {
    $browser->look(scheme => 'light', width => 380, height => 800);
    $browser->go(page());
    wait_for { shown() } 20, 'the figures';
    is $browser->value('document.documentElement.scrollWidth <= innerWidth'),
        1, 'it is not wider than the screen';
    $browser->picture("$pictures/status-small.png");
};


subtest 'without answers' => sub {
    $browser->look;
    $browser->go(page());
    wait_for { shown() } 20, 'the figures';

    $redis->stop;
    wait_for { text('tiles') =~ /Redis\s+away/ } 20, 'Redis to be away';
    pass 'Redis is away';

    start_run('gamma', key => 'alice') for 1 .. 2;
    wait_for { text('redis') =~ /ingress log, missing\s+2\b/ } 20,
        'attempts that are not logged';
    is $browser->value('[...document.querySelectorAll("#redis tr")].find(r =>'
        . ' r.innerText.includes("missing")).lastChild.className'), 'warn',
        'it warns of them';

    $nginx->quit;
    wait_for { text('state') =~ /\Ano figures: / } 20, 'the page to say so';
    is $browser->value('document.getElementById("state").className'), 'bad',
        'it says that it has no figures';
    like text('tiles'), qr/Redis\s+away/, 'the last ones stay';
    allow_log(qr/redis/);
};


$browser->stop;

done_testing();
