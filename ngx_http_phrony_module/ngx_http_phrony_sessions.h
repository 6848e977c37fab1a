
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_HTTP_PHRONY_SESSIONS_H_INCLUDED_
#define _NGX_HTTP_PHRONY_SESSIONS_H_INCLUDED_


#include "ngx_http_phrony_ask.h"


/*
 * Looks among an agent's sessions for runs that starts of unknown outcome may
 * have started, and tells the store.  What the list does not surely show
 * changes nothing.  Adds to "freed" the slots that may be given back by that:
 * only the store knows which runs were known.
 * Returns NGX_OK, or NGX_DECLINED if the answer is no such list.
 */

ngx_int_t ngx_http_phrony_sessions(ngx_http_phrony_ask_t *ask,
    ngx_phrony_suspects_t *suspects, ngx_uint_t *freed);


#endif /* _NGX_HTTP_PHRONY_SESSIONS_H_INCLUDED_ */
