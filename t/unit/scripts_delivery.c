
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "phrony_delivery.h"
#include "script.h"


/*
 * Deliveries in the scripts: the decision table of admit.lua against that of
 * core/, and what deliver.lua makes of each state.
 */


#define WORKSPACE  "phrony:{00000001-0000-4000-8000-000000000001}"
#define TRIGGER    "00000002-0000-4000-8000-000000000002"

#define WINDOW     WORKSPACE ":window:" TRIGGER
#define RUNS       WORKSPACE ":runs:" TRIGGER
#define DELIVERY   WORKSPACE ":delivery:" TRIGGER ":digest"
#define NONE       "------------------------------------"
#define LEASE      "1ea5e000-0000-4000-8000-000000000001"
#define OTHER      "1ea5e000-0000-4000-8000-000000000002"
#define RUN        "00000000-0000-4000-8000-000000000002"

#define BODY       "a fingerprint of thirty-two byte"
#define ANOTHER    "another, which has got 32, too.."
#define ANSWER     "an answer that was stored"


/* What stands in the key, of OTHER and BODY. */

typedef enum {
    ABSENT = 0,
    PENDING,
    DOUBTFUL,           /* pending, and was unknown before */
    LATE,               /* pending, until a moment ago */
    VOID,               /* pending, and its lease was given up */
    VOID_DOUBTFUL,
    TOLD,               /* pending, as told, a lease of this id given up */
    DONE,
    ANSWERED,
    UNCERTAIN,
    STATES
} state_t;


typedef struct {
    const char               *name;
    const char               *head;         /* state, doubtful, by */
    int                       left;         /* ms */
    int                       abandoned;
    const char               *answer;
    phrony_delivery_state_t   counts;       /* as */
} standing_t;


typedef struct {
    state_t       before;
    char          event;
    const char   *owner;
    const char   *after;        /* head; NULL: none */
    int           changed;
} transition_t;


static void test_table(void);
static void test_one(state_t state, char mode, const char *body);
static void test_claim(void);
static void test_refused(void);
static void test_ride(void);
static void test_transitions(void);
static void test_told(void);
static void test_errors(void);
static void test_broken(const char *error);
static void put(state_t state);
static void admit(script_reply_t *reply, const char *lease, char mode,
    const char *doubtful, const char *body, const char *settlement);
static void deliver(script_reply_t *reply, char event, const char *head,
    const char *owner, const char *answer);
static const char *value(void);
static const char *settlement(char event, const char *lease,
    const char *run);
static void flush(void);


static const standing_t  keys[STATES] = {
    { "absent", "", 0, 0, "", PHRONY_DELIVERY_NEW },
    { "pending", "P0A", 4000, 0, "", PHRONY_DELIVERY_PROGRESS },
    { "doubtful", "P1A", 4000, 0, "", PHRONY_DELIVERY_PROGRESS },
    { "late", "P0A", 0, 0, "", PHRONY_DELIVERY_UNKNOWN },
    { "void", "P0A", 4000, 1, "", PHRONY_DELIVERY_NEW },
    { "void, doubtful", "P1A", 4000, 1, "", PHRONY_DELIVERY_UNKNOWN },
    { "told", "P0T", 4000, 1, "", PHRONY_DELIVERY_PROGRESS },
    { "done", "D0A", 0, 0, "", PHRONY_DELIVERY_DONE },
    { "answered", "D0A", 0, 0, ANSWER, PHRONY_DELIVERY_DONE },
    { "uncertain", "U0A", 0, 0, "", PHRONY_DELIVERY_UNKNOWN }
};


int
main(void)
{
    script_open();

    test_table();
    test_claim();
    test_refused();
    test_ride();
    test_transitions();
    test_told();
    test_errors();

    return done();
}


/* Every state, mode and fingerprint, by the script and by core/. */

static void
test_table(void)
{
    int  state;

    for (state = ABSENT; state < STATES; state++) {
        test_one((state_t) state, 'R', BODY);
        test_one((state_t) state, 'R', ANOTHER);
        test_one((state_t) state, 'A', BODY);
        test_one((state_t) state, 'A', ANOTHER);
        test_one((state_t) state, 'L', BODY);
        test_one((state_t) state, 'L', ANOTHER);
    }
}


static void
test_one(state_t state, char mode, const char *body)
{
    int                         same, blocked, claims;
    char                        before[256];
    const standing_t               *key;
    script_reply_t              reply;
    phrony_delivery_decision_t  decision;

    key = &keys[state];
    same = (body[1] == BODY[1]);

    decision = phrony_delivery_decide(mode == 'A'
                                      ? PHRONY_DELIVERY_MODE_ANNOTATE
                                      : PHRONY_DELIVERY_MODE_REPLAY,
                                      key->counts, same, *key->answer != '\0');

    blocked = decision.action != PHRONY_DELIVERY_ACTION_CLAIM
              && decision.action != PHRONY_DELIVERY_ACTION_PROXY;
    claims = mode != 'L'
             && (decision.action == PHRONY_DELIVERY_ACTION_CLAIM
                 || decision.duplicate == PHRONY_DUPLICATE_UNKNOWN);

    flush();
    put(state);
    strcpy(before, value());

    admit(&reply, LEASE, mode, "0", body, NULL);

    ok(reply.n == 10 && reply.integers[1] == (blocked ? 3 : 1),
       "%s, %c, %s body: %s %s", key->name, mode, same ? "same" : "other",
       blocked ? "blocked" : "granted", reply.error);

    is_int(reply.integers[9], key->counts
                              + (key->counts != PHRONY_DELIVERY_NEW && !same
                                 ? 4 : 0),
           "as what was seen");
    ok(strcmp(reply.text,
              decision.action == PHRONY_DELIVERY_ACTION_REPLAY
              ? key->answer : "") == 0, "with the answer: \"%s\"", reply.text);

    is_int(reply.integers[2], !blocked, "counted or not");
    is_int(reply.integers[8], !blocked, "with or without a slot");

    if (claims) {
        ok(strncmp(value(), "PHD\1P", 5) == 0
           && value()[5] == (key->counts == PHRONY_DELIVERY_UNKNOWN
                             ? '1' : '0')
           && strncmp(value() + 22, LEASE, 36) == 0, "and claimed");

    } else {
        ok(strcmp(value(), before) == 0, "and the key is as it was");
    }
}


static void
test_claim(void)
{
    char            until[16];
    script_reply_t  reply;

    flush();
    admit(&reply, LEASE, 'R', "1", BODY, NULL);

    snprintf(until, sizeof(until), "%015llu",
             (unsigned long long) script_now + 5000);

    ok(memcmp(value(), "PHD\1P1A", 7) == 0,
       "what the gateway has doubts about is claimed with them");
    ok(memcmp(value() + 7, until, 15) == 0, "until the lease runs out");
    ok(strcmp(value() + 58, BODY) == 0, "for this body");
    ok(script_integer("PTTL " DELIVERY) > 60000, "for the longer ttl");
    ok(script_integer("PTTL " DELIVERY) <= 70000, "and no longer");

    script_now += 4999;
    admit(&reply, OTHER, 'R', "0", BODY, NULL);
    is_int(reply.integers[1], 3, "until then the next one is blocked");

    script_now += 1;
    admit(&reply, OTHER, 'R', "0", BODY, NULL);
    is_int(reply.integers[1], 1, "and then not");
    is_int(reply.integers[9], 3, "since nobody knows what became of it");

    admit(&reply, RUN, 'R', "0", BODY, NULL);
    is_int(reply.integers[1], 3, "but the third, by the second");
}


/* Nothing is claimed by whom a limit refuses, or whose lease was given up. */

static void
test_refused(void)
{
    script_reply_t  reply;

    const char  *argv[] = { WINDOW, RUNS, DELIVERY, "0", "-1", "-1", "5000",
                            LEASE, "R0000000000070000" BODY, NULL };

    flush();
    script_run(&reply, PHRONY_SCRIPT_ADMIT, 3, argv);
    is_int(reply.integers[1], 0, "refused by a limit");
    is_int(reply.integers[9], 0, "though it is new");
    is_int(script_integer("EXISTS " DELIVERY), 0, "and not claimed");

    put(ANSWERED);
    script_run(&reply, PHRONY_SCRIPT_ADMIT, 3, argv);
    is_int(reply.integers[1], 3, "no limit refuses a replay");
    is_str(reply.text, strlen(reply.text), ANSWER, "of what was stored");

    flush();
    admit(&reply, LEASE, 'R', "0", BODY, settlement('A', LEASE, NONE));
    is_int(reply.integers[1], 2, "its lease was given up");
    is_int(script_integer("EXISTS " DELIVERY), 0, "and nothing is claimed");
}


/* Settlements are applied to blocked starts as well, and before they ask. */

static void
test_ride(void)
{
    script_reply_t  reply;

    flush();
    admit(&reply, OTHER, 'R', "0", BODY, NULL);
    admit(&reply, LEASE, 'R', "0", BODY, settlement('B', OTHER, RUN));
    is_int(reply.integers[1], 3, "a start is blocked");
    is_int(reply.integers[8], 1, "one slot is held");
    ok(script_integer("ZSCORE " RUNS " " RUN) == -99
       && script_integer("ZRANK " RUNS " " RUN) == 0,
       "by the run that was told along with it");
    ok(script_integer("PTTL " RUNS) > 70000, "whose key lives as long");

    flush();
    admit(&reply, OTHER, 'R', "0", BODY, NULL);
    admit(&reply, LEASE, 'R', "0", BODY, settlement('A', OTHER, NONE));
    is_int(reply.integers[1], 1, "a claim that is given up along with it");
    is_int(reply.integers[9], 0, "is none");
    is_int(reply.integers[8], 1, "and its slot is free");

    admit(&reply, RUN, 'R', "0", BODY, "x");
    ok(strncmp(reply.error, "PHRONYARGUMENT ", 15) == 0, "%s", reply.error);
}


/* Every event on every state, by its owner and by somebody else. */

static void
test_transitions(void)
{
    size_t           i;
    char             before[256], twice[256];
    script_reply_t   reply;

    static const transition_t  transitions[] = {
        { ABSENT, 'P', LEASE, "P0T", 1 },
        { ABSENT, 'D', LEASE, "D0T", 1 },
        { ABSENT, 'U', LEASE, "U0T", 1 },
        { ABSENT, 'F', LEASE, NULL, 0 },

        { PENDING, 'P', OTHER, "P0A", 0 },
        { PENDING, 'D', OTHER, "D0T", 1 },
        { PENDING, 'U', OTHER, "U0T", 1 },
        { PENDING, 'F', OTHER, NULL, 1 },
        { PENDING, 'P', LEASE, "P0A", 0 },
        { PENDING, 'D', LEASE, "P0A", 0 },
        { PENDING, 'U', LEASE, "P0A", 0 },
        { PENDING, 'F', LEASE, "P0A", 0 },

        { DOUBTFUL, 'D', OTHER, "D0T", 1 },
        { DOUBTFUL, 'F', OTHER, "U1A", 1 },
        { DOUBTFUL, 'F', LEASE, "P1A", 0 },

        { LATE, 'P', OTHER, "P0A", 0 },
        { LATE, 'D', OTHER, "D0T", 1 },
        { LATE, 'U', OTHER, "U0T", 1 },
        { LATE, 'F', OTHER, NULL, 1 },
        { LATE, 'P', LEASE, "P1T", 1 },
        { LATE, 'D', LEASE, "D1T", 1 },
        { LATE, 'U', LEASE, "P0A", 0 },
        { LATE, 'F', LEASE, "P0A", 0 },

        { VOID, 'D', OTHER, "D0T", 1 },
        { VOID, 'F', OTHER, NULL, 1 },
        { VOID, 'P', LEASE, "P0T", 1 },
        { VOID, 'D', LEASE, "D0T", 1 },
        { VOID, 'U', LEASE, "U0T", 1 },
        { VOID, 'F', LEASE, "P0A", 0 },

        { VOID_DOUBTFUL, 'P', LEASE, "P1T", 1 },
        { VOID_DOUBTFUL, 'D', LEASE, "D1T", 1 },
        { VOID_DOUBTFUL, 'U', LEASE, "P1A", 0 },

        { TOLD, 'D', OTHER, "D0T", 1 },
        { TOLD, 'D', LEASE, "P0T", 0 },

        { DONE, 'P', OTHER, "D0A", 0 },
        { DONE, 'U', OTHER, "D0A", 0 },
        { DONE, 'F', OTHER, "D0A", 0 },
        { DONE, 'D', LEASE, "D0A", 0 },
        { ANSWERED, 'D', OTHER, "D0A", 0 },
        { ANSWERED, 'D', LEASE, "D0A", 0 },
        { ANSWERED, 'P', LEASE, "D0A", 0 },
        { ANSWERED, 'F', LEASE, "D0A", 0 },

        { UNCERTAIN, 'D', OTHER, "D0T", 1 },
        { UNCERTAIN, 'U', OTHER, "U0A", 0 },
        { UNCERTAIN, 'F', OTHER, "U0A", 0 },
        { UNCERTAIN, 'P', OTHER, "U0A", 0 },
        { UNCERTAIN, 'P', LEASE, "P1T", 1 },
        { UNCERTAIN, 'D', LEASE, "D1T", 1 },
        { UNCERTAIN, 'U', LEASE, "U0A", 0 },
        { UNCERTAIN, 'F', LEASE, "U0A", 0 }
    };

    for (i = 0; i < sizeof(transitions) / sizeof(transitions[0]); i++) {
        const transition_t  *t = &transitions[i];

        /* another's answer counts: then one's own is to be forgotten */

        int  overruled = (t->event == 'D' && strcmp(t->owner, LEASE) == 0
                          && (t->before == DONE || t->before == ANSWERED));

        flush();
        put(t->before);
        strcpy(before, value());

        deliver(&reply, t->event, "0T", t->owner, "told");

        ok(reply.n == 1 && reply.integers[0] == 1 + overruled
           && (t->after ? strncmp(value() + 4, t->after, 3) == 0
                        : *value() == '\0'),
           "%s, %c by %s: %s %s", keys[t->before].name, t->event,
           *t->owner == *OTHER && strcmp(t->owner, LEASE) == 0
           ? "its owner" : "another", t->after ? t->after : "gone",
           reply.error);

        ok((strcmp(value(), before) != 0) == t->changed, "changed or not");

        if (t->changed && t->after) {
            ok(strncmp(value() + 22, t->owner, 36) == 0, "its owner is told");
            ok(strcmp(value() + 90, *t->after == 'D' ? "told" : "") == 0,
               "and the answer of what was done");
            ok(script_integer("PTTL " DELIVERY)
               > (t->event == 'F' ? 40000 : 60000), "it has a TTL");
        }

        strcpy(twice, value());
        deliver(&reply, t->event, "0T", t->owner, "told");
        ok(strcmp(value(), twice) == 0, "told twice, it is the same");
    }
}


/* What was told is what a start is told. */

static void
test_told(void)
{
    script_reply_t  reply;

    flush();
    deliver(&reply, 'P', "1T", OTHER, "");
    admit(&reply, LEASE, 'R', "0", BODY, settlement('A', OTHER, NONE));
    is_int(reply.integers[9], 1,
           "what was claimed elsewhere is in progress, whatever its lease is");

    script_now += 3000;
    admit(&reply, LEASE, 'R', "0", BODY, NULL);
    is_int(reply.integers[9], 3, "until its time is over");
    is_int(reply.integers[1], 1, "and is taken over");

    deliver(&reply, 'D', "0A", LEASE, ANSWER);
    admit(&reply, RUN, 'R', "0", BODY, NULL);
    is_str(reply.text, strlen(reply.text), ANSWER, "once done it is replayed");

    deliver(&reply, 'D', "0A", LEASE, "");
    admit(&reply, RUN, 'R', "0", BODY, NULL);
    is_str(reply.text, strlen(reply.text), ANSWER,
           "though it is told again without the answer");
}


static void
test_errors(void)
{
    size_t           i;
    script_reply_t   reply;

    static const char  *const  claims[] = {
        "", "R", "R0000000000070000" BODY "+", "R0seven and so on" BODY
    };

    static const char  *const  tidings[] = {
        "", "D", "X0T000000000003000000000000070000" LEASE BODY,
        "D0T000000000003000000000000070000" LEASE BODY "+",
        "D0T00000000000300000000seventy---" LEASE BODY
    };

    const char  *admits[] = { WINDOW, RUNS, DELIVERY, "-1", "-1", "-1",
                              "5000", LEASE, NULL, NULL };
    const char  *delivers[] = { DELIVERY, RUNS, NULL, "", NULL };

    flush();

    for (i = 0; i < sizeof(claims) / sizeof(claims[0]); i++) {
        admits[8] = claims[i];
        script_run(&reply, PHRONY_SCRIPT_ADMIT, 3, admits);
        ok(reply.n == 0 && *reply.error, "%s", reply.error);
    }

    admits[8] = NULL;
    script_run(&reply, PHRONY_SCRIPT_ADMIT, 3, admits);
    ok(strncmp(reply.error, "PHRONYARGUMENT ", 15) == 0, "%s", reply.error);

    for (i = 0; i < sizeof(tidings) / sizeof(tidings[0]); i++) {
        delivers[2] = tidings[i];
        script_run(&reply, PHRONY_SCRIPT_DELIVER, 2, delivers);
        ok(reply.n == 0 && *reply.error, "%s", reply.error);
    }

    is_int(script_integer("EXISTS " DELIVERY " " WINDOW " " RUNS), 0,
           "nothing was written");

    freeReplyObject(script_ask("SET " DELIVERY " nonsense"));
    test_broken("PHRONYLAYOUT ");
    freeReplyObject(script_ask("SET " DELIVERY " %b",
                               "PHD\2P0A00000000500000000000000000000000000000"
                               "0000000000000000000000000000000000000000000000"
                               "00", 90));
    test_broken("PHRONYLAYOUT ");
    freeReplyObject(script_ask("DEL " DELIVERY));
    freeReplyObject(script_ask("LPUSH " DELIVERY " x"));
    test_broken("WRONGTYPE ");
}


/* A key that is none of ours is not touched, and nothing counted. */

static void
test_broken(const char *error)
{
    script_reply_t  reply;

    admit(&reply, LEASE, 'R', "0", BODY, settlement('B', OTHER, RUN));
    ok(strstr(reply.error, error) != NULL, "a start: %s", reply.error);
    is_int(script_integer("EXISTS " WINDOW " " RUNS), 0, "counts nothing");

    deliver(&reply, 'D', "0A", LEASE, ANSWER);
    ok(strstr(reply.error, error) != NULL, "a receipt: %s", reply.error);
}


static void
put(state_t state)
{
    char           head[128];
    const standing_t  *key;

    key = &keys[state];

    if (key->abandoned) {
        freeReplyObject(script_ask("ZADD " RUNS " -%llu " OTHER,
                                   (unsigned long long) script_now + 70000));
    }

    if (state == ABSENT) {
        return;
    }

    snprintf(head, sizeof(head), "PHD\1%s%015llu" OTHER BODY, key->head,
             *key->head == 'P' ? (unsigned long long) script_now + key->left
                               : 0);

    freeReplyObject(script_ask("SET " DELIVERY " %s%s PX 50000", head,
                               key->answer));
}


static void
admit(script_reply_t *reply, const char *lease, char mode,
    const char *doubtful, const char *body, const char *settled)
{
    char  claim[64];

    const char  *argv[] = { WINDOW, RUNS, DELIVERY, "-1", "-1", "-1", "5000",
                            lease, claim, settled, NULL };

    snprintf(claim, sizeof(claim), "%c%s%s%s", mode, doubtful,
             "000000000070000", body);

    script_run(reply, PHRONY_SCRIPT_ADMIT, 3, argv);
}


/* Of BODY, by somebody who may settle it for 3 s. */

static void
deliver(script_reply_t *reply, char event, const char *head,
    const char *owner, const char *answer)
{
    char  tidings[128];

    const char  *argv[] = { DELIVERY, RUNS, tidings, answer, NULL };

    snprintf(tidings, sizeof(tidings), "%c%s%s%s%s" BODY, event, head,
             "000000000003000", "000000000070000", owner);

    script_run(reply, PHRONY_SCRIPT_DELIVER, 2, argv);
}


/* Of the key; empty if there is none.  Good until the next call. */

static const char *
value(void)
{
    redisReply   *r;
    static char   text[256];

    r = script_ask("GET " DELIVERY);

    snprintf(text, sizeof(text), "%s",
             r->type == REDIS_REPLY_STRING ? r->str : "");
    freeReplyObject(r);

    return text;
}


static const char *
settlement(char event, const char *lease, const char *run)
{
    static char  text[128];

    snprintf(text, sizeof(text), "%c%s%s%s", event, lease, run,
             "000000000070000");

    return text;
}


static void
flush(void)
{
    freeReplyObject(script_ask("FLUSHALL"));
}
