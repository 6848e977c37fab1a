
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_phrony_verdict.h"
#include "../core/phrony_stored.h"
#include "ngx_phrony_delivery.h"


#define NGX_PHRONY_VERDICT_VERSION     1
#define NGX_PHRONY_VERDICT_START       9        /* integers in a reply */
#define NGX_PHRONY_VERDICT_READ        5
#define NGX_PHRONY_VERDICT_DELIVERY    10       /* and perhaps an answer */
#define NGX_PHRONY_VERDICT_OTHER       4        /* another fingerprint */
#define NGX_PHRONY_VERDICT_MAX_HOLD    60000


static ngx_int_t ngx_phrony_verdict_gauge(ngx_phrony_gauge_t *gauge,
    const phrony_resp_t *numbers);
static ngx_int_t ngx_phrony_verdict_seen(const phrony_resp_t *reply,
    int64_t *seen, phrony_str_t *answer);
static ngx_uint_t ngx_phrony_verdict_limit(phrony_limit_t *limit,
    ngx_phrony_gauge_t *gauge, ngx_uint_t granted, uint64_t elapsed);
static int64_t ngx_phrony_verdict_left(int32_t ms, uint64_t elapsed);
static ngx_uint_t ngx_phrony_verdict_slot(phrony_limit_t *limit,
    uint64_t held, ngx_uint_t granted);
static int64_t ngx_phrony_verdict_quota(phrony_limit_t *limit);


ngx_int_t
ngx_phrony_verdict_parse(ngx_phrony_verdict_t *verdict,
    const phrony_resp_t *reply, ngx_uint_t read)
{
    const phrony_resp_t  *number;

    if (!phrony_resp_integers(reply, read ? NGX_PHRONY_VERDICT_READ
                                          : NGX_PHRONY_VERDICT_START))
    {
        return NGX_ERROR;
    }

    number = reply->elements;

    if (number[0].integer != NGX_PHRONY_VERDICT_VERSION
        || number[1].integer < NGX_PHRONY_VERDICT_REFUSED
        || number[1].integer > NGX_PHRONY_VERDICT_BLOCKED
        || (number[1].integer == NGX_PHRONY_VERDICT_BLOCKED
            && (read || reply->n < NGX_PHRONY_VERDICT_DELIVERY)))
    {
        return NGX_ERROR;
    }

    ngx_memzero(verdict, sizeof(ngx_phrony_verdict_t));

    verdict->state = (uint32_t) number[1].integer;

    if (ngx_phrony_verdict_gauge(&verdict->minute, &number[2]) != NGX_OK) {
        return NGX_ERROR;
    }

    if (read) {
        return NGX_OK;
    }

    if (ngx_phrony_verdict_gauge(&verdict->day, &number[5]) != NGX_OK
        || number[8].integer < 0
        || number[8].integer > UINT32_MAX)
    {
        return NGX_ERROR;
    }

    verdict->held = (uint32_t) number[8].integer;

    return NGX_OK;
}


static ngx_int_t
ngx_phrony_verdict_gauge(ngx_phrony_gauge_t *gauge,
    const phrony_resp_t *numbers)
{
    if (numbers[0].integer < 0
        || numbers[0].integer > UINT32_MAX
        || numbers[1].integer < PHRONY_NO_WAIT
        || numbers[1].integer > INT32_MAX
        || numbers[2].integer < PHRONY_NO_WAIT
        || numbers[2].integer > INT32_MAX)
    {
        return NGX_ERROR;
    }

    gauge->sum = (uint32_t) numbers[0].integer;
    gauge->reset = (int32_t) numbers[1].integer;
    gauge->wait = (int32_t) numbers[2].integer;

    return NGX_OK;
}


ngx_int_t
ngx_phrony_verdict_delivery(ngx_phrony_verdict_t *verdict,
    const phrony_resp_t *reply, ngx_phrony_delivery_t *delivery)
{
    int64_t                     seen;
    phrony_str_t                answer;
    phrony_duplicate_t          before;
    ngx_phrony_delivery_t       decided;
    phrony_delivery_decision_t  decision;

    if (ngx_phrony_verdict_seen(reply, &seen, &answer) != NGX_OK) {
        return NGX_ERROR;
    }

    decision = phrony_delivery_decide(delivery->mode,
                   (phrony_delivery_state_t) (seen
                                              % NGX_PHRONY_VERDICT_OTHER),
                   seen < NGX_PHRONY_VERDICT_OTHER, answer.len != 0);

    before = delivery->duplicate;
    decided = *delivery;

    decided.action = decision.action;
    decided.duplicate = decision.duplicate;

    if (decision.action == PHRONY_DELIVERY_ACTION_REPLAY) {
        decided.stored.data = answer.data;
        decided.stored.len = answer.len;
    }

    if (ngx_phrony_delivery_blocks(&decided)
        != (verdict->state == NGX_PHRONY_VERDICT_BLOCKED)
        || decided.stored.len != answer.len)
    {
        return NGX_ERROR;
    }

    /* of what is proxied the zone may know more */

    if (ngx_phrony_delivery_blocks(&decided)
        || before == PHRONY_DUPLICATE_NONE
        || (before == PHRONY_DUPLICATE_UNKNOWN
            && decided.duplicate != PHRONY_DUPLICATE_NONE))
    {
        *delivery = decided;
    }

    return NGX_OK;
}


/* What was seen of the delivery, and a stored answer, if there is one. */

static ngx_int_t
ngx_phrony_verdict_seen(const phrony_resp_t *reply, int64_t *seen,
    phrony_str_t *answer)
{
    phrony_stored_t       stored;
    const phrony_resp_t  *last;

    if (!phrony_resp_integers(reply, NGX_PHRONY_VERDICT_DELIVERY)) {
        return NGX_ERROR;
    }

    last = &reply->elements[NGX_PHRONY_VERDICT_DELIVERY];
    *seen = last[-1].integer;

    if (*seen < 0
        || *seen >= NGX_PHRONY_VERDICT_OTHER + PHRONY_DELIVERY_MAX
        || *seen == NGX_PHRONY_VERDICT_OTHER)
    {
        return NGX_ERROR;
    }

    answer->len = 0;
    answer->data = NULL;

    if (reply->n == NGX_PHRONY_VERDICT_DELIVERY) {
        return NGX_OK;
    }

    if (last->type != PHRONY_RESP_STRING
        || phrony_stored_unpack(&stored, &last->str) != 0)
    {
        return NGX_ERROR;
    }

    *answer = last->str;

    return NGX_OK;
}


ngx_int_t
ngx_phrony_verdict_apply(ngx_phrony_verdict_t *verdict, ngx_phrony_op_t *op,
    uint64_t elapsed)
{
    ngx_uint_t       granted, refused;
    phrony_limit_t  *limits;

    limits = op->limits;

    op->granted = (verdict->state == NGX_PHRONY_VERDICT_GRANTED);

    /* by the limits, that is */

    granted = op->granted || verdict->state == NGX_PHRONY_VERDICT_BLOCKED;

    if (op->read) {
        refused = ngx_phrony_verdict_limit(&limits[PHRONY_LIMIT_READS],
                                           &verdict->minute, granted,
                                           elapsed);
        return (granted || refused) ? NGX_OK : NGX_ERROR;
    }

    refused = ngx_phrony_verdict_limit(&limits[PHRONY_LIMIT_RPM],
                                       &verdict->minute, granted, elapsed);
    refused |= ngx_phrony_verdict_limit(&limits[PHRONY_LIMIT_RPD],
                                        &verdict->day, granted, elapsed);
    refused |= ngx_phrony_verdict_slot(&limits[PHRONY_LIMIT_RUNS],
                                       verdict->held, granted);

    return (granted || refused) ? NGX_OK : NGX_ERROR;
}


static ngx_uint_t
ngx_phrony_verdict_limit(phrony_limit_t *limit, ngx_phrony_gauge_t *gauge,
    ngx_uint_t granted, uint64_t elapsed)
{
    limit->refused = 0;

    if (!limit->set) {
        return 0;
    }

    limit->refused = !granted && gauge->sum >= (uint64_t) limit->quota;

    limit->remaining = (gauge->sum < (uint64_t) limit->quota)
                       ? limit->quota - gauge->sum : 0;
    limit->reset = ngx_phrony_verdict_left(gauge->reset, elapsed);
    limit->wait = ngx_phrony_verdict_left(gauge->wait, elapsed);

    return limit->refused;
}


/* PHRONY_NO_WAIT and 0 do not pass. */

static int64_t
ngx_phrony_verdict_left(int32_t ms, uint64_t elapsed)
{
    if (ms <= 0) {
        return ms;
    }

    return ((uint64_t) ms > elapsed) ? ms - (int64_t) elapsed : 1;
}


static ngx_uint_t
ngx_phrony_verdict_slot(phrony_limit_t *limit, uint64_t held,
    ngx_uint_t granted)
{
    limit->refused = limit->set
                     && !granted
                     && !phrony_lease_admits(held, limit->quota);

    ngx_phrony_verdict_runs(limit, held);

    return limit->refused;
}


void
ngx_phrony_verdict_runs(phrony_limit_t *limit, uint64_t held)
{
    if (!limit->set) {
        return;
    }

    limit->remaining = phrony_lease_remaining(held, limit->quota);
    limit->reset = PHRONY_NO_WAIT;
    limit->wait = 0;

    if (limit->refused && limit->quota == 0) {
        limit->wait = PHRONY_NO_WAIT;
    }
}


void
ngx_phrony_verdict_quotas(ngx_phrony_op_t *op, int64_t *quotas)
{
    phrony_limit_t  *limits;

    limits = op->limits;

    if (op->read) {
        quotas[0] = ngx_phrony_verdict_quota(&limits[PHRONY_LIMIT_READS]);
        quotas[1] = -1;
        quotas[2] = -1;
        return;
    }

    quotas[0] = ngx_phrony_verdict_quota(&limits[PHRONY_LIMIT_RPM]);
    quotas[1] = ngx_phrony_verdict_quota(&limits[PHRONY_LIMIT_RPD]);
    quotas[2] = ngx_phrony_verdict_quota(&limits[PHRONY_LIMIT_RUNS]);
}


static int64_t
ngx_phrony_verdict_quota(phrony_limit_t *limit)
{
    return limit->set ? limit->quota : -1;
}


/*
 * Until the first event leaves any of the windows: then numbers change that
 * are reported, if not the verdict.  A refusal for ever, by a limit of 0, is
 * asked for again after a while: somebody may have tidied up.
 */

uint64_t
ngx_phrony_verdict_holds(ngx_phrony_verdict_t *verdict, ngx_phrony_op_t *op)
{
    uint64_t         holds;
    phrony_limit_t  *minute, *day;

    minute = &op->limits[op->read ? PHRONY_LIMIT_READS : PHRONY_LIMIT_RPM];
    day = &op->limits[PHRONY_LIMIT_RPD];

    if (!minute->refused && (op->read || !day->refused)) {
        return 0;
    }

    holds = NGX_PHRONY_VERDICT_MAX_HOLD;

    if (minute->set && verdict->minute.reset != PHRONY_NO_WAIT) {
        holds = ngx_min(holds, (uint64_t) verdict->minute.reset);
    }

    if (!op->read && day->set && verdict->day.reset != PHRONY_NO_WAIT) {
        holds = ngx_min(holds, (uint64_t) verdict->day.reset);
    }

    return holds;
}
