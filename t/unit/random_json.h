
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef RANDOM_JSON_H_
#define RANDOM_JSON_H_


/*
 * Random JSON texts, the same ones in every run.  Names within an object
 * never repeat.  A text has up to "room" bytes; what does not fit any more
 * is left out at a place where the text stays valid.
 */


#include <stdint.h>
#include <stdio.h>
#include <string.h>


#define RANDOM_JSON_SIZE    8192
#define RANDOM_JSON_MARGIN  2048    /* enough to come to an end */
#define RANDOM_JSON_DEPTH   6

#define random_json_pick(json, list)                                          \
    (list)[random_json(json, sizeof(list) / sizeof((list)[0]))]


typedef struct {
    uint64_t  seed;
    int       exotic;       /* valid, but more than a C library can hold */
    size_t    len;
    char      data[RANDOM_JSON_SIZE];
} random_json_t;


static void random_json_object(random_json_t *json, int depth);


/* Returns 0 to n - 1. */

static inline unsigned
random_json(random_json_t *json, unsigned n)
{
    json->seed = json->seed * 6364136223846793005ULL + 1442695040888963407ULL;

    return (unsigned) ((json->seed >> 33) % n);
}


static inline void
random_json_put(random_json_t *json, const char *text)
{
    size_t  len;

    len = strlen(text);

    if (len < RANDOM_JSON_SIZE - json->len) {
        memcpy(json->data + json->len, text, len);
        json->len += len;
    }
}


static inline void
random_json_space(random_json_t *json)
{
    static const char  *spaces[] = { "", "", "", " ", "\n", "\t \r\n" };

    random_json_put(json, random_json_pick(json, spaces));
}


static inline void
random_json_chars(random_json_t *json)
{
    unsigned  n;

    static const char  *chars[] = {
        "a", "B", " ", "hello", "\\\"", "\\\\", "\\/", "\\b\\f", "\\n\\r\\t",
        "\\u0041", "\\u00e9", "\\uD83D\\ude00", "\\uffff", "\\u001f",
        "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xf4\x8f\xbf\xbf",
        "\x7f", "{", "}", "[", "]", ",", ":", "'", "/", "1e999",
        "a long run of characters without any quote"
    };

    for (n = random_json(json, 6); n; n--) {
        random_json_put(json, random_json_pick(json, chars));
    }
}


static inline void
random_json_number(random_json_t *json)
{
    static const char  *plain[] = {
        "0", "-0", "1", "-17", "3.25", "0.5e-3", "1E+2", "9223372036854775807",
        "123456789012345.678", "1e-999"
    };
    static const char  *exotic[] = {
        "1e999", "-1E+400", "9223372036854775808", "-99999999999999999999",
        "1234567890123456789012345678901234567890.5e300"
    };

    random_json_put(json, json->exotic && random_json(json, 4) == 0
                          ? random_json_pick(json, exotic)
                          : random_json_pick(json, plain));
}


static inline void
random_json_array(random_json_t *json, int depth);


static inline void
random_json_value(random_json_t *json, int depth)
{
    static const char  *words[] = { "true", "false", "null" };

    switch (random_json(json, depth < RANDOM_JSON_DEPTH ? 6 : 4)) {

    case 0:
        random_json_put(json, random_json_pick(json, words));
        return;

    case 1:
        random_json_number(json);
        return;

    case 4:
        random_json_array(json, depth + 1);
        return;

    case 5:
        random_json_object(json, depth + 1);
        return;

    default:
        random_json_put(json, "\"");
        random_json_chars(json);
        random_json_put(json, json->exotic ? "\\u0000\"" : "\"");
    }
}


static inline void
random_json_array(random_json_t *json, int depth)
{
    unsigned  i, n;

    n = random_json(json, 5);
    random_json_put(json, "[");

    for (i = 0; i < n; i++) {
        if (json->len > RANDOM_JSON_SIZE - RANDOM_JSON_MARGIN) {
            break;
        }

        random_json_put(json, i ? "," : "");
        random_json_space(json);
        random_json_value(json, depth);
        random_json_space(json);
    }

    random_json_put(json, "]");
}


static inline void
random_json_name(random_json_t *json, unsigned i)
{
    char  number[32];

    /* the number comes last and after a mark: no two names are the same */

    random_json_put(json, "\"");
    random_json_chars(json);

    if (json->exotic && random_json(json, 3) == 0) {
        random_json_put(json, "\\u0000");
    }

    sprintf(number, "#%u\"", i);
    random_json_put(json, number);
}


static inline void
random_json_object(random_json_t *json, int depth)
{
    unsigned  i, n;

    n = random_json(json, 5);
    random_json_put(json, "{");

    for (i = 0; i < n; i++) {
        if (json->len > RANDOM_JSON_SIZE - RANDOM_JSON_MARGIN) {
            break;
        }

        random_json_put(json, i ? "," : "");
        random_json_space(json);
        random_json_name(json, i);
        random_json_space(json);
        random_json_put(json, ":");
        random_json_space(json);
        random_json_value(json, depth);
        random_json_space(json);
    }

    random_json_put(json, "}");
}


/* One to three changes of single bytes, anywhere. */

static inline void
random_json_mutate(random_json_t *json)
{
    char      *p;
    unsigned   n, at;

    static const char  bytes[] = "\"\\{}[]:,0123456789eE.+-untfx "
                                 "\n\x01\x80\xff";

    for (n = 1 + random_json(json, 3); n && json->len > 2; n--) {
        at = random_json(json, (unsigned) json->len);
        p = json->data + at;

        switch (random_json(json, 4)) {

        case 0:
            memmove(p, p + 1, json->len - at - 1);
            json->len--;
            break;

        case 1:
            json->len = at + 1;
            break;

        default:
            *p = bytes[random_json(json, sizeof(bytes))];
        }
    }
}


#endif /* RANDOM_JSON_H_ */
