
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef PHRONY_BODY_H_
#define PHRONY_BODY_H_


#include "phrony_reason.h"


#define PHRONY_BODY_MAX_DEPTH  512


PHRONY_HIDDEN_BEGIN


/* What is wrong with a body that phrony_body_check() refused. */

typedef struct {
    size_t       line;      /* 1 is the first; 0: not a matter of syntax */
    size_t       column;    /* characters, 1 is the first */
    const char  *text;      /* what to mend, a static sentence, NUL-term. */
} phrony_body_error_t;


/*
 * Checks the media type of a start's body: application/json or any type with
 * the suffix "+json" (RFC 6839), parameters and case aside.
 * Returns PHRONY_REASON_NONE or PHRONY_REASON_CONTENT_TYPE.
 */

phrony_reason_t phrony_body_check_type(const phrony_str_t *content_type);


/*
 * Checks the body of a start: JSON text (RFC 8259) whose top level is an
 * object, with "input", if present, an object.  Refused are duplicate
 * members at any level, a byte order mark, invalid UTF-8, lone surrogates,
 * and more than PHRONY_BODY_MAX_DEPTH levels; numbers of any length and the
 * escape \u0000 are valid.  An empty body is valid.
 * The text is only read.  Returns PHRONY_REASON_NONE, or
 * PHRONY_REASON_BODY_INVALID and fills "error", or
 * PHRONY_REASON_STORE_UNAVAILABLE if there is no memory.
 */

phrony_reason_t phrony_body_check(const phrony_str_t *body,
    phrony_body_error_t *error);


/*
 * Estimated tokens of a body: bytes / bytes_per_token, rounded up;
 * bytes_per_token is at least 1.
 */

int64_t phrony_body_tokens(size_t len, size_t bytes_per_token);


PHRONY_HIDDEN_END


#endif /* PHRONY_BODY_H_ */
