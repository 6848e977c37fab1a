
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_HTTP_PHRONY_AUTHORIZE_H_INCLUDED_
#define _NGX_HTTP_PHRONY_AUTHORIZE_H_INCLUDED_


#include "ngx_http_phrony_request.h"


/*
 * Steps 1 to 6: is it a route of the API, who asks, and may they.  Fills the
 * context and counts nothing.  Goes on where it had to wait before, and
 * begins anew if it was done, or if the request is another one by now.
 *     NGX_OK     ctx->authorized and ctx->reason tell whether the request
 *                passed, or else why not
 *     NGX_AGAIN  the policy or the store was asked, and has not answered yet
 *     NGX_ERROR
 */

ngx_int_t ngx_http_phrony_authorize(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx);


/*
 * Returns 1 if steps 1 to 6 were begun for the request as it is now, or 0 if
 * an internal redirect has made another one of it since.
 */

ngx_uint_t ngx_http_phrony_same_target(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx);


#endif /* _NGX_HTTP_PHRONY_AUTHORIZE_H_INCLUDED_ */
