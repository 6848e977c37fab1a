
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "ctl_options.h"
#include "ctl_output.h"
#include "ctl_policy.h"
#include "ctl_secret.h"


/* How the value of a member is written on the command line. */

typedef enum {
    CTL_MEMBER_TEXT = 0,
    CTL_MEMBER_FLAG,
    CTL_MEMBER_LIMIT,
    CTL_MEMBER_LIST
} ctl_member_kind_t;


typedef struct {
    const char         *name;
    ctl_member_kind_t   kind;
    const char         *column;
} ctl_member_t;


static const ctl_member_t  ctl_trigger_members[] = {
    { "agentId", CTL_MEMBER_TEXT, NULL },
    { "workspaceId", CTL_MEMBER_TEXT, NULL },
    { "active", CTL_MEMBER_FLAG, NULL },
    { "rpmLimit", CTL_MEMBER_LIMIT, "rpm" },
    { "rpdLimit", CTL_MEMBER_LIMIT, "rpd" },
    { "maxConcurrentRuns", CTL_MEMBER_LIMIT, "runs" },
    { "maxInputTokens", CTL_MEMBER_LIMIT, "tokens" },
    { "readRpmLimit", CTL_MEMBER_LIMIT, "reads" },
    { "ipWhitelist", CTL_MEMBER_LIST, NULL },
    { NULL, CTL_MEMBER_TEXT, NULL }
};


typedef struct {
    ctl_t        *ctl;
    ctl_list_t    list;
    ctl_table_t   table;
} ctl_trigger_walk_t;


static ctl_code_t ctl_trigger_get(ctl_t *ctl, phrony_policy_kind_t kind,
    const char *text, phrony_policy_name_t *name, json_t **record);
static ctl_code_t ctl_trigger_assign(ctl_t *ctl, json_t *record,
    const char *word);
static json_t *ctl_trigger_value(const ctl_member_t *member,
    const char *text);
static json_t *ctl_trigger_split(const char *text);
static ctl_code_t ctl_trigger_alone(ctl_t *ctl, const char *id,
    const json_t *record);
static ctl_code_t ctl_trigger_listed(void *data,
    const phrony_policy_name_t *name, json_t *record);
static void ctl_trigger_print(const json_t *record);
static void ctl_trigger_limit(char *buf, size_t size, const json_t *record,
    const char *name);
static ctl_code_t ctl_workspace_listed(void *data,
    const phrony_policy_name_t *name, json_t *record);
static ctl_code_t ctl_workspace_status(ctl_t *ctl, const char *status);


/* The record of a kind and id that the command line names. */

static ctl_code_t
ctl_trigger_get(ctl_t *ctl, phrony_policy_kind_t kind, const char *text,
    phrony_policy_name_t *name, json_t **record)
{
    ctl_code_t      code;
    phrony_uuid_t   id;

    *record = NULL;

    code = ctl_policy_uuid(ctl, "id", text, &id);

    if (code != CTL_OK) {
        return code;
    }

    phrony_policy_name_uuid(name, kind, &id);

    return ctl_policy_get(ctl, name, record);
}


ctl_code_t
ctl_trigger_set(ctl_t *ctl)
{
    int                    i;
    json_t                *old, *record;
    ctl_code_t             code;
    phrony_policy_name_t   name;

    code = ctl_trigger_get(ctl, PHRONY_POLICY_NAME_TRIGGER, ctl->args[0],
                           &name, &record);
    old = json_deep_copy(record);

    if (code == CTL_OK && record == NULL) {
        record = json_pack("{s:s, s:b}", "id", ctl->args[0], "active", 1);
    }

    for (i = 1; i < ctl->nargs && code == CTL_OK; i++) {
        code = ctl_trigger_assign(ctl, record, ctl->args[i]);
    }

    if (code == CTL_OK) {
        code = ctl_trigger_alone(ctl, ctl->args[0], record);
    }

    if (code == CTL_OK) {
        code = ctl_policy_put(ctl, &name, old, record, CTL_POLICY_CHECKED);
    }

    if (code == CTL_OK && ctl->json) {
        ctl_print(ctl, json_incref(record));

    } else if (code == CTL_OK) {
        ctl_trigger_print(record);
    }

    json_decref(record);
    json_decref(old);

    return code;
}


static ctl_code_t
ctl_trigger_assign(ctl_t *ctl, json_t *record, const char *word)
{
    char                 safe[64];
    size_t               len;
    json_t              *value;
    const ctl_member_t  *member;

    len = strcspn(word, "=");

    for (member = ctl_trigger_members; member->name; member++) {
        if (strlen(member->name) == len
            && memcmp(member->name, word, len) == 0)
        {
            break;
        }
    }

    if (word[len] == '\0' || member->name == NULL) {
        return ctl_fail(ctl, CTL_USAGE, "\"%s\" is not MEMBER=VALUE, with a "
                        "member that triggers have",
                        ctl_safe(safe, sizeof(safe), word));
    }

    word += len + 1;

    if (strcmp(word, "none") == 0 && member->kind != CTL_MEMBER_TEXT) {
        json_object_del(record, member->name);
        return CTL_OK;
    }

    value = ctl_trigger_value(member, word);

    if (value == NULL) {
        return ctl_fail(ctl, CTL_USAGE, "%s takes %s", member->name,
                        member->kind == CTL_MEMBER_FLAG
                        ? "true or false" : "a number, or \"none\"");
    }

    json_object_set_new(record, member->name, value);

    return CTL_OK;
}


static json_t *
ctl_trigger_value(const ctl_member_t *member, const char *text)
{
    json_t        *value;
    json_error_t   error;

    if (member->kind == CTL_MEMBER_TEXT) {
        return json_string(text);
    }

    if (member->kind == CTL_MEMBER_LIST) {
        return ctl_trigger_split(text);
    }

    value = json_loads(text, JSON_DECODE_ANY, &error);

    if (member->kind == CTL_MEMBER_FLAG ? !json_is_boolean(value)
                                        : !json_is_integer(value))
    {
        json_decref(value);
        return NULL;
    }

    return value;
}


static json_t *
ctl_trigger_split(const char *text)
{
    size_t   len;
    json_t  *list;

    list = json_array();

    for ( ;; ) {
        len = strcspn(text, ",");
        json_array_append_new(list, json_stringn(text, len));

        if (text[len] == '\0') {
            return list;
        }

        text += len + 1;
    }
}


/* An agent has one trigger; a gateway would know but one of two. */

static ctl_code_t
ctl_trigger_alone(ctl_t *ctl, const char *id, const json_t *record)
{
    ctl_code_t             code;
    const char            *agent;
    phrony_uuid_t          uuid;
    phrony_policy_name_t   name, own;

    agent = ctl_policy_text(record, "agentId");

    if (agent[0] == '\0') {
        return ctl_fail(ctl, CTL_REFUSED, "trigger %s is new: it needs "
                        "agentId=UUID and workspaceId=UUID", id);
    }

    code = ctl_policy_agent(ctl, agent, &name);

    if (code != CTL_OK || name.kind == PHRONY_POLICY_NAME_KINDS) {
        return code;
    }

    (void) ctl_policy_uuid(ctl, "id", id, &uuid);
    phrony_policy_name_uuid(&own, PHRONY_POLICY_NAME_TRIGGER, &uuid);

    return phrony_policy_name_eq(&own, &name)
           ? CTL_OK : ctl_fail(ctl, CTL_REFUSED, "agent %s has another "
                               "trigger already", agent);
}


ctl_code_t
ctl_trigger_show(ctl_t *ctl)
{
    json_t                *record;
    ctl_code_t             code;
    phrony_policy_name_t   name;

    code = ctl_trigger_get(ctl, PHRONY_POLICY_NAME_TRIGGER, ctl->args[0],
                           &name, &record);

    if (code == CTL_OK && record == NULL) {
        code = ctl_fail(ctl, CTL_REFUSED, "there is no trigger %s",
                        ctl->args[0]);
    }

    if (code != CTL_OK) {
        return code;
    }

    if (ctl->json) {
        ctl_print(ctl, record);
        return CTL_OK;
    }

    ctl_trigger_print(record);
    json_decref(record);

    return CTL_OK;
}


static void
ctl_trigger_print(const json_t *record)
{
    char                *text;
    json_t              *value;
    const ctl_member_t  *member;

    ctl_line("id", 17, ctl_policy_text(record, "id"));

    for (member = ctl_trigger_members; member->name; member++) {
        value = json_object_get(record, member->name);

        if (value == NULL) {
            ctl_line(member->name, 17,
                     member->kind == CTL_MEMBER_FLAG ? "true" : "none");
            continue;
        }

        if (json_is_string(value)) {
            ctl_line(member->name, 17, json_string_value(value));
            continue;
        }

        text = json_dumps(value, JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
        printf("%-17s  %s\n", member->name, text);
        free(text);
    }
}


ctl_code_t
ctl_trigger_list(ctl_t *ctl)
{
    ctl_code_t           code;
    ctl_trigger_walk_t   walk;

    walk.ctl = ctl;

    if (ctl->json) {
        ctl_list_begin(&walk.list, ctl);
    } else {
        ctl_table_begin(&walk.table, ctl, "<ID|<ACTIVE|>RPM|>RPD|>RUNS|"
                        ">TOKENS|>READS|>ADDRESSES|<AGENT|<WORKSPACE");
    }

    code = ctl_policy_each(ctl, PHRONY_POLICY_NAME_TRIGGER,
                           ctl_trigger_listed, &walk);

    if (!ctl->json) {
        ctl_table_end(&walk.table);

    } else if (code == CTL_OK) {
        ctl_list_end(&walk.list);
    }

    return code;
}


static ctl_code_t
ctl_trigger_listed(void *data, const phrony_policy_name_t *name,
    json_t *record)
{
    ctl_trigger_walk_t *walk = data;

    char                 buf[32];
    int                  inactive;
    const char          *workspace;
    const ctl_member_t  *member;

    (void) name;

    workspace = ctl_option(walk->ctl, "workspace");

    if (workspace
        && strcasecmp(workspace, ctl_policy_text(record, "workspaceId")) != 0)
    {
        return CTL_OK;
    }

    if (walk->ctl->json) {
        ctl_list_add(&walk->list, record);
        return CTL_OK;
    }

    inactive = json_is_false(json_object_get(record, "active"));

    ctl_table_cell(&walk->table, CTL_PLAIN, "%s",
                   ctl_policy_text(record, "id"));
    ctl_table_cell(&walk->table, inactive ? CTL_RED : CTL_GREEN, "%s",
                   inactive ? "no" : "yes");

    for (member = ctl_trigger_members; member->name; member++) {
        if (member->column) {
            ctl_trigger_limit(buf, sizeof(buf), record, member->name);
            ctl_table_cell(&walk->table, CTL_PLAIN, "%s", buf);
        }
    }

    ctl_table_cell(&walk->table, CTL_PLAIN, "%zu",
                   json_array_size(json_object_get(record, "ipWhitelist")));
    ctl_table_cell(&walk->table, CTL_PLAIN, "%s",
                   ctl_policy_text(record, "agentId"));
    ctl_table_cell(&walk->table, CTL_PLAIN, "%s",
                   ctl_policy_text(record, "workspaceId"));

    return CTL_OK;
}


static void
ctl_trigger_limit(char *buf, size_t size, const json_t *record,
    const char *name)
{
    json_t  *value;

    value = json_object_get(record, name);

    if (json_is_integer(value)) {
        snprintf(buf, size, "%lld", (long long) json_integer_value(value));
    } else {
        snprintf(buf, size, "-");
    }
}


ctl_code_t
ctl_workspace_create(ctl_t *ctl)
{
    json_t                *record;
    ctl_code_t             code;
    phrony_uuid_t          id;
    phrony_policy_name_t   name;

    code = ctl_policy_uuid(ctl, "id", ctl->args[0], &id);

    if (code != CTL_OK) {
        return code;
    }

    phrony_policy_name_uuid(&name, PHRONY_POLICY_NAME_WORKSPACE, &id);
    record = json_pack("{s:s, s:s}", "id", ctl->args[0], "status", "active");

    code = ctl_policy_put(ctl, &name, NULL, record, CTL_POLICY_CHECKED);

    if (code != CTL_OK) {
        json_decref(record);
        return code;
    }

    if (ctl->json) {
        ctl_print(ctl, record);
        return CTL_OK;
    }

    printf("%s: active\n", ctl->args[0]);
    json_decref(record);

    return CTL_OK;
}


ctl_code_t
ctl_workspace_list(ctl_t *ctl)
{
    ctl_code_t           code;
    ctl_trigger_walk_t   walk;

    walk.ctl = ctl;

    if (ctl->json) {
        ctl_list_begin(&walk.list, ctl);
    } else {
        ctl_table_begin(&walk.table, ctl, "<ID|<STATUS");
    }

    code = ctl_policy_each(ctl, PHRONY_POLICY_NAME_WORKSPACE,
                           ctl_workspace_listed, &walk);

    if (!ctl->json) {
        ctl_table_end(&walk.table);

    } else if (code == CTL_OK) {
        ctl_list_end(&walk.list);
    }

    return code;
}


static ctl_code_t
ctl_workspace_listed(void *data, const phrony_policy_name_t *name,
    json_t *record)
{
    ctl_trigger_walk_t *walk = data;

    const char  *status;

    (void) name;

    if (walk->ctl->json) {
        ctl_list_add(&walk->list, record);
        return CTL_OK;
    }

    status = ctl_policy_text(record, "status");

    ctl_table_cell(&walk->table, CTL_PLAIN, "%s",
                   ctl_policy_text(record, "id"));
    ctl_table_cell(&walk->table,
                   strcmp(status, "suspended") == 0 ? CTL_RED : CTL_GREEN,
                   "%s", status[0] ? status : "active");

    return CTL_OK;
}


ctl_code_t
ctl_workspace_suspend(ctl_t *ctl)
{
    return ctl_workspace_status(ctl, "suspended");
}


ctl_code_t
ctl_workspace_resume(ctl_t *ctl)
{
    return ctl_workspace_status(ctl, "active");
}


static ctl_code_t
ctl_workspace_status(ctl_t *ctl, const char *status)
{
    json_t                *old, *record;
    ctl_code_t             code;
    phrony_policy_name_t   name;

    code = ctl_trigger_get(ctl, PHRONY_POLICY_NAME_WORKSPACE, ctl->args[0],
                           &name, &record);

    if (code == CTL_OK && record == NULL) {
        code = ctl_fail(ctl, CTL_REFUSED, "there is no workspace %s",
                        ctl->args[0]);
    }

    if (code != CTL_OK) {
        return code;
    }

    old = json_deep_copy(record);
    json_object_set_new(record, "status", json_string(status));
    code = ctl_policy_put(ctl, &name, old, record, CTL_POLICY_CHECKED);

    if (code == CTL_OK && ctl->json) {
        ctl_print(ctl, json_incref(record));

    } else if (code == CTL_OK) {
        printf("%s: %s%s\n", ctl->args[0],
               ctl_option(ctl, "dry-run") ? "would be " : "", status);
    }

    json_decref(record);
    json_decref(old);

    return code;
}
