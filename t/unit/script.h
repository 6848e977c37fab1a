
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef SCRIPT_H_
#define SCRIPT_H_


/*
 * The scripts on a redis-server of this program's own, on a unix socket.
 * Their clock is this program's: the one place where each asks for the time
 * is made to ask for script_now.
 */


#include "test.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <hiredis/hiredis.h>

#include "phrony_scripts.h"


#define SCRIPT_ARGS   32
#define SCRIPT_CLOCK  "call('TIME')"
#define SCRIPT_TIME   "call('HMGET', 'clock', 's', 'us')"


/* What a script answered: integers and perhaps a text, or an error. */

typedef struct {
    size_t       n;
    long long    integers[16];
    char         text[256];
    char         error[256];
} script_reply_t;


static void   script_open(void) TEST_UNUSED;
static void   script_close(void) TEST_UNUSED;
static void   script_spawn(void);
static void   script_connect(void);
static void   script_load(phrony_script_id_t id);
static size_t script_patch(char *buf, const phrony_str_t *text);
static void   script_run(script_reply_t *reply, phrony_script_id_t id,
    int nkeys, const char **argv) TEST_UNUSED;
static redisReply *script_call(phrony_script_id_t id, int nkeys,
    const char **argv) TEST_UNUSED;
static void   script_take(script_reply_t *reply, redisReply *r);
static redisReply *script_ask(const char *fmt, ...) TEST_UNUSED;
static long long script_integer(const char *fmt, ...) TEST_UNUSED;


static char           script_dir[256];
static pid_t          script_pid;
static redisContext  *script_redis;
static char           script_sha1[PHRONY_SCRIPT_MAX][64];
static uint64_t       script_now = 1763912345678;


static void
script_open(void)
{
    int  i;

    snprintf(script_dir, sizeof(script_dir), "%s/phrony-unit-XXXXXX",
             getenv("TMPDIR") ? getenv("TMPDIR") : P_tmpdir);

    if (mkdtemp(script_dir) == NULL) {
        perror("mkdtemp");
        exit(1);
    }

    script_spawn();
    atexit(script_close);

    script_connect();

    for (i = 0; i < PHRONY_SCRIPT_MAX; i++) {
        script_load((phrony_script_id_t) i);
    }
}


static void
script_close(void)
{
    char  path[512];

    if (script_pid == 0) {
        return;
    }

    redisFree(script_redis);

    kill(script_pid, SIGKILL);
    waitpid(script_pid, NULL, 0);
    script_pid = 0;

    snprintf(path, sizeof(path), "%s/socket", script_dir);
    unlink(path);
    snprintf(path, sizeof(path), "%s/log", script_dir);
    unlink(path);
    rmdir(script_dir);
}


/* It dies with this program, however that ends. */

static void
script_spawn(void)
{
    int  null;

    script_pid = fork();

    if (script_pid != 0) {
        return;
    }

    prctl(PR_SET_PDEATHSIG, SIGKILL);

    null = open("/dev/null", O_RDWR);
    dup2(null, 0);
    dup2(null, 1);

    if (chdir(script_dir) == 0) {
        execlp("redis-server", "redis-server", "--port", "0",
               "--unixsocket", "socket", "--save", "", "--appendonly", "no",
               "--logfile", "log", (char *) NULL);
    }

    perror("redis-server");
    _exit(127);
}


static void
script_connect(void)
{
    int   tries, status;
    char  path[512];

    snprintf(path, sizeof(path), "%s/socket", script_dir);

    for (tries = 0; tries < 3000; tries++) {

        script_redis = redisConnectUnix(path);

        if (script_redis && script_redis->err == 0) {
            return;
        }

        if (script_redis) {
            redisFree(script_redis);
            script_redis = NULL;
        }

        if (waitpid(script_pid, &status, WNOHANG) == script_pid) {
            script_pid = 0;
            break;
        }

        (void) poll(NULL, 0, 10);
    }

    printf("Bail out! no redis-server\n");
    exit(1);
}


static void
script_load(phrony_script_id_t id)
{
    char         text[32768];
    size_t       len;
    redisReply  *r;

    len = script_patch(text, &phrony_scripts[id].text);

    r = script_ask("SCRIPT LOAD %b", text, len);

    if (r->type != REDIS_REPLY_STRING) {
        printf("Bail out! %s.lua: %s\n", phrony_scripts[id].name, r->str);
        exit(1);
    }

    strcpy(script_sha1[id], r->str);
    freeReplyObject(r);
}


/* Copies a script with the clock replaced; returns its new length. */

static size_t
script_patch(char *buf, const phrony_str_t *text)
{
    char    *rest;
    size_t   before;

    rest = strstr((char *) text->data, SCRIPT_CLOCK);

    if (rest == NULL || strstr(rest + strlen(SCRIPT_CLOCK), "TIME")) {
        printf("Bail out! a script has not one clock\n");
        exit(1);
    }

    before = (size_t) (rest - (char *) text->data);

    memcpy(buf, text->data, before);
    strcpy(buf + before, SCRIPT_TIME);
    strcat(buf, rest + strlen(SCRIPT_CLOCK));

    return strlen(buf);
}


/*
 * Runs a script at script_now.  "argv" are its "nkeys" keys and then its
 * arguments, with a NULL behind them.
 */

static void
script_run(script_reply_t *reply, phrony_script_id_t id, int nkeys,
    const char **argv)
{
    redisReply  *r;

    r = script_call(id, nkeys, argv);

    script_take(reply, r);
    freeReplyObject(r);
}


/* The same, for whoever reads the answer for himself. */

static redisReply *
script_call(phrony_script_id_t id, int nkeys, const char **argv)
{
    int          argc;
    char         number[8];
    redisReply  *r;
    const char  *args[SCRIPT_ARGS];

    freeReplyObject(script_ask("HSET clock s %llu us %llu",
                               (unsigned long long) script_now / 1000,
                               (unsigned long long) script_now % 1000 * 1000
                               + script_now % 7 * 142));

    snprintf(number, sizeof(number), "%d", nkeys);

    args[0] = "EVALSHA";
    args[1] = script_sha1[id];
    args[2] = number;

    for (argc = 3; *argv; argc++) {
        args[argc] = *argv++;
    }

    r = redisCommandArgv(script_redis, argc, args, NULL);

    if (r == NULL) {
        printf("Bail out! redis: %s\n", script_redis->errstr);
        exit(1);
    }

    return r;
}


static void
script_take(script_reply_t *reply, redisReply *r)
{
    size_t  i;

    memset(reply, 0, sizeof(*reply));

    switch (r->type) {

    case REDIS_REPLY_INTEGER:
        reply->n = 1;
        reply->integers[0] = r->integer;
        return;

    case REDIS_REPLY_ERROR:
        snprintf(reply->error, sizeof(reply->error), "%s", r->str);
        return;

    case REDIS_REPLY_ARRAY:

        for (i = 0; i < r->elements && i < 16; i++) {

            if (r->element[i]->type != REDIS_REPLY_INTEGER) {
                break;
            }

            reply->integers[i] = r->element[i]->integer;
        }

        if (i + 1 == r->elements
            && r->element[i]->type == REDIS_REPLY_STRING)
        {
            snprintf(reply->text, sizeof(reply->text), "%s",
                     r->element[i]->str);
            reply->n = i;
            return;
        }

        if (i == r->elements) {
            reply->n = i;
            return;
        }

        break;

    default:
        break;
    }

    strcpy(reply->error, "neither integers nor an error");
}


/* Any other command, which must be answered. */

static redisReply *
script_ask(const char *fmt, ...)
{
    va_list      args;
    redisReply  *r;

    va_start(args, fmt);
    r = redisvCommand(script_redis, fmt, args);
    va_end(args);

    if (r == NULL) {
        printf("Bail out! redis: %s\n", script_redis->errstr);
        exit(1);
    }

    return r;
}


/* The same for one that is answered by an integer; -99 if it is not. */

static long long
script_integer(const char *fmt, ...)
{
    va_list      args;
    long long    n;
    redisReply  *r;

    va_start(args, fmt);
    r = redisvCommand(script_redis, fmt, args);
    va_end(args);

    n = (r && r->type == REDIS_REPLY_INTEGER) ? r->integer : -99;

    freeReplyObject(r);

    return n;
}


#endif /* SCRIPT_H_ */
