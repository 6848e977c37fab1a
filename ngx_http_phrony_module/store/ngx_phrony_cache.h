
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_PHRONY_CACHE_H_INCLUDED_
#define _NGX_PHRONY_CACHE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "../core/phrony_policy_name.h"
#include "ngx_phrony_zone.h"


#define NGX_PHRONY_CACHE_NAMES  128


PHRONY_HIDDEN_BEGIN


/*
 * Policy records in the zone: the texts that Redis gave, and what it does not
 * have.  A part of the zone is theirs at most, and a part of that for what is
 * not there, so that who guesses keys drives out no key that is good.  Any of
 * them may be given up to make room.
 *
 *     chains --> record --> record ...
 *                  |
 *     texts, others: queues, the least recently used last
 *
 * The chains are the truth, as elsewhere in the zone.  All of this is called
 * with the lock held, unless it is said otherwise.
 */

typedef enum {
    NGX_PHRONY_CACHE_ABSENT = 0,            /* there is no such record */
    NGX_PHRONY_CACHE_TEXT,
    NGX_PHRONY_CACHE_LARGE,                 /* too large to be used */
    NGX_PHRONY_CACHE_ODD                    /* not a string */
} ngx_phrony_cache_state_t;


/* 128 bytes in the zone, with a text up to 36 bytes more than that. */

typedef struct ngx_phrony_cache_record_s  ngx_phrony_cache_record_t;

struct ngx_phrony_cache_record_s {
    ngx_phrony_cache_record_t    *next;     /* in the chain */
    ngx_queue_t                   queue;
    uint64_t                      version;  /* no other text's, at any time */
    uint64_t                      fetched;  /* when it was asked for, ms of
                                               the zone's clock */
    size_t                        len;
    ngx_phrony_cache_state_t      state;
    phrony_policy_name_t          name;
    u_char                        text[1];  /* len, TEXT */
};


/*
 * "epoch" and what follows it are numbers of which each is used once: a later
 * one is larger.  Whoever finds the epoch that it saw before knows that no
 * record has changed.
 */

struct ngx_phrony_cache_s {
    ngx_phrony_cache_record_t   **chains;
    ngx_uint_t                    mask;     /* chains - 1 */

    ngx_queue_t                   texts;
    ngx_queue_t                   others;
    size_t                        bytes;    /* of both, as allocated */
    size_t                        max_bytes;
    size_t                        others_bytes;
    size_t                        max_others;
    ngx_uint_t                    n[PHRONY_POLICY_NAME_KINDS];  /* texts */

    /* while somebody was told of all changes; empty if they are equal */
    uint64_t                      watched_from;
    uint64_t                      watched_until;

    volatile uint64_t             epoch;
    uint64_t                      all;      /* when all were forgotten */
    uint64_t                      names[NGX_PHRONY_CACHE_NAMES];
};


/* What Redis said of a record, and when it was asked. */

typedef struct {
    phrony_policy_name_t          name;
    ngx_phrony_cache_state_t      state;
    phrony_str_t                  text;
    uint64_t                      fetched;
} ngx_phrony_cache_found_t;


/* Makes the cache of a new zone; NULL if there is no room. */

ngx_phrony_cache_t *ngx_phrony_cache_create(ngx_slab_pool_t *shpool,
    ngx_phrony_origin_t *origin);


/* Makes queues and sums anew, after the lock's last holder was killed. */

void ngx_phrony_cache_repair(ngx_phrony_cache_t *cache);


/*
 * The record, which is the most recently used now, or NULL if it is not
 * known.
 */

ngx_phrony_cache_record_t *ngx_phrony_cache_find(ngx_phrony_root_t *root,
    const phrony_policy_name_t *name);


/*
 * Keeps what was found.  Returns the version of the text, which is the one
 * it had if it has not changed; or 0 if it is not kept: there is no room, or
 * a later answer has come before.
 */

uint64_t ngx_phrony_cache_add(ngx_phrony_zone_t *zone,
    ngx_phrony_cache_found_t *found);


/* Forgets the record, for it has changed; NULL: each of them. */

void ngx_phrony_cache_forget(ngx_phrony_zone_t *zone,
    const phrony_policy_name_t *name);


/*
 * The epoch that began when the record was last forgotten, be it known then
 * or not; or when another was, for whose sake this one is suspected.
 */

uint64_t ngx_phrony_cache_changed(ngx_phrony_root_t *root,
    const phrony_policy_name_t *name);


/* Somebody was told of all changes between the two. */

void ngx_phrony_cache_watched(ngx_phrony_root_t *root, uint64_t from,
    uint64_t until);


/* When the record, fetched then, was last known to be good. */

uint64_t ngx_phrony_cache_good(ngx_phrony_root_t *root, uint64_t fetched);


/* Gives up some that were not used for long, to make room for others. */

void ngx_phrony_cache_evict(ngx_phrony_zone_t *zone);


/* Without the lock: the number that grows with each change. */

uint64_t ngx_phrony_cache_epoch(ngx_phrony_zone_t *zone);


PHRONY_HIDDEN_END


#endif /* _NGX_PHRONY_CACHE_H_INCLUDED_ */
