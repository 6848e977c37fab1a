
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_http_phrony_watch.h"
#include "ngx_http_phrony_headers.h"
#include "ngx_http_phrony_settle.h"


#define NGX_HTTP_PHRONY_WATCH_TYPE   "text/event-stream"

#define NGX_HTTP_PHRONY_WATCH_RENEW  16     /* times within phrony_run_ttl */


static ngx_int_t ngx_http_phrony_watch_stream(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx);
static ngx_uint_t ngx_http_phrony_watch_type(ngx_str_t *type);
static void ngx_http_phrony_watch_tell(ngx_http_phrony_ctx_t *ctx);


ngx_int_t
ngx_http_phrony_watch_begin(ngx_http_request_t *r, ngx_http_phrony_ctx_t *ctx)
{
    ngx_uint_t  status;

    status = r->headers_out.status;

    if (ctx->route.part == PHRONY_RUN_RESUME
        && r->method == NGX_HTTP_POST
        && status >= 200 && status < 300)
    {
        ngx_http_phrony_observed(ctx, &ctx->route.run_id,
                                 PHRONY_LEASE_SEEN);
    }

    if (status == NGX_HTTP_OK
        && !r->header_only
        && !ngx_http_phrony_headers_encoded(r)
        && ngx_http_phrony_reads_events(r, ctx)
        && ngx_http_phrony_watch_type(&r->headers_out.content_type))
    {
        return ngx_http_phrony_watch_stream(r, ctx);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_phrony_watch_stream(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx)
{
    ctx->watch = ngx_pcalloc(r->pool, sizeof(ngx_http_phrony_watch_t));
    if (ctx->watch == NULL) {
        return NGX_ERROR;
    }

    phrony_events_init(&ctx->watch->events, &ctx->route.run_id);

    ctx->watch->told = ngx_current_msec
                       - ctx->conf->run_ttl / NGX_HTTP_PHRONY_WATCH_RENEW;

    r->filter_need_in_memory = 1;

    return NGX_OK;
}


/* With or without parameters. */

static ngx_uint_t
ngx_http_phrony_watch_type(ngx_str_t *type)
{
    size_t  len;

    len = sizeof(NGX_HTTP_PHRONY_WATCH_TYPE) - 1;

    return type->len >= len
           && ngx_strncasecmp(type->data,
                              (u_char *) NGX_HTTP_PHRONY_WATCH_TYPE, len) == 0
           && (type->len == len
               || type->data[len] == ';' || type->data[len] == ' ');
}


void
ngx_http_phrony_watch_read(ngx_http_phrony_ctx_t *ctx, ngx_chain_t *in)
{
    ngx_buf_t  *b;

    if (ctx->watch->ended) {
        return;
    }

    for ( /* void */ ; in; in = in->next) {
        b = in->buf;

        if (ngx_buf_in_memory(b)) {
            phrony_events_read(&ctx->watch->events, b->pos,
                               (size_t) (b->last - b->pos));
        }
    }

    ngx_http_phrony_watch_tell(ctx);
}


static void
ngx_http_phrony_watch_tell(ngx_http_phrony_ctx_t *ctx)
{
    ngx_http_phrony_watch_t  *watch;

    watch = ctx->watch;

    if (phrony_events_ended(&watch->events)) {
        watch->ended = 1;
        ngx_http_phrony_observed(ctx, &ctx->route.run_id, PHRONY_LEASE_END);
        return;
    }

    /* no more often than is needed; what was seen is not forgotten */

    if (ngx_current_msec - watch->told
        < ctx->conf->run_ttl / NGX_HTTP_PHRONY_WATCH_RENEW)
    {
        return;
    }

    if (phrony_events_seen(&watch->events)) {
        watch->told = ngx_current_msec;
        ngx_http_phrony_observed(ctx, &ctx->route.run_id,
                                 PHRONY_LEASE_SEEN);
    }
}
