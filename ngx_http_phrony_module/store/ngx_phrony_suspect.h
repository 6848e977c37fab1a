
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_PHRONY_SUSPECT_H_INCLUDED_
#define _NGX_PHRONY_SUSPECT_H_INCLUDED_


#include "ngx_phrony_encode.h"
#include "ngx_phrony_zone.h"


PHRONY_HIDDEN_BEGIN


/*
 * Leases that were not seen for a while: their runs may have ended, though
 * nobody has looked.  See ngx_phrony_suspects_t.
 */


/*
 * Returns 1 if the trigger's runs may be asked for, since that was not done
 * here within the last NGX_PHRONY_SUSPECT_INTERVAL, and notes that it is done
 * now; else 0.  The lock is held.
 */

ngx_uint_t ngx_phrony_suspect_due(ngx_phrony_zone_t *zone,
    phrony_uuid_t *trigger_id);

/*
 * Fills op->suspects with those of op->trigger_id that hold a slot in the
 * zone.  Other runs come first the next time; of the reservations that are
 * met on the way the oldest are named.  The lock is held.
 */

void ngx_phrony_suspect_find(ngx_phrony_zone_t *zone, ngx_phrony_op_t *op);


/* Asks Redis, as the functions of ngx_phrony_encode.h do. */

ngx_phrony_redis_command_t *ngx_phrony_suspect_encode(
    ngx_phrony_encoder_t *encoder, ngx_phrony_op_t *op, size_t size);

/*
 * Fills "suspects" from the answer of suspects.lua, without those that this
 * gateway has seen; the lock is not held.  Returns NGX_OK, or NGX_ERROR if
 * this is no such answer.
 */

ngx_int_t ngx_phrony_suspect_parse(ngx_phrony_suspects_t *suspects,
    const phrony_resp_t *reply, ngx_phrony_zone_t *zone);


PHRONY_HIDDEN_END


#endif /* _NGX_PHRONY_SUSPECT_H_INCLUDED_ */
