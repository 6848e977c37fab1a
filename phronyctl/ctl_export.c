
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <sys/stat.h>

#include "ctl_file.h"
#include "ctl_options.h"
#include "ctl_output.h"
#include "ctl_policy.h"


typedef struct {
    FILE           *out;
    size_t          n;
    ctl_progress_t  progress;
} ctl_export_t;


static const phrony_policy_kind_t  ctl_export_order[] = {
    PHRONY_POLICY_NAME_WORKSPACE,
    PHRONY_POLICY_NAME_TRIGGER,
    PHRONY_POLICY_NAME_KEY
};


static ctl_code_t ctl_export_file(ctl_t *ctl, const char *path);
static void ctl_export_guard(char *temp);
static void ctl_export_interrupt(int signo);
static FILE *ctl_export_open(char *temp, const char *path);
static ctl_code_t ctl_export_to(ctl_t *ctl, FILE *out);
static ctl_code_t ctl_export_record(void *data,
    const phrony_policy_name_t *name, json_t *record);
static ctl_code_t ctl_export_check(ctl_t *ctl, const char *path);


/* What is to go if the program is told to end. */

static char *volatile  ctl_export_temp;


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

    ctl_export_guard(temp);

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

    ctl_export_temp = NULL;
    free(temp);

    return code;
}


/* It has the hashes of keys; what was ignored, as by nohup, stays so. */

static void
ctl_export_guard(char *temp)
{
    size_t  i;

    static const int  signals[] = { SIGINT, SIGTERM, SIGHUP };

    ctl_export_temp = temp;

    for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        if (signal(signals[i], ctl_export_interrupt) == SIG_IGN) {
            (void) signal(signals[i], SIG_IGN);
        }
    }
}


static void
ctl_export_interrupt(int signo)
{
    if (ctl_export_temp) {
        (void) unlink(ctl_export_temp);
    }

    (void) signal(signo, SIG_DFL);
    (void) raise(signo);
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
        code = ctl_policy_each(ctl, ctl_export_order[i], ctl_export_record,
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
