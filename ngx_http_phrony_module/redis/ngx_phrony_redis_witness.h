
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_PHRONY_REDIS_WITNESS_H_INCLUDED_
#define _NGX_PHRONY_REDIS_WITNESS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "ngx_phrony_redis_node.h"

#include "../core/phrony_topology.h"


PHRONY_HIDDEN_BEGIN


/* One sentinel, and what it said last of the master. */

typedef struct ngx_phrony_redis_witness_s  ngx_phrony_redis_witness_t;

struct ngx_phrony_redis_witness_s {
    ngx_phrony_redis_node_t      *node;
    void                        (*told)(ngx_phrony_redis_witness_t *witness);
    void                         *data;         /* the owner's */

    unsigned                      heard:1;      /* on this connection */
    unsigned                      complained:1; /* its answer was logged */
    unsigned                      news:1;       /* it changed its mind while
                                                   it was heard */
    unsigned                      overruled:1;  /* by the others; the owner's,
                                                   until it changes its mind */
    ngx_uint_t                    questions;    /* without an answer yet */
    uint64_t                      next_epoch;   /* half of an answer */

    uint64_t                      epoch;        /* higher after a failover */
    ngx_uint_t                    change;       /* when it changed its mind:
                                                   a number that grows */
    ngx_msec_t                    since;        /* likewise, a time */
    in_port_t                     port;
    ngx_str_t                     host;
    u_char                        text[PHRONY_ENDPOINT_HOST_MAX];
};


/*
 * Sets up a witness that is zeroed, and connects it.  It is asked when it
 * becomes ready, and by ngx_phrony_redis_witness_ask().  "told" is called
 * each time it has named the master; it may be NULL.  Returns NGX_OK, or
 * NGX_ERROR if there is no memory.
 */

ngx_int_t ngx_phrony_redis_witness_start(ngx_phrony_redis_witness_t *witness,
    ngx_phrony_redis_t *redis, const phrony_redis_host_t *host);


/* Asks, unless it is not connected or an answer is still to come. */

void ngx_phrony_redis_witness_ask(ngx_phrony_redis_witness_t *witness);


/* Returns 1 if both named the same master last, whatever the epoch, else 0. */

ngx_uint_t ngx_phrony_redis_witness_agrees(
    const ngx_phrony_redis_witness_t *one,
    const ngx_phrony_redis_witness_t *other);


PHRONY_HIDDEN_END


#endif /* _NGX_PHRONY_REDIS_WITNESS_H_INCLUDED_ */
