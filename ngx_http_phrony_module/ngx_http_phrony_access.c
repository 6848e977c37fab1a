
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_http_phrony_access.h"
#include "ngx_http_phrony_digest.h"
#include "ngx_http_phrony_headers.h"
#include "ngx_http_phrony_refuse.h"


static ngx_uint_t ngx_http_phrony_same_target(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx);
static phrony_reason_t ngx_http_phrony_check_route(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx, ngx_http_phrony_header_value_t *headers);
static phrony_str_t ngx_http_phrony_path(ngx_http_request_t *r);
static phrony_method_t ngx_http_phrony_method(ngx_http_request_t *r);
static ngx_int_t ngx_http_phrony_check_key(ngx_http_phrony_main_conf_t *pmcf,
    ngx_http_phrony_ctx_t *ctx, ngx_http_phrony_header_value_t *header);
static phrony_reason_t ngx_http_phrony_check_scope(ngx_http_request_t *r,
    ngx_http_phrony_main_conf_t *pmcf, ngx_http_phrony_ctx_t *ctx);
static phrony_reason_t ngx_http_phrony_check_run(ngx_http_request_t *r,
    ngx_http_phrony_main_conf_t *pmcf, ngx_http_phrony_ctx_t *ctx);
static phrony_reason_t ngx_http_phrony_check_address(ngx_http_request_t *r,
    phrony_policy_t *policy, ngx_http_phrony_ctx_t *ctx);
static void ngx_http_phrony_client_address(ngx_http_request_t *r,
    phrony_address_t *addr);


ngx_int_t
ngx_http_phrony_access_handler(ngx_http_request_t *r)
{
    ngx_http_phrony_ctx_t       *ctx;
    ngx_http_core_loc_conf_t    *clcf;
    ngx_http_phrony_loc_conf_t  *plcf;

    plcf = ngx_http_get_module_loc_conf(r, ngx_http_phrony_module);

    if (!plcf->enable || r != r->main) {
        return NGX_DECLINED;
    }

    ngx_log_debug0(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "phrony access handler");

    ctx = ngx_http_phrony_create_ctx(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ctx->decided) {
        return ngx_http_phrony_redirected(r, ctx);
    }

    if (!ngx_http_phrony_authorized(r, ctx)
        && ngx_http_phrony_authorize(r, ctx) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ctx->authorized) {

        /* a preflight has no key, so it cannot "satisfy any" */

        return (ctx->route.kind == PHRONY_ROUTE_PREFLIGHT) ? NGX_DECLINED
                                                           : NGX_OK;
    }

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (clcf->satisfy == NGX_HTTP_SATISFY_ANY) {

        /* others may refuse it first; else it is refused before step 7 */

        return NGX_DECLINED;
    }

    return ngx_http_phrony_refuse(r, ctx, ctx->reason);
}


ngx_int_t
ngx_http_phrony_redirected(ngx_http_request_t *r, ngx_http_phrony_ctx_t *ctx)
{
    ngx_http_phrony_ctx_t  elsewhere;

    if (ngx_http_phrony_same_target(r, ctx)) {
        return NGX_OK;
    }

    ngx_memzero(&elsewhere, sizeof(ngx_http_phrony_ctx_t));

    elsewhere.request = r;

    if (ngx_http_phrony_authorize(r, &elsewhere) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (!elsewhere.authorized) {
        return ngx_http_phrony_refuse(r, &elsewhere, elsewhere.reason);
    }

    ctx->uri = r->uri;
    ctx->method = r->method;

    return NGX_OK;
}


ngx_uint_t
ngx_http_phrony_authorized(ngx_http_request_t *r, ngx_http_phrony_ctx_t *ctx)
{
    return ctx->authorized
           && ctx->conf == ngx_http_get_module_loc_conf(r,
                                                       ngx_http_phrony_module)
           && ngx_http_phrony_same_target(r, ctx);
}


/* An internal redirect brings a URI of its own, even if it reads the same. */

static ngx_uint_t
ngx_http_phrony_same_target(ngx_http_request_t *r, ngx_http_phrony_ctx_t *ctx)
{
    return ctx->uri.data == r->uri.data
           && ctx->uri.len == r->uri.len
           && ctx->method == r->method;
}


ngx_int_t
ngx_http_phrony_authorize(ngx_http_request_t *r, ngx_http_phrony_ctx_t *ctx)
{
    ngx_http_phrony_main_conf_t     *pmcf;
    ngx_http_phrony_header_value_t   headers[NGX_HTTP_PHRONY_HEADER_MAX];

    ctx->conf = ngx_http_get_module_loc_conf(r, ngx_http_phrony_module);
    pmcf = ngx_http_get_module_main_conf(r, ngx_http_phrony_module);

    ctx->authorized = 0;
    ctx->uri = r->uri;
    ctx->method = r->method;
    ctx->key = NULL;
    ctx->trigger = NULL;

    ngx_http_phrony_headers_gather(r, headers);

    ctx->content_types = headers[NGX_HTTP_PHRONY_HEADER_CONTENT_TYPE].count;
    ctx->content_type = headers[NGX_HTTP_PHRONY_HEADER_CONTENT_TYPE].value;
    ctx->content_encodings =
                       headers[NGX_HTTP_PHRONY_HEADER_CONTENT_ENCODING].count;

    ctx->reason = ngx_http_phrony_check_route(r, ctx, headers);

    if (ctx->reason == PHRONY_REASON_NONE
        && ctx->route.kind != PHRONY_ROUTE_PREFLIGHT)
    {
        if (ngx_http_phrony_check_key(pmcf, ctx,
                                      &headers[NGX_HTTP_PHRONY_HEADER_KEY])
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        if (ctx->reason == PHRONY_REASON_NONE) {
            ctx->reason = ngx_http_phrony_check_scope(r, pmcf, ctx);
        }
    }

    if (ctx->reason == PHRONY_REASON_NONE) {
        ctx->authorized = 1;
    }

    return NGX_OK;
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


/* Sets ctx->reason, and ctx->key if a key of this digest exists. */

static ngx_int_t
ngx_http_phrony_check_key(ngx_http_phrony_main_conf_t *pmcf,
    ngx_http_phrony_ctx_t *ctx, ngx_http_phrony_header_value_t *header)
{
    u_char                     digest[PHRONY_KEY_DIGEST_LEN];
    phrony_str_t               text;
    const phrony_key_t        *key;
    const phrony_workspace_t  *workspace;

    if (header->count != 1) {
        ctx->reason = header->count ? PHRONY_REASON_KEY_REPEATED
                                    : PHRONY_REASON_KEY_MISSING;
        return NGX_OK;
    }

    text.len = header->value.len;
    text.data = header->value.data;

    ctx->reason = phrony_key_check(&text);

    if (ctx->reason != PHRONY_REASON_NONE) {
        return NGX_OK;
    }

    if (ngx_http_phrony_digest(&header->value, digest) != NGX_OK) {
        return NGX_ERROR;
    }

    key = phrony_policy_key(pmcf->policy, digest);
    ctx->key = key;

    if (key == NULL || !key->active || key->expires <= ngx_time()) {
        ctx->reason = PHRONY_REASON_KEY_INVALID;
        return NGX_OK;
    }

    workspace = phrony_policy_workspace(pmcf->policy, key->workspace);

    if (!workspace->active) {
        ctx->reason = PHRONY_REASON_WORKSPACE_SUSPENDED;
    }

    return NGX_OK;
}


static phrony_reason_t
ngx_http_phrony_check_scope(ngx_http_request_t *r,
    ngx_http_phrony_main_conf_t *pmcf, ngx_http_phrony_ctx_t *ctx)
{
    phrony_reason_t          reason;
    const phrony_trigger_t  *trigger;

    reason = PHRONY_REASON_NONE;

    if (ctx->route.has_run) {
        reason = ngx_http_phrony_check_run(r, pmcf, ctx);

    } else if (ctx->route.has_agent) {
        trigger = phrony_policy_agent(pmcf->policy, &ctx->route.agent_id);

        if (trigger == NULL
            || !phrony_policy_key_has_trigger(pmcf->policy, ctx->key,
                                              trigger))
        {
            return PHRONY_REASON_AGENT_OUT_OF_SCOPE;
        }

        ctx->trigger = trigger;

    } else if (!ctx->key->allow_file_uploads) {
        return PHRONY_REASON_UPLOADS_NOT_ALLOWED;
    }

    if (reason == PHRONY_REASON_NONE) {
        reason = ngx_http_phrony_check_address(r, pmcf->policy, ctx);
    }

    if (reason == PHRONY_REASON_NONE
        && ctx->route.kind == PHRONY_ROUTE_START && !ctx->trigger->active)
    {
        return PHRONY_REASON_TRIGGER_INACTIVE;
    }

    return reason;
}


/* A run that the gateway does not know is left to the upstream. */

static phrony_reason_t
ngx_http_phrony_check_run(ngx_http_request_t *r,
    ngx_http_phrony_main_conf_t *pmcf, ngx_http_phrony_ctx_t *ctx)
{
    ngx_phrony_op_t         *op;
    const phrony_trigger_t  *trigger;

    op = &ctx->op;
    op->run_id = ctx->route.run_id;

    if (pmcf->store->locate(pmcf->store, op) != NGX_OK) {
        op->known = 0;

        return (ctx->conf->store_failure == NGX_HTTP_PHRONY_FAILURE_DENY)
               ? PHRONY_REASON_STORE_UNAVAILABLE : PHRONY_REASON_NONE;
    }

    if (!op->known) {
        return PHRONY_REASON_NONE;
    }

    trigger = phrony_policy_trigger(pmcf->policy, &op->trigger_id);

    if (trigger == NULL
        || !phrony_policy_key_has_trigger(pmcf->policy, ctx->key, trigger))
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
ngx_http_phrony_check_address(ngx_http_request_t *r, phrony_policy_t *policy,
    ngx_http_phrony_ctx_t *ctx)
{
    uint32_t                 i, n;
    phrony_address_t         addr;
    const phrony_trigger_t  *trigger;

    if (ctx->trigger && ctx->trigger->ncidrs == 0) {
        return PHRONY_REASON_NONE;
    }

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
