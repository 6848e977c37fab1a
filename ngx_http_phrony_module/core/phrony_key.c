
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "phrony_key.h"


#define PHRONY_KEY_PREFIX      "phk_"
#define PHRONY_KEY_PREFIX_LEN  (sizeof(PHRONY_KEY_PREFIX) - 1)


/* The bytes 0x21 to 0x7E without ",", which joins repeated fields. */

static const uint32_t  phrony_key_bytes[8] = {
    0x00000000,
    0xffffeffe, /* ?>=< ;:98 7654 3210  /.-, +*)( '&%$ #"!  */
    0xffffffff, /* _^]\ [ZYX WVUT SRQP  ONML KJIH GFED CBA@ */
    0x7fffffff, /*  ~}| {zyx wvut srqp  onml kjih gfed cba` */
    0x00000000, 0x00000000, 0x00000000, 0x00000000
};


phrony_reason_t
phrony_key_check(const phrony_str_t *key)
{
    size_t         i;
    unsigned char  ch;

    if (key->len <= PHRONY_KEY_PREFIX_LEN || key->len > PHRONY_KEY_MAX_LEN) {
        return PHRONY_REASON_KEY_MALFORMED;
    }

    if (memcmp(key->data, PHRONY_KEY_PREFIX, PHRONY_KEY_PREFIX_LEN) != 0) {
        return PHRONY_REASON_KEY_MALFORMED;
    }

    for (i = PHRONY_KEY_PREFIX_LEN; i < key->len; i++) {
        ch = key->data[i];

        if (!(phrony_key_bytes[ch >> 5] & (1U << (ch & 0x1f)))) {
            return PHRONY_REASON_KEY_MALFORMED;
        }
    }

    return PHRONY_REASON_NONE;
}
