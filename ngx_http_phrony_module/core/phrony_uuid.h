
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef PHRONY_UUID_H_
#define PHRONY_UUID_H_


#include "phrony_str.h"


#define PHRONY_UUID_LEN       16   /* bytes */
#define PHRONY_UUID_TEXT_LEN  36   /* characters, 8-4-4-4-12 */


PHRONY_HIDDEN_BEGIN


/* The sixteen bytes of a UUID in the order of its text (RFC 9562). */

typedef struct {
    unsigned char  bytes[PHRONY_UUID_LEN];
} phrony_uuid_t;


/*
 * Reads the text form 8-4-4-4-12, hexadecimal digits of either or mixed case,
 * any version and variant.  "text" must be exactly 36 characters long.
 * Returns 0 and fills "uuid", or -1 and leaves it as it was.
 */

int phrony_uuid_parse(const phrony_str_t *text, phrony_uuid_t *uuid);


/*
 * Writes the 36 characters of the text form in lower case, without a NUL.
 * "buf" has room for PHRONY_UUID_TEXT_LEN bytes.  Returns buf + 36.
 */

unsigned char *phrony_uuid_format(unsigned char *buf,
    const phrony_uuid_t *uuid);


/*
 * A hash of the sixteen bytes for a table in memory.  UUIDs of versions 1, 6
 * and 7 share long prefixes, so every bit of the input is mixed; "seed" keeps
 * whoever picks ids from aiming at one bucket.
 */

uint64_t phrony_uuid_hash(const phrony_uuid_t *uuid, uint64_t seed);


static inline int
phrony_uuid_eq(const phrony_uuid_t *a, const phrony_uuid_t *b)
{
    return memcmp(a->bytes, b->bytes, PHRONY_UUID_LEN) == 0;
}


/* Returns 1 for the nil UUID, all of whose bits are zero (RFC 9562). */

static inline int
phrony_uuid_nil(const phrony_uuid_t *uuid)
{
    uint64_t  half[2];

    memcpy(half, uuid->bytes, PHRONY_UUID_LEN);

    return (half[0] | half[1]) == 0;
}


PHRONY_HIDDEN_END


#endif /* PHRONY_UUID_H_ */
