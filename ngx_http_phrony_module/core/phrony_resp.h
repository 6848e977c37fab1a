
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef PHRONY_RESP_H_
#define PHRONY_RESP_H_


#include "phrony_str.h"


PHRONY_HIDDEN_BEGIN


/*
 * The Redis serialization protocol, version 2: hiredis reads and formats it,
 * this gives it bounds and a shape that costs no allocation for a reply.
 */

typedef enum {
    PHRONY_RESP_NIL = 0,
    PHRONY_RESP_INTEGER,
    PHRONY_RESP_STRING,
    PHRONY_RESP_STATUS,         /* "OK" */
    PHRONY_RESP_ERROR,          /* "NOSCRIPT No matching script" */
    PHRONY_RESP_ARRAY
} phrony_resp_type_t;


typedef struct phrony_resp_s  phrony_resp_t;

struct phrony_resp_s {
    phrony_resp_type_t        type;
    int64_t                   integer;      /* INTEGER */
    phrony_str_t              str;          /* STRING, STATUS, ERROR; a NUL
                                               follows, which is not counted */
    size_t                    n;            /* ARRAY: how many elements */
    phrony_resp_t            *elements;
};


/* What a server may send in one reply. */

typedef struct {
    size_t                    bytes;        /* all in all */
    size_t                    elements;     /* all in all */
} phrony_resp_limits_t;


typedef struct phrony_resp_reader_s  phrony_resp_reader_t;


/* Returns NULL if there is no memory.  Free() takes NULL as well. */

phrony_resp_reader_t *phrony_resp_reader_create(
    const phrony_resp_limits_t *limits);

void phrony_resp_reader_free(phrony_resp_reader_t *reader);


/*
 * Gives the reader bytes as they came, in pieces of any size; they are
 * copied.  Returns 0, or -1: as phrony_resp_next().
 */

int phrony_resp_feed(phrony_resp_reader_t *reader, const void *bytes,
    size_t len);


/*
 * Takes the next whole reply.
 *      1  *reply is set; it and all it refers to are the reader's, and good
 *         until the next call of next(), feed() or free()
 *      0  more bytes are needed
 *     -1  what came is not RESP 2, is beyond the limits, or there is no
 *         memory: the connection is of no use any more, and each further call
 *         returns the same
 */

int phrony_resp_next(phrony_resp_reader_t *reader,
    const phrony_resp_t **reply);


/* Why the reader failed: NUL-terminated, printable ASCII, one line. */

const char *phrony_resp_reader_error(const phrony_resp_reader_t *reader);


/* Returns 1 if the reply is an error of this code, say "NOSCRIPT", else 0. */

int phrony_resp_is_error(const phrony_resp_t *reply, const char *code);


/*
 * Returns 1 if the reply is an array of at least "n" integers, be there more
 * elements of any kind behind them, else 0.
 */

int phrony_resp_integers(const phrony_resp_t *reply, size_t n);


/*
 * Formats a command.  Returns its bytes, to be freed by
 * phrony_resp_command_free(), and sets *len; or NULL if there is no memory.
 */

unsigned char *phrony_resp_command(size_t argc, const phrony_str_t *argv,
    size_t *len);

void phrony_resp_command_free(unsigned char *bytes);


PHRONY_HIDDEN_END


#endif /* PHRONY_RESP_H_ */
