
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_http_phrony_filter.h"
#include "ngx_http_phrony_headers.h"
#include "ngx_http_phrony_settle.h"


static ngx_int_t ngx_http_phrony_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_http_phrony_limit_headers(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx);
static ngx_uint_t ngx_http_phrony_readable(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx);
static ngx_int_t ngx_http_phrony_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt    ngx_http_next_body_filter;


void
ngx_http_phrony_filter_init(void)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_phrony_header_filter;

    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_http_phrony_body_filter;
}


static ngx_int_t
ngx_http_phrony_header_filter(ngx_http_request_t *r)
{
    ngx_http_phrony_ctx_t  *ctx;

    if (r != r->main) {
        return ngx_http_next_header_filter(r);
    }

    ctx = ngx_http_phrony_get_ctx(r);

    if (ctx == NULL) {
        return ngx_http_next_header_filter(r);
    }

    if (ctx->counted && ctx->conf->headers
        && ngx_http_phrony_limit_headers(r, ctx) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ctx->scan = ngx_http_phrony_readable(r, ctx);

    if (ctx->scan) {
        phrony_answer_init(&ctx->answer);

        r->filter_need_in_memory = 1;
    }

    return ngx_http_next_header_filter(r);
}


static ngx_int_t
ngx_http_phrony_limit_headers(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx)
{
    u_char      buf[PHRONY_FIELDS_POLICY_LEN + PHRONY_FIELDS_RATELIMIT_LEN];
    ngx_str_t   policy, limit;

    policy.len = phrony_fields_policy(buf, ctx->op.limits);

    if (policy.len == 0) {
        return NGX_OK;
    }

    limit.len = phrony_fields_ratelimit(buf + policy.len, ctx->op.limits);

    policy.data = ngx_pnalloc(r->pool, policy.len + limit.len);
    if (policy.data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(policy.data, buf, policy.len + limit.len);
    limit.data = policy.data + policy.len;

    if (ngx_http_phrony_add_header(r, "RateLimit-Policy", &policy) == NULL
        || ngx_http_phrony_add_header(r, "RateLimit", &limit) == NULL)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* Whether the answer that begins is to be read, and can be. */

static ngx_uint_t
ngx_http_phrony_readable(ngx_http_request_t *r, ngx_http_phrony_ctx_t *ctx)
{
    ngx_uint_t  status;

    status = r->headers_out.status;

    if (r->header_only
        || (r->headers_out.content_encoding
            && r->headers_out.content_encoding->value.len))
    {
        return 0;
    }

    if (ctx->unsettled) {
        return status >= 200 && status < 300;
    }

    return ctx->decided
           && status == NGX_HTTP_OK
           && ngx_http_phrony_reads_status(r, ctx);
}


static ngx_int_t
ngx_http_phrony_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_buf_t              *b;
    ngx_uint_t              last;
    ngx_chain_t            *cl;
    ngx_http_phrony_ctx_t  *ctx;

    if (in == NULL || r != r->main) {
        return ngx_http_next_body_filter(r, in);
    }

    ctx = ngx_http_get_module_ctx(r, ngx_http_phrony_module);

    if (ctx == NULL || !(ctx->scan || ctx->unsettled)) {
        return ngx_http_next_body_filter(r, in);
    }

    last = 0;

    for (cl = in; cl; cl = cl->next) {
        b = cl->buf;

        if (ctx->scan && ngx_buf_in_memory(b)) {
            phrony_answer_read(&ctx->answer, b->pos, b->last - b->pos);
        }

        last |= b->last_buf;
    }

    if (last) {

        if (ctx->unsettled) {
            ngx_http_phrony_settle(ctx);

        } else {
            ngx_http_phrony_observe(ctx);
        }

        ctx->scan = 0;
    }

    return ngx_http_next_body_filter(r, in);
}
