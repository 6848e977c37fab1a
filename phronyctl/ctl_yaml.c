
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "phrony_record.h"

#include "ctl_yaml.h"


typedef struct {
    yaml_document_t   document;
    json_t           *triggers;     /* of all documents */
    json_t           *seen;         /* agents of this document */
    size_t            nodes;
    size_t            documents;
    char             *error;
} ctl_yaml_t;


static const char  *ctl_yaml_limits[] = {
    "rpmLimit", "rpdLimit", "maxConcurrentRuns", "maxInputTokens"
};


static int ctl_yaml_stream(ctl_yaml_t *yaml, yaml_parser_t *parser);
static int ctl_yaml_document(ctl_yaml_t *yaml);
static int ctl_yaml_head(ctl_yaml_t *yaml, const yaml_node_t *root);
static int ctl_yaml_list(ctl_yaml_t *yaml, const yaml_node_t *list);
static int ctl_yaml_trigger(ctl_yaml_t *yaml, const yaml_node_t *node);
static int ctl_yaml_fill(ctl_yaml_t *yaml, const yaml_node_t *node,
    json_t *trigger);
static int ctl_yaml_limit(ctl_yaml_t *yaml, const yaml_node_t *node,
    const char *name, json_t *trigger);
static int ctl_yaml_addresses(ctl_yaml_t *yaml, const yaml_node_t *node,
    json_t *trigger);
static int ctl_yaml_add(ctl_yaml_t *yaml, const yaml_node_t *node,
    json_t *trigger);
static int ctl_yaml_member(ctl_yaml_t *yaml, const yaml_node_t *node,
    const char *name, yaml_node_t **value);
static int ctl_yaml_is(const yaml_node_t *node, const char *text);
static int ctl_yaml_null(const yaml_node_t *node);
static int ctl_yaml_visit(ctl_yaml_t *yaml);
static int ctl_yaml_fail(ctl_yaml_t *yaml, const yaml_node_t *node,
    const char *fmt, ...) __attribute__((format(printf, 3, 4)));


json_t *
ctl_yaml_triggers(const char *text, size_t len, char *error)
{
    int             rc;
    ctl_yaml_t      yaml;
    yaml_parser_t   parser;

    memset(&yaml, 0, sizeof(yaml));
    yaml.error = error;

    if (len > CTL_YAML_MAX_LEN) {
        (void) ctl_yaml_fail(&yaml, NULL, "more than %d bytes",
                             CTL_YAML_MAX_LEN);
        return NULL;
    }

    if (!yaml_parser_initialize(&parser)) {
        (void) ctl_yaml_fail(&yaml, NULL, "no memory");
        return NULL;
    }

    yaml_parser_set_input_string(&parser, (const unsigned char *) text, len);

    yaml.triggers = json_array();
    rc = ctl_yaml_stream(&yaml, &parser);

    yaml_parser_delete(&parser);

    if (rc == 0 && yaml.documents == 0) {
        rc = ctl_yaml_fail(&yaml, NULL, "there is no document in it");
    }

    if (rc == -1) {
        json_decref(yaml.triggers);
        return NULL;
    }

    return yaml.triggers;
}


static int
ctl_yaml_stream(ctl_yaml_t *yaml, yaml_parser_t *parser)
{
    int  rc;

    for ( ;; ) {

        if (!yaml_parser_load(parser, &yaml->document)) {
            snprintf(yaml->error, CTL_YAML_ERROR_LEN, "line %zu: it is not "
                     "valid YAML: %s", parser->problem_mark.line + 1,
                     parser->problem ? parser->problem : "no memory");
            return -1;
        }

        if (yaml_document_get_root_node(&yaml->document) == NULL) {
            yaml_document_delete(&yaml->document);
            return 0;
        }

        yaml->seen = json_object();
        yaml->documents++;

        rc = ctl_yaml_document(yaml);

        json_decref(yaml->seen);
        yaml_document_delete(&yaml->document);

        if (rc == -1) {
            return -1;
        }
    }
}


static int
ctl_yaml_document(ctl_yaml_t *yaml)
{
    yaml_node_t  *root, *list;

    root = yaml_document_get_root_node(&yaml->document);

    if (ctl_yaml_head(yaml, root) == -1
        || ctl_yaml_member(yaml, root, "triggers", &list) == -1)
    {
        return -1;
    }

    return ctl_yaml_null(list) ? 0 : ctl_yaml_list(yaml, list);
}


static int
ctl_yaml_head(ctl_yaml_t *yaml, const yaml_node_t *root)
{
    yaml_node_t  *kind, *version;

    if (root->type != YAML_MAPPING_NODE) {
        return ctl_yaml_fail(yaml, root, "a manifest is a mapping");
    }

    if (ctl_yaml_member(yaml, root, "kind", &kind) == -1
        || ctl_yaml_member(yaml, root, "version", &version) == -1)
    {
        return -1;
    }

    if (ctl_yaml_is(kind, "phrony.manifest.index")) {
        return ctl_yaml_fail(yaml, kind, "this is an index: name the files "
                             "that it includes instead");
    }

    if (!ctl_yaml_is(kind, "phrony.manifest")
        && !ctl_yaml_is(kind, "phrony.workspace.manifest"))
    {
        return ctl_yaml_fail(yaml, kind ? kind : root, "\"kind\" is not "
                             "phrony.manifest");
    }

    if (!ctl_yaml_is(version, "1")) {
        return ctl_yaml_fail(yaml, version ? version : root, "\"version\" is "
                             "not 1");
    }

    return 0;
}


static int
ctl_yaml_list(ctl_yaml_t *yaml, const yaml_node_t *list)
{
    yaml_node_item_t  *item;

    if (list->type != YAML_SEQUENCE_NODE) {
        return ctl_yaml_fail(yaml, list, "\"triggers\" is not a sequence");
    }

    for (item = list->data.sequence.items.start;
         item < list->data.sequence.items.top;
         item++)
    {
        if (ctl_yaml_visit(yaml) == -1
            || ctl_yaml_trigger(yaml,
                                yaml_document_get_node(&yaml->document,
                                                       *item))
               == -1)
        {
            return -1;
        }
    }

    return 0;
}


static int
ctl_yaml_trigger(ctl_yaml_t *yaml, const yaml_node_t *node)
{
    json_t       *trigger;
    yaml_node_t  *type;

    if (node->type != YAML_MAPPING_NODE) {
        return ctl_yaml_fail(yaml, node, "a trigger is a mapping");
    }

    if (ctl_yaml_member(yaml, node, "type", &type) == -1) {
        return -1;
    }

    if (!ctl_yaml_is(type, "api")) {
        return ctl_yaml_is(type, "scheduled") || ctl_yaml_is(type, "event")
               ? 0 : ctl_yaml_fail(yaml, type ? type : node, "\"type\" is "
                                   "not api, scheduled or event");
    }

    trigger = json_object();

    if (ctl_yaml_fill(yaml, node, trigger) == -1) {
        json_decref(trigger);
        return -1;
    }

    return ctl_yaml_add(yaml, node, trigger);
}


static int
ctl_yaml_fill(ctl_yaml_t *yaml, const yaml_node_t *node, json_t *trigger)
{
    size_t        i;
    yaml_node_t  *value;
    const char   *key;

    if (ctl_yaml_member(yaml, node, "agentManifestKey", &value) == -1) {
        return -1;
    }

    if (value == NULL || value->type != YAML_SCALAR_NODE
        || value->data.scalar.length == 0)
    {
        return ctl_yaml_fail(yaml, node, "\"agentManifestKey\" is missing");
    }

    key = (const char *) value->data.scalar.value;

    if (memchr(key, '\0', value->data.scalar.length)
        || strstr(key, "{{"))
    {
        return ctl_yaml_fail(yaml, value, "\"agentManifestKey\" holds a "
                             "placeholder, or NUL");
    }

    json_object_set_new(trigger, "agentManifestKey", json_string(key));
    json_object_set_new(trigger, "line", json_integer((json_int_t)
                                             node->start_mark.line + 1));

    for (i = 0; i < sizeof(ctl_yaml_limits) / sizeof(char *); i++) {

        if (ctl_yaml_member(yaml, node, ctl_yaml_limits[i], &value) == -1
            || ctl_yaml_limit(yaml, value, ctl_yaml_limits[i], trigger)
               == -1)
        {
            return -1;
        }
    }

    if (ctl_yaml_member(yaml, node, "ipWhitelist", &value) == -1) {
        return -1;
    }

    return ctl_yaml_addresses(yaml, value, trigger);
}


static int
ctl_yaml_limit(ctl_yaml_t *yaml, const yaml_node_t *node, const char *name,
    json_t *trigger)
{
    size_t       i, len;
    long long    limit;
    const char  *text;

    if (ctl_yaml_null(node)) {
        return 0;
    }

    limit = 0;
    len = 0;
    text = NULL;

    if (node->type == YAML_SCALAR_NODE
        && node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
    {
        text = (const char *) node->data.scalar.value;
        len = node->data.scalar.length;
    }

    for (i = 0; i < len && len < 18; i++) {

        if (text[i] < '0' || text[i] > '9') {
            break;
        }

        limit = limit * 10 + (text[i] - '0');
    }

    if (len == 0 || i < len || limit > PHRONY_RECORD_MAX_LIMIT) {
        return ctl_yaml_fail(yaml, node, "\"%s\" is not a number of 0 to "
                             "%lld", name,
                             (long long) PHRONY_RECORD_MAX_LIMIT);
    }

    json_object_set_new(trigger, name, json_integer(limit));

    return 0;
}


/* Whether they are addresses is found out when the record is checked. */

static int
ctl_yaml_addresses(ctl_yaml_t *yaml, const yaml_node_t *node,
    json_t *trigger)
{
    json_t            *list, *entry;
    yaml_node_t       *value;
    yaml_node_item_t  *item;

    if (ctl_yaml_null(node)) {
        return 0;
    }

    if (node->type != YAML_SEQUENCE_NODE) {
        return ctl_yaml_fail(yaml, node, "\"ipWhitelist\" is not a sequence");
    }

    list = json_array();
    json_object_set_new(trigger, "ipWhitelist", list);

    for (item = node->data.sequence.items.start;
         item < node->data.sequence.items.top;
         item++)
    {
        value = yaml_document_get_node(&yaml->document, *item);

        if (ctl_yaml_visit(yaml) == -1) {
            return -1;
        }

        entry = (value->type == YAML_SCALAR_NODE)
                ? json_stringn((char *) value->data.scalar.value,
                               value->data.scalar.length)
                : NULL;

        if (entry == NULL) {
            return ctl_yaml_fail(yaml, value, "an entry of \"ipWhitelist\" "
                                 "is not a string");
        }

        json_array_append_new(list, entry);
    }

    return 0;
}


/* Takes the place of what an earlier document says of the agent. */

static int
ctl_yaml_add(ctl_yaml_t *yaml, const yaml_node_t *node, json_t *trigger)
{
    char          quoted[64];
    size_t        i;
    json_t       *other;
    const char   *agent;
    phrony_str_t  str;

    agent = json_string_value(json_object_get(trigger, "agentManifestKey"));

    if (json_object_get(yaml->seen, agent)) {
        str.data = (unsigned char *) agent;
        str.len = strlen(agent);
        (void) ctl_yaml_fail(yaml, node, "agent \"%s\" has an API trigger "
                             "already", phrony_record_print(quoted,
                                                            sizeof(quoted),
                                                            &str));
        json_decref(trigger);
        return -1;
    }

    json_object_set_new(yaml->seen, agent, json_true());

    if (yaml->documents > 1) {
        json_array_foreach(yaml->triggers, i, other) {

            if (ctl_yaml_visit(yaml) == -1) {
                json_decref(trigger);
                return -1;
            }

            if (strcmp(json_string_value(json_object_get(other,
                                                     "agentManifestKey")),
                       agent) == 0)
            {
                json_array_set_new(yaml->triggers, i, trigger);
                return 0;
            }
        }
    }

    json_array_append_new(yaml->triggers, trigger);

    return 0;
}


/* Sets *value to NULL if there is none. */

static int
ctl_yaml_member(ctl_yaml_t *yaml, const yaml_node_t *node, const char *name,
    yaml_node_t **value)
{
    yaml_node_pair_t  *pair;

    *value = NULL;

    for (pair = node->data.mapping.pairs.start;
         pair < node->data.mapping.pairs.top;
         pair++)
    {
        if (ctl_yaml_visit(yaml) == -1) {
            return -1;
        }

        if (!ctl_yaml_is(yaml_document_get_node(&yaml->document, pair->key),
                         name))
        {
            continue;
        }

        if (*value) {
            return ctl_yaml_fail(yaml, node, "\"%s\" is repeated", name);
        }

        *value = yaml_document_get_node(&yaml->document, pair->value);
    }

    return 0;
}


static int
ctl_yaml_is(const yaml_node_t *node, const char *text)
{
    return node && node->type == YAML_SCALAR_NODE
           && node->data.scalar.length == strlen(text)
           && memcmp(node->data.scalar.value, text, strlen(text)) == 0;
}


static int
ctl_yaml_null(const yaml_node_t *node)
{
    return node == NULL
           || (node->type == YAML_SCALAR_NODE
               && node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE
               && (node->data.scalar.length == 0 || ctl_yaml_is(node, "~")
                   || ctl_yaml_is(node, "null")));
}


/* Aliases let a small text say a lot. */

static int
ctl_yaml_visit(ctl_yaml_t *yaml)
{
    if (++yaml->nodes > CTL_YAML_MAX_NODES) {
        return ctl_yaml_fail(yaml, NULL, "more than %d nodes",
                             CTL_YAML_MAX_NODES);
    }

    return 0;
}


static int
ctl_yaml_fail(ctl_yaml_t *yaml, const yaml_node_t *node, const char *fmt,
    ...)
{
    size_t   len;
    va_list  args;

    len = 0;

    if (node) {
        len = (size_t) snprintf(yaml->error, CTL_YAML_ERROR_LEN, "line %zu: ",
                                node->start_mark.line + 1);
    }

    va_start(args, fmt);
    vsnprintf(yaml->error + len, CTL_YAML_ERROR_LEN - len, fmt, args);
    va_end(args);

    return -1;
}
