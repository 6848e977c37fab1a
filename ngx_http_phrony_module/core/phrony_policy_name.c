
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "phrony_policy_name.h"


#define PHRONY_POLICY_NAME_SHOWN  4     /* bytes of a SHA-256 */


static unsigned char *phrony_policy_name_begin(unsigned char *buf,
    const phrony_policy_name_t *name, const phrony_str_t *prefix);
static unsigned char *phrony_policy_name_id(unsigned char *buf,
    const phrony_policy_name_t *name);
static unsigned char *phrony_policy_name_hex(unsigned char *buf,
    const unsigned char *bytes, size_t n);
static int phrony_policy_name_read(const phrony_str_t *text,
    phrony_policy_name_t *name);
static int phrony_policy_name_digit(unsigned char ch);


static const phrony_str_t
    phrony_policy_name_kinds[PHRONY_POLICY_NAME_KINDS] = {

    phrony_str("key"),
    phrony_str("workspace"),
    phrony_str("trigger")
};


void
phrony_policy_name_key(phrony_policy_name_t *name,
    const unsigned char digest[PHRONY_KEY_DIGEST_LEN])
{
    name->kind = PHRONY_POLICY_NAME_KEY;
    memcpy(name->id, digest, PHRONY_KEY_DIGEST_LEN);
}


void
phrony_policy_name_uuid(phrony_policy_name_t *name, phrony_policy_kind_t kind,
    const phrony_uuid_t *id)
{
    memset(name, 0, sizeof(phrony_policy_name_t));

    name->kind = kind;
    memcpy(name->id, id->bytes, PHRONY_UUID_LEN);
}


const char *
phrony_policy_name_kind(const phrony_policy_name_t *name)
{
    return (const char *) phrony_policy_name_kinds[name->kind].data;
}


unsigned char *
phrony_policy_name_format(unsigned char *buf, const phrony_policy_name_t *name,
    const phrony_str_t *prefix)
{
    buf = phrony_policy_name_begin(buf, name, prefix);

    return phrony_policy_name_id(buf, name);
}


unsigned char *
phrony_policy_name_print(unsigned char *buf, const phrony_policy_name_t *name,
    const phrony_str_t *prefix)
{
    if (name->kind != PHRONY_POLICY_NAME_KEY) {
        return phrony_policy_name_format(buf, name, prefix);
    }

    buf = phrony_policy_name_begin(buf, name, prefix);
    buf = phrony_policy_name_hex(buf, name->id, PHRONY_POLICY_NAME_SHOWN);

    memcpy(buf, "...", 3);

    return buf + 3;
}


int
phrony_policy_name_parse(const phrony_str_t *text, const phrony_str_t *prefix,
    phrony_policy_name_t *name)
{
    size_t               i;
    phrony_str_t         id;
    const phrony_str_t  *kind;

    if (text->len <= prefix->len
        || memcmp(text->data, prefix->data, prefix->len) != 0
        || text->data[prefix->len] != ':')
    {
        return -1;
    }

    for (i = 0; i < PHRONY_POLICY_NAME_KINDS; i++) {
        kind = &phrony_policy_name_kinds[i];

        id.data = text->data + prefix->len + 1;
        id.len = text->len - prefix->len - 1;

        if (id.len <= kind->len
            || memcmp(id.data, kind->data, kind->len) != 0
            || id.data[kind->len] != ':')
        {
            continue;
        }

        memset(name, 0, sizeof(phrony_policy_name_t));
        name->kind = (phrony_policy_kind_t) i;

        id.data += kind->len + 1;
        id.len -= kind->len + 1;

        return phrony_policy_name_read(&id, name);
    }

    return -1;
}


/* All that stands before the id. */

static unsigned char *
phrony_policy_name_begin(unsigned char *buf, const phrony_policy_name_t *name,
    const phrony_str_t *prefix)
{
    const phrony_str_t  *kind;

    kind = &phrony_policy_name_kinds[name->kind];

    if (prefix->len) {
        memcpy(buf, prefix->data, prefix->len);
        buf += prefix->len;
    }

    *buf++ = ':';

    memcpy(buf, kind->data, kind->len);
    buf += kind->len;

    *buf++ = ':';

    return buf;
}


static unsigned char *
phrony_policy_name_id(unsigned char *buf, const phrony_policy_name_t *name)
{
    phrony_uuid_t  uuid;

    if (name->kind == PHRONY_POLICY_NAME_KEY) {
        return phrony_policy_name_hex(buf, name->id, PHRONY_KEY_DIGEST_LEN);
    }

    memcpy(uuid.bytes, name->id, PHRONY_UUID_LEN);

    return phrony_uuid_format(buf, &uuid);
}


static unsigned char *
phrony_policy_name_hex(unsigned char *buf, const unsigned char *bytes,
    size_t n)
{
    size_t             i;
    static const char  digits[] = "0123456789abcdef";

    for (i = 0; i < n; i++) {
        *buf++ = (unsigned char) digits[bytes[i] >> 4];
        *buf++ = (unsigned char) digits[bytes[i] & 15];
    }

    return buf;
}


static int
phrony_policy_name_read(const phrony_str_t *text, phrony_policy_name_t *name)
{
    int             high, low;
    size_t          i;
    phrony_uuid_t   uuid;
    unsigned char   lower[PHRONY_UUID_TEXT_LEN];

    if (name->kind != PHRONY_POLICY_NAME_KEY) {

        if (phrony_uuid_parse(text, &uuid) == -1) {
            return -1;
        }

        (void) phrony_uuid_format(lower, &uuid);
        memcpy(name->id, uuid.bytes, PHRONY_UUID_LEN);

        return memcmp(lower, text->data, PHRONY_UUID_TEXT_LEN) ? -1 : 0;
    }

    if (text->len != PHRONY_KEY_DIGEST_LEN * 2) {
        return -1;
    }

    for (i = 0; i < PHRONY_KEY_DIGEST_LEN; i++) {
        high = phrony_policy_name_digit(text->data[i * 2]);
        low = phrony_policy_name_digit(text->data[i * 2 + 1]);

        if (high < 0 || low < 0) {
            return -1;
        }

        name->id[i] = (unsigned char) (high << 4 | low);
    }

    return 0;
}


static int
phrony_policy_name_digit(unsigned char ch)
{
    if (ch >= '0' && ch <= '9') {
        return ch - '0';
    }

    if (ch >= 'a' && ch <= 'f') {
        return ch - 'a' + 10;
    }

    return -1;
}
