
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "phrony_body.h"
#include "phrony_delivery.h"

#include "ctl_explain.h"
#include "ctl_options.h"
#include "ctl_output.h"
#include "ctl_policy.h"


#define CTL_EXPLAIN_LEN  256


static const char  *ctl_explain_checks[] = {
    "", "route", "key's form", "key", "workspace", "scope", "address",
    "body", "delivery and limits"
};


static ctl_code_t ctl_explain_walk(ctl_explain_t *explain);
static phrony_method_t ctl_explain_method(const char *name);
static int ctl_explain_route(ctl_explain_t *explain);
static ctl_code_t ctl_explain_key(ctl_explain_t *explain);
static ctl_code_t ctl_explain_body(ctl_explain_t *explain);
static ctl_code_t ctl_explain_directives(ctl_explain_t *explain);
static phrony_reason_t ctl_explain_content(ctl_explain_t *explain,
    char *why, size_t size);
static phrony_reason_t ctl_explain_type(const ctl_explain_t *explain);
static int ctl_explain_delivery(ctl_explain_t *explain);
static void ctl_explain_add(ctl_explain_t *explain, int step,
    const char *verdict, phrony_reason_t reason, const char *text);
static void ctl_explain_table(ctl_explain_t *explain);
static ctl_code_t ctl_explain_print(ctl_explain_t *explain);
static const char *ctl_explain_decision(const ctl_explain_t *explain);


ctl_code_t
ctl_explain(ctl_t *ctl)
{
    ctl_code_t      code;
    ctl_explain_t   explain;

    memset(&explain, 0, sizeof(explain));
    explain.ctl = ctl;
    explain.steps = json_array();

    code = ctl_explain_walk(&explain);

    if (code == CTL_OK) {
        code = ctl_explain_print(&explain);
    }

    if (explain.file.text) {
        ctl_file_close(&explain.file);

    } else {
        phrony_policy_free(explain.policy);
    }

    json_decref(explain.steps);
    free(explain.body);

    return code;
}


static ctl_code_t
ctl_explain_walk(ctl_explain_t *explain)
{
    ctl_code_t  code;

    if (!ctl_explain_route(explain)
        || explain->route.kind == PHRONY_ROUTE_PREFLIGHT)
    {
        return CTL_OK;
    }

    code = ctl_explain_key(explain);

    if (code == CTL_OK && explain->reason == PHRONY_REASON_NONE) {
        code = ctl_explain_policy(explain);
    }

    if (code == CTL_OK && explain->reason == PHRONY_REASON_NONE
        && explain->route.kind == PHRONY_ROUTE_START)
    {
        code = ctl_explain_body(explain);
    }

    if (code == CTL_OK && explain->reason == PHRONY_REASON_NONE
        && explain->trigger)
    {
        code = ctl_explain_limits(explain);
    }

    return code;
}


static phrony_method_t
ctl_explain_method(const char *name)
{
    size_t  i;

    static const struct {
        const char       *name;
        phrony_method_t   method;
    } methods[] = {
        { "GET", PHRONY_METHOD_GET }, { "HEAD", PHRONY_METHOD_HEAD },
        { "POST", PHRONY_METHOD_POST }, { "OPTIONS", PHRONY_METHOD_OPTIONS }
    };

    for (i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        if (strcmp(methods[i].name, name) == 0) {
            return methods[i].method;
        }
    }

    return PHRONY_METHOD_OTHER;
}


static int
ctl_explain_route(ctl_explain_t *explain)
{
    phrony_str_t         path;
    phrony_reason_t      reason;
    const phrony_str_t  *name;

    path.data = (unsigned char *) explain->ctl->args[1];
    path.len = strcspn(explain->ctl->args[1], "?");

    reason = phrony_route_parse(&path,
                 ctl_explain_method(explain->ctl->args[0]),
                 ctl_explain_field(explain, "Origin", 0)
                 && ctl_explain_field(explain,
                                      "Access-Control-Request-Method", 0),
                 &explain->route);

    if (reason != PHRONY_REASON_PATH_NOT_CANONICAL
        && reason != PHRONY_REASON_ROUTE_UNKNOWN
        && (ctl_explain_field(explain, "X-HTTP-Method-Override", 0)
            || ctl_explain_field(explain, "X-HTTP-Method", 0)
            || ctl_explain_field(explain, "X-Method-Override", 0)))
    {
        reason = PHRONY_REASON_METHOD_OVERRIDE;
    }

    name = phrony_route_name(explain->route.kind);

    return ctl_explain_step(explain, 1, reason, "route \"%s\"",
                            name->len ? (char *) name->data : "unknown");
}


/* Step 2, and the digest that step 3 is about. */

static ctl_code_t
ctl_explain_key(ctl_explain_t *explain)
{
    ctl_code_t        code;
    const char       *path;
    phrony_str_t      text;
    ctl_secret_t      secret;
    phrony_reason_t   reason;

    path = ctl_option(explain->ctl, "key-file");

    if (ctl_explain_field(explain, "X-API-Key", 0)) {
        return ctl_fail(explain->ctl, CTL_USAGE, "a key is no argument, which "
                        "others can see: --key-file");
    }

    if (path == NULL && ctl_option(explain->ctl, "key-id")) {
        ctl_explain_unknown(explain, 2, "the key's text is not at hand");
        explain->unknown = 0;
        return CTL_OK;
    }

    if (path == NULL) {
        (void) ctl_explain_step(explain, 2, PHRONY_REASON_KEY_MISSING,
                                "neither --key-file nor --key-id was given");
        return CTL_OK;
    }

    code = ctl_secret_read(explain->ctl, path, &secret);

    if (code != CTL_OK) {
        return code;
    }

    text.data = (unsigned char *) secret.text;
    text.len = secret.len;

    reason = text.len ? phrony_key_check(&text) : PHRONY_REASON_KEY_MALFORMED;

    (void) ctl_explain_step(explain, 2, reason, "a key of %zu bytes",
                            text.len);

    ctl_secret_digest(secret.text, secret.len, explain->digest);
    ctl_secret_clear(&secret);

    return CTL_OK;
}


static ctl_code_t
ctl_explain_body(ctl_explain_t *explain)
{
    char              why[CTL_EXPLAIN_LEN];
    ctl_code_t        code;
    const char       *path;
    phrony_reason_t   reason;

    code = ctl_explain_directives(explain);

    if (code != CTL_OK) {
        return code;
    }

    path = ctl_option(explain->ctl, "body-file");

    if (path) {
        code = ctl_file_read(explain->ctl, path, &explain->body,
                             &explain->len);

        if (code != CTL_OK) {
            return code;
        }
    }

    snprintf(why, sizeof(why), "%zu bytes%s", explain->len,
             path ? "" : ", as no --body-file was given");

    reason = explain->len ? ctl_explain_content(explain, why, sizeof(why))
                          : PHRONY_REASON_NONE;

    if (reason == PHRONY_REASON_NONE && !ctl_explain_delivery(explain)) {
        reason = PHRONY_REASON_DELIVERY_ID_INVALID;
    }

    (void) ctl_explain_step(explain, 7, reason, "%s", why);

    return CTL_OK;
}


/* What the gateways have been told, as the options say. */

static ctl_code_t
ctl_explain_directives(ctl_explain_t *explain)
{
    const char  *mode;
    ctl_code_t   code;

    explain->max_body = 1024 * 1024;
    explain->bytes_per_token = 4;
    mode = ctl_option(explain->ctl, "duplicates");

    if (mode == NULL || strcmp(mode, "replay") == 0) {
        explain->duplicates = PHRONY_DELIVERY_MODE_REPLAY;

    } else if (strcmp(mode, "annotate") == 0) {
        explain->duplicates = PHRONY_DELIVERY_MODE_ANNOTATE;

    } else if (strcmp(mode, "off") == 0) {
        explain->duplicates = PHRONY_DELIVERY_MODE_OFF;

    } else {
        return ctl_fail(explain->ctl, CTL_USAGE, "--duplicates takes replay, "
                        "annotate or off");
    }

    code = ctl_option_number(explain->ctl, "max-body", INT64_MAX,
                             &explain->max_body);

    return (code == CTL_OK)
           ? ctl_option_number(explain->ctl, "bytes-per-token", INT32_MAX,
                               &explain->bytes_per_token)
           : code;
}


static phrony_reason_t
ctl_explain_content(ctl_explain_t *explain, char *why, size_t size)
{
    int64_t               tokens, limit;
    phrony_str_t          text;
    phrony_reason_t       reason;
    phrony_body_error_t   error;

    if (ctl_explain_type(explain) != PHRONY_REASON_NONE) {
        return PHRONY_REASON_CONTENT_TYPE;
    }

    if (explain->len > (size_t) explain->max_body) {
        return PHRONY_REASON_BODY_TOO_LARGE;
    }

    text.data = (unsigned char *) explain->body;
    text.len = explain->len;

    reason = phrony_body_check(&text, &error);

    if (reason == PHRONY_REASON_BODY_INVALID) {
        snprintf(why, size, "line %zu, column %zu: %s", error.line,
                 error.column, error.text);
    }

    if (reason != PHRONY_REASON_NONE) {
        return reason;
    }

    limit = explain->trigger->max_input_tokens;
    tokens = phrony_body_tokens(explain->len,
                                (size_t) explain->bytes_per_token);

    snprintf(why, size, "%zu bytes, estimated tokens: %lld", explain->len,
             (long long) tokens);

    return (limit != PHRONY_NO_LIMIT && tokens > limit)
           ? PHRONY_REASON_INPUT_TOO_LARGE : PHRONY_REASON_NONE;
}


static phrony_reason_t
ctl_explain_type(const ctl_explain_t *explain)
{
    const char    *type;
    phrony_str_t   text;

    type = ctl_explain_field(explain, "Content-Type", 0);

    if (ctl_explain_field(explain, "Content-Encoding", 0)
        || ctl_explain_field(explain, "Content-Type", 1))
    {
        return PHRONY_REASON_CONTENT_TYPE;
    }

    if (type == NULL) {
        type = ctl_option(explain->ctl, "content-type");
    }

    if (type == NULL) {
        type = "application/json";
    }

    text.data = (unsigned char *) type;
    text.len = strlen(type);

    return phrony_body_check_type(&text);
}


/* Returns 0 if the id is not valid; nobody looks at it if that is off. */

static int
ctl_explain_delivery(ctl_explain_t *explain)
{
    size_t         i;
    const char    *id;
    phrony_str_t   value;

    static const char  *names[] = { "Idempotency-Key", "Webhook-Id" };

    if (explain->duplicates == PHRONY_DELIVERY_MODE_OFF) {
        return 1;
    }

    id = ctl_option(explain->ctl, "delivery-id");

    for (i = 0; i < 2 && (id == NULL || id[0] == '\0'); i++) {

        if (ctl_explain_field(explain, names[i], 1)) {
            return 0;
        }

        id = ctl_explain_field(explain, names[i], 0);
    }

    if (id == NULL) {
        return 1;
    }

    value.data = (unsigned char *) id;
    value.len = strlen(id);

    return phrony_delivery_id(&value, explain->delivery_buf,
                              &explain->delivery)
           != PHRONY_DELIVERY_ID_INVALID;
}


const char *
ctl_explain_field(const ctl_explain_t *explain, const char *name, size_t i)
{
    size_t       n, len;
    const char  *text;

    len = strlen(name);

    for (n = 0; ; n++) {
        text = ctl_option_at(explain->ctl, "header", n);

        if (text == NULL) {
            return NULL;
        }

        if (strncasecmp(text, name, len) == 0 && text[len] == ':'
            && i-- == 0)
        {
            text += len + 1;
            return text + strspn(text, " \t");
        }
    }
}


int
ctl_explain_step(ctl_explain_t *explain, int step, phrony_reason_t reason,
    const char *fmt, ...)
{
    char     text[CTL_EXPLAIN_LEN];
    va_list  args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);

    explain->reason = reason;

    ctl_explain_add(explain, step, reason == PHRONY_REASON_NONE ? "passed"
                                                                : "refused",
                    reason, text);

    return reason == PHRONY_REASON_NONE;
}


void
ctl_explain_unknown(ctl_explain_t *explain, int step, const char *why)
{
    explain->unknown = 1;

    ctl_explain_add(explain, step, "unknown", PHRONY_REASON_NONE, why);
}


static void
ctl_explain_add(ctl_explain_t *explain, int step, const char *verdict,
    phrony_reason_t reason, const char *text)
{
    json_t  *one;

    one = json_pack("{s:i, s:s, s:s, s:s}", "step", step,
                    "check", ctl_explain_checks[step], "verdict", verdict,
                    "detail", text);

    if (reason != PHRONY_REASON_NONE) {
        json_object_set_new(one, "reason", json_string((char *)
                            phrony_reason_info(reason)->code.data));
    }

    json_array_append_new(explain->steps, one);
}


static const char *
ctl_explain_decision(const ctl_explain_t *explain)
{
    if (explain->reason != PHRONY_REASON_NONE) {
        return "refused";
    }

    if (explain->replayed) {
        return "replayed";
    }

    if (explain->unknown) {
        return "unknown";
    }

    return (explain->route.kind == PHRONY_ROUTE_START) ? "admitted"
                                                       : "passed";
}


static ctl_code_t
ctl_explain_print(ctl_explain_t *explain)
{
    json_t                      *json;
    const char                  *decision;
    const phrony_reason_info_t  *info;

    decision = ctl_explain_decision(explain);
    info = phrony_reason_info(explain->reason);

    if (!explain->ctl->json) {
        ctl_explain_table(explain);
        printf("\n%s", decision);

        if (explain->reason != PHRONY_REASON_NONE) {
            printf(": %u %s. %s", info->status, (char *) info->code.data,
                   (char *) info->detail.data);
        }

        if (explain->retry) {
            printf(" Retry after %lld s.", (long long) explain->retry);
        }

        putchar('\n');

    } else {
        json = json_pack("{s:s, s:O}", "decision", decision,
                         "steps", explain->steps);

        if (explain->reason != PHRONY_REASON_NONE) {
            json_object_set_new(json, "status", json_integer(info->status));
            json_object_set_new(json, "reason",
                                json_string((char *) info->code.data));
        }

        if (explain->retry) {
            json_object_set_new(json, "retryAfter",
                                json_integer(explain->retry));
        }

        ctl_print(explain->ctl, json);
    }

    return (explain->reason == PHRONY_REASON_NONE) ? CTL_OK : CTL_REFUSED;
}


static void
ctl_explain_table(ctl_explain_t *explain)
{
    size_t        i;
    json_t       *step;
    const char   *verdict, *reason;
    ctl_table_t   table;

    ctl_table_begin(&table, explain->ctl,
                    ">STEP|<CHECK|<VERDICT|<REASON|<DETAIL");

    json_array_foreach(explain->steps, i, step) {
        verdict = ctl_policy_text(step, "verdict");
        reason = ctl_policy_text(step, "reason");

        ctl_table_cell(&table, CTL_PLAIN, "%d", (int)
                       json_integer_value(json_object_get(step, "step")));
        ctl_table_cell(&table, CTL_PLAIN, "%s",
                       ctl_policy_text(step, "check"));
        ctl_table_cell(&table, verdict[0] == 'p' ? CTL_GREEN
                       : verdict[0] == 'r' ? CTL_RED : CTL_YELLOW, "%s",
                       verdict);
        ctl_table_cell(&table, CTL_PLAIN, "%s", reason[0] ? reason : "-");
        ctl_table_cell(&table, CTL_PLAIN, "%s",
                       ctl_policy_text(step, "detail"));
    }

    ctl_table_end(&table);
}
