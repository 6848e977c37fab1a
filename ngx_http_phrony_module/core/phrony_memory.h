
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef PHRONY_MEMORY_H_
#define PHRONY_MEMORY_H_


#include "phrony_str.h"


#define PHRONY_MEMORY_ALIGN  64                     /* a line of the cache */
#define PHRONY_MEMORY_PAGE   ((size_t) 2 << 20)     /* a huge page */
#define PHRONY_MEMORY_LARGE  (2 * PHRONY_MEMORY_PAGE)


PHRONY_HIDDEN_BEGIN


/*
 * Memory for arrays that are read at random.  Returns "n" bytes, n > 0, all
 * of them 0, at a multiple of PHRONY_MEMORY_ALIGN; NULL if there are none.
 *
 * From PHRONY_MEMORY_LARGE on it is a mapping of its own, at a multiple of
 * PHRONY_MEMORY_PAGE, for which huge pages are asked where the system has
 * them: the array then takes a few entries of the TLB instead of one for
 * each 4 KiB.  Whether it gets them makes no difference but in speed.
 */

void *phrony_memory_alloc(size_t n);

/* Frees what was allocated with the same "n"; NULL is allowed. */

void phrony_memory_free(void *p, size_t n);


/*
 * Gives back all but the first "n" of "size" bytes, in place; they are freed
 * as "n" bytes then.  Both are at least PHRONY_MEMORY_LARGE.
 */

void phrony_memory_cut(void *p, size_t size, size_t n);


PHRONY_HIDDEN_END


#endif /* PHRONY_MEMORY_H_ */
