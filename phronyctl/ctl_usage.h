
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef CTL_USAGE_H_
#define CTL_USAGE_H_


#include "phrony_limit.h"
#include "phrony_uuid.h"

#include "ctl.h"


#define CTL_USAGE_ID   (PHRONY_UUID_TEXT_LEN + 1)
#define CTL_USAGE_KEY  256


/* A trigger, its limits, and what is counted of them now. */

typedef struct {
    char            id[CTL_USAGE_ID];
    char            workspace[CTL_USAGE_ID];
    char            agent[CTL_USAGE_ID];
    int64_t         now;                        /* ms, of Redis */
    int64_t         used[PHRONY_LIMIT_MAX];
    phrony_limit_t  limits[PHRONY_LIMIT_MAX];
    double          fill;                       /* the fullest limit's, 0 to
                                                   1 and more */
} ctl_usage_t;


typedef struct {
    ctl_t          *ctl;
    ctl_usage_t    *triggers;
    size_t          n;
    size_t          size;
} ctl_usages_t;


/*
 * Finds the triggers that the command line names, or all, or those of
 * --workspace; "usages" is freed by free(usages->triggers).
 */

ctl_code_t ctl_usage_triggers(ctl_t *ctl, ctl_usages_t *usages);


/* Takes limits out of a trigger's record. */

void ctl_usage_limits(ctl_usage_t *usage, const json_t *record);


/* Asks Redis what is counted.  Returns CTL_OK, or another code and said so. */

ctl_code_t ctl_usage_ask(ctl_t *ctl, ctl_usage_t *usage);


/* Prints the usage of triggers, the fullest first, "limit" of them. */

ctl_code_t ctl_usage_look(ctl_t *ctl, int64_t limit);


/* "<prefix>:{<workspace>}:<kind>:<trigger>" */

phrony_str_t ctl_usage_key(ctl_t *ctl, char buf[CTL_USAGE_KEY],
    const char *workspace, const char *kind, const char *trigger);


/* "rpm", "rpd", "runs", "reads" */

const char *ctl_usage_name(phrony_limit_id_t id);


#endif /* CTL_USAGE_H_ */
