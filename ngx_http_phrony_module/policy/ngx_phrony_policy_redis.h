
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_PHRONY_POLICY_REDIS_H_INCLUDED_
#define _NGX_PHRONY_POLICY_REDIS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "../redis/ngx_phrony_redis.h"
#include "../store/ngx_phrony_zone.h"
#include "ngx_phrony_policy.h"


#define NGX_PHRONY_POLICY_REDIS_CHAINS    1024
#define NGX_PHRONY_POLICY_REDIS_PREFIXES  3


PHRONY_HIDDEN_BEGIN


/*
 * Policy records in Redis, one string each, fetched when somebody asks for a
 * key:
 *
 *     <prefix>:key:<SHA-256>
 *     <prefix>:workspace:<id>
 *     <prefix>:trigger:<id>
 *
 * The texts are cached in the zone, for all workers; what a worker has built
 * of those of one key is on its heap.  A text is used without asking for
 * "cache" ms after it was asked for, and longer while this worker is told of
 * changes, and has been since before.  While Redis is away it is used for
 * "stale" ms after it was last known to be good.  Once told to have changed,
 * it is not used again by any worker.
 */

typedef struct ngx_phrony_policy_built_s  ngx_phrony_policy_built_t;
typedef struct ngx_phrony_policy_fetch_s  ngx_phrony_policy_fetch_t;


typedef struct {
    ngx_phrony_source_t          source;        /* the first member */

    ngx_phrony_zone_t           *zone;
    phrony_str_t                 prefix;
    uint64_t                     cache;         /* ms */
    uint64_t                     stale;         /* ms */

    /* a worker's */

    ngx_phrony_redis_t          *redis;         /* NULL: not started */
    ngx_log_t                   *log;
    ngx_uint_t                   live;          /* told of changes */
    uint64_t                     live_since;    /* ms of the zone's clock */
    uint64_t                     complained;    /* when last, of Redis */
    u_char                      *name;          /* room for one of a record */

    ngx_queue_t                 *built;         /* chains, by digest */
    ngx_queue_t                  recent;        /* built, last used last */
    ngx_uint_t                   nbuilt;
    size_t                       bytes;         /* of built */
    ngx_phrony_policy_fetch_t  **fetches;       /* chains, by digest */
} ngx_phrony_policy_redis_t;


/*
 * At the time of configuration.  The bytes of "prefix" must outlive it.  Until
 * start() find() answers UNAVAILABLE.
 */

void ngx_phrony_policy_redis_init(ngx_phrony_policy_redis_t *policy,
    ngx_phrony_zone_t *zone, ngx_str_t *prefix, ngx_msec_t cache,
    ngx_msec_t stale);


/*
 * What the observer of the worker's Redis is to be told of: makes
 * NGX_PHRONY_POLICY_REDIS_PREFIXES of them from "pool", or returns NULL if
 * there is no memory.  May be called before start().
 */

phrony_str_t *ngx_phrony_policy_redis_prefixes(
    ngx_phrony_policy_redis_t *policy, ngx_pool_t *pool);


/*
 * In a worker, when "redis" was created.  Returns NGX_OK, or NGX_ERROR if
 * there is no memory.
 */

ngx_int_t ngx_phrony_policy_redis_start(ngx_phrony_policy_redis_t *policy,
    ngx_phrony_redis_t *redis, ngx_log_t *log);


/*
 * At the end of a worker, after ngx_phrony_redis_destroy(), which ends all
 * waiting, and after the last release().  Does nothing if it was not started.
 */

void ngx_phrony_policy_redis_stop(ngx_phrony_policy_redis_t *policy);


/*
 * To be called by the observer, see ngx_phrony_redis_observer_t.  "key" may be
 * any key, also one that is no record's; NULL: all of them.
 */

void ngx_phrony_policy_redis_invalidated(ngx_phrony_policy_redis_t *policy,
    const phrony_str_t *key);

void ngx_phrony_policy_redis_live(ngx_phrony_policy_redis_t *policy,
    ngx_uint_t live);


PHRONY_HIDDEN_END


#endif /* _NGX_PHRONY_POLICY_REDIS_H_INCLUDED_ */
