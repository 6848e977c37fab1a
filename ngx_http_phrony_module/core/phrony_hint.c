
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "phrony_hint.h"

#include <stdio.h>


#define PHRONY_HINT_GROUPS  3       /* of an IPv6 address, that are kept */


static const phrony_str_t  phrony_hint_key = phrony_str("phk_");
static const phrony_str_t  phrony_hint_hidden = phrony_str("phk_***");


static unsigned char *phrony_hint_ipv6(unsigned char *p,
    const unsigned char *bytes);
static const unsigned char *phrony_hint_key_end(const unsigned char *start,
    const unsigned char *last);


unsigned char *
phrony_hint_address(unsigned char *p, const phrony_address_t *address)
{
    char  text[PHRONY_HINT_ADDRESS_LEN + 1];
    int   len;

    if (address->len == 16) {
        return phrony_hint_ipv6(p, address->bytes);
    }

    if (address->len != 4) {
        return p;
    }

    len = snprintf(text, sizeof(text), "%u.%u.%u.0/24", address->bytes[0],
                   address->bytes[1], address->bytes[2]);

    memcpy(p, text, (size_t) len);

    return p + len;
}


/* The zeros of what is cut off are the longest run of them. */

static unsigned char *
phrony_hint_ipv6(unsigned char *p, const unsigned char *bytes)
{
    int       len;
    char      text[sizeof("ffff:")];
    unsigned  i, n, group[PHRONY_HINT_GROUPS];

    n = 0;

    for (i = 0; i < PHRONY_HINT_GROUPS; i++) {
        group[i] = (unsigned) bytes[2 * i] << 8 | bytes[2 * i + 1];

        if (group[i]) {
            n = i + 1;
        }
    }

    for (i = 0; i < n; i++) {
        len = snprintf(text, sizeof(text), i ? ":%x" : "%x", group[i]);

        memcpy(p, text, (size_t) len);
        p += len;
    }

    memcpy(p, "::/48", 5);

    return p + 5;
}


unsigned char *
phrony_hint_agent(unsigned char *p, const phrony_str_t *agent)
{
    size_t                hidden;
    unsigned char        *end;
    const unsigned char  *from, *last, *next;

    from = agent->data;
    last = from + agent->len;
    end = p + PHRONY_HINT_AGENT_LEN;

    while (from < last && p < end) {

        next = phrony_hint_key_end(from, last);

        if (next == from) {
            *p++ = (*from < 0x20 || *from > 0x7e) ? '?' : *from;
            from++;
            continue;
        }

        hidden = phrony_hint_hidden.len;

        if ((size_t) (end - p) < hidden) {
            hidden = (size_t) (end - p);
        }

        memcpy(p, phrony_hint_hidden.data, hidden);

        p += hidden;
        from = next;
    }

    return p;
}


/* Where a key ends that begins here; "start" if none does. */

static const unsigned char *
phrony_hint_key_end(const unsigned char *start, const unsigned char *last)
{
    const unsigned char  *p;

    if ((size_t) (last - start) < phrony_hint_key.len
        || memcmp(start, phrony_hint_key.data, phrony_hint_key.len) != 0)
    {
        return start;
    }

    p = start + phrony_hint_key.len;

    while (p < last && *p > 0x20 && *p < 0x7f && *p != ',') {
        p++;
    }

    return p;
}
