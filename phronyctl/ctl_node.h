
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef CTL_NODE_H_
#define CTL_NODE_H_


#include "phrony_redis_url.h"
#include "phrony_slot.h"
#include "phrony_topology.h"

#include "ctl_link.h"
#include "ctl_redis.h"


#define CTL_NODES_MAX  1024
#define CTL_NODE_NONE  CTL_NODES_MAX


/* A server, private to ctl_redis.c and ctl_node.c. */

typedef struct {
    char                 host[PHRONY_ENDPOINT_HOST_MAX + 1];
    unsigned             port;          /* 0: a UNIX socket, "host" empty */
    unsigned             open:1;
    unsigned             master:1;      /* of a cluster's slots */
    ctl_link_t           link;
} ctl_node_t;


/* Where a sentinel says that the master is. */

typedef struct {
    char                 host[PHRONY_ENDPOINT_HOST_MAX + 1];
    unsigned             port;
    uint64_t             epoch;         /* of the failover that made it */
} ctl_node_place_t;


struct ctl_redis_s {
    char                *text;          /* of the URL */
    char                *path;          /* of a UNIX socket */
    char                *user;
    char                *password;
    phrony_redis_url_t   url;
    ctl_link_conf_t      conf;
    ctl_node_t          *nodes;
    size_t               nnodes;
    size_t               data;          /* the node, if it is no cluster */
    unsigned short       map[PHRONY_SLOTS];
    char                 error[CTL_ERROR_LEN];
};


/*
 * Reads options and environment, and makes ctl->redis; in ctl_conf.c.  Returns
 * CTL_OK, or CTL_USAGE and has said what is wrong; free() is due either way.
 */

ctl_code_t ctl_conf_redis(ctl_t *ctl);

void ctl_node_free(ctl_redis_t *redis);


/* Connects to the only server, or to the master that sentinels know. */

ctl_code_t ctl_node_single(ctl_t *ctl);
ctl_code_t ctl_node_master(ctl_t *ctl, const ctl_node_place_t *place);


/* Asks the i-th sentinel.  Returns 0, or -1 and redis->error is set. */

int ctl_node_sentinel(ctl_redis_t *redis, size_t i,
    ctl_node_place_t *place);


/* The number of a node, which is made if it is new; CTL_NODE_NONE if there
 * are too many.  "asked" is the node that has told the endpoint. */

size_t ctl_node_host(ctl_redis_t *redis, size_t i);
size_t ctl_node_endpoint(ctl_redis_t *redis, size_t asked,
    const phrony_endpoint_t *endpoint);


/* Connects and greets, once.  Returns 0, or -1 and redis->error is set. */

int ctl_node_open(ctl_redis_t *redis, size_t node);


/*
 * Writes a command for a node, sends what was written for all, and waits for
 * a node's next reply, which lives until the one after it is asked for.
 */

ctl_code_t ctl_node_command(ctl_t *ctl, size_t node,
    const ctl_request_t *request);
ctl_code_t ctl_node_flush(ctl_t *ctl);
ctl_code_t ctl_node_receive(ctl_t *ctl, size_t node,
    const phrony_resp_t **reply);


#endif /* CTL_NODE_H_ */
