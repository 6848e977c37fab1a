
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "test.h"

#include "phrony_slot.h"


/*
 * The first number and the tags of "user1000" and "foo" are examples of the
 * Redis Cluster specification; the other numbers are what a Redis answered to
 * CLUSTER KEYSLOT.
 */


typedef struct {
    const char  *key;
    unsigned     slot;
} vector_t;


static void test_vectors(void);
static void test_tags(void);
static void test_bytes(void);
static void test_model(void);
static unsigned slot(const char *key, size_t len);
static unsigned model(const unsigned char *p, size_t len);


static const vector_t  vectors[] = {
    { "123456789", 0x31c3 },
    { "foo", 12182 },
    { "", 0 },
    { "a", 15495 },
    { "hello", 866 },
    { "user1000", 3443 },
    { "{user1000}.following", 3443 },
    { "foo{}{bar}", 8363 },
    { "foo{{bar}}zap", 4015 },
    { "foo{bar}{zap}", 5061 },
    { "{}", 15257 },
    { "{", 4092 },
    { "}", 12090 },
    { "{a", 10276 },
    { "a}", 5921 },
    { "}{a}", 15495 },
    { "phrony:{1b4e28ba-2fa1-11d2-883f-0016d3cca427}:"
      "window:6ba7b810-9dad-11d1-80b4-00c04fd430c8", 15479 },
    { "phrony:run:6ba7b810-9dad-11d1-80b4-00c04fd430c8", 9519 }
};


int
main(void)
{
    test_vectors();
    test_tags();
    test_bytes();
    test_model();

    return done();
}


static void
test_vectors(void)
{
    size_t  i;

    for (i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        is_int(slot(vectors[i].key, strlen(vectors[i].key)),
               vectors[i].slot, vectors[i].key);
    }
}


/* Each pair is of one slot, or is not. */

static void
test_tags(void)
{
    size_t  i;
    const struct {
        const char  *a;
        const char  *b;
        int          same;
    } pairs[] = {
        { "{user1000}.following", "{user1000}.followers", 1 },
        { "{user1000}.following", "user1000", 1 },
        { "phrony:{w}:window:t", "phrony:{w}:runs:u", 1 },
        { "foo{}{bar}", "foo{}{baz}", 0 },
        { "foo{}{bar}", "bar", 0 },
        { "foo{{bar}}zap", "{bar", 1 },
        { "foo{bar}{zap}", "bar", 1 },
        { "foo{bar}{zap}", "zap", 0 },
        { "}{a}", "a", 1 },
        { "a}b{c}", "c", 1 },
        { "{a", "a", 0 },
        { "a}", "a", 0 },
        { "{}", "", 0 },
        { "{a}{b", "a", 1 }
    };

    for (i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        ok((slot(pairs[i].a, strlen(pairs[i].a))
            == slot(pairs[i].b, strlen(pairs[i].b))) == pairs[i].same,
           "\"%s\" is %s the slot of \"%s\"", pairs[i].a,
           pairs[i].same ? "of" : "not of", pairs[i].b);
    }
}


static void
test_bytes(void)
{
    phrony_str_t  none = { 0, NULL };

    is_int(phrony_slot(&none), 0, "no bytes");
    is_int(slot("a\0b", 3), model((unsigned char *) "a\0b", 3), "a NUL");
    is_int(slot("{a\0b}c", 6), model((unsigned char *) "a\0b", 3),
           "a NUL in a tag");
    is_int(slot("\xff\xfe", 2), model((unsigned char *) "\xff\xfe", 2),
           "high bytes");
}


/* Against the definition of the remainder, bit by bit. */

static void
test_model(void)
{
    size_t    len, i;
    unsigned  n, wrong;
    char      key[300];

    wrong = 0;

    for (n = 0; n < 20000; n++) {
        len = random_below(sizeof(key));

        for (i = 0; i < len; i++) {
            key[i] = (char) random_bits();

            if (key[i] == '{') {
                key[i] = '}';
            }
        }

        wrong += slot(key, len) != model((unsigned char *) key, len);
    }

    ok(wrong == 0, "random keys");
}


/* From a block of exactly this size, so that reading on is noticed. */

static unsigned
slot(const char *key, size_t len)
{
    unsigned      n;
    phrony_str_t  s;

    s.len = len;
    s.data = malloc(len ? len : 1);
    memcpy(s.data, key, len);

    n = phrony_slot(&s);

    free(s.data);

    return n;
}


static unsigned
model(const unsigned char *p, size_t len)
{
    size_t    i;
    unsigned  bit, crc, top;

    crc = 0;

    for (i = 0; i < len * 8; i++) {
        bit = p[i / 8] >> (7 - i % 8) & 1;
        top = crc >> 15 ^ bit;
        crc = (crc << 1 & 0xffff) ^ (top ? 0x1021 : 0);
    }

    return crc % PHRONY_SLOTS;
}
