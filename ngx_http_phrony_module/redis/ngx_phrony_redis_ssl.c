
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_phrony_redis_connect.h"
#include "ngx_phrony_redis_ssl.h"


#if (NGX_SSL)

#include <openssl/x509v3.h>


#define NGX_PHRONY_REDIS_NAME_LEN  255          /* of a host, RFC 1035 */


/* The name that is checked, with a NUL behind it. */

typedef struct {
    ngx_str_t    text;
    ngx_uint_t   address;                       /* is one, no host name */
    u_char       buf[NGX_PHRONY_REDIS_NAME_LEN + 1];
} ngx_phrony_redis_name_t;


static ngx_int_t ngx_phrony_redis_ssl_name(ngx_phrony_redis_node_t *node,
    ngx_phrony_redis_name_t *name);
static ngx_int_t ngx_phrony_redis_ssl_prepare(ngx_phrony_redis_node_t *node);
static void ngx_phrony_redis_ssl_handler(ngx_connection_t *c);
static void ngx_phrony_redis_ssl_done(ngx_phrony_redis_node_t *node);
static ngx_int_t ngx_phrony_redis_ssl_verify(ngx_phrony_redis_node_t *node);
static ngx_int_t ngx_phrony_redis_ssl_check_address(ngx_connection_t *c,
    const char *address);


void
ngx_phrony_redis_ssl_handshake(ngx_phrony_redis_node_t *node)
{
    ngx_connection_t  *c;

    c = node->connection;

    node->log.action = "SSL handshaking with redis";

    /* the first failure is worth the details, even late in an outage */

    if (!node->handshook) {
        node->handshook = 1;
        node->log.log_level = node->log_level;
    }

    if (ngx_phrony_redis_ssl_prepare(node) != NGX_OK) {
        ngx_phrony_redis_node_fail(node, "SSL could not be set up");
        return;
    }

    if (ngx_ssl_handshake(c) == NGX_AGAIN) {
        c->ssl->handler = ngx_phrony_redis_ssl_handler;
        return;
    }

    ngx_phrony_redis_ssl_done(node);
}


static ngx_int_t
ngx_phrony_redis_ssl_prepare(ngx_phrony_redis_node_t *node)
{
    ngx_connection_t         *c;
    ngx_phrony_redis_name_t   name;

    c = node->connection;

    if (ngx_phrony_redis_ssl_name(node, &name) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_ssl_create_connection(node->redis->conf->ssl, c, NGX_SSL_CLIENT)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* RFC 6066, 3: literal addresses are not permitted in "HostName" */

    if (!name.address
        && SSL_set_tlsext_host_name(c->ssl->connection, (char *) name.buf)
           == 0)
    {
        ngx_ssl_error(NGX_LOG_ERR, c->log, 0,
                      "SSL_set_tlsext_host_name(\"%s\") failed", name.buf);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_phrony_redis_ssl_name(ngx_phrony_redis_node_t *node,
    ngx_phrony_redis_name_t *name)
{
    ngx_str_t       *text;
    ngx_sockaddr_t   sa;

    text = &node->redis->conf->ssl_name;

    if (text->len == 0) {
        text = &node->host;
    }

    if (text->len > NGX_PHRONY_REDIS_NAME_LEN) {
        ngx_log_error(NGX_LOG_ERR, &node->log, 0,
                      "the name \"%V\" is too long for SSL", text);
        return NGX_ERROR;
    }

    ngx_memcpy(name->buf, text->data, text->len);
    name->buf[text->len] = '\0';

    name->text.data = name->buf;
    name->text.len = text->len;
    name->address = ngx_phrony_redis_address(text, node->port, &sa) != 0;

    return NGX_OK;
}


static void
ngx_phrony_redis_ssl_handler(ngx_connection_t *c)
{
    ngx_log_debug0(NGX_LOG_DEBUG_EVENT, c->log, 0, "redis SSL handler");

    ngx_phrony_redis_ssl_done(c->data);
}


static void
ngx_phrony_redis_ssl_done(ngx_phrony_redis_node_t *node)
{
    if (!node->connection->ssl->handshaked) {
        ngx_phrony_redis_node_fail(node, "SSL handshake failed");
        return;
    }

    if (node->redis->conf->ssl_verify
        && ngx_phrony_redis_ssl_verify(node) != NGX_OK)
    {
        ngx_phrony_redis_node_fail(node, "SSL certificate is not trusted");
        return;
    }

    ngx_phrony_redis_node_connected(node);
}


static ngx_int_t
ngx_phrony_redis_ssl_verify(ngx_phrony_redis_node_t *node)
{
    long                      rc;
    ngx_int_t                 matches;
    ngx_connection_t         *c;
    ngx_phrony_redis_name_t   name;

    c = node->connection;

    rc = SSL_get_verify_result(c->ssl->connection);

    if (rc != X509_V_OK) {
        ngx_log_error(NGX_LOG_ERR, c->log, 0,
                      "redis SSL certificate verify error: (%l:%s)",
                      rc, X509_verify_cert_error_string(rc));
        return NGX_ERROR;
    }

    if (ngx_phrony_redis_ssl_name(node, &name) != NGX_OK) {
        return NGX_ERROR;
    }

    /* without a certificate either fails */

    matches = name.address
              ? ngx_phrony_redis_ssl_check_address(c, (char *) name.buf)
              : ngx_ssl_check_host(c, &name.text);

    if (matches != NGX_OK) {
        ngx_log_error(NGX_LOG_ERR, c->log, 0,
                      "redis SSL certificate does not match \"%V\"",
                      &name.text);
    }

    return matches;
}


static ngx_int_t
ngx_phrony_redis_ssl_check_address(ngx_connection_t *c, const char *address)
{
    int    rc;
    X509  *cert;

    cert = SSL_get_peer_certificate(c->ssl->connection);
    if (cert == NULL) {
        return NGX_ERROR;
    }

    rc = X509_check_ip_asc(cert, address, 0);

    X509_free(cert);

    return (rc == 1) ? NGX_OK : NGX_ERROR;
}


void
ngx_phrony_redis_ssl_close(ngx_connection_t *c)
{
    c->ssl->no_wait_shutdown = 1;

    if (ngx_ssl_shutdown(c) != NGX_AGAIN) {
        return;
    }

    /* the socket takes nothing: it goes without a word */

    c->ssl->no_send_shutdown = 1;

    (void) ngx_ssl_shutdown(c);
}

#endif
