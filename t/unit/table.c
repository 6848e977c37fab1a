
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "test.h"

#include "phrony_key.h"
#include "phrony_table.h"


/* A record as large as a key's; its digest is the index's member. */

typedef struct {
    uint32_t       number;
    unsigned char  digest[PHRONY_KEY_DIGEST_LEN];
    unsigned char  rest[28];
} record_t;


#define FEW    40
#define MANY   100000


static void test_memory(void);
static void test_huge_pages(void);
static int is_advised(const void *p);
static int is_mapped(void *p, size_t n);
static void test_growth(void);
static void test_append(void);
static void test_limit(void);
static void test_no_memory(void);
static void test_collisions(void);
static void test_untouched(void);
static void test_equal(void);
static void test_index_no_memory(void);
static void test_large_index(void);
static void fill(phrony_table_t *table, phrony_index_t *index, uint32_t n,
    int shared);
static int grow(phrony_table_t *table, uint32_t n);
static int is_whole(const phrony_table_t *table, uint32_t n);
static void make_record(record_t *record, uint32_t number, int shared);
static uint32_t find(const phrony_index_t *index, const phrony_table_t *table,
    uint32_t number, int shared);


int
main(void)
{
    test_memory();
    test_huge_pages();
    test_growth();
    test_append();
    test_limit();
    test_no_memory();
    test_collisions();
    test_untouched();
    test_equal();
    test_index_no_memory();
    test_large_index();

    return done();
}


static void
test_memory(void)
{
    size_t                i, k, n, nonzero;
    unsigned char        *p;
    static const size_t   sizes[] = {
        1, 63, 64, 65, 4096, PHRONY_MEMORY_LARGE - 1, PHRONY_MEMORY_LARGE,
        PHRONY_MEMORY_LARGE + 1, PHRONY_MEMORY_LARGE + PHRONY_MEMORY_PAGE
    };

    for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        n = sizes[i];
        p = phrony_memory_alloc(n);

        if (!ok(p != NULL, "%zu bytes", n)) {
            continue;
        }

        is_int((uintptr_t) p % PHRONY_MEMORY_ALIGN, 0, "aligned");

        if (n >= PHRONY_MEMORY_LARGE) {
            is_int((uintptr_t) p % PHRONY_MEMORY_PAGE, 0,
                   "to a huge page");
        }

        nonzero = 0;

        for (k = 0; k < n; k++) {
            nonzero += (p[k] != 0);
        }

        is_int(nonzero, 0, "all of them 0");

        memset(p, 0xff, n);
        phrony_memory_free(p, n);
    }

    ok(phrony_memory_alloc(SIZE_MAX) == NULL, "there are not so many");
    ok(phrony_memory_alloc(SIZE_MAX - PHRONY_MEMORY_PAGE * 4) == NULL,
       "nor so many");

    phrony_memory_free(NULL, 0);
    phrony_memory_free(NULL, 64);
    phrony_memory_free(NULL, PHRONY_MEMORY_LARGE);
}


/* Huge pages are asked for, where the system has them. */

static void
test_huge_pages(void)
{
    FILE  *f;
    void  *large;

    f = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "r");

    if (f == NULL) {
        ok(1, "no huge pages here # SKIP");
        return;
    }

    fclose(f);

    large = phrony_memory_alloc(PHRONY_MEMORY_LARGE + 1);

    ok(large && is_advised(large), "huge pages for large memory");
    ok(large && !is_advised((char *) large + PHRONY_MEMORY_LARGE),
       "not for a last page that is not full");

    phrony_memory_free(large, PHRONY_MEMORY_LARGE + 1);
}


/* Whether the mapping with this address has the flag "hg". */

static int
is_advised(const void *p)
{
    int            inside, advised;
    char           line[1024];
    FILE          *f;
    unsigned long  from, to;

    f = fopen("/proc/self/smaps", "r");

    if (f == NULL) {
        return 0;
    }

    inside = 0;
    advised = 0;

    while (fgets(line, sizeof(line), f)) {

        if (sscanf(line, "%lx-%lx ", &from, &to) == 2) {
            inside = from <= (uintptr_t) p && (uintptr_t) p < to;
        }

        if (inside && strncmp(line, "VmFlags:", 8) == 0) {
            advised = strstr(line, " hg") != NULL;
        }
    }

    fclose(f);

    return advised;
}


/* Whether there is no hole in it. */

static int
is_mapped(void *p, size_t n)
{
    return msync(p, n, MS_ASYNC) == 0;
}


static void
test_growth(void)
{
    char           *data;
    size_t          pages;
    uint32_t        max;
    phrony_table_t  table;

    phrony_table_init(&table, sizeof(record_t));

    ok(grow(&table, 1), "a record");
    is_int((uintptr_t) table.data % PHRONY_MEMORY_ALIGN, 0, "aligned");

    ok(grow(&table, FEW), "some more");
    is_int((uintptr_t) table.data % PHRONY_MEMORY_ALIGN, 0, "aligned");
    ok(is_whole(&table, FEW), "all are there");

    phrony_table_trim(&table);
    is_int(table.max, FEW, "no more room than that");
    ok(is_whole(&table, FEW), "they are still there");

    ok(grow(&table, MANY), "many");
    is_int((uintptr_t) table.data % PHRONY_MEMORY_PAGE, 0,
           "aligned to a huge page");
    ok(is_whole(&table, MANY), "all are there");

    max = table.max;
    data = table.data;
    pages = (MANY * sizeof(record_t) / PHRONY_MEMORY_PAGE + 1)
            * PHRONY_MEMORY_PAGE;

    ok(max * sizeof(record_t) > pages && is_mapped(data + pages, 1),
       "there is more room");

    fail_at(1);
    phrony_table_trim(&table);
    fail_at(-1);

    ok(table.max == MANY && max > MANY, "it is given back");
    ok(table.data == data, "in place");
    ok(is_mapped(data, pages), "what is needed is there");
    ok(!is_mapped(data + pages, 1), "what is not is gone");
    is_int((uintptr_t) table.data % PHRONY_MEMORY_PAGE, 0,
           "aligned to a huge page");
    ok(is_whole(&table, MANY), "they are still there");

    table.n = 0;
    phrony_table_trim(&table);
    ok(table.data == NULL && table.max == 0, "nothing is left of nothing");

    phrony_table_free(&table);
}


static void
test_append(void)
{
    size_t          i;
    unsigned char   byte, bytes[1000];
    phrony_table_t  table;

    phrony_table_init(&table, 1);

    for (i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (unsigned char) (i * 7);
    }

    is_int(phrony_table_append(&table, bytes, 0), 0, "no record");
    is_int(table.n, 0, "is none");

    byte = bytes[0];
    is_int(phrony_table_push(&table, &byte), 0, "one");
    is_int(phrony_table_append(&table, bytes + 1, 14), 0, "up to 15 of 16");
    is_int(phrony_table_append(&table, bytes + 15, 1), 0, "16 of 16");
    is_int(table.max, 16, "fit");
    is_int(phrony_table_append(&table, bytes + 16, sizeof(bytes) - 16), 0,
           "many more");
    is_int(table.n, sizeof(bytes), "so many");
    ok(memcmp(table.data, bytes, sizeof(bytes)) == 0, "in their order");

    phrony_table_free(&table);
}


/* There is room in the numbers for so many, whatever there is in memory. */

static void
test_limit(void)
{
    unsigned char   byte;
    phrony_table_t  table;

    byte = 0;
    phrony_table_init(&table, 1);
    table.n = PHRONY_TABLE_MAX;
    table.max = PHRONY_TABLE_MAX;

    is_int(phrony_table_push(&table, &byte), -1, "one more than the most");
    is_int(phrony_table_append(&table, &byte, SIZE_MAX), -1, "and far more");
    is_int(phrony_table_append(&table, &byte, 0), 0, "none more");
    is_int(table.n, PHRONY_TABLE_MAX, "the table stays");
}


static void
test_no_memory(void)
{
    record_t        record;
    phrony_table_t  table;

    phrony_table_init(&table, sizeof(record_t));
    make_record(&record, 16, 0);

    fail_at(1);
    is_int(phrony_table_push(&table, &record), -1, "no memory to begin with");
    ok(table.n == 0 && table.max == 0, "nothing is there");
    fail_at(-1);

    ok(grow(&table, 16), "as many as fit");

    fail_at(1);
    is_int(phrony_table_push(&table, &record), -1, "no memory to grow");
    fail_at(-1);
    ok(is_whole(&table, 16), "they are there");

    ok(grow(&table, 17), "it grows after all");

    fail_at(1);
    phrony_table_trim(&table);
    fail_at(-1);
    ok(table.max > 17 && is_whole(&table, 17), "no memory to trim");

    ok(grow(&table, (MANY - 1) / 2), "many");

    fail_at(1);
    is_int(grow(&table, MANY), 0, "no mapping");
    is_int(allocs(), 1, "it was the mapping");
    fail_at(-1);
    ok(is_whole(&table, table.n), "they are there");

    phrony_table_free(&table);
}


/*
 * Digests are told apart whatever of the first eight bytes, which choose
 * slot and tag, they share.
 */

static void
test_collisions(void)
{
    int             shared;
    uint32_t        i, wrong;
    phrony_table_t  table;
    phrony_index_t  index;

    for (shared = 0; shared < 4; shared++) {
        fill(&table, &index, FEW, shared);

        wrong = 0;

        for (i = 0; i < FEW; i++) {
            wrong += (find(&index, &table, i, shared) != i);
        }

        is_int(wrong, 0, "each record is found");

        for (i = FEW; i < FEW * 4; i++) {
            wrong += (find(&index, &table, i, shared) != PHRONY_TABLE_NONE);
        }

        is_int(wrong, 0, "no other one");

        phrony_index_trim(&index, &table);
        is_int(index.n, FEW * 2, "two slots a record");

        for (i = 0; i < FEW; i++) {
            wrong += (find(&index, &table, i, shared) != i);
        }

        is_int(wrong, 0, "each is found");

        phrony_index_free(&index);
        phrony_table_free(&table);
    }
}


/*
 * A digest with another tag is not found without a look at any record: there
 * are none to be looked at.
 */

static void
test_untouched(void)
{
    unsigned        bit;
    uint32_t        i, found;
    record_t        record;
    phrony_table_t  table, none;
    phrony_index_t  index;

    fill(&table, &index, FEW, 0);

    none = table;
    none.data = NULL;
    found = 0;

    for (i = 0; i < FEW; i++) {

        for (bit = 0; bit < 32; bit++) {
            make_record(&record, i, 0);
            record.digest[4 + bit / 8] ^= (unsigned char) (1 << bit % 8);

            found += (phrony_index_find(&index, &none, record.digest)
                      != PHRONY_TABLE_NONE);
        }
    }

    is_int(found, 0, "foreign tags are not found, no record is touched");

    phrony_index_free(&index);
    phrony_table_free(&table);
}


/* Each bit of each length counts. */

static void
test_equal(void)
{
    size_t         bit, len, wrong;
    unsigned char  a[40], b[40];

    memset(a, 0x5a, sizeof(a));
    memset(b, 0x5a, sizeof(b));

    wrong = 0;

    for (len = 0; len < sizeof(a); len++) {

        for (bit = 0; bit < sizeof(a) * 8; bit++) {
            b[bit / 8] ^= (unsigned char) (1 << bit % 8);

            wrong += (phrony_equal_const_time(a, b, len) != (bit / 8 >= len));

            b[bit / 8] ^= (unsigned char) (1 << bit % 8);
        }
    }

    is_int(wrong, 0, "bytes are equal or are not");
}


static void
test_index_no_memory(void)
{
    long            n, seen;
    uint32_t        i, wrong;
    record_t        record;
    phrony_table_t  table;
    phrony_index_t  index;

    for (n = 1; n < 100; n++) {
        phrony_table_init(&table, sizeof(record_t));
        phrony_index_init(&index, offsetof(record_t, digest),
                          PHRONY_KEY_DIGEST_LEN, 0);
        fail_at(n);

        for (i = 0; i < FEW; i++) {
            make_record(&record, i, 0);

            if (phrony_table_push(&table, &record) == -1
                || phrony_index_add(&index, &table) == -1)
            {
                break;
            }
        }

        phrony_index_trim(&index, &table);

        seen = allocs();
        fail_at(-1);

        wrong = 0;

        while (i) {
            i--;
            wrong += (find(&index, &table, i, 0) != i);
        }

        is_int(wrong, 0, "what was added is found");

        phrony_index_free(&index);
        phrony_table_free(&table);

        if (seen < n) {
            break;
        }
    }

    ok(n > 4 && n < 100, "%ld allocations are enough", n - 1);
}


static void
test_large_index(void)
{
    uint32_t        i, n, wrong;
    phrony_table_t  table;
    phrony_index_t  index;

    n = (uint32_t) (PHRONY_MEMORY_LARGE / sizeof(phrony_slot_t));

    fill(&table, &index, n, 0);
    phrony_index_trim(&index, &table);

    is_int((uintptr_t) index.slots % PHRONY_MEMORY_PAGE, 0,
           "a large index is aligned to a huge page");

    wrong = 0;

    for (i = 0; i < n; i++) {
        wrong += (find(&index, &table, i, 0) != i);
        wrong += (find(&index, &table, n + i, 0) != PHRONY_TABLE_NONE);
    }

    is_int(wrong, 0, "everything is found in it, and nothing else");

    phrony_index_free(&index);
    phrony_table_free(&table);
}


static void
fill(phrony_table_t *table, phrony_index_t *index, uint32_t n, int shared)
{
    uint32_t  i;
    record_t  record;

    phrony_table_init(table, sizeof(record_t));
    phrony_index_init(index, offsetof(record_t, digest),
                      PHRONY_KEY_DIGEST_LEN, 0);

    for (i = 0; i < n; i++) {
        make_record(&record, i, shared);

        if (phrony_table_push(table, &record) == -1
            || phrony_index_add(index, table) == -1)
        {
            abort();
        }
    }
}


/* Pushes records until there are "n"; returns 0 if one does not fit. */

static int
grow(phrony_table_t *table, uint32_t n)
{
    record_t  record;

    while (table->n < n) {
        make_record(&record, table->n, 0);

        if (phrony_table_push(table, &record) == -1) {
            return 0;
        }
    }

    return 1;
}


static int
is_whole(const phrony_table_t *table, uint32_t n)
{
    uint32_t  i;
    record_t  record;

    for (i = 0; i < n; i++) {
        make_record(&record, i, 0);

        if (memcmp(phrony_table_at(table, i), &record, sizeof(record_t))
            != 0)
        {
            return 0;
        }
    }

    return table->n == n;
}


/* "shared": bit 0, all begin at one slot; bit 1, all have one tag. */

static void
make_record(record_t *record, uint32_t number, int shared)
{
    unsigned  i;
    uint64_t  x;

    memset(record, 0, sizeof(record_t));
    record->number = number;

    x = (number + 1) * 0x9e3779b97f4a7c15ULL;
    x ^= x >> 31;

    for (i = 0; i < 4; i++) {
        record->digest[i] = (shared & 1) ? 0xff
                                         : (unsigned char) (x >> i * 8);
        record->digest[4 + i] = (shared & 2) ? 0x5a
                                     : (unsigned char) (x >> (32 + i * 8));
        record->digest[PHRONY_KEY_DIGEST_LEN - 4 + i] =
                                         (unsigned char) (number >> i * 8);
    }
}


static uint32_t
find(const phrony_index_t *index, const phrony_table_t *table,
    uint32_t number, int shared)
{
    record_t  record;

    make_record(&record, number, shared);

    return phrony_index_find(index, table, record.digest);
}
