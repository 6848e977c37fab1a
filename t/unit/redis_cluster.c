
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


/* sources: ngx_http_phrony_module/redis/ nginx */


#include "redis_nodes.h"


/* A cluster of real servers: two masters, and one that has no slots. */

#define HALF     8192
#define OPTIONS                                                               \
    "--save '' --appendonly no --cluster-enabled yes"                         \
    " --cluster-node-timeout 1000 --cluster-require-full-coverage no"         \
    " --cluster-allow-replica-migration no"                                   \
    " --cluster-port %d"


static void test_alone(void);
static void test_no_cluster(void);
static void test_map(void);
static void test_moved(void);
static void test_moved_new(void);
static void test_ask(void);
static void test_ask_new(void);
static void test_ask_channel(void);
static void test_try_again(void);
static void test_try_in_vain(void);
static void test_down(void);
static void test_killed(void);
static void test_channels(void);
static void test_forgotten(void);
static void test_destroy(void);
static void test_destroy_again(void);
static void again_handler(ngx_phrony_redis_command_t *command,
    ngx_phrony_redis_result_t result, const phrony_resp_t *reply);
static void test_memory(void);
static void start(int i);
static void form(void);
static void follow(void);
static int client_redirected(void *data);
static const char *id(int i);
static unsigned slot_of(const char *key);
static int send_key(probe_t *probe, const char *key, const char *text);
static const char *ask_key(const char *key, const char *text);
static void answers(const char *got, const char *want, const char *name);
static void begin_move(unsigned slot, int from, int to);
static void take_back(unsigned slot, int from, int to);
static void end_move(unsigned slot, int to);


static int  again_ended;
static int  again_taken;


int
main(void)
{
    loop_open();

    start(0);
    test_alone();

    start(1);
    start(2);
    form();

    test_map();
    test_moved();
    test_ask();
    test_try_again();
    test_try_in_vain();
    test_moved_new();
    test_ask_new();
    test_ask_channel();
    test_channels();
    test_down();
    test_destroy();
    test_destroy_again();
    test_memory();
    test_killed();
    test_forgotten();
    test_no_cluster();

    nodes_stop();
    loop_close();

    return done();
}


/* A node that has met no other does not know its own address. */

static void
test_alone(void)
{
    unsigned  slot;

    cli(0, "CLUSTER ADDSLOTSRANGE 0 %d", PHRONY_SLOTS - 1);
    ok(cli_until(0, "CLUSTER INFO", "cluster_state:ok"), "a cluster of one");
    ok(cli_until(0, "CLUSTER SLOTS", "0\n16383\n\n"), "without an address");

    client_of(PHRONY_REDIS_CLUSTER, 0, 0);
    client_open();

    slot = slot_of("a");

    ok(loop_until(client_has, &slot, 2000), "its slots are known");
    answers(ask_key("a", "SET a 1"), "OK", "a command");

    client_close();

    /* names are preferred, and there is none: "?" */

    cli(0, "CONFIG SET cluster-preferred-endpoint-type hostname");

    client_of(PHRONY_REDIS_CLUSTER, 0, 0);
    client_open();

    loop_for(300);
    ok(client_lacks(&slot), "a node without a name is nowhere");

    cli(0, "CONFIG SET cluster-preferred-endpoint-type unknown-endpoint");

    ok(loop_until(client_has, &slot, 2000),
       "one without an endpoint is where it was asked");

    cli(0, "CONFIG SET cluster-preferred-endpoint-type ip");

    client_close();

    cli(0, "FLUSHALL");
    cli(0, "CLUSTER DELSLOTSRANGE %d %d", HALF, PHRONY_SLOTS - 1);
}


static void
test_no_cluster(void)
{
    unsigned  slot = 0;

    node_start(3, "--save '' --appendonly no");

    client_of(PHRONY_REDIS_CLUSTER, 3, 3);
    client_open();

    ok(loop_until(client_logged,
                  (void *) "redis did not tell the slots of a cluster", 3000),
       "a single server is no cluster");
    ok(client_lacks(&slot), "and serves nothing");

    client_close();
}


/* Each command goes where its slot is, though only one node was named. */

static void
test_map(void)
{
    int   i, wrong;
    char  key[16], text[32];

    client_of(PHRONY_REDIS_CLUSTER, 1, 1);
    follow();

    for (i = 0, wrong = 0; i < 100; i++) {
        sprintf(key, "k%d", i);
        sprintf(text, "SET k%d %d", i, i);

        wrong += strcmp(ask_key(key, text), "OK") != 0;
    }

    is_int(wrong, 0, "commands are answered");
    is_int(client_counters.redirected, 0, "none was sent to another node");
    ok(atoi(cli(0, "DBSIZE")) > 20 && atoi(cli(1, "DBSIZE")) > 20,
       "both have keys");

    client_close();
}


static void
test_moved(void)
{
    unsigned  slot;

    client_of(PHRONY_REDIS_CLUSTER, 0, 1);
    follow();

    slot = slot_of("{a}");

    begin_move(slot, slot < HALF ? 0 : 1, slot < HALF ? 1 : 0);
    end_move(slot, slot < HALF ? 1 : 0);

    answers(ask_key("{a}", "SET {a} 1"), "OK", "a slot was moved");
    is_int(client_counters.redirected, 1, "one redirection");

    answers(ask_key("{a}", "GET {a}"), "1", "and again");
    is_int(client_counters.redirected, 1, "no further redirection");

    ask_key("{a}", "DEL {a}");

    begin_move(slot, slot < HALF ? 1 : 0, slot < HALF ? 0 : 1);
    end_move(slot, slot < HALF ? 0 : 1);

    client_close();
}


/* To a node that no connection stands to: who comes meanwhile waits for it. */

static void
test_moved_new(void)
{
    probe_t   probes[2];
    unsigned  slot;

    client_of(PHRONY_REDIS_CLUSTER, 0, 1);
    follow();

    slot = slot_of("{new}");

    begin_move(slot, slot < HALF ? 0 : 1, 2);
    end_move(slot, 2);

    ok(send_key(&probes[0], "{new}", "SET {new} 1"), "moved to a new node");
    ok(loop_until(client_redirected, NULL, 2000), "a redirection");
    ok(send_key(&probes[1], "{new}", "GET {new}"), "one more command");

    ok(loop_until(probe_done, &probes[1], 2000)
       && probes[0].result == NGX_PHRONY_REDIS_ANSWERED
       && probes[1].result == NGX_PHRONY_REDIS_ANSWERED,
       "both are answered");

    client_counters.redirected = 0;
    answers(ask_key("{new}", "GET {new}"), "1", "and again");
    is_int(client_counters.redirected, 0, "without a redirection");

    ask_key("{new}", "DEL {new}");
    loop_for(200);

    begin_move(slot, 2, slot < HALF ? 0 : 1);
    end_move(slot, slot < HALF ? 0 : 1);

    answers(ask_key("{new}", "GET {new}"), "", "and back");
    is_int(client_counters.redirected, 1, "by one redirection");

    client_close();
}


static void
test_ask(void)
{
    int       from, to;
    unsigned  slot;

    client_of(PHRONY_REDIS_CLUSTER, 0, 1);
    follow();

    slot = slot_of("{b}");
    from = slot < HALF ? 0 : 1;
    to = 1 - from;

    ask_key("{b}", "SET {b}1 one");
    ask_key("{b}", "SET {b}2 two");

    begin_move(slot, from, to);
    cli(from, "MIGRATE 127.0.0.1 %d {b}1 0 1000", node_ports[to]);

    answers(ask_key("{b}", "GET {b}2"), "two", "a key that is not moved");
    is_int(client_counters.redirected, 0, "is where it was");

    answers(ask_key("{b}", "GET {b}1"), "one", "a key that is moved");
    answers(ask_key("{b}", "GET {b}1"), "one", "and again");
    is_int(client_counters.redirected, 2, "was asked for, both times");

    answers(ask_key("{b}", "SET {b}3 three"), "OK", "a new key");
    answers(cli(from, "CLUSTER COUNTKEYSINSLOT %u", slot), "1",
            "is not made at the old node");

    cli(from, "MIGRATE 127.0.0.1 %d {b}2 0 1000", node_ports[to]);
    end_move(slot, to);

    answers(ask_key("{b}", "GET {b}3"), "three", "then the slot is moved");
    is_int(client_counters.redirected, 4, "by one redirection");

    client_close();

    begin_move(slot, to, from);
    cli(to, "MIGRATE 127.0.0.1 %d '' 0 1000 KEYS {b}1 {b}2 {b}3",
        node_ports[from]);
    end_move(slot, from);
}


static void
test_ask_new(void)
{
    int       from;
    unsigned  slot;

    client_of(PHRONY_REDIS_CLUSTER, 0, 1);
    follow();

    slot = slot_of("{b}");
    from = slot < HALF ? 0 : 1;

    begin_move(slot, from, 2);
    cli(from, "MIGRATE 127.0.0.1 %d {b}1 0 1000", node_ports[2]);

    answers(ask_key("{b}", "GET {b}1"), "one",
           "a key at a node without slots");

    take_back(slot, from, 2);

    client_close();
}


/* What is read there is invalidated, before the node has a slot. */

static void
test_ask_channel(void)
{
    int                  from;
    unsigned             slot;
    static phrony_str_t  prefixes[] = { phrony_str("{b}") };

    client_of(PHRONY_REDIS_CLUSTER, 0, 1);
    client_observer.nprefixes = 1;
    client_observer.prefixes = prefixes;
    follow();

    ok(loop_until(client_lives, NULL, 2000), "all channels stand");

    slot = slot_of("{b}");
    from = slot < HALF ? 0 : 1;

    begin_move(slot, from, 2);
    cli(from, "MIGRATE 127.0.0.1 %d {b}1 0 1000", node_ports[2]);
    loop_for(100);

    answers(ask_key("{b}", "GET {b}1"), "one", "a key that is moved");
    ok(loop_until(client_lives, NULL, 2000), "one more channel stands");

    client_keys = 0;
    answers(ask_key("{b}", "SET {b}1 one"), "OK", "the key is changed");
    loop_for(100);
    is_int(client_keys, 1, "and invalidated");

    take_back(slot, from, 2);
    client_close();
}


/* Some of a command's keys are here, some there, until all are there. */

static void
test_try_again(void)
{
    int       from, to;
    probe_t   probe;
    unsigned  slot;

    client_of(PHRONY_REDIS_CLUSTER, 0, 1);
    follow();

    slot = slot_of("{b}");
    from = slot < HALF ? 0 : 1;
    to = 1 - from;

    begin_move(slot, from, to);
    cli(from, "MIGRATE 127.0.0.1 %d {b}1 0 1000", node_ports[to]);

    ok(send_key(&probe, "{b}", "MGET {b}1 {b}2 {b}3"), "of several keys");
    loop_for(60);
    is_int(probe.done, 0, "is kept");

    cli(from, "MIGRATE 127.0.0.1 %d '' 0 1000 KEYS {b}2 {b}3",
        node_ports[to]);
    end_move(slot, to);

    ok(loop_until(probe_done, &probe, 1000), "until the slot is moved");
    ok(probe.result == NGX_PHRONY_REDIS_ANSWERED
       && probe.type == PHRONY_RESP_ARRAY && probe.n == 3, "and is answered");

    client_close();

    begin_move(slot, to, from);
    cli(to, "MIGRATE 127.0.0.1 %d '' 0 1000 KEYS {b}1 {b}2 {b}3",
        node_ports[from]);
    end_move(slot, from);
}


static void
test_try_in_vain(void)
{
    int       from, to;
    probe_t   probe, last;
    unsigned  slot;

    client_of(PHRONY_REDIS_CLUSTER, 0, 1);
    follow();

    slot = slot_of("{b}");
    from = slot < HALF ? 0 : 1;
    to = 1 - from;

    begin_move(slot, from, to);
    cli(from, "MIGRATE 127.0.0.1 %d {b}1 0 1000", node_ports[to]);

    ok(send_key(&probe, "{b}", "MGET {b}1 {b}2"), "of several keys");
    ok(loop_until(probe_done, &probe, 1000), "is given up");
    ok(probe.result == NGX_PHRONY_REDIS_UNSENT, "unsent");
    is_int(probe.done, 1, "once");

    ok(send_key(&last, "{b}", "MGET {b}1 {b}2"), "one more");
    loop_for(60);

    client_close();

    is_int(last.done, 1, "ends with the client");
    ok(last.result == NGX_PHRONY_REDIS_UNSENT, "unsent as well");

    take_back(slot, from, to);
}


/* A slot that nobody serves is known to be so, and comes back. */

static void
test_down(void)
{
    int       from;
    unsigned  slot;

    client_of(PHRONY_REDIS_CLUSTER, 0, 1);
    follow();

    slot = slot_of("{c}");
    from = slot < HALF ? 0 : 1;

    cli(from, "CLUSTER DELSLOTS %u", slot);

    answers(ask_key("{c}", "GET {c}"), "unsent", "a slot of nobody");
    ok(client_lacks(&slot), "is known as such");
    answers(ask_key("k1", "GET k1"), "1", "others are not concerned");

    loop_for(300);

    cli(from, "CLUSTER ADDSLOTS %u", slot);
    ok(loop_until(client_has, &slot, 3000), "it comes back");
    answers(ask_key("{c}", "GET {c}"), "", "and is served");

    client_close();
}


/* Invalidations come from each master, and none is missed. */

static void
test_channels(void)
{
    char                 key[16];
    unsigned             slot;
    static phrony_str_t  prefixes[] = { phrony_str("p:") };

    client_of(PHRONY_REDIS_CLUSTER, 0, 0);
    client_observer.nprefixes = 1;
    client_observer.prefixes = prefixes;
    follow();

    ok(loop_until(client_lives, NULL, 2000), "all channels stand");

    for (slot = 0; slot < 2; slot++) {
        sprintf(key, "p:%u", slot);
        client_keys = 0;
        cli(slot_of(key) < HALF ? 0 : 1, "SET %s 1", key);
        loop_for(100);
        is_int(client_keys, 1, "a key of either is invalidated");
        is_str(client_key, strlen(client_key), key, "this one");
    }

    /* a slot goes to a third one */

    slot = slot_of("p:{n}");
    begin_move(slot, slot < HALF ? 0 : 1, 2);
    end_move(slot, 2);

    ok(send_key(&(probe_t) { 0 }, "p:{n}", "GET p:{n}"), "a command there");
    ok(loop_until(client_died, NULL, 2000), "there is a channel to come");
    ok(loop_until(client_lives, NULL, 2000), "and it stands");

    client_keys = 0;
    cli(2, "SET p:{n} 1");
    loop_for(100);
    is_int(client_keys, 1, "a key of the third one is invalidated");
    cli(2, "DEL p:{n}");

    begin_move(slot, 2, slot < HALF ? 0 : 1);
    end_move(slot, slot < HALF ? 0 : 1);
    loop_for(600);

    ok(client_live, "it is not missed while it goes back");

    client_close();
}


/* Commands that wait for a node when all ends. */

static void
test_destroy(void)
{
    int      i, n;
    char     key[16], text[32];
    probe_t  probes[50];

    client_of(PHRONY_REDIS_CLUSTER, 0, 1);
    follow();

    for (i = 0; i < 50; i++) {
        sprintf(key, "k%d", i);
        sprintf(text, "GET k%d", i);
        ok(send_key(&probes[i], key, text), "command %d", i);
    }

    client_close();

    for (i = 0, n = 0; i < 50; i++) {
        n += probes[i].done;
    }

    is_int(n, 50, "each ends once");

    /* and before anything is known */

    client_of(PHRONY_REDIS_CLUSTER, 0, 1);
    client_open();
    client_close();

    client_of(PHRONY_REDIS_CLUSTER, 0, 1);
    client_open();
    loop_turn();
    client_close();
}


/* Whose command ends then cannot send another one, wherever it goes. */

static void
test_destroy_again(void)
{
    int                          i;
    char                         key[16], text[32];
    probe_t                      probe;
    ngx_phrony_redis_command_t  *command;

    client_of(PHRONY_REDIS_CLUSTER, 0, 1);
    follow();

    again_ended = 0;
    again_taken = 0;

    for (i = 0; i < 50; i++) {
        sprintf(key, "k%d", i);
        sprintf(text, "GET k%d", i);

        command = probe_command(&probe, text);
        command->slot = slot_of(key);
        command->handler = again_handler;
        (void) ngx_phrony_redis_send(client, command);
    }

    client_close();

    is_int(again_ended, 50, "each ends");
    is_int(again_taken, 0, "no other is taken");
}


static void
again_handler(ngx_phrony_redis_command_t *command,
    ngx_phrony_redis_result_t result, const phrony_resp_t *reply)
{
    static probe_t  probe;

    again_ended++;
    again_taken += client_is_ready(NULL) || probe_send(&probe, "PING");
}


/* Each allocation fails once, first at the start and then on the way. */

static void
test_memory(void)
{
    long                 n;
    unsigned             slot;
    static phrony_str_t  prefixes[] = { phrony_str("p:") };

    slot = slot_of("k1");

    for (n = 1; n < 1000; n++) {
        client_of(PHRONY_REDIS_CLUSTER, 0, 1);
        client_observer.nprefixes = 1;
        client_observer.prefixes = prefixes;

        fail_at(n);
        client_open();

        if (client == NULL) {
            fail_at(-1);
            continue;
        }

        (void) loop_until(client_has, &slot, 3000);
        (void) loop_until(client_lives, NULL, 3000);

        if (allocs() < n) {
            fail_at(-1);
            client_close();
            break;
        }

        fail_at(-1);

        if (!loop_until(client_has, &slot, 3000)
            || !loop_until(client_lives, NULL, 3000))
        {
            ok(0, "allocation %ld fails", n);
        }

        client_close();
    }

    ok(n > 20 && n < 1000, "allocations that failed: %ld", n - 1);
}


static void
test_killed(void)
{
    unsigned  low, high;

    client_of(PHRONY_REDIS_CLUSTER, 0, 1);
    follow();

    low = 0;
    high = HALF;

    node_kill(1);

    ok(loop_until(client_lacks, &high, 2000), "a node is gone");
    ok(client_has(&low), "the other is not");
    ok(ngx_phrony_redis_ready(client, NGX_PHRONY_REDIS_ANY), "any will do");

    node_again(1);

    ok(loop_until(client_has, &high, 5000), "it is back");

    client_close();

    /* a master that has just begun does not write yet */

    ok(cli_until(1, "CLUSTER INFO", "cluster_state:ok"), "it serves");
}


/* A node that has no slots any more is not waited for when it is gone. */

static void
test_forgotten(void)
{
    unsigned             slot;
    static phrony_str_t  prefixes[] = { phrony_str("p:") };

    slot = slot_of("{new}");
    begin_move(slot, slot < HALF ? 0 : 1, 2);
    end_move(slot, 2);

    client_of(PHRONY_REDIS_CLUSTER, 0, 1);
    client_observer.nprefixes = 1;
    client_observer.prefixes = prefixes;
    follow();

    ok(loop_until(client_has, &slot, 5000)
       && loop_until(client_lives, NULL, 2000), "all channels stand");

    begin_move(slot, 2, slot < HALF ? 0 : 1);
    end_move(slot, slot < HALF ? 0 : 1);
    answers(ask_key("{new}", "GET {new}"), "", "a slot leaves a node");

    loop_for(300);
    node_kill(2);

    ok(loop_until(client_died, NULL, 2000), "which ends");
    ok(loop_until(client_lives, NULL, 8000), "and is forgotten");

    client_close();
}


static void
start(int i)
{
    char  options[512];

    snprintf(options, sizeof(options), OPTIONS, server_port());
    node_start(i, options);
}


static void
form(void)
{
    int  i;

    cli(1, "CLUSTER ADDSLOTSRANGE %d %d", HALF, PHRONY_SLOTS - 1);

    for (i = 0; i < 3; i++) {
        cli(i, "CLUSTER SET-CONFIG-EPOCH %d", i + 1);
    }

    for (i = 1; i < 3; i++) {
        cli(0, "CLUSTER MEET 127.0.0.1 %d %s", node_ports[i],
            strstr(node_options[i], "--cluster-port ") + 15);
    }

    for (i = 0; i < 3; i++) {
        ok(cli_until(i, "CLUSTER INFO", "cluster_slots_ok:16384")
           && cli_until(i, "CLUSTER INFO", "cluster_state:ok")
           && cli_until(i, "CLUSTER INFO", "cluster_known_nodes:3"),
           "node %d knows the others", i);
    }
}


/* Opens the client, and waits until all slots are known. */

static void
follow(void)
{
    unsigned  low, high;

    client_open();

    low = 0;
    high = HALF;

    ok(loop_until(client_has, &low, 3000)
       && loop_until(client_has, &high, 3000), "the map is known");
}


static int
client_redirected(void *data)
{
    return client_counters.redirected > 0;
}


static const char *
id(int i)
{
    static char  ids[NODES_MAX][64];

    if (ids[i][0] == '\0') {
        snprintf(ids[i], sizeof(ids[i]), "%s", cli(i, "CLUSTER MYID"));
    }

    return ids[i];
}


static unsigned
slot_of(const char *key)
{
    phrony_str_t  name;

    name = str(key);

    return phrony_slot(&name);
}


static int
send_key(probe_t *probe, const char *key, const char *text)
{
    ngx_phrony_redis_command_t  *command;

    command = probe_command(probe, text);
    command->slot = slot_of(key);
    command->waited = 1;

    return ngx_phrony_redis_send(client, command) == NGX_OK;
}


/* As probe_ask(). */

static const char *
ask_key(const char *key, const char *text)
{
    static probe_t  probe;

    if (!send_key(&probe, key, text)) {
        return "declined";
    }

    if (!loop_until(probe_done, &probe, 5000)) {
        return "nothing";
    }

    if (probe.result != NGX_PHRONY_REDIS_ANSWERED) {
        return (probe.result == NGX_PHRONY_REDIS_LOST) ? "lost" : "unsent";
    }

    return probe.text;
}


static void
answers(const char *got, const char *want, const char *name)
{
    is_str(got, strlen(got), want, name);
}


static void
begin_move(unsigned slot, int from, int to)
{
    (void) id(from);
    (void) id(to);

    cli(to, "CLUSTER SETSLOT %u IMPORTING %s", slot, id(from));
    cli(from, "CLUSTER SETSLOT %u MIGRATING %s", slot, id(to));
}


/* A move of "{b}1" that is not to be. */

static void
take_back(unsigned slot, int from, int to)
{
    cli(from, "CLUSTER SETSLOT %u STABLE", slot);
    cli(to, "MIGRATE 127.0.0.1 %d {b}1 0 1000", node_ports[from]);
    cli(to, "CLUSTER SETSLOT %u STABLE", slot);
}


static void
end_move(unsigned slot, int to)
{
    int  i;

    cli(to, "CLUSTER SETSLOT %u NODE %s", slot, id(to));

    for (i = 0; i < 3; i++) {
        cli(i, "CLUSTER SETSLOT %u NODE %s", slot, id(to));
    }
}
