
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "test.h"

#include "phrony_key.h"


typedef struct {
    phrony_str_t     key;
    phrony_reason_t  reason;
    const char      *name;
} vector_t;


static void test_vectors(void);
static void test_every_byte(void);
static void test_every_length(void);
static phrony_reason_t check(const void *data, size_t len);


static const vector_t  vectors[] = {
    { phrony_str("phk_x"), PHRONY_REASON_NONE, "the shortest" },
    { phrony_str("phk__"), PHRONY_REASON_NONE, "underscores" },
    { phrony_str("phk_phk_"), PHRONY_REASON_NONE, "the prefix twice" },
    { phrony_str("phk_1f8Qz-._~+/=:"), PHRONY_REASON_NONE, "a usual one" },
    { phrony_str("phk_!\"#$%&'()*"), PHRONY_REASON_NONE, "punctuation" },

    { phrony_str(""), PHRONY_REASON_KEY_MALFORMED, "empty" },
    { phrony_str("p"), PHRONY_REASON_KEY_MALFORMED, "one byte" },
    { phrony_str("phk"), PHRONY_REASON_KEY_MALFORMED, "half a prefix" },
    { phrony_str("phk_"), PHRONY_REASON_KEY_MALFORMED, "the prefix alone" },
    { phrony_str("PHK_x"), PHRONY_REASON_KEY_MALFORMED, "upper case" },
    { phrony_str("phK_x"), PHRONY_REASON_KEY_MALFORMED, "mixed case" },
    { phrony_str("phk-x"), PHRONY_REASON_KEY_MALFORMED, "another prefix" },
    { phrony_str("xphk_x"), PHRONY_REASON_KEY_MALFORMED, "prefix within" },
    { phrony_str(" phk_x"), PHRONY_REASON_KEY_MALFORMED, "leading space" },
    { phrony_str("phk_x "), PHRONY_REASON_KEY_MALFORMED, "trailing space" },
    { phrony_str("phk_x\t"), PHRONY_REASON_KEY_MALFORMED, "trailing tab" },
    { phrony_str("phk_x\0"), PHRONY_REASON_KEY_MALFORMED, "trailing NUL" },
    { phrony_str("phk_\0x"), PHRONY_REASON_KEY_MALFORMED, "NUL within" },
    { phrony_str("phk_x\r\nA: b"), PHRONY_REASON_KEY_MALFORMED, "CRLF" },
    { phrony_str("phk_a,phk_b"), PHRONY_REASON_KEY_MALFORMED, "joined" },
    { phrony_str("phk_a, phk_b"), PHRONY_REASON_KEY_MALFORMED, "joined 2" },
    { phrony_str("phk_,"), PHRONY_REASON_KEY_MALFORMED, "comma alone" },
    { phrony_str("\"phk_x\""), PHRONY_REASON_KEY_MALFORMED, "quoted" },
    { phrony_str("Bearer phk_x"), PHRONY_REASON_KEY_MALFORMED, "scheme" },
    { phrony_str("phk_\xc3\xa9"), PHRONY_REASON_KEY_MALFORMED, "UTF-8" },
    { phrony_str("phk_\x7f"), PHRONY_REASON_KEY_MALFORMED, "DEL" }
};


int
main(void)
{
    test_vectors();
    test_every_byte();
    test_every_length();

    return done();
}


static void
test_vectors(void)
{
    size_t           i;
    const vector_t  *v;

    for (i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        v = &vectors[i];

        ok(check(v->key.data, v->key.len) == v->reason, "%s: \"%s\"",
           v->name, show(v->key.data, v->key.len));
    }
}


/* Any byte in the first, a middle and the last place behind the prefix. */

static void
test_every_byte(void)
{
    int              ch;
    size_t           i;
    char             key[] = "phk_abcde";
    phrony_reason_t  want;
    const size_t     places[] = { 4, 6, 8 };

    for (ch = 0; ch < 256; ch++) {
        want = (ch > 0x20 && ch < 0x7f && ch != ',')
               ? PHRONY_REASON_NONE : PHRONY_REASON_KEY_MALFORMED;

        for (i = 0; i < 3; i++) {
            memcpy(key, "phk_abcde", 9);
            key[places[i]] = (char) ch;

            ok(check(key, 9) == want, "byte 0x%02x in place %u",
               (unsigned) ch, (unsigned) places[i]);
        }
    }

    for (i = 0; i < 4; i++) {
        memcpy(key, "phk_abcde", 9);
        key[i] = 'x';

        ok(check(key, 9) == PHRONY_REASON_KEY_MALFORMED,
           "another byte in place %u", (unsigned) i);
    }
}


static void
test_every_length(void)
{
    char             key[300];
    size_t           len;
    phrony_reason_t  want;

    memset(key, 'k', sizeof(key));
    memcpy(key, "phk_", 4);

    for (len = 0; len <= sizeof(key); len++) {
        want = (len > 4 && len <= 256)
               ? PHRONY_REASON_NONE : PHRONY_REASON_KEY_MALFORMED;

        ok(check(key, len) == want, "length %u", (unsigned) len);
    }
}


/* From a block of exactly this size, so that reading on is noticed. */

static phrony_reason_t
check(const void *data, size_t len)
{
    phrony_str_t     key;
    phrony_reason_t  reason;

    key.len = len;
    key.data = NULL;

    if (len) {
        key.data = malloc(len);
        memcpy(key.data, data, len);
    }

    reason = phrony_key_check(&key);

    free(key.data);

    return reason;
}
