
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_http_phrony_variables.h"
#include "ngx_http_phrony_authorize.h"
#include "ngx_http_phrony_verify.h"
#include "core/phrony_hint.h"


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
static ngx_int_t ngx_http_phrony_variable_client(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_phrony_variable_user_agent(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
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

    { ngx_string("phrony_client"), NULL, ngx_http_phrony_variable_client,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("phrony_user_agent"), NULL,
      ngx_http_phrony_variable_user_agent, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


static const phrony_str_t  ngx_http_phrony_outcomes[] = {
    phrony_str(""),
    phrony_str("admitted"),
    phrony_str("passed"),
    phrony_str("refused"),
    phrony_str("dry_run"),
    phrony_str("replayed")
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

    ctx = ngx_http_phrony_variables_ctx(r->main);

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

    ctx = ngx_http_phrony_variables_ctx(r->main);

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


const phrony_uuid_t *
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
    const phrony_str_t     *outcome;
    ngx_http_phrony_ctx_t  *ctx;

    ctx = ngx_http_phrony_variables_ctx(r->main);

    if (ctx == NULL) {
        return ngx_http_phrony_variable_set(v, NULL, 0);
    }

    outcome = ngx_http_phrony_outcome_name(ctx->outcome);

    return ngx_http_phrony_variable_set(v, outcome->data, outcome->len);
}


const phrony_str_t *
ngx_http_phrony_outcome_name(ngx_http_phrony_outcome_t outcome)
{
    return &ngx_http_phrony_outcomes[outcome];
}


static ngx_int_t
ngx_http_phrony_variable_reason(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    const phrony_str_t     *code;
    ngx_http_phrony_ctx_t  *ctx;

    ctx = ngx_http_phrony_variables_ctx(r->main);

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

    ctx = ngx_http_phrony_variables_ctx(r->main);

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

    ctx = ngx_http_phrony_variables_ctx(r->main);

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

    ctx = ngx_http_phrony_variables_ctx(r->main);

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

    ctx = ngx_http_phrony_variables_ctx(r->main);

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


static ngx_int_t
ngx_http_phrony_variable_client(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char  *p;

    p = ngx_pnalloc(r->pool, PHRONY_HINT_ADDRESS_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    return ngx_http_phrony_variable_set(v, p,
                                        ngx_http_phrony_client(r, p) - p);
}


/* That of now, which realip may have set. */

u_char *
ngx_http_phrony_client(ngx_http_request_t *r, u_char *p)
{
    struct sockaddr      *sa;
    phrony_address_t      address;
    struct sockaddr_in   *sin;
#if (NGX_HAVE_INET6)
    struct sockaddr_in6  *sin6;
#endif

    sa = r->connection->sockaddr;

    switch (sa->sa_family) {

    case AF_INET:
        sin = (struct sockaddr_in *) sa;
        phrony_address_set(&address, (u_char *) &sin->sin_addr, 4);
        break;

#if (NGX_HAVE_INET6)
    case AF_INET6:
        sin6 = (struct sockaddr_in6 *) sa;
        phrony_address_set(&address, sin6->sin6_addr.s6_addr, 16);
        break;
#endif

    default:
        return p;
    }

    return phrony_hint_address(p, &address);
}


static ngx_int_t
ngx_http_phrony_variable_user_agent(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char  *p;

    p = ngx_pnalloc(r->pool, PHRONY_HINT_AGENT_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    return ngx_http_phrony_variable_set(v, p,
                                        ngx_http_phrony_user_agent(r, p) - p);
}


u_char *
ngx_http_phrony_user_agent(ngx_http_request_t *r, u_char *p)
{
    phrony_str_t      agent;
    ngx_table_elt_t  *h;

    h = r->headers_in.user_agent;

    if (h == NULL) {
        return p;
    }

    agent.data = h->value.data;
    agent.len = h->value.len;

    return phrony_hint_agent(p, &agent);
}


/*
 * Before the ACCESS phase, as for a key of limit_req, steps 1 to 6 are taken
 * for the variable alone: the phase takes them again, since a module between
 * the two may give the client another address.  A variable cannot wait, so
 * what the policy or the store does not know at once is not found then.
 */

ngx_http_phrony_ctx_t *
ngx_http_phrony_variables_ctx(ngx_http_request_t *r)
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
