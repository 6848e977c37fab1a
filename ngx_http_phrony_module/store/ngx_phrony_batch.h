
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_PHRONY_BATCH_H_INCLUDED_
#define _NGX_PHRONY_BATCH_H_INCLUDED_


#include "ngx_phrony_tell.h"


#define NGX_PHRONY_BATCH_LATER  1000    /* ms */


PHRONY_HIDDEN_BEGIN


/*
 * Redis is told of what is untold in the zone, so much at a time that nobody
 * waits behind it for long.  The next batch follows when all of one was
 * answered; if some of it failed, after a pause.
 */


/* Begins, soon, if there is anything untold and Redis can be told. */

void ngx_phrony_batch_untold(ngx_phrony_teller_t *teller);


/* Handlers of the teller's events. */

void ngx_phrony_batch_handler(ngx_event_t *ev);
void ngx_phrony_batch_later_handler(ngx_event_t *ev);


/* One command of a batch was answered, or has failed. */

void ngx_phrony_batch_done(ngx_phrony_teller_t *teller);


PHRONY_HIDDEN_END


#endif /* _NGX_PHRONY_BATCH_H_INCLUDED_ */
