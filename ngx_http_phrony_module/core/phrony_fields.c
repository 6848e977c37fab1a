
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "phrony_fields.h"
#include "phrony_utf8.h"


#define PHRONY_FIELDS_DETAIL_LEN    512
#define PHRONY_FIELDS_INSTANCE_LEN  128

/* The largest Integer of a structured field (RFC 9651, 3.3.1). */

#define PHRONY_FIELDS_INTEGER_MAX   999999999999999

#define PHRONY_FIELDS_CHARACTER     6       /* bytes, as in \u001f */

#define phrony_fields_literal(p, text)                                        \
    phrony_fields_copy(p, (const unsigned char *) text, sizeof(text) - 1)


/*
 * The draft still moves: whatever it may rename stands here and in the table
 * below.
 */

#define PHRONY_FIELDS_QUOTA      ";q="
#define PHRONY_FIELDS_REMAINING  ";r="
#define PHRONY_FIELDS_RESET      ";t="
#define PHRONY_FIELDS_WINDOW     ";w="
#define PHRONY_FIELDS_UNIT       ";qu="

#define phrony_fields_row(text, scope)                                        \
    { phrony_str(text),                                                       \
      phrony_str("\"" text "\"" PHRONY_FIELDS_QUOTA), phrony_str(scope),      \
      phrony_str("\"" text "\"" PHRONY_FIELDS_REMAINING) }


/* What a limit is called, and what stands around its numbers. */

typedef struct {
    phrony_str_t  name;
    phrony_str_t  quota;        /* before the quota */
    phrony_str_t  scope;        /* behind it: its window or unit */
    phrony_str_t  remaining;    /* before what remains of it */
} phrony_fields_limit_t;


static unsigned char *phrony_fields_copy(unsigned char *p,
    const unsigned char *data, size_t len);
static unsigned char *phrony_fields_str(unsigned char *p,
    const phrony_str_t *text);
static unsigned char *phrony_fields_name(unsigned char *p, size_t id);
static unsigned char *phrony_fields_number(unsigned char *p, uint64_t n);
static unsigned char *phrony_fields_integer(unsigned char *p, int64_t n);
static unsigned char *phrony_fields_detail(unsigned char *p,
    const phrony_str_t *detail, const phrony_str_t *usual);
static unsigned char *phrony_fields_string(unsigned char *p,
    const phrony_str_t *value, size_t max);
static unsigned char *phrony_fields_position(unsigned char *p, size_t line,
    size_t column);
static unsigned char *phrony_fields_violated(unsigned char *p,
    const phrony_limit_t *limits);
static size_t phrony_fields_plain(const unsigned char *p,
    const unsigned char *last, size_t max);
static size_t phrony_fields_character(unsigned char *out,
    const unsigned char **data, const unsigned char *last);
static size_t phrony_fields_escape(unsigned char *out, unsigned char ch);


static const phrony_fields_limit_t  phrony_fields_limits[] = {

    [PHRONY_LIMIT_RPM] = phrony_fields_row("rpm", PHRONY_FIELDS_WINDOW "60"),

    [PHRONY_LIMIT_RPD] = phrony_fields_row("rpd",
                                           PHRONY_FIELDS_WINDOW "86400"),

    [PHRONY_LIMIT_RUNS] = phrony_fields_row("runs", PHRONY_FIELDS_UNIT
                                            "\"concurrent-requests\""),

    [PHRONY_LIMIT_READS] = phrony_fields_row("reads",
                                             PHRONY_FIELDS_WINDOW "60"),

    [PHRONY_LIMIT_MAX] = phrony_fields_row("", "")
};


/* ASCII that stands in a JSON string as it is. */

static const unsigned char  phrony_fields_plains[256] = {
    [' ' ... '!'] = 1, ['#' ... '['] = 1, [']' ... 0x7f] = 1
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

        p = phrony_fields_str(p, &phrony_fields_limits[id].quota);
        p = phrony_fields_integer(p, limits[id].quota);
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

        p = phrony_fields_str(p, &phrony_fields_limits[id].remaining);
        p = phrony_fields_integer(p, limits[id].remaining);

        if (limits[id].reset >= 0) {
            p = phrony_fields_literal(p, PHRONY_FIELDS_RESET);
            p = phrony_fields_integer(p,
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
    const phrony_reason_info_t  *info;

    info = phrony_reason_info(problem->reason);

    p = phrony_fields_literal(buf, "{\"type\":\"urn:phrony:problem:");
    p = phrony_fields_str(p, &info->code);
    p = phrony_fields_literal(p, "\",\"title\":\"");
    p = phrony_fields_str(p, &info->title);
    p = phrony_fields_literal(p, "\",\"status\":");
    p = phrony_fields_number(p, info->status);
    p = phrony_fields_literal(p, ",\"detail\":");
    p = phrony_fields_detail(p, &problem->detail, &info->detail);
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
    uint64_t        rest;
    unsigned char  *end;

    end = p + 1;

    for (rest = n; rest >= 10; rest /= 10) {
        end++;
    }

    p = end;

    do {
        *--p = (unsigned char) ('0' + n % 10);
        n /= 10;
    } while (n);

    return end;
}


/* An Integer that a structured field can hold. */

static unsigned char *
phrony_fields_integer(unsigned char *p, int64_t n)
{
    if (n < 0) {
        n = 0;
    }

    if (n > PHRONY_FIELDS_INTEGER_MAX) {
        n = PHRONY_FIELDS_INTEGER_MAX;
    }

    return phrony_fields_number(p, (uint64_t) n);
}


/* The reason's own sentence has nothing to escape. */

static unsigned char *
phrony_fields_detail(unsigned char *p, const phrony_str_t *detail,
    const phrony_str_t *usual)
{
    if (detail->len) {
        return phrony_fields_string(p, detail, PHRONY_FIELDS_DETAIL_LEN);
    }

    *p++ = '"';
    p = phrony_fields_str(p, usual);
    *p++ = '"';

    return p;
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
            n = phrony_fields_plain(data, last, max);

            p = phrony_fields_copy(p, data, n);
            data += n;
            max -= n;

            if (data == last || max == 0) {
                break;
            }

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


/* How many bytes, "max" at most, stand in a JSON string as they are. */

static size_t
phrony_fields_plain(const unsigned char *p, const unsigned char *last,
    size_t max)
{
    size_t  n;

    if ((size_t) (last - p) < max) {
        max = (size_t) (last - p);
    }

    for (n = 0; n < max && phrony_fields_plains[p[n]]; n++) { /* void */ }

    return n;
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

    n = phrony_utf8_length(p, last);

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
