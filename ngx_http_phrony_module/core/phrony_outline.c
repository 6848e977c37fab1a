
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "phrony_outline_pass.h"


static const unsigned char *phrony_outline_structure(
    phrony_outline_t *outline, const unsigned char *p,
    const unsigned char *last, phrony_outline_event_t *event);
static inline int phrony_outline_is_stop(phrony_outline_state_t state);
static inline phrony_outline_event_t phrony_outline_event(
    phrony_outline_t *outline, phrony_outline_state_t *state);
static phrony_outline_event_t phrony_outline_close(phrony_outline_t *outline,
    phrony_outline_state_t *state);
static void phrony_outline_change_level(phrony_outline_t *outline);
static inline phrony_outline_state_t phrony_outline_step(
    phrony_outline_t *outline, phrony_outline_state_t state,
    unsigned char ch);
static inline phrony_outline_state_t phrony_outline_value(
    phrony_outline_t *outline, unsigned char ch);
static const unsigned char *phrony_outline_text(phrony_outline_t *outline,
    const unsigned char *p, const unsigned char *last, phrony_str_t *text);
static const unsigned char *phrony_outline_text_rest(
    phrony_outline_t *outline, const unsigned char *p,
    const unsigned char *last, phrony_str_t *text);
static inline void phrony_outline_end_text(phrony_outline_t *outline,
    phrony_str_t *text);


void
phrony_outline_init(phrony_outline_t *outline,
    const phrony_outline_name_t *names, size_t n)
{
    outline->state = PHRONY_OUTLINE_START;
    outline->escape = 0;
    outline->empty = 0;
    outline->level = 0;
    outline->brackets.string = 0;
    outline->brackets.escape = 0;
    outline->names = names;
    outline->n = n;
    outline->other = NULL;
    outline->n_other = 0;
    outline->member = NULL;
}


void
phrony_outline_inner(phrony_outline_t *outline,
    const phrony_outline_name_t *names, size_t n)
{
    outline->other = names;
    outline->n_other = n;
}


phrony_outline_event_t
phrony_outline_next(phrony_outline_t *outline, phrony_str_t *in,
    phrony_str_t *text)
{
    const unsigned char     *p, *last;
    phrony_outline_event_t   event;

    text->len = 0;
    text->data = NULL;

    if (in->len == 0) {
        return PHRONY_OUTLINE_ON_MORE;
    }

    p = in->data;
    last = p + in->len;
    event = PHRONY_OUTLINE_ON_MORE;

    do {

        switch (outline->state) {

        case PHRONY_OUTLINE_NAME:
        case PHRONY_OUTLINE_TEXT:
            p = phrony_outline_text(outline, p, last, text);
            break;

        case PHRONY_OUTLINE_NAME_REST:
        case PHRONY_OUTLINE_TEXT_REST:
            p = phrony_outline_text_rest(outline, p, last, text);
            break;

        case PHRONY_OUTLINE_STRING:
            p = phrony_outline_pass_string(outline, p, last);
            break;

        case PHRONY_OUTLINE_SCALAR:
            p = phrony_outline_pass_scalar(outline, p, last);
            break;

        case PHRONY_OUTLINE_NESTED:
            p = phrony_outline_pass_nested(outline, p, last);
            break;

        case PHRONY_OUTLINE_OTHER:
        case PHRONY_OUTLINE_BROKEN:
            p = last;
            break;

        case PHRONY_OUTLINE_COMMA:
            p = phrony_outline_pass_members(outline, p, last);

            if (p == last || outline->state != PHRONY_OUTLINE_COMMA) {
                continue;
            }

            /* fall through */

        default:
            p = phrony_outline_structure(outline, p, last, &event);
            continue;
        }

        if (outline->state == PHRONY_OUTLINE_COMMA && outline->member) {
            event = PHRONY_OUTLINE_ON_REST;
        }

    } while (p < last && event == PHRONY_OUTLINE_ON_MORE);

    in->data = (unsigned char *) p;
    in->len = (size_t) (last - p);

    return event;
}


/*
 * Reads what stands between the names and values of the object, up to the
 * next of them.
 */

static const unsigned char *
phrony_outline_structure(phrony_outline_t *outline, const unsigned char *p,
    const unsigned char *last, phrony_outline_event_t *event)
{
    unsigned char           ch;
    phrony_outline_state_t  state;

    state = (phrony_outline_state_t) outline->state;

    while (p < last) {
        ch = *p++;

        if (ch == ' ' || ch == '\n' || ch == '\r' || ch == '\t') {
            continue;
        }

        state = phrony_outline_step(outline, state, ch);

        if (phrony_outline_is_stop(state)) {
            *event = phrony_outline_event(outline, &state);
            break;
        }
    }

    outline->state = (unsigned char) state;

    return p;
}


/*
 * States in which many bytes are read at once, or none any more, and the end
 * of the object, which is told.
 */

static inline int
phrony_outline_is_stop(phrony_outline_state_t state)
{
    return (0x1
            << PHRONY_OUTLINE_NAME | 0x1 << PHRONY_OUTLINE_TEXT
            | 0x1 << PHRONY_OUTLINE_STRING | 0x1 << PHRONY_OUTLINE_SCALAR
            | 0x1 << PHRONY_OUTLINE_NESTED | 0x1 << PHRONY_OUTLINE_INNER
            | 0x1 << PHRONY_OUTLINE_END
            | 0x1 << PHRONY_OUTLINE_OTHER | 0x1 << PHRONY_OUTLINE_BROKEN)
           >> state & 1;
}


/*
 * What there is to tell when one of these states begins.  Two of them are left
 * at once.
 */

static inline phrony_outline_event_t
phrony_outline_event(phrony_outline_t *outline,
    phrony_outline_state_t *state)
{
    switch (*state) {

    case PHRONY_OUTLINE_STRING:
    case PHRONY_OUTLINE_SCALAR:
    case PHRONY_OUTLINE_NESTED:
        return (outline->member
                && outline->member->want != PHRONY_OUTLINE_WHOLE)
               ? PHRONY_OUTLINE_ON_VALUE : PHRONY_OUTLINE_ON_MORE;

    case PHRONY_OUTLINE_INNER:
        phrony_outline_change_level(outline);
        outline->entered = outline->member;
        *state = PHRONY_OUTLINE_FIRST;

        return PHRONY_OUTLINE_ON_VALUE;

    case PHRONY_OUTLINE_END:
        return phrony_outline_close(outline, state);

    default:
        return PHRONY_OUTLINE_ON_MORE;
    }
}


/* The end of the object that was entered is that of a value. */

static phrony_outline_event_t
phrony_outline_close(phrony_outline_t *outline,
    phrony_outline_state_t *state)
{
    if (outline->level == 0) {
        return PHRONY_OUTLINE_ON_CLOSE;
    }

    phrony_outline_change_level(outline);
    outline->member = outline->entered;
    outline->empty = 0;
    *state = PHRONY_OUTLINE_COMMA;

    return PHRONY_OUTLINE_ON_REST;
}


static void
phrony_outline_change_level(phrony_outline_t *outline)
{
    size_t                        n;
    const phrony_outline_name_t  *names;

    names = outline->names;
    n = outline->n;

    outline->names = outline->other;
    outline->n = outline->n_other;

    outline->other = names;
    outline->n_other = n;

    outline->level = !outline->level;
}


static inline phrony_outline_state_t
phrony_outline_step(phrony_outline_t *outline, phrony_outline_state_t state,
    unsigned char ch)
{
    switch (state) {

    case PHRONY_OUTLINE_START:
        return (ch == '{') ? PHRONY_OUTLINE_FIRST : PHRONY_OUTLINE_OTHER;

    case PHRONY_OUTLINE_FIRST:

        if (ch == '}') {
            outline->empty = 1;
            return PHRONY_OUTLINE_END;
        }

        /* fall through */

    case PHRONY_OUTLINE_MEMBER:
        return (ch == '"') ? PHRONY_OUTLINE_NAME : PHRONY_OUTLINE_BROKEN;

    case PHRONY_OUTLINE_COLON:
        return (ch == ':') ? PHRONY_OUTLINE_VALUE : PHRONY_OUTLINE_BROKEN;

    case PHRONY_OUTLINE_VALUE:
        return phrony_outline_value(outline, ch);

    case PHRONY_OUTLINE_COMMA:

        if (ch == ',') {
            return PHRONY_OUTLINE_MEMBER;
        }

        return (ch == '}') ? PHRONY_OUTLINE_END : PHRONY_OUTLINE_BROKEN;

    default:
        return PHRONY_OUTLINE_BROKEN;
    }
}


static inline phrony_outline_state_t
phrony_outline_value(phrony_outline_t *outline, unsigned char ch)
{
    switch (ch) {

    case '"':

        if (outline->member && outline->member->want == PHRONY_OUTLINE_WHOLE) {
            return PHRONY_OUTLINE_TEXT;
        }

        return PHRONY_OUTLINE_STRING;

    case '{':

        if (outline->member && outline->member->want == PHRONY_OUTLINE_ENTER) {
            return PHRONY_OUTLINE_INNER;
        }

        /* fall through */

    case '[':
        outline->brackets.depth = 1;
        return PHRONY_OUTLINE_NESTED;

    default:
        return phrony_outline_pass_scalars[ch] ? PHRONY_OUTLINE_SCALAR
                                               : PHRONY_OUTLINE_BROKEN;
    }
}


/*
 * Reads a name, or a value to decode.  Most are here as a whole, and without
 * escapes.
 */

static const unsigned char *
phrony_outline_text(phrony_outline_t *outline, const unsigned char *p,
    const unsigned char *last, phrony_str_t *text)
{
    const unsigned char  *end;

    end = phrony_text_plain(p, last);

    if (end == last || *end != '"') {
        outline->state = (outline->state == PHRONY_OUTLINE_NAME)
                         ? PHRONY_OUTLINE_NAME_REST
                         : PHRONY_OUTLINE_TEXT_REST;
        phrony_text_init(&outline->text);

        return phrony_outline_text_rest(outline, p, last, text);
    }

    text->len = (size_t) (end - p);
    text->data = (unsigned char *) p;

    if (outline->state == PHRONY_OUTLINE_TEXT
        && !phrony_text_is_clean(text))
    {
        text->len = 0;
    }

    phrony_outline_end_text(outline, text);

    return end + 1;
}


static const unsigned char *
phrony_outline_text_rest(phrony_outline_t *outline, const unsigned char *p,
    const unsigned char *last, phrony_str_t *text)
{
    p = phrony_text_read(&outline->text, p, last);

    if (outline->text.state == PHRONY_TEXT_BROKEN) {
        outline->state = PHRONY_OUTLINE_BROKEN;
        return p;
    }

    if (outline->text.state == PHRONY_TEXT_OPEN) {
        return p;
    }

    text->len = outline->text.unusable ? 0 : outline->text.len;
    text->data = outline->text.data;

    phrony_outline_end_text(outline, text);

    return p;
}


/* The text of a name is told nobody. */

static inline void
phrony_outline_end_text(phrony_outline_t *outline, phrony_str_t *text)
{
    if (outline->state == PHRONY_OUTLINE_TEXT
        || outline->state == PHRONY_OUTLINE_TEXT_REST)
    {
        outline->state = PHRONY_OUTLINE_COMMA;
        return;
    }

    outline->state = PHRONY_OUTLINE_COLON;
    phrony_outline_pass_find(outline, text);

    text->len = 0;
    text->data = NULL;
}
