
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "phrony_text.h"


/* Each byte of a word. */

#define PHRONY_TEXT_EACH  0x0101010101010101ULL


static void phrony_text_escape(phrony_text_t *text, unsigned char ch);
static void phrony_text_digit(phrony_text_t *text, unsigned char ch);
static void phrony_text_code(phrony_text_t *text);
static void phrony_text_put_code(phrony_text_t *text, uint32_t code);
static void phrony_text_put_plain(phrony_text_t *text,
    const unsigned char *p, size_t len);
static void phrony_text_put(phrony_text_t *text, const unsigned char *p,
    size_t len);


void
phrony_text_init(phrony_text_t *text)
{
    text->state = PHRONY_TEXT_OPEN;
    text->escape = 0;
    text->unusable = 0;
    text->high = 0;
    text->len = 0;
}


const unsigned char *
phrony_text_read(phrony_text_t *text, const unsigned char *p,
    const unsigned char *last)
{
    const unsigned char  *plain;

    while (p < last && text->state == PHRONY_TEXT_OPEN) {

        if (text->escape) {
            phrony_text_escape(text, *p++);
            continue;
        }

        plain = p;
        p = phrony_text_plain(p, last);

        if (p > plain) {
            phrony_text_put_plain(text, plain, (size_t) (p - plain));
        }

        if (p == last) {
            break;
        }

        if (*p++ == '\\') {
            text->escape = 1;
            continue;
        }

        text->state = PHRONY_TEXT_ENDED;

        if (text->high) {
            text->unusable = 1;
        }
    }

    return p;
}


/*
 * A word has a control character if in one of its bytes the upper three bits
 * are all clear, that is, if subtracting 1 from these bits alone borrows.
 */

int
phrony_text_is_clean(const phrony_str_t *text)
{
    size_t    i;
    uint64_t  word;

    for (i = 0; text->len - i >= sizeof(word); i += sizeof(word)) {
        memcpy(&word, text->data + i, sizeof(word));
        word &= PHRONY_TEXT_EACH * 0xe0;

        if ((word - PHRONY_TEXT_EACH) & ~word & PHRONY_TEXT_EACH * 0x80)
        {
            return 0;
        }
    }

    for ( /* void */ ; i < text->len; i++) {
        if (text->data[i] < 0x20) {
            return 0;
        }
    }

    return 1;
}


/* The next byte of an escape: "escape" of them were read, 1 is the "\". */

static void
phrony_text_escape(phrony_text_t *text, unsigned char ch)
{
    const char         *found;
    static const char   from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";

    if (text->escape > 1) {
        phrony_text_digit(text, ch);
        return;
    }

    if (ch == 'u') {
        text->escape = 2;
        text->code = 0;
        return;
    }

    text->escape = 0;
    found = memchr(from, ch, sizeof(from) - 1);

    if (found == NULL) {
        text->state = PHRONY_TEXT_BROKEN;
        return;
    }

    phrony_text_put_code(text, (unsigned char) to[found - from]);
}


static void
phrony_text_digit(phrony_text_t *text, unsigned char ch)
{
    ch = phrony_lower(ch);

    if (ch >= '0' && ch <= '9') {
        text->code = text->code * 16 + (ch - '0');

    } else if (ch >= 'a' && ch <= 'f') {
        text->code = text->code * 16 + (ch - 'a' + 10);

    } else {
        text->state = PHRONY_TEXT_BROKEN;
        return;
    }

    if (++text->escape == 6) {
        text->escape = 0;
        phrony_text_code(text);
    }
}


/* A whole \uXXXX; half of a surrogate pair alone is no text. */

static void
phrony_text_code(phrony_text_t *text)
{
    uint32_t  code, high;

    code = text->code;
    high = text->high;

    if (high && (code & 0xfc00) == 0xdc00) {
        text->high = 0;
        phrony_text_put_code(text, 0x10000 + ((high & 0x3ff) << 10)
                                       + (code & 0x3ff));
        return;
    }

    if (high == 0 && (code & 0xfc00) == 0xd800) {
        text->high = code;
        return;
    }

    if ((code & 0xf800) == 0xd800) {
        text->unusable = 1;
        return;
    }

    phrony_text_put_code(text, code);
}


/* Adds a character in UTF-8. */

static void
phrony_text_put_code(phrony_text_t *text, uint32_t code)
{
    size_t         len;
    unsigned char  utf8[4];

    len = 0;

    if (code < 0x80) {
        utf8[len++] = (unsigned char) code;
        phrony_text_put(text, utf8, len);
        return;
    }

    if (code < 0x800) {
        utf8[len++] = (unsigned char) (0xc0 | code >> 6);

    } else if (code < 0x10000) {
        utf8[len++] = (unsigned char) (0xe0 | code >> 12);
        utf8[len++] = (unsigned char) (0x80 | (code >> 6 & 0x3f));

    } else {
        utf8[len++] = (unsigned char) (0xf0 | code >> 18);
        utf8[len++] = (unsigned char) (0x80 | (code >> 12 & 0x3f));
        utf8[len++] = (unsigned char) (0x80 | (code >> 6 & 0x3f));
    }

    utf8[len++] = (unsigned char) (0x80 | (code & 0x3f));

    phrony_text_put(text, utf8, len);
}


/* Adds bytes as they stand; control characters must not stand there. */

static void
phrony_text_put_plain(phrony_text_t *text, const unsigned char *p,
    size_t len)
{
    size_t  i, start;

    start = text->len;

    phrony_text_put(text, p, len);

    for (i = start; i < text->len; i++) {
        if (text->data[i] < 0x20) {
            text->unusable = 1;
        }
    }
}


static void
phrony_text_put(phrony_text_t *text, const unsigned char *p,
    size_t len)
{
    if (text->high || len > PHRONY_TEXT_MAX - text->len) {
        text->unusable = 1;
    }

    if (text->unusable) {
        return;
    }

    memcpy(text->data + text->len, p, len);
    text->len += len;
}
