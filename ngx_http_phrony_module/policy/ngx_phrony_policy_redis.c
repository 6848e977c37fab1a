
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_phrony_policy_redis.h"
#include "ngx_phrony_policy_fetch.h"
#include "ngx_phrony_policy_kept.h"


static ngx_int_t ngx_phrony_policy_redis_find(ngx_phrony_source_t *source,
    ngx_phrony_lookup_t *lookup);
static void ngx_phrony_policy_redis_release(ngx_phrony_source_t *source,
    ngx_phrony_lookup_t *lookup);
static void ngx_phrony_policy_redis_stat(ngx_phrony_source_t *source,
    phrony_policy_stat_t *stat);


static ngx_phrony_source_t  ngx_phrony_policy_redis = {
    ngx_phrony_policy_redis_find,
    ngx_phrony_policy_redis_release,
    ngx_phrony_policy_redis_stat
};


static ngx_str_t  ngx_phrony_policy_redis_kinds[] = {
    ngx_string(":key:"),
    ngx_string(":workspace:"),
    ngx_string(":trigger:")
};


void
ngx_phrony_policy_redis_init(ngx_phrony_policy_redis_t *policy,
    ngx_phrony_zone_t *zone, ngx_str_t *prefix, ngx_msec_t cache,
    ngx_msec_t stale)
{
    ngx_memzero(policy, sizeof(ngx_phrony_policy_redis_t));

    policy->source = ngx_phrony_policy_redis;
    policy->zone = zone;
    policy->prefix.data = prefix->data;
    policy->prefix.len = prefix->len;
    policy->cache = cache;
    policy->stale = stale;
}


phrony_str_t *
ngx_phrony_policy_redis_prefixes(ngx_phrony_policy_redis_t *policy,
    ngx_pool_t *pool)
{
    u_char        *p;
    ngx_str_t     *kind;
    ngx_uint_t     i;
    phrony_str_t  *prefixes;

    prefixes = ngx_palloc(pool, NGX_PHRONY_POLICY_REDIS_PREFIXES
                                * sizeof(phrony_str_t));
    if (prefixes == NULL) {
        return NULL;
    }

    for (i = 0; i < NGX_PHRONY_POLICY_REDIS_PREFIXES; i++) {
        kind = &ngx_phrony_policy_redis_kinds[i];

        p = ngx_pnalloc(pool, policy->prefix.len + kind->len);
        if (p == NULL) {
            return NULL;
        }

        prefixes[i].data = p;
        prefixes[i].len = policy->prefix.len + kind->len;

        p = ngx_cpymem(p, policy->prefix.data, policy->prefix.len);
        ngx_memcpy(p, kind->data, kind->len);
    }

    return prefixes;
}


ngx_int_t
ngx_phrony_policy_redis_start(ngx_phrony_policy_redis_t *policy,
    ngx_phrony_redis_t *redis, ngx_log_t *log)
{
    ngx_uint_t  i, n;

    n = NGX_PHRONY_POLICY_REDIS_CHAINS;

    policy->log = log;
    policy->built = ngx_alloc(n * sizeof(ngx_queue_t), log);
    policy->fetches = ngx_calloc(n * sizeof(void *), log);
    policy->name = ngx_alloc(policy->prefix.len + PHRONY_POLICY_NAME_LEN, log);

    if (policy->built == NULL
        || policy->fetches == NULL
        || policy->name == NULL)
    {
        ngx_free(policy->built);
        ngx_free(policy->fetches);
        ngx_free(policy->name);

        return NGX_ERROR;
    }

    for (i = 0; i < n; i++) {
        ngx_queue_init(&policy->built[i]);
    }

    ngx_queue_init(&policy->recent);
    policy->redis = redis;

    return NGX_OK;
}


void
ngx_phrony_policy_redis_stop(ngx_phrony_policy_redis_t *policy)
{
    if (policy->redis == NULL) {
        return;
    }

    ngx_phrony_policy_redis_live(policy, 0);

    ngx_phrony_policy_fetch_clear(policy);
    ngx_phrony_policy_kept_clear(policy);

    ngx_free(policy->built);
    ngx_free(policy->fetches);
    ngx_free(policy->name);

    policy->redis = NULL;
}


static ngx_int_t
ngx_phrony_policy_redis_find(ngx_phrony_source_t *source,
    ngx_phrony_lookup_t *lookup)
{
    ngx_phrony_policy_redis_t  *policy;
    ngx_phrony_policy_fetch_t  *fetch;
    ngx_phrony_policy_built_t  *built;
    ngx_phrony_policy_state_t   state;

    policy = (ngx_phrony_policy_redis_t *) source;

    lookup->held = NULL;
    lookup->policy = NULL;
    lookup->key = NULL;

    if (policy->redis == NULL) {
        lookup->state = NGX_PHRONY_LOOKUP_UNAVAILABLE;
        return NGX_OK;
    }

    built = ngx_phrony_policy_kept_find(policy, lookup->digest);

    if (built) {
        state = ngx_phrony_policy_built_check(policy, built);

        if (state == NGX_PHRONY_POLICY_GOOD
            || (state == NGX_PHRONY_POLICY_USABLE
                && !ngx_phrony_policy_built_askable(policy, built)))
        {
            ngx_phrony_policy_built_answer(built, lookup);
            return NGX_OK;
        }
    }

    fetch = ngx_phrony_policy_fetch_find(policy, lookup->digest);

    if (fetch == NULL) {
        return ngx_phrony_policy_fetch_begin(policy, lookup);
    }

    ngx_phrony_policy_fetch_wait(fetch, lookup);

    return NGX_AGAIN;
}


static void
ngx_phrony_policy_redis_release(ngx_phrony_source_t *source,
    ngx_phrony_lookup_t *lookup)
{
    ngx_phrony_policy_held_t  *held;

    held = lookup->held;
    lookup->held = NULL;

    if (held == NULL) {
        return;
    }

    if (held->waiting) {
        ngx_queue_remove(&lookup->queue);
        return;
    }

    ngx_phrony_policy_built_drop((ngx_phrony_policy_built_t *) held);
}


static void
ngx_phrony_policy_redis_stat(ngx_phrony_source_t *source,
    phrony_policy_stat_t *stat)
{
    ngx_phrony_zone_t   *zone;
    ngx_phrony_root_t   *root;
    ngx_phrony_cache_t  *cache;

    zone = ((ngx_phrony_policy_redis_t *) source)->zone;

    root = ngx_phrony_zone_lock(zone);

    cache = root->cache;

    stat->workspaces = cache->n[PHRONY_POLICY_NAME_WORKSPACE];
    stat->triggers = cache->n[PHRONY_POLICY_NAME_TRIGGER];
    stat->keys = cache->n[PHRONY_POLICY_NAME_KEY];
    stat->bytes = cache->bytes;

    ngx_phrony_zone_unlock(zone);
}


void
ngx_phrony_policy_redis_invalidated(ngx_phrony_policy_redis_t *policy,
    const phrony_str_t *key)
{
    phrony_policy_name_t  name;

    if (key && phrony_policy_name_parse(key, &policy->prefix, &name) == -1) {
        return;
    }

    (void) ngx_phrony_zone_lock(policy->zone);

    ngx_phrony_cache_forget(policy->zone, key ? &name : NULL);

    ngx_phrony_zone_unlock(policy->zone);
}


void
ngx_phrony_policy_redis_live(ngx_phrony_policy_redis_t *policy,
    ngx_uint_t live)
{
    ngx_phrony_root_t  *root;

    if (policy->live) {
        root = ngx_phrony_zone_lock(policy->zone);

        ngx_phrony_cache_watched(root, policy->live_since, policy->zone->now);

        ngx_phrony_zone_unlock(policy->zone);
    }

    policy->live = live;
    policy->live_since = policy->zone->clock();
}
