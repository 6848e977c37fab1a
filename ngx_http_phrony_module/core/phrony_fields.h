
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef PHRONY_FIELDS_H_
#define PHRONY_FIELDS_H_


#include "phrony_limit.h"
#include "phrony_reason.h"


/* Room that is enough for any field value or problem document. */

#define PHRONY_FIELDS_POLICY_LEN     256
#define PHRONY_FIELDS_RATELIMIT_LEN  256
#define PHRONY_FIELDS_PROBLEM_LEN    2048


PHRONY_HIDDEN_BEGIN


/*
 * The value of RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-11),
 * for each limit that is set, in order:
 *     "rpm";q=60;w=60, "rpd";q=1000;w=86400,
 *     "runs";q=5;qu="concurrent-requests", "reads";q=600;w=60
 * "limits" has PHRONY_LIMIT_MAX members, "buf" room for
 * PHRONY_FIELDS_POLICY_LEN bytes.  Returns the length, 0 if none is set.
 */

size_t phrony_fields_policy(unsigned char *buf, const phrony_limit_t *limits);


/*
 * The value of RateLimit for the same limits:
 *     "rpm";r=12;t=31, "rpd";r=940;t=40211, "runs";r=2
 * with t in whole seconds, rounded up, left out where reset is negative.
 * Returns the length, 0 if none is set.
 */

size_t phrony_fields_ratelimit(unsigned char *buf,
    const phrony_limit_t *limits);


/* Milliseconds to whole seconds, rounded up, at least 1: Retry-After. */

int64_t phrony_fields_seconds(int64_t ms);


/*
 * What a problem document (RFC 9457) tells beside its reason.  Strings may
 * hold any byte; they are escaped, and bytes that are not UTF-8 become
 * U+FFFD.  "detail" and "instance" are cut, between two characters, so that
 * at most 512 and 128 bytes are written.
 */

typedef struct {
    phrony_reason_t        reason;
    phrony_str_t           detail;      /* empty: the reason's own */
    phrony_str_t           instance;    /* the request's id */
    size_t                 line;        /* 0: neither line nor column */
    size_t                 column;
    const phrony_limit_t  *limits;      /* PHRONY_LIMIT_MAX or NULL; those
                                           with "refused" set are listed */
} phrony_problem_t;


/*
 * Writes the document, one JSON object with the members type, title, status,
 * detail, reason, instance, and where they apply line, column and
 * violated-policies (an array of the limits' names).  "buf" has room for
 * PHRONY_FIELDS_PROBLEM_LEN bytes.  Returns the length.
 */

size_t phrony_fields_problem(unsigned char *buf,
    const phrony_problem_t *problem);


/* "rpm", "rpd", "runs", "reads" */

const phrony_str_t *phrony_limit_name(phrony_limit_id_t id);


PHRONY_HIDDEN_END


#endif /* PHRONY_FIELDS_H_ */
