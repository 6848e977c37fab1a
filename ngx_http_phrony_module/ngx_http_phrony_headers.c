
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_http_phrony_headers.h"
#include "ngx_http_phrony_compat.h"


typedef struct {
    ngx_str_t                 name;     /* in lower case */
    ngx_http_phrony_header_t  header;
    ngx_uint_t                hash;
} ngx_http_phrony_header_name_t;


static ngx_http_phrony_header_name_t  ngx_http_phrony_header_names[] = {

    { ngx_string("x-api-key"), NGX_HTTP_PHRONY_HEADER_KEY, 0 },
    { ngx_string("x-http-method-override"),
      NGX_HTTP_PHRONY_HEADER_OVERRIDE, 0 },
    { ngx_string("x-http-method"), NGX_HTTP_PHRONY_HEADER_OVERRIDE, 0 },
    { ngx_string("x-method-override"), NGX_HTTP_PHRONY_HEADER_OVERRIDE, 0 },
    { ngx_string("content-type"), NGX_HTTP_PHRONY_HEADER_CONTENT_TYPE, 0 },
    { ngx_string("content-encoding"),
      NGX_HTTP_PHRONY_HEADER_CONTENT_ENCODING, 0 },
    { ngx_string("origin"), NGX_HTTP_PHRONY_HEADER_ORIGIN, 0 },
    { ngx_string("access-control-request-method"),
      NGX_HTTP_PHRONY_HEADER_REQUEST_METHOD, 0 },

    { ngx_string("x-phrony-duplicate-delivery"),
      NGX_HTTP_PHRONY_HEADER_DUPLICATE, 0 },

    { ngx_null_string, NGX_HTTP_PHRONY_HEADER_MAX, 0 }
};


static void ngx_http_phrony_headers_match(ngx_table_elt_t *h,
    ngx_http_phrony_header_value_t *values);
static ngx_http_phrony_header_name_t *ngx_http_phrony_headers_name(
    ngx_table_elt_t *h);
static ngx_uint_t ngx_http_phrony_headers_find(ngx_list_part_t *part,
    ngx_http_phrony_header_t header);
static ngx_int_t ngx_http_phrony_headers_cut(ngx_list_t *list,
    ngx_list_part_t *part, ngx_list_part_t *before, ngx_uint_t i);


/* A bit for each length that a name above has; most fields have another. */

static uint64_t  ngx_http_phrony_header_lengths;


void
ngx_http_phrony_headers_init(void)
{
    ngx_http_phrony_header_name_t  *name;

    for (name = ngx_http_phrony_header_names; name->name.len; name++) {
        name->hash = ngx_hash_key(name->name.data, name->name.len);

        ngx_http_phrony_header_lengths |= (uint64_t) 1 << name->name.len;
    }
}


void
ngx_http_phrony_headers_gather(ngx_http_request_t *r,
    ngx_http_phrony_header_value_t *values)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    ngx_memzero(values, NGX_HTTP_PHRONY_HEADER_MAX
                        * sizeof(ngx_http_phrony_header_value_t));

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (h[i].key.len < 64
                && (ngx_http_phrony_header_lengths >> h[i].key.len & 1))
            {
                ngx_http_phrony_headers_match(&h[i], values);
            }
        }
    }
}


static void
ngx_http_phrony_headers_match(ngx_table_elt_t *h,
    ngx_http_phrony_header_value_t *values)
{
    ngx_http_phrony_header_name_t  *name;

    name = ngx_http_phrony_headers_name(h);

    if (name) {
        values[name->header].count++;
        values[name->header].value = h->value;
    }
}


static ngx_http_phrony_header_name_t *
ngx_http_phrony_headers_name(ngx_table_elt_t *h)
{
    ngx_http_phrony_header_name_t  *name;

    for (name = ngx_http_phrony_header_names; name->name.len; name++) {

        if (h->hash == name->hash
            && h->key.len == name->name.len
            && ngx_memcmp(h->lowcase_key, name->name.data, name->name.len)
               == 0)
        {
            return name;
        }
    }

    return NULL;
}


ngx_int_t
ngx_http_phrony_headers_remove(ngx_http_request_t *r,
    ngx_http_phrony_header_t header)
{
    ngx_uint_t        i;
    ngx_list_t       *list;
    ngx_list_part_t  *part, *before, *next;

    list = &r->headers_in.headers;

    before = NULL;

    for (part = &list->part; part; part = next) {

        i = ngx_http_phrony_headers_find(part, header);

        if (i < part->nelts
            && ngx_http_phrony_headers_cut(list, part, before, i) != NGX_OK)
        {
            return NGX_ERROR;
        }

        next = part->next;

        if (part->nelts || before == NULL) {
            before = part;
        }
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_http_phrony_headers_find(ngx_list_part_t *part,
    ngx_http_phrony_header_t header)
{
    ngx_uint_t                      i;
    ngx_table_elt_t                *h;
    ngx_http_phrony_header_name_t  *name;

    h = part->elts;

    for (i = 0; i < part->nelts; i++) {
        name = ngx_http_phrony_headers_name(&h[i]);

        if (name && name->header == header) {
            break;
        }
    }

    return i;
}


/*
 * Takes element "i" out of a part, of which two parts become.  Only the first
 * part of a list may be empty, since who walks through one expects no other;
 * and the last one is full, or the next element would be put behind it, if it
 * has lost its end.
 */

static ngx_int_t
ngx_http_phrony_headers_cut(ngx_list_t *list, ngx_list_part_t *part,
    ngx_list_part_t *before, ngx_uint_t i)
{
    ngx_list_part_t  *rest;

    if (i + 1 < part->nelts) {
        rest = ngx_palloc(list->pool, sizeof(ngx_list_part_t));
        if (rest == NULL) {
            return NGX_ERROR;
        }

        rest->elts = (u_char *) part->elts + (i + 1) * list->size;
        rest->nelts = part->nelts - i - 1;
        rest->next = part->next;

        part->next = rest;

        if (list->last == part) {
            list->last = rest;
            list->nalloc = rest->nelts;
        }
    }

    part->nelts = i;

    if (i || before == NULL) {
        return NGX_OK;
    }

    before->next = part->next;

    if (list->last == part) {
        list->last = before;
        list->nalloc = ngx_max(before->nelts, 1);
    }

    return NGX_OK;
}


ngx_table_elt_t *
ngx_http_phrony_headers_add(ngx_http_request_t *r, const char *name,
    size_t len, const ngx_str_t *value)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NULL;
    }

    h->hash = 1;
    h->key.len = len;
    h->key.data = (u_char *) name;
    h->value = *value;
    ngx_http_phrony_single(h);

    return h;
}


ngx_uint_t
ngx_http_phrony_headers_encoded(ngx_http_request_t *r)
{
    return r->headers_out.content_encoding
           && r->headers_out.content_encoding->value.len;
}


void
ngx_http_phrony_headers_identity(ngx_http_request_t *r,
    ngx_table_elt_t *wishes)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

#if (NGX_HTTP_GZIP || NGX_HTTP_HEADERS)

    if (r->headers_in.accept_encoding == NULL) {
        return;
    }

    *wishes = *r->headers_in.accept_encoding;
    ngx_http_phrony_single(wishes);
    r->headers_in.accept_encoding = wishes;

#endif

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (h[i].key.len == sizeof("Accept-Encoding") - 1
                && ngx_strncmp(h[i].lowcase_key, "accept-encoding",
                               sizeof("accept-encoding") - 1)
                   == 0)
            {
                ngx_str_set(&h[i].value, "identity");
            }
        }
    }
}
