
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include <stdlib.h>

#include "phrony_json.h"


#define PHRONY_JSON_UNIT_LEN  6           /* \uXXXX */
#define PHRONY_JSON_PLANE_1   0x10000     /* the first of four UTF-8 bytes */
#define PHRONY_JSON_PLANES    0x100000    /* code points from there on */


static phrony_json_kind_t phrony_json_string(phrony_json_token_t *token);
static size_t phrony_json_escape(const unsigned char *p, size_t len);
static int32_t phrony_json_unit(const unsigned char *p, size_t len);
static phrony_json_kind_t phrony_json_number(phrony_json_token_t *token);
static size_t phrony_json_digits(phrony_json_token_t *token);
static phrony_json_kind_t phrony_json_word(phrony_json_token_t *token);
static int phrony_json_replace_nul(const phrony_json_token_t *token,
    unsigned char *copy, unsigned char *code);
static int phrony_json_unused(const unsigned char *data, size_t len,
    unsigned char *code);
static uint32_t phrony_json_point(const unsigned char *p, size_t len);
static uint32_t phrony_json_pair(const unsigned char *p, size_t len);


void
phrony_json_init(phrony_json_token_t *token, const unsigned char *data,
    size_t len)
{
    token->data = data;
    token->len = len;
    token->start = 0;
    token->end = 0;
    token->bad = PHRONY_JSON_NOWHERE;
}


phrony_json_kind_t
phrony_json_next(phrony_json_token_t *token)
{
    size_t         pos;
    unsigned char  ch;

    token->bad = PHRONY_JSON_NOWHERE;

    for (pos = token->end, ch = '\0'; pos < token->len; pos++) {
        ch = token->data[pos];

        if (ch != ' ' && ch != '\n' && ch != '\r' && ch != '\t') {
            break;
        }
    }

    token->start = pos;
    token->end = pos;

    if (pos == token->len) {
        return PHRONY_JSON_END;
    }

    if (ch == '-' || (ch >= '0' && ch <= '9')) {
        return phrony_json_number(token);
    }

    token->end++;

    switch (ch) {

    case '"':
        return phrony_json_string(token);

    case '[':
    case '{':
        return PHRONY_JSON_OPEN;

    case ']':
    case '}':
        return PHRONY_JSON_CLOSE;

    default:
        return phrony_json_word(token);
    }
}


static phrony_json_kind_t
phrony_json_string(phrony_json_token_t *token)
{
    size_t         len;
    unsigned char  ch;

    while (token->end < token->len) {
        ch = token->data[token->end];

        if (ch == '"') {
            token->end++;
            break;
        }

        len = ch >= 0x20;

        if (ch == '\\') {
            len = phrony_json_escape(token->data + token->end,
                                     token->len - token->end);
        }

        if (len == 0 && token->bad == PHRONY_JSON_NOWHERE) {
            token->bad = token->end;
        }

        token->end += len ? len : 1;
    }

    return PHRONY_JSON_STRING;
}


/* Returns the length of an escape, a surrogate pair being one; 0: broken. */

static size_t
phrony_json_escape(const unsigned char *p, size_t len)
{
    int32_t  unit;

    if (len < 2) {
        return 0;
    }

    if (p[1] != 'u') {
        return memchr("\"\\/bfnrt", p[1], 8) ? 2 : 0;
    }

    if (phrony_json_pair(p, len) < PHRONY_JSON_PLANES) {
        return 2 * PHRONY_JSON_UNIT_LEN;
    }

    unit = phrony_json_unit(p, len);

    if (unit < 0 || (unit & 0xf800) == 0xd800) {
        return 0;
    }

    return PHRONY_JSON_UNIT_LEN;
}


/* The UTF-16 code unit of \uXXXX, -1 if it is not one. */

static int32_t
phrony_json_unit(const unsigned char *p, size_t len)
{
    size_t         i;
    int32_t        unit;
    unsigned char  ch;

    if (len < PHRONY_JSON_UNIT_LEN || p[0] != '\\' || p[1] != 'u') {
        return -1;
    }

    unit = 0;

    for (i = 2; i < PHRONY_JSON_UNIT_LEN; i++) {
        ch = phrony_lower(p[i]);

        if (ch >= '0' && ch <= '9') {
            unit = unit * 16 + (ch - '0');

        } else if (ch >= 'a' && ch <= 'f') {
            unit = unit * 16 + (ch - 'a' + 10);

        } else {
            return -1;
        }
    }

    return unit;
}


/* A number that is not valid ends where the grammar is left. */

static phrony_json_kind_t
phrony_json_number(phrony_json_token_t *token)
{
    size_t                zero;
    const unsigned char  *p;

    p = token->data;

    if (p[token->end] == '-') {
        token->end++;
    }

    zero = (token->end < token->len && p[token->end] == '0');

    switch (phrony_json_digits(token)) {

    case 0:
        return PHRONY_JSON_OTHER;

    case 1:
        break;

    default:
        if (zero) {
            return PHRONY_JSON_OTHER;
        }
    }

    if (token->end < token->len && p[token->end] == '.') {
        token->end++;

        if (phrony_json_digits(token) == 0) {
            return PHRONY_JSON_OTHER;
        }
    }

    if (token->end == token->len || (p[token->end] | 0x20) != 'e') {
        return PHRONY_JSON_NUMBER;
    }

    token->end++;

    if (token->end < token->len
        && (p[token->end] == '+' || p[token->end] == '-'))
    {
        token->end++;
    }

    return phrony_json_digits(token) ? PHRONY_JSON_NUMBER : PHRONY_JSON_OTHER;
}


/* Goes past digits and returns how many there were. */

static size_t
phrony_json_digits(phrony_json_token_t *token)
{
    size_t  start;

    for (start = token->end; token->end < token->len; token->end++) {
        if (token->data[token->end] < '0' || token->data[token->end] > '9') {
            break;
        }
    }

    return token->end - start;
}


/* A word of ASCII letters, or one character of anything else. */

static phrony_json_kind_t
phrony_json_word(phrony_json_token_t *token)
{
    int            word;
    unsigned char  ch;

    ch = phrony_lower(token->data[token->start]);
    word = (ch >= 'a' && ch <= 'z');

    for ( ; token->end < token->len; token->end++) {
        ch = phrony_lower(token->data[token->end]);

        if (word ? ch < 'a' || ch > 'z' : (ch & 0xc0) != 0x80) {
            break;
        }
    }

    return PHRONY_JSON_OTHER;
}


int
phrony_json_simplify(const unsigned char *data, size_t len,
    unsigned char *copy)
{
    unsigned char        code[PHRONY_JSON_UNIT_LEN];
    phrony_json_kind_t   kind;
    phrony_json_token_t  token;

    memcpy(copy, data, len);

    code[0] = '\0';

    phrony_json_init(&token, data, len);

    do {
        kind = phrony_json_next(&token);

        if (kind == PHRONY_JSON_NUMBER) {
            memset(copy + token.start, ' ', token.end - token.start);
            copy[token.start] = '0';
        }

        if (kind == PHRONY_JSON_STRING
            && phrony_json_replace_nul(&token, copy, code) != 0)
        {
            return -1;
        }

    } while (kind != PHRONY_JSON_END);

    return 0;
}


/* Replaces each \u0000 of a string by "code", which is found when needed. */

static int
phrony_json_replace_nul(const phrony_json_token_t *token,
    unsigned char *copy, unsigned char *code)
{
    size_t                left;
    const unsigned char  *p, *last;

    last = token->data + token->end;

    for (p = token->data + token->start; p < last; p += 2) {
        p = memchr(p, '\\', (size_t) (last - p));

        if (p == NULL) {
            break;
        }

        left = (size_t) (last - p);

        if (phrony_json_unit(p, left) != 0) {

            if (left < 2) {
                break;
            }

            continue;
        }

        if (code[0] == '\0'
            && phrony_json_unused(token->data, token->len, code) != 0)
        {
            return -1;
        }

        memcpy(copy + (p - token->data), code, PHRONY_JSON_UNIT_LEN);
    }

    return 0;
}


/*
 * Finds a character of four bytes that does not occur in the text, neither
 * as such nor escaped, and writes it with two zeros behind it: as long as
 * \u0000, and no two names that differ become the same.  All are in use only
 * in texts of more than 4 MB that were made for it; then the last one has to
 * do.  Returns 0, or -1 if there is no memory.
 */

static int
phrony_json_unused(const unsigned char *data, size_t len,
    unsigned char *code)
{
    size_t          i;
    uint32_t        point;
    unsigned char  *used;

    used = calloc(PHRONY_JSON_PLANES / 8, 1);

    if (used == NULL) {
        return -1;
    }

    for (i = 0; i < len; i++) {
        point = phrony_json_point(data + i, len - i);

        if (point < PHRONY_JSON_PLANES) {
            used[point / 8] |= (unsigned char) (1 << point % 8);
        }
    }

    for (point = 0; point < PHRONY_JSON_PLANES - 1; point++) {
        if ((used[point / 8] & (1 << point % 8)) == 0) {
            break;
        }
    }

    free(used);

    point += PHRONY_JSON_PLANE_1;

    code[0] = (unsigned char) (0xf0 | (point >> 18));
    code[1] = (unsigned char) (0x80 | ((point >> 12) & 0x3f));
    code[2] = (unsigned char) (0x80 | ((point >> 6) & 0x3f));
    code[3] = (unsigned char) (0x80 | (point & 0x3f));
    code[4] = '0';
    code[5] = '0';

    return 0;
}


/*
 * The character from 0x10000 on, less this, that begins here in four bytes
 * or as a pair of escapes; if there is none, PHRONY_JSON_PLANES or more.
 */

static uint32_t
phrony_json_point(const unsigned char *p, size_t len)
{
    uint32_t  point;

    if (p[0] == '\\') {
        return phrony_json_pair(p, len);
    }

    if (p[0] < 0xf0 || len < 4) {
        return PHRONY_JSON_PLANES;
    }

    point = (uint32_t) ((p[0] & 0x07) << 18 | (p[1] & 0x3f) << 12
                        | (p[2] & 0x3f) << 6 | (p[3] & 0x3f));

    return point - PHRONY_JSON_PLANE_1;
}


/* The same for a surrogate pair, \uXXXX\uXXXX. */

static uint32_t
phrony_json_pair(const unsigned char *p, size_t len)
{
    int32_t  high, low;

    high = phrony_json_unit(p, len);

    if ((high & ~0x3ff) != 0xd800) {
        return PHRONY_JSON_PLANES;
    }

    low = phrony_json_unit(p + PHRONY_JSON_UNIT_LEN,
                           len - PHRONY_JSON_UNIT_LEN);

    if ((low & ~0x3ff) != 0xdc00) {
        return PHRONY_JSON_PLANES;
    }

    return (uint32_t) ((high & 0x3ff) << 10 | (low & 0x3ff));
}
