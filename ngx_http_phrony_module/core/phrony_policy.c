
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include <stdlib.h>

#include "phrony_policy_build.h"


static const phrony_trigger_t *phrony_policy_find_trigger(
    const phrony_policy_t *policy, const phrony_index_t *index,
    const phrony_uuid_t *id);
static const uint32_t *phrony_policy_scopes(const phrony_policy_t *policy,
    const phrony_key_t *key);
static size_t phrony_policy_table_bytes(const phrony_table_t *table);
static size_t phrony_policy_index_bytes(const phrony_index_t *index);


const phrony_key_t *
phrony_policy_key(const phrony_policy_t *policy,
    const unsigned char digest[PHRONY_KEY_DIGEST_LEN])
{
    uint32_t  n;

    n = phrony_index_find(&policy->by_digest, &policy->keys, digest);

    if (n == PHRONY_TABLE_NONE) {
        return NULL;
    }

    return phrony_table_at(&policy->keys, n);
}


const phrony_trigger_t *
phrony_policy_trigger(const phrony_policy_t *policy, const phrony_uuid_t *id)
{
    return phrony_policy_find_trigger(policy, &policy->by_trigger, id);
}


const phrony_trigger_t *
phrony_policy_agent(const phrony_policy_t *policy,
    const phrony_uuid_t *agent_id)
{
    return phrony_policy_find_trigger(policy, &policy->by_agent, agent_id);
}


static const phrony_trigger_t *
phrony_policy_find_trigger(const phrony_policy_t *policy,
    const phrony_index_t *index, const phrony_uuid_t *id)
{
    uint32_t  n;

    n = phrony_index_find(index, &policy->triggers, id->bytes);

    if (n == PHRONY_TABLE_NONE) {
        return NULL;
    }

    return phrony_table_at(&policy->triggers, n);
}


const phrony_workspace_t *
phrony_policy_workspace(const phrony_policy_t *policy, uint32_t index)
{
    if (index >= policy->workspaces.n) {
        return NULL;
    }

    return phrony_table_at(&policy->workspaces, index);
}


int
phrony_policy_key_has_trigger(const phrony_policy_t *policy,
    const phrony_key_t *key, const phrony_trigger_t *trigger)
{
    uint32_t                 low, high, middle, number;
    const uint32_t          *scopes;
    const phrony_trigger_t  *first;

    first = policy->triggers.data;
    number = (uint32_t) (trigger - first);

    if (key->scopes != PHRONY_SCOPES_MANY) {
        return key->scopes == PHRONY_SCOPES_ONE && key->scope == number;
    }

    scopes = phrony_policy_scopes(policy, key);
    low = 0;
    high = phrony_policy_nscopes(policy, key);

    while (low < high) {
        middle = low + (high - low) / 2;

        if (scopes[middle] == number) {
            return 1;
        }

        if (scopes[middle] < number) {
            low = middle + 1;

        } else {
            high = middle;
        }
    }

    return 0;
}


uint32_t
phrony_policy_nscopes(const phrony_policy_t *policy, const phrony_key_t *key)
{
    if (key->scopes != PHRONY_SCOPES_MANY) {
        return key->scopes;
    }

    return phrony_policy_scopes(policy, key)[-1];
}


const phrony_trigger_t *
phrony_policy_scope(const phrony_policy_t *policy, const phrony_key_t *key,
    uint32_t n)
{
    uint32_t  trigger;

    trigger = (key->scopes == PHRONY_SCOPES_MANY)
              ? phrony_policy_scopes(policy, key)[n] : key->scope;

    return phrony_table_at(&policy->triggers, trigger);
}


/* Those of a key that has many: their number stands before them. */

static const uint32_t *
phrony_policy_scopes(const phrony_policy_t *policy, const phrony_key_t *key)
{
    return (const uint32_t *) phrony_table_at(&policy->scopes, key->scope) + 1;
}


void
phrony_policy_stat(const phrony_policy_t *policy, phrony_policy_stat_t *stat)
{
    stat->workspaces = policy->workspaces.n;
    stat->triggers = policy->triggers.n;
    stat->keys = policy->keys.n;

    stat->bytes = sizeof(phrony_policy_t)
                  + phrony_policy_table_bytes(&policy->workspaces)
                  + phrony_policy_table_bytes(&policy->triggers)
                  + phrony_policy_table_bytes(&policy->keys)
                  + phrony_policy_table_bytes(&policy->scopes)
                  + phrony_policy_table_bytes(&policy->cidrs)
                  + phrony_policy_table_bytes(&policy->texts)
                  + phrony_policy_index_bytes(&policy->by_digest)
                  + phrony_policy_index_bytes(&policy->by_trigger)
                  + phrony_policy_index_bytes(&policy->by_agent);
}


static size_t
phrony_policy_table_bytes(const phrony_table_t *table)
{
    return table->max * table->size;
}


static size_t
phrony_policy_index_bytes(const phrony_index_t *index)
{
    return index->n * sizeof(phrony_slot_t);
}


void
phrony_policy_free(phrony_policy_t *policy)
{
    if (policy == NULL) {
        return;
    }

    phrony_table_free(&policy->workspaces);
    phrony_table_free(&policy->triggers);
    phrony_table_free(&policy->keys);
    phrony_table_free(&policy->scopes);
    phrony_table_free(&policy->cidrs);
    phrony_table_free(&policy->texts);

    phrony_index_free(&policy->by_digest);
    phrony_index_free(&policy->by_trigger);
    phrony_index_free(&policy->by_agent);

    free(policy);
}
