
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include <openssl/rand.h>

#include "ngx_phrony_zone.h"


#define NGX_PHRONY_ZONE_EVICT  64   /* at most, to make room for one */


static ngx_int_t ngx_phrony_zone_create(ngx_slab_pool_t *shpool);
static void *ngx_phrony_zone_table(ngx_slab_pool_t *shpool, size_t n);
static uint64_t ngx_phrony_zone_clock(void);
static void *ngx_phrony_zone_alloc(ngx_phrony_zone_t *zone, size_t size);
static void ngx_phrony_zone_free(ngx_phrony_zone_t *zone, void *p);
static void *ngx_phrony_zone_make_room(ngx_phrony_zone_t *zone, size_t size,
    ngx_phrony_trigger_t *keep);
static void ngx_phrony_zone_evict_runs(ngx_phrony_zone_t *zone);
static void ngx_phrony_zone_evict_triggers(ngx_phrony_zone_t *zone,
    ngx_phrony_trigger_t *keep);
static ngx_uint_t ngx_phrony_zone_trigger_idle(ngx_phrony_trigger_t *trigger,
    uint64_t now);
static void ngx_phrony_zone_trigger_free(ngx_phrony_zone_t *zone,
    ngx_phrony_trigger_t *trigger);
static ngx_phrony_trigger_t **ngx_phrony_zone_trigger_chain(
    ngx_phrony_root_t *root, phrony_uuid_t *id);
static ngx_phrony_run_t **ngx_phrony_zone_run_chain(ngx_phrony_root_t *root,
    phrony_uuid_t *id);
static void ngx_phrony_zone_run_link(ngx_phrony_root_t *root,
    ngx_phrony_run_t *run);
static void ngx_phrony_zone_run_unlink(ngx_phrony_root_t *root,
    ngx_phrony_run_t *run);
static void ngx_phrony_zone_run_index(ngx_phrony_root_t *root,
    ngx_phrony_run_t *run, uint64_t ttl);
static ngx_queue_t *ngx_phrony_zone_class(ngx_phrony_root_t *root,
    uint64_t ttl);
static void ngx_phrony_zone_insert(ngx_queue_t *queue, ngx_phrony_run_t *run);
static ngx_uint_t ngx_phrony_zone_expire(ngx_phrony_zone_t *zone,
    ngx_queue_t *queue, ngx_uint_t n);
static void ngx_phrony_zone_run_unindex(ngx_phrony_root_t *root,
    ngx_phrony_run_t *run);
static void ngx_phrony_zone_lease_id(ngx_phrony_root_t *root,
    phrony_uuid_t *id);
static ngx_phrony_root_t *ngx_phrony_zone_repair(ngx_phrony_zone_t *zone);
static void ngx_phrony_zone_repair_triggers(ngx_phrony_root_t *root);
static void ngx_phrony_zone_repair_runs(ngx_phrony_root_t *root);
static void ngx_phrony_zone_repair_chain(ngx_phrony_root_t *root,
    ngx_phrony_run_t *run, ngx_uint_t reserved);
static void ngx_phrony_zone_sort(ngx_queue_t *queue, ngx_uint_t n);
static void ngx_phrony_zone_merge(ngx_queue_t *queue, ngx_queue_t *tail);


ngx_int_t
ngx_phrony_zone_init(ngx_phrony_zone_t *zone)
{
    if (ngx_phrony_zone_create(zone->shpool) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_phrony_zone_attach(zone);
}


ngx_int_t
ngx_phrony_zone_attach(ngx_phrony_zone_t *zone)
{
    ngx_phrony_root_t  *root;

    root = zone->shpool->data;

    if (root == NULL
        || root->magic != NGX_PHRONY_ZONE_MAGIC
        || root->version != NGX_PHRONY_ZONE_VERSION)
    {
        return NGX_ERROR;
    }

    zone->repaired = NGX_PHRONY_ZONE_CALM;

    if (zone->clock == NULL) {
        zone->clock = ngx_phrony_zone_clock;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_phrony_zone_create(ngx_slab_pool_t *shpool)
{
    size_t              size, ntriggers, nruns;
    ngx_phrony_root_t  *root;

    root = ngx_slab_calloc_locked(shpool, sizeof(ngx_phrony_root_t));
    if (root == NULL) {
        return NGX_ERROR;
    }

    size = shpool->end - shpool->start;

    /* chains of about one if the zone is full of one kind; 4 % of it */

    for (ntriggers = 16; ntriggers < size / 2048; ntriggers *= 2) {
        /* void */
    }

    for (nruns = 64; nruns < size / 256; nruns *= 2) { /* void */ }

    root->triggers = ngx_phrony_zone_table(shpool, ntriggers);
    root->runs = ngx_phrony_zone_table(shpool, nruns);
    root->reserved = ngx_phrony_zone_table(shpool, NGX_PHRONY_ZONE_RESERVED);

    if (root->triggers == NULL
        || root->runs == NULL
        || root->reserved == NULL)
    {
        return NGX_ERROR;
    }

    root->trigger_mask = ntriggers - 1;
    root->run_mask = nruns - 1;

    /* the master process has not seeded ngx_random() */

    if (RAND_bytes((u_char *) &root->seed, sizeof(uint64_t)) != 1
        || RAND_bytes((u_char *) &root->lease_seed, sizeof(uint64_t)) != 1)
    {
        return NGX_ERROR;
    }

    ngx_queue_init(&root->recent);
    ngx_queue_init(&root->ended);

    root->version = NGX_PHRONY_ZONE_VERSION;
    root->magic = NGX_PHRONY_ZONE_MAGIC;

    shpool->log_nomem = 0;
    shpool->data = root;

    return NGX_OK;
}


static void *
ngx_phrony_zone_table(ngx_slab_pool_t *shpool, size_t n)
{
    return ngx_slab_calloc_locked(shpool, n * sizeof(void *));
}


/* Not ngx_current_msec: a busy worker's may be as old as its last turn. */

static uint64_t
ngx_phrony_zone_clock(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000 + (uint64_t) ts.tv_nsec / 1000000;
}


ngx_phrony_root_t *
ngx_phrony_zone_lock(ngx_phrony_zone_t *zone)
{
    ngx_phrony_root_t  *root;

    ngx_shmtx_lock(&zone->shpool->mutex);

    root = zone->shpool->data;

    if (root->busy != NGX_PHRONY_ZONE_CALM) {
        root = ngx_phrony_zone_repair(zone);
    }

    root->busy = NGX_PHRONY_ZONE_INDEX;
    ngx_memory_barrier();

    zone->now = zone->clock();

    return root;
}


void
ngx_phrony_zone_unlock(ngx_phrony_zone_t *zone)
{
    ngx_phrony_root_t       *root;
    ngx_phrony_zone_busy_t   repaired;

    root = zone->shpool->data;

    ngx_memory_barrier();
    root->busy = NGX_PHRONY_ZONE_CALM;

    ngx_shmtx_unlock(&zone->shpool->mutex);

    repaired = zone->repaired;

    if (repaired == NGX_PHRONY_ZONE_CALM) {
        return;
    }

    zone->repaired = NGX_PHRONY_ZONE_CALM;

    if (repaired == NGX_PHRONY_ZONE_SLAB) {
        ngx_log_error(NGX_LOG_CRIT, ngx_cycle->log, 0,
                      "phrony zone was left by a killed process while it "
                      "allocated memory, all counts and leases are lost");
        return;
    }

    ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                  "phrony zone was left by a killed process while it was "
                  "being changed, its indices were made anew");
}


ngx_phrony_trigger_t *
ngx_phrony_zone_trigger(ngx_phrony_root_t *root, phrony_uuid_t *id)
{
    ngx_phrony_trigger_t  *trigger;

    trigger = *ngx_phrony_zone_trigger_chain(root, id);

    while (trigger && !phrony_uuid_eq(&trigger->id, id)) {
        trigger = trigger->next;
    }

    return trigger;
}


ngx_phrony_trigger_t *
ngx_phrony_zone_trigger_add(ngx_phrony_zone_t *zone, phrony_uuid_t *id)
{
    ngx_phrony_root_t      *root;
    ngx_phrony_trigger_t   *trigger, **chain;

    trigger = ngx_phrony_zone_alloc(zone, sizeof(ngx_phrony_trigger_t));

    if (trigger == NULL) {
        trigger = ngx_phrony_zone_make_room(zone,
                                            sizeof(ngx_phrony_trigger_t),
                                            NULL);
        if (trigger == NULL) {
            return NULL;
        }
    }

    root = zone->shpool->data;

    ngx_memzero(trigger, sizeof(ngx_phrony_trigger_t));

    trigger->id = *id;

    chain = ngx_phrony_zone_trigger_chain(root, id);
    trigger->next = *chain;

    ngx_memory_barrier();
    *chain = trigger;

    ngx_queue_insert_head(&root->recent, &trigger->queue);
    root->ntriggers++;

    return trigger;
}


void
ngx_phrony_zone_trigger_touch(ngx_phrony_root_t *root,
    ngx_phrony_trigger_t *trigger)
{
    if (ngx_queue_head(&root->recent) == &trigger->queue) {
        return;
    }

    ngx_queue_remove(&trigger->queue);
    ngx_queue_insert_head(&root->recent, &trigger->queue);
}


ngx_phrony_run_t *
ngx_phrony_zone_run(ngx_phrony_root_t *root, phrony_uuid_t *id)
{
    ngx_phrony_run_t  *run;

    run = *ngx_phrony_zone_run_chain(root, id);

    while (run && !phrony_uuid_eq(&run->id, id)) {
        run = run->next;
    }

    return run;
}


ngx_phrony_run_t *
ngx_phrony_zone_run_add(ngx_phrony_zone_t *zone, phrony_uuid_t *id,
    phrony_uuid_t *trigger_id, ngx_phrony_trigger_t *trigger, uint64_t ttl)
{
    ngx_phrony_run_t   *run;
    ngx_phrony_root_t  *root;

    run = ngx_phrony_zone_alloc(zone, sizeof(ngx_phrony_run_t));

    if (run == NULL) {
        run = ngx_phrony_zone_make_room(zone, sizeof(ngx_phrony_run_t),
                                        trigger);
        if (run == NULL) {
            return NULL;
        }
    }

    root = zone->shpool->data;

    if (id) {
        run->id = *id;

    } else {
        ngx_phrony_zone_lease_id(root, &run->id);
    }

    run->trigger_id = *trigger_id;
    run->trigger = trigger;
    run->expires = zone->now + ttl;

    if (trigger == NULL) {
        run->state = PHRONY_LEASE_ENDED;

    } else {
        run->state = id ? PHRONY_LEASE_BOUND : PHRONY_LEASE_RESERVED;
    }

    ngx_phrony_zone_run_link(root, run);
    ngx_phrony_zone_run_index(root, run, ttl);

    return run;
}


void
ngx_phrony_zone_run_free(ngx_phrony_zone_t *zone, ngx_phrony_run_t *run)
{
    ngx_phrony_root_t  *root;

    root = zone->shpool->data;

    ngx_phrony_zone_run_unlink(root, run);
    ngx_phrony_zone_run_unindex(root, run);

    ngx_phrony_zone_free(zone, run);
}


void
ngx_phrony_zone_run_rename(ngx_phrony_root_t *root, ngx_phrony_run_t *run,
    phrony_uuid_t *id)
{
    root->moving = run;
    ngx_memory_barrier();

    ngx_phrony_zone_run_unlink(root, run);

    run->id = *id;
    run->state = phrony_lease_next(run->state, PHRONY_LEASE_BIND);

    ngx_phrony_zone_run_link(root, run);
}


void
ngx_phrony_zone_run_end(ngx_phrony_zone_t *zone, ngx_phrony_run_t *run,
    uint64_t ttl)
{
    ngx_phrony_zone_run_unindex(zone->shpool->data, run);

    run->state = phrony_lease_next(run->state, PHRONY_LEASE_END);
    run->trigger = NULL;
    run->expires = zone->now + ttl;

    ngx_phrony_zone_run_index(zone->shpool->data, run, ttl);
}


void
ngx_phrony_zone_run_touch(ngx_phrony_zone_t *zone, ngx_phrony_run_t *run,
    uint64_t ttl)
{
    ngx_phrony_zone_run_unindex(zone->shpool->data, run);

    run->expires = zone->now + ttl;

    ngx_phrony_zone_run_index(zone->shpool->data, run, ttl);
}


ngx_uint_t
ngx_phrony_zone_sweep(ngx_phrony_zone_t *zone, ngx_uint_t n)
{
    ngx_uint_t          i, swept;
    ngx_phrony_root_t  *root;

    root = zone->shpool->data;
    swept = 0;

    for (i = 0; i < root->nclasses && swept < n; i++) {
        swept += ngx_phrony_zone_expire(zone, &root->classes[i].queue,
                                        n - swept);
    }

    return swept + ngx_phrony_zone_expire(zone, &root->ended, n - swept);
}


static ngx_uint_t
ngx_phrony_zone_expire(ngx_phrony_zone_t *zone, ngx_queue_t *queue,
    ngx_uint_t n)
{
    ngx_uint_t         expired;
    ngx_queue_t       *q;
    ngx_phrony_run_t  *run;

    for (expired = 0; expired < n; expired++) {

        if (ngx_queue_empty(queue)) {
            break;
        }

        q = ngx_queue_last(queue);
        run = ngx_queue_data(q, ngx_phrony_run_t, queue);

        if (run->expires > zone->now) {
            break;
        }

        ngx_phrony_zone_run_free(zone, run);
    }

    return expired;
}


static void *
ngx_phrony_zone_alloc(ngx_phrony_zone_t *zone, size_t size)
{
    void               *p;
    ngx_phrony_root_t  *root;

    root = zone->shpool->data;

    root->busy = NGX_PHRONY_ZONE_SLAB;
    ngx_memory_barrier();

    p = ngx_slab_alloc_locked(zone->shpool, size);

    ngx_memory_barrier();
    root->busy = NGX_PHRONY_ZONE_INDEX;

    return p;
}


static void
ngx_phrony_zone_free(ngx_phrony_zone_t *zone, void *p)
{
    ngx_phrony_root_t  *root;

    root = zone->shpool->data;

    root->busy = NGX_PHRONY_ZONE_SLAB;
    ngx_memory_barrier();

    ngx_slab_free_locked(zone->shpool, p);

    ngx_memory_barrier();
    root->busy = NGX_PHRONY_ZONE_INDEX;
}


/*
 * The idle leave, the least missed first; "keep" is the trigger for which the
 * room is made, and stays.
 */

static void *
ngx_phrony_zone_make_room(ngx_phrony_zone_t *zone, size_t size,
    ngx_phrony_trigger_t *keep)
{
    void  *p;

    ngx_phrony_zone_evict_runs(zone);

    p = ngx_phrony_zone_alloc(zone, size);
    if (p) {
        return p;
    }

    ngx_phrony_zone_evict_triggers(zone, keep);

    return ngx_phrony_zone_alloc(zone, size);
}


static void
ngx_phrony_zone_evict_runs(ngx_phrony_zone_t *zone)
{
    ngx_uint_t          n;
    ngx_queue_t        *q;
    ngx_phrony_run_t   *run;
    ngx_phrony_root_t  *root;

    root = zone->shpool->data;

    (void) ngx_phrony_zone_sweep(zone, NGX_PHRONY_ZONE_EVICT);

    for (n = 0; n < NGX_PHRONY_ZONE_EVICT; n++) {

        if (ngx_queue_empty(&root->ended)) {
            return;
        }

        q = ngx_queue_last(&root->ended);
        run = ngx_queue_data(q, ngx_phrony_run_t, queue);

        ngx_phrony_zone_run_free(zone, run);
        root->evicted++;
    }
}


static void
ngx_phrony_zone_evict_triggers(ngx_phrony_zone_t *zone,
    ngx_phrony_trigger_t *keep)
{
    ngx_uint_t             n;
    ngx_queue_t           *q;
    ngx_phrony_root_t     *root;
    ngx_phrony_trigger_t  *trigger;

    root = zone->shpool->data;

    for (n = 0; n < NGX_PHRONY_ZONE_EVICT; n++) {

        if (ngx_queue_empty(&root->recent)) {
            return;
        }

        q = ngx_queue_last(&root->recent);
        trigger = ngx_queue_data(q, ngx_phrony_trigger_t, queue);

        if (trigger == keep
            || !ngx_phrony_zone_trigger_idle(trigger, zone->now))
        {

            /* look at another one the next time */

            ngx_phrony_zone_trigger_touch(root, trigger);
            continue;
        }

        ngx_phrony_zone_trigger_free(zone, trigger);
        root->evicted++;
    }
}


static ngx_uint_t
ngx_phrony_zone_trigger_idle(ngx_phrony_trigger_t *trigger, uint64_t now)
{
    if (trigger->nleases) {
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
ngx_phrony_zone_trigger_free(ngx_phrony_zone_t *zone,
    ngx_phrony_trigger_t *trigger)
{
    ngx_phrony_root_t      *root;
    ngx_phrony_trigger_t  **link;

    root = zone->shpool->data;

    link = ngx_phrony_zone_trigger_chain(root, &trigger->id);

    while (*link != trigger) {
        link = &(*link)->next;
    }

    *link = trigger->next;
    ngx_memory_barrier();

    ngx_queue_remove(&trigger->queue);
    root->ntriggers--;

    ngx_phrony_zone_free(zone, trigger);
}


static ngx_phrony_trigger_t **
ngx_phrony_zone_trigger_chain(ngx_phrony_root_t *root, phrony_uuid_t *id)
{
    return &root->triggers[phrony_uuid_hash(id, root->seed)
                           & root->trigger_mask];
}


/* Reservations are many a second and few at a time: they are counted off. */

static ngx_phrony_run_t **
ngx_phrony_zone_run_chain(ngx_phrony_root_t *root, phrony_uuid_t *id)
{
    uint64_t  half[2];

    ngx_memcpy(half, id->bytes, PHRONY_UUID_LEN);

    if (half[0] == root->lease_seed) {
        return &root->reserved[half[1] & (NGX_PHRONY_ZONE_RESERVED - 1)];
    }

    return &root->runs[phrony_uuid_hash(id, root->seed) & root->run_mask];
}


static void
ngx_phrony_zone_run_link(ngx_phrony_root_t *root, ngx_phrony_run_t *run)
{
    ngx_phrony_run_t  **chain;

    root->moving = run;
    ngx_memory_barrier();

    chain = ngx_phrony_zone_run_chain(root, &run->id);
    run->next = *chain;

    ngx_memory_barrier();
    *chain = run;

    ngx_memory_barrier();
    root->moving = NULL;
}


static void
ngx_phrony_zone_run_unlink(ngx_phrony_root_t *root, ngx_phrony_run_t *run)
{
    ngx_phrony_run_t  **link;

    link = ngx_phrony_zone_run_chain(root, &run->id);

    while (*link != run) {
        link = &(*link)->next;
    }

    *link = run->next;
    ngx_memory_barrier();
}


static void
ngx_phrony_zone_run_index(ngx_phrony_root_t *root, ngx_phrony_run_t *run,
    uint64_t ttl)
{
    if (run->trigger == NULL) {
        ngx_queue_insert_head(&root->ended, &run->queue);
        root->nended++;
        return;
    }

    ngx_phrony_zone_insert(ngx_phrony_zone_class(root, ttl), run);

    run->trigger->nleases++;
    root->nleases++;
}


/*
 * The queue of this time to live.  Where there are more of them than classes,
 * the last class takes all others: it is as exact, but no longer for nothing.
 */

static ngx_queue_t *
ngx_phrony_zone_class(ngx_phrony_root_t *root, uint64_t ttl)
{
    ngx_uint_t           i;
    ngx_phrony_class_t  *class;

    for (i = 0; i < root->nclasses; i++) {
        class = &root->classes[i];

        if (class->ttl == ttl) {
            return &class->queue;
        }

        if (ngx_queue_empty(&class->queue)) {
            class->ttl = ttl;
            return &class->queue;
        }
    }

    if (i == NGX_PHRONY_ZONE_CLASSES) {
        return &root->classes[i - 1].queue;
    }

    class = &root->classes[i];

    class->ttl = ttl;
    ngx_queue_init(&class->queue);
    root->nclasses++;

    return &class->queue;
}


/* Before all that expire no later: before none, mostly. */

static void
ngx_phrony_zone_insert(ngx_queue_t *queue, ngx_phrony_run_t *run)
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


static void
ngx_phrony_zone_run_unindex(ngx_phrony_root_t *root, ngx_phrony_run_t *run)
{
    ngx_queue_remove(&run->queue);

    if (run->trigger == NULL) {
        root->nended--;
        return;
    }

    run->trigger->nleases--;
    root->nleases--;
}


/* A lease's id only has to differ from other leases' and from runs' ids. */

static void
ngx_phrony_zone_lease_id(ngx_phrony_root_t *root, phrony_uuid_t *id)
{
    root->last_lease++;

    ngx_memcpy(id->bytes, &root->lease_seed, sizeof(uint64_t));
    ngx_memcpy(id->bytes + sizeof(uint64_t), &root->last_lease,
               sizeof(uint64_t));
}


static ngx_phrony_root_t *
ngx_phrony_zone_repair(ngx_phrony_zone_t *zone)
{
    ngx_uint_t          repaired;
    ngx_slab_pool_t    *shpool;
    ngx_phrony_root_t  *root;

    shpool = zone->shpool;
    root = shpool->data;
    repaired = root->repaired + 1;

    zone->repaired = root->busy;

    if (root->busy == NGX_PHRONY_ZONE_SLAB) {
        ngx_slab_init(shpool);
        (void) ngx_phrony_zone_create(shpool);

    } else {
        ngx_phrony_zone_repair_triggers(root);
        ngx_phrony_zone_repair_runs(root);
    }

    root = shpool->data;
    root->repaired = repaired;

    return root;
}


static void
ngx_phrony_zone_repair_triggers(ngx_phrony_root_t *root)
{
    ngx_uint_t             i;
    ngx_phrony_trigger_t  *trigger;

    ngx_queue_init(&root->recent);
    root->ntriggers = 0;

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
ngx_phrony_zone_repair_runs(ngx_phrony_root_t *root)
{
    ngx_uint_t         i;
    ngx_phrony_run_t  *run;

    run = root->moving;

    if (run && ngx_phrony_zone_run(root, &run->id) != run) {
        ngx_phrony_zone_run_link(root, run);
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
        ngx_phrony_zone_repair_chain(root, root->runs[i], 0);
    }

    for (i = 0; i < NGX_PHRONY_ZONE_RESERVED; i++) {
        ngx_phrony_zone_repair_chain(root, root->reserved[i], 1);
    }

    ngx_phrony_zone_sort(&root->classes[0].queue, root->nleases);
}


static void
ngx_phrony_zone_repair_chain(ngx_phrony_root_t *root, ngx_phrony_run_t *run,
    ngx_uint_t reserved)
{
    for ( /* void */ ; run; run = run->next) {

        if (!reserved) {

            /* it had got its id when it was left */

            run->state = phrony_lease_next(run->state, PHRONY_LEASE_BIND);
        }

        run->trigger = NULL;

        if (phrony_lease_holds_slot(run->state)) {
            run->trigger = ngx_phrony_zone_trigger(root, &run->trigger_id);
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


/* Merge sort: what expires last comes first. */

static void
ngx_phrony_zone_sort(ngx_queue_t *queue, ngx_uint_t n)
{
    ngx_uint_t    i;
    ngx_queue_t   tail, *q;

    if (n < 2) {
        return;
    }

    q = ngx_queue_head(queue);

    for (i = 0; i < n / 2; i++) {
        q = ngx_queue_next(q);
    }

    ngx_queue_split(queue, q, &tail);

    ngx_phrony_zone_sort(queue, n / 2);
    ngx_phrony_zone_sort(&tail, n - n / 2);

    ngx_phrony_zone_merge(queue, &tail);
}


static void
ngx_phrony_zone_merge(ngx_queue_t *queue, ngx_queue_t *tail)
{
    ngx_queue_t       *q, *t;
    ngx_phrony_run_t  *run, *other;

    q = ngx_queue_head(queue);

    while (q != ngx_queue_sentinel(queue) && !ngx_queue_empty(tail)) {

        t = ngx_queue_head(tail);

        run = ngx_queue_data(q, ngx_phrony_run_t, queue);
        other = ngx_queue_data(t, ngx_phrony_run_t, queue);

        if (run->expires >= other->expires) {
            q = ngx_queue_next(q);
            continue;
        }

        ngx_queue_remove(t);
        ngx_queue_insert_tail(q, t);
    }

    if (!ngx_queue_empty(tail)) {
        ngx_queue_add(queue, tail);
    }
}
