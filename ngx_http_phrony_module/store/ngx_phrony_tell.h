
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_PHRONY_TELL_H_INCLUDED_
#define _NGX_PHRONY_TELL_H_INCLUDED_


#include "ngx_phrony_encode.h"
#include "ngx_phrony_news.h"


PHRONY_HIDDEN_BEGIN


/*
 * How a worker tells Redis what it has not asked for, of leases and runs:
 *
 *     settle ──▶ group of its trigger ──▶ along with its next start
 *                     │     ▲          └▶ a command of its own, soon
 *                     │     │ not carried out, nor perhaps
 *                     ▼     ▼
 *               untold in the zone ──▶ in batches, by whoever has a connection
 *
 * News of an end leave with this turn of the event loop.  Others wait 2 ms for
 * a start of their trigger, and then for any packet that leaves.
 */

typedef struct ngx_phrony_teller_s  ngx_phrony_teller_t;


/* News of one trigger that wait. */

typedef struct ngx_phrony_group_s  ngx_phrony_group_t;

struct ngx_phrony_group_s {
    ngx_queue_t             queue;      /* in teller->groups */
    ngx_phrony_group_t     *next;       /* in its chain, or among the spare */
    ngx_uint_t              urgent;
    ngx_msec_t              since;      /* the first of its news */
    ngx_phrony_news_t       of;         /* trigger_id, workspace_id */
    ngx_str_t               news;       /* in text */
    u_char                  text[NGX_PHRONY_ENCODE_NEWS
                                 * NGX_PHRONY_NEWS_LEN];
};


#define NGX_PHRONY_TELL_CHAINS  64


struct ngx_phrony_teller_s {
    ngx_phrony_zone_t      *zone;
    ngx_phrony_encoder_t    encoder;
    ngx_uint_t              closed;     /* nothing is sent any more */

    ngx_queue_t             groups;     /* the oldest first */
    ngx_phrony_group_t     *chains[NGX_PHRONY_TELL_CHAINS];
    ngx_phrony_group_t     *spare;
    ngx_uint_t              nspare;

    ngx_event_t             lazy;       /* timer: the oldest groups leave */
    ngx_event_t             urgent;     /* posted: urgent ones do */
    ngx_event_t             batch;      /* posted: what is untold leaves */
    ngx_event_t             later;      /* timer: looks for it */
    ngx_uint_t              batching;   /* what is sent belongs to a batch */
    ngx_uint_t              telling;    /* commands of it in flight */
    ngx_uint_t              paused;     /* one failed: none for now */
    ngx_uint_t              logging;    /* entries of logs in flight */
};


/*
 * Begins to look for what is untold.  Returns NULL if there is no memory.
 * destroy() takes NULL, too; what still waits then is lost.
 */

ngx_phrony_teller_t *ngx_phrony_tell_create(ngx_phrony_zone_t *zone,
    ngx_phrony_redis_t *redis, ngx_str_t *prefix, ngx_uint_t cluster);

void ngx_phrony_tell_destroy(ngx_phrony_teller_t *teller);


/* Returns 1 if Redis can be told of this workspace now, else 0. */

ngx_uint_t ngx_phrony_tell_ready(ngx_phrony_teller_t *teller,
    phrony_uuid_t *workspace_id);


/* Tells, or notes in the zone if that cannot be done. */

void ngx_phrony_tell(ngx_phrony_teller_t *teller, ngx_phrony_news_t *news);


/*
 * What waits to go along with a start, or NULL.  Once it is on its way, forget
 * it: the text is in the command then.
 */

ngx_phrony_group_t *ngx_phrony_tell_waiting(ngx_phrony_teller_t *teller,
    phrony_uuid_t *trigger_id, phrony_uuid_t *workspace_id);

void ngx_phrony_tell_forget(ngx_phrony_teller_t *teller,
    ngx_phrony_group_t *group);


/*
 * Notes in the zone the last "n" news of a command that failed; "of" has ids
 * of trigger and workspace.
 */

void ngx_phrony_tell_again(ngx_phrony_teller_t *teller,
    ngx_phrony_redis_command_t *command, ngx_uint_t n,
    ngx_phrony_news_t *of);


/* Notes one in the zone. */

void ngx_phrony_tell_keep(ngx_phrony_teller_t *teller,
    ngx_phrony_news_t *news);


/* Sends all that waits. */

void ngx_phrony_tell_flush(ngx_phrony_teller_t *teller);


/*
 * Returns 1 if an error may pass by itself, so that the same command is to be
 * tried again later, else 0.  Logs it, or any other reply that is not what
 * "what" should be answered by, once a second.
 */

ngx_uint_t ngx_phrony_tell_passes(const phrony_resp_t *reply,
    const char *what);


PHRONY_HIDDEN_END


#endif /* _NGX_PHRONY_TELL_H_INCLUDED_ */
