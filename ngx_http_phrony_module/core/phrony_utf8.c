
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "phrony_utf8.h"


/*
 * Overlong forms, surrogates and what is above U+10FFFF show in the second
 * byte.
 */

size_t
phrony_utf8_length(const unsigned char *p, const unsigned char *last)
{
    size_t         i, n;
    unsigned char  low, high;

    if (*p < 0xc2 || *p > 0xf4) {
        return 0;
    }

    n = (*p < 0xe0) ? 2 : (*p < 0xf0) ? 3 : 4;

    if ((size_t) (last - p) < n) {
        return 0;
    }

    low = (*p == 0xe0) ? 0xa0 : (*p == 0xf0) ? 0x90 : 0x80;
    high = (*p == 0xed) ? 0x9f : (*p == 0xf4) ? 0x8f : 0xbf;

    if (p[1] < low || p[1] > high) {
        return 0;
    }

    for (i = 2; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
    }

    return n;
}
