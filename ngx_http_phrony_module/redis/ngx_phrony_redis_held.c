
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_phrony_redis_held.h"
#include "ngx_phrony_redis_pipeline.h"


/* All the attempts that a command has take the usual time of a command. */

#define NGX_PHRONY_REDIS_HELD_PAUSE  40         /* ms */


static void ngx_phrony_redis_held_handler(ngx_event_t *ev);
static void ngx_phrony_redis_held_try(ngx_phrony_redis_held_t *held,
    ngx_phrony_redis_command_t *command);


void
ngx_phrony_redis_held_init(ngx_phrony_redis_held_t *held,
    ngx_phrony_redis_t *redis)
{
    held->redis = redis;
    ngx_queue_init(&held->commands);

    held->timer.handler = ngx_phrony_redis_held_handler;
    held->timer.data = held;
    held->timer.log = redis->log;
    held->timer.cancelable = 1;
}


void
ngx_phrony_redis_hold(ngx_phrony_redis_held_t *held,
    ngx_phrony_redis_command_t *command)
{
    if (held->redis->closing) {
        ngx_phrony_redis_finish(held->redis, command, NGX_PHRONY_REDIS_UNSENT,
                                NULL);
        return;
    }

    ngx_queue_insert_tail(&held->commands, &command->queue);

    /* a worker does not quit before the client has its answer */

    if (command->waited) {
        held->timer.cancelable = 0;
    }

    if (!held->timer.timer_set) {
        ngx_add_timer(&held->timer, NGX_PHRONY_REDIS_HELD_PAUSE);
    }
}


static void
ngx_phrony_redis_held_handler(ngx_event_t *ev)
{
    ngx_log_debug0(NGX_LOG_DEBUG_EVENT, ev->log, 0, "redis held handler");

    ngx_phrony_redis_held_retry(ev->data);
}


void
ngx_phrony_redis_held_retry(ngx_phrony_redis_held_t *held)
{
    ngx_queue_t   commands, *q;

    if (ngx_queue_empty(&held->commands)) {
        return;
    }

    if (held->timer.timer_set) {
        ngx_del_timer(&held->timer);
    }

    held->timer.cancelable = 1;

    /* those that are kept on, or come meanwhile, are for the next time */

    ngx_queue_init(&commands);
    ngx_queue_add(&commands, &held->commands);
    ngx_queue_init(&held->commands);

    while (!ngx_queue_empty(&commands)) {
        q = ngx_queue_head(&commands);
        ngx_queue_remove(q);

        ngx_phrony_redis_held_try(held,
            ngx_queue_data(q, ngx_phrony_redis_command_t, queue));
    }
}


static void
ngx_phrony_redis_held_try(ngx_phrony_redis_held_t *held,
    ngx_phrony_redis_command_t *command)
{
    ngx_phrony_redis_t       *redis;
    ngx_phrony_redis_node_t  *node;

    redis = held->redis;

    if ((ngx_msec_int_t) (command->deadline - ngx_current_msec) <= 0) {
        ngx_phrony_redis_finish(redis, command, NGX_PHRONY_REDIS_UNSENT,
                                NULL);
        return;
    }

    node = ngx_phrony_redis_route(redis, command->slot);

    if (node && ngx_phrony_redis_push(node, command) == NGX_OK) {
        return;
    }

    ngx_phrony_redis_hold(held, command);
}


void
ngx_phrony_redis_held_close(ngx_phrony_redis_held_t *held)
{
    ngx_queue_t                 *q;
    ngx_phrony_redis_command_t  *command;

    if (held->timer.timer_set) {
        ngx_del_timer(&held->timer);
    }

    while (!ngx_queue_empty(&held->commands)) {
        q = ngx_queue_head(&held->commands);
        ngx_queue_remove(q);

        command = ngx_queue_data(q, ngx_phrony_redis_command_t, queue);

        ngx_phrony_redis_finish(held->redis, command, NGX_PHRONY_REDIS_UNSENT,
                                NULL);
    }
}
