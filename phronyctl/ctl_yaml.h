
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef CTL_YAML_H_
#define CTL_YAML_H_


#include <stddef.h>

#include <jansson.h>


#define CTL_YAML_ERROR_LEN  256
#define CTL_YAML_MAX_LEN    (16 * 1024 * 1024)
#define CTL_YAML_MAX_NODES  100000      /* that are looked at, aliases too */


/*
 * Finds the API triggers of a Phrony manifest (version 1), which may be a
 * stream of documents: where two have a trigger for one agent, the later one
 * counts.
 * Returns an array of objects, which is the caller's: "agentManifestKey", the
 * limits that are set, under the names that they have in a policy, and
 * "line", where the trigger begins.  Returns NULL and fills "error", of
 * CTL_YAML_ERROR_LEN bytes, with the line if it is known, if this is no such
 * manifest or there is no memory.
 */

json_t *ctl_yaml_triggers(const char *text, size_t len, char *error);


#endif /* CTL_YAML_H_ */
