
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_phrony_redis_connect.h"
#include "ngx_phrony_redis_ssl.h"


static void ngx_phrony_redis_resolve(ngx_phrony_redis_node_t *node);
static ngx_int_t ngx_phrony_redis_ask_resolver(ngx_phrony_redis_node_t *node);
static void ngx_phrony_redis_resolve_handler(ngx_resolver_ctx_t *ctx);
static void ngx_phrony_redis_known_addresses(ngx_phrony_redis_node_t *node);
static socklen_t ngx_phrony_redis_unix_address(ngx_phrony_redis_node_t *node,
    ngx_sockaddr_t *sa);
static void ngx_phrony_redis_add_address(ngx_phrony_redis_node_t *node,
    struct sockaddr *sockaddr, socklen_t socklen);
static void ngx_phrony_redis_try(ngx_phrony_redis_node_t *node);
static ngx_int_t ngx_phrony_redis_try_address(ngx_phrony_redis_node_t *node,
    ngx_uint_t i);
static ngx_int_t ngx_phrony_redis_prepare(ngx_phrony_redis_node_t *node);
static void ngx_phrony_redis_connect_handler(ngx_event_t *ev);
static ngx_int_t ngx_phrony_redis_test_connect(ngx_connection_t *c);
static void ngx_phrony_redis_established(ngx_phrony_redis_node_t *node);
static void ngx_phrony_redis_close(ngx_phrony_redis_node_t *node);


void
ngx_phrony_redis_connect(ngx_phrony_redis_node_t *node)
{
    socklen_t       len;
    ngx_sockaddr_t  sa;

    ngx_log_debug0(NGX_LOG_DEBUG_EVENT, &node->log, 0, "redis connect");

    node->log.action = "connecting to redis";
    node->state = NGX_PHRONY_REDIS_RESOLVING;
    node->naddrs = 0;
    node->tried = 0;

    len = node->port
          ? ngx_phrony_redis_address(&node->host, node->port, &sa)
          : ngx_phrony_redis_unix_address(node, &sa);

    if (len) {
        ngx_phrony_redis_add_address(node, &sa.sockaddr, len);

    } else if (node->port) {
        ngx_phrony_redis_resolve(node);
    }

    if (node->resolving == NULL && node->state == NGX_PHRONY_REDIS_RESOLVING) {
        ngx_phrony_redis_try(node);
    }
}


/*
 * A name is resolved anew each time.  Where that cannot be done, or fails, the
 * addresses are those that it had when the configuration was read.
 */

static void
ngx_phrony_redis_resolve(ngx_phrony_redis_node_t *node)
{
    if (node->redis->conf->resolver == NULL
        || ngx_phrony_redis_ask_resolver(node) != NGX_OK)
    {
        ngx_phrony_redis_known_addresses(node);
    }
}


static ngx_int_t
ngx_phrony_redis_ask_resolver(ngx_phrony_redis_node_t *node)
{
    ngx_resolver_ctx_t         *ctx;
    ngx_phrony_redis_conf_t    *conf;

    conf = node->redis->conf;

    ctx = ngx_resolve_start(conf->resolver, NULL);

    if (ctx == NULL || ctx == NGX_NO_RESOLVER) {
        return NGX_DECLINED;
    }

    ctx->name = node->host;
    ctx->handler = ngx_phrony_redis_resolve_handler;
    ctx->data = node;
    ctx->timeout = conf->resolver_timeout;
    ctx->cancelable = 1;

    node->resolving = ctx;

    /* the handler may be called at once, and connect */

    if (ngx_resolve_name(ctx) != NGX_OK) {
        node->resolving = NULL;
        return NGX_DECLINED;
    }

    return NGX_OK;
}


static void
ngx_phrony_redis_resolve_handler(ngx_resolver_ctx_t *ctx)
{
    ngx_uint_t                i;
    ngx_phrony_redis_node_t  *node;

    node = ctx->data;

    ngx_log_debug2(NGX_LOG_DEBUG_EVENT, &node->log, 0,
                   "redis resolved: %i, %ui addresses",
                   ctx->state, ctx->naddrs);

    if (ctx->state == NGX_OK) {

        for (i = 0; i < ctx->naddrs; i++) {
            ngx_phrony_redis_add_address(node, ctx->addrs[i].sockaddr,
                                         ctx->addrs[i].socklen);
        }

    } else {
        ngx_log_error(NGX_LOG_ERR, &node->log, 0,
                      "\"%V\" could not be resolved (%i: %s)",
                      &node->host, ctx->state,
                      ngx_resolver_strerror(ctx->state));

        ngx_phrony_redis_known_addresses(node);
    }

    node->resolving = NULL;
    ngx_resolve_name_done(ctx);

    ngx_phrony_redis_try(node);
}


static void
ngx_phrony_redis_known_addresses(ngx_phrony_redis_node_t *node)
{
    ngx_uint_t                i;
    phrony_redis_host_t      *host;
    ngx_phrony_redis_conf_t  *conf;

    conf = node->redis->conf;

    for (i = 0; i < conf->naddrs; i++) {
        host = &conf->parsed.hosts[conf->addr_hosts[i]];

        if (host->port == node->port
            && host->host.len == node->host.len
            && ngx_strncasecmp(host->host.data, node->host.data,
                               node->host.len)
               == 0)
        {
            ngx_phrony_redis_add_address(node, conf->addrs[i].sockaddr,
                                         conf->addrs[i].socklen);
        }
    }
}


socklen_t
ngx_phrony_redis_address(const ngx_str_t *text, in_port_t port,
    ngx_sockaddr_t *sa)
{
    in_addr_t  addr;

    ngx_memzero(sa, sizeof(ngx_sockaddr_t));

    addr = ngx_inet_addr(text->data, text->len);

    if (addr != INADDR_NONE) {
        sa->sockaddr_in.sin_family = AF_INET;
        sa->sockaddr_in.sin_addr.s_addr = addr;
        sa->sockaddr_in.sin_port = htons(port);
        return sizeof(struct sockaddr_in);
    }

#if (NGX_HAVE_INET6)

    if (ngx_inet6_addr(text->data, text->len,
                       sa->sockaddr_in6.sin6_addr.s6_addr)
        == NGX_OK)
    {
        sa->sockaddr_in6.sin6_family = AF_INET6;
        sa->sockaddr_in6.sin6_port = htons(port);
        return sizeof(struct sockaddr_in6);
    }

#endif

    return 0;
}


static socklen_t
ngx_phrony_redis_unix_address(ngx_phrony_redis_node_t *node,
    ngx_sockaddr_t *sa)
{
    ngx_memzero(sa, sizeof(ngx_sockaddr_t));

    if (node->host.len >= sizeof(sa->sockaddr_un.sun_path)) {
        ngx_log_error(NGX_LOG_ERR, &node->log, 0,
                      "the path of the socket is too long");
        return 0;
    }

    sa->sockaddr_un.sun_family = AF_UNIX;
    ngx_memcpy(sa->sockaddr_un.sun_path, node->host.data, node->host.len);

    return sizeof(struct sockaddr_un);
}


static void
ngx_phrony_redis_add_address(ngx_phrony_redis_node_t *node,
    struct sockaddr *sockaddr, socklen_t socklen)
{
    ngx_uint_t  n;

    n = node->naddrs;

    if (n == NGX_PHRONY_REDIS_ADDRS || socklen > sizeof(ngx_sockaddr_t)) {
        return;
    }

    ngx_memcpy(&node->sockaddrs[n], sockaddr, socklen);
    node->socklens[n] = socklen;

    if (node->port) {
        ngx_inet_set_port(&node->sockaddrs[n].sockaddr, node->port);
    }

    node->naddrs++;
}


/* Tries the addresses that are left in turn. */

static void
ngx_phrony_redis_try(ngx_phrony_redis_node_t *node)
{
    ngx_int_t  rc;

    node->state = NGX_PHRONY_REDIS_CONNECTING;

    while (node->tried < node->naddrs) {

        rc = ngx_phrony_redis_try_address(node, (node->addr + node->tried++)
                                                % node->naddrs);

        if (rc == NGX_OK) {
            ngx_phrony_redis_established(node);
            return;
        }

        if (rc == NGX_AGAIN) {
            return;
        }
    }

    ngx_phrony_redis_node_fail(node, node->naddrs ? "no connection"
                                                  : "no address");
}


static ngx_int_t
ngx_phrony_redis_try_address(ngx_phrony_redis_node_t *node, ngx_uint_t i)
{
    ngx_int_t               rc;
    ngx_peer_connection_t  *peer;

    peer = &node->peer;

    node->address.data = node->text;
    node->address.len = ngx_sock_ntop(&node->sockaddrs[i].sockaddr,
                                      node->socklens[i], node->text,
                                      NGX_SOCKADDR_STRLEN, 1);

    ngx_memzero(peer, sizeof(ngx_peer_connection_t));

    peer->sockaddr = &node->sockaddrs[i].sockaddr;
    peer->socklen = node->socklens[i];
    peer->name = &node->address;
    peer->get = ngx_event_get_peer;
    peer->log = &node->log;
    peer->log_error = NGX_ERROR_ERR;
    peer->so_keepalive = 1;

    rc = ngx_event_connect_peer(peer);

    if (rc != NGX_OK && rc != NGX_AGAIN) {
        return NGX_DECLINED;
    }

    node->connection = peer->connection;

    if (ngx_phrony_redis_prepare(node) != NGX_OK) {
        ngx_phrony_redis_close(node);
        return NGX_DECLINED;
    }

    return rc;
}


static ngx_int_t
ngx_phrony_redis_prepare(ngx_phrony_redis_node_t *node)
{
    ngx_connection_t  *c;

    c = node->connection;

    c->data = node;
    c->log = &node->log;
    c->read->handler = ngx_phrony_redis_connect_handler;
    c->write->handler = ngx_phrony_redis_connect_handler;
    node->log.connection = c->number;

    /* commands are small, and each waits for its answer */

    if (node->port && ngx_tcp_nodelay(c) != NGX_OK) {
        return NGX_ERROR;
    }

#if (NGX_SSL)

    if (node->redis->conf->ssl) {
        c->pool = ngx_create_pool(NGX_PHRONY_REDIS_POOL, &node->log);

        if (c->pool == NULL) {
            return NGX_ERROR;
        }
    }

#endif

    return NGX_OK;
}


static void
ngx_phrony_redis_connect_handler(ngx_event_t *ev)
{
    ngx_connection_t         *c;
    ngx_phrony_redis_node_t  *node;

    c = ev->data;
    node = c->data;

    ngx_log_debug1(NGX_LOG_DEBUG_EVENT, &node->log, 0,
                   "redis connect handler, write:%d", ev->write);

    if (c->close) {
        node->redis->closing = 1;
        ngx_phrony_redis_node_fail(node, "shutdown timeout");
        return;
    }

    if (ngx_phrony_redis_test_connect(c) != NGX_OK) {
        ngx_phrony_redis_close(node);
        ngx_phrony_redis_try(node);
        return;
    }

    ngx_phrony_redis_established(node);
}


static ngx_int_t
ngx_phrony_redis_test_connect(ngx_connection_t *c)
{
    int        err;
    socklen_t  len;

    err = 0;
    len = sizeof(int);

    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, (void *) &err, &len) == -1) {
        err = ngx_socket_errno;
    }

    if (err) {
        (void) ngx_connection_error(c, err, "connect() failed");
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_phrony_redis_established(ngx_phrony_redis_node_t *node)
{
#if (NGX_SSL)

    if (node->redis->conf->ssl) {
        node->state = NGX_PHRONY_REDIS_HANDSHAKE;
        ngx_phrony_redis_ssl_handshake(node);
        return;
    }

#endif

    ngx_phrony_redis_node_connected(node);
}


void
ngx_phrony_redis_disconnect(ngx_phrony_redis_node_t *node)
{
    if (node->resolving) {
        ngx_resolve_name_done(node->resolving);
        node->resolving = NULL;
    }

    if (node->connection) {
        ngx_phrony_redis_close(node);
    }
}


static void
ngx_phrony_redis_close(ngx_phrony_redis_node_t *node)
{
    ngx_pool_t        *pool;
    ngx_connection_t  *c;

    c = node->connection;
    pool = c->pool;

    node->connection = NULL;

#if (NGX_SSL)

    if (c->ssl) {
        ngx_phrony_redis_ssl_close(c);
    }

#endif

    ngx_close_connection(c);

    if (pool) {
        ngx_destroy_pool(pool);
    }
}
