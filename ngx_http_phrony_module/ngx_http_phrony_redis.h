
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_HTTP_PHRONY_REDIS_H_INCLUDED_
#define _NGX_HTTP_PHRONY_REDIS_H_INCLUDED_


#include "ngx_http_phrony_module.h"


/* The values of the phrony_redis directives before they are read. */

void ngx_http_phrony_redis_unset(ngx_http_phrony_redis_conf_t *conf);


/*
 * Completes the configuration of Redis once all of it was read: checks what
 * belongs together, reads the password, resolves the hosts, prepares TLS.
 * Without "phrony_redis" it only checks that nothing else asks for it.
 */

ngx_int_t ngx_http_phrony_redis_init(ngx_conf_t *cf,
    ngx_http_phrony_redis_conf_t *conf);


/* Says what is wrong with "phrony_redis"; returns NGX_ERROR. */

ngx_int_t ngx_http_phrony_redis_wrong(ngx_conf_t *cf,
    ngx_http_phrony_redis_conf_t *conf, const char *what);


char *ngx_http_phrony_redis_url(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

char *ngx_http_phrony_check_prefix(ngx_conf_t *cf, void *post, void *data);
char *ngx_http_phrony_check_timeout(ngx_conf_t *cf, void *post, void *data);
char *ngx_http_phrony_note_redis(ngx_conf_t *cf, void *post, void *data);
char *ngx_http_phrony_note_redis_ssl(ngx_conf_t *cf, void *post, void *data);


#endif /* _NGX_HTTP_PHRONY_REDIS_H_INCLUDED_ */
