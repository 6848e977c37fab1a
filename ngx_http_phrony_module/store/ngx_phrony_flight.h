
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_PHRONY_FLIGHT_H_INCLUDED_
#define _NGX_PHRONY_FLIGHT_H_INCLUDED_


#include "ngx_phrony_store_redis.h"


PHRONY_HIDDEN_BEGIN


/*
 * Ops on their way to Redis and back.  A flight lives in its command, and has
 * all that is needed when its op is gone: then it is a tombstone, and what
 * was granted to it is given back.
 */


/*
 * Asks Redis for a decision; "sent" is the zone's time.  Returns NGX_AGAIN,
 * NGX_DECLINED if Redis cannot be asked, or NGX_ERROR if there is no memory.
 */

ngx_int_t ngx_phrony_flight_admit(ngx_phrony_store_redis_t *store,
    ngx_phrony_op_t *op, uint64_t sent);


/* Asks Redis whose a run is; returns likewise. */

ngx_int_t ngx_phrony_flight_locate(ngx_phrony_store_redis_t *store,
    ngx_phrony_op_t *op);


/*
 * Asks Redis which leases were not seen for a while.  Returns NGX_AGAIN, or
 * NGX_OK, with none, if Redis cannot be asked; or NGX_ERROR if there is no
 * memory.
 */

ngx_int_t ngx_phrony_flight_suspect(ngx_phrony_store_redis_t *store,
    ngx_phrony_op_t *op);


/* Takes the op out of its flight, if it is in one. */

void ngx_phrony_flight_cancel(ngx_phrony_op_t *op);


/*
 * Answers the op without Redis: decides by the zone, or knows nothing of a
 * run.  Returns NGX_OK, or NGX_DECLINED if the op is not to be answered so, or
 * there is no room.
 */

ngx_int_t ngx_phrony_flight_local(ngx_phrony_store_redis_t *store,
    ngx_phrony_op_t *op);

ngx_int_t ngx_phrony_flight_unknown(ngx_phrony_op_t *op);


/* Who answered. */

extern ngx_str_t  ngx_phrony_flight_redis;      /* "redis" */
extern ngx_str_t  ngx_phrony_flight_memory;     /* "local" */


PHRONY_HIDDEN_END


#endif /* _NGX_PHRONY_FLIGHT_H_INCLUDED_ */
