
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_http_phrony_authorize.h"
#include "ngx_http_phrony_digest.h"
#include "ngx_http_phrony_headers.h"
#include "ngx_http_phrony_wait.h"


static ngx_int_t ngx_http_phrony_check_request(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx);
static phrony_reason_t ngx_http_phrony_check_route(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx, ngx_http_phrony_header_value_t *headers);
static phrony_str_t ngx_http_phrony_path(ngx_http_request_t *r);
static phrony_method_t ngx_http_phrony_method(ngx_http_request_t *r);
static phrony_reason_t ngx_http_phrony_check_field(
    ngx_http_phrony_header_value_t *header);
static ngx_int_t ngx_http_phrony_check_key(ngx_http_phrony_ctx_t *ctx);
static phrony_reason_t ngx_http_phrony_judge_key(ngx_http_phrony_ctx_t *ctx);
static ngx_int_t ngx_http_phrony_locate_run(ngx_http_phrony_ctx_t *ctx);
static phrony_reason_t ngx_http_phrony_check_scope(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx);
static phrony_reason_t ngx_http_phrony_check_agent(
    ngx_http_phrony_ctx_t *ctx);
static phrony_reason_t ngx_http_phrony_check_run(ngx_http_phrony_ctx_t *ctx);
static phrony_reason_t ngx_http_phrony_check_address(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx);
static void ngx_http_phrony_client_address(ngx_http_request_t *r,
    phrony_address_t *addr);


ngx_int_t
ngx_http_phrony_authorize(ngx_http_request_t *r, ngx_http_phrony_ctx_t *ctx)
{
    ngx_int_t  rc;

    if (ctx->step == NGX_HTTP_PHRONY_STEP_DONE
        || !ngx_http_phrony_same_target(r, ctx))
    {
        ngx_http_phrony_forget(ctx);
        ctx->step = NGX_HTTP_PHRONY_STEP_BEGIN;
    }

    if (ctx->pending) {
        return NGX_AGAIN;
    }

    rc = NGX_OK;

    if (ctx->step == NGX_HTTP_PHRONY_STEP_BEGIN) {
        rc = ngx_http_phrony_check_request(r, ctx);
    }

    if (rc == NGX_OK && ctx->step == NGX_HTTP_PHRONY_STEP_KEY) {
        rc = ngx_http_phrony_check_key(ctx);
    }

    if (rc == NGX_OK && ctx->step == NGX_HTTP_PHRONY_STEP_RUN) {
        ctx->reason = ngx_http_phrony_check_scope(r, ctx);
        ctx->step = NGX_HTTP_PHRONY_STEP_DONE;
    }

    if (rc == NGX_OK) {
        ctx->authorized = (ctx->reason == PHRONY_REASON_NONE);
    }

    return rc;
}


/* An internal redirect brings a URI of its own, even if it reads the same. */

ngx_uint_t
ngx_http_phrony_same_target(ngx_http_request_t *r, ngx_http_phrony_ctx_t *ctx)
{
    return ctx->uri.data == r->uri.data
           && ctx->uri.len == r->uri.len
           && ctx->method == r->method
           && ctx->conf == ngx_http_get_module_loc_conf(r,
                                                       ngx_http_phrony_module);
}


/* Step 1, and what of step 2 and 3 the request itself tells. */

static ngx_int_t
ngx_http_phrony_check_request(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx)
{
    ngx_http_phrony_header_value_t  *key;
    ngx_http_phrony_header_value_t   headers[NGX_HTTP_PHRONY_HEADER_MAX];

    ctx->conf = ngx_http_get_module_loc_conf(r, ngx_http_phrony_module);

    ctx->authorized = 0;
    ctx->uri = r->uri;
    ctx->method = r->method;

    ngx_http_phrony_headers_gather(r, headers);

    ctx->content_types = headers[NGX_HTTP_PHRONY_HEADER_CONTENT_TYPE].count;
    ctx->content_type = headers[NGX_HTTP_PHRONY_HEADER_CONTENT_TYPE].value;
    ctx->content_encodings =
                       headers[NGX_HTTP_PHRONY_HEADER_CONTENT_ENCODING].count;

    /* what was decided before has put there what is ours */

    if (headers[NGX_HTTP_PHRONY_HEADER_DUPLICATE].count
        && ctx == ngx_http_phrony_get_ctx(r)
        && ngx_http_phrony_headers_remove(r, NGX_HTTP_PHRONY_HEADER_DUPLICATE)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    key = &headers[NGX_HTTP_PHRONY_HEADER_KEY];

    ctx->step = NGX_HTTP_PHRONY_STEP_DONE;

    ctx->reason = ngx_http_phrony_check_route(r, ctx, headers);

    if (ctx->reason != PHRONY_REASON_NONE
        || ctx->route.kind == PHRONY_ROUTE_PREFLIGHT)
    {
        return NGX_OK;
    }

    ctx->reason = ngx_http_phrony_check_field(key);

    if (ctx->reason != PHRONY_REASON_NONE) {
        return NGX_OK;
    }

    if (ngx_http_phrony_digest(&key->value, ctx->lookup.digest) != NGX_OK) {
        return NGX_ERROR;
    }

    ctx->step = NGX_HTTP_PHRONY_STEP_KEY;

    return ngx_http_phrony_ask_policy(ctx);
}


static phrony_reason_t
ngx_http_phrony_check_route(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx, ngx_http_phrony_header_value_t *headers)
{
    ngx_uint_t       preflight;
    phrony_str_t     path;
    phrony_reason_t  reason;

    preflight = headers[NGX_HTTP_PHRONY_HEADER_ORIGIN].count
                && headers[NGX_HTTP_PHRONY_HEADER_REQUEST_METHOD].count;

    path = ngx_http_phrony_path(r);

    reason = phrony_route_parse(&path, ngx_http_phrony_method(r), preflight,
                                &ctx->route);

    if (reason != PHRONY_REASON_PATH_NOT_CANONICAL
        && reason != PHRONY_REASON_ROUTE_UNKNOWN
        && headers[NGX_HTTP_PHRONY_HEADER_OVERRIDE].count)
    {
        return PHRONY_REASON_METHOD_OVERRIDE;
    }

    return reason;
}


/*
 * What proxy_pass sends: the target as the client wrote it or, if it was
 * rewritten, the new path, which proxy_pass escapes.
 */

static phrony_str_t
ngx_http_phrony_path(ngx_http_request_t *r)
{
    u_char        *args;
    phrony_str_t   path;

    if (!r->valid_unparsed_uri) {
        path.len = r->uri.len;
        path.data = r->uri.data;
        return path;
    }

    path.data = r->unparsed_uri.data;
    path.len = r->unparsed_uri.len;

    args = ngx_strlchr(path.data, path.data + path.len, '?');

    if (args) {
        path.len = args - path.data;
    }

    return path;
}


static phrony_method_t
ngx_http_phrony_method(ngx_http_request_t *r)
{
    switch (r->method) {

    case NGX_HTTP_GET:
        return PHRONY_METHOD_GET;

    case NGX_HTTP_HEAD:
        return PHRONY_METHOD_HEAD;

    case NGX_HTTP_POST:
        return PHRONY_METHOD_POST;

    case NGX_HTTP_OPTIONS:
        return PHRONY_METHOD_OPTIONS;
    }

    return PHRONY_METHOD_OTHER;
}


static phrony_reason_t
ngx_http_phrony_check_field(ngx_http_phrony_header_value_t *header)
{
    phrony_str_t  text;

    if (header->count == 0) {
        return PHRONY_REASON_KEY_MISSING;
    }

    if (header->count > 1) {
        return PHRONY_REASON_KEY_REPEATED;
    }

    text.len = header->value.len;
    text.data = header->value.data;

    return phrony_key_check(&text);
}


static ngx_int_t
ngx_http_phrony_check_key(ngx_http_phrony_ctx_t *ctx)
{
    ctx->step = NGX_HTTP_PHRONY_STEP_DONE;

    ctx->reason = ngx_http_phrony_judge_key(ctx);

    if (ctx->reason != PHRONY_REASON_NONE) {
        return NGX_OK;
    }

    ctx->step = NGX_HTTP_PHRONY_STEP_RUN;

    return ctx->route.has_run ? ngx_http_phrony_locate_run(ctx) : NGX_OK;
}


/* Steps 3 and 4; sets ctx->key if a key of this digest exists. */

static phrony_reason_t
ngx_http_phrony_judge_key(ngx_http_phrony_ctx_t *ctx)
{
    const phrony_key_t        *key;
    const phrony_workspace_t  *workspace;

    switch (ctx->lookup.state) {

    case NGX_PHRONY_LOOKUP_UNKNOWN:
        return PHRONY_REASON_KEY_INVALID;

    case NGX_PHRONY_LOOKUP_INVALID:
        return PHRONY_REASON_POLICY_INVALID;

    case NGX_PHRONY_LOOKUP_UNAVAILABLE:
        return PHRONY_REASON_POLICY_UNAVAILABLE;

    case NGX_PHRONY_LOOKUP_FOUND:
        break;
    }

    key = ctx->lookup.key;
    ctx->key = key;

    if (!key->active || key->expires <= ngx_time()) {
        return PHRONY_REASON_KEY_INVALID;
    }

    workspace = phrony_policy_workspace(ctx->lookup.policy, key->workspace);

    return workspace->active ? PHRONY_REASON_NONE
                             : PHRONY_REASON_WORKSPACE_SUSPENDED;
}


static ngx_int_t
ngx_http_phrony_locate_run(ngx_http_phrony_ctx_t *ctx)
{
    ngx_int_t         rc;
    ngx_phrony_op_t  *op;

    op = &ctx->op;

    op->run_id = ctx->route.run_id;
    op->known = 0;
    op->local = (ctx->conf->store_failure != NGX_HTTP_PHRONY_FAILURE_DENY);

    rc = ngx_http_phrony_ask_locate(ctx);

    if (rc == NGX_DECLINED) {
        op->failed = 1;
        return NGX_OK;
    }

    return rc;
}


/* Steps 5 and 6. */

static phrony_reason_t
ngx_http_phrony_check_scope(ngx_http_request_t *r, ngx_http_phrony_ctx_t *ctx)
{
    phrony_reason_t  reason;

    reason = PHRONY_REASON_NONE;

    if (ctx->route.has_run) {
        reason = ngx_http_phrony_check_run(ctx);

    } else if (ctx->route.has_agent) {
        reason = ngx_http_phrony_check_agent(ctx);

    } else if (!ctx->key->allow_file_uploads) {
        reason = PHRONY_REASON_UPLOADS_NOT_ALLOWED;
    }

    if (reason == PHRONY_REASON_NONE) {
        reason = ngx_http_phrony_check_address(r, ctx);
    }

    if (reason == PHRONY_REASON_NONE
        && ctx->route.kind == PHRONY_ROUTE_START && !ctx->trigger->active)
    {
        return PHRONY_REASON_TRIGGER_INACTIVE;
    }

    return reason;
}


static phrony_reason_t
ngx_http_phrony_check_agent(ngx_http_phrony_ctx_t *ctx)
{
    const phrony_policy_t   *policy;
    const phrony_trigger_t  *trigger;

    policy = ctx->lookup.policy;
    trigger = phrony_policy_agent(policy, &ctx->route.agent_id);

    if (trigger == NULL
        || !phrony_policy_key_has_trigger(policy, ctx->key, trigger))
    {
        return PHRONY_REASON_AGENT_OUT_OF_SCOPE;
    }

    ctx->trigger = trigger;

    return PHRONY_REASON_NONE;
}


/* A run that the gateway does not know is left to the upstream. */

static phrony_reason_t
ngx_http_phrony_check_run(ngx_http_phrony_ctx_t *ctx)
{
    ngx_phrony_op_t         *op;
    const phrony_policy_t   *policy;
    const phrony_trigger_t  *trigger;

    op = &ctx->op;
    policy = ctx->lookup.policy;

    if (op->failed
        && ctx->conf->store_failure == NGX_HTTP_PHRONY_FAILURE_DENY)
    {
        return PHRONY_REASON_STORE_UNAVAILABLE;
    }

    if (op->failed || !op->known) {
        return PHRONY_REASON_NONE;
    }

    trigger = phrony_policy_trigger(policy, &op->trigger_id);

    if (trigger == NULL
        || !phrony_policy_key_has_trigger(policy, ctx->key, trigger))
    {
        return PHRONY_REASON_RUN_OUT_OF_SCOPE;
    }

    ctx->trigger = trigger;

    return PHRONY_REASON_NONE;
}


/*
 * The address must be allowed by the trigger or, where none is known, by one
 * of those in the key's scopes.
 */

static phrony_reason_t
ngx_http_phrony_check_address(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx)
{
    uint32_t                 i, n;
    phrony_address_t         addr;
    const phrony_policy_t   *policy;
    const phrony_trigger_t  *trigger;

    if (ctx->trigger && ctx->trigger->ncidrs == 0) {
        return PHRONY_REASON_NONE;
    }

    policy = ctx->lookup.policy;

    n = ctx->trigger ? 1 : phrony_policy_nscopes(policy, ctx->key);

    if (n == 0) {
        return PHRONY_REASON_NONE;
    }

    ngx_http_phrony_client_address(r, &addr);

    for (i = 0; i < n; i++) {

        trigger = ctx->trigger ? ctx->trigger
                               : phrony_policy_scope(policy, ctx->key, i);

        if (trigger->ncidrs == 0
            || phrony_cidr_match(trigger->cidrs, trigger->ncidrs, &addr))
        {
            return PHRONY_REASON_NONE;
        }
    }

    return PHRONY_REASON_ADDRESS_NOT_ALLOWED;
}


static void
ngx_http_phrony_client_address(ngx_http_request_t *r, phrony_address_t *addr)
{
    struct sockaddr      *sa;
    struct sockaddr_in   *sin;
#if (NGX_HAVE_INET6)
    struct sockaddr_in6  *sin6;
#endif

    sa = r->connection->sockaddr;

    switch (sa->sa_family) {

    case AF_INET:
        sin = (struct sockaddr_in *) sa;
        phrony_address_set(addr, (u_char *) &sin->sin_addr, 4);
        return;

#if (NGX_HAVE_INET6)
    case AF_INET6:
        sin6 = (struct sockaddr_in6 *) sa;
        phrony_address_set(addr, sin6->sin6_addr.s6_addr, 16);
        return;
#endif
    }

    phrony_address_set(addr, NULL, 0);
}
