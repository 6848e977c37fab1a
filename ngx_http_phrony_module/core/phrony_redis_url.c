
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "phrony_cidr.h"
#include "phrony_redis_url.h"
#include "phrony_scan.h"


#define PHRONY_REDIS_PATH_MAX   107             /* of a unix socket */
#define PHRONY_REDIS_NAME_MAX   253             /* of a host, RFC 1035 */
#define PHRONY_REDIS_LABEL_MAX  63
#define PHRONY_REDIS_DB_MAX     2147483647


typedef struct {
    phrony_str_t          prefix;
    phrony_redis_mode_t   mode;
    unsigned              tls;
} phrony_redis_scheme_t;


static const char *phrony_redis_url_unix(const phrony_str_t *text,
    phrony_redis_url_t *url);
static const char *phrony_redis_url_authority(const phrony_str_t *text,
    phrony_redis_url_t *url);
static const char *phrony_redis_url_credentials(const phrony_str_t *text,
    phrony_redis_url_t *url);
static int phrony_redis_url_is_encoded(const phrony_str_t *text);
static const char *phrony_redis_url_hosts(const phrony_str_t *text,
    phrony_redis_url_t *url);
static const char *phrony_redis_url_host(const phrony_str_t *text,
    phrony_redis_host_t *host);
static const char *phrony_redis_url_brackets(phrony_str_t *text,
    phrony_redis_host_t *host);
static const char *phrony_redis_url_port(const phrony_str_t *text,
    phrony_redis_host_t *host);
static int phrony_redis_url_is_host(const phrony_str_t *text);
static int phrony_redis_url_is_label(const phrony_str_t *text);
static const char *phrony_redis_url_path(const phrony_str_t *text,
    phrony_redis_url_t *url);
static const char *phrony_redis_url_db(const phrony_str_t *text,
    phrony_redis_url_t *url);
static int phrony_redis_url_is_escape(const phrony_str_t *text);
static int phrony_redis_url_is_clean(const phrony_str_t *text);
static int phrony_redis_url_hex(unsigned char ch);


static const phrony_redis_scheme_t  phrony_redis_schemes[] = {
    { phrony_str("redis://"), PHRONY_REDIS_SINGLE, 0 },
    { phrony_str("rediss://"), PHRONY_REDIS_SINGLE, 1 },
    { phrony_str("redis+sentinel://"), PHRONY_REDIS_SENTINEL, 0 },
    { phrony_str("rediss+sentinel://"), PHRONY_REDIS_SENTINEL, 1 },
    { phrony_str("redis+cluster://"), PHRONY_REDIS_CLUSTER, 0 },
    { phrony_str("rediss+cluster://"), PHRONY_REDIS_CLUSTER, 1 }
};


static const phrony_str_t  phrony_redis_unix = phrony_str("unix:");
static const phrony_str_t  phrony_redis_unix_tls = phrony_str("rediss+unix:");


const char *
phrony_redis_url_parse(const phrony_str_t *text, phrony_redis_url_t *url)
{
    size_t                        i, n;
    phrony_str_t                  rest;
    const phrony_redis_scheme_t  *scheme;

    memset(url, 0, sizeof(phrony_redis_url_t));

    if (text->len == 0) {
        return "it is empty";
    }

    if (!phrony_redis_url_is_clean(text)) {
        return "it has a space or a control character in it";
    }

    rest = *text;

    if (phrony_scan_begins(text, &phrony_redis_unix)) {
        phrony_scan_skip(&rest, phrony_redis_unix.len);
        return phrony_redis_url_unix(&rest, url);
    }

    if (phrony_scan_begins(text, &phrony_redis_unix_tls)) {
        return "a unix socket is not for TLS";
    }

    n = sizeof(phrony_redis_schemes) / sizeof(phrony_redis_schemes[0]);

    for (i = 0; i < n; i++) {
        scheme = &phrony_redis_schemes[i];

        if (phrony_scan_begins(text, &scheme->prefix)) {
            url->mode = scheme->mode;
            url->tls = scheme->tls ? 1 : 0;

            phrony_scan_skip(&rest, scheme->prefix.len);
            return phrony_redis_url_authority(&rest, url);
        }
    }

    return "it begins with none of redis://, rediss://, unix:/, "
           "redis+sentinel://, rediss+sentinel://, redis+cluster:// and "
           "rediss+cluster://";
}


/* What follows the last colon is a database, unless it is not digits. */

static const char *
phrony_redis_url_unix(const phrony_str_t *text, phrony_redis_url_t *url)
{
    int            has_db;
    size_t         n;
    phrony_str_t   db;

    for (n = text->len; n > 0 && text->data[n - 1] != ':'; n--) {
        /* void */
    }

    db = *text;
    phrony_scan_skip(&db, n);

    has_db = n > 0 && phrony_scan_is_digits(&db);

    url->path = *text;

    if (has_db) {
        url->path.len = n - 1;
    }

    if (url->path.len < 2 || url->path.data[0] != '/') {
        return "the path of the unix socket is not an absolute one";
    }

    if (url->path.len > PHRONY_REDIS_PATH_MAX) {
        return "the path of the unix socket is longer than 107 bytes";
    }

    return has_db ? phrony_redis_url_db(&db, url) : NULL;
}


/* The rest of a URL, behind "//". */

static const char *
phrony_redis_url_authority(const phrony_str_t *text, phrony_redis_url_t *url)
{
    int            has_path;
    const char    *why;
    phrony_str_t   hosts, user, path;

    path = *text;
    has_path = phrony_scan_cut(&path, '/', &hosts);

    if (phrony_scan_cut(&hosts, '@', &user)) {

        if (phrony_scan_has(&hosts, '@')) {
            return "a @ within user or password is to be written %40";
        }

        why = phrony_redis_url_credentials(&user, url);

        if (why) {
            return why;
        }

    } else {
        hosts = user;

        if (phrony_scan_has(&path, '@')) {
            return "a / within user or password is to be written %2F";
        }
    }

    why = phrony_redis_url_hosts(&hosts, url);

    if (why) {
        return why;
    }

    if (has_path) {
        return phrony_redis_url_path(&path, url);
    }

    if (url->mode == PHRONY_REDIS_SENTINEL) {
        return "the name of the master is missing";
    }

    return NULL;
}


static const char *
phrony_redis_url_credentials(const phrony_str_t *text,
    phrony_redis_url_t *url)
{
    url->password = *text;

    if (!phrony_scan_cut(&url->password, ':', &url->user)) {

        if (url->user.len == 0) {
            return "there is neither user nor password before the @";
        }

    } else if (url->password.len == 0) {
        return "the password behind the : is empty";
    }

    if (!phrony_redis_url_is_encoded(&url->user)
        || !phrony_redis_url_is_encoded(&url->password))
    {
        return "user or password have a character in them that is to be "
               "written %XX";
    }

    return NULL;
}


/* RFC 3986, 3.2.1. */

static int
phrony_redis_url_is_encoded(const phrony_str_t *text)
{
    phrony_str_t  rest, one;

    rest = *text;

    while (rest.len) {

        if (phrony_redis_url_is_escape(&rest)) {
            phrony_scan_skip(&rest, 3);
            continue;
        }

        one.data = rest.data;
        one.len = 1;

        if (!phrony_scan_is_plain(&one, "-._~!$&'()*+,;=:")) {
            return 0;
        }

        phrony_scan_skip(&rest, 1);
    }

    return 1;
}


static const char *
phrony_redis_url_hosts(const phrony_str_t *text, phrony_redis_url_t *url)
{
    int                   more;
    const char           *why;
    phrony_str_t          rest, one;
    phrony_redis_host_t  *host;

    rest = *text;

    do {
        more = phrony_scan_cut(&rest, ',', &one);

        if (more && url->mode == PHRONY_REDIS_SINGLE) {
            return "several hosts are for redis+sentinel and redis+cluster";
        }

        if (url->nhosts == PHRONY_REDIS_HOSTS_MAX) {
            return "there are more than 16 hosts";
        }

        host = &url->hosts[url->nhosts++];

        host->port = (url->mode == PHRONY_REDIS_SENTINEL)
                     ? PHRONY_REDIS_SENTINEL_PORT : PHRONY_REDIS_PORT;

        why = phrony_redis_url_host(&one, host);

        if (why) {
            return why;
        }

    } while (more);

    return NULL;
}


static const char *
phrony_redis_url_host(const phrony_str_t *text, phrony_redis_host_t *host)
{
    const char    *why;
    phrony_str_t   rest;

    rest = *text;

    if (rest.len > 0 && rest.data[0] == '[') {
        return phrony_redis_url_brackets(&rest, host);
    }

    if (phrony_scan_cut(&rest, ':', &host->host)) {

        if (phrony_scan_has(&rest, ':')) {
            return "an IPv6 address is to be written in brackets";
        }

        why = phrony_redis_url_port(&rest, host);

        if (why) {
            return why;
        }
    }

    if (host->host.len == 0) {
        return "a host is missing";
    }

    if (!phrony_redis_url_is_host(&host->host)) {
        return "a host is neither a name nor an address";
    }

    return NULL;
}


/* "[", an IPv6 address, "]", and maybe a port. */

static const char *
phrony_redis_url_brackets(phrony_str_t *text, phrony_redis_host_t *host)
{
    phrony_cidr_t  cidr;

    phrony_scan_skip(text, 1);

    if (!phrony_scan_cut(text, ']', &host->host)
        || !phrony_scan_has(&host->host, ':')
        || phrony_cidr_parse(&host->host, &cidr) != 0)
    {
        return "what is in brackets is not an IPv6 address";
    }

    if (text->len == 0) {
        return NULL;
    }

    if (text->data[0] != ':') {
        return "behind the ] is something else than a port";
    }

    phrony_scan_skip(text, 1);

    return phrony_redis_url_port(text, host);
}


static const char *
phrony_redis_url_port(const phrony_str_t *text, phrony_redis_host_t *host)
{
    if (phrony_scan_number(text, 65535, &host->port) != 0
        || host->port == 0)
    {
        return "the port is not a number of 1 to 65535";
    }

    return NULL;
}


/* A name, or an IPv4 address if what is behind its last dot is digits. */

static int
phrony_redis_url_is_host(const phrony_str_t *text)
{
    int            more;
    phrony_str_t   rest, label;
    phrony_cidr_t  cidr;

    if (text->len > PHRONY_REDIS_NAME_MAX) {
        return 0;
    }

    rest = *text;

    do {
        more = phrony_scan_cut(&rest, '.', &label);

        if (!phrony_redis_url_is_label(&label)) {
            return 0;
        }

    } while (more);

    if (phrony_scan_is_digits(&label)) {
        return phrony_cidr_parse(text, &cidr) == 0;
    }

    return 1;
}


static int
phrony_redis_url_is_label(const phrony_str_t *text)
{
    return text->len > 0
           && text->len <= PHRONY_REDIS_LABEL_MAX
           && text->data[0] != '-'
           && text->data[text->len - 1] != '-'
           && phrony_scan_is_plain(text, "-_");
}


/* What follows the hosts and a slash. */

static const char *
phrony_redis_url_path(const phrony_str_t *text, phrony_redis_url_t *url)
{
    const char    *why;
    phrony_str_t   rest;

    rest = *text;

    if (url->mode == PHRONY_REDIS_SENTINEL) {

        if (!phrony_scan_cut(&rest, '/', &url->master)) {
            rest.data = NULL;
        }

        if (url->master.len == 0) {
            return "the name of the master is missing";
        }

        if (!phrony_scan_is_plain(&url->master, "-._")) {
            return "the name of the master has other characters in it than "
                   "letters, digits, \"-\", \".\" and \"_\"";
        }

        if (rest.data == NULL) {
            return NULL;
        }
    }

    why = phrony_redis_url_db(&rest, url);

    if (why == NULL && url->db > 0 && url->mode == PHRONY_REDIS_CLUSTER) {
        return "a cluster has no database but 0";
    }

    return why;
}


static const char *
phrony_redis_url_db(const phrony_str_t *text, phrony_redis_url_t *url)
{
    if (phrony_scan_number(text, PHRONY_REDIS_DB_MAX, &url->db) != 0) {
        return "the database is not a number of 0 to 2147483647";
    }

    return NULL;
}


size_t
phrony_redis_url_decode(unsigned char *buf, const phrony_str_t *text)
{
    size_t         i, n;
    phrony_str_t   rest;

    n = 0;

    for (i = 0; i < text->len; i++) {
        rest.data = text->data + i;
        rest.len = text->len - i;

        if (phrony_redis_url_is_escape(&rest)) {
            buf[n++] = (unsigned char)
                       (phrony_redis_url_hex(rest.data[1]) << 4
                        | phrony_redis_url_hex(rest.data[2]));
            i += 2;
            continue;
        }

        buf[n++] = text->data[i];
    }

    return n;
}


/* Returns 1 if the text begins with a %XX. */

static int
phrony_redis_url_is_escape(const phrony_str_t *text)
{
    return text->len >= 3
           && text->data[0] == '%'
           && phrony_redis_url_hex(text->data[1]) >= 0
           && phrony_redis_url_hex(text->data[2]) >= 0;
}


static int
phrony_redis_url_is_clean(const phrony_str_t *text)
{
    size_t  i;

    for (i = 0; i < text->len; i++) {
        if (text->data[i] <= 0x20 || text->data[i] == 0x7f) {
            return 0;
        }
    }

    return 1;
}


static int
phrony_redis_url_hex(unsigned char ch)
{
    if (ch >= '0' && ch <= '9') {
        return ch - '0';
    }

    ch = phrony_lower(ch);

    if (ch >= 'a' && ch <= 'f') {
        return ch - 'a' + 10;
    }

    return -1;
}
