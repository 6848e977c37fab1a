
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_http_phrony_redis.h"
#include "ngx_http_phrony_conf.h"
#include "ngx_http_phrony_redis_ssl.h"


#define NGX_HTTP_PHRONY_PREFIX_LEN    64
#define NGX_HTTP_PHRONY_PASSWORD_LEN  4096


typedef struct {
    ngx_array_t                addrs;       /* ngx_addr_t */
    ngx_array_t                hosts;       /* ngx_uint_t: of which host */
} ngx_http_phrony_redis_addrs_t;


static ngx_int_t ngx_http_phrony_redis_user(ngx_conf_t *cf,
    ngx_http_phrony_redis_conf_t *conf);
static ngx_int_t ngx_http_phrony_redis_password(ngx_conf_t *cf,
    ngx_http_phrony_redis_conf_t *conf);
static ngx_int_t ngx_http_phrony_redis_decode(ngx_conf_t *cf, ngx_str_t *to,
    phrony_str_t *from);
static ngx_int_t ngx_http_phrony_redis_read_password(ngx_conf_t *cf,
    ngx_http_phrony_redis_conf_t *conf, ngx_fd_t fd);
static void ngx_http_phrony_redis_resolver(ngx_conf_t *cf,
    ngx_http_phrony_redis_conf_t *conf);
static ngx_int_t ngx_http_phrony_redis_hosts(ngx_conf_t *cf,
    ngx_http_phrony_redis_conf_t *conf);
static ngx_int_t ngx_http_phrony_redis_host(ngx_conf_t *cf,
    ngx_http_phrony_redis_conf_t *conf, ngx_uint_t n,
    ngx_http_phrony_redis_addrs_t *addrs);
static ngx_int_t ngx_http_phrony_redis_addr(
    ngx_http_phrony_redis_addrs_t *addrs, ngx_addr_t *addr, ngx_uint_t n);
static char *ngx_http_phrony_redis_public_url(ngx_conf_t *cf,
    ngx_phrony_redis_conf_t *redis, ngx_str_t *url);


void
ngx_http_phrony_redis_unset(ngx_http_phrony_redis_conf_t *conf)
{
    conf->redis.timeout = NGX_CONF_UNSET_MSEC;
    conf->redis.connect_timeout = NGX_CONF_UNSET_MSEC;
    conf->ssl_verify = NGX_CONF_UNSET;
}


ngx_int_t
ngx_http_phrony_redis_init(ngx_conf_t *cf, ngx_http_phrony_redis_conf_t *conf)
{
    if (conf->place.name.len == 0) {

        /* settings of a Redis that there is not are a mistake */

        return conf->setting.name.len
               ? ngx_http_phrony_requires(cf, &conf->setting, "phrony_redis")
               : NGX_OK;
    }

    ngx_conf_init_msec_value(conf->redis.timeout, 200);
    ngx_conf_init_msec_value(conf->redis.connect_timeout, 500);

    if (conf->prefix.data == NULL) {
        ngx_str_set(&conf->prefix, "phrony");
    }

    if (ngx_http_phrony_redis_user(cf, conf) != NGX_OK
        || ngx_http_phrony_redis_password(cf, conf) != NGX_OK
        || ngx_http_phrony_redis_ssl_init(cf, conf) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_http_phrony_redis_resolver(cf, conf);

    return ngx_http_phrony_redis_hosts(cf, conf);
}


ngx_int_t
ngx_http_phrony_redis_wrong(ngx_conf_t *cf,
    ngx_http_phrony_redis_conf_t *conf, const char *what)
{
    ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                  "\"phrony_redis\" in %V:%ui %s",
                  &conf->place.file, conf->place.line, what);

    return NGX_ERROR;
}


static ngx_int_t
ngx_http_phrony_redis_user(ngx_conf_t *cf, ngx_http_phrony_redis_conf_t *conf)
{
    ngx_phrony_redis_conf_t  *redis;

    redis = &conf->redis;

    if (redis->parsed.user.len == 0) {
        return NGX_OK;
    }

    if (redis->user.data) {
        return ngx_http_phrony_redis_wrong(cf, conf,
                   "has a user, which conflicts with \"phrony_redis_user\"");
    }

    return ngx_http_phrony_redis_decode(cf, &redis->user,
                                        &redis->parsed.user);
}


static ngx_int_t
ngx_http_phrony_redis_password(ngx_conf_t *cf,
    ngx_http_phrony_redis_conf_t *conf)
{
    ngx_fd_t                  fd;
    ngx_int_t                 rc;
    ngx_phrony_redis_conf_t  *redis;

    redis = &conf->redis;

    if (conf->password_file.data == NULL) {

        if (redis->user.len && redis->parsed.password.len == 0) {
            return ngx_http_phrony_redis_wrong(cf, conf,
                       "has a user, but neither a password nor "
                       "\"phrony_redis_password_file\"");
        }

        return ngx_http_phrony_redis_decode(cf, &redis->password,
                                            &redis->parsed.password);
    }

    if (redis->parsed.password.len) {
        return ngx_http_phrony_redis_wrong(cf, conf,
                   "has a password, which conflicts with "
                   "\"phrony_redis_password_file\"");
    }

    if (ngx_conf_full_name(cf->cycle, &conf->password_file, 1) != NGX_OK) {
        return NGX_ERROR;
    }

    fd = ngx_open_file(conf->password_file.data, NGX_FILE_RDONLY,
                       NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, ngx_errno,
                      ngx_open_file_n " \"%V\" failed", &conf->password_file);
        return NGX_ERROR;
    }

    rc = ngx_http_phrony_redis_read_password(cf, conf, fd);

    if (ngx_close_file(fd) == NGX_FILE_ERROR) {
        ngx_log_error(NGX_LOG_ALERT, cf->log, ngx_errno,
                      ngx_close_file_n " \"%V\" failed",
                      &conf->password_file);
    }

    return rc;
}


static ngx_int_t
ngx_http_phrony_redis_decode(ngx_conf_t *cf, ngx_str_t *to,
    phrony_str_t *from)
{
    if (from->len == 0) {
        return NGX_OK;
    }

    to->data = ngx_pnalloc(cf->pool, from->len);
    if (to->data == NULL) {
        return NGX_ERROR;
    }

    to->len = phrony_redis_url_decode(to->data, from);

    return NGX_OK;
}


static ngx_int_t
ngx_http_phrony_redis_read_password(ngx_conf_t *cf,
    ngx_http_phrony_redis_conf_t *conf, ngx_fd_t fd)
{
    ssize_t     n;
    ngx_str_t  *password;

    password = &conf->redis.password;

    password->data = ngx_pnalloc(cf->pool, NGX_HTTP_PHRONY_PASSWORD_LEN + 1);
    if (password->data == NULL) {
        return NGX_ERROR;
    }

    n = ngx_read_fd(fd, password->data, NGX_HTTP_PHRONY_PASSWORD_LEN + 1);

    if (n == -1) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, ngx_errno,
                      ngx_read_fd_n " \"%V\" failed", &conf->password_file);
        return NGX_ERROR;
    }

    password->len = n;

    if (n && password->data[n - 1] == LF) {
        password->len--;
    }

    if (password->len && password->data[password->len - 1] == CR) {
        password->len--;
    }

    if (password->len == 0 || n > NGX_HTTP_PHRONY_PASSWORD_LEN) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"%V\" must hold a password of 1 to %d bytes",
                      &conf->password_file, NGX_HTTP_PHRONY_PASSWORD_LEN);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* nginx has a resolver of no server where none was configured. */

static void
ngx_http_phrony_redis_resolver(ngx_conf_t *cf,
    ngx_http_phrony_redis_conf_t *conf)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->resolver == NULL || clcf->resolver->connections.nelts == 0) {
        return;
    }

    conf->redis.resolver = clcf->resolver;
    conf->redis.resolver_timeout = clcf->resolver_timeout;

    ngx_conf_init_msec_value(conf->redis.resolver_timeout, 30000);
}


static ngx_int_t
ngx_http_phrony_redis_hosts(ngx_conf_t *cf,
    ngx_http_phrony_redis_conf_t *conf)
{
    ngx_uint_t                      i;
    ngx_phrony_redis_conf_t        *redis;
    ngx_http_phrony_redis_addrs_t   addrs;

    redis = &conf->redis;

    if (ngx_array_init(&addrs.addrs, cf->pool, 4, sizeof(ngx_addr_t))
        != NGX_OK
        || ngx_array_init(&addrs.hosts, cf->pool, 4, sizeof(ngx_uint_t))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    for (i = 0; i < redis->parsed.nhosts; i++) {

        if (ngx_http_phrony_redis_host(cf, conf, i, &addrs) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    redis->addrs = addrs.addrs.elts;
    redis->addr_hosts = addrs.hosts.elts;
    redis->naddrs = addrs.addrs.nelts;

    return NGX_OK;
}


/* A name is left to the resolver, if there is one, for each connect. */

static ngx_int_t
ngx_http_phrony_redis_host(ngx_conf_t *cf, ngx_http_phrony_redis_conf_t *conf,
    ngx_uint_t n, ngx_http_phrony_redis_addrs_t *addrs)
{
    ngx_url_t             u;
    ngx_uint_t            i;
    phrony_redis_host_t  *h;

    h = &conf->redis.parsed.hosts[n];

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.host.len = h->host.len;
    u.host.data = h->host.data;
    u.port = (in_port_t) h->port;

    u.addrs = ngx_pcalloc(cf->pool, sizeof(ngx_addr_t));
    if (u.addrs == NULL) {
        return NGX_ERROR;
    }

    if (ngx_parse_addr(cf->pool, u.addrs, u.host.data, u.host.len)
        == NGX_OK)
    {
        ngx_inet_set_port(u.addrs->sockaddr, u.port);
        u.naddrs = 1;

    } else if (conf->redis.resolver) {
        return NGX_OK;

    } else {
        u.addrs = NULL;

        if (ngx_inet_resolve_host(cf->pool, &u) != NGX_OK) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "host \"%V\" of \"phrony_redis\" in %V:%ui was "
                          "not found", &u.host, &conf->place.file,
                          conf->place.line);
            return NGX_ERROR;
        }
    }

    for (i = 0; i < u.naddrs; i++) {

        if (ngx_http_phrony_redis_addr(addrs, &u.addrs[i], n) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_phrony_redis_addr(ngx_http_phrony_redis_addrs_t *addrs,
    ngx_addr_t *addr, ngx_uint_t n)
{
    ngx_uint_t  *host;
    ngx_addr_t  *a;

    a = ngx_array_push(&addrs->addrs);
    host = ngx_array_push(&addrs->hosts);

    if (a == NULL || host == NULL) {
        return NGX_ERROR;
    }

    *a = *addr;
    *host = n;

    return NGX_OK;
}


char *
ngx_http_phrony_redis_url(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_phrony_main_conf_t *pmcf = conf;

    const char               *error;
    ngx_str_t                *value;
    phrony_str_t              text;
    ngx_phrony_redis_conf_t  *redis;

    redis = &pmcf->redis.redis;

    if (pmcf->redis.place.name.len) {
        return "is duplicate";
    }

    ngx_http_phrony_note(cf, &pmcf->redis.place);

    value = cf->args->elts;

    text.len = value[1].len;
    text.data = value[1].data;

    error = phrony_redis_url_parse(&text, &redis->parsed);

    if (error) {

        /* the URL is not quoted, as it may hold a password */

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid URL in \"phrony_redis\": %s", error);
        return NGX_CONF_ERROR;
    }

    return ngx_http_phrony_redis_public_url(cf, redis, &value[1]);
}


/* The URL without user and password. */

static char *
ngx_http_phrony_redis_public_url(ngx_conf_t *cf,
    ngx_phrony_redis_conf_t *redis, ngx_str_t *url)
{
    u_char  *p, *at, *scheme, *last;

    last = url->data + url->len;
    scheme = ngx_strlchr(url->data, last, '/');
    at = NULL;

    if (redis->parsed.user.len || redis->parsed.password.len) {
        at = ngx_strlchr(url->data, last, '@');
    }

    if (at == NULL || scheme == NULL) {
        redis->url = *url;
        return NGX_CONF_OK;
    }

    p = ngx_pnalloc(cf->pool, url->len);
    if (p == NULL) {
        return NGX_CONF_ERROR;
    }

    redis->url.data = p;

    p = ngx_cpymem(p, url->data, scheme + 2 - url->data);
    p = ngx_cpymem(p, at + 1, last - at - 1);

    redis->url.len = p - redis->url.data;

    return NGX_CONF_OK;
}


/* Braces would make a hash tag of their own. */

char *
ngx_http_phrony_check_prefix(ngx_conf_t *cf, void *post, void *data)
{
    ngx_str_t *prefix = data;

    u_char      ch;
    ngx_uint_t  i;

    (void) ngx_http_phrony_note_redis(cf, post, data);

    if (prefix->len == 0 || prefix->len > NGX_HTTP_PHRONY_PREFIX_LEN) {
        return "must have 1 to 64 bytes";
    }

    for (i = 0; i < prefix->len; i++) {
        ch = prefix->data[i];

        if (ch <= 0x20 || ch > 0x7e || ch == '{' || ch == '}') {
            return "must be printable ASCII without spaces and braces";
        }
    }

    return NGX_CONF_OK;
}


char *
ngx_http_phrony_check_timeout(ngx_conf_t *cf, void *post, void *data)
{
    ngx_msec_t *timeout = data;

    (void) ngx_http_phrony_note_redis(cf, post, data);

    if (*timeout == 0) {
        return "must be at least 1ms";
    }

    return NGX_CONF_OK;
}


char *
ngx_http_phrony_note_redis(ngx_conf_t *cf, void *post, void *data)
{
    ngx_http_phrony_main_conf_t  *pmcf;

    pmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_phrony_module);

    ngx_http_phrony_note(cf, &pmcf->redis.setting);

    return NGX_CONF_OK;
}


char *
ngx_http_phrony_note_redis_ssl(ngx_conf_t *cf, void *post, void *data)
{
    ngx_http_phrony_main_conf_t  *pmcf;

    pmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_phrony_module);

    ngx_http_phrony_note(cf, &pmcf->redis.ssl_setting);

    return ngx_http_phrony_note_redis(cf, post, data);
}
