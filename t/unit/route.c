
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "test.h"

#include "phrony_route.h"


/* Two ids, and variants of the first. */

#define ID        "0a1b2c3d-4e5f-6789-abcd-ef0123456789"
#define ID_UPPER  "0A1B2C3D-4E5F-6789-ABCD-EF0123456789"
#define ID_MIXED  "0a1B2c3D-4e5F-6789-aBcD-eF0123456789"
#define NIL       "00000000-0000-0000-0000-000000000000"

#define AGENT     "/v1/agents/" ID
#define RUN       "/v1/runs/" ID
#define FILES     "/v1/file-library"

#define GET       PHRONY_METHOD_GET
#define HEAD      PHRONY_METHOD_HEAD
#define POST      PHRONY_METHOD_POST
#define OPTIONS   PHRONY_METHOD_OPTIONS
#define OTHER     PHRONY_METHOD_OTHER

#define READ      (GET | HEAD)
#define ANY       (GET | HEAD | POST | OPTIONS | OTHER)


/* A path that is a route, whatever the method. */

typedef struct {
    const char           *path;
    phrony_route_kind_t   kind;
    unsigned              methods;
    unsigned              agent;
    unsigned              run;
} route_t;


/* One decision about a method, written out. */

typedef struct {
    const char           *path;
    phrony_method_t       method;
    int                   preflight;
    phrony_reason_t       reason;
    phrony_route_kind_t   kind;
} decision_t;


static void test_routes(void);
static void test_refused(const char *title, const phrony_str_t *paths,
    phrony_reason_t reason);
static void test_decisions(void);
static void test_ids(void);
static void test_every_byte(void);
static void test_every_insertion(void);
static void test_every_length(void);
static void test_overlong(void);
static void test_parts(void);
static void test_names(void);
static int agrees(const route_t *want, phrony_method_t method, int preflight);
static phrony_reason_t parse(const phrony_str_t *path, phrony_method_t method,
    int preflight, phrony_route_t *route);
static int is_canonical(int ch);


static const phrony_method_t  methods[] = { GET, HEAD, POST, OPTIONS, OTHER };

#define METHODS  (sizeof(methods) / sizeof(methods[0]))


static const route_t  routes[] = {
    { AGENT, PHRONY_ROUTE_AGENT, READ, 1, 0 },
    { "/v1/agents/" ID_UPPER, PHRONY_ROUTE_AGENT, READ, 1, 0 },
    { "/v1/agents/" ID_MIXED, PHRONY_ROUTE_AGENT, READ, 1, 0 },

    { AGENT "/runs", PHRONY_ROUTE_START, POST, 1, 0 },
    { "/v1/agents/" ID_UPPER "/runs", PHRONY_ROUTE_START, POST, 1, 0 },
    { "/v1/agents/" ID_MIXED "/runs", PHRONY_ROUTE_START, POST, 1, 0 },

    { AGENT "/sessions", PHRONY_ROUTE_SESSIONS, READ, 1, 0 },
    { "/v1/agents/" ID_UPPER "/sessions",
      PHRONY_ROUTE_SESSIONS, READ, 1, 0 },

    { AGENT "/runs/x", PHRONY_ROUTE_AGENT, READ, 1, 0 },
    { AGENT "/runs/runs", PHRONY_ROUTE_AGENT, READ, 1, 0 },
    { AGENT "/runs/RUNS", PHRONY_ROUTE_AGENT, READ, 1, 0 },
    { AGENT "/runs/" ID, PHRONY_ROUTE_AGENT, READ, 1, 0 },
    { AGENT "/sessions/x", PHRONY_ROUTE_AGENT, READ, 1, 0 },
    { AGENT "/sessions/" ID "/x", PHRONY_ROUTE_AGENT, READ, 1, 0 },
    { AGENT "/x", PHRONY_ROUTE_AGENT, READ, 1, 0 },
    { AGENT "/x/runs", PHRONY_ROUTE_AGENT, READ, 1, 0 },
    { AGENT "/x/RUNS", PHRONY_ROUTE_AGENT, READ, 1, 0 },
    { AGENT "/run", PHRONY_ROUTE_AGENT, READ, 1, 0 },
    { AGENT "/runss", PHRONY_ROUTE_AGENT, READ, 1, 0 },
    { AGENT "/runs.", PHRONY_ROUTE_AGENT, READ, 1, 0 },
    { AGENT "/runs~", PHRONY_ROUTE_AGENT, READ, 1, 0 },
    { AGENT "/.runs", PHRONY_ROUTE_AGENT, READ, 1, 0 },
    { AGENT "/..runs", PHRONY_ROUTE_AGENT, READ, 1, 0 },
    { AGENT "/session", PHRONY_ROUTE_AGENT, READ, 1, 0 },
    { AGENT "/presign", PHRONY_ROUTE_AGENT, READ, 1, 0 },
    { AGENT "/AGENTS", PHRONY_ROUTE_AGENT, READ, 1, 0 },
    { AGENT "/" ID, PHRONY_ROUTE_AGENT, READ, 1, 0 },
    { AGENT "/...", PHRONY_ROUTE_AGENT, READ, 1, 0 },
    { AGENT "/.x", PHRONY_ROUTE_AGENT, READ, 1, 0 },
    { AGENT "/x.", PHRONY_ROUTE_AGENT, READ, 1, 0 },
    { AGENT "/x..", PHRONY_ROUTE_AGENT, READ, 1, 0 },
    { AGENT "/..x", PHRONY_ROUTE_AGENT, READ, 1, 0 },
    { AGENT "/a.b-c_d~e", PHRONY_ROUTE_AGENT, READ, 1, 0 },
    { AGENT "/a/b/c/d/e/f/g", PHRONY_ROUTE_AGENT, READ, 1, 0 },

    { RUN, PHRONY_ROUTE_RUN, ANY, 0, 1 },
    { "/v1/runs/" ID_UPPER, PHRONY_ROUTE_RUN, ANY, 0, 1 },
    { "/v1/runs/" ID_MIXED, PHRONY_ROUTE_RUN, ANY, 0, 1 },
    { RUN "/conversation", PHRONY_ROUTE_RUN, ANY, 0, 1 },
    { RUN "/stream", PHRONY_ROUTE_RUN, ANY, 0, 1 },
    { RUN "/messages", PHRONY_ROUTE_RUN, ANY, 0, 1 },
    { RUN "/input", PHRONY_ROUTE_RUN, ANY, 0, 1 },
    { RUN "/skip-agent-wait", PHRONY_ROUTE_RUN, ANY, 0, 1 },
    { RUN "/RUNS", PHRONY_ROUTE_RUN, ANY, 0, 1 },
    { RUN "/a/b/c", PHRONY_ROUTE_RUN, ANY, 0, 1 },

    { FILES "/presign", PHRONY_ROUTE_FILES, POST, 0, 0 },
    { FILES "/finalize", PHRONY_ROUTE_FILES, POST, 0, 0 }
};


static const phrony_str_t  not_canonical[] = {

    /* not a path */
    phrony_str(""), phrony_str("*"), phrony_str("v1"), phrony_str("."),
    phrony_str("v1/agents/" ID "/runs"), phrony_str("a/v1/runs/" ID),
    phrony_str("http://a" RUN), phrony_str("HTTP://a/"),
    phrony_str("host:443"), phrony_str("\\v1\\runs\\" ID),
    phrony_str("%2fv1/runs/" ID), phrony_str(" " RUN), phrony_str("\0" RUN),

    /* empty segments and trailing slashes */
    phrony_str("//"), phrony_str("///"), phrony_str("//v1/runs/" ID),
    phrony_str("/v1//runs/" ID), phrony_str("/v1/runs//" ID),
    phrony_str("/v1/agents/" ID "//runs"), phrony_str("/v1/"),
    phrony_str("/v1/agents/"), phrony_str("/v1/runs/"),
    phrony_str(AGENT "/"), phrony_str(AGENT "/runs/"),
    phrony_str(AGENT "/runs//"), phrony_str(AGENT "/sessions/"),
    phrony_str(AGENT "/x//y"), phrony_str(RUN "/"), phrony_str(RUN "//"),
    phrony_str(RUN "/stream/"), phrony_str(FILES "/"),
    phrony_str(FILES "/presign/"), phrony_str("/other/"),
    phrony_str("/other//x"),

    /* dot segments */
    phrony_str("/."), phrony_str("/.."), phrony_str("/./v1/runs/" ID),
    phrony_str("/../v1/runs/" ID), phrony_str("/v1/./runs/" ID),
    phrony_str("/v1/../v1/runs/" ID), phrony_str("/v1/runs/./" ID),
    phrony_str("/v1/runs/x/../" ID), phrony_str(AGENT "/."),
    phrony_str(AGENT "/.."), phrony_str(AGENT "/./runs"),
    phrony_str(AGENT "/../" ID "/runs"), phrony_str(AGENT "/x/../runs"),
    phrony_str(AGENT "/x/./y"), phrony_str(RUN "/."), phrony_str(RUN "/.."),
    phrony_str(RUN "/../" NIL), phrony_str(RUN "/a/b/c/d/../e"),
    phrony_str(FILES "/./presign"), phrony_str(FILES "/x/../presign"),
    phrony_str("/other/.."), phrony_str("/other/../v1"),

    /* percent-encodings, whole and broken */
    phrony_str("/%"), phrony_str("/v1/runs/" ID "%"), phrony_str("/%2e"),
    phrony_str("/%2e%2e" RUN), phrony_str("/v1%2fruns%2f" ID),
    phrony_str("/v1/agents/" ID "%2fruns"),
    phrony_str("/v1/agents/" ID "%2Fruns"),
    phrony_str(AGENT "/%72uns"), phrony_str(AGENT "/run%73"),
    phrony_str(AGENT "/runs%20"), phrony_str(AGENT "/runs%00"),
    phrony_str(AGENT "/runs%2f"), phrony_str(AGENT "/%2e%2e/x"),
    phrony_str(AGENT "/..%2fx"), phrony_str(AGENT "/%252e%252e/x"),
    phrony_str(AGENT "/runs%3fx"), phrony_str(AGENT "/runs%23"),
    phrony_str(AGENT "/runs%"), phrony_str(AGENT "/runs%2"),
    phrony_str(AGENT "/runs%zz"), phrony_str(AGENT "/%u0072uns"),
    phrony_str("/%76%31/runs/" ID), phrony_str("/v1/%61gents/" ID),
    phrony_str("/v1/agents/%30a1b2c3d-4e5f-6789-abcd-ef0123456789"),
    phrony_str("/v1/agents/0a1b2c3d%2d4e5f-6789-abcd-ef0123456789"),
    phrony_str(AGENT "/x%41"), phrony_str("/other%20path"),

    /* other bytes that somebody may give a meaning */
    phrony_str(AGENT "/runs;"), phrony_str(AGENT "/runs;x=y"),
    phrony_str(AGENT ";/runs"), phrony_str("/v1;x/runs/" ID),
    phrony_str(AGENT "/..;/x"), phrony_str(RUN ";jsessionid=1"),
    phrony_str(AGENT "\\runs"), phrony_str(AGENT "/..\\x"),
    phrony_str(AGENT "/runs\\"), phrony_str("/v1\\runs/" ID),
    phrony_str(AGENT "/runs?"), phrony_str(AGENT "/runs?a=b"),
    phrony_str(AGENT "/runs#"), phrony_str(AGENT "#/runs"),
    phrony_str(AGENT "/runs+"), phrony_str(AGENT "/ru ns"),
    phrony_str(AGENT "/runs,x"), phrony_str(AGENT "/runs:x"),
    phrony_str(AGENT "/runs@x"), phrony_str(AGENT "/runs=x"),
    phrony_str(AGENT "/runs&x"), phrony_str(AGENT "/$runs"),
    phrony_str(AGENT "/(runs)"), phrony_str(AGENT "/runs!"),
    phrony_str(AGENT "/runs'"), phrony_str(AGENT "/\"runs\""),
    phrony_str(AGENT "/*"), phrony_str("/*"), phrony_str(AGENT "/{x}"),
    phrony_str(AGENT "/[x]"), phrony_str(AGENT "/x|y"),
    phrony_str(AGENT "/x^y"), phrony_str(AGENT "/x`y"),
    phrony_str(AGENT "/<x>"),

    /* control and non-ASCII bytes */
    phrony_str(AGENT "/runs\0"), phrony_str(AGENT "\0/runs"),
    phrony_str(AGENT "/\0"), phrony_str("/v1/runs/" ID "\0"),
    phrony_str("/\0"), phrony_str(AGENT "/runs\0/x"),
    phrony_str(AGENT "/runs\t"), phrony_str(AGENT "/runs "),
    phrony_str(AGENT "/runs\r"), phrony_str(AGENT "/runs\n"),
    phrony_str(AGENT "/runs\r\nX: y"), phrony_str(AGENT "/runs\x1f"),
    phrony_str(AGENT "/runs\x7f"), phrony_str(AGENT "/\x80"),
    phrony_str(AGENT "/runs\xff"), phrony_str(AGENT "/r\xc3\xbcns"),
    phrony_str(AGENT "/\xc5\xbf" "essions"),       /* long s, folds to s */
    phrony_str(AGENT "/\xef\xbd\x92uns"),       /* full-width r */
    phrony_str(AGENT "/\xc0\xae\xc0\xae/x"),    /* overlong ".." */
    phrony_str(AGENT "\xc0\xafruns"),           /* overlong "/" */
    phrony_str(AGENT "\xe2\x88\x95runs"),       /* division slash */
    phrony_str("/other/\xc3\xa9"),

    /* fixed segments in another case */
    phrony_str("/V1"), phrony_str("/V1/runs/" ID), phrony_str("/V1/other"),
    phrony_str("/V1/agents/" ID "/runs"), phrony_str("/v1/Agents"),
    phrony_str("/v1/AGENTS/" ID "/runs"), phrony_str("/v1/agentS/" ID),
    phrony_str("/v1/Agents/x"), phrony_str("/v1/Runs"),
    phrony_str("/v1/RUNS/" ID), phrony_str("/v1/runS/" ID "/stream"),
    phrony_str("/v1/File-library/presign"), phrony_str("/v1/FILE-LIBRARY"),
    phrony_str("/v1/file-Library/x"), phrony_str(FILES "/Presign"),
    phrony_str(FILES "/PRESIGN"), phrony_str(FILES "/finaliZe"),
    phrony_str(FILES "/FINALIZE"), phrony_str(FILES "/PRESIGN/x"),
    phrony_str(AGENT "/Runs"), phrony_str(AGENT "/RUNS"),
    phrony_str(AGENT "/runS"), phrony_str(AGENT "/rUns/x"),
    phrony_str(AGENT "/Sessions"), phrony_str(AGENT "/SESSIONS"),
    phrony_str(AGENT "/sessionS"), phrony_str(AGENT "/sEssions/x"),

    /* what is not a UUID where an id belongs */
    phrony_str("/v1/agents/x"), phrony_str("/v1/agents/x/runs"),
    phrony_str("/v1/agents/runs"), phrony_str("/v1/agents/sessions"),
    phrony_str("/v1/agents/0"), phrony_str("/v1/agents/-"),
    phrony_str("/v1/agents/0a1b2c3d4e5f6789abcdef0123456789/runs"),
    phrony_str("/v1/agents/0a1b2c3d-4e5f-6789-abcd-ef012345678/runs"),
    phrony_str("/v1/agents/0a1b2c3d-4e5f-6789-abcd-ef01234567890/runs"),
    phrony_str("/v1/agents/0a1b2c3d-4e5f-6789-abcd-ef012345678g/runs"),
    phrony_str("/v1/agents/0a1b2c3d_4e5f_6789_abcd_ef0123456789/runs"),
    phrony_str("/v1/agents/0a1b2c3-d4e5f-6789-abcd-ef0123456789/runs"),
    phrony_str("/v1/agents/" ID "." "/runs"),
    phrony_str("/v1/agents/" ID "~"), phrony_str("/v1/agents/." ID),
    phrony_str("/v1/agents/" ID ID), phrony_str("/v1/agents/" ID "-runs"),
    phrony_str("/v1/runs/x"), phrony_str("/v1/runs/x/stream"),
    phrony_str("/v1/runs/" ID "0"), phrony_str("/v1/runs/" ID ".json"),
    phrony_str("/v1/runs/stream/" ID), phrony_str("/v1/runs/agents/" ID),
    phrony_str("/v1/agents/agents/" ID),

    { 0, NULL }
};


static const phrony_str_t  unknown[] = {
    phrony_str("/"), phrony_str("/v1"), phrony_str("/v1/agents"),
    phrony_str("/v1/runs"), phrony_str(FILES), phrony_str("/v1/other"),
    phrony_str("/v1/other/" ID), phrony_str("/v1/agent/" ID),
    phrony_str("/v1/agentss/" ID), phrony_str("/v1/run/" ID),
    phrony_str("/v1/runss/" ID), phrony_str("/v1/sessions/" ID),
    phrony_str("/v1/" ID), phrony_str("/v1/..."), phrony_str("/v2"),
    phrony_str("/v2/runs/" ID), phrony_str("/v11/runs/" ID),
    phrony_str("/v/runs/" ID), phrony_str("/v1.0/runs/" ID),
    phrony_str("/1/runs/" ID), phrony_str("/runs/" ID),
    phrony_str("/agents/" ID "/runs"), phrony_str("/api/v1/runs/" ID),
    phrony_str("/v1/v1/runs/" ID), phrony_str(FILES "/other"),
    phrony_str(FILES "/presign/x"), phrony_str(FILES "/finalize/x/y"),
    phrony_str(FILES "/presig"), phrony_str(FILES "/presignn"),
    phrony_str(FILES "/presign."), phrony_str(FILES "/finalise"),
    phrony_str(FILES "/" ID), phrony_str(FILES "/x/presign"),
    phrony_str("/v1/file_library/presign"), phrony_str("/v1/filelibrary"),
    phrony_str("/..."), phrony_str("/.v1"), phrony_str("/~"),
    phrony_str("/favicon.ico"), phrony_str("/other/V1/RUNS"),
    { 0, NULL }
};


static const decision_t  decisions[] = {

    { AGENT "/runs", POST, 0, PHRONY_REASON_NONE, PHRONY_ROUTE_START },
    { AGENT "/runs", POST, 1, PHRONY_REASON_NONE, PHRONY_ROUTE_START },
    { AGENT "/runs", GET, 0, PHRONY_REASON_METHOD_NOT_ALLOWED,
      PHRONY_ROUTE_START },
    { AGENT "/runs", HEAD, 0, PHRONY_REASON_METHOD_NOT_ALLOWED,
      PHRONY_ROUTE_START },
    { AGENT "/runs", OTHER, 0, PHRONY_REASON_METHOD_NOT_ALLOWED,
      PHRONY_ROUTE_START },
    { AGENT "/runs", OPTIONS, 0, PHRONY_REASON_METHOD_NOT_ALLOWED,
      PHRONY_ROUTE_START },
    { AGENT "/runs", OPTIONS, 1, PHRONY_REASON_NONE,
      PHRONY_ROUTE_PREFLIGHT },

    { AGENT "/sessions", GET, 0, PHRONY_REASON_NONE, PHRONY_ROUTE_SESSIONS },
    { AGENT "/sessions", HEAD, 0, PHRONY_REASON_NONE,
      PHRONY_ROUTE_SESSIONS },
    { AGENT "/sessions", POST, 0, PHRONY_REASON_METHOD_NOT_ALLOWED,
      PHRONY_ROUTE_SESSIONS },
    { AGENT "/sessions", OTHER, 0, PHRONY_REASON_METHOD_NOT_ALLOWED,
      PHRONY_ROUTE_SESSIONS },
    { AGENT "/sessions", OPTIONS, 0, PHRONY_REASON_METHOD_NOT_ALLOWED,
      PHRONY_ROUTE_SESSIONS },
    { AGENT "/sessions", OPTIONS, 1, PHRONY_REASON_NONE,
      PHRONY_ROUTE_PREFLIGHT },

    { AGENT, GET, 0, PHRONY_REASON_NONE, PHRONY_ROUTE_AGENT },
    { AGENT, GET, 1, PHRONY_REASON_NONE, PHRONY_ROUTE_AGENT },
    { AGENT, HEAD, 0, PHRONY_REASON_NONE, PHRONY_ROUTE_AGENT },
    { AGENT, POST, 0, PHRONY_REASON_METHOD_NOT_ALLOWED, PHRONY_ROUTE_AGENT },
    { AGENT, OTHER, 0, PHRONY_REASON_METHOD_NOT_ALLOWED,
      PHRONY_ROUTE_AGENT },
    { AGENT, OPTIONS, 0, PHRONY_REASON_METHOD_NOT_ALLOWED,
      PHRONY_ROUTE_AGENT },
    { AGENT, OPTIONS, 1, PHRONY_REASON_NONE, PHRONY_ROUTE_PREFLIGHT },

    { AGENT "/runs/x", GET, 0, PHRONY_REASON_NONE, PHRONY_ROUTE_AGENT },
    { AGENT "/runs/x", POST, 0, PHRONY_REASON_METHOD_NOT_ALLOWED,
      PHRONY_ROUTE_AGENT },
    { AGENT "/x", OTHER, 0, PHRONY_REASON_METHOD_NOT_ALLOWED,
      PHRONY_ROUTE_AGENT },

    { RUN, GET, 0, PHRONY_REASON_NONE, PHRONY_ROUTE_RUN },
    { RUN, HEAD, 0, PHRONY_REASON_NONE, PHRONY_ROUTE_RUN },
    { RUN, POST, 0, PHRONY_REASON_NONE, PHRONY_ROUTE_RUN },
    { RUN, OTHER, 0, PHRONY_REASON_NONE, PHRONY_ROUTE_RUN },
    { RUN, OPTIONS, 0, PHRONY_REASON_NONE, PHRONY_ROUTE_RUN },
    { RUN, OPTIONS, 1, PHRONY_REASON_NONE, PHRONY_ROUTE_PREFLIGHT },
    { RUN "/messages", POST, 0, PHRONY_REASON_NONE, PHRONY_ROUTE_RUN },
    { RUN "/messages", OPTIONS, 1, PHRONY_REASON_NONE,
      PHRONY_ROUTE_PREFLIGHT },

    { FILES "/presign", POST, 0, PHRONY_REASON_NONE, PHRONY_ROUTE_FILES },
    { FILES "/finalize", POST, 0, PHRONY_REASON_NONE, PHRONY_ROUTE_FILES },
    { FILES "/presign", GET, 0, PHRONY_REASON_METHOD_NOT_ALLOWED,
      PHRONY_ROUTE_FILES },
    { FILES "/finalize", OTHER, 0, PHRONY_REASON_METHOD_NOT_ALLOWED,
      PHRONY_ROUTE_FILES },
    { FILES "/presign", OPTIONS, 0, PHRONY_REASON_METHOD_NOT_ALLOWED,
      PHRONY_ROUTE_FILES },
    { FILES "/presign", OPTIONS, 1, PHRONY_REASON_NONE,
      PHRONY_ROUTE_PREFLIGHT },

    { "/v1/other", OPTIONS, 1, PHRONY_REASON_ROUTE_UNKNOWN,
      PHRONY_ROUTE_UNKNOWN },
    { "/", OPTIONS, 1, PHRONY_REASON_ROUTE_UNKNOWN, PHRONY_ROUTE_UNKNOWN },
    { "*", OPTIONS, 1, PHRONY_REASON_PATH_NOT_CANONICAL,
      PHRONY_ROUTE_UNKNOWN },
    { AGENT "/RUNS", OPTIONS, 1, PHRONY_REASON_PATH_NOT_CANONICAL,
      PHRONY_ROUTE_UNKNOWN },
    { AGENT "/runs/", OPTIONS, 1, PHRONY_REASON_PATH_NOT_CANONICAL,
      PHRONY_ROUTE_UNKNOWN }
};


int
main(void)
{
    test_routes();
    test_refused("not canonical", not_canonical,
                 PHRONY_REASON_PATH_NOT_CANONICAL);
    test_refused("unknown", unknown, PHRONY_REASON_ROUTE_UNKNOWN);
    test_decisions();
    test_ids();
    test_every_byte();
    test_every_insertion();
    test_every_length();
    test_overlong();
    test_parts();
    test_names();

    return done();
}


static void
test_routes(void)
{
    int             preflight, wrong;
    size_t          i, m;
    const route_t  *want;

    for (i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
        want = &routes[i];
        wrong = 0;

        for (m = 0; m < METHODS; m++) {
            for (preflight = 0; preflight < 2; preflight++) {
                wrong += !agrees(want, methods[m], preflight);
            }
        }

        ok(wrong == 0, "route \"%s\"", want->path);
    }
}


/* Paths that no method makes a route; the list ends with a NULL. */

static void
test_refused(const char *title, const phrony_str_t *paths,
    phrony_reason_t reason)
{
    int             preflight, wrong;
    size_t          m;
    phrony_route_t  route;

    for ( /* void */ ; paths->data; paths++) {
        wrong = 0;

        for (m = 0; m < METHODS; m++) {
            for (preflight = 0; preflight < 2; preflight++) {
                wrong += parse(paths, methods[m], preflight, &route)
                         != reason;
                wrong += route.kind != PHRONY_ROUTE_UNKNOWN;
                wrong += route.methods != 0;
            }
        }

        ok(wrong == 0, "%s \"%s\"", title, show(paths->data, paths->len));
    }
}


static void
test_decisions(void)
{
    size_t             i;
    phrony_str_t       path;
    phrony_route_t     route;
    const decision_t  *want;

    for (i = 0; i < sizeof(decisions) / sizeof(decisions[0]); i++) {
        want = &decisions[i];
        path = str(want->path);

        ok(parse(&path, want->method, want->preflight, &route)
           == want->reason && route.kind == want->kind,
           "method 0x%02x%s on \"%s\"", (unsigned) want->method,
           want->preflight ? " with preflight" : "", want->path);
    }
}


static void
test_ids(void)
{
    size_t          i;
    unsigned char   text[PHRONY_UUID_TEXT_LEN];
    phrony_str_t    path;
    phrony_route_t  route;
    const char     *paths[] = {
        AGENT "/runs", AGENT, "/v1/agents/" ID_UPPER "/sessions",
        "/v1/agents/" ID_MIXED "/x", RUN, "/v1/runs/" ID_UPPER "/stream"
    };

    for (i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        path = str(paths[i]);
        parse(&path, OPTIONS, 1, &route);

        phrony_uuid_format(text, route.has_agent ? &route.agent_id
                                                 : &route.run_id);
        is_str(text, PHRONY_UUID_TEXT_LEN, ID, paths[i]);
    }

    /* understood before it was refused: for the log */

    path = str(AGENT "/runs");
    is_int(parse(&path, GET, 0, &route), PHRONY_REASON_METHOD_NOT_ALLOWED,
           "refused for its method");
    ok(route.has_agent && route.methods == POST, "agent and Allow are known");

    path = str("/v1/agents/" ID "x");
    parse(&path, GET, 0, &route);
    ok(!route.has_agent, "no agent if it is not a UUID");

    path = str("/v1/runs/" ID "x");
    parse(&path, GET, 0, &route);
    ok(!route.has_run, "no run if it is not a UUID");
}


/* Any byte in any place: nothing but a digit of the id leaves it a start. */

static void
test_every_byte(void)
{
    int              ch, wrong, start;
    char             text[] = AGENT "/runs";
    size_t           place, id;
    phrony_str_t     path;
    phrony_route_t   route;
    phrony_reason_t  reason;
    const char       original[] = AGENT "/runs";

    id = strlen("/v1/agents/");
    path = str(text);

    for (place = 0; place < path.len; place++) {
        wrong = 0;

        for (ch = 0; ch < 256; ch++) {
            memcpy(text, original, sizeof(text));
            start = ch == original[place]
                    || (place >= id && place < id + PHRONY_UUID_TEXT_LEN
                        && original[place] != '-' && ch != 0
                        && strchr("0123456789abcdefABCDEF", ch));
            text[place] = (char) ch;

            reason = parse(&path, POST, 0, &route);

            wrong += (reason == PHRONY_REASON_NONE) != start;
            wrong += start && route.kind != PHRONY_ROUTE_START;
            wrong += !is_canonical(ch) && ch != '/'
                     && reason != PHRONY_REASON_PATH_NOT_CANONICAL;
        }

        ok(wrong == 0, "every byte in place %u of a start",
           (unsigned) place);
    }
}


/* Any byte put in between, at the front and at the end. */

static void
test_every_insertion(void)
{
    int              ch, wrong;
    char             text[sizeof(AGENT "/runs") + 1];
    size_t           place, len;
    phrony_str_t     path;
    phrony_route_t   route;
    phrony_reason_t  reason;
    const char       original[] = AGENT "/runs";

    len = strlen(original);
    path.len = len + 1;
    path.data = (unsigned char *) text;

    for (place = 0; place <= len; place++) {
        wrong = 0;

        for (ch = 0; ch < 256; ch++) {
            memcpy(text, original, place);
            text[place] = (char) ch;
            memcpy(text + place + 1, original + place, len - place);

            reason = parse(&path, POST, 0, &route);

            wrong += reason == PHRONY_REASON_NONE;
            wrong += !is_canonical(ch)
                     && reason != PHRONY_REASON_PATH_NOT_CANONICAL
                     && !(ch == '/' && place > 0 && place < len);
        }

        ok(wrong == 0, "every byte before place %u of a start",
           (unsigned) place);
    }
}


/* Each beginning of a start is something else. */

static void
test_every_length(void)
{
    size_t           agent, full;
    phrony_str_t     path;
    phrony_route_t   route;
    phrony_reason_t  reason, want;

    path = str(AGENT "/runs");
    full = path.len;
    agent = strlen(AGENT);

    for (path.len = 0; path.len <= full; path.len++) {
        reason = parse(&path, POST, 0, &route);

        if (path.len == 0 || path.data[path.len - 1] == '/') {
            want = (path.len == 1) ? PHRONY_REASON_ROUTE_UNKNOWN
                                   : PHRONY_REASON_PATH_NOT_CANONICAL;

        } else if (path.len <= strlen("/v1/agents")) {
            want = PHRONY_REASON_ROUTE_UNKNOWN;

        } else if (path.len < agent) {
            want = PHRONY_REASON_PATH_NOT_CANONICAL;

        } else {
            want = (path.len == full) ? PHRONY_REASON_NONE
                                      : PHRONY_REASON_METHOD_NOT_ALLOWED;
        }

        ok(reason == want, "the first %u bytes of a start",
           (unsigned) path.len);
    }
}


static void
test_overlong(void)
{
    char           *text;
    size_t          i, size;
    phrony_str_t    path;
    phrony_route_t  route;

    size = 1024 * 1024;
    text = malloc(size);
    path.data = (unsigned char *) text;
    path.len = size;

    memset(text, 'a', size);
    memcpy(text, RUN "/", strlen(RUN "/"));

    ok(parse(&path, GET, 0, &route) == PHRONY_REASON_NONE
       && route.kind == PHRONY_ROUTE_RUN
       && route.part == PHRONY_RUN_OTHER,
       "a run with a segment of a megabyte");

    text[size - 1] = '%';
    is_int(parse(&path, GET, 0, &route), PHRONY_REASON_PATH_NOT_CANONICAL,
           "the last byte of a megabyte counts");

    for (i = strlen(RUN); i + 1 < size; i += 2) {
        text[i] = '/';
        text[i + 1] = 'a';
    }

    path.len = i;
    ok(parse(&path, GET, 0, &route) == PHRONY_REASON_NONE
       && route.kind == PHRONY_ROUTE_RUN
       && route.part == PHRONY_RUN_OTHER,
       "a run with half a million segments");

    text[i - 1] = '.';
    is_int(parse(&path, GET, 0, &route), PHRONY_REASON_PATH_NOT_CANONICAL,
           "of which the last is a dot");

    memset(text, '/', size);
    path.len = size;
    is_int(parse(&path, GET, 0, &route), PHRONY_REASON_PATH_NOT_CANONICAL,
           "a megabyte of slashes");

    memset(text + 1, 'a', size - 1);
    is_int(parse(&path, GET, 0, &route), PHRONY_REASON_ROUTE_UNKNOWN,
           "an unknown route of a megabyte");

    free(text);
}


static void
test_parts(void)
{
    size_t          i;
    phrony_str_t    path;
    phrony_route_t  route;

    static const struct {
        const char         *path;
        phrony_run_part_t   part;
    } parts[] = {
        { RUN, PHRONY_RUN_STATUS },
        { RUN "/stream", PHRONY_RUN_STREAM },
        { RUN "/messages", PHRONY_RUN_RESUME },
        { RUN "/input", PHRONY_RUN_RESUME },
        { RUN "/skip-agent-wait", PHRONY_RUN_RESUME },
        { RUN "/conversation", PHRONY_RUN_OTHER },
        { RUN "/Stream", PHRONY_RUN_OTHER },
        { RUN "/streams", PHRONY_RUN_OTHER },
        { RUN "/strea", PHRONY_RUN_OTHER },
        { RUN "/stream/x", PHRONY_RUN_OTHER },
        { RUN "/x/stream", PHRONY_RUN_OTHER },
        { RUN "/input/input", PHRONY_RUN_OTHER },
        { AGENT, PHRONY_RUN_OTHER },
        { AGENT "/stream", PHRONY_RUN_OTHER }
    };

    for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        path = str(parts[i].path);

        ok(parse(&path, GET, 0, &route) == PHRONY_REASON_NONE
           && route.part == parts[i].part, "part of %s", parts[i].path);
    }
}


static void
test_names(void)
{
    size_t               i;
    const phrony_str_t  *name;
    const char          *names[PHRONY_ROUTE_MAX] = {
        "", "start", "sessions", "agent", "run", "files", "preflight"
    };

    for (i = 0; i < PHRONY_ROUTE_MAX; i++) {
        name = phrony_route_name((phrony_route_kind_t) i);
        is_str(name->data, name->len, names[i], "name of a route");
    }

    is_int(phrony_route_name(PHRONY_ROUTE_MAX)->len, 0, "no such route");
}


static int
agrees(const route_t *want, phrony_method_t method, int preflight)
{
    phrony_str_t         path;
    phrony_route_t       route;
    phrony_reason_t      reason;
    phrony_route_kind_t  kind;

    path = str(want->path);
    kind = want->kind;
    reason = PHRONY_REASON_NONE;

    if (preflight && method == OPTIONS) {
        kind = PHRONY_ROUTE_PREFLIGHT;

    } else if (!(want->methods & method)) {
        reason = PHRONY_REASON_METHOD_NOT_ALLOWED;
    }

    return parse(&path, method, preflight, &route) == reason
           && route.kind == kind
           && route.methods == want->methods
           && route.has_agent == want->agent
           && route.has_run == want->run;
}


/* From a block of exactly this size, so that reading on is noticed. */

static phrony_reason_t
parse(const phrony_str_t *path, phrony_method_t method, int preflight,
    phrony_route_t *route)
{
    phrony_str_t     copy;
    phrony_reason_t  reason;

    copy.len = path->len;
    copy.data = NULL;

    if (path->len) {
        copy.data = malloc(path->len);
        memcpy(copy.data, path->data, path->len);
    }

    memset(route, 0x5a, sizeof(phrony_route_t));

    reason = phrony_route_parse(&copy, method, preflight, route);

    free(copy.data);

    return reason;
}


static int
is_canonical(int ch)
{
    return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z')
           || (ch >= '0' && ch <= '9')
           || ch == '-' || ch == '_' || ch == '.' || ch == '~';
}
