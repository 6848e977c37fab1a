
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


/* before the pragma in the module's own header, and after nginx's */

#include <ngx_config.h>
#include <jansson.h>

#include "ngx_http_phrony_module.h"
#include "ngx_http_phrony_access.h"
#include "ngx_http_phrony_admit.h"
#include "ngx_http_phrony_conf.h"
#include "ngx_http_phrony_delivery.h"
#include "ngx_http_phrony_digest.h"
#include "ngx_http_phrony_filter.h"
#include "ngx_http_phrony_headers.h"
#include "ngx_http_phrony_ingress.h"
#include "ngx_http_phrony_redis.h"
#include "ngx_http_phrony_variables.h"
#include "ngx_http_phrony_worker.h"
#include "ngx_http_phrony_zone.h"


#define NGX_HTTP_PHRONY_CONF                                                  \
    NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF


static ngx_int_t ngx_http_phrony_preconfiguration(ngx_conf_t *cf);
static ngx_int_t ngx_http_phrony_postconfiguration(ngx_conf_t *cf);
static ngx_int_t ngx_http_phrony_handler_add(ngx_conf_t *cf,
    ngx_uint_t phase, ngx_http_handler_pt handler);
static ngx_int_t ngx_http_phrony_init_process(ngx_cycle_t *cycle);
static void ngx_http_phrony_exit_process(ngx_cycle_t *cycle);


static ngx_conf_post_t  ngx_http_phrony_ttl_post =
    { ngx_http_phrony_check_ttl };
static ngx_conf_post_t  ngx_http_phrony_positive_post =
    { ngx_http_phrony_check_positive };
static ngx_conf_post_t  ngx_http_phrony_realm_post =
    { ngx_http_phrony_check_realm };
static ngx_conf_post_t  ngx_http_phrony_fetch_post =
    { ngx_http_phrony_note_fetch };
static ngx_conf_post_t  ngx_http_phrony_timeout_post =
    { ngx_http_phrony_check_timeout };
static ngx_conf_post_t  ngx_http_phrony_prefix_post =
    { ngx_http_phrony_check_prefix };
static ngx_conf_post_t  ngx_http_phrony_redis_post =
    { ngx_http_phrony_note_redis };
static ngx_conf_post_t  ngx_http_phrony_redis_ssl_post =
    { ngx_http_phrony_note_redis_ssl };


static ngx_command_t  ngx_http_phrony_commands[] = {

    { ngx_string("phrony"),
      NGX_HTTP_PHRONY_CONF|NGX_CONF_FLAG,
      ngx_http_phrony_enable,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_phrony_loc_conf_t, enable),
      NULL },

    { ngx_string("phrony_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_phrony_zone,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("phrony_policy"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_phrony_policy,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("phrony_policy_cache"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_phrony_main_conf_t, policy_cache),
      &ngx_http_phrony_fetch_post },

    { ngx_string("phrony_policy_stale"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_phrony_main_conf_t, policy_stale),
      &ngx_http_phrony_fetch_post },

    { ngx_string("phrony_redis"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_phrony_redis_url,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("phrony_redis_timeout"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_phrony_main_conf_t, redis.redis.timeout),
      &ngx_http_phrony_timeout_post },

    { ngx_string("phrony_redis_connect_timeout"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_phrony_main_conf_t, redis.redis.connect_timeout),
      &ngx_http_phrony_timeout_post },

    { ngx_string("phrony_redis_prefix"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_phrony_main_conf_t, redis.prefix),
      &ngx_http_phrony_prefix_post },

    { ngx_string("phrony_redis_user"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_phrony_main_conf_t, redis.redis.user),
      &ngx_http_phrony_redis_post },

    { ngx_string("phrony_redis_password_file"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_phrony_main_conf_t, redis.password_file),
      &ngx_http_phrony_redis_post },

    { ngx_string("phrony_redis_ssl_verify"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_phrony_main_conf_t, redis.ssl_verify),
      &ngx_http_phrony_redis_ssl_post },

    { ngx_string("phrony_redis_ssl_trusted_certificate"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_phrony_main_conf_t, redis.ssl_trusted_certificate),
      &ngx_http_phrony_redis_ssl_post },

    { ngx_string("phrony_redis_ssl_name"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_phrony_main_conf_t, redis.ssl_name),
      &ngx_http_phrony_redis_ssl_post },

    { ngx_string("phrony_redis_ssl_certificate"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_phrony_main_conf_t, redis.ssl_certificate),
      &ngx_http_phrony_redis_ssl_post },

    { ngx_string("phrony_redis_ssl_certificate_key"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_phrony_main_conf_t, redis.ssl_certificate_key),
      &ngx_http_phrony_redis_ssl_post },

    { ngx_string("phrony_store_failure"),
      NGX_HTTP_PHRONY_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_enum_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_phrony_loc_conf_t, store_failure),
      ngx_http_phrony_failures },

    { ngx_string("phrony_reservation_ttl"),
      NGX_HTTP_PHRONY_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_phrony_loc_conf_t, reservation_ttl),
      &ngx_http_phrony_ttl_post },

    { ngx_string("phrony_run_ttl"),
      NGX_HTTP_PHRONY_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_phrony_loc_conf_t, run_ttl),
      &ngx_http_phrony_ttl_post },

    { ngx_string("phrony_verify"),
      NGX_HTTP_PHRONY_CONF|NGX_CONF_TAKE1,
      ngx_http_phrony_verify_uri,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("phrony_runs_retry"),
      NGX_HTTP_PHRONY_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_phrony_loc_conf_t, runs_retry),
      &ngx_http_phrony_ttl_post },

    { ngx_string("phrony_duplicates"),
      NGX_HTTP_PHRONY_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_enum_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_phrony_loc_conf_t, duplicates),
      ngx_http_phrony_duplicates },

    { ngx_string("phrony_delivery_id"),
      NGX_HTTP_PHRONY_CONF|NGX_CONF_1MORE,
      ngx_http_phrony_delivery_ids,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("phrony_delivery_ttl"),
      NGX_HTTP_PHRONY_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_phrony_loc_conf_t, delivery_ttl),
      &ngx_http_phrony_ttl_post },

    { ngx_string("phrony_terminal_status"),
      NGX_HTTP_PHRONY_CONF|NGX_CONF_1MORE,
      ngx_http_phrony_terminal_status,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("phrony_max_body"),
      NGX_HTTP_PHRONY_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_phrony_loc_conf_t, max_body),
      NULL },

    { ngx_string("phrony_bytes_per_token"),
      NGX_HTTP_PHRONY_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_phrony_loc_conf_t, bytes_per_token),
      &ngx_http_phrony_positive_post },

    { ngx_string("phrony_dry_run"),
      NGX_HTTP_PHRONY_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_phrony_loc_conf_t, dry_run),
      NULL },

    { ngx_string("phrony_ingress_log"),
      NGX_HTTP_PHRONY_CONF|NGX_CONF_TAKE12,
      ngx_http_phrony_ingress_log,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("phrony_log_level"),
      NGX_HTTP_PHRONY_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_enum_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_phrony_loc_conf_t, log_level),
      ngx_http_phrony_log_levels },

    { ngx_string("phrony_headers"),
      NGX_HTTP_PHRONY_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_phrony_loc_conf_t, headers),
      NULL },

    { ngx_string("phrony_realm"),
      NGX_HTTP_PHRONY_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_phrony_loc_conf_t, realm),
      &ngx_http_phrony_realm_post },

    { ngx_string("phrony_status"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_phrony_status,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_phrony_module_ctx = {
    ngx_http_phrony_preconfiguration,      /* preconfiguration */
    ngx_http_phrony_postconfiguration,     /* postconfiguration */

    ngx_http_phrony_create_main_conf,      /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_phrony_create_loc_conf,       /* create location configuration */
    ngx_http_phrony_merge_loc_conf         /* merge location configuration */
};


ngx_module_t  ngx_http_phrony_module = {
    NGX_MODULE_V1,
    &ngx_http_phrony_module_ctx,           /* module context */
    ngx_http_phrony_commands,              /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_http_phrony_init_process,          /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_http_phrony_exit_process,          /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_int_t
ngx_http_phrony_preconfiguration(ngx_conf_t *cf)
{
    ngx_http_phrony_headers_init();

    /* the seed of jansson's tables is read from a device, so not later */

    json_object_seed(0);

    return ngx_http_phrony_variables_add(cf);
}


static ngx_int_t
ngx_http_phrony_postconfiguration(ngx_conf_t *cf)
{
    ngx_http_phrony_main_conf_t  *pmcf;

    if (ngx_http_phrony_check_conf(cf) != NGX_OK) {
        return NGX_ERROR;
    }

    pmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_phrony_module);

    if (pmcf->needed_by.name.len == 0) {
        return NGX_OK;
    }

    if (ngx_http_phrony_handler_add(cf, NGX_HTTP_ACCESS_PHASE,
                                    ngx_http_phrony_access_handler)
        != NGX_OK
        || ngx_http_phrony_handler_add(cf, NGX_HTTP_PRECONTENT_PHASE,
                                       ngx_http_phrony_admit_handler)
           != NGX_OK
        || ngx_http_phrony_handler_add(cf, NGX_HTTP_LOG_PHASE,
                                       ngx_http_phrony_ingress_handler)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_http_phrony_filter_init();

    return NGX_OK;
}


static ngx_int_t
ngx_http_phrony_handler_add(ngx_conf_t *cf, ngx_uint_t phase,
    ngx_http_handler_pt handler)
{
    ngx_http_handler_pt        *h;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[phase].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = handler;

    return NGX_OK;
}


static ngx_int_t
ngx_http_phrony_init_process(ngx_cycle_t *cycle)
{
    if (ngx_http_phrony_digest_init(cycle) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_phrony_worker_init(cycle);
}


static void
ngx_http_phrony_exit_process(ngx_cycle_t *cycle)
{
    ngx_http_phrony_worker_done(cycle);
    ngx_http_phrony_digest_done();
}
