
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include <stdlib.h>
#include <sys/mman.h>

#include "phrony_memory.h"


static void *phrony_memory_map(size_t n);
static void phrony_memory_unmap(void *p, size_t n);
static size_t phrony_memory_pages(size_t n);


void *
phrony_memory_alloc(size_t n)
{
    void  *p;

    if (n >= PHRONY_MEMORY_LARGE) {
        return phrony_memory_map(n);
    }

    if (posix_memalign(&p, PHRONY_MEMORY_ALIGN, n) != 0) {
        return NULL;
    }

    memset(p, 0, n);

    return p;
}


void
phrony_memory_free(void *p, size_t n)
{
    if (p && n >= PHRONY_MEMORY_LARGE) {
        phrony_memory_unmap(p, phrony_memory_pages(n));
        return;
    }

    free(p);
}


void
phrony_memory_cut(void *p, size_t size, size_t n)
{
    n = phrony_memory_pages(n);

    phrony_memory_unmap((char *) p + n, phrony_memory_pages(size) - n);
}


/* One huge page more than is needed, less what lies before and behind. */

static void *
phrony_memory_map(size_t n)
{
    char    *map, *p;
    size_t   size, before;

    size = phrony_memory_pages(n);

    if (size < n) {
        return NULL;
    }

    map = mmap(NULL, size + PHRONY_MEMORY_PAGE, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANON, -1, 0);

    if (map == MAP_FAILED) {
        return NULL;
    }

    before = PHRONY_MEMORY_PAGE - (uintptr_t) map % PHRONY_MEMORY_PAGE;
    p = map + before;

    phrony_memory_unmap(map, before);
    phrony_memory_unmap(p + size, PHRONY_MEMORY_PAGE - before);

#ifdef MADV_HUGEPAGE

    /* a last page that is not filled would cost more than it is worth */

    (void) madvise(p, n - n % PHRONY_MEMORY_PAGE, MADV_HUGEPAGE);

#endif

    return p;
}


/* Nothing else can be done with what the system does not take back. */

static void
phrony_memory_unmap(void *p, size_t n)
{
    if (n) {
        (void) munmap(p, n);
    }
}


static size_t
phrony_memory_pages(size_t n)
{
    return (n + PHRONY_MEMORY_PAGE - 1) / PHRONY_MEMORY_PAGE
           * PHRONY_MEMORY_PAGE;
}
