
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_phrony_redis_greeting.h"
#include "ngx_phrony_redis_pipeline.h"

#include "../core/phrony_topology.h"


typedef enum {
    NGX_PHRONY_REDIS_AUTH = 0,
    NGX_PHRONY_REDIS_SELECT,
    NGX_PHRONY_REDIS_ROLE,
    NGX_PHRONY_REDIS_SCRIPT,
    NGX_PHRONY_REDIS_PING
} ngx_phrony_redis_greeting_e;


typedef struct {
    ngx_phrony_redis_node_t      *node;
    ngx_phrony_redis_greeting_e   kind;
    const phrony_script_t        *script;
} ngx_phrony_redis_greeting_t;


static ngx_int_t ngx_phrony_redis_greet_auth(ngx_phrony_redis_node_t *node);
static ngx_int_t ngx_phrony_redis_greet_select(ngx_phrony_redis_node_t *node);
static ngx_int_t ngx_phrony_redis_greet_scripts(ngx_phrony_redis_node_t *node);
static ngx_int_t ngx_phrony_redis_greet_one(ngx_phrony_redis_node_t *node,
    ngx_phrony_redis_greeting_t *greeting, size_t argc,
    const phrony_str_t *argv);
static void ngx_phrony_redis_greeting_handler(
    ngx_phrony_redis_command_t *command, ngx_phrony_redis_result_t result,
    const phrony_resp_t *reply);
static ngx_uint_t ngx_phrony_redis_greeting_refused(
    ngx_phrony_redis_greeting_t *greeting, const phrony_resp_t *reply);
static ngx_uint_t ngx_phrony_redis_greeting_wrong(
    ngx_phrony_redis_greeting_t *greeting, const phrony_resp_t *reply);
static void ngx_phrony_redis_greeting_fail(
    ngx_phrony_redis_greeting_t *greeting, const phrony_resp_t *reply);
static ngx_uint_t ngx_phrony_redis_quotes(const phrony_str_t *text,
    const ngx_str_t *secret);


static const char  *ngx_phrony_redis_greetings[] = {
    "AUTH", "SELECT", "ROLE", "SCRIPT LOAD", "PING"
};


ngx_int_t
ngx_phrony_redis_greet(ngx_phrony_redis_node_t *node)
{
    ngx_phrony_redis_greeting_t  greeting;
    static const phrony_str_t    role[] = { phrony_str("ROLE") };
    static const phrony_str_t    ping[] = { phrony_str("PING") };

    node->log.action = "greeting redis";
    node->greetings = 0;

    ngx_memzero(&greeting, sizeof(ngx_phrony_redis_greeting_t));

    greeting.node = node;

    if (node->auth && ngx_phrony_redis_greet_auth(node) != NGX_OK) {
        return NGX_ERROR;
    }

    greeting.kind = NGX_PHRONY_REDIS_ROLE;

    if (node->master
        && ngx_phrony_redis_greet_one(node, &greeting, 1, role) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (node->purpose == NGX_PHRONY_REDIS_DATA
        && (ngx_phrony_redis_greet_select(node) != NGX_OK
            || ngx_phrony_redis_greet_scripts(node) != NGX_OK))
    {
        return NGX_ERROR;
    }

    /* a server that loads its data refuses this one */

    greeting.kind = NGX_PHRONY_REDIS_PING;

    return ngx_phrony_redis_greet_one(node, &greeting, 1, ping);
}


static ngx_int_t
ngx_phrony_redis_greet_auth(ngx_phrony_redis_node_t *node)
{
    size_t                        argc;
    phrony_str_t                  argv[3] = { phrony_str("AUTH") };
    ngx_phrony_redis_conf_t      *conf;
    ngx_phrony_redis_greeting_t   greeting;

    conf = node->redis->conf;

    greeting.node = node;
    greeting.kind = NGX_PHRONY_REDIS_AUTH;
    greeting.script = NULL;

    argc = 1;

    if (conf->user.len) {
        argv[argc].len = conf->user.len;
        argv[argc++].data = conf->user.data;
    }

    argv[argc].len = conf->password.len;
    argv[argc++].data = conf->password.data;

    return ngx_phrony_redis_greet_one(node, &greeting, argc, argv);
}


static ngx_int_t
ngx_phrony_redis_greet_select(ngx_phrony_redis_node_t *node)
{
    u_char                        text[NGX_INT_T_LEN];
    ngx_uint_t                    db;
    phrony_str_t                  argv[2] = { phrony_str("SELECT") };
    ngx_phrony_redis_greeting_t   greeting;

    db = node->redis->conf->parsed.db;

    if (db == 0) {
        return NGX_OK;
    }

    greeting.node = node;
    greeting.kind = NGX_PHRONY_REDIS_SELECT;
    greeting.script = NULL;

    argv[1].data = text;
    argv[1].len = ngx_sprintf(text, "%ui", db) - text;

    return ngx_phrony_redis_greet_one(node, &greeting, 2, argv);
}


static ngx_int_t
ngx_phrony_redis_greet_scripts(ngx_phrony_redis_node_t *node)
{
    ngx_uint_t                    i;
    phrony_str_t                  argv[3] = { phrony_str("SCRIPT"),
                                              phrony_str("LOAD") };
    ngx_phrony_redis_greeting_t   greeting;

    greeting.node = node;
    greeting.kind = NGX_PHRONY_REDIS_SCRIPT;

    for (i = 0; i < PHRONY_SCRIPT_MAX; i++) {
        greeting.script = &phrony_scripts[i];
        argv[2] = phrony_scripts[i].text;

        if (ngx_phrony_redis_greet_one(node, &greeting, 3, argv) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_phrony_redis_greet_one(ngx_phrony_redis_node_t *node,
    ngx_phrony_redis_greeting_t *greeting, size_t argc,
    const phrony_str_t *argv)
{
    ngx_phrony_redis_command_t  *command;

    command = ngx_phrony_redis_format(node->redis, argc, argv,
                                      sizeof(ngx_phrony_redis_greeting_t));
    if (command == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(command->data, greeting, sizeof(ngx_phrony_redis_greeting_t));

    command->handler = ngx_phrony_redis_greeting_handler;

    ngx_phrony_redis_push_greeting(node, command);
    node->greetings++;

    return NGX_OK;
}


static void
ngx_phrony_redis_greeting_handler(ngx_phrony_redis_command_t *command,
    ngx_phrony_redis_result_t result, const phrony_resp_t *reply)
{
    ngx_phrony_redis_node_t      *node;
    ngx_phrony_redis_greeting_t  *greeting;

    greeting = command->data;
    node = greeting->node;

    if (result != NGX_PHRONY_REDIS_ANSWERED) {
        return;
    }

    ngx_log_debug2(NGX_LOG_DEBUG_EVENT, &node->log, 0,
                   "redis greeting \"%s\" was answered, type:%d",
                   ngx_phrony_redis_greetings[greeting->kind], reply->type);

    /* sentinels mostly have no password, but may have that of the others */

    if (node->purpose == NGX_PHRONY_REDIS_SENTINEL
        && !node->auth
        && node->redis->conf->password.len
        && phrony_resp_is_error(reply, "NOAUTH"))
    {
        ngx_phrony_redis_node_close(node);
        node->auth = 1;
        ngx_phrony_redis_node_connect(node);
        return;
    }

    if ((reply->type == PHRONY_RESP_ERROR)
        ? ngx_phrony_redis_greeting_refused(greeting, reply)
        : ngx_phrony_redis_greeting_wrong(greeting, reply))
    {
        ngx_phrony_redis_greeting_fail(greeting, reply);
        return;
    }

    if (--node->greetings == 0) {
        ngx_phrony_redis_node_greeted(node);
    }
}


/*
 * Returns 1 if the server is of no use after this error.  One that lets nobody
 * load scripts, ask for its role, or ping, may be: EVAL is tried then.
 */

static ngx_uint_t
ngx_phrony_redis_greeting_refused(ngx_phrony_redis_greeting_t *greeting,
    const phrony_resp_t *reply)
{
    ngx_uint_t          i;
    static const char  *codes[] = {
        "NOAUTH", "LOADING", "BUSY", "MASTERDOWN", "READONLY"
    };

    if (greeting->kind == NGX_PHRONY_REDIS_AUTH
        || greeting->kind == NGX_PHRONY_REDIS_SELECT)
    {
        return 1;
    }

    for (i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {

        if (phrony_resp_is_error(reply, codes[i])) {
            return 1;
        }
    }

    return 0;
}


/* Returns 1 if the reply, which is no error, is not that of the command. */

static ngx_uint_t
ngx_phrony_redis_greeting_wrong(ngx_phrony_redis_greeting_t *greeting,
    const phrony_resp_t *reply)
{
    phrony_str_t  sha1;

    switch (greeting->kind) {

    case NGX_PHRONY_REDIS_ROLE:
        return phrony_topology_is_master(reply) != 1;

    case NGX_PHRONY_REDIS_SCRIPT:
        sha1.len = PHRONY_SCRIPT_SHA1_LEN;
        sha1.data = (u_char *) greeting->script->sha1;

        return reply->type != PHRONY_RESP_STRING
               || !phrony_str_eq(&reply->str, &sha1);

    default:
        return reply->type != PHRONY_RESP_STATUS;
    }
}


static void
ngx_phrony_redis_greeting_fail(ngx_phrony_redis_greeting_t *greeting,
    const phrony_resp_t *reply)
{
    u_char                    text[NGX_PHRONY_REDIS_TEXT_LEN];
    ngx_phrony_redis_node_t  *node;

    node = greeting->node;

    if (greeting->kind == NGX_PHRONY_REDIS_ROLE
        && phrony_topology_is_master(reply) == 0)
    {
        ngx_phrony_redis_node_fail(node, "it is no master");
        return;
    }

    ngx_phrony_redis_text(node->redis, text,
                          ngx_phrony_redis_greetings[greeting->kind], reply);
    ngx_phrony_redis_node_fail(node, (char *) text);
}


void
ngx_phrony_redis_text(ngx_phrony_redis_t *redis, u_char *text,
    const char *what, const phrony_resp_t *reply)
{
    size_t         i, len;
    u_char        *p, *last;
    phrony_str_t   answer;
    static const phrony_str_t  unexpected = phrony_str("an unexpected reply");

    answer = (reply->type == PHRONY_RESP_ERROR) ? reply->str : unexpected;

    len = answer.len;

    if (ngx_phrony_redis_quotes(&answer, &redis->conf->password)
        || ngx_phrony_redis_quotes(&answer, &redis->conf->user))
    {
        for (len = 0; len < answer.len && answer.data[len] != ' '; len++) {
            /* void */
        }
    }

    last = text + NGX_PHRONY_REDIS_TEXT_LEN - 1;
    p = ngx_snprintf(text, last - text, "%s: ", what);

    for (i = 0; i < len && p < last; i++) {
        *p++ = (answer.data[i] >= 0x20 && answer.data[i] < 0x7f)
               ? answer.data[i] : '?';
    }

    *p = '\0';
}


static ngx_uint_t
ngx_phrony_redis_quotes(const phrony_str_t *text, const ngx_str_t *secret)
{
    size_t  i;

    if (secret->len == 0) {
        return 0;
    }

    for (i = 0; i + secret->len <= text->len; i++) {

        if (ngx_memcmp(text->data + i, secret->data, secret->len) == 0) {
            return 1;
        }
    }

    return 0;
}
