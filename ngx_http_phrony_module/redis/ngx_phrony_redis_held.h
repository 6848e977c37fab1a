
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_PHRONY_REDIS_HELD_H_INCLUDED_
#define _NGX_PHRONY_REDIS_HELD_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "ngx_phrony_redis_private.h"


PHRONY_HIDDEN_BEGIN


/*
 * Commands that were refused, surely not carried out, and are to be tried once
 * more in a moment: when their slot has a node that takes commands, but not
 * beyond their deadline.  They stand in no node's queue meanwhile.
 */

typedef struct {
    ngx_phrony_redis_t   *redis;
    ngx_queue_t           commands;
    ngx_event_t           timer;
} ngx_phrony_redis_held_t;


void ngx_phrony_redis_held_init(ngx_phrony_redis_held_t *held,
    ngx_phrony_redis_t *redis);


/* Takes the command over, whose attempt was counted already. */

void ngx_phrony_redis_hold(ngx_phrony_redis_held_t *held,
    ngx_phrony_redis_command_t *command);


/* Tries them now, since a node has become ready. */

void ngx_phrony_redis_held_retry(ngx_phrony_redis_held_t *held);


/* Finishes all of them, UNSENT. */

void ngx_phrony_redis_held_close(ngx_phrony_redis_held_t *held);


PHRONY_HIDDEN_END


#endif /* _NGX_PHRONY_REDIS_HELD_H_INCLUDED_ */
