
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef CTL_KEY_H_
#define CTL_KEY_H_


#include "phrony_policy_name.h"

#include "ctl.h"
#include "ctl_secret.h"


/* "active", "revoked", "expired", or what else the record says. */

const char *ctl_key_state(const json_t *record);


/*
 * Finds the record of a key by its public id; *record is the caller's.
 * Returns CTL_OK, or another code and has said why.
 */

ctl_code_t ctl_key_find(ctl_t *ctl, const char *id,
    phrony_policy_name_t *name, json_t **record);


/*
 * Fills a record of a new key by the options of the command line, but for
 * scopes and hash.  Returns CTL_OK, or another code and has said why.
 */

ctl_code_t ctl_key_members(ctl_t *ctl, json_t *record);


/*
 * Sets the hash and stores the record; the clear text goes to --key-out, if
 * it is not "given": then it is not ours to print.  Returns as above, and the
 * file is gone if the record could not be stored.
 */

ctl_code_t ctl_key_store(ctl_t *ctl, json_t *record, ctl_secret_t *secret,
    int given);


/* Prints the record, the only time that the clear text is seen. */

void ctl_key_tell(ctl_t *ctl, json_t *record, const ctl_secret_t *secret,
    int given);


#endif /* CTL_KEY_H_ */
