
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "phrony_brackets.h"

#if (__SSE2__)
#include <emmintrin.h>
#endif


#define PHRONY_BRACKETS_BLOCK  32   /* bytes that are looked at at once */


#if (__SSE2__)
static inline const unsigned char *phrony_brackets_block(
    const unsigned char *p, size_t *depth);
static inline uint32_t phrony_brackets_mask(const unsigned char *p, char fold,
    char ch);
#endif


const unsigned char *
phrony_brackets_skip(const unsigned char *p, const unsigned char *last,
    size_t *depth)
{
    unsigned char         ch;

#if (__SSE2__)

    const unsigned char  *found;

    for ( ; last - p >= PHRONY_BRACKETS_BLOCK; p += PHRONY_BRACKETS_BLOCK) {
        found = phrony_brackets_block(p, depth);

        if (found) {
            return found;
        }
    }

#endif

    for ( ; p < last; p++) {
        ch = *p;

        if (ch == '"') {
            break;
        }

        ch |= 0x20;

        if (ch == '{') {
            (*depth)++;

        } else if (ch == '}' && --*depth == 0) {
            break;
        }
    }

    return p;
}


#if (__SSE2__)

/*
 * The same for one block, in bit masks of it; NULL if there is nothing to
 * stop at.  Strings that end in the block, without escapes, are skipped.
 */

static inline const unsigned char *
phrony_brackets_block(const unsigned char *p, size_t *depth)
{
    size_t    open;
    uint32_t  bit, end, hits, opens, quotes, ends;

    /* in ASCII, 0x20 makes of a bracket the brace of the same side */

    quotes = phrony_brackets_mask(p, 0, '"');
    ends = phrony_brackets_mask(p, 0, '\\') | quotes;
    opens = phrony_brackets_mask(p, 0x20, '{');
    hits = phrony_brackets_mask(p, 0x20, '}') | opens | quotes;

    for (open = *depth; hits; hits &= ~(bit | (bit - 1))) {
        bit = hits & (0 - hits);

        if (bit & opens) {
            open++;
            continue;
        }

        if (bit & quotes) {
            end = ends & ~(bit | (bit - 1));
            end &= 0 - end;

            if (end & quotes) {
                bit = end;
                continue;
            }

        } else if (--open) {
            continue;
        }

        *depth = open;
        return p + __builtin_ctz(bit);
    }

    *depth = open;

    return NULL;
}


/* A bit for each byte of a block that is "ch" with the bits of "fold". */

static inline uint32_t
phrony_brackets_mask(const unsigned char *p, char fold, char ch)
{
    int       i;
    __m128i   block;
    uint32_t  mask;

    mask = 0;

    for (i = 0; i < PHRONY_BRACKETS_BLOCK; i += 16) {
        block = _mm_loadu_si128((const __m128i *) (p + i));
        block = _mm_or_si128(block, _mm_set1_epi8(fold));
        block = _mm_cmpeq_epi8(block, _mm_set1_epi8(ch));
        mask |= (uint32_t) _mm_movemask_epi8(block) << i;
    }

    return mask;
}

#endif
