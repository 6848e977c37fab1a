
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "test.h"
#include "policy.h"

#include <jansson.h>

#include "phrony_policy_key.h"


/*
 * The policy of one key, made of records that stand alone, and the names of
 * these.
 */

#define MAX  8

#define KEY_WITH(more)   KEY(K1, S1, W1, "," more)
#define SCOPES(list)     "\"scopes\":[" list "]"
#define SCOPE1           SCOPE(A1, T1)
#define SCOPE2           SCOPE(A2, T2)
#define GOOD_KEY         KEY_WITH(SCOPES(SCOPE1 "," SCOPE2))
#define OTHER_T2         TR(T2, A2, W2, "")

#define IN_W             "workspace (\"" W1 "\"): "
#define IN_T             "trigger (\"" T1 "\"): "
#define IN_K             "key (\"" K1 "\"): "


/* Records that stand alone; a text that is NULL is not there. */

typedef struct {
    const char  *key;
    const char  *workspace;
    const char  *triggers[2];
    size_t       broken;
    size_t       line;
    const char  *error;         /* NULL: none */
} vector_t;


static void test_names(void);
static void test_refers(void);
static void test_refers_errors(void);
static void test_refers_many(void);
static void test_parse(void);
static void test_absent(void);
static void test_errors(void);
static void test_no_memory(void);
static int no_memory(const phrony_policy_error_t *error);
static void test_damaged(void);
static size_t fill(phrony_policy_piece_t *pieces, const vector_t *v);
static void set(phrony_policy_piece_t *piece, phrony_policy_kind_t kind,
    const char *id, const char *text);
static phrony_uuid_t uuid(const char *text);
static const unsigned char *digest(void);


static const vector_t  good = { GOOD_KEY, WS1, { TR1, TR2 }, 0, 0, NULL };


static const vector_t  vectors[] = {

    /* the same sentences as of a file, without a number */

    { KEY_WITH("\"allowFileUploads\":1"), WS1, { NULL, NULL }, 0, 0,
      IN_K "member \"allowFileUploads\" is not true or false" },
    { KEY_WITH("\"expiresAt\":\"soon\""), WS1, { NULL, NULL }, 0, 0,
      IN_K "member \"expiresAt\" is not an RFC 3339 date and time" },
    { KEY_WITH("\"status\":\"suspended\""), WS1, { NULL, NULL }, 0, 0,
      IN_K "member \"status\" is not \"active\" or \"revoked\"" },
    { GOOD_KEY, WS(W1, ",\"status\":0"), { TR1, TR2 }, 1, 0,
      IN_W "member \"status\" is not \"active\" or \"suspended\"" },
    { GOOD_KEY, WS1, { TR(T1, A1, W1, ",\"rpmLimit\":-1"), TR2 }, 2, 0,
      IN_T "member \"rpmLimit\" is not a non-negative integer" },
    { GOOD_KEY, WS1, { TR2, TR1 }, 2, 0,
      "trigger (\"" T2 "\"): member \"id\" is not the one in the record's "
      "name" },
    { GOOD_KEY, WS1, { TR1, "{\"id\":\"" T2 "\",\"agentId\":\"" A2 "\"}" },
      3, 0, "trigger (\"" T2 "\"): member \"workspaceId\" is missing" },
    { GOOD_KEY, WS1, { TR1, "{}" }, 3, 0,
      "trigger: member \"id\" is missing" },

    /* what does not fit together */

    { GOOD_KEY, WS1, { TR1, OTHER_T2 }, 0, 0,
      IN_K "scope 2: member \"triggerId\" names the trigger, of another "
      "workspace than the key's" },
    { KEY_WITH(SCOPES(SCOPE(A2, T1))), WS1, { TR1, NULL }, 0, 0,
      IN_K "scope 1: member \"agentId\" is not the agent of the trigger" },
    { GOOD_KEY, WS1, { TR1, TR(T2, A1, W1, "") }, 3, 0,
      "trigger (\"" T2 "\"): member \"agentId\" is that of another trigger" },
    { GOOD_KEY, NULL, { TR1, TR2 }, 0, 0,
      IN_K "member \"workspaceId\" names no workspace" },
    { GOOD_KEY, NULL, { "?", OTHER_T2 }, 0, 0,
      IN_K "member \"workspaceId\" names no workspace" },
    { GOOD_KEY, WS2, { TR1, TR2 }, 1, 0,
      "workspace (\"" W2 "\"): member \"id\" is not the one in the record's "
      "name" },
    { KEY(K1, S2, W1, ""), WS1, { NULL, NULL }, 0, 0,
      IN_K "member \"sha256\" is not the one in the record's name" },

    /* what is no record */

    { "", WS1, { NULL, NULL }, 0, 1, "key is not an object" },
    { " \n []", WS1, { NULL, NULL }, 0, 2, "key is not an object" },
    { "\xef\xbb\xbf{}", WS1, { NULL, NULL }, 0, 1, "key is not an object" },
    { GOOD_KEY, WS1, { "{\n\"id\":}", TR2 }, 2, 2,
      "trigger is not valid JSON: unexpected token near '}'" },
    { GOOD_KEY, WS1, { TR1 "{}", TR2 }, 2, 1,
      "nothing may follow the object" },
    { GOOD_KEY, "{\"id\":\"" W1 "\",\"id\":1}", { TR1, TR2 }, 1, 1,
      "workspace is not valid JSON: duplicate object key near '\"id\"'" }
};


int
main(void)
{
    test_names();
    test_refers();
    test_refers_errors();
    test_refers_many();
    test_parse();
    test_absent();
    test_errors();
    test_no_memory();
    test_damaged();

    return done();
}


static void
test_names(void)
{
    size_t                 i;
    phrony_str_t           prefix, text;
    unsigned char          buf[256], *end;
    phrony_uuid_t          id;
    phrony_policy_name_t   name, other;

    static const char     *bad[] = {
        "phrony:key:" "0123", "phrony:key:" S2, "phrony:key:" S1 "0",
        "phrony:key", "phrony:key:", "phrony", "", "phrony:",
        "phrony:trigger:" "20000000-0000-4000-8000-00000000000g",
        "phrony:trigger:" "20000000-0000-4000-8000-00000000000A",
        "phrony:triggers:" T1, "phrony:window:" T1, "phrone:trigger:" T1,
        "phronyx:trigger:" T1, "phrony:trigger:" T1 " ", "phrony:run:" T1
    };

    prefix = str("phrony");

    memset(&name, 0xff, sizeof(name));
    phrony_policy_name_key(&name, digest());

    end = phrony_policy_name_format(buf, &name, &prefix);
    is_str(buf, (size_t) (end - buf), "phrony:key:" S1, "a key's name");
    is_int(end - buf, prefix.len + PHRONY_POLICY_NAME_LEN,
           "no name is longer");

    text.data = buf;
    text.len = (size_t) (end - buf);

    is_int(phrony_policy_name_parse(&text, &prefix, &other), 0, "is read");
    ok(phrony_policy_name_eq(&name, &other), "and is the same");

    end = phrony_policy_name_print(buf, &name, &prefix);
    is_str(buf, (size_t) (end - buf), "phrony:key:01234567...", "for people");

    id = uuid(T1);
    phrony_policy_name_uuid(&name, PHRONY_POLICY_NAME_TRIGGER, &id);

    end = phrony_policy_name_format(buf, &name, &prefix);
    is_str(buf, (size_t) (end - buf), "phrony:trigger:" T1, "a trigger's");

    end = phrony_policy_name_print(buf, &name, &prefix);
    is_str(buf, (size_t) (end - buf), "phrony:trigger:" T1, "for people");

    phrony_policy_name_uuid(&other, PHRONY_POLICY_NAME_WORKSPACE, &id);
    ok(!phrony_policy_name_eq(&name, &other), "a workspace of the same id");

    text = str("a:b:workspace:" W1);
    prefix = str("a:b");

    is_int(phrony_policy_name_parse(&text, &prefix, &name), 0,
           "a prefix with a colon");
    is_int(name.kind, PHRONY_POLICY_NAME_WORKSPACE, "is a workspace");

    prefix = str("");
    end = phrony_policy_name_format(buf, &name, &prefix);
    is_str(buf, (size_t) (end - buf), ":workspace:" W1, "an empty prefix");

    prefix = str("phrony");

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        text = str(bad[i]);
        is_int(phrony_policy_name_parse(&text, &prefix, &name), -1, bad[i]);
    }
}


static void
test_refers(void)
{
    size_t                  n;
    phrony_uuid_t           id;
    phrony_policy_name_t   *names;
    phrony_policy_error_t   error;
    phrony_policy_piece_t   key;

    set(&key, PHRONY_POLICY_NAME_KEY, NULL,
        KEY_WITH(SCOPES(SCOPE2 "," SCOPE1 "," SCOPE(A1, T2))));

    is_int(phrony_policy_key_refers(&key, &names, &n, &error), 0, "a key");
    is_int(n, 3, "refers to three");

    id = uuid(W1);
    ok(names[0].kind == PHRONY_POLICY_NAME_WORKSPACE
       && memcmp(names[0].id, id.bytes, 16) == 0, "its workspace first");

    id = uuid(T1);
    ok(names[1].kind == PHRONY_POLICY_NAME_TRIGGER
       && memcmp(names[1].id, id.bytes, 16) == 0, "one trigger");

    id = uuid(T2);
    ok(names[2].kind == PHRONY_POLICY_NAME_TRIGGER
       && memcmp(names[2].id, id.bytes, 16) == 0, "the other one, once");

    free(names);

    set(&key, PHRONY_POLICY_NAME_KEY, NULL, KEY1);

    is_int(phrony_policy_key_refers(&key, &names, &n, &error), 0,
           "a key without scopes");
    is_int(n, 1, "refers to one");

    free(names);
}


static void
test_refers_errors(void)
{
    size_t                  i, n;
    phrony_policy_name_t   *names;
    phrony_policy_error_t   error;
    phrony_policy_piece_t   key;

    static const vector_t   bad[] = {
        { "", NULL, { NULL, NULL }, 0, 1, "key is not an object" },
        { "{\"id\":\"" K1 "\"", NULL, { NULL, NULL }, 0, 1,
          "key is not valid JSON: '}' expected near end of file" },
        { KEY(K1, S2, W1, ""), NULL, { NULL, NULL }, 0, 0,
          IN_K "member \"sha256\" is not the one in the record's name" },
        { KEY(K1, S1, "?", ""), NULL, { NULL, NULL }, 0, 0,
          IN_K "member \"workspaceId\" is not a UUID" },
        { KEY_WITH("\"scopes\":{}"), NULL, { NULL, NULL }, 0, 0,
          IN_K "member \"scopes\" is not an array" },
        { KEY_WITH(SCOPES(SCOPE1 ",1")), NULL, { NULL, NULL }, 0, 0,
          IN_K "scope 2: it is not an object" },
        { KEY_WITH(SCOPES("{}")), NULL, { NULL, NULL }, 0, 0,
          IN_K "scope 1: member \"triggerId\" is missing" }
    };

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        set(&key, PHRONY_POLICY_NAME_KEY, NULL, bad[i].key);

        is_int(phrony_policy_key_refers(&key, &names, &n, &error), -1,
               "a key that does not tell what it refers to");
        is_str(error.text, strlen(error.text), bad[i].error, "says why");
        is_int(error.line, bad[i].line, "and where");
    }
}


static void
test_refers_many(void)
{
    char                   *text, *p;
    size_t                  n;
    unsigned                i, many;
    phrony_policy_name_t   *names;
    phrony_policy_error_t   error;
    phrony_policy_piece_t   key;

    text = malloc(200000);

    if (text == NULL) {
        abort();
    }

    for (many = 1024; many <= 1025; many++) {
        p = text + sprintf(text, "%s", "{\"id\":\"" K1 "\",\"sha256\":\"" S1
                           "\",\"workspaceId\":\"" W1 "\",\"scopes\":[");

        for (i = 0; i < many; i++) {
            p += sprintf(p, "%s{\"triggerId\":\""
                         "20000000-0000-4000-8000-%012u\"}", i ? "," : "",
                         (i * 7919) % 1031);
        }

        strcpy(p, "]}");

        set(&key, PHRONY_POLICY_NAME_KEY, NULL, text);

        if (many == 1024) {
            is_int(phrony_policy_key_refers(&key, &names, &n, &error), 0,
                   "1024 scopes");
            is_int(n, 1025, "are as many triggers, and a workspace");
            free(names);
            continue;
        }

        is_int(phrony_policy_key_refers(&key, &names, &n, &error), -1,
               "one more");
        is_str(error.text, strlen(error.text), IN_K "member \"scopes\" has "
               "more than 1024 entries", "is one too many");
    }

    free(text);
}


static void
test_parse(void)
{
    size_t                    broken;
    phrony_uuid_t             id;
    phrony_policy_t          *policy;
    const phrony_key_t       *key;
    phrony_policy_stat_t      stat;
    phrony_policy_error_t     error;
    phrony_policy_piece_t     pieces[MAX];
    const phrony_trigger_t   *trigger;

    policy = phrony_policy_key_parse(pieces, fill(pieces, &good), &broken,
                                     &error);

    if (!ok(policy != NULL, "a key, its workspace, two triggers")) {
        return;
    }

    is_str(error.text, strlen(error.text), "", "no error");

    key = phrony_policy_key(policy, digest());
    ok(key != NULL, "the key is found by its digest");
    is_int(phrony_policy_nscopes(policy, key), 2, "it has two scopes");
    is_int(phrony_policy_workspace(policy, key->workspace)->active, 1,
           "its workspace is active");

    id = uuid(A2);
    trigger = phrony_policy_agent(policy, &id);
    ok(trigger && phrony_policy_key_has_trigger(policy, key, trigger),
       "an agent's trigger is one of its scopes'");

    phrony_policy_stat(policy, &stat);
    ok(stat.bytes < 4096, "all that takes %d bytes", (int) stat.bytes);

    phrony_policy_free(policy);
}


/* A scope whose trigger is not there is none. */

static void
test_absent(void)
{
    size_t                   broken;
    vector_t                 v;
    phrony_uuid_t            id;
    phrony_policy_t         *policy;
    const phrony_key_t      *key;
    phrony_policy_error_t    error;
    phrony_policy_piece_t    pieces[MAX];

    v = good;
    v.triggers[0] = NULL;

    policy = phrony_policy_key_parse(pieces, fill(pieces, &v), &broken,
                                     &error);
    key = policy ? phrony_policy_key(policy, digest()) : NULL;

    if (!ok(key != NULL, "a key with a trigger that is not there")) {
        return;
    }

    is_int(phrony_policy_nscopes(policy, key), 1, "has one scope less");

    id = uuid(A1);
    ok(phrony_policy_agent(policy, &id) == NULL, "its agent is not known");

    id = uuid(T2);
    ok(phrony_policy_key_has_trigger(policy, key,
                                     phrony_policy_trigger(policy, &id)),
       "the other one is");

    phrony_policy_free(policy);
}


static void
test_errors(void)
{
    size_t                   i, broken;
    phrony_policy_t         *policy;
    phrony_policy_error_t    error;
    phrony_policy_piece_t    pieces[MAX];

    for (i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        policy = phrony_policy_key_parse(pieces, fill(pieces, &vectors[i]),
                                         &broken, &error);

        ok(policy == NULL, "vector %d is refused", (int) i);
        is_str(error.text, strlen(error.text), vectors[i].error, "for it");
        is_int(broken, vectors[i].broken, "and this record is to blame");
        is_int(error.line, vectors[i].line, "in this line");

        phrony_policy_free(policy);
    }
}


/*
 * jansson's allocations as well; where they fail it does not always say so,
 * but finds something else wrong.
 */

static void
test_no_memory(void)
{
    int                      rc, wrong;
    long                     n, seen;
    size_t                   count, found, broken;
    phrony_policy_t         *policy;
    phrony_policy_name_t    *names;
    phrony_policy_error_t    error;
    phrony_policy_piece_t    pieces[MAX];

    json_set_alloc_funcs(test_malloc, test_free);

    count = fill(pieces, &good);
    wrong = 0;

    for (n = 1; n < 10000; n++) {
        fail_at(n);
        policy = phrony_policy_key_parse(pieces, count, &broken, &error);
        seen = allocs();
        fail_at(-1);

        if (policy) {
            phrony_policy_free(policy);

            if (seen < n) {
                break;
            }

            /* trimming may do without */

            continue;
        }

        wrong += !no_memory(&error);
    }

    ok(n > 20 && n < 10000, "%ld allocations may fail", n - 1);
    is_int(wrong, 0, "and each is told");

    wrong = 0;

    for (n = 1; n < 10000; n++) {
        fail_at(n);
        rc = phrony_policy_key_refers(&pieces[0], &names, &found, &error);
        seen = allocs();
        fail_at(-1);

        if (rc == 0) {
            free(names);
        }

        if (seen < n) {
            break;
        }

        if (rc == 0) {
            continue;
        }

        wrong += !no_memory(&error);
    }

    ok(n > 5 && n < 10000, "%ld of those that tell the names", n - 1);
    is_int(wrong, 0, "and each is told");

    json_set_alloc_funcs(malloc, free);
}


static int
no_memory(const phrony_policy_error_t *error)
{
    return (strcmp(error->text, "no memory") == 0 && error->line == 0)
           || strstr(error->text, ": ") != NULL;
}


/* No text, however broken, does more than be refused. */

static void
test_damaged(void)
{
    int                      i, built;
    size_t                   n, len, broken;
    unsigned char            copy[1024];
    phrony_str_t            *text;
    phrony_policy_t         *policy;
    phrony_policy_error_t    error;
    phrony_policy_piece_t    pieces[MAX];

    built = 0;

    for (i = 0; i < 20000; i++) {
        n = fill(pieces, &good);

        text = &pieces[random_below((unsigned) n)].text;
        len = text->len;
        memcpy(copy, text->data, len);
        copy[random_below((unsigned) len)] = (unsigned char) random_bits();
        text->data = copy;
        text->len = random_below(4) ? len : random_below((unsigned) len);

        policy = phrony_policy_key_parse(pieces, n, &broken, &error);
        built += policy != NULL;
        phrony_policy_free(policy);
    }

    ok(built > 10 && built < 10000, "%d of %d survive a changed byte", built,
       i);
}


static size_t
fill(phrony_policy_piece_t *pieces, const vector_t *v)
{
    set(&pieces[0], PHRONY_POLICY_NAME_KEY, NULL, v->key);
    set(&pieces[1], PHRONY_POLICY_NAME_WORKSPACE, W1, v->workspace);
    set(&pieces[2], PHRONY_POLICY_NAME_TRIGGER, T1, v->triggers[0]);
    set(&pieces[3], PHRONY_POLICY_NAME_TRIGGER, T2, v->triggers[1]);

    return 4;
}


static void
set(phrony_policy_piece_t *piece, phrony_policy_kind_t kind, const char *id,
    const char *text)
{
    phrony_uuid_t  name;

    memset(piece, 0, sizeof(*piece));

    if (kind == PHRONY_POLICY_NAME_KEY) {
        phrony_policy_name_key(&piece->name, digest());

    } else {
        name = uuid(id);
        phrony_policy_name_uuid(&piece->name, kind, &name);
    }

    if (text) {
        piece->text = str(text);
    }
}


static phrony_uuid_t
uuid(const char *text)
{
    phrony_str_t   s;
    phrony_uuid_t  id;

    s = str(text);

    if (phrony_uuid_parse(&s, &id) == -1) {
        abort();
    }

    return id;
}


/* The bytes of S1. */

static const unsigned char *
digest(void)
{
    int                   i;
    static unsigned char  bytes[PHRONY_KEY_DIGEST_LEN];

    for (i = 0; i < PHRONY_KEY_DIGEST_LEN; i++) {
        bytes[i] = (unsigned char) ((i % 8 * 2) << 4 | (i % 8 * 2 + 1));
    }

    return bytes;
}
