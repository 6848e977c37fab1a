
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef PHRONY_OUTLINE_PASS_H_
#define PHRONY_OUTLINE_PASS_H_


#include "phrony_outline.h"


PHRONY_HIDDEN_BEGIN


/*
 * What phrony_outline_next() does with the parts of an object that nobody
 * looks for.  Each function but the last reads on from "p", which is before
 * "last", leaves the outline's state as it is where it stops, and returns
 * where that is: at "last" at the latest.
 */


/* 1 for each byte that numbers and literals are made of. */

extern const unsigned char  phrony_outline_pass_scalars[256];


/*
 * Passes the members that follow a value, in COMMA.  Stops in VALUE behind the
 * name of one that is looked for; in the value that is cut off by "last"; or
 * in COMMA, before what has to be read byte by byte, which may be at "p".
 */

const unsigned char *phrony_outline_pass_members(phrony_outline_t *outline,
    const unsigned char *p, const unsigned char *last);


/*
 * Passes a value, or the rest of it, of the state's kind: STRING, SCALAR,
 * NESTED.  The state becomes COMMA behind it, which for a scalar is seen only
 * at the byte after it.
 */

const unsigned char *phrony_outline_pass_string(phrony_outline_t *outline,
    const unsigned char *p, const unsigned char *last);
const unsigned char *phrony_outline_pass_scalar(phrony_outline_t *outline,
    const unsigned char *p, const unsigned char *last);
const unsigned char *phrony_outline_pass_nested(phrony_outline_t *outline,
    const unsigned char *p, const unsigned char *last);


/*
 * Sets "member" to what is looked for under this name, or to NULL.  Names of
 * one length mostly differ in the first byte.
 */

static inline void
phrony_outline_pass_find(phrony_outline_t *outline, const phrony_str_t *name)
{
    const phrony_outline_name_t  *wanted, *last;

    last = outline->names + outline->n;

    for (wanted = outline->names; wanted < last; wanted++) {

        if (wanted->name.len == name->len
            && wanted->name.data[0] == name->data[0]
            && memcmp(wanted->name.data, name->data, name->len) == 0)
        {
            outline->member = wanted;
            return;
        }
    }

    outline->member = NULL;
}


PHRONY_HIDDEN_END


#endif /* PHRONY_OUTLINE_PASS_H_ */
