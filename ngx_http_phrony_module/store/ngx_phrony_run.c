
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_phrony_run.h"
#include "ngx_phrony_share.h"
#include "ngx_phrony_trigger.h"


#define NGX_PHRONY_RUN_EVICT  64    /* at most, to make room for one */


static ngx_phrony_run_t *ngx_phrony_run_create(ngx_phrony_zone_t *zone,
    ngx_phrony_trigger_t *trigger, uint64_t ttl);
static ngx_uint_t ngx_phrony_run_expire(ngx_phrony_zone_t *zone,
    ngx_queue_t *queue, ngx_uint_t n);
static ngx_phrony_run_t **ngx_phrony_run_chain(ngx_phrony_root_t *root,
    phrony_uuid_t *id);
static void ngx_phrony_run_unlink(ngx_phrony_root_t *root,
    ngx_phrony_run_t *run);
static void ngx_phrony_run_count_untold(ngx_phrony_root_t *root,
    ngx_phrony_run_t *run, ngx_int_t n);
static void ngx_phrony_run_evict_untold(ngx_phrony_zone_t *zone);
static void ngx_phrony_run_lease_id(ngx_phrony_root_t *root,
    phrony_uuid_t *id);


ngx_phrony_run_t *
ngx_phrony_run_find(ngx_phrony_root_t *root, phrony_uuid_t *id)
{
    ngx_phrony_run_t  *run;

    run = *ngx_phrony_run_chain(root, id);

    while (run && !phrony_uuid_eq(&run->id, id)) {
        run = run->next;
    }

    return run;
}


ngx_phrony_run_t *
ngx_phrony_run_alive(ngx_phrony_zone_t *zone, phrony_uuid_t *id)
{
    ngx_phrony_run_t  *run;

    run = ngx_phrony_run_find(zone->shpool->data, id);

    if (run && run->expires <= zone->now) {
        ngx_phrony_run_free(zone, run);
        return NULL;
    }

    return run;
}


ngx_phrony_run_t *
ngx_phrony_run_add(ngx_phrony_zone_t *zone, phrony_uuid_t *id,
    phrony_uuid_t *trigger_id, ngx_phrony_trigger_t *trigger, uint64_t ttl)
{
    ngx_phrony_run_t  *run;

    run = ngx_phrony_run_create(zone, trigger, ttl);
    if (run == NULL) {
        return NULL;
    }

    if (id) {
        run->id = *id;

    } else {
        ngx_phrony_run_lease_id(zone->shpool->data, &run->id);
    }

    run->trigger_id = *trigger_id;

    if (id == NULL) {
        ngx_phrony_run_began(zone, run);
    }

    if (trigger == NULL) {
        run->state = PHRONY_LEASE_ENDED;

    } else {
        run->state = id ? PHRONY_LEASE_BOUND : PHRONY_LEASE_RESERVED;
    }

    ngx_phrony_run_link(zone->shpool->data, run);
    ngx_phrony_run_index(zone->shpool->data, run, ttl);

    return run;
}


ngx_phrony_run_t *
ngx_phrony_run_know(ngx_phrony_zone_t *zone, phrony_uuid_t *id,
    phrony_uuid_t *trigger_id, phrony_lease_state_t state, uint64_t ttl)
{
    ngx_phrony_run_t  *run;

    run = ngx_phrony_run_create(zone, NULL, ttl);
    if (run == NULL) {
        return NULL;
    }

    run->id = *id;
    run->trigger_id = *trigger_id;
    run->state = state;

    ngx_phrony_run_link(zone->shpool->data, run);
    ngx_phrony_run_index(zone->shpool->data, run, ttl);

    return run;
}


static ngx_phrony_run_t *
ngx_phrony_run_create(ngx_phrony_zone_t *zone, ngx_phrony_trigger_t *trigger,
    uint64_t ttl)
{
    ngx_phrony_run_t  *run;

    run = ngx_phrony_zone_alloc(zone, sizeof(ngx_phrony_run_t), trigger);

    if (run) {
        ngx_memzero(run, sizeof(ngx_phrony_run_t));

        run->trigger = trigger;
        run->expires = zone->now + ttl;
    }

    return run;
}


void
ngx_phrony_run_began(ngx_phrony_zone_t *zone, ngx_phrony_run_t *run)
{
    run->began = ngx_max((uint32_t) zone->now, 1);
}


void
ngx_phrony_run_free(ngx_phrony_zone_t *zone, ngx_phrony_run_t *run)
{
    ngx_phrony_root_t  *root;

    root = zone->shpool->data;

    if (run->untold) {
        ngx_queue_remove(&run->link);
        ngx_phrony_run_count_untold(root, run, -1);
    }

    ngx_phrony_run_unlink(root, run);
    ngx_phrony_run_unindex(root, run);

    ngx_phrony_zone_free(zone, run);
}


void
ngx_phrony_run_rename(ngx_phrony_root_t *root, ngx_phrony_run_t *run,
    phrony_uuid_t *id)
{
    root->moving = run;
    ngx_memory_barrier();

    ngx_phrony_run_unlink(root, run);

    run->id = *id;
    run->state = phrony_lease_next(run->state, PHRONY_LEASE_BIND);

    ngx_phrony_run_link(root, run);
}


void
ngx_phrony_run_see(ngx_phrony_zone_t *zone, ngx_phrony_run_t *run,
    ngx_phrony_settlement_t *s)
{
    ngx_phrony_trigger_t  *trigger;

    if (phrony_uuid_nil(&run->trigger_id)) {

        /* its end was seen by one who did not know whose it is */

        run->trigger_id = s->trigger_id;
    }

    if (s->event != PHRONY_LEASE_END || !phrony_lease_holds_slot(run->state)) {
        ngx_phrony_run_touch(zone, run, s->run_ttl);
        return;
    }

    trigger = ngx_phrony_trigger_find(zone->shpool->data, &run->trigger_id);

    if (run->trigger == NULL) {
        ngx_phrony_share_back(trigger);
    }

    if (trigger && run->began) {
        ngx_phrony_trigger_measure(trigger,
                                   (uint32_t) zone->now - run->began);
    }

    ngx_phrony_run_end(zone, run, s->run_ttl);
}


void
ngx_phrony_run_end(ngx_phrony_zone_t *zone, ngx_phrony_run_t *run,
    uint64_t ttl)
{
    ngx_phrony_run_unindex(zone->shpool->data, run);

    run->state = phrony_lease_next(run->state, PHRONY_LEASE_END);
    run->trigger = NULL;
    run->expires = zone->now + ttl;

    ngx_phrony_run_index(zone->shpool->data, run, ttl);
}


void
ngx_phrony_run_touch(ngx_phrony_zone_t *zone, ngx_phrony_run_t *run,
    uint64_t ttl)
{
    ngx_phrony_run_unindex(zone->shpool->data, run);

    run->expires = zone->now + ttl;

    ngx_phrony_run_index(zone->shpool->data, run, ttl);
}


void
ngx_phrony_run_untold(ngx_phrony_root_t *root, ngx_phrony_run_t *run,
    ngx_phrony_trigger_t *trigger)
{
    if (run->untold) {
        return;
    }

    if (run->trigger == NULL) {
        ngx_phrony_run_unindex(root, run);

    } else {
        ngx_queue_remove(&run->link);
    }

    run->untold = 1;

    ngx_queue_insert_tail(&root->untold, &run->link);

    root->nuntold++;
    trigger->share->nuntold++;
}


void
ngx_phrony_run_told(ngx_phrony_zone_t *zone, ngx_phrony_run_t *run)
{
    ngx_phrony_root_t  *root;

    root = zone->shpool->data;

    ngx_phrony_run_unindex(root, run);

    if (run->trigger) {
        ngx_phrony_share_forth(zone, run->trigger->share, run->expires);
        run->trigger = NULL;
    }

    ngx_queue_remove(&run->link);
    ngx_phrony_run_count_untold(root, run, -1);

    run->untold = 0;

    ngx_phrony_run_index(root, run, 0);
}


/* A trigger is not given up while there are untold runs of it. */

static void
ngx_phrony_run_count_untold(ngx_phrony_root_t *root, ngx_phrony_run_t *run,
    ngx_int_t n)
{
    ngx_phrony_trigger_t  *trigger;

    trigger = ngx_phrony_trigger_find(root, &run->trigger_id);

    root->nuntold += n;

    if (trigger && trigger->share) {
        trigger->share->nuntold += n;
    }
}


ngx_uint_t
ngx_phrony_run_sweep(ngx_phrony_zone_t *zone, ngx_uint_t n)
{
    ngx_uint_t          i, swept;
    ngx_phrony_root_t  *root;

    root = zone->shpool->data;
    swept = 0;

    for (i = 0; i < root->nclasses && swept < n; i++) {
        swept += ngx_phrony_run_expire(zone, &root->classes[i].queue,
                                       n - swept);
    }

    return swept;
}


void
ngx_phrony_run_sweep_ended(ngx_phrony_zone_t *zone, ngx_uint_t n)
{
    ngx_phrony_root_t  *root;

    root = zone->shpool->data;

    (void) ngx_phrony_run_expire(zone, &root->ended, n);
}


static ngx_uint_t
ngx_phrony_run_expire(ngx_phrony_zone_t *zone, ngx_queue_t *queue,
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

        ngx_phrony_run_free(zone, run);
    }

    return expired;
}


void
ngx_phrony_run_evict(ngx_phrony_zone_t *zone)
{
    ngx_uint_t          n;
    ngx_queue_t        *q;
    ngx_phrony_run_t   *run;
    ngx_phrony_root_t  *root;

    root = zone->shpool->data;

    (void) ngx_phrony_run_sweep(zone, NGX_PHRONY_RUN_EVICT);
    ngx_phrony_run_sweep_ended(zone, NGX_PHRONY_RUN_EVICT);
    ngx_phrony_run_evict_untold(zone);

    for (n = 0; n < NGX_PHRONY_RUN_EVICT; n++) {

        if (ngx_queue_empty(&root->ended)) {
            return;
        }

        q = ngx_queue_last(&root->ended);
        run = ngx_queue_data(q, ngx_phrony_run_t, queue);

        ngx_phrony_run_free(zone, run);
        root->evicted++;
    }
}


/* What was to be told of those that have expired is of no use any more. */

static void
ngx_phrony_run_evict_untold(ngx_phrony_zone_t *zone)
{
    ngx_uint_t          n;
    ngx_queue_t        *q;
    ngx_phrony_run_t   *run;
    ngx_phrony_root_t  *root;

    root = zone->shpool->data;

    for (n = 0; n < NGX_PHRONY_RUN_EVICT; n++) {

        if (ngx_queue_empty(&root->untold)) {
            return;
        }

        q = ngx_queue_head(&root->untold);
        run = ngx_queue_data(q, ngx_phrony_run_t, link);

        if (run->expires <= zone->now) {
            ngx_phrony_run_free(zone, run);
            continue;
        }

        /* look at another one the next time */

        ngx_queue_remove(q);
        ngx_queue_insert_tail(&root->untold, q);
    }
}


ngx_uint_t
ngx_phrony_run_reserved(ngx_phrony_root_t *root, phrony_uuid_t *id)
{
    uint64_t  seed;

    ngx_memcpy(&seed, id->bytes, sizeof(uint64_t));

    return seed == root->origin.lease_seed;
}


/* Reservations are many a second and few at a time: they are counted off. */

static ngx_phrony_run_t **
ngx_phrony_run_chain(ngx_phrony_root_t *root, phrony_uuid_t *id)
{
    uint64_t  hash, number;

    if (ngx_phrony_run_reserved(root, id)) {
        ngx_memcpy(&number, id->bytes + sizeof(uint64_t), sizeof(uint64_t));

        return &root->reserved[number & root->reserved_mask];
    }

    hash = phrony_uuid_hash(id, root->origin.seed);

    return &root->runs[hash & root->run_mask];
}


void
ngx_phrony_run_link(ngx_phrony_root_t *root, ngx_phrony_run_t *run)
{
    ngx_phrony_run_t  **chain;

    ngx_memory_barrier();
    root->moving = run;
    ngx_memory_barrier();

    chain = ngx_phrony_run_chain(root, &run->id);
    run->next = *chain;

    ngx_memory_barrier();
    *chain = run;

    ngx_memory_barrier();
    root->moving = NULL;
}


static void
ngx_phrony_run_unlink(ngx_phrony_root_t *root, ngx_phrony_run_t *run)
{
    ngx_phrony_run_t  **link;

    link = ngx_phrony_run_chain(root, &run->id);

    while (*link != run) {
        link = &(*link)->next;
    }

    *link = run->next;
    ngx_memory_barrier();
}


/* A lease's id only has to differ from other leases' and from runs' ids. */

static void
ngx_phrony_run_lease_id(ngx_phrony_root_t *root, phrony_uuid_t *id)
{
    root->origin.last_lease++;

    ngx_memcpy(id->bytes, &root->origin.lease_seed, sizeof(uint64_t));
    ngx_memcpy(id->bytes + sizeof(uint64_t), &root->origin.last_lease,
               sizeof(uint64_t));
}
