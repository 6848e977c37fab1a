
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "script.h"

#include "phrony_lease.h"
#include "phrony_slot.h"
#include "phrony_uuid.h"


/* Which leases suspects.lua names, to the millisecond; and what is found. */


#define LIFE      60000
#define RESERVED  20000
#define QUIET     5000
#define INTERVAL  1000

#define RUNS      "phrony:{w}:runs:t"
#define ASKED     "phrony:{w}:asked:t"


typedef struct {
    size_t      n;                  /* leases that are named */
    char        ids[40][40];
    long long   unseen[40];
    char        error[256];
} answer_t;


static void test_bounds(void);
static void test_most(void);
static void test_interval(void);
static void test_cursor(void);
static void test_cursor_lost(void);
static void test_many(unsigned n);
static void test_young(void);
static void test_oldest(void);
static void test_keys(void);
static void test_wrong(void);
static void test_found(void);
static void ask(answer_t *a);
static void begin(void);
static void add(const char *id, long long expires);
static void unseen(const char *id, long long ms);
static int is(answer_t *a, size_t i, const char *id, long long ms);
static void settle(const char *event, const char *lease, const char *run);
static long long score(const char *id);
static const char *run(unsigned n);
static const char *lease(unsigned n);


static long long  life = LIFE;

int
main(void)
{
    phrony_str_t   text;
    phrony_uuid_t  id;

    script_open();

    text = str(lease(1));
    ok(phrony_uuid_parse(&text, &id) == 0 && phrony_lease_is_id(&id),
       "the id of a lease is one");
    text = str(run(1));
    ok(phrony_uuid_parse(&text, &id) == 0 && !phrony_lease_is_id(&id),
       "that of a run is not");

    test_bounds();
    test_most();
    test_interval();
    test_cursor();
    test_cursor_lost();
    test_many(33);
    test_many(257);
    test_many(600);
    test_young();
    test_oldest();
    test_keys();
    test_wrong();
    test_found();

    return done();
}


static void
test_bounds(void)
{
    answer_t  a;

    begin();
    ask(&a);
    ok(a.n == 0 && *a.error == '\0', "of nothing nothing is named");

    begin();
    unseen(run(1), QUIET);
    unseen(run(2), QUIET - 1);
    unseen(lease(3), QUIET);
    unseen(lease(4), QUIET - 1);
    ask(&a);
    is_int(a.n, 2, "what was not seen for five seconds is named");
    ok(is(&a, 0, lease(3), QUIET), "a reservation by its own time");
    ok(is(&a, 1, run(1), QUIET), "a run by that of runs");

    begin();
    add(run(1), (long long) script_now);
    add(run(2), (long long) script_now + 1);
    add(run(3), -(long long) script_now - LIFE);
    add(run(4), -(long long) script_now - 1);
    add(lease(5), (long long) script_now);
    add(lease(6), (long long) script_now + 1);
    add(lease(7), -(long long) script_now - RESERVED);
    ask(&a);
    is_int(a.n, 2, "what holds no slot is not");
    ok(is(&a, 0, run(2), LIFE - 1), "a run that expires now is no more");
    ok(is(&a, 1, lease(6), RESERVED - 1), "nor such a reservation");

    /* a place where runs are given longer times has seen these */

    begin();
    unseen(run(1), -1);
    unseen(run(2), -LIFE);
    ask(&a);
    is_int(a.n, 0, "nor what lives longer than it is said to");
}


static void
test_most(void)
{
    int       good;
    size_t    i;
    answer_t  a;

    begin();

    for (i = 0; i < 40; i++) {
        unseen(run((unsigned) i), 10000 - (long long) i);
        unseen(lease((unsigned) i), 10000 - (long long) i);
    }

    ask(&a);
    is_int(a.n, 36, "no more are named than 32 runs and 4 reservations");

    for (i = 0, good = 1; i < 4; i++) {
        good &= is(&a, i, lease((unsigned) i), 10000 - (long long) i);
    }

    for (i = 0; i < 32; i++) {
        good &= is(&a, 4 + i, run((unsigned) i), 10000 - (long long) i);
    }

    ok(good, "the longest unseen, in their order");
}


static void
test_interval(void)
{
    answer_t  a;

    begin();
    unseen(run(1), QUIET);

    ask(&a);
    is_int(a.n, 1, "it is named");
    ask(&a);
    is_int(a.n, 0, "and not at once again");
    script_now += INTERVAL - 1;
    ask(&a);
    is_int(a.n, 0, "nor within the interval");
    script_now += 1;
    ask(&a);
    ok(is(&a, 0, run(1), QUIET + INTERVAL), "but after it");

    ask(&a);
    is_int(a.n, 0, "that counts from then");
    script_now -= 1;
    ask(&a);
    is_int(a.n, 1, "a clock that was set back does not stop it");

    ok(script_integer("PTTL %s", ASKED) > 59000, "it is forgotten some day");
}


/* The next answer begins with the fifth run of the last. */

static void
test_cursor(void)
{
    unsigned  i, first;
    answer_t  a;

    begin();

    for (i = 0; i < 10; i++) {
        unseen(run(i), 20000 - i);
    }

    for (i = 0, first = 0; i < 6; i++) {
        ask(&a);
        is_int(a.n, 10, "all are named");
        ok(strcmp(a.ids[0], run(first)) == 0, "beginning with %u", first);
        ok(strcmp(a.ids[9], run((first + 9) % 10)) == 0, "and round");

        first = (first + 4) % 10;
        script_now += INTERVAL;
    }

    begin();

    for (i = 0; i < 4; i++) {
        unseen(run(i), 20000 - i);
    }

    ask(&a);
    script_now += INTERVAL;
    unseen(run(9), 20000 - 9);
    ask(&a);
    ok(a.n == 5 && strcmp(a.ids[0], run(0)) == 0,
       "where there are but four, it begins with the first");
}


/* The one to begin with has gone, ended, expired or was seen. */

static void
test_cursor_lost(void)
{
    unsigned  i, j;
    answer_t  a;

    static const char  *bad[] = { "", "x", "12", "000000000000000",
                                  "000000000000000x", "notanumber12345abc" };

    for (i = 0; i < 4; i++) {
        begin();

        for (j = 0; j < 10; j++) {
            unseen(run(j), 20000 - j);
        }

        ask(&a);

        if (i == 0) {
            (void) script_integer("ZREM %s %s", RUNS, run(4));

        } else if (i == 1) {
            add(run(4), -(long long) script_now - LIFE);

        } else if (i == 2) {
            add(run(4), (long long) script_now + 1);

        } else {
            add(run(4), (long long) script_now + INTERVAL + LIFE);
        }

        script_now += INTERVAL;
        ask(&a);
        is_int(a.n, 9, "the others are named");
        ok(strcmp(a.ids[0], run(0)) == 0, "from the first");
    }

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        begin();
        unseen(run(0), QUIET + 1);
        unseen(run(1), QUIET);
        freeReplyObject(script_ask("SET %s %s", ASKED, bad[i]));
        ask(&a);
        ok(a.n == 2 && strcmp(a.ids[0], run(0)) == 0,
           "as after what was never noted: \"%s\"", bad[i]);
    }
}


/* Nothing comes of asking for the first four: each run comes among them. */

static void
test_many(unsigned n)
{
    char      *flag, asked[1000];
    size_t     i;
    unsigned   turn, left;
    answer_t   a;

    begin();
    life = 3600 * 1000;

    memset(asked, 0, sizeof(asked));

    for (i = 0; i < n; i++) {
        unseen(run((unsigned) i), QUIET + 1000 - (long long) i);
    }

    for (turn = 0, left = n; left && turn < n; turn++) {
        ask(&a);

        for (i = 0; i < 4 && i < a.n; i++) {
            flag = &asked[strtoul(a.ids[i], NULL, 16)];

            left -= (*flag == 0);
            *flag = 1;
        }

        script_now += INTERVAL;
    }

    is_int(left, 0, "each of many comes to be asked for");
    is_int(turn, (n + 3) / 4, "four at a time");

    life = LIFE;
}


/* More than are looked at stand before the first that is to be named. */

static void
test_young(void)
{
    unsigned  i;
    answer_t  a;

    begin();

    for (i = 0; i < 300; i++) {
        unseen(lease(i), 0);
    }

    for (i = 0; i < 6; i++) {
        unseen(run(i), 30000);
    }

    ask(&a);
    is_int(a.n, 0, "256 are looked at");

    script_now += INTERVAL;
    ask(&a);
    is_int(a.n, 6, "and then others");
    ok(strcmp(a.ids[0], run(0)) == 0, "which are named");

    script_now += INTERVAL;
    ask(&a);
    ok(a.n == 2 && strcmp(a.ids[0], run(4)) == 0, "in turn");
}


/* Reservations are before runs, since they are given less time. */

static void
test_oldest(void)
{
    size_t    i;
    unsigned  turn;
    answer_t  a;

    begin();

    for (i = 0; i < 6; i++) {
        unseen(lease((unsigned) i), 12000 - (long long) i);
    }

    for (i = 0; i < 9; i++) {
        unseen(run((unsigned) i), 12000);
    }

    for (turn = 0; turn < 5; turn++) {
        ask(&a);

        for (i = 0; i < a.n && a.ids[i][14] != 'f'; i++) {
            /* void */
        }

        ok(is(&a, i, lease(0), 12000 + turn * INTERVAL),
           "the oldest reservation is the first of them");

        script_now += INTERVAL;
    }
}


/* It touches its keys, which are in one slot, and no others. */

static void
test_keys(void)
{
    answer_t      a;
    phrony_str_t  runs, asked;

    begin();
    unseen(run(1), QUIET);
    ask(&a);

    runs = str(RUNS);
    asked = str(ASKED);

    is_int(phrony_slot(&runs), phrony_slot(&asked), "its keys are together");
    is_int(script_integer("EXISTS %s %s", RUNS, ASKED), 2, "they are there");
    is_int(script_integer("DBSIZE"), 3, "and the clock");
    is_int(script_integer("PTTL %s", RUNS), -1, "the runs' is not changed");
}


static void
test_wrong(void)
{
    answer_t  a;

    begin();
    unseen(run(1), QUIET);
    (void) script_integer("LPUSH %s a", ASKED);
    ask(&a);
    ok(strstr(a.error, "WRONGTYPE") != NULL, "a list says not when: %s",
       a.error);

    (void) script_integer("DEL %s", ASKED);
    ask(&a);
    is_int(a.n, 1, "without it all is well");

    begin();
    freeReplyObject(script_ask("SET %s broken", RUNS));
    ask(&a);
    ok(strstr(a.error, "WRONGTYPE") != NULL, "a string holds no runs: %s",
       a.error);
    is_int(script_integer("EXISTS %s", ASKED), 0, "which nobody has asked");

    begin();
    unseen("short", QUIET);
    ask(&a);
    ok(a.n == 1 && strcmp(a.ids[0], "short") == 0,
       "what is no id is the gateway's to judge");
}


/* The lease holds at this very moment, and the run is not known. */

static void
test_found(void)
{
    long long  now;

    begin();
    now = (long long) script_now;

    add(lease(1), now + 1);
    settle("F", lease(1), run(1));
    is_int(score(run(1)), now + LIFE, "a lease becomes the run");
    is_int(score(lease(1)), 0, "and is gone");

    add(lease(2), now + 1);
    settle("G", lease(2), run(2));
    is_int(score(run(2)), -now - LIFE, "or a run that has ended");
    is_int(score(lease(2)), 0, "and is gone");

    add(lease(3), now);
    settle("F", lease(3), run(3));
    settle("G", lease(3), run(3));
    is_int(score(run(3)), 0, "but not one that expires now");
    is_int(score(lease(3)), now, "which is left");

    settle("F", lease(4), run(4));
    settle("G", lease(4), run(4));
    is_int(score(run(4)), 0, "nor one that nobody holds");

    add(lease(5), -now - LIFE);
    settle("F", lease(5), run(5));
    is_int(score(run(5)), 0, "nor one that was abandoned");
    is_int(score(lease(5)), -now - LIFE, "which stays so");

    add(lease(6), now + 100);
    add(run(6), now + 1);
    settle("F", lease(6), run(6));
    settle("G", lease(6), run(6));
    is_int(score(run(6)), now + 1, "nor for a run that is known");
    add(run(6), -now - 1);
    settle("F", lease(6), run(6));
    settle("G", lease(6), run(6));
    is_int(score(run(6)), -now - 1, "or known to have ended");
    is_int(score(lease(6)), now + 100, "so that the lease is left");

    add(run(6), now);
    settle("F", lease(6), run(6));
    is_int(score(run(6)), now + LIFE, "a run that was forgotten is not known");

    add(lease(7), now + 100);
    add(run(7), -now);
    settle("G", lease(7), run(7));
    is_int(score(run(7)), -now - LIFE, "nor one whose end was");

    ok(script_integer("PTTL %s", RUNS) > LIFE, "the key outlives them");
}


static void
ask(answer_t *a)
{
    char         numbers[2][24];
    size_t       i;
    redisReply  *r;

    const char  *argv[] = { RUNS, ASKED, numbers[0], "000000000020000",
                            "000000000005000", "000000000001000", NULL };

    snprintf(numbers[0], sizeof(numbers[0]), "%015lld", life);

    memset(a, 0, sizeof(*a));

    r = script_call(PHRONY_SCRIPT_SUSPECTS, 2, argv);

    if (r->type == REDIS_REPLY_ERROR) {
        snprintf(a->error, sizeof(a->error), "%s", r->str);
        freeReplyObject(r);
        return;
    }

    if (r->type != REDIS_REPLY_ARRAY || r->elements % 2 == 0
        || r->element[0]->integer != 1 || r->elements > 81)
    {
        strcpy(a->error, "no answer");
    }

    for (i = 1; i < r->elements && *a->error == '\0'; i += 2) {
        snprintf(a->ids[a->n], sizeof(a->ids[0]), "%s", r->element[i]->str);
        a->unseen[a->n++] = r->element[i + 1]->integer;
    }

    freeReplyObject(r);
}


/* Redis is empty, and time has passed. */

static void
begin(void)
{
    freeReplyObject(script_ask("FLUSHALL"));
    script_now += 12345;
}


static void
add(const char *id, long long expires)
{
    (void) script_integer("ZADD %s %lld %s", RUNS, expires, id);
}


/* It is there since it was seen, so many ms ago. */

static void
unseen(const char *id, long long ms)
{
    add(id, (long long) script_now - ms + (strlen(id) > 14 && id[14] == 'f'
                                        ? RESERVED : life));
}


static int
is(answer_t *a, size_t i, const char *id, long long ms)
{
    if (i < a->n && strcmp(a->ids[i], id) == 0 && a->unseen[i] == ms) {
        return 1;
    }

    printf("# %zu of %zu: %s, %lld ms\n", i, a->n, a->ids[i], a->unseen[i]);

    return 0;
}


static void
settle(const char *event, const char *lease, const char *run)
{
    char            text[96];
    script_reply_t  reply;

    const char  *argv[] = { RUNS, text, NULL };

    snprintf(text, sizeof(text), "%s%s%s%015d", event, lease, run, LIFE);
    script_run(&reply, PHRONY_SCRIPT_SETTLE, 1, argv);

    if (reply.n != 1) {
        ok(0, "%s is a settlement: %s", text, reply.error);
    }
}


/* 0: it is not known. */

static long long
score(const char *id)
{
    long long    n;
    redisReply  *r;

    r = script_ask("ZSCORE %s %s", RUNS, id);
    n = (r->type == REDIS_REPLY_STRING) ? atoll(r->str) : 0;
    freeReplyObject(r);

    return n;
}


/* Good until the fourth call from now. */

static const char *
run(unsigned n)
{
    static char      ring[4][40];
    static unsigned  next;

    next = (next + 1) % 4;
    sprintf(ring[next], "%08x-0000-4000-8000-00000000000a", n);

    return ring[next];
}


static const char *
lease(unsigned n)
{
    static char      ring[4][40];
    static unsigned  next;

    next = (next + 1) % 4;
    sprintf(ring[next], "%08x-0000-f000-8000-00000000000b", n);

    return ring[next];
}
