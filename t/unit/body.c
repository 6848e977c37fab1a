
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include <errno.h>
#include <jansson.h>

#include "phrony_body.h"
#include "random_json.h"
#include "test.h"


#define ROUNDS       4000

#define text(bytes)  bytes, sizeof(bytes) - 1

/* "line" of those that are valid */

#define VALID        ((size_t) -1)


typedef struct {
    const char  *name;
    const char  *data;
    size_t       len;
    size_t       line;
    size_t       column;
} body_t;


typedef struct {
    const char  *type;
    int          json;
} type_t;


static phrony_reason_t check(const void *data, size_t len,
    phrony_body_error_t *error);
static char *repeat(const char *text, size_t n, size_t *len);
static int parser_accepts(const random_json_t *json, int *held);
static void *failing_malloc(size_t size);


static const type_t  types[] = {
    { "application/json", 1 },
    { "Application/JSON", 1 },
    { " \tapplication/json ", 1 },
    { "application/json; charset=utf-8", 1 },
    { "application/json ;charset=utf-8", 1 },
    { "application/json;", 1 },
    { "application/vnd.example.v1+json", 1 },
    { "application/cloudevents+JSON; a=b", 1 },
    { "image/x+json", 1 },
    { "application/a+b+json", 1 },

    { "", 0 },
    { " ", 0 },
    { "json", 0 },
    { "application", 0 },
    { "application/", 0 },
    { "/json", 0 },
    { "application/+json", 0 },
    { "/x+json", 0 },
    { "application/jsonp", 0 },
    { "application/jso", 0 },
    { "xapplication/json", 0 },
    { "text/json", 0 },
    { "text/plain", 0 },
    { "application/json+xml", 0 },
    { "application/json, text/plain", 0 },
    { "application/json text", 0 },
    { "application /json", 0 },
    { "application/ json", 0 },
    { "text/plain; a=application/json", 0 },
    { "application/x-www-form-urlencoded", 0 },
    { "\"application/json\"", 0 },
    { "application/j\xc3\xb6+json", 0 }
};


static const body_t  bodies[] = {

    /* what a client may send */

    { "nothing", text(""), VALID, 0 },
    { "empty object", text("{}"), VALID, 0 },
    { "white space around", text(" \t\r\n{ \n} \n"), VALID, 0 },
    { "input", text("{\"input\":{\"text\":\"hello\"}}"), VALID, 0 },
    { "other members", text("{\"a\":[1,2,{}],\"input\":{}}"), VALID, 0 },
    { "input of a nested object is its own affair",
      text("{\"a\":{\"input\":1}}"), VALID, 0 },
    { "names that differ by case", text("{\"a\":1,\"A\":2}"), VALID, 0 },
    { "one name in two objects", text("{\"a\":{\"a\":{}}}"), VALID, 0 },
    { "empty name", text("{\"\":1}"), VALID, 0 },
    { "escapes", text("{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\"}"),
      VALID, 0 },
    { "surrogate pair", text("{\"a\":\"\\uD83D\\uDE00\"}"), VALID, 0 },
    { "noncharacters", text("{\"a\":\"\\uFFFF\\uFDD0\xef\xbf\xbf\"}"),
      VALID, 0 },
    { "byte order mark within a string", text("{\"a\":\"\xef\xbb\xbf\"}"),
      VALID, 0 },
    { "delete is no control character", text("{\"a\":\"\x7f\"}"), VALID, 0 },
    { "four bytes", text("{\"\xf0\x90\x80\x80\":\"\xf4\x8f\xbf\xbf\"}"),
      VALID, 0 },

    /* what the parser cannot hold */

    { "integer of 20 digits", text("{\"a\":18446744073709551616}"), VALID, 0 },
    { "negative integer of 20 digits", text("{\"a\":-9999999999999999999}"),
      VALID, 0 },
    { "real number too large", text("{\"a\":1e999}"), VALID, 0 },
    { "real number too small", text("{\"a\":-1.5E-999}"), VALID, 0 },
    { "large numbers in an array", text("{\"a\":[1e999,-1e999 ,1E+999]}"),
      VALID, 0 },
    { "NUL in a value", text("{\"a\":\"\\u0000\"}"), VALID, 0 },
    { "NUL in a name", text("{\"\\u0000\":1}"), VALID, 0 },
    { "NUL in nested names", text("{\"a\":{\"b\\u0000\":{\"\\u0000c\":0}}}"),
      VALID, 0 },
    { "NUL and a private-use character", text("{\"\\u0000\":1,\"\\uE000\":2,"
      "\"\xee\x80\x80\":3}"), 1, 24 },
    { "names that differ by NUL", text("{\"a\":1,\"a\\u0000\":2,"
      "\"a\\u0000\\u0000\":3}"), VALID, 0 },
    { "NUL beside the character that would replace it",
      text("{\"\\u0000\":1,\"\xf0\x90\x80\x80" "00\":2,"
           "\"\\ud800\\uDC0100\":3,\"\xf0\x90\x80\x82\x30\x30\":4}"),
      VALID, 0 },
    { "NUL beside other control characters",
      text("{\"\\u0000\":1,\"\\u0001\":2,\"\\u001f\":3,\"0\":4}"),
      VALID, 0 },
    { "NUL of a name that would be input",
      text("{\"input\\u0000\":1,\"inpu\\u0000\":2}"), VALID, 0 },
    { "a backslash before u0000", text("{\"a\\\\u0000\":1,\"a\":1e999}"),
      VALID, 0 },
    { "large number in a string", text("{\"a\":\"1e999\",\"b\":1e999}"),
      VALID, 0 },
    { "large number in input", text("{\"input\":{\"a\":1e999}}"), VALID, 0 },

    { "names with NUL, repeated", text("{\"a\\u0000\":1,\"a\\u0000\":2}"),
      1, 14 },
    { "names repeated after a large number", text("{\"a\":1e999,\"a\":2}"),
      1, 12 },
    { "error after a large number", text("{\"a\":1e999,\n\"b\":x}"), 2, 5 },
    { "large number in place of a name", text("{\"a\":1e999,1e999:2}"),
      1, 12 },
    { "large number without a comma", text("[1e999 1e999]"), 1, 8 },
    { "large number with a tail", text("[1e999,1e999x]"), 1, 13 },
    { "large number with two points", text("[1e999,1.5.5]"), 1, 11 },
    { "large number with leading zero", text("[1e999,01e999]"), 1, 8 },
    { "large number without exponent's digits", text("[1e999,1e+]"), 1, 8 },
    { "large number, text ends", text("{\"a\":1e999"), 1, 11 },
    { "NUL, then a lone surrogate", text("{\"\\u0000\":\"\\ud800\"}"),
      1, 12 },
    { "NUL, then a broken escape", text("{\"\\u0000\":\"\\u0000\\x\"}"),
      1, 18 },
    { "NUL, then invalid UTF-8", text("{\"\\u0000\":\"\xff\"}"), 1, 12 },
    { "large number as input", text("{\"input\":1e999}"), 0, 0 },
    { "large number as body", text("1e999"), 0, 0 },

    /* not an object */

    { "array", text("[]"), 0, 0 },
    { "string", text(" \"a\" "), 0, 0 },
    { "number", text("1"), 0, 0 },
    { "null", text("null"), 0, 0 },
    { "input is null", text("{\"input\":null}"), 0, 0 },
    { "input is an array", text("{\"input\":[]}"), 0, 0 },
    { "input is a string", text("{\"inp\\u0075t\":\"{}\"}"), 0, 0 },
    { "input is true", text("{\"input\":true}"), 0, 0 },
    { "input is a number", text("{\"a\":1,\"input\":0}"), 0, 0 },

    /* where the error is */

    { "white space", text("  "), 1, 3 },
    { "white space, two lines", text("\n\n"), 3, 1 },
    { "byte order mark", text("\xef\xbb\xbf{}"), 1, 1 },
    { "byte order mark alone", text("\xef\xbb\xbf"), 1, 1 },
    { "half a byte order mark", text("\xef\xbb{}"), 1, 1 },
    { "UTF-16", text("\xff\xfe{\0}\0"), 1, 1 },
    { "NUL byte", text("\0"), 1, 1 },
    { "NUL byte after the object", text("{}\0"), 1, 3 },
    { "NUL byte in the object", text("{\n \0}"), 2, 2 },
    { "NUL byte after a number", text("{\"a\":1\0}"), 1, 7 },
    { "NUL byte in a number", text("{\"a\":1\0" "2}"), 1, 7 },
    { "NUL byte after a word", text("{\"a\":true\0}"), 1, 10 },
    { "NUL byte after half a word", text("{\"a\":tr\0ue}"), 1, 6 },
    { "error before a NUL byte", text("{\"a\":x, \0}"), 1, 6 },
    { "NUL byte after a large number", text("{\"a\":1e999\0}"), 1, 11 },
    { "NUL byte in a string", text("{\"a\0\":1}"), 1, 4 },
    { "open object", text("{"), 1, 2 },
    { "open object, two lines", text("{\n  \"a\": 1\n"), 3, 1 },
    { "open string", text("{\"abc"), 1, 6 },
    { "open array", text("{\"a\":[1,"), 1, 9 },
    { "close alone", text("}"), 1, 1 },
    { "wrong bracket", text("{\"a\":[1}}"), 1, 8 },
    { "comma before the end", text("{\"a\":1,}"), 1, 8 },
    { "comma at the start", text("{,}"), 1, 2 },
    { "two commas", text("{\"a\":1,,\"b\":2}"), 1, 8 },
    { "comma in an array", text("{\"a\":[1,]}"), 1, 9 },
    { "no colon", text("{\"a\" \"bcd\"}"), 1, 6 },
    { "no comma", text("{\"a\":1\n \"bcd\":2}"), 2, 2 },
    { "no name", text("{1:2}"), 1, 2 },
    { "no quotes", text("{abc:2}"), 1, 2 },
    { "no value", text("{\"a\":}"), 1, 6 },
    { "single quotes", text("{'a':1}"), 1, 2 },
    { "comment", text("{/* */}"), 1, 2 },
    { "word", text("{\"a\":\ttru}"), 1, 7 },
    { "word in capitals", text("{\"a\":True}"), 1, 6 },
    { "word too long", text("{\"a\":nulll}"), 1, 6 },
    { "NaN", text("{\"a\":NaN}"), 1, 6 },
    { "infinity", text("{\"a\":-Infinity}"), 1, 6 },
    { "leading zero", text("{\"a\":01}"), 1, 6 },
    { "leading plus", text("{\"a\":+1}"), 1, 6 },
    { "leading point", text("{\"a\":.5}"), 1, 6 },
    { "no digits after the point", text("{\"a\":1.}"), 1, 6 },
    { "no digits after the sign", text("{\"a\":-}"), 1, 6 },
    { "no digits in the exponent", text("{\"a\":1e}"), 1, 6 },
    { "hexadecimal", text("{\"a\":0x10}"), 1, 7 },
    { "text after the object", text("{} x"), 1, 4 },
    { "two objects", text("{}\n{}"), 2, 1 },
    { "text after a number", text("1 2"), 1, 3 },
    { "control character", text("{\"a\":\"b\tc\"}"), 1, 8 },
    { "line feed in a string", text("{\"a\":\"b\n\"}"), 1, 8 },
    { "unknown escape", text("{\"a\":\"\\x41\"}"), 1, 7 },
    { "unknown escape after a surrogate pair",
      text("{\"a\":\"\\ud83d\\ude00\\x41\"}"), 1, 19 },
    { "escape of three digits", text("{\"a\":\"b\\u041\"}"), 1, 8 },
    { "escape in capitals", text("{\"a\":\"\\U0041\"}"), 1, 7 },
    { "escaped line feed", text("{\"a\":\"\\\n\"}"), 1, 7 },
    { "escape at the end", text("{\"a\":\"\\"), 1, 7 },
    { "lone high surrogate", text("{\"a\":\"bc\\uD800d\"}"), 1, 9 },
    { "lone low surrogate", text("{\"a\":\"bc\\uDC00\"}"), 1, 9 },
    { "two high surrogates", text("{\"a\":\"\\uD800\\uD800\\uDC00\"}"),
      1, 7 },
    { "high surrogate and letter", text("{\"a\":\"\\uD800\\u0041\"}"), 1, 7 },
    { "surrogate as a name", text("{\"\\uDFFF\":1}"), 1, 3 },
    { "column in characters", text("{\"\xc3\xa9\xf0\x9f\x98\x80\":x}"), 1, 7 },
    { "column of a character", text("{\"a\":1 \xc3\xa9}"), 1, 8 },
    { "column in the second line", text("{\"\xc3\xa9\":\n \"\xc3\xa9\" x}"),
      2, 6 },
    { "lone continuation byte", text("{\"\xc3\xa9\":\"a\x80\"}"), 1, 8 },
    { "invalid first byte", text("{\"a\":\"\xff\"}"), 1, 7 },
    { "truncated character", text("{\"a\":\"\xc3\"}"), 1, 7 },
    { "overlong character", text("{\"a\":\"\xc0\xaf\"}"), 1, 7 },
    { "surrogate in UTF-8", text("{\"a\":\"\xed\xa0\x80\"}"), 1, 7 },
    { "beyond Unicode", text("{\"a\":\"\xf4\x90\x80\x80\"}"), 1, 7 },
    { "invalid UTF-8 outside strings", text("{\n\xa0}"), 2, 1 },
    { "no-break space", text("{\xc2\xa0}"), 1, 2 },
    { "vertical tab", text("{\v}"), 1, 2 },
    { "repeated name", text("{\"a\":1,\n\"b\":2,\n  \"a\":3}"), 3, 3 },
    { "repeated name, escaped", text("{\"a\":1,\"\\u0061\":3}"), 1, 8 },
    { "repeated name, nested", text("{\"a\":[{\"b\":{\"c\":1,\"c\":1}}]}"),
      1, 19 },
    { "repeated empty name", text("{\"\":1,\"\":1}"), 1, 7 },
    { "repeated input", text("{\"input\":{},\"input\":{}}"), 1, 13 }
};


static phrony_reason_t
check(const void *data, size_t len, phrony_body_error_t *error)
{
    phrony_str_t     body;
    unsigned char   *copy;
    phrony_reason_t  reason;

    /* a copy of just that size: a sanitizer sees who reads beyond */

    copy = malloc(len ? len : 1);

    if (copy == NULL) {
        abort();
    }

    memcpy(copy, data, len);

    body.data = copy;
    body.len = len;

    memset(error, 0xff, sizeof(phrony_body_error_t));

    reason = phrony_body_check(&body, error);

    if (memcmp(copy, data, len) != 0) {
        abort();
    }

    free(copy);

    return reason;
}


static void
test_types(void)
{
    size_t           i;
    phrony_str_t     type;
    phrony_reason_t  reason;

    for (i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        type = str(types[i].type);
        reason = phrony_body_check_type(&type);

        ok(reason == (types[i].json ? PHRONY_REASON_NONE
                                    : PHRONY_REASON_CONTENT_TYPE),
           "type \"%s\"", types[i].type);
    }

    /* NUL is in no name, and strchr() must not find it */

    type.data = (unsigned char *) "application/\0+json";
    type.len = sizeof("application/\0+json") - 1;

    ok(phrony_body_check_type(&type) == PHRONY_REASON_CONTENT_TYPE,
       "type with NUL");
}


static void
test_bodies(void)
{
    size_t                i;
    const body_t         *body;
    phrony_reason_t       reason;
    phrony_body_error_t   error;

    for (i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        body = &bodies[i];
        reason = check(body->data, body->len, &error);

        if (body->line == VALID) {
            ok(reason == PHRONY_REASON_NONE, "valid: %s", body->name);
            continue;
        }

        if (reason != PHRONY_REASON_BODY_INVALID) {
            ok(0, "refused: %s", body->name);
            continue;
        }

        ok(error.line == body->line && error.column == body->column
           && error.text[0] != '\0',
           "refused: %s, line %d column %d, is %d %d: %s", body->name,
           (int) body->line, (int) body->column, (int) error.line,
           (int) error.column, error.text);
    }
}


static void
test_texts(void)
{
    phrony_body_error_t  error;

    check(text("{\"input\":[]}"), &error);
    is_str(error.text, strlen(error.text),
           "the member \"input\" must be an object", "text of input");

    check(text("[]"), &error);
    is_str(error.text, strlen(error.text),
           "the body must be a JSON object", "text of an array");

    check(text("\xef\xbb\xbf{}"), &error);
    ok(strstr(error.text, "byte order mark") != NULL, "text of a BOM");

    check(text("{\"a\":1,\"a\":1}"), &error);
    ok(strstr(error.text, "repeated") != NULL, "text of a repeated name");

    check(text("{\"a\":\"\xff\"}"), &error);
    ok(strstr(error.text, "UTF-8") != NULL, "text of invalid UTF-8");

    check(text("{\"a\":\"\\ud800\"}"), &error);
    ok(strstr(error.text, "surrogate") != NULL, "text of a surrogate");

    check(text("{} {}"), &error);
    ok(strstr(error.text, "follow") != NULL, "text of a second object");

    check(text("{"), &error);
    ok(strstr(error.text, "too early") != NULL, "text of an open object");
}


/* "text" n times; the length is that without the NUL */

static char *
repeat(const char *text, size_t n, size_t *len)
{
    char    *data;
    size_t   i, size;

    size = strlen(text);
    data = malloc(size * n + 1);

    if (data == NULL) {
        abort();
    }

    for (i = 0; i < n; i++) {
        memcpy(data + size * i, text, size);
    }

    data[size * n] = '\0';
    *len = size * n;

    return data;
}


static void
depth(const char *open, const char *middle, const char *close, size_t n,
    phrony_body_error_t *error)
{
    char    *data, *p;
    size_t   i;

    data = malloc(n * (strlen(open) + strlen(close)) + strlen(middle) + 1);

    if (data == NULL) {
        abort();
    }

    p = data;

    for (i = 0; i < n; i++) {
        p += sprintf(p, "%s", open);
    }

    p += sprintf(p, "%s", middle);

    for (i = 0; i < n; i++) {
        p += sprintf(p, "%s", close);
    }

    if (check(data, (size_t) (p - data), error) == PHRONY_REASON_NONE) {
        error->line = VALID;
    }

    free(data);
}


static void
test_depth(void)
{
    size_t               len;
    char                *data;
    phrony_body_error_t  error;

    depth("{\"a\":", "1", "}", 512, &error);
    ok(error.line == VALID, "512 objects");

    depth("{\"a\":", "1", "}", 513, &error);
    ok(error.line == 1 && error.column == 512 * 5 + 1
       && strstr(error.text, "512") != NULL, "513 objects");

    depth("{\"a\":", "{}", "}", 511, &error);
    ok(error.line == VALID, "511 objects and an empty one");

    depth("{\"a\":", "[]", "}", 512, &error);
    ok(error.line == 1 && error.column == 512 * 5 + 1
       && strstr(error.text, "512") != NULL, "512 objects and an array");

    depth("{\"a\":\n", "1e999", "}", 512, &error);
    ok(error.line == VALID, "512 objects and a large number");

    depth("{\"a\":\n", "[1e999]", "}", 512, &error);
    ok(error.line == 513 && error.column == 1
       && strstr(error.text, "512") != NULL, "512 objects and one more array");

    depth("{\"a\":[{}, \"[[[{{{\\\"[\"],\"b\":", "1", "}", 510, &error);
    ok(error.line == VALID, "brackets that are closed, or in strings");

    depth("[", "", "]", 512, &error);
    ok(error.line == 0, "512 arrays: not an object");

    depth("[", "", "]", 513, &error);
    ok(error.line == 1 && error.column == 513, "513 arrays");

    depth("[", "", "", 3000, &error);
    ok(error.line == 1 && error.column == 513, "3000 open arrays");

    depth("[", "", "]", 100000, &error);
    ok(error.line == 1 && error.column == 513, "100000 arrays");

    depth("]", "", "", 600, &error);
    ok(error.line == 1 && error.column == 1, "600 brackets that close");

    /* the first error counts */

    data = repeat("[", 1000, &len);
    data[100] = '}';
    check(data, len, &error);
    ok(error.line == 1 && error.column == 101, "an error before the depth");

    data[100] = '\xff';
    check(data, len, &error);
    ok(error.line == 1 && error.column == 101, "invalid UTF-8 before it");

    data[100] = '[';
    data[600] = '}';
    check(data, len, &error);
    ok(error.line == 1 && error.column == 513, "an error after it");

    free(data);
}


/* One character of each value, so that none is free to stand for NUL. */

static void
test_all_characters(void)
{
    char                 *data, *p;
    uint32_t              code;
    phrony_body_error_t   error;

    data = malloc(0x100000 * 4 + 100);

    if (data == NULL) {
        abort();
    }

    p = data + sprintf(data, "{\"a\\u0000\":\"");

    for (code = 0x10000; code < 0x110000; code++) {
        *p++ = (char) (0xf0 | code >> 18);
        *p++ = (char) (0x80 | (code >> 12 & 0x3f));
        *p++ = (char) (0x80 | (code >> 6 & 0x3f));
        *p++ = (char) (0x80 | (code & 0x3f));
    }

    p += sprintf(p, "\"}");

    ok(check(data, (size_t) (p - data), &error) == PHRONY_REASON_NONE,
       "all characters and NUL");

    /* all but the last: just one is free */

    p -= 6;
    p += sprintf(p, "\",\"a\xf4\x8f\xbf\xbe" "00\":0}");

    ok(check(data, (size_t) (p - data), &error) == PHRONY_REASON_NONE,
       "all characters but one and NUL");

    free(data);
}


static void
test_large(void)
{
    char                 *data;
    size_t                len;
    phrony_body_error_t   error;

    data = repeat("1e999,", 200000, &len);
    data[0] = '[';
    data[1] = '1';
    data[2] = 'e';
    data[3] = '9';
    data[4] = '9';
    data[len - 1] = ']';

    check(data, len, &error);
    ok(error.line == 0, "200000 large numbers: an array");

    data[len - 1] = ',';
    check(data, len, &error);
    ok(error.line == 1 && error.column == len + 1,
       "200000 large numbers, then the end");

    free(data);

    data = repeat("9", 1000000, &len);
    check(data, len, &error);
    ok(error.line == 0, "a number of 1000000 digits");

    memcpy(data, "0.", 2);
    check(data, len, &error);
    ok(error.line == 0, "a number of 1000000 decimals");

    free(data);

    data = repeat("\\u0000", 200000, &len);
    memcpy(data, "{\"abc\"", 6);
    memcpy(data + 6, ":1 ,\"a", 6);
    memcpy(data + len - 6, "\": {}}", 6);
    ok(check(data, len, &error) == PHRONY_REASON_NONE,
       "a name with 200000 times NUL");

    free(data);
}


/* What the parser says, and whether it could hold the text at all. */

static int
parser_accepts(const random_json_t *json, int *held)
{
    int                    accepted;
    json_t                *root, *input;
    json_error_t           error;
    enum json_error_code   code;

    *held = 1;

    /* the parser skips a NUL that follows a number or a word */

    if (memchr(json->data, '\0', json->len)) {
        return 0;
    }

    root = json_loadb(json->data, json->len,
                      JSON_REJECT_DUPLICATES|JSON_ALLOW_NUL|JSON_DECODE_ANY,
                      &error);

    if (root == NULL) {
        code = json_error_code(&error);
        *held = code != json_error_numeric_overflow
                && code != json_error_null_byte_in_key;
        return 0;
    }

    input = json_object_get(root, "input");
    accepted = json_is_object(root)
               && (input == NULL || json_is_object(input));

    json_decref(root);

    return accepted;
}


static void
test_random(int exotic)
{
    int                  i, bad, held, accepted, compared;
    random_json_t        json;
    phrony_reason_t      reason;
    phrony_body_error_t  error;

    json.seed = 20260 + (uint64_t) exotic;
    json.exotic = exotic;
    compared = 0;

    for (i = 0, bad = 0; i < ROUNDS; i++) {
        json.len = 0;
        random_json_object(&json, 0);

        if (check(json.data, json.len, &error) != PHRONY_REASON_NONE) {
            bad++;
            printf("# refused: %s\n", show(json.data, json.len));
        }
    }

    ok(bad == 0, "random bodies are accepted%s",
       exotic ? ", those that the parser cannot hold too" : "");

    for (i = 0, bad = 0; i < ROUNDS; i++) {
        json.len = 0;
        random_json_object(&json, 0);
        random_json_mutate(&json);

        reason = check(json.data, json.len, &error);
        accepted = parser_accepts(&json, &held);

        if (!held) {
            continue;
        }

        compared++;

        if (accepted != (reason == PHRONY_REASON_NONE)) {
            bad++;
            printf("# differs: %s\n", show(json.data, json.len));
        }
    }

    ok(bad == 0 && compared > ROUNDS / 10,
       "%d random mutants get the parser's verdict", compared);
}


/* A text that the parser cannot hold, and the same made simpler by hand. */

static void
test_simpler(void)
{
    int                   i, bad, refused;
    char                 *p;
    phrony_reason_t       reason;
    random_json_t         json, simple;
    phrony_body_error_t   error, wanted;

    json.seed = 4711;
    json.exotic = 1;
    bad = 0;
    refused = 0;

    for (i = 0; i < ROUNDS; i++) {
        json.len = 0;
        random_json_object(&json, 0);
        random_json_mutate(&json);

        simple = json;

        for (p = simple.data; p + 5 <= simple.data + simple.len; p++) {
            if (memcmp(p, "1e999", 5) == 0) {
                memcpy(p, "1e000", 5);

            } else if (memcmp(p, "u0000", 5) == 0) {
                memcpy(p, "uE123", 5);

            } else if (memcmp(p, "E+400", 5) == 0) {
                memcpy(p, "E+000", 5);
            }
        }

        reason = check(json.data, json.len, &error);
        refused += reason != PHRONY_REASON_NONE;

        if (reason != check(simple.data, simple.len, &wanted)
            || (reason != PHRONY_REASON_NONE
                && (error.line != wanted.line
                    || error.column != wanted.column)))
        {
            bad++;
            printf("# differs: %s\n", show(json.data, json.len));
        }
    }

    ok(bad == 0 && refused > ROUNDS / 4 && refused < ROUNDS,
       "the second reading is as strict as the first, %d refused", refused);
}


static void *
failing_malloc(size_t size)
{
    void  *p;

    p = test_malloc(size);

    if (p == NULL) {
        errno = ENOMEM;
    }

    return p;
}


static void
test_memory(const char *name, const char *text)
{
    long                  n, seen;
    phrony_str_t          body;
    phrony_reason_t       reason;
    phrony_body_error_t   error;

    body = str(text);
    seen = 0;

    json_set_alloc_funcs(failing_malloc, test_free);

    for (n = 1; n < 1000; n++) {
        fail_at(n);
        reason = phrony_body_check(&body, &error);
        seen = allocs();
        fail_at(-1);

        if (seen < n) {
            break;
        }

        ok(reason == PHRONY_REASON_STORE_UNAVAILABLE,
           "%s: allocation %ld fails", name, n);
    }

    json_set_alloc_funcs(malloc, free);

    ok(n > 5 && seen < n && reason == PHRONY_REASON_NONE,
       "%s: enough memory", name);
}


static void
test_tokens(void)
{
    is_int(phrony_body_tokens(0, 4), 0, "no bytes");
    is_int(phrony_body_tokens(1, 4), 1, "1 byte");
    is_int(phrony_body_tokens(4, 4), 1, "4 bytes");
    is_int(phrony_body_tokens(5, 4), 2, "5 bytes");
    is_int(phrony_body_tokens(7, 1), 7, "a byte per token");
    is_int(phrony_body_tokens(SIZE_MAX / 2, SIZE_MAX), 1, "no overflow");
    is_int(phrony_body_tokens(SIZE_MAX, 4), SIZE_MAX / 4 + 1, "rounded up");
}


int
main(void)
{
    test_types();
    test_bodies();
    test_texts();
    test_depth();
    test_all_characters();
    test_large();
    test_random(0);
    test_random(1);
    test_simpler();
    test_tokens();

    test_memory("small", "{\"\\u0061\":1,\"input\":{\"text\":"
                "\"hello, a text that is rather "
                "long\",\"list\":[true,\"a\",null,[],{\"b\":\"c\"}]}}");
    test_memory("large number", "{\"\\u0061\":1e999,"
                "\"b\":\"a text that is rather "
                "long, so that buffers grow\"}");
    test_memory("NUL", "{\"a\\u0000\":{\"b\":\"a text that is rather "
                "long, so that buffers grow\"}}");

    return done();
}
