
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "phrony_fields.h"
#include "phrony_policy_build.h"


static int phrony_policy_texts_write(phrony_policy_build_t *build,
    const phrony_limit_t *limits, phrony_str_t *text);
static void phrony_policy_texts_limit(phrony_limit_t *limit, int64_t quota);


int
phrony_policy_texts_add(phrony_policy_build_t *build,
    phrony_trigger_t *trigger)
{
    phrony_limit_t  start[PHRONY_LIMIT_MAX], read[PHRONY_LIMIT_MAX];

    memset(start, 0, sizeof(start));
    memset(read, 0, sizeof(read));

    phrony_policy_texts_limit(&start[PHRONY_LIMIT_RPM], trigger->rpm_limit);
    phrony_policy_texts_limit(&start[PHRONY_LIMIT_RPD], trigger->rpd_limit);
    phrony_policy_texts_limit(&start[PHRONY_LIMIT_RUNS],
                              trigger->max_concurrent_runs);

    phrony_policy_texts_limit(&read[PHRONY_LIMIT_READS],
                              trigger->read_rpm_limit);

    if (phrony_policy_texts_write(build, start, &trigger->start_policy) == -1
        || phrony_policy_texts_write(build, read, &trigger->read_policy)
           == -1)
    {
        return -1;
    }

    return 0;
}


static void
phrony_policy_texts_limit(phrony_limit_t *limit, int64_t quota)
{
    if (quota != PHRONY_NO_LIMIT) {
        limit->set = 1;
        limit->quota = quota;
    }
}


static int
phrony_policy_texts_write(phrony_policy_build_t *build,
    const phrony_limit_t *limits, phrony_str_t *text)
{
    unsigned char  buf[PHRONY_FIELDS_POLICY_LEN];

    text->len = phrony_fields_policy(buf, limits);

    if (phrony_table_append(&build->policy->texts, buf, text->len) == -1) {
        return phrony_policy_build_nomem(build);
    }

    return 0;
}
