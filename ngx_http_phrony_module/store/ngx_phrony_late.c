
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_phrony_late.h"

#include <ngx_event.h>


#define NGX_PHRONY_LATE_SOON  10            /* ms */
#define NGX_PHRONY_LATE_ONCE  500           /* ms, and once more */
#define NGX_PHRONY_LATE_MAX   (256 * 1024)  /* bytes */


typedef struct {
    ngx_queue_t               queue;
    ngx_phrony_late_t        *late;
    ngx_event_t               event;        /* a timer, unless op is asked */
    ngx_uint_t                again;        /* it was asked before */
    ngx_uint_t                asked;
    ngx_phrony_op_t           op;
    ngx_phrony_settlement_t   settlement;
    size_t                    size;
    ngx_uint_t                n;
    ngx_phrony_owner_t        owners[1];
} ngx_phrony_late_run_t;


static ngx_phrony_late_run_t *ngx_phrony_late_find(ngx_phrony_late_t *late,
    ngx_phrony_settlement_t *s, ngx_phrony_owner_t *owners, ngx_uint_t n);
static ngx_phrony_late_run_t *ngx_phrony_late_add(ngx_phrony_late_t *late,
    ngx_phrony_settlement_t *s, ngx_phrony_owner_t *owners, ngx_uint_t n);
static void ngx_phrony_late_handler(ngx_event_t *ev);
static void ngx_phrony_late_answered(ngx_phrony_op_t *op);
static void ngx_phrony_late_tell(ngx_phrony_late_run_t *run);
static void ngx_phrony_late_forget(ngx_phrony_late_run_t *run);


void
ngx_phrony_late_init(ngx_phrony_late_t *late, ngx_phrony_store_t *store)
{
    late->store = store;
    late->size = 0;

    ngx_queue_init(&late->waiting);
}


void
ngx_phrony_late_stop(ngx_phrony_late_t *late)
{
    ngx_queue_t  *q, *next;

    for (q = ngx_queue_head(&late->waiting);
         q != ngx_queue_sentinel(&late->waiting);
         q = next)
    {
        next = ngx_queue_next(q);

        ngx_phrony_late_forget(ngx_queue_data(q, ngx_phrony_late_run_t,
                                              queue));
    }
}


void
ngx_phrony_late_settle(ngx_phrony_late_t *late, ngx_phrony_settlement_t *s,
    ngx_phrony_owner_t *owners, ngx_uint_t n)
{
    ngx_phrony_late_run_t  *run;

    run = ngx_phrony_late_find(late, s, owners, n);

    if (run) {
        if (s->event == PHRONY_LEASE_END) {
            run->settlement = *s;
        }

        return;
    }

    run = ngx_phrony_late_add(late, s, owners, n);

    if (run == NULL) {
        ngx_log_debug0(NGX_LOG_DEBUG_CORE, ngx_cycle->log, 0,
                       "phrony late, no room");
        return;
    }

    ngx_add_timer(&run->event, NGX_PHRONY_LATE_SOON);
}


/* There are not many: see NGX_PHRONY_LATE_MAX. */

static ngx_phrony_late_run_t *
ngx_phrony_late_find(ngx_phrony_late_t *late, ngx_phrony_settlement_t *s,
    ngx_phrony_owner_t *owners, ngx_uint_t n)
{
    ngx_queue_t            *q;
    ngx_phrony_late_run_t  *run;

    for (q = ngx_queue_head(&late->waiting);
         q != ngx_queue_sentinel(&late->waiting);
         q = ngx_queue_next(q))
    {
        run = ngx_queue_data(q, ngx_phrony_late_run_t, queue);

        if (phrony_uuid_eq(&run->settlement.run_id, &s->run_id)
            && phrony_uuid_eq(&run->settlement.workspace_id, &s->workspace_id)
            && run->n == n
            && ngx_memcmp(run->owners, owners,
                          n * sizeof(ngx_phrony_owner_t)) == 0)
        {
            return run;
        }
    }

    return NULL;
}


static ngx_phrony_late_run_t *
ngx_phrony_late_add(ngx_phrony_late_t *late, ngx_phrony_settlement_t *s,
    ngx_phrony_owner_t *owners, ngx_uint_t n)
{
    size_t                  size;
    ngx_phrony_late_run_t  *run;

    size = sizeof(ngx_phrony_late_run_t) + n * sizeof(ngx_phrony_owner_t);

    if (n == 0 || size > NGX_PHRONY_LATE_MAX - late->size) {
        return NULL;
    }

    run = ngx_calloc(size, ngx_cycle->log);
    if (run == NULL) {
        return NULL;
    }

    run->late = late;
    run->settlement = *s;
    run->size = size;
    run->n = n;

    ngx_memcpy(run->owners, owners, n * sizeof(ngx_phrony_owner_t));

    run->op.run_id = s->run_id;
    run->op.local = 1;
    run->op.handler = ngx_phrony_late_answered;
    run->op.data = run;

    /* a worker that ends waits for it: it is the end of a run, perhaps */

    run->event.handler = ngx_phrony_late_handler;
    run->event.data = run;
    run->event.log = ngx_cycle->log;

    late->size += size;
    ngx_queue_insert_tail(&late->waiting, &run->queue);

    return run;
}


static void
ngx_phrony_late_handler(ngx_event_t *ev)
{
    ngx_int_t               rc;
    ngx_phrony_store_t     *store;
    ngx_phrony_late_run_t  *run;

    run = ev->data;
    store = run->late->store;

    ngx_log_debug1(NGX_LOG_DEBUG_CORE, ev->log, 0,
                   "phrony late handler, again: %ui", run->again);

    run->op.failed = 0;
    run->op.known = 0;

    rc = store->locate(store, &run->op);

    if (rc == NGX_AGAIN) {
        run->asked = 1;
        return;
    }

    ngx_phrony_late_answered(&run->op);
}


static void
ngx_phrony_late_answered(ngx_phrony_op_t *op)
{
    ngx_phrony_late_run_t  *run;

    run = op->data;
    run->asked = 0;

    if (op->known && !op->failed) {
        ngx_phrony_late_tell(run);

    } else if (!run->again) {
        run->again = 1;
        ngx_add_timer(&run->event, NGX_PHRONY_LATE_ONCE);
        return;
    }

    ngx_phrony_late_forget(run);
}


static void
ngx_phrony_late_tell(ngx_phrony_late_run_t *run)
{
    ngx_uint_t           i;
    ngx_phrony_owner_t  *owner;
    ngx_phrony_store_t  *store;

    for (i = 0; i < run->n; i++) {
        owner = &run->owners[i];

        if (!phrony_uuid_eq(&owner->trigger_id, &run->op.trigger_id)) {
            continue;
        }

        run->settlement.trigger_id = owner->trigger_id;
        run->settlement.agent_id = owner->agent_id;

        store = run->late->store;
        store->settle(store, &run->settlement);

        return;
    }
}


static void
ngx_phrony_late_forget(ngx_phrony_late_run_t *run)
{
    ngx_phrony_store_t  *store;

    if (run->asked) {
        store = run->late->store;
        store->cancel(store, &run->op);
    }

    if (run->event.timer_set) {
        ngx_del_timer(&run->event);
    }

    run->late->size -= run->size;
    ngx_queue_remove(&run->queue);

    ngx_free(run);
}
