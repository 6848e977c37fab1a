
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef PHRONY_PLAIN_H_
#define PHRONY_PLAIN_H_


#include "phrony_str.h"


#define PHRONY_PLAIN_DEPTH  32      /* arrays and objects within each other */
#define PHRONY_PLAIN_NAMES  64      /* of members in all open objects */


PHRONY_HIDDEN_BEGIN


/*
 * Recognises the bodies that nearly all clients send, without memory and in
 * one pass, so that a start does not pay for a tree of values which nobody
 * looks at.  It never refuses: a body that it does not recognise, for an
 * error or because it is unusual, goes to the parser, which judges it.
 *
 * Returns 1 if the text is surely valid: a JSON object (RFC 8259) in UTF-8
 * whose member "input", if present, is an object, without repeated names and
 * with no more levels and names than the above.  Returns 0 if that is not
 * known; so it does for escapes in names and for surrogate pairs.
 */

int phrony_plain_check(const phrony_str_t *text);


PHRONY_HIDDEN_END


#endif /* PHRONY_PLAIN_H_ */
