
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_HTTP_PHRONY_LATE_H_INCLUDED_
#define _NGX_HTTP_PHRONY_LATE_H_INCLUDED_


#include "ngx_http_phrony_request.h"


/*
 * Tells what was seen of a run that was not known when it was asked for, once
 * it is known as one of a trigger in the key's scopes.  The settlement has no
 * owner yet.
 */

void ngx_http_phrony_late(ngx_http_phrony_ctx_t *ctx,
    ngx_phrony_settlement_t *settlement);


#endif /* _NGX_HTTP_PHRONY_LATE_H_INCLUDED_ */
