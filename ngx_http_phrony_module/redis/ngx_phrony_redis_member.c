
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_phrony_redis_member.h"


#define NGX_PHRONY_REDIS_MAX_MEMBERS  1024


static ngx_phrony_redis_member_t *ngx_phrony_redis_member_add(
    ngx_phrony_redis_cluster_t *cluster, const ngx_str_t *host,
    in_port_t port);


ngx_phrony_redis_member_t *
ngx_phrony_redis_member(ngx_phrony_redis_cluster_t *cluster,
    const phrony_endpoint_t *endpoint, const ngx_str_t *host)
{
    ngx_str_t                   name;
    ngx_queue_t                *q;
    ngx_phrony_redis_node_t    *node;
    ngx_phrony_redis_member_t  *member;

    if (endpoint->port == 0) {
        return NULL;
    }

    name.len = endpoint->host.len ? endpoint->host.len : host->len;
    name.data = endpoint->host.len ? endpoint->host.data : host->data;

    for (q = ngx_queue_head(&cluster->members);
         q != ngx_queue_sentinel(&cluster->members);
         q = ngx_queue_next(q))
    {
        member = ngx_queue_data(q, ngx_phrony_redis_member_t, queue);
        node = member->node;

        if (node->port == endpoint->port
            && node->host.len == name.len
            && ngx_strncasecmp(node->host.data, name.data, name.len) == 0)
        {
            return member;
        }
    }

    return ngx_phrony_redis_member_add(cluster, &name,
                                       (in_port_t) endpoint->port);
}


static ngx_phrony_redis_member_t *
ngx_phrony_redis_member_add(ngx_phrony_redis_cluster_t *cluster,
    const ngx_str_t *host, in_port_t port)
{
    ngx_phrony_redis_t         *redis;
    ngx_phrony_redis_member_t  *member;

    redis = cluster->redis;

    if (cluster->nmembers == NGX_PHRONY_REDIS_MAX_MEMBERS) {
        ngx_log_error(NGX_LOG_ERR, redis->log, 0,
                      "redis cluster has more than %d nodes",
                      NGX_PHRONY_REDIS_MAX_MEMBERS);
        return NULL;
    }

    member = ngx_calloc(sizeof(ngx_phrony_redis_member_t), redis->log);
    if (member == NULL) {
        return NULL;
    }

    member->node = ngx_phrony_redis_node_create(redis, NGX_PHRONY_REDIS_DATA,
                                                host, port, cluster->hooks);
    if (member->node == NULL) {
        ngx_free(member);
        return NULL;
    }

    ngx_log_debug1(NGX_LOG_DEBUG_EVENT, redis->log, 0,
                   "redis member %V is new", &member->node->name);

    member->cluster = cluster;
    member->node->data = member;
    member->named = ngx_current_msec;

    ngx_queue_insert_tail(&cluster->members, &member->queue);
    cluster->nmembers++;

    ngx_phrony_redis_node_connect(member->node);

    return member;
}


ngx_int_t
ngx_phrony_redis_member_listen(ngx_phrony_redis_member_t *member)
{
    ngx_phrony_redis_t       *redis;
    ngx_phrony_redis_node_t  *node;

    node = member->node;
    redis = node->redis;

    if (member->channel || redis->observer->nprefixes == 0) {
        return NGX_OK;
    }

    member->channel = ngx_phrony_redis_channel_create(redis, &node->host,
                                                      node->port);

    return member->channel ? NGX_OK : NGX_ERROR;
}


ngx_uint_t
ngx_phrony_redis_member_awaited(ngx_phrony_redis_member_t *member)
{
    return member->node->state != NGX_PHRONY_REDIS_DOWN
           && !ngx_phrony_redis_node_ready(member->node);
}


void
ngx_phrony_redis_member_remove(ngx_phrony_redis_member_t *member)
{
    ngx_log_debug1(NGX_LOG_DEBUG_EVENT, member->cluster->redis->log, 0,
                   "redis member %V is removed", &member->node->name);

    ngx_queue_remove(&member->queue);
    member->cluster->nmembers--;

    ngx_phrony_redis_channel_destroy(member->channel);
    ngx_phrony_redis_node_destroy(member->node);
    ngx_free(member);
}


ngx_phrony_redis_member_t *
ngx_phrony_redis_member_next(ngx_phrony_redis_cluster_t *cluster)
{
    ngx_queue_t                *q;
    ngx_phrony_redis_member_t  *member;

    for (q = ngx_queue_head(&cluster->members);
         q != ngx_queue_sentinel(&cluster->members);
         q = ngx_queue_next(q))
    {
        member = ngx_queue_data(q, ngx_phrony_redis_member_t, queue);

        if (ngx_phrony_redis_node_ready(member->node)) {
            ngx_phrony_redis_member_last(member);
            return member;
        }
    }

    return NULL;
}


void
ngx_phrony_redis_member_last(ngx_phrony_redis_member_t *member)
{
    ngx_queue_remove(&member->queue);
    ngx_queue_insert_tail(&member->cluster->members, &member->queue);
}


void
ngx_phrony_redis_member_seed(ngx_phrony_redis_cluster_t *cluster)
{
    ngx_uint_t            i;
    phrony_endpoint_t     endpoint;
    phrony_redis_url_t   *url;
    static ngx_str_t      none = ngx_null_string;

    url = &cluster->redis->conf->parsed;

    for (i = 0; i < url->nhosts; i++) {
        endpoint.host = url->hosts[i].host;
        endpoint.port = url->hosts[i].port;

        (void) ngx_phrony_redis_member(cluster, &endpoint, &none);
    }
}
