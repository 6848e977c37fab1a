
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "phrony_document.h"
#include "phrony_sessions.h"
#include "phrony_time.h"


/* A Date has whole seconds, and says when the answer was begun. */

#define PHRONY_SESSIONS_AHEAD   2000    /* ms */


typedef enum {
    PHRONY_SESSIONS_ABSENT = 0,         /* or null */
    PHRONY_SESSIONS_BROKEN,
    PHRONY_SESSIONS_PRESENT
} phrony_sessions_member_t;


static phrony_sessions_error_t phrony_sessions_read(phrony_sessions_t *list,
    const json_t *root, const phrony_sessions_query_t *query, int exact);
static int phrony_sessions_item(phrony_sessions_t *list, const json_t *item,
    const phrony_sessions_query_t *query);
static phrony_sessions_member_t phrony_sessions_uuid(const json_t *item,
    const char *name, phrony_uuid_t *id);
static phrony_sessions_member_t phrony_sessions_started(const json_t *item,
    int64_t *ms);
static int phrony_sessions_run(const json_t *item, phrony_uuid_t *run_id);
static int phrony_sessions_age(const json_t *item, int64_t date,
    int64_t *age);
static int phrony_sessions_ended(const json_t *item,
    const phrony_sessions_query_t *query);
static int phrony_sessions_insert(phrony_sessions_t *list,
    const phrony_session_t *session);
static int64_t phrony_sessions_reach(const json_t *items, int64_t date);
static int phrony_sessions_total(const json_t *root, size_t n);


phrony_sessions_error_t
phrony_sessions_parse(phrony_sessions_t *list, const unsigned char *text,
    size_t len, const phrony_sessions_query_t *query)
{
    int                      exact;
    json_t                  *root;
    json_error_t             error;
    phrony_sessions_error_t  rc;

    list->n = 0;
    list->reach = 0;

    if (len == 0 || memchr(text, '\0', len)) {
        return PHRONY_SESSIONS_INVALID;
    }

    root = phrony_document_load(text, len, &exact, &error);

    if (root == NULL) {
        return (json_error_code(&error) == json_error_out_of_memory)
               ? PHRONY_SESSIONS_NOMEM : PHRONY_SESSIONS_INVALID;
    }

    rc = phrony_sessions_read(list, root, query, exact);

    json_decref(root);

    return rc;
}


static phrony_sessions_error_t
phrony_sessions_read(phrony_sessions_t *list, const json_t *root,
    const phrony_sessions_query_t *query, int exact)
{
    int            sure;
    size_t         i, n;
    const json_t  *item, *items;

    items = json_object_get(root, "items");

    if (!json_is_array(items)) {
        return PHRONY_SESSIONS_INVALID;
    }

    n = json_array_size(items);
    sure = 1;

    /* the service lists the newest first, so this is mostly their order */

    for (i = n; i > 0; i--) {
        item = json_array_get(items, i - 1);

        if (!json_is_object(item)) {
            list->n = 0;
            return PHRONY_SESSIONS_INVALID;
        }

        if (sure && phrony_sessions_item(list, item, query) == -1) {
            sure = 0;
        }
    }

    if (!sure) {
        list->n = 0;
        return PHRONY_SESSIONS_OK;
    }

    /* a total that was read as 0 is none */

    list->reach = (exact && phrony_sessions_total(root, n))
                  ? INT64_MAX : phrony_sessions_reach(items, query->date);

    return PHRONY_SESSIONS_OK;
}


/* Takes the item if it is the trigger's; -1: it cannot be told. */

static int
phrony_sessions_item(phrony_sessions_t *list, const json_t *item,
    const phrony_sessions_query_t *query)
{
    phrony_uuid_t     trigger_id;
    phrony_session_t  session;

    switch (phrony_sessions_uuid(item, "triggerId", &trigger_id)) {

    case PHRONY_SESSIONS_ABSENT:
        return 0;

    case PHRONY_SESSIONS_BROKEN:
        return -1;

    default:
        break;
    }

    if (!phrony_uuid_eq(&trigger_id, &query->trigger_id)) {
        return 0;
    }

    if (phrony_sessions_run(item, &session.run_id) == -1
        || phrony_sessions_age(item, query->date, &session.age) == -1)
    {
        return -1;
    }

    session.ended = phrony_sessions_ended(item, query);

    return phrony_sessions_insert(list, &session);
}


static phrony_sessions_member_t
phrony_sessions_uuid(const json_t *item, const char *name, phrony_uuid_t *id)
{
    phrony_str_t   text;
    const json_t  *value;

    value = json_object_get(item, name);

    if (value == NULL || json_is_null(value)) {
        return PHRONY_SESSIONS_ABSENT;
    }

    text.data = (unsigned char *) json_string_value(value);
    text.len = json_string_length(value);

    return phrony_uuid_parse(&text, id) == 0 ? PHRONY_SESSIONS_PRESENT
                                             : PHRONY_SESSIONS_BROKEN;
}


static phrony_sessions_member_t
phrony_sessions_started(const json_t *item, int64_t *ms)
{
    phrony_str_t   text;
    const json_t  *value;

    value = json_object_get(item, "startedAt");

    if (value == NULL || json_is_null(value)) {
        return PHRONY_SESSIONS_ABSENT;
    }

    text.data = (unsigned char *) json_string_value(value);
    text.len = json_string_length(value);

    return phrony_time_parse_ms(&text, ms) == 0 ? PHRONY_SESSIONS_PRESENT
                                                : PHRONY_SESSIONS_BROKEN;
}


/* The run is named twice; one name will do, but they must not differ. */

static int
phrony_sessions_run(const json_t *item, phrony_uuid_t *run_id)
{
    phrony_uuid_t             entry_id;
    phrony_sessions_member_t  root, entry;

    root = phrony_sessions_uuid(item, "rootRunId", run_id);
    entry = phrony_sessions_uuid(item, "entryRunId", &entry_id);

    if (root == PHRONY_SESSIONS_BROKEN || entry == PHRONY_SESSIONS_BROKEN) {
        return -1;
    }

    if (entry == PHRONY_SESSIONS_ABSENT) {
        return (root == PHRONY_SESSIONS_PRESENT) ? 0 : -1;
    }

    if (root == PHRONY_SESSIONS_ABSENT) {
        *run_id = entry_id;
        return 0;
    }

    return phrony_uuid_eq(run_id, &entry_id) ? 0 : -1;
}


static int
phrony_sessions_age(const json_t *item, int64_t date, int64_t *age)
{
    int64_t  started;

    if (phrony_sessions_started(item, &started) != PHRONY_SESSIONS_PRESENT
        || started - date > PHRONY_SESSIONS_AHEAD)
    {
        return -1;
    }

    *age = (started < date) ? date - started : 0;

    return 0;
}


static int
phrony_sessions_ended(const json_t *item,
    const phrony_sessions_query_t *query)
{
    size_t         i;
    phrony_str_t   status;
    const json_t  *value;

    value = json_object_get(item, "status");

    if (!json_is_string(value)) {
        return 0;
    }

    status.data = (unsigned char *) json_string_value(value);
    status.len = json_string_length(value);

    for (i = 0; i < query->nterminal; i++) {
        if (phrony_str_eq_nocase(&status, &query->terminal[i])) {
            return 1;
        }
    }

    return 0;
}


/* Keeps the order; -1 if there is no room, or another has this run. */

static int
phrony_sessions_insert(phrony_sessions_t *list,
    const phrony_session_t *session)
{
    size_t  i;

    if (list->n == PHRONY_SESSIONS_MAX) {
        return -1;
    }

    for (i = 0; i < list->n; i++) {
        if (phrony_uuid_eq(&list->sessions[i].run_id, &session->run_id)) {
            return -1;
        }
    }

    for (i = list->n; i > 0; i--) {
        if (list->sessions[i - 1].age >= session->age) {
            break;
        }

        list->sessions[i] = list->sessions[i - 1];
    }

    list->sessions[i] = *session;
    list->n++;

    return 0;
}


/*
 * A part of a list that is sorted by its starts, of whatever trigger, has all
 * that were started after its last one; of those that were started in the
 * same millisecond some may be behind it.
 */

static int64_t
phrony_sessions_reach(const json_t *items, int64_t date)
{
    size_t   i, n;
    int64_t  started, before;

    n = json_array_size(items);
    before = INT64_MAX;

    for (i = 0; i < n; i++) {
        if (phrony_sessions_started(json_array_get(items, i), &started)
            != PHRONY_SESSIONS_PRESENT
            || started > before)
        {
            return 0;
        }

        before = started;
    }

    return (before < date) ? date - before - 1 : 0;
}


/* Whether these items are all that there are. */

static int
phrony_sessions_total(const json_t *root, size_t n)
{
    const json_t  *total;

    total = json_object_get(root, "total");

    /* so few are the same number as a real one */

    return json_is_number(total) && json_number_value(total) == (double) n;
}
