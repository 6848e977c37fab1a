
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_PHRONY_NOTICE_H_INCLUDED_
#define _NGX_PHRONY_NOTICE_H_INCLUDED_


#include "ngx_phrony_store.h"
#include "ngx_phrony_zone.h"


/* the texts that lua/admit.lua and lua/deliver.lua read */

#define NGX_PHRONY_NOTICE_DIGITS  15
#define NGX_PHRONY_NOTICE_CLAIM   (2 + NGX_PHRONY_NOTICE_DIGITS               \
                                   + NGX_PHRONY_DIGEST_LEN)
#define NGX_PHRONY_NOTICE_LEN     (3 + 2 * NGX_PHRONY_NOTICE_DIGITS           \
                                   + PHRONY_UUID_TEXT_LEN                     \
                                   + NGX_PHRONY_DIGEST_LEN)


PHRONY_HIDDEN_BEGIN


/*
 * What Redis is to be told of a claim:
 *
 *                               the zone, and at once Redis if it is there
 *                                          |
 *     Redis granted it -----> claimed -----+--> DONE, UNKNOWN: else untold
 *     this gateway did,                    |
 *     Redis being away -----> untold ------+--> FORGET: else its lease is
 *                                                       abandoned
 *
 * What is untold stays in the zone until a batch tells it, be it settled or
 * in progress.  A claim that was forgotten is in no zone any more: but Redis
 * counts none whose lease was given up, and that is kept and told like that
 * of any lease.  A claim of this gateway's own, of which Redis has been told,
 * has no such lease there: if its end cannot be told either, it is UNKNOWN.
 */

typedef struct {
    ngx_phrony_receipt_t   of;
    unsigned               progress:1;  /* not settled; of.event is UNKNOWN */
    unsigned               doubtful:1;  /* it was UNKNOWN before */
    unsigned               local:1;     /* it was not Redis that granted it */
    unsigned               untold:1;    /* nor has Redis heard of it */
    uint64_t               left;        /* ms it may be in progress */
    uint64_t               lives;       /* ms Redis may know it, at most */
} ngx_phrony_notice_t;


/*
 * The following are called with the lock of the zone held.
 */

/*
 * Settles the claim in the zone; "notice" is what Redis is to be told now.
 * What was done too late is not for the zone to say if Redis is "ready":
 * somebody else may have taken the claim over, and be done as well.
 */

void ngx_phrony_notice_settle(ngx_phrony_zone_t *zone,
    ngx_phrony_receipt_t *receipt, ngx_uint_t ready,
    ngx_phrony_notice_t *notice);

/* Notes that Redis is still to be told. */

void ngx_phrony_notice_keep(ngx_phrony_zone_t *zone,
    ngx_phrony_notice_t *notice);

/*
 * The claim that has waited longest, which counts as told then.  What is
 * stored of it is good until the lock is taken again.  Returns NGX_DECLINED
 * if there is none.
 */

ngx_int_t ngx_phrony_notice_next(ngx_phrony_zone_t *zone,
    ngx_phrony_notice_t *notice);


/* Writes NGX_PHRONY_NOTICE_LEN bytes, and returns what is behind them. */

u_char *ngx_phrony_notice_write(u_char *p, ngx_phrony_notice_t *notice);

/* Writes NGX_PHRONY_NOTICE_CLAIM bytes, of a start that asks; likewise. */

u_char *ngx_phrony_notice_claim(u_char *p, ngx_phrony_delivery_t *delivery);


PHRONY_HIDDEN_END


#endif /* _NGX_PHRONY_NOTICE_H_INCLUDED_ */
