
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_phrony_policy_file.h"


static u_char *ngx_phrony_policy_file_read(ngx_pool_t *pool, ngx_str_t *name,
    size_t *len, phrony_policy_error_t *error);
static u_char *ngx_phrony_policy_file_contents(ngx_pool_t *pool,
    ngx_file_t *file, size_t *len, phrony_policy_error_t *error);
static void ngx_phrony_policy_file_failed(phrony_policy_error_t *error,
    char *what, ngx_err_t err);
static void ngx_phrony_policy_file_cleanup(void *data);
static ngx_int_t ngx_phrony_policy_file_find(ngx_phrony_source_t *source,
    ngx_phrony_lookup_t *lookup);
static void ngx_phrony_policy_file_release(ngx_phrony_source_t *source,
    ngx_phrony_lookup_t *lookup);
static void ngx_phrony_policy_file_stat(ngx_phrony_source_t *source,
    phrony_policy_stat_t *stat);


phrony_policy_t *
ngx_phrony_policy_file_load(ngx_pool_t *pool, ngx_str_t *name,
    phrony_policy_error_t *error)
{
    size_t               len;
    u_char              *text;
    phrony_policy_t     *policy;
    ngx_pool_cleanup_t  *cln;

    cln = ngx_pool_cleanup_add(pool, 0);

    if (cln == NULL) {
        ngx_phrony_policy_file_failed(error, "no memory", 0);
        return NULL;
    }

    text = ngx_phrony_policy_file_read(pool, name, &len, error);

    if (text == NULL) {
        return NULL;
    }

    policy = phrony_policy_parse((char *) text, len, error);

    ngx_free(text);

    if (policy) {
        cln->handler = ngx_phrony_policy_file_cleanup;
        cln->data = policy;
    }

    return policy;
}


static u_char *
ngx_phrony_policy_file_read(ngx_pool_t *pool, ngx_str_t *name, size_t *len,
    phrony_policy_error_t *error)
{
    u_char      *text;
    ngx_file_t   file;

    ngx_memzero(&file, sizeof(ngx_file_t));

    file.name = *name;
    file.log = pool->log;

    file.fd = ngx_open_file(name->data, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);

    if (file.fd == NGX_INVALID_FILE) {
        ngx_phrony_policy_file_failed(error, ngx_open_file_n " failed",
                                      ngx_errno);
        return NULL;
    }

    text = ngx_phrony_policy_file_contents(pool, &file, len, error);

    if (ngx_close_file(file.fd) == NGX_FILE_ERROR) {
        ngx_log_error(NGX_LOG_ALERT, pool->log, ngx_errno,
                      ngx_close_file_n " \"%V\" failed", name);
    }

    return text;
}


static u_char *
ngx_phrony_policy_file_contents(ngx_pool_t *pool, ngx_file_t *file,
    size_t *len, phrony_policy_error_t *error)
{
    off_t            size;
    u_char          *text;
    ssize_t          n;
    ngx_file_info_t  fi;

    if (ngx_fd_info(file->fd, &fi) == NGX_FILE_ERROR) {
        ngx_phrony_policy_file_failed(error, ngx_fd_info_n " failed",
                                      ngx_errno);
        return NULL;
    }

    if (!ngx_is_file(&fi)) {
        ngx_phrony_policy_file_failed(error, "is not a regular file", 0);
        return NULL;
    }

    size = ngx_file_size(&fi);

    text = ngx_alloc((size_t) size + 1, pool->log);

    if (text == NULL) {
        ngx_phrony_policy_file_failed(error, "no memory", 0);
        return NULL;
    }

    while (file->offset < size) {
        n = ngx_read_file(file, text + file->offset,
                          (size_t) (size - file->offset), file->offset);

        if (n == NGX_ERROR || n == 0) {
            ngx_phrony_policy_file_failed(error,
                                          n ? ngx_read_file_n " failed"
                                            : "was cut while it was read",
                                          n ? ngx_errno : 0);
            ngx_free(text);
            return NULL;
        }
    }

    *len = (size_t) size;

    return text;
}


static void
ngx_phrony_policy_file_failed(phrony_policy_error_t *error, char *what,
    ngx_err_t err)
{
    u_char  *p, *last;

    p = (u_char *) error->text;
    last = p + sizeof(error->text) - 1;

    error->line = 0;

    p = ngx_slprintf(p, last, "%s", what);

    if (err) {
        p = ngx_slprintf(p, last, " (%d: ", err);
        p = ngx_strerror(err, p, last - p);
        p = ngx_slprintf(p, last, ")");
    }

    *p = '\0';
}


static void
ngx_phrony_policy_file_cleanup(void *data)
{
    phrony_policy_free(data);
}


void
ngx_phrony_policy_file_init(ngx_phrony_policy_file_t *file,
    const phrony_policy_t *policy)
{
    file->source.find = ngx_phrony_policy_file_find;
    file->source.release = ngx_phrony_policy_file_release;
    file->source.stat = ngx_phrony_policy_file_stat;
    file->policy = policy;
}


static ngx_int_t
ngx_phrony_policy_file_find(ngx_phrony_source_t *source,
    ngx_phrony_lookup_t *lookup)
{
    ngx_phrony_policy_file_t  *file;

    file = (ngx_phrony_policy_file_t *) source;

    lookup->policy = file->policy;
    lookup->key = phrony_policy_key(file->policy, lookup->digest);

    lookup->state = lookup->key ? NGX_PHRONY_LOOKUP_FOUND
                                : NGX_PHRONY_LOOKUP_UNKNOWN;

    return NGX_OK;
}


/* The policy is there as long as the configuration is. */

static void
ngx_phrony_policy_file_release(ngx_phrony_source_t *source,
    ngx_phrony_lookup_t *lookup)
{
    /* void */
}


static void
ngx_phrony_policy_file_stat(ngx_phrony_source_t *source,
    phrony_policy_stat_t *stat)
{
    phrony_policy_stat(((ngx_phrony_policy_file_t *) source)->policy, stat);
}
