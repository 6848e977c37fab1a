
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


/*
 * A body is accepted if, and only if, the parser accepts it and it has the
 * form of a start, as far as the parser can hold it; what is refused has a
 * line, a column and a text.
 */


#include <jansson.h>
#include <stdlib.h>

#include "phrony_body.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_error(const uint8_t *data, size_t size,
    const phrony_body_error_t *error);
static int fuzz_accepted(const uint8_t *data, size_t size, int *held);
static size_t fuzz_depth(json_t *value);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int                  held, accepted;
    phrony_str_t         body;
    phrony_reason_t      reason;
    phrony_body_error_t  error;

    body.data = (unsigned char *) data;
    body.len = size;

    (void) phrony_body_check_type(&body);

    reason = phrony_body_check(&body, &error);

    if (reason != PHRONY_REASON_NONE) {

        if (reason != PHRONY_REASON_BODY_INVALID) {
            abort();
        }

        fuzz_error(data, size, &error);
    }

    accepted = fuzz_accepted(data, size, &held);

    if (held && accepted != (reason == PHRONY_REASON_NONE)) {
        abort();
    }

    return 0;
}


static void
fuzz_error(const uint8_t *data, size_t size,
    const phrony_body_error_t *error)
{
    size_t  i, line, column;

    if (error->text == NULL || error->text[0] == '\0') {
        abort();
    }

    if (error->line == 0) {
        return;
    }

    /* the place is a character of the text, or just behind it */

    line = 1;
    column = 0;

    for (i = 0; i < size && line < error->line; i++) {
        line += data[i] == '\n';
    }

    for ( ; i < size && data[i] != '\n'; i++) {
        column += (data[i] & 0xc0) != 0x80;
    }

    if (line != error->line || error->column == 0
        || error->column > column + 1)
    {
        abort();
    }
}


static int
fuzz_accepted(const uint8_t *data, size_t size, int *held)
{
    int                    accepted;
    json_t                *root, *input;
    json_error_t           error;
    enum json_error_code   code;

    *held = 1;

    if (size == 0) {
        return 1;
    }

    /* the parser skips a NUL that follows a number or a word */

    if (memchr(data, '\0', size)) {
        return 0;
    }

    root = json_loadb((const char *) data, size,
                      JSON_REJECT_DUPLICATES|JSON_ALLOW_NUL|JSON_DECODE_ANY,
                      &error);

    if (root == NULL) {
        code = json_error_code(&error);
        *held = code != json_error_numeric_overflow
                && code != json_error_null_byte_in_key;
        return 0;
    }

    input = json_object_get(root, "input");
    accepted = json_is_object(root)
               && (input == NULL || json_is_object(input))
               && fuzz_depth(root) <= PHRONY_BODY_MAX_DEPTH;

    json_decref(root);

    return accepted;
}


static size_t
fuzz_depth(json_t *value)
{
    size_t       i, depth, deepest;
    json_t      *child;
    const char  *name;

    if (!json_is_object(value) && !json_is_array(value)) {
        return 0;
    }

    deepest = 0;

    json_array_foreach(value, i, child) {
        depth = fuzz_depth(child);
        deepest = depth > deepest ? depth : deepest;
    }

    json_object_foreach(value, name, child) {
        depth = fuzz_depth(child);
        deepest = depth > deepest ? depth : deepest;
    }

    return deepest + 1;
}
