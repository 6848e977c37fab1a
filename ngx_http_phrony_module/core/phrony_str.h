
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef PHRONY_STR_H_
#define PHRONY_STR_H_


#include <stddef.h>
#include <stdint.h>
#include <string.h>


/*
 * The module lives in a process that loads other modules with RTLD_GLOBAL:
 * whatever a header of core/ declares is kept inside the shared object.
 */

#define PHRONY_HIDDEN_BEGIN  _Pragma("GCC visibility push(hidden)")
#define PHRONY_HIDDEN_END    _Pragma("GCC visibility pop")


/*
 * A view of bytes that somebody else owns.  It is not NUL-terminated and may
 * hold any byte, NUL included.  The layout is that of ngx_str_t.
 */

typedef struct {
    size_t          len;
    unsigned char  *data;
} phrony_str_t;


#define phrony_str(text)                                                      \
    { sizeof(text) - 1, (unsigned char *) text }


/* Returns 1 if both views hold the same bytes, else 0. */

static inline int
phrony_str_eq(const phrony_str_t *a, const phrony_str_t *b)
{
    return a->len == b->len
           && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}


/*
 * Compares "len" bytes in a time that depends on "len" alone, so that how
 * much of a secret matched cannot be measured.  Returns 1 if equal, else 0.
 */

static inline int
phrony_equal_const_time(const unsigned char *a, const unsigned char *b,
    size_t len)
{
    uint64_t           x, y, diff;
    volatile uint64_t  whole;

    diff = 0;

    for ( /* void */ ; len >= sizeof(x); len -= sizeof(x)) {
        memcpy(&x, a, sizeof(x));
        memcpy(&y, b, sizeof(y));

        diff |= x ^ y;

        a += sizeof(x);
        b += sizeof(y);
    }

    while (len) {
        diff |= (uint64_t) (*a++ ^ *b++);
        len--;
    }

    /* it is all asked for, so that nothing ends before the last byte */

    whole = diff;

    return whole == 0;
}


/* An ASCII letter in lower case; any other byte as it is. */

static inline unsigned char
phrony_lower(unsigned char ch)
{
    return (unsigned char) ((ch >= 'A' && ch <= 'Z') ? (ch | 0x20) : ch);
}


/* Returns 1 if both views are the same but for ASCII case, else 0. */

static inline int
phrony_str_eq_nocase(const phrony_str_t *a, const phrony_str_t *b)
{
    size_t  i;

    if (a->len != b->len) {
        return 0;
    }

    for (i = 0; i < a->len; i++) {
        if (phrony_lower(a->data[i]) != phrony_lower(b->data[i])) {
            return 0;
        }
    }

    return 1;
}


#endif /* PHRONY_STR_H_ */
