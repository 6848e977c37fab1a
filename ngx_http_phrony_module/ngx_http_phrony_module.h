
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_HTTP_PHRONY_MODULE_H_INCLUDED_
#define _NGX_HTTP_PHRONY_MODULE_H_INCLUDED_


/*
 * What the files of the request side share.  Everything declared after the
 * pragma stays inside the shared object: nginx loads modules RTLD_GLOBAL.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "core/phrony_answer.h"
#include "core/phrony_body.h"
#include "core/phrony_fields.h"
#include "core/phrony_key.h"
#include "core/phrony_policy.h"
#include "core/phrony_reason.h"
#include "core/phrony_route.h"
#include "policy/ngx_phrony_policy.h"
#include "policy/ngx_phrony_policy_file.h"
#include "policy/ngx_phrony_policy_redis.h"
#include "redis/ngx_phrony_redis.h"
#include "store/ngx_phrony_late.h"
#include "store/ngx_phrony_store.h"
#include "store/ngx_phrony_store_memory.h"
#include "store/ngx_phrony_store_redis.h"


#pragma GCC visibility push(hidden)


#define NGX_HTTP_PHRONY_VERSION  "0.1.0"


typedef enum {
    NGX_HTTP_PHRONY_FAILURE_LOCAL = 0,
    NGX_HTTP_PHRONY_FAILURE_ALLOW,
    NGX_HTTP_PHRONY_FAILURE_DENY
} ngx_http_phrony_failure_t;


/* Where a directive first stood; the name is empty if it did not. */

typedef struct {
    ngx_str_t                    name;
    ngx_str_t                    file;
    ngx_uint_t                   line;
} ngx_http_phrony_place_t;


/* Where to look for a delivery id: a field of the request, or a variable. */

typedef struct {
    ngx_str_t                    field;         /* as in $http_..., or empty */
    ngx_int_t                    index;
} ngx_http_phrony_delivery_source_t;


/* The phrony_redis directives; redis.url is empty without "phrony_redis". */

typedef struct {
    ngx_phrony_redis_conf_t      redis;
    ngx_http_phrony_place_t      place;         /* of "phrony_redis" */
    ngx_http_phrony_place_t      setting;       /* of one that needs it */
    ngx_http_phrony_place_t      ssl_setting;   /* of one that needs TLS */

    ngx_str_t                    prefix;
    ngx_str_t                    password_file;

    ngx_flag_t                   ssl_verify;
    ngx_str_t                    ssl_trusted_certificate;
    ngx_str_t                    ssl_name;
    ngx_str_t                    ssl_certificate;
    ngx_str_t                    ssl_certificate_key;
#if (NGX_HTTP_SSL)
    ngx_ssl_t                    ssl;
#endif
} ngx_http_phrony_redis_conf_t;


typedef struct {
    ngx_shm_zone_t              *shm_zone;
    ngx_phrony_zone_t            zone;

    ngx_phrony_store_memory_t    memory;
    ngx_phrony_store_redis_t     shared;        /* with "phrony_redis" */
    ngx_phrony_store_t          *store;         /* one of the two */
    ngx_phrony_late_t            late;          /* of this worker */

    ngx_str_t                    policy_file;
    ngx_msec_t                   policy_cache;
    ngx_msec_t                   policy_stale;
    ngx_phrony_policy_file_t     records;
    ngx_phrony_policy_redis_t    fetched;       /* "phrony_policy redis" */
    ngx_phrony_source_t         *source;        /* one of the two */

    ngx_http_phrony_redis_conf_t redis;
    ngx_phrony_redis_t          *connection;    /* of this worker */
    ngx_phrony_redis_observer_t  observer;

    ngx_int_t                    request_id;    /* index of $request_id */

    ngx_http_phrony_place_t      needed_by;     /* phrony on, phrony_status */
    ngx_http_phrony_place_t      fetched_by;    /* phrony_policy redis */
    ngx_http_phrony_place_t      fetch_setting; /* what needs that */
} ngx_http_phrony_main_conf_t;


typedef struct {
    ngx_flag_t                   enable;
    ngx_uint_t                   store_failure; /* ngx_http_phrony_failure_t */
    ngx_msec_t                   reservation_ttl;
    ngx_msec_t                   run_ttl;
    ngx_msec_t                   runs_retry;    /* a hint */
    ngx_str_t                    verify;        /* uri; empty: off */
    ngx_uint_t                   duplicates;    /* phrony_delivery_mode_t */
    ngx_array_t                 *delivery_ids;  /* of sources */
    ngx_msec_t                   delivery_ttl;
    ngx_array_t                 *terminal_status;   /* of phrony_str_t */
    size_t                       max_body;
    ngx_int_t                    bytes_per_token;
    ngx_flag_t                   dry_run;
    ngx_uint_t                   ingress_maxlen;    /* 0: no log in Redis */
    ngx_uint_t                   log_level;
    ngx_flag_t                   headers;
    ngx_str_t                    realm;
    ngx_str_t                    challenge;     /* value of WWW-Authenticate */
} ngx_http_phrony_loc_conf_t;


extern ngx_module_t  ngx_http_phrony_module;


#endif /* _NGX_HTTP_PHRONY_MODULE_H_INCLUDED_ */
