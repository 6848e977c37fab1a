
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "lease.h"


/*
 * lua/admit.lua and lua/parts/settle.lua, as far as they concern slots.  A
 * member of the sorted set is in "held" while its score is the time at which
 * it expires, in "ended" while it is the same below zero.  One that has
 * expired is in neither, whether it was swept or not.
 */


static void redis_hold(state_t *s, unsigned id);
static void redis_end(state_t *s, unsigned id);
static void redis_named(state_t *s, unsigned run, unsigned lease);
static void redis_remove(state_t *s, unsigned id);


void
redis_carry_out(state_t *s, unsigned w)
{
    uint8_t  *message;

    message = &s->worker[w].sent[s->worker[w].ndone++];

    if (WHAT(*message) != ADMIT) {
        redis_news(s, *message);

    } else if (redis_admit(s, OF(*message))) {
        *message |= GRANTED;
    }
}


int
redis_admit(state_t *s, unsigned start)
{
    unsigned  id;

    id = LEASE(start);

    if (redis_held(s->held) >= setting->limit + broken(RULE_LIMIT)) {
        return 0;
    }

    if ((s->held | s->ended) & BIT(id)) {

        /* given up before it was asked for */

        return 0;
    }

    s->held |= BIT(id);

    return 1;
}


void
redis_news(state_t *s, unsigned message)
{
    unsigned  of, lease;

    of = OF(message);
    lease = WHICH(message);

    switch (WHAT(message)) {

    case BIND:
        redis_hold(s, RUN(of));

        if (!broken(RULE_ONE_SLOT)) {
            redis_named(s, of, lease);
        }

        break;

    case END:
        redis_end(s, RUN(of));
        redis_named(s, of, lease);
        break;

    case RELEASE:
        redis_remove(s, lease ? OWN(of) : LEASE(of));
        break;

    case ABANDON:
        redis_end(s, lease ? OWN(of) : LEASE(of));
        break;

    case HOLD:
        redis_hold(s, OWN(of));
        break;

    default: /* SEEN */

        /* it lives longer, or stays ended longer; both have no end here */

        break;
    }
}


/* F and G: nothing, unless the lease holds a slot and the run is unknown. */

void
redis_found(state_t *s, unsigned lease, unsigned run, int over)
{
    if (!(s->held & BIT(lease))) {
        return;
    }

    if (((s->held | s->ended) & BIT(RUN(run))) && !broken(RULE_NOT_KNOWN)) {
        return;
    }

    if (over) {
        redis_end(s, RUN(run));

    } else {
        s->ended &= ~BIT(RUN(run));
        s->held |= BIT(RUN(run));
    }

    s->ended |= BIT(MARK(run));

    redis_remove(s, lease);
}


static void
redis_hold(state_t *s, unsigned id)
{
    if ((s->ended & BIT(id)) && !broken(RULE_STAYS_ENDED)) {
        return;
    }

    s->ended &= ~BIT(id);
    s->held |= BIT(id);
}


static void
redis_end(state_t *s, unsigned id)
{
    s->held &= ~BIT(id);
    s->gone |= BIT(id);

    if (!broken(RULE_TOMBSTONE)) {
        s->ended |= BIT(id);
    }
}


/* A lease whose run took another one stands in for that. */

static void
redis_named(state_t *s, unsigned run, unsigned lease)
{
    if (lease != NONE
        && (!(s->ended & BIT(MARK(run))) || broken(RULE_MARKED)))
    {
        redis_remove(s, LEASE(lease));
    }
}


/* What is removed is not known any more, not even as ended. */

static void
redis_remove(state_t *s, unsigned id)
{
    s->held &= ~BIT(id);
    s->ended &= ~BIT(id);
    s->gone |= BIT(id);
}


unsigned
redis_held(uint16_t ids)
{
    unsigned  n;

    for (n = 0; ids; n++) {
        ids &= ids - 1;
    }

    return n;
}
