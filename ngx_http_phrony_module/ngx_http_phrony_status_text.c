
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_http_phrony_status_text.h"


#define NGX_HTTP_PHRONY_TEXT_BUFFER  16384


static ngx_buf_t *ngx_http_phrony_text_buf(ngx_http_phrony_text_t *text);


void
ngx_http_phrony_text(ngx_http_phrony_text_t *text, const char *fmt, ...)
{
    u_char     *p;
    va_list     args;
    ngx_buf_t  *b;

    b = ngx_http_phrony_text_buf(text);

    if (b == NULL) {
        text->failed = 1;
        return;
    }

    va_start(args, fmt);
    p = ngx_vslprintf(b->last, b->last + NGX_HTTP_PHRONY_TEXT_PIECE, fmt,
                      args);
    va_end(args);

    text->size += p - b->last;
    b->last = p;
}


/* A buffer with room for a piece. */

static ngx_buf_t *
ngx_http_phrony_text_buf(ngx_http_phrony_text_t *text)
{
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    if (text->failed) {
        return NULL;
    }

    if (text->last) {
        b = text->last->buf;

        if (b->end - b->last >= NGX_HTTP_PHRONY_TEXT_PIECE) {
            return b;
        }
    }

    cl = ngx_alloc_chain_link(text->pool);
    b = ngx_create_temp_buf(text->pool, NGX_HTTP_PHRONY_TEXT_BUFFER);

    if (cl == NULL || b == NULL) {
        return NULL;
    }

    cl->buf = b;
    cl->next = NULL;

    if (text->last) {
        text->last->next = cl;

    } else {
        text->first = cl;
    }

    text->last = cl;

    return b;
}
