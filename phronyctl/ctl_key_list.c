
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include <stdio.h>
#include <strings.h>

#include "phrony_time.h"

#include "ctl_key.h"
#include "ctl_options.h"
#include "ctl_output.h"
#include "ctl_policy.h"


typedef struct {
    ctl_t        *ctl;
    ctl_list_t    list;
    ctl_table_t   table;
} ctl_key_list_t;


static ctl_code_t ctl_key_listed(void *data,
    const phrony_policy_name_t *name, json_t *record);
static void ctl_key_print(const json_t *record);


ctl_code_t
ctl_key_list(ctl_t *ctl)
{
    ctl_code_t       code;
    ctl_key_list_t   walk;

    walk.ctl = ctl;

    if (ctl->json) {
        ctl_list_begin(&walk.list, ctl);
    } else {
        ctl_table_begin(&walk.table, ctl,
                        "<ID|<STATUS|<EXPIRES|>SCOPES|<UPLOADS|<WORKSPACE|"
                        "<SHA256");
    }

    code = ctl_policy_each(ctl, PHRONY_POLICY_NAME_KEY, ctl_key_listed,
                           &walk);

    if (!ctl->json) {
        ctl_table_end(&walk.table);

    } else if (code == CTL_OK) {
        ctl_list_end(&walk.list);
    }

    return code;
}


const char *
ctl_key_state(const json_t *record)
{
    int64_t        seconds;
    const char    *status;
    phrony_str_t   str;

    status = ctl_policy_text(record, "status");

    if (status[0] == '\0') {
        status = "active";
    }

    str.data = (unsigned char *) ctl_policy_text(record, "expiresAt");
    str.len = strlen((char *) str.data);

    if (strcmp(status, "active") == 0
        && phrony_time_parse(&str, &seconds) == 0
        && seconds <= ctl_now() / 1000)
    {
        return "expired";
    }

    return status;
}


static ctl_code_t
ctl_key_listed(void *data, const phrony_policy_name_t *name, json_t *record)
{
    ctl_key_list_t *walk = data;

    ctl_t        *ctl;
    ctl_style_t   style;
    const char   *state, *workspace, *status;

    ctl = walk->ctl;
    workspace = ctl_option(ctl, "workspace");
    status = ctl_option(ctl, "status");
    state = ctl_key_state(record);

    if ((workspace && strcasecmp(workspace,
                                 ctl_policy_text(record, "workspaceId")) != 0)
        || (status && strcmp(status, state) != 0))
    {
        return CTL_OK;
    }

    (void) name;

    if (ctl->json) {
        ctl_list_add(&walk->list, record);
        return CTL_OK;
    }

    style = (strcmp(state, "active") == 0) ? CTL_GREEN : CTL_RED;

    ctl_table_cell(&walk->table, CTL_PLAIN, "%s",
                   ctl_policy_text(record, "id"));
    ctl_table_cell(&walk->table, style, "%s", state);
    ctl_table_cell(&walk->table, CTL_PLAIN, "%s",
                   ctl_policy_text(record, "expiresAt")[0]
                   ? ctl_policy_text(record, "expiresAt") : "never");
    ctl_table_cell(&walk->table, CTL_PLAIN, "%zu",
                   json_array_size(json_object_get(record, "scopes")));
    ctl_table_cell(&walk->table, CTL_PLAIN, "%s",
                   json_is_true(json_object_get(record, "allowFileUploads"))
                   ? "yes" : "no");
    ctl_table_cell(&walk->table, CTL_PLAIN, "%s",
                   ctl_policy_text(record, "workspaceId"));
    ctl_table_cell(&walk->table, CTL_DIM, "%.12s...",
                   ctl_policy_text(record, "sha256"));

    return CTL_OK;
}


ctl_code_t
ctl_key_show(ctl_t *ctl)
{
    json_t                *record;
    ctl_code_t             code;
    phrony_policy_name_t   name;

    code = ctl_key_find(ctl, ctl->args[0], &name, &record);

    if (code != CTL_OK) {
        return code;
    }

    if (ctl->json) {
        ctl_print(ctl, record);
        return CTL_OK;
    }

    ctl_key_print(record);
    json_decref(record);

    return CTL_OK;
}


static void
ctl_key_print(const json_t *record)
{
    char         text[256];
    size_t       i;
    json_t      *scope;
    const char  *expires;

    expires = ctl_policy_text(record, "expiresAt");

    ctl_line("id", 9, ctl_policy_text(record, "id"));
    ctl_line("sha256", 9, ctl_policy_text(record, "sha256"));
    ctl_line("workspace", 9, ctl_policy_text(record, "workspaceId"));
    ctl_line("status", 9, ctl_key_state(record));
    ctl_line("expires", 9, expires[0] ? expires : "never");
    ctl_line("uploads", 9,
             json_is_true(json_object_get(record, "allowFileUploads"))
             ? "yes" : "no");

    json_array_foreach(json_object_get(record, "scopes"), i, scope) {
        snprintf(text, sizeof(text), "trigger %s, agent %s",
                 ctl_policy_text(scope, "triggerId"),
                 ctl_policy_text(scope, "agentId"));
        ctl_line("scope", 9, text);
    }
}
