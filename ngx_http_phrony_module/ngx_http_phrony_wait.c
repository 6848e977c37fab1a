
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_http_phrony_wait.h"
#include "ngx_http_phrony_verify.h"
#include "store/ngx_phrony_flight.h"


typedef ngx_int_t (*ngx_http_phrony_ask_pt)(ngx_phrony_store_t *store,
    ngx_phrony_op_t *op);


static ngx_int_t ngx_http_phrony_ask_store(ngx_http_phrony_ctx_t *ctx,
    ngx_phrony_op_t *op, ngx_http_phrony_ask_pt ask);
static void ngx_http_phrony_count_decision(ngx_http_phrony_ctx_t *ctx,
    ngx_uint_t failed, uint64_t took);
static ngx_phrony_decider_t ngx_http_phrony_decider(ngx_str_t *label);
static void ngx_http_phrony_lookup_handler(ngx_phrony_lookup_t *lookup);
static void ngx_http_phrony_op_handler(ngx_phrony_op_t *op);
static void ngx_http_phrony_event_handler(ngx_event_t *ev);
static void ngx_http_phrony_terminated(void *data);
static void ngx_http_phrony_cancel(ngx_http_phrony_ctx_t *ctx);


ngx_int_t
ngx_http_phrony_ask_policy(ngx_http_phrony_ctx_t *ctx)
{
    ngx_int_t                     rc;
    ngx_phrony_counters_t        *counters;
    ngx_http_phrony_main_conf_t  *pmcf;

    pmcf = ngx_http_get_module_main_conf(ctx->request,
                                         ngx_http_phrony_module);

    ctx->lookup.handler = ngx_http_phrony_lookup_handler;
    ctx->lookup.data = ctx;

    rc = pmcf->source->find(pmcf->source, &ctx->lookup);

    if (rc == NGX_AGAIN) {
        ctx->pending = NGX_HTTP_PHRONY_LOOKUP;
    }

    if (pmcf->source == &pmcf->fetched.source) {
        counters = ngx_http_phrony_counters(ctx->request);

        (void) ngx_atomic_fetch_add((rc == NGX_AGAIN)
                                    ? &counters->cache_misses
                                    : &counters->cache_hits, 1);
    }

    return rc;
}


ngx_int_t
ngx_http_phrony_ask_locate(ngx_http_phrony_ctx_t *ctx)
{
    ngx_http_phrony_main_conf_t  *pmcf;

    pmcf = ngx_http_get_module_main_conf(ctx->request,
                                         ngx_http_phrony_module);

    return ngx_http_phrony_ask_store(ctx, &ctx->op, pmcf->store->locate);
}


ngx_int_t
ngx_http_phrony_ask_admit(ngx_http_phrony_ctx_t *ctx)
{
    ngx_int_t                     rc;
    ngx_http_phrony_main_conf_t  *pmcf;

    pmcf = ngx_http_get_module_main_conf(ctx->request,
                                         ngx_http_phrony_module);

    rc = ngx_http_phrony_ask_store(ctx, &ctx->op, pmcf->store->admit);

    ctx->deciding = (rc == NGX_AGAIN);

    if (ctx->deciding) {
        ctx->deciding_since = ngx_phrony_histogram_clock();

    } else {
        /* the clock costs more than to tell how little this has taken */

        ngx_http_phrony_count_decision(ctx, rc != NGX_OK, 0);
    }

    return rc;
}


static void
ngx_http_phrony_count_decision(ngx_http_phrony_ctx_t *ctx, ngx_uint_t failed,
    uint64_t took)
{
    ngx_phrony_decider_t    decider;
    ngx_phrony_counters_t  *counters;

    counters = ngx_http_phrony_counters(ctx->request);

    decider = failed ? NGX_PHRONY_DECIDER_NONE
                     : ngx_http_phrony_decider(ctx->op.label);

    ngx_phrony_histogram_add(&counters->decisions[decider], took);
}


static ngx_phrony_decider_t
ngx_http_phrony_decider(ngx_str_t *label)
{
    if (label == &ngx_phrony_flight_redis) {
        return NGX_PHRONY_DECIDER_REDIS;
    }

    return (label == &ngx_phrony_flight_memory) ? NGX_PHRONY_DECIDER_LOCAL
                                                : NGX_PHRONY_DECIDER_MEMORY;
}


ngx_int_t
ngx_http_phrony_ask_suspects(ngx_http_phrony_ctx_t *ctx, ngx_phrony_op_t *op)
{
    ngx_int_t                     rc;
    ngx_http_phrony_main_conf_t  *pmcf;

    pmcf = ngx_http_get_module_main_conf(ctx->request,
                                         ngx_http_phrony_module);

    rc = ngx_http_phrony_ask_store(ctx, op, pmcf->store->suspect);

    if (rc == NGX_AGAIN) {
        ctx->pending = NGX_HTTP_PHRONY_SUSPECTS;
    }

    return rc;
}


static ngx_int_t
ngx_http_phrony_ask_store(ngx_http_phrony_ctx_t *ctx, ngx_phrony_op_t *op,
    ngx_http_phrony_ask_pt ask)
{
    ngx_int_t                     rc;
    ngx_http_phrony_main_conf_t  *pmcf;

    pmcf = ngx_http_get_module_main_conf(ctx->request,
                                         ngx_http_phrony_module);

    op->handler = ngx_http_phrony_op_handler;
    op->data = ctx;
    op->failed = 0;

    ctx->since = ngx_current_msec;

    rc = ask(pmcf->store, op);

    if (rc == NGX_AGAIN) {
        ctx->pending = NGX_HTTP_PHRONY_OP;
    }

    return rc;
}


static void
ngx_http_phrony_lookup_handler(ngx_phrony_lookup_t *lookup)
{
    ngx_http_phrony_resume(lookup->data);
}


static void
ngx_http_phrony_op_handler(ngx_phrony_op_t *op)
{
    ngx_http_phrony_ctx_t  *ctx;

    ctx = op->data;
    ctx->store_time += ngx_current_msec - ctx->since;

    if (ctx->deciding) {
        ctx->deciding = 0;
        ngx_http_phrony_count_decision(ctx, op->failed,
                                       ngx_phrony_histogram_clock()
                                       - ctx->deciding_since);
    }

    ngx_http_phrony_resume(ctx);
}


/* Others wait for replies behind this one: the phases run from an event. */

void
ngx_http_phrony_resume(ngx_http_phrony_ctx_t *ctx)
{
    ctx->pending = NGX_HTTP_PHRONY_NOTHING;

    if (ctx->suspended) {
        ngx_post_event(&ctx->event, &ngx_posted_events);
    }
}


ngx_int_t
ngx_http_phrony_suspend(ngx_http_request_t *r, ngx_http_phrony_ctx_t *ctx)
{
    ngx_http_cleanup_t  *cln;

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "phrony suspend, pending: %d", ctx->pending);

    if (!ctx->guarded) {
        cln = ngx_http_cleanup_add(r, 0);
        if (cln == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        cln->handler = ngx_http_phrony_terminated;
        cln->data = ctx;

        ctx->guarded = 1;
    }

    if (ngx_handle_read_event(r->connection->read, 0) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_request_empty_handler;

    ctx->event.handler = ngx_http_phrony_event_handler;
    ctx->event.data = ctx;
    ctx->event.log = r->connection->log;

    ctx->suspended = 1;

    return NGX_AGAIN;
}


static void
ngx_http_phrony_event_handler(ngx_event_t *ev)
{
    ngx_connection_t       *c;
    ngx_http_request_t     *r;
    ngx_http_phrony_ctx_t  *ctx;

    ctx = ev->data;
    r = ctx->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    ngx_log_debug0(NGX_LOG_DEBUG_HTTP, c->log, 0, "phrony event handler");

    ctx->suspended = 0;

    r->read_event_handler = ngx_http_block_reading;
    r->write_event_handler = ngx_http_core_run_phases;

    ngx_http_core_run_phases(r);
    ngx_http_run_posted_requests(c);
}


/* What the policy has answered stays until the request has been logged. */

static void
ngx_http_phrony_terminated(void *data)
{
    ngx_http_phrony_cancel(data);
}


static void
ngx_http_phrony_cancel(ngx_http_phrony_ctx_t *ctx)
{
    ngx_http_phrony_main_conf_t  *pmcf;

    pmcf = ngx_http_get_module_main_conf(ctx->request,
                                         ngx_http_phrony_module);

    switch (ctx->pending) {

    case NGX_HTTP_PHRONY_LOOKUP:
        pmcf->source->release(pmcf->source, &ctx->lookup);
        break;

    case NGX_HTTP_PHRONY_OP:
        pmcf->store->cancel(pmcf->store, &ctx->op);
        break;

    case NGX_HTTP_PHRONY_SUSPECTS:
        pmcf->store->cancel(pmcf->store, ngx_http_phrony_verify_op(ctx));
        break;

    case NGX_HTTP_PHRONY_UPSTREAM:
        ngx_http_phrony_verify_forget(ctx);
        break;

    case NGX_HTTP_PHRONY_NOTHING:
        break;
    }

    ctx->pending = NGX_HTTP_PHRONY_NOTHING;
    ctx->suspended = 0;

    if (ctx->event.posted) {
        ngx_delete_posted_event(&ctx->event);
    }
}


void
ngx_http_phrony_forget(ngx_http_phrony_ctx_t *ctx)
{
    ngx_http_phrony_main_conf_t  *pmcf;

    ngx_http_phrony_cancel(ctx);

    ctx->key = NULL;
    ctx->trigger = NULL;

    pmcf = ngx_http_get_module_main_conf(ctx->request,
                                         ngx_http_phrony_module);

    pmcf->source->release(pmcf->source, &ctx->lookup);
}
