#!/usr/bin/perl

# The phrony_redis directives and "phrony_policy redis": what is accepted, what
# is said of the rest, and where; and that no password is in it.

use FindBin;
use lib "$FindBin::Bin/lib";
use Phrony::Test;

my $up = stand_in();
my $good = policy();
my $base = 'phrony_zone phrony:1m; phrony_policy file={{policy_path}};';
my $url = 'phrony_redis redis://127.0.0.1;';
my $tls = 'phrony_redis rediss://127.0.0.1;';

my $password = write_file('password', "s3cret\n");
my $empty = write_file('empty', "\n");
my $long = write_file('long', 'x' x 4097);
my $certificate = write_file('some.crt', 'no certificate');


sub configuration {
    my ($conf, %opt) = @_;

    return nginx_t(phrony => "$base\n$conf", %opt);
}


# "$conf" is refused with this message, which names the line of "$at".

sub refused {
    my ($name, $conf, $message, $at, %opt) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $t = configuration($conf, %opt);
    my ($emerg) = $t->{output} =~ /\[emerg\] (.*)/;

    subtest $name => sub {
        isnt $t->{code}, 0, 'is refused';
        is $t->{signal}, 0, 'without a crash';
        like $emerg // '', $message, 'says why';
        unlike $t->{output}, qr/s3cret/, 'tells no secret';
        like $emerg // '', qr/\bnginx\.conf:@{[line_of($at, $t)]}\b/,
            'and where' if $at;
    };
}


sub line_of {
    my ($text, $t) = @_;

    my ($conf) = $t->{output} =~ m{(/\S+/nginx\.conf)} or return 0;
    my $n = 0;

    for (split /^/, do { local (@ARGV, $/) = $conf; <> }) {
        $n++;
        return $n if /\Q$text\E/;
    }

    return 0;
}


my $timeouts = 'phrony_redis_timeout 100ms; phrony_redis_connect_timeout 1s;';

my %accepted = (
    'a server' => $url,
    'everything of it' => 'phrony_redis redis://u:s3cret@127.0.0.1:6380/3;'
        . " $timeouts phrony_redis_prefix a-b:c;",
    'a password alone' => 'phrony_redis redis://:s3cret@127.0.0.1;',
    'IPv6' => 'phrony_redis redis://[::1]:6380;',
    'a name that is known' => 'phrony_redis redis://localhost;',
    'a socket' => 'phrony_redis unix:/run/redis.sock:2;',
    'a password in a file' => "$url phrony_redis_password_file $password;",
    'a user beside it' => "$url phrony_redis_user gateway;"
        . " phrony_redis_password_file $password;",
    'sentinels' =>
        'phrony_redis redis+sentinel://127.0.0.1,127.0.0.2:26380/main/1;',
    'a cluster' => 'phrony_redis redis+cluster://127.0.0.1,[::1]:7000;',
    'TLS, unverified' => "$tls phrony_redis_ssl_verify off;",
    'a log of attempts' => "$url phrony_ingress_log redis;",
    'so many of them' => "$url phrony_ingress_log redis maxlen=1000000;",
    'none of them' => 'phrony_ingress_log off;',
    'a name that only the resolver knows' =>
        'resolver 127.0.0.1; phrony_redis redis://redis.example.invalid;',
);

for my $name (sort keys %accepted) {
    my $t = configuration($accepted{$name});
    is $t->{code}, 0, $name or diag $t->{output};
}

is configuration("$url phrony_policy_cache 1s; phrony_policy_stale 1h;",
    phrony => "phrony_zone phrony:1m; phrony_policy redis;\n"
        . "$url phrony_policy_cache 1s; phrony_policy_stale 1h;")->{code}, 0,
    'policy in Redis';


# the URL

refused('no URL', 'phrony_redis 127.0.0.1;',
    qr/invalid URL in "phrony_redis": \S/, 'phrony_redis 127');
refused('a bad port', 'phrony_redis redis://u:s3cret@127.0.0.1:0;',
    qr/invalid URL in "phrony_redis": .*port/, 'phrony_redis redis');
refused('twice', "$url\n$url", qr/"phrony_redis" directive is duplicate/);
refused('a host that is not known',
    'phrony_redis redis://u:s3cret@redis.example.invalid;',
    qr/host "redis\.example\.invalid" of "phrony_redis" in .* was not found/,
    'phrony_redis redis');

# who authenticates

refused('a user without a password', 'phrony_redis redis://u@127.0.0.1;',
    qr/"phrony_redis" in .* has a user, but neither a password nor "phrony/,
    'phrony_redis redis');
refused('two users', 'phrony_redis redis://u:s3cret@127.0.0.1;'
    . "\nphrony_redis_user v;",
    qr/has a user, which conflicts with "phrony_redis_user"/,
    'phrony_redis redis');
refused('two passwords', 'phrony_redis redis://:s3cret@127.0.0.1;'
    . "\nphrony_redis_password_file $password;",
    qr/has a password, which conflicts with "phrony_redis_password_file"/,
    'phrony_redis redis');
refused('no such file', "$url phrony_redis_password_file /no/such/file;",
    qr{open\(\) "/no/such/file" failed});
refused('an empty one', "$url phrony_redis_password_file $empty;",
    qr/"\Q$empty\E" must hold a password of 1 to 4096 bytes/);
refused('a long one', "$url phrony_redis_password_file $long;",
    qr/"\Q$long\E" must hold a password of 1 to 4096 bytes/);

# the ingress log

refused('a log without Redis', 'phrony_ingress_log redis;',
    qr/"phrony_ingress_log" in .* requires "phrony_redis"/,
    'phrony_ingress_log');
refused('a log elsewhere', "$url\nphrony_ingress_log file;",
    qr/invalid parameter "file", it must be off or redis \[maxlen=n\]/,
    'phrony_ingress_log');
refused('off, and how', "$url\nphrony_ingress_log off maxlen=1;",
    qr/invalid parameter "maxlen=1", it must be off or redis/,
    'phrony_ingress_log');
refused('two logs', "$url\nphrony_ingress_log redis;\n"
    . 'phrony_ingress_log off;',
    qr/"phrony_ingress_log" directive is duplicate/,
    'phrony_ingress_log off');

for my $value (qw(maxlen=0 maxlen=1000001 maxlen= maxlen=x maxlen=-1 max=1)) {
    refused($value, "$url\nphrony_ingress_log redis $value;",
        qr/invalid parameter "$value", it must be maxlen=n with n from 1 to 1000000/,
        'phrony_ingress_log');
}

# settings

refused('an empty prefix', "$url\nphrony_redis_prefix '';",
    qr/must have 1 to 64 bytes/, 'phrony_redis_prefix');
refused('a long prefix', "$url\nphrony_redis_prefix @{['x' x 65]};",
    qr/must have 1 to 64 bytes/, 'phrony_redis_prefix');
refused('a prefix with a hash tag', "$url\nphrony_redis_prefix 'a{b}';",
    qr/must be printable ASCII without spaces and braces/,
    'phrony_redis_prefix');

for my $name (qw(timeout connect_timeout)) {
    refused("phrony_redis_$name 0", "$url\nphrony_redis_$name 0;",
        qr/must be at least 1ms/, "phrony_redis_$name");
}

my %settings = (
    timeout => '1s', connect_timeout => '1s', prefix => 'a', user => 'u',
    password_file => $password, ssl_verify => 'off', ssl_name => 'a',
    ssl_trusted_certificate => $certificate, ssl_certificate => $certificate,
    ssl_certificate_key => $certificate,
);

for my $name (sort keys %settings) {
    my $setting = "phrony_redis_$name $settings{$name};";

    refused("$name alone", "\n$setting",
        qr/"phrony_redis_$name" in .* requires "phrony_redis"/, $setting);

    refused("$name without TLS", "$url\n$setting",
        qr/"phrony_redis_$name" in .* requires "phrony_redis rediss:/,
        $setting) if $name =~ /^ssl/;
}

# TLS

refused('TLS that nothing verifies', $tls, qr/"phrony_redis"[ ]in[ ].*[ ]asks[ ]for[ ]TLS,[ ]which
    [ ]requires[ ]"phrony_redis_ssl_trusted_certificate"[ ]or[ ]"phrony/x,
    $tls);
refused('a certificate without its key', "$tls\nphrony_redis_ssl_verify off;"
    . " phrony_redis_ssl_certificate $certificate;",
    qr/requires "phrony_redis_ssl_certificate_key"/, $tls);
refused('a key without its certificate', "$tls\nphrony_redis_ssl_verify off;"
    . " phrony_redis_ssl_certificate_key $certificate;",
    qr/requires "phrony_redis_ssl_certificate"/, $tls);
refused('no certificate', "$tls phrony_redis_ssl_trusted_certificate"
    . " $certificate;", qr/\Q$certificate\E"\) failed/);

# policy

for my $name (qw(cache stale)) {
    refused("phrony_policy_$name of a file", "$url\nphrony_policy_$name 1s;",
        qr/"phrony_policy_$name" in .* requires "phrony_policy redis"/,
        "phrony_policy_$name");
}

refused('policy in a Redis that there is not', '',
    qr/"phrony_policy redis" in .* requires "phrony_redis"/,
    'phrony_policy redis', phrony => 'phrony_zone phrony:1m;'
        . "\nphrony_policy redis;");
refused('policy from elsewhere', '',
    qr/invalid parameter "elsewhere", it must be file=path or redis/, 'phrony_policy elsewhere',
    phrony => "phrony_zone phrony:1m;\nphrony_policy elsewhere;");
refused('policy from two places', "\nphrony_policy redis;",
    qr/"phrony_policy" directive is duplicate/);

done_testing();
