
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_http_phrony_copy.h"
#include "core/phrony_stored.h"


#define NGX_HTTP_PHRONY_COPY_SIZE  2048     /* if the length is not known */


static ngx_int_t ngx_http_phrony_copy_grow(ngx_http_phrony_ctx_t *ctx,
    size_t len);


ngx_int_t
ngx_http_phrony_copy_begin(ngx_http_request_t *r, ngx_http_phrony_ctx_t *ctx)
{
    off_t                    length;
    size_t                   size;
    phrony_stored_t          stored;
    ngx_http_phrony_copy_t  *copy;

    copy = &ctx->copy;

    stored.status = (unsigned) r->headers_out.status;
    stored.type.len = r->headers_out.content_type.len;
    stored.type.data = r->headers_out.content_type.data;
    stored.body.len = 0;

    size = phrony_stored_len(&stored);
    length = r->headers_out.content_length_n;

    if (size == 0 || length > PHRONY_STORED_BODY_MAX) {
        return NGX_OK;
    }

    copy->max = size + PHRONY_STORED_BODY_MAX;

    size += (length >= 0) ? (size_t) length : NGX_HTTP_PHRONY_COPY_SIZE;

    copy->start = ngx_pnalloc(r->pool, size);
    if (copy->start == NULL) {
        return NGX_ERROR;
    }

    copy->last = phrony_stored_pack(copy->start, &stored);
    copy->end = copy->start + size;

    return NGX_OK;
}


void
ngx_http_phrony_copy_read(ngx_http_phrony_ctx_t *ctx, u_char *data,
    size_t len)
{
    ngx_http_phrony_copy_t  *copy;

    copy = &ctx->copy;

    if (copy->start == NULL) {
        return;
    }

    if (len > (size_t) (copy->end - copy->last)
        && ngx_http_phrony_copy_grow(ctx, len) != NGX_OK)
    {
        copy->start = NULL;
        return;
    }

    copy->last = ngx_cpymem(copy->last, data, len);
}


static ngx_int_t
ngx_http_phrony_copy_grow(ngx_http_phrony_ctx_t *ctx, size_t len)
{
    size_t                   used, size;
    u_char                  *p;
    ngx_http_phrony_copy_t  *copy;

    copy = &ctx->copy;

    used = copy->last - copy->start;

    if (len > copy->max - used) {
        return NGX_DECLINED;
    }

    size = ngx_min(copy->max, ngx_max(2 * used, used + len));

    p = ngx_pnalloc(ctx->request->pool, size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(p, copy->start, used);

    copy->start = p;
    copy->last = p + used;
    copy->end = p + size;

    return NGX_OK;
}


void
ngx_http_phrony_copy_done(ngx_http_phrony_ctx_t *ctx, ngx_str_t *packed)
{
    ngx_http_phrony_copy_t  *copy;

    copy = &ctx->copy;

    if (copy->start) {
        packed->data = copy->start;
        packed->len = copy->last - copy->start;
        return;
    }

    packed->len = 0;

    ngx_log_error(ctx->conf->log_level, ctx->request->connection->log, 0,
                  "answer to a start is not kept for its duplicates, it is "
                  "%s",
                  ctx->scan ? "longer than 64k" : "encoded, or not readable");
}
