
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_PHRONY_RUN_H_INCLUDED_
#define _NGX_PHRONY_RUN_H_INCLUDED_


#include "ngx_phrony_zone.h"


PHRONY_HIDDEN_BEGIN


/*
 * Runs in the zone, and the leases by which they hold slots.  All of this is
 * called with the lock held.
 */


/* The run with this id, be it its own or its lease's; or NULL. */

ngx_phrony_run_t *ngx_phrony_run_find(ngx_phrony_root_t *root,
    phrony_uuid_t *id);

/* The same, but not one whose time has run out: that is forgotten now. */

ngx_phrony_run_t *ngx_phrony_run_alive(ngx_phrony_zone_t *zone,
    phrony_uuid_t *id);

/* Returns 1 if this is the id of a lease that the zone gave, else 0. */

ngx_uint_t ngx_phrony_run_reserved(ngx_phrony_root_t *root,
    phrony_uuid_t *id);

/*
 * Adds a run that expires after "ttl": with a slot of "trigger", or without
 * one if that is NULL.  A NULL "id" gives it a new lease id.
 * Returns NULL if there is no room.
 */

ngx_phrony_run_t *ngx_phrony_run_add(ngx_phrony_zone_t *zone,
    phrony_uuid_t *id, phrony_uuid_t *trigger_id,
    ngx_phrony_trigger_t *trigger, uint64_t ttl);

/* The start of the run was decided now. */

void ngx_phrony_run_began(ngx_phrony_zone_t *zone, ngx_phrony_run_t *run);

/* Gives the slot back, if the run holds one here, and forgets the run. */

void ngx_phrony_run_free(ngx_phrony_zone_t *zone, ngx_phrony_run_t *run);

/* The run that was a reservation is now known by its own id. */

void ngx_phrony_run_rename(ngx_phrony_root_t *root, ngx_phrony_run_t *run,
    phrony_uuid_t *id);

/*
 * Adds one that holds no slot and is in this state, or NULL if there is no
 * room.
 */

ngx_phrony_run_t *ngx_phrony_run_know(ngx_phrony_zone_t *zone,
    phrony_uuid_t *id, phrony_uuid_t *trigger_id, phrony_lease_state_t state,
    uint64_t ttl);

/*
 * The run was seen, alive or ended: it stays known for s->run_ttl, and gives
 * its slot back if it has ended.
 */

void ngx_phrony_run_see(ngx_phrony_zone_t *zone, ngx_phrony_run_t *run,
    ngx_phrony_settlement_t *s);

/* Gives the slot back; the run stays known for "ttl". */

void ngx_phrony_run_end(ngx_phrony_zone_t *zone, ngx_phrony_run_t *run,
    uint64_t ttl);

/* Makes the run the most recently used, to expire after "ttl". */

void ngx_phrony_run_touch(ngx_phrony_zone_t *zone, ngx_phrony_run_t *run,
    uint64_t ttl);

/*
 * Redis is to be told of the run, whose trigger has a share; or that is no
 * longer so.  A slot that the run holds here goes along to Redis.
 */

void ngx_phrony_run_untold(ngx_phrony_root_t *root, ngx_phrony_run_t *run,
    ngx_phrony_trigger_t *trigger);

void ngx_phrony_run_told(ngx_phrony_zone_t *zone, ngx_phrony_run_t *run);

/*
 * Gives back at most "n" slots of runs that have expired, and forgets these.
 * Returns how many there were.
 */

ngx_uint_t ngx_phrony_run_sweep(ngx_phrony_zone_t *zone, ngx_uint_t n);

/* Forgets at most "n" runs that had no slot any more. */

void ngx_phrony_run_sweep_ended(ngx_phrony_zone_t *zone, ngx_uint_t n);

/* Forgets some that have expired or ended, to make room. */

void ngx_phrony_run_evict(ngx_phrony_zone_t *zone);

/*
 * Put the run into the queues in which it belongs, as the most recently used,
 * where "ttl" is how long it lives from now on, or 0 if that is as before; and
 * take it out of them.  Neither is about root->untold.
 */

void ngx_phrony_run_index(ngx_phrony_root_t *root, ngx_phrony_run_t *run,
    uint64_t ttl);

void ngx_phrony_run_unindex(ngx_phrony_root_t *root, ngx_phrony_run_t *run);

/* Puts the run into the chain of its id, and no index. */

void ngx_phrony_run_link(ngx_phrony_root_t *root, ngx_phrony_run_t *run);


PHRONY_HIDDEN_END


#endif /* _NGX_PHRONY_RUN_H_INCLUDED_ */
