
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef REDIS_NODES_H_
#define REDIS_NODES_H_


/* Several servers of this program's own, and what redis-cli says to them. */


#include "redis.h"

#include <sys/prctl.h>


#define NODES_MAX  8


static void         node_start(int i, const char *options) TEST_UNUSED;
static void         node_again(int i) TEST_UNUSED;
static void         node_kill(int i) TEST_UNUSED;
static void         nodes_stop(void) TEST_UNUSED;
static const char  *cli(int i, const char *format, ...)
    __attribute__((unused, format(printf, 2, 3)));
static int          cli_until(int i, const char *command, const char *text)
    TEST_UNUSED;
static void         client_of(phrony_redis_mode_t mode, int first, int last)
    TEST_UNUSED;
static int          client_has(void *data) TEST_UNUSED;
static int          client_lacks(void *data) TEST_UNUSED;
static int          client_lives(void *data) TEST_UNUSED;
static int          client_died(void *data) TEST_UNUSED;
static int          client_logged(void *data) TEST_UNUSED;


static pid_t  node_pids[NODES_MAX];
static int    node_ports[NODES_MAX];
static char   node_options[NODES_MAX][512];


/* With options, separated by blanks; waits until it answers. */

static void
node_start(int i, const char *options)
{
    if (node_ports[i] == 0) {
        node_ports[i] = server_port();
    }

    snprintf(node_options[i], sizeof(node_options[i]), "%s", options);
    node_again(i);
}


static void
node_again(int i)
{
    int   n;
    char  command[1024];

    snprintf(command, sizeof(command),
             "mkdir -p %s/%d; cd %s/%d;"
             " exec redis-server %s --port %d --bind 127.0.0.1"
             " --logfile redis.log", loop_dir, i, loop_dir, i,
             node_options[i], node_ports[i]);

    node_pids[i] = fork();

    if (node_pids[i] == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execl("/bin/sh", "sh", "-c", command, (char *) NULL);
        _exit(127);
    }

    /* one that wants a password is there, too */

    for (n = 0; strstr(cli(i, "PING"), "Could not connect"); n++) {

        if (n == 250) {
            abort();
        }

        usleep(20 * 1000);
    }
}


static void
node_kill(int i)
{
    if (node_pids[i]) {
        kill(node_pids[i], SIGKILL);
        waitpid(node_pids[i], NULL, 0);
        node_pids[i] = 0;
    }
}


static void
nodes_stop(void)
{
    int  i;

    for (i = 0; i < NODES_MAX; i++) {
        node_kill(i);
    }

    memset(node_ports, 0, sizeof(node_ports));
}


/* What a server answers, at one go and without the last line feed. */

static const char *
cli(int i, const char *format, ...)
{
    char          command[512];
    FILE         *f;
    size_t        n;
    va_list       args;
    static char   text[65536];

    n = (size_t) snprintf(command, sizeof(command),
                          "redis-cli -h 127.0.0.1 -p %d ", node_ports[i]);

    va_start(args, format);
    vsnprintf(command + n, sizeof(command) - n, format, args);
    va_end(args);

    strcat(command, " 2>&1");

    f = popen(command, "r");

    if (f == NULL) {
        abort();
    }

    n = fread(text, 1, sizeof(text) - 1, f);
    pclose(f);

    while (n && text[n - 1] == '\n') {
        n--;
    }

    text[n] = '\0';

    return text;
}


/* Asks until the answer holds a text: 1; or for five seconds, in vain: 0. */

static int
cli_until(int i, const char *command, const char *text)
{
    int  n;

    for (n = 0; n < 250; n++) {

        if (strstr(cli(i, "%s", command), text)) {
            return 1;
        }

        usleep(20 * 1000);
    }

    printf("# %s: %s\n", command, cli(i, "%s", command));

    return 0;
}


/* Says where the next client connects to: servers "first" to "last". */

static void
client_of(phrony_redis_mode_t mode, int first, int last)
{
    phrony_redis_url_t  *url;

    url = &client_conf.parsed;

    url->mode = mode;
    url->master = str("main");

    for (url->nhosts = 0; first <= last; first++) {
        url->hosts[url->nhosts].host = str("127.0.0.1");
        url->hosts[url->nhosts++].port = (unsigned) node_ports[first];
    }
}


/* Whether a slot, "data", is served. */

static int
client_has(void *data)
{
    return ngx_phrony_redis_ready(client, *(unsigned *) data);
}


static int
client_lacks(void *data)
{
    return !client_has(data);
}


static int
client_lives(void *data)
{
    return client_live;
}


static int
client_died(void *data)
{
    return !client_live;
}


/* Whether a text, "data", stands in the error log. */

static int
client_logged(void *data)
{
    return loop_logged(data);
}


#endif /* REDIS_NODES_H_ */
