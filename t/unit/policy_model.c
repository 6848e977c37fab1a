
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "test.h"

#include "phrony_policy.h"


/*
 * A large random policy, compared with the plain lists that it was made of.
 * Ids and hashes are made of their numbers, so any record can be made anew.
 */

#define WORKSPACES  50
#define TRIGGERS    2000
#define KEYS        100000
#define SCOPES      6

#define LINE_LEN    1024


typedef struct {
    unsigned  suspended:1;
} model_workspace_t;


typedef struct {
    unsigned  workspace;
    unsigned  inactive:1;
    unsigned  ncidrs;               /* see write_triggers() */
    int64_t   rpm;                  /* -1: absent */
} model_trigger_t;


typedef struct {
    unsigned  workspace;
    unsigned  revoked:1;
    unsigned  uploads:1;
    int64_t   expires;              /* -1: absent */
    unsigned  nscopes;
    unsigned  scopes[SCOPES];
} model_key_t;


typedef struct {
    char     *data;
    size_t    len;
    size_t    size;
} text_t;


static void make_model(void);
static void make_text(text_t *text, const char *order);
static void write_workspaces(text_t *text);
static void write_triggers(text_t *text);
static void write_keys(text_t *text);
static void append(text_t *text, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static void test_policy(const char *order);
static int check_trigger(const phrony_policy_t *policy, unsigned n);
static int check_cidrs(const phrony_trigger_t *trigger, unsigned n);
static int check_key(const phrony_policy_t *policy, unsigned n);
static int check_scopes(const phrony_policy_t *policy,
    const phrony_key_t *key, unsigned n);
static int check_absent(const phrony_policy_t *policy, unsigned n);
static int model_has(unsigned key, unsigned trigger);
static void make_uuid(phrony_uuid_t *uuid, char kind, unsigned n);
static void make_digest(unsigned char *digest, unsigned n);
static const phrony_key_t *find_key(const phrony_policy_t *policy,
    unsigned n);
static const phrony_trigger_t *find_trigger(const phrony_policy_t *policy,
    unsigned n);
static unsigned next_random(unsigned limit);


static model_workspace_t   workspaces[WORKSPACES];
static model_trigger_t     triggers[TRIGGERS];
static model_key_t         keys[KEYS];


int
main(void)
{
    make_model();

    test_policy("wtk");
    test_policy("ktw");

    return done();
}


static void
make_model(void)
{
    unsigned      i, t;
    model_key_t  *key;

    for (i = 0; i < WORKSPACES; i++) {
        workspaces[i].suspended = next_random(4) == 0;
    }

    for (i = 0; i < TRIGGERS; i++) {
        triggers[i].workspace = next_random(WORKSPACES);
        triggers[i].inactive = next_random(4) == 0;
        triggers[i].ncidrs = next_random(3);
        triggers[i].rpm = (int64_t) next_random(1000) - 1;
    }

    for (i = 0; i < KEYS; i++) {
        key = &keys[i];

        key->workspace = next_random(WORKSPACES);
        key->revoked = next_random(4) == 0;
        key->uploads = next_random(4) == 0;
        key->expires = (int64_t) next_random(86400) - 1;

        /* triggers of its workspace, some of them twice */

        while (key->nscopes < next_random(SCOPES + 1)) {
            for (t = next_random(TRIGGERS);
                 triggers[t].workspace != key->workspace;
                 t = (t + 1) % TRIGGERS)
            { /* void */ }

            key->scopes[key->nscopes++] = t;
        }
    }
}


static void
test_policy(const char *order)
{
    text_t                  text;
    unsigned                i, wrong;
    phrony_policy_t        *policy;
    phrony_policy_stat_t    stat;
    phrony_policy_error_t   error;

    make_text(&text, order);
    policy = phrony_policy_parse(text.data, text.len, &error);
    free(text.data);

    if (!ok(policy != NULL, "%s: %d keys", order, KEYS)) {
        printf("# line %zu: %s\n", error.line, error.text);
        return;
    }

    phrony_policy_stat(policy, &stat);
    is_int(stat.workspaces, WORKSPACES, "workspaces");
    is_int(stat.triggers, TRIGGERS, "triggers");
    is_int(stat.keys, KEYS, "keys");
    ok(stat.bytes < KEYS * (64 + 16 + 4 + 4 * SCOPES) + TRIGGERS * 220 + 4096,
       "%zu bytes of memory", stat.bytes);

    wrong = 0;

    for (i = 0; i < WORKSPACES; i++) {
        wrong += (phrony_policy_workspace(policy, i)->active
                  == workspaces[i].suspended);
    }

    is_int(wrong, 0, "each workspace is as it should be");

    for (i = 0; i < TRIGGERS; i++) {
        wrong += !check_trigger(policy, i);
    }

    is_int(wrong, 0, "each trigger is as it should be");

    for (i = 0; i < KEYS; i++) {
        wrong += !check_key(policy, i);
    }

    is_int(wrong, 0, "each key is as it should be");

    for (i = 0; i < KEYS; i++) {
        wrong += !check_absent(policy, KEYS + i);
    }

    is_int(wrong, 0, "nothing else is found");

    phrony_policy_free(policy);
}


static void
make_text(text_t *text, const char *order)
{
    const char  *p;

    text->data = NULL;
    text->len = 0;
    text->size = 0;

    for (p = order; *p; p++) {
        append(text, "%c", (p == order) ? '{' : ',');

        switch (*p) {

        case 'w':
            write_workspaces(text);
            break;

        case 't':
            write_triggers(text);
            break;

        default:
            write_keys(text);
            break;
        }
    }

    append(text, "}");
}


static void
write_workspaces(text_t *text)
{
    unsigned  i;

    append(text, "\"workspaces\":[");

    for (i = 0; i < WORKSPACES; i++) {
        append(text, "%s{\"id\":\"%08x-0000-4000-8000-000000000077\","
               "\"status\":\"%s\"}", i ? "," : "", i,
               workspaces[i].suspended ? "suspended" : "active");
    }

    append(text, "]");
}


static void
write_triggers(text_t *text)
{
    unsigned  i, c;

    append(text, "\"triggers\":[");

    for (i = 0; i < TRIGGERS; i++) {
        append(text, "%s\n{\"ipWhitelist\":[", i ? "," : "");

        for (c = 0; c < triggers[i].ncidrs; c++) {
            append(text, "%s\"%u.%u.%u.0/24\"", c ? "," : "", 10 + c,
                   i / 256, i % 256);
        }

        append(text, "],\"id\":\"%08x-0000-4000-8000-000000000074\","
               "\"agentId\":\"%08x-0000-4000-8000-000000000061\","
               "\"workspaceId\":\"%08x-0000-4000-8000-000000000077\"",
               i, i, triggers[i].workspace);

        if (triggers[i].rpm >= 0) {
            append(text, ",\"rpmLimit\":%lld", (long long) triggers[i].rpm);
        }

        append(text, "%s}", triggers[i].inactive ? ",\"active\":false" : "");
    }

    append(text, "]");
}


static void
write_keys(text_t *text)
{
    unsigned       i, k;
    model_key_t   *key;
    unsigned char  digest[PHRONY_KEY_DIGEST_LEN];

    append(text, "\"keys\":[");

    for (i = 0; i < KEYS; i++) {
        key = &keys[i];

        append(text, "%s\n{\"id\":\"%08x-0000-4000-8000-00000000006b\","
               "\"workspaceId\":\"%08x-0000-4000-8000-000000000077\","
               "\"sha256\":\"", i ? "," : "", i, key->workspace);

        make_digest(digest, i);

        for (k = 0; k < PHRONY_KEY_DIGEST_LEN; k++) {
            append(text, "%02x", digest[k]);
        }

        append(text, "\",\"scopes\":[");

        for (k = 0; k < key->nscopes; k++) {
            append(text, "%s{\"agentId\":"
                   "\"%08x-0000-4000-8000-000000000061\",\"triggerId\":"
                   "\"%08x-0000-4000-8000-000000000074\"}", k ? "," : "",
                   key->scopes[k], key->scopes[k]);
        }

        append(text, "]%s%s", key->revoked ? ",\"status\":\"revoked\"" : "",
               key->uploads ? ",\"allowFileUploads\":true" : "");

        if (key->expires >= 0) {
            append(text, ",\"expiresAt\":\"1970-01-01T%02u:%02u:%02uZ\"",
                   (unsigned) key->expires / 3600,
                   (unsigned) key->expires / 60 % 60,
                   (unsigned) key->expires % 60);
        }

        append(text, "}");
    }

    append(text, "]");
}


static void
append(text_t *text, const char *fmt, ...)
{
    va_list  args;

    if (text->size - text->len < LINE_LEN) {
        text->size = text->size * 2 + LINE_LEN;
        text->data = realloc(text->data, text->size);

        if (text->data == NULL) {
            abort();
        }
    }

    va_start(args, fmt);
    text->len += (size_t) vsnprintf(text->data + text->len, LINE_LEN, fmt,
                                    args);
    va_end(args);
}


static int
check_trigger(const phrony_policy_t *policy, unsigned n)
{
    phrony_uuid_t            agent_id;
    const phrony_trigger_t  *trigger;

    make_uuid(&agent_id, 'a', n);
    trigger = find_trigger(policy, n);

    return trigger
           && phrony_policy_agent(policy, &agent_id) == trigger
           && phrony_uuid_eq(&trigger->agent_id, &agent_id)
           && trigger->workspace == triggers[n].workspace
           && trigger->active == !triggers[n].inactive
           && trigger->rpm_limit == triggers[n].rpm
           && trigger->rpd_limit == PHRONY_NO_LIMIT
           && trigger->ncidrs == triggers[n].ncidrs
           && check_cidrs(trigger, n);
}


static int
check_cidrs(const phrony_trigger_t *trigger, unsigned n)
{
    unsigned          c;
    unsigned char     bytes[4];
    phrony_address_t  address;

    for (c = 0; c < 3; c++) {
        bytes[0] = (unsigned char) (10 + c);
        bytes[1] = (unsigned char) (n / 256);
        bytes[2] = (unsigned char) (n % 256);
        bytes[3] = 7;

        phrony_address_set(&address, bytes, 4);

        if (phrony_cidr_match(trigger->cidrs, trigger->ncidrs, &address)
            != (c < triggers[n].ncidrs))
        {
            return 0;
        }
    }

    return 1;
}


static int
check_key(const phrony_policy_t *policy, unsigned n)
{
    int64_t              expires;
    phrony_uuid_t        id;
    const phrony_key_t  *key;

    make_uuid(&id, 'k', n);
    key = find_key(policy, n);
    expires = (keys[n].expires < 0) ? PHRONY_NEVER : keys[n].expires;

    return key
           && phrony_uuid_eq(&key->id, &id)
           && key->workspace == keys[n].workspace
           && key->active == !keys[n].revoked
           && key->allow_file_uploads == keys[n].uploads
           && key->expires == expires
           && check_scopes(policy, key, n);
}


/* The key's triggers are the model's, each once, in the triggers' order. */

static int
check_scopes(const phrony_policy_t *policy, const phrony_key_t *key,
    unsigned n)
{
    unsigned                 i, t;
    const phrony_trigger_t  *trigger, *before;

    before = NULL;

    for (i = 0; i < phrony_policy_nscopes(policy, key); i++) {
        trigger = phrony_policy_scope(policy, key, i);
        t = trigger->id.bytes[2] * 256u + trigger->id.bytes[3];

        if ((before && trigger <= before) || !model_has(n, t)) {
            return 0;
        }

        before = trigger;
    }

    for (i = 0; i <= keys[n].nscopes; i++) {
        t = (i < keys[n].nscopes) ? keys[n].scopes[i] : next_random(TRIGGERS);
        trigger = find_trigger(policy, t);

        if (phrony_policy_key_has_trigger(policy, key, trigger)
            != model_has(n, t))
        {
            return 0;
        }
    }

    return 1;
}


static int
check_absent(const phrony_policy_t *policy, unsigned n)
{
    phrony_uuid_t  id;

    make_uuid(&id, 'a', n);

    return find_key(policy, n) == NULL
           && find_trigger(policy, n) == NULL
           && phrony_policy_agent(policy, &id) == NULL;
}


static int
model_has(unsigned key, unsigned trigger)
{
    unsigned  i;

    for (i = 0; i < keys[key].nscopes; i++) {
        if (keys[key].scopes[i] == trigger) {
            return 1;
        }
    }

    return 0;
}


/* As it is written: the number, and the kind in the last byte. */

static void
make_uuid(phrony_uuid_t *uuid, char kind, unsigned n)
{
    unsigned  i;

    memset(uuid, 0, sizeof(phrony_uuid_t));

    for (i = 0; i < 4; i++) {
        uuid->bytes[i] = (unsigned char) (n >> (24 - i * 8));
    }

    uuid->bytes[6] = 0x40;
    uuid->bytes[8] = 0x80;
    uuid->bytes[15] = (unsigned char) kind;
}


/* Sixteen at a time share their first eight bytes, where probing begins. */

static void
make_digest(unsigned char *digest, unsigned n)
{
    unsigned  i;
    uint64_t  x;

    memset(digest, 0, PHRONY_KEY_DIGEST_LEN);

    x = (n / 16 * 16 + 1) * 0x9e3779b97f4a7c15ULL;
    x ^= x >> 29;
    x *= 0xbf58476d1ce4e5b9ULL;

    for (i = 0; i < 8; i++) {
        digest[i] = (unsigned char) (x >> (56 - i * 8));
    }

    for (i = 0; i < 4; i++) {
        digest[PHRONY_KEY_DIGEST_LEN - 4 + i] = (unsigned char)
                                                (n >> (24 - i * 8));
    }
}


static const phrony_key_t *
find_key(const phrony_policy_t *policy, unsigned n)
{
    unsigned char  digest[PHRONY_KEY_DIGEST_LEN];

    make_digest(digest, n);

    return phrony_policy_key(policy, digest);
}


static const phrony_trigger_t *
find_trigger(const phrony_policy_t *policy, unsigned n)
{
    phrony_uuid_t  id;

    make_uuid(&id, 't', n);

    return phrony_policy_trigger(policy, &id);
}


static unsigned
next_random(unsigned limit)
{
    return (unsigned) ((random_bits() >> 33) % limit);
}
