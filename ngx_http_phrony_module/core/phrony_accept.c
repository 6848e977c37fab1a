
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "phrony_accept.h"


static void phrony_accept_range(phrony_accept_t *accept,
    const unsigned char *p, const unsigned char *last);
static int phrony_accept_rank(const phrony_str_t *range,
    const phrony_str_t *type);
static int phrony_accept_weight(const unsigned char *p,
    const unsigned char *last);
static int phrony_accept_number(const phrony_str_t *text);
static const unsigned char *phrony_accept_part(const unsigned char *p,
    const unsigned char *last, unsigned char end);
static phrony_str_t phrony_accept_trim(const unsigned char *p,
    const unsigned char *last);


void
phrony_accept_init(phrony_accept_t *accept, const phrony_str_t *types,
    unsigned ntypes)
{
    memset(accept, 0, sizeof(*accept));

    accept->types = types;
    accept->ntypes = ntypes;
    accept->empty = 1;
}


void
phrony_accept_read(phrony_accept_t *accept, const phrony_str_t *value)
{
    const unsigned char  *p, *end, *last;

    p = value->data;
    last = p + value->len;

    while (p < last) {
        end = phrony_accept_part(p, last, ',');

        phrony_accept_range(accept, p, end);

        p = end + 1;
    }
}


static void
phrony_accept_range(phrony_accept_t *accept, const unsigned char *p,
    const unsigned char *last)
{
    int                   rank, weight;
    unsigned              i;
    phrony_str_t          range;
    const unsigned char  *end;

    end = phrony_accept_part(p, last, ';');
    range = phrony_accept_trim(p, end);

    if (range.len == 0) {
        return;
    }

    accept->empty = 0;
    weight = phrony_accept_weight(end, last);

    for (i = 0; i < accept->ntypes; i++) {
        rank = phrony_accept_rank(&range, &accept->types[i]);

        if (rank == 0 || rank < accept->ranks[i]) {
            continue;
        }

        /* the same range twice, say with versions: whatever is better */

        if (rank > accept->ranks[i] || weight > accept->weights[i]) {
            accept->ranks[i] = rank;
            accept->weights[i] = weight;
        }
    }
}


/* How exactly the range names the type: 3, 2 for "text/", 1; 0: not at all. */

static int
phrony_accept_rank(const phrony_str_t *range, const phrony_str_t *type)
{
    phrony_str_t  head;

    if (range->len == 3 && memcmp(range->data, "*/*", 3) == 0) {
        return 1;
    }

    if (phrony_str_eq_nocase(range, type)) {
        return 3;
    }

    if (range->len < 3
        || range->len > type->len
        || memcmp(range->data + range->len - 2, "/*", 2) != 0)
    {
        return 0;
    }

    head.data = type->data;
    head.len = range->len - 1;

    return head.data[head.len - 1] == '/'
           && phrony_str_eq_nocase(&head, &(phrony_str_t)
                                   { range->len - 1, range->data })
           ? 2 : 0;
}


/* Thousandths, from the parameters that follow a range. */

static int
phrony_accept_weight(const unsigned char *p, const unsigned char *last)
{
    phrony_str_t          part;
    const unsigned char  *end;

    while (p < last) {
        end = phrony_accept_part(p + 1, last, ';');
        part = phrony_accept_trim(p + 1, end);

        if (part.len >= 2 && phrony_lower(part.data[0]) == 'q'
            && part.data[1] == '=')
        {
            part.data += 2;
            part.len -= 2;

            return phrony_accept_number(&part);
        }

        p = end;
    }

    return 1000;
}


/* "0", "1", "0.5", "0.123"; anything else is 0: it is not relied on. */

static int
phrony_accept_number(const phrony_str_t *text)
{
    int     n, unit;
    size_t  i;

    if (text->len == 0 || text->len > 5
        || (text->data[0] != '0' && text->data[0] != '1')
        || (text->len > 1 && text->data[1] != '.'))
    {
        return 0;
    }

    n = (text->data[0] - '0') * 1000;
    unit = 100;

    for (i = 2; i < text->len; i++) {

        if (text->data[i] < '0' || text->data[i] > '9') {
            return 0;
        }

        n += (text->data[i] - '0') * unit;
        unit /= 10;
    }

    return (n <= 1000) ? n : 0;
}


/* Where "end" stands, but not within quotes; or "last". */

static const unsigned char *
phrony_accept_part(const unsigned char *p, const unsigned char *last,
    unsigned char end)
{
    int  quoted;

    for (quoted = 0; p < last; p++) {

        if (*p == '"') {
            quoted = !quoted;

        } else if (quoted && *p == '\\' && last - p > 1) {
            p++;

        } else if (!quoted && *p == end) {
            break;
        }
    }

    return p;
}


static phrony_str_t
phrony_accept_trim(const unsigned char *p, const unsigned char *last)
{
    phrony_str_t  part;

    while (p < last && (*p == ' ' || *p == '\t')) {
        p++;
    }

    while (p < last && (last[-1] == ' ' || last[-1] == '\t')) {
        last--;
    }

    part.data = (unsigned char *) p;
    part.len = (size_t) (last - p);

    return part;
}


int
phrony_accept_best(const phrony_accept_t *accept)
{
    int       best;
    unsigned  i;

    if (accept->empty) {
        return 0;
    }

    best = -1;

    for (i = 0; i < accept->ntypes; i++) {

        if (accept->weights[i] == 0) {
            continue;
        }

        if (best < 0
            || accept->weights[i] > accept->weights[best]
            || (accept->weights[i] == accept->weights[best]
                && accept->ranks[i] > accept->ranks[best]))
        {
            best = (int) i;
        }
    }

    return best;
}
