
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "phrony_route.h"


#define PHRONY_ROUTE_SEGMENTS   4

#define PHRONY_METHODS_START    PHRONY_METHOD_POST
#define PHRONY_METHODS_READ     (PHRONY_METHOD_GET | PHRONY_METHOD_HEAD)
#define PHRONY_METHODS_FILES    PHRONY_METHOD_POST
#define PHRONY_METHODS_ANY                                                    \
    (PHRONY_METHOD_GET | PHRONY_METHOD_HEAD | PHRONY_METHOD_POST              \
     | PHRONY_METHOD_OPTIONS | PHRONY_METHOD_OTHER)


/* A canonical path: how many segments, and the first of them. */

typedef struct {
    size_t        n;
    phrony_str_t  segment[PHRONY_ROUTE_SEGMENTS];
} phrony_route_path_t;


typedef phrony_reason_t (*phrony_route_handler_t)(
    const phrony_route_path_t *path, phrony_route_t *route);


typedef struct {
    phrony_str_t            name;
    phrony_route_handler_t  handler;
} phrony_route_branch_t;


typedef struct {
    phrony_str_t            name;
    phrony_run_part_t       part;
} phrony_route_part_t;


static int phrony_route_split(const phrony_str_t *text,
    phrony_route_path_t *path);
static int phrony_route_is_dots(const unsigned char *segment, size_t len);
static phrony_reason_t phrony_route_find(const phrony_route_path_t *path,
    phrony_route_t *route);
static phrony_reason_t phrony_route_fixed(const phrony_str_t *segment,
    const phrony_str_t *name);
static phrony_reason_t phrony_route_agents(const phrony_route_path_t *path,
    phrony_route_t *route);
static phrony_reason_t phrony_route_agent(const phrony_route_path_t *path,
    phrony_route_t *route);
static phrony_reason_t phrony_route_runs(const phrony_route_path_t *path,
    phrony_route_t *route);
static phrony_run_part_t phrony_route_part(const phrony_route_path_t *path);
static phrony_reason_t phrony_route_files(const phrony_route_path_t *path,
    phrony_route_t *route);
static void phrony_route_set(phrony_route_t *route, phrony_route_kind_t kind,
    unsigned methods);


/* ASCII letters, digits, "-", "_", "." and "~". */

static const unsigned char  phrony_route_bytes[256] = {
    ['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1,
    ['-'] = 1, ['_'] = 1, ['.'] = 1, ['~'] = 1
};


static const phrony_str_t  phrony_route_version = phrony_str("v1");
static const phrony_str_t  phrony_route_start = phrony_str("runs");
static const phrony_str_t  phrony_route_sessions = phrony_str("sessions");
static const phrony_str_t  phrony_route_presign = phrony_str("presign");
static const phrony_str_t  phrony_route_finalize = phrony_str("finalize");


/* What may follow "/v1". */

static const phrony_route_branch_t  phrony_route_branches[] = {
    { phrony_str("agents"), phrony_route_agents },
    { phrony_str("runs"), phrony_route_runs },
    { phrony_str("file-library"), phrony_route_files }
};

#define PHRONY_ROUTE_BRANCHES                                                 \
    (sizeof(phrony_route_branches) / sizeof(phrony_route_branches[0]))


/* What may follow "/v1/runs/{runId}". */

static const phrony_route_part_t  phrony_route_parts[] = {
    { phrony_str("stream"), PHRONY_RUN_STREAM },
    { phrony_str("messages"), PHRONY_RUN_RESUME },
    { phrony_str("input"), PHRONY_RUN_RESUME },
    { phrony_str("skip-agent-wait"), PHRONY_RUN_RESUME }
};

#define PHRONY_ROUTE_PARTS                                                    \
    (sizeof(phrony_route_parts) / sizeof(phrony_route_parts[0]))


static const phrony_str_t  phrony_route_names[PHRONY_ROUTE_MAX] = {
    [PHRONY_ROUTE_UNKNOWN] = phrony_str(""),
    [PHRONY_ROUTE_START] = phrony_str("start"),
    [PHRONY_ROUTE_SESSIONS] = phrony_str("sessions"),
    [PHRONY_ROUTE_AGENT] = phrony_str("agent"),
    [PHRONY_ROUTE_RUN] = phrony_str("run"),
    [PHRONY_ROUTE_FILES] = phrony_str("files"),
    [PHRONY_ROUTE_PREFLIGHT] = phrony_str("preflight")
};


phrony_reason_t
phrony_route_parse(const phrony_str_t *path, phrony_method_t method,
    int preflight, phrony_route_t *route)
{
    phrony_reason_t      reason;
    phrony_route_path_t  split;

    memset(route, 0, sizeof(phrony_route_t));

    if (phrony_route_split(path, &split) != 0) {
        return PHRONY_REASON_PATH_NOT_CANONICAL;
    }

    reason = phrony_route_find(&split, route);

    if (reason != PHRONY_REASON_NONE) {
        return reason;
    }

    if (preflight && method == PHRONY_METHOD_OPTIONS) {
        route->kind = PHRONY_ROUTE_PREFLIGHT;
        return PHRONY_REASON_NONE;
    }

    if (!(route->methods & method)) {
        return PHRONY_REASON_METHOD_NOT_ALLOWED;
    }

    return PHRONY_REASON_NONE;
}


const phrony_str_t *
phrony_route_name(phrony_route_kind_t kind)
{
    if ((unsigned) kind >= PHRONY_ROUTE_MAX) {
        return &phrony_route_names[PHRONY_ROUTE_UNKNOWN];
    }

    return &phrony_route_names[kind];
}


/*
 * Cuts the path at its slashes.  Returns 0, or -1 if it is not canonical
 * whatever its segments mean; "/" alone has no segments.
 */

static int
phrony_route_split(const phrony_str_t *text, phrony_route_path_t *path)
{
    size_t                len;
    const unsigned char  *p, *last, *start;

    if (text->len == 0 || text->data[0] != '/') {
        return -1;
    }

    path->n = 0;

    if (text->len == 1) {
        return 0;
    }

    p = text->data;
    last = p + text->len;

    while (p < last) {

        if (*p != '/') {
            return -1;
        }

        start = ++p;

        while (p < last && phrony_route_bytes[*p]) {
            p++;
        }

        len = (size_t) (p - start);

        if (len == 0 || phrony_route_is_dots(start, len)) {
            return -1;
        }

        if (path->n < PHRONY_ROUTE_SEGMENTS) {
            path->segment[path->n].len = len;
            path->segment[path->n].data = (unsigned char *) start;
        }

        path->n++;
    }

    return 0;
}


static int
phrony_route_is_dots(const unsigned char *segment, size_t len)
{
    if (segment[0] != '.') {
        return 0;
    }

    return len == 1 || (len == 2 && segment[1] == '.');
}


static phrony_reason_t
phrony_route_find(const phrony_route_path_t *path, phrony_route_t *route)
{
    size_t                        i;
    phrony_reason_t               reason;
    const phrony_route_branch_t  *branch;

    if (path->n == 0) {
        return PHRONY_REASON_ROUTE_UNKNOWN;
    }

    reason = phrony_route_fixed(&path->segment[0], &phrony_route_version);

    if (reason != PHRONY_REASON_NONE) {
        return reason;
    }

    if (path->n == 1) {
        return PHRONY_REASON_ROUTE_UNKNOWN;
    }

    for (i = 0; i < PHRONY_ROUTE_BRANCHES; i++) {
        branch = &phrony_route_branches[i];
        reason = phrony_route_fixed(&path->segment[1], &branch->name);

        if (reason == PHRONY_REASON_NONE) {
            return branch->handler(path, route);
        }

        if (reason == PHRONY_REASON_PATH_NOT_CANONICAL) {
            return reason;
        }
    }

    return PHRONY_REASON_ROUTE_UNKNOWN;
}


/*
 * Compares a segment with what is fixed in its place, given in lower case.
 * An upstream that routes without case would take a variant for the same:
 *
 *     PHRONY_REASON_NONE                  it is the same
 *     PHRONY_REASON_PATH_NOT_CANONICAL    it differs in case alone
 *     PHRONY_REASON_ROUTE_UNKNOWN         it differs
 */

static phrony_reason_t
phrony_route_fixed(const phrony_str_t *segment, const phrony_str_t *name)
{
    size_t  i;

    if (segment->len != name->len) {
        return PHRONY_REASON_ROUTE_UNKNOWN;
    }

    if (memcmp(segment->data, name->data, name->len) == 0) {
        return PHRONY_REASON_NONE;
    }

    for (i = 0; i < name->len; i++) {
        if (phrony_lower(segment->data[i]) != name->data[i]) {
            return PHRONY_REASON_ROUTE_UNKNOWN;
        }
    }

    return PHRONY_REASON_PATH_NOT_CANONICAL;
}


static phrony_reason_t
phrony_route_agents(const phrony_route_path_t *path, phrony_route_t *route)
{
    if (path->n == 2) {
        return PHRONY_REASON_ROUTE_UNKNOWN;
    }

    if (phrony_uuid_parse(&path->segment[2], &route->agent_id) != 0) {
        return PHRONY_REASON_PATH_NOT_CANONICAL;
    }

    route->has_agent = 1;

    if (path->n == 3) {
        phrony_route_set(route, PHRONY_ROUTE_AGENT, PHRONY_METHODS_READ);

        return PHRONY_REASON_NONE;
    }

    return phrony_route_agent(path, route);
}


/* What follows "/v1/agents/{agentId}". */

static phrony_reason_t
phrony_route_agent(const phrony_route_path_t *path, phrony_route_t *route)
{
    phrony_reason_t  start, sessions;

    start = phrony_route_fixed(&path->segment[3], &phrony_route_start);
    sessions = phrony_route_fixed(&path->segment[3], &phrony_route_sessions);

    if (start == PHRONY_REASON_PATH_NOT_CANONICAL
        || sessions == PHRONY_REASON_PATH_NOT_CANONICAL)
    {
        return PHRONY_REASON_PATH_NOT_CANONICAL;
    }

    if (path->n == 4 && start == PHRONY_REASON_NONE) {
        phrony_route_set(route, PHRONY_ROUTE_START, PHRONY_METHODS_START);

    } else if (path->n == 4 && sessions == PHRONY_REASON_NONE) {
        phrony_route_set(route, PHRONY_ROUTE_SESSIONS, PHRONY_METHODS_READ);

    } else {
        phrony_route_set(route, PHRONY_ROUTE_AGENT, PHRONY_METHODS_READ);
    }

    return PHRONY_REASON_NONE;
}


static phrony_reason_t
phrony_route_runs(const phrony_route_path_t *path, phrony_route_t *route)
{
    if (path->n == 2) {
        return PHRONY_REASON_ROUTE_UNKNOWN;
    }

    if (phrony_uuid_parse(&path->segment[2], &route->run_id) != 0) {
        return PHRONY_REASON_PATH_NOT_CANONICAL;
    }

    route->has_run = 1;
    route->part = phrony_route_part(path);
    phrony_route_set(route, PHRONY_ROUTE_RUN, PHRONY_METHODS_ANY);

    return PHRONY_REASON_NONE;
}


/* What else may follow is the upstream's to judge. */

static phrony_run_part_t
phrony_route_part(const phrony_route_path_t *path)
{
    size_t  i;

    if (path->n == 3) {
        return PHRONY_RUN_STATUS;
    }

    if (path->n != 4) {
        return PHRONY_RUN_OTHER;
    }

    for (i = 0; i < PHRONY_ROUTE_PARTS; i++) {

        if (phrony_str_eq(&path->segment[3], &phrony_route_parts[i].name)) {
            return phrony_route_parts[i].part;
        }
    }

    return PHRONY_RUN_OTHER;
}


static phrony_reason_t
phrony_route_files(const phrony_route_path_t *path, phrony_route_t *route)
{
    phrony_reason_t  reason;

    if (path->n == 2) {
        return PHRONY_REASON_ROUTE_UNKNOWN;
    }

    reason = phrony_route_fixed(&path->segment[2], &phrony_route_presign);

    if (reason == PHRONY_REASON_ROUTE_UNKNOWN) {
        reason = phrony_route_fixed(&path->segment[2],
                                    &phrony_route_finalize);
    }

    if (reason != PHRONY_REASON_NONE) {
        return reason;
    }

    if (path->n != 3) {
        return PHRONY_REASON_ROUTE_UNKNOWN;
    }

    phrony_route_set(route, PHRONY_ROUTE_FILES, PHRONY_METHODS_FILES);

    return PHRONY_REASON_NONE;
}


static void
phrony_route_set(phrony_route_t *route, phrony_route_kind_t kind,
    unsigned methods)
{
    route->kind = kind;
    route->methods = methods;
}
