
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef PHRONY_OUTLINE_H_
#define PHRONY_OUTLINE_H_


#include "phrony_brackets.h"
#include "phrony_text.h"


PHRONY_HIDDEN_BEGIN


/*
 * The outer structure of a JSON object, read while it passes by in pieces of
 * any size, without keeping it: nested values and long strings are skipped,
 * whatever their size.  It is told where the values of some top-level members
 * begin and end; escapes in names are decoded.  An object that is the value of
 * such a member can be entered, and is then read as the outer one is.  What is
 * proved is the outer structure (one object, balanced brackets, ended strings,
 * nothing after it but white space), not the grammar of what is skipped.
 *
 *               +------------------------------------------> END
 *               |                                             ^
 *     START --> FIRST --> NAME --> COLON --> VALUE            |
 *       |                  ^                   |              |
 *       |                  |        TEXT, STRING, SCALAR,     |
 *       |                  |        NESTED                    |
 *       |                  |                   |              |
 *       |                MEMBER <----------- COMMA -----------+
 *       |
 *       +--- not "{" ---> OTHER
 *
 *     any state but OTHER and END's white space ---> BROKEN
 *
 * NAME and TEXT that are not here as a whole go on in NAME_REST, TEXT_REST.
 * In an object that is entered the states are the same, on level 1: it begins
 * with INNER, which becomes FIRST at once, and ends in the outer one's COMMA.
 */

typedef enum {
    PHRONY_OUTLINE_START = 0,   /* before the object */
    PHRONY_OUTLINE_FIRST,       /* after its "{" */
    PHRONY_OUTLINE_MEMBER,      /* after a "," */
    PHRONY_OUTLINE_NAME,        /* at the first byte of a member's name */
    PHRONY_OUTLINE_NAME_REST,   /* further in it */
    PHRONY_OUTLINE_COLON,       /* after the name */
    PHRONY_OUTLINE_VALUE,       /* after the ":" */
    PHRONY_OUTLINE_TEXT,        /* at the first byte of a string to decode */
    PHRONY_OUTLINE_TEXT_REST,   /* further in it */
    PHRONY_OUTLINE_STRING,      /* in any other */
    PHRONY_OUTLINE_SCALAR,      /* in a number or a literal */
    PHRONY_OUTLINE_NESTED,      /* in an array or an object */
    PHRONY_OUTLINE_INNER,       /* after the "{" of one to enter */
    PHRONY_OUTLINE_COMMA,       /* after a value */
    PHRONY_OUTLINE_END,         /* after the object */
    PHRONY_OUTLINE_OTHER,       /* there is none */
    PHRONY_OUTLINE_BROKEN
} phrony_outline_state_t;


/* What phrony_outline_next() stopped at. */

typedef enum {
    PHRONY_OUTLINE_ON_MORE = 0, /* nothing: all is read */
    PHRONY_OUTLINE_ON_VALUE,    /* behind the first byte of a value */
    PHRONY_OUTLINE_ON_REST,     /* behind the last byte of a value */
    PHRONY_OUTLINE_ON_CLOSE     /* behind the object's "}" */
} phrony_outline_event_t;


/* What is told of a member that is looked for. */

typedef enum {
    PHRONY_OUTLINE_WHOLE = 0,   /* ON_REST with the text, if it is one */
    PHRONY_OUTLINE_BOUNDS,      /* ON_VALUE and ON_REST, without it */
    PHRONY_OUTLINE_ENTER        /* the same; between them, if it is an object,
                                   what is looked for in it */
} phrony_outline_want_t;


typedef struct {
    phrony_str_t            name;
    phrony_outline_want_t   want;
} phrony_outline_name_t;


typedef struct {
    unsigned char                 state;
    unsigned char                 escape;   /* a skipped string's */
    unsigned char                 empty;    /* it ended without a member */
    unsigned char                 level;    /* 1: in one that was entered */
    phrony_brackets_t             brackets; /* of a skipped value */
    const phrony_outline_name_t  *names;    /* what is looked for here */
    size_t                        n;        /* how many of them */
    const phrony_outline_name_t  *other;    /* what is, on the other level */
    size_t                        n_other;
    const phrony_outline_name_t  *entered;  /* the member, on level 1 */
    const phrony_outline_name_t  *member;   /* whose value is read, or NULL */
    phrony_text_t                 text;     /* a name, or a value */
} phrony_outline_t;


/*
 * Makes ready for the first byte of an object, in which the top-level members
 * of "n" names are looked for.  The names stay the caller's, and must stay.
 */

void phrony_outline_init(phrony_outline_t *outline,
    const phrony_outline_name_t *names, size_t n);


/*
 * Says after phrony_outline_init() what is looked for in the objects that are
 * the values of ENTER members: "n" names, none of them an ENTER.  They stay
 * the caller's, and must stay.  Without this nothing is.
 */

void phrony_outline_inner(phrony_outline_t *outline,
    const phrony_outline_name_t *names, size_t n);


/*
 * Reads on in a piece, up to the next thing to tell, and leaves in "in" what
 * is behind it; the caller calls again, with more when ON_MORE is returned.
 * "member" is the one that ON_VALUE and ON_REST are about.  On ON_REST of a
 * WHOLE, "text" is the decoded string: it is empty if the string could not be
 * decoded or is long, and its data is NULL if the value is no string.  It is
 * valid until the next call, and as long as the piece.
 * Never fails and never allocates; costs nothing once all is known.
 */

phrony_outline_event_t phrony_outline_next(phrony_outline_t *outline,
    phrony_str_t *in, phrony_str_t *text);


/*
 * Returns 1 if what was read ends within a string, a name or a value, where no
 * line of JSON can end; else 0.
 */

static inline int
phrony_outline_in_string(const phrony_outline_t *outline)
{
    return (0x1 << PHRONY_OUTLINE_NAME | 0x1 << PHRONY_OUTLINE_NAME_REST
            | 0x1 << PHRONY_OUTLINE_TEXT | 0x1 << PHRONY_OUTLINE_TEXT_REST
            | 0x1 << PHRONY_OUTLINE_STRING
            | outline->brackets.string << PHRONY_OUTLINE_NESTED)
           >> outline->state & 1;
}


/* Returns 1 if what was read is one whole object, else 0. */

static inline int
phrony_outline_done(const phrony_outline_t *outline)
{
    return outline->state == PHRONY_OUTLINE_END;
}


PHRONY_HIDDEN_END


#endif /* PHRONY_OUTLINE_H_ */
