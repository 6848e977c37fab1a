
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


/* before the pragma in the module's own header, and after nginx's */

#include <ngx_config.h>
#include <openssl/evp.h>

#include "ngx_http_phrony_digest.h"


/*
 * One context for all requests of a worker: to look the algorithm up costs
 * OpenSSL 3 more than to hash a key.
 */

static EVP_MD_CTX  *ngx_http_phrony_digest_ctx;


ngx_int_t
ngx_http_phrony_digest_init(ngx_cycle_t *cycle)
{
    ngx_http_phrony_digest_ctx = EVP_MD_CTX_new();

    if (ngx_http_phrony_digest_ctx == NULL
        || EVP_DigestInit_ex(ngx_http_phrony_digest_ctx, EVP_sha256(), NULL)
           != 1)
    {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "SHA-256 is not available in OpenSSL");
        ngx_http_phrony_digest_done();
        return NGX_ERROR;
    }

    return NGX_OK;
}


void
ngx_http_phrony_digest_done(void)
{
    EVP_MD_CTX_free(ngx_http_phrony_digest_ctx);
    ngx_http_phrony_digest_ctx = NULL;
}


ngx_int_t
ngx_http_phrony_digest(const ngx_str_t *text,
    u_char digest[PHRONY_KEY_DIGEST_LEN])
{
    EVP_MD_CTX  *ctx;

    ctx = ngx_http_phrony_digest_ctx;

    if (EVP_DigestInit_ex(ctx, NULL, NULL) != 1
        || EVP_DigestUpdate(ctx, text->data, text->len) != 1
        || EVP_DigestFinal_ex(ctx, digest, NULL) != 1)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}
