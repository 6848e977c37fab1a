
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_phrony_redis_connect.h"
#include "ngx_phrony_redis_greeting.h"
#include "ngx_phrony_redis_node.h"
#include "ngx_phrony_redis_pipeline.h"
#include "ngx_phrony_redis_replies.h"


#define NGX_PHRONY_REDIS_PAUSE_FIRST   50       /* ms */
#define NGX_PHRONY_REDIS_PAUSE_LAST    1000
#define NGX_PHRONY_REDIS_PAUSE_JITTER  10

#define NGX_PHRONY_REDIS_STOOD         1000     /* then it counts as sound */


static u_char *ngx_phrony_redis_node_name(ngx_phrony_redis_node_t *node,
    u_char *p);
static u_char *ngx_phrony_redis_log_error(ngx_log_t *log, u_char *buf,
    size_t len);
static void ngx_phrony_redis_timer_handler(ngx_event_t *ev);
static void ngx_phrony_redis_shut(ngx_phrony_redis_node_t *node);
static void ngx_phrony_redis_log_failure(ngx_phrony_redis_node_t *node,
    const char *why);
static ngx_uint_t ngx_phrony_redis_is_news(ngx_phrony_redis_node_t *node,
    const char *why);
static ngx_msec_t ngx_phrony_redis_pause(ngx_phrony_redis_node_t *node);


ngx_phrony_redis_node_t *
ngx_phrony_redis_node_create(ngx_phrony_redis_t *redis,
    ngx_phrony_redis_purpose_t purpose, const ngx_str_t *host,
    in_port_t port, const ngx_phrony_redis_hooks_t *hooks)
{
    size_t                    size;
    u_char                   *p;
    ngx_phrony_redis_node_t  *node;

    size = sizeof(ngx_phrony_redis_node_t) + host->len
           + sizeof("unix:[]:65535") - 1 + host->len;

    node = ngx_calloc(size, redis->log);
    if (node == NULL) {
        return NULL;
    }

    node->redis = redis;
    node->hooks = hooks;
    node->purpose = purpose;
    node->port = port;
    node->timeout = redis->conf->timeout;
    node->auth = purpose != NGX_PHRONY_REDIS_SENTINEL
                 && redis->conf->password.len != 0;

    p = (u_char *) node + sizeof(ngx_phrony_redis_node_t);

    node->host.data = p;
    node->host.len = host->len;
    p = ngx_cpymem(p, host->data, host->len);

    node->name.data = p;
    node->name.len = ngx_phrony_redis_node_name(node, p) - p;

    node->log = *redis->log;
    node->log.handler = ngx_phrony_redis_log_error;
    node->log.data = node;
    node->log.action = "connecting to redis";
    node->log_level = node->log.log_level;

    node->timer.handler = ngx_phrony_redis_timer_handler;
    node->timer.data = node;
    node->timer.log = &node->log;
    node->timer.cancelable = 1;

    if (ngx_phrony_redis_pipeline_init(node) != NGX_OK) {
        ngx_free(node);
        return NULL;
    }

    return node;
}


static u_char *
ngx_phrony_redis_node_name(ngx_phrony_redis_node_t *node, u_char *p)
{
    ngx_str_t  *host;

    host = &node->host;

    if (node->port == 0) {
        return ngx_sprintf(p, "unix:%V", host);
    }

    if (ngx_strlchr(host->data, host->data + host->len, ':')) {
        return ngx_sprintf(p, "[%V]:%ui", host, (ngx_uint_t) node->port);
    }

    return ngx_sprintf(p, "%V:%ui", host, (ngx_uint_t) node->port);
}


static u_char *
ngx_phrony_redis_log_error(ngx_log_t *log, u_char *buf, size_t len)
{
    ngx_phrony_redis_node_t  *node;

    node = log->data;

    return ngx_snprintf(buf, len, " while %s, redis: %V", log->action,
                        &node->name);
}


void
ngx_phrony_redis_node_destroy(ngx_phrony_redis_node_t *node)
{
    ngx_log_debug0(NGX_LOG_DEBUG_EVENT, &node->log, 0, "redis node destroy");

    node->busy++;
    node->doomed = 1;

    /* what has been queued goes out, and what has come is not lost */

    if (node->state == NGX_PHRONY_REDIS_READY) {
        ngx_phrony_redis_pipeline_flush(node);
    }

    if (node->state == NGX_PHRONY_REDIS_READY && node->reading == NULL) {
        ngx_phrony_redis_replies_poll(node);
    }

    ngx_phrony_redis_node_close(node);
    ngx_phrony_redis_node_release(node);
}


void
ngx_phrony_redis_node_release(ngx_phrony_redis_node_t *node)
{
    node->busy--;

    if (node->busy || !node->doomed) {
        return;
    }

    ngx_free(node->out);
    ngx_free(node);
}


void
ngx_phrony_redis_node_connect(ngx_phrony_redis_node_t *node)
{
    if (node->state > NGX_PHRONY_REDIS_DOWN
        || node->doomed
        || node->redis->closing)
    {
        return;
    }

    if (node->timer.timer_set) {
        ngx_del_timer(&node->timer);
    }

    ngx_add_timer(&node->timer, node->redis->conf->connect_timeout);

    ngx_phrony_redis_connect(node);
}


void
ngx_phrony_redis_node_connected(ngx_phrony_redis_node_t *node)
{
    ngx_log_debug0(NGX_LOG_DEBUG_EVENT, &node->log, 0, "redis connected");

    node->state = NGX_PHRONY_REDIS_GREETING;

    if (ngx_phrony_redis_pipeline_open(node) != NGX_OK
        || ngx_phrony_redis_greet(node) != NGX_OK)
    {
        ngx_phrony_redis_node_fail(node, "no memory");
        return;
    }

    node->connection->read->handler = ngx_phrony_redis_replies_read_handler;
    node->connection->write->handler = ngx_phrony_redis_pipeline_write_handler;
}


void
ngx_phrony_redis_node_greeted(ngx_phrony_redis_node_t *node)
{
    ngx_uint_t  level;

    ngx_log_debug0(NGX_LOG_DEBUG_EVENT, &node->log, 0, "redis ready");

    if (node->timer.timer_set) {
        ngx_del_timer(&node->timer);
    }

    node->state = NGX_PHRONY_REDIS_READY;
    node->since = ngx_current_msec;

    node->log.log_level = node->log_level;
    level = node->outage ? NGX_LOG_NOTICE : NGX_LOG_INFO;
    node->outage = 0;
    node->handshook = 0;
    node->nreasons = 0;

    ngx_log_error(level, &node->log, 0, "redis is connected");

    ngx_phrony_redis_node_count(node, &node->redis->counters->connects);

    if (node->hooks->ready) {
        node->hooks->ready(node);
    }
}


static void
ngx_phrony_redis_timer_handler(ngx_event_t *ev)
{
    ngx_phrony_redis_node_t  *node;

    node = ev->data;

    ngx_log_debug1(NGX_LOG_DEBUG_EVENT, &node->log, 0,
                   "redis timer, state:%d", node->state);

    switch (node->state) {

    case NGX_PHRONY_REDIS_IDLE:
        return;

    case NGX_PHRONY_REDIS_DOWN:
        ngx_phrony_redis_node_connect(node);
        return;

    case NGX_PHRONY_REDIS_READY:
        ngx_phrony_redis_replies_deadline(node);
        return;

    default:

        /* the next attempt begins with the next address */

        node->addr++;

        ngx_phrony_redis_node_count(node, &node->redis->counters->timeouts);
        ngx_phrony_redis_node_fail(node, "not ready in time");
        return;
    }
}


void
ngx_phrony_redis_node_close(ngx_phrony_redis_node_t *node)
{
    node->state = NGX_PHRONY_REDIS_IDLE;

    ngx_phrony_redis_shut(node);
}


static void
ngx_phrony_redis_shut(ngx_phrony_redis_node_t *node)
{
    if (node->timer.timer_set) {
        ngx_del_timer(&node->timer);
    }

    node->timer.cancelable = 1;
    node->draining = NULL;
    node->greetings = 0;

    ngx_phrony_redis_disconnect(node);
    ngx_phrony_redis_pipeline_close(node);
}


void
ngx_phrony_redis_node_fail(ngx_phrony_redis_node_t *node, const char *why)
{
    ngx_msec_t  pause;

    if (node->state <= NGX_PHRONY_REDIS_DOWN) {
        return;
    }

    node->busy++;

    ngx_phrony_redis_log_failure(node, why);
    ngx_phrony_redis_node_count(node, &node->redis->counters->failures);

    pause = ngx_phrony_redis_pause(node);

    node->state = NGX_PHRONY_REDIS_DOWN;

    ngx_phrony_redis_shut(node);

    if (!node->redis->closing && !node->doomed) {
        ngx_add_timer(&node->timer, pause);

        if (node->hooks->failed) {
            node->hooks->failed(node);
        }
    }

    ngx_phrony_redis_node_release(node);
}


/*
 * Once in an outage, and what the server itself has against it once for each
 * reason; after that only ngx_phrony_redis_node_greeted() is heard.
 */

static void
ngx_phrony_redis_log_failure(ngx_phrony_redis_node_t *node, const char *why)
{
    ngx_log_debug1(NGX_LOG_DEBUG_EVENT, &node->log, 0,
                   "redis fails: %s", why);

    if (ngx_phrony_redis_is_news(node, why)) {
        node->log.log_level = node->log_level;

        ngx_log_error(NGX_LOG_ERR, &node->log, 0, "redis failed: %s", why);
    }

    node->outage = 1;

    /* what nginx itself would say of each attempt */

    if (!(node->log_level & NGX_LOG_DEBUG_ALL)) {
        node->log.log_level = ngx_min(node->log_level, NGX_LOG_ALERT);
    }
}


/* Returns 1 if this was not logged in this outage, and notes that it is. */

static ngx_uint_t
ngx_phrony_redis_is_news(ngx_phrony_redis_node_t *node, const char *why)
{
    uint32_t    hash;
    ngx_uint_t  i;

    if (node->redis->closing
        || (node->outage && node->state < NGX_PHRONY_REDIS_HANDSHAKE))
    {
        return 0;
    }

    hash = ngx_crc32_short((u_char *) why, ngx_strlen(why));

    for (i = 0; i < node->nreasons; i++) {

        if (node->reasons[i] == hash) {
            return 0;
        }
    }

    if (i == NGX_PHRONY_REDIS_REASONS) {
        return 0;
    }

    node->reasons[i] = hash;
    node->nreasons++;

    return 1;
}


/*
 * How long to wait before the next attempt.  After a connection that has
 * stood for a while, nearly not at all; the more attempts fail, the longer.
 * No two workers try at the same time.
 */

static ngx_msec_t
ngx_phrony_redis_pause(ngx_phrony_redis_node_t *node)
{
    ngx_msec_t  pause;

    /* one that never answered stands for the timeout, too */

    if (node->state == NGX_PHRONY_REDIS_READY
        && ngx_current_msec - node->since
           >= NGX_PHRONY_REDIS_STOOD + node->timeout)
    {
        node->pause = 0;
    }

    pause = node->pause;

    if (pause == 0) {
        node->pause = NGX_PHRONY_REDIS_PAUSE_FIRST;
        return 1 + ngx_random() % NGX_PHRONY_REDIS_PAUSE_JITTER;
    }

    node->pause = ngx_min(pause * 2, NGX_PHRONY_REDIS_PAUSE_LAST);

    return pause / 2 + ngx_random() % (pause / 2 + 1);
}


void
ngx_phrony_redis_node_count(ngx_phrony_redis_node_t *node,
    ngx_atomic_t *counter)
{
    if (node->purpose == NGX_PHRONY_REDIS_DATA) {
        (void) ngx_atomic_fetch_add(counter, 1);
    }
}


void
ngx_phrony_redis_node_drain(ngx_phrony_redis_node_t *node, const char *why)
{
    if (node->state != NGX_PHRONY_REDIS_READY || node->draining) {
        return;
    }

    ngx_log_debug1(NGX_LOG_DEBUG_EVENT, &node->log, 0,
                   "redis drains: %s", why);

    node->draining = why;

    /* if a reply is being read, this is looked for behind it */

    if (node->reading == NULL && node->ncommands == 0) {
        ngx_phrony_redis_node_fail(node, why);
    }
}
