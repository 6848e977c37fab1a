
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ctl_window.h"


#define CTL_WINDOW_STARTS  0x01574850      /* "PHW\1" */
#define CTL_WINDOW_READS   0x01524850      /* "PHR\1" */

#define CTL_WINDOW_HEAD    40
#define CTL_READS_HEAD     24


static uint32_t ctl_window_number(const phrony_str_t *text, size_t at);
static void ctl_window_ring(phrony_window_t *window,
    const phrony_window_shape_t *shape, const phrony_str_t *text,
    size_t at);


int
ctl_window_starts(ctl_windows_t *windows, const phrony_str_t *text,
    uint64_t now)
{
    phrony_window_t  *minute, *day;

    memset(windows, 0, sizeof(ctl_windows_t));

    minute = &windows->minute.window;
    day = &windows->day.window;

    if (text->len) {

        if (text->len != CTL_WINDOW_HEAD
                         + 4 * (PHRONY_MINUTE_PLACES + PHRONY_DAY_PLACES)
            || ctl_window_number(text, 0) != CTL_WINDOW_STARTS)
        {
            return -1;
        }

        minute->bucket = ctl_window_number(text, 4);
        day->bucket = ctl_window_number(text, 12);

        ctl_window_ring(minute, &phrony_window_minute, text,
                        CTL_WINDOW_HEAD);
        ctl_window_ring(day, &phrony_window_day, text,
                        CTL_WINDOW_HEAD + 4 * PHRONY_MINUTE_PLACES);

        windows->minute.ring[minute->bucket % PHRONY_MINUTE_PLACES]
            = ctl_window_number(text, 28);
        windows->day.ring[day->bucket % PHRONY_DAY_PLACES]
            = ctl_window_number(text, 36);
    }

    phrony_window_repair(minute, &phrony_window_minute);
    phrony_window_repair(day, &phrony_window_day);

    phrony_window_advance(minute, &phrony_window_minute, now);
    phrony_window_advance(day, &phrony_window_day, now);

    return 0;
}


int
ctl_window_reads(ctl_windows_t *windows, const phrony_str_t *text,
    uint64_t now)
{
    phrony_window_t  *minute;

    memset(windows, 0, sizeof(ctl_windows_t));

    minute = &windows->minute.window;

    if (text->len) {

        if (text->len != CTL_READS_HEAD + 4 * PHRONY_MINUTE_PLACES
            || ctl_window_number(text, 0) != CTL_WINDOW_READS)
        {
            return -1;
        }

        minute->bucket = ctl_window_number(text, 4);

        ctl_window_ring(minute, &phrony_window_minute, text, CTL_READS_HEAD);

        windows->minute.ring[minute->bucket % PHRONY_MINUTE_PLACES]
            = ctl_window_number(text, 16);
    }

    phrony_window_repair(minute, &phrony_window_minute);
    phrony_window_advance(minute, &phrony_window_minute, now);

    return 0;
}


static uint32_t
ctl_window_number(const phrony_str_t *text, size_t at)
{
    const unsigned char  *p;

    p = text->data + at;

    return p[0] | (uint32_t) p[1] << 8 | (uint32_t) p[2] << 16
           | (uint32_t) p[3] << 24;
}


/* The counters stand behind the window, see phrony_window.h. */

static void
ctl_window_ring(phrony_window_t *window, const phrony_window_shape_t *shape,
    const phrony_str_t *text, size_t at)
{
    uint32_t   i, *ring;

    ring = (uint32_t *) (window + 1);

    for (i = 0; i < shape->places; i++) {
        ring[i] = ctl_window_number(text, at + i * 4);
    }
}
