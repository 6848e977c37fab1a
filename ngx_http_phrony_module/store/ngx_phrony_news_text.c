
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_phrony_news.h"


#define NGX_PHRONY_NEWS_MAX  999999999999999


static u_char *ngx_phrony_news_write_id(u_char *p, ngx_uint_t valid,
    phrony_uuid_t *id);
static ngx_uint_t ngx_phrony_news_read_id(u_char *p, phrony_uuid_t *id);


u_char *
ngx_phrony_news_write(u_char *p, ngx_phrony_news_t *news)
{
    *p++ = (u_char) news->event;

    p = ngx_phrony_news_write_id(p, news->has_lease, &news->lease_id);
    p = ngx_phrony_news_write_id(p, news->has_run, &news->run_id);

    return ngx_phrony_news_number(p, (int64_t) news->ttl);
}


static u_char *
ngx_phrony_news_write_id(u_char *p, ngx_uint_t valid, phrony_uuid_t *id)
{
    if (valid) {
        return phrony_uuid_format(p, id);
    }

    ngx_memset(p, '-', PHRONY_UUID_TEXT_LEN);

    return p + PHRONY_UUID_TEXT_LEN;
}


u_char *
ngx_phrony_news_number(u_char *p, int64_t n)
{
    u_char  *digit;

    ngx_memset(p, '0', NGX_PHRONY_NEWS_DIGITS);

    if (n < 0) {
        p[0] = '-';
        p[NGX_PHRONY_NEWS_DIGITS - 1] = '1';

        return p + NGX_PHRONY_NEWS_DIGITS;
    }

    if (n > NGX_PHRONY_NEWS_MAX) {
        n = NGX_PHRONY_NEWS_MAX;
    }

    for (digit = p + NGX_PHRONY_NEWS_DIGITS; n; n /= 10) {
        *--digit = (u_char) ('0' + n % 10);
    }

    return p + NGX_PHRONY_NEWS_DIGITS;
}


void
ngx_phrony_news_read(u_char *p, ngx_phrony_news_t *news)
{
    ngx_memzero(news, sizeof(ngx_phrony_news_t));

    news->event = (ngx_phrony_news_event_t) *p++;

    news->has_lease = ngx_phrony_news_read_id(p, &news->lease_id);
    p += PHRONY_UUID_TEXT_LEN;

    news->has_run = ngx_phrony_news_read_id(p, &news->run_id);
    p += PHRONY_UUID_TEXT_LEN;

    news->ttl = (uint64_t) ngx_atoof(p, NGX_PHRONY_NEWS_DIGITS);
}


static ngx_uint_t
ngx_phrony_news_read_id(u_char *p, phrony_uuid_t *id)
{
    phrony_str_t  text;

    text.data = p;
    text.len = PHRONY_UUID_TEXT_LEN;

    return phrony_uuid_parse(&text, id) == 0;
}
