
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include <stdarg.h>
#include <stdio.h>

#include "phrony_record.h"
#include "phrony_time.h"


static size_t phrony_record_name(const phrony_record_t *record, char *buf,
    size_t size);
static const json_t *phrony_record_string(const phrony_record_t *record,
    const char *name);
static int phrony_record_hex(unsigned char ch);
static int phrony_record_missing(const phrony_record_t *record,
    const char *name);


int
phrony_record_uuid(const phrony_record_t *record, const char *name,
    phrony_uuid_t *uuid)
{
    phrony_str_t   text;
    const json_t  *string;

    if (phrony_record_get(record, name) == NULL) {
        return phrony_record_missing(record, name);
    }

    string = phrony_record_string(record, name);

    if (string) {
        text = phrony_record_str(string);

        if (phrony_uuid_parse(&text, uuid) == 0) {
            return 0;
        }
    }

    return phrony_record_fail(record, "member \"%s\" is not a UUID", name);
}


int
phrony_record_digest(const phrony_record_t *record, const char *name,
    unsigned char digest[PHRONY_KEY_DIGEST_LEN])
{
    int            high, low;
    size_t         i;
    phrony_str_t   text;
    const json_t  *string;

    if (phrony_record_get(record, name) == NULL) {
        return phrony_record_missing(record, name);
    }

    string = phrony_record_string(record, name);

    if (string == NULL) {
        goto invalid;
    }

    text = phrony_record_str(string);

    if (text.len != PHRONY_KEY_DIGEST_LEN * 2) {
        goto invalid;
    }

    for (i = 0; i < PHRONY_KEY_DIGEST_LEN; i++) {
        high = phrony_record_hex(text.data[i * 2]);
        low = phrony_record_hex(text.data[i * 2 + 1]);

        if (high < 0 || low < 0) {
            goto invalid;
        }

        digest[i] = (unsigned char) (high << 4 | low);
    }

    return 0;

invalid:

    return phrony_record_fail(record, "member \"%s\" is not %d hexadecimal "
                              "digits", name, PHRONY_KEY_DIGEST_LEN * 2);
}


int
phrony_record_flag(const phrony_record_t *record, const char *name, int *flag)
{
    const json_t  *value;

    value = phrony_record_get(record, name);

    if (value == NULL) {
        return 0;
    }

    if (!json_is_boolean(value)) {
        return phrony_record_fail(record, "member \"%s\" is not true or "
                                  "false", name);
    }

    *flag = json_is_true(value);

    return 0;
}


int
phrony_record_status(const phrony_record_t *record, const char *name,
    const char *other, int *active)
{
    phrony_str_t   text;
    const json_t  *string;

    if (phrony_record_get(record, name) == NULL) {
        return 0;
    }

    string = phrony_record_string(record, name);

    if (string) {
        text = phrony_record_str(string);

        if (text.len == 6 && memcmp(text.data, "active", 6) == 0) {
            *active = 1;
            return 0;
        }

        if (text.len == strlen(other)
            && memcmp(text.data, other, text.len) == 0)
        {
            *active = 0;
            return 0;
        }
    }

    return phrony_record_fail(record, "member \"%s\" is not \"active\" or "
                              "\"%s\"", name, other);
}


int
phrony_record_limit(const phrony_record_t *record, const char *name,
    int64_t *limit)
{
    json_int_t     count;
    const json_t  *value;

    value = phrony_record_get(record, name);

    if (value == NULL || json_is_null(value)) {
        return 0;
    }

    if (!json_is_integer(value) || json_integer_value(value) < 0) {
        return phrony_record_fail(record, "member \"%s\" is not a "
                                  "non-negative integer", name);
    }

    count = json_integer_value(value);

    if (count > PHRONY_RECORD_MAX_LIMIT) {
        return phrony_record_fail(record, "member \"%s\" is larger than "
                                  "%lld", name,
                                  (long long) PHRONY_RECORD_MAX_LIMIT);
    }

    *limit = count;

    return 0;
}


int
phrony_record_date(const phrony_record_t *record, const char *name,
    int64_t *seconds)
{
    phrony_str_t   text;
    const json_t  *value;

    value = phrony_record_get(record, name);

    if (value == NULL || json_is_null(value)) {
        return 0;
    }

    if (json_is_string(value)) {
        text = phrony_record_str(value);

        if (phrony_time_parse(&text, seconds) == 0) {
            return 0;
        }
    }

    return phrony_record_fail(record, "member \"%s\" is not an RFC 3339 date "
                              "and time", name);
}


int
phrony_record_array(const phrony_record_t *record, const char *name,
    const json_t **array)
{
    const json_t  *value;

    value = phrony_record_get(record, name);

    if (value == NULL) {
        return 0;
    }

    if (!json_is_array(value)) {
        return phrony_record_fail(record, "member \"%s\" is not an array",
                                  name);
    }

    *array = value;

    return 0;
}


const json_t *
phrony_record_get(const phrony_record_t *record, const char *name)
{
    return json_object_get(record->scope ? record->scope : record->json, name);
}


phrony_str_t
phrony_record_str(const json_t *string)
{
    phrony_str_t  text;

    text.data = (unsigned char *) json_string_value(string);
    text.len = json_string_length(string);

    return text;
}


int
phrony_record_fail(const phrony_record_t *record, const char *fmt, ...)
{
    char                   *text;
    size_t                  len;
    va_list                 args;
    phrony_policy_error_t  *error;

    error = record->error;
    text = error->text;

    len = phrony_record_name(record, text, sizeof(error->text));

    va_start(args, fmt);
    vsnprintf(text + len, sizeof(error->text) - len, fmt, args);
    va_end(args);

    error->line = record->line;

    return -1;
}


/* The record's name and a colon; returns the length. */

static size_t
phrony_record_name(const phrony_record_t *record, char *buf, size_t size)
{
    char           id[PHRONY_RECORD_PRINT_LEN];
    size_t         len;
    phrony_str_t   text;
    const json_t  *value;

    value = json_object_get(record->json, "id");

    len = (size_t) snprintf(buf, size, "%s", record->kind);

    if (record->number) {
        len += (size_t) snprintf(buf + len, size - len, " %zu",
                                 record->number);
    }

    if (json_is_string(value)) {
        text = phrony_record_str(value);
        len += (size_t) snprintf(buf + len, size - len, " (\"%s\")",
                                 phrony_record_print(id, sizeof(id), &text));
    }

    len += (size_t) snprintf(buf + len, size - len, ": ");

    if (record->nscope) {
        len += (size_t) snprintf(buf + len, size - len, "scope %zu: ",
                                 record->nscope);
    }

    return len;
}


const char *
phrony_record_print(char *buf, size_t size, const phrony_str_t *text)
{
    size_t         i, len;
    unsigned char  ch;

    len = 0;

    for (i = 0; i < text->len; i++) {

        /* room for "\x0a", "..." and NUL */

        if (len + 8 > size) {
            memcpy(buf + len, "...", 3);
            len += 3;
            break;
        }

        ch = text->data[i];

        if (ch >= 0x20 && ch <= 0x7e) {
            buf[len++] = (char) ch;
            continue;
        }

        len += (size_t) snprintf(buf + len, size - len, "\\x%02x", ch);
    }

    buf[len] = '\0';

    return buf;
}


/* The member if it is a string, else NULL. */

static const json_t *
phrony_record_string(const phrony_record_t *record, const char *name)
{
    const json_t  *value;

    value = phrony_record_get(record, name);

    return json_is_string(value) ? value : NULL;
}


static int
phrony_record_hex(unsigned char ch)
{
    if (ch >= '0' && ch <= '9') {
        return ch - '0';
    }

    ch = phrony_lower(ch);

    if (ch >= 'a' && ch <= 'f') {
        return ch - 'a' + 10;
    }

    return -1;
}


static int
phrony_record_missing(const phrony_record_t *record, const char *name)
{
    return phrony_record_fail(record, "member \"%s\" is missing", name);
}
