
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_PHRONY_RECEIPT_H_INCLUDED_
#define _NGX_PHRONY_RECEIPT_H_INCLUDED_


#include "ngx_phrony_notice.h"
#include "ngx_phrony_tell.h"


PHRONY_HIDDEN_BEGIN


/*
 * Tells Redis of a claim by a command of its own, which waits 2 ms at most for
 * company, or not at all within a batch.  What cannot be told, or perhaps was
 * not, is noted in the zone: each can be told twice.
 */

void ngx_phrony_receipt_tell(ngx_phrony_teller_t *teller,
    ngx_phrony_notice_t *notice);


PHRONY_HIDDEN_END


#endif /* _NGX_PHRONY_RECEIPT_H_INCLUDED_ */
