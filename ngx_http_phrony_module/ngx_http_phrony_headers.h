
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_HTTP_PHRONY_HEADERS_H_INCLUDED_
#define _NGX_HTTP_PHRONY_HEADERS_H_INCLUDED_


#include "ngx_http_phrony_module.h"


/* The request's fields that the module reads, gathered in one pass. */

typedef enum {
    NGX_HTTP_PHRONY_HEADER_KEY = 0,
    NGX_HTTP_PHRONY_HEADER_OVERRIDE,            /* of the method, any name */
    NGX_HTTP_PHRONY_HEADER_CONTENT_TYPE,
    NGX_HTTP_PHRONY_HEADER_CONTENT_ENCODING,
    NGX_HTTP_PHRONY_HEADER_ORIGIN,
    NGX_HTTP_PHRONY_HEADER_REQUEST_METHOD,      /* Access-Control-… */
    NGX_HTTP_PHRONY_HEADER_DUPLICATE,           /* our own annotation */
    NGX_HTTP_PHRONY_HEADER_MAX
} ngx_http_phrony_header_t;


typedef struct {
    ngx_uint_t   count;     /* fields of this name */
    ngx_str_t    value;     /* of the last */
} ngx_http_phrony_header_value_t;


/* Computes the hashes of the names; called once, while nginx is configured. */

void ngx_http_phrony_headers_init(void);

/* Fills NGX_HTTP_PHRONY_HEADER_MAX values. */

void ngx_http_phrony_headers_gather(ngx_http_request_t *r,
    ngx_http_phrony_header_value_t *values);

/*
 * Adds a field to the answer; the value must live as long as the request.
 * Returns the field, or NULL if there is no memory.
 */

ngx_table_elt_t *ngx_http_phrony_headers_add(ngx_http_request_t *r,
    const char *name, size_t len, const ngx_str_t *value);

#define ngx_http_phrony_add_header(r, name, value)                            \
    ngx_http_phrony_headers_add(r, name, sizeof(name) - 1, value)

/*
 * Removes the request's fields of this name, so that the upstream does not get
 * them.  The others stay where they are: nginx points to some of them.
 * Returns NGX_OK, or NGX_ERROR if there is no memory.
 */

ngx_int_t ngx_http_phrony_headers_remove(ngx_http_request_t *r,
    ngx_http_phrony_header_t header);

/* Returns 1 if the answer is encoded, so that it cannot be read, else 0. */

ngx_uint_t ngx_http_phrony_headers_encoded(ngx_http_request_t *r);

/*
 * Asks the upstream for an answer that is not encoded, since it is going to
 * be read; what nginx knows of the client's wishes stays as it is.  That is in
 * "wishes" then, which is to live as long as the request.
 */

void ngx_http_phrony_headers_identity(ngx_http_request_t *r,
    ngx_table_elt_t *wishes);


#endif /* _NGX_HTTP_PHRONY_HEADERS_H_INCLUDED_ */
