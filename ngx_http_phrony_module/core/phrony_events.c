
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "phrony_events.h"

#if (__SSE2__)
#include <emmintrin.h>
#endif


#define phrony_events_is_eol(ch)  ((ch) == '\n' || (ch) == '\r')


/* The places of the names below. */

typedef enum {
    PHRONY_EVENTS_KIND = 0,
    PHRONY_EVENTS_SUBJECT,
    PHRONY_EVENTS_DATA,
    PHRONY_EVENTS_TOP,              /* how many are on top */
    PHRONY_EVENTS_ID = PHRONY_EVENTS_TOP
} phrony_events_name_t;


static const unsigned char *phrony_events_start(phrony_events_t *events,
    const unsigned char *p);
static const unsigned char *phrony_events_field(phrony_events_t *events,
    const unsigned char *p, const unsigned char *last);
static const unsigned char *phrony_events_value(phrony_events_t *events,
    const unsigned char *p, const unsigned char *last);
static const unsigned char *phrony_events_line(const unsigned char *p,
    const unsigned char *last);
static void phrony_events_end_line(phrony_events_t *events,
    unsigned char ch);
static void phrony_events_open(phrony_events_t *events);
static void phrony_events_data(phrony_events_t *events,
    const unsigned char *data, size_t len);
static void phrony_events_member(phrony_events_t *events,
    const phrony_str_t *text);
static phrony_events_id_t phrony_events_id(const phrony_events_t *events,
    const phrony_str_t *text);
static int phrony_events_is_end(const phrony_str_t *subject);
static void phrony_events_dispatch(phrony_events_t *events);
static int phrony_events_is_this(const phrony_events_t *events);


/* The last three are the members of "data", those that count first first. */

static const phrony_outline_name_t  phrony_events_names[] = {
    { phrony_str("kind"), PHRONY_OUTLINE_WHOLE },
    { phrony_str("subject"), PHRONY_OUTLINE_WHOLE },
    { phrony_str("data"), PHRONY_OUTLINE_ENTER },
    { phrony_str("runId"), PHRONY_OUTLINE_WHOLE },
    { phrony_str("run_id"), PHRONY_OUTLINE_WHOLE },
    { phrony_str("id"), PHRONY_OUTLINE_WHOLE }
};


static const phrony_str_t  phrony_events_run = phrony_str("run");
static const phrony_str_t  phrony_events_session = phrony_str("session");

static const phrony_str_t  phrony_events_ends[] = {
    phrony_str(".completed"),
    phrony_str(".failed"),
    phrony_str(".cancelled"),
    phrony_str(".terminated")
};


static const unsigned char  phrony_events_mark[] = { 0xef, 0xbb, 0xbf };
static const unsigned char  phrony_events_field_name[] = {
    'd', 'a', 't', 'a'
};


void
phrony_events_init(phrony_events_t *events, const phrony_uuid_t *run_id)
{
    events->state = PHRONY_EVENTS_START;
    events->matched = 0;
    events->ended = 0;
    events->seen = 0;
    events->open = 0;
    events->run_id = *run_id;
}


void
phrony_events_read(phrony_events_t *events, const unsigned char *data,
    size_t len)
{
    const unsigned char  *p, *last;

    if (len == 0) {
        return;
    }

    p = data;
    last = p + len;

    while (p < last && !events->ended) {

        switch (events->state) {

        case PHRONY_EVENTS_START:
            p = phrony_events_start(events, p);
            break;

        case PHRONY_EVENTS_FIELD:
            p = phrony_events_field(events, p, last);
            break;

        case PHRONY_EVENTS_SPACE:
            events->state = PHRONY_EVENTS_VALUE;
            p += (*p == ' ');
            break;

        case PHRONY_EVENTS_VALUE:
            p = phrony_events_value(events, p, last);
            break;

        case PHRONY_EVENTS_CR:
            events->state = PHRONY_EVENTS_FIELD;
            p += (*p == '\n');
            break;

        default: /* PHRONY_EVENTS_SKIP */
            p = phrony_events_line(p, last);

            if (p < last) {
                phrony_events_end_line(events, *p++);
            }
        }
    }
}


int
phrony_events_ended(const phrony_events_t *events)
{
    return events->ended;
}


int
phrony_events_seen(phrony_events_t *events)
{
    int  seen;

    seen = events->seen;
    events->seen = 0;

    return seen;
}


/* A beginning of a mark that goes on otherwise is that of a field's name. */

static const unsigned char *
phrony_events_start(phrony_events_t *events, const unsigned char *p)
{
    if (*p == phrony_events_mark[events->matched]) {
        p++;

        if (++events->matched < sizeof(phrony_events_mark)) {
            return p;
        }

        events->matched = 0;
    }

    events->state = events->matched ? PHRONY_EVENTS_SKIP
                                    : PHRONY_EVENTS_FIELD;
    events->matched = 0;

    return p;
}


static const unsigned char *
phrony_events_field(phrony_events_t *events, const unsigned char *p,
    const unsigned char *last)
{
    size_t  matched;

    matched = events->matched;

    while (p < last && matched < sizeof(phrony_events_field_name)
           && *p == phrony_events_field_name[matched])
    {
        matched++;
        p++;
    }

    events->matched = (unsigned char) matched;

    if (p == last) {
        return p;
    }

    events->matched = 0;

    /* a line that is a name alone has that field, without a value */

    if (matched == sizeof(phrony_events_field_name)
        && (*p == ':' || phrony_events_is_eol(*p)))
    {
        phrony_events_open(events);

    } else if (matched == 0 && phrony_events_is_eol(*p)) {
        phrony_events_dispatch(events);

    } else {
        events->state = PHRONY_EVENTS_SKIP;
        return p;
    }

    if (*p == ':') {
        events->state = PHRONY_EVENTS_SPACE;

    } else {
        phrony_events_end_line(events, *p);
    }

    return p + 1;
}


static const unsigned char *
phrony_events_value(phrony_events_t *events, const unsigned char *p,
    const unsigned char *last)
{
    const unsigned char  *end;

    end = phrony_events_line(p, last);

    if (end > p && !events->broken) {
        phrony_events_data(events, p, (size_t) (end - p));
    }

    if (end == last) {
        return end;
    }

    phrony_events_end_line(events, *end);

    return end + 1;
}


/* Finds the end of a line; returns "last" if there is none. */

static const unsigned char *
phrony_events_line(const unsigned char *p, const unsigned char *last)
{
#if (__SSE2__)

    int      hits;
    __m128i  block;

    for ( ; last - p >= 16; p += 16) {
        block = _mm_loadu_si128((const __m128i *) p);
        block = _mm_or_si128(_mm_cmpeq_epi8(block, _mm_set1_epi8('\n')),
                             _mm_cmpeq_epi8(block, _mm_set1_epi8('\r')));
        hits = _mm_movemask_epi8(block);

        if (hits) {
            return p + __builtin_ctz((unsigned) hits);
        }
    }

#endif

    while (p < last && !phrony_events_is_eol(*p)) {
        p++;
    }

    return p;
}


static void
phrony_events_end_line(phrony_events_t *events, unsigned char ch)
{
    events->state = (ch == '\r') ? PHRONY_EVENTS_CR : PHRONY_EVENTS_FIELD;
}


/* The lines of an event's data are joined by a LF. */

static void
phrony_events_open(phrony_events_t *events)
{
    static const unsigned char  lf = '\n';

    if (events->open) {

        if (phrony_outline_in_string(&events->outline)) {
            events->broken = 1;
        }

        phrony_events_data(events, &lf, 1);

        return;
    }

    events->open = 1;
    events->broken = 0;
    events->has_kind = 0;
    events->has_subject = 0;
    memset(events->ids, PHRONY_EVENTS_NOBODY, PHRONY_EVENTS_IDS);

    phrony_outline_init(&events->outline, phrony_events_names,
                        PHRONY_EVENTS_TOP);
    phrony_outline_inner(&events->outline,
                         phrony_events_names + PHRONY_EVENTS_ID,
                         PHRONY_EVENTS_IDS);
}


static void
phrony_events_data(phrony_events_t *events, const unsigned char *data,
    size_t len)
{
    phrony_str_t            in, text;
    phrony_outline_event_t  event;

    in.len = len;
    in.data = (unsigned char *) data;

    while (in.len) {
        event = phrony_outline_next(&events->outline, &in, &text);

        if (event == PHRONY_OUTLINE_ON_REST) {
            phrony_events_member(events, &text);

        } else if (event == PHRONY_OUTLINE_ON_VALUE) {

            /* the member "data", maybe another one than before */

            memset(events->ids, PHRONY_EVENTS_NOBODY, PHRONY_EVENTS_IDS);
        }
    }
}


static void
phrony_events_member(phrony_events_t *events, const phrony_str_t *text)
{
    size_t  i;

    i = (size_t) (events->outline.member - phrony_events_names);

    switch (i) {

    case PHRONY_EVENTS_KIND:
        events->has_kind = (text->data != NULL);
        events->of_run = events->has_kind
                         && (phrony_str_eq(text, &phrony_events_run)
                             || phrony_str_eq(text, &phrony_events_session));
        return;

    case PHRONY_EVENTS_SUBJECT:
        events->has_subject = (text->data != NULL);
        events->is_end = events->has_subject && phrony_events_is_end(text);
        return;

    case PHRONY_EVENTS_DATA:
        return;

    default:
        events->ids[i - PHRONY_EVENTS_ID] = (unsigned char)
                                            phrony_events_id(events, text);
    }
}


/* A string that is no UUID is not this run's either. */

static phrony_events_id_t
phrony_events_id(const phrony_events_t *events, const phrony_str_t *text)
{
    phrony_uuid_t  id;

    if (text->data == NULL) {
        return PHRONY_EVENTS_NOBODY;
    }

    return (phrony_uuid_parse(text, &id) == 0
            && phrony_uuid_eq(&id, &events->run_id)) ? PHRONY_EVENTS_THIS
                                                     : PHRONY_EVENTS_ANOTHER;
}


/* A longer subject is known as a whole in one piece only: it never counts. */

static int
phrony_events_is_end(const phrony_str_t *subject)
{
    size_t         i;
    phrony_str_t   rest;

    if (subject->len > PHRONY_TEXT_MAX) {
        return 0;
    }

    for (i = 0; i < sizeof(phrony_events_ends) / sizeof(phrony_str_t); i++) {

        if (subject->len < phrony_events_ends[i].len) {
            continue;
        }

        rest.len = phrony_events_ends[i].len;
        rest.data = subject->data + subject->len - rest.len;

        if (phrony_str_eq(&rest, &phrony_events_ends[i])) {
            return 1;
        }
    }

    return 0;
}


/* An empty line: the event, if there is one, is whole. */

static void
phrony_events_dispatch(phrony_events_t *events)
{
    if (!events->open) {
        return;
    }

    events->open = 0;

    if (events->broken
        || !phrony_outline_done(&events->outline)
        || !events->has_kind
        || !events->has_subject
        || !phrony_events_is_this(events))
    {
        return;
    }

    events->seen = 1;

    if (events->of_run && events->is_end) {
        events->ended = 1;
    }
}


static int
phrony_events_is_this(const phrony_events_t *events)
{
    size_t  i;

    for (i = 0; i < PHRONY_EVENTS_IDS; i++) {
        if (events->ids[i] != PHRONY_EVENTS_NOBODY) {
            return events->ids[i] == PHRONY_EVENTS_THIS;
        }
    }

    return 0;
}
