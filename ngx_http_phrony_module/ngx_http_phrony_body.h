
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_HTTP_PHRONY_BODY_H_INCLUDED_
#define _NGX_HTTP_PHRONY_BODY_H_INCLUDED_


#include "ngx_http_phrony_request.h"


/*
 * What can be said of a start's body before it is read: by its type, its
 * encoding and its declared length.  Returns a reason to refuse it, or
 * PHRONY_REASON_NONE.
 */

phrony_reason_t ngx_http_phrony_body_declared(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx);


/*
 * Checks the body that nginx has read, wherever it keeps it, and notes the
 * fingerprint of one that is good if the start has a delivery id.
 * Returns NGX_OK and sets ctx->reason, or NGX_ERROR.
 */

ngx_int_t ngx_http_phrony_body_received(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx);


#endif /* _NGX_HTTP_PHRONY_BODY_H_INCLUDED_ */
