
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_PHRONY_REDIS_GREETING_H_INCLUDED_
#define _NGX_PHRONY_REDIS_GREETING_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "ngx_phrony_redis_node.h"


#define NGX_PHRONY_REDIS_TEXT_LEN  160


PHRONY_HIDDEN_BEGIN


/*
 * Queues what a server is told first, in one packet; when all of it has been
 * answered well ngx_phrony_redis_node_greeted() is called, else
 * ngx_phrony_redis_node_fail().  Returns NGX_OK, or NGX_ERROR if there is no
 * memory.
 */

ngx_int_t ngx_phrony_redis_greet(ngx_phrony_redis_node_t *node);


/*
 * Writes "what", a colon and what the server answered, made printable and cut
 * to NGX_PHRONY_REDIS_TEXT_LEN - 1 bytes, with a NUL.  Of an error that quotes
 * user or password only the code is left.
 */

void ngx_phrony_redis_text(ngx_phrony_redis_t *redis, u_char *text,
    const char *what, const phrony_resp_t *reply);


PHRONY_HIDDEN_END


#endif /* _NGX_PHRONY_REDIS_GREETING_H_INCLUDED_ */
