
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include <errno.h>
#include <stdlib.h>

#include "phrony_document.h"
#include "phrony_json.h"


/*
 * Integers are left to strtoll(), which is faster than reading them as real
 * numbers; those that do not fit are a matter for the second reading.
 */

#define PHRONY_DOCUMENT_FLAGS                                                 \
    (JSON_REJECT_DUPLICATES|JSON_ALLOW_NUL|JSON_DECODE_ANY)


static json_t *phrony_document_load_again(const unsigned char *data,
    size_t len, json_error_t *error);
static json_t *phrony_document_parse(const unsigned char *data, size_t len,
    json_error_t *error);


json_t *
phrony_document_load(const unsigned char *data, size_t len, int *exact,
    json_error_t *error)
{
    json_t                *root;
    enum json_error_code   code;

    root = phrony_document_parse(data, len, error);

    if (exact) {
        *exact = (root != NULL);
    }

    if (root) {
        return root;
    }

    code = json_error_code(error);

    if (code == json_error_numeric_overflow
        || code == json_error_null_byte_in_key)
    {
        return phrony_document_load_again(data, len, error);
    }

    return NULL;
}


/*
 * Reads a text that the parser cannot hold though it may be valid, in a copy
 * that has everything at the same place, but 0 for each number and a
 * character that occurs nowhere else for each \u0000.
 */

static json_t *
phrony_document_load_again(const unsigned char *data, size_t len,
    json_error_t *error)
{
    json_t         *root;
    unsigned char  *copy;

    root = NULL;
    error->text[JSON_ERROR_TEXT_LENGTH - 1] = json_error_out_of_memory;

    copy = malloc(len);

    if (copy == NULL) {
        return NULL;
    }

    if (phrony_json_simplify(data, len, copy) == 0) {
        root = phrony_document_parse(copy, len, error);
    }

    free(copy);

    return root;
}


/*
 * The parser does not say in every case that it had no memory: it may take a
 * token that it could not store for a broken one, or store a part of it.
 * That malloc() failed is seen in errno then, unless a number stands behind
 * it: for each the parser sets errno to 0.
 */

static json_t *
phrony_document_parse(const unsigned char *data, size_t len,
    json_error_t *error)
{
    json_t  *root;

    errno = 0;
    root = json_loadb((const char *) data, len, PHRONY_DOCUMENT_FLAGS, error);

    if (root ? errno == ENOMEM
             : errno == ENOMEM || error->text[0] == '\0')
    {
        json_decref(root);
        error->text[JSON_ERROR_TEXT_LENGTH - 1] = json_error_out_of_memory;
        return NULL;
    }

    return root;
}
