
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_HTTP_PHRONY_EDIT_H_INCLUDED_
#define _NGX_HTTP_PHRONY_EDIT_H_INCLUDED_


#include "ngx_http_phrony_request.h"
#include "core/phrony_rewrite.h"


/*
 * Sets "duplicateDelivery" in the text of an answer to a duplicate.  An answer
 * that is no JSON object passes as it is.
 */

struct ngx_http_phrony_edit_s {
    phrony_rewrite_t   rewrite;
    ngx_chain_t       *free;
    ngx_chain_t       *busy;
};


/*
 * Begins, in the header filter, if the answer says that it is JSON.  Its
 * length, ranges and ETag are no longer what they were.
 * Returns NGX_OK or NGX_ERROR.
 */

ngx_int_t ngx_http_phrony_edit_begin(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx);


/*
 * Makes "out" of "in".  A buffer of that is used up as soon as what was made
 * of it has been sent, so that the upstream waits for a slow client.
 * Returns NGX_OK or NGX_ERROR.
 */

ngx_int_t ngx_http_phrony_edit_chain(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx, ngx_chain_t *in, ngx_chain_t **out);

/* To be called when "out", which may be NULL, has been passed on. */

void ngx_http_phrony_edit_sent(ngx_http_phrony_ctx_t *ctx, ngx_chain_t *out);


#endif /* _NGX_HTTP_PHRONY_EDIT_H_INCLUDED_ */
