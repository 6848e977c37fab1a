
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "phrony_slot.h"


static phrony_str_t phrony_slot_tag(const phrony_str_t *key);
static unsigned phrony_slot_crc16(const phrony_str_t *text);


/* The remainders of four bits, by the polynomial 0x1021. */

static const unsigned short  phrony_slot_crc[16] = {
    0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50a5, 0x60c6, 0x70e7,
    0x8108, 0x9129, 0xa14a, 0xb16b, 0xc18c, 0xd1ad, 0xe1ce, 0xf1ef
};


unsigned
phrony_slot(const phrony_str_t *key)
{
    phrony_str_t  tag;

    tag = phrony_slot_tag(key);

    return phrony_slot_crc16(&tag) % PHRONY_SLOTS;
}


static phrony_str_t
phrony_slot_tag(const phrony_str_t *key)
{
    phrony_str_t          tag;
    const unsigned char  *open, *close, *last;

    if (key->len == 0) {
        return *key;
    }

    last = key->data + key->len;
    open = memchr(key->data, '{', key->len);

    if (open == NULL) {
        return *key;
    }

    close = memchr(open, '}', (size_t) (last - open));

    if (close == NULL || close == open + 1) {
        return *key;
    }

    tag.data = key->data + (open - key->data) + 1;
    tag.len = (size_t) (close - open - 1);

    return tag;
}


static unsigned
phrony_slot_crc16(const phrony_str_t *text)
{
    size_t         i;
    unsigned       crc;
    unsigned char  ch;

    crc = 0;

    for (i = 0; i < text->len; i++) {
        ch = text->data[i];

        crc = crc << 4 ^ phrony_slot_crc[(crc >> 12 ^ ch >> 4) & 0xf];
        crc = crc << 4 ^ phrony_slot_crc[(crc >> 12 ^ ch) & 0xf];
    }

    return crc & 0xffff;
}
