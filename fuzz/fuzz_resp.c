
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#define _GNU_SOURCE

#include <stdio.h>
#include <stdlib.h>

#include "phrony_resp.h"


#define FUZZ_BYTES     1000
#define FUZZ_ELEMENTS  50
#define FUZZ_LEVELS    8
#define FUZZ_WORDS     40

#define fuzz_assert(cond)  do { if (!(cond)) { abort(); } } while (0)


typedef struct {
    size_t                len;
    size_t                size;
    char                 *data;
} fuzz_text_t;


/* A slow obvious reader of all bytes at once. */

typedef struct {
    const unsigned char  *p;
    const unsigned char  *last;
    size_t                elements;     /* that may still come */
    fuzz_text_t          *text;
} fuzz_model_t;


typedef enum {
    FUZZ_WHOLE = 0,
    FUZZ_MORE,
    FUZZ_BROKEN
} fuzz_state_t;


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_replies(const uint8_t *data, size_t size, size_t piece);
static int fuzz_read(const uint8_t *data, size_t size, size_t piece,
    fuzz_text_t *text);
static void fuzz_write(fuzz_text_t *text, const phrony_resp_t *reply);
static fuzz_state_t fuzz_model(const uint8_t *data, size_t size,
    fuzz_text_t *text);
static fuzz_state_t fuzz_model_reply(fuzz_model_t *model, unsigned level);
static fuzz_state_t fuzz_model_string(fuzz_model_t *model, long long len);
static fuzz_state_t fuzz_model_array(fuzz_model_t *model, long long n,
    unsigned level);
static int fuzz_model_number(const unsigned char *p, size_t len,
    long long *number);
static void fuzz_command(const uint8_t *data, size_t size);
static void fuzz_add(fuzz_text_t *text, const void *bytes, size_t len);
static void fuzz_add_format(fuzz_text_t *text, const char *fmt,
    long long value);


/* The first byte says how large the pieces are. */

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }

    fuzz_replies(data + 1, size - 1, size);
    fuzz_replies(data + 1, size - 1, 1 + (size_t) data[0]);
    fuzz_replies(data + 1, size - 1, 1);

    fuzz_command(data, size);

    return 0;
}


/*
 * The same replies come out as the model reads.  What is broken may be seen
 * later than by the model, since it is not looked at before a line ends, but
 * never without cause.
 */

static void
fuzz_replies(const uint8_t *data, size_t size, size_t piece)
{
    int           rc;
    fuzz_text_t   got, want;
    fuzz_state_t  state;

    memset(&got, 0, sizeof(got));
    memset(&want, 0, sizeof(want));

    rc = fuzz_read(data, size, piece, &got);
    state = fuzz_model(data, size, &want);

    fuzz_assert(got.len == want.len);
    fuzz_assert(got.len == 0 || memcmp(got.data, want.data, got.len) == 0);
    fuzz_assert(rc == 0 || state == FUZZ_BROKEN);

    free(got.data);
    free(want.data);
}


static int
fuzz_read(const uint8_t *data, size_t size, size_t piece, fuzz_text_t *text)
{
    int                    rc;
    size_t                 n;
    const char            *error;
    const phrony_resp_t   *reply;
    phrony_resp_reader_t  *reader;
    phrony_resp_limits_t   limits = { FUZZ_BYTES, FUZZ_ELEMENTS };

    reader = phrony_resp_reader_create(&limits);
    fuzz_assert(reader != NULL);

    rc = 0;

    while (size && rc == 0) {
        n = (piece < size) ? piece : size;

        fuzz_assert(phrony_resp_feed(reader, data, n) == 0);

        data += n;
        size -= n;

        while ((rc = phrony_resp_next(reader, &reply)) == 1) {
            fuzz_write(text, reply);
        }
    }

    error = phrony_resp_reader_error(reader);

    fuzz_assert((rc == 0) == (error[0] == '\0'));

    for ( /* void */ ; *error; error++) {
        fuzz_assert(*error >= 0x20 && *error <= 0x7e);
    }

    fuzz_assert(rc == 0 || phrony_resp_next(reader, &reply) == -1);

    phrony_resp_reader_free(reader);

    return rc;
}


static void
fuzz_write(fuzz_text_t *text, const phrony_resp_t *reply)
{
    size_t  i;

    switch (reply->type) {

    case PHRONY_RESP_NIL:
        fuzz_add(text, "$-1\r\n", 5);
        break;

    case PHRONY_RESP_INTEGER:
        fuzz_add_format(text, ":%lld\r\n", (long long) reply->integer);
        break;

    case PHRONY_RESP_STRING:
        fuzz_add_format(text, "$%lld\r\n", (long long) reply->str.len);
        fuzz_add(text, reply->str.data, reply->str.len);
        fuzz_assert(reply->str.data[reply->str.len] == '\0');
        fuzz_add(text, "\r\n", 2);
        break;

    case PHRONY_RESP_STATUS:
    case PHRONY_RESP_ERROR:
        fuzz_add(text, reply->type == PHRONY_RESP_ERROR ? "-" : "+", 1);
        fuzz_add(text, reply->str.data, reply->str.len);
        fuzz_assert(reply->str.data[reply->str.len] == '\0');
        fuzz_add(text, "\r\n", 2);
        break;

    case PHRONY_RESP_ARRAY:
        fuzz_add_format(text, "*%lld\r\n", (long long) reply->n);

        for (i = 0; i < reply->n; i++) {
            fuzz_write(text, &reply->elements[i]);
        }
    }
}


static fuzz_state_t
fuzz_model(const uint8_t *data, size_t size, fuzz_text_t *text)
{
    size_t                len;
    fuzz_model_t          model;
    fuzz_state_t          state;
    const unsigned char  *start;

    model.p = data;
    model.last = data + size;
    model.text = text;

    for ( ;; ) {
        start = model.p;
        len = text->len;
        model.elements = FUZZ_ELEMENTS;

        state = fuzz_model_reply(&model, 0);

        if (state == FUZZ_WHOLE && model.p - start <= FUZZ_BYTES) {
            continue;
        }

        /* what was written of this one is not a reply */

        text->len = len;

        if (state == FUZZ_WHOLE || model.last - start >= FUZZ_BYTES) {
            return FUZZ_BROKEN;
        }

        return state;
    }
}


static fuzz_state_t
fuzz_model_reply(fuzz_model_t *model, unsigned level)
{
    size_t                len;
    long long             number;
    unsigned char         type;
    const unsigned char  *line, *end;

    if (model->p == model->last) {
        return FUZZ_MORE;
    }

    type = *model->p;

    if (type == '\0' || strchr("+-:$*", type) == NULL
        || (type == '*' && level == FUZZ_LEVELS))
    {
        return FUZZ_BROKEN;
    }

    line = model->p + 1;
    end = memmem(line, (size_t) (model->last - line), "\r\n", 2);

    if (end == NULL) {
        return FUZZ_MORE;
    }

    len = (size_t) (end - line);
    model->p = end + 2;

    if (type == '+' || type == '-') {

        if (memchr(line, '\r', len) || memchr(line, '\n', len)) {
            return FUZZ_BROKEN;
        }

        fuzz_add(model->text, &type, 1);
        fuzz_add(model->text, line, len + 2);

        return FUZZ_WHOLE;
    }

    if (fuzz_model_number(line, len, &number) != 0) {
        return FUZZ_BROKEN;
    }

    if (type == ':') {
        fuzz_add_format(model->text, ":%lld\r\n", number);
        return FUZZ_WHOLE;
    }

    if (number < -1) {
        return FUZZ_BROKEN;
    }

    if (number == -1) {
        fuzz_add(model->text, "$-1\r\n", 5);
        return FUZZ_WHOLE;
    }

    return (type == '$') ? fuzz_model_string(model, number)
                         : fuzz_model_array(model, number, level);
}


static fuzz_state_t
fuzz_model_string(fuzz_model_t *model, long long len)
{
    if (model->last - model->p < 2 || model->last - model->p - 2 < len) {
        return FUZZ_MORE;
    }

    if (memcmp(model->p + len, "\r\n", 2) != 0) {
        return FUZZ_BROKEN;
    }

    fuzz_add_format(model->text, "$%lld\r\n", len);
    fuzz_add(model->text, model->p, (size_t) len + 2);

    model->p += len + 2;

    return FUZZ_WHOLE;
}


static fuzz_state_t
fuzz_model_array(fuzz_model_t *model, long long n, unsigned level)
{
    fuzz_state_t  state;

    if (n > (long long) model->elements) {
        return FUZZ_BROKEN;
    }

    model->elements -= (size_t) n;

    fuzz_add_format(model->text, "*%lld\r\n", n);

    while (n-- > 0) {
        state = fuzz_model_reply(model, level + 1);

        if (state != FUZZ_WHOLE) {
            return state;
        }
    }

    return FUZZ_WHOLE;
}


/* A number is one exactly if it is written as printf() writes it. */

static int
fuzz_model_number(const unsigned char *p, size_t len, long long *number)
{
    char  text[32], again[32];

    if (len >= sizeof(text)) {
        return -1;
    }

    memcpy(text, p, len);
    text[len] = '\0';

    *number = strtoll(text, NULL, 10);

    return ((size_t) snprintf(again, sizeof(again), "%lld", *number) == len
            && memcmp(text, again, len) == 0) ? 0 : -1;
}


/* A command is read as the array of its words; each 0xff ends one. */

static void
fuzz_command(const uint8_t *data, size_t size)
{
    size_t                 n, i, len;
    phrony_str_t           argv[FUZZ_WORDS];
    unsigned char         *bytes;
    const unsigned char   *p, *end, *last;
    const phrony_resp_t   *reply;
    phrony_resp_reader_t  *reader;
    phrony_resp_limits_t   limits = { SIZE_MAX, SIZE_MAX };

    last = data + size;
    p = data;

    for (n = 0; n < FUZZ_WORDS && p < last; n++) {
        end = memchr(p, 0xff, (size_t) (last - p));
        end = end ? end : last;

        argv[n].data = (unsigned char *) p;
        argv[n].len = (size_t) (end - p);

        p = (end < last) ? end + 1 : last;
    }

    bytes = phrony_resp_command(n, argv, &len);
    reader = phrony_resp_reader_create(&limits);
    fuzz_assert(bytes && reader);

    fuzz_assert(phrony_resp_feed(reader, bytes, len) == 0);
    phrony_resp_command_free(bytes);

    fuzz_assert(phrony_resp_next(reader, &reply) == 1);
    fuzz_assert(reply->type == PHRONY_RESP_ARRAY && reply->n == n);

    for (i = 0; i < n; i++) {
        fuzz_assert(reply->elements[i].type == PHRONY_RESP_STRING);
        fuzz_assert(phrony_str_eq(&reply->elements[i].str, &argv[i]));
    }

    fuzz_assert(phrony_resp_next(reader, &reply) == 0);
    phrony_resp_reader_free(reader);
}


static void
fuzz_add(fuzz_text_t *text, const void *bytes, size_t len)
{
    if (len == 0) {
        return;
    }

    if (len > text->size - text->len) {
        text->size = 2 * text->size + len;
        text->data = realloc(text->data, text->size);
        fuzz_assert(text->data != NULL);
    }

    memcpy(text->data + text->len, bytes, len);
    text->len += len;
}


static void
fuzz_add_format(fuzz_text_t *text, const char *fmt, long long value)
{
    char  buf[64];

    fuzz_add(text, buf, (size_t) snprintf(buf, sizeof(buf), fmt, value));
}
