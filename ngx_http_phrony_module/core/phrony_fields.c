
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "phrony_fields.h"


#define PHRONY_FIELDS_DETAIL_LEN    512
#define PHRONY_FIELDS_INSTANCE_LEN  128

/* The largest Integer of a structured field (RFC 9651, 3.3.1). */

#define PHRONY_FIELDS_INTEGER_MAX   999999999999999

#define PHRONY_FIELDS_DIGITS        20      /* of a 64-bit number */
#define PHRONY_FIELDS_CHARACTER     6       /* bytes, as in \u001f */

#define phrony_fields_literal(p, text)                                        \
    phrony_fields_copy(p, (const unsigned char *) text, sizeof(text) - 1)


/* What a limit is called, and its window or unit. */

typedef struct {
    phrony_str_t  name;
    phrony_str_t  scope;
} phrony_fields_limit_t;


typedef enum {
    PHRONY_FIELDS_QUOTA = 0,
    PHRONY_FIELDS_REMAINING,
    PHRONY_FIELDS_RESET
} phrony_fields_param_t;


static unsigned char *phrony_fields_copy(unsigned char *p,
    const unsigned char *data, size_t len);
static unsigned char *phrony_fields_str(unsigned char *p,
    const phrony_str_t *text);
static unsigned char *phrony_fields_name(unsigned char *p, size_t id);
static unsigned char *phrony_fields_number(unsigned char *p, uint64_t n);
static unsigned char *phrony_fields_param(unsigned char *p,
    phrony_fields_param_t param, int64_t value);
static unsigned char *phrony_fields_string(unsigned char *p,
    const phrony_str_t *value, size_t max);
static unsigned char *phrony_fields_position(unsigned char *p, size_t line,
    size_t column);
static unsigned char *phrony_fields_violated(unsigned char *p,
    const phrony_limit_t *limits);
static size_t phrony_fields_character(unsigned char *out,
    const unsigned char **data, const unsigned char *last);
static size_t phrony_fields_escape(unsigned char *out, unsigned char ch);
static size_t phrony_fields_utf8(const unsigned char *p,
    const unsigned char *last);


/* The draft still moves: whatever it may rename stands in these tables. */

static const phrony_str_t  phrony_fields_params[] = {
    [PHRONY_FIELDS_QUOTA] = phrony_str(";q="),
    [PHRONY_FIELDS_REMAINING] = phrony_str(";r="),
    [PHRONY_FIELDS_RESET] = phrony_str(";t=")
};


static const phrony_fields_limit_t  phrony_fields_limits[] = {

    [PHRONY_LIMIT_RPM] = { phrony_str("rpm"), phrony_str(";w=60") },

    [PHRONY_LIMIT_RPD] = { phrony_str("rpd"), phrony_str(";w=86400") },

    [PHRONY_LIMIT_RUNS] = { phrony_str("runs"),
                            phrony_str(";qu=\"concurrent-requests\"") },

    [PHRONY_LIMIT_READS] = { phrony_str("reads"), phrony_str(";w=60") },

    [PHRONY_LIMIT_MAX] = { phrony_str(""), phrony_str("") }
};


size_t
phrony_fields_policy(unsigned char *buf, const phrony_limit_t *limits)
{
    size_t          id;
    unsigned char  *p;

    p = buf;

    for (id = 0; id < PHRONY_LIMIT_MAX; id++) {

        if (!limits[id].set) {
            continue;
        }

        if (p > buf) {
            p = phrony_fields_literal(p, ", ");
        }

        p = phrony_fields_name(p, id);
        p = phrony_fields_param(p, PHRONY_FIELDS_QUOTA, limits[id].quota);
        p = phrony_fields_str(p, &phrony_fields_limits[id].scope);
    }

    return (size_t) (p - buf);
}


size_t
phrony_fields_ratelimit(unsigned char *buf, const phrony_limit_t *limits)
{
    size_t          id;
    unsigned char  *p;

    p = buf;

    for (id = 0; id < PHRONY_LIMIT_MAX; id++) {

        if (!limits[id].set) {
            continue;
        }

        if (p > buf) {
            p = phrony_fields_literal(p, ", ");
        }

        p = phrony_fields_name(p, id);
        p = phrony_fields_param(p, PHRONY_FIELDS_REMAINING,
                                limits[id].remaining);

        if (limits[id].reset >= 0) {
            p = phrony_fields_param(p, PHRONY_FIELDS_RESET,
                                    phrony_fields_seconds(limits[id].reset));
        }
    }

    return (size_t) (p - buf);
}


int64_t
phrony_fields_seconds(int64_t ms)
{
    if (ms <= 0) {
        return 1;
    }

    /* not (ms + 999) / 1000, which may overflow */

    return ms / 1000 + (ms % 1000 != 0);
}


size_t
phrony_fields_problem(unsigned char *buf, const phrony_problem_t *problem)
{
    unsigned char               *p;
    const phrony_str_t          *detail;
    const phrony_reason_info_t  *info;

    info = phrony_reason_info(problem->reason);
    detail = problem->detail.len ? &problem->detail : &info->detail;

    p = phrony_fields_literal(buf, "{\"type\":\"urn:phrony:problem:");
    p = phrony_fields_str(p, &info->code);
    p = phrony_fields_literal(p, "\",\"title\":\"");
    p = phrony_fields_str(p, &info->title);
    p = phrony_fields_literal(p, "\",\"status\":");
    p = phrony_fields_number(p, info->status);
    p = phrony_fields_literal(p, ",\"detail\":");
    p = phrony_fields_string(p, detail, PHRONY_FIELDS_DETAIL_LEN);
    p = phrony_fields_literal(p, ",\"reason\":\"");
    p = phrony_fields_str(p, &info->code);
    p = phrony_fields_literal(p, "\",\"instance\":");
    p = phrony_fields_string(p, &problem->instance,
                             PHRONY_FIELDS_INSTANCE_LEN);

    if (problem->line) {
        p = phrony_fields_position(p, problem->line, problem->column);
    }

    if (problem->limits) {
        p = phrony_fields_violated(p, problem->limits);
    }

    *p++ = '}';

    return (size_t) (p - buf);
}


const phrony_str_t *
phrony_limit_name(phrony_limit_id_t id)
{
    if ((unsigned) id >= PHRONY_LIMIT_MAX) {
        return &phrony_fields_limits[PHRONY_LIMIT_MAX].name;
    }

    return &phrony_fields_limits[id].name;
}


static unsigned char *
phrony_fields_copy(unsigned char *p, const unsigned char *data, size_t len)
{
    memcpy(p, data, len);

    return p + len;
}


static unsigned char *
phrony_fields_str(unsigned char *p, const phrony_str_t *text)
{
    return phrony_fields_copy(p, text->data, text->len);
}


/* A limit's name in quotes, as JSON and structured fields want it alike. */

static unsigned char *
phrony_fields_name(unsigned char *p, size_t id)
{
    *p++ = '"';
    p = phrony_fields_str(p, &phrony_fields_limits[id].name);
    *p++ = '"';

    return p;
}


static unsigned char *
phrony_fields_number(unsigned char *p, uint64_t n)
{
    unsigned char  *digit, buf[PHRONY_FIELDS_DIGITS];

    digit = buf + PHRONY_FIELDS_DIGITS;

    do {
        *--digit = (unsigned char) ('0' + n % 10);
        n /= 10;
    } while (n);

    return phrony_fields_copy(p, digit,
                              (size_t) (buf + PHRONY_FIELDS_DIGITS - digit));
}


/* A parameter with an Integer that a structured field can hold. */

static unsigned char *
phrony_fields_param(unsigned char *p, phrony_fields_param_t param,
    int64_t value)
{
    if (value < 0) {
        value = 0;
    }

    if (value > PHRONY_FIELDS_INTEGER_MAX) {
        value = PHRONY_FIELDS_INTEGER_MAX;
    }

    p = phrony_fields_str(p, &phrony_fields_params[param]);

    return phrony_fields_number(p, (uint64_t) value);
}


/*
 * Writes a JSON string of "max" bytes at most between its quotes; the cut is
 * between two characters.
 */

static unsigned char *
phrony_fields_string(unsigned char *p, const phrony_str_t *value, size_t max)
{
    size_t                n;
    unsigned char         out[PHRONY_FIELDS_CHARACTER];
    const unsigned char  *data, *last;

    *p++ = '"';

    if (value->len) {
        data = value->data;
        last = data + value->len;

        while (data < last) {
            n = phrony_fields_character(out, &data, last);

            if (n > max) {
                break;
            }

            p = phrony_fields_copy(p, out, n);
            max -= n;
        }
    }

    *p++ = '"';

    return p;
}


static unsigned char *
phrony_fields_position(unsigned char *p, size_t line, size_t column)
{
    p = phrony_fields_literal(p, ",\"line\":");
    p = phrony_fields_number(p, line);
    p = phrony_fields_literal(p, ",\"column\":");

    return phrony_fields_number(p, column);
}


static unsigned char *
phrony_fields_violated(unsigned char *p, const phrony_limit_t *limits)
{
    size_t  id, n;

    n = 0;

    for (id = 0; id < PHRONY_LIMIT_MAX; id++) {

        if (!limits[id].refused) {
            continue;
        }

        if (n++ == 0) {
            p = phrony_fields_literal(p, ",\"violated-policies\":[");

        } else {
            *p++ = ',';
        }

        p = phrony_fields_name(p, id);
    }

    if (n) {
        *p++ = ']';
    }

    return p;
}


/*
 * Writes the character at "*data" as it stands in a JSON string, and moves on
 * behind it.  Returns how many bytes were written.
 */

static size_t
phrony_fields_character(unsigned char *out, const unsigned char **data,
    const unsigned char *last)
{
    size_t                n;
    const unsigned char  *p;

    p = *data;

    if (*p < 0x80) {
        *data = p + 1;
        return phrony_fields_escape(out, *p);
    }

    n = phrony_fields_utf8(p, last);

    if (n == 0) {
        *data = p + 1;
        memcpy(out, "\xef\xbf\xbd", 3);     /* U+FFFD */
        return 3;
    }

    *data = p + n;
    memcpy(out, p, n);

    return n;
}


static size_t
phrony_fields_escape(unsigned char *out, unsigned char ch)
{
    static const char  digits[] = "0123456789abcdef";

    if (ch == '"' || ch == '\\') {
        out[0] = '\\';
        out[1] = ch;
        return 2;
    }

    if (ch >= 0x20) {
        out[0] = ch;
        return 1;
    }

    memcpy(out, "\\u00", 4);
    out[4] = (unsigned char) digits[ch >> 4];
    out[5] = (unsigned char) digits[ch & 0x0f];

    return 6;
}


/*
 * The length of the well-formed sequence (RFC 3629) that begins at "p", which
 * is not ASCII; 0 if there is none.  Overlong forms, surrogates and what is
 * above U+10FFFF show in the second byte.
 */

static size_t
phrony_fields_utf8(const unsigned char *p, const unsigned char *last)
{
    size_t         i, n;
    unsigned char  low, high;

    if (*p < 0xc2 || *p > 0xf4) {
        return 0;
    }

    n = (*p < 0xe0) ? 2 : (*p < 0xf0) ? 3 : 4;

    if ((size_t) (last - p) < n) {
        return 0;
    }

    low = (*p == 0xe0) ? 0xa0 : (*p == 0xf0) ? 0x90 : 0x80;
    high = (*p == 0xed) ? 0x9f : (*p == 0xf4) ? 0x8f : 0xbf;

    if (p[1] < low || p[1] > high) {
        return 0;
    }

    for (i = 2; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
    }

    return n;
}
