
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
static int list_has(const state_t *s, unsigned run);
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
    int       has;
    unsigned  i, k;

    for (k = 0; setting->lists && k < setting->starts; k++) {

        has = list_has(s, k);

        for (i = 0; i < setting->starts; i++) {

            if (has && (s->since & PAIR(i, k))) {

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


/* Its session is there, and it was admitted by Redis. */

static int
list_has(const state_t *s, unsigned run)
{
    return s->run[run].truth != NEVER
           && (s->start[run].lease == BY_REDIS || broken(RULE_ADMITTED));
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
