
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "phrony_outline_pass.h"


static inline const unsigned char *phrony_outline_pass_name(
    phrony_outline_t *outline, const unsigned char *p,
    const unsigned char *last);
static inline const unsigned char *phrony_outline_pass_value(
    phrony_outline_t *outline, const unsigned char *p,
    const unsigned char *last);


const unsigned char  phrony_outline_pass_scalars[256] = {
    ['0' ... '9'] = 1, ['a' ... 'z'] = 1, ['A' ... 'Z'] = 1,
    ['-'] = 1, ['+'] = 1, ['.'] = 1
};


/*
 * Most members are of no interest, are here as a whole, and have no space but
 * one before the name and the value: they are passed without a look at each
 * byte.  Stops before the comma of any other one, or behind the colon of one
 * that is looked for.
 */

const unsigned char *
phrony_outline_pass_members(phrony_outline_t *outline, const unsigned char *p,
    const unsigned char *last)
{
    const unsigned char  *value;

    do {
        value = phrony_outline_pass_name(outline, p, last);

        if (value == NULL) {
            break;
        }

        if (outline->member) {
            outline->state = PHRONY_OUTLINE_VALUE;
            return value;
        }

        p = phrony_outline_pass_value(outline, value, last);

    } while (outline->state == PHRONY_OUTLINE_COMMA);

    return p;
}


/* Returns where the value begins; or NULL if this is not as above. */

static inline const unsigned char *
phrony_outline_pass_name(phrony_outline_t *outline, const unsigned char *p,
    const unsigned char *last)
{
    phrony_str_t          name;
    const unsigned char  *end;

    /* a comma, a space, two quotes, a colon, a space, and a byte more */

    if (last - p < 7 || *p++ != ',') {
        return NULL;
    }

    p += (*p == ' ');

    if (*p++ != '"') {
        return NULL;
    }

    end = phrony_text_plain(p, last);

    if (last - end < 4 || end[0] != '"' || end[1] != ':') {
        return NULL;
    }

    name.len = (size_t) (end - p);
    name.data = (unsigned char *) p;

    phrony_outline_pass_find(outline, &name);

    return end + 2 + (end[2] == ' ');
}


/*
 * Passes a value, or what is here of it.  The state is COMMA again behind it,
 * and VALUE before a further space or what begins no value.
 */

static inline const unsigned char *
phrony_outline_pass_value(phrony_outline_t *outline, const unsigned char *p,
    const unsigned char *last)
{
    if (*p == '"') {
        p = phrony_text_plain(p + 1, last);

        if (p < last && *p == '"') {
            return p + 1;
        }

        outline->state = PHRONY_OUTLINE_STRING;
        return phrony_outline_pass_string(outline, p, last);
    }

    if (phrony_outline_pass_scalars[*p]) {
        outline->state = PHRONY_OUTLINE_SCALAR;
        return phrony_outline_pass_scalar(outline, p + 1, last);
    }

    if ((*p | 0x20) == '{') {
        outline->state = PHRONY_OUTLINE_NESTED;
        outline->brackets.depth = 1;
        return phrony_outline_pass_nested(outline, p + 1, last);
    }

    outline->state = PHRONY_OUTLINE_VALUE;
    return p;
}


const unsigned char *
phrony_outline_pass_scalar(phrony_outline_t *outline, const unsigned char *p,
    const unsigned char *last)
{
    while (p < last && phrony_outline_pass_scalars[*p]) {
        p++;
    }

    if (p < last) {
        outline->state = PHRONY_OUTLINE_COMMA;
    }

    return p;
}


const unsigned char *
phrony_outline_pass_nested(phrony_outline_t *outline, const unsigned char *p,
    const unsigned char *last)
{
    p = phrony_brackets_skip(&outline->brackets, p, last);

    if (outline->brackets.depth == 0) {
        outline->state = PHRONY_OUTLINE_COMMA;
    }

    return p;
}


/* Skips the rest of a string; no escape has a quote but as its second byte. */

const unsigned char *
phrony_outline_pass_string(phrony_outline_t *outline, const unsigned char *p,
    const unsigned char *last)
{
    if (p < last && outline->escape) {
        outline->escape = 0;
        p++;
    }

    for ( ;; ) {

        /* escapes often come in rows */

        while (last - p >= 2 && *p == '\\') {
            p += 2;
        }

        p = phrony_text_plain(p, last);

        if (p == last) {
            return p;
        }

        if (*p++ == '"') {
            outline->state = PHRONY_OUTLINE_COMMA;
            return p;
        }

        if (p == last) {
            outline->escape = 1;
            return p;
        }

        p++;
    }
}
