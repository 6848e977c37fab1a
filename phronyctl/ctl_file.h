
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef CTL_FILE_H_
#define CTL_FILE_H_


#include "phrony_policy.h"
#include "phrony_policy_name.h"

#include "ctl.h"


/* A policy file that was found to be valid, and its text. */

typedef struct {
    char              *text;
    size_t             len;
    phrony_policy_t   *policy;
} ctl_file_t;


/* Gets each record of a kind in the order of the file. */

typedef ctl_code_t (*ctl_file_handler_t)(void *data,
    const phrony_policy_name_t *name, json_t *record);


/*
 * Reads any file, "-" being the standard input; a NUL follows *text, which
 * is freed by free().  Returns CTL_OK, or another code and has said why.
 */

ctl_code_t ctl_file_read(ctl_t *ctl, const char *path, char **text,
    size_t *len);


/*
 * Reads a policy file as a gateway does.  Returns CTL_OK, or another code and
 * has said what is wrong, and where; close() is due either way.
 */

ctl_code_t ctl_file_open(ctl_t *ctl, const char *path, ctl_file_t *file);

void ctl_file_close(ctl_file_t *file);


/* Walks over the records of a kind; no more than one is in memory. */

ctl_code_t ctl_file_each(const ctl_file_t *file, phrony_policy_kind_t kind,
    ctl_file_handler_t handler, void *data);


/* Returns 1 if the file has a record of this name, else 0. */

int ctl_file_has(const ctl_file_t *file, const phrony_policy_name_t *name);


#endif /* CTL_FILE_H_ */
