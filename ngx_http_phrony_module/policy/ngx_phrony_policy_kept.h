
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_PHRONY_POLICY_KEPT_H_INCLUDED_
#define _NGX_PHRONY_POLICY_KEPT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_phrony_policy_built.h"


PHRONY_HIDDEN_BEGIN


/*
 * What a worker has built and keeps: one for each key, those that were used
 * last, as many as there is room for.
 */


/* The one for this key, or NULL. */

ngx_phrony_policy_built_t *ngx_phrony_policy_kept_find(
    ngx_phrony_policy_redis_t *policy,
    const u_char digest[PHRONY_KEY_DIGEST_LEN]);

/* Keeps it, instead of the one that was kept for its key. */

void ngx_phrony_policy_kept_add(ngx_phrony_policy_redis_t *policy,
    ngx_phrony_policy_built_t *built);

/* Keeps none any more. */

void ngx_phrony_policy_kept_clear(ngx_phrony_policy_redis_t *policy);


PHRONY_HIDDEN_END


#endif /* _NGX_PHRONY_POLICY_KEPT_H_INCLUDED_ */
