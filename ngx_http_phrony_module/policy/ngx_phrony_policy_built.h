
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_PHRONY_POLICY_BUILT_H_INCLUDED_
#define _NGX_PHRONY_POLICY_BUILT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "../core/phrony_policy_name.h"
#include "../store/ngx_phrony_cache.h"
#include "ngx_phrony_policy_redis.h"


PHRONY_HIDDEN_BEGIN


/* A record as it was read. */

typedef struct {
    phrony_policy_name_t         name;
    ngx_uint_t                   slot;          /* of Redis Cluster */
    uint64_t                     version;       /* in the zone; 0: it is not
                                                   kept there */
    uint64_t                     seen;          /* the epoch then */
    uint64_t                     fetched;       /* ms of the zone's clock */
    unsigned                     trusted:1;     /* as found by a check */
} ngx_phrony_policy_part_t;


/* What a lookup holds begins with this. */

typedef struct {
    ngx_uint_t                   waiting;       /* it is a fetch */
} ngx_phrony_policy_held_t;


/*
 * What was built of the records of one key, by this worker: a policy, or the
 * knowledge that there can be none.  It goes when it is neither kept nor held.
 */

struct ngx_phrony_policy_built_s {
    ngx_phrony_policy_held_t     held;          /* not waiting */
    ngx_queue_t                  chain;         /* in policy->built[] */
    ngx_queue_t                  queue;         /* in policy->recent */
    u_char                       digest[PHRONY_KEY_DIGEST_LEN];
    ngx_uint_t                   refs;
    size_t                       bytes;

    phrony_policy_t             *policy;        /* NULL: INVALID */
    const phrony_key_t          *key;

    uint64_t                     epoch;         /* when it was last checked */
    uint64_t                     fetched;       /* the eldest part */
    ngx_uint_t                   nparts;
    ngx_phrony_policy_part_t     parts[1];
};


typedef enum {
    NGX_PHRONY_POLICY_GOOD = 0,
    NGX_PHRONY_POLICY_USABLE,       /* if nobody can be asked */
    NGX_PHRONY_POLICY_OLD
} ngx_phrony_policy_state_t;


/*
 * Room for a new one of "nparts", with one reference, neither kept nor
 * filled but for this and the digest; or NULL.
 */

ngx_phrony_policy_built_t *ngx_phrony_policy_built_create(
    ngx_phrony_policy_redis_t *policy,
    const u_char digest[PHRONY_KEY_DIGEST_LEN], ngx_uint_t nparts);

/* Gives a reference back. */

void ngx_phrony_policy_built_drop(ngx_phrony_policy_built_t *built);

/* Makes it the answer, with a reference to it. */

void ngx_phrony_policy_built_answer(ngx_phrony_policy_built_t *built,
    ngx_phrony_lookup_t *lookup);


/*
 * May it be used?  Mostly costs no lock.  If the answer is USABLE, its parts
 * tell which of them are not trusted.
 */

ngx_phrony_policy_state_t ngx_phrony_policy_built_check(
    ngx_phrony_policy_redis_t *policy, ngx_phrony_policy_built_t *built);

/* Returns 1 if Redis can be asked for a part that is not trusted, else 0. */

ngx_uint_t ngx_phrony_policy_built_askable(ngx_phrony_policy_redis_t *policy,
    ngx_phrony_policy_built_t *built);


/* May a text be used that was asked for then? */

ngx_uint_t ngx_phrony_policy_trusted(ngx_phrony_policy_redis_t *policy,
    uint64_t fetched, uint64_t now);

/* And if nobody can be asked?  With the zone's lock held. */

ngx_uint_t ngx_phrony_policy_usable(ngx_phrony_policy_redis_t *policy,
    ngx_phrony_root_t *root, uint64_t fetched);

/*
 * Returns 1 if no part has changed since it was read, and marks them as seen
 * now; else 0.  With the zone's lock held.
 */

ngx_uint_t ngx_phrony_policy_parts_stand(ngx_phrony_root_t *root,
    ngx_phrony_policy_part_t *parts, ngx_uint_t n);


PHRONY_HIDDEN_END


#endif /* _NGX_PHRONY_POLICY_BUILT_H_INCLUDED_ */
