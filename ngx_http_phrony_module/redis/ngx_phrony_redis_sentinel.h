
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_PHRONY_REDIS_SENTINEL_H_INCLUDED_
#define _NGX_PHRONY_REDIS_SENTINEL_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "ngx_phrony_redis_private.h"


PHRONY_HIDDEN_BEGIN


/*
 * A master that sentinels name.  All of them are asked several times a second;
 * the one that knows the latest failover is believed, unless more than half of
 * all that are listed agree on another master and it has nothing new to say:
 * then they were told of that master anew, and it was not.
 */

extern const ngx_phrony_redis_topology_t  ngx_phrony_redis_sentinel;


PHRONY_HIDDEN_END


#endif /* _NGX_PHRONY_REDIS_SENTINEL_H_INCLUDED_ */
