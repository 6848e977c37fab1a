
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

#include "phrony_time.h"

#include "ctl_key.h"
#include "ctl_options.h"
#include "ctl_output.h"
#include "ctl_policy.h"
#include "ctl_secret.h"


typedef struct {
    ctl_t                 *ctl;
    const char            *id;              /* looked for */
    json_t                *record;
    phrony_policy_name_t   name;
} ctl_key_walk_t;


static ctl_code_t ctl_key_scopes(ctl_t *ctl, json_t *record);
static ctl_code_t ctl_key_scope(ctl_t *ctl, json_t *record,
    const phrony_policy_name_t *name);
static ctl_code_t ctl_key_unique(ctl_t *ctl, const char *id,
    phrony_uuid_t *uuid);
static ctl_code_t ctl_key_expires(ctl_t *ctl, json_t *record);
static ctl_code_t ctl_key_matched(void *data,
    const phrony_policy_name_t *name, json_t *record);
static ctl_code_t ctl_key_revoke_one(ctl_t *ctl, const char *id);


ctl_code_t
ctl_key_create(ctl_t *ctl)
{
    json_t        *record;
    ctl_code_t     code;
    const char    *file;
    ctl_secret_t   secret;

    file = ctl_option(ctl, "key-file");
    record = json_object();

    code = ctl_key_members(ctl, record);

    if (code == CTL_OK) {
        code = ctl_key_scopes(ctl, record);
    }

    if (code == CTL_OK) {
        code = file ? ctl_secret_read(ctl, file, &secret)
                    : ctl_secret_new(ctl, &secret);
    }

    if (code == CTL_OK) {
        code = ctl_key_store(ctl, record, &secret, file != NULL);
    }

    if (code == CTL_OK) {
        ctl_key_tell(ctl, record, &secret, file != NULL);
    }

    ctl_secret_clear(&secret);
    json_decref(record);

    return code;
}


ctl_code_t
ctl_key_members(ctl_t *ctl, json_t *record)
{
    const char     *id, *workspace;
    ctl_code_t      code;
    phrony_uuid_t   uuid;
    unsigned char   text[PHRONY_UUID_TEXT_LEN];

    id = ctl_option(ctl, "id");
    workspace = ctl_option(ctl, "workspace");

    code = id ? ctl_key_unique(ctl, id, &uuid) : ctl_secret_uuid(ctl, &uuid);

    if (code != CTL_OK) {
        return code;
    }

    (void) phrony_uuid_format(text, &uuid);

    json_object_set_new(record, "id", json_stringn((char *) text,
                                                   PHRONY_UUID_TEXT_LEN));
    json_object_set_new(record, "status", json_string("active"));
    json_object_set_new(record, "allowFileUploads",
                        json_boolean(ctl_option(ctl, "uploads") != NULL));
    json_object_set_new(record, "scopes", json_array());

    if (workspace) {
        json_object_set_new(record, "workspaceId", json_string(workspace));
    }

    return ctl_key_expires(ctl, record);
}


/* Redis takes two keys of one id, which a policy file may not have. */

static ctl_code_t
ctl_key_unique(ctl_t *ctl, const char *id, phrony_uuid_t *uuid)
{
    ctl_code_t       code;
    ctl_key_walk_t   walk;

    code = ctl_policy_uuid(ctl, "--id", id, uuid);

    if (code != CTL_OK) {
        return code;
    }

    walk.ctl = ctl;
    walk.id = id;
    walk.record = NULL;

    code = ctl_policy_each(ctl, PHRONY_POLICY_NAME_KEY, ctl_key_matched,
                           &walk);

    if (code == CTL_OK && walk.record) {
        code = ctl_fail(ctl, CTL_REFUSED, "there is a key of id %s", id);
    }

    json_decref(walk.record);

    return code;
}


static ctl_code_t
ctl_key_expires(ctl_t *ctl, json_t *record)
{
    char           text[32];
    time_t         at;
    int64_t        ms, seconds;
    struct tm      tm;
    const char    *expires;
    phrony_str_t   str;

    expires = ctl_option(ctl, "expires");

    if (expires == NULL) {
        return CTL_OK;
    }

    str.data = (unsigned char *) expires;
    str.len = strlen(expires);

    if (phrony_time_parse(&str, &seconds) == -1) {

        if (ctl_time_parse(expires, &ms) == -1) {
            return ctl_fail(ctl, CTL_USAGE, "--expires is neither a date of "
                            "RFC 3339 nor a time such as 30d");
        }

        at = (time_t) ((ctl_now() + ms) / 1000);
        strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ",
                 gmtime_r(&at, &tm));
        expires = text;

    } else if (seconds <= ctl_now() / 1000) {
        return ctl_fail(ctl, CTL_USAGE, "--expires is in the past");
    }

    json_object_set_new(record, "expiresAt", json_string(expires));

    return CTL_OK;
}


static ctl_code_t
ctl_key_scopes(ctl_t *ctl, json_t *record)
{
    size_t                 i;
    ctl_code_t             code;
    const char            *text;
    phrony_uuid_t          id;
    phrony_policy_name_t   name;

    for (i = 0; (text = ctl_option_at(ctl, "trigger", i)) != NULL; i++) {
        code = ctl_policy_uuid(ctl, "--trigger", text, &id);

        if (code != CTL_OK) {
            return code;
        }

        phrony_policy_name_uuid(&name, PHRONY_POLICY_NAME_TRIGGER, &id);
        code = ctl_key_scope(ctl, record, &name);

        if (code != CTL_OK) {
            return code;
        }
    }

    for (i = 0; (text = ctl_option_at(ctl, "agent", i)) != NULL; i++) {
        code = ctl_policy_agent(ctl, text, &name);

        if (code == CTL_OK && name.kind == PHRONY_POLICY_NAME_KINDS) {
            code = ctl_fail(ctl, CTL_REFUSED, "no trigger is of agent %s",
                            text);
        }

        if (code == CTL_OK) {
            code = ctl_key_scope(ctl, record, &name);
        }

        if (code != CTL_OK) {
            return code;
        }
    }

    return CTL_OK;
}


/* The trigger tells the agent, and the workspace if it was not given. */

static ctl_code_t
ctl_key_scope(ctl_t *ctl, json_t *record, const phrony_policy_name_t *name)
{
    json_t         *trigger;
    ctl_code_t      code;
    unsigned char   buf[CTL_POLICY_NAME];

    code = ctl_policy_get(ctl, name, &trigger);

    if (code != CTL_OK) {
        return code;
    }

    if (trigger == NULL) {
        (void) ctl_policy_name(ctl, name, buf);
        return ctl_fail(ctl, CTL_REFUSED, "there is no %s", buf);
    }

    json_array_append_new(json_object_get(record, "scopes"),
                          json_pack("{s:O?, s:O?}",
                                    "agentId",
                                    json_object_get(trigger, "agentId"),
                                    "triggerId",
                                    json_object_get(trigger, "id")));

    if (json_object_get(record, "workspaceId") == NULL) {
        json_object_set(record, "workspaceId",
                        json_object_get(trigger, "workspaceId"));
    }

    json_decref(trigger);

    return CTL_OK;
}


ctl_code_t
ctl_key_store(ctl_t *ctl, json_t *record, ctl_secret_t *secret, int given)
{
    char                   hex[PHRONY_KEY_DIGEST_LEN * 2 + 1];
    ctl_code_t             code;
    const char            *out;
    phrony_str_t           str;
    unsigned char          digest[PHRONY_KEY_DIGEST_LEN];
    phrony_policy_name_t   name;

    str.data = (unsigned char *) secret->text;
    str.len = secret->len;

    if (phrony_key_check(&str) != PHRONY_REASON_NONE) {
        return ctl_fail(ctl, CTL_REFUSED, "this is no key: \"phk_\" and "
                        "more, without blanks and commas, at most %d bytes",
                        PHRONY_KEY_MAX_LEN);
    }

    ctl_secret_digest(secret->text, secret->len, digest);
    ctl_secret_hex(hex, digest);
    json_object_set_new(record, "sha256", json_string(hex));

    phrony_policy_name_key(&name, digest);

    /* a key that nobody can read must not be stored */

    out = (given || ctl_option(ctl, "dry-run")) ? NULL
                                                : ctl_option(ctl, "key-out");
    code = out ? ctl_secret_write(ctl, out, secret) : CTL_OK;

    if (code != CTL_OK) {
        return code;
    }

    code = ctl_policy_put(ctl, &name, NULL, record, CTL_POLICY_CHECKED);

    if (code != CTL_OK && out) {
        (void) remove(out);
    }

    return code;
}


void
ctl_key_tell(ctl_t *ctl, json_t *record, const ctl_secret_t *secret,
    int given)
{
    int          dry;
    json_t      *copy;
    const char  *out;

    dry = ctl_option(ctl, "dry-run") != NULL;
    out = ctl_option(ctl, "key-out");

    if (ctl->json) {
        copy = json_copy(record);

        if (!given && !dry && out == NULL) {
            json_object_set_new(copy, "key", json_string(secret->text));
        }

        ctl_print(ctl, copy);
        return;
    }

    printf("id      %s\nsha256  %s\n", ctl_policy_text(record, "id"),
           ctl_policy_text(record, "sha256"));

    if (dry) {
        printf("nothing was written\n");

    } else if (!given && out == NULL) {
        printf("key     %s\n", secret->text);
        ctl_note(ctl, "The key is shown this once; only its hash is stored.");
    }
}


ctl_code_t
ctl_key_find(ctl_t *ctl, const char *id, phrony_policy_name_t *name,
    json_t **record)
{
    ctl_code_t       code;
    phrony_uuid_t    uuid;
    ctl_key_walk_t   walk;

    code = ctl_policy_uuid(ctl, "key id", id, &uuid);

    if (code != CTL_OK) {
        return code;
    }

    walk.ctl = ctl;
    walk.id = id;
    walk.record = NULL;

    code = ctl_policy_each(ctl, PHRONY_POLICY_NAME_KEY, ctl_key_matched,
                           &walk);

    if (code == CTL_OK && walk.record == NULL) {
        code = ctl_fail(ctl, CTL_REFUSED, "there is no key of id %s", id);
    }

    if (code != CTL_OK) {
        json_decref(walk.record);
        return code;
    }

    *name = walk.name;
    *record = walk.record;

    return CTL_OK;
}


static ctl_code_t
ctl_key_matched(void *data, const phrony_policy_name_t *name, json_t *record)
{
    ctl_key_walk_t *walk = data;

    if (strcasecmp(ctl_policy_text(record, "id"), walk->id) != 0) {
        return CTL_OK;
    }

    if (walk->record) {
        return ctl_fail(walk->ctl, CTL_REFUSED, "two keys have the id %s",
                        walk->id);
    }

    walk->record = json_incref(record);
    walk->name = *name;

    return CTL_OK;
}


/* One that cannot be revoked keeps nobody from revoking the others. */

ctl_code_t
ctl_key_revoke(ctl_t *ctl)
{
    int         i, n;
    ctl_code_t  code, worst;

    n = 0;
    worst = CTL_OK;

    for (i = 0; i < ctl->nargs && worst != CTL_UNREACHABLE; i++) {
        code = ctl_key_revoke_one(ctl, ctl->args[i]);
        n += (code == CTL_OK);

        if (code != CTL_OK) {
            worst = code;
        }
    }

    if (ctl->json && !ctl->printed) {
        ctl_print(ctl, json_pack("{s:i}", "revoked", n));
    }

    return worst;
}


static ctl_code_t
ctl_key_revoke_one(ctl_t *ctl, const char *id)
{
    json_t                *old, *record;
    ctl_code_t             code;
    phrony_policy_name_t   name;

    code = ctl_key_find(ctl, id, &name, &record);

    if (code != CTL_OK) {
        return code;
    }

    old = json_deep_copy(record);
    json_object_set_new(record, "status", json_string("revoked"));

    code = ctl_policy_put(ctl, &name, old, record, CTL_POLICY_ANYHOW);

    json_decref(record);
    json_decref(old);

    if (code == CTL_OK && !ctl->json) {
        printf("%s: %srevoked\n", id,
               ctl_option(ctl, "dry-run") ? "would be " : "");
    }

    return code;
}
