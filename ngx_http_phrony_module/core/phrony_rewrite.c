
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "phrony_rewrite.h"


static const unsigned char *phrony_rewrite_pass(phrony_rewrite_t *rewrite,
    phrony_str_t *in);
static void phrony_rewrite_drop(phrony_rewrite_t *rewrite, phrony_str_t *in);


static const phrony_outline_name_t  phrony_rewrite_names[] = {
    { phrony_str("duplicateDelivery"), PHRONY_OUTLINE_BOUNDS }
};


static const phrony_str_t  phrony_rewrite_value = phrony_str("true");

/* These stand for the last "}", so that no segment is needed for it alone. */

static const phrony_str_t  phrony_rewrite_first =
    phrony_str("\"duplicateDelivery\":true}");
static const phrony_str_t  phrony_rewrite_last =
    phrony_str(",\"duplicateDelivery\":true}");


void
phrony_rewrite_init(phrony_rewrite_t *rewrite)
{
    phrony_outline_init(&rewrite->outline, phrony_rewrite_names, 1);

    rewrite->insert = NULL;
    rewrite->found = 0;
    rewrite->dropping = 0;
}


phrony_rewrite_rc_t
phrony_rewrite_next(phrony_rewrite_t *rewrite, phrony_str_t *in,
    phrony_str_t *out)
{
    const unsigned char  *start, *end;

    for ( ;; ) {

        if (rewrite->insert) {
            *out = *rewrite->insert;
            rewrite->insert = NULL;
            return PHRONY_REWRITE_PIECE;
        }

        if (in->len == 0) {
            out->len = 0;
            out->data = NULL;
            return PHRONY_REWRITE_MORE;
        }

        if (rewrite->dropping) {
            phrony_rewrite_drop(rewrite, in);
            continue;
        }

        start = in->data;
        end = phrony_rewrite_pass(rewrite, in);

        if (end > start) {
            out->len = (size_t) (end - start);
            out->data = (unsigned char *) start;
            return PHRONY_REWRITE_PIECE;
        }
    }
}


phrony_rewrite_kind_t
phrony_rewrite_kind(const phrony_rewrite_t *rewrite)
{
    switch (rewrite->outline.state) {

    case PHRONY_OUTLINE_START:
        return PHRONY_REWRITE_UNKNOWN;

    case PHRONY_OUTLINE_OTHER:
        return PHRONY_REWRITE_OTHER;

    default:
        return PHRONY_REWRITE_OBJECT;
    }
}


int
phrony_rewrite_done(const phrony_rewrite_t *rewrite)
{
    return phrony_outline_done(&rewrite->outline);
}


/*
 * Reads up to the next byte that is replaced, or to the end of the piece, and
 * returns where that is.
 */

static const unsigned char *
phrony_rewrite_pass(phrony_rewrite_t *rewrite, phrony_str_t *in)
{
    phrony_str_t            text;
    phrony_outline_event_t  event;

    do {
        event = phrony_outline_next(&rewrite->outline, in, &text);

        if (event == PHRONY_OUTLINE_ON_VALUE) {
            rewrite->insert = &phrony_rewrite_value;
            rewrite->found = 1;
            rewrite->dropping = 1;

            return in->data - 1;
        }

        if (event == PHRONY_OUTLINE_ON_CLOSE && !rewrite->found) {
            rewrite->insert = rewrite->outline.empty ? &phrony_rewrite_first
                                                     : &phrony_rewrite_last;
            return in->data - 1;
        }

    } while (event != PHRONY_OUTLINE_ON_MORE);

    return in->data;
}


/* Reads a value that is replaced, or as much of it as there is. */

static void
phrony_rewrite_drop(phrony_rewrite_t *rewrite, phrony_str_t *in)
{
    phrony_str_t  text;

    if (phrony_outline_next(&rewrite->outline, in, &text)
        == PHRONY_OUTLINE_ON_REST)
    {
        rewrite->dropping = 0;
    }
}
