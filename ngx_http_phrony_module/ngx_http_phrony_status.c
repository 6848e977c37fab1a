
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_http_phrony_status.h"


#define NGX_HTTP_PHRONY_STATUS_LEN  8192


static u_char *ngx_http_phrony_status_store(u_char *p, u_char *last,
    ngx_http_phrony_main_conf_t *pmcf);
static u_char *ngx_http_phrony_status_redis(u_char *p, u_char *last,
    ngx_http_phrony_main_conf_t *pmcf);
static u_char *ngx_http_phrony_status_policy(u_char *p, u_char *last,
    ngx_phrony_source_t *source);
static u_char *ngx_http_phrony_status_requests(u_char *p, u_char *last,
    ngx_phrony_counters_t *counters);


ngx_int_t
ngx_http_phrony_status_handler(ngx_http_request_t *r)
{
    ngx_int_t                     rc;
    ngx_buf_t                    *b;
    ngx_chain_t                   out;
    ngx_http_phrony_main_conf_t  *pmcf;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return NGX_HTTP_NOT_ALLOWED;
    }

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    pmcf = ngx_http_get_module_main_conf(r, ngx_http_phrony_module);

    b = ngx_create_temp_buf(r->pool, NGX_HTTP_PHRONY_STATUS_LEN);
    if (b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    b->last = ngx_slprintf(b->last, b->end,
                           "{\"version\":\"" NGX_HTTP_PHRONY_VERSION "\"");

    b->last = ngx_http_phrony_status_store(b->last, b->end, pmcf);
    b->last = ngx_http_phrony_status_redis(b->last, b->end, pmcf);
    b->last = ngx_http_phrony_status_policy(b->last, b->end, pmcf->source);
    b->last = ngx_http_phrony_status_requests(b->last, b->end,
                                              ngx_http_phrony_counters(r));

    b->last = ngx_slprintf(b->last, b->end, "}\n");

    b->last_buf = (r == r->main) ? 1 : 0;
    b->last_in_chain = 1;

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = b->last - b->pos;

    ngx_str_set(&r->headers_out.content_type, "application/json");
    r->headers_out.content_type_len = r->headers_out.content_type.len;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


static u_char *
ngx_http_phrony_status_store(u_char *p, u_char *last,
    ngx_http_phrony_main_conf_t *pmcf)
{
    ngx_phrony_snapshot_t  s;

    pmcf->store->snapshot(pmcf->store, &s);

    return ngx_slprintf(p, last,
                        ",\"store\":{\"name\":\"%V\",\"triggers\":%ui,"
                        "\"leases\":%ui,\"ended\":%ui,\"deliveries\":%ui,"
                        "\"evicted\":%ui,"
                        "\"exhausted\":%ui,\"repaired\":%ui,"
                        "\"untold\":%ui,\"size\":%uz,\"free\":%uz}",
                        &pmcf->store->label, s.triggers, s.leases, s.ended,
                        s.deliveries, s.evicted, s.exhausted, s.repaired,
                        s.untold, s.size, s.free);
}


/* "ready" is of the worker that answers, all else of all workers. */

static u_char *
ngx_http_phrony_status_redis(u_char *p, u_char *last,
    ngx_http_phrony_main_conf_t *pmcf)
{
    ngx_phrony_root_t            *root;
    ngx_phrony_redis_counters_t  *counters;

    if (pmcf->connection == NULL) {
        return p;
    }

    root = pmcf->zone.shpool->data;
    counters = &root->redis;

    return ngx_slprintf(p, last,
                        ",\"redis\":{\"ready\":%s,\"commands\":%uA,"
                        "\"errors\":%uA,\"connects\":%uA,\"failures\":%uA,"
                        "\"timeouts\":%uA,\"lost\":%uA,\"refused\":%uA,"
                        "\"redirected\":%uA,\"reloaded\":%uA}",
                        ngx_phrony_redis_ready(pmcf->connection,
                                               NGX_PHRONY_REDIS_ANY)
                        ? "true" : "false",
                        counters->commands, counters->errors,
                        counters->connects, counters->failures,
                        counters->timeouts, counters->lost,
                        counters->refused, counters->redirected,
                        counters->reloaded);
}


static u_char *
ngx_http_phrony_status_policy(u_char *p, u_char *last,
    ngx_phrony_source_t *source)
{
    phrony_policy_stat_t  stat;

    source->stat(source, &stat);

    return ngx_slprintf(p, last,
                        ",\"policy\":{\"workspaces\":%uz,\"triggers\":%uz,"
                        "\"keys\":%uz,\"bytes\":%uz}",
                        stat.workspaces, stat.triggers, stat.keys,
                        stat.bytes);
}


static u_char *
ngx_http_phrony_status_requests(u_char *p, u_char *last,
    ngx_phrony_counters_t *counters)
{
    ngx_uint_t  i;

    p = ngx_slprintf(p, last,
                     ",\"requests\":{\"admitted\":%uA,\"passed\":%uA,"
                     "\"dry_run\":%uA,\"replayed\":%uA,\"refused\":{",
                     counters->admitted, counters->passed,
                     counters->dry_run, counters->replayed);

    for (i = PHRONY_REASON_NONE + 1; i < PHRONY_REASON_MAX; i++) {
        p = ngx_slprintf(p, last, "%s\"%V\":%uA",
                         i == PHRONY_REASON_NONE + 1 ? "" : ",",
                         &phrony_reason_info(i)->code, counters->refused[i]);
    }

    p = ngx_slprintf(p, last, "}},\"duplicates\":{");

    for (i = PHRONY_DUPLICATE_NONE + 1; i < PHRONY_DUPLICATE_MAX; i++) {
        p = ngx_slprintf(p, last, "%s\"%V\":%uA",
                         i == PHRONY_DUPLICATE_NONE + 1 ? "" : ",",
                         phrony_duplicate_name(i), counters->duplicates[i]);
    }

    return ngx_slprintf(p, last,
                        "},\"outcomes\":{\"unknown\":%uA,\"unbound\":%uA},"
                        "\"verify\":{\"asked\":%uA,\"ended\":%uA,"
                        "\"failed\":%uA}",
                        counters->unknown, counters->unbound,
                        counters->asked, counters->asked_ended,
                        counters->asked_failed);
}
