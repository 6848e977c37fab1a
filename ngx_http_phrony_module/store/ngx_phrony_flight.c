
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_phrony_flight.h"
#include "ngx_phrony_batch.h"
#include "ngx_phrony_claim.h"
#include "ngx_phrony_decide.h"
#include "ngx_phrony_delivery.h"
#include "ngx_phrony_run.h"
#include "ngx_phrony_share.h"
#include "ngx_phrony_suspect.h"


/* so long after a start was lost it may still arrive */

#define NGX_PHRONY_FLIGHT_ABANDON  (3600 * 1000)

#define NGX_PHRONY_FLIGHT_KNOWN    60000    /* ms, for an answer of Redis */


typedef struct {
    ngx_phrony_op_t            *op;         /* NULL: this is a tombstone */
    ngx_phrony_store_redis_t   *store;
    uint64_t                    sent;       /* the zone's time */
    ngx_msec_t                  ttl;        /* of the lease */
    ngx_uint_t                  read;
    ngx_uint_t                  asks;       /* about its delivery */
    ngx_msec_t                  kept;       /* as long as that may be known */
    ngx_uint_t                  news;       /* that ride along */
    phrony_uuid_t               lease_id;
    phrony_uuid_t               run_id;     /* locate */
    phrony_uuid_t               trigger_id;
    phrony_uuid_t               workspace_id;
} ngx_phrony_flight_t;


static ngx_phrony_redis_command_t *ngx_phrony_flight_encode(
    ngx_phrony_store_redis_t *store, ngx_phrony_op_t *op,
    phrony_uuid_t *lease_id, ngx_phrony_group_t *group);
static void ngx_phrony_flight_lease_id(ngx_phrony_store_redis_t *store,
    phrony_uuid_t *id);
static void ngx_phrony_flight_admit_handler(
    ngx_phrony_redis_command_t *command, ngx_phrony_redis_result_t result,
    const phrony_resp_t *reply);
static ngx_int_t ngx_phrony_flight_verdict(ngx_phrony_flight_t *flight,
    ngx_phrony_verdict_t *verdict, const phrony_resp_t *reply);
static void ngx_phrony_flight_decided(ngx_phrony_flight_t *flight,
    ngx_phrony_verdict_t *verdict);
static void ngx_phrony_flight_give_up(ngx_phrony_flight_t *flight,
    ngx_phrony_news_event_t event);
static void ngx_phrony_flight_fail(ngx_phrony_flight_t *flight);
static void ngx_phrony_flight_locate_handler(
    ngx_phrony_redis_command_t *command, ngx_phrony_redis_result_t result,
    const phrony_resp_t *reply);
static void ngx_phrony_flight_know(ngx_phrony_flight_t *flight);
static void ngx_phrony_flight_suspect_handler(
    ngx_phrony_redis_command_t *command, ngx_phrony_redis_result_t result,
    const phrony_resp_t *reply);


ngx_str_t  ngx_phrony_flight_redis = ngx_string("redis");
ngx_str_t  ngx_phrony_flight_memory = ngx_string("local");


ngx_int_t
ngx_phrony_flight_admit(ngx_phrony_store_redis_t *store, ngx_phrony_op_t *op,
    uint64_t sent)
{
    phrony_uuid_t                lease_id;
    ngx_phrony_group_t          *group;
    ngx_phrony_flight_t         *flight;
    ngx_phrony_teller_t         *teller;
    ngx_phrony_redis_command_t  *command;

    teller = store->teller;

    if (!ngx_phrony_tell_ready(teller, &op->workspace_id)) {
        return NGX_DECLINED;
    }

    group = NULL;

    if (!op->read) {
        ngx_phrony_flight_lease_id(store, &lease_id);
        group = ngx_phrony_tell_waiting(teller, &op->trigger_id,
                                        &op->workspace_id);
    }

    command = ngx_phrony_flight_encode(store, op, &lease_id, group);
    if (command == NULL) {
        return NGX_ERROR;
    }

    flight = command->data;

    flight->op = op;
    flight->store = store;
    flight->sent = sent;
    flight->ttl = op->reservation_ttl;
    flight->read = op->read;
    flight->asks = ngx_phrony_delivery_asks(op);
    flight->kept = flight->asks ? op->delivery.ttl : 0;
    flight->news = group ? group->news.len / NGX_PHRONY_NEWS_LEN : 0;
    flight->trigger_id = op->trigger_id;
    flight->workspace_id = op->workspace_id;

    if (!op->read) {
        flight->lease_id = lease_id;
    }

    command->handler = ngx_phrony_flight_admit_handler;
    command->waited = 1;

    if (ngx_phrony_redis_send(teller->encoder.redis, command) != NGX_OK) {
        return NGX_DECLINED;
    }

    if (group) {
        ngx_phrony_tell_forget(teller, group);
    }

    op->flight = flight;

    return NGX_AGAIN;
}


static ngx_phrony_redis_command_t *
ngx_phrony_flight_encode(ngx_phrony_store_redis_t *store, ngx_phrony_op_t *op,
    phrony_uuid_t *lease_id, ngx_phrony_group_t *group)
{
    ngx_str_t              none;
    ngx_phrony_encoder_t  *encoder;

    encoder = &store->teller->encoder;

    if (op->read) {
        return ngx_phrony_encode_read(encoder, op,
                                      sizeof(ngx_phrony_flight_t));
    }

    ngx_str_null(&none);

    return ngx_phrony_encode_admit(encoder, op, lease_id,
                                   group ? &group->news : &none,
                                   sizeof(ngx_phrony_flight_t));
}


/* Two workers, of one gateway or two, do not draw the same first half. */

static void
ngx_phrony_flight_lease_id(ngx_phrony_store_redis_t *store, phrony_uuid_t *id)
{
    store->last_lease++;

    ngx_memcpy(id->bytes, &store->leases, sizeof(uint64_t));
    ngx_memcpy(id->bytes + sizeof(uint64_t), &store->last_lease,
               sizeof(uint64_t));
}


static void
ngx_phrony_flight_admit_handler(ngx_phrony_redis_command_t *command,
    ngx_phrony_redis_result_t result, const phrony_resp_t *reply)
{
    ngx_phrony_news_t      of;
    ngx_phrony_flight_t   *flight;
    ngx_phrony_verdict_t   verdict;

    flight = command->data;

    if (flight->op) {
        flight->op->flight = NULL;
    }

    if (result == NGX_PHRONY_REDIS_ANSWERED
        && ngx_phrony_flight_verdict(flight, &verdict, reply) == NGX_OK)
    {
        ngx_phrony_flight_decided(flight, &verdict);
        return;
    }

    if (result != NGX_PHRONY_REDIS_ANSWERED
        || reply->type == PHRONY_RESP_ERROR)
    {
        ngx_memzero(&of, sizeof(ngx_phrony_news_t));

        of.trigger_id = flight->trigger_id;
        of.workspace_id = flight->workspace_id;

        ngx_phrony_tell_again(flight->store->teller, command, flight->news,
                              &of);
    }

    if (result == NGX_PHRONY_REDIS_ANSWERED) {
        (void) ngx_phrony_tell_passes(reply, "a start or read");
    }

    if (result == NGX_PHRONY_REDIS_LOST
        || (result == NGX_PHRONY_REDIS_ANSWERED
            && reply->type != PHRONY_RESP_ERROR))
    {
        ngx_phrony_flight_give_up(flight, NGX_PHRONY_NEWS_ABANDON);
    }

    ngx_phrony_flight_fail(flight);
}


static ngx_int_t
ngx_phrony_flight_verdict(ngx_phrony_flight_t *flight,
    ngx_phrony_verdict_t *verdict, const phrony_resp_t *reply)
{
    if (ngx_phrony_verdict_parse(verdict, reply, flight->read) != NGX_OK
        || verdict->state == NGX_PHRONY_VERDICT_ABANDONED
        || (verdict->state == NGX_PHRONY_VERDICT_BLOCKED && !flight->asks))
    {
        return NGX_ERROR;
    }

    if (flight->op == NULL) {
        return NGX_OK;
    }

    if (flight->asks
        && ngx_phrony_verdict_delivery(verdict, reply, &flight->op->delivery)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_phrony_verdict_apply(verdict, flight->op, 0);
}


static void
ngx_phrony_flight_decided(ngx_phrony_flight_t *flight,
    ngx_phrony_verdict_t *verdict)
{
    ngx_phrony_op_t    *op;
    ngx_phrony_zone_t  *zone;

    op = flight->op;

    if (op == NULL) {

        if (verdict->state == NGX_PHRONY_VERDICT_GRANTED) {

            /* by that a claim is given back as well */

            ngx_phrony_flight_give_up(flight, flight->asks
                                              ? NGX_PHRONY_NEWS_ABANDON
                                              : NGX_PHRONY_NEWS_RELEASE);
        }

        return;
    }

    if (op->granted && !op->read) {
        op->leased = 1;
        op->lease_id = flight->lease_id;
    }

    zone = flight->store->zone;

    (void) ngx_phrony_zone_lock(zone);

    ngx_phrony_share_mirror(zone, op, verdict, flight->sent);

    if (op->leased && ngx_phrony_delivery_wanted(&op->delivery)) {
        op->delivery.owner = op->lease_id;
        ngx_phrony_claim_take(zone, op);

        /* by Redis, be there room in the zone or not */

        op->delivery.claimed = 1;
    }

    ngx_phrony_zone_unlock(zone);

    ngx_phrony_batch_untold(flight->store->teller);

    if (ngx_phrony_delivery_keep(&op->delivery) != NGX_OK) {
        op->failed = 1;
    }

    op->handler(op);
}


/* Gives back the lease of a start, or makes sure that it never holds. */

static void
ngx_phrony_flight_give_up(ngx_phrony_flight_t *flight,
    ngx_phrony_news_event_t event)
{
    ngx_phrony_news_t  news;

    if (flight->read) {
        return;
    }

    ngx_memzero(&news, sizeof(ngx_phrony_news_t));

    news.event = event;
    news.has_lease = 1;
    news.lease_id = flight->lease_id;
    news.trigger_id = flight->trigger_id;
    news.workspace_id = flight->workspace_id;
    news.ttl = ngx_max(flight->ttl, flight->kept);

    if (event == NGX_PHRONY_NEWS_ABANDON) {
        news.ttl += NGX_PHRONY_FLIGHT_ABANDON;
    }

    ngx_phrony_tell(flight->store->teller, &news);
}


static void
ngx_phrony_flight_fail(ngx_phrony_flight_t *flight)
{
    ngx_phrony_op_t  *op;

    op = flight->op;

    if (op == NULL) {
        return;
    }

    /* at the end of a worker there is nobody left who would use a slot */

    if (flight->store->teller->closed
        || ngx_phrony_flight_local(flight->store, op) != NGX_OK)
    {
        op->granted = 0;
        op->leased = 0;
        op->failed = 1;
    }

    op->handler(op);
}


ngx_int_t
ngx_phrony_flight_local(ngx_phrony_store_redis_t *store, ngx_phrony_op_t *op)
{
    ngx_int_t  rc;

    op->granted = 0;
    op->leased = 0;

    if (!op->local) {
        return NGX_DECLINED;
    }

    op->label = &ngx_phrony_flight_memory;

    (void) ngx_phrony_zone_lock(store->zone);

    rc = ngx_phrony_decide(store->zone, op, 1);

    ngx_phrony_zone_unlock(store->zone);

    return (rc == NGX_OK) ? ngx_phrony_delivery_keep(&op->delivery) : rc;
}


ngx_int_t
ngx_phrony_flight_locate(ngx_phrony_store_redis_t *store, ngx_phrony_op_t *op)
{
    ngx_uint_t                   slot;
    ngx_phrony_flight_t         *flight;
    ngx_phrony_encoder_t        *encoder;
    ngx_phrony_redis_command_t  *command;

    if (store->teller == NULL || store->teller->closed) {
        return NGX_DECLINED;
    }

    encoder = &store->teller->encoder;

    slot = ngx_phrony_encode_run_slot(encoder, &op->run_id);

    if (!ngx_phrony_redis_ready(encoder->redis, slot)) {
        return NGX_DECLINED;
    }

    command = ngx_phrony_encode_get(encoder, &op->run_id,
                                    sizeof(ngx_phrony_flight_t));
    if (command == NULL) {
        return NGX_ERROR;
    }

    flight = command->data;

    flight->op = op;
    flight->store = store;
    flight->run_id = op->run_id;

    command->handler = ngx_phrony_flight_locate_handler;
    command->waited = 1;

    if (ngx_phrony_redis_send(encoder->redis, command) != NGX_OK) {
        return NGX_DECLINED;
    }

    op->flight = flight;

    return NGX_AGAIN;
}


static void
ngx_phrony_flight_locate_handler(ngx_phrony_redis_command_t *command,
    ngx_phrony_redis_result_t result, const phrony_resp_t *reply)
{
    ngx_int_t             rc;
    ngx_phrony_op_t      *op;
    ngx_phrony_flight_t  *flight;

    flight = command->data;
    op = flight->op;

    rc = NGX_ERROR;

    if (result == NGX_PHRONY_REDIS_ANSWERED) {
        rc = ngx_phrony_encode_owner(reply, &flight->trigger_id);

        if (rc == NGX_OK) {
            ngx_phrony_flight_know(flight);
        }

        if (rc == NGX_ERROR) {
            (void) ngx_phrony_tell_passes(reply, "whose a run is");
        }
    }

    if (op == NULL) {
        return;
    }

    op->flight = NULL;

    if (rc == NGX_OK) {
        op->known = 1;
        op->trigger_id = flight->trigger_id;
    }

    if (rc == NGX_ERROR && ngx_phrony_flight_unknown(op) != NGX_OK) {
        op->failed = 1;
    }

    op->handler(op);
}


ngx_int_t
ngx_phrony_flight_unknown(ngx_phrony_op_t *op)
{
    op->known = 0;
    op->label = &ngx_phrony_flight_memory;

    return op->local ? NGX_OK : NGX_DECLINED;
}


static void
ngx_phrony_flight_know(ngx_phrony_flight_t *flight)
{
    ngx_phrony_run_t   *run;
    ngx_phrony_zone_t  *zone;

    zone = flight->store->zone;

    (void) ngx_phrony_zone_lock(zone);

    run = ngx_phrony_run_alive(zone, &flight->run_id);

    if (run) {
        run->trigger_id = flight->trigger_id;

    } else {
        (void) ngx_phrony_run_know(zone, &flight->run_id, &flight->trigger_id,
                                   PHRONY_LEASE_BOUND,
                                   NGX_PHRONY_FLIGHT_KNOWN);
    }

    ngx_phrony_zone_unlock(zone);
}


ngx_int_t
ngx_phrony_flight_suspect(ngx_phrony_store_redis_t *store, ngx_phrony_op_t *op)
{
    ngx_phrony_flight_t         *flight;
    ngx_phrony_teller_t         *teller;
    ngx_phrony_redis_command_t  *command;

    teller = store->teller;

    if (!ngx_phrony_tell_ready(teller, &op->workspace_id)) {
        return NGX_OK;
    }

    command = ngx_phrony_suspect_encode(&teller->encoder, op,
                                        sizeof(ngx_phrony_flight_t));
    if (command == NULL) {
        return NGX_ERROR;
    }

    flight = command->data;

    flight->op = op;
    flight->store = store;

    command->handler = ngx_phrony_flight_suspect_handler;
    command->waited = 1;

    if (ngx_phrony_redis_send(teller->encoder.redis, command) != NGX_OK) {
        return NGX_OK;
    }

    op->flight = flight;

    return NGX_AGAIN;
}


static void
ngx_phrony_flight_suspect_handler(ngx_phrony_redis_command_t *command,
    ngx_phrony_redis_result_t result, const phrony_resp_t *reply)
{
    ngx_phrony_op_t      *op;
    ngx_phrony_flight_t  *flight;

    flight = command->data;
    op = flight->op;

    if (op == NULL) {
        return;
    }

    op->flight = NULL;

    if (result != NGX_PHRONY_REDIS_ANSWERED) {
        op->failed = 1;

    } else if (ngx_phrony_suspect_parse(op->suspects, reply,
                                        flight->store->zone)
               != NGX_OK)
    {
        (void) ngx_phrony_tell_passes(reply, "which leases are unseen");
        op->failed = 1;
    }

    op->handler(op);
}


void
ngx_phrony_flight_cancel(ngx_phrony_op_t *op)
{
    ngx_phrony_flight_t  *flight;

    flight = op->flight;

    if (flight) {
        flight->op = NULL;
        op->flight = NULL;
    }
}
