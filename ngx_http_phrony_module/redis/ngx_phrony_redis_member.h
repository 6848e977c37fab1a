
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_PHRONY_REDIS_MEMBER_H_INCLUDED_
#define _NGX_PHRONY_REDIS_MEMBER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "ngx_phrony_redis_channel.h"
#include "ngx_phrony_redis_held.h"
#include "ngx_phrony_redis_node.h"

#include "../core/phrony_topology.h"


PHRONY_HIDDEN_BEGIN


typedef struct ngx_phrony_redis_cluster_s  ngx_phrony_redis_cluster_t;


/* A node of the cluster, or one that was named as such. */

typedef struct {
    ngx_queue_t                      queue;
    ngx_phrony_redis_cluster_t      *cluster;
    ngx_phrony_redis_node_t         *node;
    ngx_phrony_redis_channel_t      *channel;   /* NULL: it has no keys */
    ngx_msec_t                       named;     /* by a redirection, last */
    unsigned                         serves:1;  /* it has slots */
} ngx_phrony_redis_member_t;


struct ngx_phrony_redis_cluster_s {
    ngx_phrony_redis_t              *redis;
    const ngx_phrony_redis_hooks_t  *hooks;     /* of each member */
    ngx_queue_t                      members;   /* whom to ask next is first */
    ngx_uint_t                       nmembers;
    ngx_phrony_redis_held_t          held;

    ngx_event_t                      timer;     /* until it is asked for the
                                                   map */
    ngx_msec_t                       pause;     /* the next one */
    ngx_msec_t                       asked;     /* when, last */
    unsigned                         asking:1;  /* there is no answer yet */
    unsigned                         wanted:1;  /* nobody could be asked */
    unsigned                         troubled:1;    /* all is not well */
    unsigned                         whole:1;   /* each slot has a master */
    unsigned                         complained:1;  /* that was logged */

    ngx_phrony_redis_member_t       *slots[PHRONY_SLOTS];
    ngx_phrony_redis_member_t       *before[PHRONY_SLOTS];  /* while another
                                                   map is applied */
};


/*
 * Returns the member at this endpoint; if there is none it is made, and
 * connects.  An endpoint without a host is at "host", that of who named it.
 * Returns NULL if the endpoint has no port, or there is no memory.
 */

ngx_phrony_redis_member_t *ngx_phrony_redis_member(
    ngx_phrony_redis_cluster_t *cluster, const phrony_endpoint_t *endpoint,
    const ngx_str_t *host);


/*
 * Makes its channel, if there is none and one is wanted.  Returns NGX_OK, or
 * NGX_ERROR if there is no memory.
 */

ngx_int_t ngx_phrony_redis_member_listen(ngx_phrony_redis_member_t *member);


/*
 * Returns 1 if it is being connected.  So long commands go to the old node of
 * a slot still, and from there wait for this one; once it could not be
 * connected, nobody waits.
 */

ngx_uint_t ngx_phrony_redis_member_awaited(ngx_phrony_redis_member_t *member);


/* Closes a member that has no slots any more. */

void ngx_phrony_redis_member_remove(ngx_phrony_redis_member_t *member);


/* Returns a member that is connected, each in turn; or NULL. */

ngx_phrony_redis_member_t *ngx_phrony_redis_member_next(
    ngx_phrony_redis_cluster_t *cluster);


/* Puts it behind all others. */

void ngx_phrony_redis_member_last(ngx_phrony_redis_member_t *member);


/* Makes members of the nodes in the configuration. */

void ngx_phrony_redis_member_seed(ngx_phrony_redis_cluster_t *cluster);



PHRONY_HIDDEN_END


#endif /* _NGX_PHRONY_REDIS_MEMBER_H_INCLUDED_ */
