
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_phrony_redis_pipeline.h"


#define NGX_PHRONY_REDIS_LAZY  2                /* ms */


static void ngx_phrony_redis_mark(ngx_phrony_redis_node_t *node);
static void ngx_phrony_redis_reset(ngx_phrony_redis_node_t *node);
static void ngx_phrony_redis_append(ngx_phrony_redis_node_t *node,
    ngx_phrony_redis_command_t *command);
static void ngx_phrony_redis_flush_handler(ngx_event_t *ev);
static void ngx_phrony_redis_lazy_handler(ngx_event_t *ev);
static void ngx_phrony_redis_copy(ngx_phrony_redis_node_t *node);
static ngx_int_t ngx_phrony_redis_write(ngx_phrony_redis_node_t *node);


ngx_int_t
ngx_phrony_redis_pipeline_init(ngx_phrony_redis_node_t *node)
{
    node->flush.handler = ngx_phrony_redis_flush_handler;
    node->flush.data = node;
    node->flush.log = &node->log;

    node->lazy.handler = ngx_phrony_redis_lazy_handler;
    node->lazy.data = node;
    node->lazy.log = &node->log;
    node->lazy.cancelable = 1;

    node->out = ngx_alloc(NGX_PHRONY_REDIS_BUFFER, &node->log);

    ngx_phrony_redis_reset(node);

    return node->out ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_phrony_redis_pipeline_open(ngx_phrony_redis_node_t *node)
{
    static const phrony_resp_limits_t  limits = {
        NGX_PHRONY_REDIS_REPLY_BYTES,
        NGX_PHRONY_REDIS_REPLY_ELEMENTS
    };

    node->reader = phrony_resp_reader_create(&limits);

    return node->reader ? NGX_OK : NGX_ERROR;
}


void
ngx_phrony_redis_pipeline_close(ngx_phrony_redis_node_t *node)
{
    uint64_t                     exposed;
    ngx_queue_t                  failed, *q;
    ngx_phrony_redis_command_t  *command;

    if (node->flush.posted) {
        ngx_delete_posted_event(&node->flush);
    }

    if (node->lazy.timer_set) {
        ngx_del_timer(&node->lazy);
    }

    if (node->reader != node->reading) {
        phrony_resp_reader_free(node->reader);
    }

    node->reader = NULL;

    exposed = node->exposed;

    ngx_phrony_redis_mark(node);

    ngx_queue_init(&failed);
    ngx_queue_add(&failed, &node->commands);

    ngx_phrony_redis_reset(node);

    /* a handler may send commands, but not to this node, which is closed */

    while (!ngx_queue_empty(&failed)) {
        q = ngx_queue_head(&failed);
        command = ngx_queue_data(q, ngx_phrony_redis_command_t, queue);

        ngx_queue_remove(q);

        ngx_phrony_redis_finish(node->redis, command,
                                (command->position < exposed)
                                ? NGX_PHRONY_REDIS_LOST
                                : NGX_PHRONY_REDIS_UNSENT,
                                NULL);
    }
}


/* Gives a position to the commands of which nothing was copied. */

static void
ngx_phrony_redis_mark(ngx_phrony_redis_node_t *node)
{
    ngx_queue_t                 *q;
    ngx_phrony_redis_command_t  *command;

    q = node->unsent;

    if (node->offset) {
        q = ngx_queue_next(q);
    }

    for ( /* void */ ;
         q != ngx_queue_sentinel(&node->commands);
         q = ngx_queue_next(q))
    {
        command = ngx_queue_data(q, ngx_phrony_redis_command_t, queue);
        command->position = node->exposed;
    }
}


static void
ngx_phrony_redis_reset(ngx_phrony_redis_node_t *node)
{
    ngx_queue_init(&node->commands);

    node->unsent = ngx_queue_sentinel(&node->commands);
    node->ncommands = 0;
    node->nwaited = 0;
    node->nbytes = 0;

    node->offset = 0;
    node->copied = 0;
    node->exposed = 0;
    node->out_pos = node->out;
    node->out_last = node->out;
}


ngx_int_t
ngx_phrony_redis_push(ngx_phrony_redis_node_t *node,
    ngx_phrony_redis_command_t *command)
{
    if (!ngx_phrony_redis_node_ready(node)
        || node->ncommands >= NGX_PHRONY_REDIS_MAX_QUEUED
        || command->len > NGX_PHRONY_REDIS_MAX_BYTES - node->nbytes)
    {
        return NGX_DECLINED;
    }

    ngx_phrony_redis_append(node, command);

    if (!node->timer.timer_set) {
        ngx_add_timer(&node->timer, node->timeout);
    }

    return NGX_OK;
}


ngx_int_t
ngx_phrony_redis_push_asking(ngx_phrony_redis_node_t *node,
    ngx_phrony_redis_command_t *command)
{
    ngx_phrony_redis_command_t  *asking;
    static const phrony_str_t    argv[] = { phrony_str("ASKING") };

    if (node->ncommands + 2 > NGX_PHRONY_REDIS_MAX_QUEUED) {
        return NGX_DECLINED;
    }

    asking = ngx_phrony_redis_format(node->redis, 1, argv, 0);
    if (asking == NULL) {
        return NGX_DECLINED;
    }

    asking->own = 1;
    asking->lazy = 1;

    if (ngx_phrony_redis_push(node, asking) != NGX_OK) {
        ngx_phrony_redis_free(node->redis, asking);
        return NGX_DECLINED;
    }

    /* if this one is declined for its length, ASKING does no harm */

    return ngx_phrony_redis_push(node, command);
}


void
ngx_phrony_redis_push_greeting(ngx_phrony_redis_node_t *node,
    ngx_phrony_redis_command_t *command)
{
    command->own = 1;

    ngx_phrony_redis_append(node, command);
}


static void
ngx_phrony_redis_append(ngx_phrony_redis_node_t *node,
    ngx_phrony_redis_command_t *command)
{
    command->expires = ngx_current_msec + node->timeout;

    ngx_queue_insert_tail(&node->commands, &command->queue);

    if (node->unsent == ngx_queue_sentinel(&node->commands)) {
        node->unsent = &command->queue;
    }

    node->ncommands++;
    node->nbytes += command->len;

    if (command->waited) {
        command->queued = ngx_phrony_histogram_clock();

        node->nwaited++;
        node->timer.cancelable = 0;
    }

    if (node->flush.posted) {
        return;
    }

    if (!command->lazy) {
        node->postponed = 0;
        ngx_post_event(&node->flush, &ngx_posted_events);
        return;
    }

    if (!node->lazy.timer_set) {
        ngx_add_timer(&node->lazy, NGX_PHRONY_REDIS_LAZY);
    }
}


static void
ngx_phrony_redis_flush_handler(ngx_event_t *ev)
{
    ngx_phrony_redis_node_t  *node;

    node = ev->data;

    ngx_log_debug2(NGX_LOG_DEBUG_EVENT, &node->log, 0,
                   "redis flush: %ui commands, postponed:%d",
                   node->ncommands, node->postponed);

    /*
     * Events that were posted behind this one in the same turn may have
     * something to send as well: they go first, once.
     */

    if (!node->postponed && !ngx_queue_empty(&ngx_posted_events)) {
        node->postponed = 1;
        ngx_post_event(ev, &ngx_posted_events);
        return;
    }

    ngx_phrony_redis_pipeline_flush(node);
}


static void
ngx_phrony_redis_lazy_handler(ngx_event_t *ev)
{
    ngx_phrony_redis_node_t  *node;

    node = ev->data;

    ngx_log_debug1(NGX_LOG_DEBUG_EVENT, &node->log, 0,
                   "redis lazy flush: %ui commands", node->ncommands);

    ngx_phrony_redis_pipeline_flush(node);
}


void
ngx_phrony_redis_pipeline_write_handler(ngx_event_t *wev)
{
    ngx_connection_t         *c;
    ngx_phrony_redis_node_t  *node;

    c = wev->data;
    node = c->data;

    ngx_log_debug1(NGX_LOG_DEBUG_EVENT, &node->log, 0,
                   "redis write: %ui commands", node->ncommands);

    /*
     * An edge-triggered socket that can be read is reported as writable as
     * well: then nothing waits for it, and what is queued is to leave with
     * others.
     */

    if (node->out_pos == node->out_last) {

        if (ngx_handle_write_event(wev, 0) != NGX_OK) {
            ngx_phrony_redis_node_fail(node, "write error");
        }

        return;
    }

    ngx_phrony_redis_pipeline_flush(node);
}


void
ngx_phrony_redis_pipeline_flush(ngx_phrony_redis_node_t *node)
{
    ngx_int_t  rc;

    if (node->lazy.timer_set) {
        ngx_del_timer(&node->lazy);
    }

    node->log.action = "writing to redis";

    do {
        ngx_phrony_redis_copy(node);

        rc = ngx_phrony_redis_write(node);

    } while (rc == NGX_OK);

    if (rc == NGX_ERROR
        || ngx_handle_write_event(node->connection->write, 0) != NGX_OK)
    {
        ngx_phrony_redis_node_fail(node, "write error");
    }
}


/* Copies what there is room for behind what has not been written yet. */

static void
ngx_phrony_redis_copy(ngx_phrony_redis_node_t *node)
{
    size_t                       size;
    ngx_phrony_redis_command_t  *command;

    if (node->out_pos == node->out_last) {
        node->out_pos = node->out;
        node->out_last = node->out;
    }

    while (node->unsent != ngx_queue_sentinel(&node->commands)) {

        command = ngx_queue_data(node->unsent, ngx_phrony_redis_command_t,
                                 queue);

        size = node->out + NGX_PHRONY_REDIS_BUFFER - node->out_last;
        size = ngx_min(size, command->len - node->offset);

        if (size == 0) {
            return;
        }

        if (node->offset == 0) {
            command->position = node->copied;
        }

        node->out_last = ngx_cpymem(node->out_last,
                                    command->bytes + node->offset, size);
        node->copied += size;
        node->offset += size;

        if (node->offset < command->len) {
            return;
        }

        node->offset = 0;
        node->unsent = ngx_queue_next(node->unsent);
    }
}


/*
 * Returns NGX_OK if something was written and there may be room for more,
 * NGX_AGAIN if nothing is left or the socket takes nothing, or NGX_ERROR.
 */

static ngx_int_t
ngx_phrony_redis_write(ngx_phrony_redis_node_t *node)
{
    ssize_t            n;
    ngx_connection_t  *c;

    c = node->connection;

    if (node->out_pos == node->out_last || !c->write->ready) {
        return NGX_AGAIN;
    }

#if (NGX_SSL)

    /* a record may be written, in part or wholly, before OpenSSL says so */

    if (c->ssl) {
        node->exposed = node->copied;
    }

#endif

    n = c->send(c, node->out_pos, node->out_last - node->out_pos);

    if (n == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (n == NGX_AGAIN || n == 0) {
        return NGX_AGAIN;
    }

    node->out_pos += n;

    node->exposed = ngx_max(node->exposed,
                            node->copied - (node->out_last - node->out_pos));

    return NGX_OK;
}
