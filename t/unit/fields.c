
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "test.h"

#include "phrony_fields.h"
#include "phrony_window.h"


#define DETAIL_MAX    512
#define INSTANCE_MAX  128


typedef struct {
    phrony_reason_t   reason;
    unsigned          status;
    const char       *code;
} reason_t;


static void test_reasons(void);
static void test_reason_texts(void);
static void test_limit_names(void);
static void test_policy(void);
static void test_ratelimit(void);
static void test_integers(void);
static void test_seconds(void);
static void test_problem(void);
static void test_problem_members(void);
static void test_problem_escapes(void);
static void test_problem_utf8(void);
static void test_problem_cut(void);
static void test_problem_room(void);
static void check_detail(const void *detail, size_t len, const char *want,
    const char *name);
static size_t escaped(const unsigned char *data, size_t len, char *out);
static size_t decode(const unsigned char *data, size_t len);
static int is_plain(const phrony_str_t *text);
static void limits_clear(phrony_limit_t *limits);
static void limit_set(phrony_limit_t *limit, int64_t quota, int64_t remaining,
    int64_t reset);
static const char *policy(const phrony_limit_t *limits);
static const char *ratelimit(const phrony_limit_t *limits);
static const char *problem(const phrony_problem_t *what);
static const char *terminated(unsigned char *buf, size_t len, size_t size);


/* Design 1.2, in the order of the decisions. */

static const reason_t  reasons[] = {
    { PHRONY_REASON_PATH_NOT_CANONICAL, 400, "path_not_canonical" },
    { PHRONY_REASON_METHOD_OVERRIDE, 400, "method_override" },
    { PHRONY_REASON_ROUTE_UNKNOWN, 404, "route_unknown" },
    { PHRONY_REASON_METHOD_NOT_ALLOWED, 405, "method_not_allowed" },
    { PHRONY_REASON_KEY_MISSING, 401, "key_missing" },
    { PHRONY_REASON_KEY_MALFORMED, 401, "key_malformed" },
    { PHRONY_REASON_KEY_REPEATED, 400, "key_repeated" },
    { PHRONY_REASON_KEY_INVALID, 401, "key_invalid" },
    { PHRONY_REASON_WORKSPACE_SUSPENDED, 403, "workspace_suspended" },
    { PHRONY_REASON_AGENT_OUT_OF_SCOPE, 403, "agent_out_of_scope" },
    { PHRONY_REASON_RUN_OUT_OF_SCOPE, 403, "run_out_of_scope" },
    { PHRONY_REASON_UPLOADS_NOT_ALLOWED, 403, "uploads_not_allowed" },
    { PHRONY_REASON_ADDRESS_NOT_ALLOWED, 403, "address_not_allowed" },
    { PHRONY_REASON_TRIGGER_INACTIVE, 403, "trigger_inactive" },
    { PHRONY_REASON_CONTENT_TYPE, 415, "content_type" },
    { PHRONY_REASON_BODY_TOO_LARGE, 413, "body_too_large" },
    { PHRONY_REASON_BODY_INVALID, 400, "body_invalid" },
    { PHRONY_REASON_INPUT_TOO_LARGE, 413, "input_too_large" },
    { PHRONY_REASON_DELIVERY_ID_INVALID, 400, "delivery_id_invalid" },
    { PHRONY_REASON_DELIVERY_MISMATCH, 422, "delivery_mismatch" },
    { PHRONY_REASON_DELIVERY_IN_PROGRESS, 409, "delivery_in_progress" },
    { PHRONY_REASON_RATE_LIMITED, 429, "rate_limited" },
    { PHRONY_REASON_CONCURRENCY_LIMITED, 429, "concurrency_limited" },
    { PHRONY_REASON_STORE_UNAVAILABLE, 503, "store_unavailable" },
    { PHRONY_REASON_POLICY_UNAVAILABLE, 503, "policy_unavailable" },
    { PHRONY_REASON_POLICY_INVALID, 503, "policy_invalid" }
};

#define REASONS  (sizeof(reasons) / sizeof(reasons[0]))


int
main(void)
{
    test_reasons();
    test_reason_texts();
    test_limit_names();
    test_policy();
    test_ratelimit();
    test_integers();
    test_seconds();
    test_problem();
    test_problem_members();
    test_problem_escapes();
    test_problem_utf8();
    test_problem_cut();
    test_problem_room();

    return done();
}


static void
test_reasons(void)
{
    size_t                       i;
    const phrony_reason_info_t  *info;

    is_int(REASONS, PHRONY_REASON_MAX - 1, "every reason is checked here");

    for (i = 0; i < REASONS; i++) {
        info = phrony_reason_info(reasons[i].reason);

        is_int(info->status, reasons[i].status, reasons[i].code);
        is_str(info->code.data, info->code.len, reasons[i].code,
               reasons[i].code);
    }

    is_int(phrony_reason_info(PHRONY_REASON_NONE)->code.len, 0,
           "no reason has no code");
    is_int(phrony_reason_info(PHRONY_REASON_MAX)->code.len, 0,
           "no such reason");
}


/* They are copied into JSON without being escaped. */

static void
test_reason_texts(void)
{
    size_t                       i, n;
    phrony_str_t                 detail;
    const phrony_reason_info_t  *info;

    for (i = 1; i < PHRONY_REASON_MAX; i++) {
        info = phrony_reason_info((phrony_reason_t) i);
        detail = info->detail;

        ok(is_plain(&info->code) && is_plain(&info->title)
           && is_plain(&detail), "texts of reason %u are plain",
           (unsigned) i);
        ok(info->title.len > 0 && info->title.len <= 64
           && info->title.data[info->title.len - 1] != '.',
           "title of reason %u", (unsigned) i);
        ok(detail.len > 0 && detail.len <= 200
           && detail.data[detail.len - 1] == '.'
           && memchr(detail.data, '.', detail.len)
              == detail.data + detail.len - 1,
           "detail of reason %u is one sentence", (unsigned) i);

        for (n = 1; n < i; n++) {
            if (phrony_str_eq(&info->code,
                       &phrony_reason_info((phrony_reason_t) n)->code))
            {
                break;
            }
        }

        is_int(n, i, "code is no other reason's");
    }
}


static void
test_limit_names(void)
{
    size_t               i;
    const phrony_str_t  *name;
    const char          *names[PHRONY_LIMIT_MAX] = {
        "rpm", "rpd", "runs", "reads"
    };

    for (i = 0; i < PHRONY_LIMIT_MAX; i++) {
        name = phrony_limit_name((phrony_limit_id_t) i);
        is_str(name->data, name->len, names[i], "name of a limit");
    }

    is_int(phrony_limit_name(PHRONY_LIMIT_MAX)->len, 0, "no such limit");
}


static void
test_policy(void)
{
    phrony_limit_t  limits[PHRONY_LIMIT_MAX];

    limits_clear(limits);
    is_str(policy(limits), strlen(policy(limits)), "", "no limits");

    limit_set(&limits[PHRONY_LIMIT_RPM], 60, 12, 30001);
    is_str(policy(limits), strlen(policy(limits)),
           "\"rpm\";q=60;w=60", "rpm alone");

    limit_set(&limits[PHRONY_LIMIT_RUNS], 5, 2, PHRONY_NO_WAIT);
    is_str(policy(limits), strlen(policy(limits)),
           "\"rpm\";q=60;w=60, \"runs\";q=5;qu=\"concurrent-requests\"",
           "rpm and runs");

    limit_set(&limits[PHRONY_LIMIT_RPD], 1000, 940, 40210500);
    limit_set(&limits[PHRONY_LIMIT_READS], 600, 599, 59999);
    is_str(policy(limits), strlen(policy(limits)),
           "\"rpm\";q=60;w=60, \"rpd\";q=1000;w=86400, "
           "\"runs\";q=5;qu=\"concurrent-requests\", "
           "\"reads\";q=600;w=60", "all four");

    limits[PHRONY_LIMIT_RPM].set = 0;
    limits[PHRONY_LIMIT_RPD].set = 0;
    limits[PHRONY_LIMIT_RUNS].set = 0;
    is_str(policy(limits), strlen(policy(limits)),
           "\"reads\";q=600;w=60", "reads alone");
}


static void
test_ratelimit(void)
{
    phrony_limit_t  limits[PHRONY_LIMIT_MAX];

    limits_clear(limits);
    is_str(ratelimit(limits), strlen(ratelimit(limits)), "", "no limits");

    limit_set(&limits[PHRONY_LIMIT_RPM], 60, 12, 30001);
    limit_set(&limits[PHRONY_LIMIT_RPD], 1000, 940, 40210500);
    limit_set(&limits[PHRONY_LIMIT_RUNS], 5, 2, PHRONY_NO_WAIT);
    is_str(ratelimit(limits), strlen(ratelimit(limits)),
           "\"rpm\";r=12;t=31, \"rpd\";r=940;t=40211, \"runs\";r=2",
           "as in the design");

    limit_set(&limits[PHRONY_LIMIT_READS], 600, 0, 0);
    is_str(ratelimit(limits), strlen(ratelimit(limits)),
           "\"rpm\";r=12;t=31, \"rpd\";r=940;t=40211, \"runs\";r=2, "
           "\"reads\";r=0;t=1", "a reset never says 0");

    limits_clear(limits);
    limit_set(&limits[PHRONY_LIMIT_RPM], 0, 0, PHRONY_NO_WAIT);
    is_str(ratelimit(limits), strlen(ratelimit(limits)), "\"rpm\";r=0",
           "nothing is counted");
}


/* A structured field's Integer has 15 digits at most. */

static void
test_integers(void)
{
    size_t          i;
    phrony_limit_t  limits[PHRONY_LIMIT_MAX];

    limits_clear(limits);
    limit_set(&limits[PHRONY_LIMIT_RPM], 999999999999999, 100000000000000,
              1000);
    is_str(policy(limits), strlen(policy(limits)),
           "\"rpm\";q=999999999999999;w=60", "the largest quota");
    is_str(ratelimit(limits), strlen(ratelimit(limits)),
           "\"rpm\";r=100000000000000;t=1", "a large rest");

    limit_set(&limits[PHRONY_LIMIT_RPM], 1000000000000000, -1, INT64_MAX);
    is_str(policy(limits), strlen(policy(limits)),
           "\"rpm\";q=999999999999999;w=60", "a larger quota is cut");
    is_str(ratelimit(limits), strlen(ratelimit(limits)),
           "\"rpm\";r=0;t=999999999999999", "so is a reset");

    for (i = 0; i < PHRONY_LIMIT_MAX; i++) {
        limit_set(&limits[i], INT64_MAX, INT64_MAX, INT64_MAX);
    }

    ok(strlen(policy(limits)) < PHRONY_FIELDS_POLICY_LEN,
       "room for the longest policy");
    ok(strlen(ratelimit(limits)) < PHRONY_FIELDS_RATELIMIT_LEN,
       "room for the longest rate limit");
}


static void
test_seconds(void)
{
    size_t         i;
    const int64_t  vectors[][2] = {
        { INT64_MIN, 1 }, { -1, 1 }, { 0, 1 }, { 1, 1 }, { 999, 1 },
        { 1000, 1 }, { 1001, 2 }, { 1999, 2 }, { 2000, 2 }, { 2001, 3 },
        { 60000, 60 }, { 61001, 62 }, { 86400000, 86400 },
        { INT64_MAX, 9223372036854776 }
    };

    for (i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        is_int(phrony_fields_seconds(vectors[i][0]), vectors[i][1],
               "milliseconds to seconds");
    }
}


static void
test_problem(void)
{
    phrony_limit_t    limits[PHRONY_LIMIT_MAX];
    phrony_problem_t  what;

    memset(&what, 0, sizeof(what));
    what.reason = PHRONY_REASON_ROUTE_UNKNOWN;
    what.instance = str("8f2a");

    is_str(problem(&what), strlen(problem(&what)),
           "{\"type\":\"urn:phrony:problem:route_unknown\","
           "\"title\":\"Route is unknown\",\"status\":404,"
           "\"detail\":\"Check the path against the routes that the API "
           "documents.\",\"reason\":\"route_unknown\","
           "\"instance\":\"8f2a\"}", "a problem");

    limits_clear(limits);
    limit_set(&limits[PHRONY_LIMIT_RPM], 1, 0, 1);
    limit_set(&limits[PHRONY_LIMIT_RPD], 1, 1, 1);
    limit_set(&limits[PHRONY_LIMIT_RUNS], 1, 0, 1);
    limits[PHRONY_LIMIT_RPM].refused = 1;
    limits[PHRONY_LIMIT_RUNS].refused = 1;

    what.reason = PHRONY_REASON_CONCURRENCY_LIMITED;
    what.detail = str("Wait.");
    what.line = 3;
    what.column = 14;
    what.limits = limits;

    is_str(problem(&what), strlen(problem(&what)),
           "{\"type\":\"urn:phrony:problem:concurrency_limited\","
           "\"title\":\"Too many unfinished runs\",\"status\":429,"
           "\"detail\":\"Wait.\",\"reason\":\"concurrency_limited\","
           "\"instance\":\"8f2a\",\"line\":3,\"column\":14,"
           "\"violated-policies\":[\"rpm\",\"runs\"]}", "with everything");
}


static void
test_problem_members(void)
{
    size_t                       i;
    const char                  *text;
    phrony_limit_t               limits[PHRONY_LIMIT_MAX];
    phrony_problem_t             what;
    const phrony_reason_info_t  *info;

    memset(&what, 0, sizeof(what));

    for (i = 1; i < PHRONY_REASON_MAX; i++) {
        what.reason = (phrony_reason_t) i;
        info = phrony_reason_info(what.reason);
        text = problem(&what);

        ok(strstr(text, show(info->detail.data, info->detail.len)) != NULL
           && strstr(text, show(info->title.data, info->title.len)) != NULL
           && strstr(text, "\"instance\":\"\"}") != NULL,
           "own texts of reason %u", (unsigned) i);
    }

    what.column = 7;
    ok(strstr(problem(&what), "column") == NULL, "no column without a line");

    what.line = SIZE_MAX;
    what.column = 0;
    ok(strstr(problem(&what), ",\"line\":18446744073709551615,\"column\":0}")
       != NULL || sizeof(size_t) < 8, "the largest line");

    limits_clear(limits);
    what.line = 0;
    what.limits = limits;
    limit_set(&limits[PHRONY_LIMIT_RPM], 1, 0, 1);
    ok(strstr(problem(&what), "\"instance\":\"\"}") != NULL,
       "no limit refused");

    for (i = 0; i < PHRONY_LIMIT_MAX; i++) {
        limits[i].refused = 1;
    }

    ok(strstr(problem(&what), "\"violated-policies\":"
                              "[\"rpm\",\"rpd\",\"runs\",\"reads\"]}")
       != NULL, "all of them refused");
}


static void
test_problem_escapes(void)
{
    int   ch;
    char  byte, want[8];

    check_detail("a\"b", 3, "a\\\"b", "quotation mark");
    check_detail("a\\b", 3, "a\\\\b", "backslash");
    check_detail("a/b", 3, "a/b", "slash");
    check_detail("a\0b", 3, "a\\u0000b", "NUL");
    check_detail("\r\n\t", 3, "\\u000d\\u000a\\u0009", "control bytes");
    check_detail("\"},{\"", 5, "\\\"},{\\\"", "an attempt to break out");

    for (ch = 1; ch < 0x80; ch++) {
        byte = (char) ch;

        if (ch < 0x20) {
            snprintf(want, sizeof(want), "\\u%04x", (unsigned) ch);

        } else if (ch == '"' || ch == '\\') {
            snprintf(want, sizeof(want), "\\%c", ch);

        } else {
            snprintf(want, sizeof(want), "%c", ch);
        }

        check_detail(&byte, 1, want, "an ASCII byte");
    }
}


static void
test_problem_utf8(void)
{
    char              want[DETAIL_MAX * 6 + 1];
    size_t            i, len, wrong;
    unsigned char     bytes[32];
    phrony_problem_t  what;
    static const unsigned char  usual[] = {
        0x80, 0xbf, 0x8f, 0x90, 0x9f, 0xa0, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0,
        0xe1, 0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff,
        'a', '"'
    };

    check_detail("\xc3\xa9", 2, "\xc3\xa9", "two bytes");
    check_detail("\xe2\x82\xac", 3, "\xe2\x82\xac", "three bytes");
    check_detail("\xf0\x9f\x98\x80", 4, "\xf0\x9f\x98\x80", "four bytes");
    check_detail("\xf4\x8f\xbf\xbf", 4, "\xf4\x8f\xbf\xbf", "U+10FFFF");
    check_detail("a\x80z", 3, "a\xef\xbf\xbdz", "continuation alone");
    check_detail("a\xc3z", 3, "a\xef\xbf\xbdz", "lead alone");
    check_detail("a\xc3", 2, "a\xef\xbf\xbd", "lead at the end");
    check_detail("\xc0\xaf", 2, "\xef\xbf\xbd\xef\xbf\xbd", "overlong");
    check_detail("\xed\xa0\x80", 3,
                 "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", "surrogate");
    check_detail("\xf4\x90\x80\x80", 4, "\xef\xbf\xbd\xef\xbf\xbd"
                 "\xef\xbf\xbd\xef\xbf\xbd", "above U+10FFFF");
    check_detail("\xe2\x82" "a", 3, "\xef\xbf\xbd\xef\xbf\xbd" "a",
                 "cut short by a letter");

    memset(&what, 0, sizeof(what));
    what.reason = PHRONY_REASON_BODY_INVALID;
    wrong = 0;

    for (i = 0; i < 200000; i++) {
        len = 1 + random_below(8);
        what.detail.len = len;
        what.detail.data = bytes;

        while (len--) {
            bytes[len] = usual[random_below(sizeof(usual))];
        }

        len = (size_t) snprintf(want, sizeof(want), "\"detail\":\"");
        len += escaped(bytes, what.detail.len, want + len);
        snprintf(want + len, sizeof(want) - len, "\",\"reason\"");

        wrong += strstr(problem(&what), want) == NULL;
    }

    is_int(wrong, 0, "well-formed is kept, the rest is replaced");
}


/* Never more bytes than promised, and no character in two halves. */

static void
test_problem_cut(void)
{
    char              want[DETAIL_MAX * 2];
    size_t            len, unit, n, lead;
    const char       *p, *q;
    unsigned char     bytes[3 * DETAIL_MAX];
    phrony_problem_t  what;
    const char       *units[] = {
        "a", "\"", "\x01", "\xff", "\xc3\xa9", "\xf0\x9f\x98\x80"
    };
    const size_t      written[] = { 1, 2, 6, 3, 2, 4 };

    memset(&what, 0, sizeof(what));
    what.reason = PHRONY_REASON_BODY_INVALID;

    for (n = 0; n < sizeof(units) / sizeof(units[0]); n++) {
        for (lead = 0; lead < 6; lead++) {

            memset(bytes, 'x', lead);
            unit = strlen(units[n]);

            for (len = lead; len + unit <= sizeof(bytes); len += unit) {
                memcpy(bytes + len, units[n], unit);
            }

            what.detail.data = what.instance.data = bytes;
            what.detail.len = what.instance.len = len;

            p = strstr(problem(&what), "\"detail\":\"");
            q = strstr(p, "\",\"reason\":");
            len = (size_t) (q - p) - strlen("\"detail\":\"");
            is_int(len, lead + (DETAIL_MAX - lead) / written[n] * written[n],
                   "length of a detail");

            p = strstr(q, "\"instance\":\"");
            len = strlen(p) - strlen("\"instance\":\"\"}");
            is_int(len,
                   lead + (INSTANCE_MAX - lead) / written[n] * written[n],
                   "length of an instance");
        }
    }

    memset(want, 'a', sizeof(want));
    want[DETAIL_MAX] = '\0';
    check_detail(want, DETAIL_MAX, want, "just not cut");
}


/* Nothing is written behind the room that is promised. */

static void
test_problem_room(void)
{
    size_t            i, id, longest;
    const char       *text;
    phrony_limit_t    limits[PHRONY_LIMIT_MAX];
    phrony_problem_t  what;
    unsigned char     bytes[4096];

    memset(bytes, '"', sizeof(bytes));
    memset(limits, 0, sizeof(limits));

    for (id = 0; id < PHRONY_LIMIT_MAX; id++) {
        limits[id].refused = 1;
    }

    longest = 0;

    for (i = 1; i < PHRONY_REASON_MAX; i++) {
        what.reason = (phrony_reason_t) i;
        what.detail.len = what.instance.len = sizeof(bytes);
        what.detail.data = what.instance.data = bytes;
        what.line = what.column = SIZE_MAX;
        what.limits = limits;

        text = problem(&what);
        longest = (strlen(text) > longest) ? strlen(text) : longest;
    }

    ok(longest < PHRONY_FIELDS_PROBLEM_LEN, "the longest problem has %u",
       (unsigned) longest);
}


static void
check_detail(const void *detail, size_t len, const char *want,
    const char *name)
{
    const char        *p, *q;
    phrony_problem_t   what;

    memset(&what, 0, sizeof(what));
    what.reason = PHRONY_REASON_BODY_INVALID;
    what.detail.len = len;
    what.detail.data = (unsigned char *) detail;

    p = strstr(problem(&what), "\"detail\":\"");
    q = strstr(p, "\",\"reason\":\"body_invalid\",\"instance\":\"\"}");

    if (!ok(q != NULL, "%s: the document goes on", name)) {
        return;
    }

    p += strlen("\"detail\":\"");
    is_str(p, (size_t) (q - p), want, name);
}


/* What we expect in a string, by decoding each character. */

static size_t
escaped(const unsigned char *data, size_t len, char *out)
{
    size_t  n;
    char   *p;

    for (p = out; len; data += n, len -= n) {
        n = decode(data, len);

        if (n == 0) {
            n = 1;
            p += sprintf(p, "\xef\xbf\xbd");

        } else {
            p += sprintf(p, "%s%.*s", (*data == '"') ? "\\" : "", (int) n,
                         (const char *) data);
        }
    }

    return (size_t) (p - out);
}


/* The length of a character of UTF-8, 0 if it is none, by its code point. */

static size_t
decode(const unsigned char *data, size_t len)
{
    size_t           i, n;
    uint32_t         code;
    const uint32_t   least[] = { 0, 0, 0x80, 0x800, 0x10000 };

    if (data[0] < 0x80) {
        return 1;
    }

    for (n = 0; n < 8 && (data[0] & (0x80 >> n)); n++) { /* void */ }

    if (n < 2 || n > 4 || n > len) {
        return 0;
    }

    code = data[0] & (0x7fU >> n);

    for (i = 1; i < n; i++) {
        if (data[i] >> 6 != 2) {
            return 0;
        }

        code = code << 6 | (data[i] & 0x3f);
    }

    if (code < least[n] || code > 0x10ffff || code >> 11 == 0x1b) {
        return 0;
    }

    return n;
}


static int
is_plain(const phrony_str_t *text)
{
    size_t  i;

    for (i = 0; i < text->len; i++) {
        if (text->data[i] < 0x20 || text->data[i] > 0x7e
            || text->data[i] == '"' || text->data[i] == '\\')
        {
            return 0;
        }
    }

    return 1;
}


static void
limits_clear(phrony_limit_t *limits)
{
    size_t  i;

    /* figures of a limit that is not set must not show */

    for (i = 0; i < PHRONY_LIMIT_MAX; i++) {
        limit_set(&limits[i], 12345, 12345, 12345);
        limits[i].set = 0;
    }
}


static void
limit_set(phrony_limit_t *limit, int64_t quota, int64_t remaining,
    int64_t reset)
{
    memset(limit, 0, sizeof(phrony_limit_t));

    limit->set = 1;
    limit->quota = quota;
    limit->remaining = remaining;
    limit->reset = reset;
}


static const char *
policy(const phrony_limit_t *limits)
{
    unsigned char  *buf;

    buf = malloc(PHRONY_FIELDS_POLICY_LEN);

    return terminated(buf, phrony_fields_policy(buf, limits),
                      PHRONY_FIELDS_POLICY_LEN);
}


static const char *
ratelimit(const phrony_limit_t *limits)
{
    unsigned char  *buf;

    buf = malloc(PHRONY_FIELDS_RATELIMIT_LEN);

    return terminated(buf, phrony_fields_ratelimit(buf, limits),
                      PHRONY_FIELDS_RATELIMIT_LEN);
}


static const char *
problem(const phrony_problem_t *what)
{
    unsigned char  *buf;

    buf = malloc(PHRONY_FIELDS_PROBLEM_LEN);

    return terminated(buf, phrony_fields_problem(buf, what),
                      PHRONY_FIELDS_PROBLEM_LEN);
}


/* A C string of a buffer, which is freed; good until the next but seven. */

static const char *
terminated(unsigned char *buf, size_t len, size_t size)
{
    static char      text[8][PHRONY_FIELDS_PROBLEM_LEN + 1];
    static unsigned  next;

    if (len > size) {
        abort();
    }

    next = (next + 1) % 8;
    memcpy(text[next], buf, len);
    text[next][len] = '\0';
    free(buf);

    return text[next];
}
