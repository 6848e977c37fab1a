
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef CTL_POLICY_H_
#define CTL_POLICY_H_


#include "phrony_policy_name.h"
#include "phrony_str.h"

#include "ctl.h"
#include "ctl_redis.h"


#define CTL_POLICY_NAME  (64 + PHRONY_POLICY_NAME_LEN + 1)


/* A record as it was found; a code other than CTL_OK ends the walk. */

typedef ctl_code_t (*ctl_policy_handler_t)(void *data,
    const phrony_policy_name_t *name, json_t *record);


/* The prefix of keys, checked as the directive is; NULL: it has said why. */

const char *ctl_policy_prefix(ctl_t *ctl);


/* The text of a record's name, with a NUL behind it; returns a view. */

phrony_str_t ctl_policy_name(ctl_t *ctl, const phrony_policy_name_t *name,
    unsigned char buf[CTL_POLICY_NAME]);


/*
 * Reads one record; *record is the caller's, NULL if there is none.  Returns
 * CTL_OK, or another code and has said why, also if it is no JSON object.
 */

ctl_code_t ctl_policy_get(ctl_t *ctl, const phrony_policy_name_t *name,
    json_t **record);


/* The same, and its text, which is freed by free(text->data). */

ctl_code_t ctl_policy_read(ctl_t *ctl, const phrony_policy_name_t *name,
    phrony_str_t *text, json_t **record);


/* How a record is written. */

typedef enum {
    CTL_POLICY_CHECKED = 0, /* with what it refers to, by the gateways' code */
    CTL_POLICY_STRICT,      /* likewise, and only if nobody has changed it */
    CTL_POLICY_ANYHOW       /* even if it is not valid, to take rights away */
} ctl_policy_how_t;


/*
 * Writes one, but for --dry-run.  "old" is what was read and changed here, or
 * NULL if there must not be one yet.  What others have changed since then
 * stays, and *record is what was written.  Returns CTL_OK, or another code and
 * has said why: CTL_UNREACHABLE, it may have been written; else it was not.
 */

ctl_code_t ctl_policy_put(ctl_t *ctl, const phrony_policy_name_t *name,
    const json_t *old, json_t *record, ctl_policy_how_t how);


/*
 * Begins a request that writes "text" only if the record still is "old", or
 * if there is none, where that is NULL; all must live as long as it does.
 */

void ctl_policy_request(ctl_request_t *request, const phrony_str_t *key,
    const phrony_str_t *old, const char *text);

/* Returns 1 if its reply says that it was written, 0 if not, -1 if neither. */

int ctl_policy_written(const phrony_resp_t *reply);


ctl_code_t ctl_policy_delete(ctl_t *ctl, const phrony_policy_name_t *name);


/*
 * Walks over all records of a kind, each once, in no order; what is no JSON
 * object is told on stderr and passed over.  Memory grows by some 50 bytes a
 * record.
 */

ctl_code_t ctl_policy_each(ctl_t *ctl, phrony_policy_kind_t kind,
    ctl_policy_handler_t handler, void *data);


/* Reads a UUID of the command line. */

ctl_code_t ctl_policy_uuid(ctl_t *ctl, const char *what, const char *text,
    phrony_uuid_t *id);


/* A member that is a string, or "". */

const char *ctl_policy_text(const json_t *record, const char *member);


/* The name of an agent's trigger; its kind is PHRONY_POLICY_NAME_KINDS if
 * there is none. */

ctl_code_t ctl_policy_agent(ctl_t *ctl, const char *agent,
    phrony_policy_name_t *name);


#endif /* CTL_POLICY_H_ */
