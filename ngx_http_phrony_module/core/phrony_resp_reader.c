
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include <stdlib.h>

#include "phrony_resp_objects.h"
#include "phrony_resp_quick.h"


#define PHRONY_RESP_PIECE      4096             /* for hiredis at once */
#define PHRONY_RESP_KEEP       (256 * 1024)     /* from reply to reply */
#define PHRONY_RESP_ERROR_LEN  128

/* no limit is above these; hiredis 0.14 counts in int */

#define PHRONY_RESP_BYTES      ((size_t) 512 * 1024 * 1024)
#define PHRONY_RESP_ELEMENTS   ((size_t) 8 * 1024 * 1024)


/*
 * Bytes go from "pending" to hiredis, in pieces, and from there into objects.
 * hiredis moves what it has not read whenever it has read 1 KiB: as that is
 * never much more than a piece, the work is linear in the bytes.
 */

struct phrony_resp_reader_s {
    redisReader            *hiredis;
    phrony_resp_objects_t   objects;
    phrony_resp_quick_t     quick;

    unsigned char          *pending;
    size_t                  pos;            /* in pending */
    size_t                  len;
    size_t                  size;

    size_t                  limit;          /* bytes of a reply */
    size_t                  bytes;          /* given to hiredis since the last
                                               reply ended */
    size_t                  largest;        /* what hiredis has held */

    unsigned char           last;           /* the last byte it was given */
    unsigned                ready:1;        /* it may have something to read */
    unsigned                whole:1;        /* a reply was handed out */
    unsigned                failed:1;
    char                    error[PHRONY_RESP_ERROR_LEN];
};


static size_t phrony_resp_min(size_t a, size_t b);
static redisReader *phrony_resp_hiredis(phrony_resp_reader_t *reader);
static int phrony_resp_room(phrony_resp_reader_t *reader, size_t len);
static void phrony_resp_shrink(phrony_resp_reader_t *reader);
static size_t phrony_resp_quickly(phrony_resp_reader_t *reader);
static int phrony_resp_hand_over(phrony_resp_reader_t *reader);
static int phrony_resp_has_crlf(const unsigned char *p, size_t len,
    unsigned char before);
static int phrony_resp_read(phrony_resp_reader_t *reader);
static int phrony_resp_bounded(phrony_resp_reader_t *reader, size_t bytes);
static int phrony_resp_fail(phrony_resp_reader_t *reader, const char *why);


phrony_resp_reader_t *
phrony_resp_reader_create(const phrony_resp_limits_t *limits)
{
    phrony_resp_reader_t  *reader;

    reader = calloc(1, sizeof(phrony_resp_reader_t));

    if (reader == NULL) {
        return NULL;
    }

    reader->limit = phrony_resp_min(limits->bytes, PHRONY_RESP_BYTES);

    phrony_resp_objects_init(&reader->objects,
                             phrony_resp_min(limits->elements,
                                             PHRONY_RESP_ELEMENTS));

    reader->hiredis = phrony_resp_hiredis(reader);

    if (reader->hiredis == NULL) {
        free(reader);
        return NULL;
    }

    return reader;
}


void
phrony_resp_reader_free(phrony_resp_reader_t *reader)
{
    if (reader == NULL) {
        return;
    }

    redisReaderFree(reader->hiredis);
    phrony_resp_objects_free(&reader->objects);

    free(reader->pending);
    free(reader);
}


static size_t
phrony_resp_min(size_t a, size_t b)
{
    return (a < b) ? a : b;
}


static redisReader *
phrony_resp_hiredis(phrony_resp_reader_t *reader)
{
    redisReader  *hiredis;

    hiredis = redisReaderCreateWithFunctions(&reader->objects.functions);

    if (hiredis == NULL) {
        return NULL;
    }

    /* 0.14 asserts that there is memory where it gives a large buffer back */

    hiredis->maxbuf = 0;
    hiredis->privdata = &reader->objects;

    return hiredis;
}


int
phrony_resp_feed(phrony_resp_reader_t *reader, const void *bytes, size_t len)
{
    if (reader->failed) {
        return -1;
    }

    if (len == 0) {
        return 0;
    }

    if (phrony_resp_room(reader, len) != 0) {
        return phrony_resp_fail(reader, PHRONY_RESP_OBJECTS_NOMEM);
    }

    memcpy(reader->pending + reader->len, bytes, len);
    reader->len += len;

    return 0;
}


/* Makes room for "len" bytes behind those that are pending. */

static int
phrony_resp_room(phrony_resp_reader_t *reader, size_t len)
{
    size_t          size, left;
    unsigned char  *p;

    if (len <= reader->size - reader->len) {
        return 0;
    }

    left = reader->len - reader->pos;

    if (len > SIZE_MAX / 4 - left) {
        return -1;
    }

    /* what was moved is not moved again before as much was read */

    if (reader->pos >= left && len <= reader->size - left) {
        memmove(reader->pending, reader->pending + reader->pos, left);
        reader->pos = 0;
        reader->len = left;

        return 0;
    }

    size = 2 * (left + len);
    p = malloc(size);

    if (p == NULL) {
        return -1;
    }

    if (left) {
        memcpy(p, reader->pending + reader->pos, left);
    }

    free(reader->pending);

    reader->pending = p;
    reader->size = size;
    reader->pos = 0;
    reader->len = left;

    return 0;
}


int
phrony_resp_next(phrony_resp_reader_t *reader, const phrony_resp_t **reply)
{
    int  rc;

    *reply = NULL;

    if (reader->failed) {
        return -1;
    }

    if (reader->whole) {
        reader->whole = 0;
        phrony_resp_objects_reset(&reader->objects, PHRONY_RESP_KEEP);
        phrony_resp_shrink(reader);
    }

    if (phrony_resp_quickly(reader)) {
        *reply = &reader->quick.root;
        return 1;
    }

    for ( ;; ) {

        if (reader->ready) {
            rc = phrony_resp_read(reader);

            if (rc < 0) {
                return -1;
            }

            if (rc > 0) {
                *reply = &reader->objects.root;
                return 1;
            }
        }

        if (reader->pos == reader->len) {
            return 0;
        }

        if (phrony_resp_hand_over(reader) != 0) {
            return -1;
        }
    }
}


/* Nearly all replies are read here; hiredis must be between two of them. */

static size_t
phrony_resp_quickly(phrony_resp_reader_t *reader)
{
    size_t  len;

    if (reader->bytes > 0 || reader->pos == reader->len) {
        return 0;
    }

    len = phrony_resp_quick(&reader->quick, reader->pending + reader->pos,
                            reader->len - reader->pos,
                            reader->objects.limit);

    if (len == 0 || len > reader->limit) {
        return 0;
    }

    reader->whole = 1;
    reader->pos += len;

    if (reader->pos == reader->len) {
        reader->pos = 0;
        reader->len = 0;
    }

    return len;
}


/* Gives back what a large reply has needed. */

static void
phrony_resp_shrink(phrony_resp_reader_t *reader)
{
    redisReader  *hiredis;

    if (reader->pos == reader->len && reader->size > PHRONY_RESP_KEEP) {
        free(reader->pending);
        reader->pending = NULL;
        reader->pos = 0;
        reader->len = 0;
        reader->size = 0;
    }

    if (reader->bytes > 0 || reader->largest <= PHRONY_RESP_KEEP) {
        return;
    }

    hiredis = phrony_resp_hiredis(reader);

    /* without memory for a new one the old one is as good */

    if (hiredis) {
        redisReaderFree(reader->hiredis);
        reader->hiredis = hiredis;
        reader->largest = 0;
    }
}


static int
phrony_resp_hand_over(phrony_resp_reader_t *reader)
{
    size_t          len;
    unsigned char  *p;

    p = reader->pending + reader->pos;
    len = phrony_resp_min(reader->len - reader->pos, PHRONY_RESP_PIECE);

    if (redisReaderFeed(reader->hiredis, (char *) p, len) != REDIS_OK) {
        return phrony_resp_fail(reader, reader->hiredis->errstr);
    }

    /*
     * An object ends with a CRLF, so without one there is nothing to be read
     * but the type of the first one, which may be a wrong one; hiredis would
     * look through an unfinished line again and again.
     */

    reader->ready = reader->bytes == 0
                    || phrony_resp_has_crlf(p, len, reader->last);

    reader->last = p[len - 1];
    reader->bytes += len;
    reader->pos += len;

    if (reader->pos == reader->len) {
        reader->pos = 0;
        reader->len = 0;
    }

    if (reader->hiredis->len > reader->largest) {
        reader->largest = reader->hiredis->len;
    }

    return reader->ready ? 0 : phrony_resp_bounded(reader, reader->bytes + 1);
}


/* "before" is the byte before the first one. */

static int
phrony_resp_has_crlf(const unsigned char *p, size_t len, unsigned char before)
{
    const unsigned char  *lf, *last;

    last = p + len;

    while (p < last) {
        lf = memchr(p, '\n', (size_t) (last - p));

        if (lf == NULL) {
            return 0;
        }

        if (lf > p) {
            before = lf[-1];
        }

        if (before == '\r') {
            return 1;
        }

        before = '\n';
        p = lf + 1;
    }

    return 0;
}


/* Returns 1 if there is a whole reply now, 0 if not, -1 if it is wrong. */

static int
phrony_resp_read(phrony_resp_reader_t *reader)
{
    void        *object;
    size_t       unread;
    const char  *why;

    if (redisReaderGetReply(reader->hiredis, &object) != REDIS_OK) {
        why = reader->objects.why;
        return phrony_resp_fail(reader, why ? why : reader->hiredis->errstr);
    }

    if (object == NULL) {
        reader->ready = 0;
        return phrony_resp_bounded(reader, reader->bytes + 1);
    }

    unread = reader->hiredis->len - reader->hiredis->pos;

    if (phrony_resp_bounded(reader, reader->bytes - unread) != 0) {
        return -1;
    }

    reader->bytes = unread;
    reader->ready = unread > 0;
    reader->whole = 1;

    return 1;
}


/* A reply has so many bytes, at least.  Returns 0, or -1 if too many. */

static int
phrony_resp_bounded(phrony_resp_reader_t *reader, size_t bytes)
{
    if (bytes > reader->limit) {
        return phrony_resp_fail(reader, "a reply has too many bytes");
    }

    return 0;
}


static int
phrony_resp_fail(phrony_resp_reader_t *reader, const char *why)
{
    size_t         i, len;
    unsigned char  ch;

    reader->failed = 1;

    len = phrony_resp_min(strlen(why), PHRONY_RESP_ERROR_LEN - 1);

    for (i = 0; i < len; i++) {
        ch = (unsigned char) why[i];
        reader->error[i] = (char) ((ch >= 0x20 && ch <= 0x7e) ? ch : '?');
    }

    reader->error[len] = '\0';

    return -1;
}


const char *
phrony_resp_reader_error(const phrony_resp_reader_t *reader)
{
    return reader->error;
}
