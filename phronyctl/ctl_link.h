
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef CTL_LINK_H_
#define CTL_LINK_H_


#include <openssl/ssl.h>

#include "phrony_resp.h"

#include "ctl.h"


#define CTL_LINK_ERROR_LEN  512


/* What all connections to Redis have in common. */

typedef struct {
    int64_t                connect_timeout;     /* ms */
    int64_t                timeout;
    SSL_CTX               *ssl;                 /* NULL: without TLS */
    int                    verify;
    const char            *tls_name;            /* NULL: the host's */
} ctl_link_conf_t;


/* A blocking connection: what it waits for has a deadline. */

typedef struct {
    const ctl_link_conf_t  *conf;
    int                     fd;
    SSL                    *ssl;
    phrony_resp_reader_t   *reader;
    unsigned char          *out;                /* not sent yet */
    size_t                  out_len;
    size_t                  out_size;
    char                    error[CTL_LINK_ERROR_LEN];
} ctl_link_t;


/*
 * Connects to host and port or, if "port" is 0, to a UNIX socket of that
 * path, and shakes hands.  Each address of the host is tried.  Returns 0, or
 * -1 and link->error says why; close() is due either way.
 */

int ctl_link_open(ctl_link_t *link, const ctl_link_conf_t *conf,
    const char *host, unsigned port);

void ctl_link_close(ctl_link_t *link);


/* Adds a command to what flush() sends.  Returns 0, or -1: it is too long. */

int ctl_link_command(ctl_link_t *link, size_t argc,
    const phrony_str_t *argv);

/* Sends it.  Returns 0, or -1 and link->error is set. */

int ctl_link_flush(ctl_link_t *link);


/*
 * Waits for the next reply, which is the link's until the next call.
 * Returns NULL and sets link->error if the connection is of no use any more.
 */

const phrony_resp_t *ctl_link_reply(ctl_link_t *link);


/* Makes conf->ssl of files, each may be NULL.  Returns 0, or -1 and "error"
 * of CTL_LINK_ERROR_LEN bytes is set. */

int ctl_link_tls(ctl_link_conf_t *conf, const char *ca, const char *cert,
    const char *key, char *error);


#endif /* CTL_LINK_H_ */
