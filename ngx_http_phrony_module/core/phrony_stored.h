
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef PHRONY_STORED_H_
#define PHRONY_STORED_H_


#include "phrony_str.h"


#define PHRONY_STORED_BODY_MAX  (64 * 1024)
#define PHRONY_STORED_TYPE_MAX  255
#define PHRONY_STORED_HEAD      4       /* bytes */


PHRONY_HIDDEN_BEGIN


/*
 * An answer that is kept to be sent again, packed into one string:
 *
 *     0   2   status, the high byte first
 *     2   2   length of the type, likewise
 *     4       Content-Type; and behind it the body, to the end
 *
 * Type and body are views of bytes that somebody else owns.
 */

typedef struct {
    unsigned      status;       /* 200 to 299 */
    phrony_str_t  type;         /* up to PHRONY_STORED_TYPE_MAX bytes */
    phrony_str_t  body;         /* up to PHRONY_STORED_BODY_MAX bytes */
} phrony_stored_t;


/* Bytes of the packed answer; 0 if it cannot be kept, since it is too long. */

size_t phrony_stored_len(const phrony_stored_t *stored);


/* Writes what phrony_stored_len() has counted, and returns what is behind. */

unsigned char *phrony_stored_pack(unsigned char *p,
    const phrony_stored_t *stored);


/*
 * Takes a packed answer apart, into views of it.  Returns 0, or -1 if it is
 * no such thing; whoever has the bytes from elsewhere finds out here.
 */

int phrony_stored_unpack(phrony_stored_t *stored, const phrony_str_t *packed);


PHRONY_HIDDEN_END


#endif /* PHRONY_STORED_H_ */
