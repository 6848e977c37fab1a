
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_phrony_redis_channel.h"
#include "ngx_phrony_redis_greeting.h"
#include "ngx_phrony_redis_pipeline.h"


#define NGX_PHRONY_REDIS_PING_EACH    500       /* ms */
#define NGX_PHRONY_REDIS_PING_ANSWER  1000
#define NGX_PHRONY_REDIS_REFUSED      30000     /* before it is tried again */


/*
 * A connection may redirect the invalidations of its own tracking to itself:
 * then it is told them as messages of a channel, which RESP 2 can express.
 *
 *     node ready ─▶ CLIENT ID ─▶ CLIENT TRACKING, SUBSCRIBE ─▶ standing
 *
 * While it stands it is pinged.  When the node fails it begins anew.
 */

struct ngx_phrony_redis_channel_s {
    ngx_phrony_redis_t        *redis;
    ngx_phrony_redis_node_t   *node;
    ngx_event_t                timer;           /* PING; or to try again */
    unsigned                   standing:1;
    unsigned                   tracking:1;      /* TRACKING was confirmed */
    unsigned                   pinged:1;        /* not yet answered */
    unsigned                   refused:1;       /* which was logged */
};


static void ngx_phrony_redis_channel_ready(ngx_phrony_redis_node_t *node);
static void ngx_phrony_redis_channel_failed(ngx_phrony_redis_node_t *node);
static ngx_int_t ngx_phrony_redis_channel_pushed(
    ngx_phrony_redis_node_t *node, const phrony_resp_t *reply);
static void ngx_phrony_redis_channel_invalidated(ngx_phrony_redis_t *redis,
    const phrony_resp_t *keys);
static void ngx_phrony_redis_channel_send(ngx_phrony_redis_channel_t *channel,
    size_t argc, const phrony_str_t *argv,
    ngx_phrony_redis_handler_pt handler);
static void ngx_phrony_redis_channel_id(ngx_phrony_redis_command_t *command,
    ngx_phrony_redis_result_t result, const phrony_resp_t *reply);
static void ngx_phrony_redis_channel_track(
    ngx_phrony_redis_channel_t *channel, int64_t id);
static void ngx_phrony_redis_channel_tracked(
    ngx_phrony_redis_command_t *command, ngx_phrony_redis_result_t result,
    const phrony_resp_t *reply);
static void ngx_phrony_redis_channel_subscribed(
    ngx_phrony_redis_command_t *command, ngx_phrony_redis_result_t result,
    const phrony_resp_t *reply);
static void ngx_phrony_redis_channel_pong(ngx_phrony_redis_command_t *command,
    ngx_phrony_redis_result_t result, const phrony_resp_t *reply);
static void ngx_phrony_redis_channel_refused(
    ngx_phrony_redis_channel_t *channel, const char *what,
    const phrony_resp_t *reply);
static void ngx_phrony_redis_channel_timer_handler(ngx_event_t *ev);
static void ngx_phrony_redis_channel_stop(
    ngx_phrony_redis_channel_t *channel);
static void ngx_phrony_redis_channel_live(ngx_phrony_redis_t *redis);


static const ngx_phrony_redis_hooks_t  ngx_phrony_redis_channel_hooks = {
    ngx_phrony_redis_channel_ready,
    ngx_phrony_redis_channel_failed,
    ngx_phrony_redis_channel_pushed
};


static phrony_str_t  ngx_phrony_redis_channel_name =
    phrony_str("__redis__:invalidate");


ngx_phrony_redis_channel_t *
ngx_phrony_redis_channel_create(ngx_phrony_redis_t *redis,
    const ngx_str_t *host, in_port_t port)
{
    ngx_phrony_redis_channel_t  *channel;

    channel = ngx_calloc(sizeof(ngx_phrony_redis_channel_t), redis->log);
    if (channel == NULL) {
        return NULL;
    }

    channel->redis = redis;

    channel->node = ngx_phrony_redis_node_create(redis,
                                              NGX_PHRONY_REDIS_CHANNEL,
                                              host, port,
                                              &ngx_phrony_redis_channel_hooks);
    if (channel->node == NULL) {
        ngx_free(channel);
        return NULL;
    }

    channel->node->data = channel;
    channel->node->timeout = NGX_PHRONY_REDIS_PING_ANSWER;

    channel->timer.handler = ngx_phrony_redis_channel_timer_handler;
    channel->timer.data = channel;
    channel->timer.log = redis->log;
    channel->timer.cancelable = 1;

    redis->nchannels++;
    ngx_phrony_redis_channel_live(redis);

    ngx_phrony_redis_node_connect(channel->node);

    return channel;
}


void
ngx_phrony_redis_channel_destroy(ngx_phrony_redis_channel_t *channel)
{
    ngx_phrony_redis_t  *redis;

    if (channel == NULL) {
        return;
    }

    redis = channel->redis;

    /* what had come may make it stand once more */

    ngx_phrony_redis_node_destroy(channel->node);
    ngx_phrony_redis_channel_stop(channel);

    redis->nchannels--;
    ngx_phrony_redis_channel_live(redis);

    ngx_free(channel);
}


static void
ngx_phrony_redis_channel_ready(ngx_phrony_redis_node_t *node)
{
    static const phrony_str_t  argv[] = { phrony_str("CLIENT"),
                                          phrony_str("ID") };

    ngx_phrony_redis_channel_send(node->data, 2, argv,
                                  ngx_phrony_redis_channel_id);
}


static void
ngx_phrony_redis_channel_send(ngx_phrony_redis_channel_t *channel,
    size_t argc, const phrony_str_t *argv,
    ngx_phrony_redis_handler_pt handler)
{
    ngx_phrony_redis_command_t    *command;
    ngx_phrony_redis_channel_t   **data;

    command = ngx_phrony_redis_format(channel->redis, argc, argv,
                                      sizeof(ngx_phrony_redis_channel_t *));
    if (command == NULL) {
        ngx_phrony_redis_node_fail(channel->node, "no memory");
        return;
    }

    data = command->data;
    *data = channel;

    command->handler = handler;
    command->own = 1;

    if (ngx_phrony_redis_push(channel->node, command) != NGX_OK) {
        ngx_phrony_redis_free(channel->redis, command);
    }
}


static void
ngx_phrony_redis_channel_id(ngx_phrony_redis_command_t *command,
    ngx_phrony_redis_result_t result, const phrony_resp_t *reply)
{
    ngx_phrony_redis_channel_t  *channel;

    channel = *(ngx_phrony_redis_channel_t **) command->data;

    if (result != NGX_PHRONY_REDIS_ANSWERED) {
        return;
    }

    if (reply->type != PHRONY_RESP_INTEGER) {
        ngx_phrony_redis_channel_refused(channel, "CLIENT ID", reply);
        return;
    }

    ngx_phrony_redis_channel_track(channel, reply->integer);
}


static void
ngx_phrony_redis_channel_track(ngx_phrony_redis_channel_t *channel,
    int64_t id)
{
    u_char                       text[NGX_INT64_LEN];
    size_t                       argc;
    ngx_uint_t                   i;
    phrony_str_t                *argv;
    ngx_phrony_redis_observer_t *observer;
    phrony_str_t                 track[] = { phrony_str("CLIENT"),
                                             phrony_str("TRACKING"),
                                             phrony_str("ON"),
                                             phrony_str("REDIRECT"),
                                             phrony_str(""),
                                             phrony_str("BCAST") };
    phrony_str_t                 subscribe[] = { phrony_str("SUBSCRIBE"),
                                                 phrony_str("") };

    observer = channel->redis->observer;
    argc = sizeof(track) / sizeof(track[0]);

    argv = ngx_alloc((argc + 2 * observer->nprefixes) * sizeof(phrony_str_t),
                     channel->redis->log);
    if (argv == NULL) {
        ngx_phrony_redis_node_fail(channel->node, "no memory");
        return;
    }

    track[4].data = text;
    track[4].len = ngx_sprintf(text, "%L", id) - text;

    ngx_memcpy(argv, track, sizeof(track));

    for (i = 0; i < observer->nprefixes; i++) {
        argv[argc].len = sizeof("PREFIX") - 1;
        argv[argc++].data = (u_char *) "PREFIX";
        argv[argc++] = observer->prefixes[i];
    }

    ngx_phrony_redis_channel_send(channel, argc, argv,
                                  ngx_phrony_redis_channel_tracked);
    ngx_free(argv);

    subscribe[1] = ngx_phrony_redis_channel_name;

    ngx_phrony_redis_channel_send(channel, 2, subscribe,
                                  ngx_phrony_redis_channel_subscribed);
}


static void
ngx_phrony_redis_channel_tracked(ngx_phrony_redis_command_t *command,
    ngx_phrony_redis_result_t result, const phrony_resp_t *reply)
{
    ngx_phrony_redis_channel_t  *channel;

    channel = *(ngx_phrony_redis_channel_t **) command->data;

    if (result != NGX_PHRONY_REDIS_ANSWERED) {
        return;
    }

    if (reply->type != PHRONY_RESP_STATUS) {
        ngx_phrony_redis_channel_refused(channel, "CLIENT TRACKING", reply);
        return;
    }

    channel->tracking = 1;
}


static void
ngx_phrony_redis_channel_subscribed(ngx_phrony_redis_command_t *command,
    ngx_phrony_redis_result_t result, const phrony_resp_t *reply)
{
    ngx_phrony_redis_channel_t  *channel;

    channel = *(ngx_phrony_redis_channel_t **) command->data;

    if (result != NGX_PHRONY_REDIS_ANSWERED) {
        return;
    }

    if (reply->type != PHRONY_RESP_ARRAY || !channel->tracking) {
        ngx_phrony_redis_channel_refused(channel, "SUBSCRIBE", reply);
        return;
    }

    ngx_log_debug0(NGX_LOG_DEBUG_EVENT, channel->timer.log, 0,
                   "redis channel stands");

    channel->refused = 0;
    channel->standing = 1;
    channel->redis->nstanding++;

    ngx_phrony_redis_channel_live(channel->redis);

    ngx_add_timer(&channel->timer, NGX_PHRONY_REDIS_PING_EACH);
}


/* The server cannot, or may not: it is asked again after a good while. */

static void
ngx_phrony_redis_channel_refused(ngx_phrony_redis_channel_t *channel,
    const char *what, const phrony_resp_t *reply)
{
    u_char      text[NGX_PHRONY_REDIS_TEXT_LEN];
    ngx_uint_t  level;

    ngx_phrony_redis_text(channel->redis, text, what, reply);

    level = channel->refused ? NGX_LOG_INFO : NGX_LOG_WARN;

    ngx_log_error(level, &channel->node->log, 0,
                  "redis does not tell what is changed: %s", text);

    channel->refused = 1;

    ngx_phrony_redis_channel_stop(channel);
    ngx_phrony_redis_node_close(channel->node);

    ngx_add_timer(&channel->timer, NGX_PHRONY_REDIS_REFUSED);
}


/*
 * What a subscriber is sent is an array: ["message", channel, keys] of the
 * server's own accord; ["subscribe", channel, 1] and ["pong", ""] are answers.
 */

static ngx_int_t
ngx_phrony_redis_channel_pushed(ngx_phrony_redis_node_t *node,
    const phrony_resp_t *reply)
{
    ngx_phrony_redis_channel_t  *channel;
    static const phrony_str_t    message = phrony_str("message");

    channel = node->data;

    if (reply->type != PHRONY_RESP_ARRAY
        || reply->n == 0
        || reply->elements[0].type != PHRONY_RESP_STRING
        || !phrony_str_eq(&reply->elements[0].str, &message))
    {
        return NGX_DECLINED;
    }

    if (!channel->standing
        || reply->n != 3
        || reply->elements[1].type != PHRONY_RESP_STRING
        || !phrony_str_eq(&reply->elements[1].str,
                          &ngx_phrony_redis_channel_name))
    {
        return NGX_ERROR;
    }

    ngx_phrony_redis_channel_invalidated(channel->redis, &reply->elements[2]);

    return NGX_OK;
}


/* Anything that is not a list of keys may mean any key. */

static void
ngx_phrony_redis_channel_invalidated(ngx_phrony_redis_t *redis,
    const phrony_resp_t *keys)
{
    size_t                        i;
    const phrony_str_t           *key;
    ngx_phrony_redis_observer_t  *observer;

    observer = redis->observer;

    if (keys->type != PHRONY_RESP_ARRAY) {
        observer->invalidated(observer->data, NULL);
        return;
    }

    for (i = 0; i < keys->n; i++) {
        key = (keys->elements[i].type == PHRONY_RESP_STRING)
              ? &keys->elements[i].str : NULL;

        observer->invalidated(observer->data, key);
    }
}


static void
ngx_phrony_redis_channel_timer_handler(ngx_event_t *ev)
{
    ngx_phrony_redis_channel_t  *channel;
    static const phrony_str_t    argv[] = { phrony_str("PING") };

    channel = ev->data;

    ngx_log_debug2(NGX_LOG_DEBUG_EVENT, ev->log, 0,
                   "redis channel timer, standing:%d, pinged:%d",
                   channel->standing, channel->pinged);

    if (!channel->standing) {
        ngx_phrony_redis_node_connect(channel->node);
        return;
    }

    ngx_add_timer(ev, NGX_PHRONY_REDIS_PING_EACH);

    /* the node itself sees to it that one is answered in time */

    if (channel->pinged) {
        return;
    }

    channel->pinged = 1;

    ngx_phrony_redis_channel_send(channel, 1, argv,
                                  ngx_phrony_redis_channel_pong);
}


static void
ngx_phrony_redis_channel_pong(ngx_phrony_redis_command_t *command,
    ngx_phrony_redis_result_t result, const phrony_resp_t *reply)
{
    ngx_phrony_redis_channel_t  *channel;

    channel = *(ngx_phrony_redis_channel_t **) command->data;
    channel->pinged = 0;
}


static void
ngx_phrony_redis_channel_failed(ngx_phrony_redis_node_t *node)
{
    ngx_phrony_redis_channel_stop(node->data);
}


static void
ngx_phrony_redis_channel_stop(ngx_phrony_redis_channel_t *channel)
{
    ngx_log_debug1(NGX_LOG_DEBUG_EVENT, channel->timer.log, 0,
                   "redis channel stops, standing:%d", channel->standing);

    if (channel->timer.timer_set) {
        ngx_del_timer(&channel->timer);
    }

    channel->tracking = 0;
    channel->pinged = 0;

    if (!channel->standing) {
        return;
    }

    channel->standing = 0;
    channel->redis->nstanding--;

    ngx_phrony_redis_channel_live(channel->redis);
}


static void
ngx_phrony_redis_channel_live(ngx_phrony_redis_t *redis)
{
    ngx_uint_t                    live;
    ngx_phrony_redis_observer_t  *observer;

    observer = redis->observer;
    live = redis->nchannels && redis->nstanding == redis->nchannels;

    if (live == redis->live) {
        return;
    }

    redis->live = live;

    if (observer->live && !redis->closing) {
        observer->live(observer->data, live);
    }
}
