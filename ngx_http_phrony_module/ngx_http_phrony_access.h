
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_HTTP_PHRONY_ACCESS_H_INCLUDED_
#define _NGX_HTTP_PHRONY_ACCESS_H_INCLUDED_


#include "ngx_http_phrony_request.h"


/* Runs steps 1 to 6 in the ACCESS phase. */

ngx_int_t ngx_http_phrony_access_handler(ngx_http_request_t *r);


/*
 * Takes steps 1 to 6 in a phase, unless the request passed them as it is now.
 * Returns NGX_OK: ctx->authorized tells whether it passed; or what the phase
 * handler is to return.
 */

ngx_int_t ngx_http_phrony_authorize_once(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx);


/*
 * For a request that was decided on, and may have been redirected since: what
 * was decided, and what is held, stays; but where it goes now must be allowed
 * as well.  Returns NGX_OK, or what the phase handler is to return.
 */

ngx_int_t ngx_http_phrony_redirected(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx);


#endif /* _NGX_HTTP_PHRONY_ACCESS_H_INCLUDED_ */
