
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_PHRONY_REDIS_SSL_H_INCLUDED_
#define _NGX_PHRONY_REDIS_SSL_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "ngx_phrony_redis_node.h"


#if (NGX_SSL)

PHRONY_HIDDEN_BEGIN


/*
 * TLS on a connection that has been made, whose pool must be set.  The
 * certificate is verified, and that it is one of the host, the address or the
 * configured name, before ngx_phrony_redis_node_connected() is called; else
 * ngx_phrony_redis_node_fail() is.  Either may be before it returns.
 */

void ngx_phrony_redis_ssl_handshake(ngx_phrony_redis_node_t *node);


/* Says good-bye, without waiting for an answer, and frees c->ssl. */

void ngx_phrony_redis_ssl_close(ngx_connection_t *c);


PHRONY_HIDDEN_END

#endif


#endif /* _NGX_PHRONY_REDIS_SSL_H_INCLUDED_ */
