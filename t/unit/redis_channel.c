
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


/* sources: ngx_http_phrony_module/redis/ nginx */


#include "redis_fake.h"


/* Which keys have changed, as the server tells it. */


static void test_invalidations(void);
static void test_lost(void);
static void test_hung(void);
static void test_permission(void);
static void test_unknown(void);
static int unknown_answer(fake_t *fake, const phrony_resp_t *command);
static void test_garbage(void);
static int garbage_answer(fake_t *fake, const phrony_resp_t *command);
static int channel_answer(fake_t *fake, const phrony_resp_t *command);
static void test_unasked(void);
static void subscribe(void);
static int is_live(void *data);
static int is_not_live(void *data);
static int has_keys(void *data);
static int both(void *data);


static phrony_str_t  prefixes[2] = { phrony_str("p:key:"),
                                     phrony_str("p:trigger:") };


int
main(void)
{
    loop_open();

    server_listens = server_port();
    server_start("");

    test_invalidations();
    test_unasked();
    test_lost();
    test_hung();
    test_permission();

    server_stop(SIGTERM);

    test_unknown();
    test_garbage();

    loop_close();

    return done();
}


static void
subscribe(void)
{
    client_observer.nprefixes = 2;
    client_observer.prefixes = prefixes;

    client_open();
}


static int
is_live(void *data)
{
    return client_live;
}


static int
is_not_live(void *data)
{
    return !client_live;
}


static int
both(void *data)
{
    return client_live && client_is_ready(NULL);
}


static int
has_keys(void *data)
{
    return client_keys >= *(int *) data;
}


static void
test_invalidations(void)
{
    int  n;

    subscribe();

    is_int(client_live, 0, "not live at once");
    ok(loop_until(both, NULL, 5000), "but soon");

    n = 1;
    (void) probe_ask("SET p:key:1 x");
    ok(loop_until(has_keys, &n, 1000), "a key is set");
    ok(!strcmp(client_key, "p:key:1"), "it is named");

    (void) probe_ask("SET other:key x");
    (void) probe_ask("MSET p:trigger:1 x p:trigger:2 x");

    n = 3;
    ok(loop_until(has_keys, &n, 1000), "two are set");
    ok(!strncmp(client_key, "p:trigger:", 10), "they are named");

    (void) probe_ask("DEL p:key:1");
    n = 4;
    ok(loop_until(has_keys, &n, 1000), "one is deleted");

    (void) probe_ask("SET p:key:2 x PX 50");
    n = 6;
    ok(loop_until(has_keys, &n, 2000), "one is set, and expires");

    is_int(client_keys, 6, "others are not told");

    (void) probe_ask("FLUSHALL");
    n = 7;
    ok(loop_until(has_keys, &n, 1000), "all are deleted");
    ok(!strcmp(client_key, "*"), "any key is meant");

    loop_for(1300);
    ok(client_live, "it is live after pings");

    client_close();
}


static void
test_unasked(void)
{
    client_open();

    ok(loop_until(client_is_ready, NULL, 3000), "ready without prefixes");
    ok(strstr(probe_ask("CLIENT LIST TYPE pubsub"), "id=") == NULL,
       "makes no channel");

    client_close();
}


static void
test_lost(void)
{
    int  n;

    subscribe();
    ok(loop_until(both, NULL, 3000), "live");

    (void) probe_ask("CLIENT KILL TYPE pubsub");
    ok(loop_until(is_not_live, NULL, 1000), "the channel is closed");
    ok(client_is_ready(NULL), "the other connection stands");
    ok(loop_until(is_live, NULL, 1000), "live again");

    n = client_keys + 1;
    (void) probe_ask("SET p:key:3 x");
    ok(loop_until(has_keys, &n, 1000), "and works");

    server_stop(SIGKILL);
    ok(loop_until(is_not_live, NULL, 1000), "the server is killed");
    server_start("");
    ok(loop_until(both, NULL, 3000), "live when it is back");

    client_close();
}


static void
test_hung(void)
{
    ngx_msec_t  start;

    subscribe();
    ok(loop_until(both, NULL, 3000), "live");

    loop_for(1300);
    ok(client_live, "still, after two pings");

    kill(server_pid, SIGSTOP);

    ngx_time_update();
    start = ngx_current_msec;

    ok(loop_until(is_not_live, NULL, 5000), "the server hangs");
    ok(ngx_current_msec - start < 2500, "after %d ms",
       (int) (ngx_current_msec - start));

    kill(server_pid, SIGCONT);
    ok(loop_until(is_live, NULL, 3000), "live when it goes on");

    client_close();
}


static void
test_permission(void)
{
    client_open();
    ok(loop_until(client_is_ready, NULL, 3000), "ready");
    (void) probe_ask("ACL SETUSER bob on >b0b ~* &* +@all -client");
    client_close();

    client_conf.user.data = (u_char *) "bob";
    client_conf.user.len = 3;
    client_conf.password.data = (u_char *) "b0b";
    client_conf.password.len = 3;

    subscribe();
    ok(loop_until(client_is_ready, NULL, 3000), "ready as bob");
    ok(loop_until_logged("redis does not tell what is changed"),
       "who may not ask for invalidations");
    loop_for(100);
    is_int(client_live, 0, "it is not live");
    is_int(loop_lines("redis does not tell what is changed"), 1,
           "logged once");

    client_close();
}


/* Redis 5 has CLIENT ID, but no tracking. */

static void
test_unknown(void)
{
    fake_start(unknown_answer);

    subscribe();
    ok(loop_until(client_is_ready, NULL, 3000), "ready");
    ok(loop_until_logged("redis does not tell what is changed: CLIENT "
                         "TRACKING: ERR Unknown subcommand"),
       "a server that does not know TRACKING");
    loop_for(100);
    is_int(client_live, 0, "it is not live");
    is_int(fake_shared->connections, 2, "not tried again soon");

    client_close();
    fake_stop();
}


static int
unknown_answer(fake_t *fake, const phrony_resp_t *command)
{
    if (fake_greet(fake, command)) {
        return 1;
    }

    if (fake_is(command, "CLIENT") && command->n == 2) {
        fake_say(fake, ":7\r\n");
        return 1;
    }

    fake_say(fake, "-ERR Unknown subcommand or wrong number of arguments\r\n");

    return 1;
}


/* The channel's text is taken apart strictly, and is begun anew. */

static void
test_garbage(void)
{
    int  n;

    fake_start(garbage_answer);

    subscribe();

    n = 2;
    ok(loop_until(has_keys, &n, 5000), "a sound message at last");
    ok(!strcmp(client_key, "p:key:9"), "it is told");
    is_int(fake_shared->number, 6, "after some that are not");
    is_int(client_keys, 2, "of which none was told");
    ok(loop_logged("a reply that nobody asked for"), "logged");

    client_close();
    fake_stop();
}


static int
channel_answer(fake_t *fake, const phrony_resp_t *command)
{
    if (fake_greet(fake, command)) {
        return 1;
    }

    if (fake_is(command, "CLIENT")) {
        fake_say(fake, (command->n == 2) ? ":7\r\n" : "+OK\r\n");
        return 1;
    }

    if (fake_is(command, "SUBSCRIBE")) {
        fake_say(fake, "*3\r\n$9\r\nsubscribe\r\n"
                       "$20\r\n__redis__:invalidate\r\n:1\r\n");
        return 2;
    }

    return 1;
}


static int
garbage_answer(fake_t *fake, const phrony_resp_t *command)
{
    static const char  *messages[] = {
        "*3\r\n$7\r\nmessage\r\n$5\r\nother\r\n*1\r\n$7\r\np:key:9\r\n",
        "*2\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n",
        "*3\r\n$7\r\nmassage\r\n$20\r\n__redis__:invalidate\r\n*0\r\n",
        ":1\r\n",
        "+PONG\r\n"
    };

    /* before it is subscribed */

    if (fake_shared->number == 5 && fake_is(command, "CLIENT")) {
        fake_shared->number++;
        fake_say(fake, "*3\r\n$7\r\nmessage\r\n"
                       "$20\r\n__redis__:invalidate\r\n$-1\r\n");
    }

    if (channel_answer(fake, command) != 2) {
        return 1;
    }

    if (fake_shared->number < 5) {
        fake_say(fake, messages[fake_shared->number++]);
        return 1;
    }

    fake_say(fake, "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n"
                   "*2\r\n:5\r\n$7\r\np:key:9\r\n");

    return 1;
}
