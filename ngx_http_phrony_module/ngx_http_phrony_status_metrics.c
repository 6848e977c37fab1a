
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_http_phrony_status_figures.h"


/*
 * Both formats are nearly one: OpenMetrics names a family of counters without
 * "_total", has a type for what is only labels, tells units, and has an end.
 */

typedef struct {
    ngx_http_phrony_text_t  *text;
    ngx_uint_t               openmetrics;
} ngx_http_phrony_metrics_t;


static void ngx_http_phrony_metrics_about(ngx_http_phrony_metrics_t *m,
    ngx_http_phrony_figures_t *figures);
static void ngx_http_phrony_metrics_requests(ngx_http_phrony_metrics_t *m,
    ngx_http_phrony_figures_t *figures);
static void ngx_http_phrony_metrics_route(ngx_http_phrony_metrics_t *m,
    phrony_route_kind_t kind, const char *outcome, ngx_atomic_uint_t n);
static void ngx_http_phrony_metrics_starts(ngx_http_phrony_metrics_t *m,
    ngx_phrony_counters_t *counters);
static void ngx_http_phrony_metrics_zone(ngx_http_phrony_metrics_t *m,
    ngx_http_phrony_figures_t *figures);
static void ngx_http_phrony_metrics_redis(ngx_http_phrony_metrics_t *m,
    ngx_http_phrony_figures_t *figures);
static void ngx_http_phrony_metrics_policy(ngx_http_phrony_metrics_t *m,
    ngx_http_phrony_figures_t *figures);
static void ngx_http_phrony_metrics_latencies(ngx_http_phrony_metrics_t *m,
    ngx_http_phrony_figures_t *figures);
static void ngx_http_phrony_metrics_histogram(ngx_http_phrony_metrics_t *m,
    const char *name, ngx_str_t *store, ngx_phrony_histogram_t *histogram);
static void ngx_http_phrony_metrics_top(ngx_http_phrony_metrics_t *m,
    ngx_phrony_top_t *top);
static void ngx_http_phrony_metrics_entry(ngx_http_phrony_metrics_t *m,
    ngx_phrony_top_entry_t *entry, ngx_uint_t used);
static void ngx_http_phrony_metrics_family(ngx_http_phrony_metrics_t *m,
    const char *name, const char *type, const char *unit, const char *help);
static void ngx_http_phrony_metrics_counters(ngx_http_phrony_metrics_t *m,
    const char *name, const char *help);
static void ngx_http_phrony_metrics_counter(ngx_http_phrony_metrics_t *m,
    const char *name, const char *help, ngx_atomic_uint_t n);
static void ngx_http_phrony_metrics_gauge(ngx_http_phrony_metrics_t *m,
    const char *name, const char *unit, const char *help, uint64_t n);


/* ngx_phrony_histogram_bounds in seconds, as OpenMetrics wants them written */

static const char  *ngx_http_phrony_metrics_bounds[] = {
    "0.0001", "0.00025", "0.0005", "0.001", "0.0025", "0.005", "0.01",
    "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "+Inf"
};


void
ngx_http_phrony_status_metrics(ngx_http_phrony_text_t *text,
    ngx_http_phrony_figures_t *figures, ngx_uint_t openmetrics,
    ngx_uint_t each)
{
    ngx_http_phrony_metrics_t  m;

    m.text = text;
    m.openmetrics = openmetrics;

    ngx_http_phrony_metrics_about(&m, figures);
    ngx_http_phrony_metrics_requests(&m, figures);
    ngx_http_phrony_metrics_starts(&m, &figures->counters);
    ngx_http_phrony_metrics_zone(&m, figures);

    if (figures->shared) {
        ngx_http_phrony_metrics_redis(&m, figures);
    }

    ngx_http_phrony_metrics_policy(&m, figures);
    ngx_http_phrony_metrics_latencies(&m, figures);

    if (each && figures->top.n) {
        ngx_http_phrony_metrics_top(&m, &figures->top);
    }

    if (openmetrics) {
        ngx_http_phrony_text(text, "# EOF\n");
    }
}


static void
ngx_http_phrony_metrics_about(ngx_http_phrony_metrics_t *m,
    ngx_http_phrony_figures_t *figures)
{
    ngx_http_phrony_metrics_family(m,
                         m->openmetrics ? "phrony_build" : "phrony_build_info",
                         m->openmetrics ? "info" : "gauge", NULL,
                         "Versions, and the store that decides");
    ngx_http_phrony_text(m->text,
                         "phrony_build_info{version=\""
                         NGX_HTTP_PHRONY_VERSION "\",nginx=\"" NGINX_VERSION
                         "\",store=\"%V\"} 1\n", &figures->store);

    ngx_http_phrony_metrics_gauge(m, "phrony_zone_created_timestamp_seconds",
                         "seconds",
                         "When the zone was made, and all counters began",
                         (uint64_t) figures->zone.created);
}


static void
ngx_http_phrony_metrics_requests(ngx_http_phrony_metrics_t *m,
    ngx_http_phrony_figures_t *figures)
{
    ngx_uint_t              i;
    ngx_phrony_counters_t  *counters;

    counters = &figures->counters;

    ngx_http_phrony_metrics_counters(m, "phrony_requests",
                         "Requests by route and outcome");

    for (i = 0; i < PHRONY_ROUTE_MAX; i++) {

        if (i == PHRONY_ROUTE_START) {
            ngx_http_phrony_metrics_route(m, i, "admitted",
                                          counters->admitted);
            ngx_http_phrony_metrics_route(m, i, "replayed",
                                          counters->replayed);

        } else if (i != PHRONY_ROUTE_UNKNOWN) {
            ngx_http_phrony_metrics_route(m, i, "passed", counters->passed[i]);
        }

        if (i != PHRONY_ROUTE_UNKNOWN) {
            ngx_http_phrony_metrics_route(m, i, "dry_run",
                                          counters->dry_run[i]);
        }

        ngx_http_phrony_metrics_route(m, i, "refused",
                               ngx_http_phrony_figures_refused(figures, i));
    }

    ngx_http_phrony_metrics_counters(m, "phrony_refusals",
                         "Refused requests by reason");

    for (i = PHRONY_REASON_NONE + 1; i < PHRONY_REASON_MAX; i++) {
        ngx_http_phrony_text(m->text,
                             "phrony_refusals_total{reason=\"%V\"} %uA\n",
                             &phrony_reason_info(i)->code,
                             ngx_http_phrony_figures_reason(figures, i));
    }
}


static void
ngx_http_phrony_metrics_route(ngx_http_phrony_metrics_t *m,
    phrony_route_kind_t kind, const char *outcome, ngx_atomic_uint_t n)
{
    ngx_http_phrony_text(m->text,
                         "phrony_requests_total{route=\"%V\",outcome=\"%s\"} "
                         "%uA\n", ngx_http_phrony_figures_route(kind),
                         outcome, n);
}


static void
ngx_http_phrony_metrics_starts(ngx_http_phrony_metrics_t *m,
    ngx_phrony_counters_t *counters)
{
    ngx_uint_t  i;

    ngx_http_phrony_metrics_counters(m, "phrony_starts",
                         "Admitted starts by what became of them");
    ngx_http_phrony_text(m->text,
                         "phrony_starts_total{outcome=\"started\"} %uA\n"
                         "phrony_starts_total{outcome=\"declined\"} %uA\n"
                         "phrony_starts_total{outcome=\"unreached\"} %uA\n"
                         "phrony_starts_total{outcome=\"unknown\"} %uA\n",
                         counters->started, counters->declined,
                         counters->unreached, counters->unknown);

    ngx_http_phrony_metrics_counter(m, "phrony_starts_unbound",
                         "Starts that were accepted without a usable runId",
                         counters->unbound);

    ngx_http_phrony_metrics_counters(m, "phrony_duplicates",
                         "Repeated deliveries by what is known of the first");

    for (i = PHRONY_DUPLICATE_NONE + 1; i < PHRONY_DUPLICATE_MAX; i++) {
        ngx_http_phrony_text(m->text,
                             "phrony_duplicates_total{first=\"%V\"} %uA\n",
                             phrony_duplicate_name(i),
                             counters->duplicates[i]);
    }

    ngx_http_phrony_metrics_counter(m, "phrony_verify_questions",
                         "Questions to the upstream about unseen runs",
                         counters->asked);
    ngx_http_phrony_metrics_counter(m, "phrony_verify_ended",
                         "Slots that were given back by the answers",
                         counters->asked_ended);
    ngx_http_phrony_metrics_counter(m, "phrony_verify_failures",
                         "Questions without a usable answer",
                         counters->asked_failed);

    ngx_http_phrony_metrics_counter(m, "phrony_ingress_logged",
                         "Attempts that were put into Redis",
                         counters->logged);
    ngx_http_phrony_metrics_counter(m, "phrony_ingress_dropped",
                         "Attempts that may not be there",
                         counters->dropped);
}


static void
ngx_http_phrony_metrics_zone(ngx_http_phrony_metrics_t *m,
    ngx_http_phrony_figures_t *figures)
{
    ngx_phrony_snapshot_t  *zone;

    zone = &figures->zone;

    ngx_http_phrony_metrics_gauge(m, "phrony_triggers", NULL,
                         "Triggers in the zone", zone->triggers);
    ngx_http_phrony_metrics_gauge(m, "phrony_leases", NULL,
                         "Slots that are held in the zone",
                         zone->leases);
    ngx_http_phrony_metrics_gauge(m, "phrony_ended_runs", NULL,
                         "Known runs that hold no slot in the zone",
                         zone->ended);
    ngx_http_phrony_metrics_gauge(m, "phrony_deliveries", NULL,
                         "Deliveries that are remembered", zone->deliveries);
    ngx_http_phrony_metrics_gauge(m, "phrony_untold", NULL,
                         "What Redis is still to be told", zone->untold);
    ngx_http_phrony_metrics_counter(m, "phrony_zone_evictions",
                         "What was given up early to make room",
                         zone->evicted);
    ngx_http_phrony_metrics_counter(m, "phrony_zone_exhaustions",
                         "Times when there was no room even so",
                         zone->exhausted);
    ngx_http_phrony_metrics_counter(m, "phrony_zone_repairs",
                         "Times when the zone was found half changed",
                         zone->repaired);
    ngx_http_phrony_metrics_gauge(m, "phrony_zone_size_bytes", "bytes",
                         "Size of the zone", zone->size);
    ngx_http_phrony_metrics_gauge(m, "phrony_zone_free_bytes", "bytes",
                         "Whole free pages of the zone", zone->free);
    ngx_http_phrony_metrics_gauge(m, "phrony_slots", NULL,
                         "Unfinished runs and starts in flight; with Redis of "
                         "the triggers used last, wherever they were started",
                         figures->held);
}


static void
ngx_http_phrony_metrics_redis(ngx_http_phrony_metrics_t *m,
    ngx_http_phrony_figures_t *figures)
{
    ngx_phrony_redis_counters_t  *redis;

    redis = &figures->redis;

    ngx_http_phrony_metrics_gauge(m, "phrony_redis_up", NULL,
                         "Whether the worker that answers is connected",
                         figures->ready);
    ngx_http_phrony_metrics_counter(m, "phrony_redis_commands",
                         "Commands that Redis has answered", redis->commands);
    ngx_http_phrony_metrics_counter(m, "phrony_redis_errors",
                         "Commands that Redis has answered by an error",
                         redis->errors);
    ngx_http_phrony_metrics_counter(m, "phrony_redis_connects",
                         "Connections that were made", redis->connects);
    ngx_http_phrony_metrics_counter(m, "phrony_redis_failures",
                         "Connections that could not be made or were lost",
                         redis->failures);
    ngx_http_phrony_metrics_counter(m, "phrony_redis_timeouts",
                         "Connections that were given up for want of an "
                         "answer", redis->timeouts);
    ngx_http_phrony_metrics_counter(m, "phrony_redis_lost_commands",
                         "Commands that were on their way then", redis->lost);
    ngx_http_phrony_metrics_counter(m, "phrony_redis_refused_commands",
                         "Commands that were not sent, too many were waiting",
                         redis->refused);
    ngx_http_phrony_metrics_counter(m, "phrony_redis_redirects",
                         "Commands that another node had to answer",
                         redis->redirected);
    ngx_http_phrony_metrics_counter(m, "phrony_redis_script_loads",
                         "Scripts that were sent again", redis->reloaded);
}


static void
ngx_http_phrony_metrics_policy(ngx_http_phrony_metrics_t *m,
    ngx_http_phrony_figures_t *figures)
{
    ngx_http_phrony_metrics_family(m, "phrony_policy_records", "gauge", NULL,
                         "Records of the policy that are in use");
    ngx_http_phrony_text(m->text,
                         "phrony_policy_records{kind=\"workspace\"} %uz\n"
                         "phrony_policy_records{kind=\"trigger\"} %uz\n"
                         "phrony_policy_records{kind=\"key\"} %uz\n",
                         figures->policy.workspaces, figures->policy.triggers,
                         figures->policy.keys);

    ngx_http_phrony_metrics_gauge(m, "phrony_policy_size_bytes", "bytes",
                         "Memory of the policy", figures->policy.bytes);

    if (!figures->cached) {
        return;
    }

    ngx_http_phrony_metrics_counter(m, "phrony_policy_cache_hits",
                         "Keys that were looked up without asking Redis",
                         figures->counters.cache_hits);
    ngx_http_phrony_metrics_counter(m, "phrony_policy_cache_misses",
                         "Keys for which Redis was asked",
                         figures->counters.cache_misses);
    ngx_http_phrony_metrics_gauge(m, "phrony_policy_cache_size_bytes",
                         "bytes", "Policy records in the zone",
                         figures->zone.cache);
    ngx_http_phrony_metrics_gauge(m, "phrony_policy_cache_limit_bytes",
                         "bytes", "Room in the zone for policy records",
                         figures->zone.max_cache);
}


static void
ngx_http_phrony_metrics_latencies(ngx_http_phrony_metrics_t *m,
    ngx_http_phrony_figures_t *figures)
{
    ngx_uint_t  i;

    ngx_http_phrony_metrics_family(m, "phrony_decision_seconds", "histogram",
                         "seconds", "How long starts and reads waited for "
                         "the decision on their limits");

    for (i = 0; i < NGX_PHRONY_DECIDER_MAX; i++) {
        ngx_http_phrony_metrics_histogram(m, "phrony_decision_seconds",
                                          &ngx_http_phrony_deciders[i],
                                          &figures->counters.decisions[i]);
    }

    if (!figures->shared) {
        return;
    }

    ngx_http_phrony_metrics_family(m, "phrony_redis_trip_seconds",
                         "histogram", "seconds", "How long commands took "
                         "that requests wait for");
    ngx_http_phrony_metrics_histogram(m, "phrony_redis_trip_seconds",
                                      NULL, &figures->redis.trips);
}


/* The counters may grow while they are read: "_count" is of the copy. */

static void
ngx_http_phrony_metrics_histogram(ngx_http_phrony_metrics_t *m,
    const char *name, ngx_str_t *store, ngx_phrony_histogram_t *histogram)
{
    u_char             label[32];
    ngx_uint_t         i;
    ngx_atomic_uint_t  n;

    n = 0;
    label[0] = '\0';

    if (store) {
        ngx_sprintf(label, "store=\"%V\"%Z", store);
    }

    for (i = 0; i <= NGX_PHRONY_HISTOGRAM_BOUNDS; i++) {
        n += histogram->counts[i];

        ngx_http_phrony_text(m->text, "%s_bucket{%s%sle=\"%s\"} %uA\n", name,
                             label, store ? "," : "",
                             ngx_http_phrony_metrics_bounds[i], n);
    }

    ngx_http_phrony_text(m->text, "%s_sum%s%s%s %uA.%06uA\n"
                         "%s_count%s%s%s %uA\n",
                         name, store ? "{" : "", label, store ? "}" : "",
                         histogram->sum / 1000000, histogram->sum % 1000000,
                         name, store ? "{" : "", label, store ? "}" : "", n);
}


static void
ngx_http_phrony_metrics_top(ngx_http_phrony_metrics_t *m,
    ngx_phrony_top_t *top)
{
    ngx_uint_t  i;

    ngx_http_phrony_metrics_family(m, "phrony_trigger_used", "gauge", NULL,
                         "What is used of a limit of a trigger");

    for (i = 0; i < top->n; i++) {
        ngx_http_phrony_metrics_entry(m, &top->entries[i], 1);
    }

    ngx_http_phrony_metrics_family(m, "phrony_trigger_limit", "gauge", NULL,
                         "The limit of which it is used");

    for (i = 0; i < top->n; i++) {
        ngx_http_phrony_metrics_entry(m, &top->entries[i], 0);
    }
}


static void
ngx_http_phrony_metrics_entry(ngx_http_phrony_metrics_t *m,
    ngx_phrony_top_entry_t *entry, ngx_uint_t used)
{
    u_char      trigger[PHRONY_UUID_TEXT_LEN + 1];
    ngx_uint_t  i;

    *phrony_uuid_format(trigger, &entry->trigger_id) = '\0';

    for (i = 0; i < PHRONY_LIMIT_MAX; i++) {

        if (entry->quotas[i] < 0) {
            continue;
        }

        ngx_http_phrony_text(m->text,
                             "%s{trigger=\"%s\",limit=\"%V\"} %uL\n",
                             used ? "phrony_trigger_used"
                                  : "phrony_trigger_limit",
                             trigger, &ngx_http_phrony_limits[i],
                             used ? entry->used[i]
                                  : (uint64_t) entry->quotas[i]);
    }
}


static void
ngx_http_phrony_metrics_family(ngx_http_phrony_metrics_t *m,
    const char *name, const char *type, const char *unit, const char *help)
{
    ngx_http_phrony_text(m->text, "# HELP %s %s.\n# TYPE %s %s\n",
                         name, help, name, type);

    if (m->openmetrics && unit) {
        ngx_http_phrony_text(m->text, "# UNIT %s %s\n", name, unit);
    }
}


/* The samples are the caller's, with "_total". */

static void
ngx_http_phrony_metrics_counters(ngx_http_phrony_metrics_t *m,
    const char *name, const char *help)
{
    const char  *total;

    total = m->openmetrics ? "" : "_total";

    ngx_http_phrony_text(m->text,
                         "# HELP %s%s %s.\n# TYPE %s%s counter\n",
                         name, total, help, name, total);
}


static void
ngx_http_phrony_metrics_counter(ngx_http_phrony_metrics_t *m,
    const char *name, const char *help, ngx_atomic_uint_t n)
{
    ngx_http_phrony_metrics_counters(m, name, help);
    ngx_http_phrony_text(m->text, "%s_total %uA\n", name, n);
}


static void
ngx_http_phrony_metrics_gauge(ngx_http_phrony_metrics_t *m,
    const char *name, const char *unit, const char *help, uint64_t n)
{
    ngx_http_phrony_metrics_family(m, name, "gauge", unit, help);
    ngx_http_phrony_text(m->text, "%s %uL\n", name, n);
}
