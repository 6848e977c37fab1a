
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef CTL_EXPLAIN_H_
#define CTL_EXPLAIN_H_


#include "phrony_delivery.h"
#include "phrony_policy.h"
#include "phrony_reason.h"
#include "phrony_route.h"

#include "ctl.h"
#include "ctl_file.h"
#include "ctl_secret.h"


/* What is found out step by step; the first reason to refuse is kept. */

typedef struct {
    ctl_t                     *ctl;
    json_t                    *steps;
    phrony_reason_t            reason;
    unsigned                   unknown:1;   /* a step cannot be told */
    unsigned                   replayed:1;
    int64_t                    retry;       /* s, of a 429; 0: none */

    phrony_route_t             route;
    ctl_file_t                 file;        /* text NULL: Redis has it */
    phrony_policy_t           *policy;
    unsigned char              digest[PHRONY_KEY_DIGEST_LEN];
    const phrony_key_t        *key;
    const phrony_trigger_t    *trigger;
    phrony_delivery_mode_t     duplicates;
    int64_t                    max_body;
    int64_t                    bytes_per_token;
    char                      *body;
    size_t                     len;
    phrony_str_t               delivery;    /* id, or empty */
    unsigned char              delivery_buf[256];
} ctl_explain_t;


/*
 * Writes down what a check has found: PHRONY_REASON_NONE, or why it refuses,
 * and a sentence.  Returns 1 if the walk goes on, 0 if that was the end.
 */

int ctl_explain_step(ctl_explain_t *explain, int step, phrony_reason_t reason,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));


/* The same of what cannot be known, and why; the walk goes on. */

void ctl_explain_unknown(ctl_explain_t *explain, int step, const char *why);


/* The value of the i-th field of the request of this name, or NULL. */

const char *ctl_explain_field(const ctl_explain_t *explain, const char *name,
    size_t i);


/*
 * Steps 3 to 6: the key and its records, the scope, the address.  Returns
 * CTL_OK, also if the request is refused, or another code and has said why.
 */

ctl_code_t ctl_explain_policy(ctl_explain_t *explain);


/* Step 8, likewise: delivery and limits, without counting. */

ctl_code_t ctl_explain_limits(ctl_explain_t *explain);


#endif /* CTL_EXPLAIN_H_ */
