
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_http_phrony_admit.h"
#include "ngx_http_phrony_access.h"
#include "ngx_http_phrony_body.h"
#include "ngx_http_phrony_delivery.h"
#include "ngx_http_phrony_headers.h"
#include "ngx_http_phrony_refuse.h"
#include "ngx_http_phrony_replay.h"
#include "ngx_http_phrony_verify.h"
#include "ngx_http_phrony_wait.h"


#define NGX_HTTP_PHRONY_MAX_RETRY  (2400 * 1000)    /* ms, without jitter */


static ngx_int_t ngx_http_phrony_start(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx);
static void ngx_http_phrony_body_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_phrony_read(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx);
static ngx_int_t ngx_http_phrony_decide(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx);
static ngx_int_t ngx_http_phrony_question(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx);
static ngx_int_t ngx_http_phrony_decided(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx);
static ngx_int_t ngx_http_phrony_verified(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx);
static void ngx_http_phrony_count_duplicate(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx);
static ngx_int_t ngx_http_phrony_store_failed(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx);
static ngx_uint_t ngx_http_phrony_zone_decides(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx);
static void ngx_http_phrony_log_full(ngx_http_request_t *r);
static ngx_int_t ngx_http_phrony_limited(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx);
static int64_t ngx_http_phrony_runs_wait(ngx_http_phrony_ctx_t *ctx);
static ngx_int_t ngx_http_phrony_forbid(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx, phrony_reason_t reason);
static ngx_int_t ngx_http_phrony_repeat(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx);
static ngx_int_t ngx_http_phrony_proceed(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx, ngx_http_phrony_outcome_t outcome);
static void ngx_http_phrony_limit_set(ngx_http_phrony_ctx_t *ctx,
    phrony_limit_id_t id, int64_t quota);


ngx_int_t
ngx_http_phrony_admit_handler(ngx_http_request_t *r)
{
    ngx_int_t                    rc;
    ngx_http_phrony_ctx_t       *ctx;
    ngx_http_phrony_loc_conf_t  *plcf;

    plcf = ngx_http_get_module_loc_conf(r, ngx_http_phrony_module);

    if (!plcf->enable || r != r->main) {
        return NGX_DECLINED;
    }

    ngx_log_debug0(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "phrony admit handler");

    ctx = ngx_http_phrony_create_ctx(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ctx->decided) {
        rc = ngx_http_phrony_redirected(r, ctx);
        return (rc == NGX_OK) ? NGX_DECLINED : rc;
    }

    if (ctx->asked) {
        return ngx_http_phrony_decided(r, ctx);
    }

    rc = ngx_http_phrony_authorize_once(r, ctx);

    if (rc != NGX_OK) {
        return rc;
    }

    if (!ctx->authorized) {
        return ngx_http_phrony_refuse(r, ctx, ctx->reason);
    }

    if (ctx->route.kind == PHRONY_ROUTE_START) {
        return ngx_http_phrony_start(r, ctx);
    }

    return ngx_http_phrony_read(r, ctx);
}


static ngx_int_t
ngx_http_phrony_start(ngx_http_request_t *r, ngx_http_phrony_ctx_t *ctx)
{
    ngx_int_t        rc, identified;
    phrony_reason_t  reason;

    if (!ctx->body_read) {
        reason = ngx_http_phrony_body_declared(r, ctx);

        if (reason != PHRONY_REASON_NONE) {
            return ngx_http_phrony_refuse(r, ctx, reason);
        }

        rc = ngx_http_read_client_request_body(r,
                                               ngx_http_phrony_body_handler);

        if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
            return rc;
        }

        ngx_http_finalize_request(r, NGX_DONE);
        return NGX_DONE;
    }

    identified = ngx_http_phrony_delivery_identify(r, ctx);

    if (identified == NGX_ERROR
        || ngx_http_phrony_body_received(r, ctx) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ctx->reason == PHRONY_REASON_NONE && identified != NGX_OK) {
        ctx->reason = PHRONY_REASON_DELIVERY_ID_INVALID;
    }

    if (ctx->reason != PHRONY_REASON_NONE) {
        return ngx_http_phrony_refuse(r, ctx, ctx->reason);
    }

    ngx_http_phrony_limit_set(ctx, PHRONY_LIMIT_RPM, ctx->trigger->rpm_limit);
    ngx_http_phrony_limit_set(ctx, PHRONY_LIMIT_RPD, ctx->trigger->rpd_limit);
    ngx_http_phrony_limit_set(ctx, PHRONY_LIMIT_RUNS,
                              ctx->trigger->max_concurrent_runs);

    return ngx_http_phrony_decide(r, ctx);
}


static void
ngx_http_phrony_body_handler(ngx_http_request_t *r)
{
    ngx_http_phrony_ctx_t  *ctx;

    ctx = ngx_http_phrony_get_ctx(r);

    ngx_log_debug0(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "phrony body handler");

    ctx->body_read = 1;

    r->preserve_body = 1;

    r->write_event_handler = ngx_http_core_run_phases;
    ngx_http_core_run_phases(r);
}


static ngx_int_t
ngx_http_phrony_read(ngx_http_request_t *r, ngx_http_phrony_ctx_t *ctx)
{
    if (ctx->trigger == NULL
        || ctx->trigger->read_rpm_limit == PHRONY_NO_LIMIT)
    {
        return ngx_http_phrony_proceed(r, ctx, NGX_HTTP_PHRONY_PASSED);
    }

    ctx->op.read = 1;

    ngx_http_phrony_limit_set(ctx, PHRONY_LIMIT_READS,
                              ctx->trigger->read_rpm_limit);

    return ngx_http_phrony_decide(r, ctx);
}


static ngx_int_t
ngx_http_phrony_decide(ngx_http_request_t *r, ngx_http_phrony_ctx_t *ctx)
{
    ngx_int_t         rc;
    ngx_phrony_op_t  *op;

    op = &ctx->op;

    op->workspace_id = *ngx_http_phrony_workspace_id(ctx);
    op->trigger_id = ctx->trigger->id;
    op->reservation_ttl = ctx->conf->reservation_ttl;
    op->local = (ctx->conf->store_failure == NGX_HTTP_PHRONY_FAILURE_LOCAL);

    rc = ngx_http_phrony_question(r, ctx);

    return (rc == NGX_OK) ? ngx_http_phrony_decided(r, ctx) : rc;
}


/* Returns NGX_OK if the store has answered at once, be it that it cannot. */

static ngx_int_t
ngx_http_phrony_question(ngx_http_request_t *r, ngx_http_phrony_ctx_t *ctx)
{
    ngx_int_t  rc;

    rc = ngx_http_phrony_ask_admit(ctx);

    ctx->asked = 1;

    if (rc == NGX_AGAIN) {
        return ngx_http_phrony_suspend(r, ctx);
    }

    ctx->op.failed = (rc != NGX_OK);

    return NGX_OK;
}


/* The store has answered, at once or after the request had waited for it. */

static ngx_int_t
ngx_http_phrony_decided(ngx_http_request_t *r, ngx_http_phrony_ctx_t *ctx)
{
    ngx_int_t         rc;
    ngx_phrony_op_t  *op;

    op = &ctx->op;

    if (ctx->pending) {
        return NGX_AGAIN;
    }

    ngx_log_debug3(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "phrony decided, failed: %ui, granted: %ui, leased: %ui",
                   (ngx_uint_t) op->failed, (ngx_uint_t) op->granted,
                   (ngx_uint_t) op->leased);

    rc = ngx_http_phrony_verified(r, ctx);

    if (rc != NGX_OK) {
        return rc;
    }

    if (op->failed) {
        return ngx_http_phrony_store_failed(r, ctx);
    }

    ctx->counted = 1;

    ngx_http_phrony_count_duplicate(r, ctx);

    switch (op->delivery.action) {

    case PHRONY_DELIVERY_ACTION_REPLAY:
        return ngx_http_phrony_repeat(r, ctx);

    case PHRONY_DELIVERY_ACTION_REFUSE_MISMATCH:
        return ngx_http_phrony_forbid(r, ctx, PHRONY_REASON_DELIVERY_MISMATCH);

    case PHRONY_DELIVERY_ACTION_REFUSE_IN_PROGRESS:
        return ngx_http_phrony_forbid(r, ctx,
                                      PHRONY_REASON_DELIVERY_IN_PROGRESS);

    default:
        break;
    }

    if (!op->granted) {
        return ngx_http_phrony_limited(r, ctx);
    }

    if (op->read) {
        return ngx_http_phrony_proceed(r, ctx, NGX_HTTP_PHRONY_PASSED);
    }

    if (!op->leased) {
        ngx_http_phrony_log_full(r);
    }

    return ngx_http_phrony_proceed(r, ctx, NGX_HTTP_PHRONY_ADMITTED);
}


/*
 * A refusal is verified, and asked for once more if that gave a slot back.
 * Returns NGX_OK if the answer stands.
 */

static ngx_int_t
ngx_http_phrony_verified(ngx_http_request_t *r, ngx_http_phrony_ctx_t *ctx)
{
    ngx_int_t  rc;

    if (ctx->op.failed) {
        return NGX_OK;
    }

    rc = ngx_http_phrony_verify(r, ctx);

    if (rc == NGX_DECLINED) {
        return NGX_OK;
    }

    return (rc == NGX_OK) ? ngx_http_phrony_question(r, ctx) : rc;
}


static void
ngx_http_phrony_count_duplicate(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx)
{
    phrony_duplicate_t      duplicate;
    ngx_phrony_counters_t  *counters;

    duplicate = ctx->op.delivery.duplicate;

    if (duplicate != PHRONY_DUPLICATE_NONE) {
        counters = ngx_http_phrony_counters(r);
        (void) ngx_atomic_fetch_add(&counters->duplicates[duplicate], 1);
    }
}


/*
 * What "local" has is a full zone, and no other memory to fall back to, so
 * for a start it is to deny; a read is left to the upstream.
 */

static ngx_int_t
ngx_http_phrony_store_failed(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx)
{
    if (ngx_http_phrony_zone_decides(r, ctx)) {
        ngx_http_phrony_log_full(r);
    }

    if (ctx->op.read
        && ctx->conf->store_failure != NGX_HTTP_PHRONY_FAILURE_DENY)
    {
        return ngx_http_phrony_proceed(r, ctx, NGX_HTTP_PHRONY_PASSED);
    }

    if (ctx->conf->store_failure == NGX_HTTP_PHRONY_FAILURE_ALLOW) {
        ctx->reason = PHRONY_REASON_STORE_UNAVAILABLE;

        if (ctx->op.delivery.mode != PHRONY_DELIVERY_MODE_OFF) {
            ctx->op.delivery.duplicate = PHRONY_DUPLICATE_UNKNOWN;
            ngx_http_phrony_count_duplicate(r, ctx);
        }

        return ngx_http_phrony_proceed(r, ctx, NGX_HTTP_PHRONY_ADMITTED);
    }

    return ngx_http_phrony_forbid(r, ctx, PHRONY_REASON_STORE_UNAVAILABLE);
}


/* Where Redis does, its connection logs what is wrong. */

static ngx_uint_t
ngx_http_phrony_zone_decides(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx)
{
    ngx_http_phrony_main_conf_t  *pmcf;

    pmcf = ngx_http_get_module_main_conf(r, ngx_http_phrony_module);

    return ctx->op.local || pmcf->store == &pmcf->memory.store;
}


/* Once a second from each worker. */

static void
ngx_http_phrony_log_full(ngx_http_request_t *r)
{
    static time_t                 logged;
    ngx_http_phrony_main_conf_t  *pmcf;

    if (logged == ngx_time()) {
        return;
    }

    logged = ngx_time();

    pmcf = ngx_http_get_module_main_conf(r, ngx_http_phrony_module);

    ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                  "phrony zone \"%V\" is full of unfinished runs and counts "
                  "that stand", &pmcf->shm_zone->shm.name);
}


static ngx_int_t
ngx_http_phrony_limited(ngx_http_request_t *r, ngx_http_phrony_ctx_t *ctx)
{
    phrony_limit_t   *limits;
    phrony_reason_t   reason;

    limits = ctx->op.limits;

    if (limits[PHRONY_LIMIT_RUNS].refused
        && limits[PHRONY_LIMIT_RUNS].quota > 0)
    {
        limits[PHRONY_LIMIT_RUNS].wait = ngx_http_phrony_runs_wait(ctx);
    }

    reason = PHRONY_REASON_RATE_LIMITED;

    if (!limits[PHRONY_LIMIT_RPM].refused
        && !limits[PHRONY_LIMIT_RPD].refused
        && limits[PHRONY_LIMIT_RUNS].refused)
    {
        reason = PHRONY_REASON_CONCURRENCY_LIMITED;
    }

    return ngx_http_phrony_forbid(r, ctx, reason);
}


/*
 * A hint, in ms: when one of the slots held may be free again, if they were
 * taken one after the other; and a part of that more, drawn at random, so that
 * those who are refused together do not come back together.
 */

static int64_t
ngx_http_phrony_runs_wait(ngx_http_phrony_ctx_t *ctx)
{
    int64_t  wait;

    wait = (int64_t) ctx->conf->runs_retry;

    if (ctx->op.duration) {
        wait = ctx->op.duration / ctx->op.limits[PHRONY_LIMIT_RUNS].quota;
    }

    wait = ngx_max(wait, 1000);
    wait = ngx_min(wait, NGX_HTTP_PHRONY_MAX_RETRY);

    return wait + ngx_random() % (wait / 2 + 1);
}


/* Refuses, unless this is a dry run. */

static ngx_int_t
ngx_http_phrony_forbid(ngx_http_request_t *r, ngx_http_phrony_ctx_t *ctx,
    phrony_reason_t reason)
{
    if (ctx->conf->dry_run) {
        ctx->reason = reason;
        return ngx_http_phrony_proceed(r, ctx, NGX_HTTP_PHRONY_DRY_RUN);
    }

    return ngx_http_phrony_refuse(r, ctx, reason);
}


/* Sends the stored answer, unless this is a dry run. */

static ngx_int_t
ngx_http_phrony_repeat(ngx_http_request_t *r, ngx_http_phrony_ctx_t *ctx)
{
    if (ctx->conf->dry_run) {
        return ngx_http_phrony_proceed(r, ctx, NGX_HTTP_PHRONY_DRY_RUN);
    }

    return ngx_http_phrony_replay(r, ctx);
}


static ngx_int_t
ngx_http_phrony_proceed(ngx_http_request_t *r, ngx_http_phrony_ctx_t *ctx,
    ngx_http_phrony_outcome_t outcome)
{
    ngx_phrony_counters_t  *counters;

    counters = ngx_http_phrony_counters(r);

    ctx->decided = 1;
    ctx->outcome = outcome;

    switch (outcome) {

    case NGX_HTTP_PHRONY_ADMITTED:
        (void) ngx_atomic_fetch_add(&counters->admitted, 1);
        break;

    case NGX_HTTP_PHRONY_DRY_RUN:
        (void) ngx_atomic_fetch_add(&counters->dry_run[ctx->route.kind], 1);
        ngx_http_phrony_log_refusal(r, ctx);
        break;

    default:
        (void) ngx_atomic_fetch_add(&counters->passed[ctx->route.kind], 1);
    }

    if (ctx->route.kind == PHRONY_ROUTE_START) {
        ctx->unsettled = 1;

        if (ngx_http_phrony_delivery_annotate(r, ctx) != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    if (ctx->route.kind == PHRONY_ROUTE_START
        || ngx_http_phrony_reads_status(r, ctx)
        || ngx_http_phrony_reads_events(r, ctx))
    {
        ngx_http_phrony_headers_identity(r, &ctx->encodings);
    }

    return NGX_DECLINED;
}


static void
ngx_http_phrony_limit_set(ngx_http_phrony_ctx_t *ctx, phrony_limit_id_t id,
    int64_t quota)
{
    phrony_limit_t  *limit;

    limit = &ctx->op.limits[id];

    limit->set = (quota != PHRONY_NO_LIMIT);
    limit->quota = quota;
}
