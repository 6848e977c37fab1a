
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include <stdlib.h>

#include "phrony_policy_build.h"


static int phrony_policy_scopes_read(phrony_policy_build_t *build,
    phrony_record_t *record, const phrony_key_t *key);
static int phrony_policy_scopes_find(phrony_policy_build_t *build,
    const phrony_record_t *record, const phrony_key_t *key,
    uint32_t *trigger);
static int phrony_policy_scopes_fail(const phrony_record_t *record,
    uint32_t n, const char *before, const char *after);
static uint32_t phrony_policy_scopes_sort(uint32_t *triggers, uint32_t n);
static int phrony_policy_scopes_compare(const void *one, const void *two);


/* They are read behind their number, and left there if there are many. */

int
phrony_policy_scopes_add(phrony_policy_build_t *build,
    phrony_record_t *record, phrony_key_t *key)
{
    uint32_t         first, n, *scopes;
    phrony_table_t  *table;

    n = 0;
    table = &build->policy->scopes;
    first = table->n;

    if (phrony_table_push(table, &n) == -1) {
        return phrony_policy_build_nomem(build);
    }

    if (phrony_policy_scopes_read(build, record, key) == -1) {
        return -1;
    }

    scopes = phrony_table_at(table, first);
    n = phrony_policy_scopes_sort(scopes + 1, table->n - first - 1);

    if (n < PHRONY_SCOPES_MANY) {
        key->scopes = n;
        key->scope = n ? scopes[1] : 0;
        table->n = first;

        return 0;
    }

    key->scopes = PHRONY_SCOPES_MANY;
    key->scope = first;
    scopes[0] = n;
    table->n = first + 1 + n;

    return 0;
}


/* Appends the number of each scope's trigger to policy->scopes. */

static int
phrony_policy_scopes_read(phrony_policy_build_t *build,
    phrony_record_t *record, const phrony_key_t *key)
{
    size_t         i, n;
    uint32_t       trigger;
    const json_t  *list;

    list = NULL;

    if (phrony_record_array(record, "scopes", &list) == -1) {
        return -1;
    }

    n = json_array_size(list);

    for (i = 0; i < n; i++) {
        record->scope = json_array_get(list, i);
        record->nscope = i + 1;

        trigger = PHRONY_TABLE_NONE;

        if (phrony_policy_scopes_find(build, record, key, &trigger) == -1) {
            return -1;
        }

        if (trigger == PHRONY_TABLE_NONE) {
            continue;
        }

        if (phrony_table_push(&build->policy->scopes, &trigger) == -1) {
            return phrony_policy_build_nomem(build);
        }
    }

    record->scope = NULL;
    record->nscope = 0;

    return 0;
}


/*
 * Finds the trigger of the scope that is being read, PHRONY_TABLE_NONE if it
 * may be missing and is.
 */

static int
phrony_policy_scopes_find(phrony_policy_build_t *build,
    const phrony_record_t *record, const phrony_key_t *key, uint32_t *trigger)
{
    uint32_t                 n;
    phrony_uuid_t            id, agent_id;
    const phrony_policy_t   *policy;
    const phrony_trigger_t  *found;

    policy = build->policy;

    if (!json_is_object(record->scope)) {
        return phrony_record_fail(record, "it is not an object");
    }

    if (phrony_record_uuid(record, "triggerId", &id) == -1) {
        return -1;
    }

    n = phrony_index_find(&policy->by_trigger, &policy->triggers, id.bytes);

    *trigger = n;

    if (n == PHRONY_TABLE_NONE) {
        if (build->partial) {
            return 0;
        }

        return phrony_record_fail(record, "member \"triggerId\" names no "
                                  "trigger");
    }

    found = phrony_table_at(&policy->triggers, n);

    if (phrony_record_get(record, "agentId")) {
        if (phrony_record_uuid(record, "agentId", &agent_id) == -1) {
            return -1;
        }

        if (!phrony_uuid_eq(&agent_id, &found->agent_id)) {
            return phrony_policy_scopes_fail(record, n, "member \"agentId\" "
                                             "is not the agent of", "");
        }
    }

    if (found->workspace != key->workspace) {
        return phrony_policy_scopes_fail(record, n, "member \"triggerId\" "
                                         "names", ", of another workspace "
                                         "than the key's");
    }

    return 0;
}


/* A sentence with trigger "n" in it, which has a number if the key has. */

static int
phrony_policy_scopes_fail(const phrony_record_t *record, uint32_t n,
    const char *before, const char *after)
{
    if (record->number == 0) {
        return phrony_record_fail(record, "%s the trigger%s", before, after);
    }

    return phrony_record_fail(record, "%s trigger %zu%s", before,
                              (size_t) n + 1, after);
}


/* Sorts the numbers and keeps one of each; returns how many are left. */

static uint32_t
phrony_policy_scopes_sort(uint32_t *triggers, uint32_t n)
{
    uint32_t  i, last;

    if (n < 2) {
        return n;
    }

    qsort(triggers, n, sizeof(uint32_t), phrony_policy_scopes_compare);

    last = 0;

    for (i = 1; i < n; i++) {
        if (triggers[i] != triggers[last]) {
            triggers[++last] = triggers[i];
        }
    }

    return last + 1;
}


static int
phrony_policy_scopes_compare(const void *one, const void *two)
{
    uint32_t  a, b;

    a = *(const uint32_t *) one;
    b = *(const uint32_t *) two;

    return (a > b) - (a < b);
}
