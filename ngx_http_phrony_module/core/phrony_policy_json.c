
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include <stdio.h>

#include "phrony_policy_build.h"
#include "phrony_policy_text.h"


#define PHRONY_POLICY_SECTIONS  3


typedef int (*phrony_policy_add_pt)(phrony_policy_build_t *build,
    phrony_record_t *record);


/* One of the three arrays. */

typedef struct {
    const char              *name;
    const char              *kind;      /* what its records are called */
    phrony_policy_add_pt     add;
} phrony_policy_section_t;


typedef struct {
    phrony_policy_text_t     text;
    phrony_policy_build_t    build;
    json_t                  *names;     /* top-level members met so far */

    /* where each array begins, pos NULL: not met */
    phrony_policy_text_t     start[PHRONY_POLICY_SECTIONS];
    unsigned                 added;     /* arrays of which records are kept */
} phrony_policy_walk_t;


static int phrony_policy_json_file(phrony_policy_walk_t *walk);
static int phrony_policy_json_open(phrony_policy_text_t *text);
static int phrony_policy_json_members(phrony_policy_walk_t *walk);
static int phrony_policy_json_member(phrony_policy_walk_t *walk);
static json_t *phrony_policy_json_name(phrony_policy_text_t *text);
static int phrony_policy_json_once(phrony_policy_walk_t *walk,
    const json_t *name);
static int phrony_policy_json_value(phrony_policy_walk_t *walk,
    const char *name);
static int phrony_policy_json_section(phrony_policy_walk_t *walk,
    unsigned n);
static int phrony_policy_json_close(phrony_policy_walk_t *walk);
static int phrony_policy_json_array(phrony_policy_text_t *text,
    const phrony_policy_section_t *section, phrony_policy_build_t *build);
static int phrony_policy_json_record(phrony_policy_text_t *text,
    phrony_record_t *record, phrony_policy_add_pt add,
    phrony_policy_build_t *build);


/* In the order in which they refer to one another. */

static const phrony_policy_section_t
    phrony_policy_sections[PHRONY_POLICY_SECTIONS] = {

    { "workspaces", "workspace", phrony_policy_build_workspace },
    { "triggers", "trigger", phrony_policy_build_trigger },
    { "keys", "key", phrony_policy_build_key }
};


phrony_policy_t *
phrony_policy_parse(const char *text, size_t len,
    phrony_policy_error_t *error)
{
    int                   rc;
    phrony_policy_walk_t  walk;

    memset(&walk, 0, sizeof(phrony_policy_walk_t));

    walk.text.pos = text;
    walk.text.end = (len == 0) ? text : text + len;
    walk.text.line = 1;
    walk.text.error = error;

    if (phrony_policy_build_init(&walk.build, error) == -1) {
        return NULL;
    }

    walk.names = json_object();

    if (walk.names == NULL) {
        rc = phrony_policy_build_nomem(&walk.build);

    } else {
        rc = phrony_policy_json_file(&walk);
    }

    json_decref(walk.names);

    if (rc == -1) {
        phrony_policy_build_abort(&walk.build);
        return NULL;
    }

    error->line = 0;
    error->text[0] = '\0';

    return phrony_policy_build_done(&walk.build);
}


static int
phrony_policy_json_file(phrony_policy_walk_t *walk)
{
    if (phrony_policy_json_open(&walk->text) == -1
        || phrony_policy_json_members(walk) == -1
        || phrony_policy_json_close(walk) == -1)
    {
        return -1;
    }

    return 0;
}


static int
phrony_policy_json_open(phrony_policy_text_t *text)
{
    if (text->end - text->pos >= 3
        && memcmp(text->pos, "\xef\xbb\xbf", 3) == 0)
    {
        return phrony_policy_text_fail(text, "a byte order mark at the start "
                                       "is not allowed in JSON");
    }

    if (phrony_policy_text_next(text) != '{') {
        return phrony_policy_text_fail(text, "a JSON object is expected");
    }

    text->pos++;

    return 0;
}


/* All that is between the braces, and the closing one. */

static int
phrony_policy_json_members(phrony_policy_walk_t *walk)
{
    int                    ch;
    phrony_policy_text_t  *text;

    text = &walk->text;

    if (phrony_policy_text_next(text) == '}') {
        text->pos++;
        return 0;
    }

    for ( ;; ) {
        if (phrony_policy_json_member(walk) == -1) {
            return -1;
        }

        ch = phrony_policy_text_next(text);

        if (ch != ',' && ch != '}') {
            return phrony_policy_text_fail(text, "\",\" or \"}\" is expected");
        }

        text->pos++;

        if (ch == '}') {
            return 0;
        }
    }
}


static int
phrony_policy_json_member(phrony_policy_walk_t *walk)
{
    int      rc;
    json_t  *name;

    name = phrony_policy_json_name(&walk->text);

    if (name == NULL) {
        return -1;
    }

    if (phrony_policy_json_once(walk, name) == -1) {
        json_decref(name);
        return -1;
    }

    rc = phrony_policy_json_value(walk, json_string_value(name));

    json_decref(name);

    return rc;
}


/* Reads a name and the colon after it; the name is the caller's. */

static json_t *
phrony_policy_json_name(phrony_policy_text_t *text)
{
    json_t  *name;

    if (phrony_policy_text_next(text) != '"') {
        (void) phrony_policy_text_fail(text, "a member's name is expected");
        return NULL;
    }

    /* as in objects that jansson reads whole, a name may not hold NUL */

    name = phrony_policy_text_load(text, JSON_DECODE_ANY, "a member's name");

    if (name == NULL) {
        return NULL;
    }

    if (phrony_policy_text_next(text) != ':') {
        json_decref(name);
        (void) phrony_policy_text_fail(text, "\":\" is expected");
        return NULL;
    }

    text->pos++;

    return name;
}


static int
phrony_policy_json_once(phrony_policy_walk_t *walk, const json_t *name)
{
    char          quoted[PHRONY_RECORD_PRINT_LEN];
    phrony_str_t  str;

    str = phrony_record_str(name);

    if (json_object_get(walk->names, json_string_value(name))) {
        return phrony_policy_text_fail(&walk->text, "member \"%s\" is "
                                       "repeated",
                                       phrony_record_print(quoted,
                                                           sizeof(quoted),
                                                           &str));
    }

    if (json_object_set_new(walk->names, json_string_value(name), json_true())
        == -1)
    {
        return phrony_policy_build_nomem(&walk->build);
    }

    return 0;
}


static int
phrony_policy_json_value(phrony_policy_walk_t *walk, const char *name)
{
    json_t    *value;
    unsigned   n;

    (void) phrony_policy_text_next(&walk->text);

    for (n = 0; n < PHRONY_POLICY_SECTIONS; n++) {
        if (strcmp(phrony_policy_sections[n].name, name) == 0) {
            return phrony_policy_json_section(walk, n);
        }
    }

    value = phrony_policy_text_load(&walk->text,
                                    JSON_DECODE_ANY | JSON_ALLOW_NUL,
                                    "a value");
    if (value == NULL) {
        return -1;
    }

    json_decref(value);

    return 0;
}


/*
 * Records are added while they are first read if those that they may refer
 * to are there; else only their syntax is checked now, and they are read
 * once more at the end.
 */

static int
phrony_policy_json_section(phrony_policy_walk_t *walk, unsigned n)
{
    phrony_policy_build_t  *build;

    walk->start[n] = walk->text;
    build = NULL;

    if (walk->added == n) {
        build = &walk->build;
        walk->added++;
    }

    return phrony_policy_json_array(&walk->text, &phrony_policy_sections[n],
                                    build);
}


/* What is to be done after the last brace. */

static int
phrony_policy_json_close(phrony_policy_walk_t *walk)
{
    unsigned                        n;
    const phrony_policy_section_t  *section;

    if (phrony_policy_text_next(&walk->text) != -1) {
        return phrony_policy_text_fail(&walk->text, "nothing may follow the "
                                       "object");
    }

    for (n = 0; n < PHRONY_POLICY_SECTIONS; n++) {
        if (walk->start[n].pos == NULL) {
            return phrony_policy_text_fail(&walk->text, "member \"%s\" is "
                                           "missing",
                                           phrony_policy_sections[n].name);
        }
    }

    for (n = walk->added; n < PHRONY_POLICY_SECTIONS; n++) {
        section = &phrony_policy_sections[n];

        if (phrony_policy_json_array(&walk->start[n], section, &walk->build)
            == -1)
        {
            return -1;
        }
    }

    return 0;
}


/* Reads one array; "build" is NULL if its records are not to be added. */

static int
phrony_policy_json_array(phrony_policy_text_t *text,
    const phrony_policy_section_t *section, phrony_policy_build_t *build)
{
    int              ch;
    phrony_record_t  record;

    if (phrony_policy_text_next(text) != '[') {
        return phrony_policy_text_fail(text, "member \"%s\" is not an array",
                                       section->name);
    }

    text->pos++;

    if (phrony_policy_text_next(text) == ']') {
        text->pos++;
        return 0;
    }

    memset(&record, 0, sizeof(phrony_record_t));
    record.kind = section->kind;
    record.error = text->error;

    do {
        record.number++;

        if (phrony_policy_json_record(text, &record, section->add, build)
            == -1)
        {
            return -1;
        }

        ch = phrony_policy_text_next(text);

        if (ch != ',' && ch != ']') {
            return phrony_policy_text_fail(text, "\",\" or \"]\" is expected "
                                           "after %s %zu", record.kind,
                                           record.number);
        }

        text->pos++;

    } while (ch == ',');

    return 0;
}


static int
phrony_policy_json_record(phrony_policy_text_t *text, phrony_record_t *record,
    phrony_policy_add_pt add, phrony_policy_build_t *build)
{
    int      rc;
    char     what[PHRONY_RECORD_PRINT_LEN];
    json_t  *json;

    if (phrony_policy_text_next(text) != '{') {
        return phrony_policy_text_fail(text, "%s %zu is not an object",
                                       record->kind, record->number);
    }

    snprintf(what, sizeof(what), "%s %zu", record->kind, record->number);

    record->line = text->line;

    json = phrony_policy_text_load(text, JSON_ALLOW_NUL, what);
    if (json == NULL) {
        return -1;
    }

    rc = 0;

    if (build) {
        record->json = json;
        rc = add(build, record);
        record->json = NULL;
    }

    json_decref(json);

    return rc;
}
