
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_HTTP_PHRONY_VARIABLES_H_INCLUDED_
#define _NGX_HTTP_PHRONY_VARIABLES_H_INCLUDED_


#include "ngx_http_phrony_request.h"


/* Adds the $phrony_… variables.  Returns NGX_OK or NGX_ERROR. */

ngx_int_t ngx_http_phrony_variables_add(ngx_conf_t *cf);


/*
 * What the variables tell of, also where the phases of the module were not
 * reached: NULL if the request is none that is guarded.
 */

ngx_http_phrony_ctx_t *ngx_http_phrony_variables_ctx(ngx_http_request_t *r);


/* The path's run or, once the answer to a start was read, the new one. */

const phrony_uuid_t *ngx_http_phrony_run_id(ngx_http_phrony_ctx_t *ctx);

/* "admitted" and so on; empty if nothing was decided. */

const phrony_str_t *ngx_http_phrony_outcome_name(
    ngx_http_phrony_outcome_t outcome);


/*
 * The hints of phrony_hint.h, written behind "p"; they return the end.  No
 * text means no internet address, or no such field.
 */

u_char *ngx_http_phrony_client(ngx_http_request_t *r, u_char *p);
u_char *ngx_http_phrony_user_agent(ngx_http_request_t *r, u_char *p);


#endif /* _NGX_HTTP_PHRONY_VARIABLES_H_INCLUDED_ */
