
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef PHRONY_ANSWER_H_
#define PHRONY_ANSWER_H_


#include "phrony_outline.h"
#include "phrony_uuid.h"


#define PHRONY_ANSWER_STATUS_MAX  PHRONY_TEXT_MAX


PHRONY_HIDDEN_BEGIN


/*
 * Finds the top-level members "runId" and "status" of a JSON object while it
 * passes by in pieces of any size, without keeping it: nested values and long
 * strings are skipped, whatever their size.  Escapes in the two members'
 * names and values are decoded.  The scanner proves the outer structure (one
 * object, balanced brackets, ended strings, nothing after it but white
 * space), not the grammar of what it skips.
 *
 * If a member is repeated, the last value counts, as in every common parser.
 * A value that is not a string, or longer than any status or UUID, counts as
 * "present but unusable" and voids an earlier one.
 */

typedef struct {
    phrony_outline_t  outline;
    unsigned          has_run:1;    /* run_id is valid */
    unsigned          run_seen:1;   /* a member runId was there at all */

    phrony_uuid_t     run_id;
    size_t            status_len;   /* 0: no usable status */
    unsigned char     status[PHRONY_ANSWER_STATUS_MAX];
} phrony_answer_t;


/* Makes the scanner ready for the first byte of an answer. */

void phrony_answer_init(phrony_answer_t *answer);


/*
 * Reads on.  May be called any number of times, with pieces of any length
 * including 0; costs nothing once the answer is known to be broken.
 * Never fails and never allocates.
 */

void phrony_answer_read(phrony_answer_t *answer, const unsigned char *data,
    size_t len);


/*
 * Returns 1 if what was read is one whole object; only then do has_run,
 * run_id, status_len and status mean anything.  Else 0.
 */

int phrony_answer_done(const phrony_answer_t *answer);


/*
 * Returns 1 if "status" is one of the "n" names, compared without ASCII case,
 * else 0.
 */

int phrony_answer_status_in(const phrony_answer_t *answer,
    const phrony_str_t *names, size_t n);


PHRONY_HIDDEN_END


#endif /* PHRONY_ANSWER_H_ */
