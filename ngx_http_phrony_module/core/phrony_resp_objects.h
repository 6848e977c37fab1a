
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef PHRONY_RESP_OBJECTS_H_
#define PHRONY_RESP_OBJECTS_H_


#include <hiredis/hiredis.h>

#include "phrony_resp.h"


#define PHRONY_RESP_OBJECTS_DEPTH  8        /* arrays within each other */
#define PHRONY_RESP_OBJECTS_NOMEM  "no memory"


PHRONY_HIDDEN_BEGIN


/* Part of phrony_resp_reader.c: what hiredis is to make of a reply. */

typedef struct phrony_resp_block_s  phrony_resp_block_t;

struct phrony_resp_block_s {
    phrony_resp_block_t        *next;       /* the one filled before */
    size_t                      size;
    size_t                      used;
};


typedef struct {
    redisReplyObjectFunctions   functions;  /* the reader's "privdata" is this
                                               structure */
    size_t                      limit;      /* elements of a reply */
    size_t                      n;          /* of this one so far */
    phrony_resp_t               root;
    phrony_resp_block_t        *block;      /* the one that is filled */
    const char                 *why;        /* a reply was refused; or NULL */
} phrony_resp_objects_t;


void phrony_resp_objects_init(phrony_resp_objects_t *objects, size_t limit);


/*
 * Forgets the last reply, and keeps for the next one memory that it needed,
 * "keep" bytes at most.
 */

void phrony_resp_objects_reset(phrony_resp_objects_t *objects, size_t keep);


/* Frees the memory, all but "objects" itself. */

void phrony_resp_objects_free(phrony_resp_objects_t *objects);


PHRONY_HIDDEN_END


#endif /* PHRONY_RESP_OBJECTS_H_ */
