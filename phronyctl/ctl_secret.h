
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef CTL_SECRET_H_
#define CTL_SECRET_H_


#include "phrony_key.h"
#include "phrony_uuid.h"

#include "ctl.h"


#define CTL_SECRET_NEW_LEN  47      /* "phk_" and 32 bytes as base64url */


/* The clear text of a key; cleared from memory by ctl_secret_clear(). */

typedef struct {
    char    text[PHRONY_KEY_MAX_LEN + 2];
    size_t  len;
} ctl_secret_t;


/* Makes a key of 32 random bytes, and a random UUID (version 4). */

ctl_code_t ctl_secret_new(ctl_t *ctl, ctl_secret_t *secret);
ctl_code_t ctl_secret_uuid(ctl_t *ctl, phrony_uuid_t *id);


/*
 * Reads a key from a file, "-" being the standard input; a trailing newline
 * is cut.  Its form is not looked at.
 */

ctl_code_t ctl_secret_read(ctl_t *ctl, const char *path,
    ctl_secret_t *secret);


/* Writes a key to a file that must not be there, for its owner alone. */

ctl_code_t ctl_secret_write(ctl_t *ctl, const char *path,
    const ctl_secret_t *secret);

void ctl_secret_clear(ctl_secret_t *secret);


/* SHA-256; "hex" has room for 64 digits and a NUL. */

void ctl_secret_digest(const void *data, size_t len,
    unsigned char digest[PHRONY_KEY_DIGEST_LEN]);
void ctl_secret_hex(char *hex,
    const unsigned char digest[PHRONY_KEY_DIGEST_LEN]);


#endif /* CTL_SECRET_H_ */
