
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_phrony_store_redis.h"
#include "ngx_phrony_batch.h"
#include "ngx_phrony_claim.h"
#include "ngx_phrony_decide.h"
#include "ngx_phrony_delivery.h"
#include "ngx_phrony_flight.h"
#include "ngx_phrony_receipt.h"
#include "ngx_phrony_run.h"
#include "ngx_phrony_share.h"
#include "ngx_phrony_suspect.h"
#include "ngx_phrony_store_memory.h"
#include "ngx_phrony_trigger.h"

#include <openssl/rand.h>


static ngx_int_t ngx_phrony_store_redis_admit(ngx_phrony_store_t *store,
    ngx_phrony_op_t *op);
static ngx_int_t ngx_phrony_store_redis_known(ngx_phrony_zone_t *zone,
    ngx_phrony_op_t *op);
static ngx_int_t ngx_phrony_store_redis_locate(ngx_phrony_store_t *store,
    ngx_phrony_op_t *op);
static ngx_int_t ngx_phrony_store_redis_suspect(ngx_phrony_store_t *store,
    ngx_phrony_op_t *op);
static void ngx_phrony_store_redis_cancel(ngx_phrony_store_t *store,
    ngx_phrony_op_t *op);
static void ngx_phrony_store_redis_settle(ngx_phrony_store_t *store,
    ngx_phrony_settlement_t *s);
static void ngx_phrony_store_redis_found(ngx_phrony_store_redis_t *redis,
    ngx_phrony_settlement_t *s);
static void ngx_phrony_store_redis_deliver(ngx_phrony_store_t *store,
    ngx_phrony_receipt_t *receipt);
static void ngx_phrony_store_redis_snapshot(ngx_phrony_store_t *store,
    ngx_phrony_snapshot_t *snapshot);


static ngx_phrony_store_t  ngx_phrony_store_redis = {
    ngx_string("redis"),
    ngx_phrony_store_redis_admit,
    ngx_phrony_store_redis_locate,
    ngx_phrony_store_redis_suspect,
    ngx_phrony_store_redis_cancel,
    ngx_phrony_store_redis_settle,
    ngx_phrony_store_redis_deliver,
    ngx_phrony_store_redis_snapshot
};


void
ngx_phrony_store_redis_init(ngx_phrony_store_redis_t *store,
    ngx_phrony_zone_t *zone, ngx_str_t *prefix, ngx_uint_t cluster)
{
    ngx_memzero(store, sizeof(ngx_phrony_store_redis_t));

    store->store = ngx_phrony_store_redis;
    store->zone = zone;
    store->prefix = *prefix;
    store->cluster = cluster;
}


ngx_int_t
ngx_phrony_store_redis_start(ngx_phrony_store_redis_t *store,
    ngx_phrony_redis_t *redis)
{
    if (redis == NULL) {
        return NGX_OK;
    }

    if (store->prefix.len > NGX_PHRONY_TEMPLATE_PREFIX
        || RAND_bytes((u_char *) &store->leases, sizeof(uint64_t)) != 1)
    {
        return NGX_ERROR;
    }

    phrony_lease_mark((u_char *) &store->leases);

    store->teller = ngx_phrony_tell_create(store->zone, redis, &store->prefix,
                                           store->cluster);

    return store->teller ? NGX_OK : NGX_ERROR;
}


void
ngx_phrony_store_redis_ready(ngx_phrony_store_redis_t *store)
{
    if (store->teller) {
        store->teller->paused = 0;
        ngx_phrony_batch_untold(store->teller);
    }
}


void
ngx_phrony_store_redis_flush(ngx_phrony_store_redis_t *store)
{
    if (store->teller) {
        ngx_phrony_tell_flush(store->teller);
        store->teller->closed = 1;
    }
}


void
ngx_phrony_store_redis_stop(ngx_phrony_store_redis_t *store)
{
    ngx_phrony_tell_destroy(store->teller);
    store->teller = NULL;
}


static ngx_int_t
ngx_phrony_store_redis_admit(ngx_phrony_store_t *store, ngx_phrony_op_t *op)
{
    uint64_t                   now;
    ngx_int_t                  rc;
    ngx_phrony_zone_t         *zone;
    ngx_phrony_store_redis_t  *redis;

    redis = (ngx_phrony_store_redis_t *) store;
    zone = redis->zone;

    op->failed = 0;
    op->granted = 0;
    op->leased = 0;
    op->flight = NULL;
    op->label = &ngx_phrony_flight_redis;

    (void) ngx_phrony_zone_lock(zone);

    rc = ngx_phrony_store_redis_known(zone, op);
    now = zone->now;

    ngx_phrony_zone_unlock(zone);

    if (rc == NGX_OK) {
        return ngx_phrony_delivery_keep(&op->delivery);
    }

    rc = ngx_phrony_flight_admit(redis, op, now);

    if (rc == NGX_AGAIN) {
        return rc;
    }

    return ngx_phrony_flight_local(redis, op);
}


/*
 * Returns NGX_OK if the zone has the answer.  No refusal that was noted
 * answers a start of which Redis may know that it is a duplicate.
 */

static ngx_int_t
ngx_phrony_store_redis_known(ngx_phrony_zone_t *zone, ngx_phrony_op_t *op)
{
    ngx_phrony_trigger_t  *trigger;

    if (op->delivery.mode != PHRONY_DELIVERY_MODE_OFF) {

        ngx_phrony_claim_look(zone, &op->delivery);

        if (ngx_phrony_delivery_blocks(&op->delivery)) {
            ngx_phrony_decide_look(zone, op);
            return NGX_OK;
        }

        if (ngx_phrony_delivery_asks(op)) {
            return NGX_DECLINED;
        }
    }

    trigger = ngx_phrony_trigger_find(zone->shpool->data, &op->trigger_id);

    return ngx_phrony_share_refuses(trigger, op, zone->now) ? NGX_OK
                                                            : NGX_DECLINED;
}


static ngx_int_t
ngx_phrony_store_redis_locate(ngx_phrony_store_t *store, ngx_phrony_op_t *op)
{
    ngx_int_t                  rc;
    ngx_phrony_run_t          *run;
    ngx_phrony_store_redis_t  *redis;

    redis = (ngx_phrony_store_redis_t *) store;

    op->failed = 0;
    op->flight = NULL;
    op->label = &ngx_phrony_flight_redis;

    (void) ngx_phrony_zone_lock(redis->zone);

    run = ngx_phrony_run_alive(redis->zone, &op->run_id);

    op->known = (run && !phrony_uuid_nil(&run->trigger_id));

    if (op->known) {
        op->trigger_id = run->trigger_id;
    }

    ngx_phrony_zone_unlock(redis->zone);

    if (op->known) {
        return NGX_OK;
    }

    rc = ngx_phrony_flight_locate(redis, op);

    if (rc == NGX_AGAIN) {
        return rc;
    }

    return ngx_phrony_flight_unknown(op);
}


/* Without Redis nobody knows all of the leases, nor who else has asked. */

static ngx_int_t
ngx_phrony_store_redis_suspect(ngx_phrony_store_t *store, ngx_phrony_op_t *op)
{
    ngx_uint_t                 due;
    ngx_phrony_store_redis_t  *redis;

    redis = (ngx_phrony_store_redis_t *) store;

    op->failed = 0;
    op->flight = NULL;
    op->label = &ngx_phrony_flight_redis;

    ngx_memzero(op->suspects, sizeof(ngx_phrony_suspects_t));

    (void) ngx_phrony_zone_lock(redis->zone);

    due = ngx_phrony_suspect_due(redis->zone, &op->trigger_id);

    ngx_phrony_zone_unlock(redis->zone);

    return due ? ngx_phrony_flight_suspect(redis, op) : NGX_OK;
}


static void
ngx_phrony_store_redis_cancel(ngx_phrony_store_t *store, ngx_phrony_op_t *op)
{
    ngx_phrony_flight_cancel(op);
}


static void
ngx_phrony_store_redis_settle(ngx_phrony_store_t *store,
    ngx_phrony_settlement_t *s)
{
    ngx_uint_t                 ready;
    ngx_phrony_news_t          news;
    ngx_phrony_teller_t       *teller;
    ngx_phrony_store_redis_t  *redis;

    redis = (ngx_phrony_store_redis_t *) store;
    teller = redis->teller;

    if (s->found) {
        ngx_phrony_store_redis_found(redis, s);
        return;
    }

    ready = ngx_phrony_tell_ready(teller, &s->workspace_id);

    (void) ngx_phrony_zone_lock(redis->zone);

    ngx_phrony_news_settle(redis->zone, s, &news);

    if (news.event != NGX_PHRONY_NEWS_NONE && !ready) {
        (void) ngx_phrony_news_keep(redis->zone, &news);
        news.event = NGX_PHRONY_NEWS_NONE;
    }

    ngx_phrony_zone_unlock(redis->zone);

    if (teller == NULL) {
        return;
    }

    if (news.event != NGX_PHRONY_NEWS_NONE) {
        ngx_phrony_tell(teller, &news);
    }

    ngx_phrony_batch_untold(teller);
}


/* Redis alone knows whether it applies: what cannot be told is not kept. */

static void
ngx_phrony_store_redis_found(ngx_phrony_store_redis_t *redis,
    ngx_phrony_settlement_t *s)
{
    ngx_phrony_news_t  news;

    if (!ngx_phrony_tell_ready(redis->teller, &s->workspace_id)) {
        return;
    }

    ngx_memzero(&news, sizeof(ngx_phrony_news_t));

    news.event = (s->event == PHRONY_LEASE_END) ? NGX_PHRONY_NEWS_GONE
                                                : NGX_PHRONY_NEWS_FOUND;
    news.has_lease = 1;
    news.has_run = 1;
    news.has_agent = 1;
    news.lease_id = s->lease_id;
    news.run_id = s->run_id;
    news.trigger_id = s->trigger_id;
    news.workspace_id = s->workspace_id;
    news.agent_id = s->agent_id;
    news.ttl = s->run_ttl;

    ngx_phrony_tell(redis->teller, &news);
}


static void
ngx_phrony_store_redis_deliver(ngx_phrony_store_t *store,
    ngx_phrony_receipt_t *receipt)
{
    ngx_uint_t                 ready;
    ngx_phrony_notice_t        notice;
    ngx_phrony_teller_t       *teller;
    ngx_phrony_store_redis_t  *redis;

    redis = (ngx_phrony_store_redis_t *) store;
    teller = redis->teller;

    ready = ngx_phrony_tell_ready(teller, &receipt->workspace_id);

    (void) ngx_phrony_zone_lock(redis->zone);

    ngx_phrony_notice_settle(redis->zone, receipt, ready, &notice);

    if (!ready) {
        ngx_phrony_notice_keep(redis->zone, &notice);
    }

    ngx_phrony_zone_unlock(redis->zone);

    if (teller == NULL) {
        return;
    }

    if (ready) {
        ngx_phrony_receipt_tell(teller, &notice);
    }

    ngx_phrony_batch_untold(teller);
}


static void
ngx_phrony_store_redis_snapshot(ngx_phrony_store_t *store,
    ngx_phrony_snapshot_t *snapshot)
{
    ngx_phrony_store_memory_figures(((ngx_phrony_store_redis_t *) store)->zone,
                                    snapshot);
}
