
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#define _GNU_SOURCE

#include "resp.h"

#include <dlfcn.h>
#include <hiredis/hiredis.h>


/* Replies of many sizes, in pieces of many sizes, and with what memory. */


static void test_pipelined(void);
static void test_long_line(void);
static void test_large(void);
static void test_random(void);
static void test_mutated(void);
static void test_steady(void);
static void test_memory_reader(void);
static long memory_reader(long n);
static void test_memory_command(void);
static void write_random(text_t *w, text_t *p, unsigned level);
static void write_random_line(text_t *w, text_t *p, const char *type);
static void write_random_string(text_t *w, text_t *p);


/*
 * What hiredis allocates is counted, and fails, as what we do.  An older one
 * has no functions for that; it may have the room that it is asked for here.
 */

static long  sds_calls;


#if (HIREDIS_MAJOR >= 1)

static hiredisAllocFuncs  functions = {
    __wrap_malloc, __wrap_calloc, __wrap_realloc, strdup, free
};

#else

typedef char *(*sdscatlen_pt)(char *s, const void *t, size_t len);
typedef char *(*sdsempty_pt)(void);

char *sdscatlen(char *s, const void *t, size_t len);
char *sdsempty(void);


char *
sdscatlen(char *s, const void *t, size_t len)
{
    sdscatlen_pt  real;

    sds_calls++;

    *(void **) &real = dlsym(RTLD_NEXT, "sdscatlen");

    return test_alloc_fails() ? NULL : real(s, t, len);
}


char *
sdsempty(void)
{
    sdsempty_pt  real;

    *(void **) &real = dlsym(RTLD_NEXT, "sdsempty");

    return test_alloc_fails() ? NULL : real();
}

#endif


int
main(void)
{
    test_pipelined();
    test_long_line();
    test_large();
    test_random();
    test_mutated();

#if (HIREDIS_MAJOR >= 1)
    hiredisSetAllocators(&functions);
#endif

    test_steady();
    test_memory_reader();
    test_memory_command();

    return done();
}


/* Replies of many sizes, fed at once and in pieces around that of hiredis. */

static void
test_pipelined(void)
{
    size_t    i, k;
    size_t    pieces[] = { 1, 2, 3, 1000, 1023, 1024, 1025, 4095, 4096, 4097,
                           16384, 100000, TEXT_SIZE };
    unsigned  n;

    wire.len = plain.len = 0;

    for (n = 0; wire.len < BYTES; n++) {
        write_random(&wire, &plain, LEVELS);
        write_random(&wire, &plain, 0);
        n++;
    }

    for (i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        k = pieces[i] < wire.len ? pieces[i] : wire.len;

        ok(read_text(wire.data, wire.len, k, &got) == (int) n
           && got.len == plain.len
           && memcmp(got.data, plain.data, got.len) == 0,
           "%u replies in pieces of %u", n, (unsigned) k);
    }
}


/* It would take hours to look through a line for each of its bytes. */

static void
test_long_line(void)
{
    int                    rc;
    size_t                 i;
    const phrony_resp_t   *reply;
    phrony_resp_reader_t  *reader;

    wire.len = 0;
    add_text(&wire, "+");

    while (wire.len < BYTES - 2) {
        add_text(&wire, "x");
    }

    add_text(&wire, "\r\n");
    rc = 0;
    reader = reader_of(BYTES, ELEMENTS);

    for (i = 0; i < wire.len && rc == 0; i++) {
        phrony_resp_feed(reader, &wire.data[i], 1);
        rc = phrony_resp_next(reader, &reply);
    }

    ok(rc == 1 && i == wire.len && reply->str.len == BYTES - 3
       && memcmp(reply->str.data, &wire.data[1], reply->str.len) == 0,
       "a line of 1 MiB, byte by byte");

    phrony_resp_reader_free(reader);
}


/* A large reply, then small ones: what it needed is given back or not. */

static void
test_large(void)
{
    int                    rc;
    size_t                 size, i, wrong;
    const char            *string;
    const phrony_resp_t   *reply;
    phrony_resp_reader_t  *reader;

    wrong = 0;
    reader = reader_of(2 * BYTES, ELEMENTS);

    for (size = 1; size < BYTES; size = size * 3 + 1) {

        wire.len = 0;
        add_text(&wire, "*2\r\n");
        add_format(&wire, "$%lld\r\n", (long long) size);

        for (i = 0; i < size; i++) {
            add(&wire, &"0123456789abcdef\r\n"[i % 18], 1);
        }

        string = wire.data + wire.len - size;
        add_text(&wire, "\r\n*3\r\n:1\r\n:2\r\n:3\r\n+a\r\n+b");

        phrony_resp_feed(reader, wire.data, wire.len);

        rc = phrony_resp_next(reader, &reply);
        wrong += rc != 1 || reply->n != 2
                 || reply->elements[0].str.len != size
                 || memcmp(reply->elements[0].str.data, string, size) != 0
                 || !phrony_resp_integers(&reply->elements[1], 3);

        rc = phrony_resp_next(reader, &reply);
        wrong += rc != 1 || reply->str.data[0] != 'a';

        rc = phrony_resp_next(reader, &reply);
        wrong += rc != 0;

        feed(reader, "\r\n");

        rc = phrony_resp_next(reader, &reply);
        wrong += rc != 1 || reply->str.data[0] != 'b';

        rc = phrony_resp_next(reader, &reply);
        wrong += rc != 0;
    }

    ok(wrong == 0, "large replies between small ones");

    phrony_resp_reader_free(reader);
}


static void
test_random(void)
{
    int       wrong, rc;
    unsigned  i, n;

    wrong = 0;

    for (i = 0; i < 3000; i++) {

        wire.len = plain.len = 0;

        for (n = 0; n <= i % 4; n++) {
            write_random(&wire, &plain, 0);
        }

        rc = read_text(wire.data, wire.len, 0, &got);

        if (rc != (int) n || got.len != plain.len
            || memcmp(got.data, plain.data, got.len) != 0)
        {
            wrong++;
        }
    }

    ok(wrong == 0, "random replies in random pieces");
}


/* One byte is another one: it need not be an error, but must not crash. */

static void
test_mutated(void)
{
    int       rc, errors, wrong;
    unsigned  i;

    errors = wrong = 0;

    for (i = 0; i < 20000; i++) {
        wire.len = plain.len = 0;
        write_random(&wire, &plain, 4);

        if (wire.len > 4000) {
            continue;
        }

        wire.data[random_below((unsigned) wire.len)] =
            random_below(2) ? (char) random_bits()
                            : "\r\n$*:+-0123456789"[random_below(17)];

        rc = read_text(wire.data, wire.len, 0, &got);
        errors += rc == -1;
        wrong += rc < -1;
    }

    ok(wrong == 0 && errors > 1000, "%d of 20000 mutated replies are wrong",
       errors);
}


/* Replies that are no larger than those before need no memory of ours. */

static void
test_steady(void)
{
    unsigned               i, n;
    const phrony_resp_t   *reply;
    phrony_resp_reader_t  *reader;

    reader = reader_of(BYTES, ELEMENTS);
    wire.len = 0;

    for (i = 0; i < 100; i++) {
        add_text(&wire, "*9\r\n:1\r\n:2\r\n:3\r\n:4\r\n:5\r\n:6\r\n:7\r\n"
                 ":8\r\n$12\r\nhello, world\r\n");
    }

    n = 0;

    for (i = 0; i < 20; i++) {

        if (i == 10) {
            fail_at(-1);
            sds_calls = 0;
        }

        phrony_resp_feed(reader, wire.data, wire.len);

        while (phrony_resp_next(reader, &reply) == 1) {
            n++;
        }
    }

    is_int(n, 2000, "2000 replies");

    is_int(allocs() - sds_calls, 0, "no allocation for them");

    phrony_resp_reader_free(reader);
}


/* Each allocation of a conversation fails once. */

static void
test_memory_reader(void)
{
    long  n, seen;

    for (n = 1; n < 1000; n++) {
        seen = memory_reader(n);

        if (seen < n) {
            break;
        }
    }

    ok(n > 10 && n < 1000, "%ld allocations, each failed", n - 1);
}


static long
memory_reader(long n)
{
    int                     rc, failed, replies;
    size_t                  i;
    phrony_resp_limits_t    limits = { BYTES, ELEMENTS };
    const phrony_resp_t    *reply;
    phrony_resp_reader_t   *reader;

    /* small, deep, large, many, and small again */

    wire.len = 0;
    add_text(&wire, "+OK\r\n*2\r\n*2\r\n*1\r\n:1\r\n:2\r\n:3\r\n$600000\r\n");

    memset(wire.data + wire.len, 'x', 600000);
    wire.len += 600000;
    add_text(&wire, "\r\n*9000\r\n");

    for (i = 0; i < 9000; i++) {
        add_text(&wire, ":1\r\n");
    }

    add_text(&wire, "+OK\r\n");

    fail_at(n);

    failed = replies = 0;
    reader = phrony_resp_reader_create(&limits);

    for (i = 0; reader && !failed && i < wire.len; i += 50000) {

        rc = phrony_resp_feed(reader, wire.data + i,
                              wire.len - i < 50000 ? wire.len - i : 50000);
        failed = rc != 0;

        while (!failed) {
            rc = phrony_resp_next(reader, &reply);
            failed = rc < 0;
            replies += rc > 0;

            if (rc <= 0) {
                break;
            }
        }
    }

    n = allocs();
    fail_at(-1);

    if (reader && failed) {
        ok(phrony_resp_next(reader, &reply) == -1
           && feed(reader, "+") == -1
           && phrony_resp_reader_error(reader)[0] != '\0',
           "allocation fails: %s", phrony_resp_reader_error(reader));

    } else {
        ok(reader == NULL || replies == 5,
           "allocation fails: %s", reader ? "it gets along" : "no reader");
    }

    phrony_resp_reader_free(reader);

    return n;
}


static void
test_memory_command(void)
{
    long            n, seen;
    size_t          i, len;
    phrony_str_t    argv[100];
    unsigned char  *bytes;

    for (i = 0; i < 100; i++) {
        argv[i] = str("word");
    }

    for (n = 1; n < 100; n++) {
        fail_at(n);
        bytes = phrony_resp_command(100, argv, &len);
        seen = allocs();
        fail_at(-1);

        if (seen < n) {
            break;
        }

        ok(bytes == NULL, "allocation %ld of a command fails", n);
    }

    ok(bytes && n > 2, "a command after %ld allocations", n - 1);

    phrony_resp_command_free(bytes);
}


/* A random reply; arrays get fewer with the levels. */

static void
write_random(text_t *w, text_t *p, unsigned level)
{
    unsigned  i, n;

    switch (random_below(level < LEVELS ? 8 : 6)) {

    case 0:
        write_random_line(w, p, "+");
        break;

    case 1:
        write_random_line(w, p, "-");
        break;

    case 2:
    case 3:
        n = w->len;
        add_format(w, ":%lld\r\n",
                   (long long) random_bits() >> random_below(64));
        add(p, w->data + n, w->len - n);
        break;

    case 4:
        add_text(w, random_below(2) ? "$-1\r\n" : "*-1\r\n");
        add_text(p, "$-1\r\n");
        break;

    case 5:
        write_random_string(w, p);
        break;

    default:
        n = random_below(1 + random_below(level ? 4 : 40));

        add_format(w, "*%lld\r\n", n);
        add_format(p, "*%lld\r\n", n);

        for (i = 0; i < n; i++) {
            write_random(w, p, level + 1);
        }
    }
}


static void
write_random_line(text_t *w, text_t *p, const char *type)
{
    unsigned       i, n;
    unsigned char  ch;

    add(w, type, 1);
    add(p, type, 1);

    n = random_below(1U << random_below(8));

    for (i = 0; i < n; i++) {
        ch = (unsigned char) random_bits();

        if (ch != '\r' && ch != '\n') {
            add(w, &ch, 1);
            add(p, &ch, 1);
        }
    }

    add_text(w, "\r\n");
    add_text(p, "\r\n");
}


static void
write_random_string(text_t *w, text_t *p)
{
    unsigned       i, n;
    unsigned char  ch;

    n = random_below(1U << random_below(13));

    add_format(w, "$%lld\r\n", n);
    add_format(p, "$%lld\r\n", n);

    for (i = 0; i < n; i++) {
        ch = random_below(4) ? (unsigned char) random_bits()
                             : (unsigned char) "\r\n$*"[random_below(4)];
        add(w, &ch, 1);
        add(p, &ch, 1);
    }

    add_text(w, "\r\n");
    add_text(p, "\r\n");
}
