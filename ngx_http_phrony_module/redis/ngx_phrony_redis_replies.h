
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_PHRONY_REDIS_REPLIES_H_INCLUDED_
#define _NGX_PHRONY_REDIS_REPLIES_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "ngx_phrony_redis_node.h"


PHRONY_HIDDEN_BEGIN


/* What a server answers, in the order of the commands. */


/*
 * Reads what has come, and calls handlers.  Whatever no command asked for
 * fails the node.
 */

void ngx_phrony_redis_replies_read(ngx_phrony_redis_node_t *node);


/* The same, though the event loop has not said that something has come. */

void ngx_phrony_redis_replies_poll(ngx_phrony_redis_node_t *node);


/*
 * Fails the node if its oldest command has no answer in time, or else sets the
 * timer for it.
 */

void ngx_phrony_redis_replies_deadline(ngx_phrony_redis_node_t *node);


/* Of a connection's read event. */

void ngx_phrony_redis_replies_read_handler(ngx_event_t *rev);


PHRONY_HIDDEN_END


#endif /* _NGX_PHRONY_REDIS_REPLIES_H_INCLUDED_ */
