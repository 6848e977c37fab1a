
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ctl_options.h"
#include "ctl_output.h"
#include "ctl_redis.h"


#define CTL_CONFIG  "/etc/phronyctl.conf"


static const ctl_command_t  ctl_commands[] = {

    { "key create", "", 0, 0,
      "workspace agent trigger expires uploads id key-file key-out dry-run",
      "makes a key, or with --key-file stores the hash of one that is there",
      ctl_key_create },
    { "key list", "", 0, 0, "workspace status",
      "all keys", ctl_key_list },
    { "key show", "KEY-ID", 1, 1, "", "one key", ctl_key_show },
    { "key revoke", "KEY-ID...", 1, -1, "dry-run",
      "refuses keys from now on", ctl_key_revoke },
    { "key rotate", "KEY-ID", 1, 1, "expires grace key-out dry-run",
      "makes a new key with the same scopes and revokes the old one",
      ctl_key_rotate },

    { "trigger set", "TRIGGER MEMBER=VALUE...", 1, -1, "dry-run",
      "changes or makes a trigger; \"none\" takes a limit away",
      ctl_trigger_set },
    { "trigger show", "TRIGGER", 1, 1, "", "one trigger", ctl_trigger_show },
    { "trigger list", "", 0, 0, "workspace", "all triggers",
      ctl_trigger_list },

    { "workspace create", "WORKSPACE", 1, 1, "dry-run", "makes a workspace",
      ctl_workspace_create },
    { "workspace list", "", 0, 0, "", "all workspaces", ctl_workspace_list },
    { "workspace suspend", "WORKSPACE", 1, 1, "dry-run",
      "refuses all its keys from now on", ctl_workspace_suspend },
    { "workspace resume", "WORKSPACE", 1, 1, "dry-run",
      "takes that back", ctl_workspace_resume },

    { "usage", "[TRIGGER...]", 0, -1, "workspace",
      "starts in the windows and slots that are held, now", ctl_usage },
    { "runs", "[TRIGGER...]", 0, -1, "workspace run-ttl limit",
      "unfinished runs", ctl_runs },
    { "top", "[TRIGGER...]", 0, -1, "workspace interval count limit",
      "usage, the fullest first, again and again", ctl_top },

    { "check", "FILE", 1, 1, "", "reads a policy file as nginx does",
      ctl_check },
    { "import", "FILE", 1, 1, "dry-run prune reopen progress",
      "brings the records in Redis up to those of a policy file",
      ctl_import },
    { "import-manifest", "FILE...", 1, -1,
      "workspace agent dry-run", "takes limits from the API triggers of a "
      "Phrony manifest", ctl_import_manifest },
    { "export", "[FILE]", 0, 1, "progress force",
      "writes the records in Redis as a policy file", ctl_export },

    { "explain", "METHOD PATH", 2, 2,
      "policy key-file key-id address header body-file content-type "
      "delivery-id duplicates bytes-per-token max-body",
      "what a gateway would decide of a request, and why; counts nothing",
      ctl_explain },

    { NULL, NULL, 0, 0, NULL, NULL, NULL }
};


static const ctl_command_t *ctl_find(int argc, char **argv, int *words);
static void ctl_help(const ctl_command_t *command);
static ctl_code_t ctl_configure(ctl_t *ctl);
static ctl_code_t ctl_color(ctl_t *ctl);
static ctl_code_t ctl_run(ctl_t *ctl);


int
main(int argc, char **argv)
{
    int          i, words;
    ctl_t        ctl;
    ctl_code_t   code;

    memset(&ctl, 0, sizeof(ctl));

    /* what is cut off ("| head") is seen by ferror() */

    (void) signal(SIGPIPE, SIG_IGN);

    /* before a word is wrong, as that is to be told as JSON, too */

    for (i = 1; i < argc; i++) {
        ctl.json |= strcmp(argv[i], "--json") == 0;
    }

    if (argc < 2 || strcmp(argv[1], "--help") == 0
        || strcmp(argv[1], "help") == 0 || strcmp(argv[1], "-h") == 0)
    {
        ctl_help(NULL);
        return (argc < 2) ? CTL_USAGE : CTL_OK;
    }

    ctl.command = ctl_find(argc - 1, argv + 1, &words);

    if (ctl.command == NULL) {
        return (int) ctl_fail(&ctl, CTL_USAGE, argv[1][0] == '-'
                              ? "the command comes before its options; "
                                "phronyctl --help lists them"
                              : "no such command; phronyctl --help lists "
                                "them");
    }

    ctl.args = ctl_alloc((size_t) argc * sizeof(char *));
    code = ctl_options_parse(&ctl, argc - 1 - words, argv + 1 + words);
    ctl.json = ctl_option(&ctl, "json") != NULL;

    if (code == CTL_OK && ctl_option(&ctl, "help")) {
        ctl_help(ctl.command);

    } else if (code == CTL_OK) {
        code = ctl_run(&ctl);
    }

    ctl_redis_close(&ctl);
    ctl_options_free(&ctl);
    free(ctl.args);

    if ((fflush(stdout) == EOF || ferror(stdout)) && code == CTL_OK) {

        if (errno != EPIPE) {
            fputs("phronyctl: the output could not be written\n", stderr);
        }

        code = CTL_REFUSED;
    }

    return (int) code;
}


static ctl_code_t
ctl_run(ctl_t *ctl)
{
    ctl_code_t  code;

    code = ctl_configure(ctl);

    if (code == CTL_OK) {
        code = ctl_color(ctl);
    }

    ctl->quiet = ctl_option(ctl, "quiet") != NULL;
    ctl->json = ctl_option(ctl, "json") != NULL;

    return (code == CTL_OK) ? ctl->command->run(ctl) : code;
}


/* What the command line says comes last, so that it counts. */

static ctl_code_t
ctl_configure(ctl_t *ctl)
{
    size_t          n;
    ctl_code_t      code;
    const char     *path;
    ctl_setting_t   given[CTL_SETTINGS_MAX];

    path = ctl_option(ctl, "config");

    if (path == NULL) {
        path = getenv("PHRONYCTL_CONFIG");
    }

    n = ctl->nsettings;
    memcpy(given, ctl->settings, sizeof(given));
    ctl->nsettings = 0;

    code = ctl_options_file(ctl, path ? path : CTL_CONFIG, path != NULL);

    if (code == CTL_OK && ctl->nsettings + n > CTL_SETTINGS_MAX) {
        code = ctl_fail(ctl, CTL_USAGE, "too many options");
    }

    if (code == CTL_OK) {
        memcpy(ctl->settings + ctl->nsettings, given,
               n * sizeof(ctl_setting_t));
        ctl->nsettings += n;
    }

    return code;
}


static ctl_code_t
ctl_color(ctl_t *ctl)
{
    const char  *when, *no_color;

    when = ctl_option(ctl, "color");
    no_color = getenv("NO_COLOR");

    if (when == NULL || strcmp(when, "auto") == 0) {
        ctl->color = isatty(STDOUT_FILENO)
                     && (no_color == NULL || no_color[0] == '\0');
        return CTL_OK;
    }

    if (strcmp(when, "always") != 0 && strcmp(when, "never") != 0) {
        return ctl_fail(ctl, CTL_USAGE, "--color takes auto, always or "
                        "never");
    }

    ctl->color = strcmp(when, "always") == 0;

    return CTL_OK;
}


/* A name has one word or two; *words says how many. */

static const ctl_command_t *
ctl_find(int argc, char **argv, int *words)
{
    size_t                len;
    const ctl_command_t  *command;

    for (command = ctl_commands; command->name; command++) {
        len = strcspn(command->name, " ");

        if (strlen(argv[0]) != len
            || memcmp(argv[0], command->name, len) != 0)
        {
            continue;
        }

        if (command->name[len] == '\0') {
            *words = 1;
            return command;
        }

        if (argc > 1 && strcmp(argv[1], command->name + len + 1) == 0) {
            *words = 2;
            return command;
        }
    }

    return NULL;
}


static void
ctl_help(const ctl_command_t *command)
{
    char                  usage[128];
    const ctl_command_t  *each;

    if (command) {
        printf("usage: phronyctl %s %s\n\n%s.\n\n", command->name,
               command->arguments, command->summary);
        ctl_options_help(command);
        printf("\nand, as of all commands:\n\n");
        ctl_options_help(NULL);
        return;
    }

    printf("usage: phronyctl COMMAND ...\n\n"
           "What operators of ngx_http_phrony_module do with its records and "
           "counts.\n\n");

    for (each = ctl_commands; each->name; each++) {
        snprintf(usage, sizeof(usage), "%s %s", each->name, each->arguments);
        printf("  %-38s %s\n", usage, each->summary);
    }

    printf("\nOptions of all commands; phronyctl COMMAND --help has the "
           "others:\n\n");
    ctl_options_help(NULL);
    printf("\nA key is never an argument, which others could see: it is read "
           "from a file or\nthe standard input (--key-file), and shown once "
           "when it is made.\n\n"
           "Exit code: 0 done; 1 refused, not found, not valid; 2 usage; "
           "3 Redis is not\nreachable.\n");
}
