
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef PHRONY_POLICY_NAME_H_
#define PHRONY_POLICY_NAME_H_


#include "phrony_key.h"
#include "phrony_uuid.h"


/* of a name's text without the prefix */

#define PHRONY_POLICY_NAME_LEN                                                \
    (sizeof(":key:") - 1 + PHRONY_KEY_DIGEST_LEN * 2)


PHRONY_HIDDEN_BEGIN


/*
 * What a policy record is called where each stands alone:
 *
 *     <prefix>:key:<SHA-256, 64 digits>
 *     <prefix>:workspace:<UUID>
 *     <prefix>:trigger:<UUID>
 *
 * Digits are of lower case: there is one text for each name.
 */

typedef enum {
    PHRONY_POLICY_NAME_KEY = 0,
    PHRONY_POLICY_NAME_WORKSPACE,
    PHRONY_POLICY_NAME_TRIGGER,
    PHRONY_POLICY_NAME_KINDS
} phrony_policy_kind_t;


typedef struct {
    phrony_policy_kind_t  kind;
    unsigned char         id[PHRONY_KEY_DIGEST_LEN];    /* 0 behind a UUID */
} phrony_policy_name_t;


/* Sets the name of a key's record, and of a workspace's or trigger's. */

void phrony_policy_name_key(phrony_policy_name_t *name,
    const unsigned char digest[PHRONY_KEY_DIGEST_LEN]);

void phrony_policy_name_uuid(phrony_policy_name_t *name,
    phrony_policy_kind_t kind, const phrony_uuid_t *id);


/* "key", "workspace", "trigger" */

const char *phrony_policy_name_kind(const phrony_policy_name_t *name);


static inline int
phrony_policy_name_eq(const phrony_policy_name_t *a,
    const phrony_policy_name_t *b)
{
    return a->kind == b->kind
           && memcmp(a->id, b->id, PHRONY_KEY_DIGEST_LEN) == 0;
}


/*
 * Writes the text, without a NUL, to "buf", which has room for prefix->len +
 * PHRONY_POLICY_NAME_LEN bytes.  Returns its end.
 */

unsigned char *phrony_policy_name_format(unsigned char *buf,
    const phrony_policy_name_t *name, const phrony_str_t *prefix);


/*
 * The same for people, who are shown eight digits of a SHA-256 and "...".
 * Returns its end.
 */

unsigned char *phrony_policy_name_print(unsigned char *buf,
    const phrony_policy_name_t *name, const phrony_str_t *prefix);


/* Reads such a text.  Returns 0, or -1 if it is no record's name. */

int phrony_policy_name_parse(const phrony_str_t *text,
    const phrony_str_t *prefix, phrony_policy_name_t *name);


PHRONY_HIDDEN_END


#endif /* PHRONY_POLICY_NAME_H_ */
