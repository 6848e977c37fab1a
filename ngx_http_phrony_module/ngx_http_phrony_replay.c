
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_http_phrony_replay.h"
#include "ngx_http_phrony_headers.h"
#include "core/phrony_rewrite.h"
#include "core/phrony_stored.h"


static ngx_int_t ngx_http_phrony_replay_header(ngx_http_request_t *r,
    phrony_stored_t *stored);
static void ngx_http_phrony_replay_type(ngx_http_request_t *r,
    phrony_str_t *type);
static ngx_chain_t *ngx_http_phrony_replay_body(ngx_http_request_t *r,
    phrony_str_t *body, off_t *length);


ngx_int_t
ngx_http_phrony_replay(ngx_http_request_t *r, ngx_http_phrony_ctx_t *ctx)
{
    off_t                   length;
    ngx_int_t               rc;
    ngx_chain_t            *out;
    phrony_str_t            packed;
    phrony_stored_t         stored;
    ngx_phrony_counters_t  *counters;

    packed.len = ctx->op.delivery.stored.len;
    packed.data = ctx->op.delivery.stored.data;

    if (phrony_stored_unpack(&stored, &packed) != 0) {
        ngx_log_error(NGX_LOG_ALERT, r->connection->log, 0,
                      "phrony: stored answer is broken");
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->decided = 1;
    ctx->outcome = NGX_HTTP_PHRONY_REPLAYED;

    counters = ngx_http_phrony_counters(r);
    (void) ngx_atomic_fetch_add(&counters->replayed, 1);

    /* for $phrony_run_id */

    phrony_answer_init(&ctx->answer);
    phrony_answer_read(&ctx->answer, stored.body.data, stored.body.len);

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    out = ngx_http_phrony_replay_body(r, &stored.body, &length);

    if (out == NULL || ngx_http_phrony_replay_header(r, &stored) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->headers_out.content_length_n = length;

    rc = ngx_http_send_header(r);

    if (rc == NGX_OK && !r->header_only) {
        rc = ngx_http_output_filter(r, out);
    }

    ngx_http_finalize_request(r, rc);

    return NGX_DONE;
}


static ngx_int_t
ngx_http_phrony_replay_header(ngx_http_request_t *r, phrony_stored_t *stored)
{
    ngx_str_t  value;

    r->headers_out.status = stored->status;

    /* it answers a start, whatever a client says of what it has */

    r->disable_not_modified = 1;

    ngx_http_phrony_replay_type(r, &stored->type);

    ngx_str_set(&value, "true");

    return ngx_http_phrony_add_header(r, "Idempotent-Replayed", &value)
           ? NGX_OK : NGX_ERROR;
}


/* The type with all its parameters; filters look at it without these. */

static void
ngx_http_phrony_replay_type(ngx_http_request_t *r, phrony_str_t *type)
{
    u_char  *semicolon;

    r->headers_out.content_type.len = type->len;
    r->headers_out.content_type.data = type->data;
    r->headers_out.content_type_len = type->len;
    r->headers_out.content_type_lowcase = NULL;

    semicolon = ngx_strlchr(type->data, type->data + type->len, ';');

    if (semicolon) {
        r->headers_out.content_type_len = semicolon - type->data;
    }
}


/* Pieces of what is stored, which is the request's as long as that lives. */

static ngx_chain_t *
ngx_http_phrony_replay_body(ngx_http_request_t *r, phrony_str_t *body,
    off_t *length)
{
    ngx_buf_t         *b;
    ngx_chain_t       *cl, *out, **last;
    phrony_str_t       in, piece;
    phrony_rewrite_t   rewrite;

    phrony_rewrite_init(&rewrite);

    in = *body;
    out = NULL;
    last = &out;
    b = NULL;
    *length = 0;

    while (phrony_rewrite_next(&rewrite, &in, &piece)
           == PHRONY_REWRITE_PIECE)
    {
        cl = ngx_alloc_chain_link(r->pool);
        b = ngx_calloc_buf(r->pool);

        if (cl == NULL || b == NULL) {
            return NULL;
        }

        b->pos = piece.data;
        b->last = piece.data + piece.len;
        b->memory = 1;

        *length += (off_t) piece.len;

        cl->buf = b;
        cl->next = NULL;

        *last = cl;
        last = &cl->next;
    }

    if (b == NULL) {
        out = ngx_alloc_chain_link(r->pool);
        b = ngx_calloc_buf(r->pool);

        if (out == NULL || b == NULL) {
            return NULL;
        }

        out->buf = b;
        out->next = NULL;
    }

    b->last_buf = 1;
    b->last_in_chain = 1;

    return out;
}
