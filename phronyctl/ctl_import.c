
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <sys/stat.h>

#include "phrony_table.h"

#include "ctl_file.h"
#include "ctl_options.h"
#include "ctl_output.h"
#include "ctl_policy.h"
#include "ctl_redis.h"


#define CTL_IMPORT_BATCH  256


typedef struct {
    json_t           *record;
    json_t           *old;                  /* NULL: there is none */
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
    ctl_import_one_t  batch[CTL_IMPORT_BATCH];
    size_t            n;
    phrony_table_t    pruned;               /* phrony_policy_name_t */
} ctl_import_t;


typedef struct {
    FILE             *out;
    size_t            n;
    ctl_progress_t    progress;
} ctl_export_t;


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
static ctl_code_t ctl_import_written(void *data, size_t i,
    const phrony_resp_t *reply);
static void ctl_import_forget(ctl_import_t *import);
static ctl_code_t ctl_import_prune(void *data,
    const phrony_policy_name_t *name, json_t *record);
static ctl_code_t ctl_import_delete(ctl_import_t *import);
static void ctl_import_report(ctl_import_t *import);
static ctl_code_t ctl_export_file(ctl_t *ctl, const char *path);
static FILE *ctl_export_open(char *temp, const char *path);
static ctl_code_t ctl_export_to(ctl_t *ctl, FILE *out);
static ctl_code_t ctl_export_record(void *data,
    const phrony_policy_name_t *name, json_t *record);
static ctl_code_t ctl_export_check(ctl_t *ctl, const char *path);


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

    json_error_t  error;

    if (reply->type == PHRONY_RESP_STRING) {
        import->batch[i].old = json_loadb((char *) reply->str.data,
                                          reply->str.len, JSON_ALLOW_NUL,
                                          &error);

        if (import->batch[i].old == NULL) {
            import->batch[i].old = json_null();
        }
    }

    return CTL_OK;
}


static ctl_code_t
ctl_import_write(ctl_import_t *import)
{
    size_t             i, n;
    ctl_request_t      requests[CTL_IMPORT_BATCH];
    ctl_import_one_t  *one;

    n = 0;

    for (i = 0; i < import->n; i++) {
        one = &import->batch[i];

        if (one->old && json_equal(one->old, one->record)) {
            import->same++;
            continue;
        }

        import->created += (one->old == NULL);
        import->changed += (one->old != NULL);

        if (import->dry && !import->ctl->json) {
            printf("would %s %s\n", one->old ? "change" : "create",
                   one->name);
        }

        one->text = json_dumps(one->record, JSON_COMPACT);

        ctl_request(&requests[n], "SET", &one->key);
        ctl_request_text(&requests[n++], one->text);
    }

    ctl_progress_step(&import->progress, import->n);

    return (n == 0 || import->dry)
           ? CTL_OK : ctl_redis_batch(import->ctl, requests, n,
                                      ctl_import_written, import);
}


static ctl_code_t
ctl_import_written(void *data, size_t i, const phrony_resp_t *reply)
{
    ctl_import_t *import = data;

    (void) i;

    return (reply->type == PHRONY_RESP_STATUS)
           ? CTL_OK : ctl_redis_wrong(import->ctl, "SET", reply);
}


static void
ctl_import_forget(ctl_import_t *import)
{
    size_t  i;

    for (i = 0; i < import->n; i++) {
        json_decref(import->batch[i].record);
        json_decref(import->batch[i].old);
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
                  json_pack("{s:b, s:I, s:I, s:I, s:I}",
                            "dryRun", import->dry,
                            "created", (json_int_t) import->created,
                            "changed", (json_int_t) import->changed,
                            "unchanged", (json_int_t) import->same,
                            "deleted", (json_int_t) import->deleted));
        return;
    }

    printf("%s%zu created, %zu changed, %zu unchanged, %zu deleted\n",
           import->dry ? "dry run, nothing was written: " : "",
           import->created, import->changed, import->same, import->deleted);
}


/* A file is there whole, or not at all. */

ctl_code_t
ctl_export(ctl_t *ctl)
{
    ctl_code_t   code;
    const char  *path;

    path = ctl->nargs ? ctl->args[0] : "-";

    if (strcmp(path, "-") == 0) {
        ctl->printed = 1;
        code = ctl_export_to(ctl, stdout);

    } else {
        code = ctl_export_file(ctl, path);
    }

    if (code == CTL_OK && ctl->broken) {
        code = ctl_fail(ctl, CTL_REFUSED, "records that are no JSON objects, "
                        "and were left out: %zu", ctl->broken);
    }

    return (code == CTL_OK && ctl->nargs && strcmp(path, "-") != 0)
           ? ctl_export_check(ctl, path) : code;
}


static ctl_code_t
ctl_export_file(ctl_t *ctl, const char *path)
{
    char        *temp;
    FILE        *out;
    size_t       len;
    ctl_code_t   code;

    if (access(path, F_OK) == 0 && ctl_option(ctl, "force") == NULL) {
        return ctl_fail(ctl, CTL_REFUSED, "%s is there; --force replaces it",
                        path);
    }

    len = strlen(path) + sizeof(".XXXXXX");
    temp = ctl_alloc(len);
    snprintf(temp, len, "%s.XXXXXX", path);

    out = ctl_export_open(temp, path);

    if (out == NULL) {
        code = ctl_fail(ctl, CTL_REFUSED, "%s: %s", temp, strerror(errno));
        free(temp);
        return code;
    }

    code = ctl_export_to(ctl, out);

    if (code == CTL_OK && fsync(fileno(out)) == -1) {
        code = ctl_fail(ctl, CTL_REFUSED, "%s: %s", temp, strerror(errno));
    }

    if (fclose(out) == EOF && code == CTL_OK) {
        code = ctl_fail(ctl, CTL_REFUSED, "%s: %s", temp, strerror(errno));
    }

    if (code == CTL_OK && rename(temp, path) == -1) {
        code = ctl_fail(ctl, CTL_REFUSED, "%s: %s", path, strerror(errno));
    }

    if (code != CTL_OK) {
        (void) remove(temp);
    }

    free(temp);

    return code;
}


/* For its owner alone, but who could read what is replaced still can. */

static FILE *
ctl_export_open(char *temp, const char *path)
{
    int          fd;
    struct stat  old;

    fd = mkstemp(temp);

    if (fd == -1) {
        return NULL;
    }

    if (stat(path, &old) == 0) {
        (void) fchmod(fd, old.st_mode & 0777);
    }

    return fdopen(fd, "w");
}


static ctl_code_t
ctl_export_to(ctl_t *ctl, FILE *out)
{
    size_t         i;
    ctl_code_t     code;
    ctl_export_t   export;

    static const char  *names[] = { "workspaces", "triggers", "keys" };

    export.out = out;
    code = CTL_OK;

    ctl_progress_begin(&export.progress, ctl, "records", 0);
    fputs("{", out);

    for (i = 0; i < PHRONY_POLICY_NAME_KINDS && code == CTL_OK; i++) {
        fprintf(out, "%s\n\"%s\": [", i ? "," : "", names[i]);

        export.n = 0;
        code = ctl_policy_each(ctl, ctl_import_order[i], ctl_export_record,
                               &export);

        fputs(export.n ? "\n]" : "]", out);
    }

    fputs("\n}\n", out);
    ctl_progress_end(&export.progress);

    if (code == CTL_OK && (fflush(out) == EOF || ferror(out))) {
        code = ctl_fail(ctl, CTL_REFUSED, "the policy could not be written");
    }

    return code;
}


static ctl_code_t
ctl_export_record(void *data, const phrony_policy_name_t *name,
    json_t *record)
{
    ctl_export_t *export = data;

    (void) name;

    fputs(export->n++ ? ",\n  " : "\n  ", export->out);
    json_dumpf(record, export->out, 0);
    ctl_progress_step(&export->progress, 1);

    return CTL_OK;
}


/* Records stand alone in Redis: together they may be no valid file. */

static ctl_code_t
ctl_export_check(ctl_t *ctl, const char *path)
{
    ctl_code_t   code;
    ctl_file_t   file;

    code = ctl_file_open(ctl, path, &file);

    if (code == CTL_OK && ctl->json) {
        ctl_print(ctl, json_pack("{s:s}", "file", path));
    }

    ctl_file_close(&file);

    return code;
}
