
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include <jansson.h>

#include "test.h"

#include "phrony_sessions.h"


/*
 * Lists are written short: a word of one letter each.
 *
 *     $T     a member triggerId, the trigger's;  $O  another trigger's
 *     $1     rootRunId and entryRunId of run 1;  $2 to $9 likewise
 *     @12.5  startedAt, so many seconds and ms before the date;  @-1  after
 *     $R     status Running;  $C  Completed
 */

#define TRIGGER  "0b1c2d3e-0000-4000-8000-00000000000a"
#define OTHER    "0b1c2d3e-0000-4000-8000-00000000000b"
#define RUN      "0b1c2d3e-0000-4000-8000-0000000000%02zx"

/* 2031-05-04T14:00:00Z */

#define DATE     ((int64_t) 1935669600 * 1000)

#define ALL      INT64_MAX

#define TEXT     65536


typedef struct {
    const char               *name;
    const char               *text;
    phrony_sessions_error_t   error;
    int64_t                   reach;
    const char               *sessions;     /* "run:age", "!" if ended */
} list_t;


static void test_lists(const list_t *lists, size_t n);
static void test_date(void);
static void test_terminal(void);
static void test_most(void);
static void test_prefixes(void);
static void test_bytes(void);
static void test_deep(void);
static void test_memory(void);
static phrony_sessions_error_t parse(phrony_sessions_t *list,
    const char *text, size_t len);
static void check(const list_t *list);
static const char *summary(const phrony_sessions_t *list);
static const char *expand(const char *text);
static char *expand_word(char *p, const char **text);
static char *expand_time(char *p, const char **text);
static void *failing_malloc(size_t size);


static phrony_str_t  terminal[] = {
    phrony_str("Completed"), phrony_str("FAILED")
};

static phrony_sessions_query_t  query;


static const list_t  reach[] = {

    /* all that there is */

    { "nothing", "{'items':[],'total':0}", 0, ALL, "" },
    { "one", "{'items':[{$T,$1,@5,$R}],'total':1}", 0, ALL, "1:5000" },
    { "oldest first", "{'total':3,'items':[{$T,$1,@5,$R},{$T,$2,@6.25,$C},"
      "{$T,$3,@70,$R}]}", 0, ALL, "3:70000 2:6250! 1:5000" },
    { "not sorted, but all", "{'total':4,'items':[{$T,$1,@5,$R},"
      "{$T,$2,@70,$R},{$T,$3,@1,$R},{$T,$4,@30,$R}]}", 0, ALL,
      "2:70000 4:30000 1:5000 3:1000" },
    { "other triggers", "{'total':3,'items':[{$O,$1,@5,$R},{$T,$2,@6,$R},"
      "{'triggerId':null,$3,@7,$R}]}", 0, ALL, "2:6000" },
    { "what others say does not matter", "{'total':4,'items':["
      "{$O,'startedAt':1},{},{$T,$2,@6,$R},{$O,$2,@-9}]}", 0, ALL,
      "2:6000" },
    { "a real number", "{'items':[{$T,$1,@5,$R}],'total':1.0}", 0, ALL,
      "1:5000" },
    { "members in any order, unknown ones", "{'a':[{}],'total':1,'items':"
      "[{'x':{'triggerId':1},$R,@5,$1,$T}],'b':null}", 0, ALL, "1:5000" },

    /* a part, newest first */

    { "a part", "{'total':9,'items':[{$T,$1,@5,$R},{$T,$2,@6.25,$R}]}", 0,
      6249, "2:6250 1:5000" },
    { "without a total", "{'items':[{$T,$1,@5,$R},{$T,$2,@6,$R}]}", 0, 5999,
      "2:6000 1:5000" },
    { "fewer than are there", "{'total':1,'items':[{$T,$1,@5,$R},"
      "{$T,$2,@6,$R}]}", 0, 5999, "2:6000 1:5000" },
    { "total is null", "{'total':null,'items':[{$T,$1,@5,$R}]}", 0, 4999,
      "1:5000" },
    { "total is a string", "{'total':'1','items':[{$T,$1,@5,$R}]}", 0, 4999,
      "1:5000" },
    { "total is not whole", "{'total':1.5,'items':[{$T,$1,@5,$R}]}", 0, 4999,
      "1:5000" },
    { "total is below 0", "{'total':-1,'items':[{$T,$1,@5,$R}]}", 0, 4999,
      "1:5000" },
    { "total is true", "{'total':true,'items':[{$T,$1,@5,$R}]}", 0, 4999,
      "1:5000" },
    { "equal starts fall", "{'items':[{$T,$1,@5,$R},{$T,$2,@5,$R},"
      "{$O,$3,@5,$R}]}", 0, 4999, "2:5000 1:5000" },
    { "others count for the reach", "{'total':9,'items':[{$O,@4},"
      "{$T,$1,@5,$R},{$O,@600}]}", 0, 599999, "1:5000" },
    { "only others", "{'total':9,'items':[{'triggerId':null,@4},{@5}]}", 0,
      4999, "" },
    { "the last began just now", "{'total':9,'items':[{$T,$1,@0,$R}]}", 0, 0,
      "1:0" },
    { "or a millisecond ago", "{'total':9,'items':[{$T,$1,@0.001,$R}]}", 0,
      0, "1:1" },
    { "or two", "{'total':9,'items':[{$T,$1,@0.002,$R}]}", 0, 1, "1:2" },
    { "or will begin", "{'total':9,'items':[{$T,$1,@-1,$R}]}", 0, 0, "1:0" },
    { "nothing of a part", "{'total':9,'items':[]}", 0, 0, "" },
    { "nothing without a total", "{'items':[]}", 0, 0, "" },

    /* a part, not in that order */

    { "starts rise", "{'total':9,'items':[{$T,$1,@6,$R},{$T,$2,@5.999,$R}]}",
      0, 0, "1:6000 2:5999" },
    { "an other's is not in order", "{'total':9,'items':[{$T,$1,@6,$R},"
      "{$O,@5},{$T,$2,@60,$R}]}", 0, 0, "2:60000 1:6000" },
    { "an other's has none", "{'total':9,'items':[{$O,'startedAt':null},"
      "{$T,$1,@6,$R}]}", 0, 0, "1:6000" },
    { "an other's last has none", "{'total':9,'items':[{$T,$1,@6,$R},{$O}]}",
      0, 0, "1:6000" },
    { "an other's is no date", "{'total':9,'items':[{$T,$1,@6,$R},"
      "{$O,'startedAt':'yesterday'}]}", 0, 0, "1:6000" },

    /* what the parser cannot hold */

    { "a number too large", "{'total':2,'items':[{$T,$1,@5,$R,"
      "'output':[1e999,18446744073709551616]}]}", 0, 4999, "1:5000" },
    { "its total is not known", "{'x':1e999,'total':7,'items':[]}", 0, 0,
      "" },
    { "nor is that of all", "{'x':1e999,'total':1,'items':[{$T,$1,@5}]}", 0,
      4999, "1:5000" },
    { "NUL in a name", "{'total':1,'items':[{$T,$1,@5,$C,"
      "'output':{'\\u0000':1}}]}", 0, 4999, "1:5000!" },
    { "NUL in a value", "{'total':1,'items':[{$T,$1,@5,$C,"
      "'output':'\\u0000'}]}", 0, ALL, "1:5000!" }
};


static const list_t  sessions[] = {

    /* the run */

    { "rootRunId alone", "{'total':1,'items':[{$T,@5,'rootRunId':"
      "'0b1c2d3e-0000-4000-8000-000000000007'}]}", 0, ALL, "7:5000" },
    { "entryRunId is null", "{'total':1,'items':[{$T,@5,'entryRunId':null,"
      "'rootRunId':'0b1c2d3e-0000-4000-8000-000000000007'}]}", 0, ALL,
      "7:5000" },
    { "entryRunId alone", "{'total':1,'items':[{$T,@5,'rootRunId':null,"
      "'entryRunId':'0b1c2d3e-0000-4000-8000-000000000007'}]}", 0, ALL,
      "7:5000" },
    { "they differ by case", "{'total':1,'items':[{$T,@5,"
      "'rootRunId':'0b1c2d3e-0000-4000-8000-00000000000d',"
      "'entryRunId':'0B1C2D3E-0000-4000-8000-00000000000D'}]}", 0, ALL,
      "13:5000" },
    { "they differ", "{'total':2,'items':[{$T,@5,"
      "'rootRunId':'0b1c2d3e-0000-4000-8000-000000000007',"
      "'entryRunId':'0b1c2d3e-0000-4000-8000-000000000008'},{$T,$1,@6,$R}]}",
      0, 0, "" },
    { "no run", "{'total':2,'items':[{$T,$1,@5,$R},{$T,@6,$R}]}", 0, 0, "" },
    { "both are null", "{'total':1,'items':[{$T,@6,$R,'rootRunId':null,"
      "'entryRunId':null}]}", 0, 0, "" },
    { "rootRunId is broken", "{'total':1,'items':[{$T,@6,$R,'rootRunId':"
      "'7','entryRunId':'0b1c2d3e-0000-4000-8000-000000000007'}]}", 0, 0,
      "" },
    { "entryRunId is broken", "{'total':1,'items':[{$T,@6,$R,'entryRunId':"
      "7,'rootRunId':'0b1c2d3e-0000-4000-8000-000000000007'}]}", 0, 0, "" },
    { "two sessions of one run", "{'total':3,'items':[{$T,$1,@5,$R},"
      "{$T,$2,@6,$R},{$T,$1,@7,$R}]}", 0, 0, "" },

    /* the trigger */

    { "its case does not matter", "{'total':1,'items':[{$1,@5,$R,"
      "'triggerId':'0B1C2D3E-0000-4000-8000-00000000000A'}]}", 0, ALL,
      "1:5000" },
    { "a broken one may be ours", "{'total':2,'items':[{$T,$1,@5,$R},"
      "{'triggerId':'api',$2,@6,$R}]}", 0, 0, "" },
    { "so may a number", "{'total':1,'items':[{'triggerId':7,$2,@6,$R}]}", 0,
      0, "" },

    /* the start */

    { "not started yet", "{'total':2,'items':[{$T,$1,$R,'startedAt':null},"
      "{$T,$2,@6,$R}]}", 0, 0, "" },
    { "no start", "{'total':2,'items':[{$T,$1,$R},{$T,$2,@6,$R}]}", 0, 0,
      "" },
    { "a start that is no date", "{'total':1,'items':[{$T,$1,$R,"
      "'startedAt':'2031-05-04'}]}", 0, 0, "" },
    { "a start that is a number", "{'total':1,'items':[{$T,$1,$R,"
      "'startedAt':1935669600}]}", 0, 0, "" },
    { "another zone", "{'total':1,'items':[{$T,$1,$R,"
      "'startedAt':'2031-05-04T16:59:59.5+03:00'}]}", 0, ALL, "1:500" },
    { "a second after the date", "{'total':1,'items':[{$T,$1,$R,@-1}]}", 0,
      ALL, "1:0" },
    { "two seconds after it", "{'total':1,'items':[{$T,$1,$R,@-2}]}", 0, ALL,
      "1:0" },
    { "more", "{'total':1,'items':[{$T,$1,$R,@-2.001}]}", 0, 0, "" },
    { "the first years", "{'total':1,'items':[{$T,$1,$R,"
      "'startedAt':'0000-01-01T00:00:00Z'}]}", 0, ALL, "1:64102888800000" },

    /* the status */

    { "without case", "{'total':2,'items':[{$T,$1,@5,'status':'completeD'},"
      "{$T,$2,@6,'status':'failed'}]}", 0, ALL, "2:6000! 1:5000!" },
    { "not finished", "{'total':5,'items':[{$T,$1,@5,'status':'Complete'},"
      "{$T,$2,@6,'status':'Completed '},{$T,$3,@7,'status':''},"
      "{$T,$4,@8,'status':'Cancelled'},{$T,$5,@9,"
      "'status':'Completed\\u0000'}]}", 0, ALL,
      "5:9000 4:8000 3:7000 2:6000 1:5000" },
    { "no status", "{'total':3,'items':[{$T,$1,@5},{$T,$2,@6,'status':null},"
      "{$T,$3,@7,'status':['Completed']}]}", 0, ALL, "3:7000 2:6000 1:5000" }
};


static const list_t  broken[] = {
    { "nothing at all", "", PHRONY_SESSIONS_INVALID, 0, "" },
    { "a blank", " ", PHRONY_SESSIONS_INVALID, 0, "" },
    { "an object without items", "{'total':0}", PHRONY_SESSIONS_INVALID, 0,
      "" },
    { "items is null", "{'items':null,'total':0}", PHRONY_SESSIONS_INVALID,
      0, "" },
    { "items is an object", "{'items':{},'total':0}",
      PHRONY_SESSIONS_INVALID, 0, "" },
    { "an array", "[{'items':[],'total':0}]", PHRONY_SESSIONS_INVALID, 0,
      "" },
    { "a string", "'items'", PHRONY_SESSIONS_INVALID, 0, "" },
    { "null", "null", PHRONY_SESSIONS_INVALID, 0, "" },
    { "an item that is no object", "{'total':2,'items':[null,"
      "{$T,$1,@5,$R}]}", PHRONY_SESSIONS_INVALID, 0, "" },
    { "likewise, the last", "{'total':2,'items':[{$T,$1,@5,$R},[]]}",
      PHRONY_SESSIONS_INVALID, 0, "" },
    { "likewise, beside one in doubt", "{'total':2,'items':[[],{$T}]}",
      PHRONY_SESSIONS_INVALID, 0, "" },
    { "two items", "{'items':[],'items':[],'total':0}",
      PHRONY_SESSIONS_INVALID, 0, "" },
    { "two totals", "{'items':[],'total':1,'total':0}",
      PHRONY_SESSIONS_INVALID, 0, "" },
    { "two starts", "{'total':1,'items':[{$T,$1,@5,@6,$R}]}",
      PHRONY_SESSIONS_INVALID, 0, "" },
    { "two of anything", "{'total':1,'items':[{$T,$1,@5,$R,"
      "'output':{'a':1,'\\u0061':2}}]}", PHRONY_SESSIONS_INVALID, 0, "" },
    { "more behind it", "{'items':[],'total':0}{}", PHRONY_SESSIONS_INVALID,
      0, "" },
    { "a comma too many", "{'items':[{$T,$1,@5,$R},],'total':1}",
      PHRONY_SESSIONS_INVALID, 0, "" },
    { "a byte order mark", "\xef\xbb\xbf{'items':[],'total':0}",
      PHRONY_SESSIONS_INVALID, 0, "" },
    { "a byte that is no UTF-8", "{'items':[],'total':0,'\xff':1}",
      PHRONY_SESSIONS_INVALID, 0, "" },
    { "half a pair", "{'items':[],'total':0,'a':'\\ud800'}",
      PHRONY_SESSIONS_INVALID, 0, "" }
};


int
main(void)
{
    phrony_str_t  id;

    id = str(TRIGGER);
    (void) phrony_uuid_parse(&id, &query.trigger_id);

    query.date = DATE;
    query.terminal = terminal;
    query.nterminal = 2;

    test_lists(reach, sizeof(reach) / sizeof(reach[0]));
    test_lists(sessions, sizeof(sessions) / sizeof(sessions[0]));
    test_lists(broken, sizeof(broken) / sizeof(broken[0]));
    test_date();
    test_terminal();
    test_most();
    test_prefixes();
    test_bytes();
    test_deep();
    test_memory();

    return done();
}


static void
test_lists(const list_t *lists, size_t n)
{
    size_t  i;

    for (i = 0; i < n; i++) {
        check(&lists[i]);
    }
}


/* An age is a difference: another date, another age. */

static void
test_date(void)
{
    size_t  i;

    static const struct {
        int64_t  late;
        list_t   list;
    } dates[] = {
        { 1000, { "a second later", "{'total':2,'items':[{$T,$1,@5,$R}]}", 0,
                  5999, "1:6000" } },
        { -4000, { "four earlier", "{'total':2,'items':[{$T,$1,@5,$R}]}", 0,
                   999, "1:1000" } },
        { -7000, { "seven earlier", "{'total':1,'items':[{$T,$1,@5,$R}]}", 0,
                   ALL, "1:0" } },
        { -7001, { "a little more", "{'total':1,'items':[{$T,$1,@5,$R}]}", 0,
                   0, "" } },
        { -DATE, { "in 1970", "{'total':1,'items':[{$T,$1,@5,$R}]}", 0, 0,
                   "" } }
    };

    for (i = 0; i < sizeof(dates) / sizeof(dates[0]); i++) {
        query.date = DATE + dates[i].late;
        check(&dates[i].list);
    }

    query.date = DATE;
}


static void
test_terminal(void)
{
    static const list_t  list = {
        "no status is terminal", "{'total':1,'items':[{$T,$1,@5,$C}]}", 0,
        ALL, "1:5000"
    };

    query.nterminal = 0;
    check(&list);
    query.nterminal = 2;
}


/* As many as there is room for, and one more. */

static void
test_most(void)
{
    char               text[TEXT], *p;
    size_t             i, n;
    phrony_sessions_t  list;

    for (n = PHRONY_SESSIONS_MAX; n <= PHRONY_SESSIONS_MAX + 1; n++) {
        p = text + sprintf(text, "{\"total\":%zu,\"items\":[", 2 * n);

        for (i = 0; i < n; i++) {
            p += sprintf(p, "%s{\"triggerId\":\"" TRIGGER "\",\"rootRunId\":\""
                         RUN "\",\"startedAt\":\"2031-05-04T13:58:%02zu."
                         "%03zuZ\"},{\"triggerId\":\"" OTHER "\"}",
                         i ? "," : "", i, i % 60, i);
        }

        sprintf(p, "]}");

        is_int(parse(&list, text, strlen(text)), PHRONY_SESSIONS_OK,
               "many sessions");
        is_int(list.n, n > PHRONY_SESSIONS_MAX ? 0 : n, "how many");
        ok(list.reach == (n > PHRONY_SESSIONS_MAX ? 0 : ALL), "reach");

        for (i = 1; i < list.n; i++) {
            ok(list.sessions[i - 1].age > list.sessions[i].age,
               "session %zu is older than the next", i);
        }
    }
}


/* No shorter text of a valid one is read beyond its end, or accepted. */

static void
test_prefixes(void)
{
    char               text[TEXT];
    size_t             len, n;
    phrony_sessions_t  list;

    strcpy(text, expand("{'items':[{$T,$1,@5,$C,'output':{'a':[1.5,'\\u00e9',"
                        "true]}},{$O,@6}],'total':2}"));
    len = strlen(text);

    for (n = 0; n < len; n++) {
        ok(parse(&list, text, n) == PHRONY_SESSIONS_INVALID
           && list.n == 0 && list.reach == 0, "the first %zu bytes", n);
    }

    ok(parse(&list, text, len) == PHRONY_SESSIONS_OK && list.n == 1, "all");

    text[len] = '\0';

    is_int(parse(&list, text, len + 1), PHRONY_SESSIONS_INVALID,
           "a NUL behind it");

    memcpy(text + len - 2, "2\0}", 3);

    is_int(parse(&list, text, len + 1), PHRONY_SESSIONS_INVALID,
           "a NUL behind a number");
}


/* Any byte anywhere: an error, or a list that keeps its promises. */

static void
test_bytes(void)
{
    char               text[TEXT], was;
    size_t             i, k, len;
    unsigned           bad;
    phrony_sessions_t  list;

    strcpy(text, expand("{'items':[{$T,$1,@5,$C},{$T,$2,@6,$R}],'total':9}"));
    len = strlen(text);
    bad = 0;

    for (i = 0; i < len; i++) {
        was = text[i];

        for (k = 0; k < 256; k += 5) {
            text[i] = (char) k;

            if (parse(&list, text, len) != PHRONY_SESSIONS_OK) {
                bad += (list.n || list.reach);
                continue;
            }

            bad += (list.n > 2 || list.reach < 0
                    || (list.n == 2
                        && list.sessions[0].age < list.sessions[1].age));
        }

        text[i] = was;
    }

    is_int(bad, 0, "bytes replaced");
}


static void
test_deep(void)
{
    char               *text;
    size_t              n;
    phrony_sessions_t   list;

    n = 1000000;
    text = malloc(n + 32);
    strcpy(text, "{\"items\":[");
    memset(text + 10, '[', n);

    is_int(parse(&list, text, n + 10), PHRONY_SESSIONS_INVALID,
           "a million arrays");

    free(text);
}


static void
test_memory(void)
{
    long                     n, seen, nomem;
    char                     text[TEXT];
    size_t                   i;
    phrony_sessions_t        list;
    phrony_sessions_error_t  rc;

    static const char  *texts[] = {
        "{'items':[{$T,$1,@5,$C}],'total':1}",
        "{'items':[{$T,$1,@5,$C,'\\u0000':1e999}],'total':1}"
    };

    for (i = 0; i < 2; i++) {
        strcpy(text, expand(texts[i]));

        rc = PHRONY_SESSIONS_INVALID;
        seen = 0;
        nomem = 0;

        json_set_alloc_funcs(failing_malloc, test_free);

        for (n = 1; n < 1000; n++) {
            fail_at(n);
            rc = phrony_sessions_parse(&list, (unsigned char *) text,
                                       strlen(text), &query);
            seen = allocs();
            fail_at(-1);

            if (seen < n) {
                break;
            }

            /* of a string that lost a byte the parser does not tell */

            ok(rc == PHRONY_SESSIONS_NOMEM || rc == PHRONY_SESSIONS_OK,
               "allocation %ld fails", n);
            ok(list.n == 0 && list.reach == 0, "nothing is sure then");

            nomem += (rc == PHRONY_SESSIONS_NOMEM);
        }

        json_set_alloc_funcs(malloc, free);

        ok(n > 5 && seen < n && rc == PHRONY_SESSIONS_OK && list.n == 1,
           "enough memory");
        ok(nomem > n - 5, "mostly it is told");
    }
}


/* In memory of just that size, for the sanitizer; "list" is full of ones. */

static phrony_sessions_error_t
parse(phrony_sessions_t *list, const char *text, size_t len)
{
    unsigned char            *data;
    phrony_sessions_error_t   rc;

    memset(list, 0xff, sizeof(phrony_sessions_t));

    data = malloc(len ? len : 1);
    memcpy(data, text, len);

    rc = phrony_sessions_parse(list, data, len, &query);

    free(data);

    return rc;
}


static void
check(const list_t *list)
{
    const char         *text;
    phrony_sessions_t   got;

    text = expand(list->text);

    is_int(parse(&got, text, strlen(text)), list->error, list->name);
    ok(got.reach == list->reach, "%s: reach %lld", list->name,
       (long long) got.reach);

    text = summary(&got);
    is_str(text, strlen(text), list->sessions, list->name);
}


/* The sessions as tables have them. */

static const char *
summary(const phrony_sessions_t *list)
{
    char                    *p;
    size_t                   i;
    const phrony_session_t  *session;

    static char  text[TEXT];

    p = text;
    *p = '\0';

    for (i = 0; i < list->n; i++) {
        session = &list->sessions[i];

        p += sprintf(p, "%s%d:%lld%s", i ? " " : "",
                     session->run_id.bytes[PHRONY_UUID_LEN - 1],
                     (long long) session->age, session->ended ? "!" : "");
    }

    return text;
}


/* The JSON text of a short one; single quotes stand for double ones. */

static const char *
expand(const char *text)
{
    char  *p;

    static char  json[TEXT];

    p = json;

    while (*text) {

        switch (*text) {

        case '$':
            p = expand_word(p, &text);
            break;

        case '@':
            p = expand_time(p, &text);
            break;

        case '\'':
            *p++ = '"';
            text++;
            break;

        default:
            *p++ = *text++;
        }
    }

    *p = '\0';

    return json;
}


static char *
expand_word(char *p, const char **text)
{
    char    ch;
    size_t  n;

    ch = (*text)[1];
    *text += 2;

    switch (ch) {

    case 'T':
        return p + sprintf(p, "\"triggerId\":\"" TRIGGER "\"");

    case 'O':
        return p + sprintf(p, "\"triggerId\":\"" OTHER "\"");

    case 'R':
        return p + sprintf(p, "\"status\":\"Running\"");

    case 'C':
        return p + sprintf(p, "\"status\":\"Completed\"");
    }

    n = (size_t) (ch - '0');

    return p + sprintf(p, "\"rootRunId\":\"" RUN "\",\"entryRunId\":\"" RUN
                       "\"", n, n);
}


/* 14:00:00 less up to 14 hours, or plus up to a minute. */

static char *
expand_time(char *p, const char **text)
{
    int    late;
    long   ms;
    char  *end;

    late = ((*text)[1] == '-');

    ms = (long) (strtod(*text + 1 + late, &end) * 1000 + 0.5);
    ms = 14 * 3600000 + (late ? ms : -ms);

    *text = end;

    return p + sprintf(p, "\"startedAt\":\"2031-05-04T%02ld:%02ld:%02ld."
                       "%03ldZ\"", ms / 3600000, ms / 60000 % 60,
                       ms / 1000 % 60, ms % 1000);
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
