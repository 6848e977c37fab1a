
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_http_phrony_verify.h"
#include "ngx_http_phrony_ask.h"
#include "ngx_http_phrony_sessions.h"
#include "ngx_http_phrony_settle.h"
#include "ngx_http_phrony_wait.h"


#define NGX_HTTP_PHRONY_VERIFY_TIME  1000   /* ms, all in all */

/* the runs, and the agent's sessions */

#define NGX_HTTP_PHRONY_VERIFY_ASKS  (NGX_PHRONY_SUSPECT_MAX + 1)


typedef enum {
    NGX_HTTP_PHRONY_VERIFY_SUSPECTS = 0,    /* the store is asked */
    NGX_HTTP_PHRONY_VERIFY_ASKED,           /* so is the upstream */
    NGX_HTTP_PHRONY_VERIFY_DONE
} ngx_http_phrony_verify_state_t;


struct ngx_http_phrony_verify_s {
    ngx_http_phrony_verify_state_t   state;
    phrony_uuid_t                    agent_id;  /* a subrequest may outlive
                                                   what ctx knows of it */
    ngx_uint_t                       freed;     /* slots */
    ngx_uint_t                       waiting;   /* for so many answers */
    ngx_uint_t                       nasks;
    ngx_http_phrony_ask_t            asks[NGX_HTTP_PHRONY_VERIFY_ASKS];
    ngx_phrony_suspects_t            suspects;
    ngx_phrony_op_t                  op;
    ngx_event_t                      timer;
};


static ngx_uint_t ngx_http_phrony_verify_wanted(ngx_http_phrony_ctx_t *ctx);
static ngx_int_t ngx_http_phrony_verify_begin(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx);
static ngx_int_t ngx_http_phrony_verify_suspects(ngx_http_phrony_ctx_t *ctx);
static ngx_int_t ngx_http_phrony_verify_ask(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx);
static void ngx_http_phrony_verify_ask_one(ngx_http_phrony_ctx_t *ctx,
    const phrony_uuid_t *run_id, ngx_http_phrony_ask_handler_pt handler);
static void ngx_http_phrony_verify_run_handler(ngx_http_phrony_ask_t *ask);
static void ngx_http_phrony_verify_list_handler(ngx_http_phrony_ask_t *ask);
static void ngx_http_phrony_verify_answered(ngx_http_phrony_ctx_t *ctx,
    ngx_uint_t freed);
static void ngx_http_phrony_verify_timer_handler(ngx_event_t *ev);
static void ngx_http_phrony_verify_cancel(ngx_http_phrony_ctx_t *ctx);
static ngx_http_phrony_ask_t *ngx_http_phrony_verify_find(
    ngx_http_request_t *sr);


ngx_int_t
ngx_http_phrony_verify(ngx_http_request_t *r, ngx_http_phrony_ctx_t *ctx)
{
    ngx_int_t                  rc;
    ngx_http_phrony_verify_t  *verify;

    if (ctx->verify == NULL) {

        if (!ngx_http_phrony_verify_wanted(ctx)) {
            return NGX_DECLINED;
        }

        rc = ngx_http_phrony_verify_begin(r, ctx);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    verify = ctx->verify;

    switch (verify->state) {

    case NGX_HTTP_PHRONY_VERIFY_SUSPECTS:
        return ngx_http_phrony_verify_ask(r, ctx);

    case NGX_HTTP_PHRONY_VERIFY_ASKED:
        verify->state = NGX_HTTP_PHRONY_VERIFY_DONE;
        ngx_http_phrony_verify_forget(ctx);

        return verify->freed ? NGX_OK : NGX_DECLINED;

    case NGX_HTTP_PHRONY_VERIFY_DONE:
        break;
    }

    return NGX_DECLINED;
}


/* A slot alone is missing, and there may be one. */

static ngx_uint_t
ngx_http_phrony_verify_wanted(ngx_http_phrony_ctx_t *ctx)
{
    phrony_limit_t  *limits;

    limits = ctx->op.limits;

    return ctx->conf->verify.len
           && !ctx->op.granted
           && !ctx->op.read
           && limits[PHRONY_LIMIT_RUNS].refused
           && limits[PHRONY_LIMIT_RUNS].quota > 0
           && !limits[PHRONY_LIMIT_RPM].refused
           && !limits[PHRONY_LIMIT_RPD].refused;
}


static ngx_int_t
ngx_http_phrony_verify_begin(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx)
{
    ngx_int_t                  rc;
    ngx_http_phrony_verify_t  *verify;

    verify = ngx_pcalloc(r->pool, sizeof(ngx_http_phrony_verify_t));
    if (verify == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->verify = verify;

    verify->agent_id = ctx->trigger->agent_id;

    verify->timer.handler = ngx_http_phrony_verify_timer_handler;
    verify->timer.data = ctx;
    verify->timer.log = r->connection->log;

    rc = ngx_http_phrony_verify_suspects(ctx);

    if (rc == NGX_AGAIN) {
        return ngx_http_phrony_suspend(r, ctx);
    }

    verify->op.failed = (rc != NGX_OK);

    return NGX_OK;
}


static ngx_int_t
ngx_http_phrony_verify_suspects(ngx_http_phrony_ctx_t *ctx)
{
    ngx_phrony_op_t  *op;

    op = &ctx->verify->op;

    op->workspace_id = ctx->op.workspace_id;
    op->trigger_id = ctx->op.trigger_id;
    op->reservation_ttl = ctx->conf->reservation_ttl;
    op->run_ttl = ctx->conf->run_ttl;
    op->suspects = &ctx->verify->suspects;

    return ngx_http_phrony_ask_suspects(ctx, op);
}


static ngx_int_t
ngx_http_phrony_verify_ask(ngx_http_request_t *r, ngx_http_phrony_ctx_t *ctx)
{
    ngx_uint_t                 i;
    ngx_phrony_suspects_t     *suspects;
    ngx_http_phrony_verify_t  *verify;

    verify = ctx->verify;
    suspects = &verify->suspects;

    verify->state = NGX_HTTP_PHRONY_VERIFY_DONE;

    ngx_log_debug3(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "phrony verify, failed: %ui, runs: %ui, leases: %ui",
                   (ngx_uint_t) verify->op.failed, suspects->nruns,
                   suspects->nleases);

    if (verify->op.failed) {
        return NGX_DECLINED;
    }

    for (i = 0; i < suspects->nruns; i++) {
        ngx_http_phrony_verify_ask_one(ctx, &suspects->runs[i].id,
                                       ngx_http_phrony_verify_run_handler);
    }

    if (suspects->nleases) {
        ngx_http_phrony_verify_ask_one(ctx, NULL,
                                       ngx_http_phrony_verify_list_handler);
    }

    if (verify->waiting == 0) {
        return NGX_DECLINED;
    }

    verify->state = NGX_HTTP_PHRONY_VERIFY_ASKED;

    ngx_add_timer(&verify->timer, NGX_HTTP_PHRONY_VERIFY_TIME);

    ctx->pending = NGX_HTTP_PHRONY_UPSTREAM;

    return ngx_http_phrony_suspend(r, ctx);
}


static void
ngx_http_phrony_verify_ask_one(ngx_http_phrony_ctx_t *ctx,
    const phrony_uuid_t *run_id, ngx_http_phrony_ask_handler_pt handler)
{
    ngx_phrony_counters_t     *counters;
    ngx_http_phrony_ask_t     *ask;
    ngx_http_phrony_verify_t  *verify;

    verify = ctx->verify;
    counters = ngx_http_phrony_counters(ctx->request);

    ask = &verify->asks[verify->nasks];

    ask->ctx = ctx;
    ask->run_id = run_id;
    ask->handler = handler;

    if (ngx_http_phrony_ask_begin(ask, &ctx->conf->verify) != NGX_OK) {
        (void) ngx_atomic_fetch_add(&counters->asked_failed, 1);
        return;
    }

    (void) ngx_atomic_fetch_add(&counters->asked, 1);

    verify->nasks++;
    verify->waiting++;
}


static void
ngx_http_phrony_verify_run_handler(ngx_http_phrony_ask_t *ask)
{
    phrony_lease_event_t  event;

    if (!ask->whole
        || ngx_http_phrony_observe(ask->ctx, &ask->answer, ask->run_id,
                                   &event)
           != NGX_OK)
    {
        (void) ngx_atomic_fetch_add(
               &ngx_http_phrony_counters(ask->ctx->request)->asked_failed, 1);

        ngx_http_phrony_verify_answered(ask->ctx, 0);
        return;
    }

    if (event == PHRONY_LEASE_END) {
        (void) ngx_atomic_fetch_add(
               &ngx_http_phrony_counters(ask->ctx->request)->asked_ended, 1);
    }

    ngx_http_phrony_verify_answered(ask->ctx, event == PHRONY_LEASE_END);
}


static void
ngx_http_phrony_verify_list_handler(ngx_http_phrony_ask_t *ask)
{
    ngx_uint_t  freed;

    freed = 0;

    if (!ask->whole
        || ngx_http_phrony_sessions(ask, &ask->ctx->verify->suspects, &freed)
           != NGX_OK)
    {
        (void) ngx_atomic_fetch_add(
               &ngx_http_phrony_counters(ask->ctx->request)->asked_failed, 1);
    }

    ngx_http_phrony_verify_answered(ask->ctx, freed);
}


static void
ngx_http_phrony_verify_answered(ngx_http_phrony_ctx_t *ctx, ngx_uint_t freed)
{
    ngx_http_phrony_verify_t  *verify;

    verify = ctx->verify;

    verify->freed += freed;
    verify->waiting--;

    if (verify->waiting == 0) {
        ngx_http_phrony_resume(ctx);
    }
}


static void
ngx_http_phrony_verify_timer_handler(ngx_event_t *ev)
{
    ngx_http_phrony_ctx_t  *ctx;

    ctx = ev->data;

    ngx_http_set_log_request(ctx->request->connection->log, ctx->request);

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, ctx->request->connection->log, 0,
                   "phrony verify timer, waiting: %ui",
                   ctx->verify->waiting);

    ngx_http_phrony_verify_cancel(ctx);
    ngx_http_phrony_resume(ctx);
}


static void
ngx_http_phrony_verify_cancel(ngx_http_phrony_ctx_t *ctx)
{
    ngx_uint_t                 i;
    ngx_http_phrony_verify_t  *verify;

    verify = ctx->verify;

    for (i = 0; i < verify->nasks; i++) {

        if (verify->asks[i].handler) {
            (void) ngx_atomic_fetch_add(
                   &ngx_http_phrony_counters(ctx->request)->asked_failed, 1);

            ngx_http_phrony_ask_cancel(&verify->asks[i]);
        }
    }
}


ngx_phrony_op_t *
ngx_http_phrony_verify_op(ngx_http_phrony_ctx_t *ctx)
{
    return &ctx->verify->op;
}


void
ngx_http_phrony_verify_forget(ngx_http_phrony_ctx_t *ctx)
{
    ngx_uint_t                 i;
    ngx_http_phrony_verify_t  *verify;

    verify = ctx->verify;

    if (verify->timer.timer_set) {
        ngx_del_timer(&verify->timer);
    }

    for (i = 0; i < verify->nasks; i++) {
        verify->asks[i].handler = NULL;
    }
}


void
ngx_http_phrony_verify_header(ngx_http_request_t *sr)
{
    ngx_http_phrony_ask_t  *ask;

    ask = ngx_http_phrony_verify_find(sr);

    if (ask) {
        ngx_http_phrony_ask_header(ask);
    }
}


ngx_uint_t
ngx_http_phrony_verify_read(ngx_http_request_t *sr, ngx_chain_t *in)
{
    ngx_http_phrony_ask_t  *ask;

    ask = ngx_http_phrony_verify_find(sr);

    if (ask == NULL) {
        return 0;
    }

    ngx_http_phrony_ask_body(ask, in);

    return 1;
}


static ngx_http_phrony_ask_t *
ngx_http_phrony_verify_find(ngx_http_request_t *sr)
{
    ngx_uint_t                 i;
    ngx_http_phrony_ctx_t     *ctx;
    ngx_http_phrony_verify_t  *verify;

    if (!sr->background) {
        return NULL;
    }

    ctx = ngx_http_phrony_get_ctx(sr->main);

    if (ctx == NULL || ctx->verify == NULL) {
        return NULL;
    }

    verify = ctx->verify;

    for (i = 0; i < verify->nasks; i++) {

        if (verify->asks[i].subrequest == sr) {
            return &verify->asks[i];
        }
    }

    return NULL;
}


const phrony_uuid_t *
ngx_http_phrony_verify_run_id(ngx_http_request_t *sr)
{
    ngx_http_phrony_ask_t  *ask;

    ask = ngx_http_phrony_verify_find(sr);

    return ask ? ask->run_id : NULL;
}


size_t
ngx_http_phrony_verify_path(ngx_http_request_t *sr, u_char *path)
{
    u_char                 *p;
    ngx_http_phrony_ask_t  *ask;

    ask = ngx_http_phrony_verify_find(sr);

    if (ask == NULL) {
        return 0;
    }

    if (ask->run_id) {
        p = ngx_cpymem(path, "/v1/runs/", sizeof("/v1/runs/") - 1);
        p = phrony_uuid_format(p, ask->run_id);

        return p - path;
    }

    p = ngx_cpymem(path, "/v1/agents/", sizeof("/v1/agents/") - 1);
    p = phrony_uuid_format(p, &ask->ctx->verify->agent_id);
    p = ngx_cpymem(p, "/sessions?take=50", sizeof("/sessions?take=50") - 1);

    return p - path;
}
