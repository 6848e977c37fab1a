
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef PHRONY_TIME_H_
#define PHRONY_TIME_H_


#include "phrony_str.h"


PHRONY_HIDDEN_BEGIN


/*
 * Reads a date and time of RFC 3339, section 5.6, years 0000 to 9999, such
 * as "2031-05-04T12:00:00Z" or "2031-05-04t14:00:00.250+02:00", into seconds
 * since 1970-01-01T00:00:00Z.  A fraction is cut off; second 60 is accepted
 * in the last minute of a UTC day, where leap seconds are, and is the next
 * day's first.  Nothing may stand before or after the text.
 * Returns 0, or -1 and leaves "seconds" as it was.
 */

int phrony_time_parse(const phrony_str_t *text, int64_t *seconds);


/* The same in milliseconds; what a fraction has beyond them is cut off. */

int phrony_time_parse_ms(const phrony_str_t *text, int64_t *ms);


PHRONY_HIDDEN_END


#endif /* PHRONY_TIME_H_ */
