
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef PHRONY_RECORD_H_
#define PHRONY_RECORD_H_


#include <jansson.h>

#include "phrony_policy.h"


#define PHRONY_RECORD_MAX_LIMIT    999999999999999   /* RFC 9651, integers */
#define PHRONY_RECORD_PRINT_LEN    64


PHRONY_HIDDEN_BEGIN


/*
 * One policy record as it was read, and where: all that is needed to name it
 * when something is wrong with it.  While one of a key's scopes is read, the
 * members are the scope's.
 */

typedef struct {
    const char              *kind;      /* "workspace", "trigger", "key" */
    size_t                   number;    /* in its array, 1 is the first;
                                           0: it stands alone */
    size_t                   line;      /* of the file, where it begins;
                                           0: there is none */
    const json_t            *json;      /* the object */
    const json_t            *scope;     /* NULL: none is being read */
    size_t                   nscope;    /* 1 is the first */
    phrony_policy_error_t   *error;
} phrony_record_t;


/*
 * Each of the following reads one member and returns 0, or -1 and fills
 * record->error if the member is not what it must be.  Those with an "if
 * present" leave the value as it was when the member is absent.
 */

/* A required UUID. */

int phrony_record_uuid(const phrony_record_t *record, const char *name,
    phrony_uuid_t *uuid);

/* A required SHA-256: 64 hexadecimal digits of either case. */

int phrony_record_digest(const phrony_record_t *record, const char *name,
    unsigned char digest[PHRONY_KEY_DIGEST_LEN]);

/* true or false, if present. */

int phrony_record_flag(const phrony_record_t *record, const char *name,
    int *flag);

/* "active" (1) or the word "other" (0), if present. */

int phrony_record_status(const phrony_record_t *record, const char *name,
    const char *other, int *active);

/* A count of 0 to PHRONY_RECORD_MAX_LIMIT, if present and not null. */

int phrony_record_limit(const phrony_record_t *record, const char *name,
    int64_t *limit);

/* An RFC 3339 date in Unix seconds, if present and not null. */

int phrony_record_date(const phrony_record_t *record, const char *name,
    int64_t *seconds);

/* An array, owned by the record, if present. */

int phrony_record_array(const phrony_record_t *record, const char *name,
    const json_t **array);


/* The member, owned by the record, or NULL if it is absent. */

const json_t *phrony_record_get(const phrony_record_t *record,
    const char *name);


/* The bytes of a JSON string, owned by it. */

phrony_str_t phrony_record_str(const json_t *string);


/*
 * Fills record->error with the record's name, 'key 17 ("9f2c…"): ' or
 * 'key 17 ("9f2c…"): scope 2: ', without the 17 if it stands alone, and the
 * printf-like sentence after it.
 * Returns -1.
 */

int phrony_record_fail(const phrony_record_t *record, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));


/*
 * Writes text of a file so that it is fit for a log: printable ASCII as it
 * is, "\x0a" for any other byte, cut with "..." at "size" bytes, which must
 * be 16 at least, NUL included.  Returns buf.
 */

const char *phrony_record_print(char *buf, size_t size,
    const phrony_str_t *text);


PHRONY_HIDDEN_END


#endif /* PHRONY_RECORD_H_ */
