
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_phrony_trigger.h"
#include "ngx_phrony_share.h"


#define NGX_PHRONY_TRIGGER_EVICT  64    /* looked at, to make room for one */


static ngx_phrony_trigger_t *ngx_phrony_trigger_take_spare(
    ngx_phrony_root_t *root);
static ngx_uint_t ngx_phrony_trigger_idle(ngx_phrony_trigger_t *trigger,
    uint64_t now);
static void ngx_phrony_trigger_free(ngx_phrony_zone_t *zone,
    ngx_phrony_trigger_t *trigger);
static ngx_phrony_trigger_t **ngx_phrony_trigger_chain(
    ngx_phrony_root_t *root, phrony_uuid_t *id);


ngx_phrony_trigger_t *
ngx_phrony_trigger_find(ngx_phrony_root_t *root, phrony_uuid_t *id)
{
    ngx_phrony_trigger_t  *trigger;

    trigger = *ngx_phrony_trigger_chain(root, id);

    while (trigger && !phrony_uuid_eq(&trigger->id, id)) {
        trigger = trigger->next;
    }

    return trigger;
}


ngx_phrony_trigger_t *
ngx_phrony_trigger_add(ngx_phrony_zone_t *zone, phrony_uuid_t *id)
{
    ngx_phrony_root_t      *root;
    ngx_phrony_trigger_t   *trigger, **chain;

    root = zone->shpool->data;

    trigger = ngx_phrony_trigger_take_spare(root);

    if (trigger == NULL) {
        trigger = ngx_phrony_zone_alloc(zone, sizeof(ngx_phrony_trigger_t),
                                        NULL);
    }

    if (trigger == NULL) {

        /* those that were evicted for it are spare now */

        trigger = ngx_phrony_trigger_take_spare(root);
    }

    if (trigger == NULL) {
        return NULL;
    }

    ngx_memzero(trigger, sizeof(ngx_phrony_trigger_t));

    trigger->id = *id;
    ngx_queue_init(&trigger->runs);

    chain = ngx_phrony_trigger_chain(root, id);
    trigger->next = *chain;

    ngx_memory_barrier();
    *chain = trigger;

    ngx_queue_insert_head(&root->recent, &trigger->queue);
    root->ntriggers++;

    return trigger;
}


static ngx_phrony_trigger_t *
ngx_phrony_trigger_take_spare(ngx_phrony_root_t *root)
{
    ngx_phrony_trigger_t  *trigger;

    trigger = root->spare;

    if (trigger) {
        root->spare = trigger->next;
        root->nspare--;
    }

    return trigger;
}


/* The mean follows what is new by an eighth. */

void
ngx_phrony_trigger_measure(ngx_phrony_trigger_t *trigger, uint32_t duration)
{
    uint32_t  mean;

    mean = trigger->duration;

    if (mean == 0) {
        mean = duration;

    } else if (duration > mean) {
        mean += (duration - mean) / 8;

    } else {
        mean -= (mean - duration) / 8;
    }

    trigger->duration = ngx_max(mean, 1);
}


void
ngx_phrony_trigger_touch(ngx_phrony_root_t *root,
    ngx_phrony_trigger_t *trigger)
{
    if (ngx_queue_head(&root->recent) == &trigger->queue) {
        return;
    }

    ngx_queue_remove(&trigger->queue);
    ngx_queue_insert_head(&root->recent, &trigger->queue);
}


void
ngx_phrony_trigger_evict(ngx_phrony_zone_t *zone,
    ngx_phrony_trigger_t *keep)
{
    ngx_uint_t             n;
    ngx_queue_t           *q;
    ngx_phrony_root_t     *root;
    ngx_phrony_trigger_t  *trigger;

    root = zone->shpool->data;

    for (n = 0; n < NGX_PHRONY_TRIGGER_EVICT; n++) {

        if (ngx_queue_empty(&root->recent)) {
            return;
        }

        q = ngx_queue_last(&root->recent);
        trigger = ngx_queue_data(q, ngx_phrony_trigger_t, queue);

        if (trigger == keep
            || !ngx_phrony_trigger_idle(trigger, zone->now))
        {

            /* look at another one the next time */

            ngx_phrony_trigger_touch(root, trigger);
            continue;
        }

        ngx_phrony_trigger_free(zone, trigger);
        root->evicted++;
    }
}


static ngx_uint_t
ngx_phrony_trigger_idle(ngx_phrony_trigger_t *trigger, uint64_t now)
{
    if (trigger->nleases) {
        return 0;
    }

    if (trigger->share && !ngx_phrony_share_idle(trigger->share, now)) {
        return 0;
    }

    phrony_window_advance(&trigger->rpm.window, &phrony_window_minute, now);
    phrony_window_advance(&trigger->reads.window, &phrony_window_minute, now);
    phrony_window_advance(&trigger->rpd.window, &phrony_window_day, now);

    return trigger->rpm.window.sum == 0
           && trigger->reads.window.sum == 0
           && trigger->rpd.window.sum == 0;
}


static void
ngx_phrony_trigger_free(ngx_phrony_zone_t *zone,
    ngx_phrony_trigger_t *trigger)
{
    ngx_phrony_root_t      *root;
    ngx_phrony_trigger_t  **link;

    root = zone->shpool->data;

    link = ngx_phrony_trigger_chain(root, &trigger->id);

    while (*link != trigger) {
        link = &(*link)->next;
    }

    *link = trigger->next;
    ngx_memory_barrier();

    ngx_queue_remove(&trigger->queue);
    root->ntriggers--;

    ngx_phrony_share_free(zone, trigger);

    if (root->nspare == root->max_spare) {
        ngx_phrony_zone_free(zone, trigger);
        return;
    }

    trigger->next = root->spare;
    ngx_memory_barrier();

    root->spare = trigger;
    root->nspare++;
}


ngx_phrony_trigger_t *
ngx_phrony_trigger_use(ngx_phrony_zone_t *zone, phrony_uuid_t *id)
{
    ngx_phrony_root_t     *root;
    ngx_phrony_trigger_t  *trigger;

    root = zone->shpool->data;

    trigger = ngx_phrony_trigger_find(root, id);

    if (trigger == NULL) {
        return ngx_phrony_trigger_add(zone, id);
    }

    ngx_phrony_trigger_touch(root, trigger);

    return trigger;
}


static ngx_phrony_trigger_t **
ngx_phrony_trigger_chain(ngx_phrony_root_t *root, phrony_uuid_t *id)
{
    return &root->triggers[phrony_uuid_hash(id, root->origin.seed)
                           & root->trigger_mask];
}
