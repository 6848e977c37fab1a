
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "test.h"

#include "phrony_lease.h"


/* The whole table of transitions: rows are states, columns events. */

static const phrony_lease_state_t  table[4][5] = {

    /* BIND, RELEASE, SEEN, END, EXPIRE */

    { PHRONY_LEASE_FREE, PHRONY_LEASE_FREE, PHRONY_LEASE_FREE,
      PHRONY_LEASE_FREE, PHRONY_LEASE_FREE },

    { PHRONY_LEASE_BOUND, PHRONY_LEASE_FREE, PHRONY_LEASE_RESERVED,
      PHRONY_LEASE_ENDED, PHRONY_LEASE_FREE },

    { PHRONY_LEASE_BOUND, PHRONY_LEASE_BOUND, PHRONY_LEASE_BOUND,
      PHRONY_LEASE_ENDED, PHRONY_LEASE_FREE },

    { PHRONY_LEASE_ENDED, PHRONY_LEASE_ENDED, PHRONY_LEASE_ENDED,
      PHRONY_LEASE_ENDED, PHRONY_LEASE_FREE }
};


static void test_transitions(void);
static void test_slots(void);
static void test_limits(void);


int
main(void)
{
    test_transitions();
    test_slots();
    test_limits();

    return done();
}


static void
test_transitions(void)
{
    int   s, e;
    char  name[64];

    for (s = PHRONY_LEASE_FREE; s <= PHRONY_LEASE_ENDED; s++) {

        for (e = PHRONY_LEASE_BIND; e <= PHRONY_LEASE_EXPIRE; e++) {
            sprintf(name, "state %d, event %d", s, e);
            is_int(phrony_lease_next((phrony_lease_state_t) s,
                                     (phrony_lease_event_t) e),
                   table[s][e], name);
        }
    }
}


static void
test_slots(void)
{
    ok(!phrony_lease_holds_slot(PHRONY_LEASE_FREE), "free holds none");
    ok(phrony_lease_holds_slot(PHRONY_LEASE_RESERVED), "reserved holds one");
    ok(phrony_lease_holds_slot(PHRONY_LEASE_BOUND), "bound holds one");
    ok(!phrony_lease_holds_slot(PHRONY_LEASE_ENDED), "ended holds none");
}


static void
test_limits(void)
{
    ok(phrony_lease_admits(1000000, -1), "no limit");
    ok(!phrony_lease_admits(0, 0), "0 admits nothing");
    ok(phrony_lease_admits(4, 5), "the fifth of 5");
    ok(!phrony_lease_admits(5, 5), "not the sixth");
    ok(!phrony_lease_admits(9, 5), "nor more, after the limit was lowered");

    is_int(phrony_lease_remaining(0, 5), 5, "5 remain");
    is_int(phrony_lease_remaining(4, 5), 1, "1 remains");
    is_int(phrony_lease_remaining(5, 5), 0, "none remains");
    is_int(phrony_lease_remaining(9, 5), 0, "none below 0");
    is_int(phrony_lease_remaining(9, -1), 0, "no limit leaves no number");
}
