
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef POLICY_REDIS_H_
#define POLICY_REDIS_H_


/*
 * A Redis that does what the test says, when it says so, and gateways' workers
 * that ask it.  A command is first carried out and later answered, in the
 * order in which its worker sent it; changes are told to each worker when the
 * test tells them.
 */


#include "store.h"
#include "policy.h"

#include "ngx_phrony_policy_built.h"
#include "ngx_phrony_policy_redis.h"


#define RECORDS   32768
#define WORKERS   3
#define COMMANDS  4096
#define NEWS      4096


/* A record; a text that is NULL is not there, "*" is not a string. */

typedef struct {
    char                         name[96];
    char                        *text;
} record_t;


typedef struct {
    ngx_phrony_redis_command_t   command;   /* the first member */
    char                         name[96];
    size_t                       max;
    uint64_t                     time;
    int                          executed;
    record_t                     record;    /* as it was then */
} sent_t;


/* A worker's. */

struct ngx_phrony_redis_s {
    ngx_uint_t                   ready;
    ngx_uint_t                   full;      /* refuses commands all the same */
    sent_t                      *sent[COMMANDS];
    size_t                       nsent;
    size_t                       gets;      /* in all */

    char                         news[NEWS][96];    /* not told yet */
    size_t                       nnews;
};


/* A lookup and what became of it. */

typedef struct {
    ngx_phrony_lookup_t          lookup;    /* the first member */
    int                          called;
    ngx_int_t                    rc;
} asked_t;


static void  redis_open(size_t size) TEST_UNUSED;
static void  redis_close(void) TEST_UNUSED;
static record_t *redis_record(const char *name);
static void  redis_set(const char *name, const char *text) TEST_UNUSED;
static void  redis_put(const char *name, const char *text);
static void  redis_execute(int worker, size_t n) TEST_UNUSED;
static void  redis_reply(int worker) TEST_UNUSED;
static void  redis_error(int worker, const char *text) TEST_UNUSED;
static void  redis_fail(int worker, ngx_phrony_redis_result_t result)
    TEST_UNUSED;
static void  redis_finish(int worker, ngx_phrony_redis_result_t result,
    const phrony_resp_t *reply);
static void  redis_settle(int worker) TEST_UNUSED;
static void  redis_tell(int worker) TEST_UNUSED;
static void  redis_tell_all(void) TEST_UNUSED;
static void  redis_live(int worker, ngx_uint_t live) TEST_UNUSED;
static size_t  redis_gets(void) TEST_UNUSED;

static void  ask(asked_t *asked, int worker, unsigned key) TEST_UNUSED;
static void  release(asked_t *asked, int worker) TEST_UNUSED;
static int   state_of(int worker, unsigned key) TEST_UNUSED;
static int64_t  limit_of(int worker, unsigned key) TEST_UNUSED;
static int64_t  asked_limit(asked_t *asked) TEST_UNUSED;
static void  asked_handler(ngx_phrony_lookup_t *lookup);

static void  put_all(unsigned key, unsigned limit) TEST_UNUSED;
static const char *key_name(unsigned key) TEST_UNUSED;
static const char *trigger_name(unsigned trigger) TEST_UNUSED;
static const char *workspace_name(void) TEST_UNUSED;
static const char *key_text(unsigned key, const char *more) TEST_UNUSED;
static const char *key_scope(unsigned key, unsigned trigger) TEST_UNUSED;
static const char *trigger_text(unsigned trigger, unsigned limit) TEST_UNUSED;
static void  digest_of(unsigned key, u_char *digest);
static int   logged(const char *text) TEST_UNUSED;
static int   log_lines(void) TEST_UNUSED;
static void  log_writer(ngx_log_t *log, ngx_uint_t level, u_char *buf,
    size_t len);


static record_t                   records[RECORDS];
static size_t                     nrecords;
static ngx_phrony_redis_t         redis[WORKERS];
static ngx_phrony_policy_redis_t  policy[WORKERS];
static ngx_log_t                  policy_log;
static char                       policy_logged[8192];
static int                        policy_lines;


static void
redis_open(size_t size)
{
    int               i;
    static ngx_str_t  prefix = ngx_string("phrony");

    store_open(size);

    /* names that are taken for each other are so each time */

    store_root()->origin.seed = 1;

    ngx_use_stderr = 0;

    policy_log.log_level = NGX_LOG_INFO;
    policy_log.writer = log_writer;
    policy_logged[0] = '\0';
    policy_lines = 0;

    for (i = 0; i < WORKERS; i++) {
        memset(&redis[i], 0, sizeof(redis[i]));
        redis[i].ready = 1;

        ngx_phrony_policy_redis_init(&policy[i], &zone, &prefix, 5000,
                                     600000);

        if (ngx_phrony_policy_redis_start(&policy[i], &redis[i], &policy_log)
            != NGX_OK)
        {
            abort();
        }
    }
}


static void
redis_close(void)
{
    int  i;

    for (i = 0; i < WORKERS; i++) {
        redis[i].ready = 0;
        redis_fail(i, NGX_PHRONY_REDIS_LOST);
        ngx_phrony_policy_redis_stop(&policy[i]);
    }

    for (i = 0; i < RECORDS; i++) {
        free(records[i].text);
    }

    memset(records, 0, sizeof(records));
    nrecords = 0;

    store_close();
}


static record_t *
redis_record(const char *name)
{
    size_t     i;
    record_t  *record;

    i = ngx_crc32_long((u_char *) name, strlen(name));

    for ( ;; ) {
        record = &records[i++ % RECORDS];

        if (strcmp(record->name, name) == 0) {
            return record;
        }

        if (record->name[0] == '\0') {
            break;
        }
    }

    if (++nrecords > RECORDS / 2) {
        abort();
    }

    snprintf(record->name, sizeof(record->name), "%s", name);

    return record;
}


/* Changes a record; the workers are to be told. */

static void
redis_set(const char *name, const char *text)
{
    int  i;

    redis_put(name, text);

    for (i = 0; i < WORKERS; i++) {
        if (redis[i].nnews == NEWS) {
            abort();
        }

        snprintf(redis[i].news[redis[i].nnews++], sizeof(redis[i].news[0]),
                 "%s", name);
    }
}


/* The same, but nobody will ever be told. */

static void
redis_put(const char *name, const char *text)
{
    record_t  *record;

    record = redis_record(name);

    free(record->text);
    record->text = text ? strdup(text) : NULL;
}


/* The first "n" commands are carried out. */

static void
redis_execute(int worker, size_t n)
{
    size_t     i;
    sent_t    *sent;
    record_t  *record;

    for (i = 0; i < n && i < redis[worker].nsent; i++) {
        sent = redis[worker].sent[i];

        if (sent->executed) {
            continue;
        }

        record = redis_record(sent->name);

        sent->executed = 1;
        sent->record.text = record->text ? strdup(record->text) : NULL;
    }
}


/* The first command, which was carried out, is answered. */

static void
redis_reply(int worker)
{
    sent_t         *sent;
    phrony_resp_t   reply;

    redis_execute(worker, 1);

    sent = redis[worker].sent[0];

    memset(&reply, 0, sizeof(reply));

    reply.type = PHRONY_RESP_STRING;
    reply.str = str(sent->record.text ? sent->record.text : "");

    if (reply.str.len > sent->max) {
        reply.str.len = sent->max;
    }

    if (sent->record.text && strcmp(sent->record.text, "*") == 0) {
        reply.type = PHRONY_RESP_ERROR;
        reply.str = str("WRONGTYPE Operation against a key holding the wrong "
                        "kind of value");
    }

    redis_finish(worker, NGX_PHRONY_REDIS_ANSWERED, &reply);
}


/* All commands are answered by this error. */

static void
redis_error(int worker, const char *text)
{
    phrony_resp_t  reply;

    memset(&reply, 0, sizeof(reply));

    reply.type = PHRONY_RESP_ERROR;
    reply.str = str(text);

    while (redis[worker].nsent) {
        redis_finish(worker, NGX_PHRONY_REDIS_ANSWERED, &reply);
    }
}


/* All of them. */

static void
redis_fail(int worker, ngx_phrony_redis_result_t result)
{
    while (redis[worker].nsent) {
        redis_finish(worker, result, NULL);
    }
}


static void
redis_finish(int worker, ngx_phrony_redis_result_t result,
    const phrony_resp_t *reply)
{
    sent_t  *sent;

    sent = redis[worker].sent[0];

    memmove(&redis[worker].sent[0], &redis[worker].sent[1],
            --redis[worker].nsent * sizeof(sent_t *));

    sent->command.handler(&sent->command, result, reply);

    free(sent->record.text);
    free(sent->command.data);
    free(sent);
}


static void
redis_settle(int worker)
{
    while (redis[worker].nsent) {
        redis_reply(worker);
    }
}


/* Tells a worker of all that it was not told yet. */

static void
redis_tell(int worker)
{
    size_t        i;
    phrony_str_t  name;

    for (i = 0; i < redis[worker].nnews; i++) {
        name = str(redis[worker].news[i]);
        ngx_phrony_policy_redis_invalidated(&policy[worker], &name);
    }

    redis[worker].nnews = 0;
}


static void
redis_tell_all(void)
{
    int  i;

    for (i = 0; i < WORKERS; i++) {
        redis_tell(i);
    }
}


static void
redis_live(int worker, ngx_uint_t live)
{
    redis[worker].nnews = 0;

    ngx_phrony_policy_redis_live(&policy[worker], live);
}


static size_t
redis_gets(void)
{
    int     i;
    size_t  n;

    n = 0;

    for (i = 0; i < WORKERS; i++) {
        n += redis[i].gets;
        redis[i].gets = 0;
    }

    return n;
}


static void
ask(asked_t *asked, int worker, unsigned key)
{
    memset(asked, 0, sizeof(*asked));

    digest_of(key, asked->lookup.digest);
    asked->lookup.handler = asked_handler;
    asked->lookup.state = (ngx_phrony_lookup_state_t) 99;

    asked->rc = policy[worker].source.find(&policy[worker].source,
                                           &asked->lookup);
}


static void
release(asked_t *asked, int worker)
{
    policy[worker].source.release(&policy[worker].source, &asked->lookup);
}


static void
asked_handler(ngx_phrony_lookup_t *lookup)
{
    ((asked_t *) lookup)->called++;
}


/* Asks, waits and releases. */

static int
state_of(int worker, unsigned key)
{
    int      state;
    asked_t  asked;

    ask(&asked, worker, key);

    if (asked.rc == NGX_AGAIN) {
        redis_settle(worker);
    }

    state = asked.called == (asked.rc == NGX_AGAIN)
            ? (int) asked.lookup.state : -1;

    release(&asked, worker);

    return state;
}


/* The same; the limit of its only scope's trigger, -2 if it is not found. */

static int64_t
limit_of(int worker, unsigned key)
{
    int64_t  limit;
    asked_t  asked;

    ask(&asked, worker, key);

    if (asked.rc == NGX_AGAIN) {
        redis_settle(worker);
    }

    limit = asked_limit(&asked);

    release(&asked, worker);

    return limit;
}


static int64_t
asked_limit(asked_t *asked)
{
    const phrony_policy_t  *found;

    if (asked->called != (asked->rc == NGX_AGAIN)
        || asked->lookup.state != NGX_PHRONY_LOOKUP_FOUND)
    {
        return -2;
    }

    found = asked->lookup.policy;

    if (phrony_policy_nscopes(found, asked->lookup.key) != 1) {
        return -3;
    }

    return phrony_policy_scope(found, asked->lookup.key, 0)->rpm_limit;
}


/* A key, its workspace and the one trigger of its scopes, of one number. */

static void
put_all(unsigned key, unsigned limit)
{
    redis_put(key_name(key), key_scope(key, key));
    redis_put(trigger_name(key), trigger_text(key, limit));
    redis_put(workspace_name(), WS1);
}


static const char *
key_name(unsigned key)
{
    u_char                digest[PHRONY_KEY_DIGEST_LEN];
    phrony_str_t          prefix;
    static u_char         buf[4][128];
    static int            n;
    phrony_policy_name_t  name;

    prefix = str("phrony");
    digest_of(key, digest);
    n = (n + 1) % 4;

    phrony_policy_name_key(&name, digest);
    *phrony_policy_name_format(buf[n], &name, &prefix) = '\0';

    return (char *) buf[n];
}


static const char *
trigger_name(unsigned trigger)
{
    static char  buf[128];

    snprintf(buf, sizeof(buf), "phrony:trigger:20000000-0000-4000-8000-%012u",
             trigger);

    return buf;
}


static const char *
workspace_name(void)
{
    return "phrony:workspace:" W1;
}


static const char *
key_text(unsigned key, const char *more)
{
    static char  buf[2048];

    snprintf(buf, sizeof(buf), "{\"id\":\"40000000-0000-4000-8000-%012u\","
             "\"sha256\":\"%s\",\"workspaceId\":\"" W1 "\"%s}", key,
             key_name(key) + sizeof("phrony:key:") - 1, more);

    return buf;
}


static const char *
key_scope(unsigned key, unsigned trigger)
{
    char  scope[128];

    snprintf(scope, sizeof(scope), ",\"scopes\":[{\"triggerId\":"
             "\"20000000-0000-4000-8000-%012u\"}]", trigger);

    return key_text(key, scope);
}


static const char *
trigger_text(unsigned trigger, unsigned limit)
{
    static char  buf[512];

    snprintf(buf, sizeof(buf), "{\"id\":\"20000000-0000-4000-8000-%012u\","
             "\"agentId\":\"30000000-0000-4000-8000-%012u\","
             "\"workspaceId\":\"" W1 "\",\"rpmLimit\":%u}", trigger, trigger,
             limit);

    return buf;
}


static void
digest_of(unsigned key, u_char *digest)
{
    uint64_t  bits;
    unsigned  i, j;

    bits = key + 0x1234567;

    for (i = 0; i < PHRONY_KEY_DIGEST_LEN; i += 8) {
        for (j = 0; j < 3; j++) {
            bits ^= bits >> 31;
            bits = bits * 0x9e3779b97f4a7c15ULL + key;
        }

        memcpy(digest + i, &bits, 8);
    }
}


/* Was it logged since this was last asked? */

static int
logged(const char *text)
{
    int  found;

    found = strstr(policy_logged, text) != NULL;

    if (!found) {
        printf("# logged: %s\n", policy_logged);
    }

    policy_logged[0] = '\0';

    return found;
}


static int
log_lines(void)
{
    int  n;

    n = policy_lines;
    policy_lines = 0;

    return n;
}


static void
log_writer(ngx_log_t *log, ngx_uint_t level, u_char *buf, size_t len)
{
    size_t  used;

    policy_lines++;
    used = strlen(policy_logged);

    if (used + len < sizeof(policy_logged)) {
        memcpy(policy_logged + used, buf, len);
        policy_logged[used + len] = '\0';
    }
}


/* What the real ones do, as far as a policy needs it. */

ngx_phrony_redis_command_t *
ngx_phrony_redis_format(ngx_phrony_redis_t *r, size_t argc,
    const phrony_str_t *argv, size_t size)
{
    sent_t  *sent;

    sent = calloc(1, sizeof(sent_t));

    if (sent == NULL) {
        return NULL;
    }

    sent->command.data = calloc(1, size);

    if (sent->command.data == NULL) {
        free(sent);
        return NULL;
    }

    if (argc != 4 || !phrony_str_eq(&argv[0], &(phrony_str_t)
                                                  phrony_str("GETRANGE")))
    {
        abort();
    }

    snprintf(sent->name, sizeof(sent->name), "%.*s", (int) argv[1].len,
             argv[1].data);
    sent->max = (size_t) ngx_atoi(argv[3].data, argv[3].len) + 1;

    return &sent->command;
}


ngx_phrony_redis_command_t *
ngx_phrony_redis_command(ngx_phrony_redis_t *r, size_t len, size_t size)
{
    return NULL;
}


ngx_phrony_redis_command_t *
ngx_phrony_redis_eval(ngx_phrony_redis_t *r, phrony_script_id_t id,
    size_t argc, const phrony_str_t *argv, size_t size)
{
    return NULL;
}


ngx_int_t
ngx_phrony_redis_send(ngx_phrony_redis_t *r,
    ngx_phrony_redis_command_t *command)
{
    if (!r->ready || r->full || r->nsent == COMMANDS
        || command->slot >= PHRONY_SLOTS || !command->waited)
    {
        ngx_phrony_redis_free(r, command);
        return NGX_DECLINED;
    }

    ((sent_t *) command)->time = store_now;

    r->sent[r->nsent++] = (sent_t *) command;
    r->gets++;

    return NGX_OK;
}


void
ngx_phrony_redis_free(ngx_phrony_redis_t *r,
    ngx_phrony_redis_command_t *command)
{
    free(command->data);
    free(command);
}


ngx_uint_t
ngx_phrony_redis_ready(ngx_phrony_redis_t *r, ngx_uint_t slot)
{
    return r->ready;
}


#endif /* POLICY_REDIS_H_ */
