
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_http_phrony_request.h"
#include "ngx_http_phrony_settle.h"
#include "ngx_http_phrony_wait.h"


static ngx_http_phrony_ctx_t *ngx_http_phrony_add_ctx(ngx_http_request_t *r,
    ngx_pool_cleanup_pt handler);
static ngx_uint_t ngx_http_phrony_may_own(ngx_http_phrony_ctx_t *ctx);
static void ngx_http_phrony_cleanup(void *data);
static ngx_uint_t ngx_http_phrony_granted(ngx_http_phrony_ctx_t *ctx);
static void ngx_http_phrony_cleanup_other(void *data);


ngx_http_phrony_ctx_t *
ngx_http_phrony_get_ctx(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t     *cln;
    ngx_http_phrony_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_phrony_module);

    if (ctx || r != r->main || !(r->internal || r->filter_finalize)) {
        return ctx;
    }

    for (cln = r->pool->cleanup; cln; cln = cln->next) {

        if (cln->handler == ngx_http_phrony_cleanup) {
            ngx_http_set_ctx(r, cln->data, ngx_http_phrony_module);
            return cln->data;
        }
    }

    return NULL;
}


ngx_http_phrony_ctx_t *
ngx_http_phrony_create_ctx(ngx_http_request_t *r)
{
    ngx_http_phrony_ctx_t  *ctx;

    ctx = ngx_http_phrony_get_ctx(r);

    if (ctx) {
        return ctx;
    }

    ctx = ngx_http_phrony_add_ctx(r, ngx_http_phrony_cleanup);

    if (ctx) {
        ngx_http_set_ctx(r, ctx, ngx_http_phrony_module);
    }

    return ctx;
}


ngx_http_phrony_ctx_t *
ngx_http_phrony_other_ctx(ngx_http_request_t *r)
{
    return ngx_http_phrony_add_ctx(r, ngx_http_phrony_cleanup_other);
}


static ngx_http_phrony_ctx_t *
ngx_http_phrony_add_ctx(ngx_http_request_t *r, ngx_pool_cleanup_pt handler)
{
    ngx_pool_cleanup_t     *cln;
    ngx_http_phrony_ctx_t  *ctx;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_phrony_ctx_t));
    if (cln == NULL) {
        return NULL;
    }

    ctx = cln->data;
    ngx_memzero(ctx, sizeof(ngx_http_phrony_ctx_t));

    ctx->request = r;

    cln->handler = handler;

    return ctx;
}


ngx_uint_t
ngx_http_phrony_reads_status(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx)
{
    return ctx->route.part == PHRONY_RUN_STATUS
           && r->method == NGX_HTTP_GET
           && ngx_http_phrony_may_own(ctx);
}


ngx_uint_t
ngx_http_phrony_reads_events(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx)
{
    return ctx->route.part == PHRONY_RUN_STREAM
           && r->method == NGX_HTTP_GET
           && ngx_http_phrony_may_own(ctx);
}


/* A run that is not known may be another gateway's, and be so soon. */

static ngx_uint_t
ngx_http_phrony_may_own(ngx_http_phrony_ctx_t *ctx)
{
    return ctx->trigger
           || phrony_policy_nscopes(ctx->lookup.policy, ctx->key) > 0;
}


const phrony_uuid_t *
ngx_http_phrony_workspace_id(ngx_http_phrony_ctx_t *ctx)
{
    return &phrony_policy_workspace(ctx->lookup.policy,
                                    ctx->key->workspace)->id;
}


ngx_phrony_counters_t *
ngx_http_phrony_counters(ngx_http_request_t *r)
{
    ngx_phrony_root_t            *root;
    ngx_http_phrony_main_conf_t  *pmcf;

    pmcf = ngx_http_get_module_main_conf(r, ngx_http_phrony_module);

    root = pmcf->zone.shpool->data;

    return &root->counters;
}


static void
ngx_http_phrony_cleanup(void *data)
{
    ngx_http_phrony_ctx_t  *ctx = data;

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, ctx->request->connection->log, 0,
                   "phrony cleanup, unsettled: %ui",
                   (ngx_uint_t) ctx->unsettled);

    if (ngx_http_phrony_granted(ctx)) {
        ctx->unsettled = 1;
    }

    ngx_http_phrony_settle(ctx);
    ngx_http_phrony_forget(ctx);

    ngx_free(ctx->op.delivery.stored.data);
}


/* A start was granted, but its client had gone before it was let through. */

static ngx_uint_t
ngx_http_phrony_granted(ngx_http_phrony_ctx_t *ctx)
{
    return ctx->asked
           && !ctx->decided
           && !ctx->pending
           && !ctx->op.read
           && !ctx->op.failed
           && ctx->op.granted;
}


static void
ngx_http_phrony_cleanup_other(void *data)
{
    ngx_http_phrony_forget(data);
}
