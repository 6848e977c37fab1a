
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "lease.h"


/*
 * store/ngx_phrony_news.c: what a gateway's zone knows of leases and runs,
 * and has for Redis.
 */


static unsigned zone_know(unsigned message);
static int zone_keep_lease(uint8_t *zone, unsigned run, unsigned lease);
static void zone_settle_own(uint8_t *zone, unsigned start, int run,
    int ended);
static void zone_see(uint8_t *record, int ended);
static void zone_named(state_t *s, unsigned start, unsigned run, int ended);
static unsigned zone_given_back(unsigned record, unsigned lease);


/* Redis is to be told later, of what the zone knows by then. */

void
zone_keep(state_t *s, unsigned gateway, unsigned message)
{
    unsigned   of, id, lease;
    uint8_t   *zone, *record;

    zone = s->zone[gateway];
    of = OF(message);
    lease = WHICH(message);

    switch (WHAT(message)) {

    case RELEASE:
    case ABANDON:
        id = lease ? OWN(of) : LEASE(of);
        lease = NONE;
        break;

    case HOLD:
        id = OWN(of);
        lease = NONE;
        break;

    default:
        id = RUN(of);
    }

    record = &zone[id];

    if (*record == UNKNOWN) {
        *record = (uint8_t) zone_know(message);
    }

    if (lease != NONE && !zone_keep_lease(zone, of, lease)) {
        *record = (uint8_t) ((*record & 0x1f) | WITH(lease));
    }

    if (WHAT(message) == END && !broken(RULE_KEPT_END)) {
        zone_see(record, 1);
    }

    if (WHAT(message) == ABANDON) {
        *record |= ABANDONED;
    }

    if ((WHAT(message) == RELEASE || WHAT(message) == ABANDON)
        && (*record & STATE) == RESERVED && !(*record & SLOT))
    {
        *record = (uint8_t) ((*record & ~STATE) | FREE);
    }

    *record |= UNTOLD;
}


static unsigned
zone_know(unsigned message)
{
    switch (WHAT(message)) {

    case HOLD:
        return RESERVED;

    case RELEASE:
    case ABANDON:
        return FREE;

    case END:
        return ENDED;

    default:
        return BOUND;
    }
}


/*
 * A lease becomes a run that is noted with another lease already: it is told
 * by itself, and only as becoming the run, lest its slot be given back first.
 * Returns 0 if it is to be noted with the run.
 */

static int
zone_keep_lease(uint8_t *zone, unsigned run, unsigned lease)
{
    unsigned  before;

    before = zone[RUN(run)] & HERE;

    if (before == 0 || before == WITH(lease) || broken(RULE_EACH_LEASE)) {
        return 0;
    }

    zone[LEASE(lease)] = (uint8_t) (FREE | BECAME(run) | UNTOLD);

    return 1;
}


/*
 * The request of a start is over: "run" was named, which has ended maybe; or
 * -1, and the upstream has refused it.
 */

void
zone_settle(state_t *s, unsigned start, int run, int ended)
{
    uint8_t  *zone;
    start_t  *st;

    st = &s->start[start];
    zone = s->zone[setting->gateway[st->worker]];

    if (st->lease == BY_GATEWAY && (zone[OWN(start)] & SLOT)) {
        zone_settle_own(zone, start, run, ended);
        return;
    }

    if (st->lease == BY_GATEWAY) {
        zone_keep(s, setting->gateway[st->worker],
                  MESSAGE(broken(RULE_OWN_ABANDONED) ? RELEASE : ABANDON,
                          start, 1));
    }

    if (run >= 0) {
        zone_named(s, start, (unsigned) run, ended);
        return;
    }

    if (st->lease == BY_REDIS) {
        gateway_news(s, st->worker, MESSAGE(RELEASE, start, 0));
    }
}


/* The slot is this gateway's: what becomes of it is told with it. */

static void
zone_settle_own(uint8_t *zone, unsigned start, int run, int ended)
{
    uint8_t  *lease, *record;

    lease = &zone[OWN(start)];

    if (run < 0) {
        *lease = UNKNOWN;
        return;
    }

    record = &zone[RUN(run)];

    if (*record == UNKNOWN) {
        *record = (uint8_t) ((*lease & ~STATE) | BOUND | HERE);

    } else if (ended && (*record & STATE) == BOUND
               && !broken(RULE_END_TOLD))
    {
        *record |= UNTOLD;
    }

    *lease = UNKNOWN;

    zone_see(record, ended);
}


static void
zone_see(uint8_t *record, int ended)
{
    if (ended && (*record & STATE) == BOUND) {
        *record = (uint8_t) ((*record & ~(STATE | SLOT)) | ENDED);
    }
}


/* The answer named a run, of a start whose slot, if any, is in Redis. */

static void
zone_named(state_t *s, unsigned start, unsigned run, int ended)
{
    unsigned   what, lease;
    uint8_t   *zone, *record;
    start_t   *st;

    st = &s->start[start];
    zone = s->zone[setting->gateway[st->worker]];
    record = &zone[RUN(run)];
    lease = (st->lease == BY_REDIS) ? start : NONE;

    if (st->lease == UNLEASED && *record == UNKNOWN && !ended
        && !broken(RULE_UNLEASED))
    {
        /* whether the run has a slot is not known here */

        *record = BOUND;
        gateway_news(s, st->worker, MESSAGE(SEEN, run, NONE));
        return;
    }

    what = (st->lease != UNLEASED && !ended) ? BIND : END;

    if (*record == UNKNOWN) {
        *record = (what == END) ? ENDED : BOUND;

    } else {
        zone_see(record, ended);
        what = ((*record & STATE) == ENDED) ? END : BIND;
    }

    if (lease != NONE
        && (BY(*record) == NONE || broken(RULE_EACH_LEASE))
        && !((*record & HERE) == HERE && (*record & UNTOLD)))
    {
        *record = (uint8_t) ((*record & 0x1f) | WITH(lease));
    }

    gateway_news(s, st->worker, MESSAGE(what, run, lease));
}


/* A worker sees an answer that says whether the run is over. */

void
zone_poll(state_t *s, unsigned w, unsigned run)
{
    int        over;
    unsigned   what, lease;
    uint8_t   *record;

    record = &s->zone[setting->gateway[w]][RUN(run)];
    over = (s->run[run].truth == OVER);

    if (over) {
        s->run[run].seen = 1;
    }

    zone_see(record, over);

    lease = *record ? BY(*record) : NONE;

    if (over || (*record & STATE) == ENDED) {
        what = END;

    } else {
        what = (*record & HERE) ? BIND : SEEN;
    }

    if (*record & UNTOLD) {
        return;
    }

    if (*record == UNKNOWN) {
        *record = over ? ENDED : BOUND;
    }

    gateway_news(s, w, MESSAGE(what, run, lease));
}


/* What the zone has for Redis counts as told once it is sent. */

void
zone_tell(state_t *s, unsigned w, unsigned id)
{
    unsigned   of, message;
    uint8_t   *record;

    record = &s->zone[setting->gateway[w]][id];
    of = id % STARTS;

    switch (*record & STATE) {

    case FREE:
        message = zone_given_back(*record, id);
        *record = UNKNOWN;
        break;

    case RESERVED:
        message = MESSAGE(HOLD, of, 0);
        break;

    default:
        message = MESSAGE((*record & STATE) == ENDED ? END : BIND, of,
                          BY(*record));
    }

    if (!broken(RULE_TOLD)) {
        *record &= (uint8_t) ~(UNTOLD | SLOT);
    }

    gateway_news(s, w, message);
}


static unsigned
zone_given_back(unsigned record, unsigned lease)
{
    if (record >> 5 > ABANDONED >> 5) {
        return MESSAGE(BIND, INTO(record), lease);
    }

    return MESSAGE((record & ABANDONED) ? ABANDON : RELEASE, lease % STARTS,
                   lease >= STARTS);
}


/* A zone is lost; its workers were before. */

void
zone_gone(state_t *s, unsigned gateway)
{
    unsigned   id, lease;
    uint8_t   *record;

    for (id = 0; id < IDS; id++) {
        record = &s->zone[gateway][id];

        if (*record & UNTOLD) {
            s->start[id % STARTS].crashed = 1;

            lease = (id >= RUN(0)) ? BY(*record) : NONE;

            if (lease < STARTS) {
                s->start[lease].crashed = 1;
            }
        }

        *record = UNKNOWN;
    }
}
