
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include <jansson.h>

#include "phrony_answer.h"
#include "random_json.h"
#include "test.h"


#define ROUNDS       4000

#define text(bytes)  bytes, sizeof(bytes) - 1

#define RUN          "f47ac10b-58cc-4372-a567-0e02b2c3d479"
#define OTHER_RUN    "00000000-0000-0000-0000-000000000000"

#define S8           "abcdefgh"
#define S64          S8 S8 S8 S8 S8 S8 S8 S8


/* What an answer says; "not" is an answer that is not one whole object. */

typedef enum {
    not = 0,
    no_run,             /* no member runId */
    bad_run,            /* one that is of no use */
    good_run            /* RUN */
} run_t;


typedef struct {
    const char  *name;
    const char  *data;
    size_t       len;
    run_t        run;
    const char  *status;
} answer_t;


static int same(const phrony_answer_t *a, const phrony_answer_t *b);
static void read_in_two(phrony_answer_t *answer, const char *data, size_t len,
    size_t split);
static void read_bytes(phrony_answer_t *answer, const char *data, size_t len);
static int agrees(const phrony_answer_t *answer, const json_t *root);


static const answer_t  answers[] = {

    /* whole objects */

    { "empty object", text("{}"), no_run, "" },
    { "white space", text(" \t\r\n{ \n}\r\n \t"), no_run, "" },
    { "run and status", text("{\"runId\":\"" RUN "\",\"status\":\"Running\"}"),
      good_run, "Running" },
    { "white space everywhere", text(" { \"status\" :\t\"Running\"\n,\r"
      "\"runId\"\n: \"" RUN "\" } "), good_run, "Running" },
    { "run in capitals", text("{\"runId\":\"F47AC10B-58CC-4372-A567-"
      "0E02B2C3D479\"}"), good_run, "" },
    { "status after all kinds of values", text("{\"a\":null,\"b\":true,"
      "\"c\":-1.5e+3,\"d\":\"\",\"e\":[],\"f\":{},\"g\":\"x\","
      "\"status\":\"S\",\"h\":0 ,\"i\":false\n}"), no_run, "S" },
    { "names that are almost right", text("{\"Status\":\"a\",\"statu\":\"b\","
      "\"statuss\":\"c\",\"runid\":\"" RUN "\",\"\":\"d\",\"runId \":1}"),
      no_run, "" },
    { "nested status", text("{\"output\":{\"status\":\"Failed\",\"runId\":\""
      RUN "\"},\"a\":[{\"status\":\"Failed\"},\"status\",\"Failed\"]}"),
      no_run, "" },
    { "status as a value", text("{\"a\":\"status\",\"b\":\"Failed\"}"),
      no_run, "" },
    { "brackets in strings", text("{\"o\":[\"]\",{\"}\":\"\\\"]}\"}],"
      "\"p\":\"}\",\"status\":\"S\"}"), no_run, "S" },
    { "backslashes in strings", text("{\"o\":[\"\\\\\",\"\\\\\\\"\"],"
      "\"p\":\"\\\\\",\"q\":\"\\\"\",\"status\":\"S\"}"), no_run, "S" },
    { "deep", text("{\"o\":[[[[[[[[[[[[[[[[[[[[{\"a\":[[]]}]]]]]]]]]]]]]]]]]]]"
      "],\"status\":\"S\"}"), no_run, "S" },
    { "long strings", text("{\"" S64 S64 "\":\"" S64 S64 "\",\"o\":[\"" S64
      "\"],\"status\":\"S\"}"), no_run, "S" },
    { "bytes that are no ASCII", text("{\"\xc3\xa9\":\"\xff\x80\",\"status\":"
      "\"\xc3\xa9\"}"), no_run, "\xc3\xa9" },

    /* escapes */

    { "escaped names", text("{\"\\u0073tatus\":\"S\",\"run\\u0049d\":\"" RUN
      "\"}"), good_run, "S" },
    { "all escaped", text("{\"\\u0073\\u0074\\u0061\\u0074\\u0075\\u0073\":"
      "\"\\u0053\\u004f\\u004B\"}"), no_run, "SOK" },
    { "short escapes", text("{\"status\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"}"),
      no_run, "\"\\/\b\f\n\r\t" },
    { "characters of 1 to 4 bytes", text("{\"status\":\"\\u007f\\u0080\\u07ff"
      "\\u0800\\uffff\\ud800\\udc00\\uDBFF\\uDFFF\"}"), no_run,
      "\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf\xf0\x90\x80\x80"
      "\xf4\x8f\xbf\xbf" },
    { "escaped run", text("{\"runId\":\"\\u00664\\u0037ac10b-58cc-4372-a567-"
      "0e02b2c3d479\"}"), good_run, "" },
    { "escaped quote in a name", text("{\"status\\\"\":\"a\",\"\\\"status\":"
      "\"b\"}"), no_run, "" },
    { "64 bytes", text("{\"status\":\"" S64 "\"}"), no_run, S64 },
    { "64 bytes, escaped", text("{\"status\":\"" S8 S8 S8 S8 S8 S8 S8
      "abcdef\\u00e9\"}"), no_run, S8 S8 S8 S8 S8 S8 S8 "abcdef\xc3\xa9" },

    /* of no use */

    { "65 bytes", text("{\"status\":\"" S64 "a\"}"), no_run, "" },
    { "64 bytes and an escape", text("{\"status\":\"" S64 "\\n\"}"),
      no_run, "" },
    { "63 bytes and a character of two", text("{\"status\":\"" S8 S8 S8 S8 S8
      S8 S8 "abcdefg\\u00e9\"}"), no_run, "" },
    { "lone high surrogate", text("{\"status\":\"a\\ud800\"}"), no_run, "" },
    { "lone high surrogate, text", text("{\"status\":\"\\ud800b\"}"),
      no_run, "" },
    { "surrogates apart", text("{\"status\":\"\\ud800b\\udc00\"}"),
      no_run, "" },
    { "lone high surrogate, escape", text("{\"status\":\"\\ud800\\n\"}"),
      no_run, "" },
    { "lone high surrogate, character", text("{\"status\":\"\\ud800\\u0041\"}"
      ), no_run, "" },
    { "two high surrogates", text("{\"status\":\"\\ud800\\ud800\\udc00\"}"),
      no_run, "" },
    { "lone low surrogate", text("{\"status\":\"a\\udc00b\"}"), no_run, "" },
    { "surrogate in a name", text("{\"status\\ud800\":\"a\"}"), no_run, "" },
    { "surrogate before a name", text("{\"\\udc00status\":\"a\"}"),
      no_run, "" },
    { "control character", text("{\"status\":\"a\nb\"}"), no_run, "" },
    { "control character in a name", text("{\"\x01status\":\"a\"}"),
      no_run, "" },
    { "empty status", text("{\"status\":\"\"}"), no_run, "" },
    { "status is null", text("{\"status\":null}"), no_run, "" },
    { "status is a number", text("{\"status\":1}"), no_run, "" },
    { "status is an object", text("{\"status\":{\"status\":\"a\"}}"),
      no_run, "" },
    { "status is an array", text("{\"status\":[\"a\"]}"), no_run, "" },
    { "run is empty", text("{\"runId\":\"\"}"), bad_run, "" },
    { "run is null", text("{\"runId\":null}"), bad_run, "" },
    { "run is a number", text("{\"runId\":1}"), bad_run, "" },
    { "run is an array", text("{\"runId\":[\"" RUN "\"]}"), bad_run, "" },
    { "run is too short", text("{\"runId\":\"f47ac10b-58cc-4372-a567-"
      "0e02b2c3d47\"}"), bad_run, "" },
    { "run is too long", text("{\"runId\":\"" RUN "0\"}"), bad_run, "" },
    { "run is much too long", text("{\"runId\":\"" RUN RUN "\"}"),
      bad_run, "" },
    { "run with a surrogate", text("{\"runId\":\"" RUN "\\ud800\"}"),
      bad_run, "" },
    { "run in braces", text("{\"runId\":\"{" RUN "}\"}"), bad_run, "" },

    /* repeated members */

    { "last status", text("{\"status\":\"a\",\"status\":\"bc\"}"),
      no_run, "bc" },
    { "last status is shorter", text("{\"status\":\"abc\",\"status\":\"d\"}"),
      no_run, "d" },
    { "last status is escaped", text("{\"status\":\"a\",\"statu\\u0073\":"
      "\"b\"}"), no_run, "b" },
    { "last status is a number", text("{\"status\":\"a\",\"status\":1}"),
      no_run, "" },
    { "last status is an object", text("{\"status\":\"a\",\"status\":{}}"),
      no_run, "" },
    { "last status is empty", text("{\"status\":\"a\",\"status\":\"\"}"),
      no_run, "" },
    { "last status is too long", text("{\"status\":\"a\",\"status\":\"" S64 S8
      "\"}"), no_run, "" },
    { "a status after one of no use", text("{\"status\":\"" S64 S8 "\","
      "\"status\":\"a\"}"), no_run, "a" },
    { "last run", text("{\"runId\":\"" OTHER_RUN "\",\"runId\":\"" RUN "\"}"),
      good_run, "" },
    { "last run is null", text("{\"runId\":\"" RUN "\",\"runId\":null}"),
      bad_run, "" },
    { "last run is no UUID", text("{\"runId\":\"" RUN "\",\"runId\":\"a\"}"),
      bad_run, "" },
    { "a run after one of no use", text("{\"runId\":[],\"runId\":\"" RUN
      "\"}"), good_run, "" },

    /* not one whole object */

    { "nothing", text(""), not, "" },
    { "white space alone", text(" \n"), not, "" },
    { "array", text("[{\"status\":\"a\"}]"), not, "" },
    { "string", text("\"status\""), not, "" },
    { "null", text("null"), not, "" },
    { "number", text("1"), not, "" },
    { "byte order mark", text("\xef\xbb\xbf{}"), not, "" },
    { "text before", text("x{}"), not, "" },
    { "text after", text("{} x"), not, "" },
    { "two objects", text("{}{}"), not, "" },
    { "bracket after", text("{}}"), not, "" },
    { "NUL after", text("{}\0"), not, "" },
    { "comma after", text("{},"), not, "" },
    { "open object", text("{"), not, "" },
    { "open name", text("{\"status"), not, "" },
    { "open after the name", text("{\"status\""), not, "" },
    { "open after the colon", text("{\"status\":"), not, "" },
    { "open value", text("{\"status\":\"a"), not, "" },
    { "open escape", text("{\"status\":\"a\\"), not, "" },
    { "open after the value", text("{\"status\":\"a\""), not, "" },
    { "open after the comma", text("{\"status\":\"a\","), not, "" },
    { "open number", text("{\"a\":12"), not, "" },
    { "open array", text("{\"a\":[1,[2]"), not, "" },
    { "open string in an array", text("{\"a\":[\"}]}"), not, "" },
    { "open string by an escape", text("{\"a\":\"b\\\"}"), not, "" },
    { "object that is closed too often", text("{\"a\":{}}}"), not, "" },
    { "comma at the start", text("{,\"a\":1}"), not, "" },
    { "comma at the end", text("{\"a\":1,}"), not, "" },
    { "two commas", text("{\"a\":1,,\"b\":1}"), not, "" },
    { "no comma", text("{\"a\":1 \"b\":1}"), not, "" },
    { "no comma after a string", text("{\"a\":\"b\"\"c\":1}"), not, "" },
    { "no colon", text("{\"a\" 1}"), not, "" },
    { "two colons", text("{\"a\"::1}"), not, "" },
    { "colon after a value", text("{\"a\":1:2}"), not, "" },
    { "no value", text("{\"a\":}"), not, "" },
    { "no value, comma", text("{\"a\":,\"b\":1}"), not, "" },
    { "no name", text("{1:2}"), not, "" },
    { "two values", text("{\"a\":1 2}"), not, "" },
    { "two strings", text("{\"a\":\"b\" \"c\"}"), not, "" },
    { "string after a number", text("{\"a\":1\"b\"}"), not, "" },
    { "array after a number", text("{\"a\":1[]}"), not, "" },
    { "array is closed alone", text("{\"a\":1]}"), not, "" },
    { "array closes the object", text("{\"a\":1]"), not, "" },
    { "value of no kind", text("{\"a\":'b'}"), not, "" },
    { "value is a NUL byte", text("{\"a\":\0}"), not, "" },
    { "NUL byte in the object", text("{\0}"), not, "" },
    { "broken escape in a name", text("{\"statu\\x\":1}"), not, "" },
    { "broken escape in a status", text("{\"status\":\"\\a\"}"), not, "" },
    { "NUL byte as an escape", text("{\"status\":\"\\\0\"}"), not, "" },
    { "three digits", text("{\"status\":\"\\u004\"}"), not, "" },
    { "no digit", text("{\"status\":\"\\u00g0\"}"), not, "" }
};


static int
same(const phrony_answer_t *a, const phrony_answer_t *b)
{
    if (!phrony_answer_done(a) || !phrony_answer_done(b)) {
        return phrony_answer_done(a) == phrony_answer_done(b);
    }

    return a->run_seen == b->run_seen
           && a->has_run == b->has_run
           && (!a->has_run || phrony_uuid_eq(&a->run_id, &b->run_id))
           && a->status_len == b->status_len
           && memcmp(a->status, b->status, a->status_len) == 0;
}


/* The pieces are copies: a sanitizer sees who reads beyond their end. */

static void
read_piece(phrony_answer_t *answer, const char *data, size_t len)
{
    unsigned char  *piece;

    piece = malloc(len ? len : 1);

    if (piece == NULL) {
        abort();
    }

    memcpy(piece, data, len);
    phrony_answer_read(answer, piece, len);
    free(piece);
}


static void
read_in_two(phrony_answer_t *answer, const char *data, size_t len,
    size_t split)
{
    phrony_answer_init(answer);

    read_piece(answer, data, split);
    read_piece(answer, data + split, len - split);
}


static void
read_bytes(phrony_answer_t *answer, const char *data, size_t len)
{
    size_t  i;

    phrony_answer_init(answer);

    for (i = 0; i < len; i++) {
        phrony_answer_read(answer, NULL, 0);
        read_piece(answer, data + i, 1);
    }
}


static void
test_answer(const answer_t *wanted)
{
    int              bad;
    size_t           i;
    phrony_str_t     run;
    phrony_uuid_t    id;
    phrony_answer_t  whole, pieces;

    read_in_two(&whole, wanted->data, wanted->len, 0);

    run = str(RUN);
    phrony_uuid_parse(&run, &id);

    if (wanted->run == not) {
        ok(!phrony_answer_done(&whole), "%s: not one object", wanted->name);

    } else {
        ok(phrony_answer_done(&whole)
           && whole.run_seen == (wanted->run != no_run)
           && whole.has_run == (wanted->run == good_run)
           && (!whole.has_run || phrony_uuid_eq(&whole.run_id, &id)),
           "%s: run", wanted->name);
        is_str(whole.status, whole.status_len, wanted->status, wanted->name);
    }

    bad = 0;

    for (i = 0; i <= wanted->len; i++) {
        read_in_two(&pieces, wanted->data, wanted->len, i);
        bad += !same(&whole, &pieces);
    }

    read_bytes(&pieces, wanted->data, wanted->len);
    bad += !same(&whole, &pieces);

    ok(bad == 0, "%s: in pieces", wanted->name);
}


/* Every beginning of a whole answer is not one. */

static void
test_beginnings(void)
{
    int              bad;
    size_t           i;
    phrony_answer_t  answer;

    static const char  data[] = "{\"runId\" : \"" RUN "\", \"a\":[1,\"b\"], "
                                "\"b\":12, \"status\":\"a\\u0062c\" }";

    bad = 0;

    for (i = 0; i < sizeof(data) - 1; i++) {
        read_in_two(&answer, data, i, i / 2);
        bad += phrony_answer_done(&answer);
    }

    ok(bad == 0, "no beginning is an answer");

    read_in_two(&answer, data, i, i / 2);
    ok(phrony_answer_done(&answer), "the whole is");
}


static void
test_status_in(void)
{
    phrony_answer_t  answer;
    phrony_str_t     names[] = {
        phrony_str("Completed"), phrony_str(""), phrony_str("TimedOut")
    };

    read_in_two(&answer, text("{\"status\":\"Completed\"}"), 0);
    ok(phrony_answer_status_in(&answer, names, 3), "first of the names");
    ok(!phrony_answer_status_in(&answer, names, 0), "no names");
    ok(!phrony_answer_status_in(&answer, names + 1, 2), "none of the names");

    read_in_two(&answer, text("{\"status\":\"tIMEDoUT\"}"), 0);
    ok(phrony_answer_status_in(&answer, names, 3), "last, without case");
    ok(!phrony_answer_status_in(&answer, names, 2), "not among the first");

    read_in_two(&answer, text("{\"status\":\"\"}"), 0);
    ok(!phrony_answer_status_in(&answer, names, 3), "no status is no name");

    read_in_two(&answer, text("{\"status\":\"Complete\"}"), 0);
    ok(!phrony_answer_status_in(&answer, names, 3), "a name's beginning");

    read_in_two(&answer, text("{\"status\":\"Completed\\u0000\"}"), 0);
    ok(!phrony_answer_status_in(&answer, names, 3), "a name and NUL");

    read_in_two(&answer, text("{\"status\":\"Comp\\nleted\"}"), 0);
    ok(!phrony_answer_status_in(&answer, names, 3), "another length");
}


/* What the parser found, whose last value counts as well. */

static int
agrees(const phrony_answer_t *answer, const json_t *root)
{
    size_t         len;
    phrony_str_t   text;
    phrony_uuid_t  id;
    const json_t  *run, *status;

    if (!json_is_object(root) || !phrony_answer_done(answer)) {
        return json_is_object(root) == phrony_answer_done(answer);
    }

    run = json_object_get(root, "runId");

    if (answer->run_seen != (run != NULL)) {
        return 0;
    }

    text.data = (unsigned char *) json_string_value(run);
    text.len = json_string_length(run);

    if (text.data == NULL || phrony_uuid_parse(&text, &id) != 0) {
        if (answer->has_run) {
            return 0;
        }

    } else if (!answer->has_run || !phrony_uuid_eq(&id, &answer->run_id)) {
        return 0;
    }

    status = json_object_get(root, "status");
    len = json_string_length(status);

    if (len == 0 || len > PHRONY_ANSWER_STATUS_MAX) {
        return answer->status_len == 0;
    }

    return answer->status_len == len
           && memcmp(answer->status, json_string_value(status), len) == 0;
}


static void
random_answer(random_json_t *json)
{
    unsigned  i, n;

    static const char  *names[] = {
        "\"status\"", "\"runId\"", "\"\\u0073tatus\"", "\"run\\u0049d\"",
        "\"output\"", "\"a\\\\\"", "\"\\\"\"", "\"Status\"", "\"\"",
        "\"runId\\u0041\"", "\"status\xc3\xa9\"", "\"\\ud83d\\ude00status\""
    };
    static const char  *values[] = {
        "\"" RUN "\"", "\"" OTHER_RUN "\"", "\"Completed\"",
        "\"f47ac10b-58cc-4372-a567-0e02b2c3\\u00644\\u00379\"",
        "\"Comple\\u0074ed\"", "\"\\ud83d\\ude00\"", "null", "[]"
    };

    json->len = 0;

    random_json_space(json);
    random_json_put(json, "{");
    n = random_json(json, 8);

    for (i = 0; i < n; i++) {
        random_json_put(json, i ? "," : "");
        random_json_space(json);
        random_json_put(json, random_json_pick(json, names));
        random_json_space(json);
        random_json_put(json, ":");
        random_json_space(json);

        if (random_json(json, 2)) {
            random_json_put(json, random_json_pick(json, values));

        } else {
            random_json_value(json, 2);
        }

        random_json_space(json);
    }

    random_json_put(json, "}");
    random_json_space(json);
}


static void
test_random(int mutate)
{
    int              i, bad, parsed;
    json_t          *root;
    random_json_t    json;
    phrony_answer_t  whole, pieces;

    json.seed = 815;
    json.exotic = 0;
    bad = 0;
    parsed = 0;

    for (i = 0; i < ROUNDS; i++) {
        random_answer(&json);

        if (mutate) {
            random_json_mutate(&json);
        }

        read_in_two(&whole, json.data, json.len, 0);

        read_in_two(&pieces, json.data, json.len,
                    random_json(&json, (unsigned) json.len + 1));
        bad += !same(&whole, &pieces);

        read_bytes(&pieces, json.data, json.len);
        bad += !same(&whole, &pieces);

        /* the parser skips a NUL that follows a number or a word */

        if (memchr(json.data, '\0', json.len)) {
            continue;
        }

        root = json_loadb(json.data, json.len,
                          JSON_ALLOW_NUL|JSON_DECODE_ANY, NULL);

        if (root == NULL) {
            continue;
        }

        parsed++;

        if (!agrees(&whole, root)) {
            bad++;
            printf("# differs: %s\n", show(json.data, json.len));
        }

        json_decref(root);
    }

    ok(bad == 0 && (mutate ? parsed > ROUNDS / 20 : parsed == ROUNDS),
       "%d random %s say what the parser says", parsed,
       mutate ? "mutants" : "answers");
}


/* Escapes, quotes and brackets at each place of what is read at once. */

static void
test_places(const char *part, int valid)
{
    int              bad;
    char             data[512];
    size_t           i, len;
    phrony_answer_t  whole, pieces;

    bad = 0;

    for (i = 0; i < 140; i++) {
        len = (size_t) sprintf(data, "{\"output\":[%*s%s,\"%0100d\"],"
                               "\"status\":\"S\"}", (int) i, "", part, 0);

        read_in_two(&whole, data, len, 0);
        bad += valid && (!phrony_answer_done(&whole)
                         || whole.status_len != 1);

        read_in_two(&pieces, data, len, 20 + i);
        bad += !same(&whole, &pieces);

        read_bytes(&pieces, data, len);
        bad += !same(&whole, &pieces);
    }

    ok(bad == 0, "%s at each place", part);
}


/* An output of some megabytes before the status. */

static void
test_large(const char *name, const char *part)
{
    char             *data, *p;
    size_t            i, len, n;
    phrony_answer_t   whole, pieces;

    len = strlen(part);
    n = 3000000 / len;
    data = malloc(n * len + 100);

    if (data == NULL) {
        abort();
    }

    p = data + sprintf(data, "{\"output\":[");

    for (i = 0; i < n; i++) {
        memcpy(p, part, len);
        p += len;
    }

    p += sprintf(p, "0],\"status\":\"Completed\"}");
    len = (size_t) (p - data);

    read_in_two(&whole, data, len, 0);

    ok(phrony_answer_done(&whole), "%s: whole", name);
    is_str(whole.status, whole.status_len, "Completed", name);

    phrony_answer_init(&pieces);

    for (i = 0; i < len; i += 4096) {
        read_piece(&pieces, data + i, len - i < 4096 ? len - i : 4096);
    }

    ok(same(&whole, &pieces), "%s: in pieces of a page", name);

    free(data);
}


int
main(void)
{
    size_t  i;

    for (i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        test_answer(&answers[i]);
    }

    test_beginnings();
    test_status_in();
    test_random(0);
    test_random(1);

    test_places("\"\\\"]\"", 1);
    test_places("\"\\\\\"", 1);
    test_places("\"\\\\\\\"}]\",\"\\\\\\\\\"", 1);
    test_places("\"{[\",[{\"y]\":[]}],\"]\"", 1);
    test_places("\"\",[[]],\"[\\u005d\",{}", 1);
    test_places("\\\"]\"", 0);
    test_places("\"\"\\\\\"[\\\"\"", 0);
    test_places("y_Y]", 0);
    test_places("]", 0);

    test_large("strings", "\"a \\\"text\\\" of {some} \\u0061length\\\\\",");
    test_large("numbers", "1,-2.5,[3],");
    test_large("brackets", "[[{},[]],[[[[]]]]],");
    test_large("objects", "{\"status\":\"Failed\",\"n\":[1,2,{\"a\":0}]},");

    ok(sizeof(phrony_answer_t) <= 256, "a scanner takes %d bytes",
       (int) sizeof(phrony_answer_t));

    return done();
}
