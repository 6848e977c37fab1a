
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


/* sources: ngx_http_phrony_module/store/ ngx_http_phrony_module/redis/
            nginx */


#include "gateway.h"

#include "ngx_phrony_suspect.h"


/*
 * Which leases are named as unseen, and what is found of them: by the memory
 * store, and by the Redis store on a real server.  Time passes for both; for
 * Redis by making all that it has so much older.
 */


#define RESERVATION  3000000
#define RUN_TTL      3600000
#define MANY         300

static void open_shared(void);
static void both(const char *name, void (*test)(void));
static void test_quiet(void);
static void test_most(void);
static void test_rotation(void);
static void test_rotation_of(unsigned n);
static void test_oldest(void);
static void test_polled(void);
static void test_expired(void);
static void test_found(void);
static void test_found_other(void);
static void test_found_late(void);
static void test_duration(void);
static void test_fleet(void);
static void test_forgotten(void);
static void test_away(void);
static void test_cancel(void);
static void test_lost(void);
static void test_no_memory(void);
static void test_garbage(void);
static void test_wrong(void);
static void test_found_away(void);
static void test_keys(void);
static int parses(ngx_phrony_suspects_t *s, const char *text);
static void start(uint64_t trigger, ngx_phrony_op_t *op);
static void run(uint64_t trigger, uint64_t n);
static void settle(ngx_phrony_op_t *op, phrony_lease_event_t event,
    uint64_t n, ngx_uint_t found);
static void see(uint64_t trigger, phrony_lease_event_t event, uint64_t n);
static uint32_t duration(uint64_t trigger);
static ngx_int_t suspect(gateway_t *g, uint64_t trigger,
    ngx_phrony_suspects_t *s);
static void ask(ngx_phrony_op_t *op, uint64_t trigger,
    ngx_phrony_suspects_t *s);
static ngx_uint_t named(uint64_t trigger);
static int is_run(ngx_phrony_suspects_t *s, ngx_uint_t i, uint64_t n);
static int is_lease(ngx_phrony_suspects_t *s, ngx_uint_t i,
    ngx_phrony_op_t *op);
static uint64_t held(uint64_t trigger);
static int known(uint64_t trigger, uint64_t n);
static void pass(uint64_t ms);
static void asked_now(uint64_t trigger);
static int contains(ngx_phrony_redis_command_t *command, const char *text);


static gateway_t             gate;          /* the store that is tested */
static int                   shared;        /* it is the Redis store */
static ngx_phrony_suspects_t found;


/* Words are separated by tabs, as blanks separate arguments. */

static const char  *ages =
    "for\ti,k\tin\tipairs(redis.call('KEYS','*:runs:*'))\tdo\n"
        "local\tr=redis.call('ZRANGE',k,0,-1,'WITHSCORES')\n"
        "for\tj=1,#r,2\tdo\n"
            "local\ts=r[j+1]+0\n"
            "s=s>0\tand\ts-ARGV[1]\tor\ts+ARGV[1]\n"
            "redis.call('ZADD',k,('%d'):format(s),r[j])\n"
        "end\n"
    "end\n"
    "for\ti,k\tin\tipairs(redis.call('KEYS','*:asked:*'))\tdo\n"
        "local\ts=redis.call('GET',k)\n"
        "redis.call('SET',k,('%015d'):format(s:sub(1,15)-ARGV[1])"
            "..s:sub(16))\n"
    "end";

static const char  *asks =
    "local\tt=redis.call('TIME')\n"
    "redis.call('SET',KEYS[1],('%015d'):format(t[1]*1000+t[2]/1000))";


int
main(void)
{
    loop_open();

    server_listens = server_port();
    server_start("");

    both("quiet", test_quiet);
    both("most", test_most);
    both("rotation", test_rotation);
    both("oldest", test_oldest);
    both("polled", test_polled);
    both("expired", test_expired);
    both("found", test_found);
    both("found for another", test_found_other);
    both("found late", test_found_late);
    both("duration", test_duration);

    test_fleet();
    test_forgotten();
    test_cancel();
    test_lost();
    test_no_memory();
    test_garbage();
    test_wrong();
    test_found_away();
    test_keys();
    test_away();

    client_close();
    server_stop(SIGTERM);
    loop_close();

    return done();
}


/* A gateway on an empty Redis. */

static void
open_shared(void)
{
    gateway_open(&gate, 2 * 1024 * 1024);
    (void) gateway_tell("FLUSHALL");

    shared = 1;
}


static void
both(const char *name, void (*test)(void))
{
    printf("# %s, in memory\n", name);

    store_open(2 * 1024 * 1024);

    memset(&gate, 0, sizeof(gate));
    gate.zone = zone;
    gate.store = store;
    shared = 0;

    test();

    ok(gateway_sound(&gate), "the zone is sound");
    store_close();

    printf("# %s, with Redis\n", name);

    open_shared();

    test();

    ok(gateway_sound(&gate), "the zone is sound");
    gateway_close(&gate);
}


static void
test_quiet(void)
{
    is_int(named(1), 0, "a trigger that nobody knows has none");

    run(1, 100);
    pass(2000);
    is_int(named(1), 0, "a run of two seconds is not one");

    pass(3000);
    is_int(named(1), 1, "one that was not seen for five is");
    ok(is_run(&found, 0, 100), "it is that run");
    ok(found.runs[0].unseen >= 5000
       && found.runs[0].unseen <= (shared ? 9000 : 5000),
       "and how long was it not seen: %d ms", (int) found.runs[0].unseen);

    asked_now(1);
    is_int(named(1), 0, "that was just asked");

    pass(shared ? 0 : 999);
    asked_now(1);
    is_int(named(1), 0, "and is not asked within the second");

    run(2, 200);
    pass(shared ? 6000 : 1);
    is_int(named(1), 1, "but then");

    pass(6000);
    is_int(named(1), 1, "a trigger is asked for");
    is_int(named(2), 1, "and another one at the same time");

    see(1, PHRONY_LEASE_END, 100);
    pass(6000);
    is_int(named(1), 0, "a run that has ended is not named");
    is_int(named(2), 1, "another's is");
}


static void
test_most(void)
{
    unsigned         i;
    ngx_phrony_op_t  op[6];

    for (i = 0; i < 6; i++) {
        start(1, &op[i]);
        pass(10);
        run(1, 100 + i);
        pass(10);
    }

    pass(5000);
    is_int(named(1), 8, "eight are named");
    is_int(found.nruns, 4, "four runs");
    is_int(found.nleases, 4, "and four of which no run is known");

    for (i = 0; i < 4; i++) {
        ok(is_run(&found, i, 100 + i), "the longest unseen come first");
        ok(is_lease(&found, i, &op[i]), "of reservations as well");
    }

    ok(found.leases[0].unseen > found.leases[3].unseen
       && found.runs[0].unseen > found.runs[3].unseen, "so it is said");

    pass(1000);
    (void) named(1);
    ok(is_run(&found, 0, 104) && is_run(&found, 1, 105)
       && is_run(&found, 2, 100), "then others, and those again");

    for (i = 0; i < 6; i++) {
        see(1, PHRONY_LEASE_SEEN, 100 + i);
    }

    settle(&op[0], PHRONY_LEASE_RELEASE, 0, 0);

    pass(1000);
    is_int(named(1), 4, "runs that were seen are not named");
    is_int(found.nruns, 0, "none of them");
    ok(is_lease(&found, 0, &op[1]), "nor what was given back");
}


/* Nothing comes of asking: all are asked for in turn. */

static void
test_rotation(void)
{
    test_rotation_of(5);
    test_rotation_of(9);
    test_rotation_of(40);
    test_rotation_of(MANY);
}


static void
test_rotation_of(unsigned n)
{
    unsigned  i, j, left, turns;
    unsigned  times[MANY];

    for (i = 0; i < n; i++) {
        run(n, 1000 * n + i);
        pass(i % 16 ? 0 : 1);
    }

    pass(5000);

    memset(times, 0, sizeof(times));
    left = n;

    for (turns = 0; left && turns < n; turns++) {
        (void) named(n);

        for (i = 0; i < found.nruns; i++) {
            for (j = 0; j < n; j++) {
                if (is_run(&found, i, 1000 * n + j)) {
                    left -= times[j]++ == 0;
                }
            }
        }

        pass(1000);
    }

    is_int(left, 0, "each run is asked for");
    is_int(turns, (n + 3) / 4, "four at a time");
}


/* An unknown run that began since may be the oldest reservation's. */

static void
test_oldest(void)
{
    unsigned         i, turn, times;
    ngx_phrony_op_t  op[6];

    start(1, &op[0]);
    pass(10);

    for (i = 0; i < 8; i++) {
        run(1, 100 + i);
        pass(10);
    }

    for (i = 1; i < 6; i++) {
        start(1, &op[i]);
        pass(10);
    }

    pass(5000);

    times = 0;

    for (turn = 0; turn < 6; turn++) {
        (void) named(1);
        times += found.nleases != 0;

        ok(found.nleases == 0 || is_lease(&found, 0, &op[0]),
           "the oldest reservation is named first");

        for (i = 1; i < found.nleases; i++) {
            ok(found.leases[i - 1].unseen >= found.leases[i].unseen,
               "others behind it");
        }

        pass(1000);
    }

    ok(times >= 3, "some are named %u times of 6", times);
}


static void
test_polled(void)
{
    run(1, 100);
    run(1, 101);
    pass(4000);

    see(1, PHRONY_LEASE_SEEN, 100);
    pass(2000);

    is_int(named(1), 1, "a run that is polled here is left out");
    ok(is_run(&found, 0, 101), "another is not");

    pass(3000);
    is_int(named(1), 2, "until it is not polled any more");
}


static void
test_expired(void)
{
    ngx_phrony_op_t  op;

    start(1, &op);
    run(1, 100);

    pass(RESERVATION - 60000);
    is_int(named(1), 2, "a reservation may be old");

    pass(60000);
    is_int(named(1), 1, "but not older than it may get");
    ok(found.nruns == 1 && is_run(&found, 0, 100), "the run is there");

    pass(RUN_TTL - RESERVATION);
    is_int(named(1), 0, "as long as it lives");
}


/* A run that the upstream has, for a start of unknown outcome. */

static void
test_found(void)
{
    ngx_phrony_op_t  op[6];

    start(1, &op[0]);
    settle(&op[0], PHRONY_LEASE_BIND, 100, 1);
    is_int(held(1), 1, "a run that is found holds the slot of its lease");
    is_int(known(1, 100), 1, "it does itself");

    pass(5000);
    ok(named(1) == 1 && is_run(&found, 0, 100),
       "so it is a run that may be asked for");
    see(1, PHRONY_LEASE_END, 100);
    is_int(held(1), 0, "its end gives the slot back");

    start(1, &op[1]);
    settle(&op[1], PHRONY_LEASE_END, 101, 1);
    is_int(held(1), 0, "one that has ended gives it back at once");
    is_int(known(1, 101), -1, "and is known");

    /* known runs are others' */

    run(1, 102);
    start(1, &op[2]);
    settle(&op[2], PHRONY_LEASE_BIND, 102, 1);
    is_int(held(1), 2, "a run that was known takes no other lease");
    settle(&op[2], PHRONY_LEASE_END, 102, 1);
    is_int(held(1), 2, "nor ends thereby");
    is_int(known(1, 102), 1, "it goes on");
    settle(&op[2], PHRONY_LEASE_BIND, 101, 1);
    settle(&op[2], PHRONY_LEASE_END, 101, 1);
    is_int(held(1), 2, "nor does one that has ended");
    is_int(known(1, 101), -1, "which has not begun again");

    settle(&op[2], PHRONY_LEASE_BIND, 103, 1);
    is_int(held(1), 2, "an unknown one takes it");
    is_int(known(1, 103), 1, "as the lease holds");

    settle(&op[2], PHRONY_LEASE_BIND, 104, 1);
    settle(&op[2], PHRONY_LEASE_END, 105, 1);
    is_int(held(1), 2, "once");
    is_int(known(1, 104) | known(1, 105), 0, "others are not known by that");

    start(1, &op[3]);
    settle(&op[3], PHRONY_LEASE_RELEASE, 0, 0);
    settle(&op[3], PHRONY_LEASE_BIND, 106, 1);
    settle(&op[3], PHRONY_LEASE_END, 107, 1);
    is_int(held(1), 2, "a lease that was given back takes no run");
    is_int(known(1, 106) | known(1, 107), 0, "and nothing is known of any");

    /* the answer comes after all */

    start(1, &op[4]);
    settle(&op[4], PHRONY_LEASE_BIND, 108, 1);
    settle(&op[4], PHRONY_LEASE_BIND, 108, 0);
    is_int(held(1), 3, "the start's own answer changes nothing then");

    start(1, &op[5]);
    settle(&op[5], PHRONY_LEASE_BIND, 109, 0);
    settle(&op[5], PHRONY_LEASE_END, 109, 1);
    is_int(held(1), 4, "nor does what is found after it");
}


/* Of two starts, one's run is found for the other's lease. */

static void
test_found_other(void)
{
    ngx_phrony_op_t  op[2];

    start(1, &op[0]);
    start(1, &op[1]);
    settle(&op[1], PHRONY_LEASE_BIND, 100, 1);
    is_int(held(1), 2, "it holds that one's slot");
    settle(&op[0], PHRONY_LEASE_BIND, 100, 0);
    is_int(held(1), 2, "its own start's lease stands in for that");

    see(1, PHRONY_LEASE_END, 100);
    is_int(held(1), 1, "and goes on as the run ends");
    settle(&op[1], PHRONY_LEASE_BIND, 101, 0);
    is_int(held(1), 2, "the other's answer has a slot of its own then");

    pass(RESERVATION);
    is_int(held(1), 1, "until the time of what stood in has run out");
}


static void
test_found_late(void)
{
    ngx_phrony_op_t  op, other;

    start(1, &op);
    pass(RESERVATION);
    settle(&op, PHRONY_LEASE_BIND, 100, 1);
    settle(&op, PHRONY_LEASE_END, 101, 1);
    is_int(held(1), 0, "a lease that ran out takes no run");
    is_int(known(1, 100) | known(1, 101), 0, "nor makes it known");

    run(1, 102);
    pass(RUN_TTL - 1000);
    start(1, &other);
    pass(1000);
    settle(&other, PHRONY_LEASE_BIND, 102, 1);
    is_int(held(1), 1, "a run that was forgotten is not known");
    is_int(known(1, 102), 1, "so that it takes a lease");
}


static void
test_duration(void)
{
    ngx_phrony_op_t  op;

    start(1, &op);
    is_int(op.duration, 0, "how long runs take is not known");
    settle(&op, PHRONY_LEASE_BIND, 100, 0);
    pass(10000);
    is_int(duration(1), 0, "before one has ended");

    see(1, PHRONY_LEASE_END, 100);
    is_int(duration(1), 10000, "the first one counts");
    see(1, PHRONY_LEASE_END, 100);
    is_int(duration(1), 10000, "once");

    run(1, 101);
    pass(9000);
    see(1, PHRONY_LEASE_SEEN, 101);
    pass(9000);
    see(1, PHRONY_LEASE_END, 101);
    is_int(duration(1), 11000, "the mean follows by an eighth");

    run(1, 102);
    pass(3000);
    see(1, PHRONY_LEASE_END, 102);
    is_int(duration(1), 10000, "both ways");

    start(1, &op);
    pass(90000);
    settle(&op, PHRONY_LEASE_RELEASE, 0, 0);
    is_int(duration(1), 10000, "what was no run does not count");

    see(1, PHRONY_LEASE_END, 103);
    is_int(duration(1), 10000, "nor a run whose start nobody saw");
    is_int(duration(2), 0, "another trigger's are others");

    if (!shared) {
        start(1, &op);
        pass(10000);
        settle(&op, PHRONY_LEASE_BIND, 104, 1);
        pass(8000);
        see(1, PHRONY_LEASE_END, 104);
        is_int(duration(1), 11000, "one that was found began with its lease");
    }
}


/* Of two gateways one is answered. */

static void
test_fleet(void)
{
    gateway_t        b;
    ngx_phrony_op_t  op;

    gateway_open(&b, 1024 * 1024);
    open_shared();

    run(1, 100);
    (void) gateway_start(&b, 1, &op);
    gateway_settle(&b, &op, PHRONY_LEASE_RELEASE, 0);
    gateway_rest(&b);

    pass(6000);
    is_int(named(1), 1, "one gateway is told of a run");

    asked_now(1);
    is_int(suspect(&b, 1, &found), NGX_AGAIN, "another one asks, too");
    is_int(found.nruns, 0, "and is told of none within a second");

    pass(1000);
    is_int(suspect(&b, 1, &found), NGX_AGAIN, "then it asks again");
    ok(found.nruns == 1 && is_run(&found, 0, 100), "and is told");

    is_int(suspect(&b, 1, &found), NGX_OK, "it does not ask twice");
    is_int(found.nruns, 0, "and there is none");

    asked_now(1);
    is_int(named(1), 0, "nor is there for the first one now");

    ok(gateway_sound(&gate) && gateway_sound(&b), "the zones are sound");

    gateway_close(&gate);
    gateway_close(&b);
}


/* Another gateway has renewed a run that this one knew until it expired. */

static void
test_forgotten(void)
{
    open_shared();

    run(1, 100);

    store_now += RUN_TTL;
    pass(6000);

    is_int(named(1), 1, "what the zone has to forget hides no run");

    gateway_close(&gate);
}


static void
test_cancel(void)
{
    int                     answered;
    ngx_phrony_op_t         op;
    ngx_phrony_suspects_t  *s;

    open_shared();

    run(1, 100);
    pass(6000);

    answered = 0;
    s = malloc(sizeof(*s));

    ask(&op, 1, s);
    op.data = &answered;
    is_int(gate.store->suspect(gate.store, &op), NGX_AGAIN,
           "it is on its way");
    gate.store->cancel(gate.store, &op);
    gate.store->cancel(gate.store, &op);
    free(s);
    memset(&op, 0xa5, sizeof(op));

    gateway_rest(&gate);
    is_int(answered, 0, "cancelled, it is not answered");

    pass(1000);
    is_int(named(1), 1, "the next one is");

    gateway_close(&gate);
}


/* Redis dies with the question. */

static void
test_lost(void)
{
    int                    answered;
    ngx_phrony_op_t        op;
    ngx_phrony_suspects_t  s;

    open_shared();

    run(1, 100);
    pass(6000);

    server_pause();

    answered = 0;
    ask(&op, 1, &s);
    op.data = &answered;
    is_int(gate.store->suspect(gate.store, &op), NGX_AGAIN,
           "it is on its way");

    server_stop(SIGKILL);

    ok(loop_until(gateway_answered, &answered, 20000), "it is answered");
    is_int(answered, 1, "once");
    ok(op.failed && op.flight == NULL, "that it has failed");

    (void) loop_until(gateway_is_down, &gate, 5000);

    server_start("");
    ok(loop_until(gateway_is_ready, &gate, 20000), "redis is there again");

    gateway_close(&gate);
}


static void
test_no_memory(void)
{
    int                    good;
    long                   n, seen;
    ngx_int_t              rc;
    ngx_phrony_suspects_t  s;

    good = 1;

    for (n = 1; n < 100; n++) {
        open_shared();

        run(1, 100);
        pass(6000);

        fail_at(n);
        rc = suspect(&gate, 1, &s);
        seen = allocs();
        fail_at(-1);

        good &= (rc == NGX_ERROR && s.nruns == 0) || rc == NGX_AGAIN
                || rc == NGX_OK;

        (void) loop_until(gateway_is_ready, &gate, 10000);
        pass(1000);
        good &= named(1) == 1 && is_run(&found, 0, 100);

        gateway_close(&gate);

        if (seen < n) {
            break;
        }
    }

    ok(n > 2 && n < 100, "%ld allocations fail, one each time", n - 1);
    ok(good, "and the next question is answered");
}


/* What is no answer fails the op. */

static void
test_garbage(void)
{
    size_t                 i;
    ngx_phrony_suspects_t  s;

    static const char  *bad[] = {
        "", "2", "x", "1r", "1rs", "1sr", "1r6x", "1r6r", "1r-", "1n6", "1r6n",
        "1l6l-", "1u6", "1r6s6"
    };

    open_shared();

    ok(parses(&s, "1") && s.nruns == 0 && s.nleases == 0, "none");
    ok(parses(&s, "1r6l7") && s.nruns == 1 && s.nleases == 1,
       "a run and a lease");
    ok(s.runs[0].unseen == 6 && s.leases[0].unseen == 7, "and their times");
    ok(parses(&s, "1r1r2r3r4r5l1l2l3l4l5l6"), "more than are asked for");
    ok(s.nruns == 4 && s.nleases == 4, "are cut");
    is_int(s.runs[3].unseen, 4, "behind the fourth");

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ok(!parses(&s, bad[i]), "no answer: \"%s\"", bad[i]);
    }

    gateway_close(&gate);
}


/*
 * 1, 2: versions; r, l: ids of a run and a lease; s: another text; n: nothing;
 * x: the array is none; u: an id without its end; -: less than none.
 */

static int
parses(ngx_phrony_suspects_t *s, const char *text)
{
    size_t         n;
    phrony_resp_t  reply, elements[32];

    static u_char  ids[2][PHRONY_UUID_TEXT_LEN + 1] = {
        "00000000-0000-4000-8000-000000000001",
        "00000000-0000-f000-8000-000000000001"
    };

    memset(s, 0, sizeof(*s));
    memset(&reply, 0, sizeof(reply));
    memset(elements, 0, sizeof(elements));

    reply.type = (*text == 'x') ? PHRONY_RESP_INTEGER : PHRONY_RESP_ARRAY;
    reply.elements = elements;

    for (n = 0; text[n]; n++) {
        phrony_resp_t  *e = &elements[n];

        e->type = PHRONY_RESP_STRING;
        e->str.len = PHRONY_UUID_TEXT_LEN;
        e->str.data = ids[text[n] == 'l'];

        switch (text[n]) {

        case 'r':
        case 'l':
            break;

        case 's':
            e->str = str("nobody");
            break;

        case 'u':
            e->str.len--;
            break;

        case 'n':
            e->type = PHRONY_RESP_NIL;
            break;

        default:
            e->type = PHRONY_RESP_INTEGER;
            e->integer = (text[n] == '-') ? -1 : text[n] - '0';
        }
    }

    reply.n = n;

    return ngx_phrony_suspect_parse(s, &reply, &gate.zone) == NGX_OK;
}


/* An error, or an id that is none, fails the op, and nothing else. */

static void
test_wrong(void)
{
    ngx_phrony_op_t  op;

    open_shared();

    run(1, 100);
    pass(6000);

    (void) gateway_tell("LPUSH %s a", gateway_key("asked", 1));
    is_int(suspect(&gate, 1, &found), NGX_ERROR, "a broken key fails it");

    (void) gateway_tell("DEL %s", gateway_key("asked", 1));
    (void) gateway_tell("ZADD %s 9999999999999 nobody",
                        gateway_key("runs", 1));

    store_now += 1000;
    is_int(named(1), 1, "what would be younger than it can be is not named");

    (void) gateway_tell("ZREM %s nobody", gateway_key("runs", 1));

    start(1, &op);
    pass(6000);
    (void) gateway_tell("EVAL %s 1 %s",
                        "local\tr=redis.call('ZRANGE',KEYS[1],0,0,"
                            "'WITHSCORES')\n"
                        "redis.call('ZADD',KEYS[1],r[2],'nobody')",
                        gateway_key("runs", 1));
    is_int(suspect(&gate, 1, &found), NGX_ERROR, "so does what is no id");

    (void) gateway_tell("ZREM %s nobody", gateway_key("runs", 1));
    pass(1000);
    is_int(named(1), 2, "then it is as before");

    gateway_close(&gate);
}


/* What is found while Redis is away is not kept: it may be found again. */

static void
test_found_away(void)
{
    phrony_uuid_t    id;
    ngx_phrony_op_t  op;

    open_shared();

    id = store_uuid(100);
    start(1, &op);

    gateway_lose(&gate);
    settle(&op, PHRONY_LEASE_BIND, 100, 1);
    is_int(gateway_root(&gate)->nuntold, 0, "nothing is to be told");
    gateway_find(&gate);

    is_int(known(1, 100), 0, "the run is not known");
    settle(&op, PHRONY_LEASE_BIND, 100, 1);
    is_int(known(1, 100), 1, "until it is found again");
    is_int(held(1), 1, "with its slot");
    is_int(gateway_number("EXISTS unit:run:%s", gateway_text(&id)), 1,
           "and everybody knows whose it is");

    gateway_close(&gate);
}


/* Both of its keys are in the slot of the workspace. */

static void
test_keys(void)
{
    ngx_str_t                    prefix = ngx_string("unit");
    char                         text[64];
    phrony_str_t                 key;
    ngx_phrony_op_t              op;
    ngx_phrony_suspects_t        s;
    ngx_phrony_encoder_t         encoder;
    ngx_phrony_redis_command_t  *command;

    gateway_open(&gate, 256 * 1024);

    memset(&encoder, 0, sizeof(encoder));
    encoder.redis = gate.redis;
    encoder.prefix = &prefix;
    encoder.cluster = 1;

    ask(&op, 70, &s);
    op.run_ttl = 123456;
    op.reservation_ttl = 654321;

    command = ngx_phrony_suspect_encode(&encoder, &op, 8);

    key = str(gateway_key("runs", 70));
    is_int(command->slot, phrony_slot(&key), "it goes where the runs are");
    ok(contains(command, gateway_key("runs", 70)), "of which it asks");

    key = str(gateway_key("asked", 70));
    is_int(command->slot, phrony_slot(&key), "where it is noted, too");
    ok(contains(command, gateway_key("asked", 70)), "that it has asked");

    snprintf(text, sizeof(text), "%015d\r\n$15\r\n%015d\r\n$15\r\n", 123456,
             654321);
    ok(contains(command, text), "for runs and reservations of that time");
    snprintf(text, sizeof(text), "%015d\r\n$15\r\n%015d\r\n",
             NGX_PHRONY_SUSPECT_QUIET, NGX_PHRONY_SUSPECT_INTERVAL);
    ok(contains(command, text), "unseen, and asked for, as long as that");

    ngx_phrony_redis_free(gate.redis, command);
    ngx_phrony_encode_free(&encoder);
    gateway_close(&gate);
}


static int
contains(ngx_phrony_redis_command_t *command, const char *text)
{
    return memmem(command->bytes, command->len, text, strlen(text)) != NULL;
}


/* Without Redis there are none, at once. */

static void
test_away(void)
{
    ngx_phrony_op_t  op;

    open_shared();

    run(1, 100);
    pass(6000);

    server_stop(SIGKILL);
    ok(loop_until(gateway_is_down, &gate, 10000), "redis is away");

    is_int(suspect(&gate, 1, &found), NGX_OK, "there is nobody to ask");
    ok(found.nruns == 0 && found.nleases == 0, "and none");

    store_now += 6000;
    ok(gateway_start(&gate, 1, &op) && gateway_is(&op, "local"),
       "starts are decided here");
    store_now += 6000;
    is_int(suspect(&gate, 1, &found), NGX_OK, "of these");
    ok(found.nruns == 0 && found.nleases == 0, "none is named either");

    server_start("");
    ok(loop_until(gateway_is_ready, &gate, 20000), "redis is there again");

    gateway_close(&gate);
}


static void
start(uint64_t trigger, ngx_phrony_op_t *op)
{
    gateway_ask(op, trigger);
    op->reservation_ttl = RESERVATION;
    (void) gateway_admit(&gate, op);

    if (!op->leased) {
        ok(0, "a start holds a lease");
    }
}


/* A start and its answer. */

static void
run(uint64_t trigger, uint64_t n)
{
    ngx_phrony_op_t  op;

    start(trigger, &op);
    settle(&op, PHRONY_LEASE_BIND, n, 0);
}


static void
settle(ngx_phrony_op_t *op, phrony_lease_event_t event, uint64_t n,
    ngx_uint_t is_found)
{
    ngx_phrony_settlement_t  s;

    memset(&s, 0, sizeof(s));

    s.event = event;
    s.start = !is_found;
    s.found = is_found;
    s.leased = 1;
    s.lease_id = op->lease_id;
    s.has_run = (n != 0);
    s.run_id = store_uuid(n);
    s.trigger_id = op->trigger_id;
    s.agent_id = store_uuid(2);
    s.workspace_id = op->workspace_id;
    s.run_ttl = RUN_TTL;

    gate.store->settle(gate.store, &s);
}


static void
see(uint64_t trigger, phrony_lease_event_t event, uint64_t n)
{
    ngx_phrony_settlement_t  s;

    memset(&s, 0, sizeof(s));

    s.event = event;
    s.has_run = 1;
    s.run_id = store_uuid(n);
    s.trigger_id = store_uuid(trigger);
    s.agent_id = store_uuid(2);
    s.workspace_id = store_uuid(1);
    s.run_ttl = RUN_TTL;

    gate.store->settle(gate.store, &s);
}


/* As a start is told, that nothing comes of. */

static uint32_t
duration(uint64_t trigger)
{
    ngx_phrony_op_t  op;

    start(trigger, &op);
    settle(&op, PHRONY_LEASE_RELEASE, 0, 0);

    return op.duration;
}


/* What suspect() returned, or NGX_ERROR if it was answered that it failed. */

static ngx_int_t
suspect(gateway_t *g, uint64_t trigger, ngx_phrony_suspects_t *s)
{
    int              answered;
    ngx_int_t        rc;
    ngx_phrony_op_t  op;

    ask(&op, trigger, s);

    answered = 0;
    op.data = &answered;

    rc = g->store->suspect(g->store, &op);

    if (rc == NGX_AGAIN) {
        if (!loop_until(gateway_answered, &answered, 20000)) {
            printf("# no answer\n");
        }

        if (op.failed) {
            return NGX_ERROR;
        }
    }

    return rc;
}


static void
ask(ngx_phrony_op_t *op, uint64_t trigger, ngx_phrony_suspects_t *s)
{
    gateway_ask(op, trigger);

    op->reservation_ttl = RESERVATION;
    op->run_ttl = RUN_TTL;
    op->suspects = s;

    memset(s, 0xa5, sizeof(*s));
}


/* How many there are in "found". */

static ngx_uint_t
named(uint64_t trigger)
{
    if (shared) {
        gateway_rest(&gate);
    }

    if (suspect(&gate, trigger, &found) == NGX_ERROR) {
        return (ngx_uint_t) -1;
    }

    return found.nruns + found.nleases;
}


static int
is_run(ngx_phrony_suspects_t *s, ngx_uint_t i, uint64_t n)
{
    phrony_uuid_t  id;

    id = store_uuid(n);

    return i < s->nruns && phrony_uuid_eq(&s->runs[i].id, &id);
}


static int
is_lease(ngx_phrony_suspects_t *s, ngx_uint_t i, ngx_phrony_op_t *op)
{
    return i < s->nleases
           && phrony_uuid_eq(&s->leases[i].id, &op->lease_id);
}


/* Slots that hold now. */

static uint64_t
held(uint64_t trigger)
{
    uint64_t               n;
    phrony_uuid_t          id;
    ngx_phrony_trigger_t  *t;

    if (shared) {
        gateway_rest(&gate);

        return (uint64_t) gateway_number("EVAL %s 1 %s",
                   "local\tt=redis.call('TIME')\n"
                   "return\tredis.call('ZCOUNT',KEYS[1],"
                       "('(%d'):format(t[1]*1000+t[2]/1000),'+inf')",
                   gateway_key("runs", trigger));
    }

    id = store_uuid(trigger);

    (void) ngx_phrony_zone_lock(&gate.zone);
    (void) ngx_phrony_run_sweep(&gate.zone, 1000);
    t = ngx_phrony_trigger_find(gateway_root(&gate), &id);
    n = t ? t->nleases : 0;
    ngx_phrony_zone_unlock(&gate.zone);

    return n;
}


/* 1: it holds a slot, -1: it has ended, 0: it is not known. */

static int
known(uint64_t trigger, uint64_t n)
{
    int                rc;
    phrony_uuid_t      id;
    ngx_phrony_run_t  *r;

    id = store_uuid(n);

    if (shared) {
        gateway_rest(&gate);

        return gateway_score(trigger, &id);
    }

    (void) ngx_phrony_zone_lock(&gate.zone);

    r = ngx_phrony_run_alive(&gate.zone, &id);
    rc = (r == NULL) ? 0 : (r->trigger ? 1 : -1);

    ngx_phrony_zone_unlock(&gate.zone);

    return rc;
}


static void
pass(uint64_t ms)
{
    store_now += ms;

    if (shared && ms) {
        gateway_rest(&gate);
        (void) gateway_tell("EVAL %s 0 %d", ages, (int) ms);
    }
}


/* The test may be slow: it was asked for the trigger now. */

static void
asked_now(uint64_t trigger)
{
    if (shared) {
        (void) gateway_tell("EVAL %s 1 %s", asks,
                            gateway_key("asked", trigger));
    }
}
