
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "phrony_brackets.h"
#include "phrony_text.h"


#define PHRONY_BRACKETS_BLOCK  64   /* bytes that are looked at at once */


#if (__SSE2__)

/* A block, and a bit for each of its bytes, the first one's the lowest. */

typedef struct {
    const unsigned char  *p;
    uint64_t              escapes;      /* bytes behind a backslash */
    uint64_t              strings;      /* in strings, with the first quote */
    uint64_t              hits;         /* brackets outside of them */
    unsigned char         escape;       /* what the next block begins with */
} phrony_brackets_block_t;


static const unsigned char *phrony_brackets_blocks(
    phrony_brackets_t *brackets, const unsigned char *p,
    const unsigned char *last);
static inline int phrony_brackets_read(const phrony_brackets_t *brackets,
    phrony_brackets_block_t *block, const unsigned char *p);
static void phrony_brackets_escapes(const phrony_brackets_t *brackets,
    phrony_brackets_block_t *block, uint64_t backslashes);
static inline int phrony_brackets_count(phrony_brackets_t *brackets,
    const phrony_brackets_block_t *block);
static inline uint64_t phrony_brackets_mask(
    const phrony_brackets_block_t *block, char fold, char ch);

#endif

static const unsigned char *phrony_brackets_bytes(
    phrony_brackets_t *brackets, const unsigned char *p,
    const unsigned char *last);


const unsigned char *
phrony_brackets_skip(phrony_brackets_t *brackets, const unsigned char *p,
    const unsigned char *last)
{
#if (__SSE2__)

    const unsigned char  *end;

    while (last - p >= PHRONY_BRACKETS_BLOCK) {
        p = phrony_brackets_blocks(brackets, p, last);

        if (last - p < PHRONY_BRACKETS_BLOCK) {
            break;
        }

        /* a block in which it ends, or one that no JSON has */

        end = p + PHRONY_BRACKETS_BLOCK;
        p = phrony_brackets_bytes(brackets, p, end);

        if (brackets->depth == 0) {
            return p;
        }
    }

#endif

    return phrony_brackets_bytes(brackets, p, last);
}


static const unsigned char *
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


#if (__SSE2__)

/* Stops at a block that is to be read byte by byte, or at the last ones. */

static const unsigned char *
phrony_brackets_blocks(phrony_brackets_t *brackets, const unsigned char *p,
    const unsigned char *last)
{
    phrony_brackets_block_t  block;

    for ( ; last - p >= PHRONY_BRACKETS_BLOCK; p += PHRONY_BRACKETS_BLOCK) {

        if (brackets->string && !brackets->escape) {

            /* most of what is long is text */

            p = phrony_text_plain(p, last);

            if (last - p < PHRONY_BRACKETS_BLOCK) {
                break;
            }
        }

        if (!phrony_brackets_read(brackets, &block, p)
            || (block.hits && !phrony_brackets_count(brackets, &block)))
        {
            break;
        }

        brackets->string = (unsigned char) (block.strings >> 63);
        brackets->escape = block.escape;
    }

    return p;
}


/*
 * Finds out what is within strings: every byte of which the quotes up to it,
 * itself included, are odd in number.  Returns 0 if a backslash is outside of
 * them, where it escapes nothing.
 */

static inline int
phrony_brackets_read(const phrony_brackets_t *brackets,
    phrony_brackets_block_t *block, const unsigned char *p)
{
    int       i;
    uint64_t  backslashes, strings;

    block->p = p;
    block->escapes = 0;
    block->escape = 0;

    backslashes = phrony_brackets_mask(block, 0, '\\');

    if (backslashes | brackets->escape) {
        phrony_brackets_escapes(brackets, block, backslashes);
    }

    strings = phrony_brackets_mask(block, 0, '"') & ~block->escapes;

#pragma GCC unroll 6
    for (i = 1; i < PHRONY_BRACKETS_BLOCK; i *= 2) {
        strings ^= strings << i;
    }

    block->strings = strings ^ (0 - (uint64_t) brackets->string);

    /* 0x26 makes 0x7f of brackets; of few others, that are only in strings */

    block->hits = phrony_brackets_mask(block, 0x26, 0x7f) & ~block->strings;

    return (backslashes & ~block->strings) == 0;
}


/* Of two backslashes in a row, the second one escapes nothing. */

static void
phrony_brackets_escapes(const phrony_brackets_t *brackets,
    phrony_brackets_block_t *block, uint64_t backslashes)
{
    uint64_t  bit;

    block->escapes = brackets->escape;
    backslashes &= ~block->escapes;

    while (backslashes) {
        bit = backslashes & (0 - backslashes);

        block->escapes |= bit << 1;
        block->escape = (unsigned char) (bit >> 63);

        backslashes &= ~(bit | bit << 1);
    }
}


/* Returns 0, and changes nothing, if the last bracket is closed here. */

static inline int
phrony_brackets_count(phrony_brackets_t *brackets,
    const phrony_brackets_block_t *block)
{
    size_t    depth;
    uint64_t  hits, opens, closes;

    opens = phrony_brackets_mask(block, 0x20, '{') & block->hits;
    closes = phrony_brackets_mask(block, 0x20, '}') & block->hits;

    depth = brackets->depth;

    for (hits = opens | closes; hits; hits &= hits - 1) {

        if (hits & (0 - hits) & opens) {
            depth++;

        } else if (--depth == 0) {
            return 0;
        }
    }

    brackets->depth = depth;

    return 1;
}


/* A bit for each byte that is "ch" with the bits of "fold". */

static inline uint64_t
phrony_brackets_mask(const phrony_brackets_block_t *block, char fold, char ch)
{
    int       i;
    __m128i   part;
    uint64_t  mask;

    mask = 0;

#pragma GCC unroll 4
    for (i = 0; i < 4; i++) {
        part = _mm_loadu_si128((const __m128i *) (block->p + 16 * i));
        part = _mm_or_si128(part, _mm_set1_epi8(fold));
        part = _mm_cmpeq_epi8(part, _mm_set1_epi8(ch));
        mask |= (uint64_t) (unsigned) _mm_movemask_epi8(part) << 16 * i;
    }

    return mask;
}

#endif
