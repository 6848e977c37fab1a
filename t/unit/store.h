
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef STORE_H_
#define STORE_H_


/* A memory store in shared memory of this process and those it forks. */


#include <ngx_config.h>
#include <ngx_core.h>

#include <sys/mman.h>
#include <sys/wait.h>

#include "test.h"

#include "ngx_phrony_run.h"
#include "ngx_phrony_store_memory.h"
#include "ngx_phrony_trigger.h"


static void                  store_open(size_t size) TEST_UNUSED;
static void                  store_close(void) TEST_UNUSED;
static uint64_t              store_clock(void);
static ngx_phrony_root_t    *store_root(void) TEST_UNUSED;
static int                   store_sound(void) TEST_UNUSED;
static int                   store_sound_slots(ngx_phrony_root_t *root);
static int                   store_sound_untold(ngx_phrony_root_t *root);
static int                   store_sound_claims(ngx_phrony_root_t *root);
static int                   store_sound_run(ngx_phrony_run_t *run,
    int reserved);
static phrony_uuid_t         store_uuid(uint64_t n) TEST_UNUSED;


static ngx_phrony_zone_t           zone;
static ngx_phrony_store_memory_t   memory;
static ngx_phrony_store_t         *store;
static size_t                      store_size;
static uint64_t                    store_now = 1000000000;


static void
store_open(size_t size)
{
    u_char                *addr;
    ngx_slab_pool_t       *sp;
    static ngx_log_t       log;
    static ngx_cycle_t     cycle;
    static ngx_open_file_t file;

    if (ngx_cycle == NULL) {
        file.fd = NGX_INVALID_FILE;
        log.file = &file;
        cycle.log = &log;
        ngx_cycle = &cycle;

        (void) ngx_time_init();

        ngx_pid = getpid();
        ngx_ncpu = 2;
        ngx_pagesize = getpagesize();

        for (ngx_pagesize_shift = 0;
             (ngx_pagesize >> ngx_pagesize_shift) > 1;
             ngx_pagesize_shift++)
        {
            /* void */
        }

        ngx_slab_sizes_init();
    }

    addr = mmap(NULL, size, PROT_READ|PROT_WRITE, MAP_ANON|MAP_SHARED, -1, 0);

    if (addr == MAP_FAILED) {
        abort();
    }

    sp = (ngx_slab_pool_t *) addr;
    sp->end = addr + size;
    sp->min_shift = 3;
    sp->addr = addr;

    if (ngx_shmtx_create(&sp->mutex, &sp->lock, NULL) != NGX_OK) {
        abort();
    }

    ngx_slab_init(sp);

    memset(&zone, 0, sizeof(zone));
    zone.shpool = sp;
    zone.clock = store_clock;

    if (ngx_phrony_zone_init(&zone) != NGX_OK) {
        abort();
    }

    ngx_phrony_store_memory_init(&memory, &zone);
    store = &memory.store;
    store_size = size;
}


static void
store_close(void)
{
    munmap(zone.shpool, store_size);
}


static uint64_t
store_clock(void)
{
    return store_now;
}


static ngx_phrony_root_t *
store_root(void)
{
    return zone.shpool->data;
}


/* Holds every index of the zone against the hash chains. */

static int
store_sound(void)
{
    uint64_t               leases, ended, sum, all_leases, last;
    ngx_uint_t             i, j, ntriggers, queued;
    ngx_queue_t           *q;
    ngx_phrony_run_t      *run;
    ngx_phrony_root_t     *root;
    ngx_phrony_trigger_t  *trigger;

    root = ngx_phrony_zone_lock(&zone);

    leases = 0;
    ended = 0;

    for (i = 0; i <= root->run_mask + 1 + root->reserved_mask; i++) {

        run = (i <= root->run_mask)
              ? root->runs[i] : root->reserved[i - root->run_mask - 1];

        for ( /* void */ ; run; run = run->next) {

            if (!store_sound_run(run, i > root->run_mask)) {
                printf("# state %d, slot %d, reserved %d\n", run->state,
                       run->trigger != NULL, i > root->run_mask);
                goto unsound;
            }

            leases += run->trigger != NULL;
            ended += run->trigger == NULL && !run->untold;
        }
    }

    ntriggers = 0;
    all_leases = 0;

    for (i = 0; i <= root->trigger_mask; i++) {
        for (trigger = root->triggers[i]; trigger; trigger = trigger->next) {
            ntriggers++;
            all_leases += trigger->nleases;

            sum = 0;

            for (j = 0; j < PHRONY_MINUTE_PLACES; j++) {
                sum += trigger->rpm.ring[j];
            }

            if (sum != trigger->rpm.window.sum) {
                goto unsound;
            }
        }
    }

    queued = 0;

    for (i = 0; i < root->nclasses; i++) {
        last = 0;

        for (q = ngx_queue_last(&root->classes[i].queue);
             q != ngx_queue_sentinel(&root->classes[i].queue);
             q = ngx_queue_prev(q))
        {
            run = ngx_queue_data(q, ngx_phrony_run_t, queue);
            queued++;

            if (run->expires < last) {
                printf("# class %d is not in order\n", (int) i);
                goto unsound;
            }

            last = run->expires;
        }
    }

    if (leases != root->nleases || ended != root->nended
        || queued != leases || all_leases != leases
        || ntriggers != root->ntriggers)
    {
        printf("# leases %d %d %d %d, ended %d %d, triggers %d %d\n",
               (int) leases, (int) root->nleases, (int) queued,
               (int) all_leases, (int) ended,
               (int) root->nended, (int) ntriggers, (int) root->ntriggers);
        goto unsound;
    }

    if (!store_sound_slots(root) || !store_sound_untold(root)
        || !store_sound_claims(root))
    {
        goto unsound;
    }

    ngx_phrony_zone_unlock(&zone);

    return 1;

unsound:

    ngx_phrony_zone_unlock(&zone);

    return 0;
}


static int
store_sound_run(ngx_phrony_run_t *run, int reserved)
{
    if (reserved != (run->state == PHRONY_LEASE_RESERVED)
        && run->state != PHRONY_LEASE_FREE)
    {
        return 0;
    }

    if (run->trigger) {
        return phrony_lease_holds_slot(run->state)
               && phrony_uuid_eq(&run->trigger->id, &run->trigger_id);
    }

    return 1;
}


/*
 * Each run with a slot that is not untold is in its trigger's queue, once: as
 * many are in the queues as there are, and none is met twice.
 */

static int
store_sound_slots(ngx_phrony_root_t *root)
{
    uint64_t               n;
    ngx_uint_t             i;
    ngx_queue_t           *q, *runs;
    ngx_phrony_run_t      *run;
    ngx_phrony_trigger_t  *trigger;

    n = 0;

    for (i = 0; i <= root->run_mask + 1 + root->reserved_mask; i++) {

        run = (i <= root->run_mask)
              ? root->runs[i] : root->reserved[i - root->run_mask - 1];

        for ( /* void */ ; run; run = run->next) {
            n += run->trigger && !run->untold;
        }
    }

    for (i = 0; i <= root->trigger_mask; i++) {
        for (trigger = root->triggers[i]; trigger; trigger = trigger->next) {

            runs = &trigger->runs;

            for (q = ngx_queue_head(runs); q != runs; q = ngx_queue_next(q)) {
                run = ngx_queue_data(q, ngx_phrony_run_t, link);

                if (n-- == 0 || q->next->prev != q
                    || run->trigger != trigger || run->untold
                    || ngx_phrony_run_find(root, &run->id) != run)
                {
                    printf("# the queue of a trigger's runs\n");
                    return 0;
                }
            }
        }
    }

    if (n != 0) {
        printf("# %d runs are in no queue\n", (int) n);
    }

    return n == 0;
}


/* Each run that is flagged is queued once, and its trigger has a share. */

static int
store_sound_untold(ngx_phrony_root_t *root)
{
    uint64_t               n, of_shares, counts, claims;
    ngx_uint_t             i;
    ngx_queue_t           *q;
    ngx_phrony_run_t      *run;
    ngx_phrony_trigger_t  *trigger;

    n = 0;
    counts = 0;
    of_shares = 0;

    for (q = ngx_queue_head(&root->untold);
         q != ngx_queue_sentinel(&root->untold);
         q = ngx_queue_next(q))
    {
        run = ngx_queue_data(q, ngx_phrony_run_t, link);
        n++;

        if (!run->untold
            || ngx_phrony_run_find(root, &run->id) != run
            || ngx_phrony_trigger_find(root, &run->trigger_id) == NULL)
        {
            return 0;
        }
    }

    for (i = 0; i <= root->run_mask + 1 + root->reserved_mask; i++) {

        run = (i <= root->run_mask)
              ? root->runs[i] : root->reserved[i - root->run_mask - 1];

        for ( /* void */ ; run; run = run->next) {
            n -= run->untold;
        }
    }

    for (i = 0; i <= root->trigger_mask; i++) {
        for (trigger = root->triggers[i]; trigger; trigger = trigger->next) {

            if (trigger->share) {
                of_shares += trigger->share->nuntold;
                counts += trigger->share->counts != NULL;
            }
        }
    }

    claims = 0;

    for (q = ngx_queue_head(&root->untold_claims);
         q != ngx_queue_sentinel(&root->untold_claims);
         q = ngx_queue_next(q))
    {
        claims++;
    }

    if (n != 0 || of_shares + counts + claims != root->nuntold) {
        printf("# untold %d, %d, %d and %d of %d\n", (int) n,
               (int) of_shares, (int) counts, (int) claims,
               (int) root->nuntold);
        return 0;
    }

    for (q = ngx_queue_head(&root->untold_counts);
         q != ngx_queue_sentinel(&root->untold_counts);
         q = ngx_queue_next(q))
    {
        counts--;
    }

    return counts == 0;
}


/* Each claim is in the queue of its state once, and counted. */

static int
store_sound_claims(ngx_phrony_root_t *root)
{
    uint64_t             n, pending, untold;
    ngx_uint_t           i;
    ngx_queue_t         *q;
    ngx_phrony_claim_t  *claim;

    n = 0;
    pending = 0;
    untold = 0;

    for (i = 0; i <= root->claim_mask; i++) {
        for (claim = root->claims[i]; claim; claim = claim->next) {
            n++;
            pending += claim->state == PHRONY_DELIVERY_PROGRESS;
            untold += claim->untold;
        }
    }

    if (n != root->nclaims) {
        printf("# claims %d of %d\n", (int) n, (int) root->nclaims);
        return 0;
    }

    n -= pending;

    for (q = ngx_queue_head(&root->pending);
         q != ngx_queue_sentinel(&root->pending);
         q = ngx_queue_next(q))
    {
        pending--;
    }

    for (q = ngx_queue_head(&root->kept);
         q != ngx_queue_sentinel(&root->kept);
         q = ngx_queue_next(q))
    {
        n--;
    }

    for (q = ngx_queue_head(&root->untold_claims);
         q != ngx_queue_sentinel(&root->untold_claims);
         q = ngx_queue_next(q))
    {
        untold--;
    }

    return n == 0 && pending == 0 && untold == 0;
}


static phrony_uuid_t
store_uuid(uint64_t n)
{
    phrony_uuid_t  uuid;

    memset(&uuid, 0x5a, sizeof(uuid));
    memcpy(uuid.bytes, &n, sizeof(n));

    return uuid;
}


#endif /* STORE_H_ */
