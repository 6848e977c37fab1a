
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_http_phrony_request.h"
#include "ngx_http_phrony_settle.h"
#include "ngx_http_phrony_wait.h"


#define NGX_HTTP_PHRONY_SPARES  64


static ngx_http_phrony_ctx_t *ngx_http_phrony_add_ctx(ngx_http_request_t *r,
    ngx_pool_cleanup_pt handler);
static ngx_http_phrony_ctx_t *ngx_http_phrony_alloc_ctx(ngx_log_t *log);
static void ngx_http_phrony_free_ctx(ngx_http_phrony_ctx_t *ctx);
static ngx_uint_t ngx_http_phrony_may_own(ngx_http_phrony_ctx_t *ctx);
static void ngx_http_phrony_cleanup(void *data);
static ngx_uint_t ngx_http_phrony_granted(ngx_http_phrony_ctx_t *ctx);
static void ngx_http_phrony_cleanup_other(void *data);


/*
 * Contexts of this worker's requests that have ended, some of them.  Within
 * the request's pool a context would take that a block more, most often.
 */

static ngx_uint_t              ngx_http_phrony_nspares;
static ngx_http_phrony_ctx_t  *ngx_http_phrony_spares[NGX_HTTP_PHRONY_SPARES];


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

    cln = ngx_pool_cleanup_add(r->pool, 0);
    if (cln == NULL) {
        return NULL;
    }

    ctx = ngx_http_phrony_alloc_ctx(r->connection->log);
    if (ctx == NULL) {
        return NULL;
    }

    ngx_memzero(ctx, sizeof(ngx_http_phrony_ctx_t));

    ctx->request = r;

    cln->handler = handler;
    cln->data = ctx;

    return ctx;
}


static ngx_http_phrony_ctx_t *
ngx_http_phrony_alloc_ctx(ngx_log_t *log)
{
    if (ngx_http_phrony_nspares) {
        return ngx_http_phrony_spares[--ngx_http_phrony_nspares];
    }

    return ngx_alloc(sizeof(ngx_http_phrony_ctx_t), log);
}


/* With NGX_DEBUG_PALLOC a sanitizer is to see each context's end. */

static void
ngx_http_phrony_free_ctx(ngx_http_phrony_ctx_t *ctx)
{
#ifndef NGX_DEBUG_PALLOC

    if (ngx_http_phrony_nspares < NGX_HTTP_PHRONY_SPARES) {
        ngx_http_phrony_spares[ngx_http_phrony_nspares++] = ctx;
        return;
    }

#endif

    ngx_free(ctx);
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
    ngx_http_phrony_free_ctx(ctx);
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
    ngx_http_phrony_ctx_t  *ctx = data;

    ngx_http_phrony_forget(ctx);
    ngx_http_phrony_free_ctx(ctx);
}
