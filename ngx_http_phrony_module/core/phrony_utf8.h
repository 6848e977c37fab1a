
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef PHRONY_UTF8_H_
#define PHRONY_UTF8_H_


#include "phrony_str.h"


PHRONY_HIDDEN_BEGIN


/*
 * The length, 2 to 4 bytes, of the well-formed sequence (RFC 3629) that
 * begins at "p", which is before "last" and not ASCII; 0 if there is none.
 */

size_t phrony_utf8_length(const unsigned char *p, const unsigned char *last);


PHRONY_HIDDEN_END


#endif /* PHRONY_UTF8_H_ */
