
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef CTL_OPTIONS_H_
#define CTL_OPTIONS_H_


#include "ctl.h"


/*
 * Reads the words behind the command: options into ctl->settings, all others
 * into ctl->args.  "--name value", "--name=value" and, for a flag, "--name";
 * after "--" nothing is an option.  Returns CTL_OK, or CTL_USAGE and has said
 * what is wrong.
 */

ctl_code_t ctl_options_parse(ctl_t *ctl, int argc, char **argv);


/*
 * Reads lines "name value" from a file, "#" begins a comment; they count as
 * if they stood before the command line.  "required" says whether it has to
 * be there.  Returns as above.
 */

ctl_code_t ctl_options_file(ctl_t *ctl, const char *path, int required);


/* Frees what the file's lines have left. */

void ctl_options_free(ctl_t *ctl);


/* The last value of an option, NULL if it was not given; a flag has "". */

const char *ctl_option(const ctl_t *ctl, const char *name);


/* The value of the i-th --name, 0 is the first; NULL if there are fewer. */

const char *ctl_option_at(const ctl_t *ctl, const char *name, size_t i);


/*
 * A number of min to max; "value" stays as it is if the option is absent.
 * Returns CTL_OK, or CTL_USAGE and has said so.
 */

ctl_code_t ctl_option_number(ctl_t *ctl, const char *name, int64_t max,
    int64_t *value);


/* Likewise a time such as "250ms", "5s", "10m", "24h", "30d", in ms. */

ctl_code_t ctl_option_time(ctl_t *ctl, const char *name, int64_t *ms);

/* Reads such a text.  Returns 0, or -1. */

int ctl_time_parse(const char *text, int64_t *ms);


/* Prints the options of a command, or those that all take if it is NULL. */

void ctl_options_help(const ctl_command_t *command);


#endif /* CTL_OPTIONS_H_ */
