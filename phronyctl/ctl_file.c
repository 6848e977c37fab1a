
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "phrony_policy_text.h"
#include "phrony_record.h"

#include "ctl_file.h"
#include "ctl_output.h"


#define CTL_FILE_PIECE  65536


static const char  *ctl_file_members[PHRONY_POLICY_NAME_KINDS] = {
    [PHRONY_POLICY_NAME_KEY] = "keys",
    [PHRONY_POLICY_NAME_WORKSPACE] = "workspaces",
    [PHRONY_POLICY_NAME_TRIGGER] = "triggers"
};


static ctl_code_t ctl_file_array(phrony_policy_text_t *text,
    phrony_policy_kind_t kind, ctl_file_handler_t handler, void *data);
static ctl_code_t ctl_file_record(phrony_policy_kind_t kind, json_t *record,
    ctl_file_handler_t handler, void *data);


ctl_code_t
ctl_file_read(ctl_t *ctl, const char *path, char **text, size_t *len)
{
    FILE    *file;
    size_t   n, size;

    *text = NULL;
    *len = 0;

    file = (strcmp(path, "-") == 0) ? stdin : fopen(path, "r");

    if (file == NULL) {
        return ctl_fail(ctl, CTL_REFUSED, "%s: %s", path, strerror(errno));
    }

    size = CTL_FILE_PIECE;

    do {
        *text = ctl_grow(*text, size + 1);
        n = fread(*text + *len, 1, size - *len, file);
        *len += n;
        size = (*len == size) ? size * 2 : size;
    } while (n);

    (*text)[*len] = '\0';
    n = (size_t) ferror(file);

    if (file != stdin) {
        fclose(file);
    }

    return n ? ctl_fail(ctl, CTL_REFUSED, "%s: cannot be read", path)
             : CTL_OK;
}


ctl_code_t
ctl_file_open(ctl_t *ctl, const char *path, ctl_file_t *file)
{
    ctl_code_t              code;
    phrony_policy_error_t   error;

    file->policy = NULL;

    code = ctl_file_read(ctl, path, &file->text, &file->len);

    if (code != CTL_OK) {
        return code;
    }

    file->policy = phrony_policy_parse(file->text, file->len, &error);

    if (file->policy) {
        return CTL_OK;
    }

    return error.line ? ctl_fail(ctl, CTL_REFUSED, "%s:%zu: %s", path,
                                 error.line, error.text)
                      : ctl_fail(ctl, CTL_REFUSED, "%s: %s", path,
                                 error.text);
}


void
ctl_file_close(ctl_file_t *file)
{
    phrony_policy_free(file->policy);
    free(file->text);
}


/* The text was found to be valid: what is looked for here is there. */

ctl_code_t
ctl_file_each(const ctl_file_t *file, phrony_policy_kind_t kind,
    ctl_file_handler_t handler, void *data)
{
    int                     k;
    json_t                 *name;
    ctl_code_t              code;
    phrony_policy_text_t    text;
    phrony_policy_error_t   error;

    text.pos = file->text;
    text.end = file->text + file->len;
    text.line = 1;
    text.error = &error;

    code = CTL_OK;

    while (code == CTL_OK) {

        /* "{", or "," behind a member, or "}" */

        if (phrony_policy_text_next(&text) == '}') {
            return CTL_OK;
        }

        text.pos++;

        if (phrony_policy_text_next(&text) != '"') {
            return CTL_OK;
        }

        name = phrony_policy_text_load(&text, JSON_DECODE_ANY, "a name");
        (void) phrony_policy_text_next(&text);
        text.pos++;

        for (k = 0; k < PHRONY_POLICY_NAME_KINDS; k++) {
            if (strcmp(json_string_value(name), ctl_file_members[k]) == 0) {
                break;
            }
        }

        json_decref(name);

        if (k < PHRONY_POLICY_NAME_KINDS) {
            code = ctl_file_array(&text, (phrony_policy_kind_t) k,
                                  k == (int) kind ? handler : NULL, data);
            continue;
        }

        json_decref(phrony_policy_text_load(&text, JSON_DECODE_ANY
                                                   | JSON_ALLOW_NUL, ""));
    }

    return code;
}


static ctl_code_t
ctl_file_array(phrony_policy_text_t *text, phrony_policy_kind_t kind,
    ctl_file_handler_t handler, void *data)
{
    json_t      *record;
    ctl_code_t   code;

    code = CTL_OK;
    (void) phrony_policy_text_next(text);

    while (code == CTL_OK) {

        /* "[", or "," behind a record, or "]" */

        if (*text->pos++ == ']') {
            return CTL_OK;
        }

        if (phrony_policy_text_next(text) == ']') {
            continue;
        }

        record = phrony_policy_text_load(text, JSON_ALLOW_NUL, "");
        (void) phrony_policy_text_next(text);

        if (handler) {
            code = ctl_file_record(kind, record, handler, data);
        }

        json_decref(record);
    }

    return code;
}


static ctl_code_t
ctl_file_record(phrony_policy_kind_t kind, json_t *record,
    ctl_file_handler_t handler, void *data)
{
    phrony_uuid_t           id;
    unsigned char           digest[PHRONY_KEY_DIGEST_LEN];
    phrony_record_t         reader;
    phrony_policy_name_t    name;
    phrony_policy_error_t   error;

    memset(&reader, 0, sizeof(reader));
    reader.kind = "";
    reader.json = record;
    reader.error = &error;

    if (kind == PHRONY_POLICY_NAME_KEY) {
        (void) phrony_record_digest(&reader, "sha256", digest);
        phrony_policy_name_key(&name, digest);

    } else {
        (void) phrony_record_uuid(&reader, "id", &id);
        phrony_policy_name_uuid(&name, kind, &id);
    }

    return handler(data, &name, record);
}


int
ctl_file_has(const ctl_file_t *file, const phrony_policy_name_t *name)
{
    size_t                 i;
    phrony_uuid_t          id;
    phrony_policy_stat_t   stat;

    memcpy(id.bytes, name->id, PHRONY_UUID_LEN);

    switch (name->kind) {

    case PHRONY_POLICY_NAME_KEY:
        return phrony_policy_key(file->policy, name->id) != NULL;

    case PHRONY_POLICY_NAME_TRIGGER:
        return phrony_policy_trigger(file->policy, &id) != NULL;

    default:
        break;
    }

    phrony_policy_stat(file->policy, &stat);

    for (i = 0; i < stat.workspaces; i++) {
        if (phrony_uuid_eq(&phrony_policy_workspace(file->policy,
                                                    (uint32_t) i)->id, &id))
        {
            return 1;
        }
    }

    return 0;
}
