
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "test.h"

#include "phrony_brackets_blocks.h"


#define ROUNDS  200000
#define SIZE    512


typedef const unsigned char *(*skip_pt)(phrony_brackets_t *brackets,
    const unsigned char *p, const unsigned char *last);


static void test_end(const char *name, skip_pt skip);
static void test_as_bytes(const char *name, skip_pt skip);
static void fill(unsigned char *data, size_t len);
static size_t same(skip_pt skip, const unsigned char *data, size_t len,
    size_t cut);
static unsigned draw(unsigned n);


static uint64_t  seed = 20261124;


int
main(void)
{
    test_end("bytes", phrony_brackets_bytes);
    test_end("skip", phrony_brackets_skip);
    test_as_bytes("skip", phrony_brackets_skip);

#if (PHRONY_BRACKETS_SSE2)
    test_end("sse2", phrony_brackets_sse2);
    test_as_bytes("sse2", phrony_brackets_sse2);
#endif

#if (PHRONY_BRACKETS_AVX2)
    if (phrony_brackets_has_avx2()) {
        test_end("avx2", phrony_brackets_avx2);
        test_as_bytes("avx2", phrony_brackets_avx2);

    } else {
        printf("# this processor has no AVX2\n");
    }
#endif

    return done();
}


/* An end at each place of two blocks, behind brackets in a string. */

static void
test_end(const char *name, skip_pt skip)
{
    size_t               i, bad;
    unsigned char        data[192];
    phrony_brackets_t    brackets;
    const unsigned char *p;

    bad = 0;

    for (i = 8; i < 136; i++) {
        memset(data, ' ', sizeof(data));
        memcpy(data, "[\"]\\\"}\"]", 8);
        data[i] = '}';

        memset(&brackets, 0, sizeof(brackets));
        brackets.depth = 1;

        p = skip(&brackets, data, data + sizeof(data));

        bad += (p != data + i + 1 || brackets.depth != 0);
    }

    ok(bad == 0, "%s: stops behind the last bracket", name);
}


/* Whatever comes, cut anywhere: as if it were read byte by byte. */

static void
test_as_bytes(const char *name, skip_pt skip)
{
    size_t         i, len, bad, ended;
    unsigned char  data[SIZE];

    bad = 0;
    ended = 0;

    for (i = 0; i < ROUNDS; i++) {
        len = draw(SIZE + 1);

        fill(data, len);

        switch (same(skip, data, len, draw((unsigned) len + 1))) {
        case 0:
            bad++;
            break;
        case 1:
            ended++;
            break;
        }
    }

    ok(bad == 0, "%s: as byte by byte", name);
    ok(ended > ROUNDS / 20 && ended < ROUNDS - ROUNDS / 20,
       "%s: with and without an end", name);
}


/* What is told apart, and its neighbours in the ways to tell it. */

static void
fill(unsigned char *data, size_t len)
{
    static const char  marks[] = "\"\"\"\\\\[[[{{{]]}}Yy_\x7f";

    size_t    i;
    unsigned  plain;

    plain = 1 + draw(40);

    for (i = 0; i < len; i++) {
        data[i] = draw(plain) ? (unsigned char) draw(256)
                              : (unsigned char) marks[draw(sizeof(marks) - 1)];
    }
}


/* Returns 0 if they differ, 1 if both came to an end, 2 if none did. */

static size_t
same(skip_pt skip, const unsigned char *data, size_t len, size_t cut)
{
    phrony_brackets_t     a, b;
    const unsigned char  *p, *q;

    memset(&a, 0, sizeof(a));

    a.depth = 1 + draw(3);
    a.string = (unsigned char) draw(2);
    a.escape = (unsigned char) (a.string && draw(2));

    b = a;

    p = phrony_brackets_bytes(&a, data, data + len);
    q = skip(&b, data, data + cut);

    if (b.depth) {
        q = skip(&b, q, data + len);
    }

    if (p != q || a.depth != b.depth || a.string != b.string
        || a.escape != b.escape)
    {
        return 0;
    }

    return a.depth ? 2 : 1;
}


static unsigned
draw(unsigned n)
{
    seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;

    return (unsigned) ((seed >> 33) % n);
}
