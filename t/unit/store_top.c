
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


/* sources: ngx_http_phrony_module/store/ ngx_http_phrony_module/redis/
            nginx */


#include "store.h"

#include "ngx_phrony_histogram.h"
#include "ngx_phrony_share.h"
#include "ngx_phrony_top.h"


/*
 * The triggers that are closest to a limit, against a model that sorts all of
 * those that were used last; and histograms, at their bounds.
 */


#define TRIGGERS  1500
#define HOLDERS   600       /* of these, each with a slot */
#define LOST      8


typedef struct {
    uint64_t    n;          /* the trigger */
    uint64_t    fill;
} model_t;


typedef struct {
    phrony_uuid_t          id;
    ngx_phrony_trigger_t  *trigger;
} lost_t;


static void test_nothing(void);
static void test_order(void);
static void test_moving(void);
static void test_shared(void);
static void test_windows(void);
static void test_histogram(void);
static void start(uint64_t n, unsigned times);
static void hold(uint64_t n);
static void look_up(void *data, ngx_phrony_top_entry_t *entry);
static void look_up_and_use(void *data, ngx_phrony_top_entry_t *entry);
static void look_up_and_lose(void *data, ngx_phrony_top_entry_t *entry);
static int falls(ngx_phrony_top_t *top);
static int twice(ngx_phrony_top_t *top);
static int by_fill(const void *a, const void *b);


static ngx_phrony_top_t  top;
static uint64_t          quota_of[TRIGGERS];
static ngx_uint_t        looked;
static lost_t            lost[LOST];
static ngx_uint_t        nlost;


int
main(void)
{
    is_int(sizeof(ngx_phrony_share_t) <= 256, 1, "a share fits 256 bytes");

    store_open(8 * 1024 * 1024);
    test_nothing();
    test_order();
    test_moving();
    ok(store_sound(), "every index agrees with the chains");
    store_close();

    store_open(4 * 1024 * 1024);
    test_shared();
    test_windows();
    ok(store_sound(), "every index agrees with the chains");
    store_close();

    test_histogram();

    return done();
}


static void
test_nothing(void)
{
    ngx_phrony_top(&zone, &top, NULL, NULL);

    is_int(top.n, 0, "an empty zone has none");
    is_int(top.held, 0, "and no slots");

    start(0, 3);
    ngx_phrony_top(&zone, &top, NULL, NULL);

    is_int(top.n, 0, "without a limit it is close to none");

    quota_of[0] = 0;
    ngx_phrony_top(&zone, &top, look_up, NULL);

    is_int(top.n, 0, "nothing of a limit of 0 is used");
}


/* Each trigger is used once or up to five times, of a quota of its own. */

static void
test_order(void)
{
    int             same;
    uint64_t        n, times;
    ngx_uint_t      i;
    static model_t  model[TRIGGERS];

    srandom(7);

    for (n = 0; n < TRIGGERS; n++) {
        times = 1 + (uint64_t) random() % 5;
        quota_of[n] = 10 + (uint64_t) random() % 4000;

        start(n, (unsigned) times);

        /* the very first had some before, but is too long ago */

        model[n].n = n;
        model[n].fill = (n < TRIGGERS - NGX_PHRONY_TOP_LOOK)
                        ? 0 : times * NGX_PHRONY_TOP_FULL / quota_of[n];
    }

    looked = 0;
    ngx_phrony_top(&zone, &top, look_up, NULL);

    is_int(looked, NGX_PHRONY_TOP_LOOK, "as many as are to be looked at");
    is_int(top.n, NGX_PHRONY_TOP_MAX, "of which some are the top");

    qsort(model, TRIGGERS, sizeof(model_t), by_fill);

    same = 1;

    for (i = 0; i < top.n; i++) {
        same &= (top.entries[i].fill == model[i].fill);
    }

    ok(same, "which are those of the model");
    ok(!falls(&top), "the closest first");
    ok(!twice(&top), "each of them once");
}


/* Others go on while we look: what was read last is used, or given up. */

static void
test_moving(void)
{
    uint64_t  n;

    for (n = 0; n < HOLDERS; n++) {
        hold(n);
    }

    looked = 0;
    ngx_phrony_top(&zone, &top, look_up, NULL);

    is_int(top.held, HOLDERS, "slots of all that are looked at");

    looked = 0;
    ngx_phrony_top(&zone, &top, look_up_and_use, NULL);

    is_int(looked, NGX_PHRONY_TOP_LOOK, "it goes on behind what has moved");
    is_int(top.held, HOLDERS, "no slot is counted twice, or left out");
    ok(!falls(&top), "the closest first");
    ok(!twice(&top), "each of them once");

    for (n = 0; n < HOLDERS; n++) {
        hold(n);
    }

    looked = 0;
    ngx_phrony_top(&zone, &top, look_up_and_lose, NULL);

    ok(nlost > 0, "some are gone while we look");
    is_int(looked, NGX_PHRONY_TOP_LOOK, "it goes on");
    is_int(top.held, 2 * HOLDERS, "all slots");
    ok(!twice(&top), "each of them once");

    while (nlost) {
        nlost--;
        lost[nlost].trigger->id = lost[nlost].id;
    }
}


/* Where Redis decides, the zone has the limits of the last op. */

static void
test_shared(void)
{
    phrony_uuid_t          id;
    ngx_phrony_op_t        op;
    ngx_phrony_share_t    *share;
    ngx_phrony_verdict_t   verdict;

    memset(&op, 0, sizeof(op));
    memset(&verdict, 0, sizeof(verdict));

    id = store_uuid(1);
    op.trigger_id = id;
    op.reservation_ttl = 1000;
    op.limits[PHRONY_LIMIT_RPM].set = 1;
    op.limits[PHRONY_LIMIT_RPM].quota = 8;
    op.limits[PHRONY_LIMIT_RPD].set = 1;
    op.limits[PHRONY_LIMIT_RPD].quota = INT64_MAX;
    op.limits[PHRONY_LIMIT_RUNS].set = 1;
    op.limits[PHRONY_LIMIT_RUNS].quota = 0;

    verdict.state = NGX_PHRONY_VERDICT_GRANTED;
    verdict.minute.sum = 6;
    verdict.day.sum = 60;
    verdict.held = 3;

    (void) ngx_phrony_zone_lock(&zone);
    ngx_phrony_share_mirror(&zone, &op, &verdict, zone.now);
    share = ngx_phrony_trigger_find(store_root(), &id)->share;

    is_int(ngx_phrony_share_quota(share, PHRONY_LIMIT_RPM), 8, "a limit");
    is_int(ngx_phrony_share_quota(share, PHRONY_LIMIT_RPD), UINT32_MAX - 1,
           "one that is too large to keep");
    is_int(ngx_phrony_share_quota(share, PHRONY_LIMIT_RUNS), 0, "one of 0");
    is_int(ngx_phrony_share_quota(share, PHRONY_LIMIT_READS), -1, "none");
    ngx_phrony_zone_unlock(&zone);

    memset(&op.limits, 0, sizeof(op.limits));
    op.read = 1;
    op.limits[PHRONY_LIMIT_READS].set = 1;
    op.limits[PHRONY_LIMIT_READS].quota = 12;
    verdict.minute.sum = 11;

    (void) ngx_phrony_zone_lock(&zone);
    ngx_phrony_share_mirror(&zone, &op, &verdict, zone.now);
    ngx_phrony_zone_unlock(&zone);

    ngx_phrony_top(&zone, &top, NULL, NULL);

    is_int(top.n, 1, "it is the top");
    is_int(top.held, 3, "slots that Redis holds");
    is_int(top.entries[0].quotas[PHRONY_LIMIT_RPM], 8,
           "a read leaves the limits of starts");
    is_int(top.entries[0].used[PHRONY_LIMIT_RPM], 6, "what is used of it");
    is_int(top.entries[0].used[PHRONY_LIMIT_RPD], 60, "of that of the day");
    is_int(top.entries[0].used[PHRONY_LIMIT_RUNS], 3, "of that of runs");
    is_int(top.entries[0].used[PHRONY_LIMIT_READS], 11, "of that of reads");
    is_int(top.entries[0].fill, 11 * NGX_PHRONY_TOP_FULL / 12,
           "the fullest counts");
}


/* What has left the window is not used any more. */

static void
test_windows(void)
{
    phrony_uuid_t          id;
    ngx_phrony_trigger_t  *trigger;

    id = store_uuid(1);

    (void) ngx_phrony_zone_lock(&zone);
    trigger = ngx_phrony_trigger_find(store_root(), &id);
    trigger->share->quotas[PHRONY_LIMIT_RPD] = 101;
    ngx_phrony_zone_unlock(&zone);

    store_now += 62 * 1000;
    ngx_phrony_top(&zone, &top, NULL, NULL);

    is_int(top.entries[0].used[PHRONY_LIMIT_RPM], 0, "a minute later");
    is_int(top.entries[0].used[PHRONY_LIMIT_READS], 0, "reads, too");
    is_int(top.entries[0].used[PHRONY_LIMIT_RPD], 60, "not so the day's");
    is_int(top.entries[0].fill, 6000, "which is the fullest now");
}


static void
test_histogram(void)
{
    int                     right;
    uint64_t                bound;
    ngx_uint_t              i;
    ngx_phrony_histogram_t  h;

    memset(&h, 0, sizeof(h));
    right = 1;

    for (i = 0; i < NGX_PHRONY_HISTOGRAM_BOUNDS; i++) {
        bound = ngx_phrony_histogram_bounds[i];

        right &= (i == 0 || bound > ngx_phrony_histogram_bounds[i - 1]);

        ngx_phrony_histogram_add(&h, bound);
        ngx_phrony_histogram_add(&h, bound + 1);

        right &= (h.counts[i] == (i ? 2 : 1) && h.counts[i + 1] == 1);
    }

    ok(right, "a bound is the last that belongs to it");

    i = h.sum;
    ngx_phrony_histogram_add(&h, 0);
    is_int(h.counts[0], 2, "no time at all");
    is_int(h.sum, i, "adds nothing");

    ngx_phrony_histogram_add(&h, 90000000);
    is_int(h.counts[NGX_PHRONY_HISTOGRAM_BOUNDS], 2, "a long time");
    is_int(h.sum, i + 90000000, "adds up");

    bound = ngx_phrony_histogram_clock();
    ok(ngx_phrony_histogram_clock() - bound < 60000000, "the clock goes on");
}


static void
start(uint64_t n, unsigned times)
{
    ngx_phrony_op_t  op;

    while (times--) {
        memset(&op, 0, sizeof(op));
        op.read = 1;
        op.trigger_id = store_uuid(n);
        op.limits[PHRONY_LIMIT_READS].set = 1;
        op.limits[PHRONY_LIMIT_READS].quota = 1000000;

        (void) store->admit(store, &op);
    }
}


/* Takes a slot of the trigger. */

static void
hold(uint64_t n)
{
    ngx_phrony_op_t  op;

    memset(&op, 0, sizeof(op));
    op.trigger_id = store_uuid(n);
    op.reservation_ttl = 60000;
    op.limits[PHRONY_LIMIT_RUNS].set = 1;
    op.limits[PHRONY_LIMIT_RUNS].quota = 5;

    (void) store->admit(store, &op);
}


static void
look_up(void *data, ngx_phrony_top_entry_t *entry)
{
    uint64_t       n;
    phrony_uuid_t  id;

    looked++;

    for (n = 0; n < TRIGGERS; n++) {
        id = store_uuid(n);

        if (phrony_uuid_eq(&id, &entry->trigger_id)) {
            entry->quotas[PHRONY_LIMIT_READS] = (int64_t) quota_of[n];
            return;
        }
    }
}


static void
look_up_and_use(void *data, ngx_phrony_top_entry_t *entry)
{
    ngx_phrony_root_t  *root;

    look_up(data, entry);

    root = ngx_phrony_zone_lock(&zone);
    ngx_phrony_trigger_touch(root, ngx_phrony_trigger_find(root,
                                                     &entry->trigger_id));
    ngx_phrony_zone_unlock(&zone);
}


/* The last of each fifty has another id then: it is no longer found. */

static void
look_up_and_lose(void *data, ngx_phrony_top_entry_t *entry)
{
    ngx_phrony_trigger_t  *trigger;

    look_up(data, entry);

    if (looked % 50 || nlost == LOST) {
        return;
    }

    trigger = ngx_phrony_trigger_find(ngx_phrony_zone_lock(&zone),
                                      &entry->trigger_id);

    if (trigger->nleases == 0) {
        lost[nlost].trigger = trigger;
        lost[nlost++].id = trigger->id;
        trigger->id = store_uuid(TRIGGERS + nlost);
    }

    ngx_phrony_zone_unlock(&zone);
}


static int
falls(ngx_phrony_top_t *t)
{
    ngx_uint_t  i;

    for (i = 1; i < t->n; i++) {
        if (t->entries[i].fill > t->entries[i - 1].fill) {
            return 1;
        }
    }

    return 0;
}


static int
twice(ngx_phrony_top_t *t)
{
    ngx_uint_t  i, j;

    for (i = 0; i < t->n; i++) {
        for (j = 0; j < i; j++) {
            if (phrony_uuid_eq(&t->entries[i].trigger_id,
                               &t->entries[j].trigger_id))
            {
                return 1;
            }
        }
    }

    return 0;
}


static int
by_fill(const void *a, const void *b)
{
    const model_t  *one = a, *two = b;

    return (one->fill < two->fill) - (one->fill > two->fill);
}
