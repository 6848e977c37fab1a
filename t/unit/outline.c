
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "phrony_outline.h"
#include "test.h"


#define TRACE_SIZE  256


/*
 * What is told is written down: "<" and ">" for the bounds of a value, "=" and
 * the text of a whole one, "-" if it is none; each after the member's name.
 * "}" is the end of the object, "." one whole object at the end of it all.
 */

typedef struct {
    const char  *data;
    const char  *trace;
} vector_t;


static const phrony_outline_name_t  names[] = {
    { phrony_str("kind"), PHRONY_OUTLINE_WHOLE },
    { phrony_str("data"), PHRONY_OUTLINE_BOUNDS },
    { phrony_str("subject"), PHRONY_OUTLINE_WHOLE },
    { phrony_str("enter"), PHRONY_OUTLINE_ENTER }
};


static const phrony_outline_name_t  inner[] = {
    { phrony_str("id"), PHRONY_OUTLINE_WHOLE },
    { phrony_str("list"), PHRONY_OUTLINE_BOUNDS }
};


static const vector_t  vectors[] = {
    { "", "" },
    { " {}", "}." },
    { "{} \n", "}." },
    { "{\"a\":1}", "}." },
    { "{\"kind\":\"run\"}", "kind=run }." },
    { "{\"kind\":\"\"}", "kind= }." },
    { "{\"kind\":12, \"subject\" : [\"a\"]}", "kind- subject- }." },
    { "{\"kind\":{\"kind\":\"a\"} }", "kind- }." },
    { "{\"ki\\u006ed\":\"r\\u0075n\",\"Kind\":\"a\"}", "kind=run }." },
    { "{\"kind\":\"a\nb\",\"subject\":\"12345678\x1f\"}",
      "kind= subject= }." },
    { "{\"kind\":\"a\xc3\xa9\xff\x7f 12345678\"}",
      "kind=a\xc3\xa9\xff\x7f 12345678 }." },
    { "{\"kind\":\"\\ud800\"}", "kind= }." },
    { "{\"data\":12}", "data< data> }." },
    { "{\"data\" : \"a\\\"b\" , \"kind\":null}", "data< data> kind- }." },
    { "{\"data\":{\"kind\":\"a\",\"data\":[]},\"subject\":\"b\"}",
      "data< data> subject=b }." },
    { "{\"data\":[],\"data\":0}", "data< data> data< data> }." },
    { "{\"a\":{},\"data\":\"\",\"b\":[1,{\"data\":2}]}", "data< data> }." },
    { "{\"data\":}", "" },
    { "{\"data\":1 2}", "data< data> " },
    { "{\"data\":1", "data< " },
    { "{\"kind\":\"a\" \"b\"}", "kind=a " },
    { "{\"kind\":\"a", "" },
    { "{\"kind\":\"\\x\"}", "" },
    { "{} {}", "}" },
    { "[\"kind\"]", "" },

    /* members that nobody looks for, in rows, as most writers put them */

    { "{\"a\":\"b\",\"c\":-1.5e+3,\"\":null,\"d\":[{\"kind\":1}],\"e\":{},"
      "\"kind\":\"run\",\"f\":\"g\"}", "kind=run }." },
    { "{\"a\": \"b\", \"c\": 1, \"d\": [], \"kind\": \"run\", \"e\": 2}",
      "kind=run }." },
    { "{\"a\":\n\"b\",\n\t\"c\":  1,  \"kind\":\t\"run\" ,\"d\" :1\n}",
      "kind=run }." },
    { "{\"a\":0,\"b\":\"\\\\\",\"c\":\"\\\",\\\"kind\\\":\\\"no\\\"\","
      "\"\\u0061\":1,\"k\\u0069nd\":\"run\"}", "kind=run }." },
    { "{\"a\":0,\"king\":1,\"kin\":2,\"kinds\":3,\"sudject\":\"4\"}", "}." },
    { "{\"a\":0,\"data\": [1], \"subject\": \"b\",\"enter\": {\"a\": 1}}",
      "data< data> subject=b enter< enter> }." },
    { "{\"a\":0,\"enter\":{\"a\":\"b\", \"id\": \"c\",\"kind\":\"d\"},"
      "\"id\":\"e\",\"kind\":\"f\"}", "enter< id=c enter> kind=f }." },
    { "{\"a\":0,\"b\":,\"kind\":1}", "" },
    { "{\"a\":0,\"b\": ?,\"kind\":1}", "" },
    { "{\"a\":0,\"b\":],\"kind\":1}", "" },
    { "{\"a\":0,\"b\":\"c\"\"kind\":1}", "" },
    { "{\"a\":0,\"b\":1 2,\"kind\":1}", "" },
    { "{\"a\":0,\"b\"1,\"kind\":1}", "" },
    { "{\"a\":0,\"b\\\":1,\"kind\":1}", "" },
    { "{\"a\":0,,\"kind\":1}", "" },
    { "{\"a\":0,b\"kind\":1}", "" },
    { "{\"a\":0,}", "" },
    { "{\"a\":0,\"b\":1", "" },
    { "{\"a\":0,\"b\":\"c", "" },
    { "{\"a\":0,\"b\":[\"}\"", "" },

    { "{\"enter\":{}}", "enter< enter> }." },
    { "{\"enter\" : { \"id\" : \"a\" } , \"kind\":\"b\"}",
      "enter< id=a enter> kind=b }." },
    { "{\"enter\":{\"kind\":\"a\",\"enter\":{\"id\":1}},\"id\":2}",
      "enter< enter> }." },
    { "{\"enter\":{\"list\":[{\"id\":1}],\"\\u0069d\":\"\\u0061\"}}",
      "enter< list< list> id=a enter> }." },
    { "{\"data\":{\"id\":1},\"enter\":{\"id\":{}},\"enter\":{\"id\":2}}",
      "data< data> enter< id- enter> enter< id- enter> }." },
    { "{\"enter\":[{\"id\":1}],\"enter\":\"{\",\"enter\":null}",
      "enter< enter> enter< enter> enter< enter> }." },
    { "{\"enter\":{\"a\":\"\\\"}\",\"b\":{},\"c\":-1}}", "enter< enter> }." },
    { "{\"enter\":{\"id\":\"a\"]}", "enter< id=a " },
    { "{\"enter\":{\"id\":\"a\",}}", "enter< id=a " },
    { "{\"enter\":{\"id\":\"a\"}", "enter< id=a enter> " },
    { "{\"enter\":{}}}", "enter< enter> }" }
};


static void
trace_event(char *trace, const phrony_outline_t *outline,
    phrony_outline_event_t event, const phrony_str_t *text)
{
    char  *p;

    p = trace + strlen(trace);

    if (event == PHRONY_OUTLINE_ON_CLOSE) {
        strcpy(p, "}");
        return;
    }

    p += sprintf(p, "%s", (char *) outline->member->name.data);

    if (event == PHRONY_OUTLINE_ON_VALUE) {
        strcpy(p, "< ");
        return;
    }

    if (outline->member->want != PHRONY_OUTLINE_WHOLE) {
        strcpy(p, text->data ? "? " : "> ");
        return;
    }

    sprintf(p, "%s%.*s ", text->data ? "=" : "-", (int) text->len,
            text->data ? (char *) text->data : "");
}


/* The pieces are copies: a sanitizer sees who reads beyond their end. */

static void
read_piece(phrony_outline_t *outline, const char *data, size_t len,
    char *trace)
{
    phrony_str_t             in, text;
    unsigned char           *piece;
    phrony_outline_event_t   event;

    piece = malloc(len ? len : 1);

    if (piece == NULL) {
        abort();
    }

    memcpy(piece, data, len);
    in.data = piece;
    in.len = len;

    for ( ;; ) {
        event = phrony_outline_next(outline, &in, &text);

        if (event == PHRONY_OUTLINE_ON_MORE) {
            break;
        }

        trace_event(trace, outline, event, &text);
    }

    if (in.len) {
        strcat(trace, "!");
    }

    free(piece);
}


static void
read_in_three(const char *data, size_t first, size_t second, char *trace)
{
    phrony_outline_t  outline;

    trace[0] = '\0';

    phrony_outline_init(&outline, names, sizeof(names) / sizeof(names[0]));
    phrony_outline_inner(&outline, inner, sizeof(inner) / sizeof(inner[0]));

    read_piece(&outline, data, first, trace);
    read_piece(&outline, data + first, second - first, trace);
    read_piece(&outline, data + second, strlen(data + second), trace);

    if (phrony_outline_done(&outline)) {
        strcat(trace, ".");
    }
}


static void
test_vector(const vector_t *vector)
{
    int     bad;
    char    trace[TRACE_SIZE];
    size_t  i, k, len;

    read_in_three(vector->data, 0, 0, trace);
    is_str(trace, strlen(trace), vector->trace, vector->data);

    bad = 0;
    len = strlen(vector->data);

    for (i = 0; i <= len; i++) {
        for (k = i; k <= len; k++) {
            read_in_three(vector->data, i, k, trace);
            bad += strcmp(trace, vector->trace) != 0;
        }
    }

    ok(bad == 0, "in pieces");
}


/* Where a string is open, told at each byte of a text. */

static void
test_in_string(void)
{
    char              trace[TRACE_SIZE], got[64];
    size_t            i;
    phrony_outline_t  outline;

    static const char  data[] = "{\"a\":\"b\",\"kind\":\"c\",\"d\":"
                                "[\"e\\\"f\",1],\"enter\":{\"g\":2}}";

    trace[0] = '\0';
    phrony_outline_init(&outline, names, sizeof(names) / sizeof(names[0]));

    for (i = 0; i < sizeof(data) - 1; i++) {
        read_piece(&outline, data + i, 1, trace);
        got[i] = phrony_outline_in_string(&outline) ? '+' : '.';
    }

    is_str(got, i, ".++..++..+++++..++..++.."
                   ".+++++.....++++++...++.....", "in a string");
}


/* Each byte of a text is looked at, wherever it stands. */

static void
test_controls(void)
{
    char      data[64], trace[TRACE_SIZE];
    size_t    len, at;
    unsigned  ch, wrong;

    wrong = 0;

    for (len = 1; len < 20; len++) {
        for (at = 0; at < len; at++) {
            for (ch = 1; ch < 256; ch++) {

                if (ch == '"' || ch == '\\') {
                    continue;
                }

                sprintf(data, "{\"kind\":\"%.*s\"}", (int) len,
                        "\x7f\xff\x20\x80" "cdefgh!jklmnopqrst");
                data[9 + at] = (char) ch;

                read_in_three(data, 0, 0, trace);
                wrong += (strcmp(trace, "kind= }.") == 0) != (ch < 0x20);
            }
        }
    }

    is_int(wrong, 0, "control characters");
}


int
main(void)
{
    size_t  i;

    for (i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        test_vector(&vectors[i]);
    }

    test_in_string();
    test_controls();

    return done();
}
