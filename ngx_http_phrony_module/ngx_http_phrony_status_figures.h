
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_HTTP_PHRONY_STATUS_FIGURES_H_INCLUDED_
#define _NGX_HTTP_PHRONY_STATUS_FIGURES_H_INCLUDED_


#include "ngx_http_phrony_status_text.h"
#include "store/ngx_phrony_top.h"


/* What the status page says, in whatever form: one look at all of it. */

typedef struct {
    ngx_str_t                    store;         /* "memory", "redis" */
    ngx_uint_t                   shared;        /* there is a Redis */
    ngx_uint_t                   ready;         /* for the worker that
                                                   answers */
    ngx_uint_t                   cached;        /* policy comes from Redis */
    phrony_policy_stat_t         policy;
    ngx_phrony_snapshot_t        zone;
    ngx_phrony_counters_t        counters;
    ngx_phrony_redis_counters_t  redis;
    ngx_phrony_top_t             top;
    uint64_t                     held;          /* slots, see below */
} ngx_http_phrony_figures_t;


extern ngx_str_t  ngx_http_phrony_deciders[NGX_PHRONY_DECIDER_MAX];
extern ngx_str_t  ngx_http_phrony_limits[PHRONY_LIMIT_MAX];


/*
 * Gathers the figures.  The zone knows all slots where Redis does not decide;
 * of those that Redis holds only what the triggers tell that are looked at for
 * the top.
 */

void ngx_http_phrony_figures(ngx_http_phrony_main_conf_t *pmcf,
    ngx_http_phrony_figures_t *figures);

/* "start" …, and "unknown" for what is no route. */

const phrony_str_t *ngx_http_phrony_figures_route(phrony_route_kind_t kind);

/* Refusals on a route, and for a reason. */

ngx_atomic_uint_t ngx_http_phrony_figures_refused(
    ngx_http_phrony_figures_t *figures, phrony_route_kind_t kind);
ngx_atomic_uint_t ngx_http_phrony_figures_reason(
    ngx_http_phrony_figures_t *figures, phrony_reason_t reason);


/*
 * Write them, as JSON, and as text for Prometheus or OpenMetrics: with one
 * series for each trigger only if "each" is set.
 */

void ngx_http_phrony_status_json(ngx_http_phrony_text_t *text,
    ngx_http_phrony_figures_t *figures);

void ngx_http_phrony_status_metrics(ngx_http_phrony_text_t *text,
    ngx_http_phrony_figures_t *figures, ngx_uint_t openmetrics,
    ngx_uint_t each);


#endif /* _NGX_HTTP_PHRONY_STATUS_FIGURES_H_INCLUDED_ */
