
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef PHRONY_CIDR_H_
#define PHRONY_CIDR_H_


#include "phrony_str.h"


PHRONY_HIDDEN_BEGIN


/*
 * An address in network byte order.  IPv4 is kept as its four bytes; an
 * IPv4-mapped IPv6 address (::ffff:a.b.c.d) is that IPv4 address.
 */

typedef struct {
    unsigned char  len;         /* 4, 16, or 0: not an internet address */
    unsigned char  bytes[16];
} phrony_address_t;


typedef struct {
    unsigned char  len;         /* 4 or 16 */
    unsigned char  prefix;      /* bits, 0 to 32 or 0 to 128 */
    unsigned char  bytes[16];   /* the bits after the prefix are 0 */
} phrony_cidr_t;


/*
 * Makes an address of 4 or 16 raw bytes, folding mapped ones; any other
 * "len" gives one that no block contains.
 */

void phrony_address_set(phrony_address_t *addr, const unsigned char *bytes,
    size_t len);


/*
 * Reads "10.0.0.0/8", "2001:db8::/32" or a single address.  Bits that are set
 * after the prefix are an error, since whoever wrote them meant something
 * else; so is a zone, a leading zero in an octet and white space.  A block
 * inside ::ffff:0:0/96 becomes the IPv4 block that it is.
 * Returns 0, or -1 and leaves "cidr" undefined.
 */

int phrony_cidr_parse(const phrony_str_t *text, phrony_cidr_t *cidr);


/* Returns 1 if one of the "n" blocks contains the address, else 0. */

int phrony_cidr_match(const phrony_cidr_t *cidrs, size_t n,
    const phrony_address_t *addr);


PHRONY_HIDDEN_END


#endif /* PHRONY_CIDR_H_ */
