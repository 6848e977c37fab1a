
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "ctl_options.h"
#include "ctl_output.h"
#include "ctl_usage.h"


static void ctl_top_interrupt(int signo);
static void ctl_top_frame(int64_t interval);


static volatile sig_atomic_t  ctl_top_stop;


/*
 * On a terminal each look stands where the last one stood; else they follow
 * one another, with --json one document a line.
 */

ctl_code_t
ctl_top(ctl_t *ctl)
{
    int                live;
    int64_t            interval, count, limit;
    ctl_code_t         code;
    struct sigaction   action;

    interval = 2000;
    count = INT64_MAX;
    limit = 20;

    code = ctl_option_time(ctl, "interval", &interval);

    if (code == CTL_OK) {
        code = ctl_option_number(ctl, "count", INT64_MAX, &count);
    }

    if (code == CTL_OK) {
        code = ctl_option_number(ctl, "limit", 1000000, &limit);
    }

    memset(&action, 0, sizeof(action));
    action.sa_handler = ctl_top_interrupt;
    (void) sigaction(SIGINT, &action, NULL);
    (void) sigaction(SIGTERM, &action, NULL);

    live = isatty(STDOUT_FILENO) && !ctl->json;

    while (code == CTL_OK && count-- > 0 && !ctl_top_stop) {

        if (live) {
            ctl_top_frame(interval);
        }

        code = ctl_usage_look(ctl, limit);

        if (fflush(stdout) == EOF) {
            break;
        }

        if (count > 0 && !ctl_top_stop) {
            (void) poll(NULL, 0, interval > 3600000 ? 3600000
                                                    : (int) interval);
        }
    }

    return ctl_top_stop ? CTL_OK : code;
}


static void
ctl_top_interrupt(int signo)
{
    ctl_top_stop = signo;
}


static void
ctl_top_frame(int64_t interval)
{
    char        text[32], every[32];
    time_t      now;
    struct tm   tm;

    now = time(NULL);
    strftime(text, sizeof(text), "%H:%M:%S", localtime_r(&now, &tm));

    printf("\x1b[H\x1b[2Jphronyctl top  %s, every %s, ^C ends it\n\n", text,
           ctl_duration(every, sizeof(every), interval));
}
