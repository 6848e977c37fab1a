
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


/* sources: ngx_http_phrony_module/redis/ nginx */


#include "redis_nodes.h"


/* Two masters that know nothing of each other, and sentinels that do not agree
 * on which of them it is. */

#define A  0
#define B  1
#define S  2                    /* the first sentinel */


static void test_named(void);
static void test_epochs(void);
static void test_behind(void);
static void test_tie(void);
static void test_anew(void);
static void test_majority(void);
static void test_alone(void);
static void test_away(void);
static void test_replica(void);
static void test_demoted(void);
static void test_hold(void);
static void test_unknown(void);
static void test_password(void);
static void test_channel(void);
static void test_destroy(void);
static void test_memory(void);
static void watch_start(int i, int master, int epoch, const char *conf);
static void watch_set(int i, int master);
static void watch_hear(int i, int master, int epoch);
static const char *asked(void);
static int is_a(void *data);
static int is_b(void *data);


static unsigned  any = NGX_PHRONY_REDIS_ANY;


int
main(void)
{
    loop_open();

    node_start(A, "--save '' --appendonly no");
    node_start(B, "--save '' --appendonly no");
    cli(A, "SET who A");
    cli(B, "SET who B");

    test_named();
    test_epochs();
    test_behind();
    test_tie();
    test_anew();
    test_majority();
    test_alone();
    test_away();
    test_replica();
    test_demoted();
    test_hold();
    test_unknown();
    test_password();
    test_channel();
    test_destroy();
    test_memory();

    nodes_stop();
    loop_close();

    return done();
}


static void
test_named(void)
{
    watch_start(S, B, 0, "");

    client_of(PHRONY_REDIS_SENTINEL, S, S);
    client_open();

    ok(loop_until(client_has, &any, 2000), "a sentinel names the master");
    is_str(asked(), 1, "B", "that one");
    is_int(client_readies, 1, "it became ready once");

    /* it is asked each second */

    watch_set(S, A);
    ok(loop_until(is_a, NULL, 3000), "it names another");

    client_close();
    node_kill(S);
}


/* The latest failover is believed, wherever it stands in the list. */

static void
test_epochs(void)
{
    int  i;

    for (i = 0; i < 2; i++) {
        watch_start(S, i ? A : B, i ? 3 : 5, "");
        watch_start(S + 1, i ? B : A, i ? 5 : 3, "");

        client_of(PHRONY_REDIS_SENTINEL, S, S + 1);
        client_open();

        ok(loop_until(is_b, NULL, 2000), "the higher epoch");
        loop_for(1500);
        is_str(asked(), 1, "B", "and it remains so");

        client_close();
        node_kill(S);
        node_kill(S + 1);
    }
}


/*
 * A sentinel that missed a failover is not followed away from a master that
 * is well, but is better than nothing.
 */

static void
test_behind(void)
{
    watch_start(S, A, 3, "");
    watch_start(S + 1, B, 5, "");

    client_of(PHRONY_REDIS_SENTINEL, S, S + 1);
    client_open();

    ok(loop_until(is_b, NULL, 2000), "the higher epoch");

    node_kill(S + 1);
    loop_for(1500);
    is_str(asked(), 1, "B", "the sentinel is gone, its master is not");

    node_kill(B);
    ok(loop_until(is_a, NULL, 3000), "then that of the other sentinel");

    client_close();
    node_kill(S);

    node_again(B);
    cli(B, "SET who B");
}


/* Of one epoch, the one that changed its mind last knows more. */

static void
test_tie(void)
{
    watch_start(S, A, 0, "");
    watch_start(S + 1, A, 0, "");

    client_of(PHRONY_REDIS_SENTINEL, S, S + 1);
    client_open();

    ok(loop_until(is_a, NULL, 2000), "both say the same");

    watch_set(S, B);
    ok(loop_until(is_b, NULL, 3000), "one of them another");

    loop_for(1500);
    is_str(asked(), 1, "B", "and it remains so");

    watch_set(S + 1, B);
    loop_for(1500);
    is_str(asked(), 1, "B", "both say the same");
    is_int(client_counters.failures, 0, "without a failure");

    client_close();
    node_kill(S);
    node_kill(S + 1);
}


/* Who removes a master and names another begins with epoch 0. */

static void
test_anew(void)
{
    watch_start(S, B, 5, "");

    client_of(PHRONY_REDIS_SENTINEL, S, S);
    client_open();

    ok(loop_until(is_b, NULL, 2000), "a master after failovers");

    watch_set(S, A);
    ok(loop_until(is_a, NULL, 3000), "another, as if there had been none");

    loop_for(600);
    is_str(asked(), 1, "A", "and it remains so");

    client_close();
    node_kill(S);
}


/*
 * More than half of them are needed for that, of all that are listed; a
 * sentinel that was forgotten, or comes back, does not win over them.
 */

static void
test_majority(void)
{
    int  i;

    for (i = 0; i < 3; i++) {
        watch_start(S + i, B, 5, "");
    }

    client_of(PHRONY_REDIS_SENTINEL, S, S + 2);
    client_open();

    ok(loop_until(is_b, NULL, 2000), "a master after failovers");

    watch_set(S, A);
    loop_for(1000);
    is_str(asked(), 1, "B", "one names another");

    node_kill(S + 1);
    node_kill(S + 2);
    loop_for(1000);
    is_str(asked(), 1, "B", "and is the only one that is left");

    watch_start(S + 1, A, 0, "");
    ok(loop_until(is_a, NULL, 3000), "a second one does");

    watch_start(S + 2, B, 5, "");
    loop_for(1500);
    is_str(asked(), 1, "A", "the third comes back with what it knew");

    node_kill(S);
    loop_for(1000);
    is_str(asked(), 1, "A", "and is one of two");

    client_close();
    node_kill(S + 1);
    node_kill(S + 2);
}


/*
 * One that tells of a failover is believed at once, against the others, who
 * have not heard of it; also if it goes then.  If they never do, they are.
 */

static void
test_alone(void)
{
    int  i;

    /* so that sentinels do not find each other */

    cli(A, "ACL SETUSER default resetchannels");

    for (i = 0; i < 3; i++) {
        watch_start(S + i, A, 3, "");
    }

    client_of(PHRONY_REDIS_SENTINEL, S, S + 2);
    client_open();

    ok(loop_until(is_a, NULL, 2000), "a master");
    loop_for(600);

    watch_hear(S, B, 4);
    ok(loop_until(is_b, NULL, 2000), "one tells of a failover");

    node_kill(S);
    loop_for(1500);
    is_str(asked(), 1, "B", "which is not forgotten when it goes");

    ok(loop_until(is_a, NULL, 8000), "but when nobody else hears of it");

    client_close();
    node_kill(S + 1);
    node_kill(S + 2);

    cli(A, "ACL SETUSER default allchannels");
}


/* Sentinels are not needed while the master is well. */

static void
test_away(void)
{
    client_of(PHRONY_REDIS_SENTINEL, S, S);
    client_open();

    loop_for(300);
    ok(client_lacks(&any), "no sentinel");
    is_str(probe_ask("PING"), 8, "declined", "no command");

    watch_start(S, A, 0, "");
    ok(loop_until(is_a, NULL, 3000), "a sentinel comes");

    node_kill(S);
    loop_for(1200);
    is_str(asked(), 1, "A", "it goes, the master does not");

    node_kill(A);
    ok(loop_until(client_lacks, &any, 1000), "the master is gone");
    node_again(A);
    cli(A, "SET who A");
    ok(loop_until(is_a, NULL, 3000), "it is back");

    client_close();
}


/* Whom a sentinel names may not be a master yet, or any more. */

static void
test_replica(void)
{
    cli(A, "REPLICAOF 127.0.0.1 1");
    watch_start(S, A, 0, "");

    client_of(PHRONY_REDIS_SENTINEL, S, S);
    client_open();

    loop_for(500);
    ok(client_lacks(&any), "a replica is not taken");

    cli(A, "REPLICAOF NO ONE");
    ok(loop_until(is_a, NULL, 3000), "until it is a master");

    client_close();
    node_kill(S);
}


/* A master that became a replica refuses to write. */

static void
test_demoted(void)
{
    watch_start(S, A, 0, "");

    client_of(PHRONY_REDIS_SENTINEL, S, S);
    client_conf.timeout = 500;
    client_conf.connect_timeout = 2000;
    client_open();

    ok(loop_until(is_a, NULL, 2000), "a master");

    cli(A, "REPLICAOF 127.0.0.1 1");

    is_str(probe_ask("SET a 1"), 6, "unsent", "it is one no more");
    ok(client_lacks(&any), "and is left");

    loop_for(300);
    ok(client_lacks(&any), "for as long as it is none");

    cli(A, "REPLICAOF NO ONE");
    ok(loop_until(is_a, NULL, 3000), "until it is one again");

    client_close();
    node_kill(S);
}


/* What it refused goes to the next master, if that comes in time. */

static void
test_hold(void)
{
    probe_t  probe;

    watch_start(S, A, 0, "");

    client_of(PHRONY_REDIS_SENTINEL, S, S);
    client_open();

    ok(loop_until(is_a, NULL, 2000), "a master");

    cli(A, "REPLICAOF 127.0.0.1 1");

    ok(probe_send(&probe, "SET held 1"), "a command");
    loop_for(60);
    is_int(probe.done, 0, "is kept");

    watch_set(S, B);

    ok(loop_until(probe_done, &probe, 1000), "and sent to the next");
    is_str(probe.text, strlen(probe.text), "OK", "which takes it");
    is_str(cli(B, "GET held"), 1, "1", "there");

    client_close();
    node_kill(S);

    cli(A, "REPLICAOF NO ONE");
}


static void
test_unknown(void)
{
    watch_start(S, A, 0, "");

    client_of(PHRONY_REDIS_SENTINEL, S, S);
    client_conf.parsed.master = str("other");
    client_open();

    ok(loop_until(client_logged,
                  (void *) "does not know the master \"other\"", 3000),
       "a master by another name");
    ok(client_lacks(&any), "is not there");

    client_close();
    node_kill(S);

    /* what is no sentinel has no such command */

    client_of(PHRONY_REDIS_SENTINEL, B, B);
    client_open();

    ok(loop_until(client_logged,
                  (void *) "did not name the master \"main\"", 3000),
       "a server that is no sentinel");
    ok(client_lacks(&any), "names none");

    client_close();
}


/* That of the servers is tried where one is demanded. */

static void
test_password(void)
{
    int  i;

    cli(A, "CONFIG SET requirepass secret");

    for (i = 0; i < 2; i++) {
        watch_start(S, A, 0, i ? "requirepass secret\n" : "");

        client_of(PHRONY_REDIS_SENTINEL, S, S);
        client_conf.password.data = (u_char *) "secret";
        client_conf.password.len = 6;
        client_open();

        ok(loop_until(is_a, NULL, 3000), "a password, %s",
           i ? "of the sentinel as well" : "not of the sentinel");

        client_close();
        node_kill(S);
    }

    cli(A, "-a secret CONFIG SET requirepass ''");
    ok(!loop_logged("secret"), "it is not logged");
}


static void
test_channel(void)
{
    static phrony_str_t  prefixes[] = { phrony_str("p:") };

    watch_start(S, A, 0, "");

    client_of(PHRONY_REDIS_SENTINEL, S, S);
    client_observer.nprefixes = 1;
    client_observer.prefixes = prefixes;
    client_open();

    ok(loop_until(client_lives, NULL, 2000), "the channel stands");

    cli(A, "SET p:1 1");
    loop_for(100);
    is_int(client_keys, 1, "a key is invalidated");

    watch_set(S, B);
    ok(loop_until(client_died, NULL, 3000), "it ends with the master");
    ok(loop_until(client_lives, NULL, 2000), "and stands at the next");

    cli(A, "SET p:1 2");
    cli(B, "SET p:1 3");
    loop_for(100);
    is_int(client_keys, 2, "that one's keys are invalidated");

    client_close();
    node_kill(S);
}


static void
test_destroy(void)
{
    probe_t  probes[2];

    watch_start(S, A, 0, "");

    client_of(PHRONY_REDIS_SENTINEL, S, S);
    client_open();
    client_close();

    client_of(PHRONY_REDIS_SENTINEL, S, S);
    client_open();
    loop_turn();
    client_close();

    client_of(PHRONY_REDIS_SENTINEL, S, S);
    client_open();

    ok(loop_until(is_a, NULL, 2000), "a master");

    cli(A, "REPLICAOF 127.0.0.1 1");

    ok(probe_send(&probes[0], "SET a 1"), "a command");
    loop_for(60);
    ok(!probe_send(&probes[1], "SET a 1"), "no more are taken");

    client_close();

    is_int(probes[0].done, 1, "what was kept ends");
    ok(probes[0].result == NGX_PHRONY_REDIS_UNSENT, "unsent");
    is_int(probes[1].done, 0, "the other has none");

    cli(A, "REPLICAOF NO ONE");
    node_kill(S);
}


static void
test_memory(void)
{
    long                 n;
    static phrony_str_t  prefixes[] = { phrony_str("p:") };

    watch_start(S, A, 0, "");

    for (n = 1; n < 1000; n++) {
        client_of(PHRONY_REDIS_SENTINEL, S, S);
        client_observer.nprefixes = 1;
        client_observer.prefixes = prefixes;

        fail_at(n);
        client_open();

        if (client == NULL) {
            fail_at(-1);
            continue;
        }

        (void) loop_until(client_has, &any, 3000);
        (void) loop_until(client_lives, NULL, 3000);

        if (allocs() < n) {
            fail_at(-1);
            client_close();
            break;
        }

        fail_at(-1);

        if (!loop_until(client_has, &any, 3000)
            || !loop_until(client_lives, NULL, 3000))
        {
            ok(0, "allocation %ld fails", n);
        }

        client_close();
    }

    ok(n > 15 && n < 1000, "allocations that failed: %ld", n - 1);

    node_kill(S);
}


/* Starts a sentinel that takes a server for the master, since an epoch. */

static void
watch_start(int i, int master, int epoch, const char *conf)
{
    char   path[128];
    FILE  *f;

    if (node_ports[i] == 0) {
        node_ports[i] = server_port();
    }

    snprintf(path, sizeof(path), "%s/%d", loop_dir, i);
    mkdir(path, 0755);
    strcat(path, "/sentinel.conf");

    f = fopen(path, "w");

    if (f == NULL) {
        abort();
    }

    fprintf(f, "sentinel monitor main 127.0.0.1 %d 2\n"
               "sentinel down-after-milliseconds main 60000\n"
               "sentinel config-epoch main %d\n%s",
            node_ports[master], epoch, conf);
    fclose(f);

    node_start(i, "sentinel.conf --sentinel");
}


/* It takes another one. */

static void
watch_set(int i, int master)
{
    cli(i, "SENTINEL REMOVE main");
    cli(i, "SENTINEL MONITOR main 127.0.0.1 %d 2", node_ports[master]);
}


/* It hears of a failover, as from another sentinel. */

static void
watch_hear(int i, int master, int epoch)
{
    cli(i, "PUBLISH __sentinel__:hello 127.0.0.1,1,%040d,%d,main,127.0.0.1,"
           "%d,%d", i, epoch, node_ports[master], epoch);
}


/* Which one answers. */

static const char *
asked(void)
{
    return probe_ask("GET who");
}


static int
is_a(void *data)
{
    return client_has(&any) && strcmp(asked(), "A") == 0;
}


static int
is_b(void *data)
{
    return client_has(&any) && strcmp(asked(), "B") == 0;
}
