
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef PHRONY_SESSIONS_H_
#define PHRONY_SESSIONS_H_


#include "phrony_uuid.h"


#define PHRONY_SESSIONS_MAX  64


PHRONY_HIDDEN_BEGIN


/* One session of the trigger that was asked for. */

typedef struct {
    phrony_uuid_t         run_id;       /* that it began with */
    int64_t               age;          /* ms since it began, 0 or more */
    unsigned              ended:1;      /* its status is terminal */
} phrony_session_t;


/* What a list tells surely; of one that contradicts itself, nothing. */

typedef struct {
    phrony_session_t      sessions[PHRONY_SESSIONS_MAX];   /* oldest first */
    size_t                n;
    int64_t               reach;        /* ms: whatever was started within so
                                           long is in the list; INT64_MAX: all
                                           that there is, 0: nothing sure */
} phrony_sessions_t;


typedef struct {
    phrony_uuid_t         trigger_id;
    int64_t               date;         /* the answer's Date, ms since 1970 */
    const phrony_str_t   *terminal;     /* names of terminal statuses */
    size_t                nterminal;
} phrony_sessions_query_t;


typedef enum {
    PHRONY_SESSIONS_OK = 0,
    PHRONY_SESSIONS_INVALID,            /* no session list */
    PHRONY_SESSIONS_NOMEM
} phrony_sessions_error_t;


/*
 * Reads the answer of GET /v1/agents/{agentId}/sessions, whatever its bytes:
 * a JSON object whose member "items" is an array of objects.
 * Returns PHRONY_SESSIONS_OK and fills "list"; "n" and "reach" are 0 if one
 * of the trigger's sessions cannot be told for sure: its ids are missing,
 * broken, different or another session's, it has no start or one that is more
 * than 2 s ahead of the date, or there are more than PHRONY_SESSIONS_MAX.
 * Returns PHRONY_SESSIONS_INVALID or PHRONY_SESSIONS_NOMEM, with "list" empty
 * likewise.  Keeps nothing of "text".
 */

phrony_sessions_error_t phrony_sessions_parse(phrony_sessions_t *list,
    const unsigned char *text, size_t len,
    const phrony_sessions_query_t *query);


PHRONY_HIDDEN_END


#endif /* PHRONY_SESSIONS_H_ */
