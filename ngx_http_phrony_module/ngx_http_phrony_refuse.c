
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_http_phrony_refuse.h"
#include "ngx_http_phrony_compat.h"
#include "ngx_http_phrony_headers.h"
#include "ngx_http_phrony_instance.h"


#define NGX_HTTP_PHRONY_UNAVAILABLE_RETRY  1000     /* ms */
#define NGX_HTTP_PHRONY_PROGRESS_RETRY     1000


static ngx_int_t ngx_http_phrony_refuse_headers(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx, unsigned status);
static ngx_int_t ngx_http_phrony_refuse_challenge(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx);
static ngx_int_t ngx_http_phrony_refuse_allow(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx);
static ngx_int_t ngx_http_phrony_refuse_retry(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx);
static int64_t ngx_http_phrony_retry_after(ngx_http_phrony_ctx_t *ctx);
static ngx_buf_t *ngx_http_phrony_refuse_body(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx);


ngx_int_t
ngx_http_phrony_refuse(ngx_http_request_t *r, ngx_http_phrony_ctx_t *ctx,
    phrony_reason_t reason)
{
    ngx_int_t               rc;
    ngx_buf_t              *b;
    ngx_chain_t             out;
    ngx_phrony_counters_t  *counters;

    ctx->reason = reason;
    ctx->outcome = NGX_HTTP_PHRONY_REFUSED;

    counters = ngx_http_phrony_counters(r);
    (void) ngx_atomic_fetch_add(&counters->refused[ctx->route.kind][reason],
                                1);

    ngx_http_phrony_log_refusal(r, ctx);

    /* a client that waits for "100 Continue" is not asked for its body */

    r->expect_tested = 1;

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    b = ngx_http_phrony_refuse_body(r, ctx);

    if (b == NULL
        || ngx_http_phrony_refuse_headers(r, ctx,
                                          phrony_reason_info(reason)->status)
           != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->headers_out.content_length_n = b->last - b->pos;

    out.buf = b;
    out.next = NULL;

    rc = ngx_http_send_header(r);

    if (rc == NGX_OK && !r->header_only) {
        rc = ngx_http_output_filter(r, &out);
    }

    ngx_http_finalize_request(r, rc);

    return NGX_DONE;
}


void
ngx_http_phrony_log_refusal(ngx_http_request_t *r, ngx_http_phrony_ctx_t *ctx)
{
    int64_t                        wait;
    u_char                         trigger[PHRONY_UUID_TEXT_LEN + 1];
    u_char                         key[PHRONY_UUID_TEXT_LEN + 1];
    u_char                         retry[sizeof(", retry after s")
                                         + NGX_INT64_LEN];
    const phrony_reason_info_t    *info;

    if (r->connection->log->log_level < ctx->conf->log_level) {
        return;
    }

    ngx_memcpy(trigger, "-", 2);
    ngx_memcpy(key, "-", 2);
    retry[0] = '\0';

    if (ctx->trigger) {
        *phrony_uuid_format(trigger, &ctx->trigger->id) = '\0';
    }

    if (ctx->key) {
        *phrony_uuid_format(key, &ctx->key->id) = '\0';
    }

    wait = ngx_http_phrony_retry_after(ctx);

    if (wait >= 0) {
        ngx_sprintf(retry, ", retry after %Ls%Z", wait);
    }

    if (ctx->reason == PHRONY_REASON_NONE) {
        ngx_log_error(ctx->conf->log_level, r->connection->log, 0,
                      "phrony would replay, trigger: %s, key: %s",
                      trigger, key);
        return;
    }

    info = phrony_reason_info(ctx->reason);

    ngx_log_error(ctx->conf->log_level, r->connection->log, 0,
                  "phrony %s: %V, trigger: %s, key: %s%s",
                  ctx->outcome == NGX_HTTP_PHRONY_DRY_RUN ? "would refuse"
                                                          : "refused",
                  &info->code, trigger, key, retry);
}


static ngx_int_t
ngx_http_phrony_refuse_headers(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx, unsigned status)
{
    r->headers_out.status = status;

    ngx_str_set(&r->headers_out.content_type, "application/problem+json");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;

    switch (status) {

    case NGX_HTTP_UNAUTHORIZED:
        return ngx_http_phrony_refuse_challenge(r, ctx);

    case NGX_HTTP_NOT_ALLOWED:
        return ngx_http_phrony_refuse_allow(r, ctx);
    }

    return ngx_http_phrony_refuse_retry(r, ctx);
}


static ngx_int_t
ngx_http_phrony_refuse_challenge(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx)
{
    ngx_table_elt_t  *h;

    h = ngx_http_phrony_add_header(r, "WWW-Authenticate",
                                   &ctx->conf->challenge);
    if (h == NULL) {
        return NGX_ERROR;
    }

    r->headers_out.www_authenticate = h;

    return NGX_OK;
}


static ngx_int_t
ngx_http_phrony_refuse_allow(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx)
{
    ngx_str_t  value;

    if (ctx->route.methods & PHRONY_METHOD_POST) {
        ngx_str_set(&value, "POST");

    } else {
        ngx_str_set(&value, "GET, HEAD");
    }

    return ngx_http_phrony_add_header(r, "Allow", &value) ? NGX_OK
                                                          : NGX_ERROR;
}


static ngx_int_t
ngx_http_phrony_refuse_retry(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx)
{
    int64_t    wait;
    ngx_str_t  value;

    wait = ngx_http_phrony_retry_after(ctx);

    if (wait < 0) {
        return NGX_OK;
    }

    value.data = ngx_pnalloc(r->pool, NGX_INT64_LEN);
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    value.len = ngx_sprintf(value.data, "%L", wait) - value.data;

    return ngx_http_phrony_add_header(r, "Retry-After", &value) ? NGX_OK
                                                                : NGX_ERROR;
}


/*
 * Seconds after which a retry is admitted if nobody else was: the latest of
 * all that refuse; -1 if that is never, or unknown.
 */

static int64_t
ngx_http_phrony_retry_after(ngx_http_phrony_ctx_t *ctx)
{
    int64_t          wait;
    ngx_uint_t       i;
    phrony_limit_t  *limit;

    if (ctx->reason == PHRONY_REASON_DELIVERY_IN_PROGRESS) {
        return phrony_fields_seconds(NGX_HTTP_PHRONY_PROGRESS_RETRY);
    }

    if (ctx->reason == PHRONY_REASON_STORE_UNAVAILABLE
        || ctx->reason == PHRONY_REASON_POLICY_UNAVAILABLE)
    {
        return phrony_fields_seconds(NGX_HTTP_PHRONY_UNAVAILABLE_RETRY);
    }

    if (!ctx->counted) {
        return -1;
    }

    wait = -1;

    for (i = 0; i < PHRONY_LIMIT_MAX; i++) {
        limit = &ctx->op.limits[i];

        if (!limit->refused) {
            continue;
        }

        if (limit->wait < 0) {
            return -1;
        }

        wait = ngx_max(wait, limit->wait);
    }

    return (wait < 0) ? -1 : phrony_fields_seconds(wait);
}


static ngx_buf_t *
ngx_http_phrony_refuse_body(ngx_http_request_t *r, ngx_http_phrony_ctx_t *ctx)
{
    size_t                      len;
    u_char                      buf[PHRONY_FIELDS_PROBLEM_LEN];
    ngx_buf_t                  *b;
    phrony_problem_t            problem;
    ngx_http_variable_value_t  *vv;

    ngx_memzero(&problem, sizeof(phrony_problem_t));

    problem.reason = ctx->reason;

    if (ctx->reason == PHRONY_REASON_BODY_INVALID && ctx->body_error.text) {
        problem.detail.data = (u_char *) ctx->body_error.text;
        problem.detail.len = ngx_strlen(ctx->body_error.text);
        problem.line = ctx->body_error.line;
        problem.column = ctx->body_error.column;
    }

    vv = ngx_http_phrony_request_id(r);

    if (vv) {
        problem.instance.data = vv->data;
        problem.instance.len = vv->len;
    }

    if (ctx->counted) {
        problem.limits = ctx->op.limits;
    }

    len = phrony_fields_problem(buf, &problem);

    b = ngx_create_temp_buf(r->pool, len);
    if (b == NULL) {
        return NULL;
    }

    b->last = ngx_cpymem(b->last, buf, len);
    b->last_buf = 1;
    b->last_in_chain = 1;

    return b;
}
