
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_http_phrony_late.h"


static ngx_phrony_owner_t *ngx_http_phrony_late_owners(
    ngx_http_phrony_ctx_t *ctx, ngx_uint_t n);


void
ngx_http_phrony_late(ngx_http_phrony_ctx_t *ctx,
    ngx_phrony_settlement_t *settlement)
{
    ngx_uint_t                    n;
    ngx_phrony_owner_t           *owners;
    ngx_http_phrony_main_conf_t  *pmcf;

    /*
     * What began a moment ago need not be renewed.  A stream may last, so it
     * is worth to know whose it is, and then the zone knows it at its end.
     */

    if (settlement->event != PHRONY_LEASE_END && ctx->watch == NULL) {
        return;
    }

    n = phrony_policy_nscopes(ctx->lookup.policy, ctx->key);

    owners = ngx_http_phrony_late_owners(ctx, n);
    if (owners == NULL) {
        return;
    }

    settlement->workspace_id = *ngx_http_phrony_workspace_id(ctx);

    pmcf = ngx_http_get_module_main_conf(ctx->request,
                                         ngx_http_phrony_module);

    ngx_phrony_late_settle(&pmcf->late, settlement, owners, n);

    (void) ngx_pfree(ctx->request->pool, owners);
}


/* All of the key's scopes; NULL if it has none, or there is no memory. */

static ngx_phrony_owner_t *
ngx_http_phrony_late_owners(ngx_http_phrony_ctx_t *ctx, ngx_uint_t n)
{
    uint32_t                 i;
    ngx_phrony_owner_t      *owners;
    const phrony_trigger_t  *trigger;

    if (n == 0) {
        return NULL;
    }

    owners = ngx_palloc(ctx->request->pool, n * sizeof(ngx_phrony_owner_t));
    if (owners == NULL) {
        return NULL;
    }

    for (i = 0; i < n; i++) {
        trigger = phrony_policy_scope(ctx->lookup.policy, ctx->key, i);

        owners[i].trigger_id = trigger->id;
        owners[i].agent_id = trigger->agent_id;
    }

    return owners;
}
