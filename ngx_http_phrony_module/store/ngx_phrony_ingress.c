
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_phrony_ingress.h"


#define NGX_PHRONY_INGRESS_TTL   "604800000"    /* ms: seven days */

#define NGX_PHRONY_INGRESS_HEAD  6              /* XADD key MAXLEN ~ n * */
#define NGX_PHRONY_INGRESS_ARGS  (NGX_PHRONY_INGRESS_HEAD                     \
                                  + 2 * NGX_PHRONY_INGRESS_FIELDS)


/* What a command needs once it is answered. */

typedef struct {
    ngx_phrony_teller_t    *teller;
    ngx_uint_t              entry;      /* XADD, not PEXPIRE */
} ngx_phrony_ingress_sent_t;


static ngx_int_t ngx_phrony_ingress_send(ngx_phrony_teller_t *teller,
    ngx_phrony_ingress_t *entry);
static ngx_phrony_template_t *ngx_phrony_ingress_template(
    ngx_phrony_encoder_t *encoder);
static ngx_phrony_redis_command_t *ngx_phrony_ingress_expire(
    ngx_phrony_teller_t *teller, ngx_phrony_ingress_t *entry,
    phrony_str_t *key);
static ngx_phrony_redis_command_t *ngx_phrony_ingress_add(
    ngx_phrony_teller_t *teller, ngx_phrony_ingress_t *entry,
    phrony_str_t *key);
static ngx_phrony_redis_command_t *ngx_phrony_ingress_encode(
    ngx_phrony_redis_t *redis, phrony_str_t *args, ngx_uint_t n);
static void ngx_phrony_ingress_prepare(ngx_phrony_redis_command_t *command,
    ngx_phrony_teller_t *teller, ngx_uint_t entry);
static void ngx_phrony_ingress_handler(ngx_phrony_redis_command_t *command,
    ngx_phrony_redis_result_t result, const phrony_resp_t *reply);
static void ngx_phrony_ingress_count(ngx_phrony_zone_t *zone,
    ngx_uint_t logged);


static phrony_str_t  ngx_phrony_ingress_names[] = {
    phrony_str("id"),
    phrony_str("outcome"),
    phrony_str("reason"),
    phrony_str("key"),
    phrony_str("client"),
    phrony_str("agent"),
    phrony_str("duplicate"),
    phrony_str("run"),
    phrony_str("status"),
    phrony_str("latency"),
    phrony_str("gateway")
};


void
ngx_phrony_ingress_log(ngx_phrony_store_redis_t *store,
    ngx_phrony_ingress_t *entry)
{
    ngx_phrony_teller_t  *teller;

    teller = store->teller;

    if (!ngx_phrony_tell_ready(teller, &entry->workspace_id)
        || teller->logging >= NGX_PHRONY_INGRESS_MAX
        || ngx_phrony_ingress_send(teller, entry) != NGX_OK)
    {
        ngx_phrony_ingress_count(store->zone, 0);
        return;
    }

    teller->logging++;
}


/* No key but policy is without a time to live, so both are made first. */

static ngx_int_t
ngx_phrony_ingress_send(ngx_phrony_teller_t *teller,
    ngx_phrony_ingress_t *entry)
{
    phrony_str_t                 key;
    ngx_phrony_redis_t          *redis;
    ngx_phrony_redis_command_t  *add, *expire;

    redis = teller->encoder.redis;

    expire = ngx_phrony_ingress_expire(teller, entry, &key);
    if (expire == NULL) {
        return NGX_ERROR;
    }

    add = ngx_phrony_ingress_add(teller, entry, &key);

    if (add == NULL || ngx_phrony_redis_send(redis, add) != NGX_OK) {
        ngx_phrony_redis_free(redis, expire);
        return NGX_DECLINED;
    }

    (void) ngx_phrony_redis_send(redis, expire);

    return NGX_OK;
}


static ngx_phrony_template_t *
ngx_phrony_ingress_template(ngx_phrony_encoder_t *encoder)
{
    ngx_int_t                   rc;
    ngx_phrony_template_args_t  args;

    if (encoder->ingress.bytes.len) {
        return &encoder->ingress;
    }

    ngx_phrony_template_begin(&args, encoder->prefix);

    ngx_phrony_template_add(&args, "PEXPIRE");
    ngx_phrony_template_add_key(&args, ":ingress:");
    ngx_phrony_template_add(&args, NGX_PHRONY_INGRESS_TTL);

    rc = ngx_phrony_template_plain(&encoder->ingress, encoder->redis, &args);

    return (rc == NGX_OK) ? &encoder->ingress : NULL;
}


/* "key" is set to the one in the command. */

static ngx_phrony_redis_command_t *
ngx_phrony_ingress_expire(ngx_phrony_teller_t *teller,
    ngx_phrony_ingress_t *entry, phrony_str_t *key)
{
    u_char                      *p, ids[2 * PHRONY_UUID_TEXT_LEN];
    ngx_phrony_encoder_t        *encoder;
    ngx_phrony_template_t       *t;
    ngx_phrony_redis_command_t  *command;

    encoder = &teller->encoder;

    t = ngx_phrony_ingress_template(encoder);
    if (t == NULL) {
        return NULL;
    }

    command = ngx_phrony_template_copy(t, encoder->redis,
                                       sizeof(ngx_phrony_ingress_sent_t));
    if (command == NULL) {
        return NULL;
    }

    p = phrony_uuid_format(ids, &entry->workspace_id);
    (void) phrony_uuid_format(p, &entry->trigger_id);

    key->data = command->bytes + t->args[1];
    key->len = encoder->prefix->len + sizeof(":{}:ingress:") - 1
               + 2 * PHRONY_UUID_TEXT_LEN;

    ngx_phrony_encode_ids(encoder, key->data, sizeof(":ingress:") - 1, ids);

    command->slot = ngx_phrony_encode_slot(encoder, &entry->workspace_id);

    ngx_phrony_ingress_prepare(command, teller, 0);

    return command;
}


static ngx_phrony_redis_command_t *
ngx_phrony_ingress_add(ngx_phrony_teller_t *teller,
    ngx_phrony_ingress_t *entry, phrony_str_t *key)
{
    u_char                      *p, maxlen[NGX_INT_T_LEN];
    ngx_uint_t                   i;
    phrony_str_t                 args[NGX_PHRONY_INGRESS_ARGS] = {
        phrony_str("XADD"), { 0, NULL }, phrony_str("MAXLEN"), phrony_str("~"),
        { 0, NULL }, phrony_str("*")
    };
    ngx_phrony_redis_command_t  *command;

    p = ngx_sprintf(maxlen, "%ui", entry->maxlen);

    args[1] = *key;
    args[4].data = maxlen;
    args[4].len = p - maxlen;

    for (i = 0; i < NGX_PHRONY_INGRESS_FIELDS; i++) {
        args[NGX_PHRONY_INGRESS_HEAD + 2 * i] = ngx_phrony_ingress_names[i];
        args[NGX_PHRONY_INGRESS_HEAD + 2 * i + 1] = entry->fields[i];
    }

    command = ngx_phrony_ingress_encode(teller->encoder.redis, args,
                                        NGX_PHRONY_INGRESS_ARGS);
    if (command) {
        command->slot = ngx_phrony_encode_slot(&teller->encoder,
                                               &entry->workspace_id);
        ngx_phrony_ingress_prepare(command, teller, 1);
    }

    return command;
}


/*
 * Nearly all of its arguments differ in length from one to the next, so that
 * it is written in its place, where a formatter would take memory of its own.
 */

static ngx_phrony_redis_command_t *
ngx_phrony_ingress_encode(ngx_phrony_redis_t *redis, phrony_str_t *args,
    ngx_uint_t n)
{
    u_char                      *p, number[sizeof("*\r\n") + NGX_SIZE_T_LEN];
    size_t                       len;
    ngx_uint_t                   i;
    ngx_phrony_redis_command_t  *command;

    len = ngx_sprintf(number, "*%ui\r\n", n) - number;

    for (i = 0; i < n; i++) {
        len += ngx_sprintf(number, "$%uz\r\n", args[i].len) - number;
        len += args[i].len + 2;
    }

    command = ngx_phrony_redis_command(redis, len,
                                       sizeof(ngx_phrony_ingress_sent_t));
    if (command == NULL) {
        return NULL;
    }

    p = ngx_sprintf(command->bytes, "*%ui\r\n", n);

    for (i = 0; i < n; i++) {
        p = ngx_sprintf(p, "$%uz\r\n", args[i].len);

        if (args[i].len) {
            p = ngx_cpymem(p, args[i].data, args[i].len);
        }

        *p++ = CR;
        *p++ = LF;
    }

    return command;
}


static void
ngx_phrony_ingress_prepare(ngx_phrony_redis_command_t *command,
    ngx_phrony_teller_t *teller, ngx_uint_t entry)
{
    ngx_phrony_ingress_sent_t  *sent;

    sent = command->data;

    sent->teller = teller;
    sent->entry = entry;

    command->handler = ngx_phrony_ingress_handler;
    command->lazy = 1;
}


static void
ngx_phrony_ingress_handler(ngx_phrony_redis_command_t *command,
    ngx_phrony_redis_result_t result, const phrony_resp_t *reply)
{
    ngx_uint_t                  failed;
    ngx_phrony_ingress_sent_t  *sent;

    sent = command->data;

    failed = (result != NGX_PHRONY_REDIS_ANSWERED
              || reply->type == PHRONY_RESP_ERROR);

    if (failed && result == NGX_PHRONY_REDIS_ANSWERED) {
        (void) ngx_phrony_tell_passes(reply, "an entry of the ingress log");
    }

    if (!sent->entry) {
        return;
    }

    sent->teller->logging--;

    ngx_phrony_ingress_count(sent->teller->zone, !failed);
}


static void
ngx_phrony_ingress_count(ngx_phrony_zone_t *zone, ngx_uint_t logged)
{
    ngx_phrony_root_t  *root;

    root = zone->shpool->data;

    (void) ngx_atomic_fetch_add(logged ? &root->counters.logged
                                       : &root->counters.dropped, 1);
}
