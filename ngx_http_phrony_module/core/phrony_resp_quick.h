
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef PHRONY_RESP_QUICK_H_
#define PHRONY_RESP_QUICK_H_


#include "phrony_resp.h"


#define PHRONY_RESP_QUICK_ELEMENTS  16
#define PHRONY_RESP_QUICK_TEXT      32


PHRONY_HIDDEN_BEGIN


/* Part of phrony_resp_reader.c: room for a reply read without hiredis. */

typedef struct {
    phrony_resp_t           root;
    phrony_resp_t           elements[PHRONY_RESP_QUICK_ELEMENTS];
    unsigned char           text[PHRONY_RESP_QUICK_TEXT];
} phrony_resp_quick_t;


/*
 * Reads the reply at the beginning of "len" bytes into quick->root, if it is a
 * whole one of those that nearly all are: a short status, an integer, or a
 * short array of integers, each written as Redis does.  Returns how many bytes
 * it has, of "limit" elements at most; or 0 for anything else, right or wrong:
 * hiredis is to read that.  Values stand until the next call.
 */

size_t phrony_resp_quick(phrony_resp_quick_t *quick,
    const unsigned char *bytes, size_t len, size_t limit);


PHRONY_HIDDEN_END


#endif /* PHRONY_RESP_QUICK_H_ */
