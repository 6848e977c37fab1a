
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include <limits.h>
#include <stdarg.h>
#include <stdio.h>

#include "phrony_policy_text.h"
#include "phrony_record.h"


#define PHRONY_POLICY_TEXT_FLAGS                                              \
    (JSON_DISABLE_EOF_CHECK | JSON_REJECT_DUPLICATES)

#define PHRONY_POLICY_TEXT_PRINT_LEN  256


static void phrony_policy_text_invalid(const phrony_policy_text_t *text,
    const json_error_t *error, const char *what);


json_t *
phrony_policy_text_load(phrony_policy_text_t *text, size_t flags,
    const char *what)
{
    size_t         len;
    json_t        *json;
    const char    *end;
    json_error_t   error;

    /* jansson asks for byte after byte, so "len" costs nothing; the position
     * that it reports is an int */

    len = (size_t) (text->end - text->pos);

    if (len > INT_MAX) {
        len = INT_MAX;
    }

    json = json_loadb(text->pos, len, PHRONY_POLICY_TEXT_FLAGS | flags,
                      &error);

    if (json == NULL) {
        phrony_policy_text_invalid(text, &error, what);
        return NULL;
    }

    end = text->pos + error.position;

    for ( ;; ) {
        text->pos = memchr(text->pos, '\n', (size_t) (end - text->pos));

        if (text->pos == NULL) {
            break;
        }

        text->pos++;
        text->line++;
    }

    text->pos = end;

    return json;
}


static void
phrony_policy_text_invalid(const phrony_policy_text_t *text,
    const json_error_t *error, const char *what)
{
    char                  printed[PHRONY_POLICY_TEXT_PRINT_LEN];
    phrony_str_t          str;
    phrony_policy_text_t  place;

    place = *text;

    /* jansson says nothing if there is no memory */

    if (error->text[0] == '\0') {
        place.line = 0;
        (void) phrony_policy_text_fail(&place, "no memory");
        return;
    }

    if (error->line > 0) {
        place.line += (size_t) error->line - 1;
    }

    str.data = (unsigned char *) error->text;
    str.len = strlen(error->text);

    (void) phrony_policy_text_fail(&place, "%s is not valid JSON: %s", what,
                                   phrony_record_print(printed,
                                                       sizeof(printed),
                                                       &str));
}


int
phrony_policy_text_next(phrony_policy_text_t *text)
{
    unsigned char  ch;

    while (text->pos != text->end) {
        ch = (unsigned char) *text->pos;

        if (ch != ' ' && ch != '\t' && ch != '\n' && ch != '\r') {
            return ch;
        }

        if (ch == '\n') {
            text->line++;
        }

        text->pos++;
    }

    return -1;
}


int
phrony_policy_text_fail(const phrony_policy_text_t *text, const char *fmt, ...)
{
    va_list                 args;
    phrony_policy_error_t  *error;

    error = text->error;
    error->line = text->line;

    va_start(args, fmt);
    vsnprintf(error->text, sizeof(error->text), fmt, args);
    va_end(args);

    return -1;
}
