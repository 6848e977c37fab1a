
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_PHRONY_REDIS_CONNECT_H_INCLUDED_
#define _NGX_PHRONY_REDIS_CONNECT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "ngx_phrony_redis_node.h"


PHRONY_HIDDEN_BEGIN


/*
 * Finds the addresses of a node and connects to one of them, with TLS if it is
 * configured: ngx_phrony_redis_node_connected() or _fail() is called then,
 * maybe before it returns.
 */

void ngx_phrony_redis_connect(ngx_phrony_redis_node_t *node);


/* Ends that, or the connection; does nothing if there is none. */

void ngx_phrony_redis_disconnect(ngx_phrony_redis_node_t *node);


/*
 * Reads an IPv4 or IPv6 address.  Returns the length of *sa, or 0 if it is a
 * host name.
 */

socklen_t ngx_phrony_redis_address(const ngx_str_t *text, in_port_t port,
    ngx_sockaddr_t *sa);


PHRONY_HIDDEN_END


#endif /* _NGX_PHRONY_REDIS_CONNECT_H_INCLUDED_ */
