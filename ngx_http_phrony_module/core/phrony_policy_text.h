
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef PHRONY_POLICY_TEXT_H_
#define PHRONY_POLICY_TEXT_H_


#include <jansson.h>

#include "phrony_policy.h"


PHRONY_HIDDEN_BEGIN


/*
 * A policy file while it is walked: its outermost object and the arrays in it
 * are read byte by byte, and jansson gets one value at a time, so that never
 * more than one record is held as JSON.
 */

typedef struct {
    const char              *pos;
    const char              *end;
    size_t                   line;      /* of pos, 1 is the first */
    phrony_policy_error_t   *error;
} phrony_policy_text_t;


/* Skips white space; returns the byte that follows, or -1 at the end. */

int phrony_policy_text_next(phrony_policy_text_t *text);


/*
 * Parses the value that begins at text->pos and moves on behind it; "flags"
 * are jansson's, and "what" names the value in an error.  Returns the value,
 * which is the caller's, or NULL and fills text->error with the line of the
 * mistake.
 */

json_t *phrony_policy_text_load(phrony_policy_text_t *text, size_t flags,
    const char *what);


/*
 * Fills text->error with the line where the text is being read and the
 * printf-like sentence.  Returns -1.
 */

int phrony_policy_text_fail(const phrony_policy_text_t *text, const char *fmt,
    ...) __attribute__((format(printf, 2, 3)));


PHRONY_HIDDEN_END


#endif /* PHRONY_POLICY_TEXT_H_ */
