
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef PHRONY_REASON_H_
#define PHRONY_REASON_H_


#include "phrony_str.h"


PHRONY_HIDDEN_BEGIN


/*
 * Why a request was refused, in the order in which the checks are made.
 * PHRONY_REASON_NONE means that nothing refused it.
 */

typedef enum {
    PHRONY_REASON_NONE = 0,
    PHRONY_REASON_PATH_NOT_CANONICAL,
    PHRONY_REASON_METHOD_OVERRIDE,
    PHRONY_REASON_ROUTE_UNKNOWN,
    PHRONY_REASON_METHOD_NOT_ALLOWED,
    PHRONY_REASON_KEY_MISSING,
    PHRONY_REASON_KEY_MALFORMED,
    PHRONY_REASON_KEY_REPEATED,
    PHRONY_REASON_KEY_INVALID,
    PHRONY_REASON_WORKSPACE_SUSPENDED,
    PHRONY_REASON_AGENT_OUT_OF_SCOPE,
    PHRONY_REASON_RUN_OUT_OF_SCOPE,
    PHRONY_REASON_UPLOADS_NOT_ALLOWED,
    PHRONY_REASON_ADDRESS_NOT_ALLOWED,
    PHRONY_REASON_TRIGGER_INACTIVE,
    PHRONY_REASON_CONTENT_TYPE,
    PHRONY_REASON_BODY_TOO_LARGE,
    PHRONY_REASON_BODY_INVALID,
    PHRONY_REASON_INPUT_TOO_LARGE,
    PHRONY_REASON_DELIVERY_ID_INVALID,
    PHRONY_REASON_DELIVERY_MISMATCH,
    PHRONY_REASON_DELIVERY_IN_PROGRESS,
    PHRONY_REASON_RATE_LIMITED,
    PHRONY_REASON_CONCURRENCY_LIMITED,
    PHRONY_REASON_STORE_UNAVAILABLE,
    PHRONY_REASON_POLICY_UNAVAILABLE,
    PHRONY_REASON_POLICY_INVALID,
    PHRONY_REASON_MAX                   /* how many there are */
} phrony_reason_t;


/* One row of the table: what a client is told about a reason. */

typedef struct {
    unsigned      status;   /* HTTP status code */
    phrony_str_t  code;     /* "rate_limited": the member "reason", stable */
    phrony_str_t  title;    /* "Rate limit exceeded" */
    phrony_str_t  detail;   /* one sentence: what the client should do */
} phrony_reason_info_t;


/* The row of "reason"; never NULL for a member of the enumeration. */

const phrony_reason_info_t *phrony_reason_info(phrony_reason_t reason);


PHRONY_HIDDEN_END


#endif /* PHRONY_REASON_H_ */
