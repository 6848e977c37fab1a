
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "ctl_options.h"
#include "ctl_output.h"


#define CTL_OPTIONS_LINE  4096


typedef struct {
    const char  *name;
    const char  *value;         /* what --help calls it; NULL: a flag */
    int          common;        /* every command takes it */
    const char  *help;
} ctl_option_t;


static const ctl_option_t  ctl_options[] = {

    { "redis", "URL", 1, "as of the directive phrony_redis" },
    { "policy", "FILE", 0, "a policy file instead of the records in Redis" },
    { "prefix", "NAME", 1, "of the keys in Redis, default phrony" },
    { "user", "NAME", 1, "for Redis" },
    { "password-file", "FILE", 1, "for Redis; a trailing newline is cut" },
    { "ca", "FILE", 1, "authorities that TLS trusts" },
    { "tls-name", "NAME", 1, "in the certificate, instead of the host's" },
    { "cert", "FILE", 1, "certificate of this client" },
    { "cert-key", "FILE", 1, "and its key" },
    { "no-verify", NULL, 1, "take any certificate of Redis" },
    { "timeout", "TIME", 1, "for each answer of Redis, default 5s" },
    { "connect-timeout", "TIME", 1, "for each connect, default 2s" },
    { "config", "FILE", 1, "options, one a line, without \"--\"" },
    { "json", NULL, 1, "one JSON document on the standard output" },
    { "color", "WHEN", 1, "auto, always or never" },
    { "quiet", NULL, 1, "no progress, no notes" },
    { "help", NULL, 1, "this" },

    { "workspace", "UUID", 0, "of the record, or those of it alone" },
    { "agent", "UUID", 0, "a scope by its agent; or KEY=AGENT[/TRIGGER] of"
      " a manifest's agent" },
    { "trigger", "UUID", 0, "a scope by its trigger" },
    { "expires", "WHEN", 0, "a date of RFC 3339, or a time such as 30d" },
    { "uploads", NULL, 0, "may use /v1/file-library" },
    { "id", "UUID", 0, "instead of a random one" },
    { "key-file", "FILE", 0, "where the key is read from; - is the standard"
      " input" },
    { "key-out", "FILE", 0, "where a new key is written to, instead of the"
      " standard output; the file must not be there" },
    { "key-id", "UUID", 0, "of a key whose text is not at hand" },
    { "grace", "TIME", 0, "how long the old key is good, default 0s" },
    { "status", "WORD", 0, "active or revoked, those alone" },
    { "run-ttl", "TIME", 0, "phrony_run_ttl of the gateways, default 24h" },
    { "limit", "N", 0, "as many at most" },
    { "interval", "TIME", 0, "between two looks, default 2s" },
    { "count", "N", 0, "how many looks, default without end" },
    { "dry-run", NULL, 0, "tell what would be done" },
    { "prune", NULL, 0, "delete records that the file does not have" },
    { "reopen", NULL, 0, "also what was revoked, suspended or switched off,"
      " or expires sooner" },
    { "progress", "WHEN", 0, "auto, always or never" },
    { "force", NULL, 0, "replace a file that is there" },
    { "address", "ADDRESS", 0, "of the client" },
    { "header", "NAME:VALUE", 0, "a field of the request" },
    { "body-file", "FILE", 0, "its body; - is the standard input" },
    { "content-type", "TYPE", 0, "default application/json" },
    { "delivery-id", "ID", 0, "as of Idempotency-Key" },
    { "duplicates", "MODE", 0, "phrony_duplicates: replay, annotate, off" },
    { "bytes-per-token", "N", 0, "phrony_bytes_per_token, default 4" },
    { "max-body", "BYTES", 0, "phrony_max_body, default 1048576" },

    { NULL, NULL, 0, NULL }
};


static const ctl_option_t *ctl_options_find(const ctl_t *ctl,
    const char *name, size_t len);
static ctl_code_t ctl_options_add(ctl_t *ctl, const ctl_option_t *option,
    const char *value);
static ctl_code_t ctl_options_word(ctl_t *ctl, char **argv, int argc, int *i);
static ctl_code_t ctl_options_line(ctl_t *ctl, const char *path, char *line);
static int ctl_options_takes(const ctl_command_t *command,
    const char *name, size_t len);
static ctl_code_t ctl_options_check(ctl_t *ctl);


ctl_code_t
ctl_options_parse(ctl_t *ctl, int argc, char **argv)
{
    int         i, rest;
    ctl_code_t  code;

    rest = 0;

    for (i = 0; i < argc; i++) {

        if (rest || argv[i][0] != '-' || strcmp(argv[i], "-") == 0) {
            ctl->args[ctl->nargs++] = argv[i];
            continue;
        }

        if (strcmp(argv[i], "--") == 0) {
            rest = 1;
            continue;
        }

        code = ctl_options_word(ctl, argv, argc, &i);

        if (code != CTL_OK) {
            return code;
        }
    }

    return ctl_options_check(ctl);
}


/* One option, with its value if that is the next word. */

static ctl_code_t
ctl_options_word(ctl_t *ctl, char **argv, int argc, int *i)
{
    size_t               len;
    const char          *word, *value;
    const ctl_option_t  *option;

    word = argv[*i];

    if (strcmp(word, "-h") == 0) {
        word = "--help";
    }

    len = (word[1] == '-') ? strcspn(word + 2, "=") : 0;
    option = ctl_options_find(ctl, word + 2, len);

    if (len == 0 || option == NULL) {
        return ctl_fail(ctl, CTL_USAGE, "unknown option \"%.*s\"",
                        (int) (len + 2), word);
    }

    value = (word[2 + len] == '=') ? word + 2 + len + 1 : NULL;

    if (option->value == NULL) {
        if (value) {
            return ctl_fail(ctl, CTL_USAGE, "--%s takes no value",
                            option->name);
        }

        return ctl_options_add(ctl, option, "");
    }

    if (value == NULL) {
        if (*i + 1 == argc) {
            return ctl_fail(ctl, CTL_USAGE, "--%s needs a value",
                            option->name);
        }

        value = argv[++*i];
    }

    return ctl_options_add(ctl, option, value);
}


static const ctl_option_t *
ctl_options_find(const ctl_t *ctl, const char *name, size_t len)
{
    const ctl_option_t  *option;

    for (option = ctl_options; option->name; option++) {

        if (strlen(option->name) == len
            && memcmp(option->name, name, len) == 0
            && (option->common || ctl->command == NULL
                || ctl_options_takes(ctl->command, name, len)))
        {
            return option;
        }
    }

    return NULL;
}


static int
ctl_options_takes(const ctl_command_t *command, const char *name, size_t len)
{
    const char  *p;

    for (p = command->options; *p; p += strcspn(p, " ")) {
        p += strspn(p, " ");

        if (strcspn(p, " ") == len && len && memcmp(p, name, len) == 0) {
            return 1;
        }
    }

    return 0;
}


static ctl_code_t
ctl_options_add(ctl_t *ctl, const ctl_option_t *option, const char *value)
{
    if (ctl->nsettings == CTL_SETTINGS_MAX) {
        return ctl_fail(ctl, CTL_USAGE, "more than %d options",
                        CTL_SETTINGS_MAX);
    }

    ctl->settings[ctl->nsettings].name = option->name;
    ctl->settings[ctl->nsettings].value = value;
    ctl->settings[ctl->nsettings].owned = NULL;
    ctl->nsettings++;

    return CTL_OK;
}


/* How many arguments there are is known when the options are gone. */

static ctl_code_t
ctl_options_check(ctl_t *ctl)
{
    const ctl_command_t  *command;

    command = ctl->command;

    if (ctl_option(ctl, "help")) {
        return CTL_OK;
    }

    if (ctl->nargs < command->min
        || (command->max >= 0 && ctl->nargs > command->max))
    {
        return ctl_fail(ctl, CTL_USAGE, "usage: phronyctl %s%s%s; "
                        "--help has the options", command->name,
                        command->arguments[0] ? " " : "",
                        command->arguments);
    }

    return CTL_OK;
}


ctl_code_t
ctl_options_file(ctl_t *ctl, const char *path, int required)
{
    char         line[CTL_OPTIONS_LINE];
    FILE        *file;
    ctl_code_t   code;

    file = fopen(path, "r");

    if (file == NULL) {
        return required ? ctl_fail(ctl, CTL_USAGE, "%s: %s", path,
                                   strerror(errno))
                        : CTL_OK;
    }

    code = CTL_OK;

    while (code == CTL_OK && fgets(line, sizeof(line), file)) {
        code = ctl_options_line(ctl, path, line);
    }

    fclose(file);

    return code;
}


static ctl_code_t
ctl_options_line(ctl_t *ctl, const char *path, char *line)
{
    char                *copy;
    size_t               len;
    ctl_code_t           code;
    const ctl_option_t  *option;

    line += strspn(line, " \t");
    line[strcspn(line, "\r\n")] = '\0';

    if (line[0] == '\0' || line[0] == '#') {
        return CTL_OK;
    }

    len = strcspn(line, " \t");
    option = ctl_options_find(ctl, line, len);

    if (option == NULL || !option->common) {
        return ctl_fail(ctl, CTL_USAGE, "%s: unknown option \"%.*s\"", path,
                        (int) len, line);
    }

    line += len;
    line += strspn(line, " \t");

    if ((option->value == NULL) != (line[0] == '\0')) {
        return ctl_fail(ctl, CTL_USAGE, "%s: \"%s\" %s", path, option->name,
                        option->value ? "needs a value" : "takes no value");
    }

    copy = ctl_copy(line);
    code = ctl_options_add(ctl, option, copy);

    if (code != CTL_OK) {
        free(copy);
        return code;
    }

    ctl->settings[ctl->nsettings - 1].owned = copy;

    return CTL_OK;
}


void
ctl_options_free(ctl_t *ctl)
{
    while (ctl->nsettings > 0) {
        free(ctl->settings[--ctl->nsettings].owned);
    }
}


const char *
ctl_option(const ctl_t *ctl, const char *name)
{
    size_t  i;

    for (i = ctl->nsettings; i > 0; i--) {
        if (strcmp(ctl->settings[i - 1].name, name) == 0) {
            return ctl->settings[i - 1].value;
        }
    }

    return NULL;
}


const char *
ctl_option_at(const ctl_t *ctl, const char *name, size_t i)
{
    size_t  n;

    for (n = 0; n < ctl->nsettings; n++) {
        if (strcmp(ctl->settings[n].name, name) == 0 && i-- == 0) {
            return ctl->settings[n].value;
        }
    }

    return NULL;
}


ctl_code_t
ctl_option_number(ctl_t *ctl, const char *name, int64_t max, int64_t *value)
{
    char        *end;
    long long    number;
    const char  *text;

    text = ctl_option(ctl, name);

    if (text == NULL) {
        return CTL_OK;
    }

    errno = 0;
    number = strtoll(text, &end, 10);

    if (errno || end == text || *end || number < 1 || number > max) {
        return ctl_fail(ctl, CTL_USAGE, "--%s is not a number of 1 to %lld",
                        name, (long long) max);
    }

    *value = number;

    return CTL_OK;
}


ctl_code_t
ctl_option_time(ctl_t *ctl, const char *name, int64_t *ms)
{
    const char  *text;

    text = ctl_option(ctl, name);

    if (text && ctl_time_parse(text, ms) == -1) {
        return ctl_fail(ctl, CTL_USAGE, "--%s is not a time such as 250ms, "
                        "5s, 10m, 24h or 30d", name);
    }

    return CTL_OK;
}


int
ctl_time_parse(const char *text, int64_t *ms)
{
    char       *end;
    size_t      i;
    long long   number;

    static const struct {
        const char  *name;
        int64_t      ms;
    } units[] = {
        { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 },
        { "d", 86400000 }
    };

    if (text[0] < '0' || text[0] > '9') {
        return -1;
    }

    errno = 0;
    number = strtoll(text, &end, 10);

    for (i = 0; i < sizeof(units) / sizeof(units[0]); i++) {

        if (strcmp(end, units[i].name) == 0 && errno == 0
            && number <= INT64_C(3153600000000) / units[i].ms)
        {
            *ms = number * units[i].ms;
            return 0;
        }
    }

    return -1;
}


void
ctl_options_help(const ctl_command_t *command)
{
    char                 name[64];
    const ctl_option_t  *option;

    for (option = ctl_options; option->name; option++) {

        if (command ? (option->common
                       || !ctl_options_takes(command, option->name,
                                             strlen(option->name)))
                    : !option->common)
        {
            continue;
        }

        snprintf(name, sizeof(name), "--%s %s", option->name,
                 option->value ? option->value : "");
        printf("  %-24s %s\n", name, option->help);
    }
}
