
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "phrony_plain.h"
#include "phrony_utf8.h"

#if (__SSE2__)
#include <emmintrin.h>
#endif


typedef struct {
    const unsigned char  *p;
    const unsigned char  *last;

    unsigned              depth;
    uint32_t              objects;      /* a bit a level: 1 is an object */

    unsigned              nnames;
    unsigned char         first[PHRONY_PLAIN_DEPTH + 1];    /* of a level */
    phrony_str_t          names[PHRONY_PLAIN_NAMES];
} phrony_plain_t;


static int phrony_plain_value(phrony_plain_t *plain);
static int phrony_plain_open(phrony_plain_t *plain, int object);
static int phrony_plain_after(phrony_plain_t *plain);
static int phrony_plain_name(phrony_plain_t *plain);
static int phrony_plain_name_is_new(phrony_plain_t *plain,
    const phrony_str_t *name);
static int phrony_plain_string(phrony_plain_t *plain);
static const unsigned char *phrony_plain_ascii(const unsigned char *p,
    const unsigned char *last);
static size_t phrony_plain_escape(const unsigned char *p,
    const unsigned char *last);
static int phrony_plain_number(phrony_plain_t *plain);
static int phrony_plain_digits(phrony_plain_t *plain);
static int phrony_plain_literal(phrony_plain_t *plain, const char *text,
    size_t len);
static int phrony_plain_peek(phrony_plain_t *plain);


static const phrony_str_t  phrony_plain_input = phrony_str("input");


int
phrony_plain_check(const phrony_str_t *text)
{
    phrony_plain_t  plain;

    plain.p = text->data;
    plain.last = text->data + text->len;
    plain.depth = 0;
    plain.objects = 0;
    plain.nnames = 0;

    if (phrony_plain_peek(&plain) != '{') {
        return 0;
    }

    do {
        if (!phrony_plain_value(&plain) || !phrony_plain_after(&plain)) {
            return 0;
        }

    } while (plain.depth);

    return phrony_plain_peek(&plain) == -1;
}


/* Reads a scalar, or opens an array or object and reads up to its value. */

static int
phrony_plain_value(phrony_plain_t *plain)
{
    for ( ;; ) {

        switch (phrony_plain_peek(plain)) {

        case '{':

            if (!phrony_plain_open(plain, 1)) {
                return 0;
            }

            if (phrony_plain_peek(plain) == '}') {
                return 1;
            }

            if (!phrony_plain_name(plain)) {
                return 0;
            }

            break;

        case '[':

            if (!phrony_plain_open(plain, 0)) {
                return 0;
            }

            if (phrony_plain_peek(plain) == ']') {
                return 1;
            }

            break;

        case '"':
            return phrony_plain_string(plain);

        case 't':
            return phrony_plain_literal(plain, "true", 4);

        case 'f':
            return phrony_plain_literal(plain, "false", 5);

        case 'n':
            return phrony_plain_literal(plain, "null", 4);

        default:
            return phrony_plain_number(plain);
        }
    }
}


static int
phrony_plain_open(phrony_plain_t *plain, int object)
{
    if (plain->depth == PHRONY_PLAIN_DEPTH) {
        return 0;
    }

    plain->p++;
    plain->objects = plain->objects << 1 | (uint32_t) object;
    plain->first[++plain->depth] = (unsigned char) plain->nnames;

    return 1;
}


/* Closes what ends after a value, and reads up to the next value. */

static int
phrony_plain_after(phrony_plain_t *plain)
{
    int  ch, object;

    while (plain->depth) {

        ch = phrony_plain_peek(plain);
        object = plain->objects & 1;

        if (ch == ',') {
            plain->p++;
            return !object || phrony_plain_name(plain);
        }

        if (ch != (object ? '}' : ']')) {
            return 0;
        }

        plain->p++;
        plain->nnames = plain->first[plain->depth--];
        plain->objects >>= 1;
    }

    return 1;
}


/* Reads a member's name and its colon. */

static int
phrony_plain_name(phrony_plain_t *plain)
{
    phrony_str_t          name;
    const unsigned char  *start;

    if (phrony_plain_peek(plain) != '"') {
        return 0;
    }

    start = plain->p + 1;

    if (!phrony_plain_string(plain)) {
        return 0;
    }

    name.len = (size_t) (plain->p - 1 - start);
    name.data = (unsigned char *) start;

    if (memchr(start, '\\', name.len)
        || !phrony_plain_name_is_new(plain, &name)
        || phrony_plain_peek(plain) != ':')
    {
        return 0;
    }

    plain->p++;

    return plain->depth > 1
           || !phrony_str_eq(&name, &phrony_plain_input)
           || phrony_plain_peek(plain) == '{';
}


static int
phrony_plain_name_is_new(phrony_plain_t *plain, const phrony_str_t *name)
{
    unsigned  i;

    if (plain->nnames == PHRONY_PLAIN_NAMES) {
        return 0;
    }

    for (i = plain->first[plain->depth]; i < plain->nnames; i++) {
        if (phrony_str_eq(&plain->names[i], name)) {
            return 0;
        }
    }

    plain->names[plain->nnames++] = *name;

    return 1;
}


static int
phrony_plain_string(phrony_plain_t *plain)
{
    size_t                len;
    const unsigned char  *p;

    p = plain->p + 1;

    for ( ;; ) {

        p = phrony_plain_ascii(p, plain->last);

        if (p == plain->last) {
            return 0;
        }

        if (*p == '"') {
            plain->p = p + 1;
            return 1;
        }

        len = 0;

        if (*p == '\\') {
            len = phrony_plain_escape(p, plain->last);

        } else if (*p >= 0x80) {
            len = phrony_utf8_length(p, plain->last);
        }

        if (len == 0) {
            return 0;
        }

        p += len;
    }
}


/* Goes past ASCII that may stand in a string as it is. */

static const unsigned char *
phrony_plain_ascii(const unsigned char *p, const unsigned char *last)
{
#if (__SSE2__)

    int      hits;
    __m128i  block, stop;

    for ( ; last - p >= 16; p += 16) {
        block = _mm_loadu_si128((const __m128i *) p);

        /* signed, so that bytes from 0x80 on are less than a space, too */

        stop = _mm_cmplt_epi8(block, _mm_set1_epi8(0x20));
        stop = _mm_or_si128(stop, _mm_cmpeq_epi8(block, _mm_set1_epi8('"')));
        stop = _mm_or_si128(stop, _mm_cmpeq_epi8(block, _mm_set1_epi8('\\')));

        hits = _mm_movemask_epi8(stop);

        if (hits) {
            return p + __builtin_ctz((unsigned) hits);
        }
    }

#endif

    while (p < last && *p >= 0x20 && *p < 0x80 && *p != '"' && *p != '\\') {
        p++;
    }

    return p;
}


/* The length of an escape; 0 for a broken one and for surrogates. */

static size_t
phrony_plain_escape(const unsigned char *p, const unsigned char *last)
{
    size_t         i;
    unsigned char  ch;

    if (last - p < 2) {
        return 0;
    }

    if (p[1] != 'u') {
        return memchr("\"\\/bfnrt", p[1], 8) ? 2 : 0;
    }

    if (last - p < 6) {
        return 0;
    }

    for (i = 2; i < 6; i++) {
        ch = phrony_lower(p[i]);

        if (!((ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'f'))) {
            return 0;
        }
    }

    return (phrony_lower(p[2]) == 'd' && p[3] > '7') ? 0 : 6;
}


static int
phrony_plain_number(phrony_plain_t *plain)
{
    const unsigned char  *start;

    if (plain->p < plain->last && *plain->p == '-') {
        plain->p++;
    }

    start = plain->p;

    if (!phrony_plain_digits(plain)
        || (*start == '0' && plain->p - start > 1))
    {
        return 0;
    }

    if (plain->p < plain->last && *plain->p == '.') {
        plain->p++;

        if (!phrony_plain_digits(plain)) {
            return 0;
        }
    }

    if (plain->p == plain->last || (*plain->p | 0x20) != 'e') {
        return 1;
    }

    plain->p++;

    if (plain->p < plain->last && (*plain->p == '+' || *plain->p == '-')) {
        plain->p++;
    }

    return phrony_plain_digits(plain);
}


/* Goes past digits; returns 0 if there is none. */

static int
phrony_plain_digits(phrony_plain_t *plain)
{
    const unsigned char  *start;

    start = plain->p;

    while (plain->p < plain->last && *plain->p >= '0' && *plain->p <= '9') {
        plain->p++;
    }

    return plain->p > start;
}


static int
phrony_plain_literal(phrony_plain_t *plain, const char *text, size_t len)
{
    if ((size_t) (plain->last - plain->p) < len
        || memcmp(plain->p, text, len) != 0)
    {
        return 0;
    }

    plain->p += len;

    return 1;
}


/* The next byte that is not white space, or -1 at the end. */

static int
phrony_plain_peek(phrony_plain_t *plain)
{
    unsigned char  ch;

    for ( ; plain->p < plain->last; plain->p++) {
        ch = *plain->p;

        if (ch != ' ' && ch != '\n' && ch != '\r' && ch != '\t') {
            return ch;
        }
    }

    return -1;
}
