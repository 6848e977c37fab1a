
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include <stdio.h>
#include <stdlib.h>

#include "phrony_topology.h"


#define fuzz_assert(cond)  do { if (!(cond)) { abort(); } } while (0)


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_reply(const phrony_resp_t *reply);
static void fuzz_slots(const phrony_resp_t *reply);
static void fuzz_redirect(const phrony_resp_t *reply);
static void fuzz_master(const phrony_resp_t *reply);
static void fuzz_endpoint(const phrony_endpoint_t *endpoint);


static const phrony_resp_limits_t  fuzz_limits = { 1024 * 1024, 10000 };


/* Replies of a server, one after the other. */

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const phrony_resp_t   *reply;
    phrony_resp_reader_t  *reader;

    reader = phrony_resp_reader_create(&fuzz_limits);
    fuzz_assert(reader != NULL);

    (void) phrony_resp_feed(reader, data, size);

    while (phrony_resp_next(reader, &reply) == 1) {
        fuzz_reply(reply);
    }

    phrony_resp_reader_free(reader);

    return 0;
}


static void
fuzz_reply(const phrony_resp_t *reply)
{
    int       rc;
    uint64_t  epoch;

    fuzz_slots(reply);
    fuzz_redirect(reply);
    fuzz_master(reply);

    rc = phrony_topology_epoch(reply, &epoch);
    fuzz_assert(rc == -1 || (rc == 0 && epoch <= INT64_MAX));

    rc = phrony_topology_is_master(reply);
    fuzz_assert(rc >= -1 && rc <= 1);
}


/* No slot is there twice. */

static void
fuzz_slots(const phrony_resp_t *reply)
{
    size_t          i;
    unsigned        slot;
    unsigned char   seen[PHRONY_SLOTS];
    phrony_range_t  range;

    if (phrony_topology_slots(reply) != 0) {
        return;
    }

    memset(seen, 0, sizeof(seen));

    for (i = 0; i < reply->n; i++) {
        phrony_topology_range(reply, i, &range);

        fuzz_assert(range.first <= range.last && range.last < PHRONY_SLOTS);
        fuzz_endpoint(&range.master);

        for (slot = range.first; slot <= range.last; slot++) {
            fuzz_assert(seen[slot]++ == 0);
        }
    }
}


/* What was read is what stands there, but for zeros before a number. */

static void
fuzz_redirect(const phrony_resp_t *reply)
{
    char                     text[PHRONY_ENDPOINT_HOST_MAX + 64];
    size_t                   len;
    phrony_redirect_t        redirect;
    phrony_redirect_kind_t   kind;

    kind = phrony_topology_redirect(reply, &redirect);

    if (kind != PHRONY_REDIRECT_MOVED && kind != PHRONY_REDIRECT_ASK) {
        return;
    }

    fuzz_assert(reply->type == PHRONY_RESP_ERROR);
    fuzz_assert(redirect.slot < PHRONY_SLOTS);
    fuzz_endpoint(&redirect.to);

    if (redirect.to.port == 0) {
        return;
    }

    len = (size_t) snprintf(text, sizeof(text), "%s %u %.*s:%u",
                            kind == PHRONY_REDIRECT_ASK ? "ASK" : "MOVED",
                            redirect.slot, (int) redirect.to.host.len,
                            (char *) redirect.to.host.data,
                            redirect.to.port);

    fuzz_assert(len <= reply->str.len);
    fuzz_assert(len < reply->str.len
                || memcmp(text, reply->str.data, len) == 0);
}


static void
fuzz_master(const phrony_resp_t *reply)
{
    int                rc;
    phrony_endpoint_t  master;

    rc = phrony_topology_master(reply, &master);

    fuzz_assert(rc >= -1 && rc <= 1);

    if (rc != 1) {
        return;
    }

    fuzz_endpoint(&master);
    fuzz_assert(master.host.len > 0 && master.port > 0);
}


static void
fuzz_endpoint(const phrony_endpoint_t *endpoint)
{
    size_t  i;

    fuzz_assert(endpoint->host.len <= PHRONY_ENDPOINT_HOST_MAX);
    fuzz_assert(endpoint->port <= 65535);

    for (i = 0; i < endpoint->host.len; i++) {
        fuzz_assert(endpoint->host.data[i] > ' '
                    && endpoint->host.data[i] < 0x7f);
    }
}
