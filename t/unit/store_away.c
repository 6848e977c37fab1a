
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


/* sources: ngx_http_phrony_module/store/ ngx_http_phrony_module/redis/
            nginx */


#include "gateway.h"


/* The Redis store when Redis goes, while it is away, and when it is back. */


static void test_lost_before(void);
static void test_lost_after(void);
static void test_told_twice(phrony_lease_event_t event, int held);
static void test_lost_settled(void);
static void test_lost_batch(void);
static void test_quit(void);
static void test_local(void);
static void test_local_runs(void);
static void test_elsewhere(void);
static void test_untold_ends(void);
static void test_another_tells(void);
static void test_many(void);
static void test_not_twice(void);
static void test_full(void);
static void test_full_of_ends(void);
static void test_none(void);
static phrony_uuid_t last_lease(gateway_t *g, unsigned back);
static long window_sum(uint64_t trigger);


int
main(void)
{
    loop_open();

    server_listens = server_port();
    server_start("");

    test_lost_before();
    test_lost_after();
    test_told_twice(PHRONY_LEASE_BIND, 1);
    test_told_twice(PHRONY_LEASE_END, 0);
    test_told_twice(PHRONY_LEASE_RELEASE, 0);
    test_lost_settled();
    test_lost_batch();
    test_quit();
    test_local();
    test_local_runs();
    test_elsewhere();
    test_untold_ends();
    test_another_tells();
    test_many();
    test_not_twice();
    test_full();
    test_full_of_ends();
    test_none();

    client_close();
    server_stop(SIGTERM);
    loop_close();

    return done();
}


/* The connection is gone, and nobody has noticed yet. */

static void
test_lost_before(void)
{
    gateway_t        a;
    ngx_phrony_op_t  op, strict;

    gateway_open(&a, 1024 * 1024);

    server_stop(SIGKILL);

    gateway_ask(&op, 1);
    gateway_ask(&strict, 1);
    strict.local = 0;

    is_int(gateway_admit(&a, &op), NGX_AGAIN, "a start is on its way");
    ok(op.granted && op.leased && gateway_is(&op, "local"),
       "and decided here when it cannot arrive");
    ok(loop_until(gateway_is_down, &a, 5000), "from now on that is known");
    is_int(gateway_admit(&a, &op), NGX_OK, "and nobody waits");
    is_int(gateway_admit(&a, &strict), NGX_DECLINED, "or has no answer");

    server_start("");
    gateway_find(&a);
    is_int(gateway_held(1), 2, "both slots are told");
    is_int(window_sum(1), 2, "so are both starts");
    is_int(gateway_root(&a)->nleases, 0, "and are Redis's now");
    ok(gateway_sound(&a), "the zone is sound");

    gateway_close(&a);
}


/* Redis carries out what it was sent, and nobody hears of it. */

static void
test_lost_after(void)
{
    int              answered[2];
    gateway_t        a;
    phrony_uuid_t    run;
    ngx_phrony_op_t  first, op, strict, read;

    gateway_timeout = 1000;
    gateway_open(&a, 1024 * 1024);

    (void) gateway_start(&a, 2, &first);

    server_pause();

    /* a settlement goes along */

    gateway_settle(&a, &first, PHRONY_LEASE_BIND, 2000);

    gateway_ask(&op, 2);
    gateway_ask(&strict, 2);
    gateway_ask(&read, 2);
    strict.local = 0;
    read.read = 1;
    answered[0] = 0;
    answered[1] = 0;
    strict.data = &answered[0];
    read.data = &answered[1];

    (void) a.store->admit(a.store, &strict);
    (void) a.store->admit(a.store, &read);
    is_int(gateway_admit(&a, &op), NGX_AGAIN, "a start is on its way");
    ok(op.granted && op.leased && gateway_is(&op, "local"),
       "and decided here when its time is over");
    ok(answered[0] && strict.failed && !strict.granted, "or has failed");
    ok(answered[1] && read.granted, "a read is");

    gateway_settle(&a, &op, PHRONY_LEASE_BIND, 2001);

    server_resume();
    gateway_find(&a);

    is_int(gateway_held(2), 2, "what nobody heard of is given back");
    run = last_lease(&a, 0);
    is_int(gateway_score(2, &run), -1, "whenever it may arrive");
    run = last_lease(&a, 1);
    is_int(gateway_score(2, &run), -1, "each of both");
    run = store_uuid(2000);
    is_int(gateway_score(2, &run), 1, "the settlement is told again");
    run = store_uuid(2001);
    is_int(gateway_score(2, &run), 1, "the start that was decided here is");
    ok(gateway_locate(&a, 2000, &op), "its owner is known");
    ok(gateway_sound(&a), "the zone is sound");

    gateway_timeout = 10000;
    gateway_close(&a);
}


/*
 * A slot of here is told, and then what became of it: nobody knows whether
 * either arrived, and in which order.
 */

static void
test_told_twice(phrony_lease_event_t event, int held)
{
    uint64_t         trigger;
    gateway_t        a;
    phrony_uuid_t    run;
    ngx_phrony_op_t  op;

    trigger = 1700 + event;

    gateway_timeout = 1000;
    gateway_open(&a, 1024 * 1024);

    gateway_lose(&a);
    (void) gateway_start(&a, trigger, &op);

    server_pause();
    a.shared.teller->closed = 0;
    ngx_phrony_store_redis_ready(&a.shared);
    loop_turn();
    is_int(gateway_root(&a)->nuntold, 0, "a slot is being told");

    gateway_settle(&a, &op, event,
                   event == PHRONY_LEASE_RELEASE ? 0 : 17000 + event);
    ok(loop_until(gateway_is_down, &a, 10000), "nobody knows whether it was");
    ok(gateway_sound(&a), "the zone is sound");

    server_resume();
    gateway_find(&a);

    is_int(gateway_held(trigger), held, "what became of it counts");
    ok(gateway_score(trigger, &op.lease_id) <= 0, "not the lease");
    run = store_uuid(17000 + event);
    ok(held == 0 || gateway_score(trigger, &run) == 1, "but the run");

    /* the first of it comes late, from another worker */

    is_int(gateway_number("EVALSHA %s 1 %s H%s%s%015d",
                          phrony_scripts[PHRONY_SCRIPT_SETTLE].sha1,
                          gateway_key("runs", trigger),
                          gateway_text(&op.lease_id),
                          "------------------------------------", 20000),
           1, "the slot is told once more");
    is_int(gateway_held(trigger), held, "what became of it still counts");

    gateway_close(&a);
    gateway_timeout = 10000;
}


/* Redis dies with a settlement, and comes back with nothing. */

static void
test_lost_settled(void)
{
    gateway_t        a;
    phrony_uuid_t    run;
    ngx_phrony_op_t  op, other;

    gateway_open(&a, 1024 * 1024);

    (void) gateway_start(&a, 14, &op);
    (void) gateway_start(&a, 14, &other);

    server_pause();
    gateway_settle(&a, &op, PHRONY_LEASE_BIND, 14000);
    gateway_settle(&a, &other, PHRONY_LEASE_RELEASE, 0);
    (void) loop_until(gateway_rests, &a, 5000);
    is_int(gateway_root(&a)->nuntold, 0, "both are on their way");
    server_stop(SIGKILL);
    ok(loop_until(gateway_is_down, &a, 5000), "and get lost");
    is_int(gateway_root(&a)->nuntold, 2, "both are untold then");
    server_start("");
    gateway_find(&a);

    run = store_uuid(14000);
    is_int(gateway_score(14, &run), 1, "a binding is told again");
    is_int(gateway_number("EXISTS unit:run:%s", gateway_text(&run)), 1,
           "and whose the run is");
    ok(gateway_number("PTTL unit:run:%s", gateway_text(&run)) > 50000,
       "for as long as before");

    gateway_close(&a);
}


/* The same with what was untold before. */

static void
test_lost_batch(void)
{
    int              i;
    gateway_t        a;
    phrony_uuid_t    run;
    ngx_phrony_op_t  op;

    gateway_open(&a, 1024 * 1024);
    gateway_lose(&a);

    for (i = 0; i < 3; i++) {
        (void) gateway_start(&a, 15, &op);

        if (i) {
            gateway_settle(&a, &op, PHRONY_LEASE_BIND, 15000 + i);
        }
    }

    server_pause();
    a.shared.teller->closed = 0;
    ngx_phrony_store_redis_ready(&a.shared);
    loop_for(20);
    is_int(gateway_root(&a)->nuntold, 0, "all is on its way");
    server_stop(SIGKILL);
    server_start("");
    gateway_find(&a);

    is_int(gateway_held(15), 3, "and is told again");
    run = store_uuid(15002);
    is_int(gateway_number("EXISTS unit:run:%s", gateway_text(&run)), 1,
           "with whose the runs are");

    gateway_close(&a);
}


/* The worker ends, and another one follows. */

static void
test_quit(void)
{
    int              answered;
    gateway_t        a;
    ngx_phrony_op_t  op, gone;

    gateway_open(&a, 1024 * 1024);

    server_pause();

    answered = 0;

    gateway_ask(&op, 3);
    op.data = &answered;
    (void) a.store->admit(a.store, &op);

    gateway_ask(&gone, 3);
    (void) a.store->admit(a.store, &gone);
    a.store->cancel(a.store, &gone);
    memset(&gone, 0xa5, sizeof(gone));

    loop_turn();
    gateway_disconnect(&a);

    is_int(answered, 1, "a start is answered when its worker ends");
    ok(op.failed && !op.granted, "not granted by anybody");

    server_resume();
    (void) gateway_tell("PING");
    gateway_connect(&a);
    gateway_find(&a);

    is_int(gateway_held(3), 0, "the next worker gives both slots back");

    gateway_close(&a);
}


/* Counts go on from the last that were seen, and are told. */

static void
test_local(void)
{
    int              i;
    gateway_t        a;
    ngx_phrony_op_t  op;

    gateway_open(&a, 1024 * 1024);

    gateway_ask(&op, 4);
    gateway_limit(&op, PHRONY_LIMIT_RPM, 5);

    for (i = 0; i < 2; i++) {
        (void) gateway_admit(&a, &op);
    }

    gateway_lose(&a);

    (void) gateway_admit(&a, &op);
    ok(op.granted && gateway_is(&op, "local"), "a start is decided here");
    is_int(op.limits[PHRONY_LIMIT_RPM].remaining, 2,
           "which counts on from what Redis said");
    (void) gateway_admit(&a, &op);
    (void) gateway_admit(&a, &op);
    ok(op.granted, "the fifth is granted");
    (void) gateway_admit(&a, &op);
    ok(!op.granted && op.limits[PHRONY_LIMIT_RPM].refused,
       "the sixth is not");
    is_int(gateway_root(&a)->nuntold, 3 + 1, "3 leases and counts are untold");

    store_now += 3000;

    gateway_find(&a);
    is_int(window_sum(4), 3 + 2, "Redis has been told of 3 more");
    is_int(gateway_held(4), 5, "and of their slots");

    gateway_limit(&op, PHRONY_LIMIT_RPM, 6);
    (void) gateway_admit(&a, &op);
    ok(op.granted && gateway_is(&op, "redis"), "Redis decides again");
    is_int(op.limits[PHRONY_LIMIT_RPM].remaining, 0, "counting all of them");
    ok(op.limits[PHRONY_LIMIT_RPM].reset <= 59000,
       "as old as they were when it was told");
    ok(gateway_sound(&a), "the zone is sound");

    gateway_close(&a);
}


/* Runs that begin, and end, while Redis is away. */

static void
test_local_runs(void)
{
    int              i;
    gateway_t        a;
    ngx_uint_t       known;
    phrony_uuid_t    run;
    ngx_phrony_op_t  op[5], other;

    gateway_open(&a, 1024 * 1024);
    gateway_lose(&a);

    for (i = 0; i < 5; i++) {
        (void) gateway_start(&a, 5, &op[i]);
    }

    gateway_settle(&a, &op[0], PHRONY_LEASE_BIND, 5000);
    gateway_settle(&a, &op[1], PHRONY_LEASE_END, 5001);
    gateway_settle(&a, &op[2], PHRONY_LEASE_RELEASE, 0);
    gateway_settle(&a, &op[3], PHRONY_LEASE_BIND, 5003);
    gateway_see(&a, 5, PHRONY_LEASE_END, 5003);

    is_int(gateway_root(&a)->nleases, 2, "2 of 5 slots are still held");
    ok(gateway_locate(&a, 5000, &other), "a run of here is known");
    ok(!gateway_locate(&a, 5999, &other) && !other.failed, "no other is");

    gateway_ask(&other, 5);
    gateway_limit(&other, PHRONY_LIMIT_RUNS, 2);
    (void) gateway_admit(&a, &other);
    ok(!other.granted && other.limits[PHRONY_LIMIT_RUNS].refused,
       "the limit on runs holds");

    gateway_find(&a);

    is_int(gateway_held(5), 2, "Redis is told of 2 slots");
    is_int(gateway_score(5, &op[4].lease_id), 1, "of a lease");
    run = store_uuid(5000);
    is_int(gateway_score(5, &run), 1, "of a run");
    run = store_uuid(5001);
    is_int(gateway_score(5, &run), -1, "of one that has ended");
    run = store_uuid(5003);
    is_int(gateway_score(5, &run), -1, "and of another");
    is_int(gateway_root(&a)->nleases, 0, "no slot is held here");

    gateway_lose(&a);
    (void) gateway_admit(&a, &other);
    ok(!other.granted, "what was told counts if Redis goes again");
    gateway_find(&a);

    /* a lease that was told of becomes a run */

    known = gateway_root(&a)->nended;

    gateway_settle(&a, &op[4], PHRONY_LEASE_BIND, 5004);
    gateway_rest(&a);
    run = store_uuid(5004);
    is_int(gateway_score(5, &run), 1, "a lease that was told is bound");
    ok(gateway_score(5, &op[4].lease_id) <= 0, "under the run's name");
    is_int(gateway_held(5), 2, "there are no more than before");
    is_int(gateway_root(&a)->nended, known, "nor is more known than before");
    ok(gateway_sound(&a), "the zone is sound");

    gateway_close(&a);
}


/* Slots that other gateways hold count while Redis is away. */

static void
test_elsewhere(void)
{
    int              i;
    gateway_t        a, b;
    ngx_phrony_op_t  op, ours, other;

    gateway_open(&a, 1024 * 1024);
    gateway_open(&b, 1024 * 1024);

    for (i = 0; i < 3; i++) {
        (void) gateway_start(&b, 6, &other);
    }

    (void) gateway_start(&a, 6, &ours);
    gateway_settle(&a, &ours, PHRONY_LEASE_BIND, 6000);
    gateway_rest(&a);

    gateway_lose(&a);

    gateway_ask(&op, 6);
    gateway_limit(&op, PHRONY_LIMIT_RUNS, 5);
    (void) gateway_admit(&a, &op);
    ok(op.granted, "the fifth slot is taken here");
    is_int(op.limits[PHRONY_LIMIT_RUNS].remaining, 0, "none remains");
    (void) gateway_admit(&a, &op);
    ok(!op.granted, "there is no sixth");

    gateway_see(&a, 6, PHRONY_LEASE_END, 6000);
    (void) gateway_admit(&a, &op);
    ok(op.granted, "a run that ends makes room");
    (void) gateway_admit(&a, &op);
    ok(!op.granted, "for one");

    store_now += GATEWAY_RUN_TTL;
    gateway_limit(&op, PHRONY_LIMIT_RUNS, 1);
    (void) gateway_admit(&a, &op);
    ok(op.granted, "what nobody confirms is forgotten with time");

    gateway_find(&a);
    gateway_close(&a);
    gateway_close(&b);
}


/* Ends of runs, and releases, that Redis could not be told of. */

static void
test_untold_ends(void)
{
    int              i;
    gateway_t        a;
    phrony_uuid_t    run;
    ngx_phrony_op_t  op[3];

    gateway_open(&a, 1024 * 1024);

    for (i = 0; i < 3; i++) {
        (void) gateway_start(&a, 7, &op[i]);
    }

    gateway_settle(&a, &op[0], PHRONY_LEASE_BIND, 7000);
    gateway_rest(&a);
    is_int(gateway_held(7), 3, "3 slots are held");

    server_pause();
    gateway_lose(&a);

    gateway_see(&a, 7, PHRONY_LEASE_END, 7000);
    gateway_settle(&a, &op[1], PHRONY_LEASE_RELEASE, 0);
    gateway_settle(&a, &op[2], PHRONY_LEASE_BIND, 7002);
    gateway_see(&a, 7, PHRONY_LEASE_SEEN, 7002);
    gateway_see(&a, 7, PHRONY_LEASE_END, 7777);

    is_int(gateway_root(&a)->nuntold, 4, "4 things are untold");
    ok(gateway_sound(&a), "the zone is sound");

    server_resume();
    gateway_find(&a);

    is_int(gateway_held(7), 1, "1 slot is left");
    run = store_uuid(7002);
    is_int(gateway_score(7, &run), 1, "that of the run that goes on");
    is_int(gateway_score(7, &op[2].lease_id), 0, "no longer by its lease");
    run = store_uuid(7000);
    is_int(gateway_score(7, &run), -1, "an end was told");
    run = store_uuid(7777);
    is_int(gateway_score(7, &run), -1, "even that of an unknown run");

    gateway_close(&a);
}


/* What a worker leaves untold, any other of its gateway tells. */

static void
test_another_tells(void)
{
    gateway_t        a, b;
    ngx_phrony_op_t  op;

    gateway_open(&a, 1024 * 1024);

    (void) gateway_start(&a, 8, &op);

    b = a;
    gateway_connect(&b);
    (void) loop_until(gateway_is_ready, &b, 5000);

    /* this one cannot even be asked any more */

    gateway_disconnect(&a);
    ngx_phrony_store_redis_init(&a.shared, &a.zone, &b.shared.prefix, 0);
    gateway_settle(&a, &op, PHRONY_LEASE_RELEASE, 0);

    is_int(gateway_root(&a)->nuntold, 1, "a release is untold");
    ok(loop_until(gateway_told, &b, 20000), "another worker finds it");
    gateway_rest(&b);
    is_int(gateway_held(8), 0, "and tells it");

    /* at once, if Redis has just answered */

    ngx_del_timer(&b.shared.teller->later);

    (void) gateway_start(&b, 8, &op);
    gateway_settle(&a, &op, PHRONY_LEASE_RELEASE, 0);
    is_int(gateway_root(&a)->nuntold, 1, "another release is untold");
    (void) gateway_start(&b, 8000, &op);
    ok(loop_until(gateway_told, &b, 5000), "an answer lets it be found");

    gateway_close(&b);
}


static void
test_many(void)
{
    int              i;
    gateway_t        a;
    ngx_phrony_op_t  op;

    gateway_open(&a, 4 * 1024 * 1024);
    gateway_lose(&a);

    for (i = 0; i < 2000; i++) {
        (void) gateway_start(&a, 9000 + i % 40, &op);

        if (i % 2) {
            gateway_settle(&a, &op, PHRONY_LEASE_BIND, 90000 + i);
        }
    }

    is_int(gateway_root(&a)->nuntold, 2000 + 40, "2000 runs of 40 triggers");

    gateway_find(&a);

    is_int(gateway_held(9000) + gateway_held(9039), 100, "are told");
    is_int(window_sum(9000) + window_sum(9039), 100, "and counted");
    ok(gateway_sound(&a), "the zone is sound");

    gateway_close(&a);
}


/* Counts are told once at most, even if it is not known whether they were. */

static void
test_not_twice(void)
{
    int              i;
    gateway_t        a;
    ngx_phrony_op_t  op;

    gateway_timeout = 1000;
    gateway_open(&a, 1024 * 1024);
    gateway_lose(&a);

    for (i = 0; i < 4; i++) {
        (void) gateway_start(&a, 10, &op);
    }

    server_pause();
    a.shared.teller->closed = 0;
    ngx_phrony_store_redis_ready(&a.shared);
    ok(loop_until(gateway_is_down, &a, 10000), "what was told has no answer");
    server_resume();
    gateway_find(&a);

    is_int(window_sum(10), 4, "4 starts are counted once");
    is_int(gateway_held(10), 4, "and hold 4 slots");

    gateway_timeout = 10000;
    gateway_close(&a);
}


/* Runs that are told make room; what is untold is never given up. */

static void
test_full(void)
{
    int              i, n;
    gateway_t        a;
    ngx_phrony_op_t  op;

    gateway_open(&a, 256 * 1024);

    for (i = 0; i < 3000; i++) {
        gateway_see(&a, 11, PHRONY_LEASE_SEEN, 110000 + i);
    }

    gateway_rest(&a);
    ok(gateway_root(&a)->evicted > 1000, "%d told runs made room",
       (int) gateway_root(&a)->evicted);
    is_int(gateway_root(&a)->exhausted, 0, "so that there was some");

    gateway_lose(&a);

    for (n = 0; gateway_start(&a, 12, &op); n++) {
        /* void */
    }

    ok(n > 500, "%d starts without Redis fill the zone", n);
    ok(gateway_root(&a)->exhausted > 0, "which is counted");
    is_int(gateway_root(&a)->nleases, n, "each has its slot");
    ok(gateway_sound(&a), "the zone is sound");

    gateway_find(&a);
    is_int(gateway_held(12), n, "and all are told");
    ok(gateway_start(&a, 12, &op) && gateway_is(&op, "redis"),
       "then there is room again");

    gateway_close(&a);
}


/* What was to be told of runs that nobody knows any more makes room. */

static void
test_full_of_ends(void)
{
    int         i;
    gateway_t   a;
    ngx_uint_t  exhausted;

    gateway_open(&a, 256 * 1024);
    gateway_lose(&a);

    for (i = 0; gateway_root(&a)->exhausted == 0; i++) {
        gateway_see(&a, 16, PHRONY_LEASE_END, 160000 + i);
    }

    is_int(gateway_root(&a)->nuntold, i - 1, "ends fill the zone");
    is_int(gateway_root(&a)->evicted, 0, "no one is forgotten");

    store_now += GATEWAY_RUN_TTL;
    exhausted = gateway_root(&a)->exhausted;

    for (i = 0; i < 1000; i++) {
        gateway_see(&a, 16, PHRONY_LEASE_END, 260000 + i);
    }

    is_int(gateway_root(&a)->exhausted, exhausted, "until their time is over");
    ok(gateway_sound(&a), "the zone is sound");

    gateway_close(&a);
}


/* A process without a connection. */

static void
test_none(void)
{
    gateway_t        a;
    ngx_phrony_op_t  op;

    gateway_open(&a, 1024 * 1024);
    gateway_disconnect(&a);

    ngx_phrony_store_redis_init(&a.shared, &a.zone, &a.shared.prefix, 0);
    is_int(ngx_phrony_store_redis_start(&a.shared, NULL), NGX_OK,
           "no connection is none");

    ok(gateway_start(&a, 13, &op) && gateway_is(&op, "local"),
       "all is decided here");
    gateway_settle(&a, &op, PHRONY_LEASE_BIND, 13000);
    ok(gateway_locate(&a, 13000, &op), "and known");
    is_int(gateway_root(&a)->nuntold, 2, "and untold");

    ngx_phrony_store_redis_ready(&a.shared);
    ngx_phrony_store_redis_flush(&a.shared);
    ngx_phrony_store_redis_stop(&a.shared);

    gateway_close(&a);
}


/* The id of the last lease that Redis was asked for, or of one before it. */

static phrony_uuid_t
last_lease(gateway_t *g, unsigned back)
{
    uint64_t       n;
    phrony_uuid_t  id;

    n = g->shared.last_lease - back;

    memcpy(id.bytes, &g->shared.leases, sizeof(uint64_t));
    memcpy(id.bytes + sizeof(uint64_t), &n, sizeof(uint64_t));

    return id;
}


static long
window_sum(uint64_t trigger)
{
    ngx_phrony_op_t  op;
    static gateway_t asker;

    /* asked by a gateway that knows nothing */

    gateway_open(&asker, 256 * 1024);

    gateway_ask(&op, trigger);
    gateway_limit(&op, PHRONY_LIMIT_RPM, 1000000);
    gateway_limit(&op, PHRONY_LIMIT_RUNS, 0);
    (void) gateway_admit(&asker, &op);

    gateway_close(&asker);

    return 1000000 - op.limits[PHRONY_LIMIT_RPM].remaining;
}
