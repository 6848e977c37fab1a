
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_phrony_redis_cluster.h"
#include "ngx_phrony_redis_pipeline.h"
#include "ngx_phrony_redis_sentinel.h"
#include "ngx_phrony_redis_single.h"


/*
 * Rooms for commands are kept in two sizes, for that of a start and that of
 * one with much to settle; what is larger comes of the heap.
 */

#define NGX_PHRONY_REDIS_HEAP         0
#define NGX_PHRONY_REDIS_SMALL        1
#define NGX_PHRONY_REDIS_MEDIUM       2

#define NGX_PHRONY_REDIS_SMALL_SIZE   1024
#define NGX_PHRONY_REDIS_MEDIUM_SIZE  4096
#define NGX_PHRONY_REDIS_KEPT         256       /* of each, when not in use */


static const ngx_phrony_redis_topology_t *ngx_phrony_redis_topology(
    phrony_redis_mode_t mode);
static ngx_phrony_redis_command_t *ngx_phrony_redis_room(
    ngx_phrony_redis_t *redis, size_t size);
static ngx_phrony_redis_command_t *ngx_phrony_redis_take(
    ngx_phrony_redis_t *redis, ngx_phrony_redis_rooms_t *rooms, size_t size);
static void ngx_phrony_redis_rooms_free(ngx_phrony_redis_rooms_t *rooms);


ngx_phrony_redis_t *
ngx_phrony_redis_create(ngx_phrony_redis_conf_t *conf,
    ngx_phrony_redis_observer_t *observer,
    ngx_phrony_redis_counters_t *counters, ngx_log_t *log)
{
    ngx_phrony_redis_t  *redis;

    redis = ngx_calloc(sizeof(ngx_phrony_redis_t), log);
    if (redis == NULL) {
        return NULL;
    }

    redis->conf = conf;
    redis->observer = observer;
    redis->counters = counters;
    redis->log = log;
    redis->topology = ngx_phrony_redis_topology(conf->parsed.mode);

    redis->buffer = ngx_alloc(NGX_PHRONY_REDIS_BUFFER, log);

    if (redis->buffer == NULL || redis->topology->start(redis) != NGX_OK) {
        ngx_phrony_redis_destroy(redis);
        return NULL;
    }

    return redis;
}


static const ngx_phrony_redis_topology_t *
ngx_phrony_redis_topology(phrony_redis_mode_t mode)
{
    static const ngx_phrony_redis_topology_t  *topologies[] = {
        &ngx_phrony_redis_single,           /* PHRONY_REDIS_SINGLE */
        &ngx_phrony_redis_sentinel,         /* PHRONY_REDIS_SENTINEL */
        &ngx_phrony_redis_cluster           /* PHRONY_REDIS_CLUSTER */
    };

    return topologies[mode];
}


void
ngx_phrony_redis_destroy(ngx_phrony_redis_t *redis)
{
    ngx_log_debug0(NGX_LOG_DEBUG_EVENT, redis->log, 0, "redis destroy");

    redis->closing = 1;
    redis->topology->destroy(redis);

    ngx_phrony_redis_rooms_free(&redis->small);
    ngx_phrony_redis_rooms_free(&redis->medium);

    if (redis->buffer) {
        ngx_free(redis->buffer);
    }

    ngx_free(redis);
}


ngx_phrony_redis_command_t *
ngx_phrony_redis_command(ngx_phrony_redis_t *redis, size_t len, size_t size)
{
    u_char                      *p;
    size_t                       head, room;
    ngx_phrony_redis_command_t  *command;

    head = ngx_align(sizeof(ngx_phrony_redis_command_t), NGX_ALIGNMENT);
    room = ngx_align(size, NGX_ALIGNMENT);

    command = ngx_phrony_redis_room(redis, head + room + len);
    if (command == NULL) {
        return NULL;
    }

    p = (u_char *) command + head;

    ngx_memzero(p, room);

    command->data = size ? p : NULL;
    command->bytes = p + room;
    command->len = len;
    command->slot = NGX_PHRONY_REDIS_ANY;

    return command;
}


static ngx_phrony_redis_command_t *
ngx_phrony_redis_room(ngx_phrony_redis_t *redis, size_t size)
{
    ngx_uint_t                   room;
    ngx_phrony_redis_command_t  *command;

    if (size <= NGX_PHRONY_REDIS_SMALL_SIZE) {
        room = NGX_PHRONY_REDIS_SMALL;
        command = ngx_phrony_redis_take(redis, &redis->small,
                                        NGX_PHRONY_REDIS_SMALL_SIZE);

    } else if (size <= NGX_PHRONY_REDIS_MEDIUM_SIZE) {
        room = NGX_PHRONY_REDIS_MEDIUM;
        command = ngx_phrony_redis_take(redis, &redis->medium,
                                        NGX_PHRONY_REDIS_MEDIUM_SIZE);

    } else {
        room = NGX_PHRONY_REDIS_HEAP;
        command = ngx_alloc(size, redis->log);
    }

    if (command == NULL) {
        return NULL;
    }

    ngx_memzero(command, sizeof(ngx_phrony_redis_command_t));

    command->room = room;

    return command;
}


static ngx_phrony_redis_command_t *
ngx_phrony_redis_take(ngx_phrony_redis_t *redis,
    ngx_phrony_redis_rooms_t *rooms, size_t size)
{
    ngx_phrony_redis_command_t  *command;

    command = rooms->free;

    if (command == NULL) {
        return ngx_alloc(size, redis->log);
    }

    rooms->free = command->data;
    rooms->nfree--;

    return command;
}


static void
ngx_phrony_redis_rooms_free(ngx_phrony_redis_rooms_t *rooms)
{
    ngx_phrony_redis_command_t  *command;

    while (rooms->free) {
        command = rooms->free;
        rooms->free = command->data;

        ngx_free(command);
    }
}


ngx_phrony_redis_command_t *
ngx_phrony_redis_format(ngx_phrony_redis_t *redis, size_t argc,
    const phrony_str_t *argv, size_t size)
{
    u_char                      *bytes;
    size_t                       len;
    ngx_phrony_redis_command_t  *command;

    bytes = phrony_resp_command(argc, argv, &len);
    if (bytes == NULL) {
        return NULL;
    }

    command = ngx_phrony_redis_command(redis, len, size);

    if (command) {
        ngx_memcpy(command->bytes, bytes, len);
    }

    phrony_resp_command_free(bytes);

    return command;
}


ngx_phrony_redis_command_t *
ngx_phrony_redis_eval(ngx_phrony_redis_t *redis, phrony_script_id_t id,
    size_t argc, const phrony_str_t *argv, size_t size)
{
    phrony_str_t                *args;
    const phrony_script_t       *script;
    ngx_phrony_redis_command_t  *command;
    static u_char                name[] = "EVALSHA";

    script = &phrony_scripts[id];

    args = ngx_alloc((argc + 2) * sizeof(phrony_str_t), redis->log);
    if (args == NULL) {
        return NULL;
    }

    args[0].len = sizeof(name) - 1;
    args[0].data = name;
    args[1].len = PHRONY_SCRIPT_SHA1_LEN;
    args[1].data = (u_char *) script->sha1;

    ngx_memcpy(&args[2], argv, argc * sizeof(phrony_str_t));

    command = ngx_phrony_redis_format(redis, argc + 2, args, size);

    if (command) {
        command->script = script;
    }

    ngx_free(args);

    return command;
}


ngx_int_t
ngx_phrony_redis_send(ngx_phrony_redis_t *redis,
    ngx_phrony_redis_command_t *command)
{
    ngx_phrony_redis_node_t  *node;

    command->deadline = ngx_current_msec + redis->conf->timeout;

    node = ngx_phrony_redis_route(redis, command->slot);

    if (node && ngx_phrony_redis_push(node, command) == NGX_OK) {
        return NGX_OK;
    }

    if (node && ngx_phrony_redis_node_ready(node)) {
        (void) ngx_atomic_fetch_add(&redis->counters->refused, 1);
    }

    ngx_phrony_redis_free(redis, command);

    return NGX_DECLINED;
}


void
ngx_phrony_redis_free(ngx_phrony_redis_t *redis,
    ngx_phrony_redis_command_t *command)
{
    ngx_phrony_redis_rooms_t  *rooms;

    if (command->evaled) {
        ngx_free(command->bytes);
    }

    rooms = (command->room == NGX_PHRONY_REDIS_SMALL) ? &redis->small
                                                      : &redis->medium;

    if (command->room == NGX_PHRONY_REDIS_HEAP
        || rooms->nfree == NGX_PHRONY_REDIS_KEPT)
    {
        ngx_free(command);
        return;
    }

    /* the last one that was used is warm still */

    command->data = rooms->free;
    rooms->free = command;
    rooms->nfree++;
}


ngx_uint_t
ngx_phrony_redis_ready(ngx_phrony_redis_t *redis, ngx_uint_t slot)
{
    ngx_phrony_redis_node_t  *node;

    node = ngx_phrony_redis_route(redis, slot);

    return node && ngx_phrony_redis_node_ready(node);
}


ngx_phrony_redis_node_t *
ngx_phrony_redis_route(ngx_phrony_redis_t *redis, ngx_uint_t slot)
{
    if (redis->closing) {
        return NULL;
    }

    return redis->topology->route(redis, slot);
}


void
ngx_phrony_redis_finish(ngx_phrony_redis_t *redis,
    ngx_phrony_redis_command_t *command, ngx_phrony_redis_result_t result,
    const phrony_resp_t *reply)
{
    ngx_phrony_redis_counters_t  *counters;

    counters = redis->counters;

    if (!command->own && result == NGX_PHRONY_REDIS_ANSWERED) {
        redis->answered++;

        if (command->waited) {
            ngx_phrony_histogram_add(&counters->trips,
                                     ngx_phrony_histogram_clock()
                                     - command->queued);
        }

        if (reply->type == PHRONY_RESP_ERROR) {
            (void) ngx_atomic_fetch_add(&counters->errors, 1);
        }
    }

    if (!command->own && result == NGX_PHRONY_REDIS_LOST) {
        (void) ngx_atomic_fetch_add(&counters->lost, 1);
    }

    if (command->handler) {
        command->handler(command, result, reply);
    }

    ngx_phrony_redis_free(redis, command);
}


ngx_uint_t
ngx_phrony_redis_again(ngx_phrony_redis_command_t *command)
{
    if (command->attempts == NGX_PHRONY_REDIS_ATTEMPTS
        || (ngx_msec_int_t) (command->deadline - ngx_current_msec) <= 0)
    {
        return 0;
    }

    command->attempts++;

    return 1;
}
