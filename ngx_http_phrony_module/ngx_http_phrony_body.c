
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_http_phrony_body.h"
#include "ngx_http_phrony_delivery.h"


static phrony_reason_t ngx_http_phrony_body_type(ngx_http_phrony_ctx_t *ctx);
static off_t ngx_http_phrony_body_size(ngx_http_request_t *r);
static ngx_int_t ngx_http_phrony_body_text(ngx_http_request_t *r,
    size_t size, phrony_str_t *text, u_char **copy);
static ngx_int_t ngx_http_phrony_body_copy(ngx_http_request_t *r,
    u_char *p);
static phrony_reason_t ngx_http_phrony_body_content(
    ngx_http_phrony_ctx_t *ctx, phrony_str_t *text);


phrony_reason_t
ngx_http_phrony_body_declared(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx)
{
    off_t            len;
    phrony_reason_t  reason;

    len = r->headers_in.content_length_n;

    if (len <= 0) {
        return PHRONY_REASON_NONE;
    }

    ctx->type_checked = 1;

    reason = ngx_http_phrony_body_type(ctx);

    if (reason == PHRONY_REASON_NONE && (size_t) len > ctx->conf->max_body) {
        return PHRONY_REASON_BODY_TOO_LARGE;
    }

    return reason;
}


ngx_int_t
ngx_http_phrony_body_received(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx)
{
    off_t         size;
    u_char       *copy;
    ngx_int_t     rc;
    phrony_str_t  text;

    size = ngx_http_phrony_body_size(r);

    if (size == 0) {
        ctx->reason = PHRONY_REASON_NONE;
        ngx_memzero(&text, sizeof(phrony_str_t));

        return ngx_http_phrony_delivery_fingerprint(ctx, &text);
    }

    if (!ctx->type_checked) {

        /* chunked, or HTTP/2 without a length: nothing was declared */

        ctx->reason = ngx_http_phrony_body_type(ctx);

        if (ctx->reason != PHRONY_REASON_NONE) {
            return NGX_OK;
        }
    }

    if ((size_t) size > ctx->conf->max_body) {
        ctx->reason = PHRONY_REASON_BODY_TOO_LARGE;
        return NGX_OK;
    }

    copy = NULL;

    if (ngx_http_phrony_body_text(r, (size_t) size, &text, &copy) != NGX_OK) {
        return NGX_ERROR;
    }

    ctx->reason = ngx_http_phrony_body_content(ctx, &text);

    /* a parser without memory judges nothing */

    rc = (ctx->reason == PHRONY_REASON_STORE_UNAVAILABLE) ? NGX_ERROR : NGX_OK;

    if (ctx->reason == PHRONY_REASON_NONE) {
        rc = ngx_http_phrony_delivery_fingerprint(ctx, &text);
    }

    if (copy) {
        ngx_free(copy);
    }

    return rc;
}


static phrony_reason_t
ngx_http_phrony_body_type(ngx_http_phrony_ctx_t *ctx)
{
    phrony_str_t  type;

    if (ctx->content_types != 1 || ctx->content_encodings) {
        return PHRONY_REASON_CONTENT_TYPE;
    }

    type.len = ctx->content_type.len;
    type.data = ctx->content_type.data;

    return phrony_body_check_type(&type);
}


static off_t
ngx_http_phrony_body_size(ngx_http_request_t *r)
{
    off_t         size;
    ngx_chain_t  *cl;

    size = 0;

    if (r->request_body) {

        for (cl = r->request_body->bufs; cl; cl = cl->next) {
            size += ngx_buf_size(cl->buf);
        }
    }

    return size;
}


/*
 * The body as one piece of memory: where nginx read it, or else a copy that
 * the caller frees.
 */

static ngx_int_t
ngx_http_phrony_body_text(ngx_http_request_t *r, size_t size,
    phrony_str_t *text, u_char **copy)
{
    ngx_chain_t  *cl;

    text->len = size;

    cl = r->request_body->bufs;

    if (ngx_buf_in_memory(cl->buf)
        && (size_t) (cl->buf->last - cl->buf->pos) == size)
    {
        text->data = cl->buf->pos;
        return NGX_OK;
    }

    *copy = ngx_alloc(size, r->connection->log);
    if (*copy == NULL) {
        return NGX_ERROR;
    }

    if (ngx_http_phrony_body_copy(r, *copy) != NGX_OK) {
        ngx_free(*copy);
        return NGX_ERROR;
    }

    text->data = *copy;

    return NGX_OK;
}


static ngx_int_t
ngx_http_phrony_body_copy(ngx_http_request_t *r, u_char *p)
{
    size_t        size;
    ssize_t       n;
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    for (cl = r->request_body->bufs; cl; cl = cl->next) {
        b = cl->buf;

        if (ngx_buf_in_memory(b)) {
            p = ngx_cpymem(p, b->pos, b->last - b->pos);
            continue;
        }

        if (!b->in_file) {
            continue;
        }

        size = (size_t) (b->file_last - b->file_pos);

        n = ngx_read_file(b->file, p, size, b->file_pos);

        if (n == NGX_ERROR || (size_t) n != size) {
            ngx_log_error(NGX_LOG_CRIT, r->connection->log, 0,
                          "request body could not be read back from \"%V\"",
                          &b->file->name);
            return NGX_ERROR;
        }

        p += size;
    }

    return NGX_OK;
}


static phrony_reason_t
ngx_http_phrony_body_content(ngx_http_phrony_ctx_t *ctx, phrony_str_t *text)
{
    int64_t          limit, tokens;
    phrony_reason_t  reason;

    reason = phrony_body_check(text, &ctx->body_error);

    if (reason != PHRONY_REASON_NONE) {
        return reason;
    }

    limit = ctx->trigger->max_input_tokens;
    tokens = phrony_body_tokens(text->len,
                                (size_t) ctx->conf->bytes_per_token);

    if (limit != PHRONY_NO_LIMIT && tokens > limit) {
        return PHRONY_REASON_INPUT_TOO_LARGE;
    }

    return PHRONY_REASON_NONE;
}
