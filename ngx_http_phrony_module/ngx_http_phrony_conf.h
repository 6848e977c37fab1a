
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_HTTP_PHRONY_CONF_H_INCLUDED_
#define _NGX_HTTP_PHRONY_CONF_H_INCLUDED_


#include "ngx_http_phrony_module.h"


void *ngx_http_phrony_create_main_conf(ngx_conf_t *cf);
void *ngx_http_phrony_create_loc_conf(ngx_conf_t *cf);
char *ngx_http_phrony_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);

/* Checks what only the whole configuration shows: NGX_OK or NGX_ERROR. */

ngx_int_t ngx_http_phrony_check_conf(ngx_conf_t *cf);


/* Setters of directives. */

char *ngx_http_phrony_enable(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_phrony_policy(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_phrony_terminal_status(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_phrony_verify_uri(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_phrony_status(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/* Notes where a directive stands, if it is the first of its kind. */

void ngx_http_phrony_note(ngx_conf_t *cf, ngx_http_phrony_place_t *place);

/* Says that what stands there needs another directive; returns NGX_ERROR. */

ngx_int_t ngx_http_phrony_requires(ngx_conf_t *cf,
    ngx_http_phrony_place_t *place, const char *needed);

/* What is done with values, after nginx's own setters. */

char *ngx_http_phrony_note_fetch(ngx_conf_t *cf, void *post, void *data);
char *ngx_http_phrony_check_ttl(ngx_conf_t *cf, void *post, void *data);
char *ngx_http_phrony_check_positive(ngx_conf_t *cf, void *post, void *data);
char *ngx_http_phrony_check_realm(ngx_conf_t *cf, void *post, void *data);


extern ngx_conf_enum_t  ngx_http_phrony_failures[];
extern ngx_conf_enum_t  ngx_http_phrony_duplicates[];
extern ngx_conf_enum_t  ngx_http_phrony_log_levels[];


#endif /* _NGX_HTTP_PHRONY_CONF_H_INCLUDED_ */
