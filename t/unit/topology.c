
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "test.h"

#include "phrony_topology.h"


#define ARENA_MAX  4096


/*
 * Replies are written as
 *
 *     [0 5460 ['127.0.0.1' 7000 'id']]      arrays, integers, strings
 *     ~   +'OK'   !'ERR text'               nil, a status, an error
 */

typedef struct {
    const char              *reply;
    const char              *ranges;    /* NULL: it is broken */
} slots_t;


typedef struct {
    const char              *error;
    phrony_redirect_kind_t   kind;
    unsigned                 slot;
    const char              *host;
    unsigned                 port;
} redirect_t;


typedef struct {
    const char              *reply;
    int                      rc;
    const char              *host;
    unsigned                 port;
} master_t;


static void test_slots(void);
static void test_slots_all(void);
static void test_slots_random(void);
static void test_redirects(void);
static void test_redirect_cut(void);
static void test_redirect_bytes(void);
static void test_masters(void);
static void test_epochs(void);
static void test_roles(void);
static void print_ranges(char *text, size_t size, const phrony_resp_t *reply);
static const phrony_resp_t *reply_of(const char *text);
static const char *read_reply(const char *p, phrony_resp_t *reply);
static const char *read_array(const char *p, phrony_resp_t *reply);
static phrony_resp_t *arena_get(size_t n);


static const slots_t  slots[] = {
    { "[]", "" },
    { "[[0 16383 ['127.0.0.1' 7000]]]", "0-16383 127.0.0.1:7000" },
    { "[[5 5 ['127.0.0.1' 7000 'id']]]", "5-5 127.0.0.1:7000" },
    { "[[0 5460 ['10.0.0.1' 7000 'a'] ['10.0.0.4' 7003 'd']]"
      " [5461 10922 ['10.0.0.2' 7001 'b'] ['10.0.0.5' 7004 'e']]"
      " [10923 16383 ['10.0.0.3' 7002 'c' []]]]",
      "0-5460 10.0.0.1:7000, 5461-10922 10.0.0.2:7001,"
      " 10923-16383 10.0.0.3:7002" },
    { "[[9 16383 ['::1' 1 'a']] [0 7 ['2001:db8::7' 65535 'b']]]",
      "9-16383 ::1:1, 0-7 2001:db8::7:65535" },
    { "[[0 1 ['redis-0.redis.local_1' 7000 'a' ['ip' '10.0.0.1']]]]",
      "0-1 redis-0.redis.local_1:7000" },

    /* of the node itself, and of nobody */
    { "[[0 1 ['' 7000 'a']]]", "0-1 :7000" },
    { "[[0 1 [~ 7000 'a' ['ip' '10.0.0.1']]]]", "0-1 :7000" },
    { "[[0 1 ['?' 7000 'a' ['ip' '10.0.0.1']]]]", "0-1 :0" },
    { "[[0 1 ['10.0.0.1' 0 'a']]]", "0-1 10.0.0.1:0" },

    /* what follows the master is not looked at */
    { "[[0 1 ['h' 1] 7 ~ 'x' []]]", "0-1 h:1" },

    { "~", NULL },
    { "7", NULL },
    { "'[]'", NULL },
    { "+'OK'", NULL },
    { "!'ERR This instance has cluster support disabled'", NULL },
    { "[~]", NULL },
    { "[7]", NULL },
    { "['x']", NULL },
    { "[[]]", NULL },
    { "[[0]]", NULL },
    { "[[0 1]]", NULL },
    { "[['0' 1 ['h' 1]]]", NULL },
    { "[[0 '1' ['h' 1]]]", NULL },
    { "[[~ 1 ['h' 1]]]", NULL },
    { "[[0 1 'h']]", NULL },
    { "[[0 1 ~]]", NULL },
    { "[[0 1 []]]", NULL },
    { "[[0 1 ['h']]]", NULL },
    { "[[0 1 ['h' '1']]]", NULL },
    { "[[0 1 ['h' ~]]]", NULL },
    { "[[0 1 [1 1]]]", NULL },
    { "[[0 1 [+'h' 1]]]", NULL },
    { "[[0 1 [['h'] 1]]]", NULL },
    { "[[-1 1 ['h' 1]]]", NULL },
    { "[[0 -1 ['h' 1]]]", NULL },
    { "[[1 0 ['h' 1]]]", NULL },
    { "[[0 16384 ['h' 1]]]", NULL },
    { "[[16384 16384 ['h' 1]]]", NULL },
    { "[[0 4294967296 ['h' 1]]]", NULL },
    { "[[4294967296 4294967297 ['h' 1]]]", NULL },
    { "[[0 9223372036854775807 ['h' 1]]]", NULL },
    { "[[0 1 ['h' 65536]]]", NULL },
    { "[[0 1 ['h' -1]]]", NULL },
    { "[[0 1 ['h' 4294967297]]]", NULL },
    { "[[0 1 ['a b' 1]]]", NULL },
    { "[[0 1 ['a/b' 1]]]", NULL },
    { "[[0 1 ['[::1]' 1]]]", NULL },
    { "[[0 1 ['h\n' 1]]]", NULL },
    { "[[0 1 ['\xc3\xa4' 1]]]", NULL },
    { "[[0 1 ['?h' 1]]]", NULL },
    { "[[0 1 ['fe80::1%1' 1]]]", NULL },

    /* a slot twice */
    { "[[0 5 ['h' 1]] [5 9 ['h' 2]]]", NULL },
    { "[[5 9 ['h' 1]] [0 16383 ['h' 1]]]", NULL },
    { "[[3 3 ['h' 1]] [4 4 ['h' 1]] [3 3 ['h' 1]]]", NULL },
    { "[[0 5 ['h' 1]] 7]", NULL }
};


static const redirect_t  redirects[] = {
    { "MOVED 3999 127.0.0.1:6381", PHRONY_REDIRECT_MOVED,
      3999, "127.0.0.1", 6381 },
    { "ASK 3999 127.0.0.1:6381", PHRONY_REDIRECT_ASK,
      3999, "127.0.0.1", 6381 },
    { "MOVED 0 h:1", PHRONY_REDIRECT_MOVED, 0, "h", 1 },
    { "ASK 16383 redis-1.local:65535", PHRONY_REDIRECT_ASK,
      16383, "redis-1.local", 65535 },
    { "MOVED 1 ::1:6381", PHRONY_REDIRECT_MOVED, 1, "::1", 6381 },
    { "MOVED 1 2001:db8::9:1", PHRONY_REDIRECT_MOVED, 1, "2001:db8::9", 1 },
    { "ASK 1 :::6381", PHRONY_REDIRECT_ASK, 1, "::", 6381 },
    { "MOVED 1 :6381", PHRONY_REDIRECT_MOVED, 1, "", 6381 },
    { "ASK 1 ?:6381", PHRONY_REDIRECT_ASK, 1, "", 0 },
    { "MOVED 1 10.0.0.1:0", PHRONY_REDIRECT_MOVED, 1, "10.0.0.1", 0 },

    { "ERR MOVED 1 h:1", PHRONY_REDIRECT_NONE, 0, "", 0 },
    { "MOVEDX 1 h:1", PHRONY_REDIRECT_NONE, 0, "", 0 },
    { "ASKING 1 h:1", PHRONY_REDIRECT_NONE, 0, "", 0 },
    { "moved 1 h:1", PHRONY_REDIRECT_NONE, 0, "", 0 },
    { "CLUSTERDOWN The cluster is down", PHRONY_REDIRECT_NONE, 0, "", 0 },
    { "", PHRONY_REDIRECT_NONE, 0, "", 0 },

    { "MOVED", PHRONY_REDIRECT_BROKEN, 0, "", 0 },
    { "MOVED ", PHRONY_REDIRECT_BROKEN, 0, "", 0 },
    { "MOVED 1", PHRONY_REDIRECT_BROKEN, 0, "", 0 },
    { "MOVED 1 ", PHRONY_REDIRECT_BROKEN, 0, "", 0 },
    { "MOVED 1 h", PHRONY_REDIRECT_BROKEN, 0, "", 0 },
    { "MOVED 1 h:", PHRONY_REDIRECT_BROKEN, 0, "", 0 },
    { "MOVED 1 h:x", PHRONY_REDIRECT_BROKEN, 0, "", 0 },
    { "MOVED 1 h:1x", PHRONY_REDIRECT_BROKEN, 0, "", 0 },
    { "MOVED 1 h:-1", PHRONY_REDIRECT_BROKEN, 0, "", 0 },
    { "MOVED 1 h:65536", PHRONY_REDIRECT_BROKEN, 0, "", 0 },
    { "MOVED 1 h:18446744073709551617", PHRONY_REDIRECT_BROKEN, 0, "", 0 },
    { "MOVED 16384 h:1", PHRONY_REDIRECT_BROKEN, 0, "", 0 },
    { "MOVED 18446744073709551616 h:1", PHRONY_REDIRECT_BROKEN, 0, "", 0 },
    { "MOVED -1 h:1", PHRONY_REDIRECT_BROKEN, 0, "", 0 },
    { "MOVED +1 h:1", PHRONY_REDIRECT_BROKEN, 0, "", 0 },
    { "MOVED  1 h:1", PHRONY_REDIRECT_BROKEN, 0, "", 0 },
    { "MOVED 1  h:1", PHRONY_REDIRECT_BROKEN, 0, "", 0 },
    { "MOVED 1 h:1 ", PHRONY_REDIRECT_BROKEN, 0, "", 0 },
    { "MOVED 1:2 3", PHRONY_REDIRECT_BROKEN, 0, "", 0 },
    { "MOVED h:1", PHRONY_REDIRECT_BROKEN, 0, "", 0 },
    { "MOVED x h:1", PHRONY_REDIRECT_BROKEN, 0, "", 0 },
    { "ASK 1 [::1]:1", PHRONY_REDIRECT_BROKEN, 0, "", 0 },
    { "ASK 1 a\tb:1", PHRONY_REDIRECT_BROKEN, 0, "", 0 },
    { "ASK 1 \xff:1", PHRONY_REDIRECT_BROKEN, 0, "", 0 }
};


static const master_t  masters[] = {
    { "['127.0.0.1' '6379']", 1, "127.0.0.1", 6379 },
    { "['::1' '1']", 1, "::1", 1 },
    { "['redis-0.example' '65535']", 1, "redis-0.example", 65535 },
    { "~", 0, "", 0 },
    { "[]", -1, "", 0 },
    { "['h']", -1, "", 0 },
    { "['h' '1' '2']", -1, "", 0 },
    { "['h' 1]", -1, "", 0 },
    { "[1 '1']", -1, "", 0 },
    { "[~ '1']", -1, "", 0 },
    { "['h' ~]", -1, "", 0 },
    { "['' '1']", -1, "", 0 },
    { "['?' '1']", -1, "", 0 },
    { "['h' '']", -1, "", 0 },
    { "['h' '0']", -1, "", 0 },
    { "['h' '65536']", -1, "", 0 },
    { "['h' '-1']", -1, "", 0 },
    { "['h' ' 1']", -1, "", 0 },
    { "['h x' '1']", -1, "", 0 },
    { "[['h'] ['1']]", -1, "", 0 },
    { "'h'", -1, "", 0 },
    { "!'IDONTKNOW'", -1, "", 0 }
};


int
main(void)
{
    test_slots();
    test_slots_all();
    test_slots_random();
    test_redirects();
    test_redirect_cut();
    test_redirect_bytes();
    test_masters();
    test_epochs();
    test_roles();

    return done();
}


static void
test_slots(void)
{
    int                   rc;
    char                  got[1024];
    size_t                i;
    const slots_t        *v;
    const phrony_resp_t  *reply;

    for (i = 0; i < sizeof(slots) / sizeof(slots[0]); i++) {
        v = &slots[i];
        reply = reply_of(v->reply);
        rc = phrony_topology_slots(reply);

        if (v->ranges == NULL) {
            ok(rc == -1, "broken: %s", v->reply);
            continue;
        }

        if (ok(rc == 0, "good: %s", v->reply)) {
            print_ranges(got, sizeof(got), reply);
            is_str(got, strlen(got), v->ranges, "its ranges");
        }
    }
}


/* Each slot a range of its own, in any order; then one of them again. */

static void
test_slots_all(void)
{
    size_t          i;
    phrony_resp_t   reply, *entries, *parts, node[2];
    phrony_range_t  range;

    entries = calloc(PHRONY_SLOTS + 1, sizeof(phrony_resp_t));
    parts = calloc((PHRONY_SLOTS + 1) * 3, sizeof(phrony_resp_t));

    node[0].type = PHRONY_RESP_STRING;
    node[0].str = str("h");
    node[1].type = PHRONY_RESP_INTEGER;
    node[1].integer = 1;

    for (i = 0; i <= PHRONY_SLOTS; i++) {
        entries[i].type = PHRONY_RESP_ARRAY;
        entries[i].n = 3;
        entries[i].elements = &parts[i * 3];

        parts[i * 3].type = PHRONY_RESP_INTEGER;
        parts[i * 3].integer = (int64_t) (i * 5 % PHRONY_SLOTS);
        parts[i * 3 + 1] = parts[i * 3];
        parts[i * 3 + 2].type = PHRONY_RESP_ARRAY;
        parts[i * 3 + 2].n = 2;
        parts[i * 3 + 2].elements = node;
    }

    reply.type = PHRONY_RESP_ARRAY;
    reply.n = PHRONY_SLOTS;
    reply.elements = entries;

    ok(phrony_topology_slots(&reply) == 0, "every slot once");

    phrony_topology_range(&reply, PHRONY_SLOTS - 1, &range);
    ok(range.first == range.last && range.last == PHRONY_SLOTS - 5,
       "the last range");

    reply.n = PHRONY_SLOTS + 1;
    ok(phrony_topology_slots(&reply) == -1, "one slot twice");

    free(parts);
    free(entries);
}


/* Ranges that may overlap, against a plain count of each slot. */

static void
test_slots_random(void)
{
    int       want, wrong;
    char      text[256];
    size_t    i, n, len;
    unsigned  first, last, slot, round;

    static unsigned char  count[PHRONY_SLOTS];

    wrong = 0;

    for (round = 0; round < 2000; round++) {
        memset(count, 0, sizeof(count));

        n = random_below(5);
        len = (size_t) sprintf(text, "[");
        want = 0;

        for (i = 0; i < n; i++) {
            first = random_below(PHRONY_SLOTS);
            last = first + random_below(PHRONY_SLOTS / 4);

            if (last >= PHRONY_SLOTS) {
                last = PHRONY_SLOTS - 1;
            }

            for (slot = first; slot <= last; slot++) {
                want |= count[slot]++ ? -1 : 0;
            }

            len += (size_t) sprintf(text + len, "[%u %u ['h' 1]]", first,
                                    last);
        }

        sprintf(text + len, "]");

        if (phrony_topology_slots(reply_of(text)) != want) {
            wrong++;
            printf("# %s\n", text);
        }
    }

    is_int(wrong, 0, "random ranges");
}


static void
test_redirects(void)
{
    size_t                   i;
    phrony_resp_t            reply;
    const redirect_t        *v;
    phrony_redirect_t        got;
    phrony_redirect_kind_t   kind;

    reply.type = PHRONY_RESP_ERROR;

    for (i = 0; i < sizeof(redirects) / sizeof(redirects[0]); i++) {
        v = &redirects[i];
        reply.str = str(v->error);
        kind = phrony_topology_redirect(&reply, &got);

        ok(kind == v->kind, "kind of \"%s\"", v->error);

        if (kind != PHRONY_REDIRECT_MOVED && kind != PHRONY_REDIRECT_ASK) {
            continue;
        }

        is_int(got.slot, v->slot, "its slot");
        is_str(got.to.host.data, got.to.host.len, v->host, "its host");
        is_int(got.to.port, v->port, "its port");
    }

    reply.type = PHRONY_RESP_STATUS;
    reply.str = str("MOVED 1 h:1");

    ok(phrony_topology_redirect(&reply, &got) == PHRONY_REDIRECT_NONE,
       "a status is no redirect");

    ok(phrony_topology_redirect(reply_of("['MOVED 1 h:1']"), &got)
       == PHRONY_REDIRECT_NONE, "nor is an array");
}


/* Blocks of just the size show a read behind the end. */

static void
test_redirect_cut(void)
{
    int                wrong;
    size_t             len;
    phrony_resp_t      reply;
    phrony_redirect_t  got;
    const char        *text = "ASK 3999 127.0.0.1:6381";

    wrong = 0;
    reply.type = PHRONY_RESP_ERROR;

    for (len = 0; len < strlen(text); len++) {
        reply.str.data = malloc(len + 1);
        reply.str.len = len;
        memcpy(reply.str.data, text, len);
        reply.str.data[len] = '\0';

        if (phrony_topology_redirect(&reply, &got) == PHRONY_REDIRECT_ASK
            && len < strlen("ASK 3999 127.0.0.1:6"))
        {
            wrong++;
        }

        free(reply.str.data);
    }

    is_int(wrong, 0, "a redirect that is cut off");
}


static void
test_redirect_bytes(void)
{
    int                ch, taken, wrong;
    char               text[] = "MOVED 1 a?b:1";
    phrony_resp_t      reply;
    phrony_redirect_t  got;

    wrong = 0;
    reply.type = PHRONY_RESP_ERROR;
    reply.str = str(text);

    for (ch = 0; ch < 256; ch++) {
        text[strlen("MOVED 1 a")] = (char) ch;

        taken = phrony_topology_redirect(&reply, &got)
                == PHRONY_REDIRECT_MOVED;

        if (taken != (ch && strchr("abcdefghijklmnopqrstuvwxyz"
                                   "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                   "0123456789.:_-", ch) != NULL))
        {
            wrong++;
            printf("# byte %d\n", ch);
        }
    }

    is_int(wrong, 0, "bytes that a host holds");
}


static void
test_masters(void)
{
    int                rc;
    char               host[258], text[300];
    size_t             i;
    const master_t    *v;
    phrony_endpoint_t  got;

    for (i = 0; i < sizeof(masters) / sizeof(masters[0]); i++) {
        v = &masters[i];
        rc = phrony_topology_master(reply_of(v->reply), &got);

        ok(rc == v->rc, "master: %s", v->reply);

        if (rc == 1) {
            is_str(got.host.data, got.host.len, v->host, "its host");
            is_int(got.port, v->port, "its port");
        }
    }

    for (i = 254; i <= 257; i++) {
        memset(host, 'h', i);
        host[i] = '\0';
        sprintf(text, "['%s' '1']", host);

        ok(phrony_topology_master(reply_of(text), &got)
           == (i <= PHRONY_ENDPOINT_HOST_MAX ? 1 : -1),
           "a host of %d bytes", (int) i);
    }
}


static void
test_epochs(void)
{
    size_t    i;
    uint64_t  epoch;

    static const char  *broken[] = {
        "[]", "~", "7", "'config-epoch'", "['config-epoch']",
        "['name' 'm' 'config-epoch']", "['config-epoch' 7]",
        "['config-epoch' ~]", "['config-epoch' '']", "['config-epoch' '-1']",
        "['config-epoch' 'x']", "['config-epoch' '9223372036854775808']",
        "['config-epoch' '92233720368547758070']",
        "['x' 'config-epoch' '7' 'y']", "[7 '7' 'config-epoch' '7']",
        "['x' 7 'config-epoch' '7']", "[['config-epoch' '7']]",
        "!'ERR No such master with that name'"
    };

    epoch = 1;

    ok(phrony_topology_epoch(reply_of("['name' 'm' 'config-epoch' '7']"),
                             &epoch) == 0 && epoch == 7, "epoch");

    ok(phrony_topology_epoch(reply_of("['config-epoch'"
                                      " '9223372036854775807' 'x']"),
                             &epoch) == 0
       && epoch == INT64_MAX, "the highest epoch");

    for (i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        epoch = 1;

        ok(phrony_topology_epoch(reply_of(broken[i]), &epoch) == -1
           && epoch == 1, "no epoch: %s", broken[i]);
    }
}


static void
test_roles(void)
{
    is_int(phrony_topology_is_master(reply_of("['master' 42 []]")), 1,
           "a master");
    is_int(phrony_topology_is_master(
               reply_of("['slave' '127.0.0.1' 9000 'connected' 3167038]")),
           0, "a replica");
    is_int(phrony_topology_is_master(reply_of("['sentinel' ['m']]")), 0,
           "a sentinel");
    is_int(phrony_topology_is_master(reply_of("['masters']")), 0,
           "another word");
    is_int(phrony_topology_is_master(reply_of("[]")), -1, "nothing");
    is_int(phrony_topology_is_master(reply_of("[7]")), -1, "a number");
    is_int(phrony_topology_is_master(reply_of("'master'")), -1, "a string");
    is_int(phrony_topology_is_master(reply_of("!'NOPERM no'")), -1,
           "an error");
}


/* "0-5 host:port, 6-9 host:port" */

static void
print_ranges(char *text, size_t size, const phrony_resp_t *reply)
{
    size_t          i, len;
    phrony_range_t  range;

    len = 0;
    text[0] = '\0';

    for (i = 0; i < reply->n; i++) {
        phrony_topology_range(reply, i, &range);

        len += (size_t) snprintf(text + len, size - len, "%s%u-%u %.*s:%u",
                                 i ? ", " : "", range.first, range.last,
                                 (int) range.master.host.len,
                                 (char *) range.master.host.data,
                                 range.master.port);
    }
}


/* Good until the next call. */

static const phrony_resp_t *
reply_of(const char *text)
{
    static phrony_resp_t  reply;

    (void) arena_get(0);
    (void) read_reply(text, &reply);

    return &reply;
}


static const char *
read_reply(const char *p, phrony_resp_t *reply)
{
    const char  *end;

    memset(reply, 0, sizeof(phrony_resp_t));

    if (*p == '~') {
        reply->type = PHRONY_RESP_NIL;
        return p + 1;
    }

    if (*p == '[') {
        return read_array(p + 1, reply);
    }

    if (strchr("'!+", *p) == NULL) {
        reply->type = PHRONY_RESP_INTEGER;
        reply->integer = strtoll(p, (char **) &end, 10);

        return end;
    }

    reply->type = (*p == '!') ? PHRONY_RESP_ERROR
                  : (*p == '+') ? PHRONY_RESP_STATUS : PHRONY_RESP_STRING;

    p = strchr(p, '\'') + 1;
    end = strchr(p, '\'');

    reply->str.data = (unsigned char *) p;
    reply->str.len = (size_t) (end - p);

    return end + 1;
}


static const char *
read_array(const char *p, phrony_resp_t *reply)
{
    phrony_resp_t  elements[16];

    reply->type = PHRONY_RESP_ARRAY;

    while (*p != ']') {
        p = read_reply(p, &elements[reply->n++]);

        while (*p == ' ') {
            p++;
        }
    }

    if (reply->n) {
        reply->elements = arena_get(reply->n);
        memcpy(reply->elements, elements, reply->n * sizeof(elements[0]));
    }

    return p + 1;
}


/* "n" elements; 0: all are free again. */

static phrony_resp_t *
arena_get(size_t n)
{
    static size_t         used;
    static phrony_resp_t  arena[ARENA_MAX];

    used = n ? used + n : 0;

    if (used > ARENA_MAX) {
        abort();
    }

    return &arena[used - n];
}
