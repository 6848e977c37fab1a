
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include <jansson.h>

#include "phrony_rewrite.h"
#include "random_json.h"
#include "rewrite_model.h"
#include "test.h"


#define ROUNDS       4000

#define text(bytes)  bytes, sizeof(bytes) - 1

#define MEMBER       "\"duplicateDelivery\":true"

#define S8           "abcdefgh"
#define S64          S8 S8 S8 S8 S8 S8 S8 S8


typedef enum {
    blank = PHRONY_REWRITE_UNKNOWN,
    object = PHRONY_REWRITE_OBJECT,
    other = PHRONY_REWRITE_OTHER,
    broken                              /* began as an object */
} kind_t;


typedef struct {
    const char  *name;
    const char  *data;
    size_t       len;
    kind_t       kind;
    const char  *out;       /* NULL: as it came */
    size_t       out_len;
} vector_t;


typedef struct {
    phrony_rewrite_t  rewrite;
    int               segments;     /* of the last piece */
    int               empty;        /* segments without a byte */
    size_t            len;
    size_t            room;
    char             *data;
} result_t;


static const vector_t  vectors[] = {

    /* put in */

    { "empty", text("{}"), object, text("{" MEMBER "}") },
    { "spaces", text(" {\n \t}\r\n"), object, text(" {\n \t" MEMBER "}\r\n") },
    { "one", text("{\"a\":1}"), object, text("{\"a\":1," MEMBER "}") },
    { "spaces before the brace", text("{\"a\":[] \n}\n"), object,
      text("{\"a\":[] \n," MEMBER "}\n") },
    { "last is a string", text("{\"a\":\"}\"}"), object,
      text("{\"a\":\"}\"," MEMBER "}") },
    { "last is an object", text("{\"a\":{\"b\":{}}}"), object,
      text("{\"a\":{\"b\":{}}," MEMBER "}") },
    { "nested member", text("{\"a\":{" MEMBER "},\"b\":[{" MEMBER "}]}"),
      object, text("{\"a\":{" MEMBER "},\"b\":[{" MEMBER "}]," MEMBER "}") },
    { "member as a value", text("{\"a\":\"duplicateDelivery\"}"), object,
      text("{\"a\":\"duplicateDelivery\"," MEMBER "}") },
    { "names that are almost right", text("{\"duplicatedelivery\":1,"
      "\"duplicateDeliver\":2,\"duplicateDeliveryy\":3,\"\":4}"), object,
      text("{\"duplicatedelivery\":1,\"duplicateDeliver\":2,"
      "\"duplicateDeliveryy\":3,\"\":4," MEMBER "}") },
    { "escape that makes another name", text("{\"duplicateDeliver\\u0059\":1,"
      "\"\\nduplicateDelivery\":2}"), object,
      text("{\"duplicateDeliver\\u0059\":1,\"\\nduplicateDelivery\":2," MEMBER
      "}") },
    { "name and NUL", text("{\"duplicateDelivery\\u0000\":1}"), object,
      text("{\"duplicateDelivery\\u0000\":1," MEMBER "}") },
    { "name and half of a pair", text("{\"duplicateDelivery\\ud800\":1}"),
      object, text("{\"duplicateDelivery\\ud800\":1," MEMBER "}") },
    { "long name", text("{\"duplicateDelivery" S64 "\":\"" S64 "\"}"), object,
      text("{\"duplicateDelivery" S64 "\":\"" S64 "\"," MEMBER "}") },
    { "numbers stay", text("{\"n\":1234567890123456789012345678901234567890,"
      "\"m\":-0.10e+007}"), object,
      text("{\"n\":1234567890123456789012345678901234567890,"
      "\"m\":-0.10e+007," MEMBER "}") },
    { "escapes stay", text("{\"\\u0061\":\"\\u00e9\\/\xc3\xa9\\\"\"}"),
      object, text("{\"\\u0061\":\"\\u00e9\\/\xc3\xa9\\\"\"," MEMBER "}") },

    /* replaced */

    { "false", text("{\"duplicateDelivery\":false}"), object,
      text("{" MEMBER "}") },
    { "true", text("{" MEMBER "}"), object, text("{" MEMBER "}") },
    { "null between", text("{\"a\":1,\"duplicateDelivery\":null,\"b\":2}"),
      object, text("{\"a\":1," MEMBER ",\"b\":2}") },
    { "string", text("{\"duplicateDelivery\":\"}\\\",\\\\\",\"b\":2}"),
      object, text("{" MEMBER ",\"b\":2}") },
    { "empty string", text("{\"duplicateDelivery\":\"\"}"), object,
      text("{" MEMBER "}") },
    { "number", text("{\"duplicateDelivery\":-1234567890123456789012.5e-7 }"),
      object, text("{" MEMBER " }") },
    { "object", text("{\"duplicateDelivery\":{\"duplicateDelivery\":[1,\"}\"]"
      "},\"b\":2}"), object, text("{" MEMBER ",\"b\":2}") },
    { "array", text("{\"duplicateDelivery\":[[\"]\\\"]\"],{}]}"), object,
      text("{" MEMBER "}") },
    { "spaces around it", text("{\t\"duplicateDelivery\"\n :\r  0 \n , \"b\" "
      ": 1 }\n "), object, text("{\t\"duplicateDelivery\"\n :\r  true \n , "
      "\"b\" : 1 }\n ") },
    { "escaped name", text("{\"duplicate\\u0044elivery\":0}"), object,
      text("{\"duplicate\\u0044elivery\":true}") },
    { "all escaped", text("{\"\\u0064\\u0075\\u0070\\u006c\\u0069\\u0063\\u006"
      "1\\u0074\\u0065\\u0044\\u0065\\u006C\\u0069\\u0076\\u0065\\u0072\\u0079"
      "\":0}"), object, text("{\"\\u0064\\u0075\\u0070\\u006c\\u0069\\u0063"
      "\\u0061\\u0074\\u0065\\u0044\\u0065\\u006C\\u0069\\u0076\\u0065\\u0072"
      "\\u0079\":true}") },
    { "repeated", text("{\"duplicateDelivery\":0,\"a\":[],\"duplicateDelivery"
      "\":{},\"duplicateDeliver\\u0079\":\"\"}"), object, text("{" MEMBER
      ",\"a\":[]," MEMBER ",\"duplicateDeliver\\u0079\":true}") },

    /* no object */

    { "nothing", text(""), blank, NULL, 0 },
    { "white space", text(" \r\n\t"), blank, NULL, 0 },
    { "array", text("[{\"duplicateDelivery\":0}]"), other, NULL, 0 },
    { "string", text("\"{\\\"a\\\":1}\""), other, NULL, 0 },
    { "null", text(" null "), other, NULL, 0 },
    { "text", text("Bad gateway {}"), other, NULL, 0 },
    { "byte order mark", text("\xef\xbb\xbf{\"a\":1}"), other, NULL, 0 },
    { "NUL", text("\0{}"), other, NULL, 0 },
    { "brace", text("}"), other, NULL, 0 },

    /* an object that is broken */

    { "open", text("{"), broken, NULL, 0 },
    { "open name", text("{\"duplicateDelivery"), broken, NULL, 0 },
    { "no value yet", text("{\"duplicateDelivery\": "), broken, NULL, 0 },
    { "open value", text("{\"a\":[1,{}"), broken, NULL, 0 },
    { "open number", text("{\"a\":12"), broken, NULL, 0 },
    { "open replaced string", text("{\"duplicateDelivery\":\"ab\\"), broken,
      text("{" MEMBER) },
    { "open replaced object", text("{\"duplicateDelivery\":{\"a\":1"), broken,
      text("{" MEMBER) },
    { "open replaced number", text("{\"duplicateDelivery\":1"), broken,
      text("{" MEMBER) },
    { "no value", text("{\"duplicateDelivery\":}"), broken, NULL, 0 },
    { "no value, comma", text("{\"duplicateDelivery\":,\"a\":1}"), broken,
      NULL, 0 },
    { "value of no kind", text("{\"duplicateDelivery\":'a'}"), broken,
      NULL, 0 },
    { "comma at the end", text("{\"a\":1,}"), broken, NULL, 0 },
    { "comma at the start", text("{,\"a\":1}"), broken, NULL, 0 },
    { "no name", text("{1:2}"), broken, NULL, 0 },
    { "broken escape in a name", text("{\"\\x\":1,\"duplicateDelivery\":0}"),
      broken, NULL, 0 },
    { "broken before it", text("{\"a\":1 2,\"duplicateDelivery\":0}"), broken,
      NULL, 0 },
    { "broken behind it", text("{\"duplicateDelivery\":0 1,"
      "\"duplicateDelivery\":0}"), broken,
      text("{" MEMBER " 1,\"duplicateDelivery\":0}") },
    { "bracket for a brace", text("{\"a\":1]"), broken, NULL, 0 },
    { "two objects", text("{} {\"duplicateDelivery\":0}"), broken,
      text("{" MEMBER "} {\"duplicateDelivery\":0}") },
    { "text behind", text("{\"a\":1}x"), broken,
      text("{\"a\":1," MEMBER "}x") },
    { "brace behind", text("{" MEMBER "}}"), broken,
      text("{" MEMBER "}}") }
};


static void
result_init(result_t *result, size_t len)
{
    phrony_rewrite_init(&result->rewrite);

    result->empty = 0;
    result->segments = 0;
    result->len = 0;
    result->room = 2 * len + MODEL_ROOM;
    result->data = malloc(result->room);

    if (result->data == NULL) {
        abort();
    }
}


/* The pieces are copies: a sanitizer sees who reads beyond their end. */

static void
rewrite_piece(result_t *result, const char *data, size_t len)
{
    phrony_str_t    in, out;
    unsigned char  *piece;

    piece = malloc(len ? len : 1);

    if (piece == NULL) {
        abort();
    }

    memcpy(piece, data, len);
    in.data = piece;
    in.len = len;
    result->segments = 0;

    while (phrony_rewrite_next(&result->rewrite, &in, &out)
           == PHRONY_REWRITE_PIECE)
    {
        result->segments++;
        result->empty += out.len == 0;

        if (out.len > result->room - result->len) {
            abort();
        }

        memcpy(result->data + result->len, out.data, out.len);
        result->len += out.len;
    }

    result->empty += in.len || out.len;

    free(piece);
}


/* Returns 1 if nothing is wrong with a result, and frees it. */

static int
result_is(result_t *result, const char *out, size_t len, kind_t kind)
{
    int  good;

    good = result->len == len && memcmp(result->data, out, len) == 0
           && result->empty == 0
           && phrony_rewrite_done(&result->rewrite) == (kind == object)
           && (kind_t) phrony_rewrite_kind(&result->rewrite)
              == (kind == broken ? object : kind);

    free(result->data);

    return good;
}


static int
rewrite_in_three(const vector_t *vector, const char *out, size_t len,
    size_t first, size_t second)
{
    result_t  result;

    result_init(&result, vector->len);

    rewrite_piece(&result, vector->data, first);
    rewrite_piece(&result, vector->data + first, second - first);
    rewrite_piece(&result, vector->data + second, vector->len - second);

    return result_is(&result, out, len, vector->kind);
}


static int
rewrite_bytes(const char *data, size_t len, const char *out, size_t out_len,
    kind_t kind)
{
    size_t    i;
    result_t  result;

    result_init(&result, len);

    for (i = 0; i < len; i++) {
        rewrite_piece(&result, "", 0);
        rewrite_piece(&result, data + i, 1);
    }

    return result_is(&result, out, out_len, kind);
}


static void
test_vector(const vector_t *vector)
{
    int          bad;
    size_t       i, k, len;
    result_t     result;
    const char  *out;

    out = vector->out ? vector->out : vector->data;
    len = vector->out ? vector->out_len : vector->len;

    result_init(&result, vector->len);
    rewrite_piece(&result, vector->data, vector->len);

    ok(result.len == len && memcmp(result.data, out, len) == 0,
       "%s: %s", vector->name, show(result.data, result.len));
    ok(result_is(&result, out, len, vector->kind), "%s: kind", vector->name);

    bad = 0;

    for (i = 0; i <= vector->len; i++) {
        for (k = i; k <= vector->len; k++) {
            bad += !rewrite_in_three(vector, out, len, i, k);
        }
    }

    bad += !rewrite_bytes(vector->data, vector->len, out, len, vector->kind);

    ok(bad == 0, "%s: in pieces", vector->name);
}


/* Segments are as long as possible; empty pieces have none. */

static void
test_segments(void)
{
    size_t    i;
    result_t  result;
    const struct {
        const char  *data;
        size_t       len;
        int          segments;
    } cases[] = {
        { text("{\"a\":1}"), 2 },
        { text("{\"a\":1} \n"), 3 },
        { text("{\"duplicateDelivery\":0}"), 3 },
        { text("{\"duplicateDelivery\":0,\"a\":{}} \n"), 3 },
        { text("{\"duplicateDelivery\":0,\"duplicateDelivery\":0}"), 5 },
        { text("[1,2,{}]"), 1 },
        { text("{\"a\":1,,\"b\":2}"), 1 },
        { text("{} {}"), 3 },
        { text(" "), 1 },
        { text(""), 0 }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        result_init(&result, cases[i].len);
        rewrite_piece(&result, cases[i].data, cases[i].len);

        ok(result.segments == cases[i].segments, "%s: %d segments",
           cases[i].data, cases[i].segments);

        free(result.data);
    }
}


/* What it is, is known as soon as anything is. */

static void
test_kind(void)
{
    result_t  result;

    result_init(&result, 16);

    is_int(phrony_rewrite_kind(&result.rewrite), blank, "before anything");

    rewrite_piece(&result, " ", 1);
    is_int(phrony_rewrite_kind(&result.rewrite), blank, "white space");

    rewrite_piece(&result, "{", 1);
    is_int(phrony_rewrite_kind(&result.rewrite), object, "a brace");
    is_int(phrony_rewrite_done(&result.rewrite), 0, "is not all");

    rewrite_piece(&result, "}", 1);
    is_int(phrony_rewrite_kind(&result.rewrite), object, "an object");
    is_int(phrony_rewrite_done(&result.rewrite), 1, "is all");

    rewrite_piece(&result, "x", 1);
    is_int(phrony_rewrite_kind(&result.rewrite), object, "and text");
    is_int(phrony_rewrite_done(&result.rewrite), 0, "is broken");

    free(result.data);
}


static void
random_object(random_json_t *json)
{
    unsigned  i, n;

    static const char  *names[] = {
        "\"duplicateDelivery\"", "\"duplicate\\u0044elivery\"",
        "\"\\u0064uplicateDelivery\"", "\"duplicateDeliver\"", "\"status\"",
        "\"duplicateDelivery\\u0041\"", "\"duplicateDelivery\\\"\"", "\"\"",
        "\"duplicateDelivery \"", "\"\xc3\xa9\"", "\"a\\\\\""
    };
    static const char  *values[] = {
        "true", "false", "null", "\"\"", "{}", "[]", "\"\\\"}\"",
        "1234567890123456789012345678901234567890",
        "-0.1234567890123456789012345678901234567890e-5",
        "{\"duplicateDelivery\":false}"
    };

    json->len = 0;

    random_json_space(json);
    random_json_put(json, "{");
    random_json_space(json);
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


static json_t *
parse(const char *data, size_t len)
{
    /* the parser skips a NUL that follows a number or a word */

    if (memchr(data, '\0', len)) {
        return NULL;
    }

    return json_loadb(data, len,
                      JSON_ALLOW_NUL|JSON_DECODE_ANY|JSON_DECODE_INT_AS_REAL,
                      NULL);
}


/*
 * Returns 1 if "out" is what the parser makes of "json" with the member set,
 * 0 if not, -1 if the parser does not take "json".
 */

static int
parsed_is(const random_json_t *json, const char *out, size_t len)
{
    int      same;
    json_t  *before, *after;

    before = parse(json->data, json->len);

    if (before == NULL) {
        return -1;
    }

    after = parse(out, len);

    if (json_is_object(before)) {
        json_object_set_new(before, "duplicateDelivery", json_true());
    }

    same = after && json_equal(before, after);

    json_decref(before);
    json_decref(after);

    return same;
}


/* The same object, in pieces of any size, makes the same bytes. */

static int
random_pieces(random_json_t *json, const model_t *model)
{
    size_t    i, n;
    kind_t    kind;
    result_t  result;
    unsigned  most;

    result_init(&result, json->len);
    most = 1 + random_json(json, 100);

    for (i = 0; i < json->len; i += n) {
        n = 1 + random_json(json, most);
        n = n < json->len - i ? n : json->len - i;
        rewrite_piece(&result, json->data + i, n);
    }

    kind = (kind_t) phrony_rewrite_kind(&result.rewrite);
    kind = (kind == object && !model->done) ? broken : kind;

    return result_is(&result, model->out, model->out_len, kind);
}


static void
test_random(int exotic, int mutate)
{
    int            i, bad, parsed, rc;
    char           out[2 * RANDOM_JSON_SIZE + MODEL_ROOM];
    model_t        model;
    random_json_t  json;

    json.seed = 4711;
    json.exotic = exotic;
    bad = 0;
    parsed = 0;

    for (i = 0; i < ROUNDS; i++) {
        random_object(&json);

        if (mutate) {
            random_json_mutate(&json);
        }

        model_rewrite(&model, json.data, json.len, out);

        rc = parsed_is(&json, model.out, model.out_len);
        parsed += rc != -1;

        if (rc == 0 || !random_pieces(&json, &model)
            || (!mutate && !model.done))
        {
            bad++;
            printf("# differs: %s\n", show(json.data, json.len));
        }
    }

    ok(bad == 0 && (exotic || mutate ? parsed > ROUNDS / 20
                                     : parsed == ROUNDS),
       "random %s%s, %d of them parsed", exotic ? "exotic " : "",
       mutate ? "mutants" : "objects", parsed);
}


/* A value of some megabytes is dropped, whatever it is. */

static void
test_large(const char *name, const char *open, const char *part,
    const char *close)
{
    char      *data, *p;
    size_t     i, n, len;
    result_t   result;

    static const char  head[] = "{\"a\":1,\"duplicateDelivery\": ";
    static const char  out[] = "{\"a\":1,\"duplicateDelivery\": true ,"
                               "\"b\":2}";

    n = 2000000 / strlen(part);
    data = malloc(n * strlen(part) + 100);

    if (data == NULL) {
        abort();
    }

    p = data + sprintf(data, "%s%s", head, open);

    for (i = 0; i < n; i++) {
        memcpy(p, part, strlen(part));
        p += strlen(part);
    }

    p += sprintf(p, "%s ,\"b\":2}", close);
    len = (size_t) (p - data);

    result_init(&result, 0);

    for (i = 0; i < len; i += 4096) {
        rewrite_piece(&result, data + i, len - i < 4096 ? len - i : 4096);
    }

    ok(result_is(&result, out, sizeof(out) - 1, object), "%s", name);

    free(data);
}


int
main(void)
{
    size_t  i;

    for (i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        test_vector(&vectors[i]);
    }

    test_segments();
    test_kind();

    test_random(0, 0);
    test_random(1, 0);
    test_random(0, 1);
    test_random(1, 1);

    test_large("a long string", "\"", "a \\\"text\\\" of {some} length\\\\",
               "\"");
    test_large("a long number", "-", "1234567890", "");
    test_large("a long array", "[", "[[{},[]],\"]\"],", "0]");
    test_large("a long object", "{", "\"duplicateDelivery\":0,", "\"a\":0}");

    ok(sizeof(phrony_rewrite_t) <= 192, "a rewriter takes %d bytes",
       (int) sizeof(phrony_rewrite_t));

    return done();
}
