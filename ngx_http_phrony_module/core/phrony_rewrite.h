
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef PHRONY_REWRITE_H_
#define PHRONY_REWRITE_H_


#include "phrony_outline.h"


PHRONY_HIDDEN_BEGIN


/*
 * Sets the top-level member "duplicateDelivery" of a JSON object to true while
 * the object passes by in pieces of any size, without keeping it: each value
 * of a member of that name is replaced, or else the member is put in before
 * the last "}".  Every other byte stays, white space included.
 *
 * What is no object passes as it is; so does what follows the place where an
 * object is found broken.  As in phrony_outline_t, what is proved is the
 * outer structure alone.
 */

typedef struct {
    phrony_outline_t     outline;
    const phrony_str_t  *insert;        /* comes next, or NULL */
    unsigned             found:1;       /* the member was there */
    unsigned             dropping:1;    /* in a value that is replaced */
} phrony_rewrite_t;


typedef enum {
    PHRONY_REWRITE_UNKNOWN = 0, /* nothing came but white space */
    PHRONY_REWRITE_OBJECT,      /* it began as an object */
    PHRONY_REWRITE_OTHER        /* it is anything else, and passes */
} phrony_rewrite_kind_t;


typedef enum {
    PHRONY_REWRITE_MORE = 0,    /* the piece is used up */
    PHRONY_REWRITE_PIECE        /* "out" is what comes next */
} phrony_rewrite_rc_t;


/* Makes ready for the first byte of an answer. */

void phrony_rewrite_init(phrony_rewrite_t *rewrite);


/*
 * Takes from "in" up to the end of the next segment of the new text, and
 * leaves in it what is to be given to the next call.  On PIECE, "out" is a
 * segment, never empty: a view either of the piece or of a constant; there
 * may be more.  On MORE the piece is used up, and "out" is empty.  One piece
 * without the member has at most 3 segments.
 * Never fails and never allocates.
 */

phrony_rewrite_rc_t phrony_rewrite_next(phrony_rewrite_t *rewrite,
    phrony_str_t *in, phrony_str_t *out);


/* Returns what the answer is, as far as it came. */

phrony_rewrite_kind_t phrony_rewrite_kind(const phrony_rewrite_t *rewrite);


/* Returns 1 if one whole object was read, and so has the member; else 0. */

int phrony_rewrite_done(const phrony_rewrite_t *rewrite);


PHRONY_HIDDEN_END


#endif /* PHRONY_REWRITE_H_ */
