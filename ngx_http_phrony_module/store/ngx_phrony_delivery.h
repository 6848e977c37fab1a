
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_PHRONY_DELIVERY_H_INCLUDED_
#define _NGX_PHRONY_DELIVERY_H_INCLUDED_


#include "ngx_phrony_store.h"


PHRONY_HIDDEN_BEGIN


/* What a start is asked about its delivery, on its way to an answer. */


/* The delivery of a start that nobody has looked at yet. */

void ngx_phrony_delivery_begin(ngx_phrony_delivery_t *delivery);


/*
 * Without the lock of the zone: gives the delivery a copy of its own of the
 * answer, if there is one.  Returns NGX_OK, or NGX_ERROR if there is no
 * memory.
 */

ngx_int_t ngx_phrony_delivery_keep(ngx_phrony_delivery_t *delivery);


/* Returns 1 if the start is not to be proxied, whatever its limits, else 0. */

ngx_uint_t ngx_phrony_delivery_blocks(ngx_phrony_delivery_t *delivery);

/*
 * Returns 1 if Redis may know of the start's delivery what the zone does not,
 * else 0: the answer of one that was done may be stored there alone.
 */

ngx_uint_t ngx_phrony_delivery_asks(ngx_phrony_op_t *op);

/* Returns 1 if a start that is granted claims its delivery, else 0. */

ngx_uint_t ngx_phrony_delivery_wanted(ngx_phrony_delivery_t *delivery);


PHRONY_HIDDEN_END


#endif /* _NGX_PHRONY_DELIVERY_H_INCLUDED_ */
