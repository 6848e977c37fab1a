
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


/* before the pragma in the module's own header, and after nginx's */

#include <ngx_config.h>
#include <openssl/rand.h>

#include "ngx_http_phrony_instance.h"


#define NGX_HTTP_PHRONY_INSTANCE_LEN    16
#define NGX_HTTP_PHRONY_INSTANCE_BATCH  128


/* A worker's own: filled after the fork, and each byte is used once. */

static u_char  ngx_http_phrony_random[NGX_HTTP_PHRONY_INSTANCE_BATCH
                                      * NGX_HTTP_PHRONY_INSTANCE_LEN];
static size_t  ngx_http_phrony_random_left;


ngx_http_variable_value_t *
ngx_http_phrony_request_id(ngx_http_request_t *r)
{
    u_char                       *id, *random;
    ngx_http_variable_value_t    *vv;
    ngx_http_phrony_main_conf_t  *pmcf;

    pmcf = ngx_http_get_module_main_conf(r, ngx_http_phrony_module);

    vv = &r->variables[pmcf->request_id];

    if (vv->valid) {
        return vv;
    }

    if (ngx_http_phrony_random_left == 0) {

        if (RAND_bytes(ngx_http_phrony_random,
                       sizeof(ngx_http_phrony_random))
            != 1)
        {
            return NULL;
        }

        ngx_http_phrony_random_left = sizeof(ngx_http_phrony_random);
    }

    id = ngx_pnalloc(r->pool, 2 * NGX_HTTP_PHRONY_INSTANCE_LEN);
    if (id == NULL) {
        return NULL;
    }

    ngx_http_phrony_random_left -= NGX_HTTP_PHRONY_INSTANCE_LEN;
    random = ngx_http_phrony_random + ngx_http_phrony_random_left;

    (void) ngx_hex_dump(id, random, NGX_HTTP_PHRONY_INSTANCE_LEN);

    vv->len = 2 * NGX_HTTP_PHRONY_INSTANCE_LEN;
    vv->valid = 1;
    vv->no_cacheable = 0;
    vv->not_found = 0;
    vv->data = id;

    return vv;
}
