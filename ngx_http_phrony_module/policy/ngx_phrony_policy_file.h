
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_PHRONY_POLICY_FILE_H_INCLUDED_
#define _NGX_PHRONY_POLICY_FILE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_phrony_policy.h"


PHRONY_HIDDEN_BEGIN


/*
 * Reads and builds the policy in the file "name", NUL-terminated.  The policy
 * is freed with "pool".  Blocks, so it is for the time of configuration.
 * Returns NULL and fills "error": error->line is 0 if the file could not be
 * read at all.
 */

phrony_policy_t *ngx_phrony_policy_file_load(ngx_pool_t *pool,
    ngx_str_t *name, phrony_policy_error_t *error);


/* All policy there is, in this process's memory: every answer is at once. */

typedef struct {
    ngx_phrony_source_t      source;        /* the first member */
    const phrony_policy_t   *policy;
} ngx_phrony_policy_file_t;


/* Makes a source of a policy, which must outlive it. */

void ngx_phrony_policy_file_init(ngx_phrony_policy_file_t *file,
    const phrony_policy_t *policy);


PHRONY_HIDDEN_END


#endif /* _NGX_PHRONY_POLICY_FILE_H_INCLUDED_ */
