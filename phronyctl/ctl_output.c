
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include <stdarg.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "phrony_record.h"

#include "ctl_options.h"
#include "ctl_output.h"


#define CTL_PROGRESS_BAR  24
#define CTL_CELL_LEN      512


static void ctl_table_flush(ctl_table_t *table);
static void ctl_table_line(ctl_table_t *table, const ctl_cell_t *cells);
static void ctl_progress_show(ctl_progress_t *progress);


void *
ctl_alloc(size_t size)
{
    return ctl_grow(NULL, size);
}


void *
ctl_grow(void *p, size_t size)
{
    p = realloc(p, size ? size : 1);

    if (p == NULL) {
        fputs("phronyctl: no memory\n", stderr);
        exit(CTL_REFUSED);
    }

    return p;
}


char *
ctl_copy(const char *text)
{
    size_t  len;

    len = strlen(text) + 1;

    return memcpy(ctl_alloc(len), text, len);
}


char *
ctl_copy_str(const phrony_str_t *text)
{
    char  *copy;

    copy = ctl_alloc(text->len + 1);

    if (text->len) {
        memcpy(copy, text->data, text->len);
    }

    copy[text->len] = '\0';

    return copy;
}


ctl_code_t
ctl_fail(ctl_t *ctl, ctl_code_t code, const char *fmt, ...)
{
    char     text[CTL_ERROR_LEN], *p;
    va_list  args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);

    /* names of hosts come from Redis, too */

    for (p = text; *p; p++) {
        if ((unsigned char) *p < 0x20 || *p == 0x7f) {
            *p = '?';
        }
    }

    fprintf(stderr, "phronyctl: %s\n", text);

    if (ctl->json && !ctl->printed) {
        ctl_print(ctl, json_pack("{s:s}", "error", text));
    }

    return code;
}


void
ctl_note(const ctl_t *ctl, const char *fmt, ...)
{
    va_list  args;

    if (ctl->quiet) {
        return;
    }

    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);

    fputc('\n', stderr);
}


void
ctl_print(ctl_t *ctl, json_t *document)
{
    ctl->printed = 1;

    json_dumpf(document, stdout, JSON_ENSURE_ASCII
               | (isatty(STDOUT_FILENO) ? JSON_INDENT(2) : JSON_COMPACT));
    putchar('\n');

    json_decref(document);
}


const char *
ctl_safe(char *buf, size_t size, const char *text)
{
    phrony_str_t  str;

    str.data = (unsigned char *) text;
    str.len = strlen(text);

    return phrony_record_print(buf, size, &str);
}


void
ctl_line(const char *name, int width, const char *text)
{
    char  safe[CTL_CELL_LEN];

    printf("%-*s  %s\n", width, name, ctl_safe(safe, sizeof(safe), text));
}


void
ctl_change(const char *name, const json_t *old, const json_t *value)
{
    char  safe[64], *before, *after;

    if (old == value || json_equal(old, value)) {
        return;
    }

    before = json_dumps(old, JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
    after = json_dumps(value, JSON_ENCODE_ANY | JSON_ENSURE_ASCII);

    printf("  %-18s %s -> %s\n", ctl_safe(safe, sizeof(safe), name),
           before ? before : "none", after ? after : "none");

    free(before);
    free(after);
}


void
ctl_changes(const json_t *old, const json_t *record)
{
    json_t      *value;
    const char  *name;

    json_object_foreach((json_t *) record, name, value) {
        ctl_change(name, json_object_get(old, name), value);
    }

    json_object_foreach((json_t *) old, name, value) {
        if (json_object_get(record, name) == NULL) {
            ctl_change(name, value, NULL);
        }
    }
}


void
ctl_list_begin(ctl_list_t *list, ctl_t *ctl)
{
    list->ctl = ctl;
    list->n = 0;
}


void
ctl_list_add(ctl_list_t *list, json_t *element)
{
    fputs(list->n++ ? ",\n" : "[\n", stdout);
    json_dumpf(element, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);

    list->ctl->printed = 1;
}


void
ctl_list_end(ctl_list_t *list)
{
    fputs(list->n ? "\n]\n" : "[]\n", stdout);

    list->ctl->printed = 1;
}


void
ctl_table_begin(ctl_table_t *table, ctl_t *ctl, const char *columns)
{
    char  *text, *next;

    memset(table, 0, sizeof(ctl_table_t));
    table->ctl = ctl;

    for (text = ctl_copy(columns); text; text = next) {
        next = strchr(text, '|');

        if (next) {
            *next++ = '\0';
        }

        table->widths[table->ncolumns] = strlen(text) - 1;
        table->columns[table->ncolumns++] = text;
    }

    table->cells = ctl_alloc(table->ncolumns * CTL_ROWS_MAX
                             * sizeof(ctl_cell_t));
}


void
ctl_table_cell(ctl_table_t *table, ctl_style_t style, const char *fmt, ...)
{
    char         text[CTL_CELL_LEN], safe[CTL_CELL_LEN];
    size_t       len, column;
    va_list      args;
    ctl_cell_t  *cell;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);

    column = table->ncells % table->ncolumns;

    if (column == 0 && table->ncells == table->ncolumns * CTL_ROWS_MAX) {
        ctl_table_flush(table);
    }

    cell = &table->cells[table->ncells++];
    cell->style = style;
    cell->text = ctl_copy(ctl_safe(safe, sizeof(safe), text));

    len = strlen(cell->text);

    if (len > table->widths[column]) {
        table->widths[column] = len;
    }

    if (column == 0) {
        table->rows++;
    }
}


void
ctl_table_end(ctl_table_t *table)
{
    ctl_table_flush(table);

    free((char *) table->columns[0]);
    free(table->cells);
}


static void
ctl_table_flush(ctl_table_t *table)
{
    size_t       i;
    ctl_cell_t   titles[CTL_COLUMNS_MAX];

    if (!table->titled) {
        table->titled = 1;

        for (i = 0; i < table->ncolumns; i++) {
            titles[i].style = CTL_BOLD;
            titles[i].text = (char *) table->columns[i] + 1;
        }

        ctl_table_line(table, titles);
    }

    for (i = 0; i < table->ncells; i += table->ncolumns) {
        ctl_table_line(table, &table->cells[i]);
    }

    for (i = 0; i < table->ncells; i++) {
        free(table->cells[i].text);
    }

    table->ncells = 0;
    table->ctl->printed = 1;
}


static void
ctl_table_line(ctl_table_t *table, const ctl_cell_t *cells)
{
    int     width;
    size_t  i;

    for (i = 0; i < table->ncolumns; i++) {
        width = (int) table->widths[i];

        if (table->columns[i][0] == '<') {
            width = (i + 1 == table->ncolumns) ? 0 : -width;
        }

        printf("%s%s%*s%s", i ? "  " : "",
               cells[i].style ? ctl_style(table->ctl, cells[i].style) : "",
               width, cells[i].text,
               cells[i].style ? ctl_style(table->ctl, CTL_PLAIN) : "");
    }

    putchar('\n');
}


const char *
ctl_style(const ctl_t *ctl, ctl_style_t style)
{
    static const char  *codes[] = {
        "\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[33m", "\x1b[32m"
    };

    return ctl->color ? codes[style] : "";
}


const char *
ctl_duration(char *buf, size_t size, int64_t ms)
{
    int64_t  s;

    s = ms / 1000;

    if (ms < 0) {
        snprintf(buf, size, "-");

    } else if (s == 0) {
        snprintf(buf, size, "%dms", (int) ms);

    } else if (s < 60) {
        snprintf(buf, size, "%ds", (int) s);

    } else if (s < 3600) {
        snprintf(buf, size, "%dm %ds", (int) (s / 60), (int) (s % 60));

    } else if (s < 86400) {
        snprintf(buf, size, "%dh %dm", (int) (s / 3600),
                 (int) (s % 3600 / 60));

    } else {
        snprintf(buf, size, "%lldd %dh", (long long) s / 86400,
                 (int) (s % 86400 / 3600));
    }

    return buf;
}


int64_t
ctl_now(void)
{
    struct timespec  now;

    clock_gettime(CLOCK_REALTIME, &now);

    return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}


void
ctl_progress_begin(ctl_progress_t *progress, const ctl_t *ctl,
    const char *what, size_t total)
{
    const char  *when;

    memset(progress, 0, sizeof(ctl_progress_t));
    progress->what = what;
    progress->total = total;
    progress->began = ctl_now();

    when = ctl_option(ctl, "progress");

    progress->on = !ctl->quiet
                   && (when == NULL || strcmp(when, "auto") == 0
                       ? isatty(STDERR_FILENO) : strcmp(when, "always") == 0);
}


void
ctl_progress_step(ctl_progress_t *progress, size_t n)
{
    int64_t  now;

    progress->done += n;

    if (!progress->on) {
        return;
    }

    now = ctl_now();

    if (now - progress->shown >= 100) {
        progress->shown = now;
        ctl_progress_show(progress);
    }
}


void
ctl_progress_end(ctl_progress_t *progress)
{
    if (progress->on) {
        ctl_progress_show(progress);
        fputc('\n', stderr);
    }
}


static void
ctl_progress_show(ctl_progress_t *progress)
{
    char     bar[CTL_PROGRESS_BAR + 1], took[32];
    size_t   full;
    int64_t  now;

    now = ctl_now();
    ctl_duration(took, sizeof(took), now - progress->began);

    if (progress->total == 0) {
        fprintf(stderr, "\r%s %zu, %s\x1b[K", progress->what, progress->done,
                took);
        return;
    }

    full = progress->done * CTL_PROGRESS_BAR / progress->total;

    if (full > CTL_PROGRESS_BAR) {
        full = CTL_PROGRESS_BAR;
    }

    memset(bar, ' ', CTL_PROGRESS_BAR);
    memset(bar, '#', full);
    bar[CTL_PROGRESS_BAR] = '\0';

    fprintf(stderr, "\r%s [%s] %zu/%zu, %s\x1b[K", progress->what, bar,
            progress->done, progress->total, took);
}
