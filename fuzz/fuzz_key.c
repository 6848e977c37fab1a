
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include <stdlib.h>

#include "phrony_key.h"


#define fuzz_assert(cond)  do { if (!(cond)) { abort(); } } while (0)


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static phrony_reason_t fuzz_check(const uint8_t *data, size_t size);
static int fuzz_is_key(const uint8_t *data, size_t size);


/*
 * A key is well-formed exactly if its contract says so; it does not matter
 * what stands behind it in memory.
 */

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t          *longer;
    phrony_str_t      key;
    phrony_reason_t   reason;

    reason = fuzz_check(data, size);

    fuzz_assert(reason == (fuzz_is_key(data, size)
                           ? PHRONY_REASON_NONE
                           : PHRONY_REASON_KEY_MALFORMED));

    longer = malloc(size + 8);
    fuzz_assert(longer != NULL);

    memcpy(longer, data, size);
    memcpy(longer + size, ",\0 \xff\x7f" "abc", 8);

    key.len = size;
    key.data = longer;
    fuzz_assert(phrony_key_check(&key) == reason);

    /* none of these can be part of a key */

    fuzz_assert(fuzz_check(longer, size + 1) == PHRONY_REASON_KEY_MALFORMED);
    fuzz_assert(fuzz_check(longer, size + 8) == PHRONY_REASON_KEY_MALFORMED);

    free(longer);

    return 0;
}


static phrony_reason_t
fuzz_check(const uint8_t *data, size_t size)
{
    phrony_str_t     key;
    phrony_reason_t  reason;

    key.len = size;
    key.data = NULL;

    if (size) {
        key.data = malloc(size);
        fuzz_assert(key.data != NULL);
        memcpy(key.data, data, size);
    }

    reason = phrony_key_check(&key);

    free(key.data);

    return reason;
}


static int
fuzz_is_key(const uint8_t *data, size_t size)
{
    size_t  i;

    if (size < 5 || size > 256 || memcmp(data, "phk_", 4) != 0) {
        return 0;
    }

    for (i = 0; i < size; i++) {
        if (data[i] < 0x21 || data[i] > 0x7e || data[i] == ',') {
            return 0;
        }
    }

    return 1;
}
