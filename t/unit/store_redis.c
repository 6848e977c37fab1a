
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


/* sources: ngx_http_phrony_module/store/ ngx_http_phrony_module/redis/
            nginx */


#include "gateway.h"


/* The Redis store while Redis is there, on a real server. */


static void test_limits(void);
static void test_refusals(void);
static void test_reads(void);
static void test_runs(void);
static void test_folded(void);
static void test_lazy(void);
static void test_renewals(void);
static void test_expired(void);
static void test_locate(void);
static void test_cancel(void);
static void test_errors(void);
static void test_garbage(void);
static void test_no_memory(void);
static void test_holds(void);
static void test_slots(void);
static void test_tail(void);
static int copies(ngx_phrony_template_t *template, ngx_phrony_redis_t *redis,
    ngx_phrony_template_args_t *args, size_t len);
static int parses(const int64_t *numbers, size_t n, ngx_uint_t read);
static int is_held(void *data);
static int is_free(void *data);


static uint64_t  watched;


int
main(void)
{
    loop_open();

    server_listens = server_port();
    server_start("");

    test_limits();
    test_refusals();
    test_reads();
    test_runs();
    test_folded();
    test_lazy();
    test_renewals();
    test_expired();
    test_locate();
    test_cancel();
    test_errors();
    test_garbage();
    test_no_memory();
    test_holds();
    test_slots();
    test_tail();

    client_close();
    server_stop(SIGTERM);
    loop_close();

    return done();
}


static void
test_limits(void)
{
    gateway_t        a, b;
    ngx_phrony_op_t  op;

    gateway_open(&a, 1024 * 1024);
    gateway_open(&b, 1024 * 1024);

    gateway_ask(&op, 1);
    gateway_limit(&op, PHRONY_LIMIT_RPM, 3);
    gateway_limit(&op, PHRONY_LIMIT_RPD, 1000);
    gateway_limit(&op, PHRONY_LIMIT_RUNS, 10);

    is_int(gateway_admit(&a, &op), NGX_AGAIN, "a start asks Redis");
    ok(op.granted && op.leased && !op.failed, "and is granted");
    ok(gateway_is(&op, "redis"), "by Redis");
    is_int(op.limits[PHRONY_LIMIT_RPM].remaining, 2, "2 of 3 remain");
    is_int(op.limits[PHRONY_LIMIT_RPD].remaining, 999, "999 of 1000");
    is_int(op.limits[PHRONY_LIMIT_RUNS].remaining, 9, "9 of 10 slots");
    ok(op.limits[PHRONY_LIMIT_RPM].reset > 58000
       && op.limits[PHRONY_LIMIT_RPM].reset <= 61000, "within a minute");
    is_int(gateway_score(1, &op.lease_id), 1, "the lease holds a slot");

    (void) gateway_admit(&b, &op);
    is_int(op.limits[PHRONY_LIMIT_RPM].remaining, 1,
           "another gateway counts on");

    (void) gateway_admit(&b, &op);
    (void) gateway_admit(&a, &op);
    ok(!op.granted && !op.leased, "the fourth is refused");
    ok(op.limits[PHRONY_LIMIT_RPM].refused
       && !op.limits[PHRONY_LIMIT_RPD].refused
       && !op.limits[PHRONY_LIMIT_RUNS].refused, "for the minute");
    ok(op.limits[PHRONY_LIMIT_RPM].wait > 50000, "which is to be waited for");

    is_int(op.limits[PHRONY_LIMIT_RPD].remaining, 997,
           "it burns nothing of the day");
    is_int(gateway_held(1), 3, "nor a slot");

    ok(gateway_sound(&a) && gateway_sound(&b), "the zones are sound");

    gateway_close(&a);
    gateway_close(&b);
}


/* A refusal for a window holds until something leaves it. */

static void
test_refusals(void)
{
    long             commands;
    int64_t          wait;
    gateway_t        a;
    ngx_phrony_op_t  op;

    gateway_open(&a, 1024 * 1024);

    gateway_ask(&op, 2);
    gateway_limit(&op, PHRONY_LIMIT_RPM, 1);
    gateway_limit(&op, PHRONY_LIMIT_RUNS, 50);
    (void) gateway_admit(&a, &op);
    (void) gateway_admit(&a, &op);
    ok(!op.granted, "a start is refused by Redis");

    commands = gateway_commands(&a);
    wait = op.limits[PHRONY_LIMIT_RPM].wait;

    store_now += 7000;

    is_int(gateway_admit(&a, &op), NGX_OK, "the next one at once");
    ok(!op.granted && op.limits[PHRONY_LIMIT_RPM].refused, "from memory");
    is_int(op.limits[PHRONY_LIMIT_RPM].wait, wait - 7000,
           "and waits 7 s less");
    is_int(op.limits[PHRONY_LIMIT_RUNS].remaining, 49, "49 slots remain");
    ok(gateway_is(&op, "redis"), "it was Redis who said so");

    gateway_limit(&op, PHRONY_LIMIT_RPM, 2);
    is_int(gateway_admit(&a, &op), NGX_AGAIN, "a changed limit asks Redis");
    ok(op.granted, "and admits");

    gateway_limit(&op, PHRONY_LIMIT_RPM, 1);
    is_int(gateway_admit(&a, &op), NGX_OK, "the old limit still refuses");
    is_int(gateway_commands(&a) - commands, 1, "Redis was asked but once");

    gateway_limit(&op, PHRONY_LIMIT_RPM, 0);
    is_int(gateway_admit(&a, &op), NGX_AGAIN, "one that is lowered asks");
    gateway_limit(&op, PHRONY_LIMIT_RPM, 1);
    (void) gateway_admit(&a, &op);

    store_now += op.limits[PHRONY_LIMIT_RPM].wait;
    is_int(gateway_admit(&a, &op), NGX_AGAIN,
           "when something may have left, Redis is asked");

    gateway_ask(&op, 3);
    gateway_limit(&op, PHRONY_LIMIT_RUNS, 0);
    (void) gateway_admit(&a, &op);
    ok(!op.granted && op.limits[PHRONY_LIMIT_RUNS].refused
       && op.limits[PHRONY_LIMIT_RUNS].wait == PHRONY_NO_WAIT,
       "no slots, no start");
    is_int(gateway_admit(&a, &op), NGX_AGAIN,
           "a refusal for slots is not remembered");

    gateway_ask(&op, 4);
    gateway_limit(&op, PHRONY_LIMIT_RPD, 0);
    (void) gateway_admit(&a, &op);
    store_now += 59000;
    is_int(gateway_admit(&a, &op), NGX_OK, "a limit of 0 refuses for long");
    is_int(op.limits[PHRONY_LIMIT_RPD].wait, PHRONY_NO_WAIT, "for ever");
    store_now += 1000;
    is_int(gateway_admit(&a, &op), NGX_AGAIN, "is asked for once a minute");

    gateway_close(&a);
}


static void
test_reads(void)
{
    gateway_t        a;
    ngx_phrony_op_t  op;

    gateway_open(&a, 1024 * 1024);

    gateway_ask(&op, 5);
    op.read = 1;
    gateway_limit(&op, PHRONY_LIMIT_READS, 2);

    is_int(gateway_admit(&a, &op), NGX_AGAIN, "a read asks Redis");
    ok(op.granted && !op.leased, "is granted, without a lease");
    is_int(op.limits[PHRONY_LIMIT_READS].remaining, 1, "1 of 2 remains");

    (void) gateway_admit(&a, &op);
    (void) gateway_admit(&a, &op);
    ok(!op.granted && op.limits[PHRONY_LIMIT_READS].refused,
       "the third is refused");
    is_int(gateway_admit(&a, &op), NGX_OK, "the fourth from memory");
    ok(!op.granted && op.limits[PHRONY_LIMIT_READS].refused, "as well");

    ok(gateway_start(&a, 5, &op), "a start is another matter");

    gateway_close(&a);
}


static void
test_runs(void)
{
    gateway_t        a;
    phrony_uuid_t    run;
    ngx_phrony_op_t  op, other;

    gateway_open(&a, 1024 * 1024);

    gateway_ask(&op, 10);
    gateway_limit(&op, PHRONY_LIMIT_RUNS, 1);
    (void) gateway_admit(&a, &op);
    ok(op.granted, "a start takes the only slot");

    other = op;
    (void) gateway_admit(&a, &other);
    ok(!other.granted && other.limits[PHRONY_LIMIT_RUNS].refused
       && other.limits[PHRONY_LIMIT_RUNS].wait == 0, "another finds none");

    gateway_settle(&a, &op, PHRONY_LEASE_RELEASE, 0);
    other = op;
    (void) gateway_admit(&a, &other);
    ok(other.granted, "a release makes room for the next, at once");

    gateway_settle(&a, &other, PHRONY_LEASE_BIND, 1000);
    (void) gateway_admit(&a, &op);
    ok(!op.granted, "a bound run holds it");
    run = store_uuid(1000);
    is_int(gateway_score(10, &run), 1, "by its own id");
    is_int(gateway_score(10, &other.lease_id), 0, "and no longer the lease's");

    gateway_see(&a, 10, PHRONY_LEASE_END, 1000);
    watched = 10;
    ok(loop_until(is_free, NULL, 1000), "its end gives the slot back");
    is_int(gateway_score(10, &run), -1, "it is known as ended");

    (void) gateway_admit(&a, &op);
    ok(op.granted, "the next start is granted");
    gateway_settle(&a, &op, PHRONY_LEASE_END, 1001);
    ok(loop_until(is_free, NULL, 1000), "a start that has ended holds none");

    /* admitted by nobody, it holds no slot either */

    op.leased = 0;
    gateway_settle(&a, &op, PHRONY_LEASE_BIND, 1002);
    gateway_rest(&a);
    run = store_uuid(1002);
    is_int(gateway_score(10, &run), 0, "a run without a lease has no slot");
    ok(gateway_locate(&a, 1002, &op), "but is known");

    is_int(gateway_root(&a)->nleases, 0, "no slot is held here");
    is_int(gateway_root(&a)->nuntold, 0, "nothing is untold");
    ok(gateway_sound(&a), "the zone is sound");

    gateway_close(&a);
}


/* What is to be told of a trigger goes along with its next start. */

static void
test_folded(void)
{
    int              i;
    long             commands;
    gateway_t        a;
    phrony_uuid_t    run;
    ngx_phrony_op_t  op[20];

    gateway_open(&a, 1024 * 1024);

    for (i = 0; i < 20; i++) {
        (void) gateway_start(&a, 20, &op[i]);
    }

    is_int(gateway_held(20), 20, "20 starts hold a slot each");

    commands = gateway_commands(&a);

    for (i = 0; i < 5; i++) {
        gateway_settle(&a, &op[i], PHRONY_LEASE_BIND, 2000 + i);
    }

    for (i = 5; i < 10; i++) {
        gateway_settle(&a, &op[i], PHRONY_LEASE_RELEASE, 0);
    }

    ok(gateway_start(&a, 20, &op[0]), "a start takes 10 settlements along");

    /* the owners of five runs are set by commands of their own */

    gateway_rest(&a);
    is_int(gateway_commands(&a) - commands, 1 + 5, "in one command");
    is_int(gateway_held(20), 16, "5 slots were given back");

    run = store_uuid(2003);
    is_int(gateway_score(20, &run), 1, "a run is bound");

    commands = gateway_commands(&a);

    for (i = 0; i < 20; i++) {
        gateway_settle(&a, &op[i], PHRONY_LEASE_BIND, 2100 + i);
    }

    gateway_rest(&a);
    is_int(gateway_commands(&a) - commands, 2 + 20, "16 make a command full");

    ok(gateway_sound(&a), "the zone is sound");

    gateway_close(&a);
}


static void
test_lazy(void)
{
    gateway_t        a;
    ngx_phrony_op_t  op;

    gateway_open(&a, 1024 * 1024);

    (void) gateway_start(&a, 30, &op);
    gateway_settle(&a, &op, PHRONY_LEASE_BIND, 3000);
    watched = 3000;
    ok(loop_until(is_held, NULL, 1000), "a binding leaves without a start");

    (void) gateway_start(&a, 30, &op);
    gateway_settle(&a, &op, PHRONY_LEASE_BIND, 3001);
    gateway_disconnect(&a);
    watched = 3001;
    ok(loop_until(is_held, NULL, 1000), "or with the end of the worker");

    gateway_close(&a);
}


static void
test_renewals(void)
{
    long             commands;
    gateway_t        a;
    ngx_phrony_op_t  op;

    gateway_open(&a, 1024 * 1024);

    (void) gateway_start(&a, 30, &op);
    gateway_settle(&a, &op, PHRONY_LEASE_BIND, 3100);
    gateway_rest(&a);

    commands = gateway_commands(&a);

    store_now += GATEWAY_RUN_TTL / 16 - 1;
    gateway_see(&a, 30, PHRONY_LEASE_SEEN, 3100);
    gateway_rest(&a);
    is_int(gateway_commands(&a) - commands, 0, "a run seen soon is not told");

    store_now += 1;
    gateway_see(&a, 30, PHRONY_LEASE_SEEN, 3100);
    gateway_see(&a, 30, PHRONY_LEASE_SEEN, 3100);
    gateway_rest(&a);
    is_int(gateway_commands(&a) - commands, 2, "one seen later is, once");

    gateway_see(&a, 30, PHRONY_LEASE_END, 3100);
    gateway_rest(&a);
    is_int(gateway_commands(&a) - commands, 4, "its end is");

    gateway_see(&a, 30, PHRONY_LEASE_END, 3100);
    gateway_rest(&a);
    is_int(gateway_commands(&a) - commands, 4, "once");

    gateway_close(&a);
}


/* Runs that are not seen any more do not stay until the zone is full. */

static void
test_expired(void)
{
    int              i;
    gateway_t        a;
    ngx_phrony_op_t  op;

    gateway_open(&a, 1024 * 1024);

    for (i = 0; i < 20; i++) {
        (void) gateway_start(&a, 32, &op);
        gateway_settle(&a, &op, PHRONY_LEASE_BIND, 5000 + i);
    }

    is_int(gateway_root(&a)->nended, 20, "20 runs are known");

    store_now += GATEWAY_RUN_TTL;

    for (i = 0; i < 10; i++) {
        (void) gateway_start(&a, 32, &op);
        gateway_settle(&a, &op, PHRONY_LEASE_BIND, 6000 + i);
    }

    is_int(gateway_root(&a)->nended, 10, "those of before went meanwhile");
    ok(gateway_sound(&a), "the zone is sound");

    gateway_close(&a);
}


static void
test_locate(void)
{
    gateway_t        a, b;
    phrony_uuid_t    run, trigger;
    ngx_phrony_op_t  op;

    gateway_open(&a, 1024 * 1024);
    gateway_open(&b, 1024 * 1024);

    (void) gateway_start(&a, 40, &op);
    gateway_settle(&a, &op, PHRONY_LEASE_BIND, 4000);
    gateway_rest(&a);

    trigger = store_uuid(40);

    ok(gateway_locate(&a, 4000, &op)
       && phrony_uuid_eq(&op.trigger_id, &trigger), "a run is known here");
    ok(gateway_locate(&b, 4000, &op)
       && phrony_uuid_eq(&op.trigger_id, &trigger), "and elsewhere");
    is_int(gateway_commands(&b), 1, "which took a question");
    (void) gateway_locate(&b, 4000, &op);
    is_int(gateway_commands(&b), 1, "once");

    ok(!gateway_locate(&b, 4999, &op) && !op.failed, "another one is not");

    gateway_see(&b, 40, PHRONY_LEASE_END, 4000);
    gateway_rest(&b);
    run = store_uuid(4000);
    is_int(gateway_score(40, &run), -1, "elsewhere it is seen to end");

    run = store_uuid(4001);
    (void) gateway_tell("SET unit:run:%s nobody", gateway_text(&run));
    ok(!gateway_locate(&b, 4001, &op) && !op.failed,
       "an owner that is none is not known");

    (void) gateway_tell("DEL unit:run:%s", gateway_text(&run));
    (void) gateway_tell("LPUSH unit:run:%s a", gateway_text(&run));
    ok(!gateway_locate(&b, 4001, &op), "nor is what is no string");
    is_int(gateway_root(&b)->nended, 1, "neither is remembered");

    run = store_uuid(4000);
    is_int(gateway_number("EXISTS unit:run:%s", gateway_text(&run)), 1,
           "Redis keeps who owns it");
    ok(gateway_number("PTTL unit:run:%s", gateway_text(&run)) > 50000,
       "for as long as it is known");

    gateway_close(&a);
    gateway_close(&b);
}


/* The client goes away while its start is on the way. */

static void
test_cancel(void)
{
    int              answered;
    gateway_t        a;
    ngx_phrony_op_t  op;

    gateway_open(&a, 1024 * 1024);

    answered = 0;

    gateway_ask(&op, 50);
    op.data = &answered;
    is_int(a.store->admit(a.store, &op), NGX_AGAIN, "a start is on its way");
    a.store->cancel(a.store, &op);
    a.store->cancel(a.store, &op);
    memset(&op, 0xa5, sizeof(op));

    gateway_rest(&a);
    is_int(answered, 0, "cancelled, it is not answered");
    is_int(gateway_held(50), 0, "and its slot was given back");
    is_int(gateway_number("EXISTS %s", gateway_key("window", 50)), 1,
           "though it was counted");

    gateway_ask(&op, 50);
    op.data = &answered;
    op.run_id = store_uuid(5000);
    is_int(a.store->locate(a.store, &op), NGX_AGAIN, "so is a question");
    a.store->cancel(a.store, &op);
    memset(&op, 0xa5, sizeof(op));
    gateway_rest(&a);
    is_int(answered, 0, "cancelled, it is not answered");

    gateway_close(&a);
}


/* An error fails one decision, and takes nothing with it. */

static void
test_errors(void)
{
    gateway_t        a;
    phrony_uuid_t    run;
    ngx_phrony_op_t  op, first;

    gateway_open(&a, 1024 * 1024);

    (void) gateway_start(&a, 60, &first);
    (void) gateway_tell("SET %s broken", gateway_key("window", 60));

    gateway_settle(&a, &first, PHRONY_LEASE_BIND, 6000);

    gateway_ask(&op, 60);
    is_int(gateway_admit(&a, &op), NGX_AGAIN, "a start on a broken key");
    ok(op.granted && op.leased && gateway_is(&op, "local"),
       "is decided here");

    gateway_ask(&op, 60);
    op.local = 0;
    (void) gateway_admit(&a, &op);
    ok(op.failed && !op.granted, "or has failed");

    ok(loop_until(gateway_told, &a, 5000), "settlements are told later");
    run = store_uuid(6000);
    is_int(gateway_score(60, &run), 1, "those that went along, too");

    ok(gateway_start(&a, 61, &op) && gateway_is(&op, "redis"),
       "other triggers do not notice");

    /* the key of the runs itself */

    (void) gateway_tell("SET %s broken", gateway_key("runs", 62));
    gateway_see(&a, 62, PHRONY_LEASE_END, 6001);
    gateway_rest(&a);
    is_int(gateway_root(&a)->nuntold, 0,
           "what cannot be told is not tried for ever");

    ok(gateway_sound(&a), "the zone is sound");

    gateway_close(&a);
}


/* What is no verdict. */

static void
test_garbage(void)
{
    phrony_resp_t         reply;
    ngx_phrony_op_t       op;
    ngx_phrony_verdict_t  verdict;

    static const int64_t  good[] = { 1, 1, 3, 1000, 0, 4, 5000, 0, 2 };
    static const int64_t  refused[] = { 1, 0, 3, 1000, 0, 4, 5000, 0, 2 };
    static const int64_t  bad[][9] = {
        { 2, 1, 3, 1000, 0, 4, 5000, 0, 2 },
        { 1, 3, 3, 1000, 0, 4, 5000, 0, 2 },
        { 1, -1, 3, 1000, 0, 4, 5000, 0, 2 },
        { 1, 1, -1, 1000, 0, 4, 5000, 0, 2 },
        { 1, 1, 4294967296, 1000, 0, 4, 5000, 0, 2 },
        { 1, 1, 3, -2, 0, 4, 5000, 0, 2 },
        { 1, 1, 3, 1000, -2, 4, 5000, 0, 2 },
        { 1, 1, 3, 1000, 0, -4, 5000, 0, 2 },
        { 1, 1, 3, 1000, 0, 4, 1LL << 40, 0, 2 },
        { 1, 1, 3, 1000, 0, 4, 5000, 1LL << 31, 2 },
        { 1, 1, 3, 1000, 0, 4, 5000, 0, -1 },
        { 1, 1, 3, 1000, 0, 4, 5000, 0, 1LL << 32 }
    };

    size_t                i;

    ok(parses(good, 9, 0), "nine numbers are a verdict");
    ok(!parses(good, 8, 0), "eight are not");
    ok(parses(good, 5, 1), "five are one on a read");
    ok(!parses(good, 4, 1), "four are not");

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ok(!parses(bad[i], 9, 0), "numbers out of their range, %d", (int) i);
    }

    memset(&reply, 0, sizeof(reply));
    reply.type = PHRONY_RESP_INTEGER;
    is_int(ngx_phrony_verdict_parse(&verdict, &reply, 0), NGX_ERROR,
           "a number is no verdict");
    reply.type = PHRONY_RESP_NIL;
    is_int(ngx_phrony_verdict_parse(&verdict, &reply, 0), NGX_ERROR,
           "nor is nothing");

    gateway_ask(&op, 1);
    gateway_limit(&op, PHRONY_LIMIT_RPM, 10);

    memset(&verdict, 0, sizeof(verdict));
    verdict.minute.sum = (uint32_t) refused[2];
    is_int(ngx_phrony_verdict_apply(&verdict, &op, 0), NGX_ERROR,
           "a refusal that no limit explains is not about this start");
}


/* Where there is no memory, a start is decided here, and no more is lost. */

static void
test_no_memory(void)
{
    int              good;
    long             n, seen;
    gateway_t        a;
    phrony_uuid_t    id;
    ngx_phrony_op_t  op, run;

    good = 1;
    seen = 1;

    for (n = 1; seen >= n && n < 200; n++) {
        gateway_open(&a, 256 * 1024);

        fail_at(n);

        good &= gateway_start(&a, 65, &op);
        gateway_settle(&a, &op, PHRONY_LEASE_BIND, 6500 + n);
        (void) gateway_locate(&a, 6499, &run);
        gateway_rest(&a);

        seen = allocs();
        fail_at(-1);

        good &= loop_until(gateway_is_ready, &a, 10000)
                && loop_until(gateway_told, &a, 10000);
        gateway_rest(&a);

        id = store_uuid(6500 + n);

        good &= gateway_held(65) == 1
                && gateway_number("EXISTS unit:run:%s", gateway_text(&id)) == 1
                && gateway_sound(&a);

        gateway_see(&a, 65, PHRONY_LEASE_END, 6500 + n);
        gateway_rest(&a);

        gateway_close(&a);
    }

    ok(n > 5 && n < 200, "%ld allocations fail, one each time", n - 1);
    ok(good, "each time a start has its answer, and its run the slot");
}


/* For how long a refusal stands: until anything leaves, a minute at most. */

static void
test_holds(void)
{
    ngx_phrony_op_t       op;
    ngx_phrony_verdict_t  verdict;

    memset(&verdict, 0, sizeof(verdict));
    verdict.minute.sum = 2;
    verdict.minute.reset = 5000;
    verdict.day.sum = 2;
    verdict.day.reset = 3000;
    verdict.held = 2;

    gateway_ask(&op, 1);
    gateway_limit(&op, PHRONY_LIMIT_RPM, 2);
    is_int(ngx_phrony_verdict_apply(&verdict, &op, 0), NGX_OK, "refused");
    is_int(ngx_phrony_verdict_holds(&verdict, &op), 5000, "for 5 s");

    gateway_limit(&op, PHRONY_LIMIT_RPD, 3);
    (void) ngx_phrony_verdict_apply(&verdict, &op, 0);
    is_int(ngx_phrony_verdict_holds(&verdict, &op), 3000,
           "for 3 s, since then another number changes");

    verdict.minute.reset = PHRONY_NO_WAIT;
    verdict.day.reset = 80000000;
    is_int(ngx_phrony_verdict_holds(&verdict, &op), 60000, "for a minute");

    gateway_limit(&op, PHRONY_LIMIT_RPM, 3);
    gateway_limit(&op, PHRONY_LIMIT_RUNS, 2);
    is_int(ngx_phrony_verdict_apply(&verdict, &op, 0), NGX_OK, "for slots");
    is_int(ngx_phrony_verdict_holds(&verdict, &op), 0, "not at all");

    gateway_ask(&op, 1);
    op.read = 1;
    verdict.minute.reset = 7000;
    gateway_limit(&op, PHRONY_LIMIT_READS, 1);
    (void) ngx_phrony_verdict_apply(&verdict, &op, 0);
    is_int(ngx_phrony_verdict_holds(&verdict, &op), 7000, "a read for 7 s");
}


/* On a cluster a command goes where its keys are. */

static void
test_slots(void)
{
    ngx_str_t                    prefix = ngx_string("unit");
    gateway_t                    a;
    phrony_str_t                 key;
    phrony_uuid_t                id;
    ngx_phrony_op_t              op;
    ngx_phrony_news_t            news;
    ngx_phrony_share_t           share;
    ngx_phrony_counts_t          counts;
    ngx_phrony_encoder_t         encoder;
    ngx_phrony_redis_command_t  *commands[5];

    u_char                       text[NGX_PHRONY_NEWS_LEN];
    ngx_str_t                    none = ngx_null_string;
    ngx_str_t                    one = { sizeof(text), text };

    size_t                       i;
    char                         name[256];

    gateway_open(&a, 1024 * 1024);

    memset(&encoder, 0, sizeof(encoder));
    memset(&news, 0, sizeof(news));
    memset(&share, 0, sizeof(share));
    memset(&counts, 0, sizeof(counts));

    encoder.redis = a.redis;
    encoder.prefix = &prefix;
    encoder.cluster = 1;

    gateway_ask(&op, 70);
    id = store_uuid(7);
    news.event = NGX_PHRONY_NEWS_END;
    news.has_run = 1;
    news.run_id = id;
    news.trigger_id = op.trigger_id;
    news.workspace_id = op.workspace_id;
    share.trigger_id = op.trigger_id;
    share.workspace_id = op.workspace_id;

    (void) ngx_phrony_news_write(text, &news);

    commands[0] = ngx_phrony_encode_admit(&encoder, &op, &id, &none, 8);
    commands[1] = ngx_phrony_encode_read(&encoder, &op, 8);
    commands[2] = ngx_phrony_encode_settle(&encoder, &news, &one, 8);
    commands[3] = ngx_phrony_encode_tell(&encoder, &share, &counts, 0, 8);
    commands[4] = ngx_phrony_encode_set(&encoder, &news, 8);

    key = str(gateway_key("runs", 70));

    for (i = 0; i < 4; i++) {
        is_int(commands[i]->slot, phrony_slot(&key),
               "a trigger's keys are in one slot");
    }

    snprintf(name, sizeof(name), "unit:run:%s", gateway_text(&id));
    key = str(name);

    is_int(commands[4]->slot, phrony_slot(&key), "a run's is its own");
    ngx_phrony_redis_free(a.redis, commands[4]);

    commands[4] = ngx_phrony_encode_get(&encoder, &id, 8);
    is_int(commands[4]->slot, phrony_slot(&key), "where it is asked for");

    for (i = 0; i < 5; i++) {
        ngx_phrony_redis_free(a.redis, commands[i]);
    }

    ngx_phrony_encode_free(&encoder);
    gateway_close(&a);
}


/* A last argument of any length, as hiredis writes it. */

static void
test_tail(void)
{
    ngx_str_t                    prefix = ngx_string("unit");
    gateway_t                    a;
    ngx_phrony_template_t        template;
    ngx_phrony_template_args_t   args;

    static const size_t          lens[] = {
        0, 1, 9, 10, 99, 100, 999, 1000, 9999, 10000, 65535, 65800
    };

    size_t                       i;

    gateway_open(&a, 1024 * 1024);

    memset(&template, 0, sizeof(template));

    ngx_phrony_template_begin(&args, &prefix);
    ngx_phrony_template_add(&args, "2");
    ngx_phrony_template_add_delivery(&args);
    ngx_phrony_template_add_key(&args, ":runs:");
    ngx_phrony_template_add_blank(&args, NGX_PHRONY_NOTICE_LEN);
    ngx_phrony_template_add(&args, "");

    is_int(ngx_phrony_template_script(&template, a.redis,
                                      PHRONY_SCRIPT_DELIVER, &args),
           NGX_OK, "a template whose last argument is empty");

    for (i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        ok(copies(&template, a.redis, &args, lens[i]),
           "a command of it with %d bytes there", (int) lens[i]);
    }

    ngx_free(template.bytes.data);
    gateway_close(&a);
}


/* It is what hiredis makes, and its other arguments are where they were. */

static int
copies(ngx_phrony_template_t *template, ngx_phrony_redis_t *redis,
    ngx_phrony_template_args_t *args, size_t len)
{
    int                          same;
    size_t                       i;
    ngx_str_t                    tail = ngx_null_string;
    phrony_str_t                *last;
    ngx_phrony_redis_command_t  *want, *got;

    tail.len = len;
    tail.data = len ? malloc(len) : NULL;

    for (i = 0; i < len; i++) {
        tail.data[i] = (u_char) (i * 7);
    }

    last = &args->args[args->n - 1];
    last->len = len;
    last->data = len ? tail.data : (u_char *) "";

    want = ngx_phrony_redis_eval(redis, PHRONY_SCRIPT_DELIVER, args->n,
                                 args->args, 8);
    got = ngx_phrony_template_copy_tail(template, redis, &tail, 8);

    same = got->len == want->len && got->script == want->script
           && got->data && memcmp(got->bytes, want->bytes, want->len) == 0;

    for (i = 0; i < args->n - 1; i++) {
        same &= memcmp(got->bytes + template->args[i], args->args[i].data,
                       args->args[i].len) == 0;
    }

    ngx_phrony_redis_free(redis, want);
    ngx_phrony_redis_free(redis, got);
    free(tail.data);

    return same;
}


static int
parses(const int64_t *numbers, size_t n, ngx_uint_t read)
{
    size_t                i;
    phrony_resp_t         reply, elements[9];
    ngx_phrony_verdict_t  verdict;

    memset(elements, 0, sizeof(elements));
    memset(&reply, 0, sizeof(reply));

    for (i = 0; i < n; i++) {
        elements[i].type = PHRONY_RESP_INTEGER;
        elements[i].integer = numbers[i];
    }

    reply.type = PHRONY_RESP_ARRAY;
    reply.n = n;
    reply.elements = elements;

    return ngx_phrony_verdict_parse(&verdict, &reply, read) == NGX_OK;
}


/* Conditions that the server is asked about. */

static int
is_held(void *data)
{
    phrony_uuid_t  run;

    run = store_uuid(watched);

    return gateway_score(30, &run) == 1;
}


static int
is_free(void *data)
{
    return gateway_held(watched) == 0;
}
