
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "phrony_answer.h"


#define phrony_answer_run_id  (&phrony_answer_names[0])


static void phrony_answer_member(phrony_answer_t *answer,
    const phrony_str_t *text);


static const phrony_outline_name_t  phrony_answer_names[] = {
    { phrony_str("runId"), PHRONY_OUTLINE_WHOLE },
    { phrony_str("status"), PHRONY_OUTLINE_WHOLE }
};


void
phrony_answer_init(phrony_answer_t *answer)
{
    phrony_outline_init(&answer->outline, phrony_answer_names,
                        sizeof(phrony_answer_names)
                        / sizeof(phrony_answer_names[0]));

    answer->has_run = 0;
    answer->run_seen = 0;
    answer->status_len = 0;
}


void
phrony_answer_read(phrony_answer_t *answer, const unsigned char *data,
    size_t len)
{
    phrony_str_t            in, text;
    phrony_outline_event_t  event;

    in.len = len;
    in.data = (unsigned char *) data;

    while (in.len) {
        event = phrony_outline_next(&answer->outline, &in, &text);

        if (event == PHRONY_OUTLINE_ON_REST) {
            phrony_answer_member(answer, &text);
        }
    }
}


int
phrony_answer_done(const phrony_answer_t *answer)
{
    return phrony_outline_done(&answer->outline);
}


int
phrony_answer_status_in(const phrony_answer_t *answer,
    const phrony_str_t *names, size_t n)
{
    size_t        i;
    phrony_str_t  status;

    if (answer->status_len == 0) {
        return 0;
    }

    status.len = answer->status_len;
    status.data = (unsigned char *) answer->status;

    for (i = 0; i < n; i++) {
        if (phrony_str_eq_nocase(&status, &names[i])) {
            return 1;
        }
    }

    return 0;
}


/*
 * The last value counts: a new one voids an earlier one.  An empty value is as
 * unusable as one that is no string, or could not be decoded.
 */

static void
phrony_answer_member(phrony_answer_t *answer, const phrony_str_t *text)
{
    if (answer->outline.member == phrony_answer_run_id) {
        answer->run_seen = 1;
        answer->has_run = (phrony_uuid_parse(text, &answer->run_id) == 0);
        return;
    }

    answer->status_len = 0;

    if (text->len && text->len <= PHRONY_ANSWER_STATUS_MAX) {
        memcpy(answer->status, text->data, text->len);
        answer->status_len = text->len;
    }
}
