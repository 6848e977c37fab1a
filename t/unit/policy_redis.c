
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


/* sources: ngx_http_phrony_module/policy/ ngx_http_phrony_module/store/
            nginx */


#include "policy_redis.h"


/*
 * Policy from Redis: what is asked and what is trusted, who waits for what,
 * and what comes of it if changes, replies and losses meet in any order.
 */


#define FOUND        NGX_PHRONY_LOOKUP_FOUND
#define UNKNOWN      NGX_PHRONY_LOOKUP_UNKNOWN
#define INVALID      NGX_PHRONY_LOOKUP_INVALID
#define UNAVAILABLE  NGX_PHRONY_LOOKUP_UNAVAILABLE


static void test_found(void);
static void test_waiters(void);
static void test_released(void);
static void test_shared(void);
static void test_time(void);
static void test_live(void);
static void test_told(void);
static void test_unknown(void);
static void test_forgotten(void);
static void test_race_key(void);
static void test_race_trigger(void);
static void test_race_between(void);
static void test_storm(void);
static void test_away(void);
static void test_lost(void);
static void test_stale(void);
static void test_revoked_while_away(void);
static void test_invalid(void);
static void test_odd(void);
static void test_large(void);
static void test_absent_trigger(void);
static void test_error(void);
static void test_prefixes(void);
static void test_stopped(void);
static void test_bounds(void);
static void test_no_room(void);
static void test_flood(void);
static void test_no_memory(void);


int
main(void)
{
    test_found();
    test_waiters();
    test_released();
    test_shared();
    test_time();
    test_live();
    test_told();
    test_unknown();
    test_forgotten();
    test_race_key();
    test_race_trigger();
    test_race_between();
    test_storm();
    test_away();
    test_lost();
    test_stale();
    test_revoked_while_away();
    test_invalid();
    test_odd();
    test_large();
    test_absent_trigger();
    test_error();
    test_prefixes();
    test_stopped();
    test_bounds();
    test_no_room();
    test_flood();
    test_no_memory();

    return done();
}


static void
test_found(void)
{
    asked_t               asked;
    phrony_policy_stat_t  stat;

    redis_open(1024 * 1024);
    put_all(1, 60);

    ask(&asked, 0, 1);

    is_int(asked.rc, NGX_AGAIN, "a key that nobody has asked for");
    is_int(redis_gets(), 1, "Redis is asked for it");

    redis_reply(0);
    is_int(redis_gets(), 2, "and at once for both that it refers to");
    is_int(asked.called, 0, "nobody is told yet");

    redis_reply(0);
    is_int(asked.called, 0, "nor after one of them");

    redis_reply(0);
    is_int(asked.called, 1, "but then");
    is_int(asked.lookup.state, FOUND, "it is found");
    is_int(asked_limit(&asked), 60, "with its trigger");
    ok(asked.lookup.key
       && memcmp(asked.lookup.key->digest, asked.lookup.digest, 32) == 0,
       "it is the key");

    release(&asked, 0);
    release(&asked, 0);

    ask(&asked, 0, 1);
    is_int(asked.rc, NGX_OK, "the next time it is there");
    is_int(asked_limit(&asked), 60, "with its trigger");
    is_int(redis_gets(), 0, "and nobody is asked");

    redis_set(trigger_name(1), trigger_text(1, 5));
    redis_tell(0);
    is_int(limit_of(0, 1), 5, "another one for others");
    is_int(asked_limit(&asked), 60, "who holds it keeps it");
    release(&asked, 0);

    policy[0].source.stat(&policy[0].source, &stat);
    is_int(stat.keys * 100 + stat.triggers * 10 + stat.workspaces, 111,
           "one of each is cached");
    ok(stat.bytes >= 3 * 128 && stat.bytes <= 3 * 512, "in %d bytes",
       (int) stat.bytes);

    is_int(log_lines(), 0, "nothing is logged");

    redis_close();
}


static void
test_waiters(void)
{
    int      i, called, found;
    asked_t  asked[100];

    redis_open(1024 * 1024);
    put_all(1, 60);

    for (i = 0; i < 100; i++) {
        ask(&asked[i], 0, 1);
    }

    is_int(redis_gets(), 1, "Redis is asked once for all who wait");

    release(&asked[50], 0);
    redis_reply(0);
    ask(&asked[99], 0, 1);
    release(&asked[51], 0);
    redis_settle(0);

    called = 0;
    found = 0;

    for (i = 0; i < 100; i++) {
        called += asked[i].called;
        found += asked_limit(&asked[i]) == 60;
        release(&asked[i], 0);
    }

    is_int(called, 98, "each is told once, but those who went");
    is_int(found, 98, "and has the answer");
    is_int(redis_gets(), 2, "of one fetch");

    redis_close();
}


static void
test_released(void)
{
    asked_t  asked;

    redis_open(1024 * 1024);
    put_all(1, 60);

    ask(&asked, 0, 1);
    release(&asked, 0);
    redis_settle(0);

    is_int(asked.called, 0, "who has gone is not told");
    is_int(redis_gets(), 3, "but the fetch goes on");

    ask(&asked, 0, 1);
    is_int(asked.rc, NGX_OK, "and its result is kept");
    release(&asked, 0);

    redis_close();
}


static void
test_shared(void)
{
    asked_t  asked;

    redis_open(1024 * 1024);
    put_all(1, 60);

    is_int(state_of(0, 1), FOUND, "one worker has it");
    (void) redis_gets();

    ask(&asked, 1, 1);
    is_int(asked.rc, NGX_OK, "another worker finds it in the zone");
    is_int(asked_limit(&asked), 60, "whole");
    is_int(redis_gets(), 0, "and asks nobody");
    release(&asked, 1);

    /* what one key shares with another is not asked for again */

    put_all(2, 70);
    is_int(limit_of(1, 2), 70, "another key of the workspace");
    is_int(redis_gets(), 2, "takes its own record and its trigger's");

    redis_close();
}


static void
test_time(void)
{
    asked_t                 asked;
    const phrony_policy_t  *before;

    redis_open(1024 * 1024);
    put_all(1, 60);

    is_int(limit_of(0, 1), 60, "without being told of changes");
    redis_put(trigger_name(1), trigger_text(1, 5));
    (void) redis_gets();

    store_now += 4999;
    is_int(limit_of(0, 1), 60, "it is trusted for its time");
    is_int(redis_gets(), 0, "and nobody is asked");

    store_now += 1;
    is_int(limit_of(0, 1), 5, "and then no more");
    is_int(redis_gets(), 3, "but asked for again");

    ask(&asked, 0, 1);
    before = asked.lookup.policy;
    release(&asked, 0);

    store_now += 5000;

    ask(&asked, 0, 1);
    redis_settle(0);
    ok(asked.called == 1 && asked.lookup.policy == before,
       "what has not changed is not built again");
    is_int(redis_gets(), 3, "when it was asked for again");
    release(&asked, 0);

    /* another worker asks, and this one hears of it by the zone */

    store_now += 5000;
    is_int(limit_of(1, 1), 5, "another worker");
    is_int(redis_gets(), 3, "asks");
    is_int(limit_of(0, 1), 5, "this one");
    is_int(redis_gets(), 0, "need not");

    redis_close();
}


static void
test_live(void)
{
    redis_open(1024 * 1024);
    put_all(1, 60);

    is_int(limit_of(0, 1), 60, "before changes are told");
    (void) redis_gets();

    store_now += 1000;
    redis_live(0, 1);

    store_now += 3999;
    is_int(limit_of(0, 1), 60, "what was fetched before");
    is_int(redis_gets(), 0, "is trusted for its time");

    store_now += 1;
    is_int(limit_of(0, 1), 60, "and no longer");
    is_int(redis_gets(), 3, "but asked for again");

    store_now += 86400000;
    is_int(limit_of(0, 1), 60, "what is fetched while they are told");
    is_int(redis_gets(), 0, "is trusted for ever");

    is_int(limit_of(1, 1), 60, "but not by a worker that is not told");
    is_int(redis_gets(), 3, "which asks");

    store_now += 86400000;
    redis_live(0, 0);
    redis_put(trigger_name(1), trigger_text(1, 5));
    is_int(limit_of(0, 1), 5, "nor when they are told no more");
    is_int(redis_gets(), 3, "then it is asked");

    redis_live(0, 1);
    store_now += 86400000;
    is_int(limit_of(0, 1), 5, "nor what was fetched while they were not");
    is_int(redis_gets(), 3, "when they are again");

    /* not what was fetched within the millisecond in which it begins */

    redis_live(0, 0);
    redis_live(0, 1);
    put_all(2, 70);
    is_int(limit_of(0, 2), 70, "what is fetched as it begins");
    (void) redis_gets();
    store_now += 5000;
    is_int(limit_of(0, 2), 70, "may be from before");
    ok(redis_gets() > 0, "and is asked for again");

    redis_close();
}


static void
test_told(void)
{
    redis_open(1024 * 1024);
    put_all(1, 60);

    redis_live(0, 1);
    redis_live(1, 1);
    store_now += 10;

    is_int(limit_of(0, 1), 60, "a limit");
    is_int(limit_of(1, 1), 60, "at both workers");
    (void) redis_gets();

    redis_set(trigger_name(1), trigger_text(1, 5));
    redis_tell(1);

    is_int(limit_of(0, 1), 5, "one is told, the other uses it no more");
    is_int(redis_gets(), 1, "only what has changed is asked for");
    is_int(limit_of(1, 1), 5, "nor does the one that was told");
    is_int(redis_gets(), 0, "which finds the new one in the zone");

    redis_tell_all();
    is_int(limit_of(0, 1), 5, "the others are told");
    is_int(redis_gets(), 1, "and suspect the new one");

    redis_set(workspace_name(), WS(W1, ",\"status\":\"suspended\""));
    redis_tell_all();
    is_int(state_of(0, 1), FOUND, "a workspace is suspended");
    is_int(redis_gets(), 1, "it is asked for");

    redis_set(key_name(1), NULL);
    redis_tell(0);
    is_int(state_of(0, 1), UNKNOWN, "a key is deleted");
    is_int(state_of(1, 1), UNKNOWN, "for both");

    redis_close();
}


static void
test_unknown(void)
{
    asked_t  asked;

    redis_open(1024 * 1024);
    redis_live(0, 1);
    store_now += 10;

    is_int(state_of(0, 1), UNKNOWN, "a key that there is not");
    is_int(redis_gets(), 1, "is asked for");

    store_now += 86400000;
    ask(&asked, 0, 1);
    is_int(asked.rc, NGX_OK, "the next time that is known");
    is_int(asked.lookup.state, UNKNOWN, "that there is none");
    ok(asked.lookup.policy == NULL && asked.lookup.key == NULL,
       "and nothing is in the answer");
    release(&asked, 0);
    is_int(redis_gets(), 0, "and nobody is asked");

    ask(&asked, 0, 1);
    redis_set(key_name(1), key_scope(1, 1));
    redis_tell(0);
    is_int(state_of(0, 1), INVALID, "it is made, without a workspace");

    redis_set(workspace_name(), WS1);
    redis_set(trigger_name(1), trigger_text(1, 60));
    redis_tell(0);
    is_int(limit_of(0, 1), 60, "and is good with all it refers to");
    release(&asked, 0);

    redis_live(0, 0);
    is_int(state_of(0, 2), UNKNOWN, "another one");
    (void) redis_gets();
    put_all(2, 70);
    store_now += 4999;
    is_int(state_of(0, 2), UNKNOWN, "is not known for its time");
    store_now += 1;
    is_int(limit_of(0, 2), 70, "but then");

    redis_close();
}


/* FLUSHALL, or a channel that cannot tell what it has missed. */

static void
test_forgotten(void)
{
    unsigned  i, found;

    redis_open(1024 * 1024);

    redis_live(0, 1);
    store_now += 10;

    for (i = 1; i <= 100; i++) {
        put_all(i, i);
    }

    found = 0;

    for (i = 1; i <= 100; i++) {
        found += limit_of(0, i) == i;
        redis_put(trigger_name(i), trigger_text(i, 1000 + i));
    }

    is_int(found, 100, "as many keys");
    is_int(state_of(0, 0), UNKNOWN, "and one that is not there");

    ngx_phrony_policy_redis_invalidated(&policy[0], NULL);
    is_int(store_root()->cache->bytes, 0, "all are forgotten");

    for (i = 1, found = 0; i <= 100; i++) {
        found += limit_of(0, i) == 1000 + i;
    }

    is_int(found, 100, "and read again");

    redis_close();
}


/* A change between the moment a command is carried out and its answer. */

static void
test_race_key(void)
{
    asked_t  asked;

    redis_open(1024 * 1024);
    put_all(1, 60);
    redis_live(0, 1);
    redis_live(1, 1);
    store_now += 10;

    ask(&asked, 0, 1);
    redis_execute(0, 1);
    redis_set(key_name(1), NULL);
    redis_tell(0);
    redis_settle(0);

    is_int(asked.called, 1, "a key is deleted before it arrives");
    is_int(asked.lookup.state, UNKNOWN, "who waits hears of it");
    is_int(state_of(0, 1), UNKNOWN, "as does who comes later");
    release(&asked, 0);

    redis_set(key_name(1), key_scope(1, 1));
    redis_tell_all();
    (void) redis_gets();

    ask(&asked, 0, 1);
    redis_execute(0, 1);
    redis_set(key_name(1), NULL);
    redis_tell(1);
    redis_settle(0);

    is_int(asked.lookup.state, UNKNOWN, "another worker is told");
    is_int(state_of(1, 1), UNKNOWN, "and does not find it in the zone");
    redis_tell(0);
    is_int(state_of(0, 1), UNKNOWN, "nor does this one, when it is told");
    release(&asked, 0);

    /* nobody is told before the answer is there: it is used until then */

    redis_set(key_name(1), key_scope(1, 1));
    redis_tell_all();

    ask(&asked, 0, 1);
    redis_execute(0, 1);
    redis_set(key_name(1), NULL);
    redis_settle(0);
    is_int(asked.lookup.state, FOUND, "nobody was told");
    redis_tell(1);
    is_int(state_of(0, 1), UNKNOWN, "until somebody was");
    release(&asked, 0);

    redis_close();
}


static void
test_race_trigger(void)
{
    asked_t  asked;

    redis_open(1024 * 1024);
    put_all(1, 60);
    redis_live(0, 1);
    store_now += 10;

    ask(&asked, 0, 1);
    redis_reply(0);
    redis_execute(0, 2);
    redis_set(trigger_name(1), trigger_text(1, 5));
    redis_tell(0);
    redis_settle(0);

    is_int(asked_limit(&asked), 5, "a trigger changes before it arrives");
    release(&asked, 0);

    is_int(limit_of(0, 1), 5, "who comes later finds the new one");

    redis_close();
}


/* The key is revoked while its trigger is being read. */

static void
test_race_between(void)
{
    asked_t  asked, late;

    redis_open(1024 * 1024);
    put_all(1, 60);
    redis_live(0, 1);
    store_now += 10;

    ask(&asked, 0, 1);
    redis_reply(0);
    redis_set(key_name(1), key_text(1, ",\"status\":\"revoked\""));
    redis_tell(0);
    ask(&late, 0, 1);
    redis_settle(0);

    ok(asked.called == 1 && asked.lookup.key && !asked.lookup.key->active,
       "a key is revoked while its trigger is read");
    ok(late.called == 1 && late.lookup.key && !late.lookup.key->active,
       "who asks meanwhile hears of it");

    release(&asked, 0);
    release(&late, 0);

    redis_close();
}


/* More changes than anybody can follow. */

static void
test_storm(void)
{
    unsigned  n, i, late;
    asked_t   asked[21];

    redis_open(1024 * 1024);
    put_all(1, 60);
    redis_live(0, 1);
    store_now += 10;

    ask(&asked[0], 0, 1);

    for (n = 1; !asked[0].called && n < 20; n++) {
        redis_execute(0, 1);
        redis_set(key_name(1), key_scope(1, 1));
        redis_set(trigger_name(1), trigger_text(1, 100 + n));
        redis_tell(0);

        ask(&asked[n], 0, 1);
        redis_reply(0);
    }

    ok(asked[0].called == 1 && n < 15, "it ends after %u changes", n - 1);

    redis_settle(0);
    late = 0;

    for (i = 0; i < n; i++) {
        late += asked_limit(&asked[i]) < 100 + i;
        release(&asked[i], 0);
    }

    is_int(late, 0, "nobody hears of what he was told is no more");
    is_int(limit_of(0, 1), 100 + n - 1, "who asks now has the last one");

    redis_close();
}


static void
test_away(void)
{
    asked_t  asked;

    redis_open(1024 * 1024);
    put_all(1, 60);
    put_all(2, 70);

    is_int(limit_of(0, 1), 60, "a key at one worker");
    (void) redis_gets();

    redis[0].ready = 0;
    redis[1].ready = 0;
    store_now += 599999;

    ask(&asked, 0, 1);
    is_int(asked.rc, NGX_OK, "while Redis is away nobody waits");
    is_int(asked_limit(&asked), 60, "the key is good for a time");
    release(&asked, 0);

    ask(&asked, 1, 1);
    is_int(asked.rc, NGX_OK, "nor at another worker");
    is_int(asked_limit(&asked), 60, "which has it of the zone");
    release(&asked, 1);

    ask(&asked, 0, 2);
    is_int(asked.rc, NGX_OK, "a key that is not cached");
    is_int(asked.lookup.state, UNAVAILABLE, "is not available");
    release(&asked, 0);

    store_now += 1;
    is_int(state_of(0, 1), UNAVAILABLE, "then its time is over");
    is_int(state_of(1, 1), UNAVAILABLE, "at both");

    redis[0].ready = 1;
    is_int(limit_of(0, 1), 60, "until Redis is back");
    is_int(limit_of(1, 1), 60, "for one of them");

    redis[0].full = 1;
    store_now += 5000;
    ask(&asked, 0, 1);
    is_int(asked.rc, NGX_OK, "nobody waits if it takes no command");
    is_int(asked_limit(&asked), 60, "what there is is used");
    release(&asked, 0);

    redis_close();
}


/* Commands without an answer. */

static void
test_lost(void)
{
    asked_t  asked, late;

    redis_open(1024 * 1024);
    put_all(1, 60);

    ask(&asked, 0, 1);
    redis_fail(0, NGX_PHRONY_REDIS_LOST);
    is_int(asked.called, 1, "the connection is lost");
    is_int(asked.lookup.state, UNAVAILABLE, "nobody can tell");
    release(&asked, 0);

    ask(&asked, 0, 1);
    redis_reply(0);
    redis_fail(0, NGX_PHRONY_REDIS_UNSENT);
    is_int(asked.called, 1, "lost later");
    is_int(asked.lookup.state, UNAVAILABLE, "nobody can tell");
    release(&asked, 0);

    is_int(limit_of(0, 1), 60, "and then it is back");
    store_now += 5000;

    ask(&asked, 0, 1);
    is_int(asked.rc, NGX_AGAIN, "the time is over");
    redis_fail(0, NGX_PHRONY_REDIS_LOST);
    is_int(asked_limit(&asked), 60, "what there was is used");
    release(&asked, 0);

    /* the key alone is answered */

    redis_put(key_name(1), key_scope(1, 2));
    redis_put(trigger_name(2), trigger_text(2, 70));

    ask(&asked, 0, 1);
    redis_reply(0);
    redis_fail(0, NGX_PHRONY_REDIS_LOST);
    is_int(asked.lookup.state, UNAVAILABLE,
           "a new scope's trigger cannot be read");
    release(&asked, 0);

    redis_put(key_name(1), key_scope(1, 1));
    store_now += 5000;

    ask(&asked, 0, 1);
    redis_reply(0);
    redis_fail(0, NGX_PHRONY_REDIS_LOST);
    is_int(asked_limit(&asked), 60, "an old one's can");
    release(&asked, 0);

    /* who asks when Redis is back does not get what was old by then */

    store_now += 5000;
    ask(&asked, 0, 1);
    redis_finish(0, NGX_PHRONY_REDIS_LOST, NULL);
    is_int(asked.called, 0, "the key is old, others are asked for still");

    redis_put(key_name(1), key_text(1, ",\"status\":\"revoked\""));
    ask(&late, 0, 1);
    redis_settle(0);

    ok(asked.called == 1 && asked.lookup.key && asked.lookup.key->active,
       "who was there has the old key");
    ok(late.called == 1 && late.lookup.key && !late.lookup.key->active,
       "who came later has the new one");
    release(&asked, 0);
    release(&late, 0);

    redis_put(key_name(1), key_scope(1, 1));
    redis_put(trigger_name(1), trigger_text(1, 5));
    store_now += 5000;
    is_int(limit_of(0, 1), 5, "all in the end");

    redis_close();
}


/* It begins when they were last known to be good. */

static void
test_stale(void)
{
    redis_open(1024 * 1024);
    put_all(1, 60);

    redis_live(0, 1);
    redis_live(1, 1);
    store_now += 10;
    is_int(limit_of(0, 1), 60, "a key");

    store_now += 86400000;
    redis[0].ready = 0;
    redis_live(0, 0);

    store_now += 599999;
    is_int(limit_of(0, 1), 60, "is good since the worker was told last");
    store_now += 1;
    is_int(state_of(0, 1), UNAVAILABLE, "for a time");

    is_int(limit_of(1, 1), 60, "for another, that is told still");
    redis_live(1, 0);
    redis[1].ready = 0;
    store_now += 599999;
    is_int(limit_of(1, 1), 60, "it is good since then");
    is_int(limit_of(0, 1), 60, "as it is for the first");
    store_now += 1;
    is_int(state_of(1, 1), UNAVAILABLE, "for a time");
    is_int(state_of(0, 1), UNAVAILABLE, "for both");

    /* told in turn, so that there was always somebody who was */

    redis[1].ready = 1;
    redis_live(1, 1);
    store_now += 500;
    is_int(limit_of(1, 1), 60, "again");
    store_now += 500;
    redis_live(0, 1);
    store_now += 86400000;
    redis_live(0, 0);
    store_now += 1000;
    redis_live(1, 0);
    redis[1].ready = 0;
    store_now += 599999;
    is_int(limit_of(0, 1), 60, "it is good since the last of them");
    store_now += 1;
    is_int(state_of(0, 1), UNAVAILABLE, "for a time");

    /* told for a moment, long after */

    redis_live(1, 1);
    store_now += 10;
    redis_live(1, 0);
    is_int(state_of(1, 1), UNAVAILABLE, "and does not come back by itself");

    redis_close();
}


static void
test_revoked_while_away(void)
{
    redis_open(1024 * 1024);
    put_all(1, 60);

    redis_live(0, 1);
    store_now += 10;
    is_int(limit_of(0, 1), 60, "a key");
    is_int(limit_of(1, 1), 60, "at two workers");

    redis[0].ready = 0;
    redis[1].ready = 0;
    redis_set(key_name(1), NULL);
    redis_tell(0);
    redis_live(0, 0);

    is_int(state_of(0, 1), UNAVAILABLE, "is not used when it has changed");
    is_int(state_of(1, 1), UNAVAILABLE, "by none of them");

    redis_close();
}


static void
test_invalid(void)
{
    asked_t  asked;

    redis_open(1024 * 1024);
    put_all(1, 60);
    put_all(2, 70);

    redis_put(trigger_name(1), "{\"id\":\"" T1 "\",\"agentId\":\"" A1 "\","
              "\"workspaceId\":\"" W1 "\",\"rpmLimit\":\"many\"}");

    redis_live(0, 1);
    store_now += 10;

    is_int(state_of(0, 1), INVALID, "a trigger that is not valid");
    ok(logged("phrony policy record \"phrony:trigger:" T1 "\" is not valid: "
              "trigger (\"" T1 "\"): member \"rpmLimit\" is not a "
              "non-negative integer, key "), "is named with its member");
    is_int(log_lines(), 1, "in one line");

    ask(&asked, 0, 1);
    is_int(asked.rc, NGX_OK, "it is known to be");
    is_int(asked.lookup.state, INVALID, "not valid");
    ok(asked.lookup.policy == NULL && asked.lookup.key == NULL,
       "with nothing in the answer");
    release(&asked, 0);

    store_now += 3600000;
    is_int(state_of(0, 1), INVALID, "an hour later");
    is_int(log_lines(), 0, "and is not named again");

    is_int(limit_of(0, 2), 70, "another key goes on");

    redis_set(trigger_name(1), trigger_text(1, 5));
    redis_tell(0);
    is_int(limit_of(0, 1), 5, "until it is");
    is_int(log_lines(), 0, "nothing is wrong then");

    redis_set(key_name(1), key_text(2, ""));
    redis_tell(0);
    is_int(state_of(0, 1), INVALID, "the record of another key");
    ok(logged("...\" is not valid: key (\"40000000-0000-4000-8000-"
              "000000000002\"): member \"sha256\" is not the one in the "
              "record's name, key "), "is not taken for it");
    ok(strstr(policy_logged, key_name(1) + 20) == NULL,
       "its name is not told whole");

    redis_set(key_name(1), "{\n\"id\":}");
    redis_tell(0);
    is_int(state_of(0, 1), INVALID, "no JSON");
    ok(logged("is not valid: line 2: key is not valid JSON: "), "is named");

    redis_set(key_name(1), key_scope(1, 1));
    redis_set(workspace_name(), NULL);
    redis_tell(0);
    is_int(state_of(0, 1), INVALID, "a workspace that there is not");
    ok(logged("member \"workspaceId\" names no workspace"), "is named");

    redis_close();
}


/* Not a string. */

static void
test_odd(void)
{
    redis_open(1024 * 1024);
    put_all(1, 60);
    redis_live(0, 1);
    store_now += 10;

    redis_put(key_name(1), "*");
    is_int(state_of(0, 1), INVALID, "a key's record that is a list");
    ok(logged("...\" is not valid: it is not a string, key "), "is named");
    is_int(redis_gets(), 1, "it was asked for");

    (void) log_lines();
    is_int(state_of(0, 1), INVALID, "once");
    is_int(redis_gets(), 0, "it was");
    is_int(log_lines(), 0, "and named");

    redis_set(key_name(1), key_scope(1, 1));
    redis_put(trigger_name(1), "*");
    redis_tell(0);
    is_int(state_of(0, 1), INVALID, "so is a trigger's");
    ok(logged("phrony policy record \"phrony:trigger:" T1 "\" is not valid: "
              "it is not a string"), "which is named");

    redis_close();
}


static void
test_large(void)
{
    int    i;
    char  *text, *p;

    redis_open(4 * 1024 * 1024);
    put_all(1, 60);
    redis_live(0, 1);
    store_now += 10;

    text = malloc(200000);

    if (text == NULL) {
        abort();
    }

    memset(text, ' ', 200000);
    p = text + sprintf(text, "%s", trigger_text(1, 60));
    *p = ' ';
    text[65536] = '\0';

    redis_put(trigger_name(1), text);
    is_int(limit_of(0, 1), 60, "a record as large as may be");

    text[65536] = ' ';
    text[65537] = '\0';
    redis_set(trigger_name(1), text);
    redis_tell(0);
    is_int(state_of(0, 1), INVALID, "one byte more");
    ok(logged("phrony policy record \"phrony:trigger:" T1 "\" is not valid: "
              "it is too large"), "is told");
    is_int(store_root()->cache->others_bytes, 128, "but not kept");

    /* many that are large, together */

    p = text + sprintf(text, "%s", ",\"scopes\":[");

    for (i = 1; i <= 70; i++) {
        p += sprintf(p, "%s{\"triggerId\":\"20000000-0000-4000-8000-%012u\"}",
                     i == 1 ? "" : ",", (unsigned) i);
    }

    strcpy(p, "]");

    p = strdup(text);
    snprintf(text, 200000, "{\"id\":\"40000000-0000-4000-8000-%012u\","
             "\"sha256\":\"%s\",\"workspaceId\":\"" W1 "\"%s}", 1,
             key_name(1) + sizeof("phrony:key:") - 1, p);
    free(p);

    redis_set(key_name(1), text);

    for (i = 1; i <= 70; i++) {
        memset(text, ' ', 65536);
        p = text + sprintf(text, "%s", trigger_text((unsigned) i, 60));
        *p = ' ';
        text[65000] = '\0';
        redis_set(trigger_name((unsigned) i), text);
    }

    redis_tell(0);
    is_int(state_of(0, 1), INVALID, "many large ones together");
    ok(logged("it and those that it refers to are too large together"),
       "are too large");

    free(text);

    redis_close();
}


/* A scope without its trigger is none, until there is one. */

static void
test_absent_trigger(void)
{
    asked_t  asked;

    redis_open(1024 * 1024);
    put_all(1, 60);
    redis_put(trigger_name(1), NULL);
    redis_live(0, 1);
    store_now += 10;

    ask(&asked, 0, 1);
    redis_settle(0);
    ok(asked.lookup.state == FOUND
       && phrony_policy_nscopes(asked.lookup.policy, asked.lookup.key) == 0,
       "a key whose trigger is not there");
    release(&asked, 0);

    store_now += 86400000;
    (void) redis_gets();
    is_int(state_of(0, 1), FOUND, "that is remembered");
    is_int(redis_gets(), 0, "for ever");

    redis_set(trigger_name(1), trigger_text(1, 5));
    redis_tell(0);
    is_int(limit_of(0, 1), 5, "or until it is there");

    redis_close();
}


static void
test_error(void)
{
    asked_t  asked;

    redis_open(1024 * 1024);
    put_all(1, 60);

    ask(&asked, 0, 1);
    redis_error(0, "NOPERM this user has no\r\npermissions");
    is_int(asked.called, 1, "an error");
    is_int(asked.lookup.state, UNAVAILABLE, "is no answer");
    ok(logged("phrony policy records cannot be read: redis answered "
              "\"NOPERM this user has no\\x0d\\x0apermissions\""),
       "but logged");
    release(&asked, 0);

    (void) log_lines();

    ask(&asked, 0, 1);
    redis_error(0, "NOPERM");
    release(&asked, 0);
    is_int(log_lines(), 0, "once");

    store_now += 1000;
    ask(&asked, 0, 1);
    redis_error(0, "NOPERM");
    release(&asked, 0);
    is_int(log_lines(), 1, "in a second");

    is_int(limit_of(0, 1), 60, "a key");
    store_now += 5000;
    ask(&asked, 0, 1);
    redis_error(0, "LOADING");
    is_int(asked_limit(&asked), 60, "is good while there are errors");
    release(&asked, 0);

    store_now += 5000;
    ask(&asked, 0, 1);
    redis_error(0, "WRONGTYPE what");
    is_int(asked.lookup.state, INVALID, "but for what they say of it");
    release(&asked, 0);

    redis_close();
}


static void
test_prefixes(void)
{
    int            i;
    ngx_pool_t    *pool;
    ngx_str_t      prefix = ngx_string("a:b");
    phrony_str_t  *prefixes, key;
    const char    *none[] = {
        "phrony:run:" T1, "phrony", "", "other", "phrony:key:0123",
        "phrony:{" W1 "}:window:" T1
    };

    redis_open(1024 * 1024);
    put_all(1, 60);
    redis_live(0, 1);
    store_now += 10;
    is_int(limit_of(0, 1), 60, "a key");
    (void) redis_gets();

    for (i = 0; i < (int) (sizeof(none) / sizeof(none[0])); i++) {
        key = str(none[i]);
        ngx_phrony_policy_redis_invalidated(&policy[0], &key);
    }

    is_int(limit_of(0, 1), 60, "is the same when other keys change");
    is_int(redis_gets(), 0, "and not asked for");

    redis_close();

    pool = ngx_create_pool(4096, &policy_log);
    ngx_phrony_policy_redis_init(&policy[0], &zone, &prefix, 1, 1);
    prefixes = ngx_phrony_policy_redis_prefixes(&policy[0], pool);

    is_str(prefixes[0].data, prefixes[0].len, "a:b:key:", "keys");
    is_str(prefixes[1].data, prefixes[1].len, "a:b:workspace:", "workspaces");
    is_str(prefixes[2].data, prefixes[2].len, "a:b:trigger:", "triggers");

    ngx_destroy_pool(pool);
}


/* Before a worker has started, and at its end. */

static void
test_stopped(void)
{
    asked_t  asked, waiting;

    redis_open(1024 * 1024);
    put_all(1, 60);

    ask(&waiting, 0, 1);
    redis[0].ready = 0;
    redis_fail(0, NGX_PHRONY_REDIS_UNSENT);
    is_int(waiting.called, 1, "who waits at the end is told");
    is_int(waiting.lookup.state, UNAVAILABLE, "that nobody can tell");

    release(&waiting, 0);
    ngx_phrony_policy_redis_stop(&policy[0]);

    ask(&asked, 0, 1);
    is_int(asked.rc, NGX_OK, "who is not started");
    is_int(asked.lookup.state, UNAVAILABLE, "cannot tell");
    release(&asked, 0);

    memset(&asked, 0, sizeof(asked));
    release(&asked, 0);
    ok(1, "who has not asked may release");

    redis_close();
}


/* More keys than a worker keeps, and than there is room for in the zone. */

static void
test_bounds(void)
{
    unsigned  i, found;
    asked_t   first;

    redis_open(1024 * 1024);
    redis_live(0, 1);
    store_now += 10;

    put_all(1, 1);
    ask(&first, 0, 1);
    redis_settle(0);

    for (i = 1, found = 0; i <= 5000; i++) {
        put_all(i, i);
        found += limit_of(0, i) == i;
    }

    is_int(found, 5000, "5000 keys");
    is_int(policy[0].nbuilt, 4096, "4096 of them are kept");
    ok(policy[0].bytes < 16 * 1024 * 1024, "in %d bytes",
       (int) policy[0].bytes);
    is_int(asked_limit(&first), 1, "who holds the first still has it");
    release(&first, 0);

    ok(store_root()->cache->bytes <= 256 * 1024
       && store_root()->cache->bytes > 200 * 1024,
       "the zone has %d bytes", (int) store_root()->cache->bytes);

    (void) redis_gets();
    is_int(limit_of(0, 5000), 5000, "one that is kept, but not in the zone");
    is_int(limit_of(0, 2000), 2000, "or any more");
    is_int(redis_gets(), 0, "is not asked for");

    redis_set(trigger_name(7), NULL);
    redis_tell(0);
    is_int(limit_of(0, 2000), 2000, "nor when another one changes");
    is_int(redis_gets(), 0, "is it asked for");

    redis_close();
}


/* A zone that is full of other things. */

static void
test_no_room(void)
{
    asked_t  asked;

    redis_open(1024 * 1024);
    store_root()->cache->max_bytes = 0;
    put_all(1, 60);
    redis_live(0, 1);
    store_now += 10;

    is_int(limit_of(0, 1), 60, "a key that the zone does not keep");
    (void) redis_gets();
    store_now += 3600000;
    is_int(limit_of(0, 1), 60, "is kept by the worker");
    is_int(redis_gets(), 0, "which asks nobody");

    redis_set(key_name(2), NULL);
    redis_tell(0);
    is_int(limit_of(0, 1), 60, "nor when others change");
    is_int(redis_gets(), 0, "does it ask");

    redis_set(trigger_name(1), trigger_text(1, 5));
    redis_tell(0);
    is_int(limit_of(0, 1), 5, "but when it does");
    is_int(redis_gets(), 3, "for all of it");

    redis_live(0, 0);
    store_now += 5000;

    ask(&asked, 0, 1);
    redis_fail(0, NGX_PHRONY_REDIS_LOST);
    is_int(asked_limit(&asked), 5, "if Redis does not answer it is used");
    release(&asked, 0);

    redis_set(trigger_name(1), trigger_text(1, 6));
    redis_tell(0);
    ask(&asked, 0, 1);
    redis_fail(0, NGX_PHRONY_REDIS_LOST);
    is_int(asked.lookup.state, UNAVAILABLE, "unless it has changed");
    release(&asked, 0);

    redis_close();
}


/* Somebody guesses keys. */

static void
test_flood(void)
{
    unsigned  i, unknown;

    redis_open(1024 * 1024);
    redis_live(0, 1);
    store_now += 10;

    for (i = 1; i <= 100; i++) {
        put_all(i, i);
        (void) limit_of(0, i);
    }

    for (i = 1000, unknown = 0; i < 9000; i++) {
        unknown += state_of(0, i) == UNKNOWN;
    }

    is_int(unknown, 8000, "8000 keys that there are not");
    ok(store_root()->cache->others_bytes <= 32 * 1024,
       "of which %d bytes are in the zone",
       (int) store_root()->cache->others_bytes);

    (void) redis_gets();
    redis_live(1, 1);

    for (i = 1, unknown = 0; i <= 100; i++) {
        unknown += limit_of(1, i) != i;
    }

    is_int(unknown, 0, "those that there are");
    is_int(redis_gets(), 0, "are there still");

    redis_close();
}


/* Each allocation fails once. */

static void
test_no_memory(void)
{
    int      called, odd;
    long     n, seen;
    asked_t  asked;

    redis_open(1024 * 1024);
    put_all(1, 60);

    odd = 0;

    for (n = 1; n < 1000; n++) {
        redis_set(key_name(1), key_scope(1, 1));
        redis_set(trigger_name(1), trigger_text(1, 60));
        redis_tell_all();

        fail_at(n);
        ask(&asked, 0, 1);

        if (asked.rc == NGX_AGAIN) {
            redis_settle(0);
        }

        seen = allocs();
        fail_at(-1);

        called = (asked.rc == NGX_AGAIN);

        odd += asked.called != called;
        odd += asked.rc != NGX_ERROR && asked.lookup.state != FOUND
               && asked.lookup.state != UNAVAILABLE;

        if (asked.rc != NGX_ERROR) {
            release(&asked, 0);
        }

        odd += limit_of(0, 1) != 60;

        if (seen < n) {
            break;
        }
    }

    ok(n > 20 && n < 1000, "%ld allocations fail", n - 1);
    is_int(odd, 0, "then it is not available, or it is found");

    redis_close();
}
