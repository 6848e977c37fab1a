
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


/* sources: ngx_http_phrony_module/store/ ngx_http_phrony_module/redis/
            nginx */


#include "gateway.h"

#include "ngx_phrony_claim.h"
#include "phrony_stored.h"


/* Duplicate deliveries, by gateways that share a Redis. */


#define DELIVERY_TTL  40000


static void test_replay(void);
static void test_lost_zone(void);
static void test_mismatch(void);
static void test_annotate(void);
static void test_forget(void);
static void test_unknown(void);
static void test_dead_owner(void);
static void test_limits(void);
static void test_not_stored(void);
static void test_race(void);
static void test_cancel(void);
static void test_lost(void);
static void test_away(void);
static void test_away_progress(void);
static void test_overruled(void);
static void test_forget_away(void);
static void test_settle_lost(void);
static void test_many_untold(void);
static void test_hostile(void);
static void test_verdicts(void);
static void test_no_memory(void);
static int verdict(phrony_delivery_mode_t mode, uint32_t state, int64_t seen,
    const char *text, size_t len);
static void ask(ngx_phrony_op_t *op, uint64_t id);
static ngx_int_t admit(gateway_t *g, uint64_t id, ngx_phrony_op_t *op);
static void settle(gateway_t *g, ngx_phrony_op_t *op,
    ngx_phrony_receipt_event_t event);
static int claims(ngx_phrony_op_t *op);
static int proxies(ngx_phrony_op_t *op, phrony_duplicate_t duplicate);
static int blocks(ngx_phrony_op_t *op, phrony_delivery_action_t action);
static int replays(ngx_phrony_op_t *op);
static size_t answer(unsigned char *buf);
static const char *key(uint64_t id);
static int is_late(void *data);


int
main(void)
{
    loop_open();

    server_listens = server_port();
    server_start("");

    test_replay();
    test_lost_zone();
    test_mismatch();
    test_annotate();
    test_forget();
    test_unknown();
    test_dead_owner();
    test_limits();
    test_not_stored();
    test_race();
    test_cancel();
    test_lost();
    test_away();
    test_away_progress();
    test_overruled();
    test_forget_away();
    test_settle_lost();
    test_many_untold();
    test_hostile();
    test_verdicts();
    test_no_memory();

    client_close();
    server_stop(SIGTERM);
    loop_close();

    return done();
}


static void
test_replay(void)
{
    long             commands;
    gateway_t        a, b;
    ngx_phrony_op_t  op, other;

    gateway_open(&a, 1024 * 1024);
    gateway_open(&b, 1024 * 1024);

    is_int(admit(&a, 100, &op), NGX_AGAIN, "a delivery asks Redis");
    ok(claims(&op) && gateway_is(&op, "redis"), "is new, and claimed");
    ok(phrony_uuid_eq(&op.delivery.owner, &op.lease_id), "by its lease");
    is_int(gateway_commands(&a), 1, "in one command");
    ok(gateway_number("PTTL %s", key(100)) > GATEWAY_RESERVATION,
       "its key has a TTL");

    is_int(admit(&b, 100, &other), NGX_AGAIN, "again, elsewhere");
    ok(blocks(&other, PHRONY_DELIVERY_ACTION_REFUSE_IN_PROGRESS),
       "it is in progress");
    is_int(gateway_held(100), 1, "and takes no slot");

    commands = gateway_commands(&a);

    gateway_ask(&other, 100);
    is_int(admit(&a, 100, &other), NGX_OK, "here that is known");
    ok(blocks(&other, PHRONY_DELIVERY_ACTION_REFUSE_IN_PROGRESS),
       "it is in progress");
    is_int(gateway_commands(&a), commands, "and nobody is asked");

    settle(&a, &op, NGX_PHRONY_RECEIPT_DONE);
    is_int(gateway_commands(&a), commands + 1, "that it is done is told");

    is_int(admit(&b, 100, &other), NGX_AGAIN, "then");
    ok(replays(&other), "its answer is sent again elsewhere");
    ngx_free(other.delivery.stored.data);

    is_int(admit(&a, 100, &other), NGX_OK, "and here");
    ok(replays(&other), "likewise");
    ngx_free(other.delivery.stored.data);

    ok(gateway_number("PTTL %s", key(100)) > DELIVERY_TTL - 10000,
       "for as long as deliveries are kept");
    ok(gateway_sound(&a) && gateway_sound(&b), "the zones are sound");

    gateway_close(&a);
    gateway_close(&b);
}


/* A gateway that has just begun knows what the others do. */

static void
test_lost_zone(void)
{
    gateway_t        a;
    ngx_phrony_op_t  op;

    gateway_open(&a, 1024 * 1024);
    (void) admit(&a, 110, &op);
    settle(&a, &op, NGX_PHRONY_RECEIPT_DONE);
    gateway_close(&a);

    gateway_open(&a, 1024 * 1024);
    (void) admit(&a, 110, &op);
    ok(replays(&op), "a new zone, the same answer");
    ngx_free(op.delivery.stored.data);
    gateway_close(&a);
}


static void
test_mismatch(void)
{
    gateway_t        a, b;
    ngx_phrony_op_t  op, other;

    gateway_open(&a, 1024 * 1024);
    gateway_open(&b, 1024 * 1024);

    (void) admit(&a, 120, &op);

    ask(&other, 120);
    other.delivery.fingerprint[0] ^= 1;
    is_int(gateway_admit(&b, &other), NGX_AGAIN, "with another body");
    ok(blocks(&other, PHRONY_DELIVERY_ACTION_REFUSE_MISMATCH),
       "it does not match");

    ask(&other, 120);
    other.delivery.fingerprint[31] ^= 1;
    is_int(gateway_admit(&a, &other), NGX_OK, "nor does it here");
    ok(blocks(&other, PHRONY_DELIVERY_ACTION_REFUSE_MISMATCH),
       "which is known");

    gateway_close(&a);
    gateway_close(&b);
}


/* Every duplicate is proxied, and claims nothing. */

static void
test_annotate(void)
{
    gateway_t        a, b;
    ngx_phrony_op_t  op, other;

    gateway_open(&a, 1024 * 1024);
    gateway_open(&b, 1024 * 1024);

    ask(&op, 130);
    op.delivery.mode = PHRONY_DELIVERY_MODE_ANNOTATE;
    (void) gateway_admit(&a, &op);
    ok(claims(&op), "the first one claims");

    ask(&other, 130);
    other.delivery.mode = PHRONY_DELIVERY_MODE_ANNOTATE;
    (void) gateway_admit(&b, &other);
    ok(proxies(&other, PHRONY_DUPLICATE_IN_PROGRESS), "in progress");

    other.delivery.fingerprint[0] ^= 1;
    (void) gateway_admit(&b, &other);
    ok(proxies(&other, PHRONY_DUPLICATE_MISMATCH), "with another body");
    other.delivery.fingerprint[0] ^= 1;

    is_int(gateway_admit(&a, &other), NGX_AGAIN, "here it asks for limits");
    ok(proxies(&other, PHRONY_DUPLICATE_IN_PROGRESS), "and is annotated");

    settle(&a, &op, NGX_PHRONY_RECEIPT_DONE);

    (void) gateway_admit(&b, &other);
    ok(proxies(&other, PHRONY_DUPLICATE_DONE), "done");
    (void) gateway_admit(&a, &other);
    ok(proxies(&other, PHRONY_DUPLICATE_DONE), "done, here");
    is_int(other.delivery.stored.len, 0, "without the answer");

    ok(gateway_sound(&a) && gateway_sound(&b), "the zones are sound");

    gateway_close(&a);
    gateway_close(&b);
}


static void
test_forget(void)
{
    gateway_t        a, b;
    ngx_phrony_op_t  op;

    gateway_open(&a, 1024 * 1024);
    gateway_open(&b, 1024 * 1024);

    (void) admit(&a, 140, &op);
    settle(&a, &op, NGX_PHRONY_RECEIPT_FORGET);
    is_int(gateway_number("EXISTS %s", key(140)), 0, "a refused one is gone");

    (void) admit(&b, 140, &op);
    ok(claims(&op), "and as new");

    gateway_close(&a);
    gateway_close(&b);
}


static void
test_unknown(void)
{
    gateway_t        a, b, c;
    ngx_phrony_op_t  op, other;

    gateway_open(&a, 1024 * 1024);
    gateway_open(&b, 1024 * 1024);
    gateway_open(&c, 1024 * 1024);

    (void) admit(&a, 150, &op);
    settle(&a, &op, NGX_PHRONY_RECEIPT_UNKNOWN);

    (void) admit(&b, 150, &op);
    ok(proxies(&op, PHRONY_DUPLICATE_UNKNOWN), "of unknown outcome");
    (void) admit(&c, 150, &other);
    ok(blocks(&other, PHRONY_DELIVERY_ACTION_REFUSE_IN_PROGRESS),
       "and claimed by that");

    (void) admit(&a, 150, &other);
    ok(blocks(&other, PHRONY_DELIVERY_ACTION_REFUSE_IN_PROGRESS),
       "also where it is of unknown outcome itself");

    settle(&b, &op, NGX_PHRONY_RECEIPT_FORGET);
    (void) admit(&c, 150, &op);
    ok(proxies(&op, PHRONY_DUPLICATE_UNKNOWN),
       "refused, it is unknown as before");

    settle(&c, &op, NGX_PHRONY_RECEIPT_DONE);
    (void) admit(&a, 150, &op);
    ok(replays(&op), "until one is accepted");
    ngx_free(op.delivery.stored.data);

    /* what Redis has lost is still known where it was seen */

    (void) admit(&a, 151, &op);
    settle(&a, &op, NGX_PHRONY_RECEIPT_UNKNOWN);
    (void) gateway_tell("DEL %s", key(151));
    (void) admit(&a, 151, &op);
    ok(proxies(&op, PHRONY_DUPLICATE_UNKNOWN), "Redis may forget it");
    settle(&a, &op, NGX_PHRONY_RECEIPT_FORGET);
    (void) admit(&b, 151, &op);
    ok(proxies(&op, PHRONY_DUPLICATE_UNKNOWN), "and is told by that start");

    gateway_close(&a);
    gateway_close(&b);
    gateway_close(&c);
}


/* A gateway dies with a start under way. */

static void
test_dead_owner(void)
{
    gateway_t        a, b;
    ngx_phrony_op_t  op, other;

    gateway_open(&a, 1024 * 1024);
    gateway_open(&b, 1024 * 1024);

    ask(&op, 155);
    op.reservation_ttl = 300;
    (void) gateway_admit(&a, &op);
    ok(claims(&op), "a claim for 300 ms");
    ok(loop_until(is_late, &b, 10000), "is over then");
    ok(gateway_number("PTTL %s", key(155)) > DELIVERY_TTL / 2,
       "but remembered");

    store_now += 300;
    (void) admit(&a, 155, &other);
    ok(blocks(&other, PHRONY_DELIVERY_ACTION_REFUSE_IN_PROGRESS),
       "and another's by now, here as well");

    settle(&a, &op, NGX_PHRONY_RECEIPT_DONE);
    (void) admit(&a, 155, &other);
    ok(blocks(&other, PHRONY_DELIVERY_ACTION_REFUSE_IN_PROGRESS),
       "whatever the first one tells now");

    /* late, but nobody was waiting for it */

    ask(&op, 156);
    op.reservation_ttl = 300;
    (void) gateway_admit(&a, &op);
    store_now += 300;
    settle(&a, &op, NGX_PHRONY_RECEIPT_DONE);
    (void) admit(&a, 156, &other);
    ok(replays(&other), "what is late is done all the same");
    ngx_free(other.delivery.stored.data);
    ok(gateway_sound(&a), "the zone is sound");

    gateway_close(&a);
    gateway_close(&b);
}


/* No limit refuses a duplicate, not even one that has refused before. */

static void
test_limits(void)
{
    gateway_t        a, b;
    ngx_phrony_op_t  op;

    gateway_open(&a, 1024 * 1024);
    gateway_open(&b, 1024 * 1024);

    (void) admit(&a, 160, &op);
    settle(&a, &op, NGX_PHRONY_RECEIPT_DONE);

    ask(&op, 161);
    gateway_limit(&op, PHRONY_LIMIT_RPM, 1);
    op.trigger_id = store_uuid(160);
    (void) gateway_admit(&b, &op);
    ok(!op.granted && !op.delivery.claimed
       && op.limits[PHRONY_LIMIT_RPM].refused, "a new one is refused");
    is_int(gateway_number("EXISTS %s", key(161)), 0, "and claims nothing");

    ask(&op, 160);
    gateway_limit(&op, PHRONY_LIMIT_RPM, 1);
    (void) gateway_admit(&b, &op);
    ok(replays(&op), "a known one is replayed");
    ok(!op.limits[PHRONY_LIMIT_RPM].refused, "with no limit refusing it");
    is_int(op.limits[PHRONY_LIMIT_RPM].remaining, 0, "though none is left");
    ok(op.limits[PHRONY_LIMIT_RPM].reset > 50000, "for a while");
    ngx_free(op.delivery.stored.data);

    ask(&op, 160);
    gateway_limit(&op, PHRONY_LIMIT_RPM, 5);
    is_int(gateway_admit(&a, &op), NGX_OK, "where it is known at once");
    is_int(op.limits[PHRONY_LIMIT_RPM].remaining, 4, "4 of 5 remain");
    ngx_free(op.delivery.stored.data);

    gateway_close(&a);
    gateway_close(&b);
}


/* There is no room in the zone, but in Redis. */

static void
test_not_stored(void)
{
    gateway_t             a, b;
    ngx_phrony_op_t       op;
    ngx_phrony_claim_t   *claim;

    gateway_open(&a, 1024 * 1024);
    gateway_open(&b, 1024 * 1024);

    (void) admit(&a, 165, &op);
    settle(&a, &op, NGX_PHRONY_RECEIPT_DONE);

    (void) ngx_phrony_zone_lock(&a.zone);
    claim = ngx_phrony_claim_find(&a.zone, op.delivery.digest);
    gateway_root(&a)->claim_bytes -= ngx_pagesize;
    ngx_slab_free_locked(a.zone.shpool, claim->stored);
    claim->stored = NULL;
    ngx_phrony_zone_unlock(&a.zone);

    (void) admit(&a, 165, &op);
    ok(replays(&op), "the answer is Redis's");
    ngx_free(op.delivery.stored.data);

    (void) gateway_tell("DEL %s", key(165));
    (void) admit(&a, 165, &op);
    ok(proxies(&op, PHRONY_DUPLICATE_DONE) && !op.delivery.claimed,
       "done, if it has none either");
    is_int(gateway_number("EXISTS %s", key(165)), 0, "and not claimed");

    /* nor was it to be kept */

    (void) admit(&a, 166, &op);
    op.data = NULL;
    settle(&a, &op, NGX_PHRONY_RECEIPT_DONE);
    (void) admit(&b, 166, &op);
    ok(proxies(&op, PHRONY_DUPLICATE_DONE) && !op.delivery.claimed,
       "an answer that was not kept");

    gateway_close(&a);
    gateway_close(&b);
}


/* Of those on their way at once, one claims. */

static void
test_race(void)
{
    int              i, n, answered;
    gateway_t        g[2];
    ngx_phrony_op_t  ops[20];

    gateway_open(&g[0], 1024 * 1024);
    gateway_open(&g[1], 1024 * 1024);

    answered = 0;

    for (i = 0; i < 20; i++) {
        ask(&ops[i], 170);
        ops[i].data = &answered;
        is_int(g[i % 2].store->admit(g[i % 2].store, &ops[i]), NGX_AGAIN,
               "a start is on its way");
    }

    while (answered < 20 && loop_until(gateway_answered, &answered, 5000)) {
        loop_turn();
    }

    n = 0;

    for (i = 0; i < 20; i++) {
        n += claims(&ops[i]);
        ok(claims(&ops[i])
           || blocks(&ops[i], PHRONY_DELIVERY_ACTION_REFUSE_IN_PROGRESS),
           "claims, or is blocked");
    }

    is_int(n, 1, "one of 20 claims");
    is_int(gateway_held(170), 1, "one slot is taken");

    gateway_close(&g[0]);
    gateway_close(&g[1]);
}


static void
test_cancel(void)
{
    gateway_t        a, b;
    ngx_phrony_op_t  op;

    gateway_open(&a, 1024 * 1024);
    gateway_open(&b, 1024 * 1024);

    ask(&op, 180);
    is_int(a.store->admit(a.store, &op), NGX_AGAIN, "a start is on its way");
    a.store->cancel(a.store, &op);
    memset(&op, 0xa5, sizeof(op));
    gateway_rest(&a);
    is_int(gateway_held(180), 0, "cancelled, it holds no slot");

    (void) admit(&b, 180, &op);
    ok(claims(&op), "nor its delivery");

    gateway_close(&a);
    gateway_close(&b);
}


/* Redis carries out what it was sent, and nobody hears of it. */

static void
test_lost(void)
{
    int              answered;
    gateway_t        a, b;
    ngx_phrony_op_t  op, strict;

    gateway_timeout = 1000;
    gateway_open(&a, 1024 * 1024);
    gateway_open(&b, 1024 * 1024);

    server_pause();

    ask(&strict, 190);
    strict.local = 0;
    answered = 0;
    strict.data = &answered;
    (void) a.store->admit(a.store, &strict);

    is_int(admit(&a, 191, &op), NGX_AGAIN, "a start is on its way");
    ok(proxies(&op, PHRONY_DUPLICATE_UNKNOWN) && op.delivery.claimed
       && gateway_is(&op, "local"), "and decided here in the end");
    ok(answered && strict.failed && !strict.delivery.claimed, "or has failed");

    settle(&a, &op, NGX_PHRONY_RECEIPT_DONE);
    is_int(gateway_root(&a)->untold_claims.next
           != &gateway_root(&a)->untold_claims, 1, "it is untold");

    server_resume();
    gateway_find(&a);
    ok(loop_until(gateway_is_ready, &b, 10000), "Redis is back");

    (void) admit(&b, 190, &op);
    ok(claims(&op), "what nobody waits for is claimed by nobody");
    (void) admit(&b, 191, &op);
    ok(replays(&op), "what was done meanwhile is replayed");
    ngx_free(op.delivery.stored.data);
    ok(gateway_sound(&a), "the zone is sound");

    gateway_timeout = 10000;
    gateway_close(&a);
    gateway_close(&b);
}


/* Two gateways have an answer each, while Redis was away from both. */

static void
test_overruled(void)
{
    gateway_t        a, b;
    ngx_phrony_op_t  op, other;

    gateway_open(&a, 1024 * 1024);
    gateway_open(&b, 1024 * 1024);

    gateway_lose(&a);
    gateway_lose(&b);

    (void) admit(&a, 195, &op);
    (void) admit(&b, 195, &other);
    ok(op.delivery.claimed && other.delivery.claimed, "both have claimed it");

    op.data = &a;
    settle(&a, &op, NGX_PHRONY_RECEIPT_DONE);
    other.data = NULL;
    settle(&b, &other, NGX_PHRONY_RECEIPT_DONE);

    gateway_find(&a);
    gateway_find(&b);

    (void) ngx_phrony_zone_lock(&b.zone);
    ok(ngx_phrony_claim_find(&b.zone, other.delivery.digest) == NULL,
       "the second to tell has to forget its own");
    ngx_phrony_zone_unlock(&b.zone);

    (void) admit(&b, 195, &other);
    ok(replays(&other), "and replays the first one's");
    ngx_free(other.delivery.stored.data);

    (void) admit(&a, 195, &op);
    ok(replays(&op), "as the first one does");
    ngx_free(op.delivery.stored.data);

    gateway_close(&a);
    gateway_close(&b);
}


/* A gateway decides by what it knows itself. */

static void
test_away(void)
{
    gateway_t        a, b;
    ngx_phrony_op_t  op, other;

    gateway_open(&a, 1024 * 1024);
    gateway_open(&b, 1024 * 1024);

    (void) admit(&a, 200, &op);
    settle(&a, &op, NGX_PHRONY_RECEIPT_DONE);

    gateway_lose(&a);

    is_int(admit(&a, 200, &op), NGX_OK, "what was seen here");
    ok(replays(&op), "is replayed without Redis");
    ngx_free(op.delivery.stored.data);

    is_int(admit(&a, 201, &op), NGX_OK, "what was not");
    ok(proxies(&op, PHRONY_DUPLICATE_UNKNOWN) && op.delivery.claimed,
       "is unknown, and claimed");
    (void) admit(&a, 201, &other);
    ok(blocks(&other, PHRONY_DELIVERY_ACTION_REFUSE_IN_PROGRESS),
       "by one start");
    settle(&a, &op, NGX_PHRONY_RECEIPT_DONE);

    (void) admit(&a, 202, &op);
    settle(&a, &op, NGX_PHRONY_RECEIPT_FORGET);
    (void) admit(&a, 203, &op);
    settle(&a, &op, NGX_PHRONY_RECEIPT_UNKNOWN);

    ask(&op, 204);
    op.local = 0;
    is_int(gateway_admit(&a, &op), NGX_DECLINED, "or there is no answer");
    ok(!op.delivery.claimed, "and no claim");

    ok(gateway_sound(&a), "the zone is sound");
    gateway_find(&a);

    (void) admit(&b, 201, &op);
    ok(replays(&op), "what was done is told");
    ngx_free(op.delivery.stored.data);
    (void) admit(&b, 202, &op);
    ok(claims(&op), "what was refused is new");
    (void) admit(&b, 203, &op);
    ok(proxies(&op, PHRONY_DUPLICATE_UNKNOWN), "what is unknown is told");
    (void) admit(&b, 204, &op);
    ok(claims(&op), "what was not started is new");

    gateway_close(&a);
    gateway_close(&b);
}


/* Redis comes back before the start has ended, and goes again. */

static void
test_away_progress(void)
{
    gateway_t        a, b;
    ngx_phrony_op_t  op[3], other;

    gateway_open(&a, 1024 * 1024);
    gateway_open(&b, 1024 * 1024);

    gateway_lose(&a);
    (void) admit(&a, 210, &op[0]);
    (void) admit(&a, 211, &op[1]);
    (void) admit(&a, 212, &op[2]);
    gateway_find(&a);

    (void) admit(&b, 210, &other);
    ok(blocks(&other, PHRONY_DELIVERY_ACTION_REFUSE_IN_PROGRESS),
       "that it is in progress is told");
    ok(gateway_number("PTTL %s", key(210)) > GATEWAY_RESERVATION,
       "with a TTL");

    settle(&a, &op[0], NGX_PHRONY_RECEIPT_DONE);
    (void) admit(&b, 210, &other);
    ok(replays(&other), "then what became of it");
    ngx_free(other.delivery.stored.data);

    settle(&a, &op[1], NGX_PHRONY_RECEIPT_FORGET);
    (void) admit(&b, 211, &other);
    ok(claims(&other), "also if that is nothing");

    gateway_lose(&a);
    settle(&a, &op[2], NGX_PHRONY_RECEIPT_FORGET);
    gateway_find(&a);
    (void) admit(&b, 212, &other);
    ok(proxies(&other, PHRONY_DUPLICATE_UNKNOWN),
       "which, told late, leaves a doubt");

    ok(gateway_sound(&a), "the zone is sound");

    gateway_close(&a);
    gateway_close(&b);
}


/* A start that Redis granted is refused while Redis is away. */

static void
test_forget_away(void)
{
    gateway_t        a, b;
    ngx_phrony_op_t  op[3], other;

    gateway_open(&a, 1024 * 1024);
    gateway_open(&b, 1024 * 1024);

    (void) admit(&a, 220, &op[0]);
    (void) admit(&a, 221, &op[1]);
    (void) admit(&b, 222, &other);
    settle(&b, &other, NGX_PHRONY_RECEIPT_UNKNOWN);
    (void) admit(&a, 222, &op[2]);

    gateway_lose(&a);

    gateway_settle(&a, &op[0], PHRONY_LEASE_RELEASE, 0);
    settle(&a, &op[0], NGX_PHRONY_RECEIPT_FORGET);
    settle(&a, &op[1], NGX_PHRONY_RECEIPT_FORGET);
    gateway_settle(&a, &op[1], PHRONY_LEASE_RELEASE, 0);
    settle(&a, &op[2], NGX_PHRONY_RECEIPT_FORGET);

    (void) admit(&b, 220, &other);
    ok(blocks(&other, PHRONY_DELIVERY_ACTION_REFUSE_IN_PROGRESS),
       "nobody else knows");

    (void) admit(&a, 220, &other);
    ok(proxies(&other, PHRONY_DUPLICATE_UNKNOWN), "here it may start again");
    settle(&a, &other, NGX_PHRONY_RECEIPT_DONE);

    ok(gateway_sound(&a), "the zone is sound");
    gateway_find(&a);

    (void) admit(&b, 220, &other);
    ok(replays(&other), "later all know what that one became");
    ngx_free(other.delivery.stored.data);
    (void) admit(&b, 221, &other);
    ok(claims(&other), "that the other one is new again");
    (void) admit(&b, 222, &other);
    ok(proxies(&other, PHRONY_DUPLICATE_UNKNOWN),
       "and the third as unknown as it was");

    gateway_close(&a);
    gateway_close(&b);
}


/* What became of it is on its way when the connection is lost. */

static void
test_settle_lost(void)
{
    gateway_t        a, b;
    ngx_phrony_op_t  op[3];

    gateway_open(&a, 1024 * 1024);
    gateway_open(&b, 1024 * 1024);

    (void) admit(&a, 230, &op[0]);
    (void) admit(&a, 231, &op[1]);
    (void) admit(&a, 232, &op[2]);

    (void) gateway_tell("CLIENT KILL TYPE normal SKIPME yes");
    server_pause();
    op[0].failed = 1;
    settle(&a, &op[0], NGX_PHRONY_RECEIPT_DONE);
    op[1].failed = 1;
    settle(&a, &op[1], NGX_PHRONY_RECEIPT_FORGET);
    op[2].failed = 1;
    settle(&a, &op[2], NGX_PHRONY_RECEIPT_UNKNOWN);
    server_resume();

    ok(loop_until(gateway_is_down, &a, 5000), "the connection is lost");
    gateway_find(&a);
    ok(loop_until(gateway_is_ready, &b, 10000), "there are others");

    (void) admit(&b, 230, &op[0]);
    ok(replays(&op[0]), "done");
    ngx_free(op[0].delivery.stored.data);
    (void) admit(&b, 231, &op[1]);
    ok(claims(&op[1]), "forgotten");
    (void) admit(&b, 232, &op[2]);
    ok(proxies(&op[2], PHRONY_DUPLICATE_UNKNOWN), "unknown");

    ok(gateway_sound(&a), "the zone is sound");

    gateway_close(&a);
    gateway_close(&b);
}


static void
test_many_untold(void)
{
    int              good;
    uint64_t         id;
    gateway_t        a, b;
    ngx_phrony_op_t  op;

    gateway_open(&a, 1024 * 1024);
    gateway_open(&b, 1024 * 1024);

    gateway_lose(&a);

    for (id = 2400; id < 2500; id++) {
        (void) admit(&a, id, &op);
        op.failed = 1;
        settle(&a, &op, NGX_PHRONY_RECEIPT_DONE);
    }

    gateway_find(&a);

    good = 1;

    for (id = 2400; id < 2500; id++) {
        (void) admit(&b, id, &op);
        good &= replays(&op);
        ngx_free(op.delivery.stored.data);
    }

    ok(good, "100 deliveries are told in batches");
    ok(gateway_sound(&a), "the zone is sound");

    gateway_close(&a);
    gateway_close(&b);
}


/* A key that somebody else has written replays nothing. */

static void
test_hostile(void)
{
    gateway_t        a, b;
    ngx_phrony_op_t  op;

    gateway_open(&a, 1024 * 1024);
    gateway_open(&b, 1024 * 1024);

    (void) admit(&a, 250, &op);
    settle(&a, &op, NGX_PHRONY_RECEIPT_DONE);

    (void) gateway_tell("SETRANGE %s 90 x", key(250));
    (void) admit(&b, 250, &op);
    ok(proxies(&op, PHRONY_DUPLICATE_UNKNOWN) && gateway_is(&op, "local"),
       "an answer that is none is an error");
    settle(&b, &op, NGX_PHRONY_RECEIPT_FORGET);

    ask(&op, 250);
    op.local = 0;
    (void) gateway_admit(&b, &op);
    ok(op.failed && !op.granted && op.delivery.stored.len == 0,
       "or there is no answer");

    (void) gateway_tell("SET %s nonsense", key(250));
    (void) admit(&b, 250, &op);
    ok(proxies(&op, PHRONY_DUPLICATE_UNKNOWN) && gateway_is(&op, "local"),
       "so is what is no delivery");
    settle(&b, &op, NGX_PHRONY_RECEIPT_DONE);

    ok(loop_until(gateway_told, &b, 5000),
       "what cannot be told is not tried for ever");

    gateway_close(&a);
    gateway_close(&b);
}


/* What is no answer to a question about a delivery. */

static void
test_verdicts(void)
{
    phrony_delivery_mode_t  replay = PHRONY_DELIVERY_MODE_REPLAY;
    phrony_delivery_mode_t  notes = PHRONY_DELIVERY_MODE_ANNOTATE;

    ok(verdict(replay, 1, 0, NULL, 0), "new, granted");
    ok(verdict(replay, 0, 0, NULL, 0), "new, refused by a limit");
    ok(!verdict(replay, 3, 0, NULL, 0), "new cannot be blocked");
    ok(verdict(replay, 3, 1, NULL, 0), "in progress is");
    ok(!verdict(replay, 1, 1, NULL, 0), "and not granted");
    ok(!verdict(replay, 0, 1, NULL, 0), "nor refused by a limit");
    ok(verdict(notes, 1, 1, NULL, 0), "but where it is annotated");
    ok(verdict(replay, 1, 2, NULL, 0), "done, without answer, is granted");
    ok(verdict(replay, 3, 2, "\0\312\0\0{}", 6), "with it, it is blocked");
    ok(!verdict(replay, 1, 2, "\0\312\0\0{}", 6), "and not granted");
    ok(!verdict(replay, 3, 2, NULL, 0), "without it, not blocked");
    ok(!verdict(replay, 3, 2, "\0\312\0", 3), "a short answer is none");
    ok(!verdict(replay, 3, 2, "\0\1\0\0{}", 6), "nor one of status 1");
    ok(!verdict(replay, 3, 2, "\0\312\0\7{}", 6), "nor without its type");
    ok(!verdict(replay, 3, 2, "", 0), "nor an empty one");
    ok(!verdict(replay, 3, 1, "\0\312\0\0{}", 6), "what is not done has none");
    ok(!verdict(notes, 1, 2, "\0\312\0\0{}", 6), "nor what is annotated");
    ok(verdict(replay, 1, 3, NULL, 0), "unknown is granted");
    ok(!verdict(replay, 1, 4, NULL, 0), "new has no other body");
    ok(verdict(replay, 3, 7, NULL, 0), "unknown with another is blocked");
    ok(!verdict(replay, 3, 8, NULL, 0), "there is no state 8");
    ok(!verdict(replay, 3, -1, NULL, 0), "nor -1");
    ok(!verdict(replay, 1, INT64_MIN, NULL, 0), "nor less");
}


static int
verdict(phrony_delivery_mode_t mode, uint32_t state, int64_t seen,
    const char *text, size_t len)
{
    int                    i;
    phrony_resp_t          reply, elements[11];
    ngx_phrony_verdict_t   v;
    ngx_phrony_delivery_t  delivery;

    memset(&reply, 0, sizeof(reply));
    memset(elements, 0, sizeof(elements));
    memset(&delivery, 0, sizeof(delivery));

    delivery.mode = mode;

    for (i = 0; i < 10; i++) {
        elements[i].type = PHRONY_RESP_INTEGER;
    }

    elements[0].integer = 1;
    elements[1].integer = state;
    elements[9].integer = seen;
    elements[10].type = PHRONY_RESP_STRING;
    elements[10].str.data = (unsigned char *) text;
    elements[10].str.len = len;

    reply.type = PHRONY_RESP_ARRAY;
    reply.n = text ? 11 : 10;
    reply.elements = elements;

    if (ngx_phrony_verdict_parse(&v, &reply, 0) != NGX_OK) {
        return 0;
    }

    return ngx_phrony_verdict_delivery(&v, &reply, &delivery) == NGX_OK;
}


/* Where there is no memory, no delivery is done twice, and none is lost. */

static void
test_no_memory(void)
{
    int              good;
    long             n, seen;
    gateway_t        a, b;
    ngx_phrony_op_t  op;

    good = 1;
    seen = 1;

    for (n = 1; seen >= n && n < 200; n++) {
        gateway_open(&a, 256 * 1024);
        gateway_open(&b, 256 * 1024);

        fail_at(n);

        (void) admit(&a, 3000 + n, &op);
        good &= op.granted && op.delivery.claimed;
        settle(&a, &op, NGX_PHRONY_RECEIPT_DONE);

        seen = allocs();
        fail_at(-1);

        good &= loop_until(gateway_is_ready, &a, 10000)
                && loop_until(gateway_told, &a, 10000);
        gateway_rest(&a);

        (void) admit(&b, 3000 + n, &op);
        good &= replays(&op);
        ngx_free(op.delivery.stored.data);

        good &= gateway_sound(&a);

        gateway_close(&a);
        gateway_close(&b);
    }

    ok(n > 3 && n < 200, "%ld allocations fail, one each time", n - 1);
    ok(good, "each time a delivery is done once, and known elsewhere");
}


/* A start whose trigger and delivery are both "id". */

static void
ask(ngx_phrony_op_t *op, uint64_t id)
{
    ngx_phrony_delivery_t  *delivery;

    gateway_ask(op, id);

    delivery = &op->delivery;

    delivery->mode = PHRONY_DELIVERY_MODE_REPLAY;
    delivery->ttl = DELIVERY_TTL;
    memcpy(delivery->digest, &id, sizeof(id));
    memset(delivery->fingerprint, 0xf1, NGX_PHRONY_DIGEST_LEN);
}


static ngx_int_t
admit(gateway_t *g, uint64_t id, ngx_phrony_op_t *op)
{
    ask(op, id);

    return gateway_admit(g, op);
}


/*
 * What became of it, and Redis has answered, unless op->failed is set by the
 * test.  The answer is kept if op->data is.
 */

static void
settle(gateway_t *g, ngx_phrony_op_t *op, ngx_phrony_receipt_event_t event)
{
    unsigned char         buf[256];
    ngx_phrony_receipt_t  receipt;

    memset(&receipt, 0, sizeof(receipt));

    receipt.event = event;
    receipt.owner = op->delivery.owner;
    receipt.trigger_id = op->trigger_id;
    receipt.workspace_id = op->workspace_id;
    receipt.ttl = DELIVERY_TTL;
    memcpy(receipt.digest, op->delivery.digest, NGX_PHRONY_DIGEST_LEN);
    memcpy(receipt.fingerprint, op->delivery.fingerprint,
           NGX_PHRONY_DIGEST_LEN);

    if (event == NGX_PHRONY_RECEIPT_DONE && op->data) {
        receipt.stored.data = buf;
        receipt.stored.len = answer(buf);
    }

    g->store->deliver(g->store, &receipt);
    memset(&receipt, 0xa5, sizeof(receipt));

    if (!g->shared.teller->closed && !op->failed && gateway_is_ready(g)) {
        gateway_rest(g);
    }
}


static int
claims(ngx_phrony_op_t *op)
{
    return op->granted && op->leased && !op->failed
           && op->delivery.claimed
           && op->delivery.action == PHRONY_DELIVERY_ACTION_CLAIM
           && op->delivery.duplicate == PHRONY_DUPLICATE_NONE
           && op->delivery.stored.len == 0;
}


/* Those of unknown outcome claim, and no other. */

static int
proxies(ngx_phrony_op_t *op, phrony_duplicate_t duplicate)
{
    return op->granted && op->leased && !op->failed
           && op->delivery.claimed == (duplicate == PHRONY_DUPLICATE_UNKNOWN)
           && op->delivery.action == PHRONY_DELIVERY_ACTION_PROXY
           && op->delivery.duplicate == duplicate
           && op->delivery.stored.len == 0;
}


static int
blocks(ngx_phrony_op_t *op, phrony_delivery_action_t action)
{
    return !op->granted && !op->leased && !op->failed
           && !op->delivery.claimed
           && op->delivery.action == action
           && op->delivery.stored.len == 0;
}


static int
replays(ngx_phrony_op_t *op)
{
    size_t         len;
    unsigned char  buf[256];

    len = answer(buf);

    return !op->granted && !op->leased && !op->failed
           && !op->delivery.claimed
           && op->delivery.action == PHRONY_DELIVERY_ACTION_REPLAY
           && op->delivery.duplicate == PHRONY_DUPLICATE_DONE
           && op->delivery.stored.len == len
           && memcmp(op->delivery.stored.data, buf, len) == 0;
}


static size_t
answer(unsigned char *buf)
{
    phrony_stored_t  stored;

    stored.status = 202;
    stored.type = str("application/json");
    stored.body = str("{\"runId\": \"00000000-0000-4000-8000-000000000001\"}");

    return (size_t) (phrony_stored_pack(buf, &stored) - buf);
}


/* The key of a delivery; good until the next call. */

static const char *
key(uint64_t id)
{
    u_char           digest[2 * NGX_PHRONY_DIGEST_LEN + 1];
    ngx_phrony_op_t  op;
    static char      text[512];

    ask(&op, id);
    *ngx_hex_dump(digest, op.delivery.digest, NGX_PHRONY_DIGEST_LEN) = '\0';

    snprintf(text, sizeof(text), "%s:%s", gateway_key("delivery", id), digest);

    return text;
}


/* Nobody has settled the claim in time: asked by one who takes it over. */

static int
is_late(void *data)
{
    ngx_phrony_op_t  op;

    (void) admit(data, 155, &op);

    return proxies(&op, PHRONY_DUPLICATE_UNKNOWN);
}
