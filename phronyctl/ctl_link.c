
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "ctl_link.h"
#include "ctl_output.h"


#define CTL_LINK_PIECE     65536
#define CTL_LINK_DEPTH     9                    /* of certificates, as nginx */
#define CTL_LINK_BYTES     (256 * 1024 * 1024)  /* of a reply */
#define CTL_LINK_ELEMENTS  (1024 * 1024)


static int ctl_link_unix(ctl_link_t *link, const char *path);
static int ctl_link_tcp(ctl_link_t *link, const char *host, unsigned port);
static int ctl_link_connect(ctl_link_t *link, int family,
    const struct sockaddr *sa, socklen_t len);
static int ctl_link_handshake(ctl_link_t *link, const char *host);
static int ctl_link_name(ctl_link_t *link, const char *name);
static int ctl_link_shake(ctl_link_t *link);
static int ctl_link_wait(ctl_link_t *link, short events, int64_t deadline);
static ssize_t ctl_link_read(ctl_link_t *link, unsigned char *buf,
    size_t size, int64_t deadline);
static ssize_t ctl_link_write(ctl_link_t *link, const unsigned char *buf,
    size_t len, int64_t deadline);
static int ctl_link_ssl_wait(ctl_link_t *link, int rc, int64_t deadline);
static int ctl_link_fail(ctl_link_t *link, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static int ctl_link_tls_fail(char *error, const char *what,
    const char *path);


int
ctl_link_open(ctl_link_t *link, const ctl_link_conf_t *conf,
    const char *host, unsigned port)
{
    phrony_resp_limits_t  limits;

    memset(link, 0, sizeof(ctl_link_t));
    link->conf = conf;
    link->fd = -1;

    limits.bytes = CTL_LINK_BYTES;
    limits.elements = CTL_LINK_ELEMENTS;

    link->reader = phrony_resp_reader_create(&limits);

    if (link->reader == NULL) {
        return ctl_link_fail(link, "no memory");
    }

    if (port == 0) {
        return ctl_link_unix(link, host);
    }

    if (ctl_link_tcp(link, host, port) == -1) {
        return -1;
    }

    return conf->ssl ? ctl_link_handshake(link, host) : 0;
}


void
ctl_link_close(ctl_link_t *link)
{
    if (link->ssl) {
        (void) SSL_shutdown(link->ssl);
        SSL_free(link->ssl);
    }

    if (link->fd != -1) {
        close(link->fd);
    }

    phrony_resp_reader_free(link->reader);
    free(link->out);

    link->ssl = NULL;
    link->fd = -1;
    link->reader = NULL;
    link->out = NULL;
}


static int
ctl_link_unix(ctl_link_t *link, const char *path)
{
    struct sockaddr_un  sa;

    memset(&sa, 0, sizeof(sa));
    sa.sun_family = AF_UNIX;

    if (strlen(path) >= sizeof(sa.sun_path)) {
        return ctl_link_fail(link, "the path of the socket is too long");
    }

    memcpy(sa.sun_path, path, strlen(path));

    return ctl_link_connect(link, AF_UNIX, (struct sockaddr *) &sa,
                            sizeof(sa));
}


static int
ctl_link_tcp(ctl_link_t *link, const char *host, unsigned port)
{
    int               rc;
    char              service[16];
    struct addrinfo   hints, *all, *ai;

    memset(&hints, 0, sizeof(hints));
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_ADDRCONFIG;

    snprintf(service, sizeof(service), "%u", port);

    rc = getaddrinfo(host, service, &hints, &all);

    if (rc == EAI_NONAME) {
        hints.ai_flags = AI_NUMERICHOST;
        rc = getaddrinfo(host, service, &hints, &all);
    }

    if (rc) {
        return ctl_link_fail(link, "host was not found: %s",
                             gai_strerror(rc));
    }

    rc = -1;

    for (ai = all; ai && rc == -1; ai = ai->ai_next) {
        rc = ctl_link_connect(link, ai->ai_family, ai->ai_addr,
                              ai->ai_addrlen);
    }

    freeaddrinfo(all);

    return rc;
}


static int
ctl_link_connect(ctl_link_t *link, int family, const struct sockaddr *sa,
    socklen_t len)
{
    int        error, on;
    int64_t    deadline;
    socklen_t  size;

    if (link->fd != -1) {
        close(link->fd);
    }

    link->fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (link->fd == -1) {
        return ctl_link_fail(link, "%s", strerror(errno));
    }

    deadline = ctl_now() + link->conf->connect_timeout;
    on = 1;
    (void) setsockopt(link->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));

    if (connect(link->fd, sa, len) == 0) {
        return 0;
    }

    if (errno != EINPROGRESS) {
        return ctl_link_fail(link, "%s", strerror(errno));
    }

    if (ctl_link_wait(link, POLLOUT, deadline) == -1) {
        return -1;
    }

    error = 0;
    size = sizeof(error);

    if (getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &error, &size) == -1
        || error)
    {
        return ctl_link_fail(link, "%s", strerror(error ? error : errno));
    }

    return 0;
}


static int
ctl_link_handshake(ctl_link_t *link, const char *host)
{
    link->ssl = SSL_new(link->conf->ssl);

    if (link->ssl == NULL || SSL_set_fd(link->ssl, link->fd) != 1) {
        return ctl_link_fail(link, "TLS could not be set up");
    }

    if (ctl_link_name(link, link->conf->tls_name ? link->conf->tls_name
                                                 : host)
        == -1)
    {
        return -1;
    }

    SSL_set_connect_state(link->ssl);

    return ctl_link_shake(link);
}


/* RFC 6066, 3: an address is not sent as a name. */

static int
ctl_link_name(ctl_link_t *link, const char *name)
{
    int                 rc;
    unsigned char       address[16];
    X509_VERIFY_PARAM  *param;

    param = SSL_get0_param(link->ssl);

    if (inet_pton(AF_INET, name, address) == 1
        || inet_pton(AF_INET6, name, address) == 1)
    {
        rc = X509_VERIFY_PARAM_set1_ip_asc(param, name);

    } else {
        rc = X509_VERIFY_PARAM_set1_host(param, name, 0)
             && SSL_set_tlsext_host_name(link->ssl, name);
    }

    return rc == 1 ? 0 : ctl_link_fail(link, "\"%s\" is no name for TLS",
                                       name);
}


static int
ctl_link_shake(ctl_link_t *link)
{
    int      rc;
    long     verified;
    int64_t  deadline;

    deadline = ctl_now() + link->conf->connect_timeout;

    for ( ;; ) {
        ERR_clear_error();
        rc = SSL_do_handshake(link->ssl);

        if (rc == 1) {
            return 0;
        }

        if (ctl_link_ssl_wait(link, rc, deadline) == 0) {
            continue;
        }

        verified = SSL_get_verify_result(link->ssl);

        if (link->conf->verify && verified != X509_V_OK) {
            return ctl_link_fail(link, "the certificate is not trusted: %s",
                                 X509_verify_cert_error_string(verified));
        }

        return -1;
    }
}


/* Waits for what the library wants.  Returns 0, or -1 if it has failed. */

static int
ctl_link_ssl_wait(ctl_link_t *link, int rc, int64_t deadline)
{
    int            error;
    unsigned long  code;

    error = SSL_get_error(link->ssl, rc);

    if (error == SSL_ERROR_WANT_READ) {
        return ctl_link_wait(link, POLLIN, deadline);
    }

    if (error == SSL_ERROR_WANT_WRITE) {
        return ctl_link_wait(link, POLLOUT, deadline);
    }

    code = ERR_peek_error();

    return ctl_link_fail(link, "%s", code ? ERR_reason_error_string(code)
                                          : "the connection was closed");
}


static int
ctl_link_wait(ctl_link_t *link, short events, int64_t deadline)
{
    int            rc;
    int64_t        left;
    struct pollfd  pfd;

    pfd.fd = link->fd;
    pfd.events = events;

    for ( ;; ) {
        left = deadline - ctl_now();

        if (left <= 0) {
            return ctl_link_fail(link, "timed out");
        }

        rc = poll(&pfd, 1, left > INT_MAX ? INT_MAX : (int) left);

        if (rc > 0) {
            return 0;
        }

        if (rc == -1 && errno != EINTR) {
            return ctl_link_fail(link, "%s", strerror(errno));
        }
    }
}


static ssize_t
ctl_link_read(ctl_link_t *link, unsigned char *buf, size_t size,
    int64_t deadline)
{
    ssize_t  n;

    for ( ;; ) {

        if (link->ssl) {
            ERR_clear_error();
            n = SSL_read(link->ssl, buf, (int) size);

            if (n <= 0 && ctl_link_ssl_wait(link, (int) n, deadline) == -1) {
                return -1;
            }

        } else {
            n = recv(link->fd, buf, size, 0);

            if (n == 0) {
                return ctl_link_fail(link, "the connection was closed");
            }

            if (n == -1 && errno != EAGAIN && errno != EINTR) {
                return ctl_link_fail(link, "%s", strerror(errno));
            }

            if (n == -1 && ctl_link_wait(link, POLLIN, deadline) == -1) {
                return -1;
            }
        }

        if (n > 0) {
            return n;
        }
    }
}


static ssize_t
ctl_link_write(ctl_link_t *link, const unsigned char *buf, size_t len,
    int64_t deadline)
{
    ssize_t  n;

    for ( ;; ) {

        if (link->ssl) {
            ERR_clear_error();
            n = SSL_write(link->ssl, buf, (int) len);

            if (n <= 0 && ctl_link_ssl_wait(link, (int) n, deadline) == -1) {
                return -1;
            }

        } else {
            n = send(link->fd, buf, len, MSG_NOSIGNAL);

            if (n == -1 && errno != EAGAIN && errno != EINTR) {
                return ctl_link_fail(link, "%s", strerror(errno));
            }

            if (n == -1 && ctl_link_wait(link, POLLOUT, deadline) == -1) {
                return -1;
            }
        }

        if (n > 0) {
            return n;
        }
    }
}


int
ctl_link_command(ctl_link_t *link, size_t argc, const phrony_str_t *argv)
{
    size_t          len;
    unsigned char  *bytes;

    bytes = phrony_resp_command(argc, argv, &len);

    if (bytes == NULL) {
        return ctl_link_fail(link, "a command is too long");
    }

    if (link->out_len + len > link->out_size) {
        link->out_size = 2 * (link->out_len + len);
        link->out = ctl_grow(link->out, link->out_size);
    }

    memcpy(link->out + link->out_len, bytes, len);
    link->out_len += len;

    phrony_resp_command_free(bytes);

    return 0;
}


int
ctl_link_flush(ctl_link_t *link)
{
    size_t   sent, len;
    ssize_t  n;
    int64_t  deadline;

    deadline = ctl_now() + link->conf->timeout;

    for (sent = 0; sent < link->out_len; sent += (size_t) n) {
        len = link->out_len - sent;

        if (len > CTL_LINK_PIECE) {
            len = CTL_LINK_PIECE;
        }

        n = ctl_link_write(link, link->out + sent, len, deadline);

        if (n == -1) {
            return -1;
        }
    }

    link->out_len = 0;

    return 0;
}


const phrony_resp_t *
ctl_link_reply(ctl_link_t *link)
{
    int                   rc;
    ssize_t               n;
    int64_t               deadline;
    unsigned char         buf[CTL_LINK_PIECE];
    const phrony_resp_t  *reply;

    deadline = ctl_now() + link->conf->timeout;

    for ( ;; ) {
        rc = phrony_resp_next(link->reader, &reply);

        if (rc == 1) {
            return reply;
        }

        if (rc == -1) {
            (void) ctl_link_fail(link, "%s",
                                 phrony_resp_reader_error(link->reader));
            return NULL;
        }

        n = ctl_link_read(link, buf, sizeof(buf), deadline);

        if (n == -1) {
            return NULL;
        }

        (void) phrony_resp_feed(link->reader, buf, (size_t) n);
    }
}


static int
ctl_link_fail(ctl_link_t *link, const char *fmt, ...)
{
    va_list  args;

    va_start(args, fmt);
    vsnprintf(link->error, sizeof(link->error), fmt, args);
    va_end(args);

    return -1;
}


int
ctl_link_tls(ctl_link_conf_t *conf, const char *ca, const char *cert,
    const char *key, char *error)
{
    SSL_CTX  *ssl;

    ssl = SSL_CTX_new(TLS_client_method());

    if (ssl == NULL) {
        return ctl_link_tls_fail(error, "TLS", "set up");
    }

    conf->ssl = ssl;
    SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION);
    SSL_CTX_set_verify_depth(ssl, CTL_LINK_DEPTH);
    SSL_CTX_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE
                          | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);

    if (conf->verify) {
        SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER, NULL);
    }

    if (ca && SSL_CTX_load_verify_locations(ssl, ca, NULL) != 1) {
        return ctl_link_tls_fail(error, "--ca", ca);
    }

    if (cert && SSL_CTX_use_certificate_chain_file(ssl, cert) != 1) {
        return ctl_link_tls_fail(error, "--cert", cert);
    }

    if (key && SSL_CTX_use_PrivateKey_file(ssl, key, SSL_FILETYPE_PEM) != 1) {
        return ctl_link_tls_fail(error, "--cert-key", key);
    }

    return 0;
}


static int
ctl_link_tls_fail(char *error, const char *what, const char *path)
{
    const char  *reason;

    reason = ERR_reason_error_string(ERR_peek_error());

    snprintf(error, CTL_LINK_ERROR_LEN, "%s %s: %s", what, path,
             reason ? reason : "cannot be used");

    return -1;
}
