
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef CTL_H_
#define CTL_H_


#include <stdint.h>
#include <stddef.h>

#include <jansson.h>

#include "phrony_str.h"


#define CTL_SETTINGS_MAX  128
#define CTL_ERROR_LEN     1024


/* What phronyctl exits with; docs/phronyctl.md has the same list. */

typedef enum {
    CTL_OK = 0,
    CTL_REFUSED = 1,        /* refused, not found, not valid */
    CTL_USAGE = 2,          /* the command line is wrong */
    CTL_UNREACHABLE = 3     /* Redis does not answer, or lets nobody in */
} ctl_code_t;


typedef struct ctl_s          ctl_t;
typedef struct ctl_redis_s    ctl_redis_t;


typedef struct {
    const char    *name;        /* "key create" */
    const char    *arguments;   /* "[TRIGGER...]", or "" */
    int            min;         /* how many of them, at least and at most */
    int            max;
    const char    *options;     /* names that it takes, " a b ", beside those
                                   that all take */
    const char    *summary;
    ctl_code_t   (*run)(ctl_t *ctl);
} ctl_command_t;


/* An option as it was given, in the order of the command line. */

typedef struct {
    const char    *name;
    const char    *value;       /* "" of a flag */
    char          *owned;       /* the value, if it is ours to free */
} ctl_setting_t;


/* One run of the program. */

struct ctl_s {
    const ctl_command_t  *command;
    ctl_setting_t         settings[CTL_SETTINGS_MAX];
    size_t                nsettings;
    char                **args;
    int                   nargs;
    unsigned              json:1;
    unsigned              color:1;      /* on stdout */
    unsigned              quiet:1;
    unsigned              printed:1;    /* stdout has got something */
    size_t                broken;       /* records that were passed over */
    ctl_redis_t          *redis;        /* NULL: not connected yet */
};


/* Each command of the table in phronyctl.c. */

ctl_code_t ctl_key_create(ctl_t *ctl);
ctl_code_t ctl_key_list(ctl_t *ctl);
ctl_code_t ctl_key_show(ctl_t *ctl);
ctl_code_t ctl_key_revoke(ctl_t *ctl);
ctl_code_t ctl_key_rotate(ctl_t *ctl);
ctl_code_t ctl_trigger_set(ctl_t *ctl);
ctl_code_t ctl_trigger_show(ctl_t *ctl);
ctl_code_t ctl_trigger_list(ctl_t *ctl);
ctl_code_t ctl_workspace_create(ctl_t *ctl);
ctl_code_t ctl_workspace_list(ctl_t *ctl);
ctl_code_t ctl_workspace_suspend(ctl_t *ctl);
ctl_code_t ctl_workspace_resume(ctl_t *ctl);
ctl_code_t ctl_usage(ctl_t *ctl);
ctl_code_t ctl_runs(ctl_t *ctl);
ctl_code_t ctl_top(ctl_t *ctl);
ctl_code_t ctl_check(ctl_t *ctl);
ctl_code_t ctl_import(ctl_t *ctl);
ctl_code_t ctl_export(ctl_t *ctl);
ctl_code_t ctl_import_manifest(ctl_t *ctl);
ctl_code_t ctl_explain(ctl_t *ctl);


#endif /* CTL_H_ */
