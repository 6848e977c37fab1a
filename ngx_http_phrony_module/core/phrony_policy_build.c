
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include <stdio.h>
#include <stdlib.h>

#include "phrony_policy_build.h"


/* see phrony_key_t */

_Static_assert(sizeof(phrony_key_t) == PHRONY_MEMORY_ALIGN,
               "a key is one line of the cache");
_Static_assert(PHRONY_TABLE_MAX < 1 << 30, "an index has 30 bits");


static int phrony_policy_build_push_workspace(phrony_policy_build_t *build,
    const phrony_workspace_t *workspace);
static int phrony_policy_build_unique(const phrony_record_t *record,
    const char *member, uint32_t other);
static int phrony_policy_build_reference(phrony_policy_build_t *build,
    const phrony_record_t *record, uint32_t *workspace);
static int phrony_policy_build_limits(const phrony_record_t *record,
    phrony_trigger_t *trigger);
static int phrony_policy_build_cidrs(phrony_policy_build_t *build,
    const phrony_record_t *record, phrony_trigger_t *trigger);
static int phrony_policy_build_cidr(const phrony_record_t *record,
    const json_t *value, size_t n, phrony_cidr_t *cidr);
static int phrony_policy_build_key_members(const phrony_record_t *record,
    phrony_key_t *key);
static void phrony_policy_build_fix(phrony_policy_t *policy);


int
phrony_policy_build_init(phrony_policy_build_t *build,
    phrony_policy_error_t *error)
{
    uint64_t          seed;
    phrony_policy_t  *policy;

    build->error = error;
    build->partial = 0;

    policy = malloc(sizeof(phrony_policy_t));
    build->policy = policy;

    if (policy == NULL) {
        return phrony_policy_build_nomem(build);
    }

    /* whoever picks ids does not know where the heap is */

    seed = (uint64_t) (uintptr_t) policy;

    phrony_table_init(&policy->workspaces, sizeof(phrony_workspace_t));
    phrony_table_init(&policy->triggers, sizeof(phrony_trigger_t));
    phrony_table_init(&policy->keys, sizeof(phrony_key_t));
    phrony_table_init(&policy->scopes, sizeof(uint32_t));
    phrony_table_init(&policy->cidrs, sizeof(phrony_cidr_t));
    phrony_table_init(&policy->texts, sizeof(unsigned char));

    phrony_index_init(&policy->by_digest, offsetof(phrony_key_t, digest),
                      PHRONY_KEY_DIGEST_LEN, seed);
    phrony_index_init(&policy->by_trigger, offsetof(phrony_trigger_t, id),
                      PHRONY_UUID_LEN, seed);
    phrony_index_init(&policy->by_agent, offsetof(phrony_trigger_t, agent_id),
                      PHRONY_UUID_LEN, seed);

    phrony_index_init(&build->by_workspace, offsetof(phrony_workspace_t, id),
                      PHRONY_UUID_LEN, seed);
    phrony_index_init(&build->by_key_id, offsetof(phrony_key_t, id),
                      PHRONY_UUID_LEN, seed);

    return 0;
}


int
phrony_policy_build_workspace(phrony_policy_build_t *build,
    phrony_record_t *record)
{
    int                  active;
    uint32_t             other;
    phrony_workspace_t   workspace;

    memset(&workspace, 0, sizeof(phrony_workspace_t));
    active = 1;

    if (phrony_record_uuid(record, "id", &workspace.id) == -1
        || phrony_record_status(record, "status", "suspended", &active) == -1)
    {
        return -1;
    }

    workspace.active = active ? 1 : 0;

    other = phrony_index_find(&build->by_workspace,
                              &build->policy->workspaces,
                              workspace.id.bytes);

    if (phrony_policy_build_unique(record, "id", other) == -1) {
        return -1;
    }

    return phrony_policy_build_push_workspace(build, &workspace);
}


int
phrony_policy_build_foreign(phrony_policy_build_t *build,
    const phrony_uuid_t *id)
{
    uint32_t            n;
    phrony_workspace_t  workspace;

    n = phrony_index_find(&build->by_workspace, &build->policy->workspaces,
                          id->bytes);

    if (n != PHRONY_TABLE_NONE) {
        return 0;
    }

    memset(&workspace, 0, sizeof(phrony_workspace_t));
    workspace.id = *id;

    return phrony_policy_build_push_workspace(build, &workspace);
}


static int
phrony_policy_build_push_workspace(phrony_policy_build_t *build,
    const phrony_workspace_t *workspace)
{
    phrony_table_t  *workspaces;

    workspaces = &build->policy->workspaces;

    if (phrony_table_push(workspaces, workspace) == -1
        || phrony_index_add(&build->by_workspace, workspaces) == -1)
    {
        return phrony_policy_build_nomem(build);
    }

    return 0;
}


int
phrony_policy_build_trigger(phrony_policy_build_t *build,
    phrony_record_t *record)
{
    int                active;
    uint32_t           same_id, same_agent;
    phrony_policy_t   *policy;
    phrony_trigger_t   trigger;

    policy = build->policy;

    memset(&trigger, 0, sizeof(phrony_trigger_t));
    active = 1;

    if (phrony_record_uuid(record, "id", &trigger.id) == -1
        || phrony_record_uuid(record, "agentId", &trigger.agent_id) == -1
        || phrony_policy_build_reference(build, record, &trigger.workspace)
           == -1
        || phrony_record_flag(record, "active", &active) == -1
        || phrony_policy_build_limits(record, &trigger) == -1)
    {
        return -1;
    }

    trigger.active = active ? 1 : 0;

    same_id = phrony_index_find(&policy->by_trigger, &policy->triggers,
                                trigger.id.bytes);
    same_agent = phrony_index_find(&policy->by_agent, &policy->triggers,
                                   trigger.agent_id.bytes);

    if (phrony_policy_build_unique(record, "id", same_id) == -1
        || phrony_policy_build_unique(record, "agentId", same_agent) == -1
        || phrony_policy_build_cidrs(build, record, &trigger) == -1
        || phrony_policy_texts_add(build, &trigger) == -1)
    {
        return -1;
    }

    if (phrony_table_push(&policy->triggers, &trigger) == -1
        || phrony_index_add(&policy->by_trigger, &policy->triggers) == -1
        || phrony_index_add(&policy->by_agent, &policy->triggers) == -1)
    {
        return phrony_policy_build_nomem(build);
    }

    return 0;
}


int
phrony_policy_build_key(phrony_policy_build_t *build, phrony_record_t *record)
{
    uint32_t          same_id, same_digest, workspace;
    phrony_key_t      key;
    phrony_policy_t  *policy;

    policy = build->policy;

    memset(&key, 0, sizeof(phrony_key_t));

    if (phrony_policy_build_key_members(record, &key) == -1
        || phrony_policy_build_reference(build, record, &workspace) == -1)
    {
        return -1;
    }

    key.workspace = workspace;

    same_id = phrony_index_find(&build->by_key_id, &policy->keys,
                                key.id.bytes);
    same_digest = phrony_index_find(&policy->by_digest, &policy->keys,
                                    key.digest);

    if (phrony_policy_build_unique(record, "id", same_id) == -1
        || phrony_policy_build_unique(record, "sha256", same_digest) == -1
        || phrony_policy_scopes_add(build, record, &key) == -1)
    {
        return -1;
    }

    if (phrony_table_push(&policy->keys, &key) == -1
        || phrony_index_add(&build->by_key_id, &policy->keys) == -1
        || phrony_index_add(&policy->by_digest, &policy->keys) == -1)
    {
        return phrony_policy_build_nomem(build);
    }

    return 0;
}


/* "other" is the record that has the member's value already, or none. */

static int
phrony_policy_build_unique(const phrony_record_t *record, const char *member,
    uint32_t other)
{
    if (other == PHRONY_TABLE_NONE) {
        return 0;
    }

    if (record->number == 0) {
        return phrony_record_fail(record, "member \"%s\" is that of another "
                                  "%s", member, record->kind);
    }

    return phrony_record_fail(record, "member \"%s\" is that of %s %zu",
                              member, record->kind, (size_t) other + 1);
}


static int
phrony_policy_build_reference(phrony_policy_build_t *build,
    const phrony_record_t *record, uint32_t *workspace)
{
    phrony_uuid_t  id;

    if (phrony_record_uuid(record, "workspaceId", &id) == -1) {
        return -1;
    }

    *workspace = phrony_index_find(&build->by_workspace,
                                   &build->policy->workspaces, id.bytes);

    if (*workspace == PHRONY_TABLE_NONE) {
        return phrony_record_fail(record, "member \"workspaceId\" names no "
                                  "workspace");
    }

    return 0;
}


static int
phrony_policy_build_limits(const phrony_record_t *record,
    phrony_trigger_t *trigger)
{
    trigger->rpm_limit = PHRONY_NO_LIMIT;
    trigger->rpd_limit = PHRONY_NO_LIMIT;
    trigger->max_concurrent_runs = PHRONY_NO_LIMIT;
    trigger->max_input_tokens = PHRONY_NO_LIMIT;
    trigger->read_rpm_limit = PHRONY_NO_LIMIT;

    if (phrony_record_limit(record, "rpmLimit", &trigger->rpm_limit) == -1
        || phrony_record_limit(record, "rpdLimit", &trigger->rpd_limit) == -1
        || phrony_record_limit(record, "maxConcurrentRuns",
                               &trigger->max_concurrent_runs) == -1
        || phrony_record_limit(record, "maxInputTokens",
                               &trigger->max_input_tokens) == -1
        || phrony_record_limit(record, "readRpmLimit",
                               &trigger->read_rpm_limit) == -1)
    {
        return -1;
    }

    return 0;
}


static int
phrony_policy_build_cidrs(phrony_policy_build_t *build,
    const phrony_record_t *record, phrony_trigger_t *trigger)
{
    size_t          i, n;
    const json_t   *list;
    phrony_cidr_t   cidr;

    list = NULL;

    if (json_is_null(phrony_record_get(record, "ipWhitelist"))) {
        return 0;
    }

    if (phrony_record_array(record, "ipWhitelist", &list) == -1) {
        return -1;
    }

    n = json_array_size(list);

    for (i = 0; i < n; i++) {
        if (phrony_policy_build_cidr(record, json_array_get(list, i), i + 1,
                                     &cidr) == -1)
        {
            return -1;
        }

        if (phrony_table_push(&build->policy->cidrs, &cidr) == -1) {
            return phrony_policy_build_nomem(build);
        }
    }

    trigger->ncidrs = (uint32_t) n;

    return 0;
}


/* Entry "n" of a trigger's list. */

static int
phrony_policy_build_cidr(const phrony_record_t *record, const json_t *value,
    size_t n, phrony_cidr_t *cidr)
{
    char          quoted[PHRONY_RECORD_PRINT_LEN];
    phrony_str_t  text;

    if (!json_is_string(value)) {
        return phrony_record_fail(record, "member \"ipWhitelist\": entry %zu "
                                  "is not a string", n);
    }

    text = phrony_record_str(value);

    memset(cidr, 0, sizeof(phrony_cidr_t));

    if (phrony_cidr_parse(&text, cidr) == -1) {
        return phrony_record_fail(record, "member \"ipWhitelist\": entry %zu "
                                  "(\"%s\") is not an address or a CIDR "
                                  "block", n,
                                  phrony_record_print(quoted, sizeof(quoted),
                                                      &text));
    }

    return 0;
}


/* The members of a key that refer to no other record. */

static int
phrony_policy_build_key_members(const phrony_record_t *record,
    phrony_key_t *key)
{
    int  active, uploads;

    active = 1;
    uploads = 0;
    key->expires = PHRONY_NEVER;

    if (phrony_record_uuid(record, "id", &key->id) == -1
        || phrony_record_digest(record, "sha256", key->digest) == -1
        || phrony_record_status(record, "status", "revoked", &active) == -1
        || phrony_record_date(record, "expiresAt", &key->expires) == -1
        || phrony_record_flag(record, "allowFileUploads", &uploads) == -1)
    {
        return -1;
    }

    key->active = active ? 1 : 0;
    key->allow_file_uploads = uploads ? 1 : 0;

    return 0;
}


phrony_policy_t *
phrony_policy_build_done(phrony_policy_build_t *build)
{
    phrony_policy_t  *policy;

    policy = build->policy;

    /* first what is not needed any more, so that trimming finds room */

    phrony_index_free(&build->by_workspace);
    phrony_index_free(&build->by_key_id);

    phrony_table_trim(&policy->workspaces);
    phrony_table_trim(&policy->triggers);
    phrony_table_trim(&policy->keys);
    phrony_table_trim(&policy->scopes);
    phrony_table_trim(&policy->cidrs);
    phrony_table_trim(&policy->texts);

    phrony_index_trim(&policy->by_digest, &policy->keys);
    phrony_index_trim(&policy->by_trigger, &policy->triggers);
    phrony_index_trim(&policy->by_agent, &policy->triggers);

    phrony_policy_build_fix(policy);

    return policy;
}


/* Address blocks and texts follow one another as the triggers do. */

static void
phrony_policy_build_fix(phrony_policy_t *policy)
{
    uint32_t           cidr, text, i;
    phrony_trigger_t  *trigger;

    cidr = 0;
    text = 0;

    for (i = 0; i < policy->triggers.n; i++) {
        trigger = phrony_table_at(&policy->triggers, i);

        if (trigger->ncidrs) {
            trigger->cidrs = phrony_table_at(&policy->cidrs, cidr);
            cidr += trigger->ncidrs;
        }

        if (trigger->start_policy.len) {
            trigger->start_policy.data = phrony_table_at(&policy->texts, text);
            text += (uint32_t) trigger->start_policy.len;
        }

        if (trigger->read_policy.len) {
            trigger->read_policy.data = phrony_table_at(&policy->texts, text);
            text += (uint32_t) trigger->read_policy.len;
        }
    }
}


void
phrony_policy_build_abort(phrony_policy_build_t *build)
{
    phrony_index_free(&build->by_workspace);
    phrony_index_free(&build->by_key_id);
    phrony_policy_free(build->policy);
}


int
phrony_policy_build_nomem(phrony_policy_build_t *build)
{
    return phrony_policy_error_nomem(build->error);
}


int
phrony_policy_error_nomem(phrony_policy_error_t *error)
{
    error->line = 0;
    snprintf(error->text, sizeof(error->text), "no memory");

    return -1;
}
