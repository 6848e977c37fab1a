
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef PHRONY_JSON_H_
#define PHRONY_JSON_H_


#include "phrony_str.h"


#define PHRONY_JSON_NOWHERE  ((size_t) -1)


PHRONY_HIDDEN_BEGIN


/*
 * The tokens of a JSON text.  The parser that judges bodies tells how far it
 * came and no more, and cannot hold every valid text; where exactly an error
 * is, and what stands in a parser's way, is found by stepping over the same
 * tokens.
 */

typedef enum {
    PHRONY_JSON_END = 0,
    PHRONY_JSON_OPEN,           /* [ or { */
    PHRONY_JSON_CLOSE,          /* ] or } */
    PHRONY_JSON_STRING,         /* with its quotes, as far as there are */
    PHRONY_JSON_NUMBER,         /* a valid one */
    PHRONY_JSON_OTHER           /* word, sign, broken number, any byte */
} phrony_json_kind_t;


typedef struct {
    const unsigned char  *data;     /* the text */
    size_t                len;
    size_t                start;    /* the token's first byte */
    size_t                end;      /* and the one after its last */
    size_t                bad;      /* in a string: offset of the first broken
                                       escape or control character, or
                                       PHRONY_JSON_NOWHERE */
} phrony_json_token_t;


/* Makes phrony_json_next() begin with the first token of a text. */

void phrony_json_init(phrony_json_token_t *token, const unsigned char *data,
    size_t len);


/*
 * Steps to the next token and returns its kind; PHRONY_JSON_END, with start
 * and end at the text's length, if there is none.  The order of tokens, and
 * UTF-8, are not looked at.
 */

phrony_json_kind_t phrony_json_next(phrony_json_token_t *token);


/*
 * Writes to "copy", which has room for "len" bytes, a text that is as valid
 * as "data", has every token at the same place and the same names repeated,
 * but 0 for each valid number and another character for each \u0000.
 * Takes time in proportion to "len".  Returns 0, or -1 if there is no memory.
 */

int phrony_json_simplify(const unsigned char *data, size_t len,
    unsigned char *copy);


PHRONY_HIDDEN_END


#endif /* PHRONY_JSON_H_ */
