
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "resp.h"


typedef struct {
    const char  *name;
    const char  *bytes;
    const char  *plain;     /* NULL: as "bytes" */
} vector_t;


static void test_whole(void);
static void test_whole_split(const vector_t *v);
static void test_fields(void);
static void test_broken(void);
static void test_reasons(void);
static void test_sticky(void);
static void test_prompt(void);
static void test_bytes(void);
static void test_elements(void);
static void test_levels(void);
static void test_huge_limits(void);
static void test_lifetime(void);
static void test_is_error(void);
static void test_integers(void);
static void test_command(void);
static void test_command_size(void);
static int read_one(const char *bytes, size_t len, const char **error);


static const vector_t  whole[] = {
    { "status", "+OK\r\n", NULL },
    { "empty status", "+\r\n", NULL },
    { "status with other bytes", "+\x01 \x80\xff\t:$*\r\n", NULL },
    { "error", "-ERR unknown command\r\n", NULL },
    { "empty error", "-\r\n", NULL },
    { "zero", ":0\r\n", NULL },
    { "integer", ":1234567890\r\n", NULL },
    { "negative integer", ":-1\r\n", NULL },
    { "greatest integer", ":9223372036854775807\r\n", NULL },
    { "least integer", ":-9223372036854775808\r\n", NULL },
    { "string", "$5\r\nhello\r\n", NULL },
    { "empty string", "$0\r\n\r\n", NULL },
    { "string of line breaks", "$6\r\n\r\n\r\n\r\n\r\n", NULL },
    { "string like a reply", "$9\r\n$3\r\nabc\r\n\r\n", NULL },
    { "nil", "$-1\r\n", NULL },
    { "nil array", "*-1\r\n", "$-1\r\n" },
    { "empty array", "*0\r\n", NULL },
    { "array", "*3\r\n:1\r\n$1\r\na\r\n+OK\r\n", NULL },
    { "array of nils", "*2\r\n$-1\r\n*-1\r\n", "*2\r\n$-1\r\n$-1\r\n" },
    { "error in an array", "*1\r\n-MOVED 1 127.0.0.1:1\r\n", NULL },
    { "array last in an array", "*2\r\n:1\r\n*2\r\n:2\r\n:3\r\n", NULL },
    { "array first in an array", "*2\r\n*2\r\n:2\r\n:3\r\n:1\r\n", NULL },
    { "empty arrays", "*3\r\n*0\r\n*0\r\n*1\r\n*0\r\n", NULL },
    { "eight levels", "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
      NULL }
};


static const vector_t  broken[] = {
    { "no type", "\r\n", NULL },
    { "a line feed", "\n", NULL },
    { "a space", " +OK\r\n", NULL },
    { "inline command", "PING\r\n", NULL },
    { "HTTP", "HTTP/1.1 400 Bad Request\r\n", NULL },
    { "an SSL alert", "\x15\x03\x03\r\n", NULL },
    { "a high byte", "\xff\r\n", NULL },

    { "integer of nothing", ":\r\n", NULL },
    { "integer of a sign", ":-\r\n", NULL },
    { "integer with a plus", ":+1\r\n", NULL },
    { "integer with a zero", ":01\r\n", NULL },
    { "integer below zero with a zero", ":-01\r\n", NULL },
    { "minus zero", ":-0\r\n", NULL },
    { "integer with a space", ": 1\r\n", NULL },
    { "integer with a space behind", ":1 \r\n", NULL },
    { "integer with letters", ":1x\r\n", NULL },
    { "fraction", ":1.5\r\n", NULL },
    { "hexadecimal", ":0x1\r\n", NULL },
    { "integer too great", ":9223372036854775808\r\n", NULL },
    { "integer too small", ":-9223372036854775809\r\n", NULL },
    { "integer of 128 bits", ":340282366920938463463374607431768211456\r\n",
      NULL },
    { "integer with a line feed", ":1\n\r\n", NULL },
    { "integer with a carriage return", ":1\r\r\n", NULL },

    { "string length of nothing", "$\r\n", NULL },
    { "string of -2", "$-2\r\n", NULL },
    { "string of a least length", "$-9223372036854775808\r\n", NULL },
    { "string with a plus", "$+1\r\na\r\n", NULL },
    { "string with a zero", "$01\r\na\r\n", NULL },
    { "string of x", "$x\r\n", NULL },
    { "string that is longer", "$1\r\nab\r\n", NULL },
    { "string that is shorter", "$3\r\nab\r\n+OK\r\n", NULL },
    { "string with a line feed behind", "$1\r\na\n+OK\r\n", NULL },
    { "string with another byte behind", "$1\r\na\rx+OK\r\n", NULL },
    { "string with one before the line feed", "$1\r\nax\n+OK\r\n", NULL },
    { "empty string without an end", "$0\r\n+OK\r\n", NULL },
    { "string in an array without an end", "*2\r\n$1\r\nabc:1\r\n", NULL },

    { "array length of nothing", "*\r\n", NULL },
    { "array of -2", "*-2\r\n", NULL },
    { "array with a plus", "*+1\r\n:1\r\n", NULL },
    { "array with a zero", "*01\r\n:1\r\n", NULL },
    { "array of x", "*x\r\n", NULL },
    { "array of 2^31 - 1", "*2147483647\r\n", NULL },
    { "array of 2^31", "*2147483648\r\n", NULL },
    { "array of 2^32", "*4294967296\r\n", NULL },
    { "array of 2^32 + 1", "*4294967297\r\n:1\r\n", NULL },
    { "array of 2^63 - 1", "*9223372036854775807\r\n", NULL },
    { "array of 2^64 + 1", "*18446744073709551617\r\n:1\r\n", NULL },
    { "garbage in an array", "*2\r\n:1\r\nx\r\n", NULL },
    { "wrong integer in an array", "*1\r\n:x\r\n", NULL },
    { "nine levels",
      "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n", NULL },
    { "nine levels, the last empty",
      "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*0\r\n", NULL },

    { "status with a line feed", "+a\nb\r\n", NULL },
    { "status with a carriage return", "+a\rb\r\n", NULL },
    { "status with a carriage return last", "+a\r\r\n", NULL },
    { "error with a line feed", "-ERR a\nb\r\n", NULL },

    { "RESP 3 null", "_\r\n", NULL },
    { "RESP 3 null in an array", "*1\r\n_\r\n", NULL },
    { "RESP 3 double", ",1.5\r\n", NULL },
    { "RESP 3 infinity", ",inf\r\n", NULL },
    { "RESP 3 boolean", "#t\r\n", NULL },
    { "RESP 3 big number", "(12345678901234567890\r\n", NULL },
    { "RESP 3 bulk error", "!5\r\nERR x\r\n", NULL },
    { "RESP 3 verbatim string", "=5\r\ntxt:a\r\n", NULL },
    { "RESP 3 map", "%1\r\n+a\r\n:1\r\n", NULL },
    { "RESP 3 empty map", "%0\r\n", NULL },
    { "RESP 3 nil map", "%-1\r\n", NULL },
    { "RESP 3 set", "~1\r\n:1\r\n", NULL },
    { "RESP 3 push", ">2\r\n+invalidate\r\n*0\r\n", NULL },
    { "RESP 3 nil push", ">-1\r\n", NULL },
    { "RESP 3 attribute", "|1\r\n+a\r\n:1\r\n:2\r\n", NULL },
    { "RESP 3 stream", "$?\r\n;0\r\n", NULL },
    { "RESP 3 open array", "*?\r\n.\r\n", NULL }
};


int
main(void)
{
    test_whole();
    test_fields();
    test_broken();
    test_reasons();
    test_sticky();
    test_prompt();
    test_bytes();
    test_elements();
    test_levels();
    test_huge_limits();
    test_lifetime();
    test_is_error();
    test_integers();
    test_command();
    test_command_size();

    return done();
}


static void
test_whole(void)
{
    size_t  i;

    for (i = 0; i < sizeof(whole) / sizeof(whole[0]); i++) {
        test_whole_split(&whole[i]);
    }
}


/* In pieces of each size, and twice in a row. */

static void
test_whole_split(const vector_t *v)
{
    size_t       len, piece, wrong;
    const char  *text;

    text = v->plain ? v->plain : v->bytes;
    len = strlen(v->bytes);
    wrong = 0;

    wire.len = plain.len = 0;
    add(&wire, v->bytes, len);
    add(&wire, v->bytes, len);
    add(&plain, text, strlen(text));
    add(&plain, text, strlen(text));

    for (piece = 1; piece <= wire.len; piece++) {
        wrong += read_text(wire.data, wire.len, piece, &got) != 2
                 || got.len != plain.len
                 || memcmp(got.data, plain.data, got.len) != 0;
    }

    ok(wrong == 0, "%s", v->name);

    wrong = 0;

    for (piece = 0; piece < len; piece++) {
        wrong += read_one(v->bytes, piece, NULL) != 0;
    }

    ok(wrong == 0, "%s, cut anywhere", v->name);
}


static void
test_fields(void)
{
    const phrony_resp_t   *reply, *e;
    phrony_resp_reader_t  *reader;
    const char             bytes[] = "*7\r\n:-7\r\n$3\r\na\0b\r\n+OK\r\n"
                                     "-ERR no\r\n$-1\r\n*0\r\n$0\r\n\r\n";

    reader = reader_of(BYTES, ELEMENTS);
    phrony_resp_feed(reader, bytes, sizeof(bytes) - 1);

    if (!ok(phrony_resp_next(reader, &reply) == 1, "an array of all types")) {
        return;
    }

    e = reply->elements;

    ok(reply->type == PHRONY_RESP_ARRAY && reply->n == 7, "array");
    ok(e[0].type == PHRONY_RESP_INTEGER && e[0].integer == -7, "integer");
    ok(e[1].type == PHRONY_RESP_STRING && e[1].str.len == 3
       && memcmp(e[1].str.data, "a\0b", 4) == 0, "string, a NUL follows");
    ok(e[2].type == PHRONY_RESP_STATUS && e[2].str.len == 2
       && strcmp((char *) e[2].str.data, "OK") == 0, "status");
    ok(e[3].type == PHRONY_RESP_ERROR && e[3].str.len == 6
       && strcmp((char *) e[3].str.data, "ERR no") == 0, "error");
    ok(e[4].type == PHRONY_RESP_NIL && e[4].n == 0 && e[4].str.len == 0,
       "nil");
    ok(e[5].type == PHRONY_RESP_ARRAY && e[5].n == 0, "empty array");
    ok(e[6].type == PHRONY_RESP_STRING && e[6].str.len == 0
       && e[6].str.data[0] == '\0', "empty string, a NUL follows");
    ok(phrony_resp_next(reader, &reply) == 0 && reply == NULL, "no more");
    is_str(phrony_resp_reader_error(reader), 0, "", "no error");

    phrony_resp_reader_free(reader);
    phrony_resp_reader_free(NULL);
}


static void
test_broken(void)
{
    size_t           i, piece, len, wrong;
    const char      *error;
    const vector_t  *v;

    for (i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        v = &broken[i];
        len = strlen(v->bytes);
        wrong = 0;

        for (piece = 1; piece <= len; piece++) {
            wrong += read_text(v->bytes, len, piece, &got) != -1;
        }

        ok(wrong == 0, "%s", v->name);

        error = "";
        (void) read_one(v->bytes, len, &error);

        ok(error[0] != '\0', "%s: %s", v->name, error);
    }
}


static void
test_reasons(void)
{
    size_t       i;
    const char  *error;
    const char  *reasons[][2] = {
        { "$1\r\nab\r\n", "a string does not end where it should" },
        { "*10001\r\n", "a reply has too many elements" },
        { ":x\r\n", "Bad integer value" }
    };

    for (i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        (void) read_one(reasons[i][0], strlen(reasons[i][0]), &error);
        is_str(error, strlen(error), reasons[i][1], "the reason");
    }

    (void) read_one("\x80", 1, &error);

    ok(strstr(error, "x80") != NULL, "a wrong byte, printed: %s", error);
}


static void
test_sticky(void)
{
    unsigned               i;
    const phrony_resp_t   *reply;
    phrony_resp_reader_t  *reader;

    reader = reader_of(BYTES, ELEMENTS);

    feed(reader, "+a\r\n?\r\n+b\r\n");

    is_int(phrony_resp_next(reader, &reply), 1, "what is before the error");

    for (i = 0; i < 3; i++) {
        ok(phrony_resp_next(reader, &reply) == -1 && reply == NULL,
           "the error, asked %u times", i + 1);
        is_int(feed(reader, "+c\r\n"), -1, "no more bytes");
    }

    phrony_resp_reader_free(reader);
}


/* What cannot be a reply is refused before it is as long as it says. */

static void
test_prompt(void)
{
    is_int(read_one("x", 1, NULL), -1, "a wrong type alone");
    is_int(read_one("H", 1, NULL), -1, "a letter alone");
    is_int(read_one("*20000\r\n", 8, NULL), -1, "too many elements alone");
    is_int(read_one("$-5\r\n", 5, NULL), -1, "a wrong length alone");
    is_int(read_one("*1\r\nx\r\n", 7, NULL), -1, "a wrong type in an array");
}


/* A reply of exactly so many bytes passes, however it comes. */

static void
test_bytes(void)
{
    int                    rc;
    size_t                 piece, n, wrong;
    const phrony_resp_t   *reply;
    phrony_resp_reader_t  *reader;
    const char            *bytes = "*2\r\n$5\r\nhello\r\n:1\r\n";

    n = strlen(bytes);
    wrong = 0;

    for (piece = 1; piece <= 2 * n; piece++) {

        reader = reader_of(n, ELEMENTS);
        wire.len = 0;
        add(&wire, bytes, n);
        add(&wire, bytes, n);
        wrong += phrony_resp_feed(reader, wire.data, piece) != 0;
        rc = phrony_resp_next(reader, &reply);
        wrong += rc != (piece >= n);
        wrong += phrony_resp_feed(reader, wire.data + piece,
                                  2 * n - piece) != 0;

        if (rc == 0) {
            wrong += phrony_resp_next(reader, &reply) != 1;
        }

        wrong += phrony_resp_next(reader, &reply) != 1;
        wrong += phrony_resp_next(reader, &reply) != 0;
        phrony_resp_reader_free(reader);

        reader = reader_of(n - 1, ELEMENTS);
        phrony_resp_feed(reader, bytes, piece < n ? piece : n);
        rc = phrony_resp_next(reader, &reply);
        wrong += rc != (piece >= n - 1 ? -1 : 0);
        phrony_resp_reader_free(reader);
    }

    ok(wrong == 0, "as many bytes as allowed, and one more");

    reader = reader_of(100, ELEMENTS);
    feed(reader, "$1000000000\r\n");
    is_int(phrony_resp_next(reader, &reply), 0, "a string of 10^9 begins");
    phrony_resp_feed(reader, wire.data, 86);
    is_int(phrony_resp_next(reader, &reply), 0, "99 bytes of it");
    phrony_resp_feed(reader, wire.data, 1);
    is_int(phrony_resp_next(reader, &reply), -1, "100 bytes of it");
    is_str(phrony_resp_reader_error(reader), 26, "a reply has too many bytes",
           "why");
    phrony_resp_reader_free(reader);
}


static void
test_elements(void)
{
    const phrony_resp_t   *reply;
    phrony_resp_reader_t  *reader;

    reader = reader_of(BYTES, 5);
    feed(reader, "*3\r\n*2\r\n:1\r\n:2\r\n:3\r\n:4\r\n");
    is_int(phrony_resp_next(reader, &reply), 1, "five elements, all in all");
    feed(reader, "*5\r\n:1\r\n:2\r\n:3\r\n:4\r\n:5\r\n");
    is_int(phrony_resp_next(reader, &reply), 1, "five again");
    feed(reader, "*3\r\n*3\r\n");
    is_int(phrony_resp_next(reader, &reply), -1, "six, all in all");
    phrony_resp_reader_free(reader);

    reader = reader_of(BYTES, 0);
    feed(reader, "*0\r\n:1\r\n*1\r\n");
    is_int(phrony_resp_next(reader, &reply), 1, "no elements");
    is_int(phrony_resp_next(reader, &reply), 1, "no array");
    is_int(phrony_resp_next(reader, &reply), -1, "one where none is allowed");
    phrony_resp_reader_free(reader);
}


/* Many levels are neither remembered nor do they need a stack. */

static void
test_levels(void)
{
    unsigned               i;
    const phrony_resp_t   *reply;
    phrony_resp_reader_t  *reader;

    wire.len = 0;

    for (i = 0; i < 100000; i++) {
        add_text(&wire, "*1\r\n");
    }

    reader = reader_of(BYTES, SIZE_MAX);
    phrony_resp_feed(reader, wire.data, wire.len);
    is_int(phrony_resp_next(reader, &reply), -1, "100000 levels");
    phrony_resp_reader_free(reader);
}


/* Limits that are no limits. */

static void
test_huge_limits(void)
{
    const phrony_resp_t   *reply;
    phrony_resp_reader_t  *reader;
    const char            *lengths[] = {
        "*8388609\r\n", "*2147483647\r\n", "*4294967295\r\n",
        "*9223372036854775807\r\n"
    };
    size_t                 i;

    for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        reader = reader_of(SIZE_MAX, SIZE_MAX);
        feed(reader, lengths[i]);
        ok(phrony_resp_next(reader, &reply) == -1, "no limits, %s",
           lengths[i]);
        phrony_resp_reader_free(reader);
    }

    reader = reader_of(SIZE_MAX, SIZE_MAX);
    feed(reader, "+a\r\n$9223372036854775807\r\nabc\r\n");
    is_int(phrony_resp_next(reader, &reply), 1, "no limits, a status");
    is_int(phrony_resp_next(reader, &reply), 0, "no limits, a string");
    phrony_resp_reader_free(reader);
}


/* A reply is good until the reader is asked again. */

static void
test_lifetime(void)
{
    const phrony_resp_t   *reply;
    phrony_resp_reader_t  *reader;

    reader = reader_of(BYTES, ELEMENTS);

    feed(reader, "$5\r\nfirst\r\n$6\r\nsecond\r\n");
    is_int(phrony_resp_next(reader, &reply), 1, "the first reply");
    is_str(reply->str.data, reply->str.len, "first", "it is there");
    is_int(phrony_resp_next(reader, &reply), 1, "the second reply");
    is_str(reply->str.data, reply->str.len, "second", "it is there");
    is_int(phrony_resp_feed(reader, NULL, 0), 0, "no bytes");

    phrony_resp_reader_free(reader);
}


static void
test_is_error(void)
{
    size_t         i;
    phrony_resp_t  reply;
    const struct {
        const char  *text;
        const char  *code;
        int          is;
    } cases[] = {
        { "NOSCRIPT No matching script", "NOSCRIPT", 1 },
        { "NOSCRIPT", "NOSCRIPT", 1 },
        { "NOSCRIPT ", "NOSCRIPT", 1 },
        { "NOSCRIPTS x", "NOSCRIPT", 0 },
        { "NOSCRIP", "NOSCRIPT", 0 },
        { "noscript x", "NOSCRIPT", 0 },
        { "ERR NOSCRIPT", "NOSCRIPT", 0 },
        { " NOSCRIPT", "NOSCRIPT", 0 },
        { "NOSCRIPT:", "NOSCRIPT", 0 },
        { "", "NOSCRIPT", 0 },
        { "ASK 1 127.0.0.1:1", "ASK", 1 }
    };

    memset(&reply, 0, sizeof(reply));

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        reply.type = PHRONY_RESP_ERROR;
        reply.str = str(cases[i].text);

        ok(phrony_resp_is_error(&reply, cases[i].code) == cases[i].is,
           "\"%s\" is %s %s", cases[i].text, cases[i].is ? "a" : "no",
           cases[i].code);

        reply.type = PHRONY_RESP_STATUS;
        is_int(phrony_resp_is_error(&reply, cases[i].code), 0,
               "a status is none");
    }

    memset(&reply, 0, sizeof(reply));
    is_int(phrony_resp_is_error(&reply, "ERR"), 0, "nil is none");
}


static void
test_integers(void)
{
    size_t                 i, n;
    const phrony_resp_t   *reply;
    phrony_resp_reader_t  *reader;
    const struct {
        const char  *bytes;
        size_t       n;     /* so many and no more */
    } cases[] = {
        { "*3\r\n:1\r\n:2\r\n:3\r\n", 3 },
        { "*3\r\n:1\r\n:2\r\n$1\r\n3\r\n", 2 },
        { "*3\r\n$-1\r\n:2\r\n:3\r\n", 0 },
        { "*2\r\n*1\r\n:1\r\n:2\r\n", 0 },
        { "*0\r\n", 0 }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        reader = reader_of(BYTES, ELEMENTS);
        feed(reader, cases[i].bytes);
        (void) phrony_resp_next(reader, &reply);

        for (n = 0; n < 5; n++) {
            ok(phrony_resp_integers(reply, n) == (n <= cases[i].n),
               "%u integers in %s", (unsigned) n, cases[i].bytes);
        }

        phrony_resp_reader_free(reader);
    }

    reader = reader_of(BYTES, ELEMENTS);
    feed(reader, ":1\r\n*-1\r\n");

    for (i = 0; i < 2; i++) {
        (void) phrony_resp_next(reader, &reply);
        is_int(phrony_resp_integers(reply, 0), 0, "no array, no integers");
    }

    phrony_resp_reader_free(reader);
}


static void
test_command(void)
{
    size_t          len, i, n, total;
    phrony_str_t    argv[1000];
    unsigned char  *bytes;
    const char      wanted[] = "*3\r\n$3\r\nSET\r\n$4\r\na\0\r\n\r\n"
                               "$0\r\n\r\n";
    const size_t    counts[] = { 1, 31, 32, 33, 64, 1000 };

    argv[0] = str("SET");
    argv[1].data = (unsigned char *) "a\0\r\n";
    argv[1].len = 4;
    argv[2].data = NULL;
    argv[2].len = 0;

    bytes = phrony_resp_command(3, argv, &len);

    ok(bytes && len == sizeof(wanted) - 1 && memcmp(bytes, wanted, len) == 0,
       "a command of any bytes");

    phrony_resp_command_free(bytes);

    for (i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {

        wire.len = 0;
        add_format(&wire, "*%lld\r\n", (long long) counts[i]);
        total = 0;

        for (n = 0; n < counts[i]; n++) {
            argv[n].data = (unsigned char *) plain.data + total % 100;
            argv[n].len = n;
            total += n;

            add_format(&wire, "$%lld\r\n", (long long) n);
            add(&wire, argv[n].data, n);
            add_text(&wire, "\r\n");
        }

        bytes = phrony_resp_command(counts[i], argv, &len);

        ok(bytes && len == wire.len && memcmp(bytes, wire.data, len) == 0,
           "a command of %u words", (unsigned) counts[i]);

        phrony_resp_command_free(bytes);
    }
}


/* Lengths that hiredis could not count are refused before they are read. */

static void
test_command_size(void)
{
    size_t          len, i;
    phrony_str_t    argv[3];
    unsigned char  *bytes;
    const size_t    lens[] = {
        (size_t) 512 << 20, ((size_t) 512 << 20) - 67, (size_t) 1 << 31,
        (size_t) 1 << 32, SIZE_MAX - 3, SIZE_MAX
    };

    argv[0] = str("SET");
    argv[2] = str("x");

    for (i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        argv[1].data = (unsigned char *) "x";
        argv[1].len = lens[i];

        bytes = phrony_resp_command(3, argv, &len);
        ok(bytes == NULL, "a word of %llu bytes",
           (unsigned long long) lens[i]);
    }

    bytes = phrony_resp_command(SIZE_MAX / 8, argv, &len);
    ok(bytes == NULL, "2^61 words");

    bytes = phrony_resp_command(((size_t) 1 << 32) + 1, argv, &len);
    ok(bytes == NULL, "2^32 + 1 words");
}


/* What next() returns when it has these bytes; the reason if it is -1. */

static int
read_one(const char *bytes, size_t len, const char **error)
{
    int                    rc;
    const phrony_resp_t   *reply;
    phrony_resp_reader_t  *reader;

    reader = reader_of(BYTES, ELEMENTS);

    phrony_resp_feed(reader, bytes, len);
    rc = phrony_resp_next(reader, &reply);

    while (error && rc == 1) {
        rc = phrony_resp_next(reader, &reply);
    }

    if (error) {
        *error = show(phrony_resp_reader_error(reader),
                      strlen(phrony_resp_reader_error(reader)));
    }

    phrony_resp_reader_free(reader);

    return rc;
}
