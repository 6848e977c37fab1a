
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_PHRONY_HISTOGRAM_H_INCLUDED_
#define _NGX_PHRONY_HISTOGRAM_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "../core/phrony_str.h"


#define NGX_PHRONY_HISTOGRAM_BOUNDS  13


PHRONY_HIDDEN_BEGIN


/*
 * How long something took, in shared memory, counted by all workers without
 * a lock: counts[i] took at most ngx_phrony_histogram_bounds[i] microseconds
 * and more than the bound before; the last took longer than any bound.
 */

typedef struct {
    ngx_atomic_t   counts[NGX_PHRONY_HISTOGRAM_BOUNDS + 1];
    ngx_atomic_t   sum;             /* microseconds */
} ngx_phrony_histogram_t;


extern const uint64_t
    ngx_phrony_histogram_bounds[NGX_PHRONY_HISTOGRAM_BOUNDS];


/* Microseconds that do not step back. */

uint64_t ngx_phrony_histogram_clock(void);


/* Counts one that took so many microseconds; 0 costs one addition less. */

void ngx_phrony_histogram_add(ngx_phrony_histogram_t *histogram,
    uint64_t took);


PHRONY_HIDDEN_END


#endif /* _NGX_PHRONY_HISTOGRAM_H_INCLUDED_ */
