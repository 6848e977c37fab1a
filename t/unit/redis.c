
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


/* sources: ngx_http_phrony_module/redis/ nginx */


#include "redis.h"


/* The connection to one real server, which is stopped, killed, restarted. */


#define MANY  20000


static void test_commands(void);
static void test_pipeline(void);
static void test_lazy(void);
static void test_chain(void);
static void chain_handler(ngx_phrony_redis_command_t *command,
    ngx_phrony_redis_result_t result, const phrony_resp_t *reply);
static int chain_done(void *data);
static void test_scripts(void);
static void test_errors(void);
static void test_bound(void);
static int all_done(void *data);
static void test_unix(void);
static void test_database(void);
static void test_auth(void);
static void test_wrong_auth(const char *user, const char *password);
static void test_killed(void);
static void test_stopped(void);
static void test_busy(void);
static void test_waited(void);
static void test_closed_idle(void);
static void test_destroyed(void);
static void test_down_at_start(void);
static void test_outage(void);
static int has_logged_noauth(void *data);
static void test_no_memory(void);
static long no_memory_once(long n);
static long server_reads(void);
static void connected(const char *how);


static probe_t  probes[MANY];
static int      nprobes;


int
main(void)
{
    loop_open();

    server_listens = server_port();

    test_down_at_start();

    server_start("");

    test_commands();
    test_pipeline();
    test_lazy();
    test_chain();
    test_scripts();
    test_errors();
    test_bound();
    test_unix();
    test_database();
    test_auth();
    test_killed();
    test_stopped();
    test_busy();
    test_waited();
    test_closed_idle();
    test_destroyed();
    test_outage();
    test_no_memory();

    server_stop(SIGTERM);
    loop_close();

    return done();
}


static void
connected(const char *how)
{
    client_open();

    ok(client != NULL, "a client");
    ok(loop_until(client_is_ready, NULL, 5000), "%s", how);
}


static void
test_down_at_start(void)
{
    probe_t  probe;

    client_open();

    is_int(probe_send(&probe, "PING"), 0, "declined before it is connected");

    loop_for(300);

    ok(client_counters.failures >= 2, "no server: %d attempts",
       (int) client_counters.failures);
    is_int(client_readies, 0, "not ready");
    is_int(probe_send(&probe, "PING"), 0, "declined");
    is_int(probe.done, 0, "the handler is not called then");
    is_int(client_counters.refused, 0, "nor is that a full queue");

    server_start("");
    ok(loop_until(client_is_ready, NULL, 2000), "ready when it is there");
    ok(!strcmp(probe_ask("SET a 1"), "OK"), "and works");
    ok(loop_logged("[notice]") && loop_logged("redis is connected"),
       "which is logged");

    client_close();
    server_stop(SIGTERM);
}


static void
test_commands(void)
{
    probe_t  probe;

    client_open();

    is_int(client_readies, 0, "is not ready at once");
    ok(loop_until(client_is_ready, NULL, 5000), "but soon");
    is_int(client_readies, 1, "which is told");
    is_int(client_counters.connects, 1, "and counted");

    ok(!strcmp(probe_ask("SET a 1"), "OK"), "SET");
    ok(!strcmp(probe_ask("GET a"), "1"), "GET");

    ok(probe_send(&probe, "INCR a"), "INCR");
    is_int(probe.done, 0, "is not answered before send() returns");
    ok(loop_until(probe_done, &probe, 1000), "answered");
    is_int(probe.type, PHRONY_RESP_INTEGER, "an integer");
    is_int(probe.integer, 2, "it is 2");
    is_int(probe.done, 1, "once");
    is_int(client_counters.commands, 3, "3 commands are counted");

    client_close();
}


/* How often the server has called read(). */

static long
server_reads(void)
{
    const char    *p;
    char           text[64];
    static char    info[] = "EVAL return(redis.call('INFO','stats'):match("
                            "'total_reads_processed:%d+')) 0";

    snprintf(text, sizeof(text), "%s", probe_ask(info));
    p = strchr(text, ':');

    return p ? atol(p + 1) : -1;
}


static void
test_pipeline(void)
{
    int   i, n;
    char  text[64];
    long  reads;

    connected("ready");

    (void) probe_ask("DEL n");
    reads = server_reads();

    for (i = 0; i < 400; i++) {
        snprintf(text, sizeof(text), "INCR n");
        (void) probe_send(&probes[i], text);
    }

    nprobes = 400;
    ok(loop_until(all_done, NULL, 3000), "400 commands are answered");

    for (i = 0, n = 0; i < 400; i++) {
        n += probes[i].done == 1 && probes[i].integer == i + 1
             && (i == 0 || probes[i].turn == probes[i - 1].turn + 1);
    }

    is_int(n, 400, "each by its own answer, in turn");

    reads = server_reads() - reads;
    ok(reads <= 3, "they went in one packet: %ld reads", reads);

    client_close();
}


static int
all_done(void *data)
{
    int  i;

    for (i = 0; i < nprobes; i++) {
        if (!probes[i].done) {
            return 0;
        }
    }

    return 1;
}


static void
test_lazy(void)
{
    long                         reads;
    probe_t                      first, second;
    ngx_phrony_redis_command_t  *command;

    connected("ready");

    reads = server_reads();

    command = probe_command(&first, "SET lazy 1");
    command->lazy = 1;

    is_int(ngx_phrony_redis_send(client, command), NGX_OK, "a lazy command");

    ok(ngx_queue_empty(&ngx_posted_events), "posts no event");
    ok(loop_until(probe_done, &first, 1000), "it leaves by itself");

    command = probe_command(&first, "SET lazy 2");
    command->lazy = 1;

    is_int(ngx_phrony_redis_send(client, command), NGX_OK, "another");
    ok(probe_send(&second, "GET lazy"), "and one that is not");
    ok(loop_until(probe_done, &second, 1000), "answered");
    ok(first.done && first.turn < second.turn, "the lazy one before it");
    ok(!strcmp(second.text, "2"), "in order");

    reads = server_reads() - reads;
    is_int(reads, 3, "both went together");

    client_close();
}


/* A handler sends the next one. */

static void
test_chain(void)
{
    int                          left;
    ngx_phrony_redis_command_t  *command;

    connected("ready");

    left = 1000;

    command = probe_command(&probes[0], "PING");
    command->handler = chain_handler;
    *(int **) command->data = &left;

    (void) ngx_phrony_redis_send(client, command);

    ok(loop_until(chain_done, &left, 3000), "1000 commands, one by one");

    client_close();
}


static void
chain_handler(ngx_phrony_redis_command_t *command,
    ngx_phrony_redis_result_t result, const phrony_resp_t *reply)
{
    int                         *left;
    probe_t                      probe;
    ngx_phrony_redis_command_t  *next;

    left = *(int **) command->data;

    if (result != NGX_PHRONY_REDIS_ANSWERED || --*left == 0) {
        return;
    }

    next = probe_command(&probe, "PING");
    next->handler = chain_handler;
    *(int **) next->data = left;

    (void) ngx_phrony_redis_send(client, next);
}


static int
chain_done(void *data)
{
    return *(int *) data == 0;
}


static void
test_scripts(void)
{
    int      i, n;
    probe_t  probe;

    connected("ready");

    ok(probe_eval(&probe, "1 window 10"), "a script");
    ok(loop_until(probe_done, &probe, 1000), "is answered");
    is_int(probe.type, PHRONY_RESP_ARRAY, "by an array");
    is_int(client_counters.reloaded, 0, "it had been loaded");

    ok(!strcmp(probe_ask("SCRIPT FLUSH"), "OK"), "scripts are flushed");

    for (i = 0; i < 3; i++) {
        (void) probe_eval(&probes[i], "1 window 10");
    }

    nprobes = 3;
    ok(loop_until(all_done, NULL, 1000), "3 more are answered");

    for (i = 0, n = 0; i < 3; i++) {
        n += probes[i].done == 1 && probes[i].type == PHRONY_RESP_ARRAY
             && probes[i].result == NGX_PHRONY_REDIS_ANSWERED;
    }

    is_int(n, 3, "once each, by arrays");
    is_int(client_counters.reloaded, 3, "each sent its text");

    (void) probe_eval(&probe, "1 window 4");
    ok(loop_until(probe_done, &probe, 1000), "one more");
    is_int(client_counters.reloaded, 3, "did not have to");

    ok(probe_eval(&probe, "1 window 4"), "a sixth read");
    ok(loop_until(probe_done, &probe, 1000), "is answered");
    is_int(client_counters.errors, 0, "no error was seen");

    client_close();
}


static void
test_errors(void)
{
    probe_t  probe;

    connected("ready");

    (void) probe_ask("DEL list");
    (void) probe_ask("LPUSH list 1");

    ok(probe_send(&probe, "GET list"), "a wrong type");
    ok(loop_until(probe_done, &probe, 1000), "is answered");
    is_int(probe.result, NGX_PHRONY_REDIS_ANSWERED, "as usual");
    is_int(probe.type, PHRONY_RESP_ERROR, "by an error");
    ok(!strncmp(probe.text, "WRONGTYPE ", 10), "that says so");
    is_int(client_counters.errors, 1, "it is counted");
    ok(client_is_ready(NULL), "the connection stands");
    is_int(client_counters.connects, 1, "still");

    client_close();
}


static void
test_bound(void)
{
    int                          i, n;
    size_t                       len;
    ngx_phrony_redis_command_t  *command;

    client_conf.timeout = 5000;
    client_conf.connect_timeout = 5000;
    connected("ready");

    for (i = 0, n = 0; i < MANY; i++) {
        n += probe_send(&probes[i], "PING");
    }

    is_int(n, 16384, "so many commands are queued");
    is_int(client_counters.refused, MANY - 16384, "the others are refused");

    nprobes = n;
    ok(loop_until(all_done, NULL, 20000), "those are answered");

    /* bytes: "ECHO" of 6 MB */

    len = 6 * 1024 * 1024;

    for (i = 0, n = 0; i < 4; i++) {
        command = ngx_phrony_redis_command(client, len, sizeof(probe_t *));

        memset(&probes[i], 0, sizeof(probe_t));
        memset(command->bytes, 'x', len);
        memcpy(command->bytes, "*2\r\n$6\r\nSTRLEN\r\n$6291428\r\n", 26);
        memcpy(command->bytes + len - 2, "\r\n", 2);
        *(probe_t **) command->data = &probes[i];
        command->handler = probe_handler;

        n += ngx_phrony_redis_send(client, command) == NGX_OK;
    }

    is_int(n, 2, "of commands of 6 MB 2 fit");
    ok(!strcmp(probe_ask("ECHO behind"), "behind"), "and are written");
    is_int(probes[0].done + probes[1].done, 2, "and answered");
    is_int(probes[1].type, PHRONY_RESP_INTEGER, "well");

    client_close();
}


static void
test_unix(void)
{
    static char  path[64];

    snprintf(path, sizeof(path), "%s/redis.sock", loop_dir);

    client_conf.parsed.path = str(path);
    client_conf.timeout = 1000;
    client_conf.connect_timeout = 1000;

    connected("ready by a unix socket");
    ok(!strcmp(probe_ask("ECHO unix"), "unix"), "which works");
    ok(strstr(probe_ask("CLIENT LIST"), "redis.sock") != NULL, "really");

    client_close();
}


static void
test_database(void)
{
    connected("ready");
    (void) probe_ask("SET db 0");
    client_close();

    client_conf.parsed.db = 7;
    connected("ready, database 7");
    (void) probe_ask("SET db 7");
    client_close();

    connected("ready");
    ok(!strcmp(probe_ask("GET db"), "0"), "its keys are others");
    client_close();

    client_conf.parsed.db = 99;
    client_open();
    loop_for(200);
    is_int(client_readies, 0, "a database that is not there");
    ok(loop_logged("redis failed: SELECT: ERR DB index is out of range"),
       "is logged");
    client_close();
}


static void
test_auth(void)
{
    connected("ready");
    (void) probe_ask("ACL SETUSER alice on >s3cret ~* &* +@all");
    ok(!strcmp(probe_ask("CONFIG SET requirepass open-sesame"), "OK"),
       "a password is set");
    client_close();

    client_conf.password.data = (u_char *) "open-sesame";
    client_conf.password.len = 11;
    connected("ready by password");
    client_close();

    client_conf.user.data = (u_char *) "alice";
    client_conf.user.len = 5;
    client_conf.password.data = (u_char *) "s3cret";
    client_conf.password.len = 6;
    connected("ready by user and password");
    ok(!strcmp(probe_ask("ACL WHOAMI"), "alice"), "as that user");
    client_close();

    test_wrong_auth("alice", "wr0ng-password");
    test_wrong_auth("", "wr0ng-password");

    client_open();
    loop_for(200);
    is_int(client_readies, 0, "not ready without a password");
    ok(loop_logged("NOAUTH"), "which is logged");
    client_close();

    client_conf.password.data = (u_char *) "open-sesame";
    client_conf.password.len = 11;
    connected("ready");
    (void) probe_ask("ACL SETUSER default nopass");
    client_close();

    ok(!loop_logged("open-sesame") && !loop_logged("s3cret"),
       "no password is logged");
}


static void
test_wrong_auth(const char *user, const char *password)
{
    client_conf.user.data = (u_char *) user;
    client_conf.user.len = strlen(user);
    client_conf.password.data = (u_char *) password;
    client_conf.password.len = strlen(password);

    client_open();
    loop_for(300);

    is_int(client_readies, 0, "not ready by a wrong password");
    ok(client_counters.failures >= 2, "it goes on trying");
    ok(loop_logged("redis failed: AUTH: WRONGPASS"), "it is logged");
    ok(!loop_logged(password), "but not the password");

    client_close();
}


static void
test_killed(void)
{
    probe_t                      sent, unsent, lazy;
    ngx_phrony_redis_command_t  *command;

    connected("ready");

    kill(server_pid, SIGSTOP);

    (void) probe_send(&sent, "SET killed 1");
    loop_turn();

    server_stop(SIGKILL);

    command = probe_command(&lazy, "SET killed 4");
    command->lazy = 1;
    (void) ngx_phrony_redis_send(client, command);

    (void) probe_send(&unsent, "SET killed 2");
    ok(loop_until(probe_done, &unsent, 1000), "the server is killed");

    is_int(sent.done, 1, "a command that was written");
    is_int(sent.result, NGX_PHRONY_REDIS_LOST, "is lost");
    is_int(unsent.done, 1, "one that was not");
    is_int(unsent.result, NGX_PHRONY_REDIS_UNSENT, "is unsent");
    is_int(lazy.result, NGX_PHRONY_REDIS_UNSENT, "a lazy one is, too");
    ok(client_is_down(NULL), "down");
    is_int(client_counters.lost, 1, "one lost");

    loop_for(300);
    ok(client_is_down(NULL), "still down");

    server_start("");
    ok(loop_until(client_is_ready, NULL, 2000), "ready after a restart");
    is_int(client_readies, 2, "which is told again");
    ok(!strcmp(probe_ask("SET killed 3"), "OK"), "and works");

    client_close();
}


static void
test_stopped(void)
{
    int        i, lost;
    probe_t    unsent;
    ngx_msec_t start;

    client_conf.timeout = 100;
    client_conf.connect_timeout = 200;
    connected("ready");

    kill(server_pid, SIGSTOP);

    ngx_time_update();
    start = ngx_current_msec;

    for (i = 0; i < 10; i++) {
        (void) probe_send(&probes[i], "SET stopped 1");
        loop_turn();
    }

    nprobes = 10;
    ok(loop_until(all_done, NULL, 3000), "the server hangs");

    ok(ngx_current_msec - start >= 100, "not before the deadline: %d ms",
       (int) (ngx_current_msec - start));

    for (i = 0, lost = 0; i < 10; i++) {
        lost += probes[i].done == 1
                && probes[i].result == NGX_PHRONY_REDIS_LOST;
    }

    is_int(lost, 10, "all commands are lost at once");
    is_int(client_counters.timeouts, 1, "by one timeout");
    is_int(probe_send(&unsent, "PING"), 0, "then commands are declined");

    loop_for(500);
    ok(client_is_down(NULL), "while it hangs");
    ok(loop_logged("redis failed: no answer in time"), "logged");

    kill(server_pid, SIGCONT);
    ok(loop_until(client_is_ready, NULL, 2000), "ready when it goes on");
    ok(!strcmp(probe_ask("ECHO again"), "again"), "and works");

    client_close();
}


/* What came in time was in time, however late it is read. */

static void
test_busy(void)
{
    probe_t  probe;

    client_conf.timeout = 50;
    client_conf.connect_timeout = 1000;
    connected("ready");

    (void) probe_send(&probe, "ECHO busy");
    loop_turn();

    usleep(200000);
    ngx_time_update();
    ngx_event_expire_timers();

    is_int(probe.done, 1, "answered while the process was busy");
    is_int(probe.result, NGX_PHRONY_REDIS_ANSWERED, "is answered");
    is_int(client_counters.timeouts, 0, "no timeout");

    client_close();
}


/* Only what a client waits for holds up a worker that quits. */

static void
test_waited(void)
{
    probe_t  probe;

    connected("ready");

    ok(ngx_event_no_timers_left() == NGX_OK, "may quit when idle");

    kill(server_pid, SIGSTOP);

    (void) probe_send(&probe, "PING");
    loop_turn();
    ok(ngx_event_no_timers_left() == NGX_OK, "with a command in flight");

    (void) probe_eval(&probes[0], "1 window 10");
    loop_turn();
    ok(ngx_event_no_timers_left() == NGX_AGAIN, "not if a client waits");

    kill(server_pid, SIGCONT);
    ok(loop_until(probe_done, &probes[0], 1000), "until it is answered");
    ok(ngx_event_no_timers_left() == NGX_OK, "may quit");

    client_close();
}


static void
test_closed_idle(void)
{
    connected("ready");

    loop_for(1500);
    (void) probe_ask("CLIENT KILL TYPE normal SKIPME no");
    ok(loop_until(client_is_down, NULL, 1000), "down");
    ok(loop_until(client_is_ready, NULL, 100), "ready again at once");
    is_int(client_counters.failures, 1, "one failure");

    client_close();
}


static void
test_destroyed(void)
{
    int      i, n;
    probe_t  answered;

    connected("ready");
    (void) probe_ask("DEL bye");

    (void) probe_send(&answered, "ECHO answered");
    loop_turn();
    usleep(100000);

    for (i = 0; i < 100; i++) {
        (void) probe_send(&probes[i], "INCR bye");
    }

    client_close();

    is_int(answered.done, 1, "a reply that had come");
    is_int(answered.result, NGX_PHRONY_REDIS_ANSWERED, "is not lost");

    for (i = 0, n = 0; i < 100; i++) {
        n += probes[i].done == 1
             && probes[i].result != NGX_PHRONY_REDIS_UNSENT;
    }

    is_int(n, 100, "each handler was called");

    connected("ready");
    ok(!strcmp(probe_ask("GET bye"), "100"), "what was queued was written");
    client_close();
}


/* An outage is worth one line, and its end another. */

static void
test_outage(void)
{
    int         i, failed, refused, notices, noauth;
    ngx_uint_t  level;

    level = loop_cycle->log->log_level;
    loop_cycle->log->log_level = NGX_LOG_NOTICE;

    connected("ready");

    failed = loop_lines("redis failed: ");
    refused = loop_lines("connect() failed");
    notices = loop_lines("redis is connected");
    noauth = loop_lines("NOAUTH Authentication");

    for (i = 1; i <= 2; i++) {
        server_stop(SIGKILL);
        ok(loop_until(client_is_down, NULL, 2000), "an outage");
        loop_for(400);

        is_int(loop_lines("redis failed: ") - failed, i, "one line of it");
        is_int(loop_lines("connect() failed") - refused, 0,
               "none of the attempts");

        server_start("");
        ok(loop_until(client_is_ready, NULL, 5000), "its end");
        is_int(loop_lines("redis is connected") - notices, i, "one line");
    }

    ok(client_counters.failures > 4, "%d attempts",
       (int) client_counters.failures);

    client_close();

    /* a server that is there, but has something against it */

    server_stop(SIGTERM);
    client_open();
    loop_for(100);
    server_start("--requirepass open-sesame");

    ok(loop_until(has_logged_noauth, &noauth, 5000),
       "its words are logged late in an outage");
    loop_for(300);
    is_int(loop_lines("NOAUTH Authentication") - noauth, 1, "once");

    client_close();
    server_stop(SIGTERM);
    server_start("");

    loop_cycle->log->log_level = level;
}


static int
has_logged_noauth(void *data)
{
    return loop_lines("NOAUTH Authentication") > *(int *) data;
}


static void
test_no_memory(void)
{
    long  n;

    for (n = 1; n < 1000; n++) {
        if (no_memory_once(n) < n) {
            break;
        }
    }

    ok(n > 10 && n < 1000, "each of %ld allocations may fail", n - 1);
}


/* Returns how many allocations were made. */

static long
no_memory_once(long n)
{
    long     seen;
    probe_t  probe;

    memset(&probe, 0, sizeof(probe_t));

    client_observer.nprefixes = 1;
    client_observer.prefixes = (phrony_str_t []) { phrony_str("x") };

    fail_at(n);
    client_open();

    if (client == NULL) {
        fail_at(-1);
        return n;
    }

    (void) loop_until(client_is_ready, NULL, 200);

    if (probe_eval(&probe, "1 window 10")) {
        (void) loop_until(probe_done, &probe, 200);
    }

    seen = allocs();
    fail_at(-1);

    if (!loop_until(client_is_ready, NULL, 3000)) {
        ok(0, "ready although allocation %ld failed", n);
    }

    client_close();

    return seen;
}
