
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_HTTP_PHRONY_WORKER_H_INCLUDED_
#define _NGX_HTTP_PHRONY_WORKER_H_INCLUDED_


#include "ngx_http_phrony_module.h"


/*
 * Connects a worker to Redis, if the configuration has one, and wires what
 * Redis says to the store and the policy.  Returns NGX_OK or NGX_ERROR.
 */

ngx_int_t ngx_http_phrony_worker_init(ngx_cycle_t *cycle);

/* Tells Redis what is still to be told, as far as it takes it, and ends. */

void ngx_http_phrony_worker_done(ngx_cycle_t *cycle);


#endif /* _NGX_HTTP_PHRONY_WORKER_H_INCLUDED_ */
