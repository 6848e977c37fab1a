
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "ctl_node.h"
#include "ctl_options.h"
#include "ctl_output.h"


#define CTL_NODE_PASSWORD_LEN  512


static ctl_code_t ctl_node_url(ctl_t *ctl);
static ctl_code_t ctl_node_auth_conf(ctl_t *ctl);
static ctl_code_t ctl_node_password(ctl_t *ctl, const char *path);
static char *ctl_node_decode(const phrony_str_t *text);
static ctl_code_t ctl_node_times(ctl_t *ctl);
static ctl_code_t ctl_node_tls(ctl_t *ctl);
static size_t ctl_node_add(ctl_redis_t *redis, const char *host,
    unsigned port);
static int ctl_node_connect(ctl_redis_t *redis, ctl_node_t *node);
static int ctl_node_greet(ctl_redis_t *redis, ctl_node_t *node);
static int ctl_node_auth(ctl_redis_t *redis, ctl_node_t *node);
static int ctl_node_ask(ctl_redis_t *redis, ctl_node_t *node, size_t argc,
    const char *const *words, const phrony_resp_t **reply);
static int ctl_node_ask_master(ctl_redis_t *redis, ctl_node_t *node,
    ctl_node_place_t *place);
static int ctl_node_fail(ctl_redis_t *redis, const ctl_node_t *node,
    const char *what, const char *why);
static int ctl_node_refused(ctl_redis_t *redis, const ctl_node_t *node,
    const char *what, const phrony_resp_t *reply);


ctl_code_t
ctl_node_conf(ctl_t *ctl)
{
    ctl_code_t    code;
    ctl_redis_t  *redis;

    redis = ctl_alloc(sizeof(ctl_redis_t));
    memset(redis, 0, sizeof(ctl_redis_t));

    ctl->redis = redis;

    redis->nodes = ctl_alloc(CTL_NODES_MAX * sizeof(ctl_node_t));

    code = ctl_node_url(ctl);

    if (code == CTL_OK) {
        code = ctl_node_auth_conf(ctl);
    }

    if (code == CTL_OK) {
        code = ctl_node_times(ctl);
    }

    return (code == CTL_OK) ? ctl_node_tls(ctl) : code;
}


/* The URL may hold a password, so it is never printed. */

static ctl_code_t
ctl_node_url(ctl_t *ctl)
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
ctl_node_auth_conf(ctl_t *ctl)
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

    redis->user = user ? ctl_copy(user) : ctl_node_decode(&redis->url.user);
    redis->password = ctl_node_decode(&redis->url.password);

    if (file) {
        return ctl_node_password(ctl, file);
    }

    if (redis->user[0] && redis->password[0] == '\0') {
        return ctl_fail(ctl, CTL_USAGE, "a user of Redis needs a password: "
                        "--password-file");
    }

    return CTL_OK;
}


static char *
ctl_node_decode(const phrony_str_t *text)
{
    char    *copy;
    size_t   len;

    copy = ctl_alloc(text->len + 1);
    len = phrony_redis_url_decode((unsigned char *) copy, text);
    copy[len] = '\0';

    return copy;
}


static ctl_code_t
ctl_node_password(ctl_t *ctl, const char *path)
{
    char     buf[CTL_NODE_PASSWORD_LEN + 2];
    FILE    *file;
    size_t   n;

    file = fopen(path, "r");

    if (file == NULL) {
        return ctl_fail(ctl, CTL_USAGE, "%s: %s", path, strerror(errno));
    }

    n = fread(buf, 1, sizeof(buf) - 1, file);
    fclose(file);

    if (n > CTL_NODE_PASSWORD_LEN) {
        return ctl_fail(ctl, CTL_USAGE, "%s: more than %d bytes", path,
                        CTL_NODE_PASSWORD_LEN);
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
ctl_node_times(ctl_t *ctl)
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
ctl_node_tls(ctl_t *ctl)
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


void
ctl_node_free(ctl_redis_t *redis)
{
    size_t  i;

    for (i = 0; i < redis->nnodes; i++) {
        if (redis->nodes[i].open) {
            ctl_link_close(&redis->nodes[i].link);
        }
    }

    SSL_CTX_free(redis->conf.ssl);
    free(redis->nodes);
    free(redis->text);
    free(redis->path);
    free(redis->user);
    free(redis->password);
    free(redis);
}


static size_t
ctl_node_add(ctl_redis_t *redis, const char *host, unsigned port)
{
    size_t       i;
    ctl_node_t  *node;

    for (i = 0; i < redis->nnodes; i++) {
        if (redis->nodes[i].port == port
            && strcmp(redis->nodes[i].host, host) == 0)
        {
            return i;
        }
    }

    if (i == CTL_NODES_MAX) {
        return CTL_NODE_NONE;
    }

    node = &redis->nodes[redis->nnodes++];
    memset(node, 0, sizeof(ctl_node_t));
    snprintf(node->host, sizeof(node->host), "%s", host);
    node->port = port;

    return i;
}


size_t
ctl_node_host(ctl_redis_t *redis, size_t i)
{
    char                  host[PHRONY_ENDPOINT_HOST_MAX + 1];
    phrony_redis_host_t  *from;

    from = &redis->url.hosts[i];
    snprintf(host, sizeof(host), "%.*s", (int) from->host.len,
             (char *) from->host.data);

    return ctl_node_add(redis, host, from->port);
}


size_t
ctl_node_endpoint(ctl_redis_t *redis, size_t asked,
    const phrony_endpoint_t *endpoint)
{
    char  host[PHRONY_ENDPOINT_HOST_MAX + 1];

    if (endpoint->port == 0) {
        return CTL_NODE_NONE;
    }

    if (endpoint->host.len == 0) {
        return ctl_node_add(redis, redis->nodes[asked].host, endpoint->port);
    }

    snprintf(host, sizeof(host), "%.*s", (int) endpoint->host.len,
             (char *) endpoint->host.data);

    return ctl_node_add(redis, host, endpoint->port);
}


ctl_code_t
ctl_node_single(ctl_t *ctl)
{
    ctl_redis_t  *redis;

    redis = ctl->redis;

    redis->data = redis->url.nhosts ? ctl_node_host(redis, 0)
                                    : ctl_node_add(redis, "", 0);

    return ctl_node_open(redis, redis->data) == 0
           ? CTL_OK : ctl_fail(ctl, CTL_UNREACHABLE, "%s", redis->error);
}


ctl_code_t
ctl_node_master(ctl_t *ctl, const ctl_node_place_t *place)
{
    ctl_node_t           *node;
    ctl_redis_t          *redis;
    const phrony_resp_t  *reply;

    static const char *const  role[] = { "ROLE" };

    redis = ctl->redis;
    redis->data = ctl_node_add(redis, place->host, place->port);
    node = &redis->nodes[redis->data];

    if (ctl_node_open(redis, redis->data) == -1
        || ctl_node_ask(redis, node, 1, role, &reply) == -1)
    {
        return ctl_fail(ctl, CTL_UNREACHABLE, "%s", redis->error);
    }

    /* a user may not be allowed to ask; what is no master refuses writes */

    if (reply->type == PHRONY_RESP_ARRAY
        && phrony_topology_is_master(reply) != 1)
    {
        return ctl_fail(ctl, CTL_UNREACHABLE, "%s:%u is no master, whatever "
                        "the sentinels say", node->host, node->port);
    }

    return CTL_OK;
}


int
ctl_node_open(ctl_redis_t *redis, size_t n)
{
    ctl_node_t  *node;

    node = &redis->nodes[n];

    if (node->open) {
        return 0;
    }

    if (ctl_node_connect(redis, node) == -1) {
        return -1;
    }

    if (ctl_node_greet(redis, node) == -1) {
        ctl_link_close(&node->link);
        node->open = 0;
        return -1;
    }

    return 0;
}


static int
ctl_node_connect(ctl_redis_t *redis, ctl_node_t *node)
{
    if (ctl_link_open(&node->link, &redis->conf,
                      node->port ? node->host : redis->path, node->port)
        == -1)
    {
        (void) ctl_node_fail(redis, node, "connect", node->link.error);
        ctl_link_close(&node->link);
        return -1;
    }

    node->open = 1;

    return 0;
}


static int
ctl_node_greet(ctl_redis_t *redis, ctl_node_t *node)
{
    char                  db[16];
    const char           *select[] = { "SELECT", db };
    const phrony_resp_t  *reply;

    static const char *const  ping[] = { "PING" };

    if (redis->password[0] && ctl_node_auth(redis, node) == -1) {
        return -1;
    }

    if (redis->url.db) {
        snprintf(db, sizeof(db), "%u", redis->url.db);

        if (ctl_node_ask(redis, node, 2, select, &reply) == -1) {
            return -1;
        }

        if (reply->type != PHRONY_RESP_STATUS) {
            return ctl_node_refused(redis, node, "SELECT", reply);
        }
    }

    if (ctl_node_ask(redis, node, 1, ping, &reply) == -1) {
        return -1;
    }

    if (reply->type != PHRONY_RESP_STATUS
        && !phrony_resp_is_error(reply, "NOPERM"))
    {
        return ctl_node_refused(redis, node, "PING", reply);
    }

    return 0;
}


static int
ctl_node_auth(ctl_redis_t *redis, ctl_node_t *node)
{
    size_t                argc;
    const char           *words[3];
    const phrony_resp_t  *reply;

    argc = 0;
    words[argc++] = "AUTH";

    if (redis->user[0]) {
        words[argc++] = redis->user;
    }

    words[argc++] = redis->password;

    if (ctl_node_ask(redis, node, argc, words, &reply) == -1) {
        return -1;
    }

    return (reply->type == PHRONY_RESP_STATUS)
           ? 0 : ctl_node_refused(redis, node, "AUTH", reply);
}


static int
ctl_node_ask(ctl_redis_t *redis, ctl_node_t *node, size_t argc,
    const char *const *words, const phrony_resp_t **reply)
{
    size_t         i;
    phrony_str_t   argv[4];

    for (i = 0; i < argc; i++) {
        argv[i].data = (unsigned char *) words[i];
        argv[i].len = strlen(words[i]);
    }

    if (ctl_link_command(&node->link, argc, argv) == -1
        || ctl_link_flush(&node->link) == -1)
    {
        return ctl_node_fail(redis, node, words[0], node->link.error);
    }

    *reply = ctl_link_reply(&node->link);

    return *reply ? 0 : ctl_node_fail(redis, node, words[0],
                                      node->link.error);
}


/* A sentinel has no databases, and often no password. */

int
ctl_node_sentinel(ctl_redis_t *redis, size_t i, ctl_node_place_t *place)
{
    int          rc;
    ctl_node_t   node;

    memset(&node, 0, sizeof(ctl_node_t));
    snprintf(node.host, sizeof(node.host), "%.*s",
             (int) redis->url.hosts[i].host.len,
             (char *) redis->url.hosts[i].host.data);
    node.port = redis->url.hosts[i].port;

    if (ctl_node_connect(redis, &node) == -1) {
        return -1;
    }

    rc = ctl_node_ask_master(redis, &node, place);

    ctl_link_close(&node.link);

    return rc;
}


static int
ctl_node_ask_master(ctl_redis_t *redis, ctl_node_t *node,
    ctl_node_place_t *place)
{
    int                   rc;
    char                 *name;
    const char           *words[3];
    phrony_endpoint_t     master;
    const phrony_resp_t  *reply;

    name = ctl_copy_str(&redis->url.master);

    words[0] = "SENTINEL";
    words[1] = "GET-MASTER-ADDR-BY-NAME";
    words[2] = name;

    rc = ctl_node_ask(redis, node, 3, words, &reply);

    if (rc == 0 && phrony_resp_is_error(reply, "NOAUTH")
        && redis->password[0])
    {
        rc = ctl_node_auth(redis, node);

        if (rc == 0) {
            rc = ctl_node_ask(redis, node, 3, words, &reply);
        }
    }

    if (rc == 0 && phrony_topology_master(reply, &master) != 1) {
        rc = ctl_node_refused(redis, node, "SENTINEL", reply);
    }

    if (rc == 0) {
        snprintf(place->host, sizeof(place->host), "%.*s",
                 (int) master.host.len, (char *) master.host.data);
        place->port = master.port;
        place->epoch = 0;

        words[1] = "MASTER";
        rc = ctl_node_ask(redis, node, 3, words, &reply);
    }

    if (rc == 0) {
        (void) phrony_topology_epoch(reply, &place->epoch);
    }

    free(name);

    return rc;
}


static int
ctl_node_fail(ctl_redis_t *redis, const ctl_node_t *node, const char *what,
    const char *why)
{
    if (node->port == 0) {
        snprintf(redis->error, sizeof(redis->error), "%s: %s: %s",
                 redis->path, what, why);
    } else {
        snprintf(redis->error, sizeof(redis->error), "%s:%u: %s: %s",
                 node->host, node->port, what, why);
    }

    return -1;
}


/* What Redis says of AUTH may quote its arguments: its code alone is told. */

static int
ctl_node_refused(ctl_redis_t *redis, const ctl_node_t *node,
    const char *what, const phrony_resp_t *reply)
{
    char  text[256];

    if (reply->type == PHRONY_RESP_NIL) {
        return ctl_node_fail(redis, node, what, "there is none");
    }

    if (reply->type != PHRONY_RESP_ERROR) {
        return ctl_node_fail(redis, node, what, "an unexpected reply");
    }

    (void) ctl_safe(text, sizeof(text), (char *) reply->str.data);

    if (strcmp(what, "AUTH") == 0
        && !phrony_resp_is_error(reply, "WRONGPASS"))
    {
        text[strcspn(text, " ")] = '\0';
    }

    return ctl_node_fail(redis, node, what, text);
}


ctl_code_t
ctl_node_command(ctl_t *ctl, size_t n, const ctl_request_t *request)
{
    ctl_node_t   *node;
    ctl_redis_t  *redis;

    redis = ctl->redis;

    if (n == CTL_NODE_NONE) {
        return ctl_fail(ctl, CTL_UNREACHABLE, "a slot of the cluster is "
                        "nobody's");
    }

    if (ctl_node_open(redis, n) == -1) {
        return ctl_fail(ctl, CTL_UNREACHABLE, "%s", redis->error);
    }

    node = &redis->nodes[n];

    return ctl_link_command(&node->link, request->argc, request->argv) == 0
           ? CTL_OK : ctl_node_lost(ctl, n);
}


ctl_code_t
ctl_node_flush(ctl_t *ctl)
{
    size_t       i;
    ctl_node_t  *node;

    for (i = 0; i < ctl->redis->nnodes; i++) {
        node = &ctl->redis->nodes[i];

        if (node->open && ctl_link_flush(&node->link) == -1) {
            return ctl_node_lost(ctl, i);
        }
    }

    return CTL_OK;
}


ctl_code_t
ctl_node_lost(ctl_t *ctl, size_t n)
{
    ctl_node_t  *node;

    node = &ctl->redis->nodes[n];

    (void) ctl_node_fail(ctl->redis, node, "connection", node->link.error);

    return ctl_fail(ctl, CTL_UNREACHABLE, "%s", ctl->redis->error);
}
