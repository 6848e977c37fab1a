
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_phrony_top.h"
#include "ngx_phrony_share.h"
#include "ngx_phrony_trigger.h"


#define NGX_PHRONY_TOP_STEP   50    /* triggers, while the lock is held */
#define NGX_PHRONY_TOP_MARKS  2048  /* a power of 2, twice NGX_PHRONY_TOP_LOOK
                                       or more */


/*
 * Triggers move to the head of the queue while the lock is given back: those
 * that were looked at are known by the hashes of their ids.
 */

typedef struct {
    unsigned                 begun:1;
    phrony_uuid_t            last;      /* that was looked at */
    uint64_t                 marks[NGX_PHRONY_TOP_MARKS];   /* 0: free */
} ngx_phrony_top_walk_t;


static ngx_uint_t ngx_phrony_top_step(ngx_phrony_zone_t *zone,
    ngx_phrony_top_walk_t *walk, ngx_phrony_top_entry_t *entries);
static ngx_queue_t *ngx_phrony_top_next(ngx_phrony_root_t *root,
    ngx_phrony_top_walk_t *walk);
static ngx_uint_t ngx_phrony_top_mark(ngx_phrony_root_t *root,
    ngx_phrony_top_walk_t *walk, phrony_uuid_t *id);
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
    ngx_uint_t              i, n, looked;
    ngx_phrony_top_walk_t   walk;
    ngx_phrony_top_entry_t  entries[NGX_PHRONY_TOP_STEP];

    top->n = 0;
    top->held = 0;

    ngx_memzero(&walk, sizeof(ngx_phrony_top_walk_t));

    for (looked = 0; looked < NGX_PHRONY_TOP_LOOK; looked += n) {

        n = ngx_phrony_top_step(zone, &walk, entries);

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
    }
}


/*
 * Reads the next triggers.  To pass those that were looked at costs little,
 * but there is an end to it, too.
 */

static ngx_uint_t
ngx_phrony_top_step(ngx_phrony_zone_t *zone, ngx_phrony_top_walk_t *walk,
    ngx_phrony_top_entry_t *entries)
{
    ngx_uint_t             n, passed;
    ngx_queue_t           *q;
    ngx_phrony_root_t     *root;
    ngx_phrony_trigger_t  *trigger;

    n = 0;
    root = ngx_phrony_zone_lock(zone);
    q = ngx_phrony_top_next(root, walk);

    for (passed = 0; passed < NGX_PHRONY_TOP_LOOK; passed++) {

        if (n == NGX_PHRONY_TOP_STEP
            || q == ngx_queue_sentinel(&root->recent))
        {
            break;
        }

        trigger = ngx_queue_data(q, ngx_phrony_trigger_t, queue);
        q = ngx_queue_next(q);

        if (ngx_phrony_top_mark(root, walk, &trigger->id)) {
            ngx_phrony_top_read(&entries[n++], trigger, zone->now);
            walk->last = trigger->id;
        }
    }

    walk->begun = 1;

    ngx_phrony_zone_unlock(zone);

    return n;
}


/* If the last one was given up meanwhile, all are passed once more. */

static ngx_queue_t *
ngx_phrony_top_next(ngx_phrony_root_t *root, ngx_phrony_top_walk_t *walk)
{
    ngx_phrony_trigger_t  *trigger;

    trigger = walk->begun ? ngx_phrony_trigger_find(root, &walk->last) : NULL;

    return trigger ? ngx_queue_next(&trigger->queue)
                   : ngx_queue_head(&root->recent);
}


/* Returns 1 if the trigger was not looked at before, else 0. */

static ngx_uint_t
ngx_phrony_top_mark(ngx_phrony_root_t *root, ngx_phrony_top_walk_t *walk,
    phrony_uuid_t *id)
{
    uint64_t    hash;
    ngx_uint_t  i;

    hash = phrony_uuid_hash(id, root->origin.seed) | 1;
    i = (hash >> 1) % NGX_PHRONY_TOP_MARKS;

    while (walk->marks[i]) {

        if (walk->marks[i] == hash) {
            return 0;
        }

        i = (i + 1) % NGX_PHRONY_TOP_MARKS;
    }

    walk->marks[i] = hash;

    return 1;
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
