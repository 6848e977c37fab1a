
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "test.h"

#include "phrony_uuid.h"


#define TEXT     "01234567-89ab-cdef-0123-456789abcdef"
#define BUCKETS  1024


typedef struct {
    const char           *text;
    const unsigned char   bytes[PHRONY_UUID_LEN];
} vector_t;


static void test_valid(void);
static void test_broken(void);
static void test_every_byte(void);
static void test_every_length(void);
static void test_round_trip(void);
static void test_equality(void);
static void test_hash_vectors(void);
static void test_hash_avalanche(void);
static void test_hash_spread(void);
static int parse(const char *text, size_t len, phrony_uuid_t *uuid);
static int is_hex(int ch);
static unsigned bits(uint64_t n);


static const vector_t  valid[] = {
    { "00000000-0000-0000-0000-000000000000", { 0 } },
    { "ffffffff-ffff-ffff-ffff-ffffffffffff",
      { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff } },
    { "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
      { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff } },
    { TEXT,
      { 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef,
        0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef } },
    { "01234567-89AB-CDEF-0123-456789ABCDEF",
      { 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef,
        0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef } },
    { "01234567-89Ab-cDEf-0123-456789aBCdeF",
      { 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef,
        0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef } },
    /* RFC 9562, appendix A: versions 1, 4, 7 */
    { "C232AB00-9414-11EC-B3C8-9F6BDECED846",
      { 0xc2, 0x32, 0xab, 0x00, 0x94, 0x14, 0x11, 0xec,
        0xb3, 0xc8, 0x9f, 0x6b, 0xde, 0xce, 0xd8, 0x46 } },
    { "919108f7-52d1-4320-9bac-f847db4148a8",
      { 0x91, 0x91, 0x08, 0xf7, 0x52, 0xd1, 0x43, 0x20,
        0x9b, 0xac, 0xf8, 0x47, 0xdb, 0x41, 0x48, 0xa8 } },
    { "017F22E2-79B0-7CC3-98C4-DC0C0C07398F",
      { 0x01, 0x7f, 0x22, 0xe2, 0x79, 0xb0, 0x7c, 0xc3,
        0x98, 0xc4, 0xdc, 0x0c, 0x0c, 0x07, 0x39, 0x8f } }
};


static const char  *broken[] = {
    "",
    "0",
    "0123456789abcdef0123456789abcdef",
    "{01234567-89ab-cdef-0123-456789abcdef}",
    "urn:uuid:01234567-89ab-cdef-0123-456789abcdef",
    "01234567-89ab-cdef-0123-456789abcde",
    "01234567-89ab-cdef-0123-456789abcdeff",
    "01234567-89ab-cdef-0123-456789abcdeg",
    "g1234567-89ab-cdef-0123-456789abcdef",
    "0123456-789ab-cdef-0123-456789abcdef",
    "01234567-89abc-def-0123-456789abcdef",
    "01234567-89ab-cdef0-123-456789abcdef",
    "01234567-89ab-cdef-01234-56789abcdef",
    "01234567_89ab_cdef_0123_456789abcdef",
    "01234567 89ab cdef 0123 456789abcdef",
    "01234567-89ab-cdef-0123-456789abcde ",
    " 1234567-89ab-cdef-0123-456789abcdef",
    "0x234567-89ab-cdef-0123-456789abcdef",
    "-1234567-89ab-cdef-0123-456789abcdef",
    "+1234567-89ab-cdef-0123-456789abcdef",
    "------------------------------------",
    "01234567-89ab-cdef-0123-456789abcd\xc3\xa9"
};


int
main(void)
{
    test_valid();
    test_broken();
    test_every_byte();
    test_every_length();
    test_round_trip();
    test_equality();
    test_hash_vectors();
    test_hash_avalanche();
    test_hash_spread();

    return done();
}


static void
test_valid(void)
{
    size_t         i;
    phrony_uuid_t  uuid;

    for (i = 0; i < sizeof(valid) / sizeof(valid[0]); i++) {
        memset(&uuid, 0x5a, sizeof(uuid));

        ok(parse(valid[i].text, strlen(valid[i].text), &uuid) == 0
           && memcmp(uuid.bytes, valid[i].bytes, PHRONY_UUID_LEN) == 0,
           "reads \"%s\"", valid[i].text);
    }
}


static void
test_broken(void)
{
    size_t         i;
    phrony_uuid_t  uuid, before;

    memset(&before, 0x5a, sizeof(before));

    for (i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        uuid = before;

        ok(parse(broken[i], strlen(broken[i]), &uuid) == -1
           && phrony_uuid_eq(&uuid, &before),
           "refuses \"%s\" and changes nothing",
           show(broken[i], strlen(broken[i])));
    }
}


/* Any byte in any place: only a digit for a digit, a hyphen for a hyphen. */

static void
test_every_byte(void)
{
    int            ch, place, rc, want, bad;
    char           text[sizeof(TEXT)];
    phrony_uuid_t  uuid, before;

    memset(&before, 0x5a, sizeof(before));

    for (place = 0; place < PHRONY_UUID_TEXT_LEN; place++) {
        bad = 0;

        for (ch = 0; ch < 256; ch++) {
            memcpy(text, TEXT, sizeof(TEXT));
            want = (text[place] == '-') ? (ch == '-') : is_hex(ch);
            text[place] = (char) ch;

            uuid = before;
            rc = parse(text, PHRONY_UUID_TEXT_LEN, &uuid);

            bad += (rc != (want ? 0 : -1));
            bad += (!want && !phrony_uuid_eq(&uuid, &before));
        }

        ok(bad == 0, "every byte in place %d", place);
    }
}


static void
test_every_length(void)
{
    size_t         len;
    phrony_uuid_t  uuid;

    for (len = 0; len <= 2 * PHRONY_UUID_TEXT_LEN; len++) {
        ok(parse(TEXT TEXT, len, &uuid)
           == (len == PHRONY_UUID_TEXT_LEN ? 0 : -1),
           "length %u", (unsigned) len);
    }
}


static void
test_round_trip(void)
{
    unsigned        i, j, bad;
    unsigned char   buf[PHRONY_UUID_TEXT_LEN + 1], *end;
    phrony_uuid_t   uuid, again;

    buf[PHRONY_UUID_TEXT_LEN] = '!';
    parse("C232AB00-9414-11EC-B3C8-9F6BDECED846", 36, &uuid);
    end = phrony_uuid_format(buf, &uuid);

    ok(end == buf + PHRONY_UUID_TEXT_LEN, "format returns the end");
    is_str(buf, PHRONY_UUID_TEXT_LEN + 1,
           "c232ab00-9414-11ec-b3c8-9f6bdeced846!",
           "lower case, nothing behind it");

    bad = 0;

    for (i = 0; i < 10000; i++) {

        for (j = 0; j < PHRONY_UUID_LEN; j++) {
            uuid.bytes[j] = (unsigned char) random_bits();
        }

        phrony_uuid_format(buf, &uuid);

        if (parse((char *) buf, PHRONY_UUID_TEXT_LEN, &again) != 0
            || !phrony_uuid_eq(&uuid, &again))
        {
            bad++;
        }
    }

    ok(bad == 0, "what is written is read again");
}


static void
test_equality(void)
{
    unsigned       i, bad;
    phrony_uuid_t  a, b;

    parse(TEXT, PHRONY_UUID_TEXT_LEN, &a);
    bad = 0;

    for (i = 0; i < 128; i++) {
        b = a;
        b.bytes[i / 8] = (unsigned char) (b.bytes[i / 8] ^ (1U << (i % 8)));
        bad += (unsigned) phrony_uuid_eq(&a, &b);
    }

    ok(phrony_uuid_eq(&a, &a), "equal to itself");
    ok(bad == 0, "one bit makes a difference");
}


/* Made with another implementation of SipHash-1-3, the same on any machine. */

static void
test_hash_vectors(void)
{
    size_t         i;
    phrony_uuid_t  uuid;

    const struct {
        const char  *text;
        uint64_t     seed;
        uint64_t     hash;
    } vectors[] = {
        { "00000000-0000-0000-0000-000000000000",
          0x0000000000000000ULL, 0x0312a29488e3cb39ULL },
        { "00000000-0000-0000-0000-000000000000",
          0x0000000000000001ULL, 0x7d28cf70a8dcaadeULL },
        { "ffffffff-ffff-ffff-ffff-ffffffffffff",
          0xffffffffffffffffULL, 0xdb2758ad70d91a5eULL },
        { "919108f7-52d1-4320-9bac-f847db4148a8",
          0x0123456789abcdefULL, 0xed4ef115d9f8c292ULL }
    };

    for (i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        parse(vectors[i].text, PHRONY_UUID_TEXT_LEN, &uuid);

        ok(phrony_uuid_hash(&uuid, vectors[i].seed) == vectors[i].hash,
           "hash of %s", vectors[i].text);
    }
}


/* Each bit of the id and of the seed turns about half of the hash. */

static void
test_hash_avalanche(void)
{
    unsigned       i, n, sum, worst_id, worst_seed;
    uint64_t       seed, hash;
    phrony_uuid_t  a, b;

    worst_id = worst_seed = 64 * 64;

    for (i = 0; i < 128; i++) {
        sum = 0;

        for (n = 0; n < 64; n++) {
            memset(&a, 0, sizeof(a));
            a.bytes[n % 16] = (unsigned char) random_bits();
            seed = random_bits();
            b = a;
            b.bytes[i / 8] = (unsigned char) (b.bytes[i / 8]
                                              ^ (1U << (i % 8)));

            sum += bits(phrony_uuid_hash(&a, seed)
                        ^ phrony_uuid_hash(&b, seed));
        }

        worst_id = (sum < worst_id) ? sum : worst_id;
    }

    for (i = 0; i < 64; i++) {
        sum = 0;

        for (n = 0; n < 64; n++) {
            seed = random_bits();
            hash = phrony_uuid_hash(&a, seed);
            sum += bits(hash ^ phrony_uuid_hash(&a, seed ^ 1ULL << i));
        }

        worst_seed = (sum < worst_seed) ? sum : worst_seed;
    }

    ok(worst_id > 64 * 26, "avalanche of the id: at least %u of 64 bits",
       worst_id / 64);
    ok(worst_seed > 64 * 26, "avalanche of the seed: at least %u of 64 bits",
       worst_seed / 64);
    ok(phrony_uuid_hash(&a, 7) == phrony_uuid_hash(&a, 7), "repeatable");
}


/* Ids that count up in one place, as versions 1 and 7 nearly do. */

static void
test_hash_spread(void)
{
    unsigned       place, i, n, worst, *low, *high;
    uint64_t       hash;
    phrony_uuid_t  uuid;
    static unsigned  loads[2][BUCKETS];

    low = loads[0];
    high = loads[1];

    for (place = 0; place < PHRONY_UUID_LEN - 1; place++) {
        memset(loads, 0, sizeof(loads));
        parse("017F22E2-79B0-7CC3-98C4-DC0C0C07398F", 36, &uuid);

        for (i = 0; i < 4 * BUCKETS; i++) {
            uuid.bytes[place] = (unsigned char) (i >> 8);
            uuid.bytes[place + 1] = (unsigned char) i;
            hash = phrony_uuid_hash(&uuid, 1);
            low[hash % BUCKETS]++;
            high[hash >> 54]++;
        }

        worst = 0;

        for (n = 0; n < BUCKETS; n++) {
            worst = (low[n] > worst) ? low[n] : worst;
            worst = (high[n] > worst) ? high[n] : worst;
        }

        ok(worst < 20, "spread of counting in place %u: %u at most, 4 on "
           "average", place, worst);
    }
}


/* From a block of exactly this size, so that reading on is noticed. */

static int
parse(const char *text, size_t len, phrony_uuid_t *uuid)
{
    int           rc;
    phrony_str_t  s;

    s.len = len;
    s.data = NULL;

    if (len) {
        s.data = malloc(len);
        memcpy(s.data, text, len);
    }

    rc = phrony_uuid_parse(&s, uuid);

    free(s.data);

    return rc;
}


static int
is_hex(int ch)
{
    return ch != 0 && strchr("0123456789abcdefABCDEF", ch) != NULL;
}


static unsigned
bits(uint64_t n)
{
    unsigned  count;

    for (count = 0; n; count++) {
        n &= n - 1;
    }

    return count;
}
