
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "test.h"

#include "phrony_accept.h"


typedef struct {
    const char  *value;         /* two fields are parted by a line feed */
    int          best;
} vector_t;


static void test_vectors(void);
static void test_every_cut(void);
static int best_of(const char *value, size_t len);


static const phrony_str_t  types[] = {
    phrony_str("application/json"),
    phrony_str("text/html"),
    phrony_str("application/openmetrics-text"),
    phrony_str("text/plain")
};


/* 0 is JSON, 1 HTML, 2 OpenMetrics, 3 plain text */

static const vector_t  vectors[] = {
    { "", 0 },
    { " , ,", 0 },
    { "*/*", 0 },
    { "text/html", 1 },
    { "TEXT/Html", 1 },
    { "text/plain", 3 },
    { "text/*", 1 },
    { "text/*, text/html;q=0.1", 3 },
    { "application/*", 0 },
    { "application/*;q=0.5, application/openmetrics-text", 2 },
    { "image/png", -1 },
    { "image/png, */*;q=0.1", 0 },
    { "application/json;q=0, */*", 1 },
    { "*/*;q=0", -1 },
    { "*/*;q=0, text/plain", 3 },
    { "text/html, application/json", 0 },
    { "text/html, */*", 1 },
    { "text/plain;q=0.9, text/html;q=0.91", 1 },
    { "text/plain;q=1.000, text/html;q=0.999", 3 },
    { "text/plain;q=2, text/html;q=0.001", 1 },
    { "text/plain;q=0.1234, text/html;q=0.001", 1 },
    { "text/plain;q=1.001, text/html;q=0.001", 1 },
    { "text/plain;q=, text/html;q=0.001", 1 },
    { "text/plain;q=.9, text/html;q=0.001", 1 },
    { "text/plain ; Q=0.5\t,text/html;q=0.4", 3 },
    { "text/plain;version=0.0.4;q=0.5,text/html;q=0.4", 3 },
    { "text/plain;a=\"x,y;q=0\";q=0.5,text/html;q=0.4", 3 },
    { "text/plain;a=\"\\\",text/html\";q=0.5", 3 },
    { "text/html;q=0.5\ntext/plain", 3 },
    { "text/htm, text/htmlx, /*, te/*, text, text/, */html", -1 },

    /* a browser's, and those of two scrapers */

    { "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,"
      "*/*;q=0.8", 1 },
    { "application/openmetrics-text;version=1.0.0,"
      "application/openmetrics-text;version=0.0.1;q=0.75,"
      "text/plain;version=0.0.4;q=0.5,*/*;q=0.1", 2 },
    { "text/plain;version=0.0.4;q=1,*/*;q=0.1", 3 }
};


int
main(void)
{
    test_vectors();
    test_every_cut();

    return done();
}


static void
test_vectors(void)
{
    size_t           i;
    const vector_t  *v;

    for (i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        v = &vectors[i];

        is_int(best_of(v->value, strlen(v->value)), v->best,
               v->value);
    }
}


/* Reads nothing behind the end: each prefix lies at the end of its memory. */

static void
test_every_cut(void)
{
    int              ok;
    char            *copy;
    size_t           i, len;
    const vector_t  *v;

    ok = 1;

    for (i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        v = &vectors[i];

        for (len = 0; len <= strlen(v->value); len++) {
            copy = malloc(len + 1);
            memcpy(copy, v->value, len);
            copy = realloc(copy, len ? len : 1);

            ok &= (best_of(copy, len) < 4);

            free(copy);
        }
    }

    is_int(ok, 1, "every prefix");
}


static int
best_of(const char *value, size_t len)
{
    const char       *end;
    phrony_str_t      field;
    phrony_accept_t   accept;

    phrony_accept_init(&accept, types, 4);

    for ( ;; ) {
        end = memchr(value, '\n', len);

        field.data = (unsigned char *) value;
        field.len = end ? (size_t) (end - value) : len;

        phrony_accept_read(&accept, &field);

        if (end == NULL) {
            return phrony_accept_best(&accept);
        }

        len -= field.len + 1;
        value = end + 1;
    }
}
