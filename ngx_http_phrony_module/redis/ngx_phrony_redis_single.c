
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_phrony_redis_channel.h"
#include "ngx_phrony_redis_node.h"
#include "ngx_phrony_redis_single.h"


typedef struct {
    ngx_phrony_redis_node_t     *node;
    ngx_phrony_redis_channel_t  *channel;
} ngx_phrony_redis_map_single_t;


static ngx_int_t ngx_phrony_redis_single_start(ngx_phrony_redis_t *redis);
static ngx_phrony_redis_node_t *ngx_phrony_redis_single_route(
    ngx_phrony_redis_t *redis, ngx_uint_t slot);
static ngx_uint_t ngx_phrony_redis_single_refused(
    ngx_phrony_redis_node_t *node, ngx_phrony_redis_command_t *command,
    const phrony_resp_t *reply);
static void ngx_phrony_redis_single_destroy(ngx_phrony_redis_t *redis);
static void ngx_phrony_redis_single_ready(ngx_phrony_redis_node_t *node);


const ngx_phrony_redis_topology_t  ngx_phrony_redis_single = {
    ngx_phrony_redis_single_start,
    ngx_phrony_redis_single_route,
    ngx_phrony_redis_single_refused,
    ngx_phrony_redis_single_destroy
};


static const ngx_phrony_redis_hooks_t  ngx_phrony_redis_single_hooks = {
    ngx_phrony_redis_single_ready,
    NULL,                                   /* failed */
    NULL                                    /* pushed */
};


static ngx_int_t
ngx_phrony_redis_single_start(ngx_phrony_redis_t *redis)
{
    in_port_t                       port;
    ngx_str_t                       host;
    phrony_redis_url_t             *url;
    ngx_phrony_redis_map_single_t  *map;

    map = ngx_calloc(sizeof(ngx_phrony_redis_map_single_t), redis->log);
    if (map == NULL) {
        return NGX_ERROR;
    }

    redis->map = map;

    url = &redis->conf->parsed;

    host.len = url->nhosts ? url->hosts[0].host.len : url->path.len;
    host.data = url->nhosts ? url->hosts[0].host.data : url->path.data;
    port = url->nhosts ? (in_port_t) url->hosts[0].port : 0;

    map->node = ngx_phrony_redis_node_create(redis, NGX_PHRONY_REDIS_DATA,
                                             &host, port,
                                             &ngx_phrony_redis_single_hooks);
    if (map->node == NULL) {
        return NGX_ERROR;
    }

    /* a replica would only take commands to refuse them */

    map->node->master = 1;

    if (redis->observer->nprefixes) {
        map->channel = ngx_phrony_redis_channel_create(redis, &host, port);

        if (map->channel == NULL) {
            return NGX_ERROR;
        }
    }

    ngx_phrony_redis_node_connect(map->node);

    return NGX_OK;
}


static ngx_phrony_redis_node_t *
ngx_phrony_redis_single_route(ngx_phrony_redis_t *redis, ngx_uint_t slot)
{
    ngx_phrony_redis_map_single_t  *map;

    map = redis->map;

    return map->node;
}


/* These say that the server can do nothing now, and has done nothing. */

static ngx_uint_t
ngx_phrony_redis_single_refused(ngx_phrony_redis_node_t *node,
    ngx_phrony_redis_command_t *command, const phrony_resp_t *reply)
{
    ngx_uint_t          i;
    static const char  *codes[] = {
        "LOADING", "BUSY", "MASTERDOWN", "READONLY"
    };

    for (i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {

        if (!phrony_resp_is_error(reply, codes[i])) {
            continue;
        }

        ngx_phrony_redis_node_drain(node, codes[i]);
        ngx_phrony_redis_finish(node->redis, command,
                                NGX_PHRONY_REDIS_UNSENT, NULL);
        return 1;
    }

    return 0;
}


static void
ngx_phrony_redis_single_destroy(ngx_phrony_redis_t *redis)
{
    ngx_phrony_redis_map_single_t  *map;

    map = redis->map;

    if (map == NULL) {
        return;
    }

    ngx_phrony_redis_channel_destroy(map->channel);

    if (map->node) {
        ngx_phrony_redis_node_destroy(map->node);
    }

    ngx_free(map);
}


static void
ngx_phrony_redis_single_ready(ngx_phrony_redis_node_t *node)
{
    ngx_phrony_redis_observer_t  *observer;

    observer = node->redis->observer;

    if (observer->ready) {
        observer->ready(observer->data);
    }
}
