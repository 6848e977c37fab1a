
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef CTL_OUTPUT_H_
#define CTL_OUTPUT_H_


#include <stdio.h>

#include "ctl.h"


#define CTL_COLUMNS_MAX  12
#define CTL_ROWS_MAX     500        /* that wait for their columns' widths */


typedef enum {
    CTL_PLAIN = 0,
    CTL_BOLD,
    CTL_DIM,
    CTL_RED,
    CTL_YELLOW,
    CTL_GREEN
} ctl_style_t;


typedef struct {
    ctl_style_t    style;
    char          *text;
} ctl_cell_t;


/*
 * A table for people.  Rows are kept until CTL_ROWS_MAX of them are there, or
 * the end, so that columns are aligned however many rows follow.
 */

typedef struct {
    ctl_t         *ctl;
    size_t         ncolumns;
    const char    *columns[CTL_COLUMNS_MAX];    /* "<" or ">" and the title */
    size_t         widths[CTL_COLUMNS_MAX];
    ctl_cell_t    *cells;
    size_t         ncells;
    size_t         rows;                        /* all in all */
    unsigned       titled:1;
} ctl_table_t;


/*
 * A list: as a table, or with --json as an array whose elements stand in
 * lines of their own, written as they come.
 */

typedef struct {
    ctl_t         *ctl;
    size_t         n;
} ctl_list_t;


/* How far a long work is, on stderr. */

typedef struct {
    const char    *what;
    size_t         done;
    size_t         total;           /* 0: not known */
    int64_t        shown;           /* ms */
    int64_t        began;
    unsigned       on:1;
} ctl_progress_t;


/* Memory that there is, or the program ends. */

void *ctl_alloc(size_t size);
void *ctl_grow(void *p, size_t size);
char *ctl_copy(const char *text);
char *ctl_copy_str(const phrony_str_t *text);


/*
 * Says "phronyctl: ..." on stderr, and with --json {"error": "..."} on stdout
 * if nothing is there yet.  Returns the code.
 */

ctl_code_t ctl_fail(ctl_t *ctl, ctl_code_t code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));


/* Says something on stderr, unless --quiet. */

void ctl_note(const ctl_t *ctl, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));


/* Prints the only document, which is this function's then. */

void ctl_print(ctl_t *ctl, json_t *document);


/* Text of others, fit for a terminal: "\x0a" for what is not ASCII. */

const char *ctl_safe(char *buf, size_t size, const char *text);


/* Prints a member of a record, likewise fit for a terminal. */

void ctl_line(const char *name, int width, const char *text);


/* Prints "  name old -> new" if they differ; NULL is none. */

void ctl_change(const char *name, const json_t *old, const json_t *value);

/* Likewise all members of two records, those of "record" first. */

void ctl_changes(const json_t *old, const json_t *record);


void ctl_list_begin(ctl_list_t *list, ctl_t *ctl);
void ctl_list_add(ctl_list_t *list, json_t *element);
void ctl_list_end(ctl_list_t *list);


/* Columns are words separated by "|", each with "<" or ">" in front. */

void ctl_table_begin(ctl_table_t *table, ctl_t *ctl, const char *columns);

void ctl_table_cell(ctl_table_t *table, ctl_style_t style, const char *fmt,
    ...) __attribute__((format(printf, 3, 4)));

void ctl_table_end(ctl_table_t *table);


/* What switches a style on, or all off (CTL_PLAIN); "" without colours. */

const char *ctl_style(const ctl_t *ctl, ctl_style_t style);


/* Ms as "3d 4h", "12m 5s", "250ms"; "-" if it is below zero. */

const char *ctl_duration(char *buf, size_t size, int64_t ms);


/* The clock of this machine, ms since 1970. */

int64_t ctl_now(void);


void ctl_progress_begin(ctl_progress_t *progress, const ctl_t *ctl,
    const char *what, size_t total);
void ctl_progress_step(ctl_progress_t *progress, size_t n);
void ctl_progress_end(ctl_progress_t *progress);


#endif /* CTL_OUTPUT_H_ */
