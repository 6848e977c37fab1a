
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef PHRONY_POLICY_KEY_H_
#define PHRONY_POLICY_KEY_H_


#include "phrony_policy.h"
#include "phrony_policy_name.h"


#define PHRONY_POLICY_KEY_SCOPES  1024
#define PHRONY_POLICY_KEY_PIECES  (2 + PHRONY_POLICY_KEY_SCOPES)


PHRONY_HIDDEN_BEGIN


/*
 * The policy of one key, of records that stand alone, as they do in Redis:
 * each is the JSON text of one object, with the members that it has in a
 * policy file.
 */

typedef struct {
    phrony_policy_name_t   name;
    phrony_str_t           text;        /* data NULL: there is none */
} phrony_policy_piece_t;


/*
 * Finds the records that a key's refers to.  Sets *names to an array, to be
 * freed by free(), of *n names: the workspace's is the first, then come the
 * triggers', each once.
 * Returns 0, or -1 and fills "error" if the record does not tell, has more
 * than PHRONY_POLICY_KEY_SCOPES scopes, or there is no memory.
 */

int phrony_policy_key_refers(const phrony_policy_piece_t *key,
    phrony_policy_name_t **names, size_t *n, phrony_policy_error_t *error);


/*
 * Builds the policy of one key; of "n" pieces, n > 1, the first is the key's,
 * the second the workspace's, the others the triggers', the key's and the
 * workspace's being those that phrony_policy_key_refers() told.  A scope whose
 * trigger is not there is left out; a workspace that is not there is an error.
 * Returns NULL, sets *broken to the number of the piece which is to blame and
 * fills "error", or there is no memory (text "no memory"); error->line is set
 * only if the text is not valid JSON.
 */

phrony_policy_t *phrony_policy_key_parse(const phrony_policy_piece_t *pieces,
    size_t n, size_t *broken, phrony_policy_error_t *error);


PHRONY_HIDDEN_END


#endif /* PHRONY_POLICY_KEY_H_ */
