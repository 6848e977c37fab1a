
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_PHRONY_SHARE_H_INCLUDED_
#define _NGX_PHRONY_SHARE_H_INCLUDED_


#include "ngx_phrony_zone.h"


PHRONY_HIDDEN_BEGIN


/*
 * What the zone keeps of a trigger because Redis is asked about it.  All of
 * this is called with the lock held.
 */


/*
 * The share of the trigger, a new one if it has none; NULL if there is no
 * room.  It is from now on of this workspace.
 */

ngx_phrony_share_t *ngx_phrony_share_use(ngx_phrony_zone_t *zone,
    ngx_phrony_trigger_t *trigger, phrony_uuid_t *workspace_id);

void ngx_phrony_share_free(ngx_phrony_zone_t *zone,
    ngx_phrony_trigger_t *trigger);

/* Returns 1 if nothing in it would be missed, else 0. */

ngx_uint_t ngx_phrony_share_idle(ngx_phrony_share_t *share, uint64_t now);


/* The limit of the trigger when it was last used, or -1 if it has none. */

int64_t ngx_phrony_share_quota(ngx_phrony_share_t *share,
    phrony_limit_id_t id);


/* Slots of the trigger: those held here, and those that Redis holds. */

uint64_t ngx_phrony_share_held(ngx_phrony_trigger_t *trigger, uint64_t now);

/* Notes how many slots Redis holds, for "ttl" at least. */

void ngx_phrony_share_elsewhere(ngx_phrony_zone_t *zone,
    ngx_phrony_share_t *share, uint64_t held, uint64_t ttl);

/* One more that it holds until "expires", and one that was given back. */

void ngx_phrony_share_forth(ngx_phrony_zone_t *zone,
    ngx_phrony_share_t *share, uint64_t expires);

void ngx_phrony_share_back(ngx_phrony_trigger_t *trigger);


/*
 * Brings the counts of a trigger to what Redis has answered, and those that
 * it has not been told; "sent" is when it was asked.  Notes a refusal.
 */

void ngx_phrony_share_mirror(ngx_phrony_zone_t *zone, ngx_phrony_op_t *op,
    ngx_phrony_verdict_t *verdict, uint64_t sent);

/* Returns 1 if a refusal that still holds answers the op, else 0. */

ngx_uint_t ngx_phrony_share_refuses(ngx_phrony_trigger_t *trigger,
    ngx_phrony_op_t *op, uint64_t now);


/* Counts a start, now, that Redis is to be told.  NGX_ERROR: no room. */

ngx_int_t ngx_phrony_share_count(ngx_phrony_zone_t *zone,
    ngx_phrony_trigger_t *trigger);

/*
 * Takes the counts of the share that has waited longest, which are no longer
 * untold then; its ids are copied, too.  Returns NGX_DECLINED if there are
 * none.
 */

ngx_int_t ngx_phrony_share_take(ngx_phrony_zone_t *zone,
    ngx_phrony_share_t *share, ngx_phrony_counts_t *counts);

/* Gives them back.  Returns NGX_ERROR if there is no room. */

ngx_int_t ngx_phrony_share_give(ngx_phrony_zone_t *zone,
    ngx_phrony_share_t *share, ngx_phrony_counts_t *counts);


PHRONY_HIDDEN_END


#endif /* _NGX_PHRONY_SHARE_H_INCLUDED_ */
