
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "test.h"

#include <jansson.h>

#include "phrony_plain.h"
#include "random_json.h"


static void test_recognised(void);
static void test_not_known(void);
static void test_bounds(void);
static void test_cut(void);
static void test_random(void);
static int check(const char *text, size_t len);
static int parser_accepts(const char *text, size_t len);


/* What clients send must be recognised, or nobody gains. */

static const char  *recognised[] = {
    "{}",
    " { } ",
    "{\"input\":{}}",
    "{\"input\":{\"text\":\"hello\"}}",
    "\r\n{\t\"input\" : { \"text\" : \"hello\" , \"n\" : [ 1 , 2 ] } }\n",
    "{\"a\":1,\"b\":-1,\"c\":0,\"d\":-0.5e+10,\"e\":1E5,\"f\":0.0}",
    "{\"a\":123456789012345678901234567890,\"b\":1e999}",
    "{\"a\":true,\"b\":false,\"c\":null,\"d\":[],\"e\":{},\"f\":\"\"}",
    "{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\u0000\\uffff\\ud7ff\"}",
    "{\"a\":\"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80\"}",
    "{\"a\":\"0123456789abcdef0123456789abcdef0123456789\"}",
    "{\"a\":{\"a\":{\"a\":1}},\"b\":{\"a\":1}}",
    "{\"nested\":{\"input\":1}}",
    "{\"\":1}",
    "{\"a\":[[1,[2]],[{\"b\":[{}]}]]}",
    "{\"\x7f\":\"\x7f\"}"
};


static const char  *not_known[] = {
    "", " ", "{", "}", "[]", "null", "1", "\"a\"",
    "{}{}", "{} x", "{},", "{]", "{\"a\":[}", "{\"a\":[1}", "{\"a\":{]}",
    "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{,}", "{\"a\" 1}", "{a:1}",
    "{\"a\":1 \"b\":2}", "{\"a\":1,,\"b\":2}", "{'a':1}", "{\"a\":[1,]}",
    "{\"a\":[,1]}", "{\"a\":[1 2]}", "{1:2}", "{\"a\":1}}", "{\"a\"::1}",
    "{\"a\":01}", "{\"a\":-}", "{\"a\":-01}", "{\"a\":1.}", "{\"a\":.1}",
    "{\"a\":1e}", "{\"a\":1e+}", "{\"a\":+1}", "{\"a\":0x1}", "{\"a\":1a}",
    "{\"a\":tru}", "{\"a\":True}", "{\"a\":truex}", "{\"a\":nul}",
    "{\"a\":NaN}", "{\"a\":fals}",
    "{\"a\":\"\\x\"}", "{\"a\":\"\\u12\"}", "{\"a\":\"\\u123g\"}",
    "{\"a\":\"\\", "{\"a\":\"\\u", "{\"a\":\"\\\"}", "{\"a\":\"b",
    "{\"a\":\"\\ud800\"}", "{\"a\":\"\\uDC00\"}",
    "{\"a\":\"\\ud83d\\ude00\"}",
    "{\"a\":\"\x1f\"}", "{\"a\":\"\n\"}", "{\"a\nb\":1}",
    "{\"a\":\"\x80\"}", "{\"a\":\"\xc3\"}", "{\"a\":\"\xc0\x80\"}",
    "{\"a\":\"\xed\xa0\x80\"}", "{\"a\":\"\xf4\x90\x80\x80\"}",
    "{\"a\":\"\xe2\x82\"}", "{\"\xff\":1}", "\xef\xbb\xbf{}", "{\xa0}",
    "{\"a\":1,\"a\":2}", "{\"b\":{\"a\":1,\"a\":2}}",
    "{\"b\":{\"x\":1},\"c\":2,\"b\":3}", "{\"\\u0061\":1,\"a\":2}",
    "{\"\\u0061\":1}",
    "{\"input\":1}", "{\"input\":[]}", "{\"input\":null}",
    "{\"input\":\"{}\"}", "{\"in\\u0070ut\":1}", "{\"input\" : \n\"x\"}"
};


int
main(void)
{
    test_recognised();
    test_not_known();
    test_bounds();
    test_cut();
    test_random();

    return done();
}


static void
test_recognised(void)
{
    size_t  i;

    for (i = 0; i < sizeof(recognised) / sizeof(recognised[0]); i++) {
        ok(check(recognised[i], strlen(recognised[i])), "recognised: %s",
           show(recognised[i], strlen(recognised[i])));
    }
}


static void
test_not_known(void)
{
    size_t  i;

    for (i = 0; i < sizeof(not_known) / sizeof(not_known[0]); i++) {
        ok(!check(not_known[i], strlen(not_known[i])), "not known: %s",
           show(not_known[i], strlen(not_known[i])));
    }

    ok(!check("{\"a\":\"\0\"}", 9), "not known: a NUL byte in a string");
    ok(!check("{}\0", 3), "not known: a NUL byte at the end");
}


static void
test_bounds(void)
{
    int    depth, n;
    char   text[4096];
    char  *p;

    for (depth = PHRONY_PLAIN_DEPTH - 1; depth <= PHRONY_PLAIN_DEPTH; depth++)
    {
        p = text + sprintf(text, "{\"a\":");
        memset(p, '[', (size_t) depth);
        memset(p + depth, ']', (size_t) depth);
        p += 2 * depth;
        *p++ = '}';

        ok(check(text, (size_t) (p - text)) == (depth < PHRONY_PLAIN_DEPTH),
           "%d levels", depth + 1);
    }

    for (n = PHRONY_PLAIN_NAMES; n <= PHRONY_PLAIN_NAMES + 1; n++) {
        p = text;
        *p++ = '{';

        for (depth = 0; depth < n; depth++) {
            p += sprintf(p, "%s\"m%d\":%d", depth ? "," : "", depth, depth);
        }

        *p++ = '}';

        ok(check(text, (size_t) (p - text)) == (n <= PHRONY_PLAIN_NAMES),
           "%d names", n);
    }

    /* names of objects that are closed do not count */

    p = text + sprintf(text, "{\"a\":[");

    for (n = 0; n < 200; n++) {
        p += sprintf(p, "%s{\"b\":1}", n ? "," : "");
    }

    p += sprintf(p, "]}");

    ok(check(text, (size_t) (p - text)), "many objects, few names each");
}


/* The beginning of a text is not taken for the whole. */

static void
test_cut(void)
{
    size_t  i, len, good;

    for (i = 0, good = 1; i < sizeof(recognised) / sizeof(recognised[0]); i++)
    {
        for (len = 0; len < strlen(recognised[i]); len++) {
            good &= !check(recognised[i], len)
                    || parser_accepts(recognised[i], len);
        }
    }

    ok(good, "no beginning of a text is taken for a whole one");
}


static void
test_random(void)
{
    int            i, known, wrong;
    random_json_t  json;

    memset(&json, 0, sizeof(json));
    json.seed = 1;

    for (i = 0, known = 0, wrong = 0; i < 3000; i++) {
        json.len = 0;
        random_json_object(&json, 0);

        if (check(json.data, json.len)) {
            known++;
            wrong += !parser_accepts(json.data, json.len);
        }

        random_json_mutate(&json);

        if (check(json.data, json.len)) {
            wrong += !parser_accepts(json.data, json.len);
        }
    }

    is_int(wrong, 0, "what is recognised, the parser accepts");
    ok(known > 300, "%d of 3000 random texts are recognised", known);
}


static int
check(const char *text, size_t len)
{
    int            recognised_it;
    char          *copy;
    phrony_str_t   s;

    /* of exactly this size, so that the sanitizer sees a read behind it */

    copy = malloc(len ? len : 1);

    if (copy == NULL) {
        abort();
    }

    memcpy(copy, text, len);

    s.len = len;
    s.data = (unsigned char *) copy;

    recognised_it = phrony_plain_check(&s);

    free(copy);

    return recognised_it;
}


/* Numbers are real ones here, and too large ones are none of its business. */

static int
parser_accepts(const char *text, size_t len)
{
    int            accepted;
    json_t        *root, *input;
    json_error_t   error;

    root = json_loadb(text, len, JSON_REJECT_DUPLICATES|JSON_ALLOW_NUL
                                 |JSON_DECODE_INT_AS_REAL, &error);

    if (root == NULL) {
        return json_error_code(&error) == json_error_numeric_overflow;
    }

    input = json_object_get(root, "input");
    accepted = json_is_object(root) && (!input || json_is_object(input));

    json_decref(root);

    return accepted;
}
