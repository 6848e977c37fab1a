
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef PHRONY_HINT_H_
#define PHRONY_HINT_H_


#include "phrony_cidr.h"


#define PHRONY_HINT_ADDRESS_LEN  20     /* "ffff:ffff:ffff::/48" */
#define PHRONY_HINT_AGENT_LEN    128


PHRONY_HIDDEN_BEGIN


/*
 * What an ingress log may say of a client: enough to tell callers apart, not
 * to follow a person.  Both write printable ASCII without a NUL behind "p"
 * and return its end.
 */

/*
 * The network of an address: "192.0.2.0/24", or "2001:db8:1::/48" as RFC 5952
 * has it; nothing if it is no internet address.  At most
 * PHRONY_HINT_ADDRESS_LEN bytes.
 */

unsigned char *phrony_hint_address(unsigned char *p,
    const phrony_address_t *address);

/*
 * A user agent, PHRONY_HINT_AGENT_LEN bytes at most: any byte that is not
 * printable ASCII is "?", and what looks like a key is "phk_***".
 */

unsigned char *phrony_hint_agent(unsigned char *p, const phrony_str_t *agent);


PHRONY_HIDDEN_END


#endif /* PHRONY_HINT_H_ */
