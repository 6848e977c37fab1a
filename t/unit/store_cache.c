
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


/* sources: ngx_http_phrony_module/store/ ngx_http_phrony_module/redis/
            nginx */


#include "store.h"

#include "ngx_phrony_cache.h"


/*
 * Policy records in the zone: what is kept and what is given up for it, and
 * what is left when a process that was changing them is killed.
 */


static void test_versions(void);
static void test_bounds(void);
static void test_others(void);
static void test_full(void);
static void test_large(void);
static void test_watched(void);
static void test_killed(void);
static void test_begun_anew(void);
static void work(unsigned n);
static uint64_t add(uint64_t name, size_t len, int ch);
static uint64_t add_at(uint64_t name, size_t len, int ch, uint64_t fetched);
static void forget(uint64_t name);
static ngx_phrony_cache_record_t *find(uint64_t name);
static phrony_policy_name_t name_of(uint64_t n);
static int sound(void);
static size_t room_of(size_t size);
static int fill_with_runs(void);
static void end_run(ngx_phrony_op_t *op, uint64_t run);


int
main(void)
{
    test_versions();
    test_bounds();
    test_others();
    test_full();
    test_large();
    test_watched();
    test_killed();
    test_begun_anew();

    return done();
}


static void
test_versions(void)
{
    uint64_t               first, second, epoch;
    phrony_policy_name_t   name;

    store_open(256 * 1024);

    name = name_of(1);
    epoch = ngx_phrony_cache_epoch(&zone);

    first = add(1, 100, 'a');
    ok(first != 0, "a record has a version");
    is_int(ngx_phrony_cache_epoch(&zone), epoch, "nothing has changed by it");

    store_now += 10;
    is_int(add(1, 100, 'a'), first, "the same text is the same version");
    is_int(find(1)->fetched, store_now, "which was fetched later");
    is_int(add_at(1, 100, 'a', store_now - 5), first, "and earlier");
    is_int(find(1)->fetched, store_now, "but the last time counts");
    is_int(ngx_phrony_cache_epoch(&zone), epoch, "nothing has changed");

    is_int(add_at(1, 100, 'b', store_now - 5), 0,
           "an answer that was overtaken is not kept");
    is_int(find(1)->version, first, "instead of the later one");

    second = add(1, 100, 'b');
    ok(second > first, "another text is another version");
    ok(ngx_phrony_cache_epoch(&zone) > epoch, "and a change");
    ok(ngx_phrony_cache_changed(store_root(), &name) > epoch, "of this name");
    is_int(find(1)->text[99], 'b', "the text is there");
    is_int(store_root()->cache->n[PHRONY_POLICY_NAME_TRIGGER], 1, "once");

    epoch = ngx_phrony_cache_epoch(&zone);
    forget(1);
    ok(find(1) == NULL, "it is forgotten");
    is_int(ngx_phrony_cache_changed(store_root(), &name),
           ngx_phrony_cache_epoch(&zone), "which is the last change");
    ok(ngx_phrony_cache_epoch(&zone) > epoch, "a new one");

    ok(add(1, 100, 'b') > second, "and has a new version then");

    epoch = ngx_phrony_cache_epoch(&zone);
    forget(2);
    ok(ngx_phrony_cache_epoch(&zone) > epoch,
       "one that was not known is forgotten as well");

    epoch = ngx_phrony_cache_epoch(&zone);
    (void) ngx_phrony_zone_lock(&zone);
    ngx_phrony_cache_forget(&zone, NULL);
    ngx_phrony_zone_unlock(&zone);
    ok(find(1) == NULL, "as are all");
    ok(ngx_phrony_cache_changed(store_root(), &name) > epoch,
       "each of them has changed");
    is_int(store_root()->cache->bytes, 0, "none is left");
    ok(sound(), "the indices agree");

    store_close();
}


static void
test_bounds(void)
{
    uint64_t             i;
    ngx_phrony_cache_t  *cache;

    store_open(256 * 1024);
    cache = store_root()->cache;

    for (i = 0; i < 1000; i++) {
        (void) add(i, 200, 'a');
        (void) find(0);
    }

    ok(cache->bytes <= 56 * 1024 && cache->bytes >= 55 * 1024,
       "records take %d bytes of the zone at most", (int) cache->bytes);
    ok(find(0) != NULL, "one that is used stays");
    ok(find(999) != NULL, "as does the last");
    ok(find(1) == NULL, "the one that was not used for long has gone");
    ok(sound(), "the indices agree");

    (void) ngx_phrony_zone_lock(&zone);
    ngx_phrony_cache_evict(&zone);
    ngx_phrony_zone_unlock(&zone);

    ok(cache->bytes <= 56 * 1024 - 64 * 512, "some are given up for others");
    ok(sound(), "the indices agree");

    store_close();
}


/* What is not there takes no room from what is. */

static void
test_others(void)
{
    uint64_t             i, texts;
    ngx_phrony_cache_t  *cache;

    store_open(256 * 1024);
    cache = store_root()->cache;

    for (i = 0; i < 1000; i++) {
        (void) add(i, 200, 'a');
    }

    texts = cache->n[PHRONY_POLICY_NAME_TRIGGER];
    ok(texts > 100, "%d texts fill their part", (int) texts);

    for (i = 10000; i < 20000; i++) {
        (void) add(i, 0, 0);
    }

    is_int(cache->n[PHRONY_POLICY_NAME_TRIGGER], texts,
           "names without a record take nothing of it");
    ok(cache->others_bytes <= 8 * 1024, "%d bytes at most",
       (int) cache->others_bytes);
    ok(find(999) != NULL, "those that were used are there");
    ok(find(19999) != NULL, "as are the last without a record");
    ok(sound(), "the indices agree");

    store_close();
}


/* Between runs that go on, and runs that have ended. */

static void
test_full(void)
{
    int              n;
    uint64_t         i;
    ngx_phrony_op_t  op;

    store_open(256 * 1024);
    n = fill_with_runs();

    ok(n > 500, "%d runs that go on fill the zone", n);
    is_int(add(1, 100, 'a'), 0, "then nothing is kept");
    is_int(add(1, 0, 0), 0, "of any kind");
    is_int(store_root()->nleases, n, "and no run is forgotten");

    store_close();

    store_open(256 * 1024);

    for (i = 0; i < 200; i++) {
        (void) add(i, 100, 'a');
    }

    n = fill_with_runs();
    ok(find(0) == NULL, "runs take the room of records");
    ok(sound(), "the indices agree");
    store_close();

    store_open(256 * 1024);

    for (i = 0; i < 3000; i++) {
        memset(&op, 0, sizeof(op));
        op.trigger_id = store_uuid(1);
        op.reservation_ttl = 20000;
        op.limits[PHRONY_LIMIT_RUNS].set = 1;
        op.limits[PHRONY_LIMIT_RUNS].quota = 100000;
        (void) store->admit(store, &op);
        end_run(&op, 100000 + i);
    }

    ok(store_root()->evicted > 100, "the zone is full of runs that ended");
    i = store_root()->nended;

    for (n = 0; n < 200; n++) {
        (void) add(1000 + (uint64_t) n, 0, 0);
    }

    is_int(store_root()->nended, i, "what is not there takes none's room");

    (void) add(1, 3000, 'a');
    (void) add(2, 3000, 'a');
    (void) add(3, 3000, 'a');
    is_int(store_root()->nended, i, "nor does what is large");
    ok(find(3) == NULL, "which finds none");

    for (n = 0; n < 20; n++) {
        (void) add((uint64_t) n, 1000, 'a');
    }

    is_int(store_root()->cache->n[PHRONY_POLICY_NAME_TRIGGER], 20,
           "all texts find room");
    ok(store_root()->nended < i, "which was that of runs");
    ok(sound() && store_sound(), "the indices agree");

    store_close();
}


static void
test_large(void)
{
    uint64_t  i, n;

    store_open(256 * 1024);

    for (i = 0; i < 1000; i++) {
        (void) add(i, 100, 'a');
    }

    n = store_root()->cache->n[PHRONY_POLICY_NAME_TRIGGER];

    is_int(add(2000, 9000, 'a'), 0, "a large record is not kept");
    is_int(add(2001, 70000, 'a'), 0, "nor one larger than all their part");
    is_int(store_root()->cache->n[PHRONY_POLICY_NAME_TRIGGER], n,
           "no other is given up for them");

    ok(add(2002, 3000, 'a') != 0, "one that is not so large is");
    ok(store_root()->cache->n[PHRONY_POLICY_NAME_TRIGGER] >= n - 63,
       "for some others");
    ok(sound(), "the indices agree");
    store_close();

    store_open(4 * 1024 * 1024);
    ok(add(1, 60000, 'a') != 0, "in a larger zone");
    is_int(store_root()->cache->bytes, 61440, "it takes whole pages");
    ok(add(2, 1, 'b') != 0 && find(2)->text[0] == 'b', "a small one");
    is_int(store_root()->cache->bytes, 61440 + 128, "takes the least");
    ok(find(1)->len == 60000 && find(1)->text[59999] == 'a', "both whole");
    store_close();
}


static void
test_watched(void)
{
    ngx_phrony_root_t  *root;

    store_open(256 * 1024);
    root = store_root();

    is_int(ngx_phrony_cache_good(root, 100), 100, "nobody was told");

    ngx_phrony_cache_watched(root, 50, 200);
    is_int(ngx_phrony_cache_good(root, 100), 200, "it was good until then");
    is_int(ngx_phrony_cache_good(root, 50), 50, "not known");
    is_int(ngx_phrony_cache_good(root, 300), 300, "it is later");

    ngx_phrony_cache_watched(root, 150, 400);
    is_int(ngx_phrony_cache_good(root, 100), 400, "one follows another");

    ngx_phrony_cache_watched(root, 10, 60);
    is_int(ngx_phrony_cache_good(root, 20), 400, "or is followed");

    ngx_phrony_cache_watched(root, 1, 5);
    is_int(ngx_phrony_cache_good(root, 100), 400, "one long ago");
    is_int(ngx_phrony_cache_good(root, 3), 3, "is none any more");

    ngx_phrony_cache_watched(root, 500, 600);
    is_int(ngx_phrony_cache_good(root, 550), 600, "the last one counts");
    is_int(ngx_phrony_cache_good(root, 100), 100, "alone");

    store_close();
}


static void
test_killed(void)
{
    int    i, status, agree;
    pid_t  pid;

    store_open(512 * 1024);

    agree = 1;

    for (i = 0; i < 300 && agree; i++) {

        pid = fork();

        if (pid == 0) {
            ngx_pid = getpid();
            random_seed += (uint64_t) i * 7919;

            for ( ;; ) {
                work(1);
            }
        }

        usleep(200 + random_below(2000));

        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);

        (void) ngx_shmtx_force_unlock(&zone.shpool->mutex, pid);

        agree = sound();

        work(20);

        agree &= sound();
    }

    ok(agree, "after each of %d kills the indices agree", i);
    ok(store_root()->repaired > 10, "%d kills came within a change",
       (int) store_root()->repaired);

    store_close();
}


/* Who has seen the zone before must not take a record for an old one. */

static void
test_begun_anew(void)
{
    int                   i;
    uint64_t              version, epoch;
    phrony_policy_name_t  name;

    for (i = 0; i < 2; i++) {
        store_open(256 * 1024);

        work(1000);
        version = add(1, 100, 'a');
        epoch = ngx_phrony_cache_epoch(&zone);

        if (i) {
            store_root()->magic = 0;

        } else {
            store_root()->busy = NGX_PHRONY_ZONE_SLAB;
        }

        name = name_of(1);
        (void) ngx_phrony_zone_lock(&zone);
        ngx_phrony_zone_unlock(&zone);

        ok(find(1) == NULL, "a zone that begins anew is empty");
        ok(ngx_phrony_cache_epoch(&zone) != epoch, "its epoch is another");
        ok(add(1, 100, 'a') != version, "as is each version");

        if (i == 0) {
            ok(ngx_phrony_cache_changed(store_root(), &name) > epoch,
               "all have changed");
        }

        ok(sound(), "the indices agree");

        store_close();
    }
}


static void
work(unsigned n)
{
    unsigned  i;

    for (i = 0; i < n; i++) {

        switch (random_below(6)) {

        case 0:
            forget(random_below(200));
            break;

        case 1:
            (void) find(random_below(200));
            break;

        case 2:
            (void) add(random_below(200), 0, 0);
            break;

        default:
            (void) add(random_below(200),
                       random_below(random_below(10) ? 1000 : 5000) + 1,
                       'a' + (int) random_below(2));
            break;
        }

        if (random_below(1000) == 0) {
            (void) ngx_phrony_zone_lock(&zone);
            ngx_phrony_cache_forget(&zone, NULL);
            ngx_phrony_zone_unlock(&zone);
        }
    }
}


/* A text of "len" times "ch", or, if there is no length, none. */

static uint64_t
add(uint64_t name, size_t len, int ch)
{
    return add_at(name, len, ch, store_now);
}


static uint64_t
add_at(uint64_t name, size_t len, int ch, uint64_t fetched)
{
    uint64_t                   version;
    static u_char              text[80000];
    ngx_phrony_cache_found_t   found;

    memset(text, ch, len);

    found.name = name_of(name);
    found.state = len ? NGX_PHRONY_CACHE_TEXT : NGX_PHRONY_CACHE_ABSENT;
    found.text.data = len ? text : NULL;
    found.text.len = len;
    found.fetched = fetched;

    (void) ngx_phrony_zone_lock(&zone);
    version = ngx_phrony_cache_add(&zone, &found);
    ngx_phrony_zone_unlock(&zone);

    return version;
}


static void
forget(uint64_t n)
{
    phrony_policy_name_t  name;

    name = name_of(n);

    (void) ngx_phrony_zone_lock(&zone);
    ngx_phrony_cache_forget(&zone, &name);
    ngx_phrony_zone_unlock(&zone);
}


static ngx_phrony_cache_record_t *
find(uint64_t n)
{
    phrony_policy_name_t        name;
    ngx_phrony_cache_record_t  *record;

    name = name_of(n);

    record = ngx_phrony_cache_find(ngx_phrony_zone_lock(&zone), &name);
    ngx_phrony_zone_unlock(&zone);

    return record;
}


static phrony_policy_name_t
name_of(uint64_t n)
{
    phrony_uuid_t         id;
    phrony_policy_name_t  name;

    id = store_uuid(n);
    phrony_policy_name_uuid(&name, PHRONY_POLICY_NAME_TRIGGER, &id);

    return name;
}


/* Holds queues and sums against the chains. */

static int
sound(void)
{
    int                         agree;
    size_t                      bytes, others, room;
    ngx_uint_t                  i, n, texts, queued;
    ngx_queue_t                *q;
    ngx_phrony_cache_t         *cache;
    ngx_phrony_cache_record_t  *record;

    cache = ngx_phrony_zone_lock(&zone)->cache;

    bytes = 0;
    others = 0;
    n = 0;
    texts = 0;
    queued = 0;

    for (i = 0; i <= cache->mask; i++) {
        for (record = cache->chains[i]; record; record = record->next) {

            room = room_of(offsetof(ngx_phrony_cache_record_t, text)
                           + record->len);
            bytes += room;
            n++;

            if (record->state == NGX_PHRONY_CACHE_TEXT) {
                texts++;

            } else {
                others += room;
            }
        }
    }

    for (q = ngx_queue_head(&cache->texts);
         q != ngx_queue_sentinel(&cache->texts); q = ngx_queue_next(q))
    {
        queued++;
    }

    for (q = ngx_queue_head(&cache->others);
         q != ngx_queue_sentinel(&cache->others); q = ngx_queue_next(q))
    {
        queued++;
    }

    agree = bytes == cache->bytes && others == cache->others_bytes
            && n == queued && texts == cache->n[PHRONY_POLICY_NAME_TRIGGER]
            && cache->bytes <= cache->max_bytes
            && cache->others_bytes <= cache->max_others;

    if (!agree) {
        printf("# bytes %d %d, others %d %d, records %d %d, texts %d %d\n",
               (int) bytes, (int) cache->bytes, (int) others,
               (int) cache->others_bytes, (int) n, (int) queued, (int) texts,
               (int) cache->n[PHRONY_POLICY_NAME_TRIGGER]);
    }

    ngx_phrony_zone_unlock(&zone);

    return agree;
}


/* The allocator's pages are of 4096 bytes, or whatever they are. */

static size_t
room_of(size_t size)
{
    size_t  room;

    if (size > ngx_pagesize / 2) {
        return (size + ngx_pagesize - 1) / ngx_pagesize * ngx_pagesize;
    }

    room = 128;

    while (room < size) {
        room += room;
    }

    return room;
}


/* Returns how many there are. */

static int
fill_with_runs(void)
{
    int              n;
    ngx_phrony_op_t  op;

    for (n = 0; n < 10000; n++) {
        memset(&op, 0, sizeof(op));

        op.trigger_id = store_uuid(1);
        op.reservation_ttl = 20000000;
        op.limits[PHRONY_LIMIT_RUNS].set = 1;
        op.limits[PHRONY_LIMIT_RUNS].quota = 100000;

        if (store->admit(store, &op) != NGX_OK || !op.granted) {
            break;
        }
    }

    return n;
}


static void
end_run(ngx_phrony_op_t *op, uint64_t run)
{
    ngx_phrony_settlement_t  s;

    memset(&s, 0, sizeof(s));

    s.event = PHRONY_LEASE_END;
    s.start = 1;
    s.leased = op->leased;
    s.lease_id = op->lease_id;
    s.trigger_id = op->trigger_id;
    s.has_run = 1;
    s.run_id = store_uuid(run);
    s.run_ttl = 30000000;

    store->settle(store, &s);
}
