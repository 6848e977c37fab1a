
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_PHRONY_REDIS_CLUSTER_H_INCLUDED_
#define _NGX_PHRONY_REDIS_CLUSTER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "ngx_phrony_redis_private.h"


PHRONY_HIDDEN_BEGIN


/*
 * A cluster: each slot has a master, as any node of it knows.  Who serves what
 * is asked anew when a node fails, when a command is sent elsewhere, and every
 * five seconds.
 */

extern const ngx_phrony_redis_topology_t  ngx_phrony_redis_cluster;


PHRONY_HIDDEN_END


#endif /* _NGX_PHRONY_REDIS_CLUSTER_H_INCLUDED_ */
