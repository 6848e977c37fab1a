
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef PHRONY_REDIS_URL_H_
#define PHRONY_REDIS_URL_H_


#include "phrony_str.h"


#define PHRONY_REDIS_HOSTS_MAX      16
#define PHRONY_REDIS_PORT           6379
#define PHRONY_REDIS_SENTINEL_PORT  26379


PHRONY_HIDDEN_BEGIN


/*
 * Where Redis is, as an operator writes it:
 *
 *     redis://[user[:password]@]host[:port][/db]
 *     unix:/path[:db]
 *     redis+sentinel://[user[:password]@]host[:port],.../master[/db]
 *     redis+cluster://[user[:password]@]host[:port],...
 *
 * and rediss://, rediss+sentinel://, rediss+cluster:// with TLS.  A host is a
 * name, an IPv4 address, or an IPv6 address in brackets.  User and password
 * may hold %XX (RFC 3986); "redis://:password@host" has a password alone.
 */

typedef enum {
    PHRONY_REDIS_SINGLE = 0,
    PHRONY_REDIS_SENTINEL,
    PHRONY_REDIS_CLUSTER
} phrony_redis_mode_t;


typedef struct {
    phrony_str_t          host;             /* without brackets; within url */
    unsigned              port;
} phrony_redis_host_t;


typedef struct {
    phrony_redis_mode_t   mode;
    unsigned              tls:1;
    phrony_str_t          path;             /* of a unix socket, or empty */
    size_t                nhosts;           /* 0: a unix socket */
    phrony_redis_host_t   hosts[PHRONY_REDIS_HOSTS_MAX];
    phrony_str_t          master;           /* the name sentinels know */
    unsigned              db;
    phrony_str_t          user;             /* still with %XX, see decode() */
    phrony_str_t          password;
} phrony_redis_url_t;


/*
 * Reads "text", which must outlive "url": all strings are within it.
 * Returns NULL, or a sentence about what is wrong that does not quote it, for
 * it may hold a password: "the port is not a number of 1 to 65535".
 */

const char *phrony_redis_url_parse(const phrony_str_t *text,
    phrony_redis_url_t *url);


/*
 * Writes "text" with its %XX decoded to "buf" of text->len bytes at least.
 * Returns the length.  What phrony_redis_url_parse() accepted can be decoded.
 */

size_t phrony_redis_url_decode(unsigned char *buf, const phrony_str_t *text);


PHRONY_HIDDEN_END


#endif /* PHRONY_REDIS_URL_H_ */
