
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_http_phrony_ask.h"
#include "ngx_http_phrony_headers.h"


#define NGX_HTTP_PHRONY_ASK_TEXT   (16 * 1024)      /* at first */
#define NGX_HTTP_PHRONY_ASK_TEXTS  (512 * 1024)     /* at most */


static ngx_int_t ngx_http_phrony_ask_request(ngx_http_request_t *sr);
static ngx_int_t ngx_http_phrony_ask_variables(ngx_http_request_t *sr);
static ngx_uint_t ngx_http_phrony_ask_carries(ngx_table_elt_t *h);
static ngx_int_t ngx_http_phrony_ask_done(ngx_http_request_t *sr, void *data,
    ngx_int_t rc);
static ngx_uint_t ngx_http_phrony_ask_status(ngx_http_request_t *sr,
    ngx_int_t rc);
static ngx_uint_t ngx_http_phrony_ask_cached(ngx_http_request_t *sr);
static void ngx_http_phrony_ask_text(ngx_http_phrony_ask_t *ask, u_char *p,
    size_t len);
static ngx_int_t ngx_http_phrony_ask_room(ngx_http_phrony_ask_t *ask,
    size_t len);


/*
 * Fields of a start that would have another meaning in a question of ours,
 * beside all those of a body, "content-...": conditions, ranges, encodings,
 * and those of the connection.
 */

static ngx_str_t  ngx_http_phrony_ask_fields[] = {
    ngx_string("accept-encoding"),
    ngx_string("connection"),
    ngx_string("expect"),
    ngx_string("idempotency-key"),
    ngx_string("if-match"),
    ngx_string("if-modified-since"),
    ngx_string("if-none-match"),
    ngx_string("if-range"),
    ngx_string("if-unmodified-since"),
    ngx_string("keep-alive"),
    ngx_string("range"),
    ngx_string("te"),
    ngx_string("trailer"),
    ngx_string("transfer-encoding"),
    ngx_string("upgrade"),
    ngx_null_string
};


ngx_int_t
ngx_http_phrony_ask_begin(ngx_http_phrony_ask_t *ask, ngx_str_t *uri)
{
    ngx_http_request_t          *r, *sr;
    ngx_http_post_subrequest_t  *ps;

    r = ask->ctx->request;

    ps = ngx_palloc(r->pool, sizeof(ngx_http_post_subrequest_t));
    if (ps == NULL) {
        return NGX_ERROR;
    }

    ps->handler = ngx_http_phrony_ask_done;
    ps->data = ask;

    if (ngx_http_subrequest(r, uri, NULL, &sr, ps,
                            NGX_HTTP_SUBREQUEST_BACKGROUND)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ask->subrequest = sr;

    if (ngx_http_phrony_ask_request(sr) != NGX_OK
        || ngx_http_phrony_ask_variables(sr) != NGX_OK)
    {

        /* it is under way, and cannot be taken back */

        sr->header_only = 1;
    }

    return NGX_OK;
}


/* Its fields are those of the start, but in a list of its own. */

static ngx_int_t
ngx_http_phrony_ask_request(ngx_http_request_t *sr)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h, *own;

    /* no body, and none that belongs to the start */

    sr->request_body = ngx_pcalloc(sr->pool, sizeof(ngx_http_request_body_t));
    if (sr->request_body == NULL) {
        return NGX_ERROR;
    }

    sr->headers_in.content_length_n = -1;
    sr->headers_in.content_length = NULL;
    sr->headers_in.content_type = NULL;
    sr->headers_in.chunked = 0;
    sr->headers_in.if_modified_since = NULL;
    sr->headers_in.if_unmodified_since = NULL;
    sr->headers_in.if_match = NULL;
    sr->headers_in.if_none_match = NULL;
    sr->headers_in.range = NULL;
    sr->headers_in.if_range = NULL;
    sr->headers_in.upgrade = NULL;
#if (NGX_HTTP_GZIP || NGX_HTTP_HEADERS)
    sr->headers_in.accept_encoding = NULL;
#endif

    if (ngx_list_init(&sr->headers_in.headers, sr->pool, 16,
                      sizeof(ngx_table_elt_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    for (part = &sr->main->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (!ngx_http_phrony_ask_carries(&h[i])) {
                continue;
            }

            own = ngx_list_push(&sr->headers_in.headers);
            if (own == NULL) {
                return NGX_ERROR;
            }

            *own = h[i];
        }
    }

    return NGX_OK;
}


/*
 * It begins with the values that are there.  But what is computed for one
 * question, in a map of the run's id as it may be, is not for the next one,
 * nor for the start itself: there are no fields of a body here.
 */

static ngx_int_t
ngx_http_phrony_ask_variables(ngx_http_request_t *sr)
{
    size_t                      size;
    ngx_http_variable_value_t  *variables;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_get_module_main_conf(sr, ngx_http_core_module);

    size = cmcf->variables.nelts * sizeof(ngx_http_variable_value_t);

    variables = ngx_palloc(sr->pool, size);
    if (variables == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(variables, sr->main->variables, size);

    sr->variables = variables;

    return NGX_OK;
}


static ngx_uint_t
ngx_http_phrony_ask_carries(ngx_table_elt_t *h)
{
    ngx_str_t  *name;

    if (h->key.len >= sizeof("content-") - 1
        && ngx_strncmp(h->lowcase_key, "content-", sizeof("content-") - 1)
           == 0)
    {
        return 0;
    }

    for (name = ngx_http_phrony_ask_fields; name->len; name++) {

        if (h->key.len == name->len
            && ngx_strncmp(h->lowcase_key, name->data, name->len) == 0)
        {
            return 0;
        }
    }

    return 1;
}


void
ngx_http_phrony_ask_cancel(ngx_http_phrony_ask_t *ask)
{
    ngx_http_request_t   *sr;
    ngx_http_upstream_t  *u;
    ngx_http_cleanup_pt   cleanup;

    ask->handler = NULL;

    sr = ask->subrequest;

    /* where a thread works for it, nginx goes on with it afterwards */

    if (sr == NULL || sr->upstream == NULL || sr->aio) {
        return;
    }

    u = sr->upstream;

    if (u->cleanup == NULL || *u->cleanup == NULL) {
        return;
    }

    /* what nginx would do at the end of the request */

    cleanup = *u->cleanup;
    cleanup(sr);
}


/*
 * A status may still lead to an error_page, and is heard of again then.  But
 * whatever becomes of the subrequest, it is no reason to end the request, as
 * other errors that are returned from here would be.
 */

static ngx_int_t
ngx_http_phrony_ask_done(ngx_http_request_t *sr, void *data, ngx_int_t rc)
{
    ngx_http_phrony_ask_t           *ask = data;
    ngx_http_phrony_ask_handler_pt   handler;

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, sr->connection->log, 0,
                   "phrony ask done: %i, status: %ui",
                   rc, sr->headers_out.status);

    if (ngx_http_phrony_ask_status(sr, rc)) {
        return rc;
    }

    ask->subrequest = NULL;
    ask->whole = (rc == NGX_OK && ask->read);

    handler = ask->handler;
    ask->handler = NULL;

    if (handler) {
        handler(ask);
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_http_phrony_ask_status(ngx_http_request_t *sr, ngx_int_t rc)
{
    if (sr->header_sent) {
        return 0;
    }

    return rc == NGX_HTTP_CREATED
           || rc == NGX_HTTP_NO_CONTENT
           || (rc >= NGX_HTTP_SPECIAL_RESPONSE
               && rc != NGX_HTTP_REQUEST_TIME_OUT
               && rc != NGX_HTTP_CLOSE
               && rc != NGX_HTTP_CLIENT_CLOSED_REQUEST);
}


void
ngx_http_phrony_ask_header(ngx_http_phrony_ask_t *ask)
{
    ngx_table_elt_t     *h;
    ngx_http_request_t  *sr;

    sr = ask->subrequest;

    ask->read = sr->headers_out.status == NGX_HTTP_OK
                && !sr->header_only
                && !ngx_http_phrony_ask_cached(sr)
                && !ngx_http_phrony_headers_encoded(sr);

    if (!ask->read) {
        return;
    }

    sr->filter_need_in_memory = 1;

    phrony_answer_init(&ask->answer);

    ask->date = NGX_ERROR;

    /* the upstream's own, which is not passed on */

    if (sr->upstream && sr->upstream->headers_in.date) {
        h = sr->upstream->headers_in.date;
        ask->date = ngx_parse_http_time(h->value.data, h->value.len);
    }
}


/* What a cache has is old: it says nothing of now, nor is its Date now. */

static ngx_uint_t
ngx_http_phrony_ask_cached(ngx_http_request_t *sr)
{
#if (NGX_HTTP_CACHE)
    return sr->cached;
#else
    return 0;
#endif
}


void
ngx_http_phrony_ask_body(ngx_http_phrony_ask_t *ask, ngx_chain_t *in)
{
    size_t      len;
    ngx_buf_t  *b;

    for ( /* void */ ; in; in = in->next) {
        b = in->buf;

        if (ask->read && ngx_buf_in_memory(b)) {
            len = (size_t) (b->last - b->pos);

            if (ask->run_id) {
                phrony_answer_read(&ask->answer, b->pos, len);

            } else {
                ngx_http_phrony_ask_text(ask, b->pos, len);
            }
        }

        b->pos = b->last;
        b->file_pos = b->file_last;
    }
}


static void
ngx_http_phrony_ask_text(ngx_http_phrony_ask_t *ask, u_char *p, size_t len)
{
    if (ngx_http_phrony_ask_room(ask, len) != NGX_OK) {
        ask->read = 0;
        return;
    }

    ngx_memcpy(ask->text.data + ask->text.len, p, len);
    ask->text.len += len;
}


static ngx_int_t
ngx_http_phrony_ask_room(ngx_http_phrony_ask_t *ask, size_t len)
{
    u_char  *p;
    size_t   room;

    if (len <= ask->room - ask->text.len) {
        return NGX_OK;
    }

    if (len > NGX_HTTP_PHRONY_ASK_TEXTS - ask->text.len) {
        return NGX_DECLINED;
    }

    room = ngx_max(ask->room, NGX_HTTP_PHRONY_ASK_TEXT);

    while (room < ask->text.len + len) {
        room *= 2;
    }

    p = ngx_palloc(ask->ctx->request->pool, room);
    if (p == NULL) {
        return NGX_ERROR;
    }

    if (ask->room) {
        ngx_memcpy(p, ask->text.data, ask->text.len);
        (void) ngx_pfree(ask->ctx->request->pool, ask->text.data);
    }

    ask->text.data = p;
    ask->room = room;

    return NGX_OK;
}
