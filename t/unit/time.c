
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "test.h"

#include "phrony_time.h"


typedef struct {
    const char  *text;
    int64_t      seconds;           /* or milliseconds */
} vector_t;


static void test_valid(void);
static void test_invalid(void);
static void test_every_day(void);
static void test_prefixes(void);
static void test_ms(void);
static int64_t parse(const char *text);


#define REFUSED  INT64_MIN


static const vector_t  valid[] = {
    { "1970-01-01T00:00:00Z", 0 },
    { "1970-01-01T00:00:01Z", 1 },
    { "1969-12-31T23:59:59Z", -1 },
    { "1985-04-12T23:20:50.52Z", 482196050 },
    { "1996-12-19T16:39:57-08:00", 851042397 },
    { "1990-12-31T23:59:60Z", 662688000 },
    { "1990-12-31T15:59:60-08:00", 662688000 },
    { "2016-12-31T23:59:60.999Z", 1483228800 },
    { "2017-01-01T05:29:60+05:30", 1483228800 },
    { "1937-01-01T12:00:27.87+00:20", -1041337173 },
    { "2000-02-29T12:00:00Z", 951825600 },
    { "2024-02-29T00:00:00Z", 1709164800 },
    { "2038-01-19T03:14:08Z", 2147483648 },
    { "2031-05-04t14:00:00z", 1935669600 },
    { "2031-05-04T14:00:00.000000000000000000000001Z", 1935669600 },
    { "2031-05-04T14:00:00-00:00", 1935669600 },
    { "2031-05-04T14:00:00+00:00", 1935669600 },
    { "2031-05-04T14:00:00+23:59", 1935669600 - 86340 },
    { "2031-05-04T14:00:00-23:59", 1935669600 + 86340 },
    { "0000-01-01T00:00:00Z", -62167219200 },
    { "0000-02-29T00:00:00Z", -62162121600 },
    { "0001-01-01T00:00:00Z", -62135596800 },
    { "9999-12-31T23:59:59Z", 253402300799 },
    { "9999-12-31T23:59:60Z", 253402300800 }
};


static const char  *invalid[] = {
    "", "Z", "2031", "2031-05-04", "2031-05-04Z", "14:00:00Z",
    "2031-05-04T14:00:00", "2031-05-04 14:00:00Z", "2031-05-04_14:00:00Z",
    "2031-05-04T14:00Z", "2031-05-04T14Z", "20310504T140000Z",
    "2031-5-04T14:00:00Z0", "2031-05-4T14:00:00Z0", "31-05-04T14:00:00Z00",
    "02031-05-04T14:00:00Z", "-031-05-04T14:00:00Z", "+031-05-04T14:00:00Z",
    "2031-00-04T14:00:00Z", "2031-13-04T14:00:00Z", "2031-05-00T14:00:00Z",
    "2031-05-32T14:00:00Z", "2031-04-31T14:00:00Z", "2031-06-31T14:00:00Z",
    "2031-09-31T14:00:00Z", "2031-11-31T14:00:00Z", "2031-02-29T14:00:00Z",
    "2100-02-29T14:00:00Z", "1900-02-29T14:00:00Z", "2024-02-30T14:00:00Z",
    "2031-05-04T24:00:00Z", "2031-05-04T14:60:00Z", "2031-05-04T14:00:61Z",
    "2031-05-04T14:00:60Z", "2031-05-04T23:58:60Z", "2031-05-04T22:59:60Z",
    "2016-12-31T23:59:60+01:00", "2031-05-04T14:00:00.Z",
    "2031-05-04T14:00:00.", "2031-05-04T14:00:00.5", "2031-05-04T14:00:00,5Z",
    "2031-05-04T14:00:00.5.5Z", "2031-05-04T14:00:00+0000",
    "2031-05-04T14:00:00+00", "2031-05-04T14:00:00+00:0",
    "2031-05-04T14:00:00+00:000", "2031-05-04T14:00:00+24:00",
    "2031-05-04T14:00:00+00:60", "2031-05-04T14:00:00~00:00",
    "2031-05-04T14:00:00+00-00", "2031-05-04T14:00:00+-1:00",
    "2031-05-04T14:00:00ZZ", "2031-05-04T14:00:00Z ", " 2031-05-04T14:00:00Z",
    "2031-05-04T14:00:00Y", "2031/05/04T14:00:00Z", "2031-05/04T14:00:00Z",
    "2031-05-04T14.00:00Z", "2031-05-04T14:00.00Z", "2031-05-04T-1:00:00Z",
    "2031-05-04T14:-1:00Z", "2031-05-04T14:00:-1Z", "2031-05-04T14:00: 1Z",
    "2031-05-0aT14:00:00Z", "2031-a5-04T14:00:00Z", "a031-05-04T14:00:00Z"
};


int
main(void)
{
    test_valid();
    test_invalid();
    test_every_day();
    test_prefixes();
    test_ms();

    return done();
}


static void
test_valid(void)
{
    size_t  i;

    for (i = 0; i < sizeof(valid) / sizeof(valid[0]); i++) {
        is_int(parse(valid[i].text), valid[i].seconds, valid[i].text);
    }
}


static void
test_invalid(void)
{
    size_t  i;

    for (i = 0; i < sizeof(invalid) / sizeof(invalid[0]); i++) {
        ok(parse(invalid[i]) == REFUSED, "\"%s\" is refused", invalid[i]);
    }
}


/* Each date from the year 0 to 9999 is a day after the one before it. */

static void
test_every_day(void)
{
    int      year, month, day, days, wrong;
    char     text[64];
    int64_t  expected;

    expected = -62167219200;
    days = 0;
    wrong = 0;

    for (year = 0; year <= 9999; year++) {
        for (month = 0; month <= 13; month++) {
            for (day = 0; day <= 32; day++) {
                snprintf(text, sizeof(text), "%04d-%02d-%02dT00:00:00Z",
                         year, month, day);

                if (parse(text) == REFUSED) {
                    continue;
                }

                wrong += (parse(text) != expected);
                expected += 86400;
                days++;
            }
        }
    }

    is_int(wrong, 0, "each day follows the one before");
    is_int(days, 25 * 146097, "10,000 years are 25 cycles of 400");
}


/* No shorter text of a valid one is read beyond its end, or accepted. */

static void
test_prefixes(void)
{
    size_t         len;
    int64_t        seconds;
    phrony_str_t   text, whole;

    whole = str("2031-05-04T14:00:00.25+01:00");

    for (len = 0; len < whole.len; len++) {
        text.len = len;
        text.data = malloc(len + (len == 0));
        memcpy(text.data, whole.data, len);
        seconds = 7;

        ok(phrony_time_parse(&text, &seconds) == -1 && seconds == 7,
           "the first %zu bytes", len);

        free(text.data);
    }
}


static void
test_ms(void)
{
    size_t        i;
    int64_t       ms;
    phrony_str_t  text;

    static const vector_t  vectors[] = {
        { "1970-01-01T00:00:00Z", 0 },
        { "1970-01-01T00:00:01.2Z", 1200 },
        { "1970-01-01T00:00:01.25Z", 1250 },
        { "1970-01-01T00:00:01.257Z", 1257 },
        { "1970-01-01T00:00:01.2579+00:00", 1257 },
        { "1970-01-01T01:00:01.007999999+01:00", 1007 },
        { "1970-01-01T00:00:01.000Z", 1000 },
        { "1969-12-31T23:59:59.999Z", -1 },
        { "1990-12-31T23:59:60.5Z", 662688000500 },
        { "9999-12-31T23:59:60.999Z", 253402300800999 }
    };

    for (i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        text = str(vectors[i].text);
        ms = REFUSED;

        is_int(phrony_time_parse_ms(&text, &ms), 0, vectors[i].text);
        is_int(ms, vectors[i].seconds, "its milliseconds");
    }

    for (i = 0; i < sizeof(invalid) / sizeof(invalid[0]); i++) {
        text = str(invalid[i]);
        ms = 7;

        ok(phrony_time_parse_ms(&text, &ms) == -1 && ms == 7,
           "\"%s\" has no milliseconds", invalid[i]);
    }
}


static int64_t
parse(const char *text)
{
    int64_t       seconds;
    phrony_str_t  s;

    s = str(text);
    seconds = 42;

    if (phrony_time_parse(&s, &seconds) == 0) {
        return seconds;
    }

    return (seconds == 42) ? REFUSED : REFUSED + 1;
}
