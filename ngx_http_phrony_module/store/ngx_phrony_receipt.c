
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_phrony_receipt.h"
#include "ngx_phrony_batch.h"
#include "ngx_phrony_claim.h"


#define NGX_PHRONY_RECEIPT_OVERRULED  2     /* deliver.lua's answer */


/* What a command needs once it is answered; what is stored is not in it. */

typedef struct {
    ngx_phrony_teller_t    *teller;
    ngx_uint_t              batch;
    ngx_phrony_notice_t     notice;
} ngx_phrony_receipt_deliver_t;


static ngx_phrony_template_t *ngx_phrony_receipt_template(
    ngx_phrony_encoder_t *encoder);
static ngx_phrony_redis_command_t *ngx_phrony_receipt_encode(
    ngx_phrony_encoder_t *encoder, ngx_phrony_notice_t *notice);
static void ngx_phrony_receipt_handler(ngx_phrony_redis_command_t *command,
    ngx_phrony_redis_result_t result, const phrony_resp_t *reply);
static void ngx_phrony_receipt_overruled(ngx_phrony_teller_t *teller,
    ngx_phrony_notice_t *notice);
static void ngx_phrony_receipt_keep(ngx_phrony_teller_t *teller,
    ngx_phrony_notice_t *notice);


void
ngx_phrony_receipt_tell(ngx_phrony_teller_t *teller,
    ngx_phrony_notice_t *notice)
{
    ngx_phrony_redis_command_t    *command;
    ngx_phrony_receipt_deliver_t  *deliver;

    command = NULL;

    if (ngx_phrony_tell_ready(teller, &notice->of.workspace_id)) {
        command = ngx_phrony_receipt_encode(&teller->encoder, notice);
    }

    if (command == NULL) {
        ngx_phrony_receipt_keep(teller, notice);
        return;
    }

    deliver = command->data;

    deliver->teller = teller;
    deliver->batch = teller->batching;
    deliver->notice = *notice;

    ngx_str_null(&deliver->notice.of.stored);

    command->handler = ngx_phrony_receipt_handler;
    command->lazy = !teller->batching;

    if (ngx_phrony_redis_send(teller->encoder.redis, command) != NGX_OK) {
        ngx_phrony_receipt_keep(teller, notice);
        return;
    }

    teller->telling += teller->batching;
}


/* What is stored is its last argument, and the only one of no fixed width. */

static ngx_phrony_template_t *
ngx_phrony_receipt_template(ngx_phrony_encoder_t *encoder)
{
    ngx_int_t                   rc;
    ngx_phrony_template_args_t  args;

    if (encoder->deliver.bytes.len) {
        return &encoder->deliver;
    }

    ngx_phrony_template_begin(&args, encoder->prefix);

    ngx_phrony_template_add(&args, "2");
    ngx_phrony_template_add_delivery(&args);
    ngx_phrony_template_add_key(&args, ":runs:");
    ngx_phrony_template_add_blank(&args, NGX_PHRONY_NOTICE_LEN);
    ngx_phrony_template_add(&args, "");

    rc = ngx_phrony_template_script(&encoder->deliver, encoder->redis,
                                    PHRONY_SCRIPT_DELIVER, &args);

    return (rc == NGX_OK) ? &encoder->deliver : NULL;
}


static ngx_phrony_redis_command_t *
ngx_phrony_receipt_encode(ngx_phrony_encoder_t *encoder,
    ngx_phrony_notice_t *notice)
{
    u_char                      *p, ids[2 * PHRONY_UUID_TEXT_LEN];
    ngx_phrony_template_t       *t;
    ngx_phrony_redis_command_t  *command;

    t = ngx_phrony_receipt_template(encoder);
    if (t == NULL) {
        return NULL;
    }

    command = ngx_phrony_template_copy_tail(t, encoder->redis,
                                        &notice->of.stored,
                                        sizeof(ngx_phrony_receipt_deliver_t));
    if (command == NULL) {
        return NULL;
    }

    command->slot = ngx_phrony_encode_slot(encoder, &notice->of.workspace_id);

    p = phrony_uuid_format(ids, &notice->of.workspace_id);
    (void) phrony_uuid_format(p, &notice->of.trigger_id);

    p = command->bytes;

    ngx_phrony_encode_delivery(encoder, p + t->args[1], ids,
                               notice->of.digest);
    ngx_phrony_encode_ids(encoder, p + t->args[2], sizeof(":runs:") - 1, ids);

    (void) ngx_phrony_notice_write(p + t->args[3], notice);

    return command;
}


static void
ngx_phrony_receipt_handler(ngx_phrony_redis_command_t *command,
    ngx_phrony_redis_result_t result, const phrony_resp_t *reply)
{
    ngx_phrony_teller_t           *teller;
    ngx_phrony_receipt_deliver_t  *deliver;

    deliver = command->data;
    teller = deliver->teller;

    if (result != NGX_PHRONY_REDIS_ANSWERED
        || (reply->type != PHRONY_RESP_INTEGER
            && ngx_phrony_tell_passes(reply, "a delivery")))
    {
        teller->paused = 1;
        ngx_phrony_receipt_keep(teller, &deliver->notice);
    }

    if (result == NGX_PHRONY_REDIS_ANSWERED
        && reply->type == PHRONY_RESP_INTEGER
        && reply->integer == NGX_PHRONY_RECEIPT_OVERRULED)
    {
        ngx_phrony_receipt_overruled(teller, &deliver->notice);
    }

    if (deliver->batch) {
        ngx_phrony_batch_done(teller);
    }
}


/* All gateways are to give the same answer, so this one's is not kept. */

static void
ngx_phrony_receipt_overruled(ngx_phrony_teller_t *teller,
    ngx_phrony_notice_t *notice)
{
    ngx_phrony_claim_t  *claim;

    (void) ngx_phrony_zone_lock(teller->zone);

    claim = ngx_phrony_claim_find(teller->zone, notice->of.digest);

    if (claim && phrony_uuid_eq(&claim->owner, &notice->of.owner)) {
        ngx_phrony_claim_free(teller->zone, claim);
    }

    ngx_phrony_zone_unlock(teller->zone);
}


static void
ngx_phrony_receipt_keep(ngx_phrony_teller_t *teller,
    ngx_phrony_notice_t *notice)
{
    (void) ngx_phrony_zone_lock(teller->zone);

    ngx_phrony_notice_keep(teller->zone, notice);

    ngx_phrony_zone_unlock(teller->zone);
}
