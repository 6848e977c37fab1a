
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef PHRONY_TEXT_H_
#define PHRONY_TEXT_H_


#include "phrony_str.h"

#if (__SSE2__)
#include <emmintrin.h>
#endif


#define PHRONY_TEXT_MAX  64


PHRONY_HIDDEN_BEGIN


/*
 * A short JSON string, decoded while it passes by in pieces of any size.
 *
 *     OPEN --- closing quote ---> ENDED
 *       +----- broken escape ---> BROKEN
 */

typedef enum {
    PHRONY_TEXT_OPEN = 0,
    PHRONY_TEXT_ENDED,
    PHRONY_TEXT_BROKEN
} phrony_text_state_t;


typedef struct {
    unsigned char  state;
    unsigned char  escape;      /* bytes of an escape so far */
    unsigned char  unusable;    /* too long, or control characters or halves
                                   of surrogate pairs are in it */
    uint32_t       code;        /* of \uXXXX so far */
    uint32_t       high;        /* first half of a surrogate pair, or 0 */
    size_t         len;
    unsigned char  data[PHRONY_TEXT_MAX];
} phrony_text_t;


/* Makes ready for the first byte after the opening quote. */

void phrony_text_init(phrony_text_t *text);


/*
 * Reads on from "p", which is before "last", while the state is OPEN.
 * Returns where it stopped: after the closing quote if ENDED, in an escape if
 * BROKEN, else "last".  "data" and "len" are the string in UTF-8 when it is
 * ended and not unusable.
 */

const unsigned char *phrony_text_read(phrony_text_t *text,
    const unsigned char *p, const unsigned char *last);


/* Returns 1 if no byte is a control character, below 0x20, else 0. */

int phrony_text_is_clean(const phrony_str_t *text);


/* Finds the next quote or backslash; returns "last" if there is none. */

static inline const unsigned char *
phrony_text_plain(const unsigned char *p, const unsigned char *last)
{
#if (__SSE2__)

    int      hits;
    __m128i  block;

    for ( ; last - p >= 16; p += 16) {
        block = _mm_loadu_si128((const __m128i *) p);
        block = _mm_or_si128(_mm_cmpeq_epi8(block, _mm_set1_epi8('"')),
                             _mm_cmpeq_epi8(block, _mm_set1_epi8('\\')));
        hits = _mm_movemask_epi8(block);

        if (hits) {
            return p + __builtin_ctz((unsigned) hits);
        }
    }

#endif

    while (p < last && *p != '"' && *p != '\\') {
        p++;
    }

    return p;
}


PHRONY_HIDDEN_END


#endif /* PHRONY_TEXT_H_ */
