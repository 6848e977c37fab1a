
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef RESP_H_
#define RESP_H_


/*
 * What is read is written again in its plainest form and compared as text:
 * both forms of nil are "$-1".
 */


#include "test.h"

#include "phrony_resp.h"


#define TEXT_SIZE  (4 * 1024 * 1024)
#define BYTES      (1024 * 1024)
#define ELEMENTS   10000
#define LEVELS     8


typedef struct {
    size_t  len;
    char    data[TEXT_SIZE];
} text_t;


static phrony_resp_reader_t *reader_of(size_t bytes, size_t elements)
    TEST_UNUSED;
static int feed(phrony_resp_reader_t *reader, const char *text) TEST_UNUSED;
static int read_text(const char *bytes, size_t len, size_t piece,
    text_t *text) TEST_UNUSED;
static void write_reply(text_t *text, const phrony_resp_t *reply) TEST_UNUSED;
static void add(text_t *text, const void *bytes, size_t len) TEST_UNUSED;
static void add_text(text_t *text, const char *more) TEST_UNUSED;
static void add_format(text_t *text, const char *fmt, long long value)
    TEST_UNUSED;


static text_t  wire, plain, got;


static phrony_resp_reader_t *
reader_of(size_t bytes, size_t elements)
{
    phrony_resp_limits_t   limits;
    phrony_resp_reader_t  *reader;

    limits.bytes = bytes;
    limits.elements = elements;

    reader = phrony_resp_reader_create(&limits);

    if (reader == NULL) {
        abort();
    }

    return reader;
}


static int
feed(phrony_resp_reader_t *reader, const char *text)
{
    return phrony_resp_feed(reader, text, strlen(text));
}


/*
 * Reads all replies of the bytes, which come in pieces of this size, 0: of
 * any.  Returns how many there were; -1: an error; -2: the error went away.
 */

static int
read_text(const char *bytes, size_t len, size_t piece, text_t *text)
{
    int                    rc, n;
    char                  *copy;
    size_t                 i, size;
    const phrony_resp_t   *reply;
    phrony_resp_reader_t  *reader;

    n = rc = 0;
    text->len = 0;
    reader = reader_of(3 * BYTES, ELEMENTS);

    for (i = 0; i < len && rc >= 0; i += size) {
        size = piece ? piece : 1 + random_below(1U << random_below(14));
        size = (size < len - i) ? size : len - i;

        /* a block of its own, which is gone when it is read */

        copy = malloc(size);
        memcpy(copy, bytes + i, size);
        phrony_resp_feed(reader, copy, size);
        free(copy);

        for ( ;; ) {
            rc = phrony_resp_next(reader, &reply);

            if (rc <= 0) {
                break;
            }

            write_reply(text, reply);
            n++;
        }
    }

    if (rc < 0) {
        n = (phrony_resp_next(reader, &reply) == -1) ? -1 : -2;
    }

    phrony_resp_reader_free(reader);

    return n;
}


static void
write_reply(text_t *text, const phrony_resp_t *reply)
{
    size_t  i;

    switch (reply->type) {

    case PHRONY_RESP_NIL:
        add_text(text, "$-1\r\n");
        break;

    case PHRONY_RESP_INTEGER:
        add_format(text, ":%lld\r\n", (long long) reply->integer);
        break;

    case PHRONY_RESP_STRING:
        add_format(text, "$%lld\r\n", (long long) reply->str.len);
        add(text, reply->str.data, reply->str.len);
        add_text(text, "\r\n");
        break;

    case PHRONY_RESP_STATUS:
    case PHRONY_RESP_ERROR:
        add(text, reply->type == PHRONY_RESP_ERROR ? "-" : "+", 1);
        add(text, reply->str.data, reply->str.len);
        add_text(text, "\r\n");
        break;

    case PHRONY_RESP_ARRAY:
        add_format(text, "*%lld\r\n", (long long) reply->n);

        for (i = 0; i < reply->n; i++) {
            write_reply(text, &reply->elements[i]);
        }
    }
}


static void
add(text_t *text, const void *bytes, size_t len)
{
    if (len > TEXT_SIZE - text->len) {
        abort();
    }

    if (len) {
        memcpy(text->data + text->len, bytes, len);
        text->len += len;
    }
}


static void
add_text(text_t *text, const char *more)
{
    add(text, more, strlen(more));
}


static void
add_format(text_t *text, const char *fmt, long long value)
{
    char  buf[64];

    add(text, buf, (size_t) snprintf(buf, sizeof(buf), fmt, value));
}


#endif /* RESP_H_ */
