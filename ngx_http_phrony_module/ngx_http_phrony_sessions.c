
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_http_phrony_sessions.h"
#include "ngx_http_phrony_settle.h"

#include "core/phrony_sessions.h"


/*
 * A Date has whole seconds, and a reservation got older while the upstream was
 * asked: a session may seem to be older than the start that it belongs to.
 */

#define NGX_HTTP_PHRONY_SESSIONS_SLACK  2000    /* ms */

/* ... and a session may seem to be younger than it is, by so much. */

#define NGX_HTTP_PHRONY_SESSIONS_DATE   1000    /* ms */


static int64_t ngx_http_phrony_sessions_oldest(
    ngx_phrony_suspects_t *suspects);
static ngx_uint_t ngx_http_phrony_sessions_sure(ngx_http_phrony_ask_t *ask,
    phrony_session_t *session);
static void ngx_http_phrony_sessions_match(ngx_http_phrony_ask_t *ask,
    ngx_phrony_suspects_t *suspects, phrony_session_t *session);


ngx_int_t
ngx_http_phrony_sessions(ngx_http_phrony_ask_t *ask,
    ngx_phrony_suspects_t *suspects, ngx_uint_t *freed)
{
    size_t                    i;
    int64_t                   oldest;
    ngx_array_t              *terminal;
    phrony_session_t         *session;
    phrony_sessions_t         list;
    phrony_sessions_query_t   query;

    if (ask->date == NGX_ERROR) {
        return NGX_DECLINED;
    }

    terminal = ask->ctx->conf->terminal_status;

    query.trigger_id = ask->ctx->trigger->id;
    query.date = (int64_t) ask->date * 1000;
    query.terminal = terminal->elts;
    query.nterminal = terminal->nelts;

    if (phrony_sessions_parse(&list, ask->text.data, ask->text.len, &query)
        != PHRONY_SESSIONS_OK)
    {
        return NGX_DECLINED;
    }

    oldest = ngx_http_phrony_sessions_oldest(suspects);

    if (list.reach < oldest) {
        return NGX_OK;
    }

    for (i = 0; i < list.n; i++) {
        session = &list.sessions[i];

        if (session->age <= oldest
            && ngx_http_phrony_sessions_sure(ask, session))
        {
            ngx_http_phrony_sessions_match(ask, suspects, session);

            *freed += session->ended;
        }
    }

    return NGX_OK;
}


/*
 * The answer to a younger one may be on its way; the run of an older one may
 * have been known, and be forgotten since.
 */

static ngx_uint_t
ngx_http_phrony_sessions_sure(ngx_http_phrony_ask_t *ask,
    phrony_session_t *session)
{
    return session->age + NGX_HTTP_PHRONY_SESSIONS_DATE
           >= NGX_PHRONY_SUSPECT_QUIET
           && session->age < (int64_t) ask->ctx->conf->run_ttl;
}


/* They take turns, so the first need not be it. */

static int64_t
ngx_http_phrony_sessions_oldest(ngx_phrony_suspects_t *suspects)
{
    uint64_t    unseen;
    ngx_uint_t  i;

    unseen = 0;

    for (i = 0; i < suspects->nleases; i++) {
        unseen = ngx_max(unseen, suspects->leases[i].unseen);
    }

    return (int64_t) unseen + NGX_HTTP_PHRONY_SESSIONS_SLACK;
}


/* The first of them that holds, if the run is not known: the store knows. */

static void
ngx_http_phrony_sessions_match(ngx_http_phrony_ask_t *ask,
    ngx_phrony_suspects_t *suspects, phrony_session_t *session)
{
    ngx_uint_t             i;
    phrony_lease_event_t   event;
    ngx_phrony_suspect_t  *lease;

    event = session->ended ? PHRONY_LEASE_END : PHRONY_LEASE_BIND;

    for (i = 0; i < suspects->nleases; i++) {
        lease = &suspects->leases[i];

        if ((int64_t) lease->unseen + NGX_HTTP_PHRONY_SESSIONS_SLACK
            >= session->age)
        {
            ngx_http_phrony_found(ask->ctx, &lease->id, &session->run_id,
                                  event);
        }
    }
}
