
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_phrony_repair.h"
#include "ngx_phrony_cache.h"
#include "ngx_phrony_claim.h"
#include "ngx_phrony_run.h"
#include "ngx_phrony_trigger.h"


static void ngx_phrony_repair_triggers(ngx_phrony_root_t *root);
static void ngx_phrony_repair_share(ngx_phrony_root_t *root,
    ngx_phrony_share_t *share);
static void ngx_phrony_repair_runs(ngx_phrony_root_t *root);
static void ngx_phrony_repair_chain(ngx_phrony_root_t *root,
    ngx_phrony_run_t *run, ngx_uint_t reserved);
static void ngx_phrony_repair_untold(ngx_phrony_root_t *root,
    ngx_phrony_run_t *run);
static void ngx_phrony_repair_sort(ngx_queue_t *queue, ngx_uint_t n);
static void ngx_phrony_repair_take(ngx_queue_t *to, ngx_queue_t *from,
    ngx_uint_t n);
static void ngx_phrony_repair_merge(ngx_queue_t *to, ngx_queue_t *first,
    ngx_queue_t *second);


void
ngx_phrony_repair(ngx_phrony_root_t *root)
{
    ngx_phrony_repair_triggers(root);
    ngx_phrony_repair_runs(root);
    ngx_phrony_claim_repair(root);
    ngx_phrony_cache_repair(root->cache);
}


static void
ngx_phrony_repair_triggers(ngx_phrony_root_t *root)
{
    ngx_uint_t             i;
    ngx_phrony_trigger_t  *trigger;

    ngx_queue_init(&root->recent);
    ngx_queue_init(&root->untold_counts);
    root->ntriggers = 0;
    root->nuntold = 0;
    root->nspare = 0;

    for (trigger = root->spare; trigger; trigger = trigger->next) {
        root->nspare++;
    }

    for (i = 0; i <= root->trigger_mask; i++) {

        for (trigger = root->triggers[i]; trigger; trigger = trigger->next) {

            trigger->nleases = 0;
            ngx_queue_init(&trigger->runs);

            phrony_window_repair(&trigger->rpm.window, &phrony_window_minute);
            phrony_window_repair(&trigger->reads.window,
                                 &phrony_window_minute);
            phrony_window_repair(&trigger->rpd.window, &phrony_window_day);

            if (trigger->share) {
                ngx_phrony_repair_share(root, trigger->share);
            }

            ngx_queue_insert_head(&root->recent, &trigger->queue);
            root->ntriggers++;
        }
    }
}


static void
ngx_phrony_repair_share(ngx_phrony_root_t *root, ngx_phrony_share_t *share)
{
    ngx_phrony_counts_t  *counts;

    share->nuntold = 0;
    share->start.until = 0;
    share->read.until = 0;

    counts = share->counts;

    if (counts) {
        phrony_window_repair(&counts->rpm.window, &phrony_window_minute);
        phrony_window_repair(&counts->rpd.window, &phrony_window_day);

        ngx_queue_insert_tail(&root->untold_counts, &share->queue);
        root->nuntold++;
    }
}


static void
ngx_phrony_repair_runs(ngx_phrony_root_t *root)
{
    ngx_uint_t         i;
    ngx_phrony_run_t  *run;

    run = root->moving;

    if (run && ngx_phrony_run_find(root, &run->id) != run) {
        ngx_phrony_run_link(root, run);
    }

    root->moving = NULL;

    /* the times to live are not known any more, so one class has them all */

    root->nclasses = 1;
    root->classes[0].ttl = 0;

    ngx_queue_init(&root->classes[0].queue);
    ngx_queue_init(&root->ended);
    ngx_queue_init(&root->untold);
    root->nleases = 0;
    root->nended = 0;

    for (i = 0; i <= root->run_mask; i++) {
        ngx_phrony_repair_chain(root, root->runs[i], 0);
    }

    for (i = 0; i <= root->reserved_mask; i++) {
        ngx_phrony_repair_chain(root, root->reserved[i], 1);
    }

    ngx_phrony_repair_sort(&root->classes[0].queue, root->nleases);
    ngx_phrony_repair_sort(&root->ended, root->nended);
}


static void
ngx_phrony_repair_chain(ngx_phrony_root_t *root, ngx_phrony_run_t *run,
    ngx_uint_t reserved)
{
    for ( /* void */ ; run; run = run->next) {

        if (!reserved) {

            /* it had got its id when it was left */

            run->state = phrony_lease_next(run->state, PHRONY_LEASE_BIND);
        }

        if (run->trigger && !phrony_lease_holds_slot(run->state)) {
            run->trigger = NULL;
        }

        if (run->untold) {
            ngx_phrony_repair_untold(root, run);
        }

        if (run->trigger == NULL && run->untold) {
            continue;
        }

        if (run->trigger == NULL) {
            ngx_queue_insert_head(&root->ended, &run->queue);
            root->nended++;
            continue;
        }

        ngx_queue_insert_head(&root->classes[0].queue, &run->queue);

        if (!run->untold) {
            ngx_queue_insert_head(&run->trigger->runs, &run->link);
        }

        run->trigger->nleases++;
        root->nleases++;
    }
}


static void
ngx_phrony_repair_untold(ngx_phrony_root_t *root, ngx_phrony_run_t *run)
{
    ngx_phrony_trigger_t  *trigger;

    trigger = ngx_phrony_trigger_find(root, &run->trigger_id);

    if (trigger == NULL || trigger->share == NULL) {
        run->untold = 0;
        return;
    }

    ngx_queue_insert_tail(&root->untold, &run->link);

    root->nuntold++;
    trigger->share->nuntold++;
}


/* Bottom-up merge sort: what expires last comes first. */

static void
ngx_phrony_repair_sort(ngx_queue_t *queue, ngx_uint_t n)
{
    ngx_uint_t   width;
    ngx_queue_t  sorted, first, second;

    for (width = 1; width < n; width *= 2) {
        ngx_queue_init(&sorted);

        while (!ngx_queue_empty(queue)) {
            ngx_phrony_repair_take(&first, queue, width);
            ngx_phrony_repair_take(&second, queue, width);

            ngx_phrony_repair_merge(&sorted, &first, &second);
        }

        ngx_phrony_repair_take(queue, &sorted, n);
    }
}


/* Moves the first "n" at most from one queue into another, fresh one. */

static void
ngx_phrony_repair_take(ngx_queue_t *to, ngx_queue_t *from, ngx_uint_t n)
{
    ngx_queue_t  *q;

    ngx_queue_init(to);

    for ( /* void */ ; n && !ngx_queue_empty(from); n--) {
        q = ngx_queue_head(from);

        ngx_queue_remove(q);
        ngx_queue_insert_tail(to, q);
    }
}


static void
ngx_phrony_repair_merge(ngx_queue_t *to, ngx_queue_t *first,
    ngx_queue_t *second)
{
    ngx_queue_t       *q;
    ngx_phrony_run_t  *run, *other;

    while (!ngx_queue_empty(first) || !ngx_queue_empty(second)) {

        q = ngx_queue_empty(first) ? ngx_queue_head(second)
                                   : ngx_queue_head(first);

        if (!ngx_queue_empty(first) && !ngx_queue_empty(second)) {
            run = ngx_queue_data(q, ngx_phrony_run_t, queue);
            other = ngx_queue_data(ngx_queue_head(second), ngx_phrony_run_t,
                                   queue);

            if (run->expires < other->expires) {
                q = ngx_queue_head(second);
            }
        }

        ngx_queue_remove(q);
        ngx_queue_insert_tail(to, q);
    }
}
