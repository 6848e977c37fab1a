
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_PHRONY_POLICY_READ_H_INCLUDED_
#define _NGX_PHRONY_POLICY_READ_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_phrony_policy_fetch.h"


PHRONY_HIDDEN_BEGIN


/*
 * Makes room for "n" records, the first ones of which stay.  Returns NGX_OK or
 * NGX_ERROR.
 */

ngx_int_t ngx_phrony_policy_read_room(ngx_phrony_policy_fetch_t *fetch,
    ngx_uint_t n);


/* Sets the name of a record. */

void ngx_phrony_policy_read_name(ngx_phrony_policy_fetch_t *fetch,
    ngx_uint_t i, phrony_policy_name_t *name);


/*
 * Reads the records from "first" on: those that are trusted in the zone, and
 * for the others sends commands, which are pending then.
 */

void ngx_phrony_policy_read(ngx_phrony_policy_fetch_t *fetch,
    ngx_uint_t first);


/*
 * When nothing is pending: takes what the zone has of those that Redis did
 * not tell, if it may be used still; else they are lost.
 */

void ngx_phrony_policy_read_fall_back(ngx_phrony_policy_fetch_t *fetch);


/* Forgets all that was read. */

void ngx_phrony_policy_read_clear(ngx_phrony_policy_fetch_t *fetch);


PHRONY_HIDDEN_END


#endif /* _NGX_PHRONY_POLICY_READ_H_INCLUDED_ */
