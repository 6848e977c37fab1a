
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_HTTP_PHRONY_SETTLE_H_INCLUDED_
#define _NGX_HTTP_PHRONY_SETTLE_H_INCLUDED_


#include "ngx_http_phrony_request.h"


/*
 * Judges what became of an admitted start and tells the store; does nothing
 * for other requests, and nothing the second time.  Called when the answer's
 * last byte has passed, or else when the request is destroyed.
 */

void ngx_http_phrony_settle(ngx_http_phrony_ctx_t *ctx);


/*
 * Tells the store what the answer to a run's status said: END or SEEN, which
 * is "event" then.  Returns NGX_OK, or NGX_DECLINED if it is not whole, or not
 * about this run.
 */

ngx_int_t ngx_http_phrony_observe(ngx_http_phrony_ctx_t *ctx,
    phrony_answer_t *answer, const phrony_uuid_t *run_id,
    phrony_lease_event_t *event);

/* Tells it that a run was seen, or seen to end. */

void ngx_http_phrony_observed(ngx_http_phrony_ctx_t *ctx,
    const phrony_uuid_t *run_id, phrony_lease_event_t event);

/* Tells it that a lease of unknown outcome may be this run's: END or BIND. */

void ngx_http_phrony_found(ngx_http_phrony_ctx_t *ctx,
    const phrony_uuid_t *lease_id, const phrony_uuid_t *run_id,
    phrony_lease_event_t event);


#endif /* _NGX_HTTP_PHRONY_SETTLE_H_INCLUDED_ */
