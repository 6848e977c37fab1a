
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_phrony_policy_kept.h"


/* of all together */

#define NGX_PHRONY_POLICY_KEPT_MAX    4096
#define NGX_PHRONY_POLICY_KEPT_BYTES  (32 * 1024 * 1024)


static ngx_queue_t *ngx_phrony_policy_kept_chain(
    ngx_phrony_policy_redis_t *policy,
    const u_char digest[PHRONY_KEY_DIGEST_LEN]);
static void ngx_phrony_policy_kept_leave(ngx_phrony_policy_redis_t *policy,
    ngx_phrony_policy_built_t *built);


ngx_phrony_policy_built_t *
ngx_phrony_policy_kept_find(ngx_phrony_policy_redis_t *policy,
    const u_char digest[PHRONY_KEY_DIGEST_LEN])
{
    ngx_queue_t                *q, *chain;
    ngx_phrony_policy_built_t  *built;

    chain = ngx_phrony_policy_kept_chain(policy, digest);

    for (q = ngx_queue_head(chain);
         q != ngx_queue_sentinel(chain);
         q = ngx_queue_next(q))
    {
        built = ngx_queue_data(q, ngx_phrony_policy_built_t, chain);

        if (phrony_equal_const_time(built->digest, digest,
                                    PHRONY_KEY_DIGEST_LEN))
        {
            ngx_queue_remove(&built->queue);
            ngx_queue_insert_head(&policy->recent, &built->queue);

            return built;
        }
    }

    return NULL;
}


void
ngx_phrony_policy_kept_add(ngx_phrony_policy_redis_t *policy,
    ngx_phrony_policy_built_t *built)
{
    ngx_queue_t                *q, *chain;
    ngx_phrony_policy_built_t  *other;

    other = ngx_phrony_policy_kept_find(policy, built->digest);

    if (other == built) {
        return;
    }

    if (other) {
        ngx_phrony_policy_kept_leave(policy, other);
    }

    chain = ngx_phrony_policy_kept_chain(policy, built->digest);

    ngx_queue_insert_head(chain, &built->chain);
    ngx_queue_insert_head(&policy->recent, &built->queue);

    built->refs++;
    policy->nbuilt++;
    policy->bytes += built->bytes;

    while (policy->nbuilt > NGX_PHRONY_POLICY_KEPT_MAX
           || policy->bytes > NGX_PHRONY_POLICY_KEPT_BYTES)
    {
        q = ngx_queue_last(&policy->recent);
        other = ngx_queue_data(q, ngx_phrony_policy_built_t, queue);

        ngx_phrony_policy_kept_leave(policy, other);
    }
}


void
ngx_phrony_policy_kept_clear(ngx_phrony_policy_redis_t *policy)
{
    ngx_queue_t  *q;

    while (!ngx_queue_empty(&policy->recent)) {
        q = ngx_queue_head(&policy->recent);

        ngx_phrony_policy_kept_leave(policy,
                        ngx_queue_data(q, ngx_phrony_policy_built_t, queue));
    }
}


/* A SHA-256 is a hash as it is. */

static ngx_queue_t *
ngx_phrony_policy_kept_chain(ngx_phrony_policy_redis_t *policy,
    const u_char digest[PHRONY_KEY_DIGEST_LEN])
{
    uint32_t  hash;

    ngx_memcpy(&hash, digest, sizeof(uint32_t));

    return &policy->built[hash % NGX_PHRONY_POLICY_REDIS_CHAINS];
}


static void
ngx_phrony_policy_kept_leave(ngx_phrony_policy_redis_t *policy,
    ngx_phrony_policy_built_t *built)
{
    ngx_queue_remove(&built->chain);
    ngx_queue_remove(&built->queue);

    policy->nbuilt--;
    policy->bytes -= built->bytes;

    ngx_phrony_policy_built_drop(built);
}
