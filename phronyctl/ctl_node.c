
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include <stdio.h>
#include <stdlib.h>

#include "ctl_node.h"
#include "ctl_output.h"


static size_t ctl_node_add(ctl_redis_t *redis, const char *host,
    unsigned port);
static int ctl_node_connect(ctl_redis_t *redis, ctl_node_t *node);
static int ctl_node_greet(ctl_redis_t *redis, ctl_node_t *node);
static int ctl_node_auth(ctl_redis_t *redis, ctl_node_t *node);
static int ctl_node_ask(ctl_redis_t *redis, ctl_node_t *node, size_t argc,
    const char *const *words, const phrony_resp_t **reply);
static int ctl_node_ask_master(ctl_redis_t *redis, ctl_node_t *node,
    ctl_node_place_t *place);
static int ctl_node_fail(ctl_redis_t *redis, const ctl_node_t *node,
    const char *what, const char *why);
static int ctl_node_refused(ctl_redis_t *redis, const ctl_node_t *node,
    const char *what, const phrony_resp_t *reply);
static ctl_code_t ctl_node_lost(ctl_t *ctl, size_t node);


void
ctl_node_free(ctl_redis_t *redis)
{
    size_t  i;

    for (i = 0; i < redis->nnodes; i++) {
        if (redis->nodes[i].open) {
            ctl_link_close(&redis->nodes[i].link);
        }
    }

    SSL_CTX_free(redis->conf.ssl);
    free(redis->nodes);
    free(redis->text);
    free(redis->path);
    free(redis->user);
    free(redis->password);
    free(redis);
}


static size_t
ctl_node_add(ctl_redis_t *redis, const char *host, unsigned port)
{
    size_t       i;
    ctl_node_t  *node;

    for (i = 0; i < redis->nnodes; i++) {
        if (redis->nodes[i].port == port
            && strcmp(redis->nodes[i].host, host) == 0)
        {
            return i;
        }
    }

    if (i == CTL_NODES_MAX) {
        return CTL_NODE_NONE;
    }

    node = &redis->nodes[redis->nnodes++];
    memset(node, 0, sizeof(ctl_node_t));
    snprintf(node->host, sizeof(node->host), "%s", host);
    node->port = port;

    return i;
}


size_t
ctl_node_host(ctl_redis_t *redis, size_t i)
{
    char                  host[PHRONY_ENDPOINT_HOST_MAX + 1];
    phrony_redis_host_t  *from;

    from = &redis->url.hosts[i];
    snprintf(host, sizeof(host), "%.*s", (int) from->host.len,
             (char *) from->host.data);

    return ctl_node_add(redis, host, from->port);
}


size_t
ctl_node_endpoint(ctl_redis_t *redis, size_t asked,
    const phrony_endpoint_t *endpoint)
{
    char  host[PHRONY_ENDPOINT_HOST_MAX + 1];

    if (endpoint->port == 0) {
        return CTL_NODE_NONE;
    }

    if (endpoint->host.len == 0) {
        return ctl_node_add(redis, redis->nodes[asked].host, endpoint->port);
    }

    snprintf(host, sizeof(host), "%.*s", (int) endpoint->host.len,
             (char *) endpoint->host.data);

    return ctl_node_add(redis, host, endpoint->port);
}


ctl_code_t
ctl_node_single(ctl_t *ctl)
{
    ctl_redis_t  *redis;

    redis = ctl->redis;

    redis->data = redis->url.nhosts ? ctl_node_host(redis, 0)
                                    : ctl_node_add(redis, "", 0);

    return ctl_node_open(redis, redis->data) == 0
           ? CTL_OK : ctl_fail(ctl, CTL_UNREACHABLE, "%s", redis->error);
}


ctl_code_t
ctl_node_master(ctl_t *ctl, const ctl_node_place_t *place)
{
    ctl_node_t           *node;
    ctl_redis_t          *redis;
    const phrony_resp_t  *reply;

    static const char *const  role[] = { "ROLE" };

    redis = ctl->redis;
    redis->data = ctl_node_add(redis, place->host, place->port);
    node = &redis->nodes[redis->data];

    if (ctl_node_open(redis, redis->data) == -1
        || ctl_node_ask(redis, node, 1, role, &reply) == -1)
    {
        return ctl_fail(ctl, CTL_UNREACHABLE, "%s", redis->error);
    }

    /* a user may not be allowed to ask; what is no master refuses writes */

    if (reply->type == PHRONY_RESP_ARRAY
        && phrony_topology_is_master(reply) != 1)
    {
        return ctl_fail(ctl, CTL_UNREACHABLE, "%s:%u is no master, whatever "
                        "the sentinels say", node->host, node->port);
    }

    return CTL_OK;
}


int
ctl_node_open(ctl_redis_t *redis, size_t n)
{
    ctl_node_t  *node;

    node = &redis->nodes[n];

    if (node->open) {
        return 0;
    }

    if (ctl_node_connect(redis, node) == -1) {
        return -1;
    }

    if (ctl_node_greet(redis, node) == -1) {
        ctl_link_close(&node->link);
        node->open = 0;
        return -1;
    }

    return 0;
}


static int
ctl_node_connect(ctl_redis_t *redis, ctl_node_t *node)
{
    if (ctl_link_open(&node->link, &redis->conf,
                      node->port ? node->host : redis->path, node->port)
        == -1)
    {
        (void) ctl_node_fail(redis, node, "connect", node->link.error);
        ctl_link_close(&node->link);
        return -1;
    }

    node->open = 1;

    return 0;
}


static int
ctl_node_greet(ctl_redis_t *redis, ctl_node_t *node)
{
    char                  db[16];
    const char           *select[] = { "SELECT", db };
    const phrony_resp_t  *reply;

    static const char *const  ping[] = { "PING" };

    if (redis->password[0] && ctl_node_auth(redis, node) == -1) {
        return -1;
    }

    if (redis->url.db) {
        snprintf(db, sizeof(db), "%u", redis->url.db);

        if (ctl_node_ask(redis, node, 2, select, &reply) == -1) {
            return -1;
        }

        if (reply->type != PHRONY_RESP_STATUS) {
            return ctl_node_refused(redis, node, "SELECT", reply);
        }
    }

    if (ctl_node_ask(redis, node, 1, ping, &reply) == -1) {
        return -1;
    }

    if (reply->type != PHRONY_RESP_STATUS
        && !phrony_resp_is_error(reply, "NOPERM"))
    {
        return ctl_node_refused(redis, node, "PING", reply);
    }

    return 0;
}


static int
ctl_node_auth(ctl_redis_t *redis, ctl_node_t *node)
{
    size_t                argc;
    const char           *words[3];
    const phrony_resp_t  *reply;

    argc = 0;
    words[argc++] = "AUTH";

    if (redis->user[0]) {
        words[argc++] = redis->user;
    }

    words[argc++] = redis->password;

    if (ctl_node_ask(redis, node, argc, words, &reply) == -1) {
        return -1;
    }

    return (reply->type == PHRONY_RESP_STATUS)
           ? 0 : ctl_node_refused(redis, node, "AUTH", reply);
}


static int
ctl_node_ask(ctl_redis_t *redis, ctl_node_t *node, size_t argc,
    const char *const *words, const phrony_resp_t **reply)
{
    size_t         i;
    phrony_str_t   argv[4];

    for (i = 0; i < argc; i++) {
        argv[i].data = (unsigned char *) words[i];
        argv[i].len = strlen(words[i]);
    }

    if (ctl_link_command(&node->link, argc, argv) == -1
        || ctl_link_flush(&node->link) == -1)
    {
        (void) ctl_node_fail(redis, node, words[0], node->link.error);
        return -1;
    }

    *reply = ctl_link_reply(&node->link);

    if (*reply == NULL) {
        (void) ctl_node_fail(redis, node, words[0], node->link.error);
        return -1;
    }

    return 0;
}


/* A sentinel has no databases, and often no password. */

int
ctl_node_sentinel(ctl_redis_t *redis, size_t i, ctl_node_place_t *place)
{
    int          rc;
    ctl_node_t   node;

    memset(&node, 0, sizeof(ctl_node_t));
    snprintf(node.host, sizeof(node.host), "%.*s",
             (int) redis->url.hosts[i].host.len,
             (char *) redis->url.hosts[i].host.data);
    node.port = redis->url.hosts[i].port;

    if (ctl_node_connect(redis, &node) == -1) {
        return -1;
    }

    rc = ctl_node_ask_master(redis, &node, place);

    ctl_link_close(&node.link);

    return rc;
}


static int
ctl_node_ask_master(ctl_redis_t *redis, ctl_node_t *node,
    ctl_node_place_t *place)
{
    int                   rc;
    char                 *name;
    const char           *words[3];
    phrony_endpoint_t     master;
    const phrony_resp_t  *reply;

    name = ctl_copy_str(&redis->url.master);

    words[0] = "SENTINEL";
    words[1] = "GET-MASTER-ADDR-BY-NAME";
    words[2] = name;

    rc = ctl_node_ask(redis, node, 3, words, &reply);

    if (rc == 0 && phrony_resp_is_error(reply, "NOAUTH")
        && redis->password[0])
    {
        rc = ctl_node_auth(redis, node);

        if (rc == 0) {
            rc = ctl_node_ask(redis, node, 3, words, &reply);
        }
    }

    if (rc == 0 && phrony_topology_master(reply, &master) != 1) {
        rc = ctl_node_refused(redis, node, "SENTINEL", reply);
    }

    if (rc == 0) {
        snprintf(place->host, sizeof(place->host), "%.*s",
                 (int) master.host.len, (char *) master.host.data);
        place->port = master.port;
        place->epoch = 0;

        words[1] = "MASTER";
        rc = ctl_node_ask(redis, node, 3, words, &reply);
    }

    if (rc == 0) {
        (void) phrony_topology_epoch(reply, &place->epoch);
    }

    free(name);

    return rc;
}


static int
ctl_node_fail(ctl_redis_t *redis, const ctl_node_t *node, const char *what,
    const char *why)
{
    if (node->port == 0) {
        snprintf(redis->error, sizeof(redis->error), "%.100s: %s: %s",
                 redis->path, what, why);
    } else {
        snprintf(redis->error, sizeof(redis->error), "%s:%u: %s: %s",
                 node->host, node->port, what, why);
    }

    return -1;
}


/* What Redis says of AUTH may quote its arguments: its code alone is told. */

static int
ctl_node_refused(ctl_redis_t *redis, const ctl_node_t *node,
    const char *what, const phrony_resp_t *reply)
{
    char  text[256];

    if (reply->type == PHRONY_RESP_NIL) {
        return ctl_node_fail(redis, node, what, "there is none");
    }

    if (reply->type != PHRONY_RESP_ERROR) {
        return ctl_node_fail(redis, node, what, "an unexpected reply");
    }

    (void) ctl_safe(text, sizeof(text), (char *) reply->str.data);

    if (strcmp(what, "AUTH") == 0
        && !phrony_resp_is_error(reply, "WRONGPASS"))
    {
        text[strcspn(text, " ")] = '\0';
    }

    return ctl_node_fail(redis, node, what, text);
}


ctl_code_t
ctl_node_command(ctl_t *ctl, size_t n, const ctl_request_t *request)
{
    ctl_node_t   *node;
    ctl_redis_t  *redis;

    redis = ctl->redis;

    if (n == CTL_NODE_NONE) {
        return ctl_fail(ctl, CTL_UNREACHABLE, "a slot of the cluster is "
                        "nobody's");
    }

    if (ctl_node_open(redis, n) == -1) {
        return ctl_fail(ctl, CTL_UNREACHABLE, "%s", redis->error);
    }

    node = &redis->nodes[n];

    return ctl_link_command(&node->link, request->argc, request->argv) == 0
           ? CTL_OK : ctl_node_lost(ctl, n);
}


ctl_code_t
ctl_node_flush(ctl_t *ctl)
{
    size_t       i;
    ctl_node_t  *node;

    for (i = 0; i < ctl->redis->nnodes; i++) {
        node = &ctl->redis->nodes[i];

        if (node->open && ctl_link_flush(&node->link) == -1) {
            return ctl_node_lost(ctl, i);
        }
    }

    return CTL_OK;
}


ctl_code_t
ctl_node_receive(ctl_t *ctl, size_t node, const phrony_resp_t **reply)
{
    *reply = ctl_link_reply(&ctl->redis->nodes[node].link);

    return *reply ? CTL_OK : ctl_node_lost(ctl, node);
}


/* Says that the connection to a node is lost. */

static ctl_code_t
ctl_node_lost(ctl_t *ctl, size_t n)
{
    ctl_node_t  *node;

    node = &ctl->redis->nodes[n];

    (void) ctl_node_fail(ctl->redis, node, "connection", node->link.error);

    return ctl_fail(ctl, CTL_UNREACHABLE, "%s", ctl->redis->error);
}
