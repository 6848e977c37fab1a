
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "phrony_cidr.h"


#define fuzz_assert(cond)  do { if (!(cond)) { abort(); } } while (0)


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int fuzz_parse(const uint8_t *data, size_t size, phrony_cidr_t *cidr);
static int fuzz_library(const uint8_t *data, size_t size,
    phrony_cidr_t *cidr);
static int fuzz_library_address(const char *text, phrony_cidr_t *cidr);
static int fuzz_library_prefix(const char *text, unsigned max,
    unsigned *prefix);
static void fuzz_library_fold(phrony_cidr_t *cidr);
static unsigned fuzz_bit(const unsigned char *bytes, unsigned bit);
static void fuzz_match(const phrony_cidr_t *cidr);
static void fuzz_round_trip(const phrony_cidr_t *cidr);


/*
 * A block is read exactly if the C library reads its address and the prefix
 * fits it; it contains what differs from it behind the prefix, and no more;
 * written in its usual form it is read as the same.
 */

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int            rc;
    phrony_cidr_t  cidr, want;

    memset(&cidr, 0x5a, sizeof(cidr));
    rc = fuzz_parse(data, size, &cidr);

    fuzz_assert(rc == 0 || rc == -1);
    fuzz_assert(rc == fuzz_library(data, size, &want));

    if (rc != 0) {
        return 0;
    }

    fuzz_assert(cidr.len == want.len && cidr.prefix == want.prefix);
    fuzz_assert(memcmp(cidr.bytes, want.bytes, cidr.len) == 0);

    fuzz_match(&cidr);
    fuzz_round_trip(&cidr);

    return 0;
}


static int
fuzz_parse(const uint8_t *data, size_t size, phrony_cidr_t *cidr)
{
    int           rc;
    phrony_str_t  text;

    text.len = size;
    text.data = NULL;

    if (size) {
        text.data = malloc(size);
        fuzz_assert(text.data != NULL);
        memcpy(text.data, data, size);
    }

    rc = phrony_cidr_parse(&text, cidr);

    free(text.data);

    return rc;
}


/* The contract, put together of what the C library has. */

static int
fuzz_library(const uint8_t *data, size_t size, phrony_cidr_t *cidr)
{
    char      *slash, text[64];
    unsigned   i, prefix;

    if (size >= sizeof(text) || memchr(data, '\0', size) != NULL) {
        return -1;
    }

    memcpy(text, data, size);
    text[size] = '\0';

    slash = strchr(text, '/');

    if (slash) {
        *slash++ = '\0';
    }

    if (fuzz_library_address(text, cidr) != 0) {
        return -1;
    }

    prefix = cidr->len * 8U;

    if (slash && fuzz_library_prefix(slash, prefix, &prefix) != 0) {
        return -1;
    }

    for (i = prefix; i < cidr->len * 8U; i++) {
        if (fuzz_bit(cidr->bytes, i)) {
            return -1;
        }
    }

    cidr->prefix = (unsigned char) prefix;
    fuzz_library_fold(cidr);

    return 0;
}


static int
fuzz_library_address(const char *text, phrony_cidr_t *cidr)
{
    memset(cidr, 0, sizeof(phrony_cidr_t));

    if (inet_pton(AF_INET, text, cidr->bytes) == 1) {
        cidr->len = 4;
        return 0;
    }

    if (inet_pton(AF_INET6, text, cidr->bytes) == 1) {
        cidr->len = 16;
        return 0;
    }

    return -1;
}


/* By writing all that there are. */

static int
fuzz_library_prefix(const char *text, unsigned max, unsigned *prefix)
{
    char      want[16];
    unsigned  i;

    for (i = 0; i <= max; i++) {
        snprintf(want, sizeof(want), "%u", i);

        if (strcmp(text, want) == 0) {
            *prefix = i;
            return 0;
        }
    }

    return -1;
}


static void
fuzz_library_fold(phrony_cidr_t *cidr)
{
    struct in6_addr  addr;

    if (cidr->len != 16 || cidr->prefix < 96) {
        return;
    }

    memcpy(&addr, cidr->bytes, 16);

    if (!IN6_IS_ADDR_V4MAPPED(&addr)) {
        return;
    }

    memcpy(cidr->bytes, (unsigned char *) &addr + 12, 4);
    cidr->len = 4;
    cidr->prefix = (unsigned char) (cidr->prefix - 96);
}


static unsigned
fuzz_bit(const unsigned char *bytes, unsigned bit)
{
    return bytes[bit / 8] >> (7 - bit % 8) & 1;
}


static void
fuzz_match(const phrony_cidr_t *cidr)
{
    int               want;
    unsigned          i;
    unsigned char     bytes[16];
    phrony_address_t  addr;

    memcpy(bytes, cidr->bytes, sizeof(bytes));
    phrony_address_set(&addr, bytes, cidr->len);

    fuzz_assert(addr.len == cidr->len);
    fuzz_assert(phrony_cidr_match(cidr, 1, &addr) == 1);
    fuzz_assert(phrony_cidr_match(cidr, 0, &addr) == 0);

    for (i = 0; i < cidr->len * 8U; i++) {
        bytes[i / 8] ^= (unsigned char) (0x80 >> i % 8);
        phrony_address_set(&addr, bytes, cidr->len);

        /* one bit further may lie the mapped addresses */

        want = (addr.len == cidr->len) && i >= cidr->prefix;
        fuzz_assert(phrony_cidr_match(cidr, 1, &addr) == want);

        bytes[i / 8] ^= (unsigned char) (0x80 >> i % 8);
    }

    phrony_address_set(&addr, bytes, 0);
    fuzz_assert(phrony_cidr_match(cidr, 1, &addr) == 0);
}


static void
fuzz_round_trip(const phrony_cidr_t *cidr)
{
    char           address[INET6_ADDRSTRLEN], text[INET6_ADDRSTRLEN + 8];
    phrony_cidr_t  again;

    fuzz_assert(inet_ntop(cidr->len == 4 ? AF_INET : AF_INET6, cidr->bytes,
                          address, sizeof(address)) != NULL);

    snprintf(text, sizeof(text), "%s/%u", address, cidr->prefix);

    fuzz_assert(fuzz_parse((uint8_t *) text, strlen(text), &again) == 0);
    fuzz_assert(again.len == cidr->len && again.prefix == cidr->prefix);
    fuzz_assert(memcmp(again.bytes, cidr->bytes, cidr->len) == 0);
}
