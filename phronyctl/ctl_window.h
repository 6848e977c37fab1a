
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef CTL_WINDOW_H_
#define CTL_WINDOW_H_


#include "phrony_window.h"


/* What Redis has counted of a trigger, moved on to a time. */

typedef struct {
    phrony_window_minute_t  minute;
    phrony_window_day_t     day;
} ctl_windows_t;


/*
 * Reads a window key as admit.lua describes it, or a reads key as read.lua
 * does, of which only the minute is set, and moves them on to "now" (ms of
 * the clock of Redis).  An empty text is a window in which nothing happened.
 * Returns 0, or -1 if it is something else.
 */

int ctl_window_starts(ctl_windows_t *windows, const phrony_str_t *text,
    uint64_t now);
int ctl_window_reads(ctl_windows_t *windows, const phrony_str_t *text,
    uint64_t now);


#endif /* CTL_WINDOW_H_ */
