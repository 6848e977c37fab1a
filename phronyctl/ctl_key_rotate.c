
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include <stdio.h>
#include <time.h>

#include "phrony_time.h"

#include "ctl_key.h"
#include "ctl_options.h"
#include "ctl_output.h"
#include "ctl_policy.h"


static ctl_code_t ctl_key_exchange(ctl_t *ctl,
    const phrony_policy_name_t *name, json_t *old, json_t *record,
    ctl_secret_t *secret);
static ctl_code_t ctl_key_retire(ctl_t *ctl,
    const phrony_policy_name_t *name, json_t *record);
static ctl_code_t ctl_key_take_back(ctl_t *ctl, const json_t *record,
    const ctl_secret_t *secret);


/* The new key comes before the old one goes. */

ctl_code_t
ctl_key_rotate(ctl_t *ctl)
{
    json_t                *old, *record;
    ctl_code_t             code;
    ctl_secret_t           secret;
    phrony_policy_name_t   name;

    code = ctl_key_find(ctl, ctl->args[0], &name, &old);

    if (code != CTL_OK) {
        return code;
    }

    record = json_deep_copy(old);

    code = (strcmp(ctl_key_state(old), "revoked") == 0)
           ? ctl_fail(ctl, CTL_REFUSED, "key %s is revoked", ctl->args[0])
           : ctl_key_members(ctl, record);

    /* scopes and uploads are those of the old one */

    json_object_set(record, "scopes", json_object_get(old, "scopes"));
    json_object_set_new(record, "allowFileUploads",
                        json_boolean(json_is_true(
                            json_object_get(old, "allowFileUploads"))));

    if (code == CTL_OK) {
        code = ctl_secret_new(ctl, &secret);
    }

    if (code == CTL_OK) {
        code = ctl_key_retire(ctl, NULL, NULL);
    }

    if (code == CTL_OK) {
        code = ctl_key_exchange(ctl, &name, old, record, &secret);
    }

    ctl_secret_clear(&secret);
    json_decref(record);
    json_decref(old);

    return code;
}


/*
 * If the old key has been changed meanwhile it may have been revoked, which a
 * new one with its scopes would undo.  Redis may be lost in between: then the
 * new key is told, as it may be the only one that is good.
 */

static ctl_code_t
ctl_key_exchange(ctl_t *ctl, const phrony_policy_name_t *name, json_t *old,
    json_t *record, ctl_secret_t *secret)
{
    ctl_code_t  code;

    code = ctl_key_store(ctl, record, secret, 0);

    if (code != CTL_OK) {
        return code;
    }

    ctl->printed = 1;
    code = ctl_key_retire(ctl, name, old);
    ctl->printed = 0;

    if (code == CTL_REFUSED && ctl_option(ctl, "dry-run") == NULL) {
        return ctl_key_take_back(ctl, record, secret);
    }

    ctl_key_tell(ctl, record, secret, 0);

    return code;
}


static ctl_code_t
ctl_key_take_back(ctl_t *ctl, const json_t *record,
    const ctl_secret_t *secret)
{
    ctl_code_t             code;
    const char            *out;
    unsigned char          digest[PHRONY_KEY_DIGEST_LEN];
    phrony_policy_name_t   name;

    out = ctl_option(ctl, "key-out");

    if (out) {
        (void) remove(out);
    }

    ctl_secret_digest(secret->text, secret->len, digest);
    phrony_policy_name_key(&name, digest);

    code = ctl_policy_delete(ctl, &name);

    return (code == CTL_OK)
           ? ctl_fail(ctl, CTL_REFUSED, "key %s was not exchanged; look at "
                      "it, and try again", ctl->args[0])
           : ctl_fail(ctl, code, "key %s was not exchanged, but a new key %s "
                      "is there, which nobody knows: revoke it",
                      ctl->args[0], ctl_policy_text(record, "id"));
}


/* Without a record: whether --grace can be read, before anything is done. */

static ctl_code_t
ctl_key_retire(ctl_t *ctl, const phrony_policy_name_t *name, json_t *record)
{
    char           text[32];
    time_t         at;
    int64_t        grace, seconds;
    json_t        *old;
    struct tm      tm;
    ctl_code_t     code;
    phrony_str_t   expires;

    grace = 0;
    code = ctl_option_time(ctl, "grace", &grace);

    if (code != CTL_OK || record == NULL) {
        return code;
    }

    old = json_deep_copy(record);
    expires.data = (unsigned char *) ctl_policy_text(record, "expiresAt");
    expires.len = strlen((char *) expires.data);

    if (grace == 0) {
        json_object_set_new(record, "status", json_string("revoked"));

    } else if (phrony_time_parse(&expires, &seconds) == -1
               || seconds > (ctl_now() + grace) / 1000)
    {
        at = (time_t) ((ctl_now() + grace) / 1000);
        strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ",
                 gmtime_r(&at, &tm));
        json_object_set_new(record, "expiresAt", json_string(text));
    }

    code = ctl_policy_put(ctl, name, old, record, CTL_POLICY_STRICT);

    json_decref(old);

    return code;
}
