
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef PHRONY_TOPOLOGY_H_
#define PHRONY_TOPOLOGY_H_


#include "phrony_resp.h"
#include "phrony_slot.h"


#define PHRONY_ENDPOINT_HOST_MAX  255


PHRONY_HIDDEN_BEGIN


/*
 * What Redis tells of itself: which node of a cluster has which slots, where
 * a command is to go instead, who is the master of a set of replicas.
 */

/* A host holds letters, digits and ".:_-" only, so it may be logged. */

typedef struct {
    phrony_str_t       host;            /* within the reply; empty: the host
                                           of the node that was asked */
    unsigned           port;            /* 0: the node itself does not know
                                           where that is */
} phrony_endpoint_t;


typedef struct {
    unsigned           first;           /* 0 to PHRONY_SLOTS - 1 */
    unsigned           last;            /* not below "first" */
    phrony_endpoint_t  master;
} phrony_range_t;


typedef enum {
    PHRONY_REDIRECT_NONE = 0,           /* it is another reply */
    PHRONY_REDIRECT_MOVED,              /* the slot is there from now on */
    PHRONY_REDIRECT_ASK,                /* this key may be there already */
    PHRONY_REDIRECT_BROKEN              /* it says so, but not where */
} phrony_redirect_kind_t;


typedef struct {
    unsigned           slot;
    phrony_endpoint_t  to;
} phrony_redirect_t;


/*
 * Checks the whole reply to CLUSTER SLOTS.  Returns 0 if it is a list of
 * ranges with their nodes, which do not overlap, else -1.  A list may leave
 * slots out, or all of them.
 */

int phrony_topology_slots(const phrony_resp_t *reply);


/* Range "i", 0 to reply->n - 1, of a reply for which slots() returned 0. */

void phrony_topology_range(const phrony_resp_t *reply, size_t i,
    phrony_range_t *range);


/*
 * Reads the errors "MOVED slot host:port" and "ASK slot host:port"; "*to" is
 * set for these two kinds.
 */

phrony_redirect_kind_t phrony_topology_redirect(const phrony_resp_t *reply,
    phrony_redirect_t *redirect);


/*
 * Reads a sentinel's reply to SENTINEL GET-MASTER-ADDR-BY-NAME.
 *      1  *master is set
 *      0  the sentinel does not know such a master
 *     -1  it is not such a reply
 */

int phrony_topology_master(const phrony_resp_t *reply,
    phrony_endpoint_t *master);


/*
 * Reads "config-epoch" from a sentinel's reply to SENTINEL MASTER: each
 * failover has a higher one.  Returns 0, or -1 and leaves "epoch" alone.
 */

int phrony_topology_epoch(const phrony_resp_t *reply, uint64_t *epoch);


/* Reads the reply to ROLE: 1 a master, 0 something else, -1 another reply. */

int phrony_topology_is_master(const phrony_resp_t *reply);


PHRONY_HIDDEN_END


#endif /* PHRONY_TOPOLOGY_H_ */
