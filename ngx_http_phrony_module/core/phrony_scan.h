
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef PHRONY_SCAN_H_
#define PHRONY_SCAN_H_


#include "phrony_str.h"


PHRONY_HIDDEN_BEGIN


/* Reading a short text from left to right; a view shrinks as it is read. */


/* Returns 1 if "text" begins with "prefix", else 0. */

int phrony_scan_begins(const phrony_str_t *text, const phrony_str_t *prefix);


/* Returns 1 if "ch" is in "text", else 0. */

int phrony_scan_has(const phrony_str_t *text, char ch);


/*
 * Cuts "text" at the first "ch": what is before it becomes "head", what is
 * behind it "text".  Returns 1; or 0 if there is none: then all of it becomes
 * "head", and "text" is empty.
 */

int phrony_scan_cut(phrony_str_t *text, char ch, phrony_str_t *head);


/* Leaves out the first "n" bytes, of which there must be as many. */

void phrony_scan_skip(phrony_str_t *text, size_t n);


/*
 * Returns 1 if all bytes are ASCII letters, digits or one of "marks", else 0.
 * An empty text is, too, here and below.
 */

int phrony_scan_is_plain(const phrony_str_t *text, const char *marks);


/* Returns 1 if all bytes are decimal digits, else 0. */

int phrony_scan_is_digits(const phrony_str_t *text);


/*
 * Reads all of "text" as a decimal number without leading zeros.  Returns 0;
 * or -1, and leaves "number" as it is, if it is none or is above "max".
 */

int phrony_scan_number(const phrony_str_t *text, unsigned max,
    unsigned *number);


PHRONY_HIDDEN_END


#endif /* PHRONY_SCAN_H_ */
