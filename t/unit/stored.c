
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "test.h"

#include "phrony_stored.h"


static void test_round_trip(void);
static void test_bounds(void);
static void test_broken(void);
static void test_cut(void);
static int unpacks(const void *data, size_t len);
static void fill(phrony_stored_t *stored, unsigned status, size_t type,
    size_t body);


static unsigned char  room[PHRONY_STORED_TYPE_MAX + 1
                           + PHRONY_STORED_BODY_MAX + 1];
static unsigned char  packed[PHRONY_STORED_HEAD + sizeof(room)];


int
main(void)
{
    size_t  i;

    for (i = 0; i < sizeof(room); i++) {
        room[i] = (unsigned char) (0x20 + i * 7 % 0x5f);
    }

    test_round_trip();
    test_bounds();
    test_broken();
    test_cut();

    return done();
}


static void
test_round_trip(void)
{
    size_t           i, len;
    phrony_str_t     text;
    phrony_stored_t  stored, back;

    static const size_t  sizes[][2] = {
        { 0, 0 }, { 0, 1 }, { 1, 0 }, { 31, 300 },
        { PHRONY_STORED_TYPE_MAX, 256 },
        { 16, PHRONY_STORED_BODY_MAX },
        { PHRONY_STORED_TYPE_MAX, PHRONY_STORED_BODY_MAX }
    };

    for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        fill(&stored, 202, sizes[i][0], sizes[i][1]);

        len = phrony_stored_len(&stored);

        ok(len == PHRONY_STORED_HEAD + sizes[i][0] + sizes[i][1],
           "length of %zu and %zu", sizes[i][0], sizes[i][1]);
        ok(phrony_stored_pack(packed, &stored) == packed + len, "packed");

        text.data = packed;
        text.len = len;

        is_int(phrony_stored_unpack(&back, &text), 0, "unpacked");
        is_int(back.status, 202, "status");
        ok(phrony_str_eq(&back.type, &stored.type), "type");
        ok(phrony_str_eq(&back.body, &stored.body), "body");
    }
}


static void
test_bounds(void)
{
    phrony_stored_t  stored;

    fill(&stored, 199, 1, 1);
    is_int(phrony_stored_len(&stored), 0, "status 199");

    fill(&stored, 300, 1, 1);
    is_int(phrony_stored_len(&stored), 0, "status 300");

    fill(&stored, 299, PHRONY_STORED_TYPE_MAX + 1, 1);
    is_int(phrony_stored_len(&stored), 0, "a type too long");

    fill(&stored, 200, 1, PHRONY_STORED_BODY_MAX + 1);
    is_int(phrony_stored_len(&stored), 0, "a body too long");
}


static void
test_broken(void)
{
    phrony_stored_t  stored;

    ok(!unpacks("", 0), "nothing");
    ok(!unpacks("\0\312\0", 3), "a head cut off");
    ok(unpacks("\0\312\0\0", 4), "a head alone");
    ok(!unpacks("\0\312\0\1", 4), "a type cut off");
    ok(!unpacks("\0\312\1\0", 4), "a type cut off, of 256");
    ok(!unpacks("\0\1\0\0", 4), "status 1");
    ok(!unpacks("\1\312\0\0", 4), "status 458");
    ok(!unpacks("\377\377\377\377", 4), "all ones");

    ok(!unpacks("\0\312\0\3a\rb", 7), "a line's end in the type");
    ok(!unpacks("\0\312\0\3a\nb", 7), "likewise");
    ok(!unpacks("\0\312\0\3a\0b", 7), "NUL in the type");
    ok(!unpacks("\0\312\0\3a\177b", 7), "DEL in the type");
    ok(unpacks("\0\312\0\3a\tb\r\n", 9), "but they may be in the body");

    memset(packed, 'a', sizeof(packed));
    packed[0] = 0;
    packed[1] = 202;
    packed[2] = 1;
    packed[3] = 0;

    ok(!unpacks(packed, PHRONY_STORED_HEAD + 256), "a type of 256 bytes");

    fill(&stored, 202, 0, PHRONY_STORED_BODY_MAX);
    (void) phrony_stored_pack(packed, &stored);

    ok(!unpacks(packed, PHRONY_STORED_HEAD + PHRONY_STORED_BODY_MAX + 1),
       "a body too long");
}


/* Whatever is cut off is cut off the body, or else is noticed. */

static void
test_cut(void)
{
    size_t           n, len;
    phrony_stored_t  stored;

    fill(&stored, 202, 20, 40);

    len = phrony_stored_pack(packed, &stored) - packed;

    for (n = 0; n <= len; n++) {
        ok(unpacks(packed, n) == (n >= PHRONY_STORED_HEAD + 20),
           "%zu bytes of it", n);
    }
}


/* In memory of just that size, for the sanitizer. */

static int
unpacks(const void *data, size_t len)
{
    int              rc;
    phrony_str_t     text;
    phrony_stored_t  stored;

    text.len = len;
    text.data = malloc(len ? len : 1);
    memcpy(text.data, data, len);

    rc = phrony_stored_unpack(&stored, &text);

    free(text.data);

    return rc == 0;
}


static void
fill(phrony_stored_t *stored, unsigned status, size_t type, size_t body)
{
    stored->status = status;
    stored->type.len = type;
    stored->type.data = room;
    stored->body.len = body;
    stored->body.data = room + type;
}
