
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_HTTP_PHRONY_DIGEST_H_INCLUDED_
#define _NGX_HTTP_PHRONY_DIGEST_H_INCLUDED_


#include "ngx_http_phrony_module.h"


/* Prepares OpenSSL's SHA-256 for a worker.  Returns NGX_OK or NGX_ERROR. */

ngx_int_t ngx_http_phrony_digest_init(ngx_cycle_t *cycle);

void ngx_http_phrony_digest_done(void);


/* SHA-256 of "text"; returns NGX_OK, or NGX_ERROR if OpenSSL failed. */

ngx_int_t ngx_http_phrony_digest(const ngx_str_t *text,
    u_char digest[PHRONY_KEY_DIGEST_LEN]);


#endif /* _NGX_HTTP_PHRONY_DIGEST_H_INCLUDED_ */
