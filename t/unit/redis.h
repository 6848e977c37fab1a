
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef REDIS_H_
#define REDIS_H_


/*
 * A redis-server of this program's own, a connection to it, and commands
 * whose end is looked at.
 */


#include "loop.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "ngx_phrony_redis.h"


#define PROBE_WORDS  12


/* What became of a command. */

typedef struct {
    int                         done;       /* how often */
    ngx_phrony_redis_result_t   result;
    phrony_resp_type_t          type;
    long                        integer;
    size_t                      n;
    char                        text[256];
    int                         turn;       /* the how-manieth */
} probe_t;


static int    server_port(void) TEST_UNUSED;
static void   server_start(const char *options) TEST_UNUSED;
static void   server_stop(int signal) TEST_UNUSED;
static void   server_pause(void) TEST_UNUSED;
static void   server_resume(void) TEST_UNUSED;

static void   client_open(void) TEST_UNUSED;
static void   client_close(void) TEST_UNUSED;
static int    client_is_ready(void *data) TEST_UNUSED;
static int    client_is_down(void *data) TEST_UNUSED;
static void   client_on_ready(void *data);
static void   client_on_invalidated(void *data, const phrony_str_t *key);
static void   client_on_live(void *data, ngx_uint_t on);

static ngx_phrony_redis_command_t *probe_command(probe_t *probe,
    const char *text) TEST_UNUSED;
static int    probe_send(probe_t *probe, const char *text) TEST_UNUSED;
static int    probe_eval(probe_t *probe, const char *text) TEST_UNUSED;
static const char *probe_ask(const char *text) TEST_UNUSED;
static int    probe_done(void *data) TEST_UNUSED;
static size_t probe_words(const char *text, char *buf, phrony_str_t *argv);
static void   probe_handler(ngx_phrony_redis_command_t *command,
    ngx_phrony_redis_result_t result, const phrony_resp_t *reply);


static pid_t                         server_pid;
static int                           server_listens;

static ngx_phrony_redis_t           *client;
static ngx_phrony_redis_conf_t       client_conf;
static ngx_phrony_redis_observer_t   client_observer;
static ngx_phrony_redis_counters_t   client_counters;
static int                           client_readies;
static int                           client_live;
static int                           client_keys;
static char                          client_key[256];

static int                           probe_turn;


/* A port that nobody listens on. */

static int
server_port(void)
{
    int                 s;
    socklen_t           len;
    struct sockaddr_in  sin;

    memset(&sin, 0, sizeof(sin));
    sin.sin_family = AF_INET;
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    len = sizeof(sin);

    s = socket(AF_INET, SOCK_STREAM, 0);

    if (s == -1
        || bind(s, (struct sockaddr *) &sin, len) == -1
        || getsockname(s, (struct sockaddr *) &sin, &len) == -1)
    {
        abort();
    }

    close(s);

    return ntohs(sin.sin_port);
}


/* Starts it on server_listens, with further options, separated by blanks. */

static void
server_start(const char *options)
{
    char  command[1024];

    snprintf(command, sizeof(command),
             "exec redis-server --port %d --bind 127.0.0.1 --dir %s"
             " --unixsocket %s/redis.sock"
             " --save '' --appendonly no --logfile redis.log %s",
             server_listens, loop_dir, loop_dir, options);

    server_pid = fork();

    if (server_pid == 0) {
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        execl("/bin/sh", "sh", "-c", command, (char *) NULL);
        _exit(127);
    }
}


static void
server_stop(int signal)
{
    kill(server_pid, signal);
    waitpid(server_pid, NULL, 0);
}


/* It says nothing from now on, until it is to go on. */

static void
server_pause(void)
{
    kill(server_pid, SIGSTOP);
    waitpid(server_pid, NULL, WUNTRACED);
}


static void
server_resume(void)
{
    kill(server_pid, SIGCONT);
}


/*
 * Connects to client_conf.parsed, or, if nothing is set there, to the server's
 * port.
 */

static void
client_open(void)
{
    ngx_phrony_redis_conf_t  *conf;

    conf = &client_conf;

    if (conf->parsed.nhosts == 0 && conf->parsed.path.len == 0) {
        conf->parsed.nhosts = 1;
        conf->parsed.hosts[0].host = str("127.0.0.1");
        conf->parsed.hosts[0].port = server_listens;
    }

    if (conf->timeout == 0) {
        conf->timeout = 1000;
        conf->connect_timeout = 2000;
    }

    client_observer.ready = client_on_ready;
    client_observer.invalidated = client_on_invalidated;
    client_observer.live = client_on_live;

    client_readies = 0;
    client_live = 0;
    client_keys = 0;

    memset(&client_counters, 0, sizeof(client_counters));

    client = ngx_phrony_redis_create(conf, &client_observer,
                                     &client_counters, loop_cycle->log);
}


static void
client_close(void)
{
    ngx_phrony_redis_destroy(client);
    client = NULL;

    memset(&client_conf, 0, sizeof(client_conf));
    memset(&client_observer, 0, sizeof(client_observer));
}


static int
client_is_ready(void *data)
{
    return ngx_phrony_redis_ready(client, NGX_PHRONY_REDIS_ANY);
}


static int
client_is_down(void *data)
{
    return !ngx_phrony_redis_ready(client, NGX_PHRONY_REDIS_ANY);
}


static void
client_on_ready(void *data)
{
    client_readies++;
}


static void
client_on_live(void *data, ngx_uint_t on)
{
    client_live = on;
}


static void
client_on_invalidated(void *data, const phrony_str_t *key)
{
    client_keys++;

    snprintf(client_key, sizeof(client_key), "%.*s",
             key ? (int) key->len : 1, key ? (char *) key->data : "*");
}


/* A command of words that are separated by single blanks. */

static ngx_phrony_redis_command_t *
probe_command(probe_t *probe, const char *text)
{
    char                          buf[4096];
    size_t                        argc;
    probe_t                     **data;
    phrony_str_t                  argv[PROBE_WORDS];
    ngx_phrony_redis_command_t   *command;

    memset(probe, 0, sizeof(probe_t));

    argc = probe_words(text, buf, argv);

    command = ngx_phrony_redis_format(client, argc, argv, sizeof(probe_t *));

    if (command == NULL) {
        return NULL;
    }

    data = command->data;
    *data = probe;
    command->handler = probe_handler;

    return command;
}


static size_t
probe_words(const char *text, char *buf, phrony_str_t *argv)
{
    char    *word;
    size_t   argc;

    strcpy(buf, text);

    for (argc = 0, word = strtok(buf, " ");
         word && argc < PROBE_WORDS;
         word = strtok(NULL, " "))
    {
        argv[argc++] = str(word);
    }

    return argc;
}


static int
probe_send(probe_t *probe, const char *text)
{
    ngx_phrony_redis_command_t  *command;

    command = probe_command(probe, text);

    return command && ngx_phrony_redis_send(client, command) == NGX_OK;
}


/* The script that counts reads: "1 key limit". */

static int
probe_eval(probe_t *probe, const char *text)
{
    char                          buf[4096];
    size_t                        argc;
    probe_t                     **data;
    phrony_str_t                  argv[PROBE_WORDS];
    ngx_phrony_redis_command_t   *command;

    memset(probe, 0, sizeof(probe_t));

    argc = probe_words(text, buf, argv);

    command = ngx_phrony_redis_eval(client, PHRONY_SCRIPT_READ, argc, argv,
                                    sizeof(probe_t *));
    if (command == NULL) {
        return 0;
    }

    data = command->data;
    *data = probe;
    command->handler = probe_handler;
    command->waited = 1;

    return ngx_phrony_redis_send(client, command) == NGX_OK;
}


static void
probe_handler(ngx_phrony_redis_command_t *command,
    ngx_phrony_redis_result_t result, const phrony_resp_t *reply)
{
    probe_t  *probe;

    probe = *(probe_t **) command->data;

    probe->done++;
    probe->result = result;
    probe->turn = ++probe_turn;

    if (reply == NULL) {
        return;
    }

    probe->type = reply->type;
    probe->integer = (long) reply->integer;
    probe->n = reply->n;

    snprintf(probe->text, sizeof(probe->text), "%.*s", (int) reply->str.len,
             reply->str.data ? (char *) reply->str.data : "");
}


static int
probe_done(void *data)
{
    return ((probe_t *) data)->done;
}


/* Sends a command, waits for its end, and says what that was. */

static const char *
probe_ask(const char *text)
{
    static probe_t  probe;

    if (!probe_send(&probe, text)) {
        return "declined";
    }

    if (!loop_until(probe_done, &probe, 5000)) {
        return "nothing";
    }

    if (probe.result != NGX_PHRONY_REDIS_ANSWERED) {
        return (probe.result == NGX_PHRONY_REDIS_LOST) ? "lost" : "unsent";
    }

    return probe.text;
}


#endif /* REDIS_H_ */
