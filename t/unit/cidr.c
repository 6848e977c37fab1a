
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "test.h"

#include <arpa/inet.h>

#include "phrony_cidr.h"


/* A block, and its address as the C library reads it and prefix. */

typedef struct {
    const char      *text;
    const char      *address;
    unsigned         prefix;
} vector_t;


typedef struct {
    const char      *block;
    const char      *address;
    int              contained;
} match_t;


static void test_valid(void);
static void test_broken(void);
static void test_every_prefix(void);
static void test_address(void);
static void test_match(void);
static void test_match_list(void);
static void test_match_bits(void);
static void test_library(void);
static int parse(const char *text, size_t len, phrony_cidr_t *cidr);
static void set(phrony_address_t *addr, const char *text);
static void compose(char *text, size_t size);
static int contains(const phrony_cidr_t *cidr, const phrony_address_t *addr);


static const vector_t  valid[] = {
    { "10.0.0.0/8", "10.0.0.0", 8 },
    { "192.0.2.0/24", "192.0.2.0", 24 },
    { "192.0.2.1", "192.0.2.1", 32 },
    { "192.0.2.1/32", "192.0.2.1", 32 },
    { "192.0.2.128/25", "192.0.2.128", 25 },
    { "192.0.2.254/31", "192.0.2.254", 31 },
    { "0.0.0.0/0", "0.0.0.0", 0 },
    { "0.0.0.0", "0.0.0.0", 32 },
    { "128.0.0.0/1", "128.0.0.0", 1 },
    { "255.255.255.255", "255.255.255.255", 32 },
    { "100.64.0.0/10", "100.64.0.0", 10 },

    { "::/0", "::", 0 },
    { "::", "::", 128 },
    { "::1", "::1", 128 },
    { "::1/128", "::1", 128 },
    { "1::", "1::", 128 },
    { "2001:db8::/32", "2001:db8::", 32 },
    { "2001:DB8::/32", "2001:db8::", 32 },
    { "2001:db8:0:0:0:0:0:0/32", "2001:db8::", 32 },
    { "2001:0db8:0000:0000:0000:0000:0000:0000/32", "2001:db8::", 32 },
    { "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8", 128 },
    { "1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0", 128 },
    { "::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8", 128 },
    { "1:2:3::5:6:7:8", "1:2:3:0:5:6:7:8", 128 },
    { "1::8", "1:0:0:0:0:0:0:8", 128 },
    { "fe80::/10", "fe80::", 10 },
    { "8000::/1", "8000::", 1 },
    { "fFfF:fFfF:fFfF:fFfF:fFfF:fFfF:fFfF:fFfF",
      "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 128 },
    { "64:ff9b::192.0.2.33", "64:ff9b::c000:221", 128 },
    { "64:ff9b::192.0.2.0/120", "64:ff9b::c000:200", 120 },
    { "1:2:3:4:5:6:192.0.2.33", "1:2:3:4:5:6:c000:221", 128 },
    { "::192.0.2.33", "::c000:221", 128 },
    { "::fffe:0:0/96", "::fffe:0:0", 96 },
    { "::ffff:0:0:0/96", "::ffff:0:0:0", 96 },
    { "::8000:0:0/81", "::8000:0:0", 81 },

    /* mapped ones are IPv4 */
    { "::ffff:10.0.0.0/104", "10.0.0.0", 8 },
    { "::ffff:0:0/96", "0.0.0.0", 0 },
    { "::ffff:0.0.0.0/96", "0.0.0.0", 0 },
    { "::ffff:192.0.2.1", "192.0.2.1", 32 },
    { "::FFFF:c000:201/128", "192.0.2.1", 32 },
    { "0:0:0:0:0:ffff:192.0.2.0/120", "192.0.2.0", 24 }
};


static const char  *broken[] = {
    "", " ", "/", "/8", "x", "any", "localhost", "*", "-1",
    "10", "10.", "10.0", "10.0.0", "10.0.0.", "10.0.0.0.", "10.0.0.0.0",
    ".10.0.0.0", "10..0.0", "10.0.0.0x", "x10.0.0.0", "10.0.0.x",
    "10.0.0.256", "256.0.0.0", "10.0.0.1000", "10.0.0.4294967296",
    "10.0.0.18446744073709551616", "10.0.0.-1", "10.0.0.+1", "-10.0.0.0",
    "010.0.0.0", "10.00.0.0", "10.0.0.01", "10.0.0.000", "0x10.0.0.0",
    "10.0.0.0x1", "10.0.0.a", "3232235777", "0xc0a80101", "10.0.0.0,",
    "10.0.0.0/8,10.0.0.0/8", "10.0.0.0 10.0.0.1", "10.0.0.0-10.0.0.9",
    "10.0.0.0/255.0.0.0",
    " 10.0.0.0/8", "10.0.0.0/8 ", "10.0.0.0 /8", "10.0.0.0/ 8",
    "10.0.0.0\n", "\t10.0.0.0", "10.0.0.0/8\r\n", "10. 0.0.0",
    "10.0.0.0/", "10.0.0.0//8", "10.0.0.0/x", "10.0.0.0/8x", "10.0.0.0/-8",
    "10.0.0.0/+8", "10.0.0.0/08", "10.0.0.0/008", "0.0.0.0/00",
    "10.0.0.0/33", "10.0.0.0/128", "10.0.0.0/4294967304", "10.0.0.0/8/8",
    "10.0.0.0/0x8", "10.0.0.0\\8", "10.0.0.0%8",
    "10.0.0.1/8", "10.1.0.0/8", "10.0.0.0/6", "10.0.0.0/0", "128.0.0.0/0",
    "192.0.2.1/31", "192.0.2.129/25", "255.255.255.255/31",

    ":", ":::", "1", "1:", ":1", ":1:2:3:4:5:6:7", ":1:2:3:4:5:6:7:8",
    "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:", "1:2:3:4:5:6:7:8:",
    "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::", "::1:2:3:4:5:6:7:8",
    "1:2:3:4::5:6:7:8", "1::2::3", "::1::", ":::1", "1:::2", "1:::",
    "::1:", ":1::", "12345::", "::12345", "00001::", "g::", "::g", "1::x",
    "2001:db8", "2001:db8:", "2001:db8::x", "[::1]", "[::1", "::1]",
    "fe80::1%eth0", "fe80::1%1", "fe80::%", "::1%lo/128", "fe80::%1/10",
    "::/129", "::/1000", "::/", "::/-1", "::/00", "::/064", "::/0x40",
    "::/x", "::/4294967296", ":: /0", " ::/0", "::/0 ", "::\n", "::/64/64",
    "2001:db8::1/32", "2001:db8::/28", "::1/127", "::1/0", "8000::/0",
    "::ffff:0:0/95", "::ffff:0:0/80", "::ffff:10.0.0.1/104",
    "::ffff:10.0.0.0/96",
    "::ffff:10.0.0.0/8", "::ffff:10.0.0.0/32",
    "::10.0.0", "::10.0.0.", "::10.0.0.256", "::10.0.0.01", "::10.0.0.0.0",
    "::10.0.0.0:1", "10.0.0.0::", "10.0.0.0:1:2:3:4:5:6", "1:10.0.0.0",
    "1:2:3:4:5:6:7:10.0.0.0", "1:2:3:4:5:6:7:8:10.0.0.0",
    "1:2:3:4:5:10.0.0.0", "::1:2:3:4:5:6:10.0.0.0", "1:2:3:4:5:6:1.2.3.4::",
    "::a.0.0.0", "::0x1.0.0.0", "::.1.2.3", "::1.2.3.4.", "::1.2.3.4/129",
    "\xc2\xb2::", "\xd9\xa1.0.0.0", "1\xe3\x80\x82.0.0"
};


static const match_t  matches[] = {
    { "10.0.0.0/8", "10.0.0.0", 1 },
    { "10.0.0.0/8", "10.255.255.255", 1 },
    { "10.0.0.0/8", "9.255.255.255", 0 },
    { "10.0.0.0/8", "11.0.0.0", 0 },
    { "192.0.2.128/25", "192.0.2.128", 1 },
    { "192.0.2.128/25", "192.0.2.255", 1 },
    { "192.0.2.128/25", "192.0.2.127", 0 },
    { "192.0.2.1", "192.0.2.1", 1 },
    { "192.0.2.1", "192.0.2.0", 0 },
    { "0.0.0.0/0", "255.255.255.255", 1 },
    { "0.0.0.0/0", "::1", 0 },
    { "0.0.0.0/0", "::ffff:1.2.3.4", 1 },
    { "0.0.0.0", "::", 0 },
    { "::/0", "2001:db8::1", 1 },
    { "::/0", "1.2.3.4", 0 },
    { "::/0", "::ffff:1.2.3.4", 0 },
    { "::/0", "::1.2.3.4", 1 },
    { "::", "0.0.0.0", 0 },
    { "2001:db8::/32", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", 1 },
    { "2001:db8::/32", "2001:db9::", 0 },
    { "2001:db8::/33", "2001:db8:7fff::", 1 },
    { "2001:db8::/33", "2001:db8:8000::", 0 },
    { "::1", "::1", 1 },
    { "::1", "::2", 0 },
    { "::ffff:10.0.0.0/104", "10.1.2.3", 1 },
    { "::ffff:10.0.0.0/104", "::ffff:10.1.2.3", 1 },
    { "::ffff:10.0.0.0/104", "11.1.2.3", 0 },
    { "::ffff:0:0/96", "1.2.3.4", 1 },
    { "::ffff:0:0/96", "::1", 0 },
    { "10.0.0.0/8", "::ffff:10.1.2.3", 1 },
    { "10.0.0.0/8", "::10.1.2.3", 0 },
    { "10.0.0.0/8", "a00::", 0 },
    { "a00::/8", "10.0.0.0", 0 }
};


int
main(void)
{
    test_valid();
    test_broken();
    test_every_prefix();
    test_address();
    test_match();
    test_match_list();
    test_match_bits();
    test_library();

    return done();
}


static void
test_valid(void)
{
    int               rc;
    size_t            i;
    unsigned          len;
    unsigned char     bytes[16];
    phrony_cidr_t     cidr;
    const vector_t   *v;

    for (i = 0; i < sizeof(valid) / sizeof(valid[0]); i++) {
        v = &valid[i];
        len = strchr(v->address, ':') ? 16 : 4;
        memset(bytes, 0, sizeof(bytes));
        inet_pton(len == 16 ? AF_INET6 : AF_INET, v->address, bytes);

        memset(&cidr, 0x5a, sizeof(cidr));
        rc = parse(v->text, strlen(v->text), &cidr);

        ok(rc == 0 && cidr.len == len && cidr.prefix == v->prefix
           && memcmp(cidr.bytes, bytes, 16) == 0,
           "\"%s\" is %s/%u", v->text, v->address, v->prefix);
    }
}


static void
test_broken(void)
{
    size_t         i;
    phrony_cidr_t  cidr;

    for (i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        is_int(parse(broken[i], strlen(broken[i]), &cidr), -1,
               show(broken[i], strlen(broken[i])));
    }

    is_int(parse("10.0.0.0\0", 9, &cidr), -1, "trailing NUL");
    is_int(parse("10.0.0.0/8\0", 11, &cidr), -1, "NUL behind a prefix");
    is_int(parse("\0" "10.0.0.0", 9, &cidr), -1, "leading NUL");
    is_int(parse("::\0", 3, &cidr), -1, "NUL behind IPv6");
    is_int(parse("10.0.0.0/8", 9, &cidr), -1, "cut behind the slash");
    is_int(parse("10.0.0.0/8", 8, &cidr), 0, "cut before the slash");
}


static void
test_every_prefix(void)
{
    char           text[64];
    unsigned       n;
    phrony_cidr_t  cidr;

    for (n = 0; n <= 300; n++) {
        snprintf(text, sizeof(text), "0.0.0.0/%u", n);
        ok(parse(text, strlen(text), &cidr) == (n <= 32 ? 0 : -1)
           && (n > 32 || cidr.prefix == n), "%s", text);

        snprintf(text, sizeof(text), "::/%u", n);
        ok(parse(text, strlen(text), &cidr) == (n <= 128 ? 0 : -1)
           && (n > 128 || cidr.prefix == n), "%s", text);

        /* with a bit that only a whole prefix covers */

        snprintf(text, sizeof(text), "0.0.0.1/%u", n);
        is_int(parse(text, strlen(text), &cidr), n == 32 ? 0 : -1, text);

        snprintf(text, sizeof(text), "::1/%u", n);
        is_int(parse(text, strlen(text), &cidr), n == 128 ? 0 : -1, text);
    }
}


static void
test_address(void)
{
    size_t            len;
    phrony_cidr_t     all[3];
    phrony_address_t  addr;
    unsigned char     bytes[32];

    memset(bytes, 0, sizeof(bytes));
    memset(all, 0, sizeof(all));
    parse("0.0.0.0/0", 9, &all[0]);
    parse("::/0", 4, &all[1]);

    for (len = 0; len <= sizeof(bytes); len++) {
        phrony_address_set(&addr, bytes, len);

        ok(addr.len == (len == 4 || len == 16 ? len : 0),
           "length of an address of %u bytes", (unsigned) len);
        ok(phrony_cidr_match(all, 3, &addr) == (len == 4 || len == 16),
           "every block, an address of %u bytes", (unsigned) len);
    }

    set(&addr, "::ffff:192.0.2.7");
    ok(addr.len == 4 && memcmp(addr.bytes, "\xc0\x00\x02\x07", 4) == 0,
       "a mapped address is IPv4");

    set(&addr, "::192.0.2.7");
    is_int(addr.len, 16, "a compatible address is IPv6");

    set(&addr, "::fffe:192.0.2.7");
    is_int(addr.len, 16, "a nearly mapped address is IPv6");

    set(&addr, "1::ffff:192.0.2.7");
    is_int(addr.len, 16, "so is one that begins otherwise");
}


static void
test_match(void)
{
    size_t            i;
    phrony_cidr_t     cidr;
    const match_t    *m;
    phrony_address_t  addr;

    for (i = 0; i < sizeof(matches) / sizeof(matches[0]); i++) {
        m = &matches[i];

        parse(m->block, strlen(m->block), &cidr);
        set(&addr, m->address);

        ok(phrony_cidr_match(&cidr, 1, &addr) == m->contained,
           "%s %s %s", m->block, m->contained ? "contains" : "is without",
           m->address);
    }
}


static void
test_match_list(void)
{
    size_t            i, n;
    phrony_cidr_t     cidrs[4];
    phrony_address_t  addr;
    const char       *blocks[4] = {
        "10.0.0.0/8", "2001:db8::/32", "192.0.2.0/24", "::1"
    };
    const char       *addrs[4] = {
        "10.1.1.1", "2001:db8::1", "192.0.2.9", "::1"
    };

    for (i = 0; i < 4; i++) {
        parse(blocks[i], strlen(blocks[i]), &cidrs[i]);
    }

    for (i = 0; i < 4; i++) {
        set(&addr, addrs[i]);

        for (n = 0; n <= 4; n++) {
            ok(phrony_cidr_match(cidrs, n, &addr) == (i < n),
               "%s in the first %u blocks", addrs[i], (unsigned) n);
        }
    }

    set(&addr, "198.51.100.1");
    is_int(phrony_cidr_match(cidrs, 4, &addr), 0, "in none of four");
    is_int(phrony_cidr_match(NULL, 0, &addr), 0, "no blocks");
}


/* Of an address, each bit before the prefix counts and none behind it. */

static void
test_match_bits(void)
{
    unsigned          len, prefix, bit, i, wrong;
    phrony_cidr_t     cidr;
    phrony_address_t  addr;

    for (len = 4; len <= 16; len += 12) {
        for (prefix = 0; prefix <= len * 8; prefix++) {

            memset(&cidr, 0, sizeof(cidr));
            cidr.len = (unsigned char) len;
            cidr.prefix = (unsigned char) prefix;

            for (i = 0; i < prefix; i++) {
                cidr.bytes[i / 8] = (unsigned char)
                    (cidr.bytes[i / 8] | random_below(2) << (7 - i % 8));
            }

            addr.len = cidr.len;
            memcpy(addr.bytes, cidr.bytes, 16);
            wrong = !contains(&cidr, &addr);

            for (bit = 0; bit < len * 8; bit++) {
                addr.bytes[bit / 8] ^= (unsigned char) (0x80 >> bit % 8);
                wrong += contains(&cidr, &addr) != (bit >= prefix);
                addr.bytes[bit / 8] ^= (unsigned char) (0x80 >> bit % 8);
            }

            ok(wrong == 0, "each bit of %u bytes with /%u", len, prefix);
        }
    }
}


/* The C library and we agree about many texts of which half are addresses. */

static void
test_library(void)
{
    char              text[128];
    unsigned          i, wrong, valid4, valid6;
    unsigned char     bytes[16];
    phrony_cidr_t     cidr;
    phrony_address_t  want;

    wrong = valid4 = valid6 = 0;

    for (i = 0; i < 200000; i++) {
        compose(text, sizeof(text));

        memset(&want, 0, sizeof(want));

        if (inet_pton(AF_INET, text, bytes) == 1) {
            phrony_address_set(&want, bytes, 4);
            valid4++;

        } else if (inet_pton(AF_INET6, text, bytes) == 1) {
            phrony_address_set(&want, bytes, 16);
            valid6++;
        }

        if (parse(text, strlen(text), &cidr) != (want.len ? 0 : -1)
            || (want.len && (cidr.len != want.len
                             || cidr.prefix != want.len * 8
                             || memcmp(cidr.bytes, want.bytes, 16) != 0)))
        {
            printf("# differs: \"%s\"\n", text);
            wrong++;
        }
    }

    ok(wrong == 0, "as the C library reads them");
    ok(valid4 > 1000 && valid6 > 10000, "%u IPv4 and %u IPv6 addresses",
       valid4, valid6);
}


/* Something like an address: groups, colons, dots, and now and then worse. */

static void
compose(char *text, size_t size)
{
    size_t       i, n, len;
    const char  *part;
    char         group[16];
    const char  *joints[] = { "::", ".", "", ":::", "/" };

    n = random_below(10);
    len = 0;
    text[0] = '\0';

    if (random_below(4) == 0) {
        len = (size_t) snprintf(text, size, "::");
    }

    for (i = 0; i < n; i++) {
        snprintf(group, sizeof(group), "%x",
                 random_below(2) ? random_below(65536) : random_below(1000000)
                                                       % 17);
        part = random_below(8) ? ":" : joints[random_below(5)];
        len += (size_t) snprintf(text + len, size - len, "%s%s",
                                 (i == 0) ? "" : part, group);
    }

    if (random_below(3) == 0) {
        snprintf(text + len, size - len, "%s%u.%u.%u.%u",
                 n ? ":" : "", random_below(260), random_below(260),
                 random_below(260), random_below(260));

    } else if (random_below(8) == 0) {
        snprintf(text + len, size - len, "::");
    }
}


/* From a block of exactly this size, so that reading on is noticed. */

static int
parse(const char *text, size_t len, phrony_cidr_t *cidr)
{
    int           rc;
    phrony_str_t  s;

    s.len = len;
    s.data = NULL;

    if (len) {
        s.data = malloc(len);
        memcpy(s.data, text, len);
    }

    rc = phrony_cidr_parse(&s, cidr);

    free(s.data);

    return rc;
}


static void
set(phrony_address_t *addr, const char *text)
{
    unsigned char  bytes[16];

    if (inet_pton(AF_INET, text, bytes) == 1) {
        phrony_address_set(addr, bytes, 4);

    } else if (inet_pton(AF_INET6, text, bytes) == 1) {
        phrony_address_set(addr, bytes, 16);

    } else {
        abort();
    }
}


static int
contains(const phrony_cidr_t *cidr, const phrony_address_t *addr)
{
    return phrony_cidr_match(cidr, 1, addr);
}
