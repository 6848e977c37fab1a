
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include <stdlib.h>

#include "phrony_policy_build.h"


/*
 * A policy file.  Whatever it holds, there is either an error that can be
 * printed, or a policy in which everything is found that is in it.
 */


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_error(const phrony_policy_error_t *error, const char *text,
    size_t len);
static void fuzz_policy(const phrony_policy_t *policy);
static void fuzz_trigger(const phrony_policy_t *policy,
    const phrony_trigger_t *trigger);
static void fuzz_key(const phrony_policy_t *policy, const phrony_key_t *key);
static void fuzz_limit(int64_t limit);
static void fuzz_text(const phrony_str_t *text, int limited);
static void fuzz_assert(int cond);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char                   *text;
    phrony_policy_t        *policy;
    phrony_policy_error_t   error;

    /* of the exact size, so that a byte too many is seen */

    text = malloc(size + (size == 0));

    if (text == NULL) {
        return 0;
    }

    if (size) {
        memcpy(text, data, size);
    }

    memset(&error, 0xff, sizeof(error));

    policy = phrony_policy_parse(text, size, &error);

    if (policy == NULL) {
        fuzz_error(&error, text, size);
    }

    free(text);

    if (policy) {
        fuzz_policy(policy);
        phrony_policy_free(policy);
    }

    return 0;
}


static void
fuzz_error(const phrony_policy_error_t *error, const char *text, size_t len)
{
    size_t  i, lines;

    fuzz_assert(memchr(error->text, '\0', sizeof(error->text)) != NULL);
    fuzz_assert(error->text[0] != '\0');

    for (i = 0; error->text[i]; i++) {
        fuzz_assert(error->text[i] >= 0x20 && error->text[i] <= 0x7e);
    }

    lines = 1;

    for (i = 0; i < len; i++) {
        lines += (text[i] == '\n');
    }

    fuzz_assert(error->line <= lines);
    fuzz_assert(error->line > 0 || strcmp(error->text, "no memory") == 0);
}


static void
fuzz_policy(const phrony_policy_t *policy)
{
    uint32_t              i;
    phrony_policy_stat_t  stat;

    phrony_policy_stat(policy, &stat);

    fuzz_assert(stat.workspaces == policy->workspaces.n);
    fuzz_assert(stat.triggers == policy->triggers.n);
    fuzz_assert(stat.keys == policy->keys.n);

    for (i = 0; i < policy->triggers.n; i++) {
        fuzz_trigger(policy, phrony_table_at(&policy->triggers, i));
    }

    for (i = 0; i < policy->keys.n; i++) {
        fuzz_key(policy, phrony_table_at(&policy->keys, i));
    }

    fuzz_assert(phrony_policy_workspace(policy, policy->workspaces.n) == NULL);
}


static void
fuzz_trigger(const phrony_policy_t *policy, const phrony_trigger_t *trigger)
{
    phrony_address_t  address;

    fuzz_assert(phrony_policy_trigger(policy, &trigger->id) == trigger);
    fuzz_assert(phrony_policy_agent(policy, &trigger->agent_id) == trigger);
    fuzz_assert(phrony_policy_workspace(policy, trigger->workspace) != NULL);

    fuzz_limit(trigger->rpm_limit);
    fuzz_limit(trigger->rpd_limit);
    fuzz_limit(trigger->max_concurrent_runs);
    fuzz_limit(trigger->max_input_tokens);
    fuzz_limit(trigger->read_rpm_limit);

    fuzz_text(&trigger->start_policy, trigger->rpm_limit >= 0
                                      || trigger->rpd_limit >= 0
                                      || trigger->max_concurrent_runs >= 0);
    fuzz_text(&trigger->read_policy, trigger->read_rpm_limit >= 0);

    if (trigger->ncidrs) {

        /* the first address of the last block */

        phrony_address_set(&address, trigger->cidrs[trigger->ncidrs - 1].bytes,
                           trigger->cidrs[trigger->ncidrs - 1].len);
        fuzz_assert(phrony_cidr_match(trigger->cidrs, trigger->ncidrs,
                                      &address));
    }
}


static void
fuzz_key(const phrony_policy_t *policy, const phrony_key_t *key)
{
    uint32_t                 i, n;
    const phrony_trigger_t  *trigger, *before;

    fuzz_assert(phrony_policy_key(policy, key->digest) == key);
    fuzz_assert(phrony_policy_workspace(policy, key->workspace) != NULL);

    before = NULL;
    n = phrony_policy_nscopes(policy, key);

    for (i = 0; i < n; i++) {
        trigger = phrony_policy_scope(policy, key, i);

        fuzz_assert(trigger > before || before == NULL);
        fuzz_assert(trigger->workspace == key->workspace);
        fuzz_assert(phrony_policy_key_has_trigger(policy, key, trigger));

        before = trigger;
    }
}


static void
fuzz_limit(int64_t limit)
{
    fuzz_assert(limit >= PHRONY_NO_LIMIT && limit <= PHRONY_RECORD_MAX_LIMIT);
}


/* Of a limit at least, from one name's quotation mark on, or empty. */

static void
fuzz_text(const phrony_str_t *text, int limited)
{
    size_t  i;

    fuzz_assert(limited == (text->len > 0));

    for (i = 0; i < text->len; i++) {
        fuzz_assert(text->data[i] >= 0x20 && text->data[i] <= 0x7e);
    }

    fuzz_assert(text->len == 0
                || (text->data[0] == '"' && text->data[1] == 'r'));
}


static void
fuzz_assert(int cond)
{
    if (!cond) {
        abort();
    }
}
