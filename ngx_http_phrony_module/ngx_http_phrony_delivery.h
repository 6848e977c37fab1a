
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_HTTP_PHRONY_DELIVERY_H_INCLUDED_
#define _NGX_HTTP_PHRONY_DELIVERY_H_INCLUDED_


#include "ngx_http_phrony_request.h"


/*
 * The delivery that a start belongs to: which, what its body was, and what
 * the upstream is told of it.
 */


/* The setter of "phrony_delivery_id", and its default: NGX_CONF_OK or not. */

char *ngx_http_phrony_delivery_ids(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_phrony_delivery_default(ngx_conf_t *cf,
    ngx_http_phrony_loc_conf_t *conf);


/*
 * Reads the delivery id of a start, if it has one, into ctx->op.delivery.
 * Returns NGX_OK, NGX_DECLINED if the id is not well-formed, or NGX_ERROR.
 */

ngx_int_t ngx_http_phrony_delivery_identify(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx);


/* Notes the SHA-256 of the body; nothing without an id.  NGX_OK, NGX_ERROR. */

ngx_int_t ngx_http_phrony_delivery_fingerprint(ngx_http_phrony_ctx_t *ctx,
    const phrony_str_t *body);


/* Tells the upstream of what the start is a duplicate.  NGX_OK, NGX_ERROR. */

ngx_int_t ngx_http_phrony_delivery_annotate(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx);


#endif /* _NGX_HTTP_PHRONY_DELIVERY_H_INCLUDED_ */
