
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_HTTP_PHRONY_COPY_H_INCLUDED_
#define _NGX_HTTP_PHRONY_COPY_H_INCLUDED_


#include "ngx_http_phrony_request.h"


/*
 * The answer to a start that has claimed its delivery, copied as it passes by
 * and packed, to be sent again.
 */


/* Begins with what the header tells.  Returns NGX_OK or NGX_ERROR. */

ngx_int_t ngx_http_phrony_copy_begin(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx);


/* Goes on; nothing is copied if nothing was begun, or it becomes too long. */

void ngx_http_phrony_copy_read(ngx_http_phrony_ctx_t *ctx, u_char *data,
    size_t len);


/*
 * The packed answer, which is the request's; of one that cannot be kept the
 * log tells why, and its length is 0.
 */

void ngx_http_phrony_copy_done(ngx_http_phrony_ctx_t *ctx, ngx_str_t *packed);


#endif /* _NGX_HTTP_PHRONY_COPY_H_INCLUDED_ */
