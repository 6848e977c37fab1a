
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_http_phrony_variables.h"
#include "ngx_http_phrony_authorize.h"
#include "ngx_http_phrony_verify.h"


typedef enum {
    NGX_HTTP_PHRONY_ID_AGENT = 0,
    NGX_HTTP_PHRONY_ID_RUN,
    NGX_HTTP_PHRONY_ID_WORKSPACE,
    NGX_HTTP_PHRONY_ID_TRIGGER,
    NGX_HTTP_PHRONY_ID_KEY
} ngx_http_phrony_id_t;


static ngx_int_t ngx_http_phrony_variable_route(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_phrony_variable_id(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static const phrony_uuid_t *ngx_http_phrony_id(ngx_http_phrony_ctx_t *ctx,
    ngx_http_phrony_id_t id);
static const phrony_uuid_t *ngx_http_phrony_run_id(
    ngx_http_phrony_ctx_t *ctx);
static ngx_int_t ngx_http_phrony_variable_outcome(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_phrony_variable_reason(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_phrony_variable_duplicate(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_phrony_variable_remaining(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_phrony_variable_store(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_phrony_variable_store_time(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_phrony_variable_verify_run_id(
    ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_phrony_variable_verify_path(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_http_phrony_ctx_t *ngx_http_phrony_variable_ctx(
    ngx_http_request_t *r);
static ngx_int_t ngx_http_phrony_variable_set(ngx_http_variable_value_t *v,
    const u_char *text, size_t len);


static ngx_http_variable_t  ngx_http_phrony_variables[] = {

    { ngx_string("phrony_route"), NULL, ngx_http_phrony_variable_route,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("phrony_agent_id"), NULL, ngx_http_phrony_variable_id,
      NGX_HTTP_PHRONY_ID_AGENT, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("phrony_run_id"), NULL, ngx_http_phrony_variable_id,
      NGX_HTTP_PHRONY_ID_RUN, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("phrony_workspace_id"), NULL, ngx_http_phrony_variable_id,
      NGX_HTTP_PHRONY_ID_WORKSPACE, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("phrony_trigger_id"), NULL, ngx_http_phrony_variable_id,
      NGX_HTTP_PHRONY_ID_TRIGGER, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("phrony_key_id"), NULL, ngx_http_phrony_variable_id,
      NGX_HTTP_PHRONY_ID_KEY, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("phrony_outcome"), NULL, ngx_http_phrony_variable_outcome,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("phrony_reason"), NULL, ngx_http_phrony_variable_reason,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("phrony_duplicate"), NULL,
      ngx_http_phrony_variable_duplicate, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("phrony_rpm_remaining"), NULL,
      ngx_http_phrony_variable_remaining, PHRONY_LIMIT_RPM,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("phrony_rpd_remaining"), NULL,
      ngx_http_phrony_variable_remaining, PHRONY_LIMIT_RPD,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("phrony_runs_remaining"), NULL,
      ngx_http_phrony_variable_remaining, PHRONY_LIMIT_RUNS,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("phrony_store"), NULL, ngx_http_phrony_variable_store,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("phrony_store_time"), NULL,
      ngx_http_phrony_variable_store_time, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("phrony_verify_run_id"), NULL,
      ngx_http_phrony_variable_verify_run_id, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("phrony_verify_path"), NULL,
      ngx_http_phrony_variable_verify_path, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


static ngx_str_t  ngx_http_phrony_outcomes[] = {
    ngx_null_string,
    ngx_string("admitted"),
    ngx_string("passed"),
    ngx_string("refused"),
    ngx_string("dry_run"),
    ngx_string("replayed")
};


ngx_int_t
ngx_http_phrony_variables_add(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var, *v;

    for (v = ngx_http_phrony_variables; v->name.len; v++) {

        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_phrony_variable_route(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    const phrony_str_t     *name;
    ngx_http_phrony_ctx_t  *ctx;

    ctx = ngx_http_phrony_variable_ctx(r->main);

    if (ctx == NULL) {
        return ngx_http_phrony_variable_set(v, NULL, 0);
    }

    name = phrony_route_name(ctx->route.kind);

    return ngx_http_phrony_variable_set(v, name->data, name->len);
}


static ngx_int_t
ngx_http_phrony_variable_id(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char                 *p;
    const phrony_uuid_t    *uuid;
    ngx_http_phrony_ctx_t  *ctx;

    ctx = ngx_http_phrony_variable_ctx(r->main);

    uuid = ctx ? ngx_http_phrony_id(ctx, (ngx_http_phrony_id_t) data)
               : NULL;

    if (uuid == NULL) {
        return ngx_http_phrony_variable_set(v, NULL, 0);
    }

    p = ngx_pnalloc(r->pool, PHRONY_UUID_TEXT_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    (void) phrony_uuid_format(p, uuid);

    return ngx_http_phrony_variable_set(v, p, PHRONY_UUID_TEXT_LEN);
}


static const phrony_uuid_t *
ngx_http_phrony_id(ngx_http_phrony_ctx_t *ctx, ngx_http_phrony_id_t id)
{
    switch (id) {

    case NGX_HTTP_PHRONY_ID_AGENT:

        if (ctx->route.has_agent) {
            return &ctx->route.agent_id;
        }

        return ctx->trigger ? &ctx->trigger->agent_id : NULL;

    case NGX_HTTP_PHRONY_ID_RUN:
        return ngx_http_phrony_run_id(ctx);

    case NGX_HTTP_PHRONY_ID_WORKSPACE:
        return ctx->key ? ngx_http_phrony_workspace_id(ctx) : NULL;

    case NGX_HTTP_PHRONY_ID_TRIGGER:
        return ctx->trigger ? &ctx->trigger->id : NULL;

    case NGX_HTTP_PHRONY_ID_KEY:
        break;
    }

    return ctx->key ? &ctx->key->id : NULL;
}


/* The path's or, once the answer to a start was read, the new run's. */

static const phrony_uuid_t *
ngx_http_phrony_run_id(ngx_http_phrony_ctx_t *ctx)
{
    if (ctx->route.has_run) {
        return &ctx->route.run_id;
    }

    if (ctx->route.kind == PHRONY_ROUTE_START
        && phrony_answer_done(&ctx->answer) && ctx->answer.has_run)
    {
        return &ctx->answer.run_id;
    }

    return NULL;
}


static ngx_int_t
ngx_http_phrony_variable_outcome(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t              *outcome;
    ngx_http_phrony_ctx_t  *ctx;

    ctx = ngx_http_phrony_variable_ctx(r->main);

    if (ctx == NULL) {
        return ngx_http_phrony_variable_set(v, NULL, 0);
    }

    outcome = &ngx_http_phrony_outcomes[ctx->outcome];

    return ngx_http_phrony_variable_set(v, outcome->data, outcome->len);
}


static ngx_int_t
ngx_http_phrony_variable_reason(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    const phrony_str_t     *code;
    ngx_http_phrony_ctx_t  *ctx;

    ctx = ngx_http_phrony_variable_ctx(r->main);

    if (ctx == NULL || ctx->reason == PHRONY_REASON_NONE) {
        return ngx_http_phrony_variable_set(v, NULL, 0);
    }

    code = &phrony_reason_info(ctx->reason)->code;

    return ngx_http_phrony_variable_set(v, code->data, code->len);
}


static ngx_int_t
ngx_http_phrony_variable_duplicate(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    const phrony_str_t     *name;
    ngx_http_phrony_ctx_t  *ctx;

    ctx = ngx_http_phrony_variable_ctx(r->main);

    if (ctx == NULL || !ctx->asked) {
        return ngx_http_phrony_variable_set(v, NULL, 0);
    }

    name = phrony_duplicate_name(ctx->op.delivery.duplicate);

    return ngx_http_phrony_variable_set(v, name->data, name->len);
}


static ngx_int_t
ngx_http_phrony_variable_remaining(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char                 *p;
    phrony_limit_t         *limit;
    ngx_http_phrony_ctx_t  *ctx;

    ctx = ngx_http_phrony_variable_ctx(r->main);

    if (ctx == NULL || !ctx->counted || !ctx->op.limits[data].set) {
        return ngx_http_phrony_variable_set(v, NULL, 0);
    }

    limit = &ctx->op.limits[data];

    p = ngx_pnalloc(r->pool, NGX_INT64_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    return ngx_http_phrony_variable_set(v, p,
                             ngx_sprintf(p, "%L", limit->remaining) - p);
}


static ngx_int_t
ngx_http_phrony_variable_store(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t              *label;
    ngx_http_phrony_ctx_t  *ctx;

    ctx = ngx_http_phrony_variable_ctx(r->main);

    if (ctx == NULL || !ctx->counted) {
        return ngx_http_phrony_variable_set(v, NULL, 0);
    }

    label = ctx->op.label;

    return ngx_http_phrony_variable_set(v, label->data, label->len);
}


/* Seconds that the request waited for the store, which may be none. */

static ngx_int_t
ngx_http_phrony_variable_store_time(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char                 *p;
    ngx_http_phrony_ctx_t  *ctx;

    ctx = ngx_http_phrony_variable_ctx(r->main);

    if (ctx == NULL || !ctx->asked) {
        return ngx_http_phrony_variable_set(v, NULL, 0);
    }

    p = ngx_pnalloc(r->pool, NGX_TIME_T_LEN + sizeof(".000"));
    if (p == NULL) {
        return NGX_ERROR;
    }

    return ngx_http_phrony_variable_set(v, p,
                       ngx_sprintf(p, "%T.%03M",
                                   (time_t) ctx->store_time / 1000,
                                   ctx->store_time % 1000) - p);
}


/* What a subrequest of "phrony_verify" asks for. */

static ngx_int_t
ngx_http_phrony_variable_verify_run_id(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char               *p;
    const phrony_uuid_t  *id;

    id = ngx_http_phrony_verify_run_id(r);

    if (id == NULL) {
        return ngx_http_phrony_variable_set(v, NULL, 0);
    }

    p = ngx_pnalloc(r->pool, PHRONY_UUID_TEXT_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    return ngx_http_phrony_variable_set(v, p, phrony_uuid_format(p, id) - p);
}


static ngx_int_t
ngx_http_phrony_variable_verify_path(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char  *p;

    p = ngx_pnalloc(r->pool, NGX_HTTP_PHRONY_VERIFY_PATH_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    return ngx_http_phrony_variable_set(v, p,
                                        ngx_http_phrony_verify_path(r, p));
}


/*
 * Before the ACCESS phase, as for a key of limit_req, steps 1 to 6 are taken
 * for the variable alone: the phase takes them again, since a module between
 * the two may give the client another address.  A variable cannot wait, so
 * what the policy or the store does not know at once is not found then.
 */

static ngx_http_phrony_ctx_t *
ngx_http_phrony_variable_ctx(ngx_http_request_t *r)
{
    ngx_http_phrony_ctx_t       *ctx;
    ngx_http_phrony_loc_conf_t  *plcf;

    ctx = ngx_http_phrony_get_ctx(r);

    if (ctx) {
        return ctx;
    }

    plcf = ngx_http_get_module_loc_conf(r, ngx_http_phrony_module);

    if (!plcf->enable) {
        return NULL;
    }

    ctx = ngx_http_phrony_create_ctx(r);

    if (ctx == NULL || ngx_http_phrony_authorize(r, ctx) == NGX_ERROR) {
        return NULL;
    }

    ctx->authorized = 0;

    return ctx;
}


/* An empty value is "not found", which logs as "-". */

static ngx_int_t
ngx_http_phrony_variable_set(ngx_http_variable_value_t *v,
    const u_char *text, size_t len)
{
    if (len == 0) {
        v->not_found = 1;
        return NGX_OK;
    }

    v->len = (unsigned) len;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    v->data = (u_char *) text;

    return NGX_OK;
}
