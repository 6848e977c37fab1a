
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "test.h"

#include "phrony_delivery.h"


#define OK       PHRONY_DELIVERY_ID_OK
#define NONE     PHRONY_DELIVERY_ID_NONE
#define INVALID  PHRONY_DELIVERY_ID_INVALID

#define CLAIM        PHRONY_DELIVERY_ACTION_CLAIM
#define PROXY        PHRONY_DELIVERY_ACTION_PROXY
#define REPLAY       PHRONY_DELIVERY_ACTION_REPLAY
#define MISMATCH     PHRONY_DELIVERY_ACTION_REFUSE_MISMATCH
#define IN_PROGRESS  PHRONY_DELIVERY_ACTION_REFUSE_IN_PROGRESS


typedef struct {
    phrony_str_t          value;
    phrony_delivery_id_t  rc;
    phrony_str_t          id;
    const char           *name;
} vector_t;


/* One row for all that a state can be seen with: 0, 1 or, for both, -1. */

typedef struct {
    phrony_delivery_state_t   state;
    int                       same;
    int                       answered;
    phrony_delivery_action_t  replay;
    phrony_delivery_action_t  annotate;
    const char               *annotation;
    const char               *name;
} row_t;


static void test_vectors(void);
static void test_vector(const vector_t *v);
static void test_every_byte(void);
static void test_bytes(const char *form, size_t place, const char *other,
    const char *name);
static void test_every_escape(void);
static void test_every_length(void);
static void test_views(void);
static void test_decisions(void);
static void test_row(const row_t *row, int same, int answered);
static void test_strange_state(void);
static void test_names(void);
static phrony_delivery_id_t read_id(const void *value, size_t len);


static const vector_t  vectors[] = {
    { phrony_str("a"), OK, phrony_str("a"), "one byte" },
    { phrony_str("order-17"), OK, phrony_str("order-17"), "a usual one" },
    { phrony_str("a,b;c=d"), OK, phrony_str("a,b;c=d"), "punctuation" },
    { phrony_str("a\\b"), OK, phrony_str("a\\b"), "a bare backslash" },
    { phrony_str("a\\"), OK, phrony_str("a\\"), "one at the end" },
    { phrony_str("\\\\"), OK, phrony_str("\\\\"), "two are two" },
    { phrony_str("'a'"), OK, phrony_str("'a'"), "single quotes" },

    { phrony_str("\"a\""), OK, phrony_str("a"), "one byte, quoted" },
    { phrony_str("\"order-17\""), OK, phrony_str("order-17"), "quoted" },
    { phrony_str("\"a,b;c=d\""), OK, phrony_str("a,b;c=d"), "punctuation" },
    { phrony_str("\"a\\\"b\""), OK, phrony_str("a\"b"), "a quote within" },
    { phrony_str("\"a\\\\b\""), OK, phrony_str("a\\b"), "a backslash" },
    { phrony_str("\"\\\"\""), OK, phrony_str("\""), "a quote alone" },
    { phrony_str("\"\\\\\""), OK, phrony_str("\\"), "a backslash alone" },
    { phrony_str("\"\\\\\\\"\""), OK, phrony_str("\\\""), "both" },
    { phrony_str("\"\\\"a\\\"\""), OK, phrony_str("\"a\""), "quotes around" },
    { phrony_str("\"a\\\\\""), OK, phrony_str("a\\"), "before the end" },

    { phrony_str(""), NONE, phrony_str(""), "empty" },

    { phrony_str("\"\""), INVALID, phrony_str(""), "empty, quoted" },
    { phrony_str("\""), INVALID, phrony_str(""), "a quote alone" },
    { phrony_str("\"a"), INVALID, phrony_str(""), "no end" },
    { phrony_str("\"a\\\""), INVALID, phrony_str(""), "an escaped end" },
    { phrony_str("\"\\\""), INVALID, phrony_str(""), "nothing else" },
    { phrony_str("\"\\"), INVALID, phrony_str(""), "half an escape" },
    { phrony_str("\"a\\b\""), INVALID, phrony_str(""), "wrong escape" },
    { phrony_str("\"a\\u0041\""), INVALID, phrony_str(""), "as in JSON" },
    { phrony_str("\"a\\ \""), INVALID, phrony_str(""), "escaped space" },
    { phrony_str("\"a\"b\""), INVALID, phrony_str(""), "a quote within" },
    { phrony_str("\"\"\""), INVALID, phrony_str(""), "three quotes" },
    { phrony_str("\"a\";b=1"), INVALID, phrony_str(""), "parameter" },
    { phrony_str("\"a\";b=\"c\""), INVALID, phrony_str(""), "parameter 2" },
    { phrony_str("\"a\"b"), INVALID, phrony_str(""), "bytes behind" },
    { phrony_str("\"a\" "), INVALID, phrony_str(""), "space behind" },
    { phrony_str("\"a\",\"b\""), INVALID, phrony_str(""), "a list" },
    { phrony_str("\"a b\""), INVALID, phrony_str(""), "space within" },
    { phrony_str("\"a\0b\""), INVALID, phrony_str(""), "NUL within" },
    { phrony_str("\"a\"\0"), INVALID, phrony_str(""), "NUL behind" },
    { phrony_str("\"\xc3\xa9\""), INVALID, phrony_str(""), "UTF-8, quoted" },

    { phrony_str("a\""), INVALID, phrony_str(""), "a bare quote" },
    { phrony_str("a\"b"), INVALID, phrony_str(""), "one within" },
    { phrony_str("a\\\"b"), INVALID, phrony_str(""), "escaped, but bare" },
    { phrony_str("a \"b\""), INVALID, phrony_str(""), "half quoted" },
    { phrony_str("a, b"), INVALID, phrony_str(""), "joined" },
    { phrony_str("\"a\", \"b\""), INVALID, phrony_str(""), "joined, quoted" },
    { phrony_str(" "), INVALID, phrony_str(""), "space" },
    { phrony_str(" \"a\""), INVALID, phrony_str(""), "space before" },
    { phrony_str("a\t"), INVALID, phrony_str(""), "tab behind" },
    { phrony_str("a\r\nB: c"), INVALID, phrony_str(""), "CRLF" },
    { phrony_str("\0"), INVALID, phrony_str(""), "NUL" },
    { phrony_str("\xc3\xa9"), INVALID, phrony_str(""), "UTF-8" }
};


static const row_t  rows[] = {
    { PHRONY_DELIVERY_NEW, -1, -1, CLAIM, CLAIM, "", "never seen" },

    { PHRONY_DELIVERY_PROGRESS, 0, -1, MISMATCH, PROXY, "mismatch",
      "in progress with another body" },
    { PHRONY_DELIVERY_DONE, 0, -1, MISMATCH, PROXY, "mismatch",
      "done with another body" },
    { PHRONY_DELIVERY_UNKNOWN, 0, -1, MISMATCH, PROXY, "mismatch",
      "outcome unknown, another body" },

    { PHRONY_DELIVERY_PROGRESS, 1, -1, IN_PROGRESS, PROXY, "in-progress",
      "in progress" },
    { PHRONY_DELIVERY_DONE, 1, 1, REPLAY, PROXY, "done", "done" },
    { PHRONY_DELIVERY_DONE, 1, 0, PROXY, PROXY, "done",
      "done, answer not stored" },
    { PHRONY_DELIVERY_UNKNOWN, 1, -1, PROXY, PROXY, "unknown",
      "outcome unknown" }
};


/* What the last read_id() left, and where the view pointed to. */

static phrony_str_t   got;
static unsigned char  got_data[2 * PHRONY_DELIVERY_ID_MAX];
static int            got_view;
static int            got_written;

static int            decided;


int
main(void)
{
    test_vectors();
    test_every_byte();
    test_every_escape();
    test_every_length();
    test_views();
    test_decisions();
    test_strange_state();
    test_names();

    return done();
}


static void
test_vectors(void)
{
    size_t  i;

    for (i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        test_vector(&vectors[i]);
    }
}


static void
test_vector(const vector_t *v)
{
    const char  *value;

    value = show(v->value.data, v->value.len);

    if (!ok(read_id(v->value.data, v->value.len) == v->rc, "%s: %s", v->name,
            value))
    {
        return;
    }

    if (v->rc == OK) {
        ok(phrony_str_eq(&got, &v->id), "%s is \"%s\"", value,
           show(v->id.data, v->id.len));
        return;
    }

    ok(got.data == NULL && !got_written, "%s leaves all as it was", value);
}


/* Any byte in any place but those of "other", which begin something else. */

static void
test_every_byte(void)
{
    test_bytes("abc", 0, "\"", "first");
    test_bytes("abc", 1, "", "middle");
    test_bytes("abc", 2, "", "last");

    test_bytes("\"abc\"", 1, "\\", "quoted, first");
    test_bytes("\"abc\"", 2, "\\", "quoted, middle");
    test_bytes("\"abc\"", 3, "\\", "quoted, last");
}


static void
test_bytes(const char *form, size_t place, const char *other,
    const char *name)
{
    int     ch;
    char    value[8];
    size_t  len;

    len = strlen(form);

    for (ch = 0; ch < 256; ch++) {
        if (ch && strchr(other, ch)) {
            continue;
        }

        memcpy(value, form, len);
        value[place] = (char) ch;

        ok(read_id(value, len)
           == ((ch > 0x20 && ch < 0x7f && ch != '"') ? OK : INVALID),
           "byte 0x%02x: %s", (unsigned) ch, name);
    }
}


static void
test_every_escape(void)
{
    int   ch;
    char  value[] = "\"a\\bc\"";

    for (ch = 0; ch < 256; ch++) {
        value[3] = (char) ch;

        ok(read_id(value, 6) == ((ch == '"' || ch == '\\') ? OK : INVALID),
           "byte 0x%02x, escaped", (unsigned) ch);
    }
}


static void
test_every_length(void)
{
    char    bare[300], quoted[302], escaped[602];
    size_t  len, i;

    memset(bare, 'k', sizeof(bare));
    memset(quoted, 'k', sizeof(quoted));

    for (i = 1; i < sizeof(escaped); i += 2) {
        escaped[i] = '\\';
        escaped[i - 1] = '"';
    }

    quoted[0] = '"';

    for (len = 1; len < 300; len++) {
        quoted[len + 1] = '"';
        escaped[2 * len + 1] = '"';

        ok(read_id(bare, len) == (len <= 255 ? OK : INVALID),
           "%u bytes", (unsigned) len);
        ok(read_id(quoted, len + 2) == (len <= 255 ? OK : INVALID),
           "%u bytes, quoted", (unsigned) len);
        ok(read_id(escaped, 2 * len + 2) == (len <= 255 ? OK : INVALID),
           "%u bytes, escaped", (unsigned) len);

        quoted[len + 1] = 'k';
        escaped[2 * len + 1] = '\\';
    }
}


/* Nothing is copied unless it has to be. */

static void
test_views(void)
{
    ok(read_id("abc", 3) == OK && got_view && !got_written,
       "a bare id is not copied");
    ok(read_id("a\\b", 3) == OK && got_view && !got_written,
       "nor is one with a backslash");
    ok(read_id("\"abc\"", 5) == OK && got_view && !got_written,
       "nor one without escapes");
    ok(read_id("\"a\\\"c\"", 6) == OK && !got_view && got_written == 3,
       "one with an escape is, and no more than it");
}


static void
test_decisions(void)
{
    int           same, answered;
    size_t        i;
    const row_t  *row;

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        row = &rows[i];

        for (same = 0; same < 2; same++) {

            for (answered = 0; answered < 2; answered++) {
                if ((row->same == -1 || row->same == same)
                    && (row->answered == -1 || row->answered == answered))
                {
                    test_row(row, same, answered);
                }
            }
        }
    }

    is_int(decided, 4 * 2 * 2, "every case is decided, once");
}


static void
test_row(const row_t *row, int same, int answered)
{
    const phrony_str_t         *name;
    phrony_delivery_decision_t  decision;

    decided++;

    decision = phrony_delivery_decide(PHRONY_DELIVERY_MODE_REPLAY, row->state,
                                      same, answered);
    name = phrony_duplicate_name(decision.duplicate);

    is_int(decision.action, row->replay, row->name);
    is_str(name->data, name->len, row->annotation, row->name);

    decision = phrony_delivery_decide(PHRONY_DELIVERY_MODE_ANNOTATE,
                                      row->state, same, answered);
    name = phrony_duplicate_name(decision.duplicate);

    is_int(decision.action, row->annotate, row->name);
    is_str(name->data, name->len, row->annotation, row->name);

    decision = phrony_delivery_decide(PHRONY_DELIVERY_MODE_OFF, row->state,
                                      same, answered);

    ok(decision.action == PROXY && decision.duplicate == PHRONY_DUPLICATE_NONE,
       "%s: nobody asks", row->name);

    /* what is set need not be 1 */

    decision = phrony_delivery_decide(PHRONY_DELIVERY_MODE_REPLAY, row->state,
                                      same ? 0x40 : 0, answered ? -1 : 0);

    is_int(decision.action, row->replay, row->name);
}


static void
test_strange_state(void)
{
    int                         i;
    phrony_delivery_decision_t  decision;
    const int                   states[] = { PHRONY_DELIVERY_MAX, 77, -1 };

    for (i = 0; i < 3; i++) {
        decision = phrony_delivery_decide(PHRONY_DELIVERY_MODE_REPLAY,
                                    (phrony_delivery_state_t) states[i], 1, 1);

        ok(decision.action == PROXY
           && decision.duplicate == PHRONY_DUPLICATE_UNKNOWN,
           "state %d is unknown", states[i]);
    }
}


static void
test_names(void)
{
    size_t               i;
    const phrony_str_t  *name;
    const char          *names[] = { "", "mismatch", "in-progress", "done",
                                     "unknown", "" };

    for (i = 0; i <= PHRONY_DUPLICATE_MAX; i++) {
        name = phrony_duplicate_name((phrony_duplicate_t) i);

        is_str(name->data, name->len, names[i], "annotation");
    }
}


/*
 * From a block of exactly this size and into one of PHRONY_DELIVERY_ID_MAX
 * bytes, so that reading or writing on is noticed.
 */

static phrony_delivery_id_t
read_id(const void *value, size_t len)
{
    int                   i;
    unsigned char        *buf;
    phrony_str_t          text;
    phrony_delivery_id_t  rc;

    text.len = len;
    text.data = malloc(len);
    memcpy(text.data, value, len);

    buf = malloc(PHRONY_DELIVERY_ID_MAX);
    memset(buf, 0xee, PHRONY_DELIVERY_ID_MAX);

    got.len = 0;
    got.data = NULL;

    rc = phrony_delivery_id(&text, buf, &got);

    got_view = got.data && got.data >= text.data
               && got.data + got.len <= text.data + len;

    got_written = 0;

    for (i = 0; i < PHRONY_DELIVERY_ID_MAX; i++) {
        got_written += (buf[i] != 0xee);
    }

    if (got.data && got.len <= sizeof(got_data)) {
        memcpy(got_data, got.data, got.len);
        got.data = got_data;
    }

    free(text.data);
    free(buf);

    return rc;
}
