
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef _NGX_PHRONY_TEMPLATE_H_INCLUDED_
#define _NGX_PHRONY_TEMPLATE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "../core/phrony_uuid.h"
#include "../core/phrony_window.h"
#include "../redis/ngx_phrony_redis.h"
#include "ngx_phrony_store.h"


#define NGX_PHRONY_TEMPLATE_ARGS    28      /* of a template, at most */
#define NGX_PHRONY_TEMPLATE_BLANK   128     /* bytes of one to fill in */
#define NGX_PHRONY_TEMPLATE_DIGITS  15      /* of a number */

#define NGX_PHRONY_TEMPLATE_PREFIX  256     /* of keys, at most */
#define NGX_PHRONY_TEMPLATE_DIGEST  (1 + 2 * NGX_PHRONY_DIGEST_LEN)
#define NGX_PHRONY_TEMPLATE_KEY     (NGX_PHRONY_TEMPLATE_PREFIX               \
                                     + 2 * PHRONY_UUID_TEXT_LEN + 16          \
                                     + NGX_PHRONY_TEMPLATE_DIGEST)

/* three for each bucket of each window, after number of keys and key */

#define NGX_PHRONY_TEMPLATE_TELL    (2 + 3 * (PHRONY_MINUTE_PLACES            \
                                              + PHRONY_DAY_PLACES))


PHRONY_HIDDEN_BEGIN


/*
 * A command in which all that differs from one to the next has a fixed width,
 * or is its last argument: it is formatted once, and then copied and filled
 * in.
 */

typedef struct {
    ngx_str_t                bytes;         /* len 0: not made yet */
    uint16_t                 args[NGX_PHRONY_TEMPLATE_ARGS];    /* offsets */
    const phrony_script_t   *script;        /* or NULL */
} ngx_phrony_template_t;


/* Arguments on their way into a command, and room for texts of some. */

typedef struct {
    ngx_str_t               *prefix;        /* of keys */
    size_t                   n;
    phrony_str_t             args[NGX_PHRONY_TEMPLATE_TELL];
    u_char                  *last;          /* in texts */
    u_char                   texts[NGX_PHRONY_TEMPLATE_TELL
                                   * NGX_PHRONY_TEMPLATE_DIGITS
                                   + 3 * NGX_PHRONY_TEMPLATE_KEY];
} ngx_phrony_template_args_t;


void ngx_phrony_template_begin(ngx_phrony_template_args_t *args,
    ngx_str_t *prefix);


/*
 * Adds an argument: a text, which must outlive "args"; "len" bytes to fill in;
 * "<prefix>:{<workspace>}<kind><trigger>", the ids to be filled in, where kind
 * is ":runs:" and the like; the same with ":<digest>" behind it, for the kind
 * ":delivery:"; "<prefix>:run:<run>", likewise.
 */

void ngx_phrony_template_add(ngx_phrony_template_args_t *args,
    const char *text);
void ngx_phrony_template_add_blank(ngx_phrony_template_args_t *args,
    size_t len);
void ngx_phrony_template_add_key(ngx_phrony_template_args_t *args,
    const char *kind);
void ngx_phrony_template_add_delivery(ngx_phrony_template_args_t *args);
void ngx_phrony_template_add_run(ngx_phrony_template_args_t *args);


/*
 * Makes the template of a script, where the first argument is the number of
 * keys, or of another command, where it is its name.  Returns NGX_OK, or
 * NGX_ERROR if there is no memory.  template->bytes.data is to be freed by
 * ngx_free().
 */

ngx_int_t ngx_phrony_template_script(ngx_phrony_template_t *template,
    ngx_phrony_redis_t *redis, phrony_script_id_t id,
    ngx_phrony_template_args_t *args);

ngx_int_t ngx_phrony_template_plain(ngx_phrony_template_t *template,
    ngx_phrony_redis_t *redis, ngx_phrony_template_args_t *args);


/*
 * A command like the template, with "size" bytes for the sender; or NULL.
 * Argument i is at command->bytes + template->args[i].
 */

ngx_phrony_redis_command_t *ngx_phrony_template_copy(
    ngx_phrony_template_t *template, ngx_phrony_redis_t *redis, size_t size);

/*
 * The same of a template whose last argument is empty: "tail" stands in its
 * place, and is copied.
 */

ngx_phrony_redis_command_t *ngx_phrony_template_copy_tail(
    ngx_phrony_template_t *template, ngx_phrony_redis_t *redis,
    ngx_str_t *tail, size_t size);


PHRONY_HIDDEN_END


#endif /* _NGX_PHRONY_TEMPLATE_H_INCLUDED_ */
