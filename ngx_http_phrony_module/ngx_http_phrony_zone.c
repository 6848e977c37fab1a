
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_http_phrony_zone.h"


static ngx_int_t ngx_http_phrony_zone_init(ngx_shm_zone_t *shm_zone,
    void *data);
static ngx_int_t ngx_http_phrony_zone_reuse(ngx_shm_zone_t *shm_zone,
    ngx_http_phrony_main_conf_t *pmcf);
static void ngx_http_phrony_zone_resized(ngx_shm_zone_t *shm_zone);


char *
ngx_http_phrony_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_phrony_main_conf_t *pmcf = conf;

    u_char     *p;
    ssize_t     size;
    ngx_str_t  *value, name, s;

    if (pmcf->shm_zone) {
        return "is duplicate";
    }

    value = cf->args->elts;

    p = ngx_strlchr(value[1].data, value[1].data + value[1].len, ':');

    if (p == NULL || p == value[1].data) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid zone \"%V\", it must be name:size",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    name.data = value[1].data;
    name.len = p - name.data;

    s.data = p + 1;
    s.len = value[1].data + value[1].len - s.data;

    size = ngx_parse_size(&s);

    if (size == NGX_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid zone size \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    if (size < NGX_PHRONY_ZONE_MIN_SIZE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "zone \"%V\" is too small, at least %dk is needed",
                           &value[1], NGX_PHRONY_ZONE_MIN_SIZE / 1024);
        return NGX_CONF_ERROR;
    }

    pmcf->shm_zone = ngx_shared_memory_add(cf, &name, size,
                                           &ngx_http_phrony_module);
    if (pmcf->shm_zone == NULL) {
        return NGX_CONF_ERROR;
    }

    pmcf->shm_zone->init = ngx_http_phrony_zone_init;
    pmcf->shm_zone->data = pmcf;

    return NGX_CONF_OK;
}


/* "data" is the configuration of the cycle before, if the zone is its own. */

static ngx_int_t
ngx_http_phrony_zone_init(ngx_shm_zone_t *shm_zone, void *data)
{
    ngx_http_phrony_main_conf_t  *pmcf;

    pmcf = shm_zone->data;

    pmcf->zone.shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    if (data || shm_zone->shm.exists) {
        return ngx_http_phrony_zone_reuse(shm_zone, pmcf);
    }

    ngx_http_phrony_zone_resized(shm_zone);

    if (ngx_phrony_zone_init(&pmcf->zone) != NGX_OK) {
        ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                      "zone \"%V\" is too small for its tables",
                      &shm_zone->shm.name);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_phrony_zone_reuse(ngx_shm_zone_t *shm_zone,
    ngx_http_phrony_main_conf_t *pmcf)
{
    if (ngx_phrony_zone_attach(&pmcf->zone) != NGX_OK) {
        ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                      "zone \"%V\" was laid out by another version of "
                      "the module, nginx must be restarted or upgraded, "
                      "or the zone renamed", &shm_zone->shm.name);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* nginx gives a zone of another size new memory, and says nothing. */

static void
ngx_http_phrony_zone_resized(ngx_shm_zone_t *shm_zone)
{
    ngx_uint_t        i;
    ngx_shm_zone_t   *old;
    ngx_list_part_t  *part;

    if (ngx_is_init_cycle(ngx_cycle)) {
        return;
    }

    for (part = (ngx_list_part_t *) &ngx_cycle->shared_memory.part;
         part;
         part = part->next)
    {
        old = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (old[i].shm.name.len != shm_zone->shm.name.len
                || ngx_strncmp(old[i].shm.name.data, shm_zone->shm.name.data,
                               shm_zone->shm.name.len)
                   != 0)
            {
                continue;
            }

            ngx_log_error(NGX_LOG_NOTICE, shm_zone->shm.log, 0,
                          "zone \"%V\" changes its size from %uz to %uz, "
                          "its counts and leases start anew",
                          &shm_zone->shm.name, old[i].shm.size,
                          shm_zone->shm.size);
            return;
        }
    }
}
