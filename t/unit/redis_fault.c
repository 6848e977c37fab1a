
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


/* sources: ngx_http_phrony_module/redis/ nginx */


#include "redis_fake.h"


/* What a server should not do. */


static void test_garbage(void);
static void garbage(const char *reply, const char *logged);
static int garbage_answer(fake_t *fake, const phrony_resp_t *command);
static void test_cut(void);
static int cut_answer(fake_t *fake, const phrony_resp_t *command);
static int reset_answer(fake_t *fake, const phrony_resp_t *command);
static void test_one_by_one(void);
static int one_by_one_answer(fake_t *fake, const phrony_resp_t *command);
static void test_too_early(void);
static int too_early_answer(fake_t *fake, const phrony_resp_t *command);
static void test_full_socket(void);
static void test_half_sent(void);
static int deaf_answer(fake_t *fake, const phrony_resp_t *command);
static void test_loading(void);
static int loading_answer(fake_t *fake, const phrony_resp_t *command);
static void test_readonly(void);
static int readonly_answer(fake_t *fake, const phrony_resp_t *command);
static void test_replica(void);
static int replica_answer(fake_t *fake, const phrony_resp_t *command);
static void test_no_script(void);
static int no_script_answer(fake_t *fake, const phrony_resp_t *command);
static void test_no_permission(void);
static int no_permission_answer(fake_t *fake, const phrony_resp_t *command);
static void test_quoted_password(void);
static int quoting_answer(fake_t *fake, const phrony_resp_t *command);
static void test_silent(void);
static int silent_answer(fake_t *fake, const phrony_resp_t *command);
static void test_addresses(void);
static void test_shutdown(void);


static char     fake_text[256];
static probe_t  probes[2048];


int
main(void)
{
    loop_open();

    test_garbage();
    test_cut();
    test_one_by_one();
    test_too_early();
    test_full_socket();
    test_half_sent();
    test_loading();
    test_readonly();
    test_replica();
    test_no_script();
    test_no_permission();
    test_quoted_password();
    test_silent();
    test_addresses();
    test_shutdown();

    loop_close();

    return done();
}


static void
test_garbage(void)
{
    garbage("HTTP/1.1 400 Bad Request\r\n\r\n", NULL);
    garbage("\r\n", NULL);
    garbage("$9000000\r\n", NULL);
    garbage("*100001\r\n", NULL);
    garbage("*-2\r\n", NULL);
    garbage("_\r\n", NULL);
    garbage("%1\r\n+a\r\n+b\r\n", NULL);
    garbage(":1x\r\n", NULL);
    garbage("+OK\r\n+OK\r\n",
            "redis failed: a reply that nobody asked for");
}


static void
garbage(const char *reply, const char *logged)
{
    int      failures;
    probe_t  first, second;

    snprintf(fake_text, sizeof(fake_text), "%s", reply);
    fake_start(garbage_answer);

    ok(fake_ready(), "ready, then: %s", show(reply, strlen(reply)));

    (void) probe_send(&first, "GET first");
    (void) probe_send(&second, "GET second");
    ok(loop_until(probe_done, &second, 2000), "its end");

    failures = (int) client_counters.failures;

    is_int(first.done, 1, "the first command has an end");
    is_int(first.result, reply[0] == '+' ? NGX_PHRONY_REDIS_ANSWERED
                                         : NGX_PHRONY_REDIS_LOST,
           "as it should");
    is_int(second.done, 1, "the second one, too");
    is_int(second.result, reply[0] == '+' ? NGX_PHRONY_REDIS_ANSWERED
                                          : NGX_PHRONY_REDIS_LOST,
           "as it should");

    if (logged == NULL) {
        is_int(failures, 1, "the connection is closed");
        is_int(client_counters.timeouts, reply[0] == '$',
               "at once, if not for what is to come yet");
        ok(loop_logged("redis failed: "), "which is logged");
    }

    ok(loop_until(client_is_ready, NULL, 2000), "and made anew");

    if (logged) {

        /* the server answers twice, so the third reply is one too many */

        loop_for(50);
        ok(loop_logged(logged), "\"%s\" is logged", logged);
        ok(client_counters.failures > 0, "and the connection closed");
    }

    client_close();
    fake_stop();
}


static int
garbage_answer(fake_t *fake, const phrony_resp_t *command)
{
    if (fake_greet(fake, command)) {
        return 1;
    }

    fake_say(fake, fake_text);

    return 1;
}


static void
test_cut(void)
{
    probe_t  probe;

    fake_start(cut_answer);
    ok(fake_ready(), "ready");

    (void) probe_send(&probe, "GET cut");
    ok(loop_until(probe_done, &probe, 1000), "half a reply, and the end");
    is_int(probe.result, NGX_PHRONY_REDIS_LOST, "lost");
    ok(loop_until(client_is_ready, NULL, 1000), "connects anew");
    ok(client_readies >= 2, "that is told");

    client_close();
    fake_stop();

    fake_start(reset_answer);
    ok(fake_ready(), "ready");

    (void) probe_send(&probe, "GET reset");
    ok(loop_until(probe_done, &probe, 1000), "half a reply, and a reset");
    is_int(probe.result, NGX_PHRONY_REDIS_LOST, "lost");
    ok(loop_until(client_is_ready, NULL, 1000), "connects anew");

    client_close();
    fake_stop();
}


static int
cut_answer(fake_t *fake, const phrony_resp_t *command)
{
    if (fake_greet(fake, command)) {
        return 1;
    }

    fake_say(fake, "$10\r\nhalf a");

    return 0;
}


static int
reset_answer(fake_t *fake, const phrony_resp_t *command)
{
    if (fake_greet(fake, command)) {
        return 1;
    }

    fake_say(fake, "*2\r\n:1\r\n");
    usleep(20000);

    return -1;
}


static void
test_one_by_one(void)
{
    probe_t  first, second;

    fake_start(one_by_one_answer);
    ok(fake_ready(), "ready");

    (void) probe_send(&first, "GET first");
    (void) probe_send(&second, "GET second");
    ok(loop_until(probe_done, &second, 5000), "replies, byte by byte");
    is_int(first.done, 1, "the first is done");
    ok(!strcmp(first.text, "1234567890"), "it is right");
    is_int(second.n, 3, "the second one, too");

    client_close();
    fake_stop();
}


static int
one_by_one_answer(fake_t *fake, const phrony_resp_t *command)
{
    const char  *p;

    if (fake_greet(fake, command)) {
        return 1;
    }

    if (fake_shared->number++ == 0) {
        p = "$10\r\n1234567890\r\n*3\r\n:1\r\n$-1\r\n+OK\r\n";

        for ( /* void */ ; *p; p++) {
            fake_say_bytes(fake, p, 1);
            usleep(1000);
        }
    }

    return 1;
}


/* A reply to a command that waits to be written yet. */

static void
test_too_early(void)
{
    probe_t  probe;

    fake_start(too_early_answer);
    ok(fake_ready(), "ready");

    fake_shared->flag = 1;
    usleep(100000);

    (void) probe_send(&probe, "GET early");
    loop_turn();

    is_int(probe.done, 1, "it comes before the command leaves");
    is_int(probe.result, NGX_PHRONY_REDIS_UNSENT, "the command is unsent");
    ok(loop_logged("a reply that nobody asked for"), "logged");

    client_close();
    fake_stop();
}


static int
too_early_answer(fake_t *fake, const phrony_resp_t *command)
{
    (void) fake_greet(fake, command);

    if (fake_is(command, "PING")) {
        while (!fake_shared->flag) {
            usleep(1000);
        }

        fake_say(fake, "+EARLY\r\n");
    }

    return 1;
}


/* Commands fill the socket; those that are not written are known to be. */

static void
test_full_socket(void)
{
    int                          i, n, lost, unsent, order;
    ngx_phrony_redis_command_t  *command;

    client_conf.timeout = 300;
    client_conf.connect_timeout = 1000;

    fake_start(deaf_answer);
    ok(fake_ready(), "ready");

    for (i = 0, n = 0; i < 2048; i++) {
        memset(&probes[i], 0, sizeof(probe_t));

        command = ngx_phrony_redis_command(client, 7800, sizeof(probe_t *));
        memcpy(command->bytes, "*2\r\n$4\r\nECHO\r\n$7774\r\n", 21);
        memset(command->bytes + 21, 'x', 7779);
        *(probe_t **) command->data = &probes[i];
        command->handler = probe_handler;

        n += ngx_phrony_redis_send(client, command) == NGX_OK;
    }

    is_int(n, 2048, "16 MB of commands to one who does not read");
    ok(loop_until(probe_done, &probes[n - 1], 2000), "their time runs out");

    for (i = 0, lost = 0, unsent = 0, order = 1; i < n; i++) {
        lost += probes[i].result == NGX_PHRONY_REDIS_LOST;
        unsent += probes[i].result == NGX_PHRONY_REDIS_UNSENT;
        order &= probes[i].done == 1;

        if (i && probes[i].result == NGX_PHRONY_REDIS_LOST) {
            order &= probes[i - 1].result == NGX_PHRONY_REDIS_LOST;
        }
    }

    is_int(lost + unsent, n, "each is lost or unsent");
    ok(lost > 2 && unsent > 100, "%d lost, %d unsent", lost, unsent);
    ok(order, "lost are the first ones, and each has one end");
    is_int(client_counters.timeouts, 1, "one timeout");

    client_close();
    fake_stop();
}


/* A command that was written in part is not unsent. */

static void
test_half_sent(void)
{
    size_t                       len;
    probe_t                      half, unsent;
    ngx_phrony_redis_command_t  *command;

    client_conf.timeout = 200;
    client_conf.connect_timeout = 1000;

    fake_start(deaf_answer);
    ok(fake_ready(), "ready");

    len = 12 * 1024 * 1024;
    command = ngx_phrony_redis_command(client, len, sizeof(probe_t *));

    memset(&half, 0, sizeof(probe_t));
    memset(command->bytes, 'x', len);
    *(probe_t **) command->data = &half;
    command->handler = probe_handler;

    is_int(ngx_phrony_redis_send(client, command), NGX_OK, "12 MB");
    (void) probe_send(&unsent, "PING");

    ok(loop_until(probe_done, &unsent, 3000), "are not taken");
    is_int(half.result, NGX_PHRONY_REDIS_LOST, "it is lost");
    is_int(unsent.result, NGX_PHRONY_REDIS_UNSENT, "the next one is unsent");

    client_close();
    fake_stop();
}


static int
deaf_answer(fake_t *fake, const phrony_resp_t *command)
{
    if (!fake_greet(fake, command) || fake_is(command, "PING")) {
        pause();
    }

    return 1;
}


static void
test_loading(void)
{
    fake_start(loading_answer);

    ok(fake_ready(), "ready when the server has loaded its data");
    ok(client_counters.failures >= 3, "not before");
    ok(loop_logged("redis failed: SCRIPT LOAD: LOADING Redis is loading"),
       "logged");

    client_close();
    fake_stop();
}


static int
loading_answer(fake_t *fake, const phrony_resp_t *command)
{
    /* its role can be asked for all the time */

    if (fake->connection <= 3 && !fake_is(command, "ROLE")) {
        fake_say(fake, "-LOADING Redis is loading the dataset in memory\r\n");
        return 1;
    }

    return fake_greet(fake, command);
}


/*
 * The server becomes a replica: what it refuses surely was not carried out,
 * what it answers otherwise counts.
 */

static void
test_readonly(void)
{
    probe_t  set, get, more;

    fake_start(readonly_answer);
    ok(fake_ready(), "ready");

    (void) probe_send(&set, "SET a 1");
    (void) probe_send(&get, "GET a");
    (void) probe_send(&more, "SET a 2");
    ok(loop_until(probe_done, &more, 1000), "READONLY");

    is_int(set.result, NGX_PHRONY_REDIS_UNSENT, "a command is unsent");
    is_int(get.result, NGX_PHRONY_REDIS_ANSWERED, "one is answered");
    is_int(more.result, NGX_PHRONY_REDIS_UNSENT, "one more is unsent");
    is_int(client_counters.lost, 0, "none is lost");
    is_int(client_counters.failures, 1, "the connection is closed");
    ok(loop_logged("redis failed: READONLY"), "logged");
    ok(loop_until(client_is_ready, NULL, 1000), "and made anew");

    client_close();
    fake_stop();
}


static int
readonly_answer(fake_t *fake, const phrony_resp_t *command)
{
    if (fake_greet(fake, command)) {
        return 1;
    }

    if (fake_is(command, "GET")) {
        fake_say(fake, "$1\r\n7\r\n");
        return 1;
    }

    fake_say(fake, "-READONLY You can't write against a read only replica."
                   "\r\n");
    return 1;
}


/* One that is a replica is left alone, which is said once. */

static void
test_replica(void)
{
    int  failed;

    failed = loop_lines("redis failed: ");

    fake_start(replica_answer);
    client_open();

    loop_for(600);
    ok(client_is_down(NULL), "a replica is not taken");
    is_int(client_readies, 0, "it never was");
    ok(client_counters.failures >= 3, "whatever it says, %d times",
       (int) client_counters.failures);
    ok(loop_logged("redis failed: it is no master"), "which is logged");
    is_int(loop_lines("redis failed: ") - failed, 1, "once");

    fake_shared->flag = 1;
    ok(loop_until(client_is_ready, NULL, 3000), "until it is a master");

    client_close();
    fake_stop();
}


static int
replica_answer(fake_t *fake, const phrony_resp_t *command)
{
    if (fake_is(command, "ROLE") && !fake_shared->flag) {
        fake_say(fake, "*5\r\n$5\r\nslave\r\n$9\r\n127.0.0.1\r\n:1\r\n"
                       "$7\r\nconnect\r\n:-1\r\n");
        return 1;
    }

    return fake_greet(fake, command);
}


/* The script's text is sent once, whatever comes of it. */

static void
test_no_script(void)
{
    probe_t  probe;

    fake_start(no_script_answer);
    ok(fake_ready(), "ready");

    (void) probe_eval(&probe, "1 window 10");
    ok(loop_until(probe_done, &probe, 1000), "no script is known");
    is_int(probe.result, NGX_PHRONY_REDIS_ANSWERED, "that is the answer");
    is_int(probe.type, PHRONY_RESP_ERROR, "an error");
    is_int(client_counters.reloaded, 1, "after one more try");
    is_int(fake_shared->number, 11, "by EVALSHA, then the same by EVAL");

    client_close();
    fake_stop();
}


static int
no_script_answer(fake_t *fake, const phrony_resp_t *command)
{
    phrony_str_t         s;
    const phrony_str_t  *text;

    if (fake_greet(fake, command)) {
        return 1;
    }

    if (fake_is(command, "EVALSHA") && command->n == 5) {
        fake_shared->number++;
    }

    text = &phrony_scripts[PHRONY_SCRIPT_READ].text;
    s = str("window");

    if (fake_is(command, "EVAL")
        && command->n == 5
        && phrony_str_eq(&command->elements[1].str, text)
        && phrony_str_eq(&command->elements[3].str, &s))
    {
        fake_shared->number += 10;
    }

    fake_say(fake, "-NOSCRIPT No matching script. Please use EVAL.\r\n");

    return 1;
}


static void
test_no_permission(void)
{
    probe_t  probe;

    fake_start(no_permission_answer);

    ok(fake_ready(), "ready though neither SCRIPT nor PING is permitted");
    (void) probe_send(&probe, "GET a");
    ok(loop_until(probe_done, &probe, 1000), "a command that is");
    is_int(probe.integer, 1, "is answered");

    client_close();
    fake_stop();
}


static int
no_permission_answer(fake_t *fake, const phrony_resp_t *command)
{
    if (fake_is(command, "GET")) {
        fake_say(fake, ":1\r\n");
        return 1;
    }

    fake_say(fake, "-NOPERM this user has no permissions\r\n");

    return 1;
}


static void
test_quoted_password(void)
{
    client_conf.user.data = (u_char *) "mallory";
    client_conf.user.len = 7;
    client_conf.password.data = (u_char *) "mellon";
    client_conf.password.len = 6;

    fake_start(quoting_answer);
    client_open();

    ok(loop_until_logged("redis failed: AUTH: ERR"), "AUTH is unknown");
    ok(loop_until_logged("redis failed: AUTH: NOPERM"), "or not permitted");
    is_int(client_readies, 0, "not ready");
    ok(!loop_logged("mellon"), "not what it quotes");
    ok(!loop_logged("mallory"), "neither the user");

    client_close();
    fake_stop();
}


static int
quoting_answer(fake_t *fake, const phrony_resp_t *command)
{
    fake_say(fake, (fake->connection == 1)
                   ? "-ERR unknown command `AUTH`, with args beginning with: "
                     "`mallory`, `mellon`, \r\n"
                   : "-NOPERM User mallory has no permissions\r\n");
    return 1;
}


/* It takes connections, and says nothing. */

static void
test_silent(void)
{
    client_conf.timeout = 1000;
    client_conf.connect_timeout = 100;

    fake_start(silent_answer);
    client_open();

    ok(loop_until_logged("redis failed: not ready in time"), "no answer");
    is_int(client_readies, 0, "not ready");
    is_int(client_counters.timeouts, 1, "a timeout");

    client_close();
    fake_stop();
}


static int
silent_answer(fake_t *fake, const phrony_resp_t *command)
{
    return 1;
}


/* Of a name that has several, one that answers is found. */

static void
test_addresses(void)
{
    int                 i;
    ngx_addr_t          addrs[3];
    ngx_uint_t          hosts[3];
    struct sockaddr_in  sins[3];

    fake_start(no_permission_answer);

    memset(addrs, 0, sizeof(addrs));
    memset(sins, 0, sizeof(sins));

    for (i = 0; i < 3; i++) {
        sins[i].sin_family = AF_INET;
        sins[i].sin_addr.s_addr = htonl(0x7f000101 + i);
        hosts[i] = 0;
        addrs[i].sockaddr = (struct sockaddr *) &sins[i];
        addrs[i].socklen = sizeof(sins[i]);
    }

    /* the first ones refuse; those of another host are not asked */

    sins[2].sin_addr.s_addr = htonl(INADDR_LOOPBACK);

    client_conf.parsed.nhosts = 1;
    client_conf.parsed.hosts[0].host = str("redis.test");
    client_conf.parsed.hosts[0].port = server_listens;
    client_conf.addrs = addrs;
    client_conf.addr_hosts = hosts;
    client_conf.naddrs = 3;

    ok(fake_ready(), "ready by the third address");
    is_int(client_counters.failures, 0, "of the first attempt");
    client_close();

    client_conf.parsed.nhosts = 2;
    client_conf.parsed.hosts[0].host = str("redis.test");
    client_conf.parsed.hosts[0].port = server_listens;
    client_conf.parsed.hosts[1].host = str("other.test");
    client_conf.parsed.hosts[1].port = server_listens;
    client_conf.addrs = addrs;
    client_conf.addr_hosts = hosts;
    client_conf.naddrs = 3;
    hosts[2] = 1;

    client_open();
    loop_for(100);
    is_int(client_readies, 0, "not by that of another host");
    ok(client_counters.failures > 0, "each refuses");
    client_close();

    client_conf.parsed.nhosts = 1;
    client_conf.parsed.hosts[0].host = str("redis.test");
    client_conf.parsed.hosts[0].port = server_listens;

    client_open();
    ok(loop_until_logged("redis failed: no address"), "no address at all");
    is_int(client_readies, 0, "not ready");
    client_close();

    fake_stop();
}


/* worker_shutdown_timeout closes whatever is open still. */

static void
test_shutdown(void)
{
    ngx_uint_t         i;
    probe_t            probe;
    ngx_connection_t  *c;

    fake_start(silent_answer);
    fake_stop();
    fake_start(deaf_answer);
    ok(fake_ready(), "ready");

    (void) probe_send(&probe, "GET a");
    loop_turn();

    for (i = 0; i < loop_cycle->connection_n; i++) {
        c = &loop_cycle->connections[i];

        if (c->fd != (ngx_socket_t) -1) {
            c->close = 1;
            c->error = 1;
            c->read->handler(c->read);
        }
    }

    is_int(probe.done, 1, "at the end of its time a worker closes it");
    is_int(probe.result, NGX_PHRONY_REDIS_LOST, "the command is lost");

    loop_for(100);
    ok(client_is_down(NULL), "it is not made anew");
    is_int(loop_timers(), 0, "nor will be");

    client_close();
    fake_stop();
}
