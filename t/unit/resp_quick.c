
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "test.h"

#include <hiredis/hiredis.h>

#include "phrony_resp_quick.h"


/*
 * What is read without hiredis is read as hiredis does: the same values of
 * the same number of bytes.  t/unit/resp.c and fuzz/fuzz_resp.c see the two
 * of them work together.
 */


#define LIMIT  10000


typedef struct {
    const char  *bytes;
    size_t       len;       /* of the reply that is read; 0: none is */
} vector_t;


static void test_vectors(void);
static void test_limit(void);
static void test_cut(void);
static void test_random(void);
static size_t quick_len(const char *bytes, size_t len, size_t limit);
static int same(const char *bytes, size_t len);
static int same_value(const phrony_resp_t *quick, const redisReply *r);


static phrony_resp_quick_t  quick;


static const vector_t  vectors[] = {
    { ":0\r\n", 4 },
    { ":1\r\n:2\r\n", 4 },
    { ":-7\r\n", 5 },
    { ":999999999999999999\r\n", 21 },
    { ":-999999999999999999\r\n", 22 },
    { ":1000000000000000000\r\n", 0 },
    { "+\r\n", 3 },
    { "+OK\r\n+OK\r\n", 5 },
    { "+123456789012345678901234567890\r\n", 33 },
    { "+1234567890123456789012345678901\r\n", 0 },
    { "*0\r\n", 4 },
    { "*1\r\n:1\r\n+OK\r\n", 8 },
    { "*9\r\n:1\r\n:1\r\n:5\r\n:60999\r\n:0\r\n:5\r\n:-1\r\n:0\r\n:2\r\n",
      45 },
    { "*16\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n"
      ":1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n", 69 },
    { "*17\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n"
      ":1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n", 0 },

    { "*-1\r\n", 0 },
    { "*1\r\n$1\r\na\r\n", 0 },
    { "*2\r\n:1\r\n*0\r\n", 0 },
    { "*01\r\n:1\r\n", 0 },
    { "$2\r\nab\r\n", 0 },
    { "-ERR x\r\n", 0 },
    { ":\r\n", 0 },
    { ":-\r\n", 0 },
    { ":-0\r\n", 0 },
    { ":01\r\n", 0 },
    { ":+1\r\n", 0 },
    { ":1x\r\n", 0 },
    { ":1\n\r\n", 0 },
    { ":1\rx", 0 },
    { "+a\rb\r\n", 0 },
    { "+a\nb\r\n", 0 },
    { "PING\r\n", 0 }
};


int
main(void)
{
    test_vectors();
    test_limit();
    test_cut();
    test_random();

    return done();
}


static void
test_vectors(void)
{
    size_t           i, len;
    const vector_t  *v;

    for (i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        v = &vectors[i];
        len = strlen(v->bytes);

        ok(quick_len(v->bytes, len, LIMIT) == v->len,
           "%zu bytes are read of vector %zu", v->len, i);
        ok(same(v->bytes, len), "and they mean the same to hiredis");
    }
}


static void
test_limit(void)
{
    is_int((long long) quick_len("*2\r\n:1\r\n:2\r\n", 12, 2), 12,
           "as many elements as may be");
    is_int((long long) quick_len("*2\r\n:1\r\n:2\r\n", 12, 1), 0,
           "more than may be are left to hiredis");
}


/* The bytes end where the memory does: ASan sees a look behind them. */

static void
test_cut(void)
{
    char    *part;
    size_t   i, len, wrong;

    wrong = 0;

    for (i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {

        for (len = 0; len < vectors[i].len; len++) {
            part = malloc(len ? len : 1);
            memcpy(part, vectors[i].bytes, len);

            wrong += (quick_len(part, len, LIMIT) != 0);

            free(part);
        }
    }

    is_int((long long) wrong, 0, "a reply that is not whole is not read");
}


/* Of few bytes, so that many are right; seeds make it the same each time. */

static void
test_random(void)
{
    char      bytes[48];
    size_t    i, n, len, whole, wrong;
    uint32_t  seed;

    static const char  pieces[][4] = {
        "*1", "*2", "\r\n", "\r\n", "\r\n", ":", ":1", ":-", "0", "9", "+",
        "a", "\r", "\n", "$1", "-"
    };

    seed = 1;
    whole = wrong = 0;

    for (i = 0; i < 200000; i++) {
        len = 0;

        for (n = 0; n < 10; n++) {
            seed = seed * 1664525 + 1013904223;
            len += (size_t) sprintf(bytes + len, "%s", pieces[seed >> 28]);
        }

        whole += (quick_len(bytes, len, LIMIT) != 0);
        wrong += !same(bytes, len);
    }

    ok(whole > 1000, "%zu of random replies are read", whole);
    is_int((long long) wrong, 0, "all of them as hiredis does");
}


static size_t
quick_len(const char *bytes, size_t len, size_t limit)
{
    return phrony_resp_quick(&quick, (const unsigned char *) bytes, len,
                             limit);
}


/* What is not read is the same whatever it is. */

static int
same(const char *bytes, size_t len)
{
    int           rc;
    void         *reply;
    size_t        n;
    redisReader  *reader;

    n = quick_len(bytes, len, LIMIT);

    if (n == 0) {
        return 1;
    }

    reader = redisReaderCreate();

    /* one byte less is none to hiredis, so that all are one, and no more */

    rc = redisReaderFeed(reader, bytes, n - 1) == REDIS_OK
         && redisReaderGetReply(reader, &reply) == REDIS_OK
         && reply == NULL
         && redisReaderFeed(reader, bytes + n - 1, 1) == REDIS_OK
         && redisReaderGetReply(reader, &reply) == REDIS_OK
         && reply != NULL;

    if (rc) {
        rc = same_value(&quick.root, reply);
        freeReplyObject(reply);
    }

    redisReaderFree(reader);

    return rc;
}


static int
same_value(const phrony_resp_t *value, const redisReply *r)
{
    size_t  i;

    switch (value->type) {

    case PHRONY_RESP_INTEGER:
        return r->type == REDIS_REPLY_INTEGER && r->integer == value->integer;

    case PHRONY_RESP_STATUS:
        return r->type == REDIS_REPLY_STATUS
               && (size_t) r->len == value->str.len
               && memcmp(r->str, value->str.data, value->str.len) == 0;

    case PHRONY_RESP_ARRAY:
        if (r->type != REDIS_REPLY_ARRAY || r->elements != value->n) {
            return 0;
        }

        for (i = 0; i < value->n; i++) {
            if (!same_value(&value->elements[i], r->element[i])) {
                return 0;
            }
        }

        return 1;

    default:
        return 0;
    }
}
