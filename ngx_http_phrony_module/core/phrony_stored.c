
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "phrony_stored.h"


static int phrony_stored_is_type(const phrony_str_t *type);


size_t
phrony_stored_len(const phrony_stored_t *stored)
{
    if (stored->status < 200
        || stored->status > 299
        || stored->type.len > PHRONY_STORED_TYPE_MAX
        || stored->body.len > PHRONY_STORED_BODY_MAX)
    {
        return 0;
    }

    return PHRONY_STORED_HEAD + stored->type.len + stored->body.len;
}


unsigned char *
phrony_stored_pack(unsigned char *p, const phrony_stored_t *stored)
{
    *p++ = (unsigned char) (stored->status >> 8);
    *p++ = (unsigned char) (stored->status & 0xff);
    *p++ = (unsigned char) (stored->type.len >> 8);
    *p++ = (unsigned char) (stored->type.len & 0xff);

    if (stored->type.len) {
        memcpy(p, stored->type.data, stored->type.len);
        p += stored->type.len;
    }

    if (stored->body.len) {
        memcpy(p, stored->body.data, stored->body.len);
        p += stored->body.len;
    }

    return p;
}


/* Whatever it says, it must not be more than a line of a header. */

static int
phrony_stored_is_type(const phrony_str_t *type)
{
    size_t  i;

    for (i = 0; i < type->len; i++) {

        if ((type->data[i] < 0x20 && type->data[i] != '\t')
            || type->data[i] == 0x7f)
        {
            return 0;
        }
    }

    return 1;
}


int
phrony_stored_unpack(phrony_stored_t *stored, const phrony_str_t *packed)
{
    size_t          rest;
    unsigned char  *p;

    if (packed->len < PHRONY_STORED_HEAD) {
        return -1;
    }

    p = packed->data;
    rest = packed->len - PHRONY_STORED_HEAD;

    stored->status = (unsigned) (p[0] << 8 | p[1]);
    stored->type.len = (size_t) (p[2] << 8 | p[3]);
    stored->type.data = p + PHRONY_STORED_HEAD;

    if (stored->type.len > rest || !phrony_stored_is_type(&stored->type)) {
        return -1;
    }

    stored->body.data = stored->type.data + stored->type.len;
    stored->body.len = rest - stored->type.len;

    return phrony_stored_len(stored) == packed->len ? 0 : -1;
}
