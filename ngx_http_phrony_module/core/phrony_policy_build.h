
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef PHRONY_POLICY_BUILD_H_
#define PHRONY_POLICY_BUILD_H_


#include "phrony_record.h"
#include "phrony_table.h"


PHRONY_HIDDEN_BEGIN


/*
 * The policy, private to its makers: arrays and what refers to them.
 *
 *     by_digest ----> keys ----> scopes ----> triggers ----> workspaces
 *                   |                         ^   |  |
 *                   +---- a single scope -----+   |  +-----> cidrs
 *                                             |   |
 *     by_trigger, by_agent -------------------+   +-----> texts
 *
 * What a trigger points to is set when the array is complete and moves no
 * more.
 */

struct phrony_policy_s {
    phrony_table_t           workspaces;    /* phrony_workspace_t */
    phrony_table_t           triggers;      /* phrony_trigger_t */
    phrony_table_t           keys;          /* phrony_key_t */
    phrony_table_t           scopes;        /* uint32_t: how many there are,
                                               then the triggers' numbers,
                                               which ascend; next key's */
    phrony_table_t           cidrs;         /* phrony_cidr_t */
    phrony_table_t           texts;         /* bytes, of each trigger
                                               start_policy, read_policy */
    phrony_index_t           by_digest;
    phrony_index_t           by_trigger;
    phrony_index_t           by_agent;
};


/* What is needed only while a policy is built. */

typedef struct {
    phrony_policy_t         *policy;
    phrony_index_t           by_workspace;
    phrony_index_t           by_key_id;
    phrony_policy_error_t   *error;
    unsigned                 partial:1;     /* not all triggers are there:
                                               scopes of others are left out */
} phrony_policy_build_t;


/*
 * Begins with an empty policy.  Returns 0, or -1 and fills "error" if there
 * is no memory; phrony_policy_build_abort() is due only after 0.
 */

int phrony_policy_build_init(phrony_policy_build_t *build,
    phrony_policy_error_t *error);


/*
 * Each checks one record, whose json is an object, and adds it: all
 * workspaces first, then all triggers, then the keys, since a record is
 * checked against those that it refers to.  "record" is only read, but for
 * the place that a scope takes in it meanwhile.
 * Return 0, or -1 and fill build->error; the build can only be aborted then.
 */

int phrony_policy_build_workspace(phrony_policy_build_t *build,
    phrony_record_t *record);
int phrony_policy_build_trigger(phrony_policy_build_t *build,
    phrony_record_t *record);
int phrony_policy_build_key(phrony_policy_build_t *build,
    phrony_record_t *record);


/*
 * Reads the scopes of a key, whose workspace is set, into the key and
 * policy->scopes.  Returns 0, or -1 and fills build->error.
 */

int phrony_policy_scopes_add(phrony_policy_build_t *build,
    phrony_record_t *record, phrony_key_t *key);


/*
 * Writes a trigger's field texts, whose limits are set: the bytes are added
 * to policy->texts, the trigger gets their lengths.  Returns 0, or -1 and
 * fills build->error.
 */

int phrony_policy_texts_add(phrony_policy_build_t *build,
    phrony_trigger_t *trigger);


/* Adds a workspace of which only the id is known: nobody may use it. */

int phrony_policy_build_foreign(phrony_policy_build_t *build,
    const phrony_uuid_t *id);


/* Completes and returns the policy, which is the caller's now. */

phrony_policy_t *phrony_policy_build_done(phrony_policy_build_t *build);


/* Frees all that was built. */

void phrony_policy_build_abort(phrony_policy_build_t *build);


/* Fills build->error, or any, for want of memory; returns -1. */

int phrony_policy_build_nomem(phrony_policy_build_t *build);
int phrony_policy_error_nomem(phrony_policy_error_t *error);


PHRONY_HIDDEN_END


#endif /* PHRONY_POLICY_BUILD_H_ */
