
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "lease.h"


/* More rounds of telling than there are things to tell of. */

#define ROUNDS  32


static int limit_holds(const state_t *s);
static int slots_stay(const state_t *s);
static unsigned live(const state_t *s, uint16_t *runs);
static int is_live(const state_t *s, unsigned i);
static int is_found(const state_t *s, unsigned i);
static unsigned run_of(const state_t *s, unsigned i);
static int nothing_returns(const state_t *s);
static int all_is_freed(const state_t *s);
static void deliver(state_t *s, unsigned w);
static int one_slot_each(const state_t *s);
static int again_is_nothing(const state_t *s);
static int all_is_given_back(const state_t *s);
static int slots_suffice(const state_t *s);
static int is_quiet(const state_t *s);


unsigned
invariant(const state_t *s, unsigned mask)
{
    unsigned  i;

    static int (*const  holds[])(const state_t *s) = {
        NULL, limit_holds, nothing_returns, all_is_freed, one_slot_each,
        again_is_nothing, all_is_given_back, slots_stay
    };

    for (i = 1; i < sizeof(holds) / sizeof(holds[0]); i++) {

        if ((mask & BIT(i)) && !holds[i](s)) {
            return i;
        }
    }

    return 0;
}


/* I1: unfinished runs and starts that Redis admitted are within the limit. */

static int
limit_holds(const state_t *s)
{
    uint16_t  runs;

    return live(s, &runs) <= setting->limit;
}


/* Returns how many there are; in "runs" are those that have begun. */

static unsigned
live(const state_t *s, uint16_t *runs)
{
    unsigned  i, n, excused;
    uint16_t  expired;

    *runs = 0;
    n = 0;
    expired = 0;

    for (i = 0; i < setting->starts; i++) {

        if (is_found(s, i)) {
            expired |= s->expired & (BIT(LEASE(i)) | BIT(RUN(run_of(s, i))));
        }

        if (!is_live(s, i)) {
            continue;
        }

        if (s->start[i].phase == PROXIED && s->run[i].truth == NEVER) {
            n++;
            continue;
        }

        *runs |= BIT(run_of(s, i));
    }

    n += redis_held(*runs);
    excused = redis_held(expired);

    return (n > excused) ? n - excused : 0;
}


/* The run that was named, or else that it may have begun. */

static unsigned
run_of(const state_t *s, unsigned i)
{
    const start_t  *st;

    st = &s->start[i];

    if (st->phase == SETTLED && st->outcome >= NAMED) {
        return st->outcome - NAMED;
    }

    return i;
}


/*
 * Starts whose run nobody has named, or who heard it died, or whose run was
 * found, where lists are read: their slots are each other's, and so is the
 * time that runs out.
 */

static int
is_found(const state_t *s, unsigned i)
{
    const start_t  *st;

    st = &s->start[i];

    return setting->lists && st->lease == BY_REDIS
           && (st->phase == PROXIED
               || (st->phase == SETTLED && st->outcome != REFUSED
                   && (st->outcome == IN_DOUBT || st->crashed
                       || (s->ended & BIT(MARK(run_of(s, i)))))));
}


/*
 * Whether a start that Redis has admitted has a claim to its slot: it is with
 * the upstream, or its run goes on; and no time ran out in between.
 */

static int
is_live(const state_t *s, unsigned i)
{
    unsigned        k;
    const start_t  *st;

    st = &s->start[i];

    if (st->lease != BY_REDIS
        || ((s->expired & BIT(LEASE(i))) && !is_found(s, i)))
    {
        return 0;
    }

    if (st->phase == PROXIED) {
        return s->run[i].truth != OVER;
    }

    if (st->outcome == IN_DOUBT) {
        return s->run[i].truth == RUNNING;
    }

    if (st->outcome < NAMED) {
        return 0;
    }

    k = st->outcome - NAMED;

    return s->run[k].truth == RUNNING
           && (!(s->expired & BIT(RUN(k))) || is_found(s, i));
}


/* I2: what was given back, or has ended, holds no slot again. */

static int
nothing_returns(const state_t *s)
{
    return (s->held & s->gone) == 0;
}


/*
 * I3: if everything is told and expires, all is free.  And without expiry a
 * run that was seen to be over is free as soon as everything is told, if
 * nobody died.
 */

static int
all_is_freed(const state_t *s)
{
    unsigned  i, w, rounds;
    state_t   rest;

    rest = *s;

    for (rounds = 0; rounds < ROUNDS && !is_quiet(&rest); rounds++) {

        for (w = 0; w < setting->nworkers; w++) {
            deliver(&rest, w);
        }
    }

    if (rounds == ROUNDS) {
        return 0;
    }

    for (i = 0; i < setting->starts; i++) {

        if (s->crashes == setting->crashes && s->run[i].seen
            && (rest.held & BIT(RUN(i))))
        {
            return 0;
        }
    }

    return !broken(RULE_EXPIRY) || rest.held == 0;
}


/* All that this worker has, or can have, for Redis arrives. */

static void
deliver(state_t *s, unsigned w)
{
    unsigned   i, id;
    worker_t  *worker;

    worker = &s->worker[w];
    worker->up = 1;

    for (i = 0; i < worker->nlate; i++) {

        if (WHAT(worker->late[i]) == ADMIT) {
            (void) redis_admit(s, OF(worker->late[i]));

        } else {
            redis_news(s, worker->late[i]);
        }
    }

    worker->nlate = 0;

    for (id = 0; id < IDS && worker->nsent < SENT; id++) {

        if (s->zone[setting->gateway[w]][id] & UNTOLD) {
            zone_tell(s, w, id);
        }
    }

    for (i = worker->nsent; i; i--) {

        if (worker->ndone == 0) {
            redis_carry_out(s, w);
        }

        gateway_answered(s, w, 0);
    }
}


/*
 * I4: a start whose answer named a run holds no slot beside the run's, unless
 * that is another one's.
 */

static int
one_slot_each(const state_t *s)
{
    unsigned  i;

    if (!is_quiet(s)) {
        return 1;
    }

    for (i = 0; i < setting->starts; i++) {

        if (s->start[i].phase == SETTLED && s->start[i].outcome >= NAMED
            && !s->start[i].crashed
            && !(s->ended & BIT(MARK(run_of(s, i))))
            && (s->held & ~s->expired & (BIT(LEASE(i)) | BIT(OWN(i)))))
        {
            return 0;
        }
    }

    return 1;
}


/*
 * I5: what Redis has done, and may be told again since nobody knows that yet,
 * changes nothing when it is told again; unless its time ran out.
 */

static int
again_is_nothing(const state_t *s)
{
    unsigned         i, w;
    state_t          again;
    const worker_t  *worker;

    for (w = 0; w < setting->nworkers; w++) {
        worker = &s->worker[w];

        for (i = 0; i < worker->ndone; i++) {

            if (WHAT(worker->sent[i]) == ADMIT) {
                continue;
            }

            again = *s;
            redis_news(&again, worker->sent[i]);

            if ((again.held | s->expired) != (s->held | s->expired)
                || (again.ended | s->expired) != (s->ended | s->expired))
            {
                return 0;
            }
        }
    }

    return 1;
}


/* I6: a start that was cancelled, lost or refused holds no slot. */

static int
all_is_given_back(const state_t *s)
{
    unsigned        i;
    const start_t  *st;

    if (!is_quiet(s)) {
        return 1;
    }

    for (i = 0; i < setting->starts; i++) {
        st = &s->start[i];

        if (st->crashed) {
            continue;
        }

        if ((s->held & BIT(LEASE(i)))
            && (st->lease != BY_REDIS || st->outcome == REFUSED)
            && (st->phase == SETTLED || st->lease != BY_REDIS))
        {
            return 0;
        }

        if ((s->held & BIT(OWN(i))) && st->phase == SETTLED
            && st->outcome == REFUSED)
        {
            return 0;
        }
    }

    return 1;
}


/*
 * I7: a start that Redis has admitted holds a slot, by its lease or its run,
 * until it is over and that was seen, or until time ran out.
 */

static int
slots_stay(const state_t *s)
{
    unsigned  i, ids;

    if (setting->lists) {
        return slots_suffice(s);
    }

    for (i = 0; i < setting->starts; i++) {

        if (!is_live(s, i)) {
            continue;
        }

        ids = BIT(LEASE(i));

        if (s->start[i].outcome >= NAMED) {
            ids |= BIT(RUN(s->start[i].outcome - NAMED));
        }

        if ((s->held & ids) == 0) {
            return 0;
        }
    }

    return 1;
}


/*
 * Where lists are read a lease may have become the run of another: there are
 * as many slots, by leases of starts or by these runs.
 */

static int
slots_suffice(const state_t *s)
{
    unsigned  i, n;
    uint16_t  runs, ids;

    n = live(s, &runs);
    ids = 0;

    for (i = 0; i < setting->starts; i++) {

        if (s->start[i].lease == BY_REDIS
            && (s->start[i].phase == PROXIED
                || s->start[i].outcome != REFUSED))
        {
            ids |= BIT(LEASE(i));
        }

        if (runs & BIT(i)) {
            ids |= BIT(RUN(i));
        }
    }

    return redis_held(s->held & ids) >= n;
}


/* Nothing is on its way or to be told. */

static int
is_quiet(const state_t *s)
{
    unsigned  g, id, w;

    for (w = 0; w < setting->nworkers; w++) {

        if (s->worker[w].nsent || s->worker[w].nlate) {
            return 0;
        }
    }

    for (g = 0; g < setting->gateways; g++) {

        for (id = 0; id < IDS; id++) {

            if (s->zone[g][id] & UNTOLD) {
                return 0;
            }
        }
    }

    return 1;
}
