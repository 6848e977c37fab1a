
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_phrony_template.h"


static ngx_int_t ngx_phrony_template_keep(ngx_phrony_template_t *template,
    ngx_phrony_redis_t *redis, ngx_phrony_redis_command_t *command,
    ngx_phrony_template_args_t *args);


void
ngx_phrony_template_begin(ngx_phrony_template_args_t *args, ngx_str_t *prefix)
{
    args->prefix = prefix;
    args->n = 0;
    args->last = args->texts;
}


void
ngx_phrony_template_add(ngx_phrony_template_args_t *args, const char *text)
{
    phrony_str_t  *arg;

    arg = &args->args[args->n++];

    arg->data = (u_char *) text;
    arg->len = ngx_strlen(text);
}


/* Something that is filled in later. */

void
ngx_phrony_template_add_blank(ngx_phrony_template_args_t *args, size_t len)
{
    static u_char   blank[NGX_PHRONY_TEMPLATE_BLANK];
    phrony_str_t   *arg;

    arg = &args->args[args->n++];

    arg->data = blank;
    arg->len = len;
}


/* "<prefix>:{<workspace>}:<kind>:<trigger>", the ids left blank */

void
ngx_phrony_template_add_key(ngx_phrony_template_args_t *args,
    const char *kind)
{
    u_char        *p;
    phrony_str_t  *arg;

    arg = &args->args[args->n++];

    p = ngx_cpymem(args->last, args->prefix->data, args->prefix->len);

    *p++ = ':';
    *p++ = '{';
    ngx_memset(p, '-', PHRONY_UUID_TEXT_LEN);
    p += PHRONY_UUID_TEXT_LEN;
    *p++ = '}';
    p = ngx_cpymem(p, kind, ngx_strlen(kind));
    ngx_memset(p, '-', PHRONY_UUID_TEXT_LEN);
    p += PHRONY_UUID_TEXT_LEN;

    arg->data = args->last;
    arg->len = p - args->last;

    args->last = p;
}


/* "<prefix>:{<workspace>}:delivery:<trigger>:<digest>", likewise */

void
ngx_phrony_template_add_delivery(ngx_phrony_template_args_t *args)
{
    ngx_phrony_template_add_key(args, ":delivery:");

    *args->last++ = ':';
    ngx_memset(args->last, '-', 2 * NGX_PHRONY_DIGEST_LEN);
    args->last += 2 * NGX_PHRONY_DIGEST_LEN;

    args->args[args->n - 1].len += NGX_PHRONY_TEMPLATE_DIGEST;
}


/* "<prefix>:run:<run>" */

void
ngx_phrony_template_add_run(ngx_phrony_template_args_t *args)
{
    u_char        *p;
    phrony_str_t  *arg;

    arg = &args->args[args->n++];

    p = ngx_cpymem(args->last, args->prefix->data, args->prefix->len);
    p = ngx_cpymem(p, ":run:", sizeof(":run:") - 1);
    ngx_memset(p, '-', PHRONY_UUID_TEXT_LEN);
    p += PHRONY_UUID_TEXT_LEN;

    arg->data = args->last;
    arg->len = p - args->last;

    args->last = p;
}


ngx_int_t
ngx_phrony_template_script(ngx_phrony_template_t *template,
    ngx_phrony_redis_t *redis, phrony_script_id_t id,
    ngx_phrony_template_args_t *args)
{
    ngx_phrony_redis_command_t  *command;

    command = ngx_phrony_redis_eval(redis, id, args->n, args->args, 0);

    template->script = &phrony_scripts[id];

    return ngx_phrony_template_keep(template, redis, command, args);
}


ngx_int_t
ngx_phrony_template_plain(ngx_phrony_template_t *template,
    ngx_phrony_redis_t *redis, ngx_phrony_template_args_t *args)
{
    ngx_phrony_redis_command_t  *command;

    command = ngx_phrony_redis_format(redis, args->n, args->args, 0);

    return ngx_phrony_template_keep(template, redis, command, args);
}


/*
 * Keeps the text of a command as a template.  An argument stands in it as
 * "$36\r\n", the bytes, "\r\n": where, is found from its end.
 */

static ngx_int_t
ngx_phrony_template_keep(ngx_phrony_template_t *template,
    ngx_phrony_redis_t *redis, ngx_phrony_redis_command_t *command,
    ngx_phrony_template_args_t *args)
{
    size_t  i, len, offset;

    if (command == NULL) {
        return NGX_ERROR;
    }

    template->bytes.data = ngx_alloc(command->len, ngx_cycle->log);

    if (template->bytes.data) {
        template->bytes.len = command->len;
        ngx_memcpy(template->bytes.data, command->bytes, command->len);
    }

    offset = command->len;

    for (i = args->n; i; i--) {
        len = args->args[i - 1].len;

        offset -= len + 2;
        template->args[i - 1] = (uint16_t) offset;

        for (offset -= sizeof("$0\r\n") - 1; len >= 10; len /= 10) {
            offset--;
        }
    }

    ngx_phrony_redis_free(redis, command);

    return template->bytes.data ? NGX_OK : NGX_ERROR;
}


ngx_phrony_redis_command_t *
ngx_phrony_template_copy(ngx_phrony_template_t *template,
    ngx_phrony_redis_t *redis, size_t size)
{
    ngx_phrony_redis_command_t  *command;

    command = ngx_phrony_redis_command(redis, template->bytes.len, size);

    if (command) {
        ngx_memcpy(command->bytes, template->bytes.data, template->bytes.len);
        command->script = template->script;
    }

    return command;
}


ngx_phrony_redis_command_t *
ngx_phrony_template_copy_tail(ngx_phrony_template_t *template,
    ngx_phrony_redis_t *redis, ngx_str_t *tail, size_t size)
{
    u_char                      *p, number[sizeof("$\r\n") + NGX_SIZE_T_LEN];
    size_t                       head, len;
    ngx_phrony_redis_command_t  *command;

    head = template->bytes.len - (sizeof("$0\r\n\r\n") - 1);
    len = ngx_sprintf(number, "$%uz\r\n", tail->len) - number;

    command = ngx_phrony_redis_command(redis, head + len + tail->len + 2,
                                       size);
    if (command == NULL) {
        return NULL;
    }

    command->script = template->script;

    p = ngx_cpymem(command->bytes, template->bytes.data, head);
    p = ngx_cpymem(p, number, len);

    if (tail->len) {
        p = ngx_cpymem(p, tail->data, tail->len);
    }

    *p++ = CR;
    *p = LF;

    return command;
}
