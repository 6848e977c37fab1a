
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_phrony_policy_fetch.h"
#include "ngx_phrony_policy_kept.h"
#include "ngx_phrony_policy_read.h"


#define NGX_PHRONY_POLICY_FETCH_ROUNDS  2   /* further ones */


static ngx_phrony_policy_fetch_t **ngx_phrony_policy_fetch_chain(
    ngx_phrony_policy_redis_t *policy,
    const u_char digest[PHRONY_KEY_DIGEST_LEN]);
static void ngx_phrony_policy_fetch_go(ngx_phrony_policy_fetch_t *fetch);
static void ngx_phrony_policy_fetch_key(ngx_phrony_policy_fetch_t *fetch);
static void ngx_phrony_policy_fetch_others(ngx_phrony_policy_fetch_t *fetch);
static void ngx_phrony_policy_fetch_finish(ngx_phrony_policy_fetch_t *fetch);
static ngx_uint_t ngx_phrony_policy_fetch_stands(
    ngx_phrony_policy_fetch_t *fetch);
static void ngx_phrony_policy_fetch_build(ngx_phrony_policy_fetch_t *fetch,
    ngx_uint_t keep);
static ngx_phrony_policy_built_t *ngx_phrony_policy_fetch_same(
    ngx_phrony_policy_fetch_t *fetch);
static ngx_int_t ngx_phrony_policy_fetch_parse(
    ngx_phrony_policy_fetch_t *fetch, ngx_phrony_policy_built_t *built);
static ngx_int_t ngx_phrony_policy_fetch_sound(
    ngx_phrony_policy_fetch_t *fetch);
static ngx_int_t ngx_phrony_policy_fetch_invalid(
    ngx_phrony_policy_fetch_t *fetch, ngx_uint_t i,
    phrony_policy_error_t *error);
static void ngx_phrony_policy_fetch_blame(ngx_phrony_policy_fetch_t *fetch,
    ngx_uint_t i, const char *what);
static void ngx_phrony_policy_fetch_unavailable(
    ngx_phrony_policy_fetch_t *fetch);
static void ngx_phrony_policy_fetch_tell(ngx_phrony_policy_fetch_t *fetch,
    ngx_phrony_lookup_t *lookup);
static void ngx_phrony_policy_fetch_link(ngx_phrony_policy_fetch_t *fetch);
static void ngx_phrony_policy_fetch_unlink(ngx_phrony_policy_fetch_t *fetch);
static void ngx_phrony_policy_fetch_free(ngx_phrony_policy_fetch_t *fetch);


ngx_phrony_policy_fetch_t *
ngx_phrony_policy_fetch_find(ngx_phrony_policy_redis_t *policy,
    const u_char digest[PHRONY_KEY_DIGEST_LEN])
{
    ngx_phrony_policy_fetch_t  *fetch;

    fetch = *ngx_phrony_policy_fetch_chain(policy, digest);

    while (fetch
           && !phrony_equal_const_time(fetch->digest, digest,
                                       PHRONY_KEY_DIGEST_LEN))
    {
        fetch = fetch->next;
    }

    return fetch;
}


static ngx_phrony_policy_fetch_t **
ngx_phrony_policy_fetch_chain(ngx_phrony_policy_redis_t *policy,
    const u_char digest[PHRONY_KEY_DIGEST_LEN])
{
    uint32_t  hash;

    ngx_memcpy(&hash, digest, sizeof(uint32_t));

    return &policy->fetches[hash % NGX_PHRONY_POLICY_REDIS_CHAINS];
}


ngx_int_t
ngx_phrony_policy_fetch_begin(ngx_phrony_policy_redis_t *policy,
    ngx_phrony_lookup_t *lookup)
{
    ngx_phrony_policy_fetch_t  *fetch;

    fetch = ngx_calloc(sizeof(ngx_phrony_policy_fetch_t), policy->log);
    if (fetch == NULL) {
        return NGX_ERROR;
    }

    fetch->held.waiting = 1;
    fetch->policy = policy;
    fetch->rounds = NGX_PHRONY_POLICY_FETCH_ROUNDS;

    ngx_queue_init(&fetch->lookups);
    ngx_memcpy(fetch->digest, lookup->digest, PHRONY_KEY_DIGEST_LEN);

    ngx_phrony_policy_fetch_link(fetch);
    ngx_phrony_policy_fetch_go(fetch);

    if (fetch->step == NGX_PHRONY_POLICY_FETCH_DONE) {
        ngx_phrony_policy_fetch_tell(fetch, lookup);
        ngx_phrony_policy_fetch_free(fetch);

        return NGX_OK;
    }

    ngx_phrony_policy_fetch_wait(fetch, lookup);

    return NGX_AGAIN;
}


void
ngx_phrony_policy_fetch_wait(ngx_phrony_policy_fetch_t *fetch,
    ngx_phrony_lookup_t *lookup)
{
    lookup->held = fetch;
    ngx_queue_insert_tail(&fetch->lookups, &lookup->queue);
}


void
ngx_phrony_policy_fetch_resume(ngx_phrony_policy_fetch_t *fetch)
{
    ngx_queue_t          *q;
    ngx_phrony_lookup_t  *lookup;

    ngx_phrony_policy_fetch_go(fetch);

    if (fetch->step != NGX_PHRONY_POLICY_FETCH_DONE) {
        return;
    }

    ngx_phrony_policy_fetch_unlink(fetch);

    while (!ngx_queue_empty(&fetch->lookups)) {
        q = ngx_queue_head(&fetch->lookups);
        lookup = ngx_queue_data(q, ngx_phrony_lookup_t, queue);

        ngx_queue_remove(q);

        ngx_phrony_policy_fetch_tell(fetch, lookup);
        lookup->handler(lookup);
    }

    ngx_phrony_policy_fetch_free(fetch);
}


/* Takes all steps that need no reply. */

static void
ngx_phrony_policy_fetch_go(ngx_phrony_policy_fetch_t *fetch)
{
    while (fetch->pending == 0
           && fetch->step != NGX_PHRONY_POLICY_FETCH_DONE)
    {
        if (fetch->failed) {

            /* who asks from now on shall not get what is old */

            ngx_phrony_policy_fetch_unlink(fetch);
            ngx_phrony_policy_read_fall_back(fetch);
        }

        if (fetch->lost) {
            ngx_phrony_policy_fetch_unavailable(fetch);
            return;
        }

        switch (fetch->step) {

        case NGX_PHRONY_POLICY_FETCH_BEGIN:
            ngx_phrony_policy_fetch_key(fetch);
            break;

        case NGX_PHRONY_POLICY_FETCH_KEY:
            ngx_phrony_policy_fetch_others(fetch);
            break;

        default:
            ngx_phrony_policy_fetch_finish(fetch);
            break;
        }
    }
}


static void
ngx_phrony_policy_fetch_key(ngx_phrony_policy_fetch_t *fetch)
{
    phrony_policy_name_t  name;

    if (ngx_phrony_policy_read_room(fetch, 1) != NGX_OK) {
        ngx_phrony_policy_fetch_unavailable(fetch);
        return;
    }

    phrony_policy_name_key(&name, fetch->digest);

    ngx_phrony_policy_read_name(fetch, 0, &name);
    ngx_phrony_policy_read(fetch, 0);

    fetch->step = NGX_PHRONY_POLICY_FETCH_KEY;
}


/* A key's record that tells of no others is judged with the next step. */

static void
ngx_phrony_policy_fetch_others(ngx_phrony_policy_fetch_t *fetch)
{
    size_t                  i, n;
    phrony_policy_name_t   *names;
    phrony_policy_error_t   error;

    fetch->step = NGX_PHRONY_POLICY_FETCH_OTHERS;

    if (fetch->reads[0].state != NGX_PHRONY_CACHE_TEXT
        || phrony_policy_key_refers(&fetch->pieces[0], &names, &n, &error)
           == -1)
    {
        return;
    }

    if (ngx_phrony_policy_read_room(fetch, 1 + n) == NGX_OK) {

        for (i = 0; i < n; i++) {
            ngx_phrony_policy_read_name(fetch, 1 + i, &names[i]);
        }

        ngx_phrony_policy_read(fetch, 1);

    } else {
        ngx_phrony_policy_fetch_unavailable(fetch);
    }

    free(names);
}


/*
 * All is there, but what was read first may have changed since: then all is
 * read again, if that has not happened too often already.  What is read the
 * last time is as new as those may expect who have asked before: it serves
 * them, and nobody else.
 */

static void
ngx_phrony_policy_fetch_finish(ngx_phrony_policy_fetch_t *fetch)
{
    ngx_uint_t  stands;

    stands = ngx_phrony_policy_fetch_stands(fetch);

    if (!stands && fetch->rounds) {
        fetch->rounds--;

        if (fetch->rounds == 0) {
            ngx_phrony_policy_fetch_unlink(fetch);
        }

        ngx_phrony_policy_read_clear(fetch);
        fetch->step = NGX_PHRONY_POLICY_FETCH_BEGIN;
        return;
    }

    fetch->step = NGX_PHRONY_POLICY_FETCH_DONE;

    if (fetch->reads[0].state == NGX_PHRONY_CACHE_ABSENT) {
        fetch->state = NGX_PHRONY_LOOKUP_UNKNOWN;
        return;
    }

    ngx_phrony_policy_fetch_build(fetch, stands);
}


static ngx_uint_t
ngx_phrony_policy_fetch_stands(ngx_phrony_policy_fetch_t *fetch)
{
    ngx_uint_t          stands;
    ngx_phrony_root_t  *root;

    root = ngx_phrony_zone_lock(fetch->policy->zone);

    stands = ngx_phrony_policy_parts_stand(root, fetch->parts, fetch->n);

    ngx_phrony_zone_unlock(fetch->policy->zone);

    return stands;
}


static void
ngx_phrony_policy_fetch_build(ngx_phrony_policy_fetch_t *fetch,
    ngx_uint_t keep)
{
    ngx_uint_t                  i;
    ngx_phrony_policy_redis_t  *policy;
    ngx_phrony_policy_built_t  *built;

    policy = fetch->policy;
    built = keep ? ngx_phrony_policy_fetch_same(fetch) : NULL;

    if (built == NULL) {
        built = ngx_phrony_policy_built_create(policy, fetch->digest,
                                               fetch->n);

        if (built == NULL
            || ngx_phrony_policy_fetch_parse(fetch, built) != NGX_OK)
        {
            if (built) {
                ngx_phrony_policy_built_drop(built);
            }

            ngx_phrony_policy_fetch_unavailable(fetch);
            return;
        }
    }

    ngx_memcpy(built->parts, fetch->parts,
               fetch->n * sizeof(ngx_phrony_policy_part_t));

    built->epoch = fetch->parts[0].seen;
    built->fetched = fetch->parts[0].fetched;

    for (i = 1; i < fetch->n; i++) {
        built->fetched = ngx_min(built->fetched, fetch->parts[i].fetched);
    }

    if (keep) {
        ngx_phrony_policy_kept_add(policy, built);
    }

    fetch->built = built;
}


/* What is kept, if it was built of the same; with one more reference. */

static ngx_phrony_policy_built_t *
ngx_phrony_policy_fetch_same(ngx_phrony_policy_fetch_t *fetch)
{
    ngx_uint_t                  i;
    ngx_phrony_policy_part_t   *part;
    ngx_phrony_policy_built_t  *built;

    built = ngx_phrony_policy_kept_find(fetch->policy, fetch->digest);

    if (built == NULL || built->nparts != fetch->n) {
        return NULL;
    }

    for (i = 0; i < fetch->n; i++) {
        part = &fetch->parts[i];

        if (part->version == 0 || part->version != built->parts[i].version) {
            return NULL;
        }
    }

    built->refs++;

    return built;
}


/* Returns NGX_ERROR if there is no memory. */

static ngx_int_t
ngx_phrony_policy_fetch_parse(ngx_phrony_policy_fetch_t *fetch,
    ngx_phrony_policy_built_t *built)
{
    size_t                  n, broken;
    phrony_policy_name_t   *names;
    phrony_policy_stat_t    stat;
    phrony_policy_error_t   error;

    if (ngx_phrony_policy_fetch_sound(fetch) != NGX_OK) {
        return NGX_OK;
    }

    if (fetch->n == 1) {

        if (phrony_policy_key_refers(&fetch->pieces[0], &names, &n, &error)
            == -1)
        {
            return ngx_phrony_policy_fetch_invalid(fetch, 0, &error);
        }

        /* there was no memory before */

        free(names);

        return NGX_ERROR;
    }

    built->policy = phrony_policy_key_parse(fetch->pieces, fetch->n, &broken,
                                            &error);

    if (built->policy == NULL) {
        return ngx_phrony_policy_fetch_invalid(fetch, broken, &error);
    }

    built->key = phrony_policy_key(built->policy, fetch->digest);

    phrony_policy_stat(built->policy, &stat);
    built->bytes += stat.bytes;

    return NGX_OK;
}


/* Returns NGX_DECLINED if there is a record without a text to parse. */

static ngx_int_t
ngx_phrony_policy_fetch_sound(ngx_phrony_policy_fetch_t *fetch)
{
    ngx_uint_t  i;

    for (i = 0; i < fetch->n; i++) {

        if (fetch->reads[i].state == NGX_PHRONY_CACHE_LARGE) {
            ngx_phrony_policy_fetch_blame(fetch, i, "it is too large");
            return NGX_DECLINED;
        }

        if (fetch->reads[i].state == NGX_PHRONY_CACHE_ODD) {
            ngx_phrony_policy_fetch_blame(fetch, i, "it is not a string");
            return NGX_DECLINED;
        }
    }

    if (fetch->bytes > NGX_PHRONY_POLICY_KEY_MAX) {
        ngx_phrony_policy_fetch_blame(fetch, 0, "it and those that it refers "
                                      "to are too large together");
        return NGX_DECLINED;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_phrony_policy_fetch_invalid(ngx_phrony_policy_fetch_t *fetch,
    ngx_uint_t i, phrony_policy_error_t *error)
{
    u_char  text[sizeof(error->text) + 32];

    if (ngx_strcmp(error->text, "no memory") == 0) {
        return NGX_ERROR;
    }

    if (error->line) {
        (void) ngx_sprintf(text, "line %uz: %s%Z", error->line, error->text);

    } else {
        (void) ngx_sprintf(text, "%s%Z", error->text);
    }

    ngx_phrony_policy_fetch_blame(fetch, i, (char *) text);

    return NGX_OK;
}


static void
ngx_phrony_policy_fetch_blame(ngx_phrony_policy_fetch_t *fetch, ngx_uint_t i,
    const char *what)
{
    ngx_str_t                   name;
    ngx_phrony_policy_redis_t  *policy;

    policy = fetch->policy;

    name.data = policy->name;
    name.len = phrony_policy_name_print(policy->name, &fetch->parts[i].name,
                                        &policy->prefix)
               - policy->name;

    ngx_log_error(NGX_LOG_ERR, policy->log, 0,
                  "phrony policy record \"%V\" is not valid: %s, "
                  "key %02xd%02xd%02xd%02xd... is refused", &name, what,
                  fetch->digest[0], fetch->digest[1], fetch->digest[2],
                  fetch->digest[3]);
}


/* Nobody can tell, unless what is kept may be used without asking. */

static void
ngx_phrony_policy_fetch_unavailable(ngx_phrony_policy_fetch_t *fetch)
{
    ngx_phrony_policy_built_t  *built;

    fetch->step = NGX_PHRONY_POLICY_FETCH_DONE;
    fetch->state = NGX_PHRONY_LOOKUP_UNAVAILABLE;

    built = ngx_phrony_policy_kept_find(fetch->policy, fetch->digest);

    if (built
        && ngx_phrony_policy_built_check(fetch->policy, built)
           != NGX_PHRONY_POLICY_OLD)
    {
        built->refs++;
        fetch->built = built;
    }
}


static void
ngx_phrony_policy_fetch_tell(ngx_phrony_policy_fetch_t *fetch,
    ngx_phrony_lookup_t *lookup)
{
    lookup->held = NULL;
    lookup->policy = NULL;
    lookup->key = NULL;
    lookup->state = fetch->state;

    if (fetch->built) {
        ngx_phrony_policy_built_answer(fetch->built, lookup);
    }
}


static void
ngx_phrony_policy_fetch_link(ngx_phrony_policy_fetch_t *fetch)
{
    ngx_phrony_policy_fetch_t  **chain;

    chain = ngx_phrony_policy_fetch_chain(fetch->policy, fetch->digest);

    fetch->next = *chain;
    *chain = fetch;

    fetch->linked = 1;
}


static void
ngx_phrony_policy_fetch_unlink(ngx_phrony_policy_fetch_t *fetch)
{
    ngx_phrony_policy_fetch_t  **link;

    if (!fetch->linked) {
        return;
    }

    fetch->linked = 0;

    link = ngx_phrony_policy_fetch_chain(fetch->policy, fetch->digest);

    while (*link != fetch) {
        link = &(*link)->next;
    }

    *link = fetch->next;
}


static void
ngx_phrony_policy_fetch_free(ngx_phrony_policy_fetch_t *fetch)
{
    ngx_phrony_policy_fetch_unlink(fetch);
    ngx_phrony_policy_read_clear(fetch);

    if (fetch->built) {
        ngx_phrony_policy_built_drop(fetch->built);
    }

    ngx_free(fetch);
}


void
ngx_phrony_policy_fetch_clear(ngx_phrony_policy_redis_t *policy)
{
    ngx_uint_t                  i;
    ngx_phrony_policy_fetch_t  *fetch;

    for (i = 0; i < NGX_PHRONY_POLICY_REDIS_CHAINS; i++) {

        while (policy->fetches[i]) {
            fetch = policy->fetches[i];

            policy->fetches[i] = fetch->next;
            fetch->linked = 0;

            ngx_phrony_policy_fetch_free(fetch);
        }
    }
}
