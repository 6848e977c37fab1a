
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


/*
 * The first byte says how many of the next ones are sizes of the pieces in
 * which the rest comes, over and over.  However a stream comes, what is found
 * in it is the same, and what the model finds.
 */


#include <stdint.h>

#include "phrony_events.h"
#include "events_model.h"


#define FUZZ_SIZES  8
#define FUZZ_RUN    "f47ac10b-58cc-4372-a567-0e02b2c3d479"


typedef struct {
    int  ended;
    int  seen;
} found_t;


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static found_t fuzz_read(const uint8_t *data, size_t size,
    const uint8_t *sizes, size_t n);
static void fuzz_piece(phrony_events_t *events, const uint8_t *data,
    size_t len);
static void fuzz_same(const found_t *a, const found_t *b);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t    n;
    found_t   whole, pieces;
    model_t   model;

    static const uint8_t  bytes[] = { 0 };

    if (size == 0) {
        return 0;
    }

    n = data[0] % (FUZZ_SIZES + 1);
    data++;
    size--;
    n = n < size ? n : size;

    whole = fuzz_read(data + n, size - n, NULL, 0);

    pieces = fuzz_read(data + n, size - n, data, n);
    fuzz_same(&whole, &pieces);

    pieces = fuzz_read(data + n, size - n, bytes, 1);
    fuzz_same(&whole, &pieces);

    model_stream(&model, (const char *) data + n, size - n, FUZZ_RUN);

    if (!model_agrees(&model, whole.ended, whole.seen)) {
        abort();
    }

    return 0;
}


/* Without sizes all is one piece; a size is one less than the piece's. */

static found_t
fuzz_read(const uint8_t *data, size_t size, const uint8_t *sizes, size_t n)
{
    size_t           i, k, len;
    found_t          found;
    phrony_uuid_t    id;
    phrony_events_t  events;

    static const phrony_str_t  run = phrony_str(FUZZ_RUN);

    if (phrony_uuid_parse(&run, &id) != 0) {
        abort();
    }

    phrony_events_init(&events, &id);

    k = 0;

    for (i = 0; i < size; i += len) {
        len = n ? (size_t) sizes[k++ % n] + 1 : size;
        len = len < size - i ? len : size - i;

        fuzz_piece(&events, data + i, len);
    }

    found.ended = phrony_events_ended(&events);
    found.seen = phrony_events_seen(&events);

    return found;
}


/* A copy of its own: a sanitizer sees who reads beyond its end. */

static void
fuzz_piece(phrony_events_t *events, const uint8_t *data, size_t len)
{
    uint8_t  *piece;

    piece = malloc(len);

    if (piece == NULL) {
        abort();
    }

    memcpy(piece, data, len);
    phrony_events_read(events, piece, len);
    free(piece);
}


static void
fuzz_same(const found_t *a, const found_t *b)
{
    if (a->ended != b->ended || a->seen != b->seen) {
        abort();
    }
}
