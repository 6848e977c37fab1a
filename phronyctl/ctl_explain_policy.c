
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include <arpa/inet.h>

#include "phrony_policy_key.h"

#include "ctl_explain.h"
#include "ctl_key.h"
#include "ctl_options.h"
#include "ctl_output.h"
#include "ctl_policy.h"
#include "ctl_redis.h"


#define CTL_EXPLAIN_OWNER  (3 * PHRONY_UUID_TEXT_LEN + 2)


static ctl_code_t ctl_explain_file(ctl_explain_t *explain);
static ctl_code_t ctl_explain_by_id(void *data,
    const phrony_policy_name_t *name, json_t *record);
static ctl_code_t ctl_explain_redis(ctl_explain_t *explain);
static ctl_code_t ctl_explain_pieces(ctl_explain_t *explain,
    phrony_policy_piece_t *pieces, size_t n);
static ctl_code_t ctl_explain_piece(ctl_t *ctl,
    phrony_policy_piece_t *piece);
static int ctl_explain_judge(ctl_explain_t *explain);
static ctl_code_t ctl_explain_scope(ctl_explain_t *explain);
static ctl_code_t ctl_explain_run(ctl_explain_t *explain);
static ctl_code_t ctl_explain_owner(ctl_explain_t *explain,
    phrony_uuid_t *trigger, int *known);
static ctl_code_t ctl_explain_address(ctl_explain_t *explain);


ctl_code_t
ctl_explain_policy(ctl_explain_t *explain)
{
    ctl_code_t  code;

    code = ctl_option(explain->ctl, "policy") ? ctl_explain_file(explain)
                                              : ctl_explain_redis(explain);

    if (code != CTL_OK || explain->reason != PHRONY_REASON_NONE) {
        return code;
    }

    if (explain->policy) {
        explain->key = phrony_policy_key(explain->policy, explain->digest);
    }

    if (!ctl_explain_judge(explain)) {
        return CTL_OK;
    }

    code = ctl_explain_scope(explain);

    if (code != CTL_OK || explain->reason != PHRONY_REASON_NONE) {
        return code;
    }

    return ctl_explain_address(explain);
}


static ctl_code_t
ctl_explain_file(ctl_explain_t *explain)
{
    ctl_code_t  code;

    code = ctl_file_open(explain->ctl, ctl_option(explain->ctl, "policy"),
                         &explain->file);

    if (code != CTL_OK) {
        return code;
    }

    explain->policy = explain->file.policy;

    return ctl_option(explain->ctl, "key-file")
           ? CTL_OK : ctl_file_each(&explain->file, PHRONY_POLICY_NAME_KEY,
                                    ctl_explain_by_id, explain);
}


static ctl_code_t
ctl_explain_by_id(void *data, const phrony_policy_name_t *name,
    json_t *record)
{
    ctl_explain_t *explain = data;

    if (strcasecmp(ctl_policy_text(record, "id"),
                   ctl_option(explain->ctl, "key-id")) == 0)
    {
        memcpy(explain->digest, name->id, PHRONY_KEY_DIGEST_LEN);
    }

    return CTL_OK;
}


/* The policy of this key, as a gateway builds it of the records. */

static ctl_code_t
ctl_explain_redis(ctl_explain_t *explain)
{
    size_t                   i, n;
    json_t                  *record;
    ctl_code_t               code;
    phrony_policy_name_t    *names;
    phrony_policy_piece_t    key, *pieces;
    phrony_policy_error_t    error;

    phrony_policy_name_key(&key.name, explain->digest);

    if (ctl_option(explain->ctl, "key-file") == NULL) {
        code = ctl_key_find(explain->ctl, ctl_option(explain->ctl, "key-id"),
                            &key.name, &record);

        if (code != CTL_OK) {
            return code;
        }

        json_decref(record);
        memcpy(explain->digest, key.name.id, PHRONY_KEY_DIGEST_LEN);
    }

    code = ctl_explain_piece(explain->ctl, &key);

    if (code != CTL_OK || key.text.data == NULL) {
        return code;
    }

    if (phrony_policy_key_refers(&key, &names, &n, &error) == -1) {
        (void) ctl_explain_step(explain, 3, PHRONY_REASON_POLICY_INVALID,
                                "%.200s", error.text);
        free(key.text.data);
        return CTL_OK;
    }

    pieces = ctl_alloc((n + 1) * sizeof(phrony_policy_piece_t));
    pieces[0] = key;

    for (i = 0; i < n; i++) {
        pieces[i + 1].name = names[i];
    }

    code = ctl_explain_pieces(explain, pieces, n + 1);

    free(names);
    free(pieces);

    return code;
}


static ctl_code_t
ctl_explain_pieces(ctl_explain_t *explain, phrony_policy_piece_t *pieces,
    size_t n)
{
    size_t                  i, broken;
    ctl_code_t              code;
    phrony_policy_error_t   error;

    code = CTL_OK;

    for (i = 1; i < n; i++) {
        pieces[i].text.data = NULL;

        if (code == CTL_OK) {
            code = ctl_explain_piece(explain->ctl, &pieces[i]);
        }
    }

    if (code == CTL_OK) {
        explain->policy = phrony_policy_key_parse(pieces, n, &broken, &error);

        if (explain->policy == NULL) {
            (void) ctl_explain_step(explain, 3, PHRONY_REASON_POLICY_INVALID,
                                    "%.200s", error.text);
        }
    }

    for (i = 0; i < n; i++) {
        free(pieces[i].text.data);
    }

    return code;
}


/* Reads the text of a record as it is; NULL if there is none. */

static ctl_code_t
ctl_explain_piece(ctl_t *ctl, phrony_policy_piece_t *piece)
{
    ctl_code_t            code;
    phrony_str_t          key;
    ctl_request_t         request;
    unsigned char         buf[CTL_POLICY_NAME];
    const phrony_resp_t  *reply;

    piece->text.data = NULL;
    piece->text.len = 0;

    if (ctl_policy_prefix(ctl) == NULL) {
        return CTL_USAGE;
    }

    key = ctl_policy_name(ctl, &piece->name, buf);
    ctl_request(&request, "GET", &key);

    code = ctl_redis_call(ctl, &request, &reply);

    if (code == CTL_OK && reply->type == PHRONY_RESP_STRING) {
        piece->text.len = reply->str.len;
        piece->text.data = (unsigned char *) ctl_copy_str(&reply->str);
    }

    return code;
}


/* Steps 3 and 4; the clock is this machine's, as it is a gateway's own. */

static int
ctl_explain_judge(ctl_explain_t *explain)
{
    const phrony_key_t        *key;
    const phrony_workspace_t  *workspace;

    key = explain->key;

    if (key == NULL) {
        return ctl_explain_step(explain, 3, PHRONY_REASON_KEY_INVALID,
                                "the key is not known");
    }

    if (!key->active) {
        return ctl_explain_step(explain, 3, PHRONY_REASON_KEY_INVALID,
                                "the key is revoked");
    }

    if (key->expires <= ctl_now() / 1000) {
        return ctl_explain_step(explain, 3, PHRONY_REASON_KEY_INVALID,
                                "the key has expired");
    }

    (void) ctl_explain_step(explain, 3, PHRONY_REASON_NONE,
                            "the key is active");

    workspace = phrony_policy_workspace(explain->policy, key->workspace);

    return ctl_explain_step(explain, 4,
                            workspace->active
                            ? PHRONY_REASON_NONE
                            : PHRONY_REASON_WORKSPACE_SUSPENDED,
                            "the workspace is %s",
                            workspace->active ? "active" : "suspended");
}


static ctl_code_t
ctl_explain_scope(ctl_explain_t *explain)
{
    const phrony_trigger_t  *trigger;

    if (explain->route.has_run) {
        return ctl_explain_run(explain);
    }

    if (!explain->route.has_agent) {
        (void) ctl_explain_step(explain, 5, explain->key->allow_file_uploads
                                ? PHRONY_REASON_NONE
                                : PHRONY_REASON_UPLOADS_NOT_ALLOWED,
                                "the key's allowFileUploads");
        return CTL_OK;
    }

    trigger = phrony_policy_agent(explain->policy, &explain->route.agent_id);

    if (trigger == NULL
        || !phrony_policy_key_has_trigger(explain->policy, explain->key,
                                          trigger))
    {
        (void) ctl_explain_step(explain, 5, PHRONY_REASON_AGENT_OUT_OF_SCOPE,
                                "no scope of the key has this agent");
        return CTL_OK;
    }

    explain->trigger = trigger;
    (void) ctl_explain_step(explain, 5, PHRONY_REASON_NONE,
                            "a scope of the key has this agent");

    return CTL_OK;
}


static ctl_code_t
ctl_explain_run(ctl_explain_t *explain)
{
    int                      known;
    ctl_code_t               code;
    phrony_uuid_t            id;
    const phrony_trigger_t  *trigger;

    if (ctl_option(explain->ctl, "policy")
        && ctl_option(explain->ctl, "redis") == NULL)
    {
        ctl_explain_unknown(explain, 5, "whose run it is, its gateway knows");
        return CTL_OK;
    }

    known = 0;
    code = ctl_explain_owner(explain, &id, &known);

    if (code != CTL_OK) {
        return code;
    }

    if (!known) {
        (void) ctl_explain_step(explain, 5, PHRONY_REASON_NONE,
                                "the run is not known: the upstream decides");
        return CTL_OK;
    }

    trigger = phrony_policy_trigger(explain->policy, &id);

    if (trigger == NULL
        || !phrony_policy_key_has_trigger(explain->policy, explain->key,
                                          trigger))
    {
        (void) ctl_explain_step(explain, 5, PHRONY_REASON_RUN_OUT_OF_SCOPE,
                                "the run is of a trigger that no scope of "
                                "the key has");
        return CTL_OK;
    }

    explain->trigger = trigger;
    (void) ctl_explain_step(explain, 5, PHRONY_REASON_NONE,
                            "a scope of the key has the run's trigger");

    return CTL_OK;
}


static ctl_code_t
ctl_explain_owner(ctl_explain_t *explain, phrony_uuid_t *trigger, int *known)
{
    char                  buf[160];
    ctl_code_t            code;
    phrony_str_t          key, id;
    unsigned char         run[PHRONY_UUID_TEXT_LEN];
    ctl_request_t         request;
    const char           *prefix;
    const phrony_resp_t  *reply;

    prefix = ctl_policy_prefix(explain->ctl);

    if (prefix == NULL) {
        return CTL_USAGE;
    }

    (void) phrony_uuid_format(run, &explain->route.run_id);

    key.data = (unsigned char *) buf;
    key.len = (size_t) snprintf(buf, sizeof(buf), "%s:run:%.36s", prefix,
                                (char *) run);

    ctl_request(&request, "GET", &key);
    code = ctl_redis_call(explain->ctl, &request, &reply);

    if (code == CTL_OK && reply->type == PHRONY_RESP_STRING
        && reply->str.len == CTL_EXPLAIN_OWNER)
    {
        id.len = PHRONY_UUID_TEXT_LEN;
        id.data = reply->str.data + CTL_EXPLAIN_OWNER - id.len;
        *known = phrony_uuid_parse(&id, trigger) == 0;
    }

    return code;
}


/* Step 6, as the gateway does it. */

static ctl_code_t
ctl_explain_address(ctl_explain_t *explain)
{
    uint32_t                 i, n;
    const char              *text;
    unsigned char            bytes[16];
    phrony_address_t         addr;
    const phrony_trigger_t  *trigger;

    text = ctl_option(explain->ctl, "address");
    phrony_address_set(&addr, NULL, 0);

    if (text && inet_pton(AF_INET, text, bytes) == 1) {
        phrony_address_set(&addr, bytes, 4);

    } else if (text && inet_pton(AF_INET6, text, bytes) == 1) {
        phrony_address_set(&addr, bytes, 16);

    } else if (text) {
        return ctl_fail(explain->ctl, CTL_USAGE, "--address is no address");
    }

    n = explain->trigger ? 1 : phrony_policy_nscopes(explain->policy,
                                                     explain->key);

    for (i = 0; i < n; i++) {
        trigger = explain->trigger ? explain->trigger
                  : phrony_policy_scope(explain->policy, explain->key, i);

        if (trigger->ncidrs == 0
            || phrony_cidr_match(trigger->cidrs, trigger->ncidrs, &addr))
        {
            break;
        }
    }

    if (n && i == n && text == NULL) {
        ctl_explain_unknown(explain, 6, "the trigger has an ipWhitelist, and "
                            "no --address was given");

    } else if (!ctl_explain_step(explain, 6, n && i == n
                                 ? PHRONY_REASON_ADDRESS_NOT_ALLOWED
                                 : PHRONY_REASON_NONE, "the client's address"
                                 " is %s", text ? text : "allowed, any is"))
    {
        return CTL_OK;
    }

    if (explain->route.kind == PHRONY_ROUTE_START
        && !explain->trigger->active)
    {
        (void) ctl_explain_step(explain, 6, PHRONY_REASON_TRIGGER_INACTIVE,
                                "the trigger is not active");
    }

    return CTL_OK;
}
