
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "phrony_body.h"
#include "phrony_document.h"
#include "phrony_json.h"
#include "phrony_plain.h"


static size_t phrony_body_spaces(const phrony_str_t *text, size_t pos);
static size_t phrony_body_name(const phrony_str_t *text, size_t pos);
static int phrony_body_is(const unsigned char *p, size_t len,
    const char *name);
static phrony_reason_t phrony_body_members(const json_t *root,
    phrony_body_error_t *error);
static phrony_reason_t phrony_body_refuse(const phrony_str_t *body,
    size_t len, const json_error_t *parser, phrony_body_error_t *error);
static phrony_reason_t phrony_body_cut(const phrony_str_t *body, size_t len,
    phrony_body_error_t *error);
static const char *phrony_body_text(enum json_error_code code);
static phrony_reason_t phrony_body_invalid(const phrony_str_t *body,
    size_t offset, const char *text, phrony_body_error_t *error);
static size_t phrony_body_readable(const phrony_str_t *body);
static void phrony_body_locate(phrony_json_token_t *token, size_t offset);


static const phrony_str_t  phrony_body_usual_type =
    phrony_str("application/json");

static const char  phrony_body_bom[] =
    "the text must not begin with a byte order mark";

static const char  phrony_body_end[] = "the text ends too early";

static const char  phrony_body_nul[] = "the text must not hold a NUL byte";

static const char  phrony_body_nested[] =
    "more than 512 arrays and objects are nested";

static const char  phrony_body_string[] =
    "a string must not hold control characters, broken escapes or halves "
    "of surrogate pairs";


phrony_reason_t
phrony_body_check_type(const phrony_str_t *content_type)
{
    size_t                type, subtype, end, rest;
    const unsigned char  *p;

    p = content_type->data;

    if (phrony_str_eq(content_type, &phrony_body_usual_type)) {
        return PHRONY_REASON_NONE;
    }

    type = phrony_body_spaces(content_type, 0);
    subtype = phrony_body_name(content_type, type);

    if (subtype == type || subtype == content_type->len || p[subtype] != '/') {
        return PHRONY_REASON_CONTENT_TYPE;
    }

    subtype++;
    end = phrony_body_name(content_type, subtype);
    rest = phrony_body_spaces(content_type, end);

    if (rest < content_type->len && p[rest] != ';') {
        return PHRONY_REASON_CONTENT_TYPE;
    }

    if (phrony_body_is(p + type, end - type, "application/json")) {
        return PHRONY_REASON_NONE;
    }

    /* the suffix ends a name that has something before it */

    if (end - subtype > sizeof("+json") - 1
        && phrony_body_is(p + end - 5, 5, "+json"))
    {
        return PHRONY_REASON_NONE;
    }

    return PHRONY_REASON_CONTENT_TYPE;
}


static size_t
phrony_body_spaces(const phrony_str_t *text, size_t pos)
{
    while (pos < text->len
           && (text->data[pos] == ' ' || text->data[pos] == '\t'))
    {
        pos++;
    }

    return pos;
}


/* Goes past a restricted name (RFC 6838, section 4.2). */

static size_t
phrony_body_name(const phrony_str_t *text, size_t pos)
{
    unsigned char  ch;

    for ( ; pos < text->len; pos++) {
        ch = phrony_lower(text->data[pos]);

        if ((ch >= 'a' && ch <= 'z') || (ch >= '0' && ch <= '9')) {
            continue;
        }

        if (ch == '\0' || strchr("!#$&-^_.+", ch) == NULL) {
            break;
        }
    }

    return pos;
}


/* Compares without case with a name in lower case. */

static int
phrony_body_is(const unsigned char *p, size_t len, const char *name)
{
    size_t  i;

    if (len != strlen(name)) {
        return 0;
    }

    for (i = 0; i < len; i++) {
        if (phrony_lower(p[i]) != (unsigned char) name[i]) {
            return 0;
        }
    }

    return 1;
}


phrony_reason_t
phrony_body_check(const phrony_str_t *body, phrony_body_error_t *error)
{
    size_t           len;
    json_t          *root;
    json_error_t     parser;
    phrony_reason_t  reason;

    if (body->len == 0 || phrony_plain_check(body)) {
        return PHRONY_REASON_NONE;
    }

    if (body->len >= 3 && memcmp(body->data, "\xEF\xBB\xBF", 3) == 0) {
        return phrony_body_invalid(body, 0, phrony_body_bom, error);
    }

    len = phrony_body_readable(body);
    root = phrony_document_load(body->data, len, NULL, &parser);

    if (root == NULL) {
        return phrony_body_refuse(body, len, &parser, error);
    }

    reason = (len < body->len) ? phrony_body_cut(body, len, error)
                               : phrony_body_members(root, error);

    json_decref(root);

    return reason;
}


int64_t
phrony_body_tokens(size_t len, size_t bytes_per_token)
{
    return (int64_t) (len / bytes_per_token)
           + (len % bytes_per_token ? 1 : 0);
}


static phrony_reason_t
phrony_body_members(const json_t *root, phrony_body_error_t *error)
{
    json_t  *input;

    error->line = 0;
    error->column = 0;

    if (!json_is_object(root)) {
        error->text = "the body must be a JSON object";
        return PHRONY_REASON_BODY_INVALID;
    }

    input = json_object_get(root, "input");

    if (input && !json_is_object(input)) {
        error->text = "the member \"input\" must be an object";
        return PHRONY_REASON_BODY_INVALID;
    }

    return PHRONY_REASON_NONE;
}


/* Finds out what the parser's error is about, and where. */

static phrony_reason_t
phrony_body_refuse(const phrony_str_t *body, size_t len,
    const json_error_t *parser, phrony_body_error_t *error)
{
    size_t                pos, last;
    phrony_json_token_t   token;
    enum json_error_code  code;

    code = json_error_code(parser);

    if (code == json_error_out_of_memory) {
        return PHRONY_REASON_STORE_UNAVAILABLE;
    }

    /* so many bytes were read, but of a broken character none */

    pos = (size_t) parser->position;
    last = pos ? pos - 1 : 0;

    if (code == json_error_invalid_utf8) {
        return phrony_body_invalid(body, pos, phrony_body_text(code), error);
    }

    if (code == json_error_premature_end_of_input) {
        return phrony_body_cut(body, len, error);
    }

    phrony_json_init(&token, body->data, len);
    phrony_body_locate(&token, last);

    if (token.bad != PHRONY_JSON_NOWHERE) {
        return phrony_body_invalid(body, token.bad, phrony_body_string,
                                   error);
    }

    return phrony_body_invalid(body, token.start, phrony_body_text(code),
                               error);
}


/* The parser found no error before the end of what it was shown. */

static phrony_reason_t
phrony_body_cut(const phrony_str_t *body, size_t len,
    phrony_body_error_t *error)
{
    if (len == body->len) {
        return phrony_body_invalid(body, len, phrony_body_end, error);
    }

    return phrony_body_invalid(body, len, body->data[len] == '\0'
                               ? phrony_body_nul : phrony_body_nested, error);
}


static const char *
phrony_body_text(enum json_error_code code)
{
    switch (code) {

    case json_error_invalid_utf8:
        return "the text must be valid UTF-8";

    case json_error_end_of_input_expected:
        return "nothing may follow the JSON object";

    case json_error_duplicate_key:
        return "a member's name must not be repeated within an object";

    default:
        return "the text is not valid JSON";
    }
}


/* Fills "error" with a place in the text; a character has one first byte. */

static phrony_reason_t
phrony_body_invalid(const phrony_str_t *body, size_t offset,
    const char *text, phrony_body_error_t *error)
{
    size_t  i;

    error->text = text;
    error->line = 1;
    error->column = 1;

    for (i = 0; i < offset; i++) {

        if (body->data[i] == '\n') {
            error->line++;
            error->column = 1;
            continue;
        }

        if ((body->data[i] & 0xc0) != 0x80) {
            error->column++;
        }
    }

    return PHRONY_REASON_BODY_INVALID;
}


/*
 * Returns how much of the text the parser is shown.  It would skip a NUL that
 * follows a number or a word, and it allows more levels than we do: so the
 * text ends there, and if the parser finds no error before, that is the first
 * one.
 */

static size_t
phrony_body_readable(const phrony_str_t *body)
{
    size_t                len, depth;
    phrony_json_kind_t    kind;
    phrony_json_token_t   token;
    const unsigned char  *nul;

    nul = memchr(body->data, '\0', body->len);
    len = nul ? (size_t) (nul - body->data) : body->len;

    if (len <= PHRONY_BODY_MAX_DEPTH) {
        return len;
    }

    phrony_json_init(&token, body->data, len);
    depth = 0;

    do {
        kind = phrony_json_next(&token);

        if (kind == PHRONY_JSON_OPEN && depth++ == PHRONY_BODY_MAX_DEPTH) {
            return token.start;
        }

        if (kind == PHRONY_JSON_CLOSE && depth) {
            depth--;
        }

    } while (kind != PHRONY_JSON_END);

    return len;
}


/* Steps to the token that the byte at "offset" belongs to. */

static void
phrony_body_locate(phrony_json_token_t *token, size_t offset)
{
    while (phrony_json_next(token) != PHRONY_JSON_END) {
        if (token->end > offset) {
            return;
        }
    }
}
