
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef PHRONY_SCRIPTS_H_
#define PHRONY_SCRIPTS_H_


#include "../core/phrony_str.h"


#define PHRONY_SCRIPT_SHA1_LEN  40


PHRONY_HIDDEN_BEGIN


/*
 * The scripts that run within Redis.  phrony_scripts.c is made of the *.lua
 * beside it by tools/make-scripts; what each is given and answers stands at
 * its head.
 */

typedef enum {
    PHRONY_SCRIPT_ADMIT = 0,    /* a start: delivery, windows, lease; and
                                   settlements */
    PHRONY_SCRIPT_DELIVER,      /* what became of a delivery */
    PHRONY_SCRIPT_READ,         /* a counted read */
    PHRONY_SCRIPT_SETTLE,       /* what became of leases and runs */
    PHRONY_SCRIPT_SUSPECTS,     /* which runs may have ended unseen */
    PHRONY_SCRIPT_TELL,         /* what was counted without Redis */
    PHRONY_SCRIPT_MAX
} phrony_script_id_t;


typedef struct {
    const char           *name;                         /* "admit" */
    phrony_str_t          text;
    char                  sha1[PHRONY_SCRIPT_SHA1_LEN + 1]; /* of the text */
} phrony_script_t;


extern const phrony_script_t  phrony_scripts[PHRONY_SCRIPT_MAX];


PHRONY_HIDDEN_END


#endif /* PHRONY_SCRIPTS_H_ */
