
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "phrony_brackets_blocks.h"

#if (PHRONY_BRACKETS_AVX2)
#include <immintrin.h>
#elif (PHRONY_BRACKETS_SSE2)
#include <emmintrin.h>
#endif


#if (PHRONY_BRACKETS_SSE2)

/*
 * A block, and a bit for each of its bytes, the first one's the lowest.
 *
 * What is within strings is every byte of which the quotes up to it, itself
 * included, are odd in number.  0x26 makes 0x7f of brackets, and of few other
 * bytes, that are only in strings.
 */

typedef struct {
    const unsigned char  *p;
    uint64_t              quotes;       /* then those that end or begin one */
    uint64_t              backslashes;
    uint64_t              brackets;
    unsigned char         escape;       /* what the next block begins with */
} phrony_brackets_block_t;


static inline void phrony_brackets_unescape(phrony_brackets_t *brackets,
    phrony_brackets_block_t *block);
static uint64_t phrony_brackets_escapes(phrony_brackets_block_t *block,
    uint64_t escapes);
static inline int phrony_brackets_take(phrony_brackets_t *brackets,
    phrony_brackets_block_t *block, uint64_t strings);
static inline int phrony_brackets_one(phrony_brackets_t *brackets,
    const unsigned char **p);

static inline void phrony_brackets_sse2_read(phrony_brackets_block_t *block);
static inline uint64_t phrony_brackets_sse2_strings(uint64_t quotes);


const unsigned char *
phrony_brackets_sse2(phrony_brackets_t *brackets, const unsigned char *p,
    const unsigned char *last)
{
    phrony_brackets_block_t  block;

    while (last - p >= PHRONY_BRACKETS_BLOCK) {
        block.p = p;

        phrony_brackets_sse2_read(&block);
        phrony_brackets_unescape(brackets, &block);

        if (phrony_brackets_take(brackets, &block,
                                 phrony_brackets_sse2_strings(block.quotes)))
        {
            p += PHRONY_BRACKETS_BLOCK;
            continue;
        }

        if (phrony_brackets_one(brackets, &p)) {
            return p;
        }
    }

    return phrony_brackets_bytes(brackets, p, last);
}


static inline void
phrony_brackets_sse2_read(phrony_brackets_block_t *block)
{
    int      i;
    __m128i  part;

    block->quotes = 0;
    block->backslashes = 0;
    block->brackets = 0;

#define phrony_brackets_sse2_mask(part, ch)                                   \
    ((uint64_t) (unsigned) _mm_movemask_epi8(                                 \
                               _mm_cmpeq_epi8(part, _mm_set1_epi8(ch)))       \
     << i)

#pragma GCC unroll 4
    for (i = 0; i < PHRONY_BRACKETS_BLOCK; i += 16) {
        part = _mm_loadu_si128((const __m128i *) (block->p + i));

        block->quotes |= phrony_brackets_sse2_mask(part, '"');
        block->backslashes |= phrony_brackets_sse2_mask(part, '\\');

        part = _mm_or_si128(part, _mm_set1_epi8(0x26));
        block->brackets |= phrony_brackets_sse2_mask(part, 0x7f);
    }
}


static inline uint64_t
phrony_brackets_sse2_strings(uint64_t quotes)
{
    int  i;

#pragma GCC unroll 6
    for (i = 1; i < PHRONY_BRACKETS_BLOCK; i *= 2) {
        quotes ^= quotes << i;
    }

    return quotes;
}


/*
 * Leaves out the quotes that are behind a backslash.  Nearly always no two
 * backslashes are side by side.
 */

static inline void
phrony_brackets_unescape(phrony_brackets_t *brackets,
    phrony_brackets_block_t *block)
{
    uint64_t  escapes;

    escapes = block->backslashes << 1 | brackets->escape;

    if (block->backslashes & escapes) {
        escapes = phrony_brackets_escapes(block, brackets->escape);

    } else {
        block->escape = (unsigned char) (block->backslashes >> 63);
    }

    block->quotes &= ~escapes;
}


/* Of two backslashes in a row, the second one escapes nothing. */

static uint64_t
phrony_brackets_escapes(phrony_brackets_block_t *block, uint64_t escapes)
{
    uint64_t  bit, backslashes;

    block->escape = 0;
    backslashes = block->backslashes & ~escapes;

    while (backslashes) {
        bit = backslashes & (0 - backslashes);

        escapes |= bit << 1;
        block->escape = (unsigned char) (bit >> 63);

        backslashes &= ~(bit | bit << 1);
    }

    return escapes;
}


/*
 * Returns 1; or 0, and changes nothing, if the block is to be read byte by
 * byte: the last bracket is closed in it, or a backslash is outside of
 * strings, where it escapes nothing.
 */

static inline int
phrony_brackets_take(phrony_brackets_t *brackets,
    phrony_brackets_block_t *block, uint64_t strings)
{
    size_t         depth;
    uint64_t       hits;
    unsigned char  ch;

    strings ^= 0 - (uint64_t) brackets->string;

    if (block->backslashes & ~strings) {
        return 0;
    }

    depth = brackets->depth;

    for (hits = block->brackets & ~strings; hits; hits &= hits - 1) {
        ch = block->p[__builtin_ctzll(hits)] | 0x20;

        if (ch == '{') {
            depth++;

        } else if (ch == '}' && --depth == 0) {
            return 0;
        }
    }

    brackets->depth = depth;
    brackets->string = (unsigned char) (strings >> 63);
    brackets->escape = block->escape;

    return 1;
}


/* Returns 1 if this is the end. */

static inline int
phrony_brackets_one(phrony_brackets_t *brackets, const unsigned char **p)
{
    *p = phrony_brackets_bytes(brackets, *p, *p + PHRONY_BRACKETS_BLOCK);

    return brackets->depth == 0;
}

#endif


#if (PHRONY_BRACKETS_AVX2)

#define PHRONY_BRACKETS_AVX2_CODE                                             \
    __attribute__((target("avx2,pclmul,bmi")))


static inline void phrony_brackets_avx2_read(phrony_brackets_block_t *block);
static inline uint64_t phrony_brackets_avx2_strings(uint64_t quotes);


PHRONY_BRACKETS_AVX2_CODE
const unsigned char *
phrony_brackets_avx2(phrony_brackets_t *brackets, const unsigned char *p,
    const unsigned char *last)
{
    phrony_brackets_block_t  block;

    while (last - p >= PHRONY_BRACKETS_BLOCK) {
        block.p = p;

        phrony_brackets_avx2_read(&block);
        phrony_brackets_unescape(brackets, &block);

        if (phrony_brackets_take(brackets, &block,
                                 phrony_brackets_avx2_strings(block.quotes)))
        {
            p += PHRONY_BRACKETS_BLOCK;
            continue;
        }

        if (phrony_brackets_one(brackets, &p)) {
            return p;
        }
    }

    return phrony_brackets_bytes(brackets, p, last);
}


PHRONY_BRACKETS_AVX2_CODE
static inline void
phrony_brackets_avx2_read(phrony_brackets_block_t *block)
{
    int      i;
    __m256i  part;

    block->quotes = 0;
    block->backslashes = 0;
    block->brackets = 0;

#define phrony_brackets_avx2_mask(part, ch)                                   \
    ((uint64_t) (unsigned) _mm256_movemask_epi8(                              \
                               _mm256_cmpeq_epi8(part, _mm256_set1_epi8(ch))) \
     << i)

#pragma GCC unroll 2
    for (i = 0; i < PHRONY_BRACKETS_BLOCK; i += 32) {
        part = _mm256_loadu_si256((const __m256i *) (block->p + i));

        block->quotes |= phrony_brackets_avx2_mask(part, '"');
        block->backslashes |= phrony_brackets_avx2_mask(part, '\\');

        part = _mm256_or_si256(part, _mm256_set1_epi8(0x26));
        block->brackets |= phrony_brackets_avx2_mask(part, 0x7f);
    }
}


/* Multiplied by all ones without carry, a bit is the sum of those below. */

PHRONY_BRACKETS_AVX2_CODE
static inline uint64_t
phrony_brackets_avx2_strings(uint64_t quotes)
{
    __m128i  product;

    product = _mm_clmulepi64_si128(_mm_set_epi64x(0, (int64_t) quotes),
                                   _mm_set1_epi8((char) 0xff), 0);

    return (uint64_t) _mm_cvtsi128_si64(product);
}

#endif
