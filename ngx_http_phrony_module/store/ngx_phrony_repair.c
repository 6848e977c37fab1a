
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_phrony_repair.h"
#include "ngx_phrony_run.h"
#include "ngx_phrony_trigger.h"


static void ngx_phrony_repair_triggers(ngx_phrony_root_t *root);
static void ngx_phrony_repair_runs(ngx_phrony_root_t *root);
static void ngx_phrony_repair_chain(ngx_phrony_root_t *root,
    ngx_phrony_run_t *run, ngx_uint_t reserved);
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
}


static void
ngx_phrony_repair_triggers(ngx_phrony_root_t *root)
{
    ngx_uint_t             i;
    ngx_phrony_trigger_t  *trigger;

    ngx_queue_init(&root->recent);
    root->ntriggers = 0;
    root->nspare = 0;

    for (trigger = root->spare; trigger; trigger = trigger->next) {
        root->nspare++;
    }

    for (i = 0; i <= root->trigger_mask; i++) {

        for (trigger = root->triggers[i]; trigger; trigger = trigger->next) {

            trigger->nleases = 0;

            phrony_window_repair(&trigger->rpm.window, &phrony_window_minute);
            phrony_window_repair(&trigger->reads.window,
                                 &phrony_window_minute);
            phrony_window_repair(&trigger->rpd.window, &phrony_window_day);

            ngx_queue_insert_head(&root->recent, &trigger->queue);
            root->ntriggers++;
        }
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

        run->trigger = NULL;

        if (phrony_lease_holds_slot(run->state)) {
            run->trigger = ngx_phrony_trigger_find(root, &run->trigger_id);
        }

        if (run->trigger == NULL) {
            run->state = PHRONY_LEASE_ENDED;

            ngx_queue_insert_head(&root->ended, &run->queue);
            root->nended++;
            continue;
        }

        ngx_queue_insert_head(&root->classes[0].queue, &run->queue);

        run->trigger->nleases++;
        root->nleases++;
    }
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
