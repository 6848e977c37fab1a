
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_HTTP_PHRONY_VARIABLES_H_INCLUDED_
#define _NGX_HTTP_PHRONY_VARIABLES_H_INCLUDED_


#include "ngx_http_phrony_request.h"


/* Adds the $phrony_… variables.  Returns NGX_OK or NGX_ERROR. */

ngx_int_t ngx_http_phrony_variables_add(ngx_conf_t *cf);


#endif /* _NGX_HTTP_PHRONY_VARIABLES_H_INCLUDED_ */
