
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "phrony_uuid.h"

#if (__SSE2__)
#include <emmintrin.h>
#endif


#define PHRONY_UUID_DIGIT  0x10     /* where there is no SSE2 */

#define phrony_uuid_rotate(x, n)  (((x) << (n)) | ((x) >> (64 - (n))))

/* SipRound, on four variables so that they stay in registers. */

#define phrony_uuid_round(a, b, c, d)                                         \
    do {                                                                      \
        a += b;                                                               \
        c += d;                                                               \
        b = phrony_uuid_rotate(b, 13) ^ a;                                    \
        d = phrony_uuid_rotate(d, 16) ^ c;                                    \
        a = phrony_uuid_rotate(a, 32);                                        \
                                                                              \
        c += b;                                                               \
        a += d;                                                               \
        b = phrony_uuid_rotate(b, 17) ^ c;                                    \
        d = phrony_uuid_rotate(d, 21) ^ a;                                    \
        c = phrony_uuid_rotate(c, 32);                                        \
    } while (0)


static inline int phrony_uuid_read(const unsigned char *p,
    phrony_uuid_t *uuid);

#if (__SSE2__)

static inline uint64_t phrony_uuid_quads(const unsigned char *p,
    const unsigned char *q);
static inline int phrony_uuid_values(__m128i *digits);
static inline __m128i phrony_uuid_hex(__m128i values);

#endif

static inline uint64_t phrony_uuid_load(const unsigned char *p);


#if !(__SSE2__)

/* A digit's value with PHRONY_UUID_DIGIT set, 0 for any other byte. */

static const unsigned char  phrony_uuid_digits[256] = {
    ['0'] = 0x10, ['1'] = 0x11, ['2'] = 0x12, ['3'] = 0x13, ['4'] = 0x14,
    ['5'] = 0x15, ['6'] = 0x16, ['7'] = 0x17, ['8'] = 0x18, ['9'] = 0x19,
    ['a'] = 0x1a, ['b'] = 0x1b, ['c'] = 0x1c, ['d'] = 0x1d, ['e'] = 0x1e,
    ['f'] = 0x1f,
    ['A'] = 0x1a, ['B'] = 0x1b, ['C'] = 0x1c, ['D'] = 0x1d, ['E'] = 0x1e,
    ['F'] = 0x1f
};


/* The two digits of each byte. */

static const char  phrony_uuid_pairs[] =
    "000102030405060708090a0b0c0d0e0f"
    "101112131415161718191a1b1c1d1e1f"
    "202122232425262728292a2b2c2d2e2f"
    "303132333435363738393a3b3c3d3e3f"
    "404142434445464748494a4b4c4d4e4f"
    "505152535455565758595a5b5c5d5e5f"
    "606162636465666768696a6b6c6d6e6f"
    "707172737475767778797a7b7c7d7e7f"
    "808182838485868788898a8b8c8d8e8f"
    "909192939495969798999a9b9c9d9e9f"
    "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf"
    "b0b1b2b3b4b5b6b7b8b9babbbcbdbebf"
    "c0c1c2c3c4c5c6c7c8c9cacbcccdcecf"
    "d0d1d2d3d4d5d6d7d8d9dadbdcdddedf"
    "e0e1e2e3e4e5e6e7e8e9eaebecedeeef"
    "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff";


/*
 * Where in the text they stand.  The loops over it are unrolled: then the
 * places are part of the instructions.
 */

static const unsigned char  phrony_uuid_places[PHRONY_UUID_LEN] = {
    0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34
};

#endif


int
phrony_uuid_parse(const phrony_str_t *text, phrony_uuid_t *uuid)
{
    const unsigned char  *p;

    if (text->len != PHRONY_UUID_TEXT_LEN) {
        return -1;
    }

    p = text->data;

    if (p[8] != '-' || p[13] != '-' || p[18] != '-' || p[23] != '-') {
        return -1;
    }

    return phrony_uuid_read(p, uuid);
}


/* Reads the 32 digits, whatever stands between them. */

#if (__SSE2__)

static inline int
phrony_uuid_read(const unsigned char *p, phrony_uuid_t *uuid)
{
    __m128i  first, second;

    first = _mm_set_epi64x((int64_t) phrony_uuid_quads(p + 9, p + 14),
                           (int64_t) phrony_uuid_quads(p, p + 4));
    second = _mm_set_epi64x((int64_t) phrony_uuid_quads(p + 28, p + 32),
                            (int64_t) phrony_uuid_quads(p + 19, p + 24));

    if (!(phrony_uuid_values(&first) & phrony_uuid_values(&second))) {
        return -1;
    }

    _mm_storeu_si128((__m128i *) uuid->bytes,
                     _mm_packus_epi16(first, second));

    return 0;
}


/* Four digits, and four others, as they are in memory. */

static inline uint64_t
phrony_uuid_quads(const unsigned char *p, const unsigned char *q)
{
    uint32_t  low, high;

    memcpy(&low, p, sizeof(low));
    memcpy(&high, q, sizeof(high));

    return (uint64_t) high << 32 | low;
}


/*
 * Makes a word of each two of 16 digits, the value of both.  Returns 0 if one
 * of them is none, else 1.
 */

static inline int
phrony_uuid_values(__m128i *digits)
{
    __m128i  number, letter, is_number, is_letter, values;

    /* what is less than the first one is above the last one, too: unsigned */

    number = _mm_sub_epi8(*digits, _mm_set1_epi8('0'));
    is_number = _mm_cmpeq_epi8(_mm_min_epu8(number, _mm_set1_epi8(9)),
                               number);

    letter = _mm_or_si128(*digits, _mm_set1_epi8(0x20));
    letter = _mm_sub_epi8(letter, _mm_set1_epi8('a'));
    is_letter = _mm_cmpeq_epi8(_mm_min_epu8(letter, _mm_set1_epi8(5)),
                               letter);

    letter = _mm_add_epi8(letter, _mm_set1_epi8(10));
    values = _mm_or_si128(_mm_and_si128(number, is_number),
                          _mm_and_si128(letter, is_letter));

    /* the first of two is the low byte of a word */

    *digits = _mm_or_si128(_mm_slli_epi16(values, 4),
                           _mm_srli_epi16(values, 8));
    *digits = _mm_and_si128(*digits, _mm_set1_epi16(0xff));

    return _mm_movemask_epi8(_mm_or_si128(is_number, is_letter)) == 0xffff;
}

#else

static inline int
phrony_uuid_read(const unsigned char *p, phrony_uuid_t *uuid)
{
    unsigned       i, high, low, valid;
    phrony_uuid_t  id;

    valid = PHRONY_UUID_DIGIT;

#pragma GCC unroll 16
    for (i = 0; i < PHRONY_UUID_LEN; i++) {
        high = phrony_uuid_digits[p[phrony_uuid_places[i]]];
        low = phrony_uuid_digits[p[phrony_uuid_places[i] + 1]];

        valid &= high & low;
        id.bytes[i] = (unsigned char) ((high & 0x0f) << 4 | (low & 0x0f));
    }

    if (!valid) {
        return -1;
    }

    *uuid = id;

    return 0;
}

#endif


#if (__SSE2__)

unsigned char *
phrony_uuid_format(unsigned char *buf, const phrony_uuid_t *uuid)
{
    unsigned char  text[2 * PHRONY_UUID_LEN];
    __m128i        bytes, high, low;

    bytes = _mm_loadu_si128((const __m128i *) uuid->bytes);

    high = _mm_and_si128(_mm_srli_epi16(bytes, 4), _mm_set1_epi8(0x0f));
    low = _mm_and_si128(bytes, _mm_set1_epi8(0x0f));

    _mm_storeu_si128((__m128i *) text,
                     phrony_uuid_hex(_mm_unpacklo_epi8(high, low)));
    _mm_storeu_si128((__m128i *) (text + 16),
                     phrony_uuid_hex(_mm_unpackhi_epi8(high, low)));

    memcpy(buf, text, 8);
    buf[8] = '-';
    memcpy(buf + 9, text + 8, 4);
    buf[13] = '-';
    memcpy(buf + 14, text + 12, 4);
    buf[18] = '-';
    memcpy(buf + 19, text + 16, 4);
    buf[23] = '-';
    memcpy(buf + 24, text + 20, 12);

    return buf + PHRONY_UUID_TEXT_LEN;
}


/* The digits of 16 values. */

static inline __m128i
phrony_uuid_hex(__m128i values)
{
    __m128i  letters;

    letters = _mm_cmpgt_epi8(values, _mm_set1_epi8(9));
    letters = _mm_and_si128(letters, _mm_set1_epi8('a' - '0' - 10));

    return _mm_add_epi8(_mm_add_epi8(values, _mm_set1_epi8('0')), letters);
}

#else

unsigned char *
phrony_uuid_format(unsigned char *buf, const phrony_uuid_t *uuid)
{
    unsigned  i;

#pragma GCC unroll 16
    for (i = 0; i < PHRONY_UUID_LEN; i++) {
        memcpy(buf + phrony_uuid_places[i],
               &phrony_uuid_pairs[2 * uuid->bytes[i]], 2);
    }

    buf[8] = '-';
    buf[13] = '-';
    buf[18] = '-';
    buf[23] = '-';

    return buf + PHRONY_UUID_TEXT_LEN;
}

#endif


/*
 * SipHash-1-3 (Aumasson, Bernstein 2012) of two words, without the block
 * that holds the length, as that is always the same.  The second half of the
 * key is made of the first: it is as hard to guess as the seed is.
 */

uint64_t
phrony_uuid_hash(const phrony_uuid_t *uuid, uint64_t seed)
{
    uint64_t  key, low, high, a, b, c, d;

    key = seed * 0x9e3779b97f4a7c15ULL + 0xd1b54a32d192ed03ULL;

    low = phrony_uuid_load(uuid->bytes);
    high = phrony_uuid_load(uuid->bytes + 8);

    a = seed ^ 0x736f6d6570736575ULL;
    b = key ^ 0x646f72616e646f6dULL;
    c = seed ^ 0x6c7967656e657261ULL;
    d = key ^ 0x7465646279746573ULL;

    d ^= low;
    phrony_uuid_round(a, b, c, d);
    a ^= low;

    d ^= high;
    phrony_uuid_round(a, b, c, d);
    a ^= high;

    c ^= 0xff;
    phrony_uuid_round(a, b, c, d);
    phrony_uuid_round(a, b, c, d);
    phrony_uuid_round(a, b, c, d);

    return a ^ b ^ c ^ d;
}


static inline uint64_t
phrony_uuid_load(const unsigned char *p)
{
    return (uint64_t) p[0] | (uint64_t) p[1] << 8
           | (uint64_t) p[2] << 16 | (uint64_t) p[3] << 24
           | (uint64_t) p[4] << 32 | (uint64_t) p[5] << 40
           | (uint64_t) p[6] << 48 | (uint64_t) p[7] << 56;
}
