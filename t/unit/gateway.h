
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef GATEWAY_H_
#define GATEWAY_H_


/*
 * Gateways, each with a zone of its own and the Redis store over it, on one
 * redis-server.  The zones' clock stands still unless a test moves it; Redis
 * has its own.
 *
 *     gateway_open(&a, 1024 * 1024);
 *     ok(gateway_start(&a, 1, &op), "is granted");
 *     gateway_bind(&a, &op, 100);
 */


#include "redis.h"
#include "store.h"

#include "ngx_phrony_share.h"
#include "ngx_phrony_store_redis.h"


#define GATEWAY_RESERVATION  20000
#define GATEWAY_RUN_TTL      60000


typedef struct {
    ngx_phrony_zone_t             zone;
    size_t                        size;
    ngx_phrony_redis_conf_t       conf;
    ngx_phrony_redis_observer_t   observer;
    ngx_phrony_redis_t           *redis;
    ngx_phrony_store_redis_t      shared;
    ngx_phrony_store_t           *store;
    long                          questions;    /* of gateway_rest() */
} gateway_t;


static void  gateway_open(gateway_t *g, size_t size) TEST_UNUSED;
static void  gateway_close(gateway_t *g) TEST_UNUSED;
static void  gateway_connect(gateway_t *g) TEST_UNUSED;
static void  gateway_disconnect(gateway_t *g) TEST_UNUSED;
static void  gateway_on_ready(void *data);
static int   gateway_is_ready(void *data) TEST_UNUSED;
static int   gateway_is_down(void *data) TEST_UNUSED;
static int   gateway_told(void *data) TEST_UNUSED;
static void  gateway_rest(gateway_t *g) TEST_UNUSED;
static void  gateway_lose(gateway_t *g) TEST_UNUSED;
static void  gateway_find(gateway_t *g) TEST_UNUSED;
static int   gateway_rests(void *data);
static ngx_phrony_root_t  *gateway_root(gateway_t *g) TEST_UNUSED;
static long  gateway_commands(gateway_t *g) TEST_UNUSED;
static int   gateway_sound(gateway_t *g) TEST_UNUSED;

static void  gateway_ask(ngx_phrony_op_t *op, uint64_t trigger) TEST_UNUSED;
static void  gateway_limit(ngx_phrony_op_t *op, phrony_limit_id_t id,
    int64_t quota) TEST_UNUSED;
static ngx_int_t  gateway_admit(gateway_t *g, ngx_phrony_op_t *op)
    TEST_UNUSED;
static int   gateway_start(gateway_t *g, uint64_t trigger,
    ngx_phrony_op_t *op) TEST_UNUSED;
static int   gateway_locate(gateway_t *g, uint64_t run, ngx_phrony_op_t *op)
    TEST_UNUSED;
static void  gateway_handler(ngx_phrony_op_t *op);
static int   gateway_answered(void *data) TEST_UNUSED;
static int   gateway_is(ngx_phrony_op_t *op, const char *label) TEST_UNUSED;

static void  gateway_settle(gateway_t *g, ngx_phrony_op_t *op,
    phrony_lease_event_t event, uint64_t run) TEST_UNUSED;
static void  gateway_see(gateway_t *g, uint64_t trigger,
    phrony_lease_event_t event, uint64_t run) TEST_UNUSED;

static const char  *gateway_key(const char *kind, uint64_t trigger)
    TEST_UNUSED;
static const char  *gateway_text(phrony_uuid_t *id) TEST_UNUSED;
static const char  *gateway_tell(const char *fmt, ...)
    __attribute__((unused, format(printf, 1, 2)));
static long  gateway_number(const char *fmt, ...)
    __attribute__((unused, format(printf, 1, 2)));
static long  gateway_held(uint64_t trigger) TEST_UNUSED;
static int   gateway_score(uint64_t trigger, phrony_uuid_t *member)
    TEST_UNUSED;


/* How long a gateway waits for an answer, ms: on a busy machine, too. */

static ngx_msec_t  gateway_timeout = 10000;


/* A new zone, and a worker over it. */

static void
gateway_open(gateway_t *g, size_t size)
{
    memset(g, 0, sizeof(*g));

    store_open(size);

    g->zone = zone;
    g->size = size;

    gateway_connect(g);

    if (!loop_until(gateway_is_ready, g, 10000)) {
        printf("# redis does not get ready\n");
    }
}


static void
gateway_close(gateway_t *g)
{
    if (g->redis) {
        gateway_disconnect(g);
    }

    munmap(g->zone.shpool, g->size);
}


/* Another worker over the zone. */

static void
gateway_connect(gateway_t *g)
{
    ngx_str_t  prefix = ngx_string("unit");

    ngx_phrony_store_redis_init(&g->shared, &g->zone, &prefix, 0);

    g->store = &g->shared.store;

    g->conf.parsed.nhosts = 1;
    g->conf.parsed.hosts[0].host = str("127.0.0.1");
    g->conf.parsed.hosts[0].port = server_listens;
    g->conf.timeout = gateway_timeout;
    g->conf.connect_timeout = 10000;

    g->observer.data = g;
    g->observer.ready = gateway_on_ready;

    g->redis = ngx_phrony_redis_create(&g->conf, &g->observer,
                                       &gateway_root(g)->redis,
                                       loop_cycle->log);

    if (g->redis == NULL
        || ngx_phrony_store_redis_start(&g->shared, g->redis) != NGX_OK)
    {
        abort();
    }
}


/* The end of the worker. */

static void
gateway_disconnect(gateway_t *g)
{
    ngx_phrony_store_redis_flush(&g->shared);
    ngx_phrony_redis_destroy(g->redis);
    ngx_phrony_store_redis_stop(&g->shared);

    g->redis = NULL;
}


static void
gateway_on_ready(void *data)
{
    gateway_t  *g;

    g = data;

    ngx_phrony_store_redis_ready(&g->shared);
}


static int
gateway_is_ready(void *data)
{
    return ngx_phrony_redis_ready(((gateway_t *) data)->redis, 0);
}


static int
gateway_is_down(void *data)
{
    return !gateway_is_ready(data);
}


/* Nothing is untold, nor on its way. */

static int
gateway_told(void *data)
{
    gateway_t  *g;

    g = data;

    return gateway_root(g)->nuntold == 0 && g->shared.teller->telling == 0;
}


/* The gateway cannot send anything from now on, though Redis is there. */

static void
gateway_lose(gateway_t *g)
{
    g->shared.teller->closed = 1;
}


/* Redis is there again, and all is told. */

static void
gateway_find(gateway_t *g)
{
    g->shared.teller->closed = 0;

    ok(loop_until(gateway_is_ready, g, 20000), "redis is ready");

    ngx_phrony_store_redis_ready(&g->shared);

    ok(loop_until(gateway_told, g, 20000), "all is told");
    gateway_rest(g);
}


/* Waits until all that it had to say was answered: replies come in order. */

static void
gateway_rest(gateway_t *g)
{
    ngx_phrony_op_t  op;

    (void) loop_until(gateway_rests, g, 5000);

    g->questions++;
    (void) gateway_locate(g, UINT64_MAX, &op);
}


static int
gateway_rests(void *data)
{
    gateway_t  *g;

    g = data;

    return ngx_queue_empty(&g->shared.teller->groups);
}


static ngx_phrony_root_t *
gateway_root(gateway_t *g)
{
    return g->zone.shpool->data;
}


static long
gateway_commands(gateway_t *g)
{
    return (long) gateway_root(g)->redis.commands - g->questions;
}


static int
gateway_sound(gateway_t *g)
{
    zone = g->zone;

    return store_sound();
}


static void
gateway_ask(ngx_phrony_op_t *op, uint64_t trigger)
{
    memset(op, 0, sizeof(*op));

    op->trigger_id = store_uuid(trigger);
    op->workspace_id = store_uuid(1);
    op->reservation_ttl = GATEWAY_RESERVATION;
    op->local = 1;
    op->handler = gateway_handler;
}


static void
gateway_limit(ngx_phrony_op_t *op, phrony_limit_id_t id, int64_t quota)
{
    op->limits[id].set = 1;
    op->limits[id].quota = quota;
}


/* Asks and waits: what admit() returned. */

static ngx_int_t
gateway_admit(gateway_t *g, ngx_phrony_op_t *op)
{
    int        answered;
    ngx_int_t  rc;

    answered = 0;
    op->data = &answered;

    rc = g->store->admit(g->store, op);

    if (rc == NGX_AGAIN && !loop_until(gateway_answered, &answered, 20000)) {
        printf("# no answer\n");
    }

    return rc;
}


/* One start without limits; 1 if it is granted. */

static int
gateway_start(gateway_t *g, uint64_t trigger, ngx_phrony_op_t *op)
{
    gateway_ask(op, trigger);
    (void) gateway_admit(g, op);

    return op->granted && op->leased;
}


static int
gateway_locate(gateway_t *g, uint64_t run, ngx_phrony_op_t *op)
{
    int        answered;
    ngx_int_t  rc;

    gateway_ask(op, 0);

    answered = 0;
    op->run_id = store_uuid(run);
    op->data = &answered;

    rc = g->store->locate(g->store, op);

    if (rc == NGX_AGAIN && !loop_until(gateway_answered, &answered, 20000)) {
        printf("# no answer\n");
    }

    return op->known;
}


static void
gateway_handler(ngx_phrony_op_t *op)
{
    int  *answered;

    answered = op->data;
    (*answered)++;
}


static int
gateway_answered(void *data)
{
    return *(int *) data;
}


static int
gateway_is(ngx_phrony_op_t *op, const char *label)
{
    return op->label && op->label->len == strlen(label)
           && memcmp(op->label->data, label, op->label->len) == 0;
}


/* What became of a start; run 0 is none. */

static void
gateway_settle(gateway_t *g, ngx_phrony_op_t *op, phrony_lease_event_t event,
    uint64_t run)
{
    ngx_phrony_settlement_t  s;

    memset(&s, 0, sizeof(s));

    s.event = event;
    s.start = 1;
    s.leased = op->leased;
    s.lease_id = op->lease_id;
    s.has_run = (run != 0);
    s.run_id = store_uuid(run);
    s.trigger_id = op->trigger_id;
    s.agent_id = store_uuid(2);
    s.workspace_id = op->workspace_id;
    s.run_ttl = GATEWAY_RUN_TTL;

    g->store->settle(g->store, &s);
}


static void
gateway_see(gateway_t *g, uint64_t trigger, phrony_lease_event_t event,
    uint64_t run)
{
    ngx_phrony_settlement_t  s;

    memset(&s, 0, sizeof(s));

    s.event = event;
    s.has_run = 1;
    s.run_id = store_uuid(run);
    s.trigger_id = store_uuid(trigger);
    s.agent_id = store_uuid(2);
    s.workspace_id = store_uuid(1);
    s.run_ttl = GATEWAY_RUN_TTL;

    g->store->settle(g->store, &s);
}


/* The name of a trigger's key; good until the next call. */

static const char *
gateway_key(const char *kind, uint64_t trigger)
{
    phrony_uuid_t  id, workspace;
    static char    key[256];

    id = store_uuid(trigger);
    workspace = store_uuid(1);

    snprintf(key, sizeof(key), "unit:{%s}:%s:%s", gateway_text(&workspace),
             kind, gateway_text(&id));

    return key;
}


/* Good until the fourth call from now. */

static const char *
gateway_text(phrony_uuid_t *id)
{
    static char      ring[4][PHRONY_UUID_TEXT_LEN + 1];
    static unsigned  n;

    n = (n + 1) % 4;

    *phrony_uuid_format((unsigned char *) ring[n], id) = '\0';

    return ring[n];
}


/* A command to the server by a connection of the test's own. */

static const char *
gateway_tell(const char *fmt, ...)
{
    char     text[2048];
    va_list  args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);

    if (client == NULL) {
        client_open();
    }

    if (!loop_until(client_is_ready, NULL, 5000)) {
        return "down";
    }

    return probe_ask(text);
}


/* The same, of a command that is answered by a number. */

static long
gateway_number(const char *fmt, ...)
{
    char     text[2048];
    probe_t  probe;
    va_list  args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);

    if (client == NULL) {
        client_open();
    }

    if (!loop_until(client_is_ready, NULL, 5000)
        || !probe_send(&probe, text)
        || !loop_until(probe_done, &probe, 5000)
        || probe.type != PHRONY_RESP_INTEGER)
    {
        return -1;
    }

    return probe.integer;
}


/* Slots of the trigger that Redis holds. */

static long
gateway_held(uint64_t trigger)
{
    return gateway_number("ZCOUNT %s 1 +inf", gateway_key("runs", trigger));
}


/* 1: holds a slot, -1: has ended, 0: is not known. */

static int
gateway_score(uint64_t trigger, phrony_uuid_t *member)
{
    const char  *score;

    score = gateway_tell("ZSCORE %s %s", gateway_key("runs", trigger),
                         gateway_text(member));

    if (*score == '\0') {
        return 0;
    }

    return (*score == '-') ? -1 : 1;
}


#endif /* GATEWAY_H_ */
