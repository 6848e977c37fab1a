
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include <stdio.h>
#include <stdlib.h>

#include "ctl_options.h"
#include "ctl_output.h"
#include "ctl_policy.h"
#include "ctl_redis.h"
#include "ctl_usage.h"


#define CTL_RUNS_PAGE   256         /* of a trigger at a time */
#define CTL_RUNS_OWNER  (3 * PHRONY_UUID_TEXT_LEN + 2)


typedef struct {
    char          id[CTL_USAGE_ID];
    char          key[CTL_USAGE_KEY];
    int64_t       expires;                      /* ms */
    unsigned      bound:1;
    char          agent[CTL_USAGE_ID];
} ctl_run_t;


typedef struct {
    ctl_t        *ctl;
    int64_t       ttl;
    int64_t       left;                         /* to print */
    ctl_usage_t  *usage;
    ctl_run_t     runs[CTL_RUNS_PAGE];
    size_t        n;
    ctl_list_t    list;
    ctl_table_t   table;
} ctl_runs_t;


static ctl_code_t ctl_runs_trigger(ctl_runs_t *walk);
static ctl_code_t ctl_runs_page(ctl_runs_t *walk, const phrony_str_t *key,
    size_t offset);
static ctl_code_t ctl_runs_owners(ctl_runs_t *walk);
static ctl_code_t ctl_runs_owner(void *data, size_t i,
    const phrony_resp_t *reply);
static void ctl_runs_print(ctl_runs_t *walk, const ctl_run_t *run);


ctl_code_t
ctl_runs(ctl_t *ctl)
{
    size_t         i;
    ctl_code_t     code;
    ctl_runs_t    *walk;
    ctl_usages_t   usages;

    walk = ctl_alloc(sizeof(ctl_runs_t));
    memset(walk, 0, sizeof(ctl_runs_t));
    walk->ctl = ctl;
    walk->ttl = 86400000;
    walk->left = INT64_MAX;

    memset(&usages, 0, sizeof(usages));

    code = ctl_option_time(ctl, "run-ttl", &walk->ttl);

    if (code == CTL_OK) {
        code = ctl_option_number(ctl, "limit", INT64_MAX, &walk->left);
    }

    if (code == CTL_OK) {
        code = ctl_usage_triggers(ctl, &usages);
    }

    if (ctl->json) {
        ctl_list_begin(&walk->list, ctl);
    } else {
        ctl_table_begin(&walk->table, ctl,
                        "<RUN|<STATE|>SEEN|>EXPIRES|<TRIGGER|<AGENT");
    }

    for (i = 0; i < usages.n && code == CTL_OK; i++) {
        walk->usage = &usages.triggers[i];
        code = ctl_runs_trigger(walk);
    }

    if (!ctl->json) {
        ctl_table_end(&walk->table);

    } else if (code == CTL_OK) {
        ctl_list_end(&walk->list);
    }

    free(usages.triggers);
    free(walk);

    return code;
}


static ctl_code_t
ctl_runs_trigger(ctl_runs_t *walk)
{
    char           buf[CTL_USAGE_KEY];
    size_t         i, offset;
    ctl_code_t     code;
    phrony_str_t   key;

    key = ctl_usage_key(walk->ctl, buf, walk->usage->workspace, "runs",
                        walk->usage->id);

    code = ctl_redis_time(walk->ctl, &key, &walk->usage->now);
    offset = 0;

    do {
        if (code == CTL_OK) {
            code = ctl_runs_page(walk, &key, offset);
        }

        if (code == CTL_OK) {
            code = ctl_runs_owners(walk);
        }

        if (code != CTL_OK) {
            return code;
        }

        for (i = 0; i < walk->n && walk->left > 0; i++, walk->left--) {
            ctl_runs_print(walk, &walk->runs[i]);
        }

        offset += walk->n;

    } while (walk->n == CTL_RUNS_PAGE && walk->left > 0);

    return CTL_OK;
}


/* Those that expire first come first. */

static ctl_code_t
ctl_runs_page(ctl_runs_t *walk, const phrony_str_t *key, size_t offset)
{
    char                  from[32], skip[32], count[32];
    size_t                i;
    ctl_run_t            *run;
    ctl_code_t            code;
    ctl_request_t         request;
    const phrony_resp_t  *reply, *element;

    snprintf(from, sizeof(from), "(%lld", (long long) walk->usage->now);
    snprintf(skip, sizeof(skip), "%zu", offset);
    snprintf(count, sizeof(count), "%d", CTL_RUNS_PAGE);

    ctl_request(&request, "ZRANGEBYSCORE", key);
    ctl_request_text(&request, from);
    ctl_request_text(&request, "+inf");
    ctl_request_text(&request, "WITHSCORES");
    ctl_request_text(&request, "LIMIT");
    ctl_request_text(&request, skip);
    ctl_request_text(&request, count);

    code = ctl_redis_call(walk->ctl, &request, &reply);

    if (code != CTL_OK) {
        return code;
    }

    walk->n = 0;

    if (reply->type != PHRONY_RESP_ARRAY || reply->n > 2 * CTL_RUNS_PAGE) {
        return ctl_redis_wrong(walk->ctl, "ZRANGEBYSCORE", reply);
    }

    for (i = 0; i + 1 < reply->n; i += 2) {
        element = &reply->elements[i];

        if (element[0].type != PHRONY_RESP_STRING
            || element[0].str.len != PHRONY_UUID_TEXT_LEN
            || element[1].type != PHRONY_RESP_STRING)
        {
            return ctl_redis_wrong(walk->ctl, "ZRANGEBYSCORE", reply);
        }

        run = &walk->runs[walk->n++];
        memset(run, 0, sizeof(ctl_run_t));
        memcpy(run->id, element[0].str.data, PHRONY_UUID_TEXT_LEN);
        run->expires = strtoll((char *) element[1].str.data, NULL, 10);
    }

    return CTL_OK;
}


/* What has an owner is a run; a start that is on its way has none yet. */

static ctl_code_t
ctl_runs_owners(ctl_runs_t *walk)
{
    char            id[CTL_USAGE_ID];
    size_t          i;
    ctl_run_t      *run;
    phrony_str_t    key;
    ctl_request_t   requests[CTL_RUNS_PAGE];

    for (i = 0; i < walk->n; i++) {
        run = &walk->runs[i];

        memcpy(id, run->id, sizeof(id));

        key.data = (unsigned char *) run->key;
        key.len = (size_t) snprintf(run->key, sizeof(run->key), "%s:run:%s",
                                    ctl_policy_prefix(walk->ctl), id);

        ctl_request(&requests[i], "GET", &key);
    }

    return walk->n ? ctl_redis_batch(walk->ctl, requests, walk->n,
                                     ctl_runs_owner, walk)
                   : CTL_OK;
}


static ctl_code_t
ctl_runs_owner(void *data, size_t i, const phrony_resp_t *reply)
{
    ctl_runs_t *walk = data;

    if (reply->type == PHRONY_RESP_STRING
        && reply->str.len == CTL_RUNS_OWNER)
    {
        walk->runs[i].bound = 1;
        memcpy(walk->runs[i].agent,
               reply->str.data + PHRONY_UUID_TEXT_LEN + 1,
               PHRONY_UUID_TEXT_LEN);
    }

    return CTL_OK;
}


/* A run's lease is phrony_run_ttl from when it was last seen. */

static void
ctl_runs_print(ctl_runs_t *walk, const ctl_run_t *run)
{
    char          seen[32], expires[32];
    json_t       *json;
    int64_t       age, left;
    ctl_usage_t  *usage;

    usage = walk->usage;
    left = run->expires - usage->now;
    age = (run->bound && left <= walk->ttl) ? walk->ttl - left : -1;

    if (walk->ctl->json) {
        json = json_pack("{s:s, s:s, s:I, s:s, s:s, s:s}",
                         "id", run->id,
                         "state", run->bound ? "run" : "starting",
                         "expiresInMs", (json_int_t) left,
                         "trigger", usage->id, "agent", usage->agent,
                         "workspace", usage->workspace);

        if (age >= 0) {
            json_object_set_new(json, "seenMsAgo", json_integer(age));
        }

        ctl_list_add(&walk->list, json);
        json_decref(json);
        return;
    }

    ctl_table_cell(&walk->table, CTL_PLAIN, "%s", run->id);
    ctl_table_cell(&walk->table, run->bound ? CTL_GREEN : CTL_YELLOW, "%s",
                   run->bound ? "run" : "starting");
    ctl_table_cell(&walk->table, CTL_PLAIN, "%s",
                   ctl_duration(seen, sizeof(seen), age));
    ctl_table_cell(&walk->table, CTL_DIM, "%s",
                   ctl_duration(expires, sizeof(expires), left));
    ctl_table_cell(&walk->table, CTL_PLAIN, "%s", usage->id);
    ctl_table_cell(&walk->table, CTL_DIM, "%s",
                   run->agent[0] ? run->agent : usage->agent);
}
