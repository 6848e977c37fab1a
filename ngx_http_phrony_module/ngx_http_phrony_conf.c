
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_http_phrony_conf.h"
#include "ngx_http_phrony_delivery.h"
#include "ngx_http_phrony_redis.h"
#include "ngx_http_phrony_status.h"


#define NGX_HTTP_PHRONY_CHALLENGE  "ApiKey realm=\"\""


static ngx_int_t ngx_http_phrony_check_policy(ngx_conf_t *cf,
    ngx_http_phrony_main_conf_t *pmcf);
static void ngx_http_phrony_needed(ngx_conf_t *cf, ngx_str_t *by);
static char *ngx_http_phrony_default_status(ngx_conf_t *cf,
    ngx_http_phrony_loc_conf_t *conf);
static char *ngx_http_phrony_make_challenge(ngx_conf_t *cf,
    ngx_http_phrony_loc_conf_t *conf);
static ngx_uint_t ngx_http_phrony_quotable(ngx_str_t *text);


ngx_conf_enum_t  ngx_http_phrony_failures[] = {
    { ngx_string("local"), NGX_HTTP_PHRONY_FAILURE_LOCAL },
    { ngx_string("allow"), NGX_HTTP_PHRONY_FAILURE_ALLOW },
    { ngx_string("deny"), NGX_HTTP_PHRONY_FAILURE_DENY },
    { ngx_null_string, 0 }
};


ngx_conf_enum_t  ngx_http_phrony_duplicates[] = {
    { ngx_string("replay"), PHRONY_DELIVERY_MODE_REPLAY },
    { ngx_string("annotate"), PHRONY_DELIVERY_MODE_ANNOTATE },
    { ngx_string("off"), PHRONY_DELIVERY_MODE_OFF },
    { ngx_null_string, 0 }
};


ngx_conf_enum_t  ngx_http_phrony_log_levels[] = {
    { ngx_string("debug"), NGX_LOG_DEBUG },
    { ngx_string("info"), NGX_LOG_INFO },
    { ngx_string("notice"), NGX_LOG_NOTICE },
    { ngx_string("warn"), NGX_LOG_WARN },
    { ngx_string("error"), NGX_LOG_ERR },
    { ngx_null_string, 0 }
};


static ngx_str_t  ngx_http_phrony_terminal_statuses[] = {
    ngx_string("Completed"),
    ngx_string("Failed"),
    ngx_string("Cancelled"),
    ngx_string("Terminated"),
    ngx_string("TimedOut"),
    ngx_null_string
};


void *
ngx_http_phrony_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_phrony_main_conf_t  *pmcf;

    pmcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_phrony_main_conf_t));
    if (pmcf == NULL) {
        return NULL;
    }

    pmcf->policy_cache = NGX_CONF_UNSET_MSEC;
    pmcf->policy_stale = NGX_CONF_UNSET_MSEC;

    ngx_http_phrony_redis_unset(&pmcf->redis);

    ngx_phrony_store_memory_init(&pmcf->memory, &pmcf->zone);
    pmcf->store = &pmcf->memory.store;

    return pmcf;
}


void *
ngx_http_phrony_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_phrony_loc_conf_t  *plcf;

    plcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_phrony_loc_conf_t));
    if (plcf == NULL) {
        return NULL;
    }

    plcf->enable = NGX_CONF_UNSET;
    plcf->store_failure = NGX_CONF_UNSET_UINT;
    plcf->reservation_ttl = NGX_CONF_UNSET_MSEC;
    plcf->run_ttl = NGX_CONF_UNSET_MSEC;
    plcf->runs_retry = NGX_CONF_UNSET_MSEC;
    plcf->duplicates = NGX_CONF_UNSET_UINT;
    plcf->delivery_ids = NGX_CONF_UNSET_PTR;
    plcf->delivery_ttl = NGX_CONF_UNSET_MSEC;
    plcf->terminal_status = NGX_CONF_UNSET_PTR;
    plcf->max_body = NGX_CONF_UNSET_SIZE;
    plcf->bytes_per_token = NGX_CONF_UNSET;
    plcf->dry_run = NGX_CONF_UNSET;
    plcf->ingress_maxlen = NGX_CONF_UNSET_UINT;
    plcf->log_level = NGX_CONF_UNSET_UINT;
    plcf->headers = NGX_CONF_UNSET;

    return plcf;
}


char *
ngx_http_phrony_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_phrony_loc_conf_t *prev = parent;
    ngx_http_phrony_loc_conf_t *conf = child;

    ngx_conf_merge_value(conf->enable, prev->enable, 0);
    ngx_conf_merge_uint_value(conf->store_failure, prev->store_failure,
                              NGX_HTTP_PHRONY_FAILURE_LOCAL);
    ngx_conf_merge_msec_value(conf->reservation_ttl, prev->reservation_ttl,
                              5 * 60 * 1000);
    ngx_conf_merge_msec_value(conf->run_ttl, prev->run_ttl,
                              24 * 60 * 60 * 1000);
    ngx_conf_merge_msec_value(conf->runs_retry, prev->runs_retry, 5000);
    ngx_conf_merge_uint_value(conf->duplicates, prev->duplicates,
                              PHRONY_DELIVERY_MODE_REPLAY);
    ngx_conf_merge_ptr_value(conf->delivery_ids, prev->delivery_ids, NULL);
    ngx_conf_merge_msec_value(conf->delivery_ttl, prev->delivery_ttl,
                              24 * 60 * 60 * 1000);
    ngx_conf_merge_ptr_value(conf->terminal_status, prev->terminal_status,
                             NULL);
    ngx_conf_merge_size_value(conf->max_body, prev->max_body, 1024 * 1024);
    ngx_conf_merge_value(conf->bytes_per_token, prev->bytes_per_token, 4);
    ngx_conf_merge_value(conf->dry_run, prev->dry_run, 0);
    ngx_conf_merge_uint_value(conf->ingress_maxlen, prev->ingress_maxlen, 0);
    ngx_conf_merge_uint_value(conf->log_level, prev->log_level,
                              NGX_LOG_WARN);
    ngx_conf_merge_value(conf->headers, prev->headers, 1);
    ngx_conf_merge_str_value(conf->realm, prev->realm, "phrony");

    if (conf->verify.data == NULL) {
        conf->verify = prev->verify;
    }

    if (conf->delivery_ids == NULL
        && ngx_http_phrony_delivery_default(cf, conf) != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (conf->terminal_status == NULL
        && ngx_http_phrony_default_status(cf, conf) != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    return ngx_http_phrony_make_challenge(cf, conf);
}


static char *
ngx_http_phrony_default_status(ngx_conf_t *cf,
    ngx_http_phrony_loc_conf_t *conf)
{
    ngx_str_t  *status, *name;

    conf->terminal_status = ngx_array_create(cf->pool, 5, sizeof(ngx_str_t));
    if (conf->terminal_status == NULL) {
        return NGX_CONF_ERROR;
    }

    for (name = ngx_http_phrony_terminal_statuses; name->len; name++) {

        status = ngx_array_push(conf->terminal_status);
        if (status == NULL) {
            return NGX_CONF_ERROR;
        }

        *status = *name;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_phrony_make_challenge(ngx_conf_t *cf,
    ngx_http_phrony_loc_conf_t *conf)
{
    u_char  *p;

    p = ngx_pnalloc(cf->pool, sizeof(NGX_HTTP_PHRONY_CHALLENGE) - 1
                              + conf->realm.len);
    if (p == NULL) {
        return NGX_CONF_ERROR;
    }

    conf->challenge.data = p;
    conf->challenge.len = ngx_sprintf(p, "ApiKey realm=\"%V\"", &conf->realm)
                          - p;

    return NGX_CONF_OK;
}


ngx_int_t
ngx_http_phrony_check_conf(ngx_conf_t *cf)
{
    ngx_str_t                     request_id = ngx_string("request_id");
    ngx_http_phrony_main_conf_t  *pmcf;

    pmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_phrony_module);

    if (ngx_http_phrony_redis_init(cf, &pmcf->redis) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_http_phrony_check_policy(cf, pmcf) != NGX_OK) {
        return NGX_ERROR;
    }

    if (pmcf->redis.redis.url.len) {
        ngx_phrony_store_redis_init(&pmcf->shared, &pmcf->zone,
                                    &pmcf->redis.prefix,
                                    pmcf->redis.redis.parsed.mode
                                    == PHRONY_REDIS_CLUSTER);
        pmcf->store = &pmcf->shared.store;
    }

    if (pmcf->needed_by.name.len == 0) {
        return NGX_OK;
    }

    if (pmcf->shm_zone == NULL || pmcf->source == NULL) {
        return ngx_http_phrony_requires(cf, &pmcf->needed_by,
                                        pmcf->shm_zone ? "phrony_policy"
                                                       : "phrony_zone");
    }

    pmcf->request_id = ngx_http_get_variable_index(cf, &request_id);

    return (pmcf->request_id == NGX_ERROR) ? NGX_ERROR : NGX_OK;
}


/* Where the records are, what is fetched and when it is old. */

static ngx_int_t
ngx_http_phrony_check_policy(ngx_conf_t *cf,
    ngx_http_phrony_main_conf_t *pmcf)
{
    if (pmcf->fetched_by.name.len == 0) {
        return pmcf->fetch_setting.name.len
               ? ngx_http_phrony_requires(cf, &pmcf->fetch_setting,
                                          "phrony_policy redis")
               : NGX_OK;
    }

    if (pmcf->redis.place.name.len == 0) {
        return ngx_http_phrony_requires(cf, &pmcf->fetched_by,
                                        "phrony_redis");
    }

    ngx_conf_init_msec_value(pmcf->policy_cache, 5000);
    ngx_conf_init_msec_value(pmcf->policy_stale, 10 * 60 * 1000);

    ngx_phrony_policy_redis_init(&pmcf->fetched, &pmcf->zone,
                                 &pmcf->redis.prefix, pmcf->policy_cache,
                                 pmcf->policy_stale);
    return NGX_OK;
}


char *
ngx_http_phrony_enable(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_phrony_loc_conf_t *plcf = conf;

    char                      *rv;
    ngx_str_t                  by = ngx_string("phrony on");
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->handler == ngx_http_phrony_status_handler) {
        return "conflicts with \"phrony_status\" in the same location";
    }

    rv = ngx_conf_set_flag_slot(cf, cmd, conf);

    if (rv != NGX_CONF_OK || !plcf->enable) {
        return rv;
    }

    ngx_http_phrony_needed(cf, &by);

    return NGX_CONF_OK;
}


char *
ngx_http_phrony_policy(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_phrony_main_conf_t *pmcf = conf;

    ngx_str_t              *value;
    phrony_policy_t        *policy;
    phrony_policy_error_t   error;

    if (pmcf->source) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "redis") == 0) {
        ngx_http_phrony_note(cf, &pmcf->fetched_by);
        ngx_str_set(&pmcf->fetched_by.name, "phrony_policy redis");

        pmcf->source = &pmcf->fetched.source;
        return NGX_CONF_OK;
    }

    if (value[1].len <= 5 || ngx_strncmp(value[1].data, "file=", 5) != 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\", it must be file=path or "
                           "redis",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    pmcf->policy_file.data = value[1].data + 5;
    pmcf->policy_file.len = value[1].len - 5;

    if (ngx_conf_full_name(cf->cycle, &pmcf->policy_file, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    policy = ngx_phrony_policy_file_load(cf->pool, &pmcf->policy_file,
                                         &error);
    if (policy) {
        ngx_phrony_policy_file_init(&pmcf->records, policy);
        pmcf->source = &pmcf->records.source;

        return NGX_CONF_OK;
    }

    if (error.line) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "policy file \"%V\" line %uz: %s",
                           &pmcf->policy_file, error.line, error.text);

    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "policy file \"%V\": %s",
                           &pmcf->policy_file, error.text);
    }

    return NGX_CONF_ERROR;
}


char *
ngx_http_phrony_terminal_status(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_phrony_loc_conf_t *plcf = conf;

    ngx_str_t   *value, *status;
    ngx_uint_t   i;

    if (plcf->terminal_status != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    plcf->terminal_status = ngx_array_create(cf->pool, cf->args->nelts - 1,
                                             sizeof(ngx_str_t));
    if (plcf->terminal_status == NULL) {
        return NGX_CONF_ERROR;
    }

    for (i = 1; i < cf->args->nelts; i++) {

        if (value[i].len == 0 || value[i].len > PHRONY_ANSWER_STATUS_MAX) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid status \"%V\", it must have "
                               "1 to %d bytes",
                               &value[i], PHRONY_ANSWER_STATUS_MAX);
            return NGX_CONF_ERROR;
        }

        status = ngx_array_push(plcf->terminal_status);
        if (status == NULL) {
            return NGX_CONF_ERROR;
        }

        *status = value[i];
    }

    return NGX_CONF_OK;
}


/* A named location is none that a subrequest can go to. */

char *
ngx_http_phrony_verify_uri(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_phrony_loc_conf_t *plcf = conf;

    ngx_str_t  *value;

    if (plcf->verify.data) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {
        plcf->verify.len = 0;
        plcf->verify.data = (u_char *) "";

        return NGX_CONF_OK;
    }

    if (value[1].len == 0 || value[1].data[0] != '/'
        || ngx_strlchr(value[1].data, value[1].data + value[1].len, '?'))
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"phrony_verify\" needs \"off\", or a URI that "
                           "begins with \"/\" and has no arguments, not "
                           "\"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    plcf->verify = value[1];

    return NGX_CONF_OK;
}


char *
ngx_http_phrony_status(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_phrony_loc_conf_t *plcf = conf;

    ngx_str_t                  by = ngx_string("phrony_status");
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->handler == ngx_http_phrony_status_handler) {
        return "is duplicate";
    }

    if (plcf->enable == 1) {
        return "conflicts with \"phrony on\" in the same location";
    }

    plcf->enable = 0;
    clcf->handler = ngx_http_phrony_status_handler;

    ngx_http_phrony_needed(cf, &by);

    return NGX_CONF_OK;
}


/* Remembers the first directive that needs the zone and the policy. */

static void
ngx_http_phrony_needed(ngx_conf_t *cf, ngx_str_t *by)
{
    ngx_http_phrony_main_conf_t  *pmcf;

    pmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_phrony_module);

    if (pmcf->needed_by.name.len == 0) {
        ngx_http_phrony_note(cf, &pmcf->needed_by);
        pmcf->needed_by.name = *by;
    }
}


void
ngx_http_phrony_note(ngx_conf_t *cf, ngx_http_phrony_place_t *place)
{
    ngx_str_t  *value;

    if (place->name.len) {
        return;
    }

    value = cf->args->elts;

    place->name = value[0];
    place->file = cf->conf_file->file.name;
    place->line = cf->conf_file->line;
}


ngx_int_t
ngx_http_phrony_requires(ngx_conf_t *cf, ngx_http_phrony_place_t *place,
    const char *needed)
{
    ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                  "\"%V\" in %V:%ui requires \"%s\"",
                  &place->name, &place->file, place->line, needed);

    return NGX_ERROR;
}


char *
ngx_http_phrony_note_fetch(ngx_conf_t *cf, void *post, void *data)
{
    ngx_http_phrony_main_conf_t  *pmcf;

    pmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_phrony_module);

    ngx_http_phrony_note(cf, &pmcf->fetch_setting);

    return NGX_CONF_OK;
}


char *
ngx_http_phrony_check_ttl(ngx_conf_t *cf, void *post, void *data)
{
    ngx_msec_t *ttl = data;

    if (*ttl < 1000) {
        return "must be at least 1s";
    }

    return NGX_CONF_OK;
}


char *
ngx_http_phrony_check_positive(ngx_conf_t *cf, void *post, void *data)
{
    ngx_int_t *n = data;

    if (*n < 1) {
        return "must be at least 1";
    }

    return NGX_CONF_OK;
}


char *
ngx_http_phrony_check_realm(ngx_conf_t *cf, void *post, void *data)
{
    ngx_str_t *realm = data;

    if (!ngx_http_phrony_quotable(realm)) {
        return "must be printable ASCII without quotes and backslashes";
    }

    return NGX_CONF_OK;
}


static ngx_uint_t
ngx_http_phrony_quotable(ngx_str_t *text)
{
    u_char      ch;
    ngx_uint_t  i;

    for (i = 0; i < text->len; i++) {
        ch = text->data[i];

        if (ch < 0x20 || ch > 0x7e || ch == '"' || ch == '\\') {
            return 0;
        }
    }

    return 1;
}
