
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_phrony_redis_map.h"
#include "ngx_phrony_redis_pipeline.h"


/*
 * How often the map is asked for, in ms: while all is well, and, first and at
 * most, while it is not.
 */

#define NGX_PHRONY_REDIS_MAP_PERIOD     5000
#define NGX_PHRONY_REDIS_MAP_PAUSE      100
#define NGX_PHRONY_REDIS_MAP_MAX_PAUSE  500

/* How long a node without slots is kept after it was made or named, in ms. */

#define NGX_PHRONY_REDIS_KEPT_READY     60000
#define NGX_PHRONY_REDIS_KEPT_DOWN      1000


static void ngx_phrony_redis_map_handler(ngx_event_t *ev);
static void ngx_phrony_redis_map_schedule(
    ngx_phrony_redis_cluster_t *cluster);
static ngx_uint_t ngx_phrony_redis_map_settled(
    ngx_phrony_redis_cluster_t *cluster);
static void ngx_phrony_redis_map_answer_handler(
    ngx_phrony_redis_command_t *command, ngx_phrony_redis_result_t result,
    const phrony_resp_t *reply);
static void ngx_phrony_redis_map_complain(ngx_phrony_redis_member_t *member);
static void ngx_phrony_redis_map_apply(ngx_phrony_redis_cluster_t *cluster,
    ngx_phrony_redis_member_t *asked, const phrony_resp_t *reply);
static void ngx_phrony_redis_map_begin(ngx_phrony_redis_cluster_t *cluster);
static ngx_uint_t ngx_phrony_redis_map_assign(
    ngx_phrony_redis_member_t *member, const phrony_range_t *range);
static void ngx_phrony_redis_map_sweep(ngx_phrony_redis_cluster_t *cluster);
static ngx_uint_t ngx_phrony_redis_map_idle(
    ngx_phrony_redis_member_t *member);


void
ngx_phrony_redis_map_init(ngx_phrony_redis_cluster_t *cluster)
{
    cluster->wanted = 1;
    cluster->pause = NGX_PHRONY_REDIS_MAP_PAUSE;
    cluster->asked = ngx_current_msec;

    cluster->timer.handler = ngx_phrony_redis_map_handler;
    cluster->timer.data = cluster;
    cluster->timer.log = cluster->redis->log;
    cluster->timer.cancelable = 1;

    ngx_phrony_redis_member_seed(cluster);
    ngx_phrony_redis_map_schedule(cluster);
}


void
ngx_phrony_redis_map_want(ngx_phrony_redis_cluster_t *cluster)
{
    ngx_msec_int_t  delay;

    if (cluster->troubled || cluster->redis->closing) {
        return;
    }

    cluster->troubled = 1;
    cluster->pause = NGX_PHRONY_REDIS_MAP_PAUSE;

    if (cluster->asking) {
        return;
    }

    delay = (ngx_msec_int_t) (cluster->asked + NGX_PHRONY_REDIS_MAP_PAUSE
                              - ngx_current_msec);

    if (cluster->timer.timer_set) {
        ngx_del_timer(&cluster->timer);
    }

    ngx_add_timer(&cluster->timer, (ngx_msec_t) ngx_max(delay, 0));
}


static void
ngx_phrony_redis_map_handler(ngx_event_t *ev)
{
    ngx_phrony_redis_cluster_t  *cluster;

    ngx_log_debug0(NGX_LOG_DEBUG_EVENT, ev->log, 0, "redis map handler");

    cluster = ev->data;

    ngx_phrony_redis_map_ask(cluster);

    /* else the answer does so */

    if (!cluster->asking) {
        ngx_phrony_redis_map_schedule(cluster);
    }
}


void
ngx_phrony_redis_map_ask(ngx_phrony_redis_cluster_t *cluster)
{
    ngx_phrony_redis_member_t   *member;
    ngx_phrony_redis_command_t  *command;
    static const phrony_str_t    argv[] = {
        phrony_str("CLUSTER"),
        phrony_str("SLOTS")
    };

    if (cluster->asking) {
        return;
    }

    cluster->wanted = 1;
    member = ngx_phrony_redis_member_next(cluster);

    if (member == NULL) {
        ngx_phrony_redis_member_seed(cluster);
        return;
    }

    command = ngx_phrony_redis_format(cluster->redis, 2, argv, 0);
    if (command == NULL) {
        return;
    }

    command->handler = ngx_phrony_redis_map_answer_handler;
    command->data = member;
    command->own = 1;

    if (ngx_phrony_redis_push(member->node, command) != NGX_OK) {
        ngx_phrony_redis_free(cluster->redis, command);
        return;
    }

    cluster->asking = 1;
    cluster->wanted = 0;
    cluster->asked = ngx_current_msec;
}


static void
ngx_phrony_redis_map_schedule(ngx_phrony_redis_cluster_t *cluster)
{
    ngx_msec_t  pause;

    if (cluster->redis->closing) {
        return;
    }

    cluster->troubled = !ngx_phrony_redis_map_settled(cluster);

    pause = NGX_PHRONY_REDIS_MAP_PERIOD;

    if (cluster->troubled) {
        pause = cluster->pause;
        cluster->pause = ngx_min(pause * 2, NGX_PHRONY_REDIS_MAP_MAX_PAUSE);
    }

    if (cluster->timer.timer_set) {
        ngx_del_timer(&cluster->timer);
    }

    ngx_add_timer(&cluster->timer,
                  pause + (ngx_uint_t) ngx_random() % (pause / 10));
}


/* Returns 1 if there is a master for each slot, and each is connected. */

static ngx_uint_t
ngx_phrony_redis_map_settled(ngx_phrony_redis_cluster_t *cluster)
{
    ngx_queue_t                *q;
    ngx_phrony_redis_member_t  *member;

    for (q = ngx_queue_head(&cluster->members);
         q != ngx_queue_sentinel(&cluster->members);
         q = ngx_queue_next(q))
    {
        member = ngx_queue_data(q, ngx_phrony_redis_member_t, queue);

        if (member->serves && !ngx_phrony_redis_node_ready(member->node)) {
            return 0;
        }
    }

    return cluster->whole;
}


static void
ngx_phrony_redis_map_answer_handler(ngx_phrony_redis_command_t *command,
    ngx_phrony_redis_result_t result, const phrony_resp_t *reply)
{
    ngx_phrony_redis_member_t   *member;
    ngx_phrony_redis_cluster_t  *cluster;

    member = command->data;
    cluster = member->cluster;

    cluster->asking = 0;

    if (cluster->redis->closing) {
        return;
    }

    if (result == NGX_PHRONY_REDIS_ANSWERED) {

        if (phrony_topology_slots(reply) == 0) {
            ngx_phrony_redis_map_apply(cluster, member, reply);

        } else {
            ngx_phrony_redis_map_complain(member);
        }
    }

    ngx_phrony_redis_map_schedule(cluster);
}


/* Once, until there is a map. */

static void
ngx_phrony_redis_map_complain(ngx_phrony_redis_member_t *member)
{
    if (member->cluster->complained) {
        return;
    }

    member->cluster->complained = 1;

    ngx_log_error(NGX_LOG_ERR, &member->node->log, 0,
                  "redis did not tell the slots of a cluster");
}


static void
ngx_phrony_redis_map_apply(ngx_phrony_redis_cluster_t *cluster,
    ngx_phrony_redis_member_t *asked, const phrony_resp_t *reply)
{
    size_t                      i;
    ngx_uint_t                  slots;
    phrony_range_t              range;
    ngx_phrony_redis_member_t  *member;

    ngx_log_debug1(NGX_LOG_DEBUG_EVENT, &asked->node->log, 0,
                   "redis map: %uz ranges", reply->n);

    ngx_phrony_redis_map_begin(cluster);

    slots = 0;

    for (i = 0; i < reply->n; i++) {
        phrony_topology_range(reply, i, &range);

        member = ngx_phrony_redis_member(cluster, &range.master,
                                         &asked->node->host);
        if (member) {
            slots += ngx_phrony_redis_map_assign(member, &range);
        }
    }

    cluster->complained = 0;
    cluster->whole = (slots == PHRONY_SLOTS);

    ngx_phrony_redis_map_sweep(cluster);
    ngx_phrony_redis_held_retry(&cluster->held);
}


static void
ngx_phrony_redis_map_begin(ngx_phrony_redis_cluster_t *cluster)
{
    ngx_queue_t                *q;
    ngx_phrony_redis_member_t  *member;

    ngx_memcpy(cluster->before, cluster->slots, sizeof(cluster->slots));
    ngx_memzero(cluster->slots, sizeof(cluster->slots));

    for (q = ngx_queue_head(&cluster->members);
         q != ngx_queue_sentinel(&cluster->members);
         q = ngx_queue_next(q))
    {
        member = ngx_queue_data(q, ngx_phrony_redis_member_t, queue);
        member->serves = 0;
    }
}


/* Returns how many slots they are; 0 if there is no channel for them. */

static ngx_uint_t
ngx_phrony_redis_map_assign(ngx_phrony_redis_member_t *member,
    const phrony_range_t *range)
{
    ngx_uint_t                   slot, awaited;
    ngx_phrony_redis_member_t   *before;
    ngx_phrony_redis_cluster_t  *cluster;

    cluster = member->cluster;
    awaited = ngx_phrony_redis_member_awaited(member);

    member->serves = 1;

    for (slot = range->first; slot <= range->last; slot++) {
        before = cluster->before[slot];

        /* a master that was replaced, and is well, sends commands on */

        if (awaited && before && ngx_phrony_redis_node_ready(before->node)) {
            before->serves = 1;
            cluster->slots[slot] = before;
            continue;
        }

        cluster->slots[slot] = member;
    }

    if (ngx_phrony_redis_member_listen(member) != NGX_OK) {
        return 0;
    }

    return range->last - range->first + 1;
}


/*
 * Closes what has no slots any more, now that the new channels are there: if
 * one was lost, invalidations have a gap until each slot has one again.  While
 * a slot has no master at all, nothing is closed.
 */

static void
ngx_phrony_redis_map_sweep(ngx_phrony_redis_cluster_t *cluster)
{
    ngx_queue_t                *q, *next;
    ngx_phrony_redis_member_t  *member;

    if (!cluster->whole) {
        return;
    }

    for (q = ngx_queue_head(&cluster->members);
         q != ngx_queue_sentinel(&cluster->members);
         q = next)
    {
        next = ngx_queue_next(q);
        member = ngx_queue_data(q, ngx_phrony_redis_member_t, queue);

        if (!member->serves && ngx_phrony_redis_map_idle(member)) {
            ngx_phrony_redis_member_remove(member);
        }
    }
}


/*
 * A node that a slot is on its way to has keys before it has the slot, and
 * what was read there is to be invalidated.
 */

static ngx_uint_t
ngx_phrony_redis_map_idle(ngx_phrony_redis_member_t *member)
{
    ngx_msec_t  kept;

    kept = ngx_phrony_redis_node_ready(member->node)
           ? NGX_PHRONY_REDIS_KEPT_READY : NGX_PHRONY_REDIS_KEPT_DOWN;

    return member->node->ncommands == 0
           && ngx_current_msec - member->named > kept;
}
