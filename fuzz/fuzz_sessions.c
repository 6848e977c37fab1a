
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


/*
 * Whatever the bytes are, there is an error and an empty list, or a list that
 * is in order and within its bounds; white space around the text changes
 * nothing; and as far as the parser can hold the text, only what it accepts is
 * a list, and the trigger's sessions are all taken, or none.
 */


#include <jansson.h>
#include <stdlib.h>

#include "phrony_sessions.h"


#define FUZZ_TRIGGER  "0b1c2d3e-0000-4000-8000-00000000000a"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static phrony_sessions_error_t fuzz_parse(phrony_sessions_t *list,
    const uint8_t *data, size_t size);
static void fuzz_list(const phrony_sessions_t *list);
static void fuzz_spaces(const phrony_sessions_t *list, const uint8_t *data,
    size_t size, phrony_sessions_error_t rc);
static void fuzz_parser(const phrony_sessions_t *list, const uint8_t *data,
    size_t size, phrony_sessions_error_t rc);
static size_t fuzz_ours(const json_t *items);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    phrony_sessions_t        list;
    phrony_sessions_error_t  rc;

    rc = fuzz_parse(&list, data, size);

    if (rc != PHRONY_SESSIONS_OK) {

        if (rc != PHRONY_SESSIONS_INVALID || list.n || list.reach) {
            abort();
        }
    }

    fuzz_list(&list);
    fuzz_spaces(&list, data, size, rc);
    fuzz_parser(&list, data, size, rc);

    return 0;
}


static phrony_sessions_error_t
fuzz_parse(phrony_sessions_t *list, const uint8_t *data, size_t size)
{
    phrony_str_t             id = phrony_str(FUZZ_TRIGGER);
    phrony_sessions_query_t  query;

    static const phrony_str_t  terminal[] = {
        phrony_str("Completed"), phrony_str("Failed")
    };

    if (phrony_uuid_parse(&id, &query.trigger_id) != 0) {
        abort();
    }

    /* 2031-05-04T14:00:00Z */

    query.date = (int64_t) 1935669600 * 1000;
    query.terminal = terminal;
    query.nterminal = 2;

    return phrony_sessions_parse(list, data, size, &query);
}


static void
fuzz_list(const phrony_sessions_t *list)
{
    size_t  i, k;

    if (list->n > PHRONY_SESSIONS_MAX || list->reach < 0) {
        abort();
    }

    for (i = 0; i < list->n; i++) {

        if (list->sessions[i].age < 0
            || (i && list->sessions[i - 1].age < list->sessions[i].age))
        {
            abort();
        }

        for (k = 0; k < i; k++) {
            if (phrony_uuid_eq(&list->sessions[i].run_id,
                               &list->sessions[k].run_id))
            {
                abort();
            }
        }
    }
}


static void
fuzz_spaces(const phrony_sessions_t *list, const uint8_t *data, size_t size,
    phrony_sessions_error_t rc)
{
    size_t             i;
    uint8_t           *copy;
    phrony_sessions_t  again;

    copy = malloc(size + 3);

    if (copy == NULL) {
        return;
    }

    memcpy(copy, " \n", 2);

    if (size) {
        memcpy(copy + 2, data, size);
    }

    copy[size + 2] = '\t';

    if (fuzz_parse(&again, copy, size + 3) != rc || again.n != list->n
        || again.reach != list->reach)
    {
        abort();
    }

    for (i = 0; i < list->n; i++) {
        if (again.sessions[i].age != list->sessions[i].age
            || again.sessions[i].ended != list->sessions[i].ended
            || !phrony_uuid_eq(&again.sessions[i].run_id,
                               &list->sessions[i].run_id))
        {
            abort();
        }
    }

    free(copy);
}


static void
fuzz_parser(const phrony_sessions_t *list, const uint8_t *data, size_t size,
    phrony_sessions_error_t rc)
{
    json_t        *root;
    const json_t  *items;
    json_error_t   error;

    root = json_loadb((const char *) data, size,
                      JSON_REJECT_DUPLICATES|JSON_ALLOW_NUL, &error);

    if (root == NULL) {

        if (rc == PHRONY_SESSIONS_OK
            && json_error_code(&error) != json_error_numeric_overflow
            && json_error_code(&error) != json_error_null_byte_in_key)
        {
            abort();
        }

        return;
    }

    items = json_object_get(root, "items");

    if (rc == PHRONY_SESSIONS_OK) {

        if (!json_is_array(items)
            || (list->n && list->n != fuzz_ours(items))
            || (list->reach && list->n != fuzz_ours(items)))
        {
            abort();
        }

        if (list->reach == INT64_MAX
            && json_number_value(json_object_get(root, "total"))
               != (double) json_array_size(items))
        {
            abort();
        }
    }

    json_decref(root);
}


/* How many items are the trigger's. */

static size_t
fuzz_ours(const json_t *items)
{
    size_t         i, n;
    phrony_str_t   text, id = phrony_str(FUZZ_TRIGGER);
    const json_t  *trigger;

    n = 0;

    for (i = 0; i < json_array_size(items); i++) {
        trigger = json_object_get(json_array_get(items, i), "triggerId");

        text.data = (unsigned char *) json_string_value(trigger);
        text.len = json_string_length(trigger);

        n += text.data && phrony_str_eq_nocase(&text, &id);
    }

    return n;
}
