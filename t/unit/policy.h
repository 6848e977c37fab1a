
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef TEST_POLICY_H_
#define TEST_POLICY_H_


/*
 * Policy files for the tests, put together from string literals.  The records
 * of DOC() begin in the lines 2, 4 and 6.
 */


#define DOC(workspaces, triggers, keys)                                       \
    "{\"workspaces\":[\n" workspaces "],\n"                                   \
    "\"triggers\":[\n" triggers "],\n"                                        \
    "\"keys\":[\n" keys "]}\n"

#define W1  "10000000-0000-4000-8000-000000000001"
#define W2  "10000000-0000-4000-8000-000000000002"
#define T1  "20000000-0000-4000-8000-000000000001"
#define T2  "20000000-0000-4000-8000-000000000002"
#define A1  "30000000-0000-4000-8000-000000000001"
#define A2  "30000000-0000-4000-8000-000000000002"
#define K1  "40000000-0000-4000-8000-000000000001"
#define K2  "40000000-0000-4000-8000-000000000002"
#define NO  "90000000-0000-4000-8000-000000000009"

#define S1  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define S2  "1123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF"

/* "more" is empty or begins with a comma */

#define WS(id, more)                                                          \
    "{\"id\":\"" id "\"" more "}"

#define TR(id, agent, ws, more)                                               \
    "{\"id\":\"" id "\",\"agentId\":\"" agent "\",\"workspaceId\":\"" ws "\"" \
    more "}"

#define KEY(id, sha, ws, more)                                                \
    "{\"id\":\"" id "\",\"sha256\":\"" sha "\",\"workspaceId\":\"" ws "\""    \
    more "}"

#define SCOPE(agent, trigger)                                                 \
    "{\"agentId\":\"" agent "\",\"triggerId\":\"" trigger "\"}"

#define WS1    WS(W1, "")
#define WS2    WS(W2, "")
#define TR1    TR(T1, A1, W1, "")
#define TR2    TR(T2, A2, W1, "")
#define KEY1   KEY(K1, S1, W1, "")


#endif /* TEST_POLICY_H_ */
