
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


/* sources: ngx_http_phrony_module/store/ ngx_http_phrony_module/redis/
            nginx */


#include "store.h"

#include "ngx_phrony_news.h"
#include "ngx_phrony_notice.h"
#include "ngx_phrony_share.h"
#include "ngx_phrony_store_redis.h"


/*
 * What is left of a zone when there is no room, and when a process that was
 * changing it is killed.
 */


static void test_full(void);
static void test_full_of_triggers(void);
static void test_full_of_runs(void);
static void test_killed(void (*work)(unsigned n));
static void test_killed_untold(void);
static void test_killed_in_recovery(void);
static void test_killed_in_slab(void);
static void work(unsigned n);
static void work_suspects(void);
static void work_delivery(void);
static void work_untold(unsigned n);
static void tell(void);
static void mirror(void);
static int start(uint64_t trigger, int64_t limit, ngx_phrony_op_t *op);
static void settle(ngx_phrony_op_t *op, phrony_lease_event_t event,
    uint64_t run);


int
main(void)
{
    test_full();
    test_full_of_triggers();
    test_full_of_runs();
    store_open(1024 * 1024);
    test_killed(work);
    store_close();

    test_killed_untold();
    test_killed_in_slab();
    test_killed_in_recovery();

    return done();
}


static void
test_full(void)
{
    uint64_t         n, held, known;
    ngx_phrony_op_t  op;

    store_open(256 * 1024);

    /* runs that have ended make room for others */

    for (n = 0; n < 10000; n++) {
        if (!start(1, 1000000, &op)) {
            break;
        }

        settle(&op, PHRONY_LEASE_END, 100000 + n);
    }

    is_int(n, 10000, "10000 starts of runs that end");
    ok(store_root()->evicted > 1000, "%d ended runs were evicted",
       (int) store_root()->evicted);
    is_int(store_root()->exhausted, 0, "and there was room");
    ok(store_sound(), "the indices agree");

    /* those that run do not */

    for (held = 0; start(1, 1000000, &op); held++) {
        settle(&op, PHRONY_LEASE_BIND, 200000 + held);
    }

    ok(held > 500 && held < 2048, "%d unfinished runs fill the zone",
       (int) held);
    is_int(store_root()->nleases, held, "all of them are held");
    is_int(store_root()->nended, 0, "no ended run is left");
    is_int(op.granted, 0, "one more is not granted");
    ok(store_root()->exhausted > 0, "which is counted");
    ok(store_sound(), "the indices agree");

    known = 0;

    for (n = 0; n < held; n++) {
        op.run_id = store_uuid(200000 + n);
        (void) store->locate(store, &op);
        known += op.known;
    }

    is_int(known, held, "none of them was forgotten");

    /* without a limit on runs, a lease is a convenience */

    ok(start(1, -1, &op) && !op.leased, "no limit, no lease, no refusal");

    store_now += 40000;

    ok(start(1, (int64_t) held, &op), "room again when the leases have ended");
    ok(store_root()->nleases < held, "some slots are given back at once");
    ok(start(1, 1, &op) == 0, "a second start finds no second slot");
    is_int(store_root()->nleases, 1, "since it has looked for all of them");

    store_close();
}


static void
test_full_of_triggers(void)
{
    uint64_t         n;
    ngx_phrony_op_t  op, held;

    store_open(256 * 1024);

    /* one whose run outlives its counts */

    memset(&held, 0, sizeof(held));
    held.trigger_id = store_uuid(999999);
    held.reservation_ttl = (ngx_msec_t) 1000 * 86400 * 1000;
    (void) store->admit(store, &held);

    for (n = 0; start(n, 5, &op); n++) {
        settle(&op, PHRONY_LEASE_RELEASE, 0);
    }

    ok(n > 100, "%d triggers on which starts are counted", (int) n);
    ok(store_root()->ntriggers >= n, "none of them was given up");

    store_now += (uint64_t) 2 * 86400 * 1000;

    for (n = 0; n < 2000; n++) {
        if (!start(1000000 + n, 5, &op)) {
            break;
        }

        store_now += (uint64_t) 20 * 86400;
    }

    is_int(n, 2000, "days later idle ones make room");
    ok(store_root()->evicted > 0, "they were evicted");
    is_int(start(999999, 1, &op), 0, "but not one that has a run");
    ok(store_sound(), "the indices agree");

    store_close();
}


/* Runs of few triggers, ended in any order, must not keep new triggers out. */

static void
test_full_of_runs(void)
{
    int              refused;
    uint64_t         n, next, spare;
    ngx_phrony_op_t  op, alive[200];

    store_open(2 * 1024 * 1024);

    memset(alive, 0, sizeof(alive));
    refused = 0;
    next = 1000000;

    for (n = 0; n < 40000; n++) {
        if (alive[n % 200].leased) {
            settle(&alive[n % 200], PHRONY_LEASE_END, next++);
        }

        store_now += 1;
        (void) start(random_below(7), 1000000, &alive[random_below(200)]);
    }

    ok(store_root()->evicted > 1000, "the zone was full of ended runs");

    spare = store_root()->nspare;

    for (n = 0; n < spare; n++) {
        refused += !start(100 + n, 5, &op);
    }

    ok(n > 40, "%d triggers have room of their own", (int) n);
    is_int(refused, 0, "none of them is refused");
    ok(store_sound(), "the indices agree");

    store_close();
}


/* A process that does nothing else is killed, some hundred times. */

static void
test_killed(void (*work)(unsigned n))
{
    int        i, status, sound;
    pid_t      pid;

    sound = 1;

    for (i = 0; i < 300 && sound; i++) {

        pid = fork();

        if (pid == 0) {
            ngx_pid = getpid();
            random_seed += (uint64_t) i * 7919;

            for ( ;; ) {
                work(1);
            }
        }

        usleep(200 + random_below(2000));

        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);

        (void) ngx_shmtx_force_unlock(&zone.shpool->mutex, pid);

        sound = store_sound();

        work(20);

        sound &= store_sound();
    }

    ok(sound, "after each of %d kills the indices agree", i);
    ok(store_root()->repaired > 10, "%d kills came within a change",
       (int) store_root()->repaired);
}


/* The same where Redis is away, comes back and is told. */

static void
test_killed_untold(void)
{
    uint64_t                   left;
    ngx_str_t                  prefix = ngx_string("unit");
    ngx_phrony_news_t          news;
    ngx_phrony_notice_t        notice;
    ngx_phrony_store_redis_t   shared;

    store_open(1024 * 1024);

    ngx_phrony_store_redis_init(&shared, &zone, &prefix, 0);
    store = &shared.store;

    test_killed(work_untold);

    ok(store_root()->nuntold > 20, "%d are untold",
       (int) store_root()->nuntold);

    (void) ngx_phrony_zone_lock(&zone);

    for (left = 0; ngx_phrony_news_next(&zone, &news) == NGX_OK; left++) {
        if (news.event == NGX_PHRONY_NEWS_NONE
            || phrony_uuid_nil(&news.workspace_id))
        {
            break;
        }
    }

    ok(ngx_queue_empty(&store_root()->untold), "all %d can be told",
       (int) left);

    while (ngx_phrony_notice_next(&zone, &notice) == NGX_OK) {
        left++;
    }

    ok(ngx_queue_empty(&store_root()->untold_claims), "deliveries as well");

    /* but of starts whose worker died before it knew of them itself */

    zone.now += 10000000;
    (void) ngx_phrony_run_sweep(&zone, 1000);

    ngx_phrony_zone_unlock(&zone);

    is_int(store_root()->nleases, 0, "no slot is held here then");
    ok(store_sound(), "the indices agree");

    store_close();
}


static void
test_killed_in_slab(void)
{
    ngx_phrony_op_t  op;

    store_open(1024 * 1024);

    work(1000);
    store_root()->busy = NGX_PHRONY_ZONE_SLAB;

    ok(start(1, 5, &op), "a zone left within the allocator is usable");
    is_int(store_root()->ntriggers, 1, "and begins empty");
    is_int(store_root()->repaired, 1, "which is counted");
    ok(store_sound(), "the indices agree");

    store_close();
}


/* The second process to find the zone is killed while it makes it anew. */

static void
test_killed_in_recovery(void)
{
    ngx_phrony_op_t  op;

    store_open(1024 * 1024);

    work(1000);
    store_root()->busy = NGX_PHRONY_ZONE_CALM;
    store_root()->magic = 0;
    store_root()->triggers = NULL;
    store_root()->runs = NULL;

    ok(start(1, 5, &op), "a zone that was left half-made is made again");
    is_int(store_root()->ntriggers, 1, "and begins empty");
    ok(store_sound(), "the indices agree");

    store_close();
}


static void
work(unsigned n)
{
    unsigned                 i;
    ngx_phrony_op_t          op;
    ngx_phrony_settlement_t  s;

    for (i = 0; i < n; i++) {
        store_now += random_below(50);

        if (start(random_below(40), 20, &op) && random_below(3)) {
            settle(&op, (phrony_lease_event_t) (random_below(2)
                                                ? PHRONY_LEASE_BIND
                                                : PHRONY_LEASE_RELEASE),
                   random_below(5000));
        }

        memset(&s, 0, sizeof(s));
        s.event = random_below(2) ? PHRONY_LEASE_SEEN : PHRONY_LEASE_END;
        s.has_run = 1;
        s.run_id = store_uuid(random_below(5000));
        s.trigger_id = store_uuid(random_below(40));
        s.workspace_id = store_uuid(1);
        s.run_ttl = 30000;
        store->settle(store, &s);

        work_suspects();
        work_delivery();
    }
}


/* Those of a trigger are asked for, and one may be found. */

static void
work_suspects(void)
{
    ngx_phrony_op_t          op;
    ngx_phrony_suspects_t    suspects;
    ngx_phrony_settlement_t  s;

    memset(&op, 0, sizeof(op));
    op.trigger_id = store_uuid(random_below(40));
    op.workspace_id = store_uuid(1);
    op.suspects = &suspects;

    (void) store->suspect(store, &op);

    if (suspects.nleases == 0) {
        return;
    }

    memset(&s, 0, sizeof(s));
    s.event = random_below(2) ? PHRONY_LEASE_BIND : PHRONY_LEASE_END;
    s.found = 1;
    s.leased = 1;
    s.lease_id = suspects.leases[0].id;
    s.has_run = 1;
    s.run_id = store_uuid(random_below(5000));
    s.trigger_id = op.trigger_id;
    s.workspace_id = op.workspace_id;
    s.run_ttl = 30000;
    store->settle(store, &s);
}


/* Some of them have been seen before, and some will not be settled. */

static void
work_delivery(void)
{
    ngx_phrony_op_t       op;
    ngx_phrony_receipt_t  receipt;

    static u_char                            answer[6000];
    static const ngx_phrony_receipt_event_t  events[] = {
        NGX_PHRONY_RECEIPT_DONE, NGX_PHRONY_RECEIPT_DONE,
        NGX_PHRONY_RECEIPT_UNKNOWN, NGX_PHRONY_RECEIPT_FORGET
    };

    memset(&op, 0, sizeof(op));

    op.workspace_id = store_uuid(1);
    op.local = 1;
    op.trigger_id = store_uuid(random_below(40));
    op.reservation_ttl = 2000;
    op.delivery.mode = PHRONY_DELIVERY_MODE_REPLAY;
    op.delivery.ttl = 10000;
    memset(op.delivery.digest, (int) random_below(200), NGX_PHRONY_DIGEST_LEN);

    (void) store->admit(store, &op);

    ngx_free(op.delivery.stored.data);

    if (!op.delivery.claimed || random_below(4) == 0) {
        return;
    }

    memset(&receipt, 0, sizeof(receipt));

    receipt.event = events[random_below(4)];
    receipt.owner = op.delivery.owner;
    receipt.trigger_id = op.trigger_id;
    receipt.workspace_id = op.workspace_id;
    receipt.ttl = 10000;
    receipt.stored.data = answer;
    receipt.stored.len = random_below(sizeof(answer));
    memcpy(receipt.digest, op.delivery.digest, NGX_PHRONY_DIGEST_LEN);

    store->deliver(store, &receipt);
}


/* As work(), and as a worker does that has a connection from time to time. */

static void
work_untold(unsigned n)
{
    unsigned  i;

    for (i = 0; i < n; i++) {
        work(1);

        if (random_below(4) == 0) {
            tell();
        }

        if (random_below(4) == 0) {
            mirror();
        }
    }
}


/* Some are told, and some of these in vain. */

static void
tell(void)
{
    ngx_phrony_news_t    news;
    ngx_phrony_share_t   share;
    ngx_phrony_counts_t  counts;
    ngx_phrony_notice_t  notice;

    (void) ngx_phrony_zone_lock(&zone);

    if (ngx_phrony_notice_next(&zone, &notice) == NGX_OK
        && random_below(2))
    {
        ngx_phrony_notice_keep(&zone, &notice);
    }

    if (ngx_phrony_news_next(&zone, &news) == NGX_OK && random_below(2)) {
        (void) ngx_phrony_news_keep(&zone, &news);
    }

    if (ngx_phrony_share_take(&zone, &share, &counts) == NGX_OK
        && random_below(2))
    {
        (void) ngx_phrony_share_give(&zone, &share, &counts);
    }

    ngx_phrony_zone_unlock(&zone);
}


/* What Redis says is noted, and a lease of Redis's is lost. */

static void
mirror(void)
{
    ngx_phrony_op_t       op;
    ngx_phrony_news_t     news;
    ngx_phrony_verdict_t  verdict;

    memset(&op, 0, sizeof(op));
    op.trigger_id = store_uuid(random_below(40));
    op.workspace_id = store_uuid(1);
    op.reservation_ttl = 20000;

    memset(&verdict, 0, sizeof(verdict));
    verdict.minute.sum = random_below(50);
    verdict.day.sum = verdict.minute.sum + random_below(100);
    verdict.held = random_below(20);

    memset(&news, 0, sizeof(news));
    news.event = random_below(2) ? NGX_PHRONY_NEWS_ABANDON
                                 : NGX_PHRONY_NEWS_RELEASE;
    news.has_lease = 1;
    news.lease_id = store_uuid(1000000 + random_below(500));
    news.trigger_id = op.trigger_id;
    news.workspace_id = op.workspace_id;
    news.ttl = 20000;

    (void) ngx_phrony_zone_lock(&zone);

    ngx_phrony_share_mirror(&zone, &op, &verdict, store_now);
    (void) ngx_phrony_news_keep(&zone, &news);

    ngx_phrony_zone_unlock(&zone);
}


static int
start(uint64_t trigger, int64_t limit, ngx_phrony_op_t *op)
{
    memset(op, 0, sizeof(*op));

    op->workspace_id = store_uuid(1);
    op->local = 1;
    op->trigger_id = store_uuid(trigger);
    op->reservation_ttl = 20000;
    op->limits[PHRONY_LIMIT_RUNS].set = limit >= 0;
    op->limits[PHRONY_LIMIT_RUNS].quota = limit;

    return store->admit(store, op) == NGX_OK && op->granted;
}


static void
settle(ngx_phrony_op_t *op, phrony_lease_event_t event, uint64_t run)
{
    ngx_phrony_settlement_t  s;

    memset(&s, 0, sizeof(s));

    s.event = event;
    s.start = 1;
    s.leased = op->leased;
    s.lease_id = op->lease_id;
    s.trigger_id = op->trigger_id;
    s.workspace_id = op->workspace_id;
    s.agent_id = store_uuid(2);
    s.has_run = (event != PHRONY_LEASE_RELEASE);
    s.run_id = store_uuid(run);
    s.run_ttl = 30000;

    store->settle(store, &s);
}
