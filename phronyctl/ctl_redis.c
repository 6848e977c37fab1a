
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include <stdio.h>
#include <stdlib.h>

#include "phrony_redis_url.h"
#include "phrony_slot.h"
#include "phrony_topology.h"

#include "ctl_link.h"
#include "ctl_node.h"
#include "ctl_options.h"
#include "ctl_output.h"
#include "ctl_redis.h"


#define CTL_REDIS_HOPS   8          /* of a request in a cluster */
#define CTL_REDIS_COUNT  "1000"     /* for SCAN */


static ctl_code_t ctl_redis_master(ctl_t *ctl);
static ctl_code_t ctl_redis_map(ctl_t *ctl);
static ctl_code_t ctl_redis_slots(ctl_t *ctl, size_t asked,
    const phrony_resp_t *reply);
static size_t ctl_redis_node_of(ctl_redis_t *redis,
    const ctl_request_t *request);
static ctl_code_t ctl_redis_ask(ctl_t *ctl, size_t node,
    const ctl_request_t *request, const phrony_resp_t **reply);
static ctl_code_t ctl_redis_settle(ctl_t *ctl, size_t node,
    const ctl_request_t *request, const phrony_resp_t **reply);
static ctl_code_t ctl_redis_redirected(ctl_t *ctl, size_t *node,
    const ctl_request_t *request, const phrony_resp_t **reply);
static ctl_code_t ctl_redis_scan_node(ctl_t *ctl, size_t node,
    const char *pattern, ctl_redis_handler_t handler, void *data);


ctl_code_t
ctl_redis_open(ctl_t *ctl)
{
    ctl_code_t  code;

    if (ctl->redis) {
        return CTL_OK;
    }

    code = ctl_conf_redis(ctl);

    if (code != CTL_OK) {
        return code;
    }

    switch (ctl->redis->url.mode) {

    case PHRONY_REDIS_SENTINEL:
        return ctl_redis_master(ctl);

    case PHRONY_REDIS_CLUSTER:
        return ctl_redis_map(ctl);

    default:
        return ctl_node_single(ctl);
    }
}


void
ctl_redis_close(ctl_t *ctl)
{
    if (ctl->redis) {
        ctl_node_free(ctl->redis);
        ctl->redis = NULL;
    }
}


/* A sentinel that was asked last among equals is no better than the first. */

static ctl_code_t
ctl_redis_master(ctl_t *ctl)
{
    size_t             i, known;
    uint64_t           best;
    ctl_redis_t       *redis;
    ctl_node_place_t   place, found;

    redis = ctl->redis;
    known = 0;
    best = 0;

    for (i = 0; i < redis->url.nhosts; i++) {

        if (ctl_node_sentinel(redis, i, &place) == 0
            && (known == 0 || place.epoch > best))
        {
            known = 1;
            best = place.epoch;
            found = place;
        }
    }

    if (!known) {
        return ctl_fail(ctl, CTL_UNREACHABLE, "no sentinel knows a master "
                        "\"%.*s\": %s", (int) redis->url.master.len,
                        (char *) redis->url.master.data, redis->error);
    }

    return ctl_node_master(ctl, &found);
}


static ctl_code_t
ctl_redis_map(ctl_t *ctl)
{
    size_t                i, node;
    ctl_code_t            code;
    ctl_redis_t          *redis;
    ctl_request_t         request;
    const phrony_str_t    slots = phrony_str("SLOTS");
    const phrony_resp_t  *reply;

    redis = ctl->redis;

    for (i = 0; i < redis->url.nhosts; i++) {
        node = ctl_node_host(redis, i);

        if (ctl_node_open(redis, node) == -1) {
            continue;
        }

        ctl_request(&request, "CLUSTER", &slots);

        code = ctl_redis_ask(ctl, node, &request, &reply);

        return (code == CTL_OK) ? ctl_redis_slots(ctl, node, reply) : code;
    }

    return ctl_fail(ctl, CTL_UNREACHABLE, "no node of the cluster answers: "
                    "%s", redis->error);
}


static ctl_code_t
ctl_redis_slots(ctl_t *ctl, size_t asked, const phrony_resp_t *reply)
{
    size_t          i, node;
    unsigned        slot;
    ctl_redis_t    *redis;
    phrony_range_t  range;

    redis = ctl->redis;

    if (reply->type == PHRONY_RESP_ERROR
        || phrony_topology_slots(reply) == -1)
    {
        return ctl_redis_wrong(ctl, "CLUSTER SLOTS", reply);
    }

    for (slot = 0; slot < PHRONY_SLOTS; slot++) {
        redis->map[slot] = CTL_NODE_NONE;
    }

    for (i = 0; i < reply->n; i++) {
        phrony_topology_range(reply, i, &range);

        node = ctl_node_endpoint(redis, asked, &range.master);

        if (node == CTL_NODE_NONE) {
            return ctl_fail(ctl, CTL_UNREACHABLE, "the cluster has more than "
                            "%d nodes, or does not tell where they are",
                            CTL_NODES_MAX);
        }

        redis->nodes[node].master = 1;

        for (slot = range.first; slot <= range.last; slot++) {
            redis->map[slot] = (unsigned short) node;
        }
    }

    return CTL_OK;
}


void
ctl_request(ctl_request_t *request, const char *command,
    const phrony_str_t *key)
{
    request->argc = 0;
    request->key = 1;

    ctl_request_text(request, command);
    ctl_request_add(request, key);
}


void
ctl_request_script(ctl_request_t *request, const char *script,
    const phrony_str_t *key)
{
    request->argc = 0;
    request->key = 3;

    ctl_request_text(request, "EVAL");
    ctl_request_text(request, script);
    ctl_request_text(request, "1");
    ctl_request_add(request, key);
}


void
ctl_request_add(ctl_request_t *request, const phrony_str_t *word)
{
    request->argv[request->argc++] = *word;
}


void
ctl_request_text(ctl_request_t *request, const char *word)
{
    request->argv[request->argc].data = (unsigned char *) word;
    request->argv[request->argc++].len = strlen(word);
}


static size_t
ctl_redis_node_of(ctl_redis_t *redis, const ctl_request_t *request)
{
    if (redis->url.mode != PHRONY_REDIS_CLUSTER) {
        return redis->data;
    }

    return redis->map[phrony_slot(&request->argv[request->key])];
}


ctl_code_t
ctl_redis_batch(ctl_t *ctl, const ctl_request_t *requests, size_t n,
    ctl_redis_handler_t handler, void *data)
{
    size_t                i, *nodes;
    ctl_code_t            code;
    const phrony_resp_t  *reply;

    reply = NULL;
    code = ctl_redis_open(ctl);

    if (code != CTL_OK) {
        return code;
    }

    /* the map may change while replies come */

    nodes = ctl_alloc(n * sizeof(size_t));

    for (i = 0; i < n && code == CTL_OK; i++) {
        nodes[i] = ctl_redis_node_of(ctl->redis, &requests[i]);
        code = ctl_node_command(ctl, nodes[i], &requests[i]);
    }

    if (code == CTL_OK) {
        code = ctl_node_flush(ctl);
    }

    for (i = 0; i < n && code == CTL_OK; i++) {
        code = ctl_node_receive(ctl, nodes[i], &reply);

        if (code != CTL_OK) {
            break;
        }

        if (reply->type != PHRONY_RESP_ERROR) {
            nodes[i] = CTL_NODE_NONE;
            code = handler(data, i, reply);

        } else if (ctl->redis->url.mode != PHRONY_REDIS_CLUSTER) {
            code = ctl_redis_wrong(ctl, (char *) requests[i].argv[0].data,
                                   reply);
        }
    }

    /* where they are sent now, replies to others were waiting until here */

    for (i = 0; i < n && code == CTL_OK; i++) {

        if (nodes[i] == CTL_NODE_NONE) {
            continue;
        }

        code = ctl_redis_call(ctl, &requests[i], &reply);

        if (code == CTL_OK) {
            code = handler(data, i, reply);
        }
    }

    free(nodes);

    return code;
}


ctl_code_t
ctl_redis_call(ctl_t *ctl, const ctl_request_t *request,
    const phrony_resp_t **reply)
{
    size_t      node;
    ctl_code_t  code;

    code = ctl_redis_open(ctl);

    if (code != CTL_OK) {
        return code;
    }

    node = ctl_redis_node_of(ctl->redis, request);
    code = ctl_redis_ask(ctl, node, request, reply);

    return (code == CTL_OK) ? ctl_redis_settle(ctl, node, request, reply)
                            : code;
}


static ctl_code_t
ctl_redis_ask(ctl_t *ctl, size_t node, const ctl_request_t *request,
    const phrony_resp_t **reply)
{
    ctl_code_t  code;

    code = ctl_node_command(ctl, node, request);

    if (code == CTL_OK) {
        code = ctl_node_flush(ctl);
    }

    return (code == CTL_OK) ? ctl_node_receive(ctl, node, reply) : code;
}


/* Follows redirections, and ends with what is no error. */

static ctl_code_t
ctl_redis_settle(ctl_t *ctl, size_t node, const ctl_request_t *request,
    const phrony_resp_t **reply)
{
    int         hops;
    ctl_code_t  code;

    for (hops = 0; hops < CTL_REDIS_HOPS; hops++) {

        if ((*reply)->type != PHRONY_RESP_ERROR) {
            return CTL_OK;
        }

        if (ctl->redis->url.mode != PHRONY_REDIS_CLUSTER) {
            break;
        }

        code = ctl_redis_redirected(ctl, &node, request, reply);

        if (code != CTL_OK) {
            return code;
        }
    }

    return ctl_redis_wrong(ctl, (char *) request->argv[0].data, *reply);
}


/* Asks once more, and *node from now on. */

static ctl_code_t
ctl_redis_redirected(ctl_t *ctl, size_t *node, const ctl_request_t *request,
    const phrony_resp_t **reply)
{
    ctl_code_t              code;
    ctl_request_t           asking;
    phrony_redirect_t       redirect;
    phrony_redirect_kind_t  kind;

    kind = phrony_topology_redirect(*reply, &redirect);

    if (kind != PHRONY_REDIRECT_MOVED && kind != PHRONY_REDIRECT_ASK) {
        return ctl_redis_wrong(ctl, (char *) request->argv[0].data, *reply);
    }

    *node = ctl_node_endpoint(ctl->redis, *node, &redirect.to);

    if (*node == CTL_NODE_NONE) {
        return ctl_redis_wrong(ctl, (char *) request->argv[0].data, *reply);
    }

    if (kind == PHRONY_REDIRECT_MOVED) {
        ctl->redis->map[redirect.slot] = (unsigned short) *node;
        ctl->redis->nodes[*node].master = 1;

    } else {
        asking.argc = 0;
        ctl_request_text(&asking, "ASKING");

        code = ctl_redis_ask(ctl, *node, &asking, reply);

        if (code != CTL_OK) {
            return code;
        }
    }

    return ctl_redis_ask(ctl, *node, request, reply);
}


ctl_code_t
ctl_redis_scan(ctl_t *ctl, const char *pattern, ctl_redis_handler_t handler,
    void *data)
{
    size_t       i;
    ctl_code_t   code;
    ctl_redis_t *redis;

    code = ctl_redis_open(ctl);

    if (code != CTL_OK) {
        return code;
    }

    redis = ctl->redis;

    if (redis->url.mode != PHRONY_REDIS_CLUSTER) {
        return ctl_redis_scan_node(ctl, redis->data, pattern, handler, data);
    }

    for (i = 0; i < redis->nnodes && code == CTL_OK; i++) {
        if (redis->nodes[i].master) {
            code = ctl_redis_scan_node(ctl, i, pattern, handler, data);
        }
    }

    return code;
}


static ctl_code_t
ctl_redis_scan_node(ctl_t *ctl, size_t node, const char *pattern,
    ctl_redis_handler_t handler, void *data)
{
    char                  cursor[32];
    ctl_code_t            code;
    phrony_str_t          word;
    ctl_request_t         request;
    const phrony_resp_t  *reply;

    snprintf(cursor, sizeof(cursor), "0");

    do {
        word.data = (unsigned char *) cursor;
        word.len = strlen(cursor);

        ctl_request(&request, "SCAN", &word);
        ctl_request_text(&request, "MATCH");
        ctl_request_text(&request, pattern);
        ctl_request_text(&request, "COUNT");
        ctl_request_text(&request, CTL_REDIS_COUNT);

        code = ctl_redis_ask(ctl, node, &request, &reply);

        if (code != CTL_OK) {
            return code;
        }

        if (reply->type != PHRONY_RESP_ARRAY || reply->n != 2
            || reply->elements[0].type != PHRONY_RESP_STRING
            || reply->elements[0].str.len >= sizeof(cursor)
            || reply->elements[1].type != PHRONY_RESP_ARRAY)
        {
            return ctl_redis_wrong(ctl, "SCAN", reply);
        }

        memcpy(cursor, reply->elements[0].str.data,
               reply->elements[0].str.len + 1);

        code = handler(data, 0, &reply->elements[1]);

    } while (code == CTL_OK && strcmp(cursor, "0") != 0);

    return code;
}


ctl_code_t
ctl_redis_time(ctl_t *ctl, const phrony_str_t *key, int64_t *now)
{
    size_t                node;
    ctl_code_t            code;
    ctl_request_t         request;
    const phrony_resp_t  *reply;

    code = ctl_redis_open(ctl);

    if (code != CTL_OK) {
        return code;
    }

    ctl_request(&request, "TIME", key);
    node = ctl_redis_node_of(ctl->redis, &request);
    request.argc = 1;

    code = ctl_redis_ask(ctl, node, &request, &reply);

    if (code != CTL_OK) {
        return code;
    }

    if (reply->type != PHRONY_RESP_ARRAY || reply->n != 2
        || reply->elements[0].type != PHRONY_RESP_STRING
        || reply->elements[1].type != PHRONY_RESP_STRING)
    {
        return ctl_redis_wrong(ctl, "TIME", reply);
    }

    *now = strtoll((char *) reply->elements[0].str.data, NULL, 10) * 1000
           + strtoll((char *) reply->elements[1].str.data, NULL, 10) / 1000;

    return CTL_OK;
}


ctl_code_t
ctl_redis_wrong(ctl_t *ctl, const char *command, const phrony_resp_t *reply)
{
    char        text[256];
    size_t      i;
    ctl_code_t  code;

    static const char  *away[] = {
        "LOADING", "CLUSTERDOWN", "MASTERDOWN", "TRYAGAIN", "BUSY", "READONLY",
        "MOVED", "NOREPLICAS", "MISCONF", "OOM"
    };

    if (reply->type != PHRONY_RESP_ERROR) {
        return ctl_fail(ctl, CTL_UNREACHABLE, "%s: an unexpected reply",
                        command);
    }

    code = CTL_REFUSED;

    for (i = 0; i < sizeof(away) / sizeof(away[0]); i++) {
        if (phrony_resp_is_error(reply, away[i])) {
            code = CTL_UNREACHABLE;
        }
    }

    return ctl_fail(ctl, code, "%s: Redis says: %s%s", command,
                    ctl_safe(text, sizeof(text), (char *) reply->str.data),
                    phrony_resp_is_error(reply, "MOVED")
                    ? "; this is a cluster: redis+cluster://" : "");
}
