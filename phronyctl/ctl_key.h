
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef CTL_KEY_H_
#define CTL_KEY_H_


#include "phrony_policy_name.h"

#include "ctl.h"


/* "active", "revoked", "expired", or what else the record says. */

const char *ctl_key_state(const json_t *record);


/*
 * Finds the record of a key by its public id; *record is the caller's.
 * Returns CTL_OK, or another code and has said why.
 */

ctl_code_t ctl_key_find(ctl_t *ctl, const char *id,
    phrony_policy_name_t *name, json_t **record);


#endif /* CTL_KEY_H_ */
