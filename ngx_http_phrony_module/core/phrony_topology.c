
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "phrony_topology.h"


#define PHRONY_PORT_MAX   65535

#define PHRONY_SLOT_BYTE  8             /* slots in a byte of a set of them */


static int phrony_topology_read_range(const phrony_resp_t *entry,
    phrony_range_t *range);
static int phrony_topology_read_node(const phrony_resp_t *node,
    phrony_endpoint_t *endpoint);
static int phrony_topology_read_host(const phrony_resp_t *host,
    phrony_endpoint_t *endpoint);
static int phrony_topology_claim(unsigned char *set,
    const phrony_range_t *range);
static phrony_redirect_kind_t phrony_topology_kind(
    const phrony_resp_t *reply, phrony_str_t *rest);
static int phrony_topology_read_target(const phrony_str_t *text,
    phrony_redirect_t *redirect);
static int phrony_topology_is_host(const phrony_str_t *host);
static int phrony_topology_is_unknown(const phrony_str_t *host);
static int phrony_topology_integer(const phrony_resp_t *reply, int64_t min,
    int64_t max, unsigned *number);
static int phrony_topology_number(const phrony_str_t *text, uint64_t max,
    uint64_t *number);
static int phrony_topology_split(const phrony_str_t *text, unsigned char ch,
    phrony_str_t *head, phrony_str_t *tail);


/* redis.io, "CLUSTER SLOTS" */

int
phrony_topology_slots(const phrony_resp_t *reply)
{
    size_t          i;
    unsigned char   set[PHRONY_SLOTS / PHRONY_SLOT_BYTE];
    phrony_range_t  range;

    if (reply->type != PHRONY_RESP_ARRAY) {
        return -1;
    }

    memset(set, 0, sizeof(set));

    for (i = 0; i < reply->n; i++) {

        if (phrony_topology_read_range(&reply->elements[i], &range) != 0) {
            return -1;
        }

        if (phrony_topology_claim(set, &range) != 0) {
            return -1;
        }
    }

    return 0;
}


void
phrony_topology_range(const phrony_resp_t *reply, size_t i,
    phrony_range_t *range)
{
    (void) phrony_topology_read_range(&reply->elements[i], range);
}


/* First slot, last slot, the master, its replicas. */

static int
phrony_topology_read_range(const phrony_resp_t *entry, phrony_range_t *range)
{
    const phrony_resp_t  *element;

    if (entry->type != PHRONY_RESP_ARRAY || entry->n < 3) {
        return -1;
    }

    element = entry->elements;

    if (phrony_topology_integer(&element[0], 0, PHRONY_SLOTS - 1,
                                &range->first)
        != 0)
    {
        return -1;
    }

    if (phrony_topology_integer(&element[1], range->first, PHRONY_SLOTS - 1,
                                &range->last)
        != 0)
    {
        return -1;
    }

    return phrony_topology_read_node(&element[2], &range->master);
}


/* Host, port, and from 4.0 and 7.0 on further elements. */

static int
phrony_topology_read_node(const phrony_resp_t *node,
    phrony_endpoint_t *endpoint)
{
    if (node->type != PHRONY_RESP_ARRAY || node->n < 2) {
        return -1;
    }

    /* a server that has TLS only says 0 to who came without */

    if (phrony_topology_integer(&node->elements[1], 0, PHRONY_PORT_MAX,
                                &endpoint->port)
        != 0)
    {
        return -1;
    }

    return phrony_topology_read_host(&node->elements[0], endpoint);
}


/* "cluster-preferred-endpoint-type": nil, "" and "?" are no hosts. */

static int
phrony_topology_read_host(const phrony_resp_t *host,
    phrony_endpoint_t *endpoint)
{
    endpoint->host.len = 0;
    endpoint->host.data = NULL;

    if (host->type == PHRONY_RESP_NIL) {
        return 0;
    }

    if (host->type != PHRONY_RESP_STRING) {
        return -1;
    }

    if (phrony_topology_is_unknown(&host->str)) {
        endpoint->port = 0;
        return 0;
    }

    endpoint->host = host->str;

    return (host->str.len == 0 || phrony_topology_is_host(&host->str))
           ? 0 : -1;
}


/* Returns -1 if a slot of the range is in the set already. */

static int
phrony_topology_claim(unsigned char *set, const phrony_range_t *range)
{
    unsigned       slot;
    unsigned char  bit;

    for (slot = range->first; slot <= range->last; slot++) {
        bit = (unsigned char) (1 << slot % PHRONY_SLOT_BYTE);

        if (set[slot / PHRONY_SLOT_BYTE] & bit) {
            return -1;
        }

        set[slot / PHRONY_SLOT_BYTE] |= bit;
    }

    return 0;
}


/* Redis Cluster specification, "Redirection and resharding" */

phrony_redirect_kind_t
phrony_topology_redirect(const phrony_resp_t *reply,
    phrony_redirect_t *redirect)
{
    phrony_str_t            rest;
    phrony_redirect_kind_t  kind;

    kind = phrony_topology_kind(reply, &rest);

    if (kind == PHRONY_REDIRECT_NONE) {
        return kind;
    }

    if (phrony_topology_read_target(&rest, redirect) != 0) {
        return PHRONY_REDIRECT_BROKEN;
    }

    return kind;
}


/* "rest" is what follows the word and its blank. */

static phrony_redirect_kind_t
phrony_topology_kind(const phrony_resp_t *reply, phrony_str_t *rest)
{
    size_t                  n;
    phrony_redirect_kind_t  kind;

    kind = PHRONY_REDIRECT_NONE;
    n = 0;

    if (phrony_resp_is_error(reply, "MOVED")) {
        kind = PHRONY_REDIRECT_MOVED;
        n = sizeof("MOVED ") - 1;
    }

    if (phrony_resp_is_error(reply, "ASK")) {
        kind = PHRONY_REDIRECT_ASK;
        n = sizeof("ASK ") - 1;
    }

    if (kind == PHRONY_REDIRECT_NONE) {
        return kind;
    }

    /* the word may be all there is */

    if (n > reply->str.len) {
        n = reply->str.len;
    }

    rest->data = reply->str.data + n;
    rest->len = reply->str.len - n;

    return kind;
}


/* "3999 127.0.0.1:6381", "3999 ::1:6381", "3999 :6381" */

static int
phrony_topology_read_target(const phrony_str_t *text,
    phrony_redirect_t *redirect)
{
    uint64_t      slot, port;
    phrony_str_t  word, rest, *host;

    if (phrony_topology_split(text, ' ', &word, &rest) != 0
        || phrony_topology_number(&word, PHRONY_SLOTS - 1, &slot) != 0)
    {
        return -1;
    }

    host = &redirect->to.host;

    if (phrony_topology_split(&rest, ':', host, &word) != 0
        || phrony_topology_number(&word, PHRONY_PORT_MAX, &port) != 0)
    {
        return -1;
    }

    redirect->slot = (unsigned) slot;
    redirect->to.port = (unsigned) port;

    if (phrony_topology_is_unknown(host)) {
        host->len = 0;
        redirect->to.port = 0;
    }

    return (host->len == 0 || phrony_topology_is_host(host)) ? 0 : -1;
}


/* redis.io, "High availability with Redis Sentinel" */

int
phrony_topology_master(const phrony_resp_t *reply, phrony_endpoint_t *master)
{
    uint64_t              port;
    const phrony_resp_t  *element;

    if (reply->type == PHRONY_RESP_NIL) {
        return 0;
    }

    if (reply->type != PHRONY_RESP_ARRAY || reply->n != 2) {
        return -1;
    }

    element = reply->elements;

    if (element[0].type != PHRONY_RESP_STRING
        || element[1].type != PHRONY_RESP_STRING)
    {
        return -1;
    }

    if (!phrony_topology_is_host(&element[0].str)) {
        return -1;
    }

    if (phrony_topology_number(&element[1].str, PHRONY_PORT_MAX, &port) != 0
        || port == 0)
    {
        return -1;
    }

    master->host = element[0].str;
    master->port = (unsigned) port;

    return 1;
}


/* Names and values in turn. */

int
phrony_topology_epoch(const phrony_resp_t *reply, uint64_t *epoch)
{
    size_t                     i;
    const phrony_resp_t       *element;
    static const phrony_str_t  name = phrony_str("config-epoch");

    if (reply->type != PHRONY_RESP_ARRAY) {
        return -1;
    }

    element = reply->elements;

    for (i = 0; i + 1 < reply->n; i += 2) {

        if (element[i].type != PHRONY_RESP_STRING
            || element[i + 1].type != PHRONY_RESP_STRING)
        {
            return -1;
        }

        if (phrony_str_eq(&element[i].str, &name)) {
            return phrony_topology_number(&element[i + 1].str, INT64_MAX,
                                          epoch);
        }
    }

    return -1;
}


int
phrony_topology_is_master(const phrony_resp_t *reply)
{
    static const phrony_str_t  name = phrony_str("master");

    if (reply->type != PHRONY_RESP_ARRAY || reply->n == 0
        || reply->elements[0].type != PHRONY_RESP_STRING)
    {
        return -1;
    }

    return phrony_str_eq(&reply->elements[0].str, &name);
}


/* A name or an address, as far as its bytes tell. */

static int
phrony_topology_is_host(const phrony_str_t *host)
{
    size_t         i;
    unsigned char  ch;

    if (host->len == 0 || host->len > PHRONY_ENDPOINT_HOST_MAX) {
        return 0;
    }

    for (i = 0; i < host->len; i++) {
        ch = phrony_lower(host->data[i]);

        if ((ch >= 'a' && ch <= 'z') || (ch >= '0' && ch <= '9')) {
            continue;
        }

        if (ch == '\0' || strchr(".:_-", ch) == NULL) {
            return 0;
        }
    }

    return 1;
}


/* A cluster that prefers names says "?" of a node that has none. */

static int
phrony_topology_is_unknown(const phrony_str_t *host)
{
    return host->len == 1 && host->data[0] == '?';
}


static int
phrony_topology_integer(const phrony_resp_t *reply, int64_t min, int64_t max,
    unsigned *number)
{
    if (reply->type != PHRONY_RESP_INTEGER
        || reply->integer < min || reply->integer > max)
    {
        return -1;
    }

    *number = (unsigned) reply->integer;

    return 0;
}


/* Decimal digits and nothing else; "max" is 9 or more. */

static int
phrony_topology_number(const phrony_str_t *text, uint64_t max,
    uint64_t *number)
{
    size_t    i;
    uint64_t  n, digit;

    if (text->len == 0) {
        return -1;
    }

    n = 0;

    for (i = 0; i < text->len; i++) {

        if (text->data[i] < '0' || text->data[i] > '9') {
            return -1;
        }

        digit = (uint64_t) (text->data[i] - '0');

        if (n > (max - digit) / 10) {
            return -1;
        }

        n = n * 10 + digit;
    }

    *number = n;

    return 0;
}


/* Splits a text at the last byte of this kind; returns -1 without one. */

static int
phrony_topology_split(const phrony_str_t *text, unsigned char ch,
    phrony_str_t *head, phrony_str_t *tail)
{
    size_t  i;

    for (i = text->len; i > 0; i--) {

        if (text->data[i - 1] != ch) {
            continue;
        }

        head->data = text->data;
        head->len = i - 1;
        tail->data = text->data + i;
        tail->len = text->len - i;

        return 0;
    }

    return -1;
}
