
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_PHRONY_DECIDE_H_INCLUDED_
#define _NGX_PHRONY_DECIDE_H_INCLUDED_


#include "ngx_phrony_store.h"
#include "ngx_phrony_zone.h"


PHRONY_HIDDEN_BEGIN


/*
 * Decides on a start or a read by what the zone knows, with the lock held:
 * sets what op->delivery is to become, and if that is to be proxied
 * op->granted, op->leased, op->lease_id and what is left of the limits.
 * If "untold" is 1 Redis is to be told of what is granted; slots that it
 * holds count as well either way.
 * Returns NGX_OK, or NGX_DECLINED if there is no room: nothing was counted.
 */

ngx_int_t ngx_phrony_decide(ngx_phrony_zone_t *zone, ngx_phrony_op_t *op,
    ngx_uint_t untold);


/* Sets what is left of the limits of a start that they do not refuse. */

void ngx_phrony_decide_look(ngx_phrony_zone_t *zone, ngx_phrony_op_t *op);


PHRONY_HIDDEN_END


#endif /* _NGX_PHRONY_DECIDE_H_INCLUDED_ */
