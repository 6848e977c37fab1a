
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef PHRONY_WINDOW_H_
#define PHRONY_WINDOW_H_


#include "phrony_str.h"


/*
 * A rolling window counts events in buckets of time.  An event at time t,
 * in milliseconds, falls into bucket t / width and leaves the window when the
 * bucket that is "buckets" later has passed: not before "length" and at most
 * one bucket's width after it.  So the ring has one place more than there are
 * buckets in the window's length:
 *
 *        oldest                                newest
 *     +----+----+----+----+-- - - --+----+----+----+
 *     | b-n|    |    |    |         |    | b-1|  b |     b = now / width
 *     +----+----+----+----+-- - - --+----+----+----+
 *      \________________ n + 1 places ____________/
 *
 * and the events of every interval of "length" are always within the sum.
 */

#define PHRONY_MINUTE_BUCKETS  60
#define PHRONY_DAY_BUCKETS     96

#define PHRONY_MINUTE_PLACES   (PHRONY_MINUTE_BUCKETS + 1)
#define PHRONY_DAY_PLACES      (PHRONY_DAY_BUCKETS + 1)

#define PHRONY_NO_WAIT         -1


PHRONY_HIDDEN_BEGIN


typedef struct {
    uint32_t           places;      /* length of the ring */
    uint32_t           width;       /* of a bucket, milliseconds */
    uint32_t           seconds;     /* length of the window */
} phrony_window_shape_t;


extern const phrony_window_shape_t  phrony_window_minute;
extern const phrony_window_shape_t  phrony_window_day;


/*
 * The state: the newest bucket's number, the sum of the ring, how many
 * buckets before the newest one events may still be counted, and behind
 * them, in the same memory, the ring: shape->places counters, bucket b at
 * place b % places.  All zero is a window in which nothing happened.  "sum"
 * and "span" only index the ring and can be made anew from it.  A window
 * that counts 2^32 - 1 events counts no more.
 */

typedef struct {
    uint64_t           bucket;
    uint32_t           sum;
    uint32_t           span;
} phrony_window_t;


typedef struct {
    phrony_window_t    window;
    uint32_t           ring[PHRONY_MINUTE_PLACES];
} phrony_window_minute_t;


typedef struct {
    phrony_window_t    window;
    uint32_t           ring[PHRONY_DAY_PLACES];
} phrony_window_day_t;


/*
 * Moves the window on to "now" (milliseconds of a clock that does not step
 * back; an earlier "now" than the last counts as the last) and forgets the
 * buckets that have left.
 */

void phrony_window_advance(phrony_window_t *window,
    const phrony_window_shape_t *shape, uint64_t now);


/* Makes the indices anew from the ring, after a writer died amidst them. */

void phrony_window_repair(phrony_window_t *window,
    const phrony_window_shape_t *shape);


/*
 * The following ask about, or change, a window that was advanced to "now".
 */

/* Returns 1 if one more event is within "limit" (negative: none), else 0. */

int phrony_window_admits(const phrony_window_t *window, int64_t limit);

/* Counts one event, now. */

void phrony_window_count(phrony_window_t *window,
    const phrony_window_shape_t *shape);

/* How many more events the limit admits: 0 or more. */

int64_t phrony_window_remaining(const phrony_window_t *window, int64_t limit);

/*
 * Milliseconds until one more event is admitted if nobody else's is; 0 if it
 * is now, PHRONY_NO_WAIT if it never will be (the limit is 0).
 */

int64_t phrony_window_wait(phrony_window_t *window,
    const phrony_window_shape_t *shape, int64_t limit, uint64_t now);

/*
 * Milliseconds until the oldest events leave, so that what remains of
 * "limit" grows; PHRONY_NO_WAIT if nothing is counted.
 */

int64_t phrony_window_reset(phrony_window_t *window,
    const phrony_window_shape_t *shape, int64_t limit, uint64_t now);

/*
 * Makes the window count "sum" events, as somebody else counted: those that
 * it lacks are counted now, those that are too many are taken from the oldest.
 */

void phrony_window_level(phrony_window_t *window,
    const phrony_window_shape_t *shape, uint32_t sum);

/*
 * Events in the bucket that is "back" buckets before the newest one, 0 to
 * shape->places - 1.
 */

uint32_t phrony_window_past(const phrony_window_t *window,
    const phrony_window_shape_t *shape, uint32_t back);

/*
 * Counts "n" events in that bucket, but no more than the window can count.
 */

void phrony_window_add(phrony_window_t *window,
    const phrony_window_shape_t *shape, uint32_t back, uint32_t n);


PHRONY_HIDDEN_END


#endif /* PHRONY_WINDOW_H_ */
