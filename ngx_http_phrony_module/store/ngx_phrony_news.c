
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_phrony_news.h"
#include "ngx_phrony_run.h"
#include "ngx_phrony_share.h"
#include "ngx_phrony_trigger.h"


#define NGX_PHRONY_NEWS_RENEW  16   /* a part of the time to live */
#define NGX_PHRONY_NEWS_SWEEP  2


static void ngx_phrony_news_start(ngx_phrony_zone_t *zone,
    ngx_phrony_settlement_t *s, ngx_phrony_news_t *news);
static ngx_int_t ngx_phrony_news_retire(ngx_phrony_zone_t *zone,
    ngx_phrony_settlement_t *s);
static void ngx_phrony_news_local(ngx_phrony_zone_t *zone,
    ngx_phrony_run_t *lease, ngx_phrony_settlement_t *s);
static void ngx_phrony_news_run(ngx_phrony_zone_t *zone,
    ngx_phrony_settlement_t *s, ngx_phrony_news_t *news);
static ngx_phrony_news_event_t ngx_phrony_news_again(ngx_phrony_run_t *run);
static ngx_int_t ngx_phrony_news_ids(ngx_phrony_zone_t *zone,
    ngx_phrony_run_t *run, ngx_phrony_news_t *news);
static ngx_phrony_run_t *ngx_phrony_news_know(ngx_phrony_zone_t *zone,
    ngx_phrony_news_t *news);


void
ngx_phrony_news_settle(ngx_phrony_zone_t *zone, ngx_phrony_settlement_t *s,
    ngx_phrony_news_t *news)
{
    ngx_phrony_root_t  *root;

    root = zone->shpool->data;

    /* each may add one, and nobody else looks while Redis decides */

    ngx_phrony_run_sweep_ended(zone, NGX_PHRONY_NEWS_SWEEP);

    if (s->run_ttl > root->longest) {
        root->longest = s->run_ttl;
    }

    ngx_memzero(news, sizeof(ngx_phrony_news_t));

    news->has_agent = s->has_run && !phrony_uuid_nil(&s->agent_id);
    news->trigger_id = s->trigger_id;
    news->workspace_id = s->workspace_id;
    news->agent_id = s->agent_id;
    news->ttl = s->run_ttl;

    if (s->has_run) {
        news->has_run = 1;
        news->run_id = s->run_id;
    }

    if (s->start) {
        ngx_phrony_news_start(zone, s, news);

    } else if (s->has_run) {
        ngx_phrony_news_run(zone, s, news);
    }
}


static void
ngx_phrony_news_start(ngx_phrony_zone_t *zone, ngx_phrony_settlement_t *s,
    ngx_phrony_news_t *news)
{
    ngx_phrony_run_t      *lease, *run;
    phrony_lease_state_t   state;

    lease = s->leased ? ngx_phrony_run_alive(zone, &s->lease_id) : NULL;

    if (lease && lease->trigger) {
        ngx_phrony_news_local(zone, lease, s);
        return;
    }

    if (s->leased && ngx_phrony_news_retire(zone, s) != NGX_OK) {
        news->has_lease = 1;
        news->lease_id = s->lease_id;
    }

    run = s->has_run ? ngx_phrony_run_alive(zone, &s->run_id) : NULL;

    if (s->leased && (run || s->event != PHRONY_LEASE_BIND)) {
        ngx_phrony_share_back(ngx_phrony_trigger_find(zone->shpool->data,
                                                      &s->trigger_id));
    }

    if (!s->has_run) {
        news->event = news->has_lease ? NGX_PHRONY_NEWS_RELEASE
                                      : NGX_PHRONY_NEWS_NONE;
        return;
    }

    state = (s->event == PHRONY_LEASE_BIND) ? PHRONY_LEASE_BOUND
                                            : PHRONY_LEASE_ENDED;

    if (run) {
        ngx_phrony_run_see(zone, run, s);
        state = run->state;
    }

    if (state == PHRONY_LEASE_ENDED) {
        news->event = NGX_PHRONY_NEWS_END;

    } else if (s->leased) {
        news->event = NGX_PHRONY_NEWS_BIND;

    } else {

        /* it gets no slot, but keeps one that another start got for it */

        news->event = ngx_phrony_news_again(run);
    }

    run = ngx_phrony_news_record(zone, run, news);

    if (run && run->began == 0 && state == PHRONY_LEASE_BOUND) {
        ngx_phrony_run_began(zone, run);
    }
}


/* The lease is this gateway's own: what becomes of it is told with it. */

static void
ngx_phrony_news_local(ngx_phrony_zone_t *zone, ngx_phrony_run_t *lease,
    ngx_phrony_settlement_t *s)
{
    ngx_phrony_run_t      *run;
    ngx_phrony_root_t     *root;
    ngx_phrony_trigger_t  *trigger;

    root = zone->shpool->data;
    run = s->has_run ? ngx_phrony_run_alive(zone, &s->run_id) : NULL;

    if (lease->trigger->share && !phrony_uuid_nil(&s->agent_id)) {
        lease->trigger->share->agent_id = s->agent_id;
    }

    if (run == NULL && s->has_run) {
        ngx_phrony_run_rename(root, lease, &s->run_id);

        /* that it was started here is remembered, see news_again() */

        lease->lease_id = s->lease_id;
        lease->has_lease = 1;

        ngx_phrony_run_see(zone, lease, s);
        return;
    }

    ngx_phrony_run_free(zone, lease);

    if (run == NULL) {
        return;
    }

    ngx_phrony_run_see(zone, run, s);

    /* Redis may hold a slot for it */

    trigger = ngx_phrony_trigger_find(root, &run->trigger_id);

    if (s->event == PHRONY_LEASE_END && trigger && trigger->share) {
        ngx_phrony_run_untold(root, run, trigger);
    }
}


/*
 * If the lease was this gateway's own, Redis was told that it holds a slot; or
 * is being told, by another worker perhaps; or nobody knows whether that has
 * arrived.  So that it does not hold the slot again if it arrives only now,
 * the lease is not just given back but abandoned.
 * Returns NGX_OK, or NGX_DECLINED if it is not, and may be given back.
 */

static ngx_int_t
ngx_phrony_news_retire(ngx_phrony_zone_t *zone, ngx_phrony_settlement_t *s)
{
    ngx_int_t          rc;
    ngx_phrony_run_t  *lease;
    ngx_phrony_news_t  news;

    if (!ngx_phrony_run_reserved(zone->shpool->data, &s->lease_id)) {
        return NGX_DECLINED;
    }

    ngx_memzero(&news, sizeof(ngx_phrony_news_t));

    news.event = NGX_PHRONY_NEWS_ABANDON;
    news.has_lease = 1;
    news.lease_id = s->lease_id;
    news.trigger_id = s->trigger_id;
    news.workspace_id = s->workspace_id;
    news.ttl = s->run_ttl;

    /* as long as it may be told */

    lease = ngx_phrony_run_alive(zone, &s->lease_id);

    if (lease) {
        news.ttl = ngx_max(news.ttl, lease->expires - zone->now);
    }

    rc = ngx_phrony_news_keep(zone, &news);

    return (rc == NGX_OK) ? NGX_OK : NGX_DECLINED;
}


/* A run was seen that was started before. */

static void
ngx_phrony_news_run(ngx_phrony_zone_t *zone, ngx_phrony_settlement_t *s,
    ngx_phrony_news_t *news)
{
    ngx_uint_t         ended;
    ngx_phrony_run_t  *run;

    run = ngx_phrony_run_alive(zone, &s->run_id);

    ended = (s->event == PHRONY_LEASE_END
             && (run == NULL || run->state != PHRONY_LEASE_ENDED));

    if (run) {
        ngx_phrony_run_see(zone, run, s);
    }

    news->event = ended ? NGX_PHRONY_NEWS_END : ngx_phrony_news_again(run);

    if (ngx_phrony_news_ids(zone, run, news) != NGX_OK) {

        if (run == NULL && ended) {
            (void) ngx_phrony_news_record(zone, NULL, news);
        }

        news->event = NGX_PHRONY_NEWS_NONE;
        return;
    }

    if (run && (run->untold
                || (!ended && zone->now - run->renewed
                              < s->run_ttl / NGX_PHRONY_NEWS_RENEW)))
    {
        news->event = NGX_PHRONY_NEWS_NONE;
        return;
    }

    if (run) {
        news->has_lease = run->has_lease;
        news->lease_id = run->lease_id;
    }

    (void) ngx_phrony_news_record(zone, run, news);
}


/*
 * What to say of a run that was seen before: all that is known here, since
 * Redis may have lost it in a failover.  Of a run that was not started here,
 * it is not known whether it held a slot.
 */

static ngx_phrony_news_event_t
ngx_phrony_news_again(ngx_phrony_run_t *run)
{
    if (run && run->state == PHRONY_LEASE_ENDED) {
        return NGX_PHRONY_NEWS_END;
    }

    if (run && run->state == PHRONY_LEASE_BOUND && run->has_lease) {
        return NGX_PHRONY_NEWS_BIND;
    }

    return NGX_PHRONY_NEWS_SEEN;
}


/* Whose the run is; NGX_DECLINED if nobody knows. */

static ngx_int_t
ngx_phrony_news_ids(ngx_phrony_zone_t *zone, ngx_phrony_run_t *run,
    ngx_phrony_news_t *news)
{
    ngx_phrony_trigger_t  *trigger;

    if (phrony_uuid_nil(&news->trigger_id)) {

        if (run == NULL || phrony_uuid_nil(&run->trigger_id)) {
            return NGX_DECLINED;
        }

        news->trigger_id = run->trigger_id;
    }

    if (!phrony_uuid_nil(&news->workspace_id)) {
        return NGX_OK;
    }

    trigger = ngx_phrony_trigger_find(zone->shpool->data, &news->trigger_id);

    if (trigger == NULL || trigger->share == NULL) {
        return NGX_DECLINED;
    }

    news->workspace_id = trigger->share->workspace_id;
    news->agent_id = trigger->share->agent_id;
    news->has_agent = !phrony_uuid_nil(&news->agent_id);

    return NGX_OK;
}


ngx_phrony_run_t *
ngx_phrony_news_record(ngx_phrony_zone_t *zone, ngx_phrony_run_t *run,
    ngx_phrony_news_t *news)
{
    ngx_phrony_root_t  *root;

    if (run == NULL) {
        run = ngx_phrony_news_know(zone, news);
    }

    if (run == NULL) {
        root = zone->shpool->data;
        root->exhausted++;
        return NULL;
    }

    /* one that is still to be told stands: see news_alias() */

    if (news->has_run && news->has_lease
        && !(run->untold && run->has_lease))
    {
        run->lease_id = news->lease_id;
        run->has_lease = 1;
    }

    run->renewed = zone->now;

    return run;
}


static ngx_phrony_run_t *
ngx_phrony_news_know(ngx_phrony_zone_t *zone, ngx_phrony_news_t *news)
{
    phrony_uuid_t         *id;
    phrony_lease_state_t   state;

    switch (news->event) {

    case NGX_PHRONY_NEWS_HOLD:
        state = PHRONY_LEASE_RESERVED;
        break;

    case NGX_PHRONY_NEWS_RELEASE:
    case NGX_PHRONY_NEWS_ABANDON:
        state = PHRONY_LEASE_FREE;
        break;

    case NGX_PHRONY_NEWS_END:
        state = PHRONY_LEASE_ENDED;
        break;

    default:
        state = PHRONY_LEASE_BOUND;
    }

    id = news->has_run ? &news->run_id : &news->lease_id;

    return ngx_phrony_run_know(zone, id, &news->trigger_id, state, news->ttl);
}
