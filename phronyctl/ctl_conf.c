
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "ctl_node.h"
#include "ctl_options.h"
#include "ctl_output.h"


#define CTL_CONF_PASSWORD_LEN  512


static ctl_code_t ctl_conf_url(ctl_t *ctl);
static ctl_code_t ctl_conf_auth(ctl_t *ctl);
static ctl_code_t ctl_conf_password(ctl_t *ctl, const char *path);
static char *ctl_conf_decode(const phrony_str_t *text);
static ctl_code_t ctl_conf_times(ctl_t *ctl);
static ctl_code_t ctl_conf_tls(ctl_t *ctl);


ctl_code_t
ctl_conf_redis(ctl_t *ctl)
{
    ctl_code_t    code;
    ctl_redis_t  *redis;

    redis = ctl_alloc(sizeof(ctl_redis_t));
    memset(redis, 0, sizeof(ctl_redis_t));

    ctl->redis = redis;

    redis->nodes = ctl_alloc(CTL_NODES_MAX * sizeof(ctl_node_t));

    code = ctl_conf_url(ctl);

    if (code == CTL_OK) {
        code = ctl_conf_auth(ctl);
    }

    if (code == CTL_OK) {
        code = ctl_conf_times(ctl);
    }

    return (code == CTL_OK) ? ctl_conf_tls(ctl) : code;
}


/* The URL may hold a password, so it is never printed. */

static ctl_code_t
ctl_conf_url(ctl_t *ctl)
{
    const char    *text, *error;
    ctl_redis_t   *redis;
    phrony_str_t   str;

    redis = ctl->redis;
    text = ctl_option(ctl, "redis");

    if (text == NULL) {
        text = getenv("PHRONYCTL_REDIS");
    }

    if (text == NULL) {
        return ctl_fail(ctl, CTL_USAGE, "where is Redis? --redis URL, or "
                        "PHRONYCTL_REDIS in the environment, or \"redis\" in "
                        "a file of --config");
    }

    redis->text = ctl_copy(text);
    str.data = (unsigned char *) redis->text;
    str.len = strlen(text);

    error = phrony_redis_url_parse(&str, &redis->url);

    if (error) {
        return ctl_fail(ctl, CTL_USAGE, "invalid URL of Redis: %s", error);
    }

    redis->path = ctl_copy_str(&redis->url.path);

    return CTL_OK;
}


static ctl_code_t
ctl_conf_auth(ctl_t *ctl)
{
    const char   *user, *file;
    ctl_redis_t  *redis;

    redis = ctl->redis;
    user = ctl_option(ctl, "user");
    file = ctl_option(ctl, "password-file");

    if (user && redis->url.user.len) {
        return ctl_fail(ctl, CTL_USAGE, "the URL has a user, which conflicts "
                        "with --user");
    }

    if (file && redis->url.password.len) {
        return ctl_fail(ctl, CTL_USAGE, "the URL has a password, which "
                        "conflicts with --password-file");
    }

    redis->user = user ? ctl_copy(user) : ctl_conf_decode(&redis->url.user);
    redis->password = ctl_conf_decode(&redis->url.password);

    if (file) {
        return ctl_conf_password(ctl, file);
    }

    if (redis->user[0] && redis->password[0] == '\0') {
        return ctl_fail(ctl, CTL_USAGE, "a user of Redis needs a password: "
                        "--password-file");
    }

    return CTL_OK;
}


static char *
ctl_conf_decode(const phrony_str_t *text)
{
    char    *copy;
    size_t   len;

    copy = ctl_alloc(text->len + 1);
    len = phrony_redis_url_decode((unsigned char *) copy, text);
    copy[len] = '\0';

    return copy;
}


static ctl_code_t
ctl_conf_password(ctl_t *ctl, const char *path)
{
    char     buf[CTL_CONF_PASSWORD_LEN + 2];
    FILE    *file;
    size_t   n;

    file = fopen(path, "r");

    if (file == NULL) {
        return ctl_fail(ctl, CTL_USAGE, "%s: %s", path, strerror(errno));
    }

    n = fread(buf, 1, sizeof(buf) - 1, file);
    fclose(file);

    if (n > CTL_CONF_PASSWORD_LEN) {
        return ctl_fail(ctl, CTL_USAGE, "%s: more than %d bytes", path,
                        CTL_CONF_PASSWORD_LEN);
    }

    n -= (n && buf[n - 1] == '\n');
    n -= (n && buf[n - 1] == '\r');
    buf[n] = '\0';

    if (n == 0) {
        return ctl_fail(ctl, CTL_USAGE, "%s: holds no password", path);
    }

    free(ctl->redis->password);
    ctl->redis->password = ctl_copy(buf);

    return CTL_OK;
}


static ctl_code_t
ctl_conf_times(ctl_t *ctl)
{
    ctl_code_t        code;
    ctl_link_conf_t  *conf;

    conf = &ctl->redis->conf;
    conf->timeout = 5000;
    conf->connect_timeout = 2000;

    code = ctl_option_time(ctl, "timeout", &conf->timeout);

    return (code == CTL_OK) ? ctl_option_time(ctl, "connect-timeout",
                                              &conf->connect_timeout)
                            : code;
}


static ctl_code_t
ctl_conf_tls(ctl_t *ctl)
{
    char              error[CTL_LINK_ERROR_LEN];
    const char       *ca, *cert, *key;
    ctl_link_conf_t  *conf;

    conf = &ctl->redis->conf;
    conf->verify = ctl_option(ctl, "no-verify") == NULL;
    conf->tls_name = ctl_option(ctl, "tls-name");

    ca = ctl_option(ctl, "ca");
    cert = ctl_option(ctl, "cert");
    key = ctl_option(ctl, "cert-key");

    if (!ctl->redis->url.tls) {
        return CTL_OK;
    }

    if (conf->verify && ca == NULL) {
        return ctl_fail(ctl, CTL_USAGE, "the URL asks for TLS, which "
                        "requires --ca or --no-verify");
    }

    if ((cert == NULL) != (key == NULL)) {
        return ctl_fail(ctl, CTL_USAGE, "--cert and --cert-key require each "
                        "other");
    }

    return ctl_link_tls(conf, ca, cert, key, error) == 0
           ? CTL_OK : ctl_fail(ctl, CTL_USAGE, "%s", error);
}
