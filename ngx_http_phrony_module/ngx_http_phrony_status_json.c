
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_http_phrony_status_figures.h"


static void ngx_http_phrony_json_store(ngx_http_phrony_text_t *text,
    ngx_http_phrony_figures_t *figures);
static void ngx_http_phrony_json_redis(ngx_http_phrony_text_t *text,
    ngx_phrony_redis_counters_t *redis, ngx_uint_t ready);
static void ngx_http_phrony_json_policy(ngx_http_phrony_text_t *text,
    ngx_http_phrony_figures_t *figures);
static void ngx_http_phrony_json_requests(ngx_http_phrony_text_t *text,
    ngx_http_phrony_figures_t *figures);
static void ngx_http_phrony_json_routes(ngx_http_phrony_text_t *text,
    ngx_http_phrony_figures_t *figures);
static void ngx_http_phrony_json_starts(ngx_http_phrony_text_t *text,
    ngx_phrony_counters_t *counters);
static void ngx_http_phrony_json_latencies(ngx_http_phrony_text_t *text,
    ngx_http_phrony_figures_t *figures);
static void ngx_http_phrony_json_histogram(ngx_http_phrony_text_t *text,
    ngx_phrony_histogram_t *histogram);
static void ngx_http_phrony_json_top(ngx_http_phrony_text_t *text,
    ngx_phrony_top_t *top);
static void ngx_http_phrony_json_entry(ngx_http_phrony_text_t *text,
    ngx_phrony_top_entry_t *entry);


void
ngx_http_phrony_status_json(ngx_http_phrony_text_t *text,
    ngx_http_phrony_figures_t *figures)
{
    ngx_http_phrony_text(text,
                         "{\"version\":\"" NGX_HTTP_PHRONY_VERSION "\","
                         "\"nginx\":\"" NGINX_VERSION "\","
                         "\"now\":%T,\"since\":%T",
                         ngx_time(), figures->zone.created);

    ngx_http_phrony_json_store(text, figures);

    if (figures->shared) {
        ngx_http_phrony_json_redis(text, &figures->redis, figures->ready);
    }

    ngx_http_phrony_json_policy(text, figures);
    ngx_http_phrony_json_requests(text, figures);
    ngx_http_phrony_json_starts(text, &figures->counters);
    ngx_http_phrony_json_routes(text, figures);
    ngx_http_phrony_json_latencies(text, figures);
    ngx_http_phrony_json_top(text, &figures->top);

    ngx_http_phrony_text(text, "}\n");
}


static void
ngx_http_phrony_json_store(ngx_http_phrony_text_t *text,
    ngx_http_phrony_figures_t *figures)
{
    ngx_phrony_snapshot_t  *s;

    s = &figures->zone;

    ngx_http_phrony_text(text,
                         ",\"store\":{\"name\":\"%V\",\"triggers\":%ui,"
                         "\"leases\":%ui,\"ended\":%ui,\"deliveries\":%ui,"
                         "\"evicted\":%ui,"
                         "\"exhausted\":%ui,\"repaired\":%ui,"
                         "\"untold\":%ui,\"size\":%uz,\"free\":%uz,"
                         "\"held\":%uL}",
                         &figures->store, s->triggers, s->leases, s->ended,
                         s->deliveries, s->evicted, s->exhausted, s->repaired,
                         s->untold, s->size, s->free, figures->held);
}


/* "ready" is of the worker that answers, all else of all workers. */

static void
ngx_http_phrony_json_redis(ngx_http_phrony_text_t *text,
    ngx_phrony_redis_counters_t *redis, ngx_uint_t ready)
{
    ngx_http_phrony_text(text,
                         ",\"redis\":{\"ready\":%s,\"commands\":%uA,"
                         "\"errors\":%uA,\"connects\":%uA,\"failures\":%uA,"
                         "\"timeouts\":%uA,\"lost\":%uA,\"refused\":%uA,"
                         "\"redirected\":%uA,\"reloaded\":%uA}",
                         ready ? "true" : "false",
                         redis->commands, redis->errors, redis->connects,
                         redis->failures, redis->timeouts, redis->lost,
                         redis->refused, redis->redirected, redis->reloaded);
}


static void
ngx_http_phrony_json_policy(ngx_http_phrony_text_t *text,
    ngx_http_phrony_figures_t *figures)
{
    phrony_policy_stat_t  *stat;

    stat = &figures->policy;

    ngx_http_phrony_text(text,
                         ",\"policy\":{\"workspaces\":%uz,\"triggers\":%uz,"
                         "\"keys\":%uz,\"bytes\":%uz}",
                         stat->workspaces, stat->triggers, stat->keys,
                         stat->bytes);

    if (figures->cached) {
        ngx_http_phrony_text(text,
                             ",\"cache\":{\"hits\":%uA,\"misses\":%uA,"
                             "\"bytes\":%uz,\"max_bytes\":%uz}",
                             figures->counters.cache_hits,
                             figures->counters.cache_misses,
                             figures->zone.cache, figures->zone.max_cache);
    }
}


static void
ngx_http_phrony_json_requests(ngx_http_phrony_text_t *text,
    ngx_http_phrony_figures_t *figures)
{
    ngx_uint_t              i;
    ngx_atomic_uint_t       passed, dry_run;
    ngx_phrony_counters_t  *counters;

    counters = &figures->counters;
    passed = 0;
    dry_run = 0;

    for (i = 0; i < PHRONY_ROUTE_MAX; i++) {
        passed += counters->passed[i];
        dry_run += counters->dry_run[i];
    }

    ngx_http_phrony_text(text,
                         ",\"requests\":{\"admitted\":%uA,\"passed\":%uA,"
                         "\"dry_run\":%uA,\"replayed\":%uA,\"refused\":{",
                         counters->admitted, passed, dry_run,
                         counters->replayed);

    for (i = PHRONY_REASON_NONE + 1; i < PHRONY_REASON_MAX; i++) {
        ngx_http_phrony_text(text, "%s\"%V\":%uA",
                             i == PHRONY_REASON_NONE + 1 ? "" : ",",
                             &phrony_reason_info(i)->code,
                             ngx_http_phrony_figures_reason(figures, i));
    }

    ngx_http_phrony_text(text, "}}");
}


static void
ngx_http_phrony_json_starts(ngx_http_phrony_text_t *text,
    ngx_phrony_counters_t *counters)
{
    ngx_uint_t  i;

    ngx_http_phrony_text(text, ",\"duplicates\":{");

    for (i = PHRONY_DUPLICATE_NONE + 1; i < PHRONY_DUPLICATE_MAX; i++) {
        ngx_http_phrony_text(text, "%s\"%V\":%uA",
                             i == PHRONY_DUPLICATE_NONE + 1 ? "" : ",",
                             phrony_duplicate_name(i),
                             counters->duplicates[i]);
    }

    ngx_http_phrony_text(text,
                         "},\"outcomes\":{\"started\":%uA,\"declined\":%uA,"
                         "\"unreached\":%uA,\"unknown\":%uA,\"unbound\":%uA},"
                         "\"verify\":{\"asked\":%uA,\"ended\":%uA,"
                         "\"failed\":%uA},"
                         "\"ingress\":{\"logged\":%uA,\"dropped\":%uA}",
                         counters->started, counters->declined,
                         counters->unreached, counters->unknown,
                         counters->unbound, counters->asked,
                         counters->asked_ended, counters->asked_failed,
                         counters->logged, counters->dropped);
}


static void
ngx_http_phrony_json_routes(ngx_http_phrony_text_t *text,
    ngx_http_phrony_figures_t *figures)
{
    ngx_uint_t              i;
    ngx_phrony_counters_t  *counters;

    counters = &figures->counters;

    ngx_http_phrony_text(text, ",\"routes\":{");

    for (i = 0; i < PHRONY_ROUTE_MAX; i++) {
        ngx_http_phrony_text(text,
                             "%s\"%V\":{\"admitted\":%uA,\"passed\":%uA,"
                             "\"dry_run\":%uA,\"replayed\":%uA,"
                             "\"refused\":%uA}",
                             i ? "," : "", ngx_http_phrony_figures_route(i),
                             i == PHRONY_ROUTE_START ? counters->admitted : 0,
                             counters->passed[i], counters->dry_run[i],
                             i == PHRONY_ROUTE_START ? counters->replayed : 0,
                             ngx_http_phrony_figures_refused(figures, i));
    }

    ngx_http_phrony_text(text, "}");
}


static void
ngx_http_phrony_json_latencies(ngx_http_phrony_text_t *text,
    ngx_http_phrony_figures_t *figures)
{
    ngx_uint_t  i;

    ngx_http_phrony_text(text, ",\"latencies\":{\"bounds\":[");

    for (i = 0; i < NGX_PHRONY_HISTOGRAM_BOUNDS; i++) {
        ngx_http_phrony_text(text, "%s%uL", i ? "," : "",
                             ngx_phrony_histogram_bounds[i]);
    }

    ngx_http_phrony_text(text, "],\"decisions\":{");

    for (i = 0; i < NGX_PHRONY_DECIDER_MAX; i++) {
        ngx_http_phrony_text(text, "%s\"%V\":", i ? "," : "",
                             &ngx_http_phrony_deciders[i]);
        ngx_http_phrony_json_histogram(text, &figures->counters.decisions[i]);
    }

    ngx_http_phrony_text(text, "}");

    if (figures->shared) {
        ngx_http_phrony_text(text, ",\"redis\":");
        ngx_http_phrony_json_histogram(text, &figures->redis.trips);
    }

    ngx_http_phrony_text(text, "}");
}


static void
ngx_http_phrony_json_histogram(ngx_http_phrony_text_t *text,
    ngx_phrony_histogram_t *histogram)
{
    ngx_uint_t  i;

    ngx_http_phrony_text(text, "{\"counts\":[");

    for (i = 0; i <= NGX_PHRONY_HISTOGRAM_BOUNDS; i++) {
        ngx_http_phrony_text(text, "%s%uA", i ? "," : "",
                             histogram->counts[i]);
    }

    ngx_http_phrony_text(text, "],\"sum\":%uA}", histogram->sum);
}


static void
ngx_http_phrony_json_top(ngx_http_phrony_text_t *text, ngx_phrony_top_t *top)
{
    ngx_uint_t  i;

    ngx_http_phrony_text(text, ",\"top\":[");

    for (i = 0; i < top->n; i++) {
        ngx_http_phrony_text(text, "%s", i ? "," : "");
        ngx_http_phrony_json_entry(text, &top->entries[i]);
    }

    ngx_http_phrony_text(text, "]");
}


static void
ngx_http_phrony_json_entry(ngx_http_phrony_text_t *text,
    ngx_phrony_top_entry_t *entry)
{
    u_char      uuid[PHRONY_UUID_TEXT_LEN + 1];
    ngx_uint_t  i;

    *phrony_uuid_format(uuid, &entry->trigger_id) = '\0';

    ngx_http_phrony_text(text, "{\"trigger\":\"%s\"", uuid);

    if (entry->has_agent) {
        *phrony_uuid_format(uuid, &entry->agent_id) = '\0';

        ngx_http_phrony_text(text, ",\"agent\":\"%s\"", uuid);
    }

    for (i = 0; i < PHRONY_LIMIT_MAX; i++) {

        if (entry->quotas[i] < 0) {
            continue;
        }

        ngx_http_phrony_text(text, ",\"%V\":{\"used\":%uL,\"limit\":%L}",
                             &ngx_http_phrony_limits[i], entry->used[i],
                             entry->quotas[i]);
    }

    ngx_http_phrony_text(text, "}");
}
