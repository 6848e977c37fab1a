
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


/* sources: ngx_http_phrony_module/store/ ngx_http_phrony_module/redis/
            nginx */


#include "store.h"


/*
 * The memory store against a slow obvious model, which keeps every start and
 * every run in a list and asks each of them anew.
 */


#define TRIGGERS      3
#define MAX_STARTS    60000
#define MAX_RUNS      60000
#define RESERVATION   5000
#define RUN_TTL       40000


typedef struct {
    unsigned       trigger;
    unsigned       read;
    uint64_t       at;
} start_t;


typedef struct {
    phrony_uuid_t  id;          /* of the lease, then of the run */
    unsigned       trigger;
    int            state;       /* phrony_lease_state_t */
    uint64_t       expires;
} run_t;


static void test_vectors(void);
static void test_early_end(void);
static void test_random(unsigned rounds);
static int step_start(void);
static int step_read(void);
static int step_settle(void);
static int step_see(void);
static void model_bind(run_t *lease, ngx_phrony_settlement_t *s,
    unsigned trigger);
static void model_see(run_t *run, phrony_lease_event_t event);
static run_t *model_find(phrony_uuid_t *id);
static uint64_t model_events(unsigned trigger, unsigned read,
    const phrony_window_shape_t *shape);
static uint64_t model_held(unsigned trigger);
static int compare(const char *what, int64_t got, int64_t want);
static void ask_start(ngx_phrony_op_t *op, unsigned trigger);


static start_t   starts[MAX_STARTS];
static size_t    nstarts;
static run_t     runs[MAX_RUNS];
static size_t    nruns;
static int64_t   rpm[TRIGGERS], rpd[TRIGGERS], conc[TRIGGERS], reads[TRIGGERS];
static uint64_t  next_run = 1000;


int
main(void)
{
    is_int(sizeof(ngx_phrony_trigger_t) <= 1024, 1, "a trigger fits 1 KiB");
    is_int(sizeof(ngx_phrony_run_t) <= 128, 1, "a run fits 128 bytes");

    store_open(4 * 1024 * 1024);
    test_vectors();
    test_early_end();
    store_close();

    store_open(16 * 1024 * 1024);
    test_random(20000);
    ok(store_sound(), "every index agrees with the chains");
    is_int(store_root()->exhausted, 0, "there was room all the time");
    store_close();

    return done();
}


static void
test_vectors(void)
{
    phrony_uuid_t            trigger, run;
    ngx_phrony_op_t          op, other;
    ngx_phrony_settlement_t  s;

    trigger = store_uuid(1);
    run = store_uuid(2);

    memset(&op, 0, sizeof(op));
    op.trigger_id = trigger;
    op.reservation_ttl = 2000;
    op.limits[PHRONY_LIMIT_RPM].set = 1;
    op.limits[PHRONY_LIMIT_RPM].quota = 3;
    op.limits[PHRONY_LIMIT_RUNS].set = 1;
    op.limits[PHRONY_LIMIT_RUNS].quota = 1;

    is_int(store->admit(store, &op), NGX_OK, "a start");
    ok(op.granted && op.leased, "is granted and holds a lease");
    is_int(op.limits[PHRONY_LIMIT_RPM].remaining, 2, "2 starts remain");
    is_int(op.limits[PHRONY_LIMIT_RUNS].remaining, 0, "no slot remains");

    other = op;
    is_int(store->admit(store, &other), NGX_OK, "another start");
    ok(!other.granted && !other.leased, "is refused");
    ok(other.limits[PHRONY_LIMIT_RUNS].refused
       && !other.limits[PHRONY_LIMIT_RPM].refused, "for its slot");
    is_int(other.limits[PHRONY_LIMIT_RPM].remaining, 2, "and counts nothing");
    is_int(other.limits[PHRONY_LIMIT_RUNS].wait, 0, "nor knows how long");

    memset(&s, 0, sizeof(s));
    s.event = PHRONY_LEASE_BIND;
    s.start = 1;
    s.leased = 1;
    s.lease_id = op.lease_id;
    s.has_run = 1;
    s.run_id = run;
    s.trigger_id = trigger;
    s.run_ttl = 10000;
    store->settle(store, &s);

    memset(&other.run_id, 0, sizeof(other.run_id));
    other.run_id = run;
    is_int(store->locate(store, &other), NGX_OK, "a lookup");
    ok(other.known && phrony_uuid_eq(&other.trigger_id, &trigger),
       "knows the run's trigger");

    store_now += 9999;
    other = op;
    (void) store->admit(store, &other);
    ok(!other.granted, "the bound run holds its slot");

    store_now += 1;
    other = op;
    (void) store->admit(store, &other);
    ok(other.granted, "until its lease has run out");

    s.event = PHRONY_LEASE_RELEASE;
    s.has_run = 0;
    s.lease_id = other.lease_id;
    store->settle(store, &s);
    store->settle(store, &s);
    is_int(store_root()->nleases, 0, "a release gives the slot back, once");

    other = op;
    (void) store->admit(store, &other);
    ok(other.granted, "and the next start takes it");

    s.event = PHRONY_LEASE_END;
    s.has_run = 1;
    s.lease_id = other.lease_id;
    s.run_id = store_uuid(3);
    store->settle(store, &s);
    is_int(store_root()->nleases, 0, "a start that has ended holds no slot");

    other.run_id = s.run_id;
    (void) store->locate(store, &other);
    ok(other.known, "but is known");

    other = op;
    (void) store->admit(store, &other);
    ok(!other.granted && other.limits[PHRONY_LIMIT_RPM].refused,
       "3 starts a minute are not 4");

    ok(store_sound(), "every index agrees with the chains");
}


/* An end that is seen before the start was settled, by whoever polls fast. */

static void
test_early_end(void)
{
    ngx_phrony_op_t          op;
    ngx_phrony_settlement_t  s;

    memset(&op, 0, sizeof(op));
    op.trigger_id = store_uuid(20);
    op.reservation_ttl = 2000;
    (void) store->admit(store, &op);

    memset(&s, 0, sizeof(s));
    s.event = PHRONY_LEASE_SEEN;
    s.has_run = 1;
    s.run_id = store_uuid(21);
    s.run_ttl = 10000;
    store->settle(store, &s);
    is_int(store_root()->nended, 1, "an unknown run that is seen stays so");

    s.event = PHRONY_LEASE_END;
    store->settle(store, &s);

    op.run_id = s.run_id;
    (void) store->locate(store, &op);
    ok(!op.known, "nobody knows whose a run is that was seen to end");

    s.event = PHRONY_LEASE_BIND;
    s.start = 1;
    s.leased = 1;
    s.lease_id = op.lease_id;
    s.trigger_id = op.trigger_id;
    store->settle(store, &s);
    is_int(store_root()->nleases, 0, "its start takes no slot any more");

    (void) store->locate(store, &op);
    ok(op.known && phrony_uuid_eq(&op.trigger_id, &s.trigger_id),
       "and says whose it is");
    ok(op.label->len == 6 && !memcmp(op.label->data, "memory", 6),
       "it is memory that answers");
}


static void
test_random(unsigned rounds)
{
    int       good;
    unsigned  i, t;

    for (t = 0; t < TRIGGERS; t++) {
        rpm[t] = 20;
        rpd[t] = 400;
        conc[t] = 5;
        reads[t] = 10;
    }

    good = 1;

    for (i = 0; i < rounds && good; i++) {

        store_now += random_below(2) ? random_below(30) : random_below(2500);

        if (random_below(500) == 0) {
            store_now += random_below(90000000);
        }

        if (random_below(100) == 0) {
            t = (unsigned) random_below(TRIGGERS);
            rpm[t] = (int64_t) random_below(40) - 1;
            rpd[t] = (int64_t) random_below(600) - 1;
            conc[t] = (int64_t) random_below(9) - 1;
        }

        switch (random_below(8)) {

        case 0: case 1: case 2:
            good = step_start();
            break;

        case 3:
            good = step_read();
            break;

        case 4: case 5:
            good = step_settle();
            break;

        default:
            good = step_see();
        }
    }

    ok(good, "%u random steps agree with the model", i);
    ok(nstarts > 2000 && nruns > 1000, "%zu starts and reads, %zu runs",
       nstarts, nruns);
}


static int
step_start(void)
{
    int              good, within_rpm, within_rpd, within_runs;
    run_t           *run;
    unsigned         t;
    uint64_t         minute, day, held;
    ngx_phrony_op_t  op;

    t = (unsigned) random_below(TRIGGERS);

    minute = model_events(t, 0, &phrony_window_minute);
    day = model_events(t, 0, &phrony_window_day);
    held = model_held(t);

    within_rpm = rpm[t] < 0 || (int64_t) minute < rpm[t];
    within_rpd = rpd[t] < 0 || (int64_t) day < rpd[t];
    within_runs = conc[t] < 0 || (int64_t) held < conc[t];

    ask_start(&op, t);

    good = compare("granted", op.granted,
                   within_rpm && within_rpd && within_runs);

    if (rpm[t] >= 0) {
        good &= compare("rpm refuses", op.limits[PHRONY_LIMIT_RPM].refused,
                        !within_rpm);
        good &= compare("rpm remaining",
                        op.limits[PHRONY_LIMIT_RPM].remaining,
                        ngx_max(rpm[t] - (int64_t) minute - op.granted, 0));
    }

    if (rpd[t] >= 0) {
        good &= compare("rpd refuses", op.limits[PHRONY_LIMIT_RPD].refused,
                        !within_rpd);
    }

    if (conc[t] >= 0) {
        good &= compare("runs refuse", op.limits[PHRONY_LIMIT_RUNS].refused,
                        !within_runs);
        good &= compare("runs remaining",
                        op.limits[PHRONY_LIMIT_RUNS].remaining,
                        ngx_max(conc[t] - (int64_t) held - op.granted, 0));
    }

    if (op.granted) {
        starts[nstarts].trigger = t;
        starts[nstarts].read = 0;
        starts[nstarts++].at = store_now;

        run = &runs[nruns++];
        run->id = op.lease_id;
        run->trigger = t;
        run->state = PHRONY_LEASE_RESERVED;
        run->expires = store_now + RESERVATION;
    }

    return good;
}


static int
step_read(void)
{
    int              good;
    unsigned         t;
    uint64_t         minute;
    ngx_phrony_op_t  op;

    t = (unsigned) random_below(TRIGGERS);
    minute = model_events(t, 1, &phrony_window_minute);

    memset(&op, 0, sizeof(op));
    op.trigger_id = store_uuid(t);
    op.read = 1;
    op.limits[PHRONY_LIMIT_READS].set = 1;
    op.limits[PHRONY_LIMIT_READS].quota = reads[t];

    (void) store->admit(store, &op);

    good = compare("read granted", op.granted, (int64_t) minute < reads[t]);
    good &= compare("reads remaining", op.limits[PHRONY_LIMIT_READS].remaining,
                    ngx_max(reads[t] - (int64_t) minute - op.granted, 0));

    if (op.granted) {
        starts[nstarts].trigger = t;
        starts[nstarts].read = 1;
        starts[nstarts++].at = store_now;
    }

    return good;
}


/* An answer to one of the latest starts. */

static int
step_settle(void)
{
    run_t                    *lease;
    ngx_phrony_settlement_t   s;

    if (nruns == 0) {
        return 1;
    }

    lease = &runs[nruns - 1 - random_below(ngx_min(nruns, 8))];

    memset(&s, 0, sizeof(s));
    s.start = 1;
    s.leased = 1;
    s.lease_id = lease->id;
    s.trigger_id = store_uuid(lease->trigger);
    s.run_ttl = RUN_TTL;

    switch (random_below(4)) {

    case 0:
        s.event = PHRONY_LEASE_RELEASE;
        break;

    case 1:
        s.event = PHRONY_LEASE_END;
        s.has_run = 1;
        break;

    default:
        s.event = PHRONY_LEASE_BIND;
        s.has_run = 1;
    }

    if (lease->state != PHRONY_LEASE_RESERVED) {

        /* a start is settled once */

        return 1;
    }

    /* some answers name a run that is known already */

    s.run_id = store_uuid(random_below(10) ? next_run++ : next_run - 1);

    store->settle(store, &s);

    if (s.has_run) {
        model_bind(lease, &s, lease->trigger);

    } else {
        lease->state = PHRONY_LEASE_FREE;
    }

    return random_below(50) ? 1 : store_sound();
}


static int
step_see(void)
{
    int                       good;
    run_t                    *run;
    ngx_phrony_op_t           op;
    ngx_phrony_settlement_t   s;

    memset(&s, 0, sizeof(s));
    s.event = random_below(3) ? PHRONY_LEASE_SEEN : PHRONY_LEASE_END;
    s.has_run = 1;
    s.run_id = store_uuid(next_run - 1 - random_below(12));
    s.run_ttl = RUN_TTL;

    run = model_find(&s.run_id);

    memset(&op, 0, sizeof(op));
    op.run_id = s.run_id;
    (void) store->locate(store, &op);

    good = compare("known", op.known, run != NULL);

    store->settle(store, &s);

    if (run) {
        model_see(run, s.event);
    }

    return good;
}


static void
model_bind(run_t *lease, ngx_phrony_settlement_t *s, unsigned trigger)
{
    run_t  *run;

    lease->state = PHRONY_LEASE_FREE;

    run = model_find(&s->run_id);

    if (run == NULL) {
        run = &runs[nruns++];
        run->id = s->run_id;
        run->trigger = trigger;
        run->state = PHRONY_LEASE_BOUND;
        run->expires = store_now + RUN_TTL;
    }

    model_see(run, s->event);
}


static void
model_see(run_t *run, phrony_lease_event_t event)
{
    if (event == PHRONY_LEASE_END) {
        run->state = PHRONY_LEASE_ENDED;
    }

    run->expires = store_now + RUN_TTL;
}


static run_t *
model_find(phrony_uuid_t *id)
{
    size_t  i;

    for (i = nruns; i > 0; i--) {
        if (runs[i - 1].state != PHRONY_LEASE_FREE
            && runs[i - 1].expires > store_now
            && phrony_uuid_eq(&runs[i - 1].id, id))
        {
            return &runs[i - 1];
        }
    }

    return NULL;
}


static uint64_t
model_events(unsigned trigger, unsigned read,
    const phrony_window_shape_t *shape)
{
    size_t    i;
    uint64_t  n, leaves;

    n = 0;

    for (i = 0; i < nstarts; i++) {
        leaves = (starts[i].at / shape->width + shape->places) * shape->width;

        n += starts[i].trigger == trigger && starts[i].read == read
             && leaves > store_now;
    }

    return n;
}


static uint64_t
model_held(unsigned trigger)
{
    size_t    i;
    uint64_t  n;

    n = 0;

    for (i = 0; i < nruns; i++) {
        n += runs[i].trigger == trigger
             && phrony_lease_holds_slot((phrony_lease_state_t) runs[i].state)
             && runs[i].expires > store_now;
    }

    return n;
}


static int
compare(const char *what, int64_t got, int64_t want)
{
    if (got == want) {
        return 1;
    }

    printf("# at %llu: %s: store %lld, model %lld\n",
           (unsigned long long) store_now, what, (long long) got,
           (long long) want);

    return 0;
}


static void
ask_start(ngx_phrony_op_t *op, unsigned trigger)
{
    memset(op, 0, sizeof(*op));

    op->trigger_id = store_uuid(trigger);
    op->reservation_ttl = RESERVATION;
    op->limits[PHRONY_LIMIT_RPM].set = rpm[trigger] >= 0;
    op->limits[PHRONY_LIMIT_RPM].quota = rpm[trigger];
    op->limits[PHRONY_LIMIT_RPD].set = rpd[trigger] >= 0;
    op->limits[PHRONY_LIMIT_RPD].quota = rpd[trigger];
    op->limits[PHRONY_LIMIT_RUNS].set = conc[trigger] >= 0;
    op->limits[PHRONY_LIMIT_RUNS].quota = conc[trigger];

    if (store->admit(store, op) != NGX_OK) {
        abort();
    }
}
