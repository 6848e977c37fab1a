
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


/*
 * The first byte says how many of the next ones are sizes of the pieces in
 * which the rest comes, over and over.  However it comes, what goes out is
 * what the model says; and if it is valid JSON, it is the same value with the
 * member set.
 */


#include <jansson.h>
#include <stdlib.h>

#include "phrony_rewrite.h"
#include "rewrite_model.h"


#define FUZZ_SIZES  8


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_pieces(const model_t *model, const uint8_t *sizes, size_t n);
static size_t fuzz_piece(phrony_rewrite_t *rewrite, const char *data,
    size_t len, const model_t *model, size_t at);
static void fuzz_parser(const model_t *model);
static json_t *fuzz_load(const char *data, size_t len);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char     *out;
    size_t    n;
    model_t   model;

    static const uint8_t  bytes[] = { 0 };

    if (size == 0) {
        return 0;
    }

    n = data[0] % (FUZZ_SIZES + 1);
    data++;
    size--;
    n = n < size ? n : size;

    out = malloc(2 * (size - n) + MODEL_ROOM);

    if (out == NULL) {
        abort();
    }

    model_rewrite(&model, (const char *) data + n, size - n, out);

    fuzz_pieces(&model, data, n);
    fuzz_pieces(&model, NULL, 0);
    fuzz_pieces(&model, bytes, 1);

    fuzz_parser(&model);

    free(out);

    return 0;
}


/* Without sizes all is one piece; a size is one less than the piece's. */

static void
fuzz_pieces(const model_t *model, const uint8_t *sizes, size_t n)
{
    size_t            i, at, len, k;
    phrony_rewrite_t  rewrite;

    phrony_rewrite_init(&rewrite);

    at = 0;
    k = 0;

    for (i = 0; i < model->len; i += len) {
        len = n ? (size_t) sizes[k++ % n] + 1 : model->len;
        len = len < model->len - i ? len : model->len - i;

        at = fuzz_piece(&rewrite, model->data + i, len, model, at);
    }

    if (at != model->out_len || phrony_rewrite_done(&rewrite) != model->done)
    {
        abort();
    }
}


/* Compares what goes out with the model's text from "at" on. */

static size_t
fuzz_piece(phrony_rewrite_t *rewrite, const char *data, size_t len,
    const model_t *model, size_t at)
{
    phrony_str_t    in, out;
    unsigned char  *piece;

    piece = malloc(len);

    if (piece == NULL) {
        abort();
    }

    memcpy(piece, data, len);
    in.data = piece;
    in.len = len;

    while (phrony_rewrite_next(rewrite, &in, &out) == PHRONY_REWRITE_PIECE) {

        if (out.len == 0 || out.len > model->out_len - at
            || memcmp(out.data, model->out + at, out.len) != 0)
        {
            abort();
        }

        at += out.len;
    }

    if (in.len || out.len) {
        abort();
    }

    free(piece);

    return at;
}


static void
fuzz_parser(const model_t *model)
{
    json_t  *before, *after;

    before = fuzz_load(model->data, model->len);

    if (before == NULL) {
        return;
    }

    if (model->done != json_is_object(before)) {
        abort();
    }

    if (json_is_object(before)) {
        json_object_set_new(before, "duplicateDelivery", json_true());

        after = fuzz_load(model->out, model->out_len);

        if (after == NULL || !json_equal(before, after)) {
            abort();
        }

        json_decref(after);

    } else if (model->out_len != model->len
               || memcmp(model->out, model->data, model->len) != 0)
    {
        abort();
    }

    json_decref(before);
}


/* The parser skips a NUL that follows a number or a word. */

static json_t *
fuzz_load(const char *data, size_t len)
{
    if (memchr(data, '\0', len)) {
        return NULL;
    }

    return json_loadb(data, len,
                      JSON_ALLOW_NUL|JSON_DECODE_ANY|JSON_DECODE_INT_AS_REAL,
                      NULL);
}
