
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "phrony_table.h"
#include "phrony_uuid.h"


#define PHRONY_TABLE_FIRST  16      /* records that the first growth fits */


static int phrony_table_resize(phrony_table_t *table, uint32_t max);
static int phrony_index_resize(phrony_index_t *index,
    const phrony_table_t *table, uint32_t n);
static void phrony_index_enter(phrony_index_t *index,
    const phrony_table_t *table, uint32_t record);
static uint64_t phrony_index_hash(const phrony_index_t *index,
    const unsigned char *id);
static uint32_t phrony_index_first(const phrony_index_t *index,
    uint64_t hash);
static int phrony_index_equal(const phrony_index_t *index,
    const unsigned char *one, const unsigned char *two);
static const unsigned char *phrony_index_member(const phrony_index_t *index,
    const phrony_table_t *table, uint32_t record);


void
phrony_table_init(phrony_table_t *table, size_t size)
{
    table->data = NULL;
    table->size = size;
    table->n = 0;
    table->max = 0;
}


int
phrony_table_push(phrony_table_t *table, const void *record)
{
    return phrony_table_append(table, record, 1);
}


int
phrony_table_append(phrony_table_t *table, const void *records, size_t n)
{
    uint32_t  max;

    if (n > PHRONY_TABLE_MAX - table->n) {
        return -1;
    }

    if (n > table->max - table->n) {
        max = table->max ? table->max : PHRONY_TABLE_FIRST;

        while (max - table->n < n) {
            max = (max > PHRONY_TABLE_MAX / 2) ? PHRONY_TABLE_MAX : max * 2;
        }

        if (phrony_table_resize(table, max) == -1) {
            return -1;
        }
    }

    if (n) {
        memcpy(phrony_table_at(table, table->n), records, n * table->size);
        table->n += (uint32_t) n;
    }

    return 0;
}


void
phrony_table_trim(phrony_table_t *table)
{
    if (table->n == 0) {
        phrony_table_free(table);
        return;
    }

    if (table->n * table->size >= PHRONY_MEMORY_LARGE) {
        phrony_memory_cut(table->data, table->max * table->size,
                          table->n * table->size);
        table->max = table->n;
        return;
    }

    if (table->n < table->max) {
        (void) phrony_table_resize(table, table->n);
    }
}


/* Moves the records to where there is room for "max" of them. */

static int
phrony_table_resize(phrony_table_t *table, uint32_t max)
{
    void  *data;

    data = phrony_memory_alloc(max * table->size);
    if (data == NULL) {
        return -1;
    }

    if (table->n) {
        memcpy(data, table->data, table->n * table->size);
    }

    phrony_memory_free(table->data, table->max * table->size);

    table->data = data;
    table->max = max;

    return 0;
}


void
phrony_table_free(phrony_table_t *table)
{
    phrony_memory_free(table->data, table->max * table->size);
    phrony_table_init(table, table->size);
}


void
phrony_index_init(phrony_index_t *index, size_t offset, size_t len,
    uint64_t seed)
{
    index->slots = NULL;
    index->n = 0;
    index->offset = (uint32_t) offset;
    index->len = (uint32_t) len;
    index->seed = seed;
}


int
phrony_index_add(phrony_index_t *index, const phrony_table_t *table)
{
    uint32_t  n;

    if (index->n / 2 >= table->n) {
        phrony_index_enter(index, table, table->n - 1);
        return 0;
    }

    /* the new slots are filled from all records, the last one included */

    n = (table->n < PHRONY_TABLE_FIRST) ? PHRONY_TABLE_FIRST : table->n;

    if (n <= PHRONY_TABLE_MAX / 2) {
        n *= 2;
    }

    return phrony_index_resize(index, table, n * 2);
}


uint32_t
phrony_index_find(const phrony_index_t *index, const phrony_table_t *table,
    const unsigned char *id)
{
    uint32_t              slot;
    uint64_t              hash;
    const phrony_slot_t  *s;
    const unsigned char  *member;

    if (index->n == 0) {
        return PHRONY_TABLE_NONE;
    }

    hash = phrony_index_hash(index, id);
    slot = phrony_index_first(index, hash);

    for (s = &index->slots[slot]; s->record; s = &index->slots[slot]) {

        if (s->tag == (uint32_t) hash) {
            member = phrony_index_member(index, table, s->record - 1);

            if (phrony_index_equal(index, member, id)) {
                return s->record - 1;
            }
        }

        slot = (slot + 1 == index->n) ? 0 : slot + 1;
    }

    return PHRONY_TABLE_NONE;
}


void
phrony_index_trim(phrony_index_t *index, const phrony_table_t *table)
{
    if (table->n && index->n > table->n * 2) {
        (void) phrony_index_resize(index, table, table->n * 2);
    }
}


void
phrony_index_free(phrony_index_t *index)
{
    phrony_memory_free(index->slots, index->n * sizeof(phrony_slot_t));
    index->slots = NULL;
    index->n = 0;
}


/* Moves all records into "n" slots; the old ones stay if that fails. */

static int
phrony_index_resize(phrony_index_t *index, const phrony_table_t *table,
    uint32_t n)
{
    uint32_t        record;
    phrony_slot_t  *slots;

    slots = phrony_memory_alloc(n * sizeof(phrony_slot_t));
    if (slots == NULL) {
        return -1;
    }

    phrony_memory_free(index->slots, index->n * sizeof(phrony_slot_t));

    index->slots = slots;
    index->n = n;

    for (record = 0; record < table->n; record++) {
        phrony_index_enter(index, table, record);
    }

    return 0;
}


static void
phrony_index_enter(phrony_index_t *index, const phrony_table_t *table,
    uint32_t record)
{
    uint32_t  slot;
    uint64_t  hash;

    hash = phrony_index_hash(index,
                             phrony_index_member(index, table, record));
    slot = phrony_index_first(index, hash);

    while (index->slots[slot].record) {
        slot = (slot + 1 == index->n) ? 0 : slot + 1;
    }

    index->slots[slot].tag = (uint32_t) hash;
    index->slots[slot].record = record + 1;
}


/* The upper half says where to begin, the lower one is the tag. */

static uint64_t
phrony_index_hash(const phrony_index_t *index, const unsigned char *id)
{
    uint32_t       half[2];
    phrony_uuid_t  uuid;

    if (index->len == PHRONY_UUID_LEN) {
        memcpy(uuid.bytes, id, PHRONY_UUID_LEN);
        return phrony_uuid_hash(&uuid, index->seed);
    }

    /* SHA-256 is uniform, and nobody can aim at a slot with it cheaply */

    memcpy(half, id, sizeof(half));

    return (uint64_t) half[0] << 32 | half[1];
}


/* Scales the hash to the number of slots, which is any number. */

static uint32_t
phrony_index_first(const phrony_index_t *index, uint64_t hash)
{
    return (uint32_t) (((hash >> 32) * index->n) >> 32);
}


/* A hash is made of a secret; ids are public. */

static int
phrony_index_equal(const phrony_index_t *index, const unsigned char *one,
    const unsigned char *two)
{
    if (index->len == PHRONY_UUID_LEN) {
        return memcmp(one, two, PHRONY_UUID_LEN) == 0;
    }

    return phrony_equal_const_time(one, two, index->len);
}


static const unsigned char *
phrony_index_member(const phrony_index_t *index, const phrony_table_t *table,
    uint32_t record)
{
    return (const unsigned char *) phrony_table_at(table, record)
           + index->offset;
}
