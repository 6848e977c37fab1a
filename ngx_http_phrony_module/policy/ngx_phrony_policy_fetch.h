
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_PHRONY_POLICY_FETCH_H_INCLUDED_
#define _NGX_PHRONY_POLICY_FETCH_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "../core/phrony_policy_key.h"
#include "ngx_phrony_policy_built.h"


/* bytes: of a record, and of all that are a key's */

#define NGX_PHRONY_POLICY_RECORD_MAX  65536
#define NGX_PHRONY_POLICY_KEY_MAX     (4 * 1024 * 1024)


PHRONY_HIDDEN_BEGIN


/*
 * Reads the records of one key, from the zone if they are trusted there, else
 * from Redis, and builds the policy; for all who wait for it.
 *
 *     BEGIN --> KEY --> OTHERS --> DONE
 *       ^                  |
 *       +------------------+  a record has changed meanwhile
 *
 * Each is left when all commands that it sent have been answered, at once if
 * there was none to be sent.
 */

typedef enum {
    NGX_PHRONY_POLICY_FETCH_BEGIN = 0,
    NGX_PHRONY_POLICY_FETCH_KEY,
    NGX_PHRONY_POLICY_FETCH_OTHERS,
    NGX_PHRONY_POLICY_FETCH_DONE
} ngx_phrony_policy_step_t;


/* How a record came. */

typedef struct {
    ngx_phrony_cache_state_t     state;
    unsigned                     ask:1;         /* Redis is to be asked */
    unsigned                     failed:1;      /* it did not tell */
} ngx_phrony_policy_read_t;


struct ngx_phrony_policy_fetch_s {
    ngx_phrony_policy_held_t     held;          /* waiting */
    ngx_phrony_policy_fetch_t   *next;          /* in the chain */
    ngx_phrony_policy_redis_t   *policy;
    ngx_queue_t                  lookups;       /* that wait */
    u_char                       digest[PHRONY_KEY_DIGEST_LEN];

    ngx_phrony_policy_step_t     step;
    ngx_uint_t                   rounds;        /* left */
    unsigned                     linked:1;      /* others may join */
    ngx_uint_t                   pending;       /* commands */
    ngx_uint_t                   failed;        /* of reads */
    ngx_uint_t                   lost;          /* records nobody has */
    size_t                       bytes;         /* of texts */

    /* the key's record, the workspace's, the triggers' */
    ngx_uint_t                   n;
    ngx_phrony_policy_part_t    *parts;
    phrony_policy_piece_t       *pieces;        /* texts are of the heap */
    ngx_phrony_policy_read_t    *reads;

    /* the answer */
    ngx_phrony_lookup_state_t    state;
    ngx_phrony_policy_built_t   *built;         /* FOUND, INVALID; or NULL */
};


/* The fetch for this key that is under way, or NULL. */

ngx_phrony_policy_fetch_t *ngx_phrony_policy_fetch_find(
    ngx_phrony_policy_redis_t *policy,
    const u_char digest[PHRONY_KEY_DIGEST_LEN]);


/*
 * Begins one.
 *
 *     NGX_OK     lookup has the answer
 *     NGX_AGAIN  it waits
 *     NGX_ERROR  no memory
 */

ngx_int_t ngx_phrony_policy_fetch_begin(ngx_phrony_policy_redis_t *policy,
    ngx_phrony_lookup_t *lookup);


/* Lets the lookup wait for the answer as well. */

void ngx_phrony_policy_fetch_wait(ngx_phrony_policy_fetch_t *fetch,
    ngx_phrony_lookup_t *lookup);


/*
 * Goes on when nothing is pending, and if that ends it, calls the handlers of
 * those who wait, and frees it.
 */

void ngx_phrony_policy_fetch_resume(ngx_phrony_policy_fetch_t *fetch);


/* Frees those that were never answered. */

void ngx_phrony_policy_fetch_clear(ngx_phrony_policy_redis_t *policy);


PHRONY_HIDDEN_END


#endif /* _NGX_PHRONY_POLICY_FETCH_H_INCLUDED_ */
