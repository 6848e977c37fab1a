
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_phrony_suspect.h"
#include "ngx_phrony_run.h"
#include "ngx_phrony_trigger.h"


#define NGX_PHRONY_SUSPECT_LOOK  64     /* runs at most, at once */


static ngx_uint_t ngx_phrony_suspect_quiet(ngx_phrony_run_t *run,
    uint64_t now);
static void ngx_phrony_suspect_add(ngx_phrony_suspects_t *suspects,
    phrony_uuid_t *id, uint64_t unseen);
static void ngx_phrony_suspect_add_lease(ngx_phrony_suspects_t *suspects,
    phrony_uuid_t *id, uint64_t unseen);
static ngx_phrony_template_t *ngx_phrony_suspect_template(
    ngx_phrony_encoder_t *encoder);
static ngx_int_t ngx_phrony_suspect_take(ngx_phrony_suspects_t *suspects,
    const phrony_resp_t *element, ngx_phrony_zone_t *zone);


ngx_uint_t
ngx_phrony_suspect_due(ngx_phrony_zone_t *zone, phrony_uuid_t *trigger_id)
{
    ngx_phrony_trigger_t  *trigger;

    trigger = ngx_phrony_trigger_find(zone->shpool->data, trigger_id);

    if (trigger == NULL
        || (trigger->asked
            && zone->now - trigger->asked < NGX_PHRONY_SUSPECT_INTERVAL))
    {
        return 0;
    }

    trigger->asked = zone->now;

    return 1;
}


/*
 * Those that were asked for go to the front of the queue, though they may be
 * as unseen as before: so that one of which the upstream says nothing does
 * not hide others.
 */

void
ngx_phrony_suspect_find(ngx_phrony_zone_t *zone, ngx_phrony_op_t *op)
{
    ngx_uint_t              n;
    ngx_queue_t            *q, *prev, *head;
    ngx_phrony_run_t       *run;
    ngx_phrony_trigger_t   *trigger;

    trigger = ngx_phrony_trigger_find(zone->shpool->data, &op->trigger_id);

    if (trigger == NULL) {
        return;
    }

    q = ngx_queue_last(&trigger->runs);

    /* before this one there will be those that were looked at */

    head = ngx_queue_head(&trigger->runs);

    for (n = 0; n < NGX_PHRONY_SUSPECT_LOOK; n++) {

        if (q == ngx_queue_sentinel(&trigger->runs)
            || op->suspects->nruns == NGX_PHRONY_SUSPECT_MAX)
        {
            return;
        }

        prev = ngx_queue_prev(q);
        run = ngx_queue_data(q, ngx_phrony_run_t, link);

        if (ngx_phrony_suspect_quiet(run, zone->now)) {
            ngx_phrony_suspect_add(op->suspects, &run->id,
                                   (uint32_t) zone->now - run->seen);

            ngx_queue_remove(q);
            ngx_queue_insert_head(&trigger->runs, q);
        }

        if (q == head) {
            return;
        }

        q = prev;
    }
}


static ngx_uint_t
ngx_phrony_suspect_quiet(ngx_phrony_run_t *run, uint64_t now)
{
    return run->expires > now
           && (uint32_t) now - run->seen >= NGX_PHRONY_SUSPECT_QUIET;
}


static void
ngx_phrony_suspect_add(ngx_phrony_suspects_t *suspects, phrony_uuid_t *id,
    uint64_t unseen)
{
    if (phrony_lease_is_id(id)) {
        ngx_phrony_suspect_add_lease(suspects, id, unseen);

    } else if (suspects->nruns < NGX_PHRONY_SUSPECT_MAX) {
        suspects->runs[suspects->nruns].id = *id;
        suspects->runs[suspects->nruns].unseen = unseen;

        suspects->nruns++;
    }
}


/*
 * Any run that began since may be that of the oldest reservation, so these
 * are wanted, whichever were named before.
 */

static void
ngx_phrony_suspect_add_lease(ngx_phrony_suspects_t *suspects,
    phrony_uuid_t *id, uint64_t unseen)
{
    ngx_uint_t             i;
    ngx_phrony_suspect_t  *leases;

    leases = suspects->leases;
    i = suspects->nleases;

    if (i < NGX_PHRONY_SUSPECT_MAX) {
        suspects->nleases++;

    } else if (leases[--i].unseen >= unseen) {
        return;
    }

    for ( /* void */ ; i && leases[i - 1].unseen < unseen; i--) {
        leases[i] = leases[i - 1];
    }

    leases[i].id = *id;
    leases[i].unseen = unseen;
}


static ngx_phrony_template_t *
ngx_phrony_suspect_template(ngx_phrony_encoder_t *encoder)
{
    ngx_int_t                   rc;
    ngx_uint_t                  i;
    ngx_phrony_template_args_t  args;

    if (encoder->suspects.bytes.len) {
        return &encoder->suspects;
    }

    ngx_phrony_template_begin(&args, encoder->prefix);

    ngx_phrony_template_add(&args, "2");
    ngx_phrony_template_add_key(&args, ":runs:");
    ngx_phrony_template_add_key(&args, ":asked:");

    for (i = 0; i < 4; i++) {
        ngx_phrony_template_add_blank(&args, NGX_PHRONY_NEWS_DIGITS);
    }

    rc = ngx_phrony_template_script(&encoder->suspects, encoder->redis,
                                    PHRONY_SCRIPT_SUSPECTS, &args);

    return (rc == NGX_OK) ? &encoder->suspects : NULL;
}


ngx_phrony_redis_command_t *
ngx_phrony_suspect_encode(ngx_phrony_encoder_t *encoder, ngx_phrony_op_t *op,
    size_t size)
{
    u_char                      *p, ids[2 * PHRONY_UUID_TEXT_LEN];
    uint16_t                    *arg;
    ngx_phrony_template_t       *t;
    ngx_phrony_redis_command_t  *command;

    t = ngx_phrony_suspect_template(encoder);
    if (t == NULL) {
        return NULL;
    }

    command = ngx_phrony_template_copy(t, encoder->redis, size);
    if (command == NULL) {
        return NULL;
    }

    command->slot = ngx_phrony_encode_slot(encoder, &op->workspace_id);

    p = phrony_uuid_format(ids, &op->workspace_id);
    (void) phrony_uuid_format(p, &op->trigger_id);

    p = command->bytes;

    arg = t->args + 1;

    ngx_phrony_encode_ids(encoder, p + *arg++, sizeof(":runs:") - 1, ids);
    ngx_phrony_encode_ids(encoder, p + *arg++, sizeof(":asked:") - 1, ids);

    (void) ngx_phrony_news_number(p + *arg++, (int64_t) op->run_ttl);
    (void) ngx_phrony_news_number(p + *arg++, (int64_t) op->reservation_ttl);
    (void) ngx_phrony_news_number(p + *arg++, NGX_PHRONY_SUSPECT_QUIET);
    (void) ngx_phrony_news_number(p + *arg, NGX_PHRONY_SUSPECT_INTERVAL);

    return command;
}


ngx_int_t
ngx_phrony_suspect_parse(ngx_phrony_suspects_t *suspects,
    const phrony_resp_t *reply, ngx_phrony_zone_t *zone)
{
    size_t     i;
    ngx_int_t  rc;

    if (!phrony_resp_integers(reply, 1)
        || reply->elements[0].integer != 1
        || reply->n % 2 == 0)
    {
        return NGX_ERROR;
    }

    rc = NGX_OK;

    (void) ngx_phrony_zone_lock(zone);

    for (i = 1; i < reply->n && rc == NGX_OK; i += 2) {
        rc = ngx_phrony_suspect_take(suspects, &reply->elements[i], zone);
    }

    ngx_phrony_zone_unlock(zone);

    return rc;
}


/* An id, and the time behind it. */

static ngx_int_t
ngx_phrony_suspect_take(ngx_phrony_suspects_t *suspects,
    const phrony_resp_t *element, ngx_phrony_zone_t *zone)
{
    phrony_uuid_t      id;
    ngx_phrony_run_t  *run;

    if (element[0].type != PHRONY_RESP_STRING
        || phrony_uuid_parse(&element[0].str, &id) != 0
        || element[1].type != PHRONY_RESP_INTEGER
        || element[1].integer < 0)
    {
        return NGX_ERROR;
    }

    run = ngx_phrony_run_alive(zone, &id);

    if (run == NULL || ngx_phrony_suspect_quiet(run, zone->now)) {
        ngx_phrony_suspect_add(suspects, &id, element[1].integer);
    }

    return NGX_OK;
}
