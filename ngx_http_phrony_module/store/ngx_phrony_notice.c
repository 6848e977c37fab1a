
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_phrony_notice.h"
#include "ngx_phrony_claim.h"
#include "ngx_phrony_news.h"


static ngx_phrony_claim_t *ngx_phrony_notice_find(ngx_phrony_zone_t *zone,
    ngx_phrony_receipt_t *receipt);
static void ngx_phrony_notice_untold(ngx_phrony_zone_t *zone,
    ngx_phrony_claim_t *claim);
static void ngx_phrony_notice_abandon(ngx_phrony_zone_t *zone,
    ngx_phrony_notice_t *notice);
static u_char ngx_phrony_notice_letter(ngx_phrony_notice_t *notice);


void
ngx_phrony_notice_settle(ngx_phrony_zone_t *zone,
    ngx_phrony_receipt_t *receipt, ngx_uint_t ready,
    ngx_phrony_notice_t *notice)
{
    ngx_phrony_claim_t  *claim;

    ngx_memzero(notice, sizeof(ngx_phrony_notice_t));

    notice->of = *receipt;
    notice->lives = receipt->ttl;

    claim = ngx_phrony_notice_find(zone, receipt);

    if (claim) {
        notice->local = claim->local;
        notice->untold = claim->untold;
        notice->lives = ngx_max(notice->lives, claim->expires - zone->now);
    }

    if (ready
        && receipt->event == NGX_PHRONY_RECEIPT_DONE
        && (claim == NULL || claim->state != PHRONY_DELIVERY_PROGRESS))
    {
        if (claim) {
            ngx_phrony_claim_free(zone, claim);
        }

        return;
    }

    claim = ngx_phrony_claim_settle(zone, receipt);

    if (claim && claim->untold) {
        ngx_phrony_claim_told(zone->shpool->data, claim);
    }
}


/* The claim if it is still the owner's. */

static ngx_phrony_claim_t *
ngx_phrony_notice_find(ngx_phrony_zone_t *zone, ngx_phrony_receipt_t *receipt)
{
    ngx_phrony_claim_t  *claim;

    claim = ngx_phrony_claim_find(zone, receipt->digest);

    if (claim && phrony_uuid_eq(&claim->owner, &receipt->owner)) {
        return claim;
    }

    return NULL;
}


void
ngx_phrony_notice_keep(ngx_phrony_zone_t *zone, ngx_phrony_notice_t *notice)
{
    ngx_phrony_claim_t    *claim;
    ngx_phrony_receipt_t   receipt;

    claim = ngx_phrony_notice_find(zone, &notice->of);

    if (claim) {

        /* a claim that was forgotten may have been in doubt before */

        ngx_phrony_notice_untold(zone, claim);
        return;
    }

    if (notice->progress) {
        return;
    }

    if (notice->of.event != NGX_PHRONY_RECEIPT_FORGET) {
        claim = ngx_phrony_claim_settle(zone, &notice->of);

        if (claim) {
            ngx_phrony_notice_untold(zone, claim);
        }

        return;
    }

    if (!notice->local) {
        ngx_phrony_notice_abandon(zone, notice);
        return;
    }

    if (notice->untold) {
        return;
    }

    receipt = notice->of;
    receipt.event = NGX_PHRONY_RECEIPT_UNKNOWN;

    claim = ngx_phrony_claim_settle(zone, &receipt);

    if (claim) {
        ngx_phrony_notice_untold(zone, claim);
    }
}


static void
ngx_phrony_notice_untold(ngx_phrony_zone_t *zone, ngx_phrony_claim_t *claim)
{
    ngx_phrony_claim_untold(zone->shpool->data, claim);
}


static void
ngx_phrony_notice_abandon(ngx_phrony_zone_t *zone,
    ngx_phrony_notice_t *notice)
{
    ngx_phrony_news_t  news;

    ngx_memzero(&news, sizeof(ngx_phrony_news_t));

    news.event = NGX_PHRONY_NEWS_ABANDON;
    news.has_lease = 1;
    news.lease_id = notice->of.owner;
    news.trigger_id = notice->of.trigger_id;
    news.workspace_id = notice->of.workspace_id;
    news.ttl = notice->lives;

    (void) ngx_phrony_news_keep(zone, &news);
}


ngx_int_t
ngx_phrony_notice_next(ngx_phrony_zone_t *zone, ngx_phrony_notice_t *notice)
{
    ngx_queue_t           *q;
    ngx_phrony_root_t     *root;
    ngx_phrony_claim_t    *claim;
    ngx_phrony_receipt_t  *receipt;

    root = zone->shpool->data;

    do {
        if (ngx_queue_empty(&root->untold_claims)) {
            return NGX_DECLINED;
        }

        q = ngx_queue_head(&root->untold_claims);
        claim = ngx_queue_data(q, ngx_phrony_claim_t, untold_queue);

        /* whoever looks for one that has expired forgets it */

    } while (ngx_phrony_claim_find(zone, claim->digest) == NULL);

    ngx_memzero(notice, sizeof(ngx_phrony_notice_t));

    receipt = &notice->of;

    receipt->event = (claim->state == PHRONY_DELIVERY_DONE)
                     ? NGX_PHRONY_RECEIPT_DONE : NGX_PHRONY_RECEIPT_UNKNOWN;
    receipt->owner = claim->owner;
    receipt->trigger_id = claim->trigger_id;
    receipt->workspace_id = claim->workspace_id;
    receipt->ttl = (ngx_msec_t) (claim->expires - zone->now);

    ngx_memcpy(receipt->digest, claim->digest, NGX_PHRONY_DIGEST_LEN);
    ngx_memcpy(receipt->fingerprint, claim->fingerprint,
               NGX_PHRONY_DIGEST_LEN);

    notice->doubtful = claim->doubtful;
    notice->local = claim->local;
    notice->lives = receipt->ttl;

    if (claim->state == PHRONY_DELIVERY_PROGRESS) {
        notice->progress = 1;
        notice->left = claim->until - zone->now;
    }

    if (claim->state == PHRONY_DELIVERY_DONE) {
        ngx_phrony_claim_copy(claim, &receipt->stored);
    }

    ngx_phrony_claim_told(root, claim);

    return NGX_OK;
}


u_char *
ngx_phrony_notice_write(u_char *p, ngx_phrony_notice_t *notice)
{
    *p++ = ngx_phrony_notice_letter(notice);
    *p++ = notice->doubtful ? '1' : '0';
    *p++ = notice->local ? 'T' : 'A';

    p = ngx_phrony_news_number(p, (int64_t) notice->left);
    p = ngx_phrony_news_number(p, (int64_t) notice->of.ttl);
    p = phrony_uuid_format(p, &notice->of.owner);

    return ngx_cpymem(p, notice->of.fingerprint, NGX_PHRONY_DIGEST_LEN);
}


static u_char
ngx_phrony_notice_letter(ngx_phrony_notice_t *notice)
{
    return notice->progress ? 'P' : (u_char) notice->of.event;
}


u_char *
ngx_phrony_notice_claim(u_char *p, ngx_phrony_delivery_t *delivery)
{
    if (delivery->duplicate == PHRONY_DUPLICATE_DONE) {
        *p++ = 'L';

    } else {
        *p++ = (delivery->mode == PHRONY_DELIVERY_MODE_ANNOTATE) ? 'A' : 'R';
    }

    *p++ = (delivery->duplicate == PHRONY_DUPLICATE_UNKNOWN) ? '1' : '0';

    p = ngx_phrony_news_number(p, (int64_t) delivery->ttl);

    return ngx_cpymem(p, delivery->fingerprint, NGX_PHRONY_DIGEST_LEN);
}
