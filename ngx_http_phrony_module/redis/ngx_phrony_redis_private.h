
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_PHRONY_REDIS_PRIVATE_H_INCLUDED_
#define _NGX_PHRONY_REDIS_PRIVATE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "ngx_phrony_redis.h"


/* What the files of redis/ share; nobody else includes this. */


#define NGX_PHRONY_REDIS_BUFFER      32768      /* in, out */
#define NGX_PHRONY_REDIS_MAX_QUEUED  16384      /* commands of one node */
#define NGX_PHRONY_REDIS_MAX_BYTES   (16 * 1024 * 1024)
#define NGX_PHRONY_REDIS_ATTEMPTS    5          /* of one command */
#define NGX_PHRONY_REDIS_POOL        256

#define NGX_PHRONY_REDIS_REPLY_BYTES     (8 * 1024 * 1024)
#define NGX_PHRONY_REDIS_REPLY_ELEMENTS  100000


PHRONY_HIDDEN_BEGIN


typedef struct ngx_phrony_redis_node_s  ngx_phrony_redis_node_t;


/*
 * How the servers behind a URL belong together.  A topology makes the nodes,
 * chooses among them, and hears of them by the hooks it gives them (see
 * ngx_phrony_redis_node.h); its own state is at redis->map.
 */

typedef struct {

    /*
     * Makes the first nodes and sets redis->map.  Returns NGX_OK, or
     * NGX_ERROR if there is no memory: then destroy() is called still.
     */

    ngx_int_t                  (*start)(ngx_phrony_redis_t *redis);

    /*
     * Returns the node that commands for this slot, or for
     * NGX_PHRONY_REDIS_ANY, go to, connected or not; or NULL.
     */

    ngx_phrony_redis_node_t   *(*route)(ngx_phrony_redis_t *redis,
                                        ngx_uint_t slot);

    /*
     * A node has answered a command by an error.  Returns 1 if the command is
     * the topology's now: it has been pushed to a node, or will be later, or
     * will be finished by ngx_phrony_redis_finish(), maybe at once; 0 if the
     * error is the sender's business.  NOSCRIPT does not come here.
     */

    ngx_uint_t                 (*refused)(ngx_phrony_redis_node_t *node,
                                          ngx_phrony_redis_command_t *command,
                                          const phrony_resp_t *reply);

    /*
     * Destroys the nodes, finishes the commands it has kept back, and frees
     * redis->map, which may be NULL.
     */

    void                       (*destroy)(ngx_phrony_redis_t *redis);
} ngx_phrony_redis_topology_t;


/* Commands that were freed, linked by their "data", as room for others. */

typedef struct {
    ngx_phrony_redis_command_t        *free;
    ngx_uint_t                         nfree;
} ngx_phrony_redis_rooms_t;


struct ngx_phrony_redis_s {
    ngx_phrony_redis_conf_t           *conf;
    ngx_phrony_redis_observer_t       *observer;
    ngx_phrony_redis_counters_t       *counters;
    ngx_log_t                         *log;

    const ngx_phrony_redis_topology_t *topology;
    void                              *map;

    ngx_phrony_redis_rooms_t           small;
    ngx_phrony_redis_rooms_t           medium;
    u_char                            *buffer;  /* what is being read */
    ngx_uint_t                         answered;    /* not yet counted */

    ngx_uint_t                         nchannels;
    ngx_uint_t                         nstanding;   /* channels without gap */
    unsigned                           live:1;  /* as told to the observer */
    unsigned                           closing:1;   /* connects no more */
};


/*
 * Returns the node for a slot, connected or not, or NULL; NULL while all is
 * being closed, when a topology may have parts that are gone.
 */

ngx_phrony_redis_node_t *ngx_phrony_redis_route(ngx_phrony_redis_t *redis,
    ngx_uint_t slot);


/*
 * Ends a command: counts it, calls its handler, if there is one, and frees
 * it.  "reply" is NULL but for ANSWERED.
 */

void ngx_phrony_redis_finish(ngx_phrony_redis_t *redis,
    ngx_phrony_redis_command_t *command, ngx_phrony_redis_result_t result,
    const phrony_resp_t *reply);


/* Returns 1 if the command may be tried once more, and counts the try. */

ngx_uint_t ngx_phrony_redis_again(ngx_phrony_redis_command_t *command);


PHRONY_HIDDEN_END


#endif /* _NGX_PHRONY_REDIS_PRIVATE_H_INCLUDED_ */
