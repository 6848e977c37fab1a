
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_phrony_store_memory.h"
#include "ngx_phrony_cache.h"
#include "ngx_phrony_claim.h"
#include "ngx_phrony_decide.h"
#include "ngx_phrony_delivery.h"
#include "ngx_phrony_run.h"
#include "ngx_phrony_suspect.h"
#include "ngx_phrony_trigger.h"


#define NGX_PHRONY_STORE_MEMORY_SWEEP   512     /* runs, at once */
#define NGX_PHRONY_STORE_MEMORY_SWEEPS  32


static ngx_int_t ngx_phrony_store_memory_admit(ngx_phrony_store_t *store,
    ngx_phrony_op_t *op);
static ngx_int_t ngx_phrony_store_memory_locate(ngx_phrony_store_t *store,
    ngx_phrony_op_t *op);
static ngx_int_t ngx_phrony_store_memory_suspect(ngx_phrony_store_t *store,
    ngx_phrony_op_t *op);
static void ngx_phrony_store_memory_cancel(ngx_phrony_store_t *store,
    ngx_phrony_op_t *op);
static void ngx_phrony_store_memory_settle(ngx_phrony_store_t *store,
    ngx_phrony_settlement_t *s);
static void ngx_phrony_store_memory_settle_start(ngx_phrony_zone_t *zone,
    ngx_phrony_root_t *root, ngx_phrony_settlement_t *s);
static void ngx_phrony_store_memory_found(ngx_phrony_zone_t *zone,
    ngx_phrony_root_t *root, ngx_phrony_settlement_t *s);
static void ngx_phrony_store_memory_know(ngx_phrony_zone_t *zone,
    ngx_phrony_root_t *root, ngx_phrony_settlement_t *s);
static void ngx_phrony_store_memory_deliver(ngx_phrony_store_t *store,
    ngx_phrony_receipt_t *receipt);
static void ngx_phrony_store_memory_snapshot(ngx_phrony_store_t *store,
    ngx_phrony_snapshot_t *snapshot);
static void ngx_phrony_store_memory_sweep(ngx_phrony_zone_t *zone);


static ngx_phrony_store_t  ngx_phrony_store_memory = {
    ngx_string("memory"),
    ngx_phrony_store_memory_admit,
    ngx_phrony_store_memory_locate,
    ngx_phrony_store_memory_suspect,
    ngx_phrony_store_memory_cancel,
    ngx_phrony_store_memory_settle,
    ngx_phrony_store_memory_deliver,
    ngx_phrony_store_memory_snapshot
};


void
ngx_phrony_store_memory_init(ngx_phrony_store_memory_t *memory,
    ngx_phrony_zone_t *zone)
{
    memory->store = ngx_phrony_store_memory;
    memory->zone = zone;
}


static ngx_int_t
ngx_phrony_store_memory_admit(ngx_phrony_store_t *store, ngx_phrony_op_t *op)
{
    ngx_int_t           rc;
    ngx_phrony_zone_t  *zone;

    zone = ((ngx_phrony_store_memory_t *) store)->zone;

    op->label = &store->label;

    (void) ngx_phrony_zone_lock(zone);

    rc = ngx_phrony_decide(zone, op, 0);

    ngx_phrony_zone_unlock(zone);

    return (rc == NGX_OK) ? ngx_phrony_delivery_keep(&op->delivery) : rc;
}


static ngx_int_t
ngx_phrony_store_memory_locate(ngx_phrony_store_t *store, ngx_phrony_op_t *op)
{
    ngx_phrony_run_t   *run;
    ngx_phrony_zone_t  *zone;

    zone = ((ngx_phrony_store_memory_t *) store)->zone;

    op->label = &store->label;

    (void) ngx_phrony_zone_lock(zone);

    run = ngx_phrony_run_alive(zone, &op->run_id);

    op->known = (run && !phrony_uuid_nil(&run->trigger_id));

    if (op->known) {
        op->trigger_id = run->trigger_id;
    }

    ngx_phrony_zone_unlock(zone);

    return NGX_OK;
}


static ngx_int_t
ngx_phrony_store_memory_suspect(ngx_phrony_store_t *store,
    ngx_phrony_op_t *op)
{
    ngx_phrony_zone_t  *zone;

    zone = ((ngx_phrony_store_memory_t *) store)->zone;

    ngx_memzero(op->suspects, sizeof(ngx_phrony_suspects_t));

    (void) ngx_phrony_zone_lock(zone);

    if (ngx_phrony_suspect_due(zone, &op->trigger_id)) {
        ngx_phrony_suspect_find(zone, op);
    }

    ngx_phrony_zone_unlock(zone);

    return NGX_OK;
}


static void
ngx_phrony_store_memory_cancel(ngx_phrony_store_t *store, ngx_phrony_op_t *op)
{
    /* nothing is ever in flight */
}


static void
ngx_phrony_store_memory_settle(ngx_phrony_store_t *store,
    ngx_phrony_settlement_t *s)
{
    ngx_phrony_run_t   *run;
    ngx_phrony_zone_t  *zone;
    ngx_phrony_root_t  *root;

    zone = ((ngx_phrony_store_memory_t *) store)->zone;

    root = ngx_phrony_zone_lock(zone);

    if (s->found) {
        ngx_phrony_store_memory_found(zone, root, s);

    } else if (s->start) {
        ngx_phrony_store_memory_settle_start(zone, root, s);

    } else if (s->has_run) {
        run = ngx_phrony_run_alive(zone, &s->run_id);

        if (run) {
            ngx_phrony_run_see(zone, run, s);

        } else if (s->event == PHRONY_LEASE_END) {
            ngx_phrony_store_memory_know(zone, root, s);
        }
    }

    ngx_phrony_zone_unlock(zone);
}


static void
ngx_phrony_store_memory_settle_start(ngx_phrony_zone_t *zone,
    ngx_phrony_root_t *root, ngx_phrony_settlement_t *s)
{
    ngx_phrony_run_t  *lease, *run;

    lease = NULL;
    run = NULL;

    if (s->leased) {
        lease = ngx_phrony_run_alive(zone, &s->lease_id);
    }

    if (s->has_run) {
        run = ngx_phrony_run_alive(zone, &s->run_id);
    }

    if (lease && (!s->has_run || (run && !run->found))) {

        /*
         * No run was started, or another answer named it already.  The lease
         * of one that was found stands in for that which the run took then.
         */

        ngx_phrony_run_free(zone, lease);
    }

    if (!s->has_run) {
        return;
    }

    if (run) {
        ngx_phrony_run_see(zone, run, s);
        return;
    }

    if (lease == NULL) {
        ngx_phrony_store_memory_know(zone, root, s);
        return;
    }

    ngx_phrony_run_rename(root, lease, &s->run_id);
    ngx_phrony_run_see(zone, lease, s);
}


static void
ngx_phrony_store_memory_found(ngx_phrony_zone_t *zone,
    ngx_phrony_root_t *root, ngx_phrony_settlement_t *s)
{
    ngx_phrony_run_t  *lease;

    lease = ngx_phrony_run_alive(zone, &s->lease_id);

    if (lease && lease->state == PHRONY_LEASE_RESERVED
        && ngx_phrony_run_alive(zone, &s->run_id) == NULL)
    {
        ngx_phrony_run_rename(root, lease, &s->run_id);
        ngx_phrony_run_see(zone, lease, s);

        lease->found = 1;
    }
}


/*
 * A run that nobody holds a lease for: it was admitted without one, or was
 * seen to end before its start was settled, or its answer came after the
 * reservation had run out.  It is unfinished, so it holds a slot in the last
 * case, whatever the limit says.
 */

static void
ngx_phrony_store_memory_know(ngx_phrony_zone_t *zone, ngx_phrony_root_t *root,
    ngx_phrony_settlement_t *s)
{
    ngx_phrony_trigger_t  *trigger;

    trigger = NULL;

    if (s->leased && s->event == PHRONY_LEASE_BIND) {
        trigger = ngx_phrony_trigger_use(zone, &s->trigger_id);
    }

    if (ngx_phrony_run_add(zone, &s->run_id, &s->trigger_id, trigger,
                           s->run_ttl)
        == NULL)
    {
        root->exhausted++;
    }
}


static void
ngx_phrony_store_memory_deliver(ngx_phrony_store_t *store,
    ngx_phrony_receipt_t *receipt)
{
    ngx_phrony_zone_t  *zone;

    zone = ((ngx_phrony_store_memory_t *) store)->zone;

    (void) ngx_phrony_zone_lock(zone);

    (void) ngx_phrony_claim_settle(zone, receipt);

    ngx_phrony_zone_unlock(zone);
}


static void
ngx_phrony_store_memory_snapshot(ngx_phrony_store_t *store,
    ngx_phrony_snapshot_t *snapshot)
{
    ngx_phrony_store_memory_figures(
                         ((ngx_phrony_store_memory_t *) store)->zone,
                         snapshot);
}


void
ngx_phrony_store_memory_figures(ngx_phrony_zone_t *zone,
    ngx_phrony_snapshot_t *snapshot)
{
    ngx_phrony_root_t  *root;

    ngx_phrony_store_memory_sweep(zone);

    root = ngx_phrony_zone_lock(zone);

    snapshot->triggers = root->ntriggers;
    snapshot->leases = root->nleases;
    snapshot->ended = root->nended;
    snapshot->deliveries = root->nclaims;
    snapshot->evicted = root->evicted;
    snapshot->exhausted = root->exhausted;
    snapshot->repaired = root->repaired;
    snapshot->untold = root->nuntold;
    snapshot->size = zone->shpool->end - (u_char *) zone->shpool;
    snapshot->free = zone->shpool->pfree * ngx_pagesize;
    snapshot->cache = root->cache->bytes;
    snapshot->max_cache = root->cache->max_bytes;
    snapshot->created = root->created;

    ngx_phrony_zone_unlock(zone);
}


/* Starts do so, too; but where there are none, leases run out all the same. */

static void
ngx_phrony_store_memory_sweep(ngx_phrony_zone_t *zone)
{
    ngx_uint_t  n, swept;

    for (n = 0; n < NGX_PHRONY_STORE_MEMORY_SWEEPS; n++) {

        (void) ngx_phrony_zone_lock(zone);

        swept = ngx_phrony_run_sweep(zone, NGX_PHRONY_STORE_MEMORY_SWEEP);
        ngx_phrony_run_sweep_ended(zone, NGX_PHRONY_STORE_MEMORY_SWEEP);

        ngx_phrony_zone_unlock(zone);

        if (swept < NGX_PHRONY_STORE_MEMORY_SWEEP) {
            return;
        }
    }
}
