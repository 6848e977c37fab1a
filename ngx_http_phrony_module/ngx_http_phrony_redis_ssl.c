
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_http_phrony_redis_ssl.h"
#include "ngx_http_phrony_conf.h"
#include "ngx_http_phrony_redis.h"


#define NGX_HTTP_PHRONY_SSL_DEPTH  9    /* of a chain of certificates */


#if (NGX_HTTP_SSL)

static ngx_int_t ngx_http_phrony_redis_ssl_create(ngx_conf_t *cf,
    ngx_http_phrony_redis_conf_t *conf);
static ngx_int_t ngx_http_phrony_redis_ssl_certificate(ngx_conf_t *cf,
    ngx_http_phrony_redis_conf_t *conf);

#endif


ngx_int_t
ngx_http_phrony_redis_ssl_init(ngx_conf_t *cf,
    ngx_http_phrony_redis_conf_t *conf)
{
    if (conf->redis.parsed.tls) {
#if (NGX_HTTP_SSL)
        return ngx_http_phrony_redis_ssl_create(cf, conf);
#else
        return ngx_http_phrony_redis_wrong(cf, conf,
                   "asks for TLS, which this nginx was built without");
#endif
    }

    return conf->ssl_setting.name.len
           ? ngx_http_phrony_requires(cf, &conf->ssl_setting,
                                      "phrony_redis rediss://...")
           : NGX_OK;
}


#if (NGX_HTTP_SSL)

static ngx_int_t
ngx_http_phrony_redis_ssl_create(ngx_conf_t *cf,
    ngx_http_phrony_redis_conf_t *conf)
{
    ngx_ssl_t           *ssl;
    ngx_pool_cleanup_t  *cln;

    ngx_conf_init_value(conf->ssl_verify, 1);

    if (conf->ssl_verify && conf->ssl_trusted_certificate.len == 0) {
        return ngx_http_phrony_redis_wrong(cf, conf,
                   "asks for TLS, which requires "
                   "\"phrony_redis_ssl_trusted_certificate\" or "
                   "\"phrony_redis_ssl_verify off\"");
    }

    ssl = &conf->ssl;
    ssl->log = cf->log;

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    if (ngx_ssl_create(ssl, NGX_SSL_TLSv1_2|NGX_SSL_TLSv1_3, NULL)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    cln->handler = ngx_ssl_cleanup_ctx;
    cln->data = ssl;

    if (conf->ssl_verify
        && ngx_ssl_trusted_certificate(cf, ssl,
                                       &conf->ssl_trusted_certificate,
                                       NGX_HTTP_PHRONY_SSL_DEPTH)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_http_phrony_redis_ssl_certificate(cf, conf) != NGX_OK) {
        return NGX_ERROR;
    }

    conf->redis.ssl = ssl;
    conf->redis.ssl_verify = conf->ssl_verify;
    conf->redis.ssl_name = conf->ssl_name;

    return NGX_OK;
}


static ngx_int_t
ngx_http_phrony_redis_ssl_certificate(ngx_conf_t *cf,
    ngx_http_phrony_redis_conf_t *conf)
{
    if (conf->ssl_certificate.len == 0 && conf->ssl_certificate_key.len == 0)
    {
        return NGX_OK;
    }

    if (conf->ssl_certificate.len == 0 || conf->ssl_certificate_key.len == 0)
    {
        return ngx_http_phrony_redis_wrong(cf, conf,
                   conf->ssl_certificate.len
                   ? "has \"phrony_redis_ssl_certificate\", which requires "
                     "\"phrony_redis_ssl_certificate_key\""
                   : "has \"phrony_redis_ssl_certificate_key\", which "
                     "requires \"phrony_redis_ssl_certificate\"");
    }

    return ngx_ssl_certificate(cf, &conf->ssl, &conf->ssl_certificate,
                               &conf->ssl_certificate_key, NULL);
}

#endif
