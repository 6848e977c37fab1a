
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_PHRONY_STORE_REDIS_H_INCLUDED_
#define _NGX_PHRONY_STORE_REDIS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "../redis/ngx_phrony_redis.h"
#include "ngx_phrony_store.h"
#include "ngx_phrony_tell.h"
#include "ngx_phrony_zone.h"


PHRONY_HIDDEN_BEGIN


/*
 * The store that gateways share.  Redis decides; the zone keeps what this
 * gateway knows: refusals that still hold, the runs that passed through it,
 * the last counts it saw, and what Redis is still to be told.  While Redis is
 * away the zone decides, for those who let it.
 */

typedef struct {
    ngx_phrony_store_t          store;
    ngx_phrony_zone_t          *zone;
    ngx_str_t                   prefix;     /* of the keys: "phrony" */
    ngx_uint_t                  cluster;    /* keys have slots */
    ngx_phrony_teller_t        *teller;     /* of this worker, or NULL */
    uint64_t                    leases;     /* first half of their ids */
    uint64_t                    last_lease; /* second half */
} ngx_phrony_store_redis_t;


/*
 * Makes a store over the zone, at configuration time; it decides by the zone
 * alone until ngx_phrony_store_redis_start().  "zone" and the bytes of
 * "prefix" must outlive it.  "cluster" says that keys have slots.
 */

void ngx_phrony_store_redis_init(ngx_phrony_store_redis_t *store,
    ngx_phrony_zone_t *zone, ngx_str_t *prefix, ngx_uint_t cluster);


/*
 * Begins to ask Redis, in a worker.  "redis" may be NULL in a process without
 * a connection: all is local there then.
 * Returns NGX_OK, or NGX_ERROR if there is no memory or OpenSSL has no random
 * bytes.
 */

ngx_int_t ngx_phrony_store_redis_start(ngx_phrony_store_redis_t *store,
    ngx_phrony_redis_t *redis);


/* To be called whenever a node has become ready: Redis is told things. */

void ngx_phrony_store_redis_ready(ngx_phrony_store_redis_t *store);


/*
 * Hands over to the pipeline what waits for company.  To be called at the end
 * of a worker before ngx_phrony_redis_destroy(), which writes it; from then
 * on nothing is sent, and what was not told stays in the zone for others.
 */

void ngx_phrony_store_redis_flush(ngx_phrony_store_redis_t *store);


/* To be called after ngx_phrony_redis_destroy(): frees all of the worker's. */

void ngx_phrony_store_redis_stop(ngx_phrony_store_redis_t *store);


PHRONY_HIDDEN_END


#endif /* _NGX_PHRONY_STORE_REDIS_H_INCLUDED_ */
