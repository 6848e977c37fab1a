
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_http_phrony_status.h"
#include "ngx_http_phrony_headers.h"
#include "ngx_http_phrony_status_figures.h"
#include "core/phrony_accept.h"
#include "status/phrony_page.h"


#define NGX_HTTP_PHRONY_NOT_ACCEPTABLE  406     /* nginx has no name for it */


/* In the order of our own taste, should the client not mind. */

typedef enum {
    NGX_HTTP_PHRONY_STATUS_JSON = 0,
    NGX_HTTP_PHRONY_STATUS_HTML,
    NGX_HTTP_PHRONY_STATUS_OPENMETRICS,
    NGX_HTTP_PHRONY_STATUS_PROMETHEUS,
    NGX_HTTP_PHRONY_STATUS_MAX,

    NGX_HTTP_PHRONY_STATUS_UNKNOWN,         /* "format" names none */
    NGX_HTTP_PHRONY_STATUS_REFUSED          /* "Accept" wants none */
} ngx_http_phrony_status_format_t;


static ngx_http_phrony_status_format_t ngx_http_phrony_status_format(
    ngx_http_request_t *r);
static ngx_http_phrony_status_format_t ngx_http_phrony_status_accept(
    ngx_http_request_t *r);
static void ngx_http_phrony_status_write(ngx_http_request_t *r,
    ngx_http_phrony_text_t *text, ngx_http_phrony_status_format_t format);
static void ngx_http_phrony_status_page(ngx_http_request_t *r,
    ngx_http_phrony_text_t *text);
static void ngx_http_phrony_status_static(ngx_http_phrony_text_t *text,
    const ngx_str_t *body);
static ngx_int_t ngx_http_phrony_status_send(ngx_http_request_t *r,
    ngx_http_phrony_text_t *text);
static void ngx_http_phrony_status_type(ngx_http_request_t *r);


static ngx_str_t  ngx_http_phrony_status_names[NGX_HTTP_PHRONY_STATUS_MAX] = {
    ngx_string("json"),
    ngx_string("html"),
    ngx_string("openmetrics"),
    ngx_string("prometheus")
};


static const phrony_str_t
    ngx_http_phrony_status_accepted[NGX_HTTP_PHRONY_STATUS_MAX] =
{
    phrony_str("application/json"),
    phrony_str("text/html"),
    phrony_str("application/openmetrics-text"),
    phrony_str("text/plain")
};


static ngx_str_t  ngx_http_phrony_status_types[NGX_HTTP_PHRONY_STATUS_MAX] = {
    ngx_string("application/json"),
    ngx_string("text/html; charset=utf-8"),
    ngx_string("application/openmetrics-text; version=1.0.0; charset=utf-8"),
    ngx_string("text/plain; version=0.0.4; charset=utf-8")
};


static ngx_str_t  ngx_http_phrony_status_unknown = ngx_string(
    "{\"type\":\"about:blank\",\"title\":\"Bad Request\",\"status\":400,"
    "\"detail\":\"Ask for format=json, html, openmetrics or "
    "prometheus.\"}\n");


static ngx_str_t  ngx_http_phrony_status_refused = ngx_string(
    "{\"type\":\"about:blank\",\"title\":\"Not Acceptable\",\"status\":406,"
    "\"detail\":\"Accept application/json, text/html, "
    "application/openmetrics-text or text/plain.\"}\n");


ngx_int_t
ngx_http_phrony_status_handler(ngx_http_request_t *r)
{
    ngx_int_t                         rc;
    ngx_str_t                         allow, vary, store;
    ngx_http_phrony_text_t            text;
    ngx_http_phrony_status_format_t   format;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        ngx_str_set(&allow, "GET, HEAD");

        return ngx_http_phrony_add_header(r, "Allow", &allow)
               ? NGX_HTTP_NOT_ALLOWED : NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    ngx_str_set(&vary, "Accept");
    ngx_str_set(&store, "no-store");

    if (ngx_http_phrony_add_header(r, "Vary", &vary) == NULL
        || ngx_http_phrony_add_header(r, "Cache-Control", &store) == NULL)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_memzero(&text, sizeof(ngx_http_phrony_text_t));

    text.pool = r->pool;

    r->headers_out.status = NGX_HTTP_OK;

    format = ngx_http_phrony_status_format(r);

    ngx_http_phrony_status_write(r, &text, format);

    if (text.failed) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_phrony_status_send(r, &text);
}


static ngx_http_phrony_status_format_t
ngx_http_phrony_status_format(ngx_http_request_t *r)
{
    ngx_str_t   value, *name;
    ngx_uint_t  i;

    if (ngx_http_arg(r, (u_char *) "format", sizeof("format") - 1, &value)
        != NGX_OK)
    {
        return ngx_http_phrony_status_accept(r);
    }

    for (i = 0; i < NGX_HTTP_PHRONY_STATUS_MAX; i++) {
        name = &ngx_http_phrony_status_names[i];

        if (value.len == name->len
            && ngx_memcmp(value.data, name->data, name->len) == 0)
        {
            return i;
        }
    }

    return NGX_HTTP_PHRONY_STATUS_UNKNOWN;
}


static ngx_http_phrony_status_format_t
ngx_http_phrony_status_accept(ngx_http_request_t *r)
{
    int               best;
    ngx_uint_t        i;
    phrony_str_t      value;
    phrony_accept_t   accept;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    phrony_accept_init(&accept, ngx_http_phrony_status_accepted,
                       NGX_HTTP_PHRONY_STATUS_MAX);

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (h[i].key.len == sizeof("Accept") - 1
                && ngx_strncasecmp(h[i].key.data, (u_char *) "Accept",
                                   sizeof("Accept") - 1)
                   == 0)
            {
                value.data = h[i].value.data;
                value.len = h[i].value.len;

                phrony_accept_read(&accept, &value);
            }
        }
    }

    best = phrony_accept_best(&accept);

    return (best < 0) ? NGX_HTTP_PHRONY_STATUS_REFUSED
                      : (ngx_http_phrony_status_format_t) best;
}


static void
ngx_http_phrony_status_write(ngx_http_request_t *r,
    ngx_http_phrony_text_t *text, ngx_http_phrony_status_format_t format)
{
    ngx_str_t                     value;
    ngx_uint_t                    each;
    ngx_http_phrony_figures_t    *figures;
    ngx_http_phrony_main_conf_t  *pmcf;

    ngx_str_set(&r->headers_out.content_type, "application/problem+json");

    switch (format) {

    case NGX_HTTP_PHRONY_STATUS_UNKNOWN:
        r->headers_out.status = NGX_HTTP_BAD_REQUEST;
        ngx_http_phrony_status_static(text, &ngx_http_phrony_status_unknown);
        return;

    case NGX_HTTP_PHRONY_STATUS_REFUSED:
        r->headers_out.status = NGX_HTTP_PHRONY_NOT_ACCEPTABLE;
        ngx_http_phrony_status_static(text, &ngx_http_phrony_status_refused);
        return;

    default:
        r->headers_out.content_type = ngx_http_phrony_status_types[format];
    }

    if (format == NGX_HTTP_PHRONY_STATUS_HTML) {
        ngx_http_phrony_status_page(r, text);
        return;
    }

    figures = ngx_palloc(r->pool, sizeof(ngx_http_phrony_figures_t));
    if (figures == NULL) {
        text->failed = 1;
        return;
    }

    pmcf = ngx_http_get_module_main_conf(r, ngx_http_phrony_module);

    ngx_http_phrony_figures(pmcf, figures);

    if (format == NGX_HTTP_PHRONY_STATUS_JSON) {
        ngx_http_phrony_status_json(text, figures);
        return;
    }

    /* one series for each trigger is for those who want it */

    each = ngx_http_arg(r, (u_char *) "top", 3, &value) == NGX_OK
           && value.len == 1 && value.data[0] == '1';

    ngx_http_phrony_status_metrics(text, figures,
                              format == NGX_HTTP_PHRONY_STATUS_OPENMETRICS,
                              each);
}


/* The page is always the same, and asks for the figures itself. */

static void
ngx_http_phrony_status_page(ngx_http_request_t *r,
    ngx_http_phrony_text_t *text)
{
    ngx_str_t  page, policy, sniff, referrer;

    page.data = phrony_page.data;
    page.len = phrony_page.len;

    policy.data = phrony_page_policy.data;
    policy.len = phrony_page_policy.len;

    ngx_str_set(&sniff, "nosniff");
    ngx_str_set(&referrer, "no-referrer");

    if (ngx_http_phrony_add_header(r, "Content-Security-Policy", &policy)
        == NULL
        || ngx_http_phrony_add_header(r, "X-Content-Type-Options", &sniff)
           == NULL
        || ngx_http_phrony_add_header(r, "Referrer-Policy", &referrer)
           == NULL)
    {
        text->failed = 1;
        return;
    }

    ngx_http_phrony_status_static(text, &page);
}


/* A text that is part of the module. */

static void
ngx_http_phrony_status_static(ngx_http_phrony_text_t *text,
    const ngx_str_t *body)
{
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    b = ngx_calloc_buf(text->pool);
    cl = ngx_alloc_chain_link(text->pool);

    if (b == NULL || cl == NULL) {
        text->failed = 1;
        return;
    }

    b->pos = body->data;
    b->last = body->data + body->len;
    b->memory = 1;

    cl->buf = b;
    cl->next = NULL;

    text->first = cl;
    text->last = cl;
    text->size = (off_t) body->len;
}


static ngx_int_t
ngx_http_phrony_status_send(ngx_http_request_t *r,
    ngx_http_phrony_text_t *text)
{
    ngx_int_t  rc;

    text->last->buf->last_buf = (r == r->main) ? 1 : 0;
    text->last->buf->last_in_chain = 1;

    r->headers_out.content_length_n = text->size;

    ngx_http_phrony_status_type(r);

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    return ngx_http_output_filter(r, text->first);
}


/* Filters look for the type without parameters, and for another charset. */

static void
ngx_http_phrony_status_type(ngx_http_request_t *r)
{
    u_char     *p;
    ngx_str_t  *type;

    type = &r->headers_out.content_type;

    r->headers_out.content_type_len = type->len;
    r->headers_out.content_type_lowcase = NULL;

    p = ngx_strlchr(type->data, type->data + type->len, ';');

    if (p) {
        r->headers_out.content_type_len = p - type->data;
        ngx_str_set(&r->headers_out.charset, "utf-8");
    }
}
