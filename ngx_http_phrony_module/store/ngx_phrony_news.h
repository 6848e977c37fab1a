
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_PHRONY_NEWS_H_INCLUDED_
#define _NGX_PHRONY_NEWS_H_INCLUDED_


#include "ngx_phrony_store.h"
#include "ngx_phrony_template.h"
#include "ngx_phrony_zone.h"


/* the text of news, as lua/parts/settle.lua reads it */

#define NGX_PHRONY_NEWS_DIGITS  NGX_PHRONY_TEMPLATE_DIGITS
#define NGX_PHRONY_NEWS_LEN     (1 + 2 * PHRONY_UUID_TEXT_LEN                 \
                                 + NGX_PHRONY_NEWS_DIGITS)


PHRONY_HIDDEN_BEGIN


/*
 * What Redis is to be told of a lease or a run, in the letters of the scripts.
 * Each can be told twice without harm.
 */

typedef enum {
    NGX_PHRONY_NEWS_NONE = 0,
    NGX_PHRONY_NEWS_BIND = 'B',     /* the run holds the lease's slot */
    NGX_PHRONY_NEWS_END = 'E',      /* the run has ended */
    NGX_PHRONY_NEWS_SEEN = 'S',     /* it is as it was, for "ttl" more */
    NGX_PHRONY_NEWS_RELEASE = 'R',  /* the lease is given back */
    NGX_PHRONY_NEWS_ABANDON = 'A',  /* likewise, if it ever is taken */
    NGX_PHRONY_NEWS_HOLD = 'H',     /* the lease holds a slot taken here */
    NGX_PHRONY_NEWS_FOUND = 'F',    /* the lease may be the run's, which goes
                                       on; it is, if nobody knew the run */
    NGX_PHRONY_NEWS_GONE = 'G'      /* likewise, and the run has ended */
} ngx_phrony_news_event_t;


typedef struct {
    ngx_phrony_news_event_t   event;
    unsigned                  has_lease:1;  /* lease_id is valid */
    unsigned                  has_run:1;    /* run_id is valid */
    unsigned                  has_agent:1;  /* agent_id is valid, and the
                                               run's key is to be set */
    phrony_uuid_t             lease_id;
    phrony_uuid_t             run_id;
    phrony_uuid_t             trigger_id;
    phrony_uuid_t             workspace_id;
    phrony_uuid_t             agent_id;
    uint64_t                  ttl;          /* ms */
} ngx_phrony_news_t;


/*
 * The following are called with the lock of the zone held.
 */

/*
 * Applies a settlement to the zone where Redis decides.  What Redis is to be
 * told now is in "news", whose event is NONE if there is nothing, or if it is
 * among what is untold.
 */

void ngx_phrony_news_settle(ngx_phrony_zone_t *zone,
    ngx_phrony_settlement_t *s, ngx_phrony_news_t *news);

/*
 * Notes that Redis is still to be told, unless that is of no use later.
 * Returns NGX_ERROR if there is no room, which is counted.
 */

ngx_int_t ngx_phrony_news_keep(ngx_phrony_zone_t *zone,
    ngx_phrony_news_t *news);

/*
 * Notes the news of a run, or lease, which is made known if "run" is NULL.
 * Returns it, or NULL if there is no room.
 */

ngx_phrony_run_t *ngx_phrony_news_record(ngx_phrony_zone_t *zone,
    ngx_phrony_run_t *run, ngx_phrony_news_t *news);

/*
 * The news of the run that has waited longest, which counts as told then.
 * Returns NGX_DECLINED if there is none.
 */

ngx_int_t ngx_phrony_news_next(ngx_phrony_zone_t *zone,
    ngx_phrony_news_t *news);


/* Writes NGX_PHRONY_NEWS_LEN bytes, and returns what is behind them. */

u_char *ngx_phrony_news_write(u_char *p, ngx_phrony_news_t *news);

/* Reads what was written; the other ids are not set. */

void ngx_phrony_news_read(u_char *p, ngx_phrony_news_t *news);

/*
 * Writes a number of NGX_PHRONY_NEWS_DIGITS characters, with zeros in front,
 * and returns what is behind it.  A greater one is written as the greatest, a
 * negative one as -1.
 */

u_char *ngx_phrony_news_number(u_char *p, int64_t n);


PHRONY_HIDDEN_END


#endif /* _NGX_PHRONY_NEWS_H_INCLUDED_ */
