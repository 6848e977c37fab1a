
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_HTTP_PHRONY_ZONE_H_INCLUDED_
#define _NGX_HTTP_PHRONY_ZONE_H_INCLUDED_


#include "ngx_http_phrony_module.h"


/*
 * Sets "phrony_zone": the shared memory, which a reload takes over from the
 * cycle before if its size stays.
 */

char *ngx_http_phrony_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);


#endif /* _NGX_HTTP_PHRONY_ZONE_H_INCLUDED_ */
