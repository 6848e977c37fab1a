
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "test.h"

#include "ctl_window.h"


#define HEAD   40
#define WHOLE  (HEAD + 4 * (PHRONY_MINUTE_PLACES + PHRONY_DAY_PLACES))


static void test_empty(void);
static void test_strange(void);
static void test_random(void);
static void test_reads(void);
static void put(unsigned char *text, size_t at, uint32_t number);
static void write_window(unsigned char *text, size_t at, size_t newest,
    const phrony_window_t *window, const phrony_window_shape_t *shape);


int
main(void)
{
    test_empty();
    test_strange();
    test_random();
    test_reads();

    return done();
}


static void
test_empty(void)
{
    phrony_str_t   text;
    ctl_windows_t  windows;

    text.data = NULL;
    text.len = 0;

    is_int(ctl_window_starts(&windows, &text, 1700000000000), 0, "no key");
    is_int(windows.minute.window.sum, 0, "no starts in the minute");
    is_int(windows.day.window.sum, 0, "nor in the day");
    is_int(ctl_window_reads(&windows, &text, 1700000000000), 0, "no reads");
}


static void
test_strange(void)
{
    phrony_str_t    text;
    unsigned char   bytes[WHOLE + 1];
    ctl_windows_t   windows;

    memset(bytes, 0, sizeof(bytes));
    put(bytes, 0, 0x01574850);

    text.data = bytes;

    for (text.len = 1; text.len <= sizeof(bytes); text.len++) {
        if (text.len != WHOLE && ctl_window_starts(&windows, &text, 0) == 0) {
            break;
        }
    }

    is_int(text.len, sizeof(bytes) + 1, "any other length is refused");

    text.len = WHOLE;
    is_int(ctl_window_starts(&windows, &text, 0), 0, "the right one is not");

    put(bytes, 0, 0x02574850);
    is_int(ctl_window_starts(&windows, &text, 0), -1, "another layout");
}


/*
 * Starts are counted by core's window, and are written as admit.lua does: the
 * newest bucket's count stands in the header, its place in the ring is stale.
 */

static void
test_random(void)
{
    int                     i, round, wrong;
    uint64_t                now;
    phrony_str_t            text;
    ctl_windows_t           windows;
    unsigned char           bytes[WHOLE];
    phrony_window_day_t     day;
    phrony_window_minute_t  minute;

    wrong = 0;
    text.data = bytes;
    text.len = sizeof(bytes);

    for (round = 0; round < 500; round++) {
        memset(&minute, 0, sizeof(minute));
        memset(&day, 0, sizeof(day));
        memset(bytes, 0, sizeof(bytes));

        now = 1700000000000 + random_bits() % 1000000000;

        for (i = 0; i < 200; i++) {
            now += random_below(2) ? random_below(900) : random_below(900000);

            phrony_window_advance(&minute.window, &phrony_window_minute, now);
            phrony_window_advance(&day.window, &phrony_window_day, now);
            phrony_window_count(&minute.window, &phrony_window_minute);
            phrony_window_count(&day.window, &phrony_window_day);
        }

        put(bytes, 0, 0x01574850);
        put(bytes, 4, (uint32_t) minute.window.bucket);
        put(bytes, 12, (uint32_t) day.window.bucket);
        write_window(bytes, HEAD, 28, &minute.window, &phrony_window_minute);
        write_window(bytes, HEAD + 4 * PHRONY_MINUTE_PLACES, 36, &day.window,
                     &phrony_window_day);

        now += random_below(3) ? random_below(120000)
                               : random_below(200000000);

        phrony_window_advance(&minute.window, &phrony_window_minute, now);
        phrony_window_advance(&day.window, &phrony_window_day, now);

        if (ctl_window_starts(&windows, &text, now) != 0
            || windows.minute.window.sum != minute.window.sum
            || windows.day.window.sum != day.window.sum
            || phrony_window_wait(&windows.day.window, &phrony_window_day, 3,
                                  now)
               != phrony_window_wait(&day.window, &phrony_window_day, 3, now)
            || phrony_window_reset(&windows.minute.window,
                                   &phrony_window_minute, 3, now)
               != phrony_window_reset(&minute.window, &phrony_window_minute,
                                      3, now))
        {
            wrong++;
        }
    }

    is_int(wrong, 0, "500 windows are what core counts");
}


static void
test_reads(void)
{
    phrony_str_t    text;
    ctl_windows_t   windows;
    unsigned char   bytes[24 + 4 * PHRONY_MINUTE_PLACES];

    memset(bytes, 0, sizeof(bytes));

    put(bytes, 0, 0x01524850);
    put(bytes, 4, 1700000000);
    put(bytes, 16, 5);
    put(bytes, 24 + 4 * (1699999990 % PHRONY_MINUTE_PLACES), 2);

    text.data = bytes;
    text.len = sizeof(bytes);

    is_int(ctl_window_reads(&windows, &text, 1700000000500), 0, "reads");
    is_int(windows.minute.window.sum, 7, "of both buckets");
    (void) ctl_window_reads(&windows, &text, 1700000051000);
    is_int(windows.minute.window.sum, 5, "the older one leaves");
    (void) ctl_window_reads(&windows, &text, 1700000061000);
    is_int(windows.minute.window.sum, 0, "and the other");

    text.len--;
    is_int(ctl_window_reads(&windows, &text, 0), -1, "one that was cut");
}


static void
put(unsigned char *text, size_t at, uint32_t number)
{
    text[at] = (unsigned char) number;
    text[at + 1] = (unsigned char) (number >> 8);
    text[at + 2] = (unsigned char) (number >> 16);
    text[at + 3] = (unsigned char) (number >> 24);
}


static void
write_window(unsigned char *text, size_t at, size_t newest,
    const phrony_window_t *window, const phrony_window_shape_t *shape)
{
    uint32_t         i, place;
    const uint32_t  *ring;

    ring = (const uint32_t *) (window + 1);

    for (i = 0; i < shape->places; i++) {
        put(text, at + i * 4, ring[i]);
    }

    place = (uint32_t) (window->bucket % shape->places);

    put(text, newest, ring[place]);
    put(text, at + place * 4, random_below(9));
}
