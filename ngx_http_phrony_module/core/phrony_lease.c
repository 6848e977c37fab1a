
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "phrony_lease.h"


#define PHRONY_LEASE_VERSION_AT  6


void
phrony_lease_mark(unsigned char *first)
{
    first[PHRONY_LEASE_VERSION_AT] |= 0xf0;
}


int
phrony_lease_is_id(const phrony_uuid_t *id)
{
    return (id->bytes[PHRONY_LEASE_VERSION_AT] & 0xf0) == 0xf0;
}


phrony_lease_state_t
phrony_lease_next(phrony_lease_state_t state, phrony_lease_event_t event)
{
    switch (event) {

    case PHRONY_LEASE_BIND:
        return (state == PHRONY_LEASE_RESERVED) ? PHRONY_LEASE_BOUND : state;

    case PHRONY_LEASE_RELEASE:
        return (state == PHRONY_LEASE_RESERVED) ? PHRONY_LEASE_FREE : state;

    case PHRONY_LEASE_END:
        return (state == PHRONY_LEASE_FREE) ? state : PHRONY_LEASE_ENDED;

    case PHRONY_LEASE_EXPIRE:
        return PHRONY_LEASE_FREE;

    case PHRONY_LEASE_SEEN:
        break;
    }

    return state;
}


int
phrony_lease_holds_slot(phrony_lease_state_t state)
{
    return state == PHRONY_LEASE_RESERVED || state == PHRONY_LEASE_BOUND;
}


int
phrony_lease_admits(uint64_t held, int64_t limit)
{
    return limit < 0 || held < (uint64_t) limit;
}


int64_t
phrony_lease_remaining(uint64_t held, int64_t limit)
{
    if (limit < 0 || held >= (uint64_t) limit) {
        return 0;
    }

    return limit - (int64_t) held;
}
