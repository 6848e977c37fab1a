
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include <jansson.h>

#include "phrony_events.h"
#include "events_model.h"
#include "random_json.h"
#include "test.h"


#define ROUNDS       3000
#define STREAM_SIZE  (3 * RANDOM_JSON_SIZE)

#define RUN          "f47ac10b-58cc-4372-a567-0e02b2c3d479"
#define OTHER_RUN    "00000000-0000-0000-0000-000000000000"

#define S8           "abcdefgh"
#define S48          S8 S8 S8 S8 S8 S8

/* Members of an event that is an end. */

#define KIND         "\"kind\":\"run\""
#define SUBJECT      "\"subject\":\"a.failed\""
#define ID           "\"data\":{\"runId\":\"" RUN "\"}"

/* A whole event with that object, and one with those kind and subject. */

#define event(json)  "data: " json "\n\n"
#define told(kind, subject)                                                   \
    event("{\"kind\":" kind ",\"subject\":" subject "," ID "}")
#define named(data)  event("{" KIND "," SUBJECT ",\"data\":" data "}")

#define END          event("{" KIND "," SUBJECT "," ID "}")

#define text(bytes)  bytes, sizeof(bytes) - 1


typedef enum {
    nothing = 0,
    alive,              /* an event of the run */
    end                 /* its end */
} found_t;


typedef struct {
    const char  *name;
    const char  *data;
    size_t       len;
    found_t      found;
} stream_t;


typedef struct {
    size_t  len;
    char    data[STREAM_SIZE];
} text_t;


static const stream_t  streams[] = {

    /* ends and other events */

    { "run completed", text(told("\"run\"", "\"engine.run.completed\"")),
      end },
    { "run failed", text(told("\"run\"", "\"engine.run.failed\"")), end },
    { "run cancelled", text(told("\"run\"", "\"a.cancelled\"")), end },
    { "run terminated", text(told("\"run\"", "\"a.terminated\"")), end },
    { "session", text(told("\"session\"", "\"a.completed\"")), end },
    { "an end and nothing before it", text(told("\"run\"", "\".failed\"")),
      end },
    { "started", text(told("\"run\"", "\"engine.run.started\"")), alive },
    { "no dot", text(told("\"run\"", "\"failed\"")), alive },
    { "another dot", text(told("\"run\"", "\"a.b-failed\"")), alive },
    { "more after it", text(told("\"run\"", "\"a.failed.b\"")), alive },
    { "more letters", text(told("\"run\"", "\"a.failed \"")), alive },
    { "end in capitals", text(told("\"run\"", "\"a.Failed\"")), alive },
    { "empty subject", text(told("\"run\"", "\"\"")), alive },
    { "step", text(told("\"step\"", "\"a.failed\"")), alive },
    { "kind in capitals", text(told("\"Run\"", "\"a.failed\"")), alive },
    { "longer kind", text(told("\"runs\"", "\"a.failed\"")), alive },
    { "shorter kind", text(told("\"ru\"", "\"a.failed\"")), alive },
    { "kind is a number", text(told("1", "\"a.failed\"")), nothing },
    { "kind is null", text(told("null", "\"a.failed\"")), nothing },
    { "subject is an object", text(told("\"run\"", "{\"a\":\"b.failed\"}")),
      nothing },
    { "no kind", text(event("{" SUBJECT "," ID "}")), nothing },
    { "no subject", text(event("{" KIND "," ID "}")), nothing },
    { "64 bytes", text(told("\"run\"", "\"" S48 "abcdefghi.failed\"")), end },
    { "64 bytes, escaped", text(told("\"run\"",
      "\"" S48 "abcdefghi.faile\\u0064\"")), end },
    { "65 bytes", text(told("\"run\"", "\"" S48 "abcdefghij.failed\"")),
      alive },
    { "65 bytes, escaped", text(told("\"run\"",
      "\"" S48 "abcdefghij.faile\\u0064\"")), alive },

    /* whose event it is */

    { "run_id", text(named("{\"run_id\":\"" RUN "\"}")), end },
    { "id", text(named("{\"id\":\"" RUN "\"}")), end },
    { "in capitals", text(named("{\"id\":\"F47AC10B-58CC-4372-A567-"
      "0E02B2C3D479\"}")), end },
    { "another run", text(named("{\"runId\":\"" OTHER_RUN "\"}")), nothing },
    { "no id", text(named("{}")), nothing },
    { "other names", text(named("{\"runid\":\"" RUN "\",\"ID\":\"" RUN
      "\"}")), nothing },
    { "no data", text(event("{" KIND "," SUBJECT "}")), nothing },
    { "data is a string", text(named("\"" RUN "\"")), nothing },
    { "data is an array", text(named("[{\"id\":\"" RUN "\"}]")), nothing },
    { "id on top", text(event("{" KIND "," SUBJECT ",\"id\":\"" RUN
      "\",\"data\":{}}")), nothing },
    { "id further down", text(named("{\"a\":{\"id\":\"" RUN "\"}}")),
      nothing },
    { "id in data in data", text(named("{\"data\":{\"id\":\"" RUN "\"}}")),
      nothing },
    { "id elsewhere", text(event("{" KIND "," SUBJECT ",\"a\":{\"id\":\"" RUN
      "\"}}")), nothing },
    { "kind and subject in data", text(event("{\"data\":{" KIND "," SUBJECT
      ",\"id\":\"" RUN "\"}}")), nothing },
    { "runId counts first", text(named("{\"runId\":\"" RUN "\",\"run_id\":\""
      OTHER_RUN "\",\"id\":\"" OTHER_RUN "\"}")), end },
    { "another runId counts first", text(named("{\"id\":\"" RUN
      "\",\"run_id\":\"" RUN "\",\"runId\":\"" OTHER_RUN "\"}")), nothing },
    { "run_id counts next", text(named("{\"id\":\"" OTHER_RUN
      "\",\"run_id\":\"" RUN "\"}")), end },
    { "another run_id counts next", text(named("{\"run_id\":\"" OTHER_RUN
      "\",\"id\":\"" RUN "\"}")), nothing },
    { "runId is no UUID", text(named("{\"runId\":\"a\",\"id\":\"" RUN
      "\"}")), nothing },
    { "runId is longer", text(named("{\"runId\":\"" RUN "0\",\"id\":\"" RUN
      "\"}")), nothing },
    { "runId is empty", text(named("{\"runId\":\"\",\"id\":\"" RUN "\"}")),
      nothing },
    { "runId is null", text(named("{\"runId\":null,\"id\":\"" RUN "\"}")),
      end },
    { "runId is an object", text(named("{\"runId\":{},\"id\":\"" RUN
      "\"}")), end },

    /* members in any order, repeated, escaped */

    { "data comes first", text(event("{" ID "," SUBJECT "," KIND "}")), end },
    { "white space", text(event(" { \"kind\" : \"run\" ,\t" SUBJECT
      " , \"data\" : { \"id\" : \"" RUN "\" } } ")), end },
    { "escapes", text(event("{\"\\u006bind\":\"r\\u0075n\",\"subjec\\u0074\""
      ":\"a\\u002efailed\",\"dat\\u0061\":{\"i\\u0064\":\"\\u00664\\u0037"
      "ac10b-58cc-4372-a567-0e02b2c3d479\"}}")), end },
    { "long values", text(event("{\"a\":[{\"b\":\"}\\\"" S48 S48 "\"}],"
      "\"data\":{\"o\":\"" S48 S48 "\\\\\",\"p\":[[],{}],\"id\":\"" RUN
      "\",\"q\":{}}," KIND "," SUBJECT "}")), end },
    { "last kind", text(event("{" KIND "," SUBJECT "," ID ",\"kind\":\"a\"}"
      )), alive },
    { "last kind is null", text(event("{" KIND "," SUBJECT "," ID
      ",\"kind\":null}")), nothing },
    { "last subject", text(event("{" KIND "," SUBJECT "," ID
      ",\"subject\":\"a\"}")), alive },
    { "last data", text(event("{" ID "," KIND "," SUBJECT ",\"data\":{}}")),
      nothing },
    { "last data is null", text(event("{" ID "," KIND "," SUBJECT
      ",\"data\":null}")), nothing },
    { "last data is the run's", text(event("{\"data\":{\"runId\":\"" OTHER_RUN
      "\"},\"data\":{\"id\":\"" RUN "\"}," KIND "," SUBJECT "}")), end },
    { "last id", text(named("{\"id\":\"" OTHER_RUN "\",\"id\":\"" RUN
      "\"}")), end },
    { "last id is another", text(named("{\"id\":\"" RUN "\",\"id\":\""
      OTHER_RUN "\"}")), nothing },
    { "last id is null", text(named("{\"id\":\"" RUN "\",\"id\":null}")),
      nothing },

    /* not one whole object */

    { "array", text(event("[{" KIND "," SUBJECT "," ID "}]")), nothing },
    { "text after", text(event("{" KIND "," SUBJECT "," ID "}x")), nothing },
    { "text before", text(event("x{" KIND "," SUBJECT "," ID "}")),
      nothing },
    { "open", text(event("{" KIND "," SUBJECT "," ID)), nothing },
    { "open data", text(event("{" KIND "," SUBJECT ",\"data\":{\"id\":\"" RUN
      "\"")), nothing },
    { "data closed twice", text(event("{" KIND "," SUBJECT "," ID "}}")),
      nothing },
    { "data closed by a bracket", text(named("{\"id\":\"" RUN "\"]")),
      nothing },
    { "comma in data", text(named("{\"id\":\"" RUN "\",}")), nothing },
    { "broken escape", text(named("{\"id\":\"" RUN "\\x\"}")), nothing },

    /* lines */

    { "nothing", text(""), nothing },
    { "empty lines", text("\n\n\n" END), end },
    { "no space", text("data:{" KIND "," SUBJECT "," ID "}\n\n"), end },
    { "two spaces", text("data:  {" KIND "," SUBJECT "," ID "}\n\n"), end },
    { "a tab", text("data:\t{" KIND "," SUBJECT "," ID "}\n\n"), end },
    { "the end of one line", text("data: {" KIND "," SUBJECT "," ID "}\n"),
      nothing },
    { "no end of a line", text("data: {" KIND "," SUBJECT "," ID "}"),
      nothing },
    { "blank that is not empty", text("data: {" KIND "," SUBJECT "," ID
      "}\n \n"), nothing },
    { "other fields", text("event: a\nid: 1\ndata: {" KIND "," SUBJECT "," ID
      "}\nretry: 1\n: a\n:\nb\ndatas: {\ndata : {\n\n"), end },
    { "other names", text("Data: {" KIND "," SUBJECT "," ID "}\n\n data: {"
      KIND "," SUBJECT "," ID "}\n\n"), nothing },
    { "a name that goes on", text("dataa: {" KIND "," SUBJECT "," ID
      "}\n\n"), nothing },
    { "names that end early", text("dat\nd\n:\ndat: {\n" END), end },
    { "a comment", text(":data: {" KIND "," SUBJECT "," ID "}\n\n"),
      nothing },
    { "in another field", text("event: data: {" KIND "," SUBJECT "," ID
      "}\n\n"), nothing },
    { "comments between", text(": a\n\n: b\n\n" END), end },

    /* several lines of data */

    { "lines", text("data: {" KIND ",\ndata: " SUBJECT "\ndata:,\ndata: "
      "\"data\":{\ndata:\"id\":\ndata: \"" RUN "\"}\ndata: }\n\n"), end },
    { "empty lines of data", text("data\ndata:\ndata: {" KIND "\ndata\ndata:"
      "," SUBJECT "," ID "}\ndata\n\n"), end },
    { "empty data", text("data\n\ndata:\n\n" END), end },
    { "fields between", text("data: {" KIND ",\n: }\nid: }\ndata: " SUBJECT
      "," ID "}\n\n"), end },
    { "an empty line between", text("data: {" KIND ",\n\ndata: " SUBJECT ","
      ID "}\n\n"), nothing },
    { "in a string", text("data: {" KIND "," SUBJECT "," ID ",\"a\":\"\n"
      "data: b\"}\n\n"), nothing },
    { "in a string further down", text("data: {" KIND "," SUBJECT "," ID
      ",\"a\":[\"b\ndata: c\"]}\n\n"), nothing },
    { "in a kind", text("data: {\"kind\":\"r\ndata:un\"," SUBJECT "," ID
      "}\n\n"), nothing },
    { "in a name", text("data: {" KIND "," SUBJECT "," ID ",\"a\ndata: b\":1}"
      "\n\n"), nothing },
    { "after a backslash", text("data: {" KIND "," SUBJECT "," ID
      ",\"a\":\"\\\ndata: b\"}\n\n"), nothing },
    { "in a number", text("data: {" KIND "," SUBJECT "," ID ",\"a\":1\n"
      "data: 2}\n\n"), nothing },
    { "two objects", text("data: {" KIND "," SUBJECT "," ID "}\n"
      "data: {}\n\n"), nothing },

    /* several events */

    { "after others", text(event("{}") event("x") event("{\"a\":\"")
      named("{\"id\":\"" OTHER_RUN "\"}") END), end },
    { "after one of several lines", text("data: {\"a\":\"\ndata: \n\n" END),
      end },
    { "before others", text(END event("x") "data"), end },
    { "nothing stays", text(event("{" KIND "," SUBJECT "}") event("{" ID "}")
      event("{\"subject\":\"a\"," ID "}")), nothing },
    { "nothing stays of an end", text(named("{\"id\":\"" OTHER_RUN "\"}")
      event("{\"kind\":\"run\",\"subject\":\"a\"," ID "}")), alive },
    { "alive and another's end", text(told("\"run\"", "\"a\"")
      named("{\"id\":\"" OTHER_RUN "\"}")), alive },

    /* the byte order mark */

    { "mark", text("\xef\xbb\xbf" END), end },
    { "mark and an empty line", text("\xef\xbb\xbf\n" END), end },
    { "mark alone", text("\xef\xbb\xbf"), nothing },
    { "two marks", text("\xef\xbb\xbf\xef\xbb\xbf" END), nothing },
    { "mark in the middle", text("\n\xef\xbb\xbf" END), nothing },
    { "half a mark", text("\xef\xbb" END), nothing },
    { "half a mark, line", text("\xef\xbb\n" END), end },
    { "a third of a mark, line", text("\xef\n" END), end },
    { "mark in data", text(event("\xef\xbb\xbf{" KIND "," SUBJECT "," ID "}")
      ), nothing },

    /* where a CR stands for itself (other line ends: in each of the above) */

    { "all kinds of line ends", text("\r\n\r\n\n\r\r\ndata: {" KIND ",\r"
      "data:" SUBJECT ",\n" "data:" ID "\r\ndata:}\n\r"), end },
    { "LF CR", text("data: {" KIND ",\n\rdata:" SUBJECT "," ID "}\n\n"),
      nothing },
    { "CR ends an event at once", text("data: {" KIND "," SUBJECT "," ID
      "}\r\r"), end },
    { "CR LF is one end", text("data: {" KIND "," SUBJECT "," ID "}\r\n"),
      nothing },
    { "CR in a string", text("data: {" KIND "," SUBJECT "," ID ",\"a\":\"\r"
      "b\"}\n\n"), nothing }
};


static void
start(phrony_events_t *events)
{
    phrony_str_t   run;
    phrony_uuid_t  id;

    run = str(RUN);

    if (phrony_uuid_parse(&run, &id) != 0) {
        abort();
    }

    memset(events, 0xa5, sizeof(*events));
    phrony_events_init(events, &id);
}


static found_t
found(phrony_events_t *events)
{
    int  seen;

    seen = phrony_events_seen(events);

    if (phrony_events_ended(events)) {
        return seen ? end : nothing;
    }

    return seen ? alive : nothing;
}


/* The pieces are copies: a sanitizer sees who reads beyond their end. */

static void
read_piece(phrony_events_t *events, const char *data, size_t len)
{
    unsigned char  *piece;

    piece = malloc(len ? len : 1);

    if (piece == NULL) {
        abort();
    }

    memcpy(piece, data, len);
    phrony_events_read(events, piece, len);
    free(piece);
}


static found_t
read_in_three(const char *data, size_t len, size_t first, size_t second)
{
    phrony_events_t  events;

    start(&events);

    read_piece(&events, data, first);
    read_piece(&events, data + first, second - first);
    read_piece(&events, data + second, len - second);

    return found(&events);
}


static found_t
read_bytes(const char *data, size_t len)
{
    size_t           i;
    phrony_events_t  events;

    start(&events);

    for (i = 0; i < len; i++) {
        phrony_events_read(&events, NULL, 0);
        read_piece(&events, data + i, 1);
    }

    return found(&events);
}


/* Every two places; the pieces are not copied again for each of them. */

static int
bad_splits(const char *data, size_t len, found_t wanted)
{
    int              bad;
    size_t           i, k;
    unsigned char   *p;
    phrony_events_t  begun, events;

    bad = 0;
    p = (unsigned char *) data;

    for (i = 0; i <= len; i++) {
        bad += read_in_three(data, len, i, i) != wanted;

        start(&begun);
        phrony_events_read(&begun, p, i);

        for (k = i; k <= len; k++) {
            events = begun;

            phrony_events_read(&events, p + i, k - i);
            phrony_events_read(&events, p + k, len - k);

            bad += found(&events) != wanted;
        }
    }

    return bad;
}


/* Puts another end to each line, or to every second. */

static void
convert(text_t *out, const stream_t *stream, const char *eol, unsigned step)
{
    size_t    i;
    unsigned  n;

    out->len = 0;
    n = 0;

    for (i = 0; i < stream->len; i++) {

        if (stream->data[i] != '\n' || n++ % step) {
            out->data[out->len++] = stream->data[i];
            continue;
        }

        memcpy(out->data + out->len, eol, strlen(eol));
        out->len += strlen(eol);
    }
}


static void
test_stream(const stream_t *stream)
{
    int      bad;
    text_t   other;
    model_t  model;

    is_int(read_in_three(stream->data, stream->len, 0, 0), stream->found,
           stream->name);

    bad = bad_splits(stream->data, stream->len, stream->found);
    bad += read_bytes(stream->data, stream->len) != stream->found;

    ok(bad == 0, "%s: in pieces", stream->name);

    model_stream(&model, stream->data, stream->len, RUN);
    ok(model_agrees(&model, stream->found == end, stream->found != nothing),
       "%s: the model", stream->name);

    if (memchr(stream->data, '\r', stream->len)) {
        return;
    }

    convert(&other, stream, "\r\n", 1);
    bad = bad_splits(other.data, other.len, stream->found);

    convert(&other, stream, "\r", 1);
    bad += bad_splits(other.data, other.len, stream->found);

    convert(&other, stream, "\r\n", 2);
    bad += bad_splits(other.data, other.len, stream->found);

    ok(bad == 0, "%s: other line ends", stream->name);
}


/* An event counts with its last byte, and is told once. */

static void
test_asked(void)
{
    size_t           i, len;
    phrony_events_t  events;

    static const char  data[] = told("\"run\"", "\"a\"");
    static const char  last[] = END;

    start(&events);
    len = sizeof(data) - 1;

    for (i = 0; i < len; i++) {
        read_piece(&events, data + i, 1);

        if (phrony_events_seen(&events)) {
            break;
        }
    }

    is_int(i, len - 1, "seen with the last byte");
    is_int(phrony_events_seen(&events), 0, "seen once");

    read_piece(&events, data, len);
    read_piece(&events, data, len);
    is_int(phrony_events_seen(&events), 1, "seen again");
    is_int(phrony_events_seen(&events), 0, "and once");

    is_int(phrony_events_ended(&events), 0, "not ended");
    read_piece(&events, last, sizeof(last) - 2);
    is_int(phrony_events_ended(&events), 0, "not ended before the last byte");
    read_piece(&events, "\n", 1);
    is_int(phrony_events_ended(&events), 1, "ended with it");
    is_int(phrony_events_seen(&events), 1, "and seen");

    read_piece(&events, data, len);
    is_int(phrony_events_ended(&events), 1, "it stays so");
    is_int(phrony_events_seen(&events), 0, "nothing is seen after it");
}


/* A line's end wherever it stands among others, NUL and controls beside it. */

static void
test_line_ends(void)
{
    int      bad;
    char     data[256];
    size_t   n, i, len;

    static const char  before[] = "data: {" KIND "," SUBJECT "," ID
                                  ",\"a\":\"";

    bad = 0;

    for (n = 0; n < 40; n++) {
        for (i = 0; i < 2; i++) {
            len = (size_t) sprintf(data, "%s", before);
            memset(data + len, "\x0b\x0e"[i], n);
            len += n;
            len += (size_t) sprintf(data + len, "\"}%s",
                                    i ? "\r\r" : "\n\n");

            bad += read_in_three(data, len, 0, 0) != end;
            bad += read_in_three(data, len, 0, len - 1) != end;
            bad += read_in_three(data, len - 1, 0, 0) != nothing;
        }
    }

    ok(bad == 0, "values of any length");
}


static void
put(text_t *out, const char *data, size_t len)
{
    if (len < STREAM_SIZE - out->len) {
        memcpy(out->data + out->len, data, len);
        out->len += len;
    }
}


static void
random_eol(text_t *out, random_json_t *json)
{
    static const char  *eols[] = { "\n", "\r\n", "\r" };

    const char  *eol;

    eol = random_json_pick(json, eols);
    put(out, eol, strlen(eol));
}


static void
random_member(random_json_t *json, const char *const *names, unsigned n,
    const char *const *values, unsigned m)
{
    random_json_put(json, names[random_json(json, n)]);
    random_json_space(json);
    random_json_put(json, ":");
    random_json_space(json);

    if (random_json(json, 5)) {
        random_json_put(json, values[random_json(json, m)]);

    } else {
        random_json_value(json, 4);
    }

    random_json_space(json);
}


static void
random_data(random_json_t *json)
{
    unsigned  i, n;

    static const char *const  names[] = {
        "\"runId\"", "\"run_id\"", "\"id\"", "\"i\\u0064\"", "\"Id\"",
        "\"data\"", "\"a\""
    };
    static const char *const  values[] = {
        "\"" RUN "\"", "\"" RUN "\"", "\"" RUN "\"", "\"" OTHER_RUN "\"",
        "\"F47AC10B-58CC-4372-A567-0E02B2C3\\u00644\\u00379\"", "null",
        "{\"id\":\"" RUN "\"}", "\"\""
    };

    random_json_put(json, "{");
    n = random_json(json, 4);

    for (i = 0; i < n; i++) {
        random_json_put(json, i ? "," : "");
        random_json_space(json);
        random_member(json, names, 7, values, 8);
    }

    random_json_put(json, "}");
}


static void
random_event(random_json_t *json)
{
    unsigned  i, n;

    static const char *const  kinds[] = { "\"kind\"", "\"\\u006bind\"" };
    static const char *const  subjects[] = { "\"subject\"" };
    static const char *const  others[] = { "\"a\"", "\"id\"", "\"kind\"" };
    static const char *const  values[] = {
        "\"run\"", "\"session\"", "\"r\\u0075n\"", "\"run\"", "\"run\\u0000\""
    };
    static const char *const  ends[] = {
        "\"a.completed\"", "\"a.failed\"", "\".terminat\\u0065d\"",
        "\"a.cancelled\"", "\"a.started\"", "\"\xc3\xa9" S48 S8 ".failed\"",
        "\"\xc3\xa9" S48 S8 "c.failed\""
    };

    json->len = 0;

    random_json_space(json);
    random_json_put(json, "{");
    n = 3 + random_json(json, 3);

    for (i = 0; i < n; i++) {
        random_json_put(json, i ? "," : "");
        random_json_space(json);

        switch (i < 3 ? i : random_json(json, 4)) {

        case 0:
            random_member(json, kinds, 2, values, 5);
            break;

        case 1:
            random_member(json, subjects, 1, ends, 7);
            break;

        case 2:
            random_json_put(json, "\"data\":");
            random_data(json);
            break;

        default:
            random_member(json, others, 3, ends, 7);
        }
    }

    random_json_put(json, "}");
    random_json_space(json);
}


static void
random_field(text_t *out, random_json_t *json)
{
    const char  *field;

    static const char  *fields[] = {
        ": a comment", ":", "event: run", "id: 7", "retry", "datum: {",
        "data ", "a very long line of no use, of which there are many"
    };

    field = random_json_pick(json, fields);
    put(out, field, strlen(field));
    random_eol(out, json);
}


/* Each end of a line in the JSON text ends a line of data. */

static void
random_stream(text_t *out, random_json_t *json)
{
    size_t    i;
    unsigned  n;

    out->len = 0;

    if (random_json(json, 4) == 0) {
        put(out, "\xef\xbb\xbf", 3);
    }

    for (n = random_json(json, 3); n; n--) {
        random_event(json);
        put(out, "data:", 5);

        for (i = 0; i < json->len; i++) {

            if (json->data[i] != '\n' && json->data[i] != '\r') {
                put(out, json->data + i, 1);
                continue;
            }

            random_eol(out, json);

            while (random_json(json, 3) == 0) {
                random_field(out, json);
            }

            put(out, "data: ", 5 + random_json(json, 2));
        }

        random_eol(out, json);

        if (random_json(json, 8)) {
            put(out, "\n\n", 2);
        }
    }
}


static void
mutate(text_t *out, random_json_t *json)
{
    json->len = out->len < RANDOM_JSON_SIZE ? out->len : RANDOM_JSON_SIZE;
    memcpy(json->data, out->data, json->len);

    random_json_mutate(json);

    memcpy(out->data, json->data, json->len);
    out->len = json->len;
}


static void
test_random(int mutants)
{
    int             i, bad, few, counts[3];
    size_t          first;
    found_t         whole;
    model_t         model;
    static text_t   out;
    random_json_t   json;

    json.seed = 4711;
    json.exotic = 0;
    bad = 0;
    memset(counts, 0, sizeof(counts));

    for (i = 0; i < ROUNDS; i++) {
        random_stream(&out, &json);

        if (mutants) {
            mutate(&out, &json);
        }

        whole = read_in_three(out.data, out.len, 0, 0);
        first = random_json(&json, (unsigned) out.len + 1);

        bad += read_bytes(out.data, out.len) != whole;
        bad += read_in_three(out.data, out.len, first, first) != whole;

        model_stream(&model, out.data, out.len, RUN);
        counts[whole]++;

        if (!model_agrees(&model, whole == end, whole != nothing)) {
            bad++;
            printf("# differs: %s\n", show(out.data, out.len));
        }
    }

    few = mutants ? ROUNDS / 100 : ROUNDS / 20;

    ok(bad == 0 && counts[nothing] > few && counts[alive] > few
       && counts[end] > few, "random %s: %d ends, %d others",
       mutants ? "mutants" : "streams", counts[end], counts[alive]);
}


/* Data of some megabytes, and an id after it. */

static void
test_large(const char *name, const char *part)
{
    char             *data, *p;
    size_t            i, len, n;
    phrony_events_t   events;

    len = strlen(part);
    n = 2000000 / len;
    data = malloc(n * len + 512);

    if (data == NULL) {
        abort();
    }

    p = data + sprintf(data, "data: {" KIND ",\"data\":{\"output\":[");

    for (i = 0; i < n; i++) {
        memcpy(p, part, len);
        p += len;
    }

    p += sprintf(p, "0],\"id\":\"" RUN "\"}," SUBJECT "}\n\n");
    len = (size_t) (p - data);

    is_int(read_in_three(data, len, 0, 0), end, name);

    start(&events);

    for (i = 0; i < len; i += 4096) {
        read_piece(&events, data + i, len - i < 4096 ? len - i : 4096);
    }

    is_int(found(&events), end, "in pieces of a page");

    free(data);
}


int
main(void)
{
    size_t  i;

    for (i = 0; i < sizeof(streams) / sizeof(streams[0]); i++) {
        test_stream(&streams[i]);
    }

    test_asked();
    test_line_ends();
    test_random(0);
    test_random(1);

    test_large("strings", "\"a \\\"text\\\" of {some} \\u0061length\\\\\",");
    test_large("objects", "{\"id\":\"a\",\"n\":[1,2,{\"a\":0}]},");
    test_large("lines", "[{\"a\":\"b\"},\ndata: {\"c\":\"d\"}\rdata:],");

    ok(sizeof(phrony_events_t) <= 256, "a watch takes %d bytes",
       (int) sizeof(phrony_events_t));

    return done();
}
