
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_PHRONY_REPAIR_H_INCLUDED_
#define _NGX_PHRONY_REPAIR_H_INCLUDED_


#include "ngx_phrony_zone.h"


PHRONY_HIDDEN_BEGIN


/*
 * Makes every index of the zone anew from the hash chains, with the lock
 * held, after its last holder was killed.  Takes a time that grows with what
 * the zone holds.
 */

void ngx_phrony_repair(ngx_phrony_root_t *root);


PHRONY_HIDDEN_END


#endif /* _NGX_PHRONY_REPAIR_H_INCLUDED_ */
