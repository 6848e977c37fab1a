
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "phrony_table.h"

#include "ctl_options.h"
#include "ctl_output.h"
#include "ctl_policy.h"
#include "ctl_redis.h"


#define CTL_POLICY_BATCH  256


typedef struct {
    ctl_t                 *ctl;
    ctl_policy_handler_t   handler;
    void                  *data;
    phrony_table_t         seen;            /* phrony_policy_name_t */
    phrony_index_t         index;
    uint32_t               done;
    uint32_t               from;            /* of the batch on its way */
} ctl_policy_walk_t;


typedef struct {
    const char            *agent;
    phrony_policy_name_t  *name;
    int                    found;
} ctl_policy_search_t;


static json_t *ctl_policy_load(ctl_t *ctl, const phrony_policy_name_t *name,
    const phrony_resp_t *reply);
static ctl_code_t ctl_policy_keys(void *data, size_t i,
    const phrony_resp_t *reply);
static ctl_code_t ctl_policy_fetch(ctl_policy_walk_t *walk);
static ctl_code_t ctl_policy_found(void *data, size_t i,
    const phrony_resp_t *reply);
static ctl_code_t ctl_policy_match(void *data,
    const phrony_policy_name_t *name, json_t *record);


const char *
ctl_policy_prefix(ctl_t *ctl)
{
    size_t       len;
    const char  *prefix;

    prefix = ctl_option(ctl, "prefix");

    if (prefix == NULL) {
        return "phrony";
    }

    len = strlen(prefix);

    /* what SCAN takes for a pattern would find the keys of others */

    if (len == 0 || len > 64 || strpbrk(prefix, " {}*?[]\\")) {
        (void) ctl_fail(ctl, CTL_USAGE, "--prefix has 1 to 64 characters "
                        "without blanks, braces and *?[]\\");
        return NULL;
    }

    return prefix;
}


phrony_str_t
ctl_policy_name(ctl_t *ctl, const phrony_policy_name_t *name,
    unsigned char buf[CTL_POLICY_NAME])
{
    unsigned char  *end;
    phrony_str_t    prefix, text;

    prefix.data = (unsigned char *) ctl_policy_prefix(ctl);
    prefix.len = strlen((char *) prefix.data);

    end = phrony_policy_name_format(buf, name, &prefix);
    *end = '\0';

    text.data = buf;
    text.len = (size_t) (end - buf);

    return text;
}


ctl_code_t
ctl_policy_get(ctl_t *ctl, const phrony_policy_name_t *name,
    json_t **record)
{
    ctl_code_t    code;
    phrony_str_t  text;

    code = ctl_policy_read(ctl, name, &text, record);
    free(text.data);

    return code;
}


ctl_code_t
ctl_policy_read(ctl_t *ctl, const phrony_policy_name_t *name,
    phrony_str_t *text, json_t **record)
{
    ctl_code_t            code;
    phrony_str_t          key;
    ctl_request_t         request;
    unsigned char         buf[CTL_POLICY_NAME];
    const phrony_resp_t  *reply;

    *record = NULL;
    text->data = NULL;
    text->len = 0;

    if (ctl_policy_prefix(ctl) == NULL) {
        return CTL_USAGE;
    }

    key = ctl_policy_name(ctl, name, buf);
    ctl_request(&request, "GET", &key);

    code = ctl_redis_call(ctl, &request, &reply);

    if (code != CTL_OK || reply->type == PHRONY_RESP_NIL) {
        return code;
    }

    *record = ctl_policy_load(ctl, name, reply);

    if (*record == NULL) {
        return CTL_REFUSED;
    }

    text->len = reply->str.len;
    text->data = (unsigned char *) ctl_copy_str(&reply->str);

    return CTL_OK;
}


static json_t *
ctl_policy_load(ctl_t *ctl, const phrony_policy_name_t *name,
    const phrony_resp_t *reply)
{
    json_t         *record;
    json_error_t    error;
    unsigned char   buf[CTL_POLICY_NAME];

    (void) ctl_policy_name(ctl, name, buf);

    if (reply->type != PHRONY_RESP_STRING) {
        ctl_note(ctl, "phronyctl: %s is not a string", buf);
        return NULL;
    }

    record = json_loadb((char *) reply->str.data, reply->str.len,
                        JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);

    if (!json_is_object(record)) {
        ctl_note(ctl, "phronyctl: %s is not a JSON object", buf);
        json_decref(record);
        return NULL;
    }

    return record;
}


ctl_code_t
ctl_policy_each(ctl_t *ctl, phrony_policy_kind_t kind,
    ctl_policy_handler_t handler, void *data)
{
    char                   pattern[128];
    ctl_code_t             code;
    const char            *prefix;
    ctl_policy_walk_t      walk;
    phrony_policy_name_t   name;

    prefix = ctl_policy_prefix(ctl);

    if (prefix == NULL) {
        return CTL_USAGE;
    }

    name.kind = kind;
    snprintf(pattern, sizeof(pattern), "%s:%s:*", prefix,
             phrony_policy_name_kind(&name));

    walk.ctl = ctl;
    walk.handler = handler;
    walk.data = data;
    walk.done = 0;

    phrony_table_init(&walk.seen, sizeof(phrony_policy_name_t));
    phrony_index_init(&walk.index, offsetof(phrony_policy_name_t, id),
                      PHRONY_KEY_DIGEST_LEN, 0);

    code = ctl_redis_scan(ctl, pattern, ctl_policy_keys, &walk);

    phrony_table_free(&walk.seen);
    phrony_index_free(&walk.index);

    return code;
}


/* SCAN may find a key twice. */

static ctl_code_t
ctl_policy_keys(void *data, size_t i, const phrony_resp_t *reply)
{
    ctl_policy_walk_t *walk = data;

    ctl_code_t             code;
    phrony_str_t           prefix;
    phrony_policy_name_t   name;

    prefix.data = (unsigned char *) ctl_policy_prefix(walk->ctl);
    prefix.len = strlen((char *) prefix.data);

    for (i = 0; i < reply->n; i++) {
        memset(&name, 0, sizeof(name));

        if (phrony_policy_name_parse(&reply->elements[i].str, &prefix, &name)
            == -1
            || phrony_index_find(&walk->index, &walk->seen, name.id)
               != PHRONY_TABLE_NONE)
        {
            continue;
        }

        if (phrony_table_push(&walk->seen, &name) == -1
            || phrony_index_add(&walk->index, &walk->seen) == -1)
        {
            return ctl_fail(walk->ctl, CTL_REFUSED, "no memory");
        }
    }

    code = CTL_OK;

    while (code == CTL_OK && walk->done < walk->seen.n) {
        code = ctl_policy_fetch(walk);
    }

    return code;
}


static ctl_code_t
ctl_policy_fetch(ctl_policy_walk_t *walk)
{
    size_t          n;
    ctl_code_t      code;
    phrony_str_t    key;
    ctl_request_t  *requests;
    unsigned char  *names;

    requests = ctl_alloc(CTL_POLICY_BATCH * sizeof(ctl_request_t));
    names = ctl_alloc((size_t) CTL_POLICY_BATCH * CTL_POLICY_NAME);

    walk->from = walk->done;

    for (n = 0; n < CTL_POLICY_BATCH && walk->done < walk->seen.n; n++) {
        key = ctl_policy_name(walk->ctl,
                              phrony_table_at(&walk->seen, walk->done++),
                              names + n * CTL_POLICY_NAME);
        ctl_request(&requests[n], "GET", &key);
    }

    code = ctl_redis_batch(walk->ctl, requests, n, ctl_policy_found, walk);

    free(requests);
    free(names);

    return code;
}


static ctl_code_t
ctl_policy_found(void *data, size_t i, const phrony_resp_t *reply)
{
    ctl_policy_walk_t *walk = data;

    json_t                *record;
    ctl_code_t             code;
    phrony_policy_name_t  *name;

    if (reply->type == PHRONY_RESP_NIL) {
        return CTL_OK;
    }

    name = phrony_table_at(&walk->seen, walk->from + (uint32_t) i);
    record = ctl_policy_load(walk->ctl, name, reply);

    if (record == NULL) {
        walk->ctl->broken++;
        return CTL_OK;
    }

    code = walk->handler(walk->data, name, record);

    json_decref(record);

    return code;
}


ctl_code_t
ctl_policy_uuid(ctl_t *ctl, const char *what, const char *text,
    phrony_uuid_t *id)
{
    char          safe[64];
    phrony_str_t  str;

    str.data = (unsigned char *) text;
    str.len = strlen(text);

    if (phrony_uuid_parse(&str, id) == 0) {
        return CTL_OK;
    }

    return ctl_fail(ctl, CTL_USAGE, "%s \"%s\" is not a UUID", what,
                    ctl_safe(safe, sizeof(safe), text));
}


const char *
ctl_policy_text(const json_t *record, const char *member)
{
    const char  *text;

    text = json_string_value(json_object_get(record, member));

    return text ? text : "";
}


ctl_code_t
ctl_policy_agent(ctl_t *ctl, const char *agent, phrony_policy_name_t *name)
{
    ctl_code_t            code;
    phrony_uuid_t         id;
    ctl_policy_search_t   search;

    code = ctl_policy_uuid(ctl, "agent", agent, &id);

    if (code != CTL_OK) {
        return code;
    }

    search.agent = agent;
    search.name = name;
    search.found = 0;

    code = ctl_policy_each(ctl, PHRONY_POLICY_NAME_TRIGGER, ctl_policy_match,
                           &search);

    if (code == CTL_OK && !search.found) {
        name->kind = PHRONY_POLICY_NAME_KINDS;
    }

    return code;
}


static ctl_code_t
ctl_policy_match(void *data, const phrony_policy_name_t *name,
    json_t *record)
{
    ctl_policy_search_t *search = data;

    if (strcasecmp(ctl_policy_text(record, "agentId"), search->agent) == 0) {
        *search->name = *name;
        search->found = 1;
    }

    return CTL_OK;
}
