
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_phrony_receipt.h"
#include "ngx_phrony_batch.h"


/* What a command needs once it is answered; what is stored is not in it. */

typedef struct {
    ngx_phrony_teller_t    *teller;
    ngx_uint_t              batch;
    ngx_phrony_notice_t     notice;
} ngx_phrony_receipt_deliver_t;


static ngx_phrony_redis_command_t *ngx_phrony_receipt_encode(
    ngx_phrony_encoder_t *encoder, ngx_phrony_notice_t *notice);
static void ngx_phrony_receipt_handler(ngx_phrony_redis_command_t *command,
    ngx_phrony_redis_result_t result, const phrony_resp_t *reply);
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


static ngx_phrony_redis_command_t *
ngx_phrony_receipt_encode(ngx_phrony_encoder_t *encoder,
    ngx_phrony_notice_t *notice)
{
    u_char                      *p, ids[2 * PHRONY_UUID_TEXT_LEN];
    u_char                       text[NGX_PHRONY_NOTICE_LEN];
    phrony_str_t                *arg;
    ngx_phrony_template_args_t   args;
    ngx_phrony_redis_command_t  *command;

    p = phrony_uuid_format(ids, &notice->of.workspace_id);
    (void) phrony_uuid_format(p, &notice->of.trigger_id);

    ngx_phrony_template_begin(&args, encoder->prefix);

    ngx_phrony_template_add(&args, "2");

    ngx_phrony_template_add_delivery(&args);
    ngx_phrony_encode_delivery(encoder, args.args[1].data, ids,
                               notice->of.digest);

    ngx_phrony_template_add_key(&args, ":runs:");
    ngx_phrony_encode_ids(encoder, args.args[2].data, sizeof(":runs:") - 1,
                          ids);

    arg = &args.args[args.n++];
    arg->data = text;
    arg->len = ngx_phrony_notice_write(text, notice) - text;

    arg = &args.args[args.n++];
    arg->data = notice->of.stored.data;
    arg->len = notice->of.stored.len;

    command = ngx_phrony_redis_eval(encoder->redis, PHRONY_SCRIPT_DELIVER,
                                    args.n, args.args,
                                    sizeof(ngx_phrony_receipt_deliver_t));
    if (command) {
        command->slot = ngx_phrony_encode_slot(encoder,
                                               &notice->of.workspace_id);
    }

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

    if (deliver->batch) {
        ngx_phrony_batch_done(teller);
    }
}


static void
ngx_phrony_receipt_keep(ngx_phrony_teller_t *teller,
    ngx_phrony_notice_t *notice)
{
    (void) ngx_phrony_zone_lock(teller->zone);

    ngx_phrony_notice_keep(teller->zone, notice);

    ngx_phrony_zone_unlock(teller->zone);
}
