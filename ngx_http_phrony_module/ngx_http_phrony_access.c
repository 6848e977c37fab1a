
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_http_phrony_access.h"
#include "ngx_http_phrony_authorize.h"
#include "ngx_http_phrony_refuse.h"
#include "ngx_http_phrony_wait.h"


ngx_int_t
ngx_http_phrony_access_handler(ngx_http_request_t *r)
{
    ngx_int_t                    rc;
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

    rc = ngx_http_phrony_authorize_once(r, ctx);

    if (rc != NGX_OK) {
        return rc;
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
ngx_http_phrony_authorize_once(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx)
{
    ngx_int_t  rc;

    if (ctx->authorized && ngx_http_phrony_same_target(r, ctx)) {
        return NGX_OK;
    }

    rc = ngx_http_phrony_authorize(r, ctx);

    if (rc == NGX_AGAIN) {
        return ngx_http_phrony_suspend(r, ctx);
    }

    return (rc == NGX_OK) ? NGX_OK : NGX_HTTP_INTERNAL_SERVER_ERROR;
}


ngx_int_t
ngx_http_phrony_redirected(ngx_http_request_t *r, ngx_http_phrony_ctx_t *ctx)
{
    ngx_int_t               rc;
    ngx_http_phrony_ctx_t  *other;

    if (ctx->uri.data == r->uri.data
        && ctx->uri.len == r->uri.len
        && ctx->method == r->method)
    {
        return NGX_OK;
    }

    if (ctx->elsewhere == NULL) {
        ctx->elsewhere = ngx_http_phrony_other_ctx(r);
    }

    other = ctx->elsewhere;

    if (other == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_phrony_authorize_once(r, other);

    if (rc != NGX_OK) {
        return rc;
    }

    if (!other->authorized) {
        return ngx_http_phrony_refuse(r, other, other->reason);
    }

    ctx->uri = r->uri;
    ctx->method = r->method;

    return NGX_OK;
}
