
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef PHRONY_POLICY_H_
#define PHRONY_POLICY_H_


#include "phrony_cidr.h"
#include "phrony_key.h"
#include "phrony_uuid.h"


#define PHRONY_NO_LIMIT  -1
#define PHRONY_NEVER     INT64_MAX


PHRONY_HIDDEN_BEGIN


/*
 * The compact form of the policy records: three arrays that refer to each
 * other by index, and open-addressing tables over them.  It is built once,
 * never changed, and may be read by any number of processes after a fork.
 *
 * A key costs 64 bytes and 16 of index; if it has more than one scope,
 * 4 bytes more and 4 for each of them.  A trigger costs 128 bytes, 32 of
 * index, 18 for each address block, and the text of its header fields.
 */

typedef struct {
    phrony_uuid_t         id;
    unsigned              active:1;
} phrony_workspace_t;


/* A limit is a non-negative count, or PHRONY_NO_LIMIT. */

typedef struct {
    phrony_uuid_t         id;
    phrony_uuid_t         agent_id;
    uint32_t              workspace;          /* index */
    unsigned              active:1;
    uint32_t              ncidrs;             /* 0: any address may call */
    const phrony_cidr_t  *cidrs;
    int64_t               rpm_limit;
    int64_t               rpd_limit;
    int64_t               max_concurrent_runs;
    int64_t               max_input_tokens;
    int64_t               read_rpm_limit;

    /* the value of RateLimit-Policy in the answer to a start (of the limits
     * rpm, rpd and runs) and to a read; empty if there is no such limit */
    phrony_str_t          start_policy;
    phrony_str_t          read_policy;
} phrony_trigger_t;


/* How a key's scopes are kept. */

typedef enum {
    PHRONY_SCOPES_NONE = 0,
    PHRONY_SCOPES_ONE,                        /* the trigger is in the key */
    PHRONY_SCOPES_MANY                        /* in policy->scopes */
} phrony_scopes_t;


/*
 * One line of the cache: a request with a key reads a slot of the index and
 * this.  Indexes are below PHRONY_TABLE_MAX, that is 30 bits.
 */

typedef struct {
    unsigned char         digest[PHRONY_KEY_DIGEST_LEN];
    phrony_uuid_t         id;
    int64_t               expires;            /* Unix seconds, PHRONY_NEVER */
    unsigned              workspace:30;       /* index */
    unsigned              active:1;
    unsigned              allow_file_uploads:1;
    unsigned              scope:30;           /* trigger, or where in
                                                 policy->scopes */
    unsigned              scopes:2;           /* phrony_scopes_t */
} phrony_key_t;


typedef struct phrony_policy_s  phrony_policy_t;


/* Where and why a policy could not be used; "text" is a sentence's middle:
 * 'key 17 ("9f2c…"): member "sha256" is not 64 hexadecimal digits'. */

typedef struct {
    size_t                line;               /* 1 is the first, 0: unknown */
    char                  text[512];          /* NUL-terminated */
} phrony_policy_error_t;


/*
 * Builds a policy from the JSON text of a policy file.  The text is parsed
 * record by record, so the memory needed beside the result is that of one
 * record and of a table that finds repeated ids (16 to 32 bytes a key), not of
 * the file; it may be freed afterwards.  The three arrays may come in any
 * order; one that precedes what it refers to is parsed twice.
 * Returns NULL and fills "error" if the text is not valid JSON, a record
 * does not hold what it must, or there is no memory (text "no memory").
 */

phrony_policy_t *phrony_policy_parse(const char *text, size_t len,
    phrony_policy_error_t *error);

/* Frees a policy; NULL is allowed. */

void phrony_policy_free(phrony_policy_t *policy);


/*
 * The key with this SHA-256, the trigger with this id, the API trigger of
 * this agent; NULL if there is none.  Constant expected time whatever the
 * number of records; the result lives as long as the policy.
 */

const phrony_key_t *phrony_policy_key(const phrony_policy_t *policy,
    const unsigned char digest[PHRONY_KEY_DIGEST_LEN]);

const phrony_trigger_t *phrony_policy_trigger(const phrony_policy_t *policy,
    const phrony_uuid_t *id);

const phrony_trigger_t *phrony_policy_agent(const phrony_policy_t *policy,
    const phrony_uuid_t *agent_id);

const phrony_workspace_t *phrony_policy_workspace(
    const phrony_policy_t *policy, uint32_t index);


/*
 * Returns 1 if one of the key's scopes is this trigger, else 0; time grows
 * with the logarithm of the number of the key's scopes.
 */

int phrony_policy_key_has_trigger(const phrony_policy_t *policy,
    const phrony_key_t *key, const phrony_trigger_t *trigger);


/* How many scopes the key has, each trigger counted once. */

uint32_t phrony_policy_nscopes(const phrony_policy_t *policy,
    const phrony_key_t *key);


/* The n-th trigger of the key's scopes, n < phrony_policy_nscopes(). */

const phrony_trigger_t *phrony_policy_scope(const phrony_policy_t *policy,
    const phrony_key_t *key, uint32_t n);


/* How much there is. */

typedef struct {
    size_t                workspaces;
    size_t                triggers;
    size_t                keys;
    size_t                bytes;              /* of memory, all in all */
} phrony_policy_stat_t;

void phrony_policy_stat(const phrony_policy_t *policy,
    phrony_policy_stat_t *stat);


PHRONY_HIDDEN_END


#endif /* PHRONY_POLICY_H_ */
