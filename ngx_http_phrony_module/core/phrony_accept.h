
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef PHRONY_ACCEPT_H_
#define PHRONY_ACCEPT_H_


#include "phrony_str.h"


#define PHRONY_ACCEPT_MAX  8        /* types that may be offered */


PHRONY_HIDDEN_BEGIN


/*
 * Which of the types that a server has does a client want most, RFC 9110,
 * section 12.5.1.  The most specific range that matches a type gives it its
 * weight; parameters other than "q" are not looked at.
 */

typedef struct {
    const phrony_str_t  *types;     /* "text/html", in lower case */
    unsigned             ntypes;
    int                  weights[PHRONY_ACCEPT_MAX];    /* 0 to 1000 */
    int                  ranks[PHRONY_ACCEPT_MAX];      /* of the range that
                                                           gave the weight:
                                                           1, 2, 3; 0: none */
    int                  empty;     /* nothing was read */
} phrony_accept_t;


/* Begins with these types, the favourite first; they stay in place. */

void phrony_accept_init(phrony_accept_t *accept, const phrony_str_t *types,
    unsigned ntypes);

/* Reads the value of one Accept field; what is not understood is skipped. */

void phrony_accept_read(phrony_accept_t *accept, const phrony_str_t *value);

/*
 * Returns the index of the type with the largest weight; among equals that
 * which was named most exactly, then the first.  -1: none is acceptable.
 */

int phrony_accept_best(const phrony_accept_t *accept);


PHRONY_HIDDEN_END


#endif /* PHRONY_ACCEPT_H_ */
