
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_phrony_store_memory.h"
#include "ngx_phrony_run.h"
#include "ngx_phrony_trigger.h"


#define NGX_PHRONY_STORE_SWEEP        512   /* runs at most, at once */
#define NGX_PHRONY_STORE_SWEEP_ENDED  4
#define NGX_PHRONY_STORE_RUNS_RETRY   5000  /* ms, a hint */


static ngx_int_t ngx_phrony_store_memory_admit(ngx_phrony_store_t *store,
    ngx_phrony_op_t *op);
static ngx_phrony_trigger_t *ngx_phrony_store_memory_trigger(
    ngx_phrony_zone_t *zone, ngx_phrony_root_t *root, phrony_uuid_t *id);
static ngx_int_t ngx_phrony_store_memory_start(ngx_phrony_zone_t *zone,
    ngx_phrony_trigger_t *trigger, ngx_phrony_op_t *op);
static ngx_int_t ngx_phrony_store_memory_reserve(ngx_phrony_zone_t *zone,
    ngx_phrony_trigger_t *trigger, ngx_phrony_op_t *op);
static ngx_uint_t ngx_phrony_store_memory_slot(ngx_phrony_zone_t *zone,
    ngx_phrony_trigger_t *trigger, phrony_limit_t *limit);
static void ngx_phrony_store_memory_read(ngx_phrony_zone_t *zone,
    ngx_phrony_trigger_t *trigger, ngx_phrony_op_t *op);
static ngx_uint_t ngx_phrony_store_memory_within(phrony_limit_t *limit,
    phrony_window_t *window);
static void ngx_phrony_store_memory_report(phrony_limit_t *limit,
    phrony_window_t *window, const phrony_window_shape_t *shape,
    uint64_t now);
static void ngx_phrony_store_memory_report_runs(phrony_limit_t *limit,
    ngx_phrony_trigger_t *trigger);
static ngx_phrony_run_t *ngx_phrony_store_memory_run(ngx_phrony_zone_t *zone,
    ngx_phrony_root_t *root, phrony_uuid_t *id);
static ngx_int_t ngx_phrony_store_memory_locate(ngx_phrony_store_t *store,
    ngx_phrony_op_t *op);
static void ngx_phrony_store_memory_cancel(ngx_phrony_store_t *store,
    ngx_phrony_op_t *op);
static void ngx_phrony_store_memory_settle(ngx_phrony_store_t *store,
    ngx_phrony_settlement_t *s);
static void ngx_phrony_store_memory_settle_start(ngx_phrony_zone_t *zone,
    ngx_phrony_root_t *root, ngx_phrony_settlement_t *s);
static void ngx_phrony_store_memory_know(ngx_phrony_zone_t *zone,
    ngx_phrony_root_t *root, ngx_phrony_settlement_t *s);
static void ngx_phrony_store_memory_see(ngx_phrony_zone_t *zone,
    ngx_phrony_run_t *run, ngx_phrony_settlement_t *s);
static void ngx_phrony_store_memory_snapshot(ngx_phrony_store_t *store,
    ngx_phrony_snapshot_t *snapshot);


static ngx_phrony_store_t  ngx_phrony_store_memory = {
    ngx_string("memory"),
    ngx_phrony_store_memory_admit,
    ngx_phrony_store_memory_locate,
    ngx_phrony_store_memory_cancel,
    ngx_phrony_store_memory_settle,
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
    ngx_int_t              rc;
    ngx_phrony_zone_t     *zone;
    ngx_phrony_root_t     *root;
    ngx_phrony_trigger_t  *trigger;

    zone = ((ngx_phrony_store_memory_t *) store)->zone;

    op->granted = 0;
    op->leased = 0;

    root = ngx_phrony_zone_lock(zone);

    (void) ngx_phrony_run_sweep(zone, NGX_PHRONY_STORE_SWEEP);
    ngx_phrony_run_sweep_ended(zone, NGX_PHRONY_STORE_SWEEP_ENDED);

    trigger = ngx_phrony_store_memory_trigger(zone, root, &op->trigger_id);

    if (trigger == NULL) {
        root->exhausted++;
        rc = NGX_DECLINED;

    } else if (op->read) {
        ngx_phrony_store_memory_read(zone, trigger, op);
        rc = NGX_OK;

    } else {
        rc = ngx_phrony_store_memory_start(zone, trigger, op);
    }

    ngx_phrony_zone_unlock(zone);

    return rc;
}


static ngx_phrony_trigger_t *
ngx_phrony_store_memory_trigger(ngx_phrony_zone_t *zone,
    ngx_phrony_root_t *root, phrony_uuid_t *id)
{
    ngx_phrony_trigger_t  *trigger;

    trigger = ngx_phrony_trigger_find(root, id);

    if (trigger == NULL) {
        return ngx_phrony_trigger_add(zone, id);
    }

    ngx_phrony_trigger_touch(root, trigger);

    return trigger;
}


static ngx_int_t
ngx_phrony_store_memory_start(ngx_phrony_zone_t *zone,
    ngx_phrony_trigger_t *trigger, ngx_phrony_op_t *op)
{
    phrony_limit_t   *rpm, *rpd, *runs;
    phrony_window_t  *minute, *day;

    rpm = &op->limits[PHRONY_LIMIT_RPM];
    rpd = &op->limits[PHRONY_LIMIT_RPD];
    runs = &op->limits[PHRONY_LIMIT_RUNS];

    minute = &trigger->rpm.window;
    day = &trigger->rpd.window;

    phrony_window_advance(minute, &phrony_window_minute, zone->now);
    phrony_window_advance(day, &phrony_window_day, zone->now);

    runs->refused = !ngx_phrony_store_memory_slot(zone, trigger, runs);

    op->granted = ngx_phrony_store_memory_within(rpm, minute)
                  & ngx_phrony_store_memory_within(rpd, day)
                  & !runs->refused;

    if (op->granted) {

        if (ngx_phrony_store_memory_reserve(zone, trigger, op) != NGX_OK) {
            op->granted = 0;
            return NGX_DECLINED;
        }

        phrony_window_count(minute, &phrony_window_minute);
        phrony_window_count(day, &phrony_window_day);
    }

    ngx_phrony_store_memory_report(rpm, minute, &phrony_window_minute,
                                   zone->now);
    ngx_phrony_store_memory_report(rpd, day, &phrony_window_day, zone->now);
    ngx_phrony_store_memory_report_runs(runs, trigger);

    return NGX_OK;
}


/*
 * Without a limit on runs the lease is only what the gateway remembers of
 * the run, and a full zone is no reason to refuse the start.
 */

static ngx_int_t
ngx_phrony_store_memory_reserve(ngx_phrony_zone_t *zone,
    ngx_phrony_trigger_t *trigger, ngx_phrony_op_t *op)
{
    ngx_phrony_run_t   *run;
    ngx_phrony_root_t  *root;

    run = ngx_phrony_run_add(zone, NULL, &trigger->id, trigger,
                             op->reservation_ttl);

    if (run) {
        op->lease_id = run->id;
        op->leased = 1;
        return NGX_OK;
    }

    root = zone->shpool->data;
    root->exhausted++;

    return op->limits[PHRONY_LIMIT_RUNS].set ? NGX_DECLINED : NGX_OK;
}


/*
 * Whether there is a slot.  Leases that have expired hold none: after so many
 * at once that some were left, they are looked for before a start is refused.
 */

static ngx_uint_t
ngx_phrony_store_memory_slot(ngx_phrony_zone_t *zone,
    ngx_phrony_trigger_t *trigger, phrony_limit_t *limit)
{
    while (limit->set
           && !phrony_lease_admits(trigger->nleases, limit->quota))
    {
        if (ngx_phrony_run_sweep(zone, NGX_PHRONY_STORE_SWEEP) == 0) {
            return 0;
        }
    }

    return 1;
}


static void
ngx_phrony_store_memory_read(ngx_phrony_zone_t *zone,
    ngx_phrony_trigger_t *trigger, ngx_phrony_op_t *op)
{
    phrony_limit_t   *limit;
    phrony_window_t  *window;

    limit = &op->limits[PHRONY_LIMIT_READS];
    window = &trigger->reads.window;

    phrony_window_advance(window, &phrony_window_minute, zone->now);

    op->granted = ngx_phrony_store_memory_within(limit, window);

    if (op->granted) {
        phrony_window_count(window, &phrony_window_minute);
    }

    ngx_phrony_store_memory_report(limit, window, &phrony_window_minute,
                                   zone->now);
}


static ngx_uint_t
ngx_phrony_store_memory_within(phrony_limit_t *limit, phrony_window_t *window)
{
    limit->refused = limit->set
                     && !phrony_window_admits(window, limit->quota);

    return !limit->refused;
}


static void
ngx_phrony_store_memory_report(phrony_limit_t *limit, phrony_window_t *window,
    const phrony_window_shape_t *shape, uint64_t now)
{
    if (!limit->set) {
        return;
    }

    limit->remaining = phrony_window_remaining(window, limit->quota);
    limit->reset = phrony_window_reset(window, shape, limit->quota, now);
    limit->wait = phrony_window_wait(window, shape, limit->quota, now);
}


static void
ngx_phrony_store_memory_report_runs(phrony_limit_t *limit,
    ngx_phrony_trigger_t *trigger)
{
    if (!limit->set) {
        return;
    }

    limit->remaining = phrony_lease_remaining(trigger->nleases, limit->quota);
    limit->reset = PHRONY_NO_WAIT;
    limit->wait = 0;

    if (limit->refused) {
        limit->wait = limit->quota ? NGX_PHRONY_STORE_RUNS_RETRY
                                   : PHRONY_NO_WAIT;
    }
}


/* A run whose time has run out is not known, whether or not it was swept. */

static ngx_phrony_run_t *
ngx_phrony_store_memory_run(ngx_phrony_zone_t *zone, ngx_phrony_root_t *root,
    phrony_uuid_t *id)
{
    ngx_phrony_run_t  *run;

    run = ngx_phrony_run_find(root, id);

    if (run && run->expires <= zone->now) {
        ngx_phrony_run_free(zone, run);
        return NULL;
    }

    return run;
}


static ngx_int_t
ngx_phrony_store_memory_locate(ngx_phrony_store_t *store, ngx_phrony_op_t *op)
{
    ngx_phrony_run_t   *run;
    ngx_phrony_zone_t  *zone;
    ngx_phrony_root_t  *root;

    zone = ((ngx_phrony_store_memory_t *) store)->zone;

    root = ngx_phrony_zone_lock(zone);

    run = ngx_phrony_store_memory_run(zone, root, &op->run_id);

    op->known = (run != NULL);

    if (run) {
        op->trigger_id = run->trigger_id;
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

    if (s->start) {
        ngx_phrony_store_memory_settle_start(zone, root, s);

    } else if (s->has_run) {
        run = ngx_phrony_store_memory_run(zone, root, &s->run_id);

        if (run) {
            ngx_phrony_store_memory_see(zone, run, s);
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
        lease = ngx_phrony_store_memory_run(zone, root, &s->lease_id);
    }

    if (s->has_run) {
        run = ngx_phrony_store_memory_run(zone, root, &s->run_id);
    }

    if (lease && (run || !s->has_run)) {

        /* no run was started, or another answer named it already */

        ngx_phrony_run_free(zone, lease);
    }

    if (!s->has_run) {
        return;
    }

    if (run) {
        ngx_phrony_store_memory_see(zone, run, s);
        return;
    }

    if (lease == NULL) {
        ngx_phrony_store_memory_know(zone, root, s);
        return;
    }

    ngx_phrony_run_rename(root, lease, &s->run_id);
    ngx_phrony_store_memory_see(zone, lease, s);
}


/*
 * A run that nobody holds a lease for: it was admitted without one, or its
 * answer came after the reservation had run out.  It is unfinished, so it
 * holds a slot in the latter case, whatever the limit says.
 */

static void
ngx_phrony_store_memory_know(ngx_phrony_zone_t *zone, ngx_phrony_root_t *root,
    ngx_phrony_settlement_t *s)
{
    ngx_phrony_trigger_t  *trigger;

    trigger = NULL;

    if (s->leased && s->event == PHRONY_LEASE_BIND) {
        trigger = ngx_phrony_store_memory_trigger(zone, root,
                                                  &s->trigger_id);
    }

    if (ngx_phrony_run_add(zone, &s->run_id, &s->trigger_id, trigger,
                           s->run_ttl)
        == NULL)
    {
        root->exhausted++;
    }
}


/* The run was seen: alive, or ended. */

static void
ngx_phrony_store_memory_see(ngx_phrony_zone_t *zone, ngx_phrony_run_t *run,
    ngx_phrony_settlement_t *s)
{
    if (s->event == PHRONY_LEASE_END && phrony_lease_holds_slot(run->state)) {
        ngx_phrony_run_end(zone, run, s->run_ttl);
        return;
    }

    ngx_phrony_run_touch(zone, run, s->run_ttl);
}


static void
ngx_phrony_store_memory_snapshot(ngx_phrony_store_t *store,
    ngx_phrony_snapshot_t *snapshot)
{
    ngx_phrony_zone_t  *zone;
    ngx_phrony_root_t  *root;

    zone = ((ngx_phrony_store_memory_t *) store)->zone;

    root = ngx_phrony_zone_lock(zone);

    snapshot->triggers = root->ntriggers;
    snapshot->leases = root->nleases;
    snapshot->ended = root->nended;
    snapshot->evicted = root->evicted;
    snapshot->exhausted = root->exhausted;
    snapshot->repaired = root->repaired;
    snapshot->size = zone->shpool->end - (u_char *) zone->shpool;
    snapshot->free = zone->shpool->pfree * ngx_pagesize;

    ngx_phrony_zone_unlock(zone);
}
