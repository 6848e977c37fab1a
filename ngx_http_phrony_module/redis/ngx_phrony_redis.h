
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_PHRONY_REDIS_H_INCLUDED_
#define _NGX_PHRONY_REDIS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "../core/phrony_redis_url.h"
#include "../core/phrony_resp.h"
#include "../core/phrony_slot.h"
#include "../lua/phrony_scripts.h"
#include "ngx_phrony_histogram.h"


/* for a command that any node may answer */

#define NGX_PHRONY_REDIS_ANY  PHRONY_SLOTS


PHRONY_HIDDEN_BEGIN


/*
 * Redis as a worker sees it: one pipelined, persistent connection to each
 * node on nginx's event loop, made and made again outside of any request.
 * One server, a master that sentinels name, or a cluster: whoever sends a
 * command only says which slot it belongs to.
 */

typedef struct ngx_phrony_redis_s          ngx_phrony_redis_t;
typedef struct ngx_phrony_redis_command_s  ngx_phrony_redis_command_t;


/* Counted for all workers, in shared memory, without a lock. */

typedef struct {
    ngx_atomic_t                  commands;     /* answered */
    ngx_atomic_t                  errors;       /* answered by an error */
    ngx_atomic_t                  connects;     /* made ready */
    ngx_atomic_t                  failures;     /* connections that failed */
    ngx_atomic_t                  timeouts;     /* of these: no answer */
    ngx_atomic_t                  lost;         /* commands without answer */
    ngx_atomic_t                  refused;      /* not sent: queue full */
    ngx_atomic_t                  redirected;   /* MOVED, ASK */
    ngx_atomic_t                  reloaded;     /* NOSCRIPT */
    ngx_phrony_histogram_t        trips;        /* of what clients wait for:
                                                   from the queue to the
                                                   answer */
} ngx_phrony_redis_counters_t;


/* The configuration, which is shared by all workers and not changed. */

typedef struct {
    ngx_str_t                     url;          /* without user and password,
                                                   for logs */
    phrony_redis_url_t            parsed;
    ngx_str_t                     user;         /* decoded; may be empty */
    ngx_str_t                     password;
    ngx_msec_t                    timeout;
    ngx_msec_t                    connect_timeout;  /* until it is ready */

    ngx_addr_t                   *addrs;        /* of parsed.hosts, resolved
                                                   at configuration time */
    ngx_uint_t                   *addr_hosts;   /* addrs[i]: of which host */
    ngx_uint_t                    naddrs;

    ngx_resolver_t               *resolver;     /* names are resolved anew at
                                                   each connect; or NULL */
    ngx_msec_t                    resolver_timeout;
#if (NGX_SSL)
    ngx_ssl_t                    *ssl;          /* NULL: no TLS */
    ngx_flag_t                    ssl_verify;
    ngx_str_t                     ssl_name;     /* to check; empty: the host */
#endif
} ngx_phrony_redis_conf_t;


typedef enum {
    NGX_PHRONY_REDIS_ANSWERED = 0,  /* reply is set, maybe to an error */
    NGX_PHRONY_REDIS_UNSENT,        /* it was surely not carried out */
    NGX_PHRONY_REDIS_LOST           /* it may have been carried out */
} ngx_phrony_redis_result_t;


/*
 * Called exactly once for a command that was sent, and never before
 * ngx_phrony_redis_send() has returned.  "reply" is good until it returns,
 * and NULL but for ANSWERED; the command is freed then.  It may send further
 * commands; it must not run a request's phases nor close anything, since the
 * replies behind it are still to be read: for that it posts an event.
 */

typedef void (*ngx_phrony_redis_handler_pt)(
    ngx_phrony_redis_command_t *command, ngx_phrony_redis_result_t result,
    const phrony_resp_t *reply);


struct ngx_phrony_redis_command_s {
    ngx_phrony_redis_handler_pt   handler;      /* NULL: nobody asks */
    void                         *data;         /* room for the sender */
    u_char                       *bytes;        /* the RESP text, "len" */
    size_t                        len;
    ngx_uint_t                    slot;
    const phrony_script_t        *script;       /* of an EVALSHA, whose text
                                                   begins as made by
                                                   ngx_phrony_redis_eval() */
    unsigned                      waited:1;     /* by a client: the deadline
                                                   holds up a worker's end */
    unsigned                      lazy:1;       /* may wait 2 ms for others to
                                                   go along with */
    /* private */

    ngx_queue_t                   queue;
    uint64_t                      position;     /* in the bytes sent */
    uint64_t                      queued;       /* us, if waited */
    ngx_msec_t                    expires;      /* there: no answer */
    ngx_msec_t                    deadline;     /* is not tried again */
    unsigned                      attempts:8;
    unsigned                      room:2;       /* where it is freed to */
    unsigned                      evaled:1;     /* was made an EVAL, whose
                                                   bytes are of the heap */
    unsigned                      own:1;        /* of redis/ itself: is not
                                                   counted */
};


/* Room for a command of "len" bytes and "size" of the sender's; or NULL. */

ngx_phrony_redis_command_t *ngx_phrony_redis_command(
    ngx_phrony_redis_t *redis, size_t len, size_t size);


/* Such a command, formatted.  Returns NULL if there is no memory. */

ngx_phrony_redis_command_t *ngx_phrony_redis_format(
    ngx_phrony_redis_t *redis, size_t argc, const phrony_str_t *argv,
    size_t size);


/*
 * The same for EVALSHA: argv is what follows the SHA1, beginning with the
 * number of keys.  If Redis does not have the script, its text is sent once.
 */

ngx_phrony_redis_command_t *ngx_phrony_redis_eval(ngx_phrony_redis_t *redis,
    phrony_script_id_t id, size_t argc, const phrony_str_t *argv,
    size_t size);


/*
 * Puts the command into the pipeline of its node; it leaves at the end of
 * this turn of the event loop.  Is tried again elsewhere or later, within its
 * time, only if it was surely not carried out.
 * Returns NGX_OK, or NGX_DECLINED at once if the node is not connected or
 * its queue is full: then the command is freed and its handler not called.
 */

ngx_int_t ngx_phrony_redis_send(ngx_phrony_redis_t *redis,
    ngx_phrony_redis_command_t *command);


/* Frees a command that was not sent. */

void ngx_phrony_redis_free(ngx_phrony_redis_t *redis,
    ngx_phrony_redis_command_t *command);


/* Returns 1 if a command for this slot would be taken now, else 0. */

ngx_uint_t ngx_phrony_redis_ready(ngx_phrony_redis_t *redis, ngx_uint_t slot);


/*
 * What the owner is told, outside of any command: a node has become ready
 * (each time); invalidations, if "nprefixes" is not 0: a key that begins with
 * one of the prefixes was changed, deleted, evicted or has expired, NULL
 * means any key; and since when no invalidation can have been missed, which
 * begins when the channels to all nodes stand, and ends with the first one
 * that does not: then "live" is called with 0.  A channel that does not
 * answer a PING within a second is lost.
 */

typedef struct {
    void                         *data;
    void                        (*ready)(void *data);
    ngx_uint_t                    nprefixes;
    phrony_str_t                 *prefixes;
    void                        (*invalidated)(void *data,
                                               const phrony_str_t *key);
    void                        (*live)(void *data, ngx_uint_t live);
} ngx_phrony_redis_observer_t;


/*
 * Begins to connect.  "conf" and "observer" must outlive it, as must
 * "counters".  Returns NULL if there is no memory.
 */

ngx_phrony_redis_t *ngx_phrony_redis_create(ngx_phrony_redis_conf_t *conf,
    ngx_phrony_redis_observer_t *observer,
    ngx_phrony_redis_counters_t *counters, ngx_log_t *log);


/*
 * For the end of a worker: what is queued is written as far as the sockets
 * take it, handlers are called (LOST, UNSENT), connections closed, all freed.
 */

void ngx_phrony_redis_destroy(ngx_phrony_redis_t *redis);


PHRONY_HIDDEN_END


#endif /* _NGX_PHRONY_REDIS_H_INCLUDED_ */
