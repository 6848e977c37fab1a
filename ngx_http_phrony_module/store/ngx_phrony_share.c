
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_phrony_share.h"
#include "ngx_phrony_trigger.h"


static void ngx_phrony_share_learn(ngx_phrony_share_t *share,
    ngx_phrony_op_t *op);
static void ngx_phrony_share_level(ngx_phrony_zone_t *zone,
    phrony_window_t *window, const phrony_window_shape_t *shape,
    uint64_t sum);
static ngx_phrony_counts_t *ngx_phrony_share_counts(ngx_phrony_zone_t *zone,
    ngx_phrony_trigger_t *trigger);
static void ngx_phrony_share_add(phrony_window_t *window,
    phrony_window_t *counts, const phrony_window_shape_t *shape,
    uint64_t now);


ngx_phrony_share_t *
ngx_phrony_share_use(ngx_phrony_zone_t *zone, ngx_phrony_trigger_t *trigger,
    phrony_uuid_t *workspace_id)
{
    ngx_phrony_share_t  *share;

    share = trigger->share;

    if (share == NULL) {
        share = ngx_phrony_zone_alloc(zone, sizeof(ngx_phrony_share_t),
                                      trigger);
        if (share == NULL) {
            return NULL;
        }

        ngx_memzero(share, sizeof(ngx_phrony_share_t));

        share->trigger_id = trigger->id;

        ngx_memory_barrier();
        trigger->share = share;
    }

    share->workspace_id = *workspace_id;

    return share;
}


void
ngx_phrony_share_free(ngx_phrony_zone_t *zone, ngx_phrony_trigger_t *trigger)
{
    ngx_phrony_share_t  *share;

    share = trigger->share;

    if (share) {
        trigger->share = NULL;
        ngx_memory_barrier();

        ngx_phrony_zone_free(zone, share);
    }
}


ngx_uint_t
ngx_phrony_share_idle(ngx_phrony_share_t *share, uint64_t now)
{
    return share->nuntold == 0
           && share->counts == NULL
           && (share->elsewhere == 0 || share->elsewhere_until <= now);
}


uint64_t
ngx_phrony_share_held(ngx_phrony_trigger_t *trigger, uint64_t now)
{
    ngx_phrony_share_t  *share;

    share = trigger->share;

    if (share == NULL || share->elsewhere_until <= now) {
        return trigger->nleases;
    }

    return trigger->nleases + share->elsewhere;
}


void
ngx_phrony_share_elsewhere(ngx_phrony_zone_t *zone, ngx_phrony_share_t *share,
    uint64_t held, uint64_t ttl)
{
    ngx_phrony_root_t  *root;

    root = zone->shpool->data;

    if (ttl > root->longest) {
        root->longest = ttl;
    }

    share->elsewhere = held;
    share->elsewhere_until = zone->now + root->longest;
}


void
ngx_phrony_share_forth(ngx_phrony_zone_t *zone, ngx_phrony_share_t *share,
    uint64_t expires)
{
    if (share->elsewhere_until <= zone->now) {
        share->elsewhere = 0;
    }

    share->elsewhere++;
    share->elsewhere_until = ngx_max(share->elsewhere_until, expires);
}


void
ngx_phrony_share_back(ngx_phrony_trigger_t *trigger)
{
    if (trigger && trigger->share && trigger->share->elsewhere) {
        trigger->share->elsewhere--;
    }
}


void
ngx_phrony_share_mirror(ngx_phrony_zone_t *zone, ngx_phrony_op_t *op,
    ngx_phrony_verdict_t *verdict, uint64_t sent)
{
    uint64_t               holds;
    ngx_phrony_share_t    *share;
    ngx_phrony_counts_t   *counts;
    ngx_phrony_trigger_t  *trigger;
    ngx_phrony_refusal_t  *refusal;

    trigger = ngx_phrony_trigger_use(zone, &op->trigger_id);

    if (trigger == NULL) {
        return;
    }

    share = ngx_phrony_share_use(zone, trigger, &op->workspace_id);

    if (share == NULL) {
        return;
    }

    ngx_phrony_share_learn(share, op);

    if (op->read) {
        ngx_phrony_share_level(zone, &trigger->reads.window,
                               &phrony_window_minute, verdict->minute.sum);
        refusal = &share->read;

    } else {
        counts = share->counts;

        ngx_phrony_share_level(zone, &trigger->rpm.window,
                               &phrony_window_minute,
                               (uint64_t) verdict->minute.sum
                               + (counts ? counts->rpm.window.sum : 0));
        ngx_phrony_share_level(zone, &trigger->rpd.window,
                               &phrony_window_day,
                               (uint64_t) verdict->day.sum
                               + (counts ? counts->rpd.window.sum : 0));

        ngx_phrony_share_elsewhere(zone, share, verdict->held,
                                   op->reservation_ttl);
        refusal = &share->start;
        op->duration = trigger->duration;
    }

    holds = ngx_phrony_verdict_holds(verdict, op);

    if (holds) {
        refusal->until = sent + holds;
        refusal->since = zone->now;
        refusal->verdict = *verdict;
        ngx_phrony_verdict_quotas(op, refusal->quotas);
    }
}


/* Kept as the quota and 1, so that 0 is no limit and all fits the room. */

static void
ngx_phrony_share_learn(ngx_phrony_share_t *share, ngx_phrony_op_t *op)
{
    ngx_uint_t       i;
    phrony_limit_t  *limit;

    for (i = 0; i < PHRONY_LIMIT_MAX; i++) {

        if ((i == PHRONY_LIMIT_READS) != op->read) {
            continue;
        }

        limit = &op->limits[i];

        share->quotas[i] = limit->set
                           ? (uint32_t) ngx_min(limit->quota, UINT32_MAX - 1)
                             + 1
                           : 0;
    }
}


int64_t
ngx_phrony_share_quota(ngx_phrony_share_t *share, phrony_limit_id_t id)
{
    return (int64_t) share->quotas[id] - 1;
}


static void
ngx_phrony_share_level(ngx_phrony_zone_t *zone, phrony_window_t *window,
    const phrony_window_shape_t *shape, uint64_t sum)
{
    phrony_window_advance(window, shape, zone->now);
    phrony_window_level(window, shape, (uint32_t) ngx_min(sum, UINT32_MAX));
}


ngx_uint_t
ngx_phrony_share_refuses(ngx_phrony_trigger_t *trigger, ngx_phrony_op_t *op,
    uint64_t now)
{
    int64_t                quotas[NGX_PHRONY_VERDICT_QUOTAS];
    ngx_phrony_refusal_t  *refusal;

    if (trigger == NULL || trigger->share == NULL) {
        return 0;
    }

    refusal = op->read ? &trigger->share->read : &trigger->share->start;

    if (refusal->until <= now) {
        return 0;
    }

    ngx_phrony_verdict_quotas(op, quotas);

    if (ngx_memcmp(quotas, refusal->quotas, sizeof(quotas)) != 0) {
        return 0;
    }

    op->duration = trigger->duration;

    return ngx_phrony_verdict_apply(&refusal->verdict, op,
                                    now - refusal->since)
           == NGX_OK;
}


ngx_int_t
ngx_phrony_share_count(ngx_phrony_zone_t *zone, ngx_phrony_trigger_t *trigger)
{
    ngx_phrony_counts_t  *counts;

    counts = ngx_phrony_share_counts(zone, trigger);

    if (counts == NULL) {
        return NGX_ERROR;
    }

    phrony_window_advance(&counts->rpm.window, &phrony_window_minute,
                          zone->now);
    phrony_window_advance(&counts->rpd.window, &phrony_window_day, zone->now);

    phrony_window_count(&counts->rpm.window, &phrony_window_minute);
    phrony_window_count(&counts->rpd.window, &phrony_window_day);

    return NGX_OK;
}


static ngx_phrony_counts_t *
ngx_phrony_share_counts(ngx_phrony_zone_t *zone, ngx_phrony_trigger_t *trigger)
{
    ngx_phrony_root_t    *root;
    ngx_phrony_share_t   *share;
    ngx_phrony_counts_t  *counts;

    share = trigger->share;

    if (share->counts) {
        return share->counts;
    }

    counts = ngx_phrony_zone_alloc(zone, sizeof(ngx_phrony_counts_t),
                                   trigger);
    if (counts == NULL) {
        return NULL;
    }

    ngx_memzero(counts, sizeof(ngx_phrony_counts_t));

    ngx_memory_barrier();
    share->counts = counts;

    root = zone->shpool->data;

    ngx_queue_insert_tail(&root->untold_counts, &share->queue);
    root->nuntold++;

    return counts;
}


ngx_int_t
ngx_phrony_share_take(ngx_phrony_zone_t *zone, ngx_phrony_share_t *share,
    ngx_phrony_counts_t *counts)
{
    ngx_queue_t          *q;
    ngx_phrony_root_t    *root;
    ngx_phrony_share_t   *from;
    ngx_phrony_counts_t  *taken;

    root = zone->shpool->data;

    if (ngx_queue_empty(&root->untold_counts)) {
        return NGX_DECLINED;
    }

    q = ngx_queue_head(&root->untold_counts);
    from = ngx_queue_data(q, ngx_phrony_share_t, queue);

    taken = from->counts;

    *share = *from;
    *counts = *taken;

    phrony_window_advance(&counts->rpm.window, &phrony_window_minute,
                          zone->now);
    phrony_window_advance(&counts->rpd.window, &phrony_window_day, zone->now);

    ngx_queue_remove(q);
    root->nuntold--;

    from->counts = NULL;
    ngx_memory_barrier();

    ngx_phrony_zone_free(zone, taken);

    return NGX_OK;
}


ngx_int_t
ngx_phrony_share_give(ngx_phrony_zone_t *zone, ngx_phrony_share_t *share,
    ngx_phrony_counts_t *counts)
{
    ngx_phrony_counts_t   *to;
    ngx_phrony_trigger_t  *trigger;

    trigger = ngx_phrony_trigger_use(zone, &share->trigger_id);

    if (trigger == NULL
        || ngx_phrony_share_use(zone, trigger, &share->workspace_id) == NULL)
    {
        return NGX_ERROR;
    }

    to = ngx_phrony_share_counts(zone, trigger);

    if (to == NULL) {
        return NGX_ERROR;
    }

    ngx_phrony_share_add(&to->rpm.window, &counts->rpm.window,
                         &phrony_window_minute, zone->now);
    ngx_phrony_share_add(&to->rpd.window, &counts->rpd.window,
                         &phrony_window_day, zone->now);

    return NGX_OK;
}


static void
ngx_phrony_share_add(phrony_window_t *window, phrony_window_t *counts,
    const phrony_window_shape_t *shape, uint64_t now)
{
    uint32_t  back, n;

    phrony_window_advance(window, shape, now);
    phrony_window_advance(counts, shape, now);

    for (back = 0; back < shape->places; back++) {
        n = phrony_window_past(counts, shape, back);

        if (n) {
            phrony_window_add(window, shape, back, n);
        }
    }
}
