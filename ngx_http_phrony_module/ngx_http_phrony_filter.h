
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_HTTP_PHRONY_FILTER_H_INCLUDED_
#define _NGX_HTTP_PHRONY_FILTER_H_INCLUDED_


#include "ngx_http_phrony_request.h"


/* Puts the module's filters before those that are there. */

void ngx_http_phrony_filter_init(void);


#endif /* _NGX_HTTP_PHRONY_FILTER_H_INCLUDED_ */
