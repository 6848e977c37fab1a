
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef LEASE_H_
#define LEASE_H_


/*
 * A model of how gateways, their workers and Redis share the slots of one
 * trigger; docs/leases.md describes it.  A state is a few bytes, compared as
 * such; explore.c visits each that can be reached.
 */


#include <stddef.h>
#include <stdint.h>


#define STARTS    3     /* at most */
#define WORKERS   3
#define GATEWAYS  2
#define SENT      5     /* messages of a connection, with those answered */
#define LATE      4     /* of one that is lost */

/* ids: leases that Redis gives, those that a gateway gives, runs */

#define LEASE(i)  (i)
#define OWN(i)    (STARTS + (i))
#define RUN(k)    (2 * STARTS + (k))
#define IDS       (3 * STARTS)

/* ... and next to a run that was found, a mark, which is never held */

#define MARK(k)   (IDS + (k))

#define BIT(id)   (1u << (id))

/* a start whose lease holds a slot, and a run that may belong to it */

#define PAIR(i, k)  (1u << ((i) * STARTS + (k)))


/* A message, one byte; its parts are "what", a start or run, and a lease. */

enum {
    ADMIT = 1,          /* "of" is the start; GRANTED once carried out */
    BIND,               /* "of" is the run, "lease" a start's, or NONE */
    END,                /* likewise */
    SEEN,               /* "of" is the run */
    RELEASE,            /* "of" is the start, "lease" which of its two */
    ABANDON,            /* likewise */
    HOLD                /* "of" is the start, the lease its gateway's */
};

#define GRANTED  1
#define NONE     3

#define MESSAGE(what, of, lease)                                              \
    ((uint8_t) ((what) << 5 | (of) << 3 | (lease) << 1))

#define WHAT(message)   ((message) >> 5)
#define OF(message)     ((message) >> 3 & 3)
#define WHICH(message)  ((message) >> 1 & 3)


/* What a gateway's zone knows of an id, one byte: a state and these. */

enum {
    UNKNOWN = 0,
    FREE,               /* a lease that was given back */
    RESERVED,
    BOUND,
    ENDED
};

#define STATE      7
#define UNTOLD     8
#define SLOT       16   /* it is held here, until Redis is told */
#define ABANDONED  32   /* of a lease that is FREE */

/* or the run that it became, beside the lease which is noted with that */

#define BECAME(run)   (((run) + 2) << 5)
#define INTO(record)  (((record) >> 5) - 2)

/* of a run: the lease that Redis may know it by */

#define WITH(lease)  (((lease) + 1) << 5)
#define BY(record)                                                            \
    (((record) & HERE) == 0 || ((record) & HERE) == HERE                      \
     ? NONE : ((record) >> 5) - 1)

/* ... or that its slot was taken here, by a lease that Redis never knew */

#define HERE  (7 << 5)


/* A client's start, as its worker sees it. */

enum {
    IDLE = 0,
    ASKED,              /* Redis was asked */
    CANCELLED,          /* the client is gone, the question is not */
    PROXIED,
    SETTLED             /* "outcome" says how */
};

/* Its outcome: these, or NAMED + k where the answer named run k. */

enum {
    REFUSED = 0,        /* by the limit, or the upstream; or cancelled */
    IN_DOUBT,
    NAMED
};

typedef struct {
    uint8_t    phase;
    uint8_t    worker;
    uint8_t    lease;       /* UNLEASED, BY_REDIS, BY_GATEWAY */
    uint8_t    outcome;
    uint8_t    crashed;     /* what was to be told of it died with a worker */
} start_t;

enum {
    UNLEASED = 0,
    BY_REDIS,
    BY_GATEWAY
};


/* What becomes of a run upstream. */

enum {
    NEVER = 0,
    RUNNING,
    OVER
};

typedef struct {
    uint8_t    truth;
    uint8_t    seen;        /* a gateway saw that it is over */
} run_t;


/*
 * A connection to Redis: messages that were carried out, of which the answers
 * are on their way, and then those that are yet to be carried out.  What a
 * lost one still had may be carried out later: "late".
 */

typedef struct {
    uint8_t    up;
    uint8_t    nsent;
    uint8_t    ndone;       /* of these, carried out */
    uint8_t    nlate;
    uint8_t    sent[SENT];
    uint8_t    late[LATE];
} worker_t;


typedef struct {
    uint16_t   held;        /* ids with a score above zero */
    uint16_t   ended;       /* ids with one below zero, and marks */
    uint16_t   gone;        /* ids that were given back, or have ended */
    uint16_t   expired;     /* ids whose time ran out */
    uint8_t    zone[GATEWAYS][IDS];
    start_t    start[STARTS];
    run_t      run[STARTS];
    worker_t   worker[WORKERS];

    /* what may still happen, so that there is an end */

    uint8_t    losses;
    uint8_t    crashes;
    uint8_t    polls;
    uint8_t    expiries;

    /* pairs: the run began later; a list says that it goes on, or is over */

    uint16_t   since;
    uint16_t   found;
    uint16_t   found_over;
} state_t;


/* Rules that can be broken, to see that this is found. */

typedef enum {
    RULE_LIMIT = 0,
    RULE_TOMBSTONE,
    RULE_STAYS_ENDED,
    RULE_ONE_SLOT,
    RULE_EXPIRY,
    RULE_GIVE_BACK,
    RULE_ABANDON,
    RULE_NOT_RELEASED,
    RULE_OWN_ABANDONED,
    RULE_TELL_AGAIN,
    RULE_DOUBT,
    RULE_TOLD,
    RULE_EACH_LEASE,
    RULE_END_TOLD,
    RULE_UNLEASED,
    RULE_KEPT_END,
    RULE_NOT_KNOWN,
    RULE_MARKED,
    RULE_ADMITTED,
    RULE_OVER,
    RULES
} rule_t;


/* What is explored: set once, before the first state. */

typedef struct {
    const char  *name;
    unsigned     gateways;
    unsigned     nworkers;
    unsigned     gateway[WORKERS];  /* of which a worker is */
    unsigned     starts;
    unsigned     limit;
    unsigned     allow;         /* phrony_store_failure allow, not local */
    unsigned     losses;
    unsigned     crashes;
    unsigned     polls;
    unsigned     expiries;
    unsigned     lists;         /* the upstream is asked for its sessions */
} setting_t;

extern const setting_t  *setting;

/* Returns 1 if the rule is to be broken, else 0. */

int broken(rule_t rule);


/*
 * redis.c: what the scripts do.  redis_admit() returns 1 if the start has its
 * slot, else 0; redis_carry_out() takes the next message of a connection;
 * redis_found() is told of a lease and a run that has ended maybe.
 */

void redis_carry_out(state_t *s, unsigned w);
int redis_admit(state_t *s, unsigned start);
void redis_news(state_t *s, unsigned message);
void redis_found(state_t *s, unsigned lease, unsigned run, int over);
unsigned redis_held(uint16_t ids);


/* gateway.c: starts, and what a worker sends to Redis and hears of it. */

void gateway_start(state_t *s, unsigned w, unsigned start);
void gateway_answered(state_t *s, unsigned w, unsigned abandon);
void gateway_lost(state_t *s, unsigned w, unsigned exposed);
void gateway_failed(state_t *s, unsigned w);
void gateway_news(state_t *s, unsigned w, unsigned message);
void gateway_crash(state_t *s, unsigned w, unsigned exposed);


/* zone.c: what a gateway knows of leases and runs, and has for Redis. */

void zone_keep(state_t *s, unsigned gateway, unsigned message);
void zone_settle(state_t *s, unsigned start, int run, int ended);
void zone_poll(state_t *s, unsigned w, unsigned run);
void zone_tell(state_t *s, unsigned w, unsigned id);
void zone_gone(state_t *s, unsigned gateway);


/*
 * list.c: what the agent's sessions, a list that the upstream makes, may say.
 * list_began() notes that a run begins; list_read() adds to the state what a
 * list that is made now would say.
 */

void list_began(state_t *s, unsigned run);
void list_read(state_t *s);


/*
 * steps.c: calls step() for each state that follows, with a format
 * and three numbers that say how.
 */

typedef void (*step_pt)(const state_t *next, const char *fmt, unsigned a,
    unsigned b, unsigned c);

void steps(const state_t *s, step_pt step);


/*
 * invariants.c: returns the first of the invariants in "mask" (BIT(1) is I1)
 * that does not hold, or 0.
 */

unsigned invariant(const state_t *s, unsigned mask);


#endif /* LEASE_H_ */
