
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_PHRONY_ENCODE_H_INCLUDED_
#define _NGX_PHRONY_ENCODE_H_INCLUDED_


#include "../redis/ngx_phrony_redis.h"
#include "ngx_phrony_news.h"
#include "ngx_phrony_notice.h"
#include "ngx_phrony_store.h"
#include "ngx_phrony_template.h"
#include "ngx_phrony_zone.h"


#define NGX_PHRONY_ENCODE_NEWS  16      /* that ride along, at most */


PHRONY_HIDDEN_BEGIN


/* The commands of the store. */

typedef struct {
    ngx_phrony_redis_t        *redis;
    ngx_str_t                 *prefix;
    ngx_uint_t                 cluster;         /* keys have slots */

    ngx_phrony_template_t      admit[NGX_PHRONY_ENCODE_NEWS + 1];
    ngx_phrony_template_t      claim[NGX_PHRONY_ENCODE_NEWS + 1];
    ngx_phrony_template_t      settle[NGX_PHRONY_ENCODE_NEWS + 1];
    ngx_phrony_template_t      read;
    ngx_phrony_template_t      get;
    ngx_phrony_template_t      deliver;         /* of ngx_phrony_receipt.c */
    ngx_phrony_template_t      suspects;        /* of ngx_phrony_suspect.c */
    ngx_phrony_template_t      ingress;         /* of ngx_phrony_ingress.c */
    ngx_phrony_template_t      set[NGX_PHRONY_NEWS_DIGITS + 1];
} ngx_phrony_encoder_t;


/* Frees the templates; the encoder was zeroed before its first use. */

void ngx_phrony_encode_free(ngx_phrony_encoder_t *encoder);


/* The slot of the keys of a workspace, and of a run's. */

ngx_uint_t ngx_phrony_encode_slot(ngx_phrony_encoder_t *encoder,
    phrony_uuid_t *workspace_id);

ngx_uint_t ngx_phrony_encode_run_slot(ngx_phrony_encoder_t *encoder,
    phrony_uuid_t *run_id);


/*
 * Fills in a key of a template: "ids" are those of workspace and trigger, as
 * text one behind the other, "kind" is how long the part between them is.
 */

void ngx_phrony_encode_ids(ngx_phrony_encoder_t *encoder, u_char *key,
    size_t kind, u_char *ids);

/* Likewise, the key of a delivery. */

void ngx_phrony_encode_delivery(ngx_phrony_encoder_t *encoder, u_char *key,
    u_char *ids, u_char *digest);


/*
 * The following make a command with "size" bytes for the sender.  They return
 * NULL if there is no memory.
 */

/*
 * A start, with its delivery if ngx_phrony_delivery_asks(), in which "n" news
 * ride along, NGX_PHRONY_NEWS_LEN bytes each; or a read if op->read is set.
 */

ngx_phrony_redis_command_t *ngx_phrony_encode_admit(
    ngx_phrony_encoder_t *encoder, ngx_phrony_op_t *op,
    phrony_uuid_t *lease_id, ngx_str_t *news, size_t size);

ngx_phrony_redis_command_t *ngx_phrony_encode_read(
    ngx_phrony_encoder_t *encoder, ngx_phrony_op_t *op, size_t size);

/* News of one trigger, 1 to NGX_PHRONY_ENCODE_NEWS of them. */

ngx_phrony_redis_command_t *ngx_phrony_encode_settle(
    ngx_phrony_encoder_t *encoder, ngx_phrony_news_t *of, ngx_str_t *news,
    size_t size);

/* Whose a run is, and the question for that. */

ngx_phrony_redis_command_t *ngx_phrony_encode_set(
    ngx_phrony_encoder_t *encoder, ngx_phrony_news_t *news, size_t size);

ngx_phrony_redis_command_t *ngx_phrony_encode_get(
    ngx_phrony_encoder_t *encoder, phrony_uuid_t *run_id, size_t size);

/* What was counted here. */

ngx_phrony_redis_command_t *ngx_phrony_encode_tell(
    ngx_phrony_encoder_t *encoder, ngx_phrony_share_t *share,
    ngx_phrony_counts_t *counts, uint64_t now, size_t size);


/*
 * Takes the trigger out of the answer to get().  Returns NGX_OK, NGX_DECLINED
 * if Redis does not know the run, or NGX_ERROR if this is no such answer.
 */

ngx_int_t ngx_phrony_encode_owner(const phrony_resp_t *reply,
    phrony_uuid_t *trigger_id);


PHRONY_HIDDEN_END


#endif /* _NGX_PHRONY_ENCODE_H_INCLUDED_ */
