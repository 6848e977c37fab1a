
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include <stdio.h>
#include <stdlib.h>

#include "phrony_table.h"
#include "phrony_time.h"

#include "ctl_file.h"
#include "ctl_options.h"
#include "ctl_output.h"
#include "ctl_policy.h"
#include "ctl_redis.h"


#define CTL_IMPORT_BATCH  256


typedef struct {
    json_t           *record;
    json_t           *old;                  /* NULL: there is none */
    char             *was;                  /* its text */
    size_t            len;
    char             *text;
    unsigned char     name[CTL_POLICY_NAME];
    phrony_str_t      key;
} ctl_import_one_t;


typedef struct {
    ctl_t            *ctl;
    ctl_file_t        file;
    ctl_progress_t    progress;
    int               dry;
    size_t            created;
    size_t            changed;
    size_t            same;
    size_t            deleted;
    size_t            kept;
    ctl_import_one_t  batch[CTL_IMPORT_BATCH];
    size_t            n;
    phrony_table_t    pruned;               /* phrony_policy_name_t */
} ctl_import_t;


/* A record comes before those that refer to it, and goes after them. */

static const phrony_policy_kind_t  ctl_import_order[] = {
    PHRONY_POLICY_NAME_WORKSPACE,
    PHRONY_POLICY_NAME_TRIGGER,
    PHRONY_POLICY_NAME_KEY
};


static ctl_code_t ctl_import_file(ctl_import_t *import);
static ctl_code_t ctl_import_add(void *data,
    const phrony_policy_name_t *name, json_t *record);
static ctl_code_t ctl_import_flush(ctl_import_t *import);
static ctl_code_t ctl_import_old(void *data, size_t i,
    const phrony_resp_t *reply);
static ctl_code_t ctl_import_write(ctl_import_t *import);
static void ctl_import_tell(ctl_import_t *import,
    const ctl_import_one_t *one);
static int ctl_import_keep(ctl_import_t *import,
    const ctl_import_one_t *one);
static int ctl_import_closed(const json_t *record);
static int64_t ctl_import_expires(const json_t *record);
static ctl_code_t ctl_import_written(void *data, size_t i,
    const phrony_resp_t *reply);
static void ctl_import_forget(ctl_import_t *import);
static ctl_code_t ctl_import_prune(void *data,
    const phrony_policy_name_t *name, json_t *record);
static ctl_code_t ctl_import_delete(ctl_import_t *import);
static void ctl_import_report(ctl_import_t *import);


ctl_code_t
ctl_check(ctl_t *ctl)
{
    ctl_code_t             code;
    ctl_file_t             file;
    phrony_policy_stat_t   stat;

    code = ctl_file_open(ctl, ctl->args[0], &file);

    if (code == CTL_OK) {
        phrony_policy_stat(file.policy, &stat);

        if (ctl->json) {
            ctl_print(ctl, json_pack("{s:s, s:I, s:I, s:I}",
                                     "file", ctl->args[0],
                                     "workspaces",
                                     (json_int_t) stat.workspaces,
                                     "triggers", (json_int_t) stat.triggers,
                                     "keys", (json_int_t) stat.keys));
        } else {
            printf("%s is valid: %zu workspaces, %zu triggers, %zu keys\n",
                   ctl->args[0], stat.workspaces, stat.triggers, stat.keys);
        }
    }

    ctl_file_close(&file);

    return code;
}


ctl_code_t
ctl_import(ctl_t *ctl)
{
    ctl_code_t     code;
    ctl_import_t  *import;

    import = ctl_alloc(sizeof(ctl_import_t));
    memset(import, 0, sizeof(ctl_import_t));
    import->ctl = ctl;
    import->dry = ctl_option(ctl, "dry-run") != NULL;

    code = ctl_policy_prefix(ctl)
           ? ctl_file_open(ctl, ctl->args[0], &import->file) : CTL_USAGE;

    if (code == CTL_OK) {
        code = ctl_import_file(import);
    }

    if (code == CTL_OK) {
        ctl_import_report(import);

        code = import->kept ? CTL_REFUSED : CTL_OK;
    }

    ctl_file_close(&import->file);
    free(import);

    return code;
}


static ctl_code_t
ctl_import_file(ctl_import_t *import)
{
    size_t                 i;
    ctl_code_t             code;
    phrony_policy_stat_t   stat;

    phrony_policy_stat(import->file.policy, &stat);

    ctl_progress_begin(&import->progress, import->ctl, "records",
                       stat.workspaces + stat.triggers + stat.keys);

    code = CTL_OK;

    for (i = 0; i < PHRONY_POLICY_NAME_KINDS && code == CTL_OK; i++) {
        code = ctl_file_each(&import->file, ctl_import_order[i],
                             ctl_import_add, import);

        if (code == CTL_OK) {
            code = ctl_import_flush(import);
        }
    }

    ctl_progress_end(&import->progress);

    if (ctl_option(import->ctl, "prune") == NULL) {
        return code;
    }

    phrony_table_init(&import->pruned, sizeof(phrony_policy_name_t));

    while (i-- > 0 && code == CTL_OK) {
        code = ctl_policy_each(import->ctl, ctl_import_order[i],
                               ctl_import_prune, import);
    }

    if (code == CTL_OK && !import->dry) {
        code = ctl_import_delete(import);
    }

    phrony_table_free(&import->pruned);

    return code;
}


static ctl_code_t
ctl_import_add(void *data, const phrony_policy_name_t *name, json_t *record)
{
    ctl_import_t *import = data;

    ctl_import_one_t  *one;

    one = &import->batch[import->n++];
    one->record = json_incref(record);
    one->old = NULL;
    one->was = NULL;
    one->text = NULL;
    one->key = ctl_policy_name(import->ctl, name, one->name);

    return (import->n == CTL_IMPORT_BATCH) ? ctl_import_flush(import)
                                           : CTL_OK;
}


/* What is the same already is not written: gateways need not hear of it. */

static ctl_code_t
ctl_import_flush(ctl_import_t *import)
{
    size_t          i;
    ctl_code_t      code;
    ctl_request_t   requests[CTL_IMPORT_BATCH];

    for (i = 0; i < import->n; i++) {
        ctl_request(&requests[i], "GET", &import->batch[i].key);
    }

    code = import->n ? ctl_redis_batch(import->ctl, requests, import->n,
                                       ctl_import_old, import)
                     : CTL_OK;

    if (code == CTL_OK) {
        code = ctl_import_write(import);
    }

    ctl_import_forget(import);

    return code;
}


static ctl_code_t
ctl_import_old(void *data, size_t i, const phrony_resp_t *reply)
{
    ctl_import_t *import = data;

    json_error_t       error;
    ctl_import_one_t  *one;

    one = &import->batch[i];

    if (reply->type == PHRONY_RESP_STRING) {
        one->was = ctl_copy_str(&reply->str);
        one->len = reply->str.len;
        one->old = json_loadb(one->was, one->len, JSON_ALLOW_NUL, &error);

        if (one->old == NULL) {
            one->old = json_null();
        }
    }

    return CTL_OK;
}


/* Each record only if it still is what was read, as others write, too. */

static ctl_code_t
ctl_import_write(ctl_import_t *import)
{
    size_t             i, n;
    phrony_str_t       was;
    ctl_request_t      requests[CTL_IMPORT_BATCH];
    ctl_import_one_t  *one;

    n = 0;

    for (i = 0; i < import->n; i++) {
        one = &import->batch[i];

        if (one->old && json_equal(one->old, one->record)) {
            import->same++;
            continue;
        }

        if (ctl_import_keep(import, one)) {
            import->kept++;
            continue;
        }

        import->created += (one->old == NULL);
        import->changed += (one->old != NULL);

        ctl_import_tell(import, one);

        one->text = json_dumps(one->record, JSON_COMPACT);
        was.data = (unsigned char *) one->was;
        was.len = one->len;

        ctl_policy_request(&requests[n++], &one->key, one->was ? &was : NULL,
                           one->text);
    }

    ctl_progress_step(&import->progress, import->n);

    return (n == 0 || import->dry)
           ? CTL_OK : ctl_redis_batch(import->ctl, requests, n,
                                      ctl_import_written, import);
}


static void
ctl_import_tell(ctl_import_t *import, const ctl_import_one_t *one)
{
    if (!import->dry || import->ctl->json) {
        return;
    }

    printf("would %s %s\n", one->old ? "change" : "create", one->name);

    if (one->old) {
        ctl_changes(one->old, one->record);
    }
}


/*
 * What somebody has closed since the file was written is not opened by it
 * unless that is asked for: a key may have been revoked, as its text is known.
 */

static int
ctl_import_keep(ctl_import_t *import, const ctl_import_one_t *one)
{
    const char  *what;

    what = NULL;

    if (ctl_option(import->ctl, "reopen") || !json_is_object(one->old)) {
        return 0;
    }

    if (ctl_import_closed(one->old) && !ctl_import_closed(one->record)) {
        what = "is closed";

    } else if (ctl_import_expires(one->old)
               < ctl_import_expires(one->record))
    {
        what = "expires sooner";
    }

    if (what) {
        fprintf(stderr, "phronyctl: %s %s in Redis, and is left as it is\n",
                one->name, what);
    }

    return what != NULL;
}


/* Revoked, suspended or not active. */

static int
ctl_import_closed(const json_t *record)
{
    const char  *status;

    status = ctl_policy_text(record, "status");

    return (status[0] && strcmp(status, "active") != 0)
           || json_is_false(json_object_get(record, "active"));
}


static int64_t
ctl_import_expires(const json_t *record)
{
    int64_t       seconds;
    phrony_str_t  text;

    text.data = (unsigned char *) ctl_policy_text(record, "expiresAt");
    text.len = strlen((char *) text.data);

    return phrony_time_parse(&text, &seconds) == 0 ? seconds : INT64_MAX;
}


static ctl_code_t
ctl_import_written(void *data, size_t i, const phrony_resp_t *reply)
{
    ctl_import_t *import = data;

    int  done;

    (void) i;

    done = ctl_policy_written(reply);

    if (done == -1) {
        return ctl_redis_wrong(import->ctl, "EVAL", reply);
    }

    return done ? CTL_OK
                : ctl_fail(import->ctl, CTL_REFUSED, "a record was changed by "
                           "somebody else meanwhile: run it again");
}


static void
ctl_import_forget(ctl_import_t *import)
{
    size_t  i;

    for (i = 0; i < import->n; i++) {
        json_decref(import->batch[i].record);
        json_decref(import->batch[i].old);
        free(import->batch[i].was);
        free(import->batch[i].text);
    }

    import->n = 0;
}


static ctl_code_t
ctl_import_prune(void *data, const phrony_policy_name_t *name,
    json_t *record)
{
    ctl_import_t *import = data;

    unsigned char  buf[CTL_POLICY_NAME];

    (void) record;

    if (ctl_file_has(&import->file, name)) {
        return CTL_OK;
    }

    import->deleted++;

    if (import->dry && !import->ctl->json) {
        (void) ctl_policy_name(import->ctl, name, buf);
        printf("would delete %s\n", buf);
    }

    return phrony_table_push(&import->pruned, name) == 0
           ? CTL_OK : ctl_fail(import->ctl, CTL_REFUSED, "no memory");
}


/* When the walk is over: nothing else may be asked while replies come. */

static ctl_code_t
ctl_import_delete(ctl_import_t *import)
{
    uint32_t     i;
    ctl_code_t   code;

    code = CTL_OK;

    for (i = 0; i < import->pruned.n && code == CTL_OK; i++) {
        code = ctl_policy_delete(import->ctl,
                                 phrony_table_at(&import->pruned, i));
    }

    return code;
}


static void
ctl_import_report(ctl_import_t *import)
{
    if (import->ctl->json) {
        ctl_print(import->ctl,
                  json_pack("{s:b, s:I, s:I, s:I, s:I, s:I}",
                            "dryRun", import->dry,
                            "created", (json_int_t) import->created,
                            "changed", (json_int_t) import->changed,
                            "unchanged", (json_int_t) import->same,
                            "deleted", (json_int_t) import->deleted,
                            "kept", (json_int_t) import->kept));
        return;
    }

    printf("%s%zu created, %zu changed, %zu unchanged, %zu deleted",
           import->dry ? "dry run, nothing was written: " : "",
           import->created, import->changed, import->same, import->deleted);

    if (import->kept) {
        printf(", %zu left closed; --reopen takes the file's word",
               import->kept);
    }

    putchar('\n');
}
