
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_HTTP_PHRONY_REPLAY_H_INCLUDED_
#define _NGX_HTTP_PHRONY_REPLAY_H_INCLUDED_


#include "ngx_http_phrony_request.h"


/*
 * Sends the answer that was stored for this delivery, as that of a duplicate,
 * and finalizes the request.  Returns NGX_DONE, or NGX_ERROR or a status if
 * nothing could be sent.
 */

ngx_int_t ngx_http_phrony_replay(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx);


#endif /* _NGX_HTTP_PHRONY_REPLAY_H_INCLUDED_ */
