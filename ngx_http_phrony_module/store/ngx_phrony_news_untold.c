
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_phrony_news.h"
#include "ngx_phrony_run.h"
#include "ngx_phrony_share.h"
#include "ngx_phrony_trigger.h"


static void ngx_phrony_news_alias(ngx_phrony_zone_t *zone,
    ngx_phrony_run_t *run, ngx_phrony_news_t *news);
static void ngx_phrony_news_give_up(ngx_phrony_run_t *run,
    ngx_phrony_news_t *news);
static void ngx_phrony_news_tell(ngx_phrony_zone_t *zone,
    ngx_phrony_run_t *run, ngx_phrony_news_t *news);


ngx_int_t
ngx_phrony_news_keep(ngx_phrony_zone_t *zone, ngx_phrony_news_t *news)
{
    phrony_uuid_t         *id;
    ngx_phrony_run_t      *run;
    ngx_phrony_root_t     *root;
    ngx_phrony_share_t    *share;
    ngx_phrony_trigger_t  *trigger;

    if (news->event == NGX_PHRONY_NEWS_FOUND
        || news->event == NGX_PHRONY_NEWS_GONE)
    {
        return NGX_OK;
    }

    root = zone->shpool->data;

    trigger = ngx_phrony_trigger_use(zone, &news->trigger_id);
    share = NULL;

    if (trigger) {
        share = ngx_phrony_share_use(zone, trigger, &news->workspace_id);
    }

    if (share == NULL) {
        root->exhausted++;
        return NGX_ERROR;
    }

    if (news->has_agent) {
        share->agent_id = news->agent_id;
    }

    /* as long as this is not 0, the trigger does not make room for the run */

    share->nuntold++;

    id = news->has_run ? &news->run_id : &news->lease_id;

    run = ngx_phrony_news_record(zone, ngx_phrony_run_alive(zone, id), news);

    if (run) {
        ngx_phrony_news_give_up(run, news);
        ngx_phrony_run_untold(root, run, trigger);
        ngx_phrony_news_alias(zone, run, news);
    }

    share->nuntold--;

    return run ? NGX_OK : NGX_ERROR;
}


/*
 * Of two leases that became one run there is room for one in its record.  The
 * other gets a record of its own: FREE, with the run in the place of a lease.
 */

static void
ngx_phrony_news_alias(ngx_phrony_zone_t *zone, ngx_phrony_run_t *run,
    ngx_phrony_news_t *news)
{
    ngx_phrony_run_t   *alias;
    ngx_phrony_root_t  *root;

    if (!news->has_run || !news->has_lease
        || phrony_uuid_eq(&run->lease_id, &news->lease_id)
        || ngx_phrony_run_alive(zone, &news->lease_id))
    {
        return;
    }

    root = zone->shpool->data;

    alias = ngx_phrony_run_know(zone, &news->lease_id, &run->trigger_id,
                                PHRONY_LEASE_FREE, news->ttl);
    if (alias == NULL) {
        root->exhausted++;
        return;
    }

    alias->lease_id = news->run_id;
    alias->has_lease = 1;

    ngx_phrony_run_untold(root, alias,
                          ngx_phrony_trigger_find(root, &run->trigger_id));
}


/*
 * A lease that is given back, or abandoned, and a run that has ended stay so
 * whatever is told late.
 */

static void
ngx_phrony_news_give_up(ngx_phrony_run_t *run, ngx_phrony_news_t *news)
{
    if (news->event == NGX_PHRONY_NEWS_END
        && run->state == PHRONY_LEASE_BOUND
        && run->trigger == NULL)
    {
        run->state = PHRONY_LEASE_ENDED;
    }

    if (news->event == NGX_PHRONY_NEWS_ABANDON) {
        run->abandoned = 1;

        if (run->state == PHRONY_LEASE_FREE && run->untold) {

            /* it was given back for a shorter time; it is in no queue */

            run->expires = ngx_max(run->expires, run->renewed + news->ttl);
        }
    }

    if (run->state == PHRONY_LEASE_RESERVED
        && run->trigger == NULL
        && (news->event == NGX_PHRONY_NEWS_RELEASE
            || news->event == NGX_PHRONY_NEWS_ABANDON))
    {
        run->state = PHRONY_LEASE_FREE;
    }
}


ngx_int_t
ngx_phrony_news_next(ngx_phrony_zone_t *zone, ngx_phrony_news_t *news)
{
    ngx_queue_t        *q;
    ngx_phrony_run_t   *run;
    ngx_phrony_root_t  *root;

    root = zone->shpool->data;

    while (!ngx_queue_empty(&root->untold)) {

        q = ngx_queue_head(&root->untold);
        run = ngx_queue_data(q, ngx_phrony_run_t, link);

        if (run->expires <= zone->now) {
            ngx_phrony_run_free(zone, run);
            continue;
        }

        ngx_phrony_news_tell(zone, run, news);

        return NGX_OK;
    }

    return NGX_DECLINED;
}


static void
ngx_phrony_news_tell(ngx_phrony_zone_t *zone, ngx_phrony_run_t *run,
    ngx_phrony_news_t *news)
{
    ngx_phrony_share_t  *share;

    share = ngx_phrony_trigger_find(zone->shpool->data,
                                    &run->trigger_id)->share;

    ngx_memzero(news, sizeof(ngx_phrony_news_t));

    news->trigger_id = run->trigger_id;
    news->workspace_id = share->workspace_id;
    news->ttl = run->expires - zone->now;

    run->renewed = zone->now;

    if (run->state == PHRONY_LEASE_FREE
        || run->state == PHRONY_LEASE_RESERVED)
    {
        news->has_lease = 1;
        news->lease_id = run->id;

    } else {
        news->has_lease = run->has_lease;
        news->lease_id = run->lease_id;
        news->has_run = 1;
        news->run_id = run->id;
        news->has_agent = !phrony_uuid_nil(&share->agent_id);
        news->agent_id = share->agent_id;
    }

    switch (run->state) {

    case PHRONY_LEASE_FREE:
        news->event = run->abandoned ? NGX_PHRONY_NEWS_ABANDON
                                     : NGX_PHRONY_NEWS_RELEASE;

        if (run->has_lease) {
            news->event = NGX_PHRONY_NEWS_BIND;
            news->has_run = 1;
            news->run_id = run->lease_id;
        }

        ngx_phrony_run_free(zone, run);
        return;

    case PHRONY_LEASE_RESERVED:
        news->event = NGX_PHRONY_NEWS_HOLD;
        break;

    case PHRONY_LEASE_BOUND:
        news->event = NGX_PHRONY_NEWS_BIND;
        break;

    case PHRONY_LEASE_ENDED:
        news->event = NGX_PHRONY_NEWS_END;
        break;
    }

    ngx_phrony_run_told(zone, run);
}
