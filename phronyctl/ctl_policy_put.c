
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "phrony_policy.h"

#include "ctl_options.h"
#include "ctl_output.h"
#include "ctl_policy.h"
#include "ctl_redis.h"


#define CTL_POLICY_TRIES  16        /* others may write at the same time */


static ctl_code_t ctl_policy_create(ctl_t *ctl,
    const phrony_policy_name_t *name, const json_t *record);
static ctl_code_t ctl_policy_change(ctl_t *ctl,
    const phrony_policy_name_t *name, const json_t *old, json_t *record,
    ctl_policy_how_t how);
static void ctl_policy_fit(const json_t *old, json_t *record,
    const json_t *now);
static ctl_code_t ctl_policy_swap(ctl_t *ctl,
    const phrony_policy_name_t *name, const phrony_str_t *old,
    const json_t *record, int *done);
static ctl_code_t ctl_policy_check(ctl_t *ctl,
    const phrony_policy_name_t *name, json_t *record);
static ctl_code_t ctl_policy_refer(ctl_t *ctl, json_t *list,
    phrony_policy_kind_t kind, const json_t *id);
static ctl_code_t ctl_policy_refer_scopes(ctl_t *ctl, json_t *triggers,
    json_t *workspaces, const json_t *record);


/* SET has no condition of this kind; a script asks and writes as one. */

static const char  ctl_policy_script[] =
    "if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end "
    "redis.call('set', KEYS[1], ARGV[2]) return 1";


ctl_code_t
ctl_policy_put(ctl_t *ctl, const phrony_policy_name_t *name,
    const json_t *old, json_t *record, ctl_policy_how_t how)
{
    ctl_code_t  code;

    code = (how == CTL_POLICY_ANYHOW) ? CTL_OK
                                      : ctl_policy_check(ctl, name, record);

    if (code != CTL_OK || ctl_option(ctl, "dry-run")) {
        return code;
    }

    return old ? ctl_policy_change(ctl, name, old, record, how)
               : ctl_policy_create(ctl, name, record);
}


static ctl_code_t
ctl_policy_create(ctl_t *ctl, const phrony_policy_name_t *name,
    const json_t *record)
{
    char                 *text;
    ctl_code_t            code;
    phrony_str_t          key;
    ctl_request_t         request;
    unsigned char         buf[CTL_POLICY_NAME];
    const phrony_resp_t  *reply;

    text = json_dumps(record, JSON_COMPACT);
    key = ctl_policy_name(ctl, name, buf);

    ctl_policy_request(&request, &key, NULL, text);

    code = ctl_redis_call(ctl, &request, &reply);

    free(text);

    if (code == CTL_OK && ctl_policy_written(reply) != 1) {
        code = ctl_fail(ctl, CTL_REFUSED, "%s is there already", buf);
    }

    return code;
}


/* Reads the record once more, and writes what fits to that, and only then. */

static ctl_code_t
ctl_policy_change(ctl_t *ctl, const phrony_policy_name_t *name,
    const json_t *old, json_t *record, ctl_policy_how_t how)
{
    int            i, done;
    json_t        *now, *base;
    ctl_code_t     code;
    phrony_str_t   text;
    unsigned char  buf[CTL_POLICY_NAME];

    done = 0;
    code = CTL_OK;
    base = json_deep_copy(old);
    (void) ctl_policy_name(ctl, name, buf);

    for (i = 0; i < CTL_POLICY_TRIES && code == CTL_OK && !done; i++) {
        code = ctl_policy_read(ctl, name, &text, &now);

        if (code == CTL_OK && !json_equal(now, base)) {

            if (how == CTL_POLICY_STRICT || now == NULL) {
                code = ctl_fail(ctl, CTL_REFUSED, "%s was %s by somebody else "
                                "meanwhile", buf, now ? "changed" : "deleted");

            } else {
                ctl_policy_fit(base, record, now);
                code = (how == CTL_POLICY_ANYHOW)
                       ? CTL_OK : ctl_policy_check(ctl, name, record);
            }
        }

        if (code == CTL_OK) {
            code = ctl_policy_swap(ctl, name, &text, record, &done);
        }

        free(text.data);
        json_decref(base);
        base = now;
    }

    json_decref(base);

    if (code == CTL_OK && !done) {
        code = ctl_fail(ctl, CTL_REFUSED, "%s is changed by others all the "
                        "time", buf);
    }

    return code;
}


static ctl_code_t
ctl_policy_swap(ctl_t *ctl, const phrony_policy_name_t *name,
    const phrony_str_t *old, const json_t *record, int *done)
{
    char                 *text;
    ctl_code_t            code;
    phrony_str_t          key;
    ctl_request_t         request;
    unsigned char         buf[CTL_POLICY_NAME];
    const phrony_resp_t  *reply;

    text = json_dumps(record, JSON_COMPACT);
    key = ctl_policy_name(ctl, name, buf);

    ctl_policy_request(&request, &key, old, text);

    code = ctl_redis_call(ctl, &request, &reply);

    free(text);

    if (code == CTL_OK && ctl_policy_written(reply) == -1) {
        return ctl_redis_wrong(ctl, "EVAL", reply);
    }

    *done = (code == CTL_OK && ctl_policy_written(reply));

    return code;
}


void
ctl_policy_request(ctl_request_t *request, const phrony_str_t *key,
    const phrony_str_t *old, const char *text)
{
    if (old == NULL) {
        ctl_request(request, "SET", key);
        ctl_request_text(request, text);
        ctl_request_text(request, "NX");
        return;
    }

    ctl_request_script(request, ctl_policy_script, key);
    ctl_request_add(request, old);
    ctl_request_text(request, text);
}


int
ctl_policy_written(const phrony_resp_t *reply)
{
    switch (reply->type) {

    case PHRONY_RESP_STATUS:
        return 1;

    case PHRONY_RESP_NIL:
        return 0;

    case PHRONY_RESP_INTEGER:
        return reply->integer == 1;

    default:
        return -1;
    }
}


/*
 * What others have changed since "old" was read stays, but for the members
 * that are changed here: as if this one had been the later.
 */

static void
ctl_policy_fit(const json_t *old, json_t *record, const json_t *now)
{
    json_t      *value, *merged;
    const char  *member;

    merged = json_copy((json_t *) now);

    json_object_foreach(record, member, value) {
        if (!json_equal(value, json_object_get(old, member))) {
            json_object_set(merged, member, value);
        }
    }

    json_object_foreach((json_t *) old, member, value) {
        if (json_object_get(record, member) == NULL) {
            json_object_del(merged, member);
        }
    }

    json_object_clear(record);
    json_object_update(record, merged);
    json_decref(merged);
}


ctl_code_t
ctl_policy_delete(ctl_t *ctl, const phrony_policy_name_t *name)
{
    phrony_str_t          key;
    ctl_request_t         request;
    unsigned char         buf[CTL_POLICY_NAME];
    const phrony_resp_t  *reply;

    key = ctl_policy_name(ctl, name, buf);
    ctl_request(&request, "DEL", &key);

    return ctl_redis_call(ctl, &request, &reply);
}


/* A policy of the record and what it refers to, checked as a file is. */

static ctl_code_t
ctl_policy_check(ctl_t *ctl, const phrony_policy_name_t *name,
    json_t *record)
{
    char                   *text;
    json_t                 *policy, *list[PHRONY_POLICY_NAME_KINDS];
    ctl_code_t              code;
    phrony_policy_t        *built;
    phrony_policy_error_t   error;

    list[PHRONY_POLICY_NAME_KEY] = json_array();
    list[PHRONY_POLICY_NAME_WORKSPACE] = json_array();
    list[PHRONY_POLICY_NAME_TRIGGER] = json_array();

    policy = json_pack("{s:o, s:o, s:o}",
                       "workspaces", list[PHRONY_POLICY_NAME_WORKSPACE],
                       "triggers", list[PHRONY_POLICY_NAME_TRIGGER],
                       "keys", list[PHRONY_POLICY_NAME_KEY]);

    json_array_append(list[name->kind], record);

    code = CTL_OK;

    if (name->kind != PHRONY_POLICY_NAME_WORKSPACE) {
        code = ctl_policy_refer(ctl, list[PHRONY_POLICY_NAME_WORKSPACE],
                                PHRONY_POLICY_NAME_WORKSPACE,
                                json_object_get(record, "workspaceId"));
    }

    if (code == CTL_OK && name->kind == PHRONY_POLICY_NAME_KEY) {
        code = ctl_policy_refer_scopes(ctl,
                                       list[PHRONY_POLICY_NAME_TRIGGER],
                                       list[PHRONY_POLICY_NAME_WORKSPACE],
                                       record);
    }

    if (code == CTL_OK) {
        text = json_dumps(policy, JSON_COMPACT);
        built = phrony_policy_parse(text, strlen(text), &error);

        if (built == NULL) {
            code = ctl_fail(ctl, CTL_REFUSED, "%s", error.text);
        }

        phrony_policy_free(built);
        free(text);
    }

    json_decref(policy);

    return code;
}


/* Adds the record of an id to a list, if it is there and not yet in it. */

static ctl_code_t
ctl_policy_refer(ctl_t *ctl, json_t *list, phrony_policy_kind_t kind,
    const json_t *id)
{
    size_t                 i;
    json_t                *record;
    ctl_code_t             code;
    phrony_str_t           text;
    phrony_uuid_t          uuid;
    phrony_policy_name_t   name;

    text.data = (unsigned char *) json_string_value(id);
    text.len = json_string_length(id);

    if (text.data == NULL || phrony_uuid_parse(&text, &uuid) == -1) {
        return CTL_OK;
    }

    json_array_foreach(list, i, record) {
        if (strcasecmp(ctl_policy_text(record, "id"),
                       (char *) text.data) == 0)
        {
            return CTL_OK;
        }
    }

    phrony_policy_name_uuid(&name, kind, &uuid);

    code = ctl_policy_get(ctl, &name, &record);

    if (code == CTL_OK && record) {
        json_array_append_new(list, record);
    }

    return code;
}


static ctl_code_t
ctl_policy_refer_scopes(ctl_t *ctl, json_t *triggers, json_t *workspaces,
    const json_t *record)
{
    size_t       i;
    json_t      *scope;
    ctl_code_t   code;

    code = CTL_OK;

    json_array_foreach(json_object_get(record, "scopes"), i, scope) {
        if (code == CTL_OK) {
            code = ctl_policy_refer(ctl, triggers,
                                    PHRONY_POLICY_NAME_TRIGGER,
                                    json_object_get(scope, "triggerId"));
        }
    }

    json_array_foreach(triggers, i, scope) {
        if (code == CTL_OK) {
            code = ctl_policy_refer(ctl, workspaces,
                                    PHRONY_POLICY_NAME_WORKSPACE,
                                    json_object_get(scope, "workspaceId"));
        }
    }

    return code;
}
