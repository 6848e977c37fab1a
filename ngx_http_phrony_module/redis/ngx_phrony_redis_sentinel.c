
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_phrony_redis_channel.h"
#include "ngx_phrony_redis_held.h"
#include "ngx_phrony_redis_node.h"
#include "ngx_phrony_redis_sentinel.h"
#include "ngx_phrony_redis_single.h"
#include "ngx_phrony_redis_witness.h"


/*
 * How often the sentinels are asked, in ms: while the master is well, and,
 * first and at most, while it is not.  What an old master that is well counts
 * after the new one was made is lost; the sentinel that makes it tells so when
 * asked, long before it says so of its own accord.
 */

#define NGX_PHRONY_REDIS_WATCH_PERIOD     250
#define NGX_PHRONY_REDIS_WATCH_PAUSE      20
#define NGX_PHRONY_REDIS_WATCH_MAX_PAUSE  500

/*
 * How long a sentinel that tells of a failover is believed against all others,
 * in ms: they tell each other every two seconds.
 */

#define NGX_PHRONY_REDIS_WATCH_SPREAD     5000


typedef struct {
    ngx_phrony_redis_t           *redis;
    ngx_phrony_redis_node_t      *master;       /* NULL: nobody named it yet */
    ngx_phrony_redis_channel_t   *channel;
    uint64_t                      epoch;        /* in which it was named */
    ngx_phrony_redis_held_t       held;

    ngx_event_t                   timer;        /* until they are asked */
    ngx_msec_t                    pause;        /* the next one */
    unsigned                      up:1;         /* the master was ready */

    ngx_uint_t                    nwitnesses;
    ngx_phrony_redis_witness_t    witnesses[PHRONY_REDIS_HOSTS_MAX];
} ngx_phrony_redis_watch_t;


static ngx_int_t ngx_phrony_redis_sentinel_start(ngx_phrony_redis_t *redis);
static ngx_phrony_redis_node_t *ngx_phrony_redis_sentinel_route(
    ngx_phrony_redis_t *redis, ngx_uint_t slot);
static ngx_uint_t ngx_phrony_redis_sentinel_refused(
    ngx_phrony_redis_node_t *node, ngx_phrony_redis_command_t *command,
    const phrony_resp_t *reply);
static void ngx_phrony_redis_sentinel_destroy(ngx_phrony_redis_t *redis);

static void ngx_phrony_redis_watch_told(ngx_phrony_redis_witness_t *witness);
static ngx_uint_t ngx_phrony_redis_watch_agreed(
    ngx_phrony_redis_watch_t *watch);
static ngx_uint_t ngx_phrony_redis_watch_like(ngx_phrony_redis_watch_t *watch,
    ngx_phrony_redis_witness_t *witness);
static ngx_uint_t ngx_phrony_redis_watch_fresh(
    ngx_phrony_redis_witness_t *witness);
static ngx_phrony_redis_witness_t *ngx_phrony_redis_watch_latest(
    ngx_phrony_redis_watch_t *watch);
static ngx_uint_t ngx_phrony_redis_watch_follows(
    ngx_phrony_redis_watch_t *watch, ngx_phrony_redis_witness_t *witness);
static void ngx_phrony_redis_watch_follow(ngx_phrony_redis_watch_t *watch,
    ngx_phrony_redis_witness_t *witness);
static void ngx_phrony_redis_watch_replace(ngx_phrony_redis_watch_t *watch,
    ngx_phrony_redis_node_t *master, ngx_phrony_redis_channel_t *channel);
static void ngx_phrony_redis_watch_handler(ngx_event_t *ev);
static void ngx_phrony_redis_watch_ask(ngx_phrony_redis_watch_t *watch);
static void ngx_phrony_redis_watch_hurry(ngx_phrony_redis_watch_t *watch);

static void ngx_phrony_redis_master_ready(ngx_phrony_redis_node_t *node);
static void ngx_phrony_redis_master_failed(ngx_phrony_redis_node_t *node);


const ngx_phrony_redis_topology_t  ngx_phrony_redis_sentinel = {
    ngx_phrony_redis_sentinel_start,
    ngx_phrony_redis_sentinel_route,
    ngx_phrony_redis_sentinel_refused,
    ngx_phrony_redis_sentinel_destroy
};


static const ngx_phrony_redis_hooks_t  ngx_phrony_redis_master_hooks = {
    ngx_phrony_redis_master_ready,
    ngx_phrony_redis_master_failed,
    NULL                                    /* pushed */
};


static ngx_int_t
ngx_phrony_redis_sentinel_start(ngx_phrony_redis_t *redis)
{
    ngx_uint_t                   i;
    phrony_redis_url_t          *url;
    ngx_phrony_redis_watch_t    *watch;
    ngx_phrony_redis_witness_t  *witness;

    watch = ngx_calloc(sizeof(ngx_phrony_redis_watch_t), redis->log);
    if (watch == NULL) {
        return NGX_ERROR;
    }

    redis->map = watch;

    watch->redis = redis;
    watch->pause = NGX_PHRONY_REDIS_WATCH_PAUSE;
    ngx_phrony_redis_held_init(&watch->held, redis);

    watch->timer.handler = ngx_phrony_redis_watch_handler;
    watch->timer.data = watch;
    watch->timer.log = redis->log;
    watch->timer.cancelable = 1;

    url = &redis->conf->parsed;

    for (i = 0; i < url->nhosts; i++) {
        witness = &watch->witnesses[i];

        witness->told = ngx_phrony_redis_watch_told;
        witness->data = watch;

        if (ngx_phrony_redis_witness_start(witness, redis, &url->hosts[i])
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        watch->nwitnesses++;
    }

    ngx_phrony_redis_watch_ask(watch);

    return NGX_OK;
}


static ngx_phrony_redis_node_t *
ngx_phrony_redis_sentinel_route(ngx_phrony_redis_t *redis, ngx_uint_t slot)
{
    ngx_phrony_redis_watch_t  *watch;

    watch = redis->map;

    return watch->master;
}


static ngx_uint_t
ngx_phrony_redis_sentinel_refused(ngx_phrony_redis_node_t *node,
    ngx_phrony_redis_command_t *command, const phrony_resp_t *reply)
{
    ngx_phrony_redis_watch_t  *watch;

    watch = node->redis->map;

    if (!phrony_resp_is_error(reply, "READONLY")) {
        return ngx_phrony_redis_single.refused(node, command, reply);
    }

    /* it was made a replica: there is a new master, or soon will be */

    if (node == watch->master && node->draining == NULL) {
        ngx_phrony_redis_node_drain(node, "READONLY");
        ngx_phrony_redis_watch_hurry(watch);
    }

    if (!ngx_phrony_redis_again(command)) {
        ngx_phrony_redis_finish(node->redis, command, NGX_PHRONY_REDIS_UNSENT,
                                NULL);
        return 1;
    }

    ngx_phrony_redis_hold(&watch->held, command);

    return 1;
}


static void
ngx_phrony_redis_sentinel_destroy(ngx_phrony_redis_t *redis)
{
    ngx_uint_t                 i;
    ngx_phrony_redis_watch_t  *watch;

    watch = redis->map;

    if (watch == NULL) {
        return;
    }

    if (watch->timer.timer_set) {
        ngx_del_timer(&watch->timer);
    }

    for (i = 0; i < watch->nwitnesses; i++) {
        watch->witnesses[i].told = NULL;
        ngx_phrony_redis_node_destroy(watch->witnesses[i].node);
    }

    /* what ends with them may look for a master */

    ngx_phrony_redis_watch_replace(watch, NULL, NULL);

    ngx_phrony_redis_held_close(&watch->held);

    ngx_free(watch);
}


/* Follows the one that knows the latest failover. */

static void
ngx_phrony_redis_watch_told(ngx_phrony_redis_witness_t *witness)
{
    ngx_uint_t                   agreed;
    ngx_phrony_redis_watch_t    *watch;
    ngx_phrony_redis_witness_t  *latest;

    watch = witness->data;
    agreed = ngx_phrony_redis_watch_agreed(watch);
    latest = ngx_phrony_redis_watch_latest(watch);

    if (latest == NULL) {
        return;
    }

    if (ngx_phrony_redis_watch_follows(watch, latest)) {
        watch->epoch = latest->epoch;
        return;
    }

    /* those who know more are away: this one may not have heard of it */

    if (watch->master
        && ngx_phrony_redis_node_ready(watch->master)
        && latest->epoch < watch->epoch
        && !agreed)
    {
        return;
    }

    ngx_phrony_redis_watch_follow(watch, latest);
}


/*
 * Returns 1 if more than half of all sentinels name one master.  Those who
 * contradict them with nothing but an old word, whatever its epoch, are
 * overruled then.
 */

static ngx_uint_t
ngx_phrony_redis_watch_agreed(ngx_phrony_redis_watch_t *watch)
{
    ngx_uint_t                   i;
    ngx_phrony_redis_witness_t  *witness, *common;

    common = NULL;

    for (i = 0; i < watch->nwitnesses && common == NULL; i++) {
        witness = &watch->witnesses[i];

        if (ngx_phrony_redis_watch_like(watch, witness) * 2
            > watch->nwitnesses)
        {
            common = witness;
        }
    }

    if (common == NULL) {
        return 0;
    }

    for (i = 0; i < watch->nwitnesses; i++) {
        witness = &watch->witnesses[i];

        witness->overruled = !ngx_phrony_redis_witness_agrees(witness, common)
                             && !ngx_phrony_redis_watch_fresh(witness);
    }

    return 1;
}


/* How many name the same master as this one. */

static ngx_uint_t
ngx_phrony_redis_watch_like(ngx_phrony_redis_watch_t *watch,
    ngx_phrony_redis_witness_t *witness)
{
    ngx_uint_t  i, n;

    n = 0;

    for (i = 0; i < watch->nwitnesses; i++) {
        n += watch->witnesses[i].heard
             && ngx_phrony_redis_witness_agrees(&watch->witnesses[i], witness);
    }

    return n;
}


/*
 * Returns 1 if others may not have heard yet of what this one says.  It may be
 * gone meanwhile: the failover is not.
 */

static ngx_uint_t
ngx_phrony_redis_watch_fresh(ngx_phrony_redis_witness_t *witness)
{
    return witness->news
           && ngx_current_msec - witness->since
              < NGX_PHRONY_REDIS_WATCH_SPREAD;
}


static ngx_phrony_redis_witness_t *
ngx_phrony_redis_watch_latest(ngx_phrony_redis_watch_t *watch)
{
    ngx_uint_t                   i;
    ngx_phrony_redis_witness_t  *witness, *latest;

    latest = NULL;

    for (i = 0; i < watch->nwitnesses; i++) {
        witness = &watch->witnesses[i];

        if (witness->overruled
            || (!witness->heard && !ngx_phrony_redis_watch_fresh(witness)))
        {
            continue;
        }

        if (latest == NULL
            || witness->epoch > latest->epoch
            || (witness->epoch == latest->epoch
                && witness->change > latest->change))
        {
            latest = witness;
        }
    }

    return latest;
}


/* Returns 1 if the master is the one that the sentinel names. */

static ngx_uint_t
ngx_phrony_redis_watch_follows(ngx_phrony_redis_watch_t *watch,
    ngx_phrony_redis_witness_t *witness)
{
    ngx_phrony_redis_node_t  *master;

    master = watch->master;

    return master
           && master->port == witness->port
           && master->host.len == witness->host.len
           && ngx_memcmp(master->host.data, witness->host.data,
                         master->host.len)
              == 0;
}


/* Without memory all is as before: the next answer comes here as well. */

static void
ngx_phrony_redis_watch_follow(ngx_phrony_redis_watch_t *watch,
    ngx_phrony_redis_witness_t *witness)
{
    ngx_phrony_redis_t          *redis;
    ngx_phrony_redis_node_t     *master;
    ngx_phrony_redis_channel_t  *channel;

    redis = watch->redis;

    master = ngx_phrony_redis_node_create(redis, NGX_PHRONY_REDIS_DATA,
                                          &witness->host, witness->port,
                                          &ngx_phrony_redis_master_hooks);
    if (master == NULL) {
        return;
    }

    channel = NULL;

    /* this one before the old one goes: there is a gap between them */

    if (redis->observer->nprefixes) {
        channel = ngx_phrony_redis_channel_create(redis, &witness->host,
                                                  witness->port);
        if (channel == NULL) {
            ngx_phrony_redis_node_destroy(master);
            return;
        }
    }

    master->data = watch;
    master->master = 1;

    ngx_log_error(NGX_LOG_NOTICE, &witness->node->log, 0,
                  "redis sentinel names the master %V", &master->name);

    watch->epoch = witness->epoch;
    watch->up = 0;

    ngx_phrony_redis_watch_replace(watch, master, channel);
    ngx_phrony_redis_node_connect(master);
}


static void
ngx_phrony_redis_watch_replace(ngx_phrony_redis_watch_t *watch,
    ngx_phrony_redis_node_t *master, ngx_phrony_redis_channel_t *channel)
{
    ngx_phrony_redis_node_t     *old_master;
    ngx_phrony_redis_channel_t  *old_channel;

    old_master = watch->master;
    old_channel = watch->channel;

    watch->master = master;
    watch->channel = channel;

    ngx_phrony_redis_channel_destroy(old_channel);

    if (old_master) {
        ngx_phrony_redis_node_destroy(old_master);
    }
}


static void
ngx_phrony_redis_watch_handler(ngx_event_t *ev)
{
    ngx_log_debug0(NGX_LOG_DEBUG_EVENT, ev->log, 0, "redis watch handler");

    ngx_phrony_redis_watch_ask(ev->data);
}


/* Asks all of them, now and after a pause. */

static void
ngx_phrony_redis_watch_ask(ngx_phrony_redis_watch_t *watch)
{
    ngx_uint_t  i;
    ngx_msec_t  pause;

    if (watch->redis->closing) {
        return;
    }

    for (i = 0; i < watch->nwitnesses; i++) {
        ngx_phrony_redis_witness_ask(&watch->witnesses[i]);
    }

    pause = NGX_PHRONY_REDIS_WATCH_PERIOD;

    if (watch->master == NULL
        || !ngx_phrony_redis_node_ready(watch->master))
    {
        pause = watch->pause;
        watch->pause = ngx_min(pause * 2, NGX_PHRONY_REDIS_WATCH_MAX_PAUSE);
    }

    ngx_add_timer(&watch->timer, pause + ngx_random() % (pause / 10));
}


/* The master is not what it was. */

static void
ngx_phrony_redis_watch_hurry(ngx_phrony_redis_watch_t *watch)
{
    watch->pause = NGX_PHRONY_REDIS_WATCH_PAUSE;

    if (watch->timer.timer_set) {
        ngx_del_timer(&watch->timer);
    }

    ngx_phrony_redis_watch_ask(watch);
}


static void
ngx_phrony_redis_master_ready(ngx_phrony_redis_node_t *node)
{
    ngx_phrony_redis_watch_t     *watch;
    ngx_phrony_redis_observer_t  *observer;

    ngx_log_debug0(NGX_LOG_DEBUG_EVENT, &node->log, 0, "redis master ready");

    watch = node->data;
    watch->up = 1;

    ngx_phrony_redis_held_retry(&watch->held);

    observer = node->redis->observer;

    if (observer->ready) {
        observer->ready(observer->data);
    }
}


static void
ngx_phrony_redis_master_failed(ngx_phrony_redis_node_t *node)
{
    ngx_phrony_redis_watch_t  *watch;

    ngx_log_debug0(NGX_LOG_DEBUG_EVENT, &node->log, 0, "redis master failed");

    watch = node->data;

    /* the first time; then they are asked with longer and longer pauses */

    if (watch->up) {
        watch->up = 0;
        ngx_phrony_redis_watch_hurry(watch);
    }
}
