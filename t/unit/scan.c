
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "test.h"

#include "phrony_scan.h"


static void test_begins(void);
static void test_cut(void);
static void test_cut_all(void);
static void test_is_plain(void);
static void test_number(void);
static void test_nothing(void);


int
main(void)
{
    test_begins();
    test_cut();
    test_cut_all();
    test_is_plain();
    test_number();
    test_nothing();

    return done();
}


static void
test_begins(void)
{
    phrony_str_t  ab = phrony_str("ab"), abc = phrony_str("abc"),
                  abd = phrony_str("abd"), none = phrony_str("");

    is_int(phrony_scan_begins(&abc, &ab), 1, "abc begins with ab");
    is_int(phrony_scan_begins(&ab, &abc), 0, "ab does not with abc");
    is_int(phrony_scan_begins(&abc, &abd), 0, "abc does not with abd");
    is_int(phrony_scan_begins(&abc, &abc), 1, "abc begins with itself");
    is_int(phrony_scan_begins(&abc, &none), 1, "abc begins with nothing");

    is_int(phrony_scan_has(&abc, 'c'), 1, "abc has c");
    is_int(phrony_scan_has(&ab, 'c'), 0, "ab does not");
}


static void
test_cut(void)
{
    phrony_str_t  text = phrony_str("a:bc::d"), head;

    is_int(phrony_scan_cut(&text, ':', &head), 1, "the first colon");
    is_str(head.data, head.len, "a", "before it");
    is_str(text.data, text.len, "bc::d", "behind it");

    is_int(phrony_scan_cut(&text, ':', &head), 1, "the second colon");
    is_str(head.data, head.len, "bc", "before it");
    is_str(text.data, text.len, ":d", "behind it");

    is_int(phrony_scan_cut(&text, ':', &head), 1, "the third colon");
    is_str(head.data, head.len, "", "before it");
    is_str(text.data, text.len, "d", "behind it");

    is_int(phrony_scan_cut(&text, ':', &head), 0, "no colon");
    is_str(head.data, head.len, "d", "the rest");
    is_str(text.data, text.len, "", "behind it");

    is_int(phrony_scan_cut(&text, ':', &head), 0, "nothing");
    is_int(head.len, 0, "of nothing");
}


/* Any byte may be where it is cut, and be the last one. */

static void
test_cut_all(void)
{
    unsigned       ch, wrong;
    phrony_str_t   text, head;
    unsigned char  bytes[2];

    wrong = 0;

    for (ch = 0; ch < 256; ch++) {
        bytes[0] = (unsigned char) ~ch;
        bytes[1] = (unsigned char) ch;
        text.data = bytes;
        text.len = 2;

        wrong += phrony_scan_has(&text, (char) ch) != 1;
        wrong += phrony_scan_cut(&text, (char) ch, &head) != 1;
        wrong += head.len != 1 || text.len != 0;
    }

    ok(wrong == 0, "each byte");
}


static void
test_is_plain(void)
{
    unsigned       ch, wrong;
    phrony_str_t   text;
    unsigned char  byte;

    wrong = 0;
    text.data = &byte;
    text.len = 1;

    for (ch = 0; ch < 256; ch++) {
        byte = (unsigned char) ch;

        wrong += phrony_scan_is_digits(&text)
                 != (ch >= '0' && ch <= '9');
        wrong += phrony_scan_is_plain(&text, "-_")
                 != ((ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'z')
                     || (ch >= 'A' && ch <= 'Z') || ch == '-' || ch == '_');
    }

    ok(wrong == 0, "each byte");
}


static void
test_number(void)
{
    size_t        i;
    unsigned      n;
    phrony_str_t  text;
    const struct {
        const char  *text;
        unsigned     max;
        int          rc;
        unsigned     number;
    } cases[] = {
        { "0", 0, 0, 0 },
        { "7", 7, 0, 7 },
        { "8", 7, -1, 99 },
        { "10", 9, -1, 99 },
        { "4294967295", 4294967295U, 0, 4294967295U },
        { "4294967296", 4294967295U, -1, 99 },
        { "18446744073709551617", 4294967295U, -1, 99 },
        { "99999999999999999999999999999999", 4294967295U, -1, 99 },
        { "", 9, -1, 99 },
        { "00", 9, -1, 99 },
        { "07", 9, -1, 99 },
        { "-1", 9, -1, 99 },
        { "+1", 9, -1, 99 },
        { " 1", 9, -1, 99 },
        { "1 ", 9, -1, 99 },
        { "1a", 99, -1, 99 }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        n = 99;
        text = str(cases[i].text);

        ok(phrony_scan_number(&text, cases[i].max, &n) == cases[i].rc
           && n == cases[i].number, "\"%s\" up to %u", cases[i].text,
           cases[i].max);
    }
}


/* A text of nothing need not be anywhere. */

static void
test_nothing(void)
{
    unsigned      n;
    phrony_str_t  text = { 0, NULL }, head;

    phrony_scan_skip(&text, 0);

    is_int(phrony_scan_has(&text, 'a'), 0, "nothing has nothing");
    is_int(phrony_scan_cut(&text, 'a', &head), 0, "nothing to cut");
    is_int(head.len + text.len, 0, "of nothing");
    is_int(phrony_scan_is_plain(&text, ""), 1, "nothing is plain");
    is_int(phrony_scan_is_digits(&text), 1, "nothing is digits");
    is_int(phrony_scan_number(&text, 9, &n), -1, "nothing is no number");
}
