
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "phrony_scan.h"


int
phrony_scan_begins(const phrony_str_t *text, const phrony_str_t *prefix)
{
    return text->len >= prefix->len
           && memcmp(text->data, prefix->data, prefix->len) == 0;
}


int
phrony_scan_has(const phrony_str_t *text, char ch)
{
    return text->len > 0 && memchr(text->data, ch, text->len) != NULL;
}


int
phrony_scan_cut(phrony_str_t *text, char ch, phrony_str_t *head)
{
    size_t  n;

    *head = *text;

    for (n = 0; n < text->len && text->data[n] != (unsigned char) ch; n++) {
        /* void */
    }

    head->len = n;

    if (n == text->len) {
        phrony_scan_skip(text, n);
        return 0;
    }

    phrony_scan_skip(text, n + 1);

    return 1;
}


void
phrony_scan_skip(phrony_str_t *text, size_t n)
{
    if (n > 0) {
        text->data += n;
        text->len -= n;
    }
}


int
phrony_scan_is_plain(const phrony_str_t *text, const char *marks)
{
    size_t         i;
    unsigned char  ch;

    for (i = 0; i < text->len; i++) {
        ch = phrony_lower(text->data[i]);

        if ((ch >= 'a' && ch <= 'z') || (ch >= '0' && ch <= '9')) {
            continue;
        }

        if (ch == '\0' || strchr(marks, ch) == NULL) {
            return 0;
        }
    }

    return 1;
}


int
phrony_scan_is_digits(const phrony_str_t *text)
{
    size_t  i;

    for (i = 0; i < text->len; i++) {
        if (text->data[i] < '0' || text->data[i] > '9') {
            return 0;
        }
    }

    return 1;
}


int
phrony_scan_number(const phrony_str_t *text, unsigned max, unsigned *number)
{
    size_t    i;
    uint64_t  n;

    if (text->len == 0 || !phrony_scan_is_digits(text)
        || (text->data[0] == '0' && text->len > 1))
    {
        return -1;
    }

    n = 0;

    for (i = 0; i < text->len; i++) {
        n = n * 10 + (uint64_t) (text->data[i] - '0');

        if (n > max) {
            return -1;
        }
    }

    *number = (unsigned) n;

    return 0;
}
