
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include <stdlib.h>

#include "phrony_delivery.h"


#define FUZZ_MAX  255

#define fuzz_assert(cond)  do { if (!(cond)) { abort(); } } while (0)


/*
 * The grammar as a machine that reads one byte after another:
 *
 *            "          "
 *     EMPTY ---> TEXT ------> CLOSED
 *       |        |  ^
 *       |      \ |  | " or \
 *       v        v  |
 *     BARE      ESCAPE              what is not drawn ---> BROKEN
 */

typedef enum {
    FUZZ_EMPTY,
    FUZZ_BARE,
    FUZZ_TEXT,
    FUZZ_ESCAPE,
    FUZZ_CLOSED,
    FUZZ_BROKEN
} fuzz_state_t;


typedef struct {
    fuzz_state_t  state;
    size_t        len;
    uint8_t      *id;
} fuzz_model_t;


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static phrony_delivery_id_t fuzz_model(fuzz_model_t *model,
    const uint8_t *data, size_t size);
static fuzz_state_t fuzz_next(fuzz_state_t state, uint8_t ch);
static void fuzz_read(const uint8_t *data, size_t size,
    phrony_delivery_id_t want, const fuzz_model_t *model);
static void fuzz_quoted(const fuzz_model_t *model);
static void fuzz_longer(const uint8_t *data, size_t size,
    phrony_delivery_id_t rc);


/*
 * An id is read exactly if the model reads one, and then the same; its quoted
 * form is that id as well; and it does not matter what stands behind it in
 * memory.
 */

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_model_t          model;
    phrony_delivery_id_t  rc;

    model.id = malloc(size + 1);
    fuzz_assert(model.id != NULL);

    rc = fuzz_model(&model, data, size);

    fuzz_read(data, size, rc, &model);
    fuzz_longer(data, size, rc);

    if (rc == PHRONY_DELIVERY_ID_OK) {
        fuzz_quoted(&model);
    }

    free(model.id);

    return 0;
}


static phrony_delivery_id_t
fuzz_model(fuzz_model_t *model, const uint8_t *data, size_t size)
{
    size_t        i;
    fuzz_state_t  last;

    model->state = FUZZ_EMPTY;
    model->len = 0;

    for (i = 0; i < size; i++) {
        last = model->state;
        model->state = fuzz_next(last, data[i]);

        /* a byte of the id leads to BARE or, but for the first quote, TEXT */

        if (model->state == FUZZ_BARE
            || (model->state == FUZZ_TEXT && last != FUZZ_EMPTY))
        {
            model->id[model->len++] = data[i];
        }
    }

    if (model->state == FUZZ_EMPTY) {
        return PHRONY_DELIVERY_ID_NONE;
    }

    if (model->state != FUZZ_BARE && model->state != FUZZ_CLOSED) {
        return PHRONY_DELIVERY_ID_INVALID;
    }

    return (model->len >= 1 && model->len <= FUZZ_MAX)
           ? PHRONY_DELIVERY_ID_OK : PHRONY_DELIVERY_ID_INVALID;
}


static fuzz_state_t
fuzz_next(fuzz_state_t state, uint8_t ch)
{
    int  quote, backslash, plain;

    quote = (ch == '"');
    backslash = (ch == '\\');
    plain = (ch > ' ' && ch < 127 && !quote && !backslash);

    switch (state) {

    case FUZZ_EMPTY:
        return quote ? FUZZ_TEXT
                     : (plain || backslash) ? FUZZ_BARE : FUZZ_BROKEN;

    case FUZZ_BARE:
        return (plain || backslash) ? FUZZ_BARE : FUZZ_BROKEN;

    case FUZZ_TEXT:
        return quote ? FUZZ_CLOSED
                     : backslash ? FUZZ_ESCAPE
                                 : plain ? FUZZ_TEXT : FUZZ_BROKEN;

    case FUZZ_ESCAPE:
        return (quote || backslash) ? FUZZ_TEXT : FUZZ_BROKEN;

    default:
        return FUZZ_BROKEN;
    }
}


/* From and into blocks of exactly the size that the contract speaks of. */

static void
fuzz_read(const uint8_t *data, size_t size, phrony_delivery_id_t want,
    const fuzz_model_t *model)
{
    int             viewed;
    phrony_str_t    value, id;
    unsigned char  *buf;

    value.len = size;
    value.data = malloc(size + (size == 0));
    fuzz_assert(value.data != NULL);

    if (size) {
        memcpy(value.data, data, size);
    }

    buf = malloc(PHRONY_DELIVERY_ID_MAX);
    fuzz_assert(buf != NULL);

    id.len = 0;
    id.data = NULL;

    fuzz_assert(phrony_delivery_id(&value, buf, &id) == want);

    if (want != PHRONY_DELIVERY_ID_OK) {
        fuzz_assert(id.data == NULL && id.len == 0);

    } else {
        fuzz_assert(id.len == model->len);
        fuzz_assert(memcmp(id.data, model->id, id.len) == 0);

        /* copied exactly if something was left out but two quotes */

        viewed = (model->len == size || model->len + 2 == size);

        fuzz_assert(id.data == (viewed ? value.data + (size - model->len) / 2
                                       : buf));
    }

    fuzz_assert(size == 0 || memcmp(value.data, data, size) == 0);

    free(value.data);
    free(buf);
}


static void
fuzz_quoted(const fuzz_model_t *model)
{
    size_t    i, n;
    uint8_t  *text;

    text = malloc(2 * model->len + 2);
    fuzz_assert(text != NULL);

    n = 0;
    text[n++] = '"';

    for (i = 0; i < model->len; i++) {
        if (model->id[i] == '"' || model->id[i] == '\\') {
            text[n++] = '\\';
        }

        text[n++] = model->id[i];
    }

    text[n++] = '"';

    fuzz_read(text, n, PHRONY_DELIVERY_ID_OK, model);

    free(text);
}


static void
fuzz_longer(const uint8_t *data, size_t size, phrony_delivery_id_t rc)
{
    uint8_t               buf[PHRONY_DELIVERY_ID_MAX], *longer;
    phrony_str_t          value, id;

    longer = malloc(size + 8);
    fuzz_assert(longer != NULL);

    if (size) {
        memcpy(longer, data, size);
    }

    memcpy(longer + size, " \";a=\"b\"", 8);

    value.len = size;
    value.data = longer;
    fuzz_assert(phrony_delivery_id(&value, buf, &id) == rc);

    /* none of these can be part of an id */

    value.len = size + 1;
    fuzz_assert(phrony_delivery_id(&value, buf, &id)
                == PHRONY_DELIVERY_ID_INVALID);

    value.len = size + 8;
    fuzz_assert(phrony_delivery_id(&value, buf, &id)
                == PHRONY_DELIVERY_ID_INVALID);

    free(longer);
}
