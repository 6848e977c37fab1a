
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include <stdio.h>
#include <stdlib.h>

#include "ctl_explain.h"
#include "ctl_options.h"
#include "ctl_output.h"
#include "ctl_policy.h"
#include "ctl_redis.h"
#include "ctl_usage.h"


#define CTL_DELIVERY_HEAD  90       /* bytes, see parts/claim.lua */
#define CTL_DELIVERY_KEY   512


static void ctl_explain_usage(const ctl_explain_t *explain,
    ctl_usage_t *usage);
static ctl_code_t ctl_explain_duplicate(ctl_explain_t *explain,
    const ctl_usage_t *usage);
static ctl_code_t ctl_explain_state(ctl_explain_t *explain,
    const ctl_usage_t *usage, phrony_str_t *head);
static ctl_code_t ctl_explain_given_up(ctl_explain_t *explain,
    const ctl_usage_t *usage, phrony_str_t *head);
static void ctl_explain_decide(ctl_explain_t *explain,
    const phrony_str_t *value);
static void ctl_explain_starts(ctl_explain_t *explain,
    const ctl_usage_t *usage);
static void ctl_explain_reads(ctl_explain_t *explain,
    const ctl_usage_t *usage);
static void ctl_explain_retry(ctl_explain_t *explain,
    const phrony_limit_t *limit);


ctl_code_t
ctl_explain_limits(ctl_explain_t *explain)
{
    ctl_code_t    code;
    ctl_usage_t   usage;

    if (explain->route.kind != PHRONY_ROUTE_START
        && explain->trigger->read_rpm_limit == PHRONY_NO_LIMIT)
    {
        return CTL_OK;
    }

    if (ctl_option(explain->ctl, "policy")
        && ctl_option(explain->ctl, "redis") == NULL)
    {
        ctl_explain_unknown(explain, 8, "what is counted is in the memory of "
                            "the gateway; --redis if it shares its counts");
        return CTL_OK;
    }

    ctl_explain_usage(explain, &usage);

    code = ctl_usage_ask(explain->ctl, &usage);

    if (code != CTL_OK) {
        return code;
    }

    if (explain->route.kind != PHRONY_ROUTE_START) {
        ctl_explain_reads(explain, &usage);
        return CTL_OK;
    }

    if (explain->delivery.len) {
        code = ctl_explain_duplicate(explain, &usage);
    }

    if (code == CTL_OK && explain->reason == PHRONY_REASON_NONE
        && !explain->replayed)
    {
        ctl_explain_starts(explain, &usage);
    }

    return code;
}


static void
ctl_explain_usage(const ctl_explain_t *explain, ctl_usage_t *usage)
{
    int                        i;
    int64_t                    quotas[PHRONY_LIMIT_MAX];
    const phrony_trigger_t    *trigger;
    const phrony_workspace_t  *workspace;

    memset(usage, 0, sizeof(ctl_usage_t));

    trigger = explain->trigger;
    workspace = phrony_policy_workspace(explain->policy, trigger->workspace);

    (void) phrony_uuid_format((unsigned char *) usage->id, &trigger->id);
    (void) phrony_uuid_format((unsigned char *) usage->workspace,
                              &workspace->id);

    quotas[PHRONY_LIMIT_RPM] = trigger->rpm_limit;
    quotas[PHRONY_LIMIT_RPD] = trigger->rpd_limit;
    quotas[PHRONY_LIMIT_RUNS] = trigger->max_concurrent_runs;
    quotas[PHRONY_LIMIT_READS] = trigger->read_rpm_limit;

    for (i = 0; i < PHRONY_LIMIT_MAX; i++) {
        usage->limits[i].quota = quotas[i];
        usage->limits[i].set = quotas[i] != PHRONY_NO_LIMIT;
    }
}


static ctl_code_t
ctl_explain_duplicate(ctl_explain_t *explain, const ctl_usage_t *usage)
{
    ctl_code_t    code;
    phrony_str_t  value;

    value.data = NULL;
    value.len = 0;
    code = ctl_explain_state(explain, usage, &value);

    if (code == CTL_OK && value.len) {
        code = ctl_explain_given_up(explain, usage, &value);
    }

    if (code == CTL_OK) {
        ctl_explain_decide(explain, &value);
    }

    free(value.data);

    return code;
}


/* The key's value, which is the caller's; empty if there is none. */

static ctl_code_t
ctl_explain_state(ctl_explain_t *explain, const ctl_usage_t *usage,
    phrony_str_t *value)
{
    char                  hex[PHRONY_KEY_DIGEST_LEN * 2 + 1];
    char                  key[CTL_USAGE_KEY], buf[CTL_DELIVERY_KEY];
    ctl_code_t            code;
    phrony_str_t          name;
    unsigned char         text[2 * PHRONY_UUID_LEN + PHRONY_DELIVERY_ID_MAX];
    unsigned char         digest[PHRONY_KEY_DIGEST_LEN];
    ctl_request_t         request;
    const phrony_resp_t  *reply;

    memcpy(text, explain->trigger->id.bytes, PHRONY_UUID_LEN);
    memcpy(text + PHRONY_UUID_LEN, explain->key->id.bytes, PHRONY_UUID_LEN);
    memcpy(text + 2 * PHRONY_UUID_LEN, explain->delivery.data,
           explain->delivery.len);

    ctl_secret_digest(text, 2 * PHRONY_UUID_LEN + explain->delivery.len,
                      digest);
    ctl_secret_hex(hex, digest);

    (void) ctl_usage_key(explain->ctl, key, usage->workspace, "delivery",
                         usage->id);

    name.data = (unsigned char *) buf;
    name.len = (size_t) snprintf(buf, sizeof(buf), "%s:%s", key, hex);

    ctl_request(&request, "GETRANGE", &name);
    ctl_request_text(&request, "0");
    ctl_request_text(&request, "-1");

    code = ctl_redis_call(explain->ctl, &request, &reply);

    if (code != CTL_OK) {
        return code;
    }

    if (reply->type != PHRONY_RESP_STRING
        || (reply->str.len && (reply->str.len < CTL_DELIVERY_HEAD
                               || memcmp(reply->str.data, "PHD\1", 4) != 0)))
    {
        return ctl_fail(explain->ctl, CTL_REFUSED, "%s is of a layout that "
                        "is not known", buf);
    }

    value->len = reply->str.len;
    value->data = (unsigned char *) ctl_copy_str(&reply->str);

    return CTL_OK;
}


/*
 * As in parts/claim.lua: a claim whose lease was given up is what it was
 * before, one that was not settled in time is of unknown outcome.
 */

static ctl_code_t
ctl_explain_given_up(ctl_explain_t *explain, const ctl_usage_t *usage,
    phrony_str_t *value)
{
    char                  key[CTL_USAGE_KEY], owner[CTL_USAGE_ID];
    char                  till[16];
    double                score;
    ctl_code_t            code;
    phrony_str_t          name;
    ctl_request_t         request;
    const phrony_resp_t  *reply;

    if (value->data[4] != 'P') {
        return CTL_OK;
    }

    memcpy(till, value->data + 7, 15);
    till[15] = '\0';
    memcpy(owner, value->data + 22, PHRONY_UUID_TEXT_LEN);
    owner[PHRONY_UUID_TEXT_LEN] = '\0';
    score = 0;

    if (value->data[6] == 'A') {
        name = ctl_usage_key(explain->ctl, key, usage->workspace, "runs",
                             usage->id);
        ctl_request(&request, "ZSCORE", &name);
        ctl_request_text(&request, owner);

        code = ctl_redis_call(explain->ctl, &request, &reply);

        if (code != CTL_OK) {
            return code;
        }

        if (reply->type == PHRONY_RESP_STRING) {
            score = strtod((char *) reply->str.data, NULL);
        }
    }

    if (score < -(double) usage->now) {
        value->data[4] = 'U';
        value->len = (value->data[5] == '1') ? value->len : 0;

    } else if (strtoll(till, NULL, 10) <= usage->now) {
        value->data[4] = 'U';
    }

    return CTL_OK;
}


static void
ctl_explain_decide(ctl_explain_t *explain, const phrony_str_t *value)
{
    int                          same;
    unsigned char                body[PHRONY_KEY_DIGEST_LEN];
    phrony_delivery_state_t      state;
    phrony_delivery_decision_t   decision;

    state = PHRONY_DELIVERY_NEW;
    same = 1;

    if (value->len) {
        state = (value->data[4] == 'P') ? PHRONY_DELIVERY_PROGRESS
                : (value->data[4] == 'D') ? PHRONY_DELIVERY_DONE
                                          : PHRONY_DELIVERY_UNKNOWN;

        ctl_secret_digest(explain->body ? explain->body : "", explain->len,
                          body);
        same = memcmp(body, value->data + 58, PHRONY_KEY_DIGEST_LEN) == 0;
    }

    decision = phrony_delivery_decide(explain->duplicates, state, same,
                                      value->len > CTL_DELIVERY_HEAD);

    switch (decision.action) {

    case PHRONY_DELIVERY_ACTION_REPLAY:
        explain->replayed = 1;
        (void) ctl_explain_step(explain, 8, PHRONY_REASON_NONE, "the "
                                "delivery is done: its answer is sent again");
        return;

    case PHRONY_DELIVERY_ACTION_REFUSE_MISMATCH:
        (void) ctl_explain_step(explain, 8, PHRONY_REASON_DELIVERY_MISMATCH,
                                "the delivery was seen with another body");
        return;

    case PHRONY_DELIVERY_ACTION_REFUSE_IN_PROGRESS:
        (void) ctl_explain_step(explain, 8,
                                PHRONY_REASON_DELIVERY_IN_PROGRESS,
                                "another start of this delivery is on its "
                                "way");
        return;

    default:
        (void) ctl_explain_step(explain, 8, PHRONY_REASON_NONE,
                                "the delivery is %s",
                                state == PHRONY_DELIVERY_NEW
                                ? "new" : "a duplicate, and goes through");
    }
}


static void
ctl_explain_starts(ctl_explain_t *explain, const ctl_usage_t *usage)
{
    int                    i;
    char                   text[200];
    size_t                 n;
    phrony_reason_t        reason;
    const phrony_limit_t  *limit;

    n = 0;
    text[0] = '\0';
    reason = PHRONY_REASON_NONE;

    for (i = PHRONY_LIMIT_RPM; i <= PHRONY_LIMIT_RUNS; i++) {
        limit = &usage->limits[i];

        if (!limit->set) {
            continue;
        }

        n += (size_t) snprintf(text + n, sizeof(text) - n, "%s%s %lld/%lld",
                               n ? ", " : "", ctl_usage_name(i),
                               (long long) usage->used[i],
                               (long long) limit->quota);

        if (!limit->refused) {
            continue;
        }

        if (i != PHRONY_LIMIT_RUNS) {
            reason = PHRONY_REASON_RATE_LIMITED;
            ctl_explain_retry(explain, limit);

        } else if (reason == PHRONY_REASON_NONE) {
            reason = PHRONY_REASON_CONCURRENCY_LIMITED;
        }
    }

    (void) ctl_explain_step(explain, 8, reason, "%s",
                            n ? text : "the trigger has no limit");
}


static void
ctl_explain_reads(ctl_explain_t *explain, const ctl_usage_t *usage)
{
    const phrony_limit_t  *limit;

    limit = &usage->limits[PHRONY_LIMIT_READS];

    if (limit->refused) {
        ctl_explain_retry(explain, limit);
    }

    (void) ctl_explain_step(explain, 8, limit->refused
                            ? PHRONY_REASON_RATE_LIMITED
                            : PHRONY_REASON_NONE, "reads %lld/%lld",
                            (long long) usage->used[PHRONY_LIMIT_READS],
                            (long long) limit->quota);
}


/* Whole seconds, rounded up; the latest of all that refuse. */

static void
ctl_explain_retry(ctl_explain_t *explain, const phrony_limit_t *limit)
{
    int64_t  seconds;

    seconds = (limit->wait > 0) ? (limit->wait + 999) / 1000 : 0;

    if (seconds > explain->retry) {
        explain->retry = seconds;
    }
}
