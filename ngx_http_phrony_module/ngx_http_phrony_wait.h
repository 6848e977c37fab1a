
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_HTTP_PHRONY_WAIT_H_INCLUDED_
#define _NGX_HTTP_PHRONY_WAIT_H_INCLUDED_


#include "ngx_http_phrony_request.h"


/*
 * How a request waits for the store or the policy:
 *
 *     ask() == NGX_AGAIN -> suspend() ... handler -> event -> phases run on
 *                               |
 *                               +---- client gone, terminated -> forget()
 *
 * What is asked may be answered before a phase suspends the request, since a
 * variable may have asked before the phases did.
 */


/*
 * Prepare ctx->lookup or ctx->op, so that the answer resumes the request, ask
 * and return as these do: NGX_OK, NGX_AGAIN, NGX_ERROR, NGX_DECLINED.
 */

ngx_int_t ngx_http_phrony_ask_policy(ngx_http_phrony_ctx_t *ctx);
ngx_int_t ngx_http_phrony_ask_locate(ngx_http_phrony_ctx_t *ctx);
ngx_int_t ngx_http_phrony_ask_admit(ngx_http_phrony_ctx_t *ctx);


/* The same for an op of another kind: which leases were not seen. */

ngx_int_t ngx_http_phrony_ask_suspects(ngx_http_phrony_ctx_t *ctx,
    ngx_phrony_op_t *op);

/*
 * To be returned by a phase handler that has asked: NGX_AGAIN, and the phase
 * runs anew once the answer is there; or NGX_HTTP_INTERNAL_SERVER_ERROR.
 */

ngx_int_t ngx_http_phrony_suspend(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx);


/* What the request waits for is there: the phases run on, in an event. */

void ngx_http_phrony_resume(ngx_http_phrony_ctx_t *ctx);

/* Gives back what was asked and what the answer holds; nothing resumes. */

void ngx_http_phrony_forget(ngx_http_phrony_ctx_t *ctx);


#endif /* _NGX_HTTP_PHRONY_WAIT_H_INCLUDED_ */
