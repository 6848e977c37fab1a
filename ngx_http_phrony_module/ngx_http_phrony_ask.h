
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_HTTP_PHRONY_ASK_H_INCLUDED_
#define _NGX_HTTP_PHRONY_ASK_H_INCLUDED_


#include "ngx_http_phrony_request.h"


/*
 * A question to the upstream: a background subrequest, as the mirror module
 * makes them, whose answer is read here and goes to nobody.  The request may
 * be answered before it ends.
 */

typedef struct ngx_http_phrony_ask_s  ngx_http_phrony_ask_t;

typedef void (*ngx_http_phrony_ask_handler_pt)(ngx_http_phrony_ask_t *ask);


struct ngx_http_phrony_ask_s {
    ngx_http_phrony_ctx_t           *ctx;
    ngx_http_request_t              *subrequest;
    ngx_http_phrony_ask_handler_pt   handler;   /* it is answered; NULL: that
                                                   is of no use any more */

    const phrony_uuid_t             *run_id;    /* asked for; NULL: for the
                                                   agent's sessions */

    unsigned                         read:1;    /* the answer is readable */
    unsigned                         whole:1;   /* it was read to its end */
    phrony_answer_t                  answer;    /* about a run */
    ngx_str_t                        text;      /* about sessions */
    size_t                           room;
    time_t                           date;      /* of it, or NGX_ERROR */
};


/*
 * Asks at the location "uri"; what the ask has of its own is set: ctx,
 * handler, run_id.  It stays where it is as long as the request lives.
 * Returns NGX_OK, and the handler is called once, later; or NGX_ERROR.
 */

ngx_int_t ngx_http_phrony_ask_begin(ngx_http_phrony_ask_t *ask,
    ngx_str_t *uri);

/*
 * The handler is not called any more; what can be is given up at once.  Call
 * it from an event of the request's own, not from a handler of an ask.
 */

void ngx_http_phrony_ask_cancel(ngx_http_phrony_ask_t *ask);


/* The header of the answer, and parts of its body, which are used up. */

void ngx_http_phrony_ask_header(ngx_http_phrony_ask_t *ask);
void ngx_http_phrony_ask_body(ngx_http_phrony_ask_t *ask, ngx_chain_t *in);


#endif /* _NGX_HTTP_PHRONY_ASK_H_INCLUDED_ */
