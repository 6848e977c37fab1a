
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef LOOP_H_
#define LOOP_H_


/*
 * nginx's event loop, as a worker runs it, within a test program:
 *
 *     loop_open();
 *     ok(loop_until(condition, data, 1000), "it came about within a second");
 *     loop_close();
 *
 * The error log, with debug lines, is loop_dir/error.log.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "test.h"


typedef int (*loop_condition_t)(void *data);


static void  loop_open(void) TEST_UNUSED;
static void  loop_close(void) TEST_UNUSED;
static void  loop_turn(void) TEST_UNUSED;
static int   loop_until(loop_condition_t condition, void *data,
    unsigned ms) TEST_UNUSED;
static void  loop_for(unsigned ms) TEST_UNUSED;
static int   loop_logged(const char *text) TEST_UNUSED;
static int   loop_lines(const char *text) TEST_UNUSED;
static int   loop_has_logged(void *data);
static int   loop_until_logged(const char *text) TEST_UNUSED;
static void  loop_set_os(void);
static void  loop_write_conf(const char *path);
static void  loop_set(ngx_str_t *s, const char *text);
static void  loop_tick(ngx_event_t *ev);
static int   loop_never(void *data);
static ngx_uint_t  loop_timers(void) TEST_UNUSED;


static char          loop_dir[48];
static ngx_cycle_t  *loop_cycle;
static ngx_event_t   loop_event;


static void
loop_open(void)
{
    int                 err;
    char                path[64];
    ngx_log_t          *log;
    static ngx_cycle_t  cycle;

    snprintf(loop_dir, sizeof(loop_dir), "%s/phrony-unit-XXXXXX", "/tmp");

    if (mkdtemp(loop_dir) == NULL) {
        abort();
    }

    ngx_pid = getpid();

    if (ngx_strerror_init() != NGX_OK) {
        abort();
    }

    ngx_time_init();

    snprintf(path, sizeof(path), "%s/error.log", loop_dir);
    log = ngx_log_init(NULL, (u_char *) path);

    cycle.log = log;
    ngx_cycle = &cycle;

    cycle.pool = ngx_create_pool(1024, log);

    loop_set(&cycle.prefix, "/tmp/");
    loop_set(&cycle.conf_prefix, "/tmp/");
    loop_set(&cycle.error_log, strdup(path));

    snprintf(path, sizeof(path), "%s/nginx.conf", loop_dir);
    loop_write_conf(path);
    loop_set(&cycle.conf_file, strdup(path));

    loop_set_os();

    if (ngx_ssl_init(log) != NGX_OK
        || ngx_crc32_table_init() != NGX_OK
        || ngx_preinit_modules() != NGX_OK)
    {
        abort();
    }

    /* the reports of sanitizers go where they went */

    err = dup(STDERR_FILENO);

    loop_cycle = ngx_init_cycle(&cycle);

    dup2(err, STDERR_FILENO);
    close(err);

    if (loop_cycle == NULL
        || ngx_event_core_module.init_process(loop_cycle) != NGX_OK)
    {
        abort();
    }

    ngx_cycle = loop_cycle;
    ngx_use_stderr = 0;
    ngx_process = NGX_PROCESS_WORKER;

    loop_event.handler = loop_tick;
    loop_event.data = loop_cycle;
    loop_event.log = loop_cycle->log;
}


/* As ngx_os_init(), which wants the arguments of main(), too. */

static void
loop_set_os(void)
{
    ngx_ncpu = 2;
    ngx_cacheline_size = 64;
    ngx_max_sockets = 1024;
    ngx_pagesize = getpagesize();

    for (ngx_pagesize_shift = 0;
         (ngx_pagesize >> ngx_pagesize_shift) > 1;
         ngx_pagesize_shift++)
    {
        /* void */
    }

    ngx_slab_sizes_init();

    srandom(ngx_pid);
}


static void
loop_write_conf(const char *path)
{
    FILE  *f;

    f = fopen(path, "w");

    if (f == NULL) {
        abort();
    }

    fprintf(f, "daemon off; master_process off;\n"
               "error_log %s/error.log debug;\n"
               "events { worker_connections 64; }\n", loop_dir);
    fclose(f);
}


static void
loop_set(ngx_str_t *s, const char *text)
{
    s->data = (u_char *) text;
    s->len = strlen(text);
}


/* Removes the folder.  All connections must have been closed. */

static void
loop_close(void)
{
    char        command[96];
    ngx_uint_t  i, n;

    for (i = 0, n = 0; i < loop_cycle->connection_n; i++) {
        n += loop_cycle->connections[i].fd != (ngx_socket_t) -1;
    }

    is_int(n, 0, "no open socket is left");
    is_int(loop_timers(), 0, "no timer is left");
    ok(ngx_queue_empty(&ngx_posted_events), "no posted event is left");
    ok(!loop_logged("[alert]"), "no alert was logged");

    if (getenv("LOOP_KEEP")) {
        printf("# %s\n", loop_dir);
        return;
    }

    snprintf(command, sizeof(command), "rm -rf '%s'", loop_dir);

    if (system(command) != 0) {
        printf("# %s is left\n", loop_dir);
    }
}


static void
loop_tick(ngx_event_t *ev)
{
    /* that it expires makes the loop turn */
}


static void
loop_turn(void)
{
    ngx_add_timer(&loop_event, 5);

    ngx_process_events_and_timers(loop_cycle);

    if (loop_event.timer_set) {
        ngx_del_timer(&loop_event);
    }
}


/* Turns until the condition holds: 1; or for so long, in vain: 0. */

static int
loop_until(loop_condition_t condition, void *data, unsigned ms)
{
    ngx_msec_t  end;

    ngx_time_update();

    end = ngx_current_msec + ms;

    while (!condition(data)) {

        if ((ngx_msec_int_t) (end - ngx_current_msec) <= 0) {
            return 0;
        }

        loop_turn();
    }

    return 1;
}


static void
loop_for(unsigned ms)
{
    (void) loop_until(loop_never, NULL, ms);
}


static int
loop_never(void *data)
{
    return 0;
}


/* Returns 1 if the text stands in the error log. */

static int
loop_logged(const char *text)
{
    return loop_lines(text) != 0;
}


/* Turns until it does: 1; or for three seconds, in vain: 0. */

static int
loop_until_logged(const char *text)
{
    return loop_until(loop_has_logged, (void *) text, 3000);
}


static int
loop_has_logged(void *data)
{
    return loop_logged(data);
}


/* In how many lines of the error log it stands. */

static int
loop_lines(const char *text)
{
    int     n;
    FILE   *f;
    char    line[4096];

    snprintf(line, sizeof(line), "%s/error.log", loop_dir);

    f = fopen(line, "r");

    if (f == NULL) {
        abort();
    }

    for (n = 0; fgets(line, sizeof(line), f); ) {
        n += strstr(line, text) != NULL;
    }

    fclose(f);

    return n;
}


static ngx_uint_t
loop_timers(void)
{
    ngx_uint_t          n;
    ngx_rbtree_node_t  *node;

    if (ngx_event_timer_rbtree.root == ngx_event_timer_rbtree.sentinel) {
        return 0;
    }

    n = 0;
    node = ngx_rbtree_min(ngx_event_timer_rbtree.root,
                          ngx_event_timer_rbtree.sentinel);

    for ( /* void */ ; node; node = ngx_rbtree_next(&ngx_event_timer_rbtree,
                                                    node))
    {
        n++;
    }

    return n;
}


#endif /* LOOP_H_ */
