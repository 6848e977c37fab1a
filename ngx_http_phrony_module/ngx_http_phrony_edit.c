
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_http_phrony_edit.h"
#include "core/phrony_body.h"


#define NGX_HTTP_PHRONY_EDIT_GROWTH  32     /* bytes, most often enough */


static void ngx_http_phrony_edit_flags(ngx_buf_t *b, ngx_buf_t *from);
static ngx_chain_t *ngx_http_phrony_edit_buf(ngx_http_request_t *r,
    ngx_http_phrony_edit_t *edit);
static ngx_int_t ngx_http_phrony_edit_text(ngx_http_request_t *r,
    ngx_http_phrony_edit_t *edit, ngx_buf_t *b, ngx_buf_t *from);
static ngx_int_t ngx_http_phrony_edit_room(ngx_http_request_t *r,
    ngx_buf_t *b, size_t size);


ngx_int_t
ngx_http_phrony_edit_begin(ngx_http_request_t *r, ngx_http_phrony_ctx_t *ctx)
{
    phrony_str_t  type;

    type.len = r->headers_out.content_type.len;
    type.data = r->headers_out.content_type.data;

    if (phrony_body_check_type(&type) != PHRONY_REASON_NONE) {
        return NGX_OK;
    }

    ctx->edit = ngx_pcalloc(r->pool, sizeof(ngx_http_phrony_edit_t));
    if (ctx->edit == NULL) {
        return NGX_ERROR;
    }

    phrony_rewrite_init(&ctx->edit->rewrite);

    ngx_http_clear_content_length(r);
    ngx_http_clear_accept_ranges(r);
    ngx_http_clear_last_modified(r);
    ngx_http_clear_etag(r);

    return NGX_OK;
}


ngx_int_t
ngx_http_phrony_edit_chain(ngx_http_request_t *r, ngx_http_phrony_ctx_t *ctx,
    ngx_chain_t *in, ngx_chain_t **out)
{
    ngx_buf_t    *from;
    ngx_chain_t  *b, **last;

    *out = NULL;
    last = out;

    for ( /* void */ ; in; in = in->next) {
        from = in->buf;

        b = ngx_http_phrony_edit_buf(r, ctx->edit);
        if (b == NULL) {
            return NGX_ERROR;
        }

        if (ngx_buf_in_memory(from)
            && ngx_http_phrony_edit_text(r, ctx->edit, b->buf, from)
               != NGX_OK)
        {
            return NGX_ERROR;
        }

        ngx_http_phrony_edit_flags(b->buf, from);

        if (ngx_buf_size(b->buf) == 0 && !ngx_buf_special(b->buf)) {
            continue;
        }

        *last = b;
        last = &b->next;
    }

    return NGX_OK;
}


/* Where nothing is left of a buffer, there is nothing to wait for. */

static void
ngx_http_phrony_edit_flags(ngx_buf_t *b, ngx_buf_t *from)
{
    b->flush = from->flush;
    b->last_buf = from->last_buf;
    b->last_in_chain = from->last_in_chain;

    if (b->last == b->pos) {
        b->sync = from->sync || from->last_in_chain;
        from->pos = from->last;
        return;
    }

    b->temporary = 1;
    b->recycled = from->recycled;
    b->shadow = from;
}


/* An empty one, which may have room. */

static ngx_chain_t *
ngx_http_phrony_edit_buf(ngx_http_request_t *r, ngx_http_phrony_edit_t *edit)
{
    u_char       *start, *end;
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    cl = ngx_chain_get_free_buf(r->pool, &edit->free);
    if (cl == NULL) {
        return NULL;
    }

    b = cl->buf;
    start = b->start;
    end = b->end;

    ngx_memzero(b, sizeof(ngx_buf_t));

    b->tag = (ngx_buf_tag_t) &ngx_http_phrony_module;
    b->start = start;
    b->pos = start;
    b->last = start;
    b->end = end;

    cl->next = NULL;

    return cl;
}


/* A piece may grow by some bytes, so that most often there is room at once. */

static ngx_int_t
ngx_http_phrony_edit_text(ngx_http_request_t *r, ngx_http_phrony_edit_t *edit,
    ngx_buf_t *b, ngx_buf_t *from)
{
    phrony_str_t  in, piece;

    in.data = from->pos;
    in.len = from->last - from->pos;

    if (ngx_http_phrony_edit_room(r, b, in.len + NGX_HTTP_PHRONY_EDIT_GROWTH)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    while (phrony_rewrite_next(&edit->rewrite, &in, &piece)
           == PHRONY_REWRITE_PIECE)
    {
        if (ngx_http_phrony_edit_room(r, b, piece.len) != NGX_OK) {
            return NGX_ERROR;
        }

        b->last = ngx_cpymem(b->last, piece.data, piece.len);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_phrony_edit_room(ngx_http_request_t *r, ngx_buf_t *b, size_t size)
{
    u_char  *p;
    size_t   used;

    if (size <= (size_t) (b->end - b->last)) {
        return NGX_OK;
    }

    used = b->last - b->start;
    size += 2 * used;

    p = ngx_palloc(r->pool, size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    if (used) {
        ngx_memcpy(p, b->start, used);
    }

    b->start = p;
    b->pos = p;
    b->last = p + used;
    b->end = p + size;

    return NGX_OK;
}


void
ngx_http_phrony_edit_sent(ngx_http_phrony_ctx_t *ctx, ngx_chain_t *out)
{
    ngx_buf_t               *b;
    ngx_chain_t             *cl, **last;
    ngx_http_phrony_edit_t  *edit;

    edit = ctx->edit;

    for (last = &edit->busy; *last; last = &(*last)->next) { /* void */ }

    *last = out;

    while (edit->busy) {
        cl = edit->busy;
        b = cl->buf;

        if (ngx_buf_size(b) != 0) {
            return;
        }

        edit->busy = cl->next;

        if (b->shadow) {
            b->shadow->pos = b->shadow->last;
            b->shadow = NULL;
        }

        /* who has got one without bytes may still have it */

        if (ngx_buf_in_memory(b)) {
            cl->next = edit->free;
            edit->free = cl;
        }
    }
}
