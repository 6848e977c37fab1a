
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_PHRONY_LATE_H_INCLUDED_
#define _NGX_PHRONY_LATE_H_INCLUDED_


#include "ngx_phrony_store.h"


PHRONY_HIDDEN_BEGIN


/*
 * What was seen of a run when nobody knew whose it is.  Another gateway may
 * have started it a moment ago, and what it told the store be on its way.  So
 * the store is asked again, twice:
 *
 *                 10 ms               an owner
 *     settle() ---------> asked -----------------> told
 *                          ^  \   nobody knows, the first time
 *                          |   +---------------------------> 500 ms
 *                          |                                   |
 *                          +-----------------------------------+
 *                             \   nobody knows, or somebody else's
 *                              +--------------------------------> forgotten
 *
 * Until it is told, all of it is in the worker's memory, within a limit: of a
 * run that is nobody's the zone and Redis never hear.
 */

typedef struct {
    ngx_phrony_store_t  *store;
    ngx_queue_t          waiting;       /* or asked; the oldest first */
    size_t               size;          /* bytes of these */
} ngx_phrony_late_t;


/* A trigger of which the run may be. */

typedef struct {
    phrony_uuid_t        trigger_id;
    phrony_uuid_t        agent_id;
} ngx_phrony_owner_t;


void ngx_phrony_late_init(ngx_phrony_late_t *late, ngx_phrony_store_t *store);

/* Forgets all that waits; the store must still be there. */

void ngx_phrony_late_stop(ngx_phrony_late_t *late);


/*
 * Tells what was seen of a run, SEEN or END, once it is known to belong to
 * one of "n" owners, which are of the settlement's workspace.  Trigger and
 * agent in the settlement do not count.  All is copied.  What is said of a
 * run that waits already is said once, and an end comes first.  There is no
 * answer: what there is no room for is lost.
 */

void ngx_phrony_late_settle(ngx_phrony_late_t *late,
    ngx_phrony_settlement_t *s, ngx_phrony_owner_t *owners, ngx_uint_t n);


PHRONY_HIDDEN_END


#endif /* _NGX_PHRONY_LATE_H_INCLUDED_ */
