
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_HTTP_PHRONY_VERIFY_H_INCLUDED_
#define _NGX_HTTP_PHRONY_VERIFY_H_INCLUDED_


#include "ngx_http_phrony_request.h"


/*
 * Before a start is refused because all slots are taken, the upstream is asked
 * about runs that were not seen for a while ("phrony_verify"):
 *
 *     refused -> suspects -> asked -> one ended, or none left -> decided anew
 *        |          |          |                                   or refused
 *        +----------+----------+---- nothing to ask, a second has passed
 */


/*
 * To be called when a start was decided on, and again when it resumes.
 *     NGX_DECLINED  the decision stands
 *     NGX_OK        it is to be taken once more: a slot was given back
 *     NGX_AGAIN, NGX_HTTP_INTERNAL_SERVER_ERROR
 *                   as ngx_http_phrony_suspend() returns
 */

ngx_int_t ngx_http_phrony_verify(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx);

/* The op of which the request waits for the answer. */

ngx_phrony_op_t *ngx_http_phrony_verify_op(ngx_http_phrony_ctx_t *ctx);

/* The request ends, or goes on without an answer. */

void ngx_http_phrony_verify_forget(ngx_http_phrony_ctx_t *ctx);


/*
 * Look at what a subrequest is answered with.  read() returns 1 if that was
 * asked for here, and is used up, else 0.
 */

void ngx_http_phrony_verify_header(ngx_http_request_t *sr);
ngx_uint_t ngx_http_phrony_verify_read(ngx_http_request_t *sr,
    ngx_chain_t *in);


/*
 * What the subrequest asks for: the id of a run, or NULL if it is none of
 * these, or asks for sessions; and the path, NGX_HTTP_PHRONY_VERIFY_PATH_LEN
 * bytes at most, of which the length is returned.
 */

#define NGX_HTTP_PHRONY_VERIFY_PATH_LEN                                       \
    (sizeof("/v1/agents//sessions?take=50") - 1 + PHRONY_UUID_TEXT_LEN)

const phrony_uuid_t *ngx_http_phrony_verify_run_id(ngx_http_request_t *sr);
size_t ngx_http_phrony_verify_path(ngx_http_request_t *sr, u_char *path);


#endif /* _NGX_HTTP_PHRONY_VERIFY_H_INCLUDED_ */
