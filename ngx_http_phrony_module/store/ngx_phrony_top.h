
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_PHRONY_TOP_H_INCLUDED_
#define _NGX_PHRONY_TOP_H_INCLUDED_


#include "ngx_phrony_zone.h"


#define NGX_PHRONY_TOP_MAX   20
#define NGX_PHRONY_TOP_LOOK  1000       /* triggers that are looked at */

#define NGX_PHRONY_TOP_FULL  10000      /* "fill" of a limit that is used up */


PHRONY_HIDDEN_BEGIN


/* The triggers that are closest to one of their limits, the closest first. */

typedef struct {
    phrony_uuid_t            trigger_id;
    phrony_uuid_t            agent_id;
    unsigned                 has_agent:1;
    uint64_t                 used[PHRONY_LIMIT_MAX];
    int64_t                  quotas[PHRONY_LIMIT_MAX];      /* -1: none */
    uint64_t                 fill;      /* of the fullest limit */
} ngx_phrony_top_entry_t;


typedef struct {
    uint64_t                 held;      /* slots of all that were looked at */
    ngx_uint_t               n;
    ngx_phrony_top_entry_t   entries[NGX_PHRONY_TOP_MAX];
} ngx_phrony_top_t;


/*
 * Sets the agent and the quotas of a trigger that are known better than by
 * the zone, which has them where Redis is asked only.
 */

typedef void (*ngx_phrony_top_look_up_pt)(void *data,
    ngx_phrony_top_entry_t *entry);


/*
 * Looks at the triggers that were used last, NGX_PHRONY_TOP_LOOK of them, at
 * each of them once, and keeps those that have a limit and use it.  The zone
 * is locked for a few of them at a time; look_up() is called without the lock,
 * and may be NULL.
 */

void ngx_phrony_top(ngx_phrony_zone_t *zone, ngx_phrony_top_t *top,
    ngx_phrony_top_look_up_pt look_up, void *data);


PHRONY_HIDDEN_END


#endif /* _NGX_PHRONY_TOP_H_INCLUDED_ */
