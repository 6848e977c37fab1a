
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_PHRONY_STORE_MEMORY_H_INCLUDED_
#define _NGX_PHRONY_STORE_MEMORY_H_INCLUDED_


#include "ngx_phrony_store.h"
#include "ngx_phrony_zone.h"


PHRONY_HIDDEN_BEGIN


/*
 * The store in nginx's shared memory: it always answers at once, on a clock
 * that all workers share and nobody sets.
 */

typedef struct {
    ngx_phrony_store_t        store;
    ngx_phrony_zone_t        *zone;
} ngx_phrony_store_memory_t;


/* Makes a store over the zone, which must outlive it. */

void ngx_phrony_store_memory_init(ngx_phrony_store_memory_t *memory,
    ngx_phrony_zone_t *zone);


/* The figures of a zone, for any store, without what has run out. */

void ngx_phrony_store_memory_figures(ngx_phrony_zone_t *zone,
    ngx_phrony_snapshot_t *snapshot);


PHRONY_HIDDEN_END


#endif /* _NGX_PHRONY_STORE_MEMORY_H_INCLUDED_ */
