
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_PHRONY_VERDICT_H_INCLUDED_
#define _NGX_PHRONY_VERDICT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "../core/phrony_resp.h"
#include "../core/phrony_window.h"
#include "ngx_phrony_store.h"


#define NGX_PHRONY_VERDICT_QUOTAS  3


PHRONY_HIDDEN_BEGIN


/*
 * What a script answers to a start or a read: numbers, of which the limits in
 * an op are made.
 */

typedef enum {
    NGX_PHRONY_VERDICT_REFUSED = 0,
    NGX_PHRONY_VERDICT_GRANTED,
    NGX_PHRONY_VERDICT_ABANDONED,   /* its lease was given up before */
    NGX_PHRONY_VERDICT_BLOCKED      /* it is a duplicate, of a start that asks
                                       about its delivery */
} ngx_phrony_verdict_state_t;


/* A window after the decision; see phrony_window_reset(), _wait(). */

typedef struct {
    uint32_t          sum;
    int32_t           reset;
    int32_t           wait;
} ngx_phrony_gauge_t;


typedef struct {
    uint32_t              state;
    uint32_t              held;     /* slots; of a start */
    ngx_phrony_gauge_t    minute;   /* starts, or reads */
    ngx_phrony_gauge_t    day;      /* of a start */
} ngx_phrony_verdict_t;


/*
 * Takes the verdict from the reply of admit.lua, or read.lua if "read" is 1.
 * Returns NGX_OK, or NGX_ERROR if the reply is not what these answer.
 */

ngx_int_t ngx_phrony_verdict_parse(ngx_phrony_verdict_t *verdict,
    const phrony_resp_t *reply, ngx_uint_t read);


/*
 * Decides on the delivery of a start that has asked, by what Redis has seen
 * of it, and what the zone had before.  An answer that is to be replayed is
 * within the reply.  Returns NGX_OK, or NGX_ERROR if this is no answer to the
 * question, or not the decision that the script has made; then the delivery
 * is as it was.
 */

ngx_int_t ngx_phrony_verdict_delivery(ngx_phrony_verdict_t *verdict,
    const phrony_resp_t *reply, ngx_phrony_delivery_t *delivery);


/*
 * Sets op->granted, and what is left of the limits that are set, "elapsed" ms
 * after the verdict.  Returns NGX_OK, or NGX_ERROR if it was refused though
 * no limit refuses it, and so is no verdict about this op.
 */

ngx_int_t ngx_phrony_verdict_apply(ngx_phrony_verdict_t *verdict,
    ngx_phrony_op_t *op, uint64_t elapsed);


/* The quotas of the op, NGX_PHRONY_VERDICT_QUOTAS of them; -1: none. */

void ngx_phrony_verdict_quotas(ngx_phrony_op_t *op, int64_t *quotas);


/*
 * How long a refusal holds for one with the same quotas, in ms: 0 if it was
 * not for a window.
 */

uint64_t ngx_phrony_verdict_holds(ngx_phrony_verdict_t *verdict,
    ngx_phrony_op_t *op);


/*
 * What is left of the limit on runs; limit->refused is set.  When a slot is
 * free again is not known: limit->wait is 0, or PHRONY_NO_WAIT if never.
 */

void ngx_phrony_verdict_runs(phrony_limit_t *limit, uint64_t held);


PHRONY_HIDDEN_END


#endif /* _NGX_PHRONY_VERDICT_H_INCLUDED_ */
