
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_phrony_redis_pipeline.h"
#include "ngx_phrony_redis_witness.h"


static void ngx_phrony_redis_witness_ready(ngx_phrony_redis_node_t *node);
static void ngx_phrony_redis_witness_failed(ngx_phrony_redis_node_t *node);
static void ngx_phrony_redis_witness_question(
    ngx_phrony_redis_witness_t *witness, const phrony_str_t *argv,
    ngx_phrony_redis_handler_pt handler);
static void ngx_phrony_redis_witness_epoch_handler(
    ngx_phrony_redis_command_t *command, ngx_phrony_redis_result_t result,
    const phrony_resp_t *reply);
static void ngx_phrony_redis_witness_master_handler(
    ngx_phrony_redis_command_t *command, ngx_phrony_redis_result_t result,
    const phrony_resp_t *reply);
static void ngx_phrony_redis_witness_named(
    ngx_phrony_redis_witness_t *witness, const phrony_endpoint_t *master);
static void ngx_phrony_redis_witness_complain(
    ngx_phrony_redis_witness_t *witness, const phrony_resp_t *reply);


static const ngx_phrony_redis_hooks_t  ngx_phrony_redis_witness_hooks = {
    ngx_phrony_redis_witness_ready,
    ngx_phrony_redis_witness_failed,
    NULL                                    /* pushed */
};


ngx_int_t
ngx_phrony_redis_witness_start(ngx_phrony_redis_witness_t *witness,
    ngx_phrony_redis_t *redis, const phrony_redis_host_t *host)
{
    ngx_str_t  name;

    name.len = host->host.len;
    name.data = host->host.data;

    witness->node = ngx_phrony_redis_node_create(redis,
                                              NGX_PHRONY_REDIS_SENTINEL,
                                              &name, (in_port_t) host->port,
                                              &ngx_phrony_redis_witness_hooks);
    if (witness->node == NULL) {
        return NGX_ERROR;
    }

    witness->node->data = witness;

    ngx_phrony_redis_node_connect(witness->node);

    return NGX_OK;
}


static void
ngx_phrony_redis_witness_ready(ngx_phrony_redis_node_t *node)
{
    ngx_log_debug0(NGX_LOG_DEBUG_EVENT, &node->log, 0,
                   "redis sentinel ready");

    ngx_phrony_redis_witness_ask(node->data);
}


static void
ngx_phrony_redis_witness_failed(ngx_phrony_redis_node_t *node)
{
    ngx_phrony_redis_witness_t  *witness;

    ngx_log_debug0(NGX_LOG_DEBUG_EVENT, &node->log, 0,
                   "redis sentinel failed");

    witness = node->data;
    witness->heard = 0;
}


/*
 * The epoch first: if a failover comes between the two answers, a new master
 * is known by an old epoch until the next time, and not the other way round.
 */

void
ngx_phrony_redis_witness_ask(ngx_phrony_redis_witness_t *witness)
{
    phrony_str_t               *name;
    phrony_str_t                argv[3];
    static const phrony_str_t   words[] = {
        phrony_str("SENTINEL"),
        phrony_str("MASTER"),
        phrony_str("GET-MASTER-ADDR-BY-NAME")
    };

    if (witness->questions || !ngx_phrony_redis_node_ready(witness->node)) {
        return;
    }

    name = &witness->node->redis->conf->parsed.master;

    argv[0] = words[0];
    argv[1] = words[1];
    argv[2] = *name;

    witness->next_epoch = 0;

    ngx_phrony_redis_witness_question(witness, argv,
                                    ngx_phrony_redis_witness_epoch_handler);

    argv[1] = words[2];

    ngx_phrony_redis_witness_question(witness, argv,
                                    ngx_phrony_redis_witness_master_handler);
}


static void
ngx_phrony_redis_witness_question(ngx_phrony_redis_witness_t *witness,
    const phrony_str_t *argv, ngx_phrony_redis_handler_pt handler)
{
    ngx_phrony_redis_t          *redis;
    ngx_phrony_redis_command_t  *command;

    redis = witness->node->redis;

    command = ngx_phrony_redis_format(redis, 3, argv, 0);
    if (command == NULL) {
        return;
    }

    command->handler = handler;
    command->data = witness;
    command->own = 1;

    if (ngx_phrony_redis_push(witness->node, command) != NGX_OK) {
        ngx_phrony_redis_free(redis, command);
        return;
    }

    witness->questions++;
}


static void
ngx_phrony_redis_witness_epoch_handler(ngx_phrony_redis_command_t *command,
    ngx_phrony_redis_result_t result, const phrony_resp_t *reply)
{
    ngx_phrony_redis_witness_t  *witness;

    witness = command->data;
    witness->questions--;

    /* where none may be asked for it, all are of epoch 0 */

    if (result == NGX_PHRONY_REDIS_ANSWERED) {
        (void) phrony_topology_epoch(reply, &witness->next_epoch);
    }
}


static void
ngx_phrony_redis_witness_master_handler(ngx_phrony_redis_command_t *command,
    ngx_phrony_redis_result_t result, const phrony_resp_t *reply)
{
    phrony_endpoint_t            master;
    ngx_phrony_redis_witness_t  *witness;

    witness = command->data;
    witness->questions--;

    if (result != NGX_PHRONY_REDIS_ANSWERED) {
        return;
    }

    if (phrony_topology_master(reply, &master) != 1) {
        ngx_phrony_redis_witness_complain(witness, reply);
        return;
    }

    ngx_phrony_redis_witness_named(witness, &master);

    if (witness->told) {
        witness->told(witness);
    }
}


static void
ngx_phrony_redis_witness_named(ngx_phrony_redis_witness_t *witness,
    const phrony_endpoint_t *master)
{
    ngx_uint_t         heard;
    static ngx_uint_t  changes;

    heard = witness->heard;

    witness->heard = 1;
    witness->complained = 0;

    if (witness->epoch == witness->next_epoch
        && witness->port == master->port
        && witness->host.len == master->host.len
        && ngx_memcmp(witness->text, master->host.data, master->host.len)
           == 0)
    {
        return;
    }

    /* one that was told to begin anew has a lower epoch, and no failover */

    witness->news = heard && witness->next_epoch >= witness->epoch;
    witness->overruled = 0;
    witness->change = ++changes;
    witness->since = ngx_current_msec;
    witness->epoch = witness->next_epoch;
    witness->port = (in_port_t) master->port;
    witness->host.len = master->host.len;
    witness->host.data = witness->text;
    ngx_memcpy(witness->text, master->host.data, master->host.len);

    ngx_log_debug3(NGX_LOG_DEBUG_EVENT, &witness->node->log, 0,
                   "redis sentinel names %V, port %d, epoch %uL",
                   &witness->host, (int) witness->port, witness->epoch);
}


ngx_uint_t
ngx_phrony_redis_witness_agrees(const ngx_phrony_redis_witness_t *one,
    const ngx_phrony_redis_witness_t *other)
{
    return one->port == other->port
           && one->host.len == other->host.len
           && ngx_memcmp(one->text, other->text, one->host.len) == 0;
}


/* Once, until it names a master again. */

static void
ngx_phrony_redis_witness_complain(ngx_phrony_redis_witness_t *witness,
    const phrony_resp_t *reply)
{
    phrony_str_t  *name;

    witness->heard = 0;

    if (witness->complained) {
        return;
    }

    witness->complained = 1;

    name = &witness->node->redis->conf->parsed.master;

    ngx_log_error(NGX_LOG_ERR, &witness->node->log, 0,
                  (reply->type == PHRONY_RESP_NIL)
                  ? "redis sentinel does not know the master \"%*s\""
                  : "redis sentinel did not name the master \"%*s\"",
                  name->len, name->data);
}
