
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_http_phrony_ingress.h"
#include "ngx_http_phrony_conf.h"
#include "ngx_http_phrony_instance.h"
#include "ngx_http_phrony_variables.h"
#include "core/phrony_hint.h"
#include "store/ngx_phrony_ingress.h"


#define NGX_HTTP_PHRONY_INGRESS_MAXLEN      1000
#define NGX_HTTP_PHRONY_INGRESS_MAX_MAXLEN  1000000


/* Room for the texts of an entry that are not written elsewhere. */

typedef struct {
    u_char           key[PHRONY_UUID_TEXT_LEN];
    u_char           run[PHRONY_UUID_TEXT_LEN];
    u_char           client[PHRONY_HINT_ADDRESS_LEN];
    u_char           agent[PHRONY_HINT_AGENT_LEN];
    u_char           status[NGX_INT_T_LEN];
    u_char           latency[NGX_INT64_LEN];
} ngx_http_phrony_ingress_texts_t;


static ngx_http_phrony_ctx_t *ngx_http_phrony_ingress_ctx(
    ngx_http_request_t *r);
static void ngx_http_phrony_ingress_decision(ngx_http_phrony_ctx_t *ctx,
    phrony_str_t *fields, ngx_http_phrony_ingress_texts_t *texts);
static void ngx_http_phrony_ingress_request(ngx_http_request_t *r,
    phrony_str_t *fields, ngx_http_phrony_ingress_texts_t *texts);
static void ngx_http_phrony_ingress_uuid(phrony_str_t *field, u_char *text,
    const phrony_uuid_t *id);
static ngx_uint_t ngx_http_phrony_ingress_status(ngx_http_request_t *r);
static ngx_msec_int_t ngx_http_phrony_ingress_latency(ngx_http_request_t *r);


char *
ngx_http_phrony_ingress_log(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_phrony_loc_conf_t *plcf = conf;

    ngx_int_t                     n;
    ngx_str_t                    *value;
    ngx_http_phrony_main_conf_t  *pmcf;

    if (plcf->ingress_maxlen != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0 && cf->args->nelts == 2) {
        plcf->ingress_maxlen = 0;
        return NGX_CONF_OK;
    }

    if (ngx_strcmp(value[1].data, "redis") != 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\", it must be off or "
                           "redis [maxlen=n]",
                           &value[cf->args->nelts - 1]);
        return NGX_CONF_ERROR;
    }

    n = NGX_HTTP_PHRONY_INGRESS_MAXLEN;

    if (cf->args->nelts == 3) {
        n = (ngx_strncmp(value[2].data, "maxlen=", 7) == 0)
            ? ngx_atoi(value[2].data + 7, value[2].len - 7) : NGX_ERROR;
    }

    if (n < 1 || n > NGX_HTTP_PHRONY_INGRESS_MAX_MAXLEN) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\", it must be maxlen=n "
                           "with n from 1 to %d",
                           &value[2], NGX_HTTP_PHRONY_INGRESS_MAX_MAXLEN);
        return NGX_CONF_ERROR;
    }

    plcf->ingress_maxlen = n;

    pmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_phrony_module);

    ngx_http_phrony_note(cf, &pmcf->redis.setting);

    return NGX_CONF_OK;
}


ngx_int_t
ngx_http_phrony_ingress_handler(ngx_http_request_t *r)
{
    ngx_phrony_ingress_t              entry;
    ngx_http_phrony_ctx_t            *ctx;
    ngx_http_phrony_main_conf_t      *pmcf;
    ngx_http_phrony_ingress_texts_t   texts;

    if (r != r->main) {
        return NGX_OK;
    }

    pmcf = ngx_http_get_module_main_conf(r, ngx_http_phrony_module);

    if (pmcf->connection == NULL) {
        return NGX_OK;
    }

    ctx = ngx_http_phrony_ingress_ctx(r);

    if (ctx == NULL) {
        return NGX_OK;
    }

    ngx_memzero(&entry, sizeof(ngx_phrony_ingress_t));

    entry.workspace_id = *ngx_http_phrony_workspace_id(ctx);
    entry.trigger_id = ctx->trigger->id;
    entry.maxlen = ctx->conf->ingress_maxlen;

    ngx_http_phrony_ingress_decision(ctx, entry.fields, &texts);
    ngx_http_phrony_ingress_request(r, entry.fields, &texts);

    ngx_phrony_ingress_log(&pmcf->shared, &entry);

    return NGX_OK;
}


/*
 * The context of a start that is to be logged, or NULL.  A start that nginx or
 * another module has refused before this one was asked is an attempt, too.
 */

static ngx_http_phrony_ctx_t *
ngx_http_phrony_ingress_ctx(ngx_http_request_t *r)
{
    ngx_http_phrony_ctx_t       *ctx;
    ngx_http_phrony_loc_conf_t  *plcf;

    ctx = ngx_http_phrony_get_ctx(r);

    if (ctx == NULL) {
        plcf = ngx_http_get_module_loc_conf(r, ngx_http_phrony_module);

        ctx = plcf->ingress_maxlen ? ngx_http_phrony_variables_ctx(r) : NULL;
    }

    if (ctx == NULL || ctx->route.kind != PHRONY_ROUTE_START
        || ctx->trigger == NULL || ctx->conf->ingress_maxlen == 0)
    {
        return NULL;
    }

    return ctx;
}


static void
ngx_http_phrony_ingress_decision(ngx_http_phrony_ctx_t *ctx,
    phrony_str_t *fields, ngx_http_phrony_ingress_texts_t *texts)
{
    fields[NGX_PHRONY_INGRESS_OUTCOME] =
                                   *ngx_http_phrony_outcome_name(ctx->outcome);

    if (ctx->reason != PHRONY_REASON_NONE) {
        fields[NGX_PHRONY_INGRESS_REASON] =
                                         phrony_reason_info(ctx->reason)->code;
    }

    if (ctx->asked) {
        fields[NGX_PHRONY_INGRESS_DUPLICATE] =
                          *phrony_duplicate_name(ctx->op.delivery.duplicate);
    }

    ngx_http_phrony_ingress_uuid(&fields[NGX_PHRONY_INGRESS_KEY], texts->key,
                                 &ctx->key->id);
    ngx_http_phrony_ingress_uuid(&fields[NGX_PHRONY_INGRESS_RUN], texts->run,
                                 ngx_http_phrony_run_id(ctx));
}


static void
ngx_http_phrony_ingress_request(ngx_http_request_t *r, phrony_str_t *fields,
    ngx_http_phrony_ingress_texts_t *texts)
{
    u_char                     *p;
    phrony_str_t               *field;
    ngx_http_variable_value_t  *id;

    id = ngx_http_phrony_request_id(r);

    if (id) {
        fields[NGX_PHRONY_INGRESS_ID].data = id->data;
        fields[NGX_PHRONY_INGRESS_ID].len = id->len;
    }

    field = &fields[NGX_PHRONY_INGRESS_CLIENT];
    field->data = texts->client;
    field->len = ngx_http_phrony_client(r, texts->client) - texts->client;

    field = &fields[NGX_PHRONY_INGRESS_AGENT];
    field->data = texts->agent;
    field->len = ngx_http_phrony_user_agent(r, texts->agent) - texts->agent;

    p = ngx_sprintf(texts->status, "%ui", ngx_http_phrony_ingress_status(r));

    field = &fields[NGX_PHRONY_INGRESS_STATUS];
    field->data = texts->status;
    field->len = p - texts->status;

    p = ngx_sprintf(texts->latency, "%M", ngx_http_phrony_ingress_latency(r));

    field = &fields[NGX_PHRONY_INGRESS_LATENCY];
    field->data = texts->latency;
    field->len = p - texts->latency;

    fields[NGX_PHRONY_INGRESS_GATEWAY].data = ngx_cycle->hostname.data;
    fields[NGX_PHRONY_INGRESS_GATEWAY].len = ngx_cycle->hostname.len;
}


static void
ngx_http_phrony_ingress_uuid(phrony_str_t *field, u_char *text,
    const phrony_uuid_t *id)
{
    if (id) {
        field->data = text;
        field->len = phrony_uuid_format(text, id) - text;
    }
}


/* As $status has it; 0 if nothing was answered. */

static ngx_uint_t
ngx_http_phrony_ingress_status(ngx_http_request_t *r)
{
    return r->err_status ? r->err_status : r->headers_out.status;
}


/* As $request_time has it, in ms. */

static ngx_msec_int_t
ngx_http_phrony_ingress_latency(ngx_http_request_t *r)
{
    ngx_time_t      *now;
    ngx_msec_int_t   ms;

    now = ngx_timeofday();

    ms = (ngx_msec_int_t) ((now->sec - r->start_sec) * 1000
                           + (now->msec - r->start_msec));

    return ngx_max(ms, 0);
}
