
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_http_phrony_settle.h"
#include "ngx_http_phrony_copy.h"
#include "ngx_http_phrony_late.h"


typedef enum {
    NGX_HTTP_PHRONY_UNREACHED = 0,  /* no byte went to an upstream */
    NGX_HTTP_PHRONY_DECLINED,       /* the upstream said no */
    NGX_HTTP_PHRONY_STARTED,        /* 2xx */
    NGX_HTTP_PHRONY_UNKNOWN
} ngx_http_phrony_exchange_t;


static void ngx_http_phrony_settle_count(ngx_http_request_t *r,
    ngx_http_phrony_exchange_t exchange);
static void ngx_http_phrony_settle_delivery(ngx_http_phrony_ctx_t *ctx,
    ngx_http_phrony_exchange_t exchange);
static ngx_phrony_receipt_event_t ngx_http_phrony_receipt_event(
    ngx_http_phrony_ctx_t *ctx, ngx_http_phrony_exchange_t exchange);
static ngx_http_phrony_exchange_t ngx_http_phrony_judge(
    ngx_http_request_t *r);
static ngx_http_phrony_exchange_t ngx_http_phrony_judge_exchange(
    ngx_http_upstream_state_t *state);
static ngx_uint_t ngx_http_phrony_settle_run(ngx_http_phrony_ctx_t *ctx,
    ngx_phrony_settlement_t *settlement);
static void ngx_http_phrony_settle_unknown(ngx_http_phrony_ctx_t *ctx,
    ngx_http_phrony_exchange_t exchange);
static void ngx_http_phrony_settle_owner(ngx_http_phrony_ctx_t *ctx,
    ngx_phrony_settlement_t *settlement);
static ngx_uint_t ngx_http_phrony_terminal(ngx_http_phrony_ctx_t *ctx,
    phrony_answer_t *answer);


void
ngx_http_phrony_settle(ngx_http_phrony_ctx_t *ctx)
{
    ngx_phrony_settlement_t       settlement;
    ngx_http_phrony_exchange_t    exchange;
    ngx_http_phrony_main_conf_t  *pmcf;

    if (!ctx->unsettled) {
        return;
    }

    ctx->unsettled = 0;

    exchange = ngx_http_phrony_judge(ctx->request);

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, ctx->request->connection->log, 0,
                   "phrony settle, exchange: %d, leased: %ui",
                   exchange, (ngx_uint_t) ctx->op.leased);

    ngx_http_phrony_settle_delivery(ctx, exchange);

    if (exchange == NGX_HTTP_PHRONY_UNKNOWN) {
        ngx_http_phrony_settle_unknown(ctx, exchange);
        return;
    }

    ngx_memzero(&settlement, sizeof(ngx_phrony_settlement_t));

    settlement.event = PHRONY_LEASE_RELEASE;
    settlement.start = 1;
    settlement.leased = ctx->op.leased;
    settlement.lease_id = ctx->op.lease_id;
    settlement.run_ttl = ctx->conf->run_ttl;

    ngx_http_phrony_settle_owner(ctx, &settlement);

    if (exchange == NGX_HTTP_PHRONY_STARTED
        && !ngx_http_phrony_settle_run(ctx, &settlement)
        && ctx->request->upstream_states)
    {
        ngx_http_phrony_settle_unknown(ctx, exchange);
        return;
    }

    ngx_http_phrony_settle_count(ctx->request, exchange);

    if (settlement.leased || settlement.has_run) {
        pmcf = ngx_http_get_module_main_conf(ctx->request,
                                             ngx_http_phrony_module);
        pmcf->store->settle(pmcf->store, &settlement);
    }
}


/* Those that are unknown are counted where they are logged. */

static void
ngx_http_phrony_settle_count(ngx_http_request_t *r,
    ngx_http_phrony_exchange_t exchange)
{
    ngx_phrony_counters_t  *counters;

    counters = ngx_http_phrony_counters(r);

    switch (exchange) {

    case NGX_HTTP_PHRONY_UNREACHED:
        (void) ngx_atomic_fetch_add(&counters->unreached, 1);
        break;

    case NGX_HTTP_PHRONY_DECLINED:
        (void) ngx_atomic_fetch_add(&counters->declined, 1);
        break;

    case NGX_HTTP_PHRONY_STARTED:
        (void) ngx_atomic_fetch_add(&counters->started, 1);
        break;

    case NGX_HTTP_PHRONY_UNKNOWN:
        break;
    }
}


/* What became of the claim that the start had on its delivery. */

static void
ngx_http_phrony_settle_delivery(ngx_http_phrony_ctx_t *ctx,
    ngx_http_phrony_exchange_t exchange)
{
    ngx_phrony_receipt_t          receipt;
    ngx_phrony_delivery_t        *delivery;
    ngx_http_phrony_main_conf_t  *pmcf;

    delivery = &ctx->op.delivery;

    if (!delivery->claimed) {
        return;
    }

    ngx_memzero(&receipt, sizeof(ngx_phrony_receipt_t));

    receipt.event = ngx_http_phrony_receipt_event(ctx, exchange);
    receipt.owner = delivery->owner;
    receipt.trigger_id = ctx->trigger->id;
    receipt.workspace_id = *ngx_http_phrony_workspace_id(ctx);
    receipt.ttl = delivery->ttl;

    ngx_memcpy(receipt.digest, delivery->digest, NGX_PHRONY_DIGEST_LEN);
    ngx_memcpy(receipt.fingerprint, delivery->fingerprint,
               NGX_PHRONY_DIGEST_LEN);

    if (receipt.event == NGX_PHRONY_RECEIPT_DONE) {
        ngx_http_phrony_copy_done(ctx, &receipt.stored);
    }

    pmcf = ngx_http_get_module_main_conf(ctx->request,
                                         ngx_http_phrony_module);
    pmcf->store->deliver(pmcf->store, &receipt);
}


/* An answer of which the end is missing may have begun otherwise as well. */

static ngx_phrony_receipt_event_t
ngx_http_phrony_receipt_event(ngx_http_phrony_ctx_t *ctx,
    ngx_http_phrony_exchange_t exchange)
{
    switch (exchange) {

    case NGX_HTTP_PHRONY_UNREACHED:
    case NGX_HTTP_PHRONY_DECLINED:
        return NGX_PHRONY_RECEIPT_FORGET;

    case NGX_HTTP_PHRONY_STARTED:
        return (ctx->whole || ctx->request->header_only)
               ? NGX_PHRONY_RECEIPT_DONE : NGX_PHRONY_RECEIPT_UNKNOWN;

    case NGX_HTTP_PHRONY_UNKNOWN:
        break;
    }

    return NGX_PHRONY_RECEIPT_UNKNOWN;
}


/*
 * The last exchange with an upstream counts, unless an earlier one started a
 * run, or may have, of which nobody was told.
 */

static ngx_http_phrony_exchange_t
ngx_http_phrony_judge(ngx_http_request_t *r)
{
    ngx_uint_t                   i, status, unknown;
    ngx_http_upstream_state_t   *state;
    ngx_http_phrony_exchange_t   exchange;

    if (r->upstream_states == NULL) {

        /* whoever answered is a module of this nginx */

        status = r->headers_out.status;

        return (status >= 200 && status < 300) ? NGX_HTTP_PHRONY_STARTED
                                               : NGX_HTTP_PHRONY_UNREACHED;
    }

    exchange = NGX_HTTP_PHRONY_UNREACHED;
    unknown = 0;

    state = r->upstream_states->elts;

    for (i = 0; i < r->upstream_states->nelts; i++) {

        if (state[i].peer == NULL) {
            continue;
        }

        exchange = ngx_http_phrony_judge_exchange(&state[i]);

        if (exchange == NGX_HTTP_PHRONY_UNKNOWN
            || exchange == NGX_HTTP_PHRONY_STARTED)
        {
            unknown = 1;
        }
    }

    if (unknown && exchange != NGX_HTTP_PHRONY_STARTED) {
        return NGX_HTTP_PHRONY_UNKNOWN;
    }

    return exchange;
}


static ngx_http_phrony_exchange_t
ngx_http_phrony_judge_exchange(ngx_http_upstream_state_t *state)
{
    if (state->status >= 200 && state->status < 300) {
        return NGX_HTTP_PHRONY_STARTED;
    }

    if (state->status != 0
        && state->status != NGX_HTTP_BAD_GATEWAY
        && state->status != NGX_HTTP_GATEWAY_TIME_OUT)
    {
        return NGX_HTTP_PHRONY_DECLINED;
    }

    return state->bytes_sent ? NGX_HTTP_PHRONY_UNKNOWN
                             : NGX_HTTP_PHRONY_UNREACHED;
}


/* Returns 0 if the answer does not say which run was started. */

static ngx_uint_t
ngx_http_phrony_settle_run(ngx_http_phrony_ctx_t *ctx,
    ngx_phrony_settlement_t *settlement)
{
    if (!ctx->scan || !phrony_answer_done(&ctx->answer)
        || !ctx->answer.has_run)
    {
        return 0;
    }

    settlement->has_run = 1;
    settlement->run_id = ctx->answer.run_id;
    settlement->event = ngx_http_phrony_terminal(ctx, &ctx->answer)
                        ? PHRONY_LEASE_END : PHRONY_LEASE_BIND;
    return 1;
}


/* The reservation stands until its time has run out. */

static void
ngx_http_phrony_settle_unknown(ngx_http_phrony_ctx_t *ctx,
    ngx_http_phrony_exchange_t exchange)
{
    u_char                  trigger[PHRONY_UUID_TEXT_LEN + 1];
    ngx_http_request_t     *r;
    ngx_phrony_counters_t  *counters;

    r = ctx->request;
    counters = ngx_http_phrony_counters(r);

    (void) ngx_atomic_fetch_add(&counters->unknown, 1);

    *phrony_uuid_format(trigger, &ctx->trigger->id) = '\0';

    if (exchange == NGX_HTTP_PHRONY_STARTED && ctx->whole) {
        (void) ngx_atomic_fetch_add(&counters->unbound, 1);

        ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                      "upstream accepted a start without a usable \"runId\", "
                      "trigger: %s, its slot is kept for %M ms",
                      trigger, ctx->conf->reservation_ttl);
        return;
    }

    ngx_log_error(ctx->conf->log_level, r->connection->log, 0,
                  "outcome of a start is unknown, "
                  "trigger: %s, its slot is kept for %M ms",
                  trigger, ctx->conf->reservation_ttl);
}


ngx_int_t
ngx_http_phrony_observe(ngx_http_phrony_ctx_t *ctx, phrony_answer_t *answer,
    const phrony_uuid_t *run_id, phrony_lease_event_t *event)
{
    if (!phrony_answer_done(answer) || answer->status_len == 0) {
        return NGX_DECLINED;
    }

    if (answer->run_seen
        && (!answer->has_run || !phrony_uuid_eq(&answer->run_id, run_id)))
    {
        return NGX_DECLINED;
    }

    *event = ngx_http_phrony_terminal(ctx, answer) ? PHRONY_LEASE_END
                                                   : PHRONY_LEASE_SEEN;

    ngx_http_phrony_observed(ctx, run_id, *event);

    return NGX_OK;
}


void
ngx_http_phrony_observed(ngx_http_phrony_ctx_t *ctx,
    const phrony_uuid_t *run_id, phrony_lease_event_t event)
{
    ngx_phrony_settlement_t       settlement;
    ngx_http_phrony_main_conf_t  *pmcf;

    ngx_memzero(&settlement, sizeof(ngx_phrony_settlement_t));

    settlement.event = event;
    settlement.has_run = 1;
    settlement.run_id = *run_id;
    settlement.run_ttl = ctx->conf->run_ttl;

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, ctx->request->connection->log, 0,
                   "phrony observe, event: %d, known: %d",
                   settlement.event, ctx->trigger != NULL);

    if (ctx->trigger == NULL) {
        ngx_http_phrony_late(ctx, &settlement);
        return;
    }

    ngx_http_phrony_settle_owner(ctx, &settlement);

    pmcf = ngx_http_get_module_main_conf(ctx->request,
                                         ngx_http_phrony_module);
    pmcf->store->settle(pmcf->store, &settlement);
}


void
ngx_http_phrony_found(ngx_http_phrony_ctx_t *ctx,
    const phrony_uuid_t *lease_id, const phrony_uuid_t *run_id,
    phrony_lease_event_t event)
{
    ngx_phrony_settlement_t       settlement;
    ngx_http_phrony_main_conf_t  *pmcf;

    ngx_memzero(&settlement, sizeof(ngx_phrony_settlement_t));

    settlement.event = event;
    settlement.found = 1;
    settlement.leased = 1;
    settlement.lease_id = *lease_id;
    settlement.has_run = 1;
    settlement.run_id = *run_id;
    settlement.run_ttl = ctx->conf->run_ttl;

    ngx_http_phrony_settle_owner(ctx, &settlement);

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, ctx->request->connection->log, 0,
                   "phrony found, event: %d", event);

    pmcf = ngx_http_get_module_main_conf(ctx->request,
                                         ngx_http_phrony_module);
    pmcf->store->settle(pmcf->store, &settlement);
}


/* A run that is known belongs to a trigger of the key's workspace. */

static void
ngx_http_phrony_settle_owner(ngx_http_phrony_ctx_t *ctx,
    ngx_phrony_settlement_t *settlement)
{
    settlement->trigger_id = ctx->trigger->id;
    settlement->agent_id = ctx->trigger->agent_id;
    settlement->workspace_id = *ngx_http_phrony_workspace_id(ctx);
}


static ngx_uint_t
ngx_http_phrony_terminal(ngx_http_phrony_ctx_t *ctx, phrony_answer_t *answer)
{
    return phrony_answer_status_in(answer,
                                   ctx->conf->terminal_status->elts,
                                   ctx->conf->terminal_status->nelts);
}
