
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "test.h"

#include "phrony_redis_url.h"


#define EMPTY      "it is empty"
#define CONTROL    "it has a space or a control character in it"
#define SCHEME     "it begins with none of redis://, rediss://, unix:/, "     \
                   "redis+sentinel://, rediss+sentinel://, "                  \
                   "redis+cluster:// and rediss+cluster://"
#define UNIX_TLS   "a unix socket is not for TLS"
#define UNIX_PATH  "the path of the unix socket is not an absolute one"
#define UNIX_LONG  "the path of the unix socket is longer than 107 bytes"
#define AT         "a @ within user or password is to be written %40"
#define SLASH      "a / within user or password is to be written %2F"
#define NOBODY     "there is neither user nor password before the @"
#define PASSWORD   "the password behind the : is empty"
#define ENCODED    "user or password have a character in them that is to be " \
                   "written %XX"
#define SEVERAL    "several hosts are for redis+sentinel and redis+cluster"
#define TOO_MANY   "there are more than 16 hosts"
#define NO_HOST    "a host is missing"
#define HOST       "a host is neither a name nor an address"
#define BRACKETS   "an IPv6 address is to be written in brackets"
#define IPV6       "what is in brackets is not an IPv6 address"
#define BEHIND     "behind the ] is something else than a port"
#define PORT       "the port is not a number of 1 to 65535"
#define DB         "the database is not a number of 0 to 2147483647"
#define CLUSTER    "a cluster has no database but 0"
#define NO_MASTER  "the name of the master is missing"
#define MASTER     "the name of the master has other characters in it than "  \
                   "letters, digits, \"-\", \".\" and \"_\""


typedef struct {
    const char  *url;
    const char  *want;      /* in the words of describe() */
} valid_t;


typedef struct {
    const char  *url;
    const char  *why;
} broken_t;


static void test_valid(void);
static void test_broken(void);
static void test_bytes(void);
static void test_long(void);
static void test_hosts(void);
static void test_decode(void);
static void test_random(void);
static void test_views(const phrony_str_t *text,
    const phrony_redis_url_t *url, const char *name);
static int is_within(const phrony_str_t *s, const phrony_str_t *text);
static const char *parse(const char *text, size_t len,
    phrony_redis_url_t *url);
static const char *describe(const phrony_redis_url_t *url);
static size_t describe_str(char *buf, size_t size, const char *name,
    const phrony_str_t *s);


static const valid_t  valid[] = {
    { "redis://localhost", "single localhost:6379 db=0" },
    { "redis://localhost:6380", "single localhost:6380 db=0" },
    { "redis://localhost/3", "single localhost:6379 db=3" },
    { "redis://localhost:6380/3", "single localhost:6380 db=3" },
    { "redis://localhost/0", "single localhost:6379 db=0" },
    { "redis://h/2147483647", "single h:6379 db=2147483647" },
    { "redis://h:1", "single h:1 db=0" },
    { "redis://h:65535", "single h:65535 db=0" },
    { "redis://127.0.0.1:6379", "single 127.0.0.1:6379 db=0" },
    { "redis://[::1]", "single ::1:6379 db=0" },
    { "redis://[2001:db8::7]:7/1", "single 2001:db8::7:7 db=1" },
    { "redis://[::ffff:192.0.2.1]:7", "single ::ffff:192.0.2.1:7 db=0" },
    { "redis://a.b-c.example:7", "single a.b-c.example:7 db=0" },
    { "redis://a_b", "single a_b:6379 db=0" },
    { "redis://A.EXAMPLE", "single A.EXAMPLE:6379 db=0" },
    { "redis://1.example", "single 1.example:6379 db=0" },
    { "redis://1a", "single 1a:6379 db=0" },
    { "rediss://h", "single tls h:6379 db=0" },
    { "rediss://u:p@h:7/1", "single tls h:7 db=1 user=u password=p" },

    { "redis://user@h", "single h:6379 db=0 user=user" },
    { "redis://:secret@h", "single h:6379 db=0 password=secret" },
    { "redis://user:secret@h:7/2",
      "single h:7 db=2 user=user password=secret" },
    { "redis://u:a:b@h", "single h:6379 db=0 user=u password=a:b" },
    { "redis://u::@h", "single h:6379 db=0 user=u password=:" },
    { "redis://u%40d:p%2Fq%3a@h",
      "single h:6379 db=0 user=u%40d password=p%2Fq%3a" },
    { "redis://u:-._~!$&'()*+,;=@h",
      "single h:6379 db=0 user=u password=-._~!$&'()*+,;=" },

    { "unix:/run/redis.sock", "single path=/run/redis.sock db=0" },
    { "unix:/run/redis.sock:3", "single path=/run/redis.sock db=3" },
    { "unix:/run/redis.sock:0", "single path=/run/redis.sock db=0" },
    { "unix:/a:b/c", "single path=/a:b/c db=0" },
    { "unix:/a:1/c", "single path=/a:1/c db=0" },
    { "unix:/a:1/c:2", "single path=/a:1/c db=2" },
    { "unix:/a:1:2", "single path=/a:1 db=2" },
    { "unix:/a:1x", "single path=/a:1x db=0" },
    { "unix:/a:-1", "single path=/a:-1 db=0" },
    { "unix:/caf\xc3\xa9@[x]", "single path=/caf\xc3\xa9@[x] db=0" },

    { "redis+sentinel://h/mymaster",
      "sentinel h:26379 master=mymaster db=0" },
    { "redis+sentinel://a,b:7,[::1]:8/my-master.1_x/5",
      "sentinel a:26379 b:7 ::1:8 master=my-master.1_x db=5" },
    { "rediss+sentinel://u:p@a,b/m",
      "sentinel tls a:26379 b:26379 master=m db=0 user=u password=p" },

    { "redis+cluster://a", "cluster a:6379 db=0" },
    { "redis+cluster://a,b:7,192.0.2.1:8", "cluster a:6379 b:7 192.0.2.1:8"
      " db=0" },
    { "redis+cluster://:p@a,b/0", "cluster a:6379 b:6379 db=0 password=p" },
    { "rediss+cluster://a", "cluster tls a:6379 db=0" }
};


static const broken_t  broken[] = {
    { "", EMPTY },
    { "redis", SCHEME },
    { "redis:", SCHEME },
    { "redis:/h", SCHEME },
    { "redis:h", SCHEME },
    { "Redis://h", SCHEME },
    { "redi://h", SCHEME },
    { "redissentinel://h/m", SCHEME },
    { "redis-sentinel://h/m", SCHEME },
    { "redis+sentinels://h/m", SCHEME },
    { "redisss://h", SCHEME },
    { "valkey://h", SCHEME },
    { "http://h", SCHEME },
    { "//h", SCHEME },
    { "h:6379", SCHEME },
    { "/run/redis.sock", SCHEME },
    { "unix", SCHEME },
    { "unixs:/run/redis.sock", SCHEME },

    { "rediss+unix:/run/redis.sock", UNIX_TLS },
    { "unix:", UNIX_PATH },
    { "unix:/", UNIX_PATH },
    { "unix:/:1", UNIX_PATH },
    { "unix:run/redis.sock", UNIX_PATH },
    { "unix::1", UNIX_PATH },
    { "unix:1", UNIX_PATH },
    { "unix:/a:", DB },
    { "unix:/a:01", DB },
    { "unix:/a:2147483648", DB },
    { "unix:/a:99999999999999999999", DB },

    { "redis://", NO_HOST },
    { "redis:///", NO_HOST },
    { "redis:///1", NO_HOST },
    { "redis://:6379", NO_HOST },
    { "redis://u:p@", NO_HOST },
    { "redis://u:p@/1", NO_HOST },
    { "redis://u:p@:6379", NO_HOST },
    { "redis+cluster://,a", NO_HOST },
    { "redis+cluster://a,", NO_HOST },
    { "redis+cluster://a,,b", NO_HOST },
    { "redis+cluster://a,:7", NO_HOST },

    { "redis://h:", PORT },
    { "redis://h:0", PORT },
    { "redis://h:65536", PORT },
    { "redis://h:065", PORT },
    { "redis://h:-1", PORT },
    { "redis://h:+1", PORT },
    { "redis://h:7x", PORT },
    { "redis://h:0x7", PORT },
    { "redis://h:99999999999999999999", PORT },
    { "redis://h:18446744073709551617", PORT },
    { "redis://user:secret", PORT },
    { "redis://[::1]:", PORT },
    { "redis://[::1]:0", PORT },
    { "redis+cluster://a:7,b:0", PORT },

    { "redis://h/", DB },
    { "redis://h/x", DB },
    { "redis://h/-1", DB },
    { "redis://h/01", DB },
    { "redis://h/1/", DB },
    { "redis://h/1/2", DB },
    { "redis://h/1?x=y", DB },
    { "redis://h/2147483648", DB },
    { "redis://h/4294967296", DB },
    { "redis://h/18446744073709551616", DB },
    { "redis+sentinel://h/m/", DB },
    { "redis+sentinel://h/m/x", DB },
    { "redis+sentinel://h/m/1/2", DB },
    { "redis+cluster://h/", DB },
    { "redis+cluster://h/1", CLUSTER },
    { "redis+cluster://h/m", DB },

    { "redis://a/b@h", SLASH },
    { "redis://:a/b@h", SLASH },
    { "redis://u:a@b@h", AT },
    { "redis://@@h", AT },
    { "redis://@h", NOBODY },
    { "redis://:@h", PASSWORD },
    { "redis://u:@h", PASSWORD },
    { "redis://u:a%@h", ENCODED },
    { "redis://u:a%4@h", ENCODED },
    { "redis://u:a%4x@h", ENCODED },
    { "redis://u:a%x4@h", ENCODED },
    { "redis://u:%%41@h", ENCODED },
    { "redis://u%:a@h", ENCODED },
    { "redis://u:a#b@h", ENCODED },
    { "redis://u:a?b@h", ENCODED },
    { "redis://u:a[b@h", ENCODED },
    { "redis://u:a\"b@h", ENCODED },
    { "redis://u:a\\b@h", ENCODED },
    { "redis://u:caf\xc3\xa9@h", ENCODED },
    { "redis://caf\xc3\xa9@h", ENCODED },

    { "redis://a,b", SEVERAL },
    { "redis://a,", SEVERAL },
    { "rediss://a:1,b:2", SEVERAL },

    { "redis://a..b", HOST },
    { "redis://.a", HOST },
    { "redis://a.", HOST },
    { "redis://.", HOST },
    { "redis://-a", HOST },
    { "redis://a-", HOST },
    { "redis://a.-b", HOST },
    { "redis://*", HOST },
    { "redis://a%41", HOST },
    { "redis://a?b", HOST },
    { "redis://a#b", HOST },
    { "redis://a;b", HOST },
    { "redis://caf\xc3\xa9", HOST },
    { "redis://1", HOST },
    { "redis://1.2", HOST },
    { "redis://1.2.3.4.5", HOST },
    { "redis://256.1.1.1", HOST },
    { "redis://01.1.1.1", HOST },
    { "redis://a.1", HOST },

    { "redis://::1", BRACKETS },
    { "redis://2001:db8::7", BRACKETS },
    { "redis://h:7:8", BRACKETS },
    { "redis://[", IPV6 },
    { "redis://[]", IPV6 },
    { "redis://[::1", IPV6 },
    { "redis://[h]", IPV6 },
    { "redis://[127.0.0.1]", IPV6 },
    { "redis://[::1%25eth0]", IPV6 },
    { "redis://[::/0]", IPV6 },
    { "redis://[[::1]]", IPV6 },
    { "redis://[::1]7", BEHIND },
    { "redis://[::1]]", BEHIND },
    { "redis://[::1][::2]", BEHIND },
    { "redis://[::1].a", BEHIND },

    { "redis+sentinel://h", NO_MASTER },
    { "redis+sentinel://h/", NO_MASTER },
    { "redis+sentinel://h//1", NO_MASTER },
    { "redis+sentinel://h/a:b", MASTER },
    { "redis+sentinel://h/a%41", MASTER },
    { "redis+sentinel://h/a?b", MASTER },
    { "redis+sentinel://u@h/a@b", MASTER },
    { "redis+sentinel://h/caf\xc3\xa9", MASTER },

    { " redis://h", CONTROL },
    { "redis://h ", CONTROL },
    { "redis://h\n", CONTROL },
    { "redis://u:a b@h", CONTROL },
    { "redis://h\t/1", CONTROL },
    { "unix:/a b", CONTROL },
    { "unix:/a\x7f", CONTROL },
    { "unix:/a\x1f", CONTROL }
};


int
main(void)
{
    test_valid();
    test_broken();
    test_bytes();
    test_long();
    test_hosts();
    test_decode();
    test_random();

    return done();
}


static void
test_valid(void)
{
    size_t              i;
    const char         *why;
    phrony_str_t        text;
    phrony_redis_url_t  url;

    for (i = 0; i < sizeof(valid) / sizeof(valid[0]); i++) {
        text = str(valid[i].url);
        memset(&url, 0x5a, sizeof(url));
        why = phrony_redis_url_parse(&text, &url);

        if (why) {
            ok(0, "%s: %s", valid[i].url, why);
            continue;
        }

        is_str(describe(&url), strlen(describe(&url)), valid[i].want,
               valid[i].url);
        test_views(&text, &url, valid[i].url);
    }
}


static void
test_broken(void)
{
    size_t              i;
    const char         *why;
    phrony_redis_url_t  url;

    for (i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        why = parse(broken[i].url, strlen(broken[i].url), &url);

        if (why == NULL) {
            ok(0, "%s is refused", broken[i].url);
            continue;
        }

        is_str(why, strlen(why), broken[i].why, broken[i].url);
    }
}


/* No byte but those above passes at any place of a host or a password. */

static void
test_bytes(void)
{
    unsigned            ch, wrong;
    const char         *why;
    char                text[64];
    phrony_redis_url_t  url;

    wrong = 0;

    for (ch = 0; ch < 256; ch++) {

        memcpy(text, "redis://a?b.example", 19);
        text[9] = (char) ch;
        why = parse(text, 19, &url);

        if ((why == NULL)
            != (ch > ' ' && ch < 0x7f
                && (strchr("-_.@", (int) ch) != NULL
                    || (ch >= '0' && ch <= '9')
                    || ((ch | 0x20) >= 'a' && (ch | 0x20) <= 'z'))))
        {
            printf("# host: byte 0x%02x\n", ch);
            wrong++;
        }

        memcpy(text, "redis://u:a?b@h", 15);
        text[11] = (char) ch;
        why = parse(text, 15, &url);

        if ((why == NULL)
            != (ch > ' ' && ch < 0x7f
                && strchr("\"#%/<>?@[\\]^`{|}", (int) ch) == NULL))
        {
            printf("# password: byte 0x%02x\n", ch);
            wrong++;
        }
    }

    ok(wrong == 0, "each byte in a host and in a password");

    why = parse("redis://h\0", 10, &url);
    is_str(why ? why : "", why ? strlen(why) : 0, CONTROL, "a NUL behind");
    why = parse("unix:/a\0b", 9, &url);
    is_str(why ? why : "", why ? strlen(why) : 0, CONTROL, "a NUL in a path");
}


static void
test_long(void)
{
    int                 n;
    char                text[400];
    const char         *why;
    phrony_redis_url_t  url;

    for (n = 105; n <= 110; n++) {
        memset(text, 'a', sizeof(text));
        memcpy(text, "unix:/", 6);
        memcpy(text + 5 + n, ":7", 2);
        why = parse(text, (size_t) n + 7, &url);

        if (n <= 107) {
            ok(why == NULL && url.path.len == (size_t) n && url.db == 7,
               "a path of %d bytes", n);

        } else {
            is_str(why ? why : "", why ? strlen(why) : 0, UNIX_LONG,
                   "a longer path");
        }
    }

    for (n = 62; n <= 64; n++) {
        memset(text, 'a', sizeof(text));
        memcpy(text, "redis://", 8);
        text[8 + n] = '.';
        ok((parse(text, (size_t) n + 12, &url) == NULL) == (n < 64),
           "a label of %d bytes", n);
    }

    for (n = 252; n <= 254; n++) {
        memset(text, 'a', sizeof(text));
        memcpy(text, "redis://", 8);
        text[8 + 50] = text[8 + 100] = text[8 + 150] = text[8 + 200] = '.';
        ok((parse(text, (size_t) n + 8, &url) == NULL) == (n < 254),
           "a host of %d bytes", n);
    }
}


static void
test_hosts(void)
{
    int                 n;
    char                text[400];
    size_t              len;
    const char         *why;
    phrony_redis_url_t  url;

    len = (size_t) snprintf(text, sizeof(text), "redis+cluster://h1:1");

    for (n = 2; n <= 18; n++) {
        len += (size_t) snprintf(text + len, sizeof(text) - len, ",h%d:%d", n,
                                 n);
        why = parse(text, len, &url);

        if (n <= PHRONY_REDIS_HOSTS_MAX) {
            ok(why == NULL && url.nhosts == (size_t) n
               && url.hosts[n - 1].port == (unsigned) n, "%d hosts", n);

        } else {
            is_str(why ? why : "", why ? strlen(why) : 0, TOO_MANY,
                   "more hosts");
        }
    }
}


static void
test_decode(void)
{
    size_t         i, n;
    char           text[4];
    unsigned       ch, wrong;
    phrony_str_t   s;
    unsigned char  buf[64];
    const char    *cases[][2] = {
        { "", "" },
        { "plain", "plain" },
        { "%41", "A" },
        { "a%2Fb%2fc", "a/b/c" },
        { "%25%34%31", "%41" },
        { "a+b", "a+b" },

        /* not what is accepted, but no byte too many is read */
        { "%", "%" },
        { "a%4", "a%4" }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        s.len = strlen(cases[i][0]);
        s.data = malloc(s.len + 1);
        memcpy(s.data + 1, cases[i][0], s.len);
        s.data++;

        n = phrony_redis_url_decode(buf, &s);
        is_str(buf, n, cases[i][1], cases[i][0]);

        free(s.data - 1);
    }

    wrong = 0;

    for (ch = 0; ch < 512; ch++) {
        snprintf(text, sizeof(text), ch < 256 ? "%%%02x" : "%%%02X",
                 ch & 0xff);
        s = str(text);
        wrong += phrony_redis_url_decode(buf, &s) != 1 || buf[0] != ch % 256;
    }

    ok(wrong == 0, "each byte");
}


/* Pieces of URLs in any order; what is refused is not quoted. */

static void
test_random(void)
{
    size_t               len;
    unsigned             i, n, valids, wrong;
    char                 text[200];
    const char          *why;
    phrony_str_t         s;
    phrony_redis_url_t   url;
    static const char   *pieces[] = {
        "redis://", "rediss://", "redis+sentinel://", "rediss+cluster://",
        "unix:/", ":", "@", "/", ",", "[::1]", "[", "]", "%", "%41", "7",
        "host", ".", "-", "Xsecret", "6379", "master", "0", "65536"
    };

    valids = wrong = 0;

    for (i = 0; i < 200000; i++) {

        len = (size_t) snprintf(text, sizeof(text), "%s",
                                pieces[random_below(5)]);

        for (n = random_below(8); n > 0; n--) {
            len += (size_t) snprintf(text + len, sizeof(text) - len, "%s",
                                     pieces[5 + random_below(18)]);
        }

        s = str(text);
        why = parse(text, len, &url);
        wrong += why && strstr(why, "Xsecret") != NULL;

        if (why == NULL) {
            valids++;
            why = phrony_redis_url_parse(&s, &url);
            wrong += why != NULL || (url.nhosts == 0) != (url.path.len > 0);
        }
    }

    ok(wrong == 0 && valids > 1000, "%u of 200000 random ones are valid",
       valids);
}


static void
test_views(const phrony_str_t *text, const phrony_redis_url_t *url,
    const char *name)
{
    int     within;
    size_t  i;

    within = is_within(&url->path, text) && is_within(&url->master, text)
             && is_within(&url->user, text)
             && is_within(&url->password, text);

    for (i = 0; i < url->nhosts; i++) {
        within = within && is_within(&url->hosts[i].host, text);
    }

    ok(within, "%s: nothing but views of it", name);
}


static int
is_within(const phrony_str_t *s, const phrony_str_t *text)
{
    return s->len == 0
           || (s->data >= text->data
               && s->data + s->len <= text->data + text->len);
}


/* From a block of exactly this size, so that reading on is noticed. */

static const char *
parse(const char *text, size_t len, phrony_redis_url_t *url)
{
    const char    *why;
    phrony_str_t   s;

    s.len = len;
    s.data = malloc(len ? len : 1);
    memcpy(s.data, text, len);

    why = phrony_redis_url_parse(&s, url);

    free(s.data);

    return why;
}


static const char *
describe(const phrony_redis_url_t *url)
{
    size_t        i, n;
    static char   buf[1000];
    const char   *modes[] = { "single", "sentinel", "cluster" };

    n = (size_t) snprintf(buf, sizeof(buf), "%s%s", modes[url->mode],
                          url->tls ? " tls" : "");

    for (i = 0; i < url->nhosts; i++) {
        n += (size_t) snprintf(buf + n, sizeof(buf) - n, " %.*s:%u",
                               (int) url->hosts[i].host.len,
                               (char *) url->hosts[i].host.data,
                               url->hosts[i].port);
    }

    n += describe_str(buf + n, sizeof(buf) - n, "path", &url->path);
    n += describe_str(buf + n, sizeof(buf) - n, "master", &url->master);
    n += (size_t) snprintf(buf + n, sizeof(buf) - n, " db=%u", url->db);
    n += describe_str(buf + n, sizeof(buf) - n, "user", &url->user);
    (void) describe_str(buf + n, sizeof(buf) - n, "password", &url->password);

    return buf;
}


static size_t
describe_str(char *buf, size_t size, const char *name, const phrony_str_t *s)
{
    if (s->len == 0) {
        return 0;
    }

    return (size_t) snprintf(buf, size, " %s=%.*s", name, (int) s->len,
                             (char *) s->data);
}
