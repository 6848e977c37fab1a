
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef PHRONY_BRACKETS_H_
#define PHRONY_BRACKETS_H_


#include "phrony_str.h"


PHRONY_HIDDEN_BEGIN


/* Where in a JSON array or object one stopped. */

typedef struct {
    size_t         depth;       /* brackets that are open, of either kind */
    unsigned char  string;      /* 1: in a string */
    unsigned char  escape;      /* 1: behind a backslash in it */
} phrony_brackets_t;


/*
 * Goes through the inside of a JSON array or object, past its strings and
 * counting in "depth" the brackets that are open, which must be 1 at least.
 * Returns where it stopped: behind the bracket that made "depth" 0, or at
 * "last", to go on with the next piece.  Pieces may be cut anywhere.
 */

const unsigned char *phrony_brackets_skip(phrony_brackets_t *brackets,
    const unsigned char *p, const unsigned char *last);


PHRONY_HIDDEN_END


#endif /* PHRONY_BRACKETS_H_ */
