
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_HTTP_PHRONY_STATUS_H_INCLUDED_
#define _NGX_HTTP_PHRONY_STATUS_H_INCLUDED_


#include "ngx_http_phrony_request.h"


/*
 * The content handler of "phrony_status", GET and HEAD: the figures as JSON,
 * as text for Prometheus or OpenMetrics, or a page for people, by "format" in
 * the query or by "Accept".
 */

ngx_int_t ngx_http_phrony_status_handler(ngx_http_request_t *r);


#endif /* _NGX_HTTP_PHRONY_STATUS_H_INCLUDED_ */
