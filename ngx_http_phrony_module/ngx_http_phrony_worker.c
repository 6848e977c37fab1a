
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_http_phrony_worker.h"


static ngx_int_t ngx_http_phrony_worker_observe(ngx_cycle_t *cycle,
    ngx_http_phrony_main_conf_t *pmcf);
static ngx_uint_t ngx_http_phrony_worker_fetches(
    ngx_http_phrony_main_conf_t *pmcf);
static void ngx_http_phrony_worker_ready(void *data);
static void ngx_http_phrony_worker_invalidated(void *data,
    const phrony_str_t *key);
static void ngx_http_phrony_worker_live(void *data, ngx_uint_t live);


ngx_int_t
ngx_http_phrony_worker_init(ngx_cycle_t *cycle)
{
    ngx_phrony_root_t            *root;
    ngx_http_phrony_main_conf_t  *pmcf;

    if (ngx_process != NGX_PROCESS_WORKER
        && ngx_process != NGX_PROCESS_SINGLE)
    {
        return NGX_OK;
    }

    pmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_phrony_module);

    if (pmcf == NULL || pmcf->needed_by.name.len == 0) {
        return NGX_OK;
    }

    ngx_phrony_late_init(&pmcf->late, pmcf->store);

    if (pmcf->redis.redis.url.len == 0) {
        return NGX_OK;
    }

    if (ngx_http_phrony_worker_observe(cycle, pmcf) != NGX_OK) {
        return NGX_ERROR;
    }

    root = pmcf->zone.shpool->data;

    pmcf->connection = ngx_phrony_redis_create(&pmcf->redis.redis,
                                               &pmcf->observer, &root->redis,
                                               cycle->log);
    if (pmcf->connection == NULL) {
        return NGX_ERROR;
    }

    if (ngx_http_phrony_worker_fetches(pmcf)
        && ngx_phrony_policy_redis_start(&pmcf->fetched, pmcf->connection,
                                         cycle->log)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_phrony_store_redis_start(&pmcf->shared, pmcf->connection);
}


static ngx_int_t
ngx_http_phrony_worker_observe(ngx_cycle_t *cycle,
    ngx_http_phrony_main_conf_t *pmcf)
{
    ngx_phrony_redis_observer_t  *observer;

    observer = &pmcf->observer;

    observer->data = pmcf;
    observer->ready = ngx_http_phrony_worker_ready;
    observer->invalidated = ngx_http_phrony_worker_invalidated;
    observer->live = ngx_http_phrony_worker_live;

    if (!ngx_http_phrony_worker_fetches(pmcf)) {
        return NGX_OK;
    }

    observer->prefixes = ngx_phrony_policy_redis_prefixes(&pmcf->fetched,
                                                          cycle->pool);
    observer->nprefixes = NGX_PHRONY_POLICY_REDIS_PREFIXES;

    return observer->prefixes ? NGX_OK : NGX_ERROR;
}


static ngx_uint_t
ngx_http_phrony_worker_fetches(ngx_http_phrony_main_conf_t *pmcf)
{
    return pmcf->source == &pmcf->fetched.source;
}


static void
ngx_http_phrony_worker_ready(void *data)
{
    ngx_http_phrony_main_conf_t  *pmcf = data;

    ngx_phrony_store_redis_ready(&pmcf->shared);
}


static void
ngx_http_phrony_worker_invalidated(void *data, const phrony_str_t *key)
{
    ngx_http_phrony_main_conf_t  *pmcf = data;

    ngx_phrony_policy_redis_invalidated(&pmcf->fetched, key);
}


static void
ngx_http_phrony_worker_live(void *data, ngx_uint_t live)
{
    ngx_http_phrony_main_conf_t  *pmcf = data;

    ngx_phrony_policy_redis_live(&pmcf->fetched, live);
}


void
ngx_http_phrony_worker_done(ngx_cycle_t *cycle)
{
    ngx_http_phrony_main_conf_t  *pmcf;

    pmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_phrony_module);

    if (pmcf == NULL || pmcf->late.store == NULL) {
        return;
    }

    ngx_phrony_late_stop(&pmcf->late);

    if (pmcf->connection == NULL) {
        return;
    }

    ngx_phrony_store_redis_flush(&pmcf->shared);

    ngx_phrony_redis_destroy(pmcf->connection);
    pmcf->connection = NULL;

    if (ngx_http_phrony_worker_fetches(pmcf)) {
        ngx_phrony_policy_redis_stop(&pmcf->fetched);
    }

    ngx_phrony_store_redis_stop(&pmcf->shared);
}
