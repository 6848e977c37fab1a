
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_HTTP_PHRONY_WATCH_H_INCLUDED_
#define _NGX_HTTP_PHRONY_WATCH_H_INCLUDED_


#include "ngx_http_phrony_request.h"
#include "core/phrony_events.h"


/*
 * What the answers about a run say besides its status: it is alive if the
 * upstream lets it go on, and its stream of events tells of its end.  The
 * stream is only watched: not a byte of it is held or changed.
 */

struct ngx_http_phrony_watch_s {
    phrony_events_t   events;
    ngx_msec_t        told;         /* when the run was last told to be seen */
    ngx_uint_t        ended;        /* that it has ended was told */
};


/* Looks at the header of an answer.  Returns NGX_OK or NGX_ERROR. */

ngx_int_t ngx_http_phrony_watch_begin(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx);


/* Looks at what passes of a stream; "in" may be NULL. */

void ngx_http_phrony_watch_read(ngx_http_phrony_ctx_t *ctx, ngx_chain_t *in);


#endif /* _NGX_HTTP_PHRONY_WATCH_H_INCLUDED_ */
