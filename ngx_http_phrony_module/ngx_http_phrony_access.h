
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_HTTP_PHRONY_ACCESS_H_INCLUDED_
#define _NGX_HTTP_PHRONY_ACCESS_H_INCLUDED_


#include "ngx_http_phrony_request.h"


/* Runs steps 1 to 6 in the ACCESS phase. */

ngx_int_t ngx_http_phrony_access_handler(ngx_http_request_t *r);


/*
 * Returns 1 if the request passed steps 1 to 6 as it is now, 0 if not yet, or
 * if an internal redirect has made another one of it since.
 */

ngx_uint_t ngx_http_phrony_authorized(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx);


/*
 * For a request that was decided on, and may have been redirected since: what
 * was decided, and what is held, stays; but where it goes now must be allowed
 * as well.  Returns NGX_OK, or what a phase handler returns that has refused.
 */

ngx_int_t ngx_http_phrony_redirected(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx);


/*
 * Steps 1 to 6: is it a route of the API, who asks, and may they.  Fills the
 * context and counts nothing.
 * Returns NGX_OK: ctx->reason is PHRONY_REASON_NONE if the request passed,
 * else why not; or NGX_ERROR.
 */

ngx_int_t ngx_http_phrony_authorize(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx);


#endif /* _NGX_HTTP_PHRONY_ACCESS_H_INCLUDED_ */
