
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


/* sources: ngx_http_phrony_module/store/ ngx_http_phrony_module/redis/
   nginx */


#include "store.h"
#include "ngx_phrony_trigger.h"
#include "script.h"

#include <math.h>


/*
 * One semantics: the same starts, reads and news at the same times go to the
 * windows of core/, to the memory store and to the scripts on a real Redis,
 * and each verdict is compared, with all of its numbers.
 */


#define TRIGGERS     3
#define STEPS        20000
#define LEASES       12
#define RUNS         24
#define FOUND        4          /* more, that only sessions tell of at first */
#define RESERVATION  5000
#define RUN_TTL      40000
#define FOUND_TTL    315360000000    /* what is marked is not forgotten */

#define USUAL        2          /* the trigger whose leases get usual times */
#define USUAL_TTL    9000       /* its reservations */


/* A start at a time, and what is to be answered. */

typedef struct {
    uint64_t         wait;          /* ms since the one before */
    int64_t          limits[3];     /* rpm, rpd, runs; -1: none */
    int              granted;
    long long        numbers[7];    /* as admit.lua answers */
} vector_t;


typedef struct {
    char             window[128];
    char             runs[128];
    char             reads[128];
    char             asked[128];
    int64_t          limits[4];     /* rpm, rpd, runs, reads */
    unsigned         nleases;
    phrony_uuid_t    leases[LEASES];
    char             news[8][96];   /* that ride with the next start */
    unsigned         nnews;
} trigger_t;


/* Starts in windows of core/, and what is to be told of them. */

typedef struct {
    phrony_window_day_t      day;
    phrony_window_minute_t   minute;
    const char              *argv[SCRIPT_ARGS];
    char                     numbers[SCRIPT_ARGS][24];
    unsigned                 n;
} told_t;


static void test_vectors(void);
static int vector_core(const vector_t *v, phrony_window_minute_t *minute,
    phrony_window_day_t *day, unsigned held);
static void test_told(void);
static void told_starts(told_t *told, unsigned early);
static void told_add(told_t *told, const char *name, uint64_t ago,
    unsigned n);
static void told_send(told_t *told);
static void told_compare(told_t *told);
static void test_random(void);
static int step_start(unsigned t);
static int step_read(unsigned t);
static int step_outcome(unsigned t);
static int step_run(unsigned t);
static int step_found(unsigned t);
static void pick_run(unsigned t, ngx_phrony_settlement_t *s, int found);
static int step_suspect(unsigned t);
static int same_suspects(ngx_phrony_suspects_t *suspects, redisReply *r);
static int same_suspect(ngx_phrony_suspect_t *suspect, redisReply *r);
static int step_tell(unsigned t, ngx_phrony_settlement_t *s, char event);
static int step_lives(unsigned t);
static void trigger_init(unsigned t);
static void ask_memory(unsigned t, ngx_phrony_op_t *op);
static void ask_script(unsigned t, script_reply_t *reply,
    phrony_uuid_t *lease);
static int same_start(unsigned t, ngx_phrony_op_t *op, script_reply_t *reply);
static int same_limit(const char *name, phrony_limit_t *limit, int granted,
    long long *numbers);
static int same_held(unsigned t, ngx_phrony_op_t *op, long long held);
static int same(const char *what, int64_t script, int64_t memory);
static const char *text(phrony_uuid_t *uuid);
static void pass(uint64_t ms);


static trigger_t     triggers[TRIGGERS];
static unsigned      step;
static unsigned      granted, refused, riding;
static unsigned      suspected[2];  /* runs, reservations */

static const char   *none = "------------------------------------";

/* Time passes for the keys of Redis as well. */

static const char   *ages =
    "for i, key in ipairs(redis.call('KEYS', 'phrony:*')) do "
        "local left = redis.call('PTTL', key) "
        "if left >= 0 and left <= ARGV[1] + 0 then redis.call('DEL', key) "
        "elseif left >= 0 then redis.call('PEXPIRE', key, left - ARGV[1]) end "
    "end";

static const char   *lives =
    "local now, least = tonumber(ARGV[1]), 1e300 "
    "local function needs(key, ms) "
        "local left = redis.call('PTTL', key) "
        "if left ~= -2 then least = math.min(least, left - ms) end "
        "if left == -1 then least = -1 end "
    "end "
    "local head = redis.call('GETRANGE', KEYS[1], 0, 39) "
    "needs(KEYS[1], #head == 40 "
        "and (struct.unpack('<I4', head, 13) + 97) * 900000 - now or 0) "
    "local score = 0 "
    "for i, e in ipairs({redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES'), "
            "redis.call('ZRANGE', KEYS[2], -1, -1, 'WITHSCORES')}) do "
        "if e[2] then score = math.max(score, math.abs(e[2])) end "
    "end "
    "needs(KEYS[2], score - now) "
    "head = redis.call('GETRANGE', KEYS[3], 0, 23) "
    "needs(KEYS[3], #head == 24 "
        "and (struct.unpack('<I4', head, 5) + 61) * 1000 - now or 0) "
    "return math.min(least, 1e15)";


int
main(void)
{
    unsigned  t;

    script_open();

    store_open(32 * 1024 * 1024);
    store_now = script_now;

    for (t = 0; t < TRIGGERS; t++) {
        trigger_init(t);
    }

    test_vectors();
    test_told();
    test_random();

    ok(store_sound(), "every index of the memory store is sound");
    is_int(store_root()->exhausted, 0, "which had room all the time");

    store_close();

    return done();
}


/*
 * Known answers, for all three.  The first bucket of the minute ends in 322
 * ms, that of the day in 354322 ms.
 */

static void
test_vectors(void)
{
    size_t                   i, j;
    unsigned                 held;
    script_reply_t           reply;
    ngx_phrony_op_t          op;
    phrony_window_day_t      day;
    phrony_window_minute_t   minute;

    static const vector_t  vectors[] = {
        { 0, { 2, 10, 2 }, 1, { 1, 60322, 0, 1, 86754322, 0, 1 } },
        { 100, { 2, 10, 2 }, 1, { 2, 60222, 60222, 2, 86754222, 0, 2 } },
        { 100, { 2, 10, 2 }, 0, { 2, 60122, 60122, 2, 86754122, 0, 2 } },
        { 100, { 3, 10, 2 }, 0, { 2, 60022, 0, 2, 86754022, 0, 2 } },
        { 22, { 3, 10, 3 }, 1, { 3, 60000, 60000, 3, 86754000, 0, 3 } },
        { 0, { 1, 2, -1 }, 0, { 3, 61000, 61000, 3, 86754000, 86754000, 3 } },
        { 0, { 0, 0, 0 }, 0, { 3, -1, -1, 3, -1, -1, 3 } },
        { 59999, { 3, -1, -1 }, 0, { 3, 1, 1, 3, 86694001, 0, 0 } },
        { 1, { 3, -1, -1 }, 1, { 2, 1000, 0, 4, 86694000, 0, 1 } },
        { 1000, { 3, -1, -1 }, 1, { 2, 60000, 0, 5, 86693000, 0, 2 } },
        { 86692999, { 1, 5, -1 }, 0, { 0, -1, 0, 5, 1, 1, 0 } },
        { 1, { 1, 5, -1 }, 1, { 1, 61000, 61000, 1, 87300000, 0, 1 } },
        { 86400000, { 1, 3, 1 }, 1, { 1, 61000, 61000, 2, 900000, 0, 1 } },
        { 4999, { 9, 3, 1 }, 0, { 1, 56001, 0, 2, 895001, 0, 1 } },
        { 1, { 9, 3, 1 }, 1, { 2, 56000, 0, 3, 895000, 895000, 1 } },
        { 200000000, { -1, -1, -1 }, 1, { 1, 61000, 0, 1, 87095000, 0, 1 } },
    };

    memset(&minute, 0, sizeof(minute));
    memset(&day, 0, sizeof(day));

    held = 0;

    for (i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        const vector_t  *v = &vectors[i];

        pass(v->wait);

        memcpy(triggers[0].limits, v->limits, sizeof(v->limits));

        ask_memory(0, &op);
        ask_script(0, &reply, op.leased ? &op.lease_id : NULL);

        ok(reply.n == 9 && reply.integers[1] == v->granted,
           "start %zu: %s", i, v->granted ? "granted" : "refused");

        for (j = 0; j < 7; j++) {
            is_int(reply.integers[2 + j], v->numbers[j], "number");
        }

        ok(same_start(0, &op, &reply), "the memory store agrees");

        held = (unsigned) v->numbers[6] - (v->granted ? 1 : 0);
        ok(vector_core(v, &minute, &day, held), "so does core");
    }
}


static int
vector_core(const vector_t *v, phrony_window_minute_t *minute,
    phrony_window_day_t *day, unsigned held)
{
    int  good, admits;

    phrony_window_advance(&minute->window, &phrony_window_minute, store_now);
    phrony_window_advance(&day->window, &phrony_window_day, store_now);

    admits = phrony_window_admits(&minute->window, v->limits[0])
             && phrony_window_admits(&day->window, v->limits[1])
             && phrony_lease_admits(held, v->limits[2]);

    if (admits) {
        phrony_window_count(&minute->window, &phrony_window_minute);
        phrony_window_count(&day->window, &phrony_window_day);
    }

    good = same("granted", v->granted, admits);
    good &= same("sum", v->numbers[0], minute->window.sum);
    good &= same("reset", v->numbers[1],
                 phrony_window_reset(&minute->window, &phrony_window_minute,
                                     v->limits[0], store_now));
    good &= same("wait", v->numbers[2],
                 phrony_window_wait(&minute->window, &phrony_window_minute,
                                    v->limits[0], store_now));
    good &= same("day's sum", v->numbers[3], day->window.sum);
    good &= same("day's reset", v->numbers[4],
                 phrony_window_reset(&day->window, &phrony_window_day,
                                     v->limits[1], store_now));
    good &= same("day's wait", v->numbers[5],
                 phrony_window_wait(&day->window, &phrony_window_day,
                                    v->limits[1], store_now));

    return good;
}


/*
 * Starts that were counted elsewhere, in windows of core/, and told, those of
 * some earlier than the others.
 */

static void
test_told(void)
{
    unsigned         i;
    told_t           told;
    script_reply_t   reply;

    for (i = 0; i < 8; i++) {
        freeReplyObject(script_ask("FLUSHALL"));
        pass(123456789 + i * 777);

        told_starts(&told, i);

        ok(script_integer("PTTL %s", triggers[1].window) > 97 * 900000,
           "what is told is in a key that outlives it");

        told_compare(&told);
    }

    told.argv[0] = triggers[1].window;
    told.argv[1] = "x";
    told.argv[2] = NULL;
    script_run(&reply, PHRONY_SCRIPT_TELL, 1, told.argv);
    ok(strncmp(reply.error, "PHRONYARGUMENT ", 15) == 0,
       "an unknown window is an error: %s", reply.error);

    freeReplyObject(script_ask("FLUSHALL"));
    pass(200000000);
}


static void
told_starts(told_t *told, unsigned early)
{
    unsigned  i, n;
    uint64_t  ago;

    static const uint64_t  agos[] = {
        90000000, 86400001, 80000000, 61001, 60000, 31000, 500, 0
    };

    memset(told, 0, sizeof(*told));

    for (i = 0; i < 8; i++) {
        ago = agos[i] + random_below(900);
        n = 1 + random_below(5);

        told_add(told, "d", ago, n);
        told_add(told, "m", ago, n);

        if (i == early) {
            told_send(told);
        }

        phrony_window_advance(&told->minute.window, &phrony_window_minute,
                              store_now - ago);
        phrony_window_advance(&told->day.window, &phrony_window_day,
                              store_now - ago);

        while (n--) {
            phrony_window_count(&told->minute.window, &phrony_window_minute);
            phrony_window_count(&told->day.window, &phrony_window_day);
        }
    }

    told_send(told);

    phrony_window_advance(&told->minute.window, &phrony_window_minute,
                          store_now);
    phrony_window_advance(&told->day.window, &phrony_window_day, store_now);
}


static void
told_add(told_t *told, const char *name, uint64_t ago, unsigned n)
{
    if (told->n > SCRIPT_ARGS - 10) {
        told_send(told);
    }

    snprintf(told->numbers[told->n], 24, "%llu", (unsigned long long) ago);
    snprintf(told->numbers[told->n + 1], 24, "%u", n);

    told->argv[1 + told->n] = name;
    told->argv[2 + told->n] = told->numbers[told->n];
    told->argv[3 + told->n] = told->numbers[told->n + 1];

    told->n += 3;
}


static void
told_send(told_t *told)
{
    script_reply_t  reply;

    told->argv[0] = triggers[1].window;
    told->argv[1 + told->n] = NULL;
    told->n = 0;

    script_run(&reply, PHRONY_SCRIPT_TELL, 1, told->argv);

    ok(reply.n == 1 && reply.integers[0] == 1, "counts are told %s",
       reply.error);
}


static void
told_compare(told_t *told)
{
    int               good;
    int64_t          *limits;
    script_reply_t    reply;

    limits = triggers[1].limits;
    limits[0] = random_below(told->minute.window.sum) + 1;
    limits[1] = random_below(told->day.window.sum) + 1;

    ask_script(1, &reply, NULL);

    good = same("granted", reply.integers[1], 0);
    good &= same("sum", reply.integers[2], told->minute.window.sum);
    good &= same("reset", reply.integers[3],
                 phrony_window_reset(&told->minute.window,
                                     &phrony_window_minute, limits[0],
                                     store_now));
    good &= same("day's sum", reply.integers[5], told->day.window.sum);
    good &= same("day's reset", reply.integers[6],
                 phrony_window_reset(&told->day.window, &phrony_window_day,
                                     limits[1], store_now));

    ok(good, "and stand where they would, %lld and %lld", reply.integers[2],
       reply.integers[5]);
}


static void
test_random(void)
{
    int       good;
    unsigned  i, t;

    for (t = 0; t < TRIGGERS; t++) {
        triggers[t].limits[0] = 20;
        triggers[t].limits[1] = 400;
        triggers[t].limits[2] = 5;
        triggers[t].limits[3] = 10;
    }

    good = 1;

    for (step = 0; step < STEPS && good; step++) {

        pass(random_below(2) ? random_below(30) : random_below(2500));

        if (random_below(400) == 0) {
            pass(random_below(4) ? random_below(1800000)
                                 : random_below(190000000));
        }

        t = random_below(TRIGGERS);

        if (random_below(60) == 0) {
            triggers[t].limits[0] = (int64_t) random_below(40) - 1;
            triggers[t].limits[1] = (int64_t) random_below(600) - 1;
            triggers[t].limits[2] = (int64_t) random_below(9) - 1;
            triggers[t].limits[3] = (int64_t) random_below(20) - 1;
        }

        i = random_below(10);

        good = (i < 3) ? step_start(t)
               : (i == 3) ? step_read(t)
               : (i < 6) ? step_outcome(t)
               : (i < 8) ? step_run(t)
               : (i == 8) ? step_found(t)
               : step_suspect(t);

        good = good && step_lives(t);
    }

    ok(good, "%u random steps, and each verdict is the same", step);
    ok(granted > STEPS / 20 && refused > STEPS / 20 && riding > STEPS / 50,
       "%u granted, %u refused, %u news rode along", granted, refused,
       riding);
    ok(suspected[0] > 100 && suspected[1] > 20,
       "%u runs and %u reservations were named", suspected[0], suspected[1]);
}


static int
step_start(unsigned t)
{
    trigger_t        *trigger;
    script_reply_t    reply;
    ngx_phrony_op_t   op;

    trigger = &triggers[t];

    ask_memory(t, &op);
    ask_script(t, &reply, op.leased ? &op.lease_id : NULL);

    if (op.leased) {
        trigger->leases[trigger->nleases++ % LEASES] = op.lease_id;
        granted++;

    } else {
        refused++;
    }

    return same_start(t, &op, &reply);
}


static int
step_read(unsigned t)
{
    char              limit[32];
    script_reply_t    reply;
    ngx_phrony_op_t   op;

    const char  *argv[] = { triggers[t].reads, limit, NULL };

    memset(&op, 0, sizeof(op));
    op.trigger_id = store_uuid(t);
    op.read = 1;
    op.limits[PHRONY_LIMIT_READS].set = triggers[t].limits[3] >= 0;
    op.limits[PHRONY_LIMIT_READS].quota = triggers[t].limits[3];

    (void) store->admit(store, &op);

    snprintf(limit, sizeof(limit), "%lld", (long long) triggers[t].limits[3]);
    script_run(&reply, PHRONY_SCRIPT_READ, 1, argv);

    return same("numbers", (int64_t) reply.n, 5)
           && same("version", reply.integers[0], 1)
           && same("granted", reply.integers[1], op.granted)
           && same_limit("reads", &op.limits[PHRONY_LIMIT_READS], op.granted,
                         &reply.integers[2]);
}


/* What became of a start: of the latest ones, or one that was settled. */

static int
step_outcome(unsigned t)
{
    trigger_t                *trigger;
    ngx_phrony_settlement_t   s;

    trigger = &triggers[t];

    if (trigger->nleases == 0) {
        return 1;
    }

    memset(&s, 0, sizeof(s));
    s.start = 1;
    s.leased = 1;
    s.lease_id = trigger->leases[random_below(ngx_min(trigger->nleases,
                                                      LEASES))];
    s.run_ttl = (t == USUAL || random_below(3)) ? RUN_TTL
                                                : random_below(7200000);
    pick_run(t, &s, t != USUAL && random_below(3) == 0);

    switch (random_below(4)) {

    case 0:
        s.event = PHRONY_LEASE_RELEASE;
        return step_tell(t, &s, 'R');

    case 1:
        s.event = PHRONY_LEASE_END;
        s.has_run = 1;
        return step_tell(t, &s, 'E');

    default:
        s.event = PHRONY_LEASE_BIND;
        s.has_run = 1;
        return step_tell(t, &s, 'B');
    }
}


/* A run that passes by, known or not. */

static int
step_run(unsigned t)
{
    ngx_phrony_settlement_t  s;

    memset(&s, 0, sizeof(s));
    s.event = random_below(3) ? PHRONY_LEASE_SEEN : PHRONY_LEASE_END;
    s.has_run = 1;
    s.run_ttl = RUN_TTL;
    pick_run(t, &s, random_below(3) == 0);

    return step_tell(t, &s, s.event == PHRONY_LEASE_SEEN ? 'S' : 'E');
}


/* A run that the upstream has, for a start that nothing was heard of. */

static int
step_found(unsigned t)
{
    trigger_t                *trigger;
    ngx_phrony_settlement_t   s;

    trigger = &triggers[t];

    if (trigger->nleases == 0) {
        return 1;
    }

    memset(&s, 0, sizeof(s));
    s.found = 1;
    s.event = random_below(2) ? PHRONY_LEASE_BIND : PHRONY_LEASE_END;
    s.leased = 1;
    s.lease_id = trigger->leases[random_below(ngx_min(trigger->nleases,
                                                      LEASES))];
    s.has_run = 1;
    s.run_ttl = RUN_TTL;
    pick_run(t, &s, 1);

    return step_tell(t, &s, s.event == PHRONY_LEASE_BIND ? 'F' : 'G');
}


/* One that may be found is known for long, if its lease is named later. */

static void
pick_run(unsigned t, ngx_phrony_settlement_t *s, int found)
{
    if (!found) {
        s->run_id = store_uuid(1000 * (t + 1) + random_below(RUNS));
        return;
    }

    s->run_id = store_uuid(1000 * (t + 1) + RUNS + random_below(FOUND));

    if (t != USUAL) {
        s->run_ttl = FOUND_TTL;
    }
}


/*
 * Asks both which leases were not seen for a while.  The script knows it by
 * when they expire, and so of those alone that are given the usual time.
 * Which runs are named first differs.
 */

static int
step_suspect(unsigned t)
{
    int                     good;
    redisReply             *r;
    ngx_phrony_op_t         op;
    ngx_phrony_suspects_t   suspects;

    const char  *argv[] = { triggers[t].runs, triggers[t].asked, "40000",
                            "9000", "5000", "1000", NULL };

    if (t != USUAL || triggers[t].nnews) {
        return 1;
    }

    memset(&op, 0, sizeof(op));
    op.trigger_id = store_uuid(t);
    op.suspects = &suspects;
    (void) store->suspect(store, &op);

    r = script_call(PHRONY_SCRIPT_SUSPECTS, 2, argv);
    good = same_suspects(&suspects, r);
    freeReplyObject(r);

    return good;
}


/* Both name all reservations, unless there are four of anything. */

static int
same_suspects(ngx_phrony_suspects_t *suspects, redisReply *r)
{
    int         good;
    size_t      i;
    ngx_uint_t  nruns, nleases;

    if (r->type != REDIS_REPLY_ARRAY || r->elements % 2 == 0) {
        return same("suspects", 0, 1);
    }

    nruns = 0;
    nleases = 0;

    for (i = 1; i < r->elements; i += 2) {
        if (r->element[i]->str[14] == 'f') {
            nleases++;

        } else {
            nruns++;
        }
    }

    good = same("runs", ngx_min(nruns, 4), suspects->nruns);

    if (suspects->nruns < 4) {
        good &= same("reservations", nleases, suspects->nleases);
    }

    for (i = 0; i < suspects->nruns; i++) {
        good &= same_suspect(&suspects->runs[i], r);
    }

    for (i = 0; i < suspects->nleases && nleases < 4; i++) {
        good &= same_suspect(&suspects->leases[i], r);
    }

    suspected[0] += suspects->nruns;
    suspected[1] += suspects->nleases;

    return good;
}


static int
same_suspect(ngx_phrony_suspect_t *suspect, redisReply *r)
{
    size_t  i;

    for (i = 1; i < r->elements; i += 2) {
        if (strcmp(r->element[i]->str, text(&suspect->id)) == 0) {
            return same("unseen", r->element[i + 1]->integer,
                        (int64_t) suspect->unseen);
        }
    }

    return same("named", 0, 1);
}


/*
 * Tells both, and asks both whether they know the run now.  Some news go to
 * the script with the start that comes at the same time.
 */

static int
step_tell(unsigned t, ngx_phrony_settlement_t *s, char event)
{
    char              *news, lease[64];
    double             score;
    trigger_t         *trigger;
    redisReply        *r;
    script_reply_t     reply;
    ngx_phrony_op_t    op;

    trigger = &triggers[t];

    s->trigger_id = store_uuid(t);
    store->settle(store, s);

    strcpy(lease, s->leased ? text(&s->lease_id) : none);

    news = trigger->news[trigger->nnews];
    sprintf(news, "%c%s%s%015llu", event, lease,
            s->has_run ? text(&s->run_id) : none,
            (unsigned long long) s->run_ttl);

    if (random_below(3) == 0 && trigger->nnews < 7) {
        trigger->nnews++;
        riding++;

        return random_below(2) ? step_start(t)
                               : step_run(t) && step_start(t);
    }

    if (trigger->nnews) {

        /* these come first */

        trigger->nnews++;
        return step_start(t);
    }

    const char  *argv[] = { trigger->runs, news, NULL };

    script_run(&reply, PHRONY_SCRIPT_SETTLE, 1, argv);

    if (!same("version", reply.integers[0], 1) || !s->has_run) {
        return reply.n == 1;
    }

    memset(&op, 0, sizeof(op));
    op.run_id = s->run_id;
    (void) store->locate(store, &op);

    r = script_ask("ZSCORE %s %s", trigger->runs, text(&s->run_id));
    score = r->str ? fabs(atof(r->str)) : 0;
    freeReplyObject(r);

    return same("known", score > (double) script_now, op.known);
}


/* Each key of the trigger that is there outlives what is in it. */

static int
step_lives(unsigned t)
{
    long long  least;

    least = script_integer("EVAL %s 3 %s %s %s %llu", lives,
                           triggers[t].window, triggers[t].runs,
                           triggers[t].reads,
                           (unsigned long long) script_now);

    if (least <= 0) {
        printf("# at %u: a key dies %lld ms too early\n", step, -least);
        return 0;
    }

    return 1;
}


static void
trigger_init(unsigned t)
{
    snprintf(triggers[t].window, 128, "phrony:{w}:window:%u", t);
    snprintf(triggers[t].runs, 128, "phrony:{w}:runs:%u", t);
    snprintf(triggers[t].reads, 128, "phrony:{w}:reads:%u", t);
    snprintf(triggers[t].asked, 128, "phrony:{w}:asked:%u", t);

    triggers[t].limits[0] = -1;
    triggers[t].limits[1] = -1;
    triggers[t].limits[2] = -1;
    triggers[t].limits[3] = -1;
}


static void
ask_memory(unsigned t, ngx_phrony_op_t *op)
{
    int64_t  *limits;

    limits = triggers[t].limits;

    memset(op, 0, sizeof(*op));

    op->trigger_id = store_uuid(t);
    op->reservation_ttl = (t == USUAL) ? USUAL_TTL : RESERVATION;
    op->limits[PHRONY_LIMIT_RPM].set = limits[0] >= 0;
    op->limits[PHRONY_LIMIT_RPM].quota = limits[0];
    op->limits[PHRONY_LIMIT_RPD].set = limits[1] >= 0;
    op->limits[PHRONY_LIMIT_RPD].quota = limits[1];
    op->limits[PHRONY_LIMIT_RUNS].set = limits[2] >= 0;
    op->limits[PHRONY_LIMIT_RUNS].quota = limits[2];

    if (store->admit(store, op) != NGX_OK) {
        abort();
    }
}


static void
ask_script(unsigned t, script_reply_t *reply, phrony_uuid_t *lease)
{
    int            i;
    char           numbers[4][32];
    unsigned       j;
    trigger_t     *trigger;
    const char    *argv[SCRIPT_ARGS];
    phrony_uuid_t  other;

    trigger = &triggers[t];

    other = store_uuid(random_bits());

    argv[0] = trigger->window;
    argv[1] = trigger->runs;

    for (i = 0; i < 4; i++) {
        snprintf(numbers[i], sizeof(numbers[i]), "%015lld",
                 i < 3 ? (long long) trigger->limits[i]
                       : (long long) (t == USUAL ? USUAL_TTL : RESERVATION));
        argv[2 + i] = numbers[i];
    }

    argv[6] = text(lease ? lease : &other);

    for (j = 0; j < trigger->nnews; j++) {
        argv[7 + j] = trigger->news[j];
    }

    argv[7 + j] = NULL;
    trigger->nnews = 0;

    script_run(reply, PHRONY_SCRIPT_ADMIT, 2, argv);
}


static int
same_start(unsigned t, ngx_phrony_op_t *op, script_reply_t *reply)
{
    int  good;

    if (reply->n != 9) {
        printf("# at %u: %s\n", step, reply->error);
        return 0;
    }

    good = same("version", reply->integers[0], 1);
    good &= same("granted", reply->integers[1], op->granted);
    good &= same_limit("rpm", &op->limits[PHRONY_LIMIT_RPM], op->granted,
                       &reply->integers[2]);
    good &= same_limit("rpd", &op->limits[PHRONY_LIMIT_RPD], op->granted,
                       &reply->integers[5]);
    good &= same_held(t, op, reply->integers[8]);

    return good;
}


/* What the request side is told of a window: from sum, reset and wait. */

static int
same_limit(const char *name, phrony_limit_t *limit, int is_granted,
    long long *numbers)
{
    int  good;

    if (!limit->set) {
        return 1;
    }

    good = same("remaining", ngx_max(limit->quota - numbers[0], 0),
                limit->remaining);
    good &= same("reset", numbers[1], limit->reset);
    good &= same("wait", numbers[2], limit->wait);
    good &= same("refused", !is_granted && numbers[0] >= limit->quota,
                 limit->refused);

    if (!good) {
        printf("# of %s %lld\n", name, (long long) limit->quota);
    }

    return good;
}


static int
same_held(unsigned t, ngx_phrony_op_t *op, long long held)
{
    int                    good;
    phrony_limit_t        *limit;
    phrony_uuid_t          id;
    ngx_phrony_trigger_t  *trigger;

    limit = &op->limits[PHRONY_LIMIT_RUNS];
    id = store_uuid(t);

    (void) ngx_phrony_zone_lock(&zone);
    trigger = ngx_phrony_trigger_find(store_root(), &id);
    ngx_phrony_zone_unlock(&zone);

    good = same("held", held, (int64_t) trigger->nleases);

    if (limit->set) {
        good &= same("runs remaining", ngx_max(limit->quota - held, 0),
                     limit->remaining);
        good &= same("runs refused", !op->granted && held >= limit->quota,
                     limit->refused);
    }

    return good;
}


static int
same(const char *what, int64_t script, int64_t memory)
{
    if (script == memory) {
        return 1;
    }

    printf("# step %u, at %llu: %s: script %lld, memory %lld\n", step,
           (unsigned long long) script_now, what, (long long) script,
           (long long) memory);

    return 0;
}


static const char *
text(phrony_uuid_t *uuid)
{
    static char      ring[4][40];
    static unsigned  next;

    next = (next + 1) % 4;
    *phrony_uuid_format((unsigned char *) ring[next], uuid) = '\0';

    return ring[next];
}


static void
pass(uint64_t ms)
{
    store_now += ms;
    script_now = store_now;

    freeReplyObject(script_ask("EVAL %s 0 %llu", ages,
                               (unsigned long long) ms));
}
