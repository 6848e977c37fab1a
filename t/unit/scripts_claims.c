
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


/* sources: ngx_http_phrony_module/store/ ngx_http_phrony_module/redis/
   nginx */


#include "store.h"
#include "ngx_phrony_delivery.h"
#include "ngx_phrony_notice.h"
#include "script.h"


/*
 * One semantics of deliveries: the same starts and receipts at the same times
 * go to the memory store and to the scripts on a real Redis, and what each
 * start is to become is compared.
 */


#define STEPS        20000
#define IDS          5
#define CLAIMS       8
#define RESERVATION  5000
#define TTL          30000

#define WINDOW  "phrony:{w}:window:t"
#define RUNS    "phrony:{w}:runs:t"


/* A claim that somebody is still to settle. */

typedef struct {
    unsigned         id;
    char             body;
    phrony_uuid_t    owner;
} claim_t;


static int step_start(void);
static void ask_script(ngx_phrony_op_t *op, script_reply_t *reply,
    unsigned id);
static int same_decision(ngx_phrony_op_t *op, script_reply_t *reply);
static int step_settle(void);
static void remember(unsigned id, ngx_phrony_op_t *op);
static void dates(unsigned id);
static const char *key(unsigned id);
static int same(const char *what, int64_t script, int64_t memory);
static void pass(uint64_t ms);


static claim_t    claims[CLAIMS];
static unsigned   nclaims;
static uint64_t   expires[IDS];     /* of the keys; 0: there is none */
static unsigned   step;
static unsigned   seen[16], answers;


int
main(void)
{
    int       good;
    unsigned  i;

    script_open();

    store_open(8 * 1024 * 1024);
    store_now = script_now;

    good = 1;

    for (step = 0; step < STEPS && good; step++) {

        pass(random_below(3) ? random_below(50) : random_below(1500));

        if (random_below(100) == 0) {
            pass(random_below(2 * TTL));
        }

        good = random_below(3) ? step_start() : step_settle();
    }

    ok(good, "%u random steps, and each start is decided on alike", step);

    for (i = 0; i < 4; i++) {
        ok(seen[i] > STEPS / 200 && (i == 0 || seen[4 + i] > STEPS / 200),
           "%u and %u in state %u", seen[i], seen[4 + i], i);
    }

    ok(answers > STEPS / 200, "%u answers are the same", answers);
    ok(store_sound(), "every index of the memory store is sound");

    store_close();

    return done();
}


static int
step_start(void)
{
    int                     good;
    unsigned                id;
    script_reply_t          reply;
    ngx_phrony_op_t         op;
    ngx_phrony_delivery_t  *delivery;

    id = random_below(IDS);

    memset(&op, 0, sizeof(op));

    op.trigger_id = store_uuid(1);
    op.reservation_ttl = RESERVATION;
    op.limits[PHRONY_LIMIT_RPM].set = 1;
    op.limits[PHRONY_LIMIT_RPM].quota = 20 + random_below(20);

    delivery = &op.delivery;

    delivery->mode = random_below(4) ? PHRONY_DELIVERY_MODE_REPLAY
                                     : PHRONY_DELIVERY_MODE_ANNOTATE;
    delivery->ttl = TTL;
    memset(delivery->digest, (int) id, NGX_PHRONY_DIGEST_LEN);
    memset(delivery->fingerprint, random_below(4) ? 'x' : 'y',
           NGX_PHRONY_DIGEST_LEN);

    if (store->admit(store, &op) != NGX_OK) {
        abort();
    }

    ask_script(&op, &reply, id);

    good = same_decision(&op, &reply);

    if (delivery->claimed) {
        remember(id, &op);
    }

    ngx_free(delivery->stored.data);

    return good;
}


static void
ask_script(ngx_phrony_op_t *op, script_reply_t *reply, unsigned id)
{
    char           lease[40], quota[32], claim[NGX_PHRONY_NOTICE_CLAIM + 1];
    phrony_uuid_t  other;

    /* what was asked, not what was answered */

    ngx_phrony_delivery_t  question = op->delivery;

    const char  *argv[] = { WINDOW, RUNS, key(id), quota, "-1", "-1", "5000",
                            lease, claim, NULL };

    ngx_phrony_delivery_begin(&question);
    *ngx_phrony_notice_claim((u_char *) claim, &question) = '\0';

    other = store_uuid(random_bits());
    *phrony_uuid_format((unsigned char *) lease,
                        op->leased ? &op->lease_id : &other) = '\0';

    snprintf(quota, sizeof(quota), "%lld",
             (long long) op->limits[PHRONY_LIMIT_RPM].quota);

    script_run(reply, PHRONY_SCRIPT_ADMIT, 3, argv);
    dates(id);
}


static int
same_decision(ngx_phrony_op_t *op, script_reply_t *reply)
{
    int                          good, blocked;
    const char                  *stored;
    phrony_limit_t              *limit;
    ngx_phrony_delivery_t       *delivery;
    phrony_delivery_decision_t   decision;

    if (reply->n != 10) {
        printf("# at %u: %s\n", step, reply->error);
        return 0;
    }

    delivery = &op->delivery;
    limit = &op->limits[PHRONY_LIMIT_RPM];
    blocked = (reply->integers[1] == 3);
    stored = delivery->stored.len ? (char *) delivery->stored.data : "";

    seen[reply->integers[9]]++;
    answers += *reply->text != '\0';

    decision = phrony_delivery_decide(delivery->mode,
                        (phrony_delivery_state_t) (reply->integers[9] % 4),
                        reply->integers[9] < 4, *reply->text != '\0');

    good = same("blocked", blocked,
                (int) ngx_phrony_delivery_blocks(delivery));
    good &= same("granted", reply->integers[1] == 1, op->granted);
    good &= same("action", decision.action, delivery->action);
    good &= same("duplicate", decision.duplicate, delivery->duplicate);
    good &= same("answer", (int64_t) strlen(reply->text),
                 (int64_t) delivery->stored.len)
            && strncmp(reply->text, stored, delivery->stored.len) == 0;
    good &= same("remaining", ngx_max(limit->quota - reply->integers[2], 0),
                 limit->remaining);
    good &= same("reset", reply->integers[3], limit->reset);
    good &= same("refused", reply->integers[1] == 0, limit->refused);

    return good;
}


/* What became of a claim: in time, or late. */

static int
step_settle(void)
{
    char                   text[NGX_PHRONY_NOTICE_LEN + 1], answer[32];
    claim_t               *claim;
    script_reply_t         reply;
    ngx_phrony_notice_t    notice;
    ngx_phrony_receipt_t  *receipt;

    static const ngx_phrony_receipt_event_t  events[] = {
        NGX_PHRONY_RECEIPT_DONE, NGX_PHRONY_RECEIPT_DONE,
        NGX_PHRONY_RECEIPT_UNKNOWN, NGX_PHRONY_RECEIPT_FORGET
    };

    if (nclaims == 0) {
        return 1;
    }

    claim = &claims[random_below(nclaims)];

    memset(&notice, 0, sizeof(notice));

    receipt = &notice.of;

    receipt->event = events[random_below(4)];
    receipt->owner = claim->owner;
    receipt->trigger_id = store_uuid(1);
    receipt->ttl = TTL;
    memset(receipt->digest, (int) claim->id, NGX_PHRONY_DIGEST_LEN);
    memset(receipt->fingerprint, claim->body, NGX_PHRONY_DIGEST_LEN);

    *answer = '\0';

    if (receipt->event == NGX_PHRONY_RECEIPT_DONE && random_below(3)) {
        snprintf(answer, sizeof(answer), "of step %u", step);
    }

    receipt->stored.data = (u_char *) answer;
    receipt->stored.len = strlen(answer);

    store->deliver(store, receipt);

    *ngx_phrony_notice_write((u_char *) text, &notice) = '\0';

    const char  *argv[] = { key(claim->id), RUNS, text, answer, NULL };

    script_run(&reply, PHRONY_SCRIPT_DELIVER, 2, argv);
    dates(claim->id);

    *claim = claims[--nclaims];

    /* 2: another's answer counts */

    return same("version", reply.n == 1 ? reply.integers[0] != 2
                                          ? reply.integers[0] : 1 : -1, 1);
}


/* One that finds no place is never settled: its owner has died. */

static void
remember(unsigned id, ngx_phrony_op_t *op)
{
    claim_t  *claim;

    if (nclaims == CLAIMS) {
        nclaims = 0;
    }

    claim = &claims[nclaims++];

    claim->id = id;
    claim->body = (char) op->delivery.fingerprint[0];
    claim->owner = op->delivery.owner;
}


/* The key gets to live by this program's clock. */

static void
dates(unsigned id)
{
    long long  left;

    left = script_integer("PTTL %s", key(id));

    if (left == -2) {
        expires[id] = 0;

    } else if (left >= 0) {
        expires[id] = script_now + (uint64_t) (left + 999) / 1000 * 1000;
        (void) script_integer("PERSIST %s", key(id));
    }
}


static const char *
key(unsigned id)
{
    static char  text[64];

    snprintf(text, sizeof(text), "phrony:{w}:delivery:t:%u", id);

    return text;
}


static int
same(const char *what, int64_t script, int64_t memory)
{
    if (script == memory) {
        return 1;
    }

    printf("# step %u, at %llu: %s: script %lld, memory %lld\n", step,
           (unsigned long long) script_now, what, (long long) script,
           (long long) memory);

    return 0;
}


static void
pass(uint64_t ms)
{
    unsigned  id;

    store_now += ms;
    script_now = store_now;

    for (id = 0; id < IDS; id++) {

        if (expires[id] && expires[id] <= script_now) {
            (void) script_integer("DEL %s", key(id));
            expires[id] = 0;
        }
    }
}
