
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "phrony_resp_quick.h"


#define PHRONY_RESP_QUICK_DIGITS  18        /* fit into 63 bits */


static const unsigned char *phrony_resp_quick_status(
    phrony_resp_quick_t *quick, const unsigned char *p,
    const unsigned char *last);
static const unsigned char *phrony_resp_quick_array(
    phrony_resp_quick_t *quick, const unsigned char *p,
    const unsigned char *last, size_t limit);
static const unsigned char *phrony_resp_quick_integer(const unsigned char *p,
    const unsigned char *last, int64_t *integer);


size_t
phrony_resp_quick(phrony_resp_quick_t *quick, const unsigned char *bytes,
    size_t len, size_t limit)
{
    const unsigned char  *p, *last;

    p = NULL;
    last = bytes + len;

    if (len > 0 && bytes[0] == '*') {
        p = phrony_resp_quick_array(quick, bytes + 1, last, limit);

    } else if (len > 0 && bytes[0] == '+') {
        p = phrony_resp_quick_status(quick, bytes + 1, last);

    } else if (len > 0 && bytes[0] == ':') {
        quick->root.type = PHRONY_RESP_INTEGER;
        p = phrony_resp_quick_integer(bytes + 1, last, &quick->root.integer);
    }

    return p ? (size_t) (p - bytes) : 0;
}


static const unsigned char *
phrony_resp_quick_status(phrony_resp_quick_t *quick, const unsigned char *p,
    const unsigned char *last)
{
    size_t  n, max;

    max = (size_t) (last - p);

    if (max > PHRONY_RESP_QUICK_TEXT) {
        max = PHRONY_RESP_QUICK_TEXT;
    }

    for (n = 0; n < max && p[n] != '\r' && p[n] != '\n'; n++) {
        quick->text[n] = p[n];
    }

    /* where there was no room for the NUL, there is none for the CRLF */

    if (n + 2 > max || p[n] != '\r' || p[n + 1] != '\n') {
        return NULL;
    }

    quick->text[n] = '\0';

    quick->root.type = PHRONY_RESP_STATUS;
    quick->root.str.data = quick->text;
    quick->root.str.len = n;

    return p + n + 2;
}


static const unsigned char *
phrony_resp_quick_array(phrony_resp_quick_t *quick, const unsigned char *p,
    const unsigned char *last, size_t limit)
{
    size_t          i;
    int64_t         n;
    phrony_resp_t  *element;

    p = phrony_resp_quick_integer(p, last, &n);

    if (p == NULL
        || n < 0
        || n > PHRONY_RESP_QUICK_ELEMENTS
        || (size_t) n > limit)
    {
        return NULL;
    }

    for (i = 0; i < (size_t) n; i++) {

        if (p == last || *p != ':') {
            return NULL;
        }

        element = &quick->elements[i];

        p = phrony_resp_quick_integer(p + 1, last, &element->integer);

        if (p == NULL) {
            return NULL;
        }

        element->type = PHRONY_RESP_INTEGER;
    }

    quick->root.type = PHRONY_RESP_ARRAY;
    quick->root.elements = quick->elements;
    quick->root.n = (size_t) n;

    return p;
}


/* Up to and with its CRLF; NULL if it is not whole, or too long, or odd. */

static const unsigned char *
phrony_resp_quick_integer(const unsigned char *p, const unsigned char *last,
    int64_t *integer)
{
    int                   negative;
    int64_t               n;
    const unsigned char  *first;

    negative = (p < last && *p == '-');
    p += negative;

    n = 0;
    first = p;

    while (p < last && *p >= '0' && *p <= '9') {

        if (p - first == PHRONY_RESP_QUICK_DIGITS) {
            return NULL;
        }

        n = n * 10 + (*p++ - '0');
    }

    if (p == first
        || (*first == '0' && (negative || p - first > 1))
        || last - p < 2
        || p[0] != '\r'
        || p[1] != '\n')
    {
        return NULL;
    }

    *integer = negative ? -n : n;

    return p + 2;
}
