
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include <stdio.h>
#include <stdlib.h>

#include "phrony_policy_build.h"
#include "phrony_policy_key.h"
#include "phrony_policy_text.h"


static int phrony_policy_key_read(phrony_record_t *record,
    const phrony_policy_name_t *name, phrony_policy_name_t **names,
    size_t *n);
static int phrony_policy_key_scopes(phrony_record_t *record,
    const json_t *scopes, phrony_policy_name_t *names);
static size_t phrony_policy_key_sort(phrony_policy_name_t *names, size_t n);
static int phrony_policy_key_compare(const void *one, const void *two);
static int phrony_policy_key_pieces(phrony_policy_build_t *build,
    const phrony_policy_piece_t *pieces, size_t n, size_t *broken);
static int phrony_policy_key_piece(phrony_policy_build_t *build,
    const phrony_policy_piece_t *piece);
static int phrony_policy_key_add(phrony_policy_build_t *build,
    const phrony_policy_name_t *name, phrony_record_t *record);
static int phrony_policy_key_foreign(phrony_policy_build_t *build,
    phrony_record_t *record);
static json_t *phrony_policy_key_load(phrony_record_t *record,
    const phrony_policy_piece_t *piece, phrony_policy_error_t *error);
static int phrony_policy_key_named(const phrony_record_t *record,
    const phrony_policy_name_t *name);


int
phrony_policy_key_refers(const phrony_policy_piece_t *key,
    phrony_policy_name_t **names, size_t *n, phrony_policy_error_t *error)
{
    int               rc;
    json_t           *json;
    phrony_record_t   record;

    json = phrony_policy_key_load(&record, key, error);

    if (json == NULL) {
        return -1;
    }

    rc = phrony_policy_key_read(&record, &key->name, names, n);

    json_decref(json);

    return rc;
}


static int
phrony_policy_key_read(phrony_record_t *record,
    const phrony_policy_name_t *name, phrony_policy_name_t **names, size_t *n)
{
    size_t                 count;
    const json_t          *scopes;
    phrony_uuid_t          id;
    phrony_policy_name_t  *found;

    scopes = NULL;

    if (phrony_policy_key_named(record, name) == -1
        || phrony_record_uuid(record, "workspaceId", &id) == -1
        || phrony_record_array(record, "scopes", &scopes) == -1)
    {
        return -1;
    }

    count = json_array_size(scopes);

    if (count > PHRONY_POLICY_KEY_SCOPES) {
        return phrony_record_fail(record, "member \"scopes\" has more than %d "
                                  "entries", PHRONY_POLICY_KEY_SCOPES);
    }

    found = malloc((count + 1) * sizeof(phrony_policy_name_t));

    if (found == NULL) {
        return phrony_policy_error_nomem(record->error);
    }

    phrony_policy_name_uuid(found, PHRONY_POLICY_NAME_WORKSPACE, &id);

    if (phrony_policy_key_scopes(record, scopes, found + 1) == -1) {
        free(found);
        return -1;
    }

    *n = 1 + phrony_policy_key_sort(found + 1, count);
    *names = found;

    return 0;
}


static int
phrony_policy_key_scopes(phrony_record_t *record, const json_t *scopes,
    phrony_policy_name_t *names)
{
    size_t         i;
    phrony_uuid_t  id;

    for (i = 0; i < json_array_size(scopes); i++) {
        record->scope = json_array_get(scopes, i);
        record->nscope = i + 1;

        if (!json_is_object(record->scope)) {
            return phrony_record_fail(record, "it is not an object");
        }

        if (phrony_record_uuid(record, "triggerId", &id) == -1) {
            return -1;
        }

        phrony_policy_name_uuid(&names[i], PHRONY_POLICY_NAME_TRIGGER, &id);
    }

    return 0;
}


/* Keeps one of each name; returns how many are left. */

static size_t
phrony_policy_key_sort(phrony_policy_name_t *names, size_t n)
{
    size_t  i, last;

    if (n < 2) {
        return n;
    }

    qsort(names, n, sizeof(phrony_policy_name_t), phrony_policy_key_compare);

    last = 0;

    for (i = 1; i < n; i++) {
        if (!phrony_policy_name_eq(&names[i], &names[last])) {
            names[++last] = names[i];
        }
    }

    return last + 1;
}


static int
phrony_policy_key_compare(const void *one, const void *two)
{
    const phrony_policy_name_t  *a, *b;

    a = one;
    b = two;

    return memcmp(a->id, b->id, PHRONY_UUID_LEN);
}


phrony_policy_t *
phrony_policy_key_parse(const phrony_policy_piece_t *pieces, size_t n,
    size_t *broken, phrony_policy_error_t *error)
{
    phrony_policy_build_t  build;

    *broken = 0;

    if (phrony_policy_build_init(&build, error) == -1) {
        return NULL;
    }

    build.partial = 1;

    if (phrony_policy_key_pieces(&build, pieces, n, broken) == -1) {
        phrony_policy_build_abort(&build);
        return NULL;
    }

    error->line = 0;
    error->text[0] = '\0';

    return phrony_policy_build_done(&build);
}


/* The key comes last, since it refers to the others. */

static int
phrony_policy_key_pieces(phrony_policy_build_t *build,
    const phrony_policy_piece_t *pieces, size_t n, size_t *broken)
{
    size_t  i;

    /* without its workspace the key is to blame, whatever the triggers are */

    for (i = 1; i < n && pieces[1].text.data; i++) {

        if (pieces[i].text.data
            && phrony_policy_key_piece(build, &pieces[i]) == -1)
        {
            *broken = i;
            return -1;
        }
    }

    *broken = 0;

    return phrony_policy_key_piece(build, &pieces[0]);
}


static int
phrony_policy_key_piece(phrony_policy_build_t *build,
    const phrony_policy_piece_t *piece)
{
    int               rc;
    json_t           *json;
    phrony_record_t   record;

    json = phrony_policy_key_load(&record, piece, build->error);

    if (json == NULL) {
        return -1;
    }

    rc = phrony_policy_key_named(&record, &piece->name);

    if (rc == 0) {
        rc = phrony_policy_key_add(build, &piece->name, &record);
    }

    json_decref(json);

    return rc;
}


static int
phrony_policy_key_add(phrony_policy_build_t *build,
    const phrony_policy_name_t *name, phrony_record_t *record)
{
    switch (name->kind) {

    case PHRONY_POLICY_NAME_WORKSPACE:
        return phrony_policy_build_workspace(build, record);

    case PHRONY_POLICY_NAME_TRIGGER:

        if (phrony_policy_key_foreign(build, record) == -1) {
            return -1;
        }

        return phrony_policy_build_trigger(build, record);

    default:
        return phrony_policy_build_key(build, record);
    }
}


/*
 * A trigger may be of another workspace, and as sound as any: it is the key
 * with such a scope that is wrong then, and will be found to be.
 */

static int
phrony_policy_key_foreign(phrony_policy_build_t *build,
    phrony_record_t *record)
{
    phrony_uuid_t  id;

    if (phrony_record_uuid(record, "workspaceId", &id) == -1) {
        return -1;
    }

    return phrony_policy_build_foreign(build, &id);
}


/* Returns the record's object, which is the caller's, or NULL. */

static json_t *
phrony_policy_key_load(phrony_record_t *record,
    const phrony_policy_piece_t *piece, phrony_policy_error_t *error)
{
    json_t                *json;
    phrony_policy_text_t   text;

    memset(record, 0, sizeof(phrony_record_t));
    record->kind = phrony_policy_name_kind(&piece->name);
    record->error = error;

    text.pos = (const char *) piece->text.data;
    text.end = text.pos + piece->text.len;
    text.line = 1;
    text.error = error;

    if (phrony_policy_text_next(&text) != '{') {
        (void) phrony_policy_text_fail(&text, "%s is not an object",
                                       record->kind);
        return NULL;
    }

    json = phrony_policy_text_load(&text, JSON_ALLOW_NUL, record->kind);

    if (json == NULL) {
        return NULL;
    }

    if (phrony_policy_text_next(&text) != -1) {
        (void) phrony_policy_text_fail(&text, "nothing may follow the object");
        json_decref(json);
        return NULL;
    }

    record->json = json;

    return json;
}


/* What the record says of itself must be what it was asked for by. */

static int
phrony_policy_key_named(const phrony_record_t *record,
    const phrony_policy_name_t *name)
{
    size_t          len;
    const char     *member;
    phrony_uuid_t   id;
    unsigned char   digest[PHRONY_KEY_DIGEST_LEN];

    if (phrony_record_uuid(record, "id", &id) == -1) {
        return -1;
    }

    member = "id";
    len = PHRONY_UUID_LEN;
    memcpy(digest, id.bytes, len);

    if (name->kind == PHRONY_POLICY_NAME_KEY) {
        member = "sha256";
        len = PHRONY_KEY_DIGEST_LEN;

        if (phrony_record_digest(record, member, digest) == -1) {
            return -1;
        }
    }

    if (memcmp(digest, name->id, len) != 0) {
        return phrony_record_fail(record, "member \"%s\" is not the one in "
                                  "the record's name", member);
    }

    return 0;
}
