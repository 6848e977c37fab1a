
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


/* sources: ngx_http_phrony_module/policy/ ngx_http_phrony_module/store/
            nginx */


#include "policy_redis.h"


/*
 * Three workers, and records that change all the time; commands, replies,
 * losses and the news of changes come in any order.  Of each answer it is
 * known which state of each record it was made of, and so whether it may have
 * been given:
 *
 *   - not after somebody had been told that this state is no more, before it
 *     was asked for;
 *   - not if that was longer ago than the cache's time, or, if there was a
 *     failure, than the time for that;
 *   - and that nobody can tell, only if there was a failure.
 */

#define KEYS      5
#define TRIGGERS  3
#define ALL       (KEYS + TRIGGERS)
#define CHANGES   4000
#define WAITING   40
#define DELAY     500                   /* ms until everybody is told */
#define ANSWER    100                   /* ms until a command is answered */
#define FETCH     (6 * ANSWER)          /* two of them, three times */
#define STALE     20000


/* A state of a record, from this step on. */

typedef struct {
    long                  step;
    uint64_t              time;
    int                   absent;
    unsigned              trigger;      /* of a key's scope */
} change_t;


typedef struct {
    int                   record;       /* -1: all */
    long                  step;
    uint64_t              time;
} news_t;


typedef struct {
    asked_t               asked;
    int                   used;
    int                   worker;
    unsigned              key;
    int                   failure;      /* there was one since */
    uint64_t              time;
    long                  told[ALL];    /* the last changes somebody knew */
} wait_t;


static void run(uint64_t seed, size_t max_bytes);
static void step(void);
static void change(void);
static void change_record(int record, int absent);
static void news(int worker, int record);
static void tell(int worker, int all);
static void pass(uint64_t ms);
static void lose(int worker);
static void look(int worker);
static void judge(wait_t *wait);
static void judge_record(wait_t *wait, int record, long n);
static void wrong(wait_t *wait, const char *what, int record, long n);
static void failure(int worker);
static unsigned number(const unsigned char *id);


static change_t   changes[ALL][CHANGES];
static long       nchanges[ALL];
static news_t     queues[WORKERS][NEWS];
static size_t     queued[WORKERS];
static wait_t     waits[WAITING];
static long       told[ALL];
static long       now;
static int        mistakes;
static int        answers, unknown, unavailable, clean;


int
main(void)
{
    int  i;

    for (i = 0; i < 12; i++) {
        run(1000 + (uint64_t) i, i % 3 == 2 ? 1500 : 0);
    }

    is_int(mistakes, 0, "no answer was given that might not have been");
    ok(clean > 10000, "of %d answers, %d without a failure", answers, clean);
    ok(unknown > 100 && unavailable > 100,
       "%d of a key that was not there, %d that nobody could give", unknown,
       unavailable);

    return done();
}


static void
run(uint64_t seed, size_t max_bytes)
{
    int  i;

    random_seed = seed * 0x9e3779b97f4a7c15ULL;
    redis_open(256 * 1024);
    store_root()->origin.seed = seed;

    if (max_bytes) {
        store_root()->cache->max_bytes = max_bytes;
    }

    memset(nchanges, 0, sizeof(nchanges));
    memset(queued, 0, sizeof(queued));
    memset(told, 0, sizeof(told));
    memset(waits, 0, sizeof(waits));

    now = 0;

    redis_put(workspace_name(), WS1);

    for (i = 0; i < ALL; i++) {
        change_record(i, 0);
    }

    for (i = 0; i < WORKERS; i++) {
        policy[i].stale = STALE;
    }

    for (now = 1; now < 30000 && !mistakes; now++) {
        step();
    }

    for (i = 0; i < WAITING; i++) {
        if (waits[i].used) {
            failure(waits[i].worker);
            redis_fail(waits[i].worker, NGX_PHRONY_REDIS_LOST);
            judge(&waits[i]);
            release(&waits[i].asked, waits[i].worker);
        }
    }

    redis_close();
}


static void
step(void)
{
    int  worker, i;

    worker = (int) random_below(WORKERS);

    switch (random_below(20)) {

    case 0:
        change();
        break;

    case 1:
        pass(random_below(random_below(10) ? 50 : 3000));
        break;

    case 2:
    case 3:
        tell(worker, 0);
        break;

    case 4:
        if (random_below(10) == 0) {
            lose(worker);
        }

        break;

    case 5:
        if (random_below(20) == 0) {
            failure(worker);
            redis_fail(worker, random_below(2) ? NGX_PHRONY_REDIS_LOST
                                               : NGX_PHRONY_REDIS_UNSENT);
        }

        break;

    case 6:
        if (random_below(20) == 0) {
            redis[worker].ready = !redis[worker].ready;
            failure(worker);
            redis_fail(worker, NGX_PHRONY_REDIS_LOST);
        }

        break;

    case 7:
    case 8:
    case 9:
    case 10:
        redis_execute(worker, 1 + random_below(3));
        break;

    case 11:
    case 12:
    case 13:
    case 14:
        if (redis[worker].nsent) {
            redis_reply(worker);
        }

        break;

    default:
        look(worker);
        break;
    }

    for (i = 0; i < WAITING; i++) {

        if (waits[i].used && waits[i].asked.called) {
            judge(&waits[i]);
            release(&waits[i].asked, waits[i].worker);
            waits[i].used = 0;

        } else if (waits[i].used && random_below(500) == 0) {
            release(&waits[i].asked, waits[i].worker);
            waits[i].used = 0;
        }
    }
}


static void
change(void)
{
    int  record, worker;

    record = (int) random_below(ALL);

    if (nchanges[record] == CHANGES) {
        return;
    }

    change_record(record, random_below(4) == 0);

    for (worker = 0; worker < WORKERS; worker++) {
        news(worker, random_below(100) ? record : -1);
    }
}


static void
change_record(int record, int absent)
{
    char       more[256];
    char       text[2048];
    unsigned   n;
    change_t  *new;

    n = (unsigned) nchanges[record]++;
    new = &changes[record][n];

    new->step = now;
    new->time = store_now;
    new->absent = absent;
    new->trigger = random_below(TRIGGERS);

    if (record >= KEYS) {
        redis_put(trigger_name((unsigned) record),
                  absent ? NULL : trigger_text((unsigned) record, n));
        return;
    }

    /* the key's id tells which state of it this is */

    snprintf(more, sizeof(more), ",\"scopes\":[{\"triggerId\":"
             "\"20000000-0000-4000-8000-%012u\"}]", KEYS + new->trigger);
    snprintf(text, sizeof(text), "%s", key_text((unsigned) record, more));
    sprintf(strchr(text, '-') + 16, "%012u", n);
    text[strlen(text)] = '"';

    redis_put(key_name((unsigned) record), absent ? NULL : text);
}


static void
news(int worker, int record)
{
    news_t  *last;

    if (!policy[worker].live) {
        return;
    }

    if (queued[worker] == NEWS) {
        abort();
    }

    last = &queues[worker][queued[worker]++];

    last->record = record;
    last->step = now;
    last->time = store_now;
}


static void
tell(int worker, int all)
{
    int           i;
    char          name[128];
    news_t        first;
    phrony_str_t  key;

    while (queued[worker]) {
        first = queues[worker][0];

        memmove(&queues[worker][0], &queues[worker][1],
                --queued[worker] * sizeof(news_t));

        if (first.record == -1) {

            for (i = 0; i < ALL; i++) {
                told[i] = ngx_max(told[i], now);
            }

            ngx_phrony_policy_redis_invalidated(&policy[worker], NULL);

        } else {
            told[first.record] = ngx_max(told[first.record], first.step);

            snprintf(name, sizeof(name), "%s",
                     first.record < KEYS
                     ? key_name((unsigned) first.record)
                     : trigger_name((unsigned) first.record));

            key = str(name);
            ngx_phrony_policy_redis_invalidated(&policy[worker], &key);
        }

        if (!all) {
            return;
        }
    }
}


/* No command takes longer, and nobody is told later. */

static void
pass(uint64_t ms)
{
    int       i;
    uint64_t  then;

    then = store_now + ms;

    for (i = 0; i < WORKERS; i++) {

        while (redis[i].nsent
               && redis[i].sent[0]->time + ANSWER < then)
        {
            redis_reply(i);
        }

        if (queued[i] && queues[i][0].time + DELAY < then) {
            tell(i, 1);
        }
    }

    store_now = then;
}


/* What was not told yet, and what happens until it is again, is lost. */

static void
lose(int worker)
{
    queued[worker] = 0;

    ngx_phrony_policy_redis_live(&policy[worker], !policy[worker].live);
}


static void
look(int worker)
{
    int      i;
    wait_t  *wait;

    for (i = 0; i < WAITING && waits[i].used; i++) { /* void */ }

    if (i == WAITING) {
        return;
    }

    wait = &waits[i];

    wait->used = 1;
    wait->worker = worker;
    wait->key = random_below(KEYS);
    wait->time = store_now;
    wait->failure = !redis[worker].ready;
    memcpy(wait->told, told, sizeof(told));

    ask(&wait->asked, worker, wait->key);

    if (wait->asked.rc == NGX_OK) {
        judge(wait);
        release(&wait->asked, worker);
        wait->used = 0;
    }
}


static void
judge(wait_t *wait)
{
    long                    n, nkey;
    asked_t                *asked;
    const phrony_key_t     *key;
    const phrony_policy_t  *found;

    asked = &wait->asked;

    answers++;
    clean += !wait->failure;

    if (asked->called != (asked->rc == NGX_AGAIN)) {
        wrong(wait, "told often", 0, asked->called);
        return;
    }

    switch (asked->lookup.state) {

    case NGX_PHRONY_LOOKUP_UNAVAILABLE:
        unavailable++;

        if (!wait->failure) {
            wrong(wait, "not available", 0, 0);
        }

        return;

    case NGX_PHRONY_LOOKUP_UNKNOWN:
        unknown++;

        for (n = nchanges[wait->key] - 1; n > 0; n--) {
            if (changes[wait->key][n].absent) {
                break;
            }
        }

        judge_record(wait, (int) wait->key, n);
        return;

    case NGX_PHRONY_LOOKUP_FOUND:
        break;

    default:
        printf("# logged: %s\n", policy_logged);
        wrong(wait, "state", 0, asked->lookup.state);
        return;
    }

    key = asked->lookup.key;
    found = asked->lookup.policy;
    nkey = number(key->id.bytes);

    judge_record(wait, (int) wait->key, nkey);

    if (changes[wait->key][nkey].absent) {
        wrong(wait, "found", (int) wait->key, nkey);
    }

    if (phrony_policy_nscopes(found, key) == 1) {
        judge_record(wait, (int) number(phrony_policy_scope(found, key, 0)
                                        ->id.bytes),
                     (long) phrony_policy_scope(found, key, 0)->rpm_limit);
        return;
    }

    for (n = nchanges[KEYS + changes[wait->key][nkey].trigger] - 1; n > 0;
         n--)
    {
        if (changes[KEYS + changes[wait->key][nkey].trigger][n].absent) {
            break;
        }
    }

    judge_record(wait, (int) (KEYS + changes[wait->key][nkey].trigger), n);
}


/* May the record have been in its n-th state? */

static void
judge_record(wait_t *wait, int record, long n)
{
    change_t  *next;

    if (n + 1 >= nchanges[record]) {
        return;
    }

    next = &changes[record][n + 1];

    if (next->step <= wait->told[record]) {
        wrong(wait, "somebody was told", record, n);
        return;
    }

    if (next->time + FETCH + (wait->failure ? STALE + DELAY : 5000)
        < wait->time)
    {
        wrong(wait, "too old", record, n);
    }
}


static void
wrong(wait_t *wait, const char *what, int record, long n)
{
    mistakes++;

    printf("# step %ld, worker %d, key %u, record %d, state %ld of %ld: %s\n",
           now, wait->worker, wait->key, record, n, nchanges[record], what);
}


/* Whoever waits there may get no answer, or an old one. */

static void
failure(int worker)
{
    int  i;

    for (i = 0; i < WAITING; i++) {
        if (waits[i].used && waits[i].worker == worker) {
            waits[i].failure = 1;
        }
    }
}


/* The last twelve digits of an id. */

static unsigned
number(const unsigned char *id)
{
    int       i;
    unsigned  n;

    n = 0;

    for (i = 10; i < 16; i++) {
        n = n * 100 + (unsigned) (id[i] >> 4) * 10 + (id[i] & 15);
    }

    return n;
}
