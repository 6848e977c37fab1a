
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_http_phrony_status_figures.h"


static void ngx_http_phrony_figures_look_up(void *data,
    ngx_phrony_top_entry_t *entry);


ngx_str_t  ngx_http_phrony_deciders[NGX_PHRONY_DECIDER_MAX] = {
    ngx_string("memory"),
    ngx_string("redis"),
    ngx_string("local"),
    ngx_string("none")
};


ngx_str_t  ngx_http_phrony_limits[PHRONY_LIMIT_MAX] = {
    ngx_string("rpm"),
    ngx_string("rpd"),
    ngx_string("runs"),
    ngx_string("reads")
};


void
ngx_http_phrony_figures(ngx_http_phrony_main_conf_t *pmcf,
    ngx_http_phrony_figures_t *figures)
{
    ngx_phrony_root_t          *root;
    ngx_phrony_top_look_up_pt   look_up;

    figures->store = pmcf->store->label;
    figures->shared = (pmcf->connection != NULL);
    figures->ready = figures->shared
                     && ngx_phrony_redis_ready(pmcf->connection,
                                               NGX_PHRONY_REDIS_ANY);
    figures->cached = (pmcf->source == &pmcf->fetched.source);

    pmcf->source->stat(pmcf->source, &figures->policy);
    pmcf->store->snapshot(pmcf->store, &figures->zone);

    /* what is counted without a lock is read without one */

    root = pmcf->zone.shpool->data;

    figures->counters = root->counters;
    figures->redis = root->redis;

    look_up = figures->cached ? NULL : ngx_http_phrony_figures_look_up;

    ngx_phrony_top(&pmcf->zone, &figures->top, look_up, pmcf);

    figures->held = ngx_max(figures->top.held, figures->zone.leases);
}


/* A trigger that is no longer in the file has no limit. */

static void
ngx_http_phrony_figures_look_up(void *data, ngx_phrony_top_entry_t *entry)
{
    ngx_uint_t                    i;
    const phrony_trigger_t       *trigger;
    ngx_http_phrony_main_conf_t  *pmcf;

    pmcf = data;

    trigger = phrony_policy_trigger(pmcf->records.policy, &entry->trigger_id);

    if (trigger == NULL) {
        for (i = 0; i < PHRONY_LIMIT_MAX; i++) {
            entry->quotas[i] = PHRONY_NO_LIMIT;
        }

        return;
    }

    entry->has_agent = 1;
    entry->agent_id = trigger->agent_id;
    entry->quotas[PHRONY_LIMIT_RPM] = trigger->rpm_limit;
    entry->quotas[PHRONY_LIMIT_RPD] = trigger->rpd_limit;
    entry->quotas[PHRONY_LIMIT_RUNS] = trigger->max_concurrent_runs;
    entry->quotas[PHRONY_LIMIT_READS] = trigger->read_rpm_limit;
}


const phrony_str_t *
ngx_http_phrony_figures_route(phrony_route_kind_t kind)
{
    static const phrony_str_t  unknown = phrony_str("unknown");

    return (kind == PHRONY_ROUTE_UNKNOWN) ? &unknown : phrony_route_name(kind);
}


ngx_atomic_uint_t
ngx_http_phrony_figures_refused(ngx_http_phrony_figures_t *figures,
    phrony_route_kind_t kind)
{
    ngx_uint_t         i;
    ngx_atomic_uint_t  n;

    n = 0;

    for (i = 0; i < PHRONY_REASON_MAX; i++) {
        n += figures->counters.refused[kind][i];
    }

    return n;
}


ngx_atomic_uint_t
ngx_http_phrony_figures_reason(ngx_http_phrony_figures_t *figures,
    phrony_reason_t reason)
{
    ngx_uint_t         i;
    ngx_atomic_uint_t  n;

    n = 0;

    for (i = 0; i < PHRONY_ROUTE_MAX; i++) {
        n += figures->counters.refused[i][reason];
    }

    return n;
}
