
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_HTTP_PHRONY_ADMIT_H_INCLUDED_
#define _NGX_HTTP_PHRONY_ADMIT_H_INCLUDED_


#include "ngx_http_phrony_request.h"


/*
 * Runs steps 7 and 8 in the PRECONTENT phase, and before them those of steps
 * 1 to 6 that "satisfy any" has left out.
 */

ngx_int_t ngx_http_phrony_admit_handler(ngx_http_request_t *r);


#endif /* _NGX_HTTP_PHRONY_ADMIT_H_INCLUDED_ */
