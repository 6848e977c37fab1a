
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_http_phrony_admit.h"
#include "ngx_http_phrony_access.h"
#include "ngx_http_phrony_body.h"
#include "ngx_http_phrony_headers.h"
#include "ngx_http_phrony_refuse.h"


static ngx_int_t ngx_http_phrony_start(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx);
static void ngx_http_phrony_body_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_phrony_read(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx);
static ngx_int_t ngx_http_phrony_decide(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx);
static ngx_int_t ngx_http_phrony_store_failed(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx);
static void ngx_http_phrony_log_full(ngx_http_request_t *r);
static ngx_int_t ngx_http_phrony_limited(ngx_http_request_t *r,
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

    if (!ngx_http_phrony_authorized(r, ctx)) {

        if (ngx_http_phrony_authorize(r, ctx) != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        if (!ctx->authorized) {
            return ngx_http_phrony_refuse(r, ctx, ctx->reason);
        }
    }

    if (ctx->route.kind == PHRONY_ROUTE_START) {
        return ngx_http_phrony_start(r, ctx);
    }

    return ngx_http_phrony_read(r, ctx);
}


static ngx_int_t
ngx_http_phrony_start(ngx_http_request_t *r, ngx_http_phrony_ctx_t *ctx)
{
    ngx_int_t        rc;
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

    if (ngx_http_phrony_body_received(r, ctx) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
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
    ngx_http_phrony_main_conf_t  *pmcf;

    pmcf = ngx_http_get_module_main_conf(r, ngx_http_phrony_module);

    ctx->op.trigger_id = ctx->trigger->id;
    ctx->op.reservation_ttl = ctx->conf->reservation_ttl;

    if (pmcf->store->admit(pmcf->store, &ctx->op) != NGX_OK) {
        return ngx_http_phrony_store_failed(r, ctx);
    }

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "phrony decide, granted: %ui, leased: %ui",
                   (ngx_uint_t) ctx->op.granted, (ngx_uint_t) ctx->op.leased);

    ctx->counted = 1;

    if (!ctx->op.granted) {
        return ngx_http_phrony_limited(r, ctx);
    }

    if (ctx->op.read) {
        return ngx_http_phrony_proceed(r, ctx, NGX_HTTP_PHRONY_PASSED);
    }

    if (!ctx->op.leased) {
        ngx_http_phrony_log_full(r);
    }

    return ngx_http_phrony_proceed(r, ctx, NGX_HTTP_PHRONY_ADMITTED);
}


/*
 * There is no other memory to fall back to, so for a start "local" is to
 * deny; a read is left to the upstream.
 */

static ngx_int_t
ngx_http_phrony_store_failed(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx)
{
    ngx_http_phrony_log_full(r);

    if (ctx->op.read
        && ctx->conf->store_failure != NGX_HTTP_PHRONY_FAILURE_DENY)
    {
        return ngx_http_phrony_proceed(r, ctx, NGX_HTTP_PHRONY_PASSED);
    }

    ctx->reason = PHRONY_REASON_STORE_UNAVAILABLE;

    if (ctx->conf->store_failure == NGX_HTTP_PHRONY_FAILURE_ALLOW) {
        return ngx_http_phrony_proceed(r, ctx, NGX_HTTP_PHRONY_ADMITTED);
    }

    if (ctx->conf->dry_run) {
        return ngx_http_phrony_proceed(r, ctx, NGX_HTTP_PHRONY_DRY_RUN);
    }

    return ngx_http_phrony_refuse(r, ctx, ctx->reason);
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
    phrony_limit_t  *limits;

    limits = ctx->op.limits;

    ctx->reason = PHRONY_REASON_RATE_LIMITED;

    if (!limits[PHRONY_LIMIT_RPM].refused
        && !limits[PHRONY_LIMIT_RPD].refused
        && limits[PHRONY_LIMIT_RUNS].refused)
    {
        ctx->reason = PHRONY_REASON_CONCURRENCY_LIMITED;
    }

    if (ctx->conf->dry_run) {
        return ngx_http_phrony_proceed(r, ctx, NGX_HTTP_PHRONY_DRY_RUN);
    }

    return ngx_http_phrony_refuse(r, ctx, ctx->reason);
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
        (void) ngx_atomic_fetch_add(&counters->dry_run, 1);
        ngx_http_phrony_log_refusal(r, ctx);
        break;

    default:
        (void) ngx_atomic_fetch_add(&counters->passed, 1);
    }

    if (ctx->route.kind == PHRONY_ROUTE_START) {
        ctx->unsettled = 1;
    }

    if (ctx->route.kind == PHRONY_ROUTE_START
        || ngx_http_phrony_reads_status(r, ctx))
    {
        if (ngx_http_phrony_headers_identity(r) != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
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
