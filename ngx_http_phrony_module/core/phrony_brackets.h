
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef PHRONY_BRACKETS_H_
#define PHRONY_BRACKETS_H_


#include "phrony_str.h"


PHRONY_HIDDEN_BEGIN


/*
 * Goes through the inside of a JSON array or object, counting in "depth" the
 * brackets that are open, of either kind, and skipping strings that have no
 * escapes where that is free.  Returns where it stopped: at a quote that
 * begins any other string, at the bracket that made "depth" 0, or "last".
 */

const unsigned char *phrony_brackets_skip(const unsigned char *p,
    const unsigned char *last, size_t *depth);


PHRONY_HIDDEN_END


#endif /* PHRONY_BRACKETS_H_ */
