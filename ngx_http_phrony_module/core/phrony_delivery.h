
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef PHRONY_DELIVERY_H_
#define PHRONY_DELIVERY_H_


#include "phrony_str.h"


#define PHRONY_DELIVERY_ID_MAX  255


PHRONY_HIDDEN_BEGIN


typedef enum {
    PHRONY_DELIVERY_ID_OK = 0,
    PHRONY_DELIVERY_ID_NONE,        /* the value is empty */
    PHRONY_DELIVERY_ID_INVALID
} phrony_delivery_id_t;


/*
 * What is remembered of a delivery id, of one trigger and key.
 *
 *                claim                accepted
 *       NEW ------------> PROGRESS -------------> DONE
 *        ^                 |  |  ^                   |
 *        |  refused, or    |  |  | a duplicate       | expired
 *        |  never reached  |  |  | takes it over     |
 *        +<----------------+  |  |                   |
 *        ^   outcome unknown, |  |                   |
 *        |   or owner died    v  |                   |
 *        |                  UNKNOWN                  |
 *        |                     | expired             |
 *        +<--------------------+<--------------------+
 *
 * A forgotten id is NEW again.  PROGRESS has an owner, which settles it: one
 * that did not within phrony_reservation_ttl has died, but may still come.
 * DONE and UNKNOWN expire phrony_delivery_ttl after they were settled.  Where
 * the shared store is away an id that this gateway has not seen is UNKNOWN as
 * well.
 *
 * A duplicate with the same body takes an UNKNOWN id over when it is proxied,
 * so that others that come meanwhile are in progress, and its answer is the
 * one to keep.  If it is refused, the id is UNKNOWN again.  Any other
 * duplicate changes nothing, proxied or not.
 */

typedef enum {
    PHRONY_DELIVERY_NEW = 0,        /* never seen, or forgotten */
    PHRONY_DELIVERY_PROGRESS,       /* claimed, not yet settled */
    PHRONY_DELIVERY_DONE,           /* started a run */
    PHRONY_DELIVERY_UNKNOWN,        /* may have started a run */
    PHRONY_DELIVERY_MAX
} phrony_delivery_state_t;


/* The directive "phrony_duplicates"; "off" tells no start from another. */

typedef enum {
    PHRONY_DELIVERY_MODE_OFF = 0,
    PHRONY_DELIVERY_MODE_REPLAY,
    PHRONY_DELIVERY_MODE_ANNOTATE,
    PHRONY_DELIVERY_MODE_MAX
} phrony_delivery_mode_t;


typedef enum {
    PHRONY_DELIVERY_ACTION_CLAIM = 0,       /* claim the id, and proxy */
    PHRONY_DELIVERY_ACTION_PROXY,           /* a duplicate, or in mode OFF */
    PHRONY_DELIVERY_ACTION_REPLAY,          /* send the stored answer */
    PHRONY_DELIVERY_ACTION_REFUSE_MISMATCH,
    PHRONY_DELIVERY_ACTION_REFUSE_IN_PROGRESS
} phrony_delivery_action_t;


/* The annotation: of what a start is a duplicate. */

typedef enum {
    PHRONY_DUPLICATE_NONE = 0,
    PHRONY_DUPLICATE_MISMATCH,      /* of a start with another body */
    PHRONY_DUPLICATE_IN_PROGRESS,
    PHRONY_DUPLICATE_DONE,
    PHRONY_DUPLICATE_UNKNOWN,
    PHRONY_DUPLICATE_MAX
} phrony_duplicate_t;


typedef struct {
    phrony_delivery_action_t  action;
    phrony_duplicate_t        duplicate;
} phrony_delivery_decision_t;


/*
 * Reads the value of a header field as a delivery id: bare, or as a String of
 * RFC 9651 ("a\"b", escapes \" and \\ only, no parameters).  Both forms of
 * the same 1 to PHRONY_DELIVERY_ID_MAX bytes 0x21 to 0x7E are one id; a bare
 * one holds no quote.
 *
 * Returns PHRONY_DELIVERY_ID_OK, and "id" points into "value" or, if there
 * were escapes, into "buf", which has room for PHRONY_DELIVERY_ID_MAX bytes;
 * else PHRONY_DELIVERY_ID_NONE for an empty value or
 * PHRONY_DELIVERY_ID_INVALID, and leaves "id" and "buf" as they were.
 */

phrony_delivery_id_t phrony_delivery_id(const phrony_str_t *value,
    unsigned char *buf, phrony_str_t *id);


/*
 * What becomes of a start whose delivery id is in "state", by the table in
 * phrony_delivery.c.  The id was seen with the same body if
 * "same_fingerprint" is set, and its answer is stored if "answered" is; what
 * does not apply to a state is not looked at.  Where there is no fingerprint
 * to compare with, the same is to be assumed.  A state outside of the
 * enumeration counts as PHRONY_DELIVERY_UNKNOWN, a mode must be in its own.
 */

phrony_delivery_decision_t phrony_delivery_decide(phrony_delivery_mode_t mode,
    phrony_delivery_state_t state, int same_fingerprint, int answered);


/* "mismatch", "in-progress", "done", "unknown"; "" if it is no duplicate. */

const phrony_str_t *phrony_duplicate_name(phrony_duplicate_t duplicate);


PHRONY_HIDDEN_END


#endif /* PHRONY_DELIVERY_H_ */
