
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_PHRONY_STORE_H_INCLUDED_
#define _NGX_PHRONY_STORE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "../core/phrony_delivery.h"
#include "../core/phrony_lease.h"
#include "../core/phrony_limit.h"
#include "../core/phrony_uuid.h"


#define NGX_PHRONY_DIGEST_LEN        32     /* SHA-256 */

#define NGX_PHRONY_SUSPECT_MAX       4
#define NGX_PHRONY_SUSPECT_QUIET     5000   /* ms */
#define NGX_PHRONY_SUSPECT_INTERVAL  1000   /* ms */


PHRONY_HIDDEN_BEGIN


/*
 * Where counts and leases are kept.  The request side asks through this
 * interface and cannot tell which store answers, but for its label.
 */

typedef struct ngx_phrony_store_s  ngx_phrony_store_t;
typedef struct ngx_phrony_op_s     ngx_phrony_op_t;

typedef void (*ngx_phrony_op_handler_pt)(ngx_phrony_op_t *op);


/*
 * A start's delivery, as the store is asked about it, and what it answered.
 * "stored" is the packed answer (phrony_stored.h) that is to be sent again,
 * where the action is to replay it; the caller frees it by ngx_free().
 */

typedef struct {

    /* the question; nothing else counts if the mode is OFF */

    phrony_delivery_mode_t     mode;
    /* of trigger, key and id; and of the body */
    u_char                     digest[NGX_PHRONY_DIGEST_LEN];
    u_char                     fingerprint[NGX_PHRONY_DIGEST_LEN];
    ngx_msec_t                 ttl;

    /* the answer */

    phrony_delivery_action_t   action;
    phrony_duplicate_t         duplicate;
    unsigned                   claimed:1;       /* by this start */
    phrony_uuid_t              owner;           /* of the claim */
    ngx_str_t                  stored;
} ngx_phrony_delivery_t;


/* A lease that was not seen for "unseen" ms. */

typedef struct {
    phrony_uuid_t              id;
    uint64_t                   unseen;
} ngx_phrony_suspect_t;


/*
 * Leases of a trigger that were not seen for NGX_PHRONY_SUSPECT_QUIET, the
 * longest unseen first: those of runs, and those of which no run is known,
 * since the outcome of their start is not, or not yet.
 */

typedef struct {
    ngx_uint_t                 nruns;
    ngx_uint_t                 nleases;
    ngx_phrony_suspect_t       runs[NGX_PHRONY_SUSPECT_MAX];
    ngx_phrony_suspect_t       leases[NGX_PHRONY_SUSPECT_MAX];
} ngx_phrony_suspects_t;


/*
 * A question and its answer.  The caller owns it and keeps it in place until
 * the store has answered or cancel() has returned; a store that waits keeps
 * what is in flight in memory of its own.
 */

struct ngx_phrony_op_s {

    /* the question */

    phrony_uuid_t              workspace_id;    /* admit, suspect */
    phrony_uuid_t              trigger_id;      /* admit, suspect */
    phrony_uuid_t              run_id;          /* locate */
    ngx_msec_t                 reservation_ttl;
    ngx_msec_t                 run_ttl;         /* suspect */
    unsigned                   read:1;          /* count a read, not a start */
    unsigned                   local:1;         /* this gateway's memory may
                                                   decide if Redis does not */
    ngx_phrony_delivery_t      delivery;        /* admit; and its answer */

    /* the answer; "set" and "quota" of the limits are the caller's */

    unsigned                   failed:1;        /* there is none, for what was
                                                   answered with NGX_AGAIN */
    unsigned                   granted:1;       /* admit */
    unsigned                   leased:1;        /* admit: lease_id is valid */
    unsigned                   known:1;         /* locate: trigger_id is */
    phrony_uuid_t              lease_id;
    phrony_limit_t             limits[PHRONY_LIMIT_MAX];
    uint32_t                   duration;        /* admit: mean of the trigger's
                                                   runs in ms, 0: not known */
    ngx_phrony_suspects_t     *suspects;        /* suspect: the caller's */
    ngx_str_t                 *label;           /* who answered: "memory",
                                                   "redis", "local" */

    /* called once and later if, and only if, NGX_AGAIN was returned */

    ngx_phrony_op_handler_pt   handler;
    void                      *data;

    void                      *flight;          /* the store's, while it
                                                   waits */
};


/* What became of a start, or was seen of a run. */

typedef struct {
    phrony_lease_event_t       event;
    unsigned                   start:1;         /* the outcome of a start */
    unsigned                   found:1;         /* among sessions */
    unsigned                   leased:1;        /* lease_id is valid */
    unsigned                   has_run:1;       /* run_id is valid */
    phrony_uuid_t              lease_id;
    phrony_uuid_t              run_id;
    phrony_uuid_t              trigger_id;
    phrony_uuid_t              agent_id;
    phrony_uuid_t              workspace_id;
    ngx_msec_t                 run_ttl;
} ngx_phrony_settlement_t;


/*
 * What became of a start that had claimed its delivery.
 *
 *     DONE      the upstream accepted it; "stored" is its packed answer, or
 *               empty if that is not to be kept
 *     UNKNOWN   it may have been accepted
 *     FORGET    it was not: the delivery is what it was before the claim
 */

typedef enum {
    NGX_PHRONY_RECEIPT_DONE = 'D',
    NGX_PHRONY_RECEIPT_UNKNOWN = 'U',
    NGX_PHRONY_RECEIPT_FORGET = 'F'
} ngx_phrony_receipt_event_t;


typedef struct {
    ngx_phrony_receipt_event_t event;
    phrony_uuid_t              owner;
    u_char                     digest[NGX_PHRONY_DIGEST_LEN];
    u_char                     fingerprint[NGX_PHRONY_DIGEST_LEN];
    phrony_uuid_t              trigger_id;
    phrony_uuid_t              workspace_id;
    ngx_msec_t                 ttl;
    ngx_str_t                  stored;
} ngx_phrony_receipt_t;


/* Figures for people. */

typedef struct {
    ngx_uint_t                 triggers;
    ngx_uint_t                 leases;          /* reserved and bound */
    ngx_uint_t                 ended;           /* runs known, without slot */
    ngx_uint_t                 deliveries;
    ngx_uint_t                 evicted;         /* idle ones, to make room */
    ngx_uint_t                 exhausted;       /* no room even so */
    ngx_uint_t                 repaired;        /* after a worker was killed */
    ngx_uint_t                 untold;          /* what Redis is still to be
                                                   told: runs and triggers */
    size_t                     size;            /* bytes */
    size_t                     free;            /* bytes in whole pages */
    size_t                     cache;           /* bytes of policy records */
    size_t                     max_cache;
    time_t                     created;         /* the zone, wall clock */
} ngx_phrony_snapshot_t;


struct ngx_phrony_store_s {
    ngx_str_t                  label;           /* "memory" */

    /*
     * Decides on a start or a read: all of the limits that are set, or
     * nothing is counted.  A granted start holds a lease, and has claimed its
     * delivery if that is for it to do.  Before that the delivery decides: a
     * start whose action is neither to claim nor to proxy is not granted, and
     * no limit refuses it.
     *     NGX_OK        the answer is in op; op->handler is not called
     *     NGX_AGAIN     op->handler is called once, later, from an event that
     *                   may not run a request's phases; op->failed tells
     *                   whether the store was not available after all
     *     NGX_DECLINED  the store is not available; nothing was counted
     */

    ngx_int_t                (*admit)(ngx_phrony_store_t *store,
                                      ngx_phrony_op_t *op);

    /* Asks which trigger op->run_id belongs to; returns as admit does. */

    ngx_int_t                (*locate)(ngx_phrony_store_t *store,
                                       ngx_phrony_op_t *op);

    /*
     * Asks which leases of op->trigger_id may have lost their runs, as
     * admit() asks.  There are none if somebody has asked for this trigger
     * within NGX_PHRONY_SUSPECT_INTERVAL, at this gateway or another one.
     */

    ngx_int_t                (*suspect)(ngx_phrony_store_t *store,
                                        ngx_phrony_op_t *op);

    /* After it op->handler is not called; what was granted is given back. */

    void                     (*cancel)(ngx_phrony_store_t *store,
                                       ngx_phrony_op_t *op);

    /*
     * Tells the store; there is no answer.  The BIND or END of a start binds
     * its lease to the run or, if it has none, makes the run known; RELEASE
     * gives the lease back.  Otherwise SEEN and END tell of a run: SEEN
     * changes nothing if it is not known, END is remembered even so, for a
     * store that hears of its start later.  If it was "found", the run is one
     * that the upstream has, and the lease one of unknown outcome: BIND or END
     * make them one, as those of its start would, if the lease holds a slot
     * and the run was not known before; or else nothing is changed.  The
     * settlement is copied.
     */

    void                     (*settle)(ngx_phrony_store_t *store,
                                       ngx_phrony_settlement_t *settlement);

    /* Tells what became of a claim; there is no answer.  It is copied. */

    void                     (*deliver)(ngx_phrony_store_t *store,
                                        ngx_phrony_receipt_t *receipt);

    void                     (*snapshot)(ngx_phrony_store_t *store,
                                         ngx_phrony_snapshot_t *snapshot);
};


PHRONY_HIDDEN_END


#endif /* _NGX_PHRONY_STORE_H_INCLUDED_ */
