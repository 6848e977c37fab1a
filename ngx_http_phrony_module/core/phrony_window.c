
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "phrony_window.h"


static inline uint32_t *phrony_window_ring(phrony_window_t *window);
static void phrony_window_take(phrony_window_t *window,
    const phrony_window_shape_t *shape, uint32_t n);
static int64_t phrony_window_leaves(phrony_window_t *window,
    const phrony_window_shape_t *shape, uint64_t excess, uint64_t now);


const phrony_window_shape_t  phrony_window_minute = {
    PHRONY_MINUTE_PLACES,
    60 * 1000 / PHRONY_MINUTE_BUCKETS,
    60
};


const phrony_window_shape_t  phrony_window_day = {
    PHRONY_DAY_PLACES,
    86400 * 1000 / PHRONY_DAY_BUCKETS,
    86400
};


void
phrony_window_advance(phrony_window_t *window,
    const phrony_window_shape_t *shape, uint64_t now)
{
    uint32_t  place, *ring;
    uint64_t  bucket, left;

    bucket = now / shape->width;

    if (bucket <= window->bucket) {
        return;
    }

    ring = phrony_window_ring(window);
    left = bucket - window->bucket;

    if (window->sum == 0 || left >= shape->places) {

        if (window->sum) {
            memset(ring, 0, shape->places * sizeof(uint32_t));
            window->sum = 0;
        }

        window->span = 0;
        window->bucket = bucket;
        return;
    }

    window->span += (uint32_t) left;

    if (window->span >= shape->places) {
        window->span = shape->places - 1;
    }

    place = (uint32_t) (window->bucket % shape->places);

    while (left--) {
        place = (place + 1 == shape->places) ? 0 : place + 1;

        window->sum -= ring[place];
        ring[place] = 0;
    }

    window->bucket = bucket;
}


void
phrony_window_repair(phrony_window_t *window,
    const phrony_window_shape_t *shape)
{
    uint32_t   i;
    uint64_t   sum;
    uint32_t  *ring;

    ring = phrony_window_ring(window);

    sum = 0;

    for (i = 0; i < shape->places; i++) {
        sum += ring[i];
    }

    window->sum = (sum < UINT32_MAX) ? (uint32_t) sum : UINT32_MAX;
    window->span = shape->places - 1;
}


int
phrony_window_admits(const phrony_window_t *window, int64_t limit)
{
    return limit < 0 || window->sum < (uint64_t) limit;
}


void
phrony_window_count(phrony_window_t *window,
    const phrony_window_shape_t *shape)
{
    if (window->sum == UINT32_MAX) {
        return;
    }

    phrony_window_ring(window)[window->bucket % shape->places]++;
    window->sum++;
}


int64_t
phrony_window_remaining(const phrony_window_t *window, int64_t limit)
{
    if (limit < 0 || window->sum >= (uint64_t) limit) {
        return 0;
    }

    return limit - (int64_t) window->sum;
}


int64_t
phrony_window_wait(phrony_window_t *window,
    const phrony_window_shape_t *shape, int64_t limit, uint64_t now)
{
    if (phrony_window_admits(window, limit)) {
        return 0;
    }

    if (limit == 0) {
        return PHRONY_NO_WAIT;
    }

    return phrony_window_leaves(window, shape,
                                window->sum - (uint64_t) limit + 1, now);
}


int64_t
phrony_window_reset(phrony_window_t *window,
    const phrony_window_shape_t *shape, int64_t limit, uint64_t now)
{
    if (window->sum == 0 || limit == 0) {
        return PHRONY_NO_WAIT;
    }

    if (!phrony_window_admits(window, limit)) {
        return phrony_window_wait(window, shape, limit, now);
    }

    return phrony_window_leaves(window, shape, 1, now);
}


/*
 * Milliseconds until the oldest "excess" events (1 to the sum) have left.
 * Empty buckets before the oldest event are looked at once, and then not
 * again, so that this costs no walk along the ring for each request.
 */

static int64_t
phrony_window_leaves(phrony_window_t *window,
    const phrony_window_shape_t *shape, uint64_t excess, uint64_t now)
{
    uint32_t         place, back;
    uint64_t         gone, leaves;
    const uint32_t  *ring;

    ring = phrony_window_ring(window);
    gone = 0;

    place = (uint32_t) ((window->bucket + shape->places - window->span)
                        % shape->places);

    for (back = window->span; back; back--) {
        gone += ring[place];

        if (gone >= excess) {
            break;
        }

        if (gone == 0) {
            window->span = back - 1;
        }

        place = (place + 1 == shape->places) ? 0 : place + 1;
    }

    /* the bucket "back" before the newest leaves when that many are past */

    leaves = (window->bucket - back + shape->places) * shape->width;

    return leaves > now ? (int64_t) (leaves - now) : 0;
}


void
phrony_window_level(phrony_window_t *window,
    const phrony_window_shape_t *shape, uint32_t sum)
{
    if (window->sum < sum) {
        phrony_window_add(window, shape, 0, sum - window->sum);
        return;
    }

    if (window->sum > sum) {
        phrony_window_take(window, shape, window->sum - sum);
    }
}


static void
phrony_window_take(phrony_window_t *window,
    const phrony_window_shape_t *shape, uint32_t n)
{
    uint32_t  place, left, taken, *ring;

    ring = phrony_window_ring(window);

    place = (uint32_t) ((window->bucket + shape->places - window->span)
                        % shape->places);

    for (left = window->span + 1; n && left; left--) {
        taken = (ring[place] < n) ? ring[place] : n;

        ring[place] -= taken;
        window->sum -= taken;
        n -= taken;

        place = (place + 1 == shape->places) ? 0 : place + 1;
    }
}


uint32_t
phrony_window_past(const phrony_window_t *window,
    const phrony_window_shape_t *shape, uint32_t back)
{
    const uint32_t  *ring;

    if (back > window->bucket) {
        return 0;
    }

    ring = (const uint32_t *) (window + 1);

    return ring[(window->bucket - back) % shape->places];
}


void
phrony_window_add(phrony_window_t *window,
    const phrony_window_shape_t *shape, uint32_t back, uint32_t n)
{
    if (back > window->bucket) {
        return;
    }

    if (n > UINT32_MAX - window->sum) {
        n = UINT32_MAX - window->sum;
    }

    phrony_window_ring(window)[(window->bucket - back) % shape->places] += n;
    window->sum += n;

    if (back > window->span) {
        window->span = back;
    }
}


static inline uint32_t *
phrony_window_ring(phrony_window_t *window)
{
    return (uint32_t *) (window + 1);
}
