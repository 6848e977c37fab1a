
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "phrony_answer.h"
#include "phrony_brackets.h"


typedef enum {
    PHRONY_ANSWER_START = 0,    /* before the object */
    PHRONY_ANSWER_FIRST,        /* after its "{" */
    PHRONY_ANSWER_MEMBER,       /* after a "," */
    PHRONY_ANSWER_NAME,         /* in a member's name */
    PHRONY_ANSWER_COLON,        /* after the name */
    PHRONY_ANSWER_VALUE,        /* after the ":" */
    PHRONY_ANSWER_TEXT,         /* in a string that is looked for */
    PHRONY_ANSWER_STRING,       /* in any other */
    PHRONY_ANSWER_SCALAR,       /* in a number or a literal */
    PHRONY_ANSWER_NESTED,       /* in an array or an object */
    PHRONY_ANSWER_COMMA,        /* after a value */
    PHRONY_ANSWER_END,          /* after the object */
    PHRONY_ANSWER_BROKEN
} phrony_answer_state_t;


typedef enum {
    PHRONY_ANSWER_OTHER = 0,
    PHRONY_ANSWER_RUN_ID,
    PHRONY_ANSWER_STATUS
} phrony_answer_member_t;


static const unsigned char *phrony_answer_structure(phrony_answer_t *answer,
    const unsigned char *p, const unsigned char *last);
static inline int phrony_answer_is_bulk(phrony_answer_state_t state);
static inline phrony_answer_state_t phrony_answer_next(
    phrony_answer_t *answer, phrony_answer_state_t state, unsigned char ch);
static phrony_answer_state_t phrony_answer_value(phrony_answer_t *answer,
    unsigned char ch);
static const unsigned char *phrony_answer_scalar(phrony_answer_t *answer,
    const unsigned char *p, const unsigned char *last);
static const unsigned char *phrony_answer_nested(phrony_answer_t *answer,
    const unsigned char *p, const unsigned char *last);
static const unsigned char *phrony_answer_string(phrony_answer_t *answer,
    const unsigned char *p, const unsigned char *last);
static const unsigned char *phrony_answer_text(phrony_answer_t *answer,
    const unsigned char *p, const unsigned char *last);
static void phrony_answer_end_text(phrony_answer_t *answer,
    const phrony_str_t *text);
static void phrony_answer_end_name(phrony_answer_t *answer,
    const phrony_str_t *name);
static void phrony_answer_end_value(phrony_answer_t *answer,
    const phrony_str_t *value);
static int phrony_answer_is_clean(const phrony_str_t *text);


/* What numbers and literals are made of. */

static const unsigned char  phrony_answer_scalars[256] = {
    ['0' ... '9'] = 1, ['a' ... 'z'] = 1, ['A' ... 'Z'] = 1,
    ['-'] = 1, ['+'] = 1, ['.'] = 1
};


static const phrony_str_t  phrony_answer_run_id = phrony_str("runId");
static const phrony_str_t  phrony_answer_status = phrony_str("status");


void
phrony_answer_init(phrony_answer_t *answer)
{
    memset(answer, 0, sizeof(phrony_answer_t));
}


void
phrony_answer_read(phrony_answer_t *answer, const unsigned char *data,
    size_t len)
{
    const unsigned char  *p, *last;

    if (len == 0) {
        return;
    }

    p = data;
    last = data + len;

    while (p < last) {

        switch (answer->state) {

        case PHRONY_ANSWER_NAME:
        case PHRONY_ANSWER_TEXT:
            p = phrony_answer_text(answer, p, last);
            break;

        case PHRONY_ANSWER_STRING:
            p = phrony_answer_string(answer, p, last);
            break;

        case PHRONY_ANSWER_SCALAR:
            p = phrony_answer_scalar(answer, p, last);
            break;

        case PHRONY_ANSWER_NESTED:
            p = phrony_answer_nested(answer, p, last);
            break;

        case PHRONY_ANSWER_BROKEN:
            return;

        default:
            p = phrony_answer_structure(answer, p, last);
        }
    }
}


int
phrony_answer_done(const phrony_answer_t *answer)
{
    return answer->state == PHRONY_ANSWER_END;
}


int
phrony_answer_status_in(const phrony_answer_t *answer,
    const phrony_str_t *names, size_t n)
{
    size_t  i, k;

    if (answer->status_len == 0) {
        return 0;
    }

    for (i = 0; i < n; i++) {
        if (names[i].len != answer->status_len) {
            continue;
        }

        for (k = 0; k < names[i].len; k++) {
            if (phrony_lower(names[i].data[k])
                != phrony_lower(answer->status[k]))
            {
                break;
            }
        }

        if (k == names[i].len) {
            return 1;
        }
    }

    return 0;
}


/*
 * Reads what stands between the names and values of the object, up to the
 * next of them.
 */

static const unsigned char *
phrony_answer_structure(phrony_answer_t *answer, const unsigned char *p,
    const unsigned char *last)
{
    unsigned char          ch;
    phrony_answer_state_t  state;

    state = (phrony_answer_state_t) answer->state;

    while (p < last) {
        ch = *p++;

        if (ch == ' ' || ch == '\n' || ch == '\r' || ch == '\t') {
            continue;
        }

        state = phrony_answer_next(answer, state, ch);

        if (phrony_answer_is_bulk(state)) {
            break;
        }
    }

    answer->state = (unsigned char) state;

    return p;
}


/* States in which many bytes are read at once, or none any more. */

static inline int
phrony_answer_is_bulk(phrony_answer_state_t state)
{
    return (0x1
            << PHRONY_ANSWER_NAME | 0x1 << PHRONY_ANSWER_TEXT
            | 0x1 << PHRONY_ANSWER_STRING | 0x1 << PHRONY_ANSWER_SCALAR
            | 0x1 << PHRONY_ANSWER_NESTED | 0x1 << PHRONY_ANSWER_BROKEN)
           >> state & 1;
}


static inline phrony_answer_state_t
phrony_answer_next(phrony_answer_t *answer, phrony_answer_state_t state,
    unsigned char ch)
{
    switch (state) {

    case PHRONY_ANSWER_START:
        return (ch == '{') ? PHRONY_ANSWER_FIRST : PHRONY_ANSWER_BROKEN;

    case PHRONY_ANSWER_FIRST:

        if (ch == '}') {
            return PHRONY_ANSWER_END;
        }

        /* fall through */

    case PHRONY_ANSWER_MEMBER:

        if (ch != '"') {
            return PHRONY_ANSWER_BROKEN;
        }

        phrony_text_init(&answer->text);
        return PHRONY_ANSWER_NAME;

    case PHRONY_ANSWER_COLON:
        return (ch == ':') ? PHRONY_ANSWER_VALUE : PHRONY_ANSWER_BROKEN;

    case PHRONY_ANSWER_VALUE:
        return phrony_answer_value(answer, ch);

    case PHRONY_ANSWER_COMMA:

        if (ch == ',') {
            return PHRONY_ANSWER_MEMBER;
        }

        return (ch == '}') ? PHRONY_ANSWER_END : PHRONY_ANSWER_BROKEN;

    default:
        return PHRONY_ANSWER_BROKEN;
    }
}


static phrony_answer_state_t
phrony_answer_value(phrony_answer_t *answer, unsigned char ch)
{
    switch (ch) {

    case '"':

        if (answer->member == PHRONY_ANSWER_OTHER) {
            return PHRONY_ANSWER_STRING;
        }

        phrony_text_init(&answer->text);
        return PHRONY_ANSWER_TEXT;

    case '{':
    case '[':
        answer->depth = 1;
        return PHRONY_ANSWER_NESTED;

    default:
        return phrony_answer_scalars[ch] ? PHRONY_ANSWER_SCALAR
                                         : PHRONY_ANSWER_BROKEN;
    }
}


static const unsigned char *
phrony_answer_scalar(phrony_answer_t *answer, const unsigned char *p,
    const unsigned char *last)
{
    while (p < last && phrony_answer_scalars[*p]) {
        p++;
    }

    if (p < last) {
        answer->state = PHRONY_ANSWER_COMMA;
    }

    return p;
}


static const unsigned char *
phrony_answer_nested(phrony_answer_t *answer, const unsigned char *p,
    const unsigned char *last)
{
    do {
        p = phrony_brackets_skip(p, last, &answer->depth);

        if (p == last) {
            return p;
        }

        if (*p++ != '"') {
            answer->state = PHRONY_ANSWER_COMMA;
            return p;
        }

        answer->state = PHRONY_ANSWER_STRING;
        p = phrony_answer_string(answer, p, last);

    } while (answer->state == PHRONY_ANSWER_NESTED);

    return p;
}


/* Skips the rest of a string; no escape has a quote but as its second byte. */

static const unsigned char *
phrony_answer_string(phrony_answer_t *answer, const unsigned char *p,
    const unsigned char *last)
{
    if (p < last && answer->escape) {
        answer->escape = 0;
        p++;
    }

    for ( ;; ) {

        /* escapes often come in rows */

        while (last - p >= 2 && *p == '\\') {
            p += 2;
        }

        p = phrony_text_plain(p, last);

        if (p == last) {
            return p;
        }

        if (*p++ == '"') {
            answer->state = answer->depth ? PHRONY_ANSWER_NESTED
                                          : PHRONY_ANSWER_COMMA;
            return p;
        }

        if (p == last) {
            answer->escape = 1;
            return p;
        }

        p++;
    }
}


/* Reads a name, or a value that is looked for. */

static const unsigned char *
phrony_answer_text(phrony_answer_t *answer, const unsigned char *p,
    const unsigned char *last)
{
    phrony_str_t          text;
    const unsigned char  *end;

    if (phrony_text_is_new(&answer->text)) {

        /* most are here as a whole, and without escapes */

        end = phrony_text_plain(p, last);

        if (end < last && *end == '"') {
            text.len = (size_t) (end - p);
            text.data = (unsigned char *) p;

            if (answer->state == PHRONY_ANSWER_TEXT
                && !phrony_answer_is_clean(&text))
            {
                text.len = 0;
            }

            phrony_answer_end_text(answer, &text);

            return end + 1;
        }
    }

    p = phrony_text_read(&answer->text, p, last);

    if (answer->text.state == PHRONY_TEXT_BROKEN) {
        answer->state = PHRONY_ANSWER_BROKEN;
        return p;
    }

    if (answer->text.state == PHRONY_TEXT_OPEN) {
        return p;
    }

    text.len = answer->text.unusable ? 0 : answer->text.len;
    text.data = answer->text.data;

    phrony_answer_end_text(answer, &text);

    return p;
}


static void
phrony_answer_end_text(phrony_answer_t *answer, const phrony_str_t *text)
{
    if (answer->state == PHRONY_ANSWER_NAME) {
        phrony_answer_end_name(answer, text);

    } else {
        phrony_answer_end_value(answer, text);
    }
}


/* The last value counts: a new one voids an earlier one from the start. */

static void
phrony_answer_end_name(phrony_answer_t *answer, const phrony_str_t *name)
{
    answer->state = PHRONY_ANSWER_COLON;
    answer->member = PHRONY_ANSWER_OTHER;

    if (phrony_str_eq(name, &phrony_answer_run_id)) {
        answer->member = PHRONY_ANSWER_RUN_ID;
        answer->run_seen = 1;
        answer->has_run = 0;

    } else if (phrony_str_eq(name, &phrony_answer_status)) {
        answer->member = PHRONY_ANSWER_STATUS;
        answer->status_len = 0;
    }
}


/* An empty value is as unusable as one that could not be decoded. */

static void
phrony_answer_end_value(phrony_answer_t *answer, const phrony_str_t *value)
{
    answer->state = PHRONY_ANSWER_COMMA;

    if (answer->member == PHRONY_ANSWER_RUN_ID) {
        answer->has_run = (phrony_uuid_parse(value, &answer->run_id) == 0);
        return;
    }

    if (value->len <= PHRONY_ANSWER_STATUS_MAX) {
        memcpy(answer->status, value->data, value->len);
        answer->status_len = value->len;
    }
}


/* Control characters must not stand in a string as they are. */

static int
phrony_answer_is_clean(const phrony_str_t *text)
{
    size_t  i;

    for (i = 0; i < text->len; i++) {
        if (text->data[i] < 0x20) {
            return 0;
        }
    }

    return 1;
}
