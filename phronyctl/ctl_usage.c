
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "phrony_lease.h"
#include "phrony_policy.h"

#include "ctl_output.h"
#include "ctl_options.h"
#include "ctl_policy.h"
#include "ctl_redis.h"
#include "ctl_usage.h"
#include "ctl_window.h"


static const struct {
    const char  *name;
    const char  *member;
} ctl_usage_names[PHRONY_LIMIT_MAX] = {
    { "rpm", "rpmLimit" },
    { "rpd", "rpdLimit" },
    { "runs", "maxConcurrentRuns" },
    { "reads", "readRpmLimit" }
};


static ctl_code_t ctl_usage_found(void *data,
    const phrony_policy_name_t *name, json_t *record);
static ctl_code_t ctl_usage_reply(void *data, size_t i,
    const phrony_resp_t *reply);
static void ctl_usage_window(ctl_usage_t *usage, phrony_limit_id_t id,
    phrony_window_t *window, const phrony_window_shape_t *shape);
static void ctl_usage_filled(ctl_usage_t *usage);
static void ctl_usage_id(char id[CTL_USAGE_ID], const json_t *record,
    const char *member);
static void ctl_usage_print(const ctl_usages_t *usages);
static json_t *ctl_usage_json(const ctl_usage_t *usage);
static void ctl_usage_row(ctl_table_t *table, const ctl_usage_t *usage);
static int ctl_usage_compare(const void *one, const void *two);


const char *
ctl_usage_name(phrony_limit_id_t id)
{
    return ctl_usage_names[id].name;
}


ctl_code_t
ctl_usage_triggers(ctl_t *ctl, ctl_usages_t *usages)
{
    int                    i;
    json_t                *record;
    ctl_code_t             code;
    phrony_uuid_t          id;
    phrony_policy_name_t   name;

    memset(usages, 0, sizeof(ctl_usages_t));
    usages->ctl = ctl;

    if (ctl->nargs == 0) {
        return ctl_policy_each(ctl, PHRONY_POLICY_NAME_TRIGGER,
                               ctl_usage_found, usages);
    }

    for (i = 0; i < ctl->nargs; i++) {
        code = ctl_policy_uuid(ctl, "trigger", ctl->args[i], &id);

        if (code != CTL_OK) {
            return code;
        }

        phrony_policy_name_uuid(&name, PHRONY_POLICY_NAME_TRIGGER, &id);
        code = ctl_policy_get(ctl, &name, &record);

        if (code != CTL_OK) {
            return code;
        }

        if (record == NULL) {
            return ctl_fail(ctl, CTL_REFUSED, "there is no trigger %s",
                            ctl->args[i]);
        }

        code = ctl_usage_found(usages, &name, record);
        json_decref(record);

        if (code != CTL_OK) {
            return code;
        }
    }

    return CTL_OK;
}


static ctl_code_t
ctl_usage_found(void *data, const phrony_policy_name_t *name, json_t *record)
{
    ctl_usages_t *usages = data;

    const char   *workspace;
    ctl_usage_t  *usage;

    (void) name;

    workspace = ctl_option(usages->ctl, "workspace");

    if (workspace
        && strcasecmp(workspace, ctl_policy_text(record, "workspaceId")) != 0)
    {
        return CTL_OK;
    }

    if (usages->n == usages->size) {
        usages->size = usages->size ? usages->size * 2 : 64;
        usages->triggers = ctl_grow(usages->triggers, usages->size
                                                      * sizeof(ctl_usage_t));
    }

    usage = &usages->triggers[usages->n++];
    ctl_usage_limits(usage, record);

    return CTL_OK;
}


/* Ids are in lower case in the names of keys. */

static void
ctl_usage_id(char id[CTL_USAGE_ID], const json_t *record, const char *member)
{
    phrony_str_t   text;
    phrony_uuid_t  uuid;

    text.data = (unsigned char *) ctl_policy_text(record, member);
    text.len = strlen((char *) text.data);

    id[0] = '\0';

    if (phrony_uuid_parse(&text, &uuid) == 0) {
        *phrony_uuid_format((unsigned char *) id, &uuid) = '\0';
    }
}


void
ctl_usage_limits(ctl_usage_t *usage, const json_t *record)
{
    int      i;
    json_t  *value;

    memset(usage, 0, sizeof(ctl_usage_t));

    ctl_usage_id(usage->id, record, "id");
    ctl_usage_id(usage->workspace, record, "workspaceId");
    ctl_usage_id(usage->agent, record, "agentId");

    for (i = 0; i < PHRONY_LIMIT_MAX; i++) {
        value = json_object_get(record, ctl_usage_names[i].member);

        usage->limits[i].set = json_is_integer(value);
        usage->limits[i].quota = json_is_integer(value)
                                 ? json_integer_value(value)
                                 : PHRONY_NO_LIMIT;
    }
}


phrony_str_t
ctl_usage_key(ctl_t *ctl, char buf[CTL_USAGE_KEY], const char *workspace,
    const char *kind, const char *trigger)
{
    phrony_str_t  key;

    key.data = (unsigned char *) buf;
    key.len = (size_t) snprintf(buf, CTL_USAGE_KEY, "%s:{%s}:%s:%s",
                                ctl_policy_prefix(ctl), workspace, kind,
                                trigger);

    return key;
}


ctl_code_t
ctl_usage_ask(ctl_t *ctl, ctl_usage_t *usage)
{
    char            window[CTL_USAGE_KEY], reads[CTL_USAGE_KEY];
    char            runs[CTL_USAGE_KEY], from[32];
    ctl_code_t      code;
    phrony_str_t    key;
    ctl_request_t   requests[3];

    if (ctl_policy_prefix(ctl) == NULL) {
        return CTL_USAGE;
    }

    key = ctl_usage_key(ctl, window, usage->workspace, "window", usage->id);

    code = ctl_redis_time(ctl, &key, &usage->now);

    if (code != CTL_OK) {
        return code;
    }

    snprintf(from, sizeof(from), "(%lld", (long long) usage->now);

    ctl_request(&requests[0], "GETRANGE", &key);
    ctl_request_text(&requests[0], "0");
    ctl_request_text(&requests[0], "-1");

    key = ctl_usage_key(ctl, reads, usage->workspace, "reads", usage->id);
    ctl_request(&requests[1], "GETRANGE", &key);
    ctl_request_text(&requests[1], "0");
    ctl_request_text(&requests[1], "-1");

    key = ctl_usage_key(ctl, runs, usage->workspace, "runs", usage->id);
    ctl_request(&requests[2], "ZCOUNT", &key);
    ctl_request_text(&requests[2], from);
    ctl_request_text(&requests[2], "+inf");

    code = ctl_redis_batch(ctl, requests, 3, ctl_usage_reply, usage);

    if (code == CTL_USAGE) {
        return ctl_fail(ctl, CTL_REFUSED, "what is counted of trigger %s is "
                        "of a layout that is not known", usage->id);
    }

    ctl_usage_filled(usage);

    return code;
}


static ctl_code_t
ctl_usage_reply(void *data, size_t i, const phrony_resp_t *reply)
{
    ctl_usage_t *usage = data;

    int             rc;
    ctl_windows_t   windows;

    if (i == 2) {
        usage->used[PHRONY_LIMIT_RUNS] = reply->integer;
        usage->limits[PHRONY_LIMIT_RUNS].reset = PHRONY_NO_WAIT;
        usage->limits[PHRONY_LIMIT_RUNS].remaining
            = phrony_lease_remaining((uint64_t) reply->integer,
                                     usage->limits[PHRONY_LIMIT_RUNS].quota);
        return (reply->type == PHRONY_RESP_INTEGER) ? CTL_OK : CTL_USAGE;
    }

    if (reply->type != PHRONY_RESP_STRING) {
        return CTL_USAGE;
    }

    rc = (i == 0) ? ctl_window_starts(&windows, &reply->str,
                                      (uint64_t) usage->now)
                  : ctl_window_reads(&windows, &reply->str,
                                     (uint64_t) usage->now);

    ctl_usage_window(usage, i == 0 ? PHRONY_LIMIT_RPM : PHRONY_LIMIT_READS,
                     &windows.minute.window, &phrony_window_minute);

    if (i == 0) {
        ctl_usage_window(usage, PHRONY_LIMIT_RPD, &windows.day.window,
                         &phrony_window_day);
    }

    return (rc == 0) ? CTL_OK : CTL_USAGE;
}


static void
ctl_usage_window(ctl_usage_t *usage, phrony_limit_id_t id,
    phrony_window_t *window, const phrony_window_shape_t *shape)
{
    uint64_t         now;
    phrony_limit_t  *limit;

    limit = &usage->limits[id];
    now = (uint64_t) usage->now;

    usage->used[id] = window->sum;

    limit->remaining = phrony_window_remaining(window, limit->quota);
    limit->reset = phrony_window_reset(window, shape, limit->quota, now);
    limit->wait = phrony_window_wait(window, shape, limit->quota, now);
    limit->refused = !phrony_window_admits(window, limit->quota);
}


static void
ctl_usage_filled(ctl_usage_t *usage)
{
    int              i;
    double           fill;
    phrony_limit_t  *limit;

    usage->fill = 0;

    for (i = 0; i < PHRONY_LIMIT_MAX; i++) {
        limit = &usage->limits[i];

        if (i == PHRONY_LIMIT_RUNS) {
            limit->refused = !phrony_lease_admits((uint64_t) usage->used[i],
                                                  limit->quota);
        }

        fill = !limit->set ? 0 : limit->quota
               ? (double) usage->used[i] / (double) limit->quota : 1;

        if (fill > usage->fill) {
            usage->fill = fill;
        }
    }
}


ctl_code_t
ctl_usage(ctl_t *ctl)
{
    return ctl_usage_look(ctl, INT64_MAX);
}


static json_t *
ctl_usage_json(const ctl_usage_t *usage)
{
    int                    i;
    json_t                *json, *one;
    const phrony_limit_t  *limit;

    json = json_pack("{s:s, s:s, s:s, s:f}", "trigger", usage->id,
                     "workspace", usage->workspace, "agent", usage->agent,
                     "fill", usage->fill);

    for (i = 0; i < PHRONY_LIMIT_MAX; i++) {
        limit = &usage->limits[i];
        one = json_pack("{s:I}", "used", (json_int_t) usage->used[i]);

        if (limit->set) {
            json_object_set_new(one, "limit", json_integer(limit->quota));
            json_object_set_new(one, "remaining",
                                json_integer(limit->remaining));
            json_object_set_new(one, "refuses", json_boolean(limit->refused));
        }

        if (i != PHRONY_LIMIT_RUNS && limit->reset >= 0) {
            json_object_set_new(one, "resetMs", json_integer(limit->reset));
        }

        json_object_set_new(json, ctl_usage_names[i].name, one);
    }

    return json;
}


static void
ctl_usage_row(ctl_table_t *table, const ctl_usage_t *usage)
{
    int                    i;
    char                   buf[32];
    int64_t                wait;
    ctl_style_t            style;
    const phrony_limit_t  *limit;

    ctl_table_cell(table, CTL_PLAIN, "%s", usage->id);

    wait = 0;

    for (i = 0; i < PHRONY_LIMIT_MAX; i++) {
        limit = &usage->limits[i];

        style = !limit->set ? CTL_DIM
                : limit->refused ? CTL_RED
                : limit->quota && usage->used[i] * 10 >= limit->quota * 8
                  ? CTL_YELLOW : CTL_PLAIN;

        if (limit->refused && i != PHRONY_LIMIT_READS
            && (limit->wait > wait || limit->quota == 0))
        {
            wait = limit->quota ? limit->wait : -1;
        }

        if (limit->set) {
            ctl_table_cell(table, style, "%lld/%lld",
                           (long long) usage->used[i],
                           (long long) limit->quota);
        } else {
            ctl_table_cell(table, style, "%lld", (long long) usage->used[i]);
        }
    }

    /* when a start is next within its windows */

    ctl_table_cell(table, wait ? CTL_RED : CTL_DIM, "%s",
                   wait < 0 ? "never" : wait == 0 ? "now"
                   : ctl_duration(buf, sizeof(buf), wait));
    ctl_table_cell(table, CTL_DIM, "%s", usage->agent);
}


ctl_code_t
ctl_usage_look(ctl_t *ctl, int64_t limit)
{
    size_t         i;
    ctl_code_t     code;
    ctl_usages_t   usages;

    code = ctl_usage_triggers(ctl, &usages);

    for (i = 0; i < usages.n && code == CTL_OK; i++) {
        code = ctl_usage_ask(ctl, &usages.triggers[i]);
    }

    if (code == CTL_OK) {

        if (usages.n > 1) {
            qsort(usages.triggers, usages.n, sizeof(ctl_usage_t),
                  ctl_usage_compare);
        }

        if ((uint64_t) usages.n > (uint64_t) limit) {
            usages.n = (size_t) limit;
        }

        ctl_usage_print(&usages);
    }

    free(usages.triggers);

    return code;
}


static void
ctl_usage_print(const ctl_usages_t *usages)
{
    size_t        i;
    json_t       *json;
    ctl_table_t   table;

    if (usages->ctl->json) {
        json = json_array();

        for (i = 0; i < usages->n; i++) {
            json_array_append_new(json,
                                  ctl_usage_json(&usages->triggers[i]));
        }

        ctl_print(usages->ctl, json);
        return;
    }

    ctl_table_begin(&table, usages->ctl,
                    "<TRIGGER|>RPM|>RPD|>RUNS|>READS|>NEXT|<AGENT");

    for (i = 0; i < usages->n; i++) {
        ctl_usage_row(&table, &usages->triggers[i]);
    }

    ctl_table_end(&table);
}


static int
ctl_usage_compare(const void *one, const void *two)
{
    const ctl_usage_t  *a, *b;

    a = one;
    b = two;

    return (a->fill < b->fill) ? 1 : (a->fill > b->fill) ? -1
                                     : strcmp(a->id, b->id);
}
