
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef CTL_REDIS_H_
#define CTL_REDIS_H_


#include "phrony_resp.h"

#include "ctl.h"


#define CTL_REQUEST_ARGC  8


/* A command, and which of its words is the key that it is about. */

typedef struct {
    size_t         argc;
    size_t         key;
    phrony_str_t   argv[CTL_REQUEST_ARGC];
} ctl_request_t;


/*
 * Gets the reply to request "i" of a batch, good until it returns; it may not
 * ask Redis for anything, as more replies are on their way.  Returns CTL_OK,
 * or what the batch is to end with.
 */

typedef ctl_code_t (*ctl_redis_handler_t)(void *data, size_t i,
    const phrony_resp_t *reply);


/*
 * Connects as the options say, once, and sets ctl->redis: to the server, to
 * the master that the sentinels name, or to a node of the cluster.  Returns
 * CTL_OK, or another code and has said why.
 */

ctl_code_t ctl_redis_open(ctl_t *ctl);

void ctl_redis_close(ctl_t *ctl);


/* Begins a request; the words must live as long as it does. */

void ctl_request(ctl_request_t *request, const char *command,
    const phrony_str_t *key);

/* Likewise a script with one key; its arguments are added then. */

void ctl_request_script(ctl_request_t *request, const char *script,
    const phrony_str_t *key);

void ctl_request_add(ctl_request_t *request, const phrony_str_t *word);
void ctl_request_text(ctl_request_t *request, const char *word);


/*
 * Sends requests together, each to the server that has its key, and hands out
 * the replies in their order; but where a cluster says that a slot is
 * elsewhere, the request goes there after the others.  An error reply ends
 * the batch.  Returns CTL_OK, the handler's code, or another one and has said
 * why.
 */

ctl_code_t ctl_redis_batch(ctl_t *ctl, const ctl_request_t *requests,
    size_t n, ctl_redis_handler_t handler, void *data);


/* One of them; *reply is good until the next call. */

ctl_code_t ctl_redis_call(ctl_t *ctl, const ctl_request_t *request,
    const phrony_resp_t **reply);


/*
 * Calls "handler" for each key that matches, of all masters, as SCAN finds
 * them: "reply" is an array of some; one key may come twice.
 */

ctl_code_t ctl_redis_scan(ctl_t *ctl, const char *pattern,
    ctl_redis_handler_t handler, void *data);


/* The clock of Redis, in ms; of the node that has this key. */

ctl_code_t ctl_redis_time(ctl_t *ctl, const phrony_str_t *key, int64_t *now);


/* Says what is wrong with a reply that is not what was expected. */

ctl_code_t ctl_redis_wrong(ctl_t *ctl, const char *command,
    const phrony_resp_t *reply);


#endif /* CTL_REDIS_H_ */
