
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef PHRONY_ROUTE_H_
#define PHRONY_ROUTE_H_


#include "phrony_reason.h"
#include "phrony_uuid.h"


PHRONY_HIDDEN_BEGIN


typedef enum {
    PHRONY_METHOD_GET = 0x01,
    PHRONY_METHOD_HEAD = 0x02,
    PHRONY_METHOD_POST = 0x04,
    PHRONY_METHOD_OPTIONS = 0x08,
    PHRONY_METHOD_OTHER = 0x10
} phrony_method_t;


typedef enum {
    PHRONY_ROUTE_UNKNOWN = 0,
    PHRONY_ROUTE_START,         /* POST /v1/agents/{agentId}/runs */
    PHRONY_ROUTE_SESSIONS,      /* /v1/agents/{agentId}/sessions */
    PHRONY_ROUTE_AGENT,         /* /v1/agents/{agentId} and below */
    PHRONY_ROUTE_RUN,           /* /v1/runs/{runId} and below */
    PHRONY_ROUTE_FILES,         /* /v1/file-library/presign, …/finalize */
    PHRONY_ROUTE_PREFLIGHT,     /* OPTIONS of a browser on one of these */
    PHRONY_ROUTE_MAX
} phrony_route_kind_t;


/* What of a run is asked for, as far as it tells whether the run is alive. */

typedef enum {
    PHRONY_RUN_OTHER = 0,       /* or the route is none of a run */
    PHRONY_RUN_STATUS,          /* /v1/runs/{runId} */
    PHRONY_RUN_STREAM,          /* …/stream */
    PHRONY_RUN_RESUME           /* …/messages, …/input, …/skip-agent-wait */
} phrony_run_part_t;


typedef struct {
    phrony_route_kind_t  kind;
    phrony_run_part_t    part;
    unsigned             methods;   /* allowed, a mask of phrony_method_t */
    unsigned             has_agent:1;
    unsigned             has_run:1;
    phrony_uuid_t        agent_id;  /* if has_agent */
    phrony_uuid_t        run_id;    /* if has_run */
} phrony_route_t;


/*
 * Reads the path of a request target, up to and without "?", as it is sent
 * to the upstream, and decides which route of the API it is.
 *
 * Canonical are "/", ASCII letters, digits, "-", "_", "." and "~", in
 * segments that are not empty, "." or "..", without a trailing slash, with
 * the API's fixed segments exactly as written and ids as UUIDs.  "preflight"
 * says that the request is an OPTIONS with Origin and
 * Access-Control-Request-Method.
 *
 * Returns PHRONY_REASON_NONE, PHRONY_REASON_PATH_NOT_CANONICAL,
 * PHRONY_REASON_ROUTE_UNKNOWN or PHRONY_REASON_METHOD_NOT_ALLOWED; "route"
 * is filled as far as the path was understood, so for the last of these
 * route->methods is what "Allow" should say.
 */

phrony_reason_t phrony_route_parse(const phrony_str_t *path,
    phrony_method_t method, int preflight, phrony_route_t *route);


/* "start", "sessions", "agent", "run", "files", "preflight"; "" if unknown. */

const phrony_str_t *phrony_route_name(phrony_route_kind_t kind);


PHRONY_HIDDEN_END


#endif /* PHRONY_ROUTE_H_ */
