
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef PHRONY_BRACKETS_BLOCKS_H_
#define PHRONY_BRACKETS_BLOCKS_H_


#include "phrony_brackets.h"


#define PHRONY_BRACKETS_BLOCK  64   /* bytes that are looked at at once */


#if (__SSE2__)
#define PHRONY_BRACKETS_SSE2   1
#endif

#if (__SSE2__ && __x86_64__ && __GNUC__)
#define PHRONY_BRACKETS_AVX2   1    /* the processor may lack it */
#endif


PHRONY_HIDDEN_BEGIN


/*
 * The ways that phrony_brackets_skip() has: each does what it does, the ones
 * of SSE2 and AVX2 in blocks and what is left byte by byte.
 */

const unsigned char *phrony_brackets_bytes(phrony_brackets_t *brackets,
    const unsigned char *p, const unsigned char *last);

#if (PHRONY_BRACKETS_SSE2)
const unsigned char *phrony_brackets_sse2(phrony_brackets_t *brackets,
    const unsigned char *p, const unsigned char *last);
#endif

#if (PHRONY_BRACKETS_AVX2)

/* Only where phrony_brackets_has_avx2() returns 1. */

const unsigned char *phrony_brackets_avx2(phrony_brackets_t *brackets,
    const unsigned char *p, const unsigned char *last);

static inline int
phrony_brackets_has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi")
           && __builtin_cpu_supports("pclmul");
}

#endif


PHRONY_HIDDEN_END


#endif /* PHRONY_BRACKETS_BLOCKS_H_ */
