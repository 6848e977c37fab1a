
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_PHRONY_REDIS_CHANNEL_H_INCLUDED_
#define _NGX_PHRONY_REDIS_CHANNEL_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "ngx_phrony_redis_node.h"


PHRONY_HIDDEN_BEGIN


/*
 * The channel by which a server says which keys have changed: a connection of
 * its own beside that for commands.  Redis, "Client-side caching",
 * broadcasting mode, with RESP 2.
 */

typedef struct ngx_phrony_redis_channel_s  ngx_phrony_redis_channel_t;


/*
 * Makes a channel to a server, host and port as for a node, and connects it.
 * From now on invalidations are "live" only while it stands.  Returns NULL if
 * there is no memory, or if nobody wants invalidations.
 */

ngx_phrony_redis_channel_t *ngx_phrony_redis_channel_create(
    ngx_phrony_redis_t *redis, const ngx_str_t *host, in_port_t port);


/* Closes it; NULL is taken as well. */

void ngx_phrony_redis_channel_destroy(ngx_phrony_redis_channel_t *channel);


PHRONY_HIDDEN_END


#endif /* _NGX_PHRONY_REDIS_CHANNEL_H_INCLUDED_ */
