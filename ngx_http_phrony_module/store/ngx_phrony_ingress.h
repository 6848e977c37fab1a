
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_PHRONY_INGRESS_H_INCLUDED_
#define _NGX_PHRONY_INGRESS_H_INCLUDED_


#include "ngx_phrony_store_redis.h"


PHRONY_HIDDEN_BEGIN


/* The fields of an entry, in this order, so that Redis packs their names. */

typedef enum {
    NGX_PHRONY_INGRESS_ID = 0,
    NGX_PHRONY_INGRESS_OUTCOME,
    NGX_PHRONY_INGRESS_REASON,
    NGX_PHRONY_INGRESS_KEY,
    NGX_PHRONY_INGRESS_CLIENT,
    NGX_PHRONY_INGRESS_AGENT,
    NGX_PHRONY_INGRESS_DUPLICATE,
    NGX_PHRONY_INGRESS_RUN,
    NGX_PHRONY_INGRESS_STATUS,
    NGX_PHRONY_INGRESS_LATENCY,
    NGX_PHRONY_INGRESS_GATEWAY,
    NGX_PHRONY_INGRESS_FIELDS
} ngx_phrony_ingress_field_t;


/* An attempt to start a run; a field that does not apply is empty. */

typedef struct {
    phrony_uuid_t           workspace_id;
    phrony_uuid_t           trigger_id;
    ngx_uint_t              maxlen;         /* of the stream, about */
    phrony_str_t            fields[NGX_PHRONY_INGRESS_FIELDS];
} ngx_phrony_ingress_t;


/*
 * Appends the attempt to the stream of its trigger, by commands that wait 2 ms
 * at most for company.  It is copied.  There is no answer, and no second try:
 * what Redis cannot be told now, or does not confirm, is counted as dropped.
 * So is what comes while NGX_PHRONY_INGRESS_MAX entries are on their way,
 * since starts need the pipeline more.
 */

#define NGX_PHRONY_INGRESS_MAX  1024

void ngx_phrony_ingress_log(ngx_phrony_store_redis_t *store,
    ngx_phrony_ingress_t *entry);


PHRONY_HIDDEN_END


#endif /* _NGX_PHRONY_INGRESS_H_INCLUDED_ */
