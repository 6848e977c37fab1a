
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "phrony_brackets_blocks.h"


const unsigned char *
phrony_brackets_skip(phrony_brackets_t *brackets, const unsigned char *p,
    const unsigned char *last)
{
#if (PHRONY_BRACKETS_SSE2)

    if (last - p >= PHRONY_BRACKETS_BLOCK) {

#if (PHRONY_BRACKETS_AVX2)
        if (phrony_brackets_has_avx2()) {
            return phrony_brackets_avx2(brackets, p, last);
        }
#endif

        return phrony_brackets_sse2(brackets, p, last);
    }

#endif

    return phrony_brackets_bytes(brackets, p, last);
}


const unsigned char *
phrony_brackets_bytes(phrony_brackets_t *brackets, const unsigned char *p,
    const unsigned char *last)
{
    unsigned char  ch;

    while (p < last) {
        ch = *p++;

        if (brackets->escape) {
            brackets->escape = 0;

        } else if (ch == '"') {
            brackets->string = !brackets->string;

        } else if (brackets->string) {
            brackets->escape = (ch == '\\');

        } else if ((ch | 0x20) == '{') {
            brackets->depth++;

        } else if ((ch | 0x20) == '}' && --brackets->depth == 0) {
            break;
        }
    }

    return p;
}
