
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_phrony_histogram.h"


const uint64_t
    ngx_phrony_histogram_bounds[NGX_PHRONY_HISTOGRAM_BOUNDS] =
{
    100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000,
    500000, 1000000
};


uint64_t
ngx_phrony_histogram_clock(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000000 + (uint64_t) ts.tv_nsec / 1000;
}


void
ngx_phrony_histogram_add(ngx_phrony_histogram_t *histogram, uint64_t took)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_PHRONY_HISTOGRAM_BOUNDS; i++) {

        if (took <= ngx_phrony_histogram_bounds[i]) {
            break;
        }
    }

    (void) ngx_atomic_fetch_add(&histogram->counts[i], 1);

    if (took) {
        (void) ngx_atomic_fetch_add(&histogram->sum, (ngx_atomic_int_t) took);
    }
}
