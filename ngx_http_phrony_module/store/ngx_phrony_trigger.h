
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_PHRONY_TRIGGER_H_INCLUDED_
#define _NGX_PHRONY_TRIGGER_H_INCLUDED_


#include "ngx_phrony_zone.h"


PHRONY_HIDDEN_BEGIN


/*
 * Triggers in the zone: what is counted on each.  All of this is called with
 * the lock held.
 */


/* The trigger with this id, or NULL. */

ngx_phrony_trigger_t *ngx_phrony_trigger_find(ngx_phrony_root_t *root,
    phrony_uuid_t *id);

/* A new one, on which nothing is counted; NULL if there is no room. */

ngx_phrony_trigger_t *ngx_phrony_trigger_add(ngx_phrony_zone_t *zone,
    phrony_uuid_t *id);

/*
 * The trigger with this id, which becomes the most recently used: a new one
 * if there was none.  Returns NULL if there is no room.
 */

ngx_phrony_trigger_t *ngx_phrony_trigger_use(ngx_phrony_zone_t *zone,
    phrony_uuid_t *id);

/* One of its runs took so long, in ms. */

void ngx_phrony_trigger_measure(ngx_phrony_trigger_t *trigger,
    uint32_t duration);

/* Makes the trigger the most recently used. */

void ngx_phrony_trigger_touch(ngx_phrony_root_t *root,
    ngx_phrony_trigger_t *trigger);

/* Looks at some of the least recently used and gives up those that idle. */

void ngx_phrony_trigger_evict(ngx_phrony_zone_t *zone,
    ngx_phrony_trigger_t *keep);


PHRONY_HIDDEN_END


#endif /* _NGX_PHRONY_TRIGGER_H_INCLUDED_ */
