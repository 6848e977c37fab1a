
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef PHRONY_KEY_H_
#define PHRONY_KEY_H_


#include "phrony_reason.h"


#define PHRONY_KEY_MAX_LEN     256
#define PHRONY_KEY_DIGEST_LEN  32     /* SHA-256 */


PHRONY_HIDDEN_BEGIN


/*
 * Checks the form of an X-API-Key: "phk_" and at least one byte more, bytes
 * 0x21 to 0x7E without the comma, PHRONY_KEY_MAX_LEN bytes at most.
 * Returns PHRONY_REASON_NONE or PHRONY_REASON_KEY_MALFORMED.
 */

phrony_reason_t phrony_key_check(const phrony_str_t *key);


PHRONY_HIDDEN_END


#endif /* PHRONY_KEY_H_ */
