
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include <stdio.h>
#include <stdlib.h>

#include "phrony_record.h"

#include "ctl_yaml.h"


#define fuzz_assert(cond)  do { if (!(cond)) { abort(); } } while (0)


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_refused(const char *error);
static void fuzz_trigger(json_t *triggers, size_t n);


/*
 * What is accepted has an agent each, which no other has, limits that are
 * counts, and addresses that are strings; what is not, one line that says why.
 */

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char     error[CTL_YAML_ERROR_LEN];
    size_t   i;
    json_t  *triggers;

    memset(error, 0, sizeof(error));
    triggers = ctl_yaml_triggers((const char *) data, size, error);

    if (triggers == NULL) {
        fuzz_refused(error);
        return 0;
    }

    for (i = 0; i < json_array_size(triggers); i++) {
        fuzz_trigger(triggers, i);
    }

    json_decref(triggers);

    return 0;
}


static void
fuzz_refused(const char *error)
{
    size_t  i;

    for (i = 0; error[i]; i++) {
        fuzz_assert(error[i] >= 0x20 && error[i] <= 0x7e);
    }

    fuzz_assert(i > 0 && i < CTL_YAML_ERROR_LEN);
}


static void
fuzz_trigger(json_t *triggers, size_t n)
{
    size_t       i;
    json_t      *trigger, *value;
    const char  *agent, *name;

    trigger = json_array_get(triggers, n);
    agent = json_string_value(json_object_get(trigger, "agentManifestKey"));

    fuzz_assert(agent && agent[0] && strstr(agent, "{{") == NULL);

    for (i = 0; i < n && n < 100; i++) {
        fuzz_assert(strcmp(agent, json_string_value(json_object_get(
                            json_array_get(triggers, i),
                            "agentManifestKey"))) != 0);
    }

    json_object_foreach(trigger, name, value) {

        if (strcmp(name, "ipWhitelist") == 0) {
            for (i = 0; i < json_array_size(value); i++) {
                fuzz_assert(json_is_string(json_array_get(value, i)));
            }

        } else if (strcmp(name, "agentManifestKey") != 0) {
            fuzz_assert(json_is_integer(value));
            fuzz_assert(json_integer_value(value) >= 0
                        && json_integer_value(value)
                           <= PHRONY_RECORD_MAX_LIMIT);
        }
    }
}
