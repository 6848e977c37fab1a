
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_HTTP_PHRONY_INSTANCE_H_INCLUDED_
#define _NGX_HTTP_PHRONY_INSTANCE_H_INCLUDED_


#include "ngx_http_phrony_module.h"


/*
 * The value of $request_id, by which a client's problem document and the
 * operator's log name the same request.  Where nobody has asked for it
 * before, it is given here, from random bytes that OpenSSL made in bulk: one
 * at a time they cost more than the rest of a refusal.
 * Returns NULL if there is none.
 */

ngx_http_variable_value_t *ngx_http_phrony_request_id(ngx_http_request_t *r);


#endif /* _NGX_HTTP_PHRONY_INSTANCE_H_INCLUDED_ */
