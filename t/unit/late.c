
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


/* sources: ngx_http_phrony_module/store/ ngx_http_phrony_module/redis/
            nginx */


#include "gateway.h"

#include "ngx_phrony_late.h"


/*
 * What was seen of runs that nobody knows yet: over a store that answers as
 * the test wishes, and over gateways.
 */


#define SIZE     (256 * 1024)

#define HANDLER  "phrony late handler"


static void test_known(void);
static void test_later(void);
static void test_nobody(void);
static void test_others(void);
static void test_fails(void);
static void test_dedupe(void);
static void test_end_in_flight(void);
static void test_cap(void);
static void test_stop(void);
static void test_no_memory(void);
static void test_gateways(void);
static void test_gateway_stop(void);
static void begin(ngx_int_t rc, int known);
static void say(ngx_phrony_late_t *of, phrony_lease_event_t event,
    uint64_t run, ngx_uint_t n);
static void answer(int known, int failed);
static ngx_uint_t waiting(void);
static int was_asked(void *data);
static int is_calm(void *data);
static int is_ended(void *data);
static int is_logged(void *data);
static ngx_int_t fake_locate(ngx_phrony_store_t *s, ngx_phrony_op_t *op);
static void fake_cancel(ngx_phrony_store_t *s, ngx_phrony_op_t *op);
static void fake_settle(ngx_phrony_store_t *s, ngx_phrony_settlement_t *what);


static ngx_phrony_late_t        late;
static ngx_phrony_owner_t       owners[2000];

/* What the store is to say, and what it was asked and told. */

static ngx_phrony_store_t       fake;
static ngx_int_t                says;
static int                      knows;
static uint64_t                 knows_trigger;
static ngx_phrony_op_t         *asked;
static int                      nasked, ncancelled, nsettled;
static ngx_phrony_settlement_t  settled;

static int                      lines;


int
main(void)
{
    ngx_uint_t  i;

    loop_open();

    for (i = 0; i < 2000; i++) {
        owners[i].trigger_id = store_uuid(1 + i);
        owners[i].agent_id = store_uuid(10001 + i);
    }

    fake.locate = fake_locate;
    fake.cancel = fake_cancel;
    fake.settle = fake_settle;

    test_known();
    test_later();
    test_nobody();
    test_others();
    test_fails();
    test_dedupe();
    test_end_in_flight();
    test_cap();
    test_stop();
    test_no_memory();

    server_listens = server_port();
    server_start("");

    test_gateways();
    test_gateway_stop();

    client_close();
    server_stop(SIGTERM);

    loop_close();

    return done();
}


static void
test_known(void)
{
    phrony_uuid_t  run, trigger, agent, workspace;

    begin(NGX_OK, 1);
    knows_trigger = 2;

    say(&late, PHRONY_LEASE_END, 100, 3);
    is_int(waiting(), 1, "what was seen waits");
    is_int(nasked, 0, "the store is not asked at once");

    ok(loop_until(is_calm, NULL, 5000), "but soon");
    is_int(nasked, 1, "once");
    is_int(nsettled, 1, "and told, once");

    run = store_uuid(100);
    trigger = store_uuid(2);
    agent = store_uuid(10002);
    workspace = store_uuid(1);

    ok(settled.event == PHRONY_LEASE_END && settled.has_run
       && phrony_uuid_eq(&settled.run_id, &run), "of the end of that run");
    ok(phrony_uuid_eq(&settled.trigger_id, &trigger)
       && phrony_uuid_eq(&settled.agent_id, &agent)
       && phrony_uuid_eq(&settled.workspace_id, &workspace),
       "which is the second owner's");
    is_int(settled.run_ttl, GATEWAY_RUN_TTL, "and lives so long");
    is_int(late.size, 0, "no memory is held any more");
}


static void
test_later(void)
{
    begin(NGX_OK, 0);
    knows_trigger = 1;

    say(&late, PHRONY_LEASE_SEEN, 100, 1);
    ok(loop_until(was_asked, NULL, 5000), "the store is asked");
    is_int(waiting(), 1, "what nobody knows waits");

    knows = 1;
    ok(loop_until(is_calm, NULL, 5000), "and is asked for again");
    is_int(nasked, 2, "once more");
    ok(nsettled == 1 && settled.event == PHRONY_LEASE_SEEN, "and told");
}


static void
test_nobody(void)
{
    begin(NGX_OK, 0);

    say(&late, PHRONY_LEASE_END, 100, 1);
    ok(loop_until(is_calm, NULL, 5000), "what stays unknown is forgotten");
    is_int(nasked, 2, "after two questions");
    is_int(nsettled, 0, "and nobody is told");
    is_int(late.size, 0, "no memory is held any more");

    begin(NGX_OK, 1);
    say(&late, PHRONY_LEASE_END, 100, 0);
    is_int(waiting(), 0, "a run that can be nobody's does not wait");
}


static void
test_others(void)
{
    begin(NGX_OK, 1);
    knows_trigger = 1900;

    say(&late, PHRONY_LEASE_END, 100, 3);
    ok(loop_until(is_calm, NULL, 5000), "a run of somebody else's");
    is_int(nasked, 1, "is not asked for again");
    is_int(nsettled, 0, "and not told of");
}


/* The store is away, or its answer is that it has none. */

static void
test_fails(void)
{
    begin(NGX_DECLINED, 0);
    say(&late, PHRONY_LEASE_END, 100, 1);
    ok(loop_until(is_calm, NULL, 5000), "where no store is there");
    is_int(nasked, 2, "it is tried twice");

    begin(NGX_ERROR, 0);
    say(&late, PHRONY_LEASE_END, 100, 1);
    ok(loop_until(is_calm, NULL, 5000), "or it has no memory");
    is_int(nasked, 2, "likewise");

    begin(NGX_AGAIN, 0);
    knows_trigger = 1;
    say(&late, PHRONY_LEASE_END, 100, 1);
    ok(loop_until(was_asked, NULL, 5000), "the store thinks about it");
    answer(1, 1);
    is_int(nsettled, 0, "and fails: what it says then does not count");
    is_int(waiting(), 1, "so it waits");

    nasked = 0;
    ok(loop_until(was_asked, NULL, 5000), "for the second time");
    ok(!asked->failed && !asked->known, "that begins afresh");
    answer(1, 0);
    is_int(nsettled, 1, "which is answered");
    ok(is_calm(NULL), "that is all");
}


static void
test_dedupe(void)
{
    begin(NGX_OK, 1);
    knows_trigger = 1;

    say(&late, PHRONY_LEASE_SEEN, 100, 2);
    say(&late, PHRONY_LEASE_SEEN, 100, 2);
    is_int(waiting(), 1, "what is said twice waits once");

    say(&late, PHRONY_LEASE_END, 100, 2);
    say(&late, PHRONY_LEASE_SEEN, 100, 2);
    is_int(waiting(), 1, "an end as well");

    ok(loop_until(is_calm, NULL, 5000), "it is told");
    ok(nsettled == 1 && settled.event == PHRONY_LEASE_END, "as an end");

    say(&late, PHRONY_LEASE_SEEN, 100, 2);
    say(&late, PHRONY_LEASE_SEEN, 101, 2);
    say(&late, PHRONY_LEASE_SEEN, 100, 1);
    is_int(waiting(), 3, "another run, or others' run, is another matter");

    ok(loop_until(is_calm, NULL, 5000), "each is told");
    is_int(nsettled, 4, "by itself");
}


static void
test_end_in_flight(void)
{
    begin(NGX_AGAIN, 0);
    knows_trigger = 1;

    say(&late, PHRONY_LEASE_SEEN, 100, 1);
    ok(loop_until(was_asked, NULL, 5000), "while the store is asked");
    say(&late, PHRONY_LEASE_END, 100, 1);
    is_int(waiting(), 1, "an end comes along");

    answer(1, 0);
    ok(nsettled == 1 && settled.event == PHRONY_LEASE_END, "and is told");
    is_int(waiting(), 0, "once");
}


static void
test_cap(void)
{
    ngx_uint_t  i, n;

    begin(NGX_OK, 1);
    knows_trigger = 1;

    for (i = 0; i < 10; i++) {
        say(&late, PHRONY_LEASE_END, 100 + i, 900);
    }

    n = waiting();
    ok(n > 0 && n < 10, "%d runs of 900 owners wait", (int) n);
    ok(late.size <= SIZE && late.size > n * 900 * sizeof(owners[0]),
       "in %d bytes", (int) late.size);

    for (i = 0; i < 2000; i++) {
        say(&late, PHRONY_LEASE_END, 1000 + i, 1);
    }

    ok(waiting() > n, "one of a single owner finds room");
    ok(late.size <= SIZE && late.size > SIZE - 1000, "as long as there is");

    n = waiting();
    say(&late, PHRONY_LEASE_END, 5000, 1);
    is_int(waiting(), n, "one more does not");
    say(&late, PHRONY_LEASE_END, 100, 900);
    is_int(waiting(), n, "but one that waits is found");

    ok(loop_until(is_calm, NULL, 5000), "all are told");
    is_int(nsettled, n, "each of them");
    is_int(late.size, 0, "no memory is held any more");

    begin(NGX_OK, 1);
    say(&late, PHRONY_LEASE_END, 100, 1);
    is_int(waiting(), 1, "then there is room again");
    ngx_phrony_late_stop(&late);
}


static void
test_stop(void)
{
    ngx_uint_t  timers;

    timers = loop_timers();

    begin(NGX_AGAIN, 0);

    say(&late, PHRONY_LEASE_END, 100, 1);
    ok(loop_until(was_asked, NULL, 5000), "one is asked for");
    say(&late, PHRONY_LEASE_END, 101, 1);
    is_int(waiting(), 2, "another one waits");

    ngx_phrony_late_stop(&late);
    is_int(waiting(), 0, "at the end none does");
    is_int(ncancelled, 1, "the question is cancelled");
    is_int(loop_timers(), timers, "no timer is left");
    is_int(late.size, 0, "nor memory");
    is_int(nsettled, 0, "nothing was told");

    ngx_phrony_late_stop(&late);
    is_int(ncancelled, 1, "a second end is none");
}


static void
test_no_memory(void)
{
    begin(NGX_OK, 1);
    knows_trigger = 1;

    fail_at(1);
    say(&late, PHRONY_LEASE_END, 100, 1);
    is_int(allocs(), 1, "it takes one allocation");
    fail_at(-1);

    is_int(waiting(), 0, "without memory it is lost");
    is_int(late.size, 0, "and not counted");

    say(&late, PHRONY_LEASE_END, 101, 1);
    ok(loop_until(is_calm, NULL, 5000), "the next one is not");
    is_int(nsettled, 1, "it is told");
}


/* Another gateway's start is told only now. */

static void
test_gateways(void)
{
    gateway_t        a, b;
    ngx_phrony_op_t  op;

    gateway_open(&a, 1024 * 1024);
    gateway_open(&b, 1024 * 1024);

    ngx_phrony_late_init(&late, b.store);

    (void) gateway_start(&a, 1, &op);

    say(&late, PHRONY_LEASE_END, 100, 3);
    say(&late, PHRONY_LEASE_END, 101, 3);
    is_int(gateway_root(&b)->nended, 0, "the zone does not hear of it");

    gateway_settle(&a, &op, PHRONY_LEASE_BIND, 100);
    gateway_rest(&a);
    is_int(gateway_held(1), 1, "a run holds its slot");

    ok(loop_until(is_calm, NULL, 10000), "two ends are looked into");
    gateway_rest(&b);
    ok(loop_until(is_ended, NULL, 5000), "the run's is told");
    is_int(gateway_held(1), 0, "and gives back the slot");
    is_int(gateway_number("ZCARD %s", gateway_key("runs", 1)), 1,
           "nobody's is not");

    ok(gateway_sound(&a) && gateway_sound(&b), "the zones are sound");

    gateway_close(&a);
    gateway_close(&b);
}


static void
test_gateway_stop(void)
{
    gateway_t  a;

    gateway_open(&a, 1024 * 1024);

    ngx_phrony_late_init(&late, a.store);

    server_pause();
    lines = loop_lines(HANDLER);

    say(&late, PHRONY_LEASE_END, 200, 1);
    ok(loop_until(is_logged, NULL, 5000), "a question is on its way");
    is_int(waiting(), 1, "which is not answered");

    ngx_phrony_late_stop(&late);

    server_resume();
    gateway_rest(&a);
    is_int(gateway_root(&a)->nended, 0, "its answer is nobody's");

    gateway_close(&a);
}


/* What the store says from now on. */

static void
begin(ngx_int_t rc, int known)
{
    ngx_phrony_late_init(&late, &fake);

    says = rc;
    knows = known;
    knows_trigger = 0;
    asked = NULL;
    nasked = 0;
    ncancelled = 0;
    nsettled = 0;

    memset(&settled, 0, sizeof(settled));
}


/* Of a run of one of so many owners; all that is said is copied. */

static void
say(ngx_phrony_late_t *of, phrony_lease_event_t event, uint64_t run,
    ngx_uint_t n)
{
    ngx_phrony_owner_t       *copy;
    ngx_phrony_settlement_t   s;

    memset(&s, 0, sizeof(s));

    s.event = event;
    s.has_run = 1;
    s.run_id = store_uuid(run);
    s.workspace_id = store_uuid(1);
    s.run_ttl = GATEWAY_RUN_TTL;

    copy = __real_calloc(1, sizeof(owners));
    memcpy(copy, owners, n * sizeof(owners[0]));

    ngx_phrony_late_settle(of, &s, copy, n);

    free(copy);
    memset(&s, 0xa5, sizeof(s));
}


/* The store has thought about it. */

static void
answer(int known, int failed)
{
    asked->known = known;
    asked->failed = failed;
    asked->trigger_id = store_uuid(knows_trigger);
    asked->handler(asked);
}


static ngx_uint_t
waiting(void)
{
    ngx_uint_t    n;
    ngx_queue_t  *q;

    n = 0;

    for (q = ngx_queue_head(&late.waiting);
         q != ngx_queue_sentinel(&late.waiting);
         q = ngx_queue_next(q))
    {
        n++;
    }

    return n;
}


static int
was_asked(void *data)
{
    return nasked;
}


static int
is_calm(void *data)
{
    return ngx_queue_empty(&late.waiting);
}


static int
is_ended(void *data)
{
    phrony_uuid_t  run;

    run = store_uuid(100);

    return gateway_score(1, &run) == -1;
}


/* There is one more line of the handler. */

static int
is_logged(void *data)
{
    return loop_lines(HANDLER) > lines;
}


static ngx_int_t
fake_locate(ngx_phrony_store_t *s, ngx_phrony_op_t *op)
{
    nasked++;
    asked = op;

    if (says == NGX_OK) {
        op->known = knows;
        op->trigger_id = store_uuid(knows_trigger);
    }

    return says;
}


static void
fake_cancel(ngx_phrony_store_t *s, ngx_phrony_op_t *op)
{
    ncancelled += (op == asked);
}


static void
fake_settle(ngx_phrony_store_t *s, ngx_phrony_settlement_t *what)
{
    nsettled++;
    settled = *what;
}
