
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_PHRONY_ZONE_H_INCLUDED_
#define _NGX_PHRONY_ZONE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "../core/phrony_delivery.h"
#include "../core/phrony_lease.h"
#include "../core/phrony_reason.h"
#include "../core/phrony_route.h"
#include "../core/phrony_uuid.h"
#include "../core/phrony_window.h"
#include "../redis/ngx_phrony_redis.h"
#include "ngx_phrony_store.h"
#include "ngx_phrony_verdict.h"


#define NGX_PHRONY_ZONE_MAGIC     0x5048524f4e590001
#define NGX_PHRONY_ZONE_VERSION   6

#define NGX_PHRONY_ZONE_CLASSES   16

#define NGX_PHRONY_ZONE_MIN_SIZE  (128 * 1024)


PHRONY_HIDDEN_BEGIN


/*
 * The shared memory: what every worker knows of triggers and runs.
 *
 *     root --> triggers: hash table --> trigger --> trigger ...
 *          |                               ^ |
 *          |                               | +--> share (of Redis's counts)
 *          |                               | +--> runs: a queue, of those
 *          |                               |      that hold a slot here
 *          +-> runs: hash table --------> run (bound or ended)
 *          +-> reserved: the same ------> run (reserved)
 *          |                               |
 *          +-> leases: a queue for each time to live, by expiry
 *          +-> ended, recent: queues, the least recently used last
 *          +-> cache: policy records, see ngx_phrony_cache.h
 *          +-> claims: hash table ------> claim --> stored answer
 *          +-> pending, kept: queues of claims, the oldest last
 *          +-> untold: queues of runs and shares, the oldest first
 *
 * Leases that are given the same time to live expire in the order in which
 * they are given or renewed, so that a queue for each time to live, of which
 * a configuration has few, keeps them in order at no cost.
 *
 * The hash chains are the truth: they are changed by one store of a pointer,
 * so that they are whole at any moment.  Queues, sums and numbers of leases
 * only index what the chains hold.  If a worker is killed while it holds the
 * lock, the next one to take it finds "busy" set, and makes the indices anew;
 * see ngx_phrony_zone_lock().
 *
 * A trigger needs eight times the room of a run, which a zone full of runs
 * would never have in one piece: so a part of the zone is kept for triggers.
 *
 * Nothing here points into a pool, a library or another process's memory.
 */

typedef struct ngx_phrony_trigger_s  ngx_phrony_trigger_t;
typedef struct ngx_phrony_share_s    ngx_phrony_share_t;
typedef struct ngx_phrony_run_s      ngx_phrony_run_t;
typedef struct ngx_phrony_cache_s    ngx_phrony_cache_t;
typedef struct ngx_phrony_claim_s    ngx_phrony_claim_t;


/* 1 KiB in the zone. */

struct ngx_phrony_trigger_s {
    ngx_phrony_trigger_t     *next;         /* in the hash chain */
    ngx_queue_t               queue;        /* in root->recent */
    ngx_queue_t               runs;         /* with a slot, but not untold;
                                               the longest unseen last */
    phrony_uuid_t             id;
    uint64_t                  nleases;
    uint64_t                  asked;        /* when its runs were asked for */
    uint32_t                  duration;     /* of its runs, mean, in ms; 0:
                                               none was seen to end */
    ngx_phrony_share_t       *share;        /* NULL: Redis was not asked */
    phrony_window_minute_t    rpm;
    phrony_window_minute_t    reads;
    phrony_window_day_t       rpd;
};


/* Starts that were counted while Redis was away; 1 KiB in the zone. */

typedef struct {
    phrony_window_minute_t    rpm;
    phrony_window_day_t       rpd;
} ngx_phrony_counts_t;


/*
 * A start, or a read, that Redis has refused at "since": until when one with
 * the same quotas (-1: none) is refused as well, since nothing can leave the
 * windows before, and nothing more be admitted.
 */

typedef struct {
    uint64_t                  until;        /* 0: there was none */
    uint64_t                  since;
    int64_t                   quotas[NGX_PHRONY_VERDICT_QUOTAS];
    ngx_phrony_verdict_t      verdict;
} ngx_phrony_refusal_t;


/*
 * What the zone knows of a trigger for which Redis was asked, or is to be.
 * 256 bytes in the zone.
 */

struct ngx_phrony_share_s {
    ngx_queue_t               queue;        /* in root->untold_counts */
    ngx_phrony_counts_t      *counts;       /* NULL: nothing is untold */
    phrony_uuid_t             trigger_id;
    phrony_uuid_t             workspace_id;
    phrony_uuid_t             agent_id;
    uint64_t                  nuntold;      /* runs */
    uint64_t                  elsewhere;    /* slots that Redis holds */
    uint64_t                  elsewhere_until;
    ngx_phrony_refusal_t      start;        /* the last that was refused */
    ngx_phrony_refusal_t      read;
    uint32_t                  quotas[PHRONY_LIMIT_MAX];     /* as of the last
                                               start or read, see
                                               ngx_phrony_share_quota() */
};


/*
 * 128 bytes in the zone.  A reservation is a run that has no id of its own
 * yet: its id is that of its lease.  The states are phrony_lease_state_t's.
 *
 * Where Redis decides, runs that pass through this gateway are known here
 * without a slot.  What Redis is to be told of a run is the state it is in,
 * however often it is told:
 *
 *     RESERVED  the lease holds a slot        (a slot that was taken here)
 *     BOUND     the run holds the slot of its lease, if it had one
 *     ENDED     it has ended, and so has its lease
 *     FREE      the lease, whose id this is, is given back; or, abandoned, is
 *               given back now or when the start that asked for it comes; or,
 *               if it has a "lease", it became the run with that id
 *
 * A run that holds a slot here is untold; once told, the slot is Redis's.
 */

struct ngx_phrony_run_s {
    ngx_phrony_run_t         *next;         /* in the hash chain */
    phrony_uuid_t             id;
    uint64_t                  expires;      /* ms of the store's clock */
    uint32_t                  began;        /* its low bits; 0: not known */
    uint32_t                  seen;         /* likewise */
    ngx_queue_t               queue;        /* in a class, or root->ended */
    ngx_queue_t               link;         /* in root->untold if it is that;
                                               or else in trigger->runs */
    ngx_phrony_trigger_t     *trigger;      /* NULL: no slot is held */
    phrony_lease_state_t      state;
    unsigned                  untold:1;     /* in root->untold; in no other
                                               queue if it holds no slot */
    unsigned                  has_lease:1;  /* lease_id is valid */
    unsigned                  abandoned:1;
    unsigned                  found:1;      /* among the agent's sessions */
    phrony_uuid_t             trigger_id;
    phrony_uuid_t             lease_id;     /* that Redis may know */
    uint64_t                  renewed;      /* when Redis heard of it */
};


/*
 * What is remembered of a delivery, see phrony_delivery_state_t.  256 bytes
 * in the zone, and the answer that is stored.  A claim in progress that was
 * not settled until "until" is of unknown outcome.
 */

struct ngx_phrony_claim_s {
    ngx_phrony_claim_t       *next;         /* in the hash chain */
    ngx_queue_t               queue;        /* in root->pending or ->kept */
    uint64_t                  expires;      /* ms of the store's clock */
    uint64_t                  until;
    phrony_delivery_state_t   state;
    unsigned                  doubtful:1;   /* it was UNKNOWN before */
    unsigned                  local:1;      /* granted while Redis was away */
    unsigned                  untold:1;     /* in root->untold_claims */
    u_char                   *stored;       /* NULL: none */
    size_t                    len;          /* of what is stored */
    phrony_uuid_t             owner;
    phrony_uuid_t             trigger_id;
    phrony_uuid_t             workspace_id;
    u_char                    digest[NGX_PHRONY_DIGEST_LEN];
    u_char                    fingerprint[NGX_PHRONY_DIGEST_LEN];
    ngx_queue_t               untold_queue;
};


/* Leases of one time to live; those that expire first are the last. */

typedef struct {
    uint64_t                  ttl;          /* ms */
    ngx_queue_t               queue;
} ngx_phrony_class_t;


/* Who decides on a start or a read: the label of an op that has succeeded. */

typedef enum {
    NGX_PHRONY_DECIDER_MEMORY = 0,
    NGX_PHRONY_DECIDER_REDIS,
    NGX_PHRONY_DECIDER_LOCAL,
    NGX_PHRONY_DECIDER_NONE,                /* the op has failed */
    NGX_PHRONY_DECIDER_MAX
} ngx_phrony_decider_t;


/* Counted without the lock. */

typedef struct {
    ngx_atomic_t              admitted;     /* starts, as the next one */
    ngx_atomic_t              replayed;
    ngx_atomic_t              passed[PHRONY_ROUTE_MAX];
    ngx_atomic_t              dry_run[PHRONY_ROUTE_MAX];
    ngx_atomic_t              refused[PHRONY_ROUTE_MAX][PHRONY_REASON_MAX];
    ngx_atomic_t              duplicates[PHRONY_DUPLICATE_MAX];
    ngx_atomic_t              started;      /* outcomes of starts; the last
                                               is among the unknown */
    ngx_atomic_t              declined;
    ngx_atomic_t              unreached;
    ngx_atomic_t              unknown;
    ngx_atomic_t              unbound;      /* 2xx without a usable runId */
    ngx_atomic_t              cache_hits;   /* keys whose records were here */
    ngx_atomic_t              cache_misses;
    ngx_phrony_histogram_t    decisions[NGX_PHRONY_DECIDER_MAX];
    ngx_atomic_t              asked;        /* at the upstream, by verify */
    ngx_atomic_t              asked_ended;
    ngx_atomic_t              asked_failed;
    ngx_atomic_t              logged;       /* attempts, in Redis */
    ngx_atomic_t              dropped;      /* those that may not be there */
} ngx_phrony_counters_t;


typedef enum {
    NGX_PHRONY_ZONE_CALM = 0,
    NGX_PHRONY_ZONE_INDEX,                  /* indices may be half-changed */
    NGX_PHRONY_ZONE_SLAB                    /* so may be the allocator */
} ngx_phrony_zone_busy_t;


/* What ids are made of; it outlives everything else in the zone. */

typedef struct {
    uint64_t                  seed;         /* of the hash tables */
    uint64_t                  lease_seed;   /* first half of lease ids */
    uint64_t                  last_lease;   /* second half */
    uint64_t                  last_change;  /* of a policy record */
} ngx_phrony_origin_t;


typedef struct {
    uint64_t                  magic;
    uint64_t                  version;

    volatile ngx_uint_t       busy;         /* ngx_phrony_zone_busy_t */
    ngx_phrony_run_t         *moving;       /* a run between two chains */

    ngx_phrony_origin_t       origin;

    ngx_phrony_trigger_t    **triggers;
    ngx_phrony_run_t        **runs;
    ngx_phrony_run_t        **reserved;     /* used in order, so cached */
    ngx_phrony_claim_t      **claims;
    ngx_uint_t                trigger_mask; /* chains - 1 */
    ngx_uint_t                run_mask;
    ngx_uint_t                reserved_mask;
    ngx_uint_t                claim_mask;

    ngx_phrony_cache_t       *cache;        /* policy records */

    ngx_phrony_trigger_t     *spare;        /* room for triggers */
    ngx_uint_t                nspare;
    ngx_uint_t                max_spare;

    ngx_queue_t               recent;       /* triggers */
    ngx_queue_t               ended;        /* runs without a slot, told */

    ngx_queue_t               pending;      /* claims in progress */
    ngx_queue_t               kept;         /* other claims */
    size_t                    claim_bytes;  /* of both, as allocated */
    size_t                    max_claim_bytes;

    ngx_queue_t               untold;       /* runs */
    ngx_queue_t               untold_counts;    /* shares */
    ngx_queue_t               untold_claims;
    ngx_uint_t                nuntold;      /* of all three */
    uint64_t                  longest;      /* time to live of a lease */

    ngx_uint_t                nclasses;     /* of runs with a slot */
    ngx_phrony_class_t        classes[NGX_PHRONY_ZONE_CLASSES];

    ngx_uint_t                ntriggers;
    ngx_uint_t                nleases;
    ngx_uint_t                nended;
    ngx_uint_t                nclaims;
    ngx_uint_t                evicted;
    ngx_uint_t                exhausted;
    ngx_uint_t                repaired;

    time_t                    created;      /* by the wall clock */
    ngx_phrony_counters_t     counters;
    ngx_phrony_redis_counters_t  redis;
} ngx_phrony_root_t;


/* Milliseconds that do not step back, the same in all processes. */

typedef uint64_t (*ngx_phrony_clock_pt)(void);


/* What a process keeps of a zone. */

typedef struct {
    ngx_slab_pool_t          *shpool;
    ngx_phrony_clock_pt       clock;
    uint64_t                  now;          /* when the lock was taken */
    ngx_phrony_zone_busy_t    repaired;     /* what is to be logged */
} ngx_phrony_zone_t;


/*
 * Makes the root and the tables in a fresh slab pool; zone->shpool is set.
 * Returns NGX_OK, or NGX_ERROR if the pool is too small, or OpenSSL has no
 * random bytes for the seeds.
 */

ngx_int_t ngx_phrony_zone_init(ngx_phrony_zone_t *zone);


/*
 * Makes the zone usable that a process has inherited, or got from the cycle
 * before.  Returns NGX_OK, or NGX_ERROR if its layout is not this one.
 */

ngx_int_t ngx_phrony_zone_attach(ngx_phrony_zone_t *zone);


/*
 * Takes the lock, reads the clock and returns the root.  If the last holder
 * died with the lock, the indices are made anew from the hash chains, in a
 * time that grows with what the zone holds; if it died within the allocator,
 * the zone starts empty, since nothing in it can be trusted.  Both are
 * counted, and logged by ngx_phrony_zone_unlock() after the lock is given
 * back.
 */

ngx_phrony_root_t *ngx_phrony_zone_lock(ngx_phrony_zone_t *zone);

void ngx_phrony_zone_unlock(ngx_phrony_zone_t *zone);


/*
 * Allocates and frees with the lock held.  Where there is no room, a bounded
 * number of others make it: leases that have expired, runs that have ended,
 * the longest unseen first, policy records, deliveries that are settled, the
 * oldest first, and then triggers on which nothing is counted, but not "keep",
 * for which the room is made.  A lease that runs and a count that stands, and
 * what Redis is still to be told, are never given up: then NULL is returned.
 */

void *ngx_phrony_zone_alloc(ngx_phrony_zone_t *zone, size_t size,
    ngx_phrony_trigger_t *keep);

void ngx_phrony_zone_free(ngx_phrony_zone_t *zone, void *p);

/* What the allocator takes for so many bytes. */

size_t ngx_phrony_zone_room(size_t size);


/* Allocates without giving anything up for it. */

void *ngx_phrony_zone_try_alloc(ngx_phrony_zone_t *zone, size_t size);


PHRONY_HIDDEN_END


#endif /* _NGX_PHRONY_ZONE_H_INCLUDED_ */
