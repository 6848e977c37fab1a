
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_phrony_policy_read.h"

#include "../core/phrony_record.h"


#define NGX_PHRONY_POLICY_READ_COMPLAIN  1000   /* ms, once in */


/* What a command is sent with. */

typedef struct {
    ngx_phrony_policy_fetch_t   *fetch;
    ngx_uint_t                   i;
} ngx_phrony_policy_request_t;


static void ngx_phrony_policy_read_zone(ngx_phrony_policy_fetch_t *fetch,
    ngx_phrony_root_t *root, ngx_uint_t i, ngx_uint_t stale);
static ngx_int_t ngx_phrony_policy_read_text(ngx_phrony_policy_fetch_t *fetch,
    ngx_uint_t i, const u_char *text, size_t len);
static ngx_int_t ngx_phrony_policy_read_ask(ngx_phrony_policy_fetch_t *fetch,
    ngx_uint_t i);
static void ngx_phrony_policy_read_answered(
    ngx_phrony_redis_command_t *command, ngx_phrony_redis_result_t result,
    const phrony_resp_t *reply);
static ngx_int_t ngx_phrony_policy_read_reply(
    ngx_phrony_policy_fetch_t *fetch, ngx_uint_t i,
    const phrony_resp_t *reply);
static ngx_int_t ngx_phrony_policy_read_string(
    ngx_phrony_policy_fetch_t *fetch, ngx_uint_t i, const phrony_str_t *str);
static void ngx_phrony_policy_read_keep(ngx_phrony_policy_fetch_t *fetch,
    ngx_uint_t i);
static void ngx_phrony_policy_read_complain(ngx_phrony_policy_redis_t *policy,
    const phrony_resp_t *reply);


ngx_int_t
ngx_phrony_policy_read_room(ngx_phrony_policy_fetch_t *fetch, ngx_uint_t n)
{
    ngx_log_t                  *log;
    phrony_policy_piece_t      *pieces;
    ngx_phrony_policy_part_t   *parts;
    ngx_phrony_policy_read_t   *reads;

    log = fetch->policy->log;

    parts = ngx_calloc(n * sizeof(ngx_phrony_policy_part_t), log);
    pieces = ngx_calloc(n * sizeof(phrony_policy_piece_t), log);
    reads = ngx_calloc(n * sizeof(ngx_phrony_policy_read_t), log);

    if (parts == NULL || pieces == NULL || reads == NULL) {
        ngx_free(parts);
        ngx_free(pieces);
        ngx_free(reads);

        return NGX_ERROR;
    }

    if (fetch->n) {
        ngx_memcpy(parts, fetch->parts,
                   fetch->n * sizeof(ngx_phrony_policy_part_t));
        ngx_memcpy(pieces, fetch->pieces,
                   fetch->n * sizeof(phrony_policy_piece_t));
        ngx_memcpy(reads, fetch->reads,
                   fetch->n * sizeof(ngx_phrony_policy_read_t));
    }

    ngx_free(fetch->parts);
    ngx_free(fetch->pieces);
    ngx_free(fetch->reads);

    fetch->parts = parts;
    fetch->pieces = pieces;
    fetch->reads = reads;
    fetch->n = n;

    return NGX_OK;
}


void
ngx_phrony_policy_read_name(ngx_phrony_policy_fetch_t *fetch, ngx_uint_t i,
    phrony_policy_name_t *name)
{
    phrony_str_t                text;
    ngx_phrony_policy_redis_t  *policy;

    policy = fetch->policy;

    text.data = policy->name;
    text.len = phrony_policy_name_format(policy->name, name, &policy->prefix)
               - policy->name;

    fetch->parts[i].name = *name;
    fetch->parts[i].slot = phrony_slot(&text);
    fetch->pieces[i].name = *name;
}


void
ngx_phrony_policy_read(ngx_phrony_policy_fetch_t *fetch, ngx_uint_t first)
{
    ngx_uint_t          i;
    ngx_phrony_root_t  *root;

    root = ngx_phrony_zone_lock(fetch->policy->zone);

    for (i = first; i < fetch->n; i++) {
        ngx_phrony_policy_read_zone(fetch, root, i, 0);
    }

    ngx_phrony_zone_unlock(fetch->policy->zone);

    for (i = first; i < fetch->n; i++) {

        if (!fetch->reads[i].ask) {
            continue;
        }

        if (ngx_phrony_policy_read_ask(fetch, i) != NGX_OK) {
            fetch->reads[i].failed = 1;
            fetch->failed++;
        }
    }
}


void
ngx_phrony_policy_read_fall_back(ngx_phrony_policy_fetch_t *fetch)
{
    ngx_uint_t          i;
    ngx_phrony_root_t  *root;

    fetch->failed = 0;

    root = ngx_phrony_zone_lock(fetch->policy->zone);

    for (i = 0; i < fetch->n; i++) {

        if (fetch->reads[i].failed) {
            ngx_phrony_policy_read_zone(fetch, root, i, 1);
        }
    }

    ngx_phrony_zone_unlock(fetch->policy->zone);
}


void
ngx_phrony_policy_read_clear(ngx_phrony_policy_fetch_t *fetch)
{
    ngx_uint_t  i;

    for (i = 0; i < fetch->n; i++) {
        ngx_free(fetch->pieces[i].text.data);
    }

    ngx_free(fetch->parts);
    ngx_free(fetch->pieces);
    ngx_free(fetch->reads);

    fetch->parts = NULL;
    fetch->pieces = NULL;
    fetch->reads = NULL;

    fetch->n = 0;
    fetch->bytes = 0;
    fetch->failed = 0;
    fetch->lost = 0;
}


/* With the lock held; "stale" if it is this or nothing. */

static void
ngx_phrony_policy_read_zone(ngx_phrony_policy_fetch_t *fetch,
    ngx_phrony_root_t *root, ngx_uint_t i, ngx_uint_t stale)
{
    ngx_phrony_policy_part_t   *part;
    ngx_phrony_policy_read_t   *read;
    ngx_phrony_policy_redis_t  *policy;
    ngx_phrony_cache_record_t  *record;

    policy = fetch->policy;
    part = &fetch->parts[i];
    read = &fetch->reads[i];

    part->version = 0;
    part->seen = root->cache->epoch;
    part->fetched = policy->zone->now;

    read->ask = 0;
    read->failed = 0;

    record = ngx_phrony_cache_find(root, &part->name);

    if (record == NULL
        || !(stale ? ngx_phrony_policy_usable(policy, root, record->fetched)
                   : ngx_phrony_policy_trusted(policy, record->fetched,
                                               policy->zone->now)))
    {
        read->ask = !stale;
        fetch->lost += stale;
        return;
    }

    read->state = record->state;
    part->version = record->version;
    part->fetched = record->fetched;

    if (record->state == NGX_PHRONY_CACHE_TEXT
        && ngx_phrony_policy_read_text(fetch, i, record->text, record->len)
           != NGX_OK)
    {
        fetch->lost++;
    }
}


/* Not ngx_alloc(), which would log. */

static ngx_int_t
ngx_phrony_policy_read_text(ngx_phrony_policy_fetch_t *fetch, ngx_uint_t i,
    const u_char *text, size_t len)
{
    u_char  *copy;

    fetch->bytes += len;

    if (fetch->bytes > NGX_PHRONY_POLICY_KEY_MAX) {

        /* all of them are too large then, and this is not needed */

        return NGX_OK;
    }

    copy = malloc(len);
    if (copy == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(copy, text, len);

    fetch->pieces[i].text.data = copy;
    fetch->pieces[i].text.len = len;

    return NGX_OK;
}


static ngx_int_t
ngx_phrony_policy_read_ask(ngx_phrony_policy_fetch_t *fetch, ngx_uint_t i)
{
    phrony_str_t                  argv[4];
    ngx_phrony_policy_redis_t    *policy;
    ngx_phrony_redis_command_t   *command;
    ngx_phrony_policy_request_t  *request;
    static const phrony_str_t     get = phrony_str("GETRANGE");
    static const phrony_str_t     begin = phrony_str("0");
    static const phrony_str_t     end = phrony_str("65536");

    policy = fetch->policy;

    /* one byte more than is allowed, but not all that there might be */

    argv[0] = get;
    argv[1].data = policy->name;
    argv[1].len = phrony_policy_name_format(policy->name,
                                            &fetch->parts[i].name,
                                            &policy->prefix)
                  - policy->name;
    argv[2] = begin;
    argv[3] = end;

    command = ngx_phrony_redis_format(policy->redis, 4, argv,
                                      sizeof(ngx_phrony_policy_request_t));
    if (command == NULL) {
        return NGX_ERROR;
    }

    command->handler = ngx_phrony_policy_read_answered;
    command->slot = fetch->parts[i].slot;
    command->waited = 1;

    request = command->data;
    request->fetch = fetch;
    request->i = i;

    if (ngx_phrony_redis_send(policy->redis, command) != NGX_OK) {
        return NGX_DECLINED;
    }

    fetch->pending++;

    return NGX_OK;
}


static void
ngx_phrony_policy_read_answered(ngx_phrony_redis_command_t *command,
    ngx_phrony_redis_result_t result, const phrony_resp_t *reply)
{
    ngx_phrony_policy_fetch_t    *fetch;
    ngx_phrony_policy_request_t  *request;

    request = command->data;
    fetch = request->fetch;

    if (result == NGX_PHRONY_REDIS_ANSWERED
        && ngx_phrony_policy_read_reply(fetch, request->i, reply) == NGX_OK)
    {
        ngx_phrony_policy_read_keep(fetch, request->i);

    } else {
        fetch->reads[request->i].failed = 1;
        fetch->failed++;
    }

    fetch->pending--;

    ngx_phrony_policy_fetch_resume(fetch);
}


static ngx_int_t
ngx_phrony_policy_read_reply(ngx_phrony_policy_fetch_t *fetch, ngx_uint_t i,
    const phrony_resp_t *reply)
{
    if (reply->type == PHRONY_RESP_STRING) {
        return ngx_phrony_policy_read_string(fetch, i, &reply->str);
    }

    if (reply->type == PHRONY_RESP_NIL) {
        fetch->reads[i].state = NGX_PHRONY_CACHE_ABSENT;
        return NGX_OK;
    }

    if (phrony_resp_is_error(reply, "WRONGTYPE")) {
        fetch->reads[i].state = NGX_PHRONY_CACHE_ODD;
        return NGX_OK;
    }

    ngx_phrony_policy_read_complain(fetch->policy, reply);

    return NGX_ERROR;
}


/* What does not exist has no bytes either. */

static ngx_int_t
ngx_phrony_policy_read_string(ngx_phrony_policy_fetch_t *fetch, ngx_uint_t i,
    const phrony_str_t *str)
{
    ngx_phrony_policy_read_t  *read;

    read = &fetch->reads[i];

    if (str->len == 0) {
        read->state = NGX_PHRONY_CACHE_ABSENT;
        return NGX_OK;
    }

    if (str->len > NGX_PHRONY_POLICY_RECORD_MAX) {
        read->state = NGX_PHRONY_CACHE_LARGE;
        return NGX_OK;
    }

    read->state = NGX_PHRONY_CACHE_TEXT;

    return ngx_phrony_policy_read_text(fetch, i, str->data, str->len);
}


/* In the zone, unless the record has changed since it was asked for. */

static void
ngx_phrony_policy_read_keep(ngx_phrony_policy_fetch_t *fetch, ngx_uint_t i)
{
    ngx_phrony_root_t          *root;
    ngx_phrony_zone_t          *zone;
    ngx_phrony_policy_part_t   *part;
    ngx_phrony_cache_found_t    found;

    zone = fetch->policy->zone;
    part = &fetch->parts[i];

    found.name = part->name;
    found.state = fetch->reads[i].state;
    found.text = fetch->pieces[i].text;
    found.fetched = part->fetched;

    if (found.state == NGX_PHRONY_CACHE_TEXT && found.text.data == NULL) {
        return;
    }

    root = ngx_phrony_zone_lock(zone);

    if (ngx_phrony_cache_changed(root, &part->name) <= part->seen) {
        part->version = ngx_phrony_cache_add(zone, &found);
    }

    ngx_phrony_zone_unlock(zone);
}


static void
ngx_phrony_policy_read_complain(ngx_phrony_policy_redis_t *policy,
    const phrony_resp_t *reply)
{
    char      text[PHRONY_RECORD_PRINT_LEN * 2];
    uint64_t  now;

    now = policy->zone->clock();

    if (policy->complained
        && now - policy->complained < NGX_PHRONY_POLICY_READ_COMPLAIN)
    {
        return;
    }

    policy->complained = now;

    if (reply->type != PHRONY_RESP_ERROR) {
        ngx_log_error(NGX_LOG_ERR, policy->log, 0,
                      "phrony policy records cannot be read: redis answered "
                      "with something else");
        return;
    }

    ngx_log_error(NGX_LOG_ERR, policy->log, 0,
                  "phrony policy records cannot be read: redis answered "
                  "\"%s\"", phrony_record_print(text, sizeof(text),
                                                &reply->str));
}
