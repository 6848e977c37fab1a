
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_phrony_top.h"
#include "ngx_phrony_share.h"
#include "ngx_phrony_trigger.h"


#define NGX_PHRONY_TOP_STEP  50     /* triggers, while the lock is held */


static ngx_uint_t ngx_phrony_top_step(ngx_phrony_zone_t *zone,
    ngx_phrony_top_entry_t *entries, ngx_phrony_top_entry_t *last);
static void ngx_phrony_top_read(ngx_phrony_top_entry_t *entry,
    ngx_phrony_trigger_t *trigger, uint64_t now);
static uint64_t ngx_phrony_top_sum(phrony_window_t *window,
    const phrony_window_shape_t *shape, uint64_t now);
static uint64_t ngx_phrony_top_fill(ngx_phrony_top_entry_t *entry);
static void ngx_phrony_top_insert(ngx_phrony_top_t *top,
    ngx_phrony_top_entry_t *entry);


void
ngx_phrony_top(ngx_phrony_zone_t *zone, ngx_phrony_top_t *top,
    ngx_phrony_top_look_up_pt look_up, void *data)
{
    ngx_uint_t               i, n, looked;
    ngx_phrony_top_entry_t  *last, entries[NGX_PHRONY_TOP_STEP], before;

    top->n = 0;
    top->held = 0;
    last = NULL;

    for (looked = 0; looked < NGX_PHRONY_TOP_LOOK; looked += n) {

        n = ngx_phrony_top_step(zone, entries, last);

        for (i = 0; i < n; i++) {

            if (look_up) {
                look_up(data, &entries[i]);
            }

            top->held += entries[i].used[PHRONY_LIMIT_RUNS];
            entries[i].fill = ngx_phrony_top_fill(&entries[i]);

            if (entries[i].fill) {
                ngx_phrony_top_insert(top, &entries[i]);
            }
        }

        if (n < NGX_PHRONY_TOP_STEP) {
            return;
        }

        before = entries[n - 1];
        last = &before;
    }
}


/*
 * Reads the triggers that follow "last", or the first ones.  A trigger that
 * was given up or used meanwhile does not lead on: the ones behind it are left
 * out, which is no loss where so much goes on.
 */

static ngx_uint_t
ngx_phrony_top_step(ngx_phrony_zone_t *zone, ngx_phrony_top_entry_t *entries,
    ngx_phrony_top_entry_t *last)
{
    ngx_uint_t             n;
    ngx_queue_t           *q;
    ngx_phrony_root_t     *root;
    ngx_phrony_trigger_t  *trigger;

    n = 0;
    root = ngx_phrony_zone_lock(zone);
    q = ngx_queue_head(&root->recent);

    if (last) {
        trigger = ngx_phrony_trigger_find(root, &last->trigger_id);
        q = trigger ? ngx_queue_next(&trigger->queue)
                    : ngx_queue_sentinel(&root->recent);
    }

    while (n < NGX_PHRONY_TOP_STEP && q != ngx_queue_sentinel(&root->recent)) {

        trigger = ngx_queue_data(q, ngx_phrony_trigger_t, queue);
        ngx_phrony_top_read(&entries[n++], trigger, zone->now);

        q = ngx_queue_next(q);
    }

    ngx_phrony_zone_unlock(zone);

    return n;
}


static void
ngx_phrony_top_read(ngx_phrony_top_entry_t *entry,
    ngx_phrony_trigger_t *trigger, uint64_t now)
{
    ngx_uint_t  i;

    ngx_memzero(entry, sizeof(ngx_phrony_top_entry_t));

    entry->trigger_id = trigger->id;

    entry->used[PHRONY_LIMIT_RPM] =
        ngx_phrony_top_sum(&trigger->rpm.window, &phrony_window_minute, now);
    entry->used[PHRONY_LIMIT_RPD] =
        ngx_phrony_top_sum(&trigger->rpd.window, &phrony_window_day, now);
    entry->used[PHRONY_LIMIT_READS] =
        ngx_phrony_top_sum(&trigger->reads.window, &phrony_window_minute, now);
    entry->used[PHRONY_LIMIT_RUNS] = ngx_phrony_share_held(trigger, now);

    for (i = 0; i < PHRONY_LIMIT_MAX; i++) {
        entry->quotas[i] = trigger->share
                           ? ngx_phrony_share_quota(trigger->share, i) : -1;
    }
}


static uint64_t
ngx_phrony_top_sum(phrony_window_t *window,
    const phrony_window_shape_t *shape, uint64_t now)
{
    phrony_window_advance(window, shape, now);

    return window->sum;
}


/* A limit of 0 is meant to admit nothing: nothing of it is used up. */

static uint64_t
ngx_phrony_top_fill(ngx_phrony_top_entry_t *entry)
{
    uint64_t    fill, most;
    ngx_uint_t  i;

    most = 0;

    for (i = 0; i < PHRONY_LIMIT_MAX; i++) {

        if (entry->quotas[i] <= 0) {
            continue;
        }

        fill = entry->used[i] * NGX_PHRONY_TOP_FULL
               / (uint64_t) entry->quotas[i];
        most = ngx_max(most, fill);
    }

    return most;
}


static void
ngx_phrony_top_insert(ngx_phrony_top_t *top, ngx_phrony_top_entry_t *entry)
{
    ngx_uint_t  i;

    /* one that was used while we looked may have come twice */

    for (i = 0; i < top->n; i++) {
        if (phrony_uuid_eq(&top->entries[i].trigger_id, &entry->trigger_id)) {
            return;
        }
    }

    if (top->n < NGX_PHRONY_TOP_MAX) {
        top->n++;

    } else if (top->entries[NGX_PHRONY_TOP_MAX - 1].fill >= entry->fill) {
        return;
    }

    for (i = top->n - 1; i > 0 && top->entries[i - 1].fill < entry->fill; i--)
    {
        top->entries[i] = top->entries[i - 1];
    }

    top->entries[i] = *entry;
}
