
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "script.h"


/*
 * The scripts alone: what becomes of leases and runs, lives of keys, and what
 * must never become a verdict.  t/unit/scripts_store.c holds their verdicts
 * against the memory store's.
 */


#define WORKSPACE  "phrony:{00000001-0000-4000-8000-000000000001}"
#define TRIGGER    "00000002-0000-4000-8000-000000000002"

#define WINDOW  WORKSPACE ":window:" TRIGGER
#define RUNS    WORKSPACE ":runs:" TRIGGER
#define READS   WORKSPACE ":reads:" TRIGGER
#define NONE    "------------------------------------"
#define LEASE   "1ea5e000-0000-4000-8000-000000000001"
#define RUN     "00000000-0000-4000-8000-000000000002"

#define HOUR    3600000


/* What is known of a run, or lease. */

typedef enum {
    UNKNOWN = 0,
    HELD,
    ENDED,
    HELD_EXPIRED,
    ENDED_EXPIRED
} state_t;


typedef struct {
    char       event;
    state_t    before;
    state_t    after;
    int        renewed;     /* expires with the ttl of the settlement */
} transition_t;


static void test_texts(void);
static void test_transitions(void);
static void test_lease(void);
static void test_abandoned(void);
static void test_ride(void);
static void test_arguments(void);
static void test_layouts(void);
static void test_lives(void);
static void test_purge(void);
static void test_numbers(void);
static void test_clock_set_back(void);
static void test_sizes(void);
static void admit(script_reply_t *reply, const char *lease,
    const char *ttl, const char *settlement);
static void admit_limits(script_reply_t *reply, const char *rpm,
    const char *rpd, const char *runs);
static void settle(script_reply_t *reply, char event, const char *lease,
    const char *run, uint64_t ttl);
static const char *settlement(char event, const char *lease, const char *run,
    uint64_t ttl);
static void put(const char *id, state_t state, uint64_t ttl);
static state_t state_of(const char *id);
static int64_t expires(const char *id);
static void flush(void);


static const char *const  names[] = {
    "unknown", "held", "ended", "held, expired", "ended, expired"
};


int
main(void)
{
    script_open();

    test_texts();
    test_transitions();
    test_lease();
    test_abandoned();
    test_ride();
    test_arguments();
    test_layouts();
    test_lives();
    test_purge();
    test_numbers();
    test_clock_set_back();
    test_sizes();

    return done();
}


static void
test_texts(void)
{
    int                     i;
    redisReply             *r;
    const phrony_script_t  *script;

    for (i = 0; i < PHRONY_SCRIPT_MAX; i++) {
        script = &phrony_scripts[i];

        r = script_ask("SCRIPT LOAD %b", script->text.data, script->text.len);

        ok(r->type == REDIS_REPLY_STRING
           && strcmp(r->str, script->sha1) == 0,
           "%s.lua is known to Redis by its SHA1", script->name);
        ok(strstr((char *) script->text.data, "-- ") == NULL,
           "and holds no comment");
        printf("# %s: %zu bytes\n", script->name, script->text.len);

        freeReplyObject(r);
    }
}


/* Every event on every state of the run that it tells of. */

static void
test_transitions(void)
{
    size_t           i;
    state_t          after;
    script_reply_t   reply;

    static const transition_t  transitions[] = {
        { 'B', UNKNOWN, HELD, 1 },
        { 'B', HELD, HELD, 1 },
        { 'B', ENDED, ENDED, 1 },
        { 'B', HELD_EXPIRED, HELD, 1 },
        { 'B', ENDED_EXPIRED, HELD, 1 },
        { 'E', UNKNOWN, ENDED, 1 },
        { 'E', HELD, ENDED, 1 },
        { 'E', ENDED, ENDED, 1 },
        { 'E', HELD_EXPIRED, ENDED, 1 },
        { 'E', ENDED_EXPIRED, ENDED, 1 },
        { 'S', UNKNOWN, UNKNOWN, 0 },
        { 'S', HELD, HELD, 1 },
        { 'S', ENDED, ENDED, 1 },
        { 'S', HELD_EXPIRED, HELD_EXPIRED, 0 },
        { 'S', ENDED_EXPIRED, ENDED_EXPIRED, 0 },
        { 'H', UNKNOWN, HELD, 1 },
        { 'H', HELD, HELD, 1 },
        { 'H', ENDED, ENDED, 1 },
        { 'H', HELD_EXPIRED, HELD, 1 },
        { 'H', ENDED_EXPIRED, HELD, 1 },
        { 'R', HELD, HELD, 0 },
    };

    for (i = 0; i < sizeof(transitions) / sizeof(transitions[0]); i++) {
        const transition_t  *t = &transitions[i];

        flush();
        put(RUN, t->before, 5000);

        settle(&reply, t->event, NONE, RUN, 70000);

        after = state_of(RUN);

        ok(reply.n == 1 && reply.integers[0] == 1 && after == t->after,
           "%c, a run that is %s: %s", t->event, names[t->before],
           names[after]);

        if (t->renewed) {
            is_int(expires(RUN), (int64_t) script_now + 70000,
                   "for its new ttl");
        }

        ok(after == UNKNOWN || script_integer("PTTL " RUNS) > 0,
           "and the key has a TTL");
    }
}


/* What becomes of the lease. */

static void
test_lease(void)
{
    size_t          i;
    script_reply_t  reply;

    static const char  releases[] = "BER";

    for (i = 0; releases[i]; i++) {
        flush();
        put(LEASE, HELD, 5000);

        settle(&reply, releases[i], LEASE, releases[i] == 'R' ? NONE : RUN,
               70000);

        is_int(state_of(LEASE), UNKNOWN, "the lease is gone");
        is_int(script_integer("EXISTS " RUNS), releases[i] != 'R',
               "and the key with the last one in it");
        ok(releases[i] == 'R' || script_integer("PTTL " RUNS) > 70000,
           "a set whose only lease was replaced has a TTL");
    }

    flush();
    put(LEASE, HELD, 5000);
    settle(&reply, 'S', NONE, RUN, 70000);
    is_int(state_of(LEASE), HELD, "another one's news changes no lease");

    settle(&reply, 'H', LEASE, NONE, 70000);
    is_int(expires(LEASE), (int64_t) script_now + 70000,
           "a lease is held by H if there is no run");
}


static void
test_abandoned(void)
{
    script_reply_t  reply;

    flush();
    settle(&reply, 'A', LEASE, NONE, 5000);
    is_int(state_of(LEASE), ENDED, "a lease that was given up is known");

    admit(&reply, LEASE, "5000", NULL);
    is_int(reply.integers[1], 2, "and not granted any more");
    is_int(reply.integers[2], 0, "the minute does not count it");
    is_int(reply.integers[5], 0, "nor does the day");
    is_int(reply.integers[8], 0, "and it holds no slot");
    is_int(script_integer("EXISTS " WINDOW), 0, "nothing was written");

    flush();
    admit(&reply, LEASE, "5000", NULL);
    is_int(reply.integers[1], 1, "a lease that was granted");
    is_int(reply.integers[8], 1, "holds a slot");

    settle(&reply, 'A', LEASE, NONE, 5000);
    admit(&reply, RUN, "5000", NULL);
    is_int(reply.integers[1], 1, "and another one is");
    is_int(reply.integers[8], 1, "in its place, after it was given up");
    is_int(reply.integers[2], 2, "both were counted");

    admit(&reply, RUN, "5000", NULL);
    is_int(reply.integers[1], 2, "no lease is granted twice");
    is_int(reply.integers[2], 2, "nor counted");
}


static void
test_ride(void)
{
    int              i;
    char             first[128];
    script_reply_t   reply;

    const char  *settles[] = { RUNS, first, "x", NULL };
    const char  *admits[] = { WINDOW, RUNS, "1", "1", "1", "1", LEASE, first,
                              "x", NULL };

    flush();
    put(LEASE, HELD, 5000);

    admit(&reply, "1ea5e000-0000-4000-8000-000000000009", "5000",
          settlement('R', LEASE, NONE, 0));
    is_int(reply.integers[1], 1, "a release that rides along comes first");
    is_int(reply.integers[8], 1, "and makes room");

    admit(&reply, LEASE, "5000",
          settlement('B', "1ea5e000-0000-4000-8000-000000000009", RUN,
                     20 * HOUR));
    is_int(reply.integers[1], 1, "a binding rides along");
    is_int(reply.integers[8], 2, "and holds its slot");
    is_int(state_of(RUN), HELD, "under the run's id");
    ok(script_integer("PTTL " RUNS) > 20 * HOUR, "for which the key lives");

    admit(&reply, RUN, "5000", "x");
    ok(strncmp(reply.error, "PHRONYARGUMENT ", 15) == 0,
       "what is no settlement is an error: %s", reply.error);

    flush();
    admit(&reply, LEASE, "5000", settlement('?', LEASE, RUN, 1));
    ok(strncmp(reply.error, "PHRONYARGUMENT ", 15) == 0,
       "as is an unknown one: %s", reply.error);
    is_int(script_integer("DBSIZE"), 1, "nothing but the clock is there");

    for (i = 0; i < 2; i++) {
        flush();
        strcpy(first, settlement('E', NONE, RUN, 5000));
        script_run(&reply, i ? PHRONY_SCRIPT_ADMIT : PHRONY_SCRIPT_SETTLE,
                   i ? 2 : 1, i ? admits : settles);
        ok(reply.error[0] && script_integer("PTTL " RUNS) > 5000,
           "what comes before it is applied: %s", reply.error);
    }
}


static void
test_arguments(void)
{
    script_reply_t  reply;

    flush();

    admit_limits(&reply, "999999999999999", "-00000000000001",
                 "000000000000001");
    is_int(reply.integers[1], 1, "numbers have zeros in front");

    admit_limits(&reply, "999999999999999", "-00000000000001",
                 "000000000000001");
    is_int(reply.integers[1], 0, "and are read as decimal");

    admit_limits(&reply, "999999999999999", "999999999999999",
                 "999999999999999");
    is_int(reply.integers[1], 1, "as large as they may be");
    is_int(reply.integers[4], 0, "such a limit is far");

    admit_limits(&reply, "", "-1", "-1");
    ok(reply.error[0], "no number is an error: %s", reply.error);

    flush();
    admit(&reply, LEASE, "999999999999999", NULL);
    is_int(reply.integers[1], 1, "a lease of the longest ttl");
    is_int(expires(LEASE), (int64_t) script_now + 999999999999999,
           "expires to the millisecond");
    ok(script_integer("PTTL " RUNS) > 999999999999999LL, "the key after it");
}


/* Keys that are not what they should be. */

static void
test_layouts(void)
{
    size_t           i;
    const char      *value;
    script_reply_t   reply;

    const char *const   reads[] = { READS, "5", NULL };
    const char *const   told[] = { WINDOW, "m", "0", "1", NULL };

    static const char  *values[] = {
        "x", "0123456789012345678901234567890123456789", "PHW\x02"
        "012345678901234567890123456789012345"
    };

    for (i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        value = values[i];

        flush();
        freeReplyObject(script_ask("SET " WINDOW " %s", value));
        freeReplyObject(script_ask("SET " READS " %s", value));

        admit(&reply, LEASE, "5000", NULL);
        ok(reply.n == 0 && strncmp(reply.error, "PHRONYLAYOUT ", 13) == 0,
           "no verdict from \"%s\": %s", show(value, strlen(value)),
           reply.error);

        script_run(&reply, PHRONY_SCRIPT_READ, 1, (const char **) reads);
        ok(reply.n == 0 && strncmp(reply.error, "PHRONYLAYOUT ", 13) == 0,
           "nor about a read: %s", reply.error);

        script_run(&reply, PHRONY_SCRIPT_TELL, 1, (const char **) told);
        ok(reply.n == 0 && strncmp(reply.error, "PHRONYLAYOUT ", 13) == 0,
           "nor is it counted on: %s", reply.error);
    }

    /* whole headers, and not the rings */

    flush();
    admit(&reply, LEASE, "5000", NULL);
    freeReplyObject(script_ask("EVAL %s 1 " WINDOW,
                               "redis.call('SET', KEYS[1], redis.call("
                               "'GETRANGE', KEYS[1], 0, 50))"));
    script_now += 62000;
    admit(&reply, RUN, "5000", NULL);
    is_int(reply.integers[1], 1, "a ring that nobody needs is made anew");

    script_now += 50 * 900000;
    admit(&reply, NONE, "5000", NULL);
    freeReplyObject(script_ask("EVAL %s 1 " WINDOW,
                               "redis.call('SET', KEYS[1], redis.call("
                               "'GETRANGE', KEYS[1], 0, 283))"));
    script_now += 47 * 900000;
    admit(&reply, "r", "5000", NULL);
    ok(strncmp(reply.error, "PHRONYLAYOUT ", 13) == 0,
       "one that is needed is an error: %s", reply.error);

    flush();
    freeReplyObject(script_ask("RPUSH " WINDOW " a"));
    admit(&reply, LEASE, "5000", NULL);
    ok(strstr(reply.error, "WRONGTYPE"), "a window of another type: %s",
       reply.error);
    is_int(script_integer("EXISTS " RUNS), 0, "takes no slot");

    flush();
    freeReplyObject(script_ask("SET " RUNS " a"));
    admit(&reply, LEASE, "5000", NULL);
    ok(strstr(reply.error, "WRONGTYPE"), "runs of another type: %s",
       reply.error);
    is_int(script_integer("EXISTS " WINDOW), 0, "count nothing");
}


/* Keys live as long as what is in them, and no key for ever. */

static void
test_lives(void)
{
    script_reply_t  reply;

    static const char *const  told[] = { WINDOW, "m", "0", "1", NULL };

    flush();
    admit(&reply, LEASE, "5000", NULL);
    ok(script_integer("PTTL " WINDOW) > 97 * 900000,
       "a window outlives a day");
    ok(script_integer("PTTL " RUNS) > HOUR, "a lease has time to be bound");

    settle(&reply, 'B', LEASE, RUN, 30 * HOUR);
    ok(script_integer("PTTL " RUNS) > 30 * HOUR, "a binding makes it longer");

    settle(&reply, 'E', NONE, RUN, 5000);
    ok(script_integer("PTTL " RUNS) > 30 * HOUR, "and nothing shorter");

    freeReplyObject(script_ask("DEL " RUNS));
    admit(&reply, LEASE, "5000", NULL);
    ok(script_integer("PTTL " RUNS) > 5000, "a set made anew has a TTL");

    settle(&reply, 'R', LEASE, NONE, 0);
    is_int(script_integer("EXISTS " RUNS), 0, "a set that is empty is gone");

    admit(&reply, LEASE, "5000", NULL);
    ok(script_integer("PTTL " RUNS) > 5000, "the next one has a TTL");

    settle(&reply, 'R', LEASE, NONE, 0);
    admit(&reply, LEASE, "5000", settlement('B', RUN, RUN, 9 * HOUR));
    ok(script_integer("PTTL " RUNS) > 9 * HOUR,
       "as has one that is made by what rides along");

    settle(&reply, 'R', RUN, NONE, 0);
    settle(&reply, 'R', LEASE, NONE, 0);
    admit(&reply, LEASE, "5000", settlement('H', NONE, RUN, 5000));
    is_int(reply.integers[8], 2, "even if one was here before");
    ok(script_integer("PTTL " RUNS) > 5000, "and lived for longer");

    script_run(&reply, PHRONY_SCRIPT_TELL, 1, (const char **) told);
    admit(&reply, NONE, "7200000", NULL);
    ok(script_integer("PTTL " RUNS) > 2 * HOUR,
       "what is told makes nobody think that it lives longer");

    freeReplyObject(script_ask("PERSIST " WINDOW));
    script_now += 900000;
    admit(&reply, NONE, "5000", NULL);
    ok(script_integer("PTTL " WINDOW) > 97 * 900000,
       "the window's is set anew in each of the day's buckets");
}


/* What has expired is removed in passing, and not too much at a time. */

static void
test_purge(void)
{
    int              i;
    char             lease[64];
    long long        before, after;
    script_reply_t   reply;

    flush();

    freeReplyObject(script_ask("EVAL %s 1 " RUNS " %llu",
                               "for i = 1, 3000 do redis.call('ZADD', KEYS[1],"
                               " (i % 2 * 2 - 1) * (ARGV[1] - i), 'x' .. i)"
                               " end", (unsigned long long) script_now));

    put(RUN, HELD, 5000);
    put(LEASE, ENDED, 5000);
    put(NONE, ENDED_EXPIRED, 0);

    for (i = 0; i < 64 * 3 + 1; i++) {
        before = script_integer("ZCARD " RUNS);

        snprintf(lease, sizeof(lease), "1ea5e000-0000-4000-8000-%012d",
                 i + 100);
        admit(&reply, lease, "5000", NULL);

        after = script_integer("ZCARD " RUNS);

        if (before - after > 1000) {
            break;
        }
    }

    is_int(i, 64 * 3 + 1, "at most 1000 at a time");
    is_int(after, 64 * 3 + 1 + 2, "all that have expired, in the end");
    ok(state_of(RUN) == HELD && state_of(LEASE) == ENDED, "and no other");
}


/* A window counts up to 2^32 - 1, as the memory store's does. */

static void
test_numbers(void)
{
    script_reply_t  reply;

    static const char *const  told[] = { WINDOW, "m", "10000",
                                         "4294967295", NULL };

    flush();
    admit(&reply, LEASE, "5000", NULL);

    freeReplyObject(script_ask("SETRANGE " WINDOW " 24 %b",
                               "\xff\xff\xff\xff\x01\x00\x00\x00"
                               "\xfe\xff\xff\xff\x01\x00\x00\x00",
                               (size_t) 16));

    admit(&reply, RUN, "5000", NULL);
    is_int(reply.integers[2], 4294967295, "it counts no more");
    is_int(reply.integers[5], 4294967295, "nor beyond");

    admit(&reply, NONE, "5000", NULL);
    is_int(reply.integers[5], 4294967295, "at all");
    is_int(reply.integers[1], 1, "where no limit is that high");

    script_run(&reply, PHRONY_SCRIPT_TELL, 1, (const char **) told);
    admit(&reply, "x", "5000", NULL);
    is_int(reply.integers[2], 4294967295, "nor when it is told of more");
}


/* A clock that is set back takes the counts with it. */

static void
test_clock_set_back(void)
{
    int              i;
    char             lease[64];
    uint64_t         back;
    script_reply_t   reply;

    static const char *const  told[] = { WINDOW, "m", "10000", "4", NULL };

    static const uint64_t  steps[] = {
        1000, 30000, 61000, HOUR, 365ULL * 24 * HOUR
    };

    for (i = 0; i < 5; i++) {
        flush();

        snprintf(lease, sizeof(lease), "1ea5e000-0000-4000-8000-%012d", i);
        admit(&reply, lease, "5000", NULL);

        script_now += 20000;
        lease[0] = '2';
        admit(&reply, lease, "5000", NULL);

        back = steps[i];
        script_now -= back;

        admit_limits(&reply, "2", "-1", "-1");
        is_int(reply.integers[1], 0, "what was counted still counts");
        is_int(reply.integers[2], 2, "all of it");
        ok(reply.integers[4] > 39000 && reply.integers[4] <= 41000,
           "for as long as before: %lld", reply.integers[4]);

        script_now += reply.integers[4] - 1;
        admit_limits(&reply, "2", "-1", "-1");
        is_int(reply.integers[1], 0, "and to the millisecond");

        script_now += 1;
        admit_limits(&reply, "2", "-1", "-1");
        is_int(reply.integers[1], 1, "then no longer");

        script_now += back;
    }

    flush();
    admit(&reply, LEASE, "5000", NULL);
    script_now += 20000;
    admit(&reply, RUN, "5000", NULL);
    script_now -= HOUR;
    script_run(&reply, PHRONY_SCRIPT_TELL, 1, (const char **) told);
    admit_limits(&reply, "6", "-1", "-1");
    is_int(reply.integers[2], 6, "what is told then is added");
    is_int(reply.integers[5], 2, "to what stands");
    script_now += HOUR;
}


static void
test_sizes(void)
{
    int              i;
    char             id[64];
    long long        empty, few, many;
    script_reply_t   reply;

    static const char *const  reads[] = { READS, "5", NULL };

    flush();
    admit(&reply, LEASE, "5000", NULL);
    script_run(&reply, PHRONY_SCRIPT_READ, 1, (const char **) reads);

    empty = script_integer("MEMORY USAGE " RUNS);

    for (i = 0; i < 99; i++) {
        snprintf(id, sizeof(id), "00000000-0000-4000-8000-%012d", i);
        put(id, HELD, 5000);
    }

    few = script_integer("MEMORY USAGE " RUNS);

    for ( /* void */ ; i < 10099; i++) {
        snprintf(id, sizeof(id), "00000000-0000-4000-8000-%012d", i);
        put(id, HELD, 5000);
    }

    many = script_integer("MEMORY USAGE " RUNS " SAMPLES 0");

    printf("# bytes: window %lld, reads %lld, a lease alone %lld, each run"
           " %lld of 100, %lld of 10100\n",
           script_integer("MEMORY USAGE " WINDOW),
           script_integer("MEMORY USAGE " READS), empty,
           (few - empty) / 99, (many - few) / 10000);

    ok(script_integer("MEMORY USAGE " WINDOW) <= 1024, "a window fits 1 KiB");
    ok(script_integer("STRLEN " WINDOW) == 672, "and does not grow");
}


static void
admit(script_reply_t *reply, const char *lease, const char *ttl,
    const char *with)
{
    const char  *argv[9] = { WINDOW, RUNS, "-1", "-1", "-1", ttl, lease, with,
                             NULL };

    script_run(reply, PHRONY_SCRIPT_ADMIT, 2, argv);
}


static void
admit_limits(script_reply_t *reply, const char *rpm, const char *rpd,
    const char *runs)
{
    char             lease[64];
    static unsigned  n;

    const char  *argv[8] = { WINDOW, RUNS, rpm, rpd, runs, "5000", lease,
                             NULL };

    snprintf(lease, sizeof(lease), "3ea5e000-0000-4000-8000-%012u", n++);

    script_run(reply, PHRONY_SCRIPT_ADMIT, 2, argv);
}


static void
settle(script_reply_t *reply, char event, const char *lease,
    const char *run, uint64_t ttl)
{
    const char  *argv[3] = { RUNS, settlement(event, lease, run, ttl), NULL };

    script_run(reply, PHRONY_SCRIPT_SETTLE, 1, argv);
}


static const char *
settlement(char event, const char *lease, const char *run, uint64_t ttl)
{
    static char  buf[128];

    snprintf(buf, sizeof(buf), "%c%s%s%015llu", event, lease, run,
             (unsigned long long) ttl);

    return buf;
}


static void
put(const char *id, state_t state, uint64_t ttl)
{
    int64_t  score;

    if (state == UNKNOWN) {
        return;
    }

    score = (int64_t) script_now;

    if (state == HELD || state == ENDED) {
        score += (int64_t) ttl;
    }

    if (state == ENDED || state == ENDED_EXPIRED) {
        score = -score;
    }

    freeReplyObject(script_ask("ZADD " RUNS " %lld %s", (long long) score,
                               id));

    if (script_integer("PTTL " RUNS) < 0) {
        freeReplyObject(script_ask("PEXPIRE " RUNS " 100000"));
    }
}


static state_t
state_of(const char *id)
{
    int64_t      score;
    redisReply  *r;

    r = script_ask("ZSCORE " RUNS " %s", id);

    if (r->type == REDIS_REPLY_NIL) {
        freeReplyObject(r);
        return UNKNOWN;
    }

    score = strtoll(r->str, NULL, 10);
    freeReplyObject(r);

    if (score > 0) {
        return (score > (int64_t) script_now) ? HELD : HELD_EXPIRED;
    }

    return (-score > (int64_t) script_now) ? ENDED : ENDED_EXPIRED;
}


static int64_t
expires(const char *id)
{
    int64_t      score;
    redisReply  *r;

    r = script_ask("ZSCORE " RUNS " %s", id);
    score = r->str ? strtoll(r->str, NULL, 10) : 0;
    freeReplyObject(r);

    return (score < 0) ? -score : score;
}


static void
flush(void)
{
    freeReplyObject(script_ask("FLUSHALL"));
}
