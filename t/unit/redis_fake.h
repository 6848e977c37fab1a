
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef REDIS_FAKE_H_
#define REDIS_FAKE_H_


/*
 * A server that greets as Redis does and then answers as the test wishes:
 *
 *     static int
 *     answer(fake_t *fake, const phrony_resp_t *command)
 *     {
 *         fake_say(fake, "$5\r\nhal");
 *         return 0;                   (the connection is closed)
 *     }
 *
 *     fake_start(answer);
 *     client_open();
 *
 * Each connection is served by a process of its own.
 */


#include "redis.h"

#include <sys/socket.h>


/* What the processes share. */

typedef struct {
    volatile int   connections;
    volatile int   number;          /* room for the test */
    volatile int   flag;
} fake_shared_t;


typedef struct {
    int            fd;
    int            connection;      /* the how-manieth, from 1 */
    int            command;         /* the how-manieth of this connection */
} fake_t;


/* Returns 1 to go on, 0 to close, -1 to reset the connection. */

typedef int (*fake_answer_t)(fake_t *fake, const phrony_resp_t *command);


static void  fake_start(fake_answer_t answer) TEST_UNUSED;
static void  fake_stop(void) TEST_UNUSED;
static void  fake_say(fake_t *fake, const char *text) TEST_UNUSED;
static void  fake_say_bytes(fake_t *fake, const void *bytes,
    size_t len) TEST_UNUSED;
static int   fake_greet(fake_t *fake,
    const phrony_resp_t *command) TEST_UNUSED;
static int   fake_is(const phrony_resp_t *command, const char *name)
    TEST_UNUSED;
static int   fake_ready(void) TEST_UNUSED;
static void  fake_accept(int s, fake_answer_t answer);
static void  fake_serve(int fd, fake_answer_t answer);


static pid_t           fake_pid;
static fake_shared_t  *fake_shared;


static void
fake_start(fake_answer_t answer)
{
    int                 s, on;
    struct sockaddr_in  sin;

    if (fake_shared == NULL) {
        fake_shared = mmap(NULL, sizeof(fake_shared_t), PROT_READ|PROT_WRITE,
                           MAP_ANON|MAP_SHARED, -1, 0);
    }

    memset(fake_shared, 0, sizeof(fake_shared_t));

    server_listens = server_port();

    memset(&sin, 0, sizeof(sin));
    sin.sin_family = AF_INET;
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    sin.sin_port = htons(server_listens);

    on = 1;
    s = socket(AF_INET, SOCK_STREAM, 0);

    if (s == -1
        || setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == -1
        || bind(s, (struct sockaddr *) &sin, sizeof(sin)) == -1
        || listen(s, 16) == -1)
    {
        abort();
    }

    fflush(stdout);
    fake_pid = fork();

    if (fake_pid == 0) {
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void) setpgid(0, 0);
        fake_accept(s, answer);
        _exit(0);
    }

    (void) setpgid(fake_pid, fake_pid);
    close(s);
}


static void
fake_stop(void)
{
    kill(-fake_pid, SIGKILL);
    waitpid(fake_pid, NULL, 0);
}


static void
fake_accept(int s, fake_answer_t answer)
{
    int  fd;

    (void) signal(SIGCHLD, SIG_IGN);

    for ( ;; ) {
        fd = accept(s, NULL, NULL);

        if (fd == -1) {
            continue;
        }

        fake_shared->connections++;

        if (fork() == 0) {
            (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
            close(s);
            fake_serve(fd, answer);
            _exit(0);
        }

        close(fd);
    }
}


static void
fake_serve(int fd, fake_answer_t answer)
{
    int                          rc;
    char                         buf[65536];
    fake_t                       fake;
    ssize_t                      n;
    struct linger                reset;
    const phrony_resp_t         *command;
    phrony_resp_reader_t        *reader;
    static phrony_resp_limits_t  limits = { 64 * 1024 * 1024, 1000 };

    fake.fd = fd;
    fake.connection = fake_shared->connections;
    fake.command = 0;

    reader = phrony_resp_reader_create(&limits);
    rc = 1;

    while (rc == 1) {
        n = read(fd, buf, sizeof(buf));

        if (n <= 0 || phrony_resp_feed(reader, buf, n) != 0) {
            break;
        }

        while (rc == 1 && phrony_resp_next(reader, &command) == 1) {
            fake.command++;
            rc = answer(&fake, command);
        }
    }

    if (rc == -1) {
        reset.l_onoff = 1;
        reset.l_linger = 0;
        (void) setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    }

    close(fd);
}


static void
fake_say(fake_t *fake, const char *text)
{
    fake_say_bytes(fake, text, strlen(text));
}


static void
fake_say_bytes(fake_t *fake, const void *bytes, size_t len)
{
    ssize_t      n;
    const char  *p;

    for (p = bytes; len; p += n, len -= (size_t) n) {
        n = write(fake->fd, p, len);

        if (n <= 0) {
            _exit(0);
        }
    }
}


/* Answers what a client greets with: 1.  0 if it was something else. */

static int
fake_greet(fake_t *fake, const phrony_resp_t *command)
{
    int   i;
    char  text[64];

    if (fake_is(command, "PING")) {
        fake_say(fake, "+PONG\r\n");
        return 1;
    }

    if (fake_is(command, "ROLE")) {
        fake_say(fake, "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n");
        return 1;
    }

    if (!fake_is(command, "SCRIPT")) {
        return 0;
    }

    for (i = 0; i < PHRONY_SCRIPT_MAX; i++) {

        if (phrony_str_eq(&command->elements[2].str,
                          &phrony_scripts[i].text))
        {
            snprintf(text, sizeof(text), "$40\r\n%s\r\n",
                     phrony_scripts[i].sha1);
            fake_say(fake, text);
        }
    }

    return 1;
}


static int
fake_is(const phrony_resp_t *command, const char *name)
{
    phrony_str_t  s;

    s = str(name);

    return command->type == PHRONY_RESP_ARRAY && command->n
           && phrony_str_eq(&command->elements[0].str, &s);
}


/* Connects to it; 1 if that went well. */

static int
fake_ready(void)
{
    client_open();

    return loop_until(client_is_ready, NULL, 3000);
}


#endif /* REDIS_FAKE_H_ */
