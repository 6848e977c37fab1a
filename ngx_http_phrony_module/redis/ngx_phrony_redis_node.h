
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_PHRONY_REDIS_NODE_H_INCLUDED_
#define _NGX_PHRONY_REDIS_NODE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_event_connect.h>

#include "ngx_phrony_redis_private.h"


#define NGX_PHRONY_REDIS_ADDRS    8
#define NGX_PHRONY_REDIS_REASONS  8


PHRONY_HIDDEN_BEGIN


/*
 * One server, and the connection to it:
 *
 *     IDLE ── connect() ──▶ RESOLVING ──▶ CONNECTING ──▶ HANDSHAKE (TLS)
 *                              ▲  │            │             │
 *                              │  └─── fail ───┼─────────────┤
 *                           backoff            ▼             ▼
 *                              │              DOWN ◀── GREETING ──▶ READY
 *                              └────────────── │ ◀───────────────────┘
 *                                                        fail
 *
 * RESOLVING and HANDSHAKE are left out where there is nothing to do.  Commands
 * are taken in READY alone, unless it is draining.
 */

typedef enum {
    NGX_PHRONY_REDIS_IDLE = 0,
    NGX_PHRONY_REDIS_DOWN,
    NGX_PHRONY_REDIS_RESOLVING,
    NGX_PHRONY_REDIS_CONNECTING,
    NGX_PHRONY_REDIS_HANDSHAKE,
    NGX_PHRONY_REDIS_GREETING,
    NGX_PHRONY_REDIS_READY
} ngx_phrony_redis_state_t;


/* What a connection is for, and so how the server is greeted. */

typedef enum {
    NGX_PHRONY_REDIS_DATA = 0,  /* AUTH, SELECT, ROLE, SCRIPT LOAD, PING */
    NGX_PHRONY_REDIS_CHANNEL,   /* AUTH, CLIENT ID, TRACKING, SUBSCRIBE */
    NGX_PHRONY_REDIS_SENTINEL   /* AUTH if it is demanded, PING */
} ngx_phrony_redis_purpose_t;


/*
 * What the owner of a node hears, any of them may be NULL.  Within a hook all
 * of the functions below may be called, ngx_phrony_redis_node_destroy() too.
 */

typedef struct {

    /* it has become ready */

    void        (*ready)(ngx_phrony_redis_node_t *node);

    /*
     * It is not connected any more, or could not be: it is DOWN, its commands
     * have failed, and it tries again after a pause unless it is told to do
     * otherwise.
     */

    void        (*failed)(ngx_phrony_redis_node_t *node);

    /*
     * Sees each reply first, which is good until it returns.  Returns
     * NGX_DECLINED if it answers the oldest command, NGX_OK if it was sent of
     * the server's own accord and has been dealt with, or NGX_ERROR if it
     * should not have come.
     */

    ngx_int_t   (*pushed)(ngx_phrony_redis_node_t *node,
                          const phrony_resp_t *reply);
} ngx_phrony_redis_hooks_t;


struct ngx_phrony_redis_node_s {
    ngx_phrony_redis_t               *redis;
    const ngx_phrony_redis_hooks_t   *hooks;
    void                             *data;     /* the owner's */
    ngx_phrony_redis_purpose_t        purpose;
    ngx_phrony_redis_state_t          state;

    ngx_str_t                         name;     /* "host:port", for logs */
    ngx_str_t                         host;     /* or a path */
    in_port_t                         port;     /* 0: a unix socket */
    ngx_msec_t                        timeout;  /* of a command; the owner may
                                                   change it */

    unsigned                          master:1; /* it must be one, as it says
                                                   to ROLE; the owner's */
    unsigned                          auth:1;   /* greet by AUTH */
    unsigned                          doomed:1; /* freed when not busy */
    unsigned                          outage:1; /* its failure was logged */
    unsigned                          handshook:1;  /* so was that of TLS */
    unsigned                          postponed:1;  /* its flush, this turn */
    ngx_uint_t                        busy;     /* functions that use it */
    const char                       *draining; /* why; or NULL */

    ngx_log_t                         log;
    ngx_uint_t                        log_level;    /* but in an outage */
    uint32_t                          reasons[NGX_PHRONY_REDIS_REASONS];
    ngx_uint_t                        nreasons; /* logged in an outage */

    ngx_peer_connection_t             peer;
    ngx_connection_t                 *connection;
    ngx_resolver_ctx_t               *resolving;
    ngx_sockaddr_t                    sockaddrs[NGX_PHRONY_REDIS_ADDRS];
    socklen_t                         socklens[NGX_PHRONY_REDIS_ADDRS];
    ngx_uint_t                        naddrs;
    ngx_uint_t                        addr;     /* the first to try */
    ngx_uint_t                        tried;    /* this time */
    ngx_str_t                         address;  /* the one in use, for logs */
    u_char                            text[NGX_SOCKADDR_STRLEN];

    ngx_event_t                       timer;    /* by state: until ready, the
                                                   pause, the deadline */
    ngx_event_t                       flush;    /* posted */
    ngx_event_t                       lazy;     /* a timer */
    ngx_msec_t                        pause;    /* before the next attempt */
    ngx_msec_t                        since;    /* it is ready */
    ngx_uint_t                        greetings;    /* not yet answered */

    phrony_resp_reader_t             *reader;
    phrony_resp_reader_t             *reading;  /* the one replies are taken
                                                   from right now */

    /*
     * Commands, the oldest first; "unsent" is the first of them that was not
     * yet copied as a whole, or the sentinel.  Positions count the bytes of
     * this connection: a command that begins at or behind "exposed" surely
     * was not carried out.
     */

    ngx_queue_t                       commands;
    ngx_queue_t                      *unsent;
    ngx_uint_t                        ncommands;
    ngx_uint_t                        nwaited;
    size_t                            nbytes;
    size_t                            offset;   /* into *unsent */
    uint64_t                          copied;
    uint64_t                          exposed;
    u_char                           *out;
    u_char                           *out_pos;
    u_char                           *out_last;
};


/*
 * Makes a node, IDLE, for a host name, an address without brackets, or, with
 * port 0, the path of a unix socket, which is copied.  Returns NULL if there
 * is no memory.
 */

ngx_phrony_redis_node_t *ngx_phrony_redis_node_create(
    ngx_phrony_redis_t *redis, ngx_phrony_redis_purpose_t purpose,
    const ngx_str_t *host, in_port_t port,
    const ngx_phrony_redis_hooks_t *hooks);


/*
 * Closes its connection, which fails its commands, but calls no hook; the node
 * is not to be used any more, and its memory goes when nobody up the stack
 * uses it.
 */

void ngx_phrony_redis_node_destroy(ngx_phrony_redis_node_t *node);


/* Counts what has happened to a node that has data, and to no other. */

void ngx_phrony_redis_node_count(ngx_phrony_redis_node_t *node,
    ngx_atomic_t *counter);


/*
 * Begins to connect without a pause, if it is IDLE or DOWN.  Hooks may be
 * called before it returns only for a failure.
 */

void ngx_phrony_redis_node_connect(ngx_phrony_redis_node_t *node);


/* Closes the connection, which fails its commands: IDLE.  Calls no hook. */

void ngx_phrony_redis_node_close(ngx_phrony_redis_node_t *node);


/*
 * The same, but DOWN, with a log line, "why" behind "redis failed: ", with a
 * pause before the next attempt, and with the hook.
 */

void ngx_phrony_redis_node_fail(ngx_phrony_redis_node_t *node,
    const char *why);


/*
 * From now on it takes no more commands, and when the last one has been
 * answered it fails as above.  "why" must be a constant.
 */

void ngx_phrony_redis_node_drain(ngx_phrony_redis_node_t *node,
    const char *why);


/* Returns 1 if it takes commands, else 0. */

static ngx_inline ngx_uint_t
ngx_phrony_redis_node_ready(ngx_phrony_redis_node_t *node)
{
    return node->state == NGX_PHRONY_REDIS_READY
           && node->draining == NULL
           && !node->doomed;
}


/* For its own files: who increments node->busy ends with this. */

void ngx_phrony_redis_node_release(ngx_phrony_redis_node_t *node);


/* For its own files: a connection is made and verified; all is answered. */

void ngx_phrony_redis_node_connected(ngx_phrony_redis_node_t *node);
void ngx_phrony_redis_node_greeted(ngx_phrony_redis_node_t *node);


PHRONY_HIDDEN_END


#endif /* _NGX_PHRONY_REDIS_NODE_H_INCLUDED_ */
