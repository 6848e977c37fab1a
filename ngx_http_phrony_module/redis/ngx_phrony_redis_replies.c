
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_phrony_redis_pipeline.h"
#include "ngx_phrony_redis_replies.h"


static ngx_int_t ngx_phrony_redis_receive(ngx_phrony_redis_node_t *node);
static void ngx_phrony_redis_decode(ngx_phrony_redis_node_t *node,
    size_t len);
static void ngx_phrony_redis_dispatch(ngx_phrony_redis_node_t *node,
    const phrony_resp_t *reply);
static ngx_phrony_redis_command_t *ngx_phrony_redis_oldest(
    ngx_phrony_redis_node_t *node);
static ngx_phrony_redis_command_t *ngx_phrony_redis_pop(
    ngx_phrony_redis_node_t *node);
static ngx_uint_t ngx_phrony_redis_refused(ngx_phrony_redis_node_t *node,
    ngx_phrony_redis_command_t *command, const phrony_resp_t *reply);
static ngx_int_t ngx_phrony_redis_make_eval(ngx_phrony_redis_t *redis,
    ngx_phrony_redis_command_t *command);
static ngx_msec_int_t ngx_phrony_redis_left(ngx_phrony_redis_node_t *node);


void
ngx_phrony_redis_replies_read_handler(ngx_event_t *rev)
{
    ngx_connection_t         *c;
    ngx_phrony_redis_node_t  *node;

    c = rev->data;
    node = c->data;

    ngx_log_debug1(NGX_LOG_DEBUG_EVENT, &node->log, 0,
                   "redis read: %ui commands", node->ncommands);

    if (c->close) {
        node->redis->closing = 1;
        ngx_phrony_redis_node_fail(node, "shutdown timeout");
        return;
    }

    ngx_phrony_redis_replies_read(node);
}


void
ngx_phrony_redis_replies_read(ngx_phrony_redis_node_t *node)
{
    ngx_int_t            rc;
    ngx_phrony_redis_t  *redis;

    redis = node->redis;

    node->busy++;
    node->log.action = "reading from redis";

    do {
        rc = ngx_phrony_redis_receive(node);

    } while (rc == NGX_OK && node->connection->read->ready);

    if (rc != NGX_ERROR
        && ngx_handle_read_event(node->connection->read, 0) != NGX_OK)
    {
        ngx_phrony_redis_node_fail(node, "read error");
    }

    if (redis->answered) {
        (void) ngx_atomic_fetch_add(&redis->counters->commands,
                                    redis->answered);
        redis->answered = 0;
    }

    ngx_phrony_redis_node_release(node);
}


void
ngx_phrony_redis_replies_poll(ngx_phrony_redis_node_t *node)
{
    ngx_event_t  *rev;

    rev = node->connection->read;

    rev->ready = 1;
    rev->available = -1;

    ngx_phrony_redis_replies_read(node);
}


/*
 * Returns NGX_OK, NGX_AGAIN if nothing more has come, or NGX_ERROR if the
 * connection is not what it was any more.
 */

static ngx_int_t
ngx_phrony_redis_receive(ngx_phrony_redis_node_t *node)
{
    ssize_t                n;
    ngx_connection_t      *c;
    phrony_resp_reader_t  *reader;

    c = node->connection;
    reader = node->reader;

    n = c->recv(c, node->redis->buffer, NGX_PHRONY_REDIS_BUFFER);

    if (n == NGX_AGAIN) {
        return NGX_AGAIN;
    }

    if (n == 0 || n == NGX_ERROR) {
        ngx_phrony_redis_node_fail(node, n ? "read error"
                                           : "closed by the server");
        return NGX_ERROR;
    }

    node->reading = reader;

    ngx_phrony_redis_decode(node, n);

    node->reading = NULL;

    if (node->reader == reader) {
        return NGX_OK;
    }

    phrony_resp_reader_free(reader);

    return NGX_ERROR;
}


static void
ngx_phrony_redis_decode(ngx_phrony_redis_node_t *node, size_t len)
{
    int                    rc;
    const phrony_resp_t   *reply;
    phrony_resp_reader_t  *reader;

    reader = node->reader;

    rc = phrony_resp_feed(reader, node->redis->buffer, len);

    while (rc == 0) {
        rc = phrony_resp_next(reader, &reply);

        if (rc != 1) {
            break;
        }

        rc = 0;
        ngx_phrony_redis_dispatch(node, reply);

        if (node->reader != reader) {
            return;
        }
    }

    if (rc == -1) {
        ngx_phrony_redis_node_fail(node, phrony_resp_reader_error(reader));
    }
}


static void
ngx_phrony_redis_dispatch(ngx_phrony_redis_node_t *node,
    const phrony_resp_t *reply)
{
    ngx_int_t                    rc;
    phrony_resp_reader_t        *reader;
    ngx_phrony_redis_command_t  *command;

    rc = NGX_DECLINED;
    reader = node->reader;

    if (node->hooks->pushed) {
        rc = node->hooks->pushed(node, reply);
    }

    if (rc == NGX_OK || node->reader != reader) {
        return;
    }

    command = (rc == NGX_DECLINED) ? ngx_phrony_redis_pop(node) : NULL;

    if (command == NULL) {
        ngx_phrony_redis_node_fail(node, "a reply that nobody asked for");
        return;
    }

    if (reply->type != PHRONY_RESP_ERROR
        || !ngx_phrony_redis_refused(node, command, reply))
    {
        ngx_phrony_redis_finish(node->redis, command,
                                NGX_PHRONY_REDIS_ANSWERED, reply);
    }

    if (node->draining && node->ncommands == 0 && node->reader == reader) {
        ngx_phrony_redis_node_fail(node, node->draining);
    }
}


static ngx_phrony_redis_command_t *
ngx_phrony_redis_oldest(ngx_phrony_redis_node_t *node)
{
    return ngx_queue_data(ngx_queue_head(&node->commands),
                          ngx_phrony_redis_command_t, queue);
}


/* Takes the oldest command out, or returns NULL if it was not sent yet. */

static ngx_phrony_redis_command_t *
ngx_phrony_redis_pop(ngx_phrony_redis_node_t *node)
{
    ngx_phrony_redis_command_t  *command;

    if (ngx_queue_empty(&node->commands)
        || node->unsent == ngx_queue_head(&node->commands))
    {
        return NULL;
    }

    command = ngx_phrony_redis_oldest(node);

    if (command->position + command->len > node->exposed) {
        return NULL;
    }

    ngx_queue_remove(&command->queue);

    node->ncommands--;
    node->nbytes -= command->len;

    if (command->waited) {
        node->nwaited--;
        node->timer.cancelable = (node->nwaited == 0);
    }

    return command;
}


/* Returns 1 if the command goes on in spite of the error, else 0. */

static ngx_uint_t
ngx_phrony_redis_refused(ngx_phrony_redis_node_t *node,
    ngx_phrony_redis_command_t *command, const phrony_resp_t *reply)
{
    ngx_phrony_redis_t  *redis;

    redis = node->redis;

    if (command->own) {
        return 0;
    }

    if (command->script == NULL
        || command->evaled
        || !phrony_resp_is_error(reply, "NOSCRIPT"))
    {
        return redis->topology->refused(node, command, reply);
    }

    ngx_log_debug1(NGX_LOG_DEBUG_EVENT, &node->log, 0,
                   "redis script \"%s\" is unknown", command->script->name);

    (void) ngx_atomic_fetch_add(&redis->counters->reloaded, 1);

    if (ngx_phrony_redis_make_eval(redis, command) != NGX_OK
        || ngx_phrony_redis_push(node, command) != NGX_OK)
    {
        ngx_phrony_redis_finish(redis, command, NGX_PHRONY_REDIS_UNSENT,
                                NULL);
    }

    return 1;
}


/* Of EVALSHA and the SHA1 makes EVAL and the script, all else is the same. */

static ngx_int_t
ngx_phrony_redis_make_eval(ngx_phrony_redis_t *redis,
    ngx_phrony_redis_command_t *command)
{
    size_t                 head, skip, size;
    u_char                *bytes, *p, *last;
    const phrony_script_t *script;
    static const char      name[] = "$7\r\nEVALSHA\r\n$40\r\n";

    script = command->script;
    last = command->bytes + command->len;

    p = ngx_strlchr(command->bytes, last, LF);
    head = p ? p + 1 - command->bytes : 0;
    skip = sizeof(name) - 1 + PHRONY_SCRIPT_SHA1_LEN + sizeof(CRLF) - 1;

    if (p == NULL
        || (size_t) (last - p - 1) < skip
        || ngx_memcmp(p + 1, name, sizeof(name) - 1) != 0)
    {
        ngx_log_error(NGX_LOG_ALERT, redis->log, 0,
                      "redis command of script \"%s\" is not EVALSHA",
                      script->name);
        return NGX_ERROR;
    }

    size = command->len - skip + sizeof("$4\r\nEVAL\r\n$\r\n\r\n") - 1
           + NGX_SIZE_T_LEN + script->text.len;

    bytes = ngx_alloc(size, redis->log);
    if (bytes == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(bytes, command->bytes, head);
    p = ngx_sprintf(p, "$4\r\nEVAL\r\n$%uz\r\n", script->text.len);
    p = ngx_cpymem(p, script->text.data, script->text.len);
    *p++ = CR;
    *p++ = LF;

    size = command->len - head - skip;
    p = ngx_cpymem(p, last - size, size);

    command->bytes = bytes;
    command->len = p - bytes;
    command->evaled = 1;

    return NGX_OK;
}


void
ngx_phrony_redis_replies_deadline(ngx_phrony_redis_node_t *node)
{
    node->busy++;

    /* it may have come while this process was busy with something else */

    if (ngx_phrony_redis_left(node) <= 0) {
        ngx_phrony_redis_replies_poll(node);
    }

    if (ngx_phrony_redis_left(node) <= 0) {
        ngx_phrony_redis_node_count(node, &node->redis->counters->timeouts);
        ngx_phrony_redis_node_fail(node, "no answer in time");
    }

    if (node->ncommands && !node->timer.timer_set) {
        ngx_add_timer(&node->timer, ngx_phrony_redis_left(node));
    }

    ngx_phrony_redis_node_release(node);
}


/* How long the oldest command may wait still; 1 if there is none. */

static ngx_msec_int_t
ngx_phrony_redis_left(ngx_phrony_redis_node_t *node)
{
    if (node->ncommands == 0) {
        return 1;
    }

    return ngx_phrony_redis_oldest(node)->expires - ngx_current_msec;
}
