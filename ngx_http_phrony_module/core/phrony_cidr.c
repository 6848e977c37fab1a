
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "phrony_cidr.h"


#define PHRONY_CIDR_V4_LEN     4
#define PHRONY_CIDR_V6_LEN     16
#define PHRONY_CIDR_MAPPED     12    /* bytes before a mapped address */
#define PHRONY_CIDR_GROUP      2     /* bytes in a group of an IPv6 address */


/* Where a text is read; the readers move "p" behind what they took. */

typedef struct {
    const unsigned char  *p;
    const unsigned char  *last;
} phrony_cidr_text_t;


static int phrony_cidr_read_address(phrony_cidr_text_t *text,
    phrony_cidr_t *cidr);
static int phrony_cidr_read_v4(phrony_cidr_text_t *text,
    unsigned char *bytes);
static int phrony_cidr_read_v6(phrony_cidr_text_t *text,
    unsigned char *bytes);
static int phrony_cidr_read_colon(phrony_cidr_text_t *text, size_t n,
    int *gap);
static int phrony_cidr_expand(unsigned char *bytes, size_t n, int gap);
static int phrony_cidr_read_group(phrony_cidr_text_t *text, unsigned *group);
static int phrony_cidr_is_dotted(const phrony_cidr_text_t *text);
static int phrony_cidr_read_number(phrony_cidr_text_t *text, unsigned max,
    unsigned *number);
static int phrony_cidr_hex(unsigned char ch);
static int phrony_cidr_is_clean(const phrony_cidr_t *cidr);
static void phrony_cidr_fold(phrony_cidr_t *cidr);
static int phrony_cidr_contains(const phrony_cidr_t *cidr,
    const phrony_address_t *addr);


static const unsigned char  phrony_cidr_mapped[PHRONY_CIDR_MAPPED] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff
};


void
phrony_address_set(phrony_address_t *addr, const unsigned char *bytes,
    size_t len)
{
    memset(addr, 0, sizeof(phrony_address_t));

    if (len == PHRONY_CIDR_V6_LEN
        && memcmp(bytes, phrony_cidr_mapped, PHRONY_CIDR_MAPPED) == 0)
    {
        bytes += PHRONY_CIDR_MAPPED;
        len = PHRONY_CIDR_V4_LEN;
    }

    if (len != PHRONY_CIDR_V4_LEN && len != PHRONY_CIDR_V6_LEN) {
        return;
    }

    addr->len = (unsigned char) len;
    memcpy(addr->bytes, bytes, len);
}


int
phrony_cidr_parse(const phrony_str_t *text, phrony_cidr_t *cidr)
{
    unsigned            prefix;
    phrony_cidr_text_t  rest;

    if (text->len == 0) {
        return -1;
    }

    rest.p = text->data;
    rest.last = text->data + text->len;

    memset(cidr, 0, sizeof(phrony_cidr_t));

    if (phrony_cidr_read_address(&rest, cidr) != 0) {
        return -1;
    }

    prefix = cidr->len * 8U;

    if (rest.p < rest.last) {

        if (*rest.p++ != '/') {
            return -1;
        }

        if (phrony_cidr_read_number(&rest, prefix, &prefix) != 0
            || rest.p < rest.last)
        {
            return -1;
        }
    }

    cidr->prefix = (unsigned char) prefix;

    if (!phrony_cidr_is_clean(cidr)) {
        return -1;
    }

    phrony_cidr_fold(cidr);

    return 0;
}


int
phrony_cidr_match(const phrony_cidr_t *cidrs, size_t n,
    const phrony_address_t *addr)
{
    size_t  i;

    if (addr->len == 0) {
        return 0;
    }

    for (i = 0; i < n; i++) {
        if (phrony_cidr_contains(&cidrs[i], addr)) {
            return 1;
        }
    }

    return 0;
}


static int
phrony_cidr_read_address(phrony_cidr_text_t *text, phrony_cidr_t *cidr)
{
    if (phrony_cidr_is_dotted(text)) {
        cidr->len = PHRONY_CIDR_V4_LEN;
        return phrony_cidr_read_v4(text, cidr->bytes);
    }

    cidr->len = PHRONY_CIDR_V6_LEN;

    return phrony_cidr_read_v6(text, cidr->bytes);
}


static int
phrony_cidr_read_v4(phrony_cidr_text_t *text, unsigned char *bytes)
{
    unsigned  i, octet;

    for (i = 0; i < PHRONY_CIDR_V4_LEN; i++) {

        if (i > 0 && (text->p == text->last || *text->p++ != '.')) {
            return -1;
        }

        if (phrony_cidr_read_number(text, 255, &octet) != 0) {
            return -1;
        }

        bytes[i] = (unsigned char) octet;
    }

    return 0;
}


/*
 * RFC 4291, 2.2: eight groups, of which one "::" may leave out one or more;
 * the last two may be written as an IPv4 address.
 */

static int
phrony_cidr_read_v6(phrony_cidr_text_t *text, unsigned char *bytes)
{
    int       rc, gap;
    size_t    n;
    unsigned  group;

    gap = -1;

    for (n = 0; n < PHRONY_CIDR_V6_LEN; n += PHRONY_CIDR_GROUP) {

        rc = phrony_cidr_read_colon(text, n, &gap);

        if (rc < 0) {
            return -1;
        }

        if (rc == 0) {
            break;
        }

        if (n <= PHRONY_CIDR_MAPPED && phrony_cidr_is_dotted(text)) {

            if (phrony_cidr_read_v4(text, bytes + n) != 0) {
                return -1;
            }

            n += PHRONY_CIDR_V4_LEN;
            break;
        }

        if (phrony_cidr_read_group(text, &group) != 0) {
            return -1;
        }

        bytes[n] = (unsigned char) (group >> 8);
        bytes[n + 1] = (unsigned char) (group & 0xff);
    }

    return phrony_cidr_expand(bytes, n, gap);
}


/*
 * Reads what stands before the group that begins at byte "n".  Returns 1 if a
 * group must follow, 0 if the address ends here, -1 if it is broken.  "gap"
 * becomes the byte at which "::" left out zeros; it is -1 before.
 */

static int
phrony_cidr_read_colon(phrony_cidr_text_t *text, size_t n, int *gap)
{
    if (*gap < 0 && text->last - text->p >= 2
        && text->p[0] == ':' && text->p[1] == ':')
    {
        text->p += 2;
        *gap = (int) n;

        return text->p < text->last && *text->p != '/';
    }

    if (n == 0) {
        return 1;
    }

    if (text->p == text->last || *text->p == '/') {
        return 0;
    }

    return (*text->p++ == ':') ? 1 : -1;
}


/* Moves what was read behind the gap to the end.  "n" bytes were read. */

static int
phrony_cidr_expand(unsigned char *bytes, size_t n, int gap)
{
    size_t  head, tail;

    if (gap < 0) {
        return (n == PHRONY_CIDR_V6_LEN) ? 0 : -1;
    }

    if (n >= PHRONY_CIDR_V6_LEN) {
        return -1;
    }

    head = (size_t) gap;
    tail = n - head;

    memmove(bytes + PHRONY_CIDR_V6_LEN - tail, bytes + head, tail);
    memset(bytes + head, 0, PHRONY_CIDR_V6_LEN - n);

    return 0;
}


/* One to four hexadecimal digits. */

static int
phrony_cidr_read_group(phrony_cidr_text_t *text, unsigned *group)
{
    int       digit;
    unsigned  n;

    *group = 0;

    for (n = 0; n < 4 && text->p < text->last; n++) {
        digit = phrony_cidr_hex(*text->p);

        if (digit < 0) {
            break;
        }

        *group = *group << 4 | (unsigned) digit;
        text->p++;
    }

    return (n > 0) ? 0 : -1;
}


/* Returns 1 if decimal digits and a dot come next: an IPv4 address. */

static int
phrony_cidr_is_dotted(const phrony_cidr_text_t *text)
{
    const unsigned char  *p;

    p = text->p;

    while (p < text->last && *p >= '0' && *p <= '9') {
        p++;
    }

    return p > text->p && p < text->last && *p == '.';
}


/* A decimal number without leading zeros, "max" at most. */

static int
phrony_cidr_read_number(phrony_cidr_text_t *text, unsigned max,
    unsigned *number)
{
    unsigned              n;
    const unsigned char  *start;

    n = 0;
    start = text->p;

    while (text->p < text->last && *text->p >= '0' && *text->p <= '9') {
        n = n * 10 + (unsigned) (*text->p++ - '0');

        if (n > max) {
            return -1;
        }
    }

    if (text->p == start || (*start == '0' && text->p - start > 1)) {
        return -1;
    }

    *number = n;

    return 0;
}


static int
phrony_cidr_hex(unsigned char ch)
{
    if (ch >= '0' && ch <= '9') {
        return ch - '0';
    }

    ch = phrony_lower(ch);

    if (ch >= 'a' && ch <= 'f') {
        return ch - 'a' + 10;
    }

    return -1;
}


/* Returns 1 if the bits after the prefix are 0. */

static int
phrony_cidr_is_clean(const phrony_cidr_t *cidr)
{
    size_t    i;
    unsigned  bits;

    i = cidr->prefix / 8;
    bits = cidr->prefix % 8;

    if (bits) {
        if (cidr->bytes[i++] & (0xff >> bits)) {
            return 0;
        }
    }

    for ( /* void */ ; i < cidr->len; i++) {
        if (cidr->bytes[i]) {
            return 0;
        }
    }

    return 1;
}


/*
 * A block of mapped addresses becomes the block of IPv4 addresses.  As no bit
 * is set after the prefix, that of such a block is 96 or more.
 */

static void
phrony_cidr_fold(phrony_cidr_t *cidr)
{
    if (cidr->len != PHRONY_CIDR_V6_LEN
        || memcmp(cidr->bytes, phrony_cidr_mapped, PHRONY_CIDR_MAPPED) != 0)
    {
        return;
    }

    memmove(cidr->bytes, cidr->bytes + PHRONY_CIDR_MAPPED,
            PHRONY_CIDR_V4_LEN);
    memset(cidr->bytes + PHRONY_CIDR_V4_LEN, 0, PHRONY_CIDR_MAPPED);

    cidr->len = PHRONY_CIDR_V4_LEN;
    cidr->prefix = (unsigned char) (cidr->prefix - PHRONY_CIDR_MAPPED * 8);
}


static int
phrony_cidr_contains(const phrony_cidr_t *cidr, const phrony_address_t *addr)
{
    size_t    n;
    unsigned  bits;

    if (cidr->len != addr->len) {
        return 0;
    }

    n = cidr->prefix / 8;
    bits = cidr->prefix % 8;

    if (memcmp(cidr->bytes, addr->bytes, n) != 0) {
        return 0;
    }

    if (bits == 0) {
        return 1;
    }

    return ((cidr->bytes[n] ^ addr->bytes[n]) >> (8 - bits)) == 0;
}
