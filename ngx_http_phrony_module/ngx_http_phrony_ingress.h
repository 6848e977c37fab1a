
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_HTTP_PHRONY_INGRESS_H_INCLUDED_
#define _NGX_HTTP_PHRONY_INGRESS_H_INCLUDED_


#include "ngx_http_phrony_request.h"


/* The setter of "phrony_ingress_log". */

char *ngx_http_phrony_ingress_log(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


/*
 * The handler of the LOG phase: an attempt to start a run, of a trigger that
 * its key may use, goes into the trigger's stream in Redis.  So nobody without
 * a key can write there.  Always returns NGX_OK.
 */

ngx_int_t ngx_http_phrony_ingress_handler(ngx_http_request_t *r);


#endif /* _NGX_HTTP_PHRONY_INGRESS_H_INCLUDED_ */
