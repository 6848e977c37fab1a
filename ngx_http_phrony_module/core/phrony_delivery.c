
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "phrony_delivery.h"


/* What there is to tell apart: the rows of the table of decisions. */

typedef enum {
    PHRONY_DELIVERY_SEEN_NEVER = 0,
    PHRONY_DELIVERY_SEEN_MISMATCH,
    PHRONY_DELIVERY_SEEN_PROGRESS,
    PHRONY_DELIVERY_SEEN_ANSWERED,
    PHRONY_DELIVERY_SEEN_DONE,          /* its answer was not stored */
    PHRONY_DELIVERY_SEEN_UNKNOWN,
    PHRONY_DELIVERY_SEEN_MAX
} phrony_delivery_seen_t;


#define phrony_delivery_action(action, duplicate)                             \
    { PHRONY_DELIVERY_ACTION_ ## action, PHRONY_DUPLICATE_ ## duplicate }

#define phrony_delivery_row(replay, duplicate)                                \
    {                                                                         \
        phrony_delivery_action(PROXY, NONE),                                  \
        phrony_delivery_action(replay, duplicate),                            \
        phrony_delivery_action(PROXY, duplicate)                              \
    }


static phrony_delivery_id_t phrony_delivery_id_bare(
    const phrony_str_t *value, phrony_str_t *id);
static phrony_delivery_id_t phrony_delivery_id_quoted(
    const phrony_str_t *value, unsigned char *buf, phrony_str_t *id);
static size_t phrony_delivery_decoded_len(const phrony_str_t *text);
static void phrony_delivery_decode(const phrony_str_t *text,
    unsigned char *buf);
static int phrony_delivery_is_visible(unsigned char ch);


/* By state, same fingerprint, answered: another body goes before the state. */

static const phrony_delivery_seen_t
    phrony_delivery_seen[PHRONY_DELIVERY_MAX][2][2] =
{
    [PHRONY_DELIVERY_NEW] = {
        { PHRONY_DELIVERY_SEEN_NEVER, PHRONY_DELIVERY_SEEN_NEVER },
        { PHRONY_DELIVERY_SEEN_NEVER, PHRONY_DELIVERY_SEEN_NEVER }
    },

    [PHRONY_DELIVERY_PROGRESS] = {
        { PHRONY_DELIVERY_SEEN_MISMATCH, PHRONY_DELIVERY_SEEN_MISMATCH },
        { PHRONY_DELIVERY_SEEN_PROGRESS, PHRONY_DELIVERY_SEEN_PROGRESS }
    },

    [PHRONY_DELIVERY_DONE] = {
        { PHRONY_DELIVERY_SEEN_MISMATCH, PHRONY_DELIVERY_SEEN_MISMATCH },
        { PHRONY_DELIVERY_SEEN_DONE, PHRONY_DELIVERY_SEEN_ANSWERED }
    },

    [PHRONY_DELIVERY_UNKNOWN] = {
        { PHRONY_DELIVERY_SEEN_MISMATCH, PHRONY_DELIVERY_SEEN_MISMATCH },
        { PHRONY_DELIVERY_SEEN_UNKNOWN, PHRONY_DELIVERY_SEEN_UNKNOWN }
    }
};


/* By what was seen and mode: off, replay, annotate. */

static const phrony_delivery_decision_t
    phrony_delivery_decisions[PHRONY_DELIVERY_SEEN_MAX]
                             [PHRONY_DELIVERY_MODE_MAX] =
{
    [PHRONY_DELIVERY_SEEN_NEVER] = {
        phrony_delivery_action(PROXY, NONE),
        phrony_delivery_action(CLAIM, NONE),
        phrony_delivery_action(CLAIM, NONE)
    },

    /* an annotating gateway proxies every duplicate */

    [PHRONY_DELIVERY_SEEN_MISMATCH] =
                          phrony_delivery_row(REFUSE_MISMATCH, MISMATCH),
    [PHRONY_DELIVERY_SEEN_PROGRESS] =
                          phrony_delivery_row(REFUSE_IN_PROGRESS, IN_PROGRESS),
    [PHRONY_DELIVERY_SEEN_ANSWERED] = phrony_delivery_row(REPLAY, DONE),
    [PHRONY_DELIVERY_SEEN_DONE] = phrony_delivery_row(PROXY, DONE),
    [PHRONY_DELIVERY_SEEN_UNKNOWN] = phrony_delivery_row(PROXY, UNKNOWN)
};


static const phrony_str_t  phrony_duplicate_names[PHRONY_DUPLICATE_MAX] = {
    [PHRONY_DUPLICATE_NONE] = phrony_str(""),
    [PHRONY_DUPLICATE_MISMATCH] = phrony_str("mismatch"),
    [PHRONY_DUPLICATE_IN_PROGRESS] = phrony_str("in-progress"),
    [PHRONY_DUPLICATE_DONE] = phrony_str("done"),
    [PHRONY_DUPLICATE_UNKNOWN] = phrony_str("unknown")
};


phrony_delivery_id_t
phrony_delivery_id(const phrony_str_t *value, unsigned char *buf,
    phrony_str_t *id)
{
    if (value->len == 0) {
        return PHRONY_DELIVERY_ID_NONE;
    }

    if (value->data[0] == '"') {
        return phrony_delivery_id_quoted(value, buf, id);
    }

    return phrony_delivery_id_bare(value, id);
}


static phrony_delivery_id_t
phrony_delivery_id_bare(const phrony_str_t *value, phrony_str_t *id)
{
    size_t  i;

    if (value->len > PHRONY_DELIVERY_ID_MAX) {
        return PHRONY_DELIVERY_ID_INVALID;
    }

    for (i = 0; i < value->len; i++) {
        if (value->data[i] == '"'
            || !phrony_delivery_is_visible(value->data[i]))
        {
            return PHRONY_DELIVERY_ID_INVALID;
        }
    }

    *id = *value;

    return PHRONY_DELIVERY_ID_OK;
}


static phrony_delivery_id_t
phrony_delivery_id_quoted(const phrony_str_t *value, unsigned char *buf,
    phrony_str_t *id)
{
    size_t        len;
    phrony_str_t  text;

    if (value->len < 2 || value->data[value->len - 1] != '"') {
        return PHRONY_DELIVERY_ID_INVALID;
    }

    text.data = value->data + 1;
    text.len = value->len - 2;

    len = phrony_delivery_decoded_len(&text);

    if (len == 0 || len > PHRONY_DELIVERY_ID_MAX) {
        return PHRONY_DELIVERY_ID_INVALID;
    }

    if (len < text.len) {
        phrony_delivery_decode(&text, buf);
        text.data = buf;
        text.len = len;
    }

    *id = text;

    return PHRONY_DELIVERY_ID_OK;
}


/*
 * How long what stands between the quotes is without its escapes; 0 if that
 * is nothing, or no part of an id.
 */

static size_t
phrony_delivery_decoded_len(const phrony_str_t *text)
{
    size_t         i, len;
    unsigned char  ch;

    len = 0;

    for (i = 0; i < text->len; i++) {
        ch = text->data[i];

        if (ch == '"' || !phrony_delivery_is_visible(ch)) {
            return 0;
        }

        if (ch == '\\') {
            i++;

            /* at the end it would be the closing quote that is escaped */

            if (i == text->len
                || (text->data[i] != '"' && text->data[i] != '\\'))
            {
                return 0;
            }
        }

        len++;
    }

    return len;
}


static void
phrony_delivery_decode(const phrony_str_t *text, unsigned char *buf)
{
    size_t  i;

    for (i = 0; i < text->len; i++) {
        if (text->data[i] == '\\') {
            i++;
        }

        *buf++ = text->data[i];
    }
}


static int
phrony_delivery_is_visible(unsigned char ch)
{
    return ch >= 0x21 && ch <= 0x7e;
}


phrony_delivery_decision_t
phrony_delivery_decide(phrony_delivery_mode_t mode,
    phrony_delivery_state_t state, int same_fingerprint, int answered)
{
    phrony_delivery_seen_t  seen;

    /* the state may have come over the wire */

    if ((unsigned) state >= PHRONY_DELIVERY_MAX) {
        state = PHRONY_DELIVERY_UNKNOWN;
    }

    seen = phrony_delivery_seen[state][!!same_fingerprint][!!answered];

    return phrony_delivery_decisions[seen][mode];
}


const phrony_str_t *
phrony_duplicate_name(phrony_duplicate_t duplicate)
{
    if ((unsigned) duplicate >= PHRONY_DUPLICATE_MAX) {
        duplicate = PHRONY_DUPLICATE_NONE;
    }

    return &phrony_duplicate_names[duplicate];
}
