
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include <stdio.h>
#include <stdlib.h>

#include "phrony_redis_url.h"


#define FUZZ_TEXT  4096

#define fuzz_assert(cond)  do { if (!(cond)) { abort(); } } while (0)


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_refused(const char *why);
static void fuzz_accepted(const phrony_str_t *text,
    const phrony_redis_url_t *url);
static void fuzz_view(const phrony_str_t *text, const phrony_str_t *s);
static void fuzz_decode(const phrony_str_t *text);
static void fuzz_again(const phrony_redis_url_t *url);
static size_t fuzz_write(char *buf, const phrony_redis_url_t *url);
static size_t fuzz_write_host(char *buf, size_t size,
    const phrony_redis_host_t *host);
static void fuzz_same(const phrony_redis_url_t *a,
    const phrony_redis_url_t *b);


/*
 * What is accepted keeps its bounds, all views are within the text, and it is
 * accepted as the same when it is written in full.
 */

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char          *why;
    phrony_str_t         text;
    phrony_redis_url_t   url;

    text.data = (unsigned char *) data;
    text.len = size;

    memset(&url, 0x5a, sizeof(url));
    why = phrony_redis_url_parse(&text, &url);

    if (why) {
        fuzz_refused(why);

    } else {
        fuzz_accepted(&text, &url);
    }

    /* whatever it is, decoding stays within it */

    fuzz_decode(&text);

    return 0;
}


static void
fuzz_refused(const char *why)
{
    size_t  i;

    for (i = 0; why[i]; i++) {
        fuzz_assert(why[i] >= 0x20 && why[i] <= 0x7e);
    }

    fuzz_assert(i > 0 && why[i - 1] != '.');
}


static void
fuzz_accepted(const phrony_str_t *text, const phrony_redis_url_t *url)
{
    size_t  i;

    fuzz_assert((url->nhosts == 0) == (url->path.len > 0));
    fuzz_assert(url->nhosts <= PHRONY_REDIS_HOSTS_MAX);
    fuzz_assert(url->mode != PHRONY_REDIS_SINGLE || url->nhosts <= 1);
    fuzz_assert((url->mode == PHRONY_REDIS_SENTINEL) == (url->master.len > 0));
    fuzz_assert(url->mode != PHRONY_REDIS_CLUSTER || url->db == 0);
    fuzz_assert(url->db <= 2147483647);
    fuzz_assert(url->nhosts > 0
                || (!url->tls && url->user.len == 0
                    && url->password.len == 0));

    for (i = 0; i < url->nhosts; i++) {
        fuzz_assert(url->hosts[i].port >= 1 && url->hosts[i].port <= 65535);
        fuzz_assert(url->hosts[i].host.len > 0);
        fuzz_view(text, &url->hosts[i].host);
    }

    fuzz_view(text, &url->path);
    fuzz_view(text, &url->master);
    fuzz_view(text, &url->user);
    fuzz_view(text, &url->password);

    fuzz_decode(&url->user);
    fuzz_decode(&url->password);

    fuzz_again(url);
}


static void
fuzz_view(const phrony_str_t *text, const phrony_str_t *s)
{
    size_t  i;

    if (s->len == 0) {
        return;
    }

    fuzz_assert(s->data >= text->data);
    fuzz_assert(s->len <= text->len - (size_t) (s->data - text->data));

    for (i = 0; i < s->len; i++) {
        fuzz_assert(s->data[i] > 0x20 && s->data[i] != 0x7f);
    }
}


static void
fuzz_decode(const phrony_str_t *text)
{
    size_t          len;
    unsigned char  *buf;

    buf = malloc(text->len + 1);
    fuzz_assert(buf != NULL);

    len = phrony_redis_url_decode(buf, text);

    fuzz_assert(len <= text->len);
    fuzz_assert(text->len == 0 || len > 0);

    free(buf);
}


static void
fuzz_again(const phrony_redis_url_t *url)
{
    char                 buf[FUZZ_TEXT];
    size_t               len;
    phrony_str_t         text;
    phrony_redis_url_t   again;

    len = fuzz_write(buf, url);

    if (len >= sizeof(buf)) {
        return;
    }

    text.data = (unsigned char *) buf;
    text.len = len;

    fuzz_assert(phrony_redis_url_parse(&text, &again) == NULL);
    fuzz_same(url, &again);
}


/* Each part is written, be it the usual one. */

static size_t
fuzz_write(char *buf, const phrony_redis_url_t *url)
{
    size_t       i, n;
    const char  *modes[] = { "", "+sentinel", "+cluster" };

    if (url->nhosts == 0) {
        return (size_t) snprintf(buf, FUZZ_TEXT, "unix:%.*s:%u",
                                 (int) url->path.len, (char *) url->path.data,
                                 url->db);
    }

    n = (size_t) snprintf(buf, FUZZ_TEXT, "redis%s%s://%.*s%s%.*s%s",
                          url->tls ? "s" : "", modes[url->mode],
                          (int) url->user.len, (char *) url->user.data,
                          url->password.len ? ":" : "",
                          (int) url->password.len,
                          (char *) url->password.data,
                          url->user.len || url->password.len ? "@" : "");

    for (i = 0; i < url->nhosts && n < FUZZ_TEXT; i++) {

        if (i > 0) {
            buf[n++] = ',';
        }

        n += fuzz_write_host(buf + n, FUZZ_TEXT - n, &url->hosts[i]);
    }

    if (n < FUZZ_TEXT && url->master.len) {
        n += (size_t) snprintf(buf + n, FUZZ_TEXT - n, "/%.*s",
                               (int) url->master.len,
                               (char *) url->master.data);
    }

    if (n < FUZZ_TEXT) {
        n += (size_t) snprintf(buf + n, FUZZ_TEXT - n, "/%u", url->db);
    }

    return n;
}


static size_t
fuzz_write_host(char *buf, size_t size, const phrony_redis_host_t *host)
{
    int  is_ipv6;

    is_ipv6 = memchr(host->host.data, ':', host->host.len) != NULL;

    return (size_t) snprintf(buf, size, "%s%.*s%s:%u", is_ipv6 ? "[" : "",
                             (int) host->host.len, (char *) host->host.data,
                             is_ipv6 ? "]" : "", host->port);
}


static void
fuzz_same(const phrony_redis_url_t *a, const phrony_redis_url_t *b)
{
    size_t  i;

    fuzz_assert(a->mode == b->mode && a->tls == b->tls && a->db == b->db);
    fuzz_assert(a->nhosts == b->nhosts);
    fuzz_assert(phrony_str_eq(&a->path, &b->path));
    fuzz_assert(phrony_str_eq(&a->master, &b->master));
    fuzz_assert(phrony_str_eq(&a->user, &b->user));
    fuzz_assert(phrony_str_eq(&a->password, &b->password));

    for (i = 0; i < a->nhosts; i++) {
        fuzz_assert(phrony_str_eq(&a->hosts[i].host, &b->hosts[i].host));
        fuzz_assert(a->hosts[i].port == b->hosts[i].port);
    }
}
