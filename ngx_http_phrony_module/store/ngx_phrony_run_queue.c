
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_phrony_run.h"


static ngx_queue_t *ngx_phrony_run_class(ngx_phrony_root_t *root,
    uint64_t ttl);
static void ngx_phrony_run_insert(ngx_queue_t *queue, ngx_phrony_run_t *run);


void
ngx_phrony_run_index(ngx_phrony_root_t *root, ngx_phrony_run_t *run,
    uint64_t ttl)
{
    if (ttl) {
        run->seen = (uint32_t) (run->expires - ttl);
    }

    if (run->trigger == NULL && run->untold) {
        return;
    }

    if (run->trigger == NULL) {
        ngx_queue_insert_head(&root->ended, &run->queue);
        root->nended++;
        return;
    }

    ngx_phrony_run_insert(ngx_phrony_run_class(root, ttl), run);

    if (!run->untold) {
        ngx_queue_insert_head(&run->trigger->runs, &run->link);
    }

    run->trigger->nleases++;
    root->nleases++;
}


/*
 * The queue of this time to live.  Where there are more of them than classes,
 * the last class takes all others: it is as exact, but no longer for nothing.
 */

static ngx_queue_t *
ngx_phrony_run_class(ngx_phrony_root_t *root, uint64_t ttl)
{
    ngx_uint_t           i;
    ngx_phrony_class_t  *class, *vacant;

    vacant = NULL;

    for (i = 0; i < root->nclasses; i++) {
        class = &root->classes[i];

        if (class->ttl == ttl) {
            return &class->queue;
        }

        if (vacant == NULL && ngx_queue_empty(&class->queue)) {
            vacant = class;
        }
    }

    if (vacant == NULL && i == NGX_PHRONY_ZONE_CLASSES) {
        return &root->classes[i - 1].queue;
    }

    if (vacant == NULL) {
        vacant = &root->classes[i];

        ngx_queue_init(&vacant->queue);
        root->nclasses++;
    }

    vacant->ttl = ttl;

    return &vacant->queue;
}


/* Before all that expire no later: before none, mostly. */

static void
ngx_phrony_run_insert(ngx_queue_t *queue, ngx_phrony_run_t *run)
{
    ngx_queue_t       *q;
    ngx_phrony_run_t  *other;

    for (q = queue; q->next != queue; q = q->next) {
        other = ngx_queue_data(q->next, ngx_phrony_run_t, queue);

        if (other->expires <= run->expires) {
            break;
        }
    }

    ngx_queue_insert_after(q, &run->queue);
}


void
ngx_phrony_run_unindex(ngx_phrony_root_t *root, ngx_phrony_run_t *run)
{
    if (run->trigger == NULL && run->untold) {
        return;
    }

    ngx_queue_remove(&run->queue);

    if (run->trigger == NULL) {
        root->nended--;
        return;
    }

    if (!run->untold) {
        ngx_queue_remove(&run->link);
    }

    run->trigger->nleases--;
    root->nleases--;
}
