
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_HTTP_PHRONY_REDIS_SSL_H_INCLUDED_
#define _NGX_HTTP_PHRONY_REDIS_SSL_H_INCLUDED_


#include "ngx_http_phrony_module.h"


/*
 * Prepares TLS to Redis if the URL asks for it; refuses settings of TLS if it
 * does not, and a verification that has nothing to verify by.
 */

ngx_int_t ngx_http_phrony_redis_ssl_init(ngx_conf_t *cf,
    ngx_http_phrony_redis_conf_t *conf);


#endif /* _NGX_HTTP_PHRONY_REDIS_SSL_H_INCLUDED_ */
