
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_HTTP_PHRONY_COMPAT_H_INCLUDED_
#define _NGX_HTTP_PHRONY_COMPAT_H_INCLUDED_


/* Where the nginx versions that the module supports differ. */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/* Header fields of one name are linked since 1.23.0. */

#if (nginx_version >= 1023000)
#define ngx_http_phrony_single(h)  (h)->next = NULL
#else
#define ngx_http_phrony_single(h)
#endif


#endif /* _NGX_HTTP_PHRONY_COMPAT_H_INCLUDED_ */
