
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include <stdlib.h>

#include "phrony_policy_key.h"


/*
 * The records of one key, with a byte FUZZ_NEXT between them: the key's, the
 * workspace's, then those of the triggers that the first one refers to, in
 * the order in which it does; an empty one is not there.  Whatever they hold,
 * there is either an error that can be printed, or a policy of this key and
 * of nothing that it does not refer to.
 */

#define FUZZ_NEXT  0x1c


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_name(const phrony_str_t *text);
static size_t fuzz_pieces(phrony_policy_piece_t *pieces, size_t n,
    unsigned char *text, size_t size);
static void fuzz_key(phrony_policy_piece_t *pieces, unsigned char *text,
    size_t size);
static void fuzz_names(const phrony_policy_name_t *names, size_t n);
static void fuzz_parse(const phrony_policy_piece_t *pieces, size_t n);
static void fuzz_policy(const phrony_policy_t *policy,
    const phrony_policy_piece_t *pieces, size_t n);
static int fuzz_named(const phrony_policy_piece_t *pieces, size_t n,
    const phrony_uuid_t *id);
static void fuzz_error(const phrony_policy_error_t *error);
static void fuzz_assert(int cond);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    phrony_str_t                  text;
    unsigned char                *copy;
    static phrony_policy_piece_t  pieces[PHRONY_POLICY_KEY_PIECES];

    /* of the exact size, so that a byte too many is seen */

    copy = malloc(size + (size == 0));

    if (copy == NULL) {
        return 0;
    }

    if (size) {
        memcpy(copy, data, size);
    }

    text.data = copy;
    text.len = size;

    fuzz_name(&text);
    fuzz_key(pieces, copy, size);

    free(copy);

    return 0;
}


/* There is one text for each name. */

static void
fuzz_name(const phrony_str_t *text)
{
    phrony_str_t          prefix;
    unsigned char         buf[6 + PHRONY_POLICY_NAME_LEN], *end;
    phrony_policy_name_t  name;

    prefix.data = (unsigned char *) "phrony";
    prefix.len = 6;

    if (phrony_policy_name_parse(text, &prefix, &name) == -1) {
        return;
    }

    end = phrony_policy_name_format(buf, &name, &prefix);

    fuzz_assert((size_t) (end - buf) == text->len
                && memcmp(buf, text->data, text->len) == 0);
}


static void
fuzz_key(phrony_policy_piece_t *pieces, unsigned char *text, size_t size)
{
    size_t                  i, n;
    unsigned char           digest[PHRONY_KEY_DIGEST_LEN];
    phrony_policy_name_t   *names;
    phrony_policy_error_t   error;

    /* 0123456789abcdef, four times */

    for (i = 0; i < PHRONY_KEY_DIGEST_LEN; i++) {
        digest[i] = (unsigned char) (i % 8 * 0x22 + 0x01);
    }

    memset(&error, 0xff, sizeof(error));

    phrony_policy_name_key(&pieces[0].name, digest);
    (void) fuzz_pieces(pieces, 1, text, size);

    if (pieces[0].text.data == NULL) {
        return;
    }

    if (phrony_policy_key_refers(&pieces[0], &names, &n, &error) == -1) {
        fuzz_error(&error);
        return;
    }

    fuzz_names(names, n);

    for (i = 0; i < n; i++) {
        pieces[1 + i].name = names[i];
    }

    free(names);

    fuzz_parse(pieces, fuzz_pieces(pieces, 1 + n, text, size));
}


/* Sets the texts of "n" pieces. */

static size_t
fuzz_pieces(phrony_policy_piece_t *pieces, size_t n, unsigned char *text,
    size_t size)
{
    size_t         i;
    unsigned char  *end, *next;

    end = text + size;

    for (i = 0; i < n; i++) {
        next = (text == end) ? NULL
                             : memchr(text, FUZZ_NEXT, (size_t) (end - text));

        pieces[i].text.data = text;
        pieces[i].text.len = (size_t) ((next ? next : end) - text);

        if (pieces[i].text.len == 0) {
            pieces[i].text.data = NULL;
        }

        text = next ? next + 1 : end;
    }

    return n;
}


static void
fuzz_names(const phrony_policy_name_t *names, size_t n)
{
    size_t  i;

    fuzz_assert(n > 0 && n < PHRONY_POLICY_KEY_PIECES);
    fuzz_assert(names[0].kind == PHRONY_POLICY_NAME_WORKSPACE);

    for (i = 1; i < n; i++) {
        fuzz_assert(names[i].kind == PHRONY_POLICY_NAME_TRIGGER);
        fuzz_assert(i == 1 || memcmp(names[i - 1].id, names[i].id,
                                     PHRONY_UUID_LEN) < 0);
    }
}


static void
fuzz_parse(const phrony_policy_piece_t *pieces, size_t n)
{
    size_t                  broken;
    phrony_policy_t        *policy;
    phrony_policy_error_t   error;

    memset(&error, 0xff, sizeof(error));
    broken = n;

    policy = phrony_policy_key_parse(pieces, n, &broken, &error);

    if (policy == NULL) {
        fuzz_error(&error);
        fuzz_assert(broken < n);
        fuzz_assert(broken == 0 || pieces[broken].text.data != NULL);
        return;
    }

    fuzz_policy(policy, pieces, n);
    phrony_policy_free(policy);
}


static void
fuzz_policy(const phrony_policy_t *policy,
    const phrony_policy_piece_t *pieces, size_t n)
{
    uint32_t                 i, scopes;
    const phrony_key_t      *key;
    phrony_policy_stat_t     stat;
    const phrony_trigger_t  *trigger;

    phrony_policy_stat(policy, &stat);

    fuzz_assert(stat.workspaces == 1 && stat.keys == 1
                && stat.triggers <= n - 2);

    key = phrony_policy_key(policy, pieces[0].name.id);

    fuzz_assert(key != NULL);
    fuzz_assert(memcmp(phrony_policy_workspace(policy, key->workspace)
                       ->id.bytes, pieces[1].name.id, PHRONY_UUID_LEN) == 0);

    scopes = phrony_policy_nscopes(policy, key);
    fuzz_assert(scopes == stat.triggers);

    for (i = 0; i < scopes; i++) {
        trigger = phrony_policy_scope(policy, key, i);

        fuzz_assert(fuzz_named(pieces, n, &trigger->id));
        fuzz_assert(trigger->workspace == key->workspace);
        fuzz_assert(phrony_policy_key_has_trigger(policy, key, trigger));
    }
}


/* Is it the id of a trigger that is there? */

static int
fuzz_named(const phrony_policy_piece_t *pieces, size_t n,
    const phrony_uuid_t *id)
{
    size_t  i;

    for (i = 2; i < n; i++) {
        if (memcmp(pieces[i].name.id, id->bytes, PHRONY_UUID_LEN) == 0) {
            return pieces[i].text.data != NULL;
        }
    }

    return 0;
}


static void
fuzz_error(const phrony_policy_error_t *error)
{
    size_t  i;

    fuzz_assert(memchr(error->text, '\0', sizeof(error->text)) != NULL);
    fuzz_assert(error->text[0] != '\0');

    for (i = 0; error->text[i]; i++) {
        fuzz_assert(error->text[i] >= 0x20 && error->text[i] <= 0x7e);
    }
}


static void
fuzz_assert(int cond)
{
    if (!cond) {
        abort();
    }
}
