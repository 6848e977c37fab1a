
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef PHRONY_DOCUMENT_H_
#define PHRONY_DOCUMENT_H_


#include <jansson.h>

#include "phrony_str.h"


PHRONY_HIDDEN_BEGIN


/*
 * Reads a JSON text (RFC 8259) that holds no NUL byte, any value at its top,
 * with duplicate members refused.  Valid text that the parser cannot hold,
 * numbers that do not fit and \u0000 in a name, is read nevertheless: then
 * all its numbers are 0, each \u0000 is another character, and "exact", which
 * may be NULL, is 0; else it is 1.
 * Returns a value that is the caller's, or NULL with the parser's error, of
 * the code json_error_out_of_memory if there was no memory.
 */

json_t *phrony_document_load(const unsigned char *data, size_t len,
    int *exact, json_error_t *error);


PHRONY_HIDDEN_END


#endif /* PHRONY_DOCUMENT_H_ */
