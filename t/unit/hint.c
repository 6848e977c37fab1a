
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "test.h"

#include "phrony_hint.h"


#define FENCE  0xa5


typedef struct {
    size_t         len;
    unsigned char  bytes[16];
    const char    *hint;
} address_vector_t;


typedef struct {
    phrony_str_t   agent;
    const char    *hint;
} agent_vector_t;


static void test_addresses(void);
static void test_agents(void);
static void test_every_length(void);
static size_t hint_of(const void *data, size_t len, unsigned char *hint);


static const address_vector_t  addresses[] = {
    { 4, { 192, 0, 2, 77 }, "192.0.2.0/24" },
    { 4, { 255, 255, 255, 255 }, "255.255.255.0/24" },
    { 4, { 0, 0, 0, 9 }, "0.0.0.0/24" },
    { 16, { 0x20, 0x01, 0x0d, 0xb8, 0xab, 0xcd, 1, 2, 3 },
      "2001:db8:abcd::/48" },
    { 16, { 0x20, 0x01, 0x0d, 0xb8, 0, 0, 1, 2, 3 }, "2001:db8::/48" },
    { 16, { 0, 0, 0, 0, 0, 5, 1 }, "0:0:5::/48" },
    { 16, { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
      "ffff:ffff:ffff::/48" },
    { 16, { [15] = 1 }, "::/48" },
    { 16, { [10] = 0xff, 0xff, 192, 0, 2, 77 }, "192.0.2.0/24" },
    { 0, { 0 }, "" },
    { 7, { 1 }, "" }
};


static const agent_vector_t  agents[] = {
    { phrony_str(""), "" },
    { phrony_str("curl/8.5.0"), "curl/8.5.0" },
    { phrony_str("a \"b\" \\c ~"), "a \"b\" \\c ~" },
    { phrony_str("a\0b\x1f\x7f\x80\xff\n"), "a?b?????" },
    { phrony_str("\xc3\xa4"), "??" },
    { phrony_str("phk_secret"), "phk_***" },
    { phrony_str("(phk_secret) x"), "(phk_*** x" },
    { phrony_str("phk_a,phk_b\tphk_c"), "phk_***,phk_***?phk_***" },
    { phrony_str("phk_phk_a"), "phk_***" },
    { phrony_str("xphk_a"), "xphk_***" },
    { phrony_str("phk_"), "phk_***" },
    { phrony_str("phk"), "phk" },
    { phrony_str("p phk-a PHK_a"), "p phk-a PHK_a" }
};


int
main(void)
{
    test_addresses();
    test_agents();
    test_every_length();

    return done();
}


static void
test_addresses(void)
{
    size_t                   i, len;
    unsigned char            hint[PHRONY_HINT_ADDRESS_LEN];
    phrony_address_t         address;
    const address_vector_t  *v;

    for (i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
        v = &addresses[i];

        phrony_address_set(&address, v->bytes, v->len);
        len = (size_t) (phrony_hint_address(hint, &address) - hint);

        ok(len == strlen(v->hint) && memcmp(hint, v->hint, len) == 0,
           "address %u is %s", (unsigned) i, v->hint);
    }
}


static void
test_agents(void)
{
    size_t                 i, len;
    unsigned char          hint[PHRONY_HINT_AGENT_LEN + 1];
    const agent_vector_t  *v;

    for (i = 0; i < sizeof(agents) / sizeof(agents[0]); i++) {
        v = &agents[i];

        len = hint_of(v->agent.data, v->agent.len, hint);

        ok(len == strlen(v->hint) && memcmp(hint, v->hint, len) == 0,
           "agent \"%s\" is %s", show(v->agent.data, v->agent.len), v->hint);
    }
}


/* A key in any place, also where it is cut. */

static void
test_every_length(void)
{
    char           agent[300];
    size_t         i, len, want;
    unsigned char  hint[PHRONY_HINT_AGENT_LEN + 1];

    for (i = 0; i <= sizeof(agent) - 10; i++) {
        memset(agent, 'a', sizeof(agent));
        memcpy(agent + i, "phk_secret", 10);

        len = hint_of(agent, i + 10, hint);
        want = i + 7 < PHRONY_HINT_AGENT_LEN ? i + 7 : PHRONY_HINT_AGENT_LEN;

        hint[len] = '\0';

        ok(len == want, "a key at %u: %u bytes", (unsigned) i,
           (unsigned) want);
        ok(strstr((char *) hint, "se") == NULL, "none of it is there");
    }

    memset(agent, 'a', sizeof(agent));

    for (i = 0; i <= sizeof(agent); i++) {
        len = hint_of(agent, i, hint);
        want = i < PHRONY_HINT_AGENT_LEN ? i : PHRONY_HINT_AGENT_LEN;

        ok(len == want, "length %u", (unsigned) i);
    }
}


/* From a block of exactly this size, so that reading on is noticed. */

static size_t
hint_of(const void *data, size_t len, unsigned char *hint)
{
    size_t        n;
    phrony_str_t  agent;

    agent.len = len;
    agent.data = malloc(len ? len : 1);
    memcpy(agent.data, data, len);

    hint[PHRONY_HINT_AGENT_LEN] = FENCE;

    n = (size_t) (phrony_hint_agent(hint, &agent) - hint);

    ok(hint[PHRONY_HINT_AGENT_LEN] == FENCE, "no byte too many");

    free(agent.data);

    return n;
}
