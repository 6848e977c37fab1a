
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include <stdlib.h>

#include <hiredis/hiredis.h>

#include "phrony_resp.h"


#define PHRONY_RESP_ARGC    32                      /* without an allocation */
#define PHRONY_RESP_HEADER  32                      /* "$", digits, CRLFs */
#define PHRONY_RESP_MAX     (512 * 1024 * 1024)     /* hiredis counts in int */


static unsigned char *phrony_resp_format(size_t argc,
    const phrony_str_t *argv, const char **data, size_t *lens, size_t *len);


int
phrony_resp_is_error(const phrony_resp_t *reply, const char *code)
{
    size_t  len;

    len = strlen(code);

    return reply->type == PHRONY_RESP_ERROR
           && reply->str.len >= len
           && memcmp(reply->str.data, code, len) == 0
           && (reply->str.len == len || reply->str.data[len] == ' ');
}


int
phrony_resp_integers(const phrony_resp_t *reply, size_t n)
{
    size_t  i;

    if (reply->type != PHRONY_RESP_ARRAY || reply->n < n) {
        return 0;
    }

    for (i = 0; i < n; i++) {
        if (reply->elements[i].type != PHRONY_RESP_INTEGER) {
            return 0;
        }
    }

    return 1;
}


unsigned char *
phrony_resp_command(size_t argc, const phrony_str_t *argv, size_t *len)
{
    size_t          lens[PHRONY_RESP_ARGC], *more_lens;
    const char     *data[PHRONY_RESP_ARGC], **more_data;
    unsigned char  *bytes;

    if (argc <= PHRONY_RESP_ARGC) {
        return phrony_resp_format(argc, argv, data, lens, len);
    }

    if (argc > PHRONY_RESP_MAX / PHRONY_RESP_HEADER) {
        return NULL;
    }

    more_data = malloc(argc * sizeof(char *));
    more_lens = malloc(argc * sizeof(size_t));

    bytes = NULL;

    if (more_data && more_lens) {
        bytes = phrony_resp_format(argc, argv, more_data, more_lens, len);
    }

    free(more_data);
    free(more_lens);

    return bytes;
}


/* "data" and "lens" are room for "argc" of them. */

static unsigned char *
phrony_resp_format(size_t argc, const phrony_str_t *argv, const char **data,
    size_t *lens, size_t *len)
{
    char       *bytes;
    size_t      i, left;
    long long   n;

    left = PHRONY_RESP_MAX;

    for (i = 0; i < argc; i++) {

        if (left < PHRONY_RESP_HEADER
            || argv[i].len > left - PHRONY_RESP_HEADER)
        {
            return NULL;
        }

        left -= argv[i].len + PHRONY_RESP_HEADER;

        data[i] = argv[i].len ? (char *) argv[i].data : "";
        lens[i] = argv[i].len;
    }

    n = redisFormatCommandArgv(&bytes, (int) argc, data, lens);

    if (n < 0) {
        return NULL;
    }

    *len = (size_t) n;

    return (unsigned char *) bytes;
}


void
phrony_resp_command_free(unsigned char *bytes)
{
    redisFreeCommand((char *) bytes);
}
