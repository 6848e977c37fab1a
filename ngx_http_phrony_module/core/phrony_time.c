
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "phrony_time.h"


#define PHRONY_TIME_DAY    86400
#define PHRONY_TIME_EPOCH  865259   /* days to 1970-01-01 from -400-01-01 */


typedef struct {
    int  year;
    int  month;
    int  day;
    int  hour;
    int  minute;
    int  second;
    int  ms;
    int  offset;                    /* seconds east of UTC */
} phrony_time_fields_t;


static int phrony_time_read(const phrony_str_t *text,
    phrony_time_fields_t *fields, int64_t *seconds);
static int phrony_time_number(const unsigned char *p, size_t n);
static int phrony_time_date(const unsigned char *p,
    phrony_time_fields_t *fields);
static int phrony_time_clock(const unsigned char *p,
    phrony_time_fields_t *fields);
static int phrony_time_zone(const unsigned char *p, size_t len,
    phrony_time_fields_t *fields);
static int phrony_time_ms(const unsigned char *p, size_t n);
static int phrony_time_month_days(int year, int month);
static int64_t phrony_time_days(const phrony_time_fields_t *fields);


int
phrony_time_parse(const phrony_str_t *text, int64_t *seconds)
{
    phrony_time_fields_t  fields;

    return phrony_time_read(text, &fields, seconds);
}


int
phrony_time_parse_ms(const phrony_str_t *text, int64_t *ms)
{
    int64_t               seconds;
    phrony_time_fields_t  fields;

    if (phrony_time_read(text, &fields, &seconds) == -1) {
        return -1;
    }

    *ms = seconds * 1000 + fields.ms;

    return 0;
}


static int
phrony_time_read(const phrony_str_t *text, phrony_time_fields_t *fields,
    int64_t *seconds)
{
    size_t                len;
    int64_t               value;
    const unsigned char  *p;

    p = text->data;
    len = text->len;

    /* the shortest is "2031-05-04T12:00:00Z" */

    if (len < sizeof("yyyy-mm-ddThh:mm:ssZ") - 1) {
        return -1;
    }

    if (phrony_time_date(p, fields) == -1
        || phrony_lower(p[10]) != 't'
        || phrony_time_clock(p + 11, fields) == -1
        || phrony_time_zone(p + 19, len - 19, fields) == -1)
    {
        return -1;
    }

    value = phrony_time_days(fields) * PHRONY_TIME_DAY
            + fields->hour * 3600 + fields->minute * 60 + fields->second
            - fields->offset;

    if (fields->second == 60 && value % PHRONY_TIME_DAY != 0) {
        return -1;
    }

    *seconds = value;

    return 0;
}


/* The value of "n" decimal digits, or -1 if they are not. */

static int
phrony_time_number(const unsigned char *p, size_t n)
{
    int     value;
    size_t  i;

    value = 0;

    for (i = 0; i < n; i++) {
        if (p[i] < '0' || p[i] > '9') {
            return -1;
        }

        value = value * 10 + (p[i] - '0');
    }

    return value;
}


static int
phrony_time_date(const unsigned char *p, phrony_time_fields_t *fields)
{
    fields->year = phrony_time_number(p, 4);
    fields->month = phrony_time_number(p + 5, 2);
    fields->day = phrony_time_number(p + 8, 2);

    if (p[4] != '-' || p[7] != '-' || fields->year < 0) {
        return -1;
    }

    if (fields->month < 1 || fields->month > 12) {
        return -1;
    }

    if (fields->day < 1
        || fields->day > phrony_time_month_days(fields->year, fields->month))
    {
        return -1;
    }

    return 0;
}


static int
phrony_time_clock(const unsigned char *p, phrony_time_fields_t *fields)
{
    fields->hour = phrony_time_number(p, 2);
    fields->minute = phrony_time_number(p + 3, 2);
    fields->second = phrony_time_number(p + 6, 2);

    if (p[2] != ':' || p[5] != ':') {
        return -1;
    }

    if (fields->hour < 0 || fields->hour > 23
        || fields->minute < 0 || fields->minute > 59
        || fields->second < 0 || fields->second > 60)
    {
        return -1;
    }

    return 0;
}


/* What follows the seconds: an optional fraction, then "Z" or an offset. */

static int
phrony_time_zone(const unsigned char *p, size_t len,
    phrony_time_fields_t *fields)
{
    int     hour, minute;
    size_t  n;

    fields->ms = 0;

    if (p[0] == '.') {
        for (n = 1; n < len && p[n] >= '0' && p[n] <= '9'; n++) { /* void */ }

        if (n == 1) {
            return -1;
        }

        fields->ms = phrony_time_ms(p + 1, n - 1);

        p += n;
        len -= n;
    }

    if (len == 1 && phrony_lower(p[0]) == 'z') {
        fields->offset = 0;
        return 0;
    }

    if (len != 6 || (p[0] != '+' && p[0] != '-') || p[3] != ':') {
        return -1;
    }

    hour = phrony_time_number(p + 1, 2);
    minute = phrony_time_number(p + 4, 2);

    if (hour < 0 || hour > 23 || minute < 0 || minute > 59) {
        return -1;
    }

    fields->offset = (hour * 60 + minute) * (p[0] == '+' ? 60 : -60);

    return 0;
}


/* The value of the first three of "n" digits, as if at least three. */

static int
phrony_time_ms(const unsigned char *p, size_t n)
{
    int     ms;
    size_t  i;

    ms = 0;

    for (i = 0; i < 3; i++) {
        ms = ms * 10 + (i < n ? p[i] - '0' : 0);
    }

    return ms;
}


static int
phrony_time_month_days(int year, int month)
{
    if (month == 2) {
        return (year % 4 == 0 && (year % 100 != 0 || year % 400 == 0))
               ? 29 : 28;
    }

    return (month == 4 || month == 6 || month == 9 || month == 11) ? 30 : 31;
}


/* Days from 1970-01-01 to the date, by the Gregorian calendar's rule. */

static int64_t
phrony_time_days(const phrony_time_fields_t *fields)
{
    int      month;
    int64_t  days, years;

    /* the whole years before, counted from -400 so that none is negative */

    years = fields->year + 399;
    days = years * 365 + years / 4 - years / 100 + years / 400;

    for (month = 1; month < fields->month; month++) {
        days += phrony_time_month_days(fields->year, month);
    }

    return days + fields->day - 1 - PHRONY_TIME_EPOCH;
}
