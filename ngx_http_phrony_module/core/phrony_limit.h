
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef PHRONY_LIMIT_H_
#define PHRONY_LIMIT_H_


#include "phrony_str.h"


PHRONY_HIDDEN_BEGIN


/* The limits of a trigger, in the order in which answers list them. */

typedef enum {
    PHRONY_LIMIT_RPM = 0,
    PHRONY_LIMIT_RPD,
    PHRONY_LIMIT_RUNS,
    PHRONY_LIMIT_READS,
    PHRONY_LIMIT_MAX
} phrony_limit_id_t;


/* What a decision left of one limit. */

typedef struct {
    unsigned  set:1;        /* the trigger has this limit */
    unsigned  refused:1;    /* it is among those that refuse */
    int64_t   quota;        /* the limit */
    int64_t   remaining;    /* 0 or more */
    int64_t   reset;        /* ms until "remaining" grows, PHRONY_NO_WAIT */
    int64_t   wait;         /* ms until a retry is admitted, if refused;
                               0 or PHRONY_NO_WAIT: not known, or never */
} phrony_limit_t;


PHRONY_HIDDEN_END


#endif /* PHRONY_LIMIT_H_ */
