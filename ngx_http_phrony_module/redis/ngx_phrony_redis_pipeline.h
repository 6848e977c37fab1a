
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_PHRONY_REDIS_PIPELINE_H_INCLUDED_
#define _NGX_PHRONY_REDIS_PIPELINE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "ngx_phrony_redis_node.h"


PHRONY_HIDDEN_BEGIN


/* The commands of one node, and how they are written. */


/*
 * Puts a command at the end.  It leaves at the end of this turn of the event
 * loop, a lazy one 2 ms later at the latest, and no handler is called before.
 * Returns NGX_OK, or NGX_DECLINED if the node does not take commands or has
 * too many: then the command is still the caller's.
 */

ngx_int_t ngx_phrony_redis_push(ngx_phrony_redis_node_t *node,
    ngx_phrony_redis_command_t *command);


/* The same, with ASKING in front of it. */

ngx_int_t ngx_phrony_redis_push_asking(ngx_phrony_redis_node_t *node,
    ngx_phrony_redis_command_t *command);


/* Puts a command at the end before the node is ready. */

void ngx_phrony_redis_push_greeting(ngx_phrony_redis_node_t *node,
    ngx_phrony_redis_command_t *command);


/*
 * Sets up the queue and the events of a node that was just made.  Returns
 * NGX_OK, or NGX_ERROR if there is no memory.
 */

ngx_int_t ngx_phrony_redis_pipeline_init(ngx_phrony_redis_node_t *node);


/*
 * Begins on a connection that has been made.  Returns NGX_OK, or NGX_ERROR if
 * there is no memory.
 */

ngx_int_t ngx_phrony_redis_pipeline_open(ngx_phrony_redis_node_t *node);


/* Fails all commands, LOST or UNSENT, and stops timers and events. */

void ngx_phrony_redis_pipeline_close(ngx_phrony_redis_node_t *node);


/* Writes what the socket takes; fails the node if it is broken. */

void ngx_phrony_redis_pipeline_flush(ngx_phrony_redis_node_t *node);


/* Of a connection's write event. */

void ngx_phrony_redis_pipeline_write_handler(ngx_event_t *wev);


PHRONY_HIDDEN_END


#endif /* _NGX_PHRONY_REDIS_PIPELINE_H_INCLUDED_ */
