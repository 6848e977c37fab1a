
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_HTTP_PHRONY_REFUSE_H_INCLUDED_
#define _NGX_HTTP_PHRONY_REFUSE_H_INCLUDED_


#include "ngx_http_phrony_request.h"


/*
 * Refuses the request: logs and counts it, sends the problem document and
 * finalizes the request.  Returns NGX_DONE, which every phase handler may
 * return, or NGX_ERROR or a status if nothing could be sent.
 */

ngx_int_t ngx_http_phrony_refuse(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx, phrony_reason_t reason);


/* Logs a refusal, or a refusal or replay that a dry run did not make. */

void ngx_http_phrony_log_refusal(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx);


#endif /* _NGX_HTTP_PHRONY_REFUSE_H_INCLUDED_ */
