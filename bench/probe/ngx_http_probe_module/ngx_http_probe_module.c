
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


/*
 * What a limiter that is shared in Redis costs at the least: before a request
 * is proxied it waits for one EVALSHA, the answer to which is an integer.  The
 * commands of one turn of the event loop are sent together, on the only
 * connection of the worker.  There are neither keys nor limits nor anything
 * that may fail: what is not as it should be ends the process, and the bench.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


#define NGX_HTTP_PROBE_WAITING  1024        /* requests */
#define NGX_HTTP_PROBE_COMMAND  256         /* bytes at most */
#define NGX_HTTP_PROBE_REPLY    32          /* likewise */

/* a fixed window */

#define NGX_HTTP_PROBE_SCRIPT                                                 \
    "local n = redis.call('INCR', KEYS[1]) "                                  \
    "if n == 1 then redis.call('PEXPIRE', KEYS[1], '60000') end "             \
    "return n"


typedef struct {
    ngx_addr_t          *addr;
} ngx_http_probe_main_conf_t;


typedef struct {
    ngx_flag_t           enable;
} ngx_http_probe_loc_conf_t;


/* Of a worker.  Replies come in the order of the requests that wait. */

typedef struct {
    ngx_connection_t    *connection;
    ngx_event_t          flush;
    u_char               command[NGX_HTTP_PROBE_COMMAND];
    size_t               command_len;
    u_char               out[NGX_HTTP_PROBE_WAITING * NGX_HTTP_PROBE_COMMAND];
    size_t               out_len;
    u_char               in[NGX_HTTP_PROBE_WAITING * NGX_HTTP_PROBE_REPLY];
    size_t               in_len;
    ngx_uint_t           first;
    ngx_uint_t           nwaiting;
    ngx_http_request_t  *waiting[NGX_HTTP_PROBE_WAITING];
} ngx_http_probe_t;


static ngx_int_t ngx_http_probe_handler(ngx_http_request_t *r);
static void ngx_http_probe_flush_handler(ngx_event_t *ev);
static void ngx_http_probe_read_handler(ngx_event_t *rev);
static void ngx_http_probe_write_handler(ngx_event_t *wev);
static void ngx_http_probe_next(void);
static void ngx_http_probe_die(const char *what);
static void ngx_http_probe_load(ngx_socket_t s);
static ngx_int_t ngx_http_probe_init_process(ngx_cycle_t *cycle);
static ngx_int_t ngx_http_probe_init(ngx_conf_t *cf);
static void *ngx_http_probe_create_main_conf(ngx_conf_t *cf);
static void *ngx_http_probe_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_probe_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static char *ngx_http_probe_redis(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


static ngx_command_t  ngx_http_probe_commands[] = {

    { ngx_string("probe_redis"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_probe_redis,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("probe"),
      NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_probe_loc_conf_t, enable),
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_probe_module_ctx = {
    NULL,                              /* preconfiguration */
    ngx_http_probe_init,               /* postconfiguration */

    ngx_http_probe_create_main_conf,   /* create main configuration */
    NULL,                              /* init main configuration */

    NULL,                              /* create server configuration */
    NULL,                              /* merge server configuration */

    ngx_http_probe_create_loc_conf,    /* create location configuration */
    ngx_http_probe_merge_loc_conf      /* merge location configuration */
};


ngx_module_t  ngx_http_probe_module = {
    NGX_MODULE_V1,
    &ngx_http_probe_module_ctx,        /* module context */
    ngx_http_probe_commands,           /* module directives */
    NGX_HTTP_MODULE,                   /* module type */
    NULL,                              /* init master */
    NULL,                              /* init module */
    ngx_http_probe_init_process,       /* init process */
    NULL,                              /* init thread */
    NULL,                              /* exit thread */
    NULL,                              /* exit process */
    NULL,                              /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_http_probe_t  ngx_http_probe;


static ngx_int_t
ngx_http_probe_handler(ngx_http_request_t *r)
{
    ngx_uint_t                  last;
    ngx_http_probe_t           *probe;
    ngx_http_probe_loc_conf_t  *plcf;

    probe = &ngx_http_probe;
    plcf = ngx_http_get_module_loc_conf(r, ngx_http_probe_module);

    if (!plcf->enable || ngx_http_get_module_ctx(r, ngx_http_probe_module)) {
        return NGX_DECLINED;
    }

    if (probe->nwaiting == NGX_HTTP_PROBE_WAITING) {
        ngx_http_probe_die("too many requests wait");
    }

    /* once it is answered, it has been here */

    ngx_http_set_ctx(r, probe, ngx_http_probe_module);

    r->read_event_handler = ngx_http_block_reading;
    r->write_event_handler = ngx_http_request_empty_handler;

    last = (probe->first + probe->nwaiting++) % NGX_HTTP_PROBE_WAITING;
    probe->waiting[last] = r;

    ngx_memcpy(probe->out + probe->out_len, probe->command,
               probe->command_len);
    probe->out_len += probe->command_len;

    if (!probe->flush.posted) {
        ngx_post_event(&probe->flush, &ngx_posted_events);
    }

    return NGX_AGAIN;
}


static void
ngx_http_probe_flush_handler(ngx_event_t *ev)
{
    ngx_http_probe_t  *probe;

    probe = &ngx_http_probe;

    if (ngx_send(probe->connection, probe->out, probe->out_len)
        != (ssize_t) probe->out_len)
    {
        ngx_http_probe_die("cannot send at once");
    }

    probe->out_len = 0;
}


static void
ngx_http_probe_read_handler(ngx_event_t *rev)
{
    u_char            *p, *end;
    ssize_t            n;
    ngx_http_probe_t  *probe;

    probe = &ngx_http_probe;

    do {
        n = ngx_recv(probe->connection, probe->in + probe->in_len,
                     sizeof(probe->in) - probe->in_len);

        if (n == NGX_AGAIN) {
            break;
        }

        if (n <= 0) {
            ngx_http_probe_die("the connection is lost");
        }

        probe->in_len += n;

        p = probe->in;

        while ((end = memchr(p, LF, probe->in + probe->in_len - p)) != NULL) {

            if (*p != ':') {
                ngx_http_probe_die("the reply is no integer");
            }

            p = end + 1;
            ngx_http_probe_next();
        }

        probe->in_len -= p - probe->in;
        ngx_memmove(probe->in, p, probe->in_len);

    } while (rev->ready);

    if (ngx_handle_read_event(rev, 0) != NGX_OK) {
        ngx_http_probe_die("cannot wait for replies");
    }
}


static void
ngx_http_probe_write_handler(ngx_event_t *wev)
{
    /* void */
}


/* Lets the request through that has waited for longest. */

static void
ngx_http_probe_next(void)
{
    ngx_connection_t    *c;
    ngx_http_probe_t    *probe;
    ngx_http_request_t  *r;

    probe = &ngx_http_probe;

    if (probe->nwaiting == 0) {
        ngx_http_probe_die("nobody waits for a reply");
    }

    r = probe->waiting[probe->first];
    c = r->connection;

    probe->first = (probe->first + 1) % NGX_HTTP_PROBE_WAITING;
    probe->nwaiting--;

    r->write_event_handler = ngx_http_core_run_phases;
    ngx_http_core_run_phases(r);
    ngx_http_run_posted_requests(c);
}


static void
ngx_http_probe_die(const char *what)
{
    ngx_log_error(NGX_LOG_EMERG, ngx_cycle->log, ngx_errno, "probe: %s", what);
    exit(2);
}


/* Makes the command, of a script that Redis knows then. */

static void
ngx_http_probe_load(ngx_socket_t s)
{
    u_char            *p, buf[1024];
    ssize_t            n;
    ngx_http_probe_t  *probe;

    probe = &ngx_http_probe;

    p = ngx_sprintf(buf, "*3\r\n$6\r\nSCRIPT\r\n$4\r\nLOAD\r\n$%uz\r\n"
                    NGX_HTTP_PROBE_SCRIPT "\r\n",
                    sizeof(NGX_HTTP_PROBE_SCRIPT) - 1);

    if (write(s, buf, p - buf) != p - buf) {
        ngx_http_probe_die("cannot load the script");
    }

    n = read(s, buf, sizeof(buf));

    if (n != sizeof("$40\r\n\r\n") - 1 + 40 || buf[0] != '$') {
        ngx_http_probe_die("the script is not loaded");
    }

    p = ngx_sprintf(probe->command, "*4\r\n$7\r\nEVALSHA\r\n%*s"
                    "$1\r\n1\r\n$5\r\nprobe\r\n", (size_t) n, buf);

    probe->command_len = p - probe->command;
}


static ngx_int_t
ngx_http_probe_init_process(ngx_cycle_t *cycle)
{
    int                          nodelay;
    ngx_socket_t                 s;
    ngx_connection_t            *c;
    ngx_http_probe_t            *probe;
    ngx_http_probe_main_conf_t  *pmcf;

    probe = &ngx_http_probe;
    pmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_probe_module);

    if (pmcf == NULL || pmcf->addr == NULL) {
        return NGX_OK;
    }

    s = ngx_socket(pmcf->addr->sockaddr->sa_family, SOCK_STREAM, 0);

    if (s == (ngx_socket_t) -1
        || connect(s, pmcf->addr->sockaddr, pmcf->addr->socklen) == -1)
    {
        ngx_http_probe_die("cannot connect");
    }

    ngx_http_probe_load(s);

    nodelay = 1;

    if (pmcf->addr->sockaddr->sa_family != AF_UNIX
        && setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &nodelay, sizeof(int))
           == -1)
    {
        ngx_http_probe_die("no TCP_NODELAY");
    }

    c = ngx_get_connection(s, cycle->log);

    if (c == NULL || ngx_nonblocking(s) == -1) {
        ngx_http_probe_die("no connection");
    }

    c->recv = ngx_recv;
    c->send = ngx_send;
    c->log = cycle->log;
    c->read->log = cycle->log;
    c->write->log = cycle->log;
    c->read->handler = ngx_http_probe_read_handler;
    c->write->handler = ngx_http_probe_write_handler;

    probe->connection = c;
    probe->flush.handler = ngx_http_probe_flush_handler;
    probe->flush.log = cycle->log;

    return ngx_add_conn ? ngx_add_conn(c) : NGX_ERROR;
}


static ngx_int_t
ngx_http_probe_init(ngx_conf_t *cf)
{
    ngx_http_handler_pt        *h;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_ACCESS_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_probe_handler;

    return NGX_OK;
}


static void *
ngx_http_probe_create_main_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_http_probe_main_conf_t));
}


static void *
ngx_http_probe_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_probe_loc_conf_t  *conf;

    conf = ngx_pcalloc(cf->pool, sizeof(ngx_http_probe_loc_conf_t));
    if (conf == NULL) {
        return NULL;
    }

    conf->enable = NGX_CONF_UNSET;

    return conf;
}


static char *
ngx_http_probe_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_probe_loc_conf_t  *prev = parent;
    ngx_http_probe_loc_conf_t  *conf = child;

    ngx_conf_merge_value(conf->enable, prev->enable, 0);

    return NGX_CONF_OK;
}


static char *
ngx_http_probe_redis(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_probe_main_conf_t  *pmcf = conf;

    ngx_url_t   u;
    ngx_str_t  *value;

    value = cf->args->elts;

    ngx_memzero(&u, sizeof(ngx_url_t));
    u.url = value[1];

    if (ngx_parse_url(cf->pool, &u) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%s in \"%V\"",
                           u.err ? u.err : "no address", &u.url);
        return NGX_CONF_ERROR;
    }

    pmcf->addr = &u.addrs[0];

    return NGX_CONF_OK;
}
