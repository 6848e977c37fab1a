
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_PHRONY_REDIS_MAP_H_INCLUDED_
#define _NGX_PHRONY_REDIS_MAP_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "ngx_phrony_redis_member.h"


PHRONY_HIDDEN_BEGIN


/*
 * Which slots are whose, as the nodes of a cluster say: asked of one of them
 * every five seconds, and when something turns out to be otherwise.
 */


/* Sets up a cluster that is zeroed, and begins to ask. */

void ngx_phrony_redis_map_init(ngx_phrony_redis_cluster_t *cluster);


/*
 * Something is not as the map says.  The first time the map is asked for at
 * once, if it was not just now, and again with longer and longer pauses until
 * all is well.
 */

void ngx_phrony_redis_map_want(ngx_phrony_redis_cluster_t *cluster);


/* Asks a member now, or as soon as one is connected. */

void ngx_phrony_redis_map_ask(ngx_phrony_redis_cluster_t *cluster);



PHRONY_HIDDEN_END


#endif /* _NGX_PHRONY_REDIS_MAP_H_INCLUDED_ */
