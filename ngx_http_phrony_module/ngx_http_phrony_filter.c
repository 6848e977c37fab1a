
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_http_phrony_filter.h"
#include "ngx_http_phrony_copy.h"
#include "ngx_http_phrony_edit.h"
#include "ngx_http_phrony_headers.h"
#include "ngx_http_phrony_settle.h"
#include "ngx_http_phrony_verify.h"
#include "ngx_http_phrony_watch.h"


static ngx_int_t ngx_http_phrony_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_http_phrony_limit_headers(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx);
static ngx_uint_t ngx_http_phrony_readable(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx);
static ngx_int_t ngx_http_phrony_answer_to_start(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx);
static ngx_int_t ngx_http_phrony_keep_on(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx, ngx_int_t rc);
static ngx_int_t ngx_http_phrony_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);
static ngx_int_t ngx_http_phrony_pass(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx, ngx_chain_t *in);
static ngx_uint_t ngx_http_phrony_read_answer(ngx_http_phrony_ctx_t *ctx,
    ngx_chain_t *in);
static void ngx_http_phrony_discard(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx, ngx_chain_t *in);
static void ngx_http_phrony_consume(ngx_chain_t *in);


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
        ngx_http_phrony_verify_header(r);
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

    if (ctx->decided && ngx_http_phrony_watch_begin(r, ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    ctx->scan = ngx_http_phrony_readable(r, ctx);

    if (ctx->scan) {
        phrony_answer_init(&ctx->answer);

        ctx->rest = r->headers_out.content_length_n;
        r->filter_need_in_memory = 1;
    }

    if (ctx->scan && ctx->unsettled
        && ngx_http_phrony_answer_to_start(r, ctx) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_phrony_keep_on(r, ctx, ngx_http_next_header_filter(r));
}


/*
 * The answer to a claim is to be kept; that to a duplicate is to say so.  A
 * part of it is of use to nobody.
 */

static ngx_int_t
ngx_http_phrony_answer_to_start(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx)
{
    r->allow_ranges = 0;

    if (ctx->op.delivery.claimed) {
        return ngx_http_phrony_copy_begin(r, ctx);
    }

    switch (ctx->op.delivery.duplicate) {

    case PHRONY_DUPLICATE_MISMATCH:
    case PHRONY_DUPLICATE_IN_PROGRESS:
    case PHRONY_DUPLICATE_DONE:
        return ngx_http_phrony_edit_begin(r, ctx);

    default:
        return NGX_OK;
    }
}


/*
 * The answer to a start tells which run holds the slot.  Where the upstream
 * exchange outlives its client, it is read to the end, though there is nobody
 * to send it to.
 */

static ngx_int_t
ngx_http_phrony_keep_on(ngx_http_request_t *r, ngx_http_phrony_ctx_t *ctx,
    ngx_int_t rc)
{
    if (rc != NGX_ERROR
        || !ctx->unsettled
        || !ctx->scan
        || !r->connection->error
        || r->upstream == NULL
        || !r->upstream->conf->ignore_client_abort)
    {
        return rc;
    }

    ngx_log_debug0(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "phrony client has gone, the answer is read on");

    ctx->orphaned = 1;

    return NGX_OK;
}


static ngx_int_t
ngx_http_phrony_limit_headers(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx)
{
    u_char               buf[PHRONY_FIELDS_RATELIMIT_LEN];
    ngx_str_t            policy, limit;
    const phrony_str_t  *text;

    text = ctx->op.read ? &ctx->trigger->read_policy
                        : &ctx->trigger->start_policy;

    if (text->len == 0) {
        return NGX_OK;
    }

    policy.len = text->len;
    policy.data = text->data;

    limit.len = phrony_fields_ratelimit(buf, ctx->op.limits);

    limit.data = ngx_pnalloc(r->pool, limit.len);
    if (limit.data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(limit.data, buf, limit.len);

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

    if (r->header_only || ngx_http_phrony_headers_encoded(r)) {
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
    ngx_int_t               rc;
    phrony_lease_event_t    event;
    ngx_http_phrony_ctx_t  *ctx;

    if (r != r->main) {
        return ngx_http_phrony_verify_read(r, in)
               ? NGX_OK : ngx_http_next_body_filter(r, in);
    }

    ctx = ngx_http_get_module_ctx(r, ngx_http_phrony_module);

    if (ctx == NULL) {
        return ngx_http_next_body_filter(r, in);
    }

    if (ctx->watch) {
        ngx_http_phrony_watch_read(ctx, in);
    }

    if (!(ctx->scan || ctx->unsettled)) {
        return ngx_http_phrony_pass(r, ctx, in);
    }

    if (ngx_http_phrony_read_answer(ctx, in)) {
        ctx->whole = (ctx->rest <= 0);

        if (ctx->unsettled) {
            ngx_http_phrony_settle(ctx);

        } else {
            (void) ngx_http_phrony_observe(ctx, &ctx->answer,
                                           &ctx->route.run_id, &event);
        }

        ctx->scan = 0;

        return ctx->orphaned ? NGX_ERROR : ngx_http_phrony_pass(r, ctx, in);
    }

    if (!ctx->orphaned) {
        rc = ngx_http_phrony_pass(r, ctx, in);
        rc = ngx_http_phrony_keep_on(r, ctx, rc);

        if (!ctx->orphaned) {
            return rc;
        }
    }

    ngx_http_phrony_discard(r, ctx, in);

    return NGX_OK;
}


static ngx_int_t
ngx_http_phrony_pass(ngx_http_request_t *r, ngx_http_phrony_ctx_t *ctx,
    ngx_chain_t *in)
{
    ngx_int_t     rc;
    ngx_chain_t  *out;

    if (ctx->edit == NULL) {
        return ngx_http_next_body_filter(r, in);
    }

    if (ngx_http_phrony_edit_chain(r, ctx, in, &out) != NGX_OK) {
        return NGX_ERROR;
    }

    rc = ngx_http_next_body_filter(r, out);

    ngx_http_phrony_edit_sent(ctx, out);

    return rc;
}


/* Returns 1 if this is the answer's end, else 0. */

static ngx_uint_t
ngx_http_phrony_read_answer(ngx_http_phrony_ctx_t *ctx, ngx_chain_t *in)
{
    size_t      len;
    ngx_buf_t  *b;

    for ( /* void */ ; in; in = in->next) {
        b = in->buf;

        if (ctx->scan && ngx_buf_in_memory(b)) {
            len = (size_t) (b->last - b->pos);

            phrony_answer_read(&ctx->answer, b->pos, len);
            ngx_http_phrony_copy_read(ctx, b->pos, len);

            if (ctx->rest > 0) {
                ctx->rest -= (off_t) len;
            }
        }

        if (b->last_buf) {
            return 1;
        }
    }

    return ctx->scan && ctx->rest == 0;
}


/*
 * What waits to be sent to a client that has gone would keep the buffers busy
 * into which the rest of the answer is to be read.
 */

static void
ngx_http_phrony_discard(ngx_http_request_t *r, ngx_http_phrony_ctx_t *ctx,
    ngx_chain_t *in)
{
    ngx_http_phrony_consume(in);
    ngx_http_phrony_consume(r->out);

    r->out = NULL;
    r->connection->buffered &= ~NGX_LOWLEVEL_BUFFERED;

    if (ctx->edit) {
        ngx_http_phrony_edit_sent(ctx, NULL);
    }
}


static void
ngx_http_phrony_consume(ngx_chain_t *in)
{
    ngx_buf_t  *b;

    for ( /* void */ ; in; in = in->next) {
        b = in->buf;

        b->pos = b->last;
        b->file_pos = b->file_last;
    }
}
