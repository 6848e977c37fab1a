
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_phrony_batch.h"
#include "ngx_phrony_receipt.h"
#include "ngx_phrony_share.h"


#define NGX_PHRONY_BATCH_RUNS    64     /* at once */
#define NGX_PHRONY_BATCH_COUNTS  16     /* triggers at once */
#define NGX_PHRONY_BATCH_CLAIMS  16     /* at once, with their answers */


/* What a command needs once it is answered. */

typedef struct {
    ngx_phrony_teller_t    *teller;
    ngx_phrony_share_t      share;      /* its ids */
    ngx_phrony_counts_t     counts;
} ngx_phrony_batch_counts_t;


static ngx_uint_t ngx_phrony_batch_any(ngx_phrony_teller_t *teller);
static ngx_uint_t ngx_phrony_batch_runs(ngx_phrony_teller_t *teller);
static ngx_uint_t ngx_phrony_batch_counts(ngx_phrony_teller_t *teller);
static ngx_uint_t ngx_phrony_batch_claims(ngx_phrony_teller_t *teller);
static ngx_int_t ngx_phrony_batch_send_counts(ngx_phrony_teller_t *teller,
    ngx_phrony_share_t *share, ngx_phrony_counts_t *counts);
static void ngx_phrony_batch_counts_handler(
    ngx_phrony_redis_command_t *command, ngx_phrony_redis_result_t result,
    const phrony_resp_t *reply);
static void ngx_phrony_batch_give(ngx_phrony_teller_t *teller,
    ngx_phrony_share_t *share, ngx_phrony_counts_t *counts);


/* Others, too, leave untold what this worker may tell. */

void
ngx_phrony_batch_later_handler(ngx_event_t *ev)
{
    ngx_phrony_teller_t  *teller;

    ngx_log_debug0(NGX_LOG_DEBUG_CORE, ev->log, 0,
                   "phrony batch later handler");

    teller = ev->data;

    teller->paused = 0;

    ngx_phrony_batch_untold(teller);

    if (!ngx_exiting && !ngx_terminate) {
        ngx_add_timer(ev, NGX_PHRONY_BATCH_LATER);
    }
}


static ngx_uint_t
ngx_phrony_batch_any(ngx_phrony_teller_t *teller)
{
    return !teller->closed
           && ngx_phrony_redis_ready(teller->encoder.redis,
                                     NGX_PHRONY_REDIS_ANY);
}


void
ngx_phrony_batch_untold(ngx_phrony_teller_t *teller)
{
    ngx_phrony_root_t  *root;

    /* a number that is changed right now is as good as the one before */

    root = teller->zone->shpool->data;

    if (root->nuntold
        && teller->telling == 0
        && !teller->paused
        && ngx_phrony_batch_any(teller))
    {
        ngx_post_event(&teller->batch, &ngx_posted_events);
    }
}


void
ngx_phrony_batch_handler(ngx_event_t *ev)
{
    ngx_phrony_teller_t  *teller;

    ngx_log_debug0(NGX_LOG_DEBUG_CORE, ev->log, 0, "phrony batch handler");

    teller = ev->data;

    if (teller->telling || !ngx_phrony_batch_any(teller)) {
        return;
    }

    if (ngx_phrony_batch_runs(teller) + ngx_phrony_batch_counts(teller)
        + ngx_phrony_batch_claims(teller)
        && teller->telling == 0)
    {
        /* not to that node: see later */

        teller->paused = 1;
    }
}


static ngx_uint_t
ngx_phrony_batch_runs(ngx_phrony_teller_t *teller)
{
    ngx_uint_t         i, n;
    ngx_phrony_news_t  news[NGX_PHRONY_BATCH_RUNS];

    ngx_phrony_tell_flush(teller);

    (void) ngx_phrony_zone_lock(teller->zone);

    for (n = 0; n < NGX_PHRONY_BATCH_RUNS; n++) {

        if (ngx_phrony_news_next(teller->zone, &news[n]) != NGX_OK) {
            break;
        }
    }

    ngx_phrony_zone_unlock(teller->zone);

    teller->batching = 1;

    for (i = 0; i < n; i++) {
        ngx_phrony_tell(teller, &news[i]);
    }

    ngx_phrony_tell_flush(teller);

    teller->batching = 0;

    return n;
}


static ngx_uint_t
ngx_phrony_batch_counts(ngx_phrony_teller_t *teller)
{
    ngx_int_t            rc;
    ngx_uint_t           n;
    ngx_phrony_share_t   share;
    ngx_phrony_counts_t  counts;

    for (n = 0; n < NGX_PHRONY_BATCH_COUNTS; n++) {

        (void) ngx_phrony_zone_lock(teller->zone);

        rc = ngx_phrony_share_take(teller->zone, &share, &counts);

        ngx_phrony_zone_unlock(teller->zone);

        if (rc != NGX_OK) {
            break;
        }

        if (counts.rpm.window.sum == 0 && counts.rpd.window.sum == 0) {
            continue;
        }

        if (ngx_phrony_batch_send_counts(teller, &share, &counts) != NGX_OK) {
            ngx_phrony_batch_give(teller, &share, &counts);
        }
    }

    return n;
}


static ngx_uint_t
ngx_phrony_batch_claims(ngx_phrony_teller_t *teller)
{
    ngx_int_t            rc;
    ngx_uint_t           n;
    ngx_phrony_notice_t  notice;

    teller->batching = 1;

    for (n = 0; n < NGX_PHRONY_BATCH_CLAIMS; n++) {

        (void) ngx_phrony_zone_lock(teller->zone);

        rc = ngx_phrony_notice_next(teller->zone, &notice);

        ngx_phrony_zone_unlock(teller->zone);

        if (rc != NGX_OK) {
            break;
        }

        ngx_phrony_receipt_tell(teller, &notice);
    }

    teller->batching = 0;

    return n;
}


static ngx_int_t
ngx_phrony_batch_send_counts(ngx_phrony_teller_t *teller,
    ngx_phrony_share_t *share, ngx_phrony_counts_t *counts)
{
    ngx_phrony_batch_counts_t   *tell;
    ngx_phrony_redis_command_t  *command;

    if (!ngx_phrony_tell_ready(teller, &share->workspace_id)) {
        return NGX_DECLINED;
    }

    command = ngx_phrony_encode_tell(&teller->encoder, share, counts,
                                     teller->zone->now,
                                     sizeof(ngx_phrony_batch_counts_t));
    if (command == NULL) {
        return NGX_ERROR;
    }

    tell = command->data;

    tell->teller = teller;
    tell->share = *share;
    tell->counts = *counts;

    command->handler = ngx_phrony_batch_counts_handler;

    if (ngx_phrony_redis_send(teller->encoder.redis, command) != NGX_OK) {
        return NGX_DECLINED;
    }

    teller->telling++;

    return NGX_OK;
}


/*
 * Counts are no state but events: what may have been counted is not told a
 * second time, or starts that never were would be refused others.
 */

static void
ngx_phrony_batch_counts_handler(ngx_phrony_redis_command_t *command,
    ngx_phrony_redis_result_t result, const phrony_resp_t *reply)
{
    ngx_phrony_teller_t        *teller;
    ngx_phrony_batch_counts_t  *tell;

    tell = command->data;
    teller = tell->teller;

    if (result == NGX_PHRONY_REDIS_UNSENT
        || (result == NGX_PHRONY_REDIS_ANSWERED
            && reply->type != PHRONY_RESP_INTEGER
            && ngx_phrony_tell_passes(reply, "counts")))
    {
        teller->paused = 1;
        ngx_phrony_batch_give(teller, &tell->share, &tell->counts);
    }

    ngx_phrony_batch_done(teller);
}


static void
ngx_phrony_batch_give(ngx_phrony_teller_t *teller, ngx_phrony_share_t *share,
    ngx_phrony_counts_t *counts)
{
    ngx_phrony_root_t  *root;

    root = ngx_phrony_zone_lock(teller->zone);

    if (ngx_phrony_share_give(teller->zone, share, counts) != NGX_OK) {
        root->exhausted++;
    }

    ngx_phrony_zone_unlock(teller->zone);
}


/* After the last answer to a batch comes the next one. */

void
ngx_phrony_batch_done(ngx_phrony_teller_t *teller)
{
    teller->telling--;

    ngx_phrony_batch_untold(teller);
}
