
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef PHRONY_SLOT_H_
#define PHRONY_SLOT_H_


#include "phrony_str.h"


#define PHRONY_SLOTS  16384


PHRONY_HIDDEN_BEGIN


/*
 * The slot of a key on a Redis Cluster, 0 to PHRONY_SLOTS - 1: CRC16 (XMODEM)
 * of what stands within its first {}, if that is not empty, else of all of
 * it.  Redis Cluster specification, "Hash tags".
 */

unsigned phrony_slot(const phrony_str_t *key);


PHRONY_HIDDEN_END


#endif /* PHRONY_SLOT_H_ */
