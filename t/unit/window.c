
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "test.h"

#include "phrony_window.h"


/*
 * The window against a slow obvious model: a list of the events' times, in
 * which each event is asked anew when it leaves.
 */


#define MAX_EVENTS  20000


typedef struct {
    const phrony_window_shape_t  *shape;
    size_t                        n;
    uint64_t                      events[MAX_EVENTS];
} model_t;


typedef union {
    phrony_window_t               window;
    phrony_window_minute_t        minute;
    phrony_window_day_t           day;
} any_window_t;


static void test_shapes(void);
static void test_edges(const phrony_window_shape_t *shape, const char *name);
static void test_limits(void);
static void test_lowered_limit(void);
static void test_clock(void);
static void test_repair(void);
static void test_exhaustive(void);
static void test_random(const phrony_window_shape_t *shape, uint64_t step,
    const char *name);
static void test_greedy(const phrony_window_shape_t *shape, int64_t limit,
    const char *name);
static void test_level(const phrony_window_shape_t *shape, const char *name);
static void test_add(const phrony_window_shape_t *shape, const char *name);
static int agrees(any_window_t *w, model_t *model, uint64_t now,
    int64_t limit);
static uint64_t leaves(const phrony_window_shape_t *shape, uint64_t event);
static uint64_t model_count(model_t *model, uint64_t now);
static int64_t model_wait(model_t *model, int64_t limit, uint64_t now);
static int64_t model_reset(model_t *model, int64_t limit, uint64_t now);


static model_t  model;


int
main(void)
{
    test_shapes();
    test_edges(&phrony_window_minute, "minute");
    test_edges(&phrony_window_day, "day");
    test_limits();
    test_lowered_limit();
    test_clock();
    test_repair();
    test_exhaustive();

    test_random(&phrony_window_minute, 1, "minute, dense");
    test_random(&phrony_window_minute, 700, "minute");
    test_random(&phrony_window_minute, 30000, "minute, sparse");
    test_random(&phrony_window_day, 100000, "day");
    test_random(&phrony_window_day, 20000000, "day, sparse");

    test_greedy(&phrony_window_minute, 60, "minute");
    test_greedy(&phrony_window_minute, 7, "minute, few");
    test_greedy(&phrony_window_day, 500, "day");

    test_level(&phrony_window_minute, "minute");
    test_level(&phrony_window_day, "day");
    test_add(&phrony_window_minute, "minute");
    test_add(&phrony_window_day, "day");

    return done();
}


static void
test_shapes(void)
{
    is_int(phrony_window_minute.width, 1000, "a minute's bucket is 1 s");
    is_int(phrony_window_minute.seconds, 60, "a minute has 60 s");
    is_int(phrony_window_minute.places, 61, "60 buckets and one");
    is_int(phrony_window_day.width, 900000, "a day's bucket is 900 s");
    is_int(phrony_window_day.seconds, 86400, "a day has 86400 s");
    is_int(phrony_window_day.places, 97, "96 buckets and one");
}


/* One event, at each offset in a bucket that matters. */

static void
test_edges(const phrony_window_shape_t *shape, const char *name)
{
    size_t         i;
    uint64_t       base, length, event, offsets[4], end;
    any_window_t   w;

    length = (uint64_t) shape->seconds * 1000;
    base = 1000 * length;

    offsets[0] = 0;
    offsets[1] = 1;
    offsets[2] = shape->width / 2;
    offsets[3] = shape->width - 1;

    for (i = 0; i < 4; i++) {
        memset(&w, 0, sizeof(w));

        event = base + offsets[i];

        phrony_window_advance(&w.window, shape, event);
        phrony_window_count(&w.window, shape);

        phrony_window_advance(&w.window, shape, event + length - 1);
        ok(!phrony_window_admits(&w.window, 1),
           "%s, offset %llu: within the length", name,
           (unsigned long long) offsets[i]);

        phrony_window_advance(&w.window, shape, event + length);
        ok(!phrony_window_admits(&w.window, 1),
           "%s, offset %llu: not before the length", name,
           (unsigned long long) offsets[i]);

        end = base + length + shape->width;

        phrony_window_advance(&w.window, shape, end - 1);
        ok(!phrony_window_admits(&w.window, 1),
           "%s, offset %llu: to the end of the bucket", name,
           (unsigned long long) offsets[i]);

        phrony_window_advance(&w.window, shape, end);
        ok(phrony_window_admits(&w.window, 1),
           "%s, offset %llu: left one bucket later", name,
           (unsigned long long) offsets[i]);
    }
}


static void
test_limits(void)
{
    any_window_t                  w;
    const phrony_window_shape_t  *shape = &phrony_window_minute;

    memset(&w, 0, sizeof(w));

    phrony_window_advance(&w.window, shape, 5000500);

    ok(phrony_window_admits(&w.window, -1), "no limit admits");
    ok(!phrony_window_admits(&w.window, 0), "0 admits nothing");
    is_int(phrony_window_wait(&w.window, shape, 0, 5000500), PHRONY_NO_WAIT,
           "0 never will");
    is_int(phrony_window_reset(&w.window, shape, 0, 5000500), PHRONY_NO_WAIT,
           "0 never grows");
    is_int(phrony_window_remaining(&w.window, 0), 0, "0 leaves nothing");
    is_int(phrony_window_reset(&w.window, shape, 3, 5000500), PHRONY_NO_WAIT,
           "nothing counted, nothing grows");
    is_int(phrony_window_remaining(&w.window, 3), 3, "3 of 3 remain");

    phrony_window_count(&w.window, shape);

    is_int(phrony_window_remaining(&w.window, 3), 2, "2 of 3 remain");
    is_int(phrony_window_wait(&w.window, shape, 3, 5000500), 0, "no wait");
    is_int(phrony_window_reset(&w.window, shape, 3, 5000500), 60500,
           "the event leaves after 60.5 s");
    is_int(phrony_window_wait(&w.window, shape, 1, 5000500), 60500,
           "so long a limit of 1 waits");
    is_int(phrony_window_remaining(&w.window, 999999999999999),
           999999999999998, "a limit of 15 digits");
}


/* A limit that is lowered below the count waits for all that is too much. */

static void
test_lowered_limit(void)
{
    int                           i;
    any_window_t                  w;
    const phrony_window_shape_t  *shape = &phrony_window_minute;

    memset(&w, 0, sizeof(w));

    for (i = 0; i < 10; i++) {
        phrony_window_advance(&w.window, shape, 1000000 + i * 1000);
        phrony_window_count(&w.window, shape);
    }

    is_int(phrony_window_remaining(&w.window, 4), 0, "nothing remains");
    is_int(phrony_window_wait(&w.window, shape, 4, 1009000), 58000,
           "7 of 10 must leave");
    is_int(phrony_window_reset(&w.window, shape, 4, 1009000), 58000,
           "and then r grows");

    phrony_window_advance(&w.window, shape, 1009000 + 57999);
    ok(!phrony_window_admits(&w.window, 4), "not a millisecond earlier");

    phrony_window_advance(&w.window, shape, 1009000 + 58000);
    ok(phrony_window_admits(&w.window, 4), "but then");
}


static void
test_clock(void)
{
    any_window_t                  w;
    const phrony_window_shape_t  *shape = &phrony_window_minute;

    memset(&w, 0, sizeof(w));

    phrony_window_advance(&w.window, shape, 100000);
    phrony_window_count(&w.window, shape);
    phrony_window_advance(&w.window, shape, 40000);
    phrony_window_count(&w.window, shape);

    is_int(w.window.bucket, 100, "an earlier time counts as the last");
    is_int(w.window.sum, 2, "and what is counted stands");

    phrony_window_advance(&w.window, shape, UINT64_MAX / 2);
    is_int(w.window.sum, 0, "a far later time forgets all");

    w.minute.ring[w.window.bucket % 61] = UINT32_MAX;
    w.window.sum = UINT32_MAX;
    phrony_window_count(&w.window, shape);
    is_int(w.window.sum, UINT32_MAX, "a full counter does not turn to 0");
}


static void
test_repair(void)
{
    any_window_t                  w;
    const phrony_window_shape_t  *shape = &phrony_window_day;

    memset(&w, 0, sizeof(w));

    phrony_window_advance(&w.window, shape, 900000000);
    phrony_window_count(&w.window, shape);
    phrony_window_advance(&w.window, shape, 905000000);
    phrony_window_count(&w.window, shape);

    w.window.sum = 77;
    phrony_window_repair(&w.window, shape);
    is_int(w.window.sum, 2, "the sum is made anew");
}


/* A small shape, and every schedule of eight steps of three lengths. */

static void
test_exhaustive(void)
{
    int                    schedule, i, step, rest, good;
    uint64_t               now;
    any_window_t           w;
    static const uint64_t  steps[] = { 3, 10, 31 };
    phrony_window_shape_t  shape = { 4, 10, 0 };

    good = 1;

    for (schedule = 0; schedule < 6561 * 2; schedule++) {
        memset(&w, 0, sizeof(w));
        model.shape = &shape;
        model.n = 0;

        now = 1000 + schedule % 10;
        rest = schedule;

        for (i = 0; i < 8; i++) {
            step = rest % 3;
            rest /= 3;
            now += steps[step];

            phrony_window_advance(&w.window, &shape, now);
            good &= agrees(&w, &model, now, 1 + i % 3);

            phrony_window_count(&w.window, &shape);
            model.events[model.n++] = now;
            good &= agrees(&w, &model, now, 1 + i % 4);
        }
    }

    ok(good, "every schedule of eight steps agrees with the model");
}


static void
test_random(const phrony_window_shape_t *shape, uint64_t step,
    const char *name)
{
    int           i, good;
    int64_t       limit;
    uint64_t      now;
    any_window_t  w;

    memset(&w, 0, sizeof(w));
    model.shape = shape;
    model.n = 0;

    now = 123456789;
    good = 1;

    for (i = 0; i < 4000; i++) {
        now += random_below(step * 2 + 1);

        if (random_below(200) == 0) {
            now += (uint64_t) shape->seconds * 1000 * random_below(3);
        }

        limit = (int64_t) random_below(50);

        phrony_window_advance(&w.window, shape, now);
        good &= agrees(&w, &model, now, limit);

        if (random_below(4)) {
            phrony_window_count(&w.window, shape);
            model.events[model.n++] = now;
            good &= agrees(&w, &model, now, limit);
        }
    }

    ok(good, "%s: 4000 random steps agree with the model", name);
}


/*
 * A client that always asks: never more than the limit in any interval of
 * the window's length, and at least 98 % of it in the long run.
 */

static void
test_greedy(const phrony_window_shape_t *shape, int64_t limit,
    const char *name)
{
    size_t        i;
    int64_t       most;
    uint64_t      now, length, tick, begin;
    any_window_t  w;

    memset(&w, 0, sizeof(w));
    model.n = 0;

    length = (uint64_t) shape->seconds * 1000;
    tick = shape->width / 7;
    begin = 77 * length + 123;

    for (now = begin; now < begin + 20 * length; now += tick) {
        phrony_window_advance(&w.window, shape, now);

        while (phrony_window_admits(&w.window, limit)) {
            phrony_window_count(&w.window, shape);
            model.events[model.n++] = now;
        }
    }

    most = 0;

    for (i = 0; i + (size_t) limit < model.n; i++) {
        if (model.events[i + (size_t) limit] - model.events[i] < length) {
            most++;
        }
    }

    is_int(most, 0, name);
    ok(model.n * 100 >= (size_t) limit * 20 * 98,
       "%s: %zu of %lld, at least 98 %%", name, model.n,
       (long long) limit * 20);
}


/* What is too much leaves first, what lacks happens now. */

static void
test_level(const phrony_window_shape_t *shape, const char *name)
{
    int           good;
    unsigned      i;
    uint32_t      sum;
    uint64_t      now;
    any_window_t  w;

    memset(&w, 0, sizeof(w));
    model.shape = shape;
    model.n = 0;
    now = (uint64_t) 1 << 40;
    good = 1;

    for (i = 0; i < 2000 && good; i++) {
        now += random_below(3 * shape->width);

        phrony_window_advance(&w.window, shape, now);

        sum = random_below(20);

        while (model.n && (leaves(shape, model.events[0]) <= now
                           || model.n > sum))
        {
            model.n--;
            memmove(model.events, &model.events[1],
                    model.n * sizeof(uint64_t));
        }

        while (model.n < sum) {
            model.events[model.n++] = now;
        }

        phrony_window_level(&w.window, shape, sum);

        good = agrees(&w, &model, now, random_below(25));
    }

    ok(good, "%s: levelled as the model", name);

    phrony_window_level(&w.window, shape, UINT32_MAX);
    phrony_window_level(&w.window, shape, UINT32_MAX);
    is_int(w.window.sum, UINT32_MAX, "levelled to the most that is counted");
    phrony_window_level(&w.window, shape, 0);
    is_int(w.window.sum, 0, "and to nothing");
    phrony_window_repair(&w.window, shape);
    is_int(w.window.sum, 0, "of which nothing is left in the ring");
}


/* A window's buckets, added to another one, make it the same. */

static void
test_add(const phrony_window_shape_t *shape, const char *name)
{
    int           good;
    unsigned      i;
    uint32_t      back, n;
    uint64_t      now, sum;
    any_window_t  from, to;

    now = (uint64_t) 1 << 40;
    memset(&from, 0, sizeof(from));

    good = 1;

    for (i = 0; i < 300 && good; i++) {
        now += random_below(2 * shape->width);

        phrony_window_advance(&from.window, shape, now);
        phrony_window_count(&from.window, shape);

        memset(&to, 0, sizeof(to));
        phrony_window_advance(&to.window, shape, now);

        sum = 0;

        for (back = 0; back < shape->places; back++) {
            n = phrony_window_past(&from.window, shape, back);
            sum += n;

            if (n) {
                phrony_window_add(&to.window, shape, back, n);
            }
        }

        good = sum == from.window.sum
               && to.window.sum == from.window.sum
               && phrony_window_reset(&to.window, shape, 1000, now)
                  == phrony_window_reset(&from.window, shape, 1000, now)
               && phrony_window_wait(&to.window, shape, sum / 2 + 1, now)
                  == phrony_window_wait(&from.window, shape, sum / 2 + 1,
                                        now);
    }

    ok(good, "%s: added bucket by bucket", name);

    memset(&to, 0, sizeof(to));
    phrony_window_add(&to.window, shape, 1, 5);
    is_int(to.window.sum, 0, "nothing happened before time began");
    is_int(phrony_window_past(&to.window, shape, 1), 0, "as it says");

    phrony_window_advance(&to.window, shape, now);
    phrony_window_add(&to.window, shape, 1, UINT32_MAX - 1);
    phrony_window_add(&to.window, shape, 0, 5);
    is_int(to.window.sum, UINT32_MAX, "a full window takes no more");
    is_int(phrony_window_past(&to.window, shape, 0), 1, "than it can count");
}


static int
agrees(any_window_t *w, model_t *m, uint64_t now, int64_t limit)
{
    int64_t   wait, reset, remaining;
    uint64_t  count;

    count = model_count(m, now);
    remaining = (limit > (int64_t) count) ? limit - (int64_t) count : 0;

    wait = phrony_window_wait(&w->window, m->shape, limit, now);
    reset = phrony_window_reset(&w->window, m->shape, limit, now);

    if (w->window.sum == count
        && phrony_window_admits(&w->window, limit) == ((int64_t) count < limit)
        && phrony_window_remaining(&w->window, limit) == remaining
        && wait == model_wait(m, limit, now)
        && reset == model_reset(m, limit, now))
    {
        return 1;
    }

    printf("# at %llu, limit %lld: sum %llu, model %llu; wait %lld, "
           "model %lld; reset %lld, model %lld\n",
           (unsigned long long) now, (long long) limit,
           (unsigned long long) w->window.sum, (unsigned long long) count,
           (long long) wait, (long long) model_wait(m, limit, now),
           (long long) reset, (long long) model_reset(m, limit, now));

    return 0;
}


static uint64_t
leaves(const phrony_window_shape_t *shape, uint64_t event)
{
    return (event / shape->width + shape->places) * shape->width;
}


static uint64_t
model_count(model_t *m, uint64_t now)
{
    size_t    i;
    uint64_t  n;

    n = 0;

    for (i = 0; i < m->n; i++) {
        n += leaves(m->shape, m->events[i]) > now;
    }

    return n;
}


/* Tries the times at which events leave, in order. */

static int64_t
model_wait(model_t *m, int64_t limit, uint64_t now)
{
    size_t    i;
    uint64_t  at;

    if ((int64_t) model_count(m, now) < limit) {
        return 0;
    }

    for (i = 0; i < m->n; i++) {
        at = leaves(m->shape, m->events[i]);

        if (at > now && (int64_t) model_count(m, at) < limit) {
            return (int64_t) (at - now);
        }
    }

    return PHRONY_NO_WAIT;
}


static int64_t
model_reset(model_t *m, int64_t limit, uint64_t now)
{
    size_t    i;
    uint64_t  at;

    if ((int64_t) model_count(m, now) >= limit) {
        return (limit && model_count(m, now)) ? model_wait(m, limit, now)
                                              : PHRONY_NO_WAIT;
    }

    for (i = 0; i < m->n; i++) {
        at = leaves(m->shape, m->events[i]);

        if (at > now) {
            return (int64_t) (at - now);
        }
    }

    return PHRONY_NO_WAIT;
}
