
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_http_phrony_delivery.h"
#include "ngx_http_phrony_compat.h"
#include "ngx_http_phrony_digest.h"
#include "ngx_http_phrony_headers.h"


static ngx_int_t ngx_http_phrony_delivery_add(ngx_conf_t *cf,
    ngx_array_t *sources, ngx_str_t *name);
static ngx_int_t ngx_http_phrony_delivery_value(ngx_http_request_t *r,
    ngx_http_phrony_loc_conf_t *conf, phrony_str_t *value);
static ngx_int_t ngx_http_phrony_delivery_variable(ngx_http_request_t *r,
    ngx_int_t index, phrony_str_t *value);
static ngx_int_t ngx_http_phrony_delivery_field(ngx_http_request_t *r,
    ngx_str_t *name, phrony_str_t *value);
static ngx_uint_t ngx_http_phrony_delivery_named(ngx_table_elt_t *h,
    ngx_str_t *name);
static ngx_int_t ngx_http_phrony_delivery_digest(ngx_http_phrony_ctx_t *ctx,
    phrony_str_t *id);


char *
ngx_http_phrony_delivery_ids(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_phrony_loc_conf_t *plcf = conf;

    ngx_str_t   *value, name;
    ngx_uint_t   i;

    if (plcf->delivery_ids != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    plcf->delivery_ids = ngx_array_create(cf->pool, cf->args->nelts - 1,
                                 sizeof(ngx_http_phrony_delivery_source_t));
    if (plcf->delivery_ids == NULL) {
        return NGX_CONF_ERROR;
    }

    for (i = 1; i < cf->args->nelts; i++) {

        if (value[i].len < 2 || value[i].data[0] != '$') {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid variable name \"%V\"", &value[i]);
            return NGX_CONF_ERROR;
        }

        name.data = value[i].data + 1;
        name.len = value[i].len - 1;

        if (ngx_http_phrony_delivery_add(cf, plcf->delivery_ids, &name)
            != NGX_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


char *
ngx_http_phrony_delivery_default(ngx_conf_t *cf,
    ngx_http_phrony_loc_conf_t *conf)
{
    ngx_str_t         *name;
    static ngx_str_t   names[] = {
        ngx_string("http_idempotency_key"),
        ngx_string("http_webhook_id"),
        ngx_null_string
    };

    conf->delivery_ids = ngx_array_create(cf->pool, 2,
                                 sizeof(ngx_http_phrony_delivery_source_t));
    if (conf->delivery_ids == NULL) {
        return NGX_CONF_ERROR;
    }

    for (name = names; name->len; name++) {

        if (ngx_http_phrony_delivery_add(cf, conf->delivery_ids, name)
            != NGX_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


/*
 * A field of the request is looked for here: what $http_ gives of two fields
 * depends on nginx's version.
 */

static ngx_int_t
ngx_http_phrony_delivery_add(ngx_conf_t *cf, ngx_array_t *sources,
    ngx_str_t *name)
{
    ngx_http_phrony_delivery_source_t  *source;

    source = ngx_array_push(sources);
    if (source == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(source, sizeof(ngx_http_phrony_delivery_source_t));

    if (name->len > 5 && ngx_strncasecmp(name->data, (u_char *) "http_", 5)
                         == 0)
    {
        source->field.len = name->len - 5;
        source->field.data = ngx_pnalloc(cf->pool, source->field.len);
        if (source->field.data == NULL) {
            return NGX_ERROR;
        }

        ngx_strlow(source->field.data, name->data + 5, source->field.len);

        return NGX_OK;
    }

    source->index = ngx_http_get_variable_index(cf, name);

    return (source->index == NGX_ERROR) ? NGX_ERROR : NGX_OK;
}


ngx_int_t
ngx_http_phrony_delivery_identify(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx)
{
    u_char                 buf[PHRONY_DELIVERY_ID_MAX];
    ngx_int_t              rc;
    phrony_str_t           value, id;
    phrony_delivery_id_t   read;
    ngx_phrony_delivery_t *delivery;

    delivery = &ctx->op.delivery;

    delivery->mode = PHRONY_DELIVERY_MODE_OFF;

    if (ctx->conf->duplicates == PHRONY_DELIVERY_MODE_OFF) {
        return NGX_OK;
    }

    rc = ngx_http_phrony_delivery_value(r, ctx->conf, &value);

    if (rc != NGX_OK) {
        return rc;
    }

    read = phrony_delivery_id(&value, buf, &id);

    switch (read) {

    case PHRONY_DELIVERY_ID_NONE:
        return NGX_OK;

    case PHRONY_DELIVERY_ID_INVALID:
        return NGX_DECLINED;

    case PHRONY_DELIVERY_ID_OK:
        break;
    }

    delivery->mode = ctx->conf->duplicates;
    delivery->ttl = ctx->conf->delivery_ttl;

    return ngx_http_phrony_delivery_digest(ctx, &id);
}


/* The first that is not empty; returns NGX_DECLINED if that is ambiguous. */

static ngx_int_t
ngx_http_phrony_delivery_value(ngx_http_request_t *r,
    ngx_http_phrony_loc_conf_t *conf, phrony_str_t *value)
{
    ngx_int_t                           rc;
    ngx_uint_t                          i;
    ngx_http_phrony_delivery_source_t  *source;

    source = conf->delivery_ids->elts;

    value->len = 0;

    for (i = 0; i < conf->delivery_ids->nelts && value->len == 0; i++) {

        if (source[i].field.len) {
            rc = ngx_http_phrony_delivery_field(r, &source[i].field, value);

        } else {
            rc = ngx_http_phrony_delivery_variable(r, source[i].index, value);
        }

        if (rc != NGX_OK) {
            return rc;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_phrony_delivery_variable(ngx_http_request_t *r, ngx_int_t index,
    phrony_str_t *value)
{
    ngx_http_variable_value_t  *vv;

    vv = ngx_http_get_flushed_variable(r, index);

    if (vv == NULL) {
        return NGX_ERROR;
    }

    if (!vv->not_found) {
        value->len = vv->len;
        value->data = vv->data;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_phrony_delivery_field(ngx_http_request_t *r, ngx_str_t *name,
    phrony_str_t *value)
{
    ngx_uint_t        i, n;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    n = 0;

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (h[i].key.len == name->len
                && ngx_http_phrony_delivery_named(&h[i], name))
            {
                value->len = h[i].value.len;
                value->data = h[i].value.data;
                n++;
            }
        }
    }

    return (n > 1) ? NGX_DECLINED : NGX_OK;
}


/* As nginx compares a field with the name of a variable. */

static ngx_uint_t
ngx_http_phrony_delivery_named(ngx_table_elt_t *h, ngx_str_t *name)
{
    u_char      ch;
    ngx_uint_t  i;

    for (i = 0; i < name->len; i++) {
        ch = h->lowcase_key[i];

        if (ch == '-') {
            ch = '_';
        }

        if (ch != name->data[i]) {
            return 0;
        }
    }

    return 1;
}


/* Each trigger and key has ids of its own. */

static ngx_int_t
ngx_http_phrony_delivery_digest(ngx_http_phrony_ctx_t *ctx, phrony_str_t *id)
{
    u_char     *p, buf[2 * PHRONY_UUID_LEN + PHRONY_DELIVERY_ID_MAX];
    ngx_str_t   text;

    p = ngx_cpymem(buf, ctx->trigger->id.bytes, PHRONY_UUID_LEN);
    p = ngx_cpymem(p, ctx->key->id.bytes, PHRONY_UUID_LEN);
    p = ngx_cpymem(p, id->data, id->len);

    text.data = buf;
    text.len = p - buf;

    return ngx_http_phrony_digest(&text, ctx->op.delivery.digest);
}


ngx_int_t
ngx_http_phrony_delivery_fingerprint(ngx_http_phrony_ctx_t *ctx,
    const phrony_str_t *body)
{
    ngx_str_t  text;

    if (ctx->op.delivery.mode == PHRONY_DELIVERY_MODE_OFF) {
        return NGX_OK;
    }

    text.data = body->data;
    text.len = body->len;

    return ngx_http_phrony_digest(&text, ctx->op.delivery.fingerprint);
}


ngx_int_t
ngx_http_phrony_delivery_annotate(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx)
{
    ngx_table_elt_t     *h;
    const phrony_str_t  *name;

    static u_char  field[] = "x-phrony-duplicate-delivery";

    if (ctx->op.delivery.duplicate == PHRONY_DUPLICATE_NONE) {
        return NGX_OK;
    }

    name = phrony_duplicate_name(ctx->op.delivery.duplicate);

    h = ngx_list_push(&r->headers_in.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    ngx_str_set(&h->key, "X-Phrony-Duplicate-Delivery");
    h->lowcase_key = field;
    h->hash = ngx_hash_key(field, sizeof(field) - 1);
    h->value.len = name->len;
    h->value.data = name->data;
    ngx_http_phrony_single(h);

    return NGX_OK;
}
