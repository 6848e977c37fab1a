
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_HTTP_PHRONY_REQUEST_H_INCLUDED_
#define _NGX_HTTP_PHRONY_REQUEST_H_INCLUDED_


#include "ngx_http_phrony_module.h"


typedef enum {
    NGX_HTTP_PHRONY_UNDECIDED = 0,
    NGX_HTTP_PHRONY_ADMITTED,       /* a start, counted or allowed */
    NGX_HTTP_PHRONY_PASSED,         /* a request that starts nothing */
    NGX_HTTP_PHRONY_REFUSED,
    NGX_HTTP_PHRONY_DRY_RUN,        /* would have been refused, or replayed */
    NGX_HTTP_PHRONY_REPLAYED
} ngx_http_phrony_outcome_t;


/* How far steps 1 to 6 were taken; each but the last may have to wait. */

typedef enum {
    NGX_HTTP_PHRONY_STEP_BEGIN = 0,
    NGX_HTTP_PHRONY_STEP_KEY,       /* the key was asked for */
    NGX_HTTP_PHRONY_STEP_RUN,       /* so was the run, if there is one */
    NGX_HTTP_PHRONY_STEP_DONE
} ngx_http_phrony_step_t;


/* What the request waits for. */

typedef enum {
    NGX_HTTP_PHRONY_NOTHING = 0,
    NGX_HTTP_PHRONY_LOOKUP,         /* ctx->lookup */
    NGX_HTTP_PHRONY_OP,             /* ctx->op */
    NGX_HTTP_PHRONY_SUSPECTS,       /* the op of ctx->verify */
    NGX_HTTP_PHRONY_UPSTREAM        /* what ctx->verify has asked for */
} ngx_http_phrony_pending_t;


/*
 * One client request, through all its internal redirects.
 *
 *     (none) -> authorized -> [body_read] -> [asked] -> decided -> [unsettled]
 *         \          \            \                      \
 *          +----------+------------+----------------------+--> refused
 *
 * It is the data of a pool cleanup, which is the last to settle what is held.
 */

typedef struct ngx_http_phrony_ctx_s  ngx_http_phrony_ctx_t;
typedef struct ngx_http_phrony_edit_s  ngx_http_phrony_edit_t;
typedef struct ngx_http_phrony_watch_s  ngx_http_phrony_watch_t;
typedef struct ngx_http_phrony_verify_s  ngx_http_phrony_verify_t;


/* A copy of the answer to a start, as phrony_stored.h packs it. */

typedef struct {
    u_char                      *start;         /* NULL: there is none */
    u_char                      *last;
    u_char                      *end;
    size_t                       max;           /* bytes, of all */
} ngx_http_phrony_copy_t;


struct ngx_http_phrony_ctx_s {
    ngx_http_request_t          *request;
    ngx_http_phrony_loc_conf_t  *conf;      /* of the location that decided */

    phrony_route_t               route;

    /* of lookup.policy; NULL where they do not apply or are not known */

    const phrony_key_t          *key;
    const phrony_trigger_t      *trigger;

    phrony_reason_t              reason;
    ngx_http_phrony_outcome_t    outcome;

    ngx_http_phrony_step_t       step;
    ngx_http_phrony_pending_t    pending;
    ngx_phrony_lookup_t          lookup;

    unsigned                     suspended:1;   /* until the answer is there */
    unsigned                     guarded:1;     /* against termination */
    unsigned                     authorized:1;  /* steps 1 to 6, for uri */
    unsigned                     type_checked:1;    /* of the body */
    unsigned                     body_read:1;
    unsigned                     asked:1;       /* the store, in step 8 */
    unsigned                     decided:1;     /* step 8 was taken */
    unsigned                     counted:1;     /* op.limits are true */
    unsigned                     unsettled:1;   /* an admitted start */
    unsigned                     scan:1;        /* the answer is being read */
    unsigned                     whole:1;       /* it was read to its end */
    unsigned                     orphaned:1;    /* its client has gone */
    unsigned                     deciding:1;    /* step 8 waits */

    ngx_str_t                    uri;           /* that was authorised */
    ngx_uint_t                   method;

    off_t                        rest;          /* of the answer; -1 unknown */

    /* of the request's fields, gathered once */

    ngx_uint_t                   content_types;
    ngx_uint_t                   content_encodings;
    ngx_str_t                    content_type;
    ngx_table_elt_t              encodings;     /* that the client accepts */

    phrony_body_error_t          body_error;
    ngx_phrony_op_t              op;
    phrony_answer_t              answer;
    ngx_http_phrony_copy_t       copy;
    ngx_http_phrony_edit_t      *edit;          /* NULL: the answer stays as
                                                   it is */

    ngx_http_phrony_watch_t     *watch;         /* NULL: no stream of events */
    ngx_http_phrony_verify_t    *verify;        /* NULL: not begun */

    ngx_event_t                  event;         /* the answer is there */
    ngx_msec_t                   since;         /* the store was asked */
    uint64_t                     deciding_since;    /* us, if deciding */
    ngx_msec_t                   store_time;    /* waited for it in all */

    /* where a request was redirected to that had been decided on */

    ngx_http_phrony_ctx_t       *elsewhere;
};


/*
 * The context of the request, found again after an internal redirect has
 * wiped it; NULL if there is none.
 */

ngx_http_phrony_ctx_t *ngx_http_phrony_get_ctx(ngx_http_request_t *r);

/* The same, or a new one; NULL if there is no memory. */

ngx_http_phrony_ctx_t *ngx_http_phrony_create_ctx(ngx_http_request_t *r);

/* Another one, by which get_ctx() does not find the request's. */

ngx_http_phrony_ctx_t *ngx_http_phrony_other_ctx(ngx_http_request_t *r);

/*
 * Returns 1 if the answer says whether a run has ended that is known, or may
 * be one of the key's, else 0: at once, or in events.  The request has passed
 * steps 1 to 6.
 */

ngx_uint_t ngx_http_phrony_reads_status(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx);
ngx_uint_t ngx_http_phrony_reads_events(ngx_http_request_t *r,
    ngx_http_phrony_ctx_t *ctx);

/* The key's workspace; there is a key. */

const phrony_uuid_t *ngx_http_phrony_workspace_id(ngx_http_phrony_ctx_t *ctx);

/* The counters of the zone. */

ngx_phrony_counters_t *ngx_http_phrony_counters(ngx_http_request_t *r);


#endif /* _NGX_HTTP_PHRONY_REQUEST_H_INCLUDED_ */
