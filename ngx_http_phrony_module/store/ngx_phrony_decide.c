
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_phrony_decide.h"
#include "ngx_phrony_claim.h"
#include "ngx_phrony_delivery.h"
#include "ngx_phrony_run.h"
#include "ngx_phrony_share.h"
#include "ngx_phrony_trigger.h"


#define NGX_PHRONY_DECIDE_SWEEP        512      /* runs at most, at once */
#define NGX_PHRONY_DECIDE_SWEEP_ENDED  4


static ngx_int_t ngx_phrony_decide_delivery(ngx_phrony_zone_t *zone,
    ngx_phrony_op_t *op);
static void ngx_phrony_decide_claim(ngx_phrony_zone_t *zone,
    ngx_phrony_op_t *op, ngx_uint_t untold);
static void ngx_phrony_decide_start_report(ngx_phrony_zone_t *zone,
    ngx_phrony_trigger_t *trigger, ngx_phrony_op_t *op);
static ngx_int_t ngx_phrony_decide_start(ngx_phrony_zone_t *zone,
    ngx_phrony_trigger_t *trigger, ngx_phrony_op_t *op);
static ngx_int_t ngx_phrony_decide_reserve(ngx_phrony_zone_t *zone,
    ngx_phrony_trigger_t *trigger, ngx_phrony_op_t *op);
static void ngx_phrony_decide_untold(ngx_phrony_zone_t *zone,
    ngx_phrony_trigger_t *trigger, ngx_phrony_op_t *op);
static ngx_uint_t ngx_phrony_decide_slot(ngx_phrony_zone_t *zone,
    ngx_phrony_trigger_t *trigger, phrony_limit_t *limit);
static void ngx_phrony_decide_read(ngx_phrony_zone_t *zone,
    ngx_phrony_trigger_t *trigger, ngx_phrony_op_t *op);
static ngx_uint_t ngx_phrony_decide_within(phrony_limit_t *limit,
    phrony_window_t *window);
static void ngx_phrony_decide_report(phrony_limit_t *limit,
    phrony_window_t *window, const phrony_window_shape_t *shape,
    uint64_t now);


ngx_int_t
ngx_phrony_decide(ngx_phrony_zone_t *zone, ngx_phrony_op_t *op,
    ngx_uint_t untold)
{
    ngx_int_t              rc;
    ngx_phrony_root_t     *root;
    ngx_phrony_trigger_t  *trigger;

    root = zone->shpool->data;

    op->granted = 0;
    op->leased = 0;

    if (op->delivery.mode != PHRONY_DELIVERY_MODE_OFF
        && ngx_phrony_decide_delivery(zone, op) != NGX_OK)
    {
        return NGX_OK;
    }

    (void) ngx_phrony_run_sweep(zone, NGX_PHRONY_DECIDE_SWEEP);
    ngx_phrony_run_sweep_ended(zone, NGX_PHRONY_DECIDE_SWEEP_ENDED);

    trigger = ngx_phrony_trigger_use(zone, &op->trigger_id);

    if (trigger == NULL
        || (untold && ngx_phrony_share_use(zone, trigger, &op->workspace_id)
                      == NULL))
    {
        root->exhausted++;
        return NGX_DECLINED;
    }

    if (op->read) {
        ngx_phrony_decide_read(zone, trigger, op);
        return NGX_OK;
    }

    rc = ngx_phrony_decide_start(zone, trigger, op);

    if (untold && op->granted) {
        ngx_phrony_decide_untold(zone, trigger, op);
    }

    ngx_phrony_decide_claim(zone, op, untold);

    return rc;
}


/*
 * Where Redis would know more, a delivery that was not seen here may have
 * been seen elsewhere; but for that alone it is not in doubt for ever: what
 * it was before the claim is for Redis to say.
 */

static void
ngx_phrony_decide_claim(ngx_phrony_zone_t *zone, ngx_phrony_op_t *op,
    ngx_uint_t untold)
{
    ngx_phrony_claim_t     *claim;
    ngx_phrony_delivery_t  *delivery;

    delivery = &op->delivery;

    if (!ngx_phrony_delivery_wanted(delivery)) {
        return;
    }

    /* a zone without room for the lease has none for the claim */

    if (op->granted && op->leased) {
        delivery->owner = op->lease_id;
        ngx_phrony_claim_take(zone, op);
    }

    if (!untold) {
        return;
    }

    if (delivery->claimed) {
        claim = ngx_phrony_claim_find(zone, delivery->digest);

        if (claim) {
            claim->local = 1;
            ngx_phrony_claim_untold(zone->shpool->data, claim);
        }
    }

    delivery->action = PHRONY_DELIVERY_ACTION_PROXY;
    delivery->duplicate = PHRONY_DUPLICATE_UNKNOWN;
}


/* Returns NGX_OK if the limits are to decide, else NGX_DECLINED. */

static ngx_int_t
ngx_phrony_decide_delivery(ngx_phrony_zone_t *zone, ngx_phrony_op_t *op)
{
    ngx_phrony_claim_look(zone, &op->delivery);

    if (ngx_phrony_delivery_blocks(&op->delivery)) {
        ngx_phrony_decide_look(zone, op);
        return NGX_DECLINED;
    }

    return NGX_OK;
}


void
ngx_phrony_decide_look(ngx_phrony_zone_t *zone, ngx_phrony_op_t *op)
{
    ngx_uint_t             i;
    ngx_phrony_trigger_t  *trigger, none;

    (void) ngx_phrony_run_sweep(zone, NGX_PHRONY_DECIDE_SWEEP);

    trigger = ngx_phrony_trigger_find(zone->shpool->data, &op->trigger_id);

    if (trigger == NULL) {
        ngx_memzero(&none, sizeof(ngx_phrony_trigger_t));
        trigger = &none;
    }

    for (i = 0; i < PHRONY_LIMIT_MAX; i++) {
        op->limits[i].refused = 0;
    }

    phrony_window_advance(&trigger->rpm.window, &phrony_window_minute,
                          zone->now);
    phrony_window_advance(&trigger->rpd.window, &phrony_window_day,
                          zone->now);

    ngx_phrony_decide_start_report(zone, trigger, op);
}


static void
ngx_phrony_decide_start_report(ngx_phrony_zone_t *zone,
    ngx_phrony_trigger_t *trigger, ngx_phrony_op_t *op)
{
    ngx_phrony_decide_report(&op->limits[PHRONY_LIMIT_RPM],
                             &trigger->rpm.window, &phrony_window_minute,
                             zone->now);
    ngx_phrony_decide_report(&op->limits[PHRONY_LIMIT_RPD],
                             &trigger->rpd.window, &phrony_window_day,
                             zone->now);
    ngx_phrony_verdict_runs(&op->limits[PHRONY_LIMIT_RUNS],
                            ngx_phrony_share_held(trigger, zone->now));

    op->duration = trigger->duration;
}


static ngx_int_t
ngx_phrony_decide_start(ngx_phrony_zone_t *zone,
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

    runs->refused = !ngx_phrony_decide_slot(zone, trigger, runs);

    op->granted = ngx_phrony_decide_within(rpm, minute)
                  & ngx_phrony_decide_within(rpd, day)
                  & !runs->refused;

    if (op->granted) {

        if (ngx_phrony_decide_reserve(zone, trigger, op) != NGX_OK) {
            op->granted = 0;
            return NGX_DECLINED;
        }

        phrony_window_count(minute, &phrony_window_minute);
        phrony_window_count(day, &phrony_window_day);
    }

    ngx_phrony_decide_start_report(zone, trigger, op);

    return NGX_OK;
}


/*
 * Without a limit on runs the lease is only what the gateway remembers of
 * the run, and a full zone is no reason to refuse the start.
 */

static ngx_int_t
ngx_phrony_decide_reserve(ngx_phrony_zone_t *zone,
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


/* What cannot be noted for Redis was still within the limits of here. */

static void
ngx_phrony_decide_untold(ngx_phrony_zone_t *zone,
    ngx_phrony_trigger_t *trigger, ngx_phrony_op_t *op)
{
    ngx_phrony_run_t   *run;
    ngx_phrony_root_t  *root;

    root = zone->shpool->data;

    if (op->leased) {
        run = ngx_phrony_run_find(root, &op->lease_id);
        ngx_phrony_run_untold(root, run, trigger);
    }

    if (ngx_phrony_share_count(zone, trigger) != NGX_OK) {
        root->exhausted++;
    }
}


/*
 * Whether there is a slot.  Leases that have expired hold none: after so many
 * at once that some were left, they are looked for before a start is refused.
 */

static ngx_uint_t
ngx_phrony_decide_slot(ngx_phrony_zone_t *zone,
    ngx_phrony_trigger_t *trigger, phrony_limit_t *limit)
{
    while (limit->set
           && !phrony_lease_admits(ngx_phrony_share_held(trigger, zone->now),
                                   limit->quota))
    {
        if (ngx_phrony_run_sweep(zone, NGX_PHRONY_DECIDE_SWEEP) == 0) {
            return 0;
        }
    }

    return 1;
}


static void
ngx_phrony_decide_read(ngx_phrony_zone_t *zone,
    ngx_phrony_trigger_t *trigger, ngx_phrony_op_t *op)
{
    phrony_limit_t   *limit;
    phrony_window_t  *window;

    limit = &op->limits[PHRONY_LIMIT_READS];
    window = &trigger->reads.window;

    phrony_window_advance(window, &phrony_window_minute, zone->now);

    op->granted = ngx_phrony_decide_within(limit, window);

    if (op->granted) {
        phrony_window_count(window, &phrony_window_minute);
    }

    ngx_phrony_decide_report(limit, window, &phrony_window_minute, zone->now);
}


static ngx_uint_t
ngx_phrony_decide_within(phrony_limit_t *limit, phrony_window_t *window)
{
    limit->refused = limit->set
                     && !phrony_window_admits(window, limit->quota);

    return !limit->refused;
}


static void
ngx_phrony_decide_report(phrony_limit_t *limit, phrony_window_t *window,
    const phrony_window_shape_t *shape, uint64_t now)
{
    if (!limit->set) {
        return;
    }

    limit->remaining = phrony_window_remaining(window, limit->quota);
    limit->reset = phrony_window_reset(window, shape, limit->quota, now);
    limit->wait = phrony_window_wait(window, shape, limit->quota, now);
}
