
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef PHRONY_LEASE_H_
#define PHRONY_LEASE_H_


#include "phrony_str.h"
#include "phrony_uuid.h"


PHRONY_HIDDEN_BEGIN


/*
 * A slot of a trigger's maxConcurrentRuns belongs to a run, and is held by a
 * lease: it ends when the run is seen to end or, at the latest, when the
 * lease was not renewed for its time to live.  A run stays known after its
 * end, so that whoever asks for it can be authorised.
 *
 *                          BIND                   END
 *      (none) --admit--> RESERVED -----------> BOUND ---------> ENDED
 *                          | |                  | ^               | ^
 *                          | |                  | | SEEN          | | SEEN
 *                          | |                  | +               | +
 *                          | | END (the answer itself was terminal)
 *                          | +------------------------------------^
 *          RELEASE, EXPIRE |             EXPIRE |          EXPIRE |
 *                          v                    v                 v
 *                        FREE                 FREE              FREE
 *
 * RESERVED and BOUND hold a slot.  An ended run that is seen alive again (it
 * was resumed) takes no new slot.  An unknown outcome is no event: the
 * reservation is left to expire.
 */

typedef enum {
    PHRONY_LEASE_FREE = 0,
    PHRONY_LEASE_RESERVED,
    PHRONY_LEASE_BOUND,
    PHRONY_LEASE_ENDED
} phrony_lease_state_t;


typedef enum {
    PHRONY_LEASE_BIND,          /* the upstream named the run */
    PHRONY_LEASE_RELEASE,       /* no run was started */
    PHRONY_LEASE_SEEN,          /* the run was seen, not ended */
    PHRONY_LEASE_END,           /* the run was seen to have ended */
    PHRONY_LEASE_EXPIRE         /* its time ran out */
} phrony_lease_event_t;


/*
 * The id of a lease that is no run's yet is 8 bytes that its store has drawn,
 * and a number.  mark() sets, in the first 8, the version of a UUID (RFC 9562,
 * 4.2) to 15, which no run's id has; is_id() returns 1 if that is so, else 0.
 */

void phrony_lease_mark(unsigned char *first);

int phrony_lease_is_id(const phrony_uuid_t *id);


/*
 * The state after "event"; an event that does not apply (a run seen twice to
 * end, a release that comes late) leaves the state as it is.
 */

phrony_lease_state_t phrony_lease_next(phrony_lease_state_t state,
    phrony_lease_event_t event);


/* Returns 1 if a lease in this state counts against the limit, else 0. */

int phrony_lease_holds_slot(phrony_lease_state_t state);


/* Returns 1 if one more slot is within "limit" (negative: none), else 0. */

int phrony_lease_admits(uint64_t held, int64_t limit);


/* How many more slots the limit admits: 0 or more. */

int64_t phrony_lease_remaining(uint64_t held, int64_t limit);


PHRONY_HIDDEN_END


#endif /* PHRONY_LEASE_H_ */
