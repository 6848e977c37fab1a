
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_phrony_encode.h"
#include "ngx_phrony_delivery.h"


#define NGX_PHRONY_ENCODE_OWNER  (3 * PHRONY_UUID_TEXT_LEN + 2)


static ngx_phrony_template_t *ngx_phrony_encode_admit_template(
    ngx_phrony_encoder_t *encoder, ngx_uint_t n, ngx_uint_t asks);
static ngx_phrony_template_t *ngx_phrony_encode_settle_template(
    ngx_phrony_encoder_t *encoder, ngx_uint_t n);
static ngx_phrony_template_t *ngx_phrony_encode_read_template(
    ngx_phrony_encoder_t *encoder);
static ngx_phrony_template_t *ngx_phrony_encode_set_template(
    ngx_phrony_encoder_t *encoder, ngx_uint_t digits);
static ngx_phrony_template_t *ngx_phrony_encode_get_template(
    ngx_phrony_encoder_t *encoder);
static void ngx_phrony_encode_news(ngx_phrony_redis_command_t *command,
    uint16_t *offsets, ngx_str_t *news);
static int64_t ngx_phrony_encode_quota(phrony_limit_t *limit);
static void ngx_phrony_encode_buckets(ngx_phrony_template_args_t *args,
    const char *name, phrony_window_t *window, uint64_t now);


void
ngx_phrony_encode_free(ngx_phrony_encoder_t *encoder)
{
    ngx_uint_t  i;

    for (i = 0; i <= NGX_PHRONY_ENCODE_NEWS; i++) {
        ngx_free(encoder->admit[i].bytes.data);
        ngx_free(encoder->claim[i].bytes.data);
        ngx_free(encoder->settle[i].bytes.data);
    }

    for (i = 0; i <= NGX_PHRONY_NEWS_DIGITS; i++) {
        ngx_free(encoder->set[i].bytes.data);
    }

    ngx_free(encoder->read.bytes.data);
    ngx_free(encoder->get.bytes.data);
    ngx_free(encoder->deliver.bytes.data);
    ngx_free(encoder->suspects.bytes.data);
    ngx_free(encoder->ingress.bytes.data);
}


ngx_uint_t
ngx_phrony_encode_slot(ngx_phrony_encoder_t *encoder,
    phrony_uuid_t *workspace_id)
{
    u_char        text[PHRONY_UUID_TEXT_LEN];
    phrony_str_t  tag;

    if (!encoder->cluster) {
        return 0;
    }

    /* the tag alone, since that is what counts of a key */

    tag.data = text;
    tag.len = phrony_uuid_format(text, workspace_id) - text;

    return phrony_slot(&tag);
}


ngx_uint_t
ngx_phrony_encode_run_slot(ngx_phrony_encoder_t *encoder,
    phrony_uuid_t *run_id)
{
    u_char        *p, text[NGX_PHRONY_TEMPLATE_KEY];
    phrony_str_t   key;

    if (!encoder->cluster) {
        return 0;
    }

    p = ngx_cpymem(text, encoder->prefix->data, encoder->prefix->len);
    p = ngx_cpymem(p, ":run:", sizeof(":run:") - 1);
    p = phrony_uuid_format(p, run_id);

    key.data = text;
    key.len = p - text;

    return phrony_slot(&key);
}


static ngx_phrony_template_t *
ngx_phrony_encode_admit_template(ngx_phrony_encoder_t *encoder, ngx_uint_t n,
    ngx_uint_t asks)
{
    ngx_int_t                    rc;
    ngx_uint_t                   i;
    ngx_phrony_template_t       *template;
    ngx_phrony_template_args_t   args;

    template = asks ? &encoder->claim[n] : &encoder->admit[n];

    if (template->bytes.len) {
        return template;
    }

    ngx_phrony_template_begin(&args, encoder->prefix);

    ngx_phrony_template_add(&args, asks ? "3" : "2");
    ngx_phrony_template_add_key(&args, ":window:");
    ngx_phrony_template_add_key(&args, ":runs:");

    if (asks) {
        ngx_phrony_template_add_delivery(&args);
    }

    for (i = 0; i < NGX_PHRONY_VERDICT_QUOTAS + 1; i++) {
        ngx_phrony_template_add_blank(&args, NGX_PHRONY_NEWS_DIGITS);
    }

    ngx_phrony_template_add_blank(&args, PHRONY_UUID_TEXT_LEN);

    if (asks) {
        ngx_phrony_template_add_blank(&args, NGX_PHRONY_NOTICE_CLAIM);
    }

    for (i = 0; i < n; i++) {
        ngx_phrony_template_add_blank(&args, NGX_PHRONY_NEWS_LEN);
    }

    rc = ngx_phrony_template_script(template, encoder->redis,
                                    PHRONY_SCRIPT_ADMIT, &args);

    return (rc == NGX_OK) ? template : NULL;
}


ngx_phrony_redis_command_t *
ngx_phrony_encode_admit(ngx_phrony_encoder_t *encoder, ngx_phrony_op_t *op,
    phrony_uuid_t *lease_id, ngx_str_t *news, size_t size)
{
    u_char                      *p, ids[2 * PHRONY_UUID_TEXT_LEN];
    uint16_t                    *arg;
    ngx_uint_t                   asks;
    phrony_limit_t              *limits;
    ngx_phrony_template_t       *t;
    ngx_phrony_redis_command_t  *command;

    asks = ngx_phrony_delivery_asks(op);

    t = ngx_phrony_encode_admit_template(encoder,
                                         news->len / NGX_PHRONY_NEWS_LEN,
                                         asks);
    if (t == NULL) {
        return NULL;
    }

    command = ngx_phrony_template_copy(t, encoder->redis, size);
    if (command == NULL) {
        return NULL;
    }

    command->slot = ngx_phrony_encode_slot(encoder, &op->workspace_id);

    p = phrony_uuid_format(ids, &op->workspace_id);
    (void) phrony_uuid_format(p, &op->trigger_id);

    p = command->bytes;

    arg = t->args + 1;

    ngx_phrony_encode_ids(encoder, p + *arg++, sizeof(":window:") - 1, ids);
    ngx_phrony_encode_ids(encoder, p + *arg++, sizeof(":runs:") - 1, ids);

    if (asks) {
        ngx_phrony_encode_delivery(encoder, p + *arg++, ids,
                                   op->delivery.digest);
    }

    limits = op->limits;

    (void) ngx_phrony_news_number(p + *arg++,
                         ngx_phrony_encode_quota(&limits[PHRONY_LIMIT_RPM]));
    (void) ngx_phrony_news_number(p + *arg++,
                         ngx_phrony_encode_quota(&limits[PHRONY_LIMIT_RPD]));
    (void) ngx_phrony_news_number(p + *arg++,
                         ngx_phrony_encode_quota(&limits[PHRONY_LIMIT_RUNS]));
    (void) ngx_phrony_news_number(p + *arg++, (int64_t) op->reservation_ttl);

    (void) phrony_uuid_format(p + *arg++, lease_id);

    if (asks) {
        (void) ngx_phrony_notice_claim(p + *arg++, &op->delivery);
    }

    ngx_phrony_encode_news(command, arg, news);

    return command;
}


static int64_t
ngx_phrony_encode_quota(phrony_limit_t *limit)
{
    return limit->set ? limit->quota : -1;
}


void
ngx_phrony_encode_ids(ngx_phrony_encoder_t *encoder, u_char *key, size_t kind,
    u_char *ids)
{
    key += encoder->prefix->len + sizeof(":{") - 1;
    ngx_memcpy(key, ids, PHRONY_UUID_TEXT_LEN);

    key += PHRONY_UUID_TEXT_LEN + sizeof("}") - 1 + kind;
    ngx_memcpy(key, ids + PHRONY_UUID_TEXT_LEN, PHRONY_UUID_TEXT_LEN);
}


void
ngx_phrony_encode_delivery(ngx_phrony_encoder_t *encoder, u_char *key,
    u_char *ids, u_char *digest)
{
    ngx_phrony_encode_ids(encoder, key, sizeof(":delivery:") - 1, ids);

    key += encoder->prefix->len + sizeof(":{}:delivery::") - 1
           + 2 * PHRONY_UUID_TEXT_LEN;

    (void) ngx_hex_dump(key, digest, NGX_PHRONY_DIGEST_LEN);
}


static void
ngx_phrony_encode_news(ngx_phrony_redis_command_t *command,
    uint16_t *offsets, ngx_str_t *news)
{
    size_t  done;

    for (done = 0; done < news->len; done += NGX_PHRONY_NEWS_LEN) {
        ngx_memcpy(command->bytes + *offsets++, news->data + done,
                   NGX_PHRONY_NEWS_LEN);
    }
}


static ngx_phrony_template_t *
ngx_phrony_encode_read_template(ngx_phrony_encoder_t *encoder)
{
    ngx_int_t                   rc;
    ngx_phrony_template_args_t  args;

    if (encoder->read.bytes.len) {
        return &encoder->read;
    }

    ngx_phrony_template_begin(&args, encoder->prefix);

    ngx_phrony_template_add(&args, "1");
    ngx_phrony_template_add_key(&args, ":reads:");
    ngx_phrony_template_add_blank(&args, NGX_PHRONY_NEWS_DIGITS);

    rc = ngx_phrony_template_script(&encoder->read, encoder->redis,
                                    PHRONY_SCRIPT_READ, &args);

    return (rc == NGX_OK) ? &encoder->read : NULL;
}


ngx_phrony_redis_command_t *
ngx_phrony_encode_read(ngx_phrony_encoder_t *encoder, ngx_phrony_op_t *op,
    size_t size)
{
    u_char                      *p, ids[2 * PHRONY_UUID_TEXT_LEN];
    ngx_phrony_template_t       *t;
    ngx_phrony_redis_command_t  *command;

    t = ngx_phrony_encode_read_template(encoder);
    if (t == NULL) {
        return NULL;
    }

    command = ngx_phrony_template_copy(t, encoder->redis, size);
    if (command == NULL) {
        return NULL;
    }

    command->slot = ngx_phrony_encode_slot(encoder, &op->workspace_id);

    p = phrony_uuid_format(ids, &op->workspace_id);
    (void) phrony_uuid_format(p, &op->trigger_id);

    p = command->bytes;

    ngx_phrony_encode_ids(encoder, p + t->args[1], sizeof(":reads:") - 1, ids);

    (void) ngx_phrony_news_number(p + t->args[2],
                 ngx_phrony_encode_quota(&op->limits[PHRONY_LIMIT_READS]));

    return command;
}


static ngx_phrony_template_t *
ngx_phrony_encode_settle_template(ngx_phrony_encoder_t *encoder, ngx_uint_t n)
{
    ngx_int_t                    rc;
    ngx_uint_t                   i;
    ngx_phrony_template_t       *template;
    ngx_phrony_template_args_t   args;

    template = &encoder->settle[n];

    if (template->bytes.len) {
        return template;
    }

    ngx_phrony_template_begin(&args, encoder->prefix);

    ngx_phrony_template_add(&args, "1");
    ngx_phrony_template_add_key(&args, ":runs:");

    for (i = 0; i < n; i++) {
        ngx_phrony_template_add_blank(&args, NGX_PHRONY_NEWS_LEN);
    }

    rc = ngx_phrony_template_script(template, encoder->redis,
                                    PHRONY_SCRIPT_SETTLE, &args);

    return (rc == NGX_OK) ? template : NULL;
}


ngx_phrony_redis_command_t *
ngx_phrony_encode_settle(ngx_phrony_encoder_t *encoder, ngx_phrony_news_t *of,
    ngx_str_t *news, size_t size)
{
    u_char                      *p, ids[2 * PHRONY_UUID_TEXT_LEN];
    ngx_phrony_template_t       *t;
    ngx_phrony_redis_command_t  *command;

    t = ngx_phrony_encode_settle_template(encoder,
                                          news->len / NGX_PHRONY_NEWS_LEN);
    if (t == NULL) {
        return NULL;
    }

    command = ngx_phrony_template_copy(t, encoder->redis, size);
    if (command == NULL) {
        return NULL;
    }

    command->slot = ngx_phrony_encode_slot(encoder, &of->workspace_id);

    p = phrony_uuid_format(ids, &of->workspace_id);
    (void) phrony_uuid_format(p, &of->trigger_id);

    ngx_phrony_encode_ids(encoder, command->bytes + t->args[1],
                          sizeof(":runs:") - 1, ids);

    ngx_phrony_encode_news(command, &t->args[2], news);

    return command;
}


/* A time to live with zeros in front is none for Redis: one for each width. */

static ngx_phrony_template_t *
ngx_phrony_encode_set_template(ngx_phrony_encoder_t *encoder,
    ngx_uint_t digits)
{
    ngx_int_t                    rc;
    ngx_phrony_template_t       *template;
    ngx_phrony_template_args_t   args;

    template = &encoder->set[digits];

    if (template->bytes.len) {
        return template;
    }

    ngx_phrony_template_begin(&args, encoder->prefix);

    ngx_phrony_template_add(&args, "SET");
    ngx_phrony_template_add_run(&args);
    ngx_phrony_template_add_blank(&args, NGX_PHRONY_ENCODE_OWNER);
    ngx_phrony_template_add(&args, "PX");
    ngx_phrony_template_add_blank(&args, digits);

    rc = ngx_phrony_template_plain(template, encoder->redis, &args);

    return (rc == NGX_OK) ? template : NULL;
}


ngx_phrony_redis_command_t *
ngx_phrony_encode_set(ngx_phrony_encoder_t *encoder, ngx_phrony_news_t *news,
    size_t size)
{
    size_t                       len;
    u_char                      *p, ttl[NGX_INT64_LEN];
    ngx_phrony_template_t       *t;
    ngx_phrony_redis_command_t  *command;

    len = ngx_snprintf(ttl, NGX_PHRONY_NEWS_DIGITS, "%uL",
                       news->ttl ? news->ttl : 1)
          - ttl;

    t = ngx_phrony_encode_set_template(encoder, len);
    if (t == NULL) {
        return NULL;
    }

    command = ngx_phrony_template_copy(t, encoder->redis, size);
    if (command == NULL) {
        return NULL;
    }

    command->slot = ngx_phrony_encode_run_slot(encoder, &news->run_id);

    p = command->bytes + t->args[1] + encoder->prefix->len
        + sizeof(":run:") - 1;
    (void) phrony_uuid_format(p, &news->run_id);

    p = phrony_uuid_format(command->bytes + t->args[2], &news->workspace_id);
    *p++ = ' ';
    p = phrony_uuid_format(p, &news->agent_id);
    *p++ = ' ';
    (void) phrony_uuid_format(p, &news->trigger_id);

    ngx_memcpy(command->bytes + t->args[4], ttl, len);

    return command;
}


static ngx_phrony_template_t *
ngx_phrony_encode_get_template(ngx_phrony_encoder_t *encoder)
{
    ngx_int_t                   rc;
    ngx_phrony_template_args_t  args;

    if (encoder->get.bytes.len) {
        return &encoder->get;
    }

    ngx_phrony_template_begin(&args, encoder->prefix);

    ngx_phrony_template_add(&args, "GET");
    ngx_phrony_template_add_run(&args);

    rc = ngx_phrony_template_plain(&encoder->get, encoder->redis, &args);

    return (rc == NGX_OK) ? &encoder->get : NULL;
}


ngx_phrony_redis_command_t *
ngx_phrony_encode_get(ngx_phrony_encoder_t *encoder, phrony_uuid_t *run_id,
    size_t size)
{
    u_char                      *p;
    ngx_phrony_template_t       *t;
    ngx_phrony_redis_command_t  *command;

    t = ngx_phrony_encode_get_template(encoder);
    if (t == NULL) {
        return NULL;
    }

    command = ngx_phrony_template_copy(t, encoder->redis, size);
    if (command == NULL) {
        return NULL;
    }

    command->slot = ngx_phrony_encode_run_slot(encoder, run_id);

    p = command->bytes + t->args[1] + encoder->prefix->len
        + sizeof(":run:") - 1;
    (void) phrony_uuid_format(p, run_id);

    return command;
}


ngx_int_t
ngx_phrony_encode_owner(const phrony_resp_t *reply, phrony_uuid_t *trigger_id)
{
    ngx_uint_t     i;
    phrony_str_t   id;

    if (reply->type == PHRONY_RESP_NIL) {
        return NGX_DECLINED;
    }

    if (reply->type != PHRONY_RESP_STRING
        || reply->str.len != NGX_PHRONY_ENCODE_OWNER)
    {
        return NGX_ERROR;
    }

    id.data = reply->str.data;
    id.len = PHRONY_UUID_TEXT_LEN;

    for (i = 0; i < 3; i++) {

        if (phrony_uuid_parse(&id, trigger_id) != 0
            || (i < 2 && id.data[id.len] != ' '))
        {
            return NGX_ERROR;
        }

        id.data += id.len + 1;
    }

    return NGX_OK;
}


ngx_phrony_redis_command_t *
ngx_phrony_encode_tell(ngx_phrony_encoder_t *encoder,
    ngx_phrony_share_t *share, ngx_phrony_counts_t *counts, uint64_t now,
    size_t size)
{
    u_char                      *p, ids[2 * PHRONY_UUID_TEXT_LEN];
    ngx_phrony_template_args_t   args;
    ngx_phrony_redis_command_t  *command;

    ngx_phrony_template_begin(&args, encoder->prefix);

    ngx_phrony_template_add(&args, "1");
    ngx_phrony_template_add_key(&args, ":window:");

    p = phrony_uuid_format(ids, &share->workspace_id);
    (void) phrony_uuid_format(p, &share->trigger_id);

    ngx_phrony_encode_ids(encoder, args.args[1].data, sizeof(":window:") - 1,
                          ids);

    ngx_phrony_encode_buckets(&args, "m", &counts->rpm.window, now);
    ngx_phrony_encode_buckets(&args, "d", &counts->rpd.window, now);

    command = ngx_phrony_redis_eval(encoder->redis, PHRONY_SCRIPT_TELL,
                                    args.n, args.args, size);
    if (command) {
        command->slot = ngx_phrony_encode_slot(encoder, &share->workspace_id);
    }

    return command;
}


static void
ngx_phrony_encode_buckets(ngx_phrony_template_args_t *args, const char *name,
    phrony_window_t *window, uint64_t now)
{
    uint32_t                       back, n;
    uint64_t                       end;
    phrony_str_t                  *arg;
    const phrony_window_shape_t   *shape;

    shape = (*name == 'm') ? &phrony_window_minute : &phrony_window_day;

    for (back = 0; back < shape->places; back++) {
        n = phrony_window_past(window, shape, back);

        if (n == 0) {
            continue;
        }

        end = (window->bucket - back + 1) * shape->width;

        ngx_phrony_template_add(args, name);

        arg = &args->args[args->n++];
        arg->data = args->last;
        args->last = ngx_phrony_news_number(args->last,
                                     end < now ? (int64_t) (now - end) : 0);
        arg->len = args->last - arg->data;

        arg = &args->args[args->n++];
        arg->data = args->last;
        args->last = ngx_phrony_news_number(args->last, n);
        arg->len = args->last - arg->data;
    }
}
