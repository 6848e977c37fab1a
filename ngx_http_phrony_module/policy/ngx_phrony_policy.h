
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_PHRONY_POLICY_H_INCLUDED_
#define _NGX_PHRONY_POLICY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "../core/phrony_policy.h"


PHRONY_HIDDEN_BEGIN


/*
 * Where policy records come from: a file, or Redis.  The request side asks
 * for a key by its digest and gets a policy that holds the key and all that
 * it refers to, be there more in it or not.
 */

typedef struct ngx_phrony_source_s  ngx_phrony_source_t;
typedef struct ngx_phrony_lookup_s  ngx_phrony_lookup_t;

typedef void (*ngx_phrony_lookup_handler_pt)(ngx_phrony_lookup_t *lookup);


typedef enum {
    NGX_PHRONY_LOOKUP_FOUND = 0,
    NGX_PHRONY_LOOKUP_UNKNOWN,      /* there is no such key */
    NGX_PHRONY_LOOKUP_INVALID,      /* a record of it is broken; was logged */
    NGX_PHRONY_LOOKUP_UNAVAILABLE   /* nobody can tell now */
} ngx_phrony_lookup_state_t;


/*
 * A question and its answer, in memory of the caller, who keeps it in place
 * from find() until release().
 */

struct ngx_phrony_lookup_s {
    u_char                         digest[PHRONY_KEY_DIGEST_LEN];

    ngx_phrony_lookup_state_t      state;
    const phrony_policy_t         *policy;  /* FOUND; good until release() */
    const phrony_key_t            *key;     /* FOUND */

    /* called once and later if, and only if, NGX_AGAIN was returned */

    ngx_phrony_lookup_handler_pt   handler;
    void                          *data;

    /* the source's */

    void                          *held;
    ngx_queue_t                    queue;
};


struct ngx_phrony_source_s {

    /*
     *     NGX_OK     the answer is there; handler is not called
     *     NGX_AGAIN  handler is called once, later, from outside of find()
     *     NGX_ERROR  no memory
     */

    ngx_int_t                    (*find)(ngx_phrony_source_t *source,
                                         ngx_phrony_lookup_t *lookup);

    /*
     * Gives back what the lookup holds: an answer, or a place among those
     * who wait, whose handler is not called then.  Does nothing if it holds
     * nothing; a lookup that was zeroed and never asked holds nothing.
     */

    void                         (*release)(ngx_phrony_source_t *source,
                                            ngx_phrony_lookup_t *lookup);

    /* How much there is, or is in memory of it. */

    void                         (*stat)(ngx_phrony_source_t *source,
                                         phrony_policy_stat_t *stat);
};


PHRONY_HIDDEN_END


#endif /* _NGX_PHRONY_POLICY_H_INCLUDED_ */
