
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_phrony_redis_cluster.h"
#include "ngx_phrony_redis_map.h"
#include "ngx_phrony_redis_pipeline.h"
#include "ngx_phrony_redis_single.h"


static ngx_int_t ngx_phrony_redis_cluster_start(ngx_phrony_redis_t *redis);
static ngx_phrony_redis_node_t *ngx_phrony_redis_cluster_route(
    ngx_phrony_redis_t *redis, ngx_uint_t slot);
static ngx_phrony_redis_node_t *ngx_phrony_redis_cluster_any(
    ngx_phrony_redis_cluster_t *cluster);
static ngx_uint_t ngx_phrony_redis_cluster_refused(
    ngx_phrony_redis_node_t *node, ngx_phrony_redis_command_t *command,
    const phrony_resp_t *reply);
static void ngx_phrony_redis_cluster_down(ngx_phrony_redis_node_t *node,
    ngx_phrony_redis_command_t *command);
static ngx_int_t ngx_phrony_redis_cluster_redirect(
    ngx_phrony_redis_node_t *node, ngx_phrony_redis_command_t *command,
    phrony_redirect_kind_t kind, const phrony_redirect_t *redirect);
static void ngx_phrony_redis_cluster_hold(ngx_phrony_redis_node_t *node,
    ngx_phrony_redis_command_t *command);
static void ngx_phrony_redis_cluster_destroy(ngx_phrony_redis_t *redis);

static void ngx_phrony_redis_cluster_ready(ngx_phrony_redis_node_t *node);
static void ngx_phrony_redis_cluster_failed(ngx_phrony_redis_node_t *node);


const ngx_phrony_redis_topology_t  ngx_phrony_redis_cluster = {
    ngx_phrony_redis_cluster_start,
    ngx_phrony_redis_cluster_route,
    ngx_phrony_redis_cluster_refused,
    ngx_phrony_redis_cluster_destroy
};


static const ngx_phrony_redis_hooks_t  ngx_phrony_redis_cluster_hooks = {
    ngx_phrony_redis_cluster_ready,
    ngx_phrony_redis_cluster_failed,
    NULL                                    /* pushed */
};


static ngx_int_t
ngx_phrony_redis_cluster_start(ngx_phrony_redis_t *redis)
{
    ngx_phrony_redis_cluster_t  *cluster;

    cluster = ngx_calloc(sizeof(ngx_phrony_redis_cluster_t), redis->log);
    if (cluster == NULL) {
        return NGX_ERROR;
    }

    redis->map = cluster;

    cluster->redis = redis;
    cluster->hooks = &ngx_phrony_redis_cluster_hooks;
    ngx_queue_init(&cluster->members);
    ngx_phrony_redis_held_init(&cluster->held, redis);

    ngx_phrony_redis_map_init(cluster);

    return cluster->nmembers ? NGX_OK : NGX_ERROR;
}


static ngx_phrony_redis_node_t *
ngx_phrony_redis_cluster_route(ngx_phrony_redis_t *redis, ngx_uint_t slot)
{
    ngx_phrony_redis_member_t   *member;
    ngx_phrony_redis_cluster_t  *cluster;

    cluster = redis->map;

    if (slot >= PHRONY_SLOTS) {
        return ngx_phrony_redis_cluster_any(cluster);
    }

    member = cluster->slots[slot];

    return member ? member->node : NULL;
}


static ngx_phrony_redis_node_t *
ngx_phrony_redis_cluster_any(ngx_phrony_redis_cluster_t *cluster)
{
    ngx_queue_t                *q;
    ngx_phrony_redis_member_t  *member;

    for (q = ngx_queue_head(&cluster->members);
         q != ngx_queue_sentinel(&cluster->members);
         q = ngx_queue_next(q))
    {
        member = ngx_queue_data(q, ngx_phrony_redis_member_t, queue);

        if (member->serves && ngx_phrony_redis_node_ready(member->node)) {
            return member->node;
        }
    }

    return NULL;
}


static ngx_uint_t
ngx_phrony_redis_cluster_refused(ngx_phrony_redis_node_t *node,
    ngx_phrony_redis_command_t *command, const phrony_resp_t *reply)
{
    phrony_redirect_t       redirect;
    phrony_redirect_kind_t  kind;

    kind = phrony_topology_redirect(reply, &redirect);

    if (kind == PHRONY_REDIRECT_BROKEN) {
        ngx_log_error(NGX_LOG_ERR, &node->log, 0,
                      "redis sent an invalid redirection");
        return 0;
    }

    if (phrony_resp_is_error(reply, "CLUSTERDOWN")) {
        ngx_phrony_redis_cluster_down(node, command);
        return 1;
    }

    /* of a command with several keys only some may have been moved yet */

    if (kind == PHRONY_REDIRECT_NONE
        && !phrony_resp_is_error(reply, "TRYAGAIN"))
    {
        return ngx_phrony_redis_single.refused(node, command, reply);
    }

    if (!ngx_phrony_redis_again(command)) {
        ngx_phrony_redis_finish(node->redis, command, NGX_PHRONY_REDIS_UNSENT,
                                NULL);
        return 1;
    }

    if (kind == PHRONY_REDIRECT_NONE
        || ngx_phrony_redis_cluster_redirect(node, command, kind, &redirect)
           != NGX_OK)
    {
        ngx_phrony_redis_cluster_hold(node, command);
    }

    return 1;
}


/* It will take a while: nobody waits, until there is another map. */

static void
ngx_phrony_redis_cluster_down(ngx_phrony_redis_node_t *node,
    ngx_phrony_redis_command_t *command)
{
    ngx_phrony_redis_member_t   *member;
    ngx_phrony_redis_cluster_t  *cluster;

    member = node->data;
    cluster = member->cluster;

    if (command->slot < PHRONY_SLOTS) {
        cluster->slots[command->slot] = NULL;
        cluster->whole = 0;
    }

    /* others may know better, so they are asked first */

    ngx_phrony_redis_member_last(member);
    ngx_phrony_redis_map_want(cluster);

    ngx_phrony_redis_finish(node->redis, command, NGX_PHRONY_REDIS_UNSENT,
                            NULL);
}


/* Returns NGX_OK if the command is on its way there. */

static ngx_int_t
ngx_phrony_redis_cluster_redirect(ngx_phrony_redis_node_t *node,
    ngx_phrony_redis_command_t *command, phrony_redirect_kind_t kind,
    const phrony_redirect_t *redirect)
{
    ngx_phrony_redis_t          *redis;
    ngx_phrony_redis_member_t   *member;
    ngx_phrony_redis_cluster_t  *cluster;
    static ngx_str_t             unknown = ngx_string("nowhere");

    redis = node->redis;
    cluster = redis->map;

    (void) ngx_atomic_fetch_add(&redis->counters->redirected, 1);

    member = ngx_phrony_redis_member(cluster, &redirect->to, &node->host);

    ngx_log_debug3(NGX_LOG_DEBUG_EVENT, &node->log, 0,
                   "redis slot %ui %s to %V", (ngx_uint_t) redirect->slot,
                   kind == PHRONY_REDIRECT_MOVED ? "has moved" : "moves",
                   member ? &member->node->name : &unknown);

    if (kind == PHRONY_REDIRECT_MOVED) {
        ngx_phrony_redis_map_want(cluster);

        if (member == NULL || !ngx_phrony_redis_member_awaited(member)) {
            cluster->slots[redirect->slot] = member;
        }
    }

    if (member == NULL) {
        return NGX_DECLINED;
    }

    member->named = ngx_current_msec;
    (void) ngx_phrony_redis_member_listen(member);

    if (kind == PHRONY_REDIRECT_ASK) {
        return ngx_phrony_redis_push_asking(member->node, command);
    }

    return ngx_phrony_redis_push(member->node, command);
}


static void
ngx_phrony_redis_cluster_hold(ngx_phrony_redis_node_t *node,
    ngx_phrony_redis_command_t *command)
{
    ngx_phrony_redis_cluster_t  *cluster;

    cluster = node->redis->map;

    ngx_phrony_redis_hold(&cluster->held, command);
}


static void
ngx_phrony_redis_cluster_destroy(ngx_phrony_redis_t *redis)
{
    ngx_queue_t                 *q;
    ngx_phrony_redis_cluster_t  *cluster;

    cluster = redis->map;

    if (cluster == NULL) {
        return;
    }

    if (cluster->timer.timer_set) {
        ngx_del_timer(&cluster->timer);
    }

    ngx_memzero(cluster->slots, sizeof(cluster->slots));

    while (!ngx_queue_empty(&cluster->members)) {
        q = ngx_queue_head(&cluster->members);

        ngx_phrony_redis_member_remove(
            ngx_queue_data(q, ngx_phrony_redis_member_t, queue));
    }

    ngx_phrony_redis_held_close(&cluster->held);

    ngx_free(cluster);
}


static void
ngx_phrony_redis_cluster_ready(ngx_phrony_redis_node_t *node)
{
    ngx_phrony_redis_member_t    *member;
    ngx_phrony_redis_cluster_t   *cluster;
    ngx_phrony_redis_observer_t  *observer;

    ngx_log_debug0(NGX_LOG_DEBUG_EVENT, &node->log, 0,
                   "redis member ready");

    member = node->data;
    cluster = member->cluster;

    if (cluster->wanted) {
        ngx_phrony_redis_map_ask(cluster);
    }

    ngx_phrony_redis_held_retry(&cluster->held);

    observer = node->redis->observer;

    if (observer->ready) {
        observer->ready(observer->data);
    }
}


static void
ngx_phrony_redis_cluster_failed(ngx_phrony_redis_node_t *node)
{
    ngx_phrony_redis_member_t  *member;

    ngx_log_debug0(NGX_LOG_DEBUG_EVENT, &node->log, 0,
                   "redis member failed");

    member = node->data;

    ngx_phrony_redis_map_want(member->cluster);
}
