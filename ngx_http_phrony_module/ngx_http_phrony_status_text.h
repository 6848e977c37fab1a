
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_HTTP_PHRONY_STATUS_TEXT_H_INCLUDED_
#define _NGX_HTTP_PHRONY_STATUS_TEXT_H_INCLUDED_


#include "ngx_http_phrony_module.h"


/*
 * A text of any length that grows as it is written.  Once there is no memory
 * nothing more is written, and "failed" is set.
 */

typedef struct {
    ngx_pool_t   *pool;
    ngx_chain_t  *first;
    ngx_chain_t  *last;
    off_t         size;
    ngx_uint_t    failed;
} ngx_http_phrony_text_t;


/*
 * Appends as ngx_sprintf() would, NGX_HTTP_PHRONY_TEXT_PIECE bytes at most
 * each time.
 */

#define NGX_HTTP_PHRONY_TEXT_PIECE  1024

void ngx_http_phrony_text(ngx_http_phrony_text_t *text, const char *fmt, ...);


#endif /* _NGX_HTTP_PHRONY_STATUS_TEXT_H_INCLUDED_ */
