
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_phrony_zone.h"
#include "ngx_phrony_cache.h"
#include "ngx_phrony_claim.h"
#include "ngx_phrony_repair.h"
#include "ngx_phrony_run.h"
#include "ngx_phrony_trigger.h"

#include <openssl/rand.h>


#define NGX_PHRONY_ZONE_SPARE  32   /* a part of the zone, for triggers */
#define NGX_PHRONY_ZONE_CLAIMS  2   /* likewise, for deliveries at most */


static ngx_int_t ngx_phrony_zone_create(ngx_slab_pool_t *shpool,
    ngx_phrony_origin_t *origin);
static void ngx_phrony_zone_queues(ngx_phrony_root_t *root);
static void ngx_phrony_zone_fill_spare(ngx_slab_pool_t *shpool,
    ngx_phrony_root_t *root);
static void *ngx_phrony_zone_table(ngx_slab_pool_t *shpool, size_t n);
static ngx_int_t ngx_phrony_zone_origin(ngx_phrony_origin_t *origin);
static uint64_t ngx_phrony_zone_clock(void);
static void ngx_phrony_zone_recover(ngx_phrony_zone_t *zone);


ngx_int_t
ngx_phrony_zone_init(ngx_phrony_zone_t *zone)
{
    ngx_phrony_origin_t  origin;

    if (ngx_phrony_zone_origin(&origin) != NGX_OK
        || ngx_phrony_zone_create(zone->shpool, &origin) != NGX_OK)
    {
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
ngx_phrony_zone_create(ngx_slab_pool_t *shpool, ngx_phrony_origin_t *origin)
{
    size_t              size, ntriggers, nruns, nreserved, nclaims;
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

    nreserved = nruns / 4;
    nclaims = nruns / 4;

    root->triggers = ngx_phrony_zone_table(shpool, ntriggers);
    root->runs = ngx_phrony_zone_table(shpool, nruns);
    root->reserved = ngx_phrony_zone_table(shpool, nreserved);
    root->claims = ngx_phrony_zone_table(shpool, nclaims);
    root->cache = ngx_phrony_cache_create(shpool, origin);

    if (root->triggers == NULL
        || root->runs == NULL
        || root->reserved == NULL
        || root->claims == NULL
        || root->cache == NULL)
    {
        return NGX_ERROR;
    }

    root->trigger_mask = ntriggers - 1;
    root->run_mask = nruns - 1;
    root->reserved_mask = nreserved - 1;
    root->claim_mask = nclaims - 1;
    root->max_claim_bytes = size / NGX_PHRONY_ZONE_CLAIMS;

    root->origin = *origin;
    root->created = time(NULL);

    ngx_phrony_zone_queues(root);

    root->max_spare = size / NGX_PHRONY_ZONE_SPARE
                      / sizeof(ngx_phrony_trigger_t);
    ngx_phrony_zone_fill_spare(shpool, root);

    shpool->log_nomem = 0;
    shpool->data = root;

    /* who finds another number here knows that this was not the end */

    ngx_memory_barrier();

    root->version = NGX_PHRONY_ZONE_VERSION;
    root->magic = NGX_PHRONY_ZONE_MAGIC;

    return NGX_OK;
}


static void
ngx_phrony_zone_queues(ngx_phrony_root_t *root)
{
    ngx_queue_init(&root->recent);
    ngx_queue_init(&root->ended);
    ngx_queue_init(&root->pending);
    ngx_queue_init(&root->kept);
    ngx_queue_init(&root->untold);
    ngx_queue_init(&root->untold_counts);
    ngx_queue_init(&root->untold_claims);
}


static void
ngx_phrony_zone_fill_spare(ngx_slab_pool_t *shpool, ngx_phrony_root_t *root)
{
    ngx_phrony_trigger_t  *trigger;

    while (root->nspare < root->max_spare) {

        trigger = ngx_slab_alloc_locked(shpool, sizeof(ngx_phrony_trigger_t));
        if (trigger == NULL) {
            return;
        }

        trigger->next = root->spare;
        root->spare = trigger;
        root->nspare++;
    }
}


static void *
ngx_phrony_zone_table(ngx_slab_pool_t *shpool, size_t n)
{
    return ngx_slab_calloc_locked(shpool, n * sizeof(void *));
}


/* The master process has not seeded ngx_random(). */

static ngx_int_t
ngx_phrony_zone_origin(ngx_phrony_origin_t *origin)
{
    origin->last_lease = 0;

    if (RAND_bytes((u_char *) &origin->seed, sizeof(uint64_t)) != 1
        || RAND_bytes((u_char *) &origin->lease_seed, sizeof(uint64_t)) != 1
        || RAND_bytes((u_char *) &origin->last_change, sizeof(uint64_t)) != 1)
    {
        return NGX_ERROR;
    }

    phrony_lease_mark((u_char *) &origin->lease_seed);

    /* far from others, and from the end */

    origin->last_change >>= 1;

    return NGX_OK;
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

    if (root->busy != NGX_PHRONY_ZONE_CALM
        || root->magic != NGX_PHRONY_ZONE_MAGIC)
    {
        ngx_phrony_zone_recover(zone);
        root = zone->shpool->data;
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


void *
ngx_phrony_zone_alloc(ngx_phrony_zone_t *zone, size_t size,
    ngx_phrony_trigger_t *keep)
{
    void  *p;

    p = ngx_phrony_zone_try_alloc(zone, size);

    if (p == NULL) {
        ngx_phrony_run_evict(zone);

        p = ngx_phrony_zone_try_alloc(zone, size);
    }

    if (p == NULL) {
        ngx_phrony_cache_evict(zone);

        p = ngx_phrony_zone_try_alloc(zone, size);
    }

    if (p == NULL) {
        ngx_phrony_claim_evict(zone);

        p = ngx_phrony_zone_try_alloc(zone, size);
    }

    if (p == NULL) {
        ngx_phrony_trigger_evict(zone, keep);

        p = ngx_phrony_zone_try_alloc(zone, size);
    }

    return p;
}


void *
ngx_phrony_zone_try_alloc(ngx_phrony_zone_t *zone, size_t size)
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


size_t
ngx_phrony_zone_room(size_t size)
{
    size_t  room;

    if (size > ngx_pagesize / 2) {
        return ngx_align(size, ngx_pagesize);
    }

    for (room = 8; room < size; room *= 2) { /* void */ }

    return room;
}


void
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


/* The last holder of the lock was killed. */

static void
ngx_phrony_zone_recover(ngx_phrony_zone_t *zone)
{
    ngx_uint_t            repaired;
    ngx_phrony_root_t    *root;
    ngx_phrony_origin_t   origin;

    root = zone->shpool->data;

    zone->repaired = NGX_PHRONY_ZONE_INDEX;
    repaired = root->repaired + 1;

    if (root->busy == NGX_PHRONY_ZONE_SLAB
        || root->magic != NGX_PHRONY_ZONE_MAGIC)
    {
        zone->repaired = NGX_PHRONY_ZONE_SLAB;

        /* leases that others hold must not get the ids of new ones */

        origin = root->origin;

        if (root->magic != NGX_PHRONY_ZONE_MAGIC) {
            (void) ngx_phrony_zone_origin(&origin);
        }

        ngx_slab_init(zone->shpool);
        (void) ngx_phrony_zone_create(zone->shpool, &origin);

        root = zone->shpool->data;

    } else {
        ngx_phrony_repair(root);
    }

    root->repaired = repaired;
}
