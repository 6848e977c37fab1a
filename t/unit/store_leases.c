
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


/* sources: ngx_http_phrony_module/store/ ngx_http_phrony_module/redis/
            nginx */


#include "gateway.h"


/* What docs/leases.md demands of answers that come when Redis is away. */


static void test_each_lease(void);
static void test_each_lease_lost(void);
static void test_end_told(void);
static void test_unleased(void);
static void test_kept_end(void);
static int score(uint64_t trigger, uint64_t run);


int
main(void)
{
    loop_open();

    server_listens = server_port();
    server_start("");

    test_each_lease();
    test_each_lease_lost();
    test_end_told();
    test_unleased();
    test_kept_end();

    client_close();
    server_stop(SIGTERM);
    loop_close();

    return done();
}


/* Two starts are answered by one run while Redis is away. */

static void
test_each_lease(void)
{
    gateway_t        a;
    ngx_phrony_op_t  x, y;

    gateway_open(&a, 1024 * 1024);

    (void) gateway_start(&a, 1, &x);
    (void) gateway_start(&a, 1, &y);
    is_int(gateway_held(1), 2, "two leases");

    gateway_lose(&a);
    gateway_settle(&a, &x, PHRONY_LEASE_BIND, 100);
    gateway_settle(&a, &y, PHRONY_LEASE_BIND, 100);
    gateway_find(&a);

    is_int(gateway_held(1), 1, "two answers, one run, one slot");
    is_int(score(1, 100), 1, "the run's");
    is_int(gateway_root(&a)->nuntold, 0, "nothing is untold");
    ok(gateway_sound(&a), "the zone is sound");

    gateway_close(&a);
}


/* Redis has died before it could be told of either. */

static void
test_each_lease_lost(void)
{
    gateway_t        a;
    ngx_phrony_op_t  x, y;

    gateway_open(&a, 1024 * 1024);

    (void) gateway_start(&a, 2, &x);
    (void) gateway_start(&a, 2, &y);

    server_pause();

    gateway_settle(&a, &x, PHRONY_LEASE_BIND, 200);
    gateway_settle(&a, &y, PHRONY_LEASE_BIND, 200);
    (void) loop_until(gateway_rests, &a, 5000);

    server_stop(SIGKILL);
    ok(loop_until(gateway_is_down, &a, 5000), "the connection is lost");

    server_start("");
    gateway_find(&a);

    is_int(gateway_held(2), 1, "one slot");
    is_int(score(2, 200), 1, "the run's");

    gateway_close(&a);
}


/* A start that was decided here is answered by a run that Redis knows. */

static void
test_end_told(void)
{
    gateway_t        a;
    ngx_phrony_op_t  x, y;

    gateway_open(&a, 1024 * 1024);

    (void) gateway_start(&a, 3, &x);
    gateway_settle(&a, &x, PHRONY_LEASE_BIND, 300);
    gateway_rest(&a);

    gateway_lose(&a);
    ok(gateway_start(&a, 3, &y) && gateway_is(&y, "local"),
       "a start is decided here");
    gateway_settle(&a, &y, PHRONY_LEASE_END, 300);
    gateway_find(&a);

    is_int(score(3, 300), -1, "the end of the run is told");
    is_int(gateway_held(3), 0, "no slot is held");
    ok(gateway_sound(&a), "the zone is sound");

    gateway_close(&a);
}


/* A start that nobody counted is answered by another gateway's run. */

static void
test_unleased(void)
{
    gateway_t        a, b;
    ngx_phrony_op_t  x, y;

    gateway_open(&a, 1024 * 1024);
    gateway_open(&b, 1024 * 1024);

    (void) gateway_start(&a, 4, &x);
    gateway_settle(&a, &x, PHRONY_LEASE_BIND, 400);
    gateway_rest(&a);

    gateway_lose(&b);
    gateway_ask(&y, 4);
    y.local = 0;
    (void) gateway_admit(&b, &y);
    ok(!y.leased, "allowed without a lease");
    gateway_settle(&b, &y, PHRONY_LEASE_BIND, 400);
    gateway_find(&b);

    is_int(score(4, 400), 1, "the run holds its slot");

    gateway_settle(&b, &y, PHRONY_LEASE_END, 400);
    gateway_rest(&b);
    is_int(score(4, 400), -1, "until it has ended");

    gateway_close(&a);
    gateway_close(&b);
}


/* Binding and end are lost, and the zone has forgotten the run. */

static void
test_kept_end(void)
{
    gateway_t        a;
    ngx_phrony_op_t  x;

    gateway_open(&a, 1024 * 1024);

    (void) gateway_start(&a, 5, &x);

    server_pause();

    gateway_settle(&a, &x, PHRONY_LEASE_BIND, 500);
    (void) loop_until(gateway_rests, &a, 5000);
    gateway_see(&a, 5, PHRONY_LEASE_END, 500);
    (void) loop_until(gateway_rests, &a, 5000);

    (void) ngx_phrony_zone_lock(&a.zone);
    ngx_phrony_run_evict(&a.zone);
    ngx_phrony_zone_unlock(&a.zone);

    server_stop(SIGKILL);
    ok(loop_until(gateway_is_down, &a, 5000), "the connection is lost");

    server_start("");
    gateway_find(&a);

    is_int(score(5, 500), -1, "an end that is told again is an end");
    ok(gateway_sound(&a), "the zone is sound");

    gateway_close(&a);
}


/* 1: the run holds a slot, -1: it has ended, 0: Redis does not know it. */

static int
score(uint64_t trigger, uint64_t run)
{
    phrony_uuid_t  id;

    id = store_uuid(run);

    return gateway_score(trigger, &id);
}
