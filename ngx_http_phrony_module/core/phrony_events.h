
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef PHRONY_EVENTS_H_
#define PHRONY_EVENTS_H_


#include "phrony_outline.h"
#include "phrony_uuid.h"


#define PHRONY_EVENTS_IDS  3


PHRONY_HIDDEN_BEGIN


/*
 * Watches one run's stream of server-sent events (text/event-stream of the
 * WHATWG's HTML standard, 9.2) while it passes by in pieces of any size,
 * without keeping it: what is told of a run, not how long the telling is,
 * takes room here.
 *
 *     START --- byte order mark, or none ---> FIELD
 *
 *     FIELD --- "data:" ---> SPACE ---> VALUE ---+
 *       |                                        +--- end of line ---> FIELD
 *       +------ any other ---> SKIP -------------+    (by way of CR, if it is
 *       |                                              one)
 *       +------ end of line: dispatches the event if the line is empty
 *
 * An event's data is one JSON object that may go over several lines; it has
 * the strings "kind" and "subject" and the object "data".  "data" names the
 * run whose UUID is the first of the strings "runId", "run_id" and "id" that
 * it has.  Escapes are decoded, members stand in any order, and of one that is
 * repeated the last counts.  A subject of more than PHRONY_TEXT_MAX bytes ends
 * no run.  What phrony_outline_t skips is not proved to be JSON.
 */

typedef enum {
    PHRONY_EVENTS_START = 0,    /* in what may be a byte order mark */
    PHRONY_EVENTS_FIELD,        /* in a line's name, as long as it fits */
    PHRONY_EVENTS_SPACE,        /* after "data:" */
    PHRONY_EVENTS_VALUE,        /* in a line of data */
    PHRONY_EVENTS_SKIP,         /* in any other line */
    PHRONY_EVENTS_CR            /* after a CR: a LF belongs to it */
} phrony_events_state_t;


/* Whom one of the three names of a run means. */

typedef enum {
    PHRONY_EVENTS_NOBODY = 0,   /* no string, or none at all */
    PHRONY_EVENTS_THIS,
    PHRONY_EVENTS_ANOTHER
} phrony_events_id_t;


typedef struct {
    unsigned char     state;
    unsigned char     matched;      /* bytes of the mark, or of "data" */
    unsigned char     ids[PHRONY_EVENTS_IDS];

    unsigned          ended:1;      /* an end of the run was seen */
    unsigned          seen:1;       /* an event of it, since last asked */

                                    /* of the event that is being read */
    unsigned          open:1;       /* it has a line of data */
    unsigned          broken:1;     /* a string of it goes over a line's end */
    unsigned          has_kind:1;
    unsigned          has_subject:1;
    unsigned          of_run:1;     /* the kind is "run" or "session" */
    unsigned          is_end:1;     /* the subject says that it is over */

    phrony_uuid_t     run_id;
    phrony_outline_t  outline;
} phrony_events_t;


/* Makes ready for the first byte of the stream of the run "run_id". */

void phrony_events_init(phrony_events_t *events,
    const phrony_uuid_t *run_id);


/*
 * Reads on.  May be called any number of times, with pieces of any length
 * including 0; costs nothing once the run has ended.  An event counts when the
 * empty line after it has come.
 * Never fails and never allocates.
 */

void phrony_events_read(phrony_events_t *events, const unsigned char *data,
    size_t len);


/*
 * Returns 1 if there was an event of this run with the kind "run" or "session"
 * and a subject that ends in ".completed", ".failed", ".cancelled" or
 * ".terminated", as they stand here; else 0.  It stays so.
 */

int phrony_events_ended(const phrony_events_t *events);


/*
 * Returns 1 if there was any whole event of this run since the last call, else
 * 0: whoever tells of a run has it alive, but for its end.
 */

int phrony_events_seen(phrony_events_t *events);


PHRONY_HIDDEN_END


#endif /* PHRONY_EVENTS_H_ */
