
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_phrony_policy_built.h"


static ngx_phrony_policy_state_t ngx_phrony_policy_built_look(
    ngx_phrony_policy_redis_t *policy, ngx_phrony_policy_built_t *built,
    ngx_phrony_root_t *root);


ngx_phrony_policy_built_t *
ngx_phrony_policy_built_create(ngx_phrony_policy_redis_t *policy,
    const u_char digest[PHRONY_KEY_DIGEST_LEN], ngx_uint_t nparts)
{
    size_t                      size;
    ngx_phrony_policy_built_t  *built;

    size = sizeof(ngx_phrony_policy_built_t)
           + nparts * sizeof(ngx_phrony_policy_part_t);

    built = ngx_calloc(size, policy->log);
    if (built == NULL) {
        return NULL;
    }

    built->refs = 1;
    built->bytes = size;
    built->nparts = nparts;

    ngx_memcpy(built->digest, digest, PHRONY_KEY_DIGEST_LEN);

    return built;
}


void
ngx_phrony_policy_built_drop(ngx_phrony_policy_built_t *built)
{
    if (--built->refs) {
        return;
    }

    phrony_policy_free(built->policy);
    ngx_free(built);
}


void
ngx_phrony_policy_built_answer(ngx_phrony_policy_built_t *built,
    ngx_phrony_lookup_t *lookup)
{
    built->refs++;

    lookup->held = built;
    lookup->policy = built->policy;
    lookup->key = built->key;

    lookup->state = built->policy ? NGX_PHRONY_LOOKUP_FOUND
                                  : NGX_PHRONY_LOOKUP_INVALID;
}


ngx_phrony_policy_state_t
ngx_phrony_policy_built_check(ngx_phrony_policy_redis_t *policy,
    ngx_phrony_policy_built_t *built)
{
    ngx_phrony_root_t          *root;
    ngx_phrony_policy_state_t   state;

    if (built->epoch == ngx_phrony_cache_epoch(policy->zone)) {

        /* the clock need not be read while changes are told */

        if (policy->live && built->fetched > policy->live_since) {
            return NGX_PHRONY_POLICY_GOOD;
        }

        if (ngx_phrony_policy_trusted(policy, built->fetched,
                                      policy->zone->clock()))
        {
            return NGX_PHRONY_POLICY_GOOD;
        }
    }

    root = ngx_phrony_zone_lock(policy->zone);

    state = ngx_phrony_policy_built_look(policy, built, root);

    ngx_phrony_zone_unlock(policy->zone);

    return state;
}


static ngx_phrony_policy_state_t
ngx_phrony_policy_built_look(ngx_phrony_policy_redis_t *policy,
    ngx_phrony_policy_built_t *built, ngx_phrony_root_t *root)
{
    ngx_uint_t                  i;
    ngx_phrony_policy_part_t   *part;
    ngx_phrony_policy_state_t   state;

    if (!ngx_phrony_policy_parts_stand(root, built->parts, built->nparts)) {
        return NGX_PHRONY_POLICY_OLD;
    }

    state = NGX_PHRONY_POLICY_GOOD;
    built->epoch = root->cache->epoch;
    built->fetched = built->parts[0].fetched;

    for (i = 0; i < built->nparts; i++) {
        part = &built->parts[i];

        built->fetched = ngx_min(built->fetched, part->fetched);

        part->trusted = ngx_phrony_policy_trusted(policy, part->fetched,
                                                  policy->zone->now);

        if (part->trusted) {
            continue;
        }

        if (!ngx_phrony_policy_usable(policy, root, part->fetched)) {
            return NGX_PHRONY_POLICY_OLD;
        }

        state = NGX_PHRONY_POLICY_USABLE;
    }

    return state;
}


ngx_uint_t
ngx_phrony_policy_built_askable(ngx_phrony_policy_redis_t *policy,
    ngx_phrony_policy_built_t *built)
{
    ngx_uint_t                 i;
    ngx_phrony_policy_part_t  *part;

    for (i = 0; i < built->nparts; i++) {
        part = &built->parts[i];

        if (!part->trusted
            && ngx_phrony_redis_ready(policy->redis, part->slot))
        {
            return 1;
        }
    }

    return 0;
}


ngx_uint_t
ngx_phrony_policy_trusted(ngx_phrony_policy_redis_t *policy, uint64_t fetched,
    uint64_t now)
{
    if (policy->live && fetched > policy->live_since) {
        return 1;
    }

    return now < fetched + policy->cache;
}


ngx_uint_t
ngx_phrony_policy_usable(ngx_phrony_policy_redis_t *policy,
    ngx_phrony_root_t *root, uint64_t fetched)
{
    return policy->zone->now
           < ngx_phrony_cache_good(root, fetched) + policy->stale;
}


ngx_uint_t
ngx_phrony_policy_parts_stand(ngx_phrony_root_t *root,
    ngx_phrony_policy_part_t *parts, ngx_uint_t n)
{
    ngx_uint_t                  i, same;
    ngx_phrony_policy_part_t   *part;
    ngx_phrony_cache_record_t  *record;

    for (i = 0; i < n; i++) {
        part = &parts[i];

        record = ngx_phrony_cache_find(root, &part->name);
        same = record && record->version == part->version;

        if (!same && ngx_phrony_cache_changed(root, &part->name) > part->seen)
        {
            return 0;
        }

        part->seen = root->cache->epoch;

        if (same) {
            part->fetched = ngx_max(part->fetched, record->fetched);
        }
    }

    return 1;
}
