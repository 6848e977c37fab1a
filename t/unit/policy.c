
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include <jansson.h>

#include "test.h"
#include "policy.h"

#include "phrony_policy_build.h"


static void test_records(void);
static void test_defaults(void);
static void test_workspaces(const phrony_policy_t *policy);
static void test_triggers(const phrony_policy_t *policy);
static void test_keys(const phrony_policy_t *policy);
static void test_lookups(const phrony_policy_t *policy);
static void test_stat(void);
static void test_scopes(void);
static void test_order(void);
static void test_empty(void);
static void test_accepted(void);
static void test_no_memory(void);
static void test_no_memory_jansson(void);
static phrony_policy_t *parse(const char *text);
static const phrony_key_t *key(const phrony_policy_t *policy,
    const char *hex);
static const phrony_trigger_t *trigger(const phrony_policy_t *policy,
    const char *id);
static phrony_uuid_t uuid(const char *text);
static void digest(const char *hex, unsigned char *bytes);
static void is_text(const phrony_str_t *got, const char *want,
    const char *name);
static void *jansson_malloc(size_t size);


static const char  full[] = DOC(
    WS(W1, ",\"status\":\"active\"") ",\n"
    WS(W2, ",\"status\":\"suspended\""),

    TR(T1, A1, W1, ",\"active\":true,\"rpmLimit\":60,\"rpdLimit\":0,"
       "\"maxConcurrentRuns\":4,\"maxInputTokens\":999999999999999,"
       "\"readRpmLimit\":600,"
       "\"ipWhitelist\":[\"10.0.0.0/8\",\"2001:db8::/32\"]") ",\n"
    TR(T2, A2, W1, ",\"active\":false,\"ipWhitelist\":[\"192.0.2.7\"]") ",\n"
    TR(NO, NO, W2, ",\"maxConcurrentRuns\":1,\"readRpmLimit\":0"),

    KEY(K1, S1, W1, ",\"status\":\"active\","
        "\"expiresAt\":\"2031-05-04T14:00:00Z\",\"allowFileUploads\":true,"
        "\"scopes\":[" SCOPE(A2, T2) "," SCOPE(A1, T1) "," SCOPE(A2, T2) "]")
    ",\n"
    KEY(K2, S2, W2, ",\"status\":\"revoked\",\"expiresAt\":null,"
        "\"allowFileUploads\":false,\"scopes\":[]"));


static const char  small[] = DOC(
    WS1,
    TR(T1, A1, W1, ",\"rpmLimit\":5,\"ipWhitelist\":[\"10.0.0.0/8\"]"),
    KEY(K1, S1, W1, ",\"scopes\":[" SCOPE(A1, T1) "]"));


/* All of these are one key of one workspace without triggers. */

static const char  *accepted[] = {
    " \t\r\n" DOC(WS1, "", KEY1) " \t\r\n",
    "{\"workspaces\" : [ " WS1 " ] , \"triggers\" : [ ] ,\r\n"
    "\"keys\" : [\t" KEY1 "\n]\n}",
    "{\"version\":1,\"workspaces\":[" WS1 "],\"x\":null,\"triggers\":[],"
    "\"y\":[{\"z\":[1.5e3,\"\\u0000\"]}],\"keys\":[" KEY1 "],"
    "\"caf\\u00e9\":true}",
    "{\"\\u0077orkspaces\":[" WS1 "],\"triggers\":[],\"keys\":[" KEY1 "]}",
    DOC(WS(W1, ",\"name\":\"\\u0000\",\"x\":{\"y\":[]}"), "", KEY1),
    DOC(WS1, "", KEY(K1, S1, W1, ",\"scopes\":[],\"x\":-1.5")),
    DOC(WS("10000000-0000-4000-8000-00000000000A", ""), "",
        KEY(K1, S1, "10000000-0000-4000-8000-00000000000a", ""))
};


int
main(void)
{
    test_records();
    test_defaults();
    test_stat();
    test_scopes();
    test_order();
    test_empty();
    test_accepted();
    test_no_memory();
    test_no_memory_jansson();

    return done();
}


static void
test_records(void)
{
    phrony_policy_t       *policy;
    phrony_policy_stat_t   stat;

    policy = parse(full);

    if (!ok(policy != NULL, "a policy with every member")) {
        return;
    }

    phrony_policy_stat(policy, &stat);
    is_int(stat.workspaces, 2, "workspaces");
    is_int(stat.triggers, 3, "triggers");
    is_int(stat.keys, 2, "keys");

    test_workspaces(policy);
    test_triggers(policy);
    test_keys(policy);
    test_lookups(policy);

    phrony_policy_free(policy);
}


static void
test_workspaces(const phrony_policy_t *policy)
{
    phrony_uuid_t  id;

    id = uuid(W1);
    ok(phrony_uuid_eq(&phrony_policy_workspace(policy, 0)->id, &id),
       "id of the first workspace");
    is_int(phrony_policy_workspace(policy, 0)->active, 1, "it is active");
    is_int(phrony_policy_workspace(policy, 1)->active, 0,
           "the second is suspended");
    ok(phrony_policy_workspace(policy, 2) == NULL, "there is no third");
}


static void
test_triggers(const phrony_policy_t *policy)
{
    phrony_uuid_t            id;
    phrony_address_t         address;
    const phrony_trigger_t  *one, *two, *three;

    one = trigger(policy, T1);
    id = uuid(A1);

    ok(phrony_uuid_eq(&one->agent_id, &id), "agent of a trigger");
    is_int(one->workspace, 0, "its workspace");
    is_int(one->active, 1, "it is active");
    is_int(one->rpm_limit, 60, "rpmLimit");
    is_int(one->rpd_limit, 0, "rpdLimit 0");
    is_int(one->max_concurrent_runs, 4, "maxConcurrentRuns");
    is_int(one->max_input_tokens, 999999999999999, "maxInputTokens");
    is_int(one->read_rpm_limit, 600, "readRpmLimit");
    is_int(one->ncidrs, 2, "address blocks");
    is_text(&one->start_policy, "\"rpm\";q=60;w=60, \"rpd\";q=0;w=86400, "
            "\"runs\";q=4;qu=\"concurrent-requests\"", "its start_policy");
    is_text(&one->read_policy, "\"reads\";q=600;w=60", "its read_policy");

    phrony_address_set(&address, (unsigned char *) "\x0a\x01\x02\x03", 4);
    ok(phrony_cidr_match(one->cidrs, one->ncidrs, &address),
       "an address in the first block");

    two = trigger(policy, T2);
    is_int(two->active, 0, "the second is not active");
    ok(!phrony_cidr_match(two->cidrs, two->ncidrs, &address),
       "the address is not in the second's block");

    phrony_address_set(&address, (unsigned char *) "\xc0\x00\x02\x07", 4);
    ok(phrony_cidr_match(two->cidrs, two->ncidrs, &address),
       "an address in the second's block");
    ok(!phrony_cidr_match(one->cidrs, one->ncidrs, &address),
       "which is not in the first's");

    is_text(&two->start_policy, "", "no start_policy without limits");
    is_text(&two->read_policy, "", "nor a read_policy");

    three = trigger(policy, NO);
    is_int(three->workspace, 1, "workspace of the third");
    is_text(&three->start_policy, "\"runs\";q=1;qu=\"concurrent-requests\"",
            "start_policy of the third");
    is_text(&three->read_policy, "\"reads\";q=0;w=60", "its read_policy");
}


static void
test_keys(const phrony_policy_t *policy)
{
    phrony_uuid_t        id;
    const phrony_key_t  *one, *two;

    one = key(policy, S1);
    id = uuid(K1);

    ok(phrony_uuid_eq(&one->id, &id), "id of a key");
    is_int(one->workspace, 0, "its workspace");
    is_int(one->active, 1, "it is active");
    is_int(one->expires, 1935669600, "expiresAt");
    is_int(one->allow_file_uploads, 1, "allowFileUploads");
    is_int(phrony_policy_nscopes(policy, one), 2, "scopes");
    ok(phrony_policy_scope(policy, one, 0) == trigger(policy, T1)
       && phrony_policy_scope(policy, one, 1) == trigger(policy, T2),
       "in the order of the triggers");
    ok(phrony_policy_key_has_trigger(policy, one, trigger(policy, T1)),
       "it has the first trigger");
    ok(phrony_policy_key_has_trigger(policy, one, trigger(policy, T2)),
       "it has the second");
    ok(!phrony_policy_key_has_trigger(policy, one, trigger(policy, NO)),
       "it has not the third");

    two = key(policy, S2);
    is_int(two->workspace, 1, "workspace of the second key");
    is_int(two->active, 0, "it is revoked");
    ok(two->expires == PHRONY_NEVER, "expiresAt null");
    is_int(two->allow_file_uploads, 0, "no uploads");
    is_int(phrony_policy_nscopes(policy, two), 0, "no scopes");
    ok(!phrony_policy_key_has_trigger(policy, two, trigger(policy, T1)),
       "nor a trigger");
}


static void
test_lookups(const phrony_policy_t *policy)
{
    phrony_uuid_t  id;

    id = uuid(A2);
    ok(phrony_policy_agent(policy, &id) == trigger(policy, T2),
       "a trigger by its agent");

    id = uuid(T1);
    ok(phrony_policy_agent(policy, &id) == NULL, "a trigger is no agent");

    id = uuid(A1);
    ok(phrony_policy_trigger(policy, &id) == NULL, "an agent is no trigger");

    ok(key(policy, "0123456789abcdef0123456789abcdef"
                   "0123456789abcdef0123456789abcdee") == NULL,
       "a digest that differs in the last bit");
    ok(key(policy, "8123456789abcdef0123456789abcdef"
                   "0123456789abcdef0123456789abcdef") == NULL,
       "a digest that differs in the first bit");
}


static void
test_defaults(void)
{
    phrony_policy_t         *policy;
    const phrony_key_t      *k;
    const phrony_trigger_t  *t;

    policy = parse(DOC(WS1,
                       TR1 "," TR(T2, A2, W1, ",\"rpmLimit\":null,"
                                  "\"rpdLimit\":-0,\"ipWhitelist\":null") ","
                       TR(NO, NO, W1, ",\"ipWhitelist\":[]"),
                       KEY1));

    if (!ok(policy != NULL, "a policy with the required members alone")) {
        return;
    }

    t = trigger(policy, T1);
    is_int(t->active, 1, "a trigger is active");
    is_int(t->rpm_limit, PHRONY_NO_LIMIT, "no rpmLimit");
    is_int(t->rpd_limit, PHRONY_NO_LIMIT, "no rpdLimit");
    is_int(t->max_concurrent_runs, PHRONY_NO_LIMIT, "no maxConcurrentRuns");
    is_int(t->max_input_tokens, PHRONY_NO_LIMIT, "no maxInputTokens");
    is_int(t->read_rpm_limit, PHRONY_NO_LIMIT, "no readRpmLimit");
    is_int(t->ncidrs, 0, "no address blocks");

    t = trigger(policy, T2);
    is_int(t->rpm_limit, PHRONY_NO_LIMIT, "a limit of null");
    is_int(t->rpd_limit, 0, "a limit of -0");
    is_int(t->ncidrs, 0, "ipWhitelist null");
    is_int(trigger(policy, NO)->ncidrs, 0, "ipWhitelist empty");

    is_int(phrony_policy_workspace(policy, 0)->active, 1,
           "a workspace is active");

    k = key(policy, S1);
    is_int(k->active, 1, "a key is active");
    ok(k->expires == PHRONY_NEVER, "it does not expire");
    is_int(k->allow_file_uploads, 0, "it may not upload");
    is_int(phrony_policy_nscopes(policy, k), 0, "it has no scopes");

    phrony_policy_free(policy);
}


/*
 * Memory is what phrony_policy.h and the documentation say: the policy
 * itself, and for each record its bytes and two slots of each index.
 */

static void
test_stat(void)
{
    phrony_policy_t       *policy;
    phrony_policy_stat_t   stat;

    policy = parse(full);

    if (!ok(policy != NULL, "a policy to be measured")) {
        return;
    }

    phrony_policy_stat(policy, &stat);

    is_int(stat.bytes - sizeof(phrony_policy_t),
           2 * 20
           + 3 * (128 + 32) + 3 * 18
           + 2 * (64 + 16) + 4 + 2 * 4
           + trigger(policy, T1)->start_policy.len
           + trigger(policy, T1)->read_policy.len
           + trigger(policy, NO)->start_policy.len
           + trigger(policy, NO)->read_policy.len,
           "bytes of memory");

    is_int(sizeof(phrony_key_t), 64, "a key is one line of the cache");
    is_int((uintptr_t) key(policy, S1) % 64, 0, "and begins with it");
    is_int((uintptr_t) key(policy, S2) % 64, 0, "the second one too");

    phrony_policy_free(policy);
}


/* Repeated scopes are one; "agentId" may be left out. */

static void
test_scopes(void)
{
    phrony_policy_t     *policy;
    const phrony_key_t  *k;

    policy = parse(DOC(WS1, TR1 "," TR2,
                       KEY(K1, S1, W1, ",\"scopes\":[" SCOPE(A2, T2) ","
                           SCOPE(A1, T1) "," SCOPE(A2, T2) ","
                           "{\"triggerId\":\"" T1 "\"}]") ","
                       KEY(K2, S2, W1, ",\"scopes\":[" SCOPE(A2, T2) ","
                           SCOPE(A2, T2) "]")));

    if (!ok(policy != NULL, "keys with repeated scopes")) {
        return;
    }

    k = key(policy, S1);
    is_int(phrony_policy_nscopes(policy, k), 2, "four are two");
    ok(phrony_policy_scope(policy, k, 0) == trigger(policy, T1)
       && phrony_policy_scope(policy, k, 1) == trigger(policy, T2),
       "these two");

    k = key(policy, S2);
    is_int(phrony_policy_nscopes(policy, k), 1, "two are one");
    ok(phrony_policy_scope(policy, k, 0) == trigger(policy, T2), "this one");
    ok(!phrony_policy_key_has_trigger(policy, k, trigger(policy, T1)),
       "not the other one");

    phrony_policy_free(policy);
}


static void
test_order(void)
{
    size_t                 i;
    char                   text[2048];
    phrony_policy_t       *policy;
    static const char     *part[] = {
        "\"workspaces\":[" WS1 "]",
        "\"triggers\":[" TR1 "," TR2 "]",
        "\"keys\":[" KEY(K1, S1, W1, ",\"scopes\":[" SCOPE(A2, T2) "]") "]"
    };
    static const unsigned  order[][3] = {
        { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 },
        { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 }
    };

    for (i = 0; i < 6; i++) {
        snprintf(text, sizeof(text), "{%s,%s,%s}", part[order[i][0]],
                 part[order[i][1]], part[order[i][2]]);

        policy = parse(text);

        ok(policy && key(policy, S1)
           && phrony_policy_key_has_trigger(policy, key(policy, S1),
                                            trigger(policy, T2)),
           "order %u %u %u", order[i][0], order[i][1], order[i][2]);

        phrony_policy_free(policy);
    }
}


static void
test_empty(void)
{
    phrony_uuid_t          id;
    phrony_policy_t       *policy;
    phrony_policy_stat_t   stat;

    policy = parse("{\"workspaces\":[],\"triggers\":[],\"keys\":[]}");

    if (!ok(policy != NULL, "a policy without any record")) {
        return;
    }

    phrony_policy_stat(policy, &stat);
    is_int(stat.workspaces + stat.triggers + stat.keys, 0, "nothing in it");

    id = uuid(T1);
    ok(key(policy, S1) == NULL, "no key");
    ok(phrony_policy_trigger(policy, &id) == NULL, "no trigger");
    ok(phrony_policy_agent(policy, &id) == NULL, "no agent");
    ok(phrony_policy_workspace(policy, 0) == NULL, "no workspace");

    phrony_policy_free(policy);
    phrony_policy_free(NULL);
}


static void
test_accepted(void)
{
    size_t            i;
    phrony_policy_t  *policy;

    for (i = 0; i < sizeof(accepted) / sizeof(accepted[0]); i++) {
        policy = parse(accepted[i]);

        ok(policy && key(policy, S1), "accepted: %.900s", accepted[i]);

        phrony_policy_free(policy);
    }
}


static void
test_no_memory(void)
{
    long                    n, seen;
    phrony_str_t            text;
    phrony_policy_t        *policy;
    phrony_policy_error_t   error;

    text = str("\"rpm\";q=5;w=60");

    for (n = 1; n < 10000; n++) {
        memset(&error, 'x', sizeof(error));

        fail_at(n);
        policy = phrony_policy_parse(small, sizeof(small) - 1, &error);
        seen = allocs();
        fail_at(-1);

        if (seen < n) {
            break;
        }

        if (policy) {

            /* trimming may fail: it is only larger then */

            ok(key(policy, S1) && trigger(policy, T1)->ncidrs == 1
               && phrony_str_eq(&trigger(policy, T1)->start_policy, &text),
               "allocation %ld fails and was not needed", n);

            phrony_policy_free(policy);
            continue;
        }

        is_str(error.text, strlen(error.text), "no memory", "text");
        ok(error.line == 0, "allocation %ld fails", n);
    }

    ok(policy && key(policy, S1), "%ld allocations are enough", n - 1);
    ok(n > 10, "and some of them failed");

    phrony_policy_free(policy);
}


/*
 * Within jansson some failures look like mistakes of the text, but none gives
 * a policy.
 */

static void
test_no_memory_jansson(void)
{
    long                    n, seen;
    json_free_t             free_fn;
    json_malloc_t           malloc_fn;
    phrony_policy_t        *policy;
    phrony_policy_error_t   error;

    json_get_alloc_funcs(&malloc_fn, &free_fn);
    json_set_alloc_funcs(jansson_malloc, test_free);

    for (n = 1; n < 10000; n++) {
        memset(&error, 'x', sizeof(error));

        fail_at(n);
        policy = phrony_policy_parse(small, sizeof(small) - 1, &error);
        seen = allocs();
        fail_at(-1);

        if (seen < n) {
            break;
        }

        if (policy) {
            ok(key(policy, S1)
               && phrony_policy_nscopes(policy, key(policy, S1)) == 1,
               "allocation %ld fails and was not needed", n);

        } else {
            ok((strcmp(error.text, "no memory") == 0 && error.line == 0)
               || (strstr(error.text, ": ") && error.line > 0
                   && error.text[strlen(error.text) - 1] != ' '),
               "allocation %ld fails: %.200s", n, error.text);
        }

        phrony_policy_free(policy);
    }

    json_set_alloc_funcs(malloc_fn, free_fn);

    ok(policy && key(policy, S1), "%ld allocations are enough", n - 1);

    phrony_policy_free(policy);
}


/*
 * jansson does not notice when its lexer's buffer cannot grow, and loses
 * bytes: its sizes are powers of two.
 */

static void *
jansson_malloc(size_t size)
{
    if (size >= 32 && (size & (size - 1)) == 0) {
        return __real_malloc ? __real_malloc(size) : malloc(size);
    }

    return test_malloc(size);
}


static phrony_policy_t *
parse(const char *text)
{
    size_t                  len;
    char                   *copy;
    phrony_policy_t        *policy;
    phrony_policy_error_t   error;

    /* of the exact size, and freed before the policy is used */

    len = strlen(text);
    copy = malloc(len);

    if (copy == NULL) {
        abort();
    }

    memcpy(copy, text, len);
    policy = phrony_policy_parse(copy, len, &error);
    free(copy);

    if (policy == NULL) {
        printf("# line %zu: %s\n", error.line, error.text);
    }

    return policy;
}


static const phrony_key_t *
key(const phrony_policy_t *policy, const char *hex)
{
    unsigned char  bytes[PHRONY_KEY_DIGEST_LEN];

    digest(hex, bytes);

    return phrony_policy_key(policy, bytes);
}


static const phrony_trigger_t *
trigger(const phrony_policy_t *policy, const char *id)
{
    phrony_uuid_t  parsed;

    parsed = uuid(id);

    return phrony_policy_trigger(policy, &parsed);
}


static phrony_uuid_t
uuid(const char *text)
{
    phrony_str_t   s;
    phrony_uuid_t  id;

    s = str(text);
    memset(&id, 0, sizeof(id));

    if (phrony_uuid_parse(&s, &id) == -1) {
        abort();
    }

    return id;
}


static void
digest(const char *hex, unsigned char *bytes)
{
    size_t    i;
    unsigned  byte;

    for (i = 0; i < PHRONY_KEY_DIGEST_LEN; i++) {
        if (sscanf(hex + i * 2, "%2x", &byte) != 1) {
            abort();
        }

        bytes[i] = (unsigned char) byte;
    }
}


static void
is_text(const phrony_str_t *got, const char *want, const char *name)
{
    is_str(got->data, got->len, want, name);
}
