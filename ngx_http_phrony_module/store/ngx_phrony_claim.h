
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_PHRONY_CLAIM_H_INCLUDED_
#define _NGX_PHRONY_CLAIM_H_INCLUDED_


#include "ngx_phrony_store.h"
#include "ngx_phrony_zone.h"


#define NGX_PHRONY_CLAIM_STORED  (72 * 1024)    /* bytes of one, at most */


PHRONY_HIDDEN_BEGIN


/*
 * Deliveries in the zone.  Half of it is theirs at most; those that are
 * settled may be given up, the oldest first.  All of this is called with the
 * lock held.
 */


/* The claim on the delivery with this digest, or NULL if there is none. */

ngx_phrony_claim_t *ngx_phrony_claim_find(ngx_phrony_zone_t *zone,
    u_char *digest);


/*
 * Sets the delivery's action and duplicate by what is known here.  An answer
 * that is to be replayed is copied to this process's only room for that: once
 * the lock is given back, ngx_phrony_delivery_keep() moves it.
 */

void ngx_phrony_claim_look(ngx_phrony_zone_t *zone,
    ngx_phrony_delivery_t *delivery);


/* The answer that is stored, likewise; or none. */

void ngx_phrony_claim_copy(ngx_phrony_claim_t *claim, ngx_str_t *stored);


/*
 * Claims the delivery of a start for op->delivery.owner, or takes over the
 * claim of one whose outcome is unknown; sets "claimed".  If there is no room,
 * the delivery will not be remembered, which is counted.
 */

void ngx_phrony_claim_take(ngx_phrony_zone_t *zone, ngx_phrony_op_t *op);


/*
 * Settles a claim, unless it is another's by now: but what was DONE settles
 * another's that is UNKNOWN, too.  One that was given up is made again if it
 * was DONE or is UNKNOWN.  Returns it, or NULL if there is none any more.
 */

ngx_phrony_claim_t *ngx_phrony_claim_settle(ngx_phrony_zone_t *zone,
    ngx_phrony_receipt_t *receipt);


/* Forgets it. */

void ngx_phrony_claim_free(ngx_phrony_zone_t *zone,
    ngx_phrony_claim_t *claim);


/* Redis is to be told of it; or has been. */

void ngx_phrony_claim_untold(ngx_phrony_root_t *root,
    ngx_phrony_claim_t *claim);

void ngx_phrony_claim_told(ngx_phrony_root_t *root,
    ngx_phrony_claim_t *claim);


/* Gives up some that were settled long ago, to make room for others. */

void ngx_phrony_claim_evict(ngx_phrony_zone_t *zone);


/* Makes queues and sums anew, after the lock's last holder was killed. */

void ngx_phrony_claim_repair(ngx_phrony_root_t *root);


PHRONY_HIDDEN_END


#endif /* _NGX_PHRONY_CLAIM_H_INCLUDED_ */
