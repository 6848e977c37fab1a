
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


/* sources: ngx_http_phrony_module/redis/ nginx */


#include "redis.h"

#include <arpa/inet.h>


/* How a server is found, and that it is the one: DNS, TLS. */


static void test_resolver(void);
static int has_failed(void *data);
static void resolver_start(void);
static void resolver_serve(int s);
static size_t resolver_answer(unsigned char *query, size_t len);
static void test_tls(void);
static void tls_files(void);
static void tls_open(const char *host, const char *trusted, int verify);
static void tls_close(void);
static void tls_certificate(void);
static void tls_refused(const char *logged, const char *name);
static void test_tls_big(void);
static void test_tls_stopped(void);
static void conf_open(void);


/* What the server of names shares with this process. */

typedef struct {
    volatile in_addr_t   addr;          /* 0: there is no such name */
    volatile int         asked;
} names_t;


static names_t    *names;
static pid_t       names_pid;
static int         names_port;

static ngx_conf_t  conf;
static ngx_ssl_t   ssl;
static int         tls_port;


int
main(void)
{
    loop_open();

    test_resolver();
    test_tls();

    loop_close();

    return done();
}


static void
conf_open(void)
{
    memset(&conf, 0, sizeof(conf));

    conf.cycle = loop_cycle;
    conf.log = loop_cycle->log;
    conf.pool = ngx_create_pool(4096, loop_cycle->log);
}


static void
test_resolver(void)
{
    int                 asked;
    ngx_str_t           text[3];
    char                port[32];
    ngx_addr_t          addr;
    ngx_uint_t          host;
    ngx_resolver_t     *resolver;
    struct sockaddr_in  sin;

    conf_open();
    resolver_start();

    server_listens = server_port();
    server_start("");

    snprintf(port, sizeof(port), "127.0.0.1:%d", names_port);
    loop_set(&text[0], port);
    loop_set(&text[1], "ipv6=off");
    loop_set(&text[2], "valid=1s");

    resolver = ngx_resolver_create(&conf, text, 3);

    /* nobody listens there */

    names->addr = htonl(0x7f000105);

    client_conf.parsed.nhosts = 1;
    client_conf.parsed.hosts[0].host = str("redis.test");
    client_conf.parsed.hosts[0].port = server_listens;
    client_conf.resolver = resolver;
    client_conf.resolver_timeout = 500;

    client_open();
    ok(loop_until(has_failed, NULL, 3000), "a wrong address");
    is_int(client_readies, 0, "not ready");
    ok(names->asked >= 1, "it was asked for");

    names->addr = htonl(INADDR_LOOPBACK);
    ok(loop_until(client_is_ready, NULL, 5000), "ready when that is changed");
    ok(!strcmp(probe_ask("ECHO dns"), "dns"), "and works");

    asked = names->asked;
    loop_for(2100);
    (void) probe_ask("CLIENT KILL TYPE normal SKIPME no");
    ok(loop_until(client_is_down, NULL, 2000), "closed");
    ok(loop_until(client_is_ready, NULL, 2000), "ready again");
    ok(names->asked > asked, "the name is resolved anew");
    client_close();

    /* a name that is not known any more is still known from the start */

    memset(&sin, 0, sizeof(sin));
    sin.sin_family = AF_INET;
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);

    memset(&addr, 0, sizeof(addr));
    addr.sockaddr = (struct sockaddr *) &sin;
    addr.socklen = sizeof(sin);
    host = 0;

    names->addr = 0;

    client_conf.parsed.nhosts = 1;
    client_conf.parsed.hosts[0].host = str("gone.test");
    client_conf.parsed.hosts[0].port = server_listens;
    client_conf.resolver = resolver;
    client_conf.resolver_timeout = 500;
    client_conf.addrs = &addr;
    client_conf.addr_hosts = &host;
    client_conf.naddrs = 1;

    client_open();
    ok(loop_until(client_is_ready, NULL, 3000), "ready by the old address");
    ok(loop_logged("\"gone.test\" could not be resolved (3: Host not found)"),
       "after that was logged");
    client_close();

    /* a server of names that is silent */

    kill(names_pid, SIGSTOP);

    client_conf.parsed.nhosts = 1;
    client_conf.parsed.hosts[0].host = str("slow.test");
    client_conf.parsed.hosts[0].port = server_listens;
    client_conf.resolver = resolver;
    client_conf.resolver_timeout = 30000;
    client_conf.timeout = 100;
    client_conf.connect_timeout = 100;

    client_open();
    ok(ngx_event_no_timers_left() == NGX_OK, "it does not hold up a worker");
    ok(loop_until(has_failed, NULL, 3000), "nor waits for ever");
    is_int(client_readies, 0, "not ready without an answer");

    loop_for(20);
    client_close();

    /* an answer that comes too late */

    kill(names_pid, SIGCONT);
    loop_for(100);

    kill(names_pid, SIGKILL);
    waitpid(names_pid, NULL, 0);

    server_stop(SIGTERM);
    ngx_destroy_pool(conf.pool);
}


static int
has_failed(void *data)
{
    return client_counters.failures != 0;
}


static void
resolver_start(void)
{
    int                 s;
    socklen_t           len;
    struct sockaddr_in  sin;

    names = mmap(NULL, sizeof(names_t), PROT_READ|PROT_WRITE,
                 MAP_ANON|MAP_SHARED, -1, 0);

    memset(&sin, 0, sizeof(sin));
    sin.sin_family = AF_INET;
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    len = sizeof(sin);

    s = socket(AF_INET, SOCK_DGRAM, 0);

    if (s == -1
        || bind(s, (struct sockaddr *) &sin, len) == -1
        || getsockname(s, (struct sockaddr *) &sin, &len) == -1)
    {
        abort();
    }

    names_port = ntohs(sin.sin_port);

    fflush(stdout);
    names_pid = fork();

    if (names_pid == 0) {
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        resolver_serve(s);
        _exit(0);
    }

    close(s);
}


static void
resolver_serve(int s)
{
    ssize_t             n;
    socklen_t           len;
    unsigned char       query[512];
    struct sockaddr_in  sin;

    for ( ;; ) {
        len = sizeof(sin);
        n = recvfrom(s, query, 400, 0, (struct sockaddr *) &sin, &len);

        if (n < 12) {
            continue;
        }

        names->asked++;

        n = resolver_answer(query, n);
        (void) sendto(s, query, n, 0, (struct sockaddr *) &sin, len);
    }
}


/* Makes of the query its answer: one address, or that there is none. */

static size_t
resolver_answer(unsigned char *query, size_t len)
{
    in_addr_t             addr;
    static unsigned char  record[] = {
        0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4
    };

    addr = names->addr;

    query[2] = 0x81;
    query[3] = addr ? 0x80 : 0x83;
    query[7] = addr ? 1 : 0;

    if (addr == 0) {
        return len;
    }

    memcpy(query + len, record, sizeof(record));
    memcpy(query + len + sizeof(record), &addr, sizeof(addr));

    return len + sizeof(record) + sizeof(addr);
}


/* A CA, another one, and certificates of a server and of a client. */

static void
tls_files(void)
{
    char  command[2048];

    snprintf(command, sizeof(command),
             "cd %s && exec 2>/dev/null"
             " && echo 'subjectAltName=DNS:redis.test,IP:127.0.0.1' > san"
             " && for n in ca other; do"
             "   openssl req -x509 -newkey rsa:2048 -nodes -days 30"
             "   -keyout $n.key -out $n.crt -subj /CN=$n || exit 1; done"
             " && for n in server client; do"
             "   openssl req -newkey rsa:2048 -nodes -keyout $n.key"
             "   -out $n.csr -subj /CN=$n"
             "   && openssl x509 -req -in $n.csr -CA ca.crt -CAkey ca.key"
             "   -CAcreateserial -days 30 -extfile san -out $n.crt"
             "   || exit 1; done", loop_dir);

    if (system(command) != 0) {
        abort();
    }
}


static void
test_tls(void)
{
    int   port;
    char  options[512];

    tls_files();

    server_listens = server_port();
    tls_port = server_port();

    snprintf(options, sizeof(options),
             "--tls-port %d --tls-cert-file server.crt"
             " --tls-key-file server.key --tls-ca-cert-file ca.crt"
             " --tls-auth-clients optional", tls_port);
    server_start(options);

    tls_open("127.0.0.1", "ca.crt", 1);
    ok(loop_until(client_is_ready, NULL, 5000), "ready by TLS, an address");
    ok(!strcmp(probe_ask("ECHO tls"), "tls"), "and works");
    tls_close();

    tls_open("127.0.0.1", "ca.crt", 1);
    client_conf.ssl_name.data = (u_char *) "redis.test";
    client_conf.ssl_name.len = 10;
    ok(loop_until(client_is_ready, NULL, 5000), "ready, a name");
    tls_close();

    tls_open("127.0.0.1", "ca.crt", 1);
    client_conf.ssl_name.data = (u_char *) "other.test";
    client_conf.ssl_name.len = 10;
    tls_refused("redis SSL certificate does not match \"other.test\"",
                "another name");

    tls_open("127.0.0.1", "ca.crt", 1);
    client_conf.ssl_name.data = (u_char *) "127.0.0.2";
    client_conf.ssl_name.len = 9;
    tls_refused("redis SSL certificate does not match \"127.0.0.2\"",
                "another address");

    tls_open("127.0.0.1", "other.crt", 1);
    tls_refused("redis SSL certificate verify error: (", "another CA");

    tls_open("127.0.0.1", "other.crt", 0);
    ok(loop_until(client_is_ready, NULL, 5000), "unless nobody asks");
    tls_close();

    port = tls_port;
    tls_port = server_listens;
    client_conf.timeout = 100;
    client_conf.connect_timeout = 100;
    tls_open("127.0.0.1", "ca.crt", 1);
    tls_refused("redis failed: not ready in time while SSL handshaking",
                "no TLS");
    tls_port = port;

    test_tls_big();
    test_tls_stopped();
    tls_certificate();

    server_stop(SIGTERM);
}


static void
tls_open(const char *host, const char *trusted, int verify)
{
    char       path[64];
    ngx_str_t  file;

    conf_open();

    memset(&ssl, 0, sizeof(ssl));
    ssl.log = loop_cycle->log;

    snprintf(path, sizeof(path), "%s/%s", loop_dir, trusted);
    loop_set(&file, path);

    if (ngx_ssl_create(&ssl, NGX_SSL_TLSv1_2, NULL) != NGX_OK
        || ngx_ssl_trusted_certificate(&conf, &ssl, &file, 2) != NGX_OK)
    {
        abort();
    }

    client_conf.parsed.nhosts = 1;
    client_conf.parsed.tls = 1;
    client_conf.parsed.hosts[0].host = str(host);
    client_conf.parsed.hosts[0].port = tls_port;
    client_conf.ssl = &ssl;
    client_conf.ssl_verify = verify;

    client_open();
}


static void
tls_close(void)
{
    client_close();

    ngx_ssl_cleanup_ctx(&ssl);
    ngx_destroy_pool(conf.pool);
}


static void
tls_refused(const char *logged, const char *name)
{
    ok(loop_until_logged(logged), "\"%s\" is logged", logged);
    is_int(client_readies, 0, name);
    tls_close();
}


/* More than one record, and more than the buffer, in each direction. */

static void
test_tls_big(void)
{
    size_t                       len;
    probe_t                      probe;
    ngx_phrony_redis_command_t  *command;

    tls_open("127.0.0.1", "ca.crt", 1);
    ok(loop_until(client_is_ready, NULL, 5000), "ready");

    len = 1000000;
    memset(&probe, 0, sizeof(probe));

    command = ngx_phrony_redis_command(client, 24 + len + 2,
                                       sizeof(probe_t *));
    memcpy(command->bytes, "*2\r\n$4\r\nECHO\r\n$1000000\r\n", 24);
    memset(command->bytes + 24, 'x', len);
    memcpy(command->bytes + 24 + len, "\r\n", 2);
    *(probe_t **) command->data = &probe;
    command->handler = probe_handler;

    (void) ngx_phrony_redis_send(client, command);

    ok(loop_until(probe_done, &probe, 5000), "1 MB there and back");
    ok(!strncmp(probe.text, "xxxx", 4), "unharmed");
    ok(!strcmp(probe_ask("ECHO behind"), "behind"), "and all behind it");

    tls_close();
}


/* It is destroyed while a record waits for room in the socket. */

static void
test_tls_stopped(void)
{
    int                          i;
    static probe_t               probes[64];
    ngx_phrony_redis_command_t  *command;

    tls_open("127.0.0.1", "ca.crt", 1);
    ok(loop_until(client_is_ready, NULL, 5000), "ready");

    kill(server_pid, SIGSTOP);

    for (i = 0; i < 64; i++) {
        command = ngx_phrony_redis_command(client, 200000, sizeof(probe_t *));
        memset(command->bytes, 'x', 200000);
        *(probe_t **) command->data = &probes[i];
        command->handler = probe_handler;

        (void) ngx_phrony_redis_send(client, command);
    }

    loop_for(100);
    tls_close();

    is_int(probes[0].result, NGX_PHRONY_REDIS_LOST, "the first is lost");
    is_int(probes[63].result, NGX_PHRONY_REDIS_UNSENT, "the last is unsent");

    kill(server_pid, SIGCONT);
}


static void
tls_certificate(void)
{
    char       crt[64], key[64];
    ngx_str_t  cert, cert_key;

    tls_open("127.0.0.1", "ca.crt", 1);
    ok(loop_until(client_is_ready, NULL, 5000), "ready");
    ok(!strcmp(probe_ask("CONFIG SET tls-auth-clients yes"), "OK"),
       "now the server wants a certificate");
    tls_close();

    tls_open("127.0.0.1", "ca.crt", 1);
    ok(loop_until_logged("SSL_do_handshake() failed"), "without it fails");
    is_int(client_readies, 0, "not ready");
    tls_close();

    snprintf(crt, sizeof(crt), "%s/client.crt", loop_dir);
    snprintf(key, sizeof(key), "%s/client.key", loop_dir);
    loop_set(&cert, crt);
    loop_set(&cert_key, key);

    tls_open("127.0.0.1", "ca.crt", 1);

    if (ngx_ssl_certificate(&conf, &ssl, &cert, &cert_key, NULL) != NGX_OK) {
        abort();
    }

    ok(loop_until(client_is_ready, NULL, 5000), "ready with one");
    tls_close();
}
