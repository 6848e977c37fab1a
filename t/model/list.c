
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "lease.h"


/*
 * ngx_http_phrony_sessions.c: leases that hold a slot and runs that the list
 * names, where the gateway takes it for possible that they belong together.
 * Since any of them may be told or not, all that was ever possible is noted:
 * that is all that lists may say, whenever they are made.
 */


static int list_leased(const state_t *s, unsigned i);
static int list_answered(const state_t *s, unsigned run);
static int list_heard(const state_t *s, unsigned run);
static int list_sent(const worker_t *worker, unsigned run);
static int list_is_news(unsigned message, unsigned run);
static int list_kept(const uint8_t *zone, unsigned run);
static int list_remembered(const state_t *s, unsigned run);
static void list_forget(state_t *s, unsigned i, unsigned run);


void
list_began(state_t *s, unsigned run)
{
    unsigned  i;

    for (i = 0; setting->lists && i < setting->starts; i++) {

        if (list_leased(s, i)) {
            s->since |= PAIR(i, run);
        }
    }
}


void
list_read(state_t *s)
{
    int       sure;
    unsigned  i, k;

    for (k = 0; setting->lists && k < setting->starts; k++) {

        sure = list_answered(s, k) && list_heard(s, k)
               && !list_remembered(s, k);

        for (i = 0; i < setting->starts; i++) {

            if (sure && ((s->since & PAIR(i, k)) || broken(RULE_SINCE))) {

                if (s->run[k].truth == OVER || broken(RULE_OVER)) {
                    s->found_over |= PAIR(i, k);

                } else {
                    s->found |= PAIR(i, k);
                }
            }

            list_forget(s, i, k);
        }
    }
}


/* It has a lease that Redis may name, now or when it is told of it. */

static int
list_leased(const state_t *s, unsigned i)
{
    return (s->held & (BIT(LEASE(i)) | BIT(OWN(i))))
           || (s->start[i].lease == BY_GATEWAY && !(s->gone & BIT(OWN(i))));
}


/*
 * A session that is not young has been answered for, or nobody waits for that
 * any more; and its start was admitted by Redis.
 */

static int
list_answered(const state_t *s, unsigned run)
{
    const start_t  *st;

    st = &s->start[run];

    if (s->run[run].truth == NEVER) {
        return 0;
    }

    if (st->phase == PROXIED && !broken(RULE_ANSWERED)) {
        return 0;
    }

    return st->lease == BY_REDIS || broken(RULE_ADMITTED);
}


/* ... and what the answer says has been told: nothing of it is on its way. */

static int
list_heard(const state_t *s, unsigned run)
{
    unsigned  g, w;

    if (broken(RULE_HEARD)) {
        return 1;
    }

    for (w = 0; w < setting->nworkers; w++) {

        if (list_sent(&s->worker[w], run)) {
            return 0;
        }
    }

    for (g = 0; g < setting->gateways; g++) {

        if (list_kept(s->zone[g], run)) {
            return 0;
        }
    }

    return 1;
}


static int
list_sent(const worker_t *worker, unsigned run)
{
    unsigned  i;

    for (i = worker->ndone; i < worker->nsent; i++) {

        if (list_is_news(worker->sent[i], run)) {
            return 1;
        }
    }

    for (i = 0; i < worker->nlate; i++) {

        if (list_is_news(worker->late[i], run)) {
            return 1;
        }
    }

    return 0;
}


static int
list_is_news(unsigned message, unsigned run)
{
    return (WHAT(message) == BIND || WHAT(message) == END)
           && OF(message) == run;
}


static int
list_kept(const uint8_t *zone, unsigned run)
{
    unsigned  i;

    if (zone[RUN(run)] & UNTOLD) {
        return 1;
    }

    for (i = 0; i < setting->starts; i++) {

        if ((zone[LEASE(i)] & UNTOLD)
            && zone[LEASE(i)] >> 5 == BECAME(run) >> 5)
        {
            return 1;
        }
    }

    return 0;
}


/*
 * A zone has the run with a lease that Redis has still: what was told of it
 * died with its worker, and will be told when the run is seen.
 */

static int
list_remembered(const state_t *s, unsigned run)
{
    unsigned  g, lease;

    for (g = 0; g < setting->gateways; g++) {
        lease = BY(s->zone[g][RUN(run)]);

        if (lease != NONE && (s->held & BIT(LEASE(lease)))) {
            return !broken(RULE_REMEMBERED);
        }
    }

    return 0;
}


/* What changes nothing, now and later, makes no other state. */

static void
list_forget(state_t *s, unsigned i, unsigned run)
{
    int  known;

    known = (s->ended & BIT(RUN(run)))
            || ((s->held & BIT(RUN(run))) && s->expiries == 0);

    if ((known && !broken(RULE_NOT_KNOWN)) || !list_leased(s, i)) {
        s->found &= ~PAIR(i, run);
        s->found_over &= ~PAIR(i, run);
        s->since &= ~PAIR(i, run);
    }
}
