
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_PHRONY_REDIS_SINGLE_H_INCLUDED_
#define _NGX_PHRONY_REDIS_SINGLE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_phrony_redis_private.h"


PHRONY_HIDDEN_BEGIN


/* One server, by host and port or by the path of its socket. */

extern const ngx_phrony_redis_topology_t  ngx_phrony_redis_single;


PHRONY_HIDDEN_END


#endif /* _NGX_PHRONY_REDIS_SINGLE_H_INCLUDED_ */
