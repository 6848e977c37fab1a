
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


/*
 * The first byte says where the rest is split.  However an answer comes, what
 * is found in it is the same; and if it is valid JSON, it is what the parser
 * finds.
 */


#include <jansson.h>
#include <stdlib.h>

#include "phrony_answer.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_read(phrony_answer_t *answer, const uint8_t *data,
    size_t size, size_t piece);
static void fuzz_same(const phrony_answer_t *a, const phrony_answer_t *b);
static void fuzz_parser(const phrony_answer_t *answer, const json_t *root);
static void fuzz_run(const phrony_answer_t *answer, const json_t *run);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t           *root;
    size_t            piece;
    phrony_answer_t   whole, pieces;

    if (size == 0) {
        return 0;
    }

    piece = (size_t) data[0] + 1;
    data++;
    size--;

    fuzz_read(&whole, data, size, size + 1);

    fuzz_read(&pieces, data, size, piece);
    fuzz_same(&whole, &pieces);

    fuzz_read(&pieces, data, size, 1);
    fuzz_same(&whole, &pieces);

    /* the parser skips a NUL that follows a number or a word */

    if (memchr(data, '\0', size)) {
        return 0;
    }

    root = json_loadb((const char *) data, size,
                      JSON_ALLOW_NUL|JSON_DECODE_ANY, NULL);

    if (root) {
        fuzz_parser(&whole, root);
        json_decref(root);
    }

    return 0;
}


static void
fuzz_read(phrony_answer_t *answer, const uint8_t *data, size_t size,
    size_t piece)
{
    size_t  n;

    phrony_answer_init(answer);

    while (size) {
        n = size < piece ? size : piece;

        phrony_answer_read(answer, data, n);

        data += n;
        size -= n;
    }
}


static void
fuzz_same(const phrony_answer_t *a, const phrony_answer_t *b)
{
    if (phrony_answer_done(a) != phrony_answer_done(b)) {
        abort();
    }

    if (!phrony_answer_done(a)) {
        return;
    }

    if (a->run_seen != b->run_seen || a->has_run != b->has_run
        || a->status_len != b->status_len
        || memcmp(a->status, b->status, a->status_len) != 0)
    {
        abort();
    }

    if (a->has_run && !phrony_uuid_eq(&a->run_id, &b->run_id)) {
        abort();
    }
}


static void
fuzz_parser(const phrony_answer_t *answer, const json_t *root)
{
    size_t         len;
    const json_t  *status;

    if (phrony_answer_done(answer) != json_is_object(root)) {
        abort();
    }

    if (!json_is_object(root)) {
        return;
    }

    fuzz_run(answer, json_object_get(root, "runId"));

    status = json_object_get(root, "status");
    len = json_string_length(status);

    if (len > PHRONY_ANSWER_STATUS_MAX) {
        len = 0;
    }

    if (answer->status_len != len) {
        abort();
    }

    if (len && memcmp(answer->status, json_string_value(status), len) != 0) {
        abort();
    }
}


static void
fuzz_run(const phrony_answer_t *answer, const json_t *run)
{
    phrony_str_t   text;
    phrony_uuid_t  id;

    if (answer->run_seen != (run != NULL)) {
        abort();
    }

    text.data = (unsigned char *) json_string_value(run);
    text.len = json_string_length(run);

    if (text.data == NULL || phrony_uuid_parse(&text, &id) != 0) {

        if (answer->has_run) {
            abort();
        }

        return;
    }

    if (!answer->has_run || !phrony_uuid_eq(&id, &answer->run_id)) {
        abort();
    }
}
