
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "lease.h"


/* of a message, in the letters of the scripts; "+" is a start */

#define LETTER(message)  ("?+BESRAH"[WHAT(message)])


/*
 * All that may happen next.  Time has no number here: whatever may expire may
 * do so at any moment, but for what marks that something has ended, which
 * outlives all messages that are late.
 */


static void steps_start(const state_t *s, unsigned i);
static void steps_settle(const state_t *s, unsigned i);
static void steps_settled(const state_t *s, unsigned i, unsigned run,
    unsigned truth);
static void steps_doubt(const state_t *s, unsigned i);
static void steps_begun(const state_t *s, unsigned i);
static void steps_runs(const state_t *s);
static void steps_poll(const state_t *s, unsigned run, unsigned w);
static void steps_connection(const state_t *s, unsigned w);
static void steps_loss(const state_t *s, unsigned w);
static void steps_late(const state_t *s, unsigned w);
static void steps_tell(const state_t *s, unsigned w);
static void steps_found(const state_t *s);
static void steps_match(const state_t *s, unsigned lease, unsigned run,
    int over);
static void steps_expire(const state_t *s);
static int steps_outlives(const state_t *s, unsigned run);
static void steps_forget(const state_t *s, unsigned gateway);
static void steps_gone(const state_t *s, unsigned gateway);
static void steps_emit(state_t *s, const char *fmt, unsigned a, unsigned b,
    unsigned c);


static step_pt  handler;


void
steps(const state_t *s, step_pt step)
{
    unsigned  i;

    handler = step;

    for (i = 0; i < setting->starts; i++) {
        steps_start(s, i);

        if (s->start[i].phase == IDLE) {
            break;
        }
    }

    steps_runs(s);

    for (i = 0; i < setting->nworkers; i++) {
        steps_connection(s, i);
        steps_loss(s, i);
        steps_late(s, i);
        steps_tell(s, i);
    }

    steps_found(s);
    steps_expire(s);

    for (i = 0; i < setting->gateways; i++) {
        steps_forget(s, i);
        steps_gone(s, i);
    }
}


/*
 * Starts are alike: they arrive in the order of their numbers; as workers are
 * before the first one, which arrives at the first of them.
 */

static void
steps_start(const state_t *s, unsigned i)
{
    unsigned  w;
    state_t   next;

    switch (s->start[i].phase) {

    case IDLE:
        for (w = 0; w < (i ? setting->nworkers : 1); w++) {
            next = *s;
            gateway_start(&next, w, i);
            steps_emit(&next, "start %u arrives at worker %u", i, w, 0);
        }

        break;

    case ASKED:
        next = *s;
        next.start[i].phase = CANCELLED;
        steps_emit(&next, "the client of start %u goes away", i, 0, 0);
        break;

    case PROXIED:
        steps_settle(s, i);
        break;
    }
}


/* The upstream answers, or does not. */

static void
steps_settle(const state_t *s, unsigned i)
{
    unsigned  k;
    state_t   next;

    if (s->run[i].truth != NEVER) {
        steps_begun(s, i);
        return;
    }

    if (setting->lists) {
        next = *s;
        next.run[i].truth = RUNNING;
        list_began(&next, i);
        steps_emit(&next, "run %u begins", i, 0, 0);
    }

    next = *s;
    next.start[i].phase = SETTLED;
    next.start[i].outcome = REFUSED;
    zone_settle(&next, i, -1, 0);
    steps_emit(&next, "the upstream refuses start %u", i, 0, 0);

    steps_doubt(s, i);

    for (k = 0; k < setting->starts; k++) {

        if (s->run[k].truth == RUNNING || (k == i && s->run[k].truth == NEVER))
        {
            steps_settled(s, i, k, RUNNING);
        }

        if (s->run[k].truth == OVER) {

            /* what it is, or what it was when it began */

            steps_settled(s, i, k, RUNNING);
            steps_settled(s, i, k, OVER);
        }

        if (k == i && s->run[k].truth == NEVER) {
            steps_settled(s, i, k, OVER);
        }
    }
}


/* Its run has begun before the answer: this is named, or nothing. */

static void
steps_begun(const state_t *s, unsigned i)
{
    steps_doubt(s, i);
    steps_settled(s, i, i, RUNNING);

    if (s->run[i].truth == OVER) {
        steps_settled(s, i, i, OVER);
    }
}


static void
steps_settled(const state_t *s, unsigned i, unsigned run, unsigned truth)
{
    state_t  next;

    next = *s;
    next.start[i].phase = SETTLED;
    next.start[i].outcome = (uint8_t) (NAMED + run);

    if (next.run[run].truth == NEVER) {
        list_began(&next, run);
    }

    if (next.run[run].truth == NEVER || truth == OVER) {
        next.run[run].truth = (uint8_t) truth;
    }

    if (truth == OVER) {
        next.run[run].seen = 1;
    }

    zone_settle(&next, i, (int) run, truth == OVER);
    steps_emit(&next, "the answer to start %u names run %u, over: %u", i, run,
               truth == OVER);
}


static void
steps_doubt(const state_t *s, unsigned i)
{
    state_t  next;

    next = *s;
    next.start[i].phase = SETTLED;
    next.start[i].outcome = IN_DOUBT;

    if (broken(RULE_DOUBT)) {
        zone_settle(&next, i, -1, 0);
    }

    steps_emit(&next, "no answer to start %u, no run", i, 0, 0);

    if (next.run[i].truth == NEVER) {
        next.run[i].truth = RUNNING;
        list_began(&next, i);
        steps_emit(&next, "no answer to start %u, a run", i, 0, 0);
    }
}


static void
steps_runs(const state_t *s)
{
    unsigned  k, w;
    state_t   next;

    for (k = 0; k < setting->starts; k++) {

        if (s->run[k].truth == NEVER) {
            continue;
        }

        if (s->run[k].truth == RUNNING) {
            next = *s;
            next.run[k].truth = OVER;
            steps_emit(&next, "run %u is over", k, 0, 0);
        }

        for (w = 0; s->polls && w < setting->nworkers; w++) {
            steps_poll(s, k, w);
        }
    }
}


/* Of an end that is known to the zone Redis is not told each time. */

static void
steps_poll(const state_t *s, unsigned run, unsigned w)
{
    state_t  next;

    next = *s;
    next.polls--;
    zone_poll(&next, w, run);
    steps_emit(&next, "run %u is polled at worker %u", run, w, 0);

    if (s->run[run].truth == OVER
        && (s->zone[setting->gateway[w]][RUN(run)] & STATE) == ENDED)
    {
        next = *s;
        next.polls--;
        next.run[run].seen = 1;
        steps_emit(&next, "run %u is polled at worker %u, who knows", run, w,
                   0);
    }
}


static void
steps_connection(const state_t *s, unsigned w)
{
    unsigned         message;
    state_t          next;
    const worker_t  *worker;

    worker = &s->worker[w];

    if (!worker->up) {
        next = *s;
        next.worker[w].up = 1;
        steps_emit(&next, "worker %u connects", w, 0, 0);
        return;
    }

    if (worker->ndone < worker->nsent) {
        next = *s;
        redis_carry_out(&next, w);
        message = worker->sent[worker->ndone];
        steps_emit(&next, "redis does what worker %u sent: %c of %u", w,
                   LETTER(message), OF(message));
    }

    if (worker->ndone) {
        next = *s;
        gateway_answered(&next, w, 0);
        steps_emit(&next, "worker %u is answered", w, 0, 0);

        if (WHAT(worker->sent[0]) == ADMIT
            && (worker->sent[0] & GRANTED)
            && s->start[OF(worker->sent[0])].phase == CANCELLED)
        {
            next = *s;
            gateway_answered(&next, w, 1);
            steps_emit(&next, "worker %u is answered, it had a delivery", w, 0,
                       0);
        }
    }
}


/* By the network, by an error reply, or by a crash. */

static void
steps_loss(const state_t *s, unsigned w)
{
    unsigned         exposed, left;
    state_t          next;
    const worker_t  *worker;

    worker = &s->worker[w];
    left = worker->nsent - worker->ndone;

    for (exposed = 0; exposed <= left; exposed++) {

        if (exposed && (worker->nlate || exposed > LATE)) {
            break;
        }

        if (worker->up && s->losses) {
            next = *s;
            next.losses--;
            gateway_lost(&next, w, exposed);
            steps_emit(&next, "worker %u loses its connection, %u may be late",
                       w, exposed, 0);
        }

        if (s->crashes && (exposed == 0 || exposed == left)) {
            next = *s;
            next.crashes--;
            gateway_crash(&next, w, exposed);
            steps_emit(&next, "worker %u dies, %u may be late", w, exposed, 0);
        }
    }

    if (worker->up && s->losses && worker->ndone == 0 && worker->nsent) {
        next = *s;
        next.losses--;
        gateway_failed(&next, w);
        steps_emit(&next, "redis answers to worker %u by an error", w, 0, 0);
    }
}


static void
steps_late(const state_t *s, unsigned w)
{
    unsigned         i, message;
    state_t          next;
    const worker_t  *worker;

    worker = &s->worker[w];

    if (worker->nlate == 0) {
        return;
    }

    next = *s;
    message = worker->late[0];
    next.worker[w].nlate--;

    for (i = 1; i < LATE; i++) {
        next.worker[w].late[i - 1] = worker->late[i];
    }

    next.worker[w].late[LATE - 1] = 0;

    if (WHAT(message) == ADMIT) {
        (void) redis_admit(&next, OF(message));

    } else {
        redis_news(&next, message);
    }

    steps_emit(&next, "redis does what worker %u sent before: %c of %u", w,
               LETTER(message), OF(message));

    next = *s;
    next.worker[w].nlate = 0;

    for (i = 0; i < LATE; i++) {
        next.worker[w].late[i] = 0;
    }

    steps_emit(&next, "what worker %u sent before is lost", w, 0, 0);
}


static void
steps_tell(const state_t *s, unsigned w)
{
    unsigned        id;
    state_t         next;
    const uint8_t  *zone;

    zone = s->zone[setting->gateway[w]];

    if (!s->worker[w].up || s->worker[w].nsent == SENT) {
        return;
    }

    for (id = 0; id < IDS; id++) {

        if (zone[id] & UNTOLD) {
            next = *s;
            zone_tell(&next, w, id);
            steps_emit(&next, "worker %u tells what the zone kept of id %u", w,
                       id, 0);
        }
    }
}


/*
 * A list may have been made at any moment, and what was found in it is told at
 * any later one, in any order, in part, and again: it is never kept.
 */

static void
steps_found(const state_t *s)
{
    unsigned  i, k;

    for (i = 0; i < setting->starts; i++) {

        for (k = 0; k < setting->starts; k++) {

            if (s->found & PAIR(i, k)) {
                steps_match(s, LEASE(i), k, 0);
                steps_match(s, OWN(i), k, 0);
            }

            if (s->found_over & PAIR(i, k)) {
                steps_match(s, LEASE(i), k, 1);
                steps_match(s, OWN(i), k, 1);
            }
        }
    }
}


static void
steps_match(const state_t *s, unsigned lease, unsigned run, int over)
{
    state_t  next;

    next = *s;
    redis_found(&next, lease, run, over);

    steps_emit(&next, "id %u may have become run %u: %c", lease, run,
               over ? 'G' : 'F');
}


static void
steps_expire(const state_t *s)
{
    unsigned  id;
    state_t   next;

    for (id = 0; s->expiries && id < IDS; id++) {

        if (id >= RUN(0) && steps_outlives(s, id - RUN(0))) {
            continue;
        }

        if ((s->held & BIT(id)) && !broken(RULE_EXPIRY)) {
            next = *s;
            next.expiries--;
            next.held &= ~BIT(id);
            next.expired |= BIT(id);
            steps_emit(&next, "the time of id %u runs out in redis", id, 0, 0);
        }
    }
}


/* The time of a lease is not longer than that of a run, which began later. */

static int
steps_outlives(const state_t *s, unsigned run)
{
    unsigned  i;

    for (i = 0; i < setting->starts; i++) {

        if ((s->since & PAIR(i, run))
            && (s->held & (BIT(LEASE(i)) | BIT(OWN(i)))))
        {
            return 1;
        }
    }

    return 0;
}


/* A slot that was taken here expires; what was told may be forgotten. */

static void
steps_forget(const state_t *s, unsigned gateway)
{
    unsigned  id, record;
    state_t   next;

    for (id = 0; s->expiries && id < IDS; id++) {
        record = s->zone[gateway][id];

        if (record == UNKNOWN || ((record & UNTOLD) && !(record & SLOT))) {
            continue;
        }

        next = *s;
        next.expiries--;
        next.zone[gateway][id] = UNKNOWN;

        if (record & SLOT) {
            next.expired |= BIT(id);
        }

        if ((record & UNTOLD) && id >= RUN(0) && BY(record) != NONE) {

            /* what was to be told with it, too */

            next.expired |= BIT(LEASE(BY(record)));
        }

        steps_emit(&next, "gateway %u forgets id %u", gateway, id, 0);
    }
}


static void
steps_gone(const state_t *s, unsigned gateway)
{
    unsigned  w;
    state_t   next;

    if (s->crashes == 0) {
        return;
    }

    next = *s;
    next.crashes--;

    for (w = 0; w < setting->nworkers; w++) {

        if (setting->gateway[w] == gateway) {
            gateway_crash(&next, w, 0);
        }
    }

    zone_gone(&next, gateway);
    steps_emit(&next, "gateway %u dies", gateway, 0, 0);
}


/* Where no answer can be lost any more, it makes no difference. */

static void
steps_emit(state_t *s, const char *fmt, unsigned a, unsigned b, unsigned c)
{
    unsigned  w;

    for (w = 0; s->losses == 0 && w < setting->nworkers; w++) {

        while (s->worker[w].ndone && WHAT(s->worker[w].sent[0]) != ADMIT) {
            gateway_answered(s, w, 0);
        }
    }

    list_read(s);

    handler(s, fmt, a, b, c);
}
