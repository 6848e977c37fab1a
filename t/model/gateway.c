
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "lease.h"

#include <string.h>


/*
 * store/ngx_phrony_flight.c, ngx_phrony_tell.c and ngx_phrony_batch.c: starts,
 * and the connection to Redis.  Messages that leave together are separate
 * here, which allows more to come between them than can.
 */


static void gateway_local(state_t *s, unsigned start);
static unsigned gateway_slots(const uint8_t *zone);
static void gateway_unanswered(state_t *s, unsigned w, unsigned message,
    unsigned lost);
static int gateway_push(worker_t *worker, unsigned message);
static void gateway_pop(worker_t *worker);
static void gateway_late(worker_t *worker, unsigned exposed);
static void gateway_forgive(state_t *s, unsigned message);


/* A start arrives: Redis is asked, or decided without it. */

void
gateway_start(state_t *s, unsigned w, unsigned start)
{
    s->start[start].worker = (uint8_t) w;

    if (gateway_push(&s->worker[w], MESSAGE(ADMIT, start, 0))) {
        s->start[start].phase = ASKED;
        return;
    }

    gateway_local(s, start);
}


static void
gateway_local(state_t *s, unsigned start)
{
    uint8_t  *zone;
    start_t  *st;

    st = &s->start[start];
    zone = s->zone[setting->gateway[st->worker]];

    if (setting->allow) {
        st->phase = PROXIED;
        st->lease = UNLEASED;
        return;
    }

    if (gateway_slots(zone) >= setting->limit) {
        st->phase = SETTLED;
        st->outcome = REFUSED;
        return;
    }

    zone[OWN(start)] = RESERVED | SLOT | UNTOLD;

    st->phase = PROXIED;
    st->lease = BY_GATEWAY;
}


static unsigned
gateway_slots(const uint8_t *zone)
{
    unsigned  id, n;

    n = 0;

    for (id = 0; id < IDS; id++) {
        n += (zone[id] & SLOT) != 0;
    }

    return n;
}


/* The first answer that is on its way arrives. */

void
gateway_answered(state_t *s, unsigned w, unsigned abandon)
{
    unsigned   message, of;
    start_t   *st;

    message = s->worker[w].sent[0];
    of = OF(message);

    gateway_pop(&s->worker[w]);

    if (WHAT(message) != ADMIT) {
        return;
    }

    st = &s->start[of];

    if (st->phase == ASKED && (message & GRANTED)) {
        st->phase = PROXIED;
        st->lease = BY_REDIS;
        return;
    }

    st->phase = SETTLED;
    st->outcome = REFUSED;

    if ((message & GRANTED) && !broken(RULE_GIVE_BACK)) {

        /* nobody waits: abandoned if it had claimed a delivery */

        gateway_news(s, w, MESSAGE(abandon ? ABANDON : RELEASE, of, 0));
    }
}


/* The connection is lost; of what it had, Redis may see "exposed". */

void
gateway_lost(state_t *s, unsigned w, unsigned exposed)
{
    unsigned   i;
    worker_t  *worker, was;

    worker = &s->worker[w];
    was = *worker;

    gateway_late(worker, exposed);

    for (i = 0; i < was.nsent; i++) {
        gateway_unanswered(s, w, was.sent[i], i < was.ndone + exposed);
    }
}


/* Redis answers to the first message by an error: it was not carried out. */

void
gateway_failed(state_t *s, unsigned w)
{
    unsigned  message;

    message = s->worker[w].sent[0];

    gateway_pop(&s->worker[w]);
    gateway_unanswered(s, w, message, 0);
}


static void
gateway_unanswered(state_t *s, unsigned w, unsigned message, unsigned lost)
{
    unsigned   of;
    start_t   *st;

    of = OF(message);

    if (WHAT(message) != ADMIT) {

        if (!broken(RULE_TELL_AGAIN)) {
            zone_keep(s, setting->gateway[w], message);
        }

        return;
    }

    st = &s->start[of];

    if (lost && !broken(RULE_ABANDON)) {
        gateway_news(s, w, MESSAGE(broken(RULE_NOT_RELEASED) ? RELEASE
                                                             : ABANDON,
                                   of, 0));
    }

    if (st->phase == ASKED) {
        gateway_local(s, of);
        return;
    }

    st->phase = SETTLED;
    st->outcome = REFUSED;
}


/* Returns 0 if there is no connection, or its queue is full. */

static int
gateway_push(worker_t *worker, unsigned message)
{
    if (!worker->up || worker->nsent == SENT) {
        return 0;
    }

    worker->sent[worker->nsent++] = (uint8_t) message;

    return 1;
}


static void
gateway_pop(worker_t *worker)
{
    memmove(worker->sent, worker->sent + 1, SENT - 1);

    worker->sent[SENT - 1] = 0;
    worker->nsent--;

    if (worker->ndone) {
        worker->ndone--;
    }
}


void
gateway_news(state_t *s, unsigned w, unsigned message)
{
    if (!gateway_push(&s->worker[w], message)) {
        zone_keep(s, setting->gateway[w], message);
    }
}


/* A worker dies, and with it what it had not sent. */

void
gateway_crash(state_t *s, unsigned w, unsigned exposed)
{
    unsigned   i;
    start_t   *st;
    worker_t  *worker, was;

    worker = &s->worker[w];
    was = *worker;

    gateway_late(worker, exposed);

    for (i = 0; i < was.nsent; i++) {
        gateway_forgive(s, was.sent[i]);
    }

    for (i = 0; i < setting->starts; i++) {
        st = &s->start[i];

        if (st->phase == IDLE || st->phase == SETTLED || st->worker != w) {
            continue;
        }

        st->outcome = (st->phase == PROXIED) ? IN_DOUBT : REFUSED;
        st->phase = SETTLED;
        st->crashed = 1;
    }
}


static void
gateway_late(worker_t *worker, unsigned exposed)
{
    unsigned  i;
    uint8_t   sent[SENT];

    memcpy(sent, worker->sent, SENT);

    for (i = 0; i < exposed; i++) {
        worker->late[worker->nlate++] = sent[worker->ndone + i];
    }

    memset(worker->sent, 0, SENT);

    worker->nsent = 0;
    worker->ndone = 0;
    worker->up = 0;
}


/* Nobody is left who would tell this again. */

static void
gateway_forgive(state_t *s, unsigned message)
{
    s->start[OF(message)].crashed = 1;

    if ((WHAT(message) == BIND || WHAT(message) == END)
        && WHICH(message) != NONE)
    {
        s->start[WHICH(message)].crashed = 1;
    }
}
