
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef EVENTS_MODEL_H_
#define EVENTS_MODEL_H_


/*
 * What phrony_events.h promises, a second time and in another way: the whole
 * stream lies in memory, its lines are made alike and joined, and each event's
 * data goes through the parser.  Of what the parser does not take, nothing is
 * said: it is either of the two.
 */


#include <jansson.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>


#define MODEL_SUBJECT_MAX  64


typedef struct {
    const char  *run;
    int          ended;         /* surely */
    int          seen;
    int          unsure;        /* there was an event that is no JSON */

    char        *data;          /* of the event that is being read */
    size_t       len;
} model_t;


static inline int
model_ends_with(const json_t *text, const char *end)
{
    size_t  len, end_len;

    len = json_string_length(text);
    end_len = strlen(end);

    return len >= end_len && len <= MODEL_SUBJECT_MAX
           && memcmp(json_string_value(text) + len - end_len, end, end_len)
              == 0;
}


static inline int
model_is_end(const json_t *root)
{
    json_t  *kind, *subject;

    kind = json_object_get(root, "kind");
    subject = json_object_get(root, "subject");

    return (strcmp(json_string_value(kind), "run") == 0
            || strcmp(json_string_value(kind), "session") == 0)
           && strlen(json_string_value(kind)) == json_string_length(kind)
           && (model_ends_with(subject, ".completed")
               || model_ends_with(subject, ".failed")
               || model_ends_with(subject, ".cancelled")
               || model_ends_with(subject, ".terminated"));
}


static inline int
model_names_run(const json_t *data, const char *run)
{
    json_t  *id;

    id = json_object_get(data, "runId");

    if (!json_is_string(id)) {
        id = json_object_get(data, "run_id");
    }

    if (!json_is_string(id)) {
        id = json_object_get(data, "id");
    }

    return json_is_string(id)
           && json_string_length(id) == strlen(run)
           && strcasecmp(json_string_value(id), run) == 0;
}


static inline void
model_dispatch(model_t *model)
{
    json_t  *root;

    if (model->len == 0) {
        return;
    }

    /* without the last LF; the parser skips a NUL that follows a number */

    root = NULL;

    if (memchr(model->data, '\0', model->len) == NULL) {
        root = json_loadb(model->data, model->len - 1,
                          JSON_ALLOW_NUL|JSON_DECODE_ANY, NULL);
    }

    model->len = 0;

    if (root == NULL) {
        model->unsure = 1;
        return;
    }

    if (json_is_string(json_object_get(root, "kind"))
        && json_is_string(json_object_get(root, "subject"))
        && model_names_run(json_object_get(root, "data"), model->run))
    {
        model->seen = 1;

        if (model_is_end(root)) {
            model->ended = 1;
        }
    }

    json_decref(root);
}


static inline void
model_line(model_t *model, const char *line, size_t len)
{
    size_t       name_len;
    const char  *colon;

    if (len == 0) {
        model_dispatch(model);
        return;
    }

    colon = memchr(line, ':', len);
    name_len = colon ? (size_t) (colon - line) : len;

    if (name_len != 4 || memcmp(line, "data", 4) != 0) {
        return;
    }

    name_len += (colon != NULL);
    line += name_len;
    len -= name_len;

    if (len && *line == ' ') {
        line++;
        len--;
    }

    memcpy(model->data + model->len, line, len);
    model->data[model->len + len] = '\n';
    model->len += len + 1;
}


/* Makes each line's end a LF; returns the new length. */

static inline size_t
model_normalize(char *out, const char *data, size_t len)
{
    size_t  i, n;

    n = 0;

    for (i = 0; i < len; i++) {

        if (data[i] == '\n' && i && data[i - 1] == '\r') {
            continue;
        }

        out[n++] = (data[i] == '\r') ? '\n' : data[i];
    }

    return n;
}


static inline void
model_stream(model_t *model, const char *data, size_t len, const char *run)
{
    char  *text, *p, *end, *last;

    memset(model, 0, sizeof(*model));

    if (len >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0) {
        data += 3;
        len -= 3;
    }

    text = malloc(len + 1);
    model->data = malloc(len + 1);
    model->run = run;

    if (text == NULL || model->data == NULL) {
        abort();
    }

    last = text + model_normalize(text, data, len);

    for (p = text; p < last; p = end + 1) {
        end = memchr(p, '\n', (size_t) (last - p));

        if (end == NULL) {
            break;
        }

        model_line(model, p, (size_t) (end - p));
    }

    free(text);
    free(model->data);
    model->data = NULL;
}


/* Returns 1 if what was found may be so, else 0. */

static inline int
model_agrees(const model_t *model, int ended, int seen)
{
    return ended >= model->ended && seen >= model->seen && seen >= ended
           && (model->unsure
               || (ended == model->ended && seen == model->seen));
}


#endif /* EVENTS_MODEL_H_ */
