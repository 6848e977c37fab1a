#!/usr/bin/perl

# Where a request goes after it was decided on must be allowed as well, and
# variables that are asked for early tell the truth.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;

my $up = stand_in();
my $policy = policy(
    agents => {alpha => {maxConcurrentRuns => 1}, beta => {}},
    keys   => {one => {agents => ['alpha']}, both => {}});
my ($alpha, $beta) = map { $policy->agent($_) } qw(alpha beta);
my ($down, $early) = map { free_port() } 1, 2;

my $nginx = nginx(down => $down, early => $early, http => <<"END",
    limit_req_zone \$phrony_key_id\$phrony_route zone=early:1m rate=1r/m;

    server {
        listen 127.0.0.1:{{early}};
        phrony on;
        location / {
            limit_req zone=early;
            proxy_pass http://{{upstream_name}};
        }
    }
END
    location => <<"END");
    location /v1/agents/$alpha/ {
        phrony on;
        proxy_pass http://127.0.0.1:{{down}};
        error_page 502 = /v1/agents/$beta/sessions;
    }
    location = /v1/agents/$beta/sessions {
        phrony on;
        proxy_pass http://{{upstream_name}};
    }
    location = /v1/agents/$alpha/any {
        phrony on;
        proxy_pass http://127.0.0.1:{{down}};
        error_page 502 = /v1/agents/$beta/any;
    }
    location = /v1/agents/$beta/any {
        phrony on;
        satisfy any;
        allow 127.0.0.1;
        deny all;
        proxy_pass http://{{upstream_name}};
    }
END

subtest 'an agent that the key has not' => sub {
    my $seen = $up->state->{requests};
    my $r = req(GET => "/v1/agents/$alpha/sessions",
        key => $policy->key('one'));

    is $r->status, 403, 'is refused after a redirect';
    is $r->json->{reason}, 'agent_out_of_scope', 'with the reason';
    is $up->state->{requests}, $seen, 'and its upstream is not asked';
};

subtest 'also where another module has let it in' => sub {
    my $seen = $up->state->{requests};

    is req(GET => "/v1/agents/$alpha/any", key => $policy->key('one'))
        ->status, 403, 'it is refused';
    is $up->state->{requests}, $seen, 'and its upstream is not asked';

    req(GET => "/v1/agents/$alpha/any", key => $policy->key('both'));
    is $up->state->{requests}, $seen + 1, 'but by a key that has both';
};

subtest 'an agent that the key has' => sub {
    my $r = req(GET => "/v1/agents/$alpha/sessions",
        key => $policy->key('both'));

    is $r->status, 200, 'is reached';
    is $up->last_request->{method}, 'GET', 'once';
};

subtest 'a start that is redirected into a refusal' => sub {
    for (1, 2) {
        my $r = req(POST => "/v1/agents/$alpha/runs", json => {},
            key => $policy->key('one'));

        is $r->status, 403, 'is refused, and its slot given back';
    }
};

subtest 'variables before the ACCESS phase' => sub {
    my @status = map {
        client($early)->req(GET => "/v1/agents/$beta/sessions",
            key => $policy->key('both'))->status
    } 1, 2;

    is "@status", '200 503', 'limit_req counts by the id of the key';

    is client($early)->req(GET => "/v1/agents/$alpha/sessions",
        key => $policy->key('one'))->status, 200, 'each key for itself';

    is client($early)->req(GET => "/v1/agents/$beta",
        key => $policy->key('both'))->status, 200, 'each route for itself';
};

done_testing;
