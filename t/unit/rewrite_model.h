
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef REWRITE_MODEL_H_
#define REWRITE_MODEL_H_


/*
 * What phrony_rewrite.h promises, a second time and in another way: the whole
 * text lies in memory, and is read byte by byte.  "out" must have room for
 * twice the length and MODEL_ROOM more; of each value that is replaced more
 * bytes of name stand before it than are added.
 */


#include <stddef.h>
#include <string.h>


#define MODEL_ROOM    64
#define MODEL_NAME    "duplicateDelivery"
#define MODEL_MEMBER  "\"" MODEL_NAME "\":true"


typedef struct {
    const char  *data;
    size_t       len;
    size_t       at;        /* the next byte to read */
    char        *out;
    size_t       out_len;
    int          done;      /* one whole object */
} model_t;


static inline void
model_put(model_t *model, const char *data, size_t len)
{
    if (len) {
        memcpy(model->out + model->out_len, data, len);
        model->out_len += len;
    }
}


/* The next byte, or -1 at the end. */

static inline int
model_peek(const model_t *model)
{
    return model->at < model->len ? (unsigned char) model->data[model->at]
                                  : -1;
}


static inline int
model_is_in(int ch, const char *set)
{
    return ch > 0 && strchr(set, ch) != NULL;
}


static inline void
model_skip_space(model_t *model)
{
    while (model_is_in(model_peek(model), " \t\r\n")) {
        model->at++;
    }
}


/* The number of bytes of an escape at "at", 0 if it is broken or cut off. */

static inline size_t
model_escape(const model_t *model, size_t at)
{
    size_t  i;

    if (model->len - at < 2) {
        return 0;
    }

    if (model->data[at + 1] != 'u') {
        return model_is_in(model->data[at + 1], "\"\\/bfnrt") ? 2 : 0;
    }

    for (i = 2; i < 6; i++) {
        if (model->len - at <= i
            || !model_is_in(model->data[at + i], "0123456789abcdefABCDEF"))
        {
            return 0;
        }
    }

    return 6;
}


/* The character of an escape, where it is one of the name's; else -1. */

static inline int
model_letter(const char *p)
{
    int  high, low;

    static const char  digits[] = "0123456789abcdef0123456789ABCDEF";

    if (p[1] != 'u' || p[2] != '0' || p[3] != '0') {
        return -1;
    }

    high = (int) ((strchr(digits, p[4]) - digits) % 16);
    low = (int) ((strchr(digits, p[5]) - digits) % 16);

    return high * 16 + low;
}


/* Reads a name; returns 1 if it is the one, 0 if another, -1 if broken. */

static inline int
model_name(model_t *model)
{
    int          ch, same;
    size_t       n, i;
    const char  *wanted;

    wanted = MODEL_NAME;
    same = 1;
    model->at++;

    for (i = 0; (ch = model_peek(model)) != '"'; i++) {

        if (ch == -1) {
            return -1;
        }

        n = 1;

        if (ch == '\\') {
            n = model_escape(model, model->at);

            if (n == 0) {
                return -1;
            }

            ch = model_letter(model->data + model->at);
        }

        if (same && (i >= strlen(wanted) || ch != wanted[i])) {
            same = 0;
        }

        model->at += n;
    }

    model->at++;

    return same && i == strlen(wanted);
}


static inline void
model_string(model_t *model)
{
    model->at++;

    while (model_peek(model) != -1) {

        if (model_peek(model) == '"') {
            model->at++;
            return;
        }

        if (model_peek(model) == '\\' && model->at + 1 < model->len) {
            model->at++;
        }

        model->at++;
    }
}


/* Reads a value; returns -1 if there is none. */

static inline int
model_value(model_t *model)
{
    int     ch;
    size_t  depth, start;

    static const char  scalars[] = "abcdefghijklmnopqrstuvwxyz0123456789"
                                   "ABCDEFGHIJKLMNOPQRSTUVWXYZ+-.";

    ch = model_peek(model);

    if (ch != '[' && ch != '{') {
        start = model->at;

        if (ch == '"') {
            model_string(model);
        }

        while (ch != '"' && model_is_in(model_peek(model), scalars)) {
            model->at++;
        }

        return model->at > start ? 0 : -1;
    }

    depth = 0;

    do {
        ch = model_peek(model);

        if (ch == '"') {
            model_string(model);
            continue;
        }

        if (model_is_in(ch, "[{")) {
            depth++;
        }

        if (model_is_in(ch, "]}")) {
            depth--;
        }

        model->at += ch != -1;

    } while (depth && model_peek(model) != -1);

    return 0;
}


/* Reads the members up to the "}" or to where the object is broken. */

static inline void
model_members(model_t *model)
{
    int     same, found, first;
    size_t  start, from;

    start = 0;
    found = 0;

    first = 1;

    for ( ;; ) {
        model_skip_space(model);

        if (first && model_peek(model) == '}') {
            break;
        }

        if (model_peek(model) != '"' || (same = model_name(model)) == -1) {
            goto rest;
        }

        first = 0;
        model_skip_space(model);

        if (model_peek(model) != ':') {
            goto rest;
        }

        model->at++;
        model_skip_space(model);
        from = model->at;

        if (model_value(model) != 0) {
            goto rest;
        }

        if (same) {
            model_put(model, model->data + start, from - start);
            model_put(model, "true", 4);
            start = model->at;
            found = 1;
        }

        model_skip_space(model);

        if (model_peek(model) != ',') {
            break;
        }

        model->at++;
    }

    if (model_peek(model) == '}') {
        model_put(model, model->data + start, model->at - start);
        start = model->at++;

        if (!found) {
            model_put(model, ",", first ? 0 : 1);
            model_put(model, MODEL_MEMBER, sizeof(MODEL_MEMBER) - 1);
        }

        model_skip_space(model);
        model->done = model->at == model->len;
    }

rest:

    model_put(model, model->data + start, model->len - start);
}


static inline void
model_rewrite(model_t *model, const char *data, size_t len, char *out)
{
    model->data = data;
    model->len = len;
    model->at = 0;
    model->out = out;
    model->out_len = 0;
    model->done = 0;

    model_skip_space(model);

    if (model_peek(model) == '{') {
        model->at++;
        model_members(model);

    } else {
        model_put(model, data, len);
    }
}


#endif /* REWRITE_MODEL_H_ */
