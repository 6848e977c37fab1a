
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include <stdio.h>
#include <stdlib.h>

#include "ctl_file.h"
#include "ctl_options.h"
#include "ctl_output.h"
#include "ctl_policy.h"
#include "ctl_yaml.h"


typedef struct {
    char    agent[PHRONY_UUID_TEXT_LEN + 1];
    char    trigger[PHRONY_UUID_TEXT_LEN + 1];      /* empty: the agent's */
} ctl_manifest_ids_t;


static const char  *ctl_manifest_members[] = {
    "rpmLimit", "rpdLimit", "maxConcurrentRuns", "maxInputTokens",
    "ipWhitelist"
};


static ctl_code_t ctl_manifest_file(ctl_t *ctl, const char *path,
    json_t *done);
static ctl_code_t ctl_manifest_apply(ctl_t *ctl, const char *path,
    const json_t *trigger, json_t *done);
static ctl_code_t ctl_manifest_ids(ctl_t *ctl, const char *key,
    ctl_manifest_ids_t *ids);
static ctl_code_t ctl_manifest_record(ctl_t *ctl,
    const ctl_manifest_ids_t *ids, phrony_policy_name_t *name,
    json_t **record, int *fresh);
static ctl_code_t ctl_manifest_put(ctl_t *ctl,
    const phrony_policy_name_t *name, const json_t *trigger,
    const json_t *old, json_t *record);
static void ctl_manifest_tell(const ctl_t *ctl, const char *key,
    const json_t *old, const json_t *record);


/* A manifest names agents by keys of its own; --agent says which they are. */

ctl_code_t
ctl_import_manifest(ctl_t *ctl)
{
    int          i;
    json_t      *done;
    ctl_code_t   code;

    done = json_array();
    code = CTL_OK;

    for (i = 0; i < ctl->nargs && code == CTL_OK; i++) {
        code = ctl_manifest_file(ctl, ctl->args[i], done);
    }

    if (code == CTL_OK && ctl->json) {
        ctl_print(ctl, done);
        return code;
    }

    if (code == CTL_OK && json_array_size(done) == 0) {
        ctl_note(ctl, "no API trigger is in it");
    }

    json_decref(done);

    return code;
}


static ctl_code_t
ctl_manifest_file(ctl_t *ctl, const char *path, json_t *done)
{
    char         error[CTL_YAML_ERROR_LEN], *text;
    size_t       i, len;
    json_t      *triggers, *trigger;
    ctl_code_t   code;

    code = ctl_file_read(ctl, path, &text, &len);

    if (code != CTL_OK) {
        free(text);
        return code;
    }

    triggers = ctl_yaml_triggers(text, len, error);

    free(text);

    if (triggers == NULL) {
        return ctl_fail(ctl, CTL_REFUSED, "%s: %s", path, error);
    }

    json_array_foreach(triggers, i, trigger) {
        if (code == CTL_OK) {
            code = ctl_manifest_apply(ctl, path, trigger, done);
        }
    }

    json_decref(triggers);

    return code;
}


static ctl_code_t
ctl_manifest_apply(ctl_t *ctl, const char *path, const json_t *trigger,
    json_t *done)
{
    int                    fresh;
    char                   safe[128];
    json_t                *record, *old;
    ctl_code_t             code;
    const char            *key;
    ctl_manifest_ids_t     ids;
    phrony_policy_name_t   name;

    fresh = 0;
    record = NULL;
    key = ctl_policy_text(trigger, "agentManifestKey");

    code = ctl_manifest_ids(ctl, key, &ids);

    if (code != CTL_OK) {
        return code;
    }

    if (ids.agent[0] == '\0') {
        return ctl_fail(ctl, CTL_REFUSED, "%s: line %d: which agent is it? "
                        "--agent '%s=AGENT/TRIGGER'", path,
                        (int) json_integer_value(json_object_get(trigger,
                                                                 "line")),
                        ctl_safe(safe, sizeof(safe), key));
    }

    code = ctl_manifest_record(ctl, &ids, &name, &record, &fresh);

    if (code != CTL_OK || record == NULL) {
        return code;
    }

    old = json_deep_copy(record);
    code = ctl_manifest_put(ctl, &name, trigger, fresh ? NULL : old,
                            record);

    if (code == CTL_OK) {
        json_array_append(done, record);
        ctl_manifest_tell(ctl, key, old, record);
    }

    json_decref(old);
    json_decref(record);

    return code;
}


static ctl_code_t
ctl_manifest_ids(ctl_t *ctl, const char *key, ctl_manifest_ids_t *ids)
{
    size_t        i, len;
    ctl_code_t    code;
    const char   *text;
    phrony_uuid_t id;

    memset(ids, 0, sizeof(ctl_manifest_ids_t));

    for (i = 0; (text = ctl_option_at(ctl, "agent", i)) != NULL; i++) {
        len = strlen(key);

        if (strncmp(text, key, len) != 0 || text[len] != '=') {
            continue;
        }

        text += len + 1;
        len = strcspn(text, "/");

        snprintf(ids->agent, sizeof(ids->agent), "%.*s", (int) len, text);
        snprintf(ids->trigger, sizeof(ids->trigger), "%s",
                 text[len] ? text + len + 1 : "");

        code = ctl_policy_uuid(ctl, "agent", ids->agent, &id);

        if (code == CTL_OK && ids->trigger[0]) {
            code = ctl_policy_uuid(ctl, "trigger", ids->trigger, &id);
        }

        if (code != CTL_OK) {
            return code;
        }
    }

    return CTL_OK;
}


/* The agent's trigger as it is, or a new one, if its id was given. */

static ctl_code_t
ctl_manifest_record(ctl_t *ctl, const ctl_manifest_ids_t *ids,
    phrony_policy_name_t *name, json_t **record, int *fresh)
{
    ctl_code_t            code;
    const char           *workspace;
    phrony_uuid_t         id;
    phrony_policy_name_t  given;

    code = ctl_policy_agent(ctl, ids->agent, name);

    if (code != CTL_OK) {
        return code;
    }

    if (ids->trigger[0]) {
        (void) ctl_policy_uuid(ctl, "trigger", ids->trigger, &id);
        phrony_policy_name_uuid(&given, PHRONY_POLICY_NAME_TRIGGER, &id);

        if (name->kind != PHRONY_POLICY_NAME_KINDS
            && !phrony_policy_name_eq(&given, name))
        {
            return ctl_fail(ctl, CTL_REFUSED, "agent %s has another trigger "
                            "already", ids->agent);
        }

        *name = given;
    }

    if (name->kind == PHRONY_POLICY_NAME_KINDS) {
        return ctl_fail(ctl, CTL_REFUSED, "agent %s has no trigger yet: "
                        "--agent KEY=AGENT/TRIGGER tells the id of the new "
                        "one", ids->agent);
    }

    code = ctl_policy_get(ctl, name, record);
    *fresh = (*record == NULL);

    if (code != CTL_OK || *record) {
        return code;
    }

    workspace = ctl_option(ctl, "workspace");

    if (workspace == NULL) {
        return ctl_fail(ctl, CTL_REFUSED, "trigger %s is new: --workspace "
                        "UUID is needed", ids->trigger);
    }

    *record = json_pack("{s:s, s:s, s:s, s:b}", "id", ids->trigger,
                        "agentId", ids->agent, "workspaceId", workspace,
                        "active", 1);

    return CTL_OK;
}


/* A limit that the manifest does not have is none. */

static ctl_code_t
ctl_manifest_put(ctl_t *ctl, const phrony_policy_name_t *name,
    const json_t *trigger, const json_t *old, json_t *record)
{
    size_t   i;
    json_t  *value;

    for (i = 0; i < sizeof(ctl_manifest_members) / sizeof(char *); i++) {
        value = json_object_get(trigger, ctl_manifest_members[i]);

        if (value) {
            json_object_set(record, ctl_manifest_members[i], value);

        } else {
            json_object_del(record, ctl_manifest_members[i]);
        }
    }

    return ctl_policy_put(ctl, name, old, record, CTL_POLICY_CHECKED);
}


static void
ctl_manifest_tell(const ctl_t *ctl, const char *key, const json_t *old,
    const json_t *record)
{
    char    safe[128], id[64];
    size_t  i;

    if (ctl->json) {
        return;
    }

    printf("%s: trigger %s%s\n", ctl_safe(safe, sizeof(safe), key),
           ctl_safe(id, sizeof(id), ctl_policy_text(record, "id")),
           ctl_option(ctl, "dry-run") ? " would become" : "");

    for (i = 0; i < sizeof(ctl_manifest_members) / sizeof(char *); i++) {
        ctl_change(ctl_manifest_members[i],
                   json_object_get(old, ctl_manifest_members[i]),
                   json_object_get(record, ctl_manifest_members[i]));
    }
}
