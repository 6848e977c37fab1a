
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_phrony_tell.h"
#include "ngx_phrony_batch.h"


#define NGX_PHRONY_TELL_LAZY    2       /* ms, and then 2 at most */
#define NGX_PHRONY_TELL_SPARE   64      /* groups */

#define NGX_PHRONY_TELL_FRAMED  (sizeof("$88\r\n\r\n") - 1                    \
                                 + NGX_PHRONY_NEWS_LEN)


/* What a command needs once it is answered. */

typedef struct {
    ngx_phrony_teller_t    *teller;
    ngx_uint_t              batch;
    ngx_uint_t              n;          /* news */
    ngx_phrony_news_t       of;
} ngx_phrony_tell_settle_t;


static void ngx_phrony_tell_event(ngx_phrony_teller_t *teller,
    ngx_event_t *ev, ngx_event_handler_pt handler);
static void ngx_phrony_tell_lazy_handler(ngx_event_t *ev);
static void ngx_phrony_tell_urgent_handler(ngx_event_t *ev);
static ngx_phrony_group_t **ngx_phrony_tell_chain(
    ngx_phrony_teller_t *teller, phrony_uuid_t *trigger_id);
static ngx_phrony_group_t *ngx_phrony_tell_group(ngx_phrony_teller_t *teller,
    ngx_phrony_news_t *news);
static void ngx_phrony_tell_leave(ngx_phrony_teller_t *teller,
    ngx_uint_t all);
static void ngx_phrony_tell_send(ngx_phrony_teller_t *teller,
    ngx_phrony_group_t *group);
static void ngx_phrony_tell_settle_handler(
    ngx_phrony_redis_command_t *command, ngx_phrony_redis_result_t result,
    const phrony_resp_t *reply);
static void ngx_phrony_tell_owner(ngx_phrony_teller_t *teller,
    ngx_phrony_news_t *news);
static void ngx_phrony_tell_owner_handler(
    ngx_phrony_redis_command_t *command, ngx_phrony_redis_result_t result,
    const phrony_resp_t *reply);
static void ngx_phrony_tell_texts(ngx_phrony_teller_t *teller, u_char *text,
    size_t stride, ngx_uint_t n, ngx_phrony_news_t *of);


ngx_phrony_teller_t *
ngx_phrony_tell_create(ngx_phrony_zone_t *zone, ngx_phrony_redis_t *redis,
    ngx_str_t *prefix, ngx_uint_t cluster)
{
    ngx_phrony_teller_t  *teller;

    teller = ngx_calloc(sizeof(ngx_phrony_teller_t), ngx_cycle->log);
    if (teller == NULL) {
        return NULL;
    }

    teller->zone = zone;
    teller->encoder.redis = redis;
    teller->encoder.prefix = prefix;
    teller->encoder.cluster = cluster;

    ngx_queue_init(&teller->groups);

    ngx_phrony_tell_event(teller, &teller->lazy,
                          ngx_phrony_tell_lazy_handler);
    ngx_phrony_tell_event(teller, &teller->urgent,
                          ngx_phrony_tell_urgent_handler);
    ngx_phrony_tell_event(teller, &teller->batch,
                          ngx_phrony_batch_handler);
    ngx_phrony_tell_event(teller, &teller->later,
                          ngx_phrony_batch_later_handler);

    ngx_add_timer(&teller->later, NGX_PHRONY_BATCH_LATER);

    return teller;
}


static void
ngx_phrony_tell_event(ngx_phrony_teller_t *teller, ngx_event_t *ev,
    ngx_event_handler_pt handler)
{
    ev->data = teller;
    ev->handler = handler;
    ev->log = ngx_cycle->log;
    ev->cancelable = 1;
}


void
ngx_phrony_tell_destroy(ngx_phrony_teller_t *teller)
{
    ngx_queue_t         *q;
    ngx_uint_t           i;
    ngx_event_t         *events[4];
    ngx_phrony_group_t  *group;

    if (teller == NULL) {
        return;
    }

    events[0] = &teller->lazy;
    events[1] = &teller->urgent;
    events[2] = &teller->batch;
    events[3] = &teller->later;

    for (i = 0; i < 4; i++) {

        if (events[i]->timer_set) {
            ngx_del_timer(events[i]);
        }

        if (events[i]->posted) {
            ngx_delete_posted_event(events[i]);
        }
    }

    while (!ngx_queue_empty(&teller->groups)) {
        q = ngx_queue_head(&teller->groups);
        group = ngx_queue_data(q, ngx_phrony_group_t, queue);

        ngx_phrony_tell_forget(teller, group);
    }

    while (teller->spare) {
        group = teller->spare;
        teller->spare = group->next;

        ngx_free(group);
    }

    ngx_phrony_encode_free(&teller->encoder);
    ngx_free(teller);
}


/* Those that came later may still go along with a start. */

static void
ngx_phrony_tell_lazy_handler(ngx_event_t *ev)
{
    ngx_msec_t            age;
    ngx_queue_t          *q;
    ngx_phrony_group_t   *group;
    ngx_phrony_teller_t  *teller;

    teller = ev->data;

    ngx_log_debug0(NGX_LOG_DEBUG_CORE, ev->log, 0, "phrony tell lazy handler");

    while (!ngx_queue_empty(&teller->groups)) {
        q = ngx_queue_head(&teller->groups);
        group = ngx_queue_data(q, ngx_phrony_group_t, queue);

        age = ngx_current_msec - group->since;

        if (age < NGX_PHRONY_TELL_LAZY) {
            ngx_add_timer(&teller->lazy, NGX_PHRONY_TELL_LAZY - age);
            return;
        }

        ngx_phrony_tell_send(teller, group);
    }
}


static void
ngx_phrony_tell_urgent_handler(ngx_event_t *ev)
{
    ngx_log_debug0(NGX_LOG_DEBUG_CORE, ev->log, 0,
                   "phrony tell urgent handler");

    ngx_phrony_tell_leave(ev->data, 0);
}


ngx_uint_t
ngx_phrony_tell_ready(ngx_phrony_teller_t *teller,
    phrony_uuid_t *workspace_id)
{
    ngx_uint_t  slot;

    if (teller == NULL || teller->closed) {
        return 0;
    }

    slot = ngx_phrony_encode_slot(&teller->encoder, workspace_id);

    return ngx_phrony_redis_ready(teller->encoder.redis, slot);
}


void
ngx_phrony_tell(ngx_phrony_teller_t *teller, ngx_phrony_news_t *news)
{
    ngx_phrony_group_t  *group;

    if (!ngx_phrony_tell_ready(teller, &news->workspace_id)) {
        ngx_phrony_tell_keep(teller, news);
        return;
    }

    group = ngx_phrony_tell_group(teller, news);

    if (group == NULL) {
        ngx_phrony_tell_keep(teller, news);
        return;
    }

    (void) ngx_phrony_news_write(group->news.data + group->news.len, news);
    group->news.len += NGX_PHRONY_NEWS_LEN;

    ngx_phrony_tell_owner(teller, news);

    if (group->news.len == sizeof(group->text)) {
        ngx_phrony_tell_send(teller, group);
        return;
    }

    if (news->event == NGX_PHRONY_NEWS_BIND
        || news->event == NGX_PHRONY_NEWS_SEEN)
    {
        if (!teller->lazy.timer_set) {
            ngx_add_timer(&teller->lazy, NGX_PHRONY_TELL_LAZY);
        }

        return;
    }

    group->urgent = 1;

    ngx_post_event(&teller->urgent, &ngx_posted_events);
}


static ngx_phrony_group_t **
ngx_phrony_tell_chain(ngx_phrony_teller_t *teller, phrony_uuid_t *trigger_id)
{
    /* few wait, and not for long: a random byte of the id will do */

    return &teller->chains[trigger_id->bytes[PHRONY_UUID_LEN - 1]
                           % NGX_PHRONY_TELL_CHAINS];
}


ngx_phrony_group_t *
ngx_phrony_tell_waiting(ngx_phrony_teller_t *teller,
    phrony_uuid_t *trigger_id, phrony_uuid_t *workspace_id)
{
    ngx_phrony_group_t  *group;

    if (ngx_queue_empty(&teller->groups)) {
        return NULL;
    }

    group = *ngx_phrony_tell_chain(teller, trigger_id);

    while (group
           && (!phrony_uuid_eq(&group->of.trigger_id, trigger_id)
               || !phrony_uuid_eq(&group->of.workspace_id, workspace_id)))
    {
        group = group->next;
    }

    return group;
}


static ngx_phrony_group_t *
ngx_phrony_tell_group(ngx_phrony_teller_t *teller, ngx_phrony_news_t *news)
{
    ngx_phrony_group_t  *group, **chain;

    group = ngx_phrony_tell_waiting(teller, &news->trigger_id,
                                    &news->workspace_id);
    if (group) {
        return group;
    }

    group = teller->spare;

    if (group) {
        teller->spare = group->next;
        teller->nspare--;

    } else {
        group = ngx_alloc(sizeof(ngx_phrony_group_t), ngx_cycle->log);
        if (group == NULL) {
            return NULL;
        }
    }

    ngx_memzero(&group->of, sizeof(ngx_phrony_news_t));

    group->urgent = 0;
    group->since = ngx_current_msec;
    group->of.trigger_id = news->trigger_id;
    group->of.workspace_id = news->workspace_id;
    group->news.data = group->text;
    group->news.len = 0;

    chain = ngx_phrony_tell_chain(teller, &news->trigger_id);
    group->next = *chain;
    *chain = group;

    ngx_queue_insert_tail(&teller->groups, &group->queue);

    return group;
}


void
ngx_phrony_tell_forget(ngx_phrony_teller_t *teller, ngx_phrony_group_t *group)
{
    ngx_phrony_group_t  **link;

    link = ngx_phrony_tell_chain(teller, &group->of.trigger_id);

    while (*link != group) {
        link = &(*link)->next;
    }

    *link = group->next;

    ngx_queue_remove(&group->queue);

    if (teller->nspare == NGX_PHRONY_TELL_SPARE) {
        ngx_free(group);
        return;
    }

    group->next = teller->spare;
    teller->spare = group;
    teller->nspare++;
}


void
ngx_phrony_tell_flush(ngx_phrony_teller_t *teller)
{
    ngx_phrony_tell_leave(teller, 1);
}


static void
ngx_phrony_tell_leave(ngx_phrony_teller_t *teller, ngx_uint_t all)
{
    ngx_queue_t         *q, *next;
    ngx_phrony_group_t  *group;

    for (q = ngx_queue_head(&teller->groups);
         q != ngx_queue_sentinel(&teller->groups);
         q = next)
    {
        next = ngx_queue_next(q);
        group = ngx_queue_data(q, ngx_phrony_group_t, queue);

        if (all || group->urgent) {
            ngx_phrony_tell_send(teller, group);
        }
    }
}


static void
ngx_phrony_tell_send(ngx_phrony_teller_t *teller, ngx_phrony_group_t *group)
{
    ngx_int_t                    rc;
    ngx_phrony_tell_settle_t    *settle;
    ngx_phrony_redis_command_t  *command;

    rc = NGX_DECLINED;

    command = ngx_phrony_encode_settle(&teller->encoder, &group->of,
                                       &group->news,
                                       sizeof(ngx_phrony_tell_settle_t));
    if (command) {
        settle = command->data;

        settle->teller = teller;
        settle->batch = teller->batching;
        settle->n = group->news.len / NGX_PHRONY_NEWS_LEN;
        settle->of = group->of;

        command->handler = ngx_phrony_tell_settle_handler;
        command->lazy = !group->urgent && !teller->batching;

        rc = ngx_phrony_redis_send(teller->encoder.redis, command);
    }

    if (rc == NGX_OK) {
        teller->telling += teller->batching;

    } else {
        ngx_phrony_tell_texts(teller, group->text, NGX_PHRONY_NEWS_LEN,
                              group->news.len / NGX_PHRONY_NEWS_LEN,
                              &group->of);
    }

    ngx_phrony_tell_forget(teller, group);
}


static void
ngx_phrony_tell_settle_handler(ngx_phrony_redis_command_t *command,
    ngx_phrony_redis_result_t result, const phrony_resp_t *reply)
{
    ngx_phrony_teller_t       *teller;
    ngx_phrony_tell_settle_t  *settle;

    settle = command->data;
    teller = settle->teller;

    if (result != NGX_PHRONY_REDIS_ANSWERED
        || (reply->type != PHRONY_RESP_INTEGER
            && ngx_phrony_tell_passes(reply, "settlements")))
    {
        ngx_phrony_tell_again(teller, command, settle->n, &settle->of);
    }

    if (settle->batch) {
        ngx_phrony_batch_done(teller);
    }
}


/* Whose the run is, for all gateways. */

static void
ngx_phrony_tell_owner(ngx_phrony_teller_t *teller, ngx_phrony_news_t *news)
{
    ngx_phrony_redis_command_t  *command;

    if (!news->has_run || !news->has_agent) {
        return;
    }

    command = ngx_phrony_encode_set(&teller->encoder, news,
                                    sizeof(ngx_phrony_tell_settle_t));
    if (command == NULL) {
        ngx_phrony_tell_keep(teller, news);
        return;
    }

    ((ngx_phrony_tell_settle_t *) command->data)->teller = teller;
    ((ngx_phrony_tell_settle_t *) command->data)->of = *news;

    command->handler = ngx_phrony_tell_owner_handler;
    command->lazy = 1;

    if (ngx_phrony_redis_send(teller->encoder.redis, command) != NGX_OK) {
        ngx_phrony_tell_keep(teller, news);
    }
}


static void
ngx_phrony_tell_owner_handler(ngx_phrony_redis_command_t *command,
    ngx_phrony_redis_result_t result, const phrony_resp_t *reply)
{
    ngx_phrony_tell_settle_t  *settle;

    if (result == NGX_PHRONY_REDIS_ANSWERED
        && (reply->type == PHRONY_RESP_STATUS
            || !ngx_phrony_tell_passes(reply, "the owner of a run")))
    {
        return;
    }

    settle = command->data;

    settle->teller->paused = 1;
    ngx_phrony_tell_keep(settle->teller, &settle->of);
}


void
ngx_phrony_tell_again(ngx_phrony_teller_t *teller,
    ngx_phrony_redis_command_t *command, ngx_uint_t n, ngx_phrony_news_t *of)
{
    u_char  *text;

    if (n == 0) {
        return;
    }

    teller->paused = 1;

    /* they are its last arguments */

    text = command->bytes + command->len - n * NGX_PHRONY_TELL_FRAMED
           + sizeof("$88\r\n") - 1;

    ngx_phrony_tell_texts(teller, text, NGX_PHRONY_TELL_FRAMED, n, of);
}


static void
ngx_phrony_tell_texts(ngx_phrony_teller_t *teller, u_char *text,
    size_t stride, ngx_uint_t n, ngx_phrony_news_t *of)
{
    ngx_phrony_news_t  news;

    (void) ngx_phrony_zone_lock(teller->zone);

    for ( /* void */ ; n; n--) {
        ngx_phrony_news_read(text, &news);

        news.trigger_id = of->trigger_id;
        news.workspace_id = of->workspace_id;

        (void) ngx_phrony_news_keep(teller->zone, &news);

        text += stride;
    }

    ngx_phrony_zone_unlock(teller->zone);
}


void
ngx_phrony_tell_keep(ngx_phrony_teller_t *teller, ngx_phrony_news_t *news)
{
    (void) ngx_phrony_zone_lock(teller->zone);

    (void) ngx_phrony_news_keep(teller->zone, news);

    ngx_phrony_zone_unlock(teller->zone);
}


ngx_uint_t
ngx_phrony_tell_passes(const phrony_resp_t *reply, const char *what)
{
    u_char              *p, text[129];
    ngx_uint_t           i;
    static time_t        logged;
    static const char   *lasting[] = {
        "WRONGTYPE", "PHRONYLAYOUT", "PHRONYARGUMENT", "CROSSSLOT", "ERR", NULL
    };

    if (reply->type != PHRONY_RESP_ERROR) {
        p = ngx_cpymem(text, "no such reply", sizeof("no such reply") - 1);

    } else {
        p = ngx_cpymem(text, reply->str.data,
                       ngx_min(reply->str.len, sizeof(text) - 1));
    }

    *p = '\0';

    for (p = text; *p; p++) {
        if (*p < 0x20 || *p > 0x7e) {
            *p = '?';
        }
    }

    if (logged != ngx_time()) {
        logged = ngx_time();

        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "phrony: redis answered to %s: \"%s\"", what, text);
    }

    if (reply->type != PHRONY_RESP_ERROR) {
        return 0;
    }

    /* any other is of the server, or of what its operator allows */

    for (i = 0; lasting[i]; i++) {
        if (phrony_resp_is_error(reply, lasting[i])) {
            return 0;
        }
    }

    return 1;
}
