
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include <stdlib.h>

#include "phrony_route.h"


#define FUZZ_ANY                                                              \
    (PHRONY_METHOD_GET | PHRONY_METHOD_HEAD | PHRONY_METHOD_POST              \
     | PHRONY_METHOD_OPTIONS | PHRONY_METHOD_OTHER)

#define FUZZ_READ  (PHRONY_METHOD_GET | PHRONY_METHOD_HEAD)

#define fuzz_assert(cond)  do { if (!(cond)) { abort(); } } while (0)

#define fuzz_is(path, at, text)                                               \
    ((path)->len - (at) == sizeof(text) - 1                                   \
     && memcmp((path)->data + (at), text, sizeof(text) - 1) == 0)

#define fuzz_begins(path, at, text)                                           \
    ((path)->len - (at) >= sizeof(text) - 1                                   \
     && memcmp((path)->data + (at), text, sizeof(text) - 1) == 0)


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_path(const phrony_str_t *path);
static void fuzz_methods(const phrony_str_t *path, phrony_reason_t reason,
    const phrony_route_t *route);
static void fuzz_canonical(const phrony_str_t *path, phrony_reason_t reason);
static void fuzz_segments(const phrony_str_t *path, phrony_reason_t reason);
static void fuzz_below(const phrony_str_t *path);
static void fuzz_kind(const phrony_str_t *path, const phrony_route_t *route);
static void fuzz_agent(const phrony_str_t *path, const phrony_route_t *route);
static void fuzz_run(const phrony_str_t *path, const phrony_route_t *route);
static void fuzz_id(const phrony_str_t *path, size_t at,
    const phrony_uuid_t *id);
static void fuzz_extended(const phrony_str_t *path, phrony_reason_t reason,
    const phrony_route_t *route);
static void fuzz_upper(const phrony_str_t *path, phrony_reason_t reason);
static void fuzz_uuid(const uint8_t *data, size_t size);
static phrony_reason_t fuzz_parse(const phrony_str_t *path,
    phrony_method_t method, int preflight, phrony_route_t *route);


/* The slash, and what segments are made of. */

static const char  fuzz_allowed[] = "/-_.~0123456789"
                                    "abcdefghijklmnopqrstuvwxyz"
                                    "ABCDEFGHIJKLMNOPQRSTUVWXYZ";


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    phrony_str_t  path;

    path.len = size;
    path.data = (unsigned char *) data;

    fuzz_path(&path);
    fuzz_uuid(data, size);

    return 0;
}


static void
fuzz_path(const phrony_str_t *path)
{
    phrony_route_t   route;
    phrony_reason_t  reason;

    reason = fuzz_parse(path, PHRONY_METHOD_OPTIONS, 1, &route);

    fuzz_canonical(path, reason);
    fuzz_segments(path, reason);
    fuzz_upper(path, reason);

    if (reason != PHRONY_REASON_NONE) {
        fuzz_assert(reason == PHRONY_REASON_PATH_NOT_CANONICAL
                    || reason == PHRONY_REASON_ROUTE_UNKNOWN);
        fuzz_assert(route.kind == PHRONY_ROUTE_UNKNOWN);
        fuzz_assert(route.methods == 0);

    } else {
        fuzz_assert(route.kind == PHRONY_ROUTE_PREFLIGHT);
    }

    fuzz_below(path);
    fuzz_methods(path, reason, &route);
    fuzz_extended(path, reason, &route);
}


/* The path decides on its own; the method is the last question. */

static void
fuzz_methods(const phrony_str_t *path, phrony_reason_t reason,
    const phrony_route_t *route)
{
    int              preflight;
    unsigned         method;
    phrony_route_t   other;
    phrony_reason_t  want;

    for (method = 1; method <= PHRONY_METHOD_OTHER; method <<= 1) {
        for (preflight = 0; preflight < 2; preflight++) {

            if (preflight && method == PHRONY_METHOD_OPTIONS) {
                continue;
            }

            want = reason;

            if (reason == PHRONY_REASON_NONE && !(route->methods & method)) {
                want = PHRONY_REASON_METHOD_NOT_ALLOWED;
            }

            fuzz_assert(fuzz_parse(path, (phrony_method_t) method, preflight,
                                   &other) == want);
            fuzz_assert(other.methods == route->methods);

            if (reason == PHRONY_REASON_NONE) {
                fuzz_kind(path, &other);
            }
        }
    }
}


/* A byte that is not allowed makes a path not canonical, always. */

static void
fuzz_canonical(const phrony_str_t *path, phrony_reason_t reason)
{
    size_t         i;
    unsigned char  ch;

    for (i = 0; i < path->len; i++) {
        ch = path->data[i];

        if (memchr(fuzz_allowed, ch, sizeof(fuzz_allowed) - 1) == NULL) {
            fuzz_assert(reason == PHRONY_REASON_PATH_NOT_CANONICAL);
        }
    }
}


/* So does a segment that is empty or of dots. */

static void
fuzz_segments(const phrony_str_t *path, phrony_reason_t reason)
{
    size_t  i, start, len;

    if (path->len == 0 || path->data[0] != '/') {
        fuzz_assert(reason == PHRONY_REASON_PATH_NOT_CANONICAL);
        return;
    }

    if (path->len == 1) {
        fuzz_assert(reason == PHRONY_REASON_ROUTE_UNKNOWN);
        return;
    }

    start = 1;

    for (i = 1; i <= path->len; i++) {

        if (i < path->len && path->data[i] != '/') {
            continue;
        }

        len = i - start;

        if (len == 0 || (len == 1 && path->data[start] == '.')
            || (len == 2 && memcmp(path->data + start, "..", 2) == 0))
        {
            fuzz_assert(reason == PHRONY_REASON_PATH_NOT_CANONICAL);
        }

        start = i + 1;
    }
}


/* Below a run, any segment is good that the rules do not forbid. */

static void
fuzz_below(const phrony_str_t *path)
{
    int                dots, good;
    size_t             i, len;
    phrony_str_t       below;
    phrony_route_t     route;
    phrony_reason_t    reason;
    static const char  run[] =
        "/v1/runs/01234567-89ab-cdef-0123-456789abcdef/";

    len = sizeof(run) - 1;
    dots = path->len == 0 || (path->len == 1 && path->data[0] == '.')
           || (path->len == 2 && memcmp(path->data, "..", 2) == 0);
    good = !dots;

    for (i = 0; i < path->len; i++) {
        good = good && memchr(fuzz_allowed + 1, path->data[i],
                              sizeof(fuzz_allowed) - 2) != NULL;
    }

    below.len = len + path->len;
    below.data = malloc(below.len);
    fuzz_assert(below.data != NULL);

    memcpy(below.data, run, len);

    if (path->len) {
        memcpy(below.data + len, path->data, path->len);
    }

    reason = fuzz_parse(&below, PHRONY_METHOD_OTHER, 0, &route);

    if (good) {
        fuzz_assert(reason == PHRONY_REASON_NONE);

    } else if (memchr(below.data + len, '/', path->len) == NULL) {
        fuzz_assert(reason == PHRONY_REASON_PATH_NOT_CANONICAL);
    }

    free(below.data);
}


/* What a route is, read off its text. */

static void
fuzz_kind(const phrony_str_t *path, const phrony_route_t *route)
{
    switch (route->kind) {

    case PHRONY_ROUTE_START:
    case PHRONY_ROUTE_SESSIONS:
    case PHRONY_ROUTE_AGENT:
        fuzz_agent(path, route);
        break;

    case PHRONY_ROUTE_RUN:
        fuzz_run(path, route);
        break;

    case PHRONY_ROUTE_FILES:
        fuzz_assert(fuzz_is(path, 0, "/v1/file-library/presign")
                    || fuzz_is(path, 0, "/v1/file-library/finalize"));
        fuzz_assert(route->methods == PHRONY_METHOD_POST);
        fuzz_assert(!route->has_agent && !route->has_run);
        break;

    default:
        abort();
    }
}


static void
fuzz_agent(const phrony_str_t *path, const phrony_route_t *route)
{
    size_t  id, rest;

    id = sizeof("/v1/agents/") - 1;
    rest = id + PHRONY_UUID_TEXT_LEN;

    fuzz_assert(fuzz_begins(path, 0, "/v1/agents/") && path->len >= rest);
    fuzz_assert(route->has_agent && !route->has_run);
    fuzz_id(path, id, &route->agent_id);

    fuzz_assert(route->part == PHRONY_RUN_OTHER);
    fuzz_assert(path->len == rest || path->data[rest] == '/');

    fuzz_assert((route->kind == PHRONY_ROUTE_START)
                == fuzz_is(path, rest, "/runs"));
    fuzz_assert((route->kind == PHRONY_ROUTE_SESSIONS)
                == fuzz_is(path, rest, "/sessions"));
    fuzz_assert(route->methods == (route->kind == PHRONY_ROUTE_START
                                   ? PHRONY_METHOD_POST : FUZZ_READ));
}


static void
fuzz_run(const phrony_str_t *path, const phrony_route_t *route)
{
    size_t  id, rest;

    id = sizeof("/v1/runs/") - 1;
    rest = id + PHRONY_UUID_TEXT_LEN;

    fuzz_assert(fuzz_begins(path, 0, "/v1/runs/") && path->len >= rest);
    fuzz_assert(route->has_run && !route->has_agent);
    fuzz_id(path, id, &route->run_id);

    fuzz_assert((route->part == PHRONY_RUN_STATUS) == (path->len == rest));
    fuzz_assert((route->part == PHRONY_RUN_STREAM)
                == fuzz_is(path, rest, "/stream"));
    fuzz_assert((route->part == PHRONY_RUN_RESUME)
                == (fuzz_is(path, rest, "/messages")
                    || fuzz_is(path, rest, "/input")
                    || fuzz_is(path, rest, "/skip-agent-wait")));
    fuzz_assert(path->len == rest || path->data[rest] == '/');
    fuzz_assert(route->methods == FUZZ_ANY);
}


/* An id is the text in its place, but for the case. */

static void
fuzz_id(const phrony_str_t *path, size_t at, const phrony_uuid_t *id)
{
    size_t         i;
    unsigned char  text[PHRONY_UUID_TEXT_LEN];

    fuzz_assert(phrony_uuid_format(text, id) == text + sizeof(text));

    for (i = 0; i < sizeof(text); i++) {
        fuzz_assert(text[i] == phrony_lower(path->data[at + i]));
    }
}


/* What follows a path decides on it, but only if it is part of it. */

static void
fuzz_extended(const phrony_str_t *path, phrony_reason_t reason,
    const phrony_route_t *route)
{
    phrony_str_t    longer;
    phrony_route_t  other;

    longer.len = path->len;
    longer.data = malloc(path->len + 2);
    fuzz_assert(longer.data != NULL);

    memcpy(longer.data, path->data, path->len);
    memcpy(longer.data + path->len, "/x", 2);

    fuzz_assert(phrony_route_parse(&longer, PHRONY_METHOD_OPTIONS, 1, &other)
                == reason);
    fuzz_assert(other.kind == route->kind);
    fuzz_assert(other.methods == route->methods);
    fuzz_assert(other.part == route->part);
    fuzz_assert(phrony_uuid_eq(&other.agent_id, &route->agent_id));
    fuzz_assert(phrony_uuid_eq(&other.run_id, &route->run_id));

    longer.len = path->len + 1;
    fuzz_assert(fuzz_parse(&longer, PHRONY_METHOD_OPTIONS, 1, &other)
                == (longer.len == 1 ? PHRONY_REASON_ROUTE_UNKNOWN
                                    : PHRONY_REASON_PATH_NOT_CANONICAL));

    if (reason == PHRONY_REASON_NONE && route->methods == FUZZ_ANY) {
        longer.len = path->len + 2;
        fuzz_assert(fuzz_parse(&longer, PHRONY_METHOD_GET, 0, &other)
                    == PHRONY_REASON_NONE);
        fuzz_assert(other.kind == PHRONY_ROUTE_RUN
                    && other.part != PHRONY_RUN_STATUS);
        fuzz_assert(phrony_uuid_eq(&other.run_id, &route->run_id));
    }

    free(longer.data);
}


/* In upper case nothing is a route. */

static void
fuzz_upper(const phrony_str_t *path, phrony_reason_t reason)
{
    size_t           i;
    phrony_str_t     upper;
    phrony_route_t   route;
    phrony_reason_t  refused;

    upper.len = path->len;
    upper.data = malloc(path->len + 1);
    fuzz_assert(upper.data != NULL);

    for (i = 0; i < path->len; i++) {
        upper.data[i] = path->data[i];

        if (path->data[i] >= 'a' && path->data[i] <= 'z') {
            upper.data[i] = (unsigned char) (path->data[i] & ~0x20);
        }
    }

    refused = fuzz_parse(&upper, PHRONY_METHOD_GET, 0, &route);

    fuzz_assert(refused == PHRONY_REASON_PATH_NOT_CANONICAL
                || refused == PHRONY_REASON_ROUTE_UNKNOWN);

    if (reason == PHRONY_REASON_NONE) {
        fuzz_assert(refused == PHRONY_REASON_PATH_NOT_CANONICAL);
    }

    free(upper.data);
}


/* Written and read again, an id of any sixteen bytes is the same. */

static void
fuzz_uuid(const uint8_t *data, size_t size)
{
    phrony_str_t   text;
    phrony_uuid_t  uuid, again;
    unsigned char  buf[PHRONY_UUID_TEXT_LEN];

    text.len = size;
    text.data = (unsigned char *) data;

    if (phrony_uuid_parse(&text, &uuid) == 0) {
        fuzz_assert(size == PHRONY_UUID_TEXT_LEN);
        fuzz_id(&text, 0, &uuid);
    }

    if (size < PHRONY_UUID_LEN) {
        return;
    }

    memcpy(uuid.bytes, data, PHRONY_UUID_LEN);
    phrony_uuid_format(buf, &uuid);

    text.len = sizeof(buf);
    text.data = buf;

    fuzz_assert(phrony_uuid_parse(&text, &again) == 0);
    fuzz_assert(phrony_uuid_eq(&uuid, &again));
    fuzz_assert(phrony_uuid_hash(&uuid, size)
                == phrony_uuid_hash(&again, size));
}


/* From a block of exactly this size, so that reading on is noticed. */

static phrony_reason_t
fuzz_parse(const phrony_str_t *path, phrony_method_t method, int preflight,
    phrony_route_t *route)
{
    phrony_str_t     copy;
    phrony_reason_t  reason;

    copy.len = path->len;
    copy.data = NULL;

    if (path->len) {
        copy.data = malloc(path->len);
        fuzz_assert(copy.data != NULL);
        memcpy(copy.data, path->data, path->len);
    }

    reason = phrony_route_parse(&copy, method, preflight, route);

    free(copy.data);

    return reason;
}
